/* "Did you mean": the candidate nearest to a mistyped word, if one is near enough.
 *
 * Start with {.word = w}, offer every candidate, read best (NULL if none).  Pure; candidates are
 * borrowed. */
#ifndef CONF_SUGGEST_H
#define CONF_SUGGEST_H

#include <stddef.h>

struct suggest {
    const char *word;
    const char *best;
    size_t distance; /* of best */
};

void suggest_offer(struct suggest *suggest, const char *candidate);
/* Edits that make one word of the other: insert, delete, replace, swap neighbours; capital letters
 * count as small ones. */
size_t suggest_distance(const char *source, const char *target);

#endif
