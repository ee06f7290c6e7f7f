//! What comes from the broker by HTTP, and what is read from the disk: answers
//! of every operation, order books, scrip files, ledger files.
//!
//! The first byte says what the rest is.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use kotak_neo::raw::{self, Scrips};
use kotak_neo::{Client, Error, Reply, Status};
use kotak_neo_fuzz::{Input, json, must_be_json};
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

const SECRET: &str = "fake-secret-0001";
const HTTP: [u16; 12] = [200, 200, 201, 302, 400, 401, 403, 404, 424, 429, 500, 503];
const SEGMENTS: [&str; 7] = [
    "nse_fo", "nse_cm", "bse_fo", "mcx_fo", "bse_cm", "cde_fo", "nse_com",
];

fn answer(mut input: Input<'_>) {
    let choice = usize::from(input.byte());
    let http = HTTP[usize::from(input.byte()) % HTTP.len()];
    let judged = raw::answer(choice, http, input.0, SECRET);
    let told = judged.error.to_json();
    must_be_json(&told);
    assert!(!told.contains(SECRET), "{told}");
    assert!(!judged.error.message().is_empty());
    // Nothing to show is told as such, whatever else the answer says.
    if let Some(number) = judged.taken {
        assert!(http == 200 && !judged.is_refusal && !judged.refused);
        assert!(!number.trim().is_empty());
    }
    for url in judged.hosts {
        let host = url.host_str().expect("a host");
        assert!(host.ends_with(".kotaksecurities.com"), "{url}");
        assert!(matches!(url.scheme(), "https" | "wss"), "{url}");
    }
}

fn outcome(mut input: Input<'_>) {
    let choice = usize::from(input.byte());
    let facts = String::from_utf8_lossy(input.line());
    let shown = raw::outcome(choice, &facts, &String::from_utf8_lossy(input.0));
    if let Some(shown) = shown {
        // Only what is not there can be proved absent.
        assert!(
            !(shown.contains("Done") && shown.ends_with("absent: true")),
            "{shown}"
        );
    }
}

fn scrips(mut input: Input<'_>) {
    let segment = SEGMENTS[usize::from(input.byte()) % SEGMENTS.len()];
    let params = String::from_utf8_lossy(input.line()).into_owned();
    let table = match Scrips::read(segment, input.0.to_vec()) {
        Ok(table) => table,
        Err(why) => {
            assert!(!why.is_empty());
            return;
        }
    };
    let all = format!(r#"{{"exchange_segment":"{segment}"}}"#);
    let all = table.search(&all).expect("a good search");
    let Some(all) = all else {
        // Too many for one answer.
        return;
    };
    let all: Vec<&RawValue> = serde_json::from_str(&all).expect("a list");
    assert!(!all.is_empty());
    match table.search(&params) {
        Ok(found) => {
            let found = found.expect("no more than all");
            let found: Vec<&RawValue> = serde_json::from_str(&found).expect("a list");
            assert!(found.len() <= all.len());
        }
        Err(error) => {
            json(&error.to_json());
        }
    }
}

/// Where this process keeps its ledger.
fn ledger_file() -> &'static PathBuf {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| {
        let name = format!("kneo-fuzz-{}.ledger", std::process::id());
        std::env::temp_dir().join(name)
    })
}

/// Lines get the checksum that they need, but for those that begin with an
/// exclamation mark. `@now` stands for the unix millisecond.
fn ledger(mut input: Input<'_>) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = since.expect("it is after 1970").as_millis().to_string();
    let mut bytes = Vec::new();
    while !input.is_empty() {
        let line = input.line();
        match line.strip_prefix(b"!") {
            Some(line) => bytes.extend_from_slice(line),
            None => {
                let line = String::from_utf8_lossy(line).replace("@now", &now);
                let sum = crc32fast::hash(line.as_bytes());
                bytes.extend_from_slice(format!("{sum:08x} {line}\n").as_bytes());
            }
        }
    }
    let file = ledger_file();
    fs::write(file, &bytes).expect("the folder can be written");
    let config = serde_json::json!({"base_url": "http://127.0.0.1:1", "ledger_file": file});
    let config = config.to_string();
    let open = || -> Result<Reply, Error> { Client::open(Some(&config))?.open_intents() };
    match open() {
        Ok(first) => {
            json(first.json());
            let second = open().expect("what we wrote is read again");
            assert_eq!(first.json(), second.json());
        }
        Err(error) => {
            assert_eq!(error.status(), Status::InvalidArgument, "{error}");
            assert_eq!(fs::read(file).expect("it is there"), bytes);
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    match input.byte() % 4 {
        0 => answer(input),
        1 => outcome(input),
        2 => scrips(input),
        _ => ledger(input),
    }
});
