//! What the readers of both feeds do alike: how they wait, how their waits
//! end, and how many events they get at once.

use std::sync::{Condvar, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::clock::{self, Moment};
use crate::base::error::Error;
use crate::base::process;
use crate::base::reply::{Meta, Reply};
use crate::base::status::Status;

/// The most events of one batch.
const MOST_EVENTS: usize = 65_536;
/// A batch ends with the events that make it longer than this.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// After so long at the latest a wait looks at the clock again: the timers of
/// the system may have slept with the machine.
const LOOK: Duration = Duration::from_secs(1);

/// Why a reader gets nothing, now or any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The feed or its client was closed.
    Closed,
    /// A defect in this library ended the feed.
    Defect,
    /// Only this wait was ended.
    Interrupted,
}

impl Cut {
    /// Why the thread of a feed has ended.
    pub(crate) fn by_end(panicked: bool) -> Self {
        match panicked {
            true => Self::Defect,
            false => Self::Closed,
        }
    }

    pub(crate) fn error(self) -> Error {
        let (status, message) = match self {
            Self::Closed => (Status::Closed, "the feed or its client was closed"),
            Self::Interrupted => (Status::Closed, "the wait was interrupted"),
            Self::Defect => (
                Status::Internal,
                "a defect in this library has ended the feed; please report it",
            ),
        };
        Error::new(status, message)
    }
}

/// The readers that wait, kept with what they wait for.
#[derive(Default)]
pub(crate) struct Waiting {
    count: usize,
    /// How often those who waited were interrupted.
    round: u64,
    /// Nobody waited when it was interrupted: the next one does not.
    next: bool,
}

/// What readers wait for.
pub(crate) trait News {
    /// Whether there is something to read, or nothing any more.
    fn is_there(&self) -> bool;
    fn waiting(&mut self) -> &mut Waiting;
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// There is something, or nothing any more.
    Ready,
    InVain,
    Interrupted,
}

/// Waits for news until a time; without one it only looks.
pub(crate) fn wait<'a, T: News>(
    condition: &Condvar,
    mut inner: MutexGuard<'a, T>,
    until: Option<Moment>,
) -> (MutexGuard<'a, T>, Waited) {
    let Some(until) = until else {
        let found = match inner.is_there() {
            true => Waited::Ready,
            false => Waited::InVain,
        };
        return (inner, found);
    };
    if std::mem::take(&mut inner.waiting().next) {
        return (inner, Waited::Interrupted);
    }
    let round = inner.waiting().round;
    while !inner.is_there() {
        let left = until.saturating_duration_since(clock::now());
        if left.is_zero() {
            return (inner, Waited::InVain);
        }
        inner.waiting().count += 1;
        let woken = condition.wait_timeout(inner, left.min(LOOK));
        inner = woken.unwrap_or_else(PoisonError::into_inner).0;
        inner.waiting().count -= 1;
        if inner.waiting().round != round {
            return (inner, Waited::Interrupted);
        }
    }
    (inner, Waited::Ready)
}

/// Wakes one who waits. Nothing is asked of the system if nobody does.
pub(crate) fn wake<T: News>(condition: &Condvar, inner: &mut T) {
    if inner.waiting().count > 0 {
        condition.notify_one();
    }
}

/// Ends the waits under way, or the next one if there is none.
pub(crate) fn interrupt<T: News>(condition: &Condvar, inner: &mut T) {
    let waiting = inner.waiting();
    if waiting.count > 0 {
        waiting.round += 1;
        condition.notify_all();
    } else {
        waiting.next = true;
    }
}

/// When a wait ends; none for one that only looks.
pub(crate) fn until(wait: Duration) -> Option<Moment> {
    // As good as for ever, and no more than a clock can tell.
    const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    (!wait.is_zero()).then(|| clock::now() + wait.min(LONGEST))
}

/// Reads one event. `read` appends up to so many events, each with a comma
/// behind it, and gives how many there were.
pub(crate) fn event(
    wait: Duration,
    read: impl FnOnce(Option<Moment>, usize, &mut String) -> Result<usize, Cut>,
) -> Result<String, Error> {
    let _counted = process::shared().calls.count();
    let mut json = String::new();
    match read(until(wait), 1, &mut json) {
        Ok(0) => Err(nothing()),
        Ok(_) => {
            json.pop();
            Ok(json)
        }
        Err(cut) => Err(cut.error()),
    }
}

/// Reads up to `most` events as one JSON array. Waits for the first one only.
pub(crate) fn batch(
    most: usize,
    wait: Duration,
    mut read: impl FnMut(Option<Moment>, usize, &mut String) -> Result<usize, Cut>,
) -> Result<String, Error> {
    if !(1..=MOST_EVENTS).contains(&most) {
        let problem = format!("must be from 1 to {MOST_EVENTS}");
        return Err(Error::argument("most", problem));
    }
    let _counted = process::shared().calls.count();
    let mut json = "[".to_owned();
    let mut until = until(wait);
    let mut left = most;
    while left > 0 && json.len() < MOST_BYTES {
        match read(until, left, &mut json) {
            Ok(0) => break,
            Ok(given) => left -= given,
            Err(cut) if left == most => return Err(cut.error()),
            // What was read is handed out; the next call tells the end.
            Err(_) => break,
        }
        until = None;
    }
    if left == most {
        return Err(nothing());
    }
    json.pop();
    json.push(']');
    Ok(json)
}

