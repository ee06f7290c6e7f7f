//! The client: what it holds, and what needs no network.

mod by_name;
mod call;
mod cancel;
pub(crate) mod config;
mod exchange;
mod feeds;
mod ledger;
mod logins;
mod orders;
mod reads;
mod register;
mod scrips;
mod settle;
pub mod steps;
mod turn;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::json;
use tokio::sync::Notify;
use url::Url;

use crate::base::clock::{self, Moment};
use crate::base::error::Error;
use crate::base::log::Log;
use crate::base::random::Random;
use crate::base::redact;
use crate::base::reply::{Meta, Reply};
use crate::base::secret::{self, Secret};
use crate::base::status::Status;
use crate::broker::hosts::Hosts;
use crate::broker::message;
use crate::broker::order_number;
use crate::broker::request::Credentials;
use crate::broker::session::{Identity, Trade, View};
use crate::feeds::link::Roster;
use crate::feeds::orders::wire::Forms;
use crate::ledger::Ledger;
use crate::transport::brake::Brake;
use crate::transport::door::Door;
use crate::transport::pacing::{Ceiling, Pace};
use crate::transport::{Cookies, EventLoop, Net, Settings};
use cancel::Named;
use config::Config;
use exchange::Place;
pub use ledger::ledger_open_intents;
use register::Register;
use scrips::Scrips;
use turn::Reads;

/// A connection to the broker for one user.
///
/// Clones are the same client. All methods block, and may be called from any
/// thread at any time.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    config: Config,
    hosts: Hosts,
    /// What the sockets of the feeds have in common with all connections.
    settings: Arc<Settings>,
    net: Net,
    jar: Arc<Cookies>,
    log: Log,
    state: Mutex<State>,
    /// One login step at a time: two at once could mix their sessions.
    gate: tokio::sync::Mutex<()>,
    /// Ends the calls that wait when it is notified.
    stop: Notify,
    closed: AtomicBool,
    named: Named,
    /// Drives reads and logins. Instructions do not share it.
    event_loop: EventLoop,
    door: Door,
    /// Of instructions.
    pace: Pace,
    reads: Reads,
    brake: Arc<Brake>,
    ledger: Option<Ledger>,
    /// The last `Date` of the broker, and when the question was asked.
    dated: Mutex<Option<(u64, Moment)>>,
    register: Mutex<Register>,
    random: Random,
    scrips: Scrips,
    feeds: Roster,
    /// Which form of the login the order feed took last.
    forms: Forms,
}

#[derive(Default)]
struct State {
    bearer: Option<Bearer>,
    view: Option<Arc<View>>,
    trade: Option<Arc<Trade>>,
    /// Which user the cookies are of, as his login named him.
    cookies_of: Option<User>,
    /// Where the QR login that was begun goes on, and for which UCC.
    qr: Option<(String, Place)>,
}

/// How a login names its user. Which two of them are the same person only the
/// broker knows.
#[derive(Clone, PartialEq, Eq)]
enum User {
    Ucc(String),
    Id(String),
    By(Identity),
}

/// An OAuth2 token and where it came from.
struct Bearer {
    token: Secret,
    from: Url,
    good_until: Option<Moment>,
}

impl Client {
    /// Opens a client. Nothing is sent and no trust root is loaded yet.
    ///
    /// `config` is a JSON object; its keys are in `docs/guide.md`. `None` or
    /// an empty text means all defaults.
    ///
    /// # Errors
    ///
    /// [`Status::InvalidArgument`] naming the key that is wrong.
    pub fn open(config: Option<&str>) -> Result<Self, Error> {
        let opened = Config::parse(config.unwrap_or("")).and_then(Inner::new);
        match opened {
            Ok(inner) => Ok(Self(Arc::new(inner))),
            Err(error) => {
                let again = error.status().is_transient();
                Err(error.finished(false, again, meta("client_open")))
            }
        }
    }

