/* The log over a disk in memory: what is damaged is named, and never taken for a torn end. */
#include "tests/unit/wal/log_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

/* Opens with a change in place; the state must be whole, or the start refused as damaged. */
static bool is_refused(struct fixture *f, raft_index whole)
{
    struct wal_recovery recovery;
    struct buf report = {0};
    int status;

    env_test_init(&f->e, f->fs, 3);
    status = wal_check(f->fs, &f->identity, true, &report, &recovery);
    wal_recovery_fini(&recovery);
    if (status == DKV_OK) {
        char expected[64];

        snprintf(expected, sizeof(expected), "ends        at entry %llu\n",
                 (unsigned long long)whole);
        buf_add_u8(&report, 0);
        if (strstr((char *)report.data, expected) == NULL)
            fail_msg("lost entries without a word:\n%s", (char *)report.data);
    }
    buf_fini(&report);
    return status != DKV_OK;
}

/* Every bit that is not a zero byte's; zero bytes are sampled. */
static void flip_everything(struct fixture *f, const char *path, raft_index whole,
                            unsigned *refused_out)
{
    size_t len;
    uint8_t *bytes = fs_mem_bytes(f->fs, path, &len);

    assert_non_null(bytes);
    *refused_out = 0;
    for (size_t at = 0; at < len; at++) {
        if (bytes[at] == 0 && at % 64 != 0)
            continue;
        for (unsigned bit = 0; bit < 8; bit += 3) {
            bytes[at] ^= (uint8_t)(1u << bit);
            *refused_out += is_refused(f, whole);
            bytes[at] ^= (uint8_t)(1u << bit);
        }
    }
}

static void test_r_p5_no_flipped_bit_loses_an_entry_of_a_sealed_log(void **state)
{
    struct fixture *f = *state;
    struct names names;
    char path[64];
    unsigned refused;

    log_write(f, 20);
    log_write(f, 5);
    wal_seal(f->wal);
    log_close(f);
    names = log_files(f, ".seg");
    assert_int_equal(names.count, 1);
    snprintf(path, sizeof(path), "wal/%s", names.items[0]);
    flip_everything(f, path, 25, &refused);
    assert_true(refused > 100); /* payloads cannot be mended */
}

static void test_r_p5_a_mark_protects_the_last_batch(void **state)
{
    struct fixture *f = *state;
    struct names names;
    char path[64];
    unsigned refused;

    log_write(f, 5);
    f->e.now_us += 100000;
    wal_tick(f->wal, f->e.now_us);
    env_test_run(&f->e);
    log_close(f);
    names = log_files(f, ".seg");
    snprintf(path, sizeof(path), "wal/%s", names.items[0]);
    flip_everything(f, path, 5, &refused);
    assert_true(refused > 10);
}

static void test_what_the_disk_cannot_read_is_damage_or_not_needed(void **state)
{
    struct fixture *f = *state;
    unsigned refused = 0, accepted = 0;
    struct names names;
    char path[64];
    size_t len;

    log_write(f, 60);
    log_close(f);
    names = log_files(f, ".seg");
    snprintf(path, sizeof(path), "wal/%s", names.items[0]);
    assert_non_null(fs_mem_bytes(f->fs, path, &len));
    for (uint64_t at = 0; at < len; at += 4096) {
        int status;

        fs_mem_make_unreadable(f->fs, path, at + 511, 1);
        env_test_init(&f->e, f->fs, 5);
        status = log_try_open(f);
        if (status == DKV_OK) {
            accepted++;
            assert_true(f->found.last_index == 60);
            log_close(f);
        } else {
            refused++;
            assert_int_equal(status, WAL_EDAMAGED);
            assert_non_null(strstr(f->err.text, path));
            assert_non_null(strstr(f->err.text, "offset"));
        }
    }
    assert_true(refused > 0 && accepted > 0); /* superheaders and headers are there twice */
}

