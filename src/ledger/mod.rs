//! The intent ledger: what was about to be sent, written down before it is.
//!
//! One process holds the file. A record is one line in one write, before the
//! point of no return; how the instruction ended follows in a line of its own.
//! What has no end is open: it may have been taken. Records live for one
//! trading day (IST), and for an hour at least; older ones are dropped when the
//! file is opened, and at the first record of a new day.

mod record;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use fs4::fs_std::FileExt;
use serde::{Deserialize, Serialize};

use crate::config::LedgerSync;
use crate::error::Error;
use crate::session;
use crate::status::Status;
use record::{HEADER, Record};

/// Far more than a day of orders makes; a larger file is none of ours.
const LARGEST: u64 = 1 << 30;

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
        self.day() >= session::day(now_ms / 1000)
            || now_ms.saturating_sub(self.sent_at_ms) < LEAST_MS
    }

    fn day(&self) -> u64 {
        session::day(self.sent_at_ms / 1000)
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
    path: PathBuf,
    sync: LedgerSync,
    /// After a fork the child has the file too, and must not write.
    pid: u32,
    state: Mutex<State>,
    /// What an earlier process sent, it sent before this.
    opened: Instant,
    lock: Lock,
}

/// The lock file. It is held for as long as it is open.
struct Lock {
    path: PathBuf,
    id: Id,
    file: File,
}

