//! What every feed does alike: when it tries again, what it says of a server's
//! words, the thread that it runs on, and the feeds of a client.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::socket::Ended;
use crate::base::error::Error;
use crate::base::process;
use crate::base::random;
use crate::base::redact::Known;
use crate::base::status::Status;
use crate::transport::EventLoop;

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
        // Without randomness the full wait does as well.
        self.next_with(random::part().unwrap_or(1.0))
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

/// When a feed connects again after a connection has ended. Pure, but for the
/// dice.
#[derive(Debug)]
pub(crate) struct Retries {
    soon: Backoff,
    /// A refusal may be a mistake, so the same session is tried again; but
    /// rarely, for the server has said no.
    rarely: Backoff,
    attempt: u32,
}

impl Retries {
    pub(crate) fn new(first: Duration, cap: Duration) -> Self {
        Self {
            soon: Backoff::new(first, cap),
            rarely: Backoff::new(cap * 2, cap * 2),
            attempt: 0,
        }
    }

    /// How long to wait, after a refusal or a loss. With another session, or
    /// none any more, there is nothing to wait for.
    pub(crate) fn after(&mut self, refused: bool, is_same_session: bool) -> Duration {
        self.attempt = self.attempt.saturating_add(1);
        match (is_same_session, refused) {
            (false, _) => Duration::ZERO,
            (true, true) => self.rarely.next(),
            (true, false) => self.soon.next(),
        }
    }

    /// A connection lasted.
    pub(crate) fn lasted(&mut self) {
        self.soon.reset();
        self.attempt = 0;
    }

    /// How often it was tried since a connection lasted.
    pub(crate) fn attempt(&self) -> u32 {
        self.attempt
    }
}

/// A connection must not go on under the eyes of another user.
pub(crate) fn other_session() -> Ended {
    Ended::new(None, "the session of this connection is no longer in force")
}

/// Why a login is refused, and what to do. `is_over`: the token of the session says
/// that its time is over, as after a night in which the machine slept.
pub(crate) fn refusal(words: &str, is_over: bool) -> String {
    match is_over {
        true => format!("{words}; the session has expired by its own token: log in again"),
        false => format!("{words}; log in again"),
    }
}

/// The beginning of the server's words, which may quote the session: a reason
/// is a sentence. What is cut is masked already: half a secret is not told from
/// other words.
pub(crate) fn brief(words: &str, known: &Known) -> String {
    known.mask(words).chars().take(200).collect()
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

/// Why a feed could not be started, or not read its books: no thread, or no
/// descriptor for its event loop.
pub(crate) fn no_thread(error: io::Error) -> Error {
    let message = format!("no thread for the feed could be had: {error}");
    Error::new(Status::Network, message)
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
    fn a_refusal_is_tried_again_rarely_and_a_new_session_at_once() {
        let ms = Duration::from_millis;
        let mut retries = Retries::new(ms(500), ms(30_000));
        assert!((ms(250)..=ms(500)).contains(&retries.after(false, true)));
        assert!((ms(500)..=ms(1000)).contains(&retries.after(false, true)));
        for _ in 0..5 {
            assert!((ms(30_000)..=ms(60_000)).contains(&retries.after(true, true)));
        }
        assert_eq!(retries.after(true, false), Duration::ZERO);
        assert_eq!(retries.after(false, false), Duration::ZERO);
        assert_eq!(retries.attempt(), 9);
        retries.lasted();
        assert_eq!(retries.attempt(), 0);
        assert!(retries.after(false, true) <= ms(500));
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
