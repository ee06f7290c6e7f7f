/*
 * kotak_neo: native client for the Kotak Neo trading API. Unofficial.
 *
 * License: MIT or Apache-2.0, at your choice.
 *
 * Handles. A handle is an opaque pointer whose value is an id, not an address.
 * NULL, freed, foreign and made-up handles are survived: functions answer
 * KNEO_INVALID_HANDLE, freeing does nothing. Who gets a handle frees it once.
 *
 * Responses. Every call that can fail returns a kneo_response, never NULL.
 * Status, JSON and message are read from it; its texts stay valid until it is
 * freed. There is no "last error".
 *
 * Texts. In: NUL-terminated UTF-8, NULL where that is allowed means "not
 * given". They are copied where they are needed after the call. Out: UTF-8,
 * never to be freed by the caller.
 *
 * Parameters. An argument called "params" is one JSON object. Null means absent;
 * an unknown key, or one that stands twice, is an error that names it. Two keys
 * are taken by every operation, and by every name that kneo_call knows:
 * - "timeout_ms", 1 to 3600000: the deadline of this call, in place of the one of
 *   its class in the configuration
 * - "call_id", 1 to 64 printable ASCII characters: a name for this one call, by
 *   which kneo_client_cancel ends it and no other. kneo_response_meta shows it.
 *   While a call is under way, another one of the same name is
 *   KNEO_INVALID_ARGUMENT
 * Both mean nothing to operations that need no network.
 *
 * Names. Operations have the broker's own names. What belongs to a handle is
 * kneo_<handle>_<verb> if it does something, kneo_<handle>_<noun> if it only
 * tells something (kneo_response_status, kneo_feed_last). "feed" alone is the
 * market feed, "order_feed" the other one.
 *
 * Threads. Any handle may be used from any thread at any time. There are no
 * callbacks. A call blocks until the answer is there or its deadline passed,
 * whatever the other side sends. A thread that calls needs a stack of 128 KiB
 * (131072 bytes), its own frames included; one that only sends orders on a
 * connection that is there needs 64 KiB.
 *
 * Shutdown. End or interrupt your calls, free what you hold, then call
 * kneo_shutdown before the library is unloaded.
 */


#ifndef KOTAK_NEO_H
#define KOTAK_NEO_H

/* Generated from src/ffi by cbindgen. Do not edit. */

#include <stddef.h>
#include <stdint.h>

/**
 * Done. For calls to the broker the JSON is the broker's body.
 */
#define KNEO_OK 0

/**
 * An argument is missing, malformed or not allowed. Nothing of what it refuses
 * was sent; "sent" in the JSON tells whether a lookup was.
 */
#define KNEO_INVALID_ARGUMENT 1

/**
 * The handle is NULL, freed or foreign. Nothing was sent.
 */
#define KNEO_INVALID_HANDLE 2

/**
 * A login step that the call needs has not happened. Nothing was sent.
 */
#define KNEO_NOT_LOGGED_IN 3

/**
 * The broker no longer accepts this session: log in again.
 */
#define KNEO_SESSION_EXPIRED 4

/**
 * The broker answered, and said no.
 */
#define KNEO_REJECTED 5

/**
 * The local budget is used up, or the broker answered 429.
 */
#define KNEO_RATE_LIMITED 6

/**
 * No answer in time. "sent" in the JSON tells whether anything left.
 */
#define KNEO_TIMEOUT 7

/**
 * Name lookup, connection or TLS failed, or an answer was cut off. Also if the
 * system had no thread, memory or descriptor for it: the message tells which.
 */
#define KNEO_NETWORK 8

/**
 * An order instruction may have been taken: see kneo_order_outcome.
 */
#define KNEO_UNKNOWN_OUTCOME 9

/**
 * The answer is not what the broker documents, or is larger than is read.
 * A login was granted with a token that no request could carry.
 */
#define KNEO_PROTOCOL 10

/**
 * The broker answered 5xx, 424 or its code 1005.
 */
#define KNEO_UNAVAILABLE 11

/**
 * The call was cancelled, or its handle was closed or interrupted while it
 * waited; or an instruction of a client that was halted.
 */
#define KNEO_CLOSED 12

/**
 * A defect in this library, or the system refused what it needs but for a
 * connection.
 */
#define KNEO_INTERNAL 13

/**
 * A wait ended with nothing to give.
 */
#define KNEO_END 14

/**
 * The version of the ABI that this header describes.
 */
#define KNEO_ABI_VERSION 1

/**
 * The record is a touch line or market depth.
 */
#define KNEO_KIND_SCRIP 1

/**
 * The record is a mini touch line.
 */
#define KNEO_KIND_SCRIP_LITE 2

/**
 * The record is an index.
 */
#define KNEO_KIND_INDEX 3

/**
 * The record tells how an exchange segment is: see status_code.
 */
#define KNEO_KIND_MARKET_STATUS 4

/**
 * The record is a reference price of the closing auction.
 */
#define KNEO_KIND_CAS 5

/**
 * The record tells how the feed is: see feed_state. It has no prices.
 */
#define KNEO_KIND_STATE 6

/**
 * A connection is being made.
 */
#define KNEO_STATE_CONNECTING 1

/**
 * Connected; the broker has not confirmed the login yet.
 */
#define KNEO_STATE_AUTHENTICATING 2

/**
 * Logged in, and the connection lives.
 */
#define KNEO_STATE_LIVE 3

/**
 * The connection lives, but what is subscribed sends nothing.
 */
#define KNEO_STATE_STALE 4

/**
 * No connection; it is tried again without limit.
 */
#define KNEO_STATE_DOWN 5

/**
 * The broker does not accept the login, or there is no session: log in again.
 */
#define KNEO_STATE_REFUSED 6

/**
 * last_traded_price is there.
 */
#define KNEO_HAS_LAST_TRADED_PRICE (1 << 0)

/**
 * open_price, high_price and low_price are there.
 */
#define KNEO_HAS_OHL (1 << 1)

/**
 * close_price is there.
 */
#define KNEO_HAS_CLOSE_PRICE (1 << 2)

/**
 * average_trade_price is there.
 */
#define KNEO_HAS_AVERAGE_TRADE_PRICE (1 << 3)

/**
 * net_change is there.
 */
#define KNEO_HAS_NET_CHANGE (1 << 4)

/**
 * net_change_percent is there.
 */
#define KNEO_HAS_NET_CHANGE_PERCENT (1 << 5)

/**
 * upper_circuit_limit and lower_circuit_limit are there.
 */
#define KNEO_HAS_CIRCUIT_LIMITS (1 << 6)

/**
 * yearly_high and yearly_low are there.
 */
#define KNEO_HAS_YEARLY (1 << 7)

/**
 * total_traded_value is there.
 */
#define KNEO_HAS_TOTAL_TRADED_VALUE (1 << 8)

/**
 * buy_price, buy_quantity and buy_orders are there: the best bid.
 */
#define KNEO_HAS_BUY (1 << 9)

/**
 * sell_price, sell_quantity and sell_orders are there: the best ask.
 */
#define KNEO_HAS_SELL (1 << 10)

/**
 * ref_price, imbalance_qty and imbalance_qty_at_market are there.
 */
#define KNEO_HAS_CAS (1 << 11)

/**
 * last_trade_time is there: there was a trade.
 */
#define KNEO_HAS_LAST_TRADE_TIME (1 << 12)

/**
 * last_update_time is there: the instrument was ever updated.
 */
#define KNEO_HAS_LAST_UPDATE_TIME (1 << 13)

/**
 * last_trade_qty is there.
 */
#define KNEO_HAS_LAST_TRADE_QTY (1 << 14)

/**
 * total_buy_quantity and total_sell_quantity are there.
 */
#define KNEO_HAS_TOTAL_QUANTITIES (1 << 15)

/**
 * volume_traded_today is there.
 */
#define KNEO_HAS_VOLUME (1 << 16)

/**
 * open_interest is there.
 */
#define KNEO_HAS_OPEN_INTEREST (1 << 17)

/**
 * market_lot is there.
 */
#define KNEO_HAS_MARKET_LOT (1 << 18)

/**
 * precision and multiplier are there.
 */
#define KNEO_HAS_PRECISION (1 << 19)

/**
 * status_code is there.
 */
#define KNEO_HAS_STATUS_CODE (1 << 20)

/**
 * close_code is there.
 */
#define KNEO_HAS_CLOSE_CODE (1 << 21)

/**
 * The rows of each side in a kneo_depth.
 */
#define KNEO_DEPTH_ROWS 20

/**
 * A connection to the broker for one user. Opaque.
 *
 * Owned by the caller, who frees it once with kneo_client_free. Any thread
 * may use it at any time, also several at once. After fork() the child's
 * copy of the handle is invalid; the child opens a client of its own.
 */
typedef struct kneo_client kneo_client;

/**
 * A market feed: prices, indices and the state of exchanges. Opaque. The feed
 * of orders is a kneo_order_feed.
 *
 * Owned by the caller, who frees it once with kneo_feed_free. Any thread may
 * use it at any time, also several at once: readers share one queue. It ends
 * with its client.
 */
typedef struct kneo_feed kneo_feed;

/**
 * The order feed of a client. Opaque.
 *
 * Owned by the caller, who frees it once with kneo_order_feed_free. Any
 * thread may use it at any time; readers of one feed compete for its events.
 * It ends with its client, and must still be freed then.
 */
typedef struct kneo_order_feed kneo_order_feed;

