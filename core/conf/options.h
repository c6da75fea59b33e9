/* A plugin's own options: from its section in dkv.conf into the struct its table describes.
 *
 * The plugin loader calls options_fill after it has the descriptor and before open().  The keys
 * "plugin" and "wraps" are the loader's and are skipped here.  An option called path of a storage plugin defaults
 * to node.data_dir/store/NAME, unless there is no data_dir (--dev).  Values of secret options never
 * appear in a message. */
#ifndef CONF_OPTIONS_H
#define CONF_OPTIONS_H

#include <stdio.h>

#include "conf/conf.h"
#include "dkv/plugin.h"

/* Fills `into` (options_size bytes of the descriptor, zeroed here) from the section.  Every mistake
 * is added to conf; DKV_EINVAL if there was one, and err (may be NULL) has the first.  Strings in
 * `into` are borrowed from conf.  A mistake in the table itself (a bad default, an offset outside
 * the struct) is an error too: the plugin is input. */
int options_fill(struct conf *conf, const struct conf_section *section,
                 const struct dkv_option *table, void *into, size_t into_size,
                 struct dkv_error *err);

/* The text of `dkvd --plugin-help NAME`. */
void options_print_help(const struct dkv_plugin *plugin, FILE *to);

#endif
