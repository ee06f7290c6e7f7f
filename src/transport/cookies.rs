//! The cookies of one client: bounded, whatever the broker sets.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use cookie_store::Cookie;
use http::HeaderValue;
use url::Url;
use zeroize::Zeroizing;

use crate::base::secret::Wiped;

/// How many bytes of cookies a request carries. Servers refuse a larger head.
pub(crate) const MOST_SENT: usize = 8 * 1024;
/// The longest name and value together, as RFC 6265bis has it.
const LONGEST: usize = 4096;
/// The longest line that sets one.
const LONGEST_LINE: usize = 8 * 1024;
/// How many are kept of one domain, and of all.
const MOST_OF_DOMAIN: usize = 50;
const MOST: usize = 200;

/// Cookies for each host, as a browser keeps them, for reads, logins and
/// orders alike.
///
/// They belong to a session: with another session, or none, they go.
#[derive(Default)]
pub(crate) struct Cookies(RwLock<Jar>);

#[derive(Debug, Default)]
struct Jar {
    /// The one that was set last at the end.
    all: Vec<Cookie<'static>>,
    /// How many were set and are not kept, for want of room.
    lost: usize,
}

/// What a request carries, and how many it should carry but does not.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Carried {
    pub(super) header: Option<HeaderValue>,
    pub(super) left_out: usize,
}

impl Carried {
    /// What to tell of those that are left out.
    pub(super) fn trouble(&self) -> Option<String> {
        let count = self.left_out;
        (count > 0).then(|| {
            format!(
                "the broker set more cookies than are kept and sent ({MOST_SENT} bytes in a \
                 request): {count} were left out"
            )
        })
    }
}

impl Jar {
    fn set(&mut self, line: &str, url: &Url) {
        if line.len() > LONGEST_LINE {
            self.lost += 1;
            return;
        }
        // What is no cookie, or for another host, is none of ours.
        let Ok(cookie) = Cookie::parse(line.to_owned(), url) else {
            return;
        };
        self.all.retain(|old| !is_same(old, &cookie));
        if cookie.is_expired() {
            return;
        }
        let (name, value) = cookie.name_value();
        if name.len() + value.len() > LONGEST || HeaderValue::from_str(&pair(&cookie)).is_err() {
            self.lost += 1;
            return;
        }
        self.all.push(cookie);
        self.make_room();
    }

    /// Forgets the oldest, of the newest one's domain first.
    fn make_room(&mut self) {
        self.all.retain(|kept| !kept.is_expired());
        let Some(newest) = self.all.last() else {
            return;
        };
        let domain = newest.domain.clone();
        let is_of_it = |kept: &Cookie<'_>| kept.domain.as_cow() == domain.as_cow();
        let first = if self.all.iter().filter(|kept| is_of_it(kept)).count() > MOST_OF_DOMAIN {
            self.all.iter().position(is_of_it)
        } else {
            (self.all.len() > MOST).then_some(0)
        };
        if let Some(first) = first {
            self.all.remove(first);
            self.lost += 1;
        }
    }

    /// The newest that fit into `room` bytes, the oldest of them first.
    fn carried(&self, url: &Url, room: usize) -> Carried {
        let mut picked = Vec::new();
        let mut left_out = self.lost;
        let mut size = 0;
        let fit = self.all.iter().rev();
        for cookie in fit.filter(|kept| kept.matches(url) && !kept.is_expired()) {
            let (name, value) = cookie.name_value();
            // With `=`, and `; ` before the next.
            let more = name.len() + value.len() + 3;
            // Nothing follows the last one.
            if size + more > room + 2 {
                left_out += 1;
            } else {
                size += more;
                picked.push((name, value));
            }
        }
        let mut text = Zeroizing::new(Vec::with_capacity(size));
        for (name, value) in picked.into_iter().rev() {
            if !text.is_empty() {
                text.extend_from_slice(b"; ");
            }
            text.extend_from_slice(name.as_bytes());
            text.push(b'=');
            text.extend_from_slice(value.as_bytes());
        }
        let header = match text.is_empty() {
            true => None,
            // Each was looked at when it came.
            false => HeaderValue::from_maybe_shared(Bytes::from_owner(Wiped(text))).ok(),
        };
        let header = header.map(|mut header| {
            header.set_sensitive(true);
            header
        });
        Carried { header, left_out }
    }
}

/// Whether the one replaces the other.
fn is_same(one: &Cookie<'_>, other: &Cookie<'_>) -> bool {
    one.name() == other.name()
        && one.path.as_ref() == other.path.as_ref()
        && one.domain.as_cow() == other.domain.as_cow()
}

fn pair(cookie: &Cookie<'_>) -> Zeroizing<String> {
    let (name, value) = cookie.name_value();
    Zeroizing::new(format!("{name}={value}"))
}

impl Cookies {
    fn read(&self) -> RwLockReadGuard<'_, Jar> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Jar> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets all cookies.
    pub(crate) fn clear(&self) {
        *self.write() = Jar::default();
    }

    /// Takes a cookie in the form `name=value` for the host of `url`.
    pub(crate) fn add(&self, cookie: &str, url: &Url) {
        self.write().set(cookie, url);
    }

