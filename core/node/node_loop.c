/* The raft loop: everything that is ready is handled, then once for all of it the replica turns,
 * and what that gave is sent. */
#include <signal.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/notify.h"
#include "node/node_private.h"

enum { RESIGN_US = 2 * 1000 * 1000, DRAIN_US = 8 * 1000 * 1000, TURNS_MAX = 8 };

/* --- stopping --- */

static void on_rest_drained(void *ctx)
{
    struct node *n = ctx;

    n->rest_is_drained = true;
}

static void drain(struct node *n)
{
    n->stop = NODE_DRAINING;
    n->stop_deadline_us = clock_now_us() + DRAIN_US;
    if (n->rest != NULL)
        rest_drain(n->rest, on_rest_drained, n);
    for (size_t i = 0; i < n->workers_count; i++)
        worker_drain(n->workers[i]);
}

static bool is_drained(const struct node *n)
{
    for (size_t i = 0; i < n->workers_count; i++) {
        if (!worker_is_drained(n->workers[i]))
            return false;
    }
    /* Peers that relayed a write here while this node led wait for its answer. */
    return (n->rest == NULL || n->rest_is_drained) && !replica_has_writes(n->replica);
}

/* The raft loop goes on meanwhile: what is under way needs it. */
static void go_on_stopping(struct node *n)
{
    bool is_late = clock_now_us() >= n->stop_deadline_us;

    if (n->stop == NODE_RESIGNING && (is_late || replica_resign(n->replica)))
        drain(n);
    if (n->stop == NODE_DRAINING && (is_late || is_drained(n)))
        n->stop = NODE_STOPPED;
}

void node__stop(struct node *n, int exit_code)
{
    if (n->stop != NODE_RUNNING) {
        n->stop = NODE_STOPPED; /* asked twice: now */
        return;
    }
    n->exit_code = exit_code;
    n->stop = NODE_RESIGNING;
    n->stop_deadline_us = clock_now_us() + RESIGN_US;
    notify_stopping();
}

static void on_stop_signal(evutil_socket_t number, short what, void *arg)
{
    struct node *n = arg;

    (void)what;
    log_info("node", "node.stopping", "asked to stop", LOG_STR("signal", strsignal((int)number)),
             LOG_END);
    node__stop(n, 0);
}

static void on_reopen_signal(evutil_socket_t number, short what, void *arg)
{
    (void)number;
    (void)what;
    (void)arg;
    log_reopen();
}

/* Without a file there is nothing to read again: then the terminal is gone that this was started on. */
static void on_hangup_signal(evutil_socket_t number, short what, void *arg)
{
    struct node *n = arg;

    if (conf_has_file(n->conf))
        node__reload(n);
    else
        on_stop_signal(number, what, arg);
}

/* nohup(1) asks for the hangup to be ignored, which a daemon without a file does. */
static bool wants_hangup(const struct node *n)
{
    struct sigaction old;

    return conf_has_file(n->conf) || sigaction(SIGHUP, NULL, &old) != 0 ||
           old.sa_handler != SIG_IGN;
}

/* --- the loop --- */

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg; /* the loop looks at everything after every pass */
}

static struct event *watch(struct node *n, int fd)
{
    struct event *event = event_new(n->base, fd, EV_READ | EV_PERSIST, on_wake, n);

    dkv_assert(event != NULL);
    (void)event_add(event, NULL);
    return event;
}

static bool take_mail(struct node *n)
{
    bool any = daemon_env_turn(n->env);

    any = applier_turn(n->applier) || any;
    return (n->workers_count > 0 && node__take_requests(n)) || any;
}

static void flush(struct node *n)
{
    if (n->cluster != NULL)
        cluster_flush(n->cluster);
    if (n->rest != NULL)
        rest_flush(n->rest);
}

static bool sleep_on_mail(struct node *n)
{
    bool can_block = mailbox_sleep(daemon_env_mailbox(n->env));

    can_block = mailbox_sleep(applier_mailbox(n->applier)) && can_block;
    return (n->workers_count == 0 || exchange_sleep(&n->from_workers)) && can_block;
}

static void arm_timer(struct node *n, uint64_t deadline_us)
{
    uint64_t now_us = clock_now_us();
    uint64_t wait_us = deadline_us > now_us ? deadline_us - now_us : 0;
    struct timeval tv = {.tv_sec = (time_t)(wait_us / 1000000),
                         .tv_usec = (suseconds_t)(wait_us % 1000000)};

    (void)event_add(n->timer, &tv);
}

void node__run_loop(struct node *n)
{
    while (n->stop != NODE_STOPPED) {
        uint64_t deadline_us;
        bool can_block;

        (void)take_mail(n);
        replica_turn(n->replica);
        /* Storage on this thread, or a cluster of one, often has the answer at once. */
        for (int i = 0; i < TURNS_MAX && (take_mail(n) || replica_deadline_us(n->replica) == 0);
             i++)
            replica_turn(n->replica);
        node__publish(n);
        node__tell_role(n);
        flush(n);
        if (n->stop != NODE_RUNNING)
            go_on_stopping(n);
        deadline_us = replica_deadline_us(n->replica);
        can_block = sleep_on_mail(n) && deadline_us != 0;
        if (can_block)
            arm_timer(n, deadline_us);
        (void)event_base_loop(n->base, EVLOOP_ONCE | (can_block ? 0 : EVLOOP_NONBLOCK));
    }
}

/* --- opening and closing --- */

struct event_base *node__new_base(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base;

    dkv_assert(config != NULL);
    (void)event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    base = event_base_new_with_config(config);
    event_config_free(config);
    dkv_assert(base != NULL);
    return base;
}

void node__open_loop(struct node *n)
{
    static const int stop_signals[] = {SIGTERM, SIGINT};

    n->base = node__new_base();
    n->timer = evtimer_new(n->base, on_wake, n);
    dkv_assert(n->timer != NULL);
    for (int i = 0; i < 2; i++)
        n->signals[i] = evsignal_new(n->base, stop_signals[i], on_stop_signal, n);
    n->signals[2] = evsignal_new(n->base, SIGUSR1, on_reopen_signal, n);
    if (wants_hangup(n))
        n->signals[3] = evsignal_new(n->base, SIGHUP, on_hangup_signal, n);
    for (int i = 0; i < NODE_SIGNALS; i++) {
        if (n->signals[i] != NULL)
            (void)event_add(n->signals[i], NULL);
    }
    signal(SIGPIPE, SIG_IGN);
}

void node__watch_mail(struct node *n)
{
    n->mail_events[0] = watch(n, mailbox_fd(daemon_env_mailbox(n->env)));
    n->mail_events[1] = watch(n, mailbox_fd(applier_mailbox(n->applier)));
    for (int i = 0; i < EXCHANGE_KINDS; i++)
        n->mail_events[2 + i] = watch(n, mailbox_fd(&n->from_workers.boxes[i]));
}

void node__close_loop(struct node *n)
{
    for (size_t i = 0; i < sizeof(n->mail_events) / sizeof(n->mail_events[0]); i++) {
        if (n->mail_events[i] != NULL)
            event_free(n->mail_events[i]);
    }
    for (size_t i = 0; i < NODE_SIGNALS; i++) {
        if (n->signals[i] != NULL)
            event_free(n->signals[i]);
    }
    if (n->timer != NULL)
        event_free(n->timer);
    if (n->base != NULL)
        event_base_free(n->base);
}
