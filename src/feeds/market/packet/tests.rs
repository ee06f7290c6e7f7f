//! Documented packets, and bytes that nobody documented.

use kotak_neo_testing::dice::Dice;
use kotak_neo_testing::packets::{bytes_of, vectors};
use serde_json::Value;

use super::*;
use crate::feeds::market::exchange::Dividers;

fn dividers_of(vector: &Value) -> Dividers {
    let mut dividers = Dividers::default();
    for (exchange, divider) in vector["dividers"].as_object().expect("an object") {
        dividers.set(
            exchange.parse().expect("a number"),
            divider.as_i64().expect("a number"),
        );
    }
    dividers
}

fn packets(frame: &[u8]) -> Vec<Packet<'_>> {
    Packets::new(frame)
        .filter_map(|step| match step {
            Step::Packet(packet) => Some(packet),
            _ => None,
        })
        .collect()
}

#[test]
fn every_vector_gives_what_the_sdk_gives() {
    let all = vectors();
    assert!(all.len() > 20);
    for vector in &all {
        let (name, frame, dividers) = (&vector["name"], bytes_of(vector), dividers_of(vector));
        let mut expected = vector["expected"].as_array().expect("a list").clone();
        expected.retain(|one| !one.is_null());
        for one in &mut expected {
            // The SDK shows these as 0.
            for time in ["last_update_time", "last_trade_time"] {
                if one.get(time).is_some_and(|shown| *shown == 0) {
                    one[time] = Value::Null;
                }
            }
        }
        let found: Vec<Value> = packets(&frame)
            .into_iter()
            .map(|packet| {
                let mut json = "{".to_owned();
                packet.write_json(dividers.of(packet.exchange()), None, &mut json);
                json.push('}');
                serde_json::from_str(&json).expect(&json)
            })
            .collect();
        let plain = |values: &[Value]| -> Vec<Value> {
            // Numbers are compared by value, not by how they are written.
            values.iter().map(by_value).collect()
        };
        assert_eq!(plain(&found), plain(&expected), "{name}");
    }
}

