//! Holds the house to its rules: who may import whom, where `unsafe` stands, what the pure
//! rooms may not touch, that the rows of `docs/map.md` are the files of `src/`, and that the
//! tests, fixtures and controls of the sandbox that pages name are there.
//!
//! It reads sources, not the compiler's mind: comments, texts and tests (`tests.rs`, and
//! modules `#[cfg(test)] mod tests`) are left out, and every word and path of the rest is
//! looked at.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// Each room, and what its files may import besides their own room. Nobody imports `ffi`. The
/// files beside `lib.rs` are the crate itself and may import all the others.
const ROOMS: &[(&str, &str)] = &[
    ("base", ""),
    ("broker", "base"),
    ("transport", "base broker::message"),
    ("feeds", "base broker transport"),
    ("ledger", "base broker"),
    ("scrips", "base broker"),
    ("client", "base broker transport feeds ledger scrips"),
    ("ffi", "base feeds client"),
];

const PURE: &str = "broker/ has no I/O, no clock, no randomness: time and bytes are handed in";
const UNSAFE: &str = "unsafe code stands under ffi/ only";

/// Where (but for one place), which words and paths may not stand, and the rule that says so.
#[rustfmt::skip]
const BARRED: &[(&str, &str, &str, &str)] = &[
    ("broker/", "", "std::net std::fs std::env std::thread tokio hyper", PURE),
    ("broker/", "", "SystemTime Instant::now base::random clock::now clock::unix elapsed", PURE),
    ("transport/", "", "serde_json", "transport/ knows no JSON"),
    ("", "base/clock.rs", "SystemTime::now Instant::now UNIX_EPOCH tokio::time rustix::time",
     "only base/clock.rs asks the system for the time"),
    ("", "base/random.rs", "getrandom", "only base/random.rs asks the system for chance"),
    ("", "ffi/", "unsafe", UNSAFE),
    ("", "lib.rs", "unsafe_code", UNSAFE),
];

/// What breaks a rule all the same: file, end of a path, and why it may. One that is not
/// needed fails.
const EXCEPTIONS: &[(&str, &str, &str)] = &[(
    "broker/message.rs",
    "UNIX_EPOCH",
    "makes a number of the `Date` that an answer carries, and asks no clock",
)];

/// A word or sign of a source, and its line.
type Token = (usize, String);

/// What breaks a rule: file, line, the path or word, and the rule.
type Fault = (String, usize, String, String);

#[test]
fn every_file_keeps_the_rules_of_its_room() {
    let files = sources();
    let all = files.iter().flat_map(|(file, text)| faults(file, text));
    let excuse = |fault: &Fault| {
        let fits = |it: &&(&str, &str, &str)| it.0 == fault.0 && fault.2.ends_with(it.1);
        EXCEPTIONS.iter().find(fits).copied()
    };
    let (excused, told): (Vec<_>, Vec<_>) = all.partition(|fault| excuse(fault).is_some());
    assert!(told.is_empty(), "file, line, what, rule: {told:#?}");
    let needed: BTreeSet<_> = excused.iter().filter_map(excuse).collect();
    let all: BTreeSet<_> = EXCEPTIONS.iter().copied().collect();
    assert_eq!(needed, all, "needed, and all");
}

#[test]
fn only_ffi_is_allowed_unsafe_code() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).expect("lib.rs");
    assert!(lib.contains("\n#![deny(unsafe_code)]\n"));
    assert!(lib.contains("\n#[allow(unsafe_code)]\n#[doc(hidden)]\npub mod ffi;\n"));
    assert_eq!(
        lib.matches("unsafe_code").count(),
        2,
        "ffi, and nobody else"
    );
}

