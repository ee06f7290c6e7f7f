//! A session is a value: logged out, then view, then trade.
//!
//! Only a [`Trade`] can be asked for what an order needs, so no order can be
//! placed with the token of a view session.

use data_encoding::BASE64URL_NOPAD;
use serde_json::json;
use url::Url;
use zeroize::Zeroizing;

use crate::base::calendar::trading_day;
use crate::base::connection::Family;
use crate::base::error::Error;
use crate::base::json::{self, Fields};
use crate::base::secret::Secret;
use crate::broker::check::Mobile;
use crate::broker::hosts::{Environment, Generation, Hosts};
use crate::broker::login;

/// Name and version of the exported document.
const FORMAT: &str = "kotak_neo.session";
const FORMAT_VERSION: u64 = 1;

/// After the first step of a login: may ask for the second step, no more.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) generation: Generation,
    pub(crate) token: Secret,
    pub(crate) sid: Secret,
    pub(crate) ucc: Option<String>,
    /// How the user named himself (generation 1).
    pub(crate) identity: Identity,
    /// The `sub` of the view token (generation 1).
    pub(crate) user_id: Option<String>,
    /// Where the second step goes, and whether by the gateway's paths.
    pub(crate) base: Url,
    pub(crate) on_gateway: bool,
    /// The bearer token of the first step (generations 1 and 2).
    pub(crate) bearer: Option<Secret>,
}

/// Which identifier the password login used. It decides what a code of six
/// characters means in the second step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    Mobile(Mobile),
    Pan(String),
    Other,
}

/// Who named the host that a session's calls go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BaseFrom {
    /// An answer of the broker: `baseUrl`, or the lookup of generation 2.
    Answer,
    /// Nobody: the answer had no `baseUrl`, and the host of the login stays. The
    /// broker was seen to refuse every call there.
    Login,
    /// The generation or environment has one host for all.
    Fixed,
}

impl BaseFrom {
    const ALL: [(&'static str, Self); 3] = [
        ("answer", Self::Answer),
        ("login", Self::Login),
        ("fixed", Self::Fixed),
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Login => "login",
            Self::Fixed => "fixed",
        }
    }

    /// Of a session whose answer, or lookup, named a host or did not.
    pub(crate) fn of(generation: Generation, environment: Environment, named: bool) -> Self {
        match (generation, environment) {
            (Generation::One, _) | (_, Environment::Uat) => Self::Fixed,
            (Generation::Two, _) => Self::Answer,
            (Generation::Three, _) if named => Self::Answer,
            (Generation::Three, _) => Self::Login,
        }
    }
}

/// A complete session.
#[derive(Debug)]
pub(crate) struct Trade {
    pub(crate) generation: Generation,
    pub(crate) environment: Environment,
    pub(crate) token: Secret,
    pub(crate) sid: Secret,
    pub(crate) rid: Option<Secret>,
    pub(crate) ucc: Option<String>,
    pub(crate) data_center: Option<String>,
    /// The `sId` of generations 1 and 2.
    pub(crate) server_id: Option<String>,
    pub(crate) base: Url,
    pub(crate) base_from: BaseFrom,
    pub(crate) on_gateway: bool,
    pub(crate) bearer: Option<Secret>,
    pub(crate) feed_url: Option<Url>,
    pub(crate) order_feed_url: Option<Url>,
    /// Unix seconds.
    pub(crate) logged_in_at: u64,
    /// By which the login went, where that is known: the broker takes instructions only from
    /// the address of the login.
    pub(crate) login_family: Option<Family>,
}

impl Trade {
    /// When the token says that it ends, in unix seconds.
    pub(crate) fn expires_at(&self) -> Option<u64> {
        claim(self.token.expose(), "exp")?.as_u64()
    }

    /// All that opens a door.
    pub(crate) fn secrets(&self) -> Vec<Secret> {
        let always = [&self.token, &self.sid];
        let more = self.rid.iter().chain(&self.bearer);
        always.into_iter().chain(more).cloned().collect()
    }

    /// What `kneo_session_info` shows: no token and no session id.
    pub(crate) fn info(&self) -> serde_json::Value {
        json!({
            "state": "trade",
            "generation": self.generation.number(),
            "environment": self.environment.name(),
            "ucc": self.ucc,
            "data_center": self.data_center,
            "base_url": self.base.as_str(),
            "base_url_from": self.base_from.name(),
            "feed_url": self.feed_url.as_ref().map(Url::as_str),
            "order_feed_url": self.order_feed_url.as_ref().map(Url::as_str),
            "logged_in_at": self.logged_in_at,
            "login_family": self.login_family.map(Family::name),
            "expires_at": self.expires_at(),
        })
    }

