//! Responses: what a call hands out, and how it is read and freed.

use std::ffi::{CStr, c_char};
use std::ptr;
use std::sync::{Arc, OnceLock};

use zeroize::Zeroizing;

use super::document::{Document, Text};
use super::guard::guard;
use super::registry::{Handle, Registry, Table, dead_handle, get, take_back};
use super::text::required;
use crate::base::error::Error;
use crate::base::redact;
use crate::base::reply::{Meta, Reply};
use crate::base::secret;
use crate::base::status::Status;

/// The answer to one call. Opaque.
///
/// Owned by the caller, who frees it once with kneo_response_free. Any thread
/// may read it at any time. All texts read from it stay valid until it is
/// freed. It outlives its client and kneo_shutdown.
#[allow(non_camel_case_types)]
pub struct kneo_response {
    _opaque: [u8; 0],
}

impl Handle for kneo_response {
    type Value = Arc<Response>;
    const NAME: &'static str = "response";

    fn table(registry: &Registry) -> &Table<Self> {
        &registry.responses
    }
}

/// What is behind a response handle.
pub(super) struct Response {
    status: Status,
    http_status: i32,
    json: Document,
    message: Text,
    meta: Meta,
    meta_json: OnceLock<Document>,
    redacted: OnceLock<Text>,
}

impl Response {
    pub(super) fn new(result: Result<Reply, Error>) -> Self {
        let (status, http_status, json, message, meta) = match result {
            Ok(reply) => {
                let Reply {
                    json,
                    http_status,
                    meta,
                    ..
                } = reply;
                (Status::Ok, http_status, json, String::new(), meta)
            }
            Err(error) => (
                error.status(),
                error.http_status().unwrap_or(0),
                Zeroizing::new(error.to_json()),
                error.message().to_owned(),
                error.into_meta(),
            ),
        };
        Self {
            status,
            http_status: i32::from(http_status),
            json: Document::new(&json),
            message: Text::new(&message),
            meta,
            meta_json: OnceLock::new(),
            redacted: OnceLock::new(),
        }
    }

    fn meta(&self) -> &Document {
        let made = || Document::new(&self.meta.to_json());
        self.meta_json.get_or_init(made)
    }

    /// The text that a pointer is about, and the pointer into it.
    fn document<'a>(&self, pointer: &'a str) -> (&Document, &'a str) {
        match pointer.strip_prefix("meta:") {
            Some(rest) => (self.meta(), rest),
            None => (&self.json, pointer),
        }
    }

    /// Stands for a response that could not be made at all. It is never in
    /// the registry, so it reads like a dead handle.
    pub(super) fn lost() -> *mut kneo_response {
        ptr::null_mut::<kneo_response>().wrapping_byte_add(usize::MAX)
    }
}

const DEAD_JSON: &CStr = constant(concat!(
    r#"{"error":{"status":"INVALID_HANDLE","code":null,"message":"response: "#,
    dead_handle!(),
    r#"","hint":null,"http_status":null,"operation":null,"request_id":null,"sent":false,"#,
    r#""safe_to_repeat":false,"retry_after_ms":null,"tag":null,"broker":null}}"#,
    "\0"
));
const DEAD_MESSAGE: &CStr = constant(concat!("response: ", dead_handle!(), "\0"));
const DEAD_META: &CStr = c"{\"operation\":null,\"request_id\":null,\"tag\":null,\"elapsed_ms\":0}";

/// `text`, which ends with its only NUL.
const fn constant(text: &'static str) -> &'static CStr {
    match CStr::from_bytes_with_nul(text.as_bytes()) {
        Ok(text) => text,
        Err(_) => c"",
    }
}

/// Reads something of a response; `dead` is the answer for a dead handle.
fn read<T>(response: *const kneo_response, dead: T, of: impl FnOnce(&Response) -> T) -> T
where
    T: Copy,
{
    guard(dead, || get(response).map_or(dead, |found| of(&found)))
}

/// How the call ended: one of the KNEO_ statuses.
///
/// Of a dead handle it is KNEO_INVALID_HANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_response_status(response: *const kneo_response) -> i32 {
    read(response, Status::InvalidHandle.code(), |found| {
        found.status.code()
    })
}

/// The HTTP status of the broker's answer, 0 where there was none.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_response_http_status(response: *const kneo_response) -> i32 {
    read(response, 0, |found| found.http_status)
}

/// The JSON text of the answer, as UTF-8 with a NUL at its end.
///
/// With KNEO_OK it is the broker's body, byte for byte, without a byte-order mark,
/// or what the function documents (where the broker is not asked, says that there
/// is nothing, or is asked several times). With any other status it is an
/// error body: {"error":{"status","code","message","hint","http_status",
/// "operation","request_id","sent","safe_to_repeat","retry_after_ms","tag",
/// "broker"}}. Never NULL. The answers of logins carry tokens: show
/// kneo_response_redacted instead.
///
/// The text belongs to the response and stays valid until
/// kneo_response_free. Of a dead handle it is a constant error body.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_response_json(response: *const kneo_response) -> *const c_char {
    read(response, DEAD_JSON.as_ptr(), |found| {
        found.json.text.pointer()
    })
}

