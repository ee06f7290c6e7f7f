//! What the system has to give: every call works on the small stack that the header
//! promises, and says so where there is no thread, memory or descriptor to be had.

use std::process::Command;

use kotak_neo_sandbox::{Options, Sandbox, TlsMode};
use kotak_neo_testing::folder::Folder;
use kotak_neo_testing::hosts::{STRICT, build, command, environment, repository, run};
use kotak_neo_testing::library;
use kotak_neo_testing::needs::need;
use serde_json::json;

/// What the header promises, in KiB: for any call, and for an order on a connection that
/// is there.
const PROMISED: [usize; 2] = [128, 64];
/// The same for a library without optimisation, of which nothing is promised. It finds what
/// is on a stack and should be on the heap.
const UNOPTIMISED: [usize; 2] = [512, 256];

#[test]
fn every_call_works_on_a_small_stack() {
    let Some(cc) = need("small stacks", "cc") else {
        return;
    };
    let tls = || {
        Sandbox::start(Options {
            tls: TlsMode::Valid,
            gzip: true,
            ..Options::default()
        })
        .expect("the sandbox starts")
    };
    let (sandbox, stranger) = (tls(), tls());
    let workshop = Folder::new("stacks");
    let lib = workshop.path("lib");
    let limits = match std::env::var_os("KNEO_RELEASE_LIBRARY") {
        Some(path) => {
            library::lay_out_file(path.as_ref(), &lib).unwrap_or_else(|error| panic!("{error}"));
            PROMISED
        }
        None => {
            library::lay_out(&lib).unwrap_or_else(|error| panic!("{error}"));
            UNOPTIMISED
        }
    };
    let program = workshop.path("stacks");
    let mut compiler = Command::new(&cc);
    compiler
        .args(["-std=gnu11", "-O1", "-pthread"])
        .args(STRICT);
    compiler.arg("-I").arg(repository().join("include"));
    compiler
        .arg(repository().join("tests/abi/stacks.c"))
        .arg("-o")
        .arg(&program)
        .args(library::shared_flags(&lib));
    build(&mut compiler).unwrap_or_else(|error| panic!("{error}"));
    let mut start = command(&program, &environment(&sandbox));
    // Its authority is not in the file.
    let mut config = json!({"base_url": stranger.url(), "consumer_key": "fake-key-0000"});
    start.env("KNEO_STRANGER", config.to_string());
    config["base_url"] = json!("https://localhost:1");
    start.env("KNEO_NOBODY", config.to_string());
    start.args(limits.map(|kib| kib.to_string()));
    let ran = run(&mut start).unwrap_or_else(|error| panic!("{error}"));
    println!("{}", ran.stdout);
    assert_eq!((ran.code, &*ran.stderr), (Some(0), ""), "{ran}");
    assert_eq!(ran.stdout.lines().count(), 28, "{ran}");
}

#[test]
fn what_the_system_does_not_give_is_told_and_nothing_is_sent() {
    let Some(cc) = need("no threads", "cc") else {
        return;
    };
    let sandbox = Sandbox::start(Options::default()).expect("the sandbox starts");
    let workshop = Folder::new("starved");
    let lib = workshop.path("lib");
    library::lay_out(&lib).unwrap_or_else(|error| panic!("{error}"));
    let program = workshop.path("starved");
    let mut compiler = Command::new(&cc);
    compiler
        .args(["-std=gnu11", "-O1", "-pthread", "-rdynamic", "-ldl"])
        .args(STRICT);
    compiler.arg("-I").arg(repository().join("include"));
    compiler
        .arg(repository().join("tests/abi/starved.c"))
        .arg("-o")
        .arg(&program)
        .args(library::shared_flags(&lib));
    build(&mut compiler).unwrap_or_else(|error| panic!("{error}"));
    let ran = run(&mut command(&program, &environment(&sandbox)));
    let ran = ran.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((ran.code, &*ran.stderr), (Some(0), ""), "{ran}");
}
