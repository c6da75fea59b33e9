/* Names and order of snapshot files, and which of them the log begins with. */
#include "node/snapshot_folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "kv/snapshot.h"

void snapshot__path(char to[SNAPSHOT_PATH_MAX], const struct snapshot_file *file)
{
    snprintf(to, SNAPSHOT_PATH_MAX, SNAPSHOT_DIR "/%016llx-%016llx.snap",
             (unsigned long long)file->index, (unsigned long long)file->term);
}

/* --- the folder --- */

struct folder {
    struct snapshot_file files[64];
    size_t count;
};

static int note_file(void *ctx, const char *name)
{
    struct folder *folder = ctx;
    unsigned long long index, term;
    char tail[8];

    if (strlen(name) == 38 && sscanf(name, "%16llx-%16llx.%4s", &index, &term, tail) == 3 &&
        strcmp(tail, "snap") == 0 && folder->count < 64)
        folder->files[folder->count++] = (struct snapshot_file){index, term};
    return 0;
}

static int newest_first(const void *a, const void *b)
{
    const struct snapshot_file *x = a, *y = b;

    return x->index < y->index ? 1 : x->index > y->index ? -1 : 0;
}

static int read_folder(struct fs *fs, struct folder *folder_out)
{
    int status;

    folder_out->count = 0;
    status = fs->ops->list(fs, SNAPSHOT_DIR, note_file, folder_out);
    qsort(folder_out->files, folder_out->count, sizeof(folder_out->files[0]), newest_first);
    return status;
}

int snapshot__publish(struct fs *fs, const char *temporary, const struct snapshot_file *file,
                      raft_index keep_from)
{
    struct folder folder;
    char path[SNAPSHOT_PATH_MAX];
    int status;

    snapshot__path(path, file);
    status = fs->ops->rename(fs, temporary, path);
    if (status == DKV_OK)
        status = fs->ops->sync_dir(fs, SNAPSHOT_DIR);
    if (status != DKV_OK || read_folder(fs, &folder) != DKV_OK)
        return status;
    for (size_t i = SNAPSHOT_FILES_KEPT; i < folder.count; i++) {
        snapshot__path(path, &folder.files[i]);
        if (folder.files[i].index < keep_from)
            (void)fs->ops->remove(fs, path); /* an old file too many does no harm */
    }
    return DKV_OK;
}

/* An entry of the same index but of another term was never committed, so it is not what the file
 * holds. */
static bool is_in_log(const struct snapshot_file *file, const struct wal_recovery *log)
{
    return file->index >= log->base_index && file->index <= log->last_index &&
           file->term == wal_recovery_term(log, file->index);
}

void snapshot__remove_strays(struct fs *fs, const struct wal_recovery *log)
{
    struct folder folder;

    (void)fs->ops->remove(fs, SNAPSHOT_SAVE_TMP);
    (void)fs->ops->remove(fs, SNAPSHOT_RECV_TMP);
    (void)read_folder(fs, &folder);
    for (size_t i = 0; i < folder.count; i++) {
        char path[SNAPSHOT_PATH_MAX];

        snapshot__path(path, &folder.files[i]);
        if (folder.files[i].index > log->base_index && !is_in_log(&folder.files[i], log))
            (void)fs->ops->remove(fs, path);
    }
}

/* A file that cannot be read is as good as none; one of a newer format says that a newer daemon was
 * here, and more may be newer than this one knows. */
static int look_at(struct fs *fs, const struct snapshot_file *file, struct snapshot_found *found,
                   struct dkv_error *err)
{
    struct kv_snapshot_info *info = xmalloc(sizeof(*info));
    struct dkv_error why = {0};
    char path[SNAPSHOT_PATH_MAX];
    int status;

    snapshot__path(path, file);
    status = kv_snapshot_verify(fs, path, info, &why);
    free(info);
    if (status == DKV_ENOTSUP)
        return dkv_error_set(err, status, "%s; it was written by a newer dkvd: use that one",
                             why.text);
    if (status == DKV_OK) {
        found->newest = *file;
        return DKV_OK;
    }
    if (found->damaged[0] == '\0') {
        snprintf(found->damaged, sizeof(found->damaged), "%s", path);
        found->damage = why;
    }
    return DKV_OK;
}

int snapshot__find(struct fs *fs, const struct wal_recovery *log, struct snapshot_found *found_out,
                   struct dkv_error *err)
{
    struct folder folder;
    int status = read_folder(fs, &folder);

    *found_out = (struct snapshot_found){.older = 0};
    if (status != DKV_OK)
        return dkv_error_set(err, status, "read the folder %s: %s", SNAPSHOT_DIR,
                             status_text(status));
    for (size_t i = 0; i < folder.count && found_out->older == 0; i++) {
        if (!is_in_log(&folder.files[i], log))
            continue;
        if (found_out->newest.index != 0) {
            found_out->older = folder.files[i].index;
            break;
        }
        status = look_at(fs, &folder.files[i], found_out, err);
        if (status != DKV_OK)
            return status;
    }
    return DKV_OK;
}
