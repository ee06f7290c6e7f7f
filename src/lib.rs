//! Native client for the Kotak Neo trading API.
//!
//! This crate is the core of the shared library `libkotak_neo`, whose C ABI
//! is declared in `include/kotak_neo.h`. It is a plain Rust client as well:
//!
//! ```no_run
//! use kotak_neo::Client;
//!
//! # fn main() -> Result<(), kotak_neo::Error> {
//! let client = Client::open(Some(r#"{"consumer_key":"your key"}"#))?;
//! client.totp_login("+919999999999", "TEST1", "123456")?;
//! let reply = client.totp_validate("000000")?;
//! println!("{}", reply.redacted());
//! # Ok(())
//! # }
//! ```
//!
//! Calls block until the answer is there or the deadline of their class has
//! passed. They may be made from any thread, also from inside an async
//! runtime (where they block the worker that makes them).
//!
//! This is an unofficial product. It is not made or endorsed by the broker.
#![deny(unsafe_code)]

mod base;
mod broker;
mod client;
mod feeds;
mod ledger;
mod scrips;
mod transport;

pub use base::error::Error;
pub use base::reply::Reply;
pub use base::status::Status;
pub use base::totp::generate as totp_generate;
pub use client::Client;
pub use client::ledger_open_intents;
#[cfg(debug_assertions)]
#[doc(hidden)]
pub use client::steps as order_steps;
pub use feeds::market::Feed;
pub use feeds::orders::OrderFeed;
pub use feeds::tick::{Depth, DepthRow, Tick};
#[cfg(debug_assertions)]
#[doc(hidden)]
pub use transport::names::table as names;

#[allow(unsafe_code)]
#[doc(hidden)]
pub mod ffi;
#[doc(hidden)]
pub mod raw;

/// The version of this library, as in its package manifest.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
