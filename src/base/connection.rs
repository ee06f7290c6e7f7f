//! What is known of a connection: where it leads, how long each step of it took, and what
//! it waits for.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::base::clock::Moment;

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    /// Their names in JSON.
    pub(crate) const NAMES: [(&'static str, Self); 2] = [("ipv4", Self::V4), ("ipv6", Self::V6)];

    /// That of an address. An IPv4 address in the clothes of IPv6 goes out as IPv4.
    pub(crate) fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        Self::NAMES[usize::from(self == Self::V6)].0
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// The facts of one connection, shared by who opens it and who tells of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal(Arc<Mutex<Facts>>);

#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Somebody has begun to open it. A pool that has one open already does not.
    pub(crate) begun: bool,
    /// Of the other end of TCP: the broker's, or the proxy's.
    pub(crate) peer: Option<SocketAddr>,
    /// Host and port of the proxy between.
    pub(crate) proxy: Option<String>,
    pub(crate) dns: Option<Duration>,
    pub(crate) tcp: Option<Duration>,
    /// Until the proxy has opened its tunnel.
    pub(crate) tunnel: Option<Duration>,
    pub(crate) tls: Option<Duration>,
    /// Why it is not of the family that was preferred.
    pub(crate) detour: Option<String>,
    /// What the next step waits for, as the end of a sentence. Empty once it is open.
    pub(crate) waits: String,
    /// Since when it is open.
    pub(crate) opened_at: Option<Moment>,
    /// Some call has used it.
    taken: bool,
}

impl Facts {
    /// The family by which the broker is reached; behind a proxy nobody here knows it.
    pub(crate) fn family(&self) -> Option<Family> {
        match self.proxy {
            Some(_) => None,
            None => self.peer.map(|peer| Family::of(peer.ip())),
        }
    }
}

impl Journal {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// How a request used a connection.
#[derive(Clone, Debug)]
pub(crate) struct Used {
    journal: Journal,
    /// It was opened before, and not for this call.
    reused: bool,
    /// From the sending to the head of the answer.
    first_byte: Option<Duration>,
}

impl Used {
    pub(crate) fn facts(&self) -> Facts {
        self.journal.lock().clone()
    }

    /// As it stands in the meta of a call.
    pub(crate) fn to_value(&self) -> Value {
        let facts = self.journal.lock();
        let mut all = Map::new();
        let mut put = |key: &str, value: Value| all.insert(key.to_owned(), value);
        put("reused", self.reused.into());
        if let Some(peer) = facts.peer {
            put("peer", peer.to_string().into());
            put("family", Family::of(peer.ip()).name().into());
        }
        if let Some(proxy) = &facts.proxy {
            put("proxy", proxy.as_str().into());
        }
        let steps = [
            ("dns_ms", facts.dns),
            ("tcp_ms", facts.tcp),
            ("proxy_ms", facts.tunnel),
            ("tls_ms", facts.tls),
        ];
        let steps = steps.into_iter().filter(|_| !self.reused);
        for (key, time) in steps.chain([("first_byte_ms", self.first_byte)]) {
            if let Some(time) = time {
                put(key, ms(time));
            }
        }
        Value::Object(all)
    }
}

/// Milliseconds with fractions, as all times in the meta of a call.
pub(crate) fn ms(time: Duration) -> Value {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    json!(micros as f64 / 1000.0)
}

/// Which connection a call uses. Each request overwrites what the one before it told.
#[derive(Debug, Default)]
pub(crate) struct Trace(Mutex<Option<Used>>);

impl Trace {
    fn lock(&self) -> MutexGuard<'_, Option<Used>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection is opened for the call.
    pub(crate) fn opens(&self) -> Journal {
        let journal = Journal::default();
        *self.lock() = Some(Used {
            journal: journal.clone(),
            reused: false,
            first_byte: None,
        });
        journal
    }

    /// The call uses a connection that is open.
    pub(crate) fn takes(&self, journal: &Journal) {
        let mut used = self.lock();
        let was_taken = std::mem::replace(&mut journal.lock().taken, true);
        let reused = match used.as_ref() {
            Some(used) if used.journal.is(journal) => used.reused,
            _ => was_taken,
        };
        *used = Some(Used {
            journal: journal.clone(),
            reused,
            first_byte: None,
        });
    }

    /// The head of the answer has come, of a request that could leave at `began` or, if that
    /// is later, when its connection was open.
    pub(crate) fn answered(&self, began: Moment) {
        if let Some(used) = self.lock().as_mut() {
            let opened_at = used.journal.lock().opened_at;
            let began = opened_at.map_or(began, |opened_at| began.max(opened_at));
            used.first_byte = Some(began.elapsed());
        }
    }

    /// The connection of the last request; `None` if it came to none, or ended before it was
    /// known which one of a pool it used.
    pub(crate) fn used(&self) -> Option<Used> {
        let used = self.lock();
        used.clone().filter(|used| used.journal.lock().begun)
    }

    /// What the connection waits for that is not open yet.
    pub(crate) fn waits(&self) -> Option<String> {
        let used = self.lock();
        let waits = used.as_ref()?.journal.lock().waits.clone();
        (!waits.is_empty()).then_some(waits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{now, shifted};

    #[test]
    fn families_have_names_and_addresses() {
        for (name, family) in Family::NAMES {
            assert_eq!(family.name(), name);
        }
        let of = |text: &str| Family::of(text.parse().expect("an address"));
        assert_eq!(of("127.0.0.1"), Family::V4);
        assert_eq!(of("::1"), Family::V6);
        assert_eq!(of("::ffff:127.0.0.1"), Family::V4);
    }

    #[test]
    fn only_the_call_that_opened_it_tells_how_long_that_took() {
        let (first, second) = (Trace::default(), Trace::default());
        assert!(first.used().is_none() && first.waits().is_none());
        let journal = first.opens();
        assert!(first.used().is_none(), "a pool may have one");
        journal.lock().begun = true;
        journal.lock().waits = "for a name".to_owned();
        assert_eq!(first.waits().as_deref(), Some("for a name"));
        let value = |trace: &Trace| trace.used().expect("one was begun").to_value();
        assert_eq!(value(&first), json!({"reused": false}));
        {
            let mut facts = journal.lock();
            facts.waits.clear();
            facts.dns = Some(Duration::from_micros(1_500));
            facts.tcp = Some(Duration::from_millis(2));
            facts.peer = Some(([127, 0, 0, 2], 443).into());
        }
        assert_eq!(first.waits(), None);
        first.takes(&journal);
        let told = json!({
            "reused": false, "dns_ms": 1.5, "tcp_ms": 2.0,
            "peer": "127.0.0.2:443", "family": "ipv4",
        });
        assert_eq!(value(&first), told);
        let first_byte = || value(&first)["first_byte_ms"].as_f64().expect("a time");
        let began = now();
        let _later = shifted(0, 60_000);
        first.answered(began);
        assert!(first_byte() >= 60_000.0, "{}", first_byte());
        // What the connection took is told for itself.
        journal.lock().opened_at = Some(began + Duration::from_secs(50));
        first.answered(began);
        assert!(
            (10_000.0..50_000.0).contains(&first_byte()),
            "{}",
            first_byte()
        );
        second.takes(&journal);
        let told = json!({"reused": true, "peer": "127.0.0.2:443", "family": "ipv4"});
        assert_eq!(value(&second), told);
        journal.lock().proxy = Some("proxy.invalid:3128".to_owned());
        assert_eq!(journal.lock().family(), None, "the proxy's is not ours");
    }
}
