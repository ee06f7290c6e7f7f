//! The intent ledger under `kill -9`: whatever moment it comes at, no order is
//! sent twice and none is forgotten.
//!
//! A child process places orders, each with an intent id and a tag of its own,
//! and is killed: at every step of an order, and at random moments, also while its
//! clock jumps by days. The next child goes on a few intents earlier. `KNEO_TORTURE_KILLS` sets how often it is
//! killed at random (30; the soak does more).
#![cfg(unix)]

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use kotak_neo::{Client, Error, Reply, Status, ledger_open_intents};
use kotak_neo_sandbox::{Fault, FaultKind, Options, Sandbox};
use kotak_neo_testing::dice::Dice;
use kotak_neo_testing::folder::Folder;
use kotak_neo_testing::needs::skip;
use kotak_neo_testing::orders::{self, with};
use serde_json::{Value, json};

const CHILD: &str = "KNEO_TEST_LEDGER_CHILD";
/// Where a process finds by how much its clock is shifted.
const CLOCK: &str = "KNEO_TEST_CLOCK";
/// Tells a process that it is to open a ledger.
const OPENER: &str = "KNEO_TEST_LEDGER_OPENER";
const PLACE: &str = "/quick/order/rule/ms/place";

fn sandbox() -> Sandbox {
    let options = Options {
        orders_per_second: 0,
        record_limit: 1_000_000,
        ..Options::default()
    };
    Sandbox::start(options).expect("the sandbox starts")
}

fn config(sandbox: &Sandbox, more: &Value) -> Value {
    let fast = json!({"max_orders_per_second": 1_000_000, "outcome_window_ms": 1000});
    with(with(parsed(&sandbox.config_json()), fast), more.clone())
}

/// A logged-in client, and its session for another process.
fn trader(sandbox: &Sandbox, more: &Value) -> (Client, String) {
    let client = Client::open(Some(&config(sandbox, more).to_string())).expect("it opens");
    let user = sandbox.credentials();
    client
        .totp_login(&user.mobile_number, &user.ucc, &sandbox.totp_now())
        .expect("the first step works");
    client
        .totp_validate(&user.mpin)
        .expect("the second step works");
    let session = client.session_export().expect("there is a session");
    let session = session.json().to_owned();
    (client, session)
}

