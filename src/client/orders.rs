//! Order instructions: sent at most once.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use zeroize::Zeroizing;

use super::call::Call;
use super::register::{Open, Register, Settled};
use super::steps::{Step, reached};
use super::{Client, Inner, not_logged_in};
use crate::base::clock;
use crate::base::error::Error;
use crate::base::json::Fields;
use crate::base::reply::{Meta, Reply};
use crate::base::status::Status;
use crate::broker::hosts::Generation;
use crate::broker::judge::{self, Asked, Verdict};
use crate::broker::operation::{self, Kind, Operation};
use crate::broker::order_book;
use crate::broker::order_number;
use crate::broker::orders::{self, Flag, Instruction, InstructionKind, Lookup};
use crate::broker::outcome::Sent;
use crate::broker::params;
use crate::broker::reads;
use crate::broker::reasons;
use crate::broker::session::Trade;
use crate::broker::words;
use crate::ledger::{Begun, Earlier, End, Intent, Ledger, Ticket};
use crate::transport::brake::{Held, Leaving};
use crate::transport::door::Line;
use crate::transport::pacing::{Slot, Use};
use crate::transport::{Point, Way};

/// A connection that was looked at within this time need not be looked at again.
const NO_TIME: Duration = Duration::from_millis(1);

impl Client {
    /// Places an order. `params` has the official SDK's keyword names.
    ///
    /// The order leaves at most once. [`Status::Ok`] means that the broker took
    /// it and gave it a number; what becomes of it is told by the order book.
    ///
    /// # Errors
    ///
    /// [`Status::UnknownOutcome`] if it may have been taken: ask
    /// [`Client::order_outcome`]. Any other status says that it was not.
    pub fn place_order(&self, params: &str) -> Result<Reply, Error> {
        self.0
            .instruct(&operation::PLACE_ORDER, params, orders::place)
    }

    /// Changes an order that is open.
    ///
    /// # Errors
    ///
    /// As for [`Client::place_order`].
    pub fn modify_order(&self, params: &str) -> Result<Reply, Error> {
        self.0
            .instruct(&operation::MODIFY_ORDER, params, orders::modify)
    }

    /// Cancels an order that is open.
    ///
    /// # Errors
    ///
    /// As for [`Client::place_order`].
    pub fn cancel_order(&self, params: &str) -> Result<Reply, Error> {
        self.0
            .instruct(&operation::CANCEL_ORDER, params, orders::cancel)
    }
}

/// What has to be written down when an instruction's call has ended, however
/// it ends.
#[derive(Default)]
struct Sheet(Mutex<Written>);

#[derive(Default)]
struct Written {
    begun: Option<(Intent, Option<Ticket>)>,
    point: Option<Point>,
    order_number: String,
    /// Whether the broker's answer proves how it ended.
    proved: bool,
}

