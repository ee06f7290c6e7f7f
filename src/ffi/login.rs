//! Logins and sessions.
//!
//! Every function here returns a response that is never NULL and must be
//! freed with kneo_response_free, and blocks until the answer is there or the
//! deadline of its class ("login", for kneo_whatsmyip "read") has passed.

use std::ffi::c_char;

use super::client::kneo_client;
use super::respond::{respond, respond_with};
use super::response::kneo_response;
use super::text::{optional, required};

/// First step of the TOTP login: makes a view session, which may do nothing
/// but take the second step. Needs "consumer_key" in the configuration; with
/// "generation":2 also "consumer_secret", or "access_token" instead of both.
///
/// client: a live client.
/// mobile_number: "+" and country code and number, or the ten digits of an
///   Indian number, which get "+91". "00" stands for "+"; of an Indian number
///   "0" or "91" may stand before the ten digits. Blanks, dashes, brackets and
///   points between the digits say nothing.
/// ucc: unique client code, 1 to 16 letters and digits.
/// totp: 6 digits, valid for 30 seconds; see kneo_totp_generate. Blanks and
///   dashes in it, and blanks and line ends around any of the three, say nothing.
///
/// Returns KNEO_OK with the broker's body ("data" with "token", "sid",
/// "ucc", "kType":"View" and more). A wrong TOTP or UCC is KNEO_REJECTED. It
/// is never sent twice; "safe_to_repeat" in the error tells whether the same
/// call may be made again. Blocks up to the "login" deadline.
///
/// # Safety
///
/// The texts must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_totp_login(
    client: *mut kneo_client,
    mobile_number: *const c_char,
    ucc: *const c_char,
    totp: *const c_char,
) -> *mut kneo_response {
    respond_with("totp_login", client, |client| {
        // SAFETY: the caller promises texts or NULL.
        let mobile_number = unsafe { required("mobile_number", mobile_number) }?;
        // SAFETY: as above.
        let ucc = unsafe { required("ucc", ucc) }?;
        // SAFETY: as above.
        let totp = unsafe { required("totp", totp) }?;
        client.totp_login(mobile_number, ucc, totp)
    })
}

/// Second step of the TOTP login: turns the view session into a trade
/// session. Then asks the broker's config service for the feed URLs of the
/// account's data centre (5 seconds at most; a failure is a note in
/// kneo_response_meta and does no harm).
///
/// client: a client after kneo_totp_login.
/// mpin: 6 digits.
///
/// Returns KNEO_OK with the broker's body ("data" with "token", "sid",
/// "baseUrl", "kType":"Trade" and more). A wrong MPIN is KNEO_REJECTED;
/// without the first step KNEO_NOT_LOGGED_IN; a "baseUrl" that is no host of
/// the broker KNEO_PROTOCOL, and nothing is sent there; where there is none, a
/// note in kneo_response_meta says that the host of the login stays. After a failure the
/// session is what it was before. Never sent twice. Blocks up to the "login"
/// deadline.
///
/// # Safety
///
/// mpin must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_totp_validate(
    client: *mut kneo_client,
    mpin: *const c_char,
) -> *mut kneo_response {
    respond_with("totp_validate", client, |client| {
        // SAFETY: the caller promises a text or NULL.
        let mpin = unsafe { required("mpin", mpin) }?;
        client.totp_validate(mpin)
    })
}

/// First step of the password login (generation 1). Gets a bearer token
/// before, unless there is one ("access_token", or "consumer_key" and
/// "consumer_secret"), and asks the broker to send an OTP after it: what came
/// of that is "otp" in kneo_response_meta, and the login is valid either way.
///
/// client: a live client.
/// mobile_number, user_id, pan: exactly one of the three; the others NULL or
///   "". The mobile number as for kneo_totp_login; the PAN as five letters,
///   four digits and a letter, in any case.
/// password: not blank. It is never changed: one with a line end, another
///   control character or a blank that nobody types (such as U+00A0) is
///   KNEO_INVALID_ARGUMENT.
///
/// Returns KNEO_OK with the broker's body ("data" with "token", "sid" and
/// more). A wrong password, consumer key or secret is KNEO_REJECTED. Never
/// sent twice. Blocks up to the "login" deadline.
///
/// # Safety
///
/// The texts must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_login(
    client: *mut kneo_client,
    mobile_number: *const c_char,
    user_id: *const c_char,
    pan: *const c_char,
    password: *const c_char,
) -> *mut kneo_response {
    respond_with("login", client, |client| {
        // SAFETY: the caller promises texts or NULL.
        let mobile_number = unsafe { optional("mobile_number", mobile_number) }?;
        // SAFETY: as above.
        let user_id = unsafe { optional("user_id", user_id) }?;
        // SAFETY: as above.
        let pan = unsafe { optional("pan", pan) }?;
        // SAFETY: as above.
        let password = unsafe { required("password", password) }?;
        client.login(mobile_number, user_id, pan, password)
    })
}

