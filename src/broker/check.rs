//! Checks of login input. What fails here is named and nothing is sent.

use std::fmt;

use crate::base::error::Error;
use crate::base::secret::Secret;

/// A mobile number with country code, as the broker wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mobile(String);

impl Mobile {
    /// `text` is `+` and 8 to 15 digits (E.164), or the ten digits of an
    /// Indian number, which get `+91`.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, Error> {
        const FORM: &str = "the form is +919999999999: a plus, the country code and the number";
        let wrong = |problem: &str| Err(Error::argument(name, format_args!("{problem}; {FORM}")));
        let digits = text.strip_prefix('+').unwrap_or(text);
        if text.is_empty() {
            return wrong("must not be empty");
        }
        if text.contains(char::is_whitespace) || text.contains('-') {
            return wrong("must have no blanks and no dashes");
        }
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return wrong("must be digits after an optional plus");
        }
        match (text.starts_with('+'), digits.len()) {
            (true, 8..=15) => Ok(Self(text.to_owned())),
            (true, _) => wrong("must have 8 to 15 digits after the plus"),
            (false, 10) => Ok(Self(format!("+91{digits}"))),
            (false, 12) => wrong("has 12 digits but no plus"),
            (false, _) => wrong("must have ten digits, or a plus and the country code"),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A unique client code: 1 to 16 letters and digits.
pub(crate) fn ucc(text: &str) -> Result<&str, Error> {
    if (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Ok(text);
    }
    Err(Error::argument("ucc", "must be 1 to 16 letters and digits"))
}

/// A code of `digits` digits. The text is never shown.
fn code(
    name: &str,
    text: &str,
    lengths: &[usize],
    form: impl fmt::Display,
) -> Result<Secret, Error> {
    if lengths.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(Secret::new(text.to_owned()));
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
/// letter.
pub(crate) fn pan(text: &str) -> Result<String, Error> {
    let upper = text.to_ascii_uppercase();
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

/// Free text that must be there: a password, a user id, a one-time token.
pub(crate) fn present<'a>(name: &str, text: &'a str) -> Result<&'a str, Error> {
    if text.trim().is_empty() {
        return Err(Error::argument(name, "must not be blank"));
    }
    if text.len() > 4096 {
        return Err(Error::argument(name, "must not be longer than 4096 bytes"));
    }
    Ok(text)
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
        for (bad, why) in [
            ("", "empty"),
            ("919999999999", "12 digits but no plus"),
            ("+91 9999999999", "no blanks"),
            ("99999-99999", "no dashes"),
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
        assert!(present("password", " \t").is_err() && present("password", "p w").is_ok());
    }

    #[test]
    fn a_wrong_code_is_not_repeated_in_the_message() {
        let error = mpin("98765").expect_err("five digits");
        assert_eq!(error.message(), "mpin: must be 6 digits");
    }
}
