//! What the ledger promises.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use kotak_neo_testing::dice::Dice;
use kotak_neo_testing::folder::Folder;

use super::*;
use crate::base::calendar::IST_OFFSET;
use crate::base::clock::{Shifted, shifted};
use crate::base::status::Status;

/// 2025-10-09 in India.
const NOON: u64 = 1_760_000_000_000;
const HOUR: i64 = 3600 * 1000;
const DAY: i64 = 24 * HOUR;

/// A ledger in a folder of its own.
struct Place(Folder);

impl Place {
    fn new() -> Self {
        Self(Folder::new("ledger"))
    }

    fn file(&self) -> PathBuf {
        self.0.path("ledger")
    }

    fn open(&self) -> Result<Ledger, Error> {
        Ledger::open(&self.file(), LedgerSync::Process)
    }

    /// As after the next start of the machine.
    fn open_in(&self, boot: &str) -> Ledger {
        let boot = Some(boot.to_owned());
        Ledger::open_in(&self.file(), LedgerSync::Process, boot).expect("it is free")
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.file()).expect("it is there")
    }

    fn told(&self) -> String {
        let error = self.open().map(drop).expect_err("it is no good");
        error.message().to_owned()
    }
}

fn intent(tag: &str, id: Option<&str>) -> Intent {
    Intent {
        tag: tag.to_owned(),
        intent_id: id.map(str::to_owned),
        operation: "place_order".to_owned(),
        account: Some("TEST1".to_owned()),
        order_id: None,
        facts: r#"{"ts":"TCS-EQ","qt":"1"}"#.to_owned(),
        sent_at_ms: clock::unix_ms(),
    }
}

fn begin(ledger: &Ledger, intent: Intent) -> Ticket {
    match ledger.begin(intent).expect("it can be written") {
        Begun::New(ticket) => ticket,
        Begun::Earlier(earlier) => panic!("{earlier:?}"),
    }
}

fn accepted() -> End {
    End::Accepted {
        json: "{\"nOrdNo\":\"1\"}\n".to_owned(),
        http_status: 200,
    }
}

fn open_tags(ledger: &Ledger) -> Vec<String> {
    let open = ledger.open_intents();
    open.into_iter().map(|intent| intent.tag).collect()
}

/// So many milliseconds after `NOON`, on a machine whose wall clock has jumped,
/// for this thread.
fn at(ms: i64, jump: i64) -> Shifted {
    let real = SystemTime::now().duration_since(UNIX_EPOCH).expect("now");
    let real = i64::try_from(real.as_millis()).expect("now");
    shifted(NOON.cast_signed() + ms + jump - real, ms)
}

/// The broker's clock then.
fn broker(ms: i64) -> u64 {
    NOON.saturating_add_signed(ms) / 1000
}

/// An answer of the broker, so many milliseconds after `NOON`.
fn date(ledger: &Ledger, ms: i64) -> Vec<String> {
    let forgotten = ledger.saw(broker(ms), clock::now()).expect("written");
    forgotten.into_iter().map(|intent| intent.tag).collect()
}

/// The line of a record of version 1.
fn old_line(json: &str) -> Vec<u8> {
    format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())).into_bytes()
}

