//! The pretend exchanges: instruments, and prices that walk when they are told to.
//!
//! The walk is a function of the seed, the instrument and the number of the step, so two
//! sandboxes with the same seed that are asked the same things give the same prices.

pub(crate) mod candles;
pub(crate) mod files;
mod indices;
mod scrips;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use crate::money::RUPEE;
use crate::tokens::unix_now;

pub(crate) use scrips::{Id, Kind, Scrip, Scrips, Segment};

/// Scrambles a number (the finalizer of SplitMix64).
pub(crate) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// How an instrument stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// The last traded price; 0 is none.
    pub(crate) ltp: i64,
    pub(crate) open: i64,
    pub(crate) high: i64,
    pub(crate) low: i64,
    /// Shares or units traded today.
    pub(crate) volume: i64,
    /// Quantity times price of them.
    pub(crate) turnover: i128,
    pub(crate) last_quantity: i64,
    /// Which change of the market it had last.
    pub(crate) changed: u64,
    /// When that was, in Unix seconds.
    pub(crate) changed_at: u64,
    /// How far a contract is from what its underlying says.
    drift: i64,
}

impl Standing {
    fn change(&mut self, number: u64) {
        self.changed = number;
        self.changed_at = unix_now();
    }
}

/// All instruments, and how those stand that somebody asked for.
pub(crate) struct Market {
    pub(crate) day: u64,
    seed: u64,
    steps: u64,
    /// How many changes there were of any instrument.
    changes: u64,
    segments: [OnceLock<Arc<Scrips>>; 7],
    standing: BTreeMap<Id, Standing>,
}

impl Market {
    pub(crate) fn new(day: u64, seed: u64) -> Self {
        Self {
            day,
            seed,
            steps: 0,
            changes: 0,
            segments: Default::default(),
            standing: BTreeMap::new(),
        }
    }

    pub(crate) fn scrips(&self, segment: Segment) -> Arc<Scrips> {
        Arc::clone(self.borrow(segment))
    }

    fn borrow(&self, segment: Segment) -> &Arc<Scrips> {
        self.segments[segment as usize].get_or_init(|| scrips::scrips(segment, self.day))
    }

    /// The instrument behind an id that this market gave out.
    pub(crate) fn scrip(&self, id: Id) -> &Scrip {
        self.borrow(id.segment)
            .get(id.index)
            .expect("ids come from this market")
    }

    pub(crate) fn standing(&mut self, id: Id) -> Standing {
        if let Some(standing) = self.standing.get(&id) {
            return *standing;
        }
        let scrip = self.scrip(id);
        let (close, underlying) = (scrip.close, scrip.underlying);
        let ltp = match underlying {
            // A contract starts where its underlying says.
            Some(underlying) => {
                let spot = self.standing(underlying).ltp;
                let scrip = self.scrip(id);
                scrip.on_tick(scrips::fair(scrip, spot, self.day))
            }
            None => {
                let shift = i64::try_from(mix(self.seed ^ id.hash()) % 201).unwrap_or(0) - 100;
                self.scrip(id).on_tick(close + close * shift / 10_000)
            }
        };
        let volume = i64::try_from(mix(id.hash() ^ 1) % 400_000).unwrap_or(0) + 1_000;
        let scrip = self.scrip(id);
        let volume = if scrip.kind == Kind::Index {
            0
        } else {
            volume / scrip.lot.max(1) * scrip.lot
        };
        let standing = Standing {
            ltp,
            open: ltp,
            high: ltp,
            low: ltp,
            volume,
            turnover: i128::from(volume) * i128::from(ltp),
            last_quantity: if volume == 0 { 0 } else { scrip.lot },
            changed: 0,
            changed_at: unix_now(),
            drift: 0,
        };
        self.standing.insert(id, standing);
        standing
    }

    /// Sets the last traded price; 0 takes it away.
    pub(crate) fn set_price(&mut self, id: Id, price: i64) {
        self.standing(id);
        let fair = self.fair_now(id);
        self.changes += 1;
        let standing = self.standing.get_mut(&id).expect("it was just asked for");
        standing.drift = fair.map_or(0, |fair| price - fair);
        standing.change(self.changes);
        moved(standing, price);
    }

    /// What the underlying says now; `None` for what has none.
    fn fair_now(&self, id: Id) -> Option<i64> {
        let scrip = self.scrip(id);
        let spot = self.standing.get(&scrip.underlying?)?.ltp;
        Some(scrips::fair(scrip, spot, self.day))
    }

    /// Has every instrument that somebody asked for take one step.
    pub(crate) fn step(&mut self) {
        self.steps += 1;
        let ids: Vec<Id> = self.standing.keys().copied().collect();
        // Underlyings first: cash segments sort before those of contracts.
        for id in ids {
            self.walk(id, self.steps);
        }
    }

    /// Has one instrument take a step of its own.
    pub(crate) fn nudge(&mut self, id: Id) {
        self.standing(id);
        // Apart from the numbers of the common steps.
        self.walk(id, !self.changes);
    }

