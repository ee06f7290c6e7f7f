//! How many requests of one account may come to the broker in any second, how many it may be
//! at work on at once, and who is next: of instructions, and of each class of reads.
//!
//! A slot is reserved before a request is sent, and used from then on: until one second after
//! its answer came. An instruction without an answer may be on its way until its call has ended
//! and its deadline is over, and the system tries no longer to send it; it is free one second
//! after that. A read without an answer is no order: its slot is free one second after its call
//! has ended. Reserved slots that nothing left by come back at once.
//!
//! All clients of one account in this process share its slots; each has a ceiling of its own.
//! Those that wait are served in the order in which they came, the urgent ones apart: where
//! there are such, one slot in ten is kept for them.

mod turns;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::base::clock::{self, Moment};
use crate::base::process::PerProcess;
use crate::base::secret::Secret;
use turns::{Turns, When};

const WINDOW: Duration = Duration::from_secs(1);

/// What a slot is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// New orders and changes; reads.
    Usual,
    /// Cancels; reads that settle an order. One slot in ten is kept for these.
    Urgent,
}

impl Use {
    fn other(self) -> Self {
        match self {
            Self::Usual => Self::Urgent,
            Self::Urgent => Self::Usual,
        }
    }
}

/// How many slots a client may see used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ceiling {
    /// In any second.
    all: usize,
    /// The same, for what is not urgent.
    usual: usize,
    /// Under way at once.
    at_once: usize,
}

impl Ceiling {
    /// One for all alike.
    pub(crate) fn new(most_per_second: u32) -> Self {
        let all = size(most_per_second);
        Self {
            all,
            usual: all,
            at_once: usize::MAX,
        }
    }

    /// The same, with one slot in ten kept for what is urgent.
    pub(crate) fn keeping_some(self) -> Self {
        Self {
            usual: self.all - self.all / 10,
            ..self
        }
    }

    /// The same, and not more than so many under way.
    pub(crate) fn at_once(self, most: u32) -> Self {
        Self {
            at_once: size(most),
            ..self
        }
    }

    /// Whether one more may be used; `used` has those of either use.
    fn admits(self, kind: Use, used: [usize; 2], under_way: usize) -> bool {
        let [usual, urgent] = used;
        usual + urgent < self.all
            && under_way < self.at_once
            && (kind == Use::Urgent || usual < self.usual)
    }
}

fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The slots of one account.
#[derive(Default)]
pub(crate) struct Account(Mutex<Turns>);

impl Account {
    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An account under its name.
struct Entry {
    /// Slots for what, of which broker.
    of: String,
    name: String,
    account: Arc<Account>,
}

/// The accounts that clients send for, or have sent for a moment ago.
#[derive(Default)]
struct Accounts {
    all: Mutex<Vec<Entry>>,
    hasher: RandomState,
}

static ACCOUNTS: PerProcess<Accounts> = PerProcess::new();

impl Accounts {
    /// The account of this name, for all that ask for it.
    fn named(&self, of: &str, name: &str) -> Arc<Account> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::now();
        // What a client sent that is gone counts until it is over.
        all.retain(|entry| {
            let in_use = Arc::strong_count(&entry.account) > 1;
            in_use || !entry.account.turns().at_rest(now)
        });
        let known = all.iter().find(|entry| entry.is(of, name));
        if let Some(entry) = known {
            return Arc::clone(&entry.account);
        }
        let account = Arc::new(Account::default());
        all.push(Entry {
            of: of.to_owned(),
            name: name.to_owned(),
            account: Arc::clone(&account),
        });
        account
    }
}

impl Entry {
    fn is(&self, of: &str, name: &str) -> bool {
        self.of == of && self.name.eq_ignore_ascii_case(name)
    }
}

impl Account {
    /// That of a credential, which is not kept: its hash is the name.
    pub(crate) fn of_secret(of: &str, secret: &Secret) -> Arc<Self> {
        let accounts = ACCOUNTS.get();
        let hash = accounts.hasher.hash_one(secret.expose());
        accounts.named(of, &format!("{hash:x}"))
    }
}

/// The pace of one client, in one kind of requests.
pub(crate) struct Pace {
    ceiling: Ceiling,
    of: String,
    /// That of sessions whose account has no name.
    nameless: Arc<Account>,
    /// The account that was sent for last.
    last: Mutex<Option<(String, Arc<Account>)>>,
}

impl Pace {
    /// `of` tells accounts of one name apart: which kind of requests, and of which broker.
    /// `nameless` is for what is sent in the name of no account.
    pub(crate) fn new(ceiling: Ceiling, of: String, nameless: Arc<Account>) -> Self {
        Self {
            ceiling,
            of,
            nameless,
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
                let account = ACCOUNTS.get().named(&self.of, ucc);
                *last = Some((ucc.to_owned(), Arc::clone(&account)));
                account
            }
        }
    }

    /// Until when the broker wants none of them, if it said so.
    pub(crate) fn held(&self, ucc: Option<&str>) -> Option<Moment> {
        self.account(ucc).turns().held(clock::now())
    }

    /// A slot for what may not wait, whatever the ceiling is: the next ones wait for it.
    pub(crate) fn insist(&self, ucc: Option<&str>, kind: Use) -> Slot {
        let account = self.account(ucc);
        account.turns().take_anyway(kind);
        Slot::new(account, kind)
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

/// The right to let one request leave. Given back when it is dropped unused.
pub(crate) struct Slot {
    account: Arc<Account>,
    kind: Use,
    stage: Mutex<Stage>,
}

#[derive(Clone, Copy)]
enum Stage {
    /// Nothing has left.
    Reserved,
    /// It may be on its way: until its call ends, and then for as long as the system may try
    /// to send it.
    Left(Duration),
    /// Its answer came.
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

    /// The request leaves now. When its call has ended it counts as being on its way for
    /// `patience`: for as long as the system may go on trying to send an instruction.
    pub(crate) fn leave(&self, patience: Duration) {
        let mut stage = self.stage();
        if matches!(*stage, Stage::Reserved) {
            *stage = Stage::Left(patience);
        }
    }

    /// It turned out that nothing left.
    pub(crate) fn take_back(&self) {
        let mut stage = self.stage();
        if matches!(*stage, Stage::Left(..)) {
            *stage = Stage::Reserved;
        }
    }

    /// The broker wants no more of its kind for so long.
    pub(crate) fn hold(&self, wait: Duration) {
        let now = clock::now();
        self.account.turns().hold(now + wait, now);
    }

    /// Its answer has come: the broker has it.
    pub(crate) fn answered(&self) {
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
            Stage::Left(patience) => turns.lost(self.kind, now + patience + WINDOW, now),
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