    /// What is known of the session, without any secret: `state`
    /// (`logged_out`, `view` or `trade`), and for a trade session generation,
    /// environment, UCC, data centre, base URL, feed URLs, when it was made and
    /// ends (unix seconds), and whether that is over by the broker's clock.
    ///
    /// # Errors
    ///
    /// [`Status::Closed`] after the client was closed.
    pub fn session_info(&self) -> Result<Reply, Error> {
        self.0.local("session_info", |call| {
            let state = self.0.state();
            let info = match (&state.trade, &state.view) {
                (Some(trade), _) => self.0.info(trade),
                (None, Some(view)) => json!({
                    "state": "view",
                    "generation": view.generation.number(),
                    "environment": self.0.hosts.environment.name(),
                    "ucc": view.ucc,
                }),
                (None, None) => json!({
                    "state": "logged_out",
                    "environment": self.0.hosts.environment.name(),
                }),
            };
            drop(state);
            // Hosts and names in it are the broker's words.
            let (info, known) = (info.to_string(), self.0.known(call));
            let shown = redact::secrets(&info, &secret::exposed(&known));
            Ok(Reply::local(shown.into_owned()))
        })
    }

    /// The session as a JSON document from which another process can go on
    /// the same day. It holds tokens, but not the consumer key.
    ///
    /// # Errors
    ///
    /// [`Status::NotLoggedIn`] without a trade session.
    pub fn session_export(&self) -> Result<Reply, Error> {
        self.0.local("session_export", |call| {
            let trade = self.0.trade()?;
            let cookies = self.0.jar.cookies(&trade.base);
            let values = cookies.iter().flat_map(message::cookie_values);
            call.secrets.borrow_mut().extend(values);
            let cookies = cookies.as_ref().and_then(|value| value.to_str().ok());
            Ok(Reply {
                json: trade.export(cookies),
                ..Reply::local(String::new())
            })
        })
    }

    /// Goes on with a session that [`Client::session_export`] gave.
    ///
    /// # Errors
    ///
    /// [`Status::InvalidArgument`] if it is not of this environment, not of
    /// today (IST), expired, or names a host that may not be used.
    pub fn session_import(&self, session: &str) -> Result<Reply, Error> {
        self.0.local("session_import", |_| {
            let (trade, cookies) = Trade::import(session, &self.0.hosts, clock::unix_seconds())?;
            if self
                .0
                .config
                .generation
                .is_some_and(|wanted| wanted != trade.generation)
            {
                let problem = "is not the generation that the client is configured for";
                return Err(Error::argument("session.generation", problem));
            }
            self.0.jar.clear();
            for cookie in cookies.iter().flat_map(|all| all.split("; ")) {
                self.0.jar.add(cookie, &trade.base);
            }
            self.0.state().cookies_of = trade.ucc.clone().map(User::Ucc);
            let info = self.0.info(&trade).to_string();
            let info = redact::secrets(&info, &secret::exposed(&trade.secrets())).into_owned();
            self.0.enter_trade(trade);
            Ok(Reply::local(info))
        })
    }

    /// Ends the calls that are under way with [`Status::Closed`]. The session
    /// stays, and calls made later work.
    pub fn interrupt(&self) {
        self.0.named.interrupt();
        self.0.stop.notify_waiters();
    }

    /// The kill switch: once this has returned nothing but cancels leaves this
    /// client, whatever waits; there is no way back but to open another one.
    /// What had passed its point of no return goes on and may be taken.
    ///
    /// The answer has `under_way`, how many instructions are not settled and
    /// have a call that is still running.
    ///
    /// # Errors
    ///
    /// [`Status::Closed`] after the client was closed.
    pub fn halt(&self) -> Result<Reply, Error> {
        // Before anything that may fail.
        self.0.brake.halt();
        self.0.local("client_halt", |_| {
            let under_way = self.0.register().running();
            let told = json!({ "halted": true, "under_way": under_way });
            Ok(Reply::local(told.to_string()))
        })
    }

    /// Ends the calls that are under way and the feeds, and every later one
    /// at once.
    pub fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
        self.0.stop.notify_waiters();
        self.0.feeds.end_all();
    }

    /// The configuration in force, for the answer of `kneo_client_open`.
    pub(crate) fn describe(&self) -> Reply {
        let mut reply = Reply::local(self.0.config.describe().to_string());
        reply.meta = meta("client_open");
        reply
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("hosts", &self.0.hosts)
            .finish_non_exhaustive()
    }
}

