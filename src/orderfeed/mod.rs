//! The words of the broker for how an order is.

pub(crate) mod states;
