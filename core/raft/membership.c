/* Which configuration is in force.  It takes effect when its entry is appended, and truncation
 * takes it back (D9), so the history from the compaction point on is kept. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "raft/core.h"

const struct raft_members *raft__members(const struct raft *r)
{
    return r->confs[r->confs_count - 1].members;
}

uint32_t raft__slot(const struct raft *r, raft_id id)
{
    for (uint32_t i = 0; i < r->peers_count; i++) {
        if (r->peers[i].id == id)
            return i;
    }
    return RAFT_MEMBERS_MAX;
}

struct raft_peer *raft__peer(struct raft *r, raft_id id)
{
    uint32_t slot = raft__slot(r, id);

    return slot == RAFT_MEMBERS_MAX || id == r->config.self ? NULL : &r->peers[slot];
}

uint64_t raft__voters(const struct raft *r)
{
    return r->quorum.incoming | r->quorum.outgoing;
}

/* Slots follow the latest configuration; who stays keeps its progress.  Votes counted so far belong
 * to the old slots, but a candidate never appends: it has become a follower by then. */
static void take_effect(struct raft *r)
{
    const struct raft_members *m = raft__members(r);
    struct raft_peer old[RAFT_MEMBERS_MAX];
    uint32_t old_count = r->peers_count;

    dkv_assert(r->role == RAFT_FOLLOWER);
    memcpy(old, r->peers, sizeof(old));
    memset(r->peers, 0, sizeof(r->peers));
    r->quorum = (struct raft_quorum){0, 0};
    r->self_slot = RAFT_MEMBERS_MAX;
    r->peers_count = m->count;
    for (uint32_t i = 0; i < m->count; i++) {
        uint64_t bit = (uint64_t)1 << i;
        uint8_t flags = m->member[i].flags;

        for (uint32_t k = 0; k < old_count; k++) {
            if (old[k].id == m->member[i].id) {
                r->peers[i] = old[k];
                old[k] = (struct raft_peer){0};
            }
        }
        r->peers[i].id = m->member[i].id;
        if (m->member[i].id == r->config.self)
            r->self_slot = i;
        if ((flags & RAFT_MEMBER_VOTER) != 0 || MUTANT(24))
            r->quorum.incoming |= bit;
        if ((flags & RAFT_MEMBER_OUTGOING) != 0)
            r->quorum.outgoing |= bit;
    }
    for (uint32_t k = 0; k < old_count; k++)
        raft__peer_fini(&old[k]);
    r->members_changed = true;
}

static void push(struct raft *r, raft_index index, const struct raft_members *m)
{
    struct raft_members *copy = xmalloc(sizeof(*copy));

    *copy = *m;
    if (r->confs_count == r->confs_max) {
        r->confs_max = r->confs_max == 0 ? 4 : r->confs_max * 2;
        r->confs = xreallocarray(r->confs, r->confs_max, sizeof(*r->confs));
    }
    r->confs[r->confs_count++] = (struct raft_conf){index, copy};
}

static void pop(struct raft *r)
{
    free(r->confs[--r->confs_count].members);
}

void raft__conf_fini(struct raft *r)
{
    while (r->confs_count > 0)
        pop(r);
    free(r->confs);
    for (uint32_t i = 0; i < r->peers_count; i++)
        raft__peer_fini(&r->peers[i]);
    r->peers_count = 0;
}

void raft__conf_reset(struct raft *r, raft_index index, const struct raft_members *members)
{
    struct raft_members copy = *members; /* may be one of ours */

    while (r->confs_count > 0)
        pop(r);
    push(r, index, &copy);
    take_effect(r);
}

int raft__conf_start(struct raft *r, const struct raft_start *start)
{
    struct raft_members m;
    raft_index before = start->snapshot_index;

    if (start->members == NULL || raft_members_check(start->members) != DKV_OK)
        return DKV_EINVAL;
    for (uint32_t i = 0; i < start->configs_count; i++) {
        const struct raft_entry *e = &start->configs[i];

        if (e->type != RAFT_ENTRY_CONFIG || e->index <= before || e->index > start->last_index ||
            raft_members_decode(e->data, e->len, &m) != DKV_OK)
            return DKV_ECORRUPT;
        before = e->index;
    }
    raft__conf_reset(r, start->snapshot_index, start->members);
    for (uint32_t i = 0; i < start->configs_count; i++)
        raft__conf_append(r, &start->configs[i]);
    return DKV_OK;
}

void raft__conf_append(struct raft *r, const struct raft_entry *e)
{
    struct raft_members m;
    int rc = raft_members_decode(e->data, e->len, &m);

    dkv_assert(rc == DKV_OK); /* checked when the entry came in */
    push(r, e->index, &m);
    take_effect(r);
}

void raft__conf_truncate(struct raft *r, raft_index from)
{
    bool is_changed = false;

    while (r->confs_count > 1 && r->confs[r->confs_count - 1].index >= from) {
        pop(r);
        is_changed = true;
    }
    if (is_changed && !MUTANT(29))
        take_effect(r);
}

const struct raft_conf *raft__conf_at(const struct raft *r, raft_index index)
{
    uint32_t i = r->confs_count - 1;

    while (i > 0 && r->confs[i].index > index)
        i--;
    return &r->confs[MUTANT(25) ? r->confs_count - 1 : i];
}

void raft__conf_compact(struct raft *r, raft_index index)
{
    uint32_t gone = 0;

    while (gone + 1 < r->confs_count && r->confs[gone + 1].index <= index)
        free(r->confs[gone++].members);
    r->confs_count -= gone;
    memmove(r->confs, r->confs + gone, r->confs_count * sizeof(*r->confs));
}
