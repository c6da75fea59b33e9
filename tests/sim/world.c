#include "tests/sim/world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "dkv/types.h"

uint64_t world__mix(uint64_t h, uint64_t v)
{
    h ^= v + 0x9e3779b97f4a7c15u + (h << 6) + (h >> 2);
    h *= 0xff51afd7ed558ccdu;
    return h ^ h >> 33;
}

void world__trace(struct world *w, uint64_t value)
{
    w->trace = world__mix(w->trace, value);
}

uint64_t world_trace(const struct world *w)
{
    return w->trace;
}

/* The queue: a binary heap; the number keeps what was first in first out. */
static bool is_before(const struct event *a, const struct event *b)
{
    return a->at_us < b->at_us || (a->at_us == b->at_us && a->number < b->number);
}

void world__schedule(struct world *w, struct event e)
{
    uint32_t i = w->queue_count++;

    e.number = ++w->event_last;
    if (w->queue_count > w->queue_max) {
        w->queue_max = w->queue_max == 0 ? 64 : w->queue_max * 2;
        w->queue = xreallocarray(w->queue, w->queue_max, sizeof(*w->queue));
    }
    for (; i > 0 && is_before(&e, &w->queue[(i - 1) / 2]); i = (i - 1) / 2)
        w->queue[i] = w->queue[(i - 1) / 2];
    w->queue[i] = e;
}

struct event world__pop(struct world *w)
{
    struct event top = w->queue[0], last = w->queue[--w->queue_count];
    uint32_t i = 0;

    for (;;) {
        uint32_t child = 2 * i + 1;

        if (child >= w->queue_count)
            break;
        if (child + 1 < w->queue_count && is_before(&w->queue[child + 1], &w->queue[child]))
            child++;
        if (is_before(&last, &w->queue[child]))
            break;
        w->queue[i] = w->queue[child];
        i = child;
    }
    w->queue[i] = last;
    return top;
}

void world__free_event(struct event *e)
{
    for (uint32_t i = 0; e->entries != NULL && i < e->message.count; i++)
        blob_unref(e->entries[i].owner);
    free(e->entries);
    free(e->snapshot);
}

static uint64_t hash_bytes(const uint8_t *bytes, uint64_t len, uint64_t seed)
{
    for (uint64_t i = 0; i < len; i++)
        seed = world__mix(seed, bytes[i]);
    return seed;
}

static struct log_entry to_log(const struct raft_entry *e)
{
    return (struct log_entry){
        .term = e->term,
        .type = e->type,
        .hash = hash_bytes(e->data, e->len, e->type),
        .blob = e->owner,
    };
}

int world__step(struct world *w, uint32_t n, struct raft_event *event)
{
    int rc;

    event->now_us = w->now_us;
    rc = raft_step(w->nodes[n].raft, event);
    check__applied(w, n);
    return rc;
}

static void open_apply(struct world *w, uint32_t n, const struct raft_output *out)
{
    struct node *node = &w->nodes[n];

    if (out->apply_first == 0)
        return;
    if (out->apply_first != node->applied + 1 || node->applying_last > node->applied)
        world__fail(w, "an apply range while another one is open", n);
    node->applying_last = out->apply_last;
    for (raft_index i = out->apply_first; i <= out->apply_last; i++) {
        const struct raft_entry *e = raft_entry_at(node->raft, i);
        const struct log_entry *written = log__at(&node->wal, i);

        if (e == NULL || e->index != i || written == NULL || to_log(e).hash != written->hash)
            world__fail(w, "an apply range whose entries are not in memory", n);
    }
    world__schedule(w, (struct event){.at_us = w->now_us + rng_below(&w->rng, 500),
                                      .type = EV_APPLY,
                                      .node = n,
                                      .epoch = node->epoch,
                                      .a = out->apply_last});
}

