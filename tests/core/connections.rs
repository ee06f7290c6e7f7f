//! How every connection comes to be: silent addresses, both families, proxies; and what is
//! told of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use kotak_neo::names::{Told, tell};
use kotak_neo::{Client, Error, Reply, Status};
use kotak_neo_sandbox::{FaultKind, Options, Proxy, ProxyManner, Sandbox, Switches, TlsMode};
use kotak_neo_testing::needs::skip;
use kotak_neo_testing::silent::Silent;
use serde_json::{Value, json};

use crate::orders::{meta, order, place, with};
use crate::support::{
    client_with, fault, info, json as parse, log_in, start, status, told, totp_login,
};

/// Far more than any deadline of these tests.
const PATIENCE: Duration = Duration::from_secs(60);
/// Another address of this machine, on which nothing listens of its own accord.
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const FOUR: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SIX: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// A sandbox that is known by a name of its own, at 127.0.0.1 and more addresses.
fn named(host: &str, also_at: &[IpAddr]) -> Sandbox {
    start(Options {
        tls: TlsMode::Valid,
        host: host.to_owned(),
        also_at: also_at.to_vec(),
        ..Options::default()
    })
}

/// The same with `::1`, where this machine has it.
fn of_both(test: &str, host: &str) -> Option<Sandbox> {
    if let Err(error) = std::net::TcpListener::bind((SIX, 0)) {
        skip(test, &format!("this machine has no IPv6: {error}"));
        return None;
    }
    Some(named(host, &[SIX]))
}

fn leads_to(host: &str, all: &[IpAddr]) {
    tell(host, Told::Addresses(all.to_vec()));
}

fn connection(reply: &Reply) -> Value {
    meta(reply, "connection")
}

fn of_error(error: &Error) -> Value {
    parse(&error.meta())["connection"].clone()
}

fn is_time(value: &Value) -> bool {
    value.as_f64().is_some_and(|ms| ms >= 0.0)
}

fn families(sandbox: &Sandbox, path: &str) -> Vec<bool> {
    let all = sandbox.requests();
    let asked = all.iter().filter(|request| request.path.contains(path));
    asked.map(|request| request.client_addr.is_ipv6()).collect()
}

/// Waits for an event of a feed with this state.
fn until_state(next: impl Fn(Duration) -> Result<Reply, Error>, state: &str) -> Value {
    let begin = Instant::now();
    loop {
        let event = parse(next(PATIENCE).expect("an event in time").json());
        if event["state"] == state {
            return event;
        }
        assert!(begin.elapsed() < PATIENCE, "no {state}");
    }
}

#[test]
fn a_first_address_that_is_silent_holds_nothing_up() {
    const TEST: &str = "a_first_address_that_is_silent_holds_nothing_up";
    for (host, first, second) in [
        ("silent-1.kotaksecurities.com", OTHER, FOUR),
        ("silent-2.kotaksecurities.com", OTHER, SIX),
    ] {
        let Some(sandbox) = of_both(TEST, host) else {
            return;
        };
        let Some(silent) = Silent::at(TEST, first, sandbox.port()) else {
            return;
        };
        leads_to(host, &[first, second]);
        // In six seconds a sequence of tries would not be done with the first address.
        let client = client_with(&sandbox, &json!({"timeouts": {"connect": 6_000}}));
        let reply = totp_login(&sandbox, &client).expect("the second one answers");
        let made = connection(&reply);
        let family = if second.is_ipv6() { "ipv6" } else { "ipv4" };
        assert_eq!(made["family"], family, "{made}");
        assert_eq!(made["reused"], false, "{made}");
        for key in ["dns_ms", "tcp_ms", "tls_ms", "first_byte_ms"] {
            assert!(is_time(&made[key]), "{key}: {made}");
        }
        client
            .totp_validate(&sandbox.credentials().mpin)
            .expect("the MPIN is right");
        assert_eq!(info(&client)["login_family"], family);
        // Instructions come by another door.
        let reply = place(&client, &order()).expect("taken");
        let first = connection(&reply);
        assert_eq!(
            (&first["reused"], &first["family"]),
            (&json!(false), &json!(family))
        );
        assert!(meta(&reply, "notes").is_null(), "{}", reply.meta());
        let reply = place(&client, &order()).expect("taken");
        let second = connection(&reply);
        let told = (&second["reused"], &second["peer"], &second["tcp_ms"]);
        assert_eq!(
            told,
            (&json!(true), &first["peer"], &Value::Null),
            "{second}"
        );
        assert!(is_time(&second["first_byte_ms"]), "{second}");
        let number = parse(reply.json())["nOrdNo"].clone();
        let cancel = json!({"order_id": number}).to_string();
        client.cancel_order(&cancel).expect("it is open");
        let reply = client.whatsmyip().expect("a read");
        assert_eq!(connection(&reply)["reused"], true, "{}", reply.meta());
        // And so do both feeds.
        let feed = client.feed(None).expect("there is a session");
        until_state(|wait| feed.next(wait), "live");
        let feed = client.order_feed(None).expect("there is a session");
        until_state(|wait| feed.next(wait), "live");
        drop(silent);
    }
}

