/* What the C peers of the benchmark of REST have in common.
 *
 *   order COUNT       place COUNT limit orders               -> COUNT times nanoseconds
 *   quote COUNT       ask for one quote COUNT times          -> COUNT times nanoseconds
 *
 * Arguments: the sandbox's address, its CA file ("" over plain HTTP), and
 * whatever else the peer needs. */
#ifndef PEER_REST_H
#define PEER_REST_H

#include "peer_client.h"

/* What a peer gives. */
static void rest_order(void);
static void rest_quote(void);

static void rest_repeat(void (*work)(void), const char *with)
{
    long times = peer_number(with);
    while (times-- > 0) {
        int64_t start = peer_now();
        work();
        printf("%lld ", (long long)(peer_now() - start));
    }
    printf("\n");
}

static void command_order(const char *with)
{
    rest_repeat(rest_order, with);
}

static void command_quote(const char *with)
{
    rest_repeat(rest_quote, with);
}

#define PEER_REST_COMMANDS {"order", command_order}, {"quote", command_quote}

#endif
