//! Which address of a host a connection goes to: tries them as RFC 8305 has it ("happy
//! eyeballs"), so that one that is silent holds nothing up.
//!
//! The families take turns, in the order in which the system gives the addresses. The next
//! address is tried after [`STAGGER`], or at once when one has failed; those before it go on.
//! The first that connects wins, and the others are closed. An address counts as reached when
//! TCP is: what is silent behind that (a proxy, TLS) is not tried at another address.
//!
//! An instruction prefers the family of its login, because the broker takes instructions only
//! from the address of the login: the other family is tried when every address of that one
//! has failed, or was tried and half of the time for the connection is over.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};

use super::names;
use crate::base::clock::{self, Moment};
use crate::base::connection::{Family, Journal};

/// How long an address is alone with its try: the "Connection Attempt Delay".
const STAGGER: Duration = Duration::from_millis(250);
/// More addresses of a name are not looked at.
const MOST_ADDRESSES: usize = 64;
/// More are not named in a sentence.
const MOST_NAMED: usize = 8;

/// From where, by which family, and until when.
pub(super) struct Wish {
    /// Connections go out from it; its family is the only one then.
    pub(super) local: Option<IpAddr>,
    /// The family to try first.
    pub(super) prefer: Option<Family>,
    /// When the time for the connection is over.
    pub(super) end: Moment,
}

/// Connects to a port of a host: a name or an IP address, that of IPv6 with or without
/// brackets. `whose` begins every sentence. Tells `journal` how far it has come.
///
/// # Errors
///
/// Why not, as the end of a sentence.
pub(super) async fn reach(
    whose: &str,
    (host, port): (&str, u16),
    wish: &Wish,
    journal: &Journal,
) -> Result<TcpStream, String> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found = match bare.parse::<IpAddr>() {
        Ok(ip) => vec![ip],
        Err(_) => {
            journal.lock().waits = format!("{whose}the name {host} was not looked up yet");
            let asked = clock::now();
            let found = names::lookup(host).await;
            journal.lock().dns = Some(asked.elapsed());
            found.map_err(|error| format!("{whose}{error}"))?
        }
    };
    let found = found.into_iter().map(|ip| (ip.to_canonical(), port).into());
    let found: Vec<SocketAddr> = found.collect();
    let began = clock::now();
    let mut race = Race::new(&found, wish, began);
    if race.is_over() {
        return Err(format!("{whose}{}", nowhere(host, &found, wish)));
    }
    let local = wish.local;
    let won = race
        .run(
            |to| Box::pin(connect(to, local)),
            |so_far| journal.lock().waits = format!("{whose}{so_far}"),
        )
        .await;
    let (stream, to) = won.map_err(|tried| format!("{whose}{tried}"))?;
    let mut facts = journal.lock();
    facts.tcp = Some(began.elapsed());
    facts.peer = Some(to);
    let other = |family: &Family| *family != Family::of(to.ip());
    facts.detour = wish.prefer.filter(other).map(|family| {
        let of_it: Vec<_> = race.of(family);
        match (of_it.is_empty(), wish.local) {
            (true, Some(local)) if Family::of(local) != family => {
                format!("local_address is an {} address", Family::of(local))
            }
            (true, _) => format!("{host} has no {family} address"),
            (false, _) => listed(&of_it),
        }
    });
    Ok(stream)
}

/// Why there is no address to try.
fn nowhere(host: &str, found: &[SocketAddr], wish: &Wish) -> String {
    match wish.local {
        Some(local) if !found.is_empty() => {
            let all: Vec<_> = found.iter().map(SocketAddr::to_string).collect();
            format!(
                "local_address {local} is an {} address, and {host} has none of that family ({})",
                Family::of(local),
                short(&all)
            )
        }
        _ => format!("the name {host} has no address"),
    }
}