#[test]
fn silent_addresses_are_named_and_nothing_is_sent() {
    const TEST: &str = "silent_addresses_are_named_and_nothing_is_sent";
    const HOST: &str = "silent-3.kotaksecurities.com";
    let sandbox = named(HOST, &[]);
    let third = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));
    let silent = |ip| Silent::at(TEST, ip, sandbox.port());
    let (Some(_two), Some(_three)) = (silent(OTHER), silent(third)) else {
        return;
    };
    leads_to(HOST, &[FOUR]);
    let client = client_with(&sandbox, &json!({"timeouts": {"connect": 1_200}}));
    log_in(&sandbox, &client).expect("it listens");
    let session = client.session_export().expect("there is one");
    leads_to(HOST, &[OTHER, third]);
    let client = client_with(&sandbox, &json!({"timeouts": {"connect": 1_200}}));
    client
        .session_import(session.json())
        .expect("it is of today");
    sandbox.clear_requests();
    let port = sandbox.port();
    let named = format!("127.0.0.2:{port} is silent, 127.0.0.3:{port} is silent");
    for result in [client.whatsmyip(), place(&client, &order())] {
        let error = result.expect_err("nobody answers");
        assert_eq!(error.status(), Status::Timeout, "{error}");
        assert!(error.message().contains(&named), "{error}");
        assert!(error.message().contains("nothing was sent"), "{error}");
        let flags = (told(&error, "sent"), told(&error, "safe_to_repeat"));
        assert_eq!(flags, (json!(false), json!(true)));
        let made = of_error(&error);
        assert_eq!(
            (&made["reused"], is_time(&made["dns_ms"])),
            (&json!(false), true)
        );
        assert!(made["peer"].is_null() && made["tcp_ms"].is_null(), "{made}");
    }
    // The call's own deadline comes first: the same is said.
    let error = place(&client, &with(order(), json!({"timeout_ms": 500})));
    let error = error.expect_err("nobody answers");
    assert_eq!(error.status(), Status::Timeout, "{error}");
    assert!(error.message().contains("127.0.0.2:"), "{error}");
    assert_eq!(told(&error, "sent"), false);
    let feed = client.feed(None).expect("there is a session");
    let down = until_state(|wait| feed.next(wait), "down");
    assert!(down["reason"].to_string().contains(&named), "{down}");
    let feed = client.order_feed(None).expect("there is a session");
    let down = until_state(|wait| feed.next(wait), "down");
    assert!(down["reason"].to_string().contains(&named), "{down}");
    assert!(sandbox.requests().is_empty());
}

