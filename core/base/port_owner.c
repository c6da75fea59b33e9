#include "base/port_owner.h"

#include <ctype.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#define TCP_LISTEN 0x0a

/* The inode and user of the socket that listens on this port, whatever its address. */
static bool find_socket(const char *table, unsigned port, unsigned long *inode_out,
                        unsigned *uid_out)
{
    FILE *file = fopen(table, "re");
    char line[512];
    bool found = false;

    if (file == NULL)
        return false;
    while (!found && fgets(line, sizeof(line), file) != NULL) {
        unsigned local, state;

        found = sscanf(line,
                       " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*x:%*x %*x:%*x %*x %u "
                       "%*d %lu",
                       &local, &state, uid_out, inode_out) == 4 &&
                local == port && state == TCP_LISTEN;
    }
    fclose(file);
    return found;
}

static bool has_descriptor(const char *pid, const char *wanted)
{
    char path[300], target[64];
    struct dirent *entry;
    bool found = false;
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%s/fd", pid);
    dir = opendir(path);
    if (dir == NULL)
        return false;
    while (!found && (entry = readdir(dir)) != NULL) {
        ssize_t len = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

        if (len > 0) {
            target[len] = '\0';
            found = strcmp(target, wanted) == 0;
        }
    }
    closedir(dir);
    return found;
}

static void name_process(const char *pid, char *out, size_t size)
{
    char path[300], name[64] = "?";
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%s/comm", pid);
    file = fopen(path, "re");
    if (file != NULL) {
        if (fgets(name, sizeof(name), file) != NULL)
            name[strcspn(name, "\n")] = '\0';
        fclose(file);
    }
    snprintf(out, size, "process %.16s (%.32s)", pid, name);
}

void port_owner_find(const struct sockaddr *sa, char *out, size_t size)
{
    unsigned port =
        ntohs(sa->sa_family == AF_INET6 ? ((const struct sockaddr_in6 *)(const void *)sa)->sin6_port
                                        : ((const struct sockaddr_in *)(const void *)sa)->sin_port);
    unsigned long inode = 0;
    unsigned uid = 0;
    struct dirent *entry;
    char wanted[48];
    DIR *proc;

    out[0] = '\0';
    if (!find_socket("/proc/net/tcp", port, &inode, &uid) &&
        !find_socket("/proc/net/tcp6", port, &inode, &uid))
        return;
    snprintf(out, size, "a process of user %u", uid);
    snprintf(wanted, sizeof(wanted), "socket:[%lu]", inode);
    proc = opendir("/proc");
    while (proc != NULL && (entry = readdir(proc)) != NULL) {
        if (isdigit((unsigned char)entry->d_name[0]) && has_descriptor(entry->d_name, wanted)) {
            name_process(entry->d_name, out, size);
            break;
        }
    }
    if (proc != NULL)
        closedir(proc);
}
