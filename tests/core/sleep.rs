//! A machine that sleeps for an hour: a process of its own whose clocks jump, as
//! `KNEO_TEST_CLOCK` lets them, while those of tokio and of the sandbox go on as ever.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use kotak_neo::{Client, Error, Feed, OrderFeed, Reply};
use kotak_neo_sandbox::{FaultKind, Options, Sandbox};
use kotak_neo_testing::folder::Folder;
use kotak_neo_testing::orders::{order, with};
use serde_json::{Value, json};

use crate::support::{config, fault, json, start};

/// Tells a process that it is the one that sleeps.
const SLEEPER: &str = "KNEO_TEST_SLEEPER";
const PLACE: &str = "/quick/order/rule/ms/place";
const LIMITS: &str = "/quick/user/limits";
const SAID: &str = "said ";
/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
const HOUR_MS: u64 = 3_600_000;

/// The process that sleeps: it reads what to do, a line of JSON each, and tells how it
/// ended. A thread for each, so that several can be under way.
#[test]
fn sleeper() {
    if std::env::var_os(SLEEPER).is_none() {
        return;
    }
    let mut lines = std::io::stdin().lines();
    let mut line = || lines.next().map(|line| line.expect("a text"));
    let client = Client::open(line().as_deref()).expect("the configuration is valid");
    let (mut prices, mut orders): (Option<Feed>, Option<OrderFeed>) = (None, None);
    while let Some(wish) = line() {
        let wish = json(&wish);
        let text = |key: &str| wish[key].as_str().expect("a text").to_owned();
        let number = wish["number"].clone();
        let call = text("call");
        let state = |status: Result<Reply, Error>| json(status.expect("it is open").json());
        match call.as_str() {
            "feeds" => {
                prices = Some(client.feed(None).expect("there is a session"));
                orders = Some(client.order_feed(None).expect("there is a session"));
                say(&json!({"number": number}));
            }
            "states" => {
                let prices = prices.as_ref().expect("open").status();
                let orders = orders.as_ref().expect("open").status();
                say(&json!({"number": number, "prices": state(prices), "orders": state(orders)}));
            }
            _ => {
                let (client, params) = (client.clone(), text("params"));
                std::thread::spawn(move || {
                    let ended = client.call(&call, Some(&params));
                    let told = match ended {
                        Ok(reply) => json!({"status": "OK", "json": json(reply.json())}),
                        Err(error) => {
                            json!({"status": error.status().name(), "json": json(&error.to_json())})
                        }
                    };
                    say(&with(told, json!({ "number": number })));
                });
            }
        }
    }
}

fn say(told: &Value) {
    // In one piece, and on a line of its own.
    let line = format!("\n{SAID}{told}\n");
    std::io::stdout()
        .write_all(line.as_bytes())
        .expect("the parent listens");
}

/// Such a process, seen from outside.
struct Sleeper {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    clock: PathBuf,
    asked: u64,
    /// What was told of calls that nobody has asked for yet.
    told: Vec<Value>,
    _folder: Folder,
}