/// A file as version 1 wrote it: `a` is open, `b` was taken.
fn old_file(sent_at_ms: u64) -> Vec<u8> {
    let begin = |number: u64, tag: &str, id: &str| {
        old_line(&format!(
            r#"{{"record":"begin","number":{number},"intent":{{"tag":"{tag}","intent_id":"{id}","operation":"place_order","account":"TEST1","order_id":null,"facts":"{{\"ts\":\"TCS-EQ\",\"qt\":\"1\"}}","sent_at_ms":{sent_at_ms}}}}}"#
        ))
    };
    [
        old_line(r#"{"record":"header","format":"kotak_neo ledger 1"}"#),
        begin(1, "a", "id-a"),
        begin(2, "b", "id-b"),
        old_line(
            r#"{"record":"end","number":2,"end":{"accepted":{"json":"{\"nOrdNo\":\"1\"}\n","http_status":200}}}"#,
        ),
    ]
    .concat()
}

#[test]
fn a_number_is_never_given_twice() {
    let place = Place::new();
    let header = record::header().expect("it is JSON");
    let last = Record::Begin {
        number: u64::MAX,
        by: None,
        intent: intent("a", None),
    };
    let last = record::line(header.sum, None, last).expect("it is JSON");
    let lines = [header.bytes, last.bytes].concat();
    fs::write(place.file(), lines).expect("the folder is ours");
    let ledger = place.open().expect("every record is whole");
    let error = ledger.begin(intent("b", None)).expect_err("none is left");
    assert!(
        error.message().contains("its numbers are used up"),
        "{error}"
    );
    assert_eq!(open_tags(&ledger), ["a"]);
}

#[test]
fn what_has_no_end_is_open_also_in_the_next_process() {
    let place = Place::new();
    let ledger = place.open().expect("a new file");
    let first = begin(&ledger, intent("a", None));
    let second = begin(&ledger, intent("b", Some("id-b")));
    let third = intent("c", None);
    let sent_at_ms = third.sent_at_ms;
    begin(&ledger, third);
    let fourth = begin(&ledger, intent("d", None));
    ledger.settle(&first, &accepted()).expect("written");
    ledger.settle(&second, &accepted()).expect("written");
    ledger
        .settle(&fourth, &End::Unknown)
        .expect("nothing to write");
    assert_eq!(open_tags(&ledger), ["c", "d"]);
    drop(ledger);
    let ledger = place.open().expect("it is free again");
    assert_eq!(open_tags(&ledger), ["c", "d"]);
    assert_eq!(
        ledger
            .find(Some("c"), None)
            .map(|found| found.0.tag)
            .as_deref(),
        Some("c")
    );
    assert_eq!(
        ledger
            .earlier("id-b", &intent("x", Some("id-b")))
            .expect("the same"),
        Some(Earlier::Answered {
            tag: "b".to_owned(),
            end: accepted(),
            is_doubtful: false,
        })
    );
    assert!(
        ledger
            .settle_by_tag("c", sent_at_ms, &End::Absent)
            .expect("written")
    );
    assert!(
        !ledger
            .settle_by_tag("c", sent_at_ms, &End::Absent)
            .expect("nothing is open")
    );
    // Numbers go on: an end must not hit an older record.
    let fifth = begin(&ledger, intent("e", None));
    assert!(fifth.0 > fourth.0);
    assert_eq!(open_tags(&ledger), ["d", "e"]);
}

#[test]
fn an_intent_id_stands_for_one_instruction() {
    let place = Place::new();
    let ledger = place.open().expect("a new file");
    let same = || intent("a", Some("id"));
    let ticket = begin(&ledger, same());
    assert!(matches!(
        ledger.begin(intent("b", Some("id"))),
        Ok(Begun::Earlier(Earlier::Unsettled(found))) if found.tag == "a"
    ));
    let mut other = same();
    other.facts = r#"{"ts":"TCS-EQ","qt":"2"}"#.to_owned();
    let error = ledger.begin(other).expect_err("other facts");
    assert!(
        error
            .message()
            .starts_with("params.intent_id: was used today"),
        "{error}"
    );
    let mut other = same();
    other.account = None;
    assert!(ledger.earlier("id", &other).is_err());
    // What never left may be tried again.
    ledger.settle(&ticket, &End::NotSent).expect("written");
    let ticket = begin(&ledger, same());
    ledger.settle(&ticket, &End::Absent).expect("written");
    assert!(matches!(
        ledger.begin(same()),
        Ok(Begun::Earlier(Earlier::Answered {
            end: End::Absent,
            ..
        }))
    ));
}

#[test]
fn what_was_taken_is_told_with_what_was_asked() {
    let place = Place::new();
    let ledger = place.open().expect("a new file");
    let new = begin(&ledger, intent("new", None));
    ledger.settle(&new, &accepted()).expect("written");
    let mut change = intent("change", None);
    change.order_id = Some("7".to_owned());
    let change = begin(&ledger, change);
    ledger.settle(&change, &accepted()).expect("written");
    drop(ledger);
    let ledger = place.open().expect("it is free");
    let taken = ledger.take_taken();
    let told = |(intent, _): &(Intent, String)| (intent.tag.clone(), intent.order_id.clone());
    let told: Vec<_> = taken.iter().map(told).collect();
    let change = ("change".to_owned(), Some("7".to_owned()));
    assert_eq!(told, [("new".to_owned(), None), change]);
    assert_eq!(ledger.take_changed(), ["7"]);
}

#[test]
fn of_two_threads_one_begins() {
    let place = Place::new();
    let ledger = place.open().expect("a new file");
    for round in 0..50 {
        let id = format!("id-{round}");
        let new = std::thread::scope(|scope| {
            let work = |tag: &'static str| {
                let (ledger, id) = (&ledger, &id);
                scope
                    .spawn(move || matches!(ledger.begin(intent(tag, Some(id))), Ok(Begun::New(_))))
            };
            let both = [work("a"), work("b")];
            let joined = both.map(|one| one.join().expect("no panic"));
            joined.into_iter().filter(|new| *new).count()
        });
        assert_eq!(new, 1);
    }
}

