#include "node/check_config.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "node/fs_kind.h"

static char *parent_of(const char *path)
{
    size_t size = strlen(path) + 1;
    char *parent = memcpy(xmalloc(size), path, size);
    char *slash;

    while ((slash = strrchr(parent, '/')) != NULL && slash != parent && slash[1] == '\0')
        *slash = '\0';
    if (slash != NULL)
        slash[slash == parent ? 1 : 0] = '\0';
    return parent;
}

/* A directory that is there.  Whoever checks need not be the user that will run dkvd. */
static bool is_directory(const char *what, const char *path, FILE *to)
{
    struct stat st;

    if (stat(path, &st) != 0)
        fprintf(to, "dkvd: %s: %s: %s\n", what, path, strerror(errno));
    else if (!S_ISDIR(st.st_mode))
        fprintf(to, "dkvd: %s: %s is no directory\n", what, path);
    else if (access(path, W_OK | X_OK) == 0)
        return true;
    else
        return fprintf(to, "dkvd: warning: %s: this user may not write to %s: %s\n", what, path,
                       strerror(errno)) > 0;
    return false;
}

static bool check_data_dir(const struct settings *s, FILE *to)
{
    char *parent = parent_of(s->node.data_dir);
    const char *path = access(s->node.data_dir, F_OK) == 0 ? s->node.data_dir : parent;
    bool is_good = is_directory("node.data_dir", path, to);
    struct fs_kind kind;

    if (is_good && fs_kind_of(path, &kind) && kind.is_unsafe && !s->node.allow_any_filesystem) {
        fprintf(to,
                "dkvd: node.data_dir: %s is on %s, which can lose acknowledged writes; choose a "
                "local disk, or set node.allow_any_filesystem = yes\n",
                path, kind.name);
        is_good = false;
    }
    free(parent);
    return is_good;
}

static bool check_log_file(const struct settings *s, FILE *to)
{
    char *parent;
    bool is_good;

    if (s->log.file == NULL || s->log.file[0] == '\0')
        return true;
    parent = parent_of(s->log.file);
    is_good = is_directory("log.file", parent, to);
    free(parent);
    return is_good;
}

static void check_name(const char *what, const char *host, FILE *to)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    int rc = getaddrinfo(host, NULL, &hints, &found);

    if (rc != 0)
        fprintf(to, "dkvd: warning: %s: %s cannot be resolved now: %s\n", what, host,
                gai_strerror(rc));
    else
        freeaddrinfo(found);
}

bool check_config_places(const struct settings *s, FILE *to)
{
    bool is_good = s->dev || check_data_dir(s, to);

    is_good = check_log_file(s, to) && is_good;
    for (size_t i = 0; i < s->cluster.peers.count; i++)
        check_name("cluster.peers", s->cluster.peers.items[i].address.host, to);
    for (size_t i = 0; i < s->http.listen.count; i++)
        check_name("http.listen", s->http.listen.items[i].host, to);
    return is_good;
}
