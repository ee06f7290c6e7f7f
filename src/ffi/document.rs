//! Texts that go out to C: with their NUL, wiped on drop.

use std::collections::HashMap;
use std::ffi::c_char;
use std::sync::{Mutex, OnceLock, PoisonError};

use zeroize::Zeroizing;

use crate::base::pointer::{Found, Index};

/// A text with its NUL. It may carry tokens. It stays where it is when it is
/// moved, so that pointers into it hold until it is dropped.
pub(super) struct Text(Zeroizing<Vec<u8>>);

impl Text {
    pub(super) fn new(text: &str) -> Self {
        let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() + 1));
        bytes.extend_from_slice(text.as_bytes());
        // JSON has no raw NUL; a message might quote one.
        if text.contains('\0') {
            bytes
                .iter_mut()
                .filter(|byte| **byte == 0)
                .for_each(|byte| *byte = b'?');
        }
        bytes.push(0);
        Self(bytes)
    }

    pub(super) fn pointer(&self) -> *const c_char {
        self.0.as_ptr().cast()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len() - 1
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0[..self.len()]).unwrap_or_default()
    }
}

/// A JSON text, and what was looked up in it.
pub(super) struct Document {
    pub(super) text: Text,
    /// Made when something is looked up first; `None` if it is no JSON.
    index: OnceLock<Option<Index>>,
    /// The lists and objects that were asked for, by where they begin.
    parts: Mutex<HashMap<usize, Text>>,
}

impl Document {
    pub(super) fn new(json: &str) -> Self {
        Self {
            text: Text::new(json),
            index: OnceLock::new(),
            parts: Mutex::default(),
        }
    }

    /// The value that a JSON Pointer leads to, as a text that lives as long as
    /// this does.
    pub(super) fn field(&self, pointer: &str) -> Option<*const c_char> {
        match self.index()?.field(pointer)? {
            Found::Text(text) => Some(text.as_ptr()),
            // The whole of it, which has a NUL behind it already.
            Found::Json(range) if range.end == self.text.len() => self
                .text
                .0
                .get(range.start..)
                .map(|text| text.as_ptr().cast()),
            Found::Json(range) => {
                let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
                let part = parts
                    .entry(range.start)
                    .or_insert_with(|| Text::new(&self.text.as_str()[range]));
                Some(part.pointer())
            }
        }
    }

    /// How many members a list or object has.
    pub(super) fn length(&self, pointer: &str) -> Option<usize> {
        self.index()?.length(pointer)
    }

    fn index(&self) -> Option<&Index> {
        let made = self.index.get_or_init(|| Index::new(self.text.as_str()));
        made.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    #[test]
    fn a_part_is_copied_once_and_stays() {
        let document = Document::new(r#"{"rows":[{"a":"x"},{"a":"y"}]}"#);
        let first = document.field("/rows/0").expect("it is there");
        for at in 0..2 {
            let row = document.field(&format!("/rows/{at}"));
            assert_eq!(row == Some(first), at == 0);
        }
        assert_eq!(document.parts.lock().expect("nobody panicked").len(), 2);
        let text = document.field("/rows/1/a").expect("it is there");
        assert_eq!(document.field("/rows/1/a"), Some(text));
        // SAFETY: both are texts of `document`, which lives on.
        let (row, text) = unsafe { (CStr::from_ptr(first), CStr::from_ptr(text)) };
        assert_eq!((row, text), (c"{\"a\":\"x\"}", c"y"));
        assert_eq!(
            (document.length("/rows"), document.length("/x")),
            (Some(2), None)
        );
        assert!(Document::new("no JSON").field("").is_none());
    }

    #[test]
    fn the_whole_is_not_copied() {
        let document = Document::new(" [1,[2]]");
        let whole = document.field("").expect("it is there");
        assert_eq!(whole, document.text.pointer().wrapping_add(1));
        assert_eq!(document.parts.lock().expect("nobody panicked").len(), 0);
        // SAFETY: it is a text of `document`, which lives on.
        assert_eq!(unsafe { CStr::from_ptr(whole) }, c"[1,[2]]");
        let followed = Document::new("[1] ");
        let whole = followed.field("").expect("it is there");
        // SAFETY: it is a text of `followed`, which lives on.
        assert_eq!(unsafe { CStr::from_ptr(whole) }, c"[1]");
    }
}
