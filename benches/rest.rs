//! Measures load, login, orders, quotes and searches against the official Python SDK
//! and libcurl.
//!
//! `cargo bench` builds the release shared library and prints one table. Every
//! peer is a process of its own (see `peers/`), all talk to the same sandbox
//! in this process, and the rounds are interleaved: in each round every peer
//! has its turn, in changing order. A peer that this machine lacks is listed
//! as skipped. Nothing is asserted about time.
//!
//! - `KNEO_BENCH_ROUNDS`: rounds, at least 7 (default 9)
//! - `KNEO_SDK_PYTHON`: a Python that has kotakneoapi 3.0.9 (default: the one
//!   in `target/sdk-venv`)

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::Instant;

use kotak_neo_sandbox::{Options, Sandbox, TlsMode};

type Result<T> = std::result::Result<T, String>;
/// Peers that are not here, and why.
type Skipped = Vec<(&'static str, String)>;

const SDK_VERSION: &str = "3.0.9";
/// Logins of one peer in one round, over a connection that is kept alive.
const LOGINS: usize = 50;
/// Orders, and quotes, of one peer in one round, over a connection that is kept alive.
const ORDERS: usize = 300;
/// Orders of each thread where several share one client.
const ORDERS_OF_A_THREAD: usize = 200;
const THREADS: [usize; 4] = [1, 2, 4, 8];
const SEARCHES: usize = 20;
/// Some options of one underlying among 90,000 instruments.
const SEARCH: &str = r#"search {"exchange_segment":"nse_fo","symbol":"NIFTY","option_type":"CE","strike_price":"24000"}"#;
/// Where Linux distributions keep the trust roots.
const SYSTEM_ROOTS: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
];

