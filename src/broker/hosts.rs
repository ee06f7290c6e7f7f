//! Where requests go: the broker's hosts, and which hosts named by its
//! answers may be used.

use url::{ParseError, Url};

use crate::base::loopback::is_loopback;

/// Which of the broker's environments a client talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Environment {
    Prod,
    Uat,
}

impl Environment {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Prod => "prod",
            Self::Uat => "uat",
        }
    }
}

/// Which generation of the broker's API a session belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generation {
    /// OAuth2, password, OTP or MPIN.
    One,
    /// OAuth2, TOTP or QR code.
    Two,
    /// Consumer key, TOTP, MPIN: the current one.
    Three,
}

impl Generation {
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Three => 3,
        }
    }
}

/// The base of a second-generation session that uses the older paths.
const GW_NAPI: &str = "https://gw-napi.kotaksecurities.com/";
/// What is wrong with the host of a URL that a caller gave.
pub(crate) const BEYOND_ASCII: &str =
    "has a host name beyond ASCII; write it as it is sent, with xn--";
/// The market feed, where no answer names one.
const FEED: &str = "https://sfeed.kotaksecurities.com/apifeed";

/// The hosts of one client.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    pub(crate) environment: Environment,
    /// Puts every host on this address.
    pub(crate) base_url: Option<Url>,
}

impl Hosts {
    /// Which broker it is that these lead to: the environment, whatever host of it is
    /// configured. A port of this machine is a broker of its own.
    pub(crate) fn broker(&self) -> String {
        let base = self.base_url.as_ref();
        let here = base.filter(|url| url.host().is_some_and(|host| is_loopback(&host)));
        match here.and_then(Url::port_or_known_default) {
            Some(port) => format!("loopback:{port}"),
            None => self.environment.name().to_owned(),
        }
    }

    /// OAuth2 of the older generations, where no looked-up base says else.
    pub(crate) fn oauth(&self) -> Url {
        self.known(match self.environment {
            Environment::Prod => "https://napi.kotaksecurities.com/",
            Environment::Uat => "https://nsbxapi.kotaksecurities.com/",
        })
    }

    /// The API of generation 1, and of generation 2 in UAT.
    pub(crate) fn gateway(&self) -> Url {
        self.known(match self.environment {
            Environment::Prod => GW_NAPI,
            Environment::Uat => "https://nsbxapi-gw.kotaksecurities.com/",
        })
    }

    /// Login and client IP of generation 3; its other calls too, while no
    /// base URL is known.
    pub(crate) fn session(&self) -> Url {
        self.known(match self.environment {
            Environment::Prod => "https://mis.kotaksecurities.com",
            Environment::Uat => "https://d-mis.kotaksecurities.com",
        })
    }

    /// The base-URL lookup of generation 2; one for both environments.
    pub(crate) fn lookup(&self) -> Url {
        self.known("https://lapi.kotaksecurities.com/")
    }

    /// The service that tells the feed URLs of a data centre.
    pub(crate) fn config_service(&self) -> Url {
        self.known(match self.environment {
            Environment::Prod => "https://lapi.kotaksecurities.com/",
            Environment::Uat => "https://qapi.kotaksecurities.online/",
        })
    }

    /// The market feed, where no answer named one.
    pub(crate) fn default_feed(&self) -> Url {
        socket(self.known(FEED))
    }

    /// The order feed on the host that an answer names as the base URL. A path
    /// of the base URL does not belong to it.
    pub(crate) fn order_feed_on(&self, base_url: &str) -> Result<Url, String> {
        let mut url = read("baseUrl", base_url)?;
        url.set_path("realtime");
        self.accept("baseUrl", url).map(socket)
    }

    /// The order feed of a data centre, where no base URL is known.
    pub(crate) fn order_feed_of(&self, data_center: &str) -> Url {
        let host = match data_center.to_ascii_lowercase().as_str() {
            "adc" => "https://cis.kotaksecurities.com/",
            "e21" => "https://e21.kotaksecurities.com/",
            "e22" => "https://e22.kotaksecurities.com/",
            "e41" => "https://e41.kotaksecurities.com/",
            "e43" => "https://e43.kotaksecurities.com/",
            _ => return socket(join(&self.session(), "realtime")),
        };
        socket(join(&self.known(host), "realtime"))
    }

    /// A host that an answer of the broker names in `field`.
    ///
    /// The problem is a sentence for the caller. It shows the host only: the
    /// rest of the URL may carry anything.
    pub(crate) fn named(&self, field: &str, text: &str) -> Result<Url, String> {
        self.accept(field, read(field, text)?)
    }

