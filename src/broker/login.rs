//! The logins: what each step sends, and what state its answer gives.
//!
//! Nothing here does I/O or looks at a clock.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use url::Url;
use zeroize::Zeroizing;

use crate::base::error::Error;
use crate::base::json::{self, Member};
use crate::base::secret::{LONGEST_HEADER, Secret};
use crate::broker::check::Mobile;
use crate::broker::hosts::Hosts;
use crate::broker::session::{Identity, View};

/// A body that is one object of strings.
fn text_object(members: &[(&str, &str)]) -> Zeroizing<Vec<u8>> {
    let members: Vec<_> = members
        .iter()
        .map(|(key, text)| (*key, (*text).into()))
        .collect();
    bytes(json::object(&members))
}

/// The same buffer as bytes.
fn bytes(mut text: Zeroizing<String>) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(std::mem::take(&mut *text).into_bytes())
}

/// Body of the OAuth2 session init.
pub(crate) fn session_init_body() -> Zeroizing<Vec<u8>> {
    text_object(&[("grant_type", "client_credentials")])
}

/// Body of the first step with a TOTP.
pub(crate) fn totp_login_body(mobile: &Mobile, ucc: &str, totp: &Secret) -> Zeroizing<Vec<u8>> {
    text_object(&[
        ("mobileNumber", mobile.as_str()),
        ("ucc", ucc),
        ("totp", totp.expose()),
    ])
}

/// Body of the second step with the MPIN.
pub(crate) fn totp_validate_body(mpin: &Secret) -> Zeroizing<Vec<u8>> {
    text_object(&[("mpin", mpin.expose())])
}

/// Body of the password login. A user id goes in a key with a lower-case d.
pub(crate) fn login_body(
    identity: &Identity,
    user_id: &str,
    password: &Secret,
) -> Zeroizing<Vec<u8>> {
    let (key, value) = match identity {
        Identity::Mobile(mobile) => ("mobileNumber", mobile.as_str()),
        Identity::Pan(pan) => ("pan", pan.as_str()),
        Identity::Other => ("userid", user_id),
    };
    text_object(&[(key, value), ("password", password.expose())])
}

/// Body that asks for an OTP by mail and message.
pub(crate) fn otp_generate_body(user_id: &str) -> Zeroizing<Vec<u8>> {
    bytes(json::object(&[
        ("userId", user_id.into()),
        ("sendEmail", Member::Flag(true)),
        ("isWhitelisted", Member::Flag(true)),
    ]))
}

/// Body of the second factor. Six digits after a login with mobile number or
/// PAN are the MPIN; everything else is an OTP, which needs the user id.
pub(crate) fn session_2fa_body(view: &View, code: &Secret) -> Result<Zeroizing<Vec<u8>>, Error> {
    let code = code.expose();
    match (&view.identity, code.len()) {
        (Identity::Mobile(mobile), 6) => Ok(text_object(&[
            ("mobileNumber", mobile.as_str()),
            ("mpin", code),
        ])),
        (Identity::Pan(pan), 6) => Ok(text_object(&[("pan", pan), ("mpin", code)])),
        _ => match &view.user_id {
            Some(user_id) => Ok(text_object(&[("userId", user_id), ("otp", code)])),
            None => Err(Error::argument(
                "otp",
                "the view token of the broker names no user, so an OTP cannot be used; \
                 log in with the mobile number and give the MPIN",
            )),
        },
    }
}

/// Body of the QR login's second step.
pub(crate) fn qr_session_body(ott: &str, ucc: &str) -> Zeroizing<Vec<u8>> {
    text_object(&[("ott", ott), ("id", ucc)])
}

/// A string of an answer. Anything else counts as not given: the broker fills
/// keys that it has no value for with null, false or 0.
#[derive(Default)]
struct Text(Option<Secret>);

impl Text {
    fn given(self) -> Option<Secret> {
        self.0.filter(|text| !text.expose().is_empty())
    }

    /// A name or a URL; a blank one counts as not given.
    fn plain(self) -> Option<String> {
        let text = self.given()?.expose().to_owned();
        (!text.trim().is_empty()).then_some(text)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyKind;

        impl<'de> Visitor<'de> for AnyKind {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(Some(Secret::new(text.to_owned()))))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Text, E> {
                Ok(Text(None))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Text, E> {
                Ok(Text(None))
            }
            fn visit_u64<E>(self, _: u64) -> Result<Text, E> {
                Ok(Text(None))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Text, E> {
                Ok(Text(None))
            }
            fn visit_unit<E>(self) -> Result<Text, E> {
                Ok(Text(None))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Text, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Text(None))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Text(None))
            }
        }

