//! A logged-in client of generation 3 for the tests of the calls after the login.

use http::Method;
use kotak_neo_sandbox::{Options, Order, Sandbox};
use serde_json::{Value, json};

use crate::client::{Ask, Reply};
use crate::fixtures::sample;
use crate::v3;

pub const PLACE: &str = "/quick/order/rule/ms/place";
pub const MODIFY: &str = "/quick/order/vr/modify";
pub const CANCEL: &str = "/quick/order/cancel";
pub const ORDERS: &str = "/quick/user/orders";
pub const HISTORY: &str = "/quick/order/history";
pub const TRADES: &str = "/quick/user/trades";
pub const POSITIONS: &str = "/portfolio/v2/positions";
pub const HOLDINGS: &str = "/portfolio/v1/holdings";
pub const LIMITS: &str = "/quick/user/limits";
pub const MARGIN: &str = "/quick/user/check-margin";

/// A POST of the form with `jData`.
pub fn form(path: &str, data: &Value) -> Ask {
    let encoded: String = data
        .to_string()
        .bytes()
        .map(|byte| match byte {
            b' ' => "+".to_owned(),
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect();
    Ask {
        method: Method::POST,
        path: path.to_owned(),
        headers: Vec::new(),
        body: format!("jData={encoded}"),
    }
    .with("content-type", "application/x-www-form-urlencoded")
}

/// The documented limit order, with these keys changed; null takes a key out.
pub fn order(changes: &Value) -> Value {
    with(sample("place_order.request-limit.json"), changes)
}

pub fn with(mut body: Value, changes: &Value) -> Value {
    for (key, value) in changes.as_object().unwrap() {
        if value == "(out)" {
            body.as_object_mut().unwrap().remove(key);
        } else {
            body[key] = value.clone();
        }
    }
    body
}

pub struct Trader {
    pub sandbox: Sandbox,
    token: String,
    sid: String,
}

impl Trader {
    /// Logged in, with IDEA-EQ at 9.40 and without a limit on orders per second.
    pub fn start() -> Self {
        Self::start_with(Options {
            orders_per_second: 0,
            quotes_per_second: 0,
            candles_per_second: 0,
            ..Options::default()
        })
    }

    pub fn start_with(options: Options) -> Self {
        let sandbox = Sandbox::start(options).unwrap();
        let trade = v3::trade(&sandbox);
        sandbox.set_price("nse_cm", "IDEA-EQ", "9.40");
        Self {
            token: trade["data"]["token"].as_str().unwrap().to_owned(),
            sid: trade["data"]["sid"].as_str().unwrap().to_owned(),
            sandbox,
        }
    }

    /// With the headers that the SDK sends to an order call.
    pub fn signed(&self, ask: Ask) -> Ask {
        ask.with("authorization", &*self.sandbox.credentials().consumer_key)
            .with("auth", &*self.token)
            .with("sid", &*self.sid)
    }

    pub fn get(&self, path: &str) -> Reply {
        self.signed(Ask::get(path)).reply(&self.sandbox)
    }

    pub fn post(&self, path: &str, data: &Value) -> Reply {
        self.signed(form(path, data)).reply(&self.sandbox)
    }

    /// Places the documented order with changes and gives its number.
    pub fn place(&self, changes: &Value) -> String {
        let answer = self.post(PLACE, &order(changes)).expect(200);
        assert_eq!(answer["stat"], "Ok", "{answer}");
        answer["nOrdNo"].as_str().unwrap().to_owned()
    }

    /// Places the documented order with changes and gives what became of it.
    pub fn placed(&self, changes: &Value) -> Order {
        let number = self.place(changes);
        self.order(&number)
    }

    /// The true state of an order.
    pub fn order(&self, number: &str) -> Order {
        let orders = self.sandbox.orders();
        orders
            .into_iter()
            .find(|order| order.number == number)
            .unwrap()
    }

    /// A modification in the form of the SDK.
    pub fn modify(&self, number: &str, changes: &Value) -> Reply {
        let body = with(sample("modify_order.request.json"), &json!({"no": number}));
        self.post(MODIFY, &with(body, changes))
    }

    pub fn cancel(&self, number: &str) -> Reply {
        let body = with(sample("cancel_order.request.json"), &json!({"on": number}));
        self.post(CANCEL, &body)
    }

    /// A call without login, with the key alone.
    pub fn look(&self, path: &str) -> Reply {
        Ask::get(path)
            .with("authorization", &*self.sandbox.credentials().consumer_key)
            .reply(&self.sandbox)
    }
}
