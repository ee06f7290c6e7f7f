/*
 * What a C host may do wrong, and the hard things it may do right. Each mode
 * is one run; it ends with exit code 0 only if everything held.
 *
 *   misuse     every function with every kind of bad argument
 *   feed       feeds with bad arguments and sizes, and their end
 *   ends       feeds that end while 16 threads wait, in every phase of a
 *              connection, and in a child
 *   threads    16 threads on one set of handles, with frees in between
 *   fork       handles after fork, also with other threads at work
 *   cancel     single calls of 16 threads ended by name, and no others
 *   shutdown   kneo_shutdown with calls under way, and the start after it
 *   pipe       connections that the other side resets, with SIGPIPE deadly
 *   unload     dlopen, use, dlclose, and all that again (built with -DUNLOAD)
 *
 * KNEO_CONFIG names a sandbox; KNEO_HANG, where it is used, a sandbox that
 * never answers; KNEO_RESET one that resets every connection, over TLS;
 * KNEO_MUTE the URL of one whose feeds never answer a login.
 */
#define _GNU_SOURCE
#include "kotak_neo.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void check_at(int ok, const char *what, int line)
{
    if (!ok) {
        fprintf(stderr, "line %d: %s does not hold\n", line, what);
        _exit(1);
    }
}
#define CHECK(condition) check_at((condition) ? 1 : 0, #condition, __LINE__)

static const char *need(const char *name)
{
    const char *value = getenv(name);
    if (value == NULL) {
        fprintf(stderr, "%s is not set\n", name);
        _exit(2);
    }
    return value;
}

#ifndef UNLOAD

/* The status of a response, which is freed. */
static int32_t done(kneo_response *r)
{
    CHECK(r != NULL);
    CHECK(kneo_response_json(r) != NULL);
    CHECK(kneo_response_message(r) != NULL);
    CHECK(kneo_response_meta(r) != NULL);
    CHECK(kneo_response_redacted(r) != NULL);
    CHECK(strlen(kneo_response_json(r)) == kneo_response_json_len(r));
    int32_t status = kneo_response_status(r);
    kneo_response_free(r);
    return status;
}

static kneo_client *open_client(const char *config)
{
    kneo_client *client = NULL;
    CHECK(done(kneo_client_open(config, &client)) == KNEO_OK);
    CHECK(client != NULL);
    return client;
}

typedef kneo_response *one_text(kneo_client *, const char *);
typedef kneo_response *no_text(kneo_client *);

static no_text *const PLAIN[] = {kneo_session_init,   kneo_session_info,
                                 kneo_session_export, kneo_whatsmyip,
                                 kneo_logout,         kneo_trade_report,
                                 kneo_positions,      kneo_holdings,
                                 kneo_open_intents,   kneo_scrip_status,
                                 kneo_client_halt};
static one_text *const WITH_TEXT[] = {kneo_totp_validate, kneo_session_2fa,
                                      kneo_qr_code_link,
                                      kneo_session_import,
                                      kneo_client_cancel,
                                      kneo_order_history,
                                      kneo_place_order,
                                      kneo_modify_order,
                                      kneo_cancel_order,
                                      kneo_order_outcome,
                                      kneo_search_scrip,
                                      kneo_margin_required,
                                      kneo_quotes,
                                      kneo_expiries,
                                      kneo_option_chain,
                                      kneo_historical_data};
/* NULL means "not given" to these. */
static one_text *const WITH_OPTION[] = {kneo_order_report, kneo_limits,
                                        kneo_scrip_master};
#define COUNT(list) (sizeof(list) / sizeof(*(list)))

/* Every function that takes a client, with texts that are good or bad. */
static void on_client(kneo_client *c, const char *text, int32_t expected)
{
    for (size_t i = 0; i < COUNT(PLAIN); i++)
        if (expected == KNEO_INVALID_HANDLE)
            CHECK(done(PLAIN[i](c)) == expected);
    for (size_t i = 0; i < COUNT(WITH_TEXT); i++)
        CHECK(done(WITH_TEXT[i](c, text)) == expected);
    for (size_t i = 0; i < COUNT(WITH_OPTION); i++)
        if (expected == KNEO_INVALID_HANDLE || (text != NULL && *text != 0))
            CHECK(done(WITH_OPTION[i](c, text)) == expected);
    CHECK(done(kneo_call(c, text, NULL)) == expected);
    if (expected == KNEO_INVALID_HANDLE || (text != NULL && *text != 0))
        CHECK(done(kneo_call(c, "quotes", text)) == expected);
    CHECK(done(kneo_totp_login(c, text, "TEST1", "123456")) == expected);
    CHECK(done(kneo_totp_login(c, "9999999999", text, "123456")) == expected);
    CHECK(done(kneo_totp_login(c, "9999999999", "TEST1", text)) == expected);
    CHECK(done(kneo_login(c, text, NULL, NULL, text)) == expected);
    CHECK(done(kneo_login(c, NULL, text, NULL, text)) == expected);
    CHECK(done(kneo_login(c, NULL, NULL, text, text)) == expected);
    CHECK(done(kneo_login(c, "9999999999", NULL, NULL, text)) == expected);
    CHECK(done(kneo_qr_code_session(c, text, "TEST1")) == expected);
    CHECK(done(kneo_qr_code_session(c, "fake-ott", text)) == expected);
}

/* The sizes that the library was built with: a change would break callers. */
typedef char tick_size_is[sizeof(kneo_tick) == 528 ? 1 : -1];
typedef char row_size_is[sizeof(kneo_depth_row) == 32 ? 1 : -1];
typedef char depth_size_is[sizeof(kneo_depth) == 1400 ? 1 : -1];
typedef char kind_is_after_8_bytes[offsetof(kneo_tick, kind) == 384 ? 1 : -1];
typedef char name_is_last[offsetof(kneo_tick, name) == 504 ? 1 : -1];

