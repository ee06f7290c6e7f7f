//! Time-based one-time passwords: RFC 6238 with SHA-1; 30 seconds and 6 digits, unless
//! the address of an authenticator app (`otpauth://`) says otherwise.

use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use zeroize::Zeroizing;

use crate::base::clock;
use crate::base::error::Error;
use crate::base::pasted;
use crate::base::reply::Reply;
use crate::base::status::Status;

const NAME: &str = "secret_base32";
/// Seconds that one code is valid.
const STEP: u64 = 30;
const DIGITS: u32 = 6;

/// Far more than any registration gives.
const LONGEST_SECRET: usize = 512;

/// The code of an authenticator app for this moment.
///
/// `secret` is the base32 text shown at registration; blanks of any kind, line
/// ends, dashes, case and padding do not matter. Or it is the whole address in the
/// QR code, `otpauth://totp/NAME?secret=...`, whose `digits` (6 to 8) and `period`
/// (1 to 3600 s) count; the `algorithm` must be SHA1. The answer is
/// `{"totp":"123456","valid_for_seconds":17}`, 1 to 30 seconds. It is as right
/// as the clock of this machine.
///
/// # Errors
///
/// [`Status::InvalidArgument`] if the secret is empty or no base32, or the address
/// is of another kind of code.
pub fn generate(secret: &str) -> Result<Reply, Error> {
    let Registered { key, step, digits } = Registered::read(secret)?;
    let now = match clock::unix_seconds() {
        0 => {
            let problem = "the clock of this machine is before 1970";
            return Err(Error::new(Status::Internal, problem));
        }
        now => now,
    };
    let code = at(&key, now / step, digits)?;
    let left = step - now % step;
    let mut reply = Reply::local(format!(
        r#"{{"totp":"{}","valid_for_seconds":{left}}}"#,
        *code
    ));
    reply.meta.operation = "totp_generate";
    Ok(reply)
}

/// What an authenticator app is told at the registration.
#[derive(Debug, PartialEq)]
struct Registered {
    key: Zeroizing<Vec<u8>>,
    /// Seconds.
    step: u64,
    digits: u32,
}

impl Registered {
    fn read(text: &str) -> Result<Self, Error> {
        let text = pasted::trimmed(text);
        let begins = |with: &str| {
            let start = text.get(..with.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(with))
        };
        if begins("otpauth-migration:") {
            let problem = "is an export of an authenticator app (otpauth-migration), which holds \
                           several secrets; give the one of the broker";
            return Err(Error::argument(NAME, problem));
        }
        if begins("otpauth:") {
            return Self::read_address(&text["otpauth:".len()..]);
        }
        Ok(Self {
            key: decode(text)?,
            step: STEP,
            digits: DIGITS,
        })
    }

    /// Reads `//totp/NAME?secret=...&digits=6&period=30&algorithm=SHA1`. What it says
    /// besides is for the app's screen.
    fn read_address(rest: &str) -> Result<Self, Error> {
        let wrong = |problem: &str| Err(Error::argument(NAME, problem));
        let rest = rest.strip_prefix("//").unwrap_or_default();
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let kind = path.split('/').next().unwrap_or_default();
        if kind.eq_ignore_ascii_case("hotp") {
            return wrong(
                "is an address of codes that are counted (hotp); the broker's go by time (totp)",
            );
        }
        if !kind.eq_ignore_ascii_case("totp") {
            return wrong("is an address, but none that begins with otpauth://totp/");
        }
        let query = query.split('#').next().unwrap_or_default();
        let mut found: [Option<Zeroizing<String>>; 4] = Default::default();
        const KEYS: [&str; 4] = ["secret", "digits", "period", "algorithm"];
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if key.starts_with("amp;") {
                return wrong("is an address with &amp; where & belongs");
            }
            let is_it = |known: &&str| key.eq_ignore_ascii_case(known);
            let Some(at) = KEYS.iter().position(is_it) else {
                continue;
            };
            let Some(value) = percent_decoded(value) else {
                let problem = format!("is an address whose {} is not spelled well", KEYS[at]);
                return wrong(&problem);
            };
            if found[at].replace(value).is_some() {
                return wrong(&format!("is an address that has {} twice", KEYS[at]));
            }
        }
        let [secret, digits, period, algorithm] = found;
        let number = |value: Option<Zeroizing<String>>, usual: u64| match value {
            None => Some(usual),
            Some(text) => text.parse().ok(),
        };
        let digits = number(digits, u64::from(DIGITS)).and_then(|it| u32::try_from(it).ok());
        let Some(digits) = digits.filter(|digits| (6..=8).contains(digits)) else {
            return wrong("is an address whose digits are not 6, 7 or 8");
        };
        let Some(step) = number(period, STEP).filter(|step| (1..=3600).contains(step)) else {
            return wrong("is an address whose period is not 1 to 3600 seconds");
        };
        let algorithm = algorithm.unwrap_or_else(|| Zeroizing::new("SHA1".to_owned()));
        let is_it = |name: &&str| algorithm.eq_ignore_ascii_case(name);
        if !["SHA1", "SHA-1", "HMACSHA1"].iter().any(is_it) {
            // Whatever stands there may be a secret in the wrong place.
            let known = ["SHA224", "SHA256", "SHA384", "SHA512", "MD5"];
            let named = known.iter().find(|name| is_it(name)).unwrap_or(&"another");
            let problem = format!("is an address of algorithm {named}; only SHA1 is supported");
            return wrong(&problem);
        }
        let Some(secret) = secret.filter(|secret| !secret.is_empty()) else {
            return wrong("is an address without a secret");
        };
        Ok(Self {
            key: decode(&secret)?,
            step,
            digits,
        })
    }
}

