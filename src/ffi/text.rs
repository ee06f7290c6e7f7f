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
        let problem = match bytes.to_bytes() {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "is UTF-16; save it as UTF-8".to_owned(),
            _ => format!("is not valid UTF-8 (byte {})", error.valid_up_to() + 1),
        };
        Error::argument(name, problem)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn told(bytes: &CStr) -> String {
        // SAFETY: a text with its end.
        let read = unsafe { required("config_json", bytes.as_ptr()) };
        read.expect_err("it is not UTF-8").message().to_owned()
    }

    #[test]
    fn what_is_no_utf_8_is_told() {
        for start in [c"\xff\xfe{", c"\xfe\xff"] {
            let words = "config_json: is UTF-16; save it as UTF-8";
            assert_eq!(told(start), words);
        }
        let words = "config_json: is not valid UTF-8 (byte 2)";
        assert_eq!(told(c"{\x93a\x94:1}"), words);
    }
}
