//! A broker and its clients, by chance, to which the proof of an absence is held. Tests
//! only. It shares no code with the proof: it writes books as text, and knows the truth.
//!
//! It keeps what the proof takes for granted (see `outcome.rs`), and besides: the broker's
//! `Date` and our clock are never wrong alike, nobody set the clock of an earlier process
//! by hours after its death, and no two orders get one tag of a caller within a minute.

use std::fmt::Write;
use std::time::Duration;

use kotak_neo_testing::dice::Dice;

use super::{
    Clocks, Instructed, Others, Premise, Progress, Reading, Sent, Verdict, Waiver, proved,
};
use crate::base::clock::Moment;
use crate::broker::order_book::rows;
use crate::broker::orders::InstructionKind;

const SECOND: i64 = 1000;
const HOUR: i64 = 3600 * SECOND;
/// Midnight in India, on 22 January 2025, in unix milliseconds.
const MIDNIGHT: i64 = 1_737_484_200_000;
const DAY: i64 = 24 * HOUR;

/// How one history ended.
pub(super) enum End {
    /// Nothing was told that is not true. Whether an absence was.
    True { absent: bool },
    /// This was told, and is not true.
    False(String),
}

/// An order as the broker has it.
#[derive(Clone, Default)]
struct Order {
    number: u64,
    /// When it came in, and when the book shows it.
    entered: i64,
    shown: i64,
    tag: String,
    symbol: &'static str,
    side: &'static str,
    quantity: u64,
    price: u64,
    state: &'static str,
    filled: bool,
    /// Members that its row does not have.
    untold: u64,
    /// Somebody changes it: the tag becomes another, and the quantity perhaps.
    rewritten: Option<(i64, u64)>,
    /// When our client knew that it is there.
    known: Option<i64>,
}

/// What is looked for.
struct Lost {
    kind: InstructionKind,
    tag: String,
    begun: i64,
    left: i64,
    call_over: i64,
    window: i64,
    by_dead_process: bool,
    /// When it comes in at the broker, and when the book shows it, if ever.
    arrives: Option<(i64, i64)>,
}

/// How a changed order shows the change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Show {
    Plain,
    /// For ever under way, with the old values.
    Pending(&'static str),
    /// The old row first, and one with the new values.
    Twice,
}

struct History {
    lost: Lost,
    orders: Vec<Order>,
    /// Our client's own later change of the same order.
    later: Option<i64>,
    show: Show,
    /// When the changed order ended by itself.
    ended: Option<i64>,
    date: Option<i64>,
    clock: i64,
    /// When our clock was set, and how wrong it is since.
    set: Option<(i64, i64)>,
    /// From which reading on the book lacks rows, or is of another account.
    outage: Option<usize>,
    other_account: Option<usize>,
    other_is_told: bool,
    /// What the ledger of a dead process tells of the broker's time of the sending.
    told: Option<u64>,
    /// The readings, and which of them lack some rows for a moment.
    readings: Vec<(i64, bool)>,
}

/// What a reading gets.
struct Seen {
    book: Vec<(usize, String)>,
    trades: Option<String>,
    positions: Option<String>,
}

fn chance(dice: &mut Dice, percent: u64) -> bool {
    dice.roll(100) < percent
}

fn one<T: Copy>(dice: &mut Dice, all: &[T]) -> T {
    *dice.pick(all)
}

fn between(dice: &mut Dice, low: i64, high: i64) -> i64 {
    let span = u64::try_from((high - low).max(1)).unwrap_or(1);
    low + i64::try_from(dice.roll(span)).unwrap_or(0)
}

/// How wrong a clock is.
fn wrong(dice: &mut Dice, percent: u64, little: i64) -> i64 {
    match chance(dice, percent) {
        true => one(dice, &[HOUR, 11 * HOUR / 2, -HOUR, -11 * HOUR / 2]),
        false => between(dice, -little, little),
    }
}

fn day(time: i64) -> i64 {
    (time - MIDNIGHT).div_euclid(DAY)
}

