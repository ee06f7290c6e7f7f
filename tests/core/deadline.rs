//! A call ends in time, whatever a server sends without end.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kotak_neo::{Client, Error, Reply, Status};
use kotak_neo_sandbox::{Options, Sandbox, TlsMode};
use kotak_neo_testing::requests::read_request;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::orders::{order, place, with};
use crate::support::{start, status, told};

/// The deadline of the calls.
pub const LIMIT: Duration = Duration::from_millis(300);
/// So much later they may end here: the machine may be busy with other things. What is
/// promised is a tenth of a second.
const NOISE: Duration = Duration::from_secs(6);
/// What is written at once.
const AT_ONCE: usize = 64 * 1024;

/// What a server sends without end, once it was asked.
#[derive(Clone)]
pub struct Flood {
    pub name: &'static str,
    pub first: Vec<u8>,
    pub again: Vec<u8>,
    /// One byte after the other, each in a packet of its own.
    pub drips: bool,
}

impl Flood {
    fn new(name: &'static str, first: &str, again: &str) -> Self {
        Self {
            name,
            first: first.as_bytes().to_vec(),
            again: again.as_bytes().to_vec(),
            drips: false,
        }
    }
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

pub fn floods() -> Vec<Flood> {
    let mut all = vec![
        Flood::new("continue", "", "HTTP/1.1 100 Continue\r\n\r\n"),
        Flood::new(
            "early hints",
            "",
            "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n",
        ),
        Flood::new("blank lines", "", "\r\n"),
        Flood::new("headers", "HTTP/1.1 200 OK\r\n", "a: b\r\n"),
        Flood::new("one header", "HTTP/1.1 200 OK\r\na: ", "b"),
        Flood::new("chunks of one byte", CHUNKED, "1\r\n \r\n"),
        Flood::new("chunk extensions", CHUNKED, "1;a=b\r\n \r\n"),
        Flood::new("the length of a chunk", CHUNKED, "0"),
        Flood::new("blanks behind a length", &format!("{CHUNKED}1"), " "),
        Flood::new("trailers", &format!("{CHUNKED}0\r\n"), "a: b\r\n"),
    ];
    // Stored blocks with nothing in them, in one chunk.
    let mut packed = Flood::new(
        "blocks of gzip without content",
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 1000000000000\r\n\r\n",
        "",
    );
    packed.first.extend([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
    packed.again = vec![0, 0, 0, 0xff, 0xff];
    all.push(packed);
    // A layer that makes many of them of few bytes, and one that makes nothing of them.
    let mut layers = Flood::new(
        "layers of deflate that give nothing",
        "HTTP/1.1 200 OK\r\ncontent-encoding: deflate, deflate\r\n\
         content-length: 1000000000000\r\n\r\n",
        "",
    );
    layers.again = crate::codings::blocks_without_content();
    all.push(layers);
    let mut drops = Flood::new(
        "one byte a millisecond",
        "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n",
        " ",
    );
    drops.drips = true;
    all.push(drops);
    let mut drops = Flood::new(
        "interim answers, byte by byte",
        "",
        "HTTP/1.1 102 P\r\n\r\n",
    );
    drops.drips = true;
    all.push(drops);
    all
}

/// Bytes both ways, with TLS or without.
pub trait Both: Read + Write {}

impl<T: Read + Write> Both for T {}

/// Counts what is written, before TLS.
struct Counted<'a, S>(S, &'a AtomicUsize);

impl<S: Read> Read for Counted<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<S: Write> Write for Counted<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.0.write(bytes)?;
        self.1.fetch_add(count, Ordering::AcqRel);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A server that never stops.
pub struct Server {
    pub port: u16,
    /// What it has written.
    poured: Arc<AtomicUsize>,
    /// The connections that it serves now.
    pub live: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        // Wakes it, if it waits for a connection.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        let ended = self.thread.take().map(JoinHandle::join);
        let well = matches!(ended, Some(Ok(())));
        // A test that fails already says why.
        assert!(well || thread::panicking(), "the server panicked");
    }
}

pub fn serve(flood: Flood, tls: Option<Arc<ServerConfig>>) -> Server {
    serve_with(tls, move |stream, over, url| {
        pour(stream, &flood, over, url);
    })
}

/// Serves each connection with `each`, which is told where it is and ends when it is over.
pub fn serve_with(
    tls: Option<Arc<ServerConfig>>,
    each: impl Fn(&mut dyn Both, &AtomicBool, &str) + Send + Sync + 'static,
) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let port = listener.local_addr().expect("it is bound").port();
    let over = Arc::new(AtomicBool::new(false));
    let live = Arc::new(AtomicUsize::new(0));
    let (told, count) = (Arc::clone(&over), Arc::clone(&live));
    let poured = Arc::new(AtomicUsize::new(0));
    let so_far = Arc::clone(&poured);
    let thread = thread::spawn(move || {
        let one = |stream: TcpStream| {
            // So that it sees the end.
            let look = Some(Duration::from_millis(10));
            stream.set_read_timeout(look).expect("it is not zero");
            stream.set_write_timeout(look).expect("it is not zero");
            stream.set_nodelay(true).expect("it is open");
            match tls.clone() {
                None => each(
                    &mut Counted(&stream, &so_far),
                    &told,
                    &format!("http://127.0.0.1:{port}"),
                ),
                Some(config) => {
                    let server = ServerConnection::new(config).expect("a valid configuration");
                    let url = format!("https://localhost:{port}");
                    let stream = StreamOwned::new(server, &stream);
                    each(&mut Counted(stream, &so_far), &told, &url);
                }
            }
            count.fetch_sub(1, Ordering::AcqRel);
        };
        thread::scope(|scope| {
            for stream in listener.incoming() {
                if told.load(Ordering::Acquire) {
                    return;
                }
                let stream = stream.expect("a client connects");
                count.fetch_add(1, Ordering::AcqRel);
                scope.spawn(|| one(stream));
            }
        });
    });
    Server {
        port,
        poured,
        live,
        over,
        thread: Some(thread),
    }
}

