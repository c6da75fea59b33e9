/* Which files are read, and in what order. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "conf/internal.h"

/* Every complaint begins with its origin: what that is need not be named again. */
static const char *called(const char *path, const struct conf_origin *origin)
{
    bool is_itself =
        origin->layer == CONF_FILE && origin->line == 0 && strcmp(origin->name, path) == 0;

    return is_itself ? "the file" : path;
}

/* Gives what is in the file, NUL-terminated; NULL after complaining. */
static char *slurp_fd(struct conf *conf, int fd, const char *path, const struct conf_origin *origin,
                      size_t *len_out)
{
    char *text = xmalloc(CONF_FILE_MAX + 2);
    size_t len = 0;
    ssize_t got;

    do {
        got = read(fd, text + len, CONF_FILE_MAX + 1 - len);
        if (got > 0)
            len += (size_t)got;
    } while (len <= CONF_FILE_MAX && (got > 0 || (got < 0 && errno == EINTR)));
    if (got < 0)
        conf_error(conf, origin, "cannot read %s: %s", called(path, origin), strerror(errno));
    else if (len > CONF_FILE_MAX)
        conf_error(conf, origin, "%s is longer than %u bytes", called(path, origin), CONF_FILE_MAX);
    if (got < 0 || len > CONF_FILE_MAX) {
        free(text);
        return NULL;
    }
    text[len] = '\0';
    *len_out = len;
    return text;
}

char *conf__slurp(struct conf *conf, const char *path, const struct conf_origin *origin,
                  size_t *len_out)
{
    /* Not to hang on a FIFO that nobody writes to. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    char *text;

    if (fd < 0) {
        conf_error(conf, origin, "cannot open %s: %s", called(path, origin), strerror(errno));
        return NULL;
    }
    text = slurp_fd(conf, fd, path, origin, len_out);
    close(fd);
    return text;
}

/* The origin of complaints about the file as a whole is the line that includes it, or itself. */
static void read_one(struct conf *conf, const char *path, const struct conf_origin *includer,
                     const struct conf_scope *scope, const struct conf_reading *parent)
{
    struct conf_origin itself = {.layer = CONF_FILE, .name = conf__strdup(conf, path)};
    struct conf_reading reading = {.file = itself.name, .scope = *scope, .parent = parent};
    const struct conf_origin *origin = includer != NULL ? includer : &itself;
    size_t len = 0;
    char *text;

    reading.depth = parent == NULL ? 0 : parent->depth + 1;
    for (; parent != NULL; parent = parent->parent) {
        if (strcmp(parent->file, path) == 0) {
            conf_error(conf, origin, "%s includes itself", path);
            return;
        }
    }
    if (conf->files_count == CONF_FILES_MAX) {
        conf_error(conf, origin, "more than %u files", CONF_FILES_MAX);
        return;
    }
    conf->files[conf->files_count++] = itself.name;
    text = conf__slurp(conf, path, origin, &len);
    if (text != NULL)
        conf__parse(conf, &reading, text, len);
    free(text);
}

static const char *dir_of(struct conf *conf, const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? "" : conf__strndup(conf, path, (size_t)(slash - path) + 1);
}

/* The folder's own name is no pattern, whatever characters it has. */
static const char *glob_escape(struct conf *conf, const char *dir)
{
    char *escaped = conf__alloc(conf, 2 * strlen(dir) + 1);
    char *p = escaped;

    for (; *dir != '\0'; dir++) {
        if (strchr("*?[\\", *dir) != NULL)
            *p++ = '\\';
        *p++ = *dir;
    }
    return escaped;
}

/* A pattern that matches nothing is what an empty folder of drop-ins looks like: not an error. */
static void read_all(struct conf *conf, const char *dir, const char *pattern,
                     const struct conf_origin *includer, const struct conf_scope *scope,
                     const struct conf_reading *parent)
{
    glob_t found;

    if (glob(conf__printf(conf, "%s%s", glob_escape(conf, dir), pattern), 0, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc; i++)
        read_one(conf, found.gl_pathv[i], includer, scope, parent);
    globfree(&found);
}

void conf__include(struct conf *conf, const struct conf_item *pattern,
                   const struct conf_reading *reading)
{
    const char *dir = pattern->text[0] == '/' ? "" : dir_of(conf, reading->file);

    if (reading->depth == CONF_INCLUDE_DEPTH)
        conf_error(conf, &pattern->origin, "files include each other more than %u deep",
                   CONF_INCLUDE_DEPTH);
    else if (strpbrk(pattern->text, "*?[") != NULL)
        read_all(conf, dir, pattern->text, &pattern->origin, &reading->scope, reading);
    else
        read_one(conf, conf__printf(conf, "%s%s", dir, pattern->text), &pattern->origin,
                 &reading->scope, reading);
}

void conf__read_files(struct conf *conf, const char *path, bool may_be_absent)
{
    const char *drop_ins = conf__printf(conf, "%sconf.d", dir_of(conf, path));
    struct conf_origin origin = {.layer = CONF_FILE, .name = drop_ins};
    struct conf_scope scope = {0};

    if (!may_be_absent || access(path, F_OK) == 0 || errno != ENOENT) {
        read_one(conf, path, NULL, &scope, NULL);
        conf->main_file = conf->files[0];
    }
    if (access(drop_ins, R_OK | X_OK) != 0 && errno != ENOENT)
        conf_error(conf, &origin, "cannot read the folder: %s", strerror(errno));
    else
        read_all(conf, drop_ins, "/*.conf", NULL, &scope, NULL);
}
