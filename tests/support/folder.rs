//! A folder that is gone when the test is.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A new folder under the system's temporary folder, removed when dropped.
pub struct Folder(PathBuf);

impl Folder {
    /// A folder whose path has `name` in it.
    ///
    /// # Panics
    ///
    /// If it cannot be made.
    pub fn new(name: &str) -> Self {
        let id = std::process::id();
        let mut number = 0;
        loop {
            let path = std::env::temp_dir().join(format!("kotak-neo-{name}-{id}-{number}"));
            match fs::create_dir(&path) {
                Ok(()) => return Self(path),
                // Another one of this process, or left by one that was killed.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
                Err(error) => panic!("{}: {error}", path.display()),
            }
        }
    }

    /// The folder itself.
    pub fn dir(&self) -> &Path {
        &self.0
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The same as text, for a configuration.
    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}

#[test]
fn folders_of_one_name_are_two_and_go() {
    let [one, other] = [(); 2].map(|()| Folder::new("folder"));
    assert_ne!(one.dir(), other.dir());
    fs::write(one.path("file"), "text").expect("it can be written");
    let path = one.dir().to_owned();
    drop(one);
    assert!(!path.exists() && other.dir().is_dir());
}
