/* This library as a peer of the benchmark: a C program that loads the
 * shared library at run time, as a host without a linker does.
 *
 * usage: neo ADDRESS CA_FILE LIBRARY   (KNEO_CONFIG holds the configuration) */
#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>
#include <pthread.h>

#include "kotak_neo.h"
#include "peer.h"

static void *library;
static kneo_client *client;

static kneo_response *(*client_open)(const char *, kneo_client **);
static kneo_response *(*totp_login)(kneo_client *, const char *, const char *, const char *);
static kneo_response *(*totp_validate)(kneo_client *, const char *);
static kneo_response *(*place_order)(kneo_client *, const char *);
static kneo_response *(*quotes)(kneo_client *, const char *);
static kneo_response *(*search_scrip)(kneo_client *, const char *);
static int32_t (*response_status)(const kneo_response *);
static const char *(*response_json)(const kneo_response *);
static const char *(*response_redacted)(const kneo_response *);
static void (*response_free)(kneo_response *);

static void find(const char *name, void *pointer)
{
    void *symbol = dlsym(library, name);
    if (symbol == NULL)
        peer_fail(name, "not in the library");
    memcpy(pointer, &symbol, sizeof symbol);
}

static void done(const char *call, kneo_response *response)
{
    if (response_status(response) != KNEO_OK)
        peer_fail(call, response_redacted(response));
    if (response_json(response)[0] != '{' && response_json(response)[0] != '[')
        peer_fail(call, "no JSON object or list");
    response_free(response);
}

static void peer_load(int count, char **arguments)
{
    if (count != 4)
        peer_fail("usage", "neo ADDRESS CA_FILE LIBRARY");
    library = dlopen(arguments[3], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        peer_fail("dlopen", dlerror());
    find("kneo_client_open", &client_open);
    find("kneo_totp_login", &totp_login);
    find("kneo_totp_validate", &totp_validate);
    find("kneo_place_order", &place_order);
    find("kneo_quotes", &quotes);
    find("kneo_search_scrip", &search_scrip);
    find("kneo_response_status", &response_status);
    find("kneo_response_json", &response_json);
    find("kneo_response_redacted", &response_redacted);
    find("kneo_response_free", &response_free);
}

static void peer_client(int count, char **arguments)
{
    (void)count;
    (void)arguments;
    done("client_open", client_open(peer_env("KNEO_CONFIG"), &client));
}

static void peer_login(const char *totp)
{
    done("totp_login",
         totp_login(client, peer_env("KNEO_MOBILE_NUMBER"), peer_env("KNEO_UCC"), totp));
    done("totp_validate", totp_validate(client, peer_env("KNEO_MPIN")));
}

static void peer_order(void)
{
    done("place_order",
         place_order(client, "{\"exchange_segment\":\"nse_cm\",\"product\":\"CNC\","
                             "\"price\":\"8.60\",\"order_type\":\"L\",\"quantity\":\"1\","
                             "\"validity\":\"DAY\",\"trading_symbol\":\"IDEA-EQ\","
                             "\"transaction_type\":\"B\"}"));
}

static void peer_quote(void)
{
    done("quotes", quotes(client, "{\"instrument_tokens\":[{\"exchange_segment\":\"nse_cm\","
                                  "\"instrument_token\":\"14366\"}]}"));
}

static long each;

static void *place_many(void *unused)
{
    (void)unused;
    for (long i = 0; i < each; i++)
        peer_order();
    return NULL;
}

/* search PARAMS: one search; threads THREADS COUNT: COUNT orders by each
 * thread on one client, all at once. Both print nanoseconds. */
static int peer_more(const char *line)
{
    enum { MOST = 64 };
    pthread_t threads[MOST];
    long count;
    int64_t start = peer_now();
    if (strncmp(line, "search ", 7) == 0) {
        done("search_scrip", search_scrip(client, line + 7));
    } else if (sscanf(line, "threads %ld %ld", &count, &each) == 2 && count <= MOST) {
        for (long i = 0; i < count; i++)
            if (pthread_create(&threads[i], NULL, place_many, NULL) != 0)
                peer_fail("pthread_create", "failed");
        for (long i = 0; i < count; i++)
            pthread_join(threads[i], NULL);
    } else {
        return 0;
    }
    printf("%lld\n", (long long)(peer_now() - start));
    return 1;
}