fn main() -> ExitCode {
    // `cargo test --all-targets` starts benches too, without this argument.
    if !env::args().any(|argument| argument == "--bench") {
        println!("skipped: benchmark: run it with `cargo bench`");
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("benchmark: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let rounds = rounds()?;
    let library = build_library()?;
    let scratch = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("login-bench");
    fs::create_dir_all(&scratch).map_err(|e| format!("{}: {e}", scratch.display()))?;

    let plain = start_sandbox(TlsMode::Off)?;
    let tls = start_sandbox(TlsMode::Valid)?;
    let places = Places {
        plain: Place::new(&plain, &scratch)?,
        tls: Place::new(&tls, &scratch)?,
    };
    let (peers, skipped) = find_peers(&library, &scratch)?;
    let mut table = Table::new(&peers);

    let mut kept_alive = Vec::new();
    for peer in &peers {
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
            measure_load(peer, index, &places.plain, &mut table)?;
            measure_first_login(peer, index, &places.tls, &mut table)?;
            for (process, (place, row)) in kept_alive[index]
                .iter_mut()
                .zip(places.both().into_iter().zip([Row::Plain, Row::Tls]))
            {
                let totp = place.sandbox.totp_now();
                let times = process.ask(&format!("login {totp} {LOGINS}"))?;
                table.add(row, index, median(&times) / 1e3);
            }
            for (process, rows) in kept_alive[index].iter_mut().zip([
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
                for (what, [half, most]) in
                    [("order", [rows[0], rows[1]]), ("quote", [rows[2], rows[3]])]
                {
                    let times = process.ask(&format!("{what} {ORDERS}"))?;
                    table.add(half, index, median(&times) / 1e3);
                    table.add(most, index, percentile(&times, 0.99) / 1e3);
                }
            }
            measure_search(peer, index, &places.plain, round, &scratch, &mut table)?;
            if peer.kind == Kind::ThisLibrary {
                let process = &mut kept_alive[index][0];
                for (threads, sums) in THREADS.iter().zip(&mut throughput) {
                    let command = format!("threads {threads} {ORDERS_OF_A_THREAD}");
                    let seconds = process.one(&command)? / 1e9;
                    sums.push((threads * ORDERS_OF_A_THREAD) as f64 / seconds);
                }
            }
        }
        eprintln!("round {} of {rounds}", round + 1);
    }
    for (index, pair) in kept_alive.into_iter().enumerate() {
        let [plain, mut tls] = pair;
        table.add(Row::MemoryLater, index, tls.one("memory")? / 1024.0);
        tls.finish()?;
        plain.finish()?;
    }

    let size = fs::metadata(&library)
        .map_err(|e| format!("{}: {e}", library.display()))?
        .len();
    println!();
    println!(
        "kotak_neo {}, {rounds} interleaved rounds of {LOGINS} logins, medians; made with `cargo bench`",
        env!("CARGO_PKG_VERSION")
    );
    println!("{}", machine());
    for peer in &peers {
        println!("peer: {}: {}", peer.name, peer.version);
    }
    for (name, reason) in &skipped {
        println!("skipped: {name}: {reason}");
    }
    println!(
        "Ratios are the medians of the rounds' ratios. A login is totp_login, totp_validate and the"
    );
    println!(
        "feed-address lookup that follows it: three requests. libcurl is linked to its program, so its"
    );
    println!("loading shows in the whole process only.");
    println!();
    table.print(&peers);
    println!(
        "| shared library, release, stripped | {:.2} MB |",
        size as f64 / 1e6
    );
    println!("\n| threads on one client | orders a second |\n|--:|--:|");
    for (threads, rates) in THREADS.iter().zip(&throughput) {
        println!("| {threads} | {:.0} |", median(rates));
    }
    Ok(())
}

fn rounds() -> Result<usize> {
    let Some(text) = env::var_os("KNEO_BENCH_ROUNDS") else {
        return Ok(9);
    };
    text.to_str()
        .and_then(|text| text.parse().ok())
        .filter(|rounds| *rounds >= 7)
        .ok_or_else(|| "KNEO_BENCH_ROUNDS must be a number, at least 7".to_owned())
}

/// Builds the shared library as it is released: with the cdylib as the only
/// crate type, since cargo leaves link-time optimisation out next to an rlib.
fn build_library() -> Result<PathBuf> {
    let program = env::current_exe().map_err(|e| e.to_string())?;
    let release = program
        .parent()
        .and_then(Path::parent)
        .ok_or("the bench program is not in a target directory")?;
    let target = release.parent().ok_or("no target directory")?;
    let built = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["rustc", "--release", "--locked", "--package", "kotak-neo"])
        .args(["--lib", "--crate-type", "cdylib", "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .map_err(|e| format!("cargo: {e}"))?;
    if !built.success() {
        return Err(format!("building the shared library: {built}"));
    }
    let library = target.join("release").join(format!(
        "{}kotak_neo{}",
        env::consts::DLL_PREFIX,
        env::consts::DLL_SUFFIX
    ));
    if library.is_file() {
        Ok(library)
    } else {
        Err(format!("{} was not built", library.display()))
    }
}

fn start_sandbox(tls: TlsMode) -> Result<Sandbox> {
    Sandbox::start(Options {
        tls,
        http2: false,
        // Nothing but the peers is to be measured.
        orders_per_second: 0,
        quotes_per_second: 0,
        cash_rupees: 2_000_000_000,
        record_limit: 0,
        ..Options::default()
    })
    .map_err(|e| format!("the sandbox does not start: {e}"))
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
        let known = place.sandbox.credentials();
        command
            .env("KNEO_CONFIG", config(place))
            .env("KNEO_CONSUMER_KEY", &known.consumer_key)
            .env("KNEO_MOBILE_NUMBER", &known.mobile_number)
            .env("KNEO_UCC", &known.ucc)
            .env("KNEO_MPIN", &known.mpin)
            .envs(more.iter().copied());
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

/// The sandbox's configuration, without a ceiling for orders.
fn config(place: &Place) -> String {
    let config = place.sandbox.config_json();
    let open = config.trim_end().trim_end_matches('}');
    format!("{open},\"max_orders_per_second\":1000000}}")
}

/// This library and the peers that are here; and those that are not, with why.
fn find_peers(library: &Path, scratch: &Path) -> Result<(Vec<Peer>, Skipped)> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers");
    let mut skipped = Skipped::new();
    let mut peers = vec![Peer {
        kind: Kind::ThisLibrary,
        name: "kotak_neo",
        version: format!("{} through its C ABI", env!("CARGO_PKG_VERSION")),
        program: compile(&sources.join("neo.c"), scratch, &["-ldl", "-lpthread"])?,
        script: None,
        library: Some(library.to_owned()),
    }];
    match compile(&sources.join("curl.c"), scratch, &["-lcurl"]) {
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
            script: Some(sources.join("sdk.py")),
            library: None,
        }),
        Err(reason) => skipped.push(("SDK", reason)),
    }
    Ok((peers, skipped))
}

fn compile(source: &Path, scratch: &Path, libraries: &[&str]) -> Result<PathBuf> {
    let program = scratch.join(source.file_stem().ok_or("a source without a name")?);
    let headers = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let mut command = Command::new(env::var_os("CC").unwrap_or_else(|| "cc".into()));
    command
        .args(["-std=c11", "-O2", "-Wall", "-Wextra", "-I"])
        .arg(headers)
        .arg(source)
        .arg("-o")
        .arg(&program)
        .args(libraries);
    said(&mut command).map(|_| program)
}

fn find_sdk() -> Result<(PathBuf, String)> {
    let python = env::var_os("KNEO_SDK_PYTHON").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/sdk-venv/bin/python"),
        PathBuf::from,
    );
    let found = said(Command::new(&python).args([
        "-c",
        "import importlib.metadata as m, platform as p; print(m.version('kotakneoapi'), p.python_version())",
    ]))?;
    match found.split_once(' ') {
        Some((SDK_VERSION, python_version)) => Ok((
            python,
            format!("kotakneoapi {SDK_VERSION}, Python {python_version}"),
        )),
        _ => Err(format!("wanted {SDK_VERSION}, found {found}")),
    }
}

