/* The daemon's entry point: arguments, signals, exit codes; nothing else. */
#include <stdio.h>

#include "base/exit_codes.h"
#include "conf/cmdline.h"
#include "node/check_config.h"
#include "node/check_recovery.h"
#include "node/health_probe.h"
#include "node/node.h"
#include "node/plugins.h"

extern char **environ;

/* 0, or EXIT_CODE_CONFIG after all that is wrong has been said. */
static int load(const struct cmdline *cmdline, struct conf **conf_out)
{
    struct conf_input input;

    cmdline_conf_input(cmdline, (const char *const *)environ, &input);
    *conf_out = conf_load(&input);
    return conf_failed(*conf_out) ? EXIT_CODE_CONFIG : EXIT_CODE_OK;
}

/* With the plugins that are named, and their options. */
static int load_whole(const struct cmdline *cmdline, struct conf **conf_out)
{
    struct dkv_error err = {0};
    int status = DKV_OK;

    load(cmdline, conf_out);
    conf_check_plugins(*conf_out);
    if (!conf_failed(*conf_out))
        status = plugins_check(*conf_out, &err);
    if (status != DKV_OK && !conf_failed(*conf_out))
        fprintf(stderr, "dkvd: %s\n", err.text);
    conf_report(*conf_out, stderr);
    if (conf_failed(*conf_out))
        return EXIT_CODE_CONFIG;
    if (status == DKV_EPERM)
        return EXIT_CODE_PERMISSION;
    return status == DKV_OK ? EXIT_CODE_OK : EXIT_CODE_CONFIG;
}

static int check_config(const struct cmdline *cmdline)
{
    struct conf *conf;
    int code = load_whole(cmdline, &conf);

    if (code == EXIT_CODE_OK && !check_config_places(conf_settings(conf), stderr))
        code = EXIT_CODE_CONFIG;
    if (code == EXIT_CODE_OK)
        puts("dkvd: the configuration is good");
    conf_free(&conf);
    return code == EXIT_CODE_OK ? EXIT_CODE_OK : EXIT_CODE_CONFIG;
}

static int dump_config(const struct cmdline *cmdline)
{
    struct conf *conf;
    int code = load(cmdline, &conf);

    conf_report(conf, stderr);
    if (code == EXIT_CODE_OK)
        conf_dump(conf, cmdline->dump_format, plugins_is_secret, conf, stdout);
    conf_free(&conf);
    return code;
}

static int health(const struct cmdline *cmdline)
{
    struct dkv_error err = {0};
    struct conf *conf;
    int code = load(cmdline, &conf);

    conf_report(conf, stderr);
    if (code == EXIT_CODE_OK && health_probe(conf_settings(conf), &err) != DKV_OK) {
        fprintf(stderr, "dkvd: not ready: %s\n", err.text);
        code = EXIT_CODE_UNAVAILABLE;
    }
    conf_free(&conf);
    return code;
}

static int plugin_help(const struct cmdline *cmdline)
{
    struct dkv_error err = {0};
    int status = cmdline->argument == NULL ? plugins_print_list(stdout, &err)
                                           : plugins_print_help(cmdline->argument, stdout, &err);

    if (status == DKV_OK)
        return EXIT_CODE_OK;
    fprintf(stderr, "dkvd: %s\n", err.text);
    return EXIT_CODE_CONFIG;
}

static struct conf *load_again(void *ctx)
{
    struct conf *conf;

    (void)load(ctx, &conf);
    conf_check_plugins(conf);
    return conf;
}

static int run(struct cmdline *cmdline)
{
    struct node_source source = {.load = load_again, .ctx = cmdline};
    struct conf *conf;
    int code = load_whole(cmdline, &conf);

    if (code == EXIT_CODE_OK)
        code = node_run(conf, &source);
    conf_free(&conf);
    return code;
}

static int act(struct cmdline *cmdline)
{
    switch (cmdline->action) {
    case CMDLINE_HELP:
        cmdline_print_help(stdout);
        return EXIT_CODE_OK;
    case CMDLINE_VERSION:
        puts("dkvd " PACKAGE_VERSION);
        return EXIT_CODE_OK;
    case CMDLINE_PRINT_SAMPLE:
        conf_print_sample(stdout);
        return EXIT_CODE_OK;
    case CMDLINE_HEALTH:
        return health(cmdline);
    case CMDLINE_CHECK_CONFIG:
        return check_config(cmdline);
    case CMDLINE_DUMP_CONFIG:
        return dump_config(cmdline);
    case CMDLINE_CHECK_RECOVERY:
        return check_recovery(cmdline->argument, stdout);
    case CMDLINE_PLUGIN_HELP:
        return plugin_help(cmdline);
    case CMDLINE_RUN:
        break;
    }
    return run(cmdline);
}

/* What was asked for on standard output must get there. */
static int flush(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    fputs("dkvd: cannot write to standard output\n", stderr);
    return EXIT_CODE_IO;
}

int main(int argc, char **argv)
{
    struct cmdline cmdline;
    int code = cmdline_parse(argc, argv, &cmdline, stderr);

    if (code != EXIT_CODE_OK)
        return code;
    code = flush(act(&cmdline));
    cmdline_fini(&cmdline);
    return code;
}
