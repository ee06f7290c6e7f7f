//! Measures load, login, orders, quotes and searches against the official Python SDK
//! and libcurl.
//!
//! `cargo bench` builds the release shared library and prints one table. Every
//! peer is a process of its own (see `peers/`), all talk to the same sandbox
//! in this process, and the rounds are interleaved: in each round every peer
//! has its turn, in changing order. A peer that this machine lacks is listed
//! as skipped. Nothing is asserted about time.
//!
//! `cargo bench --bench rest -- search` measures only what it names: of `load`,
//! `calls` and `search`. With `taskset -c 0` before it there is one processor.
//!
//! - `KNEO_BENCH_ROUNDS`: rounds, at least 7 (default 9)
//! - `KNEO_SDK_PYTHON`: a Python that has kotakneoapi 3.0.9 (default: the one
//!   in `target/sdk-venv`)

#[path = "support/mod.rs"]
mod support;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use kotak_neo_sandbox::{Sandbox, ScripFiles, Switches, TlsMode};
use support::{
    Column, Line, Process, Ratio, Result, Skipped, Table, build_library, compile, find_sdk,
    introduce, median, percentile, print_head, rounds, said, scratch, source, start_sandbox,
};

/// Logins of one peer in one round, over a connection that is kept alive.
const LOGINS: usize = 50;
/// Orders, and quotes, of one peer in one round, over a connection that is kept alive.
const ORDERS: usize = 300;
/// Orders of each thread where several share one client.
const ORDERS_OF_A_THREAD: usize = 200;
const THREADS: [usize; 4] = [1, 2, 4, 8];
const SEARCHES: usize = 20;
/// What can be asked for alone.
const PARTS: [&str; 3] = ["load", "calls", "search"];
/// Some options of one underlying among 90,000 instruments.
const SEARCH: &str = r#"search {"exchange_segment":"nse_fo","symbol":"NIFTY","option_type":"CE","strike_price":"24000"}"#;
/// Where Linux distributions keep the trust roots.
const SYSTEM_ROOTS: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
];

fn main() -> ExitCode {
    support::main(run)
}

