//! The request of every operation: its headers, and the credentials in them.
//!
//! Nothing here does I/O.

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;
use zeroize::Zeroizing;

use crate::base::error::Error;
use crate::base::secret::Secret;
use crate::broker::hosts::{Environment, Generation};
use crate::broker::message::Request;
use crate::broker::operation::{Auth, Operation};
use crate::broker::session::{Trade, View};

/// The credentials that requests may carry. Which of them do is written in
/// the table of operations.
#[derive(Clone, Copy, Default)]
pub(crate) struct Credentials<'a> {
    pub(crate) consumer_key: Option<&'a Secret>,
    /// What `application` made of consumer key and secret.
    pub(crate) application: Option<&'a Secret>,
    pub(crate) fin_key: Option<&'a Secret>,
    pub(crate) bearer: Option<&'a Secret>,
    pub(crate) token: Option<&'a Secret>,
    pub(crate) sid: Option<&'a Secret>,
}

impl<'a> Credentials<'a> {
    pub(crate) fn with_view(mut self, view: &'a View) -> Self {
        self.bearer = view.bearer.as_ref();
        self.token = Some(&view.token);
        self.sid = Some(&view.sid);
        self
    }

    pub(crate) fn with_trade(mut self, trade: &'a Trade) -> Self {
        self.bearer = trade.bearer.as_ref();
        self.token = Some(&trade.token);
        self.sid = Some(&trade.sid);
        self
    }
}

/// The `neo-fin-key` when the caller gives none: public constants of the
/// broker's SDKs, not secrets.
fn default_fin_key(generation: Generation, environment: Environment) -> &'static str {
    match (generation, environment) {
        (Generation::Three, _) => "neotradeapi",
        (_, Environment::Prod) => "X6Nk8cQhUgGmJ2vBdWw4sfzrz4L5En",
        (_, Environment::Uat) => "bQJNkL5z8m4aGcRgjDvXhHfSx7VpZnE",
    }
}

/// The request of `op` to `url`, with the headers that its row asks for.
pub(crate) fn request(
    op: &Operation,
    url: Url,
    generation: Generation,
    environment: Environment,
    credentials: &Credentials<'_>,
    body: Option<Zeroizing<Vec<u8>>>,
) -> Result<Request, Error> {
    let sent = op.headers(generation);
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static(sent.accept));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(sent.content_type));
    if let Some(value) = authorization(sent.auth, credentials)? {
        headers.insert(AUTHORIZATION, value);
    }
    if matches!(
        sent.auth,
        Auth::BearerView | Auth::BearerTrade | Auth::KeyView | Auth::KeyTrade | Auth::Trade
    ) {
        headers.insert(
            HeaderName::from_static("auth"),
            header("token", credentials.token)?,
        );
        headers.insert(
            HeaderName::from_static("sid"),
            header("sid", credentials.sid)?,
        );
    }
    if sent.fin_key {
        let value = match credentials.fin_key {
            Some(given) => header("neo_fin_key", Some(given))?,
            None => HeaderValue::from_static(default_fin_key(generation, environment)),
        };
        headers.insert(HeaderName::from_static("neo-fin-key"), value);
    }
    if generation == Generation::Three {
        if let Some(key) = credentials.consumer_key {
            let start: String = key.expose().chars().take(8).collect();
            let id = HeaderValue::from_str(&format!("{start}***"))
                .map_err(|_| Error::argument("consumer_key", "fits no HTTP header"))?;
            headers.insert(HeaderName::from_static("x-client-id"), id);
        }
    }
    Ok(Request {
        method: op.method.clone(),
        url,
        headers,
        body,
        largest_answer: op.largest_answer(),
    })
}

fn authorization(auth: Auth, credentials: &Credentials<'_>) -> Result<Option<HeaderValue>, Error> {
    match auth {
        Auth::None | Auth::Trade => Ok(None),
        Auth::Application => {
            let pair = needed("consumer_secret", credentials.application)?;
            Ok(pair.header_after("Basic "))
        }
        Auth::Bearer | Auth::BearerView | Auth::BearerTrade => {
            let bearer = needed("access_token", credentials.bearer)?;
            match bearer.header_after("Bearer ") {
                Some(value) => Ok(Some(value)),
                None => Err(Error::argument("access_token", "fits no HTTP header")),
            }
        }
        Auth::Key | Auth::KeyView | Auth::KeyTrade => {
            header("consumer_key", credentials.consumer_key).map(Some)
        }
    }
}

/// Consumer key and secret as the session init wants them.
pub(crate) fn application(key: Option<&Secret>, secret: Option<&Secret>) -> Result<Secret, Error> {
    let key = needed("consumer_key", key)?;
    let secret = needed("consumer_secret", secret)?;
    let (key, secret) = (key.expose(), secret.expose());
    let mut pair = Zeroizing::new(String::with_capacity(key.len() + secret.len() + 1));
    pair.push_str(key);
    pair.push(':');
    pair.push_str(secret);
    Ok(Secret::new(data_encoding::BASE64.encode(pair.as_bytes())))
}

fn needed<'a>(name: &str, given: Option<&'a Secret>) -> Result<&'a Secret, Error> {
    given.ok_or_else(|| {
        Error::argument(
            &format!("config.{name}"),
            "is needed for this call and was not given",
        )
    })
}

fn header(name: &str, given: Option<&Secret>) -> Result<HeaderValue, Error> {
    needed(name, given)?
        .header()
        .ok_or_else(|| Error::argument(name, "has a character that fits no HTTP header"))
}
