//! Takes back what the system has not sent yet of an instruction whose call ends.
//!
//! A system that was handed bytes goes on sending them for minutes, also after the
//! descriptor is closed: an order that is told to be absent could still arrive. So the
//! stream of an instruction is held here, under TLS and HTTP:
//!
//! - From the point of no return to the whole answer it is armed. If it is dropped
//!   meanwhile, Linux is told to disconnect (`connect` to `AF_UNSPEC`), which empties the
//!   sending queue even where a child of `fork` holds the descriptor too. Other systems
//!   know no such call: there the close is an abortive one (`SO_LINGER` of zero), which
//!   does the same unless a child holds the descriptor (Windows knows no `fork`).
//! - On Linux the system itself gives up what is not acknowledged by the deadline, or
//!   within ten seconds (`TCP_USER_TIMEOUT`): a process that is killed takes nothing back.
//!   Windows (`TCP_MAXRT`) and macOS (`TCP_RXT_CONNDROPTIME`) have the like, but no safe
//!   call sets it. There the time that they try is waited for instead.
//!
//! What neither can reach is told as a time, after which nothing is on its way any more.
//!
//! All that comes is read here too, so here its reading is cut into [turns](TURN).

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::body::{LONGEST_TRY, Point};
use super::stream::Stream;
use crate::base::connection::Journal;

/// After room for so many bytes without a wait the reader has to wait for its next turn, which
/// comes at once. The layers above go on for as long as there is something to read: what
/// is done with so much of the worst (interim answers, chunks of one byte) takes some
/// milliseconds, and then the call looks at its deadline and at those who end it.
const TURN: usize = 32 * 1024;
/// The most that HTTP/1.1 reads at once, and the largest head of an answer.
pub(super) const LARGEST_READ: usize = 64 * 1024;

/// Whether the system can be told when to give up sending.
const HAS_LIMIT: bool = cfg!(any(target_os = "linux", target_os = "android"));
/// Until it has given up: its timers are later than they should be.
const GIVEN_UP: Duration = Duration::from_secs(2);
/// For how long systems try that were told nothing. Linux is the most patient one: a
/// quarter of an hour and its last wait.
const WITHOUT_LIMIT: Duration = Duration::from_secs(20 * 60);
/// What has left the queue may wait so long until the system knows the hardware address
/// of its neighbour: three requests, a second apart.
const BELOW: Duration = Duration::from_secs(3);
/// A proxy that lost its client goes on sending what it holds: with the defaults of
/// Linux for a connection that nobody owns some 100 s.
const IN_A_PROXY: Duration = Duration::from_secs(2 * 60);

/// How long after the end of its call something of an instruction may still be on its way,
/// here and in a proxy. `troubled`: the system refused something.
pub(super) fn after_a_call(troubled: bool, proxied: bool) -> Duration {
    let queue = if troubled {
        WITHOUT_LIMIT
    } else {
        Duration::ZERO
    };
    queue + beyond(proxied)
}

/// The same after a process was killed that had a call under way.
pub(super) fn after_a_kill(proxied: bool) -> Duration {
    let queue = if HAS_LIMIT {
        LONGEST_TRY + GIVEN_UP
    } else {
        WITHOUT_LIMIT
    };
    queue + beyond(proxied)
}

fn beyond(proxied: bool) -> Duration {
    BELOW + if proxied { IN_A_PROXY } else { Duration::ZERO }
}

/// A TCP stream, and what is under way on it.
pub(crate) struct Held {
    tcp: TokioIo<TcpStream>,
    /// How it was opened. The pool hands it up with every answer.
    journal: Journal,
    recall: Recall,
    /// For how many milliseconds the system tries to send; zero: as long as it likes.
    limit: u32,
    /// Room that this turn was read into.
    read: usize,
}

/// Arms a stream, and disarms it.
#[derive(Clone, Default)]
pub(crate) struct Recall(Arc<Mutex<UnderWay>>);

#[derive(Default)]
struct UnderWay {
    /// Of the instruction under way.
    point: Option<Point>,
    /// Not yet told to the system.
    limit: Option<u32>,
}

impl Recall {
    /// That of a stream.
    pub(super) fn of(stream: &Stream) -> Self {
        let held = match stream {
            MaybeHttpsStream::Http(held) => held,
            MaybeHttpsStream::Https(tls) => tls.inner().get_ref().0.inner(),
        };
        held.recall.clone()
    }

    /// An instruction leaves from now on.
    pub(super) fn arm(&self, point: &Point) {
        let limit = point.patience();
        let limit = limit.map(|limit| u32::try_from(limit.as_millis()).unwrap_or(u32::MAX));
        *self.lock() = UnderWay {
            point: Some(point.clone()),
            limit,
        };
    }

    /// Its answer is whole.
    pub(super) fn disarm(&self) {
        *self.lock() = UnderWay::default();
    }

    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    pub(super) fn new(tcp: TcpStream, journal: Journal) -> Self {
        Self {
            tcp: TokioIo::new(tcp),
            journal,
            recall: Recall::default(),
            limit: 0,
            read: 0,
        }
    }

