/* This library as a peer of the benchmark of REST. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>

#include "neo.h"
#include "peer_rest.h"

static kneo_response *(*place_order)(kneo_client *, const char *);
static kneo_response *(*quotes)(kneo_client *, const char *);
static kneo_response *(*search_scrip)(kneo_client *, const char *);

static void neo_find(void)
{
    find("kneo_place_order", &place_order);
    find("kneo_quotes", &quotes);
    find("kneo_search_scrip", &search_scrip);
}

static void rest_order(void)
{
    done("place_order",
         place_order(client, "{\"exchange_segment\":\"nse_cm\",\"product\":\"CNC\","
                             "\"price\":\"8.60\",\"order_type\":\"L\",\"quantity\":\"1\","
                             "\"validity\":\"DAY\",\"trading_symbol\":\"IDEA-EQ\","
                             "\"transaction_type\":\"B\"}"));
}

static void rest_quote(void)
{
    done("quotes", quotes(client, "{\"instrument_tokens\":[{\"exchange_segment\":\"nse_cm\","
                                  "\"instrument_token\":\"14366\"}]}"));
}

/* search PARAMS: one search -> nanoseconds */
static void command_search(const char *with)
{
    int64_t start = peer_now();
    done("search_scrip", search_scrip(client, with));
    printf("%lld\n", (long long)(peer_now() - start));
}

static long each;

static void *place_many(void *unused)
{
    (void)unused;
    for (long i = 0; i < each; i++)
        rest_order();
    return NULL;
}

/* threads THREADS COUNT: COUNT orders by each thread on one client, all at once
 * -> nanoseconds */
static void command_threads(const char *with)
{
    enum { MOST = 64 };
    pthread_t threads[MOST];
    long count;
    int64_t start = peer_now();
    if (sscanf(with, "%ld %ld", &count, &each) != 2 || count > MOST)
        peer_fail("threads", with);
    for (long i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, place_many, NULL) != 0)
            peer_fail("pthread_create", "failed");
    for (long i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    printf("%lld\n", (long long)(peer_now() - start));
}

const struct peer_command peer_commands[] = {
    PEER_CLIENT_COMMANDS, PEER_REST_COMMANDS,
    {"search", command_search}, {"threads", command_threads},
    {NULL, NULL},
};
