#include "bench/load/stanzas.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

enum { KEY_MAX = 400 };

/* The text of a field, or "" where the stanza has none. */
static struct dkv_slice field(const char *stanza, size_t size, const char *name)
{
    size_t name_size = strlen(name);
    const char *end = stanza + size;

    for (const char *line = stanza; line < end;) {
        const char *line_end = memchr(line, '\n', (size_t)(end - line));

        if (line_end == NULL)
            line_end = end;
        if ((size_t)(line_end - line) > name_size && memcmp(line, name, name_size) == 0)
            return (struct dkv_slice){line + name_size, (size_t)(line_end - line) - name_size};
        line = line_end + 1;
    }
    return (struct dkv_slice){"", 0};
}

static char *make_key(const char *stanza, size_t size)
{
    struct dkv_slice name = field(stanza, size, "Package: ");
    struct dkv_slice version = field(stanza, size, "Version: ");
    struct dkv_slice architecture = field(stanza, size, "Architecture: ");
    struct buf key = {0};

    buf_add_text(&key, "deb/");
    buf_add(&key, name.data, name.len);
    buf_add_u8(&key, '/');
    buf_add(&key, version.data, version.len);
    buf_add_u8(&key, '/');
    buf_add(&key, architecture.data, architecture.len);
    if (key.len > KEY_MAX)
        key.len = KEY_MAX;
    buf_add_u8(&key, '\0');
    return (char *)key.data;
}

static void add(struct stanzas *stanzas, size_t *room, const char *text, size_t size)
{
    if (size == 0)
        return;
    if (stanzas->count == *room) {
        *room = *room == 0 ? 1024 : *room * 2;
        stanzas->items = xreallocarray(stanzas->items, *room, sizeof(*stanzas->items));
    }
    stanzas->items[stanzas->count++] =
        (struct stanza){make_key(text, size), (struct dkv_slice){text, size}};
    if (size > stanzas->value_max)
        stanzas->value_max = size;
}

static void split(struct stanzas *stanzas, const char *text, size_t size)
{
    const char *end = text + size;
    size_t room = 0;

    while (text < end) {
        const char *stop = memmem(text, (size_t)(end - text), "\n\n", 2);
        const char *next = stop == NULL ? end : stop + 2;

        if (stop == NULL)
            stop = end;
        add(stanzas, &room, text, (size_t)(stop - text));
        text = next;
        while (text < end && *text == '\n')
            text++;
    }
}

/* Where stanzas lie in the text is their order in the file. */
static int compare(const void *one, const void *two)
{
    const struct stanza *a = one, *b = two;
    int order = strcmp(a->key, b->key);

    if (order != 0)
        return order;
    return (const char *)a->value.data < (const char *)b->value.data ? -1 : 1;
}

static int compare_key(const void *key, const void *item)
{
    return strcmp(key, ((const struct stanza *)item)->key);
}

static void number_duplicates(struct stanzas *stanzas)
{
    for (size_t i = 0; i < stanzas->count;) {
        size_t same = i + 1;

        while (same < stanzas->count &&
               strcmp(stanzas->items[i].key, stanzas->items[same].key) == 0) {
            struct buf key = {0};

            buf_addf(&key, "%s#%zu", stanzas->items[same].key, same - i + 1);
            buf_add_u8(&key, '\0');
            free(stanzas->items[same].key);
            stanzas->items[same].key = (char *)key.data;
            same++;
        }
        i = same;
    }
}

int stanzas_read(struct stanzas *stanzas, FILE *from)
{
    struct buf text = {0};
    size_t got;

    *stanzas = (struct stanzas){0};
    do {
        got = fread(buf_reserve(&text, 1 << 20), 1, 1 << 20, from);
        text.len += got;
    } while (got > 0);
    if (ferror(from)) {
        buf_fini(&text);
        return -1;
    }
    stanzas->text = (char *)text.data;
    split(stanzas, stanzas->text, text.len);
    if (stanzas->count == 0) {
        stanzas_fini(stanzas);
        errno = ENODATA;
        return -1;
    }
    qsort(stanzas->items, stanzas->count, sizeof(*stanzas->items), compare);
    number_duplicates(stanzas);
    qsort(stanzas->items, stanzas->count, sizeof(*stanzas->items), compare);
    return 0;
}

const struct stanza *stanzas_find(const struct stanzas *stanzas, const char *key)
{
    return bsearch(key, stanzas->items, stanzas->count, sizeof(*stanzas->items), compare_key);
}

void stanzas_fini(struct stanzas *stanzas)
{
    for (size_t i = 0; i < stanzas->count; i++)
        free(stanzas->items[i].key);
    free(stanzas->items);
    free(stanzas->text);
    *stanzas = (struct stanzas){0};
}
