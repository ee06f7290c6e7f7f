//! Answers that were packed for their way, over every connection of a client: reads and
//! logins, instructions, downloads.

use std::io::Write;
use std::time::{Duration, Instant};

use flate2::write::{DeflateEncoder, GzEncoder};
use flate2::{Compress, Compression, FlushCompress};
use kotak_neo::{Client, Error, Reply, Status};
use kotak_neo_sandbox::{FaultKind, Options, Packing, Sandbox, TlsMode};
use serde_json::json;

use crate::orders::{What, number, order, place, placed, trader, unlimited};
use crate::support::{client, fault, log_in, start, status, told};

/// Far more than any deadline of these tests.
const PATIENCE: Duration = Duration::from_secs(30);

fn packing(coding: &[&str], raw: bool, members: u32) -> Packing {
    Packing {
        coding: coding.iter().map(|line| (*line).to_owned()).collect(),
        raw,
        members,
        bom: false,
    }
}

/// Every way that is known.
fn packings() -> Vec<Packing> {
    let mut all = vec![
        packing(&["gzip"], false, 1),
        packing(&["X-GZip"], false, 1),
        packing(&["GZIP"], false, 7),
        packing(&["deflate"], false, 1),
        packing(&["Deflate"], true, 1),
        packing(&["gzip, deflate"], false, 1),
        packing(&["gzip, deflate"], true, 3),
        packing(&["deflate,gzip"], true, 2),
        packing(&["deflate", "gzip"], false, 1),
        packing(&["gzip", "x-gzip"], false, 2),
        packing(&["gzip,deflate", "gzip"], false, 1),
        packing(&["identity"], false, 1),
        packing(&["identity, gzip", "identity"], false, 1),
        packing(&["identity", "deflate, , identity"], false, 1),
        packing(&[], false, 1),
    ];
    let marked = all.clone().into_iter().map(|mut packing| {
        packing.bom = true;
        packing
    });
    all.extend(marked.collect::<Vec<_>>());
    all
}

fn packed(sandbox: &Sandbox, path: &str, packing: &Packing) {
    sandbox.clear_faults();
    fault(sandbox, path, FaultKind::Packed(packing.clone()));
}

/// An answer with these codings and bytes; `after` the request was carried out.
fn bytes(status: u16, coding: &[&str], body: &[u8], after: bool) -> FaultKind {
    let coding = coding.iter();
    let headers = coding
        .map(|line| ("content-encoding".to_owned(), (*line).to_owned()))
        .collect();
    let body = body.to_vec();
    match after {
        false => FaultKind::Answer {
            status,
            headers,
            body,
        },
        true => FaultKind::AnswerAfter {
            status,
            headers,
            body,
        },
    }
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).expect("a vector takes it");
    encoder.finish().expect("a vector takes it")
}

fn deflate(text: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).expect("a vector takes it");
    encoder.finish().expect("a vector takes it")
}

const TAKEN: &str = r#"{"nOrdNo":"250122000624384","stat":"Ok","stCode":200}"#;

#[test]
fn reads_and_logins_are_read_however_they_are_packed() {
    for http2 in [false, true] {
        let sandbox = start(Options {
            tls: if http2 { TlsMode::Valid } else { TlsMode::Off },
            http2,
            ..Options::default()
        });
        let client = client(&sandbox);
        log_in(&sandbox, &client).expect("the login works");
        let placed = sandbox.place_from_app("nse_cm", "IDEA-EQ", "B", 10, "9.40");
        let plain = client.order_report(None).expect("a book");
        assert!(plain.json().contains(&placed));
        for packing in packings() {
            packed(&sandbox, "", &packing);
            let book = client.order_report(None);
            let book = book.unwrap_or_else(|error| panic!("{packing:?}: {error:?}"));
            assert_eq!(book.json(), plain.json(), "{packing:?}");
        }
        for packing in packings().into_iter().skip(20) {
            packed(&sandbox, "/login/", &packing);
            let login = log_in(&sandbox, &client);
            login.unwrap_or_else(|error| panic!("{packing:?}: {error:?}"));
        }
        // An error comes packed too.
        packed(&sandbox, "/script-details", &packings()[6]);
        let unknown = json!({"instrument_tokens": [
            {"exchange_segment": "nse_cm", "instrument_token": "1"}]});
        let error = client.quotes(&unknown.to_string()).expect_err("no such");
        assert_eq!(error.status(), Status::Rejected, "{error:?}");
        assert_eq!(told(&error, "broker")["fault"]["code"], 400);
        if http2 {
            let requests = sandbox.requests();
            assert!(requests.iter().all(|one| one.http_version == "HTTP/2"));
        }
    }
}

