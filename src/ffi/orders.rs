//! Order instructions and how they are settled.

use std::ffi::c_char;

use super::client::kneo_client;
use super::respond::respond_with;
use super::response::kneo_response;
use super::text::required;

/// Places an order. It leaves at most once; no layer repeats it.
///
/// client: a live client with a trade session.
/// params: a JSON object with the official SDK's keyword names. Prices are in
///   rupees, quantities in units (shares, not lots). In mcx_fo they are very
///   probably lots times "lLotSize" of the scrip file, as its feed and freeze
///   quantity are (CRUDEOIL: 100 is one lot); no document and no live order
///   confirms it, and nothing is converted. Numbers are JSON numbers or
///   strings; their exact text is sent, but for zero, which is sent as 0.
/// - "exchange_segment": nse_cm, bse_cm, nse_fo, bse_fo, mcx_fo
/// - "product": CNC, NRML, MIS, MTF. Cover and bracket orders are refused: the
///   broker ended them on 1 April 2026
/// - "price": more than 0 for L and SL; "0" for MKT and SL-M
/// - "order_type": L (limit), MKT (market), SL (stop-loss limit), SL-M
///   (stop-loss market; the broker takes it and then always rejects it, which
///   "notes" of kneo_response_meta say: send SL with a limit price beyond the
///   trigger, on the tick)
/// - "quantity": a whole number, more than 0
/// - "validity": DAY, IOC (DAY only in mcx_fo)
/// - "trading_symbol": pTrdSymbol of the scrip master
/// - "transaction_type": B, S, Buy, Sell
/// - optional: "amo" (YES for an after-market order, NO), "disclosed_quantity" ("0"), "trigger_price"
///   ("0"; more than 0 for SL and SL-M), "tag" (1 to 64 printable ASCII
///   characters without blanks, " and \, unique for the day; one is made if
///   none is given), "intent_id" (1 to 64 such characters; needs a ledger_file:
///   the same id is never sent twice in a trading day, nor within an hour)
///
/// In generations 1 and 2 also "market_protection", "pf" (N, Y) and the
/// spellings of the older SDKs.
///
/// Returns KNEO_OK with the broker's body ("nOrdNo" is the order number): the
/// broker took the order, the exchange may still reject it, which the order
/// book tells. KNEO_REJECTED and KNEO_SESSION_EXPIRED: it was not taken.
/// KNEO_UNKNOWN_OUTCOME: it may have been taken; do not send it again, call
/// kneo_order_outcome with the "tag" that the error and kneo_response_meta
/// show. Any other status: nothing of it was sent. KNEO_RATE_LIMITED:
/// "max_orders_per_second" is used up until after the deadline.
///
/// # Safety
///
/// params must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_place_order(
    client: *mut kneo_client,
    params: *const c_char,
) -> *mut kneo_response {
    respond_with("place_order", client, |client| {
        // SAFETY: the caller promises a text or NULL.
        let params = unsafe { required("params", params) }?;
        client.place_order(params)
    })
}

/// Changes an order that is open. It leaves at most once.
///
/// client: a live client with a trade session.
/// params: a JSON object; all values are those that the order shall have
///   then: "order_id" (nOrdNo), "price", "order_type", "quantity" (the total,
///   filled units included), "validity" (DAY, IOC); optional
///   "trigger_price", "disclosed_quantity", "amo", "intent_id",
///   with the units, values and rules of kneo_place_order. An after-market
///   order is changed with "amo" or without. In generations 1
///   and 2 also "instrument_token", "exchange_segment", "product",
///   "trading_symbol", "transaction_type" (read from the order book unless all
///   are given), "market_protection", "dd", "filled_quantity".
///
/// Returns what kneo_place_order returns; an unknown outcome is settled by the
/// "tag" that the error shows, or by "order_id".
///
/// # Safety
///
/// params must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_modify_order(
    client: *mut kneo_client,
    params: *const c_char,
) -> *mut kneo_response {
    respond_with("modify_order", client, |client| {
        // SAFETY: the caller promises a text or NULL.
        let params = unsafe { required("params", params) }?;
        client.modify_order(params)
    })
}

