#include "fs_mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/rng.h"

enum { SECTOR = 512, PATH_BYTES = 128 };

struct image {
    uint8_t *data;
    size_t len;
};

struct inode {
    bool is_dir;
    struct image now, disk;
    uint64_t hole_at, hole_len; /* cannot be read */
};

struct name {
    char path[PATH_BYTES];
    struct inode *inode;
};

struct names {
    struct name *items;
    size_t count, cap;
};

enum op_kind { OP_WRITE, OP_SIZE, OP_ADD, OP_REMOVE, OP_RENAME };

struct op {
    enum op_kind kind;
    struct inode *inode; /* OP_WRITE, OP_SIZE, OP_ADD */
    size_t offset, len;  /* OP_SIZE: len is the new size */
    uint8_t *bytes;
    char path[PATH_BYTES], to[PATH_BYTES];
};

struct fs_mem {
    struct fs base;
    struct inode **inodes;
    size_t inodes_count;
    struct names now, disk;
    struct op *ops; /* pending, in order */
    size_t ops_count, ops_cap;
    uint64_t done, fail_at, off_at, capacity;
    int fail_status;
};

struct mem_file {
    struct fs_file base;
    struct inode *inode;
};

static struct fs_mem *mem_of(const struct fs *fs)
{
    return container_of((void *)(uintptr_t)fs, struct fs_mem, base);
}

static struct inode *inode_of(struct fs_file *file)
{
    return container_of(file, struct mem_file, base)->inode;
}

/* --- images and names --- */

static void resize(struct image *image, size_t len)
{
    image->data = xrealloc(image->data, len + 1);
    if (len > image->len)
        memset(image->data + image->len, 0, len - image->len);
    image->len = len;
}

static void put(struct image *image, size_t offset, const uint8_t *bytes, size_t len)
{
    if (offset + len > image->len)
        resize(image, offset + len);
    memcpy(image->data + offset, bytes, len);
}

static struct inode *new_inode(struct fs_mem *m, bool is_dir)
{
    struct inode *inode = xcalloc(1, sizeof(*inode));

    inode->is_dir = is_dir;
    m->inodes = xreallocarray(m->inodes, m->inodes_count + 1, sizeof(m->inodes[0]));
    m->inodes[m->inodes_count++] = inode;
    return inode;
}

static struct name *find(const struct names *names, const char *path)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->items[i].path, path) == 0)
            return &names->items[i];
    }
    return NULL;
}

static void set_name(struct names *names, const char *path, struct inode *inode)
{
    struct name *name = find(names, path);

    if (name == NULL) {
        if (names->count == names->cap) {
            names->cap = names->cap == 0 ? 16 : names->cap * 2;
            names->items = xreallocarray(names->items, names->cap, sizeof(names->items[0]));
        }
        name = &names->items[names->count++];
        snprintf(name->path, sizeof(name->path), "%s", path);
    }
    name->inode = inode;
}

static void drop_name(struct names *names, const char *path)
{
    struct name *name = find(names, path);

    if (name != NULL)
        *name = names->items[--names->count];
}

static size_t folder_len(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? 0 : (size_t)(slash - path);
}

static bool is_in_folder(const char *path, const char *folder)
{
    size_t len = strcmp(folder, ".") == 0 ? 0 : strlen(folder);

    return folder_len(path) == len && strncmp(path, folder, len) == 0;
}

static bool has_folder(const struct names *names, const char *path)
{
    char folder[PATH_BYTES];
    const struct name *name;

    if (folder_len(path) == 0)
        return true;
    snprintf(folder, sizeof(folder), "%.*s", (int)folder_len(path), path);
    name = find(names, folder);
    return name != NULL && name->inode->is_dir;
}

/* --- pending ops --- */

static struct op *add_op(struct fs_mem *m, enum op_kind kind, struct inode *inode)
{
    struct op *op;

    if (m->ops_count == m->ops_cap) {
        m->ops_cap = m->ops_cap == 0 ? 64 : m->ops_cap * 2;
        m->ops = xreallocarray(m->ops, m->ops_cap, sizeof(m->ops[0]));
    }
    op = &m->ops[m->ops_count++];
    *op = (struct op){.kind = kind, .inode = inode};
    return op;
}

