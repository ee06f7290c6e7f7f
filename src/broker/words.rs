//! The broker's words: the states of an order, its types, sides, segments and
//! products, in all the spellings that are known.
//!
//! For the checks of what callers write, for the order books, the proof of
//! outcomes and the order feed: what a word means stands here alone.

/// How far an order has come. A state of an earlier phase never follows one
/// of a later phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Received,
    /// Being checked, or waiting for the market to open; which is first is
    /// not documented.
    Validated,
    Passed,
    /// At the exchange; may be modified, and go back and forth.
    Working,
    /// Filled, and perhaps not told as complete yet.
    Traded,
    Final,
}

/// A state by its stable name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) name: &'static str,
    pub(crate) phase: Phase,
}

/// What a state proves of a change that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The order was cancelled. Another change that it does not show was not
    /// made, and cannot be made any more.
    Cancelled,
    /// It ended otherwise: it was not cancelled. A change that it does not
    /// show was not made, and cannot be made any more.
    Ended,
    /// Nothing is under way: what it does not show was not done, or has not
    /// come in yet.
    AtRest,
    /// What it shows was done. What it does not show may be under way.
    Shown,
    /// Something is under way, and what is shown may be the wish.
    Nothing,
}

/// A state that this version does not know. It is taken for one at the
/// exchange: it neither ends an order nor takes it back.
pub(crate) const UNKNOWN: State = State {
    name: "unknown",
    phase: Phase::Working,
};

/// One state, in one spelling.
struct Word {
    words: &'static str,
    state: State,
    proof: Proof,
}

const fn word(words: &'static str, name: &'static str, phase: Phase, proof: Proof) -> Word {
    Word {
        words,
        state: State { name, phase },
        proof,
    }
}

/// The states that are known. Names are never changed. Not a closed list, says
/// the broker.
const STATES: [Word; 21] = {
    use Phase::{Final, Passed, Received, Traded, Validated, Working};
    use Proof::{AtRest, Cancelled, Ended, Nothing, Shown};
    [
        word(
            "put order req received",
            "put_order_req_received",
            Received,
            Nothing,
        ),
        // Waits for the market to open.
        word(
            "after market order req received",
            "after_market_order_req_received",
            Validated,
            AtRest,
        ),
        // Waits too, but whether the row shows the change is not documented.
        word(
            "modify after market order req received",
            "modify_after_market_order_req_received",
            Validated,
            Shown,
        ),
        word(
            "validation pending",
            "validation_pending",
            Validated,
            Nothing,
        ),
        word("open pending", "open_pending", Passed, Nothing),
        word("open", "open", Working, AtRest),
        word("trigger pending", "trigger_pending", Working, AtRest),
        word("modified", "modified", Working, AtRest),
        word(
            "modify validation pending",
            "modify_validation_pending",
            Working,
            Nothing,
        ),
        word("modify pending", "modify_pending", Working, Nothing),
        word("cancel pending", "cancel_pending", Working, Nothing),
        word("not modified", "not_modified", Working, AtRest),
        word("not cancelled", "not_cancelled", Working, AtRest),
        word("not canceled", "not_cancelled", Working, AtRest),
        word("traded", "traded", Traded, Ended),
        word("complete", "complete", Final, Ended),
        word("rejected", "rejected", Final, Ended),
        word("cancelled", "cancelled", Final, Cancelled),
        word("canceled", "cancelled", Final, Cancelled),
        word(
            "cancelled after market order",
            "cancelled_after_market_order",
            Final,
            Cancelled,
        ),
        word(
            "canceled after market order",
            "cancelled_after_market_order",
            Final,
            Cancelled,
        ),
    ]
};

fn known(words: &str) -> Option<&'static Word> {
    let same = |known: &str| {
        let mut given = words.split_whitespace();
        let mut known = known.split(' ');
        loop {
            match (given.next(), known.next()) {
                (None, None) => return true,
                (Some(a), Some(b)) if a.eq_ignore_ascii_case(b) => {}
                _ => return false,
            }
        }
    };
    STATES.iter().find(|word| same(word.words))
}

