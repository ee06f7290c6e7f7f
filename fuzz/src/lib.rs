//! What the targets have in common.

use serde_json::Value;
use serde_json::value::RawValue;

/// Takes an input apart, from its beginning.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut all = [0; N];
        let given = self.bytes(N);
        all[..given.len()].copy_from_slice(given);
        all
    }

    pub fn byte(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    /// The rest up to a line feed.
    pub fn line(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|byte| *byte == b'\n');
        let line = self.bytes(end.unwrap_or(self.0.len()));
        self.bytes(1);
        line
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Holds a text to be JSON. The broker's own part of it may be what only some
/// readers take: half a surrogate pair, a number out of range, deep nesting.
pub fn must_be_json(text: &str) {
    let read: Result<&RawValue, _> = serde_json::from_str(text);
    assert!(read.is_ok(), "no JSON: {text}");
}

/// The same for a text that is ours altogether.
pub fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
