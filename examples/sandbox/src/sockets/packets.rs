//! The packets of the market feed, written byte by byte as `native_batch` lays them out.
//!
//! Little-endian, packed. Prices are whole numbers that the divider of the exchange scales.

/// The header of every packet, but for its length.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Head {
    pub(crate) exchange: u8,
    pub(crate) auction: u8,
    pub(crate) seq: u8,
}

/// A row of the depth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) quantity: i64,
    pub(crate) price: i32,
    pub(crate) orders: i32,
}

/// Touch line and depth.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Picture {
    pub(crate) token: u32,
    pub(crate) total_buy: i64,
    pub(crate) total_sell: i64,
    pub(crate) volume: i64,
    pub(crate) last_trade_time: i64,
    pub(crate) last_update_time: i64,
    pub(crate) open: u32,
    pub(crate) close: u32,
    pub(crate) high: u32,
    pub(crate) low: u32,
    pub(crate) ltp: u32,
    pub(crate) last_quantity: i64,
    pub(crate) average: u32,
    pub(crate) indicative_close: u32,
    /// What the packet says about its rows; level 4 carries one and one whatever it says.
    pub(crate) rows: (u32, u32),
    /// In hundredths.
    pub(crate) percent: i32,
    pub(crate) open_interest: u32,
    pub(crate) value: f64,
    pub(crate) change: i32,
    pub(crate) upper: u32,
    pub(crate) lower: u32,
    pub(crate) year_high: u32,
    pub(crate) year_low: u32,
    pub(crate) lot: u32,
    pub(crate) precision: u8,
    pub(crate) multiplier: u32,
}

/// An index.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Index<'a> {
    pub(crate) token: u32,
    pub(crate) open: i32,
    pub(crate) close: i32,
    pub(crate) high: i32,
    pub(crate) low: i32,
    pub(crate) value: i32,
    pub(crate) last_trade_time: u64,
    pub(crate) year_high: i32,
    pub(crate) year_low: i32,
    pub(crate) percent: i32,
    pub(crate) precision: u8,
    pub(crate) multiplier: i32,
    pub(crate) name: &'a str,
}

/// The reference price of the closing auction.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cas {
    pub(crate) token: u32,
    pub(crate) reference: u32,
    pub(crate) imbalance: i64,
    pub(crate) imbalance_at_market: i64,
}

const INDEX: u16 = 7207;
const PICTURE: u16 = 7208;
const STATUS: u16 = 105;
const CAS: u16 = 104;
const OPENED: u16 = 6511;
const CLOSED: u16 = 6521;

/// Level of the mini touch line.
pub(crate) const MINI: u8 = 1;
/// Level of the touch line.
pub(crate) const TOUCH: u8 = 4;
/// Level of the depth of five.
pub(crate) const DEPTH: u8 = 8;
/// Level of the full depth.
pub(crate) const FULL: u8 = 16;

/// Begins a packet; [`finish`] writes its length.
fn begin(out: &mut Vec<u8>, head: Head, code: u16, level: u8) -> usize {
    let start = out.len();
    out.extend([0, 0]);
    out.extend(code.to_le_bytes());
    out.extend([head.exchange, level, head.auction, head.seq, 0]);
    start
}

fn finish(out: &mut [u8], start: usize) {
    let length = u16::try_from(out.len() - start).expect("no packet is this long");
    out[start..start + 2].copy_from_slice(&length.to_le_bytes());
}

/// Writes a mini touch line.
pub(crate) fn mini(out: &mut Vec<u8>, head: Head, picture: &Picture) {
    let start = begin(out, head, PICTURE, MINI);
    out.extend(picture.token.to_le_bytes());
    out.extend(picture.last_trade_time.to_le_bytes());
    out.extend(picture.ltp.to_le_bytes());
    out.extend(picture.last_quantity.to_le_bytes());
    out.extend(picture.close.to_le_bytes());
    out.extend(picture.percent.to_le_bytes());
    out.extend(picture.change.to_le_bytes());
    out.extend(picture.lot.to_le_bytes());
    out.push(picture.precision);
    out.extend(picture.multiplier.to_le_bytes());
    finish(out, start);
}