/* etcd reads a length before it has verified it, and takes "longer than the file" for a torn end. */
static void test_r_p4_a_flipped_length_does_not_cut_the_log(void **state)
{
    struct fixture *f = *state;
    struct names names;
    char path[64];
    size_t len;
    uint8_t *bytes;

    for (int i = 0; i < 40; i++)
        log_write(f, 1);
    log_close(f);
    names = log_files(f, ".seg");
    snprintf(path, sizeof(path), "wal/%s", names.items[0]);
    bytes = fs_mem_bytes(f->fs, path, &len);
    for (unsigned bit = 0; bit < 32; bit++) {
        size_t header = 8192 + SEGMENT / 4 + 4096 * 3;

        assert_true(header + 64 <= len && bytes[header] != 0);
        bytes[header + 20 + bit / 8] ^= (uint8_t)(1u << bit % 8);
        (void)is_refused(f, 40);
        bytes[header + 20 + bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void test_a_missing_segment_is_damage(void **state)
{
    struct fixture *f = *state;
    struct names names;
    char path[64];

    log_write(f, 900);
    log_close(f);
    names = log_files(f, ".seg");
    assert_true(names.count >= 3);
    snprintf(path, sizeof(path), "wal/%s", names.items[1]);
    assert_int_equal(f->fs->ops->remove(f->fs, path), DKV_OK);
    env_test_init(&f->e, f->fs, 3);
    assert_int_equal(log_try_open(f), WAL_EDAMAGED);
}

static void test_r_p4_a_zeroed_block_in_the_middle_is_damage(void **state)
{
    struct fixture *f = *state;
    struct names names;
    char path[64];
    size_t len;
    uint8_t *bytes;

    for (int i = 0; i < 8; i++)
        log_write(f, 1);
    log_close(f);
    names = log_files(f, ".seg");
    snprintf(path, sizeof(path), "wal/%s", names.items[0]);
    bytes = fs_mem_bytes(f->fs, path, &len);
    memset(bytes + 8192 + SEGMENT / 4 + 4096 * 3, 0, 4096);
    env_test_init(&f->e, f->fs, 3);
    assert_int_equal(log_try_open(f), WAL_EDAMAGED);
    assert_non_null(strstr(f->err.text, "offset"));
    assert_non_null(strstr(f->err.text, ".seg"));
}

static void test_r_p13_the_log_of_another_node_is_refused_and_left_alone(void **state)
{
    struct fixture *f = *state;
    uint64_t ops;

    log_write(f, 3);
    log_close(f);
    f->identity.incarnation++;
    ops = fs_mem_ops(f->fs);
    assert_int_equal(log_try_open(f), WAL_EFOREIGN);
    assert_true(fs_mem_ops(f->fs) - ops <= 2); /* the folder, which is there */
    f->identity.incarnation--;
    log_open(f);
}

static void test_without_its_vote_file_a_log_is_refused(void **state)
{
    struct fixture *f = *state;

    log_write(f, 3);
    log_close(f);
    assert_int_equal(f->fs->ops->remove(f->fs, "wal/vote"), DKV_OK);
    assert_int_equal(log_try_open(f), WAL_EDAMAGED);
}

static void test_an_entry_with_one_good_header_is_accepted_and_can_be_read(void **state)
{
    struct fixture *f = *state;
    uint8_t *bytes;
    char path[64];
    size_t len;

    log_write(f, 40);
    log_close(f);
    snprintf(path, sizeof(path), "wal/%s", log_files(f, ".seg").items[0]);
    bytes = fs_mem_bytes(f->fs, path, &len);
    bytes[8192 + SEGMENT / 4 + 8] ^= 1; /* in front of entry 1 */
    bytes[8192 + 64 * 20 + 8] ^= 1;     /* the copy of entry 21's */
    env_test_init(&f->e, f->fs, 3);
    log_open(f);
    assert_int_equal(f->found.last_index, 40);
    log_assert_readable(f, 1, 40);
}

/* It may have voted, and others rely on what it has acknowledged. */
static void test_r_p9_a_node_that_ran_before_does_not_begin_with_an_empty_log(void **state)
{
    struct fixture *f = *state;

    log_close(f);
    for (struct names all = log_files(f, ""); all.count > 0; all.count--) {
        char path[64];

        snprintf(path, sizeof(path), "wal/%s", all.items[all.count - 1]);
        assert_int_equal(f->fs->ops->remove(f->fs, path), DKV_OK);
    }
    f->was_used = true;
    assert_int_equal(log_try_open(f), WAL_EDAMAGED);
    assert_non_null(strstr(f->err.text, "wal/vote: missing"));
    f->was_used = false;
    log_open(f);
}

static void cut_front(struct fixture *f)
{
    log_write(f, 1000);
    wal_compact(f->wal, 900, 1, "members", 7);
    env_test_run(&f->e);
    log_close(f);
}

static void test_one_copy_of_the_base_is_enough(void **state)
{
    struct fixture *f = *state;
    uint8_t *bytes;
    size_t len;

    cut_front(f);
    bytes = fs_mem_bytes(f->fs, "wal/base", &len);
    for (size_t at = 0; at < 96; at++) {
        for (size_t copy = 0; copy < 2; copy++) {
            bytes[copy * len / 2 + at] ^= 4;
            assert_false(is_refused(f, 1000));
            bytes[copy * len / 2 + at] ^= 4;
        }
    }
    bytes[50] ^= 1;
    bytes[len / 2 + 60] ^= 1;
    assert_int_equal(log_try_open(f), WAL_EDAMAGED);
    assert_non_null(strstr(f->err.text, "wal/base: both copies"));
    bytes[50] ^= 1; /* one is whole again, and a start mends the other */
    log_open(f);
    assert_memory_equal(bytes + 64, bytes + len / 2 + 64, 31);
    log_close(f);
    assert_int_equal(f->fs->ops->remove(f->fs, "wal/base"), DKV_OK);
    assert_int_equal(log_try_open(f), WAL_EDAMAGED);
    assert_non_null(strstr(f->err.text, "wal/base: missing"));
}

/* Damage that a power cut does not take back. */
static void flip_on_disk(struct fixture *f, const char *path, size_t at)
{
    size_t len;
    uint8_t byte = fs_mem_bytes(f->fs, path, &len)[at] ^ 1;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    struct fs_file *file;

    assert_int_equal(f->fs->ops->open(f->fs, path, FS_WRITE, &file), DKV_OK);
    assert_int_equal(f->fs->ops->write(file, &iov, 1, at), DKV_OK);
    assert_int_equal(f->fs->ops->sync(file), DKV_OK);
    assert_int_equal(f->fs->ops->close(file), DKV_OK);
}

/* A start on a disk that goes at its op number `off_at`, then one on what that left. */
static void start_twice(struct fixture *f, uint64_t off_at, uint64_t seed)
{
    struct fs *disk = f->fs, *left;

    f->fs = fs_mem_crash(disk, FS_MEM_KEEP_ALL, seed);
    env_test_init(&f->e, f->fs, seed);
    fs_mem_power_off_at(f->fs, off_at);
    if (log_try_open(f) == DKV_OK)
        log_close(f);
    f->e.exit_code = 0;
    left = fs_mem_crash(f->fs, FS_MEM_TEAR, seed);
    f->fs->ops->free(f->fs);
    f->fs = left;
    env_test_init(&f->e, f->fs, seed);
    log_open(f);
    log_close(f);
    f->fs->ops->free(f->fs);
    f->fs = disk;
}

static void test_a_start_never_writes_over_the_only_good_copy(void **state)
{
    static const char *const paths[] = {"wal/vote", "wal/base"};
    struct fixture *f = *state;

    cut_front(f);
    for (int i = 0; i < 4; i++) {
        size_t len, at;

        (void)fs_mem_bytes(f->fs, paths[i / 2], &len);
        at = i % 2 == 0 ? 50 : len / 2 + 50;
        flip_on_disk(f, paths[i / 2], at);
        for (uint64_t off_at = 1; off_at < 16; off_at++) {
            for (uint64_t seed = 0; seed < 16; seed++)
                start_twice(f, off_at, seed);
        }
        flip_on_disk(f, paths[i / 2], at);
    }
}

static void test_the_base_of_another_node_is_refused(void **state)
{
    struct fixture *f = *state;
    uint8_t other[40960];
    size_t len;

    cut_front(f);
    assert_true(fs_mem_bytes(f->fs, "wal/base", &len) != NULL && len == sizeof(other));
    memcpy(other, fs_mem_bytes(f->fs, "wal/base", &len), len);
    f->fs->ops->free(f->fs);
    f->fs = fs_mem_new();
    f->identity.node_id++;
    f->last = 0;
    f->ticket = f->durable = 0;
    env_test_init(&f->e, f->fs, 4);
    log_open(f);
    cut_front(f);
    memcpy(fs_mem_bytes(f->fs, "wal/base", &len), other, sizeof(other));
    assert_int_equal(log_try_open(f), WAL_EFOREIGN);
    assert_non_null(strstr(f->err.text, "wal/base: belongs to another node"));
}

static void test_r_p10_an_older_vote_file_is_refused(void **state)
{
    struct fixture *f = *state;
    uint8_t old[8192];
    size_t len;

    log_write(f, 3);
    memcpy(old, fs_mem_bytes(f->fs, "wal/vote", &len), sizeof(old));
    f->term = 5;
    log_submit(f, 2, 2);
    env_test_run(&f->e);
    log_close(f);
    memcpy(fs_mem_bytes(f->fs, "wal/vote", &len), old, sizeof(old));
    assert_int_equal(log_try_open(f), WAL_EDAMAGED);
    assert_non_null(strstr(f->err.text, "vote"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LOG(test_r_p5_no_flipped_bit_loses_an_entry_of_a_sealed_log),
        WITH_LOG(test_r_p5_a_mark_protects_the_last_batch),
        WITH_LOG(test_what_the_disk_cannot_read_is_damage_or_not_needed),
        WITH_LOG(test_r_p4_a_flipped_length_does_not_cut_the_log),
        WITH_LOG(test_a_missing_segment_is_damage),
        WITH_LOG(test_r_p4_a_zeroed_block_in_the_middle_is_damage),
        WITH_LOG(test_r_p13_the_log_of_another_node_is_refused_and_left_alone),
        WITH_LOG(test_without_its_vote_file_a_log_is_refused),
        WITH_LOG(test_an_entry_with_one_good_header_is_accepted_and_can_be_read),
        WITH_LOG(test_r_p9_a_node_that_ran_before_does_not_begin_with_an_empty_log),
        WITH_LOG(test_one_copy_of_the_base_is_enough),
        WITH_LOG(test_a_start_never_writes_over_the_only_good_copy),
        WITH_LOG(test_the_base_of_another_node_is_refused),
        WITH_LOG(test_r_p10_an_older_vote_file_is_refused),
    };

    return cmocka_run_group_tests_name("wal damage", tests, NULL, NULL);
}
