//! Runs the sandbox until it is stopped, and prints what is needed to use it.

use std::io::{self, Write as _};
use std::net::Ipv6Addr;
use std::process::ExitCode;
use std::time::Duration;

use kotak_neo_sandbox::{Options, Proxy, ProxyManner, Sandbox, TlsMode};

const USAGE: &str = "\
usage: kotak-neo-sandbox [--port N] [--tls[=valid|expired|wrong-host]] [--http2] [--gzip]
                         [--require-cookie] [--orders-per-second N] [--tick-ms N]
                         [--ipv6] [--proxy[=tunnel|hang|close|garbage|STATUS]] [--token-minutes N]
";

fn main() -> ExitCode {
    match read_arguments(std::env::args().skip(1)) {
        Ok(Some((options, proxy))) => match run(options, proxy) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("kotak-neo-sandbox: {error}");
                ExitCode::FAILURE
            }
        },
        Ok(None) => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprint!("kotak-neo-sandbox: {message}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// The options and what a proxy does, or `None` if help was asked for.
fn read_arguments(
    mut arguments: impl Iterator<Item = String>,
) -> Result<Option<(Options, Option<ProxyManner>)>, String> {
    let mut proxy = None;
    let mut options = Options {
        print_otp: true,
        tick_every: Some(Duration::from_secs(1)),
        ..Options::default()
    };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--port" => {
                let port = arguments.next().ok_or("--port needs a number")?;
                options.port = port.parse().map_err(|_| format!("{port} is no port"))?;
            }
            "--orders-per-second" => options.orders_per_second = number(&argument, &mut arguments)?,
            "--tick-ms" => {
                let pause: u32 = number(&argument, &mut arguments)?;
                options.tick_every = (pause > 0).then(|| Duration::from_millis(pause.into()));
            }
            "--token-minutes" => {
                let minutes: u32 = number(&argument, &mut arguments)?;
                options.token_lifetime = Duration::from_secs(60 * u64::from(minutes));
            }
            "--tls" | "--tls=valid" => options.tls = TlsMode::Valid,
            "--tls=expired" => options.tls = TlsMode::Expired,
            "--tls=wrong-host" => options.tls = TlsMode::WrongHost,
            "--http2" => options.http2 = true,
            "--gzip" => options.gzip = true,
            "--require-cookie" => options.require_cookie = true,
            "--ipv6" => options.also_at = vec![Ipv6Addr::LOCALHOST.into()],
            "--proxy" => proxy = Some(ProxyManner::Tunnel),
            "-h" | "--help" => return Ok(None),
            other => match other.strip_prefix("--proxy=") {
                Some(manner) => proxy = Some(manner.parse()?),
                None => return Err(format!("unknown argument {other}")),
            },
        }
    }
    if proxy.is_some() && options.tls == TlsMode::Off {
        return Err("--proxy needs --tls: plain http is for loopback, which has no proxy".into());
    }
    if proxy.is_some() {
        options.host = "sandbox.kotaksecurities.com".to_owned();
    }
    Ok(Some((options, proxy)))
}

/// The number after an argument.
fn number(name: &str, arguments: &mut impl Iterator<Item = String>) -> Result<u32, String> {
    let text = arguments
        .next()
        .ok_or_else(|| format!("{name} needs a number"))?;
    text.parse().map_err(|_| format!("{text} is no number"))
}

fn run(options: Options, proxy: Option<ProxyManner>) -> io::Result<()> {
    // Waiting for the signals begins before anything that must be cleaned up exists.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let stopped = Stopped::new()?;
        println!("This is a SANDBOX. It plays the Kotak Neo broker on this machine only:");
        println!("no login, order or rupee in it is real, and nothing leaves this machine.");
        let sandbox = Sandbox::start(options)?;
        let proxy = match proxy {
            Some(manner) => Some(Proxy::start(&sandbox, manner)?),
            None => None,
        };
        introduce(&sandbox, proxy.as_ref())?;
        stopped.wait().await
    })
}

fn introduce(sandbox: &Sandbox, proxy: Option<&Proxy>) -> io::Result<()> {
    let who = sandbox.credentials();
    let config = match proxy {
        Some(proxy) => proxy.config_json(sandbox),
        None => sandbox.config_json(),
    };
    let mut out = io::stdout().lock();
    writeln!(out, "\naddress: {}", sandbox.url())?;
    if let Some(ca_file) = sandbox.ca_file() {
        writeln!(out, "CA file: {}", ca_file.display())?;
    }
    if let Some(proxy) = proxy {
        writeln!(out, "proxy:   {}", proxy.url())?;
    }
    writeln!(out, "user id: {}", who.user_id)?;
    writeln!(out, "PAN:     {}", who.pan)?;
    writeln!(
        out,
        "\nPaste this into a shell, then run a login program there:\n"
    )?;
    for (name, value) in [
        ("KNEO_CONFIG", config.as_str()),
        ("KNEO_MOBILE_NUMBER", &who.mobile_number),
        ("KNEO_UCC", &who.ucc),
        ("KNEO_TOTP_SECRET", &who.totp_secret),
        ("KNEO_MPIN", &who.mpin),
        ("KNEO_PASSWORD", &who.password),
        // The MPIN is a valid second factor of a password login by mobile number.
        ("KNEO_OTP", &who.mpin),
    ] {
        writeln!(out, "export {name}='{}'", value.replace('\'', r"'\''"))?;
    }
    writeln!(out, "\nCtrl-C stops it.")?;
    out.flush()
}

/// Waits for the wish to stop, so that the CA files are removed before the end.
struct Stopped {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Stopped {
    #[cfg(unix)]
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    #[cfg(unix)]
    async fn wait(mut self) -> io::Result<()> {
        tokio::select! {
            _ = self.terminate.recv() => Ok(()),
            _ = self.interrupt.recv() => Ok(()),
        }
    }

    #[cfg(not(unix))]
    fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn wait(self) -> io::Result<()> {
        tokio::signal::ctrl_c().await
    }
}
