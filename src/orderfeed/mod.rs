//! The order feed: what happens to the orders and positions of an account.
//!
//! - [`wire`]: the texts of the protocol, both ways: pure.
//! - [`merge`]: live events and books made into one history: pure.
//! - [`queue`]: what waits for the caller; bounded.
//! - [`feed`]: the connection, kept up for ever, and what it tells.

pub(crate) mod feed;
mod merge;
mod queue;
pub(crate) mod wire;
