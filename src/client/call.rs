//! One call: its deadline, what is known of it, and how it ends.

use std::cell::{Cell, RefCell};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::Notify;

use super::Inner;
use super::cancel::UnderWay;
use super::config::Timeouts;
use crate::base::clock::{self, Moment};
use crate::base::connection::{self, Facts, Family, Trace, Used};
use crate::base::error::Error;
use crate::base::log::Level;
use crate::base::process;
use crate::base::redact::Known;
use crate::base::reply::{Meta, Reply};
use crate::base::secret::{self, Secret};
use crate::base::status::Status;
use crate::base::words;
use crate::broker::message::Answer;
use crate::broker::operation::{Kind, Operation, TimeClass};
use crate::broker::orders;
use crate::broker::outcome::Sent;
use crate::broker::params::Common;
use crate::transport::door::{Lane, Line};
use crate::transport::{EventLoop, Point};

/// What is known of a call while it runs, and after it was cut short.
pub(super) struct Call {
    started: Moment,
    /// The same, or when the longer call began that it is a part of.
    began: Moment,
    pub(super) deadline: Moment,
    /// The caller's name for it.
    call_id: Option<String>,
    request_id: RefCell<Option<String>>,
    tag: RefCell<Option<String>>,
    /// Every request that was begun, and whether it may have left.
    pub(super) points: RefCell<Vec<(Kind, Point)>>,
    pub(super) secrets: RefCell<Vec<Secret>>,
    pub(super) notes: RefCell<Vec<String>>,
    pub(super) extra: RefCell<Map<String, Value>>,
    /// Whether its reads go before others that wait.
    pub(super) is_urgent: Cell<bool>,
    /// How long it waited for its turn.
    waited: Cell<Duration>,
    /// The connection of the last request that the call needs.
    pub(super) trace: Trace,
    /// Whether what runs now may be cut short without losing the call.
    optional: Cell<bool>,
    /// Ends what is optional.
    cut: Notify,
}

impl Call {
    fn new(limit: Duration, call_id: Option<String>) -> Self {
        let started = clock::now();
        Self {
            started,
            began: started,
            deadline: started + limit,
            call_id,
            request_id: RefCell::default(),
            tag: RefCell::default(),
            points: RefCell::default(),
            secrets: RefCell::default(),
            notes: RefCell::default(),
            extra: RefCell::default(),
            is_urgent: Cell::new(false),
            waited: Cell::default(),
            trace: Trace::default(),
            optional: Cell::new(false),
            cut: Notify::new(),
        }
    }

    /// Remembers a secret, so that no error shows it.
    pub(super) fn knows(&self, secret: &Secret) {
        self.secrets.borrow_mut().push(secret.clone());
    }

    /// Remembers the cookies of an answer.
    pub(super) fn hears(&self, answer: &Answer) {
        self.secrets.borrow_mut().extend_from_slice(&answer.cookies);
    }

    /// Remembers the id of a request: the last one that the call needs, since
    /// that is the one to ask the broker about.
    pub(super) fn is_asking(&self, id: &str) {
        if !self.optional.get() {
            *self.request_id.borrow_mut() = Some(id.to_owned());
        }
    }

    /// What a request tells of its connection; `None` for one that the call can do without.
    pub(super) fn trace(&self) -> Option<&Trace> {
        (!self.optional.get()).then_some(&self.trace)
    }

    /// The family by which the last request went that the call needed, where that is known.
    pub(super) fn family(&self) -> Option<Family> {
        self.trace.used()?.facts().family()
    }

    /// Remembers which instruction the call is about.
    pub(super) fn is_about(&self, tag: &str) {
        *self.tag.borrow_mut() = Some(tag.to_owned());
    }

    /// It has waited for its turn since then.
    pub(super) fn has_waited(&self, since: Moment) {
        self.waited.set(self.waited.get() + since.elapsed());
    }

