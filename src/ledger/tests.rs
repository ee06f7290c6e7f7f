//! What the ledger promises.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use kotak_neo_testing::folder::Folder;

use super::*;
use crate::base::calendar::IST_OFFSET;

/// 2025-10-09 in India.
const NOON: u64 = 1_760_000_000_000;
const DAY: u64 = 24 * 3600 * 1000;

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
        Ledger::open(&self.file(), LedgerSync::Process, NOON)
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
        sent_at_ms: NOON,
    }
}

fn begin(ledger: &Ledger, intent: Intent) -> Ticket {
    match ledger.begin(intent, NOON).expect("it can be written") {
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
    let open = ledger.open_intents(NOON);
    open.into_iter().map(|intent| intent.tag).collect()
}

#[test]
fn a_number_is_never_given_twice() {
    let place = Place::new();
    let header = Record::Header {
        format: HEADER.to_owned(),
    };
    let last = Record::Begin {
        number: u64::MAX,
        intent: intent("a", None),
    };
    let lines = [&header, &last].map(|record| record::line(record).expect("it is JSON"));
    fs::write(place.file(), lines.concat()).expect("the folder is ours");
    let ledger = place.open().expect("every record is whole");
    let error = ledger
        .begin(intent("b", None), NOON)
        .expect_err("none is left");
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
    begin(&ledger, intent("c", None));
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
            .map(|found| found.tag)
            .as_deref(),
        Some("c")
    );
    assert_eq!(
        ledger
            .earlier("id-b", &intent("x", Some("id-b")), NOON)
            .expect("the same"),
        Some(Earlier::Answered {
            tag: "b".to_owned(),
            end: accepted()
        })
    );
    assert!(
        ledger
            .settle_by_tag("c", NOON, &End::Absent)
            .expect("written")
    );
    assert!(
        !ledger
            .settle_by_tag("c", NOON, &End::Absent)
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
        ledger.begin(intent("b", Some("id")), NOON),
        Ok(Begun::Earlier(Earlier::Unsettled(found))) if found.tag == "a"
    ));
    let mut other = same();
    other.facts = r#"{"ts":"TCS-EQ","qt":"2"}"#.to_owned();
    let error = ledger.begin(other, NOON).expect_err("other facts");
    assert!(
        error
            .message()
            .starts_with("params.intent_id: was used today"),
        "{error}"
    );
    let mut other = same();
    other.account = None;
    assert!(ledger.earlier("id", &other, NOON).is_err());
    // What never left may be tried again.
    ledger.settle(&ticket, &End::NotSent).expect("written");
    let ticket = begin(&ledger, same());
    ledger.settle(&ticket, &End::Absent).expect("written");
    assert!(matches!(
        ledger.begin(same(), NOON),
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
                scope.spawn(move || {
                    matches!(ledger.begin(intent(tag, Some(id)), NOON), Ok(Begun::New(_)))
                })
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

/// As a child has it between `fork` and `exec`, and what it must not do.
#[test]
fn a_copy_of_the_lock_holds_nothing() {
    let place = Place::new();
    let copy_of = |ledger: &Ledger| {
        let state = ledger.state();
        state.file.lock.file.try_clone().expect("it can be copied")
    };
    let mut ledger = place.open().expect("a new file");
    let copy = copy_of(&ledger);
    drop(ledger);
    ledger = place.open().expect("it is free, whoever has a copy");
    ledger.state().file.pid = 0;
    let kept = copy_of(&ledger);
    drop(ledger);
    assert!(place.open().is_err(), "the child ends no lock");
    drop((copy, kept));
    assert!(place.open().is_ok());
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
    assert_eq!(ends.len(), 4, "a header and three records");
    for length in 0..=bytes.len() {
        fs::write(place.file(), &bytes[..length]).expect("a torn file");
        let ledger = place.open().expect("a torn end is no damage");
        let whole = ends.iter().filter(|end| **end < length).count();
        let open = open_tags(&ledger);
        let expected: &[&str] = match whole {
            0 | 1 | 3 => &[],
            2 => &["a"],
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

#[test]
fn a_record_lives_for_one_day() {
    let place = Place::new();
    let ledger = place.open().expect("a new file");
    let ticket = begin(&ledger, intent("a", Some("id")));
    assert!(ledger.open_intents(NOON + DAY).is_empty());
    let mut tomorrow = intent("b", Some("id"));
    tomorrow.sent_at_ms = NOON + DAY;
    tomorrow.facts = "{}".to_owned();
    assert!(matches!(
        ledger.begin(tomorrow, NOON + DAY),
        Ok(Begun::New(_))
    ));
    ledger
        .settle(&ticket, &accepted())
        .expect("written, for nobody");
    drop(ledger);
    let text = fs::read_to_string(place.file()).expect("it is text");
    assert!(!text.contains("\"tag\":\"a\""), "{text}");
    let ledger = Ledger::open(&place.file(), LedgerSync::Disk, NOON + DAY).expect("free");
    assert_eq!(ledger.open_intents(NOON + DAY).len(), 1);
    drop(ledger);
    let ledger = Ledger::open(&place.file(), LedgerSync::Disk, NOON + 2 * DAY).expect("free");
    assert!(ledger.open_intents(NOON + 2 * DAY).is_empty());
    let left = fs::read(place.file()).expect("it is there");
    assert_eq!(
        left.iter().filter(|b| **b == b'\n').count(),
        1,
        "the header"
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
    assert!(ledger.state().entries.is_empty());
}

#[cfg(unix)]
#[test]
fn what_cannot_be_written_is_not_begun() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let ledger = place.open().expect("a new file");
    let mode = fs::metadata(place.file())
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    begin(&ledger, intent("a", None));
    // A disk without room.
    let full = file::options().open("/dev/full").expect("Linux has it");
    let good = std::mem::replace(&mut ledger.state().file.file, full);
    let error = ledger.begin(intent("b", None), NOON).expect_err("no room");
    assert!(error.message().contains("could not be written"), "{error}");
    assert_eq!(open_tags(&ledger), ["a"]);
    // The file could not be set right either: it is not trusted any more.
    ledger.state().file.file = good;
    assert!(ledger.begin(intent("c", None), NOON).is_err());
    drop(ledger);
    assert_eq!(open_tags(&place.open().expect("it is whole")), ["a"]);
}

#[cfg(unix)]
#[test]
fn odd_paths_are_told() {
    let place = Place::new();
    let told = |path: &Path| {
        let error = Ledger::open(path, LedgerSync::Process, NOON).map(drop);
        error.expect_err("it is no file").message().to_owned()
    };
    assert!(told(place.0.dir()).starts_with("config.ledger_file: "));
    assert!(told(&place.0.path("no/such")).contains("cannot be used"));
    fs::write(place.file(), "something else\n").expect("a file");
    assert!(told(&place.file()).contains("damaged record at byte 0"));
}

/// Midnight in India, half a day after `NOON` of that day.
fn midnight() -> u64 {
    let day = trading_day(NOON / 1000) + 1;
    (day * 24 * 3600 - IST_OFFSET) * 1000
}

/// An order of one second before midnight is asked about after it.
#[test]
fn midnight_forgets_nothing_that_is_under_way() {
    let place = Place::new();
    let at = |tag: &str, ms: u64| {
        let mut intent = intent(tag, Some("id"));
        intent.sent_at_ms = ms;
        intent
    };
    let midnight = midnight();
    let open = |now| Ledger::open(&place.file(), LedgerSync::Process, now).expect("it is free");
    let ledger = open(midnight - 2000);
    let begun = ledger.begin(at("a", midnight - 1000), midnight - 1000);
    let Ok(Begun::New(ticket)) = begun else {
        panic!("{begun:?}")
    };
    let again = |ledger: &Ledger, now: u64| match ledger.begin(at("b", now), now) {
        Ok(Begun::Earlier(Earlier::Unsettled(intent))) => intent.tag,
        other => panic!("{other:?}"),
    };
    assert_eq!(again(&ledger, midnight + 1000), "a");
    assert_eq!(ledger.open_intents(midnight + 1000).len(), 1);
    drop(ledger);
    // In the next process too, also if something else was written in between.
    let ledger = open(midnight + 2000);
    let mut other = intent("other", None);
    other.sent_at_ms = midnight + 2000;
    assert!(matches!(
        ledger.begin(other, midnight + 2000),
        Ok(Begun::New(_))
    ));
    drop(ledger);
    let ledger = open(midnight + 3000);
    assert_eq!(again(&ledger, midnight + 3000), "a");
    ledger.settle(&ticket, &accepted()).expect("written");
    let answered = ledger.earlier("id", &at("b", midnight + 4000), midnight + 4000);
    assert!(matches!(answered, Ok(Some(Earlier::Answered { .. }))));
    // After an hour the id is free for the new day.
    let late = midnight + 2 * 3600 * 1000;
    assert!(matches!(
        ledger.begin(at("c", late), late),
        Ok(Begun::New(_))
    ));
}

/// A clock that is set back over midnight makes today tomorrow.
#[test]
fn a_clock_set_back_forgets_nothing() {
    let place = Place::new();
    let midnight = midnight();
    let open = |now| Ledger::open(&place.file(), LedgerSync::Process, now).expect("it is free");
    let ledger = open(midnight + 1000);
    let mut first = intent("a", Some("id"));
    first.sent_at_ms = midnight + 1000;
    assert!(matches!(
        ledger.begin(first, midnight + 1000),
        Ok(Begun::New(_))
    ));
    let earlier = midnight - 3 * 3600 * 1000;
    let again = |ledger: &Ledger, now: u64| {
        let mut second = intent("b", Some("id"));
        second.sent_at_ms = now;
        matches!(
            ledger.begin(second, now),
            Ok(Begun::Earlier(Earlier::Unsettled(_)))
        )
    };
    assert!(again(&ledger, earlier));
    let mut other = intent("other", None);
    other.sent_at_ms = earlier;
    assert!(matches!(ledger.begin(other, earlier), Ok(Begun::New(_))));
    drop(ledger);
    let ledger = open(earlier + 1000);
    assert!(again(&ledger, earlier + 1000));
    assert!(again(&ledger, midnight + 2000));
}

/// What happens to the file must not make an intent forgotten: nothing is
/// sent until somebody has looked at it.
#[cfg(unix)]
#[test]
fn a_file_that_is_not_ours_any_more_is_not_written() {
    type Strike = fn(&Path);
    let strikes: [(&str, Strike); 6] = [
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
        ("without its lock", |file| {
            let mut lock = file.as_os_str().to_owned();
            lock.push(".lock");
            fs::remove_file(lock).expect("it is there");
        }),
    ];
    for (what, strike) in strikes {
        let place = Place::new();
        let ledger = place.open().expect("a new file");
        let ticket = begin(&ledger, intent("a", Some("id")));
        strike(&place.file());
        let left = fs::read(place.file()).ok();
        // On a new day it would be written anew.
        let mut tomorrow = intent("b", None);
        tomorrow.sent_at_ms = NOON + DAY;
        let error = ledger.begin(tomorrow, NOON + DAY).expect_err(what);
        assert!(
            error.message().contains("nobody but this process"),
            "{what}: {error}"
        );
        assert!(ledger.settle(&ticket, &accepted()).is_err(), "{what}");
        // It does not heal by itself.
        assert!(ledger.begin(intent("c", None), NOON).is_err(), "{what}");
        assert_eq!(fs::read(place.file()).ok(), left, "{what}");
    }
}

/// Two names of one ledger are one ledger.
#[cfg(unix)]
#[test]
fn a_link_is_what_it_leads_to() {
    use std::os::unix::fs::symlink;
    let place = Place::new();
    let ledger = place.open().expect("a new file");
    let link = place.0.path("link");
    symlink("ledger", &link).expect("a link");
    let by_link = |now| Ledger::open(&link, LedgerSync::Process, now);
    let error = by_link(NOON).map(drop).expect_err("it is held");
    assert!(error.message().contains("is held by process"), "{error}");
    begin(&ledger, intent("a", Some("id")));
    drop(ledger);
    // A new day replaces the file, not the link.
    let ledger = by_link(NOON + DAY).expect("it is free");
    let mut tomorrow = intent("b", Some("id"));
    tomorrow.sent_at_ms = NOON + DAY;
    assert!(matches!(
        ledger.begin(tomorrow, NOON + DAY),
        Ok(Begun::New(_))
    ));
    drop(ledger);
    assert!(
        fs::symlink_metadata(&link)
            .expect("it is there")
            .is_symlink()
    );
    let ledger = Ledger::open(&place.file(), LedgerSync::Process, NOON + DAY).expect("free");
    assert_eq!(ledger.open_intents(NOON + DAY).len(), 1);
    drop(ledger);
    // Nothing is written through a link in the place of its helpers.
    for helper in ["ledger.new", "ledger.lock"] {
        let place = Place::new();
        let other = place.0.path("other");
        fs::write(&other, "precious").expect("a file");
        symlink(&other, place.0.path(helper)).expect("a link");
        let opened = place.open().map(drop);
        assert_eq!(opened.is_ok(), helper == "ledger.new", "{opened:?}");
        assert_eq!(fs::read(&other).expect("it is there"), b"precious");
        let is_link = fs::symlink_metadata(place.file()).is_ok_and(|file| file.is_symlink());
        assert!(!is_link, "{helper}");
    }
    let nowhere = place.0.path("nowhere");
    symlink("missing", &nowhere).expect("a link");
    let error = Ledger::open(&nowhere, LedgerSync::Process, NOON).map(drop);
    let error = error.expect_err("it leads to nothing");
    assert!(error.message().contains("leads to nothing"), "{error}");
}