static void add_name_op(struct fs_mem *m, enum op_kind kind, struct inode *inode, const char *path,
                        const char *to)
{
    struct op *op = add_op(m, kind, inode);

    snprintf(op->path, sizeof(op->path), "%s", path);
    snprintf(op->to, sizeof(op->to), "%s", to);
}

static bool is_name_op(const struct op *op)
{
    return op->kind >= OP_ADD;
}

static void apply_name(struct names *names, const struct op *op)
{
    const struct name *from;

    if (op->kind == OP_ADD)
        set_name(names, op->path, op->inode);
    if (op->kind == OP_REMOVE)
        drop_name(names, op->path);
    if (op->kind == OP_RENAME) {
        from = find(names, op->path);
        if (from == NULL)
            return;
        set_name(names, op->to, from->inode);
        drop_name(names, op->path);
    }
}

static void settle(struct fs_mem *m, bool (*is_meant)(const struct op *op, const void *what),
                   const void *what)
{
    size_t kept = 0;

    for (size_t i = 0; i < m->ops_count; i++) {
        struct op *op = &m->ops[i];

        if (!is_meant(op, what)) {
            m->ops[kept++] = *op;
            continue;
        }
        if (op->kind == OP_WRITE)
            put(&op->inode->disk, op->offset, op->bytes, op->len);
        else if (op->kind == OP_SIZE)
            resize(&op->inode->disk, op->len);
        else
            apply_name(&m->disk, op);
        free(op->bytes);
    }
    m->ops_count = kept;
}

static bool is_of_file(const struct op *op, const void *inode)
{
    return !is_name_op(op) && op->inode == inode;
}

static bool is_of_folder(const struct op *op, const void *folder)
{
    return is_name_op(op) && (is_in_folder(op->path, folder) ||
                              (op->kind == OP_RENAME && is_in_folder(op->to, folder)));
}

/* DKV_OK if this op may go on. */
static int count_op(struct fs_mem *m)
{
    m->done++;
    if (m->off_at != 0 && m->done >= m->off_at)
        return DKV_EIO;
    return m->fail_at != 0 && m->done == m->fail_at ? m->fail_status : DKV_OK;
}

static bool is_off(const struct fs_mem *m)
{
    return m->off_at != 0 && m->done + 1 > m->off_at;
}

static uint64_t bytes_used(const struct fs_mem *m)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < m->now.count; i++)
        sum += m->now.items[i].inode->now.len;
    return sum;
}

static bool has_space(const struct fs_mem *m, const struct inode *inode, uint64_t size)
{
    return size <= inode->now.len || bytes_used(m) + size - inode->now.len <= m->capacity;
}

/* --- the table --- */

static int mem_open(struct fs *fs, const char *path, unsigned flags, struct fs_file **file_out)
{
    struct fs_mem *m = mem_of(fs);
    const struct name *name = find(&m->now, path);
    struct inode *inode = name == NULL ? NULL : name->inode;
    struct mem_file *file;
    int status;

    if (is_off(m))
        return DKV_EIO;
    if ((flags & FS_CREATE) != 0) {
        status = count_op(m);
        if (status != DKV_OK)
            return status;
        if (inode != NULL)
            return DKV_EINVAL;
        if (!has_folder(&m->now, path))
            return DKV_ENOENT;
        inode = new_inode(m, false);
        set_name(&m->now, path, inode);
        add_name_op(m, OP_ADD, inode, path, "");
    }
    if (inode == NULL)
        return DKV_ENOENT;
    file = xcalloc(1, sizeof(*file));
    file->base.fs = fs;
    file->inode = inode;
    *file_out = &file->base;
    return DKV_OK;
}

static int mem_close(struct fs_file *file)
{
    free(container_of(file, struct mem_file, base));
    return DKV_OK;
}

static int mem_read(struct fs_file *file, void *to, size_t len, uint64_t offset, size_t *len_out)
{
    const struct image *image = &inode_of(file)->now;

    if (is_off(mem_of(file->fs)))
        return DKV_EIO;
    if (offset >= image->len)
        len = 0;
    else if (len > image->len - offset)
        len = image->len - (size_t)offset;
    if (inode_of(file)->hole_len > 0 &&
        offset < inode_of(file)->hole_at + inode_of(file)->hole_len &&
        offset + len > inode_of(file)->hole_at)
        return DKV_EIO;
    if (len > 0)
        memcpy(to, image->data + offset, len);
    *len_out = len;
    return DKV_OK;
}

