//! A connection to a host, TLS and proxy included: for reads, order instructions and
//! WebSockets alike.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use rustls::ClientConfig;
use tower_service::Service;
use url::Url;

use super::names::Names;
use super::recall::{Connector, Held};
use super::{Settings, failure, host_of};
use crate::base::clock;
use crate::base::status::Status;
use crate::broker::message::Failure;

/// Bytes to and from a host.
pub(crate) type Stream = MaybeHttpsStream<Held>;

impl Settings {
    /// Connects to the host of `url`, for HTTP/1.1, within the time for a connection.
    /// Sends nothing of a request.
    pub(crate) async fn connect(&self, url: &Url) -> Result<Stream, Failure> {
        let config = Arc::clone(&self.tls()?.http1);
        self.connect_with(url, config).await
    }

    /// How long a connection may take.
    pub(crate) fn connect_time(&self) -> std::time::Duration {
        self.connect
    }

    async fn connect_with(&self, url: &Url, tls: Arc<ClientConfig>) -> Result<Stream, Failure> {
        let host = host_of(url);
        // In a box: whoever connects needs little stack for it.
        let opened = Box::pin(self.open(url, tls));
        match clock::timeout(self.connect, opened).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(failure::no_connection(&host, &*error)),
            Err(clock::Elapsed) => Err(failure::no_connection_within(self.connect, &host)),
        }
    }

    async fn open(
        &self,
        url: &Url,
        tls: Arc<ClientConfig>,
    ) -> Result<Stream, Box<dyn StdError + Send + Sync>> {
        let mut http = HttpConnector::new_with_resolver(Names);
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_local_address(self.local_address);
        let held = Connector(http);
        let uri: Uri = url.as_str().parse()?;
        match self.proxies.find(url) {
            None => HttpsConnector::from((held, tls)).call(uri).await,
            Some(found) => {
                let mut tunnel = Tunnel::new(found.proxy, held);
                if let Some(credentials) = found.credentials {
                    tunnel = tunnel.with_auth(credentials);
                }
                HttpsConnector::from((tunnel, tls)).call(uri).await
            }
        }
    }
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
        Box::pin(async move {
            let connected = async {
                let url = Url::parse(&to.to_string()).map_err(|error| Failure {
                    status: Status::Internal,
                    message: format!("a request has no valid URL: {error}"),
                    sent: false,
                })?;
                let config = Arc::clone(&settings.tls()?.any_http);
                settings.connect_with(&url, config).await
            };
            connected.await.map_err(NoConnection)
        })
    }
}
