//! Prices and quantities: what is accepted is sent as it was given, zero as `0`, and
//! anything else is refused by name, with nothing sent.

use kotak_neo::Status;
use serde_json::{Value, json};

use crate::orders::{j_data, order, place, trader, unlimited, with};
use crate::support::Dice;

/// Each is given alone; the rest of the order is good. The parameter, its key
/// in the request, whether it is a whole number, and whether 0 is refused.
const NUMBERS: &[(&str, &str, bool, bool)] = &[
    ("price", "pr", false, true),
    ("trigger_price", "tp", false, false),
    ("quantity", "qt", true, true),
    ("disclosed_quantity", "dq", true, false),
];

/// A text that may be a number: mostly nearly one.
fn text(dice: &mut Dice) -> String {
    const ODD: &[&str] = &[
        "",
        " ",
        ".",
        "-",
        "+",
        "nan",
        "NaN",
        "inf",
        "-inf",
        "Infinity",
        "null",
        "true",
        "0x10",
        "1_000",
        "1,000",
        "1.2.3",
        "1e5",
        "1E-5",
        "१२",
        "½",
        "1\u{a0}",
        "\u{0}",
        "1\n",
        "12abc",
        "²",
        "--1",
        "1-",
        "9007199254740993",
        "0.1000000000000000055",
        "1e400",
    ];
    if dice.roll(6) == 0 {
        return (*dice.pick(ODD)).to_owned();
    }
    let digits = |dice: &mut Dice, most: u64| -> String {
        let count = dice.roll(most);
        (0..count)
            .map(|_| char::from(b'0' + dice.roll(10) as u8))
            .collect()
    };
    let mut text = (*dice.pick(&["", "", "", "", "", "", "-", "+", " "])).to_owned();
    text += *dice.pick(&["", "", "0", "00", "000"]);
    text += &digits(dice, 12);
    if dice.roll(2) == 0 {
        text.push('.');
        text += &digits(dice, 16);
    }
    text + *dice.pick(&["", "", "", "", "", "", "e5", "E+2", "_0", " ", ","])
}

/// The text as a JSON number or string, or something that is neither.
fn written(dice: &mut Dice, text: &str) -> String {
    match dice.roll(12) {
        0 => (*dice.pick(&["true", "false", "[]", "{}", "[1]", "{\"a\":1}"])).to_owned(),
        // Every character spelled out.
        1 => {
            let units = text.encode_utf16();
            let escaped: String = units.map(|unit| format!("\\u{unit:04x}")).collect();
            format!("\"{escaped}\"")
        }
        2..=5 if serde_json::from_str::<serde_json::Number>(text).is_ok() => text.trim().to_owned(),
        _ => Value::from(text).to_string(),
    }
}

/// The rule, spelled out once more. Gives what is sent.
fn is_good(raw: &str, is_whole: bool, not_zero: bool) -> Option<String> {
    let text = match raw.starts_with('"') {
        true => serde_json::from_str(raw).expect("a JSON string"),
        false => raw.to_owned(),
    };
    let parts: Vec<&str> = text.split('.').collect();
    let digits = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    let most = if is_whole { 1 } else { 2 };
    let good = parts.len() <= most && parts.iter().all(digits) && text.len() <= 24;
    let zero = text.chars().all(|c| c == '0' || c == '.');
    let sent = if zero { "0".to_owned() } else { text };
    (good && !(not_zero && zero)).then_some(sent)
}

#[test]
fn a_number_is_sent_as_it_was_given_or_refused_by_name() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({"max_orders_per_second": 1_000_000}));
    let (mut sent, mut refused) = (0, 0);
    for seed in 0..2_000 {
        let mut dice = Dice::new(seed);
        let (param, key, is_whole, not_zero) = *dice.pick(NUMBERS);
        let text = text(&mut dice);
        let raw = written(&mut dice, &text);
        let mut others = order();
        others.as_object_mut().expect("an object").remove(param);
        let rest = others.to_string();
        let params = format!("{{\"{param}\":{raw},{}", &rest[1..]);
        sandbox.clear_requests();
        let result = client.place_order(&params);
        let what = format!("seed {seed}: {param} {raw}");
        match is_good(&raw, is_whole, not_zero) {
            Some(good) => {
                let requests = sandbox.requests();
                assert_eq!(requests.len(), 1, "{what}: {result:?}");
                assert_eq!(j_data(&requests[0])[key], good, "{what}");
                sent += 1;
            }
            None => {
                let error = result.expect_err(&what);
                assert_eq!(error.status(), Status::InvalidArgument, "{what}");
                let named = format!("params.{param}: must be ");
                assert!(error.message().starts_with(&named), "{what}: {error}");
                assert!(!error.sent() && sandbox.requests().is_empty(), "{what}");
                refused += 1;
            }
        }
    }
    assert!(
        sent > 300 && refused > 300,
        "{sent} sent, {refused} refused"
    );
}

#[test]
fn what_is_no_json_number_is_refused_as_no_json() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({}));
    for raw in [
        "01", "+1", ".5", "5.", "1e", "NaN", "1_0", "0x1", "1 0", "'1'", "\"1",
    ] {
        let rest = with(order(), json!({})).to_string().replace("\"3\"", raw);
        let error = client.place_order(&rest).expect_err(raw);
        assert!(
            error.message().starts_with("params: not a JSON object"),
            "{raw}: {error}"
        );
    }
    assert!(sandbox.requests().is_empty());
    place(&client, &order()).expect("the order itself is good");
}
