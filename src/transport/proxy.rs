//! Which connections go through a proxy, and which proxy.

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use url::Url;

use crate::base::loopback::is_loopback;

/// Which proxy connections go through. Loopback never does.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Proxy {
    None,
    System,
    Url(Url),
}

impl Proxy {
    /// Without the login that a URL may carry.
    pub(crate) fn shown(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::System => Some("system"),
            Self::Url(url) => url.host_str(),
        }
    }
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.shown())
    }
}

/// The proxies of one client: none, one for all, or those of the system.
pub(crate) struct Proxies(Option<Matcher>);

/// A proxy to open a tunnel through.
pub(crate) struct Tunnel {
    pub(crate) proxy: Uri,
    pub(crate) credentials: Option<HeaderValue>,
}

impl Proxies {
    pub(crate) fn new(wanted: &Proxy) -> Self {
        Self(match wanted {
            Proxy::None => None,
            Proxy::System => Some(Matcher::from_system()),
            Proxy::Url(url) => Some(Matcher::builder().all(url.as_str()).build()),
        })
    }

    /// The proxy for `url`. Never one for loopback.
    pub(crate) fn find(&self, url: &Url) -> Option<Tunnel> {
        let matcher = self.0.as_ref()?;
        if url.host().is_none_or(|host| is_loopback(&host)) {
            return None;
        }
        let destination: Uri = url.as_str().parse().ok()?;
        let found = matcher.intercept(&destination)?;
        let mut credentials = found.basic_auth().cloned();
        if let Some(value) = &mut credentials {
            value.set_sensitive(true);
        }
        Some(Tunnel {
            proxy: found.uri().clone(),
            credentials,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    #[test]
    fn never_for_loopback() {
        let wanted = Proxy::Url(url("http://u:p@proxy.invalid:3128"));
        let proxies = Proxies::new(&wanted);
        for local in [
            "http://127.0.0.1:1",
            "https://localhost:2",
            "http://[::1]:3",
        ] {
            assert!(proxies.find(&url(local)).is_none(), "{local}");
        }
        let far = url("https://mis.kotaksecurities.com/login");
        let found = proxies.find(&far).expect("all other hosts go through it");
        assert_eq!(found.proxy.host(), Some("proxy.invalid"));
        assert_eq!(
            found.credentials.expect("the URL has a login"),
            "Basic dTpw"
        );
        assert!(Proxies::new(&Proxy::None).find(&far).is_none());
    }
}
