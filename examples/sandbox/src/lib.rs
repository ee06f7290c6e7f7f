//! The Kotak Neo broker, simulated on loopback: for tests, demos and benchmarks.
//!
//! [`Sandbox::start`] gives a server on a thread of its own that answers the REST calls of all
//! three generations of the API, checks what it is sent as the broker documents it, matches
//! orders against prices that walk by a seed, records every request, and goes wrong on demand
//! ([`Fault`], [`Switches`]). It listens on loopback only, opens no connection but from its
//! [`Proxy`] to itself, and no order ever reaches an exchange.
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
//! `login` and `rest` the tables of the calls, `exchange` the order management with its books,
//! `market` the instruments and prices, `control` the endpoint for other languages, `state` what
//! they share. A new concern is a new module with a table of routes, named in `state`.

#![forbid(unsafe_code)]

mod books;
mod clock;
mod control;
mod cookies;
mod exchange;
mod fault;
mod login;
mod market;
mod money;
mod pace;
mod proxy;
mod query;
mod random;
mod record;
mod rest;
mod route;
mod server;
mod sockets;
mod state;
mod switches;
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

pub use crate::books::{Order, Position, Trade};
pub use crate::fault::{Fault, FaultKind, Packing};
pub use crate::pace::Peak;
pub use crate::proxy::{Proxy, ProxyManner};
pub use crate::record::Recorded;
pub use crate::sockets::{
    Acks, Feed, FeedRate, Handshake, LoginManner, OrderFeed, Refusal, Silence, Socket,
    SocketMessage, Strike,
};
use crate::state::State;
pub use crate::switches::{DeadSession, NamedBase, OrderRefusal, Rejection, ScripFiles, Switches};
use crate::tls::CaFiles;
pub use crate::tls::TlsMode;
use crate::tokens::unix_now;

/// A million rupees. No price is higher, so that amounts fit.
pub(crate) const HIGHEST_PRICE: i64 = 1_000_000 * money::RUPEE;

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
    /// Further loopback addresses, such as `::1`, at which it listens on the same port.
    pub also_at: Vec<IpAddr>,
    /// Its name, with TLS: that of its URL, and the one its answers give. A name of the broker,
    /// such as `e43.kotaksecurities.com`, is for clients that come through a [`Proxy`], or whose
    /// lookups a test answers.
    pub host: String,
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
    /// How many order instructions a second are taken; more get 429. 0 takes any number.
    pub orders_per_second: u32,
    /// How many quotes, expiries and chains together are answered a second; more get 429. 0
    /// answers any number.
    pub quotes_per_second: u32,
    /// How many quotes are answered at once; more get 429 without `Retry-After`. 0 answers any
    /// number.
    pub quotes_at_once: u32,
    /// How many candles are answered a second; more get 429 without `Retry-After`, as was seen.
    /// 0 answers any number.
    pub candles_per_second: u32,
    /// How many books and other reads after the login are answered a second; more get 429. 0,
    /// the default, answers any number: nobody has seen this limit.
    pub reads_per_second: u32,
    /// The cash of the account, in rupees.
    pub cash_rupees: u32,
    /// Where the walk of the prices starts: the same seed gives the same prices.
    pub seed: u64,
    /// Have the prices take a step after each such pause. `None`: by [`Sandbox::tick`] only.
    pub tick_every: Option<Duration>,
    /// How many requests are kept in the record; beyond that the oldest are dropped. 0 keeps none.
    pub record_limit: usize,
    /// Print each OTP to standard output, as the phone of the user.
    pub print_otp: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            also_at: Vec::new(),
            host: "localhost".to_owned(),
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
            orders_per_second: 10,
            quotes_per_second: 25,
            quotes_at_once: 4,
            candles_per_second: 5,
            reads_per_second: 0,
            cash_rupees: 1_000_000,
            seed: 1,
            tick_every: None,
            record_limit: 20_000,
            print_otp: false,
        }
    }
}