        deserializer.deserialize_any(AnyKind)
    }
}

/// The value under `data` of an answer.
fn data(body: &[u8]) -> Option<&RawValue> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        data: &'a RawValue,
    }
    object::<Answer<'_>>(body).map(|answer| answer.data)
}

/// Reads an object. A list is refused first: serde would take its elements
/// for the fields of a struct.
fn object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<T> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    serde_json::from_slice(body).ok()
}

/// What any login step answers with, as far as a client needs it.
#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
struct Session {
    token: Text,
    sid: Text,
    rid: Text,
    ucc: Text,
    data_center: Text,
    hs_server_id: Text,
    base_url: Text,
    feed_url: Text,
    rt_url: Text,
}

/// Token, session id and the rest of a login answer; `None` if the two are
/// not there.
pub(crate) struct Granted {
    pub(crate) token: Secret,
    pub(crate) sid: Secret,
    pub(crate) rid: Option<Secret>,
    pub(crate) ucc: Option<String>,
    pub(crate) data_center: Option<String>,
    pub(crate) server_id: Option<String>,
    pub(crate) base_url: Option<String>,
    pub(crate) feed_url: Option<String>,
    pub(crate) rt_url: Option<String>,
}

/// The longest name of a user, a data centre or a server, in bytes.
pub(crate) const LONGEST_NAME: usize = 256;
/// The longest URL of an answer that is used, in bytes.
const LONGEST_URL: usize = 1024;

/// Whether a session can keep a text of this kind, and a URL carry it.
pub(crate) fn is_name(text: &str) -> bool {
    text.len() <= LONGEST_NAME && !text.chars().any(char::is_control)
}

/// What is wrong with a token that no request could carry. It is told when it
/// is granted, not by every order after that. The token is not shown.
pub(crate) fn unfit_token(field: &str, token: &Secret) -> Option<String> {
    (!token.fits_header()).then(|| {
        format!(
            "has a {field} that no request can carry (it must be printable ASCII of at most \
             {LONGEST_HEADER} bytes)"
        )
    })
}

impl Granted {
    /// What of it no session can be made of, as the rest of a sentence about
    /// the broker's answer.
    pub(crate) fn problem(&self) -> Option<String> {
        let tokens = [
            ("token", Some(&self.token)),
            ("sid", Some(&self.sid)),
            ("rid", self.rid.as_ref()),
        ];
        let unfit = |(field, token): (&str, Option<&Secret>)| unfit_token(field, token?);
        if let Some(problem) = tokens.into_iter().find_map(unfit) {
            return Some(problem);
        }
        let names = [
            ("ucc", &self.ucc),
            ("dataCenter", &self.data_center),
            ("hsServerId", &self.server_id),
        ];
        let odd =
            |name: &&(&str, &Option<String>)| name.1.as_ref().is_some_and(|text| !is_name(text));
        if let Some((field, _)) = names.iter().find(odd) {
            return Some(format!(
                "has a {field} of more than {LONGEST_NAME} bytes, or with control characters"
            ));
        }
        let url = self.base_url.as_ref()?;
        (url.len() > LONGEST_URL).then(|| format!("has a baseUrl of more than {LONGEST_URL} bytes"))
    }
}

/// Reads the answer of a login step.
pub(crate) fn granted(body: &[u8]) -> Option<Granted> {
    let data: Session = object(data(body)?.get().as_bytes())?;
    Some(Granted {
        token: data.token.given()?,
        sid: data.sid.given()?,
        rid: data.rid.given(),
        ucc: data.ucc.plain(),
        data_center: data.data_center.plain(),
        server_id: data.hs_server_id.plain(),
        base_url: data.base_url.plain(),
        feed_url: data.feed_url.plain(),
        rt_url: data.rt_url.plain(),
    })
}

/// Reads the answer of the session init: the bearer token, and for how many
/// seconds it is good.
pub(crate) fn bearer(body: &[u8]) -> Option<(Secret, Option<u64>)> {
    #[derive(Deserialize)]
    struct Token {
        access_token: Text,
        #[serde(default)]
        expires_in: Option<serde_json::Value>,
    }
    let token: Token = object(body)?;
    let seconds = token.expires_in.and_then(|seconds| match seconds {
        serde_json::Value::String(text) => text.parse().ok(),
        number => number.as_u64(),
    });
    Some((token.access_token.given()?, seconds))
}