/* Every function of a market feed, on a handle that is none. */
static void on_dead_feed(kneo_feed *f, kneo_client *dead_client)
{
    kneo_tick tick;
    kneo_depth depth;
    CHECK(done(kneo_feed_subscribe(f, "scrips", "nse_cm|1")) == KNEO_INVALID_HANDLE);
    CHECK(done(kneo_feed_unsubscribe(f, NULL, NULL)) == KNEO_INVALID_HANDLE);
    CHECK(done(kneo_feed_snapshot(f, "\xff", "x")) == KNEO_INVALID_HANDLE);
    CHECK(done(kneo_feed_next(f, 60000)) == KNEO_INVALID_HANDLE);
    CHECK(done(kneo_feed_next_batch(f, 9, 60000)) == KNEO_INVALID_HANDLE);
    CHECK(done(kneo_feed_next_batch(f, -1, -1)) == KNEO_INVALID_HANDLE);
    CHECK(done(kneo_feed_status(f)) == KNEO_INVALID_HANDLE);
    kneo_feed_interrupt(f);
    CHECK(kneo_feed_read(f, &tick, 1, sizeof tick, 60000) == -KNEO_INVALID_HANDLE);
    CHECK(kneo_feed_read(f, NULL, -1, 0, -1) == -KNEO_INVALID_HANDLE);
    CHECK(kneo_feed_last(f, "nse_cm|1", &tick, sizeof tick) == -KNEO_INVALID_HANDLE);
    CHECK(kneo_feed_depth(f, NULL, &depth, sizeof depth) == -KNEO_INVALID_HANDLE);
    kneo_feed *out = f;
    CHECK(done(kneo_feed_open(dead_client, NULL, &out)) == KNEO_INVALID_HANDLE && out == NULL);
    CHECK(done(kneo_feed_open(dead_client, NULL, NULL)) == KNEO_INVALID_ARGUMENT);
    kneo_feed_free(f);
}

/* The same of an order feed. */
static void on_dead_order_feed(kneo_order_feed *f, kneo_client *dead_client)
{
    CHECK(done(kneo_order_feed_next(f, 60000)) == KNEO_INVALID_HANDLE);
    CHECK(done(kneo_order_feed_next(f, -1)) == KNEO_INVALID_HANDLE);
    CHECK(done(kneo_order_feed_next_batch(f, 9, 60000)) == KNEO_INVALID_HANDLE);
    CHECK(done(kneo_order_feed_next_batch(f, INT32_MIN, INT32_MIN)) == KNEO_INVALID_HANDLE);
    kneo_order_feed_interrupt(f);
    CHECK(done(kneo_order_feed_status(f)) == KNEO_INVALID_HANDLE);
    kneo_order_feed *out = f;
    CHECK(done(kneo_order_feed_open(dead_client, NULL, &out)) == KNEO_INVALID_HANDLE && out == NULL);
    CHECK(done(kneo_order_feed_open(dead_client, NULL, NULL)) == KNEO_INVALID_ARGUMENT);
    kneo_order_feed_free(f);
}

/* A client whose feeds are at a host. Connections may take ten minutes. */
static kneo_client *feed_client(const char *scheme, const char *host)
{
    char text[1024];
    snprintf(text, sizeof text,
             "{\"base_url\":\"http%s://%s\",\"timeouts\":{\"connect\":600000}}", scheme, host);
    kneo_client *client = open_client(text);
    snprintf(text, sizeof text,
             "{\"format\":\"kotak_neo.session\",\"version\":1,\"environment\":\"prod\","
             "\"generation\":3,\"logged_in_at\":%lld,\"base_url\":\"http%s://%s\","
             "\"feed_url\":\"ws%s://%s/apifeed\",\"order_feed_url\":\"ws%s://%s/realtime\","
             "\"token\":\"fake-token\",\"sid\":\"fake-sid\"}",
             (long long)time(NULL), scheme, host, scheme, host, scheme, host);
    CHECK(done(kneo_session_import(client, text)) == KNEO_OK);
    return client;
}

static const char NOBODY[] = "127.0.0.1:1";

