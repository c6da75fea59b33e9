#include "raft/types.h"

#include <string.h>

#include "base/codec.h"
#include "dkv/types.h"

#define MEMBERS_VERSION 1
#define HEADER_BYTES    4
#define MEMBER_BYTES    12

static bool flags_are_valid(uint8_t flags)
{
    switch (flags) {
    case RAFT_MEMBER_VOTER:
    case RAFT_MEMBER_VOTER | RAFT_MEMBER_OUTGOING:
    case RAFT_MEMBER_OUTGOING:
    case RAFT_MEMBER_OUTGOING | RAFT_MEMBER_LEARNER:
    case RAFT_MEMBER_LEARNER:
        return true;
    default:
        return false;
    }
}

int raft_members_set(struct raft_members *m, raft_id id, uint8_t flags, const void *info,
                     size_t info_len)
{
    uint32_t at = 0;
    struct raft_member *member;

    if (id == 0 || !flags_are_valid(flags))
        return DKV_EINVAL;
    if (info_len > RAFT_MEMBER_INFO_MAX)
        return DKV_ETOOBIG;
    while (at < m->count && m->member[at].id < id)
        at++;
    member = &m->member[at];
    if (at == m->count || member->id != id) {
        if (m->count == RAFT_MEMBERS_MAX)
            return DKV_ETOOBIG;
        memmove(member + 1, member, (m->count - at) * sizeof(*member));
        m->count++;
    }
    memset(member, 0, sizeof(*member));
    member->id = id;
    member->flags = flags;
    member->info_len = (uint16_t)info_len;
    if (info_len > 0)
        memcpy(member->info, info, info_len);
    return DKV_OK;
}

const struct raft_member *raft_members_find(const struct raft_members *m, raft_id id)
{
    for (uint32_t i = 0; i < m->count; i++) {
        if (m->member[i].id == id)
            return &m->member[i];
    }
    return NULL;
}

bool raft_members_is_joint(const struct raft_members *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        if ((m->member[i].flags & RAFT_MEMBER_OUTGOING) != 0)
            return true;
    }
    return false;
}

bool raft_members_equal(const struct raft_members *a, const struct raft_members *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++) {
        const struct raft_member *x = &a->member[i], *y = &b->member[i];

        if (x->id != y->id || x->flags != y->flags || x->info_len != y->info_len ||
            memcmp(x->info, y->info, x->info_len) != 0)
            return false;
    }
    return true;
}

int raft_members_check(const struct raft_members *m)
{
    raft_id before = 0;
    bool has_voter = false;

    if (m->count > RAFT_MEMBERS_MAX)
        return DKV_EINVAL;
    for (uint32_t i = 0; i < m->count; i++) {
        const struct raft_member *member = &m->member[i];

        if (member->id <= before || !flags_are_valid(member->flags) ||
            member->info_len > RAFT_MEMBER_INFO_MAX)
            return DKV_EINVAL;
        before = member->id;
        has_voter = has_voter || (member->flags & RAFT_MEMBER_VOTER) != 0;
    }
    return has_voter ? DKV_OK : DKV_EINVAL;
}

size_t raft_members_size(const struct raft_members *m)
{
    size_t size = HEADER_BYTES;

    for (uint32_t i = 0; i < m->count; i++)
        size += MEMBER_BYTES + m->member[i].info_len;
    return size;
}

size_t raft_members_encode(const struct raft_members *m, uint8_t *to)
{
    uint8_t *at = to;

    at[0] = MEMBERS_VERSION;
    at[1] = 0;
    put_u16(at + 2, (uint16_t)m->count);
    at += HEADER_BYTES;
    for (uint32_t i = 0; i < m->count; i++) {
        const struct raft_member *member = &m->member[i];

        put_u64(at, member->id);
        at[8] = member->flags;
        at[9] = 0;
        put_u16(at + 10, member->info_len);
        memcpy(at + MEMBER_BYTES, member->info, member->info_len);
        at += MEMBER_BYTES + member->info_len;
    }
    return (size_t)(at - to);
}

static void decode_member(struct decoder *d, struct raft_member *member)
{
    const uint8_t *info;

    member->id = decoder_u64(d);
    member->flags = decoder_u8(d);
    (void)decoder_u8(d);
    member->info_len = decoder_u16(d);
    if (member->info_len > RAFT_MEMBER_INFO_MAX) {
        d->failed = true;
        return;
    }
    info = decoder_bytes(d, member->info_len);
    if (info != NULL)
        memcpy(member->info, info, member->info_len);
}

int raft_members_decode(const void *data, size_t len, struct raft_members *members_out)
{
    struct raft_members m;
    struct decoder d;
    uint8_t version;

    memset(&m, 0, sizeof(m));
    decoder_init(&d, data, len);
    version = decoder_u8(&d);
    (void)decoder_u8(&d);
    m.count = decoder_u16(&d);
    if (d.failed || version == 0)
        return DKV_ECORRUPT;
    if (version > MEMBERS_VERSION)
        return DKV_ENOTSUP;
    if (m.count > RAFT_MEMBERS_MAX)
        return DKV_ECORRUPT;
    for (uint32_t i = 0; i < m.count; i++)
        decode_member(&d, &m.member[i]);
    if (d.failed || decoder_left(&d) != 0 || raft_members_check(&m) != DKV_OK)
        return DKV_ECORRUPT;
    *members_out = m;
    return DKV_OK;
}
