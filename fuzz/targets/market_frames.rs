//! Binary frames of the market feed, as they come and as a caller reads them:
//! structs, depth and JSON, with any divider, a history of any size, and
//! subscriptions that end meanwhile.
#![no_main]

use std::collections::{HashMap, HashSet};
use std::ffi::c_char;
use std::time::Duration;

use kotak_neo::raw::MarketFeed;
use kotak_neo::{Depth, DepthRow, Tick};
use kotak_neo_fuzz::{Input, json};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const EXCHANGES: [&str; 4] = ["nse_cm", "nse_fo", "cde_fo", "mcx_fo"];
const KINDS: [&str; 5] = ["scrips", "scrips_lite", "depth", "full_depth", "index"];
const HISTORIES: [u32; 5] = [0, 60, 500, 4096, 70_000];
/// Fewer steps than could fill the room for instruments that nobody has
/// subscribed: none may be lost.
const STEPS: usize = 40;

/// What was read so far.
#[derive(Default)]
struct Read {
    packets: u64,
    replaced: u64,
    /// The last sequence of each instrument and level.
    levels: HashMap<(Segment, i32, i32, u32), u64>,
    /// The newest sequence of each instrument that has a price.
    newest: HashMap<(Segment, u32), u64>,
}

/// The name of an exchange segment, cheap to copy.
type Segment = [u8; 8];

fn segment(name: &str) -> Segment {
    let mut segment = [0; 8];
    segment[..name.len()].copy_from_slice(name.as_bytes());
    segment
}

impl Read {
    fn take(&mut self, segment: Segment, kind: i32, level: i32, token: u32, sequence: u64) {
        self.packets += 1;
        let place = (segment, kind, level, token);
        let before = self.levels.insert(place, sequence);
        assert!(before < Some(sequence), "an older value came later");
        if matches!(kind, 1..=3) {
            let newest = self.newest.entry((segment, token)).or_default();
            *newest = sequence.max(*newest);
        }
    }

    fn tick(&mut self, tick: &Tick) {
        check(tick);
        if tick.kind == 6 {
            return;
        }
        self.replaced += tick.replaced;
        let segment = tick.exchange_segment.map(|byte| byte as u8);
        self.take(segment, tick.kind, tick.level, tick.token, tick.sequence);
    }

    fn event(&mut self, event: &Value) {
        let number = |key: &str| event[key].as_u64();
        let kind = match event["type"].as_str() {
            Some("scrip") => 1,
            Some("scrip_lite") => 2,
            Some("index") => 3,
            Some("market_status") => 4,
            Some("cas_change") => 5,
            other => {
                assert_eq!(other, Some("state"));
                return;
            }
        };
        self.replaced += number("replaced").expect("a count");
        let segment = segment(event["exchange_segment"].as_str().expect("a name"));
        let level = match kind {
            2 => 1,
            _ => event["level"].as_i64().unwrap_or(0) as i32,
        };
        let token = event["instrument_token"].as_str();
        let token = token.map_or(0, |token| token.parse().expect("a number"));
        let sequence = number("sequence").expect("a number");
        self.take(segment, kind, level, token, sequence);
    }
}

/// Holds a text of fixed size to be UTF-8 with a NUL at its end.
fn text<const N: usize>(field: &[c_char; N]) {
    let bytes = field.map(|byte| byte as u8);
    let end = bytes.iter().position(|byte| *byte == 0);
    let (text, rest) = bytes.split_at(end.expect("a text ends with a NUL"));
    assert!(rest.iter().all(|byte| *byte == 0));
    std::str::from_utf8(text).expect("a text is UTF-8");
}

/// A price is there with its raw value, or both are 0.
fn check(tick: &Tick) {
    let has = |bit: u32| tick.valid & 1 << bit != 0;
    let by = f64::from(tick.divider);
    for (bit, price, raw) in [
        (0, tick.last_traded_price, tick.last_traded_price_raw),
        (1, tick.open_price, tick.open_price_raw),
        (1, tick.high_price, tick.high_price_raw),
        (1, tick.low_price, tick.low_price_raw),
        (2, tick.close_price, tick.close_price_raw),
        (3, tick.average_trade_price, tick.average_trade_price_raw),
        (4, tick.net_change, tick.net_change_raw),
        (6, tick.upper_circuit_limit, tick.upper_circuit_limit_raw),
        (6, tick.lower_circuit_limit, tick.lower_circuit_limit_raw),
        (7, tick.yearly_high, tick.yearly_high_raw),
        (7, tick.yearly_low, tick.yearly_low_raw),
        (9, tick.buy_price, tick.buy_price_raw),
        (10, tick.sell_price, tick.sell_price_raw),
        (11, tick.ref_price, tick.ref_price_raw),
    ] {
        match has(bit) {
            true => assert!(tick.divider > 0 && price == raw as f64 / by),
            false => assert!(price == 0.0 && raw == 0),
        }
    }
    for (bit, number) in [
        (8, tick.total_traded_value),
        (5, tick.net_change_percent),
        (19, tick.multiplier),
    ] {
        assert!(number.is_finite() && (has(bit) || number == 0.0));
    }
    for (bit, number) in [
        (12, tick.last_trade_time),
        (13, tick.last_update_time),
        (14, tick.last_trade_qty),
        (15, tick.total_buy_quantity),
        (15, tick.total_sell_quantity),
        (16, tick.volume_traded_today),
        (17, tick.open_interest),
        (18, tick.market_lot),
    ] {
        assert!(has(bit) || number == 0);
    }
    assert!((1..=6).contains(&tick.kind) && tick.age_us >= 0 && tick.reserved == 0);
    assert!((0..=20).contains(&tick.buy_rows) && (0..=20).contains(&tick.sell_rows));
    text(&tick.exchange_segment);
    text(&tick.trading_symbol);
    text(&tick.name);
}

