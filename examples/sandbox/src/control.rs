//! The control endpoint under `/sandbox/`: the Rust API of the sandbox, over HTTP.
//!
//! Requests to it are neither recorded nor struck by faults.

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::books;
use crate::fault::{Fault, FaultKind, Packing};
use crate::record::Recorded;
use crate::route::Answer;
use crate::sockets::{self, Feed, OrderFeed, Socket, Strike};
use crate::state::State;
use crate::tokens::unix_now;
use crate::totp;

/// What every path of the control endpoint starts with.
pub(crate) const PREFIX: &str = "/sandbox/";

/// Where the link of a QR login leads.
pub(crate) const QR_PAGE: &str = "/sandbox/qr";

/// Answers a control request.
pub(crate) fn answer(
    state: &State,
    method: &Method,
    path: &str,
    query: &[(String, String)],
    body: &[u8],
) -> Answer {
    let done = |body: Value| Answer::json(StatusCode::OK, &body);
    match (method, path) {
        (&Method::GET, "/sandbox/requests") => {
            let requests: Vec<Value> = state.records.all().iter().map(readable).collect();
            done(Value::Array(requests))
        }
        (&Method::DELETE, "/sandbox/requests") => {
            state.records.clear();
            state.sockets.forget_messages();
            done(json!({}))
        }
        (&Method::POST, "/sandbox/faults") => match read_fault(body) {
            Ok(fault) => {
                state.faults.set(fault);
                done(json!({}))
            }
            Err(message) => Answer::misdirected(StatusCode::BAD_REQUEST, &message),
        },
        (&Method::DELETE, "/sandbox/faults") => {
            state.faults.clear();
            done(json!({}))
        }
        (&Method::POST, "/sandbox/expire-sessions") => {
            state.tokens.expire_sessions();
            sockets::expired(state);
            done(json!({}))
        }
        (&Method::POST, "/sandbox/expire-bearers") => {
            state.tokens.expire_bearers();
            done(json!({}))
        }
        (&Method::POST, "/sandbox/close-connections") => {
            // The one that carries this answer closes too, so the answer may not arrive.
            state.close_all.send_replace(());
            done(json!({}))
        }
        (&Method::GET, "/sandbox/totp") => {
            done(json!({"totp": totp::code_at(&state.totp_secret, unix_now())}))
        }
        (&Method::GET, "/sandbox/otp") => done(json!({"otp": state.tokens.last_otp()})),
        (&Method::GET, QR_PAGE) => match query.iter().find(|(name, _)| name == "id") {
            Some((_, ucc)) => done(json!({"ott": state.tokens.issue_ott(ucc)})),
            None => Answer::misdirected(StatusCode::BAD_REQUEST, "id is missing"),
        },
        (&Method::GET, "/sandbox/credentials") => done(credentials(state)),
        (&Method::GET, "/sandbox/orders") => {
            let orders = books::orders(&state.exchange());
            done(orders.iter().map(books::Order::json).collect())
        }
        (&Method::GET, "/sandbox/trades") => {
            let trades = books::trades(&state.exchange());
            done(trades.iter().map(books::Trade::json).collect())
        }
        (&Method::GET, "/sandbox/positions") => {
            let positions = books::positions(&state.exchange());
            done(positions.iter().map(books::Position::json).collect())
        }
        (&Method::GET, "/sandbox/counts") => {
            let counts = state.exchange().counts;
            let peak = state.order_pace.peak();
            done(json!({
                "orders": counts.orders,
                "modifications": counts.modifications,
                "cancellations": counts.cancellations,
                "peak": {
                    "sliding_second": peak.sliding_second,
                    "clock_second": peak.clock_second,
                },
            }))
        }
        (&Method::GET, "/sandbox/switches") => done(state.exchange().switches.json()),
        (&Method::GET, "/sandbox/socket-messages") => done(json!(state.sockets.messages())),
        (&Method::GET, "/sandbox/feed") => done(json!(*state.sockets.feed.borrow())),
        (&Method::GET, "/sandbox/order-feed") => done(json!(*state.sockets.order_feed.borrow())),
        (&Method::POST, "/sandbox/feed" | "/sandbox/order-feed" | "/sandbox/strike") => {
            match behave(state, path, body) {
                Ok(body) => done(body),
                Err(message) => Answer::misdirected(StatusCode::BAD_REQUEST, &message),
            }
        }
        (&Method::POST, path) if MOVES.contains(&path) => match moved(state, path, body) {
            Ok(body) => done(body),
            Err(message) => Answer::misdirected(StatusCode::BAD_REQUEST, &message),
        },
        _ => {
            let message = format!("The control endpoint has no {method} {path}");
            Answer::misdirected(StatusCode::NOT_FOUND, &message)
        }
    }
}

