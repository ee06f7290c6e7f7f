/*
 * The life of one order: look up the scrip and its price, place a limit order
 * below the market, watch it in the order book, modify it, cancel it.
 *
 *     order [SYMBOL]     a trading symbol of nse_cm, IDEA-EQ unless given
 *
 * The environment is that of trade.h.
 */
#include "trade.h"

static kneo_client *client;

/* Prints the state of the order, and gives it in `state`. */
static int show(const char *number, char *state)
{
    kneo_response *report = kneo_order_report(client, number);
    int ok = told("order_report", report);
    keep(state, field(report, "/data/0/ordSt"));
    if (ok)
        printf("order %s: %s, %s of %s filled at a limit of %s\n", number, state,
               field(report, "/data/0/fldQty"), field(report, "/data/0/qty"),
               field(report, "/data/0/prc"));
    kneo_response_free(report);
    return ok;
}

int main(int count, char **arguments)
{
    const char *symbol = count > 1 ? arguments[1] : "IDEA-EQ";
    char params[1024], token[TEXT_SIZE], ltp[TEXT_SIZE], number[TEXT_SIZE], state[TEXT_SIZE];
    int ok;

    client = log_in();
    if (client == NULL)
        return EXIT_FAILURE;

    if (!find_share(client, symbol, token) || !last_price(client, token, ltp))
        return finish(client, 0);
    printf("%s (token %s) trades at %s rupees\n", symbol, token, ltp);

    double price = part_of(ltp, 0.95);
    snprintf(params, sizeof params,
             "{\"exchange_segment\":\"nse_cm\",\"product\":\"CNC\",\"price\":\"%.2f\","
             "\"order_type\":\"L\",\"quantity\":\"2\",\"validity\":\"DAY\","
             "\"trading_symbol\":\"%s\",\"transaction_type\":\"B\"}",
             price, symbol);
    ok = sent("place_order", kneo_place_order(client, params), number);
    if (!ok)
        return finish(client, 0);
    printf("placed: order %s\n", number);
    ok = show(number, state);

    snprintf(params, sizeof params,
             "{\"order_id\":\"%s\",\"price\":\"%.2f\",\"order_type\":\"L\",\"quantity\":\"3\","
             "\"validity\":\"DAY\"}",
             number, price - 0.05);
    ok = sent("modify_order", kneo_modify_order(client, params), NULL) && ok;
    ok = show(number, state) && ok;

    snprintf(params, sizeof params, "{\"order_id\":\"%s\"}", number);
    ok = sent("cancel_order", kneo_cancel_order(client, params), NULL) && ok;
    ok = show(number, state) && strcmp(state, "cancelled") == 0 && ok;
    return finish(client, ok);
}
