//! What an answer that is no success means.
//!
//! The broker spells errors in eleven shapes, some of them under HTTP 200.
//! This file reads all of them into one code and one text.

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::base::error::Error;
use crate::base::json;
use crate::base::redact;
use crate::base::status::Status;
use crate::base::words;
use crate::broker::catalog::{self, Entry, Meaning};
use crate::broker::message::Answer;
use crate::broker::operation::{Auth, Kind, Operation};
use crate::broker::order_number;

/// Where the broker's errors stand in an object.
const KEYS: [&str; 12] = [
    "error",
    "fault",
    "stCode",
    "errorCode",
    "code",
    "emsg",
    "errMsg",
    "error_description",
    "message",
    "description",
    "stat",
    "status",
];

/// What an object has of them.
type Members<'a> = [Option<&'a RawValue>; KEYS.len()];

/// The most of a body without keys that is searched for known words, in bytes.
const MOST_WORDS: usize = 4096;

/// What the broker said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Refusal {
    code: Option<String>,
    text: Option<String>,
    /// Whether something in it says that this is an error, and not just words.
    marked: bool,
}

/// The error that an answer without the expected payload stands for. `auth`
/// are the credentials that were sent; `known` are secrets of the call, to be
/// masked.
pub(crate) fn error(op: &Operation, auth: Auth, answer: &Answer, known: &[&str]) -> Error {
    told(op, auth, answer, known, Tone::Refused)
}

/// What our own sentence about an answer may claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tone {
    /// That nothing was done.
    Refused,
    /// Nothing: the instruction may have been taken, whatever the broker's words are.
    Open,
}

fn told(op: &Operation, auth: Auth, answer: &Answer, known: &[&str], tone: Tone) -> Error {
    let body = String::from_utf8_lossy(&answer.body);
    let refusal = Refusal::read(&body);
    // Cut when it is masked, so that no half of a secret is left.
    let said = refusal.as_ref().and_then(|refusal| {
        let masked = redact::secrets(refusal.text.as_deref()?, known);
        Some(words::message(&masked).into_owned())
    });
    let code = refusal.as_ref().and_then(|refusal| refusal.code.clone());
    let entry = known_as(code.as_deref(), &body);
    let status = status(op, auth, answer.http_status, refusal.as_ref(), entry);
    let name = op.name;
    let http = answer.http_status;
    let message = match (status, said) {
        (_, Some(said)) if tone == Tone::Open => format!(
            "the answer to {name} (HTTP {http}) does not settle it; the broker's words: {said}"
        ),
        (_, None) if tone == Tone::Open && refusal.is_some() => {
            format!("the answer to {name} (HTTP {http}) is not what the broker documents")
        }
        (_, None) if tone == Tone::Open => {
            format!("the answer to {name} (HTTP {http}) is not JSON")
        }
        (_, Some(said)) => format!("the broker refused {name}: {said}"),
        (Status::Protocol, None) => match (http, &answer.redirect) {
            (300..=399, Some(host)) => {
                format!("the broker redirected {name} to the host {host}, which is not followed")
            }
            (300..=399, None) => format!("the broker redirected {name}, which is not followed"),
            _ if refusal.is_none() => format!("the broker's answer to {name} is not JSON"),
            _ => format!("the broker's answer to {name} is not what it documents"),
        },
        (Status::Unavailable, None) => format!("the broker cannot do {name} now (HTTP {http})"),
        (Status::RateLimited, None) => format!("too many requests: {name} was not done"),
        (_, None) => format!("the broker refused {name} (HTTP {http})"),
    };
    let mut error = Error::new(status, message).with_code(code);
    if let Some(hint) = hint(op, auth, http, status, entry) {
        error = error.with_hint(hint);
    }
    error
        .with_retry_after(answer.retry_after)
        .with_broker(http, &body, known)
}

/// What the catalogue knows of a code, or, where that says nothing, of the words of
/// the body.
fn known_as(code: Option<&str>, body: &str) -> Option<&'static Entry> {
    match code.and_then(catalog::find) {
        Some(entry) if entry.meaning != Meaning::Unproven => Some(entry),
        by_code => catalog::find_by_words(&Refusal::words(body)).or(by_code),
    }
}

