//! Feeds: what the broker sends on its own, over WebSockets.
//!
//! - [`socket`]: one WebSocket connection.
//! - [`link`]: what every feed does alike: its states, when to try again,
//!   whether the other side lives, the thread that it runs on.
//! - [`market`]: the market feed. It reads [`control`] texts and [`packet`]s,
//!   keeps them in a [`store`], and [`watch`]es that they keep coming.
//! - [`tick`]: the records that callers read.

pub(crate) mod control;
pub(crate) mod link;
pub mod market;
pub(crate) mod packet;
pub(crate) mod socket;
pub(crate) mod store;
pub mod tick;
pub(crate) mod watch;
