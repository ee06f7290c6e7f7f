//! Nothing of an order leaves the system's sending queue after its call.
//!
//! The network goes down while answers are awaited, and comes back when the calls have
//! ended or their process was killed. What the system still holds of the orders then would
//! arrive.
//!
//! The same from end to end: only the connection of an order is cut, so that its absence is
//! told from the book and it is sent anew. Some bytes that nobody takes back are cut off
//! with it, and show that the system does deliver late. `KNEO_QUEUE_DEFAULT_WINDOW=1` does
//! it with the deadline and the outcome window that a client has by default, which takes
//! minutes; else both are short.
//!
//! The test program runs itself once more in a network of its own for each; where that
//! cannot be had, it is skipped.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::env;
use std::ffi::{CStr, CString};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::ptr;
use std::thread;
use std::time::{Duration, Instant};

use kotak_neo::ffi::client::{kneo_client, kneo_client_free, kneo_client_open};
use kotak_neo::ffi::library::kneo_shutdown;
use kotak_neo::ffi::login::kneo_session_import;
use kotak_neo::ffi::orders::kneo_place_order;
use kotak_neo::ffi::response::{
    kneo_response, kneo_response_free, kneo_response_meta, kneo_response_status,
};
use kotak_neo::{Client, Error, Reply, Status};
use kotak_neo_sandbox::{Options, Sandbox, TlsMode};
use kotak_neo_testing::folder::Folder;
use kotak_neo_testing::needs::skip;
use kotak_neo_testing::orders::{self, with};
use serde_json::{Value, json};

/// Tells a process that it is in a network of its own.
const INSIDE: &str = "KNEO_TEST_QUEUE_INSIDE";
/// Tells a process that it is to be killed, and `forked` to have a child.
const VICTIM: &str = "KNEO_TEST_QUEUE_VICTIM";
/// Asks for the deadline and the outcome window that a client has by default.
const DEFAULT_WINDOW: &str = "KNEO_QUEUE_DEFAULT_WINDOW";
/// What a victim says when it has a connection, before the number of its child.
const READY: &str = "ready ";
/// How long anything may take that has to come.
const PATIENCE: Duration = Duration::from_secs(30);
/// An order has more bytes, the end of a connection fewer.
const LEAST: u32 = 200;
/// Where the rules for cut connections stand: before that of the system for this machine.
const FIRST_RULE: &str = "1";

/// What a network of its own is tried with.
const LINK: &str = "ip link set lo up";
/// The same, with rules for single connections.
const RULES: &str = "ip link set lo up && ip rule add pref 10 lookup local \
     && ip rule del pref 0 lookup local \
     && ip rule add pref 1 ipproto tcp sport 1 dport 1 blackhole";

#[test]
fn nothing_leaves_after_the_call() {
    inside("calls_end", LINK);
}

#[test]
fn nothing_leaves_after_the_call_though_a_child_holds_the_connection() {
    inside("calls_end_with_a_child", LINK);
}

#[test]
fn nothing_leaves_after_a_shutdown() {
    inside("shutdown_ends_calls", LINK);
}

#[test]
fn nothing_leaves_after_a_shutdown_though_a_child_holds_the_connection() {
    inside("shutdown_ends_calls_with_a_child", LINK);
}

#[test]
fn what_a_killed_process_left_is_given_up_at_its_deadline() {
    inside("processes_are_killed", LINK);
}

#[test]
fn what_was_told_to_be_absent_does_not_come_later() {
    inside("absent_is_sent_anew", RULES);
}

