//! The instructions of one client that are under way or not settled, and the
//! last ones that are.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::BuildHasher;
use std::sync::Arc;

use crate::base::calendar::trading_day;
use crate::base::clock::{self, Moment};
use crate::broker::order_book::Seen;
use crate::broker::orders::{self, InstructionKind};
use crate::broker::outcome::{Instructed, Progress, Sent};
use crate::ledger::Intent;

/// The most open instructions that are remembered. Far beyond what a day of
/// failures makes; the ledger has no such limit.
const MOST_OPEN: usize = 4096;
/// The most settled ones, some fifty bytes each. Those of a day that are not remembered
/// end every proof of that day: a book that lacks them would not be noticed.
const MOST_SETTLED: usize = 65_536;
/// So many are copied, at the most, where one is written down while others are looked at.
const PAGE: usize = 256;
/// The most order numbers that are known, the newest: some two megabytes. No day
/// ends the memory: the broker's numbers begin with the date, so none comes again.
const MOST_TOLD: usize = 65_536;
/// The most after-market orders that are known to be some, the newest: some half a
/// megabyte. What is forgotten is cancelled as the caller says, as if it were never known.
const MOST_AFTER_MARKET: usize = 4096;

/// How an instruction was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    Taken,
    NotTaken,
    /// Not at all: there was no room to remember it.
    Forgotten,
}

/// What is remembered of an instruction that is settled; texts as hashes.
#[derive(Clone, Copy)]
struct Ended {
    tag: u64,
    /// The order that it made or changed, unless it is known that it did not.
    order: Option<u64>,
    account: u64,
    /// By our clock of then.
    sent_at_ms: u64,
    /// When that was known; `None` if an earlier process knew.
    at: Option<Moment>,
    kind: InstructionKind,
    how: Settled,
}

impl Ended {
    fn day(&self) -> u64 {
        trading_day(self.sent_at_ms / 1000)
    }

    /// Whether it was sent after another, as far as may be.
    fn is_after(&self, asked: &Instructed) -> bool {
        match (self.at, asked.sent) {
            (Some(at), sent) => at > sent.over(),
            (None, Sent::Before { .. }) => self.sent_at_ms > asked.sent_at_ms,
            (None, Sent::At(_) | Sent::Ended { .. }) => false,
        }
    }
}

/// What is settled, the oldest first. It is handed out whole without a copy.
#[derive(Clone, Default)]
struct Pages(VecDeque<Arc<Vec<Ended>>>);

impl Pages {
    fn push(&mut self, ended: Ended) {
        match self.0.back_mut() {
            Some(page) if page.len() < PAGE => Arc::make_mut(page).push(ended),
            _ => self.0.push_back(Arc::new(vec![ended])),
        }
    }

    /// Takes away the oldest page, if there are too many.
    fn overflow(&mut self) -> Option<Arc<Vec<Ended>>> {
        let full = self.0.len() > MOST_SETTLED / PAGE;
        full.then(|| self.0.pop_front()).flatten()
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = &Ended> {
        self.0.iter().flat_map(|page| page.iter())
    }
}

/// An instruction that is not settled.
#[derive(Clone, Debug)]
pub(super) struct Open {
    /// The hash of its tag.
    key: u64,
    pub(super) intent: Intent,
    pub(super) sent: Sent,
    pub(super) progress: Progress,
    /// Whether its call is still running.
    pub(super) running: bool,
}

impl Open {
    fn is(&self, asked: &Instructed) -> bool {
        self.intent.tag == asked.tag && self.intent.sent_at_ms == asked.sent_at_ms
    }
}

/// The newest of what has a key, so many at the most.
struct Newest<T> {
    all: HashMap<u64, T>,
    /// The keys, the oldest first.
    order: VecDeque<u64>,
    most: usize,
}

impl<T> Newest<T> {
    fn of(most: usize) -> Self {
        Self {
            all: HashMap::new(),
            order: VecDeque::new(),
            most,
        }
    }

