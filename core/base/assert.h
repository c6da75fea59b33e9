/* Assertions that stay on in every build.
 *
 * dkv_assert is for programmer errors: pre- and postconditions, one property each.  It is never
 * used for input from disk, network, client or plugin; those are errors and get an answer. */
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

_Noreturn void dkv_panic(const char *file, int line, const char *condition);

/* Called once from dkv_panic, before abort(); prints the state of whoever registered it. */
void dkv_panic_hook(void (*hook)(void *ctx), void *ctx);

#define dkv_assert(condition) ((condition) ? (void)0 : dkv_panic(__FILE__, __LINE__, #condition))

#endif