#[test]
fn instructions_are_answered_however_they_are_packed() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({"max_orders_per_second": 1_000_000}));
    let id = placed(&client);
    let mut line = None;
    for (at, packing) in (0..).zip(packings()) {
        packed(&sandbox, "/quick/order/", &packing);
        sandbox.clear_requests();
        let what = [What::Place, What::Modify][at % 2];
        let reply = what.send(&client, &id, json!({}));
        let reply = reply.unwrap_or_else(|error| panic!("{what:?} {packing:?}: {error:?}"));
        assert!(number(&reply).len() > 10, "{packing:?}");
        assert!(reply.json().starts_with('{'), "{packing:?}");
        let requests = sandbox.requests();
        assert_eq!(requests.len(), 1, "{what:?} {packing:?}");
        assert_eq!(requests[0].header("accept-encoding"), Some("identity"));
        // What was read whole leaves the connection as it was.
        assert_eq!(
            *line.get_or_insert(requests[0].connection),
            requests[0].connection
        );
    }
    packed(&sandbox, "/quick/order/", &packings()[3]);
    let reply = What::Cancel.send(&client, &id, json!({}));
    assert_eq!(number(&reply.expect("it is open")), id);
    // A refusal proves what it proves, packed or not.
    let error = What::Cancel.send(&client, &id, json!({}));
    let error = error.expect_err("it is cancelled");
    assert_eq!(error.status(), Status::Rejected, "{error:?}");
    assert_eq!(told(&error, "code"), "1021");
}

fn search(client: &Client) -> Result<Reply, Error> {
    client.search_scrip(r#"{"exchange_segment":"nse_com","symbol":"GOLD"}"#)
}

#[test]
fn files_are_read_however_they_are_packed() {
    let sandbox = start(Options::default());
    let plain = search(&client(&sandbox)).expect("a file");
    let plain = plain.json();
    assert!(plain.len() > 1000, "{plain}");
    for packing in packings() {
        packed(&sandbox, "", &packing);
        let client = client(&sandbox);
        let found = search(&client);
        let found = found.unwrap_or_else(|error| panic!("{packing:?}: {error:?}"));
        assert_eq!(found.json(), plain, "{packing:?}");
        let status = client.scrip_status().expect("local");
        let status = crate::support::json(status.json());
        let segment = &status["segments"][0];
        assert_eq!(segment["bad_rows"], 0, "{packing:?}");
        // How much there is of it is told where the length says so.
        let names = packing.coding.join(",").to_lowercase();
        let is_plain = !names.contains("gzip") && !names.contains("deflate");
        let total = &segment["total_bytes"];
        assert_eq!(total.is_u64(), is_plain, "{packing:?}: {segment}");
        if is_plain {
            assert_eq!(total, &segment["bytes"], "{packing:?}");
        }
    }
}

/// The coding that is named, and the lines of the head.
const UNKNOWN: [(&str, &[&str]); 7] = [
    ("br", &["br"]),
    ("zstd", &["zstd"]),
    ("NONSENSE", &["NONSENSE"]),
    ("br", &["gzip, br"]),
    ("compress", &["compress", "gzip"]),
    ("utf-8", &["utf-8"]),
    ("gzip;q=1", &["gzip;q=1"]),
];

#[test]
fn a_read_that_is_packed_in_an_unknown_way_names_it() {
    let sandbox = start(Options::default());
    let client = client(&sandbox);
    log_in(&sandbox, &client).expect("the login works");
    for (name, lines) in UNKNOWN {
        packed(&sandbox, "", &packing(lines, false, 1));
        sandbox.clear_requests();
        let book = client.order_report(None).expect_err(name);
        let file = search(&client).expect_err(name);
        for error in [book, file] {
            assert_eq!(error.status(), Status::Protocol, "{name}: {error:?}");
            let named = format!("the Content-Encoding \"{name}\", which is not known");
            assert!(error.message().contains(&named), "{error}");
            assert!(error.message().contains("HTTP 200"), "{error}");
            assert_eq!(told(&error, "sent"), true);
        }
        // What was answered is not asked again.
        assert_eq!(sandbox.requests().len(), 2, "{name}");
    }
    packed(&sandbox, "", &packing(&["gzip"; 5], false, 1));
    let error = client.order_report(None).expect_err("packed too often");
    assert_eq!(error.status(), Status::Protocol, "{error:?}");
    assert!(error.message().contains("too often"), "{error}");
    sandbox.clear_faults();
    client.order_report(None).expect("the session is as it was");
}

#[test]
fn an_order_whose_answer_is_packed_in_an_unknown_way_is_unknown() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({"max_orders_per_second": 1_000_000}));
    let id = placed(&client);
    for (name, lines) in UNKNOWN {
        for what in [What::Place, What::Modify] {
            packed(&sandbox, "/quick/order/", &packing(lines, false, 1));
            sandbox.clear_requests();
            let before = sandbox.orders_taken();
            let error = what.send(&client, &id, json!({})).expect_err(name);
            assert_eq!(error.status(), Status::UnknownOutcome, "{name}: {error:?}");
            assert!(error.message().contains(&format!("\"{name}\"")), "{error}");
            assert_eq!(
                (told(&error, "sent"), told(&error, "safe_to_repeat")),
                (json!(true), json!(false))
            );
            assert_eq!(sandbox.requests().len(), 1, "{name}: it is sent once");
            let placed = usize::from(what == What::Place);
            assert_eq!(sandbox.orders_taken() - before, placed as u64, "{name}");
        }
    }
    sandbox.clear_faults();
    place(&client, &order()).expect("the next one is as ever");
}

