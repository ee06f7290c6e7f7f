//! What several tests need: a sandbox and a client that talks to it.

use kotak_neo::{Client, Error, Reply, Status};
use kotak_neo_sandbox::{Fault, FaultKind, Options, Sandbox};
pub use kotak_neo_testing::dice::Dice;
pub use kotak_neo_testing::fixtures::sample;
use kotak_neo_testing::orders::with;
use kotak_neo_testing::pace::unpaced;
use serde_json::Value;

/// A sandbox with the default options.
pub fn sandbox() -> Sandbox {
    start(Options::default())
}

pub fn start(options: Options) -> Sandbox {
    Sandbox::start(options).expect("the sandbox starts on loopback")
}

/// The sandbox's configuration with more keys. Reads wait for no turn: that is what `turns`
/// is about.
pub fn config(sandbox: &Sandbox, more: &Value) -> String {
    let config = with(json(&sandbox.config_json()), unpaced());
    with(config, more.clone()).to_string()
}

/// A client of the sandbox with more keys in its configuration.
pub fn client_with(sandbox: &Sandbox, more: &Value) -> Client {
    Client::open(Some(&config(sandbox, more))).expect("the configuration is valid")
}

pub fn client(sandbox: &Sandbox) -> Client {
    client_with(sandbox, &serde_json::json!({}))
}

pub fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// First step of the TOTP login, with the right credentials.
pub fn totp_login(sandbox: &Sandbox, client: &Client) -> Result<Reply, Error> {
    let user = sandbox.credentials();
    client.totp_login(&user.mobile_number, &user.ucc, &sandbox.totp_now())
}

/// Both steps of the TOTP login.
pub fn log_in(sandbox: &Sandbox, client: &Client) -> Result<Reply, Error> {
    totp_login(sandbox, client)?;
    client.totp_validate(&sandbox.credentials().mpin)
}

/// First step of the password login by mobile number.
pub fn password_login(sandbox: &Sandbox, client: &Client) -> Result<Reply, Error> {
    let user = sandbox.credentials();
    client.login(Some(&user.mobile_number), None, None, &user.password)
}

pub fn info(client: &Client) -> Value {
    json(
        client
            .session_info()
            .expect("an open client tells its state")
            .json(),
    )
}

pub fn state(client: &Client) -> String {
    info(client)["state"]
        .as_str()
        .expect("a state is a string")
        .to_owned()
}

/// The paths that were asked for, in order.
pub fn paths(sandbox: &Sandbox) -> Vec<String> {
    sandbox
        .requests()
        .iter()
        .map(|request| request.path.clone())
        .collect()
}

pub fn fault(sandbox: &Sandbox, path: &str, kind: FaultKind) {
    sandbox.set_fault(Fault {
        path: path.to_owned(),
        times: None,
        kind,
    });
}

pub fn answer(status: u16, content_type: &str, body: &str) -> FaultKind {
    FaultKind::Answer {
        status,
        headers: vec![("content-type".to_owned(), content_type.to_owned())],
        body: body.as_bytes().to_vec(),
    }
}

pub fn status(result: &Result<Reply, Error>) -> Status {
    match result {
        Ok(_) => Status::Ok,
        Err(error) => error.status(),
    }
}

/// What the error body says under `key`.
pub fn told(error: &Error, key: &str) -> Value {
    json(&error.to_json())["error"][key].clone()
}
