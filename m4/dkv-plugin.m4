# DKV_PLUGIN(KIND, NAME, [VARIABLE, PKG-CONFIG MODULES, DEBIAN PACKAGE, FEDORA PACKAGE])
#
# Gives --with-KIND-NAME=yes|no|auto (auto: built if its library is there) and the
# automake conditional PLUGIN_KIND_NAME (upper case).
AC_DEFUN([DKV_PLUGIN],
[AC_ARG_WITH([$1-$2],
    [AS_HELP_STRING([--with-$1-$2=yes|no|auto], [build the $1 plugin $2 (default: yes)])],
    [], [with_$1_$2=yes])
m4_ifval([$3], [
AS_IF([test "x$with_$1_$2" != xno], [
    PKG_CHECK_MODULES([$3], [$4], [with_$1_$2=yes], [
        AS_IF([test "x$with_$1_$2" = xauto], [with_$1_$2=no], [
            dkv_missing="$dkv_missing
    $4: $5 on Debian, $6 on Fedora (or --without-$1-$2)"
            dkv_missing_debian="$dkv_missing_debian $5"
            dkv_missing_fedora="$dkv_missing_fedora $6"
        ])])])], [
AS_IF([test "x$with_$1_$2" = xauto], [with_$1_$2=yes])])
AM_CONDITIONAL(m4_toupper([PLUGIN_$1_$2]), [test "x$with_$1_$2" = xyes])
AS_IF([test "x$with_$1_$2" = xyes],
    [dkv_plugins="$dkv_plugins $1/$2"],
    [dkv_plugins_off="$dkv_plugins_off $1/$2"])
])
