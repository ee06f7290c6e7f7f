//! Holds the house to its rules: who may import whom, where `unsafe` stands, what the pure
//! rooms may not touch, and that the rows of `docs/map.md` are the files of `src/`.
//!
//! It reads sources, not the compiler's mind: comments, texts and tests (`tests.rs`, and
//! modules `#[cfg(test)] mod tests`) are left out, and every path of the rest is looked at.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Each room, and what its files may import besides their own room. Nobody imports `ffi`. The
/// files beside `lib.rs` are the crate itself and may import all the others.
const ROOMS: &[(&str, &str)] = &[
    ("base", ""),
    ("broker", "base"),
    ("transport", "base broker::message broker::hosts"),
    ("feeds", "base broker transport"),
    ("ledger", "base broker"),
    ("scrips", "base broker"),
    ("client", "base broker transport feeds ledger scrips"),
    ("ffi", "base feeds client"),
];

const PURE: &str = "broker/ has no I/O, no clock, no randomness: time and bytes are handed in";
const CLOCK: &str = "only base/clock.rs asks the system for the time";

/// Where (but for one file), what no path may have, and the rule that says so.
const BARRED: &[(&str, &str, &str, &str)] = &[
    (
        "broker/",
        "",
        "std::net std::fs std::env std::thread tokio reqwest",
        PURE,
    ),
    (
        "broker/",
        "",
        "SystemTime Instant::now random clock::now clock::unix",
        PURE,
    ),
    ("transport/", "", "serde_json", "transport/ knows no JSON"),
    (
        "",
        "base/clock.rs",
        "SystemTime::now Instant::now UNIX_EPOCH tokio::time rustix::time",
        CLOCK,
    ),
];

/// What breaks a rule all the same: file, path, and why it may. One that is not needed fails.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    (
        "broker/message.rs",
        "std::time::UNIX_EPOCH",
        "makes a number of the `Date` that an answer carries, and asks no clock",
    ),
    (
        "client/logins.rs",
        "VERSION",
        "the config service is told the version, which stands where Rust users look for it",
    ),
];

/// A word or sign of a source, and its line.
type Token = (usize, String);

/// What breaks a rule: file, line, the path or word, and the rule.
type Fault = (String, usize, String, String);

#[test]
fn every_file_keeps_the_rules_of_its_room() {
    let files = sources();
    let faults: Vec<Fault> = files
        .iter()
        .flat_map(|(file, text)| faults(file, text))
        .collect();
    let excused = |fault: &Fault| {
        EXCEPTIONS
            .iter()
            .any(|it| it.0 == fault.0 && it.1 == fault.2)
    };
    let told: Vec<String> = faults
        .iter()
        .filter(|fault| !excused(fault))
        .map(|(file, line, what, rule)| format!("src/{file}:{line}: `{what}`: {rule}"))
        .collect();
    assert!(
        told.is_empty(),
        "{} faults:\n{}",
        told.len(),
        told.join("\n")
    );
    for (file, what, reason) in EXCEPTIONS {
        let needed = faults
            .iter()
            .any(|fault| fault.0 == *file && fault.2 == *what);
        assert!(
            needed,
            "not needed any more: src/{file}: `{what}` ({reason})"
        );
    }
}

#[test]
fn only_ffi_is_allowed_unsafe_code() {
    let lib = sources()
        .into_iter()
        .find(|(file, _)| file == "lib.rs")
        .expect("lib.rs")
        .1;
    let words: Vec<String> = tokens(&lib).into_iter().map(|token| token.1).collect();
    let code = words.join(" ");
    assert!(
        code.contains("# ! [ deny ( unsafe_code ) ]"),
        "lib.rs denies no unsafe code"
    );
    let after: Vec<&str> = code.split("# [ allow ( unsafe_code ) ]").skip(1).collect();
    assert_eq!(
        after.len(),
        1,
        "one module is allowed unsafe code, and one only"
    );
    let item = after[0].split(';').next().unwrap_or_default().trim_end();
    assert!(item.ends_with("mod ffi"), "and that is ffi, not `{item}`");
}

