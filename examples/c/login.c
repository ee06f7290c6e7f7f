/*
 * Log in to Kotak Neo from C.
 *
 *     login totp        mobile number, UCC and TOTP, then the MPIN  (the default)
 *     login password    mobile number and password, then OTP or MPIN
 *
 * Everything is read from the environment, and asked for where it is missing:
 *
 *     KNEO_CONFIG         the configuration, as JSON (see kneo_client_open)
 *     KNEO_MOBILE_NUMBER  KNEO_UCC  KNEO_MPIN  KNEO_PASSWORD  KNEO_OTP
 *     KNEO_TOTP           the code of now, or instead of it
 *     KNEO_TOTP_SECRET    the secret behind the codes, in base32
 *
 * For each call one line is printed: its name, its status, and its JSON with
 * tokens and personal data masked. The program ends with 0 only when every
 * call was KNEO_OK and no handle is left open.
 */
#ifndef _WIN32
#define _POSIX_C_SOURCE 200809L /* fileno, termios */
#endif

#include "kotak_neo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#include <windows.h>
#else
#include <termios.h>
#include <unistd.h>
#endif

enum { LINE_SIZE = 512, MOST_INPUTS = 16 };

/* ---- reading: environment, then keyboard ------------------------------- */

/* What is read in is kept here, so that it can be wiped at the end. */
static struct {
    char *text;
    size_t size;
} inputs[MOST_INPUTS];
static size_t input_count;

static char *new_input(size_t size)
{
    char *text = input_count < MOST_INPUTS ? calloc(size, 1) : NULL;
    if (text == NULL) {
        fputs("out of memory\n", stderr);
        exit(1);
    }
    inputs[input_count].text = text;
    inputs[input_count].size = size;
    input_count++;
    return text;
}

static void wipe(void *memory, size_t size)
{
    /* volatile: a plain memset before free may be optimised away */
    volatile unsigned char *byte = memory;
    while (size-- > 0)
        *byte++ = 0;
}

static void wipe_inputs(void)
{
    for (size_t i = 0; i < input_count; i++) {
        wipe(inputs[i].text, inputs[i].size);
        free(inputs[i].text);
    }
    input_count = 0;
}

#ifdef _WIN32

/* The library takes UTF-8. getenv gives the ANSI code page, so ask Windows. */
static const char *variable(const char *name)
{
    wchar_t wide_name[64];
    if (!MultiByteToWideChar(CP_UTF8, 0, name, -1, wide_name, 64))
        return NULL;
    DWORD wide_size = GetEnvironmentVariableW(wide_name, NULL, 0);
    if (wide_size <= 1)
        return NULL;
    wchar_t *wide = (wchar_t *)new_input(wide_size * sizeof *wide);
    GetEnvironmentVariableW(wide_name, wide, wide_size);
    int size = WideCharToMultiByte(CP_UTF8, 0, wide, -1, NULL, 0, NULL, NULL);
    if (size <= 0)
        return NULL;
    char *text = new_input((size_t)size);
    WideCharToMultiByte(CP_UTF8, 0, wide, -1, text, size, NULL, NULL);
    return text;
}

static int prompt(const char *label, char *line, int hidden)
{
    HANDLE console = GetStdHandle(STD_INPUT_HANDLE);
    DWORD mode = 0;
    fprintf(stderr, "%s: ", label);
    if (!GetConsoleMode(console, &mode)) /* a pipe or a file */
        return fgets(line, LINE_SIZE, stdin) != NULL;

    wchar_t wide[LINE_SIZE / 4];
    DWORD count = 0;
    if (hidden && !SetConsoleMode(console, mode & ~(DWORD)ENABLE_ECHO_INPUT))
        return 0;
    BOOL done = ReadConsoleW(console, wide, LINE_SIZE / 4 - 1, &count, NULL);
    if (hidden) {
        SetConsoleMode(console, mode);
        fputc('\n', stderr);
    }
    wide[done ? count : 0] = L'\0';
    int size = WideCharToMultiByte(CP_UTF8, 0, wide, -1, line, LINE_SIZE, NULL, NULL);
    wipe(wide, sizeof wide);
    return done && size > 1;
}

#else

static const char *variable(const char *name)
{
    const char *text = getenv(name);
    return text != NULL && *text != '\0' ? text : NULL;
}

static int prompt(const char *label, char *line, int hidden)
{
    /* Echo goes off before the prompt shows, for users who type fast. */
    struct termios shown;
    int terminal = hidden && tcgetattr(STDIN_FILENO, &shown) == 0;
    if (terminal) {
        struct termios quiet = shown;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        quiet.c_lflag |= ECHONL;
        if (tcsetattr(STDIN_FILENO, TCSADRAIN, &quiet) != 0)
            return 0; /* rather no input than a secret on the screen */
    }
    fprintf(stderr, "%s: ", label);
    char *got = fgets(line, LINE_SIZE, stdin);
    if (terminal)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &shown);
    return got != NULL;
}

#endif

