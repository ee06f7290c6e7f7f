//! What became of an instruction: asked of the order book until it is proved.

use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::call::Call;
use super::register::Settled;
use super::{Client, Inner};
use crate::base::clock::{self, Moment};
use crate::base::error::Error;
use crate::base::reply::Reply;
use crate::base::status::Status;
use crate::broker::operation::{self, Operation};
use crate::broker::order_book::{self, Row};
use crate::broker::orders::{self, InstructionKind};
use crate::broker::outcome::{self, Clocks, Instructed, Progress, Sent, Sight};
use crate::broker::params::{self, PARAMS};
use crate::broker::reads::{Expect, Parts};
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
        let asked = Instructed::new(
            InstructionKind::of(&intent.operation),
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
            let began = clock::now();
            // Another login may come in between: the book of another account
            // proves nothing.
            let trade = self.trade()?;
            search.is_of(&trade)?;
            let reading = self.ask_of(call, op, Expect::Data, Parts::default(), Some(trade));
            let read = clock::timeout_at(end, reading).await;
            match read {
                Err(_) => match seen {
                    Some(seen) => return seen.reply(),
                    None => {
                        let message = "the order book could not be read in time";
                        return Err(Error::new(Status::Timeout, message));
                    }
                },
                Ok(Err(error)) if error.status().is_transient() && end > clock::now() + pause => {
                    // Read again below.
                }
                Ok(Err(error)) => match seen {
                    Some(seen) if error.status().is_transient() => return seen.reply(),
                    _ => return Err(error),
                },
                Ok(Ok(reply)) => {
                    let Some(rows) = order_book::rows(reply.json()) else {
                        let message = "the broker's order book is not what it documents";
                        return Err(Error::new(Status::Protocol, message));
                    };
                    let clocks = Clocks {
                        at: clock::now(),
                        ours: clock::unix_seconds(),
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
                let until = proof.saturating_duration_since(clock::now());
                if !until.is_zero() {
                    wait = wait.min(until);
                }
            }
            if clock::now() + wait >= end {
                if let Some(seen) = seen {
                    return seen.reply();
                }
            }
            clock::sleep(wait).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    /// What one reading of the book says about an instruction.
    fn judge_book(
        &self,
        search: &mut Search,
        rows: &[Row],
        began: Moment,
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
        finding.operation = Some(asked.kind.operation());
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
                let until = proof.saturating_duration_since(clock::now());
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
