//! The one way by which order instructions leave.
//!
//! It is made so that an instruction is delivered at most once and nothing of
//! it leaves after the call that sends it has ended:
//!
//! - HTTP/1.1 only. Over HTTP/2 the layers below may send a request again
//!   (REFUSED_STREAM, GOAWAY) and may hold bytes back for a stream window.
//! - A connection and the event loop that drives it belong to one call at a time.
//!   No task works in the background. The future that sends owns the
//!   connection and drives it; when it is dropped before the answer is whole,
//!   the connection goes with all that had not left, here or in the queue of
//!   the operating system (`recall`).
//! - A body gives its bytes once (`SingleUse`) and not after its deadline.
//! - A connection that the broker closed while it was idle is noticed before
//!   anything is sent on it; one idle for long is not used at all. Nothing is
//!   ever sent to keep one warm.
//! - No redirects, no repeats, no early data.

use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use http::HeaderValue;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, COOKIE, HOST, SET_COOKIE, USER_AGENT};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use url::Url;

use super::body::{Point, Refused, SingleUse};
use super::cookies::Cookies;
use super::event_loop::EventLoop;
use super::recall::{self, LARGEST_READ, Recall};
use super::stream::Stream;
use super::unpack::{Trouble, Unpacker};
use super::{OUR_NAME, Settings, Steps, Way, failure, host_of};
use crate::base::clock::{self, Moment, unix};
use crate::base::connection::{Family, Journal, Trace};
use crate::base::status::Status;
use crate::broker::message::{Answer, Failure, Request};

/// A connection that was idle for longer is replaced, not used. A night in
/// which the machine slept counts.
const LONGEST_IDLE: Duration = Duration::from_secs(20);
/// The largest request, head and body. So much fits into the system's buffers
/// at once: no part of an instruction waits here while another has left.
const LARGEST_REQUEST: usize = 16 * 1024;
/// Lanes kept for later; more threads than this may send at once.
const MOST_IDLE: usize = 16;

/// Sends instructions, each at most once.
pub(crate) struct Door {
    settings: Arc<Settings>,
    jar: Arc<Cookies>,
    idle: Mutex<Vec<Lane>>,
}

/// What one call sends on: a connection, and the event loop that drives it.
/// No two calls share one, so that none can hold up another.
pub(crate) struct Lane {
    /// The connection to the broker.
    pub(crate) line: Line,
    /// Drives the line, and nothing else.
    pub(crate) event_loop: EventLoop,
}

/// A connection that is kept from call to call. Empty while it is in use. In a
/// box: with its TLS it is large, and goes from hand to hand on small stacks.
#[derive(Default)]
pub(crate) struct Line(Option<Box<Connection>>);

struct Connection {
    /// Scheme, host and port that it leads to.
    origin: url::Origin,
    /// By which the broker is reached, where that is known.
    family: Option<Family>,
    /// It is of another family than was preferred.
    is_detour: bool,
    journal: Journal,
    sender: http1::SendRequest<SingleUse>,
    driver: http1::Connection<Stream, SingleUse>,
    recall: Recall,
    idle_since: Moment,
    closed: bool,
}

impl Connection {
    /// Polls `future`, and the connection with it, until `future` is ready.
    async fn drive<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        std::future::poll_fn(|cx| {
            self.turn(cx);
            let polled = future.as_mut().poll(cx);
            if polled.is_pending() {
                // What the future just asked of the connection.
                self.turn(cx);
            }
            polled
        })
        .await
    }

    /// Whether it leads where an instruction shall go, by the way that it prefers. A
    /// detour was found for want of a better one, and is kept for its own call only.
    fn leads_to(&self, url: &Url, way: Way) -> bool {
        let fits = match (way.family, self.family) {
            (Some(wanted), Some(family)) => wanted == family || self.is_detour,
            _ => true,
        };
        fits && self.origin == url.origin()
    }

    fn turn(&mut self, cx: &mut std::task::Context<'_>) {
        if !self.closed && pin!(&mut self.driver).poll(cx).is_ready() {
            self.closed = true;
        }
    }

    /// Whether a request may be started on it. Sees a close that has already
    /// been received.
    async fn is_usable(&mut self) -> bool {
        // Lets the runtime collect what the socket received meanwhile.
        tokio::task::yield_now().await;
        std::future::poll_fn(|cx| {
            self.turn(cx);
            Poll::Ready(())
        })
        .await;
        !self.closed && self.sender.is_ready()
    }
}

