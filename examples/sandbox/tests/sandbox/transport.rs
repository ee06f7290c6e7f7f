//! TLS, HTTP versions, compression, connections.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use kotak_neo_sandbox::{Options, Proxy, ProxyManner, Sandbox, TlsMode};

use crate::client::{Client, address};
use crate::faults::PATIENCE;
use crate::v3;

fn start(tls: TlsMode, http2: bool) -> Sandbox {
    Sandbox::start(Options {
        tls,
        http2,
        ..Options::default()
    })
    .unwrap()
}

/// Waits until something holds.
fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn listens_on_loopback_only() {
    for address in [
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
        IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)),
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    ] {
        let refused = Sandbox::start(Options {
            address,
            ..Options::default()
        });
        let error = refused.err().unwrap();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    }
}

#[test]
fn listens_at_further_loopback_addresses() {
    let foreign = Sandbox::start(Options {
        also_at: vec![Ipv4Addr::new(192, 0, 2, 1).into()],
        ..Options::default()
    });
    let kind = foreign.err().unwrap().kind();
    assert_eq!(kind, std::io::ErrorKind::InvalidInput);
    let sandbox = Sandbox::start(Options {
        also_at: vec![Ipv6Addr::LOCALHOST.into()],
        ..Options::default()
    })
    .unwrap();
    for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
        TcpStream::connect((ip, sandbox.port())).unwrap();
    }
    until("both are accepted", || sandbox.connections() == 2);
}

#[test]
fn a_proxy_leads_here_or_does_something_else() {
    let sandbox = v3::start();
    let proxy = Proxy::start(&sandbox, ProxyManner::Tunnel).unwrap();
    let config: serde_json::Value = serde_json::from_str(&proxy.config_json(&sandbox)).unwrap();
    assert_eq!(config["proxy"], proxy.url());
    const CONNECT: &str = "CONNECT e43.kotaksecurities.com:443 HTTP/1.1\r\n\r\n";
    for (manner, answer) in [
        (ProxyManner::Tunnel, "HTTP/1.1 200 "),
        (ProxyManner::Answer(407), "HTTP/1.1 407 "),
        (ProxyManner::Close, ""),
        (ProxyManner::Garbage, "220 proxy ready\r\n"),
    ] {
        proxy.set_manner(manner);
        let mut stream = TcpStream::connect(proxy.url().replace("http://", "")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(CONNECT.as_bytes()).unwrap();
        let mut got = vec![0; answer.len()];
        stream.read_exact(&mut got).unwrap();
        assert_eq!(got, answer.as_bytes(), "{manner:?}");
        let mut rest = String::new();
        if manner == ProxyManner::Tunnel {
            stream
                .write_all(b"GET /nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                .unwrap();
            stream.read_to_string(&mut rest).unwrap();
            assert!(rest.contains("HTTP/1.1 404"), "{rest}");
        } else {
            stream.read_to_string(&mut rest).unwrap();
        }
    }
    assert_eq!(sandbox.requests().len(), 1);
    assert_eq!(proxy.asked(), [CONNECT; 4]);
    // One that hangs ends with the proxy.
    proxy.set_manner(ProxyManner::Hang);
    let mut stream = TcpStream::connect(proxy.url().replace("http://", "")).unwrap();
    stream.write_all(CONNECT.as_bytes()).unwrap();
    until("it was asked", || proxy.asked().len() == 5);
    drop(proxy);
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
}

#[test]
fn senseless_options_and_a_taken_port_are_refused() {
    let sandbox = v3::start();
    let port = address(&sandbox).port();
    let taken = Sandbox::start(Options {
        port,
        ..Options::default()
    })
    .err()
    .unwrap();
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
    for base_path in ["xyz", "/xyz/", "/"] {
        let options = Options {
            base_path: base_path.to_owned(),
            ..Options::default()
        };
        assert!(Sandbox::start(options).is_err(), "{base_path}");
    }
    let mut options = Options::default();
    options.credentials.totp_secret = "not base32!".to_owned();
    assert!(Sandbox::start(options).is_err());
}

#[test]
fn a_port_is_free_again_after_the_drop() {
    let sandbox = v3::start();
    let port = address(&sandbox).port();
    let mut idle = TcpStream::connect(address(&sandbox)).unwrap();
    idle.set_read_timeout(Some(PATIENCE)).unwrap();
    until("accepted", || sandbox.connections() == 1);
    drop(sandbox);
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
    let again = Sandbox::start(Options {
        port,
        ..Options::default()
    })
    .unwrap();
    v3::trade(&again);
}

#[test]
fn works_inside_an_async_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let sandbox = v3::start();
        assert_eq!(sandbox.connections(), 0);
    });
}

#[test]
fn speaks_every_combination_of_tls_and_http_version() {
    for (tls, scheme) in [
        (TlsMode::Off, "http://127.0.0.1:"),
        (TlsMode::Valid, "https://localhost:"),
    ] {
        let sandbox = start(tls, true);
        assert!(sandbox.url().starts_with(scheme));
        for (http2, version) in [(false, "HTTP/1.1"), (true, "HTTP/2")] {
            let mut client = Client::open(&sandbox, http2).unwrap();
            let ask = v3::login_ask(&sandbox, v3::LOGIN);
            sandbox.clear_requests();
            for _ in 0..3 {
                client.send(&ask).unwrap().expect(200);
            }
            // One connection carried them all.
            let number = sandbox.connections();
            let recorded = sandbox.requests();
            assert_eq!(recorded.len(), 3);
            for request in recorded {
                assert_eq!(request.http_version, version);
                assert_eq!(request.connection, number);
                assert_eq!(request.body, ask.body.as_bytes());
            }
        }
    }
}

