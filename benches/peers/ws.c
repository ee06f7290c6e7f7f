/* A bare reader of a WebSocket as a peer of the benchmark of the feeds: what
 * the socket gives when nobody decodes, keeps or hands over anything. It shakes
 * hands, logs in, and then only steps from frame to frame and from packet to
 * packet.
 *
 *   open FILE    connect, log in, and subscribe to what FILE names -> 0
 *   structs MS   count packets for so long                         -> packets, 0, nanoseconds
 *   close        close the connection                              -> 0
 *
 * usage: ws PORT UCC   (KNEO_SID holds the session id) */
#define _POSIX_C_SOURCE 200809L
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"

enum { MOST_TEXT = 1 << 17, BUFFER = 1 << 18 };

static int connection;
static unsigned char buffer[BUFFER];
/* What of the buffer is filled, and where the next frame begins. */
static size_t filled, at;

static void write_all(const void *bytes, size_t length)
{
    const char *next = bytes;
    while (length > 0) {
        ssize_t written = write(connection, next, length);
        if (written <= 0)
            peer_fail("write", "failed");
        next += written;
        length -= (size_t)written;
    }
}

static void read_more(void)
{
    ssize_t count;
    if (at > 0) {
        memmove(buffer, buffer + at, filled - at);
        filled -= at;
        at = 0;
    }
    count = read(connection, buffer + filled, sizeof buffer - filled);
    if (count <= 0)
        peer_fail("read", "the connection ended");
    filled += (size_t)count;
}

/* The next frame, whole. */
static const unsigned char *next_frame(size_t *length)
{
    for (;;) {
        const unsigned char *head = buffer + at;
        size_t there = filled - at, before = 2;
        if (there >= 2) {
            size_t size = head[1] & 127;
            if (size == 126)
                before = 4;
            else if (size == 127)
                peer_fail("frame", "far too long");
            if (there >= before) {
                if (before == 4)
                    size = (size_t)head[2] << 8 | head[3];
                if (there >= before + size) {
                    at += before + size;
                    *length = size;
                    return head + before;
                }
            }
        }
        read_more();
    }
}

/* Sends a text frame; with the mask 0 a text is what it was. */
static void say(const char *text)
{
    size_t length = strlen(text);
    unsigned char head[14] = {0x81};
    size_t used;
    if (length < 126) {
        head[1] = (unsigned char)(0x80 | length);
        used = 2;
    } else if (length < 65536) {
        head[1] = 0x80 | 126;
        head[2] = (unsigned char)(length >> 8);
        head[3] = (unsigned char)length;
        used = 4;
    } else {
        peer_fail("text", "too long");
        return;
    }
    write_all(head, used + 4);
    write_all(text, length);
}

static void shake_hands(void)
{
    static const char request[] = "GET /apifeed HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                                  "Connection: Upgrade\r\nUpgrade: websocket\r\n"
                                  "Sec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    const unsigned char *end = NULL;
    write_all(request, sizeof request - 1);
    while (end == NULL) {
        read_more();
        for (size_t i = 3; i < filled && end == NULL; i++)
            if (memcmp(buffer + i - 3, "\r\n\r\n", 4) == 0)
                end = buffer + i + 1;
    }
    if (filled < 12 || memcmp(buffer, "HTTP/1.1 101", 12) != 0)
        peer_fail("handshake", "refused");
    at = (size_t)(end - buffer);
}

static void command_open(const char *with)
{
    static const char usage[] = "ws PORT UCC";
    static char tokens[MOST_TEXT], text[MOST_TEXT + 256];
    const char *sid = getenv("KNEO_SID");
    struct sockaddr_in address = {.sin_family = AF_INET};
    int yes = 1;
    size_t length;
    const unsigned char *answer;
    FILE *file = fopen(with, "r");
    if (file == NULL || fgets(tokens, sizeof tokens, file) == NULL)
        peer_fail(with, "cannot be read");
    fclose(file);
    if (sid == NULL)
        peer_fail("KNEO_SID", "not set");

    filled = at = 0;
    address.sin_port = htons((uint16_t)peer_number(peer_argument(1, usage)));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connection = socket(AF_INET, SOCK_STREAM, 0);
    if (connection < 0 || connect(connection, (struct sockaddr *)&address, sizeof address) != 0)
        peer_fail("connect", "failed");
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    shake_hands();
    snprintf(text, sizeof text,
             "{\"user\":\"%s\",\"auth\":\"%s\",\"format\":\"native_batch\","
             "\"source\":\"NEOTRADEAPI\"}",
             peer_argument(2, usage), sid);
    say(text);
    answer = next_frame(&length);
    if (length < 20 || memcmp(answer, "{\"exchanges\"", 12) != 0)
        peer_fail("login", "refused");
    snprintf(text, sizeof text, "{\"event\":\"subscribeScrips\",\"inputtoken\":\"%s\"}", tokens);
    say(text);
    printf("0\n");
}

static void command_structs(const char *with)
{
    int64_t start = peer_now(), end = start + peer_number(with) * 1000000;
    long packets = 0;
    while (peer_now() < end) {
        for (int frames = 0; frames < 16; frames++) {
            size_t length, offset = 0;
            const unsigned char *frame = next_frame(&length);
            while (offset + 2 <= length) {
                size_t size = frame[offset] | (size_t)frame[offset + 1] << 8;
                if (size < 9 || offset + size > length)
                    peer_fail("packet", "a wrong length");
                offset += size;
                packets++;
            }
        }
    }
    printf("%ld 0 %lld\n", packets, (long long)(peer_now() - start));
}

static void command_close(const char *with)
{
    (void)with;
    close(connection);
    printf("0\n");
}

const struct peer_command peer_commands[] = {
    {"open", command_open}, {"structs", command_structs}, {"close", command_close},
    {NULL, NULL},
};
