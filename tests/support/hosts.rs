//! Building and running programs in other languages against the sandbox: what
//! the tests of all hosts and the demo have in common.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use kotak_neo_sandbox::Sandbox;

/// How long a compiler or a program may take. Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(600);

/// The top folder of this repository.
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// What a program did.
pub struct Ran {
    /// The program and its arguments.
    pub command: String,
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}\nexit code: {:?}", self.command, self.code)?;
        write!(f, "--- stdout\n{}--- stderr\n{}", self.stdout, self.stderr)
    }
}

/// Runs a command to its end, without input; a hanging one is killed.
pub fn run(command: &mut Command) -> Result<Ran, String> {
    let shown = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start {shown}: {error}"))?;
    let stdout = read_all(child.stdout.take());
    let stderr = read_all(child.stderr.take());
    let end = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < end => thread::sleep(Duration::from_millis(2)),
            Ok(None) => {
                let killed = child.kill().and_then(|()| child.wait());
                return Err(format!("{shown} hangs; killed: {killed:?}"));
            }
            Err(error) => return Err(format!("cannot wait for {shown}: {error}")),
        }
    };
    let text = |reader: thread::JoinHandle<Vec<u8>>| {
        let bytes = reader
            .join()
            .map_err(|_| format!("the output of {shown} was not read"))?;
        Ok::<_, String>(String::from_utf8_lossy(&bytes).into_owned())
    };
    Ok(Ran {
        code: status.code(),
        stdout: text(stdout)?,
        stderr: text(stderr)?,
        command: shown,
    })
}

fn read_all(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // A read that fails gives what came before it.
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

/// Runs a compiler; its output is the error if it fails.
pub fn build(command: &mut Command) -> Result<(), String> {
    let ran = run(command)?;
    if ran.code == Some(0) {
        Ok(())
    } else {
        Err(ran.to_string())
    }
}

/// The flags that every C and C++ source here is compiled with.
pub const STRICT: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];

/// The environment that the programs read, for a user of this sandbox.
pub fn environment(sandbox: &Sandbox) -> Vec<(&'static str, String)> {
    let who = sandbox.credentials();
    vec![
        ("KNEO_CONFIG", sandbox.config_json()),
        ("KNEO_MOBILE_NUMBER", who.mobile_number.clone()),
        ("KNEO_UCC", who.ucc.clone()),
        ("KNEO_TOTP_SECRET", who.totp_secret.clone()),
        ("KNEO_MPIN", who.mpin.clone()),
        ("KNEO_PASSWORD", who.password.clone()),
        // The MPIN is a second factor of the password login too.
        ("KNEO_OTP", who.mpin.clone()),
    ]
}

/// A command whose environment has no `KNEO_` variable but those given.
pub fn command(program: impl AsRef<Path>, variables: &[(&'static str, String)]) -> Command {
    let mut command = Command::new(program.as_ref());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("KNEO_") {
            command.env_remove(name);
        }
    }
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    command
}
