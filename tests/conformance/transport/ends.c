#include "ends.h"

#include <arpa/inet.h>
#include <errno.h>

#include "conf/conf.h"
#include "plugin/transport.h"

extern char **environ;

const char *ends_plugin;
char ends_section[4096];

/* --- the plugin --- */

int net_open_with(const char *section, struct conf **conf_out, struct transport **loaded_out,
                  struct dkv_error *err)
{
    char path[] = "./transport-suite-XXXXXX";
    struct conf_input input = {
        .path = path, .environment = (const char *const *)environ, .host_name = "h"};
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, section, strlen(section)), (ssize_t)strlen(section));
    (void)close(fd);
    *conf_out = conf_load(&input);
    (void)unlink(path);
    return transport_open(*conf_out, ends_plugin, loaded_out, err);
}

int net_setup(void **state)
{
    struct net *net = calloc(1, sizeof(*net));
    struct dkv_error err = {0};

    assert_non_null(net);
    if (net_open_with(ends_section, &net->conf, &net->loaded, &err) != DKV_OK)
        fail_msg("%s", err.text);
    net->transport = transport_instance(net->loaded);
    net->base = event_base_new();
    assert_non_null(net->base);
    *state = net;
    return 0;
}

int net_teardown(void **state)
{
    struct net *net = *state;

    transport_close(&net->loaded);
    conf_free(&net->conf);
    event_base_free(net->base);
    free(net);
    return 0;
}

/* --- sockets --- */

int listen_somewhere(int backlog, struct sockaddr_in *address_out)
{
    socklen_t len = sizeof(*address_out);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    *address_out =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(bind(fd, (struct sockaddr *)address_out, sizeof(*address_out)), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)address_out, &len), 0);
    return fd;
}

int accept_one(int listener)
{
    int fd = accept(listener, NULL, NULL);

    assert_true(fd >= 0);
    return fd;
}

/* --- one end --- */

static unsigned char byte_at(size_t i)
{
    return (unsigned char)(i * 131 + (i >> 8) * 7 + (i >> 16));
}

static void take_input(struct end *end)
{
    unsigned char bytes[16384];
    int len;

    while ((len = evbuffer_remove(bufferevent_get_input(end->bev), bytes, sizeof(bytes))) > 0) {
        for (int i = 0; i < len; i++)
            end->is_garbled |= bytes[i] != byte_at(end->got++);
    }
}

static void on_read(struct bufferevent *bev, void *arg)
{
    struct end *end = arg;

    (void)bev;
    end->intrusive += end->is_called;
    take_input(end);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct end *end = arg;
    struct dkv_transport *transport = end->net->transport;

    if ((what & BEV_EVENT_ERROR) != 0 && transport->ops->explain != NULL)
        transport->ops->explain(transport, bev, &end->why);
    end->intrusive += end->is_called;
    end->last_what = what;
    end->connected += (what & BEV_EVENT_CONNECTED) != 0;
    end->failed += (what & BEV_EVENT_ERROR) != 0;
    end->timed_out += (what & BEV_EVENT_TIMEOUT) != 0;
    end->ended += (what & BEV_EVENT_EOF) != 0;
    take_input(end);
}

int end_wrap(struct end *end, struct net *net, struct event_base *base, int fd, enum dkv_role role)
{
    struct dkv_error err = {0};
    int status;

    *end = (struct end){.net = net, .is_called = true};
    status =
        net->transport->ops->wrap(net->transport, base, fd, (int)role,
                                  role == DKV_ROLE_CLIENT ? "localhost" : NULL, &end->bev, &err);
    end->is_called = false;
    if (status != DKV_OK && status != DKV_PENDING) {
        end->bev = NULL;
        end->why = err;
        return status;
    }
    bufferevent_setcb(end->bev, on_read, NULL, on_event, end);
    return status;
}

