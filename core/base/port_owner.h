/* Who listens on a port, for the message that it is in use.  Reads /proc; runs at start only. */
#ifndef BASE_PORT_OWNER_H
#define BASE_PORT_OWNER_H

#include <stddef.h>

struct sockaddr;

/* "process 123 (nginx)", "a process of user 1000" or "". */
void port_owner_find(const struct sockaddr *sa, char *out, size_t size);

#endif