fn not_logged_in() -> Error {
    Error::new(
        Status::NotLoggedIn,
        "complete both steps of a login before this call",
    )
}

fn meta(operation: &'static str) -> Meta {
    Meta {
        operation,
        ..Meta::default()
    }
}

impl Inner {
    fn new(config: Config) -> Result<Self, Error> {
        let settings = Arc::new(config.connection()?);
        let log = config.open_log()?;
        let event_loop = EventLoop::new().map_err(|error| call::no_event_loop(&error))?;
        let orders = &config.orders;
        let ledger = match &orders.ledger_file {
            None => None,
            Some(path) => Some(Ledger::open(path, orders.ledger_sync)?),
        };
        let left = ledger
            .as_ref()
            .map_or_else(BTreeMap::new, Ledger::new_orders);
        let mut register = Register::default();
        for (intent, answer) in ledger.iter().flat_map(Ledger::take_taken) {
            let is_new = intent.order_id.is_none();
            let number = is_new.then(|| order_number::told(&answer)).flatten();
            register.recall(&intent, number.as_deref());
        }
        for number in ledger.iter().flat_map(Ledger::take_changed) {
            register.tell(&number);
        }
        let jar = Arc::new(Cookies::default());
        let hosts = Hosts {
            environment: config.environment,
            base_url: config.base_url.clone(),
        };
        let broker = hosts.broker();
        Ok(Self {
            net: Net::new(Arc::clone(&settings), Arc::clone(&jar)),
            door: Door::new(Arc::clone(&settings), Arc::clone(&jar)),
            settings,
            pace: Pace::new(
                Ceiling::new(orders.max_per_second).keeping_some(),
                format!("orders {broker}"),
                // Of a session that names no account: it is not shared.
                Arc::default(),
            ),
            reads: Reads::new(&config, &broker),
            hosts,
            brake: Arc::new(Brake::new(orders.max_per_day, left)),
            register: Mutex::new(register),
            random: Random::default(),
            ledger,
            dated: Mutex::default(),
            scrips: Scrips::default(),
            feeds: Roster::default(),
            forms: Forms::default(),
            event_loop,
            jar,
            log,
            state: Mutex::default(),
            gate: tokio::sync::Mutex::default(),
            stop: Notify::new(),
            closed: AtomicBool::new(false),
            named: Named::default(),
            config,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn must_be_open(&self) -> Result<(), Error> {
        match self.closed.load(Ordering::Acquire) {
            true => Err(Error::new(Status::Closed, "the client was closed")),
            false => Ok(()),
        }
    }

    fn info(&self, trade: &Trade) -> serde_json::Value {
        let mut info = trade.info();
        info["expired"] = json!(self.has_expired(trade));
        info
    }

    fn credentials(&self) -> Credentials<'_> {
        Credentials {
            consumer_key: self.config.consumer_key.as_ref(),
            fin_key: self.config.neo_fin_key.as_ref(),
            ..Credentials::default()
        }
    }

    fn trade(&self) -> Result<Arc<Trade>, Error> {
        let trade = self.state().trade.clone();
        trade.ok_or_else(not_logged_in)
    }

    /// Stores a view session. A trade session of the same user stays in force
    /// until the second step; one of another user ends here, so that no order
    /// goes to an account that the caller has just left.
    fn enter_view(&self, view: View) {
        let mut state = self.state();
        let same = |trade: &Arc<Trade>| trade.ucc.is_some() && trade.ucc == view.ucc;
        let goes_on = state.trade.as_ref().is_some_and(same);
        if !goes_on {
            state.trade = None;
        }
        state.view = Some(Arc::new(view));
        drop(state);
        if !goes_on {
            self.feeds.session_changed();
        }
    }

    fn enter_trade(&self, trade: Trade) {
        let mut state = self.state();
        state.view = None;
        state.trade = Some(Arc::new(trade));
        drop(state);
        self.feeds.session_changed();
    }
}