struct State {
    file: File,
    id: Id,
    /// How many bytes are whole records.
    length: u64,
    /// Why nothing can be written any more.
    broken: Option<String>,
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
    /// Tag and answer of the orders that were taken today, as the file told
    /// when it was opened.
    taken: Vec<(String, String)>,
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
        let path = &real(path)?;
        let lock = hold(path)?;
        // Opening a pipe would wait for its other end.
        match fs::metadata(path) {
            Ok(found) if !found.is_file() => return Err(wrong("is not a regular file")),
            Ok(found) if found.len() > LARGEST => return Err(wrong("is too large for a ledger")),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(&error)),
            _ => {}
        }
        let mut file = options().open(path).map_err(|error| unusable(&error))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(|error| unusable(&error))?;
        let contents = record::read(&bytes).map_err(|offset| {
            wrong(format!(
                "has a damaged record at byte {offset}; nothing can be sent with it. Settle today's \
                 orders by the order book, then move the file away"
            ))
        })?;
        let today = session::day(now_ms / 1000);
        let id = Id::of(&file).map_err(|error| unusable(&error))?;
        let mut state = State {
            file,
            id,
            length: contents.whole as u64,
            broken: None,
            next: 1,
            day: today,
            day_of_file: today,
            oldest: u64::MAX,
            entries: BTreeMap::new(),
            open: BTreeSet::new(),
            by_id: HashMap::new(),
            taken: Vec::new(),
        };
        let mut dropped = false;
        for record in contents.records {
            match record {
                Record::Header { .. } => {}
                Record::Begin { number, intent } => {
                    state.next = state.next.max(number.saturating_add(1));
                    if intent.lives(now_ms) {
                        state.add(number, intent);
                    } else {
                        dropped = true;
                    }
                }
                Record::End { number, end } => {
                    state.note_taken(number, &end);
                    state.end(number, end);
                }
            }
        }
        let ledger = Self {
            path: path.to_owned(),
            sync,
            pid: std::process::id(),
            state: Mutex::new(state),
            opened: Instant::now(),
            lock,
        };
        {
            let mut state = ledger.state();
            let written = if dropped || bytes.is_empty() || state.length == 0 {
                ledger.write_anew(&mut state)
            } else {
                // What a killed process left half written.
                state.cut()
            };
            written.map_err(|error| unusable(&error))?;
        }
        Ok(ledger)
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
            self.must_be_ours(&mut state)?;
            self.write_anew(&mut state)
                .map_err(|error| self.unwritten(error))?;
        }
        let number = state.next;
        let Some(next) = number.checked_add(1) else {
            return Err(self.unwritten("its numbers are used up"));
        };
        let record = Record::Begin { number, intent };
        self.append(&mut state, &record)?;
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
        self.write_end(&mut self.state(), ticket.0, end)
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
        self.write_end(&mut state, number, end).map(|()| true)
    }

    /// Tag and answer of each new order that an earlier process of this day
    /// knew to be taken. Given out once.
    pub(crate) fn take_taken(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.state().taken)
    }

    /// When this process took over the ledger.
    pub(crate) fn opened(&self) -> Instant {
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

    /// What is open of this trading day, the oldest first.
    pub(crate) fn open_intents(&self, now_ms: u64) -> Vec<Intent> {
        let mut state = self.state();
        state.forget_old(now_ms);
        state.open().map(|(_, intent)| intent.clone()).collect()
    }

    fn write_end(&self, state: &mut State, number: u64, end: &End) -> Result<(), Error> {
        if *end == End::Unknown {
            return Ok(());
        }
        let record = Record::End {
            number,
            end: end.clone(),
        };
        self.append(state, &record)?;
        state.end(number, end.clone());
        Ok(())
    }

    fn append(&self, state: &mut State, record: &Record) -> Result<(), Error> {
        self.must_be_ours(state)?;
        let line = record::line(record).map_err(|error| self.unwritten(error))?;
        let written = state.write(&line, self.sync);
        written.map_err(|error| self.unwritten(error))
    }

    fn must_be_ours(&self, state: &mut State) -> Result<(), Error> {
        if self.pid != std::process::id() {
            let problem = "belongs to the process that was forked";
            return Err(Error::new(
                Status::InvalidHandle,
                format!("ledger_file: {problem}"),
            ));
        }
        if state.broken.is_none() && !self.is_ours(state) {
            let reason = "somebody has changed, moved or removed it or its lock file; nobody but \
                          this process may touch them while they are in use";
            state.broken = Some(reason.to_owned());
        }
        match &state.broken {
            Some(reason) => Err(self.unwritten(reason)),
            None => Ok(()),
        }
    }

    /// Whether file and lock are those that were opened, and nobody else has
    /// written. Otherwise another process may hold a ledger of the same name,
    /// or the next one not find what is written here.
    fn is_ours(&self, state: &State) -> bool {
        let is = |path: &Path, id: &Id, length: Option<u64>| {
            let found = fs::metadata(path);
            found.is_ok_and(|found| {
                Id::from(&found) == *id && length.is_none_or(|length| found.len() == length)
            })
        };
        is(&self.path, &state.id, Some(state.length)) && is(&self.lock.path, &self.lock.id, None)
    }

    fn unwritten(&self, reason: impl Display) -> Error {
        let path = self.path.display();
        Error::new(
            Status::Internal,
            format!("the ledger {path} could not be written: {reason}"),
        )
    }

    /// Writes a new file with what counts today, and puts it in the place of
    /// the old one.
    fn write_anew(&self, state: &mut State) -> io::Result<()> {
        let header = Record::Header {
            format: HEADER.to_owned(),
        };
        let mut bytes = record::line(&header)?;
        for (number, entry) in &state.entries {
            let (number, intent) = (*number, entry.intent.clone());
            bytes.extend(record::line(&Record::Begin { number, intent })?);
            if let Some(end) = entry.end.clone() {
                bytes.extend(record::line(&Record::End { number, end })?);
            }
        }
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
        let new = PathBuf::from(name);
        // What a killed process left, or a link that somebody put in the way.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = options().create_new(true).open(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        let id = Id::of(&file)?;
        fs::rename(&new, &self.path)?;
        (state.file, state.id) = (file, id);
        state.length = bytes.len() as u64;
        sync_folder(&self.path)?;
        state.day_of_file = state.day;
        Ok(())
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // A forked child that has not called exec yet has the lock file open
        // too; it must neither keep the lock nor end it.
        if self.pid == std::process::id() {
            // If it fails, closing the file does the same.
            let _ = FileExt::unlock(&self.lock.file);
        }
    }
}

