//! The HTTP server: connections, the record, faults, and how an answer gets onto the wire.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::io::{self, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header,
};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Sleep, sleep};
use tokio_rustls::TlsAcceptor;

use crate::control;
use crate::cookies;
use crate::fault::{FaultKind, Packing};
use crate::query;
use crate::record::Recorded;
use crate::rest;
use crate::route::{Answer, Call, Found, Route};
use crate::sockets;
use crate::state::State;

/// Larger bodies are refused; no call of the broker comes near it.
const BODY_LIMIT: usize = 4 << 20;

/// How much more than the body `WrongContentLength` promises.
const MISSING_BYTES: usize = 64;

/// Why a request gets no answer.
#[derive(Debug)]
enum Unanswered {
    /// The connection is being reset, as a fault asks for.
    Reset,
    /// The stream is refused, as a fault asks for. hyper takes the reason from the source.
    Refused(h2::Error),
    /// The client did not send its body to the end.
    BodyCutOff,
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unanswered::Reset => "reset on purpose",
            Unanswered::Refused(_) => "refused on purpose",
            Unanswered::BodyCutOff => "the body was cut off",
        })
    }
}

impl Error for Unanswered {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Unanswered::Refused(reason) => Some(reason),
            Unanswered::Reset | Unanswered::BodyCutOff => None,
        }
    }
}

/// One accepted connection.
pub(crate) struct Connection {
    pub(crate) state: Arc<State>,
    pub(crate) number: u64,
    peer: std::net::SocketAddr,
    /// Close with a reset.
    reset: AtomicBool,
    abort: Notify,
}

impl Connection {
    /// Has the connection reset at once.
    pub(crate) fn reset(&self) {
        self.reset.store(true, Ordering::Release);
        self.abort.notify_one();
    }

    /// Has the connection reset at once, instead of an answer.
    fn unanswered(&self) -> Unanswered {
        self.reset();
        Unanswered::Reset
    }

    /// Returns when the connection is to be reset.
    pub(crate) async fn aborted(&self) {
        self.abort.notified().await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.state.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Accepts connections until `stop` fires or its sender is gone.
pub(crate) async fn run(
    listeners: Vec<TcpListener>,
    tls: Option<TlsAcceptor>,
    state: Arc<State>,
    mut stop: oneshot::Receiver<()>,
) {
    let walk = walk(&state);
    let mut walk = std::pin::pin!(walk);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listeners) => accepted,
            never = &mut walk => match never {},
            _ = &mut stop => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let number = state.accepted.fetch_add(1, Ordering::Relaxed) + 1;
                state.open.fetch_add(1, Ordering::Relaxed);
                let connection = Arc::new(Connection {
                    state: Arc::clone(&state),
                    number,
                    peer,
                    reset: AtomicBool::new(false),
                    abort: Notify::new(),
                });
                tokio::spawn(connect(connection, stream, tls.clone()));
            }
            // Out of file descriptors, or a client that left in the queue: later ones may do better.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

/// The next connection at any of the addresses.
async fn accept(listeners: &[TcpListener]) -> io::Result<(TcpStream, std::net::SocketAddr)> {
    poll_fn(|cx| {
        let mut ready = listeners.iter().map(|listener| listener.poll_accept(cx));
        ready.find(Poll::is_ready).unwrap_or(Poll::Pending)
    })
    .await
}

/// Has the prices walk by themselves, if that is asked for.
async fn walk(state: &State) -> Infallible {
    let Some(pause) = state.options.tick_every else {
        return pending().await;
    };
    loop {
        sleep(pause).await;
        state.exchange().step();
    }
}

/// Serves one connection to its end.
async fn connect(connection: Arc<Connection>, stream: TcpStream, tls: Option<TlsAcceptor>) {
    let mut closing = connection.state.close_all.subscribe();
    let work = async {
        // A socket that cannot be told this is already broken; serving it shows that.
        let _ = stream.set_nodelay(true);
        let socket = Socket {
            stream,
            connection: Arc::clone(&connection),
        };
        match tls {
            None => serve_socket(&connection, socket).await,
            Some(acceptor) => match acceptor.accept(socket).await {
                Ok(socket) => serve_socket(&connection, socket).await,
                Err(_) => add_one(&connection.state.failed_handshakes),
            },
        }
    };
    tokio::select! {
        biased;
        () = connection.abort.notified() => {}
        _ = closing.changed() => {}
        () = work => {}
    }
}

fn add_one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

async fn serve_socket<S>(connection: &Arc<Connection>, socket: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        let connection = Arc::clone(connection);
        async move { serve(&connection, request).await }
    });
    let socket = TokioIo::new(socket);
    // A connection that ends badly is the client's doing, or a fault's: nothing to report.
    if connection.state.options.http2 {
        let server = auto::Builder::new(TokioExecutor::new());
        let _ = server.serve_connection_with_upgrades(socket, service).await;
    } else {
        let _ = http1::Builder::new()
            .serve_connection(socket, service)
            .with_upgrades()
            .await;
    }
}

