//! What goes to the broker and what comes back, as plain values. Whoever
//! carries them is no business of this file; nor is the time, which is handed in.

use std::time::{Duration, UNIX_EPOCH};

use http::header::{DATE, LOCATION, RETRY_AFTER, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method};
use url::Url;
use zeroize::Zeroizing;

use crate::base::secret::Secret;
use crate::base::status::Status;

/// One HTTP request.
pub(crate) struct Request {
    /// GET or POST.
    pub(crate) method: Method,
    /// Where it goes.
    pub(crate) url: Url,
    /// All but those that the connection itself needs.
    pub(crate) headers: HeaderMap,
    /// Sent once, then wiped.
    pub(crate) body: Option<Zeroizing<Vec<u8>>>,
    /// The most that its answer may hold after content decoding, in bytes.
    pub(crate) largest_answer: usize,
}

/// What the broker answered.
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) http_status: u16,
    /// How long the broker asks to wait.
    pub(crate) retry_after: Option<Duration>,
    /// The broker's clock, in unix seconds.
    pub(crate) date: Option<u64>,
    /// The host that a redirect names.
    pub(crate) redirect: Option<String>,
    /// The values of the cookies that it sets, whether they are kept or not.
    pub(crate) cookies: Vec<Secret>,
    /// The body after content decoding.
    pub(crate) body: Zeroizing<Vec<u8>>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Timeout, network, protocol or internal.
    pub(crate) status: Status,
    /// What happened, in one sentence.
    pub(crate) message: String,
    /// Whether a byte of the request may have left.
    pub(crate) sent: bool,
}

impl Answer {
    /// An answer whose body is still to come. `now` is the time since 1970.
    pub(crate) fn from_head(http_status: u16, headers: &HeaderMap, now: Duration) -> Self {
        let date = headers.get(DATE).and_then(date);
        // Times that the broker names are of its own clock.
        let now = date.unwrap_or(now);
        let redirect = headers
            .get(LOCATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| Url::parse(text).ok())
            .and_then(|url| url.host_str().map(str::to_owned));
        Self {
            http_status,
            retry_after: headers
                .get(RETRY_AFTER)
                .and_then(|value| retry_after(value, now))
                .or_else(|| reset(headers, now).filter(|_| http_status == 429)),
            date: date.map(|when| when.as_secs()),
            redirect,
            cookies: headers
                .get_all(SET_COOKIE)
                .iter()
                // Behind the first semicolon stand path, host and end of it.
                .filter_map(|header| {
                    cookie_value(header.as_bytes().split(|byte| *byte == b';').next()?)
                })
                .collect(),
            body: Zeroizing::new(Vec::new()),
        }
    }

    /// Takes the next piece of the body.
    ///
    /// # Errors
    ///
    /// If the body gets larger than `largest`.
    pub(crate) fn push(&mut self, chunk: &[u8], largest: usize) -> Result<(), Failure> {
        let needed = self.body.len() + chunk.len();
        if needed > largest {
            return Err(Failure {
                status: Status::Protocol,
                message: format!("the answer is larger than {largest} bytes"),
                sent: true,
            });
        }
        if needed > self.body.capacity() {
            // Grown by hand: a plain Vec would free the old bytes unwiped.
            let room = needed.max(2 * self.body.len()).min(largest);
            let mut larger = Zeroizing::new(Vec::with_capacity(room));
            larger.extend_from_slice(&self.body);
            self.body = larger;
        }
        self.body.extend_from_slice(chunk);
        Ok(())
    }

    /// The body is whole. Takes a byte-order mark off its beginning.
    pub(crate) fn end(&mut self) {
        if self.body.starts_with(BYTE_ORDER_MARK) {
            self.body.drain(..BYTE_ORDER_MARK.len());
        }
    }
}

/// What some servers write before a text, and what is no part of it (RFC 8259).
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The values of the cookies in a `Cookie` header.
pub(crate) fn cookie_values(header: &HeaderValue) -> Vec<Secret> {
    header
        .as_bytes()
        .split(|byte| *byte == b';')
        .filter_map(cookie_value)
        .collect()
}

/// The value of `name=value`. A short one is a word, and no secret.
fn cookie_value(pair: &[u8]) -> Option<Secret> {
    const SHORTEST: usize = 8;
    let pair = String::from_utf8_lossy(pair);
    let (_, value) = pair.split_once('=')?;
    let value = value.trim().trim_matches('"');
    (value.len() >= SHORTEST).then(|| Secret::new(value.to_owned()))
}

/// Seconds, or a date of HTTP, from which `now` is taken off.
fn retry_after(value: &HeaderValue, now: Duration) -> Option<Duration> {
    match value.to_str().ok()?.trim().parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => Some(date(value)?.saturating_sub(now)),
    }
}

