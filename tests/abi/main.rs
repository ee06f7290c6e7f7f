//! What is proven of the C ABI:
//!
//! - the committed header is the generated one, and documents every item
//! - exports = declarations = the committed list `symbols.txt`
//! - statuses, versions and the soname are told the same everywhere
//! - every export is guarded, and a panic reaches neither host nor stderr
//! - reads wait for their turn, and can be ended meanwhile
//! - `torture.c`: every function with NULL, broken UTF-8, freed, foreign and
//!   made-up handles; 16 threads with frees in between; feeds that end under
//!   waiting threads and in every phase; fork; single calls ended by name;
//!   shutdown with calls under way and the start after it; resets with SIGPIPE
//!   deadly; unload and reload
//! - `stacks.c`: each kind of call on a thread with a small stack
//! - `starved.c`: no thread, memory or descriptor to be had
//!
//! The programs of every host are in `hosts.rs` and `excel.rs`.

// The fault that makes an export panic is not in release builds.
#[cfg(debug_assertions)]
mod orders;
mod panics;
mod reads;
mod resources;

use std::collections::BTreeSet;
use std::ffi::{CStr, c_char};
use std::fs;
use std::path::Path;
use std::process::Command;

use kotak_neo::Status;
use kotak_neo::ffi::library::{KNEO_ABI_VERSION, kneo_abi_version, kneo_version};
use kotak_neo_sandbox::{
    Fault, FaultKind, Feed, LoginManner, Options, OrderFeed, Sandbox, TlsMode,
};
use kotak_neo_testing::folder::Folder;
use kotak_neo_testing::hosts::{self, STRICT, build, command, environment, repository, run};
use kotak_neo_testing::library;
use kotak_neo_testing::needs::need;