#[test]
fn instructions_keep_to_the_family_of_their_login() {
    const TEST: &str = "instructions_keep_to_the_family_of_their_login";
    for (host, login, other) in [
        ("family-1.kotaksecurities.com", FOUR, SIX),
        ("family-2.kotaksecurities.com", SIX, FOUR),
    ] {
        let Some(sandbox) = of_both(TEST, host) else {
            return;
        };
        leads_to(host, &[login]);
        let client = client_with(&sandbox, &json!({"timeouts": {"connect": 2_000}}));
        log_in(&sandbox, &client).expect("it listens");
        // The other one comes first from now on, and is as fast.
        leads_to(host, &[other, login]);
        for _ in 0..2 {
            let reply = place(&client, &order()).expect("from the address of the login");
            assert!(meta(&reply, "notes").is_null(), "{}", reply.meta());
        }
        // So it is with a session that was imported, and exported again.
        let document = client.session_export().expect("there is one");
        let family = if login.is_ipv6() { "ipv6" } else { "ipv4" };
        assert_eq!(parse(document.json())["login_family"], family);
        let second = client_with(&sandbox, &json!({}));
        second
            .session_import(document.json())
            .expect("it is of today");
        place(&second, &order()).expect("from the address of the login");
        let seen = families(&sandbox, "/quick/order/rule/ms/place");
        assert_eq!(seen, [login.is_ipv6(); 3]);
        // Where the family is not known, any will do: the broker says what it thinks of it.
        let mut unknown = parse(document.json());
        unknown["login_family"] = Value::Null;
        let third = client_with(&sandbox, &json!({}));
        third
            .session_import(&unknown.to_string())
            .expect("it is of today");
        let error = place(&third, &order()).expect_err("from another address");
        assert_eq!(error.code(), Some("1037"), "{error}");
    }
}

#[test]
fn a_change_of_the_family_is_the_last_resort_and_told() {
    const TEST: &str = "a_change_of_the_family_is_the_last_resort_and_told";
    const HOST: &str = "family-3.kotaksecurities.com";
    let Some(sandbox) = of_both(TEST, HOST) else {
        return;
    };
    let Some(silent) = Silent::at(TEST, OTHER, sandbox.port()) else {
        return;
    };
    let connect = 1_600;
    let make = || client_with(&sandbox, &json!({"timeouts": {"connect": connect}}));
    let client = make();
    leads_to(HOST, &[FOUR]);
    log_in(&sandbox, &client).expect("it listens");
    let document = client.session_export().expect("there is one");
    let client = make();
    client
        .session_import(document.json())
        .expect("it is of today");
    leads_to(HOST, &[SIX, OTHER]);
    for _ in 0..2 {
        // Each tries the family of its login first.
        let began = Instant::now();
        let error = place(&client, &order()).expect_err("from another address");
        assert!(began.elapsed() >= Duration::from_millis(connect / 2));
        assert_eq!(
            (error.status(), error.code()),
            (Status::Rejected, Some("1037")),
            "{error}"
        );
        let notes = parse(&error.meta())["notes"].to_string();
        let told = format!(
            "the login went over IPv4, and this over IPv6 ({OTHER}:{} is silent)",
            sandbox.port()
        );
        assert!(notes.contains(&told), "{notes}");
        assert_eq!(of_error(&error)["family"], "ipv6");
    }
    // No such address at all, and the broker does not mind: it is told all the same.
    leads_to(HOST, &[SIX]);
    let switches = sandbox.switches();
    sandbox.set_switches(Switches {
        any_address: true,
        ..switches.clone()
    });
    let reply = place(&client, &order()).expect("from any address");
    let notes = meta(&reply, "notes").to_string();
    assert!(
        notes.contains(&format!("{HOST} has no IPv4 address")),
        "{notes}"
    );
    let made = connection(&reply);
    assert_eq!(
        (&made["family"], &made["reused"]),
        (&json!("ipv6"), &json!(false))
    );
    sandbox.set_switches(switches);
    // The way of the login is there again.
    drop(silent);
    leads_to(HOST, &[SIX, FOUR]);
    let reply = place(&client, &order()).expect("from the address of the login");
    assert!(meta(&reply, "notes").is_null(), "{}", reply.meta());
    assert_eq!(connection(&reply)["family"], "ipv4");
    // With its own address there is no other family.
    leads_to(HOST, &[SIX]);
    let bound = client_with(&sandbox, &json!({"local_address": "127.0.0.1"}));
    bound
        .session_import(document.json())
        .expect("it is of today");
    sandbox.clear_requests();
    let error = place(&bound, &order()).expect_err("there is no way");
    assert_eq!(
        (error.status(), told(&error, "sent")),
        (Status::Network, json!(false))
    );
    assert!(
        error
            .message()
            .contains("local_address 127.0.0.1 is an IPv4 address"),
        "{error}"
    );
    assert!(error.message().contains("[::1]:"), "{error}");
    assert!(sandbox.requests().is_empty());
}

