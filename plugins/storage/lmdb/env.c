/* Durability.  MDB_NOMETASYNC: a commit is one fdatasync of the data pages, then the new root is
 * written and not synced.  The fdatasync of the next commit brings it to the disk before the older
 * of the two root pages is overwritten, so that one intact root is there at any moment; losing
 * power may undo the last commit, which is why the committer reports it durable only after the next
 * one, or after env_sync(). */
#include "env.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "fault.h"

#define STATE_MAGIC  0x6274736c766b64u /* "dkvlstb", little-endian */
#define MAP_SIZE_MIN ((uint64_t)1 << 30)

static const char state_key[] = "state";

struct state_record {
    uint64_t magic;
    uint32_t format;
    uint32_t active;
    uint64_t index;
    uint64_t checksum; /* of the members before */
};

int lmdb_status(int code)
{
    switch (code) {
    case MDB_SUCCESS:
        return DKV_OK;
    case MDB_NOTFOUND:
    case ENOENT:
        return DKV_ENOENT;
    case MDB_MAP_FULL:
    case ENOSPC:
    case EDQUOT:
        return DKV_ENOSPC;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
        return DKV_ECORRUPT;
    case MDB_READERS_FULL:
        return DKV_EUNAVAIL;
    case MDB_BAD_VALSIZE:
        return DKV_ETOOBIG;
    case ENOMEM:
        return DKV_ENOMEM;
    case EACCES:
    case EPERM:
        return DKV_EPERM;
    default:
        return DKV_EIO;
    }
}

int error_set(struct dkv_error *err, int status, const char *fmt, ...)
{
    va_list args;

    if (err != NULL) {
        err->status = status;
        va_start(args, fmt);
        (void)vsnprintf(err->text, sizeof(err->text), fmt, args);
        va_end(args);
    }
    return status;
}

void host_log(const struct dkv_host *host, int level, const char *fmt, ...)
{
    char text[512];
    va_list args;

    if (host == NULL || host->log == NULL)
        return;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    host->log(host->ctx, level, "%s", text);
}

/* Keys may not appear in logs, so a damaged value is named by its key's checksum. */
static uint64_t value_checksum(struct dkv_slice key, struct dkv_slice value)
{
    return XXH3_64bits_withSeed(value.data, value.len, XXH3_64bits(key.data, key.len));
}

void value_seal(void *stored, struct dkv_slice key, struct dkv_slice value)
{
    uint64_t checksum = value_checksum(key, value);

    memcpy(stored, &checksum, sizeof(checksum));
    if (value.len != 0)
        memcpy((char *)stored + VALUE_HEADER, value.data, value.len);
}

int value_check(const struct env *env, const MDB_val *key, const MDB_val *stored,
                struct dkv_slice *value_out)
{
    struct dkv_slice name = {key->mv_data, key->mv_size};
    struct dkv_slice value;
    uint64_t expected;

    if (stored->mv_size >= VALUE_HEADER) {
        value.data = (const char *)stored->mv_data + VALUE_HEADER;
        value.len = stored->mv_size - VALUE_HEADER;
        memcpy(&expected, stored->mv_data, sizeof(expected));
        if (expected == value_checksum(name, value)) {
            *value_out = value;
            return DKV_OK;
        }
    }
    host_log(env->host, LOG_LEVEL_ERROR,
             "lmdb: checksum mismatch in a value of %zu bytes, key of %zu bytes with hash %016llx; "
             "restore this node from a snapshot",
             stored->mv_size, key->mv_size,
             (unsigned long long)XXH3_64bits(key->mv_data, key->mv_size));
    return DKV_ECORRUPT;
}

/* Directory and lock. */

/* With the folders above it that are not there. */
static int directory_make(const char *path, struct dkv_error *err)
{
    char part[PATH_MAX];
    size_t len = strlen(path);
    struct stat info;

    if (len >= sizeof(part))
        return error_set(err, DKV_EINVAL, "path is too long: %s", path);
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return error_set(err, lmdb_status(errno), "create %s: %s", part, strerror(errno));
    }
    if (stat(path, &info) != 0)
        return error_set(err, lmdb_status(errno), "open %s: %s", path, strerror(errno));
    if (!S_ISDIR(info.st_mode))
        return error_set(err, DKV_EINVAL, "%s is not a directory", path);
    return DKV_OK;
}

