//! The pace: slots, turns and accounts; and a simulated broker that counts.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::thread;

use futures_util::FutureExt;
use kotak_neo_testing::dice::Dice;

use super::*;
use crate::base::clock::shifted;
use crate::transport::EventLoop;

const LONG: Duration = Duration::from_secs(600);

/// As instructions have it.
fn ceiling(most: u32) -> Ceiling {
    Ceiling::new(most).keeping_some()
}

fn pace(most: u32, broker: &str) -> Pace {
    Pace::new(ceiling(most), broker.to_owned(), Arc::default())
}

/// An instruction leaves and is not answered for as long as a test takes.
fn lose(slot: Slot) {
    slot.leave(LONG);
}

fn wait(pace: &Pace, kind: Use, deadline: Moment) -> Result<Slot, Duration> {
    let event_loop = EventLoop::new().expect("a loop can be had");
    let waiting = pace.wait(None, kind, deadline);
    event_loop.drive(waiting).expect("it is alive")
}

/// Until so many wait for a slot.
fn until_waiting(pace: &Pace, count: usize) {
    let patience = clock::now() + LONG;
    while pace.nameless.turns().waiting() != count {
        assert!(clock::now() < patience, "{count} never waited");
        thread::sleep(Duration::from_millis(1));
    }
}

fn used(pace: &Pace) -> usize {
    let mut turns = pace.nameless.turns();
    turns.at_rest(clock::now());
    turns.used()
}

/// When its only slot is free.
fn free_at(pace: &Pace) -> Moment {
    let turns = pace.nameless.turns();
    let at = turns.surely_not_before(Use::Usual, pace.ceiling);
    at.expect("it is used, and known until when")
}

#[test]
fn one_slot_in_ten_is_kept_for_cancels() {
    let all_of = |pace: &Pace, kind| -> Vec<Slot> {
        let slots = (0..30).map(|_| pace.reserve(None, kind));
        slots.map_while(|slot| slot).collect()
    };
    for (most, for_orders) in [(10, 9), (9, 9), (1, 1), (19, 18), (20, 18)] {
        let pace = pace(most, "a");
        let orders = all_of(&pace, Use::Usual);
        let cancels = all_of(&pace, Use::Urgent);
        let for_cancels = most as usize - for_orders;
        assert_eq!((orders.len(), cancels.len()), (for_orders, for_cancels));
    }
    let pace = pace(10, "a");
    let cancels = all_of(&pace, Use::Urgent);
    let orders = all_of(&pace, Use::Usual);
    assert_eq!((cancels.len(), orders.len()), (10, 0));
}

#[test]
fn a_slot_is_free_one_second_after_its_answer_however_long_that_took() {
    let pace = pace(1, "a");
    let slot = pace.reserve(None, Use::Usual).expect("it is free");
    slot.leave(LONG);
    let _late = shifted(0, 300_000);
    assert!(pace.reserve(None, Use::Urgent).is_none());
    let before = clock::now();
    slot.answered();
    let after = clock::now();
    drop(slot);
    let free = free_at(&pace);
    assert!(before + WINDOW <= free && free <= after + WINDOW);
    let mut turns = pace.nameless.turns();
    let just_before = free - Duration::from_nanos(1);
    assert!(!turns.take(Use::Usual, pace.ceiling, just_before));
    assert!(turns.take(Use::Usual, pace.ceiling, free));
}

#[test]
fn one_without_an_answer_counts_until_it_cannot_come_any_more() {
    let seconds = Duration::from_secs;
    // Interrupted; ended long after its deadline, on a machine that slept.
    for ended in [0, 4, 60, 4000] {
        let pace = pace(1, "a");
        let slot = pace.reserve(None, Use::Usual).expect("it is free");
        let left = clock::now();
        // The system may try for 7 s.
        slot.leave(seconds(7));
        let _end = shifted(0, ended * 1000);
        drop(slot);
        let after = clock::now() - seconds(ended.unsigned_abs());
        let bound = |from: Moment| from + seconds(ended.unsigned_abs()) + seconds(7) + WINDOW;
        let free = free_at(&pace);
        assert!(bound(left) <= free && free <= bound(after), "{ended}");
    }
}

