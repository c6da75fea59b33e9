#include "kv/reader.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/mem.h"

struct kv_reader {
    struct dkv_store *store;
    struct dkv_reader *reader;
};

int kv_reader_open(struct dkv_store *store, struct event_base *base, struct kv_reader **reader_out,
                   struct dkv_error *err)
{
    struct dkv_reader *reader;
    int status = store->ops->reader_open(store, base, &reader, err);

    if (status != DKV_OK)
        return status;
    *reader_out = xmalloc(sizeof(**reader_out));
    **reader_out = (struct kv_reader){.store = store, .reader = reader};
    return DKV_OK;
}

void kv_reader_close(struct kv_reader **reader)
{
    if (*reader == NULL)
        return;
    (*reader)->store->ops->reader_close((*reader)->reader);
    free(*reader);
    *reader = NULL;
}

static struct dkv_slice stored_key(uint8_t *to, struct dkv_slice key)
{
    dkv_assert(key.len <= KV_KEY_BYTES_MAX);
    to[0] = KV_SPACE_USER;
    if (key.len > 0)
        memcpy(to + 1, key.data, key.len);
    return (struct dkv_slice){to, 1 + key.len};
}

static int get_emit(struct dkv_read *read, struct dkv_slice key, struct dkv_slice value)
{
    struct kv_get *get = container_of(read, struct kv_get, op.read);
    struct kv_record record;

    (void)key;
    get->status = kv_record_decode(value, &record);
    if (get->status == DKV_OK)
        get->found(get, &record);
    return 0;
}

static void get_done(struct dkv_op *op, int status)
{
    struct kv_get *get = container_of(op, struct kv_get, op.read.op);

    get->done(get, status == DKV_OK ? get->status : status);
}

int kv_reader_get(struct kv_reader *reader, struct kv_get *get, struct dkv_slice key)
{
    int status;

    get->status = DKV_OK;
    get->op.read.emit = get_emit;
    get->op.read.op.done = get_done;
    get->op.key = stored_key(get->key, key);
    status = reader->store->ops->get(reader->reader, &get->op);
    return status == DKV_OK ? get->status : status;
}

static int list_emit(struct dkv_read *read, struct dkv_slice key, struct dkv_slice value)
{
    struct kv_list *list = container_of(read, struct kv_list, op.read);
    struct kv_record record;
    struct dkv_slice user_key = {(const uint8_t *)key.data + 1, key.len - 1};

    list->status = kv_record_decode(value, &record);
    if (list->status != DKV_OK)
        return 1;
    return list->item(list, user_key, &record);
}

static void list_done(struct dkv_op *op, int status)
{
    struct kv_list *list = container_of(op, struct kv_list, op.read.op);

    list->done(list, status == DKV_OK ? list->status : status);
}

int kv_reader_list(struct kv_reader *reader, struct kv_list *list, struct dkv_slice prefix,
                   struct dkv_slice after, uint64_t limit)
{
    const uint32_t needed = DKV_CAP_SCAN | DKV_CAP_ORDERED;
    int status;

    if ((reader->store->caps & needed) != needed)
        return DKV_ENOTSUP;
    list->status = DKV_OK;
    list->op.read.emit = list_emit;
    list->op.read.op.done = list_done;
    list->op.prefix = stored_key(list->prefix, prefix);
    list->op.after = after.len == 0 ? (struct dkv_slice){NULL, 0} : stored_key(list->after, after);
    list->op.limit = limit;
    status = reader->store->ops->scan(reader->reader, &list->op);
    return status == DKV_OK ? list->status : status;
}
