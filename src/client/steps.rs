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

#[cfg(test)]
mod tests {
    use kotak_neo_sandbox::{Options, Sandbox};
    use kotak_neo_testing::orders::{order, with};
    use serde_json::json;

    use super::{Step, at};
    use crate::base::clock::shifted;
    use crate::base::status::Status;
    use crate::client::Client;

    /// Whether the point of no return lies before a step.
    fn has_left(step: Step) -> bool {
        use Step::{Answered, Ended, Judged, Settled};
        matches!(step, Answered | Judged | Ended | Settled)
    }

    /// The lid is closed in the middle of an order, and opened an hour later. No timer
    /// of the system has run, and no byte came or went.
    #[test]
    fn an_order_does_not_leave_when_its_deadline_was_slept_through() {
        let sandbox = Sandbox::start(Options {
            orders_per_second: 1_000_000,
            ..Options::default()
        })
        .expect("it starts on loopback");
        let user = sandbox.credentials();
        for step in Step::ALL {
            let client = Client::open(Some(&sandbox.config_json())).expect("it is valid");
            client
                .totp_login(&user.mobile_number, &user.ucc, &sandbox.totp_now())
                .expect("the code is right");
            client.totp_validate(&user.mpin).expect("it is right");
            // So that there is a connection for orders.
            let place = |params| client.place_order(&with(order(), params).to_string());
            place(json!({})).expect("nothing happens meanwhile");
            let before = (sandbox.orders_taken(), sandbox.requests().len());
            let awake = shifted(0, 0);
            at(step, || std::mem::forget(shifted(3_600_000, 3_600_000)));
            let result = place(json!({"timeout_ms": 30_000}));
            drop(awake);
            let left = (
                sandbox.orders_taken() - before.0,
                sandbox.requests().len() - before.1,
            );
            match result {
                Ok(_) => assert!(has_left(step) && left == (1, 1), "{step:?}: {left:?}"),
                Err(error) => {
                    assert!(!has_left(step) && left == (0, 0), "{step:?}: {error}");
                    assert_eq!(error.status(), Status::Timeout, "{step:?}: {error}");
                    assert!(error.to_json().contains("\"sent\":false"), "{error:?}");
                }
            }
        }
    }
}
