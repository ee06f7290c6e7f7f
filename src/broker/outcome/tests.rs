use super::model::{self, End};
use super::*;
use crate::base::clock;
use crate::broker::order_book::rows;

const SENT_S: u64 = 1_737_536_281;
const PLACE: &str = r#"{"ts":"TCS-EQ","tt":"B","qt":"10","pr":"2450.50","pt":"L"}"#;

fn asked(kind: InstructionKind, facts: &str) -> Instructed {
    let id = (kind != InstructionKind::Place).then_some("1");
    let sent = Sent::At(clock::now());
    Instructed::new(kind, "mine", id, facts, SENT_S * 1000, sent).of_account(Some("TEST1"))
}

fn place() -> Instructed {
    asked(InstructionKind::Place, PLACE)
}

const NONE: &dyn Fn(usize) -> bool = &|_| false;

/// A reading at so many seconds after the sending; all clocks are right, one order is
/// known, and it is shown.
fn reading<'a>(asked: &Instructed, seconds: u64, rows: &'a [Row]) -> Reading<'a> {
    let at = asked.sent.over() + Duration::from_secs(seconds);
    Reading {
        began: at,
        clocks: Clocks {
            at,
            ours: SENT_S + seconds,
            broker: Some(SENT_S + seconds),
        },
        account: Some("TEST1"),
        rows,
        keys: &[1],
        known: Some(&[1]),
        of_another: NONE,
        changed_since: false,
        others: None,
    }
}

/// Looks at the moment of the sending; all clocks are right.
fn look(asked: &Instructed, rows: &[Row], of_another: &dyn Fn(usize) -> bool) -> Sight {
    let reading = Reading {
        of_another,
        ..reading(asked, 0, rows)
    };
    match super::look(asked, &reading, Waiver::default()) {
        Sight::Perhaps(_, rows) => perhaps(rows),
        sight => sight,
    }
}

/// For whatever reason.
fn perhaps(rows: Vec<usize>) -> Sight {
    Sight::Perhaps(Premise::StatesExclude, rows)
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
    assert_eq!(look(&place(), &rows, NONE), Sight::Done(vec![1]));
}

#[test]
fn a_row_alike_leaves_it_open() {
    let asked = place();
    let sight = |row: &str| look(&asked, &book(row), NONE);
    let later = "22-Jan-2025 14:28:02";
    assert_eq!(sight(&row("", "10", later)), perhaps(vec![0]));
    assert_eq!(sight(&row("x", "10", "--")), perhaps(vec![0]));
    // Whoever rewrote the tag may have changed the quantity.
    assert_eq!(sight(&row("x", "11", later)), perhaps(vec![0]));
    assert_eq!(
        sight(&row("x", "10", "22-Jan-2025 14:10:00")),
        Sight::Nothing(None)
    );
    let ours = orders::make_tag([7; 8]);
    assert_eq!(sight(&row(&ours, "10", later)), Sight::Nothing(None));
    let rows = book(&row("x", "10", later));
    assert_eq!(look(&asked, &rows, &|_| true), Sight::Nothing(None));
}

/// The broker documents rows of after-market orders without side and tag.
#[test]
fn what_a_row_does_not_tell_excludes_nothing() {
    let sight = |row: &str| look(&place(), &book(row), NONE);
    for row in [
        r#"{"nOrdNo":"1","trdSym":"TCS-EQ","qty":10,"ordSt":"after market order req received"}"#,
        r#"{"nOrdNo":"1","trdSym":"TCS-EQ","trnsTp":"BUY","qty":"10.00"}"#,
        r#"{"nOrdNo":"1","trdSym":"tcs-eq ","trnsTp":"b","qty":"1e1"}"#,
        r#"{"nOrdNo":"1","trdSym":"TCS-EQ","trnsTp":"--","qty":"NA"}"#,
        r#"{"nOrdNo":"1","trdSym":"TCS","trnsTp":"B","qty":7}"#,
        r#"{"nOrdNo":"1","trdSym":"TCS-BE","trnsTp":"B","qty":10}"#,
        r#"{"nOrdNo":"1","trdSym":"TATA CONSULTANCY","sym":"TCS","trnsTp":"B","qty":10}"#,
    ] {
        assert_eq!(sight(row), perhaps(vec![0]), "{row}");
    }
    for row in [
        r#"{"nOrdNo":"1","trdSym":"TCS-EQ","trnsTp":"SELL","qty":10}"#,
        r#"{"nOrdNo":"1","trdSym":"INFY-EQ","sym":"INFY","trnsTp":"B","qty":10}"#,
    ] {
        assert_eq!(sight(row), Sight::Nothing(None), "{row}");
    }
}

