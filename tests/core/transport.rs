//! What the network may do, and what the caller is told.

use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use kotak_neo::{Client, Error, Status};
use kotak_neo_sandbox::{FaultKind, Options, Sandbox, TlsMode};
use serde_json::json;

use crate::support::{
    answer, client, client_with, fault, json, log_in, password_login, paths, sandbox, start, state,
    status, told, totp_login,
};

/// Far more than any deadline of these tests.
const PATIENCE: Duration = Duration::from_secs(30);

const LOGIN: &str = "/login/1.0/tradeApiLogin";
const VALIDATE: &str = "/login/1.0/tradeApiValidate";
const IP: &str = "/login/1.0/get-client-ip";

fn tls(mode: TlsMode, http2: bool) -> Sandbox {
    start(Options {
        tls: mode,
        http2,
        ..Options::default()
    })
}

fn ca(path: Option<&std::path::Path>) -> serde_json::Value {
    json!({"ca_file": path.map(|path| path.to_str().expect("a temporary path is UTF-8"))})
}

#[test]
fn both_versions_of_http_over_tls() {
    for (http2, version) in [(true, "HTTP/2"), (false, "HTTP/1.1")] {
        let sandbox = tls(TlsMode::Valid, http2);
        let client = client(&sandbox);
        log_in(&sandbox, &client).expect("the CA file is trusted");
        client.whatsmyip().expect("the session is good");
        for request in sandbox.requests() {
            assert!(
                request.http_version.starts_with(version),
                "{}",
                request.http_version
            );
        }
        assert_eq!(sandbox.connections(), 1, "one connection for all calls");
    }
}

#[test]
fn a_certificate_that_is_not_right_gets_nothing_sent() {
    let good = tls(TlsMode::Valid, true);
    let expired = tls(TlsMode::Expired, true);
    let elsewhere = tls(TlsMode::WrongHost, true);
    for (sandbox, file, reason) in [
        (
            &good,
            good.other_ca_file(),
            "signed by an authority that is not trusted here",
        ),
        (
            &good,
            None,
            "signed by an authority that is not trusted here",
        ),
        (&expired, expired.ca_file(), "has expired"),
        (&elsewhere, elsewhere.ca_file(), "is for another host name"),
    ] {
        let client = client_with(sandbox, &ca(file));
        for error in [
            totp_login(sandbox, &client).expect_err("the certificate is not right"),
            password_login(sandbox, &client).expect_err("the certificate is not right"),
        ] {
            assert_eq!(error.status(), Status::Network, "{error:?}");
            assert!(error.message().contains(reason), "{error}");
            assert!(error.message().contains("nothing was sent"), "{error}");
            assert_eq!(
                (told(&error, "sent"), told(&error, "safe_to_repeat")),
                (json!(false), json!(true))
            );
        }
        assert!(sandbox.requests().is_empty());
    }
}

#[test]
fn a_foreign_base_url_is_refused_and_gets_no_token() {
    let sandbox = sandbox();
    let foreign = self::sandbox();
    let client = client(&sandbox);
    for url in [
        foreign.url(),
        "https://evil.example",
        "https://mis.kotaksecurities.com.evil.example/x",
    ] {
        fault(&sandbox, VALIDATE, FaultKind::BaseUrl(url.to_owned()));
        let error = log_in(&sandbox, &client).expect_err("a foreign host");
        assert_eq!(error.status(), Status::Protocol);
        assert!(
            error.message().contains("baseUrl")
                && error.message().contains("no host of the broker"),
            "{error}"
        );
        assert_eq!(state(&client), "view");
        assert_eq!(status(&client.whatsmyip()), Status::NotLoggedIn);
        sandbox.clear_faults();
    }
    let two = client_with(&sandbox, &json!({"generation": 2}));
    fault(
        &sandbox,
        "/algo-user/",
        FaultKind::BaseUrl(foreign.url().to_owned()),
    );
    let error = totp_login(&sandbox, &two).expect_err("a foreign host");
    assert!(error.message().contains("baseURL"), "{error}");
    assert_eq!(foreign.connections(), 0);
}