    /// Before the first byte of an instruction: tells the system how long to try.
    fn bound(&mut self) {
        let mut under_way = self.recall.lock();
        let Some(limit) = under_way.limit.take().filter(|limit| *limit != self.limit) else {
            return;
        };
        match set_limit(self.tcp.inner(), limit) {
            Ok(()) => self.limit = limit,
            Err(error) => under_way.note(format!(
                "the system was not told when to give up sending: {error}"
            )),
        }
    }
}

impl UnderWay {
    fn note(&self, trouble: String) {
        if let Some(point) = &self.point {
            point.note(trouble);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let under_way = std::mem::take(&mut *self.recall.lock());
        if under_way.point.is_none() {
            return;
        }
        if let Err(error) = take_back(self.tcp.inner()) {
            under_way.note(format!(
                "what the system had not sent yet could not be taken back: {error}"
            ));
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn take_back(tcp: &TcpStream) -> io::Result<()> {
    let disconnected = rustix::net::connect_unspec(tcp);
    disconnected.or_else(|refused| {
        tcp.set_zero_linger()?;
        Err(refused.into())
    })
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn take_back(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_zero_linger()
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn set_limit(tcp: &TcpStream, limit: u32) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_tcp_user_timeout(tcp, limit)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn set_limit(_: &TcpStream, _: u32) -> io::Result<()> {
    Ok(())
}

impl Connection for Held {
    fn connected(&self) -> Connected {
        Connected::new().extra(self.journal.clone())
    }
}

impl Read for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read >= TURN {
            self.read = 0;
            // Wakes it after the timers and sockets had their turn, and not before.
            return pin!(tokio::task::yield_now()).poll(cx).map(Ok);
        }
        let room = buffer.remaining();
        let polled = Pin::new(&mut self.tcp).poll_read(cx, buffer);
        match polled {
            Poll::Pending => self.read = 0,
            Poll::Ready(_) => self.read += room,
        }
        polled
    }
}

impl Write for Held {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.bound();
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.bound();
        Pin::new(&mut self.tcp).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::future::poll_fn;
    use std::net::TcpListener;
    use std::time::Duration;

    use rustix::net::sockopt::tcp_user_timeout;

    use super::*;
    use crate::base::clock;
    use crate::transport::EventLoop;

    #[test]
    fn the_system_is_told_how_long_to_try_and_told_again_only_if_that_changed() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let to = listener.local_addr().expect("it is bound");
        let test = async {
            let tcp = TcpStream::connect(to).await.expect("it listens");
            let mut held = Held::new(tcp, Journal::default());
            let limit = |held: &Held| tcp_user_timeout(held.tcp.inner()).expect("an option");
            let write = async |held: &mut Held, seconds: Option<u64>| {
                let time = seconds.map(Duration::from_secs);
                let deadline = |time| Point::not_after(clock::now() + time);
                held.recall.arm(&time.map_or_else(Point::default, deadline));
                let written = poll_fn(|cx| Pin::new(&mut *held).poll_write(cx, b"x")).await;
                assert_eq!(written.expect("room for a byte"), 1);
                held.recall.disarm();
            };
            assert_eq!(limit(&held), 0, "as the system likes");
            write(&mut held, Some(7)).await;
            assert_eq!((limit(&held), held.limit), (7000, 7000));
            // Whoever changes it behind our back shows that nobody else does.
            rustix::net::sockopt::set_tcp_user_timeout(held.tcp.inner(), 1).expect("an option");
            write(&mut held, Some(7)).await;
            assert_eq!(limit(&held), 1, "the same limit is not told again");
            write(&mut held, None).await;
            assert_eq!(limit(&held), 1, "no deadline says nothing");
            write(&mut held, Some(2)).await;
            assert_eq!(limit(&held), 2000);
            // However long the call may wait.
            write(&mut held, Some(3600)).await;
            assert_eq!(limit(&held), 10_000);
            // A deadline that is over asks for the shortest time, and not for no limit.
            write(&mut held, Some(0)).await;
            assert_eq!(limit(&held), 1000);
        };
        let event_loop = EventLoop::new().expect("a loop can be had");
        event_loop.drive(test).expect("it is alive");
    }

    #[test]
    fn only_what_is_under_way_is_cut_off() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let to = listener.local_addr().expect("it is bound");
        let event_loop = EventLoop::new().expect("a loop can be had");
        for armed in [false, true] {
            let test = async {
                let tcp = TcpStream::connect(to).await.expect("it listens");
                let held = Held::new(tcp, Journal::default());
                held.recall.arm(&Point::default());
                if !armed {
                    held.recall.disarm();
                }
            };
            event_loop.drive(test).expect("it is alive");
            let (mut other, _) = listener.accept().expect("it connected");
            let end = std::io::Read::read(&mut other, &mut [0]);
            match armed {
                true => assert_eq!(
                    end.expect_err("a reset").kind(),
                    io::ErrorKind::ConnectionReset
                ),
                false => assert_eq!(end.expect("an orderly end"), 0),
            }
        }
    }
}