/// The paths that change the market or the account.
const MOVES: [&str; 6] = [
    "/sandbox/switches",
    "/sandbox/price",
    "/sandbox/tick",
    "/sandbox/carry-forward",
    "/sandbox/holdings",
    "/sandbox/app-order",
];

/// Changes the market or the account.
fn moved(state: &State, path: &str, body: &[u8]) -> Result<Value, String> {
    let Ok(Value::Object(mut map)) = serde_json::from_slice(body) else {
        return Err("the body must be a JSON object".to_owned());
    };
    let mut exchange = state.exchange();
    if path == "/sandbox/switches" {
        let mut switches = exchange.switches.clone();
        switches.change(&map)?;
        exchange.set_switches(switches);
        return Ok(exchange.switches.json());
    }
    let needed = |map: &mut Map<String, Value>, key: &str| {
        take_text(map, key)?.ok_or_else(|| format!("{key} is missing"))
    };
    let whole = |map: &mut Map<String, Value>, key: &str| {
        map.remove(key)
            .and_then(|value| value.as_i64())
            .ok_or_else(|| format!("{key} must be a whole number"))
    };
    let mut answer = json!({});
    match path {
        "/sandbox/tick" => {
            let times: u32 = number(&map.remove("times").unwrap_or(json!(1)), "times")?;
            for _ in 0..times {
                exchange.step();
            }
        }
        "/sandbox/holdings" => {
            let list = match map.remove("holdings") {
                Some(Value::Array(list)) => list,
                _ => return Err("holdings must be a list".to_owned()),
            };
            let mut holdings = Vec::new();
            for item in list {
                let Value::Object(mut item) = item else {
                    return Err("a holding must be an object".to_owned());
                };
                holdings.push((
                    needed(&mut item, "segment")?,
                    needed(&mut item, "symbol")?,
                    whole(&mut item, "quantity")?,
                    needed(&mut item, "price")?,
                ));
            }
            books::set_holdings(&mut exchange, &holdings)?;
        }
        _ => {
            let id = books::find(
                &exchange,
                &needed(&mut map, "segment")?,
                &needed(&mut map, "symbol")?,
            )?;
            match path {
                "/sandbox/price" => {
                    let price = books::read_price(&needed(&mut map, "price")?)?;
                    exchange.set_price(id, price);
                }
                "/sandbox/carry-forward" => {
                    let product = books::read_product(&needed(&mut map, "product")?)?;
                    let quantity = whole(&mut map, "quantity")?;
                    let price = books::read_price(&needed(&mut map, "price")?)?;
                    books::carry(&mut exchange, id, product, quantity, price)?;
                }
                _ => {
                    let side = needed(&mut map, "side")?;
                    let quantity = whole(&mut map, "quantity")?;
                    let price = books::read_price(&needed(&mut map, "price")?)?;
                    let number = books::app_order(&mut exchange, id, &side, quantity, price)?;
                    answer = json!({"number": number});
                }
            }
        }
    }
    match map.keys().next() {
        Some(key) => Err(format!("unknown key {key}")),
        None => Ok(answer),
    }
}

