/* The table that the daemon lends to a plugin instance: its log and its clock.  Any thread. */
#ifndef PLUGIN_HOST_H
#define PLUGIN_HOST_H

#include "dkv/plugin.h"

/* name goes into every line and must outlive the table. */
void host_init(struct dkv_host *host, const char *name);

#endif
