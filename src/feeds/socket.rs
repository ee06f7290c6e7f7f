//! One WebSocket connection of a feed.
//!
//! It is made as every other connection of the client: same trust roots, CA
//! file, proxy, local address and name lookup. The URL must have passed
//! [`crate::broker::hosts::Hosts`].

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};
use url::Url;

use crate::base::clock::{self, Moment};
use crate::base::connection::Journal;
use crate::base::redact;
use crate::transport::{Settings, Stream, Way};

/// The most that a frame, or a message of several frames, may hold.
const LARGEST_FRAME: usize = 1024 * 1024;
/// What is read at once. Large enough for a burst, small beside the budget.
const READ_AT_ONCE: usize = 64 * 1024;
/// How long the closing of a socket may take.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// After so long with something to read all the time the reader waits for its next turn,
/// which comes at once: until then nobody looks whether the feed was ended, nor at a
/// deadline. What one read gives may be tens of thousands of frames, and each ping among
/// them is answered.
const TURN: Duration = Duration::from_millis(5);

/// The close code for a connection that ended without a close frame.
const NO_CLOSE_FRAME: u16 = 1006;

/// A WebSocket connection.
pub(crate) struct Socket {
    inner: WebSocketStream<TokioIo<Stream>>,
    /// Since when there has been something to read all the time.
    busy: Option<Moment>,
}

/// What the other side sent. Pings are answered and never shown.
#[derive(Debug)]
pub(crate) enum Frame {
    Text(Utf8Bytes),
    Binary(Bytes),
    /// The answer to [`Socket::ping`].
    Pong,
}

/// Why there is no connection, or none any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// The close code; 1006 without a close frame; `None` if the connection
    /// was never made.
    pub(crate) code: Option<u16>,
    /// One sentence, or what the close frame said. No secret is in it.
    pub(crate) reason: String,
    /// The HTTP status with which the other side refused the handshake.
    pub(crate) http_status: Option<u16>,
}

impl Ended {
    pub(crate) fn new(code: Option<u16>, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
            http_status: None,
        }
    }

    /// The other side answered that it does not let us in.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self.http_status, Some(401 | 403))
    }
}

impl Socket {
    /// Connects and shakes hands. Both together take at most twice the time
    /// for a connection.
    pub(crate) async fn open(settings: &Settings, url: &Url) -> Result<Self, Ended> {
        let stream = settings
            .connect(&as_http(url), Way::default(), &Journal::default())
            .await
            .map_err(|failure| Ended::new(None, failure.message))?;
        let mut config = WebSocketConfig::default();
        config.max_frame_size = Some(LARGEST_FRAME);
        config.max_message_size = Some(LARGEST_FRAME);
        config.read_buffer_size = READ_AT_ONCE;
        let shake = tokio_tungstenite::client_async_with_config(
            url.as_str(),
            TokioIo::new(stream),
            Some(config),
        );
        match clock::timeout(settings.connect_time(), shake).await {
            Ok(Ok((inner, _))) => Ok(Self { inner, busy: None }),
            Ok(Err(WsError::Http(answer))) => {
                let status = answer.status().as_u16();
                let message = format!("the server answered the handshake with HTTP {status}");
                let mut ended = Ended::new(None, message);
                ended.http_status = Some(status);
                Err(ended)
            }
            Ok(Err(error)) => Err(Ended::new(None, describe(&error))),
            Err(_) => Err(Ended::new(
                None,
                format!(
                    "no answer to the handshake within {} ms",
                    settings.connect_time().as_millis()
                ),
            )),
        }
    }

    /// Sends one text frame.
    pub(crate) async fn send(&mut self, text: String) -> Result<(), Ended> {
        self.put(Message::text(text)).await
    }

    /// Asks for a pong.
    pub(crate) async fn ping(&mut self) -> Result<(), Ended> {
        self.put(Message::Ping(Bytes::new())).await
    }

