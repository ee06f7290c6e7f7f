//! What readings of the order book prove about an instruction whose answer is missing.
//!
//! [`prove`] is the only place that says `absent`, and says it only if every
//! [`Premise`] holds. What the proof takes for granted of the broker:
//!
//! - What it took of an instruction is in the book when the outcome window is over.
//! - A book that lacks rows for longer than a second lacks one of the orders that are
//!   known to be there, or does not go with the trades and positions.
//! - It makes no tag of our form, and shows each order with the side it was sent with.
//! - Nobody else changes an order whose change is looked for.
//!
//! `model.rs` is such a broker, made apart; the proof is held to it.
//! Nothing here does I/O or looks at a clock.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::base::calendar::trading_day;
use crate::base::clock::Moment;
use crate::broker::order_book::{Row, may_be_symbol};
use crate::broker::orders::{self, InstructionKind};
use crate::broker::words::{self, Proof};

/// How far clocks that agree may be apart, and how far the book's may be from the
/// broker's `Date`. A larger allowance only makes us say "unknown" more often.
const CLOCK_SLACK_S: u64 = 15 * 60;
/// The same for what says that an order is new, or that a day has not ended.
const NEAR_S: u64 = 60;
/// The two readings that prove an absence are at least this far apart.
const BETWEEN_READS: Duration = Duration::from_secs(1);

/// What an absence rests on. Without any one of these it is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Premise {
    /// The call that sent it has ended.
    CallOver,
    /// The reading is of the account for which it was sent, and both are told.
    SameAccount,
    /// The broker's answer has a `Date`: our own clock proves no day.
    DateTold,
    /// By every clock, the reading is of the trading day of the sending.
    SameDay,
    /// The broker's clock and ours agree, now and at the sending. Only then is a row
    /// told to be older than the order, too.
    ClocksAgree,
    /// A change: its order is in the book.
    OrderShown,
    /// A change: every row of its order is in a state that excludes it, not just one.
    EveryRow,
    /// A change: a state that is not known, or on its way, excludes nothing.
    StatesExclude,
    /// A change: no later one of ours may have written over it.
    LastChange,
    /// A new order: no row has its tag.
    NoRowTagged,
    /// A new order: no row of a rewritten tag may be it.
    NoRowAlike,
    /// Such a row may have another quantity by now.
    AnyQuantity,
    /// Such a row may spell the symbol otherwise.
    AnySpelling,
    /// The book shows every order that is known to be there, and all those are
    /// remembered.
    KnownShown,
    /// The whole outcome window was over when the reading began.
    WindowOver,
    /// A reading at least a second before showed the same.
    TwoReadings,
    /// Where no order is known to be there: trades and positions answer, and go
    /// with the book.
    OthersAgree,
}

impl Premise {
    /// Whether a later reading can bring it, as far as is known.
    pub(crate) fn may_come(self) -> bool {
        !matches!(
            self,
            Self::SameAccount | Self::SameDay | Self::ClocksAgree | Self::LastChange
        )
    }

    /// What is to be told where it does not hold.
    pub(crate) fn lacking(self) -> &'static str {
        match self {
            Self::CallOver => "its call is still running, and its answer may come",
            Self::SameAccount => {
                "the session does not tell its account (UCC), so the order book may be of another one"
            }
            Self::DateTold => {
                "the broker's answer has no Date, so the order book may be of another trading day"
            }
            Self::SameDay => {
                "the order book of one trading day says nothing of an instruction of another, and by \
                 one of the clocks this may be one: look into the broker's app, at the order and \
                 trade history of the day of the sending"
            }
            Self::ClocksAgree => {
                "this machine's clock and the broker's are, or were at the sending, more than a \
                 quarter of an hour apart: what is older than the instruction cannot be told"
            }
            Self::OrderShown => {
                "the order is not in the order book, which proves nothing of a change"
            }
            Self::EveryRow | Self::StatesExclude => {
                "a change of this order is in progress, or its state proves nothing"
            }
            Self::LastChange => {
                "a later change of this order may have written over it; the order book cannot tell"
            }
            Self::NoRowTagged => "an order has its tag, but may be an older one",
            Self::NoRowAlike | Self::AnyQuantity | Self::AnySpelling => {
                "an order of the same side, and of a symbol that may be the same, may be it"
            }
            Self::KnownShown => {
                "the order book lacks an order that is known to be there, or more are known than \
                 can be remembered: it proves nothing"
            }
            Self::WindowOver | Self::TwoReadings => {
                "the order book does not show it yet; its absence is not proved either"
            }
            Self::OthersAgree => {
                "no order is known to be in the order book, and trades and positions do not answer, \
                 or do not go with it"
            }
        }
    }
}