#[test]
fn a_foreign_feed_url_is_passed_over_and_told() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    fault(
        &sandbox,
        "",
        FaultKind::FeedUrl("wss://evil.example/feed".to_owned()),
    );
    let reply = log_in(&sandbox, &client).expect("the login itself is fine");
    let notes = json(&reply.meta())["notes"].to_string();
    assert!(
        notes.contains("evil.example") && notes.contains("feedUrl") && notes.contains("rtUrl"),
        "{notes}"
    );
    let info = client.session_info().expect("a session");
    assert!(!info.json().contains("evil"), "{info:?}");
}

#[test]
fn redirects_are_not_followed() {
    let sandbox = sandbox();
    let foreign = self::sandbox();
    let client = client(&sandbox);
    fault(
        &sandbox,
        LOGIN,
        FaultKind::Redirect(format!("{}{LOGIN}", foreign.url())),
    );
    let error = totp_login(&sandbox, &client).expect_err("it is no answer");
    assert_eq!(error.status(), Status::Protocol);
    assert!(error.message().contains("redirected"), "{error}");
    assert_eq!(foreign.connections(), 0);
    assert_eq!(paths(&sandbox).len(), 1);
}

#[test]
fn a_silent_broker_is_a_timeout() {
    let sandbox = sandbox();
    let client = client_with(
        &sandbox,
        &json!({"timeouts": {"login": 1500, "read": 1500}}),
    );
    log_in(&sandbox, &client).expect("no fault yet");
    for kind in [
        FaultKind::Hang,
        FaultKind::Trickle { ms: 100 },
        FaultKind::Slow { ms: 60_000 },
    ] {
        fault(&sandbox, "/login/", kind);
        let started = Instant::now();
        let login = totp_login(&sandbox, &client).expect_err("no answer in time");
        let read = client.whatsmyip().expect_err("no answer in time");
        assert!(started.elapsed() < PATIENCE);
        for (error, safe) in [(login, false), (read, true)] {
            assert_eq!(error.status(), Status::Timeout, "{error:?}");
            assert!(error.message().contains("1500 ms"), "{error}");
            assert_eq!(
                (told(&error, "sent"), told(&error, "safe_to_repeat")),
                (json!(true), json!(safe))
            );
        }
        sandbox.clear_faults();
    }
    assert_eq!(
        state(&client),
        "trade",
        "a failed login leaves the session as it was"
    );
    client.whatsmyip().expect("and the session works");
}

#[test]
fn nobody_listening_is_told_as_not_sent() {
    let port = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("bound")
        .port();
    let config =
        json!({"base_url": format!("http://127.0.0.1:{port}"), "consumer_key": "fake-key"});
    let client = Client::open(Some(&config.to_string())).expect("valid");
    let error = client
        .totp_login("9999999999", "TEST1", "123456")
        .expect_err("nobody listens");
    assert_eq!(error.status(), Status::Network);
    assert_eq!(
        (told(&error, "sent"), told(&error, "safe_to_repeat")),
        (json!(false), json!(true))
    );
}

#[test]
fn a_broken_connection_repeats_reads_once_and_logins_never() {
    for kind in [
        FaultKind::ResetBefore,
        FaultKind::ResetAfter,
        FaultKind::WrongContentLength,
    ] {
        let sandbox = sandbox();
        let client = client(&sandbox);
        log_in(&sandbox, &client).expect("no fault yet");
        sandbox.clear_requests();
        fault(&sandbox, "", kind.clone());
        let login = totp_login(&sandbox, &client).expect_err("the connection breaks");
        assert_eq!(login.status(), Status::Network, "{login:?}");
        assert!(!login.safe_to_repeat());
        assert_eq!(paths(&sandbox), [LOGIN], "{kind:?}");
        sandbox.clear_requests();
        let read = client.whatsmyip().expect_err("the connection breaks again");
        assert_eq!(
            (read.status(), read.safe_to_repeat()),
            (Status::Network, true)
        );
        assert_eq!(paths(&sandbox), [IP, IP], "{kind:?}");
        sandbox.clear_faults();
        client.whatsmyip().expect("the session is still good");
    }
}

#[test]
fn http2_refusals_do_not_repeat_a_login() {
    let sandbox = tls(TlsMode::Valid, true);
    let client = client(&sandbox);
    fault(&sandbox, LOGIN, FaultKind::RefuseStream);
    let error = totp_login(&sandbox, &client).expect_err("the stream is refused");
    assert_eq!(error.status(), Status::Network, "{error:?}");
    assert_eq!(paths(&sandbox), [LOGIN]);
}

