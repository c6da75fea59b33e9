/* Any bytes as dkv.conf: must end, in order, with settings or with errors.  Includes are switched
 * off, so that a run depends on its input only. */
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "conf/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was accepted must be accepted again from its own dump. */
static void check_dump(struct conf *conf, const struct conf_input *input)
{
    struct conf_reading reading = {.file = "dump", .depth = CONF_INCLUDE_DEPTH};
    struct conf *again;
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);

    conf_dump(conf, CONF_INI, NULL, NULL, to);
    fclose(to);
    again = conf__new(input);
    conf__parse(again, &reading, text, len);
    conf__finish(again);
    dkv_assert(!conf_failed(again));
    conf_free(&again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const ENVIRONMENT[] = {"CREDENTIALS_DIRECTORY=/run/credentials/dkvd", NULL};
    const struct conf_input input = {.environment = ENVIRONMENT, .host_name = "fuzz"};
    struct conf_reading reading = {.file = "fuzz.conf", .depth = CONF_INCLUDE_DEPTH};
    char *text = xstrndup((const char *)data, size);
    char *report = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&report, &len);
    struct conf *conf = conf__new(&input);

    conf__parse(conf, &reading, text, size);
    conf__finish(conf);
    conf_report(conf, to);
    fclose(to);
    dkv_assert(!conf_failed(conf) || len != 0);
    if (!conf_failed(conf))
        check_dump(conf, &input);
    conf_free(&conf);
    free(report);
    free(text);
    return 0;
}
