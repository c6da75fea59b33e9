/* load: drives key-value servers over HTTP and measures them.  See --help and docs/benchmarks.md. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/load/failover.h"
#include "bench/load/fsync.h"
#include "bench/load/mix.h"
#include "bench/load/options.h"
#include "bench/load/records.h"
#include "bench/load/tally.h"

static volatile int stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

static int mix(const struct options *options)
{
    static struct tally tally;

    if (mix_run(options, &stop, &tally) != 0)
        return -1;
    if (options->json)
        tally_print_json(&tally, options, stdout);
    else
        tally_print(&tally, options, stdout);
    return tally_succeeded(&tally) > 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct options options;
    int rc = options_parse(argc, argv, &options);

    if (rc != 0)
        return rc > 0 ? 0 : 64;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    switch (options.mode) {
    case MODE_MIX:
        rc = mix(&options);
        break;
    case MODE_FSYNC:
        rc = fsync_measure(options.fsync_dir, options.duration_s < 10 ? options.duration_s : 2,
                           options.json);
        break;
    case MODE_FAILOVER:
        rc = failover_measure(&options, &stop);
        break;
    case MODE_WRITE_RECORDS:
        rc = records_write(&options, &stop);
        break;
    case MODE_VERIFY_RECORDS:
        rc = records_verify(&options, &stop);
        break;
    }
    return rc < 0 ? 2 : rc;
}
