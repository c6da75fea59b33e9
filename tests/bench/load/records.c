#include "bench/load/records.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "bench/load/stanzas.h"
#include "bench/load/tally.h"

#define PAUSE_NS UINT64_C(50000000)
#define DEAD_NS  UINT64_C(60000000000) /* a cluster that answers nothing for so long is given up */

enum { VALUE_ROOM = 4096, FAULTS_SHOWN = 10 };

struct job {
    const struct stanza *stanza; /* NULL: none */
    uint64_t not_before_ns;
};

struct want {
    const struct stanza *stanza;
    uint64_t revision;
};

struct records {
    const struct options *options;
    struct stanzas stanzas;
    struct job *jobs; /* one for each connection */
    struct want *wants;
    size_t wants_count, next, ended;
    FILE *log;
    struct tally tries; /* endings of tries that were made again */
    uint64_t retries, missing, different, older, newer, started_ns, last_ns, faults_shown;
};

static enum next start(struct records *r, struct connection *c, uint64_t now, uint64_t *wake,
                       size_t count)
{
    struct job *job = &r->jobs[c->number];

    if (job->stanza == NULL) {
        if (r->ended == count)
            return NEXT_END;
        if (r->next == count)
            return NEXT_LATER;
        c->tag = r->next;
        job->stanza = r->wants == NULL ? &r->stanzas.items[r->next] : r->wants[r->next].stanza;
        job->not_before_ns = 0;
        r->next++;
    }
    if (now < job->not_before_ns) {
        *wake = job->not_before_ns;
        return NEXT_LATER;
    }
    c->intended_ns = now;
    return NEXT_REQUEST;
}

static void try_again(struct records *r, struct connection *c, enum ending ending, uint64_t now)
{
    tally_ending(&r->tries, ending, c->response.status);
    r->retries++;
    r->jobs[c->number].not_before_ns = now + PAUSE_NS;
    c->move = ending == ENDING_ANSWER;
}

static void finish(struct records *r, const struct connection *c, uint64_t now)
{
    r->jobs[c->number].stanza = NULL;
    r->ended++;
    r->last_ns = now;
}

static struct dkv_slice key_of(const struct stanza *stanza)
{
    return (struct dkv_slice){stanza->key, strlen(stanza->key)};
}

static enum next write_next(void *context, struct connection *c, uint64_t now, uint64_t *wake)
{
    struct records *r = context;
    const struct stanza *stanza;
    enum next next = start(r, c, now, wake, r->stanzas.count);

    if (next != NEXT_REQUEST)
        return next;
    stanza = r->jobs[c->number].stanza;
    c->is_put = true;
    dialect_put(r->options->dialect, r->options->servers[c->server].name, key_of(stanza),
                stanza->value, &c->out);
    return NEXT_REQUEST;
}

static void write_done(void *context, struct connection *c, enum ending ending, uint64_t now)
{
    struct records *r = context;
    const struct stanza *stanza = r->jobs[c->number].stanza;

    if (ending != ENDING_ANSWER ||
        dialect_judge(r->options->dialect, true, &c->response) != VERDICT_OK) {
        try_again(r, c, ending, now);
        return;
    }
    histogram_add(&r->tries.puts, now - c->intended_ns);
    if (r->log != NULL)
        fprintf(r->log, "%s\t%s\n", stanza->key, c->response.etag);
    finish(r, c, now);
}

static bool tick(void *context, uint64_t now)
{
    struct records *r = context;

    if (r->log != NULL)
        fflush(r->log);
    if (r->options->progress)
        fprintf(stderr, "\r%zu of %zu   ", r->ended,
                r->wants == NULL ? r->stanzas.count : r->wants_count);
    return now - r->last_ns < DEAD_NS;
}

static enum next verify_next(void *context, struct connection *c, uint64_t now, uint64_t *wake)
{
    struct records *r = context;
    enum next next = start(r, c, now, wake, r->wants_count);

    if (next != NEXT_REQUEST)
        return next;
    c->is_put = false;
    dialect_get(r->options->dialect, r->options->servers[c->server].name,
                key_of(r->jobs[c->number].stanza), r->options->extra, &c->out);
    return NEXT_REQUEST;
}

/* "17" in quotes, as an ETag has it; 0 for anything else. */
static uint64_t revision(const char *etag)
{
    return etag[0] == '"' ? strtoull(etag + 1, NULL, 10) : 0;
}

static void show_fault(struct records *r, const char *fault, const struct stanza *stanza,
                       const char *etag)
{
    if (r->faults_shown++ < FAULTS_SHOWN)
        fprintf(stderr, "load: %s: %s (ETag %s)\n", fault, stanza->key, etag);
}

static void compare(struct records *r, const struct want *want, const struct response *response)
{
    const struct dkv_slice *value = &want->stanza->value;
    uint64_t found = revision(response->etag);

    histogram_add(&r->tries.gets, 0);
    if (response->body_size != value->len || response->body_len != value->len ||
        memcmp(response->body, value->data, value->len) != 0) {
        r->different++;
        show_fault(r, "value is different", want->stanza, response->etag);
    } else if (want->revision > 0 && found < want->revision) {
        r->older++;
        show_fault(r, "older than what was acknowledged", want->stanza, response->etag);
    } else if (want->revision > 0 && found > want->revision) {
        r->newer++;
    }
}

static void verify_done(void *context, struct connection *c, enum ending ending, uint64_t now)
{
    struct records *r = context;
    const struct want *want = &r->wants[c->tag];
    enum verdict verdict = ending == ENDING_ANSWER
                               ? dialect_judge(r->options->dialect, false, &c->response)
                               : VERDICT_UNKNOWN;

    if (verdict == VERDICT_OK) {
        compare(r, want, &c->response);
    } else if (verdict == VERDICT_MISSING) {
        r->missing++;
        show_fault(r, "missing", want->stanza, "-");
    } else {
        try_again(r, c, ending, now);
        return;
    }
    finish(r, c, now);
}

