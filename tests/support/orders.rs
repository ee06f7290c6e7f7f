//! The parameters of an order.

use serde_json::{Value, json};

/// A limit order that stays open: far below the market.
pub fn order() -> Value {
    json!({
        "exchange_segment": "nse_cm", "product": "CNC", "price": "8.60", "order_type": "L",
        "quantity": "3", "validity": "DAY", "trading_symbol": "IDEA-EQ", "transaction_type": "B",
    })
}

/// Parameters with more keys, or other values.
///
/// # Panics
///
/// If `more` is no object.
pub fn with(mut base: Value, more: Value) -> Value {
    let Value::Object(more) = more else {
        panic!("not an object: {more}")
    };
    for (key, value) in more {
        base[key] = value;
    }
    base
}