async fn connect(to: SocketAddr, local: Option<IpAddr>) -> Result<TcpStream, String> {
    let opened = match to {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    let told = |error: io::Error| error.to_string();
    let socket = opened.map_err(told)?;
    if let Some(local) = local {
        let unusable = |error| format!("local_address {local} cannot be used: {error}");
        socket.bind((local, 0).into()).map_err(unusable)?;
    }
    let stream = socket.connect(to).await.map_err(told)?;
    stream.set_nodelay(true).map_err(told)?;
    Ok(stream)
}

type Trying<T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send>>;

/// The addresses of one connection, and what came of each.
struct Race {
    /// Not tried yet.
    next: VecDeque<SocketAddr>,
    /// Not to be tried before [`Race::later_at`].
    later: VecDeque<SocketAddr>,
    later_at: Moment,
    tried: Vec<Tried>,
}

struct Tried {
    to: SocketAddr,
    failed: Option<String>,
}

impl Race {
    /// `now` is when it begins.
    fn new(found: &[SocketAddr], wish: &Wish, now: Moment) -> Self {
        let possible = |to: &SocketAddr| {
            wish.local
                .is_none_or(|local| Family::of(local) == Family::of(to.ip()))
        };
        let all = in_turns(found.iter().copied().filter(possible));
        let first = |to: &SocketAddr| {
            wish.prefer
                .is_none_or(|family| family == Family::of(to.ip()))
        };
        let (next, later) = all.into_iter().partition(first);
        Self {
            next,
            later,
            later_at: now + wish.end.saturating_duration_since(now) / 2,
            tried: Vec::new(),
        }
    }

    /// Whether nothing is left to try.
    fn is_over(&self) -> bool {
        self.next.is_empty() && self.later.is_empty()
    }

    /// What came of the addresses of a family.
    fn of(&self, family: Family) -> Vec<&Tried> {
        let all = self.tried.iter();
        all.filter(|it| Family::of(it.to.ip()) == family).collect()
    }

    /// Tries them by `connect` until one is reached. `tell` is told of every change.
    async fn run<T>(
        &mut self,
        connect: impl Fn(SocketAddr) -> Trying<T>,
        tell: impl Fn(&str),
    ) -> Result<(T, SocketAddr), String> {
        let mut trying: Vec<(usize, Trying<T>)> = Vec::new();
        let mut due = clock::now();
        loop {
            let now = clock::now();
            let none_left = self.next.is_empty() && trying.is_empty();
            if !self.later.is_empty() && (none_left || now >= self.later_at) {
                // From here on the families take turns, this one first.
                let later = std::mem::take(&mut self.later).into_iter();
                self.next = in_turns(later.chain(std::mem::take(&mut self.next)));
                due = due.min(now);
            }
            if trying.is_empty() || now >= due {
                if let Some(to) = self.next.pop_front() {
                    trying.push((self.tried.len(), connect(to)));
                    self.tried.push(Tried { to, failed: None });
                    tell(&self.told());
                    due = now + STAGGER;
                }
            }
            if trying.is_empty() {
                return Err(self.told());
            }
            let next = (!self.next.is_empty()).then_some(due);
            let later = (!self.later.is_empty()).then_some(self.later_at);
            let until = next.into_iter().chain(later).min();
            let one = poll_fn(|cx| {
                let ready = trying.iter_mut().enumerate().find_map(|(at, (_, it))| {
                    match it.as_mut().poll(cx) {
                        Poll::Ready(done) => Some((at, done)),
                        Poll::Pending => None,
                    }
                });
                ready.map_or(Poll::Pending, Poll::Ready)
            });
            let (at, done) = match until {
                None => one.await,
                Some(until) => match clock::timeout_at(until, one).await {
                    Ok(done) => done,
                    Err(clock::Elapsed) => continue,
                },
            };
            let (of, _) = trying.remove(at);
            match done {
                Ok(stream) => return Ok((stream, self.tried[of].to)),
                Err(why) => {
                    self.tried[of].failed = Some(why);
                    tell(&self.told());
                    due = clock::now();
                }
            }
        }
    }

    fn told(&self) -> String {
        listed(&self.tried.iter().collect::<Vec<_>>())
    }
}

/// Each once, the families in turns, that of the first one first.
fn in_turns(all: impl Iterator<Item = SocketAddr>) -> VecDeque<SocketAddr> {
    let mut families: [VecDeque<SocketAddr>; 2] = Default::default();
    let mut first = None;
    for to in all {
        let family = Family::of(to.ip());
        let same = *first.get_or_insert(family) == family;
        let queue = &mut families[usize::from(!same)];
        if !queue.contains(&to) && queue.len() < MOST_ADDRESSES {
            queue.push_back(to);
        }
    }
    let [mut one, mut other] = families;
    let mut out = VecDeque::new();
    while let Some(to) = one.pop_front() {
        out.push_back(to);
        out.extend(other.pop_front());
    }
    out.extend(other);
    out
}

/// What came of some addresses, for a sentence.
fn listed(tried: &[&Tried]) -> String {
    let one = |it: &&Tried| match &it.failed {
        Some(why) => format!("{}: {why}", it.to),
        None => format!("{} is silent", it.to),
    };
    short(&tried.iter().map(one).collect::<Vec<_>>())
}

fn short(all: &[String]) -> String {
    let mut text = all[..all.len().min(MOST_NAMED)].join(", ");
    if all.len() > MOST_NAMED {
        text.push_str(&format!(", and {} more", all.len() - MOST_NAMED));
    }
    text
}

#[cfg(test)]
mod tests;
