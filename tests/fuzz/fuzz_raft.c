/* Any bytes as the life of one node of three: messages from its peers with any content, ticks,
 * proposals, and the answers of its driver in any order.  The core must not end the process, and
 * what is committed stays committed. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/blob.h"
#include "dkv/types.h"
#include "raft/raft.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ENTRIES_MAX = 8, LOG_MAX = 512 };

struct life {
    const uint8_t *at, *end;
    struct raft *raft;
    struct raft_output out;
    struct blob *payload;
    uint64_t now_us, ticket;
    raft_index applying, installing, commit;
    raft_term committed[LOG_MAX]; /* the term under which an index was seen committed */
};

static uint8_t next(struct life *l)
{
    return l->at < l->end ? *l->at++ : 0;
}

/* Mostly near 0, where the log is; sometimes anything. */
static uint64_t number(struct life *l)
{
    uint8_t byte = next(l);
    uint64_t wide = 0;

    if (byte < 250)
        return byte % 32;
    for (int i = 0; i < 8; i++)
        wide = wide << 8 | next(l);
    return wide;
}

static void step(struct life *l, struct raft_event *event)
{
    event->now_us = l->now_us;
    (void)raft_step(l->raft, event);
}

static void receive(struct life *l)
{
    struct raft_entry entries[ENTRIES_MAX];
    struct raft_message m = {.type = next(l) % 13,
                             .from = 1 + next(l) % 4,
                             .to = 1,
                             .flags = next(l) % 4,
                             .entries = entries};
    struct raft_event event = {.type = RAFT_RECEIVE, .message = &m};

    m.term = number(l);
    m.index = number(l);
    m.log_term = number(l);
    m.hint_index = number(l);
    m.commit = number(l);
    m.read_seq = number(l);
    m.seq = number(l);
    m.count = m.type == RAFT_MSG_APPEND ? next(l) % (ENTRIES_MAX + 1) : 0;
    for (uint32_t i = 0; i < m.count; i++)
        entries[i] = (struct raft_entry){.index = m.index + 1 + i,
                                         .term = number(l),
                                         .type = next(l) % 4,
                                         .len = next(l),
                                         .data = l->payload->bytes,
                                         .owner = l->payload};
    step(l, &event);
}

static void propose(struct life *l)
{
    struct raft_payload payload = {l->payload->bytes, next(l), l->payload};
    struct raft_event event = {.type = RAFT_PROPOSE};
    raft_index first;
    raft_term term;

    event.propose.payloads = &payload;
    event.propose.count = 1;
    event.propose.first_out = &first;
    event.propose.term_out = &term;
    step(l, &event);
}

/* What is asked of the driver is asked once and has to be answered, well or badly. */
static void answer(struct life *l)
{
    struct raft_event event = {0};

    for (uint32_t i = 0; i < l->out.want_fetch_count; i++) {
        event = (struct raft_event){.type = RAFT_FETCHED};
        event.fetched.peer = l->out.want_fetch[i].peer;
        event.fetched.first = l->out.want_fetch[i].first;
        step(l, &event);
    }
}

static void snapshot(struct life *l, uint32_t type)
{
    struct raft_members members = {0};
    struct raft_event event = {.type = type};

    for (raft_id id = 1; id <= 3; id++)
        (void)raft_members_set(&members, id, RAFT_MEMBER_VOTER, NULL, 0);
    event.snapshot.from = 2 + next(l) % 2;
    event.snapshot.term = number(l);
    event.snapshot.snapshot_index = number(l);
    event.snapshot.snapshot_term = number(l);
    event.snapshot.members = &members;
    step(l, &event);
}

static void act(struct life *l)
{
    struct raft_event event = {0};

    switch (next(l) % 12) {
    case 0:
        l->now_us += number(l) * 20000 % 10000000;
        event.type = RAFT_TICK;
        break;
    case 1:
        event.type = RAFT_PERSISTED;
        event.ticket = l->ticket;
        break;
    case 2:
        event.type = RAFT_APPLIED;
        event.index = l->applying;
        break;
    case 3:
        propose(l);
        return;
    case 4:
        event.type = RAFT_READ;
        event.read.context = next(l);
        break;
    case 5:
        event.type = RAFT_TRANSFER;
        event.transfer.target = number(l);
        break;
    case 6:
        event.type = RAFT_CAMPAIGN;
        break;
    case 7:
        event.type = RAFT_UNREACHABLE;
        event.peer = number(l);
        break;
    case 8:
        snapshot(l, next(l) % 2 == 0 ? RAFT_SNAPSHOT_CHUNK : RAFT_SNAPSHOT_RECEIVED);
        return;
    case 9:
        if (l->installing == 0)
            return;
        event.type = RAFT_SNAPSHOT_INSTALLED;
        event.index = l->installing;
        l->installing = 0;
        break;
    default:
        receive(l);
        return;
    }
    step(l, &event);
}

static void look(struct life *l)
{
    raft_poll(l->raft, &l->out);
    if (l->out.ticket != 0)
        l->ticket = l->out.ticket;
    if (l->out.apply_last != 0)
        l->applying = l->out.apply_last;
    if (l->out.install != NULL)
        l->installing = l->out.install->index;
    dkv_assert(l->out.commit >= l->commit);
    l->commit = l->out.commit;
    for (raft_index i = 1; i <= l->commit && i < LOG_MAX; i++) {
        raft_term term = raft_term_at(l->raft, i);

        if (term == 0)
            continue;
        dkv_assert(l->committed[i] == 0 || l->committed[i] == term || l->installing != 0);
        l->committed[i] = term;
    }
    answer(l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct raft_config config = {.self = 1, .seed = 7, .election_timeout_us = 100000};
    struct raft_members members = {0};
    struct raft_event start = {.type = RAFT_START, .now_us = 1000};
    struct life l = {.at = data, .end = data + size, .now_us = 1000};

    for (raft_id id = 1; id <= 3; id++)
        (void)raft_members_set(&members, id, RAFT_MEMBER_VOTER, NULL, 0);
    start.start.members = &members;
    l.payload = blob_try(256);
    memset(l.payload->bytes, 'x', l.payload->len);
    l.raft = raft_new(&config);
    dkv_assert(raft_step(l.raft, &start) == DKV_OK);
    while (l.at < l.end) {
        act(&l);
        if (next(&l) % 2 == 0)
            look(&l);
    }
    look(&l);
    raft_free(&l.raft);
    dkv_assert(l.payload->refs == 1);
    blob_unref(l.payload);
    return 0;
}
