/* Majority arithmetic against the shared vectors and against brute force. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "raft/quorum.h"

#define IDS_MAX 64
#define SIBLING "shared" /* where the vectors lie if DKV_SHARED_DATA does not say */

/* One "committed" or "vote" line of a vector file. */
struct vector {
    bool is_vote;
    uint64_t ids[IDS_MAX]; /* in the order of first mention */
    uint32_t count;
    struct raft_quorum q;
    uint64_t value[IDS_MAX];
    uint64_t granted, refused;
};

static uint32_t slot_of(struct vector *v, uint64_t id)
{
    for (uint32_t i = 0; i < v->count; i++) {
        if (v->ids[i] == id)
            return i;
    }
    v->ids[v->count] = id;
    return v->count++;
}

/* "(1,2,3)" -> mask; "zero" and "()" are empty. */
static uint64_t parse_members(struct vector *v, const char *text)
{
    uint64_t mask = 0;
    const char *end = strchr(text, ')');

    if (*text != '(')
        return 0;
    for (text++; text < end;) {
        char *after;
        uint64_t id = strtoull(text, &after, 10);

        if (after == text)
            break;
        mask |= (uint64_t)1 << slot_of(v, id);
        text = after + strspn(after, ", ");
    }
    return mask;
}

/* The values belong to the members in ascending order, each once. */
static uint32_t next_id(const struct vector *v, uint64_t *floor)
{
    uint32_t best = IDS_MAX;

    for (uint32_t i = 0; i < v->count; i++) {
        if (v->ids[i] > *floor && (best == IDS_MAX || v->ids[i] < v->ids[best]))
            best = i;
    }
    if (best < IDS_MAX)
        *floor = v->ids[best];
    return best;
}

static uint32_t parse_values(struct vector *v, const char *text)
{
    uint64_t floor = 0;
    uint32_t count = 0;

    for (text++; *text != ')' && *text != '\0';) {
        size_t len = strcspn(text, ", )");
        uint32_t slot = next_id(v, &floor);

        assert_true(slot < IDS_MAX);
        if (v->is_vote && *text == 'y')
            v->granted |= (uint64_t)1 << slot;
        else if (v->is_vote && *text == 'n')
            v->refused |= (uint64_t)1 << slot;
        else if (*text != '_')
            v->value[slot] = strtoull(text, NULL, 10);
        text += len;
        text += strspn(text, ", ");
        count++;
    }
    return count;
}

static bool parse_line(const char *line, struct vector *v)
{
    const char *cfg = strstr(line, "cfg=("), *joint = strstr(line, "cfgj=");
    const char *values = strstr(line, "idx=(");

    memset(v, 0, sizeof(*v));
    v->is_vote = strncmp(line, "vote", 4) == 0;
    if (!v->is_vote && strncmp(line, "committed", 9) != 0)
        return false;
    if (v->is_vote)
        values = strstr(line, "votes=(");
    if (cfg != NULL)
        v->q.incoming = parse_members(v, cfg + 4);
    if (joint != NULL)
        v->q.outgoing = parse_members(v, joint + 5);
    if (values != NULL)
        parse_values(v, strchr(values, '('));
    return true;
}

static const char *vote_text(enum raft_vote_result r)
{
    return r == RAFT_VOTE_WON ? "VoteWon" : r == RAFT_VOTE_LOST ? "VoteLost" : "VotePending";
}

static void check_vector(const char *line, const struct vector *v, const char *expected)
{
    char text[32];
    struct raft_quorum swapped = {v->q.outgoing, v->q.incoming};

    if (v->is_vote) {
        snprintf(text, sizeof(text), "%s",
                 vote_text(raft__quorum_vote(v->q, v->granted, v->refused)));
        assert_string_equal(vote_text(raft__quorum_vote(swapped, v->granted, v->refused)), text);
    } else {
        uint64_t value = raft__quorum_value(v->q, v->value);

        assert_int_equal(raft__quorum_value(swapped, v->value), value);
        if (value == UINT64_MAX)
            snprintf(text, sizeof(text), "%s", "\xe2\x88\x9e");
        else
            snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    }
    if (strchr(expected, '>') != NULL) /* "<empty majority quorum>" before the value */
        expected = strchr(expected, '>') + 1;
    if (strcmp(text, expected) != 0)
        fail_msg("%s: %s instead of %s", line, text, expected);
}

