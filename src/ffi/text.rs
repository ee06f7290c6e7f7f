//! Reads the texts that C callers pass.

use std::ffi::{CStr, c_char};

use crate::base::error::Error;

/// The text at `pointer`, or `None` for NULL.
///
/// # Safety
///
/// A pointer that is not NULL must point to a NUL-terminated text that stays
/// as it is during the call.
pub(super) unsafe fn optional<'a>(
    name: &str,
    pointer: *const c_char,
) -> Result<Option<&'a str>, Error> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL; the rest is what the caller promises.
    let bytes = unsafe { CStr::from_ptr(pointer) };
    bytes.to_str().map(Some).map_err(|error| {
        Error::argument(
            name,
            format_args!("is not valid UTF-8 (byte {})", error.valid_up_to() + 1),
        )
    })
}

/// The text at `pointer`, which must not be NULL.
///
/// # Safety
///
/// As for [`optional`].
pub(super) unsafe fn required<'a>(name: &str, pointer: *const c_char) -> Result<&'a str, Error> {
    // SAFETY: passed on as promised.
    match unsafe { optional(name, pointer) }? {
        Some(text) => Ok(text),
        None => Err(Error::argument(name, "must not be NULL")),
    }
}