impl Door {
    /// A door without any connection yet.
    pub(crate) fn new(settings: Arc<Settings>, jar: Arc<Cookies>) -> Self {
        Self {
            settings,
            jar,
            idle: Mutex::default(),
        }
    }

    /// How long after the end of its call something of an instruction may still be on its
    /// way; `None` is that of a process that was killed.
    pub(crate) fn on_its_way(&self, ended: Option<&Point>) -> Duration {
        let proxied = self.settings.proxies.any();
        match ended {
            Some(point) => recall::after_a_call(point.trouble().is_some(), proxied),
            None => recall::after_a_kill(proxied),
        }
    }

    /// A lane for one call: the one that was used last, or a new one.
    ///
    /// # Errors
    ///
    /// If the system gives no event loop.
    pub(crate) fn lane(&self) -> io::Result<Lane> {
        let kept = {
            let mut idle = self.idle();
            for lane in idle.iter_mut() {
                lane.line.forget_old();
            }
            idle.pop()
        };
        match kept {
            Some(lane) => Ok(lane),
            None => Ok(Lane {
                line: Line::default(),
                event_loop: EventLoop::new()?,
            }),
        }
    }

    /// Keeps a lane for a later call. A detour is not kept: the next call tries the family
    /// of the login first.
    pub(crate) fn keep(&self, mut lane: Lane) {
        if lane.line.0.as_deref().is_some_and(|kept| kept.is_detour) {
            lane.line.close();
        }
        let mut idle = self.idle();
        if idle.len() < MOST_IDLE {
            idle.push(lane);
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Lane>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that `line` is a connection to the host of `url` on which a
    /// request may be started. Sends nothing. Tells `trace` which connection it is.
    ///
    /// # Errors
    ///
    /// If there is no connection to be had.
    pub(crate) async fn ready(
        &self,
        line: &mut Line,
        url: &Url,
        way: Way,
        trace: &Trace,
    ) -> Result<(), Failure> {
        line.forget_old();
        if let Some(mut kept) = line.0.take() {
            if kept.leads_to(url, way) && kept.is_usable().await {
                trace.takes(&kept.journal);
                line.0 = Some(kept);
                return Ok(());
            }
        }
        let made = Box::pin(self.connect(url, way, trace.opens())).await?;
        trace.takes(&made.journal);
        line.0 = Some(made);
        Ok(())
    }

    /// Sends `request` on a line that is [`ready`](Self::ready); `point` says
    /// whether a byte of it may have left, also after this future was dropped.
    ///
    /// # Errors
    ///
    /// Without an answer; [`Failure::sent`] is `point.passed()`.
    pub(crate) async fn send(
        &self,
        line: &mut Line,
        request: Request,
        point: &Point,
        trace: &Trace,
    ) -> Result<Answer, Failure> {
        let host = host_of(&request.url);
        let (url, largest) = (request.url.clone(), request.largest_answer);
        // Out of the line: if this call is dropped, the connection goes too.
        let Some(mut connection) = line.0.take() else {
            return Err(Failure {
                status: Status::Internal,
                message: "an order line was used before it was ready".to_owned(),
                sent: false,
            });
        };
        let recall = connection.recall.clone();
        let head = self
            .head(request, point, &recall)
            .map_err(|problem| Failure {
                status: Status::Internal,
                message: format!("the request could not be written: {problem}"),
                sent: false,
            })?;
        let size = size(&head);
        if size > LARGEST_REQUEST {
            return Err(Failure {
                status: Status::Internal,
                message: format!(
                    "the request has {size} bytes, its tokens included, and \
                     {LARGEST_REQUEST} are the most; nothing was sent"
                ),
                sent: false,
            });
        }
        if head.body().size_hint().exact() == Some(0) {
            // An empty body is never asked for, so it cannot tell.
            recall.arm(point);
            point.pass();
        }
        let failed = |error: hyper::Error| failed(&host, &error, point);

        let began = clock::now();
        let sending = connection.sender.send_request(head);
        let response = connection.drive(sending).await.map_err(failed)?;
        point.answered();
        trace.answered(began);
        let (parts, mut body) = response.into_parts();
        self.jar
            .set_cookies(&mut parts.headers.get_all(SET_COOKIE).iter(), &url);
        let mut answer = Answer::from_head(parts.status.as_u16(), &parts.headers, unix());
        // It was not asked for, but some gateways pack all that they hand on.
        let mut unpacker = Unpacker::of(&parts.headers);
        let undecoded = |why: Trouble| failure::undecoded(&host, parts.status, &why);
        let mut steps = Steps::new();
        while let Some(frame) = next_frame(&mut connection, &mut body).await {
            if let Ok(mut data) = frame.map_err(failed)?.into_data() {
                while let Some(piece) = unpacker.next(&mut data).map_err(undecoded)? {
                    answer.push(piece, largest)?;
                    steps.next().await;
                }
            }
            steps.next().await;
        }
        unpacker.end().map_err(undecoded)?;
        answer.end();
        recall.disarm();
        line.keep(connection).await;
        Ok(answer)
    }

    async fn connect(
        &self,
        url: &Url,
        way: Way,
        journal: Journal,
    ) -> Result<Box<Connection>, Failure> {
        let stream = self.settings.connect(url, way, &journal).await?;
        let facts = journal.lock().clone();
        let recall = Recall::of(&stream);
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(LARGEST_READ)
            .handshake(stream)
            .await
            .map_err(|error| failure::no_connection(&host_of(url), &error))?;
        Ok(Box::new(Connection {
            origin: url.origin(),
            family: facts.family(),
            is_detour: facts.detour.is_some(),
            journal,
            sender,
            driver,
            recall,
            idle_since: clock::now(),
            closed: false,
        }))
    }

    fn head(
        &self,
        request: Request,
        point: &Point,
        recall: &Recall,
    ) -> http::Result<http::Request<SingleUse>> {
        let body = request.body.unwrap_or_default();
        let length = body.len();
        let target = match request.url.query() {
            Some(query) => format!("{}?{query}", request.url.path()),
            None => request.url.path().to_owned(),
        };
        let mut head = http::Request::builder()
            .method(request.method)
            .uri(target)
            .body(SingleUse::new(body, point.clone()).with_recall(recall.clone()))?;
        let headers = head.headers_mut();
        *headers = request.headers;
        headers.insert(HOST, HeaderValue::from_str(&host_of(&request.url))?);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        headers.insert(USER_AGENT, HeaderValue::from_static(OUR_NAME));
        // An instruction's answer is short: packing it would cost, not save.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let cookie_line = COOKIE.as_str().len() + 4;
        let room = LARGEST_REQUEST.saturating_sub(size(&head) + cookie_line);
        let carried = self.jar.carried(&request.url, room);
        if let Some(trouble) = carried.trouble() {
            point.note(trouble);
        }
        if let Some(cookies) = carried.header {
            head.headers_mut().insert(COOKIE, cookies);
        }
        Ok(head)
    }
}

impl Line {
    /// Closes a connection that was idle for too long.
    fn forget_old(&mut self) {
        let old = |kept: &Connection| kept.idle_since.elapsed() > LONGEST_IDLE;
        if self.0.as_deref().is_some_and(old) {
            self.0 = None;
        }
    }

    /// Closes the connection: what came on it was not believed.
    pub(crate) fn close(&mut self) {
        self.0 = None;
    }

    /// Keeps a connection for later if it is whole.
    async fn keep(&mut self, mut connection: Box<Connection>) {
        std::future::poll_fn(|cx| {
            connection.turn(cx);
            Poll::Ready(())
        })
        .await;
        if connection.closed || !connection.sender.is_ready() {
            return;
        }
        connection.idle_since = clock::now();
        self.0 = Some(connection);
    }
}

/// About how many bytes a request has.
fn size(request: &http::Request<SingleUse>) -> usize {
    let headers = request.headers().iter();
    let lines = headers.map(|(name, value)| name.as_str().len() + value.len() + 4);
    let target = request
        .uri()
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    let body = request.body().size_hint().exact().unwrap_or(u64::MAX);
    lines.sum::<usize>() + target + usize::try_from(body).unwrap_or(LARGEST_REQUEST)
}

async fn next_frame(
    connection: &mut Connection,
    body: &mut Incoming,
) -> Option<Result<http_body::Frame<bytes::Bytes>, hyper::Error>> {
    connection.drive(body.frame()).await
}

fn failed(host: &str, error: &hyper::Error, point: &Point) -> Failure {
    match failure::find(error) {
        Some(Refused::TooLate) => Failure {
            status: Status::Timeout,
            message: Refused::TooLate.to_string(),
            sent: point.passed(),
        },
        Some(Refused::Held(held)) => Failure {
            status: held.status(),
            message: held.to_string(),
            sent: point.passed(),
        },
        Some(Refused::UsedBefore) | None => failure::broken(host, error, point.passed()),
    }
}

#[cfg(test)]
mod tests;