/// A stream whose reads and writes go on until the server is told to end.
pub struct Patient<'a, S>(pub S, pub &'a AtomicBool);

impl<S> Patient<'_, S> {
    fn until<T>(&mut self, mut work: impl FnMut(&mut S) -> io::Result<T>) -> io::Result<T> {
        loop {
            match work(&mut self.0) {
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) && !self.1.load(Ordering::Acquire) => {}
                done => return done,
            }
        }
    }
}

impl<S: Read> Read for Patient<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.until(|stream| stream.read(buffer))
    }
}

impl<S: Write> Write for Patient<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.until(|stream| stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.until(Write::flush)
    }
}

pub fn pour(stream: impl Read + Write, flood: &Flood, over: &AtomicBool, url: &str) {
    let mut stream = Patient(stream, over);
    loop {
        let Some(request) = read_request(&mut stream) else {
            return;
        };
        if !request.contains("/file-paths") {
            break;
        }
        // The list of scrip files is true: what it names never ends.
        let file = format!("{url}/wso2-scripmaster/v1/prod/2026-01-01/transformed/nse_cm.csv");
        let list = json!({"data": {"baseFolder": url, "filesPaths": [file]}}).to_string();
        let length = list.len();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{list}");
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
    // Each write ends with the client's patience: that is no fault of the server.
    let mut written = stream.write_all(&flood.first);
    if flood.drips {
        for byte in flood.again.iter().cycle() {
            thread::sleep(Duration::from_millis(1));
            written = written
                .and_then(|()| stream.write_all(&[*byte]))
                .and_then(|()| stream.flush());
            if written.is_err() || over.load(Ordering::Acquire) {
                return;
            }
        }
    }
    let many = flood.again.repeat(AT_ONCE / flood.again.len());
    while written.is_ok() && !over.load(Ordering::Acquire) {
        written = stream.write_all(&many);
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    Order,
    Read,
    Login,
    Download,
}

/// How the call ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum How {
    Deadline,
    Interrupt,
    Cancel,
    Free,
}

pub fn client_of(port: u16, ca_file: Option<&std::path::Path>) -> Client {
    let base = match ca_file {
        Some(_) => format!("https://localhost:{port}/"),
        None => format!("http://127.0.0.1:{port}/"),
    };
    let config = json!({
        "base_url": base, "consumer_key": "fake-key-0000", "ca_file": ca_file,
        "max_orders_per_second": 1_000_000, "timeouts": {"login": 300, "connect": 60_000},
    });
    let client = Client::open(Some(&config.to_string())).expect("it opens");
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let session = json!({
        "format": "kotak_neo.session", "version": 1, "environment": "prod", "generation": 3,
        "logged_in_at": now.expect("after 1970").as_secs(), "ucc": "TEST1", "base_url": base,
        "token": "fake-token-0000", "sid": "fake-sid-0000",
    });
    client
        .session_import(&session.to_string())
        .expect("it is of today");
    client
}

fn ask(client: &Client, what: What, common: &Value) -> Result<Reply, Error> {
    match what {
        What::Order => place(client, &with(order(), common.clone())),
        What::Read => client.limits(Some(&common.to_string())),
        What::Login => client.totp_login("9999999999", "TEST1", "123456"),
        What::Download => client.search_scrip(
            &with(
                json!({"exchange_segment": "nse_cm", "symbol": "IDEA"}),
                common.clone(),
            )
            .to_string(),
        ),
    }
}

/// Makes one call, and gives how much later than it should it ended.
pub fn late(
    client: &Client,
    server: &Server,
    what: What,
    how: How,
) -> (Duration, Result<Reply, Error>) {
    let limit = match how {
        How::Deadline => LIMIT,
        _ => Duration::from_secs(30),
    };
    let common = json!({"timeout_ms": limit.as_millis() as u64, "call_id": "it"});
    thread::scope(|scope| {
        let begun = Instant::now();
        let common = &common;
        let call = scope.spawn(move || {
            let result = ask(client, what, common);
            (begun.elapsed(), result)
        });
        if how != How::Deadline {
            // What is stopped is a flood, and not a connection that is being made.
            while server.poured.load(Ordering::Acquire) == 0 && !call.is_finished() {
                thread::sleep(Duration::from_millis(1));
            }
            thread::sleep(LIMIT);
        }
        let stopped = begun.elapsed();
        match how {
            How::Deadline => {}
            How::Interrupt => client.interrupt(),
            How::Cancel => drop(client.cancel("it").expect("the client is open")),
            How::Free => client.close(),
        }
        let (ended, result) = call.join().expect("no panic");
        let due = match how {
            How::Deadline => limit,
            _ => stopped,
        };
        (ended.saturating_sub(due), result)
    })
}

/// One at a time: what is measured is a call, and not how many floods the machine bears.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn check(flood: &Flood, what: What, how: How, sandbox: Option<&Sandbox>) {
    // A deadline that is over before the flood begins shows nothing.
    let shown = (0..20).any(|_| once(flood, what, how, sandbox));
    assert!(shown, "{} {what:?} {how:?}: no flood came", flood.name);
}