#[test]
fn a_name_that_hangs_ends_each_call_at_its_own_deadline() {
    const HOST: &str = "hangs-1.kotaksecurities.com";
    let sandbox = named(HOST, &[]);
    tell(HOST, Told::Hangs);
    let client = client_with(&sandbox, &json!({"timeouts": {"connect": 60_000}}));
    std::thread::scope(|scope| {
        let patient = scope.spawn(|| {
            let hasty = client_with(&sandbox, &json!({"timeouts": {"login": 60_000}}));
            totp_login(&sandbox, &hasty)
        });
        let hasty = client_with(&sandbox, &json!({"timeouts": {"login": 300}}));
        for _ in 0..3 {
            let error = totp_login(&sandbox, &hasty).expect_err("the name hangs");
            assert_eq!(error.status(), Status::Timeout, "{error}");
            assert!(error.message().contains("300 ms"), "{error}");
            assert!(
                error
                    .message()
                    .contains(&format!("the name {HOST} was not looked up yet")),
                "{error}"
            );
            assert_eq!(told(&error, "sent"), false);
        }
        leads_to(HOST, &[FOUR]);
        patient
            .join()
            .expect("no panic")
            .expect("its name was found");
    });
    tell(HOST, Told::Nothing);
    let error = totp_login(&sandbox, &client).expect_err("there is no such name");
    assert_eq!(
        (error.status(), told(&error, "sent")),
        (Status::Network, json!(false))
    );
    assert!(
        error.message().contains(&format!("no such name: {HOST}")),
        "{error}"
    );
    assert!(is_time(&of_error(&error)["dns_ms"]), "{}", error.meta());
}

/// An address that takes the connection is reached: what is silent behind it is said.
#[test]
fn what_is_silent_behind_tcp_is_said() {
    const HOST: &str = "deaf-1.kotaksecurities.com";
    let deaf = std::net::TcpListener::bind((FOUR, 0)).expect("a port");
    let port = deaf.local_addr().expect("it is bound").port();
    leads_to(HOST, &[FOUR]);
    let config = json!({
        "base_url": format!("https://{HOST}:{port}"), "consumer_key": "fake-key",
        "timeouts": {"connect": 300},
    });
    let client = Client::open(Some(&config.to_string())).expect("it is valid");
    let error = client.totp_login("9999999999", "TEST1", "123456");
    let error = error.expect_err("TLS is never done");
    assert_eq!(
        (error.status(), told(&error, "sent")),
        (Status::Timeout, json!(false))
    );
    let words = format!("within 300 ms: 127.0.0.1:{port} does not finish TLS; nothing was sent");
    assert!(error.message().contains(&words), "{error}");
    let made = of_error(&error);
    assert!(
        is_time(&made["tcp_ms"]) && made["tls_ms"].is_null(),
        "{made}"
    );
    assert_eq!(made["peer"], format!("127.0.0.1:{port}"));
}

/// A client with a session, whose proxy may do what it likes from now on.
fn proxied(host: &str, timeouts: Value) -> (Sandbox, Proxy, Client, String) {
    let sandbox = named(host, &[]);
    let proxy = Proxy::start(&sandbox, ProxyManner::Tunnel).expect("a port");
    let mut config = parse(&proxy.config_json(&sandbox));
    config["proxy"] = json!(proxy.url().replace("//", "//fake-user:fake-password@"));
    config["timeouts"] = timeouts;
    let open = || Client::open(Some(&config.to_string())).expect("it is valid");
    let client = open();
    let reply = log_in(&sandbox, &client).expect("through the tunnel");
    let address = proxy.url().replace("http://", "");
    let made = connection(&reply);
    assert_eq!(
        (&made["proxy"], &made["peer"]),
        (&json!(address), &json!(address)),
        "{made}"
    );
    // Which address the broker sees, nobody knows here.
    assert_eq!(info(&client)["login_family"], Value::Null);
    let document = client.session_export().expect("there is one");
    // One without connections.
    let fresh = open();
    fresh
        .session_import(document.json())
        .expect("it is of today");
    (sandbox, proxy, fresh, address)
}