/**
 * The answer to one call. Opaque.
 *
 * Owned by the caller, who frees it once with kneo_response_free. Any thread
 * may read it at any time. All texts read from it stay valid until it is
 * freed. It outlives its client and kneo_shutdown.
 */
typedef struct kneo_response kneo_response;

/**
 * One record of a market feed.
 *
 * Prices are in rupees: the broker's whole number, which stands beside each
 * as ..._raw, divided by divider. A field is there only if its bit in valid
 * is set (KNEO_HAS_...); else it is 0 and means nothing. Times of the
 * exchange are unix seconds.
 */
typedef struct {
  /**
   * Price of the last trade; value of an index.
   */
  double last_traded_price;
  /**
   * First price of the day.
   */
  double open_price;
  /**
   * Highest price of the day.
   */
  double high_price;
  /**
   * Lowest price of the day.
   */
  double low_price;
  /**
   * Closing price of the day before.
   */
  double close_price;
  /**
   * Average price of the day's trades.
   */
  double average_trade_price;
  /**
   * Change against the closing price, in rupees (points of an index).
   */
  double net_change;
  /**
   * Change against the closing price, in percent.
   */
  double net_change_percent;
  /**
   * Highest price that orders may have today.
   */
  double upper_circuit_limit;
  /**
   * Lowest price that orders may have today.
   */
  double lower_circuit_limit;
  /**
   * Highest price of 52 weeks.
   */
  double yearly_high;
  /**
   * Lowest price of 52 weeks.
   */
  double yearly_low;
  /**
   * Value of the day's trades, as the broker scales it (by divider).
   */
  double total_traded_value;
  /**
   * Price of the best bid.
   */
  double buy_price;
  /**
   * Price of the best ask.
   */
  double sell_price;
  /**
   * Reference price of the closing auction.
   */
  double ref_price;
  /**
   * The broker's multiplier for the instrument.
   */
  double multiplier;
  /**
   * last_traded_price as the broker sent it.
   */
  int64_t last_traded_price_raw;
  /**
   * open_price as the broker sent it.
   */
  int64_t open_price_raw;
  /**
   * high_price as the broker sent it.
   */
  int64_t high_price_raw;
  /**
   * low_price as the broker sent it.
   */
  int64_t low_price_raw;
  /**
   * close_price as the broker sent it.
   */
  int64_t close_price_raw;
  /**
   * average_trade_price as the broker sent it.
   */
  int64_t average_trade_price_raw;
  /**
   * net_change as the broker sent it; of an index computed.
   */
  int64_t net_change_raw;
  /**
   * upper_circuit_limit as the broker sent it.
   */
  int64_t upper_circuit_limit_raw;
  /**
   * lower_circuit_limit as the broker sent it.
   */
  int64_t lower_circuit_limit_raw;
  /**
   * yearly_high as the broker sent it.
   */
  int64_t yearly_high_raw;
  /**
   * yearly_low as the broker sent it.
   */
  int64_t yearly_low_raw;
  /**
   * buy_price as the broker sent it.
   */
  int64_t buy_price_raw;
  /**
   * sell_price as the broker sent it.
   */
  int64_t sell_price_raw;
  /**
   * ref_price as the broker sent it.
   */
  int64_t ref_price_raw;
  /**
   * When the last trade was, unix seconds.
   */
  int64_t last_trade_time;
  /**
   * When the exchange last updated the instrument, unix seconds.
   */
  int64_t last_update_time;
  /**
   * Quantity of the last trade.
   */
  int64_t last_trade_qty;
  /**
   * Quantity of all bids.
   */
  int64_t total_buy_quantity;
  /**
   * Quantity of all asks.
   */
  int64_t total_sell_quantity;
  /**
   * Quantity traded today.
   */
  int64_t volume_traded_today;
  /**
   * Open interest.
   */
  int64_t open_interest;
  /**
   * Quantity of the best bid.
   */
  int64_t buy_quantity;
  /**
   * Quantity of the best ask.
   */
  int64_t sell_quantity;
  /**
   * Imbalance of orders in the closing auction.
   */
  int64_t imbalance_qty;
  /**
   * The same of market orders.
   */
  int64_t imbalance_qty_at_market;
  /**
   * Smallest quantity that can be traded.
   */
  int64_t market_lot;
  /**
   * When this record arrived here, unix nanoseconds, by this machine's
   * clock.
   */
  int64_t received_ns;
  /**
   * How old it was when it was read, in microseconds since it arrived.
   * Not touched by changes of the clock.
   */
  int64_t age_us;
  /**
   * Counts all records of a feed in the order in which they arrived.
   */
  uint64_t sequence;
  /**
   * How many older values of the same record were never read since the
   * one before.
   */
  uint64_t replaced;
  /**
   * Which fields are there: bits KNEO_HAS_...
   */
  uint64_t valid;
  /**
   * What the record is: KNEO_KIND_...
   */
  int32_t kind;
  /**
   * The broker's number of the exchange segment.
   */
  int32_t exchange_id;
  /**
   * The broker's number of the instrument; 0 for a status or state.
   */
  uint32_t token;
  /**
   * What raw prices are divided by.
   */
  int32_t divider;
  /**
   * The broker's level: 1 mini touch line, 2 or 4 touch line, 8 depth, 16
   * full depth; else 0.
   */
  int32_t level;
  /**
   * Decimals of a price.
   */
  int32_t precision;
  /**
   * 1 during an auction, else 0.
   */
  int32_t auction;
  /**
   * Orders at the best bid.
   */
  int32_t buy_orders;
  /**
   * Orders at the best ask.
   */
  int32_t sell_orders;
  /**
   * Rows of bids that kneo_feed_depth has.
   */
  int32_t buy_rows;
  /**
   * Rows of asks that kneo_feed_depth has.
   */
  int32_t sell_rows;
  /**
   * What the exchange said: 1 open, 2 closed; 3 to 12 see the guide.
   */
  int32_t status_code;
  /**
   * Of a state record: the state. Else: the feed's state when the record
   * was read. KNEO_STATE_...
   */
  int32_t feed_state;
  /**
   * Of a state record: the close code of the connection.
   */
  int32_t close_code;
  /**
   * Of a state record: how many changes it stands for, 1 or more.
   */
  int32_t state_changes;
  /**
   * 0.
   */
  int32_t reserved;
  /**
   * The exchange segment, for example "nse_cm", with a NUL at its end.
   */
  char exchange_segment[8];
  /**
   * The trading symbol, UTF-8 with a NUL at its end; empty until the broker
   * has told it.
   */
  char trading_symbol[48];
  /**
   * The name of an index, UTF-8 with a NUL at its end; else empty.
   */
  char name[24];
} kneo_tick;

/**
 * One price of the market depth.
 */
typedef struct {
  /**
   * The price in rupees.
   */
  double price;
  /**
   * The price as the broker sent it.
   */
  int64_t price_raw;
  /**
   * Quantity at this price.
   */
  int64_t quantity;
  /**
   * Orders at this price.
   */
  int32_t orders;
  /**
   * 0.
   */
  int32_t reserved;
} kneo_depth_row;

/**
 * The market depth of one instrument.
 */
typedef struct {
  /**
   * Bids, best first. Those from buy_rows on are 0.
   */
  kneo_depth_row buy[KNEO_DEPTH_ROWS];
  /**
   * Asks, best first. Those from sell_rows on are 0.
   */
  kneo_depth_row sell[KNEO_DEPTH_ROWS];
  /**
   * When it arrived here, unix nanoseconds, by this machine's clock.
   */
  int64_t received_ns;
  /**
   * How old it was when it was read, in microseconds.
   */
  int64_t age_us;
  /**
   * As in kneo_tick.
   */
  uint64_t sequence;
  /**
   * The broker's number of the exchange segment.
   */
  int32_t exchange_id;
  /**
   * The broker's number of the instrument.
   */
  uint32_t token;
  /**
   * What raw prices are divided by.
   */
  int32_t divider;
  /**
   * 4 touch line (one row each), 8 depth, 16 full depth.
   */
  int32_t level;
  /**
   * How many bids there are in buy.
   */
  int32_t buy_rows;
  /**
   * How many asks there are in sell.
   */
  int32_t sell_rows;
  /**
   * How many bids the broker sent; more than buy_rows if they do not fit.
   */
  int32_t buy_rows_sent;
  /**
   * How many asks the broker sent.
   */
  int32_t sell_rows_sent;
  /**
   * The feed's state when this was read: KNEO_STATE_...
   */
  int32_t feed_state;
  /**
   * 0.
   */
  int32_t reserved;
  /**
   * As in kneo_tick.
   */
  char exchange_segment[8];
  /**
   * As in kneo_tick.
   */
  char trading_symbol[48];
} kneo_depth;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The version of the loaded library, for example "0.1.0". A constant text
 * that is never freed.
 */
const char *kneo_version(void);

/**
 * The ABI version of the loaded library. A program built with this header
 * works with any library that gives KNEO_ABI_VERSION.
 */
uint32_t kneo_abi_version(void);

/**
 * How many handles of this process are not freed yet, of all kinds.
 *
 * 0 at the end of a program that frees what it gets: leak checkers do not
 * see handles.
 */
int32_t kneo_live_handles(void);

