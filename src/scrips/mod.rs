//! Instruments: the scrip-master files, indexed and searched. [`store`] keeps
//! them on disk; `client/scrips.rs` fetches those that are not there.

mod contract;
mod csv;
mod query;
mod read;
mod segment;
mod store;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use query::{Lacks, Query};
pub(crate) use store::Store;
pub(crate) use table::{Broken, Table};

/// The largest scrip file that is taken.
pub(crate) const LARGEST_FILE: u64 = 256 * 1024 * 1024;