fn read(path: impl AsRef<Path>) -> String {
    let path = repository().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn header() -> String {
    read("include/kotak_neo.h")
}

/// The names of all functions that the header declares.
fn declared() -> BTreeSet<String> {
    header()
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '(' && c != '#')
        .filter_map(|word| word.split_once('(').map(|(name, _)| name))
        .filter(|name| name.starts_with("kneo_") && !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn listed() -> BTreeSet<String> {
    read("tests/abi/symbols.txt")
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_committed_header_is_the_generated_one() {
    let generated = read(concat!(env!("OUT_DIR"), "/kotak_neo.h"));
    assert!(
        header() == generated,
        "include/kotak_neo.h is out of date: copy {}/kotak_neo.h over it",
        env!("OUT_DIR")
    );
}

#[test]
fn the_header_documents_every_item_as_c11_and_cpp17() {
    let header = header();
    let mut previous = "";
    let mut items = 0;
    for line in header.lines() {
        let item = line.starts_with("#define KNEO_")
            || line.starts_with("typedef")
            || (line.contains("kneo_") && line.contains('(') && !line.starts_with([' ', '#', '/']));
        if item {
            items += 1;
            assert_eq!(previous, " */", "{line} is not documented");
        }
        previous = line;
    }
    assert!(items >= 16 + 2 + listed().len(), "{items} items were found");

    let Some(cc) = need("header as C", "cc") else {
        return;
    };
    for language in ["-std=c11", "-std=c17"] {
        let source = repository().join("include/kotak_neo.h");
        let mut compiler = Command::new(&cc);
        compiler
            .args([language, "-fsyntax-only", "-x", "c"])
            .args(STRICT)
            .arg(source);
        build(&mut compiler).unwrap_or_else(|error| panic!("{error}"));
    }
    let Some(cxx) = need("header as C++", "c++") else {
        return;
    };
    for name in ["kotak_neo.h", "kotak_neo.hpp"] {
        let source = repository().join("include").join(name);
        let mut compiler = Command::new(&cxx);
        // A header as the main file: its include guard pragma would warn.
        compiler
            .args(["-std=c++17", "-fsyntax-only", "-x", "c++"])
            .args(STRICT);
        compiler.arg("-include").arg(source).arg("/dev/null");
        build(&mut compiler).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn exports_are_declarations_are_the_list() {
    assert_eq!(declared(), listed());
    let Some(nm) = need("symbol list", "nm") else {
        return;
    };
    let so = library::built("libkotak_neo.so").unwrap_or_else(|error| panic!("{error}"));
    let ran = run(Command::new(nm).args(["-D", "--defined-only"]).arg(so));
    let ran = ran.unwrap_or_else(|error| panic!("{error}"));
    let exported: BTreeSet<String> = ran
        .stdout
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2).map(str::to_owned))
        .collect();
    assert_eq!(exported, listed());
}

#[test]
fn every_export_is_tortured() {
    let torture = read("tests/abi/torture.c");
    for name in listed() {
        assert!(torture.contains(&name), "{name} is not in torture.c");
    }
}

/// Each function has one row with what it is, parameters, since when, and what
/// it returns.
#[test]
fn the_readme_has_a_row_for_every_function() {
    let readme = read("README.md");
    let mut shown = BTreeSet::new();
    for line in readme.lines().filter(|line| line.starts_with("| `kneo_")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [name, what, _, since, _] = cells[..] else {
            // The table of statuses is another one.
            continue;
        };
        assert!(!what.is_empty() && since.starts_with("0."), "{line}");
        assert!(shown.insert(name.trim_matches('`').to_owned()), "{line}");
    }
    assert_eq!(shown, listed());
}

#[test]
fn numbers_and_versions_are_told_the_same_everywhere() {
    let header = header();
    for code in 0..=14 {
        // Safe: the loop covers exactly the numbers that exist.
        let all = [
            Status::Ok,
            Status::InvalidArgument,
            Status::InvalidHandle,
            Status::NotLoggedIn,
            Status::SessionExpired,
            Status::Rejected,
            Status::RateLimited,
            Status::Timeout,
            Status::Network,
            Status::UnknownOutcome,
            Status::Protocol,
            Status::Unavailable,
            Status::Closed,
            Status::Internal,
            Status::End,
        ];
        let status = all[code];
        assert_eq!(usize::try_from(status.code()), Ok(code));
        let line = format!("#define KNEO_{} {code}\n", status.name());
        assert!(header.contains(&line), "{line}");
    }
    // Statuses and the version; kinds, states and bits of the feed; its rows.
    assert_eq!(header.matches("#define KNEO_").count(), 16 + 6 + 6 + 22 + 1);
    assert_eq!(kneo_abi_version(), KNEO_ABI_VERSION);
    assert!(header.contains(&format!("#define KNEO_ABI_VERSION {KNEO_ABI_VERSION}\n")));
    assert!(read("build.rs").contains(&format!("libkotak_neo.so.{KNEO_ABI_VERSION}")));
    assert_eq!(text(kneo_version()), env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_export_is_guarded() {
    let mut exports = 0;
    let folder = fs::read_dir(repository().join("src/ffi")).expect("the folder is there");
    for file in folder {
        let source = read(file.expect("the folder can be read").path());
        for part in source.split("#[unsafe(no_mangle)]").skip(1) {
            exports += 1;
            let (signature, body) = part.split_once("{\n").expect("a function has a body");
            let first = body.trim_start();
            let guarded = [
                "guard(",
                "guard_writes(",
                "respond(",
                "respond_with(",
                "count_with(",
                "read(",
            ]
            .iter()
            .any(|call| first.starts_with(call));
            assert!(guarded, "not guarded: {signature}");
            let lines = body
                .split("\n}\n")
                .next()
                .map_or(0, |body| body.lines().count());
            assert!(lines <= 22, "logic has leaked into an export: {signature}");
        }
    }
    assert_eq!(exports, listed().len());
}

fn text<'a>(pointer: *const c_char) -> &'a str {
    // SAFETY: the library gives NUL-terminated texts that the caller of this
    // function has not freed yet.
    unsafe { CStr::from_ptr(pointer) }
        .to_str()
        .expect("the library gives UTF-8")
}

/// A sandbox, and one that never answers.
fn sandboxes() -> (Sandbox, Sandbox) {
    let start = || Sandbox::start(Options::default()).expect("the sandbox starts");
    let hanging = start();
    hanging.set_fault(Fault {
        path: String::new(),
        times: None,
        kind: FaultKind::Hang,
    });
    (start(), hanging)
}

/// One that resets every connection after it has read the request.
fn resetting() -> Sandbox {
    let options = Options {
        tls: TlsMode::Valid,
        ..Options::default()
    };
    let sandbox = Sandbox::start(options).expect("the sandbox starts");
    sandbox.set_fault(Fault {
        path: String::new(),
        times: None,
        kind: FaultKind::ResetAfter,
    });
    sandbox
}

/// One whose feeds never answer a login.
fn mute() -> Sandbox {
    let sandbox = Sandbox::start(Options::default()).expect("the sandbox starts");
    sandbox.set_feed(Feed {
        login: LoginManner::Ignore,
        ..sandbox.feed()
    });
    sandbox.set_order_feed(OrderFeed {
        login: LoginManner::Ignore,
        ..sandbox.order_feed()
    });
    sandbox
}

fn torture(mode: &str, wrapper: &[&str]) {
    let Some(cc) = need(&format!("torture {mode}"), "cc") else {
        return;
    };
    let (sandbox, hanging) = sandboxes();
    let workshop = Folder::new("torture");
    let lib = workshop.path("lib");
    library::lay_out(&lib).unwrap_or_else(|error| panic!("{error}"));
    let program = workshop.path("torture");
    let mut compiler = Command::new(&cc);
    compiler
        .args(["-std=gnu11", "-g", "-O1", "-pthread"])
        .args(STRICT);
    compiler.arg("-I").arg(repository().join("include"));
    compiler
        .arg(repository().join("tests/abi/torture.c"))
        .arg("-o")
        .arg(&program);
    let mut start;
    if mode == "unload" {
        compiler.args(["-DUNLOAD", "-ldl"]);
        build(&mut compiler).unwrap_or_else(|error| panic!("{error}"));
        start = command(&program, &environment(&sandbox));
        start.arg(lib.join("libkotak_neo.so"));
    } else {
        compiler.args(library::shared_flags(&lib));
        build(&mut compiler).unwrap_or_else(|error| panic!("{error}"));
        match wrapper {
            [] => start = command(&program, &environment(&sandbox)),
            [tool, arguments @ ..] => {
                start = command(Path::new(tool), &environment(&sandbox));
                start.args(arguments).arg(&program);
            }
        }
        start.arg(mode);
    }
    start.env("KNEO_HANG", hanging.config_json());
    let resetting = resetting();
    start.env("KNEO_RESET", resetting.config_json());
    let mute = mute();
    start.env("KNEO_MUTE", mute.url().trim_start_matches("http://"));
    let ran = run(&mut start).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(ran.code, Some(0), "{ran}");
    assert_eq!(
        ran.stdout, "",
        "the library writes nothing to stdout: {ran}"
    );
    if wrapper.is_empty() {
        assert_eq!(
            ran.stderr, "",
            "the library writes nothing to stderr: {ran}"
        );
    }
}

#[test]
fn misuse_is_survived() {
    torture("misuse", &[]);
}

#[test]
fn a_feed_survives_its_callers_and_its_client() {
    torture("feed", &[]);
}

#[test]
fn feeds_end_under_waiters_in_every_phase_and_in_a_child() {
    torture("ends", &[]);
}

#[test]
fn misuse_is_clean_under_valgrind() {
    let Some(valgrind) = need("misuse under valgrind", "valgrind") else {
        return;
    };
    let tool = valgrind.to_str().expect("a path of a tool is UTF-8");
    torture(
        "misuse",
        &[
            tool,
            "--quiet",
            "--error-exitcode=9",
            "--leak-check=full",
            "--errors-for-leak-kinds=definite",
        ],
    );
}

#[test]
fn sixteen_threads_share_and_free() {
    torture("threads", &[]);
}

#[test]
fn fork_leaves_the_child_a_clean_start() {
    torture("fork", &[]);
}

#[test]
fn one_call_is_ended_by_its_name() {
    torture("cancel", &[]);
}

#[test]
fn shutdown_ends_calls_and_the_library_starts_again() {
    torture("shutdown", &[]);
}

#[test]
fn an_unloaded_library_stays_mapped_and_loads_again() {
    torture("unload", &[]);
}

#[test]
fn a_reset_connection_does_not_kill_the_host() {
    torture("pipe", &[]);
}
