//! What is proven of the core, without FFI:
//!
//! - `cancel`: one call ended by its name, and no other
//! - `codings`: answers that were packed for their way, over every connection
//! - `logins`: every login of the broker, in every environment and generation
//! - `reads`: every reading call, its parameters and answers
//! - `orders`: instructions: what is sent, checked, answered, paced, settled
//! - `pacing`: how many instructions come to the broker in a second, and whose turn it is
//! - `turns`: how many reads come to the broker in a second, and what a 429 keeps back
//! - `outcomes`: what settles a lost answer, and what must not
//! - `connections`: silent addresses, both families, proxies, and what is told of a connection
//! - `decimals`: prices and quantities are sent as they were given, or refused
//! - `manner`: what both feeds do alike
//! - `masking`: no spelling of a secret comes through, and nothing else is lost
//! - `orderfeed`: live events and books as one history, whatever the line does
//! - `money`: faults at every moment: at most one order, and a true status
//! - `gate`: limits of the configuration and the halt: what they refuse is not sent
//! - `steps`: an instruction cut short at every step, in every way
//! - `transport`: TLS, hosts, faults of the network, deadlines, interrupts
//! - `deadline`: a call ends in time, whatever a server sends without end
//! - `floods`: the same of HTTP/2, feeds and proxies
//! - `lies`: answers that lie about an order
//! - `after_market`: the flag that the cancel of an after-market order needs
//! - `wire`: answers to orders byte by byte, and proxies
//! - `scrips`: instruments: downloads, cache, bad files
//! - `secrets`: after a full day no credential shows anywhere
//! - `feed`: the market feed: prices, states, faults of the connection
//! - `pasted`: texts from clipboards and files: taken, or refused in words that help
//! - `sleep`: a machine that sleeps for an hour
//! - `sockets`: both feeds against the sandbox, and every fault that it knows
//! - `hosts`: the library inside other programs: threads, async runtimes

mod after_market;
mod cancel;
mod codings;
mod connections;
mod deadline;
mod decimals;
mod feed;
mod floods;
mod gate;
mod hosts;
mod lies;
mod logins;
mod manner;
mod masking;
mod money;
mod orderfeed;
mod orders;
mod outcomes;
mod pacing;
mod pasted;
mod reads;
mod scrips;
mod secrets;
mod sleep;
mod sockets;
mod steps;
mod support;
mod transport;
mod turns;
mod wire;
