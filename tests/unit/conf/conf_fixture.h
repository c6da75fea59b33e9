/* A folder of its own for each test, with the working directory in it, so that paths in messages
 * are short; and conf_load with the report as text. */
#ifndef TESTS_CONF_FIXTURE_H
#define TESTS_CONF_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "conf/conf.h"

struct fixture {
    char dir[64];
    struct conf_input input;
    struct conf *conf;
    char *report;
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));

    strcpy(f->dir, "/tmp/dkv-conf-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    assert_int_equal(chdir(f->dir), 0);
    f->input.path = "dkv.conf";
    f->input.host_name = "box.example.org";
    *state = f;
    return 0;
}

static void forget(struct fixture *f)
{
    conf_free(&f->conf);
    free(f->report);
    f->report = NULL;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char command[192];

    forget(f);
    snprintf(command, sizeof(command), "chmod -R u+rwx %s; rm -rf %s", f->dir, f->dir);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

static void write_bytes(const char *path, const void *data, size_t len)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static inline void write_text(const char *path, const char *text)
{
    write_bytes(path, text, strlen(text));
}

/* Keeps the report in f->report. */
static struct conf *load(struct fixture *f)
{
    size_t len = 0;
    FILE *to;

    forget(f);
    to = open_memstream(&f->report, &len);
    assert_non_null(to);
    f->conf = conf_load(&f->input);
    conf_report(f->conf, to);
    assert_int_equal(fclose(to), 0);
    return f->conf;
}

static inline const struct settings *load_good(struct fixture *f, const char *text)
{
    write_text("dkv.conf", text);
    load(f);
    assert_string_equal(f->report, "");
    assert_false(conf_failed(f->conf));
    return conf_settings(f->conf);
}

static inline void load_bad(struct fixture *f, const char *text, const char *report)
{
    write_text("dkv.conf", text);
    load(f);
    assert_string_equal(f->report, report);
    assert_true(conf_failed(f->conf));
}

#endif
