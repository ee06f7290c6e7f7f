//! The clock goes on, jumps where a test says so, and ends what is over.

use std::future::pending;
use std::pin::pin;
use std::time::Instant;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const HOUR_MS: i64 = 3_600_000;

fn block_on<F: Future>(work: F) -> F::Output {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().build().expect("a runtime");
    // By the timers of tokio, so that a clock that is wrong ends the test.
    let guarded = async { tokio::time::timeout(Duration::from_secs(60), work).await };
    runtime.block_on(guarded).expect("it ended")
}

#[test]
fn moments_are_added_and_compared() {
    let start = now();
    assert!(start <= now());
    let later = start + HOUR;
    assert!(later > now());
    assert_eq!(later.saturating_duration_since(start), HOUR);
    assert_eq!(start.saturating_duration_since(later), Duration::ZERO);
    assert_eq!(later.elapsed(), Duration::ZERO);
    assert_eq!(later - HOUR, start);
    assert_eq!(start.checked_add(HOUR), Some(later));
    assert_eq!(later.checked_sub(HOUR), Some(start));
    // Also before the machine was started.
    assert!((start - HOUR * 24 * 365).elapsed() >= HOUR * 24 * 365);
    for far in [Duration::MAX, Duration::from_secs(1 << 40)] {
        assert_eq!(
            (start.checked_add(far), start.checked_sub(far)),
            (None, None)
        );
        assert!(start + far > later && start - far < start);
    }
}

#[test]
fn the_wall_clock_is_that_of_std() {
    let since = |time: SystemTime| time.duration_since(UNIX_EPOCH).expect("after 1970");
    let (before, told) = (since(SystemTime::now()), unix());
    assert!(before <= told && told <= since(SystemTime::now()));
    assert!(u128::from(unix_seconds()) >= told.as_millis() / 1000);
    assert!(u128::from(unix_ms()) >= told.as_millis());
    assert!(u128::from(unix_ns()) >= told.as_nanos());
}

#[test]
fn a_test_shifts_the_clock_of_its_thread() {
    let (start, wall) = (now(), unix());
    {
        let _later = shifted(2 * HOUR_MS, HOUR_MS);
        assert!(start.elapsed() >= HOUR && start.elapsed() < 2 * HOUR);
        assert!(unix() >= wall + 2 * HOUR);
        {
            let _earlier = shifted(-HOUR_MS, -HOUR_MS);
            assert!(now() < start && unix() < wall);
            let other = std::thread::spawn(move || now() >= start && unix() >= wall);
            assert!(other.join().expect("it ran"), "only this thread");
        }
        assert!(start.elapsed() >= HOUR);
    }
    assert!(start.elapsed() < HOUR && unix() < wall + HOUR);
    let _long_ago = shifted(i64::MIN, 0);
    assert_eq!(unix(), Duration::ZERO);
}

#[test]
fn the_clock_that_counts_sleep_is_told_as_an_instant() {
    let (start, real) = (instant(), Instant::now());
    let since = |earlier: Instant| instant().saturating_duration_since(earlier);
    assert!(since(start) <= real.elapsed() + HOUR);
    {
        // The machine sleeps, and std's clock with it.
        let _later = shifted(0, 2 * HOUR_MS);
        assert!(since(start) >= 2 * HOUR && real.elapsed() < HOUR);
        // Before it was first asked.
        let _earlier = shifted(0, i64::MIN / 1_000_000);
        assert_eq!(since(start), Duration::ZERO);
    }
    assert!(since(start) < HOUR);
}

#[test]
fn what_is_over_after_a_jump_ends_by_itself() {
    block_on(async {
        let mut sleep = pin!(sleep(HOUR));
        let mut work = pin!(timeout(HOUR, pending::<()>()));
        let waits = std::future::poll_fn(|context| {
            let pending = sleep.as_mut().poll(context).is_pending();
            Poll::Ready(pending && work.as_mut().poll(context).is_pending())
        });
        assert!(waits.await);
        // As if the machine had slept for two hours.
        let _later = shifted(0, 2 * HOUR_MS);
        sleep.await;
        assert_eq!(work.await, Err(Elapsed));
    });
}

