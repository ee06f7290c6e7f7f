//! Which connections go through a proxy, and which proxy.

use std::env;
use std::ffi::OsString;

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use url::Url;

use crate::base::error::Error;
use crate::base::loopback::is_loopback;
use crate::base::secret::Secret;

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
    /// Looks at the system's settings where they are wanted.
    pub(crate) fn new(wanted: &Proxy) -> Result<Self, Error> {
        Ok(Self(match wanted {
            Proxy::None => None,
            Proxy::System => {
                if let Some(name) = unreadable(|name| env::var_os(name)) {
                    // It may carry a password.
                    let problem = format!(
                        "the environment variable {name} is no URL of an HTTP proxy like \
                         http://user:password@host:3128"
                    );
                    return Err(Error::argument("config.proxy", problem));
                }
                Some(Matcher::from_system())
            }
            Proxy::Url(url) => Some(Matcher::builder().all(url.as_str()).build()),
        }))
    }

    /// Whether there may be one at all.
    pub(crate) fn any(&self) -> bool {
        self.0.is_some()
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

    /// Password and header of the login at the proxy of `url`.
    pub(crate) fn secrets(&self, url: &Url) -> Vec<Secret> {
        let found = self.find(url).and_then(|found| found.credentials);
        let header = found.as_ref().and_then(|header| header.to_str().ok());
        let pair = header.and_then(|header| header.strip_prefix("Basic "));
        let password = pair.and_then(password);
        let both = pair.map(str::to_owned).into_iter().chain(password);
        both.map(Secret::new).collect()
    }
}

/// The password in user and password as a header has them.
fn password(pair: &str) -> Option<String> {
    let bytes = data_encoding::BASE64.decode(pair.as_bytes()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    text.split_once(':')
        .map(|(_, password)| password.to_owned())
}

/// The variable of the environment that names the proxy and cannot be read: the
/// matcher would go without a proxy then, and say nothing.
fn unreadable(value: impl Fn(&str) -> Option<OsString>) -> Option<&'static str> {
    // Of a CGI program it trusts no such variable.
    if value("REQUEST_METHOD").is_some() {
        return None;
    }
    for names in [["HTTPS_PROXY", "https_proxy"], ["ALL_PROXY", "all_proxy"]] {
        let set = names
            .into_iter()
            .find_map(|name| Some((name, value(name)?)));
        match set {
            Some((_, text)) if text.is_empty() => {}
            Some((name, text)) => return (!text.to_str().is_some_and(is_proxy)).then_some(name),
            None => {}
        }
    }
    None
}

/// Whether the matcher reads a text as an HTTP proxy.
fn is_proxy(text: &str) -> bool {
    let any = Uri::from_static("https://host.invalid/");
    let found = Matcher::builder().all(text).build().intercept(&any);
    // To others the door could open no tunnel; and the matcher does not look at
    // the port.
    let url = found.and_then(|found| Url::parse(&found.uri().to_string()).ok());
    url.is_some_and(|url| url.scheme() == "http" && url.has_host())
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
        let proxies = Proxies::new(&wanted).expect("a URL is no setting");
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
        let secrets = proxies.secrets(&far);
        let shown: Vec<&str> = secrets.iter().map(Secret::expose).collect();
        assert_eq!(shown, ["dTpw", "p"]);
        let none = Proxies::new(&Proxy::None).expect("nothing is looked at");
        assert!(none.find(&far).is_none());
    }

    #[test]
    fn a_setting_that_cannot_be_read_is_named() {
        let named = |set: &[(&str, &str)]| {
            unreadable(|name| {
                let found = set.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| OsString::from(value))
            })
        };
        for fine in ["proxy.invalid:3128", "http://u:p@proxy.invalid:3128/", "h"] {
            assert_eq!(named(&[("HTTPS_PROXY", fine)]), None, "{fine}");
            assert_eq!(named(&[("all_proxy", fine)]), None, "{fine}");
        }
        for odd in [
            "http://",
            "a b",
            "socks5://h:1",
            "https://h",
            "http://h:port",
            "/etc",
        ] {
            assert_eq!(named(&[("HTTPS_PROXY", odd)]), Some("HTTPS_PROXY"), "{odd}");
            assert_eq!(named(&[("https_proxy", odd)]), Some("https_proxy"), "{odd}");
            // Another one must not stand in for it, nor hide it.
            let both = [("https_proxy", odd), ("ALL_PROXY", "http://h:1")];
            assert_eq!(named(&both), Some("https_proxy"));
            assert_eq!(
                named(&[("HTTPS_PROXY", "http://h:1"), ("ALL_PROXY", odd)]),
                None
            );
            assert_eq!(
                named(&[("HTTPS_PROXY", ""), ("ALL_PROXY", odd)]),
                Some("ALL_PROXY")
            );
            assert_eq!(
                named(&[("REQUEST_METHOD", "GET"), ("ALL_PROXY", odd)]),
                None
            );
            assert_eq!(named(&[("NO_PROXY", odd)]), None);
        }
        assert_eq!(named(&[]), None);
    }
}
