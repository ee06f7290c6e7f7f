//! An HTTP proxy before the sandbox: whatever host is asked for, its tunnel leads there. Or it
//! does something else, as proxies do.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

use crate::Sandbox;

/// The largest head of a request that is read.
const LARGEST_HEAD: usize = 16 * 1024;

/// What the proxy does when it is asked for a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyManner {
    /// It opens one.
    Tunnel,
    /// It answers with this status, such as 403, 407 or 503, and closes.
    Answer(u16),
    /// It never answers.
    Hang,
    /// It closes without an answer.
    Close,
    /// It answers what is no HTTP.
    Garbage,
}

impl FromStr for ProxyManner {
    type Err = String;

    /// Reads `tunnel`, `hang`, `close`, `garbage`, or a status.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "tunnel" => Ok(Self::Tunnel),
            "hang" => Ok(Self::Hang),
            "close" => Ok(Self::Close),
            "garbage" => Ok(Self::Garbage),
            other => match other.parse() {
                Ok(status @ 100..=999) => Ok(Self::Answer(status)),
                _ => Err(format!("{other} is no manner of a proxy")),
            },
        }
    }
}

/// A running proxy on 127.0.0.1. Dropping it closes every connection.
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    /// Of the sandbox.
    to: SocketAddr,
    manner: Mutex<ProxyManner>,
    asked: Mutex<Vec<String>>,
    open: Mutex<Vec<TcpStream>>,
    ended: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    /// Starts a proxy on a free port, whose tunnels lead to `sandbox`.
    ///
    /// # Errors
    ///
    /// If there is no port or no thread.
    pub fn start(sandbox: &Sandbox, manner: ProxyManner) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            to: (Ipv4Addr::LOCALHOST, sandbox.port()).into(),
            manner: Mutex::new(manner),
            asked: Mutex::default(),
            open: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let its = Arc::clone(&shared);
        let name = thread::Builder::new().name("sandbox-proxy".to_owned());
        let thread = name.spawn(move || serve(&listener, &its))?;
        Ok(Self {
            shared,
            address,
            thread: Some(thread),
        })
    }

    /// `http://127.0.0.1:PORT`, for the configuration key `proxy`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The configuration for `kneo_client_open` by which a client reaches `sandbox` through the
    /// proxy. Loopback never goes through one: the sandbox must have TLS and the name of a host
    /// of the broker ([`crate::Options::host`]), for which its certificate is too.
    #[must_use]
    pub fn config_json(&self, sandbox: &Sandbox) -> String {
        let read = serde_json::from_str(&sandbox.config_json());
        let mut config: Value = read.unwrap_or_else(|error| panic!("it is ours: {error}"));
        config["proxy"] = json!(self.url());
        config.to_string()
    }

    /// What it does from now on.
    pub fn set_manner(&self, manner: ProxyManner) {
        *lock(&self.shared.manner) = manner;
    }

    /// The heads of the requests so far.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        lock(&self.shared.asked).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        for stream in lock(&self.shared.open).drain(..) {
            // One that is closed already is as good.
            let _closed = stream.shutdown(Shutdown::Both);
        }
        // Wakes the thread that accepts.
        if TcpStream::connect(self.address).is_ok()
            && let Some(thread) = self.thread.take()
        {
            // A panic in it was printed.
            let _panicked = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept() {
        if shared.ended.load(Ordering::Acquire) {
            return;
        }
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            // A client that goes away is no fault of the proxy.
            let _gone = one(&stream, &shared);
            // What is kept of it keeps it open.
            let _closed = stream.shutdown(Shutdown::Both);
        });
    }
}

fn one(mut client: &TcpStream, shared: &Shared) -> io::Result<()> {
    keep(shared, client)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < LARGEST_HEAD {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    lock(&shared.asked).push(String::from_utf8_lossy(&head).into_owned());
    let manner = *lock(&shared.manner);
    match manner {
        ProxyManner::Tunnel => tunnel(client, shared),
        ProxyManner::Answer(status) => {
            let answer = format!("HTTP/1.1 {status} Sandbox\r\ncontent-length: 0\r\n\r\n");
            client.write_all(answer.as_bytes())
        }
        // Until the client has enough of it.
        ProxyManner::Hang => client.read(&mut [0]).map(drop),
        ProxyManner::Close => Ok(()),
        ProxyManner::Garbage => client.write_all(b"220 proxy ready\r\n"),
    }
}

fn tunnel(mut client: &TcpStream, shared: &Shared) -> io::Result<()> {
    let mut server = TcpStream::connect(shared.to)?;
    keep(shared, &server)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let (mut up, mut to) = (client.try_clone()?, server.try_clone()?);
    let upwards = thread::spawn(move || {
        let copied = io::copy(&mut up, &mut to);
        let _closed = to.shutdown(Shutdown::Write);
        copied
    });
    let copied = io::copy(&mut server, &mut client);
    let _closed = client.shutdown(Shutdown::Both);
    // How either way ends is for the two sides to tell.
    let _ended = upwards.join();
    copied.map(drop)
}

/// Remembers a connection, so that it ends with the proxy.
fn keep(shared: &Shared, stream: &TcpStream) -> io::Result<()> {
    let mut open = lock(&shared.open);
    open.retain(|stream| stream.peer_addr().is_ok());
    open.push(stream.try_clone()?);
    Ok(())
}
