//! Asks a proxy for a tunnel, and names what it does instead of opening one.

use http::{HeaderValue, StatusCode};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

/// The largest head of an answer to CONNECT.
const LARGEST_HEAD: usize = 8 * 1024;

/// Asks for a tunnel to `to`, which is host and port. `proxy` is its name in sentences.
///
/// # Errors
///
/// What it did instead, as a sentence. No word of the proxy is in it: it was told the login.
pub(super) async fn open(
    tcp: &TcpStream,
    proxy: &str,
    to: &str,
    login: Option<&HeaderValue>,
) -> Result<(), String> {
    let broke = |error| format!("the connection to the proxy {proxy} broke: {error}");
    let mut asked = Zeroizing::new(Vec::with_capacity(1024));
    asked.extend_from_slice(format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n").as_bytes());
    if let Some(login) = login {
        asked.extend_from_slice(b"Proxy-Authorization: ");
        asked.extend_from_slice(login.as_bytes());
        asked.extend_from_slice(b"\r\n");
    }
    asked.extend_from_slice(b"\r\n");
    let mut left = asked.as_slice();
    while !left.is_empty() {
        tcp.writable().await.map_err(broke)?;
        match tcp.try_write(left) {
            Ok(written) => left = &left[written..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(broke(error)),
        }
    }
    let mut head = vec![0; LARGEST_HEAD];
    let mut filled = 0;
    loop {
        tcp.readable().await.map_err(broke)?;
        match tcp.try_read(&mut head[filled..]) {
            Ok(0) => {
                return Err(format!(
                    "the proxy {proxy} closed the connection instead of answering CONNECT"
                ));
            }
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(broke(error)),
        }
        match read(&head[..filled]) {
            Head::Open => return Ok(()),
            Head::Partial if filled < LARGEST_HEAD => {}
            Head::Partial => {
                return Err(format!(
                    "the proxy {proxy} answered CONNECT with a head of more than {LARGEST_HEAD} bytes"
                ));
            }
            Head::Refused(status) => {
                let login = match (status, login) {
                    (407, None) => ", and its URL has no user and password",
                    (407, Some(_)) => ": it does not take user and password of its URL",
                    _ => "",
                };
                let known = StatusCode::from_u16(status).ok();
                let reason = known.and_then(|status| status.canonical_reason());
                let blank = reason.map_or("", |_| " ");
                let reason = reason.unwrap_or_default();
                return Err(format!(
                    "the proxy {proxy} answered {status}{blank}{reason} to CONNECT{login}"
                ));
            }
            Head::NoHttp => {
                return Err(format!(
                    "what the proxy {proxy} answered to CONNECT is no HTTP"
                ));
            }
            Head::Unasked => {
                return Err(format!(
                    "the proxy {proxy} sent something behind its answer to CONNECT, before it \
                     was asked for anything"
                ));
            }
        }
    }
}

/// What a proxy has answered so far.
#[derive(Debug, PartialEq, Eq)]
enum Head {
    /// The tunnel is there.
    Open,
    Partial,
    /// Another status than 200.
    Refused(u16),
    NoHttp,
    /// The first word is ours: what stands behind the head is of no broker.
    Unasked,
}

fn read(answer: &[u8]) -> Head {
    const VERSION: &[u8] = b"HTTP/1.";
    let shown = answer.len().min(VERSION.len());
    if answer[..shown] != VERSION[..shown] {
        return Head::NoHttp;
    }
    // `HTTP/1.1 200` and a blank or the end of the line.
    let Some(line) = answer.get(VERSION.len()..VERSION.len() + 6) else {
        return Head::Partial;
    };
    let [minor, blank, digits @ .., end] = line else {
        return Head::Partial;
    };
    let is_status = digits.iter().all(u8::is_ascii_digit) && digits[0] != b'0';
    if !minor.is_ascii_digit() || *blank != b' ' || !is_status || !b" \r\n".contains(end) {
        return Head::NoHttp;
    }
    let status = digits
        .iter()
        .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    if status != 200 {
        return Head::Refused(status);
    }
    let ends = |at: usize| {
        let rest = &answer[at..];
        let blank = [&b"\n\r\n"[..], b"\n\n"].into_iter();
        blank
            .filter(|end| rest.starts_with(end))
            .map(<[u8]>::len)
            .next()
    };
    match (0..answer.len()).find_map(|at| Some(at + ends(at)?)) {
        Some(end) if end == answer.len() => Head::Open,
        Some(_) => Head::Unasked,
        None => Head::Partial,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_200_opens_a_tunnel() {
        for open in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.0 200 Connection established\r\nvia: x\r\n\r\n",
            "HTTP/1.1 200\r\n\r\n",
            "HTTP/1.1 200\n\n",
        ] {
            assert_eq!(read(open.as_bytes()), Head::Open, "{open:?}");
            for cut in 0..open.len() {
                assert_eq!(
                    read(&open.as_bytes()[..cut]),
                    Head::Partial,
                    "{open:?} {cut}"
                );
            }
            let more = format!("{open}x");
            assert_eq!(read(more.as_bytes()), Head::Unasked, "{more:?}");
        }
        for (refused, status) in [
            ("HTTP/1.1 407 Proxy Authentication Required\r\n", 407),
            ("HTTP/1.1 503 ", 503),
            ("HTTP/1.1 204 No Content\r\n\r\n", 204),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 100),
            ("HTTP/1.1 999\n", 999),
        ] {
            assert_eq!(
                read(refused.as_bytes()),
                Head::Refused(status),
                "{refused:?}"
            );
        }
        for odd in [
            "nonsense\r\n\r\n",
            "<html>",
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.1  200 OK\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 20x OK\r\n\r\n",
            "HTTP/1.1 099 OK\r\n\r\n",
            "\x16\x03\x01",
        ] {
            assert_eq!(read(odd.as_bytes()), Head::NoHttp, "{odd:?}");
        }
    }
}