/// What is cut, or has something behind it, is no answer: to no call.
#[test]
fn what_is_not_what_its_head_says_is_no_answer() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({"max_orders_per_second": 1_000_000}));
    let book = br#"{"stat":"Ok","stCode":200,"data":[]}"#;
    let body = |text: &[u8]| {
        let (zip, raw) = (gzip(text), deflate(text));
        let cut = |body: &[u8], off: usize| body[..body.len() - off].to_vec();
        let with = |body: &[u8], more: &[u8]| [body, more].concat();
        let mut wrong = zip.clone();
        let at = wrong.len() - 5;
        wrong[at] ^= 1;
        vec![
            (&["gzip"][..], cut(&zip, 1)),
            (&["gzip"], cut(&zip, 8)),
            (&["gzip"], zip[..5].to_vec()),
            (&["gzip"], with(&zip, b"\n")),
            (&["gzip"], with(&zip, b"\0\0\0\0")),
            (&["gzip"], with(&zip, text)),
            (&["gzip"], with(&zip, &zip[..12])),
            (&["gzip"], wrong),
            (&["gzip"], text.to_vec()),
            (&["gzip"], raw.clone()),
            (&["deflate"], cut(&raw, 1)),
            (&["deflate"], with(&raw, b"\0")),
            (&["deflate"], zip.clone()),
            (&["deflate"], text.to_vec()),
            (&["gzip, deflate"], zip.clone()),
            (&["gzip, deflate"], deflate(&cut(&zip, 1))),
            (&["deflate, gzip"], gzip(&with(&raw, b"x"))),
            (&["deflate", "gzip"], cut(&gzip(&raw), 1)),
        ]
    };
    for (lines, body) in body(book) {
        sandbox.clear_faults();
        fault(&sandbox, "", bytes(200, lines, &body, false));
        let error = client.order_report(None).expect_err("it is not whole");
        assert_eq!(error.status(), Status::Protocol, "{lines:?}: {error:?}");
        assert!(error.message().contains("could not be decoded"), "{error}");
        assert!(told(&error, "broker").is_null());
    }
    for (lines, body) in body(TAKEN.as_bytes()) {
        sandbox.clear_faults();
        fault(&sandbox, "/quick/order/", bytes(200, lines, &body, true));
        sandbox.clear_requests();
        let error = place(&client, &order()).expect_err("it is not whole");
        assert_eq!(
            error.status(),
            Status::UnknownOutcome,
            "{lines:?}: {error:?}"
        );
        assert_eq!(sandbox.requests().len(), 1);
    }
}

/// A head may name a coding, and there is nothing that it could be of.
#[test]
fn an_empty_body_is_not_packed() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({}));
    for lines in [&["gzip"][..], &["deflate"], &["gzip, deflate"], &["br"]] {
        for (http, expected) in [
            (200, Status::Protocol),
            (401, Status::SessionExpired),
            (429, Status::RateLimited),
            (503, Status::Unavailable),
        ] {
            sandbox.clear_faults();
            fault(&sandbox, "", bytes(http, lines, b"", false));
            let error = client.order_report(None).expect_err("it is empty");
            assert_eq!(error.status(), expected, "{lines:?} {http}: {error:?}");
            assert_eq!(error.http_status(), Some(http), "{error:?}");
        }
        let error = place(&client, &order()).expect_err("it is empty");
        assert_eq!(error.status(), Status::UnknownOutcome, "{error:?}");
    }
    // What packs nothing is nothing too.
    for (lines, body) in [
        (&["gzip"][..], gzip(b"")),
        (&["deflate, gzip"], gzip(&deflate(b""))),
    ] {
        sandbox.clear_faults();
        fault(&sandbox, "", bytes(503, lines, &body, false));
        let error = client.order_report(None).expect_err("it is empty");
        assert_eq!(error.status(), Status::Unavailable, "{error:?}");
    }
}

