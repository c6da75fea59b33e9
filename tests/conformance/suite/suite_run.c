#include "suite_run.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int report_fd = -1;

void run_report(const void *bytes, size_t len)
{
    if (write(report_fd, bytes, len) != (ssize_t)len)
        _exit(RUN_FAILED);
}

void run_report_skip(const char *reason)
{
    run_report(reason, strlen(reason));
}

static void child(void (*fn)(void), int fd, unsigned seconds)
{
    (void)setpgid(0, 0);
    report_fd = fd;
    (void)alarm(seconds);
    fn();
    (void)fflush(stdout);
    exit(RUN_OK); /* not _exit: a leak checker wants its turn */
}

/* Whatever the case has started goes with it. */
static void reap_group(pid_t pid)
{
    (void)kill(-pid, SIGKILL);
}

void run_child(void (*fn)(void), unsigned seconds, struct run_result *result_out)
{
    size_t used = 0;
    ssize_t len;
    int fds[2], status;
    pid_t pid;

    *result_out = (struct run_result){.outcome = RUN_FAILED};
    (void)fflush(stdout);
    if (pipe(fds) != 0 || (pid = fork()) < 0) {
        (void)snprintf(result_out->reason, sizeof(result_out->reason), "fork: %s", strerror(errno));
        return;
    }
    if (pid == 0) {
        (void)close(fds[0]);
        child(fn, fds[1], seconds);
    }
    (void)close(fds[1]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    reap_group(pid);
    while (used < sizeof(result_out->reason) - 1 &&
           (len = read(fds[0], result_out->reason + used, sizeof(result_out->reason) - 1 - used)) >
               0)
        used += (size_t)len;
    (void)close(fds[0]);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        (void)snprintf(result_out->reason, sizeof(result_out->reason), "took more than %u s",
                       seconds);
    else if (WIFSIGNALED(status))
        (void)snprintf(result_out->reason, sizeof(result_out->reason), "killed by signal %d",
                       WTERMSIG(status));
    else
        result_out->outcome = WEXITSTATUS(status);
}
