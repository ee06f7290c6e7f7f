//! Order feed: what happens to orders and positions, as it happens.
//!
//! The feed keeps its connection up by itself, on a thread of its own, and is
//! polled: there are no callbacks. Events carry the broker's field names.

use std::ffi::c_char;

use super::client::kneo_client;
use super::feed::{most_of, wait_of};
use super::guard::{guard, guard_writes};
use super::registry::{Handle, Place, Registry, Table, find, get, take_back};
use super::respond::{respond, respond_with};
use super::response::kneo_response;
use super::text::optional;
use crate::feeds::orders::OrderFeed;

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

/// Opens the order feed of a client. It connects in the background; how the
/// connection fares comes as events.
///
/// client: a client with a trade session of generation 3.
/// options: a JSON object, or NULL or "" for all defaults. Its keys, all
/// optional: "ping_interval_ms", "login_timeout_ms", "reconnect_first_ms",
/// "reconnect_cap_ms" as for kneo_feed_open, and
/// - "source" "WEB": what the login names as its origin, 1 to 16 letters and
///   digits
///
/// If there is no answer to a ping by the next one, on a connection that has
/// answered one before, the feed is "down" and connects anew. If the login is
/// not confirmed in time, the other form of the login is tried.
///
/// out: receives the feed, or NULL on failure. Must not be NULL.
///
/// Returns as kneo_feed_open: KNEO_OK with what kneo_order_feed_status gives,
/// the options in force among it; KNEO_NOT_LOGGED_IN; KNEO_INVALID_ARGUMENT. A
/// login that the broker refuses is told and tried again as there. A new
/// session is tried at once, and ends a connection of the one before.
///
/// # Safety
///
/// options must be NULL or NUL-terminated, out must be NULL or point to a
/// writable pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_order_feed_open(
    client: *mut kneo_client,
    options: *const c_char,
    out: *mut *mut kneo_order_feed,
) -> *mut kneo_response {
    respond("order_feed_open", || {
        // SAFETY: the caller promises a writable pointer or NULL.
        let place = unsafe { Place::of(out) }?;
        let client = find(client)?;
        // SAFETY: the caller promises a text or NULL.
        let options = unsafe { optional("options", options) }?;
        let (feed, reply) = client.open_order_feed(options)?;
        place.fill(feed);
        Ok(reply)
    })
}

/// The next event of the feed as one JSON object, the oldest first.
///
/// timeout_ms: how long to wait for it; 0 does not wait.
///
/// Every event has "type", "sequence" (1, 2, 3, ... without a gap), and
/// "received_ns" and "age_us" as those of kneo_feed_next. The types:
/// - "state": as those of kneo_feed_next. There is no "stale": silence is normal
///   here
/// - "order": a step of an order. "origin" is "live", or "recovered" if it
///   comes from the books. "order" is its number, "state" a stable name ("open",
///   "put_order_req_received", "complete", ...; "unknown" for one that is new
///   to this library), "state_text" the broker's words, "previous" the state
///   told before or null, "filled" the quantity filled so far as the row says,
///   "fill_quantity" the part of it that no event told before, "data" the
///   broker's row as it came. "skipped":true: steps lie between "previous" and
///   this one that the books no longer show. "late":true: the row is older than
///   what was told, and only its fill is new. "hint": what to do about the
///   reason for a rejection that "data" gives, where that is known
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
/// those before: each has "changes", how many it stands for, 1 or more.
///
/// Returns as kneo_feed_next.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_order_feed_next(
    feed: *mut kneo_order_feed,
    timeout_ms: i32,
) -> *mut kneo_response {
    respond_with("order_feed_next", feed, |feed| {
        feed.next(wait_of(timeout_ms)?)
    })
}

/// Several events at once: a JSON array of up to most of them, oldest first,
/// each as kneo_order_feed_next gives it. Waits for the first one only.
///
/// most: 1 to 65536. An array that has grown beyond 4 MiB ends early, and the
/// rest waits for the next call.
/// timeout_ms: as for kneo_order_feed_next.
///
/// Returns as kneo_feed_next_batch.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_order_feed_next_batch(
    feed: *mut kneo_order_feed,
    most: i32,
    timeout_ms: i32,
) -> *mut kneo_response {
    respond_with("order_feed_next_batch", feed, |feed| {
        feed.next_batch(most_of(most), wait_of(timeout_ms)?)
    })
}

/// Ends the waits of other threads on this feed that are under way with
/// KNEO_CLOSED, or the next one, as kneo_feed_interrupt does. The feed goes on,
/// and nothing is lost. Dead handles are ignored.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_order_feed_interrupt(feed: *mut kneo_order_feed) {
    guard((), || {
        if let Some(feed) = get(feed) {
            feed.interrupt();
        }
    });
}

/// How the feed is, as JSON, without waiting: what kneo_feed_status says of
/// both feeds, and "stale_rows" (repeated or behind what was told), "dropped"
/// (for a slow reader; the books have them), "orders" (known), "books_read",
/// "books_failed", and "reconciled" (whether the books have been merged since
/// the connection was made).
///
/// Returns as kneo_feed_status.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_order_feed_status(feed: *mut kneo_order_feed) -> *mut kneo_response {
    respond_with("order_feed_status", feed, OrderFeed::status)
}

/// Ends and frees a feed: closes its connection and ends the waits of other
/// threads on it with KNEO_CLOSED. Does not wait for the network. NULL and dead
/// handles are ignored.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_order_feed_free(feed: *mut kneo_order_feed) {
    guard_writes((), || {
        if let Some(feed) = take_back(feed) {
            feed.close();
        }
    });
}
