#include "node/identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/buf.h"
#include "base/codec.h"
#include "base/error.h"
#include "base/mem.h"

raft_id identity_node_id(const char *name)
{
    raft_id id = XXH3_64bits(name, strlen(name));

    return id == 0 ? 1 : id;
}

static int by_name(const void *a, const void *b)
{
    const struct replica_member *x = a, *y = b;

    return strcmp(x->name, y->name);
}

static int add_members(struct identity *identity, const struct conf_peer_list *peers,
                       struct dkv_error *err)
{
    if (peers->count > API_MEMBERS_MAX)
        return dkv_error_set(err, DKV_EINVAL,
                             "cluster.peers has %zu nodes, at most %d are possible", peers->count,
                             API_MEMBERS_MAX);
    for (size_t i = 0; i < peers->count; i++) {
        struct replica_member *m = &identity->members[i];

        m->id = identity_node_id(peers->items[i].name);
        snprintf(m->name, sizeof(m->name), "%s", peers->items[i].name);
        snprintf(m->peer, sizeof(m->peer), "%s", peers->items[i].address.text);
        for (size_t k = 0; k < i; k++) {
            if (identity->members[k].id == m->id)
                return dkv_error_set(
                    err, DKV_EINVAL,
                    "cluster.peers: the names %s and %s give the same id; rename one",
                    identity->members[k].name, m->name);
        }
    }
    identity->members_count = peers->count;
    qsort(identity->members, identity->members_count, sizeof(identity->members[0]), by_name);
    return DKV_OK;
}

/* All nodes make the same id from the same line, in any order of its entries, without asking. */
static void make_cluster_id(struct identity *identity)
{
    struct buf text = {0};
    XXH128_hash_t hash;

    buf_addf(&text, "%s\n", identity->dir.cluster_name);
    for (size_t i = 0; i < identity->members_count; i++)
        buf_addf(&text, "%s=%s\n", identity->members[i].name, identity->members[i].peer);
    hash = XXH3_128bits(text.data, text.len);
    put_u64(identity->dir.cluster_id, hash.high64);
    put_u64(identity->dir.cluster_id + 8, hash.low64);
    buf_fini(&text);
}

int identity_init(struct identity *identity, const struct settings *settings, uint64_t random,
                  struct dkv_error *err)
{
    struct datadir_identity *dir = &identity->dir;
    size_t used = 0;
    int status;

    memset(identity, 0, sizeof(*identity));
    snprintf(dir->node_name, sizeof(dir->node_name), "%s", settings->node.name);
    snprintf(dir->cluster_name, sizeof(dir->cluster_name), "%s", settings->cluster.name);
    dir->incarnation = random == 0 ? 1 : random;
    identity->self = identity_node_id(settings->node.name);
    status = add_members(identity, &settings->cluster.peers, err);
    if (status != DKV_OK)
        return status;
    make_cluster_id(identity);
    for (size_t i = 0; i < identity->members_count && used < sizeof(dir->members); i++)
        used += (size_t)snprintf(dir->members + used, sizeof(dir->members) - used, "%s%s=%s",
                                 i == 0 ? "" : ", ", identity->members[i].name,
                                 identity->members[i].peer);
    return DKV_OK;
}

static const struct replica_member *find_name(const struct replica_member *members, size_t count,
                                              const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(members[i].name, name) == 0)
            return &members[i];
    }
    return NULL;
}

/* "name=host:port" */
static bool parse_member(const char *text, struct replica_member *member_out)
{
    const char *equals = strchr(text, '=');
    size_t name_len = equals == NULL ? 0 : (size_t)(equals - text);

    if (name_len == 0 || name_len >= sizeof(member_out->name) ||
        strlen(equals + 1) >= sizeof(member_out->peer))
        return false;
    *member_out = (struct replica_member){0};
    memcpy(member_out->name, text, name_len);
    memcpy(member_out->peer, equals + 1, strlen(equals + 1));
    member_out->id = identity_node_id(member_out->name);
    return true;
}

int identity_adopt_members(struct identity *identity, bool *differ_out)
{
    struct replica_member *wanted = identity->members, *kept;
    char text[DATADIR_MEMBERS_TEXT_MAX], *at = text, *part;
    size_t count = 0;
    int status = DKV_OK;

    memcpy(text, identity->dir.members, sizeof(text));
    kept = xcalloc(API_MEMBERS_MAX, sizeof(*kept));
    *differ_out = false;
    while (status == DKV_OK && (part = strsep(&at, ",")) != NULL) {
        const struct replica_member *now;

        part += strspn(part, " ");
        if (count == API_MEMBERS_MAX || !parse_member(part, &kept[count])) {
            status = DKV_ECORRUPT;
            break;
        }
        now = find_name(wanted, identity->members_count, kept[count].name);
        if (now != NULL)
            memcpy(kept[count].peer, now->peer, sizeof(now->peer));
        else
            *differ_out = true;
        count++;
    }
    *differ_out = *differ_out || count != identity->members_count;
    if (status == DKV_OK) {
        memcpy(identity->members, kept, count * sizeof(*kept));
        identity->members_count = count;
    }
    free(kept);
    return status;
}
