//! What became of an instruction: asked of the order book until it is proved.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::call::Call;
use super::register::{Beside, Settled, Snapshot};
use super::{Client, Inner};
use crate::base::clock::{self, Moment};
use crate::base::error::Error;
use crate::base::log::Level;
use crate::base::reply::Reply;
use crate::base::status::Status;
use crate::broker::operation::{self, Operation};
use crate::broker::order_book::{self, Row};
use crate::broker::orders::{self, InstructionKind};
use crate::broker::outcome::{
    self, Clocks, Instructed, Others, Premise, Progress, Reading, Sent, Verdict,
};
use crate::broker::params::{self, PARAMS};
use crate::broker::reads::{Expect, Parts};
use crate::broker::reasons::{self, Hints};
use crate::broker::session::Trade;
use crate::ledger::{End, Intent, Ledger};

/// How long to wait between two readings of the order book.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Time that is left for the answer after the last reading.
const RESERVE: Duration = Duration::from_millis(20);

impl Client {
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
                Some(ledger) => ledger.open_intents(),
                None => self.0.register().unsettled().cloned().collect(),
            };
            let shown: Vec<_> = intents.iter().map(shown_intent).collect();
            Ok(Reply::local(json!({ "intents": shown }).to_string()))
        })
    }
}

pub(super) fn shown_intent(intent: &Intent) -> Value {
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

impl Inner {
    fn order_outcome(&self, params: &str) -> Result<Reply, Error> {
        let op = &operation::ORDER_OUTCOME;
        let (common, wanted) = params::read(params, orders::wanted);
        self.call(op, &common, async |call| {
            let (tag, order_id) = wanted?;
            let search = self.search(tag, order_id);
            if let Some(tag) = &search.tag {
                call.is_about(tag);
            }
            let finding = self.settle(call, op, search).await?;
            let rows = finding.rows.iter().chain(&finding.candidates);
            self.tell_hints(call, &Hints::of(rows.map(String::as_str)));
            finding.reply()
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
        let snapshot = register.snapshot();
        drop(register);
        let mut how = tag.as_deref().and_then(|tag| snapshot.how(tag));
        let open = open.or_else(|| {
            let ledger = self.ledger.as_ref()?;
            let (intent, told) = ledger.find(tag.as_deref(), order_id.as_deref())?;
            // What is seen of it counts for later calls.
            let mut register = self.register();
            let ended = register.ended(&intent);
            if let Some(ended) = ended.filter(|_| intent.order_id.is_none()) {
                // Only the ledger lacks the end of this order: it could not be written, or is
                // about to be. In the book it would be taken for another one, since it is known
                // to be placed.
                how = Some(ended);
                return None;
            }
            let tag = intent.tag.clone();
            let over = ledger.opened() + self.door.on_its_way(None);
            register.adopt(intent, Sent::Before { told, over });
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
        let asked = Instructed::new(
            InstructionKind::of(&intent.operation),
            &intent.tag,
            intent.order_id.as_deref(),
            &intent.facts,
            intent.sent_at_ms,
            open.sent,
        )
        .of_account(intent.account.as_deref());
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
    ) -> Result<Finding, Error> {
        call.is_urgent.set(true);
        let end = call.deadline.checked_sub(RESERVE).unwrap_or(call.deadline);
        let window = self.config.orders.outcome_window;
        let mut pause = FIRST_PAUSE;
        let mut seen: Option<Finding> = None;
        loop {
            let began = clock::now();
            // Another login may come in between: the book of another account
            // proves nothing.
            let trade = self.trade()?;
            search.is_of(&trade)?;
            let reading = self.ask_of(
                call,
                op,
                Expect::Data,
                Parts::default(),
                Some(Arc::clone(&trade)),
            );
            let read = clock::timeout_at(end, reading).await;
            match read {
                Err(_) => match seen {
                    Some(seen) => return Ok(seen),
                    None => {
                        let message = "the order book could not be read in time";
                        return Err(Error::new(Status::Timeout, message));
                    }
                },
                Ok(Err(error))
                    if error.status().is_transient()
                        && end
                            > clock::now() + pause.max(error.retry_after().unwrap_or_default()) =>
                {
                    // Read again below.
                }
                Ok(Err(error)) => match seen {
                    Some(seen) if error.status().is_transient() => return Ok(seen),
                    _ => return Err(error),
                },
                Ok(Ok(reply)) => {
                    let Some(rows) = book(&reply) else {
                        let message = "the broker's order book is not what it documents";
                        return Err(Error::new(Status::Protocol, message));
                    };
                    let clocks = Clocks {
                        at: clock::now(),
                        ours: clock::unix_seconds(),
                        broker: reply.date,
                    };
                    let Some((asked, running)) = &search.asked else {
                        // Of an order that is not known to be ours nothing is
                        // remembered: its row may be one of ours, rewritten.
                        return Ok(self.judge_unknown(&search, &rows));
                    };
                    let known = Known::at(self, asked, &rows, began);
                    let proof = |others: Option<Others<'_>>| {
                        let reading = Reading {
                            began,
                            clocks,
                            account: trade.ucc.as_deref(),
                            rows: &rows,
                            keys: &known.keys,
                            known: known.beside.known(),
                            of_another: &|at| known.is_of_another(&asked.tag, &rows[at]),
                            changed_since: known.beside.changed_since,
                            others,
                        };
                        outcome::prove(asked, *running, window, &reading, &search.progress)
                    };
                    let (mut verdict, mut progress) = proof(None);
                    if matches!(verdict, Verdict::Open(Premise::OthersAgree, _)) {
                        if let Some((trades, positions)) = self.others(call, &trade, end).await {
                            (verdict, progress) = proof(Some(Others {
                                trades: &trades,
                                positions: &positions,
                            }));
                        }
                    }
                    self.register().remember(asked, &progress);
                    let finding = Finding::of(&search, asked, &rows, &verdict, &progress, window);
                    if finding.outcome != "unknown" {
                        self.write_down(call, asked, &finding);
                        return Ok(finding);
                    }
                    seen = Some(finding);
                    search.progress = progress;
                }
            }
            let mut wait = pause;
            if let Some((asked, _)) = &search.asked {
                let proof = search.progress.next_proof(asked, window);
                let until = proof.saturating_duration_since(clock::now());
                if !until.is_zero() {
                    wait = wait.min(until);
                }
            }
            if clock::now() + wait >= end {
                if let Some(seen) = seen {
                    return Ok(seen);
                }
            }
            clock::sleep(wait).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    /// Trades and positions, as lists of rows. `None` if one of them does not answer in
    /// time, or is none.
    async fn others(
        &self,
        call: &Call,
        trade: &Arc<Trade>,
        end: Moment,
    ) -> Option<(Vec<Row>, Vec<Row>)> {
        let read = async |op: &'static Operation| {
            let trade = Some(Arc::clone(trade));
            let reading = self.ask_of(call, op, Expect::Data, Parts::default(), trade);
            let problem = match clock::timeout_at(end, reading).await {
                Ok(Ok(reply)) => match book(&reply) {
                    Some(rows) => return Some(rows),
                    None => "is not what the broker documents".to_owned(),
                },
                Ok(Err(error)) => error.message().to_owned(),
                Err(_) => "did not answer in time".to_owned(),
            };
            self.log.line(
                Level::Warn,
                format_args!("order_outcome: {}: {problem}", op.name),
            );
            None
        };
        let trades = read(&operation::TRADE_REPORT).await?;
        Some((trades, read(&operation::POSITIONS).await?))
    }

    /// What the book says about an instruction that is not one of ours, as far as we
    /// know: only a row can prove anything.
    fn judge_unknown(&self, search: &Search, rows: &[Row]) -> Finding {
        let mut finding = Finding {
            tag: search.tag.clone(),
            order_id: search.order_id.clone(),
            reads: 1,
            ..Finding::default()
        };
        let not_taken = search.how == Some(Settled::NotTaken);
        let snapshot = not_taken.then(|| self.register().snapshot());
        let placed = snapshot.map(|snapshot| (snapshot.placed(), snapshot));
        // An earlier order of ours with the same tag.
        let earlier = |row: &Row| {
            let of = |(placed, snapshot): &(HashSet<u64>, Snapshot)| {
                placed.contains(&snapshot.hash(&row.number()))
            };
            placed.as_ref().is_some_and(of)
        };
        let is_it = |row: &&Row| match (&search.tag, &search.order_id) {
            (Some(tag), _) => row.tag() == *tag && !earlier(row),
            (None, Some(id)) => row.number() == *id,
            (None, None) => false,
        };
        let found: Vec<_> = rows.iter().filter(is_it).collect();
        if !found.is_empty() {
            finding.shows("placed", &found);
            if search.tag.is_none() {
                // The order is there, but which of its changes was meant?
                let message = "no change of this order is open here; the order book shows it as \
                               it is, which proves nothing of a change";
                finding.says("unknown", message);
            }
            return finding;
        }
        let (outcome, message) = match search.how {
            Some(Settled::NotTaken) => (
                "absent",
                "the broker refused it, or it never left, or it was proved absent before",
            ),
            Some(Settled::Taken) => (
                "unknown",
                "it was settled before as taken; the order book has no row with its tag",
            ),
            Some(Settled::Forgotten) | None => (
                "unknown",
                "this client knows of no such instruction, and the order book has no such order",
            ),
        };
        finding.says(outcome, message);
        finding
    }

    /// Settles in register and ledger what was proved of an instruction.
    fn write_down(&self, call: &Call, asked: &Instructed, finding: &Finding) {
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

/// The rows of a book. An empty one is what the broker documents as such, under the
/// status that it documents.
fn book(reply: &Reply) -> Option<Vec<Row>> {
    let rows = order_book::rows(reply.json())?;
    (!rows.is_empty() || reply.http_status() == 200).then_some(rows)
}

/// What register and ledger know beside an instruction, when a reading is there. Neither
/// is held while the rows are looked at.
struct Known {
    snapshot: Snapshot,
    beside: Beside,
    /// The order number of each row, as a hash.
    keys: Vec<u64>,
    /// The open tags of the ledger.
    in_ledger: HashSet<String>,
}

impl Known {
    fn at(inner: &Inner, asked: &Instructed, rows: &[Row], began: Moment) -> Self {
        let snapshot = inner.register().snapshot();
        let mut beside = snapshot.beside(asked, began);
        let open = inner.ledger.as_ref().map(Ledger::open_intents);
        let open = open.unwrap_or_default();
        let later = |it: &Intent| {
            InstructionKind::of(&it.operation) == InstructionKind::Modify
                && it.order_id == asked.order_id
                && it.tag != asked.tag
                && it.sent_at_ms > asked.sent_at_ms
        };
        beside.changed_since |= asked.kind == InstructionKind::Modify && open.iter().any(later);
        let key = |row: &Row| snapshot.hash(&row.number());
        Self {
            beside,
            keys: rows.iter().map(key).collect(),
            snapshot,
            in_ledger: open.into_iter().map(|intent| intent.tag).collect(),
        }
    }

    fn is_of_another(&self, mine: &str, row: &Row) -> bool {
        let told = |text: &String| (!text.is_empty()).then(|| self.snapshot.hash(text));
        let (tag, number) = (row.tag(), row.number());
        self.beside.is_of_another(told(&tag), told(&number))
            || (tag != mine && self.in_ledger.contains(&tag))
    }
}

/// An instruction that is looked for.
struct Search {
    tag: Option<String>,
    order_id: Option<String>,
    account: Option<String>,
    /// What was asked, and whether its call is still running.
    asked: Option<(Instructed, bool)>,
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
    /// What a verdict is called.
    fn of(
        search: &Search,
        asked: &Instructed,
        rows: &[Row],
        verdict: &Verdict,
        progress: &Progress,
        window: Duration,
    ) -> Self {
        let mut finding = Self {
            tag: search.tag.clone(),
            order_id: search.order_id.clone(),
            operation: Some(asked.kind.operation()),
            sent_at_ms: Some(asked.sent_at_ms),
            reads: progress.reads,
            ..Self::default()
        };
        let place = asked.kind == InstructionKind::Place;
        match verdict {
            Verdict::Done(at) => {
                let shown: Vec<_> = at.iter().map(|at| &rows[*at]).collect();
                finding.shows(if place { "placed" } else { "applied" }, &shown);
            }
            Verdict::Absent(at) => {
                let shown: Vec<_> = at.iter().map(|at| &rows[*at]).collect();
                finding.shows("absent", &shown);
                let message = match place {
                    true => {
                        "readings of the whole order book, after the outcome window, show nothing of it"
                    }
                    false => "readings of the order book show the order without this change",
                };
                finding.message = message.to_owned();
            }
            Verdict::Open(lacks, at) => {
                finding.candidates = at.iter().map(|at| rows[*at].raw.clone()).collect();
                finding.says("unknown", lacks.lacking());
                if lacks.may_come() && at.is_empty() {
                    let proof = progress.next_proof(asked, window);
                    let until = proof.saturating_duration_since(clock::now());
                    finding.ask_again_after_ms = u64::try_from(until.as_millis()).ok();
                }
            }
        }
        finding
    }

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
            hint: Option<&'a str>,
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
            hint: self.rows.first().and_then(|row| reasons::hint_of(row)),
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
