//! What is taken, and how what is not is named.

use kotak_neo_testing::dice::Dice;

use super::*;

fn said(found: Option<Found>) -> String {
    found.map_or_else(String::new, |found| found.to_string())
}

#[test]
fn characters_have_their_names() {
    for (c, name) in [
        ('\u{2011}', "U+2011 NON-BREAKING HYPHEN"),
        ('\u{a0}', "U+00A0 NO-BREAK SPACE"),
        ('\u{ff5c}', "U+FF5C FULLWIDTH VERTICAL LINE"),
        ('\0', "U+0000 NULL"),
        ('\u{3b1}', "U+03B1"),
        ('\u{1f600}', "U+1F600"),
    ] {
        assert_eq!(Named(c).to_string(), name);
    }
    let mut all: Vec<char> = NAMES.iter().map(|(c, _)| *c).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), NAMES.len(), "each stands once");
    // What is treated as something has a name, so that it can be told.
    let special = |c: &char| (is_blank(*c) || is_dash(*c) || is_curly(*c)) && *c != '-';
    let lack = ('\0'..=char::MAX).filter(special);
    let lack: Vec<_> = lack.filter(|c| all.binary_search(c).is_err()).collect();
    assert!(lack.is_empty(), "{lack:?}");
}

#[test]
fn blanks_around_and_within() {
    assert_eq!(document("\u{feff}{}"), "{}");
    assert_eq!(document("{}\u{feff}"), "{}\u{feff}");
    assert_eq!(trimmed("\u{feff}\t a b\u{a0}\r\n\u{200b}"), "a b");
    assert_eq!(trimmed("\u{2060}\n"), "");
    assert_eq!(
        bare("\u{200d}12-3 \u{2014}4\u{202f}5\r\n6").as_str(),
        "123456"
    );
    assert_eq!(
        said(odd("TCS\u{2011}EQ")),
        "U+2011 NON-BREAKING HYPHEN at character 4"
    );
    assert_eq!(said(odd("é\u{7}")), "U+00E9 at character 1");
    assert!(odd("M&M-EQ a|b").is_none());
    assert_eq!(
        said(unseen("é\u{200b}")),
        "U+200B ZERO WIDTH SPACE at character 2"
    );
    assert!(unseen("é - \"x\"").is_none());
}

#[test]
fn what_is_no_number_is_told() {
    for (text, why) in [
        ("1,00,000", "a comma at character 2"),
        ("8,60", "a comma at character 2"),
        ("1\u{a0}000", "U+00A0 NO-BREAK SPACE at character 2"),
        (" 8.60", "U+0020 SPACE at character 1"),
        ("8.60\r\n", "U+000D CARRIAGE RETURN at character 5"),
        (
            "\u{20b9}100",
            "U+20B9 INDIAN RUPEE SIGN at character 1: leave",
        ),
        ("\u{2212}5", "U+2212 MINUS SIGN at character 1"),
        ("१", "U+0967 at character 1"),
    ] {
        let told = no_number(text).expect(text);
        assert!(told.starts_with(why), "{text}: {told}");
    }
    for plain in ["", "1e5", "-5", "+5", "abc", "1.2.3"] {
        assert_eq!(no_number(plain), None, "{plain}");
    }
}

#[test]
fn what_is_no_path_is_told() {
    for (text, why) in [
        ("", "must not be empty"),
        ("\"C:\\x\"", "begins with U+0022 QUOTATION MARK"),
        ("C:\\x\"", "ends with U+0022"),
        ("'/tmp/x'", "begins with U+0027 APOSTROPHE"),
        (
            "\u{201c}C:\\x\u{201d}",
            "begins with U+201C LEFT DOUBLE QUOTATION MARK",
        ),
        (" /tmp/x", "begins with U+0020 SPACE"),
        ("/tmp/x\u{a0}", "ends with U+00A0 NO-BREAK SPACE"),
        (
            "/tmp/x\n",
            "has U+000A LINE FEED at character 7; in JSON a backslash",
        ),
        (
            "C:\new",
            "has U+000A LINE FEED at character 3; in JSON a backslash",
        ),
        (
            "/tmp/\u{200b}x",
            "has U+200B ZERO WIDTH SPACE at character 6",
        ),
        ("/tmp/\0x", "has U+0000 NULL at character 6"),
        ("~/x", "begins with ~"),
        ("~", "begins with ~"),
        ("~me/x", "begins with ~"),
        ("$HOME/x", "begins with a variable"),
        ("${HOME}/x", "begins with a variable"),
        ("%APPDATA%\\x", "begins with a variable"),
        ("file:///tmp/x", "is an address"),
        ("FILE:x", "is an address"),
    ] {
        let told = no_path(text).expect(text);
        assert!(told.starts_with(why), "{text:?}: {told}");
    }
    for good in [
        "x",
        ".",
        "../x",
        "/tmp/a b",
        "C:\\Users\\x y\\ledger",
        "\\\\server\\share\\x",
        "/tmp/$x",
        "$/x",
        "100%",
        "%x",
        "a~",
        "/tmp/Shot at 9.00\u{202f}PM",
        "/tmp/मेरा",
        "files:x",
    ] {
        assert_eq!(no_path(good), None, "{good}");
    }
}

