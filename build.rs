//! Writes the C header to `OUT_DIR` and gives the shared library its name.
//!
//! The committed `include/kotak_neo.h` is compared with the fresh one by a
//! test; a build never writes into the source tree.

use std::path::PathBuf;
use std::{env, fs};

/// The order of the header. A file that is not named here comes after these.
const ORDER: &str = "library response client login orders ledger reads scrips feed orderfeed";

fn main() {
    println!("cargo:rerun-if-changed=src/ffi");
    println!("cargo:rerun-if-changed=src/feeds/tick.rs");
    println!("cargo:rerun-if-changed=cbindgen.toml");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let config =
        cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml can be read");
    let place = |file: &PathBuf| {
        let known = ORDER
            .split(' ')
            .position(|name| file.ends_with(format!("{name}.rs")));
        (known.unwrap_or(usize::MAX), file.clone())
    };
    let folder = fs::read_dir(root.join("src/ffi")).expect("the folder is there");
    let mut files: Vec<_> = folder.flatten().map(|file| file.path()).collect();
    files.retain(|file| !file.ends_with("mod.rs"));
    files.sort_by_cached_key(place);
    // The records are of the core: plain structs that callers see.
    files.push(root.join("src/feeds/tick.rs"));
    let builder = cbindgen::Builder::new().with_config(config);
    let builder = files.iter().fold(builder, cbindgen::Builder::with_src);
    builder
        .generate()
        .expect("the header can be generated")
        .write_to_file(out.join("kotak_neo.h"));

    // The number is the ABI version: it changes only when old programs break.
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libkotak_neo.so.1");
    }
}
