//! Which hosts can be nothing but this machine.

use url::Host;

/// Whether `host` is this machine. The name `localhost` counts, because our
/// resolver gives loopback addresses only for it.
pub(crate) fn is_loopback<S: AsRef<str>>(host: &Host<S>) -> bool {
    match host {
        Host::Domain(name) => is_localhost(name.as_ref()),
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => ip.is_loopback(),
    }
}

/// Whether `name` is the one that always means this machine.
pub(crate) fn is_localhost(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost")
}