#[test]
fn a_slot_that_nothing_left_by_comes_back() {
    let pace = pace(2, "a");
    let first = pace.reserve(None, Use::Usual).expect("two are free");
    let second = pace.reserve(None, Use::Usual).expect("one is free");
    assert!(pace.reserve(None, Use::Urgent).is_none());
    drop(first);
    assert_eq!(used(&pace), 1);
    // An answer to what never left proves nothing.
    second.answered();
    drop(second);
    assert_eq!(used(&pace), 0);
    // It counts once, however often it is told.
    let slot = pace.reserve(None, Use::Usual).expect("two are free");
    slot.leave(LONG);
    slot.answered();
    slot.answered();
    drop(slot);
    assert_eq!(pace.nameless.turns().used(), 1);
}

/// The rule itself: at one a second the first to come is the first to go, for ever.
#[test]
fn those_that_wait_are_served_in_the_order_in_which_they_came() {
    const WAITERS: usize = 6;
    let pace = &pace(1, "a");
    let first = pace.reserve(None, Use::Usual).expect("it is free");
    let (served, order) = mpsc::channel();
    thread::scope(|scope| {
        for at in 0..WAITERS {
            let served = served.clone();
            scope.spawn(move || {
                let slot = wait(pace, Use::Usual, clock::now() + LONG).expect("its turn comes");
                served.send(at).expect("the test listens");
                // Given back unused, to the next one.
                drop(slot);
            });
            until_waiting(pace, at + 1);
        }
        drop(first);
    });
    let order: Vec<usize> = order.try_iter().collect();
    assert_eq!(order, (0..WAITERS).collect::<Vec<_>>());
    assert_eq!((used(pace), pace.nameless.turns().waiting()), (0, 0));
}

#[test]
fn one_that_gives_up_lets_the_next_one_go() {
    let pace = &pace(1, "a");
    let event_loop = EventLoop::new().expect("a loop can be had");
    let first = pace.reserve(None, Use::Usual).expect("it is free");
    thread::scope(|scope| {
        let next = event_loop.drive(async {
            let mut gives_up = Box::pin(pace.wait(None, Use::Usual, clock::now() + LONG));
            assert!((&mut gives_up).now_or_never().is_none());
            let next = scope.spawn(|| wait(pace, Use::Usual, clock::now() + LONG).is_ok());
            until_waiting(pace, 2);
            // It is its turn, and it does not look.
            drop(first);
            assert_eq!(used(pace), 0);
            // Nobody who comes now may go before them.
            assert!(pace.reserve(None, Use::Usual).is_none());
            drop(gives_up);
            next
        });
        let next = next.expect("it is alive").join();
        assert!(next.expect("no panic"));
    });
}

#[test]
fn a_cancel_does_not_wait_behind_orders_nor_they_for_ever_behind_cancels() {
    let pace = &pace(10, "a");
    let slots: Vec<_> = (0..9).map(|_| pace.reserve(None, Use::Usual)).collect();
    assert!(slots.iter().all(Option::is_some));
    thread::scope(|scope| {
        let order = scope.spawn(|| wait(pace, Use::Usual, clock::now() + LONG));
        until_waiting(pace, 1);
        // The one that is kept.
        let cancel = pace.reserve(None, Use::Urgent).expect("it is kept");
        assert!(pace.reserve(None, Use::Urgent).is_none());
        let second = scope.spawn(|| wait(pace, Use::Urgent, clock::now() + LONG));
        until_waiting(pace, 2);
        // The order came before that cancel, and may have this slot.
        drop(slots);
        let order = order.join().expect("no panic").expect("its turn");
        let second = second.join().expect("no panic").expect("its turn");
        drop((cancel, order, second));
    });
    assert_eq!(used(pace), 0);
}

