/* This library as a peer of the login benchmark: a C program that loads the
 * shared library at run time, as a host without a linker does.
 *
 * usage: neo ADDRESS CA_FILE LIBRARY   (KNEO_CONFIG holds the configuration) */
#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>

#include "kotak_neo.h"
#include "peer.h"

static void *library;
static kneo_client *client;

static kneo_response *(*client_open)(const char *, kneo_client **);
static kneo_response *(*totp_login)(kneo_client *, const char *, const char *, const char *);
static kneo_response *(*totp_validate)(kneo_client *, const char *);
static int32_t (*response_status)(const kneo_response *);
static const char *(*response_json)(const kneo_response *);
static const char *(*response_redacted)(const kneo_response *);
static void (*response_free)(kneo_response *);

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
    if (response_json(response)[0] != '{')
        peer_fail(call, "no JSON object");
    response_free(response);
}

static void peer_load(int count, char **arguments)
{
    if (count != 4)
        peer_fail("usage", "neo ADDRESS CA_FILE LIBRARY");
    library = dlopen(arguments[3], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        peer_fail("dlopen", dlerror());
    find("kneo_client_open", &client_open);
    find("kneo_totp_login", &totp_login);
    find("kneo_totp_validate", &totp_validate);
    find("kneo_response_status", &response_status);
    find("kneo_response_json", &response_json);
    find("kneo_response_redacted", &response_redacted);
    find("kneo_response_free", &response_free);
}

static void peer_client(int count, char **arguments)
{
    (void)count;
    (void)arguments;
    done("client_open", client_open(peer_env("KNEO_CONFIG"), &client));
}

static void peer_login(const char *totp)
{
    done("totp_login",
         totp_login(client, peer_env("KNEO_MOBILE_NUMBER"), peer_env("KNEO_UCC"), totp));
    done("totp_validate", totp_validate(client, peer_env("KNEO_MPIN")));
}
