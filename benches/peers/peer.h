/* The frame of the C peers of the benchmarks.
 *
 * A peer is a process that a benchmark starts and talks to in lines: a command,
 * and what it is to do it with. To each it answers with one line of numbers.
 * Every peer knows
 *
 *   memory            resident memory of this process        -> KiB
 *
 * and those of its own, in `peer_commands`. Credentials come from the
 * environment. A peer that cannot go on says why on stderr and ends with 1. */
#ifndef PEER_H
#define PEER_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What a peer can do. The list ends with a name that is NULL. */
struct peer_command {
    const char *name;
    /* Gets what follows the name, and prints the answer. */
    void (*work)(const char *with);
};

extern const struct peer_command peer_commands[];

/* The arguments of the program. */
static int peer_count;
static char **peer_arguments;

static inline void peer_fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static inline const char *peer_argument(int number, const char *usage)
{
    if (number >= peer_count)
        peer_fail("usage", usage);
    return peer_arguments[number];
}

/* The time of a clock in nanoseconds. */
static inline int64_t peer_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline int64_t peer_now(void)
{
    return peer_clock(CLOCK_MONOTONIC);
}

static inline long peer_number(const char *text)
{
    char *end;
    long number = strtol(text, &end, 10);
    if (end == text || number < 0)
        peer_fail(text, "not a number");
    return number;
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

static void peer_do(const char *name, const char *with)
{
    const struct peer_command *known;
    if (strcmp(name, "memory") == 0) {
        peer_memory();
        return;
    }
    for (known = peer_commands; known->name != NULL; known++)
        if (strcmp(known->name, name) == 0) {
            known->work(with);
            return;
        }
    peer_fail("unknown command", name);
}

int main(int count, char **arguments)
{
    static char line[4096];
    peer_count = count;
    peer_arguments = arguments;
    while (fgets(line, sizeof line, stdin) != NULL) {
        char *with;
        line[strcspn(line, "\n")] = '\0';
        with = line + strcspn(line, " ");
        if (*with != '\0')
            *with++ = '\0';
        peer_do(line, with);
        fflush(stdout);
    }
    return 0;
}

#endif