/// Changes how the sockets behave, or strikes them.
fn behave(state: &State, path: &str, body: &[u8]) -> Result<Value, String> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Struck {
        socket: Socket,
        strike: Strike,
    }

    /// Those that are named, changed.
    fn change<T>(mut now: T, body: &[u8]) -> Result<T, String>
    where
        T: serde::Serialize + serde::de::DeserializeOwned,
    {
        let Ok(Value::Object(changes)) = serde_json::from_slice(body) else {
            return Err("the body must be a JSON object".to_owned());
        };
        for (key, value) in changes {
            let mut all = json!(now);
            all[&key] = value;
            now = serde_json::from_value(all).map_err(|error| format!("{key}: {error}"))?;
        }
        Ok(now)
    }

    let sockets = &state.sockets;
    match path {
        "/sandbox/feed" => {
            let feed: Feed = change(*sockets.feed.borrow(), body)?;
            feed.check()?;
            sockets.feed.send_replace(feed);
            Ok(json!(feed))
        }
        "/sandbox/order-feed" => {
            let order_feed: OrderFeed = change(*sockets.order_feed.borrow(), body)?;
            sockets.order_feed.send_replace(order_feed);
            Ok(json!(order_feed))
        }
        _ => {
            let struck: Struck = serde_json::from_slice(body).map_err(|error| error.to_string())?;
            struck.strike.check()?;
            sockets.strike(struck.socket, struck.strike);
            Ok(json!({"live": sockets.live(struck.socket)}))
        }
    }
}

fn credentials(state: &State) -> Value {
    let who = &state.options.credentials;
    json!({
        "consumer_key": who.consumer_key,
        "consumer_secret": who.consumer_secret,
        "mobile_number": who.mobile_number,
        "ucc": who.ucc,
        "user_id": who.user_id,
        "pan": who.pan,
        "password": who.password,
        "mpin": who.mpin,
        "totp_secret": who.totp_secret,
    })
}

fn readable(entry: &Recorded) -> Value {
    json!({
        "seq": entry.seq,
        "method": entry.method,
        "path": entry.path,
        "query": entry.query,
        "headers": entry.headers,
        "body": entry.body_text(),
        "body_base64": STANDARD.encode(&entry.body),
        "http_version": entry.http_version,
        "connection": entry.connection,
        "client_addr": entry.client_addr.to_string(),
        "known_route": entry.known_route,
        "answered": entry.answered,
    })
}

/// Reads `{"path":"/login","times":1,"kind":"answer","status":503,...}`; README.md has the list.
fn read_fault(body: &[u8]) -> Result<Fault, String> {
    let Ok(Value::Object(mut map)) = serde_json::from_slice(body) else {
        return Err("the body must be a JSON object".to_owned());
    };
    let path = take_text(&mut map, "path")?.unwrap_or_default();
    let times = match map.remove("times") {
        None | Some(Value::Null) => None,
        Some(value) => Some(number(&value, "times")?),
    };
    let kind = take_text(&mut map, "kind")?.ok_or("kind is missing")?;
    let kind = match kind.as_str() {
        "hang" => FaultKind::Hang,
        "reset_before" => FaultKind::ResetBefore,
        "reset_after" => FaultKind::ResetAfter,
        "answer" | "answer_after" => {
            let status = number(&map.remove("status").ok_or("status is missing")?, "status")?;
            let headers = take_headers(&mut map)?;
            let body = take_text(&mut map, "body")?
                .unwrap_or_default()
                .into_bytes();
            if kind == "answer" {
                FaultKind::Answer {
                    status,
                    headers,
                    body,
                }
            } else {
                FaultKind::AnswerAfter {
                    status,
                    headers,
                    body,
                }
            }
        }
        "cut_json" => FaultKind::CutJson,
        "wrong_content_length" => FaultKind::WrongContentLength,
        "redirect" => FaultKind::Redirect(take_url(&mut map)?),
        "base_url" => FaultKind::BaseUrl(take_url(&mut map)?),
        "feed_url" => FaultKind::FeedUrl(take_url(&mut map)?),
        "slow" => FaultKind::Slow {
            ms: take_ms(&mut map)?,
        },
        "late" => FaultKind::Late {
            ms: take_ms(&mut map)?,
        },
        "trickle" => FaultKind::Trickle {
            ms: take_ms(&mut map)?,
        },
        "packed" => FaultKind::Packed(take_packing(&mut map)?),
        "refuse_stream" => FaultKind::RefuseStream,
        other => return Err(format!("unknown kind {other}")),
    };
    if let FaultKind::Answer {
        status, headers, ..
    }
    | FaultKind::AnswerAfter {
        status, headers, ..
    } = &kind
    {
        crate::server::check_invented(*status, headers)?;
    }
    if let FaultKind::Packed(packing) = &kind {
        let lines = packing.coding.iter().cloned();
        let lines: Vec<_> = lines.map(|line| (CODING.to_owned(), line)).collect();
        crate::server::check_invented(200, &lines)?;
    }
    if let FaultKind::Redirect(target) = &kind {
        crate::server::check_invented(307, &[("location".to_owned(), target.clone())])?;
    }
    match map.keys().next() {
        Some(key) => Err(format!("unknown key {key}")),
        None => Ok(Fault { path, times, kind }),
    }
}

