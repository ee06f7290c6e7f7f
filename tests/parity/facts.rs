//! What a side did, as flat facts, and the one table of differences that are
//! allowed.

use std::collections::{BTreeMap, BTreeSet};

use kotak_neo_sandbox::Recorded;
use serde_json::{Value, json};

/// Name of a fact to its value, for example `header accept` to
/// `application/json`.
pub type Facts = BTreeMap<String, String>;

/// Secrets of one side, by what they are. They are random, so the two sides
/// can only be compared by name.
pub type Names = BTreeMap<String, &'static str>;

/// A difference that is allowed, and why.
pub struct Exception {
    /// The name of the fact.
    pub fact: &'static str,
    /// What the SDK and this library may have there (`None`: nothing).
    pub holds: fn(sdk: Option<&str>, ours: Option<&str>) -> bool,
    pub reason: &'static str,
}

/// The table. A row that no comparison needs fails the test.
pub const EXCEPTIONS: &[Exception] = &[
    Exception {
        fact: "header user-agent",
        holds: |sdk, ours| {
            sdk == Some("NeoSDK-Python/3.0.9")
                && ours == Some(concat!("kotak_neo/", env!("CARGO_PKG_VERSION")))
        },
        reason: "each says what it is",
    },
    Exception {
        fact: "header x-request-id",
        holds: |sdk, ours| sdk != ours && sdk.is_some_and(is_uuid) && ours.is_some_and(is_uuid),
        reason: "a fresh UUID for each request",
    },
    Exception {
        fact: "header connection",
        holds: |sdk, ours| sdk == Some("keep-alive") && ours.is_none(),
        reason: "httpx states what HTTP/1.1 does anyway",
    },
    Exception {
        fact: "header accept-encoding",
        holds: |sdk, ours| sdk == Some("gzip, deflate") && ours == Some("identity"),
        reason: "an instruction's answer is short: packing it would cost, not save",
    },
    Exception {
        fact: "query appVersion",
        holds: |sdk, ours| sdk == Some("3.0.9") && ours == Some(env!("CARGO_PKG_VERSION")),
        reason: "each gives its own version; the service does not check it",
    },
    Exception {
        fact: "header cookie",
        holds: |sdk, ours| {
            let name = |text: &str| text.split_once('=').map(|(name, _)| name.to_owned());
            sdk.and_then(name).is_some() && sdk.and_then(name) == ours.and_then(name)
        },
        reason: "each has the cookie that it was given",
    },
    Exception {
        fact: "state",
        holds: |sdk, ours| sdk == Some("view") && ours == Some("logged_out"),
        reason: "a logout ends the first step too; the SDK keeps the view token",
    },
    Exception {
        fact: "answer data.token",
        holds: both_and_different,
        reason: "each login makes a token of its own",
    },
    Exception {
        fact: "answer data.sid",
        holds: both_and_different,
        reason: "each login makes a session of its own",
    },
    Exception {
        fact: "answer data.rid",
        holds: both_and_different,
        reason: "each login makes a session of its own",
    },
    Exception {
        fact: "body ig",
        holds: |sdk, ours| {
            let made = |tag: &str| tag.len() == 15 && tag.starts_with("kn");
            sdk == Some("JSON null") && ours.is_some_and(made)
        },
        reason: "every order gets a tag, so that its outcome can be settled",
    },
    Exception {
        fact: "body tt",
        holds: |sdk, ours| {
            matches!(
                (sdk, ours),
                (Some("Buy"), Some("B")) | (Some("Sell"), Some("S"))
            )
        },
        reason: "no source shows the broker accepting the long words",
    },
    Exception {
        fact: "answer nOrdNo",
        holds: both_and_different,
        reason: "each order gets a number of its own",
    },
    Exception {
        fact: "answer status_code",
        holds: |sdk, ours| sdk == Some("JSON 400") && ours.is_none(),
        reason: "the SDK adds it to code 1021; the broker does not send it",
    },
    Exception {
        fact: "answer data[0].time",
        holds: both_and_different,
        reason: "the broker's clock",
    },
    Exception {
        fact: "answer TimeStamp",
        holds: both_and_different,
        reason: "the broker's clock",
    },
];

fn both_and_different(sdk: Option<&str>, ours: Option<&str>) -> bool {
    sdk.is_some() && ours.is_some() && sdk != ours
}

/// Lower-case, version 4.
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.char_indices().all(|(at, c)| match at {
            8 | 13 | 18 | 23 => c == '-',
            14 => c == '4',
            _ => c.is_ascii_digit() || ('a'..='f').contains(&c),
        })
}

