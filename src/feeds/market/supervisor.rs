//! Keeps the connection of a market feed up, for ever.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch::Receiver;
use url::Url;

use super::control;
use super::exchange::Dividers;
use super::shared::Shared;
use super::watch::{Due, Probes, Watch};
use crate::base::clock;
use crate::base::redact::Known;
use crate::base::secret::Secret;
use crate::feeds::link::{Retries, brief, other_session, refusal};
use crate::feeds::socket::{Ended, Frame, Socket, within};
use crate::feeds::state::{Change, State};
use crate::transport::Settings;

/// How long a refusal may follow a welcome that promises nothing.
const GRACE: Duration = Duration::from_secs(1);
/// A connection that served this long counts as a success.
const LASTED: Duration = Duration::from_secs(30);

/// What a connection logs in with.
pub(crate) struct Login {
    pub(crate) url: Url,
    pub(crate) user: String,
    pub(crate) sid: Secret,
    /// Its token says that its time is over.
    pub(crate) is_over: bool,
    /// What nothing may show of what the broker says, `sid` included.
    pub(crate) known: Known,
}

/// Gives the session of the client, if it has one.
pub(crate) type Sessions = Box<dyn Fn() -> Option<Login> + Send + Sync>;

/// Owns the socket.
pub(super) struct Supervisor {
    pub(super) shared: Arc<Shared>,
    pub(super) settings: Arc<Settings>,
    pub(super) sessions: Sessions,
    /// Tells when the client has a new session.
    pub(super) changed: Receiver<u64>,
    pub(super) probes: Probes,
    pub(super) retries: Retries,
}

/// How a connection ended.
pub(super) enum End {
    /// The broker does not let us in: a new login is needed.
    Refused(Ended),
    Lost {
        why: Ended,
        lasted: bool,
    },
}

impl End {
    fn why(&self) -> &Ended {
        match self {
            Self::Refused(why) | Self::Lost { why, .. } => why,
        }
    }
}

impl From<Ended> for End {
    fn from(why: Ended) -> Self {
        match why.is_refusal() {
            true => Self::Refused(why),
            false => Self::Lost { why, lasted: false },
        }
    }
}

