# DKV_DEPENDENCY(VARIABLE, PKG-CONFIG MODULES, DEBIAN PACKAGE, FEDORA PACKAGE)
#
# Looks for a library and only takes note when it is absent, so that
# DKV_CHECK_DEPENDENCIES can name every missing package at once.
AC_DEFUN([DKV_DEPENDENCY],
[PKG_CHECK_MODULES([$1], [$2], [], [
    dkv_missing="$dkv_missing
    $2: $3 on Debian, $4 on Fedora"
    dkv_missing_debian="$dkv_missing_debian $3"
    dkv_missing_fedora="$dkv_missing_fedora $4"
])])

AC_DEFUN([DKV_CHECK_DEPENDENCIES],
[AS_IF([test -n "$dkv_missing"], [AC_MSG_ERROR([these libraries are missing:
$dkv_missing

  Debian, Ubuntu: apt-get install$dkv_missing_debian
  Fedora:         dnf install$dkv_missing_fedora
])])])
