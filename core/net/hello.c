#include "net/hello.h"

#include <string.h>

void net_text_encode(struct buf *to, const char *text)
{
    size_t len = strlen(text);

    buf_add_u16(to, (uint16_t)len);
    buf_add(to, text, len);
}

bool net_text_decode(struct decoder *d, char *to, size_t size)
{
    size_t len = decoder_u16(d);
    const uint8_t *bytes = decoder_bytes(d, len);

    if (d->failed || len >= size || memchr(bytes, 0, len) != NULL) {
        d->failed = true;
        return false;
    }
    memcpy(to, bytes, len);
    to[len] = '\0';
    return true;
}

void net_hello_encode(struct buf *to, const struct net_hello *hello)
{
    buf_add_u32(to, hello->features);
    buf_add(to, hello->cluster_id, sizeof(hello->cluster_id));
    buf_add_u64(to, hello->from);
    buf_add_u64(to, hello->to);
    buf_add_u64(to, hello->incarnation);
    net_text_encode(to, hello->name);
    net_text_encode(to, hello->http);
    net_text_encode(to, hello->storage);
    buf_add_u16(to, (uint16_t)hello->known_count);
    for (uint32_t i = 0; i < hello->known_count; i++) {
        buf_add_u64(to, hello->known[i].id);
        buf_add_u64(to, hello->known[i].incarnation);
    }
}

/* Bytes after the known fields are a later version's and are ignored. */
int net_hello_decode(const uint8_t *data, size_t len, struct net_hello *hello_out)
{
    struct decoder d;
    struct net_hello h;
    const uint8_t *id;

    decoder_init(&d, data, len);
    memset(&h, 0, sizeof(h));
    h.features = decoder_u32(&d);
    id = decoder_bytes(&d, sizeof(h.cluster_id));
    if (id != NULL)
        memcpy(h.cluster_id, id, sizeof(h.cluster_id));
    h.from = decoder_u64(&d);
    h.to = decoder_u64(&d);
    h.incarnation = decoder_u64(&d);
    (void)net_text_decode(&d, h.name, sizeof(h.name));
    (void)net_text_decode(&d, h.http, sizeof(h.http));
    (void)net_text_decode(&d, h.storage, sizeof(h.storage));
    h.known_count = decoder_u16(&d);
    if (h.known_count > NET_KNOWN_MAX)
        return DKV_EINVAL;
    for (uint32_t i = 0; i < h.known_count; i++) {
        h.known[i].id = decoder_u64(&d);
        h.known[i].incarnation = decoder_u64(&d);
    }
    if (d.failed)
        return DKV_EINVAL;
    *hello_out = h;
    return DKV_OK;
}

void net_hello_answer_encode(struct buf *to, const struct net_hello_answer *answer)
{
    buf_add_u32(to, answer->verdict);
    net_text_encode(to, answer->why);
}

int net_hello_answer_decode(const uint8_t *data, size_t len, struct net_hello_answer *answer_out)
{
    struct decoder d;

    decoder_init(&d, data, len);
    answer_out->verdict = decoder_u32(&d);
    (void)net_text_decode(&d, answer_out->why, sizeof(answer_out->why));
    return d.failed ? DKV_EINVAL : DKV_OK;
}