#[test]
fn the_map_has_a_row_for_every_file() {
    let map = fs::read_to_string(root().join("docs/map.md")).expect("docs/map.md");
    let rooms = map
        .split_once("\n## The rooms\n")
        .expect("the map has its rooms")
        .1;
    let rooms = rooms.split("\n## ").next().unwrap_or_default();
    let mut rows = BTreeSet::new();
    for part in rooms.split("\n### ").skip(1) {
        let heading = part.lines().next().unwrap_or_default();
        let room = heading.split('`').nth(1).expect("a heading names its room");
        for row in part.lines().filter_map(|line| line.strip_prefix("| `")) {
            let file = row.split('`').next().unwrap_or_default();
            let inside = if room == "src/" {
                !file.contains('/')
            } else {
                file.starts_with(room)
            };
            assert!(inside, "`{file}` stands under the heading `{room}`");
            assert!(rows.insert(file.to_owned()), "`{file}` has two rows");
        }
    }
    let files: BTreeSet<String> = sources().into_iter().map(|(file, _)| file).collect();
    let lacking: Vec<_> = files.difference(&rows).collect();
    let lost: Vec<_> = rows.difference(&files).collect();
    assert!(
        lacking.is_empty() && lost.is_empty(),
        "no row: {lacking:?}; no file: {lost:?}"
    );
}

#[test]
fn a_house_that_breaks_the_rules_is_told() {
    let told = |file: &str, text: &str| -> Vec<(usize, String)> {
        faults(file, text)
            .into_iter()
            .map(|fault| (fault.1, fault.2))
            .collect()
    };
    let one = |line: usize, what: &str| vec![(line, what.to_owned())];
    let nested =
        "//! One.\npub(crate) use crate::{\n    base::json,\n    client::{call::Call},\n};\n";
    assert_eq!(
        told("broker/orders.rs", nested),
        one(4, "client::call::Call")
    );
    let inline =
        "fn f<'a>(c: char) {\n    let _ = (c == '\"', crate::feeds::link::rest::<u8>());\n}\n";
    assert_eq!(told("base/log.rs", inline), one(2, "feeds::link::rest"));
    let up =
        "mod deep {\n    use super::super::super::scrips::Table;\n    use super::super::Net;\n}\n";
    assert_eq!(told("transport/door.rs", up), one(2, "scrips::Table"));
    assert_eq!(
        told("transport/tls.rs", "use crate::broker;"),
        one(1, "broker")
    );
    assert_eq!(
        told("client/mod.rs", "use crate::ffi::pin;"),
        one(1, "ffi::pin")
    );
    assert_eq!(
        told("base/error.rs", "use crate::Client;"),
        one(1, "Client")
    );
    assert_eq!(
        told("broker/judge.rs", "use std::{fmt, fs::File};"),
        one(1, "std::fs::File")
    );
    assert_eq!(
        told("feeds/link.rs", "let at = Instant::now();"),
        one(1, "Instant::now")
    );
    assert_eq!(
        told("client/mod.rs", "fn f() { unsafe { g() } }"),
        one(1, "unsafe")
    );
    let word = "fn f(at: Moment) { at.elapsed() }";
    assert_eq!(told("broker/outcome.rs", word), one(1, "elapsed"));
    let fine = "use crate::broker::message::Request;\nuse self::net::Net;\n// crate::client\n\
                const A: &str = r#\"crate::client \"# ;\nconst B: &str = \"\\\"crate::client\";\n\
                #[cfg(test)]\nmod tests {\n    use crate::client::Client;\n}\n";
    assert_eq!(told("transport/mod.rs", fine), []);
}

/// Every fault of one file, whose name is that under `src/`.
fn faults(file: &str, text: &str) -> Vec<Fault> {
    let tokens = without_tests(tokens(text));
    let room = file.split_once('/').map_or("", |(room, _)| room);
    let known = |name: &str| ROOMS.iter().find(|(room, _)| *room == name);
    let mut faults = Vec::new();
    let mut tell = |line: usize, what: &str, rule: &str| {
        faults.push((file.to_owned(), line, what.to_owned(), rule.to_owned()));
    };
    if !room.is_empty() && known(room).is_none() {
        tell(1, room, "is no room");
    }
    for (line, word) in &tokens {
        if word == "unsafe" && room != "ffi" || word == "unsafe_code" && file != "lib.rs" {
            tell(*line, word, "unsafe code stands under ffi/ only");
        }
        if word == "elapsed" && room == "broker" {
            tell(*line, word, PURE);
        }
    }
    for (line, path) in paths(file, &tokens) {
        let inside = path.strip_prefix("crate::");
        if let Some(rule) = inside.and_then(|path| forbidden(room, path)) {
            tell(line, inside.unwrap_or_default(), rule);
        }
        for (place, but, barred, rule) in BARRED {
            let found = |it| format!("::{path}::").contains(&format!("::{it}::"));
            if file.starts_with(place) && file != *but && barred.split(' ').any(found) {
                tell(line, inside.unwrap_or(&path), rule);
            }
        }
    }
    faults
}

