//! What the callers of a market feed and its supervisor share, and what is
//! done with a frame that came.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, json};
use tokio::sync::Notify;

use super::control::{self, Answer, INTENTS, MOST_TOKENS};
use super::exchange::Dividers;
use super::options::Options;
use super::packet::{Kind, Packets, Step};
use super::store::Store;
use super::subscriptions::Wanted;
use super::supervisor::End;
use crate::base::redact::Known;
use crate::feeds::link::{Switch, brief};
use crate::feeds::options::millis;
use crate::feeds::readers::Cut;
use crate::feeds::socket::Ended;
use crate::feeds::state::{Change, Counters, Standing};

pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) switch: Arc<Switch>,
    wanted: Mutex<Wanted>,
    /// Something was asked for.
    pub(super) changed: Notify,
    pub(super) options: Options,
    pub(super) counters: Counters,
}

/// What a frame had in it.
#[derive(Default)]
pub(super) struct Came {
    pub(super) values: bool,
    pub(super) status: bool,
}

impl Shared {
    pub(super) fn new(options: Options) -> Self {
        Self {
            store: Store::new(options.history),
            switch: Arc::default(),
            wanted: Mutex::default(),
            changed: Notify::new(),
            options,
            counters: Counters::default(),
        }
    }

    pub(super) fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the feed has ended, if it has.
    pub(super) fn ended(&self) -> Option<Cut> {
        let is_off = self.switch.is_off().then_some(Cut::Closed);
        self.store.closed().or(is_off)
    }

    pub(super) fn close(&self) {
        self.switch.turn_off();
        self.store.close(Cut::Closed);
    }

    /// Reads a text frame; gives whether it is a welcome, and a sure one.
    /// The broker's words may quote a secret, which is masked.
    pub(super) fn text(
        &self,
        text: &str,
        known: &Known,
        dividers: &mut Dividers,
    ) -> Result<Option<bool>, End> {
        self.counters.frame();
        match control::answer(text) {
            Answer::Welcome {
                sure,
                dividers: told,
            } => {
                for (exchange, divider) in told {
                    dividers.set(exchange, divider);
                }
                return Ok(Some(sure));
            }
            Answer::Refused(words) => {
                let words = brief(&words, known);
                let reason = format!("the broker refused the login: {words}");
                return Err(End::Refused(Ended::new(None, reason)));
            }
            Answer::Fallback => {
                let reason = "the broker chose a format that this library does not read";
                return Err(Ended::new(None, reason).into());
            }
            Answer::Symbols(mut all) => {
                // Most frames quote nothing, and have thousands of symbols.
                if known.mask(text) != text {
                    for (_, symbol) in &mut all {
                        *symbol = known.mask(symbol).into_owned();
                    }
                }
                self.store.name(&all);
            }
            Answer::NotSubscribed(words) => {
                let words = brief(&words, known);
                let reason = format!("the broker did not take a subscription: {words}");
                let state = self.store.state().0.state;
                self.store.change(Change::new(state, reason));
            }
            Answer::Other => {}
        }
        Ok(None)
    }

    /// Takes the packets of a frame in.
    pub(super) fn binary(&self, bytes: &[u8], dividers: &Dividers) -> Came {
        self.counters.frame();
        let mut came = Came::default();
        let mut writer = self.store.write();
        for step in Packets::new(bytes) {
            match step {
                Step::Packet(packet) => {
                    match packet.kind() {
                        Kind::Status => came.status = true,
                        _ => came.values = true,
                    }
                    writer.put(packet, dividers.of(packet.exchange()));
                }
                // Nobody sees it, so it is no sign of values either.
                Step::Ignored => writer.ignored(),
                Step::Malformed => writer.malformed(),
            }
        }
        came
    }

    /// How the feed is, as JSON.
    pub(super) fn status(&self) -> String {
        let (change, since) = self.store.state();
        let counts = self.store.counts();
        let wanted = self.wanted();
        let kinds: Map<_, _> = INTENTS
            .into_iter()
            .map(|intent| (intent.name().to_owned(), wanted.count(intent).into()))
            .collect();
        let now = self.store.now();
        let standing = Standing {
            change: &change,
            state_for: since.age(now),
            counters: &self.counters,
            waiting: counts.waiting,
            last_sequence: counts.last_sequence,
            options: self.options.describe(),
        };
        standing.to_json(json!({
            "subscribed": wanted.tokens(),
            "allowed": MOST_TOKENS,
            "subscriptions": kinds,
            "packets": counts.packets,
            "ignored": counts.ignored,
            "malformed": counts.malformed,
            "replaced": counts.replaced,
            "no_room": counts.no_room,
            "instruments": counts.instruments,
            "newest_age_ms": counts.newest.map(|newest| millis(newest.age(now))),
        }))
    }
}
