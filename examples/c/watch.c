/*
 * What happens to the orders of an account, as it happens.
 *
 *     watch [SECONDS]                    prints every event of the order feed
 *     watch [SECONDS] fill [SYMBOL]      and places an order that fills
 *     watch [SECONDS] cancel [SYMBOL]    and places an order that it cancels
 *
 * It runs for 60 seconds unless given; 0 is until Ctrl-C.
 *
 * "fill" and "cancel" buy one share of nse_cm, IDEA-EQ unless given; with real
 * credentials these are real orders. The order is placed 10 % below the market,
 * where it rests. When the feed says that it is open, it is raised above the
 * market, so that it fills, or cancelled. When it has ended the program ends
 * too, and compares what the feed told with the order book.
 *
 * The environment is that of trade.h.
 */
#include "live.h"
#include "trade.h"

enum { WAIT_MS = 200, TRAILING_MS = 500 };

/* ---- printing ------------------------------------------------------------ */

static int is(const kneo_response *event, const char *pointer, const char *text)
{
    return strcmp(field(event, pointer), text) == 0;
}

/* Prints a value between two texts, or nothing where there is none. */
static void print_part(const char *before, const char *value, const char *after)
{
    if (value[0] != '\0')
        printf("%s%s%s", before, value, after);
}

static void print_state(const kneo_response *event)
{
    printf("%s", field(event, "/state"));
    print_part(": ", field(event, "/reason"), "");
    print_part(", close code ", field(event, "/close_code"), "");
    print_part(", tried again in ", field(event, "/retry_in_ms"), " ms");
}

static void print_order(const kneo_response *event)
{
    const char *filled = field(event, "/filled");
    printf("%s  ", field(event, "/order"));
    print_part("", field(event, "/previous"), " -> ");
    printf("%s", field(event, "/state"));
    if (strtol(filled, NULL, 10) > 0)
        printf(", %s filled (%s of it new)", filled, field(event, "/fill_quantity"));
    if (is(event, "/origin", "recovered"))
        printf(", from the books");
    if (is(event, "/skipped", "true"))
        printf(", with steps in between that they no longer show");
    if (is(event, "/late", "true"))
        printf(", late");
}

static void print_trade(const kneo_response *event)
{
    printf("%s  trade %s of %s (%s of it new)", field(event, "/order"), field(event, "/trade"),
           field(event, "/quantity"), field(event, "/fill_quantity"));
}

static void print_position(const kneo_response *event)
{
    printf("%s %s: %s bought, %s sold", field(event, "/data/trdSym"), field(event, "/data/prod"),
           field(event, "/data/flBuyQty"), field(event, "/data/flSellQty"));
}

static void print_books(const kneo_response *event)
{
    if (is(event, "/ok", "true"))
        printf("read: orders %s, trades %s", field(event, "/orders"), field(event, "/trades"));
    else
        printf("could not be read, which is tried again: %s", field(event, "/reason"));
}

static void print_event(const kneo_response *event)
{
    const char *type = field(event, "/type");
    printf("%4s  %-8s  ", field(event, "/sequence"), type);
    if (strcmp(type, "state") == 0)
        print_state(event);
    else if (strcmp(type, "order") == 0)
        print_order(event);
    else if (strcmp(type, "trade") == 0)
        print_trade(event);
    else if (strcmp(type, "position") == 0)
        print_position(event);
    else if (strcmp(type, "books") == 0)
        print_books(event);
    else if (strcmp(type, "overflow") == 0)
        printf("this program was too slow; what it missed comes from the books");
    else
        printf("%s", kneo_response_json(event));
    if (!is(event, "/changes", "1"))
        print_part(", for ", field(event, "/changes"), " changes");
    printf("\n");
}

/* ---- the life of one order ------------------------------------------------ */

static struct {
    const char *wish; /* "fill", "cancel", or NULL: only watching */
    const char *symbol;
    char token[TEXT_SIZE];
    char number[TEXT_SIZE];
    char words[TEXT_SIZE]; /* its newest state, in the broker's words */
    long filled;           /* the sum of what the events told */
    int changed;           /* the instruction for its end was sent */
    int ended;
} mine;

static int place(kneo_client *client)
{
    char params[512], ltp[TEXT_SIZE];
    if (!find_share(client, mine.symbol, mine.token) || !last_price(client, mine.token, ltp))
        return 0;
    double price = part_of(ltp, 0.90);
    snprintf(params, sizeof params,
             "{\"exchange_segment\":\"nse_cm\",\"product\":\"CNC\",\"price\":\"%.2f\","
             "\"order_type\":\"L\",\"quantity\":\"1\",\"validity\":\"DAY\","
             "\"trading_symbol\":\"%s\",\"transaction_type\":\"B\"}",
             price, mine.symbol);
    printf("      %s trades at %s; an order to buy one at %.2f is placed\n", mine.symbol, ltp, price);
    return sent("place_order", kneo_place_order(client, params), mine.number);
}