/// Reads the answer of the base-URL lookup.
pub(crate) fn looked_up_base(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Base {
        #[serde(rename = "baseURL")]
        base_url: Text,
    }
    object::<Base>(data(body)?.get().as_bytes())?
        .base_url
        .plain()
}

/// Whether the answer has an object or a list under `data`.
pub(crate) fn has_data(body: &[u8]) -> bool {
    data(body).is_some_and(|data| data.get().starts_with(['{', '[']))
}

/// The feed URLs of one data centre.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct FeedUrls {
    pub(crate) feed: Option<String>,
    pub(crate) order_feed: Option<String>,
}

/// Reads the answer of the config service. The source in use names the keys
/// that hold the endpoints.
pub(crate) fn feed_urls(body: &[u8], data_center: &str) -> Option<FeedUrls> {
    let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
    let configs = answer.get("data")?.get("configs")?.as_object()?;
    let text = |key: String| configs.get(&key)?.as_str().filter(|text| !text.is_empty());
    let source = text(format!("{data_center}_broadcast_source"))?;
    Some(FeedUrls {
        feed: text(format!("{data_center}_{source}_broadcast_endpoint")).map(str::to_owned),
        order_feed: text(format!("{data_center}_{source}_interactive_endpoint")).map(str::to_owned),
    })
}

