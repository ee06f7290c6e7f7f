//! Books, portfolio, market data: calls that change nothing.
//!
//! Every function here returns a response that is never NULL and must be
//! freed with kneo_response_free, and blocks until the answer is there or the
//! "read" deadline has passed. Its requests wait for their turn within that
//! ("max_reads_per_second", "max_quotes_at_once", and what a 429 of the broker
//! said); one that cannot have it in time is KNEO_RATE_LIMITED and not sent.

use std::ffi::c_char;

use super::client::kneo_client;
use super::respond::respond_with;
use super::response::kneo_response;
use super::text::{optional, required};

/// The order book, or one order of it.
///
/// client: a client with a trade session.
/// order_id: NULL for the whole book; else an order number (1 to 64 letters
///   and digits), generation 3 only.
///
/// Returns KNEO_OK with the broker's body ("data" is a list of orders); an
/// empty book is {"stat":"Ok","stCode":5203,"data":[]}. What to do about known
/// reasons of rejections ("rejRsn") stands in "hints" of kneo_response_meta.
/// KNEO_NOT_LOGGED_IN without a trade session. May be repeated.
///
/// # Safety
///
/// order_id must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_order_report(
    client: *mut kneo_client,
    order_id: *const c_char,
) -> *mut kneo_response {
    respond_with("order_report", client, |client| {
        // SAFETY: the caller promises a text or NULL.
        let order_id = unsafe { optional("order_id", order_id) }?;
        client.order_report(order_id)
    })
}

/// The states that an order went through, newest first.
///
/// client: a client with a trade session.
/// order_id: an order number, 1 to 64 letters and digits.
///
/// Returns KNEO_OK with the broker's body ("data" is a list of states), with
/// "hints" as for kneo_order_report. KNEO_NOT_LOGGED_IN without a trade session. May be repeated.
///
/// # Safety
///
/// order_id must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_order_history(
    client: *mut kneo_client,
    order_id: *const c_char,
) -> *mut kneo_response {
    respond_with("order_history", client, |client| {
        // SAFETY: the caller promises a text or NULL.
        let order_id = unsafe { required("order_id", order_id) }?;
        client.order_history(order_id)
    })
}

/// The trade book.
///
/// client: a client with a trade session.
///
/// Returns KNEO_OK with the broker's body ("data" is a list of fills), or
/// the empty list as for kneo_order_report. May be repeated.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_trade_report(client: *mut kneo_client) -> *mut kneo_response {
    respond_with("trade_report", client, |client| client.trade_report())
}

/// Positions of the day and carried forward.
///
/// client: a client with a trade session.
///
/// Returns KNEO_OK with the broker's body ("data" is a list), or the empty
/// list as for kneo_order_report. May be repeated.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_positions(client: *mut kneo_client) -> *mut kneo_response {
    respond_with("positions", client, |client| client.positions())
}

/// Delivery holdings.
///
/// client: a client with a trade session.
///
/// Returns KNEO_OK with the broker's body ("data" is a list), or the empty
/// list as for kneo_order_report. May be repeated.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_holdings(client: *mut kneo_client) -> *mut kneo_response {
    respond_with("holdings", client, |client| client.holdings())
}

/// Funds and limits.
///
/// client: a client with a trade session.
/// params: NULL, or a JSON object with "segment" (ALL, CASH, CUR, FO),
///   "exchange" (ALL, NSE, BSE) and "product" (ALL, NRML, CNC, MIS), each ALL
///   unless given. The official SDK always asks for ALL; filtered calls were
///   seen to answer with zeros.
///
/// Returns KNEO_OK with the broker's body ("Net" is what is free; amounts are
/// decimal strings in rupees). May be repeated.
///
/// # Safety
///
/// params must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_limits(
    client: *mut kneo_client,
    params: *const c_char,
) -> *mut kneo_response {
    respond_with("limits", client, |client| {
        // SAFETY: the caller promises a text or NULL.
        let params = unsafe { optional("params", params) }?;
        client.limits(params)
    })
}