/// What a test takes away from the proof, to see that it is needed. Nothing else can.
#[derive(Clone, Copy, Default)]
struct Waiver {
    #[cfg(test)]
    of: Option<Premise>,
}

impl Waiver {
    #[cfg(test)]
    fn is_of(self, premise: Premise) -> bool {
        self.of == Some(premise)
    }

    #[cfg(not(test))]
    fn is_of(self, _premise: Premise) -> bool {
        false
    }
}

/// What was asked, as far as the order book can show it.
#[derive(Clone, Debug)]
pub(crate) struct Instructed {
    pub(crate) kind: InstructionKind,
    pub(crate) tag: String,
    /// The UCC, where the session told it.
    pub(crate) account: Option<String>,
    pub(crate) order_id: Option<String>,
    /// The members that went to the broker.
    facts: HashMap<String, Option<String>>,
    /// Unix milliseconds of the sending.
    pub(crate) sent_at_ms: u64,
    pub(crate) sent: Sent,
}

/// Since when an instruction is on its way, and until when it may be, by a clock that
/// nobody sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// By a call that still runs.
    At(Moment),
    /// By a call that has ended. After `over` nothing of it is on its way any more.
    Ended { at: Moment, over: Moment },
    /// By an earlier process; the same moment as above. `told`: the broker's time of the
    /// sending, in unix seconds, where its ledger shows it.
    Before { told: Option<u64>, over: Moment },
}

impl Sent {
    /// From when on a book that does not show it counts.
    pub(crate) fn over(self) -> Moment {
        match self {
            Self::At(when) => when,
            Self::Ended { over, .. } | Self::Before { over, .. } => over,
        }
    }
}

/// What the clocks said when a reading of the order book was there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    pub(crate) at: Moment,
    /// This machine's, in unix seconds. It may be wrong, and may have been set
    /// since the sending.
    pub(crate) ours: u64,
    /// The broker's, where its answer told.
    pub(crate) broker: Option<u64>,
}

/// One reading of the order book, and what is known beside it.
pub(crate) struct Reading<'a> {
    /// When it was asked for.
    pub(crate) began: Moment,
    pub(crate) clocks: Clocks,
    /// The UCC of the session that read.
    pub(crate) account: Option<&'a str>,
    pub(crate) rows: &'a [Row],
    /// The order number of each row, as `known` has them.
    pub(crate) keys: &'a [u64],
    /// The orders of this account and day that were known to be there before the
    /// reading began, each as a hash; `None` if there were more than are remembered.
    pub(crate) known: Option<&'a [u64]>,
    /// Whether a row is that of another instruction of this client.
    pub(crate) of_another: &'a dyn Fn(usize) -> bool,
    /// Whether this client sent a later modification of the same order, and it was taken
    /// or may have been.
    pub(crate) changed_since: bool,
    /// The trades and positions that were read after the book, if they were.
    pub(crate) others: Option<Others<'a>>,
}

/// Other readings of the same session, later than that of the book.
#[derive(Clone, Copy)]
pub(crate) struct Others<'a> {
    pub(crate) trades: &'a [Row],
    pub(crate) positions: &'a [Row],
}

