//! The two WebSockets: `market` is the price feed, `orders` the order feed, `packets` the bytes.
//!
//! A socket is a task on the sandbox's thread. It looks at the books when they have changed
//! (or, with a rate, by the clock), and behaves as [`Feed`] and [`OrderFeed`] say.

mod market;
mod orders;
mod packets;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, pending};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};

use crate::route::Answer;
use crate::server::Connection;
use crate::state::State;

/// One of the two sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Socket {
    /// `/apifeed`: prices.
    Feed,
    /// `/realtime`: orders and positions.
    OrderFeed,
}

impl Socket {
    /// The socket behind a path, as the logins and the config service name it.
    pub(crate) fn at(path: &str) -> Option<Self> {
        match path {
            "/apifeed" | "/ufeed" => Some(Socket::Feed),
            "/realtime" | "/uinteractive" => Some(Socket::OrderFeed),
            _ => None,
        }
    }
}

/// What a socket does with those who log in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginManner {
    /// Right ones are taken, wrong ones refused; the price feed closes after a refusal.
    #[default]
    Check,
    /// Everybody is refused, and the socket stays open.
    RefuseOpen,
    /// Everybody is refused, and the socket is closed.
    RefuseClose,
    /// Nobody is answered or served.
    Ignore,
    /// Price feed: 1119 comes before the 1117. Order feed: as `Check`.
    Initial,
    /// Price feed: 1119, and the service without a 1117. Order feed: right ones are served
    /// without an answer.
    InitialOnly,
    /// Price feed: 1119, then 1120 and a close. Order feed: as `RefuseClose`.
    InitialThenRefuse,
    /// Price feed: the format is `native_fallback`. Order feed: as `Check`.
    Fallback,
}

/// What a socket keeps quiet about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Silence {
    /// Nothing.
    #[default]
    None,
    /// Everything but pings: those are answered.
    Mute,
    /// Everything: nothing is read, no ping is answered, and the socket stays open.
    Hang,
}

/// When the price feed sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedRate {
    /// Whenever a price has moved.
    #[default]
    Steps,
    /// So many packets a second on each socket, the subscribed instruments in turn. Each takes a
    /// step of its walk just before. 1 to 1,000,000.
    PerSecond(u32),
    /// As fast as the socket takes them, the subscribed instruments in turn. They take a step of
    /// their walk ten times a second at most, so that writing packets holds up nobody.
    Flood,
}

/// The shape of the acknowledgement of a subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Acks {
    /// As the official SDK reads it.
    #[default]
    Sdk,
    /// As the broker documents it.
    BrokerDoc,
    /// None at all.
    None,
}

/// How the price feed behaves. A change strikes open sockets too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feed {
    /// What happens at a login.
    pub login: LoginManner,
    /// What is not answered.
    pub silence: Silence,
    /// When packets are sent.
    pub rate: FeedRate,
    /// At most so many packets a frame, 1 to 300.
    pub batch: u16,
    /// The shape of acknowledgements.
    pub acks: Acks,
    /// The pause before each message that is read, in milliseconds: a slow reader.
    pub read_pause_ms: u64,
    /// Touch lines and depths tell when they were sent, in Unix nanoseconds, in the place of the
    /// volume of the day. The clock is that of this machine.
    pub stamp: bool,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            login: LoginManner::Check,
            silence: Silence::None,
            rate: FeedRate::Steps,
            batch: 16,
            acks: Acks::Sdk,
            read_pause_ms: 0,
            stamp: false,
        }
    }
}

impl Feed {
    pub(crate) fn check(&self) -> Result<(), String> {
        if !(1..=300).contains(&self.batch) {
            return Err("batch must be 1 to 300".to_owned());
        }
        if matches!(self.rate, FeedRate::PerSecond(n) if !(1..=1_000_000).contains(&n)) {
            return Err("per_second must be 1 to 1,000,000".to_owned());
        }
        Ok(())
    }
}

/// Which first text the order feed understands; the sources contradict each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Handshake {
    /// Both.
    #[default]
    Both,
    /// `{type:cn,...}` only; JSON gets "invalid request format".
    Raw,
    /// JSON only; the raw form gets "invalid request format".
    Json,
}

/// The form in which the order feed refuses a login.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// `"type":"cn"`, `Authentication Failed`.
    #[default]
    Login,
    /// `"type":"failed to connect"`, as was seen live.
    Connection,
    /// `"type":"failed to process request"`, `invalid request format`.
    Format,
}