/// Until the time at which the broker counts anew, in seconds since 1970.
fn reset(headers: &HeaderMap, now: Duration) -> Option<Duration> {
    let at: u64 = headers
        .get("x-ratelimit-reset")?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(at).saturating_sub(now))
}

/// A date of HTTP as time since 1970.
fn date(value: &HeaderValue) -> Option<Duration> {
    let when = httpdate::parse_http_date(value.to_str().ok()?.trim()).ok()?;
    when.duration_since(UNIX_EPOCH).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_a_number_or_a_date() {
        let now = Duration::from_secs(1_000_000_000);
        let wait = |text| retry_after(&HeaderValue::from_static(text), now);
        assert_eq!(wait(" 7 "), Some(Duration::from_secs(7)));
        let later = "Sun, 09 Sep 2001 01:46:45 GMT";
        assert_eq!(wait(later), Some(Duration::from_secs(5)));
        let earlier = "Sun, 09 Sep 2001 01:46:39 GMT";
        assert_eq!(wait(earlier), Some(Duration::ZERO));
        assert_eq!(wait("soon"), None);
    }

    #[test]
    fn a_byte_order_mark_is_taken_off_once() {
        for (body, text) in [
            ("\u{feff}{}", "{}"),
            ("\u{feff}", ""),
            ("\u{feff}\u{feff}{}", "\u{feff}{}"),
            (" \u{feff}{}", " \u{feff}{}"),
            ("{\u{feff}}", "{\u{feff}}"),
            ("", ""),
        ] {
            for size in [1, 2, 100] {
                let mut answer = Answer::from_head(200, &HeaderMap::new(), Duration::ZERO);
                for piece in body.as_bytes().chunks(size) {
                    answer.push(piece, 100).expect("it is small");
                }
                answer.end();
                assert_eq!(answer.body.as_slice(), text.as_bytes(), "{body:?}");
            }
        }
        let mut cut = Answer::from_head(200, &HeaderMap::new(), Duration::ZERO);
        cut.push(b"\xef\xbb", 100).expect("it is small");
        cut.end();
        assert_eq!(cut.body.as_slice(), b"\xef\xbb");
    }

    #[test]
    fn the_time_of_the_next_count_serves_where_a_429_names_no_other() {
        let now = Duration::from_secs(1_760_000_000);
        let wait = |status, all: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, text) in all {
                headers.insert(*name, HeaderValue::from_static(text));
            }
            Answer::from_head(status, &headers, now).retry_after
        };
        let reset = ("x-ratelimit-reset", "1760000003");
        assert_eq!(wait(429, &[reset]), Some(Duration::from_secs(3)));
        assert_eq!(wait(200, &[reset]), None);
        let both = [reset, ("retry-after", "1")];
        assert_eq!(wait(429, &both), Some(Duration::from_secs(1)));
        let over = ("x-ratelimit-reset", "1759999999");
        assert_eq!(wait(429, &[over]), Some(Duration::ZERO));
        assert_eq!(wait(429, &[("x-ratelimit-reset", "soon")]), None);
    }

    #[test]
    fn the_head_is_read_as_plain_values() {
        let mut headers = HeaderMap::new();
        let mut put = |name, text| headers.insert(name, HeaderValue::from_static(text));
        put(DATE, "Sun, 09 Sep 2001 01:46:40 GMT");
        put(LOCATION, "https://example.com/x?y=z");
        put(SET_COOKIE, "a=fake-cookie=1; Domain=example.com; Path=/");
        let mut answer = Answer::from_head(302, &headers, Duration::ZERO);
        assert_eq!(answer.date, Some(1_000_000_000));
        assert_eq!(answer.redirect.as_deref(), Some("example.com"));
        assert_eq!(answer.retry_after, None);
        assert_eq!(answer.cookies, [Secret::new("fake-cookie=1".to_owned())]);
        let sent = HeaderValue::from_static("b=\"fake-cookie-2\"; c; d=short;e=fake-cookie-3");
        let sent = cookie_values(&sent);
        let sent: Vec<&str> = sent.iter().map(Secret::expose).collect();
        assert_eq!(sent, ["fake-cookie-2", "fake-cookie-3"]);
        answer.push(b"ab", 4).expect("it is small");
        answer.push(b"cd", 4).expect("it is just small enough");
        assert_eq!(
            (answer.body.as_slice(), answer.body.capacity()),
            (&b"abcd"[..], 4)
        );
        answer.end();
        assert_eq!(answer.body.as_slice(), b"abcd");
        let failure = answer.push(b"e", 4).expect_err("it is too large");
        assert_eq!(failure.status, Status::Protocol);
        assert_eq!(failure.message, "the answer is larger than 4 bytes");
    }
}
