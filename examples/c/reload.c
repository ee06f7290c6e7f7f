/*
 * What a host with plug-ins does: load the library at run time, log in, shut
 * it down, unload it, and then the same again.
 *
 *     reload path/to/the/shared/library
 *
 * The library stays in memory after the unload: once it has started a thread
 * it pins itself, so that no thread ever runs in code that is gone. The
 * program checks that too. KNEO_CONFIG, KNEO_MOBILE_NUMBER, KNEO_PASSWORD and
 * KNEO_OTP are taken from the environment.
 */
#ifndef _WIN32
#define _GNU_SOURCE /* RTLD_NOLOAD */
#endif

#include "kotak_neo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#include <windows.h>

static void *load(const char *path)
{
    /* Backslashes: with others the altered search path is not used. */
    return (void *)LoadLibraryExA(path, NULL, LOAD_WITH_ALTERED_SEARCH_PATH);
}

static void *symbol(void *module, const char *name)
{
    FARPROC found = GetProcAddress((HMODULE)module, name);
    void *address;
    memcpy(&address, &found, sizeof address);
    return address;
}

static void unload(void *module)
{
    FreeLibrary((HMODULE)module);
}

static int is_loaded(const char *path)
{
    return GetModuleHandleA(path) != NULL;
}
#else
#include <dlfcn.h>

static void *load(const char *path)
{
    return dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

static void *symbol(void *module, const char *name)
{
    return dlsym(module, name);
}

static void unload(void *module)
{
    dlclose(module);
}

static int is_loaded(const char *path)
{
    void *module = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
    if (module != NULL)
        dlclose(module); /* gives back the reference just taken */
    return module != NULL;
}
#endif

/* The functions in use, with the types that the header gives them. */
static struct {
    int32_t (*live_handles)(void);
    int32_t (*shutdown)(int32_t);
    int32_t (*response_status)(const kneo_response *);
    const char *(*response_redacted)(const kneo_response *);
    void (*response_free)(kneo_response *);
    kneo_response *(*client_open)(const char *, kneo_client **);
    void (*client_free)(kneo_client *);
    kneo_response *(*login)(kneo_client *, const char *, const char *, const char *, const char *);
    kneo_response *(*session_2fa)(kneo_client *, const char *);
} kneo;

static int find(void *module, const char *name, void *pointer)
{
    void *address = symbol(module, name);
    if (address == NULL)
        fprintf(stderr, "%s is not exported\n", name);
    memcpy(pointer, &address, sizeof address); /* C has no cast for this */
    return address != NULL;
}

static int find_all(void *module)
{
    return find(module, "kneo_live_handles", &kneo.live_handles)
        && find(module, "kneo_shutdown", &kneo.shutdown)
        && find(module, "kneo_response_status", &kneo.response_status)
        && find(module, "kneo_response_redacted", &kneo.response_redacted)
        && find(module, "kneo_response_free", &kneo.response_free)
        && find(module, "kneo_client_open", &kneo.client_open)
        && find(module, "kneo_client_free", &kneo.client_free)
        && find(module, "kneo_login", &kneo.login)
        && find(module, "kneo_session_2fa", &kneo.session_2fa);
}

static int show(const char *operation, kneo_response *response)
{
    int32_t status = kneo.response_status(response);
    printf("%s: %d %s\n", operation, (int)status, kneo.response_redacted(response));
    kneo.response_free(response);
    return status == KNEO_OK;
}

/* Loads, logs in, shuts down, unloads; 0 when a part of it failed. */
static int one_round(const char *path)
{
    void *module = load(path);
    if (module == NULL) {
        fprintf(stderr, "cannot load %s\n", path);
        return 0;
    }
    if (!find_all(module))
        return 0;

    kneo_client *client = NULL;
    int ok = show("client_open", kneo.client_open(getenv("KNEO_CONFIG"), &client))
        && show("login", kneo.login(client, getenv("KNEO_MOBILE_NUMBER"), NULL, NULL,
                                    getenv("KNEO_PASSWORD")))
        && show("session_2fa", kneo.session_2fa(client, getenv("KNEO_OTP")));
    kneo.client_free(client);

    int32_t ended = kneo.shutdown(5000);
    printf("shutdown: %d\n", (int)ended);
    int32_t live = kneo.live_handles();
    printf("live handles: %d\n", (int)live);
    unload(module);
    int pinned = is_loaded(path);
    printf("still in memory: %s\n", pinned ? "yes" : "no");
    return ok && ended == KNEO_OK && live == 0 && pinned;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s path/to/the/shared/library\n", argv[0]);
        return 2;
    }
    return one_round(argv[1]) && one_round(argv[1]) ? 0 : 1;
}
