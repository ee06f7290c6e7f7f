//! Random values: ids, keys, one-time codes.

/// Fills an array from the operating system's generator.
///
/// # Panics
///
/// If the operating system has no randomness to give; no session could be made without it.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// `length` random lower-case hex digits.
pub(crate) fn hex(length: usize) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(length);
    while text.len() < length {
        for byte in bytes::<16>() {
            for digit in [byte >> 4, byte & 15] {
                if text.len() < length {
                    text.push(char::from(DIGITS[usize::from(digit)]));
                }
            }
        }
    }
    text
}

/// A random UUID (version 4).
pub(crate) fn uuid() -> String {
    let digits = hex(32);
    let variant = ['8', '9', 'a', 'b'][usize::from(bytes::<1>()[0] & 3)];
    format!(
        "{}-{}-4{}-{variant}{}-{}",
        &digits[..8],
        &digits[8..12],
        &digits[13..16],
        &digits[17..20],
        &digits[20..]
    )
}

/// Four random decimal digits.
pub(crate) fn four_digits() -> String {
    // 65,536 is no multiple of 10,000: the bias does not matter for a pretend phone.
    format!("{:04}", u16::from_be_bytes(bytes()) % 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_have_their_form_and_differ() {
        let id = uuid();
        assert_eq!(id.len(), 36);
        assert_eq!(id.as_bytes()[14], b'4');
        assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
        for at in [8, 13, 18, 23] {
            assert_eq!(id.as_bytes()[at], b'-');
        }
        assert!(id.chars().all(|c| c == '-' || c.is_ascii_hexdigit()));
        assert_ne!(id, uuid());
    }

    #[test]
    fn lengths_are_kept() {
        for length in [0, 1, 7, 16, 33] {
            assert_eq!(hex(length).len(), length);
        }
        assert_eq!(four_digits().len(), 4);
    }
}
