//! Request bodies that can be sent once.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use zeroize::Zeroizing;

use super::brake::{Brake, Held, Leaving};
use super::pacing::Slot;
use super::recall::Recall;
use crate::base::clock::{self, Moment};
use crate::base::secret::Wiped;

/// For how long a system tries to send an instruction at most, however long the call may
/// wait for its answer. What is not delivered by then would be an order at a stale price.
pub(super) const LONGEST_TRY: Duration = Duration::from_secs(10);

/// The point after which a byte of a request may have left.
///
/// HTTP writes head and body through one buffer and asks for the body before
/// it flushes, so until the body is asked for, nothing has left.
#[derive(Clone, Debug, Default)]
pub(crate) struct Point {
    passed: Arc<Passed>,
    not_after: Option<Moment>,
    /// Used up when the point is passed.
    slot: Option<Arc<Slot>>,
    /// May hold the request back.
    brake: Option<(Arc<Brake>, Leaving)>,
}

#[derive(Debug, Default)]
struct Passed {
    yes: AtomicBool,
    when: OnceLock<Moment>,
    trouble: OnceLock<String>,
}

impl Point {
    /// A point that cannot be passed once `deadline` is over.
    pub(crate) fn not_after(deadline: Moment) -> Self {
        Self {
            not_after: Some(deadline),
            ..Self::default()
        }
    }

    /// The same, and `slot` is used up when the point is passed.
    pub(crate) fn with_slot(mut self, slot: Slot) -> Self {
        self.slot = Some(Arc::new(slot));
        self
    }

    /// The same, unless `brake` holds back what is `leaving`.
    pub(crate) fn with_brake(mut self, brake: &Arc<Brake>, leaving: Leaving) -> Self {
        self.brake = Some((Arc::clone(brake), leaving));
        self
    }

    /// Whether a byte may have left.
    pub(crate) fn passed(&self) -> bool {
        self.passed.yes.load(Ordering::Acquire)
    }

    /// When it was passed.
    pub(crate) fn passed_at(&self) -> Option<Moment> {
        self.passed()
            .then(|| self.passed.when.get().copied())
            .flatten()
    }

    /// For how long the system shall try to send the request, if it has a deadline: until
    /// then, but not longer than [`LONGEST_TRY`]. In whole seconds: the same for all calls
    /// with one deadline, so that a connection that is kept need not be told again.
    pub(super) fn patience(&self) -> Option<Duration> {
        let left = self.not_after?.saturating_duration_since(clock::now());
        let left = left.min(LONGEST_TRY);
        let seconds = left.as_millis().div_ceil(1000).max(1);
        Some(Duration::from_secs(
            u64::try_from(seconds).unwrap_or(u64::MAX),
        ))
    }

    /// Its answer has come, so the request did.
    pub(super) fn answered(&self) {
        if let Some(slot) = &self.slot {
            slot.answered();
        }
    }

    /// Keeps what the system refused to do for the request; of several the first.
    pub(super) fn note(&self, trouble: String) {
        self.passed.trouble.get_or_init(|| trouble);
    }

    /// What the system refused to do for the request.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.passed.trouble.get().map(String::as_str)
    }

    /// For requests whose body says nothing: called before they start.
    pub(crate) fn pass(&self) {
        self.passed.when.get_or_init(clock::now);
        self.passed.yes.store(true, Ordering::Release);
        if let Some(slot) = &self.slot {
            slot.leave(self.patience().unwrap_or_default());
        }
    }

    /// The same, if nothing holds the request back.
    fn try_pass(&self) -> Result<(), Held> {
        match &self.brake {
            Some((brake, leaving)) => brake.pass(*leaving, || self.pass()),
            None => {
                self.pass();
                Ok(())
            }
        }
    }

    /// For a request that turned out not to have left.
    pub(crate) fn take_back(&self) {
        self.passed.yes.store(false, Ordering::Release);
    }
}

