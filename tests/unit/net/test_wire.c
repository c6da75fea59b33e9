#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "conf/schema.h"
#include "kv/command.h"
#include "net/frame.h"
#include "net/relay.h"
#include "net/wire.h"

static struct raft_entry sent_entries[3];

static const struct raft_entry *entry_of(void *ctx, const struct raft_message *m, uint32_t i)
{
    (void)ctx;
    (void)m;
    return &sent_entries[i];
}

static struct blob *encode(const struct raft_message *m)
{
    struct buf b = {0};
    struct blob *blob;

    wire_encode(&b, m, entry_of, NULL);
    blob = blob_try((uint32_t)b.len);
    memcpy(blob->bytes, b.data, b.len);
    buf_fini(&b);
    return blob;
}

static void fill_entries(void)
{
    sent_entries[0] = (struct raft_entry){
        .index = 8, .term = 3, .type = RAFT_ENTRY_DATA, .len = 5, .data = "hello"};
    sent_entries[1] = (struct raft_entry){.index = 9, .term = 4, .type = RAFT_ENTRY_NOOP};
    sent_entries[2] = (struct raft_entry){
        .index = 10, .term = 4, .type = RAFT_ENTRY_CONFIG, .len = 2, .data = "\0\xff"};
}

static struct raft_message append(void)
{
    fill_entries();
    return (struct raft_message){.type = RAFT_MSG_APPEND,
                                 .term = 5,
                                 .index = 7,
                                 .log_term = 3,
                                 .commit = 6,
                                 .read_seq = 99,
                                 .count = 3};
}

static void test_every_message_survives_the_wire(void **state)
{
    (void)state;
    for (uint32_t type = RAFT_MSG_PREVOTE; type <= RAFT_MSG_TIMEOUT_NOW; type++) {
        struct raft_message m = {.type = type, .flags = RAFT_REJECT, .term = 1ull << 40};
        struct wire_entries entries = {0};
        struct raft_message back;
        struct blob *blob = encode(&m);

        assert_int_equal(wire_decode(blob, 11, 22, &entries, &back), DKV_OK);
        assert_int_equal(back.type, type);
        assert_int_equal(back.flags, RAFT_REJECT);
        assert_true(back.term == m.term);
        assert_true(back.from == 11 && back.to == 22);
        blob_unref(blob);
        wire_entries_fini(&entries);
    }
}

static void test_an_append_brings_its_entries(void **state)
{
    struct raft_message m = append();
    struct wire_entries entries = {0};
    struct raft_message back;
    struct blob *blob = encode(&m);

    (void)state;
    assert_int_equal(wire_decode(blob, 1, 2, &entries, &back), DKV_OK);
    assert_true(back.index == 7 && back.log_term == 3 && back.commit == 6 && back.read_seq == 99);
    assert_int_equal(back.count, 3);
    assert_true(back.entries[0].index == 8 && back.entries[0].term == 3);
    assert_int_equal(back.entries[0].len, 5);
    assert_memory_equal(back.entries[0].data, "hello", 5);
    assert_ptr_equal(back.entries[0].owner, blob);
    assert_null(back.entries[1].owner);
    assert_int_equal(back.entries[2].type, RAFT_ENTRY_CONFIG);
    assert_memory_equal(back.entries[2].data, "\0\xff", 2);
    blob_unref(blob);
    wire_entries_fini(&entries);
}

static void test_a_message_cut_anywhere_is_refused(void **state)
{
    struct raft_message m = append();
    struct wire_entries entries = {0};
    struct raft_message back;
    struct blob *blob = encode(&m);
    uint32_t len = blob->len;

    (void)state;
    for (blob->len = 0; blob->len < len; blob->len++)
        assert_int_equal(wire_decode(blob, 1, 2, &entries, &back), DKV_EINVAL);
    blob_unref(blob);
    wire_entries_fini(&entries);
}

static void test_an_impossible_number_of_entries_takes_no_memory(void **state)
{
    struct raft_message m = append();
    struct wire_entries entries = {0};
    struct raft_message back;
    struct blob *blob = encode(&m);

    (void)state;
    memset(blob->bytes + 10 + 4 * 8, 0xff, 4); /* the count */
    assert_int_equal(wire_decode(blob, 1, 2, &entries, &back), DKV_EINVAL);
    assert_null(entries.items);
    blob_unref(blob);
}

static void test_unknown_types_and_huge_indexes_are_refused(void **state)
{
    struct raft_message m = append();
    struct wire_entries entries = {0};
    struct raft_message back;
    struct blob *blob;

    (void)state;
    m.index = UINT64_MAX - 1;
    blob = encode(&m);
    assert_int_equal(wire_decode(blob, 1, 2, &entries, &back), DKV_EINVAL);
    blob->bytes[0] = 0;
    assert_int_equal(wire_decode(blob, 1, 2, &entries, &back), DKV_EINVAL);
    blob->bytes[0] = 200;
    assert_int_equal(wire_decode(blob, 1, 2, &entries, &back), DKV_EINVAL);
    blob_unref(blob);
    wire_entries_fini(&entries);
}

static size_t most(const char *section, const char *name)
{
    return (size_t)conf_schema_find(section, name)->max;
}

/* Whatever sizes are set, no message can be too long to be sent. */
static void test_the_longest_of_everything_fits_a_frame(void **state)
{
    static const struct raft_message append = {.type = RAFT_MSG_APPEND, .count = 1};
    static uint8_t bytes[8 << 20];
    size_t longest = FRAME_PAYLOAD_MAX;
    struct relay_chunk chunk = {.data = bytes, .len = (uint32_t)most("snapshot", "chunk_size")};
    struct kv_command put = {.op = KV_OP_PUT,
                             .key = {bytes, most("cluster", "key_max")},
                             .value = {bytes, most("cluster", "value_max")}};
    struct blob *command;
    struct buf b = {0};

    (void)state;
    assert_true(put.value.len <= sizeof(bytes) && chunk.len <= sizeof(bytes));
    command = kv_command_encode(&put);
    sent_entries[0] = (struct raft_entry){.len = command->len, .data = command->bytes};
    wire_encode(&b, &append, entry_of, NULL);
    assert_in_range(b.len, put.value.len, longest);
    assert_true(b.len - command->len + most("raft", "max_message") <= longest);
    buf_reset(&b);
    relay_write_encode(&b, 1, command->bytes, command->len);
    assert_in_range(b.len, put.value.len, longest);
    buf_reset(&b);
    relay_chunk_encode(&b, &chunk);
    assert_in_range(b.len, chunk.len, longest);
    buf_fini(&b);
    blob_unref(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_message_survives_the_wire),
        cmocka_unit_test(test_an_append_brings_its_entries),
        cmocka_unit_test(test_a_message_cut_anywhere_is_refused),
        cmocka_unit_test(test_an_impossible_number_of_entries_takes_no_memory),
        cmocka_unit_test(test_unknown_types_and_huge_indexes_are_refused),
        cmocka_unit_test(test_the_longest_of_everything_fits_a_frame),
    };

    return cmocka_run_group_tests_name("net/wire", tests, NULL, NULL);
}