static int read_stanzas(struct records *r)
{
    const char *name = r->options->file;
    FILE *from = strcmp(name, "-") == 0 ? stdin : fopen(name, "re");
    int rc = from == NULL ? -1 : stanzas_read(&r->stanzas, from);

    if (rc != 0)
        fprintf(stderr, "load: %s: %s\n", name, strerror(errno));
    if (from != NULL && from != stdin)
        fclose(from);
    return rc;
}

static int read_wants(struct records *r)
{
    FILE *from = fopen(r->options->acknowledged, "re");
    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    int rc = 0;

    if (from == NULL) {
        fprintf(stderr, "load: %s: %s\n", r->options->acknowledged, strerror(errno));
        return -1;
    }
    r->wants = xcalloc(r->stanzas.count, sizeof(*r->wants));
    while (rc == 0 && (size = getline(&line, &room, from)) > 0) {
        char *tab = strchr(line, '\t');
        const struct stanza *stanza = NULL;

        if (tab != NULL && line[size - 1] == '\n') {
            *tab = '\0';
            stanza = stanzas_find(&r->stanzas, line);
        }
        if (stanza == NULL || r->wants_count == r->stanzas.count) {
            fprintf(stderr, "load: %s has a line that %s does not explain: %s\n",
                    r->options->acknowledged, r->options->file, line);
            rc = -1;
        } else {
            r->wants[r->wants_count++] = (struct want){stanza, revision(tab + 1)};
        }
    }
    free(line);
    fclose(from);
    return rc;
}

static int run(struct records *r, struct workload workload, const volatile int *stop)
{
    struct engine engine = {.servers = r->options->servers,
                            .servers_count = r->options->servers_count,
                            .connections_count = r->options->connections,
                            .body_max = r->stanzas.value_max + VALUE_ROOM,
                            .timeout_ns = (uint64_t)r->options->timeout_ms * 1000000u,
                            .workload = workload};

    r->jobs = xcalloc(r->options->connections, sizeof(*r->jobs));
    if (engine_open(&engine) != 0) {
        fprintf(stderr, "load: cannot set up epoll: %s\n", strerror(errno));
        return -1;
    }
    r->started_ns = r->last_ns = engine_now_ns();
    engine_run(&engine, stop);
    engine_close(&engine);
    if (r->options->progress)
        fputs("\r                    \r", stderr);
    return 0;
}

static void fini(struct records *r)
{
    stanzas_fini(&r->stanzas);
    free(r->jobs);
    free(r->wants);
}

static void print_retries(const struct records *r)
{
    printf("\"retries\":%llu,\"retries_refused\":%llu,\"retries_broken\":%llu,"
           "\"retries_timeout\":%llu",
           (unsigned long long)r->retries, (unsigned long long)r->tries.refused,
           (unsigned long long)r->tries.broken, (unsigned long long)r->tries.timed_out);
    for (unsigned i = 0; i < TALLY_STATUS_MAX; i++) {
        if (r->tries.by_status[i] > 0)
            printf(",\"retries_%u\":%llu", i, (unsigned long long)r->tries.by_status[i]);
    }
}

static double seconds(const struct records *r)
{
    double elapsed = (double)(r->last_ns - r->started_ns) / 1e9;

    return elapsed > 1e-9 ? elapsed : 1e-9;
}

int records_write(const struct options *options, const volatile int *stop)
{
    static struct records r;
    struct workload workload = {write_next, write_done, tick, &r};
    int rc;

    r.options = options;
    tally_reset(&r.tries);
    if (read_stanzas(&r) != 0)
        return -1;
    if (options->acknowledged != NULL && (r.log = fopen(options->acknowledged, "we")) == NULL) {
        fprintf(stderr, "load: %s: %s\n", options->acknowledged, strerror(errno));
        fini(&r);
        return -1;
    }
    rc = run(&r, workload, stop);
    if (rc == 0) {
        printf("{\"records\":%zu,\"acknowledged\":%zu,\"seconds\":%.3f,\"per_second\":%.0f,",
               r.stanzas.count, r.ended, seconds(&r), (double)r.ended / seconds(&r));
        print_retries(&r);
        puts("}");
        rc = r.ended == r.stanzas.count ? 0 : 1;
    }
    if (r.log != NULL && fclose(r.log) != 0) {
        fprintf(stderr, "load: %s: %s\n", options->acknowledged, strerror(errno));
        rc = -1;
    }
    fini(&r);
    return rc;
}

int records_verify(const struct options *options, const volatile int *stop)
{
    static struct records r;
    struct workload workload = {verify_next, verify_done, tick, &r};
    int rc = -1;

    r.options = options;
    tally_reset(&r.tries);
    if (read_stanzas(&r) == 0 && read_wants(&r) == 0 && run(&r, workload, stop) == 0) {
        printf("{\"checked\":%zu,\"lost\":%llu,\"missing\":%llu,\"different\":%llu,\"older\":%llu,"
               "\"newer\":%llu,\"seconds\":%.3f,",
               r.ended, (unsigned long long)(r.missing + r.different + r.older),
               (unsigned long long)r.missing, (unsigned long long)r.different,
               (unsigned long long)r.older, (unsigned long long)r.newer, seconds(&r));
        print_retries(&r);
        puts("}");
        rc = r.ended == r.wants_count && r.missing + r.different + r.older == 0 ? 0 : 1;
    }
    fini(&r);
    return rc;
}
