#include "store.h"

void gate_close(struct lmdb_store *store)
{
    for (struct lmdb_reader *reader = store->readers; reader != NULL; reader = reader->next)
        pthread_mutex_lock(&reader->lock);
}

void gate_open(struct lmdb_store *store)
{
    for (struct lmdb_reader *reader = store->readers; reader != NULL; reader = reader->next)
        pthread_mutex_unlock(&reader->lock);
}
