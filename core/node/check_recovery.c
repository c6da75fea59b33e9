#include "node/check_recovery.h"

#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/exit_codes.h"
#include "node/datadir.h"
#include "node/identity.h"
#include "wal/wal.h"

static int exit_code_of(int status)
{
    switch (status) {
    case DKV_OK:
        return EXIT_CODE_OK;
    case WAL_EFOREIGN:
        return EXIT_CODE_DATA;
    case WAL_EDAMAGED:
        return EXIT_CODE_DAMAGE;
    case DKV_EPERM:
        return EXIT_CODE_PERMISSION;
    default:
        return EXIT_CODE_IO;
    }
}

static int check_log(struct fs *fs, const struct datadir_identity *found, FILE *to)
{
    struct wal_identity identity = {.node_id = identity_node_id(found->node_name),
                                    .incarnation = found->incarnation};
    struct buf report = {0};
    int status;

    memcpy(identity.cluster_id, found->cluster_id, sizeof(identity.cluster_id));
    status = wal_check(fs, &identity, strchr(found->members, ',') == NULL, &report);
    fprintf(to,
            "node        %s of cluster %s\n"
            "looked at   the log and the vote file; not the storage, not the snapshots\n",
            found->node_name, found->cluster_name);
    fwrite(report.data, 1, report.len, to);
    buf_fini(&report);
    return exit_code_of(status);
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
        code = check_log(fs, found, to);
    fs->ops->free(fs);
    return code;
}
