//! Pointers into JSON: the examples of the RFC, serde_json as the judge, and what
//! looking things up costs.

use std::cell::Cell;
use std::fmt::Write;

use kotak_neo_testing::dice::Dice;
use serde_json::{Map, Value, json};

use super::*;

thread_local! {
    static COUNTED: Cell<usize> = const { Cell::new(0) };
}

pub(super) fn counted(bytes: usize) {
    COUNTED.set(COUNTED.get() + bytes);
}

/// What an index gives for a pointer, as text.
fn got(index: &Index, json: &str, pointer: &str) -> Option<String> {
    Some(match index.field(pointer)? {
        Found::Text(text) => text.to_str().expect("it is UTF-8").to_owned(),
        Found::Json(range) => json[range].to_owned(),
    })
}

fn field(json: &str, pointer: &str) -> Option<String> {
    got(&Index::new(json).expect("it is JSON"), json, pointer)
}

#[test]
fn the_examples_of_the_rfc() {
    let json = r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,
        "i\\j":5,"k\"l":6," ":7,"m~n":8}"#;
    for (pointer, value) in [
        ("", json),
        ("/foo", r#"["bar","baz"]"#),
        ("/foo/0", "bar"),
        ("/", "0"),
        ("/a~1b", "1"),
        ("/c%d", "2"),
        ("/e^f", "3"),
        ("/g|h", "4"),
        ("/i\\j", "5"),
        ("/k\"l", "6"),
        ("/ ", "7"),
        ("/m~0n", "8"),
    ] {
        assert_eq!(field(json, pointer).as_deref(), Some(value), "{pointer}");
    }
    for pointer in [
        "foo",
        "/foo/2",
        "/foo/-",
        "/foo/00",
        "/foo/+1",
        "/foo/",
        "/foo/0/x",
        "/m~n",
        "/m~2n",
        "/m~",
        "/x",
        "/foo/99999999999999999999",
        "meta:/foo",
        "#/foo",
    ] {
        assert_eq!(field(json, pointer), None, "{pointer}");
    }
}

#[test]
fn every_kind_of_value_has_its_text() {
    let json = r#" { "n" : -1.50E+03 , "t":true,"f":false,"z":null,"e":"","l":[ ],
        "s":"a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é","half":"\ud83dx\ude00","nul":"a\u0000b"} "#;
    for (pointer, value) in [
        ("/n", "-1.50E+03"),
        ("/t", "true"),
        ("/f", "false"),
        ("/z", "null"),
        ("/e", ""),
        ("/l", "[ ]"),
        ("/s", "a\"\\/\u{8}\u{c}\n\r\té😀é"),
        ("/half", "\u{fffd}x\u{fffd}"),
        ("/nul", "a?b"),
    ] {
        assert_eq!(field(json, pointer).as_deref(), Some(value), "{pointer}");
    }
    assert_eq!(field(json, "").as_deref(), Some(json.trim()));
    for (json, value) in [("7", "7"), (" \"x\" ", "x"), ("null\n", "null")] {
        assert_eq!(field(json, "").as_deref(), Some(value));
    }
}

#[test]
fn of_equal_keys_the_last_counts() {
    let json = r#"{"a":1,"b":[1,2,3],"\u0061":{"c":2},"b":4}"#;
    assert_eq!(field(json, "/a/c").as_deref(), Some("2"));
    let index = Index::new(json).expect("it is JSON");
    assert_eq!(index.length(""), Some(2));
    assert_eq!((index.length("/b"), index.length("/a")), (None, Some(1)));
    assert_eq!((index.length("/x"), index.length("a")), (None, None));
}

#[test]
fn what_is_no_json_has_no_index() {
    for text in [
        "", " ", "{", "[1 2]", "{\"a\"}", "\"\\x\"", "1 2", "nul", "{]",
    ] {
        assert!(Index::new(text).is_none(), "{text}");
    }
}