static void persist(struct world *w, uint32_t n, const struct raft_output *out)
{
    struct node *node = &w->nodes[n];
    struct disk_op op = {.ticket = out->ticket,
                         .hard_changed = out->hard_changed,
                         .hard = out->hard,
                         .truncate_from = out->truncate_from,
                         .first = out->append_first,
                         .count = out->append_count};

    if (out->ticket != 0) {
        op.entries = xcalloc(op.count, sizeof(*op.entries));
        if (op.truncate_from != 0)
            log__truncate(&node->wal, op.truncate_from);
        for (uint32_t i = 0; i < op.count; i++) {
            op.entries[i] = to_log(raft_entry_at(node->raft, op.first + i));
            if (op.entries[i].blob != NULL)
                blob_ref(op.entries[i].blob);
            if (log__last(&node->wal) + 1 != op.first + i)
                world__fail(w, "a gap in what is to be written", n);
            log__append(&node->wal, &op.entries[i]);
            check__append(w, n, op.first + i);
        }
        disk__submit(w, n, op);
    }
    if (out->install != NULL) {
        struct disk_op install = {.install = node->incoming};

        if (node->incoming == NULL || node->incoming->index != out->install->index)
            world__fail(w, "an install that nobody announced", n);
        node->incoming = NULL;
        disk__submit(w, n, install);
    }
}

static void serve_read(struct world *w, uint32_t n, struct read *read)
{
    if (w->nodes[n].applied < read->index)
        return;
    if (w->nodes[n].applied < read->required)
        world__fail(w, "I-19: a read missed what was acknowledged before it", n);
    if (w->nodes[n].applied > w->acknowledged)
        w->acknowledged = w->nodes[n].applied;
    read->is_open = false;
    w->reads_done++;
}

static struct read *find_read(struct world *w, uint32_t n, uint64_t context)
{
    for (uint32_t i = 0; i < w->nodes[n].reads_count; i++) {
        struct read *read = &w->nodes[n].reads[i];

        if (read->context == context && read->is_open && read->index == 0)
            return read;
    }
    world__fail(w, "an answer to a read that is not open", n);
}

static void answer_reads(struct world *w, uint32_t n, const struct raft_output *out)
{
    struct node *node = &w->nodes[n];
    uint32_t kept = 0;

    for (uint32_t i = 0; i < out->reads_ok_count; i++) {
        struct read *read = find_read(w, n, out->reads_ok[i].context);

        if (out->reads_ok[i].index < read->required)
            world__fail(w, "I-19: a read index below what was acknowledged", n);
        read->index = out->reads_ok[i].index;
    }
    for (uint32_t i = 0; i < out->reads_failed_count; i++)
        find_read(w, n, out->reads_failed[i].context)->is_open = false;
    for (uint32_t i = 0; i < node->reads_count; i++) {
        if (node->reads[i].index != 0 && node->reads[i].is_open)
            serve_read(w, n, &node->reads[i]);
        if (node->reads[i].is_open)
            node->reads[kept++] = node->reads[i];
    }
    node->reads_count = kept;
}

static void fetch(struct world *w, uint32_t n, const struct raft_output *out)
{
    for (uint32_t i = 0; i < out->want_fetch_count; i++) {
        const struct raft_want_fetch *f = &out->want_fetch[i];

        world__schedule(w, (struct event){.at_us = w->now_us + rng_below(&w->rng, 2000),
                                          .type = EV_FETCHED,
                                          .node = n,
                                          .epoch = w->nodes[n].epoch,
                                          .a = f->peer,
                                          .b = f->first,
                                          .c = f->last});
    }
}

void world__poll(struct world *w, uint32_t n)
{
    struct node *node = &w->nodes[n];
    struct raft_output out;

    raft_poll(node->raft, &out);
    node->poll_pending = false;
    persist(w, n, &out);
    check__output(w, n, &out);
    if (w->verbose && out.role_changed)
        printf("%10" PRIu64 " n%u %s term %" PRIu64 " leader %" PRIu64 ": %s\n", w->now_us, n + 1,
               raft_role_text(out.role), out.term, out.leader, raft_why_text(out.why));
    world__send_packets(w, n, &out);
    world__send_snapshots(w, n, &out);
    open_apply(w, n, &out);
    fetch(w, n, &out);
    answer_reads(w, n, &out);
    node->deadline_us = raft_deadline_us(node->raft);
    world__trace(w, raft_digest(node->raft));
}