impl History {
    fn new(dice: &mut Dice) -> Self {
        let kind = one(
            dice,
            &[
                InstructionKind::Place,
                InstructionKind::Place,
                InstructionKind::Place,
                InstructionKind::Modify,
                InstructionKind::Cancel,
            ],
        );
        let window = between(dice, 2, 60) * SECOND;
        let begun = match chance(dice, 15) {
            true => MIDNIGHT + DAY + between(dice, -100 * SECOND, 20 * SECOND),
            false => MIDNIGHT + between(dice, 3 * HOUR, 23 * HOUR),
        };
        let held = if chance(dice, 25) { 90 * SECOND } else { 50 };
        let left = begun + between(dice, 0, held);
        let late = if chance(dice, 50) { SECOND } else { window };
        let comes = left + between(dice, 0, late.min(window));
        let shown = if chance(dice, 50) {
            comes
        } else {
            between(dice, comes, left + window)
        };
        let arrives = chance(dice, 60).then_some((comes, shown));
        let lost = Lost {
            kind,
            tag: match chance(dice, 70) {
                true => "kn".to_owned() + &"abcdefgh2345z"[..13],
                false => "mine".to_owned(),
            },
            begun,
            left,
            call_over: left + between(dice, 0, 5 * SECOND),
            window,
            by_dead_process: chance(dice, 15),
            arrives,
        };
        let clock = wrong(dice, 20, 8 * 60 * SECOND);
        let mut error = wrong(dice, 10, 30 * SECOND);
        let set = chance(dice, 10)
            .then(|| (left + between(dice, 0, 2 * window), wrong(dice, 50, SECOND)));
        let alike = |ours: i64| ours.abs() > HOUR / 2 && (ours - error).abs() < HOUR / 2;
        if alike(clock) || set.is_some_and(|(_, ours)| alike(ours)) {
            error = 0;
        }
        // The clock of the broker as an earlier process saw it.
        let told = chance(dice, 90).then(|| (begun + error).unsigned_abs() / 1000);
        let mut history = Self {
            told,
            later: (kind == InstructionKind::Modify && chance(dice, 25))
                .then(|| left + between(dice, 1, 2 * window)),
            show: match dice.roll(10) {
                0..5 => Show::Plain,
                5..7 => Show::Twice,
                _ => Show::Pending(match kind {
                    InstructionKind::Cancel => one(dice, &["cancel req received", "odd", ""]),
                    _ => one(
                        dice,
                        &[
                            "modify pending",
                            "modify after market order req received",
                            "",
                            "odd",
                        ],
                    ),
                }),
            },
            ended: chance(dice, 15).then(|| begun + between(dice, 0, 2 * window)),
            date: chance(dice, 85).then_some(error),
            clock,
            set,
            outage: chance(dice, 20).then(|| dice.below(6)),
            other_account: chance(dice, 12).then(|| dice.below(6)),
            other_is_told: chance(dice, 70),
            readings: Vec::new(),
            orders: Vec::new(),
            lost,
        };
        history.make_orders(dice);
        history.make_readings(dice);
        history
    }

