/* What the loader refuses, and with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "plugin/loader.h"

static void refused(const char *folder, const char *name, uint32_t kind, int status,
                    const char *text)
{
    struct plugin *plugin = NULL;
    struct dkv_error err = {0};

    assert_int_equal(plugin_load(folder, name, kind, &plugin, &err), status);
    assert_null(plugin);
    if (strstr(err.text, text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.text, text);
}

static void a_name_with_a_path_in_it_is_refused(void **state)
{
    (void)state;
    refused(plugin_folder(), "../memory", 0, DKV_EINVAL, "not the name of a plugin");
    refused(plugin_folder(), "", 0, DKV_EINVAL, "not the name of a plugin");
    refused(plugin_folder(), "Memory", 0, DKV_EINVAL, "not the name of a plugin");
    refused(plugin_folder(), "a23456789012345678901234567890123", 0, DKV_EINVAL,
            "not the name of a plugin");
}

static void an_absent_plugin_is_answered_with_those_that_are_there(void **state)
{
    (void)state;
    refused(plugin_folder(), "nosuch", 0, DKV_ENOENT, "bad_caps");
}

static void one_plugin_after_another_gives_each_its_own(void **state)
{
    struct plugin *memory, *tcp;
    struct dkv_error err = {0};

    (void)state;
    assert_int_equal(plugin_load(plugin_folder(), "memory", 0, &memory, &err), DKV_OK);
    assert_int_equal(plugin_load(plugin_folder(), "tcp", 0, &tcp, &err), DKV_OK);
    assert_string_equal(memory->descriptor->name, "memory");
    assert_string_equal(tcp->descriptor->name, "tcp");
    plugin_free(&memory);
    plugin_free(&tcp);
}

static void a_plugin_of_the_wrong_kind_is_refused(void **state)
{
    (void)state;
    refused(plugin_folder(), "tcp", DKV_PLUGIN_STORAGE, DKV_EINVAL,
            "tcp is a transport plugin, but the section asks for a storage plugin");
}

static void a_plugin_that_does_not_fit_is_refused_with_both_sides(void **state)
{
    const char *folder = plugin_folder();

    (void)state;
    refused(folder, "bad_symbol", 0, DKV_EINVAL, "not a dkv plugin: no symbol dkv_plugin");
    refused(folder, "bad_magic", 0, DKV_EINVAL, "is not a dkv descriptor (magic 0x12345678");
    refused(folder, "bad_newer_minor", 0, DKV_EINVAL,
            "built for plugin ABI 1.1, this daemon has 1.0; rebuild the plugin");
    refused(folder, "bad_newer_major", 0, DKV_EINVAL,
            "built for plugin ABI 2.0, this daemon has 1.0; rebuild the plugin");
    refused(folder, "bad_libevent", 0, DKV_EINVAL, "rebuild the plugin");
    refused(folder, "bad_libevent", 0, DKV_EINVAL, "built with libevent 0x");
    refused(folder, "bad_transport", 0, DKV_EINVAL, "transport plugin lacks close()");
    refused(folder, "bad_no_name", 0, DKV_EINVAL, "plugin is named \"\", but the section asks");
    refused(folder, "bad_no_name", DKV_PLUGIN_TRANSPORT, DKV_EINVAL,
            "this is a storage plugin, but the section asks for a transport plugin");
    refused(folder, "bad_slot", 0, DKV_EINVAL, "storage plugin lacks open()");
    refused(folder, "bad_name", 0, DKV_EINVAL,
            "plugin is named \"good_name\", but the section asks for \"bad_name\"");
}

static void copy_plugin(const char *folder, const char *name, const char *as, char *path_out,
                        size_t size)
{
    char from[4096];
    char bytes[65536];
    size_t len;
    FILE *source, *target;

    snprintf(from, sizeof(from), "%s/%s.so", plugin_folder(), name);
    snprintf(path_out, size, "%s/%s.so", folder, as);
    source = fopen(from, "rb");
    target = fopen(path_out, "wb");
    assert_true(source != NULL && target != NULL);
    while ((len = fread(bytes, 1, sizeof(bytes), source)) > 0)
        assert_int_equal(fwrite(bytes, 1, len, target), len);
    fclose(source);
    fclose(target);
}

static void a_folder_or_file_that_others_may_write_is_refused(void **state)
{
    char folder[] = "/tmp/dkv-loader-XXXXXX", path[4096], other[4096];
    struct plugin *plugin;
    struct dkv_error err = {0};

    (void)state;
    assert_non_null(mkdtemp(folder));
    copy_plugin(folder, "memory", "memory", path, sizeof(path));
    copy_plugin(folder, "memory", "other", other, sizeof(other));
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(chmod(other, 0644), 0);
    assert_int_equal(plugin_load(folder, "memory", 0, &plugin, &err), DKV_OK);
    plugin_free(&plugin);
    refused(folder, "other", 0, DKV_EINVAL,
            "plugin is named \"memory\", but the section asks for \"other\"");
    assert_int_equal(chmod(path, 0664), 0);
    refused(folder, "memory", 0, DKV_EPERM, "memory.so: writable by others (mode 0664)");
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(chmod(folder, 0777), 0);
    refused(folder, "memory", 0, DKV_EPERM, "writable by others (mode 0777)");
    unlink(path);
    unlink(other);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(chmod(folder, 0700), 0);
    refused(folder, "memory", 0, DKV_EPERM, "not a regular file");
    rmdir(path);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_with_a_path_in_it_is_refused),
        cmocka_unit_test(an_absent_plugin_is_answered_with_those_that_are_there),
        cmocka_unit_test(one_plugin_after_another_gives_each_its_own),
        cmocka_unit_test(a_plugin_that_does_not_fit_is_refused_with_both_sides),
        cmocka_unit_test(a_plugin_of_the_wrong_kind_is_refused),
        cmocka_unit_test(a_folder_or_file_that_others_may_write_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