#[test]
fn http2_is_spoken_only_where_allowed() {
    let sandbox = start(TlsMode::Off, false);
    let mut client = Client::open(&sandbox, true).unwrap();
    client
        .send(&v3::login_ask(&sandbox, v3::LOGIN))
        .unwrap_err();
    assert_eq!(sandbox.requests(), []);
    let sandbox = start(TlsMode::Valid, false);
    let error = Client::open(&sandbox, true).err().unwrap();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
}

#[test]
fn certificates_are_good_or_bad_as_asked() {
    let cases = [
        (TlsMode::Valid, "localhost", None),
        (TlsMode::Valid, "127.0.0.1", None),
        (TlsMode::Valid, "::1", None),
        (TlsMode::Valid, "broker.invalid", Some("not valid for name")),
        (TlsMode::Expired, "localhost", Some("expired")),
        (TlsMode::WrongHost, "localhost", Some("not valid for name")),
        (TlsMode::WrongHost, "broker.invalid", None),
    ];
    for (mode, host, expected) in cases {
        let sandbox = start(mode, false);
        let ca_file = sandbox.ca_file();
        assert!(sandbox.config_json().contains("ca.pem"));
        let client = Client::open_trusting(&sandbox, false, ca_file, host);
        match (client, expected) {
            (Ok(mut client), None) => {
                client
                    .send(&v3::login_ask(&sandbox, v3::LOGIN))
                    .unwrap()
                    .expect(200);
            }
            (Err(error), Some(word)) => {
                assert!(error.contains(word), "{error}");
                until("the handshake failed", || sandbox.failed_handshakes() == 1);
                assert_eq!(sandbox.requests(), []);
            }
            (client, _) => panic!("{mode:?} {host}: {:?}", client.err()),
        }
    }
    let sandbox = start(TlsMode::Valid, false);
    let other = Client::open_trusting(&sandbox, false, sandbox.other_ca_file(), "localhost");
    let error = other.err().unwrap();
    assert!(error.contains("UnknownIssuer"), "{error}");
    assert_eq!(sandbox.requests(), []);
}

#[test]
fn ca_files_are_private_and_go_with_the_sandbox() {
    let sandbox = start(TlsMode::Valid, false);
    let ca_file = sandbox.ca_file().unwrap().to_owned();
    let other = sandbox.other_ca_file().unwrap().to_owned();
    let dir = ca_file.parent().unwrap().to_owned();
    let text = std::fs::read_to_string(&ca_file).unwrap();
    assert!(text.starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(!text.contains("PRIVATE"));
    assert_ne!(text, std::fs::read_to_string(&other).unwrap());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(
            std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777,
            0o700
        );
    }
    drop(sandbox);
    assert!(!dir.exists());
    let plain = start(TlsMode::Off, false);
    assert_eq!(plain.ca_file(), None);
    assert_eq!(plain.other_ca_file(), None);
    assert!(!plain.config_json().contains("ca_file"));
}

#[test]
fn compresses_for_those_who_accept_it() {
    let sandbox = Sandbox::start(Options {
        gzip: true,
        ..Options::default()
    })
    .unwrap();
    let ask = v3::login_ask(&sandbox, v3::LOGIN);
    for accept in ["gzip", "deflate, GZIP;q=0.5", "gzip, deflate"] {
        let reply = ask.clone().with("accept-encoding", accept).reply(&sandbox);
        assert_eq!(reply.headers["content-encoding"], "gzip");
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(&*reply.body)
            .read_to_end(&mut text)
            .unwrap();
        let body: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(body["data"]["kType"], "View");
    }
    for accept in ["identity", "deflate", "gzip;q=0", "xgzip"] {
        let reply = ask.clone().with("accept-encoding", accept).reply(&sandbox);
        assert!(!reply.headers.contains_key("content-encoding"), "{accept}");
        reply.expect(200);
    }
    let plain = v3::start();
    let ask = v3::login_ask(&plain, v3::LOGIN).with("accept-encoding", "gzip");
    ask.reply(&plain).expect(200);
}

#[test]
fn connections_are_counted_and_can_be_closed() {
    let sandbox = v3::start();
    let ask = v3::login_ask(&sandbox, v3::LOGIN);
    let mut clients = [(); 3].map(|()| Client::open(&sandbox, false).unwrap());
    for client in &mut clients {
        client.send(&ask).unwrap().expect(200);
    }
    assert_eq!(sandbox.connections(), 3);
    assert_eq!(sandbox.open_connections(), 3);
    sandbox.close_connections();
    until("all closed", || sandbox.open_connections() == 0);
    clients[0].send(&ask).unwrap_err();
    // New ones are welcome.
    ask.reply(&sandbox).expect(200);
    assert_eq!(sandbox.connections(), 4);
}

#[test]
fn refuses_bodies_over_its_limit() {
    let sandbox = v3::start();
    let ask = v3::login_ask(&sandbox, v3::LOGIN);
    ask.clone()
        .body(&"x".repeat(4 << 20))
        .reply(&sandbox)
        .expect(400);
    // The answer may come while the client still writes, and its connection may break then.
    match ask.body(&"x".repeat((4 << 20) + 1)).send(&sandbox) {
        Ok(reply) => drop(reply.expect(413)),
        Err(error) => assert!(!error.is_empty()),
    }
    assert_eq!(sandbox.requests()[1].answered, Some(413));
}