#[test]
fn an_older_order_is_served_before_a_younger_cancel_if_it_may_have_the_slot() {
    let now = clock::now();
    let ceiling = ceiling(10);
    let mut turns = Turns::default();
    assert!((0..9).all(|_| turns.take(Use::Usual, ceiling, now)));
    assert!(turns.take(Use::Urgent, ceiling, now));
    let order = turns.queue(Use::Usual, ceiling, Arc::default());
    let cancel = turns.queue(Use::Urgent, ceiling, Arc::default());
    assert_eq!(turns.ask(Use::Urgent, cancel, now), When::Later);
    turns.give_back(Use::Usual, now);
    assert_eq!(turns.ask(Use::Urgent, cancel, now), When::Later);
    assert_eq!(turns.ask(Use::Usual, order, now), When::Now);
    // That of a cancel is none for an order.
    let order = turns.queue(Use::Usual, ceiling, Arc::default());
    turns.give_back(Use::Urgent, now);
    assert_eq!(turns.ask(Use::Usual, order, now), When::Later);
    assert_eq!(turns.ask(Use::Urgent, cancel, now), When::Now);
}

#[test]
fn a_wait_that_cannot_end_in_time_ends_at_once() {
    let pace = pace(1, "a");
    let slot = pace.reserve(None, Use::Usual).expect("it is free");
    lose(slot);
    let start = clock::now();
    let told = wait(&pace, Use::Usual, start + LONG).expect_err("it is used until later");
    assert!(told <= 2 * LONG + WINDOW && told > LONG, "{told:?}");
    assert!(start.elapsed() < LONG);
    // While an answer is out nobody knows.
    let _later = shifted(0, 3_000_000);
    let slot = pace.reserve(None, Use::Usual).expect("it is free");
    slot.leave(LONG);
    let deadline = clock::now() + Duration::from_millis(30);
    let told = wait(&pace, Use::Usual, deadline).expect_err("no answer came");
    assert_eq!(told, WINDOW);
    assert!(clock::now() >= deadline);
    assert_eq!(pace.nameless.turns().waiting(), 0);
}

#[test]
fn only_so_many_are_under_way_and_a_lost_one_counts_for_a_second() {
    let most = Ceiling::new(25).at_once(2);
    let pace = Pace::new(most, "a".to_owned(), Arc::default());
    let reserve = || pace.reserve(None, Use::Usual);
    let (first, second) = (reserve().expect("two may"), reserve().expect("two may"));
    assert!(reserve().is_none());
    first.leave(Duration::ZERO);
    first.answered();
    let third = reserve().expect("one was answered");
    second.leave(Duration::ZERO);
    // Nothing left by this one after all.
    third.leave(Duration::ZERO);
    third.take_back();
    drop(third);
    let third = reserve().expect("it came back");
    // The broker may be at work on this one, though nobody waits for it.
    drop(second);
    assert!(reserve().is_none());
    let _later = shifted(0, 1001);
    assert!(reserve().is_some());
    drop(third);
}

#[test]
fn what_the_broker_wants_not_now_waits_until_then() {
    let pace = pace(10, "a");
    let slot = pace.reserve(None, Use::Usual).expect("it is free");
    slot.leave(Duration::ZERO);
    slot.answered();
    slot.hold(Duration::from_secs(30));
    slot.hold(Duration::from_secs(5));
    assert!(pace.reserve(None, Use::Usual).is_none() && pace.reserve(None, Use::Urgent).is_none());
    let start = clock::now();
    let told = wait(&pace, Use::Urgent, start + Duration::from_secs(20));
    let told = told.expect_err("it is for longer");
    let seconds = Duration::from_secs;
    assert!(seconds(29) < told && told <= seconds(30), "{told:?}");
    assert!(pace.held(None).is_some());
    let _later = shifted(0, 30_001);
    assert!(pace.held(None).is_none());
    assert!(pace.reserve(None, Use::Usual).is_some());
}

