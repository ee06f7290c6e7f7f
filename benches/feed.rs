//! Measures the market feed: decoding, from the socket to the caller, delay and
//! memory; against the official Python SDK and bare C programs.
//!
//! `cargo bench --bench feed` builds the release shared library and prints one
//! table. Every client is a process of its own (see `peers/`), all talk to the
//! same sandbox in this process, and the rounds are interleaved: in each round
//! every peer has its turn, in changing order. Only the library's decoder, which
//! the C ABI does not show by itself, is called from here. A peer that this
//! machine lacks is listed as skipped. Nothing is asserted about time.
//!
//! - `KNEO_BENCH_ROUNDS`: rounds, at least 7 (default 9)
//! - `KNEO_SDK_PYTHON`: a Python that has kotakneoapi 3.0.9 (default: the one
//!   in `target/sdk-venv`)

#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use kotak_neo::{Client, Depth, Tick, raw};
use kotak_neo_sandbox::{Feed, FeedRate, Sandbox, TlsMode};
use support::{
    Column, Line, Process, Ratio, Result, Skipped, Table, build_library, compile, find_sdk,
    introduce, percentile, print_head, rounds, said, scratch, source, start_sandbox,
};

/// Instruments that are subscribed: as many as the broker allows.
const INSTRUMENTS: usize = 3_000;
/// Packets of a frame.
const BATCH: u16 = 16;
/// How long each peer reads as fast as it can, in a round.
const FLOOD_MS: u32 = 1_000;
/// Packets a second; how many of them are looked at in a round; whether the
/// SDK, too, can be asked to keep up; and the first of their three rows.
const RATES: [(u32, u32, bool, Row); 3] = [
    (1_000, 2_000, true, Row::Delay1k),
    (10_000, 10_000, true, Row::Delay10k),
    (50_000, 50_000, false, Row::Delay50k),
];
/// What is decoded: rows on each side, times in C and here, times in the SDK.
const DECODED: [(u32, u32, u32, Row); 2] = [
    (1, 200_000, 1_000, Row::DecodeTouch),
    (20, 30_000, 200, Row::DecodeDepth),
];

/// What the raw prices of the decoded packets are divided by, also in C.
const DIVIDER: i32 = 100;

const OURS: usize = 0;
const BARE: usize = 1;
const SDK: usize = 2;

fn main() -> ExitCode {
    support::main(run)
}

fn run() -> Result<()> {
    let rounds = rounds()?;
    let library = build_library()?;
    let scratch = scratch("feed-bench")?;
    let sandbox = start_sandbox(TlsMode::Off)?;
    let session = Session::start(&sandbox, &scratch)?;
    let frames: Vec<PathBuf> = DECODED
        .iter()
        .map(|(rows, ..)| {
            let path = scratch.join(format!("frame-{rows}.bin"));
            write(&path, &frame(*rows))?;
            Ok(path)
        })
        .collect::<Result<_>>()?;

    let (mut peers, skipped) = Peers::start(&sandbox, &session, &library, &scratch)?;
    let mut table = Table::new(&LINES, peers.columns());
    for round in 0..rounds {
        for turn in 0..3 {
            match (round + turn) % 3 {
                OURS => measure_ours(&mut peers.ours, &sandbox, &session, &frames, &mut table)?,
                BARE => measure_bare(&mut peers, &sandbox, &session, &frames, &mut table)?,
                _ => {
                    if let Some((sdk, _)) = &mut peers.sdk {
                        measure_sdk(sdk, &sandbox, &session, &frames, &mut table)?;
                    }
                }
            }
        }
        eprintln!("round {} of {rounds}", round + 1);
    }

    let made =
        format!("{rounds} interleaved rounds, medians; made with `cargo bench --bench feed`");
    print_head(&made, &peers.versions(), &skipped);
    println!(
        "Ratios are the medians of the rounds' ratios. {INSTRUMENTS} instruments, touch line,"
    );
    println!(
        "{BATCH} packets a frame; at a rate, what is due in a millisecond goes out at once. bare C:"
    );
    println!("a loop that converts all fields; a reader that steps from packet to packet. A delay");
    println!(
        "is the time from the sandbox's writing to the caller's reading, percentiles of a round."
    );
    println!();
    table.print();
    peers.finish()
}

