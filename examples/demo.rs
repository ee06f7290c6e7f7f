//! The C programs against the sandbox: `cargo run --example demo`.
//!
//! It starts the sandbox in this process, builds the programs of `examples/c`
//! with the machine's C compiler (`$CC`, or `cc`) against the library that cargo
//! has just built, and runs them: both logins, the life of an order, an order
//! whose answer is lost, positions and an option chain, ten seconds of live
//! prices, and the life of an order as the order feed tells it.

use std::error::Error;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use kotak_neo_sandbox::{Fault, FaultKind, Options, Sandbox, Socket, Strike, TlsMode};
use kotak_neo_testing::folder::Folder;
use kotak_neo_testing::hosts::{STRICT, build, command, environment, repository, run};
use kotak_neo_testing::library;

type Done = Result<(), Box<dyn Error>>;

const PROGRAMS: [&str; 6] = ["login", "order", "outcome", "portfolio", "ticks", "watch"];
/// How much of a line is shown.
const WIDTH: usize = 100;

fn main() -> ExitCode {
    println!("This is a sandbox: a simulated broker on this machine. No order, no login and");
    println!("no packet leaves it, and all credentials are made up.");
    match demo() {
        Ok(()) => {
            println!(
                "\nAll of it is done. The programs are in examples/c. For a sandbox that stays:"
            );
            println!("cargo run -p kotak-neo-sandbox");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("\nThe demo failed: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn demo() -> Done {
    let programs = Programs::build()?;

    title("1. Log in with TOTP and MPIN");
    log_in(&programs, "totp", TlsMode::Off)?;
    title("2. Log in with a password, over TLS");
    log_in(&programs, "password", TlsMode::Valid)?;

    // One sandbox, so that each program sees what those before it did. Its
    // prices stand still.
    let still = Sandbox::start(Options::default())?;
    title("3. The life of one order");
    programs.run(&still, "order", &[])?;

    title("4. The broker takes an order, and its answer is lost");
    still.set_fault(Fault {
        path: "/quick/order/rule/ms/place".to_owned(),
        times: Some(1),
        kind: FaultKind::ResetAfter,
    });
    programs.run(&still, "outcome", &[])?;

    title("5. Funds, positions and an option chain");
    // Something to show among the positions.
    let bought = still.place_from_app("nse_cm", "IDEA-EQ", "B", 10, "9.90");
    println!("Order {bought} was placed in the app: 10 IDEA-EQ bought.");
    programs.run(&still, "portfolio", &[])?;

    let moving = Sandbox::start(Options {
        tick_every: Some(Duration::from_millis(200)),
        ..Options::default()
    })?;
    title("6. Ten seconds of live prices; after five the connection is cut");
    live_prices(&programs, &moving)?;

    title("7. The life of one order, as the order feed tells it");
    programs.run(&moving, "watch", &["20", "fill"])
}

fn title(text: &str) {
    println!("\n{text}\n{}", "-".repeat(text.len()));
}

/// The C programs, built in a folder of their own.
struct Programs(Folder);

impl Programs {
    fn build() -> Result<Self, Box<dyn Error>> {
        let workshop = Folder::new("demo");
        let lib = workshop.path("lib");
        library::lay_out(&lib)?;
        // $CC may hold flags too, as make allows.
        let compiler = std::env::var("CC").unwrap_or_default();
        let mut words = compiler.split_whitespace();
        let compiler = words.next().unwrap_or("cc");
        let flags: Vec<&str> = words.collect();
        println!("\nBuilding {} with {compiler}", PROGRAMS.join(", "));
        for name in PROGRAMS {
            let mut cc = Command::new(compiler);
            cc.args(&flags).arg("-std=c11").args(STRICT);
            cc.arg("-I").arg(repository().join("include"));
            cc.arg(repository().join(format!("examples/c/{name}.c")));
            cc.args(library::shared_flags(&lib));
            build(cc.arg("-o").arg(workshop.path(name)))?;
        }
        Ok(Self(workshop))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    /// Starts a program that prints to where this one prints.
    fn start(&self, sandbox: &Sandbox, name: &str, arguments: &[&str]) -> std::io::Result<Child> {
        println!("$ {}", [&[name], arguments].concat().join(" "));
        command(self.path(name), &environment(sandbox))
            .args(arguments)
            .stdin(Stdio::null())
            .spawn()
    }

    fn run(&self, sandbox: &Sandbox, name: &str, arguments: &[&str]) -> Done {
        end(name, self.start(sandbox, name, arguments)?)
    }
}

/// Waits for a program.
fn end(name: &str, mut program: Child) -> Done {
    let status = program.wait()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{name} ended with {status}").into())
    }
}

/// Shows the answer of each call: the session whole, of the others the beginning.
fn log_in(programs: &Programs, way: &str, tls: TlsMode) -> Done {
    let sandbox = Sandbox::start(Options {
        tls,
        ..Options::default()
    })?;
    println!("$ login {way}    (the sandbox is at {})", sandbox.url());
    let ran = run(command(programs.path("login"), &environment(&sandbox)).arg(way))?;
    if ran.code != Some(0) {
        return Err(ran.to_string().into());
    }
    for line in ran.stdout.lines() {
        let shown = match line.split_once(": 0 ") {
            Some(("session_info", json)) => {
                let json: serde_json::Value = serde_json::from_str(json)?;
                format!("session_info: KNEO_OK\n{json:#}")
            }
            Some((call, json)) => shortened(format!("{call}: KNEO_OK {json}")),
            None => line.to_owned(),
        };
        println!("{shown}");
    }
    Ok(())
}

fn shortened(line: String) -> String {
    match line.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

fn live_prices(programs: &Programs, sandbox: &Sandbox) -> Done {
    let program = programs.start(sandbox, "ticks", &["10"])?;
    thread::sleep(Duration::from_secs(5));
    sandbox.strike(
        Socket::Feed,
        Strike::Close {
            code: 1001,
            reason: "the sandbox cuts it".to_owned(),
        },
    );
    end("ticks", program)
}
