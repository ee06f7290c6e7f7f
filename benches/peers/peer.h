/* The frame of the C peers of the benchmark.
 *
 * A peer is a process that the benchmark starts and talks to in lines:
 *
 *   load              load what a program must load          -> nanoseconds
 *   client            make the client                        -> nanoseconds
 *   login TOTP COUNT  log in COUNT times, one after another  -> COUNT times nanoseconds
 *   order COUNT       place COUNT limit orders               -> COUNT times nanoseconds
 *   quote COUNT       ask for one quote COUNT times          -> COUNT times nanoseconds
 *   memory            resident memory of this process        -> KiB
 *
 * Arguments: the sandbox's address, its CA file ("" over plain HTTP), and
 * whatever else the peer needs. Credentials come from the environment. A peer
 * that cannot go on says why on stderr and ends with 1. */
#ifndef PEER_H
#define PEER_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What a peer gives to the frame. */
static void peer_load(int count, char **arguments);
static void peer_client(int count, char **arguments);
static void peer_login(const char *totp);
static void peer_order(void);
static void peer_quote(void);
/* What only one peer can do; 0 if it is not known. */
static int peer_more(const char *line);

/* Does something TIMES times and prints how long each took. */
static void peer_repeat(void (*work)(void), long times);

static void peer_fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static const char *peer_env(const char *name)
{
    const char *value = getenv(name);
    if (value == NULL)
        peer_fail(name, "not set");
    return value;
}

static int64_t peer_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void peer_repeat(void (*work)(void), long times)
{
    while (times-- > 0) {
        int64_t start = peer_now();
        work();
        printf("%lld ", (long long)(peer_now() - start));
    }
    printf("\n");
}

static void peer_memory(void)
{
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    long kib = -1;
    if (status == NULL)
        peer_fail("/proc/self/status", "cannot be read");
    while (fgets(line, sizeof line, status) != NULL)
        if (sscanf(line, "VmRSS: %ld", &kib) == 1)
            break;
    fclose(status);
    printf("%ld\n", kib);
}

int main(int count, char **arguments)
{
    char line[256];
    if (count < 3)
        peer_fail("usage", "PEER ADDRESS CA_FILE ...");
    while (fgets(line, sizeof line, stdin) != NULL) {
        char totp[16];
        long times;
        int64_t start = peer_now();
        if (strcmp(line, "load\n") == 0) {
            peer_load(count, arguments);
            printf("%lld\n", (long long)(peer_now() - start));
        } else if (strcmp(line, "client\n") == 0) {
            peer_client(count, arguments);
            printf("%lld\n", (long long)(peer_now() - start));
        } else if (sscanf(line, "login %15s %ld", totp, &times) == 2) {
            while (times-- > 0) {
                start = peer_now();
                peer_login(totp);
                printf("%lld ", (long long)(peer_now() - start));
            }
            printf("\n");
        } else if (sscanf(line, "order %ld", &times) == 1) {
            peer_repeat(peer_order, times);
        } else if (sscanf(line, "quote %ld", &times) == 1) {
            peer_repeat(peer_quote, times);
        } else if (strcmp(line, "memory\n") == 0) {
            peer_memory();
        } else if (!peer_more(line)) {
            peer_fail("unknown command", line);
        }
        fflush(stdout);
    }
    return 0;
}

#endif