#[test]
fn what_is_no_json_is_told() {
    for (text, why) in [
        (
            "{\u{201c}a\u{201d}: 1}",
            "U+201C LEFT DOUBLE QUOTATION MARK at line 1, column 2; JSON wants",
        ),
        (
            "{\n  'a': 1}",
            "U+0027 APOSTROPHE at line 2, column 3; JSON wants the straight quote",
        ),
        (
            "{\"a\": \u{2018}x\u{2019}}",
            "U+2018 LEFT SINGLE QUOTATION MARK at line 1, column 7",
        ),
        ("{\"a\":1,}", "a comma before } at line 1, column 7"),
        ("{\"a\":[1,2,\n]}", "a comma before ] at line 1, column 10"),
        ("{// mine\n\"a\":1}", "a comment at line 1, column 2"),
        ("{/* x */}", "a comment at line 1, column 2"),
        ("# x\n{}", "a comment at line 1, column 1"),
        (
            "{\"a\":\u{a0}1}",
            "U+00A0 NO-BREAK SPACE at line 1, column 6, where nothing",
        ),
        (
            "{\"a\":1\0}",
            "U+0000 NULL at line 1, column 7, where nothing",
        ),
        (
            "{\"a\":\"x\0\"}",
            "U+0000 NULL at line 1, column 8, within a text",
        ),
        ("{\"a\":\u{2212}1}", "U+2212 MINUS SIGN at line 1, column 6"),
        (
            "{\"a\":\"C:\\x\"}",
            "a single backslash before the character at line 1, column 10",
        ),
        (
            "{\"a\":\"b\nc\"}",
            "the text that begins at line 1, column 6 has no end in its line",
        ),
        (
            "{\"a\":\"b",
            "the text that begins at line 1, column 6 has no end",
        ),
        ("{", "it ends before its last bracket; a text in UTF-16"),
        ("{\"a\":[1}", "it ends before its last bracket"),
        ("{a:1}", "a word without quotes at line 1, column 2"),
        ("{\"a\":True}", "a word without quotes at line 1, column 6"),
        (
            "{\"a\":trueish}",
            "a word without quotes at line 1, column 6",
        ),
        (
            "{\"a\":fake-secret-value}",
            "a word without quotes at line 1, column 6",
        ),
        (
            "{\"a\":\u{a7}fake}",
            "a character that does not belong there, at line 1, column 6",
        ),
    ] {
        let told = no_json(text).unwrap_or_else(|| panic!("{text:?}: nothing is told"));
        assert!(told.starts_with(why), "{text:?}: {told}");
        assert!(!told.contains("fake"), "{told}");
    }
}

/// Nothing valid is blamed, nothing panics, and no text of a member is ever told.
#[test]
fn no_fault_is_found_where_there_is_none() {
    let mut dice = Dice::new(7);
    let parts = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "\\u00e9",
        "n",
        "true",
        "null",
        "-1.5e+3",
        "0",
        " ",
        "\n",
        "\t",
        "\u{feff}",
        "\u{a0}",
        "\u{201c}",
        "'",
        "/",
        "//",
        "#",
        "\0",
        "\u{2011}",
        "é",
        "SECRET",
        "~",
        "$",
        "%",
        "=",
        "otpauth://totp/X?secret=",
    ];
    let mut good = 0;
    for _ in 0..20_000 {
        let count = dice.below(12);
        let text: String = (0..count).map(|_| *dice.pick(&parts)).collect();
        let told = no_json(&text);
        if serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok() {
            good += 1;
            assert_eq!(told, None, "{text:?}");
        }
        let more = [told, no_path(&text), no_number(&text), no_password(&text)];
        for told in more.iter().flatten() {
            assert!(!told.contains("SECRET"), "{text:?}: {told}");
        }
        assert_eq!(trimmed(trimmed(&text)), trimmed(&text));
        assert!(!bare(&text).chars().any(|c| is_blank(c) || is_dash(c)));
        // Whatever is told of a key or of a secret: never what stands in it.
        let wrong = crate::base::totp::generate(&text).map(|_| ());
        let fields = crate::base::json::Fields::parse("p", &text).map(|_| ());
        for told in [wrong, fields].into_iter().filter_map(Result::err) {
            assert!(!told.to_json().contains("SECRET"), "{text:?}: {told}");
        }
    }
    assert!(good > 100, "{good} of them were JSON");
}
