/*
 * Funds, positions and an option chain as tables.
 *
 *     portfolio [UNDERLYING]     NIFTY unless given
 *
 * The environment is that of trade.h.
 */
#include "trade.h"

enum { MOST_STRIKES = 100 };

static int positions(kneo_client *client)
{
    kneo_response *response = kneo_positions(client);
    int ok = told("positions", response);
    const char *at = strchr(kneo_response_json(response), '[');
    int rows = 0;
    printf("%-24s %-6s %10s %10s\n", "position", "prod", "bought", "sold");
    while (ok && at != NULL && (at = strchr(at, '{')) != NULL) {
        char symbol[TEXT_SIZE], product[TEXT_SIZE], bought[TEXT_SIZE], sold[TEXT_SIZE];
        json_value(at, "trdSym", symbol);
        json_value(at, "prod", product);
        json_value(at, "flBuyQty", bought);
        json_value(at, "flSellQty", sold);
        if (symbol[0] != '\0') {
            printf("%-24s %-6s %10s %10s\n", symbol, product, bought, sold);
            rows++;
        }
        at = strchr(at, '}');
    }
    if (ok && rows == 0)
        printf("(none)\n");
    kneo_response_free(response);
    return ok;
}

/* Reads strike and LTP of one side of the chain. */
static int side(const char *from, const char *to, char strikes[][TEXT_SIZE], char ltps[][TEXT_SIZE])
{
    int count = 0;
    while (count < MOST_STRIKES) {
        const char *at = json_value(from, "strikePrice", strikes[count]);
        if (at == NULL || (to != NULL && at > to))
            break;
        from = json_value(at, "ltp", ltps[count]);
        if (from == NULL)
            break;
        count++;
    }
    return count;
}

static int chain(kneo_client *client, const char *underlying)
{
    static char strikes[2][MOST_STRIKES][TEXT_SIZE], ltps[2][MOST_STRIKES][TEXT_SIZE];
    char params[512], expiry[TEXT_SIZE];
    snprintf(params, sizeof params,
             "{\"exchange\":\"nse_fo\",\"underlying\":\"%s\",\"count\":10}", underlying);
    kneo_response *response = kneo_option_chain(client, params);
    int ok = told("option_chain", response);
    if (ok) {
        const char *json = kneo_response_json(response);
        const char *call = strstr(json, "\"call\":");
        const char *put = strstr(json, "\"put\":");
        json_value(json, "expiryDt", expiry);
        /* The two sides may come in either order. */
        int calls = side(call, put > call ? put : NULL, strikes[0], ltps[0]);
        int puts = side(put, call > put ? call : NULL, strikes[1], ltps[1]);
        printf("\n%s, expiry %s\n%12s %12s %12s\n", underlying, expiry, "call", "strike", "put");
        for (int i = 0; i < calls; i++) {
            const char *other = "-";
            for (int j = 0; j < puts; j++)
                if (strcmp(strikes[0][i], strikes[1][j]) == 0)
                    other = ltps[1][j];
            printf("%12s %12s %12s\n", ltps[0][i], strikes[0][i], other);
        }
        ok = calls > 0 && puts > 0;
    }
    kneo_response_free(response);
    return ok;
}

int main(int count, char **arguments)
{
    char net[TEXT_SIZE];
    kneo_client *client = log_in();
    if (client == NULL)
        return EXIT_FAILURE;
    kneo_response *limits = kneo_limits(client, NULL);
    int ok = told("limits", limits);
    json_value(kneo_response_json(limits), "Net", net);
    kneo_response_free(limits);
    printf("funds: %s rupees\n\n", net);
    ok = positions(client) && ok;
    ok = chain(client, count > 1 ? arguments[1] : "NIFTY") && ok;
    return finish(client, ok);
}
