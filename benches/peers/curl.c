/* libcurl as a peer of the benchmark of REST: one easy handle, kept alive, and
 * the requests of the current login as this library sends them. It takes the
 * tokens from the answers by searching for them, which no JSON parser beats.
 *
 * usage: curl ADDRESS CA_FILE */
#define _POSIX_C_SOURCE 200809L
#include <curl/curl.h>
#include <unistd.h>

#include "peer_rest.h"

enum { MAX_BODY = 65536, MAX_LINE = 8192 };

/* Of the trade session. */
static char token[MAX_LINE], sid[MAX_LINE];

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

static void client_load(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        peer_fail("curl_global_init", "failed");
}

static void client_make(void)
{
    const char *ca_file = peer_argument(2, "ADDRESS CA_FILE");
    address = peer_argument(1, "ADDRESS CA_FILE");
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
    if (ca_file[0] != '\0')
        curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file);
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

static void request(const char *path, struct curl_slist *list, const char *posted)
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
    snprintf(url, sizeof url, "%s%s", address, path);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, list);
    if (posted == NULL)
        curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    else
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, posted);
    body_length = 0;
    code = curl_easy_perform(easy);
    if (code != CURLE_OK)
        peer_fail(path, curl_easy_strerror(code));
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200)
        peer_fail(path, body);
    curl_slist_free_all(list);
}

/* What reads and logins say of bodies. */
static struct curl_slist *of_type(struct curl_slist *list, const char *type)
{
    list = header(list, "Accept-Encoding", "gzip, deflate");
    return header(list, "Content-Type", type);
}

static void client_login(const char *totp)
{
    const char *key = peer_env("KNEO_CONSUMER_KEY");
    char json[512];
    struct curl_slist *list;

    snprintf(json, sizeof json, "{\"mobileNumber\":\"%s\",\"ucc\":\"%s\",\"totp\":\"%s\"}",
             peer_env("KNEO_MOBILE_NUMBER"), peer_env("KNEO_UCC"), totp);
    list = header(of_type(NULL, "application/json"), "Authorization", key);
    list = header(list, "neo-fin-key", "neotradeapi");
    request("/login/1.0/tradeApiLogin", list, json);
    value("token", token);
    value("sid", sid);

    snprintf(json, sizeof json, "{\"mpin\":\"%s\"}", peer_env("KNEO_MPIN"));
    list = header(of_type(NULL, "application/json"), "Authorization", key);
    list = header(list, "neo-fin-key", "neotradeapi");
    list = header(list, "Auth", token);
    list = header(list, "sid", sid);
    request("/login/1.0/tradeApiValidate", list, json);
    value("token", token);
    value("sid", sid);

    request("/5config/config?appVersion=0.1.0&platform=api&environment=prod",
            of_type(NULL, "application/json"), NULL);
}

static void rest_order(void)
{
    static unsigned long sequence;
    char form[1024];
    struct curl_slist *list = header(NULL, "Authorization", peer_env("KNEO_CONSUMER_KEY"));
    list = header(list, "Auth", token);
    list = header(list, "Sid", sid);
    list = header(list, "Accept-Encoding", "identity");
    list = header(list, "Content-Type", "application/x-www-form-urlencoded");
    snprintf(form, sizeof form,
             "jData=%%7B%%22am%%22%%3A%%22NO%%22%%2C%%22dq%%22%%3A%%220%%22%%2C%%22es%%22%%3A"
             "%%22nse_cm%%22%%2C%%22mp%%22%%3A%%220%%22%%2C%%22pc%%22%%3A%%22CNC%%22%%2C%%22pr%%22"
             "%%3A%%228.60%%22%%2C%%22pt%%22%%3A%%22L%%22%%2C%%22qt%%22%%3A%%221%%22%%2C%%22rt%%22"
             "%%3A%%22DAY%%22%%2C%%22tp%%22%%3A%%220%%22%%2C%%22ts%%22%%3A%%22IDEA-EQ%%22%%2C%%22"
             "tt%%22%%3A%%22B%%22%%2C%%22ig%%22%%3A%%22curl%d%07lu%%22%%2C%%22os%%22%%3A%%22"
             "NEOTRADEAPI%%22%%7D",
             (int)getpid(), ++sequence);
    request("/quick/order/rule/ms/place", list, form);
    if (strstr(body, "nOrdNo") == NULL)
        peer_fail("place_order", body);
}

static void rest_quote(void)
{
    struct curl_slist *list = of_type(NULL, "application/x-www-form-urlencoded");
    list = header(list, "Authorization", peer_env("KNEO_CONSUMER_KEY"));
    request("/script-details/1.0/quotes/neosymbol/nse_cm|14366/all", list, NULL);
    if (body[0] != '[')
        peer_fail("quotes", body);
}

const struct peer_command peer_commands[] = {
    PEER_CLIENT_COMMANDS, PEER_REST_COMMANDS,
    {NULL, NULL},
};
