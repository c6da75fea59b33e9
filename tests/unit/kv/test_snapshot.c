#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "fake_store.h"
#include "kv/snapshot.h"

enum { KEYS = 300 };

struct fixture {
    char path[64];
    struct fs *fs;
    struct fake_store *store, *other;
    struct kv_snapshot_info info, back;
    struct dkv_error err;
};

static void put_raw(struct fake_store *store, struct dkv_slice key, struct dkv_slice value)
{
    struct dkv_mutation m = {.kind = DKV_PUT, .key = key, .value = value};
    struct dkv_apply apply = {.index = store->index + 1, .mutations = &m, .count = 1};

    assert_int_equal(store->base.ops->apply(&store->base, &apply), DKV_OK);
}

/* Records as the machine writes them, some of them long, and one key of the machine's own. */
static void fill(struct fixture *f)
{
    put_raw(f->store, (struct dkv_slice){"mstate", 6}, (struct dkv_slice){"anything", 8});
    for (uint64_t i = 0; i < KEYS; i++) {
        struct kv_record record = {.changes = 1, .create_revision = i, .revision = i};
        size_t len = KV_RECORD_HEADER_BYTES + (i % 50 == 0 ? 20000 : i % 7);
        uint8_t *stored = xcalloc(1, len);
        char key[16];
        struct dkv_slice user_key = {key + 1, 0};

        snprintf(key, sizeof(key), "k%llu", (unsigned long long)i);
        user_key.len = strlen(key) - 1;
        kv_record_put_header(stored, &record);
        memset(stored + KV_RECORD_HEADER_BYTES, (int)i, len - KV_RECORD_HEADER_BYTES);
        put_raw(f->store, (struct dkv_slice){key, strlen(key)}, (struct dkv_slice){stored, len});
        kv_digest_add(&f->info.digest, kv_digest_of(user_key, (struct dkv_slice){stored, len}));
        free(stored);
    }
    f->info.keys = KEYS;
    f->info.index = f->store->index;
    f->info.term = 3;
    memcpy(f->info.cluster_id, "0123456789abcdef", 16);
    f->info.members_len = 4;
    memcpy(f->info.members, "who?", 4);
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));

    strcpy(f->path, "/tmp/dkv-test-XXXXXX");
    assert_non_null(mkdtemp(f->path));
    assert_int_equal(fs_posix_open(f->path, &f->fs, &f->err), DKV_OK);
    f->store = fake_store_new();
    f->other = fake_store_new();
    fill(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    (void)f->fs->ops->remove(f->fs, "s");
    f->fs->ops->free(f->fs);
    (void)rmdir(f->path);
    fake_store_free(f->store);
    fake_store_free(f->other);
    free(f);
    return 0;
}

static void save(struct fixture *f)
{
    struct dkv_snapshot *view;

    assert_int_equal(f->store->base.ops->snapshot_open(&f->store->base, NULL, &view), DKV_OK);
    if (kv_snapshot_save(f->fs, "s", &f->info, view, &f->err) != DKV_OK)
        fail_msg("%s", f->err.text);
    f->store->base.ops->snapshot_close(view);
}

static void test_what_is_saved_can_be_restored(void **state)
{
    struct fixture *f = *state;

    save(f);
    put_raw(f->other, (struct dkv_slice){"kold", 4}, (struct dkv_slice){"gone", 4});
    if (kv_snapshot_restore(f->fs, "s", &f->other->base, &f->err) != DKV_OK)
        fail_msg("%s", f->err.text);
    assert_true(f->other->index == f->info.index);
    assert_int_equal(f->other->count, f->store->count);
    for (size_t i = 0; i < f->store->count; i++) {
        assert_int_equal(f->other->pairs[i].value_len, f->store->pairs[i].value_len);
        assert_memory_equal(f->other->pairs[i].value, f->store->pairs[i].value,
                            f->store->pairs[i].value_len);
    }
}

static void test_the_header_tells_what_is_inside(void **state)
{
    struct fixture *f = *state;

    save(f);
    assert_int_equal(kv_snapshot_verify(f->fs, "s", &f->back, &f->err), DKV_OK);
    assert_true(f->back.index == f->info.index && f->back.term == 3 && f->back.keys == KEYS);
    assert_memory_equal(f->back.cluster_id, f->info.cluster_id, 16);
    assert_int_equal(f->back.members_len, 4);
    assert_memory_equal(f->back.members, "who?", 4);
    assert_int_equal(kv_snapshot_read_info(f->fs, "s", &f->back, &f->err), DKV_OK);
    assert_true(f->back.index == f->info.index);
}

