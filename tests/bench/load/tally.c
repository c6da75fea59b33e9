#include "bench/load/tally.h"

#include <jansson.h>
#include <string.h>

static const struct {
    const char *name;
    double percent;
} percentiles[] = {{"p50", 50}, {"p90", 90}, {"p99", 99}, {"p99.9", 99.9}, {"p99.99", 99.99}};

enum { PERCENTILES = sizeof(percentiles) / sizeof(percentiles[0]) };

void tally_reset(struct tally *tally)
{
    memset(tally, 0, sizeof(*tally));
    histogram_reset(&tally->puts);
    histogram_reset(&tally->gets);
}

void tally_ending(struct tally *tally, enum ending ending, int status)
{
    switch (ending) {
    case ENDING_ANSWER:
        tally->by_status[status >= 0 && status < TALLY_STATUS_MAX ? status : 0]++;
        break;
    case ENDING_REFUSED:
        tally->refused++;
        break;
    case ENDING_BROKEN:
        tally->broken++;
        break;
    case ENDING_TIMED_OUT:
        tally->timed_out++;
        break;
    }
}

uint64_t tally_succeeded(const struct tally *tally)
{
    return tally->puts.count + tally->gets.count;
}

uint64_t tally_failed(const struct tally *tally)
{
    uint64_t sum =
        tally->missing + tally->refused + tally->broken + tally->timed_out + tally->never_sent;

    for (unsigned i = 0; i < TALLY_STATUS_MAX; i++)
        sum += tally->by_status[i];
    return sum;
}

static double per_second(const struct tally *tally, uint64_t count)
{
    return tally->elapsed_s > 0.0 ? (double)count / tally->elapsed_s : 0.0;
}

static json_t *errors_json(const struct tally *tally)
{
    const struct {
        const char *name;
        uint64_t count;
    } classes[] = {{"missing", tally->missing},
                   {"refused", tally->refused},
                   {"broken", tally->broken},
                   {"timeout", tally->timed_out},
                   {"never_sent", tally->never_sent}};
    json_t *errors = json_object();
    char name[16];

    for (unsigned i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        if (classes[i].count > 0)
            json_object_set_new(errors, classes[i].name,
                                json_integer((json_int_t)classes[i].count));
    }
    for (unsigned i = 0; i < TALLY_STATUS_MAX; i++) {
        if (tally->by_status[i] == 0)
            continue;
        snprintf(name, sizeof(name), "%u", i);
        json_object_set_new(errors, name, json_integer((json_int_t)tally->by_status[i]));
    }
    return errors;
}

static json_t *latencies_json(const struct tally *tally, const struct histogram *h)
{
    json_t *root = json_object(), *times = json_object();

    json_object_set_new(root, "count", json_integer((json_int_t)h->count));
    json_object_set_new(root, "per_second", json_real(per_second(tally, h->count)));
    for (unsigned i = 0; i < PERCENTILES; i++)
        json_object_set_new(
            times, percentiles[i].name,
            json_real((double)histogram_percentile(h, percentiles[i].percent) / 1e3));
    json_object_set_new(times, "max", json_real((double)h->max / 1e3));
    json_object_set_new(times, "mean", json_real(histogram_mean(h) / 1e3));
    json_object_set_new(root, "latency_us", times);
    return root;
}

void tally_print_json(const struct tally *tally, const struct options *options, FILE *to)
{
    json_t *root = json_object();

    json_object_set_new(root, "dialect", json_string(dialect_name(options->dialect)));
    json_object_set_new(root, "connections", json_integer((json_int_t)options->connections));
    json_object_set_new(root, "rate_wanted", json_real(options->rate));
    json_object_set_new(root, "seconds", json_real(tally->elapsed_s));
    json_object_set_new(root, "per_second", json_real(per_second(tally, tally_succeeded(tally))));
    json_object_set_new(root, "put", latencies_json(tally, &tally->puts));
    json_object_set_new(root, "get", latencies_json(tally, &tally->gets));
    json_object_set_new(root, "failed", json_integer((json_int_t)tally_failed(tally)));
    json_object_set_new(root, "errors", errors_json(tally));
    json_dumpf(root, to, JSON_COMPACT | JSON_REAL_PRECISION(9));
    fputc('\n', to);
    json_decref(root);
}

static void print_row(const struct tally *tally, const char *name, const struct histogram *h,
                      FILE *to)
{
    if (h->count == 0)
        return;
    fprintf(to, "%-5s %10.0f", name, per_second(tally, h->count));
    for (unsigned i = 0; i < PERCENTILES; i++)
        fprintf(to, " %9.3f", (double)histogram_percentile(h, percentiles[i].percent) / 1e6);
    fprintf(to, " %9.3f\n", (double)h->max / 1e6);
}

void tally_print(const struct tally *tally, const struct options *options, FILE *to)
{
    json_t *errors = errors_json(tally), *count;
    const char *name;

    fprintf(to, "%s, %u connections, %s, %.1f s\n", dialect_name(options->dialect),
            options->connections, options->rate > 0.0 ? "fixed rate" : "closed loop",
            tally->elapsed_s);
    fprintf(to, "      %10s", "1/s");
    for (unsigned i = 0; i < PERCENTILES; i++)
        fprintf(to, " %6s ms", percentiles[i].name);
    fprintf(to, " %6s ms\n", "max");
    print_row(tally, "put", &tally->puts, to);
    print_row(tally, "get", &tally->gets, to);
    json_object_foreach(errors, name, count)
    {
        fprintf(to, "error %s: %lld\n", name, (long long)json_integer_value(count));
    }
    json_decref(errors);
}
