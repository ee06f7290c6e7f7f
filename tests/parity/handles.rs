//! The feeds of this library, driven through its C ABI.

use std::ffi::CString;
use std::ptr;

use kotak_neo::ffi::feed::{
    kneo_feed, kneo_feed_free, kneo_feed_next, kneo_feed_open, kneo_feed_snapshot,
    kneo_feed_subscribe, kneo_feed_unsubscribe,
};
use kotak_neo::ffi::orderfeed::{
    kneo_order_feed, kneo_order_feed_free, kneo_order_feed_next, kneo_order_feed_open,
};
use serde_json::Value;

use crate::library::{Library, Outcome, Text, take};

impl Library {
    /// Opens the market feed.
    pub fn feed(&self, options: &Value) -> MarketFeed {
        let options = CString::new(options.to_string()).expect("JSON has no NUL");
        let mut feed = ptr::null_mut();
        // SAFETY: the text lives through the call, and `feed` can be written to.
        let opened = take(unsafe { kneo_feed_open(self.0, options.as_ptr(), &raw mut feed) });
        assert_eq!(opened.status, 0, "{}", opened.json);
        MarketFeed(feed)
    }

    /// Opens the order feed.
    pub fn order_feed(&self, options: &Value) -> OrderFeed {
        let options = CString::new(options.to_string()).expect("JSON has no NUL");
        let mut feed = ptr::null_mut();
        // SAFETY: the text lives through the call, and `feed` can be written to.
        let opened = take(unsafe { kneo_order_feed_open(self.0, options.as_ptr(), &raw mut feed) });
        assert_eq!(opened.status, 0, "{}", opened.json);
        OrderFeed(feed)
    }
}

/// Something that gives events.
pub trait Events {
    fn next(&self, timeout_ms: i32) -> Outcome;
}

/// An open market feed.
pub struct MarketFeed(*mut kneo_feed);

impl MarketFeed {
    /// `verb` is `subscribe`, `unsubscribe` or `snapshot`; no token is NULL.
    pub fn ask(&self, verb: &str, kind: &str, tokens: &[&str]) -> Outcome {
        let call = match verb {
            "subscribe" => kneo_feed_subscribe,
            "unsubscribe" => kneo_feed_unsubscribe,
            "snapshot" => kneo_feed_snapshot,
            other => panic!("no call {other}"),
        };
        let kind = CString::new(kind).expect("a kind has no NUL");
        let tokens = Text((!tokens.is_empty()).then(|| {
            let tokens = tokens.join(",");
            CString::new(tokens).expect("a token has no NUL")
        }));
        // SAFETY: the handle is open until this is dropped, and both texts live
        // through the call.
        take(unsafe { call(self.0, kind.as_ptr(), tokens.pointer()) })
    }
}

impl Events for MarketFeed {
    fn next(&self, timeout_ms: i32) -> Outcome {
        take(kneo_feed_next(self.0, timeout_ms))
    }
}

impl Drop for MarketFeed {
    fn drop(&mut self) {
        kneo_feed_free(self.0);
    }
}

/// An open order feed.
pub struct OrderFeed(*mut kneo_order_feed);

impl Events for OrderFeed {
    fn next(&self, timeout_ms: i32) -> Outcome {
        take(kneo_order_feed_next(self.0, timeout_ms))
    }
}

impl Drop for OrderFeed {
    fn drop(&mut self) {
        kneo_order_feed_free(self.0);
    }
}
