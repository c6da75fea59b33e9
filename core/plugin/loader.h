/* Finds a plugin by name in the plugin folder, checks that it may be trusted and that it fits, and
 * loads it.
 *
 * Main thread, at start only.  The folder and the file must belong to root or to the user the
 * daemon runs as and be writable by nobody else; a folder other than the installed one is refused
 * to a set-uid daemon.  The checks are made on the open file and that very file is loaded.
 *
 * The plugin's table is copied into a zeroed one of ours, so that a slot which the plugin does not
 * know and one which it does not offer look the same: NULL.  A library that loaded is never
 * unloaded, because exit handlers and thread-local destructors may point into it. */
#ifndef PLUGIN_LOADER_H
#define PLUGIN_LOADER_H

#include "dkv/storage.h"
#include "dkv/transport.h"

struct plugin {
    const struct dkv_plugin *descriptor; /* in the library, valid for ever */
    struct dkv_storage_ops storage;      /* of the right kind only, else zero */
    struct dkv_transport_ops transport;
};

/* kind is a dkv_plugin_kind, or 0 for any.  Gives a plugin, freed with plugin_free.  DKV_ENOENT:
 * no such file; DKV_EPERM: not to be trusted; DKV_EINVAL: the name or the plugin is wrong. */
int plugin_load(const char *folder, const char *name, uint32_t kind, struct plugin **plugin_out,
                struct dkv_error *err);
void plugin_free(struct plugin **plugin);

/* Names of what may be plugins in the folder, in alphabetical order; nothing is loaded.
 * DKV_ENOENT: the folder cannot be read. */
int plugin_list(const char *folder, void (*each)(void *ctx, const char *name), void *ctx,
                struct dkv_error *err);

/* The installed folder, or DKV_PLUGIN_PATH from the environment unless the daemon is set-uid. */
const char *plugin_folder(void);

#endif