static int mem_write(struct fs_file *file, const struct iovec *iov, int iov_count, uint64_t offset)
{
    struct fs_mem *m = mem_of(file->fs);
    struct inode *inode = inode_of(file);
    int status = count_op(m);

    for (int i = 0; i < iov_count && status == DKV_OK; i++) {
        struct op *op;

        if (!has_space(m, inode, offset + iov[i].iov_len))
            return DKV_ENOSPC;
        if (iov[i].iov_len == 0)
            continue;
        put(&inode->now, (size_t)offset, iov[i].iov_base, iov[i].iov_len);
        op = add_op(m, OP_WRITE, inode);
        op->offset = (size_t)offset;
        op->len = iov[i].iov_len;
        op->bytes = xmalloc(op->len);
        memcpy(op->bytes, iov[i].iov_base, op->len);
        offset += iov[i].iov_len;
    }
    return status;
}

static int mem_sync(struct fs_file *file)
{
    int status = count_op(mem_of(file->fs));

    if (status == DKV_OK)
        settle(mem_of(file->fs), is_of_file, inode_of(file));
    return status;
}

static int mem_size(struct fs_file *file, uint64_t *size_out)
{
    *size_out = inode_of(file)->now.len;
    return is_off(mem_of(file->fs)) ? DKV_EIO : DKV_OK;
}

static int set_size(struct fs_file *file, uint64_t size)
{
    struct fs_mem *m = mem_of(file->fs);
    struct inode *inode = inode_of(file);
    int status = count_op(m);

    if (status != DKV_OK)
        return status;
    if (!has_space(m, inode, size))
        return DKV_ENOSPC;
    resize(&inode->now, (size_t)size);
    add_op(m, OP_SIZE, inode)->len = (size_t)size;
    return DKV_OK;
}

static int mem_allocate(struct fs_file *file, uint64_t size)
{
    uint64_t now = inode_of(file)->now.len;

    return set_size(file, size > now ? size : now);
}

static int mem_rename(struct fs *fs, const char *from, const char *to)
{
    struct fs_mem *m = mem_of(fs);
    int status = count_op(m);

    if (status != DKV_OK)
        return status;
    if (find(&m->now, from) == NULL || !has_folder(&m->now, to))
        return DKV_ENOENT;
    add_name_op(m, OP_RENAME, NULL, from, to);
    apply_name(&m->now, &m->ops[m->ops_count - 1]);
    return DKV_OK;
}

static int mem_link(struct fs *fs, const char *from, const char *to)
{
    struct fs_mem *m = mem_of(fs);
    const struct name *name = find(&m->now, from);
    int status = count_op(m);

    if (status != DKV_OK)
        return status;
    if (name == NULL || !has_folder(&m->now, to))
        return DKV_ENOENT;
    if (find(&m->now, to) != NULL)
        return DKV_EINVAL;
    add_name_op(m, OP_ADD, name->inode, to, "");
    apply_name(&m->now, &m->ops[m->ops_count - 1]);
    return DKV_OK;
}

static int mem_remove(struct fs *fs, const char *path)
{
    struct fs_mem *m = mem_of(fs);
    int status = count_op(m);

    if (status != DKV_OK)
        return status;
    if (find(&m->now, path) == NULL)
        return DKV_ENOENT;
    for (size_t i = 0; i < m->now.count; i++) {
        if (is_in_folder(m->now.items[i].path, path))
            return DKV_EINVAL;
    }
    add_name_op(m, OP_REMOVE, NULL, path, "");
    drop_name(&m->now, path);
    return DKV_OK;
}

static int mem_mkdir(struct fs *fs, const char *path)
{
    struct fs_mem *m = mem_of(fs);
    const struct name *name = find(&m->now, path);
    int status = count_op(m);

    if (status != DKV_OK)
        return status;
    if (name != NULL)
        return name->inode->is_dir ? DKV_OK : DKV_EINVAL;
    if (!has_folder(&m->now, path))
        return DKV_ENOENT;
    add_name_op(m, OP_ADD, new_inode(m, true), path, "");
    apply_name(&m->now, &m->ops[m->ops_count - 1]);
    return DKV_OK;
}