void end_connect(struct end *end, const struct sockaddr_in *address)
{
    (void)bufferevent_enable(end->bev, EV_READ);
    assert_int_equal(
        bufferevent_socket_connect(end->bev, (const struct sockaddr *)address, sizeof(*address)),
        0);
}

void pair_open(struct net *net, struct end *server, struct end *client,
               struct event_base *client_base)
{
    struct sockaddr_in address;
    int listener = listen_somewhere(16, &address);
    int status = end_wrap(client, net, client_base, -1, DKV_ROLE_CLIENT);

    assert_true(status == DKV_OK || status == DKV_PENDING);
    end_connect(client, &address);
    status = end_wrap(server, net, net->base, accept_one(listener), DKV_ROLE_SERVER);
    assert_true(status == DKV_OK || status == DKV_PENDING);
    (void)bufferevent_enable(server->bev, EV_READ);
    (void)close(listener);
    if (client_base != net->base && status == DKV_PENDING)
        skip(); /* a handshake between two loops takes two threads */
    assert_true(wait_until(client_base, has_connected, client));
    if (status == DKV_PENDING)
        assert_true(wait_until(net->base, has_connected, server));
}

void end_close(struct end *end)
{
    if (end->bev != NULL)
        bufferevent_free(end->bev);
    end->bev = NULL;
    assert_int_equal(end->intrusive, 0);
}

void end_add(struct end *end, size_t len)
{
    unsigned char bytes[4096];

    while (len > 0) {
        size_t part = len < sizeof(bytes) ? len : sizeof(bytes);

        for (size_t i = 0; i < part; i++)
            bytes[i] = byte_at(end->sent + i);
        assert_int_equal(evbuffer_add(bufferevent_get_output(end->bev), bytes, part), 0);
        end->sent += part;
        len -= part;
    }
}

int end_flush(struct end *end)
{
    struct dkv_transport *transport = end->net->transport;
    int status;

    end->is_called = true;
    status = transport->ops->flush(transport, end->bev);
    end->is_called = false;
    return status;
}

size_t end_waiting(const struct end *end)
{
    return evbuffer_get_length(bufferevent_get_output(end->bev));
}

/* --- waiting --- */

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    bool *is_over = arg;

    (void)fd;
    (void)what;
    *is_over = true;
}

static bool run_until(struct event_base *base, unsigned ms, bool (*holds)(const void *arg),
                      const void *arg)
{
    struct timeval limit = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
    bool is_over = false;
    struct event *deadline = evtimer_new(base, on_deadline, &is_over);

    assert_non_null(deadline);
    (void)evtimer_add(deadline, &limit);
    while (!is_over && !(holds != NULL && holds(arg)))
        (void)event_base_loop(base, EVLOOP_ONCE);
    event_free(deadline);
    return holds != NULL && holds(arg);
}

bool wait_until(struct event_base *base, bool (*holds)(const void *arg), const void *arg)
{
    return run_until(base, PATIENCE_MS, holds, arg);
}

void run_for(struct event_base *base, unsigned ms)
{
    (void)run_until(base, ms, NULL, NULL);
}

bool has_connected(const void *end)
{
    return ((const struct end *)end)->connected > 0;
}

bool has_ended(const void *end)
{
    return ((const struct end *)end)->ended > 0;
}

bool has_failed(const void *end)
{
    return ((const struct end *)end)->failed > 0;
}

bool has_nothing_waiting(const void *end)
{
    return end_waiting(end) == 0;
}

struct expectation {
    const struct end *end;
    size_t len;
};

static bool is_met(const void *arg)
{
    const struct expectation *e = arg;

    return e->end->got >= e->len || e->end->failed > 0 || e->end->ended > 0;
}

void expect_bytes(struct end *end, struct event_base *base, size_t len)
{
    struct expectation e = {end, len};

    (void)wait_until(base, is_met, &e);
    assert_int_equal(end->got, len);
    assert_false(end->is_garbled);
}