#[test]
fn the_map_has_a_row_for_every_file() {
    let map = fs::read_to_string(root().join("docs/map.md")).expect("docs/map.md");
    let mut parts = map.split("\n## ");
    let rooms = parts.find(|part| part.starts_with("The rooms\n"));
    let rooms = rooms.expect("the map has its rooms");
    let mut rows = Vec::new();
    for part in rooms.split("\n### `").skip(1) {
        let (room, part) = part.split_once('`').expect("a heading names its room");
        for row in part.lines().filter_map(|line| line.strip_prefix("| `")) {
            let file = row.split('`').next().unwrap_or_default();
            let of = file.split_once('/').map_or("src", |(room, _)| room);
            assert_eq!(
                room,
                format!("{of}/"),
                "`{file}` stands under another heading"
            );
            rows.push(file.to_owned());
        }
    }
    rows.sort();
    let files: Vec<String> = sources().into_iter().map(|(file, _)| file).collect();
    assert_eq!(rows, files, "rows of the map, files of src/");
}

/// A row of the page of the live broker names what holds its fact, and how the sandbox shows it.
#[test]
fn what_the_page_of_the_live_broker_names_is_there() {
    let page = read("docs/live-broker.md");
    let (tests, fixtures) = (tests(), fixtures());
    let (controls, members) = controls();
    let mut rows = 0;
    let facts = page.lines().filter(|line| cells(line).len() == 5);
    for row in facts {
        let cells = cells(row);
        if cells[0] == "fact" || cells[0].starts_with("---") {
            continue;
        }
        rows += 1;
        let missing: Vec<&str> = quoted(cells[3])
            .filter(|name| !tests.contains(*name) && !fixtures.contains(*name))
            .chain(
                quoted(cells[4])
                    .filter(|name| !controls.contains(*name) && !members.contains(*name)),
            )
            .collect();
        assert!(missing.is_empty(), "{missing:?} is not there: {row}");
        let held = quoted(cells[3]).next().is_some() || cells[3] == "-";
        assert!(held, "neither a test, nor a dash: {row}");
        assert!(!cells[1].is_empty() && !cells[4].is_empty(), "{row}");
    }
    assert!(rows > 60, "{rows} rows of facts");
}

/// The sandbox's README tells of each of its controls what of the live broker it shows.
#[test]
fn every_control_of_the_sandbox_has_its_row() {
    let readme = read("examples/sandbox/README.md");
    let part = readme.split("\n## What each control shows\n").nth(1);
    let part = part.expect("the part that tells it").split("\n## ").next();
    let rows: Vec<&str> = part
        .unwrap_or_default()
        .lines()
        .filter_map(|line| quoted(cells(line).first()?).next())
        .collect();
    assert!(rows.is_sorted(), "in the order of the alphabet: {rows:?}");
    let (controls, _) = controls();
    let known: Vec<&str> = controls.iter().map(String::as_str).collect();
    assert_eq!(rows, known, "rows of the README, controls of the sandbox");
}

#[test]
fn a_house_that_breaks_the_rules_is_told() {
    let nested =
        "//! One.\npub(crate) use crate::{\n    base::json,\n    client::{call::Call},\n};\n";
    let inline =
        "fn f<'a>(c: char) {\n    let _ = (c == '\"', crate::feeds::link::rest::<u8>());\n}\n";
    let up =
        "mod deep {\n    use super::super::super::scrips::Table;\n    use super::super::Net;\n}\n";
    let fine = "use crate::broker::message::Request;\nuse self::net::Net;\n// crate::client\n\
                const A: &str = r#\"crate::client \"# ;\nconst B: &str = \"\\\"crate::client\";\n\
                #[cfg(test)]\nmod tests {\n    use crate::client::Client;\n}\n";
    #[rustfmt::skip]
    let houses = [
        ("broker/orders.rs", nested, Some((4, "client::call::Call"))),
        ("base/log.rs", inline, Some((2, "feeds::link::rest"))),
        ("transport/door.rs", up, Some((2, "scrips::Table"))),
        ("transport/tls.rs", "use crate::broker;", Some((1, "broker"))),
        ("client/mod.rs", "use crate::ffi::pin;", Some((1, "ffi::pin"))),
        ("base/error.rs", "use crate::Client;", Some((1, "Client"))),
        ("broker/judge.rs", "use std::{fmt, fs::File};", Some((1, "std::fs::File"))),
        ("feeds/link.rs", "fn f() { let at = Instant::now(); }", Some((1, "Instant::now"))),
        ("feeds/link.rs", "fn f() { getrandom::fill(&mut []) }", Some((1, "getrandom::fill"))),
        ("client/mod.rs", "fn f() { unsafe { g() } }", Some((1, "unsafe"))),
        ("broker/outcome.rs", "fn f(at: Moment) { at.elapsed() }", Some((1, "elapsed"))),
        ("attic/mod.rs", "", Some((1, "attic"))),
        ("transport/mod.rs", fine, None),
    ];
    for (file, text, expected) in houses {
        let told: Vec<_> = faults(file, text)
            .into_iter()
            .map(|it| (it.1, it.2))
            .collect();
        let told: Vec<_> = told.iter().map(|it| (it.0, it.1.as_str())).collect();
        assert_eq!(told, Vec::from_iter(expected), "{file}: {text}");
    }
}

