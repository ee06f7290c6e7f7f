//! An event loop that its callers drive: sockets and timers on the calling
//! thread. What blocks runs on threads beside it: they are counted for the
//! shutdown, and none is waited for when the loop goes.

use std::io;
use std::pin::{Pin, pin};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::base::process;

/// The event loop of one lane, one feed or the reads of one client.
pub(crate) struct EventLoop(Option<Runtime>);

impl EventLoop {
    /// A loop that nobody drives yet.
    ///
    /// # Errors
    ///
    /// If the system gives no descriptor for it.
    pub(crate) fn new() -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Drives `work` to its end on the calling thread. `None` only while it is
    /// being dropped.
    pub(crate) fn drive<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let runtime = self.0.as_ref()?;
        // Outlives the work: what is dropped before its end may spawn what is left.
        let _within = runtime.enter();
        // As a trait object: the runtime's loop is compiled once for each kind of
        // result, and not for each kind of call.
        let work: Pin<&mut dyn Future<Output = T>> = pin!(work);
        Some(runtime.block_on(work))
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Is allowed inside another runtime.
            runtime.shutdown_background();
        }
    }
}

/// Does `work`, which blocks, on a thread of its own. Not tokio's: where the
/// system has no thread to give, that one panics.
///
/// # Errors
///
/// If the system gives no thread.
pub(crate) fn beside<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<oneshot::Receiver<T>> {
    // Until it is done, run or not.
    let counted = process::shared().threads.count();
    let (tell, told) = oneshot::channel();
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(move || {
        let _counted = counted;
        // Who has given up meanwhile needs no answer.
        let _gone = tell.send(work());
    })?;
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Poll;

    /// As the pool of connections does, when a call gives up while it connects.
    struct Spawns;

    impl Drop for Spawns {
        fn drop(&mut self) {
            drop(tokio::spawn(async {}));
        }
    }

    #[test]
    fn work_is_dropped_within_the_loop() {
        let left = Spawns;
        let work = std::future::poll_fn(move |_| {
            let _kept = &left;
            Poll::Ready(7)
        });
        let event_loop = EventLoop::new().expect("a loop can be had");
        assert_eq!(event_loop.drive(work), Some(7));
    }
}
