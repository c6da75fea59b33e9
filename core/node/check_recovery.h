/* `dkvd --check-recovery DIR`: what a start would make of a data directory.  Reads only, so it may
 * be used on a copy or beside nothing else; a process of its own. */
#ifndef NODE_CHECK_RECOVERY_H
#define NODE_CHECK_RECOVERY_H

#include <stdio.h>

/* Prints the verdict; gives the exit code that a start would end with, 0 if it would go on. */
int check_recovery(const char *data_dir, FILE *to);

#endif