/// A mark before the text is none of it; two are one too many, and in another coding of
/// characters it is no text.
#[test]
fn a_byte_order_mark_is_not_part_of_an_answer() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({"max_orders_per_second": 1_000_000}));
    let send = |text: &[u8]| {
        sandbox.clear_faults();
        fault(&sandbox, "/quick/order/", bytes(200, &[], text, false));
        place(&client, &order())
    };
    let reply = send(format!("\u{feff}{TAKEN}").as_bytes()).expect("it is a true answer");
    assert_eq!(reply.json(), TAKEN);
    let utf16: Vec<u8> = format!("\u{feff}{TAKEN}")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for text in [
        format!("\u{feff}\u{feff}{TAKEN}").into_bytes(),
        format!(" \u{feff}{TAKEN}").into_bytes(),
        format!("{TAKEN}\u{feff}").into_bytes(),
        "\u{feff}".as_bytes().to_vec(),
        utf16,
    ] {
        let error = send(&text).expect_err("no JSON");
        assert_eq!(error.status(), Status::UnknownOutcome, "{text:?} {error:?}");
    }
    sandbox.clear_faults();
    let refusal = "\u{feff}{\"stat\":\"Not_Ok\",\"emsg\":\"x\",\"stCode\":1004}".as_bytes();
    fault(&sandbox, "/quick/order/", bytes(200, &[], refusal, false));
    let error = place(&client, &order()).expect_err("it is refused");
    assert_eq!(error.status(), Status::Rejected, "{error:?}");
}

/// What is small on its way is not read beyond the cap, in whatever layers.
#[test]
fn what_unpacks_to_more_than_the_cap_is_refused() {
    let sandbox = unlimited();
    let client = trader(
        &sandbox,
        &json!({"timeouts": {"order": 60_000, "read": 60_000}}),
    );
    let small = |times: usize| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let blank = vec![b' '; 1 << 20];
        (0..times).for_each(|_| encoder.write_all(&blank).expect("a vector takes it"));
        encoder.finish().expect("a vector takes it")
    };
    let read = || client.limits(None);
    for (lines, body) in [
        (&["gzip"][..], small(17)),
        (&["gzip, gzip"], gzip(&small(17))),
        (&["gzip, deflate", "gzip"], gzip(&deflate(&small(17)))),
    ] {
        assert!(body.len() < 40_000, "{}", body.len());
        sandbox.clear_faults();
        fault(&sandbox, "", bytes(200, lines, &body, false));
        let error = read().expect_err("it is too large");
        assert_eq!(error.status(), Status::Protocol, "{error:?}");
        assert_eq!(error.message(), "the answer is larger than 16777216 bytes");
        let error = place(&client, &order()).expect_err("it is too large");
        assert_eq!(error.status(), Status::UnknownOutcome, "{error:?}");
        assert!(error.message().contains("larger than 1048576"), "{error}");
    }
}

/// What makes one layer of blocks without content, without end, of few bytes: it can be
/// repeated.
pub fn blocks_without_content() -> Vec<u8> {
    let blocks = [0, 0, 0, 255, 255].repeat(200_000);
    let mut out = Vec::with_capacity(100_000);
    let mut compress = Compress::new(Compression::fast(), false);
    compress
        .compress_vec(&blocks, &mut out, FlushCompress::Full)
        .expect("there is room");
    assert_eq!(compress.total_in(), blocks.len() as u64);
    assert!(out.ends_with(&[0, 0, 255, 255]));
    out
}

/// Layers can make work for minutes that gives nothing: the deadline holds.
#[test]
fn work_without_a_result_ends_in_time() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({}));
    let block = blocks_without_content();
    let body = block.repeat(8_000_000 / block.len());
    let head = &["deflate, deflate"][..];
    fault(&sandbox, "", bytes(200, head, &body, false));
    let (limit, begun) = (json!({"timeout_ms": 3000}), Instant::now());
    let error = client.limits(Some(&limit.to_string())).expect_err("no end");
    assert_eq!(error.status(), Status::Timeout, "{error:?}");
    let order = crate::orders::with(order(), limit);
    let error = place(&client, &order).expect_err("no end");
    assert_eq!(error.status(), Status::UnknownOutcome, "{error:?}");
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    sandbox.clear_faults();
    assert_eq!(status(&client.limits(None)), Status::Ok);
}