/// Likely cause and what to do.
fn hint(
    op: &Operation,
    auth: Auth,
    http: u16,
    status: Status,
    entry: Option<&'static Entry>,
) -> Option<&'static str> {
    const WAIT: &str = "Too many requests; wait for retry_after_ms, or longer, and send fewer.";
    const LOG_IN: &str = "The broker does not accept this session any more; log in again.";
    const KEY: &str = "This call needs the consumer key only, and the broker did not accept it.";
    let is_sure = entry.is_some_and(|entry| entry.meaning != Meaning::Unproven);
    match status {
        // The same number means something else inside a login answer.
        Status::RateLimited => Some(WAIT),
        _ if is_sure => entry.map(|entry| entry.hint),
        Status::SessionExpired => Some(LOG_IN),
        // A read sends no TOTP, MPIN or password that could be wrong.
        _ if op.kind == Kind::Read && (matches!(http, 401 | 403) || says_401(entry)) => {
            (auth == Auth::Key && status == Status::Rejected).then_some(KEY)
        }
        _ => entry.map(|entry| entry.hint),
    }
}

/// The error with the broker's code, and what is known of that.
pub(crate) fn with_code(error: Error, code: Option<String>) -> Error {
    let known = code.as_deref().and_then(catalog::find);
    let error = match known {
        Some(entry) => error.with_hint(entry.hint),
        None => error,
    };
    error.with_code(code)
}

/// What the answer to an instruction proves.
pub(crate) enum Verdict {
    /// It was taken; the broker's order number.
    Taken(String),
    /// It was not taken.
    Refused(Error),
    /// Neither is proved.
    Open(Error),
}

/// Codes by which the broker says that a tag is in use.
const TAG_IN_USE: &[&str] = &["32", "5204"];

/// What an answer is the answer to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked<'a> {
    New {
        /// The tag was made by us for this one order: a broker that says that
        /// it is in use has this order already.
        made_tag: bool,
        /// The number in the answer is known from before this order.
        is_known: bool,
    },
    /// A change of this order.
    Change(&'a str),
    /// The cancel of this order, with the after-market flag or without.
    Cancel(&'a str, bool),
}

impl Asked<'_> {
    /// Why the number in an answer without any mark of an error is not the one
    /// that was waited for.
    fn doubt(self, op: &Operation, number: Option<&str>) -> Option<String> {
        let name = op.name;
        match (self, number) {
            (Self::New { is_known, .. }, Some(number)) if order_number::is_number(number) => {
                is_known.then(|| {
                    format!(
                        "the broker's answer to {name} has the number of another order, {number}"
                    )
                })
            }
            (Self::Change(asked) | Self::Cancel(asked, _), Some(number)) => {
                (number != asked).then(|| {
                    format!(
                        "the broker's answer to {name} has the number {number}, and {asked} was \
                         asked for"
                    )
                })
            }
            (Self::New { .. }, _) | (Self::Change(_) | Self::Cancel(..), None) => {
                Some(format!("the broker's answer to {name} has no order number"))
            }
        }
    }
}