/// The state that the broker's words stand for, whatever their case and
/// blanks.
pub(crate) fn find(words: &str) -> State {
    known(words).map_or(UNKNOWN, |word| word.state)
}

/// What an order in this state proves of a change. One that is not known proves
/// nothing: the change may be under way, and what the row shows be the wish.
pub(crate) fn proof(words: &str) -> Proof {
    known(words).map_or(Proof::Nothing, |word| word.proof)
}

impl State {
    /// Whether something was refused. Which change that was is not told, and what
    /// the row shows may be what was wished.
    pub(crate) fn is_refusal(self) -> bool {
        matches!(self.name, "not_modified" | "rejected")
    }

    /// Whether the order waits for the market to open: only an after-market order does.
    pub(crate) fn is_after_market(self) -> bool {
        matches!(
            self.name,
            "after_market_order_req_received" | "modify_after_market_order_req_received"
        )
    }

    /// Whether no instruction changes the order any more.
    pub(crate) fn is_over(self) -> bool {
        self.phase >= Phase::Traded
    }
}

/// Whether `next` may be the very next step after `before`.
pub(crate) fn is_direct(before: Option<State>, next: State) -> bool {
    let Some(before) = before else {
        return next.phase == Phase::Received;
    };
    match (before.phase, next.phase) {
        // The risk checks or the exchange can refuse at any time.
        (_, Phase::Final) if next.name == "rejected" => true,
        (Phase::Received | Phase::Validated, Phase::Final) => {
            next.name == "cancelled_after_market_order"
        }
        (before, Phase::Traded | Phase::Final) => before >= Phase::Working,
        (Phase::Received, next) => next <= Phase::Validated,
        (Phase::Validated, next) => next <= Phase::Passed,
        _ => true,
    }
}

/// Words that mean the same, and the code that is sent to the broker.
pub(crate) type Spellings = &'static [(&'static str, &'static str)];

/// All spellings of segments: those of the commodities, those that every
/// generation has, and those that only the older ones have.
const SEGMENT_NAMES: [(&str, &str); 22] = [
    ("nse_com", "nse_com"),
    ("mcx_fo", COMMODITIES),
    ("MCX", COMMODITIES),
    ("mcx", COMMODITIES),
    ("nse_cm", "nse_cm"),
    ("NSE", "nse_cm"),
    ("nse", "nse_cm"),
    ("bse_cm", "bse_cm"),
    ("BSE", "bse_cm"),
    ("bse", "bse_cm"),
    ("nse_fo", "nse_fo"),
    ("NFO", "nse_fo"),
    ("nfo", "nse_fo"),
    ("bse_fo", "bse_fo"),
    ("BFO", "bse_fo"),
    ("bfo", "bse_fo"),
    ("cde_fo", "cde_fo"),
    ("CDS", "cde_fo"),
    ("cds", "cde_fo"),
    ("bcs-fo", "bcs-fo"),
    ("BCD", "bcs-fo"),
    ("bcd", "bcs-fo"),
];
/// The commodity exchange: day orders only, and in which unit it counts is not
/// documented.
pub(crate) const COMMODITIES: &str = "mcx_fo";
/// The code of a segment in any of its spellings.
pub(crate) fn segment(text: &str) -> Option<&'static str> {
    let mut names = SEGMENT_NAMES.iter();
    names.find(|(name, _)| *name == text).map(|(_, code)| *code)
}

/// Whether a quantity of this segment counts shares or units, as documented,
/// so that a price is of one of them.
pub(crate) fn counts_units(text: &str) -> bool {
    matches!(
        segment(text),
        Some("nse_cm" | "bse_cm" | "nse_fo" | "bse_fo")
    )
}

