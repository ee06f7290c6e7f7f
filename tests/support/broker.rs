//! A sandbox in a process of its own, so that what is measured is the
//! library's alone. The process is the test program itself, started once more
//! with nothing but its test `broker`.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

use serde_json::Value;

/// Tells a process that it is a sandbox.
const BROKER: &str = "KNEO_TEST_BROKER";
const READY: &str = "ready\n";

/// A sandbox that is talked to in lines of JSON.
pub struct Broker {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Broker {
    /// Starts one and waits until it listens.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn start() -> Self {
        let mut child = Command::new(env::current_exe().expect("a test is a file"))
            .args(["--exact", "broker", "--nocapture", "--test-threads=1"])
            .env(BROKER, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        // The test runner talks first, and on the same line.
        while !line.ends_with(READY) {
            line.clear();
            assert!(output.read_line(&mut line).expect("the pipe works") > 0);
        }
        Self {
            input: child.stdin.take(),
            child,
            output,
        }
    }

    /// Asks a question and gives the answer.
    ///
    /// # Panics
    ///
    /// If the broker has ended.
    pub fn ask(&mut self, what: &Value) -> Value {
        let input = self.input.as_mut().expect("open until it is dropped");
        writeln!(input, "{what}").expect("the broker listens");
        let mut line = String::new();
        self.output
            .read_line(&mut line)
            .expect("the broker answers");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.input = None;
        let ended = self.child.wait().expect("it can be waited for");
        if !thread::panicking() {
            assert!(ended.success(), "the broker ended with {ended}");
        }
    }
}

/// Whether this process is the one that [`Broker::start`] started. Every other
/// test of the program has nothing to do there: only `broker` is run.
pub fn is_here() -> bool {
    env::var_os(BROKER).is_some()
}

/// Answers the questions of the parent until it lets go.
pub fn serve(mut answer: impl FnMut(&Value) -> Value) {
    let mut out = std::io::stdout();
    out.write_all(READY.as_bytes()).expect("the parent listens");
    for line in std::io::stdin().lines() {
        let asked = serde_json::from_str(&line.expect("a line")).expect("JSON");
        writeln!(out, "{}", answer(&asked)).expect("the parent listens");
    }
}