    /// The document that [`Trade::import`] reads. `cookies` are those of the
    /// base URL's host. The consumer key is not in it.
    pub(crate) fn export(&self, cookies: Option<&str>) -> Zeroizing<String> {
        json::object(&[
            ("format", FORMAT.into()),
            ("version", FORMAT_VERSION.into()),
            ("environment", self.environment.name().into()),
            ("generation", u64::from(self.generation.number()).into()),
            ("logged_in_at", self.logged_in_at.into()),
            ("login_family", self.login_family.map(Family::name).into()),
            ("ucc", (&self.ucc).into()),
            ("data_center", (&self.data_center).into()),
            ("server_id", (&self.server_id).into()),
            ("base_url", self.base.as_str().into()),
            ("base_url_from", self.base_from.name().into()),
            ("on_gateway", self.on_gateway.to_string().as_str().into()),
            ("feed_url", self.feed_url.as_ref().map(Url::as_str).into()),
            (
                "order_feed_url",
                self.order_feed_url.as_ref().map(Url::as_str).into(),
            ),
            ("token", self.token.expose().into()),
            ("sid", self.sid.expose().into()),
            ("rid", self.rid.as_ref().map(Secret::expose).into()),
            ("bearer", self.bearer.as_ref().map(Secret::expose).into()),
            ("cookies", cookies.into()),
        ])
    }

    /// Reads an exported session. It must be of this environment, of today
    /// (IST), not expired, and name hosts that may be used. The second value
    /// is its cookies.
    pub(crate) fn import(
        text: &str,
        hosts: &Hosts,
        now: u64,
    ) -> Result<(Self, Option<String>), Error> {
        const NAME: &str = "session";
        let wrong = |key: &str, problem: &str| Error::argument(&format!("{NAME}.{key}"), problem);
        let mut fields = Fields::parse(NAME, text)?;
        if fields.text("format")?.as_deref() != Some(FORMAT) {
            return Err(wrong(
                "format",
                "this is no session that kneo_session_export made",
            ));
        }
        if fields.integer("version", 0..=u64::MAX)? != Some(FORMAT_VERSION) {
            return Err(wrong("version", "made by another version of this library"));
        }
        let environment = fields.text("environment")?;
        if environment.as_deref() != Some(hosts.environment.name()) {
            return Err(wrong(
                "environment",
                "the session is of another environment than this client",
            ));
        }
        let generation = match fields.integer("generation", 1..=3)? {
            Some(1) => Generation::One,
            Some(2) => Generation::Two,
            Some(_) => Generation::Three,
            None => return Err(wrong("generation", "is missing")),
        };
        let logged_in_at = fields
            .integer("logged_in_at", 0..=now.saturating_add(300))
            .map_err(|_| {
                wrong(
                    "logged_in_at",
                    "must be unix seconds that are not in the future",
                )
            })?
            .ok_or_else(|| wrong("logged_in_at", "is missing"))?;
        if trading_day(logged_in_at) != trading_day(now) {
            return Err(wrong(
                "logged_in_at",
                "the session is not of today (IST); log in again",
            ));
        }
        // A host that this client may not talk to could collect the token.
        let host = |key: &str, text: Option<String>| -> Result<Option<Url>, Error> {
            let Some(text) = text else { return Ok(None) };
            let url = if key == "base_url" {
                hosts.named(key, &text)
            } else {
                hosts.named_feed(key, &text)
            };
            url.map(Some)
                .map_err(|_| wrong(key, "names a host that this client may not use"))
        };
        let base = fields.text("base_url")?;
        let base_from = fields.choice("base_url_from", &BaseFrom::ALL, false)?;
        let feed = fields.text("feed_url")?;
        let order_feed = fields.text("order_feed_url")?;
        let required =
            |key: &str, value: Option<Secret>| value.ok_or_else(|| wrong(key, "is missing"));
        let token = fields.secret("token")?;
        let sid = fields.secret("sid")?;
        let session = Self {
            generation,
            environment: hosts.environment,
            token: required("token", token)?,
            sid: required("sid", sid)?,
            rid: fields.secret("rid")?,
            ucc: fields.text("ucc")?,
            data_center: fields.text("data_center")?,
            server_id: fields.text("server_id")?,
            base: host("base_url", base)?.ok_or_else(|| wrong("base_url", "is missing"))?,
            base_from: base_from
                .unwrap_or_else(|| BaseFrom::of(generation, hosts.environment, true)),
            on_gateway: fields
                .choice("on_gateway", &[("true", true), ("false", false)], false)?
                .unwrap_or(false),
            bearer: fields.secret("bearer")?,
            feed_url: host("feed_url", feed)?,
            order_feed_url: host("order_feed_url", order_feed)?,
            logged_in_at,
            login_family: fields.choice("login_family", &Family::NAMES, false)?,
        };
        let cookies = fields.text("cookies")?;
        fields.finish()?;
        let names = [
            ("ucc", &session.ucc),
            ("data_center", &session.data_center),
            ("server_id", &session.server_id),
        ];
        let odd = |name: &&(&str, &Option<String>)| {
            name.1.as_ref().is_some_and(|text| !login::is_name(text))
        };
        if let Some((key, _)) = names.iter().find(odd) {
            let longest = login::LONGEST_NAME;
            let problem =
                format!("must not be longer than {longest} bytes or have control characters");
            return Err(wrong(key, &problem));
        }
        if session.generation != Generation::Three && session.bearer.is_none() {
            return Err(wrong("bearer", "is missing"));
        }
        if session.expires_at().is_some_and(|end| end <= now) {
            return Err(wrong("token", "the session has expired; log in again"));
        }
        Ok((session, cookies))
    }
}

