//! A connection to a host, TLS and proxy included: for reads, order instructions and
//! WebSockets alike.

use std::error::Error as StdError;
use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use rustls::ClientConfig;
use tower_service::Service;
use url::Url;

use super::dial::{self, Wish};
use super::recall::Held;
use super::{Settings, failure, host_of, tunnel};
use crate::base::clock::{self, Moment};
use crate::base::connection::{Family, Journal};
use crate::base::status::Status;
use crate::broker::message::Failure;

/// Bytes to and from a host.
pub(crate) type Stream = MaybeHttpsStream<Held>;

/// The family that a connection prefers, and the deadline of its call. Reads and feeds have
/// neither: what is first is good enough, and who waits gives up by himself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Way {
    pub(crate) family: Option<Family>,
    pub(crate) deadline: Option<Moment>,
}

impl Settings {
    /// Connects to the host of `url`, for HTTP/1.1, within the time for a connection.
    /// Sends nothing of a request.
    pub(crate) async fn connect(
        &self,
        url: &Url,
        way: Way,
        journal: &Journal,
    ) -> Result<Stream, Failure> {
        let config = Arc::clone(&self.tls()?.http1);
        self.connect_with(url, config, way, journal).await
    }

    /// How long a connection may take.
    pub(crate) fn connect_time(&self) -> std::time::Duration {
        self.connect
    }

    async fn connect_with(
        &self,
        url: &Url,
        tls: Arc<ClientConfig>,
        way: Way,
        journal: &Journal,
    ) -> Result<Stream, Failure> {
        journal.lock().begun = true;
        let host = host_of(url);
        let end = clock::now() + self.connect;
        let wish = Wish {
            local: self.local_address,
            prefer: way.family,
            end: way.deadline.map_or(end, |deadline| end.min(deadline)),
        };
        // In a box: whoever connects needs little stack for it.
        let opened = Box::pin(self.open(url, tls, wish, journal));
        let ended = clock::timeout(self.connect, opened).await;
        let mut facts = journal.lock();
        // It waits for nothing any more.
        let waits = std::mem::take(&mut facts.waits);
        match ended {
            Ok(Ok(stream)) => {
                facts.opened_at = Some(clock::now());
                Ok(stream)
            }
            Ok(Err(failure)) => Err(failure),
            Err(clock::Elapsed) => Err(failure::no_connection_within(self.connect, &host, &waits)),
        }
    }

    async fn open(
        &self,
        url: &Url,
        tls: Arc<ClientConfig>,
        mut wish: Wish,
        journal: &Journal,
    ) -> Result<Stream, Failure> {
        let host = host_of(url);
        let failed = |why: String| failure::no_connection_because(&host, &why);
        let odd = || failed("its URL has no host and no port".to_owned());
        let name = url.host_str().ok_or_else(odd)?;
        let port = url.port_or_known_default().ok_or_else(odd)?;
        let tcp = match self.proxies.find(url) {
            None => dial::reach("", (name, port), &wish, journal)
                .await
                .map_err(failed)?,
            Some(found) => {
                let proxy = found.shown();
                journal.lock().proxy = Some(proxy.clone());
                // The broker sees the proxy's address.
                wish.prefer = None;
                let whose = format!("the proxy {proxy}: ");
                let tcp = dial::reach(&whose, found.address(), &wish, journal).await;
                let tcp = tcp.map_err(failed)?;
                let began = clock::now();
                journal.lock().waits = format!("the proxy {proxy} does not answer CONNECT");
                let to = format!("{name}:{port}");
                let login = found.credentials.as_ref();
                let opened = tunnel::open(&tcp, &proxy, &to, login).await;
                opened.map_err(failed)?;
                journal.lock().tunnel = Some(began.elapsed());
                tcp
            }
        };
        let uri: Uri = url.as_str().parse().map_err(|error| {
            let why = format!("its URL is none for HTTP: {error}");
            failed(why)
        })?;
        let is_tls = url.scheme() == "https";
        let began = clock::now();
        if is_tls {
            let mut facts = journal.lock();
            let who = match (&facts.proxy, facts.peer) {
                (None, Some(peer)) => peer.to_string(),
                _ => "the other end of the tunnel".to_owned(),
            };
            facts.waits = format!("{who} does not finish TLS");
        }
        let held = Open(Some(Held::new(tcp, journal.clone())));
        let opened = HttpsConnector::from((held, tls)).call(uri).await;
        let stream = opened.map_err(|error| failure::no_connection(&host, &*error))?;
        if is_tls {
            journal.lock().tls = Some(began.elapsed());
        }
        Ok(stream)
    }
}

/// Gives the stream that is open already to what puts TLS around it.
struct Open(Option<Held>);

impl Service<Uri> for Open {
    type Response = Held;
    type Error = io::Error;
    type Future = Ready<io::Result<Held>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let held = self.0.take();
        ready(held.ok_or_else(|| io::Error::other("a connection was asked for twice")))
    }
}

tokio::task_local! {
    /// Of the request that is being made: the pool opens its connection while it is polled,
    /// and hands nothing on of the request but where it goes.
    static OPENING: Journal;
}

/// Makes a request of a pool; a connection that is opened for it writes `journal`.
pub(super) fn opening<F: Future>(journal: Journal, request: F) -> impl Future<Output = F::Output> {
    OPENING.scope(journal, request)
}

/// Opens the connections of a pool, for HTTP/2 or HTTP/1.1.
#[derive(Clone)]
pub(super) struct Opener(pub(super) Arc<Settings>);

/// There is no connection, in the shape that the pool hands up.
#[derive(Debug)]
pub(super) struct NoConnection(pub(super) Failure);

impl std::fmt::Display for NoConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl StdError for NoConnection {}

impl Service<Uri> for Opener {
    type Response = Stream;
    type Error = NoConnection;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, NoConnection>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NoConnection>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let settings = Arc::clone(&self.0);
        let journal = OPENING.try_with(Journal::clone).unwrap_or_default();
        Box::pin(async move {
            let connected = async {
                let url = Url::parse(&to.to_string()).map_err(|error| Failure {
                    status: Status::Internal,
                    message: format!("a request has no valid URL: {error}"),
                    sent: false,
                })?;
                let config = Arc::clone(&settings.tls()?.any_http);
                let way = Way::default();
                settings.connect_with(&url, config, way, &journal).await
            };
            connected.await.map_err(NoConnection)
        })
    }
}
