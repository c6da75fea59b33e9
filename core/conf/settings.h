/* The checked configuration of one daemon, as plain fields.
 *
 * conf_load fills it from the table in conf/schema.c, where each key has its type, default, range
 * and help; a field here is named as its key, with the unit behind it.  A new key is one line there
 * and one field here.  Everything is owned by the struct conf that filled it and does not change
 * after conf_load, so any thread may read it. */
#ifndef CONF_SETTINGS_H
#define CONF_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"

struct conf_address {
    const char *text; /* host:port or [v6]:port, as written */
    const char *host; /* without brackets; NULL if the address is not set */
    uint16_t port;    /* 0 in a listen address: any free port */
};

struct conf_address_list {
    const struct conf_address *items;
    size_t count;
};

struct conf_peer {
    const char *name;
    struct conf_address address;
};

struct conf_peer_list {
    const struct conf_peer *items;
    size_t count;
};

struct conf_text_list {
    const char *const *items;
    size_t count;
};

struct settings_node {
    const char *name;
    const char *data_dir; /* "" with --dev: keep everything in memory */
    bool allow_any_filesystem;
};

struct settings_cluster {
    const char *name;
    /* In the order of the file.  Without cluster.peers: this node alone, at 127.0.0.1:8300. */
    struct conf_peer_list peers;
    size_t self; /* this node's index in peers */
    uint64_t key_max, value_max;
};

struct settings_http {
    struct conf_address_list listen;
    struct conf_address advertise; /* never a wildcard address */
    struct conf_text_list allowed_hosts, allowed_origins;
    const char *transport;
    uint64_t max_connections;
    uint64_t max_connections_per_ip; /* 0: no limit */
    uint64_t header_timeout_us, body_timeout_us, idle_timeout_us, write_timeout_us;
    uint64_t request_timeout_us;
    uint64_t max_requests_in_flight, max_bytes_in_flight, max_pipelined;
};

struct settings_peer {
    struct conf_address listen; /* host NULL: none is needed, the cluster is this node alone */
    const char *transport;
    uint64_t queue_max; /* bytes waiting for one peer */
    uint64_t connect_timeout_us;
};

struct settings_storage {
    const char *plugin;
};

struct settings_transport {
    const char *plugin;
};

struct settings_raft {
    uint64_t heartbeat_interval_us;
    uint64_t election_timeout_us; /* the least; each wait is drawn between it and twice as much */
    uint64_t max_message, max_in_flight, max_uncommitted, log_memory, max_reads_pending;
    uint64_t disk_stall_timeout_us;
};

struct settings_snapshot {
    uint64_t log_size;  /* bytes of log after the last snapshot that make a new one */
    uint64_t keep_size; /* bytes of log kept for slow followers behind a snapshot */
    uint64_t chunk_size;
};

struct settings_wal {
    uint64_t segment_size, spare_segments;
};

struct settings_threads {
    uint64_t workers; /* 0: requests are served on the raft thread */
    bool apply;       /* a thread of its own for the storage */
};

struct settings_log {
    enum log_level level;
    enum log_format format;
    const char *file; /* "": stderr */
    uint64_t slow_request_us, queue_lines;
};

struct settings {
    bool dev;
    struct settings_node node;
    struct settings_cluster cluster;
    struct settings_http http;
    struct settings_peer peer;
    struct settings_storage storage;
    struct settings_transport transport;
    struct settings_raft raft;
    struct settings_snapshot snapshot;
    struct settings_wal wal;
    struct settings_threads threads;
    struct settings_log log;
};

#endif