    /// Waits for something that the call can do without: until `limit`, or
    /// until somebody interrupts the call, which then still succeeds.
    pub(super) async fn best_effort<T>(
        &self,
        limit: Moment,
        work: impl Future<Output = T>,
    ) -> Result<T, &'static str> {
        self.optional.set(true);
        let result = tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.cut.notified() => Err("interrupted"),
            () = clock::sleep_until(limit) => Err("no answer in time"),
        };
        self.optional.set(false);
        result
    }

    fn may_have_instructed(&self) -> bool {
        let points = self.points.borrow();
        let mut instructions = points.iter().filter(|(kind, _)| *kind == Kind::Instruction);
        instructions.any(|(_, point)| point.passed())
    }

    fn sent(&self) -> bool {
        self.points.borrow().iter().any(|(_, point)| point.passed())
    }

    fn finish(
        &self,
        operation: &'static str,
        known: Vec<Secret>,
        result: Result<Reply, Error>,
    ) -> Result<Reply, Error> {
        let mut extra = self.extra.take();
        let mut notes = self.notes.take();
        for (_, point) in self.points.borrow().iter() {
            notes.extend(point.trouble().map(str::to_owned));
        }
        let used = self.trace.used();
        let facts = used.as_ref().map(Used::facts);
        notes.extend(facts.as_ref().and_then(detour));
        if !notes.is_empty() {
            let masks = Known::new(secret::exposed(&known));
            for note in &mut notes {
                // Masked before it is cut: a part of a secret would not be found.
                *note = words::message(&masks.mask(note)).into_owned();
            }
            extra.insert("notes".to_owned(), notes.into());
        }
        let waited = self.waited.get();
        if !waited.is_zero() {
            extra.insert("waited_ms".to_owned(), connection::ms(waited));
        }
        let mut meta = Meta {
            operation,
            request_id: self.request_id.take(),
            tag: self.tag.take(),
            elapsed: self.began.elapsed(),
            connection: used,
            extra,
            known,
        };
        meta.mask();
        if let Some(id) = &self.call_id {
            // As it was given.
            let id = id.as_str().into();
            meta.extra.insert("call_id".to_owned(), id);
        }
        match result {
            Ok(mut reply) => {
                reply.meta = meta;
                Ok(reply)
            }
            Err(error) => {
                let used_up = self
                    .points
                    .borrow()
                    .iter()
                    .any(|(kind, point)| *kind != Kind::Read && point.passed());
                let safe = error.status().is_transient() && !used_up;
                Err(error.finished(self.sent(), safe, meta))
            }
        }
    }
}

/// What a call does. As a trait object: what is around it is compiled once for all
/// calls. In a box from its beginning: it is large, the stack may be small, and it is
/// dropped within the loop.
type Work<'a> = Pin<Box<dyn Future<Output = Result<Reply, Error>> + 'a>>;

impl Inner {
    /// Makes one call. The calling thread drives all I/O.
    pub(super) fn call(
        &self,
        op: &'static Operation,
        common: &Common,
        work: impl AsyncFnOnce(&Call) -> Result<Reply, Error> + Send,
    ) -> Result<Reply, Error> {
        self.part_of(None, op, common, work)
    }

    /// Makes one call that is a part of a longer one, which has its name
    /// already.
    pub(super) fn part_of(
        &self,
        whole: Option<&UnderWay<'_>>,
        op: &'static Operation,
        common: &Common,
        work: impl AsyncFnOnce(&Call) -> Result<Reply, Error> + Send,
    ) -> Result<Reply, Error> {
        outside_runtimes(op, || {
            let _counted = process::shared().calls.count();
            let mut call = self.begin(op, common);
            call.began = whole.map_or(call.began, |whole| whole.began);
            let work = Box::pin(work(&call));
            let result = self.run(&self.event_loop, op, &call, whole, work);
            self.finish(op.name, &call, result)
        })
    }