impl Supervisor {
    /// Connects for ever. Ends only with the client.
    pub(super) async fn run(mut self) {
        loop {
            self.changed.borrow_and_update();
            let Some(login) = (self.sessions)() else {
                self.tell(State::Refused, "there is no trade session; log in");
                if self.changed.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let end = self.connection(&login).await;
            // Another session is tried at once, and that there is none any more
            // is told at once.
            let next = (self.sessions)();
            let is_same = next.is_some_and(|next| next.sid == login.sid);
            let wait = self.tell_end(end, &login, is_same);
            tokio::select! {
                () = clock::sleep(wait) => {}
                told = self.changed.changed() => {
                    if told.is_err() {
                        return;
                    }
                    self.retries.lasted();
                }
            }
        }
    }

    /// Tells the end of a connection; gives when to connect again.
    fn tell_end(&mut self, end: End, login: &Login, is_same_session: bool) -> Duration {
        let words = brief(&end.why().reason, &login.known);
        let (state, reason) = match &end {
            End::Refused(_) => (State::Refused, refusal(&words, login.is_over)),
            End::Lost { lasted, .. } => {
                if *lasted {
                    self.retries.lasted();
                }
                (State::Down, words)
            }
        };
        let wait = self.retries.after(state == State::Refused, is_same_session);
        self.change(Change::after(end.why(), state, reason).retry_in(Some(wait)));
        wait
    }

    fn tell(&self, state: State, reason: &str) {
        self.change(Change::new(state, reason));
    }

    fn change(&self, change: Change) {
        let attempt = self.retries.attempt();
        self.shared.store.change(change.attempt(attempt));
    }

    /// One connection, from its beginning to its end.
    async fn connection(&mut self, login: &Login) -> End {
        let host = login.url.host_str().unwrap_or("");
        self.tell(State::Connecting, &format!("connecting to {host}"));
        let mut socket = match Socket::open(&self.settings, &login.url).await {
            Ok(socket) => socket,
            Err(why) => return why.into(),
        };
        self.shared.counters.connected();
        self.tell(State::Authenticating, "logging in");
        let mut dividers = Dividers::default();
        if let Err(end) = self.log_in(&mut socket, login, &mut dividers).await {
            socket.close().await;
            return end;
        }
        self.tell(State::Live, "logged in");
        let since = clock::now();
        let mut end = self.serve(&mut socket, login, &mut dividers).await;
        if let End::Lost { lasted, .. } = &mut end {
            *lasted |= since.elapsed() >= LASTED;
        }
        self.shared.counters.lost();
        socket.close().await;
        end
    }

    /// Sends the login and waits until it is confirmed.
    async fn log_in(
        &self,
        socket: &mut Socket,
        login: &Login,
        dividers: &mut Dividers,
    ) -> Result<(), End> {
        let now_ms = self.shared.store.now().ns / 1_000_000;
        let mut text = control::login(
            &login.user,
            login.sid.expose(),
            u128::try_from(now_ms).unwrap_or(0),
        );
        let limit = self.shared.options.times.login;
        let mut deadline = clock::now() + limit;
        self.put(socket, std::mem::take(&mut *text)).await?;
        let mut welcomed = false;
        loop {
            let frame = clock::timeout_at(deadline, socket.next()).await;
            match frame {
                // A welcome that promises nothing, and then no refusal.
                Err(_) if welcomed => return Ok(()),
                Err(_) => {
                    let reason = format!("no answer to the login in {} ms", limit.as_millis());
                    return Err(Ended::new(None, reason).into());
                }
                Ok(Err(why)) => return Err(why.into()),
                Ok(Ok(Frame::Text(text))) => {
                    match self.shared.text(&text, &login.known, dividers)? {
                        Some(true) => return Ok(()),
                        Some(false) if !welcomed => {
                            welcomed = true;
                            deadline = deadline.min(clock::now() + GRACE);
                        }
                        _ => {}
                    };
                }
                Ok(Ok(Frame::Binary(bytes))) if welcomed => {
                    self.shared.binary(&bytes, dividers);
                }
                // Without dividers there are no prices.
                Ok(Ok(Frame::Binary(_))) => self.shared.counters.frame(),
                Ok(Ok(Frame::Pong)) => {}
            }
        }
    }

    /// Serves a connection that is logged in.
    async fn serve(&mut self, socket: &mut Socket, login: &Login, dividers: &mut Dividers) -> End {
        let shared = Arc::clone(&self.shared);
        let mut watch = Watch::new(shared.options.patience.clone(), clock::now());
        let mut wake = pin!(clock::sleep(Duration::ZERO));
        shared.wanted().reconnected();
        // What is subscribed already is sent at once.
        shared.changed.notify_one();
        loop {
            tokio::select! {
                () = shared.changed.notified() => {
                    if let Err(end) = self.send_what_changed(socket).await {
                        return end;
                    }
                    self.expect(&mut watch);
                    wake.set(clock::sleep_until(watch.next()));
                }
                () = &mut wake => {
                    // What is known of the exchanges grows old.
                    self.expect(&mut watch);
                    while let Some(due) = watch.due(clock::now(), &mut self.probes) {
                        if let Err(end) = self.act(due, socket, &mut watch).await {
                            return end;
                        }
                    }
                    wake.set(clock::sleep_until(watch.next()));
                }
                told = self.changed.changed() => {
                    let now = (self.sessions)();
                    if told.is_err() || now.is_none_or(|now| now.user != login.user) {
                        return other_session().into();
                    }
                }
                frame = socket.next() => match frame {
                    Ok(Frame::Binary(bytes)) => {
                        let now = clock::now();
                        let came = self.shared.binary(&bytes, dividers);
                        if came.status {
                            self.expect(&mut watch);
                        }
                        match came.values {
                            true if watch.data(now, &mut self.probes) => {
                                self.tell(State::Live, "values come again");
                            }
                            true => {}
                            false => watch.heard(now),
                        }
                    }
                    Ok(Frame::Text(text)) => {
                        watch.heard(clock::now());
                        if let Err(end) = self.shared.text(&text, &login.known, dividers) {
                            return end;
                        }
                    }
                    Ok(Frame::Pong) => watch.pong(clock::now()),
                    Err(why) => return why.into(),
                },
            }
        }
    }

    async fn act(&self, due: Due, socket: &mut Socket, watch: &mut Watch) -> Result<(), End> {
        let patience = &self.shared.options.patience;
        match due {
            Due::Ping => {
                self.within(socket.ping()).await?;
                watch.pinged(clock::now());
            }
            Due::Dead => {
                let reason = format!("no answer to a ping in {} ms", patience.pong.as_millis());
                return Err(Ended::new(Some(1006), reason).into());
            }
            Due::Stale => {
                let ms = patience.stale.as_millis();
                let reason = format!("nothing came for {ms} ms of what is subscribed");
                self.tell(State::Stale, &reason);
            }
            Due::Probe(0) => {
                let frames = self.shared.wanted().probe();
                for frame in frames {
                    self.put(socket, frame).await?;
                }
            }
            Due::Probe(1) => {
                let frames = self.shared.wanted().again();
                for frame in frames {
                    self.put(socket, frame).await?;
                }
            }
            Due::Probe(_) => {
                return Err(End::Lost {
                    why: Ended::new(None, "the subscriptions stay silent; connecting anew"),
                    lasted: true,
                });
            }
        }
        Ok(())
    }

    /// Brings the broker's subscriptions to what callers want.
    async fn send_what_changed(&self, socket: &mut Socket) -> Result<(), End> {
        let frames = self.shared.wanted().changes();
        for frame in frames {
            self.put(socket, frame).await?;
        }
        Ok(())
    }

    /// Tells the watch what to expect now.
    fn expect(&self, watch: &mut Watch) {
        let exchanges = self.shared.wanted().exchanges();
        let store = &self.shared.store;
        let open = exchanges.iter().any(|one| !store.is_closed(*one));
        if watch.expects(!exchanges.is_empty(), open, clock::now()) {
            self.tell(State::Live, "nothing is subscribed");
        }
    }

    async fn put(&self, socket: &mut Socket, text: String) -> Result<(), End> {
        self.within(socket.send(text)).await
    }

    async fn within(&self, work: impl Future<Output = Result<(), Ended>>) -> Result<(), End> {
        let limit = self.shared.options.patience.pong;
        within(limit, work).await.map_err(End::from)
    }
}