#[test]
fn a_timer_that_is_early_waits_on() {
    block_on(async {
        let (began, end) = (Instant::now(), now() + Duration::from_millis(10));
        let mut sleep = pin!(sleep_until(end));
        let _earlier = shifted(0, -40);
        sleep.as_mut().await;
        assert!(now() >= end);
        assert!(began.elapsed() >= Duration::from_millis(50));
    });
}

#[test]
fn work_that_is_done_counts() {
    block_on(async {
        let past = now() - HOUR;
        assert_eq!(timeout_at(past, async { 7 }).await, Ok(7));
        assert_eq!(timeout_at(past, pending::<()>()).await, Err(Elapsed));
        assert_eq!(timeout(HOUR, sleep(Duration::from_millis(1))).await, Ok(()));
        sleep_until(past).await;
    });
}

#[cfg(debug_assertions)]
mod of_a_process {
    use super::super::*;
    use crate::base::clock::shift;
    use kotak_neo_testing::folder::Folder;
    use std::fs;
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Command, Stdio};

    /// The name of the test that stands for another process.
    fn name() -> String {
        let (_crate, module) = module_path!().split_once("::").expect("a module");
        format!("{module}::tells_its_clock")
    }
    const MARK: &str = "clock ";

    #[test]
    fn half_a_file_is_not_taken() {
        assert_eq!(shift::parse("-5 7\n"), Some((-5, 7)));
        for half in ["", "-5", "-5 ", "-5 7", "\n", "-5\n", "x 7\n"] {
            assert_eq!(shift::parse(half), None, "{half:?}");
        }
    }

    /// The other process of the test below: for each line that it reads, it
    /// tells both of its clocks.
    #[test]
    fn tells_its_clock() {
        if std::env::var_os("KNEO_TEST_CLOCK").is_none() {
            return;
        }
        for _line in std::io::stdin().lines() {
            println!("\n{MARK}{} {}", unix_ms(), now().0 / 1_000_000);
        }
    }

    #[test]
    fn the_clock_of_a_running_process_jumps() {
        let folder = Folder::new("clock");
        let file = folder.path("shift");
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", &name(), "--nocapture"])
            .env("KNEO_TEST_CLOCK", &file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut ask = child.stdin.take().expect("a pipe");
        let mut told = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut shift = || -> (i64, i64) {
            let ours = (unix_ms() as i64, now().0 / 1_000_000);
            ask.write_all(b"\n").expect("it listens");
            let line = told
                .by_ref()
                .map(|line| line.expect("text"))
                .find_map(|line| line.strip_prefix(MARK).map(str::to_owned))
                .expect("an answer");
            let (wall, moment) = line.split_once(' ').expect("two numbers");
            let number = |text: &str| text.parse::<i64>().expect("a number");
            (number(wall) - ours.0, number(moment) - ours.1)
        };
        // What passes between our look and the answer comes on top of a jump.
        let near = |told: (i64, i64), wall: i64, moments: i64| {
            let slack = 0..=50_000;
            assert!(slack.contains(&(told.0 - wall)), "{told:?}");
            assert!(slack.contains(&(told.1 - moments)), "{told:?}");
        };
        near(shift(), 0, 0);
        for (text, wall, moments) in [
            ("86400000 0\n", 86_400_000, 0),
            ("-86400000 3600000\n", -86_400_000, 3_600_000),
            // Half written: what was said before holds.
            ("86400000", -86_400_000, 3_600_000),
            ("0 0\n", 0, 0),
        ] {
            fs::write(&file, text).expect("a file");
            near(shift(), wall, moments);
        }
        drop(ask);
        assert!(child.wait().expect("it ends").success());
    }
}