fn run() -> Result<()> {
    let (rounds, parts) = (rounds()?, chosen()?);
    let wanted = |part| parts.contains(&part);
    let library = build_library()?;
    let scratch = scratch("rest-bench")?;

    let plain = start_sandbox(TlsMode::Off)?;
    // One row in eleven has a cell in quotes with commas in it, as in the broker's cash file of
    // 29 December 2025 (977 of 11,340, with 208 characters and two or three commas each).
    plain.set_switches(Switches {
        scrip_files: ScripFiles::Quoted,
        ..plain.switches()
    });
    let tls = start_sandbox(TlsMode::Valid)?;
    let places = Places {
        plain: Place::new(&plain, &scratch)?,
        tls: Place::new(&tls, &scratch)?,
    };
    let (peers, skipped) = find_peers(&library, &scratch)?;
    let mut table = Table::new(&LINES, peers.iter().map(Peer::column).collect());

    let mut kept_alive = Vec::new();
    for peer in peers.iter().filter(|_| wanted("calls")) {
        let mut pair = [peer.start(&places.plain)?, peer.start(&places.tls)?];
        for (process, place) in pair.iter_mut().zip(places.both()) {
            process.one("load")?;
            process.one("client")?;
            process.ask(&format!("login {} {LOGINS}", place.sandbox.totp_now()))?;
        }
        kept_alive.push(pair);
    }

    let mut throughput = vec![Vec::new(); THREADS.len()];
    for round in 0..rounds {
        for turn in 0..peers.len() {
            let index = (round + turn) % peers.len();
            let peer = &peers[index];
            if wanted("load") {
                measure_load(peer, index, &places.plain, &mut table)?;
                measure_first_login(peer, index, &places.tls, &mut table)?;
            }
            if let Some(pair) = kept_alive.get_mut(index) {
                measure_calls(pair, index, &places, &mut table)?;
            }
            if wanted("search") {
                measure_search(peer, index, &places.plain, round, &scratch, &mut table)?;
            }
            if let (Kind::ThisLibrary, Some(pair)) = (peer.kind, kept_alive.get_mut(index)) {
                for (threads, sums) in THREADS.iter().zip(&mut throughput) {
                    let command = format!("threads {threads} {ORDERS_OF_A_THREAD}");
                    let seconds = pair[0].one(&command)? / 1e9;
                    sums.push((threads * ORDERS_OF_A_THREAD) as f64 / seconds);
                }
            }
        }
        eprintln!("round {} of {rounds}", round + 1);
    }
    for (index, pair) in kept_alive.into_iter().enumerate() {
        let [plain, mut tls] = pair;
        table.add(
            Row::MemoryLater as usize,
            index,
            tls.one("memory")? / 1024.0,
        );
        tls.finish()?;
        plain.finish()?;
    }

    let size = fs::metadata(&library)
        .map_err(|e| format!("{}: {e}", library.display()))?
        .len();
    let made = format!(
        "{rounds} interleaved rounds of {LOGINS} logins, medians; made with `cargo bench --bench rest`"
    );
    let versions: Vec<_> = peers.iter().map(|p| (p.name, p.version.as_str())).collect();
    print_head(&made, &versions, &skipped);
    println!(
        "Ratios are the medians of the rounds' ratios. A login is totp_login, totp_validate and the"
    );
    println!(
        "feed-address lookup that follows it: three requests. libcurl is linked to its program, so its"
    );
    println!("loading shows in the whole process only.");
    println!();
    table.print();
    println!(
        "| shared library, release, stripped | {:.2} MB |",
        size as f64 / 1e6
    );
    if wanted("calls") {
        println!("\n| threads on one client | orders a second |\n|--:|--:|");
        for (threads, rates) in THREADS.iter().zip(&throughput) {
            println!("| {threads} | {:.0} |", median(rates));
        }
    }
    Ok(())
}

/// Which parts are asked for by the words behind `--`; all, if none is.
fn chosen() -> Result<Vec<&'static str>> {
    let words: Vec<String> = env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    if let Some(unknown) = words.iter().find(|word| !PARTS.contains(&word.as_str())) {
        let known = PARTS.join(", ");
        return Err(format!("there is no part {unknown}; there are {known}"));
    }
    let wanted = |part: &&str| words.is_empty() || words.iter().any(|word| word == part);
    Ok(PARTS.into_iter().filter(wanted).collect())
}

/// A sandbox and what its peers need to reach it.
struct Place<'a> {
    sandbox: &'a Sandbox,
    url: String,
    /// The sandbox's CA, alone.
    own_ca: String,
    /// The same behind the system's roots, for a client that reads one file.
    all_roots: String,
}

impl<'a> Place<'a> {
    fn new(sandbox: &'a Sandbox, scratch: &Path) -> Result<Self> {
        let url = sandbox.url().to_string();
        let Some(ca_file) = sandbox.ca_file() else {
            return Ok(Self {
                sandbox,
                url,
                own_ca: String::new(),
                all_roots: String::new(),
            });
        };
        let mut roots = Vec::new();
        if let Some(system) = SYSTEM_ROOTS.iter().find(|path| Path::new(path).is_file()) {
            roots = fs::read(system).map_err(|e| format!("{system}: {e}"))?;
        }
        roots.extend(fs::read(ca_file).map_err(|e| format!("{}: {e}", ca_file.display()))?);
        let all_roots = scratch.join("roots.pem");
        fs::write(&all_roots, roots).map_err(|e| format!("{}: {e}", all_roots.display()))?;
        Ok(Self {
            sandbox,
            url,
            own_ca: ca_file.display().to_string(),
            all_roots: all_roots.display().to_string(),
        })
    }
}

struct Places<'a> {
    plain: Place<'a>,
    tls: Place<'a>,
}