#[test]
fn one_that_may_not_wait_is_counted_all_the_same() {
    let pace = pace(1, "a");
    let slot = pace.reserve(None, Use::Usual).expect("it is free");
    let second = pace.insist(None, Use::Usual);
    drop(slot);
    assert!(pace.reserve(None, Use::Usual).is_none());
    drop(second);
    assert!(pace.reserve(None, Use::Usual).is_some());
}

#[test]
fn a_credential_names_its_slots_and_is_not_kept() {
    let secret = |text: &str| Secret::new(text.to_owned());
    let of = |what: &str, text: &str| Account::of_secret(what, &secret(text));
    let one = of("quotes hashed", "fake-key-1");
    assert!(Arc::ptr_eq(&one, &of("quotes hashed", "fake-key-1")));
    assert!(!Arc::ptr_eq(&one, &of("quotes hashed", "fake-key-2")));
    assert!(!Arc::ptr_eq(&one, &of("candles hashed", "fake-key-1")));
    let all = ACCOUNTS.get().all.lock().expect("no panic");
    assert!(all.iter().all(|entry| !entry.name.contains("fake")));
}

#[test]
fn all_clients_of_an_account_share_its_slots() {
    let reserve = |pace: &Pace, ucc: &str| pace.reserve(Some(ucc), Use::Usual);
    let (one, two) = (pace(2, "shared"), pace(2, "shared"));
    let slot = reserve(&one, "AB1").expect("it is free");
    let small = pace(1, "shared");
    assert!(reserve(&small, "AB1").is_none());
    let second = reserve(&two, "ab1").expect("one more is free");
    lose(second);
    assert!(reserve(&one, "AB1").is_none() && reserve(&two, "AB1").is_none());
    // Another account, another broker, and clients whose account has no name.
    assert!(reserve(&one, "AB2").is_some());
    assert!(reserve(&pace(2, "other"), "AB1").is_some());
    assert!(one.reserve(None, Use::Usual).is_some() && two.reserve(None, Use::Usual).is_some());
    // Whoever comes back to an account finds what was sent.
    assert!(reserve(&two, "AB1").is_none());
    drop(slot);
    // So does a client that is opened anew.
    drop((one, two, small));
    assert!(reserve(&pace(1, "shared"), "AB1").is_none());
    assert!(reserve(&pace(2, "shared"), "AB1").is_some());
}

#[test]
fn accounts_that_nobody_uses_are_forgotten() {
    let accounts = Accounts::default();
    let known = || accounts.all.lock().expect("no panic").len();
    let ceiling = ceiling(10);
    let now = clock::now();
    for user in 0..50 {
        let account = accounts.named("a", &format!("U{user}"));
        let mut turns = account.turns();
        assert!(turns.take(Use::Usual, ceiling, now));
        turns.free_at(Use::Usual, now + LONG, now);
    }
    let used = accounts.named("a", "used");
    assert_eq!(known(), 51);
    let _later = shifted(0, 1_000_000);
    assert!(Arc::ptr_eq(&used, &accounts.named("a", "USED")));
    assert_eq!(known(), 1);
}

/// What becomes of an instruction that has left.
#[derive(Clone, Copy)]
enum Fate {
    Answered,
    /// Its call ends without an answer, and it may come all the same.
    Lost,
}

/// What happens next, and to whom.
enum Event {
    Begins(usize),
    Looks(usize),
    Leaves(usize),
    Ends(usize, Fate),
    GivesUp(usize),
}

/// A caller in the simulation.
struct Caller {
    kind: Use,
    ceiling: Ceiling,
    /// Its place in the queue, its bell, and when it looks again.
    waits: Option<(u64, Arc<Notify>, Option<Moment>)>,
    left: u32,
}

