//! The library as a whole: statuses, versions, handles, shutdown.

use std::ffi::{CStr, c_char};
use std::time::Duration;

use super::guard::{guard, guard_writes};
use super::registry::registry;
use crate::base::clock;
use crate::base::process;
use crate::base::status::Status;

/// Done. For calls to the broker the JSON is the broker's body.
pub const KNEO_OK: i32 = 0;
/// An argument is missing, malformed or not allowed. Nothing of what it refuses
/// was sent; "sent" in the JSON tells whether a lookup was.
pub const KNEO_INVALID_ARGUMENT: i32 = 1;
/// The handle is NULL, freed or foreign. Nothing was sent.
pub const KNEO_INVALID_HANDLE: i32 = 2;
/// A login step that the call needs has not happened. Nothing was sent.
pub const KNEO_NOT_LOGGED_IN: i32 = 3;
/// The broker no longer accepts this session: log in again.
pub const KNEO_SESSION_EXPIRED: i32 = 4;
/// The broker answered, and said no.
pub const KNEO_REJECTED: i32 = 5;
/// The local budget is used up, or the broker answered 429.
pub const KNEO_RATE_LIMITED: i32 = 6;
/// No answer in time. "sent" in the JSON tells whether anything left.
pub const KNEO_TIMEOUT: i32 = 7;
/// Name lookup, connection or TLS failed, or an answer was cut off. Also if the
/// system had no thread, memory or descriptor for it: the message tells which.
pub const KNEO_NETWORK: i32 = 8;
/// An order instruction may have been taken: see kneo_order_outcome.
pub const KNEO_UNKNOWN_OUTCOME: i32 = 9;
/// The answer is not what the broker documents, or is larger than is read.
/// A login was granted with a token that no request could carry.
pub const KNEO_PROTOCOL: i32 = 10;
/// The broker answered 5xx, 424 or its code 1005.
pub const KNEO_UNAVAILABLE: i32 = 11;
/// The call was cancelled, or its handle was closed or interrupted while it
/// waited; or an instruction of a client that was halted.
pub const KNEO_CLOSED: i32 = 12;
/// A defect in this library, or the system refused what it needs but for a
/// connection.
pub const KNEO_INTERNAL: i32 = 13;
/// A wait ended with nothing to give.
pub const KNEO_END: i32 = 14;

/// The version of the ABI that this header describes.
pub const KNEO_ABI_VERSION: u32 = 1;

const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"",
    };

/// The version of the loaded library, for example "0.1.0". A constant text
/// that is never freed.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_version() -> *const c_char {
    guard(VERSION.as_ptr(), || VERSION.as_ptr())
}

/// The ABI version of the loaded library. A program built with this header
/// works with any library that gives KNEO_ABI_VERSION.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_abi_version() -> u32 {
    guard(KNEO_ABI_VERSION, || KNEO_ABI_VERSION)
}

/// How many handles of this process are not freed yet, of all kinds.
///
/// 0 at the end of a program that frees what it gets: leak checkers do not
/// see handles.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_live_handles() -> i32 {
    guard(0, || i32::try_from(registry().live()).unwrap_or(i32::MAX))
}

/// Ends everything that the library does: calls under way end with
/// KNEO_CLOSED, clients and feeds die, threads end. Responses stay readable and must
/// still be freed. After that the library can be used again.
///
/// timeout_ms: how long to wait for it, 0 or more milliseconds.
///
/// Returns KNEO_OK when nothing is left running; KNEO_TIMEOUT when something
/// still runs (a name lookup of the system cannot be cancelled);
/// KNEO_INVALID_ARGUMENT for a negative timeout, which does nothing.
///
/// Call it before the library is unloaded. Its code stays mapped all the same
/// once a client was opened, so that an unload never pulls it away from under
/// a thread. Do not call it from DllMain or a static destructor.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_shutdown(timeout_ms: i32) -> i32 {
    guard_writes(Status::Internal.code(), || {
        let Ok(timeout) = u64::try_from(timeout_ms) else {
            return Status::InvalidArgument.code();
        };
        let deadline = clock::now() + Duration::from_millis(timeout);
        registry().close_all();
        let shared = process::shared();
        let ended =
            shared.calls.wait_until_empty(deadline) && shared.threads.wait_until_empty(deadline);
        if ended {
            Status::Ok.code()
        } else {
            Status::Timeout.code()
        }
    })
}