/// As deep as the text is long, on the smallest stack that hosts have.
#[test]
fn no_depth_needs_a_stack() {
    let small = std::thread::Builder::new().stack_size(128 * 1024);
    let deep = small.spawn(|| {
        let json = format!("{}7{}", "[".repeat(500_000), "]".repeat(500_000));
        let index = Index::new(&json).expect("it is JSON");
        let pointer = "/0".repeat(500_000);
        assert_eq!(got(&index, &json, &pointer).as_deref(), Some("7"));
        let json = format!("{}7{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
        let index = Index::new(&json).expect("it is JSON");
        assert_eq!(index.length(&"/a".repeat(99_999)), Some(1));
    });
    deep.expect("a thread starts").join().expect("it ends well");
}

/// Any values, nested, with keys and strings that need escapes.
struct Values(Dice);

impl Values {
    fn text(&mut self) -> String {
        const PARTS: [&str; 12] = [
            "a", "b", "~", "/", "\"", "\\", "\0", "é", "😀", "\n", "0", "~1",
        ];
        let length = self.0.roll(4);
        (0..length).map(|_| *self.0.pick(&PARTS)).collect()
    }

    fn value(&mut self, depth: u64) -> Value {
        match self.0.roll(if depth == 0 { 5 } else { 8 }) {
            0 => Value::Null,
            1 => json!(self.0.roll(2) == 0),
            2 => json!(self.0.roll(1000)),
            3 => json!(self.0.roll(1000) as f64 / -8.0),
            4 => json!(self.text()),
            5 => (0..self.0.roll(4)).map(|_| self.value(depth - 1)).collect(),
            _ => {
                let members = (0..self.0.roll(6)).map(|_| (self.text(), self.value(depth - 1)));
                Value::Object(members.collect::<Map<_, _>>())
            }
        }
    }

    /// The same with escapes and blanks that nobody needs.
    fn spelled(&mut self, value: &Value, out: &mut String) {
        let blank = *self.0.pick(&[" ", "", "\n"]);
        out.push_str(blank);
        match value {
            Value::String(text) => self.string(text, out),
            Value::Array(members) => {
                out.push('[');
                for (at, member) in members.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    self.spelled(member, out);
                }
                out.push(']');
            }
            Value::Object(members) => {
                out.push('{');
                for (at, (key, member)) in members.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    self.string(key, out);
                    out.push(':');
                    self.spelled(member, out);
                }
                out.push('}');
            }
            plain => out.push_str(&plain.to_string()),
        }
        out.push_str(blank);
    }

    fn string(&mut self, text: &str, out: &mut String) {
        if self.0.roll(2) == 0 {
            out.push_str(&Value::from(text).to_string());
            return;
        }
        out.push('"');
        for unit in text.encode_utf16() {
            write!(out, "\\u{unit:04x}").expect("a String takes it");
        }
        out.push('"');
    }
}

/// Every pointer into a value.
fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Array(members) => {
            for (place, member) in members.iter().enumerate() {
                pointers(member, &format!("{at}/{place}"), all);
            }
            all.push(format!("{at}/{}", members.len()));
        }
        Value::Object(members) => {
            for (key, member) in members {
                let token = key.replace('~', "~0").replace('/', "~1");
                pointers(member, &format!("{at}/{token}"), all);
            }
            all.push(format!("{at}/nobody"));
        }
        _ => all.push(format!("{at}/0")),
    }
}

#[test]
fn finds_what_serde_json_finds() {
    let mut values = Values(Dice::new(1));
    for _ in 0..3_000 {
        let value = values.value(4);
        let mut json = String::new();
        values.spelled(&value, &mut json);
        let index = Index::new(&json).expect("it is JSON");
        let mut all = Vec::new();
        pointers(&value, "", &mut all);
        for pointer in &all {
            let expected = value.pointer(pointer);
            let found = got(&index, &json, pointer);
            match expected {
                Some(Value::String(text)) => assert_eq!(found, Some(text.replace('\0', "?"))),
                Some(value @ (Value::Array(_) | Value::Object(_))) => {
                    let found = found.and_then(|text| serde_json::from_str(&text).ok());
                    assert_eq!(found.as_ref(), Some(value), "{json} {pointer}");
                }
                other => assert_eq!(found, other.map(Value::to_string), "{json} {pointer}"),
            }
            let length = match expected {
                Some(Value::Array(members)) => Some(members.len()),
                Some(Value::Object(members)) => Some(members.len()),
                _ => None,
            };
            assert_eq!(index.length(pointer), length, "{json} {pointer}");
        }
    }
}

/// Bytes looked at while every field of every row is read.
fn bytes_for(rows: usize) -> usize {
    const FIELDS: usize = 30;
    let row: Vec<String> = (0..FIELDS)
        .map(|at| format!("\"key{at}\":\"v{at}\""))
        .collect();
    let rows_json = vec![format!("{{{}}}", row.join(",")); rows].join(",");
    let json = format!("{{\"stat\":\"Ok\",\"data\":[{rows_json}]}}");
    COUNTED.set(0);
    let index = Index::new(&json).expect("it is JSON");
    assert_eq!(index.length("/data"), Some(rows));
    for row in 0..rows {
        for at in 0..FIELDS {
            let pointer = format!("/data/{row}/key{at}");
            let Some(Found::Text(text)) = index.field(&pointer) else {
                panic!("{pointer} is a text");
            };
            assert_eq!(text.to_bytes()[0], b'v');
        }
    }
    COUNTED.get()
}

#[test]
fn ten_times_the_rows_take_ten_times_the_work() {
    let (small, large) = (bytes_for(2_000), bytes_for(20_000));
    assert!(small > 1_000_000, "nothing was counted: {small}");
    assert!(large < small * 11, "{small} grew to {large}");
}

/// An object with many keys is searched, not walked through.
#[test]
fn many_keys_are_found_quickly() {
    let members: Vec<String> = (0..20_000).map(|at| format!("\"k{at}\":{at}")).collect();
    let index = Index::new(&format!("{{{}}}", members.join(","))).expect("it is JSON");
    COUNTED.set(0);
    for at in 0..20_000 {
        assert!(index.field(&format!("/k{at}")).is_some());
    }
    assert!(COUNTED.get() < 20_000 * 200, "{}", COUNTED.get());
}
