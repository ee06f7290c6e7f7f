//! The one error of the library, and the one body it takes in the C ABI.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::base::redact;
use crate::base::reply::Meta;
use crate::base::secret;
use crate::base::status::Status;
use crate::base::words;

/// Why a call failed.
///
/// It carries no credential and no token: what the broker said is kept as it
/// came, but for values that open a door, which are masked, and for what is
/// too long: 1,000 characters of a sentence are kept, 64 KiB of a body.
pub struct Error(Box<Inner>);

struct Inner {
    status: Status,
    code: Option<String>,
    message: String,
    hint: Option<String>,
    http_status: Option<u16>,
    sent: bool,
    safe_to_repeat: bool,
    retry_after: Option<Duration>,
    broker: Option<String>,
    meta: Meta,
}

impl Error {
    #[cold]
    pub(crate) fn new(status: Status, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            status,
            code: None,
            message: message.into(),
            hint: None,
            http_status: None,
            sent: false,
            safe_to_repeat: false,
            retry_after: None,
            broker: None,
            meta: Meta::default(),
        }))
    }

    /// An argument that is wrong; `name` is the caller's name for it.
    #[cold]
    pub(crate) fn argument(name: &str, problem: impl fmt::Display) -> Self {
        Self::new(Status::InvalidArgument, format!("{name}: {problem}"))
    }

    #[must_use]
    pub(crate) fn with_status(mut self, status: Status) -> Self {
        self.0.status = status;
        self
    }

    /// The same failure of an instruction that may have been taken.
    #[must_use]
    pub(crate) fn unknown_outcome(mut self, operation: &str, advice: String) -> Self {
        let inner = &mut self.0;
        inner.status = Status::UnknownOutcome;
        inner.message = format!("{operation} may have been taken: {}", inner.message);
        inner.hint = Some(advice);
        self
    }

    /// The same failure, of a part of the call: names it.
    #[must_use]
    pub(crate) fn within(mut self, part: &str) -> Self {
        self.0.message = format!("{part}: {}", self.0.message);
        self
    }

    #[must_use]
    pub(crate) fn with_code(mut self, code: Option<String>) -> Self {
        self.0.code = code;
        self
    }

    #[must_use]
    pub(crate) fn with_hint(mut self, hint: &str) -> Self {
        self.0.hint = Some(hint.to_owned());
        self
    }

    #[must_use]
    pub(crate) fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        self.0.retry_after = wait;
        self
    }

    /// Keeps what the broker answered. `known` are secrets of this call.
    #[must_use]
    pub(crate) fn with_broker(mut self, http_status: u16, body: &str, known: &[&str]) -> Self {
        self.0.http_status = Some(http_status);
        self.mask(known);
        if let Cow::Owned(cut) = words::message(&self.0.message) {
            self.0.message = cut;
        }
        if !body.is_empty() {
            self.0.broker = Some(words::body(&redact::secrets(body, known)).into_owned());
        }
        self
    }

    /// Masks what may quote the broker, but for its body, which is masked when
    /// it comes.
    fn mask(&mut self, known: &[&str]) {
        let inner = &mut self.0;
        let texts = [
            Some(&mut inner.message),
            inner.code.as_mut(),
            inner.hint.as_mut(),
        ];
        for text in texts.into_iter().flatten() {
            if let Cow::Owned(masked) = redact::secrets(text, known) {
                *text = masked;
            }
        }
    }

    /// Adds what only the call as a whole knows. Its secrets are masked in all
    /// texts.
    #[must_use]
    pub(crate) fn finished(mut self, sent: bool, safe_to_repeat: bool, meta: Meta) -> Self {
        self.mask(&secret::exposed(&meta.known));
        if let Cow::Owned(cut) = words::message(&self.0.message) {
            self.0.message = cut;
        }
        self.0.sent = sent;
        self.0.safe_to_repeat = safe_to_repeat;
        self.0.meta = meta;
        self
    }

    /// Names the operation, where the error came before the call knew its own
    /// name.
    #[must_use]
    pub(crate) fn named(mut self, operation: &'static str) -> Self {
        if self.0.meta.operation.is_empty() {
            self.0.meta.operation = operation;
        }
        self
    }

    pub(crate) fn broker(&self) -> Option<&str> {
        self.0.broker.as_deref()
    }

    pub(crate) fn into_meta(self) -> Meta {
        self.0.meta
    }

    /// How the call ended; never [`Status::Ok`].
    #[must_use]
    pub fn status(&self) -> Status {
        self.0.status
    }

    /// The broker's code, as text, where its answer had one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// What went wrong, in one sentence.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Likely cause and what to do, where the broker's code is known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The HTTP status, where the broker answered.
    #[must_use]
    pub fn http_status(&self) -> Option<u16> {
        self.0.http_status
    }

    /// Whether anything of this call may have reached the broker.
    #[must_use]
    pub fn sent(&self) -> bool {
        self.0.sent
    }

    /// Whether making the same call again can do no harm and may help.
    #[must_use]
    pub fn safe_to_repeat(&self) -> bool {
        self.0.safe_to_repeat
    }

    /// How long the broker asks to wait, where it said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The name of the operation, for example `totp_login`.
    #[must_use]
    pub fn operation(&self) -> &str {
        self.0.meta.operation
    }

    /// Facts about the call itself, as JSON: operation, request id, tag,
    /// milliseconds spent, notes.
    #[must_use]
    pub fn meta(&self) -> String {
        self.0.meta.to_json()
    }

    /// The error body of the C ABI.
    #[must_use]
    pub fn to_json(&self) -> String {
        let inner = &*self.0;
        let raw;
        let broker = match inner.broker.as_deref() {
            None => None,
            Some(text) => match serde_json::from_str::<&RawValue>(text) {
                Ok(json) => Some(json),
                Err(_) => {
                    raw = serde_json::value::to_raw_value(text).ok();
                    raw.as_deref()
                }
            },
        };
        let body = Body {
            error: Fields {
                status: inner.status.name(),
                code: inner.code.as_deref(),
                message: &inner.message,
                hint: inner.hint.as_deref(),
                http_status: inner.http_status,
                operation: inner.meta.operation,
                request_id: inner.meta.request_id.as_deref(),
                sent: inner.sent,
                safe_to_repeat: inner.safe_to_repeat,
                retry_after_ms: inner
                    .retry_after
                    .map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
                tag: inner.meta.tag.as_deref(),
                broker,
            },
        };
        serde_json::to_string(&body).unwrap_or_else(|_| FALLBACK.to_owned())
    }
}

