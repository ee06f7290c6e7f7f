//! How many instructions of one account may come to the broker in any second, and who is next.
//!
//! A slot is reserved before an instruction is sent, and used from then on: until one second
//! after its answer came. One without an answer may be on its way until its call has ended and
//! its deadline is over, and the system tries no longer to send it; it is free one second after
//! that. Reserved slots that nothing left by come back at once.
//!
//! All clients of one account in this process share its slots; each has a ceiling of its own.
//! Those that wait are served in the order in which they came, cancels apart: one slot in ten is
//! kept for them.

mod turns;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::base::clock::{self, Moment};
use crate::base::process::PerProcess;
use turns::{Turns, When};

const WINDOW: Duration = Duration::from_secs(1);

/// What a slot is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Placing or modifying.
    Order,
    /// One slot in ten is kept for these.
    Cancel,
}

impl Use {
    fn other(self) -> Self {
        match self {
            Self::Order => Self::Cancel,
            Self::Cancel => Self::Order,
        }
    }
}

/// How many slots a client may see used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ceiling {
    all: usize,
    orders: usize,
}

impl Ceiling {
    fn new(most_per_second: u32) -> Self {
        let all = usize::try_from(most_per_second).unwrap_or(usize::MAX);
        Self {
            all,
            orders: all - all / 10,
        }
    }

    /// Whether one more may be used; `used` has those of orders and of cancels.
    fn admits(self, kind: Use, used: [usize; 2]) -> bool {
        let [orders, cancels] = used;
        orders + cancels < self.all && (kind == Use::Cancel || orders < self.orders)
    }
}

/// The slots of one account.
#[derive(Default)]
struct Account(Mutex<Turns>);

impl Account {
    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An account under its name.
struct Entry {
    broker: String,
    ucc: String,
    account: Arc<Account>,
}

/// The accounts that clients send for, or have sent for a moment ago.
#[derive(Default)]
struct Accounts(Mutex<Vec<Entry>>);

static ACCOUNTS: PerProcess<Accounts> = PerProcess::new();

impl Accounts {
    /// The account of this name, for all that ask for it.
    fn of(&self, broker: &str, ucc: &str) -> Arc<Account> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::now();
        // What a client sent that is gone counts until it is over.
        all.retain(|entry| {
            let in_use = Arc::strong_count(&entry.account) > 1;
            in_use || !entry.account.turns().at_rest(now)
        });
        let known = all.iter().find(|entry| entry.is(broker, ucc));
        if let Some(entry) = known {
            return Arc::clone(&entry.account);
        }
        let account = Arc::new(Account::default());
        all.push(Entry {
            broker: broker.to_owned(),
            ucc: ucc.to_owned(),
            account: Arc::clone(&account),
        });
        account
    }
}

impl Entry {
    fn is(&self, broker: &str, ucc: &str) -> bool {
        self.broker == broker && self.ucc.eq_ignore_ascii_case(ucc)
    }
}

/// The pace of one client.
pub(crate) struct Pace {
    ceiling: Ceiling,
    broker: String,
    /// That of sessions whose account has no name: it is not shared.
    nameless: Arc<Account>,
    /// The account that was sent for last.
    last: Mutex<Option<(String, Arc<Account>)>>,
}

impl Pace {
    /// `broker` tells accounts of one name apart that are of two brokers.
    pub(crate) fn new(most_per_second: u32, broker: String) -> Self {
        Self {
            ceiling: Ceiling::new(most_per_second),
            broker,
            nameless: Arc::default(),
            last: Mutex::default(),
        }
    }

    fn account(&self, ucc: Option<&str>) -> Arc<Account> {
        let Some(ucc) = ucc else {
            return Arc::clone(&self.nameless);
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((of, account)) if of == ucc => Arc::clone(account),
            _ => {
                let account = ACCOUNTS.get().of(&self.broker, ucc);
                *last = Some((ucc.to_owned(), Arc::clone(&account)));
                account
            }
        }
    }

