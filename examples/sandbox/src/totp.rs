//! Time-based one-time passwords (RFC 6238: HMAC-SHA-1, 30 seconds, 6 digits).

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// Seconds that one code stands for.
pub(crate) const STEP_SECONDS: u64 = 30;

/// Reads a base32 secret (RFC 4648); blanks, dashes, case and padding do not matter.
///
/// `None` if a character is outside the alphabet or nothing is left.
pub(crate) fn decode_secret(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 5 / 8);
    let mut pool: u32 = 0;
    let mut bits = 0;
    for c in text.chars() {
        let value = match c.to_ascii_uppercase() {
            ' ' | '-' | '=' => continue,
            c @ 'A'..='Z' => c as u32 - 'A' as u32,
            c @ '2'..='7' => c as u32 - '2' as u32 + 26,
            _ => return None,
        };
        pool = (pool << 5) | value;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((pool >> bits) as u8);
            pool &= (1 << bits) - 1;
        }
    }
    (!bytes.is_empty()).then_some(bytes)
}

/// The code of `digits` digits for one counter value (RFC 4226).
fn hotp(secret: &[u8], counter: u64, digits: u32) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(&counter.to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let at = usize::from(hash[19] & 0x0f);
    let word = u32::from_be_bytes([hash[at], hash[at + 1], hash[at + 2], hash[at + 3]]);
    let code = (word & 0x7fff_ffff) % 10_u32.pow(digits);
    format!("{code:0width$}", width = digits as usize)
}

/// The six-digit code at `unix_seconds`.
pub(crate) fn code_at(secret: &[u8], unix_seconds: u64) -> String {
    hotp(secret, unix_seconds / STEP_SECONDS, 6)
}

/// Whether `code` is right now, or was in the step before, or will be in the next.
///
/// Clocks of phones and servers differ; one step each way is what RFC 6238 advises.
pub(crate) fn accepts(secret: &[u8], unix_seconds: u64, code: &str) -> bool {
    let step = unix_seconds / STEP_SECONDS;
    (step.saturating_sub(1)..=step + 1).any(|counter| hotp(secret, counter, 6) == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B, the SHA-1 rows (8 digits).
    #[test]
    fn gives_the_vectors_of_rfc_6238() {
        let secret = b"12345678901234567890";
        for (seconds, code) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            assert_eq!(hotp(secret, seconds / STEP_SECONDS, 8), code);
            // A code of six digits is the tail of the one of eight.
            assert_eq!(code_at(secret, seconds), code[2..]);
        }
    }

    /// RFC 4226, appendix D.
    #[test]
    fn gives_the_vectors_of_rfc_4226() {
        let codes = [
            "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583",
            "399871", "520489",
        ];
        for (counter, code) in (0..).zip(codes) {
            assert_eq!(hotp(b"12345678901234567890", counter, 6), code);
        }
    }

    #[test]
    fn accepts_one_step_each_way_and_no_more() {
        let secret = b"12345678901234567890";
        let now: u64 = 1_111_111_111;
        for (offset, expected) in [
            (-60, false),
            (-30, true),
            (0, true),
            (30, true),
            (60, false),
        ] {
            let code = code_at(secret, now.checked_add_signed(offset).unwrap());
            assert_eq!(accepts(secret, now, &code), expected, "{offset}");
        }
        assert!(!accepts(secret, now, ""));
    }

    /// RFC 4648, section 10, and the loose spellings.
    #[test]
    fn reads_base32_in_every_spelling() {
        for (text, bytes) in [
            ("MY======", &b"f"[..]),
            ("MZXQ====", b"fo"),
            ("MZXW6===", b"foo"),
            ("MZXW6YQ=", b"foob"),
            ("MZXW6YTB", b"fooba"),
            ("MZXW6YTBOI======", b"foobar"),
            ("mzxw 6ytb-oi", b"foobar"),
        ] {
            assert_eq!(decode_secret(text).as_deref(), Some(bytes), "{text}");
        }
        assert_eq!(decode_secret("MZXW0"), None);
        assert_eq!(decode_secret(""), None);
        assert_eq!(decode_secret("===="), None);
    }
}
