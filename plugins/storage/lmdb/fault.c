#include "fault.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAUSE_US 20

static pthread_mutex_t fault_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned long passes;

static void crash_point(const char *site)
{
    const char *spec = getenv("DKV_LMDB_CRASH_AT");
    const char *colon = spec != NULL ? strchr(spec, ':') : NULL;
    unsigned long pass;

    if (colon == NULL || strlen(site) != (size_t)(colon - spec) ||
        strncmp(spec, site, (size_t)(colon - spec)) != 0)
        return;
    pthread_mutex_lock(&fault_lock);
    pass = ++passes;
    pthread_mutex_unlock(&fault_lock);
    if (pass == strtoul(colon + 1, NULL, 10))
        (void)raise(SIGKILL);
}

void fault_point(const char *site)
{
    const char *pause_at = getenv("DKV_LMDB_PAUSE_AT");

    if (pause_at != NULL && strcmp(pause_at, site) == 0)
        (void)usleep(PAUSE_US);
    crash_point(site);
}
