//! The one door to the network for HTTP.
//!
//! Reads and logins go through [`Net`]: HTTP/2 or HTTP/1.1, connections kept
//! alive. Order instructions have a way of their own, [`door`].

mod body;
mod cookies;
pub mod door;
mod event_loop;
mod names;
mod proxy;
mod stream;
pub(crate) mod tls;

use std::error::Error as StdError;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::{DATE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method};
use once_cell::sync::OnceCell;
use url::Url;
use zeroize::Zeroizing;

use crate::config::{self, Config};
use crate::error::Error;
use crate::status::Status;
pub use body::Point;
pub(crate) use body::SingleUse;
pub use cookies::Cookies;
pub use event_loop::EventLoop;
use proxy::Proxies;
pub(crate) use stream::Stream;
use tls::Tls;

/// The most that an answer may hold after content decoding.
const LARGEST_ANSWER: usize = 16 * 1024 * 1024;

/// What we call ourselves.
const USER_AGENT: &str = concat!("kotak_neo/", env!("CARGO_PKG_VERSION"));

/// One HTTP request.
pub struct Request {
    /// GET or POST.
    pub method: Method,
    /// Where it goes.
    pub url: Url,
    /// All but those that the connection itself needs.
    pub headers: HeaderMap,
    /// Sent once, then wiped.
    pub body: Option<Zeroizing<Vec<u8>>>,
}

/// What the broker answered.
pub struct Answer {
    /// The HTTP status.
    pub http_status: u16,
    /// How long the broker asks to wait.
    pub retry_after: Option<Duration>,
    /// The broker's clock, in unix seconds.
    pub date: Option<u64>,
    /// The host that a redirect names.
    pub redirect: Option<String>,
    /// The body after content decoding.
    pub body: Zeroizing<Vec<u8>>,
}

/// Why there is no answer.
#[derive(Debug)]
pub struct Failure {
    /// Timeout, network, protocol or internal.
    pub status: Status,
    /// What happened, in one sentence.
    pub message: String,
    /// Whether a byte of the request may have left.
    pub sent: bool,
}

/// What all connections of one client have in common.
pub struct Settings {
    wanted: tls::Wanted,
    /// Made at the first connection.
    tls: OnceCell<Arc<Tls>>,
    proxies: Proxies,
    local_address: Option<IpAddr>,
    connect: Duration,
}

impl Settings {
    /// Reads the CA file, so that a wrong one is told when the client opens.
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        Self::with(
            config.ca_file.as_deref(),
            &config.proxy,
            config.local_address,
            config.timeouts.connect,
        )
    }

    fn with(
        ca_file: Option<&Path>,
        proxy: &config::Proxy,
        local_address: Option<IpAddr>,
        connect: Duration,
    ) -> Result<Self, Error> {
        Ok(Self {
            wanted: tls::Wanted::read(ca_file)?,
            tls: OnceCell::new(),
            proxies: Proxies::new(proxy),
            local_address,
            connect,
        })
    }

    /// Loads trust roots, if no client did before.
    fn tls(&self) -> Result<&Arc<Tls>, Failure> {
        self.tls
            .get_or_try_init(|| self.wanted.get())
            .map_err(|error| Failure {
                status: Status::Internal,
                message: format!("TLS could not be set up: {error}"),
                sent: false,
            })
    }
}

/// Sends reads and logins.
pub(crate) struct Net {
    settings: Arc<Settings>,
    jar: Arc<Cookies>,
    /// Made at the first request: opening a client loads nothing.
    client: OnceCell<reqwest::Client>,
}

impl Net {
    pub(crate) fn new(settings: Arc<Settings>, jar: Arc<Cookies>) -> Self {
        Self {
            settings,
            jar,
            client: OnceCell::new(),
        }
    }

    fn client(&self) -> Result<&reqwest::Client, Failure> {
        self.client.get_or_try_init(|| {
            let settings = &self.settings;
            let mut builder = reqwest::Client::builder()
                .tls_backend_preconfigured(settings.tls()?.any_http.clone())
                .dns_resolver(Arc::new(names::Names))
                .cookie_provider(Arc::clone(&self.jar))
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .user_agent(USER_AGENT)
                .connect_timeout(settings.connect)
                .pool_idle_timeout(Duration::from_secs(55))
                .referer(false)
                .no_proxy();
            if let Some(address) = settings.local_address {
                builder = builder.local_address(address);
            }
            if let Some(proxy) = settings.proxies.for_reqwest() {
                builder = builder.proxy(proxy);
            }
            builder.build().map_err(|error| Failure {
                status: Status::Internal,
                message: format!("the HTTP client could not be made: {}", innermost(&error)),
                sent: false,
            })
        })
    }

