//! What the order book proves about an instruction whose answer is missing:
//! pure.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::calendar::india_time;
use crate::orders::{self, InstructionKind};

/// How far the clock of the order book may be behind what we take for the
/// broker's clock. A larger allowance only makes us say "unknown" more often.
const CLOCK_SLACK_S: u64 = 15 * 60;
/// The two reads that prove an absence are at least this far apart.
const BETWEEN_READS: Duration = Duration::from_secs(1);

/// What was asked, as far as the order book can show it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) kind: InstructionKind,
    pub(crate) tag: String,
    pub(crate) order_id: Option<String>,
    /// The members that went to the broker.
    facts: HashMap<String, Option<String>>,
    /// Unix milliseconds of the sending.
    pub(crate) sent_at_ms: u64,
    pub(crate) sent: Sent,
}

/// Since when an instruction is on its way, by a clock that nobody sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    At(Instant),
    /// By an earlier process: before this one took over the ledger.
    Before(Instant),
}

impl Sent {
    /// A moment at which it had been sent for certain.
    fn by(self) -> Instant {
        match self {
            Self::At(when) | Self::Before(when) => when,
        }
    }
}

/// What the clocks said when a reading of the order book was there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    pub(crate) at: Instant,
    /// This machine's, in unix seconds. It may be wrong, and may have been set
    /// since the sending.
    pub(crate) ours: u64,
    /// The broker's, where its answer told.
    pub(crate) broker: Option<u64>,
}

