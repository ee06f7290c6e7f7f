//! Text that must not be shown and is wiped when its last owner is gone.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use zeroize::Zeroizing;

/// The longest credential that a header carries, in bytes. Three of them and a
/// body still leave room for cookies in a request.
pub(crate) const LONGEST_HEADER: usize = 4096;

/// A credential or token.
///
/// Clones share one buffer, so there is one place to wipe. It prints as
/// `***`, whatever formatting is asked for.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    pub(crate) fn new(text: String) -> Self {
        Self(Arc::new(Zeroizing::new(text)))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Whether a request can carry it: not blank, printable ASCII, not too long.
    pub(crate) fn fits_header(&self) -> bool {
        let text = self.expose();
        let is_plain = text.bytes().all(|b| (0x20..0x7f).contains(&b));
        is_plain && text.len() <= LONGEST_HEADER && !text.trim().is_empty()
    }

    /// This secret as a header value, without another copy of it. `None` if
    /// it has a byte that no header can carry.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        sensitive(Bytes::from_owner(self.clone()))
    }

    /// `prefix` and this secret as a header value.
    pub(crate) fn header_after(&self, prefix: &str) -> Option<HeaderValue> {
        let mut text = Zeroizing::new(Vec::with_capacity(prefix.len() + self.0.len()));
        text.extend_from_slice(prefix.as_bytes());
        text.extend_from_slice(self.0.as_bytes());
        sensitive(Bytes::from_owner(Wiped(text)))
    }
}

/// The texts of secrets, to be looked for in others.
pub(crate) fn exposed(secrets: &[Secret]) -> Vec<&str> {
    secrets.iter().map(Secret::expose).collect()
}

impl AsRef<[u8]> for Secret {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Bytes that are wiped on drop, in the shape that `Bytes::from_owner` takes.
pub(crate) struct Wiped(pub(crate) Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn sensitive(bytes: Bytes) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_maybe_shared(bytes).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_prints_itself() {
        let secret = Secret::new("fake-secret".to_owned());
        assert_eq!(
            format!("{secret:?} {:#?}", Some(&secret)),
            "*** Some(\n    ***,\n)"
        );
        let header = secret.header().expect("a plain text fits a header");
        assert_eq!(header.as_bytes(), b"fake-secret");
        assert_eq!(format!("{header:?}"), "Sensitive");
    }

    #[test]
    fn a_line_break_fits_no_header() {
        let fits = |text: &str| Secret::new(text.to_owned()).fits_header();
        assert!(fits("a b~") && fits(&"x".repeat(LONGEST_HEADER)));
        for odd in [
            "",
            " ",
            "a\tb",
            "a\nb",
            "a\u{7f}",
            "é",
            &"x".repeat(LONGEST_HEADER + 1),
        ] {
            assert!(!fits(odd), "{odd:?}");
        }
        assert!(Secret::new("a\r\nb".to_owned()).header().is_none());
        assert!(
            Secret::new("b\n".to_owned())
                .header_after("Bearer ")
                .is_none()
        );
    }
}
