//! Tools that a test needs and that a machine may lack.

use std::env;
use std::io::Write;
use std::path::PathBuf;

/// The tool by its path, or by its name on `PATH`. If it is missing the test is
/// skipped, or fails where everything is required.
pub fn need(test: &str, tool: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .map(|dir| dir.join(tool))
        .find(|file| file.is_file());
    if found.is_none() {
        skip(test, &format!("{tool} is not installed"));
    }
    found
}

/// Says that a test is skipped. With `KNEO_TEST_REQUIRE=all` it fails instead.
pub fn skip(test: &str, reason: &str) {
    assert!(
        env::var_os("KNEO_TEST_REQUIRE").is_none_or(|value| value != "all"),
        "{test} is required: {reason}"
    );
    // Not eprintln: the test runner would keep it for itself.
    let mut stderr = std::io::stderr();
    writeln!(stderr, "skipped: {test}: {reason}").expect("stderr can be written");
}
