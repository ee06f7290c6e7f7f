//! Faults: what can be made to go wrong, and the queue of what shall.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One fault and where it strikes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Strikes requests whose path starts with this; empty strikes any.
    pub path: String,
    /// How many requests it strikes before it is spent; `None` is without end.
    pub times: Option<u32>,
    /// What happens.
    pub kind: FaultKind,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// The request is read whole and never answered; the connection stays open.
    Hang,
    /// The connection is reset as soon as the head was read: no body is read, nothing is done.
    ResetBefore,
    /// The request is read and carried out; then the connection is reset without an answer.
    ResetAfter,
    /// This answer instead of the true one; nothing is carried out.
    Answer {
        /// The HTTP status.
        status: u16,
        /// The headers; without a `content-type` it is JSON.
        headers: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// The request is carried out; then this answer is given instead of the true one.
    AnswerAfter {
        /// The HTTP status.
        status: u16,
        /// The headers; without a `content-type` it is JSON.
        headers: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// The true answer, its body cut in half; as an HTTP message it is complete.
    CutJson,
    /// The true answer with a `Content-Length` that promises 64 bytes more; then the connection closes.
    WrongContentLength,
    /// A 307 to this address; nothing is carried out.
    Redirect(String),
    /// The true answer, but `baseUrl`, `baseURL` and `baseDomain` name this address.
    BaseUrl(String),
    /// The true answer, but `feedUrl`, `rtUrl` and the endpoints of the config service name this address.
    FeedUrl(String),
    /// The request is carried out at once; the true answer comes this much later.
    Slow {
        /// Milliseconds.
        ms: u64,
    },
    /// The request is carried out, and answered, this much later; it is carried out even if the
    /// client has left by then.
    Late {
        /// Milliseconds.
        ms: u64,
    },
    /// The true answer, one byte of the body at a time.
    Trickle {
        /// Milliseconds between two bytes.
        ms: u64,
    },
    /// The true answer, packed for its way, whatever the client accepts.
    Packed(Packing),
    /// HTTP/2: the stream is refused (`REFUSED_STREAM`: not carried out, may be repeated).
    /// HTTP/1.1: as `ResetBefore`.
    RefuseStream,
}

/// How an answer is packed. The default leaves it as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packing {
    /// The lines of `Content-Encoding`. What they name is done in their order: `gzip` and
    /// `x-gzip`, `deflate`. Anything else is named and not done.
    pub coding: Vec<String>,
    /// `deflate` without the frame of zlib, as some servers send it.
    pub raw: bool,
    /// How many members `gzip` makes; 0 makes one too.
    pub members: u32,
    /// A byte-order mark stands before the answer.
    pub bom: bool,
}

/// The faults that wait, in the order in which they were set.
#[derive(Default)]
pub(crate) struct Faults {
    // Spares the lock in the usual case, in which there is none.
    any: AtomicBool,
    list: Mutex<Vec<Fault>>,
}

impl Faults {
    fn lock(&self) -> MutexGuard<'_, Vec<Fault>> {
        // Every change is complete in itself, so a panic elsewhere leaves the list sound.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, fault: Fault) {
        let mut list = self.lock();
        if fault.times != Some(0) {
            list.push(fault);
            self.any.store(true, Ordering::Release);
        }
    }

    pub(crate) fn clear(&self) {
        let mut list = self.lock();
        list.clear();
        self.any.store(false, Ordering::Release);
    }

    /// The fault that strikes a request to `path`, if any; it counts as used.
    pub(crate) fn take(&self, path: &str) -> Option<FaultKind> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let mut list = self.lock();
        let at = list
            .iter()
            .position(|fault| path.starts_with(&fault.path))?;
        let kind = list[at].kind.clone();
        if let Some(times) = &mut list[at].times {
            *times -= 1;
            if *times == 0 {
                list.remove(at);
                self.any.store(!list.is_empty(), Ordering::Release);
            }
        }
        Some(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(path: &str, times: Option<u32>, kind: FaultKind) -> Fault {
        Fault {
            path: path.to_owned(),
            times,
            kind,
        }
    }

    #[test]
    fn strike_by_prefix_in_order_and_as_often_as_said() {
        let faults = Faults::default();
        assert_eq!(faults.take("/login"), None);
        faults.set(fault("/login", Some(2), FaultKind::Hang));
        faults.set(fault("", None, FaultKind::CutJson));
        faults.set(fault("/never", Some(0), FaultKind::ResetAfter));
        assert_eq!(faults.take("/login/1.0"), Some(FaultKind::Hang));
        assert_eq!(faults.take("/other"), Some(FaultKind::CutJson));
        assert_eq!(faults.take("/login/1.0"), Some(FaultKind::Hang));
        assert_eq!(faults.take("/login/1.0"), Some(FaultKind::CutJson));
        assert_eq!(faults.take("/never"), Some(FaultKind::CutJson));
        faults.clear();
        assert_eq!(faults.take("/login"), None);
    }
}