/* The value of an environment variable, or what the user types instead. */
static const char *ask(const char *name, const char *label, int hidden)
{
    const char *given = variable(name);
    if (given != NULL)
        return given;

    char *line = new_input(LINE_SIZE);
    if (!prompt(label, line, hidden)) {
        fprintf(stderr, "\n%s is needed: set %s or type it in\n", label, name);
        wipe_inputs();
        exit(1);
    }
    line[strcspn(line, "\r\n")] = '\0';
    return line;
}

/* ---- configuration ----------------------------------------------------- */

/* Appends `text` as a JSON string. `to` has room for the longest form. */
static char *append_json(char *to, const char *text)
{
    *to++ = '"';
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20) {
            to += sprintf(to, "\\u%04x", c);
            continue;
        }
        if (c == '"' || c == '\\')
            *to++ = '\\';
        *to++ = (char)c;
    }
    *to++ = '"';
    *to = '\0';
    return to;
}

static const char *configuration(int with_secret)
{
    const char *given = variable("KNEO_CONFIG");
    if (given != NULL)
        return given;

    const char *key = ask("KNEO_CONSUMER_KEY", "Consumer key", 1);
    const char *secret = with_secret ? ask("KNEO_CONSUMER_SECRET", "Consumer secret", 1) : "";
    char *json = new_input(64 + 6 * (strlen(key) + strlen(secret)));
    char *end = json + sprintf(json, "{\"consumer_key\":");
    end = append_json(end, key);
    if (with_secret) {
        end += sprintf(end, ",\"consumer_secret\":");
        end = append_json(end, secret);
    }
    strcpy(end, "}");
    return json;
}

/* ---- calls ------------------------------------------------------------- */

/* Prints the outcome of a call, frees it, and says whether it was KNEO_OK. */
static int show(const char *operation, kneo_response *response)
{
    int32_t status = kneo_response_status(response);
    printf("%s: %d %s\n", operation, (int)status, kneo_response_redacted(response));
    fflush(stdout);
    kneo_response_free(response);
    return status == KNEO_OK;
}

/* The six digits of now: given, made from the secret, or typed in. */
static const char *totp_of_now(void)
{
    const char *secret = variable("KNEO_TOTP_SECRET");
    if (variable("KNEO_TOTP") != NULL || secret == NULL)
        return ask("KNEO_TOTP", "TOTP", 1);

    kneo_response *response = kneo_totp_generate(secret);
    if (kneo_response_status(response) != KNEO_OK) {
        show("totp_generate", response);
        return NULL;
    }
    const char *made = kneo_response_field(response, "/totp");
    char *totp = new_input(7);
    if (made != NULL)
        strncpy(totp, made, 6);
    kneo_response_free(response);
    return totp;
}

static int log_in_with_totp(kneo_client *client)
{
    const char *mobile_number = ask("KNEO_MOBILE_NUMBER", "Mobile number", 0);
    const char *ucc = ask("KNEO_UCC", "UCC", 0);
    const char *mpin = ask("KNEO_MPIN", "MPIN", 1);
    const char *totp = totp_of_now(); /* last: it is good for seconds only */
    return totp != NULL
        && show("totp_login", kneo_totp_login(client, mobile_number, ucc, totp))
        && show("totp_validate", kneo_totp_validate(client, mpin));
}

static int log_in_with_password(kneo_client *client)
{
    const char *mobile_number = ask("KNEO_MOBILE_NUMBER", "Mobile number", 0);
    const char *password = ask("KNEO_PASSWORD", "Password", 1);
    /* One of mobile number, user id and PAN is given; the others are NULL. */
    return show("login", kneo_login(client, mobile_number, NULL, NULL, password))
        && show("session_2fa", kneo_session_2fa(client, ask("KNEO_OTP", "OTP or MPIN", 1)));
}

int main(int argc, char **argv)
{
    const char *way = argc > 1 ? argv[1] : "totp";
    int by_password = strcmp(way, "password") == 0;
    if (argc > 2 || (!by_password && strcmp(way, "totp") != 0)) {
        fprintf(stderr, "usage: %s [totp|password]\n", argv[0]);
        return 2;
    }
#ifdef _WIN32
    SetConsoleOutputCP(CP_UTF8);
#endif
    setvbuf(stdin, NULL, _IONBF, 0); /* no copy of a secret in a buffer */
    if (kneo_abi_version() != KNEO_ABI_VERSION) {
        fprintf(stderr, "kotak_neo %s has another ABI than this program\n", kneo_version());
        return 1;
    }

    kneo_client *client = NULL;
    kneo_response *opened = kneo_client_open(configuration(by_password), &client);
    int ok;
    if (kneo_response_status(opened) == KNEO_OK) {
        kneo_response_free(opened);
        ok = (by_password ? log_in_with_password(client) : log_in_with_totp(client))
            && show("session_info", kneo_session_info(client))
            && show("logout", kneo_logout(client));
        kneo_client_free(client);
    } else {
        ok = show("client_open", opened);
    }
    wipe_inputs();

    if (kneo_shutdown(5000) != KNEO_OK) {
        fputs("the library's threads did not end in time\n", stderr);
        ok = 0;
    }
    int32_t live = kneo_live_handles();
    printf("live handles: %d\n", (int)live);
    return ok && live == 0 ? 0 : 1;
}
