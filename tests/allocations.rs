//! What a price costs in allocations, from the socket to the struct: none.
//!
//! Alone in its process, so that whatever is allocated while prices flow is
//! of the feed: of its reader, counted on the thread of the test, or of its
//! supervisor, on the only other thread that is at work. The server writes
//! bytes that were made before.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Write;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kotak_neo::{Client, Feed};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Message, accept};

/// Long enough for the slowest machine.
const LATE: Duration = Duration::from_secs(60);
const FRAMES: u32 = 2000;
/// Far fewer than there are frames, let alone packets.
const MOST: u64 = 20;
/// In each frame: touch lines, depths of five rows, and mini touch lines.
const PACKETS: u32 = 60;

/// Counts allocations by who makes them.
struct Counting;

thread_local! {
    static MINE: Cell<u64> = const { Cell::new(0) };
    static IS_SERVER: Cell<bool> = const { Cell::new(false) };
}
static ALL: AtomicU64 = AtomicU64::new(0);

fn count() {
    // A thread that is ending has no count any more.
    let _gone = MINE.try_with(|count| count.set(count.get() + 1));
    if !IS_SERVER.try_with(Cell::get).unwrap_or(false) {
        ALL.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: all is done by the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: passed on.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of this thread, and of all others but the server.
fn counts() -> (u64, u64) {
    let mine = MINE.get();
    (mine, ALL.load(Ordering::Relaxed) - mine)
}

fn packet(level: u8, size: u16, token: u32, price: u32) -> Vec<u8> {
    let mut bytes = vec![0; size.into()];
    bytes[..2].copy_from_slice(&size.to_le_bytes());
    bytes[2..4].copy_from_slice(&7208_u16.to_le_bytes());
    bytes[4] = 1;
    bytes[5] = level;
    bytes[9..13].copy_from_slice(&token.to_le_bytes());
    let at = if level == 1 { 21 } else { 69 };
    bytes[at..at + 4].copy_from_slice(&price.to_le_bytes());
    if level == 8 {
        bytes[89] = 5;
        bytes[93] = 5;
    }
    bytes
}

/// One binary frame as it goes over the line.
fn frame(price: u32) -> Vec<u8> {
    let kinds = [(1, 54), (4, 176), (8, 304)];
    let packets: Vec<u8> = (0..PACKETS)
        .flat_map(|at| {
            let (level, size) = kinds[at as usize % 3];
            packet(level, size, at, price)
        })
        .collect();
    let mut bytes = vec![0x82, 126];
    let length = u16::try_from(packets.len()).expect("it is short");
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&packets);
    bytes
}

/// Logs one client in, sends a first frame, and the others for each go-ahead.
fn serve(listener: TcpListener, go: Receiver<()>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        IS_SERVER.set(true);
        let (stream, _) = listener.accept().expect("the feed connects");
        let mut socket = accept(stream).expect("it speaks WebSocket");
        while !socket.read().expect("it logs in").is_text() {}
        let welcome = r#"{"message_code":1117,"exchanges":{"nse_cm":{"divider":100}}}"#;
        socket.send(Message::text(welcome)).expect("it is there");
        let frames: Vec<Vec<u8>> = (0..FRAMES).map(frame).collect();
        let line = socket.get_mut();
        line.write_all(&frames[0]).expect("it is there");
        while go.recv().is_ok() {
            for frame in &frames[1..] {
                line.write_all(frame).expect("it is there");
            }
        }
    })
}

fn status(feed: &Feed, key: &str) -> u64 {
    let status = feed.status().expect("it is open");
    let status: Value = serde_json::from_str(status.json()).expect("it is JSON");
    status[key].as_u64().expect("a count")
}

fn until_packets(feed: &Feed, number: u64) {
    let start = Instant::now();
    while status(feed, "packets") < number {
        assert!(start.elapsed() < LATE, "{}", status(feed, "packets"));
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Reads all that waits; how many records came and how many were replaced.
fn read(feed: &Feed, wait: Duration) -> (u64, u64) {
    let (mut came, mut replaced) = (0, 0);
    let read = feed.read(256, wait, |tick| {
        came += 1;
        replaced += tick.replaced;
    });
    assert!(read.is_ok());
    (came, replaced)
}

#[test]
fn a_price_costs_no_allocation_from_the_socket_to_the_struct() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let (go, gone) = channel();
    let server = serve(listener, gone);
    let config = json!({"base_url": format!("http://{address}")}).to_string();
    let client = Client::open(Some(&config)).expect("it is valid");
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let session = json!({
        "format": "kotak_neo.session", "version": 1, "environment": "prod", "generation": 3,
        "logged_in_at": now.expect("after 1970").as_secs(), "ucc": "FAKE1",
        "base_url": format!("http://{address}"), "feed_url": format!("ws://{address}/apifeed"),
        "token": "fake-token", "sid": "fake-sid",
    });
    client
        .session_import(&session.to_string())
        .expect("it is of today");
    // No ping, which would have to be written, while it is counted.
    let options = r#"{"ping_interval_ms":3600000,"stale_after_ms":3600000}"#;
    let feed = client.feed(Some(options)).expect("there is a session");
    let first = u64::from(PACKETS);
    until_packets(&feed, first);
    while read(&feed, Duration::ZERO).0 > 0 {}

    // A reader that keeps up, more or less.
    let rest = u64::from(FRAMES - 1) * u64::from(PACKETS);
    let before = counts();
    go.send(()).expect("the server waits");
    let sent = counts();
    let start = Instant::now();
    let mut seen = 0;
    while seen < rest && start.elapsed() < LATE {
        let (came, replaced) = read(&feed, Duration::from_secs(5));
        seen += came + replaced;
    }
    let (mine, others) = counts();
    assert_eq!(seen, rest);
    assert_eq!(mine - sent.0, 0, "the reader");
    let others = others - before.1;
    println!("keeping up: {others} allocations for {FRAMES} frames, {rest} packets");
    // The layer below may now and then make one for its buffer.
    assert!(others <= MOST, "{others}");

    // Nobody reads, and the feed falls behind.
    let before = counts();
    let packets = first + rest;
    go.send(()).expect("the server waits");
    until_packets(&feed, packets + rest);
    let others = counts().1 - before.1;
    println!("behind: {others} allocations for {FRAMES} frames, {rest} packets");
    assert!(others <= MOST, "{others}");
    let sent = counts();
    let (came, replaced) = read(&feed, Duration::ZERO);
    assert_eq!(counts().0 - sent.0, 0, "the reader");
    assert_eq!((came, came + replaced), (first, rest));
    drop(go);
    server.join().expect("the server did not panic");
}
