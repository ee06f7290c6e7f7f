//! The one clock: the only place of ours that asks the system for the time.
//!
//! It tells two times. The wall clock ([`unix`]) says which day it is; the owner
//! of the machine may set it, forth and back. A [`Moment`] is of a clock that
//! nobody sets and that goes on while the machine sleeps, so that a deadline, a
//! token or a stale price of yesterday evening is over in the morning:
//!
//! | system | the clock of a [`Moment`] |
//! |---|---|
//! | Linux, Android | `CLOCK_BOOTTIME`, asked of the kernel by rustix, without libc; std's `Instant` stands still while the machine sleeps |
//! | macOS, iOS | `CLOCK_MONOTONIC`, which counts sleep there; std's `Instant` does not |
//! | other Unix | `CLOCK_MONOTONIC`: whether it counts sleep is the system's choice |
//! | Windows | `QueryPerformanceCounter`, by std's `Instant`: it counts sleep |
//!
//! The timers of the systems, and so tokio's, may stand still in that time.
//! [`sleep_until`] and [`timeout_at`] go by this clock all the same: they look
//! at it whenever they are polled, and each second at the latest.
//!
//! # Another clock for tests
//!
//! A unit test shifts the clock of its own thread with `clock::shifted`.
//!
//! A whole process that was built with debug assertions, whatever its language,
//! takes its shifts from the file that `KNEO_TEST_CLOCK` names when the clock is
//! first asked: two numbers of milliseconds, for the wall clock and for moments,
//! a blank between and a line feed behind them (`-3600000 0`). It is read each
//! time, so that writing it makes the clock of a running process jump. Without
//! the line feed it is half written and not taken, and what it said before holds.
//! Release builds have nothing of this.

#[cfg(any(test, debug_assertions))]
mod shift;
#[cfg(test)]
mod tests;

use std::ops::{Add, AddAssign, Sub};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pin_project_lite::pin_project;

#[cfg(test)]
pub(crate) use shift::{Shifted, shifted};

/// After so long at the latest a timer looks at the clock again: it may have
/// slept with the machine.
const LOOK: Duration = Duration::from_secs(1);

/// A point of time within the life of this process.
///
/// Sums and differences that would be out of reach end 292 years from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Moment(i64);

/// The present moment.
pub(crate) fn now() -> Moment {
    let ns = running();
    #[cfg(any(test, debug_assertions))]
    let ns = ns.saturating_add(shift::now().moments);
    Moment(ns)
}

/// This clock in the type of std, for libraries that want to be told the time in
/// it. Only for comparing with what came from here: std's own clock may have
/// stood still meanwhile.
pub(crate) fn instant() -> std::time::Instant {
    use std::sync::OnceLock;
    use std::time::Instant;
    static FIRST: OnceLock<(Instant, i64)> = OnceLock::new();
    let (first, ns) = *FIRST.get_or_init(|| (Instant::now(), running()));
    let gone = now().saturating_duration_since(Moment(ns));
    first.checked_add(gone).unwrap_or(first)
}

/// The wall clock, since 1970; zero if it stands before that.
pub(crate) fn unix() -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.unwrap_or_default();
    #[cfg(any(test, debug_assertions))]
    let since = shift::add(since, shift::now().wall);
    since
}

/// The wall clock in whole seconds since 1970.
pub(crate) fn unix_seconds() -> u64 {
    unix().as_secs()
}

/// The wall clock in milliseconds since 1970.
pub(crate) fn unix_ms() -> u64 {
    u64::try_from(unix().as_millis()).unwrap_or(u64::MAX)
}

/// The wall clock in nanoseconds since 1970.
pub(crate) fn unix_ns() -> u64 {
    u64::try_from(unix().as_nanos()).unwrap_or(u64::MAX)
}

impl Moment {
    /// How long ago `earlier` was then; zero if it was not earlier.
    pub(crate) fn saturating_duration_since(self, earlier: Self) -> Duration {
        let ns = self.0.saturating_sub(earlier.0);
        Duration::from_nanos(u64::try_from(ns).unwrap_or(0))
    }

    /// How long ago this was; zero if it is to come.
    pub(crate) fn elapsed(self) -> Duration {
        now().saturating_duration_since(self)
    }

