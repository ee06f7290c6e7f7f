//! Reads, logins and downloads: HTTP/2 or HTTP/1.1 on connections that are
//! kept alive.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{ACCEPT, ACCEPT_ENCODING, COOKIE, LOCATION, SET_COOKIE, USER_AGENT};
use http::{Extensions, HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::rt::{Sleep, Timer};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use url::Url;

use super::body::{Point, SingleUse};
use super::cookies::{Cookies, MOST_SENT};
use super::recall::LARGEST_READ;
use super::stream::{NoConnection, Opener, opening};
use super::unpack::{Trouble, Unpacker};
use super::{OUR_NAME, Settings, Steps, failure, host_of};
use crate::base::clock::{self, unix};
use crate::base::connection::{Journal, Trace};
use crate::base::status::Status;
use crate::broker::message::{Answer, Failure, Request};

/// A connection that was idle for longer is not used again. A night in which the
/// machine slept counts.
const LONGEST_IDLE: Duration = Duration::from_secs(55);

/// An HTTP/2 connection on which a request waits and nothing was read for so long is
/// asked whether it lives. None is asked that has nothing to do.
const SILENCE: Duration = Duration::from_secs(2);
/// One that has not said so by then is dead: all that waits on it fails, and reads
/// are sent once more on another, well before their usual deadline.
const SIGN_OF_LIFE: Duration = Duration::from_secs(4);

/// Sends reads and logins.
pub(crate) struct Net {
    jar: Arc<Cookies>,
    client: Client<Opener, SingleUse>,
}

/// Tells how old the connections of the pool are. By tokio's clock, which stands still
/// while the machine sleeps, those of yesterday evening would be young, and a login
/// or a read would wait on a dead one until its deadline.
#[derive(Clone)]
struct Awake;

impl Timer for Awake {
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Sleep>> {
        TokioTimer::new().sleep(time)
    }

    fn sleep_until(&self, end: Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(end.saturating_duration_since(self.now()))
    }

    fn now(&self) -> Instant {
        clock::instant()
    }
}

impl Net {
    /// Opens no connection yet, and loads nothing.
    pub(crate) fn new(settings: Arc<Settings>, jar: Arc<Cookies>) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(LONGEST_IDLE)
            .pool_timer(Awake)
            .timer(Awake)
            .http2_keep_alive_interval(SILENCE)
            .http2_keep_alive_timeout(SIGN_OF_LIFE)
            .http1_max_buf_size(LARGEST_READ)
            .build(Opener(settings));
        Self { jar, client }
    }

    /// Sends `request` and reads the whole answer. `point` tells whether a
    /// body has been started, and `trace` by which connection, also after this future was
    /// dropped.
    pub(crate) async fn send(
        &self,
        request: Request,
        point: &Point,
        trace: &Trace,
    ) -> Result<Answer, Failure> {
        let (host, largest) = (host_of(&request.url), request.largest_answer);
        // Gives connections that died while nobody was driving a turn to
        // notice it: one for the sockets, one for the tasks that they wake.
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        let body = match request.body.filter(|bytes| !bytes.is_empty()) {
            Some(bytes) => SingleUse::new(bytes, point.clone()),
            None => {
                // An empty body is never asked for, so it cannot tell.
                point.pass();
                SingleUse::empty()
            }
        };
        let response = self
            .ask(
                request.method,
                &request.url,
                request.headers,
                body,
                (point, trace),
            )
            .await?;
        let (parts, body) = response.into_parts();
        let mut answer = Answer::from_head(parts.status.as_u16(), &parts.headers, unix());
        let take = |piece: &[u8]| answer.push(piece, largest);
        let unpacker = Unpacker::of(&parts.headers);
        receive(&host, parts.status, unpacker, body, take).await?;
        answer.end();
        Ok(answer)
    }

    /// Sends a request, with its cookies, and takes the head of the answer.
    async fn ask(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        body: SingleUse,
        (point, trace): (&Point, &Trace),
    ) -> Result<Response<Incoming>, Failure> {
        let wrong = |problem: &dyn std::fmt::Display| Failure {
            status: Status::Internal,
            message: format!("the request could not be written: {problem}"),
            sent: false,
        };
        let uri: Uri = url.as_str().parse().map_err(|error| wrong(&error))?;
        let mut request = http::Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let headers = request.headers_mut();
        let any = HeaderValue::from_static("*/*");
        headers.entry(ACCEPT).or_insert(any);
        headers.insert(USER_AGENT, HeaderValue::from_static(OUR_NAME));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(Unpacker::KNOWN));
        let carried = self.jar.carried(url, MOST_SENT);
        if let Some(trouble) = carried.trouble() {
            point.note(trouble);
        }
        headers.extend(carried.header.map(|cookies| (COOKIE, cookies)));
        let journal = trace.opens();
        let began = clock::now();
        let asked = opening(journal, self.client.request(request)).await;
        let response = asked.map_err(|error| failed(&host_of(url), &error, point, trace))?;
        if let Some(journal) = response.extensions().get::<Journal>() {
            trace.takes(journal);
        }
        trace.answered(began);
        let cookies = response.headers().get_all(SET_COOKIE);
        self.jar.set_cookies(&mut cookies.iter(), url);
        Ok(response)
    }
}