#[test]
fn one_client_holds_it() {
    let place = Place::new();
    let ledger = place.open().expect("a new file");
    let error = place.open().map(drop).expect_err("it is held");
    let holder = format!(
        "is held by process {} since unix second",
        std::process::id()
    );
    assert!(error.message().contains(&holder), "{error}");
    drop(ledger);
    assert!(place.open().is_ok());
}

/// A second try does not end the lock of the first, and closing one does not
/// end the other.
#[test]
fn a_second_try_ends_no_lock() {
    let place = Place::new();
    let ledger = place.open().expect("a new file");
    for _ in 0..3 {
        assert!(place.open().is_err());
        assert_eq!(look(&place.file()).expect("it can be read").open, []);
    }
    assert!(ledger.state().file.hold.lasts());
    begin(&ledger, intent("a", None));
    drop(ledger);
    assert_eq!(open_tags(&place.open().expect("it is free")), ["a"]);
}

/// What a forked child does with what it has of its parent.
#[test]
fn a_forked_child_writes_nothing() {
    let place = Place::new();
    let ledger = place.open().expect("a new file");
    ledger.state().file.pid = 0;
    let error = ledger.begin(intent("a", None)).expect_err("not its own");
    assert_eq!(error.status(), Status::InvalidHandle);
}

/// Some records of every kind.
fn filled(place: &Place) -> Vec<u8> {
    let ledger = place.open().expect("a new file");
    let first = begin(&ledger, intent("a", Some("id-a")));
    ledger.settle(&first, &accepted()).expect("written");
    begin(&ledger, intent("b", None));
    drop(ledger);
    fs::read(place.file()).expect("it is there")
}

#[test]
fn a_torn_end_costs_only_itself() {
    let place = Place::new();
    let bytes = filled(&place);
    let ends: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at] == b'\n').collect();
    assert_eq!(ends.len(), 5, "a header and four records");
    for length in 0..=bytes.len() {
        fs::write(place.file(), &bytes[..length]).expect("a torn file");
        let ledger = place.open().expect("a torn end is no damage");
        let whole = ends.iter().filter(|end| **end < length).count();
        let open = open_tags(&ledger);
        let expected: &[&str] = match whole {
            0..=2 | 4 => &[],
            3 => &["a"],
            _ => &["b"],
        };
        assert_eq!(open, expected, "{length} of {} bytes", bytes.len());
        // What follows is not spoiled by it.
        begin(&ledger, intent("z", None));
        drop(ledger);
        let ledger = place.open().expect("it is whole again");
        assert!(open_tags(&ledger).contains(&"z".to_owned()));
    }
}

#[test]
fn damage_is_told_and_nothing_is_invented() {
    let place = Place::new();
    let bytes = filled(&place);
    for at in 0..bytes.len() {
        for bit in [0x01, 0x20, 0x80] {
            let mut damaged = bytes.clone();
            damaged[at] ^= bit;
            fs::write(place.file(), &damaged).expect("a damaged file");
            match place.open() {
                Err(error) => {
                    assert!(
                        error.message().contains("damaged record at byte"),
                        "{error}"
                    );
                }
                // Without its line feed the last record counts as torn.
                Ok(ledger) => {
                    assert_eq!(at, bytes.len() - 1, "{at} {bit}");
                    assert!(open_tags(&ledger).is_empty());
                }
            }
        }
    }
}

/// Midnight in India, after `NOON`.
fn midnight() -> i64 {
    let day = trading_day(NOON / 1000) + 1;
    ((day * 24 * 3600 - IST_OFFSET) * 1000 - NOON).cast_signed()
}

#[test]
fn a_record_lives_until_the_broker_shows_another_day() {
    let place = Place::new();
    let clock = at(0, 0);
    let ledger = place.open().expect("a new file");
    date(&ledger, 0);
    let ticket = begin(&ledger, intent("a", Some("id")));
    let taken = begin(&ledger, intent("b", Some("id-b")));
    ledger.settle(&taken, &accepted()).expect("written");
    drop(clock);
    // The clock of the machine says nothing, however long it is away.
    let clock = at(3 * DAY, 9 * DAY);
    assert_eq!(open_tags(&ledger), ["a"]);
    assert!(matches!(
        ledger.begin(intent("x", Some("id"))),
        Ok(Begun::Earlier(Earlier::Unsettled(_)))
    ));
    // One answer may come from a machine whose clock is wrong.
    assert!(date(&ledger, 2 * DAY).is_empty());
    assert_eq!(open_tags(&ledger), ["a"]);
    assert!(date(&ledger, 3 * DAY).is_empty());
    assert_eq!(date(&ledger, 3 * DAY), ["a"], "it is told");
    drop(clock);
    let _clock = at(3 * DAY, 0);
    let text = String::from_utf8(place.bytes()).expect("it is text");
    assert!(!text.contains("\"tag\""), "{text}");
    begin(&ledger, intent("c", Some("id")));
    ledger
        .settle(&ticket, &accepted())
        .expect("written, for nobody");
    drop(ledger);
    let ledger = place.open().expect("it is free");
    assert_eq!(open_tags(&ledger), ["c"]);
}