/// The body of an error that could not be written as JSON.
const FALLBACK: &str = r#"{"error":{"status":"INTERNAL","message":"the error could not be written as JSON","sent":true,"safe_to_repeat":false}}"#;

#[derive(Serialize)]
struct Body<'a> {
    error: Fields<'a>,
}

/// Keys in the order of the documentation.
#[derive(Serialize)]
struct Fields<'a> {
    status: &'a str,
    code: Option<&'a str>,
    message: &'a str,
    hint: Option<&'a str>,
    http_status: Option<u16>,
    operation: &'a str,
    request_id: Option<&'a str>,
    sent: bool,
    safe_to_repeat: bool,
    retry_after_ms: Option<u64>,
    tag: Option<&'a str>,
    broker: Option<&'a RawValue>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.status.name(), self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_keeps_the_brokers_bytes() {
        let broker = r#"{ "stCode" : 1003,"emsg":"Invalid session" }"#;
        let json = Error::new(Status::SessionExpired, "Invalid session")
            .with_code(Some("1003".to_owned()))
            .with_hint("The session is invalid")
            .with_broker(403, broker, &[])
            .to_json();
        assert!(json.contains(broker), "{json}");
        assert!(json.contains(r#""hint":"The session is invalid"#), "{json}");
    }

    #[test]
    fn a_page_becomes_a_string_and_secrets_go() {
        let error = Error::new(Status::Unavailable, "said \"fake-key-1\"").with_broker(
            503,
            "<html>fake-key-1</html>",
            &["fake-key-1"],
        );
        let json = error.to_json();
        assert!(json.contains(r#""broker":"<html>***</html>""#), "{json}");
        assert!(
            !json.contains("fake-key-1") && !format!("{error:?}{error}").contains("fake-key-1")
        );
    }
}