    /// Sends `request` and reads the whole answer. `point` tells whether a
    /// body has been started, also after this future was dropped.
    pub(crate) async fn send(&self, request: Request, point: &Point) -> Result<Answer, Failure> {
        let host = host_of(&request.url);
        let client = self.client()?;
        // Gives connections that died while nobody was driving a turn to
        // notice it: one for the sockets, one for the tasks that they wake.
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        let mut builder = client
            .request(request.method, request.url)
            .headers(request.headers);
        // An empty body is never asked for, so it cannot tell.
        builder = match request.body.filter(|bytes| !bytes.is_empty()) {
            Some(bytes) => builder.body(reqwest::Body::wrap(SingleUse::new(bytes, point.clone()))),
            None => {
                point.pass();
                builder
            }
        };
        let failed = |error: reqwest::Error| self.failure(&host, &error, point);
        let mut response = builder.send().await.map_err(failed)?;
        let mut answer = Answer::from_head(response.status().as_u16(), response.headers());
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            answer.push(&chunk)?;
        }
        Ok(answer)
    }

    fn failure(&self, host: &str, error: &reqwest::Error, point: &Point) -> Failure {
        if error.is_connect() {
            return connect_failure(host, self.settings.connect, error.is_timeout(), error);
        }
        // A body that ends too early counts as one that cannot be decoded.
        if error.is_decode() && !came_from_connection(error) {
            return Failure {
                status: Status::Protocol,
                message: format!("the answer of {host} could not be decoded"),
                sent: true,
            };
        }
        broken(host, error, point.passed())
    }
}

/// What a download gave.
pub(crate) enum Fetched {
    Body(Vec<u8>),
    /// Where it is said to be instead.
    Redirect(String),
    /// The HTTP status.
    Refused(u16),
}

impl Net {
    /// Downloads a public file: no credential goes with the request.
    /// `progress` is told the bytes so far and how many there are in all.
    pub(crate) async fn fetch(
        &self,
        url: Url,
        largest: u64,
        progress: &(dyn Fn(u64, Option<u64>) + Sync),
    ) -> Result<Fetched, Failure> {
        let host = host_of(&url);
        let point = Point::default();
        point.pass();
        let failed = |error: reqwest::Error| self.failure(&host, &error, &point);
        let mut response = self.client()?.get(url).send().await.map_err(failed)?;
        let http = response.status().as_u16();
        let location = response.headers().get(LOCATION);
        match (http, location.and_then(|to| to.to_str().ok())) {
            (200, _) => {}
            (301 | 302 | 303 | 307 | 308, Some(to)) => return Ok(Fetched::Redirect(to.to_owned())),
            _ => return Ok(Fetched::Refused(http)),
        }
        let total = response.content_length();
        let too_large = || Failure {
            status: Status::Protocol,
            message: format!("the file is larger than {largest} bytes"),
            sent: true,
        };
        if total.is_some_and(|total| total > largest) {
            return Err(too_large());
        }
        let mut body = Vec::with_capacity(usize::try_from(total.unwrap_or(0)).unwrap_or(0));
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            body.extend_from_slice(&chunk);
            let so_far = body.len() as u64;
            if so_far > largest {
                return Err(too_large());
            }
            progress(so_far, total);
        }
        Ok(Fetched::Body(body))
    }
}

impl Answer {
    fn from_head(http_status: u16, headers: &HeaderMap) -> Self {
        let redirect = headers
            .get(LOCATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| Url::parse(text).ok())
            .and_then(|url| url.host_str().map(str::to_owned));
        Self {
            http_status,
            retry_after: headers.get(RETRY_AFTER).and_then(retry_after),
            date: headers.get(DATE).and_then(date),
            redirect,
            body: Zeroizing::new(Vec::new()),
        }
    }

    fn push(&mut self, chunk: &[u8]) -> Result<(), Failure> {
        let needed = self.body.len() + chunk.len();
        if needed > LARGEST_ANSWER {
            return Err(Failure {
                status: Status::Protocol,
                message: format!("the answer is larger than {LARGEST_ANSWER} bytes"),
                sent: true,
            });
        }
        if needed > self.body.capacity() {
            // Grown by hand: a plain Vec would free the old bytes unwiped.
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(2 * self.body.len())));
            larger.extend_from_slice(&self.body);
            self.body = larger;
        }
        self.body.extend_from_slice(chunk);
        Ok(())
    }
}

/// Seconds, or a date of HTTP.
fn retry_after(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let when = httpdate::parse_http_date(text).ok()?;
    Some(when.duration_since(SystemTime::now()).unwrap_or_default())
}

fn date(value: &HeaderValue) -> Option<u64> {
    let when = httpdate::parse_http_date(value.to_str().ok()?).ok()?;
    let since = when.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(since.as_secs())
}

/// Host and port of `url`, for messages.
fn host_of(url: &Url) -> String {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => String::new(),
    }
}

/// No connection: nothing was sent.
fn connect_failure(
    host: &str,
    limit: Duration,
    timed_out: bool,
    error: &(dyn StdError + 'static),
) -> Failure {
    if timed_out {
        return Failure {
            status: Status::Timeout,
            message: format!(
                "no connection to {host} within {} ms; nothing was sent",
                limit.as_millis()
            ),
            sent: false,
        };
    }
    let message = match tls::explain(host, error) {
        Some(reason) => format!("{reason}; nothing was sent"),
        None => format!(
            "no connection to {host}: {}; nothing was sent",
            innermost(error)
        ),
    };
    Failure {
        status: Status::Network,
        message,
        sent: false,
    }
}

/// Whether the connection caused the error, and not what came over it.
fn came_from_connection(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(this) = cause {
        if this.is::<hyper::Error>() {
            return true;
        }
        cause = match this
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(inner) => Some(inner),
            None => this.source(),
        };
    }
    false
}

/// A connection that ended before the answer was complete.
fn broken(host: &str, error: &(dyn StdError + 'static), sent: bool) -> Failure {
    Failure {
        status: Status::Network,
        message: format!("the connection to {host} broke: {}", innermost(error)),
        sent,
    }
}

/// The first cause of an error: the outer ones only say that there is one.
fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