/// Answers one request.
async fn serve(
    connection: &Arc<Connection>,
    mut request: Request<Incoming>,
) -> Result<Response<Payload>, Unanswered> {
    let state = &*connection.state;
    let upgrade = sockets::is_upgrade(request.headers()).then(|| hyper::upgrade::on(&mut request));
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    let query = query::parse(head.uri.query().unwrap_or(""));

    if path.starts_with(control::PREFIX) {
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => return Err(Unanswered::BodyCutOff),
        };
        let answer = control::answer(state, &head.method, path, &query, &body);
        return Ok(response(answer, Delivery::Plain));
    }

    let under_base = path.strip_prefix(&*state.options.base_path);
    let inner_path = under_base.unwrap_or(path);
    let found = state.router.find(&head.method, inner_path);
    let socket = sockets::Socket::at(inner_path).filter(|_| head.method == Method::GET);
    let seq = state.records.add(|seq| Recorded {
        seq,
        method: head.method.to_string(),
        path: path.to_owned(),
        query: query.clone(),
        headers: head.headers.iter().map(readable).collect(),
        body: Vec::new(),
        http_version: version(head.version).to_owned(),
        connection: connection.number,
        client_addr: connection.peer,
        known_route: socket.is_some() || matches!(found, Found::Route(_)),
        answered: None,
    });

    // Counted when it comes, whatever a fault makes of it.
    let quote = match &found {
        Found::Route(route) if rest::is_quote(route) => Some(state.quotes_at_once.comes()),
        _ => None,
    };
    let let_through = match &found {
        Found::Route(route) if rest::is_instruction(route) => state.order_pace.comes(),
        Found::Route(route) if rest::is_other_read(route) => state.read_pace.comes(),
        _ => quote.as_ref().is_none_or(|quote| quote.let_through),
    };
    let fault = state.faults.take(path);
    match fault {
        Some(FaultKind::ResetBefore) => return Err(connection.unanswered()),
        Some(FaultKind::RefuseStream) if head.version == Version::HTTP_2 => {
            return Err(Unanswered::Refused(h2::Reason::REFUSED_STREAM.into()));
        }
        Some(FaultKind::RefuseStream) => return Err(connection.unanswered()),
        _ => {}
    }

    let body = match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            let answer =
                Answer::misdirected(StatusCode::PAYLOAD_TOO_LARGE, "The body is over 4 MiB");
            return Ok(finish(
                connection,
                seq,
                &head.headers,
                answer,
                Delivery::Plain,
            ));
        }
        Err(_) => return Err(Unanswered::BodyCutOff),
    };
    if !body.is_empty() {
        state
            .records
            .update(seq, |entry| entry.body = body.to_vec());
    }

    let mut call = Call {
        state,
        path: inner_path,
        query: &query,
        headers: &head.headers,
        body: &body,
        peer: connection.peer,
        on_base: under_base.is_some(),
        let_through,
        named_base: None,
        named_feed: None,
    };
    let mut delivery = Delivery::Plain;
    match fault {
        None | Some(FaultKind::ResetBefore | FaultKind::RefuseStream) => {}
        Some(FaultKind::Packed(packing)) if socket.is_none() => {
            let mut answer = dispatch(&call, &found);
            pack(&mut answer, &packing);
            return Ok(finish(connection, seq, &head.headers, answer, delivery));
        }
        // A handshake has no body.
        Some(FaultKind::Packed(_)) => {}
        Some(FaultKind::Hang) => {
            let never: Infallible = pending().await;
            match never {}
        }
        Some(FaultKind::ResetAfter) => {
            // Carried out, and its answer lost.
            drop(dispatch(&call, &found));
            return Err(connection.unanswered());
        }
        Some(FaultKind::Answer {
            status,
            headers,
            body,
        }) => {
            let answer = invented(status, &headers, body).unwrap_or_else(unsendable);
            return Ok(finish(
                connection,
                seq,
                &head.headers,
                answer,
                Delivery::Plain,
            ));
        }
        Some(FaultKind::AnswerAfter {
            status,
            headers,
            body,
        }) => {
            drop(dispatch(&call, &found));
            let answer = invented(status, &headers, body).unwrap_or_else(unsendable);
            return Ok(finish(
                connection,
                seq,
                &head.headers,
                answer,
                Delivery::Plain,
            ));
        }
        Some(FaultKind::Redirect(target)) => {
            let headers = [("location".to_owned(), target)];
            let answer = invented(307, &headers, Vec::new()).unwrap_or_else(unsendable);
            return Ok(finish(
                connection,
                seq,
                &head.headers,
                answer,
                Delivery::Plain,
            ));
        }
        Some(FaultKind::BaseUrl(named)) => call.named_base = Some(named),
        Some(FaultKind::FeedUrl(named)) => call.named_feed = Some(named),
        Some(FaultKind::CutJson) => delivery = Delivery::Cut,
        Some(FaultKind::WrongContentLength) => delivery = Delivery::Overpromised,
        Some(FaultKind::Trickle { ms }) => delivery = Delivery::Trickle(Duration::from_millis(ms)),
        Some(FaultKind::Late { ms }) => {
            let request = Owned {
                path: inner_path.to_owned(),
                method: head.method.clone(),
                query: query.clone(),
                headers: head.headers.clone(),
                body: body.clone(),
                peer: connection.peer,
                on_base: under_base.is_some(),
                let_through,
            };
            let pause = Duration::from_millis(ms);
            let late = carry_out_late(Arc::clone(&connection.state), pause, request);
            // A task of its own does not end with the connection.
            return match tokio::spawn(late).await {
                Ok(answer) => Ok(finish(connection, seq, &head.headers, answer, delivery)),
                Err(_) => Err(connection.unanswered()),
            };
        }
        Some(FaultKind::Slow { ms }) => {
            let answer = dispatch(&call, &found);
            sleep(Duration::from_millis(ms)).await;
            return Ok(finish(connection, seq, &head.headers, answer, delivery));
        }
    }
    let answer = match socket {
        Some(socket) => sockets::accept(connection, socket, &head.headers, upgrade),
        None => dispatch(&call, &found),
    };
    Ok(finish(connection, seq, &head.headers, answer, delivery))
}

