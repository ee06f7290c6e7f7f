//! Every call after the login, of all three generations.
//!
//! This file holds what they share: who calls through which door, the form with `jData`, and the
//! bodies of refusals. The calls are grouped as the broker's pages are.

mod books;
mod history;
mod limits;
mod market;
mod orders;
mod portfolio;
mod scrips;

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::login::{
    self, body_invalid, require_content_type, require_session, required_header, v2, v3,
};
use crate::query;
use crate::route::{Answer, Call, Route};
use crate::tokens::{Generation, Scope, Session};

/// The route tables of the calls after the login.
pub(crate) static TABLES: &[&[Route]] = &[
    orders::ROUTES,
    books::ROUTES,
    history::ROUTES,
    portfolio::ROUTES,
    limits::ROUTES,
    market::ROUTES,
    scrips::ROUTES,
];

/// Whether a route takes instructions: the broker limits how many come in a second.
pub(crate) fn is_instruction(route: &Route) -> bool {
    let mut all = orders::ROUTES.iter();
    all.any(|one| one.path == route.path && one.method == route.method)
}

/// Whether a route gives quotes: the broker limits how many it answers at once.
pub(crate) fn is_quote(route: &Route) -> bool {
    market::is_quote(route)
}

/// Whether a route is read after the login and gives no market data.
pub(crate) fn is_other_read(route: &Route) -> bool {
    let mut tables = [
        books::ROUTES,
        history::ROUTES,
        portfolio::ROUTES,
        limits::ROUTES,
        scrips::ROUTES,
    ]
    .into_iter();
    // The scrip files themselves come from another host.
    tables.any(|table| table.iter().any(|one| one.path == route.path))
        && !route.path.ends_with("{file}")
}

/// Which family of paths a call came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// No prefix: generation 3, production and UAT.
    Plain,
    /// `Orders/2.0/...` and the like: generation 1, and generation 2 on gw-napi.
    GwNapi,
    /// `apim/...`: generation 2.
    Apim,
    /// `orderapi/1.0/...` and the like: UAT of generations 1 and 2.
    Uat,
}

/// One line of a route table.
macro_rules! route {
    ($method:ident $path:expr, $door:ident, $handler:path) => {
        crate::route::Route {
            method: http::Method::$method,
            path: $path,
            login_host: false,
            handler: |call| $handler(call, crate::rest::Door::$door),
        }
    };
}
pub(crate) use route;

/// Which headers a call needs beside the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Order instructions. Generation 3: the key, as the SDK sends, or `neo-fin-key`, as the
    /// broker documents.
    Instruction,
    /// Reports and limits. Generation 3: neither is needed.
    Report,
    /// Holdings: the older generations send no `neo-fin-key` here.
    Holdings,
}

/// The trade session behind a call, once all its headers are right.
pub(crate) fn trader(call: &Call<'_>, door: Door, needs: Needs) -> Result<Arc<Session>, Answer> {
    let sent = |name: &str| call.headers.contains_key(name);
    if door == Door::Plain {
        if sent("authorization") {
            v3::require_key(call)?;
        }
        if sent("neo-fin-key") {
            login::require_fin_key(call, v3::FIN_KEY)?;
        }
        if needs == Needs::Instruction && !sent("neo-fin-key") {
            required_header(call, "authorization")?;
        }
        let session = require_session(call, Scope::Trade, &[Generation::V3])?;
        login::require_base(call)?;
        return Ok(session);
    }
    login::require_bearer(call)?;
    if needs != Needs::Holdings || sent("neo-fin-key") {
        let default = match door {
            Door::Uat => v2::UAT_FIN_KEY,
            _ => v2::PROD_FIN_KEY,
        };
        login::require_fin_key(call, default)?;
    }
    let generations: &[Generation] = match door {
        Door::Apim => &[Generation::V2],
        _ => &[Generation::V1, Generation::V2],
    };
    let session = require_session(call, Scope::Trade, generations)?;
    require_server(call, session.generation)?;
    Ok(session)
}

