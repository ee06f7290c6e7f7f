//! Instruments: fetches the scrip files of the day and searches them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::call::Call;
use super::cancel::UnderWay;
use super::{Client, Inner};
use crate::base::calendar::{iso_day, trading_day};
use crate::base::clock::{self, Moment};
use crate::base::connection::Trace;
use crate::base::error::Error;
use crate::base::process;
use crate::base::reply::{Meta, Reply};
use crate::base::status::Status;
use crate::broker::operation::{self, Kind};
use crate::broker::params::{self, Common, PARAMS};
use crate::broker::reads::{self, Expect};
use crate::scrips::{Broken, LARGEST_FILE, Lacks, Query, Store, Table};
use crate::transport::{Fetched, Point};

/// After a failure an older file serves this long without a new try.
const PATIENCE: Duration = Duration::from_secs(60);
/// While the broker itself has no newer file, it serves this long.
const PATIENCE_WITH_BROKER: Duration = Duration::from_secs(600);
const MOST_REDIRECTS: usize = 5;

/// The scrip files of one client.
#[derive(Default)]
pub(super) struct Scrips {
    segments: Mutex<BTreeMap<&'static str, Arc<Segment>>>,
}

/// One segment. The gate lets one call at a time fetch its file.
#[derive(Default)]
struct Segment {
    gate: Arc<tokio::sync::Mutex<()>>,
    view: Mutex<View>,
}

#[derive(Default)]
struct View {
    table: Option<Arc<Table>>,
    /// The day of the table (IST, since 1970).
    day: u64,
    stage: Stage,
    bytes: u64,
    total: Option<u64>,
    /// Why there is no file of today, or why it is not kept.
    error: Option<String>,
    /// Why the file of `day` is not kept in `cache_dir`.
    unkept: Option<String>,
    /// When that was found, on which day, and how long it is believed.
    failed_at: Option<(Moment, u64, Duration)>,
    from_cache: bool,
}

#[derive(Clone, Copy, Default)]
enum Stage {
    #[default]
    None,
    Downloading,
    Indexing,
    Ready,
    Failed,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Downloading => "downloading",
            Self::Indexing => "indexing",
            Self::Ready => "ready",
            Self::Failed => "failed",
        }
    }
}

/// A table and what has to be said about it.
struct Found {
    table: Arc<Table>,
    day: u64,
    problem: Option<String>,
    unkept: Option<String>,
}

/// The end of a search that reads a file and waits for nothing just then.
struct Ending<'a> {
    client: &'a Inner,
    whole: &'a UnderWay<'a>,
    /// How long the search may take, and until when.
    limit: Option<(Duration, Moment)>,
    why: Mutex<Option<Error>>,
}

impl<'a> Ending<'a> {
    fn new(client: &'a Inner, whole: &'a UnderWay<'a>, limit: Option<(Duration, Moment)>) -> Self {
        Self {
            client,
            whole,
            limit,
            why: Mutex::default(),
        }
    }

    /// Asked by all threads that read, between two steps.
    fn has_come(&self) -> bool {
        let mut why = self.why();
        if why.is_none() {
            *why = self.look().err();
        }
        why.is_some()
    }

    fn why(&self) -> MutexGuard<'_, Option<Error>> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self) -> Result<(), Error> {
        self.client.must_be_open()?;
        self.whole.must_go_on()?;
        match self.limit {
            Some((limit, deadline)) if clock::now() >= deadline => {
                let ms = limit.as_millis();
                let message = format!("the scrip file was not read within {ms} ms");
                Err(Error::new(Status::Timeout, message))
            }
            _ => Ok(()),
        }
    }

    /// Why it has come.
    fn error(&self) -> Error {
        self.why().take().unwrap_or_else(super::call::closed)
    }
}

fn meta(whole: &UnderWay<'_>, common: &Common) -> Meta {
    let mut meta = super::meta(operation::SEARCH_SCRIP.name);
    meta.elapsed = whole.began.elapsed();
    if let Some(id) = &common.call_id {
        meta.extra.insert("call_id".to_owned(), id.as_str().into());
    }
    meta
}

