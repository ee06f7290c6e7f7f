//! What is proven about the sandbox, over real sockets.
//!
//! - `v1`, `v2`, `v3`: every login of each generation, every refusal, and the key sets of all
//!   answers against the samples in `tests/fixtures`
//! - `cookies`: set, checked, required
//! - `faults`: each kind, and when it strikes
//! - `transport`: TLS modes, HTTP/2, gzip, keep-alive, closing
//! - `record`: what a recorded request holds
//! - `orders`: order instructions, refusals, matching, order faults
//! - `books`: rows against the samples, sums that add up, limits, older generations
//! - `market`: quotes, chains, candles, scrip files
//! - `sockets`: logins, packets, order messages, limits, silence, strikes
//! - `control`: the endpoint under `/sandbox/`
//! - `program`: the binary, from its first line to its last

mod books;
mod client;
mod control;
mod cookies;
mod faults;
mod fixtures;
mod market;
mod orders;
mod program;
mod record;
mod sockets;
mod trader;
mod transport;
mod v1;
mod v2;
mod v3;