/* The expected result is the last line before the empty one. */
static uint32_t check_file(const char *path)
{
    char line[512], before[512] = "", command[512] = "";
    struct vector v;
    uint32_t count = 0;
    bool is_open = false;
    FILE *f = fopen(path, "r");

    assert_non_null(f);
    for (;;) {
        bool more = fgets(line, sizeof(line), f) != NULL;

        if (more)
            line[strcspn(line, "\n")] = '\0';
        if (!more || line[0] == '\0') {
            if (is_open) {
                check_vector(command, &v, before);
                count++;
            }
            is_open = false;
            if (!more)
                break;
        } else if (!is_open && line[0] != '#' && parse_line(line, &v)) {
            is_open = true;
            memcpy(command, line, sizeof(line));
        }
        memcpy(before, line, sizeof(line));
    }
    fclose(f);
    return count;
}

static uint32_t commands_in(const char *path)
{
    char line[512];
    uint32_t count = 0;
    FILE *f = fopen(path, "r");

    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL)
        count += strncmp(line, "vote", 4) == 0 || strncmp(line, "committed", 9) == 0;
    fclose(f);
    return count;
}

static void test_r_r15_agrees_with_every_shared_vector(void **state)
{
    static const char *const names[] = {"majority_commit", "majority_vote", "joint_commit",
                                        "joint_vote"};
    const char *data = getenv("DKV_SHARED_DATA"), *srcdir = getenv("DKV_SRCDIR");
    char path[4096];

    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        FILE *f;

        if (data != NULL)
            snprintf(path, sizeof(path), "%s/raft-quorum/%s.txt", data, names[i]);
        else
            snprintf(path, sizeof(path), "%s/../%s/data/raft-quorum/%s.txt",
                     srcdir == NULL ? "." : srcdir, SIBLING, names[i]);
        f = fopen(path, "r");
        if (f == NULL) {
            print_message("# no vectors at %s: set DKV_SHARED_DATA\n", path);
            skip();
        }
        fclose(f);
        assert_true(check_file(path) > 5);
        assert_int_equal(check_file(path), commands_in(path));
    }
}

static bool has_majority(uint64_t mask, uint64_t have)
{
    return mask == 0 || __builtin_popcountll(mask & have) * 2 > __builtin_popcountll(mask);
}

static uint64_t brute_value(struct raft_quorum q, const uint64_t *value)
{
    uint64_t best = 0;

    if ((q.incoming | q.outgoing) == 0)
        return UINT64_MAX;
    for (uint32_t i = 0; i < 18; i++) { /* some member's value is the answer */
        uint64_t have = 0;

        for (uint32_t k = 0; k < 18; k++)
            have |= (uint64_t)(value[k] >= value[i]) << k;
        if (has_majority(q.incoming, have) && has_majority(q.outgoing, have) && value[i] > best)
            best = value[i];
    }
    return best;
}

static uint64_t random_mask(struct rng *g, uint32_t size)
{
    uint64_t mask = 0;

    while ((uint32_t)__builtin_popcountll(mask) < size)
        mask |= (uint64_t)1 << rng_below(g, 18);
    return mask;
}

static void test_r_r15_agrees_with_brute_force_for_sizes_1_to_9_joint_or_not(void **state)
{
    struct rng g;

    (void)state;
    rng_init(&g, 7);
    for (uint32_t round = 0; round < 200000; round++) {
        struct raft_quorum q = {random_mask(&g, 1 + (uint32_t)rng_below(&g, 9)), 0};
        uint64_t value[64] = {0};
        uint64_t granted = rng_next(&g), refused = rng_next(&g) & ~granted;
        bool can_win, won;

        if (rng_below(&g, 2) == 0)
            q.outgoing = random_mask(&g, 1 + (uint32_t)rng_below(&g, 9));
        for (uint32_t i = 0; i < 18; i++)
            value[i] = rng_below(&g, 12);
        assert_int_equal(raft__quorum_value(q, value), brute_value(q, value));
        won = has_majority(q.incoming, granted) && has_majority(q.outgoing, granted);
        can_win = has_majority(q.incoming, ~refused) && has_majority(q.outgoing, ~refused);
        assert_int_equal(raft__quorum_vote(q, granted, refused), won       ? RAFT_VOTE_WON
                                                                 : can_win ? RAFT_VOTE_PENDING
                                                                           : RAFT_VOTE_LOST);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_r_r15_agrees_with_every_shared_vector),
        cmocka_unit_test(test_r_r15_agrees_with_brute_force_for_sizes_1_to_9_joint_or_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
