//! Every kind of fault.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc::{self, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use kotak_neo_sandbox::{Fault, FaultKind, Options, Packing, Sandbox, TlsMode};
use serde_json::Value;

use crate::client::{Ask, Client, address};
use crate::v3;

/// Longer than any healthy machine needs; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

fn once(sandbox: &Sandbox, kind: FaultKind) {
    sandbox.set_fault(Fault {
        path: String::new(),
        times: Some(1),
        kind,
    });
}

/// Writes a raw request and reads to the end of the connection.
fn raw(sandbox: &Sandbox, request: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address(sandbox))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// A good OAuth2 request with this body length.
fn raw_post(sandbox: &Sandbox) -> String {
    let who = sandbox.credentials();
    let body = format!(
        r#"{{"mobileNumber":"{}","ucc":"{}","totp":"{}"}}"#,
        who.mobile_number,
        who.ucc,
        sandbox.totp_now()
    );
    format!(
        "POST {} HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\nneo-fin-key: neotradeapi\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        v3::LOGIN,
        who.consumer_key,
        body.len()
    )
}

#[test]
fn hang_never_answers_and_leaves_the_others_alone() {
    let sandbox = v3::start();
    once(&sandbox, FaultKind::Hang);
    let (sender, answer) = mpsc::channel();
    let hanging = v3::login_ask(&sandbox, v3::LOGIN);
    let mut client = Client::open(&sandbox, false).unwrap();
    let thread = thread::spawn(move || sender.send(client.send(&hanging)).unwrap());
    let recorded = sandbox.wait_for_requests(1, PATIENCE);
    assert_eq!(recorded.len(), 1);
    v3::view(&sandbox);
    assert_eq!(answer.try_recv().err(), Some(TryRecvError::Empty));
    let recorded = sandbox.requests();
    assert!(!recorded[0].body.is_empty());
    assert_eq!(recorded[0].answered, None);
    assert_eq!(recorded[1].answered, Some(200));
    // Only the end of the sandbox ends it.
    drop(sandbox);
    answer.recv_timeout(PATIENCE).unwrap().unwrap_err();
    thread.join().unwrap();
}

