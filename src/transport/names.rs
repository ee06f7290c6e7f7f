//! Name lookup by the system, except for `localhost`.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec;

use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

use super::event_loop::beside;
use crate::base::loopback::is_localhost;

/// Looks names up.
///
/// `localhost` is always this machine, as RFC 6761 asks: plain http is
/// allowed to it, so no name server may have a say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names;

async fn lookup(name: String) -> io::Result<Vec<SocketAddr>> {
    if is_localhost(&name) {
        let both = [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ];
        return Ok(both.map(|ip| SocketAddr::new(ip, 0)).to_vec());
    }
    // The system's lookup cannot be cancelled: the thread stays with it after
    // the call has given up.
    let looking = beside("kneo-lookup", move || {
        (name.as_str(), 0).to_socket_addrs().map(Vec::from_iter)
    });
    let looking = looking.map_err(|error| {
        let message = format!("no thread for the name lookup: {error}");
        io::Error::new(error.kind(), message)
    })?;
    looking.await.map_err(io::Error::other)?
}

impl Service<Name> for Names {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let name = name.as_str().to_owned();
        Box::pin(async move { Ok(lookup(name).await?.into_iter()) })
    }
}
