//! What the ledger promises.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// 2025-10-09 in India.
const NOON: u64 = 1_760_000_000_000;
const DAY: u64 = 24 * 3600 * 1000;

/// A folder of its own for a test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("kneo-ledger-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("the folder is new");
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("ledger")
    }

    fn open(&self) -> Result<Ledger, Error> {
        Ledger::open(&self.file(), LedgerSync::Process, NOON)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("the folder is ours");
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
fn what_has_no_end_is_open_also_in_the_next_process() {
    let folder = Folder::new();
    let ledger = folder.open().expect("a new file");
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
    let ledger = folder.open().expect("it is free again");
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
    assert!(ledger.settle_by_tag("c", &End::Absent).expect("written"));
    assert!(
        !ledger
            .settle_by_tag("c", &End::Absent)
            .expect("nothing is open")
    );
    // Numbers go on: an end must not hit an older record.
    let fifth = begin(&ledger, intent("e", None));
    assert!(fifth.0 > fourth.0);
    assert_eq!(open_tags(&ledger), ["d", "e"]);
}

#[test]
fn an_intent_id_stands_for_one_instruction() {
    let folder = Folder::new();
    let ledger = folder.open().expect("a new file");
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
fn only_new_orders_tell_whose_a_row_is() {
    let folder = Folder::new();
    let ledger = folder.open().expect("a new file");
    let new = begin(&ledger, intent("new", None));
    ledger.settle(&new, &accepted()).expect("written");
    let mut change = intent("change", None);
    change.order_id = Some("7".to_owned());
    let change = begin(&ledger, change);
    ledger.settle(&change, &accepted()).expect("written");
    drop(ledger);
    let taken = folder.open().expect("it is free").take_taken();
    let tags: Vec<_> = taken.iter().map(|(tag, _)| tag.as_str()).collect();
    assert_eq!(tags, ["new"]);
}

#[test]
fn of_two_threads_one_begins() {
    let folder = Folder::new();
    let ledger = folder.open().expect("a new file");
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
    let folder = Folder::new();
    let ledger = folder.open().expect("a new file");
    let error = folder.open().map(drop).expect_err("it is held");
    let holder = format!(
        "is held by process {} since unix second",
        std::process::id()
    );
    assert!(error.message().contains(&holder), "{error}");
    drop(ledger);
    assert!(folder.open().is_ok());
}

/// Some records of every kind.
fn filled(folder: &Folder) -> Vec<u8> {
    let ledger = folder.open().expect("a new file");
    let first = begin(&ledger, intent("a", Some("id-a")));
    ledger.settle(&first, &accepted()).expect("written");
    begin(&ledger, intent("b", None));
    drop(ledger);
    fs::read(folder.file()).expect("it is there")
}

#[test]
fn a_torn_end_costs_only_itself() {
    let folder = Folder::new();
    let bytes = filled(&folder);
    let ends: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at] == b'\n').collect();
    assert_eq!(ends.len(), 4, "a header and three records");
    for length in 0..=bytes.len() {
        fs::write(folder.file(), &bytes[..length]).expect("a torn file");
        let ledger = folder.open().expect("a torn end is no damage");
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
        let ledger = folder.open().expect("it is whole again");
        assert!(open_tags(&ledger).contains(&"z".to_owned()));
    }
}

#[test]
fn damage_is_told_and_nothing_is_invented() {
    let folder = Folder::new();
    let bytes = filled(&folder);
    for at in 0..bytes.len() {
        for bit in [0x01, 0x20, 0x80] {
            let mut damaged = bytes.clone();
            damaged[at] ^= bit;
            fs::write(folder.file(), &damaged).expect("a damaged file");
            match folder.open() {
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
    let folder = Folder::new();
    let ledger = folder.open().expect("a new file");
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
    let text = fs::read_to_string(folder.file()).expect("it is text");
    assert!(!text.contains("\"tag\":\"a\""), "{text}");
    let ledger = Ledger::open(&folder.file(), LedgerSync::Disk, NOON + DAY).expect("free");
    assert_eq!(ledger.open_intents(NOON + DAY).len(), 1);
    drop(ledger);
    let ledger = Ledger::open(&folder.file(), LedgerSync::Disk, NOON + 2 * DAY).expect("free");
    assert!(ledger.open_intents(NOON + 2 * DAY).is_empty());
    let left = fs::read(folder.file()).expect("it is there");
    assert_eq!(
        left.iter().filter(|b| **b == b'\n').count(),
        1,
        "the header"
    );
}

#[test]
fn settled_records_cost_no_memory() {
    let folder = Folder::new();
    let ledger = folder.open().expect("a new file");
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
    let folder = Folder::new();
    let ledger = folder.open().expect("a new file");
    let mode = fs::metadata(folder.file())
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    begin(&ledger, intent("a", None));
    // A disk without room.
    let full = options().open("/dev/full").expect("Linux has it");
    let good = std::mem::replace(&mut ledger.state().file, full);
    let error = ledger.begin(intent("b", None), NOON).expect_err("no room");
    assert!(error.message().contains("could not be written"), "{error}");
    assert_eq!(open_tags(&ledger), ["a"]);
    // The file could not be set right either: it is not trusted any more.
    ledger.state().file = good;
    assert!(ledger.begin(intent("c", None), NOON).is_err());
    drop(ledger);
    assert_eq!(open_tags(&folder.open().expect("it is whole")), ["a"]);
}

#[cfg(unix)]
#[test]
fn odd_paths_are_told() {
    let folder = Folder::new();
    let told = |path: &Path| {
        let error = Ledger::open(path, LedgerSync::Process, NOON).map(drop);
        error.expect_err("it is no file").message().to_owned()
    };
    assert!(told(&folder.0).starts_with("config_json.ledger_file: "));
    assert!(told(&folder.0.join("no/such")).contains("cannot be used"));
    fs::write(folder.file(), "something else\n").expect("a file");
    assert!(told(&folder.file()).contains("damaged record at byte 0"));
}