static int change(kneo_client *client)
{
    char params[512], ltp[TEXT_SIZE];
    mine.changed = 1;
    if (strcmp(mine.wish, "cancel") == 0) {
        snprintf(params, sizeof params, "{\"order_id\":\"%s\"}", mine.number);
        printf("      it is cancelled\n");
        return sent("cancel_order", kneo_cancel_order(client, params), NULL);
    }
    if (!last_price(client, mine.token, ltp))
        return 0;
    /* Above the market it fills at the market's price, also if that moves. */
    double price = part_of(ltp, 1.02);
    snprintf(params, sizeof params,
             "{\"order_id\":\"%s\",\"price\":\"%.2f\",\"order_type\":\"L\",\"quantity\":\"1\","
             "\"validity\":\"DAY\"}",
             mine.number, price);
    printf("      it is raised to %.2f, above the market\n", price);
    return sent("modify_order", kneo_modify_order(client, params), NULL);
}

/* Notes what an event says of the own order. */
static void note(const kneo_response *event)
{
    if (mine.number[0] == '\0' || !is(event, "/order", mine.number))
        return;
    mine.filled += strtol(field(event, "/fill_quantity"), NULL, 10);
    if (!is(event, "/type", "order"))
        return; /* a trade */
    keep(mine.words, field(event, "/state_text"));
    mine.ended = is(event, "/state", "complete") || is(event, "/state", "rejected")
        || is(event, "/state", "cancelled");
}

/* Does what is to be done after an event. 0 when an instruction failed. */
static int act(kneo_client *client, const kneo_response *event)
{
    /* Once the books were read, everything that comes is new. */
    if (is(event, "/type", "books") && mine.number[0] == '\0')
        return place(client);
    if (strcmp(mine.words, "open") == 0 && !mine.changed)
        return change(client);
    return 1;
}

/* Compares what the feed told with the order book. */
static int compare(kneo_client *client)
{
    if (mine.number[0] == '\0' || !mine.ended) {
        fprintf(stderr, "the order has not ended: %s\n", mine.words);
        return 0;
    }
    kneo_response *report = kneo_order_report(client, mine.number);
    int ok = told("order_report", report);
    const char *words = field(report, "/data/0/ordSt"), *filled = field(report, "/data/0/fldQty");
    if (ok) {
        printf("the feed:       order %s is %s, %ld filled\n", mine.number, mine.words, mine.filled);
        printf("the order book: order %s is %s, %s filled\n", mine.number, words, filled);
    }
    ok = ok && strcmp(words, mine.words) == 0 && strtol(filled, NULL, 10) == mine.filled
        && strcmp(words, strcmp(mine.wish, "fill") == 0 ? "complete" : "cancelled") == 0;
    kneo_response_free(report);
    return ok;
}

/* ---- the program --------------------------------------------------------- */

/* Waits for one event and prints it. KNEO_END if none came. */
static int32_t next_event(kneo_client *client, kneo_order_feed *feed, int32_t wait_ms, int *ok)
{
    kneo_response *response = kneo_order_feed_next(feed, wait_ms);
    int32_t status = kneo_response_status(response);
    if (status == KNEO_OK) {
        print_event(response);
        note(response);
        if (mine.wish != NULL)
            *ok = act(client, response) && *ok;
    } else if (status != KNEO_END) {
        *ok = told("order_feed_next", response);
    }
    kneo_response_free(response);
    return status;
}

static int watch(kneo_client *client, kneo_order_feed *feed, int64_t end)
{
    int ok = 1;
    while (ok && !interrupted && !mine.ended && now_ms() < end)
        next_event(client, feed, WAIT_MS, &ok);
    if (mine.wish == NULL)
        return ok;
    /* What belongs to the end, such as the position, follows it. */
    while (ok && !interrupted && next_event(client, feed, TRAILING_MS, &ok) == KNEO_OK)
        ;
    return compare(client) && ok;
}

int main(int count, char **arguments)
{
    long seconds = seconds_of(count > 1 ? arguments[1] : "60");
    mine.wish = count > 2 ? arguments[2] : NULL;
    mine.symbol = count > 3 ? arguments[3] : "IDEA-EQ";
    if (seconds < 0 || count > 4 ||
        (mine.wish != NULL && strcmp(mine.wish, "fill") != 0 && strcmp(mine.wish, "cancel") != 0)) {
        fprintf(stderr, "usage: watch [SECONDS [fill|cancel [SYMBOL]]]\n");
        return 2;
    }
    heed_ctrl_c();

    kneo_client *client = log_in();
    if (client == NULL)
        return EXIT_FAILURE;
    kneo_order_feed *feed = NULL;
    int ok = done("order_feed_open", kneo_order_feed_open(client, NULL, &feed))
        && watch(client, feed, end_after(seconds));
    kneo_order_feed_free(feed);
    return finish(client, ok);
}
