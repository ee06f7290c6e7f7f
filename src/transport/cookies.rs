//! The cookies of one client.

use std::sync::{PoisonError, RwLock};

use http::HeaderValue;
use reqwest::cookie::{CookieStore, Jar};
use url::Url;

/// Cookies for each host, as a browser keeps them, for reads, logins and
/// orders alike.
///
/// They belong to a session: with another session, or none, they go.
#[derive(Default)]
pub(crate) struct Cookies(RwLock<Jar>);

impl Cookies {
    /// Forgets all cookies.
    pub(crate) fn clear(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Jar::default();
    }

    /// Takes a cookie in the form `name=value` for the host of `url`.
    pub(crate) fn add(&self, cookie: &str, url: &Url) {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .add_cookie_str(cookie, url);
    }
}

impl std::fmt::Debug for Cookies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl CookieStore for Cookies {
    fn set_cookies(&self, headers: &mut dyn Iterator<Item = &HeaderValue>, url: &Url) {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .set_cookies(headers, url);
    }

    fn cookies(&self, url: &Url) -> Option<HeaderValue> {
        let mut value = self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .cookies(url)?;
        value.set_sensitive(true);
        Some(value)
    }
}
