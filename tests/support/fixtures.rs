//! The broker's documented answers and messages, in `tests/fixtures`.

use std::fs;

use crate::hosts::repository;

/// One of them by its name without the ending: JSON, or a page of HTML.
///
/// # Panics
///
/// If there is none.
pub fn sample(name: &str) -> String {
    let folder = repository().join("tests/fixtures");
    let read = |ending: &str| fs::read_to_string(folder.join(format!("{name}.{ending}")));
    read("json")
        .or_else(|_| read("html"))
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}
