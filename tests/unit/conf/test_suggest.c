#include "conf/suggest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf/schema.h"

static void test_distance_counts_edits(void **state)
{
    (void)state;
    assert_int_equal(suggest_distance("", ""), 0);
    assert_int_equal(suggest_distance("abc", ""), 3);
    assert_int_equal(suggest_distance("", "abc"), 3);
    assert_int_equal(suggest_distance("level", "level"), 0);
    assert_int_equal(suggest_distance("LEVEL", "level"), 0);
    assert_int_equal(suggest_distance("levl", "level"), 1);
    assert_int_equal(suggest_distance("levvel", "level"), 1);
    assert_int_equal(suggest_distance("lexel", "level"), 1);
    assert_int_equal(suggest_distance("elvel", "level"), 1);
    assert_int_equal(suggest_distance("kitten", "sitting"), 3);
    assert_int_equal(suggest_distance("abcdef", "ghijkl"), 6);
}

static void test_words_far_from_all_candidates_get_no_suggestion(void **state)
{
    struct suggest suggest = {.word = "zebra"};
    char long_word[200];

    (void)state;
    suggest_offer(&suggest, "level");
    suggest_offer(&suggest, "format");
    assert_null(suggest.best);
    memset(long_word, 'x', sizeof(long_word) - 1);
    long_word[sizeof(long_word) - 1] = '\0';
    suggest = (struct suggest){.word = long_word};
    suggest_offer(&suggest, long_word);
    assert_null(suggest.best);
}

static void expect_key(const struct conf_key *key, const char *word)
{
    struct suggest suggest = {.word = word};

    for (const struct conf_key *k = conf_schema; k->section != NULL; k++) {
        if (strcmp(k->section, key->section) == 0)
            suggest_offer(&suggest, k->name);
    }
    if (suggest.best == NULL || strcmp(suggest.best, key->name) != 0)
        fail_msg("%s.%s typed as %s suggests %s", key->section, key->name, word,
                 suggest.best == NULL ? "nothing" : suggest.best);
}

static void mutate(const struct conf_key *key, size_t at)
{
    size_t len = strlen(key->name);
    char word[80];

    snprintf(word, sizeof(word), "%.*s%s", (int)at, key->name, key->name + at + 1);
    if (word[0] != '\0')
        expect_key(key, word);
    snprintf(word, sizeof(word), "%.*sq%s", (int)at, key->name, key->name + at);
    expect_key(key, word);
    snprintf(word, sizeof(word), "%s", key->name);
    word[at] = 'q';
    expect_key(key, word);
    if (at + 1 < len) {
        memcpy(word, key->name, len);
        word[at] = key->name[at + 1];
        word[at + 1] = key->name[at];
        expect_key(key, word);
    }
}

static void test_every_misspelt_key_is_recognised(void **state)
{
    (void)state;
    for (const struct conf_key *key = conf_schema; key->section != NULL; key++) {
        for (size_t i = 0; i < strlen(key->name); i++)
            mutate(key, i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distance_counts_edits),
        cmocka_unit_test(test_words_far_from_all_candidates_get_no_suggestion),
        cmocka_unit_test(test_every_misspelt_key_is_recognised),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