/// The next process does not know the day before the broker has told it.
#[test]
fn the_next_process_forgets_nothing_by_itself() {
    let place = Place::new();
    let clock = at(0, 0);
    let ledger = place.open_in("one");
    date(&ledger, 0);
    begin(&ledger, intent("a", Some("id-a")));
    let taken = begin(&ledger, intent("b", Some("id-b")));
    ledger.settle(&taken, &accepted()).expect("written");
    drop((ledger, clock));
    for boot in ["one", "two"] {
        let _clock = at(DAY, 0);
        let ledger = place.open_in(boot);
        assert_eq!(open_tags(&ledger), ["a"]);
        let again = |ledger: &Ledger| ledger.earlier("id-b", &intent("x", Some("id-b")));
        let doubtful = again(&ledger).expect("the same").expect("it is known");
        let Earlier::Answered { is_doubtful, .. } = doubtful else {
            panic!("{doubtful:?}")
        };
        assert!(is_doubtful);
        // The clock of the machine may be the wrong one, and the book of the day must show it.
        assert_eq!(ledger.take_taken().len(), 1);
        drop(ledger);
    }
    // With the first answer that fits the clock of the machine it is known.
    let _clock = at(DAY, 0);
    let ledger = place.open_in("two");
    assert_eq!(date(&ledger, DAY), ["a"]);
    begin(&ledger, intent("c", Some("id-b")));
}

/// Written before the broker has told any time, by a clock that is two days
/// ahead or behind.
#[test]
fn what_was_written_in_the_dark_is_dated_later() {
    for (jump, same_boot) in [(-2, true), (-2, false), (2, true), (2, false)] {
        let place = Place::new();
        let clock = at(0, jump * DAY);
        let ledger = place.open_in("one");
        begin(&ledger, intent("a", Some("id")));
        drop((ledger, clock));
        let boot = if same_boot { "one" } else { "two" };
        // The first answer of all is of the next day.
        let clock = at(DAY, 0);
        let ledger = place.open_in(boot);
        let forgotten = date(&ledger, DAY);
        // In the same boot the machine knows how long ago it was.
        assert_eq!(forgotten.len(), usize::from(same_boot), "{jump} {boot}");
        drop((ledger, clock));
        let _clock = at(2 * DAY, 0);
        let ledger = place.open_in(boot);
        assert_eq!(date(&ledger, 2 * DAY).is_empty(), same_boot);
        assert!(open_tags(&ledger).is_empty(), "{jump} {boot}");
    }
}

/// A clock that was two days ahead when it was written keeps nothing for longer.
#[test]
fn an_answer_sets_a_wrong_clock_right() {
    let place = Place::new();
    let clock = at(0, 2 * DAY);
    let ledger = place.open_in("one");
    date(&ledger, 0);
    date(&ledger, 0);
    begin(&ledger, intent("a", Some("id")));
    date(&ledger, 1000);
    drop((ledger, clock));
    let _clock = at(DAY, 0);
    let ledger = place.open_in("two");
    assert_eq!(date(&ledger, DAY), ["a"]);
}

/// An order of one second before midnight is asked about after it.
#[test]
fn midnight_forgets_nothing_that_is_under_way() {
    let place = Place::new();
    let midnight = midnight();
    let clock = at(midnight - 10_000, 0);
    let ledger = place.open().expect("a new file");
    date(&ledger, midnight - 10_000);
    begin(&ledger, intent("a", Some("id")));
    drop(clock);
    for minutes in [0, 1, 30, 59] {
        let now = midnight + minutes * 60_000 + 1000;
        let _clock = at(now, 0);
        assert!(date(&ledger, now).is_empty(), "{minutes}");
        assert_eq!(open_tags(&ledger), ["a"]);
    }
    // What is begun after midnight keeps the file.
    let clock = at(midnight + HOUR / 2, 0);
    let other = begin(&ledger, intent("other", None));
    ledger.settle(&other, &accepted()).expect("written");
    drop(clock);
    let clock = at(midnight + 2 * HOUR, 0);
    assert_eq!(date(&ledger, midnight + 2 * HOUR), ["a"]);
    assert!(String::from_utf8_lossy(&place.bytes()).contains("\"tag\":\"other\""));
    assert_eq!(ledger.new_orders().values().sum::<u64>(), 0, "of before");
    drop((ledger, clock));
    let _clock = at(midnight + 3 * HOUR, 0);
    let ledger = place.open().expect("it is free");
    let day = trading_day(clock::unix_seconds());
    assert_eq!(
        ledger.new_orders().get(&day),
        Some(&1),
        "it ended, and counts"
    );
    let taken = ledger.take_taken();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].0.tag, "other");
}