/* Sometimes more events come before the poll, as in a busy loop turn. */
static void poll_soon(struct world *w, uint32_t n)
{
    struct node *node = &w->nodes[n];

    if (node->poll_pending)
        return;
    if (rng_below(&w->rng, 4) != 0) {
        world__poll(w, n);
        return;
    }
    node->poll_pending = true;
    world__schedule(w, (struct event){.at_us = w->now_us + rng_below(&w->rng, 300),
                                      .type = EV_POLL,
                                      .node = n,
                                      .epoch = node->epoch});
}

static bool is_own_proposal(struct node *node, raft_index index, raft_term term)
{
    for (uint32_t i = 0; i < node->proposals_count; i++) {
        if (node->proposals[i].index == index && node->proposals[i].term == term) {
            node->proposals[i] = node->proposals[--node->proposals_count];
            return true;
        }
    }
    return false;
}

static void apply(struct world *w, uint32_t n, raft_index last)
{
    struct node *node = &w->nodes[n];
    struct raft_event event = {.type = RAFT_APPLIED, .index = last};

    if (last <= node->applied)
        return; /* an install came between */
    for (raft_index i = node->applied + 1; i <= last; i++) {
        const struct log_entry *e = log__at(&node->wal, i);

        check__apply(w, n, i, e);
        node->state = world__mix(node->state, e->hash);
        node->applied = i;
        if (is_own_proposal(node, i, e->term)) {
            w->writes_acked++;
            if (i > w->acknowledged)
                w->acknowledged = i;
        }
    }
    world__step(w, n, &event);
    if (w->config.compact_every != 0 &&
        node->applied >= node->snapshot.index + w->config.compact_every)
        world_snapshot(w, n);
}

void world_snapshot(struct world *w, uint32_t n)
{
    struct node *node = &w->nodes[n];
    raft_index keep = rng_below(&w->rng, 8), index;
    struct raft_event event = {.type = RAFT_COMPACTED};
    static struct raft_status s; /* big */

    raft_status(node->raft, &s);
    if (s.is_installing || node->applied <= node->snapshot.index ||
        log__last(&node->disk) < node->applied)
        return;
    node->snapshot.index = node->applied;
    node->snapshot.term = log__term(&node->wal, node->applied);
    node->snapshot.state = node->state;
    node->snapshot.members = *raft_members_at(node->raft, node->applied);
    index = node->applied > keep ? node->applied - keep : 0;
    if (index <= node->wal.prev)
        return;
    event.compacted.index = index;
    event.compacted.term = log__term(&node->wal, index);
    if (world__step(w, n, &event) != DKV_OK)
        world__fail(w, "compaction was refused", n);
    log__compact(&node->wal, index);
    log__compact(&node->disk, index);
}

static void fetched(struct world *w, struct event *e)
{
    struct node *node = &w->nodes[e->node];
    struct raft_entry entries[64];
    struct raft_event event = {.type = RAFT_FETCHED};
    uint64_t most = 1 + rng_below(&w->rng, 64);

    event.fetched.peer = e->a;
    event.fetched.first = e->b;
    event.fetched.entries = entries;
    for (raft_index i = e->b; i <= e->c && event.fetched.count < most; i++) {
        const struct log_entry *l = log__at(&node->wal, i);

        if (l == NULL || rng_below(&w->rng, 50) == 0)
            break;
        entries[event.fetched.count++] = (struct raft_entry){
            .index = i,
            .term = l->term,
            .type = l->type,
            .len = l->blob == NULL ? 0 : l->blob->len,
            .data = l->blob == NULL ? NULL : l->blob->bytes,
            .owner = l->blob,
        };
    }
    world__step(w, e->node, &event);
}

static void receive(struct world *w, struct event *e)
{
    struct raft_event event = {.type = RAFT_RECEIVE, .message = &e->message};

    if (w->cut[e->message.from - 1][e->node])
        return;
    e->message.entries = e->entries;
    if (world__step(w, e->node, &event) != DKV_OK)
        world__fail(w, "an honest message was refused", e->node);
}