/// What a part of a query says; `None` if a percent sign stands before no byte, or it
/// is no text. No copy is left behind.
fn percent_decoded(text: &str) -> Option<Zeroizing<String>> {
    let mut said = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut left = text.as_bytes();
    while let Some((byte, rest)) = left.split_first() {
        left = rest;
        match byte {
            b'%' => {
                let (digits, rest) = left.split_at_checked(2)?;
                left = rest;
                let digits = std::str::from_utf8(digits).ok()?;
                if digits.starts_with('+') {
                    return None;
                }
                said.push(u8::from_str_radix(digits, 16).ok()?);
            }
            b'+' => said.push(b' '),
            byte => said.push(*byte),
        }
    }
    let said = String::from_utf8(std::mem::take(&mut *said));
    match said {
        Ok(said) => Some(Zeroizing::new(said)),
        Err(bytes) => {
            drop(Zeroizing::new(bytes.into_bytes()));
            None
        }
    }
}

fn decode(secret: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    let wrong = |problem| Err(Error::argument(NAME, problem));
    let mut bare = pasted::bare(secret);
    bare.make_ascii_uppercase();
    let end = bare.trim_end_matches('=').len();
    bare.truncate(end);
    let mut text = Zeroizing::new(std::mem::take(&mut *bare).into_bytes());
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
            NAME,
            format_args!(
                "character {} (blanks and dashes not counted) is not base32: A to Z, 2 to 7",
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

/// The code of the step with this number.
fn at(key: &[u8], step: u64, digits: u32) -> Result<Zeroizing<String>, Error> {
    let mut mac =
        Hmac::<Sha1>::new_from_slice(key).map_err(|_| Error::argument(NAME, "is too long"))?;
    mac.update(&step.to_be_bytes());
    let hash = mac.finalize().into_bytes();
    // Dynamic truncation of RFC 4226, section 5.3.
    let offset = usize::from(hash[19] & 15);
    let word = u32::from_be_bytes([
        hash[offset],
        hash[offset + 1],
        hash[offset + 2],
        hash[offset + 3],
    ]);
    let (code, width) = ((word & 0x7fff_ffff) % 10_u32.pow(digits), digits as usize);
    Ok(Zeroizing::new(format!("{code:0width$}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Registered {
        Registered::read(text).unwrap_or_else(|error| panic!("{error}"))
    }

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
                at(key, time / STEP, DIGITS)
                    .expect("a key of 20 bytes is fine")
                    .as_str(),
                code,
                "{time}"
            );
        }
        // The RFC's own vectors have eight digits.
        assert_eq!(
            at(key, 59 / 30, 8).expect("it is fine").as_str(),
            "94287082"
        );
    }

    #[test]
    fn a_secret_is_taken_as_it_was_pasted() {
        let plain = read("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert_eq!(plain.key.as_slice(), b"12345678901234567890");
        assert_eq!((plain.step, plain.digits), (30, 6));
        for between in [
            "\n", "\r", "\r\n", "\t", " ", "-", "\u{2010}", "\u{2011}", "\u{2012}", "\u{2013}",
            "\u{2014}", "\u{2015}", "\u{2212}", "\u{a0}", "\u{202f}", "\u{2007}", "\u{200b}",
            "\u{200c}", "\u{200d}", "\u{feff}", "\u{2060}", "",
        ] {
            let parts = ["gezdgnbvgy3tqojq", "GEZD", "gnbvgy3tqojq", ""];
            let wrapped = format!("{between}{}", parts.join(between));
            assert_eq!(read(&wrapped), plain, "{wrapped:?}");
            assert_eq!(
                read(&format!("{wrapped}===={between}")),
                plain,
                "{wrapped:?}"
            );
            // An address is not read with a dash before it.
            let around = between.trim_matches(pasted::is_dash);
            let address = format!(
                "{around}otpauth://totp/Kotak%20Neo:TEST1?issuer=Kotak&secret={wrapped}\
                 &digits=6&period=30&algorithm=SHA1{around}"
            );
            assert_eq!(read(&address), plain, "{address:?}");
        }
    }

    #[test]
    fn an_address_of_an_authenticator_app_is_honoured() {
        let plain = read("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        for same in [
            "otpauth://totp/X?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
            "OTPAUTH://TOTP/?SECRET=gezdgnbvgy3tqojqgezdgnbvgy3tqojq%3D%3D&Algorithm=sha1#end",
            "otpauth://totp?algorithm=HmacSHA1&secret=GEZD+GNBVGY3TQOJQ%20GEZDGNBVGY3TQOJQ",
            "otpauth://totp/K%3AT?secret=%47EZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&image=http%3A%2F%2Fx",
        ] {
            assert_eq!(read(same), plain, "{same}");
        }
        let other = read("otpauth://totp/X?digits=8&period=60&secret=MZXW6");
        assert_eq!((other.step, other.digits), (60, 8));
        for (bad, why) in [
            ("otpauth://hotp/X?secret=FAKEFAKE&counter=1", "(hotp)"),
            (
                "otpauth-migration://offline?data=FAKEFAKE",
                "otpauth-migration",
            ),
            ("otpauth://motp/X?secret=FAKEFAKE", "otpauth://totp/"),
            ("otpauth:totp/X?secret=FAKEFAKE", "otpauth://totp/"),
            ("otpauth:é", "otpauth://totp/"),
            ("otpauth://totp/X", "without a secret"),
            ("otpauth://totp/X?secret=", "without a secret"),
            ("otpauth://totp/X?secret=%20-", "must not be empty"),
            (
                "otpauth://totp/X?secret=FAKEFAKE&secret=FAKEFAKE",
                "secret twice",
            ),
            (
                "otpauth://totp/X?secret=FAKE%F",
                "secret is not spelled well",
            ),
            (
                "otpauth://totp/X?secret=FAKE%FF",
                "secret is not spelled well",
            ),
            (
                "otpauth://totp/X?secret=FAKE%+1",
                "secret is not spelled well",
            ),
            ("otpauth://totp/X?secret=FAKE1", "character 5"),
            (
                "otpauth://totp/X?secret=FAKEFAKE&digits=5",
                "digits are not 6, 7 or 8",
            ),
            (
                "otpauth://totp/X?secret=FAKEFAKE&digits=six",
                "digits are not 6, 7 or 8",
            ),
            (
                "otpauth://totp/X?secret=FAKEFAKE&period=0",
                "period is not 1 to 3600",
            ),
            (
                "otpauth://totp/X?secret=FAKEFAKE&algorithm=SHA256",
                "algorithm SHA256",
            ),
            (
                "otpauth://totp/X?secret=FAKEFAKE&algorithm=FAKEFAKE",
                "algorithm another",
            ),
            ("otpauth://totp/X?issuer=K&amp;secret=FAKEFAKE", "&amp;"),
        ] {
            let error = Registered::read(bad).expect_err(bad);
            assert!(error.message().contains(why), "{bad}: {error}");
            assert!(!error.to_json().contains("FAKE"), "{error}");
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
        assert!(reply.meta().contains(r#""operation":"totp_generate""#));
    }
}