/// Cancels an order that is open. It leaves at most once. One slot in ten of
/// "max_orders_per_second" (rounded down) is kept for cancels.
///
/// client: a live client with a trade session.
/// params: a JSON object: "order_id" (nOrdNo); optional "amo" (YES for an
///   after-market order, NO), "trading_symbol" (of an after-market order),
///   "isVerify" (true reads the order book first, in generations 1 and 2),
///   "intent_id".
///
/// An after-market order is cancelled with "amo" YES. Without, the broker
/// answers code 14, which is KNEO_REJECTED: nothing was cancelled. Where "amo"
/// is not given and this client knows the order as an after-market order
/// ("ordGenTp" AMO, or such a state, in an answer of kneo_order_report,
/// kneo_order_history or kneo_order_outcome or an event of its order feed; or
/// placed as one by it or its ledger), YES is sent. "amo_set_from" and "notes"
/// of kneo_response_meta say so. A given NO is sent, with a note. The trading
/// symbol goes along if it is given or known like that; the live broker does
/// without. Nothing is asked for either, and no second cancel is sent. The
/// newest 4,096 such orders are known, each to the account that it is of.
///
/// Returns what kneo_place_order returns; an unknown outcome is settled by the
/// "tag" that the error shows, or by "order_id".
///
/// # Safety
///
/// params must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_cancel_order(
    client: *mut kneo_client,
    params: *const c_char,
) -> *mut kneo_response {
    respond_with("cancel_order", client, |client| {
        // SAFETY: the caller promises a text or NULL.
        let params = unsafe { required("params", params) }?;
        client.cancel_order(params)
    })
}

/// Settles an instruction whose outcome is unknown, by reading the order book.
/// It sends no instruction, and may be called as often as wanted.
///
/// client: a live client with a trade session of the same account.
/// params: a JSON object with one of "tag" (of any instruction) and "order_id"
///   (for the newest modification or cancel of that order that is not settled).
///   "timeout_ms" is the "read" timeout unless given.
///   The call reads again and again until the outcome is proved or the time is
///   nearly over, so a long time waits for the proof and a short one polls.
///
/// Returns KNEO_OK with
///   {"outcome","message","operation","tag","order_id","state","row","hint",
///   "rows","candidates","reads","sent_at_ms","ask_again_after_ms"}. "hint" is
///   what to do about the reason for which "row" was rejected, or null; "hints"
///   of kneo_response_meta have those of all rows.
/// - "placed": "row" is the order in the order book, "state" its status
/// - "applied": the order has the state that was asked for
/// - "absent": it was not taken; sending anew is safe. That takes two
///   readings, both "outcome_window_ms" after nothing of it can be on its way
///   any more (seconds after the end of its call, or after the opening of this
///   client, if an earlier process sent it), of the same account and trading
///   day, with clocks that agree, that show every order known to be there, no
///   row that may be it, or its order without the change. Where no order is
///   known to be there, trades and positions are read too
/// - "unknown": not proved; "message" names what the proof lacks, and
///   "candidates" are rows that may be it. It stays so once the trading day is
///   over: look at the order and trade history in the broker's app. A change to
///   a market order may stay so: the broker shows a limit order instead. So is
///   an "order_id" of which no change is open: "row" shows the order, and
///   "operation" is null
///
/// What was seen counts for the next call. Otherwise the errors of a read.
///
/// # Safety
///
/// params must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_order_outcome(
    client: *mut kneo_client,
    params: *const c_char,
) -> *mut kneo_response {
    respond_with("order_outcome", client, |client| {
        // SAFETY: the caller promises a text or NULL.
        let params = unsafe { required("params", params) }?;
        client.order_outcome(params)
    })
}

/// The instructions that were begun and are not settled: those of the ledger,
/// also of an earlier process, until the broker shows another trading day (IST),
/// and those whose call is running; or without a ledger_file those of this client
/// whose call has ended. Needs no network.
///
/// client: a live client.
///
/// Returns KNEO_OK with {"intents":[{"tag","intent_id","operation","order_id",
/// "ucc","sent_at_ms","request"}]}; "request" holds the broker's keys. Settle
/// each with kneo_order_outcome.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_open_intents(client: *mut kneo_client) -> *mut kneo_response {
    respond_with("open_intents", client, |client| client.open_intents())
}
