//! Order instructions: sent at most once, and settled afterwards.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::call::Call;
use super::reads::deadline;
use super::register::{Open, Register, Settled};
use super::steps::{Step, reached};
use super::{Client, Inner, not_logged_in};
use crate::error::Error;
use crate::hosts::Generation;
use crate::json::Fields;
use crate::judge::{self, Verdict};
use crate::ledger::{Begun, Earlier, End, Intent, Ledger, Ticket};
use crate::operation::{self, Kind, Operation};
use crate::orders::{self, Instruction, InstructionKind, Lookup};
use crate::outcome::{self, Asked, Clocks, Progress, Row, Sent, Sight};
use crate::reads::{self, Expect, PARAMS};
use crate::reply::{Meta, Reply};
use crate::session::{self, Trade};
use crate::status::Status;
use crate::transport::Point;
use crate::transport::door::Line;
use crate::transport::pacing::{Slot, Use};

/// How long to wait between two readings of the order book.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A connection that was looked at within this time need not be looked at again.
const NO_TIME: Duration = Duration::from_millis(1);
/// Time that is left for the answer after the last reading.
const RESERVE: Duration = Duration::from_millis(20);

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

    /// Settles an instruction whose outcome is unknown, by reading the order
    /// book. Sends no instruction. `params`: `tag` or `order_id`.
    ///
    /// Reads until the outcome is proved or the deadline is near; what was seen
    /// counts for the next call.
    ///
    /// # Errors
    ///
    /// Those of a read, if no reading succeeded.
    pub fn order_outcome(&self, params: &str) -> Result<Reply, Error> {
        self.0.order_outcome(params)
    }

    /// The instructions that are not settled: those of the ledger, or without
    /// one those of this client.
    ///
    /// # Errors
    ///
    /// [`Status::Closed`] after the client was closed.
    pub fn open_intents(&self) -> Result<Reply, Error> {
        self.0.local("open_intents", |_| {
            let intents = match &self.0.ledger {
                Some(ledger) => ledger.open_intents(now_ms()),
                None => self.0.register().unsettled().cloned().collect(),
            };
            let shown: Vec<_> = intents.iter().map(shown_intent).collect();
            Ok(Reply::local(json!({ "intents": shown }).to_string()))
        })
    }
}

fn shown_intent(intent: &Intent) -> Value {
    json!({
        "tag": intent.tag,
        "intent_id": intent.intent_id,
        "operation": intent.operation,
        "order_id": intent.order_id,
        "ucc": intent.account,
        "sent_at_ms": intent.sent_at_ms,
        "request": serde_json::from_str::<Value>(&intent.facts).unwrap_or(Value::Null),
    })
}