/// What is simulated.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sort {
    Instructions,
    /// At most [`AT_ONCE`] under way, and the broker says now and then that it wants none.
    Reads,
}

const AT_ONCE: u32 = 4;

/// A slot as the simulation knows it.
struct Known {
    kind: Use,
    /// Until when it is used, if that is known.
    until: Option<Moment>,
    is_lost: bool,
}

struct World {
    sort: Sort,
    dice: Dice,
    now: Moment,
    turns: Turns,
    /// The slots that are used: to tell whether one was free.
    known: Vec<Known>,
    held: Moment,
    callers: Vec<Caller>,
    events: BTreeMap<(Moment, u64), Event>,
    count: u64,
    /// When each request came to the broker.
    came: Vec<(Moment, Use)>,
    /// From when until when the broker was at work on each.
    work: Vec<(Moment, Moment)>,
    served: [Vec<u64>; 2],
}

impl World {
    fn new(sort: Sort, seed: u64, start: Moment) -> Self {
        let mut world = Self {
            sort,
            known: Vec::new(),
            held: start,
            work: Vec::new(),
            dice: Dice::new(seed),
            now: start,
            turns: Turns::default(),
            callers: Vec::new(),
            events: BTreeMap::new(),
            count: 0,
            came: Vec::new(),
            served: Default::default(),
        };
        let most = [10, 10, 10, 4];
        for at in 0..30 {
            let kind = match world.dice.roll(4) {
                0 => Use::Urgent,
                _ => Use::Usual,
            };
            let ceiling = ceiling(*world.dice.pick(&most));
            let ceiling = match sort {
                Sort::Instructions => ceiling,
                Sort::Reads => ceiling.at_once(AT_ONCE),
            };
            world.callers.push(Caller {
                kind,
                ceiling,
                waits: None,
                left: 8,
            });
            world.after(500, Event::Begins(at));
        }
        world
    }

    /// Something happens within so many milliseconds.
    fn after(&mut self, most_ms: u64, event: Event) {
        let time = Duration::from_micros(self.dice.roll(most_ms * 1000 + 1));
        self.at(self.now + time, event);
    }

    fn at(&mut self, moment: Moment, event: Event) {
        self.count += 1;
        self.events.insert((moment, self.count), event);
    }

    fn run(&mut self) {
        loop {
            // Who was rung looks, as soon as its thread runs; who has a time looks then.
            for at in 0..self.callers.len() {
                let Some((_, bell, due)) = &mut self.callers[at].waits else {
                    continue;
                };
                if bell.notified().now_or_never().is_some() {
                    *due = None;
                    self.after(20, Event::Looks(at));
                } else if let Some(due) = due.take() {
                    self.at(due, Event::Looks(at));
                }
            }
            let Some(((moment, _), event)) = self.events.pop_first() else {
                break;
            };
            self.now = moment;
            self.happens(event);
        }
        let stuck = self.callers.iter().filter(|it| it.waits.is_some()).count();
        assert_eq!((stuck, self.turns.waiting()), (0, 0), "nobody woke them");
    }

    /// Whether one may go, as if nobody waited.
    fn is_free(&self, kind: Use, ceiling: Ceiling) -> bool {
        let is_used = |it: &&Known| it.until.is_none_or(|until| until > self.now);
        let used = || self.known.iter().filter(is_used);
        let of = |kind| used().filter(|it| it.kind == kind).count();
        let under_way = used().filter(|it| it.until.is_none() || it.is_lost).count();
        let used = [of(Use::Usual), of(Use::Urgent)];
        self.held <= self.now && ceiling.admits(kind, used, under_way)
    }

    /// A caller has a slot now.
    fn goes(&mut self, at: usize) {
        let Caller { kind, ceiling, .. } = self.callers[at];
        assert!(self.is_free(kind, ceiling), "there was none to give");
        let (until, is_lost) = (None, false);
        self.known.push(Known {
            kind,
            until,
            is_lost,
        });
        self.after(15, Event::Leaves(at));
    }

