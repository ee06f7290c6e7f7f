//! A connection to a host, TLS and proxy included, on which HTTP/1.1 is
//! spoken: order instructions and WebSockets.

use std::error::Error as StdError;
use std::sync::Arc;

use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use tower_service::Service;
use url::Url;

use super::names::Names;
use super::recall::{Connector, Held};
use super::{Settings, failure, host_of};
use crate::base::clock;
use crate::broker::message::Failure;

/// Bytes to and from a host.
pub(crate) type Stream = MaybeHttpsStream<Held>;

impl Settings {
    /// Connects to the host of `url` within the time for a connection. Sends
    /// nothing of a request.
    pub(crate) async fn connect(&self, url: &Url) -> Result<Stream, Failure> {
        let host = host_of(url);
        match clock::timeout(self.connect, self.open(url)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(failure::no_connection(&host, &*error)),
            Err(clock::Elapsed) => Err(failure::no_connection_within(self.connect, &host)),
        }
    }

    /// How long a connection may take.
    pub(crate) fn connect_time(&self) -> std::time::Duration {
        self.connect
    }

    async fn open(&self, url: &Url) -> Result<Stream, Box<dyn StdError + Send + Sync>> {
        let tls = self.tls().map_err(|failure| failure.message)?;
        let mut http = HttpConnector::new_with_resolver(Names);
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_local_address(self.local_address);
        let held = Connector(http);
        let uri: Uri = url.as_str().parse()?;
        let config = Arc::clone(&tls.http1);
        match self.proxies.find(url) {
            None => HttpsConnector::from((held, config)).call(uri).await,
            Some(found) => {
                let mut tunnel = Tunnel::new(found.proxy, held);
                if let Some(credentials) = found.credentials {
                    tunnel = tunnel.with_auth(credentials);
                }
                HttpsConnector::from((tunnel, config)).call(uri).await
            }
        }
    }
}
