/* This library as a peer: a C program that loads the shared library at run
 * time, as a host without a linker does. KNEO_CONFIG holds the configuration.
 *
 * Arguments: the sandbox's address, its CA file, the library. */
#ifndef NEO_H
#define NEO_H

#include <dlfcn.h>

#include "kotak_neo.h"
#include "peer_client.h"

static void *library;
static kneo_client *client;

static kneo_response *(*client_open)(const char *, kneo_client **);
static kneo_response *(*totp_login)(kneo_client *, const char *, const char *, const char *);
static kneo_response *(*totp_validate)(kneo_client *, const char *);
static int32_t (*response_status)(const kneo_response *);
static const char *(*response_json)(const kneo_response *);
static const char *(*response_redacted)(const kneo_response *);
static void (*response_free)(kneo_response *);

/* Finds the functions of a peer; the common ones are there already. */
static void neo_find(void);

static void find(const char *name, void *pointer)
{
    void *symbol = dlsym(library, name);
    if (symbol == NULL)
        peer_fail(name, "not in the library");
    memcpy(pointer, &symbol, sizeof symbol);
}

static void done(const char *call, kneo_response *response)
{
    if (response_status(response) != KNEO_OK)
        peer_fail(call, response_redacted(response));
    if (response_json(response)[0] != '{' && response_json(response)[0] != '[')
        peer_fail(call, "no JSON object or list");
    response_free(response);
}

static void client_load(void)
{
    library = dlopen(peer_argument(3, "ADDRESS CA_FILE LIBRARY"), RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        peer_fail("dlopen", dlerror());
    find("kneo_client_open", &client_open);
    find("kneo_totp_login", &totp_login);
    find("kneo_totp_validate", &totp_validate);
    find("kneo_response_status", &response_status);
    find("kneo_response_json", &response_json);
    find("kneo_response_redacted", &response_redacted);
    find("kneo_response_free", &response_free);
    neo_find();
}

static void client_make(void)
{
    done("client_open", client_open(peer_env("KNEO_CONFIG"), &client));
}

static void client_login(const char *totp)
{
    done("totp_login",
         totp_login(client, peer_env("KNEO_MOBILE_NUMBER"), peer_env("KNEO_UCC"), totp));
    done("totp_validate", totp_validate(client, peer_env("KNEO_MPIN")));
}

#endif
