# DKV_HARDENING: flags that make memory errors harder to exploit, on unless
# --disable-hardening or a sanitizer (which does the same job better) asks otherwise.
AC_DEFUN([DKV_HARDENING],
[AC_ARG_ENABLE([hardening], [AS_HELP_STRING([--disable-hardening], [leave out the hardening flags])],
    [], [enable_hardening=yes])
AS_IF([test "x$enable_hardening" = xyes && test "x${with_sanitizer:-no}" = xno], [
    m4_foreach_w([flag], [-fstack-protector-strong -fstack-clash-protection -fcf-protection
        -fno-strict-overflow -ftrivial-auto-var-init=zero],
        [_DKV_TRY_CFLAG([DKV_HARDENING_CFLAGS], flag)])
    AS_CASE([" $CFLAGS "],
        [*" -O0 "*], [],
        [*" -O"*], [DKV_HARDENING_CPPFLAGS="-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3"])
    DKV_HARDENING_LDFLAGS="-Wl,-z,relro -Wl,-z,now"
    DKV_PIE_CFLAGS="-fPIE"
    DKV_PIE_LDFLAGS="-pie"
])
AC_SUBST([DKV_HARDENING_CFLAGS])
AC_SUBST([DKV_HARDENING_CPPFLAGS])
AC_SUBST([DKV_HARDENING_LDFLAGS])
AC_SUBST([DKV_PIE_CFLAGS])
AC_SUBST([DKV_PIE_LDFLAGS])])