/// What is proved.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was done: these rows show it.
    Done(Vec<usize>),
    /// It was not done and will not be. The row is the order that it was about.
    Absent(Option<usize>),
    /// Neither, because this premise does not hold. These rows may be it.
    Open(Premise, Vec<usize>),
}

impl Instructed {
    /// `facts` is the JSON that `Instruction::facts` wrote.
    pub(crate) fn new(
        kind: InstructionKind,
        tag: &str,
        order_id: Option<&str>,
        facts: &str,
        sent_at_ms: u64,
        sent: Sent,
    ) -> Self {
        Self {
            kind,
            tag: tag.to_owned(),
            account: None,
            order_id: order_id.map(str::to_owned),
            // Unreadable facts match nothing, so nothing is proved by them.
            facts: serde_json::from_str(facts).unwrap_or_default(),
            sent_at_ms,
            sent,
        }
    }

    /// The same, for an account.
    pub(crate) fn of_account(mut self, account: Option<&str>) -> Self {
        self.account = account.map(str::to_owned);
        self
    }

    fn fact(&self, key: &str) -> &str {
        self.facts.get(key).and_then(Option::as_deref).unwrap_or("")
    }

    fn noted(&self) -> u64 {
        self.sent_at_ms / 1000
    }

    /// When it was sent, by every clock that says something of it. The broker's alone
    /// comes last, where it tells.
    fn sendings(&self, clocks: &Clocks) -> Vec<u64> {
        let mut all = vec![self.noted()];
        match self.sent {
            Sent::At(when) | Sent::Ended { at: when, .. } => {
                let ago = clocks.at.saturating_duration_since(when).as_secs();
                let then = |now: u64| now.saturating_sub(ago);
                all.push(then(clocks.ours));
                all.extend(clocks.broker.map(then));
            }
            Sent::Before { told, .. } => {
                // As if nobody had set our clock since.
                let moved = |broker: u64| (self.noted() + broker).saturating_sub(clocks.ours);
                all.extend(clocks.broker.map(moved));
                all.extend(told);
            }
        }
        all
    }

    /// Whether sending and reading are of one trading day, whichever clock is right.
    fn is_of_day(&self, clocks: &Clocks) -> bool {
        // What an earlier process noted by our clock alone, nobody can check.
        if matches!(self.sent, Sent::Before { told: None, .. }) {
            return false;
        }
        let day = trading_day(clocks.broker.unwrap_or(clocks.ours));
        let near = |time: u64| [time.saturating_sub(NEAR_S), time.saturating_add(NEAR_S)];
        let read = [Some(clocks.ours), clocks.broker];
        let all = self
            .sendings(clocks)
            .into_iter()
            .chain(read.into_iter().flatten());
        all.flat_map(near).all(|time| trading_day(time) == day)
    }

    /// Whether all clocks that tell something agree, now and at the sending.
    fn clocks_agree(&self, clocks: &Clocks) -> bool {
        let close = |a: u64, b: u64| a.abs_diff(b) <= CLOCK_SLACK_S;
        let sendings = self.sendings(clocks);
        clocks.broker.is_none_or(|now| close(now, clocks.ours))
            && sendings.iter().all(|time| close(*time, self.noted()))
    }
}

/// What the book's times are compared with, if the clocks agree.
struct Since {
    /// What came in before this is older than the order.
    older: Option<u64>,
    /// What came in at this or later is not.
    newer: Option<u64>,
}

impl Since {
    fn of(asked: &Instructed, clocks: &Clocks, less: Waiver) -> Self {
        let agree = less.is_of(Premise::ClocksAgree) || asked.clocks_agree(clocks);
        let agree = agree && clocks.broker.is_some();
        let sendings = asked.sendings(clocks);
        // What an earlier process noted, nobody can check: its clock may have been set.
        let checked = agree && !matches!(asked.sent, Sent::Before { .. });
        let first = sendings.iter().min().filter(|_| checked);
        let is_told = !matches!(asked.sent, Sent::Before { told: None, .. });
        let by_broker = sendings.last().filter(|_| agree && is_told);
        Self {
            older: first.map(|time| time.saturating_sub(CLOCK_SLACK_S)),
            newer: by_broker.map(|time| time.saturating_sub(NEAR_S)),
        }
    }

