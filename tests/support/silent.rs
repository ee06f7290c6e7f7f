//! An address of this machine that is silent: it drops what knocks, as a dead path does.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};

/// Listens, and takes nobody any more: its queue is full. Linux drops what comes then.
pub struct Silent {
    address: SocketAddr,
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl Silent {
    /// At a port of `ip`; 0 takes a free one. `None` where no address can be made silent, and
    /// then says so: `name` is that of the test.
    pub fn at(name: &str, ip: IpAddr, port: u16) -> Option<Self> {
        let made = Self::make(ip, port);
        if let Err(why) = &made {
            crate::needs::skip(name, why);
        }
        made.ok()
    }

    #[cfg(target_os = "linux")]
    fn make(ip: IpAddr, port: u16) -> Result<Self, String> {
        let told = |error: std::io::Error| format!("{ip} cannot be listened at: {error}");
        let listener = TcpListener::bind((ip, port)).map_err(told)?;
        /// Over loopback a connection that is taken is there at once.
        const WAIT: std::time::Duration = std::time::Duration::from_millis(200);
        // Room for one.
        rustix::net::listen(&listener, 0).map_err(|error| told(error.into()))?;
        let address = listener.local_addr().map_err(told)?;
        let mut queue = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, WAIT) {
            queue.push(stream);
            if queue.len() > 16 {
                return Err("this system's queues have no end".to_owned());
            }
        }
        Ok(Self {
            address,
            _listener: listener,
            _queue: queue,
        })
    }

    #[cfg(not(target_os = "linux"))]
    fn make(_: IpAddr, _: u16) -> Result<Self, String> {
        Err("only Linux drops what knocks at a full queue".to_owned())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
