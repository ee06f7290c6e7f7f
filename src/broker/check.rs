//! Checks of login input. What fails here is named and nothing is sent.

use std::fmt;

use crate::base::error::Error;
use crate::base::pasted;
use crate::base::secret::Secret;

/// A mobile number with country code, as the broker wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mobile(String);

impl Mobile {
    /// `text` is `+` or `00` and 8 to 15 digits (E.164), or the ten digits of an
    /// Indian number, which get `+91`; a zero or 91 before them says the same. Blanks,
    /// dashes, brackets and points between the digits say nothing.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, Error> {
        const FORM: &str = "the form is +919999999999: a plus, the country code and the number";
        let wrong = |problem: &str| Err(Error::argument(name, format_args!("{problem}; {FORM}")));
        let mut number = pasted::bare(text);
        number.retain(|c| !matches!(c, '(' | ')' | '.'));
        if number.is_empty() {
            return wrong("must not be empty");
        }
        let (has_code, digits) = match (number.strip_prefix('+'), number.strip_prefix("00")) {
            (Some(digits), _) | (None, Some(digits)) => (true, digits),
            (None, None) => (false, number.as_str()),
        };
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            let unseen = pasted::odd(pasted::trimmed(text));
            return match unseen {
                Some(odd) => wrong(&format!("has {odd}; must be digits after an optional plus")),
                None => wrong("must be digits after an optional plus"),
            };
        }
        // `+91 (0) 99999 99999`: no Indian number begins with a zero.
        let indian = match (has_code, digits.len()) {
            (true, 13) => digits.strip_prefix("910"),
            (true, 12) => digits.strip_prefix("91"),
            (false, 10) => Some(digits),
            (false, 11) => digits.strip_prefix('0'),
            // Of Indian mobile numbers none begins with less than six.
            (false, 12) => digits
                .strip_prefix("91")
                .filter(|rest| rest.starts_with(['6', '7', '8', '9'])),
            _ => None,
        };
        match (indian, has_code, digits.len()) {
            (Some(rest), _, _) => Ok(Self(format!("+91{rest}"))),
            (None, true, 8..=15) => Ok(Self(format!("+{digits}"))),
            (None, true, _) => wrong("must have 8 to 15 digits after the plus"),
            (None, false, 12) => wrong("has 12 digits but no plus"),
            (None, false, _) => wrong("must have ten digits, or a plus and the country code"),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A unique client code: 1 to 16 letters and digits.
pub(crate) fn ucc(text: &str) -> Result<&str, Error> {
    let code = pasted::trimmed(text);
    if (1..=16).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Ok(code);
    }
    let odd = pasted::named_odd(code);
    let problem = format!("must be 1 to 16 letters and digits{odd}");
    Err(Error::argument("ucc", problem))
}

/// A code of so many digits; blanks and dashes between them say nothing. The text is
/// never shown.
fn code(
    name: &str,
    text: &str,
    lengths: &[usize],
    form: impl fmt::Display,
) -> Result<Secret, Error> {
    let mut code = pasted::bare(text);
    if lengths.contains(&code.len()) && code.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(Secret::new(std::mem::take(&mut *code)));
    }
    Err(Error::argument(name, format_args!("must be {form}")))
}

pub(crate) fn totp(text: &str) -> Result<Secret, Error> {
    code("totp", text, &[6], "6 digits")
}

pub(crate) fn mpin(text: &str) -> Result<Secret, Error> {
    code("mpin", text, &[6], "6 digits")
}

pub(crate) fn otp(text: &str) -> Result<Secret, Error> {
    code("otp", text, &[4, 6], "the 4-digit OTP or the 6-digit MPIN")
}

/// A permanent account number, upper-cased: five letters, four digits, one
/// letter. Blanks and dashes say nothing.
pub(crate) fn pan(text: &str) -> Result<String, Error> {
    let upper = pasted::bare(text).to_ascii_uppercase();
    let well_formed = upper.len() == 10
        && upper.bytes().enumerate().all(|(at, b)| match at {
            5..=8 => b.is_ascii_digit(),
            _ => b.is_ascii_uppercase(),
        });
    if well_formed {
        return Ok(upper);
    }
    Err(Error::argument(
        "pan",
        "must be five letters, four digits and a letter, like XXXXX0000X",
    ))
}

/// Free text that must be there: a user id, a one-time token. Blanks around it say
/// nothing; what does not show within it is named.
pub(crate) fn present<'a>(name: &str, text: &'a str) -> Result<&'a str, Error> {
    let text = pasted::trimmed(text);
    not_blank(name, text)?;
    match pasted::unseen(text) {
        None => Ok(text),
        Some(unseen) => Err(Error::argument(name, format_args!("has {unseen}"))),
    }
}

/// A password, as it is: nobody but its owner knows which blanks belong to it.
pub(crate) fn password(text: &str) -> Result<Secret, Error> {
    const NAME: &str = "password";
    not_blank(NAME, text)?;
    match pasted::no_password(text) {
        None => Ok(Secret::new(text.to_owned())),
        Some(problem) => Err(Error::argument(NAME, problem)),
    }
}

