/* SIGHUP: the configuration is read again, beside the loop.  What can change without a restart does;
 * the log says what did, what waits for a restart, and, if nothing changed, what is wrong. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/notify.h"
#include "node/node_private.h"

enum { ERRORS_SHOWN_MAX = 8, NAMES_MAX = 400 };

/* --- what is wrong with it --- */

static char *report_of(struct conf *conf)
{
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);

    dkv_assert(to != NULL);
    conf_report(conf, to);
    (void)fclose(to);
    return text;
}

/* As --check-config prints it, which shows all of it if this is too much for a log. */
static void tell_errors(struct conf *conf)
{
    char *report = report_of(conf), *rest = report, *line;

    for (int i = 0; i < ERRORS_SHOWN_MAX && (line = strsep(&rest, "\n")) != NULL; i++) {
        if (*line != '\0')
            log_error("conf", "conf.error", "configuration", LOG_STR("text", line), LOG_END);
    }
    log_error("conf", "conf.rejected",
              "the configuration that was read again is wrong, the one in force stays; dkvd "
              "--check-config shows all that is wrong",
              LOG_END);
    free(report);
}

/* --- what is different --- */

struct names {
    char text[NAMES_MAX];
    bool wants_reloadable;
};

static void add_name(void *ctx, const char *key, bool is_reloadable)
{
    static const char MORE[] = ", ...";
    struct names *names = ctx;
    size_t used = strlen(names->text), room = sizeof(names->text) - used;

    if (is_reloadable != names->wants_reloadable)
        return;
    if (strlen(key) + 2 + sizeof(MORE) <= room)
        snprintf(names->text + used, room, "%s%s", used == 0 ? "" : ", ", key);
    else if (used < sizeof(MORE) || strcmp(names->text + used - strlen(MORE), MORE) != 0)
        snprintf(names->text + used, room, "%s", MORE);
}

static void adopt_settings(struct node *n, const struct settings *s)
{
    const struct rest_limits rest = rest_limits_of(s);
    const struct replica_limits replica = {.request_timeout_us = s->http.request_timeout_us,
                                           .slow_request_us = s->log.slow_request_us,
                                           .log_bytes_max = s->snapshot.log_size,
                                           .log_keep_bytes = s->snapshot.keep_size};

    replica_set_limits(n->replica, &replica);
    if (n->rest != NULL)
        rest_set_limits(n->rest, &rest);
    for (size_t i = 0; i < n->workers_count; i++)
        worker_set_limits(n->workers[i], &rest);
}

static void tell_changes(const struct names *applied, const struct names *waiting)
{
    const char *done = applied->text[0] == '\0' ? NULL : applied->text;

    if (waiting->text[0] != '\0')
        log_warn("conf", "conf.reloaded",
                 "the configuration was read again; some of it needs a restart",
                 LOG_STR("applied", done), LOG_STR("needs_restart", waiting->text), LOG_END);
    else
        log_info("conf", "conf.reloaded", "the configuration was read again",
                 LOG_STR("applied", done), LOG_END);
}

/* What needs a restart is told until there was one. */
static void adopt(struct node *n, struct conf *conf)
{
    struct conf *before = n->latest != NULL ? n->latest : n->conf;
    enum log_level level = conf_settings(conf)->log.level;
    struct names applied = {.wants_reloadable = true}, waiting = {.wants_reloadable = false};

    conf_diff(before, conf, add_name, &applied);
    conf_diff(n->conf, conf, add_name, &waiting);
    adopt_settings(n, conf_settings(conf));
    if (level < conf_settings(before)->log.level)
        (void)log_set_level(NULL, level);
    tell_changes(&applied, &waiting);
    (void)log_set_level(NULL, level);
    conf_free(&n->latest);
    n->latest = conf;
}

/* --- reading it: a disk that hangs must not stop the loop --- */

static void reload_work(struct env_job *job)
{
    struct node *n = container_of(job, struct node, reload_job);

    n->reload_conf = n->source->load(n->source->ctx);
}

static void reload_done(struct env_job *job)
{
    struct node *n = container_of(job, struct node, reload_job);
    struct conf *conf = n->reload_conf;

    n->reload_conf = NULL;
    n->reload_is_busy = false;
    if (conf_failed(conf)) {
        tell_errors(conf);
        conf_free(&conf);
    } else {
        adopt(n, conf);
    }
    if (n->stop == NODE_RUNNING)
        notify_ready();
    if (n->reload_is_wanted)
        node__reload(n);
}

void node__reload(struct node *n)
{
    struct env *env = daemon_env_base(n->env);

    n->reload_is_wanted = n->reload_is_busy;
    if (n->reload_is_busy || n->stop != NODE_RUNNING)
        return;
    n->reload_is_busy = true;
    n->reload_job = (struct env_job){.work = reload_work, .done = reload_done};
    notify_reloading();
    env->ops->submit(env, ENV_QUEUE_NAMES, &n->reload_job);
}