/// What the clients need: a session for the one that cannot log in, and what
/// is subscribed.
struct Session {
    sid: String,
    tokens: PathBuf,
}

impl Session {
    fn start(sandbox: &Sandbox, scratch: &Path) -> Result<Self> {
        let failed = |error: kotak_neo::Error| error.message().to_owned();
        let client = Client::open(Some(&sandbox.config_json())).map_err(failed)?;
        let who = sandbox.credentials();
        client
            .totp_login(&who.mobile_number, &who.ucc, &sandbox.totp_now())
            .map_err(failed)?;
        client.totp_validate(&who.mpin).map_err(failed)?;
        let session = client.session_export().map_err(failed)?;
        let sid = text_of(session.json(), "sid")?;

        let wish = r#"{"exchange_segment":"nse_fo","symbol":"NIFTY"}"#;
        let found = client.search_scrip(wish).map_err(failed)?;
        let rows: Vec<serde_json::Value> =
            serde_json::from_str(found.json()).map_err(|e| e.to_string())?;
        let list: Vec<String> = rows
            .iter()
            .filter_map(|row| row["pSymbol"].as_u64())
            .take(INSTRUMENTS)
            .map(|token| format!("nse_fo|{token}"))
            .collect();
        if list.len() < INSTRUMENTS {
            return Err(format!("the sandbox has only {} instruments", list.len()));
        }
        let tokens = scratch.join("tokens.txt");
        write(&tokens, list.join(",").as_bytes())?;
        Ok(Self { sid, tokens })
    }

    fn open(&self, process: &mut Process) -> Result<()> {
        process.one(&format!("open {}", self.tokens.display()))?;
        Ok(())
    }
}

fn text_of(json: &str, key: &str) -> Result<String> {
    let all: serde_json::Value = serde_json::from_str(json).map_err(|e| e.to_string())?;
    let text = all[key]
        .as_str()
        .ok_or(format!("no {key} in the session"))?;
    Ok(text.to_owned())
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(|e| format!("{}: {e}", path.display()))
}

/// The peers, each a process, and what they are.
struct Peers {
    ours: Process,
    decoder: Process,
    reader: Process,
    compiler: String,
    sdk: Option<(Process, String)>,
}

impl Peers {
    fn start(
        sandbox: &Sandbox,
        session: &Session,
        library: &Path,
        scratch: &Path,
    ) -> Result<(Self, Skipped)> {
        let mut skipped = Skipped::new();
        let logged_in = |name, mut command: Command| -> Result<Process> {
            introduce(&mut command, sandbox);
            let mut process = Process::start(name, command)?;
            process.one("load")?;
            process.one("client")?;
            process.one(&format!("login {} 1", sandbox.totp_now()))?;
            Ok(process)
        };

        let mut ours = Command::new(compile(&source("neo_feed.c"), scratch, &["-ldl"])?);
        ours.args([sandbox.url(), ""]).arg(library);
        let decoder = Command::new(compile(&source("decode.c"), scratch, &[])?);
        let mut reader = Command::new(compile(&source("ws.c"), scratch, &[])?);
        let port = sandbox.url().rsplit(':').next().unwrap_or_default();
        reader
            .args([port, &sandbox.credentials().ucc])
            .env("KNEO_SID", &session.sid);
        let sdk = match find_sdk() {
            Ok((python, version)) => {
                let mut command = Command::new(python);
                command.arg(source("sdk_feed.py")).args([sandbox.url(), ""]);
                Some((logged_in("SDK", command)?, version))
            }
            Err(reason) => {
                skipped.push(("SDK", reason));
                None
            }
        };
        let peers = Self {
            ours: logged_in("kotak_neo", ours)?,
            decoder: Process::start("bare C", decoder)?,
            reader: Process::start("bare C", reader)?,
            compiler: said(Command::new("cc").arg("--version"))?,
            sdk,
        };
        Ok((peers, skipped))
    }