/**
 * Ends everything that the library does: calls under way end with
 * KNEO_CLOSED, clients and feeds die, threads end. Responses stay readable and must
 * still be freed. After that the library can be used again.
 *
 * timeout_ms: how long to wait for it, 0 or more milliseconds.
 *
 * Returns KNEO_OK when nothing is left running; KNEO_TIMEOUT when something
 * still runs (a name lookup of the system cannot be cancelled);
 * KNEO_INVALID_ARGUMENT for a negative timeout, which does nothing.
 *
 * Call it before the library is unloaded. Its code stays mapped all the same
 * once a client was opened, so that an unload never pulls it away from under
 * a thread. Do not call it from DllMain or a static destructor.
 */
int32_t kneo_shutdown(int32_t timeout_ms);

/**
 * How the call ended: one of the KNEO_ statuses.
 *
 * Of a dead handle it is KNEO_INVALID_HANDLE.
 */
int32_t kneo_response_status(const kneo_response *response);

/**
 * The HTTP status of the broker's answer, 0 where there was none.
 */
int32_t kneo_response_http_status(const kneo_response *response);

/**
 * The JSON text of the answer, as UTF-8 with a NUL at its end.
 *
 * With KNEO_OK it is the broker's body, byte for byte, without a byte-order mark,
 * or what the function documents (where the broker is not asked, says that there
 * is nothing, or is asked several times). With any other status it is an
 * error body: {"error":{"status","code","message","hint","http_status",
 * "operation","request_id","sent","safe_to_repeat","retry_after_ms","tag",
 * "broker"}}. Never NULL. The answers of logins carry tokens: show
 * kneo_response_redacted instead.
 *
 * The text belongs to the response and stays valid until
 * kneo_response_free. Of a dead handle it is a constant error body.
 */
const char *kneo_response_json(const kneo_response *response);

/**
 * The length of the JSON text in bytes, without the NUL at its end.
 */
size_t kneo_response_json_len(const kneo_response *response);

/**
 * What went wrong, in one sentence; empty with KNEO_OK. Never NULL.
 *
 * Valid until kneo_response_free. It holds no credential and no token.
 */
const char *kneo_response_message(const kneo_response *response);

/**
 * Facts about the call itself, as JSON: "operation", "request_id", "tag",
 * "elapsed_ms" (a number with fractions), and where they apply "waited_ms" (how
 * many of these the call waited for its turn), "call_id" (as it was given),
 * "notes" (a list of sentences), "earlier_answer" (true: an "intent_id" was
 * used before, and nothing was sent), "amo_set_from" (see kneo_cancel_order),
 * "hints" (of rows of orders: a list of {"order_id", "reason", "hint"}, the
 * broker's reason for a rejection and what to do about it, each once and 64 at
 * most) and "hints_left_out" (how many rows gave more), "scrip_day" and "stale"
 * (see kneo_search_scrip), "requests", "instruments" and "part" (see
 * kneo_quotes), and "otp" (what kneo_login did about the OTP:
 * {"requested":true}, or false with a "problem").
 *
 * "connection" is that of the last request which the call needed; there is none if
 * the call came to no connection, or ended before an answer on one that was kept from
 * earlier reads. Where they are known: "reused" (true: opened by an earlier call),
 * "peer" (address and port of the other end: the broker's, or the
 * proxy's), "family" ("ipv4" or "ipv6", to the peer), "proxy" (its host and port);
 * in milliseconds with fractions "dns_ms" (name lookup), "tcp_ms" (from the first
 * address that was tried until one was reached), "proxy_ms" (its tunnel) and "tls_ms"
 * of one that this call opened, and "first_byte_ms" (from the sending to the head of
 * the answer). A call that failed while it connected has the steps that were done.
 * Never NULL.
 *
 * Valid until kneo_response_free.
 */
const char *kneo_response_meta(const kneo_response *response);

/**
 * The JSON text with credentials, tokens and personal data replaced by
 * "***": for screens and logs. Never NULL.
 *
 * Valid until kneo_response_free.
 */
const char *kneo_response_redacted(const kneo_response *response);

/**
 * One value of the JSON text, found by JSON Pointer (RFC 6901): "/data/0/ordSt".
 *
 * pointer: "" for the whole, or "/" and a key or a place (from 0) for each step;
 *   "~1" in a key stands for "/", "~0" for "~". "meta:" before it looks into
 *   kneo_response_meta instead: "meta:/tag".
 *
 * Returns a string without quotes and escapes, as UTF-8; any other value as its
 * JSON text, numbers as they came, null as "null". A NUL in a string (\u0000)
 * becomes "?". Of a key that stands twice the last value counts. NULL if there
 * is no such value, for a malformed pointer, NULL, or a dead handle.
 *
 * The first call reads the JSON text once; after that every value is found
 * without reading it again. Valid until kneo_response_free. Like the JSON text
 * it may be a token.
 *
 * # Safety
 *
 * pointer must be NULL or NUL-terminated.
 */
const char *kneo_response_field(const kneo_response *response,
                                const char *pointer);

/**
 * How many members a list or an object of the JSON text has.
 *
 * pointer: as for kneo_response_field; "/data" in most books.
 *
 * Returns the number (a key that stands twice counts once); -1 if there is no such
 * value, if it is neither list nor object, for a malformed pointer, NULL, or a
 * dead handle.
 *
 * # Safety
 *
 * pointer must be NULL or NUL-terminated.
 */
int32_t kneo_response_length(const kneo_response *response,
                             const char *pointer);

/**
 * Frees a response and wipes its texts. NULL and dead handles are ignored.
 */
void kneo_response_free(kneo_response *response);

/**
 * Opens a client. Nothing is sent to anybody.
 *
 * config: a JSON object, or NULL or "" for all defaults. Its keys, all
 * optional:
 * - "environment": "prod" (default) or "uat"
 * - "generation": 1, 2 or 3; chosen by the login call unless given
 * - "consumer_key", "consumer_secret", "access_token", "neo_fin_key"
 * - "base_url": puts every host of the broker on this address (sandbox);
 *   http is allowed to loopback only
 * - "timeouts": object of milliseconds, 1 to 3600000 each: "login" 30000,
 *   "order" 10000, "read" 15000, "download" 120000, "connect" 5000
 * - "ca_file": PEM file of authorities to trust besides the system's
 * - "proxy": "http://user:password@host:port" (the login may be left out)
 *   or "system"; none unless given, and never for loopback
 * - "local_address": IP address to connect from; addresses of its family only are
 *   tried then
 * - "max_orders_per_second": 1 to 1000000 (10), in any second of the broker's;
 *   clients of one account in this process share what was sent
 * - "max_reads_per_second": object of 1 to 1000000 each, in any second of
 *   the broker's: "quotes" 25 (expiries and chains too), "candles" 2, "other"
 *   10 (books and all else); clients of one account share what was sent. A
 *   read waits for its turn within its deadline, else it is KNEO_RATE_LIMITED
 *   and not sent. Logins and instructions never wait for reads
 * - "max_quotes_at_once": 1 to 1000000 (4), quotes, expiries and chains that
 *   are sent and not answered yet
 * - "ledger_file", "ledger_sync" ("process" or "disk"),
 *   "outcome_window_ms" (120000), "cache_dir"
 * - "read_only": true lets no instruction leave, cancels included
 * - "max_order_quantity", "max_order_value" (price times quantity),
 *   "max_orders_per_day" (new orders), "allowed_segments" (a list like
 *   ["nse_cm"]): an order beyond them is KNEO_INVALID_ARGUMENT and not sent
 * - "log": {"level":"off|error|warn|info|debug|trace","file":"path"}
 *
 * Paths are relative to the folder of the process at this moment; a later change
 * of the folder moves nothing. One that begins with ~, $NAME or %NAME%, begins or
 * ends with a quote or a blank, or is a file:// address is an error. Blanks around
 * a credential or an address say nothing.
 *
 * An unknown key is an error that names it; null means absent.
 *
 * out: receives the client, or NULL on failure. Must not be NULL.
 *
 * Returns a response, never NULL, to be freed with kneo_response_free:
 * KNEO_OK with the configuration in force, defaults included and secrets left
 * out, and the library's "version"; or KNEO_INVALID_ARGUMENT.
 *
 * # Safety
 *
 * config must be NULL or a NUL-terminated text, out must be NULL or
 * point to a writable pointer.
 */
kneo_response *kneo_client_open(const char *config,
                                kneo_client **out);

/**
 * Ends the calls that are under way on this client with KNEO_CLOSED, within
 * a moment; an instruction that may have left ends with KNEO_UNKNOWN_OUTCOME.
 * The session stays, and later calls work. NULL and dead handles are ignored.
 */
void kneo_client_interrupt(kneo_client *client);

/**
 * Ends one call by its name, and no other: the call whose parameters have this
 * "call_id" (see the top of this header; functions without parameters are
 * named by kneo_call).
 *
 * client: a live client.
 * call_id: 1 to 64 printable ASCII characters.
 *
 * The call ends within a moment with KNEO_CLOSED; an instruction that may have
 * left with KNEO_UNKNOWN_OUTCOME and its tag; a login that the broker has
 * granted already still succeeds. If no such call is under way, the next one
 * that begins with this id ends at once and sends nothing: so a cancel may come
 * first, and an id should be used once. 1,024 such cancels are remembered, the
 * oldest are forgotten. A call that has ended is not affected.
 *
 * Returns KNEO_OK with {"under_way":true}, or false if the cancel was
 * remembered; KNEO_INVALID_ARGUMENT; KNEO_INVALID_HANDLE. Does not wait for
 * the call to end.
 *
 * # Safety
 *
 * call_id must be NULL or NUL-terminated.
 */
