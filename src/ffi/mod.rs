//! The C ABI: the only place with `unsafe` and raw pointers.
//!
//! Every export is guard, read arguments, call the client, hand out the
//! response. What needs more lines belongs into the core.

pub mod client;
mod document;
pub mod feed;
mod guard;
pub mod ledger;
pub mod library;
pub mod login;
pub mod orderfeed;
pub mod orders;
mod pin;
pub mod reads;
mod registry;
mod respond;
pub mod response;
pub mod scrips;
mod signals;
mod text;

#[cfg(debug_assertions)]
pub use guard::fault;