    fn columns(&self) -> Vec<Column> {
        let mut columns = vec![
            Column {
                name: "kotak_neo",
                ratio: None,
            },
            Column {
                name: "bare C",
                ratio: Some((Ratio::Share, "kotak_neo / bare C".to_owned())),
            },
        ];
        if self.sdk.is_some() {
            columns.push(Column {
                name: "SDK",
                ratio: Some((Ratio::Times, "better than SDK".to_owned())),
            });
        }
        columns
    }

    fn versions(&self) -> Vec<(&str, &str)> {
        let compiler = self.compiler.lines().next().unwrap_or_default();
        let mut all = vec![
            ("kotak_neo", "through its C ABI; the decoder from Rust"),
            ("bare C", compiler),
        ];
        if let Some((_, version)) = &self.sdk {
            all.push(("SDK", version));
        }
        all
    }

    fn finish(self) -> Result<()> {
        self.ours.finish()?;
        self.decoder.finish()?;
        self.reader.finish()?;
        match self.sdk {
            Some((process, _)) => process.finish(),
            None => Ok(()),
        }
    }
}

/// Has the sandbox send as it is told, until it is told otherwise.
fn send(sandbox: &Sandbox, rate: FeedRate, stamp: bool) {
    sandbox.set_feed(Feed {
        rate,
        stamp,
        batch: BATCH,
        ..sandbox.feed()
    });
}

fn measure_ours(
    ours: &mut Process,
    sandbox: &Sandbox,
    session: &Session,
    frames: &[PathBuf],
    table: &mut Table,
) -> Result<()> {
    for ((rows, times, _, row), path) in DECODED.iter().zip(frames) {
        let frame = fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let (ns, sum) = decode(&frame, *rows > 1, *times);
        add_decoded(table, *row, OURS, ns, sum, &frame)?;
    }

    session.open(ours)?;
    send(sandbox, FeedRate::Flood, false);
    let structs = ours.ask(&format!("structs {FLOOD_MS}"))?;
    let memory = ours.one("memory")? / 1024.0;
    let events = ours.ask(&format!("events {FLOOD_MS}"))?;
    send(sandbox, FeedRate::Steps, false);
    ours.one("close")?;
    table.add(Row::Structs as usize, OURS, thousands(&structs));
    table.add(Row::Json as usize, OURS, thousands(&events));
    table.add(Row::Memory as usize, OURS, memory);
    for (row, numbers) in [(Row::StructsSeen, &structs), (Row::JsonSeen, &events)] {
        let share = numbers[0] / (numbers[0] + numbers[1]);
        table.add(row as usize, OURS, share * 100.0);
    }
    for (rate, count, _, row) in RATES {
        measure_delays(ours, OURS, sandbox, session, (rate, count, row), table)?;
    }
    Ok(())
}

fn measure_bare(
    peers: &mut Peers,
    sandbox: &Sandbox,
    session: &Session,
    frames: &[PathBuf],
    table: &mut Table,
) -> Result<()> {
    for ((_, times, _, row), path) in DECODED.iter().zip(frames) {
        decode_by(&mut peers.decoder, BARE, (*times, *row), path, table)?;
    }
    session.open(&mut peers.reader)?;
    send(sandbox, FeedRate::Flood, false);
    let read = peers.reader.ask(&format!("structs {FLOOD_MS}"))?;
    send(sandbox, FeedRate::Steps, false);
    peers.reader.one("close")?;
    table.add(Row::Structs as usize, BARE, thousands(&read));
    Ok(())
}