fn check_depth(depth: &Depth) {
    let none = DepthRow {
        price: 0.0,
        price_raw: 0,
        quantity: 0,
        orders: 0,
        reserved: 0,
    };
    for (rows, there, sent) in [
        (&depth.buy, depth.buy_rows, depth.buy_rows_sent),
        (&depth.sell, depth.sell_rows, depth.sell_rows_sent),
    ] {
        assert!((0..=20).contains(&there) && there <= sent);
        let (given, rest) = rows.split_at(there as usize);
        assert!(rest.iter().all(|row| *row == none));
        let by = f64::from(depth.divider);
        assert!(
            given
                .iter()
                .all(|row| row.price == row.price_raw as f64 / by)
        );
    }
    text(&depth.exchange_segment);
    text(&depth.trading_symbol);
}

fn drain(feed: &MarketFeed, read: &mut Read, most: usize) {
    let given = feed.feed.read(most, Duration::ZERO, |tick| read.tick(tick));
    assert!(given.expect("it is open") <= most);
}

fn status(feed: &MarketFeed) -> Value {
    json(feed.feed.status().expect("it is open").json())
}

/// Many mini touch lines, one instrument each.
fn burst(first: u16, count: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(count * 54);
    for token in (u32::from(first)..).take(count) {
        let mut packet = [0; 54];
        packet[0] = 54;
        packet[4] = 1;
        packet[5] = 1;
        packet[9..13].copy_from_slice(&token.to_le_bytes());
        frame.extend_from_slice(&packet);
    }
    frame
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let history = HISTORIES[usize::from(input.byte()) % HISTORIES.len()];
    let options = format!(r#"{{"history_bytes":{history}}}"#);
    let mut feed = MarketFeed::new(Some(&options)).expect("the options are good");
    let mut read = Read::default();
    let mut forgotten = HashSet::new();
    // An index goes by its name, which can be any number.
    let mut by_name = false;
    for _ in 0..STEPS {
        match input.byte() % 10 {
            _ if input.is_empty() => break,
            0..=3 => {
                let length = input.u16();
                feed.binary(input.bytes(length.into()));
            }
            4 => drain(&feed, &mut read, input.byte().into()),
            5 => {
                for _ in 0..input.byte() % 8 {
                    if let Ok(event) = feed.feed.next(Duration::ZERO) {
                        read.event(&json(event.json()));
                    }
                }
            }
            6 => {
                let exchange = EXCHANGES[usize::from(input.byte()) % EXCHANGES.len()];
                let instrument = format!("{exchange}|{}", u32::from_le_bytes(input.array()));
                let (mut tick, mut depth) = (Tick::default(), Depth::default());
                if feed.feed.last(&instrument, &mut tick).expect("a good name") {
                    check(&tick);
                }
                if feed
                    .feed
                    .depth(&instrument, &mut depth)
                    .expect("a good name")
                {
                    check_depth(&depth);
                }
            }
            7 => {
                let kind = KINDS[usize::from(input.byte()) % KINDS.len()];
                let exchange = EXCHANGES[usize::from(input.byte()) % EXCHANGES.len()];
                let token = u32::from_le_bytes(input.array());
                let instrument = format!("{exchange}|{token}");
                if token % 2 == 0 {
                    let asked = feed.feed.subscribe(kind, Some(&instrument));
                    json(asked.expect("there is room").json());
                } else {
                    let asked = feed.feed.unsubscribe(kind, Some(&instrument));
                    json(asked.expect("it need not be subscribed").json());
                    forgotten.insert((segment(exchange), token));
                    by_name |= kind == "index";
                }
            }
            8 => {
                let (exchange, divider) = (input.byte() as i8, i64::from_le_bytes(input.array()));
                let welcome = format!(
                    r#"{{"message_code":1117,"exchanges":{{"x":{{"value":{exchange},"divider":{divider}}}}}}}"#
                );
                feed.text(&welcome).expect("a welcome");
            }
            _ => {
                let (first, count) = (input.u16(), input.byte() % 64);
                feed.binary(&burst(first, count.into()));
            }
        }
    }
    drain(&feed, &mut read, usize::MAX);
    let status = status(&feed);
    assert_eq!(status["waiting"], 0);
    assert!(status["no_room"] == 0);
    // Every packet was read or replaced, and the newest is at hand.
    if forgotten.is_empty() {
        let packets = status["packets"].as_u64();
        assert_eq!(Some(read.packets + read.replaced), packets);
    }
    for (instrument, sequence) in &read.newest {
        if by_name || forgotten.contains(instrument) {
            continue;
        }
        let (segment, token) = instrument;
        let segment = String::from_utf8_lossy(segment);
        let name = format!("{}|{token}", segment.trim_end_matches('\0'));
        let mut tick = Tick::default();
        // The error is for those that no caller can name.
        if let Ok(found) = feed.feed.last(&name, &mut tick) {
            assert!(found && tick.sequence == *sequence);
        }
    }
});
