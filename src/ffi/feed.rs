//! The market feed.

use std::ffi::c_char;
use std::ptr;
use std::time::Duration;

use super::client::kneo_client;
use super::guard::{guard, guard_writes};
use super::registry::{Handle, Place, Registry, Table, find, get, take_back};
use super::respond::{count_with, respond, respond_with};
use super::response::kneo_response;
use super::text::{optional, required};
use crate::base::error::Error;
use crate::feeds::market::Feed;
use crate::feeds::tick::{Depth, Tick};

/// A market feed: prices, indices and the state of exchanges. Opaque. The feed
/// of orders is a kneo_order_feed.
///
/// Owned by the caller, who frees it once with kneo_feed_free. Any thread may
/// use it at any time, also several at once: readers share one queue. It ends
/// with its client.
#[allow(non_camel_case_types)]
pub struct kneo_feed {
    _opaque: [u8; 0],
}

impl Handle for kneo_feed {
    type Value = Feed;
    const NAME: &'static str = "feed";

    fn table(registry: &Registry) -> &Table<Self> {
        &registry.feeds
    }
}

/// The largest struct that a caller may pass.
const LARGEST_STRUCT: usize = 65_536;

/// Reads the argument `timeout_ms`.
pub(super) fn wait_of(timeout_ms: i32) -> Result<Duration, Error> {
    match u64::try_from(timeout_ms) {
        Ok(ms) => Ok(Duration::from_millis(ms)),
        Err(_) => Err(Error::argument("timeout_ms", "must not be negative")),
    }
}

/// What no batch has stands for a number that is none.
pub(super) fn most_of(most: i32) -> usize {
    usize::try_from(most).unwrap_or(0)
}

fn check_struct<T>(out: *mut T, name: &str, size: usize) -> Result<(), Error> {
    if out.is_null() {
        return Err(Error::argument("out", "must not be NULL"));
    }
    if size == 0 || size % 8 != 0 || size > LARGEST_STRUCT {
        return Err(Error::argument(name, "must be the sizeof of the struct"));
    }
    Ok(())
}

/// Writes `value` into `size` bytes: a caller that knows fewer fields gets
/// those, what it knows beyond ours is zero.
///
/// # Safety
///
/// `to` must point to `size` writable bytes. `T` must be without padding.
unsafe fn put<T: Copy>(to: *mut u8, size: usize, value: &T) {
    let known = size.min(size_of::<T>());
    // SAFETY: `value` has at least `known` initialised bytes, `to` has `size`;
    // they do not overlap, for `value` is ours.
    unsafe {
        ptr::copy_nonoverlapping(ptr::from_ref(value).cast::<u8>(), to, known);
        to.add(known).write_bytes(0, size - known);
    }
}

/// The feeds. In all names that begin with kneo_feed_, feed means the market
/// feed only; the order feed has functions of its own, kneo_order_feed_..., in
/// the same manner.
///
/// Opens the market feed of a client. It connects in the background; its
/// states come as events and records among the prices.
///
/// client: a client with a trade session of generation 3.
/// options: a JSON object, or NULL or "" for all defaults. Its keys, all
/// optional, times from 10 to 3600000 milliseconds. Both feeds have:
/// - "ping_interval_ms" 4000: between two pings
/// - "login_timeout_ms" 9000: for the broker's answer to the login
/// - "reconnect_first_ms" 500, "reconnect_cap_ms" 30000: the wait before a
///   reconnect doubles from the first to the second, with jitter, and the
///   number of tries has no limit
///
/// The market feed also has:
/// - "pong_timeout_ms" 5000: silence after a ping that means "down", on a
///   connection that has answered one before
/// - "stale_after_ms" 9000: silence of what is subscribed that means "stale"
/// - "probe_cap_ms" 300000: the longest time between two probes while stale
/// - "history_bytes" 2097152, 0 to 67108864: how much is kept for readers;
///   who falls further behind gets only the newest value of each instrument
///
/// An unknown key is an error that names it; null means absent.
///
/// out: receives the feed, or NULL on failure. Must not be NULL.
///
/// Returns KNEO_OK with what kneo_feed_status gives, the options in force
/// among it; KNEO_NOT_LOGGED_IN;
/// KNEO_INVALID_ARGUMENT, also for sessions of generations 1 and 2, whose
/// streams are not built. A login that the broker refuses comes as the state
/// "refused": log in again on the client, and the feed goes on by itself. The
/// same session is tried again too, but rarely: after "reconnect_cap_ms" to
/// twice that. A new session of the same user takes over when the connection
/// ends; a logout, or a session of another user, ends it.
///
/// # Safety
///
/// options must be NULL or NUL-terminated, out must be NULL or point to
/// a writable pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_feed_open(
    client: *mut kneo_client,
    options: *const c_char,
    out: *mut *mut kneo_feed,
) -> *mut kneo_response {
    respond("feed_open", || {
        // SAFETY: the caller promises a writable pointer or NULL.
        let place = unsafe { Place::of(out) }?;
        let client = find(client)?;
        // SAFETY: the caller promises a text or NULL.
        let options = unsafe { optional("options", options) }?;
        let (feed, reply) = client.open_feed(options)?;
        place.fill(feed);
        Ok(reply)
    })
}

