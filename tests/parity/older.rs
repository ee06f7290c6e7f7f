//! Generations 1 and 2: what this library sends, held to the wire documents.
//!
//! `older_generations.json` lists, for each login, the requests that the SDK
//! of that generation is documented to send. A text in braces stands for a
//! value: a credential, or a token that an answer gave. A bearer token is
//! learned where it is first used; the sandbox has checked it by then.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use kotak_neo_sandbox::{FaultKind, Recorded, Sandbox};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::broker::Broker;
use crate::library::Library;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    login: String,
    config: Value,
    /// The base URL that the lookup of generation 2 names.
    lookup_names: Option<String>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    call: String,
    with: Value,
    requests: Vec<Expected>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    request: String,
    headers: BTreeMap<String, String>,
    json: Option<Value>,
}

/// Headers that the documents leave to the client. Any other header that they
/// do not name is wrong.
const OF_THE_CLIENT: [&str; 7] = [
    "accept",
    "accept-encoding",
    "content-length",
    "cookie",
    "host",
    "user-agent",
    "x-request-id",
];

/// What the texts in braces stand for.
struct Values(BTreeMap<String, String>);

impl Values {
    fn of(sandbox: &Sandbox) -> Self {
        let who = sandbox.credentials();
        let pair = format!("{}:{}", who.consumer_key, who.consumer_secret);
        let ten_digits = who.mobile_number.trim_start_matches("+91");
        let known = [
            ("access_token", sandbox.issue_access_token()),
            ("basic", BASE64.encode(pair.as_bytes())),
            ("mobile_number", who.mobile_number.clone()),
            ("mpin", who.mpin.clone()),
            ("ott", sandbox.approve_qr(&who.ucc)),
            ("pan", who.pan.clone()),
            ("password", who.password.clone()),
            ("ten digits", ten_digits.to_owned()),
            ("totp", sandbox.totp_now()),
            ("ucc", who.ucc.clone()),
            ("user_id", who.user_id.clone()),
        ];
        Self(
            known
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    }

    fn set(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.0.insert(name.to_owned(), value.to_owned());
        }
    }

    /// Takes what an answer gives.
    fn learn(&mut self, call: &str, answer: &Value) {
        let data = &answer["data"];
        let kind = match call {
            "login" | "totp_login" => "view",
            "session_2fa" | "totp_validate" | "qr_code_session" => "trade",
            "session_init" => {
                self.set("bearer", answer["access_token"].as_str());
                return;
            }
            _ => return,
        };
        self.set(&format!("{kind} token"), data["token"].as_str());
        self.set(&format!("{kind} sid"), data["sid"].as_str());
        self.set("server id", data["hsServerId"].as_str());
    }

    fn fill(&self, text: &str) -> String {
        let mut filled = text.to_owned();
        for (name, value) in &self.0 {
            filled = filled.replace(&format!("{{{name}}}"), value);
        }
        assert!(
            !filled.contains('{'),
            "a value that nothing has given yet: {filled}"
        );
        filled
    }

    fn fill_all(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.fill(text).into(),
            Value::Object(fields) => fields
                .iter()
                .map(|(key, value)| (key.clone(), self.fill_all(value)))
                .collect(),
            other => other.clone(),
        }
    }
}

#[test]
fn the_older_logins_send_what_the_wire_documents_say() {
    let broker = Broker::start();
    let text = include_str!("older_generations.json");
    let logins: Vec<Login> = serde_json::from_str(text).expect("the fixture can be read");
    for login in &logins {
        hold_to_the_documents(&broker, login);
    }
}

fn hold_to_the_documents(broker: &Broker, login: &Login) {
    let sandbox = &broker.sandbox;
    let mut values = Values::of(sandbox);
    sandbox.clear_faults();
    if let Some(named) = &login.lookup_names {
        broker.fault("/algo-user", None, FaultKind::BaseUrl(named.clone()));
    }
    let mut config = values.fill_all(&login.config);
    if let Some(token) = config["access_token"].as_str() {
        values.set("bearer", Some(token));
    }
    let who = sandbox.credentials();
    for (key, value) in [
        ("consumer_key", who.consumer_key.as_str()),
        ("consumer_secret", &who.consumer_secret),
        ("ca_file", broker.ca_file()),
        ("proxy", &broker.proxy_url()),
    ] {
        config[key] = json!(value);
    }
    let library = Library::open(&config);
    for step in &login.steps {
        let what = format!("{}: {}", login.login, step.call);
        values.set("otp", sandbox.last_otp().as_deref());
        broker.take_requests();
        let outcome = library.call(&step.call, &values.fill_all(&step.with));
        assert_eq!(outcome.status, 0, "{what}: {}", outcome.json);
        let sent = broker.take_requests();
        let paths: Vec<&str> = sent.iter().map(|request| request.path.as_str()).collect();
        assert_eq!(sent.len(), step.requests.len(), "{what}: {paths:?}");
        for (sent, expected) in sent.iter().zip(&step.requests) {
            let bearer = sent
                .header("authorization")
                .and_then(|text| text.strip_prefix("Bearer "));
            if !values.0.contains_key("bearer") {
                values.set("bearer", bearer);
            }
            // The OTP of the second step is the one that the first asked for.
            hold_request(&what, sent, expected, &values);
        }
        values.learn(&step.call, &outcome.json);
    }
}

fn hold_request(what: &str, sent: &Recorded, expected: &Expected, values: &Values) {
    let host = sent.header("host").unwrap_or("");
    let query: Vec<String> = sent
        .query
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let mark = if query.is_empty() { "" } else { "?" };
    let line = format!(
        "{} https://{host}{}{mark}{}",
        sent.method,
        sent.path,
        query.join("&")
    );
    assert_eq!(line, values.fill(&expected.request), "{what}");

    let what = format!("{what}: {}", sent.path);
    for (name, value) in &expected.headers {
        assert_eq!(
            sent.header(name),
            Some(values.fill(value).as_str()),
            "{what}: {name}"
        );
    }
    for (name, _) in &sent.headers {
        let known = expected.headers.contains_key(name) || OF_THE_CLIENT.contains(&name.as_str());
        assert!(known, "{what}: the documents know no header {name} here");
    }
    match &expected.json {
        None => assert_eq!(sent.body_text(), "", "{what}"),
        Some(wanted) => {
            let body: Value = serde_json::from_slice(&sent.body).expect("a body is JSON");
            assert_eq!(body, values.fill_all(wanted), "{what}");
        }
    }
}
