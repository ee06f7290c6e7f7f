//! The intent ledger under `kill -9`: whatever moment it comes at, no order is
//! sent twice and none is forgotten.
//!
//! A child process places orders, each with an intent id and a tag of its own,
//! and is killed: at every step of an order, and at random moments. The next
//! child goes on a few intents earlier. `KNEO_TORTURE_KILLS` sets how often it is
//! killed at random (30; the soak does more).
#![cfg(unix)]

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use kotak_neo::{Client, Error, Reply, Status};
use kotak_neo_sandbox::{Fault, FaultKind, Options, Sandbox};
use kotak_neo_testing::dice::Dice;
use kotak_neo_testing::folder::Folder;
use kotak_neo_testing::orders::{self, with};
use serde_json::{Value, json};

const CHILD: &str = "KNEO_TEST_LEDGER_CHILD";
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
    for number in number.parse::<u32>().expect("a number").. {
        let tag = format!("tag-{number}");
        let params = order(&json!({"tag": tag, "intent_id": format!("intent-{number}")}));
        let said = match client.place_order(&params) {
            Ok(_) => "placed".to_owned(),
            Err(error) => match error.status() {
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
    if env::var_os(CHILD).is_some() {
        return;
    }
    let kills: u64 = env::var("KNEO_TORTURE_KILLS").map_or(30, |text| {
        text.parse().expect("KNEO_TORTURE_KILLS is a number")
    });
    let sandbox = sandbox();
    let folder = Folder::new("torture");
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
        let mut child = start(last.map_or(0, |last| last.saturating_sub(3)), &[]);
        let mut input = child.stdin.take().expect("piped");
        writeln!(input, "{config}\n{session}").expect("the child listens");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let reader = thread::spawn(move || {
            let mut lines = Vec::new();
            let mut line = String::new();
            while output.read_line(&mut line).expect("the pipe works") > 0 {
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
        let count = |kind: &str| text.matches(&format!("\"record\":\"{kind}\"")).count();
        left_open += u32::from(count("begin") > count("end"));
    }
    sandbox.clear_faults();
    // Whatever is open can be settled, by yet another process.
    let (client, _) = trader(&sandbox, &json!({"ledger_file": folder.text("ledger")}));
    let open = parsed(client.open_intents().expect("local").json());
    for intent in open["intents"].as_array().expect("a list") {
        let tag = intent["tag"].as_str().expect("a tag");
        let word = outcome(&client, tag);
        let number = tag.trim_start_matches("tag-").parse().expect("a number");
        said.insert(number, word);
    }
    let open = parsed(client.open_intents().expect("local").json());
    assert_eq!(open["intents"], json!([]));
    let taken: Vec<String> = sandbox
        .orders()
        .iter()
        .map(|order| order.tag.clone())
        .collect();
    for (number, word) in &said {
        let tag = format!("tag-{number}");
        let count = taken.iter().filter(|of| **of == tag).count();
        assert_eq!(count, usize::from(word == "placed"), "{tag} is {word}");
    }
    // Killed before it could say so: the ledger knows, and nothing is sent.
    for tag in &taken {
        let number: u32 = tag.trim_start_matches("tag-").parse().expect("a number");
        if said.contains_key(&number) {
            continue;
        }
        let intent = format!("intent-{number}");
        let reply = client.place_order(&order(&json!({"tag": tag, "intent_id": intent})));
        let reply = reply.expect("the earlier answer");
        assert_eq!(parsed(&reply.meta())["earlier_answer"], true, "{tag}");
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