    fn is_older(&self, row: &Row) -> bool {
        let Some(since) = self.older else {
            return false;
        };
        row.entered_at().is_some_and(|at| at < since)
    }

    fn is_newer(&self, row: &Row) -> bool {
        let Some(since) = self.newer else {
            return false;
        };
        row.entered_at().is_some_and(|at| at >= since)
    }
}

/// What one reading of the book shows.
#[derive(Debug, PartialEq, Eq)]
enum Sight {
    /// It was done: these rows show it.
    Done(Vec<usize>),
    /// These rows may be it, for all that this premise says.
    Perhaps(Premise, Vec<usize>),
    /// Nothing of it is to be seen; this row is the order that it was about.
    Nothing(Option<usize>),
}

/// What has been seen of one instruction so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) reads: u32,
    /// When the first of the last readings that could prove an absence began.
    first_clear: Option<Moment>,
}

impl Progress {
    /// When the next reading can prove more.
    pub(crate) fn next_proof(&self, asked: &Instructed, window: Duration) -> Moment {
        match self.first_clear {
            Some(first) => first + between(window),
            None => asked.sent.over() + window,
        }
    }
}

fn between(window: Duration) -> Duration {
    BETWEEN_READS.min(window / 2)
}

/// What is proved of an instruction by one more successful reading, after those that
/// `before` tells of. `running`: its call has not ended.
pub(crate) fn prove(
    asked: &Instructed,
    running: bool,
    window: Duration,
    reading: &Reading<'_>,
    before: &Progress,
) -> (Verdict, Progress) {
    proved(asked, running, window, reading, before, Waiver::default())
}

fn proved(
    asked: &Instructed,
    running: bool,
    window: Duration,
    reading: &Reading<'_>,
    before: &Progress,
    less: Waiver,
) -> (Verdict, Progress) {
    let mut after = Progress {
        reads: before.reads.saturating_add(1),
        first_clear: None,
    };
    let sight = look(asked, reading, less);
    let shown = match sight {
        Sight::Done(rows) => return (Verdict::Done(rows), after),
        Sight::Perhaps(premise, rows) => Err((premise, rows)),
        Sight::Nothing(row) => Ok(row),
    };
    let is_change = asked.kind != InstructionKind::Place;
    let clocks = &reading.clocks;
    let account = || asked.account.is_some() && asked.account.as_deref() == reading.account;
    let order_shown = || !matches!(shown, Ok(None));
    let known_shown = || {
        let keys: HashSet<u64> = reading.keys.iter().copied().collect();
        let known = reading.known;
        known.is_some_and(|known| known.iter().all(|one| keys.contains(one)))
    };
    let over = || reading.began >= asked.sent.over() + window;
    // Each reading of the two has to have these.
    let fails = [
        (Premise::CallOver, running),
        (Premise::SameAccount, !account()),
        (Premise::DateTold, clocks.broker.is_none()),
        (Premise::SameDay, !asked.is_of_day(clocks)),
        (Premise::ClocksAgree, !asked.clocks_agree(clocks)),
        (Premise::OrderShown, is_change && !order_shown()),
    ];
    let later = [
        (Premise::KnownShown, !known_shown()),
        (Premise::LastChange, reading.changed_since),
        (Premise::WindowOver, !over()),
    ];
    let first = |list: &[(Premise, bool)]| {
        let mut fails = list
            .iter()
            .filter(|(premise, fails)| *fails && !less.is_of(*premise));
        fails.next().map(|(premise, _)| *premise)
    };
    let candidates = |premise: Premise| match &shown {
        Err((_, rows)) => Verdict::Open(premise, rows.clone()),
        Ok(_) => Verdict::Open(premise, Vec::new()),
    };
    if let Some(premise) = first(&fails) {
        return (candidates(premise), after);
    }
    let row = match &shown {
        Err((premise, _)) => return (candidates(*premise), after),
        Ok(row) => *row,
    };
    if let Some(premise) = first(&later) {
        return (candidates(premise), after);
    }
    after.first_clear = before.first_clear.or(Some(reading.began));
    let apart = before
        .first_clear
        .is_some_and(|first| reading.began >= first + between(window));
    let none_known = !is_change && reading.known.is_some_and(<[u64]>::is_empty);
    let agree = || {
        reading
            .others
            .is_some_and(|others| others.go_with(reading.rows))
    };
    let last = [
        (Premise::TwoReadings, !apart),
        (Premise::OthersAgree, none_known && !agree()),
    ];
    match first(&last) {
        Some(premise) => (candidates(premise), after),
        None => (Verdict::Absent(row), after),
    }
}