#[test]
fn reset_before_reads_the_head_and_no_more() {
    let sandbox = v3::start();
    once(&sandbox, FaultKind::ResetBefore);
    let error = raw(&sandbox, &raw_post(&sandbox)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let recorded = &sandbox.requests()[0];
    assert_eq!(recorded.path, v3::LOGIN);
    assert!(recorded.body.is_empty());
    assert_eq!(recorded.answered, None);
    v3::view(&sandbox);
}

#[test]
fn reset_after_reads_and_does_everything_first() {
    let sandbox = v3::start();
    let bearer = crate::v1::bearer(&sandbox);
    crate::v1::view(&sandbox, &bearer);
    sandbox.set_fault(Fault {
        path: "/login/1.0/login/otp".to_owned(),
        times: Some(1),
        kind: FaultKind::ResetAfter,
    });
    let body = r#"{"userId":"fake-user-0000","sendEmail":true,"isWhitelisted":true}"#;
    let request = format!(
        "POST /login/1.0/login/otp/generate HTTP/1.1\r\nhost: x\r\nauthorization: {bearer}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let error = raw(&sandbox, &request).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let recorded = sandbox.requests().pop().unwrap();
    assert_eq!(recorded.body, body.as_bytes());
    assert_eq!(recorded.answered, None);
    // It was carried out.
    assert!(sandbox.last_otp().is_some());
}

#[test]
fn resets_work_over_tls_and_http2_too() {
    let sandbox = Sandbox::start(Options {
        tls: TlsMode::Valid,
        http2: true,
        ..Options::default()
    })
    .unwrap();
    for http2 in [false, true] {
        for kind in [FaultKind::ResetBefore, FaultKind::ResetAfter] {
            once(&sandbox, kind);
            let mut client = Client::open(&sandbox, http2).unwrap();
            client
                .send(&v3::login_ask(&sandbox, v3::LOGIN))
                .unwrap_err();
        }
    }
    assert_eq!(sandbox.requests().len(), 4);
}

#[test]
fn refused_streams_say_so() {
    let sandbox = Sandbox::start(Options {
        http2: true,
        ..Options::default()
    })
    .unwrap();
    let ask = v3::login_ask(&sandbox, v3::LOGIN);
    let mut client = Client::open(&sandbox, true).unwrap();
    once(&sandbox, FaultKind::RefuseStream);
    let error = client.send(&ask).unwrap_err();
    assert!(error.contains("refused stream"), "{error}");
    // The connection itself goes on.
    client.send(&ask).unwrap().expect(200);
    assert_eq!(sandbox.connections(), 1);
    once(&sandbox, FaultKind::RefuseStream);
    ask.send(&sandbox).unwrap_err();
}

#[test]
fn answers_can_be_anything() {
    let sandbox = v3::start();
    let html = "<html><head><title>503</title></head></html>";
    once(
        &sandbox,
        FaultKind::Answer {
            status: 503,
            headers: vec![
                ("content-type".to_owned(), "text/html".to_owned()),
                ("retry-after".to_owned(), "1".to_owned()),
            ],
            body: html.into(),
        },
    );
    let reply = v3::login_ask(&sandbox, v3::LOGIN).reply(&sandbox);
    assert_eq!(reply.status, 503);
    assert_eq!(reply.body, html.as_bytes());
    assert_eq!(reply.headers["content-type"], "text/html");
    assert_eq!(reply.headers["retry-after"], "1");
    assert_eq!(sandbox.requests()[0].answered, Some(503));
    once(
        &sandbox,
        FaultKind::Answer {
            status: 429,
            headers: vec![],
            body: b"{}".to_vec(),
        },
    );
    let reply = v3::login_ask(&sandbox, v3::LOGIN).reply(&sandbox);
    assert_eq!(reply.status, 429);
    assert_eq!(reply.headers["content-type"], "application/json");
    once(
        &sandbox,
        FaultKind::Answer {
            status: 204,
            headers: vec![],
            body: vec![],
        },
    );
    assert_eq!(
        v3::login_ask(&sandbox, v3::LOGIN).reply(&sandbox).status,
        204
    );
}

#[test]
fn cut_json_is_a_whole_message_with_half_a_body() {
    for gzip in [false, true] {
        let sandbox = Sandbox::start(Options {
            gzip,
            ..Options::default()
        })
        .unwrap();
        let ask = v3::login_ask(&sandbox, v3::LOGIN);
        let whole = ask.reply(&sandbox);
        whole.expect(200);
        once(&sandbox, FaultKind::CutJson);
        let cut = ask.reply(&sandbox);
        assert_eq!(cut.status, 200);
        assert_eq!(cut.body.len(), whole.body.len() / 2);
        serde_json::from_slice::<Value>(&cut.body).unwrap_err();
    }
}

/// What an answer has with `gzip` taken off it, all members.
fn gunzip(body: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    flate2::read::MultiGzDecoder::new(body)
        .read_to_end(&mut text)
        .unwrap();
    text
}

fn inflate(body: &[u8], raw: bool) -> Vec<u8> {
    let mut text = Vec::new();
    match raw {
        true => flate2::read::DeflateDecoder::new(body).read_to_end(&mut text),
        false => flate2::read::ZlibDecoder::new(body).read_to_end(&mut text),
    }
    .unwrap();
    text
}

#[test]
fn answers_can_be_packed_in_any_way() {
    let sandbox = Sandbox::start(Options {
        gzip: true,
        ..Options::default()
    })
    .unwrap();
    let ask = v3::login_ask(&sandbox, v3::LOGIN).with("accept-encoding", "identity");
    let whole = ask.reply(&sandbox).body;
    let packed = |coding: &[&str], raw: bool, members: u32, bom: bool| {
        let coding = coding.iter().map(|line| (*line).to_owned()).collect();
        let packing = Packing {
            coding,
            raw,
            members,
            bom,
        };
        once(&sandbox, FaultKind::Packed(packing));
        ask.reply(&sandbox)
    };
    // Tokens differ from answer to answer, their length does not.
    let same = |text: &[u8]| {
        assert_eq!(text.len(), whole.len());
        serde_json::from_slice::<Value>(text).unwrap();
    };
    let reply = packed(&["gzip"], false, 1, false);
    assert_eq!(reply.headers["content-encoding"], "gzip");
    same(&gunzip(&reply.body));
    let several = packed(&["X-GZIP"], false, 5, false).body;
    same(&gunzip(&several));
    let members = several.windows(3).filter(|three| *three == [0x1f, 0x8b, 8]);
    assert!(members.count() >= 5);
    same(&inflate(&packed(&["deflate"], false, 1, false).body, false));
    same(&inflate(&packed(&["deflate"], true, 1, false).body, true));
    let both = packed(&["gzip, deflate"], true, 2, false).body;
    same(&gunzip(&inflate(&both, true)));
    let lines = packed(&["deflate", "gzip"], false, 1, true);
    assert_eq!(lines.headers.get_all("content-encoding").iter().count(), 2);
    let text = inflate(&gunzip(&lines.body), false);
    same(text.strip_prefix("\u{feff}".as_bytes()).unwrap());
    let named = packed(&["br"], false, 1, false);
    assert_eq!(named.headers["content-encoding"], "br");
    same(&named.body);
    same(&packed(&[], false, 0, false).body);
}

#[test]
fn wrong_content_length_promises_too_much() {
    let sandbox = v3::start();
    once(&sandbox, FaultKind::WrongContentLength);
    let text = raw(&sandbox, &raw_post(&sandbox)).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let promised: usize = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(promised, body.len() + 64);
    serde_json::from_str::<Value>(body).unwrap();

    once(&sandbox, FaultKind::WrongContentLength);
    v3::login_ask(&sandbox, v3::LOGIN)
        .send(&sandbox)
        .unwrap_err();
    let options = Options {
        tls: TlsMode::Valid,
        http2: true,
        ..Options::default()
    };
    let sandbox = Sandbox::start(options).unwrap();
    once(&sandbox, FaultKind::WrongContentLength);
    let mut client = Client::open(&sandbox, true).unwrap();
    client
        .send(&v3::login_ask(&sandbox, v3::LOGIN))
        .unwrap_err();
}

#[test]
fn redirects_and_foreign_addresses() {
    let sandbox = v3::start();
    let foreign = "https://broker.invalid/x";
    once(&sandbox, FaultKind::Redirect(foreign.to_owned()));
    let reply = v3::login_ask(&sandbox, v3::LOGIN).reply(&sandbox);
    assert_eq!(reply.status, 307);
    assert_eq!(reply.headers["location"], foreign);

    sandbox.set_fault(Fault {
        path: v3::VALIDATE.to_owned(),
        times: Some(1),
        kind: FaultKind::BaseUrl(foreign.to_owned()),
    });
    let trade = v3::trade(&sandbox);
    assert_eq!(trade["data"]["baseUrl"], foreign);
    assert_eq!(
        trade["data"]["feedUrl"],
        format!("{}/apifeed", sandbox.url())
    );
    once(&sandbox, FaultKind::BaseUrl(foreign.to_owned()));
    let lookup = Ask::get("/algo-user/v5/get-base-url?id=TEST1")
        .reply(&sandbox)
        .expect(200);
    assert_eq!(lookup["data"]["baseURL"], foreign);

    sandbox.set_fault(Fault {
        path: v3::VALIDATE.to_owned(),
        times: Some(1),
        kind: FaultKind::FeedUrl(foreign.to_owned()),
    });
    let trade = v3::trade(&sandbox);
    assert_eq!(trade["data"]["baseUrl"], sandbox.url());
    assert_eq!(trade["data"]["feedUrl"], foreign);
    assert_eq!(trade["data"]["rtUrl"], foreign);
    once(&sandbox, FaultKind::FeedUrl(foreign.to_owned()));
    let path = "/5config/config?platform=api&environment=prod";
    let config = Ask::get(path).reply(&sandbox).expect(200);
    assert_eq!(
        config["data"]["configs"]["E43_sh_broadcast_endpoint"],
        foreign
    );
}

#[test]
fn slow_and_trickled_answers_are_complete() {
    let sandbox = v3::start();
    let ask = v3::login_ask(&sandbox, v3::LOGIN);
    let begin = Instant::now();
    once(&sandbox, FaultKind::Slow { ms: 80 });
    ask.reply(&sandbox).expect(200);
    assert!(begin.elapsed() >= Duration::from_millis(80));

    let begin = Instant::now();
    once(&sandbox, FaultKind::Trickle { ms: 1 });
    let path = "/algo-user/v5/get-base-url?id=TEST1";
    let reply = Ask::get(path).reply(&sandbox);
    reply.expect(200);
    // There is a pause after each byte but the last.
    let pauses = u64::try_from(reply.body.len()).unwrap() - 1;
    assert!(begin.elapsed() >= Duration::from_millis(pauses));
}

#[test]
fn strike_where_and_as_often_as_said() {
    let sandbox = v3::start();
    sandbox.set_fault(Fault {
        path: v3::VALIDATE.to_owned(),
        times: Some(2),
        kind: FaultKind::Answer {
            status: 500,
            headers: vec![],
            body: vec![],
        },
    });
    let view = v3::view(&sandbox);
    let validate = v3::validate_ask(&sandbox, v3::VALIDATE, &view);
    assert_eq!(validate.reply(&sandbox).status, 500);
    assert_eq!(validate.reply(&sandbox).status, 500);
    validate.reply(&sandbox).expect(200);

    let kind = FaultKind::Answer {
        status: 502,
        headers: vec![],
        body: vec![],
    };
    sandbox.set_fault(Fault {
        path: String::new(),
        times: None,
        kind,
    });
    for _ in 0..3 {
        assert_eq!(validate.reply(&sandbox).status, 502);
        assert_eq!(Ask::get("/nowhere").reply(&sandbox).status, 502);
    }
    sandbox.clear_faults();
    validate.reply(&sandbox).expect(200);
}
