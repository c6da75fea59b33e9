/* transport_suite PLUGIN [option=value...]: checks a transport plugin against
 * include/dkv/transport.h, on loopback; prints TAP. */
#include <signal.h>

#include "cases.h"

static int usage(void)
{
    fputs("usage: transport_suite PLUGIN [option=value...]\n"
          "\n"
          "Checks a transport plugin against include/dkv/transport.h; prints TAP.\n"
          "PLUGIN is a name in the plugin folder (DKV_PLUGIN_PATH).\n",
          stderr);
    return 64;
}

/* The command line as a section of dkv.conf; false if it does not fit. */
static bool write_section(int count, char **options)
{
    size_t used =
        (size_t)snprintf(ends_section, sizeof(ends_section), "[transport \"%s\"]\n", ends_plugin);

    for (int i = 0; i < count && used < sizeof(ends_section); i++)
        used +=
            (size_t)snprintf(ends_section + used, sizeof(ends_section) - used, "%s\n", options[i]);
    return used < sizeof(ends_section);
}

int main(int argc, char **argv)
{
    if (argc < 2 || argv[1][0] == '-')
        return usage();
    ends_plugin = argv[1];
    if (!write_section(argc - 2, argv + 2))
        return usage();
    (void)signal(SIGPIPE, SIG_IGN);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return run_cases();
}
