#include "conf/cmdline.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/exit_codes.h"
#include "base/mem.h"
#include "conf/suggest.h"

#define DEFAULT_CONFIG DKV_SYSCONF_DIR "/dkv.conf"

struct flag {
    const char *name;
    int letter; /* or a number above the letters */
    const char *argument;
    int argument_kind;
    const char *help;
};

enum {
    FLAG_CHECK_CONFIG = 256,
    FLAG_PRINT_SAMPLE,
    FLAG_DUMP,
    FLAG_SET,
    FLAG_DEV,
    FLAG_CHECK_RECOVERY,
    FLAG_PLUGIN_HELP,
    FLAG_HEALTH
};

static const struct flag FLAGS[] = {
    {"config", 'c', "FILE", required_argument,
     "read FILE and conf.d/*.conf beside it (default: " DEFAULT_CONFIG ")"},
    {"set", FLAG_SET, "SECTION.KEY=VALUE", required_argument,
     "overrule files and environment; may be repeated"},
    {"dev", FLAG_DEV, NULL, no_argument,
     "one node on the loopback interface that keeps everything in memory; needs no file"},
    {"check-config", FLAG_CHECK_CONFIG, NULL, no_argument,
     "say everything that is wrong with the configuration and exit; touches no data"},
    {"print-sample-config", FLAG_PRINT_SAMPLE, NULL, no_argument,
     "print a file with all keys, their defaults and what they do"},
    {"dump-config", FLAG_DUMP, "ini|json", optional_argument,
     "print the values in force and where each comes from"},
    {"check-recovery", FLAG_CHECK_RECOVERY, "DIR", required_argument,
     "try on a copy what a start with data directory DIR would do, and say how it ends"},
    {"plugin-help", FLAG_PLUGIN_HELP, "[NAME]", required_argument,
     "print the options of plugin NAME; without NAME: which plugins there are"},
    {"health", FLAG_HEALTH, NULL, no_argument,
     "ask the dkvd that runs with this configuration whether it is ready; 0 if it is"},
    {"help", 'h', NULL, no_argument, "print this text"},
    {"version", 'V', NULL, no_argument, "print the version"},
};
#define FLAGS_COUNT (sizeof(FLAGS) / sizeof(FLAGS[0]))

void cmdline_print_help(FILE *to)
{
    fputs(
        "Usage: dkvd [OPTION]...\n"
        "The dkv daemon: one node of a distributed key-value store.  Stays in the foreground.\n\n",
        to);
    for (size_t i = 0; i < FLAGS_COUNT; i++) {
        const struct flag *flag = &FLAGS[i];
        bool is_letter = flag->letter < FLAG_CHECK_CONFIG;
        const char *equals = flag->argument_kind == optional_argument ? "[=" : " ";
        const char *close = flag->argument_kind == optional_argument ? "]" : "";

        fprintf(to, "  %c%c%s--%s", is_letter ? '-' : ' ', is_letter ? flag->letter : ' ',
                is_letter ? ", " : "  ", flag->name);
        if (flag->argument != NULL)
            fprintf(to, "%s%s%s", equals, flag->argument, close);
        fprintf(to, "\n          %s\n", flag->help);
    }
    fputs("\nManual: dkvd(8), dkv.conf(5).\n", to);
}

/* The flag that was meant: one that begins like it, or the nearest. */
static const struct flag *nearest_flag(const char *word)
{
    const struct flag *best = NULL;
    size_t least = 4;

    for (size_t i = 0; i < FLAGS_COUNT; i++) {
        char dashed[64];
        size_t distance;

        snprintf(dashed, sizeof(dashed), "--%s", FLAGS[i].name);
        distance = suggest_distance(word, dashed);
        if (strlen(word) > 3 && strncmp(dashed, word, strlen(word)) == 0)
            distance = 0;
        if (distance < least) {
            least = distance;
            best = &FLAGS[i];
        }
    }
    return best;
}

static int complain_about_flag(const char *word, FILE *to)
{
    char *name = xstrndup(word, strcspn(word, "="));
    const struct flag *near = nearest_flag(name);

    fprintf(to, "dkvd: unknown option '%s'", name);
    if (near != NULL)
        fprintf(to, " (did you mean '--%s'?)", near->name);
    fputs("; 'dkvd --help' lists all\n", to);
    free(name);
    return EXIT_CODE_USAGE;
}

static const struct flag *flag_of(int letter)
{
    for (size_t i = 0; i < FLAGS_COUNT; i++) {
        if (FLAGS[i].letter == letter)
            return &FLAGS[i];
    }
    return NULL;
}

/* Two commands at once: neither can be what was meant. */
static int set_action(struct cmdline *cmdline, enum cmdline_action action, const char *argument,
                      FILE *to)
{
    if (cmdline->action != CMDLINE_RUN && cmdline->action != action) {
        fputs("dkvd: only one of --check-config, --print-sample-config, --dump-config, "
              "--check-recovery, --plugin-help, --health, --help and --version at a time\n",
              to);
        return EXIT_CODE_USAGE;
    }
    cmdline->action = action;
    cmdline->argument = argument;
    return EXIT_CODE_OK;
}

