use super::*;
use crate::base::clock;
use crate::broker::order_book::rows;

const SENT_S: u64 = 1_737_536_281;
const PLACE: &str = r#"{"ts":"TCS-EQ","tt":"B","qt":"10","pr":"2450.50","pt":"L"}"#;

fn asked(kind: InstructionKind, facts: &str) -> Instructed {
    let id = (kind != InstructionKind::Place).then_some("1");
    let sent = Sent::At(clock::now());
    Instructed::new(kind, "mine", id, facts, SENT_S * 1000, sent)
}

fn place() -> Instructed {
    asked(InstructionKind::Place, PLACE)
}

/// Looks at the moment of the sending; all clocks are right.
fn look(asked: &Instructed, rows: &[Row], of_another: impl Fn(&Row) -> bool) -> Sight {
    let clocks = Clocks {
        at: asked.sent.over(),
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
        // Nobody knows what this means, or which change was refused: what it shows
        // may be the wish.
        (
            limit,
            r#""qty":10,"prc":"9.00","prcTp":"L","vldt":"IOC","dscQty":2,"ordSt":"modify requested""#,
            &perhaps,
        ),
        (
            limit,
            r#""qty":10,"prc":"9.00","prcTp":"L","vldt":"IOC","dscQty":2,"ordSt":"not modified""#,
            &perhaps,
        ),
        (
            limit,
            r#""qty":10,"prc":"9.00","prcTp":"L","vldt":"IOC","dscQty":2,"ordSt":"rejected""#,
            &perhaps,
        ),
        (
            limit,
            r#""qty":10,"prc":"8.00","prcTp":"L","ordSt":"rejected""#,
            &Sight::Never(0),
        ),
        // Nothing is told of the price.
        (limit, r#""qty":10,"prcTp":"L","ordSt":"open""#, &perhaps),
    ] {
        assert_eq!(&sight(facts, row), expected, "{facts} {row}");
    }
}

#[test]
fn all_rows_of_an_order_must_agree() {
    let cancel = asked(InstructionKind::Cancel, r#"{"on":"1"}"#);
    let sight = |states: [&str; 2]| {
        let rows = states.map(|state| format!(r#"{{"nOrdNo":"1","ordSt":"{state}"}}"#));
        look(&cancel, &book(&rows.join(",")), |_| false)
    };
    assert_eq!(sight(["complete", "rejected"]), Sight::Never(0));
    assert_eq!(sight(["cancelled", "canceled"]), Sight::Done(vec![0, 1]));
    assert_eq!(sight(["open", "modified"]), Sight::Nothing(Some(0)));
    for states in [
        ["complete", "cancelled"],
        ["complete", "cancel pending"],
        ["open", "cancelled"],
        ["cancelled", "open"],
        ["rejected", "brand new"],
    ] {
        assert_eq!(sight(states), Sight::Perhaps(vec![0, 1]), "{states:?}");
    }
}

#[test]
fn absence_needs_two_reads_and_the_whole_window() {
    const WINDOW: Duration = Duration::from_secs(10);
    let asked = place();
    let after = |ms: u64| asked.sent.over() + Duration::from_millis(ms);
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

/// A call may go on for long after the sending, and what it left may arrive later still.
#[test]
fn the_window_begins_when_nothing_is_on_its_way_any_more() {
    const WINDOW: Duration = Duration::from_secs(10);
    const ON_ITS_WAY: Duration = Duration::from_secs(3600);
    let when = clock::now();
    let over = when + ON_ITS_WAY;
    for sent in [Sent::Ended { at: when, over }, Sent::Before { over }] {
        let asked = Instructed { sent, ..place() };
        let mut progress = Progress::default();
        let mut absent_at = |at: Moment| {
            progress.saw(&Sight::Nothing(None), &asked, at, WINDOW);
            progress.is_absent()
        };
        assert!(!absent_at(when + WINDOW), "{sent:?}");
        assert!(!absent_at(over), "{sent:?}");
        assert!(
            !absent_at(over + WINDOW - Duration::from_millis(1)),
            "{sent:?}"
        );
        assert!(absent_at(over + WINDOW), "{sent:?}");
    }
}

/// Whatever the clock of this machine says, and whenever it was set.
#[test]
fn a_wrong_clock_excludes_no_row() {
    const HOUR: u64 = 3600;
    let when = clock::now();
    let row = row("rewritten", "10", "22-Jan-2025 14:28:02");
    let rows = book(&row);
    let sight = |noted: u64, sent: Sent, ours: u64, broker: Option<u64>| {
        let mut asked = place();
        (asked.sent_at_ms, asked.sent) = (noted * 1000, sent);
        let at = when + Duration::from_secs(60);
        let clocks = Clocks { at, ours, broker };
        super::look(&asked, &rows, &clocks, |_| false)
    };
    let over = when + Duration::from_secs(30);
    let (mine, ended) = (Sent::At(when), Sent::Ended { at: when, over });
    let before = Sent::Before { over };
    let now = SENT_S + 60;
    for (noted, sent, ours, broker) in [
        // Right all the time.
        (SENT_S, mine, now, None),
        (SENT_S, ended, now, None),
        // An hour ahead: the broker's clock tells.
        (SENT_S + HOUR, mine, now + HOUR, Some(now)),
        (SENT_S + HOUR, before, now + HOUR, Some(now)),
        // It was ahead and has been set since: our own tells.
        (SENT_S + HOUR, mine, now, None),
        (SENT_S + HOUR, ended, now, None),
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

/// The order feed and the books spell many words in several ways.
#[test]
fn every_spelling_of_a_word_means_the_same() {
    let limit = r#"{"no":"1","pr":"101","pt":"L","qt":"10","tp":"0"}"#;
    let modify = asked(InstructionKind::Modify, limit);
    let cancel = asked(InstructionKind::Cancel, r#"{"on":"1"}"#);
    let row = |price: &str, kind: &str, state: &str| {
        book(&format!(
            r#"{{"nOrdNo":"1","qty":10,"prc":"{price}","prcTp":"{kind}","ordSt":"{state}"}}"#
        ))
    };
    let see = |asked: &Instructed, rows: &[Row]| look(asked, rows, |_| false);
    for state in ["canceled", " CANCELED ", "canceled after market order"] {
        assert_eq!(
            see(&cancel, &row("100", "L", state)),
            Sight::Done(vec![0]),
            "{state}"
        );
        assert_eq!(
            see(&modify, &row("100", "L", state)),
            Sight::Never(0),
            "{state}"
        );
    }
    assert_eq!(
        see(&modify, &row("101", "LMT", "open")),
        Sight::Done(vec![0])
    );
    assert_eq!(
        see(&modify, &row("101", "MKT", "open")),
        Sight::Nothing(Some(0))
    );
    assert_eq!(
        see(&modify, &row("101", "--", "open")),
        Sight::Perhaps(vec![0])
    );
}

#[test]
fn what_is_on_its_way_or_not_known_proves_no_absence() {
    let limit = r#"{"no":"1","pr":"101","pt":"L","qt":"10","tp":"0"}"#;
    let modify = asked(InstructionKind::Modify, limit);
    let cancel = asked(InstructionKind::Cancel, r#"{"on":"1"}"#);
    for state in [
        "modify after market order req received",
        "cancel req received",
        "cancel order req received",
        "modify validation pending",
        "of a new kind",
        "",
    ] {
        let row = format!(r#"{{"nOrdNo":"1","qty":10,"prc":"100","prcTp":"L","ordSt":"{state}"}}"#);
        for asked in [&modify, &cancel] {
            let sight = look(asked, &book(&row), |_| false);
            assert_eq!(sight, Sight::Perhaps(vec![0]), "{state}");
        }
    }
    // What such a row shows was done all the same.
    let waits = r#"{"nOrdNo":"1","qty":10,"prc":"101","prcTp":"L",
        "ordSt":"modify after market order req received"}"#;
    let sight = look(&modify, &book(waits), |_| false);
    assert_eq!(sight, Sight::Done(vec![0]));
    let waits = r#"{"nOrdNo":"1","ordSt":"after market order req received"}"#;
    let sight = look(&cancel, &book(waits), |_| false);
    assert_eq!(sight, Sight::Nothing(Some(0)));
}
