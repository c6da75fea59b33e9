/* Random schedules against the simulated world: crashes, partitions, loss, slow disks, hand-overs,
 * compaction, under writes and reads; at the end everything heals and has to settle.
 *
 * Seeds 1..200; DKV_SIM_SEEDS=N for another count, DKV_SIM_SEED=S to replay one with its trace. */
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/world.h"

#define T_US 100000

static uint64_t number_from(const char *name, uint64_t standard)
{
    const char *text = getenv(name);

    return text == NULL ? standard : strtoull(text, NULL, 10);
}

/* The seed also decides what kind of cluster it is. */
static struct world_config config_of(struct rng *g)
{
    static const uint32_t sizes[] = {1, 2, 3, 3, 3, 4, 5, 5};
    struct world_config c = {
        .nodes = sizes[rng_below(g, 8)],
        .raft = {.election_timeout_us = T_US,
                 .msg_bytes_max = rng_below(g, 2) == 0 ? 1 : 4096,
                 .inflight_msgs_max = 1 + (uint32_t)rng_below(g, 4),
                 .apply_bytes_max = rng_below(g, 2) == 0 ? 200 : 65536,
                 .ring_bytes_max = rng_below(g, 2) == 0 ? 1000 : 1 << 20,
                 .uncommitted_bytes_max = rng_below(g, 2) == 0 ? 5000 : 1 << 20,
                 .reads_max = 20,
                 .fast_failover = rng_below(g, 2) == 0},
        .delay_min_us = 100,
        .delay_max_us = 1000 + rng_below(g, 10000),
        .disk_min_us = 50,
        .disk_max_us = 500 + rng_below(g, 20000),
        .compact_every = rng_below(g, 3) == 0 ? 0 : 10 + (uint32_t)rng_below(g, 60),
    };

    if (rng_below(g, 4) == 0 && c.nodes >= 3) /* one learner */
        c.flags[c.nodes - 1] = RAFT_MEMBER_LEARNER;
    if (rng_below(g, 4) == 0 && c.nodes == 5) { /* joint: 1 2 3 in, 1 4 5 out */
        c.flags[0] = RAFT_MEMBER_VOTER | RAFT_MEMBER_OUTGOING;
        c.flags[3] = RAFT_MEMBER_OUTGOING;
        c.flags[4] = RAFT_MEMBER_OUTGOING | RAFT_MEMBER_LEARNER;
    }
    return c;
}

static void cut_at_random(struct world *w, struct rng *g)
{
    for (uint32_t a = 0; a < w->config.nodes; a++) {
        for (uint32_t b = 0; b < w->config.nodes; b++)
            w->cut[a][b] = a != b && rng_below(g, 4) == 0;
    }
}

static void fault(struct world *w, struct rng *g)
{
    uint32_t n = (uint32_t)rng_below(g, w->config.nodes);
    struct raft_event event = {.type = RAFT_UNREACHABLE, .peer = ID(rng_below(g, w->config.nodes))};

    switch (rng_below(g, 12)) {
    case 0:
    case 1:
        world_crash(w, n);
        break;
    case 2:
        if (rng_below(g, 4) == 0) {
            for (uint32_t i = 0; i < w->config.nodes; i++)
                world_crash(w, i); /* power failure */
        }
        break;
    case 3:
        world_isolate(w, n);
        break;
    case 4:
        cut_at_random(w, g);
        break;
    case 5:
        w->loss_ppm = (uint32_t)rng_below(g, 300000);
        w->duplicate_ppm = (uint32_t)rng_below(g, 200000);
        break;
    case 6:
        world_heal(w);
        break;
    case 7:
        w->nodes[n].disk_busy_us = w->now_us + rng_below(g, 8 * T_US);
        break;
    case 8:
        event.type = RAFT_TRANSFER;
        event.transfer.target = rng_below(g, 2) == 0 ? 0 : ID(rng_below(g, w->config.nodes));
        world_event(w, n, event);
        break;
    case 9:
        event.type = RAFT_CAMPAIGN;
        world_event(w, n, event);
        break;
    case 10:
        world_event(w, n, event);
        break;
    default:
        if (w->nodes[n].is_up)
            world_snapshot(w, n);
        break;
    }
}

static void work(struct world *w, struct rng *g)
{
    uint32_t n = (uint32_t)rng_below(g, w->config.nodes);
    int leader = world_leader(w);

    if (leader >= 0 && rng_below(g, 4) != 0)
        world_propose(w, (uint32_t)leader, 1 + (uint32_t)rng_below(g, 4), 100);
    else if (w->nodes[n].is_up)
        world_propose(w, n, 1, 10);
    if (w->nodes[n].is_up && rng_below(g, 2) == 0)
        world_read(w, n);
    if (rng_below(g, 10) == 0)
        world_start(w, n);
}

static void let_settle(struct world *w)
{
    uint32_t rounds = 0;

    world_heal(w);
    for (uint32_t i = 0; i < w->config.nodes; i++) {
        world_start(w, i);
        w->nodes[i].disk_busy_us = 0;
    }
    world_run(w, 20 * T_US);
    while (world_leader(w) >= 0 && world_propose(w, (uint32_t)world_leader(w), 1, 10) != 0 &&
           rounds++ < 20)
        world_run(w, T_US);
    for (uint32_t i = 0; i < w->config.nodes; i++)
        world_read(w, i);
    for (rounds = 0; rounds < 40 && !world_is_settled(w); rounds++)
        world_run(w, T_US);
    if (!world_is_settled(w))
        world__fail(w, "I-22 Liveness: not settled long after everything healed", 0);
}

static uint64_t run(uint64_t seed, bool verbose)
{
    struct rng g;
    struct world_config config;
    struct world *w;
    uint64_t trace;
    uint32_t steps;

    rng_init(&g, seed ^ 0x5eed);
    config = config_of(&g);
    w = world_new(seed, &config);
    w->verbose = verbose;
    steps = 100 + (uint32_t)rng_below(&g, 200);
    for (uint32_t i = 0; i < steps; i++) {
        world_run(w, rng_below(&g, rng_below(&g, 10) == 0 ? 4 * T_US : T_US / 10) + 1);
        work(w, &g);
        if (rng_below(&g, 12) == 0)
            fault(w, &g);
    }
    let_settle(w);
    trace = world_trace(w);
    if (verbose)
        printf("seed %" PRIu64 ": %u nodes, %" PRIu64 " entries, %" PRIu64 " writes, %" PRIu64
               " reads, %" PRIu64 " elections, %" PRIu64 " crashes, %" PRIu64
               " installs, trace %016" PRIx64 "\n",
               seed, config.nodes, w->ledger_count, w->writes_acked, w->reads_done, w->elections,
               w->crashes, w->installs, trace);
    world_free(&w);
    return trace;
}

static void test_invariants_hold_in_random_schedules(void **state)
{
    uint64_t one = number_from("DKV_SIM_SEED", 0);
    uint64_t first = number_from("DKV_SIM_FIRST", 1);
    uint64_t count = number_from("DKV_SIM_SEEDS", 200);

    (void)state;
    if (one != 0) {
        run(one, true);
        return;
    }
    for (uint64_t seed = first; seed < first + count; seed++)
        run(seed, false);
}

static void test_a_seed_reproduces_its_run_byte_for_byte(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        uint64_t trace = run(seed, false);

        assert_int_equal(run(seed, false), trace);
        assert_int_not_equal(run(seed + 1000, false), trace);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_invariants_hold_in_random_schedules),
        cmocka_unit_test(test_a_seed_reproduces_its_run_byte_for_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