static int directory_sync(const char *path, const char *above)
{
    char name[PATH_MAX];
    int fd, status;

    (void)snprintf(name, sizeof(name), "%s%s", path, above);
    fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == EACCES && above[0] != '\0' ? 0 : errno;
    status = fsync(fd) == 0 ? 0 : errno;
    (void)close(fd);
    return status;
}

/* LMDB's own lock lets several processes in; the overlay of the other one would be invisible. */
static int directory_lock(const char *path, int *fd_out, struct dkv_error *err)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char name[PATH_MAX], owner[32] = "";
    int fd, length;

    length = snprintf(name, sizeof(name), "%s/dkv.lock", path);
    if (length < 0 || (size_t)length >= sizeof(name))
        return error_set(err, DKV_EINVAL, "path is too long: %s", path);
    fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(err, lmdb_status(errno), "open %s: %s", name, strerror(errno));
    if (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
        ssize_t got = read(fd, owner, sizeof(owner) - 1);

        owner[got > 0 ? strcspn(owner, "\n") : 0] = '\0';
        (void)close(fd);
        return error_set(err, DKV_EUNAVAIL,
                         "%s is in use by another store (process %s); give each its own path", path,
                         owner[0] != '\0' ? owner : "unknown");
    }
    length = snprintf(owner, sizeof(owner), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, owner, (size_t)length, 0) != length)
        host_log(NULL, LOG_LEVEL_WARNING, "lmdb: cannot note the process in %s", name);
    *fd_out = fd;
    return DKV_OK;
}

/* Environment. */

static unsigned env_flags(const struct env_config *config)
{
    unsigned flags = MDB_NOTLS | (config->always_sync ? 0 : MDB_NOMETASYNC);
    char name[PATH_MAX];
    struct stat info;
    long pages = sysconf(_SC_PHYS_PAGES), page_size = sysconf(_SC_PAGESIZE);

    /* Read-ahead evicts what is used as soon as the file is bigger than memory. */
    (void)snprintf(name, sizeof(name), "%s/data.mdb", config->path);
    if (stat(name, &info) == 0 && pages > 0 && page_size > 0 &&
        (uint64_t)info.st_size > (uint64_t)pages * (uint64_t)page_size)
        flags |= MDB_NORDAHEAD;
    return flags;
}

static int mdb_open_once(struct env *env, const struct env_config *config, uint64_t map_size)
{
    int code = mdb_env_create(&env->mdb);

    if (code != 0)
        return code;
    code = mdb_env_set_mapsize(env->mdb, (size_t)map_size);
    if (code == 0)
        code = mdb_env_set_maxreaders(env->mdb, config->max_readers);
    if (code == 0)
        code = mdb_env_set_maxdbs(env->mdb, 3);
    if (code == 0)
        code = mdb_env_open(env->mdb, config->path, env_flags(config), 0600);
    if (code != 0) {
        mdb_env_close(env->mdb);
        env->mdb = NULL;
    }
    return code;
}

/* Address space may be rationed (RLIMIT_AS, overcommit, a sanitizer): take less, and say so. */
static int mdb_open_smaller(struct env *env, const struct env_config *config, struct dkv_error *err)
{
    uint64_t map_size = config->map_size;
    int code = mdb_open_once(env, config, map_size);

    while (code == ENOMEM && map_size / 4 >= MAP_SIZE_MIN) {
        map_size /= 4;
        code = mdb_open_once(env, config, map_size);
    }
    if (code != 0)
        return error_set(err, lmdb_status(code), "open %s/data.mdb (map_size %llu): %s%s",
                         config->path, (unsigned long long)map_size, mdb_strerror(code),
                         code == ENOMEM ? "; lower map_size or raise the limit of address space"
                                        : "");
    if (map_size != config->map_size)
        host_log(config->host, LOG_LEVEL_WARNING,
                 "lmdb: %s: no address space for map_size %llu, using %llu", config->path,
                 (unsigned long long)config->map_size, (unsigned long long)map_size);
    return DKV_OK;
}

/* A page behind the end of the file would be answered with SIGBUS, so the file is made as long as
 * its root says.  LMDB itself leaves it shorter when the last pages came free in the transaction
 * that took them; whether it was cut instead is for content_walk() to find out. */
