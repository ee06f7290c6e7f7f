//! Races of addresses that are none, and of sockets.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use kotak_neo_testing::silent::Silent;

use super::*;
use crate::transport::EventLoop;

const A4: &str = "127.0.0.1:443";
const B4: &str = "127.0.0.2:443";
const A6: &str = "[::1]:443";
const B6: &str = "[::2]:443";

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn all(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| address(text)).collect()
}

fn wish(prefer: Option<Family>, ms: u64) -> Wish {
    Wish {
        local: None,
        prefer,
        end: clock::now() + Duration::from_millis(ms),
    }
}

fn drive<T>(work: impl Future<Output = T>) -> T {
    let event_loop = EventLoop::new().expect("a loop can be had");
    event_loop.drive(work).expect("it is alive")
}

/// What an address does that is none.
#[derive(Clone, Copy)]
enum Does {
    Answers(u64),
    Fails(u64),
    Nothing,
}

#[derive(Default)]
struct Seen {
    begun: Mutex<Vec<SocketAddr>>,
    open: Arc<AtomicUsize>,
    told: Mutex<String>,
}

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Who wins, or what is told of all.
fn race(
    wish: &Wish,
    does: &[(&str, Does)],
) -> (Result<SocketAddr, String>, Vec<SocketAddr>, String) {
    let found: Vec<_> = does.iter().map(|(text, _)| address(text)).collect();
    let mut race = Race::new(&found, wish, clock::now());
    let seen = Seen::default();
    let connect = |to: SocketAddr| -> Trying<()> {
        seen.begun.lock().expect("no panic").push(to);
        seen.open.fetch_add(1, Ordering::SeqCst);
        let counted = Counted(Arc::clone(&seen.open));
        let does = does.iter().find(|(text, _)| address(text) == to);
        let does = does.expect("it was given").1;
        Box::pin(async move {
            let _counted = counted;
            let ms = |ms| clock::sleep(Duration::from_millis(ms));
            match does {
                Does::Answers(after) => {
                    ms(after).await;
                    Ok(())
                }
                Does::Fails(after) => {
                    ms(after).await;
                    Err("refused".to_owned())
                }
                Does::Nothing => std::future::pending().await,
            }
        })
    };
    let tell = |text: &str| text.clone_into(&mut seen.told.lock().expect("no panic"));
    let limit = Duration::from_secs(60);
    let won = drive(async { clock::timeout(limit, race.run(connect, tell)).await });
    let won = won.expect("it ends").map(|((), to)| to);
    assert_eq!(seen.open.load(Ordering::SeqCst), 0, "the losers are closed");
    let begun = seen.begun.into_inner().expect("no panic");
    (won, begun, seen.told.into_inner().expect("no panic"))
}

#[test]
fn families_take_turns_and_that_of_the_first_begins() {
    let turns = |texts: &[&str]| Vec::from(in_turns(all(texts).into_iter()));
    assert_eq!(turns(&[A6, B6, A4, B4]), all(&[A6, A4, B6, B4]));
    assert_eq!(turns(&[A4, B4, A6]), all(&[A4, A6, B4]));
    assert_eq!(turns(&[A4, A4, B4, A4]), all(&[A4, B4]));
    assert_eq!(turns(&[]), []);
    let many: Vec<_> = (0..1000)
        .map(|port| ([127, 0, 0, 1], port).into())
        .collect();
    assert_eq!(in_turns(many.into_iter()).len(), MOST_ADDRESSES);
}

#[test]
fn a_silent_address_holds_nothing_up() {
    use Does::{Answers, Nothing};
    for does in [
        [(A4, Nothing), (B4, Answers(0))],
        [(A6, Nothing), (A4, Answers(0))],
        [(A4, Nothing), (A6, Answers(0))],
    ] {
        let wish = wish(None, 60_000);
        let (won, begun, told) = race(&wish, &does);
        assert_eq!(won, Ok(address(does[1].0)));
        assert_eq!(begun, all(&[does[0].0, does[1].0]));
        assert_eq!(
            told,
            format!("{} is silent, {} is silent", does[0].0, does[1].0)
        );
    }
}

#[test]
fn a_slow_address_may_still_win() {
    use Does::{Answers, Nothing};
    let (won, begun, _) = race(&wish(None, 60_000), &[(A4, Answers(400)), (A6, Nothing)]);
    assert_eq!((won, begun.len()), (Ok(address(A4)), 2));
}

#[test]
fn after_a_failure_the_next_one_is_tried_at_once() {
    let ports: Vec<String> = (1..=60).map(|port| format!("127.0.0.1:{port}")).collect();
    let mut does: Vec<_> = ports
        .iter()
        .map(|to| (to.as_str(), Does::Fails(0)))
        .collect();
    does.push((B4, Does::Answers(0)));
    let began = clock::now();
    let (won, begun, told) = race(&wish(None, 60_000), &does);
    assert_eq!((won, begun.len()), (Ok(address(B4)), 61));
    // Not one after the other's time, which would be a quarter of a minute.
    assert!(began.elapsed() < STAGGER * 50);
    assert!(
        told.starts_with("127.0.0.1:1: refused, 127.0.0.1:2: refused"),
        "{told}"
    );
    assert!(told.ends_with(", and 53 more"), "{told}");
    let (won, begun, _) = race(&wish(None, 60_000), &does[..3]);
    let told = "127.0.0.1:1: refused, 127.0.0.1:2: refused, 127.0.0.1:3: refused";
    assert_eq!((won, begun.len()), (Err(told.to_owned()), 3));
}

