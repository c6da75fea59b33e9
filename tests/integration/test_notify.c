/* The datagrams of sd_notify, received on a socket of our own. */
#include "base/notify.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* A name that begins with @ is an abstract address and leaves no file behind. */
static int receiver_open(char name[64])
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t len;

    assert_true(fd >= 0);
    snprintf(name, 64, "@dkv-test-notify-%ld", (long)getpid());
    len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    memcpy(address.sun_path, name, strlen(name));
    address.sun_path[0] = '\0';
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    return fd;
}

static void expect(int fd, const char *text)
{
    char got[512];
    ssize_t len = recv(fd, got, sizeof(got), 0);

    assert_int_equal(len, strlen(text));
    assert_memory_equal(got, text, strlen(text));
}

/* systemd takes a reload for begun only with the time, which must not be that of an earlier one. */
static void expect_time_of_reload(int fd)
{
    char got[512];
    ssize_t len = recv(fd, got, sizeof(got) - 1, 0);
    unsigned long long us;
    struct timespec now;

    assert_true(len > 0);
    got[len] = '\0';
    assert_int_equal(sscanf(got, "RELOADING=1\nMONOTONIC_USEC=%llu", &us), 1);
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    assert_true(us / 1000000 <= (unsigned long long)now.tv_sec &&
                us / 1000000 + 60 > (unsigned long long)now.tv_sec);
}

static void test_the_manager_hears_of_each_step(void **state)
{
    char name[64];
    int fd = receiver_open(name);

    (void)state;
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    notify_status("replaying %d of %d", 1, 2);
    notify_ready();
    notify_reloading();
    notify_stopping();
    expect(fd, "STATUS=replaying 1 of 2");
    expect(fd, "READY=1");
    expect_time_of_reload(fd);
    expect(fd, "STOPPING=1");
    close(fd);
}

/* The first line that begins so, within ten seconds. */
static void wait_for(int fd, const char *text)
{
    char got[512];

    for (int i = 0; i < 1000; i++) {
        ssize_t len = recv(fd, got, sizeof(got) - 1, 0);

        if (len < 0) {
            (void)usleep(10000);
            continue;
        }
        got[len] = '\0';
        if (strncmp(got, text, strlen(text)) == 0)
            return;
    }
    fail_msg("nobody says %s", text);
}

static void test_the_daemon_says_what_it_does(void **state)
{
    const char *folder = getenv("DKV_BUILDDIR");
    char name[64], program[512];
    int fd = receiver_open(name), status;
    pid_t daemon;

    (void)state;
    snprintf(program, sizeof(program), "%s/dkvd", folder != NULL ? folder : ".");
    if (access(program, X_OK) != 0)
        skip();
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    daemon = fork();
    if (daemon == 0) {
        if (freopen("/dev/null", "w", stderr) == NULL)
            _exit(126);
        (void)execl(program, program, "--dev", "--set", "http.listen=127.0.0.1:0", (char *)NULL);
        _exit(127);
    }
    wait_for(fd, "READY=1");
    wait_for(fd, "STATUS=leads in term 1");
    assert_int_equal(kill(daemon, SIGTERM), 0);
    wait_for(fd, "STOPPING=1");
    assert_int_equal(waitpid(daemon, &status, 0), daemon);
    assert_int_equal(status, 0);
    close(fd);
}

static void test_nothing_happens_without_a_manager(void **state)
{
    char name[64];
    int fd = receiver_open(name);
    char byte;

    (void)state;
    assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
    notify_ready();
    assert_int_equal(setenv("NOTIFY_SOCKET", "relative", 1), 0);
    notify_ready();
    assert_int_equal(setenv("NOTIFY_SOCKET", "", 1), 0);
    notify_ready();
    assert_int_equal(recv(fd, &byte, 1, 0), -1);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_manager_hears_of_each_step),
        cmocka_unit_test(test_the_daemon_says_what_it_does),
        cmocka_unit_test(test_nothing_happens_without_a_manager),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