/// A body whose bytes are handed out once, and wiped after that.
///
/// It cannot be cloned, so no layer below can send it again; a second request
/// for its bytes fails, which fails the request.
pub(crate) struct SingleUse {
    bytes: Option<Bytes>,
    length: u64,
    point: Point,
    recall: Option<Recall>,
}

impl SingleUse {
    pub(crate) fn new(bytes: Zeroizing<Vec<u8>>, point: Point) -> Self {
        let length = bytes.len() as u64;
        Self {
            bytes: Some(Bytes::from_owner(Wiped(bytes))),
            length,
            point,
            recall: None,
        }
    }

    /// No bytes at all: it is never asked for them.
    pub(super) fn empty() -> Self {
        Self {
            bytes: None,
            length: 0,
            point: Point::default(),
            recall: None,
        }
    }

    /// The same, and `recall` is armed when the point is passed.
    pub(super) fn with_recall(mut self, recall: Recall) -> Self {
        self.recall = Some(recall);
        self
    }
}

/// Why a body did not give its bytes.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The bytes were taken before.
    UsedBefore,
    /// The deadline passed before the first byte.
    TooLate,
    /// The client may not let it leave.
    Held(Held),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UsedBefore => f.write_str("a request body was asked for twice"),
            Self::TooLate => f.write_str("the deadline passed before anything was sent"),
            Self::Held(held) => held.fmt(f),
        }
    }
}

impl std::error::Error for Refused {}

impl Body for SingleUse {
    type Data = Bytes;
    type Error = Refused;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Refused>>> {
        let this = self.get_mut();
        let Some(bytes) = this.bytes.take() else {
            return Poll::Ready(Some(Err(Refused::UsedBefore)));
        };
        if this
            .point
            .not_after
            .is_some_and(|deadline| clock::now() >= deadline)
        {
            return Poll::Ready(Some(Err(Refused::TooLate)));
        }
        Poll::Ready(Some(match this.point.try_pass() {
            Ok(()) => {
                // Nothing has left yet: it does once this frame is given.
                if let Some(recall) = &this.recall {
                    recall.arm(&this.point);
                }
                Ok(Frame::data(bytes))
            }
            Err(held) => Err(Refused::Held(held)),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(if self.bytes.is_some() { self.length } else { 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use std::collections::BTreeMap;

    fn block<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime without I/O").block_on(future)
    }

    #[test]
    fn gives_its_bytes_once() {
        let point = Point::default();
        let mut body = SingleUse::new(Zeroizing::new(b"abc".to_vec()), point.clone());
        assert!(!point.passed() && body.size_hint().exact() == Some(3));
        let frame = block(body.frame())
            .expect("one frame")
            .expect("the first time works");
        assert_eq!(frame.into_data().expect("it is data").as_ref(), b"abc");
        assert!(point.passed() && point.passed_at().is_some() && body.is_end_stream());
        let second = block(body.frame()).expect("an answer");
        assert!(matches!(second, Err(Refused::UsedBefore)));
    }

    #[test]
    fn gives_nothing_that_is_held_back() {
        let brake = Arc::new(Brake::new(None, BTreeMap::new()));
        brake.halt();
        for (leaving, held) in [
            (Leaving::NewOrder, true),
            (Leaving::Change, true),
            (Leaving::Cancel, false),
        ] {
            let point = Point::default().with_brake(&brake, leaving);
            let mut body = SingleUse::new(Zeroizing::new(b"abc".to_vec()), point.clone());
            let frame = block(body.frame()).expect("an answer");
            let refused = matches!(frame, Err(Refused::Held(Held::Halted)));
            assert_eq!((refused, point.passed()), (held, !held), "{leaving:?}");
        }
    }

    #[test]
    fn gives_nothing_after_the_deadline() {
        let point = Point::not_after(clock::now());
        let mut body = SingleUse::new(Zeroizing::new(b"abc".to_vec()), point.clone());
        assert!(matches!(block(body.frame()), Some(Err(Refused::TooLate))));
        assert!(!point.passed());
        assert!(matches!(
            block(body.frame()),
            Some(Err(Refused::UsedBefore))
        ));
    }
}
