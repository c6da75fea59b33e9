/* One core alone, id 1, with its events made by hand: the language of the rule tests.  After every
 * helper `out` is the output of a fresh poll. */
#ifndef TESTS_RAFT_LONE_H
#define TESTS_RAFT_LONE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/blob.h"
#include "dkv/types.h"
#include "raft/raft.h"

#define T_US 100000

struct lone {
    struct raft *r;
    struct raft_config config;
    struct raft_members members;
    struct raft_start start;
    uint64_t now_us, ticket;
    raft_index applying; /* end of the range handed out last */
    int rc;              /* of the last step */
    struct raft_output out;
    struct raft_status s; /* after the last poll */
    struct blob *payload;
};

/* A cluster of voters 1..n, nothing in the log; *_prepare lets a test change start and config. */
void lone_prepare(struct lone *l, uint32_t voters);
void lone_start(struct lone *l);
void lone_new(struct lone *l, uint32_t voters);
void lone_free(struct lone *l);
void lone_member(struct lone *l, raft_id id, uint8_t flags);

void lone_step(struct lone *l, struct raft_event event); /* without a poll */
void lone_poll(struct lone *l);
void lone_do(struct lone *l, struct raft_event event);
void lone_receive(struct lone *l, struct raft_message m); /* to is filled in */
void lone_persist(struct lone *l);                        /* everything handed out so far */
void lone_wait(struct lone *l, uint64_t us);              /* then a tick */
void lone_timeout(struct lone *l);                        /* to the election deadline */
void lone_apply(struct lone *l);                          /* the range handed out last */
void lone_apply_all(struct lone *l);

/* Elections and appends as the other nodes see them. */
void lone_precandidate(struct lone *l);
void lone_candidate(struct lone *l);      /* votes asked for, own vote durable */
void lone_leader(struct lone *l);         /* its no-op not yet durable */
void lone_leader_settled(struct lone *l); /* no-op committed, peers streaming */
void lone_ack(struct lone *l, raft_id from, raft_index index);
int lone_propose(struct lone *l, uint32_t count, uint32_t len);
/* An APPEND of leader `from`; terms of the entries as a 0-terminated list. */
void lone_append(struct lone *l, raft_id from, raft_term term, raft_index prev, raft_term prev_term,
                 raft_index commit, const raft_term *terms);
void lone_heartbeat(struct lone *l, raft_id from, raft_term term, raft_index commit, uint64_t seq);
void lone_append_config(struct lone *l, raft_term term, raft_index prev, raft_term prev_term,
                        const struct raft_members *m);
void lone_snapshot(struct lone *l, raft_id from, raft_term term, raft_index index, raft_term at);
void lone_read(struct lone *l, uint64_t context);

/* The last message of a type to a peer (0 = anybody) in the output, or NULL. */
const struct raft_message *lone_sent(const struct lone *l, uint32_t type, raft_id to);
uint32_t lone_sent_count(const struct lone *l, uint32_t type, raft_id to);
#define TERMS(...)                                                                                 \
    (const raft_term[])                                                                            \
    {                                                                                              \
        __VA_ARGS__, 0                                                                             \
    }
#define NO_TERMS                                                                                   \
    (const raft_term[])                                                                            \
    {                                                                                              \
        0                                                                                          \
    }

#endif