#[test]
fn a_whole_day_goes_through_a_proxy() {
    let (sandbox, proxy, client, _) = proxied("proxy-1.kotaksecurities.com", json!({}));
    let reply = place(&client, &order()).expect("taken");
    let made = connection(&reply);
    for key in ["tcp_ms", "proxy_ms", "tls_ms", "first_byte_ms"] {
        assert!(is_time(&made[key]), "{key}: {made}");
    }
    client.order_report(None).expect("a read");
    let feed = client.feed(None).expect("there is a session");
    until_state(|wait| feed.next(wait), "live");
    let feed = client.order_feed(None).expect("there is a session");
    until_state(|wait| feed.next(wait), "live");
    let port = sandbox.port();
    let head = format!("CONNECT proxy-1.kotaksecurities.com:{port} HTTP/1.1\r\nHost: ");
    for asked in proxy.asked() {
        assert!(asked.starts_with(&head), "{asked}");
        assert!(asked.contains("\r\nProxy-Authorization: Basic "), "{asked}");
    }
}

#[test]
fn what_a_proxy_does_instead_is_named() {
    let (sandbox, proxy, client, address) =
        proxied("proxy-2.kotaksecurities.com", json!({"connect": 1_000}));
    sandbox.clear_requests();
    let named = |text: &str| text.replace("PROXY", &format!("the proxy {address}"));
    for (manner, expected, words) in [
        (
            ProxyManner::Answer(403),
            Status::Network,
            "PROXY answered 403 Forbidden to CONNECT",
        ),
        (
            ProxyManner::Answer(407),
            Status::Network,
            "PROXY answered 407 Proxy Authentication Required to CONNECT: it does not take user",
        ),
        (
            ProxyManner::Answer(503),
            Status::Network,
            "PROXY answered 503 Service Unavailable to CONNECT",
        ),
        (
            ProxyManner::Answer(204),
            Status::Network,
            "PROXY answered 204 No Content to CONNECT",
        ),
        (
            ProxyManner::Answer(799),
            Status::Network,
            "PROXY answered 799 to CONNECT",
        ),
        (
            ProxyManner::Close,
            Status::Network,
            "PROXY closed the connection instead of answering",
        ),
        (
            ProxyManner::Garbage,
            Status::Network,
            "what PROXY answered to CONNECT is no HTTP",
        ),
        (
            ProxyManner::Hang,
            Status::Timeout,
            "within 1000 ms: PROXY does not answer CONNECT",
        ),
    ] {
        proxy.set_manner(manner);
        all_say(&client, expected, &named(words));
    }
    // Nobody listens there any more.
    drop(proxy);
    all_say(
        &client,
        Status::Network,
        &named(&format!("PROXY: {address}: ")),
    );
    assert!(sandbox.requests().is_empty());
}

#[test]
fn a_proxy_whose_name_is_nobodys_is_named() {
    const PROXY: &str = "proxy-name.invalid";
    let (sandbox, _, client, _) = proxied("proxy-3.kotaksecurities.com", json!({"connect": 500}));
    let document = client.session_export().expect("there is one");
    let mut config = parse(&sandbox.config_json());
    config["proxy"] = json!(format!("http://fake-user:fake-password@{PROXY}:3128"));
    config["timeouts"] = json!({"connect": 500});
    let client = Client::open(Some(&config.to_string())).expect("it is valid");
    client
        .session_import(document.json())
        .expect("it is of today");
    tell(PROXY, Told::Nothing);
    let words = format!("the proxy {PROXY}:3128: no such name: {PROXY}");
    all_say(&client, Status::Network, &words);
    tell(PROXY, Told::Hangs);
    let words = format!("the proxy {PROXY}:3128: the name {PROXY} was not looked up yet");
    all_say(&client, Status::Timeout, &words);
    tell(PROXY, Told::Nothing);
}