impl Others<'_> {
    /// Whether the book has the order of every trade, and trades explain what was
    /// bought and sold of the day.
    fn go_with(self, book: &[Row]) -> bool {
        let numbers: HashSet<String> = book.iter().map(Row::number).collect();
        let booked = |trade: &Row| {
            let number = trade.number();
            !number.is_empty() && numbers.contains(&number)
        };
        let of_trades = self.trades.iter().filter_map(|trade| trade.text("trdSym"));
        let traded: HashSet<String> = of_trades.collect();
        let still = |row: &Row| {
            let none = |key| row.is(key, "0") == Some(true);
            none("flBuyQty") && none("flSellQty")
        };
        let explained = |row: &Row| {
            let symbol = row.text("trdSym");
            still(row) || symbol.is_some_and(|symbol| traded.contains(&symbol))
        };
        self.trades.iter().all(booked) && self.positions.iter().all(explained)
    }
}

/// Looks for an instruction.
fn look(asked: &Instructed, reading: &Reading<'_>, less: Waiver) -> Sight {
    match asked.kind {
        InstructionKind::Place => look_for_order(asked, reading, less),
        InstructionKind::Modify | InstructionKind::Cancel => {
            look_for_change(asked, reading.rows, less)
        }
    }
}

fn look_for_order(asked: &Instructed, reading: &Reading<'_>, less: Waiver) -> Sight {
    let since = Since::of(asked, &reading.clocks, less);
    let all = || reading.rows.iter().enumerate();
    let mine = |(at, row): &(usize, &Row)| {
        !less.is_of(Premise::NoRowTagged) && row.tag() == asked.tag && !(reading.of_another)(*at)
    };
    let tagged: Vec<usize> = all().filter(mine).map(|(at, _)| at).collect();
    // A caller may use a tag twice, and then an older order has it too.
    let sure = |at: &usize| orders::is_our_tag(&asked.tag) || since.is_newer(&reading.rows[*at]);
    let done: Vec<usize> = tagged.iter().copied().filter(sure).collect();
    if !done.is_empty() {
        return Sight::Done(done);
    }
    if !tagged.is_empty() {
        return Sight::Perhaps(Premise::NoRowTagged, tagged);
    }
    // The broker is reported to rewrite tags, of orders that were changed. What a row
    // does not tell excludes nothing.
    let alike = |(at, row): &(usize, &Row)| {
        row.is_side(asked.fact("tt")) != Some(false)
            && is_symbol(asked, row, less)
            && (!less.is_of(Premise::AnyQuantity) || row.is("qty", asked.fact("qt")) != Some(false))
            && !since.is_older(row)
            && !orders::is_our_tag(&row.tag())
            && !(reading.of_another)(*at)
    };
    let alike: Vec<usize> = match less.is_of(Premise::NoRowAlike) {
        true => Vec::new(),
        false => all().filter(alike).map(|(at, _)| at).collect(),
    };
    match alike.is_empty() {
        true => Sight::Nothing(None),
        false => Sight::Perhaps(Premise::NoRowAlike, alike),
    }
}

