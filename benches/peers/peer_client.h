/* What the C peers have in common that are clients of the broker.
 *
 *   load              load what a program must load          -> nanoseconds
 *   client            make the client                        -> nanoseconds
 *   login TOTP COUNT  log in COUNT times, one after another  -> COUNT times nanoseconds */
#ifndef PEER_CLIENT_H
#define PEER_CLIENT_H

#include "peer.h"

/* What a peer gives. */
static void client_load(void);
static void client_make(void);
static void client_login(const char *totp);

static const char *peer_env(const char *name)
{
    const char *value = getenv(name);
    if (value == NULL)
        peer_fail(name, "not set");
    return value;
}

static void command_load(const char *with)
{
    int64_t start = peer_now();
    (void)with;
    client_load();
    printf("%lld\n", (long long)(peer_now() - start));
}

static void command_client(const char *with)
{
    int64_t start = peer_now();
    (void)with;
    client_make();
    printf("%lld\n", (long long)(peer_now() - start));
}

static void command_login(const char *with)
{
    char totp[16];
    long times;
    if (sscanf(with, "%15s %ld", totp, &times) != 2)
        peer_fail("login", with);
    while (times-- > 0) {
        int64_t start = peer_now();
        client_login(totp);
        printf("%lld ", (long long)(peer_now() - start));
    }
    printf("\n");
}

#define PEER_CLIENT_COMMANDS \
    {"load", command_load}, {"client", command_client}, {"login", command_login}

#endif
