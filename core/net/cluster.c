#include "net/cluster.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"

/* Restarted peers leave half-open connections behind for a while. */
enum { INBOUND_PER_PEER = 4, INBOUND_OTHERS = 8 };

struct peer {
    uint64_t id;
    struct link *link;
    uint64_t dropped;
};

struct cluster {
    struct cluster_config config;
    struct inbound *inbound;
    struct peer peers[NET_PEERS_MAX];
    uint32_t count;
};

static void on_link_note(void *ctx, uint64_t peer_id, const char *text)
{
    struct cluster *cluster = ctx;

    (void)peer_id;
    cluster->config.note(cluster->config.ctx, text);
}

static void on_ready(void *ctx, uint64_t peer_id)
{
    struct cluster *cluster = ctx;

    cluster->config.ready(cluster->config.ctx, peer_id);
}

static void on_lost(void *ctx, uint64_t peer_id)
{
    struct cluster *cluster = ctx;

    cluster->config.lost(cluster->config.ctx, peer_id);
}

static void on_refused(void *ctx, uint64_t peer_id, const struct net_hello_answer *answer)
{
    struct cluster *cluster = ctx;

    cluster->config.refused(cluster->config.ctx, peer_id, answer);
}

int cluster_open(const struct cluster_config *config, struct cluster **cluster_out,
                 struct dkv_error *err)
{
    struct cluster *cluster = xcalloc(1, sizeof(*cluster));
    struct inbound_config inbound = {.base = config->base,
                                     .transport = config->transport,
                                     .connections_max =
                                         config->members_count * INBOUND_PER_PEER + INBOUND_OTHERS,
                                     .ctx = config->ctx,
                                     .greet = config->greet,
                                     .frame = config->frame,
                                     .note = config->note};
    int status;

    cluster->config = *config;
    status = inbound_open(&inbound, config->listen_address, &cluster->inbound, err);
    if (status != DKV_OK) {
        free(cluster);
        return status;
    }
    *cluster_out = cluster;
    return DKV_OK;
}

void cluster_close(struct cluster **cluster)
{
    struct cluster *c = *cluster;

    if (c == NULL)
        return;
    *cluster = NULL;
    for (uint32_t i = 0; i < c->count; i++)
        link_free(&c->peers[i].link);
    inbound_close(&c->inbound);
    free(c);
}

static struct peer *find(const struct cluster *cluster, uint64_t peer_id)
{
    for (uint32_t i = 0; i < cluster->count; i++) {
        if (cluster->peers[i].id == peer_id)
            return (struct peer *)(uintptr_t)&cluster->peers[i];
    }
    return NULL;
}

void cluster_add(struct cluster *cluster, uint64_t peer_id, const char *name, const char *address)
{
    struct link_config link = {.env = cluster->config.env,
                               .base = cluster->config.base,
                               .transport = cluster->config.transport,
                               .hello = &cluster->config.hello,
                               .peer_id = peer_id,
                               .peer_name = name,
                               .address = address,
                               .queue_bytes_max = cluster->config.queue_bytes_max,
                               .ctx = cluster,
                               .ready = on_ready,
                               .lost = on_lost,
                               .refused = on_refused,
                               .note = on_link_note};

    dkv_assert(cluster->count < NET_PEERS_MAX);
    dkv_assert(find(cluster, peer_id) == NULL);
    cluster->peers[cluster->count++] = (struct peer){.id = peer_id, .link = link_new(&link)};
}

void cluster_set_known(struct cluster *cluster, const struct net_known *known, uint32_t count)
{
    dkv_assert(count <= NET_KNOWN_MAX);
    memcpy(cluster->config.hello.known, known, count * sizeof(*known));
    cluster->config.hello.known_count = count;
}

bool cluster_is_ready(const struct cluster *cluster, uint64_t peer_id)
{
    const struct peer *peer = find(cluster, peer_id);

    return peer != NULL && link_is_ready(peer->link);
}

bool cluster_send(struct cluster *cluster, uint64_t peer_id, enum frame_type type,
                  const struct buf *payload)
{
    struct peer *peer = find(cluster, peer_id);
    struct evbuffer *output = peer == NULL ? NULL : link_output(peer->link);

    if (output == NULL) {
        if (peer != NULL)
            peer->dropped++;
        return false;
    }
    frame_add(output, type, payload);
    return true;
}

void cluster_flush(struct cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->count; i++)
        link_flush(cluster->peers[i].link);
}
