//! After a full day of calls with the log at its most verbose, and with every
//! failure provoked, no credential and no token is found anywhere.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::thread;

use kotak_neo::{Client, Error, Reply};
use kotak_neo_sandbox::{FaultKind, Sandbox};
use serde_json::{Value, json};

use crate::support::{
    answer, client_with, config, fault, log_in, password_login, sandbox, totp_login,
};

/// Everything that a user may put on a screen or into a bug report.
#[derive(Default)]
struct Shown(String);

impl Shown {
    fn add(&mut self, result: &Result<Reply, Error>) {
        match result {
            Ok(reply) => {
                self.0 += &format!("{} {} {reply:?}\n", reply.redacted(), reply.meta());
            }
            Err(error) => {
                self.0 += &format!("{} {} {error} {error:?}\n", error.to_json(), error.meta());
            }
        }
    }
}

/// All credentials, and all tokens that went over the wire in either
/// direction.
#[derive(Default)]
struct Secrets(BTreeSet<String>);

impl Secrets {
    fn of(sandbox: &Sandbox) -> Self {
        let user = sandbox.credentials();
        let all = [
            &user.consumer_key,
            &user.consumer_secret,
            &user.password,
            &user.mpin,
            &user.totp_secret,
        ];
        Self(all.into_iter().cloned().collect())
    }

    fn sent(&mut self, sandbox: &Sandbox) {
        for request in sandbox.requests() {
            for name in ["authorization", "auth", "sid", "cookie"] {
                let value = request.header(name).unwrap_or_default();
                let value = value
                    .strip_prefix("Bearer ")
                    .or(value.strip_prefix("Basic "))
                    .unwrap_or(value);
                self.0.insert(value.to_owned());
            }
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            for key in ["totp", "otp", "mpin", "password", "ott"] {
                self.0.extend(body[key].as_str().map(str::to_owned));
            }
        }
        self.0.remove("");
    }

    fn received(&mut self, result: &Result<Reply, Error>) {
        let Ok(reply) = result else { return };
        let body: Value = serde_json::from_str(reply.json()).expect("an OK body is JSON");
        for place in [&body, &body["data"]] {
            for key in ["token", "sid", "rid", "access_token", "totp"] {
                self.0.extend(place[key].as_str().map(str::to_owned));
            }
        }
    }
}

struct Day {
    sandbox: Sandbox,
    shown: Shown,
    secrets: Secrets,
    log: PathBuf,
}

impl Day {
    fn new() -> Self {
        let sandbox = sandbox();
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let log = folder.join(format!("secrets-{}.log", std::process::id()));
        // A log of an earlier run that was cut short.
        if log.exists() {
            std::fs::remove_file(&log).expect("an old log can go");
        }
        let secrets = Secrets::of(&sandbox);
        Self {
            sandbox,
            shown: Shown::default(),
            secrets,
            log,
        }
    }

    fn client(&self, more: &Value) -> Client {
        let mut more = more.clone();
        more["log"] = json!({"level": "trace", "file": self.log});
        more["timeouts"] = json!({"login": 500, "read": 500});
        client_with(&self.sandbox, &more)
    }

    fn note(&mut self, result: Result<Reply, Error>) -> bool {
        self.secrets.sent(&self.sandbox);
        self.secrets.received(&result);
        self.shown.add(&result);
        result.is_ok()
    }

