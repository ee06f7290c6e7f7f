//! Windows and Excel: the C programs and the Excel add-in, built with MinGW and
//! run under Wine against the sandbox, and the declarations of the VBA module,
//! which nothing here can run, compared with the header.
//!
//! `kotak_neo.dll` is taken from the folder that `KNEO_WINDOWS_DLL_DIR` names,
//! or built here, which takes some minutes the first time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use kotak_neo_sandbox::{Fault, FaultKind, Options, Sandbox, TlsMode};
use kotak_neo_testing::folder::Folder;
use kotak_neo_testing::hosts::{Ran, STRICT, build, command, environment, repository, run};
use kotak_neo_testing::needs::{need, skip};
use kotak_neo_testing::secrets;

const TARGET: &str = "x86_64-pc-windows-gnu";
const MINGW: &str = "x86_64-w64-mingw32-gcc";

// ---- programs under Wine ---------------------------------------------------

/// The folder with `kotak_neo.dll`, given or built.
fn windows_library(test: &str) -> Option<PathBuf> {
    let dir = match std::env::var_os("KNEO_WINDOWS_DLL_DIR") {
        Some(given) => PathBuf::from(given),
        None => build_windows_library(test)?,
    };
    assert!(
        dir.join("kotak_neo.dll").is_file(),
        "no kotak_neo.dll in {}",
        dir.display()
    );
    Some(dir)
}

/// Builds the DLL with a Rust that has a standard library for Windows, or with
/// one that has its source.
fn build_windows_library(test: &str) -> Option<PathBuf> {
    let ours = Path::new(env!("CARGO")).with_file_name("rustc");
    let debian = PathBuf::from("/usr/bin/rustc");
    let mut cargo;
    if sysroot(&ours).is_some_and(|root| root.join("lib/rustlib").join(TARGET).is_dir()) {
        cargo = Command::new(env!("CARGO"));
        cargo.args(["rustc", "--locked"]);
    } else if sysroot(&debian)
        .is_some_and(|root| root.join("lib/rustlib/src/rust/library").is_dir())
    {
        cargo = Command::new("/usr/bin/cargo");
        // A stable compiler takes `-Z` with this variable only.
        cargo.env("RUSTC", debian).env("RUSTC_BOOTSTRAP", "1");
        cargo.args(["rustc", "--locked", "-Z", "build-std=std,panic_unwind"]);
    } else {
        skip(test, &format!("no Rust here can build for {TARGET}"));
        return None;
    }
    let target_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("windows");
    cargo
        .current_dir(repository())
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .args([
            "--package",
            "kotak-neo",
            "--lib",
            "--crate-type",
            "cdylib",
            "--target",
            TARGET,
        ])
        .arg("--target-dir")
        .arg(&target_dir);
    build(&mut cargo).expect("the library builds for Windows");
    Some(target_dir.join(TARGET).join("debug"))
}

fn sysroot(rustc: &Path) -> Option<PathBuf> {
    let output = Command::new(rustc)
        .args(["--print", "sysroot"])
        .output()
        .ok()?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}

/// A Windows of its own: Wine with a fresh prefix, and a compiler for it.
struct Windows {
    mingw: PathBuf,
    wine: PathBuf,
    library: PathBuf,
    workshop: Folder,
}

impl Windows {
    fn new(test: &str) -> Option<Self> {
        let mingw = need(test, MINGW)?;
        // Debian's wine64 package puts the loader here, and nothing on PATH.
        let loader = Path::new("/usr/lib/wine/wine64");
        let wine = if loader.is_file() {
            loader.to_owned()
        } else {
            need(test, "wine64")?
        };
        let library = windows_library(test)?;
        let workshop = Folder::new("windows");
        Some(Self {
            mingw,
            wine,
            library,
            workshop,
        })
    }

