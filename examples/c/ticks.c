/*
 * Live prices as a table: last price, change, best bid and ask, volume, and how
 * old each price is.
 *
 *     ticks [SECONDS [INSTRUMENT...]]
 *
 * It runs for 10 seconds unless given; 0 is until Ctrl-C. An instrument is like
 * "nse_cm|11536"; an index has its name instead of the number, "nse_cm|Nifty 50".
 *
 * On a terminal the table stays in its place; elsewhere it is printed once a
 * second. Changes of the feed's state are told in lines of their own.
 *
 * KNEO_FEED_OPTIONS may hold the options of kneo_feed_open. The rest of the
 * environment is that of trade.h.
 */
#include "live.h"
#include "trade.h"

enum { BATCH = 64, WAIT_MS = 100, LINE = 79 };

static const char *const usual[] = {"nse_cm|Nifty 50", "nse_cm|2885", "nse_cm|11536",
                                    "nse_cm|14366"};

static const char *const *instruments; /* what is shown, one a row */
static int rows;
static int terminal;
static int drawn; /* lines of the table on the screen */
static long long values, missed;

static const char *state_name(int32_t state)
{
    switch (state) {
    case KNEO_STATE_CONNECTING: return "connecting";
    case KNEO_STATE_AUTHENTICATING: return "authenticating";
    case KNEO_STATE_LIVE: return "live";
    case KNEO_STATE_STALE: return "stale";
    case KNEO_STATE_DOWN: return "down";
    case KNEO_STATE_REFUSED: return "refused";
    default: return "unknown";
    }
}

/* Colours and the like; nothing where no terminal is. */
static const char *style(const char *code)
{
    return terminal ? code : "";
}

/* Takes the table off the screen, so that something else can be printed. */
static void clear(void)
{
    if (terminal && drawn > 0)
        printf("\r\033[%dA\033[J", drawn);
    drawn = 0;
}

/* ---- a row --------------------------------------------------------------- */

static const char *price(char *text, const kneo_tick *tick, uint64_t bit, double value)
{
    int decimals = tick->valid & KNEO_HAS_PRECISION ? tick->precision : 2;
    if ((tick->valid & bit) == 0)
        return "-"; /* the broker sent none */
    snprintf(text, TEXT_SIZE, "%.*f", decimals, value);
    return text;
}

static const char *age(char *text, int64_t us)
{
    if (us < 1000000)
        snprintf(text, TEXT_SIZE, "%d ms", (int)(us / 1000));
    else if (us < 60 * 1000000LL)
        snprintf(text, TEXT_SIZE, "%.1f s", (double)us / 1e6);
    else
        snprintf(text, TEXT_SIZE, "%lld min", (long long)us / 60000000);
    return text;
}

static void print_row(kneo_feed *feed, const char *instrument)
{
    static const char layout[] = "%-17.17s %10s %s%8s%s %10s %10s %10s %8s\n";
    char ltp[TEXT_SIZE], change[TEXT_SIZE] = "-", bid[TEXT_SIZE], ask[TEXT_SIZE];
    char volume[TEXT_SIZE] = "-", old[TEXT_SIZE];
    const char *colour = "";
    kneo_tick tick;

    if (kneo_feed_last(feed, instrument, &tick, sizeof tick) != 1) {
        printf(layout, instrument, "-", "", "-", "", "-", "-", "-", "-");
        return;
    }
    /* Until the broker has told the symbol, what was asked for. */
    const char *symbol = tick.kind == KNEO_KIND_INDEX ? tick.name : tick.trading_symbol;
    if (tick.valid & KNEO_HAS_NET_CHANGE_PERCENT) {
        snprintf(change, sizeof change, "%+.2f%%", tick.net_change_percent);
        colour = tick.net_change_percent < 0 ? style("\033[31m") : style("\033[32m");
    }
    if (tick.valid & KNEO_HAS_VOLUME)
        snprintf(volume, sizeof volume, "%lld", (long long)tick.volume_traded_today);
    printf(layout, symbol[0] != '\0' ? symbol : instrument,
           price(ltp, &tick, KNEO_HAS_LAST_TRADED_PRICE, tick.last_traded_price), colour, change,
           *colour != '\0' ? style("\033[0m") : "",
           price(bid, &tick, KNEO_HAS_BUY, tick.buy_price),
           price(ask, &tick, KNEO_HAS_SELL, tick.sell_price), volume, age(old, tick.age_us));
}