/// The facts of one recorded request.
pub fn of_request(request: &Recorded, names: &Names) -> Facts {
    let mut facts = Facts::new();
    let named = |value: &str| {
        names
            .get(value)
            .map_or(value.to_owned(), |name| format!("<{name}>"))
    };
    facts.insert("method".to_owned(), request.method.clone());
    facts.insert("path".to_owned(), request.path.clone());
    let keys: Vec<&str> = request.query.iter().map(|(key, _)| key.as_str()).collect();
    facts.insert("query keys".to_owned(), keys.join(" "));
    for (key, value) in &request.query {
        facts.insert(format!("query {key}"), named(value));
    }
    for (name, value) in &request.headers {
        // HTTP/1.1 carries the host in this header, HTTP/2 in a field of its own.
        let fact = if name == "host" {
            "host".to_owned()
        } else {
            format!("header {name}")
        };
        let twice = facts.insert(fact, named(value));
        assert_eq!(twice, None, "the header {name} was sent twice");
    }
    if !request.body.is_empty() {
        // The broker's form has one field, and its value is JSON.
        let field = url::form_urlencoded::parse(&request.body).next();
        let body = match field.filter(|(name, _)| name == "jData") {
            Some((_, value)) => serde_json::from_str(&value),
            None => serde_json::from_slice(&request.body),
        };
        flatten("body", &body.expect("a request body is JSON"), &mut facts);
    }
    // The SDK writes its JSON with blanks; the decoded bodies are compared.
    let length = facts.remove("header content-length");
    assert_eq!(
        length.unwrap_or("0".to_owned()),
        request.body.len().to_string()
    );
    facts
}

/// The facts of an answer.
pub fn of_answer(answer: &Value) -> Facts {
    let mut facts = Facts::new();
    flatten("answer", answer, &mut facts);
    facts
}

/// The facts of something else, which has this name.
pub fn of_value(name: &str, value: &Value) -> Facts {
    let mut facts = Facts::new();
    flatten(name, value, &mut facts);
    facts
}

/// The same with numbers by their value: 5 and 5.0 are one.
pub fn by_value(value: &Value) -> Value {
    match value {
        Value::Number(number) => {
            // Whole numbers may be too large for a float to tell them apart.
            let whole = number.to_string().parse::<i128>().is_ok();
            let float = number.as_f64().expect("every number has a float near it");
            match float {
                _ if whole => value.clone(),
                float if float.fract() == 0.0 && float.abs() < 9e15 => json!(float as i64),
                float => json!(float),
            }
        }
        Value::Array(all) => all.iter().map(by_value).collect(),
        Value::Object(all) => {
            let all = all.iter().map(|(key, one)| (key.clone(), by_value(one)));
            Value::Object(all.collect())
        }
        other => other.clone(),
    }
}

fn flatten(path: &str, value: &Value, facts: &mut Facts) {
    let name = |key: &str| match path.contains(' ') {
        false => format!("{path} {key}"),
        true => format!("{path}.{key}"),
    };
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                flatten(&name(key), value, facts);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (at, value) in items.iter().enumerate() {
                flatten(&format!("{path}[{at}]"), value, facts);
            }
        }
        Value::String(text) => {
            facts.insert(path.to_owned(), text.clone());
        }
        other => {
            // Quoted differently from a text, so that 1 and "1" are not the same.
            facts.insert(path.to_owned(), format!("JSON {other}"));
        }
    }
}

/// A table, and which of its rows were needed.
pub struct Used {
    table: &'static [Exception],
    rows: BTreeSet<usize>,
}

impl Used {
    pub fn of(table: &'static [Exception]) -> Self {
        let rows = BTreeSet::new();
        Self { table, rows }
    }

    /// Compares two sets of facts; what differs must be in the table.
    pub fn compare(&mut self, what: &str, sdk: &Facts, ours: &Facts) -> Vec<String> {
        let keys: BTreeSet<&String> = sdk.keys().chain(ours.keys()).collect();
        let mut unexplained = Vec::new();
        for key in keys {
            let (sdk, ours) = (
                sdk.get(key).map(String::as_str),
                ours.get(key).map(String::as_str),
            );
            if sdk == ours {
                continue;
            }
            match self
                .table
                .iter()
                .position(|row| row.fact == key && (row.holds)(sdk, ours))
            {
                Some(row) => {
                    self.rows.insert(row);
                }
                None => unexplained.push(format!(
                    "{what}: {key}: the SDK has {}, this library {}",
                    shown(sdk),
                    shown(ours)
                )),
            }
        }
        unexplained
    }

    /// The rows that no comparison needed.
    pub fn unused(&self) -> Vec<String> {
        let rows = self.table.iter().enumerate();
        rows.filter(|(at, _)| !self.rows.contains(at))
            .map(|(_, row)| format!("{}: {}", row.fact, row.reason))
            .collect()
    }

    /// The table as the documentation would show it.
    pub fn print(&self) {
        println!("| what may differ | why |\n|---|---|");
        for row in self.table {
            println!("| {} | {} |", row.fact, row.reason);
        }
    }
}

fn shown(value: Option<&str>) -> String {
    value.map_or("nothing".to_owned(), |text| format!("{text:?}"))
}