/// Why there is no answer.
fn failed(host: &str, error: &legacy::Error, point: &Point, trace: &Trace) -> Failure {
    if let Some(connected) = error.connect_info() {
        let mut extras = Extensions::new();
        connected.get_extras(&mut extras);
        if let Some(journal) = extras.get::<Journal>() {
            trace.takes(journal);
        }
    }
    match failure::find(error) {
        Some(NoConnection(failure)) => Failure {
            status: failure.status,
            message: failure.message.clone(),
            sent: false,
        },
        None if error.is_connect() => failure::no_connection(host, error),
        None => failure::broken(host, error, point.passed()),
    }
}

/// Reads a whole body, and gives it away piece by piece as it was before it was packed.
async fn receive(
    host: &str,
    http: StatusCode,
    mut unpacker: Unpacker,
    mut body: Incoming,
    mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let undecoded = |why: Trouble| failure::undecoded(host, http, &why);
    let mut steps = Steps::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| failure::broken(host, &error, true))?;
        if let Ok(mut data) = frame.into_data() {
            while let Some(piece) = unpacker.next(&mut data).map_err(undecoded)? {
                take(piece)?;
                steps.next().await;
            }
        }
        steps.next().await;
    }
    unpacker.end().map_err(undecoded)
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
        trace: &Trace,
        progress: &(dyn Fn(u64, Option<u64>) + Sync),
    ) -> Result<Fetched, Failure> {
        let host = host_of(&url);
        let point = Point::default();
        point.pass();
        let (method, headers) = (Method::GET, HeaderMap::new());
        let response = self
            .ask(method, &url, headers, SingleUse::empty(), (&point, trace))
            .await?;
        let http = response.status().as_u16();
        let location = response.headers().get(LOCATION);
        match (http, location.and_then(|to| to.to_str().ok())) {
            (200, _) => {}
            (301 | 302 | 303 | 307 | 308, Some(to)) => return Ok(Fetched::Redirect(to.to_owned())),
            _ => return Ok(Fetched::Refused(http)),
        }
        let (parts, incoming) = response.into_parts();
        // What is packed does not say how much there is in it.
        let unpacker = Unpacker::of(&parts.headers);
        let total = incoming.size_hint().exact();
        let total = total.filter(|_| unpacker.is_plain());
        let too_large = || Failure {
            status: Status::Protocol,
            message: format!("the file is larger than {largest} bytes"),
            sent: true,
        };
        if total.is_some_and(|total| total > largest) {
            return Err(too_large());
        }
        let mut body = Vec::with_capacity(usize::try_from(total.unwrap_or(0)).unwrap_or(0));
        let take = |piece: &[u8]| {
            let so_far = (body.len() + piece.len()) as u64;
            if so_far > largest {
                return Err(too_large());
            }
            body.extend_from_slice(piece);
            progress(so_far, total);
            Ok(())
        };
        receive(&host, parts.status, unpacker, incoming, take).await?;
        Ok(Fetched::Body(body))
    }
}

#[cfg(test)]
mod tests;