fn by_value(value: &Value) -> Value {
    match value {
        Value::Number(number) => {
            let number = number.as_f64().expect("a number");
            Value::String(format!("{number:?}"))
        }
        Value::Array(all) => all.iter().map(by_value).collect(),
        Value::Object(all) => all
            .iter()
            .map(|(key, value)| (key.clone(), by_value(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

#[test]
fn the_struct_says_the_same() {
    for vector in &vectors() {
        let (frame, dividers) = (bytes_of(vector), dividers_of(vector));
        let expected = vector["expected"].as_array().expect("a list");
        let expected = expected.iter().filter(|one| !one.is_null());
        for (packet, expected) in packets(&frame).into_iter().zip(expected) {
            let mut tick = Tick::default();
            packet.to_tick(dividers.of(packet.exchange()), &mut tick);
            let shown = |key: &str| expected.get(key).and_then(Value::as_f64);
            let name = &vector["name"];
            for (key, value, raw, bit) in [
                (
                    "last_traded_price",
                    tick.last_traded_price,
                    tick.last_traded_price_raw,
                    tick::KNEO_HAS_LAST_TRADED_PRICE,
                ),
                (
                    "open_price",
                    tick.open_price,
                    tick.open_price_raw,
                    tick::KNEO_HAS_OHL,
                ),
                (
                    "high_price",
                    tick.high_price,
                    tick.high_price_raw,
                    tick::KNEO_HAS_OHL,
                ),
                (
                    "low_price",
                    tick.low_price,
                    tick.low_price_raw,
                    tick::KNEO_HAS_OHL,
                ),
                (
                    "close_price",
                    tick.close_price,
                    tick.close_price_raw,
                    tick::KNEO_HAS_CLOSE_PRICE,
                ),
                (
                    "average_trade_price",
                    tick.average_trade_price,
                    tick.average_trade_price_raw,
                    tick::KNEO_HAS_AVERAGE_TRADE_PRICE,
                ),
                (
                    "upper_circuit_limit",
                    tick.upper_circuit_limit,
                    tick.upper_circuit_limit_raw,
                    tick::KNEO_HAS_CIRCUIT_LIMITS,
                ),
                (
                    "yearly_low",
                    tick.yearly_low,
                    tick.yearly_low_raw,
                    tick::KNEO_HAS_YEARLY,
                ),
                (
                    "ref_price",
                    tick.ref_price,
                    tick.ref_price_raw,
                    tick::KNEO_HAS_CAS,
                ),
            ] {
                let there = tick.valid & bit != 0;
                assert_eq!(there.then_some(value), shown(key), "{name} {key}");
                assert_eq!(raw as f64 / f64::from(tick.divider), value, "{name} {key}");
            }
            let status = (tick.valid & tick::KNEO_HAS_STATUS_CODE != 0)
                .then_some(f64::from(tick.status_code));
            assert_eq!(status, shown("status_code"), "{name}");
            let time = (tick.valid & tick::KNEO_HAS_LAST_UPDATE_TIME != 0)
                .then_some(tick.last_update_time as f64);
            assert_eq!(time, shown("last_update_time").filter(|time| *time > 0.0));

            let mut depth = Depth::default();
            packet.to_depth(dividers.of(packet.exchange()), &mut depth);
            for (side, rows, count) in [
                ("buy", &depth.buy, depth.buy_rows),
                ("sell", &depth.sell, depth.sell_rows),
            ] {
                let expected = expected.get(side).and_then(Value::as_array);
                assert_eq!(count as usize, expected.map_or(0, Vec::len), "{name}");
                for (row, expected) in rows.iter().zip(expected.into_iter().flatten()) {
                    assert_eq!(expected["price"].as_f64(), Some(row.price), "{name}");
                    assert_eq!(expected["quantity"].as_i64(), Some(row.quantity));
                    assert_eq!(expected["orders"].as_i64(), Some(row.orders.into()));
                }
            }
        }
    }
}

#[test]
fn a_value_that_is_no_number_is_none() {
    let vector = &vectors()[2];
    let mut frame = bytes_of(vector);
    frame[107..115].copy_from_slice(&f64::NAN.to_le_bytes());
    let packet = packets(&frame)[0];
    let mut tick = Tick::default();
    packet.to_tick(100, &mut tick);
    assert_eq!(tick.valid & tick::KNEO_HAS_TOTAL_TRADED_VALUE, 0);
    let mut json = "{".to_owned();
    packet.write_json(100, Some("A\"B"), &mut json);
    assert!(json.contains(r#""total_traded_value":null"#), "{json}");
    assert!(json.contains(r#""trading_symbol":"A\"B""#), "{json}");
}

/// Every frame here is a vector with bytes changed, cut or put together.
#[test]
fn survives_any_bytes() {
    let seeds: Vec<Vec<u8>> = vectors().iter().map(bytes_of).collect();
    let mut dice = Dice::new(7);
    let mut json = String::new();
    let mut seen = 0_usize;
    for _ in 0..120_000 {
        let mut frame = dice.pick(&seeds).clone();
        if dice.roll(4) == 0 {
            frame.extend(dice.pick(&seeds));
        }
        for _ in 0..dice.roll(12) {
            let at = dice.below(frame.len());
            frame[at] = dice.byte();
        }
        frame.truncate(1 + dice.below(frame.len()));
        for step in Packets::new(&frame) {
            let Step::Packet(packet) = step else { continue };
            seen += 1;
            let divider = 1 + dice.roll(1000) as i32;
            let (mut tick, mut depth) = (Tick::default(), Depth::default());
            packet.to_tick(divider, &mut tick);
            packet.to_depth(divider, &mut depth);
            assert!(depth.buy_rows_sent + depth.sell_rows_sent <= 512);
            json.clear();
            json.push('{');
            packet.write_json(divider, Some("X"), &mut json);
            json.push('}');
            let parsed: Result<Value, _> = serde_json::from_str(&json);
            assert!(parsed.is_ok(), "{json}");
            assert!(Packet::again(packet.kind(), packet.bytes()).key() == packet.key());
        }
    }
    assert!(seen > 10_000, "{seen}");
}

#[test]
fn absurd_counts_and_sizes() {
    let mut frame = vec![0; 9000];
    frame[..2].copy_from_slice(&9000_u16.to_le_bytes());
    frame[5] = 8;
    assert!(matches!(Packets::new(&frame).next(), Some(Step::Malformed)));
    frame.truncate(176);
    frame[..2].copy_from_slice(&176_u16.to_le_bytes());
    frame[89..97].fill(0xff);
    assert_eq!(packets(&frame)[0].rows(), (2, 0));
    assert!(matches!(Packets::new(&[5]).next(), Some(Step::Malformed)));
    assert!(Packets::new(&[]).next().is_none());
}
