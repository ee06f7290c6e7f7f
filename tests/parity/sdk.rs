//! The official SDK, driven through `sdk_driver.py`.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// The version that the wire documents and this comparison are about.
const VERSION: &str = "3.0.9";

/// A process in which the SDK runs.
pub struct Sdk {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Sdk {
    /// Starts the SDK against `address`. `None`, with a line that says why, if
    /// this machine has no such Python; but then `KNEO_TEST_REQUIRE=all` must
    /// not be set.
    pub fn start(test: &str, address: &str, ca_file: &str) -> Option<Self> {
        Self::start_in(test, address, ca_file, &[])
    }

    /// The same with more environment variables.
    pub fn start_in(
        test: &str,
        address: &str,
        ca_file: &str,
        environment: &[(&str, &str)],
    ) -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = env::var_os("KNEO_SDK_PYTHON")
            .map_or_else(|| root.join("target/sdk-venv/bin/python"), PathBuf::from);
        let found = Command::new(&python)
            .args([
                "-c",
                "import importlib.metadata as m; m.version('kotakneoapi')",
            ])
            .output();
        if !found.is_ok_and(|output| output.status.success()) {
            let reason = format!(
                "no kotakneoapi {VERSION} in {} (KNEO_SDK_PYTHON names another Python)",
                python.display()
            );
            assert_ne!(
                env::var("KNEO_TEST_REQUIRE").as_deref(),
                Ok("all"),
                "{test}: {reason}"
            );
            // Not println: the test runner would keep it for itself.
            writeln!(std::io::stderr(), "skipped: {test}: {reason}")
                .expect("stderr can be written");
            return None;
        }
        let mut child = Command::new(&python)
            .arg(root.join("tests/parity/sdk_driver.py"))
            .args([address, ca_file])
            // Its logs would land in its folder and in the test's output; the
            // third variable would add a header.
            .env("NEO_LOG_FILE_ENABLED", "false")
            .env("NEO_LOG_LEVEL", "NOLOG")
            .env_remove("NEO_UAT_X_FORWARDED_FOR")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut sdk = Self {
            child,
            input,
            output,
        };
        assert_eq!(sdk.ask("version", json!({})), VERSION);
        Some(sdk)
    }

    /// Sends one command and gives its answer.
    pub fn ask(&mut self, what: &str, with: Value) -> Value {
        let input = self.input.as_mut().expect("open until it is dropped");
        writeln!(input, "{}", json!({"do": what, "with": with})).expect("the driver listens");
        let mut line = String::new();
        self.output
            .read_line(&mut line)
            .expect("the driver answers");
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{what}: {e}: {line:?}"))
    }
}

impl Drop for Sdk {
    fn drop(&mut self) {
        // The driver ends with its input.
        self.input = None;
        let ended = self.child.wait().expect("the driver can be waited for");
        if !std::thread::panicking() {
            assert!(ended.success(), "the driver ended with {ended}");
        }
    }
}
