//! The Kotak Neo broker, simulated on loopback: for tests, demos and benchmarks.
//!
//! [`Sandbox::start`] gives a server on a thread of its own that answers the login calls of all
//! three generations of the API, checks what it is sent as the broker documents it, records
//! every request, and goes wrong on demand ([`Fault`]). It listens on 127.0.0.1 only, opens no
//! connection to anywhere, and no order ever reaches an exchange.
//!
//! ```
//! use kotak_neo_sandbox::{Options, Sandbox};
//!
//! let sandbox = Sandbox::start(Options::default())?;
//! println!("{}", sandbox.config_json());
//! assert!(sandbox.requests().is_empty());
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Code map: `server` is HTTP with the record and the faults, `route` the type of a route table,
//! `login` the tables of the login services, `control` the endpoint for other languages, `state`
//! what they share. A new concern is a new module with a table of routes, named in `state`.

#![forbid(unsafe_code)]

mod clock;
mod control;
mod cookies;
mod fault;
mod login;
mod query;
mod random;
mod record;
mod route;
mod server;
mod state;
mod tls;
mod tokens;
mod totp;

use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

pub use crate::fault::{Fault, FaultKind};
pub use crate::record::Recorded;
use crate::state::State;
use crate::tls::CaFiles;
pub use crate::tls::TlsMode;
use crate::tokens::unix_now;

/// Who can log in. The defaults are obviously fake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Generation 3: the `Authorization` header. Older ones: the user of OAuth2's Basic header.
    pub consumer_key: String,
    /// The password of OAuth2's Basic header.
    pub consumer_secret: String,
    /// With country code: `+919999999999`.
    pub mobile_number: String,
    /// The client code.
    pub ucc: String,
    /// The user id: also the `sub` claim of the tokens.
    pub user_id: String,
    /// The tax number: five letters, four digits, one letter.
    pub pan: String,
    /// The password of generation 1.
    pub password: String,
    /// Six digits.
    pub mpin: String,
    /// The TOTP secret, base32.
    pub totp_secret: String,
    /// The name in the login answers.
    pub greeting_name: String,
}

impl Default for Credentials {
    fn default() -> Self {
        Self {
            consumer_key: "5a4db0c5-fa4e-4000-8000-c0ffee000001".to_owned(),
            consumer_secret: "fake-consumer-secret-0001".to_owned(),
            mobile_number: "+919999999999".to_owned(),
            ucc: "TEST1".to_owned(),
            user_id: "fake-user-0000".to_owned(),
            pan: "XXXXX0000X".to_owned(),
            password: "Fake-Passw0rd-1".to_owned(),
            mpin: "246813".to_owned(),
            totp_secret: "FAKESANDBOXSECRETFAKESANDBOXSECR".to_owned(),
            greeting_name: "SANDBOX".to_owned(),
        }
    }
}

/// How a wrong credential is refused; the broker's documents know several ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorShape {
    /// HTTP 401 with `{"status":"error","message":...,"errorCode":"401"}`; generations 1 and 2:
    /// with `{"error":[{"code":"401","message":...}]}`.
    #[default]
    Http401,
    /// HTTP 200 with `{"stCode":...,"errMsg":...,"status":"failure"}`; generations 1 and 2: with
    /// the list of errors.
    Http200,
    /// HTTP 401 with `{"stat":"Not_Ok","message":"Invalid credentials"}`; generations 1 and 2 as
    /// `Http401`.
    NotOk401,
}