/// The margin that an order would need.
///
/// client: a client with a trade session.
/// params: a JSON object. Required: "exchange_segment" (nse_cm, bse_cm,
///   nse_fo, bse_fo, mcx_fo), "product" (CNC, NRML, MIS, MTF), "order_type"
///   (L, MKT, SL, SL-M), "price" (rupees, 0 for market), "quantity" (units,
///   more than 0), "instrument_token" (pSymbol), "transaction_type" (B, S, Buy,
///   Sell).
///   Optional: "trigger_price", "broker_name" (KOTAK), "branch_id" (ONLINE),
///   "stop_loss_type", "stop_loss_value", "square_off_type",
///   "square_off_value", "trailing_stop_loss", "trailing_sl_value". Numbers are
///   JSON numbers or strings; their exact text is sent, zero as 0.
///
/// Returns KNEO_OK with the broker's body; look at "rmsVldtd" and
/// "insufFund": "stat" is "Ok" although funds are short. May be repeated.
///
/// # Safety
///
/// params must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_margin_required(
    client: *mut kneo_client,
    params: *const c_char,
) -> *mut kneo_response {
    respond_with("margin_required", client, |client| {
        // SAFETY: the caller promises a text or NULL.
        let params = unsafe { required("params", params) }?;
        client.margin_required(params)
    })
}

/// Quotes. Needs the consumer key, but no login, in generation 3.
///
/// client: a live client.
/// params: a JSON object: "instrument_tokens", a list of 1 to 3,000 objects
///   {"exchange_segment":"nse_cm","instrument_token":"11536"} (pSymbol, as text
///   or a number, or the exact name of an index); "quote_type" (all, the
///   default, ohlc, ltp, oi, 52w, circuit_limits, scrip_details, depth). The
///   pSymbol of an index of NSE or BSE is sent as its name, if that is known,
///   else refused; indices of MCX go by number. One that stands twice is asked
///   for once.
///
/// Returns KNEO_OK with the broker's list; prices are decimal strings in
/// rupees. The order of the list is not documented. The broker takes 49 at a
/// time: more are asked for in several requests, one after the other, within
/// the one deadline, and their rows are given as one list, each as it came. If
/// one request fails, the call fails with that error, which names the part, and
/// gives no rows. kneo_response_meta has "requests" and "instruments" (how
/// many); "part" after a failure: in which request; and a note where there are
/// fewer rows than instruments, or the broker spells an index otherwise. All
/// together may be 16 MiB, else KNEO_PROTOCOL. The broker allows 25 requests a
/// second. May be repeated.
///
/// # Safety
///
/// params must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_quotes(
    client: *mut kneo_client,
    params: *const c_char,
) -> *mut kneo_response {
    respond_with("quotes", client, |client| {
        // SAFETY: the caller promises a text or NULL.
        let params = unsafe { required("params", params) }?;
        client.quotes(params)
    })
}

/// Expiry dates of an underlying. Needs the consumer key, but no login.
///
/// client: a live client; generation 3.
/// params: a JSON object: "exchange" (nse_fo, bse_fo, mcx_fo), "underlying"
///   (NIFTY, RELIANCE), "instrument_type" (option, the default, or fut).
///
/// Returns KNEO_OK with the broker's body ("expiries" is a list of dates,
/// YYYY-MM-DD). May be repeated.
///
/// # Safety
///
/// params must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_expiries(
    client: *mut kneo_client,
    params: *const c_char,
) -> *mut kneo_response {
    respond_with("expiries", client, |client| {
        // SAFETY: the caller promises a text or NULL.
        let params = unsafe { required("params", params) }?;
        client.expiries(params)
    })
}