impl Found {
    /// What an answer cannot know is told with it: an older file, and what of the
    /// file could not be read.
    fn tell(&self, call: &Call, today: u64) {
        let faults = self.table.faults();
        let mut extra = call.extra.borrow_mut();
        let mut tell = |key: &str, value: Value| extra.insert(key.to_owned(), value);
        tell("scrip_day", iso_day(self.day).into());
        tell("stale", (self.day != today).into());
        tell("scrip_rows", self.table.len().into());
        tell("bad_rows", faults.rows.into());
        tell("bad_cells", faults.cells.into());
        tell("date_conflicts", faults.dates.into());
        let mut notes = call.notes.borrow_mut();
        if let Some(problem) = &self.problem {
            notes.push(format!(
                "there is no scrip file of today, an older one serves: {problem}"
            ));
        }
        if let Some(problem) = &self.unkept {
            notes.push(format!(
                "{problem}; the scrip file is kept in memory only, and the next process fetches \
                 it again"
            ));
        }
        if faults.rows > 0 {
            let (bad, good) = (faults.rows, self.table.len());
            notes.push(format!(
                "{bad} rows of the scrip file could not be read, beside {good} that could: \
                 no search finds them"
            ));
        }
        if faults.cells > 0 {
            notes.push(format!(
                "{} cells of the scrip file could not be read and count as blank",
                faults.cells
            ));
        }
        if let Some((symbol, day)) = self.table.misdated() {
            notes.push(format!(
                "the expiry of {} rows contradicts the contract's name, first {symbol}: {day}",
                faults.dates
            ));
        }
    }
}

impl Segment {
    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A table that needs no fetching now.
    fn at_hand(&self, today: u64) -> Option<Found> {
        let view = self.view();
        let table = view.table.as_ref()?;
        let waits = view
            .failed_at
            .is_some_and(|(when, day, patience)| day == today && when.elapsed() < patience);
        (view.day == today || waits).then(|| Found {
            table: Arc::clone(table),
            day: view.day,
            problem: view.error.clone().filter(|_| view.day != today),
            unkept: view.unkept.clone(),
        })
    }

    fn put(&self, table: Table, day: u64, from_cache: bool) -> Arc<Table> {
        let table = Arc::new(table);
        let mut view = self.view();
        view.table = Some(Arc::clone(&table));
        view.day = day;
        view.stage = Stage::Ready;
        view.from_cache = from_cache;
        view.unkept = None;
        table
    }

    fn show(&self, name: &str, today: u64) -> Value {
        let view = self.view();
        let day = view.table.as_ref().map(|_| iso_day(view.day));
        let faults = view.table.as_ref().map(|table| table.faults());
        let faults = faults.unwrap_or_default();
        json!({
            "exchange_segment": name,
            "state": view.stage.name(),
            "bytes": view.bytes,
            "total_bytes": view.total,
            "day": day,
            "stale": view.table.is_some() && view.day != today,
            "from_cache": view.from_cache,
            "rows": view.table.as_ref().map_or(0, |table| table.len()),
            "bad_rows": faults.rows,
            "bad_cells": faults.cells,
            "date_conflicts": faults.dates,
            "error": view.error,
        })
    }
}

impl Client {
    /// Searches the instruments of a segment. `params` has the official SDK's
    /// keyword names, and `token` and `trading_symbol` for exact lookups.
    ///
    /// The first search of a day fetches the segment's file, unless `cache_dir`
    /// has it.
    ///
    /// # Errors
    ///
    /// [`Status::InvalidArgument`] naming the parameter; those of a read if
    /// there is no file, not even an older one.
    pub fn search_scrip(&self, params: &str) -> Result<Reply, Error> {
        self.0.search_scrip(params)
    }

