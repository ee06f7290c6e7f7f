/* libcurl as a peer of the login benchmark: one easy handle, kept alive, and
 * the requests of the current login as this library sends them. It takes the
 * tokens from the answers by searching for them, which no JSON parser beats.
 *
 * usage: curl ADDRESS CA_FILE */
#define _POSIX_C_SOURCE 200809L
#include <curl/curl.h>

#include "peer.h"

enum { MAX_BODY = 65536, MAX_LINE = 8192 };

static CURL *easy;
static const char *address;
static char body[MAX_BODY];
static size_t body_length;

static size_t take(char *bytes, size_t size, size_t count, void *unused)
{
    size_t length = size * count;
    (void)unused;
    if (body_length + length >= MAX_BODY)
        return 0;
    memcpy(body + body_length, bytes, length);
    body_length += length;
    body[body_length] = '\0';
    return length;
}

static void peer_load(int count, char **arguments)
{
    (void)count;
    (void)arguments;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        peer_fail("curl_global_init", "failed");
}

static void peer_client(int count, char **arguments)
{
    (void)count;
    address = arguments[1];
    easy = curl_easy_init();
    if (easy == NULL)
        peer_fail("curl_easy_init", "failed");
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_COOKIEFILE, "");
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "kotak_neo/0.1.0");
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 30000L);
    if (arguments[2][0] != '\0')
        curl_easy_setopt(easy, CURLOPT_CAINFO, arguments[2]);
}

/* The text value of a key in the last answer. */
static void value(const char *key, char *into)
{
    char quoted[64];
    const char *start, *end;
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    start = strstr(body, quoted);
    if (start == NULL)
        peer_fail(key, "not in the answer");
    start = strchr(start + strlen(quoted), '"');
    end = start == NULL ? NULL : strchr(start + 1, '"');
    if (end == NULL || end - start > MAX_LINE - 64)
        peer_fail(key, "not a text in the answer");
    memcpy(into, start + 1, (size_t)(end - start - 1));
    into[end - start - 1] = '\0';
}

static struct curl_slist *header(struct curl_slist *list, const char *name, const char *text)
{
    char line[MAX_LINE + 64];
    snprintf(line, sizeof line, "%s: %s", name, text);
    list = curl_slist_append(list, line);
    if (list == NULL)
        peer_fail("curl_slist_append", "failed");
    return list;
}

static void request(const char *path, struct curl_slist *list, const char *json)
{
    static unsigned long sequence;
    char url[MAX_LINE], client[16], id[40];
    long status = 0;
    CURLcode code;
    snprintf(client, sizeof client, "%.8s***", peer_env("KNEO_CONSUMER_KEY"));
    list = header(list, "X-Client-ID", client);
    snprintf(id, sizeof id, "00000000-0000-4000-8000-%012lu", ++sequence);
    list = header(list, "X-Request-ID", id);
    list = header(list, "Accept", "application/json");
    list = header(list, "Accept-Encoding", "gzip, deflate");
    list = header(list, "Content-Type", "application/json");
    snprintf(url, sizeof url, "%s%s", address, path);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, list);
    if (json == NULL)
        curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    else
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, json);
    body_length = 0;
    code = curl_easy_perform(easy);
    if (code != CURLE_OK)
        peer_fail(path, curl_easy_strerror(code));
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200)
        peer_fail(path, body);
    curl_slist_free_all(list);
}

static void peer_login(const char *totp)
{
    const char *key = peer_env("KNEO_CONSUMER_KEY");
    char json[512], token[MAX_LINE], sid[MAX_LINE];
    struct curl_slist *list;

    snprintf(json, sizeof json, "{\"mobileNumber\":\"%s\",\"ucc\":\"%s\",\"totp\":\"%s\"}",
             peer_env("KNEO_MOBILE_NUMBER"), peer_env("KNEO_UCC"), totp);
    list = header(NULL, "Authorization", key);
    list = header(list, "neo-fin-key", "neotradeapi");
    request("/login/1.0/tradeApiLogin", list, json);
    value("token", token);
    value("sid", sid);

    snprintf(json, sizeof json, "{\"mpin\":\"%s\"}", peer_env("KNEO_MPIN"));
    list = header(NULL, "Authorization", key);
    list = header(list, "neo-fin-key", "neotradeapi");
    list = header(list, "Auth", token);
    list = header(list, "sid", sid);
    request("/login/1.0/tradeApiValidate", list, json);
    value("token", token);

    request("/5config/config?appVersion=0.1.0&platform=api&environment=prod", NULL, NULL);
}
