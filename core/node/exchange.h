/* Requests of the workers on their way to the raft thread and back.
 *
 * A worker posts an api request as it is; the raft thread hands it to the replica and posts it back
 * to the worker it came from.  Nothing is copied and nothing is allocated on the way. */
#ifndef NODE_EXCHANGE_H
#define NODE_EXCHANGE_H

#include "api/backend.h"
#include "base/mailbox.h"

enum exchange_kind { EXCHANGE_WRITE, EXCHANGE_BARRIER, EXCHANGE_QUERY, EXCHANGE_KINDS };

/* One direction. */
struct exchange {
    struct mailbox boxes[EXCHANGE_KINDS];
};

int exchange_open(struct exchange *x, struct dkv_error *err);
void exchange_close(struct exchange *x);
/* False when there is mail and the reader must not block. */
bool exchange_sleep(struct exchange *x);

#endif