/// Ends and frees a feed: closes its connection and ends the waits of other
/// threads on it with KNEO_CLOSED. Does not wait for the network. NULL and dead
/// handles are ignored.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_feed_free(feed: *mut kneo_feed) {
    guard_writes((), || {
        if let Some(feed) = take_back(feed) {
            feed.close();
        }
    });
}

/// Subscribes to instruments, now and after every reconnect. Does not wait
/// for the broker.
///
/// kind: "scrips" (touch line), "scrips_lite" (mini touch line), "depth" (5
///   rows), "full_depth", "index", or "exchange" (market status).
/// tokens: instruments separated by commas, "nse_cm|11536,nse_fo|44498"; an
///   index by its exact name, "nse_cm|Nifty 50", or number, and only with kind
///   "index"; NULL or "" for "exchange". What is subscribed already is no error.
///
/// Returns KNEO_OK with what kneo_feed_status gives, and in kneo_response_meta a
/// note where the broker spells the name of an index otherwise: it may send
/// nothing for it; KNEO_INVALID_ARGUMENT, also for the number of an index with
/// another kind, and if more than 3,000 would be subscribed over all kinds but
/// "exchange", and then nothing is; KNEO_CLOSED after the feed has ended.
///
/// # Safety
///
/// kind and tokens must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_feed_subscribe(
    feed: *mut kneo_feed,
    kind: *const c_char,
    tokens: *const c_char,
) -> *mut kneo_response {
    respond_with("feed_subscribe", feed, |feed| {
        // SAFETY: the caller promises texts or NULL.
        let (kind, tokens) = unsafe { (required("kind", kind)?, optional("tokens", tokens)?) };
        feed.subscribe(kind, tokens)
    })
}

/// Ends subscriptions and forgets what came of them. Arguments as for
/// kneo_feed_subscribe; what is not subscribed is no error.
///
/// Returns KNEO_OK with what kneo_feed_status gives; KNEO_INVALID_ARGUMENT;
/// KNEO_CLOSED after the feed has ended.
///
/// # Safety
///
/// kind and tokens must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_feed_unsubscribe(
    feed: *mut kneo_feed,
    kind: *const c_char,
    tokens: *const c_char,
) -> *mut kneo_response {
    respond_with("feed_unsubscribe", feed, |feed| {
        // SAFETY: the caller promises texts or NULL.
        let (kind, tokens) = unsafe { (required("kind", kind)?, optional("tokens", tokens)?) };
        feed.unsubscribe(kind, tokens)
    })
}

/// Asks for the values of instruments once; they come like others. It is not
/// counted as a subscription. Arguments as for kneo_feed_subscribe, but the
/// broker has no snapshot of "full_depth" and "exchange".
///
/// Returns KNEO_OK with what kneo_feed_status gives; KNEO_INVALID_ARGUMENT;
/// KNEO_NETWORK while the feed is not connected; KNEO_RATE_LIMITED while
/// many requests wait to be sent; KNEO_CLOSED after the feed has ended.
///
/// # Safety
///
/// kind and tokens must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_feed_snapshot(
    feed: *mut kneo_feed,
    kind: *const c_char,
    tokens: *const c_char,
) -> *mut kneo_response {
    respond_with("feed_snapshot", feed, |feed| {
        // SAFETY: the caller promises texts or NULL.
        let (kind, tokens) = unsafe { (required("kind", kind)?, optional("tokens", tokens)?) };
        feed.snapshot(kind, tokens)
    })
}

