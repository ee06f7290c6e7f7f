//! What the order book proves about an instruction whose answer is missing.
//!
//! Nothing here does I/O or looks at a clock.

use std::collections::HashMap;
use std::time::Duration;

use crate::base::clock::Moment;
use crate::broker::order_book::Row;
use crate::broker::orders::{self, InstructionKind};
use crate::broker::words::{self, Proof};

/// How far the clock of the order book may be behind what we take for the
/// broker's clock. A larger allowance only makes us say "unknown" more often.
const CLOCK_SLACK_S: u64 = 15 * 60;
/// The two reads that prove an absence are at least this far apart.
const BETWEEN_READS: Duration = Duration::from_secs(1);

/// What was asked, as far as the order book can show it.
#[derive(Clone, Debug)]
pub(crate) struct Instructed {
    pub(crate) kind: InstructionKind,
    pub(crate) tag: String,
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
    /// By an earlier process; the same moment as above.
    Before { over: Moment },
}

impl Sent {
    /// From when on a book that does not show it counts.
    fn over(self) -> Moment {
        match self {
            Self::At(when) => when,
            Self::Ended { over, .. } | Self::Before { over } => over,
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
            order_id: order_id.map(str::to_owned),
            // Unreadable facts match nothing, so nothing is proved by them.
            facts: serde_json::from_str(facts).unwrap_or_default(),
            sent_at_ms,
            sent,
        }
    }

    /// The first second, by the broker's clock, in which it can have come in:
    /// the earliest that any of the clocks allows.
    fn earliest(&self, clocks: &Clocks) -> u64 {
        let noted = self.sent_at_ms / 1000;
        let others = match self.sent {
            Sent::At(when) | Sent::Ended { at: when, .. } => {
                let ago = clocks.at.saturating_duration_since(when).as_secs() + 1;
                [Some(clocks.ours), clocks.broker].map(|now| now.map(|now| now.saturating_sub(ago)))
            }
            Sent::Before { .. } => {
                let ahead = |broker| clocks.ours.saturating_sub(broker);
                [
                    clocks
                        .broker
                        .map(|broker| noted.saturating_sub(ahead(broker))),
                    None,
                ]
            }
        };
        let first = others.into_iter().flatten().fold(noted, u64::min);
        first.saturating_sub(CLOCK_SLACK_S)
    }

    fn fact(&self, key: &str) -> &str {
        self.facts.get(key).and_then(Option::as_deref).unwrap_or("")
    }
}

/// What one reading of the book shows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// It was done: these rows show it.
    Done(Vec<usize>),
    /// These rows may be it.
    Perhaps(Vec<usize>),
    /// It was not done and cannot be any more: this row shows it.
    Never(usize),
    /// Nothing of it is to be seen; this row is the order that it was about.
    Nothing(Option<usize>),
}

/// Looks for an instruction. `of_another` says of a row that it belongs to
/// another instruction of this client.
pub(crate) fn look(
    asked: &Instructed,
    rows: &[Row],
    clocks: &Clocks,
    of_another: impl Fn(&Row) -> bool,
) -> Sight {
    if asked.kind == InstructionKind::Place {
        let all = || rows.iter().enumerate();
        let tagged: Vec<_> = all()
            .filter(|(_, row)| row.tag() == asked.tag && !of_another(row))
            .map(|(at, _)| at)
            .collect();
        let since = asked.earliest(clocks);
        let early = |at: &usize| rows[*at].entered_at().is_some_and(|at| at < since);
        // A caller may use a tag twice: an older order proves nothing.
        if !tagged.is_empty() && tagged.iter().all(early) {
            return Sight::Perhaps(tagged);
        }
        if !tagged.is_empty() {
            return Sight::Done(tagged.into_iter().filter(|at| !early(at)).collect());
        }
        // The broker is reported to rewrite tags.
        // The unit of quantities in commodities is not documented.
        let units = asked.fact("es") != words::COMMODITIES;
        let alike = |row: &Row| {
            row.is("trdSym", asked.fact("ts")) != Some(false)
                && row.is_side(asked.fact("tt")) != Some(false)
                && (!units || row.is("qty", asked.fact("qt")) != Some(false))
                && row.entered_at().is_none_or(|at| at >= since)
                && !orders::is_our_tag(&row.tag())
                && !of_another(row)
        };
        let alike: Vec<_> = all()
            .filter(|(_, row)| alike(row))
            .map(|(at, _)| at)
            .collect();
        return match alike.is_empty() {
            true => Sight::Nothing(None),
            false => Sight::Perhaps(alike),
        };
    }
    let wanted = asked.order_id.as_deref().unwrap_or("");
    let all = rows.iter().enumerate();
    let of_it: Vec<usize> = all
        .filter(|(_, row)| row.number() == wanted)
        .map(|(at, _)| at)
        .collect();
    let Some(first) = of_it.first() else {
        return Sight::Nothing(None);
    };
    // What one row excludes, another row of the same order may show.
    let told = tells(asked, &rows[*first]);
    let agree = of_it.iter().all(|at| tells(asked, &rows[*at]) == told);
    match told {
        Told::Done if agree => Sight::Done(of_it),
        Told::Never if agree => Sight::Never(*first),
        Told::Nothing if agree => Sight::Nothing(Some(*first)),
        _ => Sight::Perhaps(of_it),
    }
}

/// What a row tells of a change of its order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Done,
    Perhaps,
    Never,
    Nothing,
}

fn tells(asked: &Instructed, row: &Row) -> Told {
    let state = row.state();
    let proof = words::proof(&state);
    let done = match (asked.kind, proof) {
        (_, Proof::Nothing) => None,
        (InstructionKind::Cancel, Proof::Shown) => None,
        (InstructionKind::Cancel, _) => Some(proof == Proof::Cancelled),
        _ => shows(asked, row).filter(|done| !done || !words::find(&state).is_refusal()),
    };
    match (done, proof) {
        (Some(true), _) => Told::Done,
        (Some(false), Proof::Cancelled | Proof::Ended) => Told::Never,
        (Some(false), Proof::AtRest) => Told::Nothing,
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

/// What has been seen of one instruction so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) reads: u32,
    /// When the first of the reads that showed nothing began.
    first_clear: Option<Moment>,
    absent: bool,
}

impl Progress {
    /// Takes in one successful reading.
    pub(crate) fn saw(
        &mut self,
        sight: &Sight,
        asked: &Instructed,
        began: Moment,
        window: Duration,
    ) {
        self.reads += 1;
        match sight {
            Sight::Never(_) => self.absent = true,
            Sight::Nothing(_) => {
                self.first_clear.get_or_insert(began);
                self.absent = began >= self.next_proof(asked, window);
            }
            Sight::Done(_) | Sight::Perhaps(_) => self.first_clear = None,
        }
    }

    /// Whether it is proved that the instruction was not done.
    pub(crate) fn is_absent(&self) -> bool {
        self.absent
    }

    /// When the next reading can prove more.
    pub(crate) fn next_proof(&self, asked: &Instructed, window: Duration) -> Moment {
        let over = asked.sent.over() + window;
        let apart = BETWEEN_READS.min(window / 2);
        self.first_clear
            .map_or(over, |first| over.max(first + apart))
    }
}

#[cfg(test)]
mod tests;