    fn walk(&mut self, id: Id, step: u64) {
        let scrip = self.scrip(id);
        let chance = mix(self.seed ^ id.hash() ^ step.rotate_left(32));
        let way = i64::try_from(chance % 7).unwrap_or(0) - 3;
        let fair = self.fair_now(id);
        let standing = self.standing[&id];
        if standing.ltp == 0 {
            return;
        }
        let price = match fair {
            // Rounding towards the tick does the rest.
            Some(fair) => fair + standing.drift + way * scrip.tick / 2,
            None => standing.ltp + way * scrip.tick.max(standing.ltp / 10_000),
        };
        let price = scrip.on_tick(price);
        let quantity = match scrip.kind {
            Kind::Index => 0,
            _ => (i64::try_from(chance >> 32 & 0xff).unwrap_or(0) + 1) * scrip.lot,
        };
        self.changes += 1;
        let standing = self.standing.get_mut(&id).expect("it was asked for");
        moved(standing, price);
        standing.change(self.changes);
        standing.volume += quantity;
        standing.turnover += i128::from(quantity) * i128::from(price);
        standing.last_quantity = quantity;
    }

    /// How many changes of any instrument there were.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// Counts a trade of ours in.
    pub(crate) fn traded(&mut self, id: Id, quantity: i64, price: i64) {
        if let Some(standing) = self.standing.get_mut(&id) {
            self.changes += 1;
            standing.change(self.changes);
            standing.volume += quantity;
            standing.turnover += i128::from(quantity) * i128::from(price);
            standing.last_quantity = quantity;
        }
    }
}

/// A level of the pretend order book around the last price.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Level {
    pub(crate) price: i64,
    pub(crate) quantity: i64,
    pub(crate) orders: i64,
}

impl Level {
    /// The level `at` steps away from the best; bids have the way -1, asks 1. Without a last
    /// price, below zero and for an index there is none.
    pub(crate) fn at(
        scrip: &Scrip,
        standing: &Standing,
        liquidity: Option<i64>,
        way: i64,
        at: i64,
    ) -> Option<Self> {
        let first = if way < 0 {
            standing.ltp
        } else {
            standing.ltp + scrip.tick
        };
        let price = first + way * at * scrip.tick;
        if scrip.kind == Kind::Index || standing.ltp == 0 || price <= 0 {
            return None;
        }
        let chance = mix(scrip.id.hash() ^ (first + at) as u64);
        let quantity = i64::try_from(chance % 40).unwrap_or(0) * scrip.lot + scrip.lot;
        Some(Self {
            price,
            quantity: liquidity.filter(|_| at == 0).unwrap_or(quantity),
            orders: i64::try_from(chance >> 32 & 7).unwrap_or(0) + 1,
        })
    }
}

/// A part of a whole in percent, with two decimals that count.
pub(crate) fn percent(part: i64, whole: i64) -> i64 {
    if whole == 0 {
        return 0;
    }
    let hundredths = i128::from(part) * 10_000 / i128::from(whole);
    i64::try_from(hundredths).unwrap_or(0) * RUPEE / 100
}

/// Open contracts now and yesterday; shares have none.
pub(crate) fn open_interest(scrip: &Scrip) -> (i64, i64) {
    if scrip.expiry.is_none() {
        return (0, 0);
    }
    let lots = |salt: u64| i64::try_from(mix(scrip.id.hash() ^ salt) % 20_000).unwrap_or(0) + 500;
    (lots(11) * scrip.lot, lots(12) * scrip.lot)
}

fn moved(standing: &mut Standing, price: i64) {
    standing.ltp = price;
    if price > 0 {
        standing.high = standing.high.max(price);
        standing.low = standing.low.min(price);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::parse_iso_date;

    fn market(seed: u64) -> Market {
        Market::new(parse_iso_date("2026-08-28").unwrap(), seed)
    }

    fn id(market: &Market, segment: Segment, symbol: &str) -> Id {
        market.scrips(segment).by_symbol(symbol).unwrap().id
    }

    fn walk(seed: u64, steps: usize) -> Vec<i64> {
        let mut market = market(seed);
        let share = id(&market, Segment::NseCm, "TCS-EQ");
        (0..steps)
            .map(|_| {
                let ltp = market.standing(share).ltp;
                market.step();
                ltp
            })
            .collect()
    }

    #[test]
    fn the_same_seed_walks_the_same_way() {
        assert_eq!(walk(1, 50), walk(1, 50));
        assert_ne!(walk(1, 50), walk(2, 50));
        let mut prices = walk(1, 50);
        prices.dedup();
        assert!(prices.len() > 20);
    }

    #[test]
    fn prices_stay_on_the_tick_and_in_the_band() {
        let mut market = market(3);
        let ids = [
            id(&market, Segment::NseCm, "IDEA-EQ"),
            id(&market, Segment::McxFo, "GOLDM25SEP26FUT"),
            id(&market, Segment::BseFo, "SENSEX26SEPFUT"),
        ];
        for _ in 0..2_000 {
            for id in ids {
                let standing = market.standing(id);
                let scrip = market.scrip(id);
                assert_eq!(standing.ltp % scrip.tick, 0);
                assert!((scrip.low..=scrip.high).contains(&standing.ltp));
                assert!(standing.low <= standing.ltp && standing.ltp <= standing.high);
            }
            market.step();
        }
    }

    #[test]
    fn contracts_follow_their_underlying() {
        let mut market = market(1);
        let share = id(&market, Segment::NseCm, "RELIANCE-EQ");
        let call = id(&market, Segment::NseFo, "RELIANCE26SEP1400CE");
        let before = market.standing(call).ltp;
        market.set_price(share, 1_500 * RUPEE);
        market.step();
        assert!(market.standing(call).ltp > before + 50 * RUPEE);
        // Without a price nothing moves until it has one again.
        market.set_price(call, 0);
        market.step();
        assert_eq!(market.standing(call).ltp, 0);
        market.set_price(call, 90 * RUPEE);
        market.step();
        assert!((market.standing(call).ltp - 90 * RUPEE).abs() < 5 * RUPEE);
    }
}
