#include <arpa/inet.h>
#include <string.h>

#include "conf/internal.h"
#include "conf/units.h"

static bool is_host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
}

static const char *check_host(const char *host)
{
    struct in_addr address;

    if (*host == '\0')
        return "has no host; write 0.0.0.0:PORT for all addresses of this machine";
    if (strchr(host, ':') != NULL)
        return "is not an address; write an IPv6 one as [::1]:8500";
    if (strlen(host) > 253)
        return "has a host name longer than 253 characters";
    for (const char *p = host; *p != '\0'; p++) {
        if (!is_host_char(*p))
            return "is not an address; write HOST:PORT";
    }
    if (strspn(host, "0123456789.") == strlen(host) && inet_pton(AF_INET, host, &address) != 1)
        return "is not an IPv4 address";
    return NULL;
}

/* The text between the brackets; a zone such as %eth0 is left to the system. */
static const char *check_v6(const char *host)
{
    char plain[INET6_ADDRSTRLEN];
    size_t len = strcspn(host, "%");
    struct in6_addr address;

    if (len >= sizeof(plain))
        return "is not an IPv6 address";
    memcpy(plain, host, len);
    plain[len] = '\0';
    return inet_pton(AF_INET6, plain, &address) == 1 ? NULL : "is not an IPv6 address";
}

static bool has_blank_inside(const char *text)
{
    return strpbrk(text + strspn(text, " \t"), " \t") != NULL;
}

const char *conf__parse_address(struct conf *conf, const char *text,
                                struct conf_address *address_out)
{
    bool is_v6 = text[0] == '[';
    const char *colon = strrchr(text, ':');
    const char *host, *wrong;
    int64_t port = 0;

    if (has_blank_inside(text))
        return "is not one address; is a comma missing between two entries?";
    if (colon == NULL || strchr(colon, ']') != NULL)
        return "has no port; write HOST:PORT";
    if (is_v6 && (colon == text + 1 || colon[-1] != ']'))
        return "is not an address; write an IPv6 one as [::1]:8500";
    host = is_v6 ? conf__strndup(conf, text + 1, (size_t)(colon - text) - 2)
                 : conf__strndup(conf, text, (size_t)(colon - text));
    wrong = is_v6 ? check_v6(host) : check_host(host);
    if (wrong != NULL)
        return wrong;
    if (units_parse_int(colon + 1, &port) != NULL || port < 0 || port > UINT16_MAX)
        return "has a bad port; it must be a number up to 65535";
    address_out->text = text;
    address_out->host = host;
    address_out->port = (uint16_t)port;
    return NULL;
}

bool conf__is_wildcard(const struct conf_address *address)
{
    struct in6_addr v6;

    return strcmp(address->host, "0.0.0.0") == 0 ||
           (inet_pton(AF_INET6, address->host, &v6) == 1 && IN6_IS_ADDR_UNSPECIFIED(&v6));
}
