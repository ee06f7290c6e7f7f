//! What is proven of the core, without FFI:
//!
//! - `logins`: every login of the broker, in every environment and generation
//! - `reads`: every reading call, its parameters and answers
//! - `transport`: TLS, hosts, faults of the network, deadlines, interrupts
//! - `secrets`: after a full day no credential shows anywhere
//! - `hosts`: the library inside other programs: threads, async runtimes

mod hosts;
mod logins;
mod reads;
mod secrets;
mod support;
mod transport;
