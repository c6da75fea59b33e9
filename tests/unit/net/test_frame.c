#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <event2/buffer.h>

#include "net/frame.h"
#include "net/hello.h"
#include "net/relay.h"
#include "net/resolve.h"

static size_t make_frame(uint8_t *to, size_t size)
{
    struct evbuffer *out = evbuffer_new();
    struct buf payload = {0};
    int len;

    buf_add_text(&payload, "some payload");
    frame_add(out, FRAME_RAFT, &payload);
    len = evbuffer_remove(out, to, size);
    buf_fini(&payload);
    evbuffer_free(out);
    return (size_t)len;
}

static void test_a_frame_survives(void **state)
{
    uint8_t bytes[128];
    struct frame_header header;
    const char *why = NULL;

    (void)state;
    assert_int_equal(make_frame(bytes, sizeof(bytes)), FRAME_HEADER_BYTES + 12);
    assert_int_equal(frame_decode_header(bytes, &header, &why), DKV_OK);
    assert_int_equal(header.type, FRAME_RAFT);
    assert_int_equal(header.payload_len, 12);
    assert_true(frame_payload_is_intact(&header, bytes + FRAME_HEADER_BYTES));
}

static void test_every_flipped_bit_is_noticed(void **state)
{
    uint8_t bytes[128];
    size_t len = make_frame(bytes, sizeof(bytes));

    (void)state;
    for (size_t bit = 0; bit < len * 8; bit++) {
        struct frame_header header;
        const char *why = NULL;
        bool is_noticed;

        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        /* A changed length makes the receiver take more or fewer bytes: their sum differs. */
        is_noticed = frame_decode_header(bytes, &header, &why) != DKV_OK ||
                     header.payload_len != 12 ||
                     !frame_payload_is_intact(&header, bytes + FRAME_HEADER_BYTES);
        assert_true(is_noticed);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void test_a_long_frame_is_refused_by_its_header(void **state)
{
    uint8_t bytes[128];
    struct frame_header header;
    const char *why = NULL;

    (void)state;
    (void)make_frame(bytes, sizeof(bytes));
    memset(bytes + 4, 0x7f, 4);
    assert_int_equal(frame_decode_header(bytes, &header, &why), DKV_EINVAL);
    assert_string_equal(why, "the frame is too long");
}

static void test_a_hello_survives_and_any_cut_is_refused(void **state)
{
    struct net_hello hello = {.features = 1, .from = 2, .to = 3, .incarnation = 4};
    struct net_hello back;
    struct buf b = {0};

    (void)state;
    strcpy(hello.name, "n1");
    strcpy(hello.http, "10.0.0.1:8500");
    strcpy(hello.storage, "lmdb");
    net_hello_encode(&b, &hello);
    assert_int_equal(net_hello_decode(b.data, b.len, &back), DKV_OK);
    assert_memory_equal(&back, &hello, sizeof(hello));
    for (size_t len = 0; len < b.len; len++)
        assert_int_equal(net_hello_decode(b.data, len, &back), DKV_EINVAL);
    buf_add_text(&b, "a later version's field");
    assert_int_equal(net_hello_decode(b.data, b.len, &back), DKV_OK);
    buf_fini(&b);
}

static void test_a_name_that_is_too_long_or_holds_a_nul_is_refused(void **state)
{
    char name[4];
    struct decoder d;

    (void)state;
    decoder_init(&d, "\4\0abcd", 6);
    assert_false(net_text_decode(&d, name, sizeof(name)));
    decoder_init(&d, "\3\0a\0b", 5);
    assert_false(net_text_decode(&d, name, sizeof(name)));
    decoder_init(&d, "\3\0abc", 5);
    assert_true(net_text_decode(&d, name, sizeof(name)));
    assert_string_equal(name, "abc");
}

static void test_relayed_writes_come_out_in_order(void **state)
{
    struct buf b = {0};
    struct relay_write write;
    struct decoder d;

    (void)state;
    relay_write_encode(&b, 7, "one", 3);
    relay_write_encode(&b, 8, "", 0);
    decoder_init(&d, b.data, b.len);
    assert_true(relay_write_next(&d, &write));
    assert_true(write.ticket == 7 && write.command_len == 3);
    assert_memory_equal(write.command, "one", 3);
    assert_true(relay_write_next(&d, &write));
    assert_true(write.ticket == 8 && write.command_len == 0);
    assert_false(relay_write_next(&d, &write));
    assert_false(d.failed);
    decoder_init(&d, b.data, b.len - 1);
    assert_true(relay_write_next(&d, &write));
    assert_false(relay_write_next(&d, &write));
    assert_true(d.failed);
    buf_fini(&b);
}

static void test_a_chunk_outside_its_file_is_refused(void **state)
{
    struct relay_chunk chunk = {.term = 1,
                                .index = 2,
                                .offset = 90,
                                .total = 100,
                                .data = (const uint8_t *)"0123456789",
                                .len = 10};
    struct relay_chunk back;
    struct buf b = {0};

    (void)state;
    relay_chunk_encode(&b, &chunk);
    assert_int_equal(relay_chunk_decode(b.data, b.len, &back), DKV_OK);
    assert_memory_equal(back.data, "0123456789", 10);
    buf_reset(&b);
    chunk.offset = 91;
    relay_chunk_encode(&b, &chunk);
    assert_int_equal(relay_chunk_decode(b.data, b.len, &back), DKV_EINVAL);
    buf_reset(&b);
    chunk.offset = UINT64_MAX - 3;
    relay_chunk_encode(&b, &chunk);
    assert_int_equal(relay_chunk_decode(b.data, b.len, &back), DKV_EINVAL);
    buf_fini(&b);
}

static void test_addresses_are_split(void **state)
{
    char host[32], port[8];

    (void)state;
    assert_true(resolve_split("n1:8300", host, sizeof(host), port, sizeof(port)));
    assert_string_equal(host, "n1");
    assert_string_equal(port, "8300");
    assert_true(resolve_split("[::1]:1", host, sizeof(host), port, sizeof(port)));
    assert_string_equal(host, "::1");
    assert_false(resolve_split("n1", host, sizeof(host), port, sizeof(port)));
    assert_false(resolve_split(":8300", host, sizeof(host), port, sizeof(port)));
    assert_false(resolve_split("n1:", host, sizeof(host), port, sizeof(port)));
    assert_false(resolve_split("n1:123456789", host, sizeof(host), port, sizeof(port)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_frame_survives),
        cmocka_unit_test(test_every_flipped_bit_is_noticed),
        cmocka_unit_test(test_a_long_frame_is_refused_by_its_header),
        cmocka_unit_test(test_a_hello_survives_and_any_cut_is_refused),
        cmocka_unit_test(test_a_name_that_is_too_long_or_holds_a_nul_is_refused),
        cmocka_unit_test(test_relayed_writes_come_out_in_order),
        cmocka_unit_test(test_a_chunk_outside_its_file_is_refused),
        cmocka_unit_test(test_addresses_are_split),
    };

    return cmocka_run_group_tests_name("net/frame", tests, NULL, NULL);
}
