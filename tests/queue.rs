//! Nothing of an order leaves the system's sending queue after its call.
//!
//! The network goes down while answers are awaited, and comes back when the calls have
//! ended or their process was killed. What the system still holds of the orders then would
//! arrive. The test program runs itself once more in a network of its own for it; where
//! that cannot be had, it is skipped.
#![cfg(target_os = "linux")]

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use kotak_neo::{Client, Error, Reply, Status};
use kotak_neo_sandbox::{Options, Sandbox, TlsMode};
use kotak_neo_testing::needs::skip;
use kotak_neo_testing::orders::{self, with};
use serde_json::{Value, json};

/// Tells a process that it is in a network of its own.
const INSIDE: &str = "KNEO_TEST_QUEUE_INSIDE";
/// Tells a process that it is to be killed, and `forked` to have a child.
const VICTIM: &str = "KNEO_TEST_QUEUE_VICTIM";
/// What it says when it has a connection, before the number of its child.
const READY: &str = "ready ";
/// How long anything may take that has to come.
const PATIENCE: Duration = Duration::from_secs(30);
/// An order has more bytes, the end of a connection fewer.
const LEAST: u32 = 200;

#[test]
fn nothing_leaves_after_the_call() {
    inside("calls_end");
}

#[test]
fn nothing_leaves_after_the_call_though_a_child_holds_the_connection() {
    inside("calls_end_with_a_child");
}

#[test]
fn what_a_killed_process_left_is_given_up_at_its_deadline() {
    inside("processes_are_killed");
}

#[test]
fn calls_end() {
    if env::var_os(INSIDE).is_some() {
        end_calls(false);
    }
}

#[test]
fn calls_end_with_a_child() {
    if env::var_os(INSIDE).is_some() {
        end_calls(true);
    }
}

#[test]
fn processes_are_killed() {
    if env::var_os(INSIDE).is_some() {
        kill_processes();
    }
}

/// Ends calls in every way while the network is down.
fn end_calls(forked: bool) {
    network("up");
    for sandbox in sandboxes() {
        let session = session(&sandbox);
        let ends = ["interrupt", "close", "timeout"];
        let clients = ends.map(|_| trader(&sandbox, &session));
        for client in &clients {
            place(client, &json!({})).expect("the network is up");
        }
        let holder = forked.then(Holder::new);
        network("down");
        for (client, end) in clients.iter().zip(ends) {
            let time = if end == "timeout" { 700 } else { 60_000 };
            let more = json!({"tag": end, "timeout_ms": time});
            let ended = thread::scope(|scope| {
                let call = scope.spawn(|| place(client, &more));
                if end != "timeout" {
                    until(|| queued() == 1, "the order waits in the queue");
                }
                match end {
                    "interrupt" => client.interrupt(),
                    "close" => client.close(),
                    _ => {}
                }
                call.join().expect("no panic")
            });
            let left = queued();
            let error = ended.expect_err("no answer");
            assert_eq!(error.status(), Status::UnknownOutcome, "{end}: {error}");
            assert_eq!(left, 0, "{end}: an order that can still leave");
            let meta = parsed(&error.meta());
            assert_eq!(meta["tag"], end);
            assert!(meta["notes"].is_null(), "{end}: {meta}");
        }
        network("up");
        only_warm_orders(&sandbox, &session, ends.len());
        drop(holder);
    }
}

/// Kills processes that wait for an answer, with and without a child that lives on.
fn kill_processes() {
    network("up");
    for sandbox in sandboxes() {
        let session = session(&sandbox);
        let mut victims = ["alone", "forked"].map(|kind| Victim::new(kind, &sandbox, &session));
        network("down");
        for victim in &mut victims {
            victim.say("go");
        }
        until(|| queued() == victims.len(), "the orders wait in the queue");
        for victim in &mut victims {
            victim.child.kill().expect("it lives");
            victim.child.wait().expect("it has ended");
        }
        assert_eq!(queued(), victims.len(), "nobody takes them back");
        until(|| queued() == 0, "the system gives up");
        network("up");
        only_warm_orders(&sandbox, &session, victims.len());
    }
}

/// What the process that is killed does.
#[test]
fn victim() {
    let Some(kind) = env::var_os(VICTIM) else {
        return;
    };
    let mut lines = std::io::stdin().lines();
    let mut line = || lines.next().expect("a line").expect("a text");
    let client = Client::open(Some(&line())).expect("a good configuration");
    client.session_import(&line()).expect("a session of today");
    place(&client, &json!({})).expect("the network is up");
    let holder = (kind == "forked").then(Holder::new);
    let pid = holder.as_ref().map_or(0, |holder| holder.0);
    let mut out = std::io::stdout();
    writeln!(out, "{READY}{pid}").expect("the parent listens");
    line();
    let ended = place(&client, &json!({"tag": "killed", "timeout_ms": 2000}));
    panic!("it was not killed: {ended:?}");
}