/// Second factor of the password login: makes a trade session.
///
/// client: a client after kneo_login.
/// otp: the 4-digit OTP that the broker sent, or the 6-digit MPIN. Six digits
///   are taken as the MPIN after a login with mobile number or PAN, and as an
///   OTP after one with a user id.
///
/// Returns KNEO_OK with the broker's body. A wrong code is KNEO_REJECTED;
/// without the first step KNEO_NOT_LOGGED_IN. After a failure the session is
/// what it was before. Never sent twice. Blocks up to the "login" deadline.
///
/// # Safety
///
/// otp must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_session_2fa(
    client: *mut kneo_client,
    otp: *const c_char,
) -> *mut kneo_response {
    respond_with("session_2fa", client, |client| {
        // SAFETY: the caller promises a text or NULL.
        let otp = unsafe { required("otp", otp) }?;
        client.session_2fa(otp)
    })
}

/// OAuth2 of the older generations: exchanges "consumer_key" and
/// "consumer_secret" of the configuration for a bearer token, which later
/// logins use. The logins do this themselves when it is needed.
///
/// client: a live client.
///
/// Returns KNEO_OK with the broker's body ("access_token", "expires_in" in
/// seconds). A wrong key or secret is KNEO_REJECTED. Generation 2 in
/// production finds its host by the UCC, so there it is
/// KNEO_INVALID_ARGUMENT. Blocks up to the "login" deadline.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_session_init(client: *mut kneo_client) -> *mut kneo_response {
    respond_with("session_init", client, |client| client.session_init())
}

/// First step of the QR login (generation 2): looks up the user's host, gets
/// a bearer token if there is none, and asks for the link to open or scan.
///
/// client: a live client.
/// ucc: unique client code, 1 to 16 letters and digits.
///
/// Returns KNEO_OK with the broker's body ("data" with "baseDomain" and
/// "redirectUrl"). Blocks up to the "login" deadline.
///
/// # Safety
///
/// ucc must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_qr_code_link(
    client: *mut kneo_client,
    ucc: *const c_char,
) -> *mut kneo_response {
    respond_with("qr_code_link", client, |client| {
        // SAFETY: the caller promises a text or NULL.
        let ucc = unsafe { required("ucc", ucc) }?;
        client.qr_code_link(ucc)
    })
}

/// Second step of the QR login: makes a trade session of the one-time token
/// that the approved page gave.
///
/// client: a live client.
/// ott: the one-time token, not blank.
/// ucc: unique client code, 1 to 16 letters and digits.
///
/// Returns KNEO_OK with the broker's body. A wrong token is KNEO_REJECTED.
/// Never sent twice. Blocks up to the "login" deadline.
///
/// # Safety
///
/// The texts must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_qr_code_session(
    client: *mut kneo_client,
    ott: *const c_char,
    ucc: *const c_char,
) -> *mut kneo_response {
    respond_with("qr_code_session", client, |client| {
        // SAFETY: the caller promises texts or NULL.
        let ott = unsafe { required("ott", ott) }?;
        // SAFETY: as above.
        let ucc = unsafe { required("ucc", ucc) }?;
        client.qr_code_session(ott, ucc)
    })
}

