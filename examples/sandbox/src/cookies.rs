//! The cookie of the login hosts: set on every answer, checked on every request.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::random;
use crate::route::{Answer, Call};

/// The name of the cookie.
pub(crate) const NAME: &str = "SANDBOXSESSION";

/// The values that were given out.
#[derive(Default)]
pub(crate) struct Cookies {
    issued: Mutex<HashSet<String>>,
}

impl Cookies {
    /// Checks the cookie of a request to a login host and gives the value to answer with.
    ///
    /// A request without one gets a fresh value. One with a value that was never given out
    /// is refused.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> Result<String, Answer> {
        let mut sent = None;
        for value in values(headers) {
            let known = self.lock().contains(value);
            if !known || sent.is_some_and(|before| before != value) {
                return Err(Answer::error(
                    StatusCode::BAD_REQUEST,
                    "400",
                    "The cookie is not the one that was set",
                ));
            }
            sent = Some(value);
        }
        Ok(match sent {
            Some(value) => value.to_owned(),
            None => self.issue(),
        })
    }

    /// A fresh value.
    pub(crate) fn issue(&self) -> String {
        let value = random::hex(32);
        self.lock().insert(value.clone());
        value
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        // Every change is complete in itself, so a panic elsewhere leaves the set sound.
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The `Set-Cookie` value.
pub(crate) fn set(value: &str) -> HeaderValue {
    HeaderValue::try_from(format!("{NAME}={value}; Path=/; HttpOnly"))
        .expect("hex digits are a valid header value")
}

/// For the steps after the first: refuses a request without the cookie, where that is asked for.
pub(crate) fn require(call: &Call<'_>) -> Result<(), Answer> {
    if call.state.options.require_cookie && values(call.headers).next().is_none() {
        return Err(Answer::error(
            StatusCode::BAD_REQUEST,
            "400",
            "The cookie that was set is missing",
        ));
    }
    Ok(())
}

/// The values sent for our cookie. HTTP/2 may spread cookies over several headers.
fn values(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == NAME)
        .map(|(_, value)| value)
}