/* Feeds whose broker answers nothing: bad arguments, sizes, waits, the end. */
static int feed(void)
{
    const int32_t wrong_most[] = {0, -1, INT32_MIN, 65537, INT32_MAX};
    kneo_client *client = open_client("{\"base_url\":\"http://127.0.0.1:1\"}");
    kneo_feed *f = (kneo_feed *)client;
    kneo_order_feed *o = (kneo_order_feed *)client;
    CHECK(done(kneo_feed_open(client, NULL, &f)) == KNEO_NOT_LOGGED_IN && f == NULL);
    CHECK(done(kneo_order_feed_open(client, NULL, &o)) == KNEO_NOT_LOGGED_IN && o == NULL);
    kneo_client_free(client);
    client = feed_client("", NOBODY);
    const char *options[] = {"{\"x\":1}", "[]", "{", "\xff", "7", "{\"source\":\"\"}",
                             "{\"ping_interval_ms\":-1,\"ping_interval_ms\":-1}"};
    for (size_t i = 0; i < COUNT(options); i++) {
        f = (kneo_feed *)client;
        o = (kneo_order_feed *)client;
        CHECK(done(kneo_feed_open(client, options[i], &f)) == KNEO_INVALID_ARGUMENT && f == NULL);
        CHECK(done(kneo_order_feed_open(client, options[i], &o)) == KNEO_INVALID_ARGUMENT && o == NULL);
    }
    CHECK(done(kneo_order_feed_open(client, "", &o)) == KNEO_OK && o != NULL);
    CHECK(done(kneo_order_feed_next(o, -1)) == KNEO_INVALID_ARGUMENT);
    for (size_t i = 0; i < COUNT(wrong_most); i++)
        CHECK(done(kneo_order_feed_next_batch(o, wrong_most[i], 60000)) == KNEO_INVALID_ARGUMENT);
    CHECK(done(kneo_order_feed_next_batch(o, 1, -1)) == KNEO_INVALID_ARGUMENT);
    CHECK(done(kneo_order_feed_next_batch(o, 65536, 60000)) == KNEO_OK);
    CHECK(done(kneo_order_feed_next(o, 60000)) == KNEO_OK);
    CHECK(done(kneo_order_feed_status(o)) == KNEO_OK);
    on_dead_feed((kneo_feed *)o, (kneo_client *)o);
    CHECK(kneo_live_handles() == 2);
    CHECK(done(kneo_feed_open(client, NULL, &f)) == KNEO_OK && f != NULL);
    CHECK(kneo_live_handles() == 3);

    const char *bad[] = {NULL, "", "\xff", "scrip", "nse_cm|"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        CHECK(done(kneo_feed_subscribe(f, bad[i], "nse_cm|1")) == KNEO_INVALID_ARGUMENT);
        CHECK(done(kneo_feed_subscribe(f, "depth", bad[i])) == KNEO_INVALID_ARGUMENT);
        CHECK(done(kneo_feed_unsubscribe(f, "depth", bad[i])) == KNEO_INVALID_ARGUMENT);
        CHECK(done(kneo_feed_snapshot(f, "depth", bad[i])) == KNEO_INVALID_ARGUMENT);
    }
    CHECK(done(kneo_feed_subscribe(f, "scrips", "nse_cm|1,nse_fo|2")) == KNEO_OK);
    CHECK(done(kneo_feed_next(f, -1)) == KNEO_INVALID_ARGUMENT);
    for (size_t i = 0; i < COUNT(wrong_most); i++)
        CHECK(done(kneo_feed_next_batch(f, wrong_most[i], 60000)) == KNEO_INVALID_ARGUMENT);
    CHECK(done(kneo_feed_next_batch(f, 1, INT32_MIN)) == KNEO_INVALID_ARGUMENT);
    CHECK(done(kneo_feed_next_batch(f, 1, 60000)) == KNEO_OK);

    struct {
        kneo_tick tick;
        int64_t beyond;
    } large[2];
    memset(large, 0x55, sizeof large);
    CHECK(kneo_feed_read(f, &large->tick, 1, sizeof large[0], 60000) == 1);
    CHECK(large[0].tick.kind == KNEO_KIND_STATE && large[0].tick.feed_state != 0);
    CHECK(large[0].beyond == 0 && large[1].beyond == 0x5555555555555555);
    int64_t small[3] = {7, 7, 7};
    CHECK(kneo_feed_read(f, (kneo_tick *)small, 1, 16, 60000) == 1);
    CHECK(small[0] == 0 && small[1] == 0 && small[2] == 7);
    kneo_tick tick;
    kneo_depth depth;
    CHECK(kneo_feed_read(f, NULL, 1, sizeof tick, 0) == -KNEO_INVALID_ARGUMENT);
    CHECK(kneo_feed_read(f, &tick, 0, sizeof tick, 0) == -KNEO_INVALID_ARGUMENT);
    CHECK(kneo_feed_read(f, &tick, -1, sizeof tick, 0) == -KNEO_INVALID_ARGUMENT);
    CHECK(kneo_feed_read(f, &tick, 1, sizeof tick, -1) == -KNEO_INVALID_ARGUMENT);
    size_t sizes[] = {0, 7, 12, 1 << 20, (size_t)-1, (size_t)-8};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        CHECK(kneo_feed_read(f, &tick, 1, sizes[i], 0) == -KNEO_INVALID_ARGUMENT);
        CHECK(kneo_feed_last(f, "nse_cm|1", &tick, sizes[i]) == -KNEO_INVALID_ARGUMENT);
        CHECK(kneo_feed_depth(f, "nse_cm|1", &depth, sizes[i]) == -KNEO_INVALID_ARGUMENT);
    }
    CHECK(kneo_feed_last(f, "nse_cm|1", &tick, sizeof tick) == 0);
    CHECK(kneo_feed_last(f, "nse_cm|Nifty 50", &tick, sizeof tick) == 0);
    CHECK(kneo_feed_last(f, "nse", &tick, sizeof tick) == -KNEO_INVALID_ARGUMENT);
    CHECK(kneo_feed_depth(f, "nse_cm|1", &depth, sizeof depth) == 0);
    CHECK(kneo_feed_depth(f, NULL, &depth, sizeof depth) == -KNEO_INVALID_ARGUMENT);

    /* Foreign kinds of handles. */
    on_dead_feed((kneo_feed *)client, (kneo_client *)f);
    on_dead_order_feed((kneo_order_feed *)f, (kneo_client *)f);
    CHECK(kneo_live_handles() == 3);
    /* With its client the feed ends, but its handle is still to be freed. */
    kneo_client_free(client);
    int32_t status;
    do
        status = done(kneo_feed_next(f, 60000));
    while (status == KNEO_OK);
    CHECK(status == KNEO_CLOSED);
    CHECK(kneo_feed_read(f, &tick, 1, sizeof tick, 60000) == -KNEO_CLOSED);
    CHECK(kneo_feed_last(f, "nse_cm|1", &tick, sizeof tick) == -KNEO_CLOSED);
    CHECK(kneo_feed_depth(f, "nse_cm|1", &depth, sizeof depth) == -KNEO_CLOSED);
    CHECK(done(kneo_feed_status(f)) == KNEO_CLOSED);
    CHECK(done(kneo_feed_subscribe(f, "scrips", "nse_cm|1")) == KNEO_CLOSED);
    CHECK(done(kneo_feed_unsubscribe(f, "scrips", "nse_cm|1")) == KNEO_CLOSED);
    CHECK(done(kneo_feed_snapshot(f, "scrips", "nse_cm|1")) == KNEO_CLOSED);
    /* What an order feed has told can be read to its end. */
    do
        status = done(kneo_order_feed_next(o, 60000));
    while (status == KNEO_OK);
    CHECK(status == KNEO_CLOSED);
    CHECK(done(kneo_order_feed_next_batch(o, 9, 60000)) == KNEO_CLOSED);
    CHECK(done(kneo_feed_next_batch(f, 9, 60000)) == KNEO_CLOSED);
    CHECK(done(kneo_order_feed_status(o)) == KNEO_CLOSED);
    kneo_order_feed_interrupt(o);
    kneo_feed_interrupt(f);
    kneo_feed_free(f);
    kneo_feed_free(f);
    kneo_order_feed_free(o);
    kneo_order_feed_free(o);
    CHECK(kneo_live_handles() == 0);

    /* The shutdown ends feeds and their threads. */
    client = feed_client("", NOBODY);
    CHECK(done(kneo_feed_open(client, NULL, &f)) == KNEO_OK);
    CHECK(done(kneo_order_feed_open(client, NULL, &o)) == KNEO_OK);
    CHECK(kneo_shutdown(30000) == KNEO_OK);
    on_dead_feed(f, client);
    on_dead_order_feed(o, client);
    CHECK(kneo_live_handles() == 0);
    return 0;
}

/* Feeds that threads wait on until they end. */
struct waited {
    kneo_feed *prices;
    kneo_order_feed *orders;
    atomic_int waiting;
    atomic_int cut;
    atomic_int over;
};

static int32_t wait_once(struct waited *feeds, int way)
{
    kneo_tick ticks[4];
    switch (way % 5) {
    case 0: return done(kneo_feed_next(feeds->prices, INT32_MAX));
    case 2: return done(kneo_feed_next_batch(feeds->prices, 9, INT32_MAX));
    case 3: return done(kneo_order_feed_next_batch(feeds->orders, 65536, INT32_MAX));
    case 1: {
        int32_t count = kneo_feed_read(feeds->prices, ticks, 4, sizeof *ticks, INT32_MAX);
        CHECK(count <= 4);
        return count < 0 ? -count : KNEO_OK;
    }
    default: return done(kneo_order_feed_next(feeds->orders, INT32_MAX));
    }
}

