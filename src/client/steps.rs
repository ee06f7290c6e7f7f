//! The steps of an instruction, so that tests can stop it at each of them.

/// Where an instruction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its parameters are good, and the same intent was not sent before.
    Checked,
    /// There is a connection.
    Connected,
    /// It has a slot of `max_orders_per_second`.
    Paced,
    /// This client knows that it is under way; the ledger does not yet.
    Remembered,
    /// The ledger has it.
    Noted,
    /// The next thing is its point of no return.
    Leaving,
    /// The answer is there, or the connection has broken.
    Answered,
    /// It is known what the answer proves.
    Judged,
    /// The call has ended, somehow; nothing of that is written down yet.
    Ended,
    /// All is written down.
    Settled,
}

#[cfg(debug_assertions)]
impl Step {
    /// All of them, in order.
    pub const ALL: [Self; 10] = [
        Self::Checked,
        Self::Connected,
        Self::Paced,
        Self::Remembered,
        Self::Noted,
        Self::Leaving,
        Self::Answered,
        Self::Judged,
        Self::Ended,
        Self::Settled,
    ];
}

/// Says that an instruction has come to `step`. Does nothing in release builds.
pub(super) fn reached(step: Step) {
    #[cfg(debug_assertions)]
    test::reached(step);
    #[cfg(not(debug_assertions))]
    let _ = step;
}

/// What tests do at a step. Not in release builds.
#[cfg(debug_assertions)]
mod test {
    use std::cell::RefCell;

    use super::Step;

    type Wish = (Step, Box<dyn FnOnce()>);

    thread_local! {
        static NEXT: RefCell<Option<Wish>> = const { RefCell::new(None) };
    }

    /// Does something when the next instruction of this thread comes to `step`.
    pub fn at(step: Step, action: impl FnOnce() + 'static) {
        NEXT.set(Some((step, Box::new(action))));
    }

    /// Forgets what was to be done; says whether it was not done yet.
    pub fn clear() -> bool {
        NEXT.take().is_some()
    }

    pub(super) fn reached(step: Step) {
        let due = NEXT.with_borrow_mut(|next| next.take_if(|(at, _)| *at == step));
        if let Some((_, action)) = due {
            action();
        }
    }
}

#[cfg(debug_assertions)]
pub use test::{at, clear};