fn measure_sdk(
    sdk: &mut Process,
    sandbox: &Sandbox,
    session: &Session,
    frames: &[PathBuf],
    table: &mut Table,
) -> Result<()> {
    for ((_, _, times, row), path) in DECODED.iter().zip(frames) {
        decode_by(sdk, SDK, (*times, *row), path, table)?;
    }
    session.open(sdk)?;
    send(sandbox, FeedRate::Flood, false);
    let read = sdk.ask(&format!("messages {FLOOD_MS}"))?;
    let memory = sdk.one("memory")? / 1024.0;
    send(sandbox, FeedRate::Steps, false);
    sdk.one("close")?;
    // It has one form only.
    table.add(Row::Structs as usize, SDK, thousands(&read));
    table.add(Row::Json as usize, SDK, thousands(&read));
    table.add(Row::Memory as usize, SDK, memory);
    for (rate, count, with_sdk, row) in RATES {
        if with_sdk {
            measure_delays(sdk, SDK, sandbox, session, (rate, count, row), table)?;
        }
    }
    Ok(())
}

/// Of an answer of `structs`, `events` or `messages`: thousands a second.
fn thousands(answer: &[f64]) -> f64 {
    answer[0] / answer[2] * 1e6
}

fn measure_delays(
    process: &mut Process,
    column: usize,
    sandbox: &Sandbox,
    session: &Session,
    (rate, count, row): (u32, u32, Row),
    table: &mut Table,
) -> Result<()> {
    session.open(process)?;
    send(sandbox, FeedRate::PerSecond(rate), true);
    let delays = process.ask(&format!("delays {count}"))?;
    send(sandbox, FeedRate::Steps, false);
    process.one("close")?;
    for (at, share) in [0.5, 0.99, 0.999].into_iter().enumerate() {
        table.add(row as usize + at, column, percentile(&delays, share) / 1e6);
    }
    Ok(())
}

/// Decodes a frame here, so often: nanoseconds a packet, and the sum of all
/// prices of one time.
fn decode(frame: &[u8], with_depth: bool, times: u32) -> (f64, f64) {
    let (mut sum, mut packets) = (0.0, 0_u32);
    raw::decode_depth(frame, black_box(DIVIDER), |tick, depth| {
        packets += 1;
        sum += prices(tick, depth);
    });
    let start = Instant::now();
    for _ in 0..times {
        let frame = black_box(frame);
        if with_depth {
            raw::decode_depth(frame, black_box(DIVIDER), |tick, depth| {
                black_box((tick, depth));
            });
        } else {
            raw::decode_frame(frame, black_box(DIVIDER), |tick| {
                black_box(tick);
            });
        }
    }
    let ns = start.elapsed().as_nanos() as f64;
    (ns / f64::from(times) / f64::from(packets), sum)
}

fn prices(tick: &Tick, depth: &Depth) -> f64 {
    let of_tick = [
        tick.open_price,
        tick.close_price,
        tick.high_price,
        tick.low_price,
        tick.last_traded_price,
        tick.average_trade_price,
        tick.net_change,
        tick.upper_circuit_limit,
        tick.lower_circuit_limit,
        tick.yearly_high,
        tick.yearly_low,
    ];
    let rows = depth.buy.iter().chain(&depth.sell);
    of_tick.iter().sum::<f64>() + rows.map(|row| row.price).sum::<f64>()
}

fn decode_by(
    process: &mut Process,
    column: usize,
    (times, row): (u32, Row),
    path: &Path,
    table: &mut Table,
) -> Result<()> {
    let answer = process.ask(&format!("decode {} {times}", path.display()))?;
    let frame = fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    add_decoded(table, row, column, answer[1] / answer[0], answer[2], &frame)
}