    /// `false` if it was there; its place among the others stays.
    fn put(&mut self, key: u64, value: T) -> bool {
        if self.all.insert(key, value).is_some() {
            return false;
        }
        if self.order.len() >= self.most {
            if let Some(oldest) = self.order.pop_front() {
                self.all.remove(&oldest);
            }
        }
        self.order.push_back(key);
        true
    }

    fn take_away(&mut self, key: u64) {
        if self.all.remove(&key).is_some() {
            self.order.retain(|other| *other != key);
        }
    }
}

/// What is known of an order that is an after-market order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AfterMarket {
    pub(super) symbol: Option<String>,
    /// By what it is known.
    pub(super) from: &'static str,
}

pub(super) struct Register {
    open: Vec<Open>,
    settled: Pages,
    /// The last day of which something taken was forgotten.
    forgotten: Option<u64>,
    /// Hashes of the order numbers that answers told, or that were sent.
    told: Newest<()>,
    /// By hash of account and order number. No day ends this memory either: an order of
    /// the evening is cancelled in the morning.
    after_market: Newest<AfterMarket>,
    hasher: RandomState,
}

impl Default for Register {
    fn default() -> Self {
        Self {
            open: Vec::new(),
            settled: Pages::default(),
            forgotten: None,
            told: Newest::of(MOST_TOLD),
            after_market: Newest::of(MOST_AFTER_MARKET),
            hasher: RandomState::default(),
        }
    }
}

impl Register {
    /// A new instruction. `false` if its tag is that of an open one.
    pub(super) fn begin(&mut self, intent: Intent) -> bool {
        if self.open.iter().any(|open| open.intent.tag == intent.tag) {
            return false;
        }
        // What comes late on a change of an order is not a new one's answer.
        if let Some(number) = &intent.order_id {
            self.tell(number);
        }
        if self.open.len() >= MOST_OPEN {
            let ended = self.open.iter().position(|open| !open.running);
            let forgotten = self.open.remove(ended.unwrap_or(0));
            self.settle(&forgotten.intent, None, Settled::Forgotten);
        }
        self.open.push(Open {
            key: self.hash(&intent.tag),
            intent,
            sent: Sent::At(clock::now()),
            progress: Progress::default(),
            running: true,
        });
        true
    }

    /// It was not begun after all. Says nothing about others with its tag.
    pub(super) fn drop_attempt(&mut self, tag: &str) {
        self.open.retain(|open| open.intent.tag != tag);
    }

    /// An open instruction of an earlier process.
    pub(super) fn adopt(&mut self, intent: Intent, sent: Sent) {
        let tag = intent.tag.clone();
        if self.begin(intent) {
            self.leave_open(&tag, sent);
        }
    }

    /// How this very instruction ended, if that is known here.
    pub(super) fn ended(&self, intent: &Intent) -> Option<Settled> {
        let tag = self.hash(&intent.tag);
        let is_it = |it: &&Ended| it.tag == tag && it.sent_at_ms == intent.sent_at_ms;
        let how = self.settled.iter().rev().find(is_it)?.how;
        (how != Settled::Forgotten).then_some(how)
    }

    /// Its call has ended without a proof.
    pub(super) fn leave_open(&mut self, tag: &str, sent: Sent) {
        if let Some(open) = self.open.iter_mut().find(|open| open.intent.tag == tag) {
            open.running = false;
            open.sent = sent;
        }
    }

    /// It is proved how it ended. `placed` is the number of the new order. That
    /// of an order which was only changed says nothing about who placed it.
    pub(super) fn settle(&mut self, intent: &Intent, placed: Option<&str>, how: Settled) {
        self.open.retain(|open| open.intent.tag != intent.tag);
        self.note(intent, placed, how, Some(clock::now()));
    }

    /// What an earlier process knew to be taken.
    pub(super) fn recall(&mut self, intent: &Intent, placed: Option<&str>) {
        self.note(intent, placed, Settled::Taken, None);
    }

