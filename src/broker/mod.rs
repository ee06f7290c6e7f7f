//! What the broker speaks: operations and requests, its words and books, and
//! what its answers mean.
//!
//! Pure: no I/O, no clock, no randomness. Time and bytes are handed in.

pub(crate) mod catalog;
pub(crate) mod check;
pub(crate) mod gate;
pub(crate) mod hosts;
pub(crate) mod indices;
pub(crate) mod judge;
pub(crate) mod login;
pub(crate) mod message;
pub(crate) mod operation;
pub(crate) mod order_book;
pub(crate) mod order_number;
pub(crate) mod orders;
pub(crate) mod outcome;
pub(crate) mod params;
pub(crate) mod reads;
pub(crate) mod reasons;
pub(crate) mod request;
pub(crate) mod session;
pub(crate) mod words;
