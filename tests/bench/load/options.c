#include "bench/load/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    OPT_ZIPF = 256,
    OPT_KEYS,
    OPT_KEY_SIZE,
    OPT_VALUE_SIZE,
    OPT_RATE,
    OPT_WARMUP,
    OPT_PREFILL,
    OPT_LEADER,
    OPT_LONE,
    OPT_FSYNC,
    OPT_FAILOVER,
    OPT_FILE,
    OPT_VERIFY,
    OPT_ACKNOWLEDGED,
    OPT_STALE,
    OPT_PATH,
    OPT_TIMEOUT,
    OPT_SEED,
    OPT_JSON,
    OPT_HELP
};

static const struct option table[] = {{"dialect", required_argument, NULL, 'D'},
                                      {"connections", required_argument, NULL, 'c'},
                                      {"duration", required_argument, NULL, 'd'},
                                      {"put", required_argument, NULL, 'p'},
                                      {"zipf", required_argument, NULL, OPT_ZIPF},
                                      {"keys", required_argument, NULL, OPT_KEYS},
                                      {"key-size", required_argument, NULL, OPT_KEY_SIZE},
                                      {"value-size", required_argument, NULL, OPT_VALUE_SIZE},
                                      {"rate", required_argument, NULL, OPT_RATE},
                                      {"warmup", required_argument, NULL, OPT_WARMUP},
                                      {"prefill", no_argument, NULL, OPT_PREFILL},
                                      {"leader", no_argument, NULL, OPT_LEADER},
                                      {"lone", no_argument, NULL, OPT_LONE},
                                      {"fsync", required_argument, NULL, OPT_FSYNC},
                                      {"failover", required_argument, NULL, OPT_FAILOVER},
                                      {"file", required_argument, NULL, OPT_FILE},
                                      {"verify", no_argument, NULL, OPT_VERIFY},
                                      {"acknowledged", required_argument, NULL, OPT_ACKNOWLEDGED},
                                      {"stale", no_argument, NULL, OPT_STALE},
                                      {"path", required_argument, NULL, OPT_PATH},
                                      {"timeout", required_argument, NULL, OPT_TIMEOUT},
                                      {"seed", required_argument, NULL, OPT_SEED},
                                      {"json", no_argument, NULL, OPT_JSON},
                                      {"help", no_argument, NULL, OPT_HELP},
                                      {NULL, 0, NULL, 0}};

static const char help[] =
    "usage: load [OPTION...] HOST:PORT...\n"
    "\n"
    "  --dialect NAME      dkv (default), etcd, hraftd, fixed (GET of one path)\n"
    "  -c, --connections N keep-alive connections, spread over the servers (64)\n"
    "  --leader            only to the server that leads\n"
    "  -d, --duration S    seconds to measure (10), after --warmup S (1)\n"
    "  -p, --put PERCENT   writes among the requests (100)\n"
    "  --keys N --key-size N --value-size N    100000, 16, 64\n"
    "  --zipf S            popularity of keys by Zipf's law, for example 0.99 (0: uniform)\n"
    "  --prefill           write every key once before\n"
    "  --rate N            requests per second, timed from when each should have started\n"
    "                      (default: closed loop, each connection waits for its answer)\n"
    "  --lone              one connection, one write at a time\n"
    "  --stale             reads with ?consistency=stale (dkv)\n"
    "  --path PATH         what the dialect `fixed` asks for (/)\n"
    "  --timeout MS        per request (10000)\n"
    "  --seed N            of the random numbers (1)\n"
    "  --json              one JSON object instead of the table\n"
    "\n"
    "other things it does:\n"
    "  --fsync DIR         the time of one fdatasync of 512 preallocated bytes in DIR\n"
    "  --failover PID      kill PID, the leader at the first address, and time the first write "
    "that\n"
    "                      another node acknowledges\n"
    "  --file F            write the stanzas of F (- is stdin), try each again until "
    "acknowledged;\n"
    "                      --acknowledged G logs key and ETag of each\n"
    "  --verify            read back what G says and compare with F\n";

static int number(const char *name, const char *text, double least, double most, double *to)
{
    char *end;

    errno = 0;
    *to = strtod(text, &end);
    if (end != text && *end == '\0' && errno == 0 && *to >= least && *to <= most)
        return 0;
    fprintf(stderr, "load: %s is %g to %g, not %s\n", name, least, most, text);
    return -1;
}

static int whole(const char *name, const char *text, uint64_t least, uint64_t most, uint64_t *to)
{
    double value;

    if (number(name, text, (double)least, (double)most, &value) != 0)
        return -1;
    *to = (uint64_t)value;
    return 0;
}

