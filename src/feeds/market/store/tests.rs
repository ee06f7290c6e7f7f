//! What readers get who keep up, who fall behind, and who stay away.

use kotak_neo_testing::dice::Dice;
use kotak_neo_testing::packets::lite;

use super::*;
use crate::base::clock;
use crate::feeds::market::packet::{Packets, Step};
use crate::feeds::tick::{self, Tick};
use std::sync::Arc;
use std::time::Duration;

fn put(store: &Store, frame: &[u8]) {
    let mut writer = store.write();
    for step in Packets::new(frame) {
        match step {
            Step::Packet(packet) => writer.put(packet, 100),
            Step::Ignored => writer.ignored(),
            Step::Malformed => writer.malformed(),
        }
    }
}

fn read(store: &Store, most: usize) -> Vec<Tick> {
    let mut all = Vec::new();
    let given = store
        .read(None, most, |record, state, now| {
            let mut tick = Tick::default();
            record.to_tick(state, now, &mut tick);
            all.push(tick);
        })
        .expect("it is open");
    assert_eq!(given, all.len());
    all
}

#[test]
fn a_reader_that_keeps_up_gets_every_packet() {
    let store = Store::new(4096);
    let mut seen = 0;
    for round in 0..5000_u32 {
        put(&store, &lite(round % 7, round));
        if round % 3 == 2 {
            for tick in read(&store, 100) {
                assert_eq!(tick.last_traded_price_raw, seen);
                assert_eq!(tick.replaced, 0);
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 4998);
    assert_eq!(store.counts().replaced, 0);
}

#[test]
fn a_slow_reader_loses_old_values_never_the_newest() {
    for history in [0, 500, 4096, 100_000] {
        let store = Store::new(history);
        for price in 0..1000 {
            for token in 0..50 {
                put(&store, &lite(token, price));
            }
        }
        let counts = store.counts();
        assert_eq!((counts.packets, counts.instruments), (50_000, 50));
        let mut all = read(&store, usize::MAX);
        assert_eq!(all.len(), 50, "each newest value once");
        all.sort_by_key(|tick| tick.token);
        let mut replaced = 0;
        for (token, tick) in (0..50).zip(&all) {
            assert_eq!((tick.token, tick.last_traded_price), (token, 9.99));
            replaced += tick.replaced;
        }
        assert_eq!(replaced, 49_950);
        assert_eq!(counts.replaced, 49_950);
        // Caught up: everything counts again.
        if history > 200 {
            put(&store, &lite(1, 1));
            put(&store, &lite(1, 2));
            assert_eq!(read(&store, 9).len(), 2);
        }
    }
}

#[test]
fn states_stand_between_the_packets_and_become_one_when_there_are_many() {
    let store = Store::new(4096);
    put(&store, &lite(1, 1));
    store.change(Change {
        close_code: Some(1006),
        ..Change::new(State::Down, "lost")
    });
    put(&store, &lite(1, 2));
    let kinds: Vec<_> = read(&store, 9).iter().map(|tick| tick.kind).collect();
    assert_eq!(
        kinds,
        [
            tick::KNEO_KIND_SCRIP_LITE,
            tick::KNEO_KIND_STATE,
            tick::KNEO_KIND_SCRIP_LITE
        ]
    );
    for _ in 0..33 {
        store.change(Change::new(State::Connecting, "again"));
    }
    let all = read(&store, 99);
    assert_eq!((all.len(), all[0].state_changes), (1, 33));
    assert_eq!(store.state().0.state, State::Connecting);
}

#[test]
fn unknown_instruments_cannot_fill_the_memory() {
    let store = Store::new(4096);
    store.want(std::iter::once(packet::key(1, 1, 7)));
    put(&store, &lite(7, 77));
    for token in 100..60_000 {
        put(&store, &lite(token, 1));
    }
    assert!(store.counts().instruments <= MOST_SLOTS);
    let mut found = Tick::default();
    assert!(store.last(1, Ok(7), |record, state, now| {
        record.to_tick(state, now, &mut found);
    }));
    assert_eq!(found.last_traded_price, 0.77);
    let tokens: HashSet<u32> = read(&store, usize::MAX).iter().map(|t| t.token).collect();
    assert!(tokens.contains(&7), "the wanted one was never lost");
}

#[test]
fn forgets_what_is_no_longer_wanted_and_names_what_is() {
    let store = Store::new(4096);
    put(&store, &[lite(1, 1), lite(2, 2)].concat());
    store.name(&[("nse_cm|2".to_owned(), "RELIANCE-EQ".to_owned())]);
    store.forget(&[packet::key(1, 1, 1)], &[]);
    let all = read(&store, 9);
    assert_eq!(all.len(), 1);
    let symbol = all[0].trading_symbol.map(|byte| byte as u8);
    assert!(symbol.starts_with(b"RELIANCE-EQ\0"));
    assert!(!store.last(1, Ok(1), |_, _, _| {}));
}

/// An index packet of `token`.
fn index(token: u32, name: &str) -> Vec<u8> {
    let mut bytes = vec![0; 87];
    bytes[..2].copy_from_slice(&87_u16.to_le_bytes());
    bytes[2..4].copy_from_slice(&7207_u16.to_le_bytes());
    bytes[4] = 1;
    bytes[9..13].copy_from_slice(&token.to_le_bytes());
    bytes[66..66 + name.len()].copy_from_slice(name.as_bytes());
    bytes
}

#[test]
fn a_slow_reader_sees_no_old_value_after_the_change_that_followed_it() {
    let store = Store::new(0);
    put(&store, &[lite(1, 10), lite(2, 20)].concat());
    store.change(Change::new(State::Down, "lost"));
    store.change(Change::new(State::Live, "back"));
    put(&store, &lite(1, 11));
    put(&store, &lite(1, 12));
    let all: Vec<_> = read(&store, 99)
        .iter()
        .map(|tick| (tick.kind, tick.last_traded_price_raw, tick.replaced))
        .collect();
    assert_eq!(
        all,
        [
            (tick::KNEO_KIND_SCRIP_LITE, 20, 0),
            (tick::KNEO_KIND_STATE, 0, 0),
            (tick::KNEO_KIND_STATE, 0, 0),
            (tick::KNEO_KIND_SCRIP_LITE, 12, 2),
        ]
    );
}

/// A market picture with rows of depth: packets of many sizes.
fn picture(token: u32, price: u32, rows: usize) -> Vec<u8> {
    let mut bytes = vec![0; 144 + 16 * rows];
    let size = bytes.len() as u16;
    bytes[..2].copy_from_slice(&size.to_le_bytes());
    bytes[4] = 1;
    bytes[5] = 16;
    bytes[9..13].copy_from_slice(&token.to_le_bytes());
    bytes[69..73].copy_from_slice(&price.to_le_bytes());
    bytes[89] = rows as u8;
    bytes
}

/// Whatever is put, read, changed and forgotten in whatever order: values
/// of an instrument come in their order and add up, none from before a
/// change comes after it, and in the end the newest of each is there.
#[test]
fn any_order_of_events_keeps_the_promises() {
    for seed in 1..200_u64 {
        let mut dice = Dice::new(seed);
        let mut below = move |end: u64| dice.roll(end);
        let store = Store::new([0, 300, 2000, 20_000][seed as usize % 4]);
        let tokens = 1 + below(12);
        // Of each instrument: what was put, read, replaced, and forgotten.
        let mut newest = vec![0_i64; tokens as usize];
        let mut seen = newest.clone();
        let mut added = newest.clone();
        let mut forgotten = vec![false; tokens as usize];
        let mut price = 0;
        // The price at each change that was not read yet.
        let mut changes: VecDeque<i64> = VecDeque::new();
        let mut passed = 0;
        for step in 0..600 {
            let last = step == 599;
            match below(20) {
                0..=11 if !last => {
                    let mut frame = Vec::new();
                    for _ in 0..1 + below(4) {
                        price += 1;
                        let token = below(tokens);
                        newest[token as usize] = price;
                        frame.extend(picture(token as u32, price as u32, below(20) as usize));
                    }
                    put(&store, &frame);
                }
                12 if !last && changes.len() < MOST_STATES => {
                    store.change(Change::new(State::Live, "again"));
                    changes.push_back(price);
                }
                13 if !last && seed % 2 == 0 => {
                    let token = below(tokens);
                    store.forget(&[packet::key(1, 16, token as u32)], &[]);
                    forgotten[token as usize] = true;
                    newest[token as usize] = 0;
                }
                _ => {
                    let most = if last { usize::MAX } else { below(9) as usize };
                    for tick in read(&store, most) {
                        if tick.kind == tick::KNEO_KIND_STATE {
                            passed = changes.pop_front().expect("it was changed");
                            continue;
                        }
                        let (at, now) = (tick.token as usize, tick.last_traded_price_raw);
                        assert!(now > seen[at], "{seed}: out of order");
                        assert!(now > passed, "{seed}: from before a change");
                        seen[at] = now;
                        added[at] += 1 + tick.replaced as i64;
                    }
                }
            }
        }
        assert!(changes.is_empty(), "{seed}");
        for at in 0..tokens as usize {
            let found = store.last(1, Ok(at as u32), |record, state, now| {
                let mut tick = Tick::default();
                record.to_tick(state, now, &mut tick);
                assert_eq!(tick.last_traded_price_raw, newest[at], "{seed}");
            });
            assert_eq!(found, newest[at] > 0, "{seed}");
            assert!(newest[at] == 0 || seen[at] == newest[at], "{seed}: lost");
        }
        if !forgotten.contains(&true) {
            assert_eq!(added.iter().sum::<i64>(), price, "{seed}");
            assert_eq!(store.counts().packets, price as u64, "{seed}");
        }
    }
}

#[test]
fn a_flapping_feed_that_nobody_reads_stays_small() {
    let store = Store::new(0);
    for price in 0..5000 {
        store.change(Change::new(State::Down, "lost"));
        for token in 0..10 {
            put(&store, &lite(token, price));
        }
    }
    assert!(store.lock().pending.len() <= 21);
    assert!(store.lock().pending.capacity() < 100);
    assert_eq!(store.counts().waiting, 10 + store.lock().changes.len());
    let all = read(&store, usize::MAX);
    let prices: Vec<i64> = all
        .iter()
        .filter(|tick| tick.kind == tick::KNEO_KIND_SCRIP_LITE)
        .map(|tick| tick.last_traded_price_raw)
        .collect();
    assert_eq!(prices, [4999; 10]);
    let changes: i32 = all.iter().map(|tick| tick.state_changes).sum();
    assert_eq!(changes, 5000);
}

#[test]
fn that_an_exchange_closed_is_not_believed_for_ever() {
    let at = |text: &str| {
        let (hour, minute) = text.split_once(':').expect("a time");
        let number = |text: &str| text.parse::<i64>().expect("a number");
        // Of a day in India, which begins five and a half hours early.
        let seconds = 86_400 * 20_000 + number(hour) * 3600 + number(minute) * 60 - 19_800;
        market_day(seconds)
    };
    assert_eq!(at("15:30"), at("23:59"));
    assert_eq!(at("15:30"), at("32:59"));
    assert_eq!(at("15:30") + 1, at("33:00"));
    let store = Store::new(4096);
    let mut closed = [9, 0, 0, 0, 1, 0, 0, 0, 0];
    closed[2..4].copy_from_slice(&6521_u16.to_le_bytes());
    assert!(!store.is_closed(1));
    put(&store, &closed);
    assert!(store.is_closed(1) && !store.is_closed(2));
}

#[test]
fn an_index_is_forgotten_by_name_and_by_number() {
    let store = Store::new(4096);
    put(
        &store,
        &[index(26_000, "Nifty 50"), index(26_009, "Nifty Bank")].concat(),
    );
    store.forget(&[], &[(1, "26000".to_owned())]);
    assert!(!store.last(1, Err("Nifty 50"), |_, _, _| {}));
    store.forget(&[], &[(1, "Nifty Bank".to_owned())]);
    assert!(!store.last(1, Ok(26_009), |_, _, _| {}));
}

#[test]
fn indices_that_nobody_knows_do_not_shut_others_out() {
    let store = Store::new(4096);
    for token in 0..9000 {
        put(&store, &index(token, "Odd"));
    }
    put(&store, &lite(10_000, 77));
    assert!(store.last(1, Ok(10_000), |_, _, _| {}));
    assert!(store.counts().instruments <= MOST_SLOTS);
}

#[test]
fn symbols_come_however_many_came_before() {
    let store = Store::new(4096);
    store.want(std::iter::once(packet::key(1, 4, 3)));
    let symbol = |token| (format!("nse_cm|{token}"), "RELIANCE-EQ".to_owned());
    for token in 0..20_000 {
        store.name(&[symbol(token)]);
    }
    put(&store, &[lite(19_999, 1), lite(3, 1)].concat());
    for tick in read(&store, 9) {
        assert_ne!(tick.trading_symbol[0], 0, "{}", tick.token);
    }
}

#[test]
fn a_wait_ends_with_news_with_time_and_with_the_feed() {
    let store = Arc::new(Store::new(4096));
    let soon = clock::now() + Duration::from_millis(20);
    assert_eq!(store.read(Some(soon), 1, |_, _, _| {}), Ok(0));
    let late = clock::now() + Duration::from_secs(60);
    let other = Arc::clone(&store);
    let waiter = std::thread::spawn(move || other.read(Some(late), 1, |_, _, _| {}));
    put(&store, &lite(1, 1));
    assert_eq!(waiter.join().expect("it must not panic"), Ok(1));
    let other = Arc::clone(&store);
    let waiter = std::thread::spawn(move || other.read(Some(late), 1, |_, _, _| {}));
    store.close(Cut::Closed);
    assert_eq!(waiter.join().expect("it must not panic"), Err(Cut::Closed));
}

#[test]
fn what_waited_at_the_end_can_still_be_read() {
    let store = Store::new(4096);
    put(&store, &[lite(1, 1), lite(2, 2)].concat());
    store.close(Cut::Defect);
    store.close(Cut::Closed);
    assert_eq!(store.read(None, 1, |_, _, _| {}), Ok(1));
    assert_eq!(store.counts().last_sequence, 1);
    assert_eq!(store.read(None, 9, |_, _, _| {}), Ok(1));
    assert_eq!(store.read(None, 9, |_, _, _| {}), Err(Cut::Defect));
}

#[test]
fn interrupts_lose_nothing() {
    let store = Arc::new(Store::new(1 << 20));
    let late = clock::now() + Duration::from_secs(60);
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let store = Arc::clone(&store);
            std::thread::spawn(move || {
                let mut mine = 0;
                loop {
                    match store.read(Some(late), 16, |_, _, _| {}) {
                        Ok(given) => mine += given,
                        Err(Cut::Interrupted) => {}
                        Err(_) => return mine,
                    }
                }
            })
        })
        .collect();
    for price in 0..2000 {
        put(&store, &lite(price % 5, price));
        store.interrupt();
    }
    store.close(Cut::Closed);
    let all: usize = readers
        .into_iter()
        .map(|reader| reader.join().expect("it must not panic"))
        .sum();
    assert_eq!(all, 2000);
}

#[test]
fn several_readers_share_one_queue() {
    let store = Arc::new(Store::new(1 << 20));
    let late = clock::now() + Duration::from_secs(60);
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let store = Arc::clone(&store);
            std::thread::spawn(move || {
                let mut mine = 0;
                while let Ok(given) = store.read(Some(late), 16, |_, _, _| {}) {
                    mine += given;
                }
                mine
            })
        })
        .collect();
    for price in 0..2000 {
        put(&store, &lite(price % 5, price));
    }
    while store.counts().waiting > 0 {
        std::thread::yield_now();
    }
    store.close(Cut::Closed);
    let all: usize = readers
        .into_iter()
        .map(|reader| reader.join().expect("it must not panic"))
        .sum();
    assert_eq!(all, 2000);
}