#[test]
fn what_a_killed_process_left_does_not_come_later() {
    inside("absent_is_sent_anew_after_a_kill", RULES);
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
fn shutdown_ends_calls() {
    if env::var_os(INSIDE).is_some() {
        shut_down(false);
    }
}

#[test]
fn shutdown_ends_calls_with_a_child() {
    if env::var_os(INSIDE).is_some() {
        shut_down(true);
    }
}

#[test]
fn processes_are_killed() {
    if env::var_os(INSIDE).is_some() {
        kill_processes();
    }
}

#[test]
fn absent_is_sent_anew() {
    if env::var_os(INSIDE).is_some() {
        send_anew();
    }
}

#[test]
fn absent_is_sent_anew_after_a_kill() {
    if env::var_os(INSIDE).is_some() {
        send_anew_after_a_kill();
    }
}

/// Ends calls in every way while the network is down.
fn end_calls(forked: bool) {
    network("up");
    for sandbox in sandboxes() {
        let session = session(&sandbox);
        let ends = ["interrupt", "cancel", "close", "timeout"];
        let clients = ends.map(|_| trader(&sandbox, &session));
        for client in &clients {
            place(client, &json!({})).expect("the network is up");
        }
        let holder = forked.then(Holder::new);
        network("down");
        for (client, end) in clients.iter().zip(ends) {
            let time = if end == "timeout" { 700 } else { 60_000 };
            let more = json!({"tag": end, "timeout_ms": time, "call_id": end});
            let ended = thread::scope(|scope| {
                let call = scope.spawn(|| place(client, &more));
                if end != "timeout" {
                    until(|| queued() == 1, "the order waits in the queue");
                }
                match end {
                    "interrupt" => client.interrupt(),
                    "cancel" => drop(client.cancel(end).expect("the client is open")),
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

/// Shuts the library down while the network is down, through the C ABI. It can be used
/// again afterwards.
fn shut_down(forked: bool) {
    network("up");
    for sandbox in sandboxes() {
        let session = session(&sandbox);
        let client = Handle::open(&sandbox, &session);
        assert_eq!(client.place(&json!({})).0, Status::Ok.code());
        let holder = forked.then(Holder::new);
        network("down");
        let more = json!({"tag": "shutdown", "timeout_ms": 60_000});
        let (status, meta) = thread::scope(|scope| {
            let call = scope.spawn(|| client.place(&more));
            until(|| queued() == 1, "the order waits in the queue");
            assert_eq!(kneo_shutdown(30_000), Status::Ok.code());
            assert_eq!(queued(), 0, "an order that can still leave");
            call.join().expect("no panic")
        });
        assert_eq!(status, Status::UnknownOutcome.code(), "{meta}");
        assert_eq!(meta["tag"], "shutdown");
        assert!(meta["notes"].is_null(), "{meta}");
        network("up");
        only_warm_orders(&sandbox, &session, 1);
        drop(holder);
    }
}

/// Kills processes that wait for an answer, with and without a child that lives on.
fn kill_processes() {
    network("up");
    for sandbox in sandboxes() {
        let session = session(&sandbox);
        let config = parsed(&sandbox.config_json());
        let mut victims = ["alone", "forked"].map(|kind| Victim::new(kind, &config, &session));
        network("down");
        for victim in &mut victims {
            victim.say("2000");
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
    let time: u64 = line().parse().expect("milliseconds");
    let ended = place(&client, &json!({"tag": "lost", "timeout_ms": time}));
    panic!("it was not killed: {ended:?}");
}

/// Over plain TCP and over TLS: an order whose connection is cut off is told to be absent
/// and sent anew. Then the connection works again, and there must be one order.
fn send_anew() {
    let sandboxes = sandboxes();
    let parties = sandboxes.each_ref().map(|sandbox| {
        let (session, config) = (session(sandbox), config(sandbox, &json!({})));
        let client = Client::open(Some(&config.to_string())).expect("it opens");
        client.session_import(&session).expect("a session of today");
        let place_one = || drop(place(&client, &json!({})).expect("the network is up"));
        let way = new_connection(sandbox, place_one);
        (sandbox, client, way)
    });
    let witness = Witness::new();
    let _holder = Holder::new();
    let cut = Instant::now();
    let witness = witness.send();
    let more = match default_window() {
        true => json!({"tag": "lost"}),
        false => json!({"tag": "lost", "timeout_ms": 700}),
    };
    thread::scope(|scope| {
        for (sandbox, client, way) in &parties {
            let more = &more;
            scope.spawn(move || {
                way.cut();
                let error = place(client, more).expect_err("no answer");
                let ended = cut.elapsed();
                assert_eq!(error.status(), Status::UnknownOutcome, "{error}");
                assert_eq!(way.queued(), 0, "an order that can still leave");
                settle_and_send_anew(sandbox, client, cut, ended);
            });
        }
    });
    assert!(witness.waits(), "nothing is delivered while it is cut off");
    for (_, _, way) in &parties {
        way.mend();
    }
    let late = witness.mend_and_wait(cut);
    println!("what nobody took back arrived after {late:.1?}");
    for (sandbox, _, way) in &parties {
        assert_eq!(way.queued(), 0, "an order that can still leave");
        only_anew(sandbox);
    }
}

/// The same by a process that is killed, and one that takes over its ledger. The system
/// gives up what the first one left long before the deadline of its call.
fn send_anew_after_a_kill() {
    let sandboxes = sandboxes();
    let folder = Folder::new("queue");
    let mut parties = sandboxes.each_ref().map(|sandbox| {
        let session = session(sandbox);
        let ledger = folder.text(&format!("ledger-{}", port(sandbox)));
        let config = config(sandbox, &json!({ "ledger_file": ledger }));
        let mut victim = None;
        let way = new_connection(sandbox, || {
            victim = Some(Victim::new("alone", &config, &session));
        });
        let victim = victim.expect("it was started");
        (sandbox, session, config, victim, way)
    });
    let witness = Witness::new();
    let _holder = Holder::new();
    let cut = Instant::now();
    let witness = witness.send();
    for (_, _, _, victim, way) in &mut parties {
        way.cut();
        victim.say("3600000");
        until(|| way.queued() > 0, "the order waits in the queue");
        victim.child.kill().expect("it lives");
        victim.child.wait().expect("it has ended");
    }
    thread::scope(|scope| {
        for (sandbox, session, config, _, way) in &parties {
            scope.spawn(move || {
                assert!(way.queued() > 0, "nobody takes it back");
                let client = Client::open(Some(&config.to_string())).expect("the ledger is free");
                client.session_import(session).expect("a session of today");
                settle_and_send_anew(sandbox, &client, cut, Duration::from_secs(12));
                assert_eq!(way.queued(), 0, "an order that can still leave");
            });
        }
    });
    assert!(witness.waits(), "nothing is delivered while it is cut off");
    for (_, _, _, _, way) in &parties {
        way.mend();
    }
    let late = witness.mend_and_wait(cut);
    println!("what nobody took back arrived after {late:.1?}");
    for (sandbox, _, _, _, way) in &parties {
        assert_eq!(way.queued(), 0, "an order that can still leave");
        only_anew(sandbox);
    }
}

/// Asks what became of the lost order until that is known, then sends it anew.
fn settle_and_send_anew(sandbox: &Sandbox, client: &Client, cut: Instant, ended: Duration) {
    // Something may be on its way for three seconds more.
    let least = ended + Duration::from_secs(3) + window();
    let found = loop {
        let answer = client.order_outcome(r#"{"tag":"lost","timeout_ms":30000}"#);
        let found = parsed(answer.expect("the book can be read").json());
        if found["outcome"] != "unknown" {
            break found;
        }
        assert!(cut.elapsed() < least + 4 * PATIENCE, "{found}");
    };
    let told = cut.elapsed();
    assert_eq!(found["outcome"], "absent", "{found}");
    assert!(told >= least, "absent after {told:?}, and not {least:?}");
    place(client, &json!({"tag": "anew"})).expect("another connection works");
    println!(
        "{}: nothing left to send after {ended:.1?}, absent told after {told:.1?}",
        sandbox.url()
    );
}

/// The order that was sent anew is there, and the lost one is not.
fn only_anew(sandbox: &Sandbox) {
    let orders = sandbox.orders();
    let of = |tag: &str| orders.iter().filter(|order| order.tag == tag).count();
    assert_eq!((of("lost"), of("anew")), (0, 1), "{orders:#?}");
    assert_eq!(
        sandbox.orders_taken(),
        2,
        "a first one, and the one sent anew"
    );
}

fn default_window() -> bool {
    env::var_os(DEFAULT_WINDOW).is_some_and(|value| value == "1")
}

fn window() -> Duration {
    Duration::from_secs(if default_window() { 120 } else { 1 })
}

fn config(sandbox: &Sandbox, more: &Value) -> Value {
    let config = with(parsed(&sandbox.config_json()), more.clone());
    match default_window() {
        true => config,
        false => with(config, json!({"outcome_window_ms": 1000})),
    }
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
    let waits = |(_, queue): &(Way, u32)| *queue > LEAST;
    connections().into_iter().filter(waits).count()
}

/// All connections of this network, and how many bytes wait to be sent or acknowledged.
fn connections() -> Vec<(Way, u32)> {
    let table = fs::read_to_string("/proc/self/net/tcp").expect("a table of connections");
    let number = |text: &str| u32::from_str_radix(text, 16).expect("a number");
    let port = |address: &str| {
        let (_, port) = address.split_once(':').expect("an address and a port");
        u16::from_str_radix(port, 16).expect("a port")
    };
    let row = |line: &str| {
        let columns: Vec<_> = line.split_whitespace().collect();
        let (sending, _) = columns[4].split_once(':').expect("two numbers");
        let (from, to) = (port(columns[1]), port(columns[2]));
        (Way { from, to }, number(sending))
    };
    table.lines().skip(1).map(row).collect()
}

/// A connection, from its caller to its listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Way {
    from: u16,
    to: u16,
}

impl Way {
    fn queued(self) -> u32 {
        let all = connections().into_iter();
        let mine = all.filter(|(way, _)| *way == self);
        mine.map(|(_, queue)| queue).sum()
    }

    /// From now on nothing goes this way, and nothing comes back. Everything else does.
    fn cut(self) {
        self.rule("add");
    }

    fn mend(self) {
        self.rule("del");
    }

    fn rule(self, what: &str) {
        // Both ways: the other side may have something to send again, and each segment
        // that comes begins the time anew for which a refused one is tried.
        for (from, to) in [(self.from, self.to), (self.to, self.from)] {
            let (from, to) = (from.to_string(), to.to_string());
            run(Command::new("ip")
                .args(["rule", what, "pref", FIRST_RULE, "ipproto", "tcp"])
                .args(["sport", &from, "dport", &to, "blackhole"]));
        }
    }
}

/// The one connection to a sandbox that `work` makes and keeps.
fn new_connection(sandbox: &Sandbox, work: impl FnOnce()) -> Way {
    let port = port(sandbox);
    let all = || {
        let ways = connections().into_iter().map(|(way, _)| way);
        ways.filter(|way| way.to == port).collect::<BTreeSet<_>>()
    };
    let before = all();
    work();
    let new: Vec<_> = all().difference(&before).copied().collect();
    let [way] = new[..] else {
        panic!("one new connection: {new:?}")
    };
    way
}

fn port(sandbox: &Sandbox) -> u16 {
    let (_, port) = sandbox.url().rsplit_once(':').expect("a port");
    port.parse().expect("a number")
}

/// A connection like that of an order, of a program that takes nothing back.
struct Witness {
    from: TcpStream,
    to: TcpStream,
}

/// Its bytes are handed to the system, and cut off.
struct Waiting {
    way: Way,
    to: TcpStream,
}

impl Witness {
    const BYTES: [u8; 1000] = [7; 1000];

    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let to = listener.local_addr().expect("it is bound");
        let from = TcpStream::connect(to).expect("it listens");
        let (to, _) = listener.accept().expect("it connected");
        Self { from, to }
    }

    /// Sends what cannot arrive, and closes the connection as a call that ends would.
    fn send(mut self) -> Waiting {
        let port = |address: std::io::Result<std::net::SocketAddr>| address.expect("open").port();
        let (from, to) = (port(self.from.local_addr()), port(self.from.peer_addr()));
        let way = Way { from, to };
        way.cut();
        self.from.write_all(&Self::BYTES).expect("there is room");
        Waiting { way, to: self.to }
    }
}

impl Waiting {
    fn waits(&self) -> bool {
        self.to.set_nonblocking(true).expect("it is open");
        let read = self.to.peek(&mut [0]);
        self.to.set_nonblocking(false).expect("it is open");
        read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }

    /// When the system has delivered it after all.
    fn mend_and_wait(mut self, cut: Instant) -> Duration {
        self.way.mend();
        let patience = Some(Duration::from_secs(300));
        self.to.set_read_timeout(patience).expect("it is open");
        let mut bytes = [0; Witness::BYTES.len()];
        self.to.read_exact(&mut bytes).expect("it is delivered");
        assert_eq!(bytes, Witness::BYTES);
        cut.elapsed()
    }
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
    run(Command::new("ip").args(["link", "set", "lo", state]));
}

fn run(command: &mut Command) {
    let status = command.status().expect("it runs");
    assert!(status.success(), "{command:?} ended with {status}");
}

/// Runs a test of this program in a network of its own, which `setup` makes ready.
fn inside(test: &str, setup: &str) {
    let path = env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let apart = |more: &[&str]| {
        let mut unshare = Command::new("unshare");
        unshare.arg("--net").args(more).arg("--").env("PATH", &path);
        unshare
    };
    let works = |more: &&[&str]| {
        let tried = apart(more).args(["sh", "-c", setup]).output();
        tried.is_ok_and(|tried| tried.status.success())
    };
    let ways: [&[&str]; 2] = [&[], &["--map-root-user"]];
    let Some(way) = ways.into_iter().find(works) else {
        skip(
            test,
            "no network of its own can be had (unshare, ip, ip rule)",
        );
        return;
    };
    let ended = apart(way)
        .args(["sh", "-c", &format!("{setup} && exec \"$@\""), "sh"])
        .arg(env::current_exe().expect("a test is a file"))
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare runs");
    let said = String::from_utf8_lossy(&ended.stdout);
    let complained = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}{complained}");
    assert!(said.contains("1 passed"), "{said}");
    println!("{said}");
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
                libc::alarm(600);
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

/// A client of the C ABI.
struct Handle(*mut kneo_client);

// SAFETY: any thread may use a handle at any time.
unsafe impl Sync for Handle {}

impl Handle {
    fn open(sandbox: &Sandbox, session: &str) -> Self {
        let mut client = ptr::null_mut();
        let (config, session) = (c_text(&sandbox.config_json()), c_text(session));
        // SAFETY: the texts live through the calls, and `client` can be written to.
        let opened = ended(unsafe { kneo_client_open(config.as_ptr(), &raw mut client) });
        assert_eq!(opened.0, Status::Ok.code(), "{}", opened.1);
        // SAFETY: as above.
        let imported = ended(unsafe { kneo_session_import(client, session.as_ptr()) });
        assert_eq!(imported.0, Status::Ok.code(), "{}", imported.1);
        Self(client)
    }

    fn place(&self, more: &Value) -> (i32, Value) {
        let params = c_text(&with(orders::order(), more.clone()).to_string());
        // SAFETY: the text lives through the call.
        ended(unsafe { kneo_place_order(self.0, params.as_ptr()) })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        kneo_client_free(self.0);
    }
}

fn c_text(text: &str) -> CString {
    CString::new(text).expect("no NUL")
}

/// Status and meta of a response, which is freed.
fn ended(response: *mut kneo_response) -> (i32, Value) {
    let status = kneo_response_status(response);
    // SAFETY: the text lives until the response is freed.
    let meta = unsafe { CStr::from_ptr(kneo_response_meta(response)) };
    let meta = parsed(meta.to_str().expect("UTF-8"));
    kneo_response_free(response);
    (status, meta)
}

/// A process that places an order and waits for the answer.
struct Victim {
    child: Child,
    /// Its child, which outlives it.
    _holder: Option<Holder>,
}

impl Victim {
    fn new(kind: &str, config: &Value, session: &str) -> Self {
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
        victim.say(&config.to_string());
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
