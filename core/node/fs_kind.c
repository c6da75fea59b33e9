#include "node/fs_kind.h"

#include <linux/magic.h>
#include <stdio.h>
#include <sys/vfs.h>

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif
#define ZFS_SUPER_MAGIC 0x2fc12fc1

static const struct {
    unsigned long magic;
    const char *name;
    bool is_unsafe;
} kinds[] = {
    {TMPFS_MAGIC, "tmpfs", true},
    {RAMFS_MAGIC, "ramfs", true},
    {OVERLAYFS_SUPER_MAGIC, "overlayfs", true},
    {NFS_SUPER_MAGIC, "nfs", true},
    {SMB_SUPER_MAGIC, "cifs", true},
    {CIFS_SUPER_MAGIC, "cifs", true},
    {V9FS_MAGIC, "9p", true},
    {EXT4_SUPER_MAGIC, "ext4", false},
    {XFS_SUPER_MAGIC, "xfs", false},
    {BTRFS_SUPER_MAGIC, "btrfs", false},
    {F2FS_SUPER_MAGIC, "f2fs", false},
    {ZFS_SUPER_MAGIC, "zfs", false},
};

bool fs_kind_of(const char *path, struct fs_kind *kind_out)
{
    struct statfs fs;
    unsigned long magic;

    if (statfs(path, &fs) != 0)
        return false;
    magic = (unsigned long)fs.f_type & 0xffffffff;
    *kind_out = (struct fs_kind){.is_unsafe = false};
    snprintf(kind_out->name, sizeof(kind_out->name), "0x%lx", magic);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (kinds[i].magic != magic)
            continue;
        snprintf(kind_out->name, sizeof(kind_out->name), "%s", kinds[i].name);
        kind_out->is_unsafe = kinds[i].is_unsafe;
    }
    return true;
}
