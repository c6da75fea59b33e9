/* A file of stanzas separated by empty lines, such as the output of `apt-cache dumpavail`, as
 * records: the key is made of the fields Package, Version and Architecture, the value is the stanza.
 * Stanzas with the same key are told apart by #2, #3, ... in the order of the file. */
#ifndef LOAD_STANZAS_H
#define LOAD_STANZAS_H

#include <stddef.h>
#include <stdio.h>

#include "dkv/types.h"

struct stanza {
    char *key;
    struct dkv_slice value; /* borrowed from the text */
};

struct stanzas {
    char *text;
    struct stanza *items; /* sorted by key */
    size_t count, value_max;
};

/* 0, or -1 with errno. */
int stanzas_read(struct stanzas *stanzas_out, FILE *from);
const struct stanza *stanzas_find(const struct stanzas *stanzas, const char *key);
void stanzas_fini(struct stanzas *stanzas);

#endif
