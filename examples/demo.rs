//! Both logins through the C program, against the sandbox: `cargo run --example demo`.
//!
//! It starts the sandbox in this process, builds `examples/c/login.c` with the
//! machine's C compiler (`$CC`, or `cc`) against the library that cargo has just
//! built, and runs it: with TOTP over http, and with a password over TLS.

#[path = "../tests/support/hosts.rs"]
mod hosts;
#[path = "../tests/support/library.rs"]
mod library;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use hosts::{STRICT, Workshop, build, command, environment, repository, run};
use kotak_neo_sandbox::{Options, Sandbox, TlsMode};

fn main() -> ExitCode {
    println!("This is a sandbox: a simulated broker on this machine. No order, no login and");
    println!("no packet leaves it, and all credentials are made up.");
    match demo() {
        Ok(()) => {
            println!("\nBoth logins are done.");
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
    let program = build_login(&workshop)?;
    log_in(&program, "totp", TlsMode::Off)?;
    log_in(&program, "password", TlsMode::Valid)
}

fn build_login(workshop: &Workshop) -> Result<PathBuf, Box<dyn Error>> {
    let lib = workshop.path("lib");
    library::lay_out(&lib)?;
    let program = workshop.path("login");
    // $CC may hold flags too, as make allows.
    let compiler = std::env::var("CC").unwrap_or_default();
    let mut words = compiler.split_whitespace();
    let mut cc = Command::new(words.next().unwrap_or("cc"));
    cc.args(words).arg("-std=c11").args(STRICT);
    cc.arg("-I").arg(repository().join("include"));
    cc.arg(repository().join("examples/c/login.c"));
    cc.args(library::shared_flags(&lib)).arg("-o").arg(&program);
    println!(
        "\nBuilding examples/c/login.c with {}",
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
