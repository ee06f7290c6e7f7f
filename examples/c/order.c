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
    char price[TEXT_SIZE], quantity[TEXT_SIZE], filled[TEXT_SIZE];
    kneo_response *report = kneo_order_report(client, number);
    int ok = told("order_report", report);
    const char *json = kneo_response_json(report);
    json_value(json, "ordSt", state);
    json_value(json, "prc", price);
    json_value(json, "qty", quantity);
    json_value(json, "fldQty", filled);
    kneo_response_free(report);
    if (ok)
        printf("order %s: %s, %s of %s filled at a limit of %s\n", number, state, filled, quantity,
               price);
    return ok;
}

/* An instruction that may have been taken must never be sent again as it is. */
static int sent(const char *what, kneo_response *response, char *number)
{
    int32_t status = kneo_response_status(response);
    int ok = told(what, response);
    if (status == KNEO_UNKNOWN_OUTCOME)
        fprintf(stderr, "ask kneo_order_outcome; outcome.c shows how\n");
    if (number != NULL)
        json_value(kneo_response_json(response), "nOrdNo", number);
    kneo_response_free(response);
    return ok;
}

int main(int count, char **arguments)
{
    const char *symbol = count > 1 ? arguments[1] : "IDEA-EQ";
    char params[1024], token[TEXT_SIZE], ltp[TEXT_SIZE], number[TEXT_SIZE], state[TEXT_SIZE];
    kneo_response *response;
    int ok;

    client = log_in();
    if (client == NULL)
        return EXIT_FAILURE;

    snprintf(params, sizeof params, "{\"exchange_segment\":\"nse_cm\",\"trading_symbol\":\"%s\"}",
             symbol);
    response = kneo_search_scrip(client, params);
    ok = told("search_scrip", response);
    json_value(kneo_response_json(response), "pSymbol", token);
    kneo_response_free(response);
    if (!ok || token[0] == '\0') {
        fprintf(stderr, "there is no scrip %s\n", symbol);
        return finish(client, 0);
    }

    snprintf(params, sizeof params,
             "{\"instrument_tokens\":[{\"exchange_segment\":\"nse_cm\",\"instrument_token\":\"%s\"}]}",
             token);
    response = kneo_quotes(client, params);
    ok = told("quotes", response);
    json_value(kneo_response_json(response), "ltp", ltp);
    kneo_response_free(response);
    printf("%s (token %s) trades at %s rupees\n", symbol, token, ltp);

    /* 5 % below, to a tick of 5 paise. Only this program computes; the library
     * sends the text that it is given. */
    double price = (double)(long)(strtod(ltp, NULL) * 0.95 * 20) / 20;
    snprintf(params, sizeof params,
             "{\"exchange_segment\":\"nse_cm\",\"product\":\"CNC\",\"price\":\"%.2f\","
             "\"order_type\":\"L\",\"quantity\":\"2\",\"validity\":\"DAY\","
             "\"trading_symbol\":\"%s\",\"transaction_type\":\"B\"}",
             price, symbol);
    ok = ok && sent("place_order", kneo_place_order(client, params), number);
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