/* ---- the table ----------------------------------------------------------- */

static void draw(kneo_feed *feed)
{
    char line[4 * TEXT_SIZE];
    kneo_response *status = kneo_feed_status(feed);
    const char *state = field(status, "/state");
    int live = strcmp(state, "live") == 0;

    clear();
    if (!terminal)
        printf("\n");
    printf("%-17s %10s %8s %10s %10s %10s %8s\n", "symbol", "LTP", "change", "bid", "ask", "volume",
           "age");
    for (int i = 0; i < rows; i++)
        print_row(feed, instruments[i]);
    /* A reason may be long, for it may be the broker's. */
    int length = snprintf(line, sizeof line, "%s (%.*s), %lld values", state, TEXT_SIZE,
                          field(status, "/reason"), values);
    kneo_response_free(status);
    if (missed > 0)
        snprintf(line + length, sizeof line - (size_t)length, ", %lld missed", missed);
    /* A line that wraps would be one more than is counted. */
    printf("feed: %s%.*s%s\n", style(live ? "\033[32m" : "\033[1;31m"), LINE - 6, line,
           style("\033[0m"));
    drawn = rows + 2;
    fflush(stdout);
}

/* A change of state. A record has no room for the reason; the status has it,
 * unless the state has changed again meanwhile. */
static void tell_state(kneo_feed *feed, const kneo_tick *tick)
{
    char code[TEXT_SIZE] = "";
    const char *state = state_name(tick->feed_state), *reason = "";
    kneo_response *status = kneo_feed_status(feed);
    if (strcmp(field(status, "/state"), state) == 0)
        reason = field(status, "/reason");
    if (tick->valid & KNEO_HAS_CLOSE_CODE)
        snprintf(code, sizeof code, ", close code %d", (int)tick->close_code);
    clear();
    printf("-- %s%s%s%s\n", state, code, reason[0] != '\0' ? ": " : "", reason);
    kneo_response_free(status);
}

/* ---- the program --------------------------------------------------------- */

/* An index is named, everything else has a number. */
static int is_index(const char *instrument)
{
    const char *token = strchr(instrument, '|');
    return token != NULL && token[1 + strspn(token + 1, "0123456789")] != '\0';
}

static int subscribe(kneo_feed *feed)
{
    int ok = 1;
    for (int i = 0; i < rows; i++) {
        const char *kind = is_index(instruments[i]) ? "index" : "scrips";
        ok = done(instruments[i], kneo_feed_subscribe(feed, kind, instruments[i])) && ok;
    }
    return ok;
}

static int show(kneo_feed *feed, int64_t end)
{
    static kneo_tick ticks[BATCH];
    int64_t next = now_ms() + 500; /* the first prices are there then */
    while (!interrupted && now_ms() < end) {
        int32_t count = kneo_feed_read(feed, ticks, BATCH, sizeof *ticks, WAIT_MS);
        if (count < 0) {
            fprintf(stderr, "feed_read: status %d\n", (int)-count);
            return 0;
        }
        for (int32_t i = 0; i < count; i++) {
            if (ticks[i].kind == KNEO_KIND_STATE) {
                tell_state(feed, &ticks[i]);
                if (terminal)
                    next = 0; /* the table is gone */
            } else {
                values++;
                missed += (long long)ticks[i].replaced;
            }
        }
        if (now_ms() >= next) {
            draw(feed);
            next = now_ms() + (terminal ? 200 : 1000);
        }
    }
    if (interrupted && terminal)
        printf("\n"); /* behind the ^C */
    return 1;
}

int main(int count, char **arguments)
{
    long seconds = seconds_of(count > 1 ? arguments[1] : "10");
    if (seconds < 0) {
        fprintf(stderr, "usage: ticks [SECONDS [INSTRUMENT...]]\n");
        return 2;
    }
    instruments = count > 2 ? (const char *const *)arguments + 2 : usual;
    rows = count > 2 ? count - 2 : (int)(sizeof usual / sizeof *usual);
    terminal = is_terminal();
    heed_ctrl_c();

    kneo_client *client = log_in();
    if (client == NULL)
        return EXIT_FAILURE;
    kneo_feed *feed = NULL;
    int ok = done("feed_open", kneo_feed_open(client, getenv("KNEO_FEED_OPTIONS"), &feed))
        && subscribe(feed) && show(feed, end_after(seconds));
    kneo_feed_free(feed);
    return finish(client, ok);
}
