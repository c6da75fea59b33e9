/* Preloaded into dkvd: once the file that BAD_DISK names is there, every sync fails. */
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static int is_bad(void)
{
    const char *flag = getenv("BAD_DISK");

    return flag != NULL && access(flag, F_OK) == 0;
}

int fdatasync(int fd)
{
    if (is_bad()) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    if (is_bad()) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}
