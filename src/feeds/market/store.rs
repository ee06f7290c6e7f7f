//! What a feed has received and its readers have not read yet, and the newest
//! value of every instrument. Bounded, whatever comes.
//!
//! A reader that keeps up gets every packet. One that falls behind by more
//! than the history holds gets the newest value of each instrument, once,
//! until it has caught up: old values are lost and counted, the newest never.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::exchange::{self, exchange_name};
use super::packet::{self, Kind, Packet};
use super::record::{Record, StateRecord};
use crate::base::calendar::market_day;
use crate::base::clock::Moment;
use crate::feeds::arrival::{Arrival, Timeline};
use crate::feeds::readers::{self, Cut, News, Waited, Waiting};
use crate::feeds::state::{Change, State};

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

/// What happened so far, for the status.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) packets: u64,
    pub(crate) ignored: u64,
    pub(crate) malformed: u64,
    /// Values that were replaced before anybody read them.
    pub(crate) replaced: u64,
    /// Packets for which there was no room: far more instruments than can be
    /// subscribed.
    pub(crate) no_room: u64,
    /// When the newest packet arrived.
    pub(crate) newest: Option<Arrival>,
    /// Records that wait to be read.
    pub(crate) waiting: usize,
    /// With a value.
    pub(crate) instruments: usize,
    /// The number of the record that was read last.
    pub(crate) last_sequence: u64,
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
    changes: VecDeque<StateRecord>,
    /// The number of the newest change.
    changed: u64,
    state: StateRecord,
    /// When the state became what it is.
    since: Arrival,
    sequence: u64,
    /// The number of the record that was read last.
    given: u64,
    symbols: HashMap<String, Box<str>>,
    wanted: HashSet<u64, BuildHasherDefault<Spread>>,
    counts: Counts,
    newest: Option<Arrival>,
    /// Exchanges, the last status that they told, and when.
    markets: HashMap<i8, (u16, i64)>,
    waiting: Waiting,
    closed: Option<Cut>,
}

/// See the module.
pub(crate) struct Store {
    inner: Mutex<Inner>,
    news: Condvar,
    timeline: Timeline,
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
        let state = StateRecord {
            change: Change::new(State::Connecting, "opened"),
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
                since: Arrival::default(),
                sequence: 0,
                given: 0,
                symbols: HashMap::new(),
                wanted: HashSet::default(),
                counts: Counts::default(),
                newest: None,
                markets: HashMap::new(),
                waiting: Waiting::default(),
                closed: None,
            }),
            news: Condvar::new(),
            timeline: Timeline::begin(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time now, in the terms of this store.
    pub(crate) fn now(&self) -> Arrival {
        self.timeline.now()
    }

    /// Takes the store for the packets of one frame.
    pub(crate) fn write(&self) -> Writer<'_> {
        let arrival = self.now();
        let inner = self.lock();
        Writer {
            inner,
            news: &self.news,
            arrival,
        }
    }

    /// Tells a new state, or a new reason for the one that is.
    pub(crate) fn change(&self, change: Change) {
        let arrival = self.now();
        let mut inner = self.lock();
        let inner = &mut *inner;
        inner.sequence += 1;
        let mut record = StateRecord {
            change,
            changes: 1,
            arrival,
            sequence: inner.sequence,
        };
        if record.change.state != inner.state.change.state {
            inner.since = arrival;
        }
        inner.state = record.clone();
        inner.changed = inner.sequence;
        if inner.changes.len() >= MOST_STATES {
            let earlier: u32 = inner.changes.iter().map(|one| one.changes).sum();
            record.changes = record.changes.saturating_add(earlier);
            inner.changes.clear();
        }
        inner.changes.push_back(record);
        readers::wake(&self.news, inner);
    }

    /// The state now, and since when it is.
    pub(crate) fn state(&self) -> (Change, Arrival) {
        let inner = self.lock();
        (inner.state.change.clone(), inner.since)
    }

    /// Nothing comes any more. What waits can still be read, and the newest
    /// values stay. The first reason counts.
    pub(crate) fn close(&self, why: Cut) {
        self.lock().closed.get_or_insert(why);
        self.news.notify_all();
    }

    /// Whether it was closed, and why.
    pub(crate) fn closed(&self) -> Option<Cut> {
        self.lock().closed
    }

    /// Ends the waits under way, or the next one if there is none.
    pub(crate) fn interrupt(&self) {
        readers::interrupt(&self.news, &mut *self.lock());
    }

    /// Waits until there is something to read, at most `until` then, and gives
    /// up to `most` records to `take`, oldest first. 0 means that the wait
    /// ended with nothing.
    pub(crate) fn read(
        &self,
        until: Option<Moment>,
        most: usize,
        mut take: impl FnMut(Record<'_>, State, Arrival),
    ) -> Result<usize, Cut> {
        let (mut inner, waited) = readers::wait(&self.news, self.lock(), until);
        match (waited, inner.closed) {
            (Waited::Ready, Some(why)) if !inner.has_news() => return Err(why),
            (Waited::Ready, _) => {}
            (Waited::InVain, _) => return Ok(0),
            (Waited::Interrupted, _) => return Err(Cut::Interrupted),
        }
        let now = self.now();
        let mut given = 0;
        while given < most && inner.give(now, &mut take) {
            given += 1;
        }
        if inner.has_news() {
            // This reader had no room for the rest: another may.
            readers::wake(&self.news, &mut *inner);
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
                take(slot.record(slot.replaced), inner.state.change.state, now);
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

    pub(crate) fn counts(&self) -> Counts {
        let inner = self.lock();
        let pending = inner.pending.iter().filter(|entry| inner.is_queued(entry));
        Counts {
            newest: inner.newest,
            waiting: inner.history.len() + pending.count() + inner.changes.len(),
            instruments: inner.by_key.len(),
            last_sequence: inner.given,
            ..inner.counts
        }
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

impl News for Inner {
    fn is_there(&self) -> bool {
        self.has_news() || self.closed.is_some()
    }

    fn waiting(&mut self) -> &mut Waiting {
        &mut self.waiting
    }
}

fn symbol_of(symbols: &HashMap<String, Box<str>>, packet: Packet<'_>) -> Option<Box<str>> {
    let exchange = exchange_name(packet.exchange());
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
            readers::wake(self.news, &mut *self.inner);
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
            divider: exchange::USUAL_DIVIDER,
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
            let exchange = exchange_name(slot.packet().exchange());
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
        let state = self.state.change.state;
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
            if let Some(record) = self.changes.pop_front() {
                self.given = record.sequence;
                take(Record::State(&record), state, now);
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
            self.given = entry.sequence;
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
            self.given = slot.sequence;
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
    format!("{}|{token}", exchange_name(exchange))
}

#[cfg(test)]
mod tests;
