//! Whose turn a read is: the pace of each class of reads, and how long a 429 keeps it back.

use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use super::call::Call;
use super::config::Config;
use crate::base::clock;
use crate::base::error::Error;
use crate::base::status::Status;
use crate::broker::message::{Answer, Failure};
use crate::broker::operation::{self, Operation};
use crate::broker::session::Trade;
use crate::transport::pacing::{Account, Ceiling, Pace, Slot, Use};

/// What a 429 keeps back at least, and where it names no time: the broker counts by seconds.
const SHORTEST_HOLD: Duration = Duration::from_secs(1);
/// What it keeps back at most: one word too large must not end the reading for a day.
const LONGEST_HOLD: Duration = Duration::from_secs(60);

/// How many reads of each class this client lets leave.
pub(super) struct Reads {
    quotes: Pace,
    candles: Pace,
    other: Pace,
}

impl Reads {
    /// Market data is asked with the application's credential alone, so its clients share the
    /// slots. Books are an account's: without a session that names it they go by the credential.
    pub(super) fn new(config: &Config, broker: &str) -> Self {
        let key = config.consumer_key.as_ref();
        let secret = key.or(config.access_token.as_ref());
        let pace = |what: &str, ceiling: Ceiling| {
            let of = format!("{what} {broker}");
            let nameless = match secret {
                Some(secret) => Account::of_secret(&of, secret),
                None => Arc::default(),
            };
            Pace::new(ceiling, of, nameless)
        };
        let most = &config.reads;
        let quotes = Ceiling::new(most.quotes).at_once(most.quotes_at_once);
        Self {
            quotes: pace("quotes", quotes),
            candles: pace("candles", Ceiling::new(most.candles)),
            other: pace("reads", Ceiling::new(most.other).keeping_some()),
        }
    }
}

/// The right to send one request, of a class that is paced or of none.
pub(super) struct Turn(Option<Slot>);

impl Turn {
    /// The request leaves now.
    pub(super) fn leaves(&self) {
        if let Some(slot) = &self.0 {
            slot.leave(Duration::ZERO);
        }
    }

    /// How it ended. What a 429 says holds for all later ones of its class.
    pub(super) fn ends(self, ended: &mut Result<Answer, Failure>) {
        let Some(slot) = &self.0 else { return };
        match ended {
            Ok(answer) => {
                slot.answered();
                if answer.http_status == 429 {
                    let told = answer.retry_after.unwrap_or_default();
                    let told = told.max(SHORTEST_HOLD);
                    slot.hold(told.min(LONGEST_HOLD));
                    answer.retry_after = Some(told);
                }
            }
            Err(failure) if !failure.sent => slot.take_back(),
            Err(_) => {}
        }
    }
}

impl Inner {
    /// Waits for the turn of one request, within the deadline of its call.
    pub(super) async fn turn_to_read(&self, call: &Call, op: &Operation) -> Result<Turn, Error> {
        let Some(pace) = self.pace_of(op) else {
            return Ok(Turn(None));
        };
        let trade = self.session_of(op);
        let ucc = trade.as_ref().and_then(|trade| trade.ucc.as_deref());
        let kind = match call.is_urgent.get() {
            true => Use::Urgent,
            false => Use::Usual,
        };
        if let Some(slot) = pace.reserve(ucc, kind) {
            return Ok(Turn(Some(slot)));
        }
        let since = clock::now();
        let slot = pace.wait(ucc, kind, call.deadline).await;
        call.has_waited(since);
        slot.map(|slot| Turn(Some(slot))).map_err(|wait| {
            let name = op.name;
            let why = match pace.held(ucc) {
                Some(_) => format!("a 429 of the broker holds {} back", class_of(op)),
                None => self.limit_of(op),
            };
            let message = format!("{why} until after the deadline; this {name} was not sent");
            Error::new(Status::RateLimited, message).with_retry_after(Some(wait))
        })
    }

    /// Counts a read that an order needs first. An order never waits for reads: they wait for it.
    pub(super) fn turn_at_once(&self, op: &Operation) -> Turn {
        let trade = self.session_of(op);
        let ucc = trade.as_ref().and_then(|trade| trade.ucc.as_deref());
        let pace = self.pace_of(op);
        Turn(pace.map(|pace| pace.insist(ucc, Use::Usual)))
    }

    fn pace_of(&self, op: &Operation) -> Option<&Pace> {
        match op.pace {
            operation::Pace::Quotes => Some(&self.reads.quotes),
            operation::Pace::Candles => Some(&self.reads.candles),
            operation::Pace::Other => Some(&self.reads.other),
            operation::Pace::Orders | operation::Pace::Free => None,
        }
    }

    /// The session whose account the slots of an operation are of, if they are of an account.
    fn session_of(&self, op: &Operation) -> Option<Arc<Trade>> {
        let of_account = op.pace == operation::Pace::Other;
        of_account.then(|| self.state().trade.clone()).flatten()
    }

    /// Which limit of ours keeps an operation back.
    fn limit_of(&self, op: &Operation) -> String {
        let most = &self.config.reads;
        match op.pace {
            operation::Pace::Quotes => format!(
                "max_reads_per_second.quotes ({}) or max_quotes_at_once ({}) is used up",
                most.quotes, most.quotes_at_once
            ),
            operation::Pace::Candles => {
                format!("max_reads_per_second.candles ({}) is used up", most.candles)
            }
            _ => format!("max_reads_per_second.other ({}) is used up", most.other),
        }
    }
}

/// What one 429 holds back.
fn class_of(op: &Operation) -> &'static str {
    match op.pace {
        operation::Pace::Quotes => "quotes, expiries and chains",
        operation::Pace::Candles => "candles",
        _ => "all reads but quotes and candles",
    }
}