fn not_blank(name: &str, text: &str) -> Result<(), Error> {
    if pasted::trimmed(text).is_empty() {
        return Err(Error::argument(name, "must not be blank"));
    }
    if text.len() > 4096 {
        return Err(Error::argument(name, "must not be longer than 4096 bytes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mobile_numbers() {
        let good = |text| {
            Mobile::parse("mobile_number", text)
                .map(|m| m.as_str().to_owned())
                .ok()
        };
        assert_eq!(good("9999999999").as_deref(), Some("+919999999999"));
        assert_eq!(good("+919999999999").as_deref(), Some("+919999999999"));
        assert_eq!(good("+6599999999").as_deref(), Some("+6599999999"));
        assert_eq!(good("00 65 9999-9999").as_deref(), Some("+6599999999"));
        for same in [
            "+91 99999 99999\r\n",
            "+91-99999\u{2011}99999",
            "(+91) 99999.99999",
            "09999999999",
            "00919999999999",
            "0091 (0) 99999-99999",
            "+91 (0)9999999999",
            "919999999999",
            "\u{feff}99999\u{a0}99999",
            "\t9999\u{202f}999\u{200b}999\n",
        ] {
            assert_eq!(good(same).as_deref(), Some("+919999999999"), "{same:?}");
        }
        for (bad, why) in [
            ("", "empty"),
            ("915999999999", "12 digits but no plus"),
            ("449999999999", "12 digits but no plus"),
            (" - ", "empty"),
            ("00", "8 to 15"),
            ("tel:+919999999999", "digits after"),
            ("+91/9999999999", "digits after"),
            (
                "\u{ff0b}919999999999",
                "U+FF0B FULLWIDTH PLUS SIGN at character 1",
            ),
            ("999999999", "ten digits"),
            ("+91", "8 to 15"),
            ("+9199999999999999", "8 to 15"),
            ("++9199999999", "digits after"),
            ("९९९९९९९९९९", "digits after"),
        ] {
            let error = Mobile::parse("mobile_number", bad).expect_err(bad);
            assert!(error.message().contains(why), "{bad}: {}", error.message());
            assert!(
                error.message().contains("+919999999999"),
                "{}",
                error.message()
            );
        }
    }

    #[test]
    fn codes_and_identifiers() {
        assert!(ucc("TEST1").is_ok() && ucc("a").is_ok() && ucc("A1234567890123456").is_err());
        assert!(ucc("").is_err() && ucc("AB 12").is_err() && ucc("é").is_err());
        assert!(totp("012345").is_ok() && totp("12345").is_err() && totp("1234567").is_err());
        assert!(mpin("000000").is_ok() && mpin("0000 0").is_err() && mpin("").is_err());
        assert!(otp("1234").is_ok() && otp("123456").is_ok() && otp("12345").is_err());
        assert_eq!(
            pan("xxxxx0000x").expect("case does not matter"),
            "XXXXX0000X"
        );
        assert!(
            pan("XXXXX00000").is_err() && pan("XXXX00000X").is_err() && pan("XXXXX0000").is_err()
        );
        assert!(present("user_id", " \t").is_err());
        assert_eq!(
            present("user_id", "\u{a0}a b\r\n").expect("it is there"),
            "a b"
        );
        for same in [
            "123 456",
            "123-456",
            "\u{feff}123\u{2009}456\n",
            "12\u{2013}34\u{200b}56",
        ] {
            for read in [totp, mpin, otp] {
                assert_eq!(read(same).expect(same).expose(), "123456");
            }
        }
        assert!(totp("１２３４５６").is_err() && totp("12345O").is_err());
        assert_eq!(ucc("\u{200b}TEST1\r\n").expect("blanks around it"), "TEST1");
        assert_eq!(
            pan("abcde 1234\u{a0}f\n").expect("as it is printed"),
            "ABCDE1234F"
        );
        let message = |error: Error| error.message().to_owned();
        assert_eq!(
            message(ucc("TE\u{2011}T1").expect_err("a dash")),
            "ucc: must be 1 to 16 letters and digits; it has U+2011 NON-BREAKING HYPHEN at character 3"
        );
        assert_eq!(
            message(present("ott", "a\u{200b}b").expect_err("it does not show")),
            "ott: has U+200B ZERO WIDTH SPACE at character 2"
        );
    }

    #[test]
    fn a_password_is_never_changed() {
        for good in ["p w", " lead", "trail ", "p\"a's-s\\", "pä\u{20b9}\u{2014}"] {
            assert_eq!(password(good).expect(good).expose(), good);
        }
        for (bad, words) in [
            ("", "must not be blank"),
            (" \u{a0}", "must not be blank"),
            ("fake-word\n", "ends with U+000A LINE FEED"),
            (
                "fake-word\r\n",
                "ends with U+000A LINE FEED, which nobody types",
            ),
            ("\u{feff}fake-word", "begins with U+FEFF"),
            ("fake\u{a0}word", "has within U+00A0 NO-BREAK SPACE"),
            ("fake\tword", "has within U+0009"),
        ] {
            let error = password(bad).expect_err(bad);
            assert!(error.message().contains(words), "{error}");
            assert!(!error.to_json().contains("fake"), "{error}");
        }
    }

    #[test]
    fn a_wrong_code_is_not_repeated_in_the_message() {
        let error = mpin("98765").expect_err("five digits");
        assert_eq!(error.message(), "mpin: must be 6 digits");
    }
}
