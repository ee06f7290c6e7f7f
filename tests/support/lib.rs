//! What tests have in common: those under `tests/`, the unit tests of the
//! library, and the demo.
//!
//! - `hosts`, `library`: build and run programs in other languages
//! - `broker`: a sandbox in a process of its own
//! - `fixtures`: the broker's documented answers
//! - `packets`: packets of the market feed
//! - `orders`: the parameters of an order
//! - `pace`: the pace of a client, out of the way
//! - `requests`: what a server of a few lines was asked
//! - `dice`: chance that can be repeated
//! - `folder`: a folder that is gone when the test is
//! - `memory`: what a process holds
//! - `needs`: tools that a machine may lack
//! - `secrets`: secrets in what a program printed
//! - `silent`: addresses that drop what knocks

pub mod broker;
pub mod dice;
pub mod fixtures;
pub mod folder;
pub mod hosts;
#[cfg(unix)]
pub mod library;
pub mod memory;
pub mod needs;
pub mod orders;
pub mod pace;
pub mod packets;
pub mod requests;
pub mod secrets;
pub mod silent;