/// How the order feed behaves. A change strikes open sockets too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderFeed {
    /// What happens at a login.
    pub login: LoginManner,
    /// What is not answered.
    pub silence: Silence,
    /// Which first text is understood.
    pub handshake: Handshake,
    /// In which form a login is refused.
    pub refusal: Refusal,
    /// Each so-manieth message comes twice; 0 is never.
    pub duplicate_every: u32,
    /// Each so-manieth message comes after its follower; 0 is never.
    pub swap_every: u32,
    /// Each so-manieth message is lost; 0 is never.
    pub lose_every: u32,
    /// The pause before each message that is read, in milliseconds: a slow reader.
    pub read_pause_ms: u64,
}

/// What is done once to every open socket. What happened before it is sent before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Strike {
    /// Closed with this code and reason.
    Close {
        /// 1000 to 4999, but for those that never stand in a frame, such as 1006.
        code: u16,
        /// At most 123 bytes.
        reason: String,
    },
    /// The connection ends without a close frame.
    Drop,
    /// The connection is reset.
    Reset,
    /// Half a WebSocket frame, then the end of the connection.
    CutFrame,
    /// A whole frame with what is no packet and no JSON.
    Garbage,
    /// A frame whose message ends too early: the last packet is cut, or the JSON is.
    CutMessage,
    /// A frame whose packets name wrong lengths. On the order feed an empty text.
    WrongLength,
    /// This text, as it is.
    Text(String),
    /// These bytes, as they are; over the control endpoint in base64.
    Binary(#[serde(with = "base64_text")] Vec<u8>),
}

impl Strike {
    pub(crate) fn check(&self) -> Result<(), String> {
        let Strike::Close { code, reason } = self else {
            return Ok(());
        };
        // Some of the standard's own codes never stand in a frame.
        if !CloseCode::from(*code).is_allowed() {
            return Err(format!("code {code} cannot be sent"));
        }
        if reason.len() > 123 {
            return Err("reason must have at most 123 bytes".to_owned());
        }
        Ok(())
    }
}

/// Bytes as a text in JSON.
mod base64_text {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map_err(D::Error::custom)
    }
}

/// A text that a client has sent over a socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SocketMessage {
    /// Which socket.
    pub socket: Socket,
    /// The number of the connection, as in the record of requests.
    pub connection: u64,
    /// The text.
    pub text: String,
}

/// What all sockets of one sandbox share.
pub(crate) struct Sockets {
    pub(crate) feed: watch::Sender<Feed>,
    pub(crate) order_feed: watch::Sender<OrderFeed>,
    strikes: broadcast::Sender<(Socket, Strike)>,
    heard: Mutex<VecDeque<SocketMessage>>,
    most_heard: usize,
    live: [AtomicU64; 2],
}

impl Sockets {
    pub(crate) fn new(most_heard: usize) -> Self {
        Self {
            feed: watch::Sender::new(Feed::default()),
            order_feed: watch::Sender::new(OrderFeed::default()),
            strikes: broadcast::Sender::new(1024),
            heard: Mutex::default(),
            most_heard,
            live: [AtomicU64::new(0), AtomicU64::new(0)],
        }
    }

    pub(crate) fn strike(&self, socket: Socket, strike: Strike) {
        // Without an open socket there is nobody to strike.
        let _ = self.strikes.send((socket, strike));
    }

    /// How many sockets are logged in.
    pub(crate) fn live(&self, socket: Socket) -> u64 {
        self.live[socket as usize].load(Ordering::Relaxed)
    }

    fn heard(&self) -> MutexGuard<'_, VecDeque<SocketMessage>> {
        // Every change is complete in itself, so a panic elsewhere leaves the list sound.
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, socket: Socket, connection: u64, text: &str) {
        let mut heard = self.heard();
        if self.most_heard == 0 {
            return;
        }
        if heard.len() == self.most_heard {
            heard.pop_front();
        }
        heard.push_back(SocketMessage {
            socket,
            connection,
            text: text.to_owned(),
        });
    }

    pub(crate) fn messages(&self) -> Vec<SocketMessage> {
        self.heard().iter().cloned().collect()
    }

    pub(crate) fn forget_messages(&self) {
        self.heard().clear();
    }
}

/// Whether a request asks for a WebSocket.
pub(crate) fn is_upgrade(headers: &HeaderMap) -> bool {
    let named = headers.get(header::UPGRADE).and_then(|v| v.to_str().ok());
    named.is_some_and(|name| name.eq_ignore_ascii_case("websocket"))
}

