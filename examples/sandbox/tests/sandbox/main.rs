//! What is proven about the sandbox, over real sockets.
//!
//! - `v1`, `v2`, `v3`: every login of each generation, every refusal, and the key sets of all
//!   answers against the samples in `fixtures/`
//! - `cookies`: set, checked, required
//! - `faults`: each kind, and when it strikes
//! - `transport`: TLS modes, HTTP/2, gzip, keep-alive, closing
//! - `record`: what a recorded request holds
//! - `control`: the endpoint under `/sandbox/`
//! - `program`: the binary, from its first line to its last

mod client;
mod control;
mod cookies;
mod faults;
mod fixtures;
mod program;
mod record;
mod transport;
mod v1;
mod v2;
mod v3;
