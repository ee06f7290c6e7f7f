//! What readers of the market feed get: a packet or a change of the state, as
//! the struct of the C ABI and as a JSON event.

use super::packet::Packet;
use crate::feeds::arrival::Arrival;
use crate::feeds::state::{Change, State};
use crate::feeds::tick::{self, Depth, Tick, put_text};

/// A change of the feed's state, as it waits to be read.
#[derive(Clone, Debug)]
pub(crate) struct StateRecord {
    pub(super) change: Change,
    /// How many changes it stands for.
    pub(super) changes: u32,
    pub(super) arrival: Arrival,
    pub(super) sequence: u64,
}

/// What a reader gets.
pub(crate) enum Record<'a> {
    State(&'a StateRecord),
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
            Self::State(record) => {
                let close_code = record.change.close_code;
                *out = Tick {
                    kind: tick::KNEO_KIND_STATE,
                    feed_state: record.change.state as i32,
                    state_changes: i32::try_from(record.changes).unwrap_or(i32::MAX),
                    close_code: close_code.unwrap_or(0).into(),
                    valid: match close_code {
                        Some(_) => tick::KNEO_HAS_CLOSE_CODE,
                        None => 0,
                    },
                    sequence: record.sequence,
                    received_ns: record.arrival.ns,
                    age_us: record.arrival.age_us(now),
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
                out.age_us = arrival.age_us(now);
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
        out.age_us = arrival.age_us(now);
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
            Self::State(record) => {
                record.change.write_members(out);
                write!(
                    out,
                    ",\"changes\":{},\"received_ns\":{},\"age_us\":{},\"sequence\":{}",
                    record.changes,
                    record.arrival.ns,
                    record.arrival.age_us(now),
                    record.sequence,
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
                    arrival.age_us(now),
                )
            }
        };
        out.push('}');
    }
}