    /// The first is what is looked for, or the order that was to be changed.
    fn make_orders(&mut self, dice: &mut Dice) {
        let lost = &self.lost;
        let number = |at: u64| 250_122_000_000_000 + at;
        let mut first = Order {
            number: number(1),
            symbol: "IDEA-EQ",
            side: "B",
            quantity: 10,
            price: 100,
            state: "open",
            ..Order::default()
        };
        if lost.kind == InstructionKind::Place {
            let (entered, shown) = lost.arrives.unwrap_or((i64::MAX, i64::MAX));
            (first.entered, first.shown) = (entered, shown);
            first.tag.clone_from(&lost.tag);
            first.symbol = match chance(dice, 60) {
                true => "IDEA-EQ",
                false => one(dice, &["IDEA", "idea eq", "IDEA-BE", "IDEAEQ"]),
            };
            first.filled = chance(dice, 20);
            first.rewritten = (entered < i64::MAX && chance(dice, 50)).then(|| {
                let when = between(dice, entered, entered + 2 * lost.window);
                (when, if chance(dice, 50) { 10 } else { 7 })
            });
            first.untold = if chance(dice, 20) { dice.roll(16) } else { 0 };
        } else {
            first.entered = lost.begun - between(dice, 1, 2 * HOUR);
            first.shown = first.entered;
            first.tag = "first".to_owned();
            first.known = chance(dice, 40).then_some(first.entered);
        }
        self.orders.push(first);
        // Others of ours, and of others.
        for at in 0..dice.roll(3) {
            let entered = self.lost.begun + between(dice, -2 * HOUR, self.lost.window);
            self.orders.push(Order {
                number: number(10 + at),
                entered,
                shown: entered,
                tag: format!("kn{}222222222222", ["a", "b", "c"][dice.below(3)]),
                symbol: one(dice, &["IDEA-EQ", "TCS-EQ"]),
                side: one(dice, &["B", "S"]),
                quantity: 10,
                price: 100,
                state: "complete",
                filled: chance(dice, 30),
                known: Some(entered),
                ..Order::default()
            });
        }
        for at in 0..dice.roll(3) {
            let same_tag = chance(dice, 15);
            let entered = match same_tag {
                true => self.lost.begun - between(dice, 120 * SECOND, 2 * HOUR),
                false => self.lost.begun + between(dice, -2 * HOUR, self.lost.window),
            };
            self.orders.push(Order {
                number: number(20 + at),
                entered,
                shown: entered,
                tag: match same_tag && self.lost.tag == "mine" {
                    true => self.lost.tag.clone(),
                    false => format!("TEST1-{at}"),
                },
                symbol: one(dice, &["IDEA-EQ", "TCS-EQ", "TCS-EQ"]),
                side: one(dice, &["B", "S"]),
                quantity: 10,
                price: 100,
                state: "open",
                filled: chance(dice, 30),
                ..Order::default()
            });
        }
    }

    fn make_readings(&mut self, dice: &mut Dice) {
        let lost = &self.lost;
        let mut time = lost.begun + between(dice, 100, lost.window);
        for _ in 0..6 {
            let before = self.readings.last().is_some_and(|(_, glitch)| *glitch);
            self.readings.push((time, !before && chance(dice, 15)));
            let over = lost.call_over.max(lost.left + lost.window);
            time = match time < over && chance(dice, 70) {
                true => between(dice, lost.left.max(time) + 1, over + SECOND),
                false => time + between(dice, 300, 2 * SECOND),
            };
        }
    }

    /// Whether the broker has what was sent, or will have it.
    fn is_taken(&self) -> bool {
        let over = |(comes, _): (i64, i64)| self.ended.is_some_and(|ended| ended <= comes);
        let change = self.lost.kind != InstructionKind::Place;
        self.lost.arrives.is_some_and(|it| !change || !over(it))
    }

    fn clock(&self, time: i64) -> i64 {
        match self.set {
            Some((when, error)) if time >= when => time + error,
            _ => time + self.clock,
        }
    }

    /// What the true book has at a time: the place of each row's order, and its text.
    fn book(&self, time: i64) -> Vec<(usize, String)> {
        let mut book = Vec::new();
        for (at, order) in self.orders.iter().enumerate() {
            if order.shown > time || day(order.entered) != day(time) {
                continue;
            }
            let mut order = order.clone();
            if let Some((when, quantity)) = order.rewritten.filter(|(when, _)| *when <= time) {
                order.tag = format!("TEST1-{when}");
                order.quantity = quantity;
            }
            if at > 0 || self.lost.kind == InstructionKind::Place {
                book.push((at, order.text()));
                continue;
            }
            let old = order.clone();
            let shown = self.lost.arrives.map(|(_, shown)| shown);
            let shown = shown.filter(|shown| self.is_taken() && *shown <= time);
            let later = self.later.filter(|later| *later <= time);
            let mut texts = Vec::new();
            if let Some(shown) = shown {
                match (self.show, self.lost.kind) {
                    (Show::Pending(state), _) => order.state = state,
                    (_, InstructionKind::Cancel) => order.state = "canceled",
                    _ => (order.quantity, order.price, order.state) = (20, 101, "modified"),
                }
                if self.show == Show::Twice {
                    texts.push(old.text());
                }
                if later.is_some_and(|later| later > shown) {
                    (order.quantity, order.price, order.state) = (30, 102, "modified");
                    texts.clear();
                }
            } else if later.is_some() {
                (order.quantity, order.price) = (30, 102);
            }
            if shown.is_none() && self.ended.is_some_and(|ended| ended <= time) {
                order.state = "complete";
            }
            texts.push(order.text());
            book.extend(texts.into_iter().map(|text| (0, text)));
        }
        book
    }

