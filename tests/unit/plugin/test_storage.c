/* What the daemon checks when a storage plugin has opened its store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/conf.h"
#include "plugin/loader.h"
#include "plugin/storage.h"

extern char **environ;

static struct conf *conf_with(const char *section)
{
    char path[] = "./storage-test-XXXXXX";
    struct conf_input input = {
        .path = path, .environment = (const char *const *)environ, .host_name = "h"};
    struct conf *conf;
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, section, strlen(section)), (ssize_t)strlen(section));
    (void)close(fd);
    conf = conf_load(&input);
    (void)unlink(path);
    return conf;
}

static void refused(const char *section, const char *name, int status, const char *text)
{
    struct conf *conf = conf_with(section);
    struct storage_config config = {.conf = conf, .name = name, .key_max = 501, .value_max = 1024};
    struct storage *storage = NULL;
    struct dkv_error err = {0};

    assert_int_equal(storage_open(&config, &storage, &err), status);
    assert_null(storage);
    if (strstr(err.text, text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.text, text);
    conf_free(&conf);
}

static void test_a_store_that_claims_what_its_table_lacks_is_refused(void **state)
{
    (void)state;
    refused("[storage \"bad_caps\"]\ncaps = 2\n", "bad_caps", DKV_EINVAL,
            "storage \"bad_caps\": claims DKV_CAP_SCAN, but lacks scan()");
    refused("[storage \"bad_caps\"]\ncaps = 8\n", "bad_caps", DKV_EINVAL,
            "claims DKV_CAP_SNAPSHOT, but lacks snapshot_open()");
    refused("[storage \"bad_caps\"]\ncaps = 1\n", "bad_caps", DKV_EINVAL,
            "claims DKV_CAP_DURABLE, but lacks sync()");
}

static void test_an_open_that_gives_no_store_is_refused(void **state)
{
    (void)state;
    refused("[storage \"bad_caps\"]\ncaps = -1\n", "bad_caps", DKV_EINVAL,
            "open() succeeded but gave no store");
}

static void test_a_store_that_claims_little_is_taken(void **state)
{
    struct conf *conf = conf_with("[storage \"bad_caps\"]\ncaps = 0\n");
    struct storage_config config = {.conf = conf, .name = "bad_caps", .key_max = 501};
    struct storage *storage = NULL;
    struct dkv_error err = {0};

    (void)state;
    if (storage_open(&config, &storage, &err) != DKV_OK)
        fail_msg("%s", err.text);
    storage_close(&storage);
    conf_free(&conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_store_that_claims_what_its_table_lacks_is_refused),
        cmocka_unit_test(test_an_open_that_gives_no_store_is_refused),
        cmocka_unit_test(test_a_store_that_claims_little_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
