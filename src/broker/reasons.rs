//! Why the broker and the exchanges reject an order that was taken: their words in the
//! rows of orders (`rejRsn`), and what to do about each.

use std::collections::HashSet;

use crate::base::json;
use crate::broker::words;

/// By what a reason is known, and one sentence for the caller.
struct Reason {
    /// The exchange's code that begins it, if it has one.
    code: &'static str,
    /// Any of these words, whatever stands before and behind.
    words: &'static [&'static str],
    hint: &'static str,
}

/// Those that were seen with live accounts, or stand in the broker's documents. A row that
/// gives one may be that of an order that lives, whose change was rejected: no hint sends it
/// again without a look at its state.
const REASONS: [Reason; 6] = [
    Reason {
        code: "16283",
        words: &[
            "not a multiple of tick size",
            "not a multiple of the tick size",
        ],
        hint: "Price and trigger price must be multiples of the instrument's own tick, which \
               search_scrip shows; if the order's state is rejected, send it again at such a price \
               if you still want it, else only a change of it was rejected.",
    },
    Reason {
        code: "",
        words: &["transition to cas session"],
        hint: "For some minutes before the closing auction every order is rejected; if this one's \
               state is rejected, send it again a little later if you still want it.",
    },
    Reason {
        code: "",
        words: &["adapter is logged off", "adapter is down"],
        hint: "The broker has no connection to this exchange now, as on days without trading; \
               look at the market's hours, and use an after-market order (amo YES) outside of them.",
    },
    Reason {
        code: "",
        words: &["margin exceeds"],
        hint: "The funds do not suffice: the reason names what there is and what is needed, limits \
               and margin_required show both.",
    },
    Reason {
        code: "",
        words: &["market order with algo id not allowed"],
        hint: "SL-M orders are always rejected through the API; send SL with a limit price beyond \
               the trigger, on the tick.",
    },
    Reason {
        code: "",
        words: &["check circuit limit"],
        hint: "The price lies outside of the day's circuit limits of the instrument.",
    },
];

/// So much of a reason is looked at, in characters; the known ones have some 150.
const LONGEST: usize = 512;
/// The longest text of a row that is taken for a reason, in bytes, and for an order number.
const LONGEST_TEXT: usize = 4096;
const LONGEST_NUMBER: usize = 64;

/// What to do about a reason, if it is one that is known.
pub(crate) fn hint(reason: &str) -> Option<&'static str> {
    let text = words::plain(reason, LONGEST);
    let first = text.split_whitespace().next()?;
    let says = |words: &&str| words::says(&text, words);
    let is_it = |known: &&Reason| known.code == first || known.words.iter().any(says);
    REASONS.iter().find(is_it).map(|known| known.hint)
}

/// The reason that the row of an order gives. Most give none: a placeholder.
fn reason(row: &str) -> Option<(Option<String>, String)> {
    let [number, reason] = json::members(row, ["nOrdNo", "rejRsn"])?;
    let raw = reason?.get();
    // `"--"` and `"NA"` are the most frequent ones, and have four bytes.
    let may_be = (5..=LONGEST_TEXT).contains(&raw.len());
    let reason = may_be.then(|| json::scalar(raw)).flatten()?;
    let number = number.and_then(|raw| json::scalar(raw.get()));
    Some((
        number.filter(|number| number.len() <= LONGEST_NUMBER),
        reason,
    ))
}

/// What to do about the reason that a row gives.
pub(crate) fn hint_of(row: &str) -> Option<&'static str> {
    hint(&reason(row)?.1)
}

/// A known reason of an order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hint {
    pub(crate) order_id: Option<String>,
    /// The broker's words, whole.
    pub(crate) reason: String,
    pub(crate) hint: &'static str,
}

/// The known reasons of many rows, each once; so many at the most.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    pub(crate) list: Vec<Hint>,
    seen: HashSet<(Option<String>, String)>,
    /// How many rows gave others.
    pub(crate) left_out: usize,
}

impl Hints {
    pub(crate) const MOST: usize = 64;

