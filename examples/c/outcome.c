/*
 * What to do when an order's answer never came: settle its outcome, and never
 * send it again before that.
 *
 * The environment is that of trade.h. Against a broker that answers, the order
 * is simply placed; the demo makes the sandbox cut the connection.
 */
#include "trade.h"

int main(void)
{
    char tag[TEXT_SIZE], outcome[TEXT_SIZE] = "unknown", number[TEXT_SIZE], params[512];
    kneo_client *client = log_in();
    if (client == NULL)
        return EXIT_FAILURE;

    kneo_response *response = kneo_place_order(
        client, "{\"exchange_segment\":\"nse_cm\",\"product\":\"CNC\",\"price\":\"8.60\","
                "\"order_type\":\"L\",\"quantity\":\"1\",\"validity\":\"DAY\","
                "\"trading_symbol\":\"IDEA-EQ\",\"transaction_type\":\"B\"}");
    int32_t status = kneo_response_status(response);
    /* Every response of an order has its tag, errors too. */
    keep(tag, field(response, "meta:/tag"));
    keep(number, field(response, "/nOrdNo"));
    told("place_order", response);
    kneo_response_free(response);
    if (status != KNEO_UNKNOWN_OUTCOME) {
        if (status == KNEO_OK)
            printf("taken at once: order %s\n", number);
        return finish(client, status == KNEO_OK);
    }

    /* The same question as often as needed: it sends no order. Each call waits
     * up to its timeout for a proof, and later calls go on from there. */
    snprintf(params, sizeof params, "{\"tag\":\"%s\",\"timeout_ms\":5000}", tag);
    int ok = 1, more = 1;
    while (ok && more && strcmp(outcome, "unknown") == 0) {
        response = kneo_order_outcome(client, params);
        ok = told("order_outcome", response);
        keep(outcome, field(response, "/outcome"));
        keep(number, field(response, "/order_id"));
        /* Null where waiting proves no more. */
        more = field(response, "/ask_again_after_ms")[0] != '\0';
        if (ok)
            printf("outcome of %s: %s (%s)\n", tag, outcome, field(response, "/message"));
        kneo_response_free(response);
    }
    if (ok && strcmp(outcome, "placed") == 0)
        printf("it was taken after all: order %s\n", number);
    else if (ok && strcmp(outcome, "unknown") == 0)
        printf("not proved: look at the order and trade history in the broker's app\n");
    else if (ok)
        printf("it was not taken; placing it anew is safe\n");
    return finish(client, ok);
}
