#include "base/mailbox.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/error.h"

/* Only its address counts.  One word holds both the stack and "the reader may block", so a writer
 * learns with the exchange that makes its mail visible whether it must wake the reader. */
static struct list asleep;

int mailbox_open(struct mailbox *m, struct dkv_error *err)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (fd < 0)
        return dkv_error_set(err, status_from_errno(errno), "create an eventfd: %s",
                             strerror(errno));
    atomic_init(&m->newest, &asleep);
    m->fd = fd;
    m->armed = true;
    m->wakes_due = 0;
    return DKV_OK;
}

void mailbox_close(struct mailbox *m)
{
    close(m->fd);
    m->fd = -1;
}

static void wake(struct mailbox *m)
{
    const uint64_t one = 1;
    ssize_t n;

    do
        n = write(m->fd, &one, sizeof(one));
    while (n < 0 && errno == EINTR);
    dkv_assert(n == (ssize_t)sizeof(one));
}

void mailbox_post(struct mailbox *m, struct list *mail)
{
    struct list *newest = atomic_load_explicit(&m->newest, memory_order_relaxed);

    do
        mail->next = newest == &asleep ? NULL : newest;
    while (!atomic_compare_exchange_weak_explicit(&m->newest, &newest, mail, memory_order_release,
                                                  memory_order_relaxed));
    if (newest == &asleep)
        wake(m);
}

int mailbox_fd(const struct mailbox *m)
{
    return m->fd;
}

bool mailbox_has_mail(const struct mailbox *m)
{
    struct list *newest = atomic_load_explicit(&m->newest, memory_order_relaxed);

    return newest != NULL && newest != &asleep;
}

/* A writer may have been stopped between its exchange and its write, so a wake-up can arrive after
 * its mail was taken.  Counting what must come keeps the fd from staying readable for ever. */
static void take_wakes(struct mailbox *m)
{
    uint64_t count;

    if (m->wakes_due == 0)
        return;
    if (read(m->fd, &count, sizeof(count)) == (ssize_t)sizeof(count)) {
        dkv_assert(count <= m->wakes_due);
        m->wakes_due -= count;
    }
}

bool mailbox_drain(struct mailbox *m, struct list *mail_out)
{
    struct list *mail = atomic_exchange_explicit(&m->newest, NULL, memory_order_acquire);
    struct list taken;

    if (m->armed && mail != &asleep)
        m->wakes_due++;
    m->armed = false;
    take_wakes(m);
    if (mail == NULL || mail == &asleep)
        return false;
    list_init(&taken);
    while (mail != NULL) {
        struct list *older = mail->next;

        list_push_front(&taken, mail);
        mail = older;
    }
    list_splice(mail_out, &taken);
    return true;
}

bool mailbox_sleep(struct mailbox *m)
{
    struct list *none = NULL;

    if (m->armed)
        return !mailbox_has_mail(m);
    m->armed = atomic_compare_exchange_strong_explicit(&m->newest, &none, &asleep,
                                                       memory_order_relaxed, memory_order_relaxed);
    return m->armed;
}

void mailbox_rearm(struct mailbox *m)
{
    if (mailbox_sleep(m) || m->armed)
        return; /* when armed with mail, its writer has woken us or is about to */
    m->wakes_due++;
    wake(m);
}
