//! The broker's documented samples, which these tests and those of the library have in
//! common, and how answers are held against them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A sample of a body.
pub fn sample(name: &str) -> Value {
    let file = repository().join("tests/fixtures").join(name);
    let text = std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_str(&text).unwrap()
}

/// Asserts that an answer has exactly the keys of a sample, at every depth, with values of the
/// same types.
pub fn assert_same_shape(answer: &Value, name: &str) {
    assert_eq!(shape(answer), shape(&sample(name)), "{name}");
}

/// Every path in a body with the type of what is there. Elements of a list share a path.
pub fn shape(body: &Value) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    collect(body, String::new(), &mut lines);
    lines
}

fn collect(value: &Value, path: String, lines: &mut BTreeSet<String>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(list) => {
            list.iter()
                .for_each(|item| collect(item, format!("{path}[]"), lines));
            "list"
        }
        Value::Object(map) => {
            map.iter()
                .for_each(|(key, item)| collect(item, format!("{path}.{key}"), lines));
            "object"
        }
    };
    lines.insert(format!("{path} {kind}"));
}

/// The claims of a JWT, unverified.
pub fn claims(token: &Value) -> Value {
    use base64::Engine as _;
    let payload = token.as_str().unwrap().split('.').nth(1).unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(payload)
        .unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// The files below a folder, but those that cargo and git keep.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let ours = !path.ends_with("target") && !path.ends_with(".git");
        if !path.is_dir() {
            found.push(path);
        } else if ours {
            files(&path, found);
        }
    }
}

#[test]
fn no_fixture_is_there_twice() {
    let mut all = Vec::new();
    files(&repository(), &mut all);
    all.retain(|path| path.iter().any(|part| part == "fixtures"));
    assert!(all.len() > 90, "the fixtures are found");
    let mut known = BTreeMap::new();
    for path in all {
        let bytes = std::fs::read(&path).unwrap();
        if let Some(other) = known.insert(bytes, path.clone()) {
            panic!("the same twice: {} and {}", path.display(), other.display());
        }
    }
}

#[test]
fn shapes_tell_types_and_depths_apart() {
    let one = serde_json::json!({"a": [{"b": 1}], "c": null});
    assert_eq!(
        shape(&one).into_iter().collect::<Vec<_>>(),
        [
            " object",
            ".a list",
            ".a[] object",
            ".a[].b number",
            ".c null"
        ]
    );
    assert_ne!(
        shape(&one),
        shape(&serde_json::json!({"a": [{"b": "1"}], "c": null}))
    );
}
