//! Name lookup by the system, except for `localhost`.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec;

use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

use crate::base::loopback::is_localhost;
use crate::base::process;

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
    // the call has given up, and is counted until it is done, run or not.
    let counted = process::shared().threads.count();
    let looking = tokio::task::spawn_blocking(move || {
        let _counted = counted;
        (name.as_str(), 0).to_socket_addrs().map(Vec::from_iter)
    });
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