fn take_text(map: &mut Map<String, Value>, key: &str) -> Result<Option<String>, String> {
    match map.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{key} must be a text")),
    }
}

/// What an answer says of its packing.
const CODING: &str = "content-encoding";

fn take_packing(map: &mut Map<String, Value>) -> Result<Packing, String> {
    let text = |value: Value| match value {
        Value::String(text) => Ok(text),
        _ => Err("coding must be a text or a list of texts".to_owned()),
    };
    let coding = match map.remove("coding") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(lines)) => lines.into_iter().map(text).collect::<Result<_, _>>()?,
        Some(line) => vec![text(line)?],
    };
    let members = match map.remove("members") {
        None | Some(Value::Null) => 1,
        Some(value) => number(&value, "members")?,
    };
    let mut flag = |key: &str| match map.remove(key) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(flag),
        Some(_) => Err(format!("{key} must be true or false")),
    };
    Ok(Packing {
        coding,
        raw: flag("raw")?,
        members,
        bom: flag("bom")?,
    })
}

fn take_url(map: &mut Map<String, Value>) -> Result<String, String> {
    take_text(map, "url")?.ok_or_else(|| "url is missing".to_owned())
}

fn take_ms(map: &mut Map<String, Value>) -> Result<u64, String> {
    number(&map.remove("ms").ok_or("ms is missing")?, "ms")
}

fn number<T: TryFrom<u64>>(value: &Value, key: &str) -> Result<T, String> {
    value
        .as_u64()
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| format!("{key} must be a whole number in range"))
}

