//! What the records of a ledger add up to: what is open, what ended, what is
//! over.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::age::{Age, Clock, Seen, Sight};
use super::record::{Line, Record};
use super::{End, Intent};
use crate::base::calendar::trading_day;

#[derive(Default)]
pub(super) struct Book {
    /// The number of the next instruction; `None` when they are used up.
    last: Option<u64>,
    /// What is open, or has an intent id, by number. The rest is only in the
    /// file.
    entries: BTreeMap<u64, Entry>,
    /// Those without an end.
    open: BTreeSet<u64>,
    by_id: HashMap<String, u64>,
    /// Those of which no later `Date` has told yet.
    untold: Vec<u64>,
    /// Of the newest instruction in the file, ended or not: it is over when all
    /// the others are.
    newest: Option<Age>,
    /// No entry is over before this time of the broker.
    next_over: Option<u64>,
    /// The boots that the file names, by the number of their clock.
    boots: Vec<Option<String>>,
    /// The last `Date` that was written down.
    pub(super) dated: Option<Sight>,
    /// The process that took hold of the file last, and when.
    pub(super) opened: Option<(u32, u64)>,
    /// What is known to be taken.
    taken: Vec<Taken>,
    /// The orders that the changes in the file were about.
    changed: Vec<String>,
    /// How many new orders may have left, by trading day of this machine's clock.
    new_orders: BTreeMap<u64, u64>,
}

pub(super) struct Entry {
    pub(super) intent: Intent,
    pub(super) end: Option<End>,
    age: Age,
}

struct Taken {
    age: Age,
    intent: Intent,
    /// The answer.
    json: String,
}

impl Book {
    /// What a file says.
    pub(super) fn of(lines: Vec<Line>) -> Self {
        let mut book = Self::default();
        for line in lines {
            book.take(line);
        }
        book
    }

    fn take(&mut self, line: Line) {
        let clock = line.boot.map(|boot| self.clock_of(&boot));
        match line.record {
            Record::Opened { pid, at } => self.opened = Some((pid, at)),
            Record::Begin { number, by, intent } => {
                if intent.order_id.is_none() {
                    *self.new_orders.entry(intent.local_day()).or_default() += 1;
                }
                self.changed.extend(intent.order_id.clone());
                let age = Age::new(clock.zip(line.up_ms), by, self.dated);
                self.begin(number, intent, age);
            }
            Record::End { number, end } => {
                if let Some(entry) = self.entries.get(&number) {
                    self.note_end(entry.intent.clone(), entry.age, &end);
                }
                self.end(number, end);
            }
            Record::Date { at, asked_up_ms } => {
                let times = clock.zip(asked_up_ms).zip(line.up_ms);
                let seen = times.map(|((clock, asked_ms), ms)| Seen {
                    clock,
                    asked_ms,
                    ms,
                });
                let sight = Sight { at, seen };
                self.saw(&sight);
                self.dated = Some(sight);
            }
        }
    }

    /// What a process wants to know of those before it.
    fn note_end(&mut self, intent: Intent, age: Age, end: &End) {
        match end {
            End::NotSent if intent.order_id.is_none() => {
                if let Some(count) = self.new_orders.get_mut(&intent.local_day()) {
                    *count = count.saturating_sub(1);
                }
            }
            End::Accepted { json, .. } => self.taken.push(Taken {
                age,
                intent,
                json: json.clone(),
            }),
            _ => {}
        }
    }

    /// The clock of a boot.
    pub(super) fn clock_of(&mut self, boot: &str) -> Clock {
        let known = self.boots.iter().position(|it| it.as_deref() == Some(boot));
        known.unwrap_or_else(|| self.new_clock(Some(boot.to_owned())))
    }

    /// A clock that no record of the file can be compared with.
    pub(super) fn new_clock(&mut self, boot: Option<String>) -> Clock {
        self.boots.push(boot);
        self.boots.len() - 1
    }

    /// The number of the next instruction.
    pub(super) fn next(&self) -> Option<u64> {
        self.last.unwrap_or(0).checked_add(1)
    }

    pub(super) fn begin(&mut self, number: u64, intent: Intent, age: Age) {
        self.last = self.last.max(Some(number));
        if let Some(id) = &intent.intent_id {
            self.by_id.insert(id.clone(), number);
        }
        self.newest = Some(age);
        self.untold.push(number);
        self.over_not_before(age);
        self.open.insert(number);
        let end = None;
        self.entries.insert(number, Entry { intent, end, age });
    }

