//! Live events and books, made into one history of every order.
//!
//! Steps may come twice, late, out of order, or only through the books. What
//! is told on is each step once, never one that lies behind what was told
//! already, and every filled quantity exactly once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::value::RawValue;

use super::wire;
use crate::broker::reasons;
use crate::broker::words::{self, Phase, State};

/// More orders than fit into a book that is read, three times over. What comes
/// above it is told without being remembered.
const MOST_ORDERS: usize = 65_536;
const MOST_TRADES: usize = 1_048_576;
const MOST_POSITIONS: usize = 65_536;
/// For so many days an order is remembered that has no row any more: the broker
/// may send late rows of it, over a long weekend too, and what they say was told.
const KEPT_DAYS: u64 = 7;
/// How many steps of one order are remembered that carry no time.
const MOST_STEPS: usize = 16;
/// The longest order number, in bytes; the broker's have 15. What has a longer
/// one is told without being merged.
const LONGEST_NUMBER: usize = 64;
/// How much is kept of the broker's words for a state, in characters.
const LONGEST_WORDS: usize = 128;

/// What, if it changes, makes another step of the same state.
const DETAILS: [&str; 7] = ["qty", "prc", "trgPrc", "prcTp", "prod", "vldt", "dscQty"];

/// Each as a hash: what is kept of an order must not depend on the length of
/// its fields.
type Details = [Option<u64>; DETAILS.len()];

/// Where a row comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Live,
    Recovered,
}

/// Something to tell of an order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// The order number; `None` if the row has none.
    pub(crate) order: Option<String>,
    pub(crate) state: &'static str,
    /// The broker's words.
    pub(crate) words: Option<String>,
    /// The state that was told before.
    pub(crate) previous: Option<&'static str>,
    /// The quantity filled so far: what the rows said, and never less than
    /// before.
    pub(crate) filled: Option<u64>,
    /// The part of it that nothing told before.
    pub(crate) fill: u64,
    /// Steps lie between the last one told and this, that the books no longer
    /// show.
    pub(crate) skipped: bool,
    /// The row lies behind what was told; only its fill is new. `state` is
    /// then the newest state, not the row's.
    pub(crate) late: bool,
    /// What to do about the reason that the row gives for a rejection, if it is known.
    pub(crate) hint: Option<&'static str>,
}

/// A trade that was not told before.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fill {
    pub(crate) order: String,
    pub(crate) trade: Option<String>,
    pub(crate) quantity: u64,
    /// The part of it that nothing told before.
    pub(crate) fill: u64,
}

/// All that is known of the orders, trades and positions of the day.
#[derive(Default)]
pub(crate) struct Merge {
    orders: HashMap<Box<str>, Known>,
    /// How many trades all orders have.
    trades: usize,
    /// Counted in India.
    day: u64,
    /// The last row of each position, by hash of both: of the day, and of the
    /// day before.
    positions: HashMap<u64, u64>,
    earlier_positions: HashMap<u64, u64>,
}

struct Known {
    state: State,
    words: Option<Box<str>>,
    filled: Option<u64>,
    /// When the broker got the step, in nanoseconds since 1970.
    stamp: Option<u64>,
    details: Details,
    /// The filled quantity that was told, through orders or trades.
    told: u64,
    /// The sum of the trades.
    traded: u64,
    /// Trades that were told, by hash of what names them, in order.
    trades: Vec<u64>,
    seen: Vec<u64>,
    /// When a row of it last came.
    day: u64,
}

/// What matters of a row.
struct Row {
    order: Option<String>,
    words: Option<String>,
    filled: Option<u64>,
    stamp: Option<u64>,
    details: Details,
    hint: Option<&'static str>,
}

impl Row {
    fn read(row: &RawValue) -> Self {
        let members = wire::members(row.get()).unwrap_or_default();
        let of = |key: &str| members.get(key).and_then(|raw| wire::plain(raw));
        let number = |key: &str| of(key).as_deref().and_then(wire::whole);
        let words = of("ordSt").filter(|words| !words.trim().is_empty());
        Self {
            order: of("nOrdNo").filter(|number| is_number(number)),
            words: words.map(|words| words.chars().take(LONGEST_WORDS).collect()),
            filled: number("fldQty"),
            stamp: number("updRecvTm").filter(|stamp| *stamp > 0),
            details: DETAILS.map(|key| of(key).map(|text| hash(&canonical(&text)))),
            hint: of("rejRsn").and_then(|reason| reasons::hint(&reason)),
        }
    }

    fn step(&self) -> u64 {
        let words = self.words.as_deref().unwrap_or("");
        hash(&(words::find(words).name, words, self.filled, &self.details))
    }
}