/// A read, an order, a download and both feeds say this of the connection, and no secret.
fn all_say(client: &Client, expected: Status, words: &str) {
    let check = |what: &str, text: &str| {
        assert!(text.contains(words), "{what}: {text}");
        assert!(
            !text.contains("fake-user") && !text.contains("fake-password"),
            "{text}"
        );
        assert!(!text.contains("ZmFrZS11c2Vy"), "{text}");
    };
    let search = r#"{"exchange_segment":"nse_cm","symbol":"IDEA"}"#;
    for (what, result) in [
        ("read", client.whatsmyip()),
        ("order", place(client, &order())),
        ("search", client.search_scrip(search)),
    ] {
        assert_eq!(status(&result), expected, "{what}: {result:?}");
        let error = result.expect_err("there is no connection");
        check(what, &error.to_json());
        check(what, error.message());
        let flags = (told(&error, "sent"), told(&error, "safe_to_repeat"));
        assert_eq!(flags, (json!(false), json!(true)), "{what}: {error:?}");
    }
    let feed = client.feed(None).expect("there is a session");
    check(
        "feed",
        &until_state(|wait| feed.next(wait), "down")["reason"].to_string(),
    );
    let feed = client.order_feed(None).expect("there is a session");
    check(
        "order feed",
        &until_state(|wait| feed.next(wait), "down")["reason"].to_string(),
    );
}

/// One is told per call, that of the last request which it needed.
#[test]
fn what_is_told_of_a_connection() {
    for http2 in [false, true] {
        let sandbox = start(Options {
            tls: TlsMode::Valid,
            http2,
            ..Options::default()
        });
        let client = client_with(&sandbox, &json!({}));
        let first = connection(&totp_login(&sandbox, &client).expect("it is right"));
        assert_eq!(first["reused"], false, "{first}");
        // The feed config that follows it is no part of what is told.
        let reply = client
            .totp_validate(&sandbox.credentials().mpin)
            .expect("it is right");
        let told: Vec<_> = connection(&reply)
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect();
        assert_eq!(
            told,
            ["family", "first_byte_ms", "peer", "reused"],
            "{}",
            reply.meta()
        );
        assert_eq!(connection(&reply)["reused"], true);
        // A cancel that looks its order up uses one connection for both.
        let number = parse(place(&client, &order()).expect("taken").json())["nOrdNo"].clone();
        let fresh = client_with(&sandbox, &json!({}));
        let document = client.session_export().expect("there is one");
        fresh
            .session_import(document.json())
            .expect("it is of today");
        let cancel = json!({"order_id": number, "isVerify": true}).to_string();
        let made = connection(&fresh.cancel_order(&cancel).expect("it is open"));
        assert_eq!(made["reused"], false, "{made}");
        assert!(is_time(&made["tls_ms"]), "{made}");
        // What needs no network has none.
        let local = client.session_info().expect("there is one");
        assert!(
            parse(&local.meta()).get("connection").is_none(),
            "{}",
            local.meta()
        );
    }
}

/// A call whose time is over before an answer came is not told to have opened a connection.
#[test]
fn a_call_on_a_kept_connection_that_ends_early_tells_of_no_new_one() {
    for http2 in [false, true] {
        let sandbox = start(Options {
            tls: TlsMode::Valid,
            http2,
            ..Options::default()
        });
        let client = client_with(&sandbox, &json!({}));
        log_in(&sandbox, &client).expect("it is right");
        client.whatsmyip().expect("a read");
        fault(&sandbox, "/portfolio/v2/positions", FaultKind::Hang);
        let error = client
            .call("positions", Some(r#"{"timeout_ms":300}"#))
            .expect_err("no answer");
        assert_eq!(error.status(), Status::Timeout, "{error}");
        assert_eq!(of_error(&error), Value::Null, "{}", error.meta());
    }
}