    /// One slot of a kind that nobody knew the end of.
    fn ends(&mut self, kind: Use, until: Moment, is_lost: bool) {
        let mut known = self.known.iter_mut();
        let slot = known.find(|it| it.kind == kind && it.until.is_none());
        let slot = slot.expect("it is used");
        (slot.until, slot.is_lost) = (Some(until), is_lost);
    }

    fn happens(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Begins(at) => {
                let Caller { kind, ceiling, .. } = self.callers[at];
                if self.callers[at].left == 0 {
                    return;
                }
                self.callers[at].left -= 1;
                let queued = self.callers.iter();
                let queued = queued.filter(|it| it.waits.is_some()).count();
                if self.turns.take(kind, ceiling, now) {
                    return self.goes(at);
                }
                let nobody_waits = queued == 0;
                assert!(
                    !(nobody_waits && self.is_free(kind, ceiling)),
                    "one was free"
                );
                let bell = Arc::new(Notify::new());
                let ticket = self.turns.queue(kind, ceiling, Arc::clone(&bell));
                self.callers[at].waits = Some((ticket, bell, None));
                self.after(20, Event::Looks(at));
                if self.dice.roll(8) == 0 {
                    self.after(3000, Event::GivesUp(at));
                }
            }
            Event::Looks(at) => {
                let caller = &mut self.callers[at];
                let Some((ticket, _, due)) = &mut caller.waits else {
                    return;
                };
                match self.turns.ask(caller.kind, *ticket, now) {
                    When::Now => {
                        self.served[caller.kind as usize].push(*ticket);
                        caller.waits = None;
                        self.goes(at);
                    }
                    When::At(moment) => {
                        assert!(moment > now, "it would look without a pause");
                        *due = Some(moment);
                    }
                    When::Later => {}
                }
            }
            Event::GivesUp(at) => {
                if let Some((ticket, ..)) = self.callers[at].waits.take() {
                    self.turns.leave(self.callers[at].kind, ticket, now);
                    self.after(100, Event::Begins(at));
                }
            }
            Event::Leaves(at) => {
                let kind = self.callers[at].kind;
                let ms = Duration::from_millis;
                match self.dice.roll(10) {
                    // The connection was gone, and nothing left.
                    0 => {
                        self.turns.give_back(kind, now);
                        self.ends(kind, now, false);
                        self.after(100, Event::Begins(at));
                    }
                    // Interrupted, timed out, cut: it comes at some time before the system
                    // gives it up, or never.
                    1 if self.sort == Sort::Reads => {
                        // The broker may be at work on it for a while after its call.
                        let ends = now + ms(self.dice.roll(300));
                        let there = (now + ms(self.dice.roll(300))).min(ends);
                        let done = there.max(ends + ms(self.dice.roll(1000)));
                        self.came.push((there, kind));
                        self.work.push((there, done));
                        self.at(ends, Event::Ends(at, Fate::Lost));
                    }
                    1 => {
                        let ends = now + ms(self.dice.roll(300));
                        if self.dice.roll(4) > 0 {
                            self.came.push((now + ms(self.dice.roll(1500)), kind));
                        }
                        self.at(ends, Event::Ends(at, Fate::Lost));
                    }
                    _ => {
                        let there = now + ms(self.dice.roll(300));
                        let done = there + ms(self.dice.roll(100));
                        let back = done + ms(self.dice.roll(100));
                        self.came.push((there, kind));
                        self.work.push((there, done));
                        self.at(back, Event::Ends(at, Fate::Answered));
                    }
                }
            }
            Event::Ends(at, fate) => {
                let kind = self.callers[at].kind;
                let patience = match self.sort {
                    // As if the deadline were 500 ms after the sending at the latest.
                    Sort::Instructions => Duration::from_millis(1500),
                    Sort::Reads => Duration::ZERO,
                };
                match fate {
                    Fate::Answered => {
                        self.turns.free_at(kind, now + WINDOW, now);
                        self.ends(kind, now + WINDOW, false);
                    }
                    Fate::Lost => {
                        self.turns.lost(kind, now + patience + WINDOW, now);
                        self.ends(kind, now + patience + WINDOW, true);
                    }
                }
                if self.sort == Sort::Reads && self.dice.roll(20) == 0 {
                    let until = now + Duration::from_millis(self.dice.roll(2000));
                    self.turns.hold(until, now);
                    self.held = self.held.max(until);
                }
                self.after(20, Event::Begins(at));
            }
        }
    }

    /// The most of those that came in one second: of any, and of those of a clock.
    fn most(&mut self, of: &[Moment], start: Moment) -> (usize, usize) {
        let within = |from: Moment| {
            of.iter()
                .filter(move |at| (from..from + WINDOW).contains(at))
        };
        let sliding = of.iter().map(|from| within(*from).count()).max();
        let mut by_clock = 0;
        for _ in 0..20 {
            let mut seconds = BTreeMap::new();
            let phase = Duration::from_millis(self.dice.roll(1000));
            for at in of {
                let second = (*at + phase).saturating_duration_since(start).as_secs();
                *seconds.entry(second).or_insert(0) += 1;
            }
            by_clock = by_clock.max(seconds.into_values().max().unwrap_or(0));
        }
        (sliding.unwrap_or(0), by_clock)
    }
}