static void *wait_for_the_end(void *argument)
{
    struct waited *feeds = argument;
    int way = atomic_fetch_add(&feeds->waiting, 1);
    int32_t status;
    do
        status = wait_once(feeds, way);
    while (status == KNEO_OK);
    CHECK(status == KNEO_CLOSED || status == KNEO_INVALID_HANDLE);
    return NULL;
}

/* The same, though somebody interrupts all the time. */
static void *wait_on_and_on(void *argument)
{
    struct waited *feeds = argument;
    int way = atomic_fetch_add(&feeds->waiting, 1);
    int32_t status;
    do {
        status = wait_once(feeds, way);
        CHECK(status == KNEO_OK || status == KNEO_CLOSED || status == KNEO_INVALID_HANDLE);
        if (status == KNEO_CLOSED)
            atomic_fetch_add(&feeds->cut, 1);
    } while (status != KNEO_INVALID_HANDLE);
    return NULL;
}

static void rest(long ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* 16 threads wait while what they wait on is freed: the feeds, or all. */
static void end_under_waiters(int way)
{
    kneo_client *client = feed_client("", NOBODY);
    struct waited feeds = {NULL, NULL, 0, 0, 0};
    CHECK(done(kneo_feed_open(client, NULL, &feeds.prices)) == KNEO_OK);
    CHECK(done(kneo_order_feed_open(client, NULL, &feeds.orders)) == KNEO_OK);
    pthread_t all[16];
    for (size_t i = 0; i < COUNT(all); i++)
        CHECK(pthread_create(&all[i], NULL, wait_for_the_end, &feeds) == 0);
    while (feeds.waiting < (int)COUNT(all))
        rest(1);
    rest(50);
    if (way == 0) {
        kneo_feed_free(feeds.prices);
        kneo_order_feed_free(feeds.orders);
    } else if (way == 1) {
        kneo_client_free(client);
    } else {
        CHECK(kneo_shutdown(30000) == KNEO_OK);
    }
    for (size_t i = 0; i < COUNT(all); i++)
        CHECK(pthread_join(all[i], NULL) == 0);
    kneo_feed_free(feeds.prices);
    kneo_order_feed_free(feeds.orders);
    kneo_client_free(client);
    CHECK(kneo_live_handles() == 0);
    CHECK(kneo_shutdown(30000) == KNEO_OK);
}

/* Threads interrupt feeds while others wait on them, and after their end. */
static void *interrupt_on_and_on(void *argument)
{
    struct waited *feeds = argument;
    while (!feeds->over) {
        kneo_feed_interrupt(feeds->prices);
        kneo_order_feed_interrupt(feeds->orders);
    }
    return NULL;
}

static void interrupt_under_waiters(void)
{
    kneo_client *client = feed_client("", NOBODY);
    struct waited feeds = {NULL, NULL, 0, 0, 0};
    CHECK(done(kneo_feed_open(client, NULL, &feeds.prices)) == KNEO_OK);
    CHECK(done(kneo_order_feed_open(client, NULL, &feeds.orders)) == KNEO_OK);
    pthread_t readers[10], others[3];
    for (size_t i = 0; i < COUNT(readers); i++)
        CHECK(pthread_create(&readers[i], NULL, wait_on_and_on, &feeds) == 0);
    while (feeds.waiting < (int)COUNT(readers))
        rest(1);
    for (size_t i = 0; i < COUNT(others); i++)
        CHECK(pthread_create(&others[i], NULL, interrupt_on_and_on, &feeds) == 0);
    while (feeds.cut < (int)COUNT(readers))
        rest(1);
    /* Both are as they were. */
    CHECK(done(kneo_feed_status(feeds.prices)) == KNEO_OK);
    CHECK(done(kneo_order_feed_status(feeds.orders)) == KNEO_OK);
    kneo_feed_free(feeds.prices);
    kneo_order_feed_free(feeds.orders);
    for (size_t i = 0; i < COUNT(readers); i++)
        CHECK(pthread_join(readers[i], NULL) == 0);
    feeds.over = 1;
    for (size_t i = 0; i < COUNT(others); i++)
        CHECK(pthread_join(others[i], NULL) == 0);
    kneo_client_free(client);
    CHECK(kneo_live_handles() == 0);
    CHECK(kneo_shutdown(30000) == KNEO_OK);
}

/* Waits until both feeds were in a state. */
static void until_state(kneo_feed *prices, kneo_order_feed *orders, int32_t state, const char *name)
{
    kneo_tick tick;
    do
        CHECK(kneo_feed_read(prices, &tick, 1, sizeof tick, 60000) == 1);
    while (tick.feed_state != state);
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\"state\":\"%s\"", name);
    for (int found = 0; !found;) {
        kneo_response *r = kneo_order_feed_next(orders, 60000);
        CHECK(kneo_response_status(r) == KNEO_OK);
        found = strstr(kneo_response_json(r), wanted) != NULL;
        kneo_response_free(r);
    }
}

/* Nothing that a feed waits for keeps its thread when it is to end. */
static void end_in_phase(const char *scheme, const char *host, int32_t state, const char *name)
{
    kneo_client *client = feed_client(scheme, host);
    kneo_feed *prices = NULL;
    kneo_order_feed *orders = NULL;
    CHECK(done(kneo_feed_open(client, "{\"login_timeout_ms\":3600000}", &prices)) == KNEO_OK);
    CHECK(done(kneo_order_feed_open(client, "{\"login_timeout_ms\":600000}", &orders)) == KNEO_OK);
    CHECK(done(kneo_feed_subscribe(prices, "scrips", "nse_cm|1")) == KNEO_OK);
    until_state(prices, orders, state, name);
    rest(100);
    /* Far less than any of the times above. */
    CHECK(kneo_shutdown(30000) == KNEO_OK);
    CHECK(kneo_live_handles() == 0);
}

