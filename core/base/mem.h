/* Memory.  The x family is for bookkeeping and ends the process when memory is out, because no
 * caller could do anything sensible.  mem_try is for memory whose size a client or a peer chose:
 * the caller has checked it against a configured limit and answers DKV_ENOMEM when it is NULL. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *old, size_t size);
void *xreallocarray(void *old, size_t count, size_t size);
char *xstrdup(const char *text);
char *xstrndup(const char *text, size_t len);
void *mem_try(size_t size); /* freed with free() */

#endif
