/* Whole replicas under everything at once, by chance: writes and reads on any node while nodes are
 * killed, lose power in the middle of what they do, are cut off, have slow disks and slow storage.
 *
 * Each write has a key of its own and none is deleted, so what clients were told can be held
 * against what is there: acknowledged is everywhere in the end, with the revision that was told;
 * refused is nowhere; and a read that was answered saw all that was acknowledged before it was asked.
 *
 * A run follows from its seed.  CHAOS_SEED=N runs that one alone, CHAOS_SEEDS=N the first N;
 * CHAOS_SABOTAGE=N plants a bug (chaos_bites.sh). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "kv/record.h"
#include "replicas.h"

enum { WRITES_MAX = 600, READS_MAX = 200, STEPS = 250, VALUE_MAX = 3000, KEY_MAX = 8 };

struct chaos_write {
    struct client_write client;
    char key[KEY_MAX];
    bool is_noted;
};

struct chaos_read {
    struct api_barrier barrier;
    struct chaos *chaos;
    uint32_t node;
    unsigned acknowledged; /* when it was asked */
    unsigned done;
};

struct chaos {
    struct replicas *all;
    struct rng rng;
    struct chaos_write writes[WRITES_MAX];
    struct chaos_read reads[READS_MAX];
    unsigned writes_count, reads_count, reads_answered;
    const struct chaos_write *acknowledged[WRITES_MAX];
    unsigned acknowledged_count;
};

static uint32_t any_node(struct chaos *c)
{
    return (uint32_t)rng_below(&c->rng, c->all->count);
}

static bool is_up(const struct chaos *c, uint32_t n)
{
    return c->all->nodes[n].replica != NULL;
}

/* --- clients --- */

static const struct fake_pair *stored(const struct chaos *c, uint32_t n,
                                      const struct chaos_write *w)
{
    char key[KEY_MAX + 1];

    (void)snprintf(key, sizeof(key), "%c%s", KV_SPACE_USER, w->key);
    return fake_store_find(c->all->nodes[n].store, key, strlen(key));
}

static void write_somewhere(struct chaos *c)
{
    struct chaos_write *w = &c->writes[c->writes_count];
    static char value[VALUE_MAX + 1];
    uint32_t n = any_node(c);

    if (!is_up(c, n) || c->writes_count == WRITES_MAX)
        return;
    (void)snprintf(w->key, sizeof(w->key), "%u", c->writes_count++);
    memset(value, 'v', VALUE_MAX);
    value[rng_below(&c->rng, VALUE_MAX)] = '\0';
    replicas_write(c->all, n, &w->client, w->key, value);
}

static void note_acknowledged(struct chaos *c)
{
    for (unsigned i = 0; i < c->writes_count; i++) {
        struct chaos_write *w = &c->writes[i];

        assert_true(w->client.done <= 1);
        if (w->is_noted || w->client.done == 0)
            continue;
        w->is_noted = true;
        if (w->client.write.status == DKV_OK)
            c->acknowledged[c->acknowledged_count++] = w;
    }
}

static void on_read(struct api_barrier *barrier)
{
    struct chaos_read *r = container_of(barrier, struct chaos_read, barrier);

    r->done++;
    if (barrier->status != DKV_OK)
        return;
    r->chaos->reads_answered++;
    for (unsigned i = 0; i < r->acknowledged; i++) {
        if (stored(r->chaos, r->node, r->chaos->acknowledged[i]) == NULL)
            fail_msg("a read on node %u misses write %s", r->node, r->chaos->acknowledged[i]->key);
    }
}

static void read_somewhere(struct chaos *c)
{
    struct chaos_read *r = &c->reads[c->reads_count];
    uint32_t n = any_node(c);

    if (!is_up(c, n) || c->reads_count == READS_MAX)
        return;
    note_acknowledged(c);
    c->reads_count++;
    *r = (struct chaos_read){
        .barrier = {.done = on_read}, .chaos = c, .node = n, .acknowledged = c->acknowledged_count};
    list_init(&r->barrier.link);
    replica_barrier(c->all->nodes[n].replica, &r->barrier);
}

/* --- what happens to nodes --- */

/* At most one of three is down, cut off or slow, most of the time: or nothing would ever happen. */
static void trouble(struct chaos *c)
{
    uint32_t n = any_node(c);
    struct replicas_node *node = &c->all->nodes[n];

    if (!is_up(c, n)) {
        replicas_start(c->all, n);
        return;
    }
    switch (rng_below(&c->rng, 8)) {
    case 0:
        replicas_kill(c->all, n);
        break;
    case 1:
        replicas_power_cut(c->all, n,
                           (enum fs_mem_crash_mode)rng_below(&c->rng, FS_MEM_CRASH_MODES),
                           rng_next(&c->rng));
        break;
    case 2:
        node->is_storage_slow = !node->is_storage_slow;
        break;
    case 3:
        node->is_disk_slow = !node->is_disk_slow;
        break;
    default:
        replicas_cut(c->all, n, !c->all->cut[n][(n + 1) % c->all->count]);
        break;
    }
}

