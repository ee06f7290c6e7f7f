//! Query strings.

/// Splits and decodes a query string; keeps the order and repeated names.
pub(crate) fn parse(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

/// Undoes percent encoding and `+`. A `%` without two hex digits stays as it is.
pub(crate) fn decode(text: &str) -> String {
    decode_with(text, b' ')
}

/// Undoes the percent encoding of a path, in which `+` is itself.
pub(crate) fn decode_path(text: &str) -> String {
    decode_with(text, b'+')
}

fn decode_with(text: &str, plus: u8) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'+', _) => bytes.push(plus),
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = after;
                }
                _ => bytes.push(b'%'),
            },
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_and_decodes() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(parse(""), []);
        assert_eq!(decode_path("nse_cm%7CNifty%2050+x"), "nse_cm|Nifty 50+x");
        assert_eq!(
            parse("id=TEST1&&a+b=%2B91%e2%82%b9&flag&x=1=2&bad=%zz%4"),
            [
                pair("id", "TEST1"),
                pair("a b", "+91₹"),
                pair("flag", ""),
                pair("x", "1=2"),
                pair("bad", "%zz%4"),
            ]
        );
    }
}