/// The most that the broker was at work on at one time.
fn most_at_once(work: &[(Moment, Moment)]) -> usize {
    let at = |moment: Moment| {
        let is_in = |it: &&(Moment, Moment)| it.0 <= moment && moment < it.1;
        work.iter().filter(is_in).count()
    };
    work.iter().map(|(from, _)| at(*from)).max().unwrap_or(0)
}

/// Whatever the network does, and however late threads run: the broker never counts more than
/// the ceiling, in no second; nobody is left waiting, nobody waits for what is free, and all
/// are served as they came.
#[test]
fn no_second_of_the_broker_sees_more_than_the_ceiling() {
    simulate(Sort::Instructions);
}

/// The same, and it is never at work on more than it may be, nor gets what it does not want.
#[test]
fn the_broker_never_has_more_reads_at_once_than_it_may() {
    simulate(Sort::Reads);
}

fn simulate(sort: Sort) {
    let start = clock::now();
    let (mut reached, mut reached_at_once) = (0, 0);
    for seed in 0..60 {
        let mut world = World::new(sort, seed, start);
        world.run();
        let came = std::mem::take(&mut world.came);
        let all: Vec<Moment> = came.iter().map(|(at, _)| *at).collect();
        let orders = came.iter().filter(|(_, kind)| *kind == Use::Usual);
        let orders: Vec<Moment> = orders.map(|(at, _)| *at).collect();
        assert!(all.len() > 100, "{seed}: {}", all.len());
        let (sliding, by_clock) = world.most(&all, start);
        assert!(
            sliding <= 10 && by_clock <= 10,
            "{seed}: {sliding} {by_clock}"
        );
        let (sliding_orders, _) = world.most(&orders, start);
        assert!(sliding_orders <= 9, "{seed}: {sliding_orders}");
        for served in &world.served {
            assert!(served.is_sorted(), "{seed}: {served:?}");
        }
        assert!(world.turns.at_rest(world.now + LONG), "{seed}");
        reached = reached.max(sliding);
        let at_once = most_at_once(&world.work);
        let may_be = AT_ONCE as usize;
        assert!(sort == Sort::Instructions || at_once <= may_be, "{seed}");
        reached_at_once = reached_at_once.max(at_once);
    }
    assert!(reached == 10, "{reached}: the ceiling was never reached");
    assert!(reached_at_once >= AT_ONCE as usize, "{reached_at_once}");
}