/// Headers as an object, or as a list of pairs where a name repeats.
fn take_headers(map: &mut Map<String, Value>) -> Result<Vec<(String, String)>, String> {
    const FORM: &str = "headers must be an object of texts or a list of pairs of texts";
    let pair = |name: &Value, value: &Value| match (name, value) {
        (Value::String(name), Value::String(value)) => Ok((name.clone(), value.clone())),
        _ => Err(FORM.to_owned()),
    };
    match map.remove("headers") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Object(headers)) => headers
            .iter()
            .map(|(name, value)| pair(&Value::String(name.clone()), value))
            .collect(),
        Some(Value::Array(headers)) => headers
            .iter()
            .map(|entry| match entry.as_array().map(Vec::as_slice) {
                Some([name, value]) => pair(name, value),
                _ => Err(FORM.to_owned()),
            })
            .collect(),
        Some(_) => Err(FORM.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Fault, String> {
        read_fault(text.as_bytes())
    }

    #[test]
    fn reads_every_kind() {
        let kind = |text: &str| read(text).map(|fault| fault.kind);
        for (name, expected) in [
            ("hang", FaultKind::Hang),
            ("reset_before", FaultKind::ResetBefore),
            ("reset_after", FaultKind::ResetAfter),
            ("cut_json", FaultKind::CutJson),
            ("wrong_content_length", FaultKind::WrongContentLength),
            ("refuse_stream", FaultKind::RefuseStream),
            (
                "packed",
                FaultKind::Packed(Packing {
                    members: 1,
                    ..Packing::default()
                }),
            ),
        ] {
            assert_eq!(kind(&format!(r#"{{"kind":"{name}"}}"#)), Ok(expected));
        }
        let url = "https://x.invalid".to_owned();
        for (name, expected) in [
            ("redirect", FaultKind::Redirect(url.clone())),
            ("base_url", FaultKind::BaseUrl(url.clone())),
            ("feed_url", FaultKind::FeedUrl(url.clone())),
        ] {
            assert_eq!(
                kind(&format!(r#"{{"kind":"{name}","url":"{url}"}}"#)),
                Ok(expected)
            );
        }
        let packing = Packing {
            coding: vec!["gzip".to_owned(), "deflate".to_owned()],
            raw: true,
            members: 3,
            bom: true,
        };
        let text =
            r#"{"kind":"packed","coding":["gzip","deflate"],"raw":true,"members":3,"bom":true}"#;
        assert_eq!(kind(text), Ok(FaultKind::Packed(packing)));
        assert_eq!(
            kind(r#"{"kind":"slow","ms":5}"#),
            Ok(FaultKind::Slow { ms: 5 })
        );
        assert_eq!(
            kind(r#"{"kind":"late","ms":5}"#),
            Ok(FaultKind::Late { ms: 5 })
        );
        assert_eq!(
            kind(r#"{"kind":"trickle","ms":5}"#),
            Ok(FaultKind::Trickle { ms: 5 })
        );
        let header = vec![("a".to_owned(), "b".to_owned())];
        for headers in [r#"{"a":"b"}"#, r#"[["a","b"]]"#] {
            let text = format!(
                r#"{{"path":"/x","times":2,"kind":"answer","status":503,"headers":{headers},"body":"y"}}"#
            );
            let kind = FaultKind::Answer {
                status: 503,
                headers: header.clone(),
                body: b"y".to_vec(),
            };
            assert_eq!(
                read(&text),
                Ok(Fault {
                    path: "/x".to_owned(),
                    times: Some(2),
                    kind
                })
            );
            let after = text.replace(r#""answer""#, r#""answer_after""#);
            assert_eq!(
                read(&after).map(|fault| fault.kind),
                Ok(FaultKind::AnswerAfter {
                    status: 503,
                    headers: header.clone(),
                    body: b"y".to_vec(),
                })
            );
        }
    }

    #[test]
    fn names_what_is_wrong() {
        for (text, word) in [
            ("", "object"),
            ("[]", "object"),
            ("{}", "kind"),
            (r#"{"kind":"explode"}"#, "explode"),
            (r#"{"kind":"hang","ms":1}"#, "ms"),
            (r#"{"kind":"slow"}"#, "ms"),
            (r#"{"kind":"slow","ms":-1}"#, "ms"),
            (r#"{"kind":"packed","coding":1}"#, "coding"),
            (r#"{"kind":"packed","coding":["gzip",1]}"#, "coding"),
            (r#"{"kind":"packed","coding":"a\nb"}"#, "content-encoding"),
            (r#"{"kind":"packed","members":-1}"#, "members"),
            (r#"{"kind":"packed","bom":1}"#, "bom"),
            (r#"{"kind":"packed","raw":"x"}"#, "raw"),
            (r#"{"kind":"redirect"}"#, "url"),
            (r#"{"kind":"redirect","url":"a\nb"}"#, "location"),
            (r#"{"kind":"hang","times":"x"}"#, "times"),
            (r#"{"kind":"hang","path":1}"#, "path"),
            (r#"{"kind":"answer"}"#, "status"),
            (r#"{"kind":"answer","status":70000}"#, "status"),
            (r#"{"kind":"answer","status":99}"#, "status"),
            (r#"{"kind":"answer","status":200,"headers":"x"}"#, "headers"),
            (
                r#"{"kind":"answer","status":200,"headers":{"a b":"c"}}"#,
                "a b",
            ),
        ] {
            let message = read(text).unwrap_err();
            assert!(message.contains(word), "{text}: {message}");
        }
    }
}