impl Asked {
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
            Sent::At(when) => {
                let ago = clocks.at.saturating_duration_since(when).as_secs() + 1;
                [Some(clocks.ours), clocks.broker].map(|now| now.map(|now| now.saturating_sub(ago)))
            }
            Sent::Before(_) => {
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

/// One row of the order book.
pub(crate) struct Row {
    /// The broker's own text of it.
    pub(crate) raw: String,
    members: HashMap<String, Value>,
}

impl Row {
    /// The text of a member; blank and missing are the same.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        let text = match self.members.get(key)? {
            Value::String(text) => text.trim().to_owned(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        (!text.is_empty()).then_some(text)
    }

    pub(crate) fn number(&self) -> String {
        self.text("nOrdNo").unwrap_or_default()
    }

    pub(crate) fn tag(&self) -> String {
        self.text("GuiOrdId").unwrap_or_default()
    }

    /// The state in lower case.
    pub(crate) fn state(&self) -> String {
        self.text("ordSt").unwrap_or_default().to_lowercase()
    }

    /// Unix seconds at which the order came in, where the row tells.
    fn entered_at(&self) -> Option<u64> {
        ["ordEntTm", "ordDtTm"]
            .iter()
            .find_map(|key| india_time(&self.text(key)?))
    }

    /// Whether a member is what was asked for. `None` if the row does not
    /// tell: short rows are documented, and placeholders for "none".
    fn is(&self, key: &str, asked: &str) -> Option<bool> {
        let text = self.text(key)?;
        let asked = asked.trim();
        if same_number(&text, asked) || text.eq_ignore_ascii_case(asked) {
            return Some(true);
        }
        let placeholder = matches!(text.as_str(), "NA" | "--" | "-");
        let no_number = normal(asked).is_some() && normal(&text).is_none();
        (!placeholder && !no_number).then_some(false)
    }

    /// The same for the side, which may be spelled out.
    fn is_side(&self, asked: &str) -> Option<bool> {
        let first = |text: &str| text.chars().next().map(|c| c.to_ascii_uppercase());
        match first(&self.text("trnsTp")?)? {
            side @ ('B' | 'S') => Some(first(asked) == Some(side)),
            _ => None,
        }
    }
}

/// The rows of an order book. `None` if it is no book.
pub(crate) fn rows(book: &str) -> Option<Vec<Row>> {
    #[derive(Deserialize)]
    struct Book<'a> {
        #[serde(borrow)]
        data: Vec<&'a RawValue>,
    }
    let book: Book<'_> = serde_json::from_str(book).ok()?;
    book.data
        .iter()
        .map(|raw| {
            Some(Row {
                raw: raw.get().to_owned(),
                members: serde_json::from_str(raw.get()).ok()?,
            })
        })
        .collect()
}

/// States that an order never leaves.
pub(crate) fn is_final(state: &str) -> bool {
    matches!(
        state,
        "complete" | "traded" | "rejected" | "cancelled" | "cancelled after market order"
    )
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
    asked: &Asked,
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
        let units = asked.fact("es") != "mcx_fo";
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
    let Some(at) = rows.iter().position(|row| row.number() == wanted) else {
        return Sight::Nothing(None);
    };
    let row = &rows[at];
    let state = row.state();
    // The exchange has not answered yet.
    let in_between = (state.contains("pending") && !state.starts_with("trigger"))
        || state == "put order req received";
    let done = match asked.kind {
        InstructionKind::Cancel => Some(state.starts_with("cancelled")),
        _ if in_between => None,
        _ => shows(asked, row),
    };
    match done {
        Some(true) => Sight::Done(vec![at]),
        Some(false) if is_final(&state) => Sight::Never(at),
        Some(false) if !in_between => Sight::Nothing(Some(at)),
        _ => Sight::Perhaps(vec![at]),
    }
}

/// Whether a row has the values that a modification asked for. `None` if it
/// proves neither.
fn shows(asked: &Asked, row: &Row) -> Option<bool> {
    let order_type = asked.fact("pt");
    let limit = matches!(order_type, "L" | "SL");
    let mut told = vec![row.is("qty", asked.fact("qt"))];
    // The broker turns market orders into limit orders at a price of its own:
    // such a row may be the order as it was, or as it was to become.
    let kind = row.is("prcTp", order_type);
    told.push(if limit {
        kind
    } else {
        kind.filter(|same| *same)
    });
    if limit {
        told.push(row.is("prc", asked.fact("pr")));
    }
    if order_type.starts_with("SL") {
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
    first_clear: Option<Instant>,
    absent: bool,
}

impl Progress {
    /// Takes in one successful reading.
    pub(crate) fn saw(&mut self, sight: &Sight, asked: &Asked, began: Instant, window: Duration) {
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
    pub(crate) fn next_proof(&self, asked: &Asked, window: Duration) -> Instant {
        let over = asked.sent.by() + window;
        let apart = BETWEEN_READS.min(window / 2);
        self.first_clear
            .map_or(over, |first| over.max(first + apart))
    }
}

/// Whether two plain decimals are the same number.
fn same_number(a: &str, b: &str) -> bool {
    match (normal(a), normal(b)) {
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

/// Digits before and after the point, without needless zeros.
fn normal(text: &str) -> Option<(&str, &str)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if text.is_empty() || text == "." || !digits(whole) || !digits(fraction) {
        return None;
    }
    Some((
        whole.trim_start_matches('0'),
        fraction.trim_end_matches('0'),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT_S: u64 = 1_737_536_281;
    const PLACE: &str = r#"{"ts":"TCS-EQ","tt":"B","qt":"10","pr":"2450.50","pt":"L"}"#;

    fn asked(kind: InstructionKind, facts: &str) -> Asked {
        let id = (kind != InstructionKind::Place).then_some("1");
        let sent = Sent::At(Instant::now());
        Asked::new(kind, "mine", id, facts, SENT_S * 1000, sent)
    }

    fn place() -> Asked {
        asked(InstructionKind::Place, PLACE)
    }

    /// Looks at the moment of the sending; all clocks are right.
    fn look(asked: &Asked, rows: &[Row], of_another: impl Fn(&Row) -> bool) -> Sight {
        let clocks = Clocks {
            at: asked.sent.by(),
            ours: SENT_S,
            broker: None,
        };
        super::look(asked, rows, &clocks, of_another)
    }

    fn book(rows_json: &str) -> Vec<Row> {
        rows(&format!(r#"{{"stat":"Ok","data":[{rows_json}]}}"#)).expect("a book")
    }

    fn row(tag: &str, quantity: &str, time: &str) -> String {
        format!(
            r#"{{"nOrdNo":"1","GuiOrdId":"{tag}","trdSym":"TCS-EQ","trnsTp":"B","qty":{quantity},"ordEntTm":"{time}","ordSt":"open"}}"#
        )
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        for (a, b, same) in [
            ("10", "10.00", true),
            ("007", "7", true),
            ("0.50", ".5", true),
            ("10", "100", false),
            ("1.05", "1.5", false),
            ("", "0", false),
            ("1e1", "10", false),
        ] {
            assert_eq!(same_number(a, b), same, "{a} {b}");
        }
    }

    #[test]
    fn the_tag_proves_a_placed_order() {
        let other = row("other", "5", "22-Jan-2025 14:28:02");
        let mine = row("mine", "10.0", "22-Jan-2025 14:28:02");
        let rows = book(&format!("{other},{mine}"));
        assert_eq!(look(&place(), &rows, |_| false), Sight::Done(vec![1]));
    }

    #[test]
    fn a_row_alike_leaves_it_open() {
        let asked = place();
        let sight = |row: &str| look(&asked, &book(row), |_| false);
        let later = "22-Jan-2025 14:28:02";
        assert_eq!(sight(&row("", "10", later)), Sight::Perhaps(vec![0]));
        assert_eq!(sight(&row("x", "10", "--")), Sight::Perhaps(vec![0]));
        assert_eq!(sight(&row("x", "11", later)), Sight::Nothing(None));
        assert_eq!(
            sight(&row("x", "10", "22-Jan-2025 14:10:00")),
            Sight::Nothing(None)
        );
        let ours = orders::make_tag([7; 8]);
        assert_eq!(sight(&row(&ours, "10", later)), Sight::Nothing(None));
        let rows = book(&row("x", "10", later));
        assert_eq!(look(&asked, &rows, |_| true), Sight::Nothing(None));
    }

    /// The broker documents rows of after-market orders without side and tag.
    #[test]
    fn what_a_row_does_not_tell_excludes_nothing() {
        let sight = |row: &str| look(&place(), &book(row), |_| false);
        for row in [
            r#"{"nOrdNo":"1","trdSym":"TCS-EQ","qty":10,"ordSt":"after market order req received"}"#,
            r#"{"nOrdNo":"1","trdSym":"TCS-EQ","trnsTp":"BUY","qty":"10.00"}"#,
            r#"{"nOrdNo":"1","trdSym":"tcs-eq ","trnsTp":"b","qty":"1e1"}"#,
            r#"{"nOrdNo":"1","trdSym":"TCS-EQ","trnsTp":"--","qty":"NA"}"#,
        ] {
            assert_eq!(sight(row), Sight::Perhaps(vec![0]), "{row}");
        }
        for row in [
            r#"{"nOrdNo":"1","trdSym":"TCS-BE","trnsTp":"B","qty":10}"#,
            r#"{"nOrdNo":"1","trdSym":"TCS-EQ","trnsTp":"SELL","qty":10}"#,
            r#"{"nOrdNo":"1","trdSym":"TCS-EQ","trnsTp":"B","qty":11}"#,
        ] {
            assert_eq!(sight(row), Sight::Nothing(None), "{row}");
        }
        // In which unit the commodity exchange counts is not documented.
        let facts = PLACE.replace(r#""ts""#, r#""es":"mcx_fo","ts""#);
        let lots = asked(InstructionKind::Place, &facts);
        let row = r#"{"nOrdNo":"1","trdSym":"TCS-EQ","trnsTp":"B","qty":1000}"#;
        let sight = look(&lots, &book(row), |_| false);
        assert_eq!(sight, Sight::Perhaps(vec![0]));
    }

    #[test]
    fn a_change_is_not_called_applied_where_the_row_proves_nothing() {
        let sight = |facts: &str, row: &str| {
            let asked = asked(InstructionKind::Modify, facts);
            look(&asked, &book(&format!(r#"{{"nOrdNo":"1",{row}}}"#)), |_| {
                false
            })
        };
        let market = r#"{"no":"1","pr":"0","pt":"MKT","qt":"10","tp":"0","vd":"DAY","dq":"0"}"#;
        let limit = r#"{"no":"1","pr":"9","pt":"L","qt":"10","tp":"0","vd":"IOC","dq":"2"}"#;
        let stop = r#"{"no":"1","pr":"0","pt":"SL-M","qt":"10","tp":"8","vd":"DAY","dq":"0"}"#;
        let perhaps = Sight::Perhaps(vec![0]);
        for (facts, row, expected) in [
            // It was a limit order: was it left alone, or turned into one again?
            (
                market,
                r#""qty":10,"prc":"9","prcTp":"L","ordSt":"open""#,
                &perhaps,
            ),
            (
                market,
                r#""qty":10,"prc":"9","prcTp":"L","ordSt":"complete""#,
                &perhaps,
            ),
            (
                market,
                r#""qty":10,"prc":"0","prcTp":"MKT","ordSt":"open""#,
                &Sight::Done(vec![0]),
            ),
            (
                market,
                r#""qty":9,"prc":"9","prcTp":"L","ordSt":"open""#,
                &Sight::Nothing(Some(0)),
            ),
            (
                stop,
                r#""qty":10,"trgPrc":"8","prcTp":"SL","ordSt":"trigger pending""#,
                &perhaps,
            ),
            (
                stop,
                r#""qty":10,"trgPrc":"8.0","prcTp":"SL-M","ordSt":"trigger pending""#,
                &Sight::Done(vec![0]),
            ),
            (
                stop,
                r#""qty":10,"trgPrc":"7","prcTp":"SL-M","ordSt":"trigger pending""#,
                &Sight::Nothing(Some(0)),
            ),
            // Only validity or disclosed quantity were to change.
            (
                limit,
                r#""qty":10,"prc":"9.00","prcTp":"L","vldt":"DAY","dscQty":2,"ordSt":"open""#,
                &perhaps,
            ),
            (
                limit,
                r#""qty":10,"prc":"9.00","prcTp":"L","vldt":"IOC","dscQty":0,"ordSt":"open""#,
                &perhaps,
            ),
            (
                limit,
                r#""qty":10,"prc":"9.00","prcTp":"L","vldt":"ioc","dscQty":2,"ordSt":"open""#,
                &Sight::Done(vec![0]),
            ),
            // Nothing is told of the price.
            (limit, r#""qty":10,"prcTp":"L","ordSt":"open""#, &perhaps),
        ] {
            assert_eq!(&sight(facts, row), expected, "{facts} {row}");
        }
    }

    #[test]
    fn absence_needs_two_reads_and_the_whole_window() {
        const WINDOW: Duration = Duration::from_secs(10);
        let asked = place();
        let after = |ms: u64| asked.sent.by() + Duration::from_millis(ms);
        let nothing = Sight::Nothing(None);
        let mut progress = Progress::default();
        let mut absent_after = |ms: u64, sight: &Sight| {
            progress.saw(sight, &asked, after(ms), WINDOW);
            progress.is_absent()
        };
        assert!(!absent_after(100, &nothing));
        assert!(!absent_after(9_999, &nothing));
        assert!(absent_after(10_000, &nothing));
        let mut late = Progress::default();
        late.saw(&nothing, &asked, after(50_000), WINDOW);
        assert!(!late.is_absent());
        late.saw(&nothing, &asked, after(50_500), WINDOW);
        assert!(!late.is_absent());
        assert_eq!(late.next_proof(&asked, WINDOW), after(51_000));
        late.saw(&Sight::Perhaps(vec![0]), &asked, after(51_000), WINDOW);
        late.saw(&nothing, &asked, after(51_100), WINDOW);
        assert!(!late.is_absent());
        late.saw(&nothing, &asked, after(52_100), WINDOW);
        assert!(late.is_absent());
    }

    /// Whatever the clock of this machine says, and whenever it was set.
    #[test]
    fn a_wrong_clock_excludes_no_row() {
        const HOUR: u64 = 3600;
        let when = Instant::now();
        let row = row("rewritten", "10", "22-Jan-2025 14:28:02");
        let rows = book(&row);
        let sight = |noted: u64, sent: Sent, ours: u64, broker: Option<u64>| {
            let mut asked = place();
            (asked.sent_at_ms, asked.sent) = (noted * 1000, sent);
            let at = when + Duration::from_secs(60);
            let clocks = Clocks { at, ours, broker };
            super::look(&asked, &rows, &clocks, |_| false)
        };
        let (mine, before) = (Sent::At(when), Sent::Before(when));
        let now = SENT_S + 60;
        for (noted, sent, ours, broker) in [
            // Right all the time.
            (SENT_S, mine, now, None),
            // An hour ahead: the broker's clock tells.
            (SENT_S + HOUR, mine, now + HOUR, Some(now)),
            (SENT_S + HOUR, before, now + HOUR, Some(now)),
            // It was ahead and has been set since: our own tells.
            (SENT_S + HOUR, mine, now, None),
            // Behind.
            (SENT_S - HOUR, mine, now - HOUR, Some(now)),
            (SENT_S - HOUR, before, now, Some(now)),
        ] {
            let sight = sight(noted, sent, ours, broker);
            assert_eq!(sight, Sight::Perhaps(vec![0]), "{noted} {sent:?} {ours}");
        }
        // An older order is none, if anything tells that it is older.
        let later = sight(SENT_S + HOUR, mine, now + HOUR, Some(now + HOUR));
        assert_eq!(later, Sight::Nothing(None));
    }

    #[test]
    fn an_older_order_with_the_tag_is_no_proof() {
        let old = row("mine", "10", "22-Jan-2025 09:28:02");
        let new = row("mine", "10", "22-Jan-2025 14:28:02");
        let sight = |rows: &str| look(&place(), &book(rows), |_| false);
        assert_eq!(sight(&old), Sight::Perhaps(vec![0]));
        assert_eq!(sight(&new), Sight::Done(vec![0]));
        assert_eq!(sight(&format!("{old},{new}")), Sight::Done(vec![1]));
        let untold = row("mine", "10", "--");
        assert_eq!(sight(&untold), Sight::Done(vec![0]));
    }

    #[test]
    fn changes_are_judged_by_the_state_of_their_order() {
        let modify = asked(
            InstructionKind::Modify,
            r#"{"no":"1","pr":"101","pt":"L","qt":"10","tp":"0"}"#,
        );
        let cancel = asked(InstructionKind::Cancel, r#"{"on":"1"}"#);
        let row = |price: &str, state: &str| {
            book(&format!(
                r#"{{"nOrdNo":"1","qty":10,"prc":"{price}","prcTp":"L","ordSt":"{state}"}}"#
            ))
        };
        let never = |rows: &[Row]| look(&modify, rows, |_| false);
        assert_eq!(never(&row("101.00", "open")), Sight::Done(vec![0]));
        assert_eq!(never(&row("101.00", "complete")), Sight::Done(vec![0]));
        assert_eq!(never(&row("100.00", "complete")), Sight::Never(0));
        assert_eq!(never(&row("100.00", "open")), Sight::Nothing(Some(0)));
        assert_eq!(
            never(&row("101", "modify pending")),
            Sight::Perhaps(vec![0])
        );
        assert_eq!(never(&[]), Sight::Nothing(None));
        let seen = |state: &str| look(&cancel, &row("1", state), |_| false);
        assert_eq!(seen("cancelled"), Sight::Done(vec![0]));
        assert_eq!(seen("Cancelled After Market Order"), Sight::Done(vec![0]));
        assert_eq!(seen("complete"), Sight::Never(0));
        assert_eq!(seen("cancel pending"), Sight::Perhaps(vec![0]));
        assert_eq!(seen("trigger pending"), Sight::Nothing(Some(0)));
    }
}
