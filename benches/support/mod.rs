//! What the benchmarks have in common: the library as it is released, peers that
//! are processes of their own, and the table.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};

use kotak_neo_sandbox::{Options, Sandbox, TlsMode};

pub type Result<T> = std::result::Result<T, String>;
/// Peers that are not here, and why.
pub type Skipped = Vec<(&'static str, String)>;

const SDK_VERSION: &str = "3.0.9";

/// Runs a benchmark if it is started as one.
pub fn main(run: impl FnOnce() -> Result<()>) -> ExitCode {
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

/// How many rounds to go.
pub fn rounds() -> Result<usize> {
    let Some(text) = env::var_os("KNEO_BENCH_ROUNDS") else {
        return Ok(9);
    };
    text.to_str()
        .and_then(|text| text.parse().ok())
        .filter(|rounds| *rounds >= 7)
        .ok_or_else(|| "KNEO_BENCH_ROUNDS must be a number, at least 7".to_owned())
}

/// Where a benchmark keeps its programs and files.
pub fn scratch(name: &str) -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    Ok(folder)
}

/// The source of a peer.
pub fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("benches/peers")
        .join(name)
}

/// Builds the shared library as it is released: with the cdylib as the only
/// crate type, since cargo leaves link-time optimisation out next to an rlib. In
/// a directory of its own, or each would have the other built anew.
pub fn build_library() -> Result<PathBuf> {
    let program = env::current_exe().map_err(|e| e.to_string())?;
    let release = program
        .parent()
        .and_then(Path::parent)
        .ok_or("the bench program is not in a target directory")?;
    let target = release
        .parent()
        .ok_or("no target directory")?
        .join("bench-library");
    let built = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["rustc", "--release", "--locked", "--package", "kotak-neo"])
        .args(["--lib", "--crate-type", "cdylib", "--target-dir"])
        .arg(&target)
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

/// A sandbox that holds nobody back.
pub fn start_sandbox(tls: TlsMode) -> Result<Sandbox> {
    Sandbox::start(Options {
        tls,
        http2: false,
        // Nothing but the peers is to be measured.
        orders_per_second: 0,
        quotes_per_second: 0,
        quotes_at_once: 0,
        candles_per_second: 0,
        cash_rupees: 2_000_000_000,
        record_limit: 0,
        ..Options::default()
    })
    .map_err(|e| format!("the sandbox does not start: {e}"))
}

/// Tells a peer where the sandbox is, and who can log in there.
pub fn introduce(command: &mut Command, sandbox: &Sandbox) {
    let known = sandbox.credentials();
    let config = sandbox.config_json();
    let open = config.trim_end().trim_end_matches('}');
    command
        // Without a ceiling for orders and reads: the pace is not what is measured.
        .env(
            "KNEO_CONFIG",
            format!(
                "{open},\"max_orders_per_second\":1000000,\"max_quotes_at_once\":1000000,\
                 \"max_reads_per_second\":{{\"quotes\":1000000,\"candles\":1000000,\
                 \"other\":1000000}}}}"
            ),
        )
        .env("KNEO_CONSUMER_KEY", &known.consumer_key)
        .env("KNEO_MOBILE_NUMBER", &known.mobile_number)
        .env("KNEO_UCC", &known.ucc)
        .env("KNEO_MPIN", &known.mpin);
}

/// Compiles a peer that is one C file.
pub fn compile(source: &Path, scratch: &Path, libraries: &[&str]) -> Result<PathBuf> {
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

/// A Python with the official SDK, and what it is.
pub fn find_sdk() -> Result<(PathBuf, String)> {
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
pub fn said(command: &mut Command) -> Result<String> {
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
pub struct Process {
    name: &'static str,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Starts the program of a peer.
    pub fn start(name: &'static str, mut command: Command) -> Result<Self> {
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

    /// Gives a command, and reads the numbers of its answer.
    pub fn ask(&mut self, line: &str) -> Result<Vec<f64>> {
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

    /// The first number of the answer.
    pub fn one(&mut self, line: &str) -> Result<f64> {
        self.ask(line).map(|numbers| numbers[0])
    }

    /// Ends the peer.
    pub fn finish(mut self) -> Result<()> {
        drop(self.input);
        let status = self.child.wait().map_err(|e| e.to_string())?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("{}: {status}", self.name))
        }
    }
}

/// A row of the table.
pub struct Line {
    pub what: &'static str,
    pub unit: &'static str,
    pub more_is_better: bool,
}

/// How this library, the first column, is held against another.
#[derive(Clone, Copy)]
pub enum Ratio {
    /// Ours divided by theirs.
    Share,
    /// How many times better ours is.
    Times,
}

/// A column of the table: its name; and its ratio with the heading of that.
pub struct Column {
    pub name: &'static str,
    pub ratio: Option<(Ratio, String)>,
}

/// The samples: one number for each row, column and round.
pub struct Table {
    lines: &'static [Line],
    columns: Vec<Column>,
    samples: Vec<Vec<Vec<f64>>>,
}

impl Table {
    /// A table without numbers.
    pub fn new(lines: &'static [Line], columns: Vec<Column>) -> Self {
        Self {
            samples: vec![vec![Vec::new(); columns.len()]; lines.len()],
            lines,
            columns,
        }
    }

    /// Adds the number of a round.
    pub fn add(&mut self, line: usize, column: usize, value: f64) {
        self.samples[line][column].push(value);
    }

    /// Prints it as Markdown.
    pub fn print(&self) {
        let names = self.columns.iter().map(|column| column.name);
        let ratios = self.columns.iter().filter_map(|column| {
            let (_, heading) = column.ratio.as_ref()?;
            Some(heading.as_str())
        });
        let heads: Vec<&str> = names.chain(ratios).collect();
        println!("| what | {} |", heads.join(" | "));
        println!("|---|{}", "--:|".repeat(heads.len()));
        for (line, samples) in self.lines.iter().zip(&self.samples) {
            if samples.iter().all(Vec::is_empty) {
                // It was not asked for.
                continue;
            }
            let mut text = format!("| {} |", line.what);
            for values in samples {
                text += &match values.is_empty() {
                    true => " - |".to_owned(),
                    false => format!(" {} {} |", short(median(values)), line.unit),
                };
            }
            for (column, theirs) in self.columns.iter().zip(samples) {
                let Some((ratio, _)) = &column.ratio else {
                    continue;
                };
                let of = |(ours, theirs): (&f64, &f64)| match (ratio, line.more_is_better) {
                    (Ratio::Share, _) | (Ratio::Times, true) => ours / theirs,
                    (Ratio::Times, false) => theirs / ours,
                };
                let ratios: Vec<f64> = samples[0].iter().zip(theirs).map(of).collect();
                text += &match ratios.is_empty() {
                    true => " - |".to_owned(),
                    false => format!(" {}x |", short(median(&ratios))),
                };
            }
            println!("{text}");
        }
    }
}

/// Prints what a table was made with.
pub fn print_head(made: &str, peers: &[(&str, &str)], skipped: &Skipped) {
    println!();
    println!("kotak_neo {}, {made}", env!("CARGO_PKG_VERSION"));
    println!("{}", machine());
    for (name, version) in peers {
        println!("peer: {name}: {version}");
    }
    for (name, reason) in skipped {
        println!("skipped: {name}: {reason}");
    }
}

/// The middle one.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => f64::midpoint(sorted[even / 2 - 1], sorted[even / 2]),
    }
}

/// The value that this share of all is not above.
pub fn percentile(values: &[f64], share: f64) -> f64 {
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