    /// What is known of the scrip files, and how far downloads are.
    ///
    /// # Errors
    ///
    /// [`Status::Closed`] after the client was closed.
    pub fn scrip_status(&self) -> Result<Reply, Error> {
        self.0.local("scrip_status", |_| {
            let today = trading_day(clock::unix_seconds());
            let segments = self.0.scrips.segments();
            let shown: Vec<_> = segments
                .iter()
                .map(|(name, segment)| segment.show(name, today))
                .collect();
            let folder = self.0.config.cache_dir.as_ref();
            let folder = folder.map(|folder| folder.display().to_string());
            let status = json!({"today": iso_day(today), "cache_dir": folder, "segments": shown});
            Ok(Reply::local(status.to_string()))
        })
    }
}

impl Scrips {
    fn segments(&self) -> MutexGuard<'_, BTreeMap<&'static str, Arc<Segment>>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn search_scrip(&self, params: &str) -> Result<Reply, Error> {
        let op = &operation::SEARCH_SCRIP;
        let (common, query) = params::read(params, Query::read);
        let query = match query {
            Ok(query) => query,
            Err(error) => return self.local_of(op.name, &common, |_| Err(error)),
        };
        // Its parts are one call to the outside, for the shutdown too.
        let _counted = process::shared().calls.count();
        let whole = match self.named.begin(common.call_id.as_deref()) {
            Ok(whole) => whole,
            Err(error) => return self.not_begun(op.name, &common, error),
        };
        let segment = Arc::clone(self.scrips.segments().entry(query.segment).or_default());
        let today = trading_day(clock::unix_seconds());
        let found = match segment.at_hand(today) {
            Some(found) => found,
            None => self.obtain(&whole, &segment, query.segment, today, &common)?,
        };
        self.end_of(&whole, op.name, &common, |call| {
            let day = iso_day(found.day);
            found.tell(call, today);
            let rows = query.rows(&found.table).map_err(|Lacks(column)| {
                let segment = query.segment;
                let message = format!(
                    "the scrip file of {segment} of {day} has no column {column}, \
                     which this search needs"
                );
                Error::new(Status::Protocol, message)
            })?;
            if let Some(error) = query.doubt().filter(|_| rows.is_empty()) {
                return Err(error);
            }
            let list = found.table.json(&rows).ok_or_else(|| {
                let count = rows.len();
                let problem = format!("{count} scrips fit: too many for one answer; ask for less");
                Error::argument(PARAMS, problem)
            })?;
            Ok(Reply::local(list))
        })
    }