/// Option or futures chain of an underlying. Needs the consumer key, but no
/// login.
///
/// client: a live client; generation 3.
/// params: a JSON object: "exchange", "underlying", "instrument_type" as for
///   kneo_expiries; "expiry" (YYYY-MM-DD, the nearest unless given), "count"
///   (strikes, a multiple of 10, 40 unless given).
///
/// Returns KNEO_OK with the broker's body ("data" with "call" and "put", or
/// "fut"; strikes in rupees). May be repeated.
///
/// # Safety
///
/// params must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_option_chain(
    client: *mut kneo_client,
    params: *const c_char,
) -> *mut kneo_response {
    respond_with("option_chain", client, |client| {
        // SAFETY: the caller promises a text or NULL.
        let params = unsafe { required("params", params) }?;
        client.option_chain(params)
    })
}

/// Candles of an instrument. Needs the consumer key, but no login.
///
/// client: a live client; generation 3.
/// params: a JSON object: "neosymbol" ("nse_cm|1333", an index by its exact
///   name, "nse_cm|Nifty 50"), "interval" (1min, 3min, 5min, 10min, 15min,
///   30min, 60min, D, W), "from_date" and "to_date" (YYYY-MM-DD). The broker
///   gives at most 30 days of 1, 3 and 5 minutes, 60 of 10 and 15, 90 of 30 and
///   60, 180 of D and W.
///
/// Returns KNEO_OK with the broker's body ("data"."candles" is a list of
/// [time, open, high, low, close, volume, oi]). A range without candles, such
/// as a weekend or today before the open, which the broker tells as an error
/// (HTTP 400), is KNEO_OK with {"status":"success","interval":"...",
/// "data":{"candles":[]}} and a note with the broker's words. May be repeated.
///
/// # Safety
///
/// params must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_historical_data(
    client: *mut kneo_client,
    params: *const c_char,
) -> *mut kneo_response {
    respond_with("historical_data", client, |client| {
        // SAFETY: the caller promises a text or NULL.
        let params = unsafe { required("params", params) }?;
        client.historical_data(params)
    })
}

/// Where the scrip-master files of today are. Needs the consumer key, but no
/// login, in generation 3.
///
/// client: a live client.
/// exchange_segment: NULL for all; else nse_cm, bse_cm, nse_fo, bse_fo,
///   mcx_fo, cde_fo, nse_com, or NSE, BSE, NFO, BFO, MCX, CDS in upper or
///   lower case.
///
/// Returns KNEO_OK with the broker's body ("data"."filesPaths" is a list of
/// URLs), or with a segment {"exchange_segment":"nse_cm","url":"..."}. May be
/// repeated.
///
/// # Safety
///
/// exchange_segment must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_scrip_master(
    client: *mut kneo_client,
    exchange_segment: *const c_char,
) -> *mut kneo_response {
    respond_with("scrip_master", client, |client| {
        // SAFETY: the caller promises a text or NULL.
        let segment = unsafe { optional("exchange_segment", exchange_segment) }?;
        client.scrip_master(segment)
    })
}

/// Any operation by its name: one entry for dynamic languages.
///
/// client: a live client.
/// operation: the name of a function of this header without "kneo_": of the
///   logins and sessions, the orders, the books and market data, and the
///   instruments, for example "totp_login", "place_order" or "search_scrip";
///   "totp_generate" and "ledger_open_intents" too. Not those of clients,
///   responses and feeds.
/// params: NULL, or its arguments as one JSON object, with the names of this
///   header: {"ucc":"TEST1",...}. A function that takes "params" itself takes
///   that object here. "timeout_ms" and "call_id" may stand in it for every
///   operation, also one whose function has no params.
///
/// Returns what that function returns; KNEO_INVALID_ARGUMENT for an unknown
/// name or key.
///
/// # Safety
///
/// The texts must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_call(
    client: *mut kneo_client,
    operation: *const c_char,
    params: *const c_char,
) -> *mut kneo_response {
    respond_with("call", client, |client| {
        // SAFETY: the caller promises texts or NULL.
        let operation = unsafe { required("operation", operation) }?;
        // SAFETY: as above.
        let params = unsafe { optional("params", params) }?;
        client.call(operation, params)
    })
}
