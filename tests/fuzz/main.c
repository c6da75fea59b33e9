/* Replays a corpus in `make check`, where the fuzz targets are built without libFuzzer: every file
 * in tests/fuzz/corpus/NAME for the program fuzz_NAME, or the files given as arguments.  A target
 * that finds a fault ends the process, which the TAP driver sees. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define INPUT_MAX (16u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data, *exact;
    size_t len;

    if (file == NULL) {
        fprintf(stderr, "cannot open %s\n", path);
        return 1;
    }
    data = xmalloc(INPUT_MAX);
    len = fread(data, 1, INPUT_MAX, file);
    fclose(file);
    /* Of the exact size, so that a sanitizer sees a read behind the end. */
    exact = xmalloc(len);
    memcpy(exact, data, len);
    free(data);
    LLVMFuzzerTestOneInput(exact, len);
    free(exact);
    return 0;
}

static int is_input(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int replay_folder(const char *name)
{
    const char *source = getenv("DKV_SRCDIR");
    struct dirent **found = NULL;
    char path[4096];
    int count, failed = 0;

    snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", source == NULL ? "." : source, name);
    count = scandir(path, &found, is_input, alphasort);
    if (count <= 0) {
        fprintf(stderr, "no corpus in %s\n", path);
        return 1;
    }
    printf("1..%d\n", count);
    for (int i = 0; i < count; i++) {
        char file[4096 + 256];

        snprintf(file, sizeof(file), "%s/%s", path, found[i]->d_name);
        failed |= replay(file);
        printf("ok %d - %s\n", i + 1, found[i]->d_name);
        fflush(stdout);
        free(found[i]);
    }
    free(found);
    return failed;
}

int main(int argc, char **argv)
{
    const char *slash = strrchr(argv[0], '/');
    const char *name = strstr(slash == NULL ? argv[0] : slash, "fuzz_");
    int failed = 0;

    if (argc < 2)
        return replay_folder(name == NULL ? "" : name + strlen("fuzz_"));
    for (int i = 1; i < argc; i++)
        failed |= replay(argv[i]);
    return failed;
}
