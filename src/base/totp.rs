//! Time-based one-time passwords: RFC 6238 with SHA-1, 30 seconds, 6 digits.

use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use zeroize::Zeroizing;

use crate::base::clock;
use crate::base::error::Error;
use crate::base::reply::Reply;
use crate::base::status::Status;

/// Seconds that one code is valid.
const STEP: u64 = 30;

/// Far more than any registration gives.
const LONGEST_SECRET: usize = 512;

/// The code of an authenticator app for this moment.
///
/// `secret` is the base32 text shown at registration; blanks, case and
/// padding do not matter. The answer is
/// `{"totp":"123456","valid_for_seconds":17}`, 1 to 30 seconds. It is as right
/// as the clock of this machine.
///
/// # Errors
///
/// [`Status::InvalidArgument`] if the secret is empty or no base32.
pub fn generate(secret: &str) -> Result<Reply, Error> {
    let key = decode(secret)?;
    let now = match clock::unix_seconds() {
        0 => {
            let problem = "the clock of this machine is before 1970";
            return Err(Error::new(Status::Internal, problem));
        }
        now => now,
    };
    let code = at(&key, now)?;
    let left = STEP - now % STEP;
    Ok(Reply::local(format!(
        r#"{{"totp":"{}","valid_for_seconds":{left}}}"#,
        *code
    )))
}

fn decode(secret: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    let wrong = |problem| Err(Error::argument("secret_base32", problem));
    let mut text = Zeroizing::new(Vec::with_capacity(secret.len()));
    text.extend(
        secret
            .trim_end_matches(['=', ' '])
            .bytes()
            .filter(|b| *b != b' ')
            .map(|b| b.to_ascii_uppercase()),
    );
    if text.len() > LONGEST_SECRET {
        return wrong("must not be longer than 512 characters");
    }
    if text.is_empty() {
        return wrong("must not be empty");
    }
    if let Some(at) = text
        .iter()
        .position(|b| !matches!(b, b'A'..=b'Z' | b'2'..=b'7'))
    {
        // The position, not the character: it is part of a secret.
        return Err(Error::argument(
            "secret_base32",
            format_args!(
                "character {} (blanks not counted) is not base32: A to Z, 2 to 7",
                at + 1
            ),
        ));
    }
    match BASE32_NOPAD.decode(&text) {
        Ok(key) if !key.is_empty() => Ok(Zeroizing::new(key)),
        _ => {
            // Apps accept leftover bits that are not zero, so do we.
            let Some(last) = last_without_leftover(&text) else {
                return wrong("has a length that no base32 text can have");
            };
            let end = text.len() - 1;
            text[end] = last;
            match BASE32_NOPAD.decode(&text) {
                Ok(key) if !key.is_empty() => Ok(Zeroizing::new(key)),
                _ => wrong("has a length that no base32 text can have"),
            }
        }
    }
}

/// The last character with the bits cleared that belong to no byte.
fn last_without_leftover(text: &[u8]) -> Option<u8> {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let leftover = match text.len() % 8 {
        2 => 2,
        4 => 4,
        5 => 1,
        7 => 3,
        _ => return None,
    };
    let last = *text.last()?;
    let value = ALPHABET.iter().position(|c| *c == last)?;
    Some(ALPHABET[value >> leftover << leftover])
}

fn at(key: &[u8], unix_seconds: u64) -> Result<Zeroizing<String>, Error> {
    let mut mac = Hmac::<Sha1>::new_from_slice(key)
        .map_err(|_| Error::argument("secret_base32", "is too long"))?;
    mac.update(&(unix_seconds / STEP).to_be_bytes());
    let hash = mac.finalize().into_bytes();
    // Dynamic truncation of RFC 4226, section 5.3.
    let offset = usize::from(hash[19] & 15);
    let word = u32::from_be_bytes([
        hash[offset],
        hash[offset + 1],
        hash[offset + 2],
        hash[offset + 3],
    ]);
    Ok(Zeroizing::new(format!(
        "{:06}",
        (word & 0x7fff_ffff) % 1_000_000
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last six of the eight digits of RFC 6238, appendix B.
    #[test]
    fn rfc_6238_vectors() {
        let key = b"12345678901234567890";
        for (time, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(
                at(key, time).expect("a key of 20 bytes is fine").as_str(),
                code,
                "{time}"
            );
        }
    }

    #[test]
    fn spelling_does_not_matter() {
        let plain = decode("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ").expect("this is base32");
        assert_eq!(plain.as_slice(), b"12345678901234567890");
        for same in [
            "gezd gnbv gy3t qojq gezd gnbv gy3t qojq",
            " GEZDGNBVGY3TQOJQ gezdgnbvgy3tqojq ====",
        ] {
            assert_eq!(decode(same).expect("this is base32"), plain);
        }
        assert_eq!(decode("MZXW6===").expect("padded").as_slice(), b"foo");
        assert_eq!(
            decode("MZXW7")
                .expect("leftover bits are ignored")
                .as_slice(),
            b"foo"
        );
    }

    #[test]
    fn refuses_what_is_no_base32_without_showing_it() {
        for (bad, why) in [
            ("", "must not be empty"),
            (" == ", "must not be empty"),
            ("AB1D", "character 3"),
            ("ABé", "character 3"),
            ("A", "length"),
            ("ABC", "length"),
            ("AB=CD", "character 3"),
        ] {
            let error = decode(bad).expect_err("this is no base32");
            assert_eq!(error.status(), Status::InvalidArgument);
            assert!(error.message().contains(why), "{}", error.message());
            assert!(error.message().starts_with("secret_base32: "));
        }
    }

    #[test]
    fn refuses_a_secret_that_is_too_long() {
        assert!(decode(&"A".repeat(512)).is_ok());
        let error = decode(&"A".repeat(520)).expect_err("it is too long");
        assert!(error.message().contains("512"), "{error}");
    }

    #[test]
    fn tells_how_long_the_code_lasts() {
        let reply = generate("MZXW6").expect("this is base32");
        let value: serde_json::Value = serde_json::from_str(reply.json()).expect("it is JSON");
        assert!((1..=30).contains(&value["valid_for_seconds"].as_u64().expect("a number")));
        assert_eq!(value["totp"].as_str().expect("a string").len(), 6);
        assert!(reply.redacted().contains(r#""totp":"***""#));
    }
}
