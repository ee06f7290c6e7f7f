//! What a failure of the network is called, and whether anything was sent.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use http::StatusCode;

use super::tls;
use super::unpack::Trouble;
use crate::base::status::Status;
use crate::broker::message::Failure;

/// No connection in time: nothing was sent.
pub(super) fn no_connection_within(limit: Duration, host: &str, waits: &str) -> Failure {
    Failure {
        status: Status::Timeout,
        message: format!(
            "no connection to {host} within {} ms: {waits}; nothing was sent",
            limit.as_millis()
        ),
        sent: false,
    }
}

/// No connection, and why not, as the end of a sentence: nothing was sent.
pub(super) fn no_connection_because(host: &str, why: &str) -> Failure {
    Failure {
        status: Status::Network,
        message: format!("no connection to {host}: {why}; nothing was sent"),
        sent: false,
    }
}

/// No connection: nothing was sent.
pub(super) fn no_connection(host: &str, error: &(dyn StdError + 'static)) -> Failure {
    match tls::explain(host, error) {
        Some(reason) => Failure {
            status: Status::Network,
            message: format!("{reason}; nothing was sent"),
            sent: false,
        },
        None => no_connection_because(host, &innermost(error)),
    }
}

/// A connection that ended before the answer was complete.
pub(super) fn broken(host: &str, error: &(dyn StdError + 'static), sent: bool) -> Failure {
    let cause = match sent {
        true => neutral(error),
        false => innermost(error),
    };
    Failure {
        status: Status::Network,
        message: format!("the connection to {host} broke: {cause}"),
        sent,
    }
}

/// The first cause of an error after something was sent. Some causes have words that sound
/// as if the other side had refused what it was sent, of which they know nothing: an ICMP
/// message of a firewall in the middle of a connection is `Connection refused` to the
/// system, and alerts of TLS have names like `AccessDenied`.
fn neutral(error: &(dyn StdError + 'static)) -> String {
    if let Some(rustls::Error::AlertReceived(alert)) = find(error) {
        return format!("it was ended with TLS alert {}", u8::from(*alert));
    }
    let of_system = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>());
    match of_system.last().map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused | io::ErrorKind::PermissionDenied) => {
            "the network says that the host is out of reach".to_owned()
        }
        _ => innermost(error),
    }
}

/// A body that cannot be had as it was before it was packed.
pub(super) fn undecoded(host: &str, http: StatusCode, why: &Trouble) -> Failure {
    let why = match why {
        Trouble::Broken => "its body is not what its Content-Encoding says".to_owned(),
        Trouble::Unknown(coding) => {
            format!("its body has the Content-Encoding \"{coding}\", which is not known")
        }
        Trouble::TooDeep => "its body was packed too often".to_owned(),
    };
    let http = http.as_u16();
    Failure {
        status: Status::Protocol,
        message: format!("the answer of {host} (HTTP {http}) could not be decoded: {why}"),
        sent: true,
    }
}

/// The first cause of an error: the outer ones only say that there is one.
pub(super) fn innermost(error: &(dyn StdError + 'static)) -> String {
    causes(error).last().unwrap_or(error).to_string()
}

/// The outermost `E` in a chain of causes.
pub(super) fn find<'a, E: StdError + 'static>(
    error: &'a (dyn StdError + 'static),
) -> Option<&'a E> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// An error and what caused it. An `io::Error` hides what it wraps from
/// `source`, so it is opened by hand.
fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&cause| {
        let wrapped = cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        match wrapped {
            Some(inner) => Some(inner as &(dyn StdError + 'static)),
            None => cause.source(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_not_called_refused() {
        let wrapped = |error: io::Error| io::Error::other(error);
        let alert = |alert| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                rustls::Error::AlertReceived(alert),
            )
        };
        for (error, told) in [
            (
                io::Error::from(io::ErrorKind::ConnectionRefused),
                "the network says that the host is out of reach",
            ),
            (
                wrapped(io::ErrorKind::PermissionDenied.into()),
                "the network says that the host is out of reach",
            ),
            (
                alert(rustls::AlertDescription::AccessDenied),
                "it was ended with TLS alert 49",
            ),
            (
                wrapped(alert(rustls::AlertDescription::HandshakeFailure)),
                "it was ended with TLS alert 40",
            ),
            (io::ErrorKind::ConnectionReset.into(), "connection reset"),
        ] {
            let failure = broken("host", &error, true);
            assert_eq!(
                failure.message,
                format!("the connection to host broke: {told}")
            );
            assert!(failure.sent);
        }
        let before = broken(
            "host",
            &io::Error::from(io::ErrorKind::ConnectionRefused),
            false,
        );
        assert!(before.message.contains("refused"), "{}", before.message);
    }
}
