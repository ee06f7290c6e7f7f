//! The intent ledger: what was about to be sent, written down before it is.
//!
//! A record is written before the point of no return; how the instruction ended
//! follows in a record of its own. What has no end is open: it may have been
//! taken. No clock of this machine makes a record be forgotten, only the broker's
//! own `Date`: see `age.rs`.

mod age;
mod book;
mod file;
mod lock;
mod record;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::calendar::trading_day;
use crate::base::clock::{self, Moment};
use crate::base::error::Error;
use age::{Age, Clock, Seen, Sight};
use book::Book;
use file::LedgerFile;
use record::{Made, Record};

/// What a ledger entry survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LedgerSync {
    /// The death of the process.
    Process,
    /// The death of the machine.
    Disk,
}

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
    Answered {
        tag: String,
        end: End,
        /// It was on another day by this machine's clock, and the broker has not
        /// told this process yet which day it is.
        is_doubtful: bool,
    },
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
}

struct State {
    file: LedgerFile,
    /// The checksum of the last line.
    sum: u32,
    /// The boot, where the system names it, and the clock of this process.
    boot: Option<String>,
    clock: Clock,
    opened_at: u64,
    book: Book,
    /// What is numbered less was begun by another process.
    first: Option<u64>,
    /// The last `Date` that came, and the last one that is believed.
    came: Option<Sight>,
    believed: Option<Sight>,
    /// Whether one has come to this process that is believed.
    is_told: bool,
}

impl Ledger {
    /// Opens or makes the file and takes hold of it.
    ///
    /// # Errors
    ///
    /// If another client holds it (the message names the process), if it
    /// cannot be read or written, if a record in it is damaged or missing, or if
    /// a newer version has written it: an intent must not be forgotten in silence.
    pub(crate) fn open(path: &Path, sync: LedgerSync) -> Result<Self, Error> {
        Self::open_in(path, sync, clock::boot())
    }

    fn open_in(path: &Path, sync: LedgerSync, boot: Option<String>) -> Result<Self, Error> {
        let wrong = |problem: String| Error::argument("config.ledger_file", problem);
        let (file, bytes) = LedgerFile::open(path, sync).map_err(wrong)?;
        let contents = record::read(&bytes).map_err(|unread| wrong(unread.to_string()))?;
        let mut book = Book::of(contents.lines);
        let clock = match &boot {
            Some(boot) => book.clock_of(boot),
            None => book.new_clock(None),
        };
        let of_this = |sight: &Sight| sight.seen.is_some_and(|seen| seen.clock == clock);
        let earlier = book.dated.filter(of_this);
        let mut state = State {
            file,
            sum: contents.sum,
            boot,
            clock,
            opened_at: clock::unix_seconds(),
            first: book.next(),
            came: earlier,
            believed: earlier,
            is_told: false,
            book,
        };
        // What a killed process left half written.
        let whole = contents.whole as u64;
        state
            .file
            .cut_to(whole)
            .map_err(|error| wrong(file::unusable(error)))?;
        let written = match whole {
            0 => state.begin_anew(None),
            _ => state.append(state.opened()),
        };
        written.map_err(|error| wrong(error.message().to_owned()))?;
        Ok(Self {
            state: Mutex::new(state),
            opened: clock::now(),
        })
    }

    /// How many new orders may have left before this was opened, by trading day.
    pub(crate) fn new_orders(&self) -> BTreeMap<u64, u64> {
        self.state().book.new_orders().clone()
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
    ) -> Result<Option<Earlier>, Error> {
        self.state().earlier(intent_id, intent)
    }