    /// Keeps what an intent id may be asked for again, drops the rest.
    pub(super) fn end(&mut self, number: u64, end: End) {
        self.open.remove(&number);
        let Some(entry) = self.entries.get_mut(&number) else {
            return;
        };
        match &entry.intent.intent_id {
            Some(_) if end != End::NotSent => entry.end = Some(end),
            id => {
                if let Some(id) = id {
                    if self.by_id.get(id) == Some(&number) {
                        self.by_id.remove(id);
                    }
                }
                self.entries.remove(&number);
            }
        }
    }

    /// What is open, the oldest first.
    pub(super) fn open(&self) -> impl DoubleEndedIterator<Item = (u64, &Intent)> {
        let open = self.open.iter();
        open.filter_map(|number| Some((*number, &self.entries.get(number)?.intent)))
    }

    /// The broker's time of the beginning, where a `Date` tells.
    pub(super) fn began(&self, number: u64) -> Option<u64> {
        self.entries.get(&number)?.age.began()
    }

    /// What an intent id stands for.
    pub(super) fn by_id(&self, id: &str) -> Option<(u64, &Entry)> {
        let number = *self.by_id.get(id)?;
        Some((number, self.entries.get(&number)?))
    }

    /// Whether what the `Date` tells should be written down.
    pub(super) fn gains_by(&self, sight: &Sight) -> bool {
        let is_new = |dated: Sight| {
            dated.day() != sight.day()
                || dated.seen.map(|seen| seen.clock) != sight.seen.map(|seen| seen.clock)
        };
        let gains = |number: &u64| {
            let entry = self.entries.get(number);
            entry.is_some_and(|entry| entry.age.gains_by(sight))
        };
        self.dated.is_none_or(is_new) || self.untold.iter().any(gains)
    }

    /// Learns from a `Date` how old the instructions are, and forgets those that
    /// are over. Gives those of them that were open.
    pub(super) fn saw(&mut self, sight: &Sight) -> Vec<Intent> {
        for number in std::mem::take(&mut self.untold) {
            if let Some(entry) = self.entries.get_mut(&number) {
                entry.age = entry.age.with(sight);
                let age = entry.age;
                self.over_not_before(age);
            }
        }
        if let Some(newest) = self.newest.filter(|age| !age.is_told()) {
            self.newest = Some(newest.with(sight));
        }
        for taken in self.taken.iter_mut().filter(|taken| !taken.age.is_told()) {
            taken.age = taken.age.with(sight);
        }
        if self.next_over.is_none_or(|at| sight.at < at) {
            return Vec::new();
        }
        self.taken.retain(|taken| !taken.age.is_over(sight.at));
        let is_over = |entry: &Entry| entry.age.is_over(sight.at);
        let over = self.entries.iter().filter(|(_, entry)| is_over(entry));
        let over: Vec<u64> = over.map(|(number, _)| *number).collect();
        let mut were_open = Vec::new();
        for number in over {
            if let Some(entry) = self.entries.remove(&number) {
                if self.open.remove(&number) {
                    were_open.push(entry.intent);
                }
            }
        }
        let entries = &self.entries;
        self.by_id.retain(|_, number| entries.contains_key(number));
        let times = self
            .entries
            .values()
            .filter_map(|entry| entry.age.over_at());
        self.next_over = times.min();
        were_open
    }

    fn over_not_before(&mut self, age: Age) {
        let times = [self.next_over, age.over_at()];
        self.next_over = times.into_iter().flatten().min();
    }

    /// Whether all that the file holds is over.
    pub(super) fn is_over(&self, at: u64) -> bool {
        self.entries.is_empty() && self.newest.is_some_and(|age| age.is_over(at))
    }

    /// The file was begun anew.
    pub(super) fn clear(&mut self) {
        self.newest = None;
        self.untold.clear();
    }

    /// The instructions that are known to be taken, each with its answer. Given out once.
    pub(super) fn take_taken(&mut self) -> Vec<(Intent, String)> {
        let taken = std::mem::take(&mut self.taken).into_iter();
        taken.map(|taken| (taken.intent, taken.json)).collect()
    }

    pub(super) fn take_changed(&mut self) -> Vec<String> {
        std::mem::take(&mut self.changed)
    }

    pub(super) fn new_orders(&self) -> &BTreeMap<u64, u64> {
        &self.new_orders
    }
}

impl Intent {
    /// The trading day, as this machine's clock told it.
    pub(super) fn local_day(&self) -> u64 {
        trading_day(self.sent_at_ms / 1000)
    }
}