impl Sleeper {
    fn start(sandbox: &Sandbox, more: &Value) -> Self {
        let folder = Folder::new("sleep");
        let clock = folder.path("clock");
        fs::write(&clock, "0 0\n").expect("a file");
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "sleep::sleeper", "--nocapture"])
            .env(SLEEPER, "1")
            .env("KNEO_TEST_CLOCK", &clock)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut input = child.stdin.take().expect("piped");
        writeln!(input, "{}", config(sandbox, more)).expect("it listens");
        Self {
            output: BufReader::new(child.stdout.take().expect("piped")),
            input: Some(input),
            child,
            clock,
            asked: 0,
            told: Vec::new(),
            _folder: folder,
        }
    }

    /// Begins a call; gives its number.
    fn begin(&mut self, call: &str, params: &Value) -> u64 {
        self.asked += 1;
        let params = params.to_string();
        let wish = json!({"number": self.asked, "call": call, "params": params});
        let input = self.input.as_mut().expect("open until it is dropped");
        writeln!(input, "{wish}").expect("it listens");
        self.asked
    }

    /// How a call ended.
    fn end(&mut self, number: u64) -> Value {
        loop {
            let is_it = |told: &Value| told["number"] == number;
            if let Some(at) = self.told.iter().position(is_it) {
                return self.told.swap_remove(at);
            }
            let mut line = String::new();
            let read = self.output.read_line(&mut line).expect("the pipe works");
            assert!(read > 0, "it has ended");
            if let Some(told) = line.strip_prefix(SAID) {
                self.told.push(json(told));
            }
        }
    }

    fn call(&mut self, call: &str, params: &Value) -> Value {
        let number = self.begin(call, params);
        self.end(number)
    }

    fn works(&mut self, call: &str, params: &Value) -> Value {
        let told = self.call(call, params);
        assert_eq!(told["status"], "OK", "{call}: {told}");
        told
    }

    fn log_in(&mut self, sandbox: &Sandbox) {
        let user = sandbox.credentials();
        let first = json!({
            "mobile_number": user.mobile_number, "ucc": user.ucc, "totp": sandbox.totp_now(),
        });
        self.works("totp_login", &first);
        self.works("totp_validate", &json!({"mpin": user.mpin}));
    }

    /// The machine sleeps for an hour: both clocks have gone on.
    fn sleep(&self) {
        fs::write(&self.clock, format!("{HOUR_MS} {HOUR_MS}\n")).expect("a file");
    }

    /// Asks again and again until it is so.
    fn until(&mut self, call: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let told = self.call(call, &json!({}));
            if is_so(&told) {
                return told;
            }
            assert!(Instant::now() < end, "it never happens: {told}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.input = None;
        if std::thread::panicking() {
            let _gone = self.child.kill();
        }
        let ended = self.child.wait().expect("it can be waited for");
        assert!(std::thread::panicking() || ended.success(), "{ended}");
    }
}

/// The connections over which a path was asked for, in order.
fn connections(sandbox: &Sandbox, path: &str) -> Vec<u64> {
    let requests = sandbox.requests();
    let those = requests.iter().filter(|request| request.path == path);
    those.map(|request| request.connection).collect()
}

