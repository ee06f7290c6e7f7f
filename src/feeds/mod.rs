//! What the broker sends on its own, over WebSockets: two feeds of one manner.
//!
//! - [`market`]: prices, indices, the state of exchanges.
//! - [`orders`]: what happens to the orders and positions of an account.
//!
//! What both have in common:
//! - [`socket`]: one WebSocket connection.
//! - [`link`]: when to try again, the thread that a feed runs on, the roster of
//!   the feeds of a client.
//! - [`state`]: how a feed is, and what its status says of it.
//! - [`readers`]: how those who read wait, are interrupted, and get batches.
//! - [`options`]: the options that both have.
//! - [`arrival`]: when something came, and how old it is.
//! - [`tick`]: the records that callers read: plain structs of the C ABI. They
//!   speak of the market feed; the states are those of both.

mod arrival;
pub(crate) mod link;
pub mod market;
mod options;
pub(crate) mod orders;
mod readers;
mod socket;
mod state;
pub mod tick;