/// How a sandbox is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Must be 127.0.0.1, or the start fails: the sandbox is never reachable from outside.
    pub address: IpAddr,
    /// The port; 0 takes a free one.
    pub port: u16,
    /// Plain HTTP, or TLS and with which certificate.
    pub tls: TlsMode,
    /// Offer HTTP/2 (by ALPN over TLS, by prior knowledge without). HTTP/1.1 always works.
    pub http2: bool,
    /// Compress answers for clients that accept gzip.
    pub gzip: bool,
    /// Refuse the steps after the first (MPIN, second factor, client address, logout) without
    /// the cookie that was set.
    pub require_cookie: bool,
    /// How wrong credentials are refused.
    pub login_errors: ErrorShape,
    /// Send the gateway's fault without the `fault` object around it; both were seen.
    pub flat_gateway_fault: bool,
    /// Generation 3: name `feedUrl` and `rtUrl`, as since August 2026.
    pub feed_urls: bool,
    /// Generations 1 and 2: name `hsServerId`; since January 2025 it is often missing.
    pub hs_server_id: bool,
    /// Generation 1: answer with the smaller body of the first `login` page.
    pub seed_login_body: bool,
    /// Generation 3: the data centre of the account; empty is allowed.
    pub data_center: String,
    /// A path that `baseUrl` and `baseURL` carry, such as `/xyz`, and under which every call is
    /// answered as well.
    pub base_path: String,
    /// How long view and trade tokens live.
    pub token_lifetime: Duration,
    /// How long OAuth2 access tokens live.
    pub bearer_lifetime: Duration,
    /// The `neo-fin-key` that is accepted; `None` is the official default of each generation.
    pub neo_fin_key: Option<String>,
    /// Who can log in.
    pub credentials: Credentials,
    /// How many requests are kept in the record; beyond that the oldest are dropped. 0 keeps none.
    pub record_limit: usize,
    /// Print each OTP to standard output, as the phone of the user.
    pub print_otp: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            tls: TlsMode::Off,
            http2: false,
            gzip: false,
            require_cookie: false,
            login_errors: ErrorShape::default(),
            flat_gateway_fault: false,
            feed_urls: true,
            hs_server_id: true,
            seed_login_body: false,
            data_center: "E43".to_owned(),
            base_path: String::new(),
            token_lifetime: Duration::from_secs(12 * 3600),
            bearer_lifetime: Duration::from_secs(3600),
            neo_fin_key: None,
            credentials: Credentials::default(),
            record_limit: 20_000,
            print_otp: false,
        }
    }
}

