//! The broker's clock, which the ledger is told, and what is open in a ledger that
//! somebody else may hold.

use std::sync::PoisonError;

use serde_json::json;

use super::call::Call;
use super::config::whole_path;
use super::register::Settled;
use super::settle::shown_intent;
use super::{Inner, meta};
use crate::base::clock::{self, Moment};
use crate::base::error::Error;
use crate::base::reply::Reply;
use crate::broker::operation::{Operation, TimeClass};
use crate::broker::session::Trade;
use crate::ledger;

impl Inner {
    /// Remembers the broker's clock, as an answer to what was asked then shows it,
    /// and tells the ledger.
    pub(super) fn saw(&self, call: &Call, op: &Operation, date: Option<u64>, asked: Moment) {
        let Some(date) = date else { return };
        if op.time == TimeClass::Download {
            // Of a host that may give what it kept since yesterday.
            return;
        }
        let mut dated = self.dated.lock().unwrap_or_else(PoisonError::into_inner);
        *dated = Some((date, asked));
        drop(dated);
        let Some(ledger) = &self.ledger else { return };
        let note = match ledger.saw(date, asked) {
            Ok(forgotten) if forgotten.is_empty() => return,
            Ok(forgotten) => {
                for intent in &forgotten {
                    self.forget(intent);
                }
                let named =
                    |intent: &ledger::Intent| format!("{} {}", intent.operation, intent.tag);
                let named: Vec<_> = forgotten.iter().map(named).collect();
                format!(
                    "the broker's clock shows another trading day; forgotten is what was open in \
                     the ledger of an earlier one: {}",
                    named.join(", ")
                )
            }
            Err(problem) => format!("the ledger could not be written: {}", problem.message()),
        };
        call.notes.borrow_mut().push(note);
    }

    /// The time by the broker's clock, as its last answer showed it and the machine's
    /// sleep counts; without one by the wall clock, which may be wrong.
    pub(super) fn broker_time(&self) -> u64 {
        let dated = *self.dated.lock().unwrap_or_else(PoisonError::into_inner);
        match dated {
            Some((date, asked)) => date.saturating_add(asked.elapsed().as_secs()),
            None => clock::unix_seconds(),
        }
    }

    /// Whether the token of a session says that its time is over; `None` if it says
    /// nothing. Only the broker knows: nothing is refused for it.
    pub(super) fn has_expired(&self, session: &Trade) -> Option<bool> {
        let end = session.expires_at()?;
        Some(end <= self.broker_time())
    }

    /// What the ledger has forgotten holds up no other instruction with its tag.
    fn forget(&self, intent: &ledger::Intent) {
        let mut register = self.register();
        let open = register.by_tag(&intent.tag);
        if open.is_some_and(|open| !open.running && open.intent == *intent) {
            register.settle(intent, None, Settled::Forgotten);
        }
    }
}

/// The open instructions of a ledger file, and who holds it. Needs no client,
/// takes no hold of the file and keeps nobody from it.
///
/// # Errors
///
/// [`crate::Status::InvalidArgument`] if it cannot be read, is damaged, or was
/// written by a newer version.
pub fn ledger_open_intents(ledger_file: &str) -> Result<Reply, Error> {
    const NAME: &str = "ledger_open_intents";
    let path = whole_path("ledger_file", ledger_file);
    let looked = path.and_then(|path| ledger::look(&path));
    let looked = looked.map_err(|error| error.finished(false, false, meta(NAME)))?;
    let intents: Vec<_> = looked.open.iter().map(shown_intent).collect();
    let held_by = looked
        .held_by
        .map(|holder| json!({"pid": holder.pid, "since": holder.since}));
    let mut reply = Reply::local(json!({"intents": intents, "held_by": held_by}).to_string());
    reply.meta = meta(NAME);
    Ok(reply)
}
