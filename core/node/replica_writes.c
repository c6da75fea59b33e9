/* Writes: proposed by a leader, handed to replica_forward.c by a follower, held while there is no
 * leader, and answered when they are applied, or when their time is up. */
#include "node/replica_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

/* What one turn proposes at most; the rest goes the turn after. */
enum { PROPOSAL_MAX = 4096 };

void replica__complete_write(struct replica *r, struct api_write *write, int status,
                             struct kv_result result)
{
    list_remove(&write->link);
    blob_unref(write->command);
    write->command = NULL;
    write->status = status;
    write->result = result;
    r->writes_count--;
    write->done(write);
}

void replica__fail_write(struct replica *r, struct api_write *write, int status)
{
    replica__complete_write(r, write, status, (struct kv_result){0});
}

void replica_write(struct replica *replica, struct api_write *write)
{
    write->accepted_us = replica__now(replica);
    write->deadline_us = write->accepted_us + replica->config.request_timeout_us;
    replica->writes_count++;
    list_push(&replica->writes_new, &write->link);
    replica->needs_turn = true;
}

/* --- as leader --- */

static void reserve_proposal(struct replica *r)
{
    if (r->proposal_cap > 0)
        return;
    r->proposal_cap = PROPOSAL_MAX;
    r->payloads = xreallocarray(NULL, PROPOSAL_MAX, sizeof(*r->payloads));
    r->proposed = xreallocarray(NULL, PROPOSAL_MAX, sizeof(*r->proposed));
}

static uint32_t collect(struct replica *r)
{
    uint32_t count = 0;

    for (struct list *at = r->writes_new.next; at != &r->writes_new && count < PROPOSAL_MAX;
         at = at->next) {
        struct api_write *write = container_of(at, struct api_write, link);

        r->proposed[count] = write;
        r->payloads[count++] = (struct raft_payload){
            .data = write->command->bytes, .len = write->command->len, .owner = write->command};
    }
    return count;
}

static void refuse_all_new(struct replica *r, int status)
{
    while (!list_is_empty(&r->writes_new))
        replica__fail_write(r, container_of(r->writes_new.next, struct api_write, link), status);
}

static void propose_as_leader(struct replica *r)
{
    raft_index first = 0;
    raft_term term = 0;
    struct raft_event event = {.type = RAFT_PROPOSE};

    reserve_proposal(r);
    event.propose.payloads = r->payloads;
    event.propose.count = collect(r);
    event.propose.first_out = &first;
    event.propose.term_out = &term;
    if (replica__step(r, &event) != DKV_OK)
        return; /* they stay, and are tried again in the next turn, until their time is up */
    for (uint32_t i = 0; i < event.propose.count; i++) {
        struct api_write *write = r->proposed[i];

        list_remove(&write->link);
        pending_push(&r->pending, first + i, term, write);
    }
    phases_note(&r->phases, PHASE_PROPOSED, first + event.propose.count - 1, r->now_us);
    r->needs_turn = r->needs_turn || !list_is_empty(&r->writes_new);
}

void replica__propose(struct replica *r)
{
    if (list_is_empty(&r->writes_new))
        return;
    if (r->role == RAFT_LEADER && replica__is_full(r)) {
        refuse_all_new(r, DKV_ENOSPC);
        return;
    }
    if (r->role == RAFT_LEADER) {
        propose_as_leader(r);
        return;
    }
    replica__forward(r);
}

/* --- results --- */

void replica__answer_applied(struct replica *r, const struct kv_batch *batch)
{
    struct pending_slot *slot;
    bool is_told = false;

    while ((slot = pending_first(&r->pending)) != NULL && slot->index <= batch->state.index) {
        struct pending_slot s = *slot;
        size_t i = (size_t)(s.index - batch->entries[0].index);

        pending_pop(&r->pending);
        if (s.write == NULL)
            continue;
        is_told = is_told || replica__tell_if_slow(r, s.write, s.index);
        /* An entry of another term is committed at this index, so ours never will be. */
        if (s.index < batch->entries[0].index || i >= batch->count)
            replica__fail_write(r, s.write, DKV_EUNCERTAIN);
        else if (batch->entries[i].term != s.term)
            replica__fail_write(r, s.write, DKV_EUNAVAIL);
        else
            replica__complete_write(r, s.write, DKV_OK, batch->results[i]);
    }
}

/* Entries that left our log.  A copy may be in another log and be committed later by a leader that
 * has it, so nobody is told that it was not done. */
void replica__drop_pending(struct replica *r, raft_index from, raft_term term)
{
    struct pending_slot *slot;

    while ((slot = pending_last(&r->pending)) != NULL && slot->index >= from &&
           slot->term <= term) {
        struct api_write *write = slot->write;

        pending_pop_last(&r->pending);
        if (write != NULL)
            replica__fail_write(r, write, DKV_EUNCERTAIN);
    }
}

/* --- ends --- */

static void expire_list(struct replica *r, struct list *writes, uint64_t now_us, int status)
{
    while (!list_is_empty(writes)) {
        struct api_write *first = container_of(writes->next, struct api_write, link);

        if (first->deadline_us > now_us)
            return; /* later ones have later deadlines */
        replica__fail_write(r, first, status);
    }
}

static void expire_pending(struct replica *r, uint64_t now_us, int status)
{
    bool is_told = false;

    for (size_t i = 0; i < r->pending.count; i++) {
        struct pending_slot *slot = pending_at(&r->pending, i);
        struct api_write *write = slot->write;

        if (write == NULL)
            continue;
        if (write->deadline_us > now_us)
            return;
        is_told = is_told || replica__tell_if_slow(r, write, slot->index);
        slot->write = NULL;
        replica__fail_write(r, write, status);
    }
}

void replica__expire_writes(struct replica *r)
{
    expire_list(r, &r->writes_new, r->now_us, DKV_EUNAVAIL);
    replica__expire_forwarded(r, r->now_us);
    expire_pending(r, r->now_us, DKV_EUNCERTAIN);
}

void replica__cancel_writes(struct replica *r)
{
    expire_list(r, &r->writes_new, UINT64_MAX, DKV_ECANCELED);
    replica__expire_forwarded(r, UINT64_MAX);
    expire_pending(r, UINT64_MAX, DKV_EUNCERTAIN);
}
