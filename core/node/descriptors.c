#include "node/descriptors.h"

#include <sys/resource.h>

#include "base/error.h"

enum {
    OWN = 64,        /* log, storage, snapshots, event loops, listeners, standard streams */
    PER_MEMBER = 12, /* connections each way, old ones that are about to close, transfers */
    PER_WORKER = 10, /* its loop, its mailboxes, its listeners */
    CLIENTS_MIN = 16
};

int descriptors_reserve(uint64_t wanted, uint64_t members, uint64_t workers,
                        uint64_t *connections_out, struct dkv_error *err)
{
    uint64_t own = OWN + PER_MEMBER * members + PER_WORKER * workers;
    struct rlimit limit;

    *connections_out = wanted;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return DKV_OK;
    if (limit.rlim_cur < limit.rlim_max) {
        struct rlimit raised = {limit.rlim_max, limit.rlim_max};

        if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
            limit = raised;
    }
    if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= own + wanted)
        return DKV_OK;
    if (limit.rlim_cur < own + CLIENTS_MIN)
        return dkv_error_set(err, DKV_ENOMEM,
                             "this process may open %llu files, dkvd needs %llu at least; raise "
                             "the limit (ulimit -n, or LimitNOFILE= in the unit file)",
                             (unsigned long long)limit.rlim_cur,
                             (unsigned long long)(own + CLIENTS_MIN));
    *connections_out = limit.rlim_cur - own;
    return DKV_OK;
}