static int set_dump(struct cmdline *cmdline, const char *format, FILE *to)
{
    cmdline->dump_format = format != NULL && strcmp(format, "json") == 0 ? CONF_JSON : CONF_INI;
    if (format != NULL && strcmp(format, "json") != 0 && strcmp(format, "ini") != 0) {
        fprintf(to, "dkvd: --dump-config=%s: the format is ini or json\n", format);
        return EXIT_CODE_USAGE;
    }
    return set_action(cmdline, CMDLINE_DUMP_CONFIG, NULL, to);
}

static void add_set(struct cmdline *cmdline, const char *set)
{
    cmdline->sets = xreallocarray(cmdline->sets, cmdline->sets_count + 1, sizeof(*cmdline->sets));
    cmdline->sets[cmdline->sets_count++] = set;
}

static int take_flag(struct cmdline *cmdline, int letter, const char *argument, FILE *to)
{
    switch (letter) {
    case 'c':
        cmdline->config = argument;
        return EXIT_CODE_OK;
    case FLAG_SET:
        add_set(cmdline, argument);
        return EXIT_CODE_OK;
    case FLAG_DEV:
        cmdline->dev = true;
        return EXIT_CODE_OK;
    case FLAG_DUMP:
        return set_dump(cmdline, argument, to);
    case FLAG_CHECK_CONFIG:
        return set_action(cmdline, CMDLINE_CHECK_CONFIG, NULL, to);
    case FLAG_PRINT_SAMPLE:
        return set_action(cmdline, CMDLINE_PRINT_SAMPLE, NULL, to);
    case FLAG_CHECK_RECOVERY:
        return set_action(cmdline, CMDLINE_CHECK_RECOVERY, argument, to);
    case FLAG_PLUGIN_HELP:
        return set_action(cmdline, CMDLINE_PLUGIN_HELP, argument, to);
    case FLAG_HEALTH:
        return set_action(cmdline, CMDLINE_HEALTH, NULL, to);
    case 'h':
        return set_action(cmdline, CMDLINE_HELP, NULL, to);
    default:
        return set_action(cmdline, CMDLINE_VERSION, NULL, to);
    }
}

/* `word` is the argument that getopt_long was looking at. */
static int complain(int found, const char *word, FILE *to)
{
    const struct flag *flag = flag_of(optopt);

    if (found == ':' && flag != NULL) {
        fprintf(to, "dkvd: --%s needs %s\n", flag->name, flag->argument);
        return EXIT_CODE_USAGE;
    }
    if (flag != NULL && flag->argument == NULL && strchr(word, '=') != NULL) {
        fprintf(to, "dkvd: --%s takes no argument\n", flag->name);
        return EXIT_CODE_USAGE;
    }
    return complain_about_flag(word, to);
}

static int parse_flags(int argc, char **argv, const struct option *options, struct cmdline *cmdline,
                       FILE *to)
{
    int status = EXIT_CODE_OK;

    opterr = 0;
    optind = 0;
    while (status == EXIT_CODE_OK) {
        int word = optind == 0 ? 1 : optind;
        int found = getopt_long(argc, argv, "+:c:hV", options, NULL);

        if (found == -1)
            break;
        if (found == ':' && optopt == FLAG_PLUGIN_HELP)
            status = take_flag(cmdline, FLAG_PLUGIN_HELP, NULL, to);
        else if (found == '?' || found == ':')
            status = complain(found, argv[word], to);
        else
            status = take_flag(cmdline, found, optarg, to);
    }
    if (status == EXIT_CODE_OK && optind < argc) {
        fprintf(to, "dkvd: '%s' is not an option; dkvd takes options only, see 'dkvd --help'\n",
                argv[optind]);
        status = EXIT_CODE_USAGE;
    }
    return status;
}

int cmdline_parse(int argc, char **argv, struct cmdline *cmdline_out, FILE *to)
{
    struct option options[FLAGS_COUNT + 1] = {0};
    struct cmdline cmdline = {.action = CMDLINE_RUN};
    int status;

    for (size_t i = 0; i < FLAGS_COUNT; i++)
        options[i] = (struct option){FLAGS[i].name, FLAGS[i].argument_kind, NULL, FLAGS[i].letter};
    status = parse_flags(argc, argv, options, &cmdline, to);
    if (status == EXIT_CODE_OK)
        *cmdline_out = cmdline;
    else
        cmdline_fini(&cmdline);
    return status;
}

void cmdline_fini(struct cmdline *cmdline)
{
    free(cmdline->sets);
    cmdline->sets = NULL;
    cmdline->sets_count = 0;
}

void cmdline_conf_input(const struct cmdline *cmdline, const char *const *environment,
                        struct conf_input *input_out)
{
    const char *fallback = cmdline->dev ? NULL : DEFAULT_CONFIG;

    *input_out = (struct conf_input){.path = cmdline->config != NULL ? cmdline->config : fallback,
                                     .path_may_be_absent = cmdline->config == NULL,
                                     .dev = cmdline->dev,
                                     .environment = environment,
                                     .sets = cmdline->sets,
                                     .sets_count = cmdline->sets_count};
}