#[test]
fn an_answer_that_is_cut_shows_no_half_token() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    fault(&sandbox, LOGIN, FaultKind::CutJson);
    let error = totp_login(&sandbox, &client).expect_err("half an answer");
    assert_eq!(error.status(), Status::Protocol);
    assert!(!error.to_json().contains("eyJ"), "{error:?}");
    sandbox.clear_faults();
    fault(
        &sandbox,
        LOGIN,
        answer(
            200,
            "application/json",
            r#"{"data":{"token":"fake-half-of-a-tok"#,
        ),
    );
    let error = totp_login(&sandbox, &client).expect_err("half an answer");
    assert_eq!(told(&error, "broker"), r#"{"data":{"token":"***""#);
    assert_eq!(state(&client), "logged_out");
}

#[test]
fn retry_after_is_passed_on() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    let limited = FaultKind::Answer {
        status: 429,
        headers: vec![("retry-after".to_owned(), "7".to_owned())],
        body: Vec::new(),
    };
    fault(&sandbox, LOGIN, limited);
    let error = totp_login(&sandbox, &client).expect_err("too many requests");
    assert_eq!(error.status(), Status::RateLimited);
    assert_eq!(told(&error, "retry_after_ms"), 7000);
    assert_eq!(paths(&sandbox).len(), 1);
}

#[test]
fn an_answer_over_the_cap_is_refused() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    let huge = format!("\"{}\"", "x".repeat(17 * 1024 * 1024));
    fault(&sandbox, LOGIN, answer(200, "application/json", &huge));
    let error = totp_login(&sandbox, &client).expect_err("it is too large");
    assert_eq!(error.status(), Status::Protocol);
    assert!(error.message().contains("larger than"), "{error}");
    assert!(error.to_json().len() < 4096);
}

#[test]
fn odd_answers_are_protocol_errors() {
    for body in [
        "",
        "null",
        "[]",
        "7",
        "{}",
        r#"{"data":[]}"#,
        r#"{"data":{"token":"t"}}"#,
        "\u{feff}{}",
    ] {
        let sandbox = sandbox();
        let client = client(&sandbox);
        fault(&sandbox, LOGIN, answer(200, "application/json", body));
        let error = totp_login(&sandbox, &client).expect_err("it is no login");
        assert_eq!(error.status(), Status::Protocol, "{body}: {error:?}");
        json(&error.to_json());
        assert_eq!(state(&client), "logged_out");
    }
}

/// Makes `call` in a thread and waits until its request has arrived.
fn blocked<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    sandbox: &'scope Sandbox,
    call: impl FnOnce() -> Error + Send + 'scope,
) -> thread::ScopedJoinHandle<'scope, Error> {
    let before = sandbox.requests().len();
    let handle = scope.spawn(call);
    assert!(
        sandbox.wait_for_requests(before + 1, PATIENCE).len() > before,
        "the request arrived"
    );
    handle
}

#[test]
fn an_interrupt_ends_the_call_and_keeps_the_session() {
    let sandbox = sandbox();
    let client = client_with(&sandbox, &json!({"timeouts": {"read": 600_000}}));
    log_in(&sandbox, &client).expect("no fault yet");
    fault(&sandbox, IP, FaultKind::Hang);
    thread::scope(|scope| {
        let calls: Vec<_> = (0..4)
            .map(|_| {
                blocked(scope, &sandbox, || {
                    client.whatsmyip().expect_err("interrupted")
                })
            })
            .collect();
        client.interrupt();
        for call in calls {
            let error = call.join().expect("no panic");
            assert_eq!(error.status(), Status::Closed, "{error:?}");
            assert_eq!(told(&error, "sent"), true);
        }
    });
    sandbox.clear_faults();
    client
        .whatsmyip()
        .expect("the session stays, and later calls work");
}

#[test]
fn a_close_ends_the_calls_of_other_threads() {
    let sandbox = sandbox();
    let client = client_with(&sandbox, &json!({"timeouts": {"login": 600_000}}));
    fault(&sandbox, LOGIN, FaultKind::Hang);
    thread::scope(|scope| {
        let call = blocked(scope, &sandbox, || {
            totp_login(&sandbox, &client).expect_err("closed")
        });
        client.close();
        assert_eq!(call.join().expect("no panic").status(), Status::Closed);
    });
    assert_eq!(status(&totp_login(&sandbox, &client)), Status::Closed);
    assert_eq!(status(&client.session_info()), Status::Closed);
}

