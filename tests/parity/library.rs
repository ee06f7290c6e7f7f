//! This library, driven through its C ABI.

use std::ffi::{CStr, CString, c_char};
use std::ptr;

use kotak_neo::ffi::client::{kneo_client, kneo_client_free, kneo_client_open};
use kotak_neo::ffi::login::{
    kneo_login, kneo_logout, kneo_qr_code_link, kneo_qr_code_session, kneo_session_2fa,
    kneo_session_export, kneo_session_import, kneo_session_info, kneo_session_init,
    kneo_totp_login, kneo_totp_validate, kneo_whatsmyip,
};
use kotak_neo::ffi::reads::kneo_call;
use kotak_neo::ffi::response::{
    kneo_response, kneo_response_free, kneo_response_json, kneo_response_status,
};
use kotak_neo_testing::orders::with;
use kotak_neo_testing::pace::unpaced;
use serde_json::Value;

/// An open client.
pub struct Library(pub *mut kneo_client);

/// What one call gave.
pub struct Outcome {
    pub status: i32,
    pub json: Value,
}

impl Library {
    pub fn open(config: &Value) -> Self {
        let config = with(config.clone(), unpaced());
        let text = CString::new(config.to_string()).expect("JSON has no NUL");
        let mut client = ptr::null_mut();
        // SAFETY: the text lives through the call, and `client` can be written to.
        let opened = take(unsafe { kneo_client_open(text.as_ptr(), &raw mut client) });
        assert_eq!(opened.status, 0, "{}", opened.json);
        Self(client)
    }

    /// Makes the call with this name. An argument that `with` lacks is NULL.
    pub fn call(&self, name: &str, with: &Value) -> Outcome {
        let text = |key: &str| Text::of(with, key);
        let client = self.0;
        // SAFETY: the handle is open until this is dropped, and every text
        // lives until the end of its statement, which is after the call.
        let response = unsafe {
            match name {
                "totp_login" => kneo_totp_login(
                    client,
                    text("mobile_number").pointer(),
                    text("ucc").pointer(),
                    text("totp").pointer(),
                ),
                "totp_validate" => kneo_totp_validate(client, text("mpin").pointer()),
                "login" => kneo_login(
                    client,
                    text("mobile_number").pointer(),
                    text("user_id").pointer(),
                    text("pan").pointer(),
                    text("password").pointer(),
                ),
                "session_2fa" => kneo_session_2fa(client, text("otp").pointer()),
                "session_init" => kneo_session_init(client),
                "qr_code_link" => kneo_qr_code_link(client, text("ucc").pointer()),
                "qr_code_session" => {
                    kneo_qr_code_session(client, text("ott").pointer(), text("ucc").pointer())
                }
                "session_info" => kneo_session_info(client),
                "session_export" => kneo_session_export(client),
                "session_import" => kneo_session_import(client, text("session").pointer()),
                "whatsmyip" => kneo_whatsmyip(client),
                "logout" => kneo_logout(client),
                reading => {
                    let name = CString::new(reading).expect("a name has no NUL");
                    let params = CString::new(with.to_string()).expect("JSON has no NUL");
                    kneo_call(client, name.as_ptr(), params.as_ptr())
                }
            }
        };
        take(response)
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        kneo_client_free(self.0);
    }
}

/// Reads a response and frees it.
pub fn take(response: *mut kneo_response) -> Outcome {
    let json = kneo_response_json(response);
    // SAFETY: it is a text with a NUL at its end until the response is freed.
    let text = unsafe { CStr::from_ptr(json) }
        .to_str()
        .expect("JSON is UTF-8");
    let outcome = Outcome {
        status: kneo_response_status(response),
        json: serde_json::from_str(text).expect("a response is JSON"),
    };
    kneo_response_free(response);
    outcome
}

/// A C argument that may be missing.
pub struct Text(pub Option<CString>);

impl Text {
    fn of(with: &Value, key: &str) -> Self {
        let text = with.get(key).and_then(Value::as_str);
        Self(text.map(|text| CString::new(text).expect("a test argument has no NUL")))
    }

    pub fn pointer(&self) -> *const c_char {
        self.0.as_ref().map_or(ptr::null(), |text| text.as_ptr())
    }
}
