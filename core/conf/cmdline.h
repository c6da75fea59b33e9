/* The command line of dkvd.  Main thread, at start.  Texts in the struct are borrowed from argv. */
#ifndef CONF_CMDLINE_H
#define CONF_CMDLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "conf/conf.h"

enum cmdline_action {
    CMDLINE_RUN,
    CMDLINE_HELP,
    CMDLINE_VERSION,
    CMDLINE_CHECK_CONFIG,
    CMDLINE_PRINT_SAMPLE,
    CMDLINE_DUMP_CONFIG,
    CMDLINE_CHECK_RECOVERY, /* argument: the directory */
    CMDLINE_PLUGIN_HELP,    /* argument: the plugin's name */
    CMDLINE_HEALTH
};

struct cmdline {
    enum cmdline_action action;
    const char *argument;
    const char *config; /* NULL: not given */
    bool dev;
    enum conf_format dump_format;
    const char **sets; /* freed by cmdline_fini */
    size_t sets_count;
};

/* EXIT_CODE_OK, or EXIT_CODE_USAGE after it has said on `to` what is wrong and what was meant. */
int cmdline_parse(int argc, char **argv, struct cmdline *cmdline_out, FILE *to);
void cmdline_fini(struct cmdline *cmdline);
void cmdline_print_help(FILE *to);

/* What conf_load wants to know, out of a command line; environment as in environ. */
void cmdline_conf_input(const struct cmdline *cmdline, const char *const *environment,
                        struct conf_input *input_out);

#endif
