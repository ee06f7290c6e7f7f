//! The states of an order: stable names for the broker's words, and which
//! state may follow which.

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

/// A state that this version does not know. It is taken for one at the
/// exchange: it neither ends an order nor takes it back.
pub(crate) const UNKNOWN: State = State {
    name: "unknown",
    phase: Phase::Working,
};

/// The broker's words, the stable name, the phase. Names are never changed.
const KNOWN: [(&str, &str, Phase); 21] = [
    (
        "put order req received",
        "put_order_req_received",
        Phase::Received,
    ),
    (
        "after market order req received",
        "after_market_order_req_received",
        Phase::Validated,
    ),
    (
        "modify after market order req received",
        "modify_after_market_order_req_received",
        Phase::Validated,
    ),
    ("validation pending", "validation_pending", Phase::Validated),
    ("open pending", "open_pending", Phase::Passed),
    ("open", "open", Phase::Working),
    ("trigger pending", "trigger_pending", Phase::Working),
    ("modified", "modified", Phase::Working),
    (
        "modify validation pending",
        "modify_validation_pending",
        Phase::Working,
    ),
    ("modify pending", "modify_pending", Phase::Working),
    ("cancel pending", "cancel_pending", Phase::Working),
    ("not modified", "not_modified", Phase::Working),
    ("not cancelled", "not_cancelled", Phase::Working),
    ("not canceled", "not_cancelled", Phase::Working),
    ("traded", "traded", Phase::Traded),
    ("complete", "complete", Phase::Final),
    ("rejected", "rejected", Phase::Final),
    ("cancelled", "cancelled", Phase::Final),
    ("canceled", "cancelled", Phase::Final),
    (
        "cancelled after market order",
        "cancelled_after_market_order",
        Phase::Final,
    ),
    (
        "canceled after market order",
        "cancelled_after_market_order",
        Phase::Final,
    ),
];

/// The state that the broker's words stand for, whatever their case and
/// blanks.
pub(crate) fn find(words: &str) -> State {
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
    match KNOWN.iter().find(|(known, _, _)| same(known)) {
        Some((_, name, phase)) => State {
            name,
            phase: *phase,
        },
        None => UNKNOWN,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_its_words_joined() {
        for (words, name, phase) in KNOWN {
            let joined = words.replace("canceled", "cancelled").replace(' ', "_");
            assert_eq!(name, joined);
            assert_eq!(find(words), State { name, phase });
            assert_eq!(find(&format!(" {} ", words.to_uppercase())).name, name);
        }
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
}
