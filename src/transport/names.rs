//! Name lookup by the system, except for `localhost`.

#[cfg(debug_assertions)]
pub mod table;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::base::clock::{self, Moment};
use crate::base::loopback::is_localhost;
use crate::base::process::{self, PerProcess};

/// How many lookups the system has at a time, of all clients of the process.
/// One that hangs keeps its thread: it cannot be cancelled.
const MOST_THREADS: usize = 8;
/// A lookup that takes longer may hang for ever. Who asks for its name from
/// then on has another one made, if a thread is free.
const HANGS_AFTER: Duration = Duration::from_secs(5);

/// The lookups of one process: those of the same name at the same time are one.
#[derive(Clone, Default)]
struct Lookups(Arc<Mutex<Pending>>);

struct Pending {
    resolve: Resolve,
    /// Begun or waiting for a thread, the oldest first.
    lookups: VecDeque<Lookup>,
    /// How many threads there are.
    threads: usize,
    /// Names a lookup within the process.
    next: u64,
}

type Resolve = fn(&str) -> io::Result<Vec<IpAddr>>;

struct Lookup {
    id: u64,
    name: String,
    /// When its thread began it.
    begun: Option<Moment>,
    waiting: Vec<oneshot::Sender<Found>>,
}

/// The addresses of a name, or why there are none.
type Found = Result<Vec<IpAddr>, (io::ErrorKind, String)>;

static LOOKUPS: PerProcess<Lookups> = PerProcess::new();

