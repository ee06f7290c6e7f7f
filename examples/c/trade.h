/*
 * What the trading examples have in common: a session, and values out of JSON.
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

/* The value of the first "key" in a JSON text, as text; "" if there is none.
 * It reads values only, not structure: a program with a JSON parser at hand
 * uses that instead. Returns where it ended, to go on from. */
static inline const char *json_value(const char *json, const char *key, char *text)
{
    char quoted[TEXT_SIZE];
    size_t length = 0;
    text[0] = '\0';
    if (json == NULL)
        return NULL;
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *at = strstr(json, quoted);
    if (at == NULL)
        return NULL;
    at += strlen(quoted);
    at += strspn(at, " \t\r\n");
    const char *end = *at == '"' ? "\"" : ",}]";
    at += *at == '"';
    while (*at != '\0' && strchr(end, *at) == NULL && length + 1 < TEXT_SIZE)
        text[length++] = *at++;
    text[length] = '\0';
    return at;
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
    if (!done("open", kneo_client_open(getenv("KNEO_CONFIG"), &client)))
        return NULL;
    snprintf(totp, sizeof totp, "%s", variable("KNEO_TOTP"));
    if (totp[0] == '\0') {
        kneo_response *code = kneo_totp_generate(variable("KNEO_TOTP_SECRET"));
        json_value(kneo_response_json(code), "totp", totp);
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

/* The end of a program: everything must be freed. */
static inline int finish(kneo_client *client, int ok)
{
    kneo_client_free(client);
    printf("live handles: %d\n", (int)kneo_live_handles());
    return ok && kneo_live_handles() == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
