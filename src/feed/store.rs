//! What a feed has received and its readers have not read yet, and the newest
//! value of every instrument. Bounded, whatever comes.
//!
//! A reader that keeps up gets every packet. One that falls behind by more
//! than the history holds gets the newest value of each instrument, once,
//! until it has caught up: old values are lost and counted, the newest never.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::link::State;
use super::packet::{self, Kind, Packet};
use super::tick::{self, Depth, Tick, put_text};
use crate::calendar::market_day;
use crate::json::write_string;

/// Twice what can be subscribed, and some room for snapshots.
const MOST_SLOTS: usize = 8192;
/// Trading symbols that are kept.
const MOST_SYMBOLS: usize = 16_384;
/// Packets that the history holds at most.
const MOST_HISTORY: usize = 16_384;
/// State changes that are kept apart before they become one.
const MOST_STATES: usize = 32;

/// Keys are small numbers that we make ourselves: spreading them is enough.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        let mixed = (self.0 ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ mixed >> 32;
    }
}

type ByKey = HashMap<u64, u32, BuildHasherDefault<Spread>>;

/// When something arrived.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Arrival {
    /// Unix nanoseconds.
    pub(crate) ns: i64,
    /// Microseconds since the feed was opened, by a clock that never jumps.
    pub(crate) us: u64,
}

/// The newest packet of one key.
struct Slot {
    key: u64,
    kind: Kind,
    packet: Vec<u8>,
    divider: i32,
    arrival: Arrival,
    sequence: u64,
    /// Older values that were never read.
    replaced: u64,
    /// The number under which it stands in the queue of newest values; 0 if
    /// it does not.
    queued: u64,
    symbol: Option<Box<str>>,
}

/// One packet of the history.
struct Entry {
    slot: u32,
    start: u32,
    length: u32,
    divider: i32,
    arrival: Arrival,
    sequence: u64,
}

/// A change of the feed's state.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) state: State,
    pub(crate) reason: String,
    pub(crate) close_code: Option<u16>,
    pub(crate) retry_in: Option<Duration>,
    /// How many changes it stands for.
    changes: u32,
    arrival: Arrival,
    sequence: u64,
}

/// What happened so far, for the status.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) frames: u64,
    pub(crate) packets: u64,
    pub(crate) ignored: u64,
    pub(crate) malformed: u64,
    /// Values that were replaced before anybody read them.
    pub(crate) replaced: u64,
    /// Packets for which there was no room: far more instruments than can be
    /// subscribed.
    pub(crate) no_room: u64,
}

struct Inner {
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_key: ByKey,
    /// The bytes of the history, a ring.
    ring: Box<[u8]>,
    /// Where the next packet goes.
    head: usize,
    history: VecDeque<Entry>,
    /// Slots whose newest value is to be read, while the reader is behind, and
    /// the number under which each was queued. Where the slot has another
    /// number it was queued once more, further back, and the entry is void.
    pending: VecDeque<(u32, u64)>,
    behind: bool,
    changes: VecDeque<Change>,
    /// The number of the newest change.
    changed: u64,
    state: Change,
    sequence: u64,
    symbols: HashMap<String, Box<str>>,
    wanted: HashSet<u64, BuildHasherDefault<Spread>>,
    counts: Counts,
    newest: Option<Arrival>,
    /// Exchanges, the last status that they told, and when.
    markets: HashMap<i8, (u16, i64)>,
    waiting: usize,
    closed: Option<Closed>,
}

/// See the module.
pub(crate) struct Store {
    inner: Mutex<Inner>,
    news: Condvar,
    opened: Instant,
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

/// Nothing comes any more, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The feed or its client was closed.
    ByCaller,
    /// A defect in this library ended it.
    Defect,
}

/// A writer's hold on the store, for one frame.
pub(crate) struct Writer<'a> {
    inner: MutexGuard<'a, Inner>,
    news: &'a Condvar,
    arrival: Arrival,
}