impl Default for Pending {
    fn default() -> Self {
        Self::by(|name| {
            #[cfg(debug_assertions)]
            if let Some(told) = table::find(name) {
                return told;
            }
            let found = (name, 0).to_socket_addrs()?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

impl Pending {
    fn by(resolve: Resolve) -> Self {
        Self {
            resolve,
            lookups: VecDeque::new(),
            threads: 0,
            next: 0,
        }
    }

    /// Forgets what waits for a thread and nobody waits for.
    fn forget_unwanted(&mut self) {
        self.lookups.retain_mut(|lookup| {
            lookup.waiting.retain(|one| !one.is_closed());
            lookup.begun.is_some() || !lookup.waiting.is_empty()
        });
    }

    /// The next lookup that waits for a thread: its id and name.
    fn begin(&mut self) -> Option<(u64, String)> {
        self.forget_unwanted();
        let waits = |lookup: &&mut Lookup| lookup.begun.is_none();
        let lookup = self.lookups.iter_mut().find(waits)?;
        lookup.begun = Some(clock::now());
        Some((lookup.id, lookup.name.clone()))
    }

    /// Whether every thread that there may be is lost to a lookup that hangs.
    fn hangs(&self) -> bool {
        let begun = self.lookups.iter().filter_map(|lookup| lookup.begun);
        let hanging = begun.filter(|begun| begun.elapsed() >= HANGS_AFTER);
        hanging.count() >= MOST_THREADS
    }

    /// Joins a lookup of the name, or adds one.
    fn ask(&mut self, name: &str) -> oneshot::Receiver<Found> {
        self.forget_unwanted();
        let (tell, told) = oneshot::channel();
        let is_fresh = |lookup: &Lookup| match lookup.begun {
            Some(begun) => begun.elapsed() < HANGS_AFTER,
            None => true,
        };
        let same = |lookup: &&mut Lookup| lookup.name == name && is_fresh(lookup);
        if let Some(lookup) = self.lookups.iter_mut().find(same) {
            lookup.waiting.push(tell);
            return told;
        }
        self.lookups.push_back(Lookup {
            id: self.next,
            name: name.to_owned(),
            begun: None,
            waiting: vec![tell],
        });
        self.next += 1;
        told
    }
}

impl Lookups {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn find(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let told = {
            let mut pending = self.lock();
            if pending.hangs() {
                return Err(io::Error::other(format!(
                    "{name} was not looked up: {MOST_THREADS} name lookups of this process \
                     hang, and the system lets none be cancelled"
                )));
            }
            let told = pending.ask(name);
            let waits = pending.lookups.iter().any(|lookup| lookup.begun.is_none());
            if waits && pending.threads < MOST_THREADS {
                let started = self.start_thread(&mut pending);
                // Without it, one that is there will come to it.
                if pending.threads == 0 {
                    started?;
                }
            }
            told
        };
        match told.await {
            Ok(found) => found.map_err(|(kind, why)| io::Error::new(kind, why)),
            // Its thread panicked.
            Err(_) => Err(io::Error::other("the name lookup ended without an answer")),
        }
    }

    /// Starts a thread that makes the lookups that wait, one after the other.
    fn start_thread(&self, pending: &mut Pending) -> io::Result<()> {
        // Counted until it is done: the system's lookup cannot be cancelled.
        let counted = process::shared().threads.count();
        let this = self.clone();
        let thread = std::thread::Builder::new().name("kneo-names".to_owned());
        let started = thread.spawn(move || {
            let _counted = counted;
            this.work();
        });
        started.map_err(|error| {
            let message = format!("no thread for the name lookup: {error}");
            io::Error::new(error.kind(), message)
        })?;
        pending.threads += 1;
        Ok(())
    }

    fn work(&self) {
        let mut thread = Thread {
            of: self,
            at: None,
            is_counted: true,
        };
        while let Some((resolve, name)) = thread.next() {
            let found = resolve(&name).map_err(|error| (error.kind(), error.to_string()));
            for one in thread.take_waiting() {
                // Who has given up meanwhile needs no answer.
                let _gone = one.send(found.clone());
            }
        }
    }
}

/// One of the threads, and the lookup that it is at.
struct Thread<'a> {
    of: &'a Lookups,
    at: Option<u64>,
    is_counted: bool,
}

impl Thread<'_> {
    /// The next lookup that waits. Without one the thread ends.
    fn next(&mut self) -> Option<(Resolve, String)> {
        let mut pending = self.of.lock();
        match pending.begin() {
            Some((id, name)) => {
                self.at = Some(id);
                Some((pending.resolve, name))
            }
            None => {
                // Under the same lock: what comes now must start a thread.
                pending.threads -= 1;
                self.is_counted = false;
                None
            }
        }
    }

    /// Ends the lookup; gives who waits for it.
    fn take_waiting(&mut self) -> Vec<oneshot::Sender<Found>> {
        let id = self.at.take();
        let lookups = &mut self.of.lock().lookups;
        let at = lookups.iter().position(|lookup| Some(lookup.id) == id);
        at.and_then(|at| lookups.remove(at))
            .map_or_else(Vec::new, |lookup| lookup.waiting)
    }
}

impl Drop for Thread<'_> {
    fn drop(&mut self) {
        if self.is_counted {
            // It panicked: nobody shall wait for its lookup.
            drop(self.take_waiting());
            self.of.lock().threads -= 1;
        }
    }
}

/// The addresses of a name, in the order of the system.
///
/// `localhost` is always this machine, as RFC 6761 asks: plain http is
/// allowed to it, so no name server may have a say.
pub(super) async fn lookup(name: &str) -> io::Result<Vec<IpAddr>> {
    if is_localhost(name) {
        return Ok(vec![
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ]);
    }
    LOOKUPS.get().find(name).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::sync::Condvar;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const PATIENCE: Duration = Duration::from_secs(60);

    /// A resolver that hangs for names that begin with `hang` until told.
    #[derive(Default)]
    struct Slow {
        asked: Mutex<HashMap<String, usize>>,
        at_once: AtomicUsize,
        most: AtomicUsize,
        go: Mutex<bool>,
        told: Condvar,
    }

    impl Slow {
        fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
            *self.asked().entry(name.to_owned()).or_default() += 1;
            let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            if name.starts_with("hang") {
                let go = self.go.lock().expect("no panic");
                drop(self.told.wait_while(go, |go| !*go).expect("no panic"));
            }
            self.at_once.fetch_sub(1, Ordering::SeqCst);
            match name {
                "none" => Err(io::Error::new(io::ErrorKind::NotFound, "no such name")),
                "panic" => std::panic::panic_any("a resolver with a defect"),
                _ => Ok(vec![IpAddr::from([192, 0, 2, 1])]),
            }
        }

        fn asked(&self) -> MutexGuard<'_, HashMap<String, usize>> {
            self.asked.lock().expect("no panic")
        }