    fn sees(&self, dice: &mut Dice, at: usize) -> Seen {
        let (time, glitch) = self.readings[at];
        if self.other_account.is_some_and(|from| at >= from) {
            let book = Vec::new();
            let nothing = Some(String::new());
            let (trades, positions) = (nothing.clone(), nothing);
            return Seen {
                book,
                trades,
                positions,
            };
        }
        let mut book = self.book(time);
        let fills =
            |order: &&Order| order.filled && order.shown <= time && day(order.entered) == day(time);
        let fills: Vec<&Order> = self.orders.iter().filter(fills).collect();
        let (mut trades, mut positions) = (String::new(), String::new());
        for order in &fills {
            let comma = if trades.is_empty() { "" } else { "," };
            let (number, symbol) = (order.number, order.symbol);
            let _ = write!(
                trades,
                r#"{comma}{{"nOrdNo":"{number}","trdSym":"{symbol}"}}"#
            );
            let _ = write!(
                positions,
                r#"{comma}{{"trdSym":"{symbol}","flBuyQty":"1","flSellQty":"0"}}"#
            );
        }
        let (mut trades, mut positions) = (Some(trades), Some(positions));
        if glitch {
            book.retain(|_| chance(dice, 50));
        }
        if self.outage.is_some_and(|from| at >= from) {
            let known: Vec<usize> = self.known(time).collect();
            let change = self.lost.kind != InstructionKind::Place;
            match known.first() {
                Some(lacks) => book.retain(|(at, _)| at != lacks && chance(dice, 60)),
                None if change => book.retain(|(at, _)| *at != 0),
                None => {
                    let lacks: Vec<_> = book.iter().map(|(at, _)| *at).collect();
                    book.clear();
                    let told = lacks.iter().any(|at| self.orders[*at].filled);
                    match told && chance(dice, 50) {
                        true if chance(dice, 50) => trades = Some(String::new()),
                        true => positions = Some(String::new()),
                        false if chance(dice, 50) => trades = None,
                        false => positions = None,
                    }
                }
            }
        }
        Seen {
            book,
            trades,
            positions,
        }
    }

    /// What our client knows to be there when a reading begins.
    fn known(&self, time: i64) -> impl Iterator<Item = usize> {
        let known = move |order: &Order| {
            let known = order.known.is_some_and(|known| known <= time);
            known && day(order.entered) == day(self.lost.begun)
        };
        let all = self.orders.iter().enumerate();
        all.filter(move |(_, order)| known(order)).map(|(at, _)| at)
    }