/// Checks `sId`, the server that the login named. The SDK sends `None` when it named none.
fn require_server(call: &Call<'_>, generation: Generation) -> Result<(), Answer> {
    let named = login::server_id(call, generation).unwrap_or("None");
    if call.query("sId") == Some(named) {
        return Ok(());
    }
    let message = format!("The query parameter sId must be {named}");
    Err(Answer::error(StatusCode::BAD_REQUEST, "400", &message))
}

/// Checks the headers of calls that need no login.
pub(crate) fn visitor(call: &Call<'_>, door: Door) -> Result<(), Answer> {
    match door {
        Door::Plain => v3::require_only_key(call),
        _ => login::require_bearer(call),
    }
}

/// The JSON object in the form field `jData`, which must be the only one.
pub(crate) fn form(call: &Call<'_>) -> Result<Map<String, Value>, Answer> {
    require_content_type(call, "application/x-www-form-urlencoded")?;
    let text = std::str::from_utf8(call.body).map_err(|_| body_invalid())?;
    let fields = query::parse(text);
    let [(name, value)] = fields.as_slice() else {
        return Err(body_invalid());
    };
    match serde_json::from_str(value) {
        Ok(Value::Object(map)) if name == "jData" => Ok(map),
        _ => Err(body_invalid()),
    }
}

/// A text of `jData`; `None` if it is absent or null. Everything in there is a text.
pub(crate) fn text<'a>(body: &'a Map<String, Value>, key: &str) -> Result<Option<&'a str>, Answer> {
    match body.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(body_invalid()),
    }
}

/// A text of `jData` that must be there.
pub(crate) fn needed<'a>(body: &'a Map<String, Value>, key: &str) -> Result<&'a str, Answer> {
    text(body, key)?
        .filter(|text| !text.trim().is_empty())
        .ok_or_else(|| invalid_input(&format!("Missing required field '{key}'")))
}

/// An answer to a call that went well, with the extra id of generation 1.
pub(crate) fn done(generation: Generation, mut body: Value) -> Answer {
    if generation == Generation::V1 {
        body["tid"] = json!(transaction_id());
    }
    login::ok(&body)
}

/// `server2_526372`, another each time.
pub(crate) fn transaction_id() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static LAST: AtomicU64 = AtomicU64::new(526_371);
    format!("server2_{}", LAST.fetch_add(1, Ordering::Relaxed) + 1)
}

/// The body of the broker's documents.
pub(crate) fn refusal(status: StatusCode, code: u32, message: &str) -> Answer {
    let body = json!({"stat": "Not_Ok", "emsg": message, "stCode": code});
    Answer::json(status, &body)
}

/// The body of live answers; `stat` can be free text.
pub(crate) fn live_refusal(status: StatusCode, code: u32, message: &str, stat: &str) -> Answer {
    let body = json!({"stCode": code, "errMsg": message, "stat": stat});
    Answer::json(status, &body)
}

/// A parameter that makes no sense.
pub(crate) fn invalid_input(message: &str) -> Answer {
    refusal(StatusCode::BAD_REQUEST, 1002, message)
}

/// An instrument that there is not.
pub(crate) fn invalid_instrument() -> Answer {
    refusal(StatusCode::BAD_REQUEST, 1009, "Invalid instrument/code")
}

/// An empty book.
pub(crate) fn no_data(generation: Generation) -> Answer {
    let body = match generation {
        Generation::V3 => {
            json!({"stCode": 5203, "errMsg": "No Data", "desc": "data not found", "stat": "Not_Ok"})
        }
        _ => json!({
            "stat": "Not_Ok", "errMsg": "No Data", "stCode": 5203, "tid": transaction_id(),
        }),
    };
    login::ok(&body)
}

/// A row of texts and other values.
pub(crate) fn row<const N: usize>(
    pairs: [(&str, Value); N],
    texts: &[(&str, &str)],
) -> Map<String, Value> {
    let texts = texts
        .iter()
        .map(|(key, text)| ((*key).to_owned(), json!(text)));
    let pairs = pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value));
    texts.chain(pairs).collect()
}

/// Keeps the keys that an older generation knows.
pub(crate) fn keep(row: &mut Map<String, Value>, keys: &[&str]) {
    row.retain(|key, _| keys.contains(&key.as_str()));
}