impl Store {
    /// `history` is how many bytes of packets are kept for a reader.
    pub(crate) fn new(history: usize) -> Self {
        let state = Change {
            state: State::Connecting,
            reason: "opened".to_owned(),
            close_code: None,
            retry_in: None,
            changes: 1,
            arrival: Arrival::default(),
            sequence: 0,
        };
        let entries = MOST_HISTORY.min(history / 9);
        Self {
            inner: Mutex::new(Inner {
                slots: Vec::new(),
                free: Vec::new(),
                by_key: ByKey::default(),
                ring: vec![0; history].into_boxed_slice(),
                head: 0,
                history: VecDeque::with_capacity(entries),
                pending: VecDeque::new(),
                behind: false,
                changes: VecDeque::new(),
                changed: 0,
                state,
                sequence: 0,
                symbols: HashMap::new(),
                wanted: HashSet::default(),
                counts: Counts::default(),
                newest: None,
                markets: HashMap::new(),
                waiting: 0,
                closed: None,
            }),
            news: Condvar::new(),
            opened: Instant::now(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time now, in the terms of this store.
    pub(crate) fn now(&self) -> Arrival {
        let wall = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Arrival {
            ns: i64::try_from(wall.as_nanos()).unwrap_or(i64::MAX),
            us: u64::try_from(self.opened.elapsed().as_micros()).unwrap_or(u64::MAX),
        }
    }

    /// Takes the store for the packets of one frame.
    pub(crate) fn write(&self) -> Writer<'_> {
        let arrival = self.now();
        let mut inner = self.lock();
        inner.counts.frames += 1;
        Writer {
            inner,
            news: &self.news,
            arrival,
        }
    }

    /// Tells a new state.
    pub(crate) fn change(
        &self,
        state: State,
        reason: &str,
        close_code: Option<u16>,
        retry_in: Option<Duration>,
    ) {
        let arrival = self.now();
        let mut inner = self.lock();
        inner.sequence += 1;
        let mut change = Change {
            state,
            reason: reason.to_owned(),
            close_code,
            retry_in,
            changes: 1,
            arrival,
            sequence: inner.sequence,
        };
        inner.state = change.clone();
        inner.changed = inner.sequence;
        if inner.changes.len() >= MOST_STATES {
            let earlier: u32 = inner.changes.iter().map(|one| one.changes).sum();
            change.changes = change.changes.saturating_add(earlier);
            inner.changes.clear();
        }
        inner.changes.push_back(change);
        wake(&inner, &self.news);
    }

    /// The state now.
    pub(crate) fn state(&self) -> Change {
        self.lock().state.clone()
    }

    /// Ends all waits. What was not read yet is gone for readers; the newest
    /// values stay. The first reason counts.
    pub(crate) fn close(&self, why: Closed) {
        self.lock().closed.get_or_insert(why);
        self.news.notify_all();
    }

    /// Whether it was closed, and why.
    pub(crate) fn closed(&self) -> Option<Closed> {
        self.lock().closed
    }

    /// Waits until there is something to read, at most until `deadline`, and
    /// gives up to `most` records to `take`, oldest first. 0 means that the
    /// wait ended with nothing.
    pub(crate) fn read(
        &self,
        deadline: Option<Instant>,
        most: usize,
        mut take: impl FnMut(Record<'_>, State, Arrival),
    ) -> Result<usize, Closed> {
        let mut inner = self.lock();
        while inner.closed.is_none() && !inner.has_news() {
            let left = match deadline {
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
                None => Duration::ZERO,
            };
            if left.is_zero() {
                return Ok(0);
            }
            inner.waiting += 1;
            inner = self
                .news
                .wait_timeout(inner, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            inner.waiting -= 1;
        }
        if let Some(why) = inner.closed {
            return Err(why);
        }
        let now = self.now();
        let mut given = 0;
        while given < most && inner.give(now, &mut take) {
            given += 1;
        }
        if inner.has_news() {
            // This reader had no room for the rest: another may.
            wake(&inner, &self.news);
        }
        Ok(given)
    }

    /// The newest price of an instrument, of whichever subscription it came.
    pub(crate) fn last(
        &self,
        exchange: i8,
        token: Result<u32, &str>,
        take: impl FnOnce(Record<'_>, State, Arrival),
    ) -> bool {
        const PRICES: [u8; 6] = [1, 2, 4, 8, 16, 32];
        self.newest_of(exchange, token, &PRICES, take)
    }

    /// The newest market depth of an instrument; a touch line if it has no
    /// more.
    pub(crate) fn depth(
        &self,
        exchange: i8,
        token: u32,
        take: impl FnOnce(Record<'_>, State, Arrival),
    ) -> bool {
        let full = |inner: &Inner| {
            [8, 16]
                .iter()
                .any(|plane| inner.find(exchange, *plane, token).is_some())
        };
        let planes: &[u8] = if full(&self.lock()) {
            &[8, 16]
        } else {
            &[2, 4]
        };
        self.newest_of(exchange, Ok(token), planes, take)
    }

    fn newest_of(
        &self,
        exchange: i8,
        token: Result<u32, &str>,
        planes: &[u8],
        take: impl FnOnce(Record<'_>, State, Arrival),
    ) -> bool {
        let now = self.now();
        let inner = self.lock();
        let found = match token {
            Ok(token) => planes
                .iter()
                .filter_map(|plane| inner.find(exchange, *plane, token))
                .max_by_key(|slot| slot.sequence),
            Err(name) => inner.slots.iter().find(|slot| {
                let packet = Packet::again(slot.kind, &slot.packet);
                slot.kind == Kind::Index
                    && !slot.packet.is_empty()
                    && packet.exchange() == exchange
                    && packet.index_name().as_deref() == Some(name)
            }),
        };
        match found {
            None => false,
            Some(slot) => {
                take(slot.record(slot.replaced), inner.state.state, now);
                true
            }
        }
    }

    /// Remembers trading symbols of instruments, each like `nse_cm|11536` or
    /// with the name of an index.
    pub(crate) fn name(&self, all: &[(String, String)]) {
        let mut inner = self.lock();
        let inner = &mut *inner;
        for (instrument, symbol) in all {
            let known = inner.symbols.contains_key(instrument);
            if !known && inner.symbols.len() >= MOST_SYMBOLS {
                inner.drop_symbols();
            }
            if known || inner.symbols.len() < MOST_SYMBOLS {
                inner
                    .symbols
                    .insert(instrument.clone(), symbol.as_str().into());
            }
        }
        for slot in &mut inner.slots {
            if !slot.packet.is_empty() && slot.symbol.is_none() {
                slot.symbol = symbol_of(&inner.symbols, slot.packet());
            }
        }
    }

    /// Says that the values of these keys are wanted: they are the last to go
    /// when there is no room.
    pub(crate) fn want(&self, keys: impl Iterator<Item = u64>) {
        self.lock().wanted.extend(keys);
    }

    /// Forgets the values of these keys, and of these indices, which have a
    /// name or a number.
    pub(crate) fn forget(&self, keys: &[u64], indices: &[(i8, String)]) {
        let mut inner = self.lock();
        let mut going: HashSet<u32> = HashSet::new();
        for key in keys {
            inner.wanted.remove(key);
            going.extend(inner.by_key.get(key));
        }
        if !indices.is_empty() {
            let all = (0_u32..).zip(&inner.slots);
            let unwanted = all.filter(|(_, slot)| {
                let packet = slot.packet();
                !slot.packet.is_empty()
                    && packet.index_name().is_some_and(|name| {
                        let number = packet.token().to_string();
                        indices.iter().any(|(exchange, index)| {
                            *exchange == packet.exchange() && (*index == name || *index == number)
                        })
                    })
            });
            going.extend(unwanted.map(|(at, _)| at));
        }
        inner.remove(&going);
    }

    /// Counts, the arrival of the newest packet, and how much waits.
    pub(crate) fn counts(&self) -> (Counts, Option<Arrival>, usize, usize) {
        let inner = self.lock();
        let pending = inner.pending.iter().filter(|entry| inner.is_queued(entry));
        let waiting = inner.history.len() + pending.count() + inner.changes.len();
        (inner.counts, inner.newest, waiting, inner.by_key.len())
    }

    /// Whether an exchange has told that it is closed. One that closed before
    /// nine o'clock of this day (IST), when the earliest session begins, may
    /// have opened unheard.
    pub(crate) fn is_closed(&self, exchange: i8) -> bool {
        let now = self.now().ns;
        let told = self.lock().markets.get(&exchange).copied();
        let day = |ns: i64| market_day(ns / 1_000_000_000);
        told.is_some_and(|(code, then)| code == 2 && day(then) == day(now))
    }
}

fn wake(inner: &Inner, news: &Condvar) {
    if inner.waiting > 0 {
        news.notify_one();
    }
}

fn symbol_of(symbols: &HashMap<String, Box<str>>, packet: Packet<'_>) -> Option<Box<str>> {
    let exchange = packet::exchange_name(packet.exchange());
    let by_token = symbols.get(&format!("{exchange}|{}", packet.token()));
    let found = by_token.or_else(|| {
        let name = packet.index_name()?;
        symbols.get(&format!("{exchange}|{name}"))
    });
    found.cloned()
}

impl Writer<'_> {
    /// Takes one packet in.
    pub(crate) fn put(&mut self, packet: Packet<'_>, divider: i32) {
        let arrival = self.arrival;
        let inner = &mut *self.inner;
        let Some(at) = inner.slot_for(packet) else {
            inner.counts.no_room += 1;
            return;
        };
        inner.counts.packets += 1;
        inner.sequence += 1;
        inner.newest = Some(arrival);
        if let Some(code) = packet.status_code() {
            let told = (code, arrival.ns);
            inner.markets.insert(packet.exchange(), told);
        }
        let sequence = inner.sequence;
        if !inner.behind && !inner.remember(at, packet.bytes(), divider, arrival) {
            inner.fall_behind();
        }
        let Some(slot) = inner.slots.get_mut(at as usize) else {
            return;
        };
        slot.kind = packet.kind();
        slot.packet.clear();
        slot.packet.extend_from_slice(packet.bytes());
        slot.divider = divider;
        slot.arrival = arrival;
        slot.sequence = sequence;
        if inner.behind {
            if slot.queued > 0 {
                slot.replaced += 1;
                inner.counts.replaced += 1;
            }
            // A value that came after a change of the state is read after it.
            if slot.queued <= inner.changed {
                slot.queued = sequence;
                inner.queue(at, sequence);
            }
        }
    }

    pub(crate) fn ignored(&mut self) {
        self.inner.counts.ignored += 1;
    }

    pub(crate) fn malformed(&mut self) {
        self.inner.counts.malformed += 1;
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        if self.inner.has_news() {
            wake(&self.inner, self.news);
        }
    }
}

impl Slot {
    fn packet(&self) -> Packet<'_> {
        Packet::again(self.kind, &self.packet)
    }

    fn record(&self, replaced: u64) -> Record<'_> {
        Record::Packet {
            packet: self.packet(),
            divider: self.divider,
            arrival: self.arrival,
            sequence: self.sequence,
            replaced,
            symbol: self.symbol.as_deref(),
        }
    }
}

impl Inner {
    fn has_news(&self) -> bool {
        !self.history.is_empty() || !self.pending.is_empty() || !self.changes.is_empty()
    }

    fn find(&self, exchange: i8, plane: u8, token: u32) -> Option<&Slot> {
        let at = self.by_key.get(&packet::key(exchange, plane, token))?;
        self.slots.get(*at as usize)
    }

    /// The slot of a packet, made if there is none.
    #[inline]
    fn slot_for(&mut self, packet: Packet<'_>) -> Option<u32> {
        match self.by_key.get(&packet.key()) {
            Some(at) => Some(*at),
            None => self.new_slot(packet),
        }
    }

    #[cold]
    fn new_slot(&mut self, packet: Packet<'_>) -> Option<u32> {
        if self.by_key.len() >= MOST_SLOTS {
            self.make_room();
        }
        if self.by_key.len() >= MOST_SLOTS {
            return None;
        }
        let slot = Slot {
            key: packet.key(),
            kind: packet.kind(),
            packet: packet.bytes().to_vec(),
            divider: packet::USUAL_DIVIDER,
            arrival: Arrival::default(),
            sequence: 0,
            replaced: 0,
            queued: 0,
            symbol: symbol_of(&self.symbols, packet),
        };
        let at = match self.free.pop() {
            Some(at) => {
                *self.slots.get_mut(at as usize)? = slot;
                at
            }
            None => {
                self.slots.push(slot);
                u32::try_from(self.slots.len() - 1).ok()?
            }
        };
        self.by_key.insert(packet.key(), at);
        // So that no packet that comes later has to allocate: see `queue`.
        let room = 2 * self.slots.len() + 1;
        self.pending
            .reserve(room.saturating_sub(self.pending.len()));
        Some(at)
    }

    /// Lets go of the older half of what nobody has subscribed; of indices,
    /// which are subscribed by name, only if there is nothing else.
    fn make_room(&mut self) {
        let is_unwanted = |slot: &Slot| {
            let packet = slot.packet();
            let has = |plane| {
                let key = packet::key(packet.exchange(), plane, packet.token());
                self.wanted.contains(&key)
            };
            match slot.kind {
                Kind::Index | Kind::Status => false,
                Kind::Cas => !has(4) && !has(8),
                Kind::Scrip | Kind::Lite => !self.wanted.contains(&slot.key),
            }
        };
        let mut going = self.older_half(is_unwanted);
        if going.is_empty() {
            going = self.older_half(|slot| slot.kind == Kind::Index);
        }
        self.remove(&going);
    }

    fn older_half(&self, of: impl Fn(&Slot) -> bool) -> HashSet<u32> {
        let mut all: Vec<(u64, u32)> = (0_u32..)
            .zip(&self.slots)
            .filter(|(_, slot)| !slot.packet.is_empty() && of(slot))
            .map(|(at, slot)| (slot.sequence, at))
            .collect();
        all.sort_unstable();
        all.truncate(all.len().div_ceil(2));
        all.into_iter().map(|(_, at)| at).collect()
    }

    /// Lets go of the symbols of instruments that are neither subscribed nor
    /// have a value.
    #[cold]
    fn drop_symbols(&mut self) {
        let mut used: HashSet<String> = self.wanted.iter().map(|key| instrument_of(*key)).collect();
        for slot in self.slots.iter().filter(|slot| !slot.packet.is_empty()) {
            used.insert(instrument_of(slot.key));
            let exchange = packet::exchange_name(slot.packet().exchange());
            let index = slot.packet().index_name();
            used.extend(index.map(|name| format!("{exchange}|{name}")));
        }
        self.symbols
            .retain(|instrument, _| used.contains(instrument));
    }

    /// Puts a slot at the end of the queue of newest values. Its earlier entry
    /// is void now; those are cleared away when they are many.
    fn queue(&mut self, at: u32, number: u64) {
        if self.pending.len() > 2 * self.slots.len() {
            let slots = &self.slots;
            self.pending.retain(|entry| is_queued(slots, entry));
        }
        self.pending.push_back((at, number));
    }

    fn is_queued(&self, entry: &(u32, u64)) -> bool {
        is_queued(&self.slots, entry)
    }

    fn remove(&mut self, going: &HashSet<u32>) {
        if going.is_empty() {
            return;
        }
        self.history.retain(|entry| !going.contains(&entry.slot));
        self.pending.retain(|(at, _)| !going.contains(at));
        for at in going {
            if let Some(slot) = self.slots.get_mut(*at as usize) {
                self.by_key.remove(&slot.key);
                slot.packet = Vec::new();
                slot.symbol = None;
                slot.queued = 0;
                self.free.push(*at);
            }
        }
    }

    /// Writes a packet into the history; `false` if it is full.
    #[inline]
    fn remember(&mut self, slot: u32, bytes: &[u8], divider: i32, arrival: Arrival) -> bool {
        let size = self.ring.len();
        let start = match self.history.front() {
            None => 0,
            Some(oldest) => {
                let tail = oldest.start as usize;
                if self.head > tail {
                    // Free to the end, and from the beginning to the tail.
                    if self.head + bytes.len() <= size {
                        self.head
                    } else {
                        0
                    }
                } else {
                    self.head
                }
            }
        };
        let end = start + bytes.len();
        let fits = match self.history.front() {
            None => end <= size,
            Some(oldest) => {
                let tail = oldest.start as usize;
                // A full ring would look like an empty one, so it never fills.
                end <= size && (start >= self.head && self.head > tail || end < tail)
            }
        };
        if !fits || self.history.len() >= MOST_HISTORY {
            return false;
        }
        let Some(to) = self.ring.get_mut(start..end) else {
            return false;
        };
        to.copy_from_slice(bytes);
        self.head = end;
        self.history.push_back(Entry {
            slot,
            start: start as u32,
            length: bytes.len() as u32,
            divider,
            arrival,
            sequence: self.sequence,
        });
        true
    }

    /// From here on only the newest value of each slot is kept for the reader.
    #[cold]
    fn fall_behind(&mut self) {
        self.behind = true;
        while let Some(entry) = self.history.pop_back() {
            let Some(slot) = self.slots.get_mut(entry.slot as usize) else {
                continue;
            };
            if slot.queued > 0 {
                slot.replaced += 1;
                self.counts.replaced += 1;
            } else {
                slot.queued = entry.sequence;
                self.pending.push_front((entry.slot, entry.sequence));
            }
        }
    }

    /// Gives the oldest record to `take`.
    fn give(&mut self, now: Arrival, take: &mut impl FnMut(Record<'_>, State, Arrival)) -> bool {
        let state = self.state.state;
        while self
            .pending
            .front()
            .is_some_and(|entry| !self.is_queued(entry))
        {
            self.pending.pop_front();
        }
        let oldest = match (self.history.front(), self.pending.front()) {
            (Some(entry), _) => Some(entry.sequence),
            (None, Some((_, number))) => Some(*number),
            (None, None) => None,
        };
        let change_first = match (self.changes.front(), oldest) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(change), Some(oldest)) => change.sequence < oldest,
        };
        if change_first {
            if let Some(change) = self.changes.pop_front() {
                take(Record::Change(&change), state, now);
                return true;
            }
        }
        if let Some(entry) = self.history.pop_front() {
            let range = entry.start as usize..(entry.start + entry.length) as usize;
            let (Some(bytes), Some(slot)) = (
                self.ring.get(range),
                self.slots.get_mut(entry.slot as usize),
            ) else {
                return true;
            };
            let record = Record::Packet {
                packet: Packet::again(slot.kind, bytes),
                divider: entry.divider,
                arrival: entry.arrival,
                sequence: entry.sequence,
                replaced: std::mem::take(&mut slot.replaced),
                symbol: slot.symbol.as_deref(),
            };
            take(record, state, now);
            return true;
        }
        let Some((at, _)) = self.pending.pop_front() else {
            self.behind = false;
            return false;
        };
        if self.pending.is_empty() {
            // Caught up: every packet counts again.
            self.behind = false;
        }
        if let Some(slot) = self.slots.get_mut(at as usize) {
            slot.queued = 0;
            let replaced = std::mem::take(&mut slot.replaced);
            take(slot.record(replaced), state, now);
        }
        true
    }
}

/// Whether an entry of the queue of newest values is the last one of its slot.
fn is_queued(slots: &[Slot], (at, number): &(u32, u64)) -> bool {
    slots
        .get(*at as usize)
        .is_some_and(|slot| slot.queued == *number)
}

/// The instrument of a key, as acknowledgements write it.
fn instrument_of(key: u64) -> String {
    let (exchange, token) = packet::of_key(key);
    format!("{}|{token}", packet::exchange_name(exchange))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::packet::{Packets, Step};
    use std::sync::Arc;

    /// A mini touch line of `token` with a price.
    fn lite(token: u32, price: u32) -> Vec<u8> {
        let mut bytes = vec![0; 54];
        bytes[..2].copy_from_slice(&54_u16.to_le_bytes());
        bytes[4] = 1;
        bytes[5] = 1;
        bytes[9..13].copy_from_slice(&token.to_le_bytes());
        bytes[21..25].copy_from_slice(&price.to_le_bytes());
        bytes
    }

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
        assert_eq!(store.counts().0.replaced, 0);
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
            let (counts, _, _, slots) = store.counts();
            assert_eq!((counts.packets, slots), (50_000, 50));
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
        store.change(State::Down, "lost", Some(1006), None);
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
            store.change(State::Connecting, "again", None, None);
        }
        let all = read(&store, 99);
        assert_eq!((all.len(), all[0].state_changes), (1, 33));
        assert_eq!(store.state().state, State::Connecting);
    }

    #[test]
    fn unknown_instruments_cannot_fill_the_memory() {
        let store = Store::new(4096);
        store.want(std::iter::once(packet::key(1, 1, 7)));
        put(&store, &lite(7, 77));
        for token in 100..60_000 {
            put(&store, &lite(token, 1));
        }
        assert!(store.counts().3 <= MOST_SLOTS);
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
        store.change(State::Down, "lost", None, None);
        store.change(State::Live, "back", None, None);
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
            let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let mut below = move |end: u64| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state % end
            };
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
                        store.change(State::Live, "again", None, None);
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
                assert_eq!(store.counts().0.packets, price as u64, "{seed}");
            }
        }
    }

    #[test]
    fn a_flapping_feed_that_nobody_reads_stays_small() {
        let store = Store::new(0);
        for price in 0..5000 {
            store.change(State::Down, "lost", None, None);
            for token in 0..10 {
                put(&store, &lite(token, price));
            }
        }
        assert!(store.lock().pending.len() <= 21);
        assert!(store.lock().pending.capacity() < 100);
        assert_eq!(store.counts().2, 10 + store.lock().changes.len());
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
        assert!(store.counts().3 <= MOST_SLOTS);
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
        let soon = Instant::now() + Duration::from_millis(20);
        assert_eq!(store.read(Some(soon), 1, |_, _, _| {}), Ok(0));
        let late = Instant::now() + Duration::from_secs(60);
        let other = Arc::clone(&store);
        let waiter = std::thread::spawn(move || other.read(Some(late), 1, |_, _, _| {}));
        put(&store, &lite(1, 1));
        assert_eq!(waiter.join().expect("it must not panic"), Ok(1));
        let other = Arc::clone(&store);
        let waiter = std::thread::spawn(move || other.read(Some(late), 1, |_, _, _| {}));
        store.close(Closed::ByCaller);
        assert_eq!(
            waiter.join().expect("it must not panic"),
            Err(Closed::ByCaller)
        );
    }

    #[test]
    fn several_readers_share_one_queue() {
        let store = Arc::new(Store::new(1 << 20));
        let late = Instant::now() + Duration::from_secs(60);
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
        while store.counts().2 > 0 {
            std::thread::yield_now();
        }
        store.close(Closed::ByCaller);
        let all: usize = readers
            .into_iter()
            .map(|reader| reader.join().expect("it must not panic"))
            .sum();
        assert_eq!(all, 2000);
    }
}
