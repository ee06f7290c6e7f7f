//! The broker as both sides see it: the sandbox under the broker's own names.
//!
//! The library is led there by an HTTP proxy on loopback that knows the
//! broker's hosts and no others; the SDK by its constructor argument
//! `transport`. So both use the addresses that they use in earnest, and the
//! `Host` header that the sandbox records tells which.

use std::io::{BufRead, BufReader, Read, Write, copy};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use kotak_neo_sandbox::{Fault, FaultKind, Options, Recorded, Sandbox, TlsMode};

/// A sandbox with the proxy that leads to it.
pub struct Broker {
    pub sandbox: Sandbox,
    proxy: SocketAddr,
}

impl Broker {
    pub fn start() -> Self {
        let options = Options {
            tls: TlsMode::Valid,
            // Two clients ask in quick turns.
            quotes_per_second: 0,
            candles_per_second: 0,
            ..Options::default()
        };
        let sandbox = Sandbox::start(options).expect("the sandbox starts");
        let port = sandbox
            .url()
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok());
        let target = SocketAddr::from(([127, 0, 0, 1], port.expect("the sandbox has a port")));
        Self {
            sandbox,
            proxy: start_proxy(target),
        }
    }

    pub fn proxy_url(&self) -> String {
        format!("http://{}", self.proxy)
    }

    pub fn ca_file(&self) -> &str {
        let file = self.sandbox.ca_file().expect("the sandbox speaks TLS");
        file.to_str().expect("a path in UTF-8")
    }

    /// From now on requests under `path` meet `kind`, or so many of them.
    pub fn fault(&self, path: &str, times: Option<u32>, kind: FaultKind) {
        self.sandbox.set_fault(Fault {
            path: path.to_owned(),
            times,
            kind,
        });
    }

    /// The requests since the last time, which must all be ones it knows.
    pub fn take_requests(&self) -> Vec<Recorded> {
        let requests = self.sandbox.requests();
        self.sandbox.clear_requests();
        for request in &requests {
            assert!(
                request.known_route,
                "no call of the broker: {} {}",
                request.method, request.path
            );
        }
        requests
    }
}

fn start_proxy(target: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port for the proxy");
    let address = listener.local_addr().expect("its address");
    // Ends with the process: a test binary has nothing to hand over to.
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.expect("a connection to the proxy");
            thread::spawn(move || {
                if let Err(problem) = tunnel(client, target) {
                    eprintln!("proxy: {problem}");
                }
            });
        }
    });
    address
}

/// Serves one `CONNECT` to a host of the broker.
fn tunnel(client: TcpStream, target: SocketAddr) -> std::io::Result<()> {
    let mut from_client = BufReader::new(client.try_clone()?);
    let mut line = String::new();
    from_client.read_line(&mut line)?;
    let asked = line.split(' ').nth(1).unwrap_or("").to_owned();
    while line.trim() != "" {
        line.clear();
        from_client.read_line(&mut line)?;
    }
    let host = asked.strip_suffix(":443").unwrap_or("");
    let mut to_client = client;
    if !host.ends_with(".kotaksecurities.com") && !host.ends_with(".kotaksecurities.online") {
        eprintln!("proxy: refused {asked:?}");
        return to_client.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
    }
    let server = TcpStream::connect(target)?;
    server.set_nodelay(true)?;
    to_client.set_nodelay(true)?;
    to_client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let back = (server.try_clone()?, to_client);
    let answers = thread::spawn(move || pump(back.0, back.1));
    pump(from_client, server);
    answers.join().expect("pumping does not panic");
    Ok(())
}

/// Carries bytes until either end is gone, and then lets go of the other.
fn pump(mut from: impl Read, mut to: TcpStream) {
    // How a connection ends is the business of those who talk over it.
    let ended = copy(&mut from, &mut to).and_then(|_| to.shutdown(Shutdown::Write));
    drop(ended);
}