static int file_extend(const struct env *env, bool *was_short_out)
{
    MDB_envinfo info;
    MDB_stat root;
    struct stat file;
    mdb_filehandle_t fd;
    uint64_t need;

    if (mdb_env_get_fd(env->mdb, &fd) != 0 || fstat(fd, &file) != 0)
        return errno;
    (void)mdb_env_info(env->mdb, &info);
    (void)mdb_env_stat(env->mdb, &root);
    need = ((uint64_t)info.me_last_pgno + 1) * root.ms_psize;
    *was_short_out = (uint64_t)file.st_size < need;
    return !*was_short_out || ftruncate(fd, (off_t)need) == 0 ? 0 : errno;
}

static int database_walk(const struct env *env, MDB_txn *txn, MDB_dbi dbi, bool sealed)
{
    MDB_cursor *cursor;
    MDB_val key, stored;
    struct dkv_slice value;
    int code = mdb_cursor_open(txn, dbi, &cursor);

    if (code != 0)
        return code;
    while ((code = mdb_cursor_get(cursor, &key, &stored, MDB_NEXT)) == 0)
        if (sealed && value_check(env, &key, &stored, &value) != DKV_OK)
            break;
    mdb_cursor_close(cursor);
    return code == MDB_NOTFOUND ? 0 : MDB_CORRUPTED;
}

/* Reads every page in use; number 0 is LMDB's own database of free pages. */
static int content_walk(const struct env *env, unsigned active)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(env->mdb, NULL, MDB_RDONLY, &txn);

    if (code != 0)
        return code;
    code = database_walk(env, txn, env->content[active], true);
    if (code == 0)
        code = database_walk(env, txn, 0, false);
    mdb_txn_abort(txn);
    return code;
}

static uint64_t state_checksum(const struct state_record *record)
{
    return XXH3_64bits(record, offsetof(struct state_record, checksum));
}

/* A record that is not there is that of a new, empty store. */
static int state_load(struct env *env, MDB_txn *txn, const char *path, struct env_state *state_out,
                      struct dkv_error *err)
{
    MDB_val key = {sizeof(state_key) - 1, (void *)(uintptr_t)state_key}, value;
    struct state_record record = {0};
    int code = mdb_get(txn, env->meta, &key, &value);

    if (code == MDB_NOTFOUND) {
        MDB_stat info;

        for (int i = 0; i < 2; i++)
            if (mdb_stat(txn, env->content[i], &info) == 0 && info.ms_entries != 0)
                return error_set(err, DKV_ECORRUPT, "%s has data but no state record", path);
        *state_out = (struct env_state){0};
        return DKV_OK;
    }
    if (code != 0)
        return error_set(err, lmdb_status(code), "read the state of %s: %s", path,
                         mdb_strerror(code));
    memcpy(&record, value.mv_data, value.mv_size < sizeof(record) ? value.mv_size : sizeof(record));
    if (value.mv_size >= 12 && record.magic == STATE_MAGIC && record.format > ENV_FORMAT)
        return error_set(err, DKV_ENOTSUP,
                         "%s has format %u, this plugin knows up to %u; use the newer version",
                         path, record.format, ENV_FORMAT);
    if (value.mv_size != sizeof(record) || record.magic != STATE_MAGIC || record.active > 1 ||
        record.checksum != state_checksum(&record))
        return error_set(err, DKV_ECORRUPT, "%s: the state record is damaged", path);
    *state_out = (struct env_state){.index = record.index, .active = record.active};
    return DKV_OK;
}

int env_commit(struct env *env, MDB_txn *txn, const struct env_state *state)
{
    MDB_val key = {sizeof(state_key) - 1, (void *)(uintptr_t)state_key}, value;
    struct state_record record = {.magic = STATE_MAGIC, .format = ENV_FORMAT};
    int code;

    if (state != NULL) {
        record.index = state->index;
        record.active = state->active;
        record.checksum = state_checksum(&record);
        value = (MDB_val){sizeof(record), &record};
        code = mdb_put(txn, env->meta, &key, &value, 0);
        if (code != 0) {
            mdb_txn_abort(txn);
            return code;
        }
    }
    fault_point("commit");
    code = mdb_txn_commit(txn);
    fault_point("committed");
    return code;
}

int env_sync(struct env *env)
{
    return mdb_env_sync(env->mdb, 1);
}