    /// Makes one call that sends an instruction, on a lane of its own: no
    /// other call can hold it up. `close` writes down how it ended, also after
    /// a defect. What a defect does after the sending is an unknown outcome.
    pub(super) fn call_at_door(
        &self,
        op: &'static Operation,
        common: &Common,
        work: impl AsyncFnOnce(&Call, &mut Line) -> Result<Reply, Error> + Send,
        close: impl FnOnce(&Call, Result<Reply, Error>) -> Result<Reply, Error> + Send,
    ) -> Result<Reply, Error> {
        outside_runtimes(op, || {
            let _counted = process::shared().calls.count();
            let call = self.begin(op, common);
            let ran = catch_unwind(AssertUnwindSafe(|| match self.door.lane() {
                Ok(mut lane) => {
                    let Lane { line, event_loop } = &mut lane;
                    let work = Box::pin(work(&call, line));
                    let result = self.run(event_loop, op, &call, None, work);
                    self.door.keep(lane);
                    result
                }
                Err(error) => Err(no_event_loop(&error)),
            }));
            let (result, panic) = match ran {
                Ok(result) => (result, None),
                Err(panic) => (Err(defect()), Some(panic)),
            };
            let tag = call.tag.borrow().clone();
            let ended = catch_unwind(AssertUnwindSafe(|| {
                self.finish(op.name, &call, close(&call, result))
            }));
            if let (Err(_), Some(tag)) = (&ended, &tag) {
                // Whatever was not written down: it is not under way any more.
                let at = clock::now();
                let over = at + self.door.on_its_way(None);
                let sent = Sent::Ended { at, over };
                self.register().leave_open(tag, sent);
            }
            match (ended, panic) {
                (Ok(ended), None) => ended,
                (Ok(ended), Some(_)) if call.may_have_instructed() => ended,
                (Err(_), _) if call.may_have_instructed() => {
                    let advice = orders::advice(tag.as_deref().unwrap_or(""), None);
                    let error = defect().unknown_outcome(op.name, advice);
                    let meta = Meta {
                        operation: op.name,
                        tag,
                        elapsed: call.started.elapsed(),
                        ..Meta::default()
                    };
                    Err(error.finished(true, false, meta))
                }
                (_, Some(panic)) | (Err(panic), None) => resume_unwind(panic),
            }
        })
    }

    /// A call with its deadline: the caller's, or that of its class.
    fn begin(&self, op: &Operation, common: &Common) -> Call {
        let usual = || op.time.of(&self.config.timeouts);
        Call::new(common.timeout.unwrap_or_else(usual), common.call_id.clone())
    }

    fn run(
        &self,
        event_loop: &EventLoop,
        op: &'static Operation,
        call: &Call,
        whole: Option<&UnderWay<'_>>,
        work: Work<'_>,
    ) -> Result<Reply, Error> {
        let driven = event_loop.drive(self.until_stopped(op, call, whole, work));
        driven.unwrap_or_else(|| Err(closed()))
    }

    async fn until_stopped(
        &self,
        op: &Operation,
        call: &Call,
        whole: Option<&UnderWay<'_>>,
        mut work: Work<'_>,
    ) -> Result<Reply, Error> {
        let mut stop = pin!(self.stop.notified());
        // From here on a stop is seen; one that came before shows in the flag.
        stop.as_mut().enable();
        if self.closed.load(Ordering::Acquire) {
            return Err(closed());
        }
        let own;
        let under_way = match whole {
            Some(whole) => whole,
            None => {
                own = self.named.begin(call.call_id.as_deref())?;
                &own
            }
        };
        under_way.must_go_on()?;
        // Without tokio's budget: work that never comes to its end uses it up each time,
        // and then nobody would look.
        let mut stop = pin!(tokio::task::unconstrained(async {
            tokio::select! {
                biased;
                () = stop => closed(),
                cancelled = under_way.cancelled() => cancelled,
            }
        }));
        let mut stopped = false;
        loop {
            tokio::select! {
                biased;
                result = &mut work => return result,
                why = &mut stop, if !stopped => {
                    if !call.optional.get() {
                        return Err(why);
                    }
                    // The broker has granted the session already.
                    stopped = true;
                    call.cut.notify_one();
                }
                () = clock::sleep_until(call.deadline) => {
                    let limit = call.deadline.saturating_duration_since(call.started);
                    let mut message =
                        format!("no answer to {} within {} ms", op.name, limit.as_millis());
                    if let Some(waits) = call.trace.waits() {
                        message.push_str(&format!("; a connection was not open yet: {waits}"));
                    }
                    return Err(Error::new(Status::Timeout, message));
                }
            }
        }
    }

    /// Makes a call that needs no network.
    pub(super) fn local(
        &self,
        name: &'static str,
        work: impl FnOnce(&Call) -> Result<Reply, Error>,
    ) -> Result<Reply, Error> {
        self.local_of(name, &Common::default(), work)
    }