#[test]
fn the_family_that_is_preferred_has_half_of_the_time() {
    use Does::{Answers, Fails, Nothing};
    let four = |ms| wish(Some(Family::V4), ms);
    // Slower than the other one would be, and longer than its share of the time.
    let does = [
        (A6, Answers(0)),
        (B6, Answers(0)),
        (A4, Nothing),
        (B4, Answers(300)),
    ];
    let (won, begun, _) = race(&four(60_000), &does);
    assert_eq!((won, begun), (Ok(address(B4)), all(&[A4, B4])));
    // All of it have failed: the other one at once.
    let does = [(A6, Answers(0)), (A4, Fails(0)), (B4, Fails(300))];
    let began = clock::now();
    let (won, begun, _) = race(&four(600_000), &does);
    assert_eq!((won, begun), (Ok(address(A6)), all(&[A4, B4, A6])));
    assert!(began.elapsed() < Duration::from_secs(60));
    // Or all are silent: after half of the time.
    let does = [(A6, Answers(0)), (A4, Nothing), (B4, Nothing)];
    let began = clock::now();
    let (won, begun, _) = race(&four(1_200), &does);
    assert_eq!((won, begun), (Ok(address(A6)), all(&[A4, B4, A6])));
    assert!(began.elapsed() >= Duration::from_millis(600));
    // There is none of it.
    let (won, begun, _) = race(&four(600_000), &[(A6, Answers(0))]);
    assert_eq!((won, begun), (Ok(address(A6)), all(&[A6])));
}

/// However many of the preferred family were not tried by then.
#[test]
fn half_of_the_time_is_for_the_other_family() {
    let mut silent: Vec<String> = (1..=40).map(|n| format!("127.0.1.{n}:443")).collect();
    silent.push(A6.to_owned());
    let does: Vec<_> = silent
        .iter()
        .map(|to| match to == A6 {
            true => (&to[..], Does::Answers(0)),
            false => (&to[..], Does::Nothing),
        })
        .collect();
    let (won, begun, _) = race(&wish(Some(Family::V4), 1500), &does);
    assert_eq!(won, Ok(address(A6)));
    assert!(begun.len() < 20, "{begun:?}");
}

#[test]
fn an_own_address_leaves_one_family() {
    let found = all(&[A6, A4]);
    let from = |local: &str, prefer| Wish {
        local: Some(local.parse().expect("an address")),
        ..wish(prefer, 1000)
    };
    for prefer in [None, Some(Family::V4), Some(Family::V6)] {
        let race = Race::new(&found, &from("127.0.0.9", prefer), clock::now());
        let possible: Vec<_> = race.next.iter().chain(&race.later).copied().collect();
        assert_eq!(possible, all(&[A4]), "{prefer:?}");
    }
    let six = from("::1", Some(Family::V4));
    assert!(Race::new(&found[1..], &six, clock::now()).is_over());
    assert_eq!(
        nowhere("h", &found[1..], &six),
        "local_address ::1 is an IPv6 address, and h has none of that family (127.0.0.1:443)"
    );
    assert_eq!(nowhere("h", &[], &six), "the name h has no address");
}

#[test]
fn what_cannot_be_is_said() {
    let journal = Journal::default();
    let reached = |host: &str, port: u16, wish: &Wish| {
        drive(reach("", (host, port), wish, &journal)).map(drop)
    };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    let foreign = Wish {
        local: Some([192, 0, 2, 1].into()),
        ..wish(None, 60_000)
    };
    let why = reached("127.0.0.1", port, &foreign).expect_err("it is not ours");
    let start = format!("127.0.0.1:{port}: local_address 192.0.2.1 cannot be used: ");
    assert!(why.starts_with(&start), "{why}");
    let six = Wish {
        local: Some("::1".parse().expect("an address")),
        ..wish(None, 60_000)
    };
    let why = reached("127.0.0.1", port, &six).expect_err("it is of another family");
    assert!(
        why.starts_with("local_address ::1 is an IPv6 address, and"),
        "{why}"
    );
    reached("127.0.0.1", port, &wish(None, 60_000)).expect("it listens");
    drop(listener);
    let why = reached("localhost", port, &wish(None, 60_000)).expect_err("nobody listens");
    assert!(why.starts_with(&format!("127.0.0.1:{port}: ")), "{why}");
    assert!(why.contains(&format!(", [::1]:{port}: ")), "{why}");
}

#[test]
fn sockets_are_raced_too() {
    const NAME: &str = "sockets_are_raced_too";
    let Some(silent) = Silent::at(NAME, [127, 0, 0, 2].into(), 0) else {
        return;
    };
    let port = silent.address().port();
    let listener = TcpListener::bind(("127.0.0.3", port)).expect("nobody else is there");
    let local = Some([127, 0, 0, 9].into());
    let found = [
        silent.address(),
        listener.local_addr().expect("it is bound"),
    ];
    let wish = wish(None, 60_000);
    let mut race = Race::new(&found, &wish, clock::now());
    let connecting = race.run(|to| Box::pin(connect(to, local)), |_| {});
    let (stream, to) = drive(connecting).expect("the second one listens");
    assert_eq!(to, found[1]);
    let own = stream.local_addr().expect("it is connected");
    assert_eq!(Some(own.ip()), local);
}
