# DKV_SANITIZER: --with-sanitizer=address,undefined or =thread.
# DKV_FUZZER: --with-fuzzer builds tests/fuzz against libFuzzer (clang only); without it the
# same targets are small programs that replay their corpus in `make check`.
AC_DEFUN([DKV_SANITIZER],
[AC_ARG_WITH([sanitizer],
    [AS_HELP_STRING([--with-sanitizer=LIST], [build with -fsanitize=LIST, for example address,undefined or thread])],
    [], [with_sanitizer=no])
AS_IF([test "x$with_sanitizer" = xyes], [with_sanitizer=address,undefined])
AS_IF([test "x$with_sanitizer" != xno], [
    DKV_SANITIZER_FLAGS="-fsanitize=$with_sanitizer -fno-sanitize-recover=all -fno-omit-frame-pointer"
    dkv_saved_CFLAGS=$CFLAGS
    CFLAGS="$CFLAGS $DKV_SANITIZER_FLAGS"
    AC_MSG_CHECKING([whether $CC links with $DKV_SANITIZER_FLAGS])
    AC_LINK_IFELSE([AC_LANG_PROGRAM()], [AC_MSG_RESULT([yes])],
        [AC_MSG_RESULT([no])
         AC_MSG_ERROR([$CC cannot link with -fsanitize=$with_sanitizer; gcc needs libasan/libubsan/libtsan, clang needs libclang-rt-dev])])
    CFLAGS=$dkv_saved_CFLAGS
    AC_DEFINE([DKV_SANITIZED], [1], [built with a sanitizer])
])
# A sanitized plugin finds the sanitizer's symbols in the program, so -z defs cannot hold.
AS_IF([test "x$with_sanitizer" = xno && test "x${with_fuzzer:-no}" = xno], [DKV_NO_UNDEFINED="-Wl,-z,defs"])
AC_SUBST([DKV_NO_UNDEFINED])
AC_SUBST([DKV_SANITIZER_FLAGS])])

AC_DEFUN([DKV_FUZZER],
[AC_ARG_WITH([fuzzer], [AS_HELP_STRING([--with-fuzzer], [build the fuzz targets with libFuzzer (needs CC=clang)])],
    [], [with_fuzzer=no])
AS_IF([test "x$with_fuzzer" = xyes], [
    dkv_saved_CFLAGS=$CFLAGS
    CFLAGS="$CFLAGS -fsanitize=fuzzer-no-link"
    AC_MSG_CHECKING([whether $CC has libFuzzer])
    AC_LINK_IFELSE([AC_LANG_PROGRAM()], [AC_MSG_RESULT([yes])],
        [AC_MSG_RESULT([no]); AC_MSG_ERROR([--with-fuzzer needs CC=clang and libclang-rt-dev])])
    CFLAGS=$dkv_saved_CFLAGS
    DKV_FUZZER_CFLAGS="-fsanitize=fuzzer-no-link"
    DKV_FUZZER_LDFLAGS="-fsanitize=fuzzer"
])
AM_CONDITIONAL([WITH_FUZZER], [test "x$with_fuzzer" = xyes])
AC_SUBST([DKV_FUZZER_CFLAGS])
AC_SUBST([DKV_FUZZER_LDFLAGS])])
