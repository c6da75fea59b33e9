#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/blob.h"
#include "base/clock.h"
#include "base/mem.h"

static void empty_sizes_give_memory_too(void **state)
{
    void *p = xmalloc(0);

    (void)state;
    assert_non_null(p);
    p = xrealloc(p, 0);
    assert_non_null(p);
    free(p);
    p = xcalloc(0, 0);
    assert_non_null(p);
    free(p);
    p = mem_try(0);
    assert_non_null(p);
    free(p);
}

static void copies_of_text_end_where_they_should(void **state)
{
    char *a = xstrdup("text"), *b = xstrndup("text", 2);

    (void)state;
    assert_string_equal(a, "text");
    assert_string_equal(b, "te");
    free(a);
    free(b);
}

static void an_array_whose_size_overflows_ends_the_process(void **state)
{
    pid_t child = fork();
    int status;

    (void)state;
    if (child == 0) {
        close(STDERR_FILENO);
        free(xreallocarray(NULL, SIZE_MAX / 2, 4));
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void a_blob_lives_until_its_last_reference_is_gone(void **state)
{
    struct blob *b = blob_try(3);

    (void)state;
    assert_int_equal(b->len, 3);
    memcpy(b->bytes, "abc", 3);
    assert_ptr_equal(blob_ref(b), b);
    blob_unref(b);
    assert_memory_equal(b->bytes, "abc", 3);
    blob_unref(b); /* the leak checker sees to the rest */
    blob_unref(NULL);
}

static void the_monotonic_clock_does_not_go_back(void **state)
{
    uint64_t before = clock_now_us();

    (void)state;
    assert_true(clock_now_us() >= before);
    assert_true(clock_wall_us() > INT64_C(1700000000000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_sizes_give_memory_too),
        cmocka_unit_test(copies_of_text_end_where_they_should),
        cmocka_unit_test(an_array_whose_size_overflows_ends_the_process),
        cmocka_unit_test(a_blob_lives_until_its_last_reference_is_gone),
        cmocka_unit_test(the_monotonic_clock_does_not_go_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
