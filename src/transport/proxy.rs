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
    proxy: Uri,
    pub(crate) credentials: Option<HeaderValue>,
}

impl Tunnel {
    /// Its host and port.
    pub(super) fn address(&self) -> (&str, u16) {
        let port = self.proxy.port_u16().unwrap_or(80);
        (self.proxy.host().unwrap_or_default(), port)
    }

    /// The same for sentences, without the login that its URL may carry.
    pub(super) fn shown(&self) -> String {
        let (host, port) = self.address();
        format!("{host}:{port}")
    }
}

impl Proxies {
    /// Looks at the system's settings where they are wanted.
    pub(crate) fn new(wanted: &Proxy) -> Result<Self, Error> {
        Ok(Self(match wanted {
            Proxy::None => None,
            Proxy::System => {
                if let Some(problem) = unreadable(|name| env::var_os(name)) {
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

/// What is wrong with the variables of the environment that name the proxy: the matcher
/// would go without a proxy then, or with one where none is wanted, and say nothing.
fn unreadable(value: impl Fn(&str) -> Option<OsString>) -> Option<String> {
    let set = |names: [&'static str; 2]| {
        let found = names
            .into_iter()
            .find_map(|name| Some((name, value(name)?)));
        found.filter(|(_, text)| !text.is_empty())
    };
    let https = set(["HTTPS_PROXY", "https_proxy"]);
    let found = https.or_else(|| set(["ALL_PROXY", "all_proxy"]));
    // These have settings beside the environment, and the matcher leaves those out too.
    let may_be_set = found.is_some() || cfg!(any(windows, target_vendor = "apple"));
    if may_be_set && value("REQUEST_METHOD").is_some() {
        let name = found.map_or("the proxy of the system", |(name, _)| name);
        return Some(format!(
            "the environment variable REQUEST_METHOD says that this is a CGI program, in which \
             {name} is not trusted; give the URL of the proxy itself"
        ));
    }
    let (name, text) = found?;
    // No word of it: it may carry a password.
    if !text.to_str().is_some_and(is_proxy) {
        return Some(format!(
            "the environment variable {name} is no URL of an HTTP proxy like \
             http://user:password@host:3128"
        ));
    }
    let (name, _) = set(["NO_PROXY", "no_proxy"]).filter(|(_, text)| text.to_str().is_none())?;
    Some(format!(
        "the environment variable {name} is no list of hosts in UTF-8"
    ))
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
        assert_eq!(found.address(), ("proxy.invalid", 3128));
        assert_eq!(found.shown(), "proxy.invalid:3128");
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
        let problem = |set: &[(&str, &str)]| {
            unreadable(|name| {
                let found = set.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| OsString::from(value))
            })
        };
        let named = |set: &[(&str, &str)], name: &str| {
            let problem = problem(set).expect("it cannot be read");
            let start = format!("the environment variable {name} ");
            assert!(problem.starts_with(&start), "{set:?}: {problem}");
        };
        for fine in ["proxy.invalid:3128", "http://u:p@proxy.invalid:3128/", "h"] {
            assert_eq!(problem(&[("HTTPS_PROXY", fine)]), None, "{fine}");
            assert_eq!(problem(&[("all_proxy", fine)]), None, "{fine}");
            // A CGI program trusts neither; that must not go without a word.
            let cgi = [("REQUEST_METHOD", "GET"), ("ALL_PROXY", fine)];
            named(&cgi, "REQUEST_METHOD");
            assert!(problem(&cgi).is_some_and(|text| text.contains("ALL_PROXY")));
        }
        for odd in [
            "http://",
            "a b",
            "socks5://h:1",
            "https://h",
            "http://h:port",
            "/etc",
        ] {
            named(&[("HTTPS_PROXY", odd)], "HTTPS_PROXY");
            named(&[("https_proxy", odd)], "https_proxy");
            // Another one must not stand in for it, nor hide it.
            let both = [("https_proxy", odd), ("ALL_PROXY", "http://h:1")];
            named(&both, "https_proxy");
            assert_eq!(
                problem(&[("HTTPS_PROXY", "http://h:1"), ("ALL_PROXY", odd)]),
                None
            );
            named(&[("HTTPS_PROXY", ""), ("ALL_PROXY", odd)], "ALL_PROXY");
            assert_eq!(problem(&[("NO_PROXY", odd)]), None);
        }
        assert_eq!(problem(&[]), None);
        let cgi = problem(&[("REQUEST_METHOD", "GET")]);
        assert_eq!(cgi.is_some(), cfg!(any(windows, target_vendor = "apple")));
    }

    #[cfg(unix)]
    #[test]
    fn bytes_that_are_no_text_are_named_too() {
        use std::os::unix::ffi::OsStringExt;
        for name in ["HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "no_proxy"] {
            let problem = unreadable(|asked| match asked {
                _ if asked == name => Some(OsString::from_vec(b"h\xff:1".to_vec())),
                "https_proxy" => (name.to_lowercase() == "no_proxy").then(|| "h:1".into()),
                _ => None,
            });
            let problem = problem.expect("it cannot be read");
            let start = format!("the environment variable {name} ");
            assert!(problem.starts_with(&start), "{problem}");
        }
    }
}