impl State {
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
        self.day = session::day(now_ms / 1000);
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
            if entry.intent.order_id.is_none() {
                self.taken.push((entry.intent.tag.clone(), json.clone()));
            }
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

    /// Appends a line, or leaves the file as it was.
    fn write(&mut self, line: &[u8], sync: LedgerSync) -> io::Result<()> {
        let written = match self.file.write(line) {
            Ok(count) if count == line.len() => match sync {
                LedgerSync::Process => Ok(()),
                LedgerSync::Disk => self.file.sync_data(),
            },
            Ok(_) => Err(io::Error::other("the disk may be full")),
            Err(error) => Err(error),
        };
        match written {
            Ok(()) => {
                self.length += line.len() as u64;
                Ok(())
            }
            Err(error) => {
                if let Err(worse) = self.cut() {
                    self.broken = Some(format!("an earlier write failed: {worse}"));
                }
                Err(error)
            }
        }
    }

    /// Cuts off what is no whole record.
    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::End(0)).map(drop)
    }
}

/// Which file it is, whatever its name. Only its name counts where the system
/// does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Id(u64, u64);

impl Id {
    fn of(file: &File) -> io::Result<Self> {
        file.metadata().map(|found| Self::from(&found))
    }
}

#[cfg(unix)]
impl From<&fs::Metadata> for Id {
    fn from(found: &fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self(found.dev(), found.ino())
    }
}

#[cfg(not(unix))]
impl From<&fs::Metadata> for Id {
    fn from(_: &fs::Metadata) -> Self {
        Self::default()
    }
}

/// The path without links: two names of one file must have one lock.
fn real(path: &Path) -> Result<PathBuf, Error> {
    match fs::canonicalize(path) {
        Ok(real) => return Ok(real),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(&error)),
        Err(_) => {}
    }
    if fs::symlink_metadata(path).is_ok() {
        return Err(wrong("is a link that leads to nothing"));
    }
    let Some(name) = path.file_name() else {
        return Err(wrong("names no file"));
    };
    let folder = fs::canonicalize(folder_of(path)).map_err(|error| unusable(&error))?;
    Ok(folder.join(name))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // It tells what somebody trades.
        options.mode(0o600);
    }
    options
}

/// Makes a rename last.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    File::open(folder_of(path))?.sync_all()
}

/// Takes the lock beside the file. The system frees it when the process ends,
/// however it ends.
fn hold(path: &Path) -> Result<Lock, Error> {
    let mut name = path.to_owned().into_os_string();
    name.push(".lock");
    let name = PathBuf::from(name);
    // Not through a link: what it leads to would be written over.
    if fs::symlink_metadata(&name).is_ok_and(|found| !found.is_file()) {
        return Err(wrong("has a lock file that is not a regular file"));
    }
    let mut lock = options().open(&name).map_err(|error| unusable(&error))?;
    if !lock
        .try_lock_exclusive()
        .map_err(|error| unusable(&error))?
    {
        let mut holder = String::new();
        // Windows keeps a locked file from being read.
        let read = lock.read_to_string(&mut holder);
        let holder = match read {
            Ok(_) if !holder.trim().is_empty() => holder.trim().to_owned(),
            _ => "another client".to_owned(),
        };
        return Err(wrong(format!("is held by {holder}")));
    }
    let text = format!(
        "process {} since unix second {}\n",
        std::process::id(),
        session::now()
    );
    let mut write = || -> io::Result<()> {
        lock.set_len(0)?;
        lock.seek(SeekFrom::Start(0))?;
        lock.write_all(text.as_bytes())
    };
    write().map_err(|error| unusable(&error))?;
    Ok(Lock {
        id: Id::of(&lock).map_err(|error| unusable(&error))?,
        path: name,
        file: lock,
    })
}

fn wrong(problem: impl Display) -> Error {
    Error::argument("config.ledger_file", problem)
}

fn unusable(error: &io::Error) -> Error {
    wrong(format!("cannot be used: {error}"))
}