/// The code that an authenticator app shows at this moment (RFC 6238, SHA-1,
/// 30 seconds, 6 digits). It is as right as the clock of this machine.
///
/// secret_base32: the secret of the registration, in any case, with or without
///   blanks, line ends, dashes and padding; at most 512 characters. Or the whole
///   address in the QR code, "otpauth://totp/NAME?secret=...": its "digits"
///   (6 to 8) and "period" (1 to 3600 seconds) count, its "algorithm" must be
///   SHA1. Addresses of counted codes (hotp) and exports of an app
///   (otpauth-migration) are refused. No message shows a part of it.
///
/// Returns KNEO_OK with {"totp":"123456","valid_for_seconds":17} (1 to 30, or
/// to the period), or KNEO_INVALID_ARGUMENT. Sends nothing and needs no client.
///
/// # Safety
///
/// secret_base32 must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_totp_generate(secret_base32: *const c_char) -> *mut kneo_response {
    respond("totp_generate", || {
        // SAFETY: the caller promises a text or NULL.
        let secret = unsafe { required("secret_base32", secret_base32) }?;
        crate::base::totp::generate(secret)
    })
}

/// What is known of the session. Holds no secret; sends nothing.
///
/// client: a live client.
///
/// Returns KNEO_OK with {"state":"logged_out"|"view"|"trade",
/// "environment", ...}; a view session adds "generation" and "ucc", a trade
/// session these and "data_center", "base_url", "base_url_from" (who named that host:
/// "answer", "fixed" if there is one for all, or "login" if the answer named none, so that
/// the host of the login stayed, which may refuse every call with code 200032), "feed_url",
/// "order_feed_url", "logged_in_at", "expires_at" (unix seconds; null if the token does not
/// say), "expired": whether that time is over by the clock of the broker's last answer, sleep
/// of the machine included, or by the wall clock before the first one; null if the token does
/// not say. It is told and nothing more: a call is sent all the same, and the broker decides.
/// And "login_family": "ipv4" or "ipv6", by which the login went, or null (behind a proxy, and
/// after the import of a session that does not say it).
#[unsafe(no_mangle)]
pub extern "C" fn kneo_session_info(client: *mut kneo_client) -> *mut kneo_response {
    respond_with("session_info", client, |client| client.session_info())
}

/// The session as a JSON document, from which kneo_session_import in this or
/// another process can go on until midnight in India. It holds tokens: keep
/// it like a password. The consumer key is not in it. Sends nothing.
///
/// client: a client with a trade session.
///
/// Returns KNEO_OK with the document, or KNEO_NOT_LOGGED_IN.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_session_export(client: *mut kneo_client) -> *mut kneo_response {
    respond_with("session_export", client, |client| client.session_export())
}

/// Goes on with a session that kneo_session_export gave. Sends nothing.
///
/// client: a live client of the same environment, with the consumer key.
/// session: the document.
///
/// Returns KNEO_OK with what kneo_session_info shows, or
/// KNEO_INVALID_ARGUMENT if the document is of another environment, not of
/// today (IST), expired, or names a host that this client may not use.
///
/// # Safety
///
/// session must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_session_import(
    client: *mut kneo_client,
    session: *const c_char,
) -> *mut kneo_response {
    respond_with("session_import", client, |client| {
        // SAFETY: the caller promises a text or NULL.
        let document = unsafe { required("session", session) }?;
        client.session_import(document)
    })
}

/// The IP address that the broker sees requests come from: the one that must
/// be whitelisted for orders. Generation 3.
///
/// client: a client with a trade session.
///
/// Returns KNEO_OK with the broker's body ("data" is a list with "ip" and
/// "time"). Blocks up to the "read" deadline.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_whatsmyip(client: *mut kneo_client) -> *mut kneo_response {
    respond_with("whatsmyip", client, |client| client.whatsmyip())
}

/// Ends the session. Generation 3 forgets it and sends nothing, as the
/// official SDK does; the older generations tell the broker first.
///
/// client: a client with a trade session.
///
/// Returns KNEO_OK with {"State":"OK",...} or the broker's body, or
/// KNEO_NOT_LOGGED_IN. After any other failure the session is kept, so that
/// the call can be made again, unless the status is KNEO_SESSION_EXPIRED.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_logout(client: *mut kneo_client) -> *mut kneo_response {
    respond_with("logout", client, |client| client.logout())
}
