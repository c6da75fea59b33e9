/* Peers that behave badly. */
#ifndef CONFORMANCE_TRANSPORT_JAM_H
#define CONFORMANCE_TRANSPORT_JAM_H

#include "ends.h"

enum { JAM_MAX = 16 };

/* A listener whose queue is full: the kernel drops what asks to be connected, as a host that is
 * down would, and the asking side repeats itself after a second. */
struct jam {
    int listener;
    struct sockaddr_in address;
    int queued[JAM_MAX];
    size_t count;
};

void jam_open(struct jam *jam);
/* Makes room: who asks again is accepted. */
void jam_clear(struct jam *jam);
/* Who asks again is refused. */
void jam_close(struct jam *jam);

/* The end's socket will be closed with a reset instead of an orderly end. */
void reset_on_close(struct end *end);

#endif