    /// Lets the client read and judge. Without one premise, if `less` says so.
    fn play(&self, dice: &mut Dice, start: Moment, less: Option<Premise>) -> End {
        let lost = &self.lost;
        let moment = |time: i64| {
            let after = Duration::from_millis((time - lost.begun).unsigned_abs());
            if time < lost.begun {
                start - after
            } else {
                start + after
            }
        };
        let facts = match lost.kind {
            InstructionKind::Place => r#"{"ts":"IDEA-EQ","tt":"B","qt":"10","pr":"100","pt":"L"}"#,
            InstructionKind::Modify => {
                r#"{"no":"250122000000001","qt":"20","pr":"101","pt":"L","tp":"0"}"#
            }
            InstructionKind::Cancel => r#"{"on":"250122000000001"}"#,
        };
        let id = (lost.kind != InstructionKind::Place).then_some("250122000000001");
        let mut progress = Progress::default();
        let mut asked = Instructed::new(
            lost.kind,
            &lost.tag,
            id,
            facts,
            self.clock(lost.begun).unsigned_abs(),
            Sent::At(moment(lost.begun)),
        )
        .of_account(Some("TEST1"));
        for (at, (time, _)) in self.readings.iter().copied().enumerate() {
            if lost.by_dead_process && time < lost.call_over {
                continue;
            }
            let running = time < lost.call_over;
            asked.sent = match running {
                _ if lost.by_dead_process => Sent::Before {
                    told: self.told,
                    over: moment(lost.call_over),
                },
                true => Sent::At(moment(lost.begun)),
                false => Sent::Ended {
                    at: moment(lost.begun),
                    over: moment(lost.left),
                },
            };
            let seen = self.sees(dice, at);
            let texts: Vec<&str> = seen.book.iter().map(|(_, text)| text.as_str()).collect();
            let list = |text: &str| rows(&format!(r#"{{"data":[{text}]}}"#)).expect("a book");
            let book = list(&texts.join(","));
            let order = |row: usize| &self.orders[seen.book[row].0];
            let keys: Vec<u64> = (0..book.len()).map(|row| order(row).number).collect();
            let known: Vec<u64> = self.known(time).map(|at| self.orders[at].number).collect();
            let trades = seen.trades.as_deref().map(list);
            let positions = seen.positions.as_deref().map(list);
            let of_other = self.other_account.is_some_and(|from| at >= from);
            let answered = time + 100;
            let clock = |time: i64| u64::try_from(time / SECOND).unwrap_or(0);
            let reading = Reading {
                began: moment(time),
                clocks: Clocks {
                    at: moment(answered),
                    ours: clock(self.clock(answered)),
                    broker: self.date.map(|error| clock(time + error)),
                },
                account: match of_other {
                    false => Some("TEST1"),
                    true => self.other_is_told.then_some("OTHER"),
                },
                rows: &book,
                keys: &keys,
                known: Some(&known),
                // Made by our client, and told so.
                of_another: &|row| order(row).known.is_some() && seen.book[row].0 > 0,
                changed_since: self.later.is_some_and(|later| later <= time),
                others: match (&trades, &positions) {
                    (Some(trades), Some(positions)) => Some(Others { trades, positions }),
                    _ => None,
                },
            };
            let window = Duration::from_millis(lost.window.unsigned_abs());
            let waiver = Waiver { of: less };
            let (verdict, after) = proved(&asked, running, window, &reading, &progress, waiver);
            progress = after;
            let lie = match &verdict {
                Verdict::Absent(_) => self.is_taken(),
                Verdict::Done(_) if lost.kind == InstructionKind::Place => {
                    lost.arrives.is_none_or(|(_, shown)| shown > time)
                }
                _ => false,
            };
            if lie {
                return End::False(format!("{verdict:?} in reading {at}: {texts:?}"));
            }
            match verdict {
                Verdict::Absent(_) => return End::True { absent: true },
                Verdict::Done(_) => break,
                Verdict::Open(..) => {}
            }
        }
        End::True { absent: false }
    }
}

impl Order {
    fn text(&self) -> String {
        let mut text = format!(r#"{{"nOrdNo":"{}","ordSt":"{}""#, self.number, self.state);
        let _ = write!(text, r#","prc":"{}.00","prcTp":"L""#, self.price);
        let tells = |bit: u64| self.untold & bit == 0;
        if tells(1) {
            let _ = write!(text, r#","GuiOrdId":"{}""#, self.tag);
        }
        if tells(2) {
            let _ = write!(text, r#","trnsTp":"{}""#, self.side);
        }
        if tells(4) {
            let _ = write!(text, r#","qty":{}"#, self.quantity);
        }
        if tells(8) {
            let second = (self.entered - MIDNIGHT).div_euclid(SECOND);
            let (date, second) = (22 + second.div_euclid(86_400), second.rem_euclid(86_400));
            let (hour, minute) = (second / 3600, second / 60 % 60);
            let _ = write!(
                text,
                r#","ordEntTm":"{date:02}-Jan-2025 {hour:02}:{minute:02}:{:02}""#,
                second % 60
            );
        }
        let _ = write!(text, r#","trdSym":"{}"}}"#, self.symbol);
        text
    }
}

/// One history, and how it ended.
pub(super) fn history(seed: u64, start: Moment, less: Option<Premise>) -> End {
    let mut dice = Dice::new(seed);
    History::new(&mut dice).play(&mut dice, start, less)
}