    /// The next frame. May be dropped and called again; nothing is lost.
    pub(crate) async fn next(&mut self) -> Result<Frame, Ended> {
        loop {
            match self.message().await {
                Some(Ok(Message::Text(text))) => return Ok(Frame::Text(text)),
                Some(Ok(Message::Binary(bytes))) => return Ok(Frame::Binary(bytes)),
                Some(Ok(Message::Pong(_))) => {
                    return Ok(Frame::Pong);
                }
                // Answered below us.
                Some(Ok(Message::Ping(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(frame))) => return Err(closed_by(frame)),
                Some(Err(error)) => return Err(Ended::new(code_of(&error), describe(&error))),
                None => return Err(Ended::new(Some(NO_CLOSE_FRAME), "the connection ended")),
            }
        }
    }

    async fn message(&mut self) -> Option<Result<Message, WsError>> {
        if self.busy.is_some_and(|since| since.elapsed() >= TURN) {
            tokio::task::yield_now().await;
            self.busy = None;
        }
        let Self { inner, busy } = self;
        poll_fn(|cx| {
            let polled = inner.poll_next_unpin(cx);
            match &polled {
                Poll::Pending => *busy = None,
                Poll::Ready(_) => *busy = busy.or_else(|| Some(clock::now())),
            }
            polled
        })
        .await
    }

    /// Says goodbye and closes. Never takes long.
    pub(crate) async fn close(mut self) {
        let goodbye = self.inner.close(None);
        // The connection goes either way.
        let _in_time = clock::timeout(LAST_WORDS, goodbye).await;
    }

    async fn put(&mut self, message: Message) -> Result<(), Ended> {
        self.inner
            .send(message)
            .await
            .map_err(|error| Ended::new(code_of(&error), describe(&error)))
    }
}

/// A server that takes nothing any more must not hold a feed up.
pub(crate) async fn within(
    limit: Duration,
    work: impl Future<Output = Result<(), Ended>>,
) -> Result<(), Ended> {
    let late = |_| Ended::new(Some(NO_CLOSE_FRAME), "the server takes nothing any more");
    clock::timeout(limit, work).await.map_err(late)?
}

/// The URL as the layers below know it.
fn as_http(url: &Url) -> Url {
    let scheme = if url.scheme() == "ws" {
        "http"
    } else {
        "https"
    };
    let mut http = url.clone();
    // All four are of one kind for the URL standard, so this holds.
    let changed = http.set_scheme(scheme);
    debug_assert!(changed.is_ok());
    http
}

fn closed_by(frame: Option<CloseFrame>) -> Ended {
    match frame {
        Some(frame) if !frame.reason.is_empty() => Ended::new(
            Some(frame.code.into()),
            // The server's words may quote anything.
            redact::secrets(&frame.reason, &[]),
        ),
        Some(frame) => Ended::new(Some(frame.code.into()), "the server closed the connection"),
        // A close frame without a code.
        None => Ended::new(Some(1005), "the server closed the connection"),
    }
}

fn code_of(error: &WsError) -> Option<u16> {
    match error {
        WsError::Capacity(_) => Some(1009),
        WsError::Utf8(_) => Some(1007),
        WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Some(NO_CLOSE_FRAME),
        WsError::Protocol(_) => Some(1002),
        _ => Some(NO_CLOSE_FRAME),
    }
}

fn describe(error: &WsError) -> String {
    match error {
        WsError::Capacity(CapacityError::MessageTooLong { .. }) => {
            format!("the server sent a frame of more than {LARGEST_FRAME} bytes")
        }
        WsError::ConnectionClosed | WsError::AlreadyClosed => "the connection is closed".to_owned(),
        WsError::Io(error) => format!("the connection broke: {error}"),
        WsError::Protocol(error) => format!("the server does not speak WebSocket: {error}"),
        WsError::Utf8(_) => "the server sent a text that is not UTF-8".to_owned(),
        other => format!("the socket failed: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;
    use crate::transport::{EventLoop, Proxy};

    /// Whoever ends the feed, and every deadline, must be looked at meanwhile.
    #[test]
    fn a_server_that_never_pauses_leaves_others_their_turn() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let to = listener.local_addr().expect("it is bound");
        let server = std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("it connects");
            let mut socket = tokio_tungstenite::tungstenite::accept(stream).expect("it asks");
            // A ping is behind the first text: what is not shown takes time too.
            let all = b"\x81\x01a\x89\x00\x81\x01b\x81\x01c";
            let written = socket.get_mut().write_all(all);
            written.expect("it listens");
            socket
        });
        let limit = Duration::from_secs(60);
        let settings = Settings::new(None, &Proxy::None, None, limit).expect("they are good");
        let url = Url::parse(&format!("ws://{to}/")).expect("a URL");
        let test = async {
            let mut socket = Socket::open(&settings, &url).await.expect("it is let in");
            let _server = server.join().expect("no panic");
            let text = |frame: Result<Frame, Ended>| match frame {
                Ok(Frame::Text(text)) => text.as_str().to_owned(),
                other => panic!("{other:?}"),
            };
            assert_eq!(text(socket.next().await), "a");
            let _later = clock::shifted(10, 10);
            let mut next = Box::pin(socket.next());
            let first = poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await;
            assert!(first.is_pending(), "{first:?}");
            assert_eq!(text(next.await), "b");
            assert_eq!(text(socket.next().await), "c");
        };
        let event_loop = EventLoop::new().expect("a loop can be had");
        event_loop.drive(test).expect("it is alive");
    }
}
