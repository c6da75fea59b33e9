/* What kind of file system a path is on, and whether a log may be there. */
#ifndef NODE_FS_KIND_H
#define NODE_FS_KIND_H

#include <stdbool.h>
#include <stddef.h>

struct fs_kind {
    char name[24];  /* "ext4", or the number of one that is not known */
    char mount[96]; /* its options: "rw,relatime"; "" if they cannot be found out */
    bool is_unsafe; /* keeps its data in memory, or on another machine */
};

/* False, with errno set, if the path cannot be asked. */
bool fs_kind_of(const char *path, struct fs_kind *kind_out);

#endif
