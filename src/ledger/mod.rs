//! The intent ledger: what was about to be sent, written down before it is.
//!
//! A record is written before the point of no return; how the instruction ended
//! follows in a record of its own. What has no end is open: it may have been
//! taken. Records live for one trading day (IST), and for an hour at least; older
//! ones are dropped when the file is opened, and at the first record of a new day.

mod file;
mod record;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::base::calendar::trading_day;
use crate::base::clock::{self, Moment};
use crate::base::error::Error;
use file::LedgerFile;
use record::{HEADER, Record};

/// What a ledger entry survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LedgerSync {
    /// The death of the process.
    Process,
    /// The death of the machine.
    Disk,
}

/// So long an instruction is remembered, also over midnight: no call and no
/// settling takes longer.
const LEAST_MS: u64 = 3_600_000;

/// An instruction that is about to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Intent {
    /// The tag of the order; of a change, its reference.
    pub(crate) tag: String,
    /// The caller's name for it.
    pub(crate) intent_id: Option<String>,
    /// `place_order`, `modify_order` or `cancel_order`.
    pub(crate) operation: String,
    /// The UCC.
    pub(crate) account: Option<String>,
    /// The order that is changed.
    pub(crate) order_id: Option<String>,
    /// What was asked, as canonical JSON.
    pub(crate) facts: String,
    /// Unix milliseconds.
    pub(crate) sent_at_ms: u64,
}

impl Intent {
    /// Whether two intents ask for the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (&self.operation, &self.account, &self.facts)
            == (&other.operation, &other.account, &other.facts)
    }

    /// Whether it counts yet. The clock may have been set back since.
    fn lives(&self, now_ms: u64) -> bool {
        self.day() >= trading_day(now_ms / 1000)
            || now_ms.saturating_sub(self.sent_at_ms) < LEAST_MS
    }

    fn day(&self) -> u64 {
        trading_day(self.sent_at_ms / 1000)
    }
}

/// How an instruction ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum End {
    /// Nothing of it left. The same intent may be tried again.
    NotSent,
    /// It was sent, and is proved not to have been taken.
    Absent,
    /// It was taken.
    Accepted {
        /// The answer.
        json: String,
        http_status: u16,
    },
    /// The broker refused it.
    Refused {
        /// The number of the status.
        status: i32,
        code: Option<String>,
        message: String,
        http_status: Option<u16>,
        /// The broker's body.
        broker: Option<String>,
    },
    /// It may have been taken. Not written down: what has no end is open.
    Unknown,
}

/// What is known of an intent id that was used before.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Earlier {
    /// It ended.
    Answered { tag: String, end: End },
    /// It is open.
    Unsettled(Intent),
}

/// The begin of an instruction.
#[derive(Debug)]
pub(crate) enum Begun {
    /// It is written down, and may be sent.
    New(Ticket),
    /// The same intent was begun before.
    Earlier(Earlier),
}

/// An instruction that was begun.
#[derive(Debug)]
pub(crate) struct Ticket(u64);

/// The ledger of one process.
pub(crate) struct Ledger {
    state: Mutex<State>,
    /// What an earlier process sent, it sent before this.
    opened: Moment,
    /// How many new orders may have left, by trading day, as the file told when
    /// it was opened.
    new_orders: BTreeMap<u64, u64>,
}

struct State {
    file: LedgerFile,
    next: u64,
    day: u64,
    /// The day of which the file was written.
    day_of_file: u64,
    /// No entry is of a day before this.
    oldest: u64,
    /// What is open, or has an intent id, by number. The rest is only in the
    /// file.
    entries: BTreeMap<u64, Entry>,
    /// Those without an end.
    open: BTreeSet<u64>,
    by_id: HashMap<String, u64>,
    /// What was taken today, and the answers, as the file told when it was
    /// opened.
    taken: Vec<(Intent, String)>,
    /// The orders that the changes in the file were about.
    changed: Vec<String>,
}

struct Entry {
    intent: Intent,
    end: Option<End>,
}

