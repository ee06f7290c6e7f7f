/* The system has no thread, no memory for a lookup, or no descriptor to give: each call
 * says so, and that nothing was sent. What the library asks of the system comes by here. */
#define _GNU_SOURCE
#include "kotak_neo.h"

#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* How many threads there are to be had before `refused` are not; -1: no end of them. */
static atomic_int threads = -1;
static atomic_int refused;
/* What a lookup says; no name is looked up in truth. */
static atomic_int lookup = EAI_NONAME;
static int failed;

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                   void *argument)
{
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    int left = atomic_load(&threads);
    if (left == 0 && atomic_load(&refused) > 0) {
        atomic_fetch_sub(&refused, 1);
        return EAGAIN;
    }
    if (left > 0) {
        atomic_fetch_sub(&threads, 1);
    }
    return real(thread, attributes, run, argument);
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    (void)name, (void)service, (void)hints, (void)found;
    return atomic_load(&lookup);
}

static void give(int count, int then_refused)
{
    atomic_store(&refused, then_refused);
    atomic_store(&threads, count);
}

/* Frees a response that must be KNEO_NETWORK for this reason, with nothing sent. */
static void starved(const char *what, const char *reason, kneo_response *r)
{
    const char *json = kneo_response_json(r);
    if (kneo_response_status(r) != KNEO_NETWORK || strstr(json, reason) == NULL
        || strstr(json, "\"sent\":false") == NULL
        || strstr(json, "\"safe_to_repeat\":true") == NULL) {
        fprintf(stderr, "%s, not %s: %s\n", what, reason, json);
        failed = 1;
    }
    kneo_response_free(r);
}

static void done(const char *what, kneo_response *r)
{
    if (kneo_response_status(r) != KNEO_OK) {
        fprintf(stderr, "%s: %s\n", what, kneo_response_redacted(r));
        failed = 1;
    }
    kneo_response_free(r);
}

static const char ORDER[] =
    "{\"exchange_segment\":\"nse_cm\",\"product\":\"CNC\",\"price\":\"8.60\",\"order_type\":\"L\","
    "\"quantity\":\"3\",\"validity\":\"DAY\",\"trading_symbol\":\"IDEA-EQ\","
    "\"transaction_type\":\"B\"}";

/* A client of a broker that has a name, with a session that no login made. */
static kneo_client *far_client(void)
{
    kneo_client *client = NULL;
    char session[512];
    done("open", kneo_client_open("{\"base_url\":\"https://broker.invalid\","
                                  "\"consumer_key\":\"fake-key-0000\"}", &client));
    snprintf(session, sizeof session,
             "{\"format\":\"kotak_neo.session\",\"version\":1,\"environment\":\"prod\","
             "\"generation\":3,\"logged_in_at\":%lld,\"ucc\":\"TEST1\","
             "\"base_url\":\"https://broker.invalid/\",\"token\":\"fake-token-0000\","
             "\"sid\":\"fake-sid-0000\"}", (long long)time(NULL));
    done("session_import", kneo_session_import(client, session));
    return client;
}

static void all_calls(const char *reason)
{
    kneo_client *client = far_client();
    starved("a login", reason, kneo_totp_login(client, "9999999999", "TEST1", "123456"));
    starved("a read", reason, kneo_limits(client, NULL));
    starved("an order", reason, kneo_place_order(client, ORDER));
    starved("a search", reason,
            kneo_search_scrip(client, "{\"exchange_segment\":\"nse_cm\",\"symbol\":\"IDEA\"}"));
    kneo_client_free(client);
}

static void lookups(void)
{
    give(0, 1000);
    all_calls("no thread for the name lookup: ");
    give(-1, 0);
    atomic_store(&lookup, EAI_MEMORY);
    all_calls(gai_strerror(EAI_MEMORY));
    atomic_store(&lookup, EAI_AGAIN);
    all_calls(gai_strerror(EAI_AGAIN));
}

static kneo_client *logged_in(void)
{
    kneo_client *client = NULL;
    char code[16];
    done("open", kneo_client_open(getenv("KNEO_CONFIG"), &client));
    kneo_response *r = kneo_totp_generate(getenv("KNEO_TOTP_SECRET"));
    snprintf(code, sizeof code, "%s", kneo_response_field(r, "/totp"));
    kneo_response_free(r);
    done("totp_login", kneo_totp_login(client, getenv("KNEO_MOBILE_NUMBER"), getenv("KNEO_UCC"),
                                       code));
    done("totp_validate", kneo_totp_validate(client, getenv("KNEO_MPIN")));
    return client;
}

static void feeds(kneo_client *client)
{
    kneo_feed *feed = NULL;
    kneo_order_feed *orders = NULL;
    give(0, 2);
    starved("a feed", "no thread for the feed", kneo_feed_open(client, NULL, &feed));
    starved("an order feed", "no thread for the feed",
            kneo_order_feed_open(client, NULL, &orders));
    /* One for the feed, and the books have to wait until there is another. */
    give(1, 2);
    done("an order feed", kneo_order_feed_open(client, NULL, &orders));
    int read = 0;
    for (int tries = 0; tries < 600 && !read; tries++) {
        kneo_response_free(kneo_order_feed_next(orders, 100));
        kneo_response *r = kneo_order_feed_status(orders);
        const char *books = kneo_response_field(r, "/books_read");
        read = books != NULL && strcmp(books, "0") != 0;
        kneo_response_free(r);
    }
    if (!read || atomic_load(&refused) != 0) {
        fprintf(stderr, "the books were not read, or not late\n");
        failed = 1;
    }
    kneo_order_feed_free(orders);
    give(-1, 0);
    done("a feed", kneo_feed_open(client, NULL, &feed));
    kneo_feed_free(feed);
}

/* Leaves no descriptor to be had, whatever an idle connection gives back meanwhile: a limit
 * of none counts the numbers, not how many are open. */
static void descriptors(kneo_client *client)
{
    struct rlimit before, none;
    kneo_client *other = NULL;
    kneo_client *near = NULL;
    kneo_feed *feed = NULL;
    kneo_response_free(kneo_client_open(getenv("KNEO_CONFIG"), &near));
    getrlimit(RLIMIT_NOFILE, &before);
    none = before;
    none.rlim_cur = 0;
    setrlimit(RLIMIT_NOFILE, &none);
    starved("a client", "os error 24", kneo_client_open(getenv("KNEO_CONFIG"), &other));
    starved("a login", "os error 24", kneo_totp_login(near, "9999999999", "TEST1", "123456"));
    starved("an order", "os error 24", kneo_place_order(client, ORDER));
    starved("a feed", "os error 24", kneo_feed_open(client, NULL, &feed));
    setrlimit(RLIMIT_NOFILE, &before);
    done("an order", kneo_place_order(client, ORDER));
    kneo_client_free(near);
}

int main(void)
{
    lookups();
    kneo_client *client = logged_in();
    feeds(client);
    descriptors(client);
    kneo_client_free(client);
    if (kneo_shutdown(5000) != KNEO_OK || kneo_live_handles() != 0) {
        fprintf(stderr, "something is left\n");
        failed = 1;
    }
    return failed;
}