    /// What a request to `url` carries that has so much room for it: the
    /// newest that fit. The others do not keep it from leaving.
    pub(super) fn carried(&self, url: &Url, room: usize) -> Carried {
        self.read().carried(url, room.min(MOST_SENT))
    }

    /// Keeps what an answer sets.
    pub(super) fn set_cookies(&self, headers: &mut dyn Iterator<Item = &HeaderValue>, url: &Url) {
        let mut headers = headers.peekable();
        if headers.peek().is_none() {
            return;
        }
        let mut jar = self.write();
        for header in headers {
            if let Ok(line) = std::str::from_utf8(header.as_bytes()) {
                jar.set(line, url);
            }
        }
    }

    /// What a request to this URL carries.
    pub(crate) fn cookies(&self, url: &Url) -> Option<HeaderValue> {
        self.carried(url, MOST_SENT).header
    }
}

impl std::fmt::Debug for Cookies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    fn sent(jar: &Cookies, to: &Url) -> String {
        let header = jar.cookies(to);
        let text = header.as_ref().map_or("", |header| {
            assert!(header.is_sensitive());
            header.to_str().expect("plain texts were set")
        });
        text.to_owned()
    }

    #[test]
    fn the_newest_are_sent_and_the_rest_is_told() {
        let host = url("https://e43.kotaksecurities.com/quick/x");
        let jar = Cookies::default();
        for at in 0..4 {
            let line = format!("big{at}={}; Path=/", "v".repeat(4000));
            jar.set_cookies(
                &mut [&HeaderValue::try_from(line).expect("plain")].into_iter(),
                &host,
            );
        }
        jar.add("small=1", &host);
        let header = sent(&jar, &host);
        assert!(header.len() <= MOST_SENT);
        let names: Vec<_> = header.split("; ").map(|one| &one[..4]).collect();
        assert_eq!(names, ["big2", "big3", "smal"]);
        let carried = jar.carried(&host, MOST_SENT);
        assert_eq!(carried.left_out, 2);
        assert!(
            carried
                .trouble()
                .is_some_and(|told| told.contains(": 2 were left out"))
        );
        // A small old one still fits where a large one does not.
        let carried = jar.carried(&host, 100);
        assert_eq!(carried.header.expect("one fits"), "small=1");
        assert_eq!(jar.carried(&host, 3).header, None);
        // To the byte.
        assert_eq!(jar.carried(&host, 7).header.expect("it fits"), "small=1");
        assert_eq!(jar.carried(&host, 6).header, None);
        jar.clear();
        assert_eq!(jar.carried(&host, MOST_SENT), Carried::default());
        assert_eq!(Carried::default().trouble(), None);
    }

    #[test]
    fn however_many_are_set_few_are_kept() {
        let jar = Cookies::default();
        for at in 0..1000 {
            let host = url(&format!("https://h{}.kotaksecurities.com/", at % 20));
            jar.add(&format!("name{at}={at}; Path=/{}", "p".repeat(at)), &host);
        }
        assert_eq!(jar.read().all.len(), MOST);
        let host = url("https://h1.kotaksecurities.com/");
        jar.clear();
        for at in 0..200 {
            jar.add(&format!("name{at}={at}; Path=/"), &host);
        }
        let all = sent(&jar, &host);
        assert_eq!(all.split("; ").count(), MOST_OF_DOMAIN);
        assert!(all.starts_with("name150=150; ") && all.ends_with("; name199=199"));
        assert_eq!(jar.carried(&host, MOST_SENT).left_out, 150);
        // One that is set again is the newest.
        jar.add("name150=again; Path=/", &host);
        jar.add("more=1; Path=/", &host);
        let all = sent(&jar, &host);
        assert!(
            all.ends_with("; name150=again; more=1") && !all.contains("name151"),
            "{all}"
        );
    }

    #[test]
    fn what_cannot_be_sent_is_not_kept() {
        let host = url("https://e43.kotaksecurities.com/");
        let jar = Cookies::default();
        jar.add("good=1", &host);
        let long = "v".repeat(LONGEST);
        for line in [
            "bad=a\nb",
            "bad=a\u{7f}b",
            &format!("long={long}"),
            &format!("path=1; Path=/{long}{long}"),
            "",
            "no pair",
            "elsewhere=1; Domain=example.com",
            "gone=1; Max-Age=0",
        ] {
            jar.add(line, &host);
        }
        assert_eq!(sent(&jar, &host), "good=1");
        assert_eq!(jar.carried(&host, MOST_SENT).left_out, 4);
    }

    #[test]
    fn each_goes_where_it_belongs() {
        let host = url("https://e43.kotaksecurities.com/quick/order");
        let other = url("https://mis.kotaksecurities.com/quick/order");
        let jar = Cookies::default();
        for line in [
            "mine=1; Path=/quick",
            "elsewhere=1; Path=/other",
            "both=1; Domain=kotaksecurities.com; Path=/; Secure; HttpOnly",
            "old=1; Path=/",
            "old=1; Path=/; Max-Age=0",
        ] {
            jar.add(line, &host);
        }
        assert_eq!(sent(&jar, &host), "mine=1; both=1");
        assert_eq!(sent(&jar, &other), "both=1");
        assert_eq!(
            sent(&jar, &url("http://e43.kotaksecurities.com/quick/")),
            "mine=1"
        );
    }
}
