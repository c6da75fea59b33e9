#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/error.h"

static void every_status_has_a_text(void **state)
{
    (void)state;
    assert_string_equal(status_text(DKV_OK), "ok");
    for (int status = -1; status >= -12; status--)
        assert_string_not_equal(status_text(status), "unknown status");
    assert_string_equal(status_text(-999), "unknown status");
}

static void an_errno_becomes_the_status_that_callers_act_on(void **state)
{
    (void)state;
    assert_int_equal(status_from_errno(ENOENT), DKV_ENOENT);
    assert_int_equal(status_from_errno(ENOSPC), DKV_ENOSPC);
    assert_int_equal(status_from_errno(EDQUOT), DKV_ENOSPC);
    assert_int_equal(status_from_errno(EEXIST), DKV_EINVAL);
    assert_int_equal(status_from_errno(EACCES), DKV_EPERM);
    assert_int_equal(status_from_errno(EROFS), DKV_EIO);
    assert_int_equal(status_from_errno(EIO), DKV_EIO);
}

static void each_layer_puts_its_words_in_front(void **state)
{
    struct dkv_error err;

    (void)state;
    assert_int_equal(dkv_error_set(&err, DKV_EIO, "open %s: %s", "f", "broken"), DKV_EIO);
    assert_int_equal(dkv_error_wrap(&err, "storage \"%s\"", "lmdb"), DKV_EIO);
    assert_string_equal(err.text, "storage \"lmdb\": open f: broken");
    assert_int_equal(err.status, DKV_EIO);
    assert_int_equal(dkv_error_set(NULL, DKV_EIO, "nobody asks"), DKV_EIO);
}

static void a_text_that_is_too_long_is_cut(void **state)
{
    struct dkv_error err;
    char text[400];

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    dkv_error_set(&err, DKV_EIO, "%s", text);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    dkv_error_wrap(&err, "front");
    assert_memory_equal(err.text, "front: xxx", 10);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    dkv_error_wrap(&err, "%s", text);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_a_text),
        cmocka_unit_test(an_errno_becomes_the_status_that_callers_act_on),
        cmocka_unit_test(each_layer_puts_its_words_in_front),
        cmocka_unit_test(a_text_that_is_too_long_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