fn order(more: &Value) -> String {
    with(orders::order(), more.clone()).to_string()
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn outcome(client: &Client, tag: &str) -> String {
    let params = json!({"tag": tag, "timeout_ms": 60_000}).to_string();
    let reply = client.order_outcome(&params).expect("the book can be read");
    parsed(reply.json())["outcome"]
        .as_str()
        .expect("a word")
        .to_owned()
}

fn status(result: &Result<Reply, Error>) -> Status {
    result.as_ref().map_or_else(Error::status, |_| Status::Ok)
}

/// The number of requests that carried each tag.
fn sent(sandbox: &Sandbox) -> BTreeMap<String, usize> {
    let mut sent = BTreeMap::new();
    for request in sandbox.requests() {
        if request.path != PLACE {
            continue;
        }
        // Of a connection that was reset at once, no body was read.
        let Some((_, data)) = url::form_urlencoded::parse(&request.body).next() else {
            continue;
        };
        let tag = parsed(&data)["ig"].as_str().expect("a tag").to_owned();
        *sent.entry(tag).or_default() += 1;
    }
    sent
}

/// Not a test of its own: what the killed process does.
#[test]
fn child() {
    let Ok(number) = env::var(CHILD) else { return };
    let mut lines = std::io::stdin().lines();
    let mut line = || lines.next().expect("a line").expect("a text");
    let (config, session) = (line(), line());
    let client = Client::open(Some(&config)).expect("the ledger is free");
    client.session_import(&session).expect("a session of today");
    #[cfg(debug_assertions)]
    steps::die_if_told();
    let mut out = std::io::stdout();
    writeln!(out, "ready").expect("the parent listens");
    for number in number.parse::<u32>().expect("a number").. {
        let tag = format!("tag-{number}");
        let params = order(&json!({"tag": tag, "intent_id": format!("intent-{number}")}));
        let said = match client.place_order(&params) {
            Ok(_) => "placed".to_owned(),
            Err(error) => match error.status() {
                // The book proves little of an order whose time is wrong by days.
                Status::UnknownOutcome if env::var_os(CLOCK).is_some() => "open".to_owned(),
                Status::UnknownOutcome => outcome(&client, &tag),
                Status::InvalidArgument => {
                    assert!(error.message().contains("proved absent"), "{error}");
                    "absent".to_owned()
                }
                _ => panic!("{error}"),
            },
        };
        writeln!(out, "said {number} {said}").expect("the parent listens");
    }
}

/// A child that begins with this number.
fn start(number: u32, more: &[(&str, String)]) -> Child {
    Command::new(env::current_exe().expect("a test is a file"))
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(CHILD, number.to_string())
        .envs(more.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts")
}

#[test]
fn no_kill_doubles_or_forgets_an_order() {
    let kills = env::var("KNEO_TORTURE_KILLS").map_or(30, |text| {
        text.parse().expect("KNEO_TORTURE_KILLS is a number")
    });
    torture("torture", kills, false);
}

/// The same on a machine whose clock jumps by two days, forth and back. Shifts are
/// known to debug builds only.
#[cfg(debug_assertions)]
#[test]
fn no_kill_and_no_jump_of_the_clock_doubles_or_forgets_an_order() {
    torture("jumps", 15, true);
}

/// Where the wall clock of a process stands.
fn set_clock(file: &Path, days: i64) {
    let text = format!("{} 0\n", days * 24 * 3600 * 1000);
    std::fs::write(file, text).expect("the folder is ours");
}

fn torture(name: &str, kills: u64, jumps: bool) {
    if env::var_os(CHILD).is_some() {
        return;
    }
    let sandbox = sandbox();
    let folder = Folder::new(name);
    let clock = folder.path("clock");
    let (_, session) = trader(&sandbox, &json!({}));
    let config = config(&sandbox, &json!({"ledger_file": folder.text("ledger")}));
    let mut said: BTreeMap<u32, String> = BTreeMap::new();
    let mut dice = Dice::new(12_345);
    let mut left_open = 0;
    for kill in 0..kills {
        // Slow answers make kills between sending and answer likely.
        sandbox.clear_faults();
        if kill % 3 > 0 {
            sandbox.set_fault(Fault {
                path: PLACE.to_owned(),
                times: None,
                kind: FaultKind::Slow { ms: kill % 3 * 4 },
            });
        }
        let last = said.keys().next_back();
        set_clock(&clock, 0);
        let shifts = [(CLOCK, clock.display().to_string())];
        let shifts: &[_] = if jumps { &shifts } else { &[] };
        let mut child = start(last.map_or(0, |last| last.saturating_sub(3)), shifts);
        let mut input = child.stdin.take().expect("piped");
        writeln!(input, "{config}\n{session}").expect("the child listens");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let (is_ready, ready) = mpsc::channel();
        let reader = thread::spawn(move || {
            let mut lines = Vec::new();
            let mut line = String::new();
            while output.read_line(&mut line).expect("the pipe works") > 0 {
                if line.ends_with("ready\n") {
                    // Nobody may wait for it.
                    let _ = is_ready.send(());
                }
                lines.push(std::mem::take(&mut line));
            }
            lines
        });
        // From its first steps to a good number of orders.
        let before = sandbox.orders_taken();
        let patience = Instant::now() + Duration::from_secs(60);
        let after_an_order = dice.roll(2) == 0;
        while sandbox.orders_taken() == before && after_an_order {
            assert!(Instant::now() < patience, "the child places no order");
            thread::sleep(Duration::from_micros(200));
        }
        if jumps {
            let patience = Duration::from_secs(60);
            ready.recv_timeout(patience).expect("the child is ready");
            for _ in 0..5 + dice.roll(10) {
                set_clock(
                    &clock,
                    [-2, 0, 2][usize::try_from(dice.roll(3)).expect("small")],
                );
                thread::sleep(Duration::from_micros(dice.roll(8_000)));
            }
        }
        thread::sleep(Duration::from_micros(dice.roll(40_000)));
        child.kill().expect("it can be killed");
        let ended = child.wait().expect("it has ended");
        assert!(!ended.success(), "the child never ends by itself");
        for line in reader.join().expect("no panic") {
            let words: Vec<_> = line.split_whitespace().collect();
            // A line may have been cut by the kill.
            if let (["said", number, word], true) = (&words[..], line.ends_with('\n')) {
                let number: u32 = number.parse().expect("a number");
                let old = said.insert(number, (*word).to_owned());
                assert!(
                    old.is_none_or(|old| old == *word),
                    "intent {number} changed"
                );
            }
        }
        // Nothing that reached the broker is missing in the ledger.
        let text = std::fs::read_to_string(folder.text("ledger")).unwrap_or_default();
        for (tag, count) in sent(&sandbox) {
            assert_eq!(count, 1, "{tag} was sent {count} times");
            assert!(text.contains(&format!("\"{tag}\"")), "{tag} is forgotten");
        }
        let count = |kind: &str| text.matches(&format!("\"record\":{{\"{kind}\"")).count();
        let open = count("begin") - count("end");
        left_open += u32::from(open > 0);
        if !text.is_empty() {
            let looked = ledger_open_intents(&folder.text("ledger")).expect("it can be read");
            let looked = parsed(looked.json());
            assert_eq!(looked["intents"].as_array().expect("a list").len(), open);
            assert_eq!(looked["held_by"], Value::Null);
        }
    }
    sandbox.clear_faults();
    let (client, _) = trader(&sandbox, &json!({"ledger_file": folder.text("ledger")}));
    let open = parsed(client.open_intents().expect("local").json());
    let open: Vec<&str> = open["intents"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|intent| intent["tag"].as_str().expect("a tag"))
        .collect();
    // Whatever is open can be settled, by yet another process.
    for tag in open.iter().filter(|_| !jumps) {
        let number = tag.trim_start_matches("tag-").parse().expect("a number");
        said.insert(number, outcome(&client, tag));
    }
    if !jumps {
        let open = parsed(client.open_intents().expect("local").json());
        assert_eq!(open["intents"], json!([]));
    }
    let taken: Vec<String> = sandbox
        .orders()
        .iter()
        .map(|order| order.tag.clone())
        .collect();
    for (number, word) in &said {
        let tag = format!("tag-{number}");
        let count = taken.iter().filter(|of| **of == tag).count();
        match word.as_str() {
            "open" => assert!(open.contains(&tag.as_str()), "{tag} has vanished"),
            word => assert_eq!(count, usize::from(word == "placed"), "{tag} is {word}"),
        }
    }
    // Killed before it could say so: the ledger knows, and nothing is sent.
    for tag in &taken {
        let number: u32 = tag.trim_start_matches("tag-").parse().expect("a number");
        if said.contains_key(&number) && !jumps {
            continue;
        }
        let intent = format!("intent-{number}");
        let reply = client.place_order(&order(&json!({"tag": tag, "intent_id": intent})));
        let meta = match &reply {
            Ok(reply) => reply.meta(),
            Err(error) => {
                assert!(open.contains(&tag.as_str()), "{tag}: {error}");
                error.meta()
            }
        };
        assert_eq!(parsed(&meta)["earlier_answer"], true, "{tag}");
    }
    assert_eq!(sandbox.orders_taken(), taken.len() as u64);
    println!(
        "{kills} kills, {} intents, {left_open} kills left one open",
        said.len()
    );
    assert!(
        kills < 30 || left_open > 0,
        "no kill came in the middle of an order"
    );
}

/// Not a test of its own: what another process does with a ledger.
#[test]
fn opener() {
    let Ok(wish) = env::var(OPENER) else { return };
    let mut lines = std::io::stdin().lines();
    let mut line = || lines.next().expect("a line").expect("a text");
    let config = line();
    let opened = Client::open(Some(&config));
    let mut out = std::io::stdout();
    let mut say = |text: &str| writeln!(out, "said {text}").expect("the parent listens");
    match &opened {
        Ok(_) => say("free"),
        Err(error) => say(error.message()),
    }
    if wish == "fork" {
        // SAFETY: the child calls nothing but what a signal handler may call.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: as above; `alarm` ends it if nobody does.
            unsafe {
                libc::alarm(60);
                loop {
                    libc::pause();
                }
            }
        }
        say(&pid.to_string());
    }
    // Until the parent lets go, or for ever.
    line();
}

/// A process that opens a ledger, and what it says.
struct Opener {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Opener {
    /// `before` are the words of a command that runs it.
    fn start(before: &[&str], wish: &str, config: &Value) -> Self {
        let me = env::current_exe().expect("a test is a file");
        let me = me.to_str().expect("its name is a text");
        let test = [me, "--exact", "opener", "--nocapture", "--test-threads=1"];
        let words: Vec<&str> = before.iter().copied().chain(test).collect();
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .env(OPENER, wish)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut input = child.stdin.take().expect("piped");
        writeln!(input, "{config}").expect("it listens");
        child.stdin = Some(input);
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, output }
    }

    fn says(&mut self) -> String {
        loop {
            let mut line = String::new();
            let read = self.output.read_line(&mut line).expect("the pipe works");
            assert!(read > 0, "it has ended");
            // The name of the test stands before the first one.
            if let Some((_, said)) = line.split_once("said ") {
                return said.trim_end().to_owned();
            }
        }
    }

    fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it has ended");
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether another process can open a ledger now, or why not.
fn opened_elsewhere(config: &Value) -> String {
    Opener::start(&[], "open", config).says()
}

#[test]
fn a_file_is_held_by_all_its_names() {
    let sandbox = sandbox();
    let folder = Folder::new("names");
    let (client, _) = trader(&sandbox, &json!({"ledger_file": folder.text("ledger")}));
    client.place_order(&order(&json!({}))).expect("taken");
    let hard = folder.text("hard");
    std::fs::hard_link(folder.text("ledger"), &hard).expect("a link");
    let by = |name: &str| config(&sandbox, &json!({"ledger_file": name}));
    let held = format!("is held by process {} since", std::process::id());
    for name in [&folder.text("ledger"), &hard] {
        let told = opened_elsewhere(&by(name));
        assert!(told.contains(&held), "{name}: {told}");
        // Neither our own reading nor a second try ends the lock.
        ledger_open_intents(name).expect("it can be read");
        assert!(Client::open(Some(&by(name).to_string())).is_err());
        let told = opened_elsewhere(&by(name));
        assert!(told.contains(&held), "{name}: {told}");
    }
    // A host that reads the file itself ends it, unless an order comes first.
    std::fs::read(&hard).expect("it is ours");
    client.place_order(&order(&json!({}))).expect("taken");
    assert!(opened_elsewhere(&by(&hard)).contains(&held));
    std::fs::read(&hard).expect("it is ours");
    let mut other = Opener::start(&[], "open", &by(&hard));
    assert_eq!(other.says(), "free");
    let error = client
        .place_order(&order(&json!({})))
        .expect_err("it was taken");
    assert!(
        error.message().contains("nobody but this process"),
        "{error}"
    );
    assert_eq!(sandbox.orders_taken(), 2);
    other.kill();
}

/// In a container a ledger often has a name of its own.
#[cfg(target_os = "linux")]
#[test]
fn a_bind_mount_is_what_it_leads_to() {
    let sandbox = sandbox();
    let folder = Folder::new("mount");
    let with = json!({"ledger_file": folder.text("ledger")});
    let (client, _) = trader(&sandbox, &with);
    std::fs::write(folder.text("mounted"), "").expect("a place for it");
    let script = format!(
        "mount --bind {} {} && exec \"$@\"",
        folder.text("ledger"),
        folder.text("mounted")
    );
    let before = ["unshare", "-m", "sh", "-c", &script, "sh"];
    let may = Command::new("unshare").args(["-m", "true"]).status();
    if !may.is_ok_and(|ended| ended.success()) {
        skip("bind mount", "nothing may be mounted here");
        return;
    }
    let config = config(&sandbox, &json!({"ledger_file": folder.text("mounted")}));
    let told = Opener::start(&before, "open", &config).says();
    assert!(told.contains("is held by process"), "{told}");
    drop(client);
    assert_eq!(Opener::start(&before, "open", &config).says(), "free");
    assert!(
        std::fs::read(folder.text("mounted"))
            .expect("it is there")
            .is_empty()
    );
}

#[test]
fn a_forked_child_does_not_keep_the_ledger() {
    let sandbox = sandbox();
    let folder = Folder::new("fork");
    let config = config(&sandbox, &json!({"ledger_file": folder.text("ledger")}));
    let mut holder = Opener::start(&[], "fork", &config);
    assert_eq!(holder.says(), "free");
    let orphan: libc::pid_t = holder.says().parse().expect("a number");
    let pid = holder.child.id();
    let told = opened_elsewhere(&config);
    assert!(
        told.contains(&format!("is held by process {pid} since")),
        "{told}"
    );
    holder.kill();
    let free = opened_elsewhere(&config);
    // SAFETY: it is our grandchild, which waits for this or for its alarm.
    let lived = unsafe { libc::kill(orphan, libc::SIGKILL) };
    assert_eq!(lived, 0, "it was there all the time");
    assert_eq!(free, "free");
}

#[test]
fn another_process_reads_what_is_open() {
    let sandbox = sandbox();
    let folder = Folder::new("read");
    let file = folder.text("ledger");
    let with = json!({"ledger_file": file, "timeouts": {"order": 300}});
    let mut holder = Opener::start(&[], "open", &config(&sandbox, &with));
    assert_eq!(holder.says(), "free");
    let look = || parsed(ledger_open_intents(&file).expect("it can be read").json());
    let looked = look();
    assert_eq!(looked["intents"], json!([]));
    assert_eq!(looked["held_by"]["pid"], holder.child.id());
    assert!(looked["held_by"]["since"].is_u64());
    holder.kill();
    assert_eq!(look()["held_by"], Value::Null);
    // While an order is under way too, and nobody is disturbed by it.
    let (client, _) = trader(&sandbox, &with);
    sandbox.set_fault(Fault {
        path: PLACE.to_owned(),
        times: Some(1),
        kind: FaultKind::Hang,
    });
    let hung = client.place_order(&order(&json!({"tag": "hung", "intent_id": "h"})));
    assert_eq!(status(&hung), Status::UnknownOutcome);
    let ours = parsed(client.open_intents().expect("local").json());
    let looked = look();
    assert_eq!(looked["intents"], ours["intents"]);
    assert_eq!(looked["intents"][0]["tag"], "hung");
    assert_eq!(looked["held_by"]["pid"], std::process::id());
    client.place_order(&order(&json!({}))).expect("taken");
    // By its name too.
    let params = json!({"ledger_file": file}).to_string();
    let by_name = client.call("ledger_open_intents", Some(&params));
    assert_eq!(parsed(by_name.expect("it can be read").json()), looked);
    let error = ledger_open_intents(&folder.text("none")).expect_err("there is none");
    assert_eq!(error.status(), Status::InvalidArgument);
}

/// An answer to `limits` with this time of the broker.
fn limits_at(sandbox: &Sandbox, client: &Client, unix_seconds: u64) -> Reply {
    let time = std::time::UNIX_EPOCH + Duration::from_secs(unix_seconds);
    sandbox.set_fault(Fault {
        path: "/quick/user/limits".to_owned(),
        times: Some(1),
        kind: FaultKind::Answer {
            status: 200,
            headers: vec![("Date".to_owned(), httpdate::fmt_http_date(time))],
            body: br#"{"stat":"Ok","stCode":200,"Net":"1"}"#.to_vec(),
        },
    });
    client.limits(None).expect("it is answered")
}

#[test]
fn another_day_of_the_broker_ends_what_is_open() {
    let sandbox = sandbox();
    let folder = Folder::new("days");
    let file = folder.text("ledger");
    let dates = || {
        let text = std::fs::read_to_string(&file).expect("it is there");
        text.matches("\"record\":{\"date\"").count()
    };
    let with = json!({"ledger_file": file, "timeouts": {"order": 300}});
    // Logins tell the day, and so does an order where nothing else was asked.
    let (client, session) = trader(&sandbox, &with);
    assert_eq!(dates(), 1);
    drop(client);
    std::fs::remove_file(&file).expect("it is there");
    let client = Client::open(Some(&config(&sandbox, &with).to_string())).expect("free");
    client.session_import(&session).expect("a session of today");
    assert_eq!(dates(), 0);
    client.place_order(&order(&json!({}))).expect("taken");
    assert_eq!(dates(), 1);
    sandbox.set_fault(Fault {
        path: PLACE.to_owned(),
        times: Some(1),
        kind: FaultKind::Hang,
    });
    let hung = order(&json!({"tag": "hung", "intent_id": "h"}));
    assert_eq!(status(&client.place_order(&hung)), Status::UnknownOutcome);
    let open = || parsed(client.open_intents().expect("local").json())["intents"].clone();
    let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970");
    let tomorrow = now.as_secs() + 25 * 3600;
    let before = sandbox.orders_taken();
    for alone in [tomorrow, now.as_secs(), tomorrow + 48 * 3600] {
        let notes = parsed(&limits_at(&sandbox, &client, alone).meta())["notes"].clone();
        assert_eq!(notes, Value::Null);
        assert_eq!(open()[0]["tag"], "hung");
        assert_eq!(status(&client.place_order(&hung)), Status::UnknownOutcome);
    }
    limits_at(&sandbox, &client, tomorrow);
    let notes = parsed(&limits_at(&sandbox, &client, tomorrow + 1).meta())["notes"].clone();
    let note = notes[0].as_str().expect("it is told");
    assert!(
        note.ends_with("of an earlier one: place_order hung"),
        "{note}"
    );
    assert_eq!(open(), json!([]));
    client.place_order(&hung).expect("of another day");
    assert_eq!(sandbox.orders_taken(), before + 1);
    assert_eq!(
        dates(),
        2,
        "the file was begun anew, and the true time followed"
    );
}

#[test]
fn the_same_intent_is_sent_once() {
    if env::var_os(CHILD).is_some() {
        return;
    }
    let sandbox = sandbox();
    let folder = Folder::new("intents");
    let with_ledger = json!({
        "ledger_file": folder.text("ledger"), "ledger_sync": "disk", "timeouts": {"order": 300},
    });
    let (client, session) = trader(&sandbox, &with_ledger);
    let first = order(&json!({"intent_id": "a"}));
    let reply = client.place_order(&first).expect("taken");
    let again = client.place_order(&first).expect("the earlier answer");
    assert_eq!(again.json(), reply.json());
    let (meta, again) = (parsed(&reply.meta()), parsed(&again.meta()));
    assert_eq!(
        (&again["tag"], &again["earlier_answer"]),
        (&meta["tag"], &json!(true))
    );
    let other = client.place_order(&order(&json!({"intent_id": "a", "quantity": "4"})));
    let error = other.expect_err("another order");
    assert!(
        error
            .message()
            .starts_with("params.intent_id: was used today"),
        "{error}"
    );
    // A refusal is an answer too.
    sandbox.set_fault(Fault {
        path: PLACE.to_owned(),
        times: Some(1),
        kind: FaultKind::Answer {
            status: 200,
            headers: Vec::new(),
            body: br#"{"stat":"Not_Ok","stCode":1004,"emsg":"Insufficient balance."}"#.to_vec(),
        },
    });
    let refused = order(&json!({"intent_id": "b"}));
    for _ in 0..2 {
        let error = client.place_order(&refused).expect_err("refused");
        assert_eq!(
            (error.status(), error.code()),
            (Status::Rejected, Some("1004"))
        );
        assert!(error.message().contains("Insufficient balance"));
    }
    // An unknown outcome stays one, with its tag, until it is settled.
    sandbox.set_fault(Fault {
        path: PLACE.to_owned(),
        times: Some(1),
        kind: FaultKind::Hang,
    });
    let hung = order(&json!({"intent_id": "c"}));
    let tags: Vec<_> = (0..2)
        .map(|_| {
            let error = client.place_order(&hung).expect_err("no answer");
            assert_eq!(error.status(), Status::UnknownOutcome);
            parsed(&error.to_json())["error"]["tag"]
                .as_str()
                .expect("a tag")
                .to_owned()
        })
        .collect();
    assert_eq!(tags[0], tags[1]);
    assert_eq!(
        sandbox
            .requests()
            .iter()
            .filter(|request| request.path == PLACE)
            .count(),
        3
    );
    // The next process knows it all; this one must let go first.
    let second = Client::open(Some(&config(&sandbox, &with_ledger).to_string()));
    let error = second.expect_err("it is held");
    assert!(error.message().contains("is held by process"), "{error}");
    drop(client);
    let client = Client::open(Some(&config(&sandbox, &with_ledger).to_string())).expect("free");
    client.session_import(&session).expect("a session of today");
    assert_eq!(
        client
            .place_order(&first)
            .expect("the earlier answer")
            .json(),
        reply.json()
    );
    assert_eq!(status(&client.place_order(&refused)), Status::Rejected);
    assert_eq!(status(&client.place_order(&hung)), Status::UnknownOutcome);
    assert_eq!(outcome(&client, &tags[0]), "absent");
    let error = client.place_order(&hung).expect_err("never sent again");
    assert!(error.message().contains("use a new intent_id"), "{error}");
    // What never left may be tried again.
    let nobody = json!({"intent_id": "d", "timeout_ms": 1});
    sandbox.close_connections();
    let unsent = client.place_order(&order(&nobody));
    if status(&unsent) == Status::Timeout {
        let retried = order(&json!({"intent_id": "d", "timeout_ms": 30_000}));
        assert_eq!(status(&client.place_order(&retried)), Status::Ok);
    }
    assert_eq!(sandbox.orders().len() as u64, sandbox.orders_taken());
}

#[test]
fn what_cannot_be_written_down_is_not_sent() {
    if env::var_os(CHILD).is_some() {
        return;
    }
    let sandbox = sandbox();
    let folder = Folder::new("unwritten");
    let (client, _) = trader(&sandbox, &json!({"ledger_file": folder.text("ledger")}));
    client.place_order(&order(&json!({}))).expect("taken");
    // Damage is found at the next open, and named.
    drop(client);
    let mut bytes = std::fs::read(folder.text("ledger")).expect("it is there");
    bytes[60] ^= 1;
    std::fs::write(folder.text("ledger"), bytes).expect("damaged");
    let config = config(&sandbox, &json!({"ledger_file": folder.text("ledger")}));
    let error = Client::open(Some(&config.to_string())).expect_err("damaged");
    assert_eq!(error.status(), Status::InvalidArgument);
    assert!(
        error.message().contains("damaged record at byte"),
        "{error}"
    );
}

/// The disk is full, or somebody has moved the file, just when the answer has come: the
/// ledger goes on to call the order open, and this process knows better.
#[test]
fn an_order_whose_end_could_not_be_written_down_is_not_absent() {
    if env::var_os(CHILD).is_some() {
        return;
    }
    let sandbox = sandbox();
    let folder = Folder::new("unended");
    let file = folder.text("ledger");
    let (client, _) = trader(&sandbox, &json!({"ledger_file": file}));
    sandbox.set_fault(Fault {
        path: PLACE.to_owned(),
        times: Some(1),
        kind: FaultKind::Slow { ms: 500 },
    });
    let taken = thread::scope(|scope| {
        let place = scope.spawn(|| client.place_order(&order(&json!({"tag": "mine"}))));
        while sandbox.orders_taken() == 0 {
            thread::sleep(Duration::from_millis(1));
        }
        std::fs::rename(&file, folder.text("moved")).expect("nobody prevents it");
        place.join().expect("no panic").expect("taken")
    });
    assert!(taken.meta().to_string().contains("stays open"), "{taken:?}");
    assert!(client.open_intents().expect("read").json().contains("mine"));
    for _ in 0..2 {
        assert_eq!(outcome(&client, "mine"), "placed");
    }
}

/// Killed at every step of an order, on purpose. Steps are known to debug builds
/// only.
#[cfg(debug_assertions)]
mod steps {
    use std::process::Command;
    use std::thread;

    use kotak_neo::order_steps::{Step, at};

    use super::*;

    const STEP: &str = "KNEO_TEST_LEDGER_STEP";

    /// Sees to it that this process is killed at the step that it was told.
    pub fn die_if_told() {
        let Ok(step) = env::var(STEP) else { return };
        let step = Step::ALL
            .into_iter()
            .find(|known| format!("{known:?}") == step);
        at(step.expect("a step"), || {
            let me = std::process::id().to_string();
            let killed = Command::new("kill").args(["-9", &me]).status();
            assert!(killed.expect("there is a kill").success());
            loop {
                thread::park();
            }
        });
    }

    /// Kills a child at `step` of its order with this number.
    fn kill(config: &Value, session: &str, step: Step, number: u32) {
        let mut child = start(number, &[(STEP, format!("{step:?}"))]);
        let mut input = child.stdin.take().expect("piped");
        writeln!(input, "{config}\n{session}").expect("the child listens");
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            !output.status.success() && !said.contains("said"),
            "{step:?}: {said}"
        );
        #[cfg(unix)]
        {
            use std::os::unix::process::ExitStatusExt;
            assert_eq!(output.status.signal(), Some(9), "{step:?}: {said}");
        }
    }

    fn every_step(name: &str, fault: Option<FaultKind>) {
        if env::var_os(CHILD).is_some() {
            return;
        }
        let sandbox = sandbox();
        let folder = Folder::new(name);
        let (_, session) = trader(&sandbox, &json!({}));
        let with_ledger = json!({"ledger_file": folder.text("ledger"), "ledger_sync": "disk"});
        let config = config(&sandbox, &with_ledger);
        for (number, step) in (0..).zip(Step::ALL) {
            if step == Step::Judged && fault.is_some() {
                continue; // There is no answer to judge.
            }
            if let Some(kind) = &fault {
                sandbox.set_fault(Fault {
                    path: PLACE.to_owned(),
                    times: None,
                    kind: kind.clone(),
                });
            }
            let before = sandbox.orders_taken();
            kill(&config, &session, step, number);
            sandbox.clear_faults();
            let taken = sandbox.orders_taken() - before;
            let (client, _) = trader(&sandbox, &with_ledger);
            let tag = format!("tag-{number}");
            let open = parsed(client.open_intents().expect("local").json());
            let tags: Vec<_> = open["intents"].as_array().expect("a list").iter().collect();
            let tags: Vec<_> = tags.iter().map(|intent| intent["tag"].clone()).collect();
            let params = order(&json!({"tag": tag, "intent_id": format!("intent-{number}")}));
            let again = client.place_order(&params);
            let what = format!("{step:?}: {taken} taken, open {tags:?}, then {again:?}");
            let sent = sent(&sandbox).get(&tag).copied().unwrap_or(0);
            match step {
                Step::Checked | Step::Connected | Step::Paced | Step::Remembered => {
                    assert_eq!((taken, tags.len()), (0, 0), "{what}");
                    assert_eq!((status(&again), sent), (Status::Ok, 1), "{what}");
                }
                Step::Settled if fault.is_none() => {
                    assert_eq!((taken, tags.len()), (1, 0), "{what}");
                    assert_eq!((status(&again), sent), (Status::Ok, 1), "{what}");
                    let earlier = parsed(&again.expect("it is OK").meta());
                    assert_eq!(earlier["earlier_answer"], true, "{what}");
                }
                _ => {
                    let left = !matches!(step, Step::Noted | Step::Leaving);
                    let expected = left && fault != Some(FaultKind::ResetBefore);
                    assert_eq!(taken, u64::from(expected), "{what}");
                    assert_eq!(tags, [json!(tag)], "{what}");
                    assert_eq!(status(&again), Status::UnknownOutcome, "{what}");
                    assert!(sent <= 1, "{what}");
                    let word = if expected { "placed" } else { "absent" };
                    assert_eq!(outcome(&client, &tag), word, "{what}");
                }
            }
            let doubled = sandbox
                .orders()
                .iter()
                .filter(|order| order.tag == tag)
                .count();
            assert!(doubled <= 1, "{what}");
        }
    }

    #[test]
    fn killed_at_every_step() {
        every_step("kill", None);
    }

    #[test]
    fn killed_at_every_step_without_an_answer() {
        every_step("kill-lost", Some(FaultKind::ResetAfter));
        every_step("kill-unread", Some(FaultKind::ResetBefore));
    }
}
