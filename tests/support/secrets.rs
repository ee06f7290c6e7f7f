//! Looks for secrets in what a program has printed.

use kotak_neo_sandbox::Sandbox;

use crate::hosts::Ran;

/// Fails if a credential of the sandbox, or a token that it gave or got, is in
/// the output.
pub fn check(ran: &Ran, sandbox: &Sandbox) {
    let who = sandbox.credentials();
    let mut secrets = vec![
        who.consumer_key.clone(),
        who.consumer_secret.clone(),
        who.mobile_number.clone(),
        who.pan.clone(),
        who.password.clone(),
        who.mpin.clone(),
        who.totp_secret.clone(),
        sandbox.totp_now(),
    ];
    secrets.extend(sandbox.last_otp());
    for request in sandbox.requests() {
        for (name, value) in request.headers {
            if ["authorization", "auth", "sid"].contains(&name.to_ascii_lowercase().as_str()) {
                let token = value.split(' ').next_back().unwrap_or(&value);
                secrets.push(token.to_owned());
            }
        }
    }
    for output in [&ran.stdout, &ran.stderr] {
        for secret in &secrets {
            assert!(!secret.is_empty(), "an empty secret is in every text");
            assert!(!shows(output, secret), "{secret} is printed: {ran}");
        }
        // A session's last token may never come back to the sandbox. It is a JWT.
        assert!(!output.contains("eyJ"), "a token is printed: {ran}");
        for key in ["token", "sid", "rid", "access_token", "totp"] {
            for value in output.split(&format!("\"{key}\":")).skip(1) {
                assert!(value.starts_with("\"***\""), "{key} is printed: {ran}");
            }
        }
    }
}

/// Whether the text shows the secret. The digits of a code that stand inside a
/// longer number, such as a time, are chance and show nothing.
fn shows(text: &str, secret: &str) -> bool {
    let code = secret.bytes().all(|byte| byte.is_ascii_digit());
    text.match_indices(secret).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + secret.len()..].chars().next();
        let inside = [before, after]
            .iter()
            .flatten()
            .any(|beside| beside.is_ascii_digit());
        !(code && inside)
    })
}

#[test]
fn a_code_inside_a_longer_number_is_not_a_secret() {
    assert!(!shows("{\"expires_at\":1795555636}", "5556"));
    assert!(shows("{\"otp\":5556}", "5556"));
    assert!(shows("otp=5556 at 1795555636", "5556"));
    assert!(shows("x5556", "5556"));
    assert!(shows("1abc2", "abc"));
}
