//! Order feed: what happens to orders and positions, as it happens.
//!
//! The feed keeps its connection up by itself, on a thread of its own, and is
//! polled: there are no callbacks. Events carry the broker's field names.

use std::ffi::c_char;

use super::client::kneo_client;
use super::guard::guard_writes;
use super::registry::{Handle, Place, Registry, Table, find, take_back};
use super::respond::{respond, respond_with};
use super::response::kneo_response;
use super::text::optional;
use crate::client::orderfeed::OrderFeed;

/// The order feed of a client. Opaque.
///
/// Owned by the caller, who frees it once with kneo_order_feed_free. Any
/// thread may use it at any time; readers of one feed compete for its events.
/// It ends with its client, and must still be freed then.
#[allow(non_camel_case_types)]
pub struct kneo_order_feed {
    _opaque: [u8; 0],
}

impl Handle for kneo_order_feed {
    type Value = OrderFeed;
    const NAME: &'static str = "feed";

    fn table(registry: &Registry) -> &Table<Self> {
        &registry.order_feeds
    }
}

/// Starts the order feed of a client. Returns at once; how the connection
/// fares is told by events.
///
/// client: a client with a trade session of generation 3.
/// options_json: a JSON object, or NULL or "" for all defaults. Its keys, all
/// optional, times in milliseconds up to 600000:
/// - "ping_interval_ms" (5000, at least 100): how often a ping is sent. If there
///   is no answer by the next one, on a connection that has given one before,
///   the connection is made anew
/// - "login_timeout_ms" (10000, at least 100): how long the server may take to
///   confirm the login; then the other form of the login is tried
/// - "reconnect_first_ms" (500) and "reconnect_cap_ms" (30000), at least 10: the
///   first and the longest wait before the next try, of which a random part
///   is waited. The number of tries has no limit. After a refusal it is
///   waited for "reconnect_cap_ms" to twice that; a new session is tried at
///   once
/// - "source" ("WEB"): what the login names as its origin, 1 to 16 letters
///   and digits
///
/// out: receives the feed, or NULL on failure. Must not be NULL.
///
/// Returns KNEO_OK with the options in force; KNEO_NOT_LOGGED_IN without a
/// trade session; KNEO_INVALID_ARGUMENT naming the option that is wrong, or
/// for a session of generation 1 or 2, whose feeds the broker has ended.
///
/// # Safety
///
/// options_json must be NULL or NUL-terminated, out must be NULL or point to
/// a writable pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_order_feed_open(
    client: *mut kneo_client,
    options_json: *const c_char,
    out: *mut *mut kneo_order_feed,
) -> *mut kneo_response {
    respond("order_feed_open", || {
        // SAFETY: the caller promises a writable pointer or NULL.
        let place = unsafe { Place::of(out) }?;
        // SAFETY: the caller promises a text or NULL.
        let options = unsafe { optional("options_json", options_json) }?;
        let (feed, reply) = find(client)?.order_feed(options)?;
        place.fill(feed);
        Ok(reply)
    })
}

/// The next event of the feed as one JSON object, the oldest first.
///
/// timeout_ms: how long to wait for it; 0 does not wait.
///
/// Every event has "seq" (1, 2, 3, ... without a gap), "type" and "at_ms" (when
/// it came, unix milliseconds); but "overflow" has no "at_ms". The types:
/// - "state": "state" is "connecting", "authenticating", "live", "down" or
///   "refused" (log in again: the feed then goes on by itself), with "reason",
///   "close_code" (1006: no close frame; null: no connection), "http_status",
///   "retry_in_ms" (null: nothing is tried without a new login) and "attempt".
///   There is no "stale": silence is normal here
/// - "order": a step of an order. "origin" is "live", or "recovered" if it
///   comes from the books. "order" is its number, "state" a stable name ("open",
///   "put_order_req_received", "complete", ...; "unknown" for one that is new
///   to this library), "state_text" the broker's words, "previous" the state
///   told before or null, "filled" the quantity filled so far as the row says,
///   "fill_quantity" the part of it that no event told before, "data" the
///   broker's row as it came. "skipped":true: steps lie between "previous" and
///   this one that the books no longer show. "late":true: the row is older than
///   what was told, and only its fill is new
/// - "trade": a row of the trade book, told once: "order", "trade" (its id),
///   "quantity", "fill_quantity" as above, "data"
/// - "position": a row of a position in "data"
/// - "books": the order and trade books were read ("ok":true, with the number
///   of rows), which happens after every login of the feed and when a day
///   begins in India; or could not be ("ok":false with "status", "reason" and
///   "retry_in_ms")
/// - "overflow": the reader was too slow; "kept" events were kept: 65,536, or
///   fewer if they are large. When he has read half of them, the books are read
///   anew, and no order and no fill is lost; positions are to be asked for
/// - "message": anything else that the server sent, in "raw"
///
/// The sum of "fill_quantity" over all events of an order is its filled
/// quantity. Of many state and books events in a row the newest may stand for
/// those before; "coalesced" then says how many.
///
/// Returns KNEO_OK with the event; KNEO_END if none came in time; KNEO_CLOSED
/// when the feed or its client was closed and all events were read;
/// KNEO_INVALID_ARGUMENT for a negative timeout; KNEO_INVALID_HANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_order_feed_next(
    feed: *mut kneo_order_feed,
    timeout_ms: i32,
) -> *mut kneo_response {
    respond_with("order_feed_next", feed, |feed| feed.next(timeout_ms))
}

/// How the feed is, without waiting: "state", "reason" and "close_code" as in
/// the events, "state_for_ms", "connections" (how many were made), "messages",
/// "queued" and "last_seq" (of the events), "stale_rows" (repeated or behind
/// what was told), "dropped" (for a slow reader; the books have them),
/// "orders" (known), "books_read", "books_failed", and "reconciled" (whether
/// the books have been merged since the connection was made).
///
/// Returns KNEO_OK, or KNEO_INVALID_HANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_order_feed_status(feed: *mut kneo_order_feed) -> *mut kneo_response {
    respond_with("order_feed_status", feed, |feed| Ok(feed.status()))
}

/// Ends and frees a feed: readers that wait end with KNEO_CLOSED. Does not
/// wait for the network. NULL and dead handles are ignored.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_order_feed_free(feed: *mut kneo_order_feed) {
    guard_writes((), || {
        if let Some(feed) = take_back(feed) {
            feed.close();
        }
    });
}