/* A socket that listens on loopback and never accepts; its host. */
static int silent(int backlog, char *host, size_t size)
{
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    CHECK(listener >= 0);
    CHECK(bind(listener, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(listen(listener, backlog) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
    snprintf(host, size, "127.0.0.1:%d", ntohs(address.sin_port));
    return listener;
}

/* Fills the backlog of a listener, so that nobody else can connect to it. */
static void fill(const char *host, int *sockets, size_t count)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)atoi(strchr(host, ':') + 1))};
    for (size_t i = 0; i < count; i++) {
        sockets[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        CHECK(sockets[i] >= 0);
        if (connect(sockets[i], (struct sockaddr *)&address, sizeof address) != 0)
            CHECK(errno == EINPROGRESS);
    }
}

/* A child has no feeds, whatever its parent has, and can have its own. */
static void feeds_and_fork(void)
{
    kneo_client *client = feed_client("", NOBODY);
    kneo_feed *prices = NULL;
    kneo_order_feed *orders = NULL;
    CHECK(done(kneo_feed_open(client, NULL, &prices)) == KNEO_OK);
    CHECK(done(kneo_order_feed_open(client, NULL, &orders)) == KNEO_OK);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        alarm(60);
        CHECK(kneo_live_handles() == 0);
        on_dead_feed(prices, client);
        on_dead_order_feed(orders, client);
        kneo_client *own = feed_client("", NOBODY);
        CHECK(done(kneo_feed_open(own, NULL, &prices)) == KNEO_OK);
        CHECK(done(kneo_order_feed_open(own, NULL, &orders)) == KNEO_OK);
        until_state(prices, orders, KNEO_STATE_DOWN, "down");
        CHECK(kneo_shutdown(30000) == KNEO_OK);
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    until_state(prices, orders, KNEO_STATE_DOWN, "down");
    kneo_feed_free(prices);
    kneo_order_feed_free(orders);
    kneo_client_free(client);
    CHECK(kneo_live_handles() == 0);
    CHECK(kneo_shutdown(30000) == KNEO_OK);
}

static int feeds_end(void)
{
    for (int way = 0; way < 3; way++)
        end_under_waiters(way);
    interrupt_under_waiters();
    feeds_and_fork();

    char host[64];
    int fillers[8];
    end_in_phase("", NOBODY, KNEO_STATE_DOWN, "down");
    /* The handshakes of TLS and of WebSocket are never answered. */
    int listener = silent(16, host, sizeof host);
    end_in_phase("", host, KNEO_STATE_CONNECTING, "connecting");
    end_in_phase("s", host, KNEO_STATE_CONNECTING, "connecting");
    CHECK(close(listener) == 0);
    /* There is not even a connection. */
    listener = silent(0, host, sizeof host);
    fill(host, fillers, COUNT(fillers));
    end_in_phase("", host, KNEO_STATE_CONNECTING, "connecting");
    for (size_t i = 0; i < COUNT(fillers); i++)
        CHECK(close(fillers[i]) == 0);
    CHECK(close(listener) == 0);
    /* The login is never answered. */
    end_in_phase("", need("KNEO_MUTE"), KNEO_STATE_AUTHENTICATING, "authenticating");
    return 0;
}

static void on_dead_response(kneo_response *r)
{
    CHECK(kneo_response_status(r) == KNEO_INVALID_HANDLE);
    CHECK(kneo_response_http_status(r) == 0);
    CHECK(strstr(kneo_response_json(r), "INVALID_HANDLE") != NULL);
    CHECK(kneo_response_json_len(r) == strlen(kneo_response_json(r)));
    CHECK(*kneo_response_message(r) != 0 && *kneo_response_meta(r) == '{');
    CHECK(strstr(kneo_response_redacted(r), "INVALID_HANDLE") != NULL);
    CHECK(kneo_response_field(r, "/error/status") == NULL);
    CHECK(kneo_response_field(r, NULL) == NULL);
    CHECK(kneo_response_length(r, "") == -1);
    CHECK(kneo_response_length(r, NULL) == -1);
    kneo_response_free(r);
}

/* Values of a response that are there, and pointers that lead nowhere. */
static void fields(kneo_client *client)
{
    kneo_response *r = kneo_totp_login(client, "9999999999", "TEST1", NULL);
    const char *status = kneo_response_field(r, "/error/status");
    CHECK(strcmp(status, "INVALID_ARGUMENT") == 0);
    CHECK(kneo_response_field(r, "/error/status") == status);
    CHECK(strcmp(kneo_response_field(r, "/error/message"), kneo_response_message(r)) == 0);
    CHECK(strcmp(kneo_response_field(r, "/error/sent"), "false") == 0);
    CHECK(strcmp(kneo_response_field(r, "/error/hint"), "null") == 0);
    CHECK(strcmp(kneo_response_field(r, ""), kneo_response_json(r)) == 0);
    CHECK(*kneo_response_field(r, "/error") == '{');
    CHECK(strcmp(kneo_response_field(r, "meta:/operation"), "totp_login") == 0);
    CHECK(strcmp(kneo_response_field(r, "meta:"), kneo_response_meta(r)) == 0);
    CHECK(kneo_response_length(r, "") == 1 && kneo_response_length(r, "/error") == 12);
    CHECK(kneo_response_length(r, "/error/status") == -1);
    CHECK(kneo_response_length(r, "meta:") >= 4);
    static char long_text[1 << 20];
    memset(long_text, '/', sizeof long_text - 1);
    const char *bad[] = {NULL,          "error",  "/error/", "/error/0", "/error/status/0", "/~",
                         "/\xff",       "\xff",   "meta",    "meta:x",   "meta:/x",         "/error/~2",
                         "/\x01",       long_text};
    for (size_t i = 0; i < COUNT(bad); i++) {
        CHECK(kneo_response_field(r, bad[i]) == NULL);
        CHECK(kneo_response_length(r, bad[i]) == -1);
    }
    /* All that came before is still there. */
    CHECK(strcmp(status, "INVALID_ARGUMENT") == 0);
    kneo_response_free(r);
}

/* One response that threads read for the first time at once. */
static void *read_fields(void *r)
{
    const char *all = kneo_response_field(r, "");
    for (int i = 0; i < 100; i++) {
        CHECK(strcmp(kneo_response_field(r, "/state"), "logged_out") == 0);
        CHECK(kneo_response_field(r, "") == all);
        CHECK(strcmp(kneo_response_field(r, "meta:/operation"), "session_info") == 0);
        CHECK(kneo_response_length(r, "") >= 2);
    }
    return NULL;
}