#[test]
fn a_change_is_not_called_applied_where_the_row_proves_nothing() {
    let sight = |facts: &str, row: &str| {
        let asked = asked(InstructionKind::Modify, facts);
        look(&asked, &book(&format!(r#"{{"nOrdNo":"1",{row}}}"#)), NONE)
    };
    let market = r#"{"no":"1","pr":"0","pt":"MKT","qt":"10","tp":"0","vd":"DAY","dq":"0"}"#;
    let limit = r#"{"no":"1","pr":"9","pt":"L","qt":"10","tp":"0","vd":"IOC","dq":"2"}"#;
    let stop = r#"{"no":"1","pr":"0","pt":"SL-M","qt":"10","tp":"8","vd":"DAY","dq":"0"}"#;
    let perhaps = perhaps(vec![0]);
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
            &Sight::Nothing(Some(0)),
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
        look(&cancel, &book(&rows.join(",")), NONE)
    };
    assert_eq!(sight(["complete", "rejected"]), Sight::Nothing(Some(0)));
    assert_eq!(sight(["cancelled", "canceled"]), Sight::Done(vec![0, 1]));
    assert_eq!(sight(["open", "modified"]), Sight::Nothing(Some(0)));
    for states in [
        ["complete", "cancelled"],
        ["complete", "cancel pending"],
        ["open", "cancelled"],
        ["cancelled", "open"],
        ["rejected", "brand new"],
    ] {
        assert_eq!(sight(states), perhaps(vec![0, 1]), "{states:?}");
    }
}

const WINDOW: Duration = Duration::from_secs(10);

#[test]
fn absence_needs_two_reads_after_the_whole_window() {
    let asked = place();
    let mut progress = Progress::default();
    let mut told = |seconds: u64, book: &[Row]| {
        let reading = reading(&asked, seconds, book);
        let (verdict, after) = prove(&asked, false, WINDOW, &reading, &progress);
        progress = after;
        let due = after.next_proof(&asked, WINDOW);
        (verdict, due.saturating_duration_since(asked.sent.over()))
    };
    let open = |premise, seconds| {
        let due = Duration::from_secs(seconds);
        (Verdict::Open(premise, Vec::new()), due)
    };
    let absent = |seconds| (Verdict::Absent(None), Duration::from_secs(seconds));
    assert_eq!(told(1, &[]), open(Premise::WindowOver, 10));
    assert_eq!(told(9, &[]), open(Premise::WindowOver, 10));
    assert_eq!(told(10, &[]), open(Premise::TwoReadings, 11));
    assert_eq!(told(10, &[]), open(Premise::TwoReadings, 11));
    assert_eq!(told(11, &[]), absent(11));
    // What may be it takes all back.
    let alike = book(&row("x", "10", "--"));
    let candidates = Verdict::Open(Premise::NoRowAlike, vec![0]);
    assert_eq!(told(12, &alike), (candidates, Duration::from_secs(10)));
    assert_eq!(told(13, &[]), open(Premise::TwoReadings, 14));
    assert_eq!(told(50, &[]), absent(14));
}

/// What two readings, long after the window, prove where `change` makes something wrong.
fn after_all<'a>(
    asked: &Instructed,
    rows: &'a [Row],
    change: impl Fn(&mut Reading<'a>),
) -> Verdict {
    let mut progress = Progress::default();
    let mut last = None;
    for seconds in [60, 70] {
        let mut reading = reading(asked, seconds, rows);
        change(&mut reading);
        let (verdict, after) = prove(asked, false, WINDOW, &reading, &progress);
        (last, progress) = (Some(verdict), after);
    }
    last.expect("two readings")
}

fn lacks(verdict: Verdict) -> Premise {
    match verdict {
        Verdict::Open(premise, _) => premise,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_book_that_lacks_a_known_order_proves_nothing() {
    let asked = place();
    assert_eq!(after_all(&asked, &[], |_| {}), Verdict::Absent(None));
    let lacking = after_all(&asked, &[], |it| it.known = Some(&[1, 2]));
    assert_eq!(lacks(lacking), Premise::KnownShown);
    let forgotten = after_all(&asked, &[], |it| it.known = None);
    assert_eq!(lacks(forgotten), Premise::KnownShown);
    let running = prove(
        &asked,
        true,
        WINDOW,
        &reading(&asked, 60, &[]),
        &Progress::default(),
    );
    assert_eq!(lacks(running.0), Premise::CallOver);
}

#[test]
fn where_none_is_known_trades_and_positions_have_to_agree() {
    let asked = place();
    let list = |text: &str| book(text);
    let told = |book: &str, others: Option<(&str, &str)>| {
        let rows = list(book);
        let others = others.map(|(trades, positions)| (list(trades), list(positions)));
        after_all(&asked, &rows, |it| {
            it.known = Some(&[]);
            it.others = others
                .as_ref()
                .map(|(trades, positions)| Others { trades, positions });
        })
    };
    let carried = r#"{"trdSym":"TCS-EQ","flBuyQty":"0","flSellQty":"0","cfBuyQty":"5"}"#;
    let bought = r#"{"trdSym":"TCS-EQ","flBuyQty":"5","flSellQty":"0"}"#;
    let untold = r#"{"trdSym":"TCS-EQ","qty":"5"}"#;
    let trade = r#"{"nOrdNo":"7","trdSym":"TCS-EQ","fldQty":5}"#;
    let foreign = r#"{"nOrdNo":"7","trdSym":"TCS-EQ","trnsTp":"S","qty":5}"#;
    for (book, others) in [
        ("", None),
        ("", Some((trade, ""))),
        ("", Some((r#"{"trdSym":"TCS-EQ"}"#, ""))),
        ("", Some(("", bought))),
        ("", Some(("", untold))),
        (foreign, None),
        (foreign, Some(("", bought))),
        (foreign, Some((&trade.replace('7', "8"), bought))),
    ] {
        assert_eq!(
            lacks(told(book, others)),
            Premise::OthersAgree,
            "{book} {others:?}"
        );
    }
    for (book, others) in [
        ("", Some(("", ""))),
        ("", Some(("", carried))),
        (foreign, Some((trade, bought))),
        (foreign, Some(("", carried))),
    ] {
        assert_eq!(
            told(book, others),
            Verdict::Absent(None),
            "{book} {others:?}"
        );
    }
}

#[test]
fn the_book_of_another_account_or_day_proves_nothing() {
    const MIDNIGHT: u64 = 1_737_570_600;
    let asked = place();
    for account in [None, Some("OTHER")] {
        let told = after_all(&asked, &[], |it| it.account = account);
        assert_eq!(lacks(told), Premise::SameAccount);
    }
    let nobody = asked.clone().of_account(None);
    let told = after_all(&nobody, &[], |it| it.account = None);
    assert_eq!(lacks(told), Premise::SameAccount);
    let told = after_all(&asked, &[], |it| it.clocks.broker = None);
    assert_eq!(lacks(told), Premise::DateTold);
    // 23:59:57, and read from midnight on.
    let mut late = asked.clone();
    late.sent_at_ms = (MIDNIGHT - 3) * 1000;
    let told = |noted: u64, ours: u64, broker: u64| {
        let mut asked = asked.clone();
        asked.sent_at_ms = noted * 1000;
        after_all(&asked, &[], |it| {
            let since = it.clocks.ours - SENT_S;
            (it.clocks.ours, it.clocks.broker) = (ours + since, Some(broker + since));
        })
    };
    let just = MIDNIGHT - 3;
    assert_eq!(lacks(told(just, just, just)), Premise::SameDay);
    // One clock alone says so, whichever is right.
    let before = MIDNIGHT - 200;
    assert_eq!(told(before, before, before), Verdict::Absent(None));
    assert_eq!(lacks(told(before, before + 200, before)), Premise::SameDay);
    assert_eq!(lacks(told(before, before, before + 200)), Premise::SameDay);
    assert_eq!(lacks(told(before + 200, before, before)), Premise::SameDay);
}

/// Its clock may have been set since, and the machine started anew.
#[test]
fn the_clock_of_an_earlier_process_proves_no_day() {
    let over = clock::now();
    let told = |told: Option<u64>| {
        let sent = Sent::Before { told, over };
        after_all(&Instructed { sent, ..place() }, &[], |_| {})
    };
    assert_eq!(told(Some(SENT_S)), Verdict::Absent(None));
    assert_eq!(lacks(told(None)), Premise::SameDay);
    assert_eq!(lacks(told(Some(SENT_S - 24 * 3600))), Premise::SameDay);
    assert_eq!(lacks(told(Some(SENT_S - 3600))), Premise::ClocksAgree);
}

/// A call may go on for long after the sending, and what it left may arrive later still.
#[test]
fn the_window_begins_when_nothing_is_on_its_way_any_more() {
    const WINDOW: Duration = Duration::from_secs(10);
    const ON_ITS_WAY: Duration = Duration::from_secs(3600);
    let when = clock::now();
    let over = when + ON_ITS_WAY;
    for sent in [
        Sent::Ended { at: when, over },
        Sent::Before {
            told: Some(SENT_S),
            over,
        },
    ] {
        let asked = Instructed { sent, ..place() };
        let mut progress = Progress::default();
        let mut told = |at: Moment| {
            let ago = at.saturating_duration_since(when).as_secs();
            let mut reading = reading(&asked, 0, &[]);
            (reading.began, reading.clocks.at) = (at, at);
            (reading.clocks.ours, reading.clocks.broker) = (SENT_S + ago, Some(SENT_S + ago));
            let (verdict, after) = prove(&asked, false, WINDOW, &reading, &progress);
            progress = after;
            verdict
        };
        let instant = Duration::from_millis(1);
        for early in [when + WINDOW, over, over + (WINDOW - instant)] {
            assert_eq!(lacks(told(early)), Premise::WindowOver, "{sent:?}");
        }
        assert_eq!(lacks(told(over + WINDOW)), Premise::TwoReadings, "{sent:?}");
        let second = over + WINDOW + BETWEEN_READS;
        assert_eq!(told(second), Verdict::Absent(None), "{sent:?}");
    }
}

/// Whatever the clock of this machine says, and whenever it was set.
#[test]
fn a_wrong_clock_proves_nothing() {
    const HOUR: u64 = 3600;
    const AHEAD: u64 = 5 * HOUR + HOUR / 2;
    let when = clock::now();
    let before_at = |told: u64| Sent::Before {
        told: Some(told),
        over: when,
    };
    let (mine, before) = (Sent::At(when), before_at(SENT_S));
    // What came in at the sending, under another tag.
    let alike = book(&row("rewritten", "10", "22-Jan-2025 14:28:02"));
    let told = |rows: &[Row], noted: u64, sent: Sent, ours: u64, broker: Option<u64>| {
        let mut asked = place();
        (asked.sent_at_ms, asked.sent) = (noted * 1000, sent);
        after_all(&asked, rows, |it| {
            let since = it.clocks.ours - SENT_S;
            it.clocks.ours = ours + since;
            it.clocks.broker = broker.map(|broker| broker + since);
        })
    };
    let now = SENT_S;
    for wrong in [HOUR, AHEAD] {
        for (noted, sent, ours, broker) in [
            (now + wrong, mine, now + wrong, Some(now)),
            (now + wrong, mine, now + wrong, None),
            (now + wrong, before, now + wrong, Some(now)),
            (now + wrong, before, now + wrong, None),
            (now + wrong, mine, now, Some(now)),
            (now + wrong, mine, now, None),
            (now - wrong, mine, now - wrong, Some(now)),
            (now - wrong, before, now - wrong, Some(now)),
            (now, mine, now, Some(now + wrong)),
            (now, mine, now + wrong, Some(now)),
            (now, before, now + wrong, Some(now)),
        ] {
            for rows in [&alike[..], &[]] {
                let told = told(rows, noted, sent, ours, broker);
                assert!(
                    matches!(told, Verdict::Open(..)),
                    "{noted} {sent:?} {ours} {told:?}"
                );
            }
        }
    }
    assert_eq!(told(&[], now, mine, now, Some(now)), Verdict::Absent(None));
    assert_eq!(
        told(&[], now, before, now, Some(now)),
        Verdict::Absent(None)
    );
    // An older order is none, if all clocks tell that it is older.
    let later = SENT_S + HOUR;
    let old = |sent| told(&alike, later, sent, later, Some(later));
    assert_eq!(old(mine), Verdict::Absent(None));
    // The clock of an earlier process cannot be checked any more.
    assert_eq!(lacks(old(before_at(later))), Premise::NoRowAlike);
    // Nor is an order of the same tag told to be this one, if it may be older.
    let tagged = book(&row("mine", "10", "22-Jan-2025 14:28:02"));
    for (noted, ours, broker) in [
        (now, now, None),
        (now - HOUR, now - HOUR, Some(now)),
        (later, later, Some(later)),
        (now + 300, now + 300, Some(now + 300)),
    ] {
        let told = told(&tagged, noted, mine, ours, broker);
        assert!(matches!(told, Verdict::Open(..)), "{noted} {ours} {told:?}");
    }
    assert_eq!(
        told(&tagged, now, mine, now, Some(now)),
        Verdict::Done(vec![0])
    );
}

#[test]
fn a_change_that_a_later_one_may_have_written_over_is_unknown() {
    let limit = r#"{"no":"1","pr":"101","pt":"L","qt":"10","tp":"0"}"#;
    let modify = asked(InstructionKind::Modify, limit);
    let other = book(r#"{"nOrdNo":"1","qty":10,"prc":"102","prcTp":"L","ordSt":"open"}"#);
    assert_eq!(after_all(&modify, &other, |_| {}), Verdict::Absent(Some(0)));
    let told = after_all(&modify, &other, |it| it.changed_since = true);
    assert_eq!(lacks(told), Premise::LastChange);
    // An order that is not in the book at all.
    assert_eq!(lacks(after_all(&modify, &[], |_| {})), Premise::OrderShown);
    // A row without a number may be of it.
    let rows = r#"{"nOrdNo":"1","qty":10,"prc":"102","prcTp":"L","ordSt":"open"},{"qty":10}"#;
    assert_eq!(
        lacks(after_all(&modify, &book(rows), |_| {})),
        Premise::EveryRow
    );
}

#[test]
fn an_older_order_with_the_tag_is_no_proof() {
    let old = row("mine", "10", "22-Jan-2025 09:28:02");
    let new = row("mine", "10", "22-Jan-2025 14:28:02");
    let sight = |rows: &str| look(&place(), &book(rows), NONE);
    assert_eq!(sight(&old), perhaps(vec![0]));
    assert_eq!(sight(&new), Sight::Done(vec![0]));
    assert_eq!(sight(&format!("{old},{new}")), Sight::Done(vec![1]));
    let untold = row("mine", "10", "--");
    assert_eq!(sight(&untold), perhaps(vec![0]));
    // A tag that was made for it is on no other order.
    let mut made = place();
    made.tag = orders::make_tag([7; 8]);
    let rows = book(&row(&made.tag, "10", "--"));
    assert_eq!(look(&made, &rows, NONE), Sight::Done(vec![0]));
}

/// Nor where the clock of an earlier process was behind by minutes, and was set since.
#[test]
fn an_older_order_with_the_tag_is_not_that_of_an_earlier_process() {
    const BEHIND: u64 = 600;
    let over = clock::now();
    let prove = |time: &str, told: Option<u64>| {
        let rows = book(&row("mine", "10", time));
        let sent = Sent::Before { told, over };
        after_all(&Instructed { sent, ..place() }, &rows, |it| {
            it.clocks.ours += BEHIND + 100;
            it.clocks.broker = Some(it.clocks.ours);
        })
    };
    let (older, newer) = ("22-Jan-2025 14:33:02", "22-Jan-2025 14:38:03");
    let told = Some(SENT_S + BEHIND);
    assert!(matches!(prove(older, told), Verdict::Open(_, rows) if rows == [0]));
    assert_eq!(prove(newer, told), Verdict::Done(vec![0]));
    assert!(matches!(prove(newer, None), Verdict::Open(_, rows) if rows == [0]));
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
    let never = |rows: &[Row]| look(&modify, rows, NONE);
    assert_eq!(never(&row("101.00", "open")), Sight::Done(vec![0]));
    assert_eq!(never(&row("101.00", "complete")), Sight::Done(vec![0]));
    assert_eq!(never(&row("100.00", "complete")), Sight::Nothing(Some(0)));
    assert_eq!(never(&row("100.00", "open")), Sight::Nothing(Some(0)));
    assert_eq!(never(&row("101", "modify pending")), perhaps(vec![0]));
    assert_eq!(never(&[]), Sight::Nothing(None));
    let seen = |state: &str| look(&cancel, &row("1", state), NONE);
    assert_eq!(seen("cancelled"), Sight::Done(vec![0]));
    assert_eq!(seen("Cancelled After Market Order"), Sight::Done(vec![0]));
    assert_eq!(seen("complete"), Sight::Nothing(Some(0)));
    assert_eq!(seen("cancel pending"), perhaps(vec![0]));
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
    let see = |asked: &Instructed, rows: &[Row]| look(asked, rows, NONE);
    for state in ["canceled", " CANCELED ", "canceled after market order"] {
        assert_eq!(
            see(&cancel, &row("100", "L", state)),
            Sight::Done(vec![0]),
            "{state}"
        );
        assert_eq!(
            see(&modify, &row("100", "L", state)),
            Sight::Nothing(Some(0)),
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
    assert_eq!(see(&modify, &row("101", "--", "open")), perhaps(vec![0]));
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
            let sight = look(asked, &book(&row), NONE);
            assert_eq!(sight, perhaps(vec![0]), "{state}");
        }
    }
    // What such a row shows was done all the same.
    let waits = r#"{"nOrdNo":"1","qty":10,"prc":"101","prcTp":"L",
        "ordSt":"modify after market order req received"}"#;
    let sight = look(&modify, &book(waits), NONE);
    assert_eq!(sight, Sight::Done(vec![0]));
    let waits = r#"{"nOrdNo":"1","ordSt":"after market order req received"}"#;
    let sight = look(&cancel, &book(waits), NONE);
    assert_eq!(sight, Sight::Nothing(Some(0)));
}

/// How many histories of the model a test runs.
fn histories() -> u64 {
    let told = std::env::var("KNEO_MODEL_HISTORIES").ok();
    told.map_or(10_000, |told| {
        told.parse().expect("KNEO_MODEL_HISTORIES is a number")
    })
}

/// The broker of the model has, or gets, nothing of what is told to be absent.
#[test]
fn no_history_makes_a_false_absence() {
    let start = clock::now();
    let mut absences = 0;
    for seed in 0..histories() {
        match model::history(seed, start, None) {
            End::True { absent } => absences += u64::from(absent),
            End::False(what) => panic!("history {seed}: {what}"),
        }
    }
    // The proof is of use: it tells what is absent.
    assert!(absences > histories() / 20, "{absences} of {}", histories());
}

/// Each premise is needed: without it the model finds what is told and not true.
#[test]
fn no_premise_is_too_many() {
    use Premise::*;
    let all = [
        CallOver,
        SameAccount,
        DateTold,
        SameDay,
        ClocksAgree,
        OrderShown,
        EveryRow,
        StatesExclude,
        LastChange,
        NoRowTagged,
        NoRowAlike,
        AnyQuantity,
        AnySpelling,
        KnownShown,
        WindowOver,
        TwoReadings,
        OthersAgree,
    ];
    assert!(
        all.iter().map(|one| *one as usize).eq(0..all.len()),
        "none is left out"
    );
    assert_eq!(OthersAgree as usize + 1, all.len(), "the last of all");
    let start = clock::now();
    let mut firsts = Vec::new();
    for premise in all {
        let mut seeds = 0..100_000;
        let found =
            seeds.find(|seed| matches!(model::history(*seed, start, Some(premise)), End::False(_)));
        firsts.push((premise, found));
    }
    let missing: Vec<_> = firsts.iter().filter(|(_, found)| found.is_none()).collect();
    assert!(missing.is_empty(), "{missing:?} of {firsts:?}");
    println!("{firsts:?}");
}