    /// The table of today: from the cache or the broker, else an older one.
    /// Reading and indexing a file is done outside of the event loop, which
    /// other calls share.
    fn obtain(
        &self,
        whole: &UnderWay<'_>,
        segment: &Segment,
        name: &'static str,
        today: u64,
        common: &Common,
    ) -> Result<Found, Error> {
        let op = &operation::SEARCH_SCRIP;
        let started = clock::now();
        let limit = common.timeout.unwrap_or(self.config.timeouts.download);
        let end = Ending::new(self, whole, Some((limit, started + limit)));
        let mut gate = None;
        // Held until the table is there, so that others wait for this one.
        self.part_of(Some(whole), op, common, async |_| {
            gate = Some(Arc::clone(&segment.gate).lock_owned().await);
            Ok(Reply::local(String::new()))
        })?;
        if let Some(found) = segment.at_hand(today) {
            return Ok(found);
        }
        let store = self.store();
        let kept = store.as_ref().and_then(|store| store.of_day(name, today));
        if let Some(kept) = kept {
            if let Ok(read) = Table::read_while(name, kept.csv, &|| !end.has_come()) {
                let stopped = || end.error().finished(false, true, meta(whole, common));
                let table = read.ok_or_else(stopped)?;
                let table = segment.put(table, today, true);
                return Ok(Found {
                    table,
                    day: today,
                    problem: None,
                    unkept: None,
                });
            }
        }
        {
            let mut view = segment.view();
            view.stage = Stage::Downloading;
            (view.bytes, view.total) = (0, None);
        }
        let rest = || Common {
            timeout: Some(limit.saturating_sub(started.elapsed())),
            ..common.clone()
        };
        let mut place = String::new();
        let listed = self.part_of(Some(whole), op, &rest(), async |call| {
            place = self.place_of_scrips(call, name).await?;
            Ok(Reply::local(String::new()))
        });
        // Early in a day the list may still have the file of the day before.
        let day = reads::scrip_file_day(&place).unwrap_or(today).min(today);
        let read = listed.and_then(|_| {
            if let Some(held) = self.held(segment, name, day, store.as_ref(), &end) {
                return Ok(held);
            }
            let mut csv = Vec::new();
            self.part_of(Some(whole), op, &rest(), async |call| {
                csv = self.fetch_scrips(call, segment, name, place).await?;
                Ok(Reply::local(String::new()))
            })?;
            segment.view().stage = Stage::Indexing;
            let finished = |error: Error| error.finished(true, true, meta(whole, common));
            match Table::read_while(name, csv, &|| !end.has_come()) {
                Ok(Some(table)) => Ok((segment.put(table, day, false), false)),
                Ok(None) => Err(finished(end.error())),
                Err(Broken(why)) => {
                    let message = format!("the broker's scrip file of {name} {why}");
                    Err(finished(Error::new(Status::Protocol, message)))
                }
            }
        });
        let error = match read {
            Ok((table, is_kept)) => {
                let store = store.filter(|_| !is_kept);
                let written = store.map(|store| store.keep(name, day, table.bytes()));
                let unwritten = match written {
                    Some(Err(error)) => Some(format!("cache_dir could not be written: {error}")),
                    _ => None,
                };
                let older = (day < today)
                    .then(|| format!("the broker's list still has that of {}", iso_day(day)));
                let mut view = segment.view();
                view.stage = Stage::Ready;
                view.error = older.clone().or_else(|| unwritten.clone());
                view.unkept.clone_from(&unwritten);
                view.failed_at = older
                    .as_ref()
                    .map(|_| (clock::now(), today, PATIENCE_WITH_BROKER));
                return Ok(Found {
                    table,
                    day,
                    problem: older,
                    unkept: unwritten,
                });
            }
            Err(error) => error,
        };
        let problem = error.message().to_owned();
        let older = match segment.view().table.clone() {
            Some(_) => None,
            None => store.and_then(|store| store.newest_before(name, today)),
        };
        if let Some(kept) = older {
            // It serves those too whose time is over, but not those who gave up.
            let end = Ending::new(self, whole, None);
            if let Ok(Some(table)) = Table::read_while(name, kept.csv, &|| !end.has_come()) {
                segment.put(table, kept.day, true);
            }
        }
        let mut view = segment.view();
        view.stage = Stage::Failed;
        view.error = Some(problem.clone());
        // Who gives up has not found that it fails: the next one tries.
        let failed = error.status() != Status::Closed;
        view.failed_at = failed.then(|| (clock::now(), today, PATIENCE));
        match view.table.clone() {
            // Who closes the client wants no answer.
            Some(table) if error.status() != Status::Closed => Ok(Found {
                table,
                day: view.day,
                problem: Some(problem),
                unkept: view.unkept.clone(),
            }),
            _ => Err(error),
        }
    }

    /// The table of a day that is here already, in memory or in the cache, and whether it
    /// need not be written.
    fn held(
        &self,
        segment: &Segment,
        name: &'static str,
        day: u64,
        store: Option<&Store>,
        end: &Ending<'_>,
    ) -> Option<(Arc<Table>, bool)> {
        {
            let view = segment.view();
            if let Some(table) = view.table.as_ref().filter(|_| view.day == day) {
                return Some((Arc::clone(table), view.unkept.is_none()));
            }
        }
        let kept = store?.of_day(name, day)?;
        let table = Table::read_while(name, kept.csv, &|| !end.has_come());
        Some((segment.put(table.ok()??, day, true), true))
    }

    fn store(&self) -> Option<Store> {
        let folder = self.config.cache_dir.as_ref()?;
        let broker = self.hosts.session();
        let host = broker.host_str().unwrap_or("");
        let host = format!("{host}_{}", broker.port_or_known_default().unwrap_or(0));
        let environment = self.hosts.environment.name();
        Some(Store::new(folder, environment, &host))
    }