/// Writes a touch line or a depth, by the level.
pub(crate) fn picture(
    out: &mut Vec<u8>,
    head: Head,
    level: u8,
    picture: &Picture,
    rows: impl Iterator<Item = Row>,
) {
    let start = begin(out, head, PICTURE, level);
    out.extend(picture.token.to_le_bytes());
    for number in [
        picture.total_buy,
        picture.total_sell,
        picture.volume,
        picture.last_trade_time,
        picture.last_update_time,
    ] {
        out.extend(number.to_le_bytes());
    }
    for number in [
        picture.open,
        picture.close,
        picture.high,
        picture.low,
        picture.ltp,
    ] {
        out.extend(number.to_le_bytes());
    }
    out.extend(picture.last_quantity.to_le_bytes());
    out.extend(picture.average.to_le_bytes());
    out.extend(picture.indicative_close.to_le_bytes());
    out.extend(picture.rows.0.to_le_bytes());
    out.extend(picture.rows.1.to_le_bytes());
    // The trading status; no value of it is documented.
    out.extend([0, 0]);
    out.extend(picture.percent.to_le_bytes());
    out.extend(picture.open_interest.to_le_bytes());
    out.extend(picture.value.to_le_bytes());
    out.extend(picture.change.to_le_bytes());
    for number in [
        picture.upper,
        picture.lower,
        picture.year_high,
        picture.year_low,
        picture.lot,
    ] {
        out.extend(number.to_le_bytes());
    }
    out.push(picture.precision);
    out.extend(picture.multiplier.to_le_bytes());
    for row in rows {
        out.extend(row.quantity.to_le_bytes());
        out.extend(row.price.to_le_bytes());
        out.extend(row.orders.to_le_bytes());
    }
    finish(out, start);
}

/// Writes an index.
pub(crate) fn index(out: &mut Vec<u8>, head: Head, index: &Index<'_>) {
    let start = begin(out, head, INDEX, 0);
    out.extend(index.token.to_le_bytes());
    for number in [index.open, index.close, index.high, index.low, index.value] {
        out.extend(number.to_le_bytes());
    }
    out.extend(index.last_trade_time.to_le_bytes());
    for number in [index.year_high, index.year_low, index.percent] {
        out.extend(number.to_le_bytes());
    }
    // The market capitalisation, which nobody reads.
    out.extend([0; 8]);
    out.push(index.precision);
    out.extend(index.multiplier.to_le_bytes());
    let mut name = [0; 21];
    let length = index.name.len().min(name.len());
    name[..length].copy_from_slice(&index.name.as_bytes()[..length]);
    out.extend(name);
    finish(out, start);
}

/// Writes a reference price of the closing auction; all zeros outside of it.
pub(crate) fn cas(out: &mut Vec<u8>, head: Head, cas: &Cas) {
    let start = begin(out, head, CAS, 0);
    out.extend(cas.token.to_le_bytes());
    out.extend(cas.reference.to_le_bytes());
    out.extend(cas.imbalance.to_le_bytes());
    out.extend(cas.imbalance_at_market.to_le_bytes());
    finish(out, start);
}

/// Writes a market status: 1 is open, 2 closed, 10 and 12 begin and end the closing auction.
pub(crate) fn status(out: &mut Vec<u8>, head: Head, code: u16, label: &str) {
    let start = begin(out, head, STATUS, 0);
    out.extend(code.to_le_bytes());
    let mut text = [0; 5];
    let length = label.len().min(text.len());
    text[..length].copy_from_slice(&label.as_bytes()[..length]);
    out.extend(text);
    finish(out, start);
}

/// Writes that an exchange has opened or closed, as subscribers of instruments are told.
pub(crate) fn opened(out: &mut Vec<u8>, head: Head, open: bool) {
    let start = begin(out, head, if open { OPENED } else { CLOSED }, 0);
    finish(out, start);
}