static void heal(struct chaos *c)
{
    for (uint32_t n = 0; n < c->all->count; n++) {
        replicas_cut(c->all, n, false);
        c->all->nodes[n].is_storage_slow = c->all->nodes[n].is_disk_slow = false;
        if (!is_up(c, n))
            replicas_start(c->all, n);
    }
}

static void step(struct chaos *c)
{
    uint64_t dice = rng_below(&c->rng, 100);

    if (dice < 60)
        write_somewhere(c);
    else if (dice < 75)
        read_somewhere(c);
    else if (dice < 83)
        trouble(c);
    else if (dice < 85)
        heal(c);
    else if (dice < 95)
        replicas_run(c->all, rng_below(&c->rng, T_US / 4));
    else
        replicas_run(c->all, rng_below(&c->rng, 6 * T_US));
    for (uint64_t i = rng_below(&c->rng, 8); i > 0; i--)
        (void)replicas_step(c->all);
}

/* --- what was promised --- */

static void check_write(const struct chaos *c, const struct chaos_write *w)
{
    int status = w->client.write.status;

    assert_int_equal(w->client.done, 1);
    for (uint32_t n = 0; n < c->all->count; n++) {
        const struct fake_pair *pair = stored(c, n, w);
        struct kv_record record;

        if (status == DKV_EUNCERTAIN)
            continue;
        if ((pair != NULL) != (status == DKV_OK))
            fail_msg("write %s was answered with %d, and node %u %s it", w->key, status, n,
                     pair != NULL ? "has" : "lacks");
        if (pair == NULL)
            continue;
        assert_int_equal(
            kv_record_decode((struct dkv_slice){pair->value, pair->value_len}, &record), DKV_OK);
        assert_true(record.revision == w->client.write.result.revision);
    }
}

static void check_end(struct chaos *c)
{
    struct api_node_view one, other;

    c->all->is_jittery = false;
    heal(c);
    replicas_run(c->all, 30 * T_US);
    (void)replicas_leader(c->all);
    replicas_run(c->all, 2 * T_US);
    one = replicas_view(c->all, 0);
    for (uint32_t n = 1; n < c->all->count; n++) {
        other = replicas_view(c->all, n);
        assert_true(other.applied_index == one.applied_index && other.keys == one.keys);
        assert_memory_equal(&other.digest, &one.digest, sizeof(one.digest));
    }
    for (unsigned i = 0; i < c->writes_count; i++)
        check_write(c, &c->writes[i]);
    for (unsigned i = 0; i < c->reads_count; i++)
        assert_int_equal(c->reads[i].done, 1);
}

struct totals {
    unsigned writes, acknowledged, reads, snapshots;
};

static void run_seed(uint64_t seed, struct totals *totals)
{
    struct chaos *c = xcalloc(1, sizeof(*c));

    fprintf(stderr, "# seed %llu\n", (unsigned long long)seed);
    rng_init(&c->rng, seed);
    c->all = seed % 2 == 0 ? replicas_new(3) : replicas_new_in_memory(3);
    rng_init(&c->all->rng, seed);
    c->all->is_jittery = true;
    if (getenv("CHAOS_SABOTAGE") != NULL)
        c->all->sabotage = (enum replicas_sabotage)atoi(getenv("CHAOS_SABOTAGE"));
    for (int i = 0; i < STEPS; i++)
        step(c);
    check_end(c);
    totals->writes += c->writes_count;
    totals->acknowledged += c->acknowledged_count;
    totals->reads += c->reads_answered;
    totals->snapshots += c->all->sent[FRAME_SNAPSHOT_CHUNK];
    replicas_free(c->all);
    free(c);
}

static void test_promises_hold_whatever_happens(void **state)
{
    const char *one = getenv("CHAOS_SEED"), *many = getenv("CHAOS_SEEDS");
    uint64_t first = one != NULL ? strtoull(one, NULL, 10) : 1;
    uint64_t count = one != NULL ? 1 : many != NULL ? strtoull(many, NULL, 10) : 40;
    struct totals totals = {0};

    (void)state;
    for (uint64_t i = 0; i < count; i++)
        run_seed(first + i, &totals);
    fprintf(stderr, "# %u writes, %u acknowledged, %u reads answered, %u chunks of snapshots\n",
            totals.writes, totals.acknowledged, totals.reads, totals.snapshots);
    if (one != NULL)
        return;
    assert_true(totals.acknowledged > totals.writes / 4);
    assert_true(totals.reads > count);
    assert_true(totals.snapshots > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_promises_hold_whatever_happens),
    };

    return cmocka_run_group_tests_name("chaos", tests, NULL, NULL);
}