static int mem_sync_dir(struct fs *fs, const char *path)
{
    struct fs_mem *m = mem_of(fs);
    int status = count_op(m);

    if (status == DKV_OK)
        settle(m, is_of_folder, path);
    return status;
}

static int mem_list(struct fs *fs, const char *path, int (*each)(void *ctx, const char *name),
                    void *ctx)
{
    struct fs_mem *m = mem_of(fs);

    if (is_off(m))
        return DKV_EIO;
    if (strcmp(path, ".") != 0 && find(&m->now, path) == NULL)
        return DKV_ENOENT;
    for (size_t i = 0; i < m->now.count; i++) {
        const char *name = m->now.items[i].path;
        size_t skip = folder_len(name);
        int stop;

        if (!is_in_folder(name, path))
            continue;
        stop = each(ctx, name + (skip == 0 ? 0 : skip + 1));
        if (stop != 0)
            return stop;
    }
    return DKV_OK;
}

static int mem_space(struct fs *fs, struct fs_space *space_out)
{
    const struct fs_mem *m = mem_of(fs);
    uint64_t used = bytes_used(m);

    space_out->total_bytes = m->capacity;
    space_out->free_bytes = used < m->capacity ? m->capacity - used : 0;
    return DKV_OK;
}

static void mem_free(struct fs *fs)
{
    struct fs_mem *m = mem_of(fs);

    for (size_t i = 0; i < m->inodes_count; i++) {
        free(m->inodes[i]->now.data);
        free(m->inodes[i]->disk.data);
        free(m->inodes[i]);
    }
    for (size_t i = 0; i < m->ops_count; i++)
        free(m->ops[i].bytes);
    free(m->inodes);
    free(m->now.items);
    free(m->disk.items);
    free(m->ops);
    free(m);
}

static const struct fs_ops mem_ops = {
    .open = mem_open,
    .close = mem_close,
    .read = mem_read,
    .write = mem_write,
    .sync = mem_sync,
    .size = mem_size,
    .allocate = mem_allocate,
    .truncate = set_size,
    .rename = mem_rename,
    .link = mem_link,
    .remove = mem_remove,
    .mkdir = mem_mkdir,
    .sync_dir = mem_sync_dir,
    .list = mem_list,
    .space = mem_space,
    .free = mem_free,
};

struct fs *fs_mem_new(void)
{
    struct fs_mem *m = xcalloc(1, sizeof(*m));

    m->base.ops = &mem_ops;
    m->capacity = UINT64_MAX / 2;
    return &m->base;
}

/* --- crash --- */

static void tear(struct image *disk, const struct op *op, enum fs_mem_crash_mode mode,
                 struct rng *rng)
{
    size_t end = op->offset + op->len, keep_to = op->offset + (size_t)rng_below(rng, op->len + 1);

    for (size_t at = op->offset, next; at < end; at = next) {
        uint8_t lost[SECTOR] = {0};

        next = (at / SECTOR + 1) * SECTOR;
        next = next < end ? next : end;
        if (mode == FS_MEM_KEEP_PREFIX ? next <= keep_to : rng_below(rng, 2) == 0) {
            put(disk, at, op->bytes + (at - op->offset), next - at);
        } else if (mode == FS_MEM_TEAR && rng_below(rng, 2) == 0) {
            bool is_garbage = rng_below(rng, 2) == 0;

            for (size_t i = 0; is_garbage && i < next - at; i++)
                lost[i] = (uint8_t)rng_next(rng);
            put(disk, at, lost, next - at);
        }
    }
}

/* The copy's inode for one of the original. */
static struct inode *twin(const struct fs_mem *from, const struct fs_mem *to, const struct inode *i)
{
    for (size_t n = 0; n < from->inodes_count; n++) {
        if (from->inodes[n] == i)
            return to->inodes[n];
    }
    return NULL;
}

static void crash_op(const struct fs_mem *m, struct fs_mem *to, const struct op *op, bool is_kept,
                     enum fs_mem_crash_mode mode, struct rng *rng)
{
    struct op moved = *op;