/// A request as its own task owns it.
struct Owned {
    path: String,
    method: Method,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
    peer: std::net::SocketAddr,
    on_base: bool,
    let_through: bool,
}

/// Carries a request out after a pause.
async fn carry_out_late(state: Arc<State>, pause: Duration, request: Owned) -> Answer {
    sleep(pause).await;
    let call = Call {
        state: &state,
        path: &request.path,
        query: &request.query,
        headers: &request.headers,
        body: &request.body,
        peer: request.peer,
        on_base: request.on_base,
        let_through: request.let_through,
        named_base: None,
        named_feed: None,
    };
    dispatch(&call, &state.router.find(&request.method, &request.path))
}

/// Has the route answer, and sees to the cookie of the login hosts.
fn dispatch(call: &Call<'_>, found: &Found<'_>) -> Answer {
    let route = match found {
        Found::Route(route) => route,
        Found::OtherMethods(methods) => {
            let message = format!("/{} takes {methods}", call.path.trim_start_matches('/'));
            let mut answer = Answer::misdirected(StatusCode::METHOD_NOT_ALLOWED, &message);
            if let Ok(methods) = HeaderValue::try_from(methods) {
                answer.headers.push((header::ALLOW, methods));
            }
            return answer;
        }
        Found::Nothing => {
            let message = format!("The sandbox has no path {}", call.path);
            return Answer::misdirected(StatusCode::NOT_FOUND, &message);
        }
    };
    if !call.let_through && rest::is_other_read(route) {
        return call.state.too_many(Some(&call.state.read_pace));
    }
    let handle = |route: &Route| (route.handler)(call).unwrap_or_else(|refusal| refusal);
    if !route.login_host {
        return handle(route);
    }
    let cookies = &call.state.cookies;
    let (value, mut answer) = match cookies.admit(call.headers) {
        Ok(value) => (value, handle(route)),
        Err(refusal) => (cookies.issue(), refusal),
    };
    answer
        .headers
        .push((header::SET_COOKIE, cookies::set(&value)));
    answer
}

