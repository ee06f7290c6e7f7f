//! Candles of the past: made by rule from the instrument and the minute, so that every request
//! and every interval tells the same story.

use super::{Scrip, mix};
use crate::clock::{india_day, india_unix, weekday};

/// Minutes of a trading day, which begins at 09:15.
const MINUTES: u64 = 375;
const OPENING: u64 = 9 * 3600 + 15 * 60;

/// How long one candle is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interval {
    Minutes(u64),
    Day,
    Week,
}

impl Interval {
    /// The interval, and how many days one request may ask for.
    pub(crate) fn read(name: &str) -> Option<(Self, u64)> {
        Some(match name {
            "1min" => (Self::Minutes(1), 30),
            "3min" => (Self::Minutes(3), 30),
            "5min" => (Self::Minutes(5), 30),
            "10min" => (Self::Minutes(10), 60),
            "15min" => (Self::Minutes(15), 60),
            "30min" => (Self::Minutes(30), 90),
            "60min" => (Self::Minutes(60), 90),
            "D" => (Self::Day, 180),
            "W" => (Self::Week, 180),
            _ => return None,
        })
    }

    /// When the candle of this minute began, as Unix time.
    fn start(self, day: u64, minute: u64) -> u64 {
        match self {
            Self::Minutes(length) => india_unix(day, OPENING + minute / length * length * 60),
            Self::Day => india_unix(day, 0),
            Self::Week => india_unix(day - weekday(day), 0),
        }
    }
}

/// One candle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candle {
    /// Unix time.
    pub(crate) start: u64,
    pub(crate) open: i64,
    pub(crate) high: i64,
    pub(crate) low: i64,
    pub(crate) close: i64,
    pub(crate) volume: i64,
    pub(crate) open_interest: i64,
}

/// The candles of these days, as far as they are over at `now`. Saturdays and Sundays have none.
pub(crate) fn candles(
    scrip: &Scrip,
    interval: Interval,
    from: u64,
    to: u64,
    now: u64,
) -> Vec<Candle> {
    let mut list: Vec<Candle> = Vec::new();
    for day in (from..=to.min(india_day(now))).filter(|day| weekday(*day) < 5) {
        for minute in 0..MINUTES {
            if india_unix(day, OPENING + minute * 60) > now {
                break;
            }
            let one = one_minute(scrip, day, minute);
            let start = interval.start(day, minute);
            match list.last_mut() {
                Some(last) if last.start == start => {
                    last.high = last.high.max(one.high);
                    last.low = last.low.min(one.low);
                    last.close = one.close;
                    last.volume += one.volume;
                    last.open_interest = one.open_interest;
                }
                _ => list.push(Candle { start, ..one }),
            }
        }
    }
    list
}

fn one_minute(scrip: &Scrip, day: u64, minute: u64) -> Candle {
    let index = day * MINUTES + minute;
    let chance = mix(scrip.id.hash() ^ index);
    let part = |shift: u32, most: u64| i64::try_from((chance >> shift) % most).unwrap_or(0);
    let (open, close) = (level(scrip, index), level(scrip, index + 1));
    Candle {
        start: 0,
        open,
        high: scrip.on_tick(open.max(close) + part(0, 4) * scrip.tick),
        low: scrip.on_tick(open.min(close) - part(8, 4) * scrip.tick),
        close,
        volume: part(16, 500) * scrip.lot,
        open_interest: (100_000 + part(40, 1_000)) * scrip.lot,
    }
}

/// Where the price stood: slow waves with quick ones on top, around the last close.
fn level(scrip: &Scrip, index: u64) -> i64 {
    let seed = scrip.id.hash();
    let wave = |length: u64, size: f64| {
        let point = |at: u64| (mix(seed ^ length << 48 ^ at) % 2_001) as f64 / 1_000.0 - 1.0;
        let share = (index % length) as f64 / length as f64;
        let at = index / length;
        size * (point(at) * (1.0 - share) + point(at + 1) * share)
    };
    let factor = 1.0 + wave(4 * MINUTES, 0.05) + wave(40, 0.006) + wave(1, 0.0005);
    scrip.on_tick((scrip.close as f64 * factor) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::parse_iso_date;
    use crate::market::Segment;
    use crate::market::scrips::scrips;

    #[test]
    fn every_interval_tells_the_same_story() {
        let monday = parse_iso_date("2026-08-24").unwrap();
        let scrips = scrips(Segment::NseCm, monday + 4);
        let share = scrips.by_symbol("TCS-EQ").unwrap();
        let now = india_unix(monday + 5, 0);
        let all = |interval| candles(share, interval, monday, monday + 6, now);
        let minutes = all(Interval::Minutes(1));
        assert_eq!(minutes.len(), 5 * 375);
        assert!(minutes.windows(2).all(|pair| pair[0].close == pair[1].open));
        for candle in &minutes {
            assert!(candle.low <= candle.open.min(candle.close));
            assert!(candle.high >= candle.open.max(candle.close));
        }
        for (interval, count) in [
            (Interval::Minutes(5), 375),
            (Interval::Minutes(10), 190),
            (Interval::Minutes(60), 35),
            (Interval::Day, 5),
            (Interval::Week, 1),
        ] {
            let list = all(interval);
            assert_eq!(list.len(), count, "{interval:?}");
            assert_eq!(list[0].open, minutes[0].open);
            assert_eq!(list.last().unwrap().close, minutes.last().unwrap().close);
            let sum = |list: &[Candle]| list.iter().map(|candle| candle.volume).sum::<i64>();
            assert_eq!(sum(&list), sum(&minutes));
            assert_eq!(
                list.iter().map(|candle| candle.high).max(),
                minutes.iter().map(|candle| candle.high).max()
            );
        }
        // The day that is not over ends now.
        let noon = india_unix(monday, 12 * 3600);
        assert_eq!(
            candles(share, Interval::Minutes(1), monday, monday, noon).len(),
            166
        );
    }
}