fn is_symbol(asked: &Instructed, row: &Row, less: Waiver) -> bool {
    let symbol = asked.fact("ts");
    if less.is_of(Premise::AnySpelling) {
        return row.is("trdSym", symbol) != Some(false);
    }
    let told = [row.text("trdSym"), row.text("sym")];
    row.text("trdSym").is_none() || told.iter().flatten().any(|it| may_be_symbol(it, symbol))
}

fn look_for_change(asked: &Instructed, rows: &[Row], less: Waiver) -> Sight {
    let wanted = asked.order_id.as_deref().unwrap_or("");
    let all = || rows.iter().enumerate();
    let of_it: Vec<usize> = all()
        .filter(|(_, row)| row.number() == wanted)
        .map(|(at, _)| at)
        .collect();
    let Some(first) = of_it.first() else {
        return Sight::Nothing(None);
    };
    // What one row excludes, another row of the same order may show.
    let told = tells(asked, &rows[*first], less);
    let same = |at: &usize| tells(asked, &rows[*at], less) == told;
    let agree = less.is_of(Premise::EveryRow) || of_it.iter().all(same);
    // So may a row that does not tell its number.
    let blank = || all().any(|(_, row)| row.number().is_empty());
    match told {
        Told::Done if agree => Sight::Done(of_it),
        Told::Nothing if agree && !blank() => Sight::Nothing(Some(*first)),
        Told::Perhaps if agree => Sight::Perhaps(Premise::StatesExclude, of_it),
        _ => Sight::Perhaps(Premise::EveryRow, of_it),
    }
}

/// What a row tells of a change of its order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Done,
    Perhaps,
    Nothing,
}

fn tells(asked: &Instructed, row: &Row, less: Waiver) -> Told {
    let state = row.state();
    let proof = words::proof(&state);
    let proof = match proof {
        Proof::Nothing | Proof::Shown if less.is_of(Premise::StatesExclude) => Proof::AtRest,
        proof => proof,
    };
    let done = match (asked.kind, proof) {
        (_, Proof::Nothing) => None,
        (InstructionKind::Cancel, Proof::Shown) => None,
        (InstructionKind::Cancel, _) => Some(proof == Proof::Cancelled),
        _ => shows(asked, row).filter(|done| !done || !words::find(&state).is_refusal()),
    };
    match (done, proof) {
        (Some(true), _) => Told::Done,
        (Some(false), Proof::Cancelled | Proof::Ended | Proof::AtRest) => Told::Nothing,
        _ => Told::Perhaps,
    }
}

/// Whether a row has the values that a modification asked for. `None` if it
/// proves neither.
fn shows(asked: &Instructed, row: &Row) -> Option<bool> {
    let order_type = words::order_type(asked.fact("pt")).unwrap_or("");
    let has_price = words::has_price(order_type);
    let mut told = vec![row.is("qty", asked.fact("qt"))];
    // The broker turns market orders into limit orders at a price of its own:
    // such a row may be the order as it was, or as it was to become.
    let kind = row.is_order_type(order_type);
    told.push(if has_price {
        kind
    } else {
        kind.filter(|same| *same)
    });
    if has_price {
        told.push(row.is("prc", asked.fact("pr")));
    }
    if words::has_trigger(order_type) {
        told.push(row.is("trgPrc", asked.fact("tp")));
    }
    if told.contains(&Some(false)) {
        return Some(false);
    }
    // Where these differ, the rest may have been the same before.
    let other = [("vldt", "vd"), ("dscQty", "dq")];
    let differs = |(key, fact)| row.is(key, asked.fact(fact)) == Some(false);
    (!told.contains(&None) && !other.into_iter().any(differs)).then_some(true)
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