/// Compresses where agreed, notes the status, and makes the response.
fn finish(
    connection: &Connection,
    seq: u64,
    headers: &HeaderMap,
    mut answer: Answer,
    delivery: Delivery,
) -> Response<Payload> {
    if delivery == Delivery::Cut {
        answer.body.truncate(answer.body.len() / 2);
    }
    let packed = |(name, _): &(HeaderName, HeaderValue)| name == header::CONTENT_ENCODING;
    let plain = !answer.body.is_empty() && !answer.headers.iter().any(packed);
    if connection.state.options.gzip && takes_gzip(headers) && plain {
        compress(&mut answer);
    }
    let status = answer.status.as_u16();
    connection
        .state
        .records
        .update(seq, |entry| entry.answered = Some(status));
    response(answer, delivery)
}

/// How an answer is delivered.
#[derive(Clone, Copy, PartialEq)]
enum Delivery {
    Plain,
    /// Half of the body.
    Cut,
    /// With a `Content-Length` that is too large.
    Overpromised,
    /// Byte by byte, with this pause between them.
    Trickle(Duration),
}

fn response(answer: Answer, delivery: Delivery) -> Response<Payload> {
    let length = answer.body.len();
    let payload = Payload {
        rest: answer.body,
        // hyper trusts a known length more than the header, so the lie needs an unknown one.
        sized: delivery != Delivery::Overpromised,
        flushed: false,
        pause: match delivery {
            Delivery::Trickle(pause) => Some((pause, Box::pin(sleep(Duration::ZERO)))),
            _ => None,
        },
    };
    let mut response = Response::new(payload);
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.reserve(answer.headers.len());
    for (name, value) in answer.headers {
        headers.append(name, value);
    }
    if delivery == Delivery::Overpromised {
        headers.insert(
            header::CONTENT_LENGTH,
            HeaderValue::from(length + MISSING_BYTES),
        );
    }
    response
}

/// The answer that a fault dictates.
fn invented(status: u16, headers: &[(String, String)], body: Vec<u8>) -> Result<Answer, String> {
    let status = StatusCode::from_u16(status).map_err(|_| format!("{status} is no HTTP status"))?;
    let mut answer = Answer {
        status,
        headers: Vec::new(),
        body: body.into(),
    };
    for (name, value) in headers {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => answer.headers.push((name, value)),
            _ => return Err(format!("the header {name} is malformed")),
        }
    }
    if !answer
        .headers
        .iter()
        .any(|(name, _)| name == header::CONTENT_TYPE)
    {
        answer.headers.push((
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ));
    }
    Ok(answer)
}