/// What a program writes; or, if it fails, the first line of its complaint.
fn said(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|e| format!("{name}: {e}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let complaint = text(&output.stderr);
    Err(format!(
        "{name}: {}",
        complaint.lines().next().unwrap_or("failed")
    ))
}

/// A peer that runs and is talked to in lines.
struct Process {
    name: &'static str,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(name: &'static str, mut command: Command) -> Result<Self> {
        // The SDK would write its log into the current directory.
        command.env("NEO_LOG_FILE_ENABLED", "false");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("{name}: {e}"))?;
        let input = child.stdin.take().ok_or("no stdin")?;
        let output = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        Ok(Self {
            name,
            child,
            input,
            output,
        })
    }

    fn ask(&mut self, line: &str) -> Result<Vec<f64>> {
        let broken = |e: std::io::Error| format!("{}: {e}", self.name);
        writeln!(self.input, "{line}").map_err(broken)?;
        self.input.flush().map_err(broken)?;
        let mut answer = String::new();
        self.output.read_line(&mut answer).map_err(broken)?;
        let numbers: Vec<f64> = answer
            .split_whitespace()
            .map(|number| number.parse().map_err(|e| format!("{}: {e}", self.name)))
            .collect::<Result<_>>()?;
        if numbers.is_empty() {
            return Err(format!("{}: no answer to its command", self.name));
        }
        Ok(numbers)
    }

    fn one(&mut self, line: &str) -> Result<f64> {
        self.ask(line).map(|numbers| numbers[0])
    }

    fn finish(mut self) -> Result<()> {
        drop(self.input);
        let status = self.child.wait().map_err(|e| e.to_string())?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("{}: {status}", self.name))
        }
    }
}

/// Load and open, inside the process and as a whole process from start to end.
fn measure_load(peer: &Peer, index: usize, place: &Place, table: &mut Table) -> Result<()> {
    let start = Instant::now();
    let mut process = peer.start_bare(place)?;
    let inside = process.one("load")? + process.one("client")?;
    process.finish()?;
    let whole = start.elapsed().as_secs_f64() * 1e3;
    table.add(Row::Load, index, inside / 1e6);
    table.add(Row::LoadProcess, index, whole);
    Ok(())
}