/// Why a room may not import this path of the crate, if it may not.
fn forbidden(room: &str, path: &str) -> Option<&'static str> {
    let first = path.split("::").next().unwrap_or_default();
    if first == room || room.is_empty() && first != "ffi" {
        return None;
    }
    if !ROOMS.iter().any(|(name, _)| *name == first) {
        return (room != "ffi").then_some("a room takes nothing from the crate's root");
    }
    let allowed = ROOMS
        .iter()
        .find(|(name, _)| *name == room)
        .map_or("", |it| it.1);
    let within = |it| format!("{path}::").starts_with(&format!("{it}::"));
    (!allowed.split(' ').any(within)).then_some("the room may not import this")
}

/// Every path of a file with its line, groups taken apart; those within the crate begin with
/// `crate::`, whether they were written with `crate`, `self` or `super`.
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
            word if word == "use" || named(word) && self::word(tokens, at + 1) == "::" => {
                let mut found = Vec::new();
                at = tree(tokens, at + usize::from(word == "use"), &[], &mut found);
                out.extend(
                    found
                        .iter()
                        .map(|(line, path)| (*line, resolved(&module, path))),
                );
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

/// The words and signs of a source, without its comments, texts and characters.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let (mut out, mut at, mut line) = (Vec::new(), 0, 1);
    while at < chars.len() {
        let rest = &chars[at..];
        let letters = rest
            .iter()
            .take_while(|c| c.is_alphanumeric() || **c == '_');
        let length = skipped(rest).unwrap_or_else(|| {
            let length = if rest.starts_with(&[':', ':']) {
                2
            } else {
                letters.count().max(1)
            };
            out.push((line, rest[..length].iter().collect()));
            length
        });
        line += rest[..length].iter().filter(|c| **c == '\n').count();
        at += length;
    }
    out
}

/// The length of the blank, comment, text or character that begins here, if one does.
fn skipped(rest: &[char]) -> Option<usize> {
    let until = |from: usize, end: &[char]| {
        let found = rest
            .get(from..)?
            .windows(end.len())
            .position(|it| it == end)?;
        Some(from + found + end.len())
    };
    match rest {
        [blank, ..] if blank.is_whitespace() => Some(1),
        ['/', '/', ..] => until(2, &['\n']).or(Some(rest.len())),
        ['/', '*', ..] => until(2, &['*', '/']).or(Some(rest.len())),
        ['\'', '\\', ..] => until(3, &['\'']),
        ['\'', _, '\'', ..] => Some(3),
        ['\'', ..] => Some(1), // a lifetime
        ['"' | 'r' | 'b' | 'c', ..] => {
            let prefix = rest
                .iter()
                .take_while(|c| matches!(c, 'r' | 'b' | 'c'))
                .count();
            let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
            let raw = rest[..prefix].contains(&'r');
            let mut at = prefix + hashes;
            if rest.get(at) != Some(&'"') || hashes > 0 && !raw {
                return None;
            }
            at += 1;
            while !raw && *rest.get(at)? != '"' {
                at += if rest[at] == '\\' { 2 } else { 1 };
            }
            until(at, &[&['"'][..], &vec!['#'; hashes]].concat())
        }
        _ => None,
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every source under `src/` but the tests, by its name there, and its text.
fn sources() -> Vec<(String, String)> {
    let src = root().join("src");
    let (mut folders, mut found) = (vec![src.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder under src") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") && !path.ends_with("tests.rs") {
                let name = path
                    .strip_prefix(&src)
                    .expect("under src")
                    .to_string_lossy()
                    .replace('\\', "/");
                found.push((name, fs::read_to_string(&path).expect("a source")));
            }
        }
    }
    found.sort();
    found
}