    /// Writes down what is about to be sent.
    ///
    /// # Errors
    ///
    /// If it cannot be written: then nothing may be sent.
    pub(crate) fn begin(&self, intent: Intent) -> Result<Begun, Error> {
        let mut state = self.state();
        if let Some(id) = &intent.intent_id {
            if let Some(earlier) = state.earlier(id, &intent)? {
                return Ok(Begun::Earlier(earlier));
            }
        }
        let Some(number) = state.book.next() else {
            return Err(state.file.unwritten("its numbers are used up"));
        };
        let (clock, ms) = (state.clock, clock::now().ms());
        let by = Age::guess(state.believed, clock, ms, intent.sent_at_ms / 1000);
        let record = Record::Begin {
            number,
            by,
            intent: intent.clone(),
        };
        state.append(record)?;
        let age = Age::new(Some((clock, ms)), by, state.believed);
        state.book.begin(number, intent, age);
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
        let mut open = state.book.open().rev();
        let is = |intent: &Intent| intent.tag == tag && intent.sent_at_ms == sent_at_ms;
        let Some((number, _)) = open.find(|(_, intent)| is(intent)) else {
            return Ok(false);
        };
        drop(open);
        state.write_end(number, end).map(|()| true)
    }

    /// The broker's clock (unix seconds) in an answer to what was asked then.
    /// Gives what was open and is forgotten now, because it shows another trading
    /// day.
    ///
    /// # Errors
    ///
    /// If it cannot be written down: then nothing is forgotten.
    pub(crate) fn saw(&self, date: u64, asked: Moment) -> Result<Vec<Intent>, Error> {
        self.state().saw(date, asked)
    }

    /// Each instruction that an earlier process knew to be taken, and its answer, unless it
    /// is over by the broker's clock. That of this machine may be wrong just now, so it
    /// leaves none out. Given out once.
    pub(crate) fn take_taken(&self) -> Vec<(Intent, String)> {
        self.state().book.take_taken()
    }

    /// The number of each order that an earlier process of this day changed, or
    /// meant to. Given out once.
    pub(crate) fn take_changed(&self) -> Vec<String> {
        self.state().book.take_changed()
    }

    /// When this process took over the ledger.
    pub(crate) fn opened(&self) -> Moment {
        self.opened
    }

    /// Whether a tag is that of an open instruction.
    pub(crate) fn is_open(&self, tag: &str) -> bool {
        self.find(Some(tag), None).is_some()
    }

    /// The newest open instruction with this tag, or about this order, and the broker's
    /// time of its beginning, where that is known.
    pub(crate) fn find(
        &self,
        tag: Option<&str>,
        order_id: Option<&str>,
    ) -> Option<(Intent, Option<u64>)> {
        let state = self.state();
        let (number, intent) = state.book.open().rev().find(|(_, intent)| match tag {
            Some(tag) => intent.tag == tag,
            None => order_id.is_some() && intent.order_id.as_deref() == order_id,
        })?;
        Some((intent.clone(), state.book.began(number)))
    }

    /// What is open, the oldest first.
    pub(crate) fn open_intents(&self) -> Vec<Intent> {
        let state = self.state();
        state
            .book
            .open()
            .map(|(_, intent)| intent.clone())
            .collect()
    }
}

impl State {
    fn write_end(&mut self, number: u64, end: &End) -> Result<(), Error> {
        if *end == End::Unknown {
            return Ok(());
        }
        self.append(Record::End {
            number,
            end: end.clone(),
        })?;
        self.book.end(number, end.clone());
        Ok(())
    }

    /// The line of a record that is written now.
    fn line(&self, after: u32, record: Record) -> Result<Made, Error> {
        let now = clock::now().ms();
        let stamp = self.boot.clone().map(|boot| (boot, now));
        let line = record::line(after, stamp, record);
        line.map_err(|error| self.file.unwritten(error))
    }

    fn append(&mut self, record: Record) -> Result<(), Error> {
        self.file.must_be_ours()?;
        let line = self.line(self.sum, record)?;
        self.file.append(&line.bytes)?;
        self.sum = line.sum;
        Ok(())
    }

    /// Begins the file anew: nothing that it held counts any more.
    fn begin_anew(&mut self, date: Option<Record>) -> Result<(), Error> {
        self.file.must_be_ours()?;
        let header = record::header().map_err(|error| self.file.unwritten(error))?;
        let (mut bytes, mut sum) = (header.bytes, header.sum);
        for record in [Some(self.opened()), date].into_iter().flatten() {
            let line = self.line(sum, record)?;
            bytes.extend(line.bytes);
            sum = line.sum;
        }
        self.file.begin_anew(&bytes)?;
        self.sum = sum;
        self.book.clear();
        Ok(())
    }

