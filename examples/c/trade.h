/*
 * What the trading examples have in common: a session, values of a response,
 * a share and its price.
 *
 * The environment gives KNEO_CONFIG, KNEO_MOBILE_NUMBER, KNEO_UCC, KNEO_MPIN
 * and KNEO_TOTP, or KNEO_TOTP_SECRET instead of the last.
 */
#ifndef TRADE_H
#define TRADE_H

#include "kotak_neo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_SIZE = 128 };

/* One value of a response, such as "/data/0/ordSt", as text; "" where there is
 * none. It is good until the response is freed. */
static inline const char *field(const kneo_response *response, const char *pointer)
{
    const char *text = kneo_response_field(response, pointer);
    return text == NULL || strcmp(text, "null") == 0 ? "" : text;
}

/* The same in a row of a list: cell(report, "/data", 0, "ordSt"). */
static inline const char *cell(const kneo_response *response, const char *list, int row,
                               const char *key)
{
    char pointer[TEXT_SIZE];
    snprintf(pointer, sizeof pointer, "%s/%d/%s", list, row, key);
    return field(response, pointer);
}

/* Copies what is needed longer than its response. */
static inline void keep(char *to, const char *text)
{
    snprintf(to, TEXT_SIZE, "%s", text);
}

/* Says how a call ended; its message holds no secret. Frees nothing. */
static inline int told(const char *what, const kneo_response *response)
{
    int32_t status = kneo_response_status(response);
    if (status != KNEO_OK)
        fprintf(stderr, "%s: status %d: %s\n", what, (int)status, kneo_response_message(response));
    return status == KNEO_OK;
}

static inline int done(const char *what, kneo_response *response)
{
    int ok = told(what, response);
    kneo_response_free(response);
    return ok;
}

static inline const char *variable(const char *name)
{
    const char *text = getenv(name);
    return text == NULL ? "" : text;
}

/* Opens a client and logs in. NULL if that failed. */
static inline kneo_client *log_in(void)
{
    kneo_client *client = NULL;
    char totp[TEXT_SIZE];
    /* Line by line, so that it keeps its order with stderr, also in a pipe. */
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    if (!done("open", kneo_client_open(getenv("KNEO_CONFIG"), &client)))
        return NULL;
    keep(totp, variable("KNEO_TOTP"));
    if (totp[0] == '\0') {
        kneo_response *code = kneo_totp_generate(variable("KNEO_TOTP_SECRET"));
        keep(totp, field(code, "/totp"));
        if (!done("totp_generate", code))
            goto failed;
    }
    if (done("totp_login", kneo_totp_login(client, variable("KNEO_MOBILE_NUMBER"),
                                           variable("KNEO_UCC"), totp)) &&
        done("totp_validate", kneo_totp_validate(client, variable("KNEO_MPIN"))))
        return client;
failed:
    kneo_client_free(client);
    return NULL;
}

/* The token of a share of nse_cm. */
static inline int find_share(kneo_client *client, const char *symbol, char *token)
{
    char params[512];
    snprintf(params, sizeof params, "{\"exchange_segment\":\"nse_cm\",\"trading_symbol\":\"%s\"}",
             symbol);
    kneo_response *response = kneo_search_scrip(client, params);
    int ok = told("search_scrip", response);
    keep(token, field(response, "/0/pSymbol"));
    kneo_response_free(response);
    if (ok && token[0] == '\0')
        fprintf(stderr, "there is no share %s\n", symbol);
    return ok && token[0] != '\0';
}

/* The last price of a share, as the broker writes it. */
static inline int last_price(kneo_client *client, const char *token, char *ltp)
{
    char params[512];
    snprintf(params, sizeof params,
             "{\"instrument_tokens\":[{\"exchange_segment\":\"nse_cm\",\"instrument_token\":\"%s\"}]}",
             token);
    kneo_response *response = kneo_quotes(client, params);
    int ok = told("quotes", response);
    keep(ltp, field(response, "/0/ltp"));
    kneo_response_free(response);
    return ok;
}

/* A part of a price, down to a tick of 5 paise. Only the program computes; the
 * library sends the text that it is given. */
static inline double part_of(const char *price, double part)
{
    return (double)(long)(strtod(price, NULL) * part * 20) / 20;
}

/* How an instruction ended, and the number of its order. One that may have been
 * taken must never be sent again as it is. */
static inline int sent(const char *what, kneo_response *response, char *number)
{
    int32_t status = kneo_response_status(response);
    int ok = told(what, response);
    if (status == KNEO_UNKNOWN_OUTCOME)
        fprintf(stderr, "ask kneo_order_outcome; outcome.c shows how\n");
    if (number != NULL)
        keep(number, field(response, "/nOrdNo"));
    kneo_response_free(response);
    return ok;
}

/* The end of a program: everything must be freed. */
static inline int finish(kneo_client *client, int ok)
{
    kneo_client_free(client);
    printf("live handles: %d\n", (int)kneo_live_handles());
    return ok && kneo_live_handles() == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