static void fields_of_threads(kneo_client *client)
{
    for (int round = 0; round < 50; round++) {
        kneo_response *r = kneo_session_info(client);
        pthread_t all[8];
        for (size_t i = 0; i < COUNT(all); i++)
            CHECK(pthread_create(&all[i], NULL, read_fields, r) == 0);
        for (size_t i = 0; i < COUNT(all); i++)
            CHECK(pthread_join(all[i], NULL) == 0);
        kneo_response_free(r);
    }
}

static int misuse(void)
{
    int on_the_stack = 0;
    kneo_client *freed_client = open_client(NULL);
    kneo_client_free(freed_client);
    kneo_client_free(freed_client);
    kneo_response *freed_response = kneo_totp_generate("MZXW6");
    CHECK(kneo_response_status(freed_response) == KNEO_OK);
    kneo_response_free(freed_response);
    kneo_response_free(freed_response);
    CHECK(kneo_live_handles() == 0);

    kneo_client *client = open_client(need("KNEO_CONFIG"));
    kneo_response *response = kneo_session_info(client);
    CHECK(kneo_live_handles() == 2);
    void *dead[] = {NULL,
                    freed_client,
                    freed_response,
                    (void *)1,
                    (void *)-1,
                    (void *)0xdeadbeef,
                    &on_the_stack,
                    malloc(1),
                    (char *)client + 1,
                    (char *)response - 1};
    void *on_the_heap = dead[7];
    for (size_t i = 0; i < COUNT(dead); i++) {
        on_client(dead[i], "x", KNEO_INVALID_HANDLE);
        on_client(dead[i], NULL, KNEO_INVALID_HANDLE);
        on_dead_response(dead[i]);
        on_dead_feed(dead[i], dead[i]);
        on_dead_order_feed(dead[i], dead[i]);
        kneo_client_interrupt(dead[i]);
        kneo_client_free(dead[i]);
    }
    free(on_the_heap);
    /* A live handle of the other kind is foreign. */
    on_client((kneo_client *)response, "x", KNEO_INVALID_HANDLE);
    kneo_client_free((kneo_client *)response);
    on_dead_response((kneo_response *)client);
    fields(client);
    CHECK(kneo_live_handles() == 2);
    CHECK(kneo_response_status(response) == KNEO_OK);

    on_dead_order_feed((kneo_order_feed *)client, (kneo_client *)response);
    kneo_order_feed *no_feed = (kneo_order_feed *)client;
    CHECK(done(kneo_order_feed_open(client, NULL, &no_feed)) == KNEO_NOT_LOGGED_IN && no_feed == NULL);
    CHECK(done(kneo_order_feed_open(client, "{\"x\":1}", &no_feed)) == KNEO_INVALID_ARGUMENT);
    CHECK(done(kneo_order_feed_open(client, NULL, NULL)) == KNEO_INVALID_ARGUMENT);
    CHECK(kneo_live_handles() == 2);

    /* NULL, empty, broken UTF-8, and very long texts. */
    static char long_text[1 << 20];
    memset(long_text, 'x', sizeof long_text - 1);
    const char *bad[] = {NULL,         "",         "\xff",       "\xc3",
                         "\xed\xa0\x80", "ok\xfe\x01", "\x01\x02", long_text};
    for (size_t i = 0; i < COUNT(bad); i++) {
        /* Control characters may stand in a password. */
        if (bad[i] == NULL || strcmp(bad[i], "\x01\x02") != 0)
            on_client(client, bad[i], KNEO_INVALID_ARGUMENT);
        CHECK(done(kneo_totp_login(client, bad[i], "TEST1", "123456")) == KNEO_INVALID_ARGUMENT);
        CHECK(done(kneo_totp_generate(bad[i])) == KNEO_INVALID_ARGUMENT);
        CHECK(done(kneo_ledger_open_intents(bad[i])) == KNEO_INVALID_ARGUMENT);
        kneo_client *out = client;
        int32_t status = done(kneo_client_open(bad[i], &out));
        if (bad[i] == NULL || *bad[i] == 0) {
            CHECK(status == KNEO_OK);
            kneo_client_free(out);
        } else {
            CHECK(status == KNEO_INVALID_ARGUMENT && out == NULL);
        }
        CHECK(done(kneo_client_open(bad[i], NULL)) == KNEO_INVALID_ARGUMENT);
    }
    const char *json[] = {"[", "[]", "nil", "{\"x\":1}", "{\"proxy\":{}}", "{\"a\":[[[[[[[[[[",
                          "{\"base_url\":\"http://example.com\"}", "{\"timeouts\":[]}", "7"};
    for (size_t i = 0; i < COUNT(json); i++) {
        kneo_client *out = client;
        CHECK(done(kneo_client_open(json[i], &out)) == KNEO_INVALID_ARGUMENT && out == NULL);
        CHECK(done(kneo_session_import(client, json[i])) == KNEO_INVALID_ARGUMENT);
    }
    /* Names the argument. */
    kneo_response *r = kneo_totp_login(client, "\xff", "TEST1", "123456");
    CHECK(strstr(kneo_response_message(r), "mobile_number: is not valid UTF-8") != NULL);
    kneo_response_free(r);
    r = kneo_totp_login(client, "9999999999", "TEST1", NULL);
    CHECK(strcmp(kneo_response_message(r), "totp: must not be NULL") == 0);
    kneo_response_free(r);

    /* A response outlives its client. */
    kneo_client_free(client);
    CHECK(strstr(kneo_response_json(response), "logged_out") != NULL);
    CHECK(strcmp(kneo_response_message(response), "") == 0);
    kneo_response_free(response);
    CHECK(kneo_abi_version() == KNEO_ABI_VERSION && *kneo_version() != 0);
    CHECK(kneo_live_handles() == 0);
    CHECK(kneo_shutdown(-1) == KNEO_INVALID_ARGUMENT);
    CHECK(kneo_shutdown(0) == KNEO_OK);
    return 0;
}

/* Handles that all threads read, replace and free. */
static _Atomic(kneo_client *) clients[4];
static _Atomic(kneo_response *) responses[16];
static atomic_int running = 1;
static const char *config;

