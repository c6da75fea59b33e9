#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/blob.h"
#include "kv/command.h"

static struct blob *encode(enum kv_op op, const char *key, const char *value)
{
    struct kv_command command = {
        .op = op, .key = {key, strlen(key)}, .value = {value, strlen(value)}};

    return kv_command_encode(&command);
}

static void test_a_command_survives_encoding(void **state)
{
    struct kv_command command = {.op = KV_OP_PUT,
                                 .flags = KV_IF_REVISION,
                                 .match = 0x1122334455667788,
                                 .key = {"a\0b", 3},
                                 .value = {"\xff\0\n", 3}};
    struct kv_command back;
    struct blob *blob = kv_command_encode(&command);

    (void)state;
    assert_int_equal(kv_command_decode(blob->bytes, blob->len, &back), DKV_OK);
    assert_int_equal(back.op, KV_OP_PUT);
    assert_int_equal(back.flags, KV_IF_REVISION);
    assert_true(back.match == command.match);
    assert_int_equal(back.key.len, 3);
    assert_memory_equal(back.key.data, "a\0b", 3);
    assert_int_equal(back.value.len, 3);
    assert_memory_equal(back.value.data, "\xff\0\n", 3);
    blob_unref(blob);
}

static void test_every_shorter_or_longer_command_is_refused(void **state)
{
    struct blob *blob = encode(KV_OP_PUT, "key", "value");
    uint8_t longer[256] = {0};
    struct kv_command back;

    (void)state;
    for (uint32_t len = 0; len < blob->len; len++)
        assert_int_equal(kv_command_decode(blob->bytes, len, &back), DKV_EINVAL);
    memcpy(longer, blob->bytes, blob->len);
    assert_int_equal(kv_command_decode(longer, blob->len + 1, &back), DKV_EINVAL);
    blob_unref(blob);
}

static void test_what_a_newer_version_wrote_is_refused(void **state)
{
    static const struct {
        size_t at;
        uint8_t value;
    } changes[] = {{0, 2}, {1, 3}, {1, 0}, {2, 8}, {2, 3}, {3, 1}};

    (void)state;
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        struct blob *blob = encode(KV_OP_PUT, "key", "value");
        struct kv_command back;

        blob->bytes[changes[i].at] = changes[i].value;
        assert_int_equal(kv_command_decode(blob->bytes, blob->len, &back), DKV_EINVAL);
        blob_unref(blob);
    }
}

static void test_a_delete_with_a_value_or_an_empty_key_is_refused(void **state)
{
    struct blob *blob = encode(KV_OP_PUT, "key", "value");
    struct kv_command back;

    (void)state;
    blob->bytes[1] = KV_OP_DELETE;
    assert_int_equal(kv_command_decode(blob->bytes, blob->len, &back), DKV_EINVAL);
    blob->bytes[1] = KV_OP_PUT;
    blob->bytes[4] = 0; /* key length */
    blob->bytes[8] = 8; /* value length */
    assert_int_equal(kv_command_decode(blob->bytes, blob->len, &back), DKV_EINVAL);
    blob_unref(blob);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_command_survives_encoding),
        cmocka_unit_test(test_every_shorter_or_longer_command_is_refused),
        cmocka_unit_test(test_what_a_newer_version_wrote_is_refused),
        cmocka_unit_test(test_a_delete_with_a_value_or_an_empty_key_is_refused),
    };

    return cmocka_run_group_tests_name("kv/command", tests, NULL, NULL);
}
