//! The OAuth2 token of generations 1 and 2: `oauth2/token`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use serde_json::json;

use super::{json_body, ok, text};
use crate::route::{Answer, Call, Route};

pub(super) static ROUTES: &[Route] = &[Route {
    method: Method::POST,
    path: "oauth2/token",
    login_host: true,
    handler: token,
}];

fn token(call: &Call<'_>) -> Result<Answer, Answer> {
    if !has_right_key(call) {
        let body = json!({"error_description": "invalid_client", "error": "invalid_client"});
        return Err(Answer::json(StatusCode::UNAUTHORIZED, &body));
    }
    // The body is JSON, not a form as in the OAuth2 standard.
    let body = json_body(call)?;
    if text(&body, "grant_type")? != Some("client_credentials") {
        let body = json!({
            "error_description": "unsupported_grant_type",
            "error": "unsupported_grant_type",
        });
        return Err(Answer::json(StatusCode::BAD_REQUEST, &body));
    }
    let lifetime = call.state.options.bearer_lifetime;
    Ok(ok(&json!({
        "access_token": call.state.tokens.issue_bearer(lifetime),
        "scope": "default",
        "token_type": "Bearer",
        "expires_in": lifetime.as_secs(),
    })))
}

fn has_right_key(call: &Call<'_>) -> bool {
    let who = &call.state.options.credentials;
    call.header("authorization")
        .and_then(|value| value.strip_prefix("Basic "))
        .and_then(|encoded| STANDARD.decode(encoded).ok())
        .is_some_and(|pair| {
            pair == format!("{}:{}", who.consumer_key, who.consumer_secret).as_bytes()
        })
}