impl<'a> Places<'a> {
    fn both(&self) -> [&Place<'a>; 2] {
        [&self.plain, &self.tls]
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    ThisLibrary,
    Curl,
    Sdk,
}

struct Peer {
    kind: Kind,
    name: &'static str,
    version: String,
    program: PathBuf,
    /// The first argument of the program, if it needs a script.
    script: Option<PathBuf>,
    /// The last argument, if it needs the library.
    library: Option<PathBuf>,
}

impl Peer {
    fn column(&self) -> Column {
        let name = self.name;
        let ratio = match self.kind {
            Kind::ThisLibrary => None,
            Kind::Curl => Some((Ratio::Share, format!("kotak_neo / {name}"))),
            Kind::Sdk => Some((Ratio::Times, format!("{name} / kotak_neo"))),
        };
        Column { name, ratio }
    }

    fn start(&self, place: &Place) -> Result<Process> {
        self.start_with(place, &[])
    }

    fn start_with(&self, place: &Place, more: &[(&str, &Path)]) -> Result<Process> {
        let mut command = Command::new(&self.program);
        command.args(&self.script).arg(&place.url);
        command.arg(match self.kind {
            Kind::Curl => &place.all_roots,
            Kind::ThisLibrary | Kind::Sdk => &place.own_ca,
        });
        command.args(&self.library);
        introduce(&mut command, place.sandbox);
        command.envs(more.iter().copied());
        Process::start(self.name, command)
    }

