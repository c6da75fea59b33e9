#include "conf/schema.h"

#include <string.h>

#include "conf/settings.h"

#define MS(n)  ((n)*UINT64_C(1000))
#define SEC(n) ((n)*UINT64_C(1000000))
#define MIN(n) SEC((n)*UINT64_C(60))
#define KIB(n) ((n)*UINT64_C(1024))
#define MIB(n) KIB((n)*UINT64_C(1024))
#define GIB(n) MIB((n)*UINT64_C(1024))

#define LIVE       CONF_KEY_LIVE
#define RELOADABLE CONF_KEY_RELOADABLE

/* clang-format off */
#define FIELD(member) .offset = offsetof(struct settings, member)
#define KEY(section_, name_, type_) \
    .section = section_, .name = name_, .type = CONF_TYPE_##type_
/* clang-format on */

/* In the order of the enums in base/log.h. */
static const char *const LOG_LEVELS[] = {"debug", "info", "warn", "error", NULL};
static const char *const LOG_FORMATS[] = {"auto", "text", "json", NULL};
_Static_assert(sizeof(LOG_LEVELS) / sizeof(LOG_LEVELS[0]) == LOG_LEVEL_COUNT + 1, "a name each");

const struct conf_section_help conf_schema_sections[] = {
    {"node", "This node."},
    {"cluster", "The cluster.  The same on every node."},
    {"http", "The REST interface, for clients."},
    {"peer", "Traffic between the nodes."},
    {"storage", "Where the data lives.  A plugin's own options stand in [storage \"NAME\"];\n"
                "dkvd --plugin-help NAME lists them."},
    {"transport", "How bytes travel.  A plugin's own options stand in [transport \"NAME\"]."},
    {"raft", "Consensus.  The same on every node."},
    {"snapshot", "Snapshots, which let the log be cut."},
    {"wal", "The log on disk."},
    {"threads", "Threads."},
    {"log", "Messages of the daemon."},
    {NULL, NULL},
};

