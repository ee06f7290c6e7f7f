/* A bare loop that decodes market pictures, as a peer of the benchmark of the
 * feeds: every field of a packet is converted into a plain struct, prices are
 * divided, and nothing else is done.
 *
 *   decode FILE TIMES   decode the frame in FILE so often
 *                       -> packets decoded, nanoseconds, the sum of all prices of one time */
#define _POSIX_C_SOURCE 200809L
#include "peer.h"

enum { HEADER = 9, PICTURE = 144, ROW = 16, ROWS = 20, MOST = 1 << 16 };

struct row {
    double price;
    int64_t quantity;
    int32_t orders;
};

struct picture {
    double open, close, high, low, last, average, percent, value, change;
    double upper, lower, year_high, year_low, multiplier;
    int64_t total_buy, total_sell, volume, trade_time, update_time, last_quantity;
    int64_t open_interest, lot;
    uint32_t token;
    int32_t exchange, level, auction, precision, bids, asks;
    struct row buy[ROWS], sell[ROWS];
};

static uint16_t u16(const unsigned char *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint32_t u32(const unsigned char *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static int32_t i32(const unsigned char *at)
{
    int32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static int64_t i64(const unsigned char *at)
{
    int64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static double f64(const unsigned char *at)
{
    double value;
    memcpy(&value, at, sizeof value);
    return value;
}

static void decode_row(const unsigned char *at, double by, struct row *out)
{
    out->quantity = i64(at);
    out->price = i32(at + 8) / by;
    out->orders = i32(at + 12);
}

static void decode_picture(const unsigned char *packet, size_t size, double by,
                           struct picture *out)
{
    const unsigned char *row = packet + PICTURE;
    uint32_t there = (uint32_t)((size - PICTURE) / ROW), bids, asks;
    out->exchange = (signed char)packet[4];
    out->level = packet[5];
    out->auction = packet[6] > 0;
    out->token = u32(packet + 9);
    out->total_buy = i64(packet + 13);
    out->total_sell = i64(packet + 21);
    out->volume = i64(packet + 29);
    out->trade_time = i64(packet + 37);
    out->update_time = i64(packet + 45);
    out->open = u32(packet + 53) / by;
    out->close = u32(packet + 57) / by;
    out->high = u32(packet + 61) / by;
    out->low = u32(packet + 65) / by;
    out->last = u32(packet + 69) / by;
    out->last_quantity = i64(packet + 73);
    out->average = u32(packet + 81) / by;
    out->percent = i32(packet + 99) / 100.0;
    out->open_interest = u32(packet + 103);
    out->value = f64(packet + 107) / by;
    out->change = i32(packet + 115) / by;
    out->upper = u32(packet + 119) / by;
    out->lower = u32(packet + 123) / by;
    out->year_high = u32(packet + 127) / by;
    out->year_low = u32(packet + 131) / by;
    out->lot = u32(packet + 135);
    out->precision = packet[139];
    out->multiplier = u32(packet + 140);
    bids = packet[5] == 4 ? 1 : u32(packet + 89);
    asks = packet[5] == 4 ? 1 : u32(packet + 93);
    bids = bids < there ? bids : there;
    asks = asks < there - bids ? asks : there - bids;
    bids = bids < ROWS ? bids : ROWS;
    asks = asks < ROWS ? asks : ROWS;
    out->bids = (int32_t)bids;
    out->asks = (int32_t)asks;
    for (uint32_t i = 0; i < bids; i++, row += ROW)
        decode_row(row, by, &out->buy[i]);
    for (uint32_t i = 0; i < asks; i++, row += ROW)
        decode_row(row, by, &out->sell[i]);
}

/* The sum of all prices, so that nobody has left out one. */
static double prices(const struct picture *one)
{
    double sum = one->open + one->close + one->high + one->low + one->last + one->average
               + one->change + one->upper + one->lower + one->year_high + one->year_low;
    for (int i = 0; i < one->bids; i++)
        sum += one->buy[i].price;
    for (int i = 0; i < one->asks; i++)
        sum += one->sell[i].price;
    return sum;
}

static void command_decode(const char *with)
{
    static unsigned char frame[MOST];
    static struct picture one;
    char path[4000];
    long times, packets = 0;
    size_t length;
    double sum = 0;
    int64_t start;
    FILE *file;
    if (sscanf(with, "%3999s %ld", path, &times) != 2)
        peer_fail("decode", with);
    file = fopen(path, "rb");
    if (file == NULL)
        peer_fail(path, "cannot be read");
    length = fread(frame, 1, sizeof frame, file);
    fclose(file);

    start = peer_now();
    for (long i = 0; i < times; i++) {
        for (size_t offset = 0; offset + 2 <= length;) {
            size_t size = u16(frame + offset);
            if (size < PICTURE || offset + size > length)
                peer_fail(path, "no frame of pictures");
            decode_picture(frame + offset, size, 100.0, &one);
            /* Somebody reads it now. */
            __asm__ volatile("" : : "r"(&one) : "memory");
            if (i == 0)
                sum += prices(&one);
            offset += size;
            packets++;
        }
    }
    printf("%ld %lld %.6f\n", packets, (long long)(peer_now() - start), sum);
}

const struct peer_command peer_commands[] = {
    {"decode", command_decode},
    {NULL, NULL},
};