fn once(flood: &Flood, what: What, how: How, sandbox: Option<&Sandbox>) -> bool {
    let _alone = alone();
    let tls = sandbox.map(|sandbox| sandbox.server_config().expect("it speaks TLS"));
    let server = serve(flood.clone(), tls);
    let client = client_of(server.port, sandbox.and_then(Sandbox::ca_file));
    let (late, result) = late(&client, &server, what, how);
    let tls = if sandbox.is_some() { "TLS" } else { "plain" };
    let case = format!("{} {what:?} {how:?} {tls}", flood.name);
    println!(
        "{:>6} ms late: {case} {:?}",
        late.as_millis(),
        status(&result)
    );
    assert!(late < NOISE, "{late:?} late: {case}: {result:?}");
    let status = status(&result);
    let error = result.expect_err("nothing is an answer");
    if server.poured.load(Ordering::Acquire) == 0 && how == How::Deadline {
        return false;
    }
    assert_eq!(told(&error, "sent"), true, "{case}: {error:?}");
    // Some floods are no HTTP, and end the call before.
    let expected: &[Status] = match (what, how) {
        (What::Order, _) => &[Status::UnknownOutcome],
        (_, How::Deadline) => &[Status::Timeout, Status::Network, Status::Protocol],
        _ => &[Status::Closed, Status::Network, Status::Protocol],
    };
    assert!(expected.contains(&status), "{case}: {error:?}");
    true
}

fn tls() -> Sandbox {
    start(Options {
        tls: TlsMode::Valid,
        http2: false,
        ..Options::default()
    })
}

#[test]
fn an_order_ends_in_time() {
    let sandbox = tls();
    for flood in floods() {
        check(&flood, What::Order, How::Deadline, None);
        check(&flood, What::Order, How::Deadline, Some(&sandbox));
    }
}

#[test]
fn a_read_ends_in_time() {
    let sandbox = tls();
    for flood in floods() {
        check(&flood, What::Read, How::Deadline, None);
        check(&flood, What::Read, How::Deadline, Some(&sandbox));
    }
}

#[test]
fn a_login_and_a_download_end_in_time() {
    for flood in floods() {
        check(&flood, What::Login, How::Deadline, None);
        check(&flood, What::Download, How::Deadline, None);
    }
}

#[test]
fn a_call_that_is_stopped_ends_in_time() {
    let sandbox = tls();
    let worst = ["continue", "chunks of one byte", "the length of a chunk"];
    for flood in floods() {
        if !worst.contains(&flood.name) {
            continue;
        }
        for how in [How::Interrupt, How::Cancel, How::Free] {
            for what in [What::Order, What::Read, What::Download] {
                check(&flood, what, how, None);
                check(&flood, what, how, Some(&sandbox));
            }
        }
    }
}
