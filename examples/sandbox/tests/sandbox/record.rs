//! What a recorded request holds.

use kotak_neo_sandbox::{Options, Sandbox};

use crate::client::{Ask, Client};
use crate::v3;

#[test]
fn holds_the_whole_request() {
    let sandbox = v3::start();
    let mut client = Client::open(&sandbox, false).unwrap();
    let mut ask = Ask::post(
        "/no/such%20path?a=1&b=x%20y&a=2",
        &serde_json::json!({"k": "₹"}),
    )
    .with("x-twice", "one");
    ask.headers.push(("x-twice", "two".to_owned()));
    let refusal = client.send(&ask).unwrap().expect(404);
    assert_eq!(refusal["error"][0]["code"], "404");
    let recorded = sandbox.requests().pop().unwrap();
    assert_eq!(recorded.seq, 1);
    assert_eq!(recorded.method, "POST");
    assert_eq!(recorded.path, "/no/such%20path");
    let query: Vec<(&str, &str)> = recorded
        .query
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    assert_eq!(query, [("a", "1"), ("b", "x y"), ("a", "2")]);
    assert_eq!(recorded.query_value("b"), Some("x y"));
    assert_eq!(recorded.query_value("c"), None);
    assert_eq!(recorded.header("content-type"), Some("application/json"));
    assert_eq!(recorded.header("x-none"), None);
    let twice: Vec<&str> = recorded
        .headers
        .iter()
        .filter(|(name, _)| name == "x-twice")
        .map(|(_, value)| &**value)
        .collect();
    assert_eq!(twice, ["one", "two"]);
    assert_eq!(recorded.body_text(), r#"{"k":"₹"}"#);
    assert_eq!(recorded.http_version, "HTTP/1.1");
    assert_eq!(recorded.connection, 1);
    assert!(recorded.client_addr.ip().is_loopback());
    assert!(!recorded.known_route);
    assert_eq!(recorded.answered, Some(404));
}

#[test]
fn numbers_go_on_after_clearing() {
    let sandbox = v3::start();
    v3::view(&sandbox);
    v3::view(&sandbox);
    sandbox.clear_requests();
    assert_eq!(sandbox.requests(), []);
    v3::view(&sandbox);
    let recorded = sandbox.requests();
    assert_eq!(recorded.len(), 1);
    assert_eq!(recorded[0].seq, 3);
    assert_eq!(recorded[0].connection, 3);
}

#[test]
fn keeps_the_newest_up_to_its_limit() {
    for (record_limit, kept) in [(2, vec![3, 4]), (0, vec![])] {
        let sandbox = Sandbox::start(Options {
            record_limit,
            ..Options::default()
        })
        .unwrap();
        for _ in 0..4 {
            v3::view(&sandbox);
        }
        let recorded = sandbox.requests();
        assert_eq!(
            recorded
                .iter()
                .map(|request| request.seq)
                .collect::<Vec<_>>(),
            kept
        );
        assert!(recorded.iter().all(|request| !request.body.is_empty()));
    }
}
