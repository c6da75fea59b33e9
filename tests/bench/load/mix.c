#include "bench/load/mix.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "bench/load/keyspace.h"
#include "bench/load/schedule.h"

#define DEAD_NS UINT64_C(15000000000) /* a server that takes nothing for so long won't */

struct mix {
    const struct options *options;
    struct keyspace keys;
    struct schedule schedule;
    struct tally *tally;
    struct server servers[ENGINE_SERVERS_MAX];
    unsigned servers_count;
    bool filling;
    uint64_t fill_next;
    uint64_t from_ns, end_ns, last_ns, give_up_ns;
    uint64_t shown_ns, shown_count, alive_ns, alive_count;
    struct buf key, value;
};

/* Printable, so that every dialect can carry it, and different from one write to the next. */
static struct dkv_slice make_value(struct mix *mix)
{
    size_t size = mix->options->value_size;

    for (size_t i = 0; i < size && i < 16; i += 8) {
        uint64_t random = rng_next(&mix->keys.rng);

        for (size_t j = 0; j < 8 && i + j < size; j++)
            mix->value.data[i + j] = (uint8_t)('a' + (random >> (8 * j) & 15));
    }
    return (struct dkv_slice){mix->value.data, size};
}

static enum next next_fill(struct mix *mix, uint64_t now, uint64_t *index_out, uint64_t *intended)
{
    if (mix->fill_next == mix->keys.count)
        return NEXT_END;
    *index_out = mix->fill_next++;
    *intended = now;
    return NEXT_REQUEST;
}

static enum next next_timed(struct mix *mix, uint64_t now, uint64_t *intended, uint64_t *wake)
{
    uint64_t due = schedule_due(&mix->schedule, now);

    if (due >= mix->end_ns)
        return NEXT_END;
    *wake = due;
    return schedule_take(&mix->schedule, now, intended) ? NEXT_REQUEST : NEXT_LATER;
}

static enum next mix_next(void *context, struct connection *c, uint64_t now, uint64_t *wake_out)
{
    struct mix *mix = context;
    const struct options *o = mix->options;
    const char *host = mix->servers[c->server].name;
    struct dkv_slice key = {mix->key.data, o->key_size};
    enum next next;

    next = mix->filling ? next_fill(mix, now, &c->tag, &c->intended_ns)
                        : next_timed(mix, now, &c->intended_ns, wake_out);
    if (next != NEXT_REQUEST)
        return next;
    c->is_put =
        mix->filling || o->put_share >= 1.0 ||
        (o->put_share > 0.0 && (double)(rng_next(&mix->keys.rng) >> 11) * 0x1p-53 < o->put_share);
    if (!mix->filling && o->dialect != DIALECT_FIXED)
        c->tag = keyspace_next(&mix->keys);
    if (o->dialect != DIALECT_FIXED)
        keyspace_key(&mix->keys, c->tag, (char *)mix->key.data);
    if (c->is_put)
        dialect_put(o->dialect, host, key, make_value(mix), &c->out);
    else
        dialect_get(o->dialect, host, key, o->extra, &c->out);
    return NEXT_REQUEST;
}

static void mix_done(void *context, struct connection *c, enum ending ending, uint64_t now)
{
    struct mix *mix = context;
    struct tally *tally = mix->tally;
    bool closed_loop = mix->schedule.interval_ns <= 0.0;

    if (!mix->filling && (c->intended_ns < mix->from_ns || (closed_loop && now > mix->end_ns)))
        return;
    mix->last_ns = now;
    if (ending != ENDING_ANSWER) {
        tally_ending(tally, ending, 0);
        return;
    }
    switch (dialect_judge(mix->options->dialect, c->is_put, &c->response)) {
    case VERDICT_OK:
        histogram_add(c->is_put ? &tally->puts : &tally->gets, now - c->intended_ns);
        break;
    case VERDICT_MISSING:
        tally->missing++;
        break;
    case VERDICT_REFUSED:
    case VERDICT_UNKNOWN:
    case VERDICT_WRONG:
        tally_ending(tally, ending, c->response.status);
        break;
    }
}

static void show(struct mix *mix, uint64_t now, uint64_t count)
{
    if (!mix->options->progress || now - mix->shown_ns < 1000000000u)
        return;
    fprintf(stderr, "\r%s %8.0f/s, %llu failed   ", mix->filling ? "filling  " : "measuring",
            (double)(count - mix->shown_count) * 1e9 / (double)(now - mix->shown_ns),
            (unsigned long long)tally_failed(mix->tally));
    mix->shown_ns = now;
    mix->shown_count = count;
}

