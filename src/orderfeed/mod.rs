//! The order feed: what happens to the orders and positions of an account.
//!
//! - [`wire`]: the texts of the protocol, both ways: pure.
//! - [`states`]: the states of an order, and which may follow which: pure.
//! - [`merge`]: live events and books made into one history: pure.
//! - [`queue`]: what waits for the caller; bounded.
//! - [`feed`]: the connection, kept up for ever, and what it tells.

pub(crate) mod feed;
mod merge;
mod queue;
mod states;
pub(crate) mod wire;