static int take_number(struct options *o, int which, const char *text)
{
    uint64_t n = 0;
    int rc = 0;

    switch (which) {
    case 'c':
        rc = whole("connections", text, 1, 10000, &n);
        o->connections = (unsigned)n;
        break;
    case 'd':
        return number("duration", text, 0.1, 86400, &o->duration_s);
    case 'p':
        rc = number("put", text, 0, 100, &o->put_share);
        o->put_share /= 100.0;
        break;
    case OPT_ZIPF:
        return number("zipf", text, 0, 10, &o->zipf);
    case OPT_KEYS:
        return whole("keys", text, 1, UINT64_C(1) << 40, &o->keys);
    case OPT_KEY_SIZE:
        rc = whole("key-size", text, 1, 1024, &n);
        o->key_size = (size_t)n;
        break;
    case OPT_VALUE_SIZE:
        rc = whole("value-size", text, 0, 8 << 20, &n);
        o->value_size = (size_t)n;
        break;
    case OPT_RATE:
        return number("rate", text, 0, 1e7, &o->rate);
    case OPT_WARMUP:
        return number("warmup", text, 0, 3600, &o->warmup_s);
    case OPT_TIMEOUT:
        rc = whole("timeout", text, 1, 600000, &n);
        o->timeout_ms = (int)n;
        break;
    case OPT_SEED:
        return whole("seed", text, 0, UINT64_C(1) << 52, &o->seed);
    default:
        rc = whole("process id", text, 2, 1 << 30, &n);
        o->mode = MODE_FAILOVER;
        o->kill_pid = (pid_t)n;
        break;
    }
    return rc;
}

static int take(struct options *o, int which, const char *text)
{
    switch (which) {
    case 'D':
        if (dialect_parse(text, &o->dialect) == 0)
            return 0;
        fprintf(stderr, "load: no dialect %s\n", text);
        return -1;
    case OPT_PREFILL:
        o->prefill = true;
        return 0;
    case OPT_LEADER:
        o->leader = true;
        return 0;
    case OPT_LONE:
        o->connections = 1;
        return 0;
    case OPT_FSYNC:
        o->mode = MODE_FSYNC;
        o->fsync_dir = text;
        return 0;
    case OPT_FILE:
        if (o->mode == MODE_MIX)
            o->mode = MODE_WRITE_RECORDS;
        o->file = text;
        return 0;
    case OPT_VERIFY:
        o->mode = MODE_VERIFY_RECORDS;
        return 0;
    case OPT_ACKNOWLEDGED:
        o->acknowledged = text;
        return 0;
    case OPT_STALE:
        o->extra = "?consistency=stale";
        return 0;
    case OPT_PATH:
        o->extra = text;
        return 0;
    case OPT_JSON:
        o->json = true;
        return 0;
    case '?':
        return -1;
    default:
        return take_number(o, which, text);
    }
}

static int check(struct options *o)
{
    if (o->extra == NULL)
        o->extra = o->dialect == DIALECT_FIXED ? "/" : "";
    if (o->dialect == DIALECT_FIXED)
        o->put_share = 0.0;
    if (o->mode != MODE_FSYNC && o->servers_count == 0) {
        fputs("load: name a server, HOST:PORT\n", stderr);
        return -1;
    }
    if (o->mode == MODE_VERIFY_RECORDS && (o->file == NULL || o->acknowledged == NULL)) {
        fputs("load: --verify needs --file and --acknowledged\n", stderr);
        return -1;
    }
    if (o->mode == MODE_FAILOVER && o->servers_count < 2) {
        fputs("load: --failover needs the leader's address and another\n", stderr);
        return -1;
    }
    return 0;
}

int options_parse(int argc, char **argv, struct options *o)
{
    int which;

    *o = (struct options){.connections = 64,
                          .put_share = 1.0,
                          .duration_s = 10,
                          .warmup_s = 1,
                          .keys = 100000,
                          .key_size = 16,
                          .value_size = 64,
                          .timeout_ms = 10000,
                          .seed = 1,
                          .progress = isatty(STDERR_FILENO) == 1};
    while ((which = getopt_long(argc, argv, "c:d:p:", table, NULL)) != -1) {
        if (which == OPT_HELP) {
            fputs(help, stdout);
            return 1;
        }
        if (take(o, which, optarg) != 0)
            return -1;
    }
    for (; optind < argc; optind++) {
        if (o->servers_count == ENGINE_SERVERS_MAX ||
            server_parse(argv[optind], &o->servers[o->servers_count]) != 0) {
            fprintf(stderr, "load: %s is no HOST:PORT that can be used\n", argv[optind]);
            return -1;
        }
        o->servers_count++;
    }
    return check(o);
}