/// Every fault of one file, whose name is that under `src/`.
fn faults(file: &str, text: &str) -> Vec<Fault> {
    let room = file.split_once('/').map_or("", |(room, _)| room);
    let mut faults = Vec::new();
    let mut tell = |line: usize, what: &str, rule: &str| {
        faults.push((file.to_owned(), line, what.to_owned(), rule.to_owned()));
    };
    if !room.is_empty() && imports_of(room).is_none() {
        tell(1, room, "is no room");
    }
    for (line, path) in paths(file, &without_tests(tokens(text))) {
        let inside = path.strip_prefix("crate::");
        if let Some(rule) = inside.and_then(|path| forbidden(room, path)) {
            tell(line, inside.unwrap_or_default(), rule);
        }
        for (place, but, barred, rule) in BARRED {
            let excepted = !but.is_empty() && file.starts_with(but);
            let found = |it| format!("::{path}::").contains(&format!("::{it}::"));
            if file.starts_with(place) && !excepted && barred.split(' ').any(found) {
                tell(line, inside.unwrap_or(&path), rule);
            }
        }
    }
    faults
}

/// What the files of a room may import; `None` if it is no room.
fn imports_of(room: &str) -> Option<&'static str> {
    ROOMS.iter().find(|it| it.0 == room).map(|it| it.1)
}

/// Why a room may not import this path of the crate, if it may not.
fn forbidden(room: &str, path: &str) -> Option<&'static str> {
    let first = path.split("::").next().unwrap_or_default();
    if path.is_empty() || first == room || room.is_empty() && first != "ffi" {
        return None;
    }
    if imports_of(first).is_none() {
        return (room != "ffi").then_some("a room takes nothing from the crate's root");
    }
    let within = |it| format!("{path}::").starts_with(&format!("{it}::"));
    let allowed = imports_of(room).unwrap_or_default().split(' ').any(within);
    (!allowed).then_some("the room may not import this")
}

