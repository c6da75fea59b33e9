/* Mail between threads: many writers, one reader, at most one wake-up for each time it sleeps.
 *
 * A message is whatever embeds a struct list; it belongs to the mailbox from post to drain.  The
 * mailbox sets no limit, for it allocates nothing: whoever makes messages bounds them.
 *
 * The reader is awake after mailbox_drain, and posts then cost one atomic exchange and no system
 * call, also those from its own thread.  Before it blocks it must say so, in one of two ways:
 *
 *     a loop of its own                        a callback for mailbox_fd (level-triggered)
 *         mailbox_drain(m, &mail);                 mailbox_drain(m, &mail);
 *         ... handle ...                           ... handle ...
 *         can_block = mailbox_sleep(m);            mailbox_rearm(m);
 *
 * A reader that forgets it is not woken again.  Before its first drain it counts as asleep.
 * Order is kept for each writer. */
#ifndef BASE_MAILBOX_H
#define BASE_MAILBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "dkv/types.h"

struct mailbox {
    _Atomic(struct list *) newest; /* a stack through ->next; NULL, or a mark for "asleep" */
    int fd;
    bool armed;         /* reader only: it has said that it may block */
    uint64_t wakes_due; /* reader only: eventfd counts that have come or will come */
};

/* Gives descriptors; fails when there are none left. */
int mailbox_open(struct mailbox *m, struct dkv_error *err);
/* When no writer can be inside mailbox_post any more.  Mail that is left stays with its owners. */
void mailbox_close(struct mailbox *m);

/* Any thread; never blocks, cannot fail. */
void mailbox_post(struct mailbox *m, struct list *mail);

/* The rest is for the reader's thread. */
int mailbox_fd(const struct mailbox *m);        /* readable when mail came while asleep */
bool mailbox_has_mail(const struct mailbox *m); /* any thread, as a hint */
/* Appends everything to mail_out, oldest first; true if there was any. */
bool mailbox_drain(struct mailbox *m, struct list *mail_out);
/* True: the next post makes the fd readable, so block.  False: there is mail, drain again. */
bool mailbox_sleep(struct mailbox *m);
/* The same for callbacks: if there is mail already, makes the fd readable itself. */
void mailbox_rearm(struct mailbox *m);

#endif
