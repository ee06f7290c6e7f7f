//! The instructions of one client that are under way or not settled, and the
//! last ones that are.

use std::collections::hash_map::RandomState;
use std::collections::{HashSet, VecDeque};
use std::hash::BuildHasher;

use crate::base::clock;
use crate::broker::outcome::{Instructed, Progress, Sent};
use crate::ledger::Intent;

/// The most open instructions that are remembered. Far beyond what a day of
/// failures makes; the ledger has no such limit.
const MOST_OPEN: usize = 4096;
/// The most settled ones, a few bytes each.
const MOST_SETTLED: usize = 8192;
/// The most order numbers that are known, the newest: some two megabytes. No day
/// ends the memory: the broker's numbers begin with the date, so none comes again.
const MOST_TOLD: usize = 65_536;

/// How an instruction was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    Taken,
    NotTaken,
    /// Not at all: there was no room to remember it.
    Forgotten,
}

/// An instruction that is not settled.
#[derive(Clone, Debug)]
pub(super) struct Open {
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

#[derive(Default)]
pub(super) struct Register {
    open: Vec<Open>,
    /// Hashes of tag and number of the new order.
    settled: VecDeque<(u64, u64, Settled)>,
    /// Hashes of the order numbers that answers told, or that were sent.
    told: HashSet<u64>,
    /// The same, the oldest first.
    told_order: VecDeque<u64>,
    hasher: RandomState,
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
            self.settle(&forgotten.intent.tag, None, Settled::Forgotten);
        }
        self.open.push(Open {
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

    /// Its call has ended without a proof.
    pub(super) fn leave_open(&mut self, tag: &str, sent: Sent) {
        if let Some(open) = self.open.iter_mut().find(|open| open.intent.tag == tag) {
            open.running = false;
            open.sent = sent;
        }
    }

    /// It is proved how it ended. `placed` is the number of the new order. That
    /// of an order which was only changed says nothing about who placed it.
    pub(super) fn settle(&mut self, tag: &str, placed: Option<&str>, how: Settled) {
        self.open.retain(|open| open.intent.tag != tag);
        if self.settled.len() >= MOST_SETTLED {
            self.settled.pop_front();
        }
        if let Some(number) = placed {
            self.tell(number);
        }
        let hashes = (self.hash(tag), self.hash(placed.unwrap_or("")));
        self.settled.push_back((hashes.0, hashes.1, how));
    }

    /// Remembers the number of an order; `false` if it was known.
    pub(super) fn tell(&mut self, number: &str) -> bool {
        let hash = self.hash(number);
        if !self.told.insert(hash) {
            return false;
        }
        if self.told_order.len() >= MOST_TOLD {
            if let Some(oldest) = self.told_order.pop_front() {
                self.told.remove(&oldest);
            }
        }
        self.told_order.push_back(hash);
        true
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

    /// How the newest instruction with this tag was settled.
    pub(super) fn how(&self, tag: &str) -> Option<Settled> {
        if self.by_tag(tag).is_some() {
            return None;
        }
        let tag = self.hash(tag);
        let mut settled = self.settled.iter().rev();
        settled
            .find(|(of, _, _)| *of == tag)
            .map(|(_, _, how)| *how)
            .filter(|how| *how != Settled::Forgotten)
    }

    /// What was seen of the instruction that is asked about. Its tag may be
    /// that of a newer one by now.
    pub(super) fn remember(&mut self, asked: &Instructed, progress: &Progress) {
        let mut open = self.open.iter_mut();
        if let Some(open) = open.find(|open| open.is(asked)) {
            open.progress = progress.clone();
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
        let is_open = self.open.iter().any(|open| open.is(asked));
        if is_open {
            self.settle(&asked.tag, placed, how);
        }
        is_open
    }

    /// Whether a row of the order book belongs to another instruction than
    /// the open one with `tag`: also to an earlier one with the same tag.
    pub(super) fn is_of_another(&self, tag: &str, row_tag: &str, order_number: &str) -> bool {
        if !row_tag.is_empty() && row_tag != tag && self.by_tag(row_tag).is_some() {
            return true;
        }
        let (mine, row_tag, number) = (self.hash(tag), self.hash(row_tag), self.hash(order_number));
        let blank = self.hash("");
        self.settled.iter().any(|(of, order, how)| {
            *how == Settled::Taken
                && ((*order == number && number != blank)
                    || (*of != mine && *of == row_tag && row_tag != blank))
        })
    }

    /// Those whose call has ended without a proof.
    pub(super) fn unsettled(&self) -> impl Iterator<Item = &Intent> {
        let left = self.open.iter().filter(|open| !open.running);
        left.map(|open| &open.intent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::orders::InstructionKind;

    fn intent(tag: &str, order_id: Option<&str>) -> Intent {
        Intent {
            tag: tag.to_owned(),
            intent_id: None,
            operation: "place_order".to_owned(),
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
        register.settle("a", Some("1"), Settled::Taken);
        assert_eq!(register.unsettled().count(), 0);
        assert_eq!(register.how("a"), Some(Settled::Taken));
        assert_eq!(register.how("b"), None);
    }

    #[test]
    fn rows_of_others_are_known_by_number_and_tag() {
        let mut register = Register::default();
        register.settle("a", Some("1"), Settled::Taken);
        register.settle("b", None, Settled::NotTaken);
        assert!(register.begin(intent("c", None)));
        assert!(register.is_of_another("mine", "rewritten", "1"));
        assert!(register.is_of_another("mine", "a", "7"));
        assert!(register.is_of_another("mine", "c", "7"));
        assert!(!register.is_of_another("mine", "", "7"));
        assert!(!register.is_of_another("mine", "b", "7"));
        assert!(register.is_of_another("a", "a", "1"), "an earlier one");
        assert!(!register.is_of_another("a", "a", "2"));
        register.settle("change", None, Settled::Taken);
        assert!(!register.is_of_another("mine", "", ""));
    }

    /// One thread proves an order absent and sends it anew with the same tag,
    /// while another is about to write down the same proof.
    #[test]
    fn a_proof_is_of_one_instruction() {
        let mut register = Register::default();
        let asked = |sent_at_ms: u64| {
            let (kind, sent) = (InstructionKind::Place, Sent::At(clock::now()));
            Instructed::new(kind, "t", None, "{}", sent_at_ms, sent)
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
        assert_eq!(register.how("t"), Some(Settled::Taken));
    }

    /// What is pushed out while it is open is not known to be anything: an
    /// earlier order with the same tag, which was refused, says nothing of it.
    #[test]
    fn what_is_forgotten_is_not_proved() {
        let mut register = Register::default();
        assert!(register.begin(intent("t", None)));
        register.settle("t", None, Settled::NotTaken);
        assert_eq!(register.how("t"), Some(Settled::NotTaken));
        assert!(register.begin(intent("running", None)));
        assert!(register.begin(intent("t", None)));
        assert_eq!(register.how("t"), None, "it is open again");
        register.leave_open("t", Sent::At(clock::now()));
        for at in 0..MOST_OPEN {
            assert!(register.begin(intent(&at.to_string(), None)));
            register.leave_open(&at.to_string(), Sent::At(clock::now()));
        }
        assert!(register.by_tag("t").is_none());
        assert_eq!(register.how("t"), None);
        assert!(register.by_tag("running").is_some(), "it is under way");
    }

    #[test]
    fn a_number_is_told_once() {
        let mut register = Register::default();
        assert!(register.tell("1"));
        assert!(!register.tell("1"));
        register.settle("found in the book", Some("2"), Settled::Taken);
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
        assert_eq!(register.told.len(), MOST_TOLD);
        assert_eq!(register.told_order.len(), MOST_TOLD);
        assert!(!register.tell("1") && !register.tell(&MOST_TOLD.to_string()));
        assert!(register.tell("0"), "the oldest");
    }

    #[test]
    fn memory_is_bounded() {
        let mut register = Register::default();
        for at in 0..MOST_SETTLED + 5 {
            assert!(register.begin(intent(&at.to_string(), Some("9"))));
            register.leave_open(&at.to_string(), Sent::At(clock::now()));
            register.settle(&format!("s{at}"), Some("2"), Settled::Taken);
        }
        assert_eq!(register.open.len(), MOST_OPEN);
        assert_eq!(register.settled.len(), MOST_SETTLED);
        let newest = register.by_order("9").expect("it is open");
        assert_eq!(newest.intent.tag, (MOST_SETTLED + 4).to_string());
    }
}