#[test]
fn logins_wait_for_each_other() {
    let sandbox = sandbox();
    let client = client_with(&sandbox, &json!({"timeouts": {"login": 1000}}));
    fault(&sandbox, LOGIN, FaultKind::Hang);
    thread::scope(|scope| {
        let first = blocked(scope, &sandbox, || {
            totp_login(&sandbox, &client).expect_err("hangs")
        });
        let second = totp_login(&sandbox, &client).expect_err("hangs, or had no turn");
        assert_eq!(second.status(), Status::Timeout);
        assert_eq!(first.join().expect("no panic").status(), Status::Timeout);
    });
}

#[test]
fn names_addresses_and_proxies() {
    let sandbox = sandbox();
    let port = sandbox.url().rsplit(':').next().expect("a port").to_owned();
    let decoy = TcpListener::bind("127.0.0.1:0").expect("a port");
    let proxy = format!(
        "http://127.0.0.1:{}",
        decoy.local_addr().expect("bound").port()
    );
    let client = client_with(
        &sandbox,
        &json!({
            "base_url": format!("http://localhost:{port}"),
            "local_address": "127.0.0.9",
            "proxy": proxy,
        }),
    );
    totp_login(&sandbox, &client).expect("localhost is this machine");
    assert_eq!(
        sandbox.requests()[0].client_addr.ip().to_string(),
        "127.0.0.9"
    );
    decoy.set_nonblocking(true).expect("a socket");
    assert!(
        decoy.accept().is_err(),
        "loopback never goes through a proxy"
    );
}

/// A proxy that opens one tunnel to the sandbox, whatever name is asked for,
/// and tells what was asked.
fn proxy_once(to: String) -> (String, thread::JoinHandle<String>) {
    use std::io::{Read, Write};
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let handle = thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("the library connects");
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).expect("a whole head");
            asked.push(byte[0]);
        }
        client
            .write_all(b"HTTP/1.1 200 OK\r\n\r\n")
            .expect("the library waits");
        let mut server = TcpStream::connect(to).expect("the sandbox listens");
        let (mut from_client, mut to_server) = (
            client.try_clone().expect("a socket"),
            server.try_clone().expect("a socket"),
        );
        // Each way ends when one side closes; how it ends does not matter.
        let up = thread::spawn(move || std::io::copy(&mut from_client, &mut to_server).is_ok());
        let down = std::io::copy(&mut server, &mut client).is_ok();
        let _ = (up.join(), down);
        String::from_utf8(asked).expect("a head is ASCII")
    });
    (format!("http://fake-user:fake-password@{address}"), handle)
}

#[test]
fn other_hosts_go_through_the_proxy() {
    // The certificate is for localhost: the tunnel is opened, TLS refuses.
    let sandbox = tls(TlsMode::Valid, true);
    let to = sandbox.url().replace("https://localhost", "127.0.0.1");
    let (proxy, asked) = proxy_once(to);
    let config = json!({
        "base_url": "https://broker.invalid",
        "consumer_key": "fake-key",
        "proxy": proxy,
        "ca_file": sandbox.ca_file(),
    });
    let client = Client::open(Some(&config.to_string())).expect("valid");
    let error = client
        .totp_login("9999999999", "TEST1", "123456")
        .expect_err("another name");
    assert!(
        error.message().contains("is for another host name"),
        "{error}"
    );
    assert!(!error.to_json().contains("fake-password"));
    let asked = asked
        .join()
        .expect("the proxy saw one tunnel")
        .to_lowercase();
    assert!(
        asked.starts_with("connect broker.invalid:443 http/1.1\r\n"),
        "{asked}"
    );
    assert!(asked.contains("proxy-authorization: basic "), "{asked}");
    assert!(sandbox.requests().is_empty());
}