kneo_response *kneo_client_cancel(kneo_client *client, const char *call_id);

/**
 * The kill switch: from now on nothing but cancels leaves this client, until
 * another one is opened.
 *
 * client: a live client.
 *
 * Once this has returned no new order and no modification passes its point of
 * no return: those that wait for a slot or a connection, and all later ones,
 * end with KNEO_CLOSED, and nothing of them is sent. What had passed it before
 * goes on, may be taken, and ends as always. Reads, logins and feeds go on;
 * neither a new login nor kneo_client_interrupt ends the halt. Other clients
 * of this process are not halted. Open orders are not cancelled by it.
 *
 * Returns KNEO_OK with {"halted":true,"under_way":n}: n instructions have been
 * begun, may have left, and have not ended; KNEO_INVALID_HANDLE; KNEO_CLOSED.
 * Does not wait for them. Halting again changes nothing.
 */
kneo_response *kneo_client_halt(kneo_client *client);

/**
 * Frees a client: closes its connections, wipes its session, and ends the
 * calls that other threads make on it, as kneo_client_interrupt does. The
 * broker is not told; kneo_logout does that. NULL and dead handles are ignored.
 */
void kneo_client_free(kneo_client *client);

/**
 * First step of the TOTP login: makes a view session, which may do nothing
 * but take the second step. Needs "consumer_key" in the configuration; with
 * "generation":2 also "consumer_secret", or "access_token" instead of both.
 *
 * client: a live client.
 * mobile_number: "+" and country code and number, or the ten digits of an
 *   Indian number, which get "+91". "00" stands for "+"; of an Indian number
 *   "0" or "91" may stand before the ten digits. Blanks, dashes, brackets and
 *   points between the digits say nothing.
 * ucc: unique client code, 1 to 16 letters and digits.
 * totp: 6 digits, valid for 30 seconds; see kneo_totp_generate. Blanks and
 *   dashes in it, and blanks and line ends around any of the three, say nothing.
 *
 * Returns KNEO_OK with the broker's body ("data" with "token", "sid",
 * "ucc", "kType":"View" and more). A wrong TOTP or UCC is KNEO_REJECTED. It
 * is never sent twice; "safe_to_repeat" in the error tells whether the same
 * call may be made again. Blocks up to the "login" deadline.
 *
 * # Safety
 *
 * The texts must be NULL or NUL-terminated.
 */
kneo_response *kneo_totp_login(kneo_client *client,
                               const char *mobile_number,
                               const char *ucc,
                               const char *totp);

/**
 * Second step of the TOTP login: turns the view session into a trade
 * session. Then asks the broker's config service for the feed URLs of the
 * account's data centre (5 seconds at most; a failure is a note in
 * kneo_response_meta and does no harm).
 *
 * client: a client after kneo_totp_login.
 * mpin: 6 digits.
 *
 * Returns KNEO_OK with the broker's body ("data" with "token", "sid",
 * "baseUrl", "kType":"Trade" and more). A wrong MPIN is KNEO_REJECTED;
 * without the first step KNEO_NOT_LOGGED_IN; a "baseUrl" that is no host of
 * the broker KNEO_PROTOCOL, and nothing is sent there; where there is none, a
 * note in kneo_response_meta says that the host of the login stays. After a failure the
 * session is what it was before. Never sent twice. Blocks up to the "login"
 * deadline.
 *
 * # Safety
 *
 * mpin must be NULL or NUL-terminated.
 */
kneo_response *kneo_totp_validate(kneo_client *client,
                                  const char *mpin);

/**
 * First step of the password login (generation 1). Gets a bearer token
 * before, unless there is one ("access_token", or "consumer_key" and
 * "consumer_secret"), and asks the broker to send an OTP after it: what came
 * of that is "otp" in kneo_response_meta, and the login is valid either way.
 *
 * client: a live client.
 * mobile_number, user_id, pan: exactly one of the three; the others NULL or
 *   "". The mobile number as for kneo_totp_login; the PAN as five letters,
 *   four digits and a letter, in any case.
 * password: not blank. It is never changed: one with a line end, another
 *   control character or a blank that nobody types (such as U+00A0) is
 *   KNEO_INVALID_ARGUMENT.
 *
 * Returns KNEO_OK with the broker's body ("data" with "token", "sid" and
 * more). A wrong password, consumer key or secret is KNEO_REJECTED. Never
 * sent twice. Blocks up to the "login" deadline.
 *
 * # Safety
 *
 * The texts must be NULL or NUL-terminated.
 */
kneo_response *kneo_login(kneo_client *client,
                          const char *mobile_number,
                          const char *user_id,
                          const char *pan,
                          const char *password);

/**
 * Second factor of the password login: makes a trade session.
 *
 * client: a client after kneo_login.
 * otp: the 4-digit OTP that the broker sent, or the 6-digit MPIN. Six digits
 *   are taken as the MPIN after a login with mobile number or PAN, and as an
 *   OTP after one with a user id.
 *
 * Returns KNEO_OK with the broker's body. A wrong code is KNEO_REJECTED;
 * without the first step KNEO_NOT_LOGGED_IN. After a failure the session is
 * what it was before. Never sent twice. Blocks up to the "login" deadline.
 *
 * # Safety
 *
 * otp must be NULL or NUL-terminated.
 */
kneo_response *kneo_session_2fa(kneo_client *client, const char *otp);

/**
 * OAuth2 of the older generations: exchanges "consumer_key" and
 * "consumer_secret" of the configuration for a bearer token, which later
 * logins use. The logins do this themselves when it is needed.
 *
 * client: a live client.
 *
 * Returns KNEO_OK with the broker's body ("access_token", "expires_in" in
 * seconds). A wrong key or secret is KNEO_REJECTED. Generation 2 in
 * production finds its host by the UCC, so there it is
 * KNEO_INVALID_ARGUMENT. Blocks up to the "login" deadline.
 */
kneo_response *kneo_session_init(kneo_client *client);

/**
 * First step of the QR login (generation 2): looks up the user's host, gets
 * a bearer token if there is none, and asks for the link to open or scan.
 *
 * client: a live client.
 * ucc: unique client code, 1 to 16 letters and digits.
 *
 * Returns KNEO_OK with the broker's body ("data" with "baseDomain" and
 * "redirectUrl"). Blocks up to the "login" deadline.
 *
 * # Safety
 *
 * ucc must be NULL or NUL-terminated.
 */
kneo_response *kneo_qr_code_link(kneo_client *client, const char *ucc);

/**
 * Second step of the QR login: makes a trade session of the one-time token
 * that the approved page gave.
 *
 * client: a live client.
 * ott: the one-time token, not blank.
 * ucc: unique client code, 1 to 16 letters and digits.
 *
 * Returns KNEO_OK with the broker's body. A wrong token is KNEO_REJECTED.
 * Never sent twice. Blocks up to the "login" deadline.
 *
 * # Safety
 *
 * The texts must be NULL or NUL-terminated.
 */
kneo_response *kneo_qr_code_session(kneo_client *client,
                                    const char *ott,
                                    const char *ucc);

/**
 * The code that an authenticator app shows at this moment (RFC 6238, SHA-1,
 * 30 seconds, 6 digits). It is as right as the clock of this machine.
 *
 * secret_base32: the secret of the registration, in any case, with or without
 *   blanks, line ends, dashes and padding; at most 512 characters. Or the whole
 *   address in the QR code, "otpauth://totp/NAME?secret=...": its "digits"
 *   (6 to 8) and "period" (1 to 3600 seconds) count, its "algorithm" must be
 *   SHA1. Addresses of counted codes (hotp) and exports of an app
 *   (otpauth-migration) are refused. No message shows a part of it.
 *
 * Returns KNEO_OK with {"totp":"123456","valid_for_seconds":17} (1 to 30, or
 * to the period), or KNEO_INVALID_ARGUMENT. Sends nothing and needs no client.
 *
 * # Safety
 *
 * secret_base32 must be NULL or NUL-terminated.
 */
kneo_response *kneo_totp_generate(const char *secret_base32);

/**
 * What is known of the session. Holds no secret; sends nothing.
 *
 * client: a live client.
 *
 * Returns KNEO_OK with {"state":"logged_out"|"view"|"trade",
 * "environment", ...}; a view session adds "generation" and "ucc", a trade
 * session these and "data_center", "base_url", "base_url_from" (who named that host:
 * "answer", "fixed" if there is one for all, or "login" if the answer named none, so that
 * the host of the login stayed, which may refuse every call with code 200032), "feed_url",
 * "order_feed_url", "logged_in_at", "expires_at" (unix seconds; null if the token does not
 * say), "expired": whether that time is over by the clock of the broker's last answer, sleep
 * of the machine included, or by the wall clock before the first one; null if the token does
 * not say. It is told and nothing more: a call is sent all the same, and the broker decides.
 * And "login_family": "ipv4" or "ipv6", by which the login went, or null (behind a proxy, and
 * after the import of a session that does not say it).
 */
kneo_response *kneo_session_info(kneo_client *client);

/**
 * The session as a JSON document, from which kneo_session_import in this or
 * another process can go on until midnight in India. It holds tokens: keep
 * it like a password. The consumer key is not in it. Sends nothing.
 *
 * client: a client with a trade session.
 *
 * Returns KNEO_OK with the document, or KNEO_NOT_LOGGED_IN.
 */
kneo_response *kneo_session_export(kneo_client *client);

