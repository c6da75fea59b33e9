#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"

static void say_state(void *ctx)
{
    const char *text = ctx;

    (void)!write(STDERR_FILENO, text, strlen(text));
    dkv_assert(!"a hook that fails too"); /* must not come back here */
}

/* What the child says on stderr before SIGABRT ends it. */
static void panic_in_child(char *said, size_t size)
{
    int fds[2], status;
    size_t len = 0;
    ssize_t n;
    pid_t child;

    assert_int_equal(pipe(fds), 0);
    child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(fds[1], STDERR_FILENO);
        dkv_panic_hook(say_state, (void *)(uintptr_t) "term 7\n");
        dkv_assert(1 + 1 == 3);
        _exit(0);
    }
    close(fds[1]);
    while (len < size - 1 && (n = read(fds[0], said + len, size - 1 - len)) > 0)
        len += (size_t)n;
    said[len] = '\0';
    close(fds[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void a_panic_names_the_condition_and_asks_the_hook_once(void **state)
{
    char said[1000];

    (void)state;
    panic_in_child(said, sizeof(said));
    assert_non_null(strstr(said, "1 + 1 == 3"));
    assert_non_null(strstr(said, "test_panic.c:"));
    assert_non_null(strstr(said, "term 7\n"));
    assert_null(strstr(strstr(said, "term 7\n") + 1, "term 7\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_panic_names_the_condition_and_asks_the_hook_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
