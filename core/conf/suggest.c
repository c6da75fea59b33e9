#include "conf/suggest.h"

#include <stdint.h>
#include <string.h>

#define WORD_MAX 64 /* longer words are nobody's typing mistake */

static char small(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t suggest_distance(const char *source, const char *target)
{
    size_t source_len = strlen(source), target_len = strlen(target);
    /* Rows i-2, i-1 and i of the table: swapping neighbours looks two rows back. */
    size_t rows[3][WORD_MAX + 1];

    if (source_len > WORD_MAX || target_len > WORD_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= target_len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= source_len; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];

        row[0] = i;
        for (size_t j = 1; j <= target_len; j++) {
            char s = small(source[i - 1]), t = small(target[j - 1]);

            row[j] = least(least(above[j] + 1, row[j - 1] + 1), above[j - 1] + (s != t));
            if (i > 1 && j > 1 && s == small(target[j - 2]) && small(source[i - 2]) == t)
                row[j] = least(row[j], above2[j - 2] + 1);
        }
    }
    return rows[source_len % 3][target_len];
}

void suggest_offer(struct suggest *suggest, const char *candidate)
{
    size_t len = strlen(suggest->word);
    size_t limit = len < 4 ? 1 : len < 8 ? 2 : 3;
    size_t distance = suggest_distance(suggest->word, candidate);

    if (distance > limit || (suggest->best != NULL && distance >= suggest->distance))
        return;
    suggest->best = candidate;
    suggest->distance = distance;
}
