/* The first frame on a connection says who calls whom; the answer lets them talk or says why not.
 *
 * A node is known by a 64-bit id made from its name, so that the same cluster.peers line gives the
 * same ids everywhere.  Strings are cut at their limits when they are sent and refused when they
 * are longer on arrival. */
#ifndef NET_HELLO_H
#define NET_HELLO_H

#include "base/buf.h"
#include "base/codec.h"

#define NET_NAME_MAX    64 /* bytes with the NUL, as everywhere below */
#define NET_ADDRESS_MAX 262
#define NET_STORAGE_MAX 32
#define NET_WHY_MAX     512

#define NET_KNOWN_MAX 64

/* A data directory that the sender has met. */
struct net_known {
    uint64_t id, incarnation;
};

struct net_hello {
    uint32_t features; /* what the sender understands beyond version 1; 0 today */
    uint8_t cluster_id[16];
    uint64_t from, to;
    uint64_t incarnation; /* of the sender's data directory */
    char name[NET_NAME_MAX];
    char http[NET_ADDRESS_MAX]; /* where its REST API is reached */
    char storage[NET_STORAGE_MAX];
    uint32_t known_count;
    struct net_known known[NET_KNOWN_MAX];
};

enum net_verdict { /* append-only: on the wire */
                   NET_WELCOME = 0,
                   NET_WRONG_CLUSTER = 1,
                   NET_WRONG_NODE = 2,   /* the caller expected another node here */
                   NET_UNKNOWN_NODE = 3, /* the caller is not a member */
                   NET_OTHER_INCARNATION =
                       4 /* the caller's data directory is not the one that was known */
};

struct net_hello_answer {
    uint32_t verdict;
    char why[NET_WHY_MAX];
};

void net_hello_encode(struct buf *to, const struct net_hello *hello);
int net_hello_decode(const uint8_t *data, size_t len, struct net_hello *hello_out);
void net_hello_answer_encode(struct buf *to, const struct net_hello_answer *answer);
int net_hello_answer_decode(const uint8_t *data, size_t len, struct net_hello_answer *answer_out);

/* u16 length and bytes; decoding needs room for a NUL in size bytes, and refuses one inside. */
void net_text_encode(struct buf *to, const char *text);
bool net_text_decode(struct decoder *d, char *to, size_t size);

#endif