/**
 * Goes on with a session that kneo_session_export gave. Sends nothing.
 *
 * client: a live client of the same environment, with the consumer key.
 * session: the document.
 *
 * Returns KNEO_OK with what kneo_session_info shows, or
 * KNEO_INVALID_ARGUMENT if the document is of another environment, not of
 * today (IST), expired, or names a host that this client may not use.
 *
 * # Safety
 *
 * session must be NULL or NUL-terminated.
 */
kneo_response *kneo_session_import(kneo_client *client, const char *session);

/**
 * The IP address that the broker sees requests come from: the one that must
 * be whitelisted for orders. Generation 3.
 *
 * client: a client with a trade session.
 *
 * Returns KNEO_OK with the broker's body ("data" is a list with "ip" and
 * "time"). Blocks up to the "read" deadline.
 */
kneo_response *kneo_whatsmyip(kneo_client *client);

/**
 * Ends the session. Generation 3 forgets it and sends nothing, as the
 * official SDK does; the older generations tell the broker first.
 *
 * client: a client with a trade session.
 *
 * Returns KNEO_OK with {"State":"OK",...} or the broker's body, or
 * KNEO_NOT_LOGGED_IN. After any other failure the session is kept, so that
 * the call can be made again, unless the status is KNEO_SESSION_EXPIRED.
 */
kneo_response *kneo_logout(kneo_client *client);

/**
 * Places an order. It leaves at most once; no layer repeats it.
 *
 * client: a live client with a trade session.
 * params: a JSON object with the official SDK's keyword names. Prices are in
 *   rupees, quantities in units (shares, not lots). In mcx_fo they are very
 *   probably lots times "lLotSize" of the scrip file, as its feed and freeze
 *   quantity are (CRUDEOIL: 100 is one lot); no document and no live order
 *   confirms it, and nothing is converted. Numbers are JSON numbers or
 *   strings; their exact text is sent, but for zero, which is sent as 0.
 * - "exchange_segment": nse_cm, bse_cm, nse_fo, bse_fo, mcx_fo
 * - "product": CNC, NRML, MIS, MTF. Cover and bracket orders are refused: the
 *   broker ended them on 1 April 2026
 * - "price": more than 0 for L and SL; "0" for MKT and SL-M
 * - "order_type": L (limit), MKT (market), SL (stop-loss limit), SL-M
 *   (stop-loss market; the broker takes it and then always rejects it, which
 *   "notes" of kneo_response_meta say: send SL with a limit price beyond the
 *   trigger, on the tick)
 * - "quantity": a whole number, more than 0
 * - "validity": DAY, IOC (DAY only in mcx_fo)
 * - "trading_symbol": pTrdSymbol of the scrip master
 * - "transaction_type": B, S, Buy, Sell
 * - optional: "amo" (YES for an after-market order, NO), "disclosed_quantity" ("0"), "trigger_price"
 *   ("0"; more than 0 for SL and SL-M), "tag" (1 to 64 printable ASCII
 *   characters without blanks, " and \, unique for the day; one is made if
 *   none is given), "intent_id" (1 to 64 such characters; needs a ledger_file:
 *   the same id is never sent twice in a trading day, nor within an hour)
 *
 * In generations 1 and 2 also "market_protection", "pf" (N, Y) and the
 * spellings of the older SDKs.
 *
 * Returns KNEO_OK with the broker's body ("nOrdNo" is the order number): the
 * broker took the order, the exchange may still reject it, which the order
 * book tells. KNEO_REJECTED and KNEO_SESSION_EXPIRED: it was not taken.
 * KNEO_UNKNOWN_OUTCOME: it may have been taken; do not send it again, call
 * kneo_order_outcome with the "tag" that the error and kneo_response_meta
 * show. Any other status: nothing of it was sent. KNEO_RATE_LIMITED:
 * "max_orders_per_second" is used up until after the deadline.
 *
 * # Safety
 *
 * params must be NULL or NUL-terminated.
 */
kneo_response *kneo_place_order(kneo_client *client,
                                const char *params);

/**
 * Changes an order that is open. It leaves at most once.
 *
 * client: a live client with a trade session.
 * params: a JSON object; all values are those that the order shall have
 *   then: "order_id" (nOrdNo), "price", "order_type", "quantity" (the total,
 *   filled units included), "validity" (DAY, IOC); optional
 *   "trigger_price", "disclosed_quantity", "amo", "intent_id",
 *   with the units, values and rules of kneo_place_order. An after-market
 *   order is changed with "amo" or without. In generations 1
 *   and 2 also "instrument_token", "exchange_segment", "product",
 *   "trading_symbol", "transaction_type" (read from the order book unless all
 *   are given), "market_protection", "dd", "filled_quantity".
 *
 * Returns what kneo_place_order returns; an unknown outcome is settled by the
 * "tag" that the error shows, or by "order_id".
 *
 * # Safety
 *
 * params must be NULL or NUL-terminated.
 */
kneo_response *kneo_modify_order(kneo_client *client, const char *params);

/**
 * Cancels an order that is open. It leaves at most once. One slot in ten of
 * "max_orders_per_second" (rounded down) is kept for cancels.
 *
 * client: a live client with a trade session.
 * params: a JSON object: "order_id" (nOrdNo); optional "amo" (YES for an
 *   after-market order, NO), "trading_symbol" (of an after-market order),
 *   "isVerify" (true reads the order book first, in generations 1 and 2),
 *   "intent_id".
 *
 * An after-market order is cancelled with "amo" YES. Without, the broker
 * answers code 14, which is KNEO_REJECTED: nothing was cancelled. Where "amo"
 * is not given and this client knows the order as an after-market order
 * ("ordGenTp" AMO, or such a state, in an answer of kneo_order_report,
 * kneo_order_history or kneo_order_outcome or an event of its order feed; or
 * placed as one by it or its ledger), YES is sent. "amo_set_from" and "notes"
 * of kneo_response_meta say so. A given NO is sent, with a note. The trading
 * symbol goes along if it is given or known like that; the live broker does
 * without. Nothing is asked for either, and no second cancel is sent. The
 * newest 4,096 such orders are known, each to the account that it is of.
 *
 * Returns what kneo_place_order returns; an unknown outcome is settled by the
 * "tag" that the error shows, or by "order_id".
 *
 * # Safety
 *
 * params must be NULL or NUL-terminated.
 */
kneo_response *kneo_cancel_order(kneo_client *client, const char *params);

/**
 * Settles an instruction whose outcome is unknown, by reading the order book.
 * It sends no instruction, and may be called as often as wanted.
 *
 * client: a live client with a trade session of the same account.
 * params: a JSON object with one of "tag" (of any instruction) and "order_id"
 *   (for the newest modification or cancel of that order that is not settled).
 *   "timeout_ms" is the "read" timeout unless given.
 *   The call reads again and again until the outcome is proved or the time is
 *   nearly over, so a long time waits for the proof and a short one polls.
 *
 * Returns KNEO_OK with
 *   {"outcome","message","operation","tag","order_id","state","row","hint",
 *   "rows","candidates","reads","sent_at_ms","ask_again_after_ms"}. "hint" is
 *   what to do about the reason for which "row" was rejected, or null; "hints"
 *   of kneo_response_meta have those of all rows.
 * - "placed": "row" is the order in the order book, "state" its status
 * - "applied": the order has the state that was asked for
 * - "absent": it was not taken; sending anew is safe. That takes two
 *   readings, both "outcome_window_ms" after nothing of it can be on its way
 *   any more (seconds after the end of its call, or after the opening of this
 *   client, if an earlier process sent it), of the same account and trading
 *   day, with clocks that agree, that show every order known to be there, no
 *   row that may be it, or its order without the change. Where no order is
 *   known to be there, trades and positions are read too
 * - "unknown": not proved; "message" names what the proof lacks, and
 *   "candidates" are rows that may be it. It stays so once the trading day is
 *   over: look at the order and trade history in the broker's app. A change to
 *   a market order may stay so: the broker shows a limit order instead. So is
 *   an "order_id" of which no change is open: "row" shows the order, and
 *   "operation" is null
 *
 * What was seen counts for the next call. Otherwise the errors of a read.
 *
 * # Safety
 *
 * params must be NULL or NUL-terminated.
 */
kneo_response *kneo_order_outcome(kneo_client *client, const char *params);

/**
 * The instructions that were begun and are not settled: those of the ledger,
 * also of an earlier process, until the broker shows another trading day (IST),
 * and those whose call is running; or without a ledger_file those of this client
 * whose call has ended. Needs no network.
 *
 * client: a live client.
 *
 * Returns KNEO_OK with {"intents":[{"tag","intent_id","operation","order_id",
 * "ucc","sent_at_ms","request"}]}; "request" holds the broker's keys. Settle
 * each with kneo_order_outcome.
 */
kneo_response *kneo_open_intents(kneo_client *client);

/**
 * The instructions that are open in a ledger file, whoever has it: a program of
 * another process that runs, that has crashed, or none. Reads only; it neither
 * holds the file nor keeps its holder from anything. Needs no client and no
 * network.
 *
 * ledger_file: the path that the configuration has as "ledger_file", or another
 *   name of that file.
 *
 * Returns KNEO_OK with {"intents":[...],"held_by":{"pid","since"}}: the intents
 * as kneo_open_intents gives them, those whose call is running too; "held_by"
 * is null if no client has the file open, "pid" is the process that has and
 * "since" the unix second of its opening, each null where it is not known.
 * KNEO_INVALID_ARGUMENT if there is no such file, if it is no ledger, is damaged
 * or was written by a newer version.
 *
 * # Safety
 *
 * ledger_file must be NULL or NUL-terminated.
 */