    /// Those of rows.
    pub(crate) fn of<'a>(rows: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hints = Self::default();
        hints.add(rows);
        hints
    }

    /// Those of further rows.
    pub(crate) fn add<'a>(&mut self, rows: impl IntoIterator<Item = &'a str>) {
        for row in rows {
            self.add_row(row);
        }
    }

    fn add_row(&mut self, row: &str) {
        let Some((order_id, reason)) = reason(row) else {
            return;
        };
        let Some(hint) = hint(&reason) else {
            return;
        };
        let key = (order_id, reason);
        if self.seen.contains(&key) {
            return;
        }
        if self.list.len() >= Self::MOST {
            self.left_out += 1;
            return;
        }
        self.list.push(Hint {
            order_id: key.0.clone(),
            reason: key.1.clone(),
            hint,
        });
        self.seen.insert(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEN: [(&str, usize); 7] = [
        ("16283: Order price is not a multiple of tick size", 0),
        ("OMS: Trading session is in Transition to CAS session", 1),
        ("Adapter is Logged Off", 2),
        ("ADAPTER is down", 2),
        (
            "RMS:Margin Exceeds,Cash Available:87.20,Additional required Cash:812.80 for entity \
             account-TEST1 across exchange across segment across product",
            3,
        ),
        ("Market order with Algo Id not allowed", 4),
        (
            "RMS:Rule: Check circuit limit including square off order exceeds  for entity \
             account-TEST1 across exchange across segment across product ",
            5,
        ),
    ];

    #[test]
    fn a_reason_is_known_in_any_spelling() {
        for (text, at) in SEEN {
            let wanted = Some(REASONS[at].hint);
            let wide = text.replace(' ', "  ").replace(':', " : ");
            let prefixed = format!("NSE - RMS: {text}.");
            let quoted = format!("\t\"{text}\"\n");
            for spelled in [
                text,
                &text.to_uppercase(),
                &text.to_lowercase(),
                &wide,
                &prefixed,
                &quoted,
            ] {
                assert_eq!(hint(spelled), wanted, "{spelled}");
            }
        }
        assert_eq!(hint("16283"), Some(REASONS[0].hint));
        // The row of an order that lives may give a reason, too: that of a change.
        for reason in REASONS {
            let sends_again = reason.hint.find(" again");
            let looks = reason.hint.find("state is rejected, send it again");
            assert!(sends_again.is_none() || looks.is_some(), "{}", reason.hint);
        }
        assert_eq!(hint(" 16283 : Trigger price"), Some(REASONS[0].hint));
    }

    #[test]
    fn what_is_not_known_has_no_hint() {
        for text in [
            "",
            "--",
            "NA",
            "-",
            " ",
            "something new",
            "Cash:16283.00",
            "116283: x",
            "margin exceedsx",
            "is a multiple of tick size",
            "adapter is logged on",
        ] {
            assert_eq!(hint(text), None, "{text}");
        }
        assert_eq!(
            hint(&format!("{} margin exceeds", "x".repeat(LONGEST))),
            None
        );
        assert!(REASONS.iter().all(|reason| reason.hint.ends_with('.')));
        let all = REASONS.iter().flat_map(|reason| reason.words);
        assert!(
            all.clone()
                .all(|known| words::plain(known, LONGEST) == format!(" {known} "))
        );
    }

    #[test]
    fn rows_give_each_reason_once_and_so_many() {
        let row =
            |number: usize, text: &str| format!(r#"{{"nOrdNo":"{number}","rejRsn":"{text}"}}"#);
        let tick = SEEN[0].0;
        let some = [
            row(1, tick),
            row(2, "--"),
            row(1, tick),
            row(3, "new words"),
            r#"{"rejRsn":"adapter is DOWN"}"#.to_owned(),
            r#"{"nOrdNo":7,"rejRsn":7}"#.to_owned(),
            "{".to_owned(),
        ];
        let hints = Hints::of(some.iter().map(String::as_str));
        let told: Vec<_> = hints
            .list
            .iter()
            .map(|it| (it.order_id.as_deref(), &*it.reason))
            .collect();
        assert_eq!(told, [(Some("1"), tick), (None, "adapter is DOWN")]);
        assert_eq!(hints.left_out, 0);
        let many: Vec<_> = (0..Hints::MOST + 3).map(|at| row(at, tick)).collect();
        let hints = Hints::of(many.iter().map(String::as_str));
        assert_eq!((hints.list.len(), hints.left_out), (Hints::MOST, 3));
        assert_eq!(hint_of(&row(1, tick)), Some(REASONS[0].hint));
        assert_eq!(hint_of(&row(1, "--")), None);
    }
}