    /// The URL of the file of a segment, in the broker's list.
    async fn place_of_scrips(&self, call: &Call, name: &'static str) -> Result<String, Error> {
        let listing = self
            .ask(
                call,
                &operation::SEARCH_SCRIP,
                Expect::Data,
                reads::Parts::default(),
            )
            .await?;
        reads::scrip_file(listing.json().as_bytes(), name).ok_or_else(|| {
            let message = format!("the broker's list of scrip files has none for {name}");
            Error::new(Status::Protocol, message)
        })
    }

    async fn fetch_scrips(
        &self,
        call: &Call,
        segment: &Segment,
        name: &'static str,
        place: String,
    ) -> Result<Vec<u8>, Error> {
        // The list was asked for before, in another part of this call.
        let asked = Point::default();
        asked.pass();
        call.points.borrow_mut().push((Kind::Read, asked));
        let mut place = place;
        for _ in 0..=MOST_REDIRECTS {
            let url = self
                .hosts
                .named("filesPaths", &place)
                .map_err(|problem| Error::new(Status::Protocol, problem))?;
            let progress = |bytes: u64, total: Option<u64>| {
                let mut view = segment.view();
                (view.bytes, view.total) = (bytes, total);
            };
            let aside = Trace::default();
            let trace = call.trace().unwrap_or(&aside);
            let fetched = self
                .net
                .fetch(url.clone(), LARGEST_FILE, trace, &progress)
                .await
                .map_err(|failure| Error::new(failure.status, failure.message))?;
            match fetched {
                Fetched::Body(bytes) => return Ok(bytes),
                Fetched::Redirect(to) => {
                    let joined = url.join(&to).map(String::from);
                    place = joined.map_err(|_| {
                        let message = "the scrip file was redirected to no valid URL";
                        Error::new(Status::Protocol, message)
                    })?;
                }
                Fetched::Refused(http) => {
                    let message = format!("the scrip file of {name} cannot be had (HTTP {http})");
                    let status = match http {
                        424 | 500..=599 => Status::Unavailable,
                        429 => Status::RateLimited,
                        _ => Status::Rejected,
                    };
                    return Err(Error::new(status, message));
                }
            }
        }
        let message = "the scrip file was redirected too often";
        Err(Error::new(Status::Protocol, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How the reading of a file ends for a call of this client, if it does.
    fn ended(client: &Client, name: Option<&str>, act: impl FnOnce()) -> Option<(Status, Status)> {
        let whole = client.0.named.begin(name).expect("it is free");
        let now = clock::now();
        let minute = Duration::from_secs(60);
        let [one, other] =
            [Some((minute, now + minute)), None].map(|limit| Ending::new(&client.0, &whole, limit));
        assert!(!one.has_come());
        act();
        // A cancel is seen once: by whom it ends.
        let came = one.has_come();
        assert_eq!(one.has_come(), came, "it stays so");
        came.then(|| {
            let again = match other.has_come() {
                true => other.error().status(),
                false => Status::Ok,
            };
            (one.error().status(), again)
        })
    }

    #[test]
    fn reading_a_file_ends_as_waiting_does() {
        let client = Client::open(None).expect("all defaults");
        assert_eq!(ended(&client, None, || {}), None);
        let closed = Some((Status::Closed, Status::Closed));
        assert_eq!(ended(&client, None, || client.interrupt()), closed);
        let cancel = || drop(client.cancel("it").expect("it is open"));
        let once = Some((Status::Closed, Status::Ok));
        assert_eq!(ended(&client, Some("it"), cancel), once);
        // An older file is read for those too whose time is over.
        let late = Some((Status::Timeout, Status::Ok));
        let sleep = || std::mem::forget(clock::shifted(0, 61_000));
        let awake = clock::shifted(0, 0);
        assert_eq!(ended(&client, None, sleep), late);
        drop(awake);
        assert_eq!(ended(&client, None, || client.close()), closed);
    }
}
