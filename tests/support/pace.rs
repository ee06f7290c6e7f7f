//! The pace of a client, out of the way of tests that are about something else.

use serde_json::{Value, json};

/// A configuration that lets any number of reads leave at once.
#[must_use]
pub fn unpaced() -> Value {
    json!({
        "max_reads_per_second": {"quotes": 1_000_000, "candles": 1_000_000, "other": 1_000_000},
        "max_quotes_at_once": 1_000_000,
    })
}