/// Every path and word of a file with its line, groups taken apart; paths within the crate
/// begin with `crate::`, whether they were written with `crate`, `self` or `super`.
fn paths(file: &str, tokens: &[Token]) -> Vec<(usize, String)> {
    let stem = file.trim_end_matches(".rs").split('/').map(str::to_owned);
    let mut module: Vec<String> = stem.filter(|name| name != "mod" && name != "lib").collect();
    let (mut out, mut at, mut depth, mut opened) = (Vec::new(), 0, 0, Vec::new());
    while at < tokens.len() {
        match word(tokens, at) {
            "mod" if word(tokens, at + 2) == "{" => {
                module.push(word(tokens, at + 1).to_owned());
                opened.push(depth);
            }
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                if opened.last() == Some(&depth) {
                    opened.pop();
                    module.pop();
                }
            }
            word if named(word) => {
                let mut found = Vec::new();
                at = tree(tokens, at + usize::from(word == "use"), &[], &mut found);
                let found = found.into_iter();
                out.extend(found.map(|(line, path)| (line, resolved(&module, &path))));
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    out
}

/// Reads a path, or a tree of them, and says where it ends.
fn tree(
    tokens: &[Token],
    mut at: usize,
    before: &[String],
    out: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let mut path = before.to_vec();
    while let Some((line, here)) = tokens.get(at) {
        at += 1;
        if here == "{" {
            while !matches!(word(tokens, at), "}" | "") {
                at = tree(tokens, at, &path, out);
                at += usize::from(word(tokens, at) == ",");
            }
            return at + 1;
        }
        let itself = here == "self" && !path.is_empty();
        path.extend((named(here) && !itself).then(|| here.clone()));
        let next = word(tokens, at + 1);
        let goes_on = word(tokens, at) == "::" && (named(next) || matches!(next, "{" | "*"));
        if !goes_on && here != "::" {
            out.push((*line, path));
            return at + if word(tokens, at) == "as" { 2 } else { 0 };
        }
        at += usize::from(goes_on);
    }
    at
}

/// A path as seen from the crate's root, if it lies within the crate.
fn resolved(module: &[String], path: &[String]) -> String {
    let ups = path.iter().take_while(|name| *name == "super").count();
    let (from, rest) = match path.first().map(String::as_str) {
        Some("crate") => (0, &path[1..]),
        Some("self") => (module.len(), &path[1..]),
        Some("super") => (module.len().saturating_sub(ups), &path[ups..]),
        _ => return path.join("::"),
    };
    let whole: Vec<&str> = module[..from]
        .iter()
        .chain(rest)
        .map(String::as_str)
        .collect();
    format!("crate::{}", whole.join("::"))
}

fn word(tokens: &[Token], at: usize) -> &str {
    tokens.get(at).map_or("", |token| &token.1)
}

fn named(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Cuts out every `#[cfg(test)] mod tests { ... }`.
fn without_tests(mut tokens: Vec<Token>) -> Vec<Token> {
    let head = ["#", "[", "cfg", "(", "test", ")", "]", "mod", "tests", "{"];
    let is_head = |it: &[Token]| it.iter().map(|token| &token.1).eq(head);
    while let Some(from) = tokens.windows(head.len()).position(is_head) {
        let mut depth = 0;
        let end = tokens[from + 9..].iter().position(|(_, word)| {
            depth += i32::from(word == "{") - i32::from(word == "}");
            depth == 0
        });
        tokens.drain(from..end.map_or(tokens.len(), |end| from + 9 + end + 1));
    }
    tokens
}

/// The words and signs of a source, without its comments, texts and numbers.
fn tokens(text: &str) -> Vec<Token> {
    let mut out = Vec::new();
    flatten(text.parse().expect("a source is Rust"), &mut out);
    out
}

fn flatten(stream: TokenStream, out: &mut Vec<Token>) {
    let mut joins = false;
    for tree in stream {
        let line = tree.span().start().line;
        let joined = std::mem::take(&mut joins);
        match tree {
            TokenTree::Ident(word) => out.push((line, word.to_string())),
            TokenTree::Literal(_) => {}
            TokenTree::Punct(sign) if joined && sign.as_char() == ':' => {
                out.last_mut().expect("its first half").1.push(':');
            }
            TokenTree::Punct(sign) => {
                joins = sign.as_char() == ':' && sign.spacing() == Spacing::Joint;
                out.push((line, sign.to_string()));
            }
            TokenTree::Group(group) => {
                let [open, close] = match group.delimiter() {
                    Delimiter::Brace => ["{", "}"],
                    Delimiter::Bracket => ["[", "]"],
                    Delimiter::Parenthesis => ["(", ")"],
                    Delimiter::None => ["", ""],
                };
                out.push((line, open.to_owned()));
                flatten(group.stream(), out);
                out.push((group.span_close().start().line, close.to_owned()));
            }
        }
    }
}

/// The cells of a row of a table in Markdown; none if the line is no row.
fn cells(line: &str) -> Vec<&str> {
    let inside = line
        .strip_prefix("| ")
        .and_then(|line| line.strip_suffix(" |"));
    inside.map_or_else(Vec::new, |inside| {
        inside.split(" | ").map(str::trim).collect()
    })
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The names of all tests of all crates here.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in ["src", "tests", "examples/sandbox"] {
        for (_, text) in rust_files(&root().join(folder)) {
            let mut marked = false;
            for line in text.lines().map(str::trim) {
                marked |= line == "#[test]";
                if let Some(rest) = line.strip_prefix("fn ").filter(|_| marked) {
                    names.insert(rest.split('(').next().unwrap_or_default().to_owned());
                    marked = false;
                }
            }
        }
    }
    names
}

/// The names of the fixtures.
fn fixtures() -> BTreeSet<String> {
    let folders = ["tests/fixtures", "tests/fixtures/real"];
    let entries = folders
        .iter()
        .flat_map(|folder| fs::read_dir(root().join(folder)).expect("fixtures"));
    entries
        .map(|entry| {
            entry
                .expect("a fixture")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}

/// What of the sandbox can be set: its options, its switches, how its sockets behave, faults and
/// strikes. And beside them what these can be set to, its arguments and its requests.
fn controls() -> (BTreeSet<String>, BTreeSet<String>) {
    const SETTINGS: [&str; 4] = ["Options", "Switches", "Feed", "OrderFeed"];
    const KINDS: [&str; 2] = ["FaultKind", "Strike"];
    let (mut controls, mut others) = (BTreeSet::new(), BTreeSet::new());
    for (file, text) in rust_files(&root().join("examples/sandbox/src")) {
        for (what, name, inside) in items(&text) {
            let of = match what {
                "struct" if SETTINGS.contains(&name) => &mut controls,
                "enum" if KINDS.contains(&name) => &mut controls,
                "enum" => &mut others,
                _ => continue,
            };
            of.extend(inside);
        }
        if matches!(file.as_str(), "control.rs" | "main.rs" | "switches.rs") {
            let texts = text.split('"').skip(1).step_by(2);
            others.extend(
                texts
                    .flat_map(|text| text.split(['[', ']', ' ', '\n', '=', ',', '\'']))
                    .map(str::to_owned),
            );
        }
    }
    assert!(controls.len() > 50, "{controls:?}");
    (controls, others)
}

/// The public structs and enums of a source: `struct` or `enum`, the name, and the names of
/// fields or, as the sandbox's JSON writes them, of variants.
fn items(text: &str) -> Vec<(&str, &str, Vec<String>)> {
    let mut found = Vec::new();
    for part in text.split("\npub ").skip(1) {
        let mut words = part.split([' ', '(', '<', ';']);
        let (what, name) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let body = part.split("\n}").next().unwrap_or_default();
        let lines = body
            .lines()
            .skip(1)
            .filter_map(|line| line.strip_prefix("    "));
        let member = |line: &str| match what {
            "struct" => line
                .strip_prefix("pub ")?
                .split_once(':')
                .map(|it| it.0.to_owned()),
            _ if line.starts_with(char::is_uppercase) => Some(snake(
                line.split([' ', '(', ',']).next().unwrap_or_default(),
            )),
            _ => None,
        };
        found.push((what, name, lines.filter_map(member).collect()));
    }
    found
}

/// `ResetAfter` as `reset_after`.
fn snake(name: &str) -> String {
    let mut out = String::new();
    for (at, letter) in name.char_indices() {
        if letter.is_uppercase() && at > 0 {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every source under `src/` but the tests, by its name there, and its text.
fn sources() -> Vec<(String, String)> {
    let mut found = rust_files(&root().join("src"));
    found.retain(|(name, _)| !Path::new(name).ends_with("tests.rs"));
    found
}

/// Every source under a folder, by its name there, and its text.
fn rust_files(top: &Path) -> Vec<(String, String)> {
    let (mut folders, mut found) = (vec![top.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let name = path.strip_prefix(top).expect("under it").to_string_lossy();
                let text = fs::read_to_string(&path).expect("a source");
                found.push((name.replace('\\', "/"), text));
            }
        }
    }
    found.sort();
    found
}
