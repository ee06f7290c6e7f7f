/* Makes each kind of call on a thread of its own, whose stack is as small as the header
 * says that it may be, and prints how much of it was used:
 *
 *     stacks KIB KIB_OF_A_WARM_ORDER
 *
 * A page that nobody may touch lies below each stack: a call that needs more ends the
 * program. The stack was filled before, so what was touched can be seen afterwards. */
#include "kotak_neo.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define FILL 0xa5
#define PAGE 4096

static kneo_client *client;
static kneo_feed *feed;
static kneo_order_feed *order_feed;
static int failed;

static void must(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "failed: %s\n", what);
        failed = 1;
    }
}

/* Frees a response that must be OK, or END. */
static void done(const char *what, kneo_response *r)
{
    int status = kneo_response_status(r);
    if (status != KNEO_OK && status != KNEO_END) {
        fprintf(stderr, "%s: %s\n", what, kneo_response_redacted(r));
        failed = 1;
    }
    must(kneo_response_json_len(r) > 0 && kneo_response_meta(r) != NULL, what);
    must(kneo_response_redacted(r) != NULL, what);
    kneo_response_free(r);
}

static const char *of(const char *variable)
{
    const char *value = getenv(variable);
    must(value != NULL, variable);
    return value != NULL ? value : "";
}

static const char ORDER[] =
    "{\"exchange_segment\":\"nse_cm\",\"product\":\"CNC\",\"price\":\"8.60\",\"order_type\":\"L\","
    "\"quantity\":\"3\",\"validity\":\"DAY\",\"trading_symbol\":\"IDEA-EQ\","
    "\"transaction_type\":\"B\"}";

static char number[64];

static void open_client(void) { done("open", kneo_client_open(of("KNEO_CONFIG"), &client)); }

static void totp_login(void)
{
    kneo_response *r = kneo_totp_generate(of("KNEO_TOTP_SECRET"));
    char code[16];
    snprintf(code, sizeof code, "%s", kneo_response_field(r, "/totp"));
    kneo_response_free(r);
    done("totp_login", kneo_totp_login(client, of("KNEO_MOBILE_NUMBER"), of("KNEO_UCC"), code));
}

static void totp_validate(void)
{
    done("totp_validate", kneo_totp_validate(client, of("KNEO_MPIN")));
}

static void place(void)
{
    kneo_response *r = kneo_place_order(client, ORDER);
    const char *text = kneo_response_field(r, "/nOrdNo");
    must(text != NULL, "an order number");
    snprintf(number, sizeof number, "%s", text != NULL ? text : "");
    done("place_order", r);
}

/* Nothing but the call, as a program would make it whose stack is small. */
static void place_bare(void) { kneo_response_free(kneo_place_order(client, ORDER)); }

static void with_number(const char *what, const char *more,
                        kneo_response *(*call)(kneo_client *, const char *))
{
    char params[256];
    snprintf(params, sizeof params, "{\"order_id\":\"%s\"%s}", number, more);
    done(what, call(client, params));
}

static void modify(void) { with_number("modify_order", ",\"price\":\"8.70\",\"quantity\":\"3\",\"order_type\":\"L\",\"validity\":\"DAY\"", kneo_modify_order); }
static void cancel(void) { with_number("cancel_order", "", kneo_cancel_order); }
static void outcome(void) { with_number("order_outcome", "", kneo_order_outcome); }
static void book(void) { done("order_report", kneo_order_report(client, NULL)); }
static void trades(void) { done("trade_report", kneo_trade_report(client)); }
static void positions(void) { done("positions", kneo_positions(client)); }
static void holdings(void) { done("holdings", kneo_holdings(client)); }
static void limits(void) { done("limits", kneo_limits(client, NULL)); }
static void by_name(void) { done("call", kneo_call(client, "positions", NULL)); }
static void session_info(void) { done("session_info", kneo_session_info(client)); }

static void quotes(void)
{
    done("quotes", kneo_quotes(client, "{\"instrument_tokens\":[{\"instrument_token\":\"14366\","
                                       "\"exchange_segment\":\"nse_cm\"}]}"));
}

static void search(void)
{
    done("search_scrip",
         kneo_search_scrip(client, "{\"exchange_segment\":\"nse_cm\",\"symbol\":\"IDEA\"}"));
}

static void export_import(void)
{
    kneo_response *r = kneo_session_export(client);
    done("session_import", kneo_session_import(client, kneo_response_json(r)));
    done("session_export", r);
}

static void feed_open(void)
{
    done("feed_open", kneo_feed_open(client, NULL, &feed));
    done("feed_subscribe", kneo_feed_subscribe(feed, "scrips", "nse_cm|14366"));
}

