/* The plugins that the configuration names, opened: one storage, one transport for clients and one
 * for peers (the same instance if they have the same name).  Main thread. */
#ifndef NODE_PLUGINS_H
#define NODE_PLUGINS_H

#include <stdio.h>

#include "conf/conf.h"
#include "dkv/storage.h"
#include "dkv/transport.h"

struct plugins {
    struct dkv_store *store;
    struct dkv_transport *http_transport, *peer_transport;
    /* What they came from. */
    struct storage *storage;
    struct transport *http, *peer; /* peer is NULL if it is http's */
};

/* Loads each plugin and reads its options, opens none: what is wrong with the configuration of the
 * plugins is known before anything is made on the disk. */
int plugins_check(struct conf *conf, struct dkv_error *err);

/* home is the loop of the thread that will apply. */
int plugins_open(struct conf *conf, struct event_base *home, struct plugins *plugins_out,
                 struct dkv_error *err);
void plugins_close(struct plugins *plugins);

/* For conf_dump, with a struct conf as ctx: what the plugin's table marks as secret, and what no table
 * says anything of, for it may be one. */
bool plugins_is_secret(void *conf, const struct conf_section *section, const char *key);

/* The text of `dkvd --plugin-help NAME`. */
int plugins_print_help(const char *name, FILE *to, struct dkv_error *err);
/* The same without NAME: which there are. */
int plugins_print_list(FILE *to, struct dkv_error *err);

#endif
