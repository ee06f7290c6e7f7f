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

mod calendar;
mod catalog;
mod check;
mod client;
mod clock;
mod error;
mod feed;
mod hosts;
mod json;
mod judge;
mod ledger;
mod log;
mod login;
mod loopback;
mod message;
mod operation;
mod order_book;
mod orderfeed;
mod orders;
mod outcome;
mod params;
mod pointer;
mod process;
mod random;
mod reads;
mod redact;
mod reply;
mod request;
mod scrips;
mod secret;
mod session;
mod status;
mod totp;
mod transport;
mod words;

pub use client::Client;
pub use client::orderfeed::OrderFeed;
#[cfg(debug_assertions)]
#[doc(hidden)]
pub use client::steps as order_steps;
pub use error::Error;
pub use feed::market::Feed;
pub use feed::tick::{Depth, DepthRow, Tick};
pub use reply::Reply;
pub use status::Status;
pub use totp::generate as totp_generate;

#[allow(unsafe_code)]
#[doc(hidden)]
pub mod ffi;
#[doc(hidden)]
pub mod raw;

/// The version of this library, as in its package manifest.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