/// What orders of generation 3 take.
pub(crate) const SEGMENTS: Spellings = &[
    ("nse_cm", "nse_cm"),
    ("bse_cm", "bse_cm"),
    ("nse_fo", "nse_fo"),
    ("bse_fo", "bse_fo"),
    ("mcx_fo", COMMODITIES),
];
/// The older generations take more spellings, and no MCX orders.
pub(crate) const OLDER_SEGMENTS: Spellings = SEGMENT_NAMES.split_at(4).1;
/// The segments that have a scrip file.
pub(crate) const SCRIP_SEGMENTS: Spellings = SEGMENT_NAMES.split_at(19).0;

pub(crate) const PRODUCTS: Spellings = &[
    ("CNC", "CNC"),
    ("NRML", "NRML"),
    ("MIS", "MIS"),
    ("MTF", "MTF"),
];
pub(crate) const OLDER_PRODUCTS: Spellings = &[
    ("NRML", "NRML"),
    ("Normal", "NRML"),
    ("CNC", "CNC"),
    ("Cash and Carry", "CNC"),
    ("MIS", "MIS"),
    ("INTRADAY", "INTRADAY"),
];

pub(crate) const ORDER_TYPES: Spellings =
    &[("L", "L"), ("MKT", "MKT"), ("SL", "SL"), ("SL-M", "SL-M")];
pub(crate) const OLDER_ORDER_TYPES: Spellings = &[
    ("L", "L"),
    ("Limit", "L"),
    ("MKT", "MKT"),
    ("Market", "MKT"),
    ("SL", "SL"),
    ("Stop loss limit", "SL"),
    ("SL-M", "SL-M"),
    ("Stop loss market", "SL-M"),
];
/// What only the broker writes: its documentation of the order feed.
const BOOK_ORDER_TYPES: Spellings = &[("LMT", "L")];

pub(crate) const SIDES: Spellings = &[("B", "B"), ("Buy", "B"), ("S", "S"), ("Sell", "S")];
pub(crate) const OLDER_SIDES: Spellings = &[
    ("B", "B"),
    ("Buy", "B"),
    ("buy", "B"),
    ("S", "S"),
    ("Sell", "S"),
    ("sell", "S"),
];

fn code(lists: &[Spellings], text: &str) -> Option<&'static str> {
    let text = text.trim();
    let mut all = lists.iter().copied().flatten();
    all.find(|(word, _)| word.eq_ignore_ascii_case(text))
        .map(|(_, code)| *code)
}

/// The code of an order type in any spelling.
pub(crate) fn order_type(text: &str) -> Option<&'static str> {
    code(&[OLDER_ORDER_TYPES, BOOK_ORDER_TYPES], text)
}

/// The code of a side in any spelling.
pub(crate) fn side(text: &str) -> Option<&'static str> {
    code(&[OLDER_SIDES], text)
}

/// The words of a sentence of the broker's in lower case, each between blanks, of so many of
/// its characters: its case, blanks and signs change from day to day.
pub(crate) fn plain(sentence: &str, most: usize) -> String {
    let mut out = String::from(" ");
    for c in sentence.chars().take(most) {
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        } else if !out.ends_with(' ') {
            out.push(' ');
        }
    }
    if !out.ends_with(' ') {
        out.push(' ');
    }
    out
}

/// Whether a [`plain`] sentence says these words.
pub(crate) fn says(plain: &str, words: &str) -> bool {
    plain.contains(&format!(" {words} "))
}

/// The stop-loss market order.
pub(crate) const STOP_MARKET: &str = "SL-M";

/// Whether orders of this type have a price of their own.
pub(crate) fn has_price(order_type: &str) -> bool {
    matches!(order_type, "L" | "SL")
}

