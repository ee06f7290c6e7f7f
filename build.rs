//! Writes the C header to `OUT_DIR` and gives the shared library its name.
//!
//! The committed `include/kotak_neo.h` is compared with the fresh one by a
//! test; a build never writes into the source tree.

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-changed=src/ffi");
    println!("cargo:rerun-if-changed=src/feeds/tick.rs");
    println!("cargo:rerun-if-changed=cbindgen.toml");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let config =
        cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml can be read");
    let mut builder = cbindgen::Builder::new().with_config(config);
    // In the order of the header.
    for file in [
        "library",
        "response",
        "client",
        "login",
        "orders",
        "reads",
        "scrips",
        "feed",
        "orderfeed",
    ] {
        builder = builder.with_src(root.join(format!("src/ffi/{file}.rs")));
    }
    // The records are of the core: plain structs that callers see.
    builder = builder.with_src(root.join("src/feeds/tick.rs"));
    builder
        .generate()
        .expect("the header can be generated")
        .write_to_file(out.join("kotak_neo.h"));

    // The number is the ABI version: it changes only when old programs break.
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libkotak_neo.so.1");
    }
}
