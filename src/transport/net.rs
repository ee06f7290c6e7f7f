//! Reads, logins and downloads: HTTP/2 or HTTP/1.1 on connections that are
//! kept alive.

use std::sync::Arc;
use std::time::Duration;

use http::header::{COOKIE, LOCATION};
use once_cell::sync::OnceCell;
use url::Url;

use super::body::{Point, SingleUse};
use super::cookies::{Cookies, MOST_SENT};
use super::{OUR_NAME, Settings, failure, host_of, names};
use crate::base::clock::unix;
use crate::base::status::Status;
use crate::broker::message::{Answer, Failure, Request};

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
                .user_agent(OUR_NAME)
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
                message: format!(
                    "the HTTP client could not be made: {}",
                    failure::innermost(&error)
                ),
                sent: false,
            })
        })
    }

    /// Sends `request` and reads the whole answer. `point` tells whether a
    /// body has been started, also after this future was dropped.
    pub(crate) async fn send(&self, request: Request, point: &Point) -> Result<Answer, Failure> {
        let (host, largest) = (host_of(&request.url), request.largest_answer);
        let client = self.client()?;
        // Gives connections that died while nobody was driving a turn to
        // notice it: one for the sockets, one for the tasks that they wake.
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        let mut headers = request.headers;
        // Here and not by reqwest, which could not tell what is left out.
        let carried = self.jar.carried(&request.url, MOST_SENT);
        if let Some(trouble) = carried.trouble() {
            point.note(trouble);
        }
        headers.extend(carried.header.map(|cookies| (COOKIE, cookies)));
        let mut builder = client.request(request.method, request.url).headers(headers);
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
        let mut answer = Answer::from_head(response.status().as_u16(), response.headers(), unix());
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            answer.push(&chunk, largest)?;
        }
        Ok(answer)
    }

    fn failure(&self, host: &str, error: &reqwest::Error, point: &Point) -> Failure {
        if error.is_connect() {
            return match error.is_timeout() {
                true => failure::no_connection_within(self.settings.connect, host),
                false => failure::no_connection(host, error),
            };
        }
        // A body that ends too early counts as one that cannot be decoded.
        if error.is_decode() && !failure::came_from_connection(error) {
            return Failure {
                status: Status::Protocol,
                message: format!("the answer of {host} could not be decoded"),
                sent: true,
            };
        }
        failure::broken(host, error, point.passed())
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