const struct conf_key conf_schema[] = {
    {KEY("node", "name", NAME), .flags = LIVE, .sample = "n1", FIELD(node.name),
     .help =
         "Name of this node, unique in the cluster. Default: the host name up to the first dot."},
    {KEY("node", "data_dir", TEXT), .flags = LIVE, .fallback = "/var/lib/dkv", FIELD(node.data_dir),
     .help = "Directory for everything this node keeps: a whole path, whose parent exists. For one "
             "dkvd only."},
    {KEY("node", "allow_any_filesystem", BOOL), .fallback = "no", FIELD(node.allow_any_filesystem),
     .help = "Accept a data_dir on tmpfs, overlayfs, nfs and the like, which can lose data."},

    {KEY("cluster", "name", NAME), .fallback = "dkv", FIELD(cluster.name),
     .help = "Name of the cluster; nodes of another name are refused."},
    {KEY("cluster", "peers", PEER_LIST),
     .sample = "n1=10.0.0.1:8300, n2=10.0.0.2:8300, n3=10.0.0.3:8300", FIELD(cluster.peers),
     .help = "All nodes, name=host:port each, the same line everywhere. Default: this node alone."},
    {KEY("cluster", "key_max", SIZE), .fallback = "500B", .min = 1, .max = KIB(1),
     FIELD(cluster.key_max), .help = "Longest key. LMDB holds no more than 500B."},
    {KEY("cluster", "value_max", SIZE), .fallback = "1MiB", .min = 1, .max = MIB(8),
     FIELD(cluster.value_max), .help = "Longest value."},

    {KEY("http", "listen", ADDRESS_LIST), .flags = LIVE, .fallback = "127.0.0.1:8500",
     FIELD(http.listen),
     .help = "Addresses to serve clients on. There is no access control: keep it to trusted nets."},
    {KEY("http", "advertise", ADDRESS), .sample = "10.0.0.1:8500", FIELD(http.advertise),
     .help =
         "What others are told. Default: http.listen, with the host of cluster.peers for 0.0.0.0."},
    {KEY("http", "allowed_hosts", TEXT_LIST), .sample = "kv.example.org, kv1.example.org",
     FIELD(http.allowed_hosts),
     .help = "Names for this node besides IP addresses, localhost and those set here; * for any."},
    {KEY("http", "allowed_origins", TEXT_LIST), .sample = "https://console.example.org",
     FIELD(http.allowed_origins),
     .help = "Web pages that may use this node (Origin); * for any. Default: none."},
    {KEY("http", "transport", NAME), .sample = "tcp", FIELD(http.transport),
     .help = "Transport plugin for clients. Default: transport.plugin."},
    {KEY("http", "max_connections", INT), .fallback = "4096", .min = 1, .max = 1000000,
     FIELD(http.max_connections), .help = "Client connections; more are closed at once."},
    {KEY("http", "max_connections_per_ip", INT), .fallback = "1024", .max = 1000000,
     FIELD(http.max_connections_per_ip),
     .help = "Client connections from one address; 0 = no limit, for a proxy in front."},
    {KEY("http", "header_timeout", DURATION), .fallback = "5s", .min = MS(10), .max = MIN(10),
     .flags = RELOADABLE, FIELD(http.header_timeout_us),
     .help = "From the first byte of a request to the end of its headers."},
    {KEY("http", "body_timeout", DURATION), .fallback = "10s", .min = MS(10), .max = MIN(60),
     .flags = RELOADABLE, FIELD(http.body_timeout_us),
     .help = "Longest time without a byte of a request's body."},
    {KEY("http", "idle_timeout", DURATION), .fallback = "60s", .min = MS(10), .max = MIN(1440),
     .flags = RELOADABLE, FIELD(http.idle_timeout_us), .help = "Between two requests."},
    {KEY("http", "write_timeout", DURATION), .fallback = "10s", .min = MS(10), .max = MIN(60),
     .flags = RELOADABLE, FIELD(http.write_timeout_us),
     .help = "A client that reads less than 1 KiB/s of its answer for so long is cut off."},
    {KEY("http", "request_timeout", DURATION), .fallback = "5s", .min = MS(10), .max = MIN(10),
     .flags = RELOADABLE, FIELD(http.request_timeout_us),
     .help = "An answer takes no longer; then 503 or 504 says so."},
    {KEY("http", "max_requests_in_flight", INT), .fallback = "1024", .min = 1, .max = 1000000,
     .flags = RELOADABLE, FIELD(http.max_requests_in_flight),
     .help = "Requests being worked on; more get 429, but for probes."},
    {KEY("http", "max_bytes_in_flight", SIZE), .fallback = "64MiB", .min = MIB(1), .max = GIB(64),
     .flags = RELOADABLE, FIELD(http.max_bytes_in_flight),
     .help = "Memory for bodies of those requests, and as much for unread answers; more get 429."},
    {KEY("http", "max_pipelined", INT), .fallback = "16", .min = 1, .max = 1024,
     .flags = RELOADABLE, FIELD(http.max_pipelined),
     .help = "Requests of one connection that wait for an answer."},

    {KEY("peer", "listen", ADDRESS), .sample = "0.0.0.0:8300", FIELD(peer.listen),
     .help = "Address for the other nodes. Default: this node's address in cluster.peers."},
    {KEY("peer", "transport", NAME), .sample = "tcp", FIELD(peer.transport),
     .help = "Transport plugin between nodes. Default: transport.plugin."},
    {KEY("peer", "queue_max", SIZE), .fallback = "16MiB", .min = MIB(1), .max = GIB(4),
     FIELD(peer.queue_max), .help = "Bytes that may wait to be sent to one node."},
    {KEY("peer", "connect_timeout", DURATION), .fallback = "2s", .min = MS(10), .max = MIN(1),
     FIELD(peer.connect_timeout_us),
     .help = "For a connection to another node, handshake included."},

    {KEY("storage", "plugin", NAME), .flags = LIVE, .fallback = "lmdb", FIELD(storage.plugin),
     .help = "Storage plugin: the outermost one, if it wraps another."},

    {KEY("transport", "plugin", NAME), .fallback = "tcp", FIELD(transport.plugin),
     .help = "Transport plugin, for clients and nodes alike."},

    {KEY("raft", "heartbeat_interval", DURATION), .fallback = "100ms", .min = MS(1), .max = SEC(10),
     FIELD(raft.heartbeat_interval_us), .help = "How often a leader shows that it is there."},
    {KEY("raft", "election_timeout", DURATION), .fallback = "500ms", .min = MS(5), .max = MIN(1),
     FIELD(raft.election_timeout_us),
     .help = "Silence before a new leader is wanted: at least this, at most twice this."},
    {KEY("raft", "max_message", SIZE), .fallback = "256KiB", .min = KIB(4), .max = MIB(4),
     FIELD(raft.max_message), .help = "Entries in one message; a single bigger entry goes alone."},
    {KEY("raft", "max_in_flight", INT), .fallback = "4", .min = 1, .max = 1024,
     FIELD(raft.max_in_flight), .help = "Messages sent to a node ahead of its acknowledgement."},
    {KEY("raft", "max_uncommitted", SIZE), .fallback = "64MiB", .min = MIB(1), .max = GIB(4),
     FIELD(raft.max_uncommitted), .help = "Proposed, not yet committed; more writes get 503."},
    {KEY("raft", "log_memory", SIZE), .fallback = "16MiB", .min = MIB(1), .max = GIB(64),
     FIELD(raft.log_memory), .help = "Newest log entries kept in memory for slower nodes."},
    {KEY("raft", "max_reads_pending", INT), .fallback = "65536", .min = 1, .max = 10000000,
     FIELD(raft.max_reads_pending),
     .help = "Reads waiting for the quorum, and writes of other nodes; more get 503."},
    {KEY("raft", "disk_stall_timeout", DURATION), .fallback = "2s", .min = MS(100), .max = MIN(10),
     FIELD(raft.disk_stall_timeout_us),
     .help = "A leader whose disk has not answered, or was full, for so long gives leadership up."},

    {KEY("snapshot", "log_size", SIZE), .fallback = "64MiB", .min = KIB(4), .max = GIB(256),
     .flags = RELOADABLE, FIELD(snapshot.log_size),
     .help = "A log that has grown by this is cut behind a snapshot."},
    {KEY("snapshot", "keep_size", SIZE), .fallback = "16MiB", .max = GIB(256), .flags = RELOADABLE,
     FIELD(snapshot.keep_size),
     .help = "Log kept behind a snapshot, so that a slow node need not load all of it."},
    {KEY("snapshot", "chunk_size", SIZE), .fallback = "256KiB", .min = KIB(4), .max = MIB(8),
     FIELD(snapshot.chunk_size), .help = "Piece in which a snapshot travels."},

    {KEY("wal", "segment_size", SIZE), .fallback = "64MiB", .min = KIB(64), .max = GIB(2),
     FIELD(wal.segment_size), .help = "Size of one log file."},
    {KEY("wal", "spare_segments", INT), .fallback = "2", .min = 1, .max = 8,
     FIELD(wal.spare_segments), .help = "Log files prepared ahead."},

    {KEY("threads", "workers", INT), .fallback = "0", .max = 64, FIELD(threads.workers),
     .help = "Threads for clients; 0 = they are served on the consensus thread."},
    {KEY("threads", "apply", BOOL), .fallback = "off", FIELD(threads.apply),
     .help = "A thread of its own for the storage: for data beyond memory, and more cores."},

    {KEY("log", "level", CHOICE), .fallback = "info", .choices = LOG_LEVELS, .flags = RELOADABLE,
     FIELD(log.level), .help = "debug, info, warn or error."},
    {KEY("log", "format", CHOICE), .fallback = "auto", .choices = LOG_FORMATS, FIELD(log.format),
     .help = "text, json, or auto: text on a terminal, JSON lines elsewhere."},
    {KEY("log", "file", TEXT), .fallback = "\"\"", FIELD(log.file),
     .help = "File to append to; empty = standard error."},
    {KEY("log", "slow_request", DURATION), .fallback = "100ms", .max = MIN(10), .flags = RELOADABLE,
     FIELD(log.slow_request_us),
     .help = "A request that is answered later than this gets a line; 0 = none does."},
    {KEY("log", "queue_lines", INT), .fallback = "65536", .min = 16, .max = 1000000,
     FIELD(log.queue_lines), .help = "Lines waiting to be written; more are counted and dropped."},

    {.section = NULL},
};

const size_t conf_schema_count = sizeof(conf_schema) / sizeof(conf_schema[0]) - 1;

const struct conf_key *conf_schema_find(const char *section, const char *name)
{
    for (const struct conf_key *key = conf_schema; key->section != NULL; key++) {
        if (strcmp(key->section, section) == 0 && strcmp(key->name, name) == 0)
            return key;
    }
    return NULL;
}

bool conf_schema_has_section(const char *section)
{
    for (const struct conf_section_help *s = conf_schema_sections; s->section != NULL; s++) {
        if (strcmp(s->section, section) == 0)
            return true;
    }
    return false;
}
