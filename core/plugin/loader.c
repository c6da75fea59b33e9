#include "plugin/loader.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "conf/conf.h"

enum { NAME_MAX_BYTES = 32 };

static const char *kind_name(uint32_t kind)
{
    switch (kind) {
    case DKV_PLUGIN_STORAGE:
        return "storage";
    case DKV_PLUGIN_TRANSPORT:
        return "transport";
    default:
        return "unknown";
    }
}

static bool is_name(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-");

    return len > 0 && len <= NAME_MAX_BYTES && name[len] == '\0' && name[0] >= 'a' &&
           name[0] <= 'z';
}

const char *plugin_folder(void)
{
    const char *folder = getauxval(AT_SECURE) != 0 ? NULL : getenv("DKV_PLUGIN_PATH");

    return folder != NULL && folder[0] != '\0' ? folder : DKV_PLUGINS_DIR;
}

static int check_owner(const char *path, const struct stat *st, struct dkv_error *err)
{
    if (st->st_uid != 0 && st->st_uid != geteuid())
        return dkv_error_set(err, DKV_EPERM,
                             "%s: belongs to user %u, neither to root nor to the user of this "
                             "process (%u); change its owner",
                             path, (unsigned)st->st_uid, (unsigned)geteuid());
    if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return dkv_error_set(err, DKV_EPERM,
                             "%s: writable by others (mode %04o); run: chmod go-w %s", path,
                             (unsigned)(st->st_mode & 07777), path);
    return DKV_OK;
}

static int is_plugin_file(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);

    return len > 3 && strcmp(entry->d_name + len - 3, ".so") == 0;
}

static int folder_error(const char *folder, int error, struct dkv_error *err)
{
    return dkv_error_set(err, DKV_ENOENT, "plugin folder %s: %s%s", folder, strerror(error),
                         error == ENOENT ? CONF_PLUGIN_DIR_HINT : "");
}

int plugin_list(const char *folder, void (*each)(void *ctx, const char *name), void *ctx,
                struct dkv_error *err)
{
    struct dirent **found = NULL;
    int count = scandir(folder, &found, is_plugin_file, alphasort);

    if (count < 0)
        return folder_error(folder, errno, err);
    for (int i = 0; i < count; i++) {
        found[i]->d_name[strlen(found[i]->d_name) - 3] = '\0';
        each(ctx, found[i]->d_name);
        free(found[i]);
    }
    free(found);
    return DKV_OK;
}

struct names {
    char text[160];
    size_t used;
};

static void add_name(void *ctx, const char *name)
{
    struct names *names = ctx;

    if (names->used < sizeof(names->text) - NAME_MAX_BYTES)
        names->used +=
            (size_t)snprintf(names->text + names->used, sizeof(names->text) - names->used, "%s%.*s",
                             names->used == 0 ? "" : ", ", NAME_MAX_BYTES - 3, name);
}

static int not_found(const char *folder, const char *name, struct dkv_error *err)
{
    struct names names = {.text = "none"};
    int status = plugin_list(folder, add_name, &names, err);

    if (status != DKV_OK)
        return status;
    return dkv_error_set(err, DKV_ENOENT, "no plugin \"%s\" in %s; there are: %s", name, folder,
                         names.text);
}

/* Gives a descriptor of the checked file. */
static int open_checked(const char *folder, const char *name, const char *path, int *fd_out,
                        struct dkv_error *err)
{
    struct stat st;
    char file[NAME_MAX_BYTES + 4];
    int dir, fd, status;

