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

/* As json_value; says whether there is a value. */
static int value(const char *json, const char *key, char *text)
{
    json_value(json, key, text);
    if (strcmp(text, "null") == 0)
        text[0] = '\0';
    return text[0] != '\0';
}

static void print_state(const char *json)
{
    char state[TEXT_SIZE], reason[TEXT_SIZE], code[TEXT_SIZE], wait[TEXT_SIZE];
    value(json, "state", state);
    printf("%s", state);
    if (value(json, "reason", reason))
        printf(": %s", reason);
    if (value(json, "close_code", code))
        printf(", close code %s", code);
    if (value(json, "retry_in_ms", wait))
        printf(", tried again in %s ms", wait);
}

static void print_order(const char *json)
{
    char number[TEXT_SIZE], state[TEXT_SIZE], before[TEXT_SIZE], filled[TEXT_SIZE];
    char fill[TEXT_SIZE], origin[TEXT_SIZE], mark[TEXT_SIZE];
    value(json, "order", number);
    value(json, "state", state);
    value(json, "fill_quantity", fill);
    value(json, "origin", origin);
    printf("%s  ", number);
    if (value(json, "previous", before))
        printf("%s -> ", before);
    printf("%s", state);
    if (value(json, "filled", filled) && strtol(filled, NULL, 10) > 0)
        printf(", %s filled (%s of it new)", filled, fill);
    if (strcmp(origin, "recovered") == 0)
        printf(", from the books");
    if (value(json, "skipped", mark))
        printf(", with steps in between that they no longer show");
    if (value(json, "late", mark))
        printf(", late");
}

static void print_trade(const char *json)
{
    char number[TEXT_SIZE], trade[TEXT_SIZE], quantity[TEXT_SIZE], fill[TEXT_SIZE];
    value(json, "order", number);
    value(json, "trade", trade);
    value(json, "quantity", quantity);
    value(json, "fill_quantity", fill);
    printf("%s  trade %s of %s (%s of it new)", number, trade, quantity, fill);
}

static void print_position(const char *json)
{
    char symbol[TEXT_SIZE], product[TEXT_SIZE], bought[TEXT_SIZE], sold[TEXT_SIZE];
    value(json, "trdSym", symbol);
    value(json, "prod", product);
    value(json, "flBuyQty", bought);
    value(json, "flSellQty", sold);
    printf("%s %s: %s bought, %s sold", symbol, product, bought, sold);
}

static void print_books(const char *json)
{
    char ok[TEXT_SIZE], orders[TEXT_SIZE], trades[TEXT_SIZE], reason[TEXT_SIZE];
    if (value(json, "ok", ok) && strcmp(ok, "true") == 0) {
        value(json, "orders", orders);
        value(json, "trades", trades);
        printf("read: orders %s, trades %s", orders, trades);
    } else {
        value(json, "reason", reason);
        printf("could not be read, which is tried again: %s", reason);
    }
}

static void print_event(const char *json)
{
    char number[TEXT_SIZE], type[TEXT_SIZE], more[TEXT_SIZE];
    value(json, "seq", number);
    value(json, "type", type);
    printf("%4s  %-8s  ", number, type);
    if (strcmp(type, "state") == 0)
        print_state(json);
    else if (strcmp(type, "order") == 0)
        print_order(json);
    else if (strcmp(type, "trade") == 0)
        print_trade(json);
    else if (strcmp(type, "position") == 0)
        print_position(json);
    else if (strcmp(type, "books") == 0)
        print_books(json);
    else if (strcmp(type, "overflow") == 0)
        printf("this program was too slow; what it missed comes from the books");
    else
        printf("%s", json);
    if (value(json, "coalesced", more))
        printf(", and %s of the kind before", more);
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
static void note(const char *json)
{
    char type[TEXT_SIZE], number[TEXT_SIZE], state[TEXT_SIZE], fill[TEXT_SIZE];
    value(json, "type", type);
    if (mine.number[0] == '\0' || !value(json, "order", number) ||
        strcmp(number, mine.number) != 0)
        return;
    if (value(json, "fill_quantity", fill))
        mine.filled += strtol(fill, NULL, 10);
    if (strcmp(type, "order") != 0)
        return; /* a trade */
    value(json, "state_text", mine.words);
    value(json, "state", state);
    mine.ended = strcmp(state, "complete") == 0 || strcmp(state, "rejected") == 0
        || strcmp(state, "cancelled") == 0;
}

/* Does what is to be done after an event. 0 when an instruction failed. */
static int act(kneo_client *client, const char *json)
{
    char type[TEXT_SIZE];
    value(json, "type", type);
    /* Once the books were read, everything that comes is new. */
    if (strcmp(type, "books") == 0 && mine.number[0] == '\0')
        return place(client);
    if (strcmp(mine.words, "open") == 0 && !mine.changed)
        return change(client);
    return 1;
}

/* Compares what the feed told with the order book. */
static int compare(kneo_client *client)
{
    char words[TEXT_SIZE], filled[TEXT_SIZE];
    if (mine.number[0] == '\0' || !mine.ended) {
        fprintf(stderr, "the order has not ended: %s\n", mine.words);
        return 0;
    }
    kneo_response *report = kneo_order_report(client, mine.number);
    int ok = told("order_report", report);
    value(kneo_response_json(report), "ordSt", words);
    value(kneo_response_json(report), "fldQty", filled);
    kneo_response_free(report);
    if (!ok)
        return 0;
    printf("the feed:       order %s is %s, %ld filled\n", mine.number, mine.words, mine.filled);
    printf("the order book: order %s is %s, %s filled\n", mine.number, words, filled);
    return strcmp(words, mine.words) == 0 && strtol(filled, NULL, 10) == mine.filled
        && strcmp(words, strcmp(mine.wish, "fill") == 0 ? "complete" : "cancelled") == 0;
}

/* ---- the program --------------------------------------------------------- */

/* Waits for one event and prints it. KNEO_END if none came. */
static int32_t next_event(kneo_client *client, kneo_order_feed *feed, int32_t wait_ms, int *ok)
{
    kneo_response *response = kneo_order_feed_next(feed, wait_ms);
    int32_t status = kneo_response_status(response);
    if (status == KNEO_OK) {
        const char *json = kneo_response_json(response);
        print_event(json);
        note(json);
        if (mine.wish != NULL)
            *ok = act(client, json) && *ok;
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