impl Sheet {
    fn lock(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    pub(super) fn register(&self) -> MutexGuard<'_, Register> {
        self.register.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn instruct(
        &self,
        op: &'static Operation,
        params: &str,
        check: fn(&mut Fields, Generation) -> Result<Instruction, Error>,
    ) -> Result<Reply, Error> {
        let trade = self.state().trade.clone();
        let generation = match &trade {
            Some(trade) => trade.generation,
            None => self.config.generation.unwrap_or(Generation::Three),
        };
        let (common, checked) = params::read(params, |fields| check(fields, generation));
        let sheet = Sheet::default();
        self.call_at_door(
            op,
            &common,
            async |call, line| {
                let instruction = checked?;
                // The session whose generation the parameters were checked for.
                let trade = trade.ok_or_else(not_logged_in)?;
                let stop_market = instruction.is_stop_market();
                let sent = self.send_once(call, line, op, &trade, instruction, &sheet);
                let reply = sent.await?;
                if stop_market {
                    let note = orders::STOP_MARKET_NOTE.to_owned();
                    call.notes.borrow_mut().push(note);
                }
                Ok(reply)
            },
            |call, ended| self.close(op, call, &sheet, ended),
        )
    }

    /// Sends a checked instruction, unless the same intent was sent before.
    async fn send_once(
        &self,
        call: &Call,
        line: &mut Line,
        op: &'static Operation,
        trade: &Trade,
        mut instruction: Instruction,
        sheet: &Sheet,
    ) -> Result<Reply, Error> {
        let made_tag = instruction.kind == InstructionKind::Place && instruction.tag.is_none();
        let tag = match instruction.tag.clone() {
            Some(tag) => tag,
            None => orders::make_tag(self.random.take()?),
        };
        call.is_about(&tag);
        let mut intent = Intent {
            tag: tag.clone(),
            intent_id: instruction.intent_id.clone(),
            operation: op.name.to_owned(),
            account: trade.ucc.clone(),
            order_id: instruction.order_id.clone(),
            facts: instruction.facts(),
            sent_at_ms: clock::unix_ms(),
        };
        if let Some(id) = &intent.intent_id {
            let Some(ledger) = &self.ledger else {
                let problem = "needs a ledger: configure ledger_file";
                return Err(Error::argument("params.intent_id", problem));
            };
            if let Some(earlier) = ledger.earlier(id, &intent)? {
                return again(call, op, earlier);
            }
        }
        let limits = &self.config.orders.limits;
        let leaving = match instruction.kind {
            InstructionKind::Place => Leaving::NewOrder,
            InstructionKind::Modify => Leaving::Change,
            InstructionKind::Cancel => Leaving::Cancel,
        };
        limits.check(&instruction.wanted())?;
        self.brake.check(leaving).map_err(held)?;
        if limits.need_segment() {
            instruction.tell_segment();
        }
        reached(Step::Checked);
        if instruction.lookup != Lookup::Nothing {
            self.complete(call, line, trade, &mut instruction).await?;
            // Again, with what the book has told.
            limits.check(&instruction.wanted())?;
        }
        self.flag(call, trade, &mut instruction);
        let target = self.target(op, trade, reads::Parts::default());
        let body = instruction.body(&tag, trade.generation);
        let credentials = self.credentials().with_trade(trade);
        let (request, id) = self.request(call, &target, &credentials, Some(body))?;
        let url = request.url.clone();
        self.ready(call, line, trade, &url).await?;
        reached(Step::Connected);
        let kind = match instruction.kind {
            InstructionKind::Cancel => Use::Urgent,
            InstructionKind::Place | InstructionKind::Modify => Use::Usual,
        };
        let slot = match self.pace.reserve(trade.ucc.as_deref(), kind) {
            Some(slot) => slot,
            None => {
                let slot = self.turn(call, trade, kind, leaving).await?;
                // It was kept waiting, and so was its connection.
                self.ready(call, line, trade, &url).await?;
                slot
            }
        };
        reached(Step::Paced);
        let prepared = clock::now();
        if prepared >= call.deadline {
            let message = "the deadline passed before anything was sent";
            return Err(Error::new(Status::Timeout, message));
        }
        intent.sent_at_ms = clock::unix_ms();
        let is_open = |ledger: &Ledger| ledger.is_open(&tag);
        if self.ledger.as_ref().is_some_and(is_open) || !self.register().begin(intent.clone()) {
            return self.tag_in_use(call, op, &intent);
        }
        sheet.lock().begun = Some((intent.clone(), None));
        reached(Step::Remembered);
        if let Some(ledger) = &self.ledger {
            match ledger.begin(intent.clone())? {
                Begun::New(ticket) => sheet.lock().begun = Some((intent, Some(ticket))),
                Begun::Earlier(earlier) => {
                    // The earlier one is what counts, not this attempt.
                    sheet.lock().begun = None;
                    self.register().drop_attempt(&tag);
                    return again(call, op, earlier);
                }
            }
        }
        reached(Step::Noted);
        // A slow disk may have taken long enough for the connection to end.
        if prepared.elapsed() > NO_TIME {
            self.ready(call, line, trade, &url).await?;
        }
        let point = Point::not_after(call.deadline)
            .with_slot(slot)
            .with_brake(&self.brake, leaving);
        sheet.lock().point = Some(point.clone());
        call.points.borrow_mut().push((op.kind, point.clone()));
        call.is_asking(&id);
        reached(Step::Leaving);
        let asked = clock::now();
        let sent = self.door.send(line, request, &point, &call.trace).await;
        reached(Step::Answered);
        let mut answer = sent.map_err(|failure| Error::new(failure.status, failure.message))?;
        call.hears(&answer);
        self.saw(call, op, answer.date, asked);
        let auth = op.headers(trade.generation).auth;
        let number = order_number::told(&String::from_utf8_lossy(&answer.body));
        let is_known = number.is_some_and(|number| !self.register().tell(&number));
        let asked = match &instruction.order_id {
            Some(id) if instruction.kind == InstructionKind::Cancel => {
                Asked::Cancel(id, instruction.is_flagged())
            }
            Some(id) => Asked::Change(id),
            None => Asked::New { made_tag, is_known },
        };
        let verdict = self.with_secrets(call, |known| {
            judge::instruction(op, auth, &answer, asked, known)
        });
        reached(Step::Judged);
        match verdict {
            Verdict::Taken(number) => {
                // An order number was read out of it, so it is JSON.
                let json = String::from_utf8_lossy(&std::mem::take(&mut *answer.body)).into_owned();
                let reply = Reply {
                    json: Zeroizing::new(json),
                    http_status: answer.http_status,
                    date: answer.date,
                    meta: Meta::default(),
                };
                let mut written = sheet.lock();
                written.proved = true;
                written.order_number = number;
                Ok(reply)
            }
            Verdict::Refused(error) => {
                sheet.lock().proved = true;
                Err(error)
            }
            Verdict::Open(error) => {
                // The true answer may follow, and must not be the next order's.
                line.close();
                Err(error)
            }
        }
    }

    /// The tag is that of an open instruction: of the same intent, which
    /// another thread is sending now, or of something else.
    fn tag_in_use(&self, call: &Call, op: &Operation, intent: &Intent) -> Result<Reply, Error> {
        if let (Some(id), Some(ledger)) = (&intent.intent_id, &self.ledger) {
            let under_way = self.register().by_tag(&intent.tag).cloned();
            let same = |open: &Open| open.intent.intent_id == intent.intent_id;
            if let Some(open) = under_way.filter(|open| same(open) && open.intent.is_same(intent)) {
                return again(call, op, Earlier::Unsettled(open.intent));
            }
            // It may have ended since it was looked for.
            if let Some(earlier) = ledger.earlier(id, intent)? {
                return again(call, op, earlier);
            }
        }
        let problem = "the outcome of an order with this tag is not settled; nothing was sent";
        Err(Error::argument("params.tag", problem))
    }

    /// Settles what the call's end proves, and names it.
    fn close(
        &self,
        op: &'static Operation,
        call: &Call,
        sheet: &Sheet,
        ended: Result<Reply, Error>,
    ) -> Result<Reply, Error> {
        reached(Step::Ended);
        let mut written = sheet.lock();
        let Some((intent, ticket)) = written.begun.take() else {
            return ended;
        };
        let left = written.point.as_ref().is_some_and(Point::passed);
        let ended = match ended {
            Err(error) if left && !written.proved => {
                let advice = orders::advice(&intent.tag, intent.order_id.as_deref());
                Err(error.unknown_outcome(op.name, advice))
            }
            ended => ended,
        };
        let end = match &ended {
            _ if !left => End::NotSent,
            Ok(reply) => End::Accepted {
                json: reply.json().to_owned(),
                http_status: reply.http_status(),
            },
            Err(error) if written.proved => End::Refused {
                status: error.status().code(),
                code: error.code().map(str::to_owned),
                message: error.message().to_owned(),
                http_status: error.http_status(),
                broker: error.broker().map(str::to_owned),
            },
            Err(_) => End::Unknown,
        };
        let is_new = intent.order_id.is_none();
        let placed = is_new.then_some(written.order_number.as_str());
        let at = written.point.as_ref().and_then(Point::passed_at);
        let now = clock::now();
        let sent = Sent::Ended {
            at: at.unwrap_or(now),
            over: now + self.door.on_its_way(written.point.as_ref()),
        };
        match &end {
            End::Unknown => self.register().leave_open(&intent.tag, sent),
            End::Accepted { .. } => self.register().settle(&intent, placed, Settled::Taken),
            _ => self.register().settle(&intent, None, Settled::NotTaken),
        }
        if let (Some(ledger), Some(ticket)) = (&self.ledger, ticket) {
            if let Err(problem) = ledger.settle(&ticket, &end) {
                call.notes.borrow_mut().push(format!(
                    "the ledger could not be written: {}; this instruction stays open in it",
                    problem.message()
                ));
            }
        }
        reached(Step::Settled);
        ended
    }

    /// A connection by the family of the login, if one can be had.
    async fn ready(
        &self,
        call: &Call,
        line: &mut Line,
        trade: &Trade,
        url: &url::Url,
    ) -> Result<(), Error> {
        let way = Way {
            family: trade.login_family,
            deadline: Some(call.deadline),
        };
        let ready = self.door.ready(line, url, way, &call.trace).await;
        ready.map_err(|failure| Error::new(failure.status, failure.message))
    }

    /// Waits for a slot, unless the deadline or a halt comes first.
    async fn turn(
        &self,
        call: &Call,
        trade: &Trade,
        kind: Use,
        leaving: Leaving,
    ) -> Result<Slot, Error> {
        let since = clock::now();
        let slot = tokio::select! {
            biased;
            why = self.brake.holds(leaving) => return Err(held(why)),
            slot = self.pace.wait(trade.ucc.as_deref(), kind, call.deadline) => slot,
        };
        call.has_waited(since);
        slot.map_err(|wait| {
            let most = self.config.orders.max_per_second;
            let message = format!(
                "max_orders_per_second ({most}) is used up until after the deadline; \
                 nothing was sent"
            );
            Error::new(Status::RateLimited, message).with_retry_after(Some(wait))
        })
    }

    /// Sets the after-market flag of a cancel whose order is known to need it, and tells
    /// so. Asks nobody.
    fn flag(&self, call: &Call, trade: &Trade, instruction: &mut Instruction) {
        let id = match (instruction.kind, &instruction.order_id) {
            (InstructionKind::Cancel, Some(id)) => id,
            _ => return,
        };
        let known = self.register().after_market(trade.ucc.as_deref(), id);
        let Some(known) = known else { return };
        let flag = instruction.is_of_after_market(known.symbol.as_deref());
        if flag == Flag::Set {
            let mut extra = call.extra.borrow_mut();
            extra.insert("amo_set_from".to_owned(), known.from.into());
        }
        let note = orders::flag_note(flag, known.from);
        call.notes.borrow_mut().extend(note);
    }

    /// Reads what an instruction lacks from the order book.
    async fn complete(
        &self,
        call: &Call,
        line: &mut Line,
        trade: &Trade,
        instruction: &mut Instruction,
    ) -> Result<(), Error> {
        let target = self.target(&operation::ORDER_REPORT, trade, reads::Parts::default());
        let credentials = self.credentials().with_trade(trade);
        let (request, id) = self.request(call, &target, &credentials, None)?;
        self.ready(call, line, trade, &request.url).await?;
        let point = Point::not_after(call.deadline);
        call.points.borrow_mut().push((Kind::Read, point.clone()));
        call.is_asking(&id);
        let unread = |problem: &str| {
            format!("the order book, which is needed first, could not be read: {problem}")
        };
        let asked = clock::now();
        let turn = self.turn_at_once(target.op);
        turn.leaves();
        let mut answer = self.door.send(line, request, &point, &call.trace).await;
        turn.ends(&mut answer);
        let answer =
            answer.map_err(|failure| Error::new(failure.status, unread(&failure.message)))?;
        call.hears(&answer);
        self.saw(call, target.op, answer.date, asked);
        let wanted = instruction.order_id.as_deref().unwrap_or("");
        let found = if judge::is_no_data(&answer) {
            None
        } else {
            // All that is kept of a book is the one row.
            let row = |body: &[u8]| order_book::find(std::str::from_utf8(body).ok()?, wanted);
            self.accept(call, &target, answer, row)
                .map(|(_, row)| row)
                .map_err(|error| {
                    let status = error.status();
                    Error::new(status, unread(error.message()))
                })?
        };
        let Some(row) = found else {
            if instruction.lookup == Lookup::Alive {
                // The book may be late: that must not keep a cancel back.
                return Ok(());
            }
            let problem = "is not in the order book of today; nothing was sent";
            return Err(Error::argument("params.order_id", problem));
        };
        let seen = order_book::seen(&row.raw).into_iter().collect();
        let account = trade.ucc.as_deref();
        self.register()
            .see(account, seen, operation::ORDER_REPORT.name);
        let state = row.state();
        if words::find(&state).is_over() {
            let reason = row.text("rejRsn").filter(|reason| reason != "--");
            let hint = reason.as_deref().and_then(reasons::hint);
            let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
            let problem = format!("the order is {state}{reason}; nothing was sent");
            let error = Error::argument("params.order_id", problem);
            return Err(match hint {
                Some(hint) => error.with_hint(hint),
                None => error,
            });
        }
        instruction.fill(|key| row.text(key))
    }
}

/// What is not sent because the client may not let it leave.
fn held(held: Held) -> Error {
    Error::new(held.status(), held.to_string())
}

/// Said with an answer that may be one of yesterday.
const DOUBTFUL: &str = "by this machine's clock this intent was sent on another day, and the \
                        broker has not told this process yet which day it is: after a reading \
                        call the ledger knows";

/// The answer to an intent that was sent before. Nothing is sent.
fn again(call: &Call, op: &Operation, earlier: Earlier) -> Result<Reply, Error> {
    call.extra
        .borrow_mut()
        .insert("earlier_answer".to_owned(), true.into());
    let absent = matches!(
        &earlier,
        Earlier::Answered {
            end: End::Absent,
            ..
        }
    );
    if !absent {
        // What the caller is told is of an instruction that was sent.
        let point = Point::default();
        point.pass();
        call.points.borrow_mut().push((op.kind, point));
    }
    match earlier {
        Earlier::Answered {
            tag,
            end,
            is_doubtful,
        } => {
            call.is_about(&tag);
            if is_doubtful {
                call.notes.borrow_mut().push(DOUBTFUL.to_owned());
            }
            match end {
                End::Accepted { json, http_status } => Ok(Reply {
                    http_status,
                    ..Reply::local(json)
                }),
                End::Refused {
                    status,
                    code,
                    message,
                    http_status,
                    broker,
                } => {
                    let expired = status == Status::SessionExpired.code();
                    let status = if expired {
                        Status::SessionExpired
                    } else {
                        Status::Rejected
                    };
                    let mut error = judge::with_code(Error::new(status, message), code);
                    if let Some(http_status) = http_status {
                        error = error.with_broker(http_status, &broker.unwrap_or_default(), &[]);
                    }
                    Err(error)
                }
                End::Absent | End::NotSent | End::Unknown => Err(Error::argument(
                    "params.intent_id",
                    "this intent was sent before and proved absent; \
                     use a new intent_id to send it anew",
                )),
            }
        }
        Earlier::Unsettled(intent) => {
            call.is_about(&intent.tag);
            let message = "this intent was begun before and its outcome is not known";
            let advice = orders::advice(&intent.tag, intent.order_id.as_deref());
            Err(Error::new(Status::UnknownOutcome, message).unknown_outcome(op.name, advice))
        }
    }
}
