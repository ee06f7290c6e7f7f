//! The C programs against the sandbox: `cargo run --example demo`.
//!
//! It starts the sandbox in this process, builds the programs of `examples/c`
//! with the machine's C compiler (`$CC`, or `cc`) against the library that cargo
//! has just built, and runs them: both logins, the life of an order, an order
//! whose answer is lost, and positions and an option chain.

#[path = "../tests/support/hosts.rs"]
mod hosts;
#[path = "../tests/support/library.rs"]
mod library;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use hosts::{STRICT, Workshop, build, command, environment, repository, run};
use kotak_neo_sandbox::{Fault, FaultKind, Options, Sandbox, TlsMode};

fn main() -> ExitCode {
    println!("This is a sandbox: a simulated broker on this machine. No order, no login and");
    println!("no packet leaves it, and all credentials are made up.");
    match demo() {
        Ok(()) => {
            println!("\nAll of it is done.");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("\nThe demo failed: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn demo() -> Result<(), Box<dyn Error>> {
    let workshop = Workshop::new("demo")?;
    library::lay_out(&workshop.path("lib"))?;
    let login = build_program(&workshop, "login")?;
    log_in(&login, "totp", TlsMode::Off)?;
    log_in(&login, "password", TlsMode::Valid)?;
    trade(&workshop)
}

/// One sandbox for the trading programs, so that each sees what the others did.
fn trade(workshop: &Workshop) -> Result<(), Box<dyn Error>> {
    let sandbox = Sandbox::start(Options::default())?;
    // Something to show among the positions.
    let bought = sandbox.place_from_app("nse_cm", "IDEA-EQ", "B", 10, "9.90");
    println!("\nOrder {bought} was placed in the app: 10 IDEA-EQ bought.");
    for (name, what, fault) in [
        ("order", "the life of one order", None),
        (
            "outcome",
            "the sandbox takes an order and cuts the connection",
            Some(FaultKind::ResetAfter),
        ),
        ("portfolio", "funds, positions and an option chain", None),
    ] {
        let program = build_program(workshop, name)?;
        println!("\n$ {name}    ({what})");
        if let Some(kind) = fault {
            sandbox.set_fault(Fault {
                path: "/quick/order/rule/ms/place".to_owned(),
                times: Some(1),
                kind,
            });
        }
        let ran = run(&mut command(&program, &environment(&sandbox)))?;
        print!("{}{}", ran.stdout, ran.stderr);
        if ran.code != Some(0) {
            return Err(format!("{name} ended with {:?}", ran.code).into());
        }
    }
    Ok(())
}

fn build_program(workshop: &Workshop, name: &str) -> Result<PathBuf, Box<dyn Error>> {
    let lib = workshop.path("lib");
    let program = workshop.path(name);
    // $CC may hold flags too, as make allows.
    let compiler = std::env::var("CC").unwrap_or_default();
    let mut words = compiler.split_whitespace();
    let mut cc = Command::new(words.next().unwrap_or("cc"));
    cc.args(words).arg("-std=c11").args(STRICT);
    cc.arg("-I").arg(repository().join("include"));
    cc.arg(repository().join(format!("examples/c/{name}.c")));
    cc.args(library::shared_flags(&lib)).arg("-o").arg(&program);
    println!(
        "\nBuilding examples/c/{name}.c with {}",
        cc.get_program().to_string_lossy()
    );
    build(&mut cc)?;
    Ok(program)
}

fn log_in(program: &Path, way: &str, tls: TlsMode) -> Result<(), Box<dyn Error>> {
    let sandbox = Sandbox::start(Options {
        tls,
        ..Options::default()
    })?;
    println!("\n$ login {way}    (the sandbox is at {})", sandbox.url());
    let ran = run(command(program, &environment(&sandbox)).arg(way))?;
    if ran.code != Some(0) {
        return Err(ran.to_string().into());
    }
    for line in ran.stdout.lines() {
        match line
            .split_once(": 0 ")
            .map(|(call, json)| (call, serde_json::from_str(json)))
        {
            Some((call, Ok::<serde_json::Value, _>(json))) => println!("{call}: KNEO_OK\n{json:#}"),
            _ => println!("{line}"),
        }
    }
    Ok(())
}