    fn note(&mut self, intent: &Intent, placed: Option<&str>, how: Settled, at: Option<Moment>) {
        if let Some(number) = placed {
            self.tell(number);
        }
        if let (Some(number), Settled::Taken) = (placed, how) {
            // That an earlier process placed it, the ledger knows.
            let from = at.map_or("ledger_file", |_| "place_order");
            let account = intent.account.as_deref();
            let placed = orders::placed_after_market(number, &intent.facts);
            self.see(account, placed.into_iter().collect(), from);
        }
        let order = intent.order_id.as_deref().or(placed);
        let order = order.filter(|number| how != Settled::NotTaken && !number.is_empty());
        self.settled.push(Ended {
            tag: self.hash(&intent.tag),
            order: order.map(|number| self.hash(number)),
            account: self.account(intent.account.as_deref()),
            sent_at_ms: intent.sent_at_ms,
            at,
            kind: InstructionKind::of(&intent.operation),
            how,
        });
        if let Some(page) = self.settled.overflow() {
            let taken = page.iter().filter(|ended| ended.how == Settled::Taken);
            self.forgotten = taken.map(Ended::day).max().max(self.forgotten);
        }
    }

    fn account(&self, account: Option<&str>) -> u64 {
        self.hasher.hash_one(account)
    }

    /// Remembers the number of an order; `false` if it was known.
    pub(super) fn tell(&mut self, number: &str) -> bool {
        let hash = self.hash(number);
        self.told.put(hash, ())
    }

    /// Whether any after-market order is known.
    pub(super) fn knows_after_market(&self) -> bool {
        !self.after_market.all.is_empty()
    }

    /// Takes what rows of one reading, or one event, tell of the orders of an account. Of
    /// one order several rows may tell, and then one that says so is enough.
    pub(super) fn see(&mut self, account: Option<&str>, rows: Vec<Seen>, from: &'static str) {
        for row in rows.iter().filter(|row| !row.after_market) {
            let key = self.of_account(account, &row.number);
            self.after_market.take_away(key);
        }
        for row in rows.into_iter().filter(|row| row.after_market) {
            let key = self.of_account(account, &row.number);
            let known = self.after_market.all.get(&key);
            let symbol = row.symbol.or_else(|| known?.symbol.clone());
            self.after_market.put(key, AfterMarket { symbol, from });
        }
    }

    /// What is known of an order, if it is known to be an after-market order.
    pub(super) fn after_market(&self, account: Option<&str>, number: &str) -> Option<AfterMarket> {
        let key = self.of_account(account, number);
        self.after_market.all.get(&key).cloned()
    }

    fn of_account(&self, account: Option<&str>, number: &str) -> u64 {
        self.hasher.hash_one((account, number))
    }

    fn hash(&self, text: &str) -> u64 {
        self.hasher.hash_one(text)
    }

    /// How many are open and have a call that is still running.
    pub(super) fn running(&self) -> usize {
        self.open.iter().filter(|open| open.running).count()
    }

    pub(super) fn by_tag(&self, tag: &str) -> Option<&Open> {
        self.open.iter().find(|open| open.intent.tag == tag)
    }

    /// The newest open change of an order.
    pub(super) fn by_order(&self, order_id: &str) -> Option<&Open> {
        let of_order = |open: &&Open| open.intent.order_id.as_deref() == Some(order_id);
        self.open.iter().rev().find(of_order)
    }

    /// What was seen of the instruction that is asked about. Its tag may be
    /// that of a newer one by now.
    pub(super) fn remember(&mut self, asked: &Instructed, progress: &Progress) {
        let mut open = self.open.iter_mut();
        if let Some(open) = open.find(|open| open.is(asked)) {
            open.progress = *progress;
        }
    }

    /// Settles the instruction that is asked about; `false` if it is not open
    /// any more.
    pub(super) fn settle_asked(
        &mut self,
        asked: &Instructed,
        placed: Option<&str>,
        how: Settled,
    ) -> bool {
        let open = self.open.iter().find(|open| open.is(asked));
        let intent = open.map(|open| open.intent.clone());
        if let Some(intent) = &intent {
            self.settle(intent, placed, how);
        }
        intent.is_some()
    }

