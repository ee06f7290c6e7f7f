//! What all parts of one sandbox share.

use std::sync::atomic::AtomicU64;

use tokio::sync::watch;

use crate::Options;
use crate::cookies::Cookies;
use crate::fault::Faults;
use crate::login;
use crate::record::Records;
use crate::route::Router;
use crate::tokens::Tokens;

/// The state of one sandbox.
pub(crate) struct State {
    pub(crate) options: Options,
    /// `http://127.0.0.1:PORT` or `https://localhost:PORT`.
    pub(crate) url: String,
    /// The decoded TOTP secret.
    pub(crate) totp_secret: Vec<u8>,
    pub(crate) router: Router,
    pub(crate) records: Records,
    pub(crate) faults: Faults,
    pub(crate) tokens: Tokens,
    pub(crate) cookies: Cookies,
    pub(crate) accepted: AtomicU64,
    pub(crate) open: AtomicU64,
    pub(crate) failed_handshakes: AtomicU64,
    /// Changes when every connection is to be closed.
    pub(crate) close_all: watch::Sender<()>,
}

impl State {
    pub(crate) fn new(options: Options, url: String, totp_secret: Vec<u8>) -> Self {
        Self {
            url,
            totp_secret,
            router: Router::new(login::TABLES),
            records: Records::new(options.record_limit),
            faults: Faults::default(),
            tokens: Tokens::new(),
            cookies: Cookies::default(),
            accepted: AtomicU64::new(0),
            open: AtomicU64::new(0),
            failed_handshakes: AtomicU64::new(0),
            close_all: watch::Sender::new(()),
            options,
        }
    }
}
