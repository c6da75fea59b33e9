/* Exit codes of dkvd, after sysexits.h, so that a supervisor can tell what a restart may cure.
 *
 * Documented in dkvd(8); the unit file's RestartPreventExitStatus= names those that it cannot. */
#ifndef BASE_EXIT_CODES_H
#define BASE_EXIT_CODES_H

enum exit_code {
    EXIT_CODE_OK = 0,
    EXIT_CODE_USAGE = 64,       /* the command line is wrong */
    EXIT_CODE_DATA = 65,        /* data of another cluster or node, or of a newer format */
    EXIT_CODE_UNAVAILABLE = 69, /* an address is in use, or something needed does not answer */
    EXIT_CODE_DAMAGE = 70,      /* local data is damaged and needs an operator */
    EXIT_CODE_LIMIT = 71,       /* a limit of the system: open files, threads, memory */
    EXIT_CODE_IO = 74,          /* a write or a sync failed; nothing is retried */
    EXIT_CODE_PERMISSION = 77,  /* not allowed by file modes or the kernel */
    EXIT_CODE_CONFIG = 78       /* the configuration is wrong */
};

#endif