    /// The command that only loads and makes a client without any setting.
    fn start_bare(&self, place: &Place) -> Result<Process> {
        if self.kind != Kind::Sdk {
            return self.start(place);
        }
        let mut command = Command::new(&self.program);
        command.args(&self.script).args(["", ""]);
        Process::start(self.name, command)
    }
}

/// This library and the peers that are here; and those that are not, with why.
fn find_peers(library: &Path, scratch: &Path) -> Result<(Vec<Peer>, Skipped)> {
    let mut skipped = Skipped::new();
    let mut peers = vec![Peer {
        kind: Kind::ThisLibrary,
        name: "kotak_neo",
        version: format!("{} through its C ABI", env!("CARGO_PKG_VERSION")),
        program: compile(&source("neo.c"), scratch, &["-ldl", "-lpthread"])?,
        script: None,
        library: Some(library.to_owned()),
    }];
    match compile(&source("curl.c"), scratch, &["-lcurl"]) {
        Ok(program) => peers.push(Peer {
            kind: Kind::Curl,
            name: "libcurl",
            version: said(Command::new("curl-config").arg("--version"))
                .unwrap_or_else(|_| "version not known".to_owned()),
            program,
            script: None,
            library: None,
        }),
        Err(reason) => skipped.push(("libcurl", reason)),
    }
    match find_sdk() {
        Ok((program, version)) => peers.push(Peer {
            kind: Kind::Sdk,
            name: "SDK",
            version,
            program,
            script: Some(source("sdk.py")),
            library: None,
        }),
        Err(reason) => skipped.push(("SDK", reason)),
    }
    Ok((peers, skipped))
}

/// Load and open, inside the process and as a whole process from start to end.
fn measure_load(peer: &Peer, index: usize, place: &Place, table: &mut Table) -> Result<()> {
    let start = Instant::now();
    let mut process = peer.start_bare(place)?;
    let inside = process.one("load")? + process.one("client")?;
    process.finish()?;
    let whole = start.elapsed().as_secs_f64() * 1e3;
    table.add(Row::Load as usize, index, inside / 1e6);
    table.add(Row::LoadProcess as usize, index, whole);
    Ok(())
}

/// From making the first client of a process to the end of its first login.
fn measure_first_login(peer: &Peer, index: usize, place: &Place, table: &mut Table) -> Result<()> {
    let mut process = peer.start(place)?;
    process.one("load")?;
    let client = process.one("client")?;
    let login = process.one(&format!("login {} 1", place.sandbox.totp_now()))?;
    table.add(Row::First as usize, index, (client + login) / 1e6);
    table.add(Row::Memory as usize, index, process.one("memory")? / 1024.0);
    process.finish()
}

/// Logins, orders and quotes over connections that are kept alive, without TLS and with it.
fn measure_calls(
    pair: &mut [Process; 2],
    index: usize,
    places: &Places,
    table: &mut Table,
) -> Result<()> {
    for (process, (place, row)) in pair
        .iter_mut()
        .zip(places.both().into_iter().zip([Row::Plain, Row::Tls]))
    {
        let totp = place.sandbox.totp_now();
        let times = process.ask(&format!("login {totp} {LOGINS}"))?;
        table.add(row as usize, index, median(&times) / 1e3);
    }
    for (process, rows) in pair.iter_mut().zip([
        [
            Row::OrderPlain,
            Row::OrderPlain99,
            Row::QuotePlain,
            Row::QuotePlain99,
        ],
        [
            Row::OrderTls,
            Row::OrderTls99,
            Row::QuoteTls,
            Row::QuoteTls99,
        ],
    ]) {
        for (what, [half, most]) in [("order", [rows[0], rows[1]]), ("quote", [rows[2], rows[3]])] {
            let times = process.ask(&format!("{what} {ORDERS}"))?;
            table.add(half as usize, index, median(&times) / 1e3);
            table.add(most as usize, index, percentile(&times, 0.99) / 1e3);
        }
    }
    Ok(())
}

/// The first search of a process, download and index included, and later ones.
fn measure_search(
    peer: &Peer,
    index: usize,
    place: &Place,
    round: usize,
    scratch: &Path,
    table: &mut Table,
) -> Result<()> {
    if peer.kind == Kind::Curl {
        // It has no such thing; its columns stay empty.
        return Ok(());
    }
    let cache = scratch.join(format!("cache-{round}"));
    let mut process = peer.start_with(place, &[("NEO_SCRIP_CACHE_DIR", &cache)])?;
    process.one("load")?;
    process.one("client")?;
    table.add(Row::SearchFirst as usize, index, process.one(SEARCH)? / 1e6);
    let searches = if peer.kind == Kind::Sdk { 1 } else { SEARCHES };
    let times: Vec<f64> = (0..searches)
        .map(|_| process.one(SEARCH))
        .collect::<Result<_>>()?;
    table.add(Row::SearchAgain as usize, index, median(&times) / 1e3);
    process.finish()?;
    if cache.exists() {
        fs::remove_dir_all(&cache).map_err(|e| format!("{}: {e}", cache.display()))?;
    }
    Ok(())
}

/// The rows, in the order of `LINES`.
#[derive(Clone, Copy)]
enum Row {
    Load,
    LoadProcess,
    First,
    Plain,
    Tls,
    OrderPlain,
    OrderPlain99,
    OrderTls,
    OrderTls99,
    QuotePlain,
    QuotePlain99,
    QuoteTls,
    QuoteTls99,
    SearchFirst,
    SearchAgain,
    Memory,
    MemoryLater,
}

const LINES: [Line; 17] = [
    less("load and open a client, inside the process", "ms"),
    less("the same, whole process from start to end", "ms"),
    less("first login over TLS, fresh process", "ms"),
    less("login over plain HTTP, kept alive", "us"),
    less("login over TLS, kept alive", "us"),
    less("place_order over plain HTTP, kept alive, p50", "us"),
    less("the same, p99", "us"),
    less("place_order over TLS, kept alive, p50", "us"),
    less("the same, p99", "us"),
    less("quotes over plain HTTP, kept alive, p50", "us"),
    less("the same, p99", "us"),
    less("quotes over TLS, kept alive, p50", "us"),
    less("the same, p99", "us"),
    less("search_scrip among 90,000, first of the day", "ms"),
    less("search_scrip among 90,000, again", "us"),
    less("resident memory after the first login over TLS", "MiB"),
    less("resident memory after all rounds over TLS", "MiB"),
];

const fn less(what: &'static str, unit: &'static str) -> Line {
    Line {
        what,
        unit,
        more_is_better: false,
    }
}