    /// A folder with the library in it.
    fn folder_with_library(&self, name: &str) -> PathBuf {
        let dir = self.workshop.path(name);
        fs::create_dir(&dir).expect("a folder can be made");
        symlink(
            self.library.join("kotak_neo.dll"),
            dir.join("kotak_neo.dll"),
        )
        .expect("a link can be made");
        let source = "tests/support/wine/bcryptprimitives.c";
        self.compile(
            &[source],
            &dir.join("bcryptprimitives.dll"),
            &["-shared"],
            &["-ladvapi32"],
        );
        dir
    }

    fn compile(&self, sources: &[&str], to: &Path, flags: &[&str], libraries: &[&str]) {
        let mut command = Command::new(&self.mingw);
        command.args(STRICT).args(["-std=c11", "-O1", "-g", "-I"]);
        command.arg(repository().join("include")).args(flags);
        command.args(sources.iter().map(|source| repository().join(source)));
        command
            .arg("-L")
            .arg(&self.library)
            .args(libraries)
            .arg("-o")
            .arg(to);
        build(&mut command).expect("the program compiles and links");
    }

    fn command(&self, program: &Path, variables: &[(&'static str, String)]) -> Command {
        let mut command = command(&self.wine, variables);
        command
            .env("WINEPREFIX", self.workshop.path("prefix"))
            .env("WINEDEBUG", "-all")
            // No .NET, no browser, no menu entries in the user's home.
            .env("WINEDLLOVERRIDES", "mscoree,mshtml=;winemenubuilder.exe=d")
            .env("LC_ALL", "C.UTF-8")
            .env_remove("DISPLAY")
            .arg(program);
        command
    }

    fn run(&self, program: &Path, arguments: &[&str], variables: &[(&'static str, String)]) -> Ran {
        let mut ran = run(self.command(program, variables).args(arguments)).expect("it runs");
        ran.stdout = ran.stdout.replace("\r\n", "\n");
        ran
    }
}

impl Drop for Windows {
    fn drop(&mut self) {
        // Its server outlives the programs and holds the prefix.
        let mut server = Command::new(self.wine.with_file_name("wineserver"));
        server.env("WINEPREFIX", self.workshop.path("prefix"));
        for option in ["--kill", "--wait"] {
            if let Err(error) = server.arg(option).status() {
                eprintln!("wineserver {option}: {error}");
            }
        }
    }
}

/// A path of this machine as Wine shows it.
fn windows_path(path: &Path) -> String {
    format!("Z:{}", path.display()).replace('/', "\\")
}

fn sandbox() -> Sandbox {
    Sandbox::start(Options::default()).expect("the sandbox starts")
}

fn check_lines(ran: &Ran, code: i32, expected: &[&str]) {
    assert_eq!(ran.code, Some(code), "{ran}");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{ran}");
    for (line, start) in lines.iter().zip(expected) {
        assert!(line.starts_with(start), "{start}: {ran}");
    }
}

#[test]
fn programs_run_on_windows() {
    let Some(windows) = Windows::new("Windows") else {
        return;
    };
    c_program_logs_in(&windows);
    feeds_tell_orders_and_prices(&windows);
    library_is_loaded_twice(&windows);
    excel_logs_in(&windows);
}

fn c_program_logs_in(windows: &Windows) {
    let dir = windows.folder_with_library("login");
    let program = dir.join("login.exe");
    windows.compile(&["examples/c/login.c"], &program, &[], &["-lkotak_neo"]);
    let totp = [
        "totp_login: 0 ",
        "totp_validate: 0 ",
        "session_info: 0 ",
        "logout: 0 ",
        "live handles: 0",
    ];
    let password = [
        "login: 0 ",
        "session_2fa: 0 ",
        "session_info: 0 ",
        "logout: 0 ",
        "live handles: 0",
    ];

    let plain = sandbox();
    for (way, lines) in [("totp", totp), ("password", password)] {
        let ran = windows.run(&program, &[way], &environment(&plain));
        check_lines(&ran, 0, &lines);
        secrets::check(&ran, &plain);
    }

    let mut variables = environment(&plain);
    variables.retain(|(name, _)| *name != "KNEO_MPIN");
    variables.push(("KNEO_MPIN", "000001".to_owned()));
    let ran = windows.run(&program, &["totp"], &variables);
    check_lines(
        &ran,
        1,
        &["totp_login: 0 ", "totp_validate: 5 ", "live handles: 0"],
    );
    assert!(ran.stdout.contains(r#""status":"REJECTED""#), "{ran}");

    // Over TLS, with the CA in a folder that no ANSI code page can name.
    let options = Options {
        tls: TlsMode::Valid,
        ..Options::default()
    };
    let tls = Sandbox::start(options).expect("the sandbox starts");
    let ca_file = dir.join("घर-ₓ.pem");
    fs::copy(tls.ca_file().expect("the sandbox has a CA"), &ca_file).expect("it can be copied");
    let mut config: serde_json::Value = serde_json::from_str(&tls.config_json()).expect("JSON");
    config["ca_file"] = windows_path(&ca_file).into();
    let mut variables = environment(&tls);
    variables.retain(|(name, _)| *name != "KNEO_CONFIG");
    variables.push(("KNEO_CONFIG", config.to_string()));
    let ran = windows.run(&program, &["password"], &variables);
    check_lines(&ran, 0, &password);
    secrets::check(&ran, &tls);
}

fn feeds_tell_orders_and_prices(windows: &Windows) {
    let dir = windows.folder_with_library("feeds");
    let [ticks, watch] = ["ticks", "watch"].map(|name| {
        let program = dir.join(format!("{name}.exe"));
        let source = format!("examples/c/{name}.c");
        windows.compile(&[&source], &program, &[], &["-lkotak_neo"]);
        program
    });
    let sandbox = sandbox();
    let ran = windows.run(&watch, &["300", "fill"], &environment(&sandbox));
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(ran.stdout.contains(" is complete, 1 filled\n"), "{ran}");
    secrets::check(&ran, &sandbox);

    // It runs by the clock: longer where a moment was not enough.
    let shows_prices = |seconds: &&str| {
        let ran = windows.run(&ticks, &[seconds], &environment(&sandbox));
        assert_eq!(ran.code, Some(0), "{ran}");
        assert!(ran.stdout.ends_with("live handles: 0\n"), "{ran}");
        secrets::check(&ran, &sandbox);
        ran.stdout.contains("\nTCS-EQ ")
    };
    assert!(["3", "60"].iter().any(shows_prices), "no price in a minute");
}

fn library_is_loaded_twice(windows: &Windows) {
    let dir = windows.folder_with_library("reload");
    // The program lies elsewhere: it must load the library by its path.
    let program = windows.workshop.path("reload.exe");
    windows.compile(&["examples/c/reload.c"], &program, &[], &[]);
    let sandbox = sandbox();
    let library = windows_path(&dir.join("kotak_neo.dll"));
    let ran = windows.run(&program, &[&library], &environment(&sandbox));
    let round = [
        "client_open: 0 ",
        "login: 0 ",
        "session_2fa: 0 ",
        "shutdown: 0",
        "live handles: 0",
        "still in memory: yes",
    ];
    check_lines(&ran, 0, &[round, round].concat());
    secrets::check(&ran, &sandbox);
}

fn excel_logs_in(windows: &Windows) {
    let dir = windows.folder_with_library("add-in");
    let add_in = dir.join("kotak_neo_addin.xll");
    let source = "bindings/excel/xll/add_in.c";
    windows.compile(&[source], &add_in, &["-shared"], &[]);
    // As Excel, which lies in another folder than the add-in.
    let excel = windows.workshop.path("fake_excel.exe");
    windows.compile(
        &["bindings/excel/xll/fake_excel.c"],
        &excel,
        &["-municode"],
        &[],
    );
    let add_in = windows_path(&add_in);

    let good = sandbox();
    let ran = windows.run(&excel, &[&add_in, "login"], &environment(&good));
    let round = [
        "registered: KNEO.LOGIN QC%J$",
        "registered: KNEO.LOGIN.ASYNC >C%JX$",
        "=KNEO.LOGIN(\"/state\",1): trade",
        "=KNEO.LOGIN(\"/state\",1): trade",
        "=KNEO.LOGIN(\"/noSuchField\",1): error 42",
        "=KNEO.LOGIN.ASYNC(\"/state\",2): trade",
        "live handles: 0",
    ];
    check_lines(
        &ran,
        0,
        &[&round[..], &round[..], &["failures: 0"]].concat(),
    );
    secrets::check(&ran, &good);
    let logins = good
        .requests()
        .iter()
        .filter(|r| r.path.ends_with("/tradeApiLogin"))
        .count();
    assert_eq!(logins, 4, "one login for each attempt of each round");

    // A refusal is a text in the cell, and is not tried again.
    let bad = sandbox();
    let mut variables = environment(&bad);
    variables.retain(|(name, _)| *name != "KNEO_MPIN");
    variables.push(("KNEO_MPIN", "000001".to_owned()));
    let ran = windows.run(&excel, &[&add_in, "login"], &variables);
    let refused = "=KNEO.LOGIN(\"/state\",1): Kotak Neo, status 5: ";
    assert_eq!(
        ran.stdout
            .lines()
            .filter(|line| line.starts_with(refused))
            .count(),
        4,
        "{ran}"
    );
    let tries = bad
        .requests()
        .iter()
        .filter(|r| r.path.ends_with("/tradeApiValidate"))
        .count();
    assert_eq!(tries, 4, "one try for each attempt of each round: {ran}");
    secrets::check(&ran, &bad);

    excel_closes_during_a_call(windows, &excel, &add_in);
}

fn excel_closes_during_a_call(windows: &Windows, excel: &Path, add_in: &str) {
    let sandbox = sandbox();
    sandbox.set_fault(Fault {
        path: String::new(),
        times: None,
        kind: FaultKind::Hang,
    });
    let mut child = windows
        .command(excel, &environment(&sandbox))
        .args([add_in, "close"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
    let mut line = String::new();
    while !line.starts_with("waiting") {
        line.clear();
        let size = stdout.read_line(&mut line).expect("its output can be read");
        assert_ne!(size, 0, "it ended before it waited");
    }
    let sent = sandbox.wait_for_requests(1, Duration::from_secs(120));
    assert_eq!(sent.len(), 1, "the call is in flight");
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    stdin.write_all(b"\n").expect("the program reads");
    drop(stdin);
    let mut rest = String::new();
    stdout
        .read_to_string(&mut rest)
        .expect("its output can be read");
    let status = child.wait().expect("it ends");
    assert!(status.success(), "{rest}");
    assert!(rest.contains("live handles: 0"), "{rest}");
}

// ---- the VBA module ----------------------------------------------------------

/// What a declaration takes or gives, as both languages can say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nothing,
    Int32,
    /// A pointer, a handle or a size: 64 bits.
    Word,
    /// Where a handle is written to.
    OutWord,
}

#[derive(Debug, PartialEq, Eq)]
struct Function {
    gives: Kind,
    takes: Vec<(String, Kind)>,
}

fn read(name: &str) -> String {
    fs::read_to_string(repository().join(name)).expect("the file can be read")
}

/// The functions of the header.
fn header_functions(header: &str) -> BTreeMap<String, Function> {
    let code = without_comments(header);
    let lines: Vec<&str> = code
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .collect();
    let code = lines.join(" ");
    let mut functions = BTreeMap::new();
    for declaration in code.split([';', '{', '}']) {
        let Some((head, rest)) = declaration.split_once('(') else {
            continue;
        };
        let (gives, name) = c_name(head);
        if !name.starts_with("kneo_") {
            continue;
        }
        let parameters = rest.rsplit_once(')').expect("a parameter list ends").0;
        let takes = parameters
            .split(',')
            .map(c_name)
            .filter(|(kind, _)| !kind.is_empty())
            .map(|(kind, name)| (name, c_kind(&kind)))
            .collect();
        functions.insert(
            name,
            Function {
                gives: c_kind(&gives),
                takes,
            },
        );
    }
    functions
}

fn without_comments(code: &str) -> String {
    let mut rest = code;
    let mut kept = String::new();
    while let Some((before, comment)) = rest.split_once("/*") {
        kept.push_str(before);
        rest = comment.split_once("*/").expect("a comment ends").1;
    }
    kept.push_str(rest);
    kept.lines()
        .map(|line| line.split("//").next().unwrap_or(""))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Splits `const char *name` into type and name.
fn c_name(text: &str) -> (String, String) {
    let text = text.trim();
    let start = text
        .rfind(|c: char| !c.is_alphanumeric() && c != '_')
        .map_or(0, |at| at + 1);
    (text[..start].trim().to_owned(), text[start..].to_owned())
}

fn c_kind(text: &str) -> Kind {
    match (text.matches('*').count(), text) {
        (2, _) => Kind::OutWord,
        (1, _) => Kind::Word,
        (0, "int32_t" | "uint32_t") => Kind::Int32,
        (0, "size_t") => Kind::Word,
        (0, "void") => Kind::Nothing,
        _ => panic!("a C type that no declaration here knows: {text:?}"),
    }
}

/// The functions that the module declares of `kotak_neo.dll`.
fn vba_functions(module: &str) -> BTreeMap<String, Function> {
    let mut functions = BTreeMap::new();
    for line in module
        .lines()
        .filter(|line| line.contains("\"kotak_neo.dll\"") && line.contains("Declare"))
    {
        let rest = line
            .strip_prefix("Private Declare PtrSafe ")
            .unwrap_or_else(|| panic!("{line}"));
        let (what, rest) = rest.split_once(' ').expect("Function or Sub");
        let (name, rest) = rest
            .split_once(" Lib \"kotak_neo.dll\" (")
            .expect("the library");
        let (parameters, result) = rest.rsplit_once(')').expect("a parameter list ends");
        let gives = match what {
            "Sub" => {
                assert_eq!(result, "", "{line}");
                Kind::Nothing
            }
            "Function" => vba_kind("ByVal", result.strip_prefix(" As ").expect("a result")),
            _ => panic!("{line}"),
        };
        let takes = parameters
            .split(", ")
            .filter(|parameter| !parameter.is_empty())
            .map(|parameter| {
                let words: Vec<&str> = parameter.split(' ').collect();
                let [how, name, "As", kind] = words[..] else {
                    panic!("{parameter}: {line}")
                };
                (name.to_owned(), vba_kind(how, kind))
            })
            .collect();
        let earlier = functions.insert(name.to_owned(), Function { gives, takes });
        assert_eq!(earlier, None, "{name} is declared twice");
    }
    functions
}

fn vba_kind(how: &str, kind: &str) -> Kind {
    match (how, kind) {
        ("ByVal", "Long") => Kind::Int32,
        ("ByVal", "LongPtr") => Kind::Word,
        ("ByRef", "LongPtr") => Kind::OutWord,
        _ => panic!("a VBA type that no declaration here may have: {how} {kind}"),
    }
}

/// VBA without comments and texts, for looking at its structure.
fn vba_code(module: &str) -> Vec<String> {
    let line = |line: &str| {
        let unquoted: String = line.split('"').step_by(2).collect::<Vec<_>>().join("\"\"");
        unquoted.split('\'').next().unwrap_or("").trim().to_owned()
    };
    module
        .lines()
        .map(line)
        .filter(|line| !line.is_empty())
        .collect()
}

#[test]
fn vba_declares_what_the_header_declares() {
    let header = header_functions(&read("include/kotak_neo.h"));
    let module = read("bindings/excel/KotakNeo.bas");
    let declared = vba_functions(&module);
    assert!(
        declared.len() >= 14,
        "the declarations are found: {declared:?}"
    );
    for (name, function) in &declared {
        assert_eq!(
            Some(function),
            header.get(name),
            "{name}: the module, then the header"
        );
    }
    let code = vba_code(&module);
    let calls: BTreeSet<&str> = code
        .iter()
        .filter(|line| !line.contains("Declare "))
        .flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'))
        .filter(|word| word.starts_with("kneo_"))
        .collect();
    assert_eq!(
        calls,
        declared.keys().map(String::as_str).collect(),
        "called, then declared"
    );
}

#[test]
fn vba_constants_are_those_of_the_header() {
    let header = read("include/kotak_neo.h");
    let mut compared = 0;
    for line in read("bindings/excel/KotakNeo.bas").lines() {
        let Some(rest) = line.strip_prefix("Public Const KNEO_") else {
            continue;
        };
        let (name, value) = rest.split_once(" As Long = ").expect("a Long");
        if let Ok(value) = value.parse::<i32>() {
            let define = format!("#define KNEO_{name} ");
            let defined = header.lines().find_map(|line| line.strip_prefix(&define));
            let number = defined.and_then(|text| match text.strip_prefix("(1 << ") {
                Some(bit) => bit.strip_suffix(')')?.parse().ok().map(|bit: u32| 1 << bit),
                None => text.parse().ok(),
            });
            assert_eq!(number, Some(value), "KNEO_{name} in the header");
            compared += 1;
        }
    }
    assert!(compared >= 9, "the constants are found");
}

#[test]
fn vba_type_is_the_struct_of_the_header() {
    let header = without_comments(&read("include/kotak_neo.h"));
    let (before, _) = header.split_once("} kneo_tick;").expect("the struct");
    let (_, body) = before.rsplit_once('{').expect("its beginning");
    let wanted: Vec<String> = body
        .split(';')
        .map(str::trim)
        .filter(|field| !field.is_empty())
        .map(
            |field| match c_name(field.split('[').next().unwrap_or("")) {
                (kind, name) if kind == "char" => {
                    let size = field.split(['[', ']']).nth(1).expect("an array");
                    let last = size.parse::<usize>().expect("a size") - 1;
                    format!("{name}(0 To {last}) As Byte")
                }
                (kind, name) => match kind.as_str() {
                    "double" => format!("{name} As Double"),
                    "int64_t" | "uint64_t" => format!("{name} As LongLong"),
                    "int32_t" | "uint32_t" => format!("{name} As Long"),
                    _ => panic!("a C type that no field here has: {field}"),
                },
            },
        )
        .collect();
    let module = read("bindings/excel/KotakNeo.bas");
    let (_, rest) = module
        .split_once("Public Type KneoTick\n")
        .expect("the type");
    let (fields, _) = rest.split_once("End Type\n").expect("its end");
    let fields: Vec<&str> = fields.lines().map(str::trim).collect();
    assert!(wanted.len() > 60, "the fields are found");
    assert_eq!(fields, wanted);
}

#[test]
fn vba_is_well_formed() {
    let module = read("bindings/excel/KotakNeo.bas");
    assert!(module.is_ascii(), "the editor reads the ANSI code page");
    assert!(module.contains("\nOption Explicit\n"));
    let mut open: Vec<&str> = Vec::new();
    for line in vba_code(&module) {
        assert_eq!(
            line.matches('(').count(),
            line.matches(')').count(),
            "{line}"
        );
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["End", block] => assert_eq!(
                open.pop(),
                Some(block).filter(|b| ["Sub", "Function", "If", "Type"].contains(b)),
                "{line}"
            ),
            ["Public" | "Private", "Sub", ..] => open.push("Sub"),
            ["Public" | "Private", "Function", ..] => open.push("Function"),
            ["Public" | "Private", "Type", ..] => open.push("Type"),
            ["If", .., "Then"] => open.push("If"),
            ["Do", ..] => open.push("Do"),
            ["Loop", ..] => assert_eq!(open.pop(), Some("Do"), "{line}"),
            ["For", ..] => open.push("For"),
            ["Next", ..] => assert_eq!(open.pop(), Some("For"), "{line}"),
            ["Private", "Declare", ..] => assert!(open.is_empty(), "declared too late: {line}"),
            _ => {}
        }
        assert!(open.len() <= 4, "{line}: {open:?}");
    }
    assert_eq!(open, Vec::<&str>::new(), "all blocks end");
}