        fn count(&self, name: &str) -> usize {
            self.asked().get(name).copied().unwrap_or_default()
        }

        fn release(&self) {
            *self.go.lock().expect("no panic") = true;
            self.told.notify_all();
        }
    }

    fn lookups(resolve: Resolve) -> Lookups {
        Lookups(Arc::new(Mutex::new(Pending::by(resolve))))
    }

    fn run<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        runtime.expect("a runtime").block_on(work)
    }

    fn until(holds: impl Fn() -> bool) {
        let end = std::time::Instant::now() + PATIENCE;
        while !holds() {
            assert!(std::time::Instant::now() < end, "it never happens");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Asks on a thread of its own.
    fn ask(of: &Lookups, name: &str) -> std::thread::JoinHandle<io::Result<Vec<IpAddr>>> {
        let (of, name) = (of.clone(), name.to_owned());
        std::thread::spawn(move || run(of.find(&name)))
    }

    macro_rules! slow {
        ($slow:ident, $of:ident) => {
            static SLOW: std::sync::LazyLock<Slow> = std::sync::LazyLock::new(Slow::default);
            let $slow = &*SLOW;
            let $of = lookups(|name| SLOW.resolve(name));
        };
    }

    #[test]
    fn lookups_of_one_name_are_one() {
        slow!(slow, of);
        let asking: Vec<_> = (0..100).map(|_| ask(&of, "hang")).collect();
        let joined = || of.lock().lookups.iter().map(|one| one.waiting.len()).sum();
        until(|| Some(100) == Some(joined()));
        assert_eq!((of.lock().threads, slow.count("hang")), (1, 1));
        slow.release();
        for one in asking {
            let found = one.join().expect("no panic").expect("it is found");
            assert_eq!(found, [IpAddr::from([192, 0, 2, 1])]);
        }
        // Nothing is kept: the next one asks the system.
        run(of.find("hang")).expect("it is found");
        assert_eq!(slow.count("hang"), 2);
        until(|| of.lock().threads == 0);
        assert!(of.lock().lookups.is_empty());
    }

    #[test]
    fn few_threads_whatever_hangs() {
        slow!(slow, of);
        let asking: Vec<_> = (0..100).map(|at| ask(&of, &format!("hang{at}"))).collect();
        until(|| of.lock().lookups.len() == 100);
        assert_eq!(of.lock().threads, MOST_THREADS);
        // Who gives up leaves nothing behind that waits for a thread.
        for _ in 0..100 {
            let limit = Duration::from_millis(1);
            assert!(run(async { tokio::time::timeout(limit, of.find("late")).await }).is_err());
        }
        assert!(of.lock().lookups.len() <= 101);
        {
            let _later = clock::shifted(0, 6_000);
            let error = run(of.find("refused")).expect_err("no thread is left");
            assert!(error.to_string().starts_with("refused was not"), "{error}");
        }
        slow.release();
        for one in asking {
            one.join().expect("no panic").expect("it is found");
        }
        assert_eq!(slow.most.load(Ordering::SeqCst), MOST_THREADS);
        assert_eq!(slow.count("late"), 0, "nobody waits for it any more");
        until(|| of.lock().threads == 0);
    }

    #[test]
    fn one_that_hangs_holds_up_no_later_one() {
        slow!(slow, of);
        let hanging = ask(&of, "hang");
        until(|| slow.count("hang") == 1);
        slow.asked().clear();
        {
            let _later = clock::shifted(0, 6_000);
            let second = of.lock().ask("hang");
            drop(second);
            let pending = of.lock();
            let begun = pending.lookups.iter().map(|one| one.begun.is_some());
            assert_eq!(begun.collect::<Vec<_>>(), [true, false]);
        }
        slow.release();
        hanging.join().expect("no panic").expect("it is found");
    }

    #[test]
    fn failures_are_told_to_all_who_ask() {
        slow!(slow, of);
        for _ in 0..2 {
            let error = run(of.find("none")).expect_err("there is none");
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
            assert_eq!(error.to_string(), "no such name");
        }
        assert_eq!(slow.count("none"), 2);
        let error = run(of.find("panic")).expect_err("a defect");
        assert!(error.to_string().contains("without an answer"), "{error}");
        run(of.find("good")).expect("the next one is not hurt");
    }
}
