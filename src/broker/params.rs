//! The parameters of an operation: how they are read, and what all of them
//! have in common.
//!
//! Parameters have the keyword names of the official SDK. Nothing here does
//! I/O.

use std::time::Duration;

use url::form_urlencoded;
use zeroize::Zeroizing;

use crate::base::error::Error;
use crate::base::json::{self, Fields, Member};
use crate::base::pasted;
use crate::broker::words;

/// What messages call the parameters.
pub(crate) const PARAMS: &str = "params";

/// The reserved parameters, which every operation takes.
const TIMEOUT: &str = "timeout_ms";
const CALL_ID: &str = "call_id";
/// An hour: no deadline of a trading call is longer, given or configured.
pub(crate) const LONGEST_MS: u64 = 3_600_000;
const LONGEST_CALL_ID: usize = 64;

/// The one spelling of zero that is sent.
pub(crate) const ZERO: &str = "0";

/// What the parameters of any operation may say of its call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Common {
    /// In place of the configured timeout.
    pub(crate) timeout: Option<Duration>,
    /// The caller's name for this one call.
    pub(crate) call_id: Option<String>,
}

impl Common {
    fn take(fields: &mut Fields) -> Result<Self, Error> {
        let timeout = fields.integer(TIMEOUT, 1..=LONGEST_MS)?;
        let call_id = fields.text(CALL_ID)?;
        if let Some(id) = &call_id {
            check_call_id(&fields.path(CALL_ID), id)?;
        }
        Ok(Self {
            timeout: timeout.map(Duration::from_millis),
            call_id,
        })
    }
}

/// The name of a call has 1 to 64 printable ASCII characters. `name` is what
/// messages call it.
pub(crate) fn check_call_id(name: &str, id: &str) -> Result<(), Error> {
    let printable = |b: u8| (0x20..0x7f).contains(&b);
    if (1..=LONGEST_CALL_ID).contains(&id.len()) && id.bytes().all(printable) {
        return Ok(());
    }
    let problem = format!("must be 1 to {LONGEST_CALL_ID} printable ASCII characters");
    Err(Error::argument(name, problem))
}

/// Reads the parameters of an operation: one JSON object, or nothing. `check`
/// takes what is the operation's own; what is left over is an error.
///
/// What all operations have in common is told even if the rest is wrong, so
/// that the answer can name its call.
pub(crate) fn read<T>(
    params: &str,
    check: impl FnOnce(&mut Fields) -> Result<T, Error>,
) -> (Common, Result<T, Error>) {
    let text = match pasted::trimmed(params) {
        "" => "{}",
        _ => params,
    };
    let common = Fields::parse(PARAMS, text).and_then(|mut fields| {
        let common = Common::take(&mut fields)?;
        Ok((common, fields))
    });
    match common {
        Ok((common, mut fields)) => {
            let checked = check(&mut fields).and_then(|checked| {
                fields.finish()?;
                Ok(checked)
            });
            (common, checked)
        }
        Err(error) => (Common::default(), Err(error)),
    }
}

/// What must be there.
pub(crate) fn must<T>(fields: &Fields, key: &str, given: Option<T>) -> Result<T, Error> {
    given.ok_or_else(|| fields.problem(key, "is missing"))
}

/// A number as it was given; zero, however it was written, as `0`: where zero is meant
/// the live service refuses `0.0`.
pub(crate) fn decimal(fields: &mut Fields, key: &str) -> Result<Option<String>, Error> {
    fields.decimal(key).map(|given| given.map(plain_zero))
}

/// The same for a whole number.
pub(crate) fn whole(fields: &mut Fields, key: &str) -> Result<Option<String>, Error> {
    fields.whole(key).map(|given| given.map(plain_zero))
}

/// Zero in its one spelling, anything else as it is.
pub(crate) fn plain_zero(number: String) -> String {
    let is_zero = number.contains('0') && number.bytes().all(|b| matches!(b, b'0' | b'.'));
    match is_zero {
        true => ZERO.to_owned(),
        false => number,
    }
}

/// A whole number greater than zero.
pub(crate) fn positive(fields: &mut Fields, key: &str) -> Result<String, Error> {
    let given = fields.whole(key)?;
    let text = must(fields, key, given)?;
    if text.bytes().all(|b| b == b'0') {
        return Err(fields.problem(key, "must be greater than zero"));
    }
    Ok(text)
}