/// One claim of a JSON Web Token. The signature is the broker's business.
pub(crate) fn claim(token: &str, name: &str) -> Option<serde_json::Value> {
    let payload = token.split('.').nth(1)?.trim_end_matches('=');
    let bytes = BASE64URL_NOPAD.decode(payload.as_bytes()).ok()?;
    let mut claims: serde_json::Map<_, _> = serde_json::from_slice(&bytes).ok()?;
    claims.remove(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: u64 = 1_760_000_000;
    const DAY: u64 = 24 * 3600;

    fn hosts() -> Hosts {
        Hosts {
            environment: Environment::Prod,
            base_url: None,
        }
    }

    /// A token whose payload is `{"exp":<exp>,"sub":"fake-user-0000"}`.
    fn token(exp: u64) -> String {
        let payload = format!(r#"{{"exp":{exp},"sub":"fake-user-0000"}}"#);
        format!("fake.{}.fake", BASE64URL_NOPAD.encode(payload.as_bytes()))
    }

    fn session() -> Trade {
        let url = |text: &str| Url::parse(text).expect("a URL");
        Trade {
            generation: Generation::Three,
            environment: Environment::Prod,
            token: Secret::new(token(TODAY + 3600)),
            sid: Secret::new("fake-sid".to_owned()),
            rid: Some(Secret::new("fake-rid".to_owned())),
            ucc: Some("TEST1".to_owned()),
            data_center: Some("E43".to_owned()),
            server_id: None,
            base: url("https://e43.kotaksecurities.com/"),
            base_from: BaseFrom::Answer,
            on_gateway: false,
            bearer: None,
            feed_url: Some(url("wss://sfeed.kotaksecurities.com/apifeed")),
            order_feed_url: Some(url("wss://e43.kotaksecurities.com/realtime")),
            logged_in_at: TODAY,
            login_family: Some(Family::V6),
        }
    }

    #[test]
    fn export_and_import_are_inverse() {
        let text = session().export(Some("a=b"));
        let (read, cookies) = Trade::import(&text, &hosts(), TODAY + 60).expect("it is ours");
        assert_eq!(read.export(cookies.as_deref()), text);
        assert!(!text.contains("consumer_key"));
        // A session that another version exported does not say it.
        let silent = text.replace(r#""login_family":"ipv6","#, "");
        let (read, _) = Trade::import(&silent, &hosts(), TODAY + 60).expect("it is ours");
        assert_eq!(read.login_family, None);
    }

    #[test]
    fn import_names_what_is_wrong() {
        let good = session().export(None);
        let refused = |text: &str, now: u64| {
            let error = Trade::import(text, &hosts(), now).expect_err("it must be refused");
            assert!(!error.to_json().contains("fake-"), "{error:?}");
            error.message().to_owned()
        };
        let swap = |from: &str, to: &str| {
            assert!(good.contains(from), "{from}");
            good.replace(from, to)
        };
        for (text, start) in [
            (String::new(), "session: not a JSON object"),
            (swap(r#""version":1"#, r#""version":2"#), "session.version"),
            (
                swap(r#""format":"kotak"#, r#""format":"other"#),
                "session.format",
            ),
            (
                swap(r#""environment":"prod""#, r#""environment":"uat""#),
                "session.environment",
            ),
            (
                swap("https://e43.kotaksecurities.com/", "https://evil.example/"),
                "session.base_url",
            ),
            (
                swap(
                    "wss://sfeed.kotaksecurities.com/apifeed",
                    "wss://evil.example/",
                ),
                "session.feed_url",
            ),
            (
                swap(r#""sid":"fake-sid""#, r#""sid":null"#),
                "session.sid: is missing",
            ),
            (
                swap(r#""sid":"fake-sid""#, r#""sid":"fake-\n""#),
                "session.sid: must be printable ASCII",
            ),
            (
                swap(
                    r#""sid":"fake-sid""#,
                    &format!(r#""sid":"{}""#, "fake-".repeat(900)),
                ),
                "session.sid: must be printable ASCII of at most 4096 bytes",
            ),
            (
                swap(
                    r#""server_id":null"#,
                    &format!(r#""server_id":"{}""#, "fake-".repeat(60)),
                ),
                "session.server_id: must not be longer",
            ),
            (
                swap(r#""data_center":"E43""#, r#""data_center":"fake-\u0007""#),
                "session.data_center: must not",
            ),
            (
                swap(r#""ucc":"TEST1""#, r#""ucd":"TEST1""#),
                "session: unknown key \"ucd\"",
            ),
            (
                swap(r#""login_family":"ipv6""#, r#""login_family":"ipv5""#),
                "session.login_family: must be",
            ),
            (
                swap(r#""generation":3"#, r#""generation":1"#),
                "session.bearer: is missing",
            ),
        ] {
            let message = refused(&text, TODAY);
            assert!(message.starts_with(start), "{message}");
        }
        assert!(refused(&good, TODAY + DAY).contains("not of today"));
        assert!(refused(&good, TODAY + 3600).contains("has expired"));
        assert!(refused(&good, TODAY - 3600).contains("not in the future"));
    }

    #[test]
    fn who_named_the_host_goes_with_the_session() {
        use Environment::{Prod, Uat};
        use Generation::{One, Three, Two};
        for (generation, environment, named, from) in [
            (Three, Prod, true, BaseFrom::Answer),
            (Three, Prod, false, BaseFrom::Login),
            (Three, Uat, true, BaseFrom::Fixed),
            (Three, Uat, false, BaseFrom::Fixed),
            (Two, Prod, false, BaseFrom::Answer),
            (Two, Uat, false, BaseFrom::Fixed),
            (One, Prod, false, BaseFrom::Fixed),
        ] {
            assert_eq!(BaseFrom::of(generation, environment, named), from);
        }
        for (name, from) in BaseFrom::ALL {
            assert_eq!(from.name(), name);
            let told = Trade {
                base_from: from,
                ..session()
            };
            let read = |text: &str| Trade::import(text, &hosts(), TODAY).map(|(read, _)| read);
            let text = told.export(None);
            let moved = read(&text).expect("it is ours");
            assert_eq!(moved.base_from, from);
            assert_eq!(moved.info()["base_url_from"], name);
            let key = format!(r#""base_url_from":"{name}","#);
            let before = text.replace(&key, "");
            assert_ne!(before, *text);
            let moved = read(&before).expect("the key may lack");
            assert_eq!(moved.base_from, BaseFrom::Answer);
            let odd = text.replace(&key, r#""base_url_from":"me","#);
            let error = read(&odd).expect_err("a word that means nothing");
            assert!(error.message().starts_with("session.base_url_from: "));
        }
    }

    /// As the broker writes them, or somebody who made the document by hand.
    #[test]
    fn hosts_of_a_document_may_lack_their_scheme() {
        let text = session().export(None);
        let bare = text.replace("https://", "").replace("wss://", "");
        assert_ne!(bare, *text);
        let (read, _) = Trade::import(&bare, &hosts(), TODAY).expect("the hosts are the broker's");
        assert_eq!(read.export(None), text);
        for host in ["evil.example", "e43.kotaksecurities.com:8443"] {
            let text = bare.replace("e43.kotaksecurities.com/\"", &format!("{host}\""));
            let error = Trade::import(&text, &hosts(), TODAY).expect_err(host);
            assert!(
                error
                    .message()
                    .starts_with("session.base_url: names a host")
            );
        }
    }

    #[test]
    fn info_has_no_secret() {
        let info = session().info().to_string();
        assert!(!info.contains("fake-"), "{info}");
    }

    #[test]
    fn claims_of_odd_tokens() {
        assert_eq!(claim(&token(5), "sub"), Some("fake-user-0000".into()));
        for odd in ["", ".", "a.b.c", "a.e30.c", "..", "a.é.c"] {
            assert_eq!(claim(odd, "sub"), None, "{odd}");
        }
    }
}