/// A running sandbox. Dropping it closes every connection and ends its thread.
pub struct Sandbox {
    state: Arc<State>,
    files: Option<CaFiles>,
    server_config: Option<Arc<rustls::ServerConfig>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sandbox {
    /// Starts a sandbox; when this returns it accepts connections.
    ///
    /// # Errors
    ///
    /// If the port is taken, an address that is not loopback is asked for, an option makes no
    /// sense, or the files of the certificate authority cannot be written.
    pub fn start(options: Options) -> io::Result<Self> {
        check(&options)?;
        let totp_secret = totp::decode_secret(&options.credentials.totp_secret)
            .ok_or_else(|| invalid("the TOTP secret is not base32"))?;

        let (port, listeners) = listen(&options)?;
        let (url, server_config, files) = match tls::prepare(options.tls, options.http2)? {
            None => (format!("http://127.0.0.1:{port}"), None, None),
            Some(tls) => (
                format!("https://{}:{port}", options.host),
                Some(tls.config),
                Some(tls.files),
            ),
        };
        let acceptor = server_config.clone().map(TlsAcceptor::from);
        let state = Arc::new(State::new(options, url, totp_secret));

        // One thread is enough, and leaves the rest of the machine to what is measured.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listeners = {
            let _inside = runtime.enter();
            let all = listeners.into_iter().map(tokio::net::TcpListener::from_std);
            all.collect::<io::Result<Vec<_>>>()?
        };
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&state);
        let thread = thread::Builder::new()
            .name("sandbox".to_owned())
            .spawn(move || runtime.block_on(server::run(listeners, acceptor, shared, stopped)))?;
        Ok(Self {
            state,
            files,
            server_config,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// `http://127.0.0.1:PORT`, or over TLS `https://localhost:PORT` or with another
    /// [`Options::host`].
    #[must_use]
    pub fn url(&self) -> &str {
        &self.state.url
    }

    /// The port at which it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        let port = self.state.url.rsplit(':').next();
        let port = port.and_then(|port| port.parse().ok());
        port.unwrap_or_else(|| panic!("the address has no port"))
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

    /// Its side of TLS, for servers of a test's own that clients of the sandbox trust.
    #[must_use]
    pub fn server_config(&self) -> Option<Arc<rustls::ServerConfig>> {
        self.server_config.clone()
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

    /// Empties the record, that of the sockets too; the numbering goes on.
    pub fn clear_requests(&self) {
        self.state.records.clear();
        self.state.sockets.forget_messages();
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
            }
            | FaultKind::AnswerAfter {
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

    /// How the price feed behaves.
    #[must_use]
    pub fn feed(&self) -> Feed {
        *self.state.sockets.feed.borrow()
    }

    /// Changes how the price feed behaves, on open sockets too.
    ///
    /// # Panics
    ///
    /// If a number is out of its range.
    pub fn set_feed(&self, feed: Feed) {
        must(feed.check());
        self.state.sockets.feed.send_replace(feed);
    }

    /// How the order feed behaves.
    #[must_use]
    pub fn order_feed(&self) -> OrderFeed {
        *self.state.sockets.order_feed.borrow()
    }

    /// Changes how the order feed behaves, on open sockets too.
    pub fn set_order_feed(&self, order_feed: OrderFeed) {
        self.state.sockets.order_feed.send_replace(order_feed);
    }

    /// Does this once to every open socket of a kind.
    ///
    /// # Panics
    ///
    /// If a close cannot be sent with its code or reason.
    pub fn strike(&self, socket: Socket, strike: Strike) {
        must(strike.check());
        self.state.sockets.strike(socket, strike);
    }

    /// How many sockets of a kind are logged in.
    #[must_use]
    pub fn live_sockets(&self, socket: Socket) -> u64 {
        self.state.sockets.live(socket)
    }

    /// The texts that clients have sent over sockets, in order; as many as requests are kept.
    #[must_use]
    pub fn socket_messages(&self) -> Vec<SocketMessage> {
        self.state.sockets.messages()
    }

    /// Makes every view and trade token invalid. Sockets close with 1008.
    pub fn expire_sessions(&self) {
        self.state.tokens.expire_sessions();
        sockets::expired(&self.state);
    }

    /// Makes every OAuth2 access token invalid.
    pub fn expire_bearers(&self) {
        self.state.tokens.expire_bearers();
    }

    /// The order book, the oldest order first. Every order that got a number is in it.
    #[must_use]
    pub fn orders(&self) -> Vec<Order> {
        books::orders(&self.state.exchange())
    }

    /// The trade book, the oldest trade first.
    #[must_use]
    pub fn trades(&self) -> Vec<Trade> {
        books::trades(&self.state.exchange())
    }

    /// The positions.
    #[must_use]
    pub fn positions(&self) -> Vec<Position> {
        books::positions(&self.state.exchange())
    }

    /// How many orders got a number, also those that were rejected after it.
    #[must_use]
    pub fn orders_taken(&self) -> u64 {
        self.state.exchange().counts.orders
    }

    /// How many modifications were acknowledged.
    #[must_use]
    pub fn modifications_taken(&self) -> u64 {
        self.state.exchange().counts.modifications
    }

    /// How many cancellations were acknowledged.
    #[must_use]
    pub fn cancellations_taken(&self) -> u64 {
        self.state.exchange().counts.cancellations
    }

    /// The most instructions (places, modifications, cancels) that came in one second since the
    /// start, by the sandbox's clock; those that were refused or struck by a fault came too.
    #[must_use]
    pub fn peak(&self) -> Peak {
        self.state.order_pace.peak()
    }

    /// The most quotes, expiries and chains that came in one second.
    #[must_use]
    pub fn peak_of_quotes(&self) -> Peak {
        self.state.quote_pace.peak()
    }

    /// The most quotes that were under way at once.
    #[must_use]
    pub fn most_quotes_at_once(&self) -> u32 {
        self.state.quotes_at_once.peak()
    }

    /// The most candles that came in one second.
    #[must_use]
    pub fn peak_of_candles(&self) -> Peak {
        self.state.candle_pace.peak()
    }

    /// The most books and other reads that came in one second.
    #[must_use]
    pub fn peak_of_reads(&self) -> Peak {
        self.state.read_pace.peak()
    }

    /// At most so many instruments of a segment, as the sockets and quotes name them:
    /// `nse_fo|44498`. The same each time.
    ///
    /// # Panics
    ///
    /// If there is no such segment.
    #[must_use]
    pub fn tokens(&self, segment: &str, most: usize) -> Vec<String> {
        let exchange = self.state.exchange();
        must(books::tokens(&exchange, segment, most))
    }

    /// The last traded price of a trading symbol or an index, such as `9.40`; `None` if there is
    /// none.
    ///
    /// # Panics
    ///
    /// If there is no such instrument.
    #[must_use]
    pub fn price(&self, segment: &str, symbol: &str) -> Option<String> {
        let mut exchange = self.state.exchange();
        let id = must(books::find(&exchange, segment, symbol));
        let ltp = exchange.market.standing(id).ltp;
        (ltp > 0).then(|| money::text(ltp, id.segment.decimals()))
    }

    /// Sets a last traded price in rupees, and has every order looked at again. Price `0` takes
    /// the last price away.
    ///
    /// # Panics
    ///
    /// If there is no such instrument, or the price is none.
    pub fn set_price(&self, segment: &str, symbol: &str, price: &str) {
        let mut exchange = self.state.exchange();
        let id = must(books::find(&exchange, segment, symbol));
        exchange.set_price(id, must(books::read_price(price)));
    }

    /// Has every price take so many steps, with every order looked at again after each.
    pub fn tick(&self, times: u32) {
        let mut exchange = self.state.exchange();
        for _ in 0..times {
            exchange.step();
        }
    }

    /// How the pretend broker and exchanges behave.
    #[must_use]
    pub fn switches(&self) -> Switches {
        self.state.exchange().switches.clone()
    }

    /// Changes how the pretend broker and exchanges behave.
    ///
    /// ```
    /// # use kotak_neo_sandbox::{Options, Sandbox, Switches};
    /// # let sandbox = Sandbox::start(Options::default())?;
    /// sandbox.set_switches(Switches { liquidity: Some(10), ..sandbox.switches() });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_switches(&self, switches: Switches) {
        self.state.exchange().set_switches(switches);
    }

    /// Serves this as the scrip file of a segment, whatever the switches say; `None` takes it
    /// back. What can be traded and quoted stays as it is.
    ///
    /// # Panics
    ///
    /// If there is no such segment.
    pub fn set_scrip_file(&self, segment: &str, file: Option<Vec<u8>>) {
        let named = market::Segment::read(segment);
        let segment = named.unwrap_or_else(|| panic!("there is no segment {segment}"));
        let mut files = self.state.scrip_files();
        match file {
            Some(file) => files.insert(segment, file.into()),
            None => files.remove(&segment),
        };
    }

    /// Puts a position of yesterday into the book; a negative quantity is a sold one.
    ///
    /// # Panics
    ///
    /// If there is no such instrument or product, or a number makes no sense.
    pub fn carry_forward(
        &self,
        segment: &str,
        symbol: &str,
        product: &str,
        quantity: i64,
        price: &str,
    ) {
        let mut exchange = self.state.exchange();
        let id = must(books::find(&exchange, segment, symbol));
        let product = must(books::read_product(product));
        let price = must(books::read_price(price));
        must(books::carry(&mut exchange, id, product, quantity, price));
    }

    /// Replaces the holdings. Each is segment, trading symbol, quantity and average price.
    ///
    /// # Panics
    ///
    /// If there is no such share, or a number makes no sense.
    pub fn set_holdings(&self, holdings: &[(&str, &str, i64, &str)]) {
        let holdings: Vec<_> = holdings
            .iter()
            .map(|(segment, symbol, quantity, price)| {
                (
                    (*segment).to_owned(),
                    (*symbol).to_owned(),
                    *quantity,
                    (*price).to_owned(),
                )
            })
            .collect();
        must(books::set_holdings(&mut self.state.exchange(), &holdings));
    }

    /// Places a limit order (NRML, DAY) as the app of the broker would, without a tag, and gives
    /// its number.
    ///
    /// # Panics
    ///
    /// If there is no such instrument or side, a number makes no sense, or the market is closed.
    #[must_use]
    pub fn place_from_app(
        &self,
        segment: &str,
        symbol: &str,
        side: &str,
        quantity: i64,
        price: &str,
    ) -> String {
        let mut exchange = self.state.exchange();
        let id = must(books::find(&exchange, segment, symbol));
        let price = must(books::read_price(price));
        must(books::app_order(&mut exchange, id, side, quantity, price))
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

/// Listens at all addresses on one port.
fn listen(options: &Options) -> io::Result<(u16, Vec<TcpListener>)> {
    /// A port that is free at one address may be taken at another.
    const TRIES: u32 = 20;
    let at_once = || -> io::Result<(u16, Vec<TcpListener>)> {
        let first = TcpListener::bind((options.address, options.port))?;
        let port = first.local_addr()?.port();
        let mut all = vec![first];
        for address in &options.also_at {
            all.push(TcpListener::bind((*address, port))?);
        }
        for listener in &all {
            listener.set_nonblocking(true)?;
        }
        Ok((port, all))
    };
    let mut tries = 1;
    loop {
        match at_once() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if options.port != 0 || tries == TRIES {
                    return Err(error);
                }
                tries += 1;
            }
            done => return done,
        }
    }
}

fn check(options: &Options) -> io::Result<()> {
    if options.address != IpAddr::V4(Ipv4Addr::LOCALHOST) {
        return Err(invalid("the sandbox listens on 127.0.0.1 only"));
    }
    if options.also_at.iter().any(|address| !address.is_loopback()) {
        return Err(invalid("the sandbox listens on loopback addresses only"));
    }
    if options.tls == TlsMode::Off && options.host != "localhost" {
        return Err(invalid("only over TLS the sandbox has another name"));
    }
    let path = &options.base_path;
    if !path.is_empty() && (!path.starts_with('/') || path.ends_with('/')) {
        return Err(invalid(
            "base_path must start with a slash and not end with one",
        ));
    }
    Ok(())
}

/// The value, or the panic that tells a test what it got wrong.
fn must<T>(result: Result<T, String>) -> T {
    result.unwrap_or_else(|message| panic!("{message}"))
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// Has the examples of the README compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
