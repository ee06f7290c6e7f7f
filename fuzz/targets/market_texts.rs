//! Text frames of the market feed: answers to the login, acknowledgements of
//! both shapes, errors, the format that is not read. A line that begins with
//! a plus sign is what a caller wants to subscribe.
#![no_main]

use std::time::Duration;

use kotak_neo::raw::MarketFeed;
use kotak_neo::{Status, Tick};
use kotak_neo_fuzz::{Input, json};
use libfuzzer_sys::fuzz_target;

/// Enough for everything to happen.
const LINES: usize = 24;

/// A mini touch line of nse_cm|2885 and the index nse_cm|26000.
fn frame() -> Vec<u8> {
    let mut lite = [0; 54];
    lite[..6].copy_from_slice(&[54, 0, 0, 0, 1, 1]);
    lite[9..13].copy_from_slice(&2885_u32.to_le_bytes());
    lite[21..25].copy_from_slice(&123_456_u32.to_le_bytes());
    let mut index = [0; 87];
    index[..6].copy_from_slice(&[87, 0, 39, 28, 1, 2]);
    index[9..13].copy_from_slice(&26_000_u32.to_le_bytes());
    index[66..74].copy_from_slice(b"Nifty 50");
    [&lite[..], &index].concat()
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let mut feed = MarketFeed::new(Some(r#"{"history_bytes":4096}"#)).expect("good options");
    feed.binary(&frame());
    for _ in 0..LINES {
        if input.is_empty() {
            break;
        }
        let line = input.line();
        let Ok(line) = std::str::from_utf8(line) else {
            continue;
        };
        if let Some(wanted) = line.strip_prefix('+') {
            let (kind, tokens) = wanted.split_once(' ').unwrap_or((wanted, ""));
            for asked in [
                feed.feed.subscribe(kind, Some(tokens)),
                feed.feed.snapshot(kind, Some(tokens)),
                feed.feed.unsubscribe(kind, Some(tokens)),
            ] {
                match asked {
                    Ok(reply) => {
                        json(reply.json());
                    }
                    Err(error) => {
                        let known = [Status::InvalidArgument, Status::Network];
                        assert!(known.contains(&error.status()));
                        json(&error.to_json());
                    }
                }
            }
        } else if let Err(reason) = feed.text(line) {
            assert!(!reason.is_empty() && reason.len() < 2000);
        }
        feed.binary(&frame());
    }
    while let Ok(event) = feed.feed.next(Duration::ZERO) {
        assert!(json(event.json())["type"].is_string());
    }
    let mut tick = Tick::default();
    for name in ["nse_cm|2885", "nse_cm|26000", "nse_cm|Nifty 50"] {
        match feed.feed.last(name, &mut tick).expect("a good name") {
            true => assert!(tick.divider > 0 && tick.trading_symbol.last() == Some(&0)),
            false => panic!("a value is gone: {name}"),
        }
    }
    json(feed.feed.status().expect("it is open").json());
});
