//! A machine that sleeps for an hour: a process of its own whose clocks jump, as
//! `KNEO_TEST_CLOCK` lets them, while those of tokio and of the sandbox go on as ever.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kotak_neo::{Client, Error, Feed, OrderFeed, Reply};
use kotak_neo_sandbox::{FaultKind, Options, Sandbox, TlsMode};
use kotak_neo_testing::folder::Folder;
use kotak_neo_testing::orders::{order, with};
use serde_json::{Value, json};

use crate::support::{answer, client_with, config, fault, json, log_in, sandbox, start};

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
                        Ok(reply) => json!({
                            "status": "OK", "json": json(reply.json()), "meta": json(&reply.meta()),
                        }),
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
        self.sleep_until(HOUR_MS);
    }

    /// The same, until so long after the start.
    fn sleep_until(&self, ms: u64) {
        fs::write(&self.clock, format!("{ms} {ms}\n")).expect("a file");
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
                true => TlsMode::Valid,
                false => TlsMode::Off,
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

/// Stands before a sandbox, and can let the connections of before fall silent, as a
/// network does that a machine has left while it slept: nobody is told.
struct Road {
    port: u16,
    /// Connections with a smaller number are dead.
    alive_from: Arc<AtomicUsize>,
    made: Arc<AtomicUsize>,
}

impl Road {
    fn to(sandbox: &Sandbox) -> Self {
        let target = sandbox.url().rsplit_once(':').expect("a port").1.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it listens").port();
        let (alive_from, made) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (alive, count) = (Arc::clone(&alive_from), Arc::clone(&made));
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let far = TcpStream::connect(format!("127.0.0.1:{target}"));
                let far = far.expect("the sandbox listens");
                let ways = [(near.try_clone(), far.try_clone()), (Ok(far), Ok(near))];
                for (from, to) in ways {
                    let (mut from, mut to) = (from.expect("a copy"), to.expect("a copy"));
                    let alive = Arc::clone(&alive);
                    std::thread::spawn(move || {
                        let mut some = [0; 4096];
                        while let Ok(count @ 1..) = from.read(&mut some) {
                            let lives = number >= alive.load(Ordering::SeqCst);
                            if lives && to.write_all(&some[..count]).is_err() {
                                return;
                            }
                        }
                    });
                }
            }
        });
        Self {
            port,
            alive_from,
            made,
        }
    }

    fn fall_silent(&self) {
        let made = self.made.load(Ordering::SeqCst);
        self.alive_from.store(made, Ordering::SeqCst);
    }
}

#[test]
fn a_read_does_not_wait_on_a_dead_connection_until_its_deadline() {
    let sandbox = start(Options {
        http2: true,
        tls: TlsMode::Valid,
        ..Options::default()
    });
    let road = Road::to(&sandbox);
    let (scheme, port) = sandbox.url().rsplit_once(':').expect("a port");
    let ours = client_with(&sandbox, &json!({}));
    log_in(&sandbox, &ours).expect("the credentials are right");
    let session = ours.session_export().expect("there is one");
    let by_road = |text: &str| text.replace(&format!(":{port}"), &format!(":{}", road.port));
    let more = json!({
        "base_url": format!("{scheme}:{}", road.port), "timeouts": {"read": 600_000},
    });
    let client = client_with(&sandbox, &more);
    client
        .session_import(&by_road(session.json()))
        .expect("it is of today");
    client.limits(None).expect("an answer");
    // Asleep for less than the pool would mind, and awake in another network.
    road.fall_silent();
    let began = Instant::now();
    client
        .limits(None)
        .expect("an answer, by another connection");
    assert!(
        began.elapsed() < Duration::from_secs(300),
        "long before its deadline"
    );
    // A server that takes its time, but lives, is waited for.
    let slow = FaultKind::Slow { ms: 8000 };
    fault(&sandbox, LIMITS, slow);
    let made = road.made.load(Ordering::SeqCst);
    client.limits(None).expect("an answer, late");
    assert_eq!(
        road.made.load(Ordering::SeqCst),
        made,
        "by the same connection"
    );
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

/// A file that could not be kept is not kept by looking for a newer one.
#[test]
fn a_file_in_memory_only_is_told_as_such_also_later() {
    let sandbox = sandbox();
    let url = format!("{}/old/2026-01-05/nse_com.csv", sandbox.url());
    let list = json!({"data": {"baseFolder": "x", "filesPaths": [url]}}).to_string();
    let csv = "pSymbol,pTrdSymbol,pSymbolName\n1,GOLD,GOLD\n";
    for (path, kind, body) in [
        ("/script-details/", "application/json", &*list),
        ("/old/", "text/csv", csv),
    ] {
        fault(&sandbox, path, answer(200, kind, body));
    }
    let folder = Folder::new("in-the-way");
    let place = folder.path("scrips");
    fs::write(&place, "a file is in the way").expect("a file");
    let mut sleeper = Sleeper::start(&sandbox, &json!({ "cache_dir": place }));
    let find = json!({"exchange_segment": "nse_com", "trading_symbol": "GOLD"});
    let is_told = |found: &Value| {
        let notes = found["meta"]["notes"].to_string();
        notes.contains("kept in memory only")
    };
    let lists = |sandbox: &Sandbox| {
        let all = sandbox.requests();
        let lists = all.iter().filter(|it| it.path.contains("script-details"));
        lists.count()
    };
    let found = sleeper.works("search_scrip", &find);
    assert!(is_told(&found), "{found}");
    sleeper.sleep();
    let found = sleeper.works("search_scrip", &find);
    assert_eq!(lists(&sandbox), 2, "it was looked for");
    assert!(is_told(&found), "{found}");
    // And once it can be kept, it is.
    fs::remove_file(&place).expect("it was there");
    sleeper.sleep_until(2 * HOUR_MS);
    let found = sleeper.works("search_scrip", &find);
    assert_eq!(lists(&sandbox), 3, "it was looked for");
    assert!(!is_told(&found), "{found}");
    assert!(place.is_dir(), "it is kept");
}
