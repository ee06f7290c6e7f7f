//! What the callers of a market feed and its supervisor share, and what is
//! done with a frame that came.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::control::{self, Answer};
use super::exchange::Dividers;
use super::options::Options;
use super::packet::{Kind, Packets, Step};
use super::store::Store;
use super::subscriptions::Wanted;
use super::supervisor::{End, masked};
use crate::feeds::link::Switch;
use crate::feeds::socket::Ended;
use crate::secret::Secret;

pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) switch: Arc<Switch>,
    wanted: Mutex<Wanted>,
    /// Something was asked for.
    pub(super) changed: Notify,
    pub(super) options: Options,
    pub(super) connects: AtomicU64,
    /// Connections that were lost after they had been live.
    pub(super) gaps: AtomicU64,
}

impl Shared {
    pub(super) fn new(options: Options) -> Self {
        Self {
            store: Store::new(options.history),
            switch: Arc::default(),
            wanted: Mutex::default(),
            changed: Notify::new(),
            options,
            connects: AtomicU64::new(0),
            gaps: AtomicU64::new(0),
        }
    }

    pub(super) fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a text frame; gives whether it is a welcome, and a sure one.
    /// The broker's words may quote the session id, which is masked.
    pub(super) fn text(
        &self,
        text: &str,
        sid: &Secret,
        dividers: &mut Dividers,
    ) -> Result<Option<bool>, End> {
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
                let reason = format!("the broker refused the login: {words}");
                return Err(End::Refused(Ended::new(None, reason)));
            }
            Answer::Fallback => {
                let reason = "the broker chose a format that this library does not read";
                return Err(Ended::new(None, reason).into());
            }
            Answer::Symbols(all) => {
                self.store.name(&all);
            }
            Answer::NotSubscribed(words) => {
                let words = masked(&words, sid);
                let reason = format!("the broker did not take a subscription: {words}");
                let state = self.store.state().state;
                self.store.change(state, &reason, None, None);
            }
            Answer::Other => {}
        }
        Ok(None)
    }

    /// Takes the packets of a frame in.
    pub(super) fn binary(&self, bytes: &[u8], dividers: &Dividers) -> Came {
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
}

/// What a frame had in it.
#[derive(Default)]
pub(super) struct Came {
    pub(super) values: bool,
    pub(super) status: bool,
}
