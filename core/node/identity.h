/* Who this node is and who the others are, out of the configuration. */
#ifndef NODE_IDENTITY_H
#define NODE_IDENTITY_H

#include "conf/settings.h"
#include "node/datadir.h"
#include "node/replica.h"

struct identity {
    struct datadir_identity dir; /* names, ids, incarnation; corrected by the data directory */
    raft_id self;
    struct replica_member members[API_MEMBERS_MAX];
    size_t members_count;
};

/* A node's id, made from its name; never 0. */
raft_id identity_node_id(const char *name);

/* Fails only when two names give one id, or there are too many members. */
int identity_init(struct identity *identity, const struct settings *settings, uint64_t random,
                  struct dkv_error *err);

/* After the data directory has said who the first members were: they stay the members, whatever
 * cluster.peers says now; addresses of the same names are taken from there.  True if the names
 * differ.  DKV_ECORRUPT if the directory's list cannot be read. */
int identity_adopt_members(struct identity *identity, bool *differ_out);

#endif