static void *hammer(void *seed)
{
    unsigned random = *(unsigned *)seed;
    while (running) {
        kneo_client *c = clients[rand_r(&random) % COUNT(clients)];
        kneo_response *r = NULL;
        char id[16];
        char params[64];
        snprintf(id, sizeof id, "call-%u", rand_r(&random) % 8);
        snprintf(params, sizeof params, "{\"call_id\":\"%s\",\"ucc\":\"TEST1\"}", id);
        switch (rand_r(&random) % 12) {
        case 0: r = kneo_totp_login(c, "9999999999", "TEST1", "000000"); break;
        case 1: r = kneo_session_info(c); break;
        case 2: r = kneo_whatsmyip(c); break;
        case 3: r = kneo_totp_validate(c, "000000"); break;
        case 4: kneo_client_interrupt(c); break;
        case 5: r = kneo_totp_generate("MZXW6"); break;
        case 7: r = kneo_client_cancel(c, id); break;
        case 8: r = kneo_call(c, "qr_code_link", params); break;
        case 10: r = kneo_client_halt(c); break;
        case 9: r = kneo_call(c, "scrip_master", "{\"call_id\":\"same\"}"); break;
        case 6:
            if (rand_r(&random) % 16 == 0) {
                kneo_client *fresh = NULL;
                r = kneo_client_open(config, &fresh);
                kneo_client_free(atomic_exchange(&clients[rand_r(&random) % COUNT(clients)], fresh));
                kneo_client_free(c);
            }
            break;
        default: break;
        }
        if (r != NULL) {
            int32_t status = kneo_response_status(r);
            CHECK(status >= KNEO_OK && status <= KNEO_CLOSED);
            CHECK(kneo_response_json_len(r) > 0);
        }
        /* Of a response that other threads may free only numbers are read. */
        r = atomic_exchange(&responses[rand_r(&random) % COUNT(responses)], r);
        kneo_response_status(r);
        kneo_response_length(r, "");
        kneo_response_free(r);
        kneo_response_free(r);
        CHECK(kneo_live_handles() >= 0);
    }
    return NULL;
}

static void start(pthread_t *threads, unsigned *seeds, size_t count)
{
    config = need("KNEO_CONFIG");
    running = 1;
    for (size_t i = 0; i < COUNT(clients); i++)
        clients[i] = open_client(config);
    for (size_t i = 0; i < count; i++) {
        seeds[i] = (unsigned)i + 1;
        CHECK(pthread_create(&threads[i], NULL, hammer, &seeds[i]) == 0);
    }
}

static void finish(pthread_t *threads, size_t count)
{
    running = 0;
    for (size_t i = 0; i < count; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    for (size_t i = 0; i < COUNT(clients); i++)
        kneo_client_free(clients[i]);
    for (size_t i = 0; i < COUNT(responses); i++)
        kneo_response_free(responses[i]);
    CHECK(kneo_live_handles() == 0);
    CHECK(kneo_shutdown(30000) == KNEO_OK);
}

static int threads(void)
{
    pthread_t all[16];
    unsigned seeds[16];
    start(all, seeds, 16);
    kneo_client *client = open_client(config);
    fields_of_threads(client);
    kneo_client_free(client);
    rest(2000);
    finish(all, 16);
    return 0;
}

/* What a child does: the parent's handles are dead, its own work. */
static void child(kneo_client *client, kneo_response *response, const char *config_text)
{
    CHECK(kneo_live_handles() == 0);
    CHECK(done(kneo_session_info(client)) == KNEO_INVALID_HANDLE);
    on_dead_response(response);
    kneo_client_interrupt(client);
    kneo_client_free(client);
    kneo_client *own = open_client(config_text);
    kneo_response *r = kneo_totp_login(own, "9999999999", "TEST1", "000000");
    CHECK(kneo_response_status(r) == KNEO_REJECTED);
    kneo_response_free(r);
    kneo_client_free(own);
    CHECK(kneo_live_handles() == 0);
    CHECK(kneo_shutdown(30000) == KNEO_OK);
    _exit(0);
}

static void fork_once(kneo_client *client, kneo_response *response)
{
    const char *config_text = need("KNEO_CONFIG");
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        alarm(60);
        child(client, response, config_text);
    }
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static int forks(void)
{
    kneo_client *client = open_client(need("KNEO_CONFIG"));
    CHECK(done(kneo_totp_login(client, "9999999999", "TEST1", "000000")) == KNEO_REJECTED);
    kneo_response *response = kneo_session_info(client);
    fork_once(client, response);
    CHECK(kneo_response_status(response) == KNEO_OK);
    CHECK(done(kneo_totp_login(client, "9999999999", "TEST1", "000000")) == KNEO_REJECTED);
    CHECK(kneo_live_handles() == 2);

    pthread_t all[4];
    unsigned seeds[4];
    start(all, seeds, 4);
    for (int i = 0; i < 30; i++)
        fork_once(client, response);
    running = 0;
    kneo_client_free(client);
    kneo_response_free(response);
    finish(all, 4);
    return 0;
}

static void *hang(void *client)
{
    kneo_response *r = kneo_totp_login(client, "9999999999", "TEST1", "123456");
    return r;
}

/* A call of a thread that only its name can end. */
struct named {
    kneo_client *client;
    char id[16];
    pthread_t thread;
    atomic_int status;
};

static void *hang_by_name(void *argument)
{
    struct named *call = argument;
    char params[64];
    snprintf(params, sizeof params, "{\"call_id\":\"%s\",\"timeout_ms\":3600000}", call->id);
    call->status = done(kneo_call(call->client, "scrip_master", params));
    return NULL;
}

static void begin_named(struct named *call, kneo_client *client, const char *id)
{
    call->client = client;
    call->status = -1;
    snprintf(call->id, sizeof call->id, "%s", id);
    CHECK(pthread_create(&call->thread, NULL, hang_by_name, call) == 0);
}

/* Whether a call was under way when it was cancelled. */
static int cancel(kneo_client *client, const char *id)
{
    kneo_response *r = kneo_client_cancel(client, id);
    CHECK(kneo_response_status(r) == KNEO_OK && kneo_response_length(r, "") == 1);
    int under_way = strcmp(kneo_response_field(r, "/under_way"), "true") == 0;
    kneo_response_free(r);
    return under_way;
}

static void end_named(struct named *call)
{
    CHECK(pthread_join(call->thread, NULL) == 0);
    CHECK(call->status == KNEO_CLOSED);
}

static int cancels(void)
{
    kneo_client *client = open_client(need("KNEO_HANG"));
    struct named calls[16];
    for (size_t i = 0; i < COUNT(calls); i++) {
        char id[16];
        snprintf(id, sizeof id, "call %zu", i);
        begin_named(&calls[i], client, id);
    }
    /* Whether it has begun or not. Nobody else ends, and the client lives. */
    for (size_t i = 0; i < COUNT(calls); i += 2) {
        cancel(client, calls[i].id);
        end_named(&calls[i]);
    }
    for (size_t i = 1; i < COUNT(calls); i += 2)
        CHECK(calls[i].status == -1);
    CHECK(done(kneo_session_info(client)) == KNEO_OK);

    /* It comes first: nothing hangs. Once it has counted, the name is free. */
    CHECK(!cancel(client, "early") && !cancel(client, "early"));
    struct named early;
    begin_named(&early, client, "early");
    end_named(&early);
    begin_named(&early, client, "early");
    /* A cancel that comes before it begins ends it too. */
    while (early.status == -1 && !cancel(client, "early"))
        rest(1);
    end_named(&early);

    /* Of two calls with one name the second is refused, the first goes on. */
    struct named twins[2];
    begin_named(&twins[0], client, "twin");
    begin_named(&twins[1], client, "twin");
    while (twins[0].status == -1 && twins[1].status == -1)
        rest(1);
    int refused = twins[0].status == -1;
    CHECK(twins[refused].status == KNEO_INVALID_ARGUMENT && twins[!refused].status == -1);
    CHECK(pthread_join(twins[refused].thread, NULL) == 0);
    CHECK(cancel(client, "twin"));
    end_named(&twins[!refused]);

    /* The rest ends with its client. */
    kneo_client_free(client);
    for (size_t i = 1; i < COUNT(calls); i += 2) {
        CHECK(pthread_join(calls[i].thread, NULL) == 0);
        CHECK(calls[i].status == KNEO_CLOSED || calls[i].status == KNEO_INVALID_HANDLE);
    }
    CHECK(kneo_live_handles() == 0);
    CHECK(kneo_shutdown(30000) == KNEO_OK);
    return 0;
}

static void *search(void *client)
{
    CHECK(done(kneo_search_scrip(client, "{\"exchange_segment\":\"nse_fo\"}")) == KNEO_CLOSED);
    return NULL;
}

/* A search that reads its file waits for no network, and runs all the same. */
static void shutdown_under_a_search(void)
{
    kneo_client *client = open_client(need("KNEO_CONFIG"));
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, search, client) == 0);
    int reads = 0;
    while (!reads) {
        kneo_response *r = kneo_scrip_status(client);
        const char *stage = kneo_response_field(r, "/segments/0/state");
        CHECK(stage == NULL || strcmp(stage, "ready") != 0);
        reads = stage != NULL && strcmp(stage, "indexing") == 0;
        kneo_response_free(r);
    }
    CHECK(kneo_shutdown(0) == KNEO_TIMEOUT);
    CHECK(kneo_shutdown(30000) == KNEO_OK);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(kneo_live_handles() == 0);
}