    /// The same for an operation that may need it.
    pub(super) fn local_of(
        &self,
        name: &'static str,
        common: &Common,
        work: impl FnOnce(&Call) -> Result<Reply, Error>,
    ) -> Result<Reply, Error> {
        match self.named.begin(common.call_id.as_deref()) {
            Ok(whole) => self.end_of(&whole, name, common, work),
            Err(error) => self.not_begun(name, common, error),
        }
    }

    /// The last part of a longer call: it needs no network.
    pub(super) fn end_of(
        &self,
        whole: &UnderWay<'_>,
        name: &'static str,
        common: &Common,
        work: impl FnOnce(&Call) -> Result<Reply, Error>,
    ) -> Result<Reply, Error> {
        let mut call = Call::new(Duration::ZERO, common.call_id.clone());
        call.began = whole.began;
        let result = match self.closed.load(Ordering::Acquire) {
            true => Err(closed()),
            false => whole.must_go_on().and_then(|()| work(&call)),
        };
        self.finish(name, &call, result)
    }

    /// The answer of a call whose name is in use, or was cancelled before.
    pub(super) fn not_begun(
        &self,
        name: &'static str,
        common: &Common,
        error: Error,
    ) -> Result<Reply, Error> {
        let call = Call::new(Duration::ZERO, common.call_id.clone());
        let error = match self.closed.load(Ordering::Acquire) {
            true => closed(),
            false => error,
        };
        self.finish(name, &call, Err(error))
    }

    fn finish(
        &self,
        name: &'static str,
        call: &Call,
        result: Result<Reply, Error>,
    ) -> Result<Reply, Error> {
        let result = call.finish(name, self.known(call), result);
        match &result {
            // Most calls are not logged, and need not be described then.
            Ok(_) if !self.log.wants(Level::Info) => {}
            Ok(reply) => self
                .log
                .line(Level::Info, format_args!("{name} OK {}", reply.meta())),
            Err(error) => self.log.line(
                Level::Error,
                format_args!(
                    "{name} {} {} {}",
                    error.status().name(),
                    error.message(),
                    error.meta()
                ),
            ),
        }
        result
    }
}

impl TimeClass {
    pub(super) fn of(self, timeouts: &Timeouts) -> Duration {
        match self {
            Self::Login => timeouts.login,
            Self::Read => timeouts.read,
            Self::Order => timeouts.order,
            Self::Download => timeouts.download,
        }
    }
}

/// Makes a call outside of somebody's async runtime: in one, another cannot be
/// entered.
fn outside_runtimes(
    op: &'static Operation,
    work: impl FnOnce() -> Result<Reply, Error> + Send,
) -> Result<Reply, Error> {
    if tokio::runtime::Handle::try_current().is_err() {
        return work();
    }
    let thread = std::thread::Builder::new().name("kneo-call".to_owned());
    std::thread::scope(|scope| match thread.spawn_scoped(scope, work) {
        Ok(thread) => match thread.join() {
            Ok(result) => result,
            Err(panic) => resume_unwind(panic),
        },
        Err(error) => {
            let message = format!("no thread for a call within an async runtime: {error}");
            Err(Error::new(Status::Network, message).finished(false, true, super::meta(op.name)))
        }
    })
}

/// The system has no descriptor or no memory for one: no connection can be had.
pub(super) fn no_event_loop(error: &io::Error) -> Error {
    let message = format!("no event loop could be made: {error}; nothing was sent");
    Error::new(Status::Network, message)
}

/// What is told of an instruction that left by another family than its login.
fn detour(facts: &Facts) -> Option<String> {
    let (why, family) = (facts.detour.as_ref()?, facts.family()?);
    let login = family.other();
    Some(format!(
        "the login went over {login}, and this over {family} ({why}): the broker takes \
         instructions only from the address of the login"
    ))
}

/// A panic of this library, in a call that may have sent an instruction.
fn defect() -> Error {
    Error::new(
        Status::Internal,
        "a defect in this library, while the call was under way",
    )
}

pub(super) fn closed() -> Error {
    Error::new(Status::Closed, "the client was closed or interrupted")
}
