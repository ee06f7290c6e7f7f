//! The binary.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kotak-neo-sandbox"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// A running sandbox; killed if a test fails.
struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
    first_lines: Vec<String>,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut child = program(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut running = Self {
            child,
            out,
            first_lines: Vec::new(),
        };
        loop {
            let line = running.line();
            let last = line.starts_with("Ctrl-C");
            running.first_lines.push(line);
            if last {
                return running;
            }
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert_ne!(
            self.out.read_line(&mut line).unwrap(),
            0,
            "the program has ended"
        );
        line.trim_end().to_owned()
    }

    /// The `export` lines.
    fn exports(&self) -> HashMap<String, String> {
        self.first_lines
            .iter()
            .filter_map(|line| line.strip_prefix("export "))
            .map(|line| {
                let (name, value) = line.split_once('=').unwrap();
                let value = value
                    .strip_prefix('\'')
                    .unwrap()
                    .strip_suffix('\'')
                    .unwrap();
                (name.to_owned(), value.to_owned())
            })
            .collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn says_what_it_is_and_how_to_use_it() {
    let running = Running::start(&[]);
    assert!(running.first_lines[0].contains("SANDBOX"));
    let exports = running.exports();
    let mut names: Vec<&str> = exports.keys().map(|name| &**name).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "KNEO_CONFIG",
            "KNEO_MOBILE_NUMBER",
            "KNEO_MPIN",
            "KNEO_OTP",
            "KNEO_PASSWORD",
            "KNEO_TOTP_SECRET",
            "KNEO_UCC"
        ]
    );
    let config: Value = serde_json::from_str(&exports["KNEO_CONFIG"]).unwrap();
    let url = config["base_url"].as_str().unwrap();
    assert!(
        running
            .first_lines
            .iter()
            .any(|line| *line == format!("address: {url}"))
    );
    assert_eq!(exports["KNEO_OTP"], exports["KNEO_MPIN"]);
}

#[cfg(unix)]
#[test]
fn prints_otps_and_cleans_up_when_stopped() {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;
    use std::path::Path;

    let mut running = Running::start(&["--port", "0", "--http2"]);
    let config: Value = serde_json::from_str(&running.exports()["KNEO_CONFIG"]).unwrap();
    let host = config["base_url"]
        .as_str()
        .unwrap()
        .strip_prefix("http://")
        .unwrap()
        .to_owned();
    let ask = |path: &str, headers: &str, body: &str| {
        let mut stream = TcpStream::connect(&host).unwrap();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{text}");
        serde_json::from_str::<Value>(body).unwrap()
    };
    let basic = {
        use base64::Engine as _;
        let pair = format!(
            "{}:{}",
            config["consumer_key"].as_str().unwrap(),
            config["consumer_secret"].as_str().unwrap()
        );
        base64::engine::general_purpose::STANDARD.encode(pair)
    };
    let token = ask(
        "/oauth2/token",
        &format!("authorization: Basic {basic}\r\n"),
        r#"{"grant_type":"client_credentials"}"#,
    );
    let bearer = format!(
        "authorization: Bearer {}\r\n",
        token["access_token"].as_str().unwrap()
    );
    let password = &running.exports()["KNEO_PASSWORD"];
    let body = format!(r#"{{"userid":"fake-user-0000","password":"{password}"}}"#);
    ask("/login/1.0/login/v2/validate", &bearer, &body);
    let body = r#"{"userId":"fake-user-0000","sendEmail":true,"isWhitelisted":true}"#;
    ask("/login/1.0/login/otp/generate", &bearer, body);
    let line = running.line();
    let otp = line.strip_prefix("OTP for the pretend phone: ").unwrap();
    assert_eq!(otp.len(), 4);

    for signal in ["-TERM", "-INT"] {
        let mut running = Running::start(&["--tls", "--gzip", "--require-cookie"]);
        let config: Value = serde_json::from_str(&running.exports()["KNEO_CONFIG"]).unwrap();
        let ca_file = Path::new(config["ca_file"].as_str().unwrap());
        assert!(ca_file.exists());
        let id = running.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
        assert!(running.child.wait().unwrap().success());
        assert!(!ca_file.parent().unwrap().exists());
    }
}

#[test]
fn takes_no_wrong_argument() {
    for arguments in [
        &["--prot", "1"][..],
        &["--port"],
        &["--port", "x"],
        &["--port", "65536"],
        &["--tls=x"],
        &["--proxy"],
        &["--tls", "--proxy=x"],
        &["--tls", "--proxy=99"],
    ] {
        let out = program(arguments).output().unwrap();
        assert_eq!(out.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8_lossy(&out.stderr).contains("usage:"));
    }
    let help = program(&["--help"]).output().unwrap();
    assert!(help.status.success());
    assert!(String::from_utf8_lossy(&help.stdout).starts_with("usage:"));
    // A port that is taken is an error that names itself, not a panic.
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let out = program(&["--port", &port]).output().unwrap();
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stderr).starts_with("kotak-neo-sandbox: "));
}