/// The network works again, and no order came late.
fn only_warm_orders(sandbox: &Sandbox, session: &str, warm: usize) {
    let client = trader(sandbox, session);
    place(&client, &json!({})).expect("the network is up again");
    assert_eq!(queued(), 0);
    let taken = sandbox.orders_taken();
    assert_eq!(taken, warm as u64 + 1, "orders that came late");
}

/// One without and one with TLS.
fn sandboxes() -> [Sandbox; 2] {
    [TlsMode::Off, TlsMode::Valid].map(|tls| {
        let options = Options {
            tls,
            orders_per_second: 0,
            ..Options::default()
        };
        Sandbox::start(options).expect("it starts")
    })
}

fn session(sandbox: &Sandbox) -> String {
    let client = Client::open(Some(&sandbox.config_json())).expect("it opens");
    let user = sandbox.credentials();
    client
        .totp_login(&user.mobile_number, &user.ucc, &sandbox.totp_now())
        .expect("the first step works");
    client
        .totp_validate(&user.mpin)
        .expect("the second step works");
    let session = client.session_export().expect("there is a session");
    session.json().to_owned()
}

fn trader(sandbox: &Sandbox, session: &str) -> Client {
    let client = Client::open(Some(&sandbox.config_json())).expect("it opens");
    client.session_import(session).expect("a session of today");
    client
}

fn place(client: &Client, more: &Value) -> Result<Reply, Error> {
    client.place_order(&with(orders::order(), more.clone()).to_string())
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// How many connections have bytes of an order in their queue.
fn queued() -> usize {
    let table = fs::read_to_string("/proc/self/net/tcp").expect("a table of connections");
    let queue = |line: &str| {
        let queues = line.split_whitespace().nth(4).expect("a column");
        let sending = queues.split(':').next().expect("two numbers");
        u32::from_str_radix(sending, 16).expect("a number")
    };
    table
        .lines()
        .skip(1)
        .filter(|line| queue(line) > LEAST)
        .count()
}

fn until(mut done: impl FnMut() -> bool, what: &str) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "still not so: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Loopback, up or down.
fn network(state: &str) {
    let status = ip(state).status().expect("ip runs");
    assert!(status.success(), "ip ended with {status}");
}

fn ip(state: &str) -> Command {
    let mut ip = Command::new("ip");
    ip.args(["link", "set", "lo", state]);
    ip
}

/// Runs a test of this program in a network of its own.
fn inside(test: &str) {
    let path = env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let apart = |more: &[&str]| {
        let mut unshare = Command::new("unshare");
        unshare.arg("--net").args(more).arg("--").env("PATH", &path);
        unshare
    };
    let works = |more: &&[&str]| {
        let tried = apart(more).args(["ip", "link", "set", "lo", "up"]).output();
        tried.is_ok_and(|tried| tried.status.success())
    };
    let ways: [&[&str]; 2] = [&[], &["--map-root-user"]];
    let Some(way) = ways.into_iter().find(works) else {
        skip(test, "no network of its own can be had (unshare, ip)");
        return;
    };
    let ended = apart(way)
        .arg(env::current_exe().expect("a test is a file"))
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare runs");
    let said = String::from_utf8_lossy(&ended.stdout);
    let complained = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}{complained}");
    assert!(said.contains("1 passed"), "{said}");
}

/// A child made by `fork`, which holds every descriptor of this process.
struct Holder(libc::pid_t);

impl Holder {
    fn new() -> Self {
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
        assert!(pid > 0, "it forks");
        Self(pid)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // SAFETY: a child of this process, or of one that was killed, and not waited for.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, std::ptr::null_mut(), 0);
        }
    }
}

/// A process that places an order and waits for the answer.
struct Victim {
    child: Child,
    /// Its child, which outlives it.
    _holder: Option<Holder>,
}

impl Victim {
    fn new(kind: &str, sandbox: &Sandbox, session: &str) -> Self {
        let child = Command::new(env::current_exe().expect("a test is a file"))
            .args(["--exact", "victim", "--nocapture", "--test-threads=1"])
            .env(VICTIM, kind)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut victim = Self {
            child,
            _holder: None,
        };
        victim.say(&sandbox.config_json());
        victim.say(session);
        let output = victim.child.stdout.take().expect("piped");
        let mut output = BufReader::new(output);
        let mut line = String::new();
        // The test runner talks first, and on the same line.
        let pid = loop {
            line.clear();
            assert!(output.read_line(&mut line).expect("the pipe works") > 0);
            if let Some((_, pid)) = line.split_once(READY) {
                break pid.trim().parse().expect("a number");
            }
        };
        victim._holder = (pid > 0).then(|| Holder(pid));
        victim
    }

    fn say(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().expect("piped");
        writeln!(input, "{line}").expect("it listens");
    }
}
