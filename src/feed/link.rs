//! What every feed does alike: its states, when it tries again, and the
//! thread that it runs on.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::tick;
use crate::process;
use crate::transport::EventLoop;

/// How a feed is. The names are those of the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum State {
    /// A connection is being made.
    Connecting = tick::KNEO_STATE_CONNECTING,
    /// Connected; the server has not confirmed the login yet.
    Authenticating = tick::KNEO_STATE_AUTHENTICATING,
    /// Logged in, and the connection lives.
    Live = tick::KNEO_STATE_LIVE,
    /// The connection lives, but what is subscribed sends nothing.
    Stale = tick::KNEO_STATE_STALE,
    /// No connection; the next try is under way or due.
    Down = tick::KNEO_STATE_DOWN,
    /// The server does not accept the login. The caller must log in again.
    Refused = tick::KNEO_STATE_REFUSED,
}

impl State {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Authenticating => "authenticating",
            Self::Live => "live",
            Self::Stale => "stale",
            Self::Down => "down",
            Self::Refused => "refused",
        }
    }
}

/// How long to wait before the next try: doubled each time, up to a cap, each
/// time a random part of it, so that many clients do not come back at once.
/// The number of tries has no limit.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    cap: Duration,
    tries: u32,
}

impl Backoff {
    pub(crate) fn new(first: Duration, cap: Duration) -> Self {
        Self {
            first,
            cap,
            tries: 0,
        }
    }

    /// The next wait: between half and all of the full one.
    pub(crate) fn next(&mut self) -> Duration {
        let mut random = [0; 4];
        // Without randomness the full wait does as well.
        let part = match getrandom::fill(&mut random) {
            Ok(()) => f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX),
            Err(_) => 1.0,
        };
        self.next_with(part)
    }

    fn next_with(&mut self, part: f64) -> Duration {
        let full = self
            .first
            .saturating_mul(1 << self.tries.min(20))
            .min(self.cap);
        self.tries = self.tries.saturating_add(1);
        full.mul_f64(0.5 + part.clamp(0.0, 1.0) / 2.0)
    }

    /// After a success that lasted.
    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }
}

/// Ends a feed, from any thread, once and for all.
#[derive(Default)]
pub(crate) struct Switch {
    off: AtomicBool,
    turned: Notify,
}

impl Switch {
    pub(crate) fn turn_off(&self) {
        self.off.store(true, Ordering::Release);
        self.turned.notify_waiters();
        // For one that is just about to wait.
        self.turned.notify_one();
    }

    pub(crate) fn is_off(&self) -> bool {
        self.off.load(Ordering::Acquire)
    }

    /// Waits until it is turned off.
    pub(crate) async fn wait(&self) {
        while !self.is_off() {
            self.turned.notified().await;
        }
    }
}

/// The feeds of one client: they end with it, and learn of its new sessions.
pub(crate) struct Roster {
    feeds: Mutex<Vec<Weak<Switch>>>,
    logins: watch::Sender<u64>,
}

impl Default for Roster {
    fn default() -> Self {
        Self {
            feeds: Mutex::default(),
            logins: watch::Sender::new(0),
        }
    }
}

impl Roster {
    pub(crate) fn add(&self, switch: &Arc<Switch>) {
        let mut all = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|one| one.strong_count() > 0);
        all.push(Arc::downgrade(switch));
    }

    pub(crate) fn end_all(&self) {
        let all = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        for switch in all.iter().filter_map(Weak::upgrade) {
            switch.turn_off();
        }
    }

    /// The client has a new session, or none any more.
    pub(crate) fn session_changed(&self) {
        self.logins.send_modify(|count| *count += 1);
    }

    /// Changes with every new session, and when there is none any more.
    pub(crate) fn sessions(&self) -> watch::Receiver<u64> {
        self.logins.subscribe()
    }
}

impl Drop for Roster {
    fn drop(&mut self) {
        self.end_all();
    }
}

/// Runs `work` on a thread of its own until it ends or `switch` is turned
/// off, whichever is first. Then calls `ended`: `true` after a panic, which
/// is a defect in this library.
///
/// The thread is counted for the shutdown. Nothing waits for it: `work` is
/// dropped at its next await, and a name lookup is left behind.
///
/// Call it from within an export: the thread inherits the mask of signals,
/// and so SIGPIPE stays away from the host.
pub(crate) fn spawn<F>(
    name: &str,
    switch: Arc<Switch>,
    work: F,
    ended: impl FnOnce(bool) + Send + 'static,
) -> io::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let event_loop = EventLoop::new()?;
    // Until the thread ends, however it does.
    let counted = process::shared().threads.count();
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let _counted = counted;
            let driven = catch_unwind(AssertUnwindSafe(|| {
                event_loop.drive(async {
                    tokio::select! {
                        biased;
                        () = switch.wait() => {}
                        () = work => {}
                    }
                })
            }));
            drop(event_loop);
            ended(driven.is_err());
        })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn waits_longer_each_time_up_to_the_cap_and_never_gives_up() {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
        let full: Vec<_> = (0..8).map(|_| backoff.next_with(1.0).as_millis()).collect();
        assert_eq!(full, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
        for _ in 0..10_000 {
            let wait = backoff.next();
            assert!(wait >= Duration::from_secs(15) && wait <= Duration::from_secs(30));
        }
        backoff.reset();
        assert_eq!(backoff.next_with(0.0), Duration::from_millis(250));
    }

    #[test]
    fn a_switch_ends_work_that_never_would() {
        let switch = Arc::new(Switch::default());
        let roster = Roster::default();
        roster.add(&switch);
        let (tell, told) = mpsc::channel();
        spawn(
            "kneo-test",
            Arc::clone(&switch),
            std::future::pending(),
            move |panicked| tell.send(panicked).expect("somebody listens"),
        )
        .expect("a thread can be had");
        roster.end_all();
        let ended = told.recv_timeout(Duration::from_secs(60));
        assert_eq!(ended, Ok(false));
    }

    #[test]
    fn a_panic_is_told_and_goes_no_further() {
        let (tell, told) = mpsc::channel();
        spawn(
            "kneo-test",
            Arc::new(Switch::default()),
            async { std::panic::panic_any("a defect") },
            move |panicked| tell.send(panicked).expect("somebody listens"),
        )
        .expect("a thread can be had");
        assert_eq!(told.recv_timeout(Duration::from_secs(60)), Ok(true));
    }
}
