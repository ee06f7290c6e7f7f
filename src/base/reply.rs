//! What a call that succeeded gives back.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::base::connection::{self, Used};
use crate::base::redact::{self, Known};
use crate::base::secret::{self, Secret};

/// The answer to a call.
pub struct Reply {
    pub(crate) json: Zeroizing<String>,
    pub(crate) http_status: u16,
    /// The broker's clock, where its answer told (unix seconds).
    pub(crate) date: Option<u64>,
    pub(crate) meta: Meta,
}

impl Reply {
    /// A reply that this library makes itself.
    pub(crate) fn local(json: String) -> Self {
        Self {
            json: Zeroizing::new(json),
            http_status: 0,
            date: None,
            meta: Meta::default(),
        }
    }

    /// The JSON text: the broker's body byte for byte, without a byte-order mark,
    /// or what the call documents where the broker is not asked, says that there
    /// is nothing, or is asked several times. Logins carry tokens in it.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The JSON text with credentials, tokens and personal data masked.
    #[must_use]
    pub fn redacted(&self) -> String {
        redact::everything(&self.json, &secret::exposed(&self.meta.known)).into_owned()
    }

    /// The HTTP status of the broker's answer, 0 where it was not asked.
    #[must_use]
    pub fn http_status(&self) -> u16 {
        self.http_status
    }

    /// Facts about the call itself, as JSON: operation, request id, tag,
    /// milliseconds spent, notes.
    #[must_use]
    pub fn meta(&self) -> String {
        self.meta.to_json()
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply")
            .field("http_status", &self.http_status)
            .field("json", &self.redacted())
            .finish()
    }
}

/// Facts about one call, of a reply as of an error.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meta {
    pub(crate) operation: &'static str,
    pub(crate) request_id: Option<String>,
    /// Which order instruction the call was about.
    pub(crate) tag: Option<String>,
    pub(crate) elapsed: Duration,
    /// That of the last request which the call needed.
    pub(crate) connection: Option<Used>,
    /// Further keys, for example what happened to the OTP.
    pub(crate) extra: Map<String, Value>,
    /// Secrets that its texts must not show.
    pub(crate) known: Vec<Secret>,
}

impl Meta {
    /// Masks what it knows as secrets in what others said.
    pub(crate) fn mask(&mut self) {
        // To get ready to mask costs more than a short read else does.
        let has_no_text = |value: &Value| value.is_number() || value.is_boolean();
        if self.extra.values().all(has_no_text) {
            return;
        }
        let known = Known::new(secret::exposed(&self.known));
        for value in self.extra.values_mut() {
            mask(value, &known);
        }
    }

    pub(crate) fn to_json(&self) -> String {
        let mut all = Map::new();
        all.insert("operation".to_owned(), self.operation.into());
        all.insert("request_id".to_owned(), self.request_id.clone().into());
        all.insert("tag".to_owned(), self.tag.clone().into());
        all.insert("elapsed_ms".to_owned(), connection::ms(self.elapsed));
        if let Some(used) = &self.connection {
            all.insert("connection".to_owned(), used.to_value());
        }
        all.extend(self.extra.clone());
        Value::Object(all).to_string()
    }
}

fn mask(value: &mut Value, known: &Known) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(masked) = known.mask(text) {
                *text = masked;
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|one| mask(one, known)),
        Value::Object(members) => members.values_mut().for_each(|one| mask(one, known)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