static int handles_open(struct env *env, MDB_txn *txn, unsigned flags)
{
    int code = mdb_dbi_open(txn, "content0", flags, &env->content[0]);

    if (code == 0)
        code = mdb_dbi_open(txn, "content1", flags, &env->content[1]);
    return code == 0 ? mdb_dbi_open(txn, "meta", flags, &env->meta) : code;
}

/* Without a write, so that a full disk does not keep a node from its start.  False if there is
 * something to write, or something wrong that the one who writes will meet too. */
static bool databases_are_ready(struct env *env, const char *path, struct env_state *state_out)
{
    struct dkv_error ignored = {0};
    MDB_txn *txn;
    MDB_stat idle;

    if (mdb_txn_begin(env->mdb, NULL, MDB_RDONLY, &txn) != 0)
        return false;
    if (handles_open(env, txn, 0) != 0 ||
        state_load(env, txn, path, state_out, &ignored) != DKV_OK ||
        mdb_stat(txn, env->content[1 - state_out->active], &idle) != 0 || idle.ms_entries != 0) {
        mdb_txn_abort(txn);
        return false;
    }
    return mdb_txn_commit(txn) == 0; /* which keeps the handles */
}

/* Opens the databases and empties what a restore that did not end has left in the idle one. */
static int databases_open(struct env *env, const char *path, struct env_state *state_out,
                          struct dkv_error *err)
{
    MDB_txn *txn;
    MDB_stat info;
    int status, code;

    if (databases_are_ready(env, path, state_out))
        return DKV_OK;
    code = mdb_txn_begin(env->mdb, NULL, 0, &txn);
    if (code != 0)
        goto fail_begin;
    code = handles_open(env, txn, MDB_CREATE);
    if (code != 0)
        goto fail_txn;
    status = state_load(env, txn, path, state_out, err);
    if (status != DKV_OK) {
        mdb_txn_abort(txn);
        return status;
    }
    code = mdb_stat(txn, env->content[1 - state_out->active], &info);
    if (code == 0 && info.ms_entries != 0)
        code = mdb_drop(txn, env->content[1 - state_out->active], 0);
    if (code != 0)
        goto fail_txn;
    code = env_commit(env, txn, state_out);
    if (code == 0)
        return DKV_OK;
    goto fail_begin;

fail_txn:
    mdb_txn_abort(txn);
fail_begin:
    return error_set(err, lmdb_status(code), "open the databases of %s: %s", path,
                     mdb_strerror(code));
}

static int content_open(struct env *env, const struct env_config *config,
                        struct env_state *state_out, struct dkv_error *err)
{
    bool was_short = false;
    int status, dead, code = file_extend(env, &was_short);

    if (code != 0)
        return error_set(err, lmdb_status(code), "extend %s/data.mdb: %s", config->path,
                         strerror(code));
    (void)mdb_reader_check(env->mdb, &dead);
    status = databases_open(env, config->path, state_out, err);
    if (!was_short)
        return status;
    if (status == DKV_OK && content_walk(env, state_out->active) == 0)
        return DKV_OK;
    return error_set(err, DKV_ECORRUPT,
                     "%s/data.mdb was cut, and what is missing was in use; remove the folder and "
                     "let the node take a snapshot",
                     config->path);
}

int env_open(struct env *env, const struct env_config *config, struct env_state *state_out,
             struct dkv_error *err)
{
    int status, code;

    *env = (struct env){.lock_fd = -1, .host = config->host, .always_sync = config->always_sync};
    status = directory_make(config->path, err);
    if (status != DKV_OK)
        return status;
    status = directory_lock(config->path, &env->lock_fd, err);
    if (status != DKV_OK)
        return status;
    status = mdb_open_smaller(env, config, err);
    if (status == DKV_OK)
        status = content_open(env, config, state_out, err);
    if (status == DKV_OK) {
        code = env_sync(env);
        if (code == 0)
            code = directory_sync(config->path, "");
        if (code == 0)
            code = directory_sync(config->path, "/..");
        if (code != 0)
            status =
                error_set(err, lmdb_status(code), "sync %s: %s", config->path, mdb_strerror(code));
    }
    if (status != DKV_OK)
        env_close(env);
    return status;
}

void env_close(struct env *env)
{
    if (env->mdb != NULL)
        mdb_env_close(env->mdb);
    if (env->lock_fd >= 0)
        (void)close(env->lock_fd);
    env->mdb = NULL;
    env->lock_fd = -1;
}