    /// In milliseconds since this clock began, which is the boot that [`boot`]
    /// names, if it names one.
    pub(crate) fn ms(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// So much later; `None` if that is out of reach.
    pub(crate) fn checked_add(self, time: Duration) -> Option<Self> {
        let ns = i64::try_from(time.as_nanos()).ok()?;
        self.0.checked_add(ns).map(Self)
    }

    /// So much earlier; `None` if that is out of reach.
    pub(crate) fn checked_sub(self, time: Duration) -> Option<Self> {
        let ns = i64::try_from(time.as_nanos()).ok()?;
        self.0.checked_sub(ns).map(Self)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        self.checked_add(time).unwrap_or(Self(i64::MAX))
    }
}

impl AddAssign<Duration> for Moment {
    fn add_assign(&mut self, time: Duration) {
        *self = *self + time;
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, time: Duration) -> Self {
        self.checked_sub(time).unwrap_or(Self(i64::MIN))
    }
}

/// Waits until a moment. To be called within a tokio runtime, like all below.
pub(crate) fn sleep_until(end: Moment) -> Sleep {
    let left = end.saturating_duration_since(now());
    Sleep {
        end,
        timer: tokio::time::sleep(left.min(LOOK)),
    }
}

/// Waits for so long.
pub(crate) fn sleep(time: Duration) -> Sleep {
    sleep_until(now() + time)
}

/// Does the work, but gives it up at a moment. What is done already when that
/// has come counts.
pub(crate) fn timeout_at<F: Future>(end: Moment, work: F) -> Timeout<F> {
    Timeout {
        work,
        sleep: sleep_until(end),
    }
}

/// Does the work, but gives it up after so long.
pub(crate) fn timeout<F: Future>(time: Duration, work: F) -> Timeout<F> {
    timeout_at(now() + time, work)
}

/// The time for some work is over, and it is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Elapsed;

pin_project! {
    /// Ends at a moment of this clock.
    pub(crate) struct Sleep {
        end: Moment,
        #[pin]
        timer: tokio::time::Sleep,
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        loop {
            let left = this.end.saturating_duration_since(now());
            if left.is_zero() {
                return Poll::Ready(());
            }
            ready!(this.timer.as_mut().poll(context));
            let next = tokio::time::Instant::now() + left.min(LOOK);
            this.timer.as_mut().reset(next);
        }
    }
}

pin_project! {
    /// Work that ends at a moment of this clock, done or not.
    pub(crate) struct Timeout<F> {
        #[pin]
        work: F,
        #[pin]
        sleep: Sleep,
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.work.poll(context) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => this.sleep.poll(context).map(|()| Err(Elapsed)),
        }
    }
}

/// Which boot of the machine moments are counted from: those of two processes
/// can be compared if it is the same. `None` where the system names no boot.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn boot() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let id = id.trim();
    let plain = |c: u8| c.is_ascii_hexdigit() || c == b'-';
    if id.is_empty() || id.len() > 64 || !id.bytes().all(plain) {
        return None;
    }
    // A container may have a clock that was shifted against that of the machine.
    let clock = std::fs::read_link("/proc/self/ns/time").unwrap_or_default();
    Some(format!("{id} {}", clock.display()).trim_end().to_owned())
}

/// Which boot of the machine moments are counted from: this system names none.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn boot() -> Option<String> {
    None
}

/// Nanoseconds of the clock that counts sleep.
#[cfg(unix)]
fn running() -> i64 {
    use rustix::time::{ClockId, clock_gettime};
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: ClockId = ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: ClockId = ClockId::Monotonic;
    let time = clock_gettime(CLOCK);
    // Both numbers are of a type that differs from system to system.
    #[allow(clippy::useless_conversion)]
    let (seconds, ns) = (i64::from(time.tv_sec), i64::from(time.tv_nsec));
    seconds.saturating_mul(1_000_000_000).saturating_add(ns)
}

/// Nanoseconds since it was first asked, on the clock that counts sleep.
#[cfg(not(unix))]
fn running() -> i64 {
    use std::sync::OnceLock;
    use std::time::Instant;
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let since = FIRST.get_or_init(Instant::now).elapsed();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