/// Stands in for an answer that [`check_invented`] would have refused.
fn unsendable(message: String) -> Answer {
    Answer::misdirected(StatusCode::INTERNAL_SERVER_ERROR, &message)
}

/// Whether a fault's answer can be sent.
pub(crate) fn check_invented(status: u16, headers: &[(String, String)]) -> Result<(), String> {
    invented(status, headers, Vec::new()).map(drop)
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .any(|value| {
            value.to_str().is_ok_and(|text| {
                text.split(',').any(|coding| {
                    let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
                    name.trim().eq_ignore_ascii_case("gzip") && quality.trim() != "q=0"
                })
            })
        })
}

/// Compresses with an encoder into a vector.
macro_rules! written {
    ($encoder:ident, $body:expr) => {{
        let mut encoder = $encoder::new(Vec::new(), Compression::fast());
        encoder.write_all($body).expect("a vector takes any amount");
        encoder.finish().expect("a vector takes any amount")
    }};
}

/// Packs an answer as a fault wants it.
fn pack(answer: &mut Answer, packing: &Packing) {
    let mut body = answer.body.to_vec();
    if packing.bom {
        body.splice(..0, "\u{feff}".bytes());
    }
    let names = packing.coding.iter().flat_map(|line| line.split(','));
    for name in names {
        body = match name.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => {
                let most = body.len().div_ceil(packing.members.max(1) as usize).max(1);
                let members: Vec<&[u8]> = match body.is_empty() {
                    true => vec![&[]],
                    false => body.chunks(most).collect(),
                };
                let members = members.into_iter();
                members.flat_map(|part| written!(GzEncoder, part)).collect()
            }
            "deflate" if packing.raw => written!(DeflateEncoder, &body),
            "deflate" => written!(ZlibEncoder, &body),
            _ => body,
        };
    }
    answer.body = body.into();
    for line in &packing.coding {
        if let Ok(line) = HeaderValue::try_from(line) {
            answer.headers.push((header::CONTENT_ENCODING, line));
        }
    }
}

fn compress(answer: &mut Answer) {
    answer.body = written!(GzEncoder, &answer.body).into();
    answer
        .headers
        .push((header::CONTENT_ENCODING, HeaderValue::from_static("gzip")));
    answer
        .headers
        .push((header::VARY, HeaderValue::from_static("accept-encoding")));
}

fn readable((name, value): (&HeaderName, &HeaderValue)) -> (String, String) {
    (
        name.as_str().to_owned(),
        String::from_utf8_lossy(value.as_bytes()).into_owned(),
    )
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => "HTTP/1.1",
    }
}

/// The body of an answer.
pub(crate) struct Payload {
    rest: Bytes,
    sized: bool,
    flushed: bool,
    pause: Option<(Duration, Pin<Box<Sleep>>)>,
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            if this.sized || this.flushed {
                return Poll::Ready(None);
            }
            // hyper writes what it has when the body makes it wait. Without that, it would find
            // the length to be wrong first, and close without having sent anything.
            this.flushed = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some((pause, timer)) = &mut this.pause else {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.rest)))));
        };
        std::task::ready!(timer.as_mut().poll(cx));
        let next = tokio::time::Instant::now() + *pause;
        timer.as_mut().reset(next);
        Poll::Ready(Some(Ok(Frame::data(this.rest.split_to(1)))))
    }

    fn is_end_stream(&self) -> bool {
        self.sized && self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        if self.sized {
            SizeHint::with_exact(self.rest.len() as u64)
        } else {
            SizeHint::default()
        }
    }
}

/// The TCP socket below HTTP and TLS, which can end in a reset.
struct Socket {
    stream: TcpStream,
    connection: Arc<Connection>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.connection.reset.load(Ordering::Acquire) {
            // If the socket is gone already, there is nothing left to reset.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.connection.reset.load(Ordering::Acquire) {
            // An orderly end (FIN) must not come before the reset.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
