/*
 * Funds, positions and an option chain as tables.
 *
 *     portfolio [UNDERLYING]     NIFTY unless given
 *
 * The environment is that of trade.h.
 */
#include "trade.h"

static int positions(kneo_client *client)
{
    kneo_response *response = kneo_positions(client);
    int ok = told("positions", response);
    int rows = kneo_response_length(response, "/data");
    printf("%-24s %-6s %10s %10s\n", "position", "prod", "bought", "sold");
    for (int i = 0; ok && i < rows; i++)
        printf("%-24s %-6s %10s %10s\n", cell(response, "/data", i, "trdSym"),
               cell(response, "/data", i, "prod"), cell(response, "/data", i, "flBuyQty"),
               cell(response, "/data", i, "flSellQty"));
    if (ok && rows <= 0)
        printf("(none)\n");
    kneo_response_free(response);
    return ok;
}

/* The price of the put at a strike. */
static const char *put_at(const kneo_response *chain, const char *strike)
{
    int puts = kneo_response_length(chain, "/data/put");
    for (int i = 0; i < puts; i++)
        if (strcmp(cell(chain, "/data/put", i, "instrument/strikePrice"), strike) == 0)
            return cell(chain, "/data/put", i, "quote/ltp");
    return "-";
}

static int chain(kneo_client *client, const char *underlying)
{
    char params[512];
    snprintf(params, sizeof params,
             "{\"exchange\":\"nse_fo\",\"underlying\":\"%s\",\"count\":10}", underlying);
    kneo_response *response = kneo_option_chain(client, params);
    int ok = told("option_chain", response);
    int calls = kneo_response_length(response, "/data/call");
    if (ok)
        printf("\n%s, expiry %s\n%12s %12s %12s\n", underlying,
               field(response, "/data/common_data/expiryDt"), "call", "strike", "put");
    for (int i = 0; ok && i < calls; i++) {
        const char *strike = cell(response, "/data/call", i, "instrument/strikePrice");
        printf("%12s %12s %12s\n", cell(response, "/data/call", i, "quote/ltp"), strike,
               put_at(response, strike));
    }
    ok = ok && calls > 0 && kneo_response_length(response, "/data/put") > 0;
    kneo_response_free(response);
    return ok;
}

int main(int count, char **arguments)
{
    kneo_client *client = log_in();
    if (client == NULL)
        return EXIT_FAILURE;
    kneo_response *limits = kneo_limits(client, NULL);
    int ok = told("limits", limits);
    printf("funds: %s rupees\n\n", field(limits, "/Net"));
    kneo_response_free(limits);
    ok = positions(client) && ok;
    ok = chain(client, count > 1 ? arguments[1] : "NIFTY") && ok;
    return finish(client, ok);
}