    fn opened(&self) -> Record {
        Record::Opened {
            pid: self.file.pid,
            at: self.opened_at,
        }
    }

    fn saw(&mut self, at: u64, asked: Moment) -> Result<Vec<Intent>, Error> {
        let (asked_ms, ms) = (asked.ms(), clock::now().ms());
        let clock = self.clock;
        let seen = Some(Seen {
            clock,
            asked_ms,
            ms,
        });
        let sight = Sight { at, seen };
        // One answer alone may come from a machine whose clock is wrong, or from
        // a cache.
        let goes_on = |came: Sight| came.agrees_with(&sight);
        let fits = self.came.is_some_and(goes_on) || age::agree(at, clock::unix_seconds());
        self.came = Some(sight);
        if !fits {
            return Ok(Vec::new());
        }
        let asked_up_ms = self.boot.is_some().then_some(asked_ms);
        if self.book.gains_by(&sight) {
            self.append(Record::Date { at, asked_up_ms })?;
            self.book.dated = Some(sight);
        }
        (self.believed, self.is_told) = (Some(sight), true);
        let forgotten = self.book.saw(&sight);
        if self.book.is_over(at) {
            self.begin_anew(Some(Record::Date { at, asked_up_ms }))?;
        }
        Ok(forgotten)
    }

    fn earlier(&self, intent_id: &str, intent: &Intent) -> Result<Option<Earlier>, Error> {
        let Some((number, used)) = self.book.by_id(intent_id) else {
            return Ok(None);
        };
        if !used.intent.is_same(intent) {
            let problem = "was used today for another instruction or account";
            return Err(Error::argument("params.intent_id", problem));
        }
        let another_day = || used.intent.local_day() != trading_day(clock::unix_seconds());
        let of_another_process = self.first.is_none_or(|first| number < first);
        Ok(Some(match &used.end {
            None => Earlier::Unsettled(used.intent.clone()),
            Some(end) => Earlier::Answered {
                tag: used.intent.tag.clone(),
                end: end.clone(),
                is_doubtful: of_another_process && !self.is_told && another_day(),
            },
        }))
    }
}

/// What a ledger file says to somebody who does not hold it.
pub(crate) struct Looked {
    /// What is open, the oldest first.
    pub(crate) open: Vec<Intent>,
    pub(crate) held_by: Option<HeldBy>,
}

/// Who holds a ledger, as far as it is known.
pub(crate) struct HeldBy {
    pub(crate) pid: Option<u32>,
    /// Unix seconds.
    pub(crate) since: Option<u64>,
}

/// Reads a ledger file that another process may hold and write at this moment.
/// Takes no hold of it and keeps nobody from it.
///
/// # Errors
///
/// If it cannot be read, is damaged, or was written by a newer version.
pub(crate) fn look(path: &Path) -> Result<Looked, Error> {
    let wrong = |problem: String| Error::argument("ledger_file", problem);
    let mut tries = 0;
    loop {
        let (bytes, holder) = file::look(path).map_err(wrong)?;
        tries += 1;
        let read = record::read(&bytes);
        // It may be begun anew at this moment.
        if holder.is_some() && tries < TRIES && read.as_ref().is_ok_and(|it| it.whole == 0) {
            thread::sleep(PAUSE);
            continue;
        }
        match read {
            Ok(contents) => {
                let book = Book::of(contents.lines);
                let held_by = holder.map(|holder| {
                    let is_it = |(pid, _): &(u32, u64)| holder.pid.is_none_or(|it| it == *pid);
                    let opened = book.opened.filter(is_it);
                    HeldBy {
                        pid: holder.pid.or(opened.map(|(pid, _)| pid)),
                        since: opened.map(|(_, at)| at),
                    }
                });
                let open = book.open().map(|(_, intent)| intent.clone()).collect();
                return Ok(Looked { open, held_by });
            }
            // It may have been begun anew while it was read.
            Err(_) if tries < TRIES && holder.is_some() => thread::sleep(PAUSE),
            Err(unread) => return Err(wrong(unread.to_string())),
        }
    }
}

/// So often, and so long apart, a file is read that its holder changes meanwhile.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(10);