/// The next event as JSON: a price with the field names of the official SDK
/// ("type": "scrip", "scrip_lite", "index", "market_status", "cas_change"),
/// null where the broker sent no value; or a change of the feed's state, which
/// both feeds tell alike:
/// {"type":"state","state","reason","close_code","http_status","retry_in_ms",
/// "attempt","changes"}. "close_code" is 1006 for a connection that ended
/// without a close frame, null where there was none; "http_status" is that of
/// a refused handshake; "retry_in_ms" null: nothing is tried without a new
/// login; "attempt": how often it was tried since a connection lasted;
/// "changes": how many changes it stands for, 1 or more.
///
/// All events have "received_ns" (when it arrived, unix nanoseconds, by this
/// machine's clock), "age_us" (how old it was when it was read, in
/// microseconds) and "sequence" (counts what arrived; what a slow reader was
/// not given leaves gaps), prices also "replaced".
///
/// timeout_ms: how long to wait, 0 or more milliseconds; 0 does not wait.
///
/// Returns KNEO_OK; KNEO_END when the wait ended; KNEO_INVALID_ARGUMENT for a
/// negative timeout; KNEO_CLOSED after kneo_feed_interrupt, and after the feed
/// has ended and all was read; KNEO_INTERNAL after a defect in this library has
/// ended it; KNEO_INVALID_HANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_feed_next(feed: *mut kneo_feed, timeout_ms: i32) -> *mut kneo_response {
    respond_with("feed_next", feed, |feed| feed.next(wait_of(timeout_ms)?))
}

/// Several events at once: a JSON array of up to most of them, oldest first,
/// each as kneo_feed_next gives it. Waits for the first one only.
///
/// most: 1 to 65536. An array that has grown beyond 4 MiB ends early, and the
/// rest waits for the next call.
/// timeout_ms: as for kneo_feed_next.
///
/// Returns as kneo_feed_next; KNEO_INVALID_ARGUMENT also for a wrong most.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_feed_next_batch(
    feed: *mut kneo_feed,
    most: i32,
    timeout_ms: i32,
) -> *mut kneo_response {
    respond_with("feed_next_batch", feed, |feed| {
        feed.next_batch(most_of(most), wait_of(timeout_ms)?)
    })
}

/// Reads up to capacity records, oldest first, and waits for the first one
/// only. No JSON, and no memory is allocated. Later versions of the library
/// may give records of new kinds: skip those that you do not know.
///
/// out: an array of capacity structs.
/// capacity: 1 or more.
/// tick_size: sizeof(kneo_tick). A library with a longer struct fills what
/// has room; one with a shorter struct sets the rest to 0.
/// timeout_ms: as for kneo_feed_next.
///
/// Returns how many were read, 0 when the wait ended; or a negative status:
/// -KNEO_INVALID_ARGUMENT, -KNEO_INVALID_HANDLE, -KNEO_CLOSED after
/// kneo_feed_interrupt, and after the feed has ended and all was read, or
/// -KNEO_INTERNAL after a defect in this library has ended it.
///
/// # Safety
///
/// out must be NULL or point to capacity * tick_size writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_feed_read(
    feed: *mut kneo_feed,
    out: *mut Tick,
    capacity: i32,
    tick_size: usize,
    timeout_ms: i32,
) -> i32 {
    count_with(feed, |feed| {
        check_struct(out, "tick_size", tick_size)?;
        let most = match usize::try_from(capacity) {
            Ok(most) if most > 0 => most,
            _ => return Err(Error::argument("capacity", "must be 1 or more")),
        };
        let mut to = out.cast::<u8>();
        feed.read(most, wait_of(timeout_ms)?, |tick| {
            // SAFETY: at most `capacity` records come, so both stay within
            // what the caller promises, or one past its end.
            unsafe {
                put(to, tick_size, tick);
                to = to.add(tick_size);
            }
        })
    })
}