/// Unix milliseconds; 0 if the clock of this machine is before 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
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
        let checked = Fields::parse(PARAMS, params).and_then(|mut fields| {
            let limit = deadline(&mut fields)?;
            let instruction = check(&mut fields, generation)?;
            fields.finish()?;
            Ok((limit, instruction))
        });
        let limit = checked.as_ref().map_or(None, |(limit, _)| *limit);
        let limit = limit.unwrap_or_else(|| op.time.of(&self.config.timeouts));
        let sheet = Sheet::default();
        self.call_at_door(
            op,
            limit,
            async |call, line| {
                let (_, instruction) = checked?;
                // The session whose generation the parameters were checked for.
                let trade = trade.ok_or_else(not_logged_in)?;
                self.send_once(call, line, op, &trade, instruction, &sheet)
                    .await
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
            sent_at_ms: now_ms(),
        };
        if let Some(id) = &intent.intent_id {
            let Some(ledger) = &self.ledger else {
                let problem = "needs a ledger: configure ledger_file";
                return Err(Error::argument("params.intent_id", problem));
            };
            if let Some(earlier) = ledger.earlier(id, &intent, now_ms())? {
                return again(call, op, earlier);
            }
        }
        reached(Step::Checked);
        if instruction.lookup != Lookup::Nothing {
            self.complete(call, line, trade, &mut instruction).await?;
        }
        let target = self.target(op, trade, reads::Asked::default());
        let body = instruction.body(&tag, trade.generation);
        let credentials = self.credentials().with_trade(trade);
        let (request, id) = self.request(call, &target, &credentials, Some(body))?;
        let url = request.url.clone();
        self.ready(line, &url).await?;
        reached(Step::Connected);
        let kind = match instruction.kind {
            InstructionKind::Cancel => Use::Cancel,
            InstructionKind::Place | InstructionKind::Modify => Use::Order,
        };
        let slot = self.slot(call, kind, line, &url).await?;
        reached(Step::Paced);
        let prepared = Instant::now();
        if prepared >= call.deadline {
            let message = "the deadline passed before anything was sent";
            return Err(Error::new(Status::Timeout, message));
        }
        intent.sent_at_ms = now_ms();
        let is_open = |ledger: &Ledger| ledger.is_open(&tag);
        if self.ledger.as_ref().is_some_and(is_open) || !self.register().begin(intent.clone()) {
            return self.tag_in_use(call, op, &intent);
        }
        sheet.lock().begun = Some((intent.clone(), None));
        reached(Step::Remembered);
        if let Some(ledger) = &self.ledger {
            let sent_at_ms = intent.sent_at_ms;
            match ledger.begin(intent.clone(), sent_at_ms)? {
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
            self.ready(line, &url).await?;
        }
        let point = Point::not_after(call.deadline).with_slot(slot);
        sheet.lock().point = Some(point.clone());
        call.points.borrow_mut().push((op.kind, point.clone()));
        call.is_asking(&id);
        reached(Step::Leaving);
        let sent = self.door.send(line, request, &point).await;
        reached(Step::Answered);
        let mut answer = sent.map_err(|failure| Error::new(failure.status, failure.message))?;
        let auth = op.headers(trade.generation).auth;
        let verdict = self.with_secrets(call, |known| {
            judge::instruction(op, auth, &answer, made_tag, known)
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
            Verdict::Open(error) => Err(error),
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
            if let Some(earlier) = ledger.earlier(id, intent, now_ms())? {
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
        let sent = written.point.as_ref().and_then(Point::passed_at);
        let sent = Sent::At(sent.unwrap_or_else(Instant::now));
        match &end {
            End::Unknown => self.register().leave_open(&intent.tag, sent),
            End::Accepted { .. } => self.register().settle(&intent.tag, placed, Settled::Taken),
            _ => self.register().settle(&intent.tag, None, Settled::NotTaken),
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

    async fn ready(&self, line: &mut Line, url: &url::Url) -> Result<(), Error> {
        let ready = self.door.ready(line, url).await;
        ready.map_err(|failure| Error::new(failure.status, failure.message))
    }

    /// Waits for a slot, unless the deadline comes first. A connection that is
    /// kept waiting is looked at again.
    async fn slot(
        &self,
        call: &Call,
        kind: Use,
        line: &mut Line,
        url: &url::Url,
    ) -> Result<Slot, Error> {
        loop {
            let now = Instant::now();
            match self.pace.reserve(kind, now) {
                Ok(slot) => return Ok(slot),
                Err(wait) if now + wait >= call.deadline => {
                    let most = self.config.orders.max_per_second;
                    let message = format!(
                        "max_orders_per_second ({most}) is used up until after the deadline; \
                         nothing was sent"
                    );
                    return Err(
                        Error::new(Status::RateLimited, message).with_retry_after(Some(wait))
                    );
                }
                Err(wait) => {
                    tokio::time::sleep(wait).await;
                    self.ready(line, url).await?;
                }
            }
        }
    }

    /// Reads what an instruction lacks from the order book.
    async fn complete(
        &self,
        call: &Call,
        line: &mut Line,
        trade: &Trade,
        instruction: &mut Instruction,
    ) -> Result<(), Error> {
        let target = self.target(&operation::ORDER_REPORT, trade, reads::Asked::default());
        let credentials = self.credentials().with_trade(trade);
        let (request, id) = self.request(call, &target, &credentials, None)?;
        self.ready(line, &request.url).await?;
        let point = Point::default();
        call.points.borrow_mut().push((Kind::Read, point.clone()));
        call.is_asking(&id);
        let unread = |problem: &str| {
            format!("the order book, which is needed first, could not be read: {problem}")
        };
        let answer = self.door.send(line, request, &point).await;
        let answer =
            answer.map_err(|failure| Error::new(failure.status, unread(&failure.message)))?;
        let rows = if judge::is_no_data(&answer) {
            Vec::new()
        } else {
            let body = |body: &[u8]| outcome::rows(&String::from_utf8_lossy(body));
            self.accept(call, &target, answer, body)
                .map(|(_, rows)| rows)
                .map_err(|error| {
                    let status = error.status();
                    Error::new(status, unread(error.message()))
                })?
        };
        let wanted = instruction.order_id.as_deref().unwrap_or("");
        let Some(row) = rows.iter().find(|row| row.number() == wanted) else {
            if instruction.lookup == Lookup::Alive {
                // The book may be late: that must not keep a cancel back.
                return Ok(());
            }
            let problem = "is not in the order book of today; nothing was sent";
            return Err(Error::argument("params.order_id", problem));
        };
        let state = row.state();
        if outcome::is_final(&state) {
            let reason = row.text("rejRsn").filter(|reason| reason != "--");
            let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
            let problem = format!("the order is {state}{reason}; nothing was sent");
            return Err(Error::argument("params.order_id", problem));
        }
        instruction.fill(|key| row.text(key))
    }

    fn order_outcome(&self, params: &str) -> Result<Reply, Error> {
        let op = &operation::ORDER_OUTCOME;
        let checked = Fields::parse(PARAMS, params).and_then(|mut fields| {
            let limit = deadline(&mut fields)?;
            let tag = fields.text("tag")?;
            let order_id = fields.number_or_text("order_id")?;
            fields.finish()?;
            match (tag, order_id) {
                (Some(_), Some(_)) | (None, None) => {
                    Err(Error::argument(PARAMS, "give either tag or order_id"))
                }
                (None, Some(id)) => {
                    reads::order_id("params.order_id", &id).map(|id| (limit, None, Some(id)))
                }
                (Some(tag), None) if tag.trim().is_empty() => {
                    Err(Error::argument("params.tag", "must not be blank"))
                }
                (tag, None) => Ok((limit, tag, None)),
            }
        });
        let limit = checked.as_ref().map_or(None, |(limit, ..)| *limit);
        let limit = limit.unwrap_or_else(|| op.time.of(&self.config.timeouts));
        self.call_within(op, limit, async |call| {
            let (_, tag, order_id) = checked?;
            let search = self.search(tag, order_id);
            if let Some(tag) = &search.tag {
                call.is_about(tag);
            }
            self.settle(call, op, search).await
        })
    }

    /// What is known of an instruction that is to be settled.
    fn search(&self, tag: Option<String>, order_id: Option<String>) -> Search {
        let register = self.register();
        let open = match (&tag, &order_id) {
            (Some(tag), _) => register.by_tag(tag).cloned(),
            (None, Some(id)) => register.by_order(id).cloned(),
            (None, None) => None,
        };
        let how = tag.as_deref().and_then(|tag| register.how(tag));
        drop(register);
        let open = open.or_else(|| {
            let ledger = self.ledger.as_ref()?;
            let intent = ledger.find(tag.as_deref(), order_id.as_deref())?;
            let tag = intent.tag.clone();
            // What is seen of it counts for later calls.
            let mut register = self.register();
            register.adopt(intent, Sent::Before(ledger.opened()));
            register.by_tag(&tag).cloned()
        });
        let Some(open) = open else {
            return Search {
                tag,
                order_id,
                account: None,
                asked: None,
                progress: Progress::default(),
                how,
            };
        };
        let intent = open.intent;
        let kind = match intent.operation.as_str() {
            "modify_order" => InstructionKind::Modify,
            "cancel_order" => InstructionKind::Cancel,
            _ => InstructionKind::Place,
        };
        let asked = Asked::new(
            kind,
            &intent.tag,
            intent.order_id.as_deref(),
            &intent.facts,
            intent.sent_at_ms,
            open.sent,
        );
        Search {
            tag: Some(intent.tag),
            order_id: intent.order_id.or(order_id),
            account: intent.account,
            asked: Some((asked, open.running)),
            progress: open.progress,
            how,
        }
    }

    /// Reads the order book until the outcome is proved, or until the deadline
    /// is near.
    async fn settle(
        &self,
        call: &Call,
        op: &'static Operation,
        mut search: Search,
    ) -> Result<Reply, Error> {
        let end = call.deadline.checked_sub(RESERVE).unwrap_or(call.deadline);
        let mut pause = FIRST_PAUSE;
        let mut seen: Option<Finding> = None;
        loop {
            let began = Instant::now();
            // Another login may come in between: the book of another account
            // proves nothing.
            let trade = self.trade()?;
            search.is_of(&trade)?;
            let reading = self.ask_of(call, op, Expect::Data, reads::Asked::default(), Some(trade));
            let read = tokio::time::timeout_at(end.into(), reading).await;
            match read {
                Err(_) => match seen {
                    Some(seen) => return seen.reply(),
                    None => {
                        let message = "the order book could not be read in time";
                        return Err(Error::new(Status::Timeout, message));
                    }
                },
                Ok(Err(error)) if error.status().is_transient() && end > Instant::now() + pause => {
                    // Read again below.
                }
                Ok(Err(error)) => match seen {
                    Some(seen) if error.status().is_transient() => return seen.reply(),
                    _ => return Err(error),
                },
                Ok(Ok(reply)) => {
                    let Some(rows) = outcome::rows(reply.json()) else {
                        let message = "the broker's order book is not what it documents";
                        return Err(Error::new(Status::Protocol, message));
                    };
                    let clocks = Clocks {
                        at: Instant::now(),
                        ours: session::now(),
                        broker: reply.date,
                    };
                    let finding = self.judge_book(&mut search, &rows, began, &clocks);
                    let Some((asked, _)) = &search.asked else {
                        // Of an order that is not known to be ours nothing is
                        // remembered: its row may be one of ours, rewritten.
                        return finding.reply();
                    };
                    if finding.outcome != "unknown" {
                        self.write_down(call, asked, &finding);
                        return finding.reply();
                    }
                    seen = Some(finding);
                }
            }
            let mut wait = pause;
            if let Some((asked, _)) = &search.asked {
                let window = self.config.orders.outcome_window;
                let proof = search.progress.next_proof(asked, window);
                let until = proof.saturating_duration_since(Instant::now());
                if !until.is_zero() {
                    wait = wait.min(until);
                }
            }
            if Instant::now() + wait >= end {
                if let Some(seen) = seen {
                    return seen.reply();
                }
            }
            tokio::time::sleep(wait).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    /// What one reading of the book says about an instruction.
    fn judge_book(
        &self,
        search: &mut Search,
        rows: &[Row],
        began: Instant,
        clocks: &Clocks,
    ) -> Finding {
        let window = self.config.orders.outcome_window;
        let mut finding = Finding {
            tag: search.tag.clone(),
            order_id: search.order_id.clone(),
            ..Finding::default()
        };
        let Some((asked, running)) = &search.asked else {
            // Not one of ours, as far as we know: only a row can prove anything.
            finding.reads = 1;
            let is_it = |row: &&Row| match (&search.tag, &search.order_id) {
                (Some(tag), _) => row.tag() == *tag,
                (None, Some(id)) => row.number() == *id,
                (None, None) => false,
            };
            let found: Vec<_> = rows.iter().filter(is_it).collect();
            match (found.is_empty(), search.how) {
                (false, _) => finding.shows("placed", &found),
                (true, Some(Settled::NotTaken)) => finding.says(
                    "absent",
                    "the broker refused it, or it never left, and the order book has no such tag",
                ),
                (true, _) => finding.says(
                    "unknown",
                    "this client knows of no such instruction, and the order book has no such order",
                ),
            }
            return finding;
        };
        let register = self.register();
        let sight = outcome::look(asked, rows, clocks, |row| {
            let tag = row.tag();
            let in_ledger = |ledger: &Ledger| tag != asked.tag && ledger.is_open(&tag);
            register.is_of_another(&asked.tag, &tag, &row.number())
                || (!tag.is_empty() && self.ledger.as_ref().is_some_and(in_ledger))
        });
        drop(register);
        let place = asked.kind == InstructionKind::Place;
        finding.operation = Some(match asked.kind {
            InstructionKind::Place => "place_order",
            InstructionKind::Modify => "modify_order",
            InstructionKind::Cancel => "cancel_order",
        });
        finding.sent_at_ms = Some(asked.sent_at_ms);
        search.progress.saw(&sight, asked, began, window);
        finding.reads = search.progress.reads;
        self.register().remember(asked, &search.progress);
        let pick = |at: &[usize]| at.iter().map(|at| &rows[*at]).collect::<Vec<_>>();
        // While the call runs, its answer may still come.
        let absent = search.progress.is_absent() && !running;
        match &sight {
            Sight::Done(at) => finding.shows(if place { "placed" } else { "applied" }, &pick(at)),
            Sight::Never(at) if absent => {
                finding.shows("absent", &pick(&[*at]));
                finding.message = "the order ended without this change".to_owned();
            }
            Sight::Nothing(at) if absent => {
                let shown: Vec<_> = at.iter().map(|at| &rows[*at]).collect();
                finding.shows("absent", &shown);
                finding.message =
                    "readings of the order book over the whole outcome window show nothing of it"
                        .to_owned();
            }
            Sight::Perhaps(at) => {
                finding.candidates = pick(at).iter().map(|row| row.raw.clone()).collect();
                finding.says(
                    "unknown",
                    "an order of the same symbol, side and quantity, or a change in progress, may be it",
                );
            }
            Sight::Never(_) | Sight::Nothing(_) => {
                let proof = search.progress.next_proof(asked, window);
                let until = proof.saturating_duration_since(Instant::now());
                finding.ask_again_after_ms = u64::try_from(until.as_millis()).ok();
                finding.says(
                    "unknown",
                    "the order book does not show it yet; its absence is not proved either",
                );
            }
        }
        finding
    }

    /// Settles in register and ledger what was proved of an instruction.
    fn write_down(&self, call: &Call, asked: &Asked, finding: &Finding) {
        let taken = finding.outcome != "absent";
        let number = finding.order_id.clone().unwrap_or_default();
        let (placed, how) = match (taken, asked.kind) {
            (true, InstructionKind::Place) => (Some(number.as_str()), Settled::Taken),
            (true, _) => (None, Settled::Taken),
            (false, _) => (None, Settled::NotTaken),
        };
        if !self.register().settle_asked(asked, placed, how) {
            // Another thread has settled it, and may have sent it anew since.
            return;
        }
        let Some(ledger) = &self.ledger else { return };
        let end = if taken {
            End::Accepted {
                json: json!({"nOrdNo": number, "stat": "Ok", "stCode": 200}).to_string(),
                http_status: 0,
            }
        } else {
            End::Absent
        };
        if let Err(problem) = ledger.settle_by_tag(&asked.tag, asked.sent_at_ms, &end) {
            let note = format!("the ledger could not be written: {}", problem.message());
            call.notes.borrow_mut().push(note);
        }
    }
}

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
        Earlier::Answered { tag, end } => {
            call.is_about(&tag);
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
                    let mut error = Error::new(status, message).with_code(code);
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

/// An instruction that is looked for.
struct Search {
    tag: Option<String>,
    order_id: Option<String>,
    account: Option<String>,
    /// What was asked, and whether its call is still running.
    asked: Option<(Asked, bool)>,
    progress: Progress,
    how: Option<Settled>,
}

impl Search {
    fn is_of(&self, trade: &Trade) -> Result<(), Error> {
        match (&self.account, &trade.ucc) {
            (Some(of), Some(now)) if of != now => {
                let problem = "this instruction was sent for another account (UCC)";
                Err(Error::argument(PARAMS, problem))
            }
            _ => Ok(()),
        }
    }
}

/// What `order_outcome` answers.
#[derive(Default)]
struct Finding {
    outcome: &'static str,
    message: String,
    operation: Option<&'static str>,
    tag: Option<String>,
    order_id: Option<String>,
    state: Option<String>,
    rows: Vec<String>,
    candidates: Vec<String>,
    reads: u32,
    sent_at_ms: Option<u64>,
    ask_again_after_ms: Option<u64>,
}

impl Finding {
    fn says(&mut self, outcome: &'static str, message: &str) {
        self.outcome = outcome;
        self.message = message.to_owned();
    }

    fn shows(&mut self, outcome: &'static str, rows: &[&Row]) {
        self.says(outcome, "the order book shows it");
        if rows.len() > 1 {
            self.message = format!("the order book shows it {} times", rows.len());
        }
        if let Some(row) = rows.first() {
            self.state = row.text("ordSt");
            self.order_id = Some(row.number());
        }
        self.rows = rows.iter().map(|row| row.raw.clone()).collect();
    }

    fn reply(&self) -> Result<Reply, Error> {
        #[derive(Serialize)]
        struct Shown<'a> {
            outcome: &'a str,
            message: &'a str,
            operation: Option<&'a str>,
            tag: Option<&'a str>,
            order_id: Option<&'a str>,
            state: Option<&'a str>,
            row: Option<&'a RawValue>,
            rows: Vec<&'a RawValue>,
            candidates: Vec<&'a RawValue>,
            reads: u32,
            sent_at_ms: Option<u64>,
            ask_again_after_ms: Option<u64>,
        }
        let raw = |rows: &'_ [String]| -> Vec<Box<RawValue>> {
            let rows = rows.iter().cloned();
            rows.filter_map(|row| RawValue::from_string(row).ok())
                .collect()
        };
        let (rows, candidates) = (raw(&self.rows), raw(&self.candidates));
        let shown = Shown {
            outcome: self.outcome,
            message: &self.message,
            operation: self.operation,
            tag: self.tag.as_deref(),
            order_id: self.order_id.as_deref(),
            state: self.state.as_deref(),
            row: rows.first().map(|row| &**row),
            rows: rows.iter().map(|row| &**row).collect(),
            candidates: candidates.iter().map(|row| &**row).collect(),
            reads: self.reads,
            sent_at_ms: self.sent_at_ms,
            ask_again_after_ms: self.ask_again_after_ms,
        };
        let json = serde_json::to_string(&shown).map_err(|_| {
            Error::new(Status::Internal, "the outcome could not be written as JSON")
        })?;
        Ok(Reply::local(json))
    }
}
