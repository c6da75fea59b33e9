#include "node/fs_kind.h"

#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
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

/* The last line of this device is what is on top; "36 35 98:0 / /data rw,noatime shared:1 - ext4 ..."
 * is what proc(5) says of each. */
static void find_mount(dev_t device, char *to, size_t size)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    char line[1024], options[96];
    unsigned major_number, minor_number;

    if (file == NULL)
        return;
    while (fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "%*d %*d %u:%u %*s %*s %95s", &major_number, &minor_number, options) ==
                3 &&
            makedev(major_number, minor_number) == device)
            snprintf(to, size, "%s", options);
    }
    (void)fclose(file);
}

bool fs_kind_of(const char *path, struct fs_kind *kind_out)
{
    struct statfs fs;
    struct stat folder;
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
    if (stat(path, &folder) == 0)
        find_mount(folder.st_dev, kind_out->mount, sizeof(kind_out->mount));
    return true;
}