/// Answers the request for a WebSocket, and serves it from then on.
pub(crate) fn accept(
    connection: &Arc<Connection>,
    socket: Socket,
    headers: &HeaderMap,
    upgrade: Option<OnUpgrade>,
) -> Answer {
    let key = headers.get(header::SEC_WEBSOCKET_KEY);
    let version = headers.get(header::SEC_WEBSOCKET_VERSION);
    let (Some(upgrade), Some(key), Some(b"13")) =
        (upgrade, key, version.map(HeaderValue::as_bytes))
    else {
        return Answer::misdirected(StatusCode::UPGRADE_REQUIRED, "This is a WebSocket");
    };
    let Ok(accepted) = HeaderValue::try_from(derive_accept_key(key.as_bytes())) else {
        return Answer::misdirected(StatusCode::BAD_REQUEST, "The key makes no sense");
    };
    tokio::spawn(serve(Arc::clone(connection), socket, upgrade));
    Answer {
        status: StatusCode::SWITCHING_PROTOCOLS,
        headers: vec![
            (header::CONNECTION, HeaderValue::from_static("Upgrade")),
            (header::UPGRADE, HeaderValue::from_static("websocket")),
            (header::SEC_WEBSOCKET_ACCEPT, accepted),
        ],
        body: bytes::Bytes::new(),
    }
}

/// Serves a socket to its end.
async fn serve(connection: Arc<Connection>, socket: Socket, upgrade: OnUpgrade) {
    let mut closing = connection.state.close_all.subscribe();
    let work = async {
        // A client that leaves before the upgrade is done has no socket.
        let Ok(upgraded) = upgrade.await else { return };
        let config = WebSocketConfig::default().max_message_size(Some(1 << 20));
        let stream = TokioIo::new(upgraded);
        let stream = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
        let state = &connection.state;
        // However it ends, the client sees it, and nobody here can mend it.
        let _ = match socket {
            Socket::Feed => run(&connection, market::Plane::new(state), stream).await,
            Socket::OrderFeed => run(&connection, orders::Plane::new(state), stream).await,
        };
    };
    tokio::select! {
        biased;
        () = connection.aborted() => {}
        _ = closing.changed() => {}
        () = work => {}
    }
}

/// What a socket says after something that it was sent.
enum Reply {
    /// These, in order.
    Say(Vec<String>),
    /// These, and then the end, with this code and reason.
    Leave(Vec<String>, u16, &'static str),
}

/// What is different between the two sockets.
trait Plane: Send {
    const SOCKET: Socket;

    /// The manners of now: what it is silent about, and how long it takes to read.
    fn manners(&self) -> (Silence, Duration);
    /// Whether it is logged in.
    fn is_live(&self) -> bool;
    /// Takes a text.
    fn text(&mut self, text: &str) -> Reply;
    /// Returns `false` when the manners have changed and, if it is `sending`, `true` when there
    /// may be something to send. May be given up at any time.
    fn wait(&mut self, sending: bool) -> impl Future<Output = bool> + Send;
    /// What is to be sent now.
    fn collect(&mut self) -> Vec<Message>;
    /// A message that ends too early.
    fn cut(&mut self) -> Message;
    /// A message with wrong lengths.
    fn wrong_length(&mut self) -> Message;
}

/// Counts a socket while it is logged in.
struct Live<'a>(&'a AtomicU64);