static int shutdown_and_restart(void)
{
    shutdown_under_a_search();

    kneo_client *client = open_client(need("KNEO_HANG"));
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, hang, client) == 0);
    rest(500);
    CHECK(kneo_shutdown(30000) == KNEO_OK);
    void *result = NULL;
    CHECK(pthread_join(thread, &result) == 0);
    CHECK(kneo_response_status(result) == KNEO_CLOSED);
    CHECK(strstr(kneo_response_json(result), "\"sent\":true") != NULL);
    CHECK(kneo_live_handles() == 1);
    CHECK(done(kneo_session_info(client)) == KNEO_INVALID_HANDLE);
    kneo_response_free(result);

    client = open_client(need("KNEO_CONFIG"));
    CHECK(done(kneo_totp_login(client, "9999999999", "TEST1", "000000")) == KNEO_REJECTED);
    kneo_client_free(client);
    CHECK(kneo_shutdown(30000) == KNEO_OK);
    CHECK(kneo_live_handles() == 0);
    return 0;
}

static int resets(void)
{
    CHECK(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    kneo_client *client = open_client(need("KNEO_RESET"));
    for (int i = 0; i < 40; i++) {
        CHECK(done(kneo_totp_login(client, "9999999999", "TEST1", "123456")) == KNEO_NETWORK);
        CHECK(done(kneo_qr_code_link(client, "TEST1")) == KNEO_NETWORK);
    }
    kneo_client_free(client);
    CHECK(kneo_shutdown(30000) == KNEO_OK);
    /* The host's mask is as it was, and nothing is pending. */
    sigset_t mask, pending;
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &mask) == 0);
    CHECK(sigismember(&mask, SIGPIPE) == 0);
    CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 0);
    CHECK(kneo_live_handles() == 0);
    return 0;
}

int main(int count, char **arguments)
{
    const char *mode = count > 1 ? arguments[1] : "";
    if (strcmp(mode, "misuse") == 0)
        return misuse();
    if (strcmp(mode, "feed") == 0)
        return feed();
    if (strcmp(mode, "ends") == 0)
        return feeds_end();
    if (strcmp(mode, "threads") == 0)
        return threads();
    if (strcmp(mode, "fork") == 0)
        return forks();
    if (strcmp(mode, "cancel") == 0)
        return cancels();
    if (strcmp(mode, "shutdown") == 0)
        return shutdown_and_restart();
    if (strcmp(mode, "pipe") == 0)
        return resets();
    fprintf(stderr, "usage: torture misuse|feed|ends|threads|fork|cancel|shutdown|pipe\n");
    return 2;
}

#else

/* The library is named by the first argument and never linked. */
static void use_once(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CHECK(library != NULL);
#define GET(name) __typeof__(&name) p_##name; *(void **)&p_##name = dlsym(library, #name); CHECK(p_##name != NULL)
    GET(kneo_client_open);
    GET(kneo_client_free);
    GET(kneo_totp_login);
    GET(kneo_response_status);
    GET(kneo_response_free);
    GET(kneo_live_handles);
    GET(kneo_shutdown);
    kneo_client *client = NULL;
    p_kneo_response_free(p_kneo_client_open(need("KNEO_CONFIG"), &client));
    kneo_response *r = p_kneo_totp_login(client, "9999999999", "TEST1", "000000");
    CHECK(p_kneo_response_status(r) == KNEO_REJECTED);
    p_kneo_response_free(r);
    p_kneo_client_free(client);
    CHECK(p_kneo_live_handles() == 0);
    CHECK(p_kneo_shutdown(30000) == KNEO_OK);
    CHECK(dlclose(library) == 0);
    /* It stays mapped: no thread of it can lose its code. */
    void *still = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
    CHECK(still != NULL);
    CHECK(dlclose(still) == 0);
}

int main(int count, char **arguments)
{
    CHECK(count == 2);
    for (int i = 0; i < 3; i++)
        use_once(arguments[1]);
    return 0;
}

#endif
