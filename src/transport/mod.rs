//! How bytes get to the broker and back: over [`Net`] for reads and logins,
//! through the [`door`] for order instructions, on a [`Stream`] for feeds.
//!
//! Here is what all connections of one client have in common.

mod body;
pub(crate) mod brake;
mod cookies;
mod dial;
pub(crate) mod door;
mod event_loop;
mod failure;
pub mod names;
mod net;
pub(crate) mod pacing;
mod proxy;
mod recall;
mod stream;
mod tls;
mod tunnel;
mod unpack;

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use once_cell::sync::OnceCell;
use url::Url;

use crate::base::clock::{self, Moment};
use crate::base::error::Error;
use crate::base::secret::Secret;
use crate::base::status::Status;
use crate::broker::message::Failure;
pub(crate) use body::Point;
pub(crate) use cookies::Cookies;
pub(crate) use event_loop::{EventLoop, beside};
pub(crate) use net::{Fetched, Net};
use proxy::Proxies;
pub(crate) use proxy::Proxy;
pub(crate) use stream::{Stream, Way};
use tls::Tls;

/// What we call ourselves.
const OUR_NAME: &str = concat!("kotak_neo/", env!("CARGO_PKG_VERSION"));

/// What all connections of one client have in common.
pub(crate) struct Settings {
    wanted: tls::Wanted,
    /// Made at the first connection.
    tls: OnceCell<Arc<Tls>>,
    proxies: Proxies,
    local_address: Option<IpAddr>,
    connect: Duration,
}

impl Settings {
    /// Reads the CA file, so that a wrong one is told when the client opens.
    /// `connect` is how long a connection may take.
    pub(crate) fn new(
        ca_file: Option<&Path>,
        proxy: &Proxy,
        local_address: Option<IpAddr>,
        connect: Duration,
    ) -> Result<Self, Error> {
        Ok(Self {
            wanted: tls::Wanted::read(ca_file)?,
            tls: OnceCell::new(),
            proxies: Proxies::new(proxy)?,
            local_address,
            connect,
        })
    }

    /// What opens the proxy of `url`, where one has a login.
    pub(crate) fn proxy_secrets(&self, url: &Url) -> Vec<Secret> {
        self.proxies.secrets(url)
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

/// Work that has no need to wait, cut into steps: between two of them the call looks at
/// its deadline and at those who end it, and other calls of the client get their turn.
pub(crate) struct Steps(Moment);

impl Steps {
    /// How long a step may take.
    const LONGEST: Duration = Duration::from_millis(5);

    pub(crate) fn new() -> Self {
        Self(clock::now())
    }

    /// Lets others have their turn, if it is time to.
    pub(crate) async fn next(&mut self) {
        if self.0.elapsed() >= Self::LONGEST {
            tokio::task::yield_now().await;
            self.0 = clock::now();
        }
    }
}

/// Host and port of `url`, for messages.
fn host_of(url: &Url) -> String {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => String::new(),
    }
}