fn is_number(order: &str) -> bool {
    !order.trim().is_empty() && order.len() <= LONGEST_NUMBER
}

/// One spelling for what the broker spells in several ways.
fn canonical(text: &str) -> String {
    let text = text.trim();
    if let Some(code) = words::order_type(text) {
        return code.to_owned();
    }
    let is_number = text.contains('.') && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let text = if is_number {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    };
    text.to_owned()
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl Merge {
    /// Nothing yet, on this day.
    pub(crate) fn on(day: u64) -> Self {
        Self {
            day,
            ..Self::default()
        }
    }

    /// From here on it is this day; `false` if it was before.
    pub(crate) fn enter(&mut self, day: u64) -> bool {
        let is_new = day != self.day;
        if is_new {
            self.day = day;
            self.earlier_positions = std::mem::take(&mut self.positions);
        }
        is_new
    }

    /// Forgets the orders that had no row for days. To be called when the books
    /// were taken, for an order that they show still is none of those.
    pub(crate) fn forget_earlier_days(&mut self) {
        let oldest = self.day.saturating_sub(KEPT_DAYS);
        self.orders.retain(|_, known| known.day >= oldest);
        if self.orders.len() > MOST_ORDERS / 2 {
            // Those of today need the room.
            self.orders.retain(|_, known| known.day >= self.day);
        }
        self.trades = self.orders.values().map(|known| known.trades.len()).sum();
    }

    /// Takes the row of an order. `None` if it tells nothing new.
    pub(crate) fn order(&mut self, raw: &RawValue, origin: Origin) -> Option<Step> {
        let row = Row::read(raw);
        let given = row.words.as_deref().map(words::find);
        let number = row.order.clone();
        let mut step = Step {
            order: number.clone(),
            state: given.unwrap_or(words::UNKNOWN).name,
            words: row.words.clone(),
            previous: None,
            filled: row.filled,
            fill: row.filled.unwrap_or(0),
            skipped: false,
            late: false,
            hint: row.hint,
        };
        // What has no number cannot be merged, but is not kept back.
        let Some(number) = number else {
            return Some(step);
        };
        let full = self.orders.len() >= MOST_ORDERS;
        let known = match self.orders.entry(number.into()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(_) if full => return Some(step),
            Entry::Vacant(entry) => {
                let state = given.unwrap_or(words::UNKNOWN);
                step.skipped = origin == Origin::Recovered && !words::is_direct(None, state);
                entry.insert(Known::new(&row, state)).day = self.day;
                return Some(step);
            }
        };
        known.day = self.day;
        // A row without a state changes none.
        let state = given.unwrap_or(known.state);
        let news = known.is_news(&row, state);
        // What is filled stays filled, whatever a row knows of it.
        step.filled = row.filled.map(|now| now.max(known.filled.unwrap_or(0)));
        step.fill = row.filled.unwrap_or(0).saturating_sub(known.told);
        known.told += step.fill;
        if news {
            // A trade that came first has made the order known, not its state.
            let before = known.words.is_some().then_some(known.state);
            step.previous = before.map(|state| state.name);
            step.state = state.name;
            step.skipped = origin == Origin::Recovered && !words::is_direct(before, state);
            known.take(row, state);
            return Some(step);
        }
        if step.fill > 0 {
            // No later row may tell less.
            known.filled = known.filled.max(row.filled);
            step.previous = Some(known.state.name);
            step.state = known.state.name;
            step.words = known.words.as_deref().map(str::to_owned);
            step.late = true;
            return Some(step);
        }
        known.learn(row, state);
        None
    }

    /// Takes a row of the trade book. `None` if it was told before, or is no
    /// trade.
    pub(crate) fn trade(&mut self, raw: &RawValue) -> Option<Fill> {
        let members = wire::members(raw.get())?;
        let of = |key: &str| members.get(key).and_then(|raw| wire::plain(raw));
        let order = of("nOrdNo").filter(|number| is_number(number))?;
        let trade = of("flId").filter(|id| !id.trim().is_empty());
        let quantity = of("fldQty").as_deref().and_then(wire::whole)?;
        let key = match &trade {
            Some(id) => hash(&(&order, id, of("flLeg"), of("exSeg"))),
            // Not documented, but then the whole row names it.
            None => hash(&(&order, raw.get())),
        };
        let full = self.orders.len() >= MOST_ORDERS;
        let known = match self.orders.entry(order.as_str().into()) {
            Entry::Occupied(entry) => Some(entry.into_mut()),
            Entry::Vacant(_) if full => None,
            Entry::Vacant(entry) => Some(entry.insert(Known::unseen())),
        };
        let mut fill = quantity;
        if let Some(known) = known {
            known.day = self.day;
            match known.trades.binary_search(&key) {
                Ok(_) => return None,
                Err(at) if self.trades < MOST_TRADES => {
                    known.trades.insert(at, key);
                    self.trades += 1;
                }
                Err(_) => {}
            }
            known.traded = known.traded.saturating_add(quantity);
            fill = known.traded.saturating_sub(known.told);
            known.told += fill;
        }
        Some(Fill {
            order,
            trade,
            quantity,
            fill,
        })
    }

    /// Takes the row of a position; `false` if it repeats the last one.
    pub(crate) fn position(&mut self, raw: &RawValue) -> bool {
        let Some(members) = wire::members(raw.get()) else {
            return true;
        };
        let keys = ["actId", "exSeg", "prod", "sym", "trdSym", "tok"];
        let name = keys.map(|key| members.get(key).map(|raw| raw.get()));
        let (name, row) = (hash(&name), hash(&raw.get()));
        // With its time in it, the same row is the same event. Without, another
        // day may have brought the same numbers.
        let has_time = members.contains_key("hsUpTm");
        if has_time && self.earlier_positions.get(&name) == Some(&row) {
            return false;
        }
        if self.positions.len() >= MOST_POSITIONS && !self.positions.contains_key(&name) {
            return true;
        }
        self.positions.insert(name, row) != Some(row)
    }

    /// How many orders are known.
    pub(crate) fn orders(&self) -> usize {
        self.orders.len()
    }
}

impl Known {
    fn new(row: &Row, state: State) -> Self {
        let mut known = Self::unseen();
        known.told = row.filled.unwrap_or(0);
        known.stamp = row.stamp;
        known.filled = row.filled;
        known.details = row.details;
        known.words = row.words.as_deref().map(Into::into);
        known.state = state;
        known.seen.push(row.step());
        known
    }

    /// An order of which only a trade is known.
    fn unseen() -> Self {
        Self {
            state: State {
                phase: Phase::Received,
                ..words::UNKNOWN
            },
            words: None,
            filled: None,
            stamp: None,
            details: Details::default(),
            told: 0,
            traded: 0,
            trades: Vec::new(),
            seen: Vec::new(),
            day: 0,
        }
    }

    /// Whether a row is a step forward.
    fn is_news(&self, row: &Row, state: State) -> bool {
        if self.is_same(row, state) {
            return false;
        }
        // Nobody leaves the exchange's book for the broker's desk, and what
        // has ended has ended.
        if state.phase < self.state.phase
            && (state.phase < Phase::Working || self.state.phase == Phase::Final)
        {
            return false;
        }
        let before = self.filled.unwrap_or(0);
        let filled = row.filled.unwrap_or(before);
        let forward = state.phase > self.state.phase;
        match (row.stamp, self.stamp) {
            (Some(new), Some(old)) if new != old => new > old,
            // What is filled stays filled, so the row is old; but the end of an
            // order is its end, however little its row knows of the fills.
            _ if filled < before => forward && state.phase == Phase::Final,
            _ if filled > before || forward => true,
            (Some(_), Some(_)) => false,
            _ => state.phase == self.state.phase && !self.seen.contains(&row.step()),
        }
    }

    /// Whether a row says what is known already. What it does not say, it
    /// does not change.
    fn is_same(&self, row: &Row, state: State) -> bool {
        let words_differ = state == words::UNKNOWN && row.words.as_deref() != self.words.as_deref();
        let details = row.details.iter().zip(&self.details);
        let mut both = details.filter_map(|(new, old)| Some((new.as_ref()?, old.as_ref()?)));
        state == self.state
            && !(words_differ && row.words.is_some())
            && row.filled.is_none_or(|now| now <= self.filled.unwrap_or(0))
            && both.all(|(new, old)| new == old)
    }

    fn take(&mut self, row: Row, state: State) {
        if self.seen.len() == MOST_STEPS {
            self.seen.remove(0);
        }
        self.seen.push(row.step());
        self.state = state;
        self.filled = self.filled.max(row.filled);
        if row.words.is_some() {
            self.words = row.words.map(Into::into);
        }
        self.stamp = row.stamp.or(self.stamp);
        for (old, new) in self.details.iter_mut().zip(row.details) {
            *old = new.or(*old);
        }
    }

    /// Keeps of a row that is no news what was not known.
    fn learn(&mut self, row: Row, state: State) {
        if !self.is_same(&row, state) {
            return;
        }
        self.stamp = self.stamp.max(row.stamp);
        self.filled = self.filled.or(row.filled);
        for (old, new) in self.details.iter_mut().zip(row.details) {
            *old = old.or(new);
        }
    }
}

#[cfg(test)]
mod tests;