kneo_response *kneo_ledger_open_intents(const char *ledger_file);

/**
 * The order book, or one order of it.
 *
 * client: a client with a trade session.
 * order_id: NULL for the whole book; else an order number (1 to 64 letters
 *   and digits), generation 3 only.
 *
 * Returns KNEO_OK with the broker's body ("data" is a list of orders); an
 * empty book is {"stat":"Ok","stCode":5203,"data":[]}. What to do about known
 * reasons of rejections ("rejRsn") stands in "hints" of kneo_response_meta.
 * KNEO_NOT_LOGGED_IN without a trade session. May be repeated.
 *
 * # Safety
 *
 * order_id must be NULL or NUL-terminated.
 */
kneo_response *kneo_order_report(kneo_client *client, const char *order_id);

/**
 * The states that an order went through, newest first.
 *
 * client: a client with a trade session.
 * order_id: an order number, 1 to 64 letters and digits.
 *
 * Returns KNEO_OK with the broker's body ("data" is a list of states), with
 * "hints" as for kneo_order_report. KNEO_NOT_LOGGED_IN without a trade session. May be repeated.
 *
 * # Safety
 *
 * order_id must be NULL or NUL-terminated.
 */
kneo_response *kneo_order_history(kneo_client *client,
                                  const char *order_id);

/**
 * The trade book.
 *
 * client: a client with a trade session.
 *
 * Returns KNEO_OK with the broker's body ("data" is a list of fills), or
 * the empty list as for kneo_order_report. May be repeated.
 */
kneo_response *kneo_trade_report(kneo_client *client);

/**
 * Positions of the day and carried forward.
 *
 * client: a client with a trade session.
 *
 * Returns KNEO_OK with the broker's body ("data" is a list), or the empty
 * list as for kneo_order_report. May be repeated.
 */
kneo_response *kneo_positions(kneo_client *client);

/**
 * Delivery holdings.
 *
 * client: a client with a trade session.
 *
 * Returns KNEO_OK with the broker's body ("data" is a list), or the empty
 * list as for kneo_order_report. May be repeated.
 */
kneo_response *kneo_holdings(kneo_client *client);

/**
 * Funds and limits.
 *
 * client: a client with a trade session.
 * params: NULL, or a JSON object with "segment" (ALL, CASH, CUR, FO),
 *   "exchange" (ALL, NSE, BSE) and "product" (ALL, NRML, CNC, MIS), each ALL
 *   unless given. The official SDK always asks for ALL; filtered calls were
 *   seen to answer with zeros.
 *
 * Returns KNEO_OK with the broker's body ("Net" is what is free; amounts are
 * decimal strings in rupees). May be repeated.
 *
 * # Safety
 *
 * params must be NULL or NUL-terminated.
 */
kneo_response *kneo_limits(kneo_client *client, const char *params);

/**
 * The margin that an order would need.
 *
 * client: a client with a trade session.
 * params: a JSON object. Required: "exchange_segment" (nse_cm, bse_cm,
 *   nse_fo, bse_fo, mcx_fo), "product" (CNC, NRML, MIS, MTF), "order_type"
 *   (L, MKT, SL, SL-M), "price" (rupees, 0 for market), "quantity" (units,
 *   more than 0), "instrument_token" (pSymbol), "transaction_type" (B, S, Buy,
 *   Sell).
 *   Optional: "trigger_price", "broker_name" (KOTAK), "branch_id" (ONLINE),
 *   "stop_loss_type", "stop_loss_value", "square_off_type",
 *   "square_off_value", "trailing_stop_loss", "trailing_sl_value". Numbers are
 *   JSON numbers or strings; their exact text is sent, zero as 0.
 *
 * Returns KNEO_OK with the broker's body; look at "rmsVldtd" and
 * "insufFund": "stat" is "Ok" although funds are short. May be repeated.
 *
 * # Safety
 *
 * params must be NULL or NUL-terminated.
 */
kneo_response *kneo_margin_required(kneo_client *client, const char *params);

/**
 * Quotes. Needs the consumer key, but no login, in generation 3.
 *
 * client: a live client.
 * params: a JSON object: "instrument_tokens", a list of 1 to 3,000 objects
 *   {"exchange_segment":"nse_cm","instrument_token":"11536"} (pSymbol, as text
 *   or a number, or the exact name of an index); "quote_type" (all, the
 *   default, ohlc, ltp, oi, 52w, circuit_limits, scrip_details, depth). The
 *   pSymbol of an index of NSE or BSE is sent as its name, if that is known,
 *   else refused; indices of MCX go by number. One that stands twice is asked
 *   for once.
 *
 * Returns KNEO_OK with the broker's list; prices are decimal strings in
 * rupees. The order of the list is not documented. The broker takes 49 at a
 * time: more are asked for in several requests, one after the other, within
 * the one deadline, and their rows are given as one list, each as it came. If
 * one request fails, the call fails with that error, which names the part, and
 * gives no rows. kneo_response_meta has "requests" and "instruments" (how
 * many); "part" after a failure: in which request; and a note where there are
 * fewer rows than instruments, or the broker spells an index otherwise. All
 * together may be 16 MiB, else KNEO_PROTOCOL. The broker allows 25 requests a
 * second. May be repeated.
 *
 * # Safety
 *
 * params must be NULL or NUL-terminated.
 */
kneo_response *kneo_quotes(kneo_client *client, const char *params);

/**
 * Expiry dates of an underlying. Needs the consumer key, but no login.
 *
 * client: a live client; generation 3.
 * params: a JSON object: "exchange" (nse_fo, bse_fo, mcx_fo), "underlying"
 *   (NIFTY, RELIANCE), "instrument_type" (option, the default, or fut).
 *
 * Returns KNEO_OK with the broker's body ("expiries" is a list of dates,
 * YYYY-MM-DD). May be repeated.
 *
 * # Safety
 *
 * params must be NULL or NUL-terminated.
 */
kneo_response *kneo_expiries(kneo_client *client, const char *params);

/**
 * Option or futures chain of an underlying. Needs the consumer key, but no
 * login.
 *
 * client: a live client; generation 3.
 * params: a JSON object: "exchange", "underlying", "instrument_type" as for
 *   kneo_expiries; "expiry" (YYYY-MM-DD, the nearest unless given), "count"
 *   (strikes, a multiple of 10, 40 unless given).
 *
 * Returns KNEO_OK with the broker's body ("data" with "call" and "put", or
 * "fut"; strikes in rupees). May be repeated.
 *
 * # Safety
 *
 * params must be NULL or NUL-terminated.
 */
kneo_response *kneo_option_chain(kneo_client *client, const char *params);

/**
 * Candles of an instrument. Needs the consumer key, but no login.
 *
 * client: a live client; generation 3.
 * params: a JSON object: "neosymbol" ("nse_cm|1333", an index by its exact
 *   name, "nse_cm|Nifty 50"), "interval" (1min, 3min, 5min, 10min, 15min,
 *   30min, 60min, D, W), "from_date" and "to_date" (YYYY-MM-DD). The broker
 *   gives at most 30 days of 1, 3 and 5 minutes, 60 of 10 and 15, 90 of 30 and
 *   60, 180 of D and W.
 *
 * Returns KNEO_OK with the broker's body ("data"."candles" is a list of
 * [time, open, high, low, close, volume, oi]). A range without candles, such
 * as a weekend or today before the open, which the broker tells as an error
 * (HTTP 400), is KNEO_OK with {"status":"success","interval":"...",
 * "data":{"candles":[]}} and a note with the broker's words. May be repeated.
 *
 * # Safety
 *
 * params must be NULL or NUL-terminated.
 */
kneo_response *kneo_historical_data(kneo_client *client, const char *params);

/**
 * Where the scrip-master files of today are. Needs the consumer key, but no
 * login, in generation 3.
 *
 * client: a live client.
 * exchange_segment: NULL for all; else nse_cm, bse_cm, nse_fo, bse_fo,
 *   mcx_fo, cde_fo, nse_com, or NSE, BSE, NFO, BFO, MCX, CDS in upper or
 *   lower case.
 *
 * Returns KNEO_OK with the broker's body ("data"."filesPaths" is a list of
 * URLs), or with a segment {"exchange_segment":"nse_cm","url":"..."}. May be
 * repeated.
 *
 * # Safety
 *
 * exchange_segment must be NULL or NUL-terminated.
 */
kneo_response *kneo_scrip_master(kneo_client *client,
                                 const char *exchange_segment);

/**
 * Any operation by its name: one entry for dynamic languages.
 *
 * client: a live client.
 * operation: the name of a function of this header without "kneo_": of the
 *   logins and sessions, the orders, the books and market data, and the
 *   instruments, for example "totp_login", "place_order" or "search_scrip";
 *   "totp_generate" and "ledger_open_intents" too. Not those of clients,
 *   responses and feeds.
 * params: NULL, or its arguments as one JSON object, with the names of this
 *   header: {"ucc":"TEST1",...}. A function that takes "params" itself takes
 *   that object here. "timeout_ms" and "call_id" may stand in it for every
 *   operation, also one whose function has no params.
 *
 * Returns what that function returns; KNEO_INVALID_ARGUMENT for an unknown
 * name or key.
 *
 * # Safety
 *
 * The texts must be NULL or NUL-terminated.
 */