/// Whatever the clocks do, and whatever process comes: no intent is sent twice
/// within a day, and none that is open vanishes within it.
#[test]
fn no_jump_of_a_clock_doubles_or_forgets_an_intent() {
    struct Known {
        begun: i64,
        /// `None`: open.
        end: Option<End>,
        tag: String,
        sent_at_ms: u64,
    }
    let over = |begun: i64, now: i64| {
        trading_day(broker(now)) > trading_day(broker(begun)) && now - begun >= HOUR
    };
    let (mut sent, mut again, mut forgotten) = (0, 0, 0);
    for seed in 0..40 {
        let mut dice = Dice::new(7_000 + seed);
        let place = Place::new();
        let (mut now, mut jump, mut boot, mut booted) = (0_i64, 0_i64, 0, 0_i64);
        let mut ledger: Option<Ledger> = None;
        let mut known: BTreeMap<String, Known> = BTreeMap::new();
        let mut was_wrong = false;
        for step in 0..200 {
            let real = SystemTime::now().duration_since(UNIX_EPOCH).expect("now");
            let real = i64::try_from(real.as_millis()).expect("now");
            let _clock = shifted(NOON.cast_signed() + now + jump - real, now - booted);
            let open = || place.open_in(&format!("boot-{boot}"));
            let held = ledger.get_or_insert_with(open);
            let id = format!("id-{}", dice.roll(6));
            match dice.roll(16) {
                0 => jump = (dice.roll(3).cast_signed() - 1) * 2 * DAY,
                1..=3 => now += dice.roll(20 * 60_000).cast_signed(),
                4 => now += dice.roll(10 * 3_600_000).cast_signed(),
                5 => now += dice.roll(3 * 86_400_000).cast_signed(),
                6 => ledger = None,
                7 => {
                    ledger = None;
                    boot += 1;
                    booted = dice.roll(100 * 86_400_000).cast_signed();
                }
                8..=9 => {
                    date(held, now);
                    was_wrong = false;
                }
                10 if !was_wrong => {
                    date(held, now + [-DAY, DAY][usize::from(dice.roll(2) == 0)]);
                    was_wrong = true;
                }
                11..=13 => {
                    let wish = intent(&format!("{seed}-{step}"), Some(&id));
                    let (tag, sent_at_ms) = (wish.tag.clone(), wish.sent_at_ms);
                    match held.begin(wish) {
                        Ok(Begun::New(_)) => {
                            sent += 1;
                            if let Some(earlier) = known.get(&id) {
                                let may =
                                    earlier.end == Some(End::NotSent) || over(earlier.begun, now);
                                assert!(may, "{seed}: {id} is sent again in step {step}");
                                forgotten += u32::from(earlier.end != Some(End::NotSent));
                            }
                            let (begun, end) = (now, None);
                            known.insert(
                                id,
                                Known {
                                    begun,
                                    end,
                                    tag,
                                    sent_at_ms,
                                },
                            );
                        }
                        Ok(Begun::Earlier(earlier)) => {
                            again += 1;
                            let known = &known[&id];
                            match earlier {
                                Earlier::Unsettled(intent) => {
                                    assert_eq!((&known.end, &known.tag), (&None, &intent.tag));
                                }
                                Earlier::Answered { tag, end, .. } => {
                                    assert_eq!(
                                        (known.end.as_ref(), &known.tag),
                                        (Some(&end), &tag)
                                    );
                                }
                            }
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
                _ => {
                    if let Some(known) = known.get_mut(&id).filter(|known| known.end.is_none()) {
                        let ends = [End::NotSent, End::Absent, accepted()];
                        let end = ends[usize::try_from(dice.roll(3)).expect("small")].clone();
                        let settled = held.settle_by_tag(&known.tag, known.sent_at_ms, &end);
                        if settled.expect("written") {
                            known.end = Some(end);
                        }
                    }
                }
            }
            let Some(ledger) = &ledger else { continue };
            let open = open_tags(ledger);
            for known in known.values().filter(|known| known.end.is_none()) {
                let there = open.contains(&known.tag) || over(known.begun, now);
                assert!(there, "{seed}: {} vanishes in step {step}", known.tag);
            }
        }
        // All ends some day.
        for _ in 0..3 {
            now += DAY;
            let real = SystemTime::now().duration_since(UNIX_EPOCH).expect("now");
            let real = i64::try_from(real.as_millis()).expect("now");
            let _clock = shifted(NOON.cast_signed() + now - real, now - booted);
            let open = || place.open_in(&format!("boot-{boot}"));
            let held = ledger.get_or_insert_with(open);
            date(held, now);
            date(held, now);
        }
        let ledger = ledger.expect("it is open");
        assert!(open_tags(&ledger).is_empty());
        drop(ledger);
        let lines = place.bytes().iter().filter(|b| **b == b'\n').count();
        assert!(lines < 10, "{seed}: {lines} lines are left");
    }
    assert!(
        sent > 500 && again > 500 && forgotten > 50,
        "{sent} {again} {forgotten}"
    );
}

#[test]
fn a_record_that_is_missing_or_moved_is_noticed() {
    let place = Place::new();
    let bytes = filled(&place);
    let lines: Vec<&[u8]> = bytes.split_inclusive(|b| *b == b'\n').collect();
    for gone in 0..lines.len() {
        let mut left = lines.clone();
        left.remove(gone);
        fs::write(place.file(), left.concat()).expect("a shorter file");
        if gone == lines.len() - 1 {
            // The end of a file says nothing of what followed.
            assert!(place.open().is_ok());
            continue;
        }
        let told = place.told();
        let what = if gone == 0 {
            "damaged"
        } else {
            "lacks a record before byte"
        };
        assert!(told.contains(what), "{gone}: {told}");
    }
    for at in 1..lines.len() - 1 {
        let mut swapped = lines.clone();
        swapped.swap(at, at + 1);
        fs::write(place.file(), swapped.concat()).expect("another order");
        assert!(place.told().contains("lacks a record"), "{at}");
        let mut doubled = lines.clone();
        doubled.insert(at, lines[at]);
        fs::write(place.file(), doubled.concat()).expect("one twice");
        assert!(place.told().contains("lacks a record"), "{at}");
    }
}

#[test]
fn a_record_tells_version_and_boot() {
    let place = Place::new();
    filled(&place);
    let text = String::from_utf8(place.bytes()).expect("it is text");
    let boot = clock::boot();
    for line in text.lines().skip(1) {
        let record: serde_json::Value = serde_json::from_str(&line[9..]).expect("JSON");
        assert_eq!(record["v"], 2, "{line}");
        assert_eq!(record["boot"].as_str(), boot.as_deref(), "{line}");
        assert_eq!(record["up_ms"].is_i64(), boot.is_some(), "{line}");
    }
    assert_eq!(cfg!(target_os = "linux"), boot.is_some());
}

#[test]
fn what_a_newer_version_wrote_is_told_as_that() {
    let place = Place::new();
    let bytes = filled(&place);
    let newer = old_line(r#"{"v":3,"after":"00000000","record":{"thought":"deep"}}"#);
    fs::write(place.file(), [bytes.clone(), newer].concat()).expect("a file");
    let told = place.told();
    let expected = format!("the record at byte {} has version 3", bytes.len());
    assert!(
        told.contains(&expected) && told.contains("newer version"),
        "{told}"
    );
    fs::write(
        place.file(),
        old_line(r#"{"record":"header","format":"kotak_neo ledger 3"}"#),
    )
    .expect("a file");
    assert!(place.told().contains("record at byte 0 has version 3"));
    // What has our version and is not understood is no newer one.
    let odd = old_line(r#"{"v":2,"after":"00000000","record":{"thought":"deep"}}"#);
    fs::write(place.file(), [bytes, odd].concat()).expect("a file");
    assert!(place.told().contains("damaged record"));
}

#[test]
fn a_file_of_the_first_version_goes_on() {
    let place = Place::new();
    let clock = at(0, 0);
    fs::write(place.file(), old_file(NOON)).expect("a file");
    let ledger = place.open().expect("it is understood");
    assert_eq!(open_tags(&ledger), ["a"]);
    assert_eq!(ledger.take_taken().len(), 1);
    assert!(matches!(
        ledger.begin(intent("x", Some("id-a"))),
        Ok(Begun::Earlier(Earlier::Unsettled(_)))
    ));
    date(&ledger, 1000);
    begin(&ledger, intent("c", None));
    assert!(
        ledger
            .settle_by_tag("a", NOON, &accepted())
            .expect("written")
    );
    drop(ledger);
    let ledger = place.open().expect("both versions in one file");
    assert_eq!(open_tags(&ledger), ["c"]);
    assert_eq!(ledger.new_orders().values().sum::<u64>(), 3);
    drop((ledger, clock));
    // A record of the first version cannot come after the chain has begun.
    let mut bytes = place.bytes();
    bytes.extend(old_line(r#"{"record":"end","number":3,"end":"not_sent"}"#));
    fs::write(place.file(), bytes).expect("a file");
    assert!(place.told().contains("lacks a record"));
    // It ends like all others.
    fs::write(place.file(), old_file(NOON)).expect("a file");
    for day in 0..2 {
        let _clock = at(day * DAY, 0);
        let ledger = place.open().expect("it is free");
        assert_eq!(date(&ledger, day * DAY).len(), usize::from(day == 1));
    }
    assert!(!String::from_utf8_lossy(&place.bytes()).contains("ledger 1"));
}

/// Somebody reads while the holder writes and begins the file anew.
#[test]
fn a_reader_disturbs_nobody() {
    let place = Place::new();
    let file = place.file();
    let ledger = place.open().expect("a new file");
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let read = || {
            let mut reads = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let looked = look(&file).expect("it is whole at any moment");
                assert!(looked.open.len() <= 1);
                assert_eq!(
                    looked.held_by.and_then(|by| by.pid),
                    Some(std::process::id())
                );
                reads += 1;
            }
            reads
        };
        let reader = scope.spawn(read);
        for day in 0..50 {
            let _clock = at(day * DAY, 0);
            date(&ledger, day * DAY);
            for _ in 0..20 {
                let ticket = begin(&ledger, intent("a", Some("id")));
                ledger.settle(&ticket, &End::NotSent).expect("written");
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(reader.join().expect("no panic") > 0);
    });
    assert!(place.bytes().len() < 20_000, "it was begun anew");
    assert!(
        look(&place.0.path("none")).is_err(),
        "absence is not told as nothing"
    );
}

#[test]
fn settled_records_cost_no_memory() {
    let place = Place::new();
    let ledger = place.open().expect("a new file");
    for _ in 0..1000 {
        let ticket = begin(&ledger, intent("a", None));
        ledger.settle(&ticket, &accepted()).expect("written");
    }
    assert!(ledger.state().book.open().next().is_none());
}

#[cfg(unix)]
#[test]
fn what_cannot_be_written_is_not_begun() {
    use std::fs::OpenOptions;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;
    let place = Place::new();
    let ledger = place.open().expect("a new file");
    let mode = fs::metadata(place.file())
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    begin(&ledger, intent("a", None));
    // A disk without room.
    let full = OpenOptions::new().write(true).open("/dev/full");
    let full = Arc::new(full.expect("Linux has it"));
    let good = std::mem::replace(&mut ledger.state().file.hold.file, full);
    let error = ledger.begin(intent("b", None)).expect_err("no room");
    assert!(error.message().contains("could not be written"), "{error}");
    assert_eq!(open_tags(&ledger), ["a"]);
    // The file could not be set right either: it is not trusted any more.
    drop(std::mem::replace(&mut ledger.state().file.hold.file, good));
    assert!(ledger.begin(intent("c", None)).is_err());
    drop(ledger);
    assert_eq!(open_tags(&place.open().expect("it is whole")), ["a"]);
}

#[cfg(unix)]
#[test]
fn odd_paths_are_told() {
    let place = Place::new();
    let told = |path: &Path| {
        let error = Ledger::open(path, LedgerSync::Process).map(drop);
        error.expect_err("it is no file").message().to_owned()
    };
    assert!(told(place.0.dir()).starts_with("config.ledger_file: "));
    assert!(told(&place.0.path("no/such")).contains("cannot be used"));
    fs::write(place.file(), "something else\n").expect("a file");
    assert!(told(&place.file()).contains("is not a ledger"));
    // Nor is what somebody else keeps without a line feed, and it is left alone.
    fs::write(place.file(), "precious").expect("a file");
    assert!(told(&place.file()).contains("is not a ledger"));
    assert_eq!(place.bytes(), b"precious");
}

/// What happens to the file must not make an intent forgotten: nothing is
/// sent until somebody has looked at it.
#[cfg(unix)]
#[test]
fn a_file_that_is_not_ours_any_more_is_not_written() {
    use std::fs::OpenOptions;
    use std::io::Write;
    type Strike = fn(&Path);
    let strikes: [(&str, Strike); 5] = [
        ("removed", |file| {
            fs::remove_file(file).expect("it is there")
        }),
        ("moved", |file| {
            fs::rename(file, file.with_extension("old")).expect("it is there");
        }),
        ("replaced", |file| {
            let copy = file.with_extension("copy");
            fs::copy(file, &copy).expect("it can be read");
            fs::rename(&copy, file).expect("it is there");
        }),
        ("cut", |file| {
            let opened = OpenOptions::new().write(true).open(file);
            opened
                .and_then(|file| file.set_len(10))
                .expect("it can be cut");
        }),
        ("written by another", |file| {
            let mut opened = OpenOptions::new()
                .append(true)
                .open(file)
                .expect("it is there");
            opened.write_all(b"x\n").expect("it can be written");
        }),
    ];
    for (what, strike) in strikes {
        let place = Place::new();
        let ledger = place.open().expect("a new file");
        let ticket = begin(&ledger, intent("a", Some("id")));
        strike(&place.file());
        let left = fs::read(place.file()).ok();
        let error = ledger.begin(intent("b", None)).expect_err(what);
        assert!(
            error.message().contains("nobody but this process"),
            "{what}: {error}"
        );
        assert!(ledger.settle(&ticket, &accepted()).is_err(), "{what}");
        let seen = ledger.saw(clock::unix_seconds(), clock::now());
        assert!(seen.is_err(), "{what}");
        // It does not heal by itself.
        assert!(ledger.begin(intent("c", None)).is_err(), "{what}");
        assert_eq!(fs::read(place.file()).ok(), left, "{what}");
    }
}

/// Two names of one file are one ledger.
#[cfg(unix)]
#[test]
fn a_link_is_what_it_leads_to() {
    use std::os::unix::fs::symlink;
    let place = Place::new();
    let ledger = place.open().expect("a new file");
    let (soft, hard) = (place.0.path("soft"), place.0.path("hard"));
    symlink("ledger", &soft).expect("a link");
    fs::hard_link(place.file(), &hard).expect("a link");
    begin(&ledger, intent("a", Some("id")));
    for name in [&soft, &hard] {
        let error = Ledger::open(name, LedgerSync::Process).map(drop);
        let error = error.expect_err("it is held");
        assert!(error.message().contains("is held by process"), "{error}");
        let looked = look(name).expect("it can be read");
        assert_eq!(looked.open.len(), 1);
        let held_by = looked.held_by.expect("it is held");
        assert_eq!(held_by.pid, Some(std::process::id()));
        assert!(held_by.since.is_some());
    }
    assert!(ledger.state().file.hold.lasts());
    drop(ledger);
    // A new day begins the file anew, under all its names.
    let _clock = at(2 * DAY, 0);
    let ledger = Ledger::open(&hard, LedgerSync::Process).expect("it is free");
    for day in 2..4 {
        let _clock = at(day * DAY, 0);
        date(&ledger, day * DAY);
        date(&ledger, day * DAY);
    }
    assert!(open_tags(&ledger).is_empty());
    begin(&ledger, intent("b", Some("id")));
    drop(ledger);
    assert!(!String::from_utf8_lossy(&place.bytes()).contains("\"tag\":\"a\""));
    for name in [&soft, &hard, &place.file()] {
        let ledger = Ledger::open(name, LedgerSync::Process).expect("it is free");
        assert_eq!(open_tags(&ledger), ["b"]);
    }
    let nowhere = place.0.path("nowhere");
    symlink("missing", &nowhere).expect("a link");
    let error = Ledger::open(&nowhere, LedgerSync::Process).map(drop);
    let error = error.expect_err("it leads to nothing");
    assert!(error.message().contains("leads to nothing"), "{error}");
}

/// On every system.
#[test]
fn a_second_name_opens_no_second_ledger() {
    let place = Place::new();
    let ledger = place.open().expect("a new file");
    let hard = place.0.path("hard");
    fs::hard_link(place.file(), &hard).expect("a link");
    begin(&ledger, intent("a", None));
    for _ in 0..2 {
        let error = Ledger::open(&hard, LedgerSync::Process).map(drop);
        let error = error.expect_err("it is held");
        assert!(error.message().contains("is held by process"), "{error}");
        assert_eq!(look(&hard).expect("it can be read").open.len(), 1);
    }
    begin(&ledger, intent("b", None));
    drop(ledger);
    let ledger = Ledger::open(&hard, LedgerSync::Process).expect("it is free");
    assert_eq!(open_tags(&ledger), ["a", "b"]);
}

/// An older version locked a file beside the ledger.
#[cfg(unix)]
#[test]
fn an_older_version_keeps_what_it_holds() {
    use rustix::fs::{FlockOperation, flock};
    let place = Place::new();
    let lock = place.0.path("ledger.lock");
    fs::write(&lock, "process 77 since unix second 1\n").expect("a file");
    assert!(place.open().is_ok(), "nobody holds it");
    let held = fs::File::open(&lock).expect("it is there");
    flock(&held, FlockOperation::NonBlockingLockExclusive).expect("it is free");
    let told = place.told();
    assert!(told.contains("is held by process 77 since"), "{told}");
    assert!(told.contains("older version"), "{told}");
    drop(held);
    assert!(place.open().is_ok());
}