/// Whether orders of this type wait for a trigger.
pub(crate) fn has_trigger(order_type: &str) -> bool {
    matches!(order_type, "SL" | STOP_MARKET)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_its_words_joined() {
        for Word {
            words,
            state,
            proof: proves,
        } in STATES
        {
            let joined = words.replace("canceled", "cancelled").replace(' ', "_");
            assert_eq!(state.name, joined);
            assert_eq!(find(words), state);
            let shouted = format!(" {} ", words.to_uppercase());
            assert_eq!(find(&shouted), state);
            assert_eq!(proof(&shouted), proves);
            let over = matches!(proves, Proof::Cancelled | Proof::Ended);
            assert_eq!(state.is_over(), over, "{words}");
            let cancelled = state.name.starts_with("cancelled");
            assert_eq!(proves == Proof::Cancelled, cancelled, "{words}");
        }
        let refused = STATES.iter().filter(|word| word.state.is_refusal());
        assert_eq!(refused.count(), 2);
        let waiting = STATES.iter().filter(|word| word.state.is_after_market());
        assert_eq!(waiting.count(), 2);
        for odd in ["", " ", "open open", "openpending", "\u{0}", "offen"] {
            assert_eq!(find(odd), UNKNOWN, "{odd:?}");
        }
    }

    #[test]
    fn tells_a_leap_from_a_step() {
        let direct = |before: &str, next: &str| is_direct(Some(find(before)), find(next));
        assert!(is_direct(None, find("put order req received")));
        assert!(!is_direct(None, find("open")));
        assert!(direct("put order req received", "validation pending"));
        assert!(direct("open pending", "open"));
        assert!(direct("open", "modify pending"));
        assert!(direct("modify pending", "open"));
        assert!(direct("open", "complete"));
        assert!(direct("validation pending", "rejected"));
        assert!(!direct("validation pending", "open"));
        assert!(!direct("open pending", "complete"));
        assert!(!direct("put order req received", "cancelled"));
        let waits = "after market order req received";
        assert!(direct("put order req received", waits));
        assert!(direct(waits, "cancelled after market order"));
        assert!(direct(waits, "open pending"));
        assert!(!direct(waits, "open"));
    }

    #[test]
    fn what_is_not_known_or_under_way_proves_nothing() {
        for words in [
            "",
            "--",
            "brand new",
            "cancel req received",
            "modify order req received",
            "cancel validation pending",
            "put order req received",
            "cancel pending",
        ] {
            assert_eq!(proof(words), Proof::Nothing, "{words}");
        }
        let waits = "modify after market order req received";
        assert_eq!(proof(waits), Proof::Shown);
    }

    #[test]
    fn spellings_of_types_and_sides() {
        for text in ["L", "LMT", " lmt ", "Limit"] {
            assert_eq!(order_type(text), Some("L"), "{text}");
        }
        assert_eq!(order_type("sl-m"), Some("SL-M"));
        assert_eq!(order_type("--"), None);
        for text in ["S", "s", "SELL", "Sell"] {
            assert_eq!(side(text), Some("S"), "{text}");
        }
        assert_eq!(side("--"), None);
        for list in [ORDER_TYPES, OLDER_ORDER_TYPES] {
            assert!(
                list.iter()
                    .all(|(word, code)| order_type(word) == Some(code))
            );
        }
        for list in [SIDES, OLDER_SIDES] {
            assert!(list.iter().all(|(word, code)| side(word) == Some(code)));
        }
    }

    #[test]
    fn spellings_of_segments() {
        assert_eq!(OLDER_SEGMENTS[0].0, "nse_cm");
        assert!(OLDER_SEGMENTS.iter().all(|(_, code)| *code != COMMODITIES));
        let with_a_file = |code: &str| SCRIP_SEGMENTS.iter().any(|(_, of)| *of == code);
        assert!(SEGMENTS.iter().all(|(_, code)| with_a_file(code)));
        assert!(with_a_file("cde_fo") && with_a_file("nse_com"));
        assert!(!with_a_file("bcs-fo"));
    }
}
