# DKV_WARNINGS: keeps the warning flags that this compiler knows, in DKV_WARNINGS.
# --enable-werror turns them into errors, as CI does.
AC_DEFUN([_DKV_TRY_CFLAG],
[AC_MSG_CHECKING([whether $CC accepts $2])
dkv_saved_CFLAGS=$CFLAGS
CFLAGS="$CFLAGS -Werror $2"
AC_COMPILE_IFELSE([AC_LANG_PROGRAM()],
    [$1="$$1 $2"; AC_MSG_RESULT([yes])], [AC_MSG_RESULT([no])])
CFLAGS=$dkv_saved_CFLAGS
])

AC_DEFUN([DKV_WARNINGS],
[AC_ARG_ENABLE([werror], [AS_HELP_STRING([--enable-werror], [treat compiler warnings as errors])],
    [], [enable_werror=no])
m4_foreach_w([flag], [-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes
    -Wmissing-prototypes -Wformat=2 -Wundef -Wvla -Wpointer-arith -Wcast-align -Wwrite-strings
    -Wno-string-conversion],
    [_DKV_TRY_CFLAG([DKV_WARNING_CFLAGS], flag)])
AS_IF([test "x$enable_werror" = xyes], [DKV_WARNING_CFLAGS="$DKV_WARNING_CFLAGS -Werror"])
AC_SUBST([DKV_WARNING_CFLAGS])])
