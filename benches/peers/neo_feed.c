/* This library as a peer of the benchmark of the feeds.
 *
 *   open FILE    open a feed, subscribe to what FILE names, and read until
 *                each has sent a value                  -> how many there are
 *   structs MS   read structs for so long               -> records read, older ones replaced,
 *                                                          nanoseconds
 *   events MS    the same with JSON events
 *   delays COUNT how old COUNT records are, by the time of sending that they
 *                carry                                  -> COUNT times nanoseconds
 *   close        free the feed                          -> 0
 */
#define _POSIX_C_SOURCE 200809L
#include "neo.h"

enum { AT_ONCE = 256, PATIENCE_MS = 30000, MOST_TEXT = 1 << 17 };

static kneo_feed *feed;
static kneo_tick ticks[AT_ONCE];

static kneo_response *(*feed_open)(kneo_client *, const char *, kneo_feed **);
static kneo_response *(*feed_subscribe)(kneo_feed *, const char *, const char *);
static kneo_response *(*feed_next)(kneo_feed *, int32_t);
static int32_t (*feed_read)(kneo_feed *, kneo_tick *, int32_t, size_t, int32_t);
static void (*feed_free)(kneo_feed *);

static void neo_find(void)
{
    find("kneo_feed_open", &feed_open);
    find("kneo_feed_subscribe", &feed_subscribe);
    find("kneo_feed_next", &feed_next);
    find("kneo_feed_read", &feed_read);
    find("kneo_feed_free", &feed_free);
}

/* Reads some records; at least one. */
static int32_t read_some(void)
{
    int32_t count = feed_read(feed, ticks, AT_ONCE, sizeof ticks[0], PATIENCE_MS);
    if (count <= 0)
        peer_fail("feed_read", count == 0 ? "nothing came" : "failed");
    return count;
}

static void command_open(const char *with)
{
    static char tokens[MOST_TEXT];
    long wanted = 1, seen = 0;
    FILE *file = fopen(with, "r");
    if (file == NULL || fgets(tokens, sizeof tokens, file) == NULL)
        peer_fail(with, "cannot be read");
    fclose(file);
    for (const char *comma = tokens; (comma = strchr(comma, ',')) != NULL; comma++)
        wanted++;
    done("feed_open", feed_open(client, NULL, &feed));
    done("feed_subscribe", feed_subscribe(feed, "scrips", tokens));
    while (seen < wanted) {
        int32_t count = read_some();
        for (int32_t i = 0; i < count; i++)
            seen += ticks[i].kind == KNEO_KIND_SCRIP;
    }
    printf("%ld\n", wanted);
}

static void command_structs(const char *with)
{
    int64_t start = peer_now(), end = start + peer_number(with) * 1000000;
    long records = 0, replaced = 0;
    while (peer_now() < end) {
        int32_t count = read_some();
        records += count;
        for (int32_t i = 0; i < count; i++)
            replaced += (long)ticks[i].replaced;
    }
    printf("%ld %ld %lld\n", records, replaced, (long long)(peer_now() - start));
}

static void command_events(const char *with)
{
    int64_t start = peer_now(), end = start + peer_number(with) * 1000000;
    long records = 0, replaced = 0;
    while (peer_now() < end) {
        kneo_response *event = feed_next(feed, PATIENCE_MS);
        const char *count;
        if (response_status(event) != KNEO_OK)
            peer_fail("feed_next", response_redacted(event));
        count = strstr(response_json(event), "\"replaced\":");
        if (count != NULL)
            replaced += strtol(count + strlen("\"replaced\":"), NULL, 10);
        records++;
        response_free(event);
    }
    printf("%ld %ld %lld\n", records, replaced, (long long)(peer_now() - start));
}

static void command_delays(const char *with)
{
    long left = peer_number(with);
    int64_t start = peer_clock(CLOCK_REALTIME);
    while (left > 0) {
        int32_t count = read_some();
        int64_t now = peer_clock(CLOCK_REALTIME);
        for (int32_t i = 0; i < count && left > 0; i++) {
            /* What was sent before is not to be measured. */
            if (ticks[i].kind != KNEO_KIND_SCRIP || ticks[i].volume_traded_today < start)
                continue;
            printf("%lld ", (long long)(now - ticks[i].volume_traded_today));
            left--;
        }
    }
    printf("\n");
}

static void command_close(const char *with)
{
    (void)with;
    feed_free(feed);
    feed = NULL;
    printf("0\n");
}

const struct peer_command peer_commands[] = {
    PEER_CLIENT_COMMANDS,
    {"open", command_open}, {"structs", command_structs}, {"events", command_events},
    {"delays", command_delays}, {"close", command_close},
    {NULL, NULL},
};