    /// Every call, with whatever the sandbox does at the moment.
    fn all_calls(&mut self) -> usize {
        let user = self.sandbox.credentials().clone();
        let mut good = 0;
        for more in [
            json!({}),
            json!({"environment": "uat"}),
            json!({"generation": 2}),
        ] {
            let client = self.client(&more);
            let ott = self.sandbox.approve_qr(&user.ucc);
            let mut results = vec![
                totp_login(&self.sandbox, &client),
                client.totp_validate("999999"),
                client.totp_validate(&user.mpin),
                client.whatsmyip(),
                client.session_info(),
                client.session_export(),
                client.session_import(r#"{"token":"fake-imported-token"}"#),
                client.logout(),
                client.session_init(),
                password_login(&self.sandbox, &client),
                client.login(Some(&user.mobile_number), None, None, "fake-wrong-password"),
                client.session_2fa("999999"),
                client.session_2fa(&user.mpin),
                client.logout(),
                client.qr_code_link(&user.ucc),
                client.qr_code_session(&ott, &user.ucc),
                client.qr_code_session("fake-wrong-ott", &user.ucc),
            ];
            results.push(kotak_neo::totp_generate(&user.totp_secret));
            self.shown.0 += &format!("{client:?}\n");
            for result in results {
                good += usize::from(self.note(result));
            }
        }
        good
    }
}

#[test]
fn a_full_day_shows_no_secret() {
    let mut day = Day::new();
    assert!(
        day.all_calls() >= 20,
        "most calls of a day without faults succeed"
    );
    for kind in [
        FaultKind::CutJson,
        FaultKind::WrongContentLength,
        FaultKind::ResetBefore,
        FaultKind::ResetAfter,
        FaultKind::Hang,
        FaultKind::BaseUrl("https://evil.example".to_owned()),
        FaultKind::FeedUrl("https://evil.example".to_owned()),
        FaultKind::Redirect("https://evil.example/?token=x".to_owned()),
        answer(
            200,
            "application/json",
            r#"{"data":{"token":"fake-lonely-token","sid":7}}"#,
        ),
    ] {
        fault(&day.sandbox, "", kind);
        day.all_calls();
        day.sandbox.clear_faults();
        day.sandbox.clear_requests();
    }
    day.secrets
        .0
        .extend(["fake-lonely-token", "fake-imported-token"].map(str::to_owned));
    let wrong_key = config(
        &day.sandbox,
        &json!({"consumer_key": 7, "consumer_secret": "fake-unread"}),
    );
    let error = Client::open(Some(&wrong_key)).expect_err("a number is no key");
    day.shown.add(&Err(error));

    let log = std::fs::read_to_string(&day.log).expect("the log was written");
    std::fs::remove_file(&day.log).expect("it is there");
    assert!(
        log.contains("Trace") && log.contains("Debug") && log.contains("Error"),
        "a verbose log"
    );
    assert!(log.lines().count() > 500 && day.shown.0.len() > 10_000 && day.secrets.0.len() > 30);
    for secret in &day.secrets.0 {
        for (place, text) in [("log", &log), ("texts", &day.shown.0)] {
            if let Some(at) = text.find(secret.as_str()) {
                let start = text[..at].rfind('\n').map_or(0, |line| line + 1);
                panic!(
                    "{secret} stands in the {place}: {}",
                    text[start..].lines().next().expect("a line")
                );
            }
        }
    }
    for personal in [
        &day.sandbox.credentials().pan,
        &day.sandbox.credentials().mobile_number,
    ] {
        assert!(
            !log.contains(personal.as_str()),
            "{personal} stands in the log"
        );
    }
}

/// A gateway that quotes the whole request in its error page, as JSON if the
/// status is even.
fn quoting_gateway(statuses: &'static [u16]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    thread::spawn(move || {
        for status in statuses {
            let (mut stream, _) = listener.accept().expect("the library connects");
            let mut request = vec![0; 64 * 1024];
            let mut length = 0;
            // All bodies here end with the brace of an object.
            while !request[..length].ends_with(b"}") {
                length += stream
                    .read(&mut request[length..])
                    .expect("a whole request");
            }
            let quoted = String::from_utf8_lossy(&request[..length]).into_owned();
            let page = match status % 2 {
                0 => json!({"stat": "Not_Ok", "emsg": quoted, "stCode": 1002}).to_string(),
                _ => format!("<html><pre>{quoted}</pre></html>"),
            };
            let head = format!(
                "HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                page.len()
            );
            stream
                .write_all(head.as_bytes())
                .expect("the library reads");
            stream
                .write_all(page.as_bytes())
                .expect("the library reads");
        }
    });
    url
}

#[test]
fn a_gateway_that_quotes_the_request_gives_nothing_away() {
    let url = quoting_gateway(&[200, 401, 400, 503, 200, 401]);
    let log = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("quote-{}.log", std::process::id()));
    let config = json!({
        "base_url": url,
        "consumer_key": "fake-key-0001",
        "consumer_secret": "fake-secret-0001",
        "log": {"level": "trace", "file": log},
    });
    let client = Client::open(Some(&config.to_string())).expect("valid");
    let mut with_token = config.clone();
    with_token["access_token"] = json!("fake-access-token");
    let with_token = Client::open(Some(&with_token.to_string())).expect("valid");
    let mut shown = Shown::default();
    for _ in 0..2 {
        shown.add(&client.totp_login("9999999999", "TEST1", "135790"));
        shown.add(&with_token.login(Some("9999999999"), None, None, "fake-password"));
        shown.add(&client.session_init());
    }
    let log = {
        let text = std::fs::read_to_string(&log).expect("the log was written");
        std::fs::remove_file(&log).expect("it is there");
        text
    };
    let quotes = shown
        .0
        .lines()
        .filter(|line| line.contains("x-request-id"))
        .count();
    assert!(
        quotes >= 6 && log.contains("x-request-id"),
        "every answer was quoted"
    );
    let basic = "ZmFrZS1rZXktMDAwMTpmYWtlLXNlY3JldC0wMDAx";
    for secret in [
        "fake-key-0001",
        "fake-secret-0001",
        "135790",
        "fake-password",
        "fake-access-token",
        basic,
    ] {
        assert!(!shown.0.contains(secret), "{secret} stands in {}", shown.0);
        assert!(!log.contains(secret), "{secret} stands in {log}");
    }
}

#[test]
fn a_day_without_faults_works() {
    let sandbox = sandbox();
    let client = client_with(&sandbox, &json!({}));
    let reply = log_in(&sandbox, &client).expect("both steps are right");
    assert!(reply.json().contains("eyJ") && !reply.redacted().contains("eyJ"));
}