fn wait_for(sandbox: &Sandbox, path: &str, count: usize) {
    let end = Instant::now() + PATIENCE;
    while connections(sandbox, path).len() < count {
        assert!(Instant::now() < end, "{path} is not asked for");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn no_connection_from_before_the_sleep_is_used() {
    for http2 in [false, true] {
        let sandbox = start(Options {
            http2,
            tls: match http2 {
                true => kotak_neo_sandbox::TlsMode::Valid,
                false => kotak_neo_sandbox::TlsMode::Off,
            },
            ..Options::default()
        });
        let mut sleeper = Sleeper::start(&sandbox, &json!({}));
        sleeper.log_in(&sandbox);
        for _ in 0..2 {
            sleeper.works("place_order", &order());
            sleeper.works("limits", &json!({}));
        }
        let all = sandbox.connections();
        sleeper.sleep();
        for _ in 0..2 {
            sleeper.works("place_order", &order());
            sleeper.works("limits", &json!({}));
        }
        for path in [PLACE, LIMITS] {
            let used = connections(&sandbox, path);
            assert_eq!(used.len(), 4, "each was sent once");
            assert!(used[0] == used[1] && used[1] <= all, "{used:?}");
            assert!(used[2] == used[3] && used[2] > all, "{path}: {used:?}");
        }
        assert_eq!(sandbox.orders_taken(), 4);
        assert_eq!(sandbox.connections(), all + 2, "one each, and no more");
    }
}

#[test]
fn what_was_under_way_ends_on_waking_and_does_not_leave_later() {
    let sandbox = start(Options::default());
    let more = json!({"max_orders_per_second": 1, "timeouts": {"order": 600_000, "read": 600_000}});
    let mut sleeper = Sleeper::start(&sandbox, &more);
    sleeper.log_in(&sandbox);
    fault(&sandbox, LIMITS, FaultKind::Hang);
    fault(&sandbox, PLACE, FaultKind::Hang);
    let read = sleeper.begin("limits", &json!({}));
    let sent = sleeper.begin("place_order", &with(order(), json!({"tag": "SENT"})));
    wait_for(&sandbox, LIMITS, 1);
    wait_for(&sandbox, PLACE, 1);
    // The one slot is used until its answer comes: this one waits for its turn.
    let waits = sleeper.begin("place_order", &with(order(), json!({"tag": "WAITS"})));
    // It has to wait, and not to be begun only after the sleep.
    std::thread::sleep(Duration::from_millis(300));
    sleeper.sleep();
    let read = sleeper.end(read);
    assert_eq!(read["status"], "TIMEOUT", "{read}");
    let sent = sleeper.end(sent);
    assert_eq!(sent["status"], "UNKNOWN_OUTCOME", "{sent}");
    let waits = sleeper.end(waits);
    let error = &waits["json"]["error"];
    assert!(
        waits["status"] == "TIMEOUT" || waits["status"] == "RATE_LIMITED",
        "{waits}"
    );
    assert_eq!(error["sent"], false, "{waits}");
    // What comes next is of now, and nothing of before comes with it.
    sandbox.clear_faults();
    let after = with(order(), json!({"tag": "AFTER"}));
    let end = Instant::now() + PATIENCE;
    // The slot of the unanswered one is free again some seconds after its call has ended.
    while sleeper.call("place_order", &after)["status"] != "OK" {
        assert!(Instant::now() < end, "no slot is ever free again");
    }
    let tags: Vec<_> = sandbox.orders().into_iter().map(|it| it.tag).collect();
    assert_eq!(tags, ["AFTER"]);
    assert_eq!(connections(&sandbox, PLACE).len(), 2);
}

#[test]
fn a_session_that_ran_out_is_told() {
    let sandbox = start(Options {
        token_lifetime: Duration::from_secs(1800),
        ..Options::default()
    });
    let mut sleeper = Sleeper::start(&sandbox, &json!({}));
    sleeper.log_in(&sandbox);
    let info = sleeper.works("session_info", &json!({}))["json"].clone();
    assert_eq!(info["expired"], false, "{info}");
    sleeper.call("feeds", &json!({}));
    let live =
        |told: &Value| told["prices"]["state"] == "live" && told["orders"]["state"] == "live";
    sleeper.until("states", live);

    // An hour goes by while the machine sleeps, and somebody sets its wall clock back
    // meanwhile: that says nothing of the session. The sandbox's tokens end by hand.
    fs::write(&sleeper.clock, format!("-{HOUR_MS} {HOUR_MS}\n")).expect("a file");
    let info = sleeper.works("session_info", &json!({}))["json"].clone();
    assert_eq!(info["expired"], true, "{info}");
    assert_eq!(info["state"], "trade", "{info}");
    sandbox.expire_sessions();
    let refused =
        |told: &Value| told["prices"]["state"] == "refused" && told["orders"]["state"] == "refused";
    let told = sleeper.until("states", refused);
    for feed in ["prices", "orders"] {
        let reason = told[feed]["reason"].as_str().unwrap_or_default();
        assert!(
            reason.ends_with("the session has expired by its own token: log in again"),
            "{told}"
        );
    }
    // Last, since its answer tells the sandbox's clock, by which it is not over.
    let told = sleeper.call("place_order", &order());
    assert_eq!(
        told["status"], "SESSION_EXPIRED",
        "asked and refused: {told}"
    );
    let hint = told["json"]["error"]["hint"].as_str().unwrap_or_default();
    assert!(hint.contains("log in again"), "{told}");
    // A new login, and all goes on.
    sleeper.log_in(&sandbox);
    sleeper.until("states", live);
    sleeper.works("place_order", &order());
}