/// From making the first client of a process to the end of its first login.
fn measure_first_login(peer: &Peer, index: usize, place: &Place, table: &mut Table) -> Result<()> {
    let mut process = peer.start(place)?;
    process.one("load")?;
    let client = process.one("client")?;
    let login = process.one(&format!("login {} 1", place.sandbox.totp_now()))?;
    table.add(Row::First, index, (client + login) / 1e6);
    table.add(Row::Memory, index, process.one("memory")? / 1024.0);
    process.finish()
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
    table.add(Row::SearchFirst, index, process.one(SEARCH)? / 1e6);
    let searches = if peer.kind == Kind::Sdk { 1 } else { SEARCHES };
    let times: Vec<f64> = (0..searches)
        .map(|_| process.one(SEARCH))
        .collect::<Result<_>>()?;
    table.add(Row::SearchAgain, index, median(&times) / 1e3);
    process.finish()?;
    if cache.exists() {
        fs::remove_dir_all(&cache).map_err(|e| format!("{}: {e}", cache.display()))?;
    }
    Ok(())
}

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

/// What each row is called, and its unit, in the order of `Row`.
const ROWS: [(&str, &str); 17] = [
    ("load and open a client, inside the process", "ms"),
    ("the same, whole process from start to end", "ms"),
    ("first login over TLS, fresh process", "ms"),
    ("login over plain HTTP, kept alive", "us"),
    ("login over TLS, kept alive", "us"),
    ("place_order over plain HTTP, kept alive, p50", "us"),
    ("the same, p99", "us"),
    ("place_order over TLS, kept alive, p50", "us"),
    ("the same, p99", "us"),
    ("quotes over plain HTTP, kept alive, p50", "us"),
    ("the same, p99", "us"),
    ("quotes over TLS, kept alive, p50", "us"),
    ("the same, p99", "us"),
    ("search_scrip among 90,000, first of the day", "ms"),
    ("search_scrip among 90,000, again", "us"),
    ("resident memory after the first login over TLS", "MiB"),
    ("resident memory after all rounds over TLS", "MiB"),
];

/// The samples: one number for each row, peer and round.
struct Table {
    samples: Vec<Vec<Vec<f64>>>,
}

impl Table {
    fn new(peers: &[Peer]) -> Self {
        Self {
            samples: vec![vec![Vec::new(); peers.len()]; ROWS.len()],
        }
    }

    fn add(&mut self, row: Row, peer: usize, value: f64) {
        self.samples[row as usize][peer].push(value);
    }

    fn print(&self, peers: &[Peer]) {
        let mut head = "| what |".to_owned();
        let mut line = "|---|".to_owned();
        for peer in peers {
            head += &format!(" {} |", peer.name);
            line += "--:|";
        }
        for peer in &peers[1..] {
            head += &match peer.kind {
                Kind::Sdk => format!(" {} / kotak_neo |", peer.name),
                Kind::Curl | Kind::ThisLibrary => format!(" kotak_neo / {} |", peer.name),
            };
            line += "--:|";
        }
        println!("{head}\n{line}");
        for ((what, unit), samples) in ROWS.iter().zip(&self.samples) {
            let mut text = format!("| {what} |");
            for values in samples {
                text += &match values.is_empty() {
                    true => " - |".to_owned(),
                    false => format!(" {} {unit} |", short(median(values))),
                };
            }
            for (peer, values) in peers.iter().zip(samples).skip(1) {
                let ratio = |(ours, theirs): (&f64, &f64)| match peer.kind {
                    Kind::Sdk => theirs / ours,
                    Kind::Curl | Kind::ThisLibrary => ours / theirs,
                };
                let ratios: Vec<f64> = samples[0].iter().zip(values).map(ratio).collect();
                text += &match ratios.is_empty() {
                    true => " - |".to_owned(),
                    false => format!(" {}x |", short(median(&ratios))),
                };
            }
            println!("{text}");
        }
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => f64::midpoint(sorted[even / 2 - 1], sorted[even / 2]),
    }
}

/// The value that this share of all is not above.
fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(at.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}

/// Three significant digits.
fn short(value: f64) -> String {
    let decimals = match value {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

fn machine() -> String {
    let model = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        text.lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map(|(_, name)| name.to_owned())
    });
    let count = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "machine: {count} processors, {}, {}",
        model.as_deref().unwrap_or("model not known"),
        env::consts::OS
    )
}