impl<'a> Live<'a> {
    fn new(counter: &'a AtomicU64) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn run<P: Plane, S: AsyncRead + AsyncWrite + Unpin>(
    connection: &Connection,
    mut plane: P,
    mut stream: WebSocketStream<S>,
) -> Result<(), tungstenite::Error> {
    let sockets = &connection.state.sockets;
    let mut strikes = sockets.strikes.subscribe();
    let mut live = None;
    let mut read_at = Instant::now();
    loop {
        let (silence, _) = plane.manners();
        if plane.is_live() && live.is_none() {
            live = Some(Live::new(&sockets.live[P::SOCKET as usize]));
        }
        let sending = plane.is_live() && silence == Silence::None;
        tokio::select! {
            struck = strikes.recv() => match struck {
                Ok((socket, strike)) if socket == P::SOCKET => {
                    // The manners may have changed while this waited, here and below.
                    if plane.is_live() && plane.manners().0 == Silence::None {
                        send_due(&mut plane, &mut stream).await?;
                    }
                    if !carry_out(connection, &mut plane, &mut stream, strike).await? {
                        return Ok(());
                    }
                }
                // Another socket's; or so many that some were missed, which their sender saw.
                _ => {}
            },
            // Keeps a pause that began, however often the books change meanwhile.
            message = async {
                sleep_until(read_at).await;
                stream.next().await
            }, if silence != Silence::Hang => {
                let (silence, pause) = plane.manners();
                read_at = Instant::now() + pause;
                let Some(message) = message.transpose()? else { return Ok(()) };
                let Message::Text(text) = message else { continue };
                sockets.hear(P::SOCKET, connection.number, text.as_str());
                if silence != Silence::None {
                    continue;
                }
                match plane.text(text.as_str()) {
                    Reply::Say(texts) => say(&mut stream, texts).await?,
                    Reply::Leave(texts, code, reason) => {
                        say(&mut stream, texts).await?;
                        return close(&mut stream, code, reason).await;
                    }
                }
            }
            due = plane.wait(sending) => if due {
                send_due(&mut plane, &mut stream).await?;
            }
        }
    }
}

async fn send_due<P: Plane, S: AsyncRead + AsyncWrite + Unpin>(
    plane: &mut P,
    stream: &mut WebSocketStream<S>,
) -> Result<(), tungstenite::Error> {
    for message in plane.collect() {
        stream.feed(message).await?;
    }
    stream.flush().await
}

async fn say<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut WebSocketStream<S>,
    texts: Vec<String>,
) -> Result<(), tungstenite::Error> {
    for text in texts {
        stream.send(Message::text(text)).await?;
    }
    Ok(())
}

async fn close<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut WebSocketStream<S>,
    code: u16,
    reason: &str,
) -> Result<(), tungstenite::Error> {
    let frame = CloseFrame {
        code: CloseCode::from(code),
        reason: Utf8Bytes::from(reason),
    };
    stream.close(Some(frame)).await?;
    // The client answers with a close of its own, or leaves.
    let end = Instant::now() + Duration::from_secs(1);
    while let Ok(Some(Ok(_))) = tokio::time::timeout_at(end, stream.next()).await {}
    Ok(())
}

/// Carries out what strikes this socket; says whether it lives on.
async fn carry_out<P: Plane, S: AsyncRead + AsyncWrite + Unpin>(
    connection: &Connection,
    plane: &mut P,
    stream: &mut WebSocketStream<S>,
    strike: Strike,
) -> Result<bool, tungstenite::Error> {
    match strike {
        Strike::Close { code, reason } => {
            close(stream, code, &reason).await?;
            return Ok(false);
        }
        Strike::Drop => return Ok(false),
        Strike::Reset => {
            connection.reset();
            let never: Infallible = pending().await;
            match never {}
        }
        Strike::CutFrame => {
            stream.flush().await?;
            // A binary frame of 1,000 bytes is promised; ten come.
            let mut bytes = vec![0x82, 126, 0x03, 0xe8];
            bytes.extend([0; 10]);
            let raw = stream.get_mut();
            let sent: io::Result<()> = async {
                raw.write_all(&bytes).await?;
                raw.flush().await
            }
            .await;
            sent.map_err(tungstenite::Error::Io)?;
            return Ok(false);
        }
        Strike::Garbage => {
            let bytes: Vec<u8> = crate::random::bytes::<97>().to_vec();
            stream.send(Message::binary(bytes)).await?;
        }
        Strike::CutMessage => stream.send(plane.cut()).await?,
        Strike::WrongLength => stream.send(plane.wrong_length()).await?,
        Strike::Text(text) => stream.send(Message::text(text)).await?,
        Strike::Binary(bytes) => stream.send(Message::binary(bytes)).await?,
    }
    Ok(true)
}

/// Lets a plane wait for the books.
async fn books_changed(changes: &mut watch::Receiver<u64>) {
    if changes.changed().await.is_err() {
        // The sandbox is being dropped, and this task with it.
        pending::<()>().await;
    }
}

/// Marks every socket of a sandbox whose sessions have ended.
pub(crate) fn expired(state: &State) {
    for socket in [Socket::Feed, Socket::OrderFeed] {
        let strike = Strike::Close {
            code: 1008,
            reason: "session expired".to_owned(),
        };
        state.sockets.strike(socket, strike);
    }
}
