/* Point reads and listings for one worker thread, over the storage plugin's reader.
 *
 * Everything belongs to the thread that opened the reader.  Reads see the newest applied state;
 * whether that is new enough is settled before (node's read barrier). */
#ifndef KV_READER_H
#define KV_READER_H

#include "dkv/storage.h"
#include "kv/command.h"
#include "kv/record.h"

struct kv_reader;

/* Borrows the store, which must outlive the reader. */
int kv_reader_open(struct dkv_store *store, struct event_base *base, struct kv_reader **reader_out,
                   struct dkv_error *err);
/* Pending reads complete with DKV_ECANCELED before it returns. */
void kv_reader_close(struct kv_reader **reader);

/* Caller-owned until it has completed.  found() is called at most once, before completion; the
 * record is borrowed until it returns. */
struct kv_get {
    void (*found)(struct kv_get *get, const struct kv_record *record);
    void (*done)(struct kv_get *get, int status); /* only after DKV_PENDING */
    struct dkv_get op;
    int status;
    uint8_t key[1 + KV_KEY_BYTES_MAX];
};

/* DKV_OK, DKV_ENOENT, DKV_PENDING (done() follows), or an error of the storage. */
int kv_reader_get(struct kv_reader *reader, struct kv_get *get, struct dkv_slice key);

/* Keys with a prefix, in byte order, after a key, at most `limit` (0 = all).  item() gets borrowed
 * slices and returns non-zero to stop early. */
struct kv_list {
    int (*item)(struct kv_list *list, struct dkv_slice key, const struct kv_record *record);
    void (*done)(struct kv_list *list, int status);
    struct dkv_scan op;
    int status;
    uint8_t prefix[1 + KV_KEY_BYTES_MAX];
    uint8_t after[1 + KV_KEY_BYTES_MAX];
};

/* DKV_ENOTSUP if the storage cannot list in byte order. */
int kv_reader_list(struct kv_reader *reader, struct kv_list *list, struct dkv_slice prefix,
                   struct dkv_slice after, uint64_t limit);

#endif