/// Judges the answer to an instruction. Only two answers are definitive: 200
/// with the order number that belongs there and no mark of an error, and a code
/// that is known as a refusal, in an answer without any order number.
pub(crate) fn instruction(
    op: &Operation,
    auth: Auth,
    answer: &Answer,
    asked: Asked<'_>,
    known: &[&str],
) -> Verdict {
    let body = String::from_utf8_lossy(&answer.body);
    let refusal = Refusal::read(&body).unwrap_or_default();
    if answer.http_status == 200 && !refusal.marked {
        let number = order_number::told(&body);
        return match (asked.doubt(op, number.as_deref()), number) {
            (None, Some(number)) => Verdict::Taken(number),
            (Some(doubt), Some(_)) => {
                let error = Error::new(Status::Protocol, doubt);
                Verdict::Open(error.with_broker(answer.http_status, &body, known))
            }
            (_, None) => Verdict::Open(told(op, auth, answer, known, Tone::Open)),
        };
    }
    let code = refusal.code.as_deref();
    let meaning = code.and_then(catalog::find).map(|entry| entry.meaning);
    let said = refusal.text.as_deref().unwrap_or("");
    let flag_error = code.is_some_and(|code| catalog::is_flag_error(code, said));
    let made_tag = matches!(asked, Asked::New { made_tag: true, .. });
    let proved = match meaning {
        // Says yes and no at once.
        Some(_) if order_number::is_carried(&body) => None,
        Some(Meaning::Refusal) if made_tag && code.is_some_and(|c| TAG_IN_USE.contains(&c)) => None,
        Some(Meaning::Refusal) => Some(Status::Rejected),
        Some(Meaning::Session) => Some(Status::SessionExpired),
        _ if flag_error && matches!(asked, Asked::Cancel(..)) => Some(Status::Rejected),
        _ => None,
    };
    let Some(status) = proved else {
        return Verdict::Open(told(op, auth, answer, known, Tone::Open));
    };
    let error = error(op, auth, answer, known).with_status(status);
    Verdict::Refused(match asked {
        Asked::Cancel(_, true) if flag_error => error.with_hint(catalog::FLAG_NOT_WANTED),
        _ => error,
    })
}

/// Whether the answer says that there is nothing to show.
pub(crate) fn is_no_data(answer: &Answer) -> bool {
    let refusal = Refusal::read(&String::from_utf8_lossy(&answer.body));
    let entry = refusal.and_then(|refusal| catalog::find(&refusal.code?));
    answer.http_status < 500 && entry.is_some_and(|entry| entry.meaning == Meaning::NoData)
}

/// The broker's words, where the body says that the request was refused.
pub(crate) fn words_of(answer: &Answer) -> Option<String> {
    let refusal = Refusal::read(&String::from_utf8_lossy(&answer.body))?;
    refusal.text.filter(|_| refusal.marked)
}

/// Whether the body says that the request was refused, whatever the HTTP
/// status and the payload are.
pub(crate) fn is_refusal(answer: &Answer) -> bool {
    Refusal::read(&String::from_utf8_lossy(&answer.body)).is_some_and(|refusal| refusal.marked)
}

fn status(
    op: &Operation,
    auth: Auth,
    http: u16,
    refusal: Option<&Refusal>,
    entry: Option<&Entry>,
) -> Status {
    match (http, entry.map(|entry| entry.meaning)) {
        (300..=399, _) => Status::Protocol,
        // Of these the HTTP status is not known, and one that invites to try again
        // would be wrong.
        (_, Some(Meaning::Barred)) => Status::Rejected,
        (_, Some(Meaning::Session)) => Status::SessionExpired,
        (424 | 500..=599, _) => Status::Unavailable,
        (429, _) => Status::RateLimited,
        // The code says more than 401 does, which a foreign address gets too.
        (401 | 403, Some(Meaning::Refusal)) => Status::Rejected,
        (401 | 403, _) => unauthorised(op, auth),
        _ if says_401(entry) && op.kind == Kind::Read => unauthorised(op, auth),
        (_, Some(Meaning::Fault)) => Status::Unavailable,
        (400..=499, _) => Status::Rejected,
        _ => match refusal {
            Some(refusal) if refusal.marked || refusal.text.is_some() => Status::Rejected,
            _ => Status::Protocol,
        },
    }
}

/// Whether the body says by its code what HTTP says by its status.
fn says_401(entry: Option<&Entry>) -> bool {
    entry.is_some_and(|entry| entry.code == "401")
}

/// What 401 or 403 means where no code says more.
fn unauthorised(op: &Operation, auth: Auth) -> Status {
    match auth {
        // No session was sent that could have expired.
        Auth::None | Auth::Application | Auth::Key => Status::Rejected,
        Auth::BearerTrade | Auth::KeyTrade | Auth::Trade => Status::SessionExpired,
        // A wrong TOTP, MPIN or password, more likely than an old token.
        _ if op.kind == Kind::Login => Status::Rejected,
        _ => Status::SessionExpired,
    }
}

