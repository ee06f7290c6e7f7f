//! Log in to Kotak Neo from Rust, over the plain-Rust core: no FFI.
//!
//! ```text
//! login totp        mobile number, UCC and TOTP, then the MPIN  (the default)
//! login password    mobile number and password, then OTP or MPIN
//! ```
//!
//! All input comes from the environment: `KNEO_CONFIG`, `KNEO_MOBILE_NUMBER`,
//! `KNEO_UCC`, `KNEO_TOTP` or `KNEO_TOTP_SECRET`, `KNEO_MPIN`, `KNEO_PASSWORD`,
//! `KNEO_OTP`.
//!
//! For each call one line is printed: its name, its status, and its JSON with
//! tokens and personal data masked.

use std::env;
use std::process::ExitCode;

use kotak_neo::{Client, Error, Reply, Status, totp_generate};

fn main() -> ExitCode {
    let way = env::args().nth(1).unwrap_or_else(|| "totp".to_owned());
    match log_in(&way) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn log_in(way: &str) -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::open(Some(&variable("KNEO_CONFIG")?))?;
    let mobile_number = variable("KNEO_MOBILE_NUMBER")?;
    match way {
        "totp" => {
            let ucc = variable("KNEO_UCC")?;
            show(
                "totp_login",
                client.totp_login(&mobile_number, &ucc, &totp_of_now()?),
            )?;
            show(
                "totp_validate",
                client.totp_validate(&variable("KNEO_MPIN")?),
            )?;
        }
        "password" => {
            // One of mobile number, user id and PAN is given.
            let password = variable("KNEO_PASSWORD")?;
            show(
                "login",
                client.login(Some(&mobile_number), None, None, &password),
            )?;
            show("session_2fa", client.session_2fa(&variable("KNEO_OTP")?))?;
        }
        _ => return Err("usage: login [totp|password]".into()),
    }
    show("session_info", client.session_info())?;
    show("logout", client.logout())?;
    Ok(())
}

/// Prints the line of one call, done or failed.
fn show(operation: &str, outcome: Result<Reply, Error>) -> Result<(), Error> {
    match outcome {
        Ok(reply) => {
            println!("{operation}: {} {}", Status::Ok.code(), reply.redacted());
            Ok(())
        }
        Err(error) => {
            println!("{operation}: {} {}", error.status().code(), error.to_json());
            Err(error)
        }
    }
}

/// The six digits: given, or made from the secret.
fn totp_of_now() -> Result<String, Box<dyn std::error::Error>> {
    if let Ok(given) = env::var("KNEO_TOTP") {
        return Ok(given);
    }
    let made = totp_generate(&variable("KNEO_TOTP_SECRET")?)?;
    let json: serde_json::Value = serde_json::from_str(made.json())?;
    Ok(json["totp"]
        .as_str()
        .ok_or("no totp in the answer")?
        .to_owned())
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|_| format!("set {name}"))
}