/// A running sandbox. Dropping it closes every connection and ends its thread.
pub struct Sandbox {
    state: Arc<State>,
    files: Option<CaFiles>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sandbox {
    /// Starts a sandbox; when this returns it accepts connections.
    ///
    /// # Errors
    ///
    /// If the port is taken, an address other than 127.0.0.1 is asked for, an option makes no
    /// sense, or the files of the certificate authority cannot be written.
    pub fn start(options: Options) -> io::Result<Self> {
        check(&options)?;
        let totp_secret = totp::decode_secret(&options.credentials.totp_secret)
            .ok_or_else(|| invalid("the TOTP secret is not base32"))?;

        let listener = TcpListener::bind((options.address, options.port))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let (url, acceptor, files) = match tls::prepare(options.tls, options.http2)? {
            None => (format!("http://127.0.0.1:{port}"), None, None),
            Some(tls) => (
                format!("https://localhost:{port}"),
                Some(TlsAcceptor::from(tls.config)),
                Some(tls.files),
            ),
        };
        let state = Arc::new(State::new(options, url, totp_secret));

        // One thread is enough, and leaves the rest of the machine to what is measured.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&state);
        let thread = thread::Builder::new()
            .name("sandbox".to_owned())
            .spawn(move || runtime.block_on(server::run(listener, acceptor, shared, stopped)))?;
        Ok(Self {
            state,
            files,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// `http://127.0.0.1:PORT`, or over TLS `https://localhost:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.state.url
    }

    /// The certificate of the authority that signed the server's, as PEM. `None` without TLS.
    #[must_use]
    pub fn ca_file(&self) -> Option<&Path> {
        self.files.as_ref().map(|files| files.ca.as_path())
    }

    /// The certificate of an authority that signed nothing here, as PEM. `None` without TLS.
    #[must_use]
    pub fn other_ca_file(&self) -> Option<&Path> {
        self.files.as_ref().map(|files| files.other_ca.as_path())
    }

    /// Who can log in.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.state.options.credentials
    }

    /// The configuration for `kneo_client_open`.
    #[must_use]
    pub fn config_json(&self) -> String {
        let who = self.credentials();
        let mut config = json!({
            "base_url": self.url(),
            "consumer_key": who.consumer_key,
            "consumer_secret": who.consumer_secret,
        });
        if let Some(ca_file) = self.ca_file() {
            config["ca_file"] = json!(ca_file);
        }
        config.to_string()
    }

    /// The TOTP of this moment. It is accepted for at least 30 seconds more.
    #[must_use]
    pub fn totp_now(&self) -> String {
        totp::code_at(&self.state.totp_secret, unix_now())
    }

    /// The OTP that was sent to the pretend phone last.
    #[must_use]
    pub fn last_otp(&self) -> Option<String> {
        self.state.tokens.last_otp()
    }

    /// Approves a QR login on the pretend phone, and gives the one-time token (`ott`).
    #[must_use]
    pub fn approve_qr(&self, ucc: &str) -> String {
        self.state.tokens.issue_ott(ucc)
    }

    /// An OAuth2 access token, as `oauth2/token` would give.
    #[must_use]
    pub fn issue_access_token(&self) -> String {
        self.state
            .tokens
            .issue_bearer(self.state.options.bearer_lifetime)
    }

    /// The requests that arrived, in order. The control endpoint's are not among them.
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        self.state.records.all()
    }

    /// Waits until at least `count` requests are in the record, then gives all; or gives what
    /// there is when `patience` is over.
    #[must_use]
    pub fn wait_for_requests(&self, count: usize, patience: Duration) -> Vec<Recorded> {
        let end = Instant::now() + patience;
        loop {
            let requests = self.requests();
            if requests.len() >= count || Instant::now() >= end {
                return requests;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Empties the record; the numbering goes on.
    pub fn clear_requests(&self) {
        self.state.records.clear();
    }

    /// Adds a fault. Of those that fit a request, the one that was added first strikes.
    ///
    /// # Panics
    ///
    /// If its status or a header cannot be sent at all.
    pub fn set_fault(&self, fault: Fault) {
        let checked = match &fault.kind {
            FaultKind::Answer {
                status, headers, ..
            } => server::check_invented(*status, headers),
            FaultKind::Redirect(target) => {
                server::check_invented(307, &[("location".to_owned(), target.clone())])
            }
            _ => Ok(()),
        };
        if let Err(message) = checked {
            panic!("a fault that cannot be sent: {message}");
        }
        self.state.faults.set(fault);
    }

    /// Removes all faults. A request that hangs already goes on hanging.
    pub fn clear_faults(&self) {
        self.state.faults.clear();
    }

    /// Makes every view and trade token invalid.
    pub fn expire_sessions(&self) {
        self.state.tokens.expire_sessions();
    }

    /// Makes every OAuth2 access token invalid.
    pub fn expire_bearers(&self) {
        self.state.tokens.expire_bearers();
    }

    /// How many connections were accepted so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.state.accepted.load(Ordering::Relaxed)
    }

    /// How many connections are open now.
    #[must_use]
    pub fn open_connections(&self) -> u64 {
        self.state.open.load(Ordering::Relaxed)
    }

    /// How many TLS handshakes failed: the client left, or trusted us not.
    #[must_use]
    pub fn failed_handshakes(&self) -> u64 {
        self.state.failed_handshakes.load(Ordering::Relaxed)
    }

    /// Closes every open connection, as a server that is tired of idle ones. It happens soon
    /// after; [`Sandbox::open_connections`] tells when.
    pub fn close_connections(&self) {
        self.state.close_all.send_replace(());
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the server thread has been printed by its own panic message.
            let _ = thread.join();
        }
    }
}

fn check(options: &Options) -> io::Result<()> {
    if options.address != IpAddr::V4(Ipv4Addr::LOCALHOST) {
        return Err(invalid("the sandbox listens on 127.0.0.1 only"));
    }
    let path = &options.base_path;
    if !path.is_empty() && (!path.starts_with('/') || path.ends_with('/')) {
        return Err(invalid(
            "base_path must start with a slash and not end with one",
        ));
    }
    Ok(())
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// Has the examples of the README compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