    /// What is known at this moment. It takes as long, however much that is: nothing is
    /// looked through while others wait for the register.
    pub(super) fn snapshot(&self) -> Snapshot {
        let open = self.open.iter().map(|open| OpenKey {
            tag: open.key,
            about: open.intent.order_id.as_deref().map(|id| self.hash(id)),
            kind: InstructionKind::of(&open.intent.operation),
            sent: open.sent.over(),
        });
        Snapshot {
            open: open.collect(),
            settled: self.settled.clone(),
            forgotten: self.forgotten,
            hasher: self.hasher.clone(),
        }
    }

    /// Those whose call has ended without a proof.
    pub(super) fn unsettled(&self) -> impl Iterator<Item = &Intent> {
        let left = self.open.iter().filter(|open| !open.running);
        left.map(|open| &open.intent)
    }
}

/// An open instruction, as a snapshot has it.
struct OpenKey {
    tag: u64,
    about: Option<u64>,
    kind: InstructionKind,
    sent: Moment,
}

/// What the register knew at a moment.
pub(super) struct Snapshot {
    open: Vec<OpenKey>,
    settled: Pages,
    forgotten: Option<u64>,
    hasher: RandomState,
}

impl Snapshot {
    pub(super) fn hash(&self, text: &str) -> u64 {
        self.hasher.hash_one(text)
    }

    /// How the newest instruction with this tag was settled; `None` while it is open.
    pub(super) fn how(&self, tag: &str) -> Option<Settled> {
        let tag = self.hash(tag);
        if self.open.iter().any(|open| open.tag == tag) {
            return None;
        }
        let newest = self.settled.iter().rev().find(|ended| ended.tag == tag);
        let how = newest.map(|ended| ended.how);
        how.filter(|how| *how != Settled::Forgotten)
    }

    /// What of it is of use for one instruction: of its account, and of its day.
    pub(super) fn beside(&self, asked: &Instructed, began: Moment) -> Beside {
        let account = self.hasher.hash_one(asked.account.as_deref());
        let day = trading_day(asked.sent_at_ms / 1000);
        let mine = self.hash(&asked.tag);
        let order = asked.order_id.as_deref().map(|id| self.hash(id));
        let of_account = |ended: &&Ended| ended.account == account;
        let taken = |ended: &&Ended| ended.how == Settled::Taken && of_account(ended);
        let mut beside = Beside {
            mine,
            open: self.open.iter().map(|open| open.tag).collect(),
            tags: HashSet::new(),
            placed: HashSet::new(),
            known: Vec::new(),
            all_known: self.forgotten.is_none_or(|forgotten| forgotten < day),
            changed_since: false,
        };
        for ended in self.settled.iter().filter(taken) {
            // A clock that was set since may have given a later day to it.
            if ended.day() >= day && ended.at.is_none_or(|at| at <= began) {
                beside.known.extend(ended.order);
            }
            if ended.day() == day {
                beside.tags.insert(ended.tag);
                if ended.kind == InstructionKind::Place {
                    beside.placed.extend(ended.order);
                }
            }
        }
        if asked.kind == InstructionKind::Modify {
            let of_it = |kind, about| kind == InstructionKind::Modify && about == order;
            let sent = asked.sent.over();
            let ended = |it: &Ended| {
                it.how != Settled::NotTaken && of_it(it.kind, it.order) && it.is_after(asked)
            };
            let open = |it: &OpenKey| it.tag != mine && of_it(it.kind, it.about) && it.sent > sent;
            beside.changed_since = self.settled.iter().any(ended) || self.open.iter().any(open);
        }
        beside
    }

    /// The order numbers of which it is known that an instruction of this client made them.
    pub(super) fn placed(&self) -> HashSet<u64> {
        let placed = |it: &&Ended| it.kind == InstructionKind::Place && it.how == Settled::Taken;
        let settled = self.settled.iter().filter(placed);
        settled.filter_map(|ended| ended.order).collect()
    }
}