/// An order number goes into a path and into messages.
pub(crate) fn order_id(name: &str, text: &str) -> Result<String, Error> {
    let text = pasted::trimmed(text);
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if (1..=64).contains(&text.len()) && text.bytes().all(plain) {
        return Ok(text.to_owned());
    }
    let odd = pasted::named_odd(text);
    let problem = format!("must be an order number: 1 to 64 letters and digits{odd}");
    Err(Error::argument(name, problem))
}

/// A form body with the one field that the broker reads.
pub(crate) fn form(members: &[(&str, Member<'_>)]) -> Zeroizing<Vec<u8>> {
    let mut text = String::from("jData=");
    text.extend(form_urlencoded::byte_serialize(
        json::object(members).as_bytes(),
    ));
    Zeroizing::new(text.into_bytes())
}

/// The code of a segment that has a scrip file, by any of the names that the
/// SDK accepts. `name` is what messages call it.
pub(crate) fn scrip_segment(name: &str, text: &str) -> Result<&'static str, Error> {
    let text = pasted::trimmed(text);
    let mut names = words::SCRIP_SEGMENTS.iter();
    match names.find(|(word, _)| *word == text) {
        Some((_, code)) => Ok(code),
        None => {
            let odd = pasted::named_odd(text);
            let problem = format!(
                "must be one of nse_cm, bse_cm, nse_fo, bse_fo, mcx_fo, cde_fo, nse_com, \
                 or NSE, BSE, NFO, BFO, MCX, CDS{odd}"
            );
            Err(Error::argument(name, problem))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common(params: &str) -> Result<Common, Error> {
        let (common, checked) = read(params, |_| Ok(()));
        checked.map(|()| common)
    }

    #[test]
    fn what_every_operation_takes() {
        assert_eq!(common("").expect("nothing"), Common::default());
        assert_eq!(common(" \n").expect("nothing"), Common::default());
        let given = common(r#"{"timeout_ms":3000,"call_id":"a call, 7"}"#).expect("both");
        assert_eq!(given.timeout, Some(Duration::from_secs(3)));
        assert_eq!(given.call_id.as_deref(), Some("a call, 7"));
        let given = common(r#"{"timeout_ms":null,"call_id":null}"#).expect("as if absent");
        assert_eq!(given, Common::default());
    }

    #[test]
    fn zero_has_one_spelling() {
        let number = |text: &str, read: fn(&mut Fields, &str) -> Result<Option<String>, Error>| {
            let mut fields = Fields::parse("n", &format!(r#"{{"x":{text}}}"#)).expect("an object");
            read(&mut fields, "x").map(Option::unwrap_or_default)
        };
        for zero in [
            "0",
            "0.0",
            "0.00",
            r#""0""#,
            r#""0.0""#,
            r#""00""#,
            r#""000.000""#,
        ] {
            assert_eq!(number(zero, decimal).expect(zero), "0", "{zero}");
        }
        assert_eq!(number(r#""000""#, whole).expect("digits"), "0");
        for other in ["0.05", "10", "100.00", "8.70"] {
            assert_eq!(number(other, decimal).expect(other), other);
        }
        for none in [
            "-0", "0e0", r#""-0""#, r#"".0""#, r#""0.""#, r#""0e0""#, r#""""#,
        ] {
            assert!(number(none, decimal).is_err(), "{none}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let longest = "x".repeat(64);
        assert!(common(&format!(r#"{{"call_id":"{longest}"}}"#)).is_ok());
        for (params, start) in [
            (
                r#"{"timeout_ms":0}"#,
                "params.timeout_ms: must be an integer from 1 to 3600000",
            ),
            (
                r#"{"call_id":""}"#,
                "params.call_id: must be 1 to 64 printable",
            ),
            (r#"{"call_id":7}"#, "params.call_id: must be a JSON string"),
            (r#"{"call_id":"é"}"#, "params.call_id: must be 1 to 64"),
            (r#"{"call_id":"\u0007"}"#, "params.call_id: must be 1 to 64"),
            (
                &format!(r#"{{"call_id":"{longest}x"}}"#),
                "params.call_id: must be 1 to 64",
            ),
            (r#"{"more":1}"#, "params: unknown key \"more\""),
            ("[]", "params: not a JSON object"),
        ] {
            let error = common(params).expect_err(params);
            assert!(error.message().starts_with(start), "{}", error.message());
        }
    }

    #[test]
    fn a_call_has_its_name_even_if_its_own_parameters_are_wrong() {
        let (common, checked) = read(r#"{"call_id":"mine","price":"x"}"#, |fields| {
            fields.decimal("price")
        });
        assert_eq!(common.call_id.as_deref(), Some("mine"));
        assert!(checked.is_err());
    }
}
