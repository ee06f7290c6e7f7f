//! The events of the order feed as JSON: the members of each, but for those
//! that the queue adds to all. The broker's rows stand in "data" as they came,
//! but for secrets that they quote.

use std::time::Duration;

use serde_json::value::RawValue;

use super::merge::{Fill, Origin, Step};
use crate::base::error::Error;
use crate::base::redact::Known;
use crate::feeds::options::millis;
use crate::feeds::state::Change;

pub(super) fn state(change: &Change) -> String {
    let mut members = String::new();
    change.write_members(&mut members);
    members
}

pub(super) fn order(step: &Step, row: &RawValue, origin: Origin, known: &Known) -> String {
    let mut members = format!(
        r#""type":"order","origin":"{}","order":{},"state":"{}","state_text":{},"previous":{},"filled":{},"fill_quantity":{}"#,
        match origin {
            Origin::Live => "live",
            Origin::Recovered => "recovered",
        },
        or_null(step.order.as_deref()),
        step.state,
        or_null(
            step.words
                .as_deref()
                .map(|words| known.mask(words))
                .as_deref()
        ),
        or_null(step.previous),
        step.filled.map_or("null".to_owned(), |n| n.to_string()),
        step.fill,
    );
    if step.skipped {
        members.push_str(r#","skipped":true"#);
    }
    if step.late {
        members.push_str(r#","late":true"#);
    }
    if let Some(hint) = step.hint {
        members.push_str(r#","hint":"#);
        members.push_str(&quoted(hint));
    }
    members.push_str(r#","data":"#);
    members.push_str(&known.mask(row.get()));
    members
}

pub(super) fn trade(fill: &Fill, row: &RawValue, known: &Known) -> String {
    format!(
        r#""type":"trade","origin":"recovered","order":{},"trade":{},"quantity":{},"fill_quantity":{},"data":{}"#,
        quoted(&fill.order),
        or_null(fill.trade.as_deref()),
        fill.quantity,
        fill.fill,
        known.mask(row.get())
    )
}

pub(super) fn position(row: &RawValue, known: &Known) -> String {
    let data = known.mask(row.get());
    format!(r#""type":"position","origin":"live","data":{data}"#)
}

pub(super) fn books(orders: usize, trades: usize) -> String {
    format!(r#""type":"books","ok":true,"orders":{orders},"trades":{trades}"#)
}

pub(super) fn failed_books(error: &Error, wait: Duration) -> String {
    format!(
        r#""type":"books","ok":false,"status":"{}","reason":{},"retry_in_ms":{}"#,
        error.status().name(),
        quoted(error.message()),
        millis(wait)
    )
}

/// What is neither order nor position, without secrets.
pub(super) fn message(text: &str) -> String {
    let text = quoted(text);
    format!(r#""type":"message","origin":"live","raw":{text}"#)
}

/// The reader was too slow.
pub(super) fn overflow(kept: usize) -> String {
    format!(r#""type":"overflow","kept":{kept}"#)
}

fn or_null(text: Option<&str>) -> String {
    text.map_or("null".to_owned(), quoted)
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