impl Ledger {
    /// Opens or makes the file and takes hold of it.
    ///
    /// # Errors
    ///
    /// If another client holds it (the message names the process), if it
    /// cannot be read or written, or if a record in it is damaged: an intent
    /// must not be forgotten in silence.
    pub(crate) fn open(path: &Path, sync: LedgerSync, now_ms: u64) -> Result<Self, Error> {
        let (file, bytes) = LedgerFile::open(path, sync)?;
        let contents = record::read(&bytes).map_err(|offset| {
            file::wrong(format!(
                "has a damaged record at byte {offset}; nothing can be sent with it. Settle today's \
                 orders by the order book, then move the file away"
            ))
        })?;
        let today = trading_day(now_ms / 1000);
        let mut state = State {
            file,
            next: 1,
            day: today,
            day_of_file: today,
            oldest: u64::MAX,
            entries: BTreeMap::new(),
            open: BTreeSet::new(),
            by_id: HashMap::new(),
            taken: Vec::new(),
            changed: Vec::new(),
        };
        let mut dropped = false;
        // The day of every new order that may have left, by number.
        let mut days = BTreeMap::new();
        for record in contents.records {
            match record {
                Record::Header { .. } => {}
                Record::Begin { number, intent } => {
                    state.next = state.next.max(number.saturating_add(1));
                    if intent.order_id.is_none() {
                        days.insert(number, intent.day());
                    }
                    if intent.lives(now_ms) {
                        state.changed.extend(intent.order_id.clone());
                        state.add(number, intent);
                    } else {
                        dropped = true;
                    }
                }
                Record::End { number, end } => {
                    if end == End::NotSent {
                        days.remove(&number);
                    }
                    state.note_taken(number, &end);
                    state.end(number, end);
                }
            }
        }
        let written = if dropped || contents.whole == 0 {
            state.write_anew()
        } else {
            // What a killed process left half written.
            state.file.cut_to(contents.whole as u64)
        };
        written.map_err(|error| file::unusable(&error))?;
        Ok(Self {
            state: Mutex::new(state),
            opened: clock::now(),
            new_orders: days.into_values().fold(BTreeMap::new(), |mut left, day| {
                *left.entry(day).or_default() += 1;
                left
            }),
        })
    }

    /// How many new orders may have left before this was opened, by trading day.
    pub(crate) fn new_orders(&self) -> BTreeMap<u64, u64> {
        self.new_orders.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of an intent id.
    ///
    /// # Errors
    ///
    /// If it was used for something else.
    pub(crate) fn earlier(
        &self,
        intent_id: &str,
        intent: &Intent,
        now_ms: u64,
    ) -> Result<Option<Earlier>, Error> {
        let mut state = self.state();
        state.forget_old(now_ms);
        state.earlier(intent_id, intent)
    }

    /// Writes down what is about to be sent.
    ///
    /// # Errors
    ///
    /// If it cannot be written: then nothing may be sent.
    pub(crate) fn begin(&self, intent: Intent, now_ms: u64) -> Result<Begun, Error> {
        let mut state = self.state();
        state.forget_old(now_ms);
        if let Some(id) = &intent.intent_id {
            if let Some(earlier) = state.earlier(id, &intent)? {
                return Ok(Begun::Earlier(earlier));
            }
        }
        if state.day != state.day_of_file {
            state.file.must_be_ours()?;
            let written = state.write_anew();
            written.map_err(|error| state.file.unwritten(error))?;
        }
        let number = state.next;
        let Some(next) = number.checked_add(1) else {
            return Err(state.file.unwritten("its numbers are used up"));
        };
        let record = Record::Begin { number, intent };
        state.append(&record)?;
        state.next = next;
        if let Record::Begin { number, intent } = record {
            state.add(number, intent);
        }
        Ok(Begun::New(Ticket(number)))
    }

    /// Writes down how an instruction ended.
    ///
    /// # Errors
    ///
    /// If it cannot be written: then it stays open.
    pub(crate) fn settle(&self, ticket: &Ticket, end: &End) -> Result<(), Error> {
        self.state().write_end(ticket.0, end)
    }

    /// The same for the open instruction with a tag that was sent then; `false`
    /// if there is none.
    ///
    /// # Errors
    ///
    /// As for [`Ledger::settle`].
    pub(crate) fn settle_by_tag(
        &self,
        tag: &str,
        sent_at_ms: u64,
        end: &End,
    ) -> Result<bool, Error> {
        let mut state = self.state();
        let mut open = state.open().rev();
        let is = |intent: &Intent| intent.tag == tag && intent.sent_at_ms == sent_at_ms;
        let Some((number, _)) = open.find(|(_, intent)| is(intent)) else {
            return Ok(false);
        };
        drop(open);
        state.write_end(number, end).map(|()| true)
    }

    /// Each instruction that an earlier process of this day knew to be taken, and
    /// its answer. Given out once.
    pub(crate) fn take_taken(&self) -> Vec<(Intent, String)> {
        std::mem::take(&mut self.state().taken)
    }

    /// The number of each order that an earlier process of this day changed, or
    /// meant to. Given out once.
    pub(crate) fn take_changed(&self) -> Vec<String> {
        std::mem::take(&mut self.state().changed)
    }

    /// When this process took over the ledger.
    pub(crate) fn opened(&self) -> Moment {
        self.opened
    }

    /// Whether a tag is that of an open instruction.
    pub(crate) fn is_open(&self, tag: &str) -> bool {
        self.find(Some(tag), None).is_some()
    }

    /// The newest open instruction with this tag, or about this order.
    pub(crate) fn find(&self, tag: Option<&str>, order_id: Option<&str>) -> Option<Intent> {
        let state = self.state();
        let found = state.open().rev().find(|(_, intent)| match tag {
            Some(tag) => intent.tag == tag,
            None => order_id.is_some() && intent.order_id.as_deref() == order_id,
        });
        found.map(|(_, intent)| intent.clone())
    }

    /// All that is open.
    pub(crate) fn all_open(&self) -> Vec<Intent> {
        let state = self.state();
        state.open().map(|(_, intent)| intent.clone()).collect()
    }

    /// What is open of this trading day, the oldest first.
    pub(crate) fn open_intents(&self, now_ms: u64) -> Vec<Intent> {
        let mut state = self.state();
        state.forget_old(now_ms);
        state.open().map(|(_, intent)| intent.clone()).collect()
    }
}

impl State {
    fn write_end(&mut self, number: u64, end: &End) -> Result<(), Error> {
        if *end == End::Unknown {
            return Ok(());
        }
        let record = Record::End {
            number,
            end: end.clone(),
        };
        self.append(&record)?;
        self.end(number, end.clone());
        Ok(())
    }