/// Adds a time of decoding, if what was decoded is right.
fn add_decoded(
    table: &mut Table,
    row: Row,
    column: usize,
    ns: f64,
    sum: f64,
    frame: &[u8],
) -> Result<()> {
    let (_, right) = decode(frame, true, 0);
    if (sum - right).abs() > right.abs() * 1e-9 {
        return Err(format!("prices of {sum} were decoded, not {right}"));
    }
    table.add(row as usize, column, ns);
    Ok(())
}

/// A frame of market pictures with so many rows on each side.
fn frame(rows: u32) -> Vec<u8> {
    let mut frame = Vec::new();
    for number in 0..u32::from(BATCH) {
        let mut packet = vec![0; 144 + 32 * rows as usize];
        let length = u16::try_from(packet.len()).unwrap_or(u16::MAX);
        let mut put = |at: usize, bytes: &[u8]| packet[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &length.to_le_bytes());
        put(2, &7208_u16.to_le_bytes());
        put(4, &[1, if rows == 1 { 4 } else { 16 }]);
        put(9, &(11_536 + number).to_le_bytes());
        for (nth, at) in [13, 21, 29, 73].into_iter().enumerate() {
            put(
                at,
                &(100_000 * (nth as i64 + 1) + i64::from(number)).to_le_bytes(),
            );
        }
        put(37, &1_756_636_800_i64.to_le_bytes());
        put(45, &1_756_636_801_i64.to_le_bytes());
        let prices = [53, 57, 61, 65, 69, 81, 119, 123, 127, 131];
        for (nth, at) in (1_u32..).zip(prices) {
            put(at, &(150_000 + 1_000 * nth + number).to_le_bytes());
        }
        put(89, &rows.to_le_bytes());
        put(93, &rows.to_le_bytes());
        put(99, &(-123_i32).to_le_bytes());
        put(103, &4_321_u32.to_le_bytes());
        put(107, &9.87e9_f64.to_le_bytes());
        put(115, &(-456_i32).to_le_bytes());
        put(135, &75_u32.to_le_bytes());
        put(139, &[2]);
        put(140, &1_u32.to_le_bytes());
        for row in 0..2 * rows {
            let at = 144 + 16 * row as usize;
            put(at, &i64::from(500 + row).to_le_bytes());
            put(at + 8, &(150_000 + 5 * row).to_le_bytes());
            put(at + 12, &(7 + row).to_le_bytes());
        }
        frame.extend(packet);
    }
    frame
}

/// The rows, in the order of `LINES`; each delay begins three.
#[derive(Clone, Copy)]
enum Row {
    DecodeTouch,
    DecodeDepth,
    Structs,
    StructsSeen,
    Json,
    JsonSeen,
    Delay1k,
    Delay10k = Row::Delay1k as isize + 3,
    Delay50k = Row::Delay10k as isize + 3,
    Memory = Row::Delay50k as isize + 3,
}

const LINES: [Line; 16] = [
    less("decode a touch line", "ns"),
    less("decode a market picture with 20+20 rows", "ns"),
    more("socket to caller, structs", "k/s"),
    more(
        "packets that the caller saw, the others being older than those",
        "%",
    ),
    more("socket to caller, JSON", "k/s"),
    more("packets that the caller saw", "%"),
    less("delay at 1,000 packets a second, p50", "ms"),
    less("the same, p99", "ms"),
    less("the same, p99.9", "ms"),
    less("delay at 10,000 packets a second, p50", "ms"),
    less("the same, p99", "ms"),
    less("the same, p99.9", "ms"),
    less("delay at 50,000 packets a second, p50", "ms"),
    less("the same, p99", "ms"),
    less("the same, p99.9", "ms"),
    less("resident memory while reading as fast as can be", "MiB"),
];

const fn less(what: &'static str, unit: &'static str) -> Line {
    Line {
        what,
        unit,
        more_is_better: false,
    }
}

const fn more(what: &'static str, unit: &'static str) -> Line {
    Line {
        what,
        unit,
        more_is_better: true,
    }
}