/// Writes the time of sending into every touch line and depth of a frame that was made here, in
/// the place of the volume.
pub(crate) fn stamp(frame: &mut [u8], unix_ns: i64) {
    const VOLUME: usize = 29;
    let mut rest = frame;
    while let Some(length) = rest.first_chunk() {
        let (packet, others) = rest.split_at_mut(usize::from(u16::from_le_bytes(*length)));
        let is_picture = packet[2..4] == PICTURE.to_le_bytes() && packet[5] != MINI;
        if is_picture {
            packet[VOLUME..VOLUME + 8].copy_from_slice(&unix_ns.to_le_bytes());
        }
        rest = others;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn vector(name: &str) -> (Vec<u8>, Value) {
        let text = include_str!("../../../../tests/fixtures/feed_packets.json");
        let all: Value = serde_json::from_str(text).unwrap();
        let found = all.as_array().unwrap().iter().find(|v| v["name"] == name);
        let found = found.unwrap_or_else(|| panic!("no vector {name}"));
        let hex = found["hex"].as_str().unwrap();
        let bytes = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect();
        (bytes, found["expected"][0].clone())
    }

    /// A price of the vector's expectation as the wire has it.
    fn raw(expected: &Value, key: &str) -> i64 {
        (expected[key].as_f64().unwrap_or_else(|| panic!("{key}")) * 100.0).round() as i64
    }

    fn head(exchange: u8, auction: u8) -> Head {
        Head {
            exchange,
            auction,
            seq: 7,
        }
    }

    fn unsigned(value: i64) -> u32 {
        u32::try_from(value).unwrap()
    }

    fn signed(value: i64) -> i32 {
        i32::try_from(value).unwrap()
    }

    fn whole(expected: &Value, key: &str) -> i64 {
        expected[key].as_i64().unwrap_or_else(|| panic!("{key}"))
    }

    #[test]
    fn mini_touch_lines_are_those_of_the_broker() {
        for (name, exchange) in [
            ("mini_touch_line.broker-doc", 1),
            ("missing-divider", 6),
            ("unknown-exchange", 42),
        ] {
            let (bytes, expected) = vector(name);
            let mut out = Vec::new();
            let picture = Picture {
                token: 11_536,
                last_trade_time: whole(&expected, "last_trade_time"),
                ltp: unsigned(raw(&expected, "last_traded_price")),
                last_quantity: whole(&expected, "last_trade_qty"),
                close: unsigned(raw(&expected, "close_price")),
                percent: signed(raw(&expected, "net_change_percent")),
                change: signed(raw(&expected, "net_change")),
                lot: unsigned(whole(&expected, "market_lot")),
                precision: 2,
                multiplier: unsigned(whole(&expected, "multiplier")),
                ..Picture::default()
            };
            mini(&mut out, head(exchange, 0), &picture);
            assert_eq!(out, bytes, "{name}");
        }
    }

    #[test]
    fn pictures_are_those_of_the_broker() {
        for (name, level, auction, counts, rows) in [
            ("touch_line.level4", TOUCH, 0, (1, 1), 2),
            ("touch_line.level4.counts-lie", TOUCH, 0, (5, 5), 2),
            ("depth.level8", DEPTH, 0, (5, 5), 10),
            ("depth.level8.short", DEPTH, 0, (3, 2), 2),
            ("depth.level8.never-updated", DEPTH, 0, (0, 0), 0),
            ("depth.level8.auction", DEPTH, 1, (1, 1), 2),
            ("full_depth.level16", FULL, 0, (3, 2), 5),
            ("market_picture.level2", 2, 0, (1, 1), 2),
        ] {
            let (bytes, expected) = vector(name);
            let price = |key| unsigned(raw(&expected, key));
            let never = name.ends_with("never-updated");
            let facts = Picture {
                token: 11_536,
                total_buy: whole(&expected, "total_buy_quantity"),
                total_sell: whole(&expected, "total_sell_quantity"),
                volume: whole(&expected, "volume_traded_today"),
                last_trade_time: whole(&expected, "last_trade_time"),
                last_update_time: if never {
                    -2_209_008_600
                } else {
                    whole(&expected, "last_update_time")
                },
                open: price("open_price"),
                close: price("close_price"),
                high: price("high_price"),
                low: price("low_price"),
                ltp: price("last_traded_price"),
                last_quantity: whole(&expected, "last_trade_qty"),
                average: price("average_trade_price"),
                indicative_close: 0,
                rows: counts,
                percent: signed(raw(&expected, "net_change_percent")),
                open_interest: unsigned(whole(&expected, "open_interest")),
                value: expected["total_traded_value"].as_f64().unwrap() * 100.0,
                change: signed(raw(&expected, "net_change")),
                upper: price("upper_circuit_limit"),
                lower: price("lower_circuit_limit"),
                year_high: price("yearly_high"),
                year_low: price("yearly_low"),
                lot: unsigned(whole(&expected, "market_lot")),
                precision: 2,
                multiplier: unsigned(whole(&expected, "multiplier")),
            };
            // The rows of the vectors count up: quantity 100.., price 1500.00.., orders 5...
            let depth = (0..rows).map(|at| Row {
                quantity: 100 + i64::from(at),
                price: 150_000 + 100 * at,
                orders: 5 + at,
            });
            let mut out = Vec::new();
            picture(&mut out, head(1, auction), level, &facts, depth);
            assert_eq!(out, bytes, "{name}");
        }
    }

    #[test]
    fn an_index_is_that_of_the_broker() {
        let (bytes, expected) = vector("index");
        let price = |key| signed(raw(&expected, key));
        let facts = Index {
            token: 26_000,
            open: price("open_price"),
            close: price("close_price"),
            high: price("high_price"),
            low: price("low_price"),
            value: price("last_traded_price"),
            last_trade_time: expected["last_trade_time"].as_u64().unwrap(),
            year_high: price("yearly_high"),
            year_low: price("yearly_low"),
            percent: price("net_change_percent"),
            precision: 2,
            multiplier: price("multiplier"),
            name: expected["name"].as_str().unwrap(),
        };
        let mut out = Vec::new();
        index(&mut out, head(1, 0), &facts);
        assert_eq!(out, bytes);
    }

    #[test]
    fn reference_prices_are_those_of_the_broker() {
        for (name, reserved) in [
            ("cas.104.sdk-33-bytes", 0),
            ("cas.104.doc-48-bytes", 15),
            ("cas.104.all-zero", 0),
        ] {
            let (mut bytes, expected) = vector(name);
            let facts = match expected {
                Value::Null => Cas {
                    token: 1_333,
                    ..Cas::default()
                },
                expected => Cas {
                    token: 1_333,
                    reference: unsigned(raw(&expected, "ref_price")),
                    imbalance: whole(&expected, "imbalance_qty"),
                    imbalance_at_market: whole(&expected, "imbalance_qty_at_market"),
                },
            };
            let mut out = Vec::new();
            cas(&mut out, head(1, 0), &facts);
            // The sandbox sends the short form; the long one has room that nobody reads.
            bytes.truncate(bytes.len() - reserved);
            bytes[0] -= reserved as u8;
            assert_eq!(out, bytes, "{name}");
        }
    }

    #[test]
    fn market_states_are_those_of_the_broker() {
        for (name, exchange, code, label) in [
            ("market_status.105.open", 1, 1, "OPEN"),
            ("market_status.105.empty-text", 2, 10, ""),
            ("market_status.105.unknown", 1, 99, ""),
        ] {
            let mut out = Vec::new();
            status(&mut out, head(exchange, 0), code, label);
            assert_eq!(out, vector(name).0, "{name}");
        }
        for (name, exchange, open) in [
            ("market_status.6511", 1, true),
            ("market_status.6521", 5, false),
        ] {
            let mut out = Vec::new();
            opened(&mut out, head(exchange, 0), open);
            assert_eq!(out, vector(name).0, "{name}");
        }
    }

    #[test]
    fn a_stamp_goes_into_pictures_only() {
        let (touch, depth) = (vector("touch_line.level4").0, vector("depth.level8").0);
        let (mini, open) = (
            vector("mini_touch_line.broker-doc").0,
            vector("market_status.6511").0,
        );
        let mut frame = [touch.clone(), mini.clone(), depth, open.clone()].concat();
        stamp(&mut frame, 1_756_636_800_123_456_789);
        let (first, rest) = frame.split_at(touch.len());
        assert_eq!(first[29..37], 1_756_636_800_123_456_789_i64.to_le_bytes());
        assert_eq!((&first[..29], &first[37..]), (&touch[..29], &touch[37..]));
        assert_eq!(rest[..mini.len()], mini);
        assert_eq!(rest[mini.len() + 29..][..8], first[29..37]);
        assert!(rest.ends_with(&open));
    }
}