    fn append(&mut self, record: &Record) -> Result<(), Error> {
        self.file.must_be_ours()?;
        let line = record::line(record).map_err(|error| self.file.unwritten(error))?;
        self.file.append(&line)
    }

    /// Writes a new file with what counts today.
    fn write_anew(&mut self) -> io::Result<()> {
        let header = Record::Header {
            format: HEADER.to_owned(),
        };
        let mut bytes = record::line(&header)?;
        for (number, entry) in &self.entries {
            let (number, intent) = (*number, entry.intent.clone());
            bytes.extend(record::line(&Record::Begin { number, intent })?);
            if let Some(end) = entry.end.clone() {
                bytes.extend(record::line(&Record::End { number, end })?);
            }
        }
        self.file.replace(&bytes)?;
        self.day_of_file = self.day;
        Ok(())
    }

    fn add(&mut self, number: u64, intent: Intent) {
        self.oldest = self.oldest.min(intent.day());
        if let Some(id) = &intent.intent_id {
            self.by_id.insert(id.clone(), number);
        }
        self.open.insert(number);
        self.entries.insert(number, Entry { intent, end: None });
    }

    /// What is open, the oldest first.
    fn open(&self) -> impl DoubleEndedIterator<Item = (u64, &Intent)> {
        let open = self.open.iter();
        open.filter_map(|number| Some((*number, &self.entries.get(number)?.intent)))
    }

    /// Drops what does not count any more.
    fn forget_old(&mut self, now_ms: u64) {
        self.day = trading_day(now_ms / 1000);
        if self.oldest < self.day {
            let entries = &mut self.entries;
            entries.retain(|_, entry| entry.intent.lives(now_ms));
            self.open.retain(|number| entries.contains_key(number));
            self.by_id.retain(|_, number| entries.contains_key(number));
            let days = entries.values().map(|entry| entry.intent.day());
            self.oldest = days.min().unwrap_or(u64::MAX);
        }
    }

    fn earlier(&self, intent_id: &str, intent: &Intent) -> Result<Option<Earlier>, Error> {
        let number = self.by_id.get(intent_id);
        let Some(used) = number.and_then(|number| self.entries.get(number)) else {
            return Ok(None);
        };
        if !used.intent.is_same(intent) {
            let problem = "was used today for another instruction or account";
            return Err(Error::argument("params.intent_id", problem));
        }
        Ok(Some(match &used.end {
            None => Earlier::Unsettled(used.intent.clone()),
            Some(end) => Earlier::Answered {
                tag: used.intent.tag.clone(),
                end: end.clone(),
            },
        }))
    }

    fn note_taken(&mut self, number: u64, end: &End) {
        if let (Some(entry), End::Accepted { json, .. }) = (self.entries.get(&number), end) {
            self.taken.push((entry.intent.clone(), json.clone()));
        }
    }

    /// Keeps what an intent id may be asked for again, drops the rest.
    fn end(&mut self, number: u64, end: End) {
        self.open.remove(&number);
        let Some(entry) = self.entries.get_mut(&number) else {
            return;
        };
        match &entry.intent.intent_id {
            Some(_) if end != End::NotSent => entry.end = Some(end),
            id => {
                if let Some(id) = id
                    .as_ref()
                    .filter(|id| self.by_id.get(*id) == Some(&number))
                {
                    self.by_id.remove(id);
                }
                self.entries.remove(&number);
            }
        }
    }
}
