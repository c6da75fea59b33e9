#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/access.h"

static bool host(const struct api_access *access, const char *text)
{
    return api_access_allows_host(access, (struct dkv_slice){text, strlen(text)});
}

static bool origin(const struct api_access *access, const char *text)
{
    return api_access_allows_origin(access, (struct dkv_slice){text, strlen(text)});
}

static void test_addresses_and_localhost_are_always_allowed(void **state)
{
    static const char *const good[] = {"127.0.0.1",       "127.0.0.1:8500", "10.1.2.3:1",
                                       "[::1]",           "[fe80::1]:8500", "localhost",
                                       "LocalHost:65535", "localhost.",     "a.localhost"};
    static const char *const bad[] = {"evil.example",
                                      "evil.example:8500",
                                      "127.0.0.1.evil.example",
                                      "evil-localhost",
                                      "localhost.evil",
                                      "127.0.0.256",
                                      "127.1",
                                      "0x7f.0.0.1",
                                      ".localhost",
                                      "2130706433",
                                      "*",
                                      "127.0.0.1a"};
    struct api_access *access = api_access_new();

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(host(access, good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(host(access, bad[i]));
    api_access_free(&access);
    assert_null(access);
}

static void test_names_count_whole_whatever_the_case_and_the_port(void **state)
{
    struct api_access *access = api_access_new();

    (void)state;
    api_access_add_host(access, "kv.example.org");
    api_access_add_host(access, "KV1.example.org");
    api_access_add_host(access, "n1");
    api_access_add_host(access, NULL);
    assert_true(host(access, "kv.example.org") && host(access, "KV.Example.Org.:8500"));
    assert_true(host(access, "kv1.example.org:1") && host(access, "n1:8500"));
    assert_false(host(access, "xkv.example.org") || host(access, "kv.example.or"));
    assert_false(host(access, "n") || host(access, "n11"));
    api_access_free(&access);
}

static void test_an_origin_is_allowed_only_by_name(void **state)
{
    struct api_access *none = api_access_new(), *one = api_access_new();

    (void)state;
    api_access_add_origin(one, "https://console.example.org");
    assert_false(origin(none, "http://127.0.0.1") || origin(none, "null") || origin(none, ""));
    assert_true(origin(one, "https://console.example.org"));
    assert_false(origin(one, "http://console.example.org") || origin(one, "null"));
    assert_false(origin(one, "https://console.example.org:8443"));
    api_access_free(&none);
    api_access_free(&one);
}

static void test_a_star_allows_all(void **state)
{
    struct api_access *access = api_access_new();

    (void)state;
    api_access_add_host(access, "*");
    api_access_add_origin(access, "*");
    assert_true(host(access, "evil.example") && origin(access, "null"));
    api_access_free(&access);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses_and_localhost_are_always_allowed),
        cmocka_unit_test(test_names_count_whole_whatever_the_case_and_the_port),
        cmocka_unit_test(test_an_origin_is_allowed_only_by_name),
        cmocka_unit_test(test_a_star_allows_all),
    };

    return cmocka_run_group_tests_name("access", tests, NULL, NULL);
}
