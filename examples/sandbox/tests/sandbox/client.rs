//! A small blocking HTTP client for the tests: one connection, nothing automatic.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kotak_neo_sandbox::Sandbox;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The body, which must have come with this status.
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(
            self.status.as_u16(),
            status,
            "{}",
            String::from_utf8_lossy(&self.body)
        );
        self.json()
    }

    /// The value of the cookie that was set, if one was.
    pub fn cookie(&self) -> Option<String> {
        let set = self.headers.get("set-cookie")?.to_str().unwrap();
        let rest = set.strip_prefix("SANDBOXSESSION=").unwrap();
        let (value, attributes) = rest.split_once(';').unwrap();
        assert_eq!(attributes, " Path=/; HttpOnly");
        Some(value.to_owned())
    }
}

/// One request.
#[derive(Clone)]
pub struct Ask {
    pub method: Method,
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Ask {
    pub fn get(path: &str) -> Self {
        Self {
            method: Method::GET,
            path: path.to_owned(),
            headers: Vec::new(),
            body: String::new(),
        }
    }

    /// A POST with a JSON body.
    pub fn post(path: &str, body: &Value) -> Self {
        Self {
            method: Method::POST,
            path: path.to_owned(),
            headers: Vec::new(),
            body: body.to_string(),
        }
        .with("content-type", "application/json")
    }

    /// Sets a header, instead of an earlier one with this name.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self = self.without(name);
        self.headers.push((name, value.into()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self
    }

    pub fn body(mut self, body: &str) -> Self {
        body.clone_into(&mut self.body);
        self
    }

    /// Sends it over a connection of its own.
    pub fn send(&self, sandbox: &Sandbox) -> Result<Reply, String> {
        Client::open(sandbox, false)?.send(self)
    }

    /// Sends it over a connection of its own; it must be answered.
    pub fn reply(&self, sandbox: &Sandbox) -> Reply {
        self.send(sandbox).unwrap()
    }
}

/// One connection.
pub struct Client {
    runtime: Runtime,
    sender: Sender,
    authority: String,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// The socket address behind the URL of a sandbox.
pub fn address(sandbox: &Sandbox) -> SocketAddr {
    let port = sandbox.url().rsplit(':').next().unwrap().parse().unwrap();
    ([127, 0, 0, 1], port).into()
}

/// A TLS configuration that trusts one CA file and offers one protocol.
fn trusting(ca_file: &Path, protocol: &[u8]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(ca_file).unwrap())
        .unwrap();
    let mut config =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    config
}

impl Client {
    /// Connects; over TLS it trusts the sandbox's CA.
    pub fn open(sandbox: &Sandbox, http2: bool) -> Result<Self, String> {
        Self::open_trusting(sandbox, http2, sandbox.ca_file(), "localhost")
    }

    /// Connects; over TLS it trusts `ca_file` and expects `host`.
    pub fn open_trusting(
        sandbox: &Sandbox,
        http2: bool,
        ca_file: Option<&Path>,
        host: &str,
    ) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let authority = sandbox.url().split_once("://").unwrap().1.to_owned();
        let sender = runtime.block_on(async {
            let stream = TcpStream::connect(address(sandbox))
                .await
                .map_err(|e| e.to_string())?;
            let Some(ca_file) = ca_file else {
                return handshake(stream, http2).await;
            };
            let protocol: &[u8] = if http2 { b"h2" } else { b"http/1.1" };
            let connector = TlsConnector::from(Arc::new(trusting(ca_file, protocol)));
            let name = ServerName::try_from(host.to_owned()).unwrap();
            let stream = connector
                .connect(name, stream)
                .await
                .map_err(|e| e.to_string())?;
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
            handshake(stream, http2).await
        })?;
        Ok(Self {
            runtime,
            sender,
            authority,
        })
    }

    pub fn send(&mut self, ask: &Ask) -> Result<Reply, String> {
        let Self {
            runtime,
            sender,
            authority,
        } = self;
        runtime.block_on(async {
            let mut request = Request::builder().method(&ask.method);
            request = match sender {
                Sender::Http1(_) => request.uri(&ask.path).header("host", &*authority),
                Sender::Http2(_) => request.uri(format!("http://{authority}{}", ask.path)),
            };
            for (name, value) in &ask.headers {
                request = request.header(*name, value);
            }
            let request = request
                .body(Full::new(Bytes::from(ask.body.clone())))
                .unwrap();
            let response = match sender {
                Sender::Http1(sender) => {
                    sender.ready().await.map_err(in_full)?;
                    sender.send_request(request).await.map_err(in_full)?
                }
                Sender::Http2(sender) => {
                    sender.ready().await.map_err(in_full)?;
                    sender.send_request(request).await.map_err(in_full)?
                }
            };
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(in_full)?.to_bytes();
            Ok(Reply {
                status: head.status,
                headers: head.headers,
                body: body.to_vec(),
            })
        })
    }
}

async fn handshake<S>(stream: S, http2: bool) -> Result<Sender, String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let io = TokioIo::new(stream);
    if http2 {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io)
            .await
            .map_err(in_full)?;
        tokio::spawn(connection);
        Ok(Sender::Http2(sender))
    } else {
        let (sender, connection) = http1::handshake(io).await.map_err(in_full)?;
        tokio::spawn(connection);
        Ok(Sender::Http1(sender))
    }
}

/// An error with its causes.
fn in_full(error: hyper::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Connects from a chosen address; `None` if this machine does not have it.
pub fn connect_from(from: [u8; 4], sandbox: &Sandbox) -> Option<std::net::TcpStream> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((from, 0))).ok()?;
        let stream = socket.connect(address(sandbox)).await.unwrap();
        let stream = stream.into_std().unwrap();
        stream.set_nonblocking(false).unwrap();
        Some(stream)
    })
}
