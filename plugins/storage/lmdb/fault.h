/* Named points where a test interferes: DKV_LMDB_CRASH_AT=SITE:N in the environment makes the nth
 * pass through SITE end in SIGKILL, DKV_LMDB_PAUSE_AT=SITE holds each pass up for some
 * microseconds, so that a race that hides in a few instructions shows itself.  Compiled in with LMDB_FAULTS only, which the plugin
 * that gets installed never has. */
#ifndef LMDB_FAULT_H
#define LMDB_FAULT_H

#ifdef LMDB_FAULTS
void fault_point(const char *site);
#else
static inline void fault_point(const char *site)
{
    (void)site;
}
#endif

#endif