static void handle(struct world *w, struct event *e)
{
    struct node *node = &w->nodes[e->node];

    if (!node->is_up || (e->epoch != 0 && e->epoch != node->epoch))
        return;
    world__trace(w, world__mix(e->type, e->node));
    switch (e->type) {
    case EV_PACKET:
        receive(w, e);
        break;
    case EV_DISK:
        disk__work(w, e->node, false);
        break;
    case EV_APPLY:
        apply(w, e->node, e->a);
        break;
    case EV_POLL:
        if (node->poll_pending)
            world__poll(w, e->node);
        return;
    case EV_FETCHED:
        fetched(w, e);
        break;
    default:
        world__on_snapshot_event(w, e);
        break;
    }
    poll_soon(w, e->node);
}

/* The next deadline of any node, RAFT_TICK being an event like others. */
static int next_tick(const struct world *w, uint64_t *at_out)
{
    int who = -1;

    for (uint32_t i = 0; i < w->config.nodes; i++) {
        if (w->nodes[i].is_up && !w->nodes[i].poll_pending &&
            (who < 0 || w->nodes[i].deadline_us < *at_out)) {
            who = (int)i;
            *at_out = w->nodes[i].deadline_us;
        }
    }
    return who;
}

void world_run(struct world *w, uint64_t for_us)
{
    uint64_t until_us = w->now_us + for_us;

    for (;;) {
        uint64_t tick_us = UINT64_MAX;
        int who = next_tick(w, &tick_us);

        w->events_count++;
        if (w->queue_count > 0 && w->queue[0].at_us <= tick_us && w->queue[0].at_us <= until_us) {
            struct event e = world__pop(w);

            if (e.at_us > w->now_us)
                w->now_us = e.at_us;
            handle(w, &e);
            world__free_event(&e);
        } else if (who >= 0 && tick_us <= until_us) {
            struct raft_event event = {.type = RAFT_TICK};

            if (tick_us > w->now_us)
                w->now_us = tick_us;
            world__step(w, (uint32_t)who, &event);
            world__poll(w, (uint32_t)who);
        } else {
            break;
        }
    }
    w->now_us = until_us;
}

void world_event(struct world *w, uint32_t n, struct raft_event event)
{
    if (!w->nodes[n].is_up)
        return;
    world__step(w, n, &event);
    poll_soon(w, n);
}

int world_propose(struct world *w, uint32_t n, uint32_t count, uint32_t len_max)
{
    struct node *node = &w->nodes[n];
    struct raft_payload payloads[16];
    struct proposal first = {0, 0};
    struct raft_event event = {.type = RAFT_PROPOSE};
    int rc;

    for (uint32_t i = 0; i < count; i++) {
        struct blob *b = blob_try((uint32_t)rng_below(&w->rng, len_max) + 1);

        for (uint32_t k = 0; k < b->len; k++)
            b->bytes[k] = (uint8_t)rng_next(&w->rng);
        payloads[i] = (struct raft_payload){b->bytes, b->len, b};
    }
    event.propose.payloads = payloads;
    event.propose.count = count;
    event.propose.first_out = &first.index;
    event.propose.term_out = &first.term;
    rc = world__step(w, n, &event);
    for (uint32_t i = 0; i < count; i++) {
        blob_unref(payloads[i].owner);
        if (rc != DKV_OK)
            continue;
        if (node->proposals_count == node->proposals_max) {
            node->proposals_max = node->proposals_max == 0 ? 64 : node->proposals_max * 2;
            node->proposals =
                xreallocarray(node->proposals, node->proposals_max, sizeof(*node->proposals));
        }
        node->proposals[node->proposals_count++] = (struct proposal){first.index + i, first.term};
    }
    poll_soon(w, n);
    return rc;
}

void world_read(struct world *w, uint32_t n)
{
    struct node *node = &w->nodes[n];
    struct raft_event event = {.type = RAFT_READ, .read.context = ++w->context_last};

    if (node->reads_count == node->reads_max) {
        node->reads_max = node->reads_max == 0 ? 64 : node->reads_max * 2;
        node->reads = xreallocarray(node->reads, node->reads_max, sizeof(*node->reads));
    }
    node->reads[node->reads_count++] =
        (struct read){.context = w->context_last, .required = w->acknowledged, .is_open = true};
    world__step(w, n, &event);
    poll_soon(w, n);
}