    /// Whether a base that an answer names is the gateway of generation 1, which has
    /// other paths, however it is written.
    pub(crate) fn is_gateway(text: &str) -> bool {
        let gateway = Url::parse(GW_NAPI);
        matches!((read("", text), gateway), (Ok(named), Ok(gateway)) if named == gateway)
    }

    /// A feed that an answer names: `https` stands for `wss` there.
    pub(crate) fn named_feed(&self, field: &str, text: &str) -> Result<Url, String> {
        let text = text.trim();
        let http = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("wss") => format!("https://{rest}"),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("ws") => format!("http://{rest}"),
            _ => text.to_owned(),
        };
        self.named(field, &http).map(socket)
    }

    fn accept(&self, field: &str, url: Url) -> Result<Url, String> {
        if self
            .base_url
            .as_ref()
            .is_some_and(|base| base.origin() == url.origin())
            && is_bare(&url)
        {
            return Ok(url);
        }
        let host = url.host_str().unwrap_or("").to_owned();
        let refuse = |why: &str| {
            Err(format!(
                "the broker's answer names the host \"{host}\" in {field}: {why}; nothing was sent there"
            ))
        };
        let ours = host.ends_with(".kotaksecurities.com")
            || (self.environment == Environment::Uat && host.ends_with(".kotaksecurities.online"));
        if !ours {
            return refuse("it is no host of the broker");
        }
        if url.scheme() != "https" {
            return refuse("it is not reached over TLS");
        }
        if url.port().is_some() {
            return refuse("the port is not 443");
        }
        if !is_bare(&url) {
            return refuse("it carries user info, a query or a fragment");
        }
        Ok(self.route(url))
    }

    fn known(&self, text: &'static str) -> Url {
        match Url::parse(text) {
            Ok(url) => self.route(url),
            // The constants above are URLs; a test parses each.
            Err(_) => unreachable!("a host constant is no URL"),
        }
    }

    /// The place that really is called for a host of the broker.
    fn route(&self, url: Url) -> Url {
        match &self.base_url {
            None => url,
            Some(base) => join(base, url.path()),
        }
    }
}

/// Reads a URL that an answer names. The broker has left the scheme out: then it is
/// `https`.
fn read(field: &str, text: &str) -> Result<Url, String> {
    let text = text.trim();
    let url = match without_scheme(text) {
        Some(rest) => Url::parse(&format!("https://{rest}")),
        None => Url::parse(text),
    };
    url.map_err(|_| {
        format!("the broker's answer has no valid URL in {field}; nothing was sent there")
    })
}

/// What follows the scheme of a URL that has none. For the URL standard
/// `host:443` is the scheme `host`, so a port is looked for first.
fn without_scheme(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("//").unwrap_or(text);
    let end = rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len());
    let is_host = match rest[..end].rsplit_once(':') {
        None => end > 0,
        Some((host, _)) if host.starts_with('[') && rest[..end].ends_with(']') => true,
        Some((host, port)) => {
            !(host.is_empty() || port.is_empty()) && port.bytes().all(|b| b.is_ascii_digit())
        }
    };
    is_host.then_some(rest)
}

fn is_bare(url: &Url) -> bool {
    url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
}

/// `base` and `path` with exactly one slash between them; a base may carry a
/// path of its own.
pub(crate) fn join(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let path = path.trim_start_matches('/');
    let joined = format!("{}/{path}", base.path().trim_end_matches('/'));
    url.set_path(&joined);
    url
}

fn socket(mut url: Url) -> Url {
    let scheme = if url.scheme() == "http" { "ws" } else { "wss" };
    // Both pairs are of the same kind for the URL standard, so this holds.
    let changed = url.set_scheme(scheme);
    debug_assert!(changed.is_ok());
    url
}

/// Checks the configured `base_url`.
pub(crate) fn parse_base_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| match error {
        ParseError::IdnaError => BEYOND_ASCII.to_owned(),
        _ => format!("is no URL: {error}"),
    })?;
    if !is_bare(&url) {
        return Err("must have no user info, query or fragment".to_owned());
    }
    match (url.scheme(), url.host()) {
        (_, None) => Err("has no host".to_owned()),
        ("https", _) => Ok(url),
        ("http", Some(host)) if is_loopback(&host) => Ok(url),
        ("http", _) => Err("plain http is allowed to loopback only; use https".to_owned()),
        _ => Err("must start with https:// (or http:// for loopback)".to_owned()),
    }
}

#[cfg(test)]
mod tests;
