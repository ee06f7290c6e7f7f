//! Clients: open, interrupt, cancel, halt, free.

use std::ffi::c_char;

use super::guard::{guard, guard_writes};
use super::pin;
use super::registry::{Handle, Place, Registry, Table, get, take_back};
use super::respond::{respond, respond_with};
use super::response::kneo_response;
use super::text::{optional, required};
use crate::client::Client;

/// A connection to the broker for one user. Opaque.
///
/// Owned by the caller, who frees it once with kneo_client_free. Any thread
/// may use it at any time, also several at once. After fork() the child's
/// copy of the handle is invalid; the child opens a client of its own.
#[allow(non_camel_case_types)]
pub struct kneo_client {
    _opaque: [u8; 0],
}

impl Handle for kneo_client {
    type Value = Client;
    const NAME: &'static str = "client";

    fn table(registry: &Registry) -> &Table<Self> {
        &registry.clients
    }
}

/// Opens a client. Nothing is sent to anybody.
///
/// config: a JSON object, or NULL or "" for all defaults. Its keys, all
/// optional:
/// - "environment": "prod" (default) or "uat"
/// - "generation": 1, 2 or 3; chosen by the login call unless given
/// - "consumer_key", "consumer_secret", "access_token", "neo_fin_key"
/// - "base_url": puts every host of the broker on this address (sandbox);
///   http is allowed to loopback only
/// - "timeouts": object of milliseconds, 1 to 3600000 each: "login" 30000,
///   "order" 10000, "read" 15000, "download" 120000, "connect" 5000
/// - "ca_file": PEM file of authorities to trust besides the system's
/// - "proxy": "http://user:password@host:port" (the login may be left out)
///   or "system"; none unless given, and never for loopback
/// - "local_address": IP address to connect from; addresses of its family only are
///   tried then
/// - "max_orders_per_second": 1 to 1000000 (10), in any second of the broker's;
///   clients of one account in this process share what was sent
/// - "max_reads_per_second": object of 1 to 1000000 each, in any second of
///   the broker's: "quotes" 25 (expiries and chains too), "candles" 2, "other"
///   10 (books and all else); clients of one account share what was sent. A
///   read waits for its turn within its deadline, else it is KNEO_RATE_LIMITED
///   and not sent. Logins and instructions never wait for reads
/// - "max_quotes_at_once": 1 to 1000000 (4), quotes, expiries and chains that
///   are sent and not answered yet
/// - "ledger_file", "ledger_sync" ("process" or "disk"),
///   "outcome_window_ms" (120000), "cache_dir"
/// - "read_only": true lets no instruction leave, cancels included
/// - "max_order_quantity", "max_order_value" (price times quantity),
///   "max_orders_per_day" (new orders), "allowed_segments" (a list like
///   ["nse_cm"]): an order beyond them is KNEO_INVALID_ARGUMENT and not sent
/// - "log": {"level":"off|error|warn|info|debug|trace","file":"path"}
///
/// Paths are relative to the folder of the process at this moment; a later change
/// of the folder moves nothing. One that begins with ~, $NAME or %NAME%, begins or
/// ends with a quote or a blank, or is a file:// address is an error. Blanks around
/// a credential or an address say nothing.
///
/// An unknown key is an error that names it; null means absent.
///
/// out: receives the client, or NULL on failure. Must not be NULL.
///
/// Returns a response, never NULL, to be freed with kneo_response_free:
/// KNEO_OK with the configuration in force, defaults included and secrets left
/// out, and the library's "version"; or KNEO_INVALID_ARGUMENT.
///
/// # Safety
///
/// config must be NULL or a NUL-terminated text, out must be NULL or
/// point to a writable pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_client_open(
    config: *const c_char,
    out: *mut *mut kneo_client,
) -> *mut kneo_response {
    respond("client_open", || {
        // SAFETY: the caller promises a writable pointer or NULL.
        let place = unsafe { Place::of(out) }?;
        // SAFETY: the caller promises a text or NULL.
        let config = unsafe { optional("config", config) }?;
        let client = Client::open(config)?;
        pin::module();
        let reply = client.describe();
        place.fill(client);
        Ok(reply)
    })
}

/// Ends the calls that are under way on this client with KNEO_CLOSED, within
/// a moment; an instruction that may have left ends with KNEO_UNKNOWN_OUTCOME.
/// The session stays, and later calls work. NULL and dead handles are ignored.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_client_interrupt(client: *mut kneo_client) {
    guard((), || {
        if let Some(client) = get(client) {
            client.interrupt();
        }
    });
}

/// Ends one call by its name, and no other: the call whose parameters have this
/// "call_id" (see the top of this header; functions without parameters are
/// named by kneo_call).
///
/// client: a live client.
/// call_id: 1 to 64 printable ASCII characters.
///
/// The call ends within a moment with KNEO_CLOSED; an instruction that may have
/// left with KNEO_UNKNOWN_OUTCOME and its tag; a login that the broker has
/// granted already still succeeds. If no such call is under way, the next one
/// that begins with this id ends at once and sends nothing: so a cancel may come
/// first, and an id should be used once. 1,024 such cancels are remembered, the
/// oldest are forgotten. A call that has ended is not affected.
///
/// Returns KNEO_OK with {"under_way":true}, or false if the cancel was
/// remembered; KNEO_INVALID_ARGUMENT; KNEO_INVALID_HANDLE. Does not wait for
/// the call to end.
///
/// # Safety
///
/// call_id must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_client_cancel(
    client: *mut kneo_client,
    call_id: *const c_char,
) -> *mut kneo_response {
    respond_with("client_cancel", client, |client| {
        // SAFETY: the caller promises a text or NULL.
        let call_id = unsafe { required("call_id", call_id) }?;
        client.cancel(call_id)
    })
}

/// The kill switch: from now on nothing but cancels leaves this client, until
/// another one is opened.
///
/// client: a live client.
///
/// Once this has returned no new order and no modification passes its point of
/// no return: those that wait for a slot or a connection, and all later ones,
/// end with KNEO_CLOSED, and nothing of them is sent. What had passed it before
/// goes on, may be taken, and ends as always. Reads, logins and feeds go on;
/// neither a new login nor kneo_client_interrupt ends the halt. Other clients
/// of this process are not halted. Open orders are not cancelled by it.
///
/// Returns KNEO_OK with {"halted":true,"under_way":n}: n instructions have been
/// begun, may have left, and have not ended; KNEO_INVALID_HANDLE; KNEO_CLOSED.
/// Does not wait for them. Halting again changes nothing.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_client_halt(client: *mut kneo_client) -> *mut kneo_response {
    respond_with("client_halt", client, |client| client.halt())
}

/// Frees a client: closes its connections, wipes its session, and ends the
/// calls that other threads make on it, as kneo_client_interrupt does. The
/// broker is not told; kneo_logout does that. NULL and dead handles are ignored.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_client_free(client: *mut kneo_client) {
    guard_writes((), || {
        if let Some(client) = take_back(client) {
            client.close();
        }
    });
}