fn nothing() -> Error {
    Error::new(Status::End, "no event in time")
}

/// The answer of an operation on a feed.
pub(crate) fn answer(
    operation: &'static str,
    result: Result<String, Error>,
) -> Result<Reply, Error> {
    let meta = Meta {
        operation,
        ..Meta::default()
    };
    match result {
        Ok(json) => Ok(Reply {
            meta,
            ..Reply::local(json)
        }),
        Err(error) => {
            let status = error.status();
            let safe = status == Status::End || status.is_transient();
            Err(error.finished(false, safe, meta))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// How many events wait, and whether the feed has ended.
    #[derive(Default)]
    struct Box {
        events: usize,
        waiting: Waiting,
    }

    impl News for Box {
        fn is_there(&self) -> bool {
            self.events > 0
        }

        fn waiting(&mut self) -> &mut Waiting {
            &mut self.waiting
        }
    }

    const LATE: Duration = Duration::from_secs(60);

    type Shared = Arc<(Mutex<Box>, Condvar)>;

    fn look(shared: &Shared, time: Duration) -> Waited {
        let inner = shared.0.lock().expect("nobody panics");
        wait(&shared.1, inner, until(time)).1
    }

    #[test]
    fn an_interrupt_ends_all_waits_under_way_and_no_later_one() {
        let shared = Shared::default();
        let waiters: Vec<_> = (0..4)
            .map(|_| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || look(&shared, LATE))
            })
            .collect();
        while shared.0.lock().expect("nobody panics").waiting.count < 4 {
            std::thread::yield_now();
        }
        interrupt(&shared.1, &mut *shared.0.lock().expect("nobody panics"));
        for waiter in waiters {
            let ended = waiter.join().expect("it must not panic");
            assert_eq!(ended, Waited::Interrupted);
        }
        assert_eq!(look(&shared, Duration::from_millis(1)), Waited::InVain);
    }

    #[test]
    fn an_interrupt_that_comes_first_ends_the_next_wait_but_no_look() {
        let shared = Shared::default();
        for _ in 0..2 {
            // Twice is once.
            interrupt(&shared.1, &mut *shared.0.lock().expect("nobody panics"));
        }
        assert_eq!(look(&shared, Duration::ZERO), Waited::InVain);
        assert_eq!(look(&shared, LATE), Waited::Interrupted);
        assert_eq!(look(&shared, Duration::from_millis(1)), Waited::InVain);
        shared.0.lock().expect("nobody panics").events = 1;
        assert_eq!(look(&shared, LATE), Waited::Ready);
        // Whatever waits to be read: who reads without a pause is reached too.
        interrupt(&shared.1, &mut *shared.0.lock().expect("nobody panics"));
        assert_eq!(look(&shared, LATE), Waited::Interrupted);
        assert_eq!(look(&shared, LATE), Waited::Ready);
    }

    /// Five events, two at a time, then the end.
    fn give(each: &str) -> impl FnMut(Option<Moment>, usize, &mut String) -> Result<usize, Cut> {
        let mut left = 5_usize;
        move |_, most, out| match left {
            0 => Err(Cut::Closed),
            _ => {
                let given = most.min(2).min(left);
                left -= given;
                (0..given).for_each(|_| out.push_str(each));
                Ok(given)
            }
        }
    }

    #[test]
    fn batches_are_bounded_and_end_before_the_end_is_told() {
        let text = |most| batch(most, Duration::ZERO, give("{},"));
        assert_eq!(text(3).expect("there are some"), "[{},{},{}]");
        assert_eq!(text(9).expect("there are some"), "[{},{},{},{},{}]");
        for most in [0, 65_537, usize::MAX] {
            let error = text(most).expect_err("out of range");
            assert_eq!(error.message(), "most: must be from 1 to 65536");
        }
        let large = format!("\"{}\",", "x".repeat(MOST_BYTES));
        let two = batch(5, Duration::ZERO, give(&large)).expect("there are some");
        assert_eq!(two.matches(',').count(), 1);
        let none = batch(1, Duration::ZERO, |_, _, _| Ok(0)).expect_err("nothing");
        assert_eq!(none.status(), Status::End);
        let ended = batch(1, Duration::ZERO, |_, _, _| Err(Cut::Defect));
        assert_eq!(ended.expect_err("ended").status(), Status::Internal);
    }

    #[test]
    fn any_wait_can_be_asked_for() {
        assert_eq!(until(Duration::ZERO), None);
        assert!(until(Duration::MAX) > until(Duration::from_secs(3600)));
    }
}