    moved.inode = twin(m, to, op->inode);
    if (is_name_op(op)) {
        if (is_kept)
            apply_name(&to->disk, &moved);
    } else if (op->kind == OP_SIZE) {
        if (is_kept)
            resize(&moved.inode->disk, op->len);
    } else if (is_kept) {
        put(&moved.inode->disk, op->offset, op->bytes, op->len);
    } else if (mode != FS_MEM_LOSE_ALL) {
        tear(&moved.inode->disk, op, mode, rng);
    }
}

static void crash_ops(const struct fs_mem *m, struct fs_mem *to, enum fs_mem_crash_mode mode,
                      struct rng *rng)
{
    /* Names keep their order in every mode, as a journal does. */
    size_t cut = (size_t)rng_below(rng, m->ops_count + 1);
    size_t names_cut = (size_t)rng_below(rng, m->ops_count + 1);

    for (size_t i = 0; i < m->ops_count && mode != FS_MEM_LOSE_ALL; i++) {
        bool is_kept = mode == FS_MEM_KEEP_ALL;

        if (mode == FS_MEM_KEEP_PREFIX) {
            if (i > cut)
                break;
            is_kept = i < cut;
        } else if (!is_kept && is_name_op(&m->ops[i])) {
            is_kept = i < names_cut;
        } else if (!is_kept && m->ops[i].kind == OP_SIZE) {
            is_kept = rng_below(rng, 2) == 0;
        }
        crash_op(m, to, &m->ops[i], is_kept, mode, rng);
    }
}

static void drop_orphans(struct names *names)
{
    for (size_t i = 0; i < names->count;) {
        if (has_folder(names, names->items[i].path)) {
            i++;
            continue;
        }
        drop_name(names, names->items[i].path);
        i = 0;
    }
}

struct fs *fs_mem_crash(const struct fs *fs, enum fs_mem_crash_mode mode, uint64_t seed)
{
    const struct fs_mem *m = mem_of(fs);
    struct fs_mem *to = mem_of(fs_mem_new());
    struct rng rng;

    rng_init(&rng, seed);
    to->capacity = m->capacity;
    for (size_t i = 0; i < m->inodes_count; i++) {
        struct inode *inode = new_inode(to, m->inodes[i]->is_dir);

        resize(&inode->disk, m->inodes[i]->disk.len);
        if (inode->disk.len > 0)
            memcpy(inode->disk.data, m->inodes[i]->disk.data, inode->disk.len);
    }
    for (size_t i = 0; i < m->disk.count; i++)
        set_name(&to->disk, m->disk.items[i].path, twin(m, to, m->disk.items[i].inode));
    crash_ops(m, to, mode, &rng);
    drop_orphans(&to->disk);
    for (size_t i = 0; i < to->disk.count; i++)
        set_name(&to->now, to->disk.items[i].path, to->disk.items[i].inode);
    for (size_t i = 0; i < to->inodes_count; i++) {
        struct inode *inode = to->inodes[i];

        resize(&inode->now, inode->disk.len);
        if (inode->now.len > 0)
            memcpy(inode->now.data, inode->disk.data, inode->now.len);
    }
    return &to->base;
}

/* --- what tests turn --- */

uint64_t fs_mem_ops(const struct fs *fs)
{
    return mem_of(fs)->done;
}

void fs_mem_fail_at(struct fs *fs, uint64_t nth, int status)
{
    struct fs_mem *m = mem_of(fs);

    m->fail_at = nth == 0 ? 0 : m->done + nth;
    m->fail_status = status;
}

void fs_mem_power_off_at(struct fs *fs, uint64_t nth)
{
    struct fs_mem *m = mem_of(fs);

    m->off_at = nth == 0 ? 0 : m->done + nth;
}

void fs_mem_set_capacity(struct fs *fs, uint64_t bytes)
{
    mem_of(fs)->capacity = bytes;
}

void fs_mem_make_unreadable(struct fs *fs, const char *path, uint64_t offset, uint64_t len)
{
    const struct name *name = find(&mem_of(fs)->now, path);

    dkv_assert(name != NULL);
    name->inode->hole_at = offset;
    name->inode->hole_len = len;
}

uint8_t *fs_mem_bytes(struct fs *fs, const char *path, size_t *len_out)
{
    const struct name *name = find(&mem_of(fs)->now, path);

    if (name == NULL || name->inode->is_dir)
        return NULL;
    *len_out = name->inode->now.len;
    return name->inode->now.data;
}
