/* Barriers: one ReadIndex round for all reads of a turn, then a wait for the local apply. */
#include "node/replica_private.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"

static void complete(struct api_barrier *barrier, int status)
{
    list_remove(&barrier->link);
    barrier->status = status;
    barrier->done(barrier);
}

void replica_barrier(struct replica *replica, struct api_barrier *barrier)
{
    uint64_t wait_us = replica->config.request_timeout_us;

    if (barrier->wait_max_us != 0 && barrier->wait_max_us < wait_us)
        wait_us = barrier->wait_max_us;
    barrier->deadline_us = replica__now(replica) + wait_us;
    list_push(&replica->barriers_new, &barrier->link);
    replica->needs_turn = true;
}

void replica__ask_reads(struct replica *r)
{
    struct raft_event event = {.type = RAFT_READ};
    struct read_batch *batch;

    if (list_is_empty(&r->barriers_new) || r->leader == 0 || r->now_us < r->reads_pause_us)
        return;
    batch = xmalloc(sizeof(*batch));
    batch->id = r->next_batch++;
    list_init(&batch->barriers);
    event.read.context = batch->id;
    if (replica__step(r, &event) != DKV_OK) {
        free(batch); /* the barriers stay and are asked again next turn, until their time is up */
        return;
    }
    list_splice(&batch->barriers, &r->barriers_new);
    list_push(&r->batches, &batch->link);
}

static struct read_batch *take_batch(struct replica *r, uint64_t id)
{
    for (struct list *at = r->batches.next; at != &r->batches; at = at->next) {
        struct read_batch *batch = container_of(at, struct read_batch, link);

        if (batch->id == id) {
            list_remove(&batch->link);
            return batch;
        }
    }
    return NULL;
}

/* Rounds are confirmed in order, so the index almost always belongs at the end. */
static void wait_for(struct replica *r, struct api_barrier *barrier)
{
    struct list *at = r->barriers_waiting.prev;

    while (at != &r->barriers_waiting &&
           container_of(at, struct api_barrier, link)->index > barrier->index)
        at = at->prev;
    list_insert_before(at->next, &barrier->link);
}

void replica__read_ready(struct replica *r, uint64_t id, raft_index index)
{
    struct read_batch *batch = take_batch(r, id);
    struct list *node;

    if (batch == NULL)
        return;
    while ((node = list_pop(&batch->barriers)) != NULL) {
        struct api_barrier *barrier = container_of(node, struct api_barrier, link);

        barrier->index = index;
        if (index <= r->state.index)
            complete(barrier, DKV_OK);
        else
            wait_for(r, barrier);
    }
    free(batch);
}

/* A read has no effect, so it is simply asked again, with a new id, until its time is up; but not
 * at once of who has just refused. */
void replica__read_failed(struct replica *r, const struct raft_read_failed *failed)
{
    struct read_batch *batch = take_batch(r, failed->context);

    if (failed->why == RAFT_WHY_REFUSED || failed->why == RAFT_WHY_LIMIT)
        r->reads_pause_us = r->now_us + r->config.heartbeat_us;

    if (batch == NULL)
        return;
    list_splice(&r->barriers_new, &batch->barriers);
    free(batch);
}

void replica__release_barriers(struct replica *r)
{
    while (!list_is_empty(&r->barriers_waiting)) {
        struct api_barrier *first =
            container_of(r->barriers_waiting.next, struct api_barrier, link);

        if (first->index > r->state.index)
            return;
        complete(first, DKV_OK);
    }
}

static void expire(struct list *barriers, uint64_t now_us, int status)
{
    struct list *at = barriers->next;

    while (at != barriers) {
        struct api_barrier *barrier = container_of(at, struct api_barrier, link);

        at = at->next;
        if (barrier->deadline_us <= now_us)
            complete(barrier, status);
    }
}

static void expire_all(struct replica *r, uint64_t now_us, int status)
{
    struct list *at = r->batches.next;

    expire(&r->barriers_new, now_us, status);
    expire(&r->barriers_waiting, now_us, status);
    while (at != &r->batches) {
        struct read_batch *batch = container_of(at, struct read_batch, link);

        at = at->next;
        expire(&batch->barriers, now_us, status);
        if (list_is_empty(&batch->barriers)) {
            list_remove(&batch->link);
            free(batch);
        }
    }
}

void replica__expire_reads(struct replica *r)
{
    expire_all(r, r->now_us, DKV_EUNAVAIL);
}

void replica__cancel_reads(struct replica *r)
{
    expire_all(r, UINT64_MAX, DKV_ECANCELED);
}
