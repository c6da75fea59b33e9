#include "node/check_recovery.h"

#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/exit_codes.h"
#include "node/datadir.h"
#include "node/identity.h"
#include "node/snapshot_folder.h"
#include "wal/wal.h"

static int exit_code_of(int status)
{
    switch (status) {
    case DKV_OK:
        return EXIT_CODE_OK;
    case WAL_EFOREIGN:
    case DKV_ENOTSUP:
        return EXIT_CODE_DATA;
    case WAL_EDAMAGED:
        return EXIT_CODE_DAMAGE;
    case DKV_EPERM:
        return EXIT_CODE_PERMISSION;
    default:
        return EXIT_CODE_IO;
    }
}

/* Which storage the node has, and what is in it, only its configuration and its plugin know. */
static int judge(const struct wal_recovery *log, const struct snapshot_found *found,
                 struct buf *report)
{
    unsigned long long base = log->base_index, newest = found->newest.index;

    if (found->damaged[0] != '\0')
        buf_addf(report, "damaged     %s\n", found->damage.text);
    if (newest > 0)
        buf_addf(report, "snapshot    %llu, intact\n", newest);
    if (base == 0 || newest >= base) {
        buf_addf(report,
                 "verdict     a start would succeed; a storage that keeps its content must be "
                 "the one of this log\n");
        return EXIT_CODE_OK;
    }
    buf_addf(report,
             "verdict     a start would fail, but for a storage that has everything up to entry "
             "%llu: the log begins\n            after it, and no intact snapshot holds it.  Put "
             "the snapshot back, or set the node up anew\n",
             base);
    return EXIT_CODE_DAMAGE;
}

static int check_files(struct fs *fs, const struct datadir_identity *found, struct buf *report)
{
    struct wal_identity identity = {.node_id = identity_node_id(found->node_name),
                                    .incarnation = found->incarnation};
    struct snapshot_found snapshots;
    struct wal_recovery log;
    struct dkv_error err = {0};
    int code, status;

    memcpy(identity.cluster_id, found->cluster_id, sizeof(identity.cluster_id));
    status = wal_check(fs, &identity, strchr(found->members, ',') == NULL, report, &log);
    if (status == DKV_OK) {
        status = snapshot__find(fs, &log, &snapshots, &err);
        if (status == DKV_OK)
            code = judge(&log, &snapshots, report);
        else
            buf_addf(report, "%s\n", err.text);
    }
    wal_recovery_fini(&log);
    if (status == DKV_OK)
        return code;
    buf_add_text(report, "verdict     a start would fail\n");
    return exit_code_of(status);
}

static int check_node(struct fs *fs, const struct datadir_identity *found, FILE *to)
{
    struct buf report = {0};
    int code = check_files(fs, found, &report);

    fprintf(to,
            "node        %s of cluster %s\n"
            "looked at   the vote file, the log and the snapshots; not the storage\n",
            found->node_name, found->cluster_name);
    fwrite(report.data, 1, report.len, to);
    buf_fini(&report);
    return code;
}

int check_recovery(const char *data_dir, FILE *to)
{
    struct datadir_identity *found = &(struct datadir_identity){.incarnation = 0};
    struct dkv_error err = {0};
    struct fs *fs;
    int code, status = fs_posix_open(data_dir, &fs, &err);

    if (status != DKV_OK) {
        fprintf(to, "%s\nverdict     a start would fail\n", err.text);
        return exit_code_of(status);
    }
    status = datadir_inspect(data_dir, fs, found, &code, &err);
    if (status != DKV_OK)
        fprintf(to, "%s\nverdict     a start would fail\n", err.text);
    else
        code = check_node(fs, found, to);
    fs->ops->free(fs);
    return code;
}
