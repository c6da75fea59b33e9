/* Recovery that writes nothing, for `dkvd --check-recovery`. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "wal/internal.h"

static uint64_t no_time(struct env *env)
{
    (void)env;
    return 0;
}

static const struct env_ops check_ops = {.now_us = no_time};

static void describe(const struct wal *w, const struct wal_recovery *r, struct buf *report)
{
    buf_addf(report, "vote file   good, generation %llu, term %llu\n",
             (unsigned long long)w->vote.gen, (unsigned long long)r->hard.term);
    buf_addf(report, "segments    %u\n", w->segments_count);
    buf_addf(report, "begins      after entry %llu, term %llu\n", (unsigned long long)r->base_index,
             (unsigned long long)r->base_term);
    buf_addf(report, "ends        at entry %llu\n", (unsigned long long)r->last_index);
    if (r->tail_unknown)
        buf_add_text(report,
                     "torn end    yes: a write that was under way when the machine stopped is cut "
                     "off\n");
}

int wal_check(struct fs *fs, const struct wal_identity *identity, bool is_alone, struct buf *report,
              struct wal_recovery *recovery_out)
{
    struct env env = {.ops = &check_ops, .fs = fs};
    struct wal *w = xcalloc(1, sizeof(*w));
    struct dkv_error err = {0};
    int status;

    w->config = (struct wal_config){.env = &env, .identity = *identity, .is_alone = is_alone};
    list_init(&w->jobs);
    *recovery_out = (struct wal_recovery){0};
    status = wal__vote_open(fs, identity, false, false, &w->vote, &err);
    if (status == DKV_ENOENT)
        status = wal__vote_is_missing(&err);
    if (status == DKV_OK)
        status = wal__recover(w, recovery_out, &err);
    if (status == DKV_OK)
        describe(w, recovery_out, report);
    else
        buf_addf(report, "%s\n", err.text);
    wal_close(&w);
    return status;
}