kneo_response *kneo_call(kneo_client *client,
                         const char *operation,
                         const char *params);

/**
 * Searches the instruments of a segment. Needs the consumer key, but no
 * login, in generation 3. The first search of a day (IST) downloads the
 * segment's file, unless "cache_dir" has it; later ones need no network and
 * take microseconds.
 *
 * client: a live client.
 * params: a JSON object with the official SDK's keyword names:
 * - "exchange_segment": nse_cm, bse_cm, nse_fo, bse_fo, mcx_fo, cde_fo,
 *   nse_com, or NSE, BSE, NFO, BFO, MCX, CDS in upper or lower case
 * - "symbol": part of the underlying's name (pSymbolName), as text, without
 *   regard to case; all unless given
 * - "expiry": a day like "22SEP2026", or a range "01SEP2026-30SEP2026"; not
 *   for cash segments
 * - "option_type": CE, PE, FUT, or several separated by commas
 * - "strike_price" in rupees: one value, "24000-25000", ">24000", "<24000";
 *   the ends are included
 * - "ignore_50multiple": taken and ignored, as by the SDK
 * - "token" (pSymbol, a number or text) or "trading_symbol" (pTrdSymbol): the
 *   exact scrip, instead of "symbol"; blanks and case make no difference
 *
 * "timeout_ms" is the "download" timeout unless given.
 *
 * Returns KNEO_OK with a list of the file's rows, by strike: its columns, each
 * cell a number, true, false, text or null by itself; "pExpiryDate" is a day
 * like "22Sep2026" in derivative segments. The file counts strikes and ticks
 * differently in each segment, so every row also has, as numbers or null:
 * - "strike_price" and "tick_size", in rupees
 * - "lot_size": units of the underlying in a lot, as the broker counts orders
 * - "contract_size": what a price is multiplied by to give the value of a lot
 * - "freeze_quantity", in the units of "lot_size"; null: none is known
 *
 * No match is an empty list. kneo_response_meta has "scrip_day" (YYYY-MM-DD)
 * and "stale": true if today's file cannot be had, or the broker's list has an
 * older one yet, and that serves;
 * "scrip_rows", and what of the file could not be read: "bad_rows", which no
 * search finds, and "bad_cells", which count as blank; "date_conflicts":
 * contracts whose expiry is not the day in their name. "notes" says each in
 * words. Otherwise the errors of a read; KNEO_PROTOCOL names a column that this
 * search needs and the file lacks. May be repeated.
 *
 * # Safety
 *
 * params must be NULL or NUL-terminated.
 */
kneo_response *kneo_search_scrip(kneo_client *client, const char *params);

/**
 * How far downloads of scrip files are, and what is at hand. Needs no network;
 * call it from another thread while kneo_search_scrip waits.
 *
 * client: a live client.
 *
 * Returns KNEO_OK with {"today","cache_dir","segments":[{"exchange_segment",
 * "state","bytes","total_bytes","day","stale","from_cache","rows","bad_rows",
 * "bad_cells","date_conflicts","error"}]}: "state" is none, downloading,
 * indexing, ready or failed;
 * "total_bytes" is null where the broker does not tell it; "day" is the day of
 * the file in use (YYYY-MM-DD), that in its URL where there is one, or null.
 * Segments that nobody searched are not listed.
 */
kneo_response *kneo_scrip_status(kneo_client *client);

/**
 * The feeds. In all names that begin with kneo_feed_, feed means the market
 * feed only; the order feed has functions of its own, kneo_order_feed_..., in
 * the same manner.
 *
 * Opens the market feed of a client. It connects in the background; its
 * states come as events and records among the prices.
 *
 * client: a client with a trade session of generation 3.
 * options: a JSON object, or NULL or "" for all defaults. Its keys, all
 * optional, times from 10 to 3600000 milliseconds. Both feeds have:
 * - "ping_interval_ms" 4000: between two pings
 * - "login_timeout_ms" 9000: for the broker's answer to the login
 * - "reconnect_first_ms" 500, "reconnect_cap_ms" 30000: the wait before a
 *   reconnect doubles from the first to the second, with jitter, and the
 *   number of tries has no limit
 *
 * The market feed also has:
 * - "pong_timeout_ms" 5000: silence after a ping that means "down", on a
 *   connection that has answered one before
 * - "stale_after_ms" 9000: silence of what is subscribed that means "stale"
 * - "probe_cap_ms" 300000: the longest time between two probes while stale
 * - "history_bytes" 2097152, 0 to 67108864: how much is kept for readers;
 *   who falls further behind gets only the newest value of each instrument
 *
 * An unknown key is an error that names it; null means absent.
 *
 * out: receives the feed, or NULL on failure. Must not be NULL.
 *
 * Returns KNEO_OK with what kneo_feed_status gives, the options in force
 * among it; KNEO_NOT_LOGGED_IN;
 * KNEO_INVALID_ARGUMENT, also for sessions of generations 1 and 2, whose
 * streams are not built. A login that the broker refuses comes as the state
 * "refused": log in again on the client, and the feed goes on by itself. The
 * same session is tried again too, but rarely: after "reconnect_cap_ms" to
 * twice that. A new session of the same user takes over when the connection
 * ends; a logout, or a session of another user, ends it.
 *
 * # Safety
 *
 * options must be NULL or NUL-terminated, out must be NULL or point to
 * a writable pointer.
 */
kneo_response *kneo_feed_open(kneo_client *client,
                              const char *options,
                              kneo_feed **out);

/**
 * Ends and frees a feed: closes its connection and ends the waits of other
 * threads on it with KNEO_CLOSED. Does not wait for the network. NULL and dead
 * handles are ignored.
 */
void kneo_feed_free(kneo_feed *feed);

/**
 * Subscribes to instruments, now and after every reconnect. Does not wait
 * for the broker.
 *
 * kind: "scrips" (touch line), "scrips_lite" (mini touch line), "depth" (5
 *   rows), "full_depth", "index", or "exchange" (market status).
 * tokens: instruments separated by commas, "nse_cm|11536,nse_fo|44498"; an
 *   index by its exact name, "nse_cm|Nifty 50", or number, and only with kind
 *   "index"; NULL or "" for "exchange". What is subscribed already is no error.
 *
 * Returns KNEO_OK with what kneo_feed_status gives, and in kneo_response_meta a
 * note where the broker spells the name of an index otherwise: it may send
 * nothing for it; KNEO_INVALID_ARGUMENT, also for the number of an index with
 * another kind, and if more than 3,000 would be subscribed over all kinds but
 * "exchange", and then nothing is; KNEO_CLOSED after the feed has ended.
 *
 * # Safety
 *
 * kind and tokens must be NULL or NUL-terminated.
 */
kneo_response *kneo_feed_subscribe(kneo_feed *feed,
                                   const char *kind,
                                   const char *tokens);

/**
 * Ends subscriptions and forgets what came of them. Arguments as for
 * kneo_feed_subscribe; what is not subscribed is no error.
 *
 * Returns KNEO_OK with what kneo_feed_status gives; KNEO_INVALID_ARGUMENT;
 * KNEO_CLOSED after the feed has ended.
 *
 * # Safety
 *
 * kind and tokens must be NULL or NUL-terminated.
 */
kneo_response *kneo_feed_unsubscribe(kneo_feed *feed,
                                     const char *kind,
                                     const char *tokens);

/**
 * Asks for the values of instruments once; they come like others. It is not
 * counted as a subscription. Arguments as for kneo_feed_subscribe, but the
 * broker has no snapshot of "full_depth" and "exchange".
 *
 * Returns KNEO_OK with what kneo_feed_status gives; KNEO_INVALID_ARGUMENT;
 * KNEO_NETWORK while the feed is not connected; KNEO_RATE_LIMITED while
 * many requests wait to be sent; KNEO_CLOSED after the feed has ended.
 *
 * # Safety
 *
 * kind and tokens must be NULL or NUL-terminated.
 */
kneo_response *kneo_feed_snapshot(kneo_feed *feed,
                                  const char *kind,
                                  const char *tokens);

/**
 * The next event as JSON: a price with the field names of the official SDK
 * ("type": "scrip", "scrip_lite", "index", "market_status", "cas_change"),
 * null where the broker sent no value; or a change of the feed's state, which
 * both feeds tell alike:
 * {"type":"state","state","reason","close_code","http_status","retry_in_ms",
 * "attempt","changes"}. "close_code" is 1006 for a connection that ended
 * without a close frame, null where there was none; "http_status" is that of
 * a refused handshake; "retry_in_ms" null: nothing is tried without a new
 * login; "attempt": how often it was tried since a connection lasted;
 * "changes": how many changes it stands for, 1 or more.
 *
 * All events have "received_ns" (when it arrived, unix nanoseconds, by this
 * machine's clock), "age_us" (how old it was when it was read, in
 * microseconds) and "sequence" (counts what arrived; what a slow reader was
 * not given leaves gaps), prices also "replaced".
 *
 * timeout_ms: how long to wait, 0 or more milliseconds; 0 does not wait.
 *
 * Returns KNEO_OK; KNEO_END when the wait ended; KNEO_INVALID_ARGUMENT for a
 * negative timeout; KNEO_CLOSED after kneo_feed_interrupt, and after the feed
 * has ended and all was read; KNEO_INTERNAL after a defect in this library has
 * ended it; KNEO_INVALID_HANDLE.
 */
