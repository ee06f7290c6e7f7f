//! What exports end with: a response, or a count.

use super::guard::{caught, guard, internal, struck};
use super::registry::{Handle, find, hand_out};
use super::response::{Response, kneo_response};
use super::signals;
use crate::base::error::Error;
use crate::base::reply::Reply;
use crate::base::status::Status;

/// Runs `work` and hands out its result as a response, never NULL.
pub(super) fn respond(
    operation: &'static str,
    work: impl FnOnce() -> Result<Reply, Error>,
) -> *mut kneo_response {
    let _quiet = signals::Quiet::new();
    let made = caught(|| {
        let result = caught(|| struck(work)).unwrap_or_else(|()| Err(internal()));
        let named = result.map_err(|error| error.named(operation));
        hand_out(Response::new(named).into())
    });
    made.unwrap_or(Response::lost())
}

/// The same for work on what is behind a handle.
pub(super) fn respond_with<H: Handle>(
    operation: &'static str,
    handle: *const H,
    work: impl FnOnce(&H::Value) -> Result<Reply, Error>,
) -> *mut kneo_response {
    respond(operation, || work(&find(handle)?))
}

/// The same for calls that give a count, or a negative status.
pub(super) fn count_with<H: Handle>(
    handle: *const H,
    work: impl FnOnce(&H::Value) -> Result<usize, Error>,
) -> i32 {
    guard(-Status::Internal.code(), || {
        match find(handle).and_then(|value| work(&value)) {
            Ok(count) => i32::try_from(count).unwrap_or(i32::MAX),
            Err(error) => -error.status().code(),
        }
    })
}