/// What is known beside one instruction that is looked for; all as hashes.
pub(super) struct Beside {
    mine: u64,
    open: HashSet<u64>,
    tags: HashSet<u64>,
    placed: HashSet<u64>,
    known: Vec<u64>,
    all_known: bool,
    /// Whether a later modification of the same order was taken, or may have been.
    pub(super) changed_since: bool,
}

impl Beside {
    /// Whether a row of the order book belongs to another instruction: also to an earlier
    /// one with the same tag.
    pub(super) fn is_of_another(&self, row_tag: Option<u64>, number: Option<u64>) -> bool {
        let of_tag =
            |tag: u64| tag != self.mine && (self.open.contains(&tag) || self.tags.contains(&tag));
        number.is_some_and(|number| self.placed.contains(&number)) || row_tag.is_some_and(of_tag)
    }

    /// The orders that were known to be there when the reading began; `None` if not all
    /// of them are remembered.
    pub(super) fn known(&self) -> Option<&[u64]> {
        self.all_known.then_some(&self.known)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn intent(tag: &str, order_id: Option<&str>) -> Intent {
        Intent {
            tag: tag.to_owned(),
            intent_id: None,
            operation: match order_id {
                None => "place_order".to_owned(),
                Some(_) => "cancel_order".to_owned(),
            },
            account: None,
            order_id: order_id.map(str::to_owned),
            facts: "{}".to_owned(),
            sent_at_ms: 1,
        }
    }

    #[test]
    fn an_open_tag_is_taken() {
        let mut register = Register::default();
        assert!(register.begin(intent("a", None)));
        assert!(!register.begin(intent("a", None)));
        assert_eq!(register.unsettled().count(), 0, "its call is running");
        register.leave_open("a", Sent::At(clock::now()));
        assert_eq!(register.unsettled().count(), 1);
        register.settle(&intent("a", None), Some("1"), Settled::Taken);
        assert_eq!(register.unsettled().count(), 0);
        assert_eq!(register.snapshot().how("a"), Some(Settled::Taken));
        assert_eq!(register.snapshot().how("b"), None);
    }

    /// Of the same account and day as every [`intent`].
    fn asked(tag: &str, kind: InstructionKind, order_id: Option<&str>) -> Instructed {
        let sent = Sent::At(clock::now());
        Instructed::new(kind, tag, order_id, "{}", 1, sent)
    }

    fn beside(register: &Register, asked: &Instructed) -> Beside {
        register.snapshot().beside(asked, clock::now())
    }

    fn known(register: &Register, asked: &Instructed) -> usize {
        let known = beside(register, asked);
        known.known().expect("all are remembered").len()
    }

    #[test]
    fn rows_of_others_are_known_by_number_and_tag() {
        let mut register = Register::default();
        register.settle(&intent("a", None), Some("1"), Settled::Taken);
        register.settle(&intent("b", None), None, Settled::NotTaken);
        assert!(register.begin(intent("c", None)));
        register.settle(&intent("change", Some("9")), None, Settled::Taken);
        let hasher = register.hasher.clone();
        let told = |text: &str| (!text.is_empty()).then(|| hasher.hash_one(text));
        let is_of_another = |mine: &str, tag: &str, number: &str| {
            let asked = asked(mine, InstructionKind::Place, None);
            beside(&register, &asked).is_of_another(told(tag), told(number))
        };
        assert!(is_of_another("mine", "rewritten", "1"));
        assert!(is_of_another("mine", "a", "7"));
        assert!(is_of_another("mine", "c", "7"));
        assert!(!is_of_another("mine", "", "7"));
        assert!(!is_of_another("mine", "b", "7"));
        assert!(is_of_another("a", "a", "1"), "an earlier one");
        assert!(!is_of_another("a", "a", "2"));
        assert!(!is_of_another("mine", "", ""));
        assert!(
            !is_of_another("mine", "", "9"),
            "who placed it is not known"
        );
        // Of another account, or of another day, nothing is taken.
        let mut other = asked("mine", InstructionKind::Place, None);
        other.account = Some("OTHER".to_owned());
        assert!(!beside(&register, &other).is_of_another(told("a"), told("1")));
        other.account = None;
        other.sent_at_ms += 86_400_000;
        assert!(!beside(&register, &other).is_of_another(told("a"), told("1")));
    }

    #[test]
    fn what_is_known_to_be_there_is_of_one_account_and_day() {
        let mut register = Register::default();
        let new = asked("mine", InstructionKind::Place, None);
        assert_eq!(known(&register, &new), 0);
        let before = clock::now();
        register.settle(&intent("a", None), Some("1"), Settled::Taken);
        register.settle(&intent("change", Some("9")), None, Settled::Taken);
        register.settle(&intent("b", None), None, Settled::NotTaken);
        register.settle(&intent("change", Some("8")), None, Settled::NotTaken);
        assert_eq!(
            known(&register, &new),
            2,
            "what was placed, what was changed"
        );
        let early = register
            .snapshot()
            .beside(&new, before - Duration::from_secs(1));
        assert_eq!(early.known(), Some(&[][..]), "the book was read before");
        let mut other = new.clone();
        other.account = Some("OTHER".to_owned());
        assert_eq!(known(&register, &other), 0);
        let mut tomorrow = new.clone();
        tomorrow.sent_at_ms += 86_400_000;
        assert_eq!(known(&register, &tomorrow), 0);
        // A snapshot stays as it was.
        let snapshot = register.snapshot();
        register.settle(&intent("c", None), Some("3"), Settled::Taken);
        assert_eq!(known(&register, &new), 3);
        let then = snapshot.beside(&new, clock::now());
        assert_eq!(then.known().map(<[u64]>::len), Some(2));
    }

    #[test]
    fn a_later_modification_of_the_order_is_told() {
        let modify = |tag: &str, id: &str| Intent {
            operation: "modify_order".to_owned(),
            ..intent(tag, Some(id))
        };
        let mut register = Register::default();
        register.settle(&modify("before", "9"), None, Settled::Taken);
        let lost = asked("lost", InstructionKind::Modify, Some("9"));
        assert!(register.begin(modify("lost", "9")));
        register.settle(&modify("of another", "8"), None, Settled::Taken);
        register.settle(&modify("refused", "9"), None, Settled::NotTaken);
        assert!(!beside(&register, &lost).changed_since);
        assert!(register.begin(modify("open", "9")));
        assert!(beside(&register, &lost).changed_since, "it may be taken");
        register.settle(&modify("open", "9"), None, Settled::NotTaken);
        assert!(!beside(&register, &lost).changed_since);
        register.settle(&modify("taken", "9"), None, Settled::Taken);
        assert!(beside(&register, &lost).changed_since);
        // Of an earlier process, that counts which it sent later.
        let mut register = Register::default();
        let mut lost = lost;
        let over = clock::now();
        (lost.sent, lost.sent_at_ms) = (Sent::Before { told: None, over }, 5);
        register.recall(&modify("before", "9"), None);
        assert!(!beside(&register, &lost).changed_since);
        let after = Intent {
            sent_at_ms: 6,
            ..modify("after", "9")
        };
        register.recall(&after, None);
        assert!(beside(&register, &lost).changed_since);
        assert_eq!(known(&register, &lost), 2);
        // One that was forgotten while it was open may have been taken.
        let mut register = Register::default();
        register.settle(&modify("forgotten", "9"), None, Settled::Forgotten);
        assert!(beside(&register, &lost).changed_since);
        assert_eq!(known(&register, &lost), 0);
    }

    /// What is forgotten may be missing in a book, and nobody would notice.
    #[test]
    fn what_cannot_be_remembered_proves_nothing_of_its_day() {
        let mut register = Register::default();
        let new = asked("mine", InstructionKind::Place, None);
        for at in 0..MOST_SETTLED {
            let number = at.to_string();
            register.settle(&intent("t", None), Some(&number), Settled::Taken);
        }
        assert_eq!(known(&register, &new), MOST_SETTLED);
        register.settle(&intent("t", None), Some("one more"), Settled::Taken);
        assert_eq!(beside(&register, &new).known(), None);
        let mut tomorrow = new;
        tomorrow.sent_at_ms += 86_400_000;
        assert_eq!(known(&register, &tomorrow), 0);
    }

    /// One thread proves an order absent and sends it anew with the same tag,
    /// while another is about to write down the same proof.
    #[test]
    fn a_proof_is_of_one_instruction() {
        let mut register = Register::default();
        let asked = |sent_at_ms: u64| {
            let mut asked = asked("t", InstructionKind::Place, None);
            asked.sent_at_ms = sent_at_ms;
            asked
        };
        assert!(register.begin(intent("t", None)));
        assert!(register.settle_asked(&asked(1), None, Settled::NotTaken));
        let mut newer = intent("t", None);
        newer.sent_at_ms = 2;
        assert!(register.begin(newer));
        assert!(!register.settle_asked(&asked(1), None, Settled::NotTaken));
        let mut seen = Progress::default();
        seen.reads = 7;
        register.remember(&asked(1), &seen);
        assert_eq!(
            register.by_tag("t").map(|open| open.progress.reads),
            Some(0)
        );
        register.remember(&asked(2), &seen);
        assert_eq!(
            register.by_tag("t").map(|open| open.progress.reads),
            Some(7)
        );
        assert!(register.settle_asked(&asked(2), Some("9"), Settled::Taken));
        assert_eq!(register.snapshot().how("t"), Some(Settled::Taken));
    }

    /// What is pushed out while it is open is not known to be anything: an
    /// earlier order with the same tag, which was refused, says nothing of it.
    #[test]
    fn what_is_forgotten_is_not_proved() {
        let mut register = Register::default();
        assert!(register.begin(intent("t", None)));
        register.settle(&intent("t", None), None, Settled::NotTaken);
        assert_eq!(register.snapshot().how("t"), Some(Settled::NotTaken));
        assert!(register.begin(intent("running", None)));
        assert!(register.begin(intent("t", None)));
        assert_eq!(register.snapshot().how("t"), None, "it is open again");
        register.leave_open("t", Sent::At(clock::now()));
        for at in 0..MOST_OPEN {
            assert!(register.begin(intent(&at.to_string(), None)));
            register.leave_open(&at.to_string(), Sent::At(clock::now()));
        }
        assert!(register.by_tag("t").is_none());
        assert_eq!(register.snapshot().how("t"), None);
        assert!(register.by_tag("running").is_some(), "it is under way");
    }

    #[test]
    fn a_number_is_told_once() {
        let mut register = Register::default();
        assert!(register.tell("1"));
        assert!(!register.tell("1"));
        register.settle(
            &intent("found in the book", None),
            Some("2"),
            Settled::Taken,
        );
        assert!(!register.tell("2"));
        assert!(register.begin(intent("a change", Some("3"))));
        assert!(!register.tell("3"));
        register.adopt(intent("of before", Some("4")), Sent::At(clock::now()));
        assert!(!register.tell("4"));
    }

    #[test]
    fn the_oldest_numbers_are_forgotten() {
        let mut register = Register::default();
        for at in 0..=MOST_TOLD {
            assert!(register.tell(&at.to_string()));
        }
        assert_eq!(register.told.all.len(), MOST_TOLD);
        assert_eq!(register.told.order.len(), MOST_TOLD);
        assert!(!register.tell("1") && !register.tell(&MOST_TOLD.to_string()));
        assert!(register.tell("0"), "the oldest");
    }

    fn row(number: &str, after_market: bool, symbol: Option<&str>) -> Seen {
        Seen {
            number: number.to_owned(),
            after_market,
            symbol: symbol.map(str::to_owned),
        }
    }

    #[test]
    fn an_after_market_order_is_known_of_its_account() {
        let mut register = Register::default();
        let known = |register: &Register, account: &str, number: &str| {
            let known = register.after_market(Some(account), number)?;
            Some((known.symbol, known.from))
        };
        assert!(!register.knows_after_market());
        register.see(
            Some("A"),
            vec![row("1", true, Some("IDEA-EQ"))],
            "order_feed",
        );
        let told = Some((Some("IDEA-EQ".to_owned()), "order_feed"));
        assert_eq!(known(&register, "A", "1"), told);
        assert_eq!(known(&register, "B", "1"), None);
        assert_eq!(known(&register, "A", "2"), None);
        assert_eq!(register.after_market(None, "1"), None);
        // A later row that has no symbol takes none away.
        register.see(Some("A"), vec![row("1", true, None)], "order_report");
        let told = Some((Some("IDEA-EQ".to_owned()), "order_report"));
        assert_eq!(known(&register, "A", "1"), told);
        // The newest word counts; in one reading the one that says so.
        register.see(Some("B"), vec![row("1", false, None)], "order_report");
        assert_eq!(known(&register, "A", "1"), told);
        let both = vec![row("1", true, None), row("1", false, None)];
        register.see(Some("A"), both, "order_history");
        assert!(known(&register, "A", "1").is_some());
        register.see(Some("A"), vec![row("1", false, None)], "order_report");
        assert_eq!(known(&register, "A", "1"), None);
        assert!(!register.knows_after_market());
    }

    /// What this client placed as one is one, whoever proved that it was taken.
    #[test]
    fn a_placed_after_market_order_is_known() {
        let mut register = Register::default();
        let placed = |tag: &str, am: &str| Intent {
            facts: format!(r#"{{"am":"{am}","ts":"TCS-EQ"}}"#),
            ..intent(tag, None)
        };
        register.settle(&placed("a", "YES"), Some("1"), Settled::Taken);
        register.settle(&placed("b", "NO"), Some("2"), Settled::Taken);
        register.settle(&placed("c", "YES"), Some("3"), Settled::NotTaken);
        register.settle(&placed("d", "YES"), Some(""), Settled::Taken);
        register.recall(&placed("e", "YES"), Some("5"));
        let from = |number| register.after_market(None, number).map(|known| known.from);
        let all = ["1", "2", "3", "", "5"].map(from);
        assert_eq!(
            all,
            [Some("place_order"), None, None, None, Some("ledger_file")]
        );
        let symbol = register
            .after_market(None, "1")
            .and_then(|known| known.symbol);
        assert_eq!(symbol.as_deref(), Some("TCS-EQ"));
    }

    #[test]
    fn the_oldest_after_market_orders_are_forgotten() {
        let mut register = Register::default();
        for at in 0..=MOST_AFTER_MARKET {
            register.see(None, vec![row(&at.to_string(), true, None)], "order_feed");
        }
        assert_eq!(register.after_market.all.len(), MOST_AFTER_MARKET);
        assert_eq!(register.after_market.order.len(), MOST_AFTER_MARKET);
        assert_eq!(register.after_market(None, "0"), None);
        assert!(register.after_market(None, "1").is_some());
        register.see(
            None,
            vec![row("1", false, None), row("2", true, None)],
            "order_feed",
        );
        assert_eq!(register.after_market.order.len(), MOST_AFTER_MARKET - 1);
    }

    #[test]
    fn memory_is_bounded() {
        let mut register = Register::default();
        for at in 0..MOST_OPEN + 5 {
            assert!(register.begin(intent(&at.to_string(), Some("9"))));
            register.leave_open(&at.to_string(), Sent::At(clock::now()));
        }
        assert_eq!(register.open.len(), MOST_OPEN);
        let newest = register.by_order("9").expect("it is open");
        assert_eq!(newest.intent.tag, (MOST_OPEN + 4).to_string());
        let mut register = Register::default();
        for _ in 0..MOST_SETTLED + 5 * PAGE {
            register.settle(&intent("t", None), Some("2"), Settled::Taken);
        }
        assert_eq!(register.settled.iter().count(), MOST_SETTLED);
    }
}