kneo_response *kneo_feed_next(kneo_feed *feed, int32_t timeout_ms);

/**
 * Several events at once: a JSON array of up to most of them, oldest first,
 * each as kneo_feed_next gives it. Waits for the first one only.
 *
 * most: 1 to 65536. An array that has grown beyond 4 MiB ends early, and the
 * rest waits for the next call.
 * timeout_ms: as for kneo_feed_next.
 *
 * Returns as kneo_feed_next; KNEO_INVALID_ARGUMENT also for a wrong most.
 */
kneo_response *kneo_feed_next_batch(kneo_feed *feed,
                                    int32_t most,
                                    int32_t timeout_ms);

/**
 * Reads up to capacity records, oldest first, and waits for the first one
 * only. No JSON, and no memory is allocated. Later versions of the library
 * may give records of new kinds: skip those that you do not know.
 *
 * out: an array of capacity structs.
 * capacity: 1 or more.
 * tick_size: sizeof(kneo_tick). A library with a longer struct fills what
 * has room; one with a shorter struct sets the rest to 0.
 * timeout_ms: as for kneo_feed_next.
 *
 * Returns how many were read, 0 when the wait ended; or a negative status:
 * -KNEO_INVALID_ARGUMENT, -KNEO_INVALID_HANDLE, -KNEO_CLOSED after
 * kneo_feed_interrupt, and after the feed has ended and all was read, or
 * -KNEO_INTERNAL after a defect in this library has ended it.
 *
 * # Safety
 *
 * out must be NULL or point to capacity * tick_size writable bytes.
 */
int32_t kneo_feed_read(kneo_feed *feed,
                       kneo_tick *out,
                       int32_t capacity,
                       size_t tick_size,
                       int32_t timeout_ms);

/**
 * Ends the waits of other threads on this feed that are under way:
 * kneo_feed_next and kneo_feed_next_batch with KNEO_CLOSED, kneo_feed_read
 * with -KNEO_CLOSED. If there is none it ends the next one, whatever waits to
 * be read, but no call with a timeout of 0. Several calls before a wait count
 * as one. The feed goes on, and nothing is lost. Dead handles are ignored.
 */
void kneo_feed_interrupt(kneo_feed *feed);

/**
 * The newest price of an instrument, whether it was read before or not.
 *
 * instrument: "nse_cm|11536"; an index also by name, "nse_cm|Nifty 50".
 * out: receives it.
 * tick_size: as for kneo_feed_read.
 *
 * Returns 1; 0 if none came yet, and then out is not touched; or a negative
 * status as kneo_feed_read. The value may be old: see age_us and feed_state.
 *
 * # Safety
 *
 * instrument must be NULL or NUL-terminated, out must be NULL or point to
 * tick_size writable bytes.
 */
int32_t kneo_feed_last(kneo_feed *feed,
                       const char *instrument,
                       kneo_tick *out,
                       size_t tick_size);

/**
 * The newest market depth of an instrument; its touch line, one row on each
 * side, if it has no more.
 *
 * instrument: "nse_cm|11536". An index has no depth, and is refused.
 * out: receives it.
 * depth_size: sizeof(kneo_depth); see tick_size of kneo_feed_read.
 *
 * Returns 1; 0 if none came yet, and then out is not touched; or a negative
 * status as kneo_feed_read.
 *
 * # Safety
 *
 * instrument must be NULL or NUL-terminated, out must be NULL or point to
 * depth_size writable bytes.
 */
int32_t kneo_feed_depth(kneo_feed *feed,
                        const char *instrument,
                        kneo_depth *out,
                        size_t depth_size);

/**
 * How the feed is, as JSON, without waiting. Both feeds have:
 * - "state", "reason", "close_code", "http_status", "retry_in_ms", "attempt":
 *   as in the newest event of a state; "state_for_ms": how long it has been so
 * - "connections" (how many were made) and "gaps" (how many were lost after
 *   they had been live)
 * - "frames": how many the server sent, texts and binary ones
 * - "waiting": how many events can be read; "last_sequence": the "sequence" of
 *   the one that was read last, 0 before the first
 * - "options": all of them, as they are in force
 *
 * The market feed also has "subscribed" and "allowed"; "subscriptions" by
 * kind; "packets", "ignored", "malformed", "replaced" (old values that nobody
 * read), "no_room"; "instruments" with a value, "newest_age_ms" (null if no
 * price came yet).
 *
 * Returns KNEO_OK; KNEO_INVALID_HANDLE; KNEO_CLOSED after the feed has ended;
 * KNEO_INTERNAL after a defect in this library has ended it.
 */
kneo_response *kneo_feed_status(kneo_feed *feed);

/**
 * Opens the order feed of a client. It connects in the background; how the
 * connection fares comes as events.
 *
 * client: a client with a trade session of generation 3.
 * options: a JSON object, or NULL or "" for all defaults. Its keys, all
 * optional: "ping_interval_ms", "login_timeout_ms", "reconnect_first_ms",
 * "reconnect_cap_ms" as for kneo_feed_open, and
 * - "source" "WEB": what the login names as its origin, 1 to 16 letters and
 *   digits
 *
 * If there is no answer to a ping by the next one, on a connection that has
 * answered one before, the feed is "down" and connects anew. If the login is
 * not confirmed in time, the other form of the login is tried.
 *
 * out: receives the feed, or NULL on failure. Must not be NULL.
 *
 * Returns as kneo_feed_open: KNEO_OK with what kneo_order_feed_status gives,
 * the options in force among it; KNEO_NOT_LOGGED_IN; KNEO_INVALID_ARGUMENT. A
 * login that the broker refuses is told and tried again as there. A new
 * session is tried at once, and ends a connection of the one before.
 *
 * # Safety
 *
 * options must be NULL or NUL-terminated, out must be NULL or point to a
 * writable pointer.
 */
kneo_response *kneo_order_feed_open(kneo_client *client,
                                    const char *options,
                                    kneo_order_feed **out);

/**
 * The next event of the feed as one JSON object, the oldest first.
 *
 * timeout_ms: how long to wait for it; 0 does not wait.
 *
 * Every event has "type", "sequence" (1, 2, 3, ... without a gap), and
 * "received_ns" and "age_us" as those of kneo_feed_next. The types:
 * - "state": as those of kneo_feed_next. There is no "stale": silence is normal
 *   here
 * - "order": a step of an order. "origin" is "live", or "recovered" if it
 *   comes from the books. "order" is its number, "state" a stable name ("open",
 *   "put_order_req_received", "complete", ...; "unknown" for one that is new
 *   to this library), "state_text" the broker's words, "previous" the state
 *   told before or null, "filled" the quantity filled so far as the row says,
 *   "fill_quantity" the part of it that no event told before, "data" the
 *   broker's row as it came. "skipped":true: steps lie between "previous" and
 *   this one that the books no longer show. "late":true: the row is older than
 *   what was told, and only its fill is new. "hint": what to do about the
 *   reason for a rejection that "data" gives, where that is known
 * - "trade": a row of the trade book, told once: "order", "trade" (its id),
 *   "quantity", "fill_quantity" as above, "data"
 * - "position": a row of a position in "data"
 * - "books": the order and trade books were read ("ok":true, with the number
 *   of rows), which happens after every login of the feed and when a day
 *   begins in India; or could not be ("ok":false with "status", "reason" and
 *   "retry_in_ms")
 * - "overflow": the reader was too slow; "kept" events were kept: 65,536, or
 *   fewer if they are large. When he has read half of them, the books are read
 *   anew, and no order and no fill is lost; positions are to be asked for
 * - "message": anything else that the server sent, in "raw"
 *
 * The sum of "fill_quantity" over all events of an order is its filled
 * quantity. Of many state and books events in a row the newest may stand for
 * those before: each has "changes", how many it stands for, 1 or more.
 *
 * Returns as kneo_feed_next.
 */
kneo_response *kneo_order_feed_next(kneo_order_feed *feed, int32_t timeout_ms);

/**
 * Several events at once: a JSON array of up to most of them, oldest first,
 * each as kneo_order_feed_next gives it. Waits for the first one only.
 *
 * most: 1 to 65536. An array that has grown beyond 4 MiB ends early, and the
 * rest waits for the next call.
 * timeout_ms: as for kneo_order_feed_next.
 *
 * Returns as kneo_feed_next_batch.
 */
kneo_response *kneo_order_feed_next_batch(kneo_order_feed *feed,
                                          int32_t most,
                                          int32_t timeout_ms);

/**
 * Ends the waits of other threads on this feed that are under way with
 * KNEO_CLOSED, or the next one, as kneo_feed_interrupt does. The feed goes on,
 * and nothing is lost. Dead handles are ignored.
 */
void kneo_order_feed_interrupt(kneo_order_feed *feed);

/**
 * How the feed is, as JSON, without waiting: what kneo_feed_status says of
 * both feeds, and "stale_rows" (repeated or behind what was told), "dropped"
 * (for a slow reader; the books have them), "orders" (known), "books_read",
 * "books_failed", and "reconciled" (whether the books have been merged since
 * the connection was made).
 *
 * Returns as kneo_feed_status.
 */
kneo_response *kneo_order_feed_status(kneo_order_feed *feed);

/**
 * Ends and frees a feed: closes its connection and ends the waits of other
 * threads on it with KNEO_CLOSED. Does not wait for the network. NULL and dead
 * handles are ignored.
 */
void kneo_order_feed_free(kneo_order_feed *feed);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* KOTAK_NEO_H */