#[test]
fn an_interrupt_after_the_broker_granted_the_session_loses_nothing() {
    let sandbox = sandbox();
    let user = sandbox.credentials().clone();
    let client = client_with(&sandbox, &json!({"timeouts": {"login": 600_000}}));
    totp_login(&sandbox, &client).expect("no fault yet");
    fault(&sandbox, "/5config/", FaultKind::Hang);
    fault(&sandbox, "/login/1.0/login/otp/", FaultKind::Hang);
    let before = sandbox.requests().len();
    thread::scope(|scope| {
        let call = scope.spawn(|| client.totp_validate(&user.mpin));
        assert!(sandbox.wait_for_requests(before + 2, PATIENCE).len() >= before + 2);
        client.interrupt();
        let reply = call
            .join()
            .expect("no panic")
            .expect("the session was granted");
        assert!(
            json(&reply.meta())["notes"]
                .to_string()
                .contains("interrupted"),
            "{}",
            reply.meta()
        );
    });
    assert_eq!(state(&client), "trade");
    let before = sandbox.requests().len();
    thread::scope(|scope| {
        let call = scope.spawn(|| password_login(&sandbox, &client));
        assert!(sandbox.wait_for_requests(before + 3, PATIENCE).len() >= before + 3);
        client.interrupt();
        let reply = call.join().expect("no panic").expect("the login is valid");
        assert_eq!(json(&reply.meta())["otp"]["problem"], "interrupted");
    });
}

#[test]
fn an_empty_body_counts_as_sent_too() {
    let sandbox = sandbox();
    let client = client_with(&sandbox, &json!({"timeouts": {"login": 2000}}));
    password_login(&sandbox, &client).expect("the password is right");
    client
        .session_2fa(&sandbox.credentials().mpin)
        .expect("the MPIN is right");
    fault(&sandbox, "/login/1.0/logout", FaultKind::Hang);
    let error = client.logout().expect_err("no answer in time");
    assert_eq!(error.status(), Status::Timeout);
    assert_eq!(
        (told(&error, "sent"), told(&error, "safe_to_repeat")),
        (json!(true), json!(false))
    );
    assert_eq!(state(&client), "trade");
}

#[test]
fn a_read_that_found_no_connection_was_not_sent() {
    let port = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("bound")
        .port();
    let config = json!({
        "base_url": format!("http://127.0.0.1:{port}"), "generation": 2,
        "consumer_key": "fake-key", "consumer_secret": "fake-secret",
    });
    let client = Client::open(Some(&config.to_string())).expect("valid");
    let error = client
        .totp_login("9999999999", "TEST1", "123456")
        .expect_err("nobody listens");
    assert_eq!(
        (told(&error, "sent"), told(&error, "safe_to_repeat")),
        (json!(false), json!(true))
    );
}

#[cfg(unix)]
#[test]
fn files_that_are_no_files_are_refused() {
    for (config, name) in [
        (
            json!({"ca_file": "/dev/zero"}),
            "config.ca_file: is no regular file",
        ),
        (json!({"ca_file": "/"}), "config.ca_file: is a folder"),
        (
            json!({"log": {"level": "info", "file": "/dev/full"}}),
            "config.log.file: is no regular file",
        ),
    ] {
        let error = Client::open(Some(&config.to_string())).expect_err("it is no file");
        assert!(error.message().starts_with(name), "{error}");
    }
}

/// Opens a client in a process with another environment.
#[test]
fn a_system_proxy_that_cannot_be_read_is_named() {
    const CHILD: &str = "KNEO_TEST_PROXY_CHILD";
    const NAME: &str = "transport::a_system_proxy_that_cannot_be_read_is_named";
    if std::env::var_os(CHILD).is_some() {
        match Client::open(Some(r#"{"proxy":"system"}"#)) {
            Ok(_) => println!("opened"),
            Err(error) => println!("{:?} {}", error.status(), error.to_json()),
        }
        return;
    }
    let open = |name: &str, value: &str| {
        let me = std::env::current_exe().expect("a test is a file");
        let mut child = std::process::Command::new(me);
        for other in [
            "HTTPS_PROXY",
            "https_proxy",
            "ALL_PROXY",
            "all_proxy",
            "REQUEST_METHOD",
        ] {
            child.env_remove(other);
        }
        child.args(["--exact", NAME, "--nocapture"]);
        let ran = child.env(CHILD, "1").env(name, value).output();
        String::from_utf8_lossy(&ran.expect("it runs").stdout).into_owned()
    };
    let said = open(
        "https_proxy",
        "socks5://fake-user:fake-word@proxy.invalid:1",
    );
    assert!(said.contains("InvalidArgument"), "{said}");
    assert!(
        said.contains("config.proxy: the environment variable https_proxy"),
        "{said}"
    );
    assert!(!said.contains("fake-"), "{said}");
    let said = open("https_proxy", "http://fake-user:fake-word@proxy.invalid:1");
    assert!(said.contains("opened"), "{said}");
}