/// Chooses a feed URL: the config service's, then the login answer's, then
/// the default. One that may not be used is passed over and told in `notes`.
pub(crate) fn choose_feed(
    hosts: &Hosts,
    candidates: [(&str, Option<&str>); 2],
    default: Url,
    notes: &mut Vec<String>,
) -> Url {
    for (field, text) in candidates {
        let Some(text) = text else { continue };
        if text.len() > LONGEST_URL {
            notes.push(format!(
                "the broker's answer has a URL of {} bytes in {field}; nothing was sent there",
                text.len()
            ));
            continue;
        }
        match hosts.named_feed(field, text) {
            Ok(url) => return url,
            Err(problem) => notes.push(problem),
        }
    }
    default
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::hosts::{Environment, Generation};

    fn view(identity: Identity, user_id: Option<&str>) -> View {
        View {
            generation: Generation::One,
            token: Secret::new("fake".to_owned()),
            sid: Secret::new("fake".to_owned()),
            ucc: None,
            identity,
            user_id: user_id.map(str::to_owned),
            base: Url::parse("https://gw-napi.kotaksecurities.com/").expect("a URL"),
            on_gateway: false,
            bearer: None,
        }
    }

    fn text(bytes: &[u8]) -> String {
        String::from_utf8(bytes.to_vec()).expect("it is JSON")
    }

    #[test]
    fn six_digits_are_an_mpin_only_where_the_sdk_says_so() {
        let mobile = Identity::Mobile(Mobile::parse("m", "+919999999999").expect("a number"));
        let body = |identity: &Identity, user: Option<&str>, code: &str| {
            session_2fa_body(&view(identity.clone(), user), &Secret::new(code.to_owned()))
                .map(|bytes| text(&bytes))
        };
        assert_eq!(
            body(&mobile, Some("u"), "000000").expect("an MPIN"),
            r#"{"mobileNumber":"+919999999999","mpin":"000000"}"#
        );
        assert_eq!(
            body(&Identity::Pan("XXXXX0000X".to_owned()), None, "000000").expect("an MPIN"),
            r#"{"pan":"XXXXX0000X","mpin":"000000"}"#
        );
        assert_eq!(
            body(&Identity::Other, Some("fake-user-0000"), "000000").expect("an OTP"),
            r#"{"userId":"fake-user-0000","otp":"000000"}"#
        );
        assert_eq!(
            body(&mobile, Some("fake-user-0000"), "1234").expect("an OTP"),
            r#"{"userId":"fake-user-0000","otp":"1234"}"#
        );
        assert!(body(&mobile, None, "1234").is_err());
    }

    #[test]
    fn a_grant_needs_token_and_sid() {
        assert!(granted(br#"{"data":{"token":"t","sid":"s"}}"#).is_some());
        for body in [
            r#"{"data":{"token":"t"}}"#,
            r#"{"data":{"token":"","sid":"s"}}"#,
            r#"{"data":{"token":7,"sid":"s"}}"#,
            r#"{"data":["t","s"]}"#,
            r#"{"data":null}"#,
            r#"[{"token":"t","sid":"s"}]"#,
            r#"{"stCode":429,"errMsg":"Invalid UCC","status":"failure"}"#,
            "[]",
            "",
        ] {
            assert!(granted(body.as_bytes()).is_none(), "{body}");
        }
        let odd = br#"{"data":{"token":"t","sid":"s","dataCenter":7,"baseUrl":" ","feedUrl":false,
            "ucc":"","rid":{"a":[1.5]},"rtUrl":[null]}}"#;
        let granted = granted(odd).expect("odd keys do not matter");
        assert!(granted.data_center.is_none() && granted.base_url.is_none());
        assert!(granted.ucc.is_none() && granted.rid.is_none() && granted.rt_url.is_none());
    }

    #[test]
    fn what_no_request_can_carry_is_named_and_not_shown() {
        let problem = |key: &str, value: &str| {
            let mut data = serde_json::json!({"token": "t", "sid": "s"});
            data[key] = value.into();
            let body = serde_json::json!({ "data": data }).to_string();
            let problem = granted(body.as_bytes()).expect("a grant").problem();
            if let Some(problem) = &problem {
                assert!(!problem.contains("fake"), "{problem}");
            }
            problem
        };
        let long = "fake".repeat(1025);
        for odd in ["fake\n1", "fake\u{0}1", "fake\t", "faké", &long] {
            for key in ["token", "sid", "rid"] {
                let told = problem(key, odd).expect("it is odd");
                assert!(
                    told.starts_with(&format!("has a {key} that no request")),
                    "{told}"
                );
            }
        }
        assert!(problem("token", " ").is_some());
        for key in ["ucc", "dataCenter", "hsServerId"] {
            assert_eq!(problem(key, "é ok"), None);
            for odd in ["a\rb", &long] {
                let told = problem(key, odd).expect("it is odd");
                assert!(told.starts_with(&format!("has a {key} of")), "{told}");
            }
        }
        assert_eq!(problem("baseUrl", "https://e43.kotaksecurities.com"), None);
        assert!(problem("baseUrl", &long).is_some_and(|told| told.contains("baseUrl")));
        assert_eq!(problem("feedUrl", &long), None, "another feed is taken");
    }

    #[test]
    fn bearer_tokens() {
        let (token, life) =
            bearer(br#"{"access_token":"fake","expires_in":3600}"#).expect("a token");
        assert_eq!((token.expose(), life), ("fake", Some(3600)));
        assert!(
            bearer(br#"{"access_token":"fake","expires_in":"x"}"#)
                .expect("a token")
                .1
                .is_none()
        );
        assert!(bearer(br#"{"error":"invalid_client"}"#).is_none());
    }

    #[test]
    fn feed_urls_need_the_source_in_use() {
        let body = br#"{"data":{"configs":{"E22_broadcast_source":"sh",
            "E22_ks_broadcast_endpoint":"https://a","E22_sh_broadcast_endpoint":"https://b"}}}"#;
        let urls = feed_urls(body, "E22").expect("there is a source");
        assert_eq!(
            (urls.feed.as_deref(), urls.order_feed),
            (Some("https://b"), None)
        );
        assert_eq!(feed_urls(body, "e22"), None);
        assert_eq!(feed_urls(b"{}", "E22"), None);
    }

    #[test]
    fn the_first_usable_feed_url_wins() {
        let hosts = Hosts {
            environment: Environment::Prod,
            base_url: None,
        };
        let mut notes = Vec::new();
        let mut choose = |service: Option<&str>, answer: Option<&str>| {
            let candidates = [("config service", service), ("feedUrl", answer)];
            String::from(choose_feed(
                &hosts,
                candidates,
                hosts.default_feed(),
                &mut notes,
            ))
        };
        let a = "https://a.kotaksecurities.com/x";
        let b = "https://b.kotaksecurities.com/x";
        assert_eq!(choose(Some(a), Some(b)), "wss://a.kotaksecurities.com/x");
        assert_eq!(choose(None, Some(b)), "wss://b.kotaksecurities.com/x");
        assert_eq!(
            choose(None, None),
            "wss://sfeed.kotaksecurities.com/apifeed"
        );
        assert_eq!(
            choose(Some("https://evil.example"), Some(b)),
            "wss://b.kotaksecurities.com/x"
        );
        let long = format!("{a}{}", "x".repeat(LONGEST_URL));
        let candidates = [("feedUrl", Some(long.as_str())), ("feedUrl", Some(b))];
        let chosen = choose_feed(&hosts, candidates, hosts.default_feed(), &mut notes);
        assert_eq!(chosen.as_str(), "wss://b.kotaksecurities.com/x");
        assert_eq!(notes.len(), 2);
        assert!(notes[0].contains("evil.example"));
        assert!(notes[1].contains("bytes in feedUrl") && notes[1].len() < 200);
    }
}