/// The length of the JSON text in bytes, without the NUL at its end.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_response_json_len(response: *const kneo_response) -> usize {
    read(response, DEAD_JSON.count_bytes(), |found| {
        found.json.text.len()
    })
}

/// What went wrong, in one sentence; empty with KNEO_OK. Never NULL.
///
/// Valid until kneo_response_free. It holds no credential and no token.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_response_message(response: *const kneo_response) -> *const c_char {
    read(response, DEAD_MESSAGE.as_ptr(), |found| {
        found.message.pointer()
    })
}

/// Facts about the call itself, as JSON: "operation", "request_id", "tag",
/// "elapsed_ms" (a number with fractions), and where they apply "waited_ms" (how
/// many of these the call waited for its turn), "call_id" (as it was given),
/// "notes" (a list of sentences), "earlier_answer" (true: an "intent_id" was
/// used before, and nothing was sent), "amo_set_from" (see kneo_cancel_order),
/// "hints" (of rows of orders: a list of {"order_id", "reason", "hint"}, the
/// broker's reason for a rejection and what to do about it, each once and 64 at
/// most) and "hints_left_out" (how many rows gave more), "scrip_day" and "stale"
/// (see kneo_search_scrip), "requests", "instruments" and "part" (see
/// kneo_quotes), and "otp" (what kneo_login did about the OTP:
/// {"requested":true}, or false with a "problem").
///
/// "connection" is that of the last request which the call needed; there is none if
/// the call came to no connection, or ended before an answer on one that was kept from
/// earlier reads. Where they are known: "reused" (true: opened by an earlier call),
/// "peer" (address and port of the other end: the broker's, or the
/// proxy's), "family" ("ipv4" or "ipv6", to the peer), "proxy" (its host and port);
/// in milliseconds with fractions "dns_ms" (name lookup), "tcp_ms" (from the first
/// address that was tried until one was reached), "proxy_ms" (its tunnel) and "tls_ms"
/// of one that this call opened, and "first_byte_ms" (from the sending to the head of
/// the answer). A call that failed while it connected has the steps that were done.
/// Never NULL.
///
/// Valid until kneo_response_free.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_response_meta(response: *const kneo_response) -> *const c_char {
    read(response, DEAD_META.as_ptr(), |found| {
        found.meta().text.pointer()
    })
}

/// The JSON text with credentials, tokens and personal data replaced by
/// "***": for screens and logs. Never NULL.
///
/// Valid until kneo_response_free.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_response_redacted(response: *const kneo_response) -> *const c_char {
    read(response, DEAD_JSON.as_ptr(), |found| {
        let known = || secret::exposed(&found.meta.known);
        let made = || Text::new(&redact::everything(found.json.text.as_str(), &known()));
        found.redacted.get_or_init(made).pointer()
    })
}

/// One value of the JSON text, found by JSON Pointer (RFC 6901): "/data/0/ordSt".
///
/// pointer: "" for the whole, or "/" and a key or a place (from 0) for each step;
///   "~1" in a key stands for "/", "~0" for "~". "meta:" before it looks into
///   kneo_response_meta instead: "meta:/tag".
///
/// Returns a string without quotes and escapes, as UTF-8; any other value as its
/// JSON text, numbers as they came, null as "null". A NUL in a string (\u0000)
/// becomes "?". Of a key that stands twice the last value counts. NULL if there
/// is no such value, for a malformed pointer, NULL, or a dead handle.
///
/// The first call reads the JSON text once; after that every value is found
/// without reading it again. Valid until kneo_response_free. Like the JSON text
/// it may be a token.
///
/// # Safety
///
/// pointer must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_response_field(
    response: *const kneo_response,
    pointer: *const c_char,
) -> *const c_char {
    read(response, ptr::null(), |found| {
        // SAFETY: the caller promises a text or NULL.
        let value = unsafe { required("pointer", pointer) }.map(|pointer| {
            let (document, pointer) = found.document(pointer);
            document.field(pointer)
        });
        value.ok().flatten().unwrap_or(ptr::null())
    })
}

/// How many members a list or an object of the JSON text has.
///
/// pointer: as for kneo_response_field; "/data" in most books.
///
/// Returns the number (a key that stands twice counts once); -1 if there is no such
/// value, if it is neither list nor object, for a malformed pointer, NULL, or a
/// dead handle.
///
/// # Safety
///
/// pointer must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_response_length(
    response: *const kneo_response,
    pointer: *const c_char,
) -> i32 {
    read(response, -1, |found| {
        // SAFETY: the caller promises a text or NULL.
        let length = unsafe { required("pointer", pointer) }.map(|pointer| {
            let (document, pointer) = found.document(pointer);
            document.length(pointer)
        });
        let length = length.ok().flatten().map(i32::try_from);
        length.map_or(-1, |length| length.unwrap_or(i32::MAX))
    })
}

/// Frees a response and wipes its texts. NULL and dead handles are ignored.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_response_free(response: *mut kneo_response) {
    guard((), || drop(take_back(response)));
}
