//! What the broker sends on its own, over WebSockets: two feeds of one manner.
//!
//! - [`market`]: prices, indices, the state of exchanges.
//! - [`orders`]: what happens to the orders and positions of an account.
//!
//! What both have in common:
//! - [`socket`]: one WebSocket connection.
//! - [`link`]: the states of a feed, when to try again, the thread that it
//!   runs on, the roster of the feeds of a client.
//! - [`tick`]: the records that callers read: plain structs of the C ABI. They
//!   speak of the market feed; the states are those of both.

pub(crate) mod link;
pub mod market;
pub(crate) mod orders;
pub(crate) mod socket;
pub mod tick;
