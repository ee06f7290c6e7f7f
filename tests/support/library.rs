//! Where the library is that was built together with the running program.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// A file that cargo built for the library, such as `libkotak_neo.a`.
///
/// They are in `target/<profile>/deps`, wherever the target folder is. A test
/// lies there too, an example beside it. The copies one level up may be of an
/// earlier build.
pub fn built(name: &str) -> Result<PathBuf, String> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let beside = program.parent().ok_or("this program is in no folder")?;
    let file = if beside.ends_with("examples") {
        beside.with_file_name("deps").join(name)
    } else {
        beside.join(name)
    };
    if file.is_file() {
        Ok(file)
    } else {
        Err(format!("{} is not there", file.display()))
    }
}

/// Lays out the shared library in the new folder `dir` as an installation
/// would, with the versioned name that a linked program asks for.
pub fn lay_out(dir: &Path) -> Result<(), String> {
    lay_out_file(&built("libkotak_neo.so")?, dir)
}

/// The same with another build of the library.
pub fn lay_out_file(shared: &Path, dir: &Path) -> Result<(), String> {
    fs::create_dir(dir)
        .and_then(|()| symlink(shared, dir.join("libkotak_neo.so")))
        .and_then(|()| symlink(shared, dir.join("libkotak_neo.so.1")))
        .map_err(|error: io::Error| format!("{}: {error}", dir.display()))
}

/// What a compiler needs to link with the library laid out in `dir`, and the
/// program to find it there.
pub fn shared_flags(dir: &Path) -> [String; 3] {
    let dir = dir.display();
    [
        format!("-L{dir}"),
        "-lkotak_neo".to_owned(),
        format!("-Wl,-rpath,{dir}"),
    ]
}
