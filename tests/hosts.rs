//! The programs of every kind of host, built here and run against the sandbox.
//!
//! A host passes when both its logins succeed, a wrong TOTP and a wrong MPIN
//! are refused and told, nothing is left open, and no secret is printed. The
//! Windows programs are in `excel.rs`.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use kotak_neo_sandbox::{
    Fault, FaultKind, Feed, Options, Sandbox, Silence, Socket, Strike, TlsMode,
};
use kotak_neo_testing::folder::Folder;
use kotak_neo_testing::hosts::{Ran, STRICT, build, command, environment, repository, run};
use kotak_neo_testing::needs::need;
use kotak_neo_testing::{library, secrets};

const TOTP: [&str; 4] = ["totp_login", "totp_validate", "session_info", "logout"];
const PASSWORD: [&str; 4] = ["login", "session_2fa", "session_info", "logout"];

/// What glibc's linker needs beside the archive.
const SYSTEM_LIBRARIES: [&str; 4] = ["-lpthread", "-ldl", "-lm", "-lgcc_s"];

/// A program that is built and how to start it.
struct Host {
    program: PathBuf,
    arguments: Vec<PathBuf>,
    variables: Vec<(&'static str, String)>,
    /// Whether it is on the C ABI, and counts its handles at the end.
    counts_handles: bool,
}

impl Host {
    fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            variables: Vec::new(),
            counts_handles: true,
        }
    }

    fn with_argument(mut self, argument: impl Into<PathBuf>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    fn with_variable(mut self, name: &'static str, value: impl AsRef<Path>) -> Self {
        self.variables
            .push((name, value.as_ref().display().to_string()));
        self
    }

    fn command(&self, way: &str, sandbox: &Sandbox, changed: &[(&'static str, &str)]) -> Command {
        let mut command = command(&self.program, &environment(sandbox));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.envs(changed.iter().copied());
        command.args(&self.arguments).arg(way);
        command
    }

    fn run(&self, way: &str, sandbox: &Sandbox, changed: &[(&'static str, &str)]) -> Ran {
        run(&mut self.command(way, sandbox, changed)).expect("the program runs")
    }

    /// Both logins against one sandbox.
    fn logs_in(&self, sandbox: &Sandbox) {
        for (way, operations) in [("totp", TOTP), ("password", PASSWORD)] {
            sandbox.clear_requests();
            let ran = self.run(way, sandbox, &[]);
            assert_eq!(ran.code, Some(0), "{ran}");
            self.check_lines(&ran, &operations, None);
            let paths: Vec<String> = sandbox.requests().into_iter().map(|r| r.path).collect();
            assert!(paths.len() >= 2, "{way} asked the broker {paths:?}\n{ran}");
            secrets::check(&ran, sandbox);
        }
    }

    /// Wrong credentials end the program with 1, and the broker's refusal is shown.
    fn is_refused(&self, sandbox: &Sandbox) {
        let right = sandbox.totp_now();
        let wrong: String = right
            .chars()
            .map(|c| if c == '9' { '0' } else { '9' })
            .collect();
        for (way, variable, value, done, refused) in [
            ("totp", "KNEO_TOTP", wrong.as_str(), &TOTP[..0], TOTP[0]),
            ("totp", "KNEO_MPIN", "000001", &TOTP[..1], TOTP[1]),
            (
                "password",
                "KNEO_PASSWORD",
                "Wrong-Passw0rd-1",
                &PASSWORD[..0],
                PASSWORD[0],
            ),
            (
                "password",
                "KNEO_OTP",
                "000001",
                &PASSWORD[..1],
                PASSWORD[1],
            ),
        ] {
            let ran = self.run(way, sandbox, &[(variable, value)]);
            assert_eq!(ran.code, Some(1), "wrong {variable}: {ran}");
            self.check_lines(&ran, done, Some(refused));
            assert!(
                !ran.stdout.contains(value) && !ran.stderr.contains(value),
                "{ran}"
            );
            secrets::check(&ran, sandbox);
        }
    }

    /// The orders of the day, and prices, exactly as the sandbox has them.
    fn shows_feeds(&self) {
        // What stands still comes once.
        let still = sandbox();
        let order = still.place_from_app("nse_cm", "IDEA-EQ", "B", 10, "9.90");
        let ran = self.run("2", &still, &[]);
        let (events, prices) = feeds_of(&ran, &still);
        let told = |what: &str, is: &dyn Fn(&serde_json::Value) -> bool| {
            assert!(events.iter().any(is), "{what} is not told: {ran}");
        };
        told("the login", &|e| {
            e["type"] == "state" && e["state"] == "live"
        });
        told("the order", &|e| {
            e["order"] == order && e["state"] == "complete" && e["filled"] == 10
        });
        told("the end of the books", &|e| {
            e["type"] == "books" && e["ok"] == true
        });
        let price = |symbol: &str| still.price("nse_cm", symbol).expect("it has a price");
        let paise = |text: &str| text.replace('.', "").parse::<i64>().expect("a price");
        let ltp = price("TCS-EQ");
        let ask = paise(&ltp) + 5;
        let bid_and_ask = format!(", bid {ltp}, ask {}.{:02}, volume ", ask / 100, ask % 100);
        for (begin, part) in [
            (format!("TCS-EQ {ltp} ("), bid_and_ask.as_str()),
            (format!("Nifty 50 {} (", price("Nifty 50")), " %), "),
        ] {
            let is = |line: &&String| line.starts_with(&begin) && line.contains(part);
            assert_eq!(prices.iter().filter(is).count(), 1, "{begin}: {ran}");
        }

        let moving = moving();
        let ran = self.run("12", &moving, &[]);
        let (_, prices) = feeds_of(&ran, &moving);
        assert_eq!(prices.len(), 12, "{ran}");
        let newest = prices.last().expect("prices");
        assert_ne!(prices.first(), Some(newest), "they move: {ran}");
    }

    /// One line for each operation: its name, its status, its JSON.
    fn check_lines(&self, ran: &Ran, done: &[&str], refused: Option<&str>) {
        let mut lines = ran.stdout.lines();
        for operation in done {
            let line = lines.next().unwrap_or_default();
            let json = line.strip_prefix(&format!("{operation}: 0 "));
            let json = json.unwrap_or_else(|| panic!("{operation} is not done: {ran}"));
            assert!(
                serde_json::from_str::<serde_json::Value>(json).is_ok(),
                "{ran}"
            );
        }
        if let Some(operation) = refused {
            let line = lines.next().unwrap_or_default();
            let json = line.strip_prefix(&format!("{operation}: 5 "));
            let json = json.unwrap_or_else(|| panic!("{operation} is not refused: {ran}"));
            let body: serde_json::Value = serde_json::from_str(json).expect("the body is JSON");
            assert_eq!(body["error"]["status"], "REJECTED", "{ran}");
            assert_eq!(body["error"]["operation"], operation, "{ran}");
        }
        if self.counts_handles {
            assert_eq!(lines.next(), Some("live handles: 0"), "{ran}");
        }
        assert_eq!(lines.next(), None, "{ran}");
    }
}

/// What the feed programs print: events of the order feed, and lines of prices.
/// States come in between, in their order.
fn feeds_of(ran: &Ran, sandbox: &Sandbox) -> (Vec<serde_json::Value>, Vec<String>) {
    ended_well(ran, sandbox);
    let (mut events, mut states, mut prices) = (Vec::new(), Vec::new(), Vec::new());
    for line in ran.stdout.lines() {
        if let Some(event) = line.strip_prefix("order feed: ") {
            events.push(serde_json::from_str(event).unwrap_or_else(|_| panic!("{line}: {ran}")));
        } else if let Some(state) = line.strip_prefix("feed: ") {
            states.push(state);
        } else if line.ends_with(" us old") {
            prices.push(line.to_owned());
        }
    }
    assert_eq!(states, ["connecting", "authenticating", "live"], "{ran}");
    (events, prices)
}

fn sandbox() -> Sandbox {
    Sandbox::start(Options::default()).expect("the sandbox starts")
}

/// A folder with the library laid out in `lib`.
fn workshop(name: &str) -> Folder {
    let workshop = Folder::new(name);
    library::lay_out(&workshop.path("lib")).expect("the library is built");
    workshop
}

#[derive(Clone, Copy)]
enum Link {
    Shared,
    Static,
    /// Not at all: the program loads the library itself.
    Loaded,
}

/// Compiles a C or C++ source of this repository with all warnings as errors.
fn compile(compiler: &Path, workshop: &Folder, source: &str, link: Link) -> PathBuf {
    let program = workshop.path("program");
    let standard = if source.ends_with(".c") {
        "-std=c11"
    } else {
        "-std=c++17"
    };
    let mut command = Command::new(compiler);
    command
        .args(STRICT)
        .args([standard, "-O1", "-g", "-I"])
        .arg(repository().join("include"));
    command
        .arg(repository().join(source))
        .arg("-o")
        .arg(&program);
    match link {
        Link::Shared => command.args(library::shared_flags(&workshop.path("lib"))),
        Link::Static => command
            .arg(library::built("libkotak_neo.a").expect("the library is built"))
            .args(SYSTEM_LIBRARIES),
        Link::Loaded => command.arg("-ldl"),
    };
    build(&mut command).expect("the program compiles and links");
    program
}

/// The same program under valgrind: no invalid access, nothing lost.
fn under_valgrind(test: &str, options: &[&str], program: PathBuf) -> Option<Host> {
    let mut host = Host::new(need(test, "valgrind")?)
        .with_argument("--quiet")
        .with_argument("--leak-check=full")
        .with_argument("--errors-for-leak-kinds=definite")
        .with_argument("--error-exitcode=99");
    for option in options {
        host = host.with_argument(option);
    }
    Some(host.with_argument(program))
}

#[test]
fn headers_compile_on_their_own() {
    let workshop = workshop("headers");
    for (name, compiler, language, standard) in [
        ("kotak_neo.h", "cc", "c", "-std=c11"),
        ("kotak_neo.h", "c++", "c++", "-std=c++17"),
        ("kotak_neo.hpp", "c++", "c++", "-std=c++17"),
    ] {
        let test = format!("{name} as {standard}");
        let Some(compiler) = need(&test, compiler) else {
            continue;
        };
        // As the only line of a source: a header must not lean on others. Twice: it is guarded.
        let source = workshop.path("source");
        std::fs::write(
            &source,
            format!("#include <{name}>\n#include <{name}>\nint main(void) {{ return 0; }}\n"),
        )
        .expect("the source can be written");
        let mut command = Command::new(compiler);
        command
            .args(STRICT)
            .args([standard, "-fsyntax-only", "-x", language, "-I"]);
        command.arg(repository().join("include")).arg(&source);
        build(&mut command).unwrap_or_else(|error| panic!("{test}: {error}"));
    }
}

#[test]
fn c_shared() {
    let Some(compiler) = need("C, shared", "cc") else {
        return;
    };
    let workshop = workshop("c-shared");
    let host = Host::new(compile(
        &compiler,
        &workshop,
        "examples/c/login.c",
        Link::Shared,
    ));
    host.logs_in(&sandbox());
    host.is_refused(&sandbox());
}

#[test]
fn c_static() {
    let Some(compiler) = need("C, static", "cc") else {
        return;
    };
    let workshop = workshop("c-static");
    let host = Host::new(compile(
        &compiler,
        &workshop,
        "examples/c/login.c",
        Link::Static,
    ));
    host.logs_in(&sandbox());
}

#[test]
fn c_over_tls() {
    let Some(compiler) = need("C, TLS", "cc") else {
        return;
    };
    let workshop = workshop("c-tls");
    let host = Host::new(compile(
        &compiler,
        &workshop,
        "examples/c/login.c",
        Link::Shared,
    ));
    for http2 in [false, true] {
        let options = Options {
            tls: TlsMode::Valid,
            http2,
            ..Options::default()
        };
        let sandbox = Sandbox::start(options).expect("the sandbox starts");
        assert!(
            sandbox.config_json().contains("ca_file"),
            "the sandbox names its CA"
        );
        host.logs_in(&sandbox);
    }
}

#[test]
fn c_under_valgrind() {
    let Some(compiler) = need("C, valgrind", "cc") else {
        return;
    };
    let workshop = workshop("c-valgrind");
    let program = compile(&compiler, &workshop, "examples/c/login.c", Link::Shared);
    let Some(host) = under_valgrind("C, valgrind", &[], program.clone()) else {
        return;
    };
    host.logs_in(&sandbox());
    // With TLS valgrind loses track of what the assembly of ring has written.
    let blind = ["--undef-value-errors=no"];
    let Some(host) = under_valgrind("C, valgrind, TLS", &blind, program) else {
        return;
    };
    let options = Options {
        tls: TlsMode::Valid,
        ..Options::default()
    };
    host.logs_in(&Sandbox::start(options).expect("the sandbox starts"));
}

/// The trading programs: what they print agrees with the sandbox's books.
#[test]
fn c_trades() {
    let Some(compiler) = need("C, trading", "cc") else {
        return;
    };
    let sandbox = sandbox();
    let trade = |name: &str| {
        let workshop = workshop(&format!("c-{name}"));
        let source = format!("examples/c/{name}.c");
        let program = compile(&compiler, &workshop, &source, Link::Shared);
        let ran = run(&mut command(program, &environment(&sandbox))).expect("it runs");
        assert_eq!(ran.code, Some(0), "{ran}");
        assert!(ran.stdout.ends_with("live handles: 0\n"), "{ran}");
        secrets::check(&ran, &sandbox);
        ran
    };
    let ran = trade("order");
    let orders = sandbox.orders();
    assert_eq!(orders.len(), 1, "{ran}");
    assert_eq!(orders[0].status, "cancelled", "{ran}");
    assert_eq!(orders[0].quantity, 3, "it was modified: {ran}");
    let last = format!("order {}: cancelled", orders[0].number);
    assert!(ran.stdout.contains(&last), "{ran}");

    assert!(trade("outcome").stdout.contains("taken at once: order "));
    sandbox.set_fault(Fault {
        path: "/quick/order/rule/ms/place".to_owned(),
        times: Some(1),
        kind: FaultKind::ResetAfter,
    });
    let ran = trade("outcome");
    assert_eq!(sandbox.orders_taken(), 3, "{ran}");
    let newest = sandbox.orders().into_iter().map(|order| order.number).max();
    let told = format!("it was taken after all: order {}", newest.expect("orders"));
    assert!(ran.stdout.contains(&told), "{ran}");

    let bought = sandbox.place_from_app("nse_cm", "IDEA-EQ", "B", 10, "9.90");
    assert!(!bought.is_empty());
    let ran = trade("portfolio");
    assert!(ran.stdout.contains("IDEA-EQ"), "{ran}");
    assert!(ran.stdout.contains("NIFTY, expiry "), "{ran}");
}

#[test]
fn c_reloads_the_library() {
    let Some(compiler) = need("C, reload", "cc") else {
        return;
    };
    let workshop = workshop("c-reload");
    let program = compile(&compiler, &workshop, "examples/c/reload.c", Link::Loaded);
    let sandbox = sandbox();
    let mut command = command(program, &environment(&sandbox));
    let ran = run(command.arg(workshop.path("lib").join("libkotak_neo.so"))).expect("it runs");
    assert_eq!(ran.code, Some(0), "{ran}");
    for expected in [
        "login: 0 ",
        "session_2fa: 0 ",
        "live handles: 0",
        "still in memory: yes",
    ] {
        let count = ran
            .stdout
            .lines()
            .filter(|line| line.starts_with(expected))
            .count();
        assert_eq!(count, 2, "{expected}: {ran}");
    }
    secrets::check(&ran, &sandbox);
}

#[test]
fn c_builds_its_configuration() {
    let Some(compiler) = need("C, configuration", "cc") else {
        return;
    };
    let workshop = workshop("c-config");
    let program = compile(&compiler, &workshop, "examples/c/login.c", Link::Shared);
    let mut variables = environment(&sandbox());
    variables.retain(|(name, _)| *name != "KNEO_CONFIG");
    // Characters that JSON has to escape. The TOTP is refused before anything is sent.
    variables.push(("KNEO_CONSUMER_KEY", "a \"key\" with \\ in it".to_owned()));
    variables.push(("KNEO_TOTP", "12".to_owned()));
    let ran = run(command(program, &variables).arg("totp")).expect("it runs");
    assert_eq!(ran.code, Some(1), "{ran}");
    let refused = ran
        .stdout
        .strip_prefix("totp_login: 1 ")
        .unwrap_or_default();
    assert!(refused.contains(r#""message":"totp: "#), "{ran}");
    assert!(refused.contains(r#""sent":false"#), "{ran}");
}

#[test]
fn cpp_shared() {
    let Some(compiler) = need("C++, shared", "c++") else {
        return;
    };
    let workshop = workshop("cpp-shared");
    let program = compile(&compiler, &workshop, "examples/cpp/login.cpp", Link::Shared);
    let host = Host::new(&program);
    host.logs_in(&sandbox());
    host.is_refused(&sandbox());
    if let Some(host) = under_valgrind("C++, valgrind", &[], program) {
        host.logs_in(&sandbox());
        host.is_refused(&sandbox());
    }
}

#[test]
fn cpp_static() {
    let Some(compiler) = need("C++, static", "c++") else {
        return;
    };
    let workshop = workshop("cpp-static");
    let host = Host::new(compile(
        &compiler,
        &workshop,
        "examples/cpp/login.cpp",
        Link::Static,
    ));
    host.logs_in(&sandbox());
}

#[test]
fn cpp_feeds() {
    let Some(compiler) = need("C++, feeds", "c++") else {
        return;
    };
    let workshop = workshop("cpp-feeds");
    let program = compile(&compiler, &workshop, "examples/cpp/ticks.cpp", Link::Shared);
    Host::new(program).shows_feeds();
}

#[test]
fn cpp_layer_keeps_its_promises() {
    let Some(compiler) = need("C++, layer", "c++") else {
        return;
    };
    let workshop = workshop("cpp-layer");
    let program = compile(&compiler, &workshop, "examples/cpp/api.cpp", Link::Shared);
    let ran = run(&mut command(&program, &[])).expect("it runs");
    assert_eq!(ran.code, Some(0), "{ran}");
    if let Some(host) = under_valgrind("C++, layer, valgrind", &[], program) {
        let ran = run(command(&host.program, &[]).args(&host.arguments)).expect("it runs");
        assert_eq!(ran.code, Some(0), "{ran}");
    }
}

#[test]
fn go() {
    let (Some(go), Some(_)) = (need("Go", "go"), need("Go", "cc")) else {
        return;
    };
    let workshop = workshop("go");
    let (binding, programs) = (
        repository().join("bindings/go"),
        repository().join("examples/go"),
    );
    let (login, ticks) = (workshop.path("login"), workshop.path("ticks"));
    let offline = [
        ("GOPROXY", "off"),
        ("GOFLAGS", "-mod=readonly"),
        ("GOTOOLCHAIN", "local"),
    ];
    let link = library::shared_flags(&workshop.path("lib")).join(" ");
    for (source, arguments) in [
        (&binding, &["vet", "./..."][..]),
        (&programs, &["vet", "./..."]),
        (
            &programs,
            &["build", "-o", &login.display().to_string(), "./cmd/login"],
        ),
        (
            &programs,
            &["build", "-o", &ticks.display().to_string(), "./cmd/ticks"],
        ),
    ] {
        let mut command = Command::new(&go);
        command
            .current_dir(source)
            .envs(offline)
            .env("CGO_ENABLED", "1")
            .env("CGO_LDFLAGS", &link);
        build(command.args(arguments)).expect("the program builds");
    }
    // The collector runs all the time, and every pointer that crosses is checked.
    let [login, ticks] = [login, ticks].map(|program| {
        Host::new(program)
            .with_variable("GOGC", "1")
            .with_variable("GODEBUG", "cgocheck=2")
    });
    login.logs_in(&sandbox());
    login.is_refused(&sandbox());
    ticks.shows_feeds();
}

#[test]
fn csharp() {
    let (Some(mcs), Some(mono)) = (need("C#", "mcs"), need("C#", "mono")) else {
        return;
    };
    let workshop = workshop("csharp");
    let source = repository().join("examples/csharp");
    let host = |name: &str| {
        let program = workshop.path(&format!("{name}.exe"));
        let mut command = Command::new(&mcs);
        command
            .args(["-warnaserror", "-langversion:7"])
            .arg(format!("-out:{}", program.display()))
            .arg(repository().join("bindings/csharp/KotakNeo.cs"))
            .arg(source.join(format!("{name}.cs")));
        build(&mut command).expect("it builds");
        Host::new(&mono)
            .with_argument(program)
            .with_variable("LD_LIBRARY_PATH", workshop.path("lib"))
    };
    let login = host("Login");
    login.logs_in(&sandbox());
    login.is_refused(&sandbox());
    host("Ticks").shows_feeds();
}

#[test]
fn python() {
    let Some(python) = need("Python", "python3") else {
        return;
    };
    let workshop = workshop("python");
    // Without the user's settings and site packages: nothing but Python itself
    // may be needed. Nothing is written beside the sources.
    let host = |name: &str| {
        Host::new(&python)
            .with_argument("-E")
            .with_argument("-s")
            .with_argument("-S")
            .with_argument("-B")
            .with_argument(repository().join("examples/python").join(name))
            .with_variable("KNEO_LIBRARY", workshop.path("lib").join("libkotak_neo.so"))
    };
    let login = host("login.py");
    login.logs_in(&sandbox());
    login.is_refused(&sandbox());
    host("ticks.py").shows_feeds();
}

#[test]
fn rust() {
    let tests = std::env::current_exe().expect("this program has a path");
    let profile = tests
        .ancestors()
        .nth(2)
        .expect("it lies in target/<profile>/deps");
    let target = profile
        .parent()
        .expect("the profile lies in the target folder");
    // `cargo test --test hosts` alone does not build the examples.
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(repository())
        .args(["build", "--quiet", "--offline", "--example", "login"]);
    cargo.arg("--target-dir").arg(target);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    build(&mut cargo).expect("the example builds");
    let mut host = Host::new(profile.join("examples/login"));
    host.counts_handles = false;
    host.logs_in(&sandbox());
    host.is_refused(&sandbox());
}

/// What a program has printed so far, while it runs.
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Screen {
    fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let copy = Arc::clone(&text);
        thread::spawn(move || {
            let mut some = [0; 1024];
            // A terminal ends with an error, a pipe with 0.
            while let Ok(size @ 1..) = pipe.read(&mut some) {
                copy.lock()
                    .expect("no reader panics")
                    .extend_from_slice(&some[..size]);
            }
        });
        Self(text)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("no writer panics")).into_owned()
    }

    fn wait_for(&self, text: &str) {
        self.wait_after(0, text);
    }

    /// Waits for a text behind a place, and gives the place behind it.
    fn wait_after(&self, from: usize, text: &str) -> usize {
        self.wait_until(text, |screen| {
            Some(from + screen.get(from..)?.find(text)? + text.len())
        })
    }

    fn wait_until<T>(&self, what: &str, look: impl Fn(&str) -> Option<T>) -> T {
        let end = Instant::now() + Duration::from_secs(120);
        loop {
            let text = self.text();
            if let Some(found) = look(&text) {
                return found;
            }
            assert!(Instant::now() < end, "no {what:?} on the screen: {text}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn c_asks_without_echo() {
    let name = "C, asking at a terminal";
    let (Some(compiler), Some(script)) = (need(name, "cc"), need(name, "script")) else {
        return;
    };
    let workshop = workshop("c-asks");
    let program = compile(&compiler, &workshop, "examples/c/login.c", Link::Shared);
    let sandbox = sandbox();
    let who = sandbox.credentials();
    // `script` gives the program a terminal, which echoes what is typed.
    let config = vec![("KNEO_CONFIG", sandbox.config_json())];
    let mut child = command(script, &config)
        .args(["--quiet", "--return", "--command"])
        .arg(format!("{} password", program.display()))
        .arg("/dev/null")
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script starts");
    let screen = Screen::of(child.stdout.take().expect("stdout is a pipe"));
    let mut keyboard = child.stdin.take().expect("stdin is a pipe");
    let mut answer = |prompt: &str, text: &str| {
        screen.wait_for(prompt);
        writeln!(keyboard, "{text}").expect("the program reads");
    };
    answer("Mobile number: ", &who.mobile_number);
    answer("Password: ", &who.password);
    screen.wait_for("login: 0 ");
    let otp = sandbox.last_otp().expect("the login sends an OTP");
    answer("OTP or MPIN: ", &otp);
    screen.wait_for("live handles: 0");
    drop(keyboard);
    let status = child.wait().expect("script ends");
    let text = screen.text();
    assert!(status.success(), "{text}");
    assert!(text.contains("session_2fa: 0 "), "{text}");
    assert!(
        text.contains(&who.mobile_number),
        "the terminal echoes what is no secret: {text}"
    );
    assert!(
        !text.contains(&who.password) && !text.contains(&otp),
        "a secret is echoed: {text}"
    );
}

// ---- feeds -------------------------------------------------------------------

/// A program that runs until it is stopped. It does not outlive its test.
struct Running {
    child: Child,
    keyboard: ChildStdin,
    screen: Screen,
    errors: Screen,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        Self {
            keyboard: child.stdin.take().expect("stdin is a pipe"),
            screen: Screen::of(child.stdout.take().expect("stdout is a pipe")),
            errors: Screen::of(child.stderr.take().expect("stderr is a pipe")),
            child,
        }
    }

    /// What Ctrl-C does to a program that has no terminal.
    fn interrupt(&self) {
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(format!("kill -INT {}", self.child.id()));
        build(&mut command).expect("the signal is sent");
    }

    /// Waits for its end, and gives all that it printed.
    fn end(mut self) -> Ran {
        self.screen.wait_for("live handles: ");
        let code = self.child.wait().expect("it ends").code();
        // The last line is there; its end may still be on the way.
        self.screen.wait_until("the end of the last line", |text| {
            text.ends_with('\n').then_some(())
        });
        Ran {
            command: "a program that was interrupted".to_owned(),
            code,
            stdout: self.screen.text(),
            stderr: self.errors.text(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended if the test was good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A sandbox whose prices move.
fn moving() -> Sandbox {
    Sandbox::start(Options {
        tick_every: Some(Duration::from_millis(20)),
        ..Options::default()
    })
    .expect("the sandbox starts")
}

fn ended_well(ran: &Ran, sandbox: &Sandbox) {
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(ran.stdout.ends_with("live handles: 0\n"), "{ran}");
    secrets::check(ran, sandbox);
}

/// The rows of the table of `ticks` that a symbol has, from a place on.
fn rows_of<'a>(screen: &'a str, from: usize, symbol: &str) -> Vec<&'a str> {
    let rest = screen.get(from..).unwrap_or("");
    // The last line may be half.
    let whole = rest.rfind('\n').map_or("", |end| &rest[..end]);
    whole
        .lines()
        .filter(|line| line.starts_with(symbol))
        .collect()
}

#[test]
fn c_shows_live_prices_and_every_state() {
    let Some(compiler) = need("C, prices", "cc") else {
        return;
    };
    let workshop = workshop("c-ticks");
    let program = compile(&compiler, &workshop, "examples/c/ticks.c", Link::Shared);
    let sandbox = moving();
    let options = r#"{"stale_after_ms":300,"probe_cap_ms":3600000,"login_timeout_ms":500,
        "reconnect_first_ms":50,"reconnect_cap_ms":200}"#;
    let mut command = command(program, &environment(&sandbox));
    let running = Running::start(command.env("KNEO_FEED_OPTIONS", options).arg("0"));
    let screen = &running.screen;

    let live = screen.wait_after(0, "\nfeed: live (");
    let price = screen.wait_until("a price of TCS-EQ", |text| {
        Some(rows_of(text, live, "TCS-EQ ").first()?.to_string())
    });
    // Symbol, last price, change, bid, ask, volume, age and its unit.
    let cells: Vec<&str> = price.split_whitespace().collect();
    let [_, ltp, change, bid, ask, volume, _, "ms" | "s"] = cells[..] else {
        panic!("{price}");
    };
    let number = |text: &str| text.parse::<f64>().expect("a number");
    assert_eq!(number(ltp), number(bid), "{price}");
    assert!(number(bid) < number(ask), "{price}");
    assert!(change.ends_with('%') && number(volume) > 0.0, "{price}");
    screen.wait_until("a price of the index", |text| {
        let rows = rows_of(text, live, "Nifty 50 ");
        rows.iter()
            .any(|row| row.contains("% ") && row.contains(" - "))
            .then_some(())
    });

    // Silence: the prices stay, and their age grows.
    sandbox.set_feed(Feed {
        silence: Silence::Mute,
        ..sandbox.feed()
    });
    let stale = screen.wait_after(live, "-- stale: nothing came");
    screen.wait_until("an old price", |text| {
        let rows = rows_of(text, stale, "TCS-EQ ");
        rows.iter().any(|row| row.ends_with(" s")).then_some(())
    });
    sandbox.set_feed(Feed {
        silence: Silence::None,
        ..sandbox.feed()
    });
    let again = screen.wait_after(stale, "\nfeed: live (");

    // No connection, as long as the fault is there.
    sandbox.set_fault(Fault {
        path: "/apifeed".to_owned(),
        times: None,
        kind: FaultKind::ResetBefore,
    });
    sandbox.strike(
        Socket::Feed,
        Strike::Close {
            code: 4001,
            reason: "login elsewhere".to_owned(),
        },
    );
    let down = screen.wait_after(again, "-- down, close code 4001");
    let down = screen.wait_after(down, "\nfeed: down (");
    sandbox.clear_faults();
    let back = screen.wait_after(down, "\nfeed: live (");

    sandbox.expire_sessions();
    screen.wait_after(back, "\nfeed: refused (");
    running.interrupt();
    ended_well(&running.end(), &sandbox);
}

#[test]
fn c_redraws_prices_on_a_terminal() {
    let name = "C, prices at a terminal";
    let (Some(compiler), Some(script)) = (need(name, "cc"), need(name, "script")) else {
        return;
    };
    let workshop = workshop("c-ticks-terminal");
    let program = compile(&compiler, &workshop, "examples/c/ticks.c", Link::Static);
    let sandbox = moving();
    let mut command = command(script, &environment(&sandbox));
    command
        .args(["--quiet", "--return", "--command"])
        .arg(format!("exec {} 0 nse_cm\\|11536", program.display()))
        .arg("/dev/null")
        .env("SHELL", "/bin/sh");
    let mut running = Running::start(&mut command);
    // Three lines: the header, one row, the state.
    let redrawn = "\r\u{1b}[3A\u{1b}[J";
    running.screen.wait_for("TCS-EQ ");
    let at = running.screen.wait_after(0, redrawn);
    running.screen.wait_after(at, redrawn);
    // Ctrl-C, as the terminal has it.
    running.keyboard.write_all(b"\x03").expect("script reads");
    let ran = running.end();
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(ran.stdout.ends_with("live handles: 0\r\n"), "{ran}");
    secrets::check(&ran, &sandbox);
}

#[test]
fn c_follows_an_order_to_its_end() {
    let Some(compiler) = need("C, order feed", "cc") else {
        return;
    };
    let workshop = workshop("c-watch");
    let program = compile(&compiler, &workshop, "examples/c/watch.c", Link::Shared);
    let sandbox = sandbox();
    let bought = sandbox.place_from_app("nse_cm", "IDEA-EQ", "B", 10, "9.90");
    for (wish, state, filled) in [("fill", "complete", 1), ("cancel", "cancelled", 0)] {
        let mut command = command(&program, &environment(&sandbox));
        let ran = run(command.args(["120", wish])).expect("it runs");
        ended_well(&ran, &sandbox);
        let order = sandbox.orders().pop().expect("an order was placed");
        assert_eq!(
            (order.status.as_str(), order.filled),
            (state, filled),
            "{ran}"
        );
        for expected in [
            format!("  order     {bought}  complete, 10 filled"),
            "  books     read: orders ".to_owned(),
            format!("  order     {}  put_order_req_received\n", order.number),
            format!("  order     {}  open_pending -> open\n", order.number),
            format!(
                "the feed:       order {} is {state}, {filled} filled\n",
                order.number
            ),
            format!(
                "the order book: order {} is {state}, {filled} filled\n",
                order.number
            ),
        ] {
            assert!(ran.stdout.contains(&expected), "{expected}: {ran}");
        }
        assert_eq!(
            ran.stdout.contains("  position  IDEA-EQ CNC: 1 bought"),
            filled == 1,
            "{ran}"
        );
    }

    // Only watching: a fill that comes from elsewhere, until Ctrl-C.
    let mut command = command(&program, &environment(&sandbox));
    let running = Running::start(command.arg("0"));
    let books = running.screen.wait_after(0, "  books     read: orders 3");
    let sold = sandbox.place_from_app("nse_cm", "IDEA-EQ", "S", 4, "9.00");
    let complete = format!("{sold}  open -> complete, 4 filled (4 of it new)\n");
    running.screen.wait_after(books, &complete);
    running.interrupt();
    ended_well(&running.end(), &sandbox);
}

#[test]
fn c_feeds_under_valgrind() {
    let name = "C, feeds, valgrind";
    let Some(compiler) = need(name, "cc") else {
        return;
    };
    let (prices, orders) = (workshop("c-ticks-valgrind"), workshop("c-watch-valgrind"));
    let ticks = compile(&compiler, &prices, "examples/c/ticks.c", Link::Shared);
    let watch = compile(&compiler, &orders, "examples/c/watch.c", Link::Shared);
    let (Some(ticks), Some(watch)) = (
        under_valgrind(name, &[], ticks),
        under_valgrind(name, &[], watch),
    ) else {
        return;
    };
    let sandbox = moving();
    let running = Running::start(&mut ticks.command("0", &sandbox, &[]));
    running.screen.wait_for("\nTCS-EQ ");
    running.interrupt();
    ended_well(&running.end(), &sandbox);

    let mut command = watch.command("300", &sandbox, &[]);
    let ran = run(command.arg("fill")).expect("it runs");
    ended_well(&ran, &sandbox);
}

/// The fields of `kneo_tick`, in their order.
fn fields_of_the_header() -> Vec<String> {
    let header = read("include/kotak_neo.h");
    let (before, _) = header.split_once("} kneo_tick;").expect("the struct");
    let (_, body) = before
        .rsplit_once("typedef struct {")
        .expect("its beginning");
    let mut fields = Vec::new();
    let mut comment = false;
    for line in body.lines().map(str::trim) {
        comment |= line.starts_with("/*");
        if !comment && !line.is_empty() {
            let name = line.split([' ', '[', ';']).nth(1).expect("a field");
            fields.push(name.to_owned());
        }
        comment &= !line.ends_with("*/");
    }
    fields
}

fn read(name: &str) -> String {
    std::fs::read_to_string(repository().join(name)).expect("the file can be read")
}

/// What an answer says besides its JSON (notes, hints, the tag of an order) stands in its
/// meta alone.
#[test]
fn wrappers_hand_on_the_meta() {
    for wrapper in [
        "bindings/go/kneo.go",
        "bindings/python/kotak_neo.py",
        "bindings/csharp/KotakNeo.cs",
        "include/kotak_neo.hpp",
    ] {
        assert!(read(wrapper).contains("kneo_response_meta(r"), "{wrapper}");
    }
}

/// The wrappers check the size of their struct; this, the order of its fields.
#[test]
fn structs_of_the_wrappers_follow_the_header() {
    let fields = fields_of_the_header();
    assert!(fields.len() > 60, "the fields are found: {fields:?}");
    let python = read("bindings/python/kotak_neo.py");
    let (_, python) = python.split_once("    _fields_ = (").expect("the struct");
    let csharp = read("bindings/csharp/KotakNeo.cs");
    let (_, csharp) = csharp.split_once("struct Tick").expect("the struct");
    for (wrapper, end) in [(python, "    )\n"), (csharp, "#pragma warning restore")] {
        let (body, _) = wrapper.split_once(end).expect("its end");
        // The words that are fields, whatever their case and underscores.
        let plain = |word: &str| word.replace('_', "").to_lowercase();
        let wanted: Vec<String> = fields.iter().map(|field| plain(field)).collect();
        let mut words: Vec<String> = body
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .map(plain)
            .filter(|word| wanted.contains(word))
            .collect();
        // In "FeedState FeedState" the first is the type.
        words.dedup();
        assert_eq!(words, wanted);
    }
}
