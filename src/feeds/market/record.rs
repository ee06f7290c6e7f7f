//! What readers of the market feed get: a packet or a change of the state, as
//! the struct of the C ABI and as a JSON event.

use std::time::Duration;

use super::packet::Packet;
use crate::feeds::link::State;
use crate::feeds::tick::{self, Depth, Tick, put_text};
use crate::json::write_string;

/// When something arrived.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Arrival {
    /// Unix nanoseconds.
    pub(crate) ns: i64,
    /// Microseconds since the feed was opened, by a clock that never jumps.
    pub(crate) us: u64,
}

/// A change of the feed's state.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) state: State,
    pub(crate) reason: String,
    pub(crate) close_code: Option<u16>,
    pub(crate) retry_in: Option<Duration>,
    /// How many changes it stands for.
    pub(super) changes: u32,
    pub(super) arrival: Arrival,
    pub(super) sequence: u64,
}

/// What a reader gets.
pub(crate) enum Record<'a> {
    Change(&'a Change),
    Packet {
        packet: Packet<'a>,
        divider: i32,
        arrival: Arrival,
        sequence: u64,
        replaced: u64,
        symbol: Option<&'a str>,
    },
}

impl Record<'_> {
    /// The record as the struct of the C ABI.
    pub(crate) fn to_tick(&self, state: State, now: Arrival, out: &mut Tick) {
        match self {
            Self::Change(change) => {
                *out = Tick {
                    kind: tick::KNEO_KIND_STATE,
                    feed_state: change.state as i32,
                    state_changes: i32::try_from(change.changes).unwrap_or(i32::MAX),
                    close_code: change.close_code.unwrap_or(0).into(),
                    valid: match change.close_code {
                        Some(_) => tick::KNEO_HAS_CLOSE_CODE,
                        None => 0,
                    },
                    sequence: change.sequence,
                    received_ns: change.arrival.ns,
                    age_us: age(change.arrival, now),
                    ..Tick::default()
                };
            }
            Self::Packet {
                packet,
                divider,
                arrival,
                sequence,
                replaced,
                symbol,
            } => {
                packet.to_tick(*divider, out);
                out.feed_state = state as i32;
                out.received_ns = arrival.ns;
                out.age_us = age(*arrival, now);
                out.sequence = *sequence;
                out.replaced = *replaced;
                if let Some(symbol) = symbol {
                    put_text(&mut out.trading_symbol, symbol);
                }
            }
        }
    }

    /// The depth of the record, where it is one of an instrument.
    pub(crate) fn to_depth(&self, state: State, now: Arrival, out: &mut Depth) {
        let Self::Packet {
            packet,
            divider,
            arrival,
            sequence,
            symbol,
            ..
        } = self
        else {
            return;
        };
        packet.to_depth(*divider, out);
        out.feed_state = state as i32;
        out.received_ns = arrival.ns;
        out.age_us = age(*arrival, now);
        out.sequence = *sequence;
        if let Some(symbol) = symbol {
            put_text(&mut out.trading_symbol, symbol);
        }
    }

    /// The record as a JSON event.
    pub(crate) fn to_json(&self, now: Arrival, out: &mut String) {
        use std::fmt::Write;
        out.push('{');
        // Writing to a String cannot fail.
        let _written = match self {
            Self::Change(change) => {
                out.push_str("\"type\":\"state\",\"state\":\"");
                out.push_str(change.state.name());
                out.push_str("\",\"reason\":");
                write_string(out, &change.reason);
                let or_null = |number: Option<u128>| match number {
                    Some(number) => number.to_string(),
                    None => "null".to_owned(),
                };
                write!(
                    out,
                    ",\"close_code\":{},\"retry_in_ms\":{},\"changes\":{},\"received_ns\":{},\"age_us\":{},\"sequence\":{}",
                    or_null(change.close_code.map(u128::from)),
                    or_null(change.retry_in.map(|wait| wait.as_millis())),
                    change.changes,
                    change.arrival.ns,
                    age(change.arrival, now),
                    change.sequence,
                )
            }
            Self::Packet {
                packet,
                divider,
                arrival,
                sequence,
                replaced,
                symbol,
            } => {
                packet.write_json(*divider, *symbol, out);
                write!(
                    out,
                    ",\"received_ns\":{},\"age_us\":{},\"sequence\":{sequence},\"replaced\":{replaced}",
                    arrival.ns,
                    age(*arrival, now),
                )
            }
        };
        out.push('}');
    }
}

/// Microseconds between two arrivals.
fn age(then: Arrival, now: Arrival) -> i64 {
    i64::try_from(now.us.saturating_sub(then.us)).unwrap_or(i64::MAX)
}
