/* Time-outs of a connection: one look at the clock for all of them, four times a second. */
#include "http/connection.h"

#include "http/server.h"

static bool is_over(uint64_t since_us, uint32_t timeout_ms, uint64_t now_us)
{
    return now_us - since_us >= (uint64_t)timeout_ms * 1000;
}

/* A fast start buys no rest: every period must bring its share, or a few clients that drip would
 * hold all the bytes that may be in flight. */
static bool is_body_too_slow(struct http_conn *conn, uint64_t now_us)
{
    const struct http_config *config = &conn->server->config;

    if (is_over(conn->body_last_us, config->body_timeout_ms, now_us))
        return true;
    if (!is_over(conn->body_since_us, HTTP_RATE_PERIOD_MS, now_us))
        return false;
    if (conn->body_got < (uint64_t)config->body_rate_min * HTTP_RATE_PERIOD_MS / 1000)
        return true;
    conn->body_got = 0;
    conn->body_since_us = now_us;
    return false;
}

/* Whoever reads nothing, or next to nothing, of a whole period holds our memory for no use. */
static bool is_reader_too_slow(struct http_conn *conn, uint64_t now_us)
{
    const struct http_config *config = &conn->server->config;

    if (!is_over(conn->write_since_us, config->write_timeout_ms, now_us))
        return false;
    if (conn->written < (uint64_t)config->body_rate_min * config->write_timeout_ms / 1000 ||
        conn->written == 0)
        return true;
    conn->written = 0;
    conn->write_since_us = now_us;
    return false;
}

void http__conn_sweep(struct http_conn *conn, uint64_t now_us)
{
    const struct http_config *config = &conn->server->config;

    /* While we take nothing, the client is not to blame. */
    if (conn->state != CONN_NOTHING && !http__conn_may_take(conn)) {
        conn->body_since_us = conn->body_last_us = now_us;
        conn->body_got = 0;
        if (conn->head_since_us != 0)
            conn->head_since_us = now_us;
    }
    if (conn->is_writing && is_reader_too_slow(conn, now_us)) {
        conn->server->stats.timeouts++;
        http__conn_kill(conn);
    } else if (conn->is_lingering) {
        if (is_over(conn->linger_since_us, HTTP_LINGER_MS, now_us))
            http__conn_kill(conn);
    } else if (conn->head_since_us != 0) {
        if (is_over(conn->head_since_us, config->header_timeout_ms, now_us))
            http__conn_refuse(conn, 408, "request_timeout", "the head took too long to arrive");
    } else if (conn->state == CONN_BODY || conn->state == CONN_CHUNKS) {
        if (is_body_too_slow(conn, now_us))
            http__conn_refuse(conn, 408, "request_timeout", "the body took too long to arrive");
    } else if (list_is_empty(&conn->pipeline) && !conn->is_writing && conn->reading == NULL) {
        if (is_over(conn->idle_since_us, config->idle_timeout_ms, now_us))
            http__conn_kill(conn);
    }
}