    /// A slot, if one is free and nobody waits for it.
    pub(crate) fn reserve(&self, ucc: Option<&str>, kind: Use) -> Option<Slot> {
        let account = self.account(ucc);
        let taken = account.turns().take(kind, self.ceiling, clock::now());
        taken.then(|| Slot::new(account, kind))
    }

    /// Waits for its turn, and gives a slot. If there is none before `deadline`, tells when
    /// there may be one.
    pub(crate) async fn wait(
        &self,
        ucc: Option<&str>,
        kind: Use,
        deadline: Moment,
    ) -> Result<Slot, Duration> {
        let account = self.account(ucc);
        let bell = Arc::new(Notify::new());
        let ticket = account.turns().queue(kind, self.ceiling, Arc::clone(&bell));
        let mut place = Place {
            account,
            kind,
            ticket,
            has_left: false,
        };
        let waiting = async {
            loop {
                let now = clock::now();
                let when = {
                    let mut turns = place.account.turns();
                    let sure = turns.surely_not_before(kind, self.ceiling);
                    if let Some(at) = sure.filter(|at| *at >= deadline) {
                        return Err(at.saturating_duration_since(now));
                    }
                    turns.ask(kind, ticket, now)
                };
                match when {
                    When::Now => {
                        place.has_left = true;
                        return Ok(Slot::new(Arc::clone(&place.account), kind));
                    }
                    // Rung or not, it asks again.
                    When::At(moment) => drop(clock::timeout_at(moment, bell.notified()).await),
                    When::Later => bell.notified().await,
                }
            }
        };
        match clock::timeout_at(deadline, waiting).await {
            Ok(ended) => ended,
            // At the soonest, if what is under way is answered now.
            Err(clock::Elapsed) => Err(WINDOW),
        }
    }
}

/// A place in the queue. Left when this is dropped, so that the next one is woken.
struct Place {
    account: Arc<Account>,
    kind: Use,
    ticket: u64,
    /// With a slot, and not by giving up.
    has_left: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.has_left {
            let mut turns = self.account.turns();
            turns.leave(self.kind, self.ticket, clock::now());
        }
    }
}

/// The right to let one instruction leave. Given back when it is dropped unused.
pub(crate) struct Slot {
    account: Arc<Account>,
    kind: Use,
    stage: Mutex<Stage>,
}

#[derive(Clone, Copy)]
enum Stage {
    /// Nothing has left.
    Reserved,
    /// It may be on its way: until its call ends, and then for as long as the system tries to
    /// send it.
    Left(Duration),
    /// It came.
    Answered,
}

impl Slot {
    fn new(account: Arc<Account>, kind: Use) -> Self {
        Self {
            account,
            kind,
            stage: Mutex::new(Stage::Reserved),
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The instruction leaves now. When its call has ended the system may go on trying to send
    /// it for `patience` at the most.
    pub(super) fn leave(&self, patience: Duration) {
        let mut stage = self.stage();
        if matches!(*stage, Stage::Reserved) {
            *stage = Stage::Left(patience);
        }
    }

    /// Its answer has come: the broker has it.
    pub(super) fn answered(&self) {
        let mut stage = self.stage();
        if matches!(*stage, Stage::Left(..)) {
            *stage = Stage::Answered;
            let mut turns = self.account.turns();
            let now = clock::now();
            turns.free_at(self.kind, now + WINDOW, now);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let stage = *self.stage();
        let mut turns = self.account.turns();
        let now = clock::now();
        match stage {
            Stage::Reserved => turns.give_back(self.kind, now),
            // Its call has ended.
            Stage::Left(patience) => turns.free_at(self.kind, now + patience + WINDOW, now),
            Stage::Answered => {}
        }
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Slot").field(&self.kind).finish()
    }
}

#[cfg(test)]
mod tests;