static void change(struct fixture *f, uint64_t offset, uint8_t mask)
{
    struct fs_file *file;
    uint8_t byte;
    size_t got;
    struct iovec iov = {&byte, 1};

    assert_int_equal(f->fs->ops->open(f->fs, "s", FS_READ | FS_WRITE, &file), DKV_OK);
    assert_int_equal(f->fs->ops->read(file, &byte, 1, offset, &got), DKV_OK);
    byte ^= mask;
    assert_int_equal(f->fs->ops->write(file, &iov, 1, offset), DKV_OK);
    assert_int_equal(f->fs->ops->close(file), DKV_OK);
}

/* Every bit of the header and of the end, and one in every few bytes of what lies between. */
static void test_a_flipped_bit_is_found_and_the_old_content_kept(void **state)
{
    struct fixture *f = *state;
    uint64_t size;

    save(f);
    assert_int_equal(kv_snapshot_verify(f->fs, "s", &f->back, &f->err), DKV_OK);
    size = f->back.bytes;
    for (uint64_t at = 0; at < size; at += at < 128 || at + 40 > size ? 1 : 41) {
        uint8_t mask = (uint8_t)(1u << at % 8);

        change(f, at, mask);
        assert_int_not_equal(kv_snapshot_verify(f->fs, "s", &f->back, &f->err), DKV_OK);
        assert_int_not_equal(kv_snapshot_restore(f->fs, "s", &f->other->base, &f->err), DKV_OK);
        assert_int_equal(f->other->count, 0);
        change(f, at, mask);
    }
    assert_int_equal(kv_snapshot_verify(f->fs, "s", &f->back, &f->err), DKV_OK);
}

static void test_a_file_cut_anywhere_is_refused(void **state)
{
    struct fixture *f = *state;
    struct fs_file *file;
    uint64_t size;

    save(f);
    assert_int_equal(kv_snapshot_verify(f->fs, "s", &f->back, &f->err), DKV_OK);
    for (size = f->back.bytes; size > 0;) {
        size -= size > 997 ? 997 : size;
        assert_int_equal(f->fs->ops->open(f->fs, "s", FS_WRITE, &file), DKV_OK);
        assert_int_equal(f->fs->ops->truncate(file, size), DKV_OK);
        assert_int_equal(f->fs->ops->close(file), DKV_OK);
        assert_int_equal(kv_snapshot_verify(f->fs, "s", &f->back, &f->err), DKV_ECORRUPT);
    }
}

static void test_a_digest_that_does_not_fit_is_refused(void **state)
{
    struct fixture *f = *state;

    f->info.digest.low ^= 1;
    save(f);
    assert_int_equal(kv_snapshot_verify(f->fs, "s", &f->back, &f->err), DKV_ECORRUPT);
    assert_non_null(strstr(f->err.text, "digest"));
}

static void test_an_empty_store_makes_a_good_snapshot(void **state)
{
    struct fixture *f = *state;

    while (f->store->count > 0) {
        struct fake_pair *p = &f->store->pairs[0];
        struct dkv_mutation m = {.kind = DKV_DELETE, .key = {p->key, p->key_len}};
        struct dkv_apply apply = {.index = f->store->index + 1, .mutations = &m, .count = 1};

        assert_int_equal(f->store->base.ops->apply(&f->store->base, &apply), DKV_OK);
    }
    f->info.digest = (struct kv_digest){0, 0};
    f->info.keys = 0;
    f->info.members_len = 0;
    save(f);
    assert_int_equal(kv_snapshot_verify(f->fs, "s", &f->back, &f->err), DKV_OK);
    assert_int_equal(kv_snapshot_restore(f->fs, "s", &f->other->base, &f->err), DKV_OK);
    assert_int_equal(f->other->count, 0);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_what_is_saved_can_be_restored),
        WITH(test_the_header_tells_what_is_inside),
        WITH(test_a_flipped_bit_is_found_and_the_old_content_kept),
        WITH(test_a_file_cut_anywhere_is_refused),
        WITH(test_a_digest_that_does_not_fit_is_refused),
        WITH(test_an_empty_store_makes_a_good_snapshot),
    };

    return cmocka_run_group_tests_name("kv/snapshot", tests, NULL, NULL);
}
