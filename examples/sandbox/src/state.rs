//! What all parts of one sandbox share.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderValue, header};
use tokio::sync::watch;

use crate::Options;
use crate::clock::india_day;
use crate::cookies::Cookies;
use crate::exchange::Exchange;
use crate::fault::Faults;
use crate::login;
use crate::market::{Market, Segment};
use crate::money::RUPEE;
use crate::pace::{self, AtOnce, Pace};
use crate::record::Records;
use crate::rest;
use crate::route::{Answer, Router};
use crate::sockets::Sockets;
use crate::tokens::{Tokens, unix_now};

/// The state of one sandbox.
pub(crate) struct State {
    pub(crate) options: Options,
    /// `http://127.0.0.1:PORT` or `https://HOST:PORT`.
    pub(crate) url: String,
    /// The decoded TOTP secret.
    pub(crate) totp_secret: Vec<u8>,
    pub(crate) router: Router,
    pub(crate) records: Records,
    pub(crate) faults: Faults,
    pub(crate) tokens: Tokens,
    pub(crate) cookies: Cookies,
    /// Limits how many order instructions a second are taken.
    pub(crate) order_pace: Pace,
    /// Limits how many quotes, expiries and chains a second are answered.
    pub(crate) quote_pace: Pace,
    /// Limits how many quotes are answered at once.
    pub(crate) quotes_at_once: AtOnce,
    pub(crate) candle_pace: Pace,
    /// Limits how many books and other reads a second are answered.
    pub(crate) read_pace: Pace,
    exchange: Mutex<Exchange>,
    scrip_files: Mutex<BTreeMap<Segment, Bytes>>,
    pub(crate) accepted: AtomicU64,
    pub(crate) open: AtomicU64,
    pub(crate) failed_handshakes: AtomicU64,
    /// Changes when every connection is to be closed.
    pub(crate) close_all: watch::Sender<()>,
    pub(crate) sockets: Sockets,
}

impl State {
    pub(crate) fn new(options: Options, url: String, totp_secret: Vec<u8>) -> Self {
        let market = Market::new(india_day(unix_now()), options.seed);
        let cash = i64::from(options.cash_rupees) * RUPEE;
        let exchange = Exchange::new(market, cash, &options.credentials.ucc);
        let tables: Vec<_> = [login::TABLES, rest::TABLES].concat();
        Self {
            url,
            totp_secret,
            router: Router::new(&tables),
            order_pace: Pace::new(options.orders_per_second),
            quote_pace: Pace::new(options.quotes_per_second),
            quotes_at_once: AtOnce::new(options.quotes_at_once),
            candle_pace: Pace::new(options.candles_per_second),
            read_pace: Pace::new(options.reads_per_second),
            exchange: Mutex::new(exchange),
            scrip_files: Mutex::default(),
            records: Records::new(options.record_limit),
            faults: Faults::default(),
            tokens: Tokens::new(),
            cookies: Cookies::default(),
            accepted: AtomicU64::new(0),
            open: AtomicU64::new(0),
            failed_handshakes: AtomicU64::new(0),
            close_all: watch::Sender::new(()),
            sockets: Sockets::new(options.record_limit),
            options,
        }
    }

    /// The books. The lock is held for the length of one call.
    pub(crate) fn exchange(&self) -> MutexGuard<'_, Exchange> {
        // A panic in here fails the test that caused it; the books stay readable for the report.
        self.exchange.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The refusal of one call too many. `pace` tells when the next one may come; live ones
    /// were seen that tell nothing.
    pub(crate) fn too_many(&self, pace: Option<&Pace>) -> Answer {
        let mut answer = pace.map_or_else(pace::refusal, Pace::refusal);
        if let Some(wait) = self.exchange().switches.retry_after.as_deref() {
            answer.headers.clear();
            if let Some(wait) = HeaderValue::from_str(wait).ok().filter(|it| !it.is_empty()) {
                answer.headers.push((header::RETRY_AFTER, wait));
            }
        }
        answer
    }

    /// Scrip files that take the place of those that are made.
    pub(crate) fn scrip_files(&self) -> MutexGuard<'_, BTreeMap<Segment, Bytes>> {
        // A file is put in whole, so a panic elsewhere leaves the map sound.
        self.scrip_files
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