    if (getauxval(AT_SECURE) != 0 && strcmp(folder, DKV_PLUGINS_DIR) != 0)
        return dkv_error_set(err, DKV_EPERM, "%s: a set-uid process loads plugins from %s only",
                             folder, DKV_PLUGINS_DIR);
    dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return folder_error(folder, errno, err);
    snprintf(file, sizeof(file), "%s.so", name);
    fd = openat(dir, file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    status = fstat(dir, &st) == 0 ? check_owner(folder, &st, err) : DKV_EIO;
    close(dir);
    if (fd < 0)
        return errno == ENOENT
                   ? not_found(folder, name, err)
                   : dkv_error_set(err, status_from_errno(errno), "%s: %s", path, strerror(errno));
    if (status == DKV_OK && fstat(fd, &st) != 0)
        status = dkv_error_set(err, DKV_EIO, "%s: %s", path, strerror(errno));
    if (status == DKV_OK && !S_ISREG(st.st_mode))
        status = dkv_error_set(err, DKV_EPERM, "%s: not a regular file", path);
    if (status == DKV_OK)
        status = check_owner(path, &st, err);
    if (status != DKV_OK) {
        close(fd);
        return status;
    }
    *fd_out = fd;
    return DKV_OK;
}

static void *load(int fd, const char *path)
{
    const int how = RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE;
    char by_fd[32];

    snprintf(by_fd, sizeof(by_fd), "/proc/self/fd/%d", fd);
    return dlopen(access(by_fd, F_OK) == 0 ? by_fd : path, how);
}

static int check_fits(const char *path, const char *name, uint32_t kind, const struct dkv_plugin *p,
                      struct dkv_error *err)
{
    if (p->magic != DKV_PLUGIN_MAGIC)
        return dkv_error_set(err, DKV_EINVAL,
                             "%s: dkv_plugin is not a dkv descriptor (magic 0x%08x, not 0x%08x)",
                             path, p->magic, DKV_PLUGIN_MAGIC);
    if (p->abi_major != DKV_ABI_MAJOR || p->abi_minor > DKV_ABI_MINOR)
        return dkv_error_set(err, DKV_EINVAL,
                             "%s: built for plugin ABI %u.%u, this daemon has %u.%u; rebuild the "
                             "plugin",
                             path, p->abi_major, p->abi_minor, DKV_ABI_MAJOR, DKV_ABI_MINOR);
    if (p->libevent >> 16 != LIBEVENT_VERSION_NUMBER >> 16)
        return dkv_error_set(err, DKV_EINVAL,
                             "%s: built with libevent 0x%08x, this daemon with 0x%08x; rebuild the "
                             "plugin",
                             path, p->libevent, (unsigned)LIBEVENT_VERSION_NUMBER);
    if (kind != 0 && p->kind != kind)
        return dkv_error_set(
            err, DKV_EINVAL, "%s: %s is a %s plugin, but the section asks for a %s plugin", path,
            p->name == NULL ? "this" : p->name, kind_name(p->kind), kind_name(kind));
    if (p->kind != DKV_PLUGIN_STORAGE && p->kind != DKV_PLUGIN_TRANSPORT)
        return dkv_error_set(err, DKV_EINVAL, "%s: unknown kind of plugin %u", path, p->kind);
    if (p->name == NULL || strcmp(p->name, name) != 0)
        return dkv_error_set(err, DKV_EINVAL,
                             "%s: plugin is named \"%s\", but the section asks for \"%s\"", path,
                             p->name == NULL ? "" : p->name, name);
    if (p->ops.storage == NULL)
        return dkv_error_set(err, DKV_EINVAL, "%s: %s plugin has no table of functions", path,
                             kind_name(p->kind));
    return DKV_OK;
}

/* Copies the part of a table that its plugin knew; the rest stays NULL. */
static void copy_table(void *to, size_t to_size, const void *from)
{
    uint32_t from_size;

    memcpy(&from_size, from, sizeof(from_size));
    memset(to, 0, to_size);
    memcpy(to, from, from_size < to_size ? from_size : to_size);
}

static const char *missing_storage_slot(const struct dkv_storage_ops *ops)
{
#define REQUIRE(slot)                                                                              \
    if (ops->slot == NULL)                                                                         \
    return #slot
    REQUIRE(open);
    REQUIRE(close);
    REQUIRE(reader_open);
    REQUIRE(reader_close);
    REQUIRE(get);
    REQUIRE(apply);
    REQUIRE(applied);
    REQUIRE(restore_open);
    REQUIRE(restore_write);
    REQUIRE(restore_commit);
    REQUIRE(restore_abort);
    if (ops->snapshot_open != NULL) {
        REQUIRE(snapshot_read);
        REQUIRE(snapshot_close);
    }
    return NULL;
}

static const char *missing_transport_slot(const struct dkv_transport_ops *ops)
{
    REQUIRE(open);
    REQUIRE(close);
    REQUIRE(wrap);
    REQUIRE(peer);
    return NULL;
#undef REQUIRE
}

static int check_slots(const char *path, struct plugin *plugin, struct dkv_error *err)
{
    const struct dkv_plugin *p = plugin->descriptor;
    const char *missing;

    if (p->kind == DKV_PLUGIN_STORAGE) {
        copy_table(&plugin->storage, sizeof(plugin->storage), p->ops.storage);
        missing = missing_storage_slot(&plugin->storage);
    } else {
        copy_table(&plugin->transport, sizeof(plugin->transport), p->ops.transport);
        missing = missing_transport_slot(&plugin->transport);
    }
    if (missing != NULL)
        return dkv_error_set(err, DKV_EINVAL, "%s: %s plugin lacks %s()", path, kind_name(p->kind),
                             missing);
    return DKV_OK;
}

/* dlerror names the descriptor, which tells nobody anything. */
static const char *without_path(const char *text)
{
    const char *colon = strncmp(text, "/proc/self/fd/", 14) == 0 ? strstr(text, ": ") : NULL;

    return colon == NULL ? text : colon + 2;
}

int plugin_load(const char *folder, const char *name, uint32_t kind, struct plugin **plugin_out,
                struct dkv_error *err)
{
    struct plugin *plugin;
    char path[4096];
    void *handle;
    int fd, status;

    if (!is_name(name))
        return dkv_error_set(err, DKV_EINVAL,
                             "\"%.40s\" is not the name of a plugin; write up to 32 of a-z, 0-9, _ "
                             "and -, a letter first",
                             name);
    snprintf(path, sizeof(path), "%s/%s.so", folder, name);
    status = open_checked(folder, name, path, &fd, err);
    if (status != DKV_OK)
        return status;
    /* dlopen remembers a library by the name it was opened with: a descriptor that was used again
     * would give the plugin that was loaded before.  So it stays open, as the library does. */
    handle = load(fd, path);
    if (handle == NULL) {
        close(fd);
        return dkv_error_set(err, DKV_EINVAL, "%s: %s", path, without_path(dlerror()));
    }
    plugin = xcalloc(1, sizeof(*plugin));
    plugin->descriptor = dlsym(handle, "dkv_plugin");
    if (plugin->descriptor == NULL)
        status = dkv_error_set(err, DKV_EINVAL, "%s: not a dkv plugin: no symbol dkv_plugin", path);
    if (status == DKV_OK)
        status = check_fits(path, name, kind, plugin->descriptor, err);
    if (status == DKV_OK)
        status = check_slots(path, plugin, err);
    if (status != DKV_OK)
        plugin_free(&plugin);
    else
        *plugin_out = plugin;
    return status;
}

void plugin_free(struct plugin **plugin)
{
    free(*plugin);
    *plugin = NULL;
}