/// Ends the waits of other threads on this feed that are under way:
/// kneo_feed_next and kneo_feed_next_batch with KNEO_CLOSED, kneo_feed_read
/// with -KNEO_CLOSED. If there is none it ends the next one, whatever waits to
/// be read, but no call with a timeout of 0. Several calls before a wait count
/// as one. The feed goes on, and nothing is lost. Dead handles are ignored.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_feed_interrupt(feed: *mut kneo_feed) {
    guard((), || {
        if let Some(feed) = get(feed) {
            feed.interrupt();
        }
    });
}

/// The newest price of an instrument, whether it was read before or not.
///
/// instrument: "nse_cm|11536"; an index also by name, "nse_cm|Nifty 50".
/// out: receives it.
/// tick_size: as for kneo_feed_read.
///
/// Returns 1; 0 if none came yet, and then out is not touched; or a negative
/// status as kneo_feed_read. The value may be old: see age_us and feed_state.
///
/// # Safety
///
/// instrument must be NULL or NUL-terminated, out must be NULL or point to
/// tick_size writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_feed_last(
    feed: *mut kneo_feed,
    instrument: *const c_char,
    out: *mut Tick,
    tick_size: usize,
) -> i32 {
    count_with(feed, |feed| {
        check_struct(out, "tick_size", tick_size)?;
        // SAFETY: the caller promises a text or NULL.
        let instrument = unsafe { required("instrument", instrument) }?;
        let mut tick = Tick::default();
        let found = feed.last(instrument, &mut tick)?;
        if found {
            // SAFETY: as the caller promises.
            unsafe { put(out.cast(), tick_size, &tick) };
        }
        Ok(usize::from(found))
    })
}

/// The newest market depth of an instrument; its touch line, one row on each
/// side, if it has no more.
///
/// instrument: "nse_cm|11536". An index has no depth, and is refused.
/// out: receives it.
/// depth_size: sizeof(kneo_depth); see tick_size of kneo_feed_read.
///
/// Returns 1; 0 if none came yet, and then out is not touched; or a negative
/// status as kneo_feed_read.
///
/// # Safety
///
/// instrument must be NULL or NUL-terminated, out must be NULL or point to
/// depth_size writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_feed_depth(
    feed: *mut kneo_feed,
    instrument: *const c_char,
    out: *mut Depth,
    depth_size: usize,
) -> i32 {
    count_with(feed, |feed| {
        check_struct(out, "depth_size", depth_size)?;
        // SAFETY: the caller promises a text or NULL.
        let instrument = unsafe { required("instrument", instrument) }?;
        let mut depth = Depth::default();
        let found = feed.depth(instrument, &mut depth)?;
        if found {
            // SAFETY: as the caller promises.
            unsafe { put(out.cast(), depth_size, &depth) };
        }
        Ok(usize::from(found))
    })
}

/// How the feed is, as JSON, without waiting. Both feeds have:
/// - "state", "reason", "close_code", "http_status", "retry_in_ms", "attempt":
///   as in the newest event of a state; "state_for_ms": how long it has been so
/// - "connections" (how many were made) and "gaps" (how many were lost after
///   they had been live)
/// - "frames": how many the server sent, texts and binary ones
/// - "waiting": how many events can be read; "last_sequence": the "sequence" of
///   the one that was read last, 0 before the first
/// - "options": all of them, as they are in force
///
/// The market feed also has "subscribed" and "allowed"; "subscriptions" by
/// kind; "packets", "ignored", "malformed", "replaced" (old values that nobody
/// read), "no_room"; "instruments" with a value, "newest_age_ms" (null if no
/// price came yet).
///
/// Returns KNEO_OK; KNEO_INVALID_HANDLE; KNEO_CLOSED after the feed has ended;
/// KNEO_INTERNAL after a defect in this library has ended it.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_feed_status(feed: *mut kneo_feed) -> *mut kneo_response {
    respond_with("feed_status", feed, Feed::status)
}
