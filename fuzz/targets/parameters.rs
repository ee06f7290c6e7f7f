//! What callers pass as JSON: the configuration, the parameters of every
//! operation, options of feeds, session documents. Nobody is logged in, and
//! the broker would be on loopback port 1, where nobody listens.
//!
//! The first byte says what the rest is; for an operation its name is in the
//! first line. `@now` stands for the unix second.
#![no_main]

use std::time::{SystemTime, UNIX_EPOCH};

use kotak_neo::{Client, Error, Reply, Status, raw};
use kotak_neo_fuzz::{Input, json, must_be_json};
use libfuzzer_sys::fuzz_target;

fn client(generation: u8) -> Client {
    let config = format!(
        r#"{{"base_url":"http://127.0.0.1:1","generation":{generation},"consumer_key":"fake-key-0001",
            "consumer_secret":"fake-secret-0001"}}"#
    );
    Client::open(Some(&config)).expect("a good configuration")
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("it is after 1970").as_secs()
}

fn check(result: Result<Reply, Error>) -> Option<Reply> {
    match result {
        Ok(reply) => {
            must_be_json(reply.json());
            must_be_json(&reply.redacted());
            json(&reply.meta());
            Some(reply)
        }
        Err(error) => {
            assert_ne!(error.status(), Status::Internal, "{error}");
            assert!(!error.sent(), "{error}");
            assert!(!error.message().is_empty());
            json(&error.to_json());
            None
        }
    }
}

/// A session that was taken over is given out as it came.
fn session(text: &str, generation: u8) {
    let client = client(generation);
    if check(client.session_import(text)).is_none() {
        let refused = check(client.session_export());
        assert!(refused.is_none(), "a refused session was taken");
        return;
    }
    let exported = check(client.session_export()).expect("there is a session");
    let again = self::client(generation);
    check(again.session_import(exported.json())).expect("we made it");
    let info = |client: &Client| check(client.session_info()).map(|reply| reply.json().to_owned());
    assert_eq!(info(&client), info(&again));
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let choice = input.byte();
    let generation = choice / 8 % 3 + 1;
    let Ok(text) = std::str::from_utf8(input.0) else {
        return;
    };
    match choice % 8 {
        0 => match raw::config(text) {
            Ok(shown) => {
                json(&shown);
            }
            Err(error) => {
                json(&error.to_json());
            }
        },
        1 => session(&text.replace("@now", &now().to_string()), generation),
        2 => {
            let client = client(3);
            let error = client.feed(Some(text)).expect_err("nobody is logged in");
            check(Err(error));
            let error = client
                .order_feed(Some(text))
                .expect_err("nobody is logged in");
            check(Err(error));
        }
        3 => {
            let masked = raw::redacted(text);
            if serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok() {
                must_be_json(&masked);
            }
        }
        _ => {
            let (name, params) = text.split_once('\n').unwrap_or((text, ""));
            check(client(generation).call(name, Some(params)));
        }
    }
});
