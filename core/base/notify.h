/* Tells the service manager how far the daemon is, by the sd_notify datagram protocol.
 *
 * Without NOTIFY_SOCKET in the environment every call does nothing.  A lost message is not an
 * error: nothing that dkv promises depends on it.  Any thread may call; never blocks. */
#ifndef BASE_NOTIFY_H
#define BASE_NOTIFY_H

#include "dkv/types.h"

void notify_ready(void);
void notify_reloading(void); /* notify_ready ends it */
void notify_stopping(void);
/* One line for `systemctl status`: what the node does now. */
void notify_status(const char *fmt, ...) DKV_PRINTF(1, 2);

#endif