static void feed_next(void)
{
    kneo_tick ticks[4];
    for (int i = 0; i < 5; i++) {
        done("feed_next", kneo_feed_next(feed, 1000));
    }
    done("feed_next_batch", kneo_feed_next_batch(feed, 10, 1000));
    must(kneo_feed_read(feed, ticks, 4, sizeof *ticks, 100) >= 0, "feed_read");
    done("feed_status", kneo_feed_status(feed));
}

static void order_feed_open(void)
{
    done("order_feed_open", kneo_order_feed_open(client, NULL, &order_feed));
}

static void order_feed_next(void)
{
    for (int i = 0; i < 3; i++) {
        done("order_feed_next", kneo_order_feed_next(order_feed, 1000));
    }
    done("order_feed_status", kneo_order_feed_status(order_feed));
}

static void feeds_free(void)
{
    kneo_feed_free(feed);
    kneo_order_feed_free(order_feed);
}

static void logout(void) { done("logout", kneo_logout(client)); }

static void login(void)
{
    done("login", kneo_login(client, of("KNEO_MOBILE_NUMBER"), NULL, NULL, of("KNEO_PASSWORD")));
    done("session_2fa", kneo_session_2fa(client, of("KNEO_OTP")));
}

static void client_free(void) { kneo_client_free(client); }

/* A server that nobody trusts, and one that is not there. */
static void strangers(void)
{
    const char *names[] = {"KNEO_STRANGER", "KNEO_NOBODY"};
    for (int i = 0; i < 2; i++) {
        kneo_client *other = NULL;
        kneo_response_free(kneo_client_open(of(names[i]), &other));
        kneo_response *r = kneo_totp_login(other, "9999999999", "TEST1", "123456");
        must(kneo_response_status(r) == KNEO_NETWORK, names[i]);
        kneo_response_free(r);
        kneo_client_free(other);
    }
}

static void *run(void *call)
{
    (*(void (**)(void))call)();
    return NULL;
}

static void on_a_stack(const char *name, size_t kib, void (*call)(void))
{
    size_t size = kib * 1024;
    unsigned char *area = mmap(NULL, size + PAGE, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned char *stack = area + PAGE;
    pthread_attr_t attributes;
    pthread_t thread;
    size_t untouched = 0;
    if (area == MAP_FAILED || mprotect(area, PAGE, PROT_NONE) != 0) {
        perror("a stack");
        exit(2);
    }
    memset(stack, FILL, size);
    /* Names the call that ends the program, if one does. */
    printf("%s ", name);
    fflush(stdout);
    if (pthread_attr_init(&attributes) != 0 || pthread_attr_setstack(&attributes, stack, size) != 0
        || pthread_create(&thread, &attributes, run, (void *)&call) != 0) {
        fprintf(stderr, "no thread for %s\n", name);
        exit(2);
    }
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    while (untouched < size && stack[untouched] == FILL) {
        untouched++;
    }
    printf("%zu\n", size - untouched);
    munmap(area, size + PAGE);
}

int main(int argc, char **argv)
{
    size_t any = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    size_t warm = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    if (any < 16 || warm < 16) {
        fprintf(stderr, "usage: stacks KIB KIB_OF_A_WARM_ORDER\n");
        return 2;
    }
    on_a_stack("open", any, open_client);
    on_a_stack("strangers", any, strangers);
    on_a_stack("totp_login", any, totp_login);
    on_a_stack("totp_validate", any, totp_validate);
    on_a_stack("first_order", any, place);
    on_a_stack("warm_order", warm, place_bare);
    on_a_stack("warm_order", warm, place_bare);
    on_a_stack("modify_order", any, modify);
    on_a_stack("order_report", any, book);
    on_a_stack("order_outcome", any, outcome);
    on_a_stack("cancel_order", any, cancel);
    on_a_stack("trade_report", any, trades);
    on_a_stack("positions", any, positions);
    on_a_stack("holdings", any, holdings);
    on_a_stack("limits", any, limits);
    on_a_stack("call", any, by_name);
    on_a_stack("quotes", any, quotes);
    on_a_stack("search_scrip", any, search);
    on_a_stack("session_info", any, session_info);
    on_a_stack("session_export", any, export_import);
    on_a_stack("feed_open", any, feed_open);
    on_a_stack("order_feed_open", any, order_feed_open);
    on_a_stack("feed_next", any, feed_next);
    on_a_stack("order_feed_next", any, order_feed_next);
    on_a_stack("feeds_free", any, feeds_free);
    on_a_stack("logout", any, logout);
    on_a_stack("login", any, login);
    on_a_stack("client_free", any, client_free);
    must(kneo_shutdown(5000) == KNEO_OK, "shutdown");
    must(kneo_live_handles() == 0, "no handle is left");
    return failed;
}