impl Refusal {
    /// What a body says, for a search: the texts that stand where errors do; of a
    /// body without such keys its beginning.
    fn words(body: &str) -> String {
        let Some(top) = json::members(body, KEYS) else {
            let begin = &body.as_bytes()[..body.len().min(MOST_WORDS)];
            return String::from_utf8_lossy(begin).into_owned();
        };
        let inner = Self::inner(&top).and_then(|one| json::members(one, KEYS));
        let all = inner.iter().chain([&top]).flatten().flatten();
        let said: Vec<_> = all.filter_map(|raw| json::scalar(raw.get())).collect();
        said.join("\n")
    }

    /// A list of errors, one error, or a gateway fault: there the code stands inside.
    fn inner<'a>(top: &Members<'a>) -> Option<&'a str> {
        match of(top, "error") {
            Some(list) if list.starts_with('[') => first_of(list),
            Some(one) if one.starts_with('{') => Some(one),
            _ => of(top, "fault"),
        }
    }

    /// `None` if the body is not JSON; empty if it is JSON without an error.
    fn read(body: &str) -> Option<Self> {
        // Only the top level is looked at, and of that what has a known name:
        // a book may be long.
        let Some(top) = json::members(body, KEYS) else {
            return serde_json::from_str::<IgnoredAny>(body)
                .ok()
                .map(|_| Self::default());
        };
        let (error, fault) = (of(&top, "error"), of(&top, "fault"));
        let inner = Self::inner(&top).and_then(|one| json::members(one, KEYS));
        let take = |keys: &[&str]| {
            keys.iter().find_map(|key| {
                let text = json::scalar(of(inner.as_ref().unwrap_or(&top), key)?)?;
                let text = text.trim();
                (!text.is_empty()).then(|| text.to_owned())
            })
        };
        let code = take(&["stCode", "errorCode", "code"])
            .or_else(|| take(&["error"]).filter(|text| is_code(text)))
            .filter(|code| is_code(code) && !matches!(code.as_str(), "200" | "1000"));
        let told = take(&["emsg", "errMsg"]);
        let mut text = told.clone().or_else(|| {
            take(&["error_description", "message", "description"]).or_else(|| take(&["error"]))
        });
        let stat = take(&["stat", "status"]);
        let stat_lower = stat.as_deref().unwrap_or("").to_lowercase();
        let failed = matches!(stat_lower.as_str(), "not_ok" | "failure" | "error");
        let marked =
            error.is_some() || fault.is_some() || told.is_some() || failed || code.is_some();
        // Free text under `stat` or `status` tells more than the code alone.
        if let Some(stat) = stat {
            let says_more = !failed && !matches!(stat_lower.as_str(), "ok" | "success");
            text = match text {
                Some(text) if says_more && code.is_some() => Some(format!("{text} ({stat})")),
                None if code.is_some() && says_more => Some(stat),
                None if failed => Some(format!("no reason was given (stat {stat})")),
                text => text,
            };
        }
        Some(Self { code, text, marked })
    }
}

/// What stands there under one of the keys.
fn of<'a>(members: &Members<'a>, key: &str) -> Option<&'a str> {
    let at = KEYS.iter().position(|known| *known == key)?;
    members[at].map(RawValue::get).filter(|raw| *raw != "null")
}

/// The first element of a list, if that is an object.
fn first_of(list: &str) -> Option<&str> {
    let inside = list.strip_prefix('[')?.trim_start();
    let first = serde_json::Deserializer::from_str(inside)
        .into_iter::<&RawValue>()
        .next()?;
    Some(first.ok()?.get()).filter(|first| first.starts_with('{'))
}

/// Whether a text can be a code, and not a sentence that quotes something.
fn is_code(text: &str) -> bool {
    text.len() <= 32
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

#[cfg(test)]
mod tests;