/* Without a connection nobody asks for the next request, and nobody would hear of the end. */
static bool mix_tick(void *context, uint64_t now)
{
    struct mix *mix = context;
    uint64_t count = tally_succeeded(mix->tally);

    show(mix, now, count);
    if (count != mix->alive_count) {
        mix->alive_count = count;
        mix->alive_ns = now;
    }
    if (mix->filling)
        return now - mix->alive_ns < DEAD_NS;
    return mix->options->rate > 0.0 ? now < mix->give_up_ns : now < mix->end_ns;
}

static int find_leader(struct mix *mix)
{
    const struct options *o = mix->options;
    struct response response;
    struct buf request = {0};
    bool found = false;

    response_init(&response, 65536);
    for (unsigned i = 0; i < o->servers_count && !found; i++) {
        buf_reset(&request);
        dialect_ask_leader(o->dialect, o->servers[i].name, &request);
        if (engine_ask(&o->servers[i], &request, 2000, &response) == 0 &&
            dialect_is_leader(o->dialect, &response)) {
            mix->servers[0] = o->servers[i];
            mix->servers_count = 1;
            found = true;
        }
    }
    buf_fini(&request);
    response_fini(&response);
    if (!found)
        fputs("load: none of the servers says that it leads\n", stderr);
    return found ? 0 : -1;
}

static int run_engine(struct mix *mix, const volatile int *stop)
{
    struct engine engine = {.servers = mix->servers,
                            .servers_count = mix->servers_count,
                            .connections_count = mix->options->connections,
                            .body_max = DIALECT_BODY_MAX,
                            .timeout_ns = (uint64_t)mix->options->timeout_ms * 1000000u,
                            .workload = {mix_next, mix_done, mix_tick, mix}};

    if (engine_open(&engine) != 0) {
        fprintf(stderr, "load: cannot set up epoll: %s\n", strerror(errno));
        return -1;
    }
    engine_run(&engine, stop);
    engine_close(&engine);
    if (engine.connects == 0) {
        fprintf(stderr, "load: could not connect to %s\n", mix->servers[0].name);
        return -1;
    }
    return 0;
}

static int fill(struct mix *mix, const volatile int *stop)
{
    int rc;

    mix->filling = true;
    mix->alive_ns = engine_now_ns();
    rc = run_engine(mix, stop);
    mix->filling = false;
    if (rc == 0 && mix->fill_next < mix->keys.count && *stop == 0) {
        fprintf(stderr, "load: only %llu of %llu keys could be written beforehand\n",
                (unsigned long long)mix->fill_next, (unsigned long long)mix->keys.count);
        return -1;
    }
    if (rc == 0 && tally_failed(mix->tally) > 0)
        fprintf(stderr, "load: %llu keys could not be written beforehand\n",
                (unsigned long long)tally_failed(mix->tally));
    return rc;
}

static int measure(struct mix *mix, const volatile int *stop)
{
    uint64_t start = engine_now_ns(), end_ns;
    uint64_t duration = (uint64_t)(mix->options->duration_s * 1e9);
    int rc;

    tally_reset(mix->tally);
    mix->shown_count = 0;
    mix->from_ns = start + (uint64_t)(mix->options->warmup_s * 1e9);
    mix->end_ns = mix->from_ns + duration;
    mix->give_up_ns = mix->end_ns + duration;
    schedule_init(&mix->schedule, start, mix->options->rate);
    rc = run_engine(mix, stop);
    if (mix->options->rate > 0.0)
        mix->tally->never_sent = schedule_left(&mix->schedule, mix->end_ns);
    end_ns = *stop != 0 || (mix->options->rate > 0.0 && mix->last_ns > mix->end_ns) ? mix->last_ns
                                                                                    : mix->end_ns;
    mix->tally->elapsed_s = end_ns > mix->from_ns ? (double)(end_ns - mix->from_ns) / 1e9 : 0.0;
    return rc;
}

int mix_run(const struct options *options, const volatile int *stop, struct tally *tally)
{
    struct mix mix = {.options = options, .tally = tally, .servers_count = options->servers_count};
    int rc = 0;

    memcpy(mix.servers, options->servers, sizeof(mix.servers));
    tally_reset(tally);
    if (keyspace_init(&mix.keys, options->keys, options->key_size, options->zipf, options->seed) !=
        0) {
        fputs("load: so many keys need a larger --key-size\n", stderr);
        return -1;
    }
    if (options->leader && find_leader(&mix) != 0)
        return -1;
    buf_reserve(&mix.key, options->key_size);
    memset(buf_reserve(&mix.value, options->value_size + 1), 'v', options->value_size + 1);
    if (options->prefill)
        rc = fill(&mix, stop);
    if (rc == 0)
        rc = measure(&mix, stop);
    if (options->progress)
        fputs("\r                                        \r", stderr);
    buf_fini(&mix.key);
    buf_fini(&mix.value);
    return rc;
}
