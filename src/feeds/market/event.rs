//! Packets as JSON events, with the field names of the official SDK.

use std::fmt::Write;

use super::exchange::exchange_name;
use super::packet::{Kind, Packet, row_of, text};
use crate::base::json::write_string;
use crate::feeds::tick::{self, DepthRow, Tick};

const STATUS_TEXTS: [&str; 12] = [
    "Market open",
    "Market closed",
    "Pre-open session ending",
    "Pre-open ended, normal market open",
    "Auction status changed",
    "Closing session started",
    "Closing session ended",
    "Continuous trading closed, closing auction starting soon",
    "Closing auction price band set",
    "Closing auction (CAS) started",
    "Market orders restricted",
    "Closing auction (CAS) ended",
];

impl Packet<'_> {
    /// Writes the members of the event for this packet, without braces: the
    /// field names are those of the official SDK.
    pub(crate) fn write_json(self, divider: i32, symbol: Option<&str>, out: &mut String) {
        let mut tick = Tick::default();
        self.to_tick(divider, &mut tick);
        let mut json = Members(out);
        let kind = match self.kind() {
            Kind::Scrip => "scrip",
            Kind::Lite => "scrip_lite",
            Kind::Index => "index",
            Kind::Status => "market_status",
            Kind::Cas => "cas_change",
        };
        json.text("type", kind);
        json.text(
            "exchange_segment",
            &exchange_name(self.exchange()).to_string(),
        );
        if let (Some(code), Some(text)) = (self.status_code(), self.status_text()) {
            json.whole("status_code", code.into());
            json.text("status", &text);
            return;
        }
        json.text("instrument_token", &self.token().to_string());
        match symbol {
            Some(symbol) => json.text("trading_symbol", symbol),
            None => json.null("trading_symbol"),
        }
        if self.kind() == Kind::Cas {
            json.price("ref_price", tick.ref_price);
            json.whole("imbalance_qty", tick.imbalance_qty);
            json.whole("imbalance_qty_at_market", tick.imbalance_qty_at_market);
            return;
        }
        json.price("last_traded_price", tick.last_traded_price);
        json.price("close_price", tick.close_price);
        json.price("net_change_percent", tick.net_change_percent);
        json.time(
            "last_trade_time",
            tick.last_trade_time,
            tick.valid & tick::KNEO_HAS_LAST_TRADE_TIME,
        );
        json.whole("precision", tick.precision.into());
        if self.kind() != Kind::Lite {
            json.price("open_price", tick.open_price);
            json.price("high_price", tick.high_price);
            json.price("low_price", tick.low_price);
            json.price("yearly_high", tick.yearly_high);
            json.price("yearly_low", tick.yearly_low);
        }
        if self.kind() == Kind::Index {
            json.text("name", &self.index_name().unwrap_or_default());
            json.price("change", tick.net_change);
            json.price("multiplier", tick.multiplier);
            return;
        }
        json.price("net_change", tick.net_change);
        json.whole("last_trade_qty", tick.last_trade_qty);
        json.whole("market_lot", tick.market_lot);
        json.whole("multiplier", tick.multiplier as i64);
        if self.kind() == Kind::Scrip {
            json.whole("level", tick.level.into());
            json.price("average_trade_price", tick.average_trade_price);
            json.time(
                "last_update_time",
                tick.last_update_time,
                tick.valid & tick::KNEO_HAS_LAST_UPDATE_TIME,
            );
            json.whole("total_buy_quantity", tick.total_buy_quantity);
            json.whole("total_sell_quantity", tick.total_sell_quantity);
            json.whole("volume_traded_today", tick.volume_traded_today);
            json.whole("open_interest", tick.open_interest);
            json.price("upper_circuit_limit", tick.upper_circuit_limit);
            json.price("lower_circuit_limit", tick.lower_circuit_limit);
            match tick.valid & tick::KNEO_HAS_TOTAL_TRADED_VALUE {
                0 => json.null("total_traded_value"),
                _ => json.price("total_traded_value", tick.total_traded_value),
            }
            json.raw("auction", if tick.auction == 0 { "false" } else { "true" });
            let (buy, sell) = self.rows();
            let by = f64::from(divider);
            json.rows("buy", self.side(0, buy).map(|row| row_of(row, by)));
            json.rows("sell", self.side(buy, sell).map(|row| row_of(row, by)));
        }
    }

    fn status_text(&self) -> Option<std::borrow::Cow<'_, str>> {
        let code = self.status_code()?;
        let known = usize::from(code)
            .checked_sub(1)
            .and_then(|at| STATUS_TEXTS.get(at));
        if let Some(known) = known {
            return Some((*known).into());
        }
        let label = text(&self.bytes()[11..16]);
        Some(if label.is_empty() {
            format!("Unknown status_code {code}").into()
        } else {
            label
        })
    }
}

/// Writes members of a JSON object.
struct Members<'a>(&'a mut String);

impl Members<'_> {
    fn raw(&mut self, key: &str, value: &str) {
        self.key(key);
        self.0.push_str(value);
    }

    fn null(&mut self, key: &str) {
        self.raw(key, "null");
    }

    fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        write_string(self.0, value);
    }

    fn whole(&mut self, key: &str, value: i64) {
        self.key(key);
        // Writing to a String cannot fail.
        let _written = write!(self.0, "{value}");
    }

    fn price(&mut self, key: &str, value: f64) {
        self.key(key);
        let _written = write!(self.0, "{value:?}");
    }

    fn time(&mut self, key: &str, value: i64, there: u64) {
        match there {
            0 => self.null(key),
            _ => self.whole(key, value),
        }
    }

    fn rows(&mut self, key: &str, rows: impl Iterator<Item = DepthRow>) {
        self.key(key);
        self.0.push('[');
        for (at, row) in rows.enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let _written = write!(
                self.0,
                r#"{comma}{{"quantity":{},"price":{:?},"orders":{}}}"#,
                row.quantity, row.price, row.orders
            );
        }
        self.0.push(']');
    }

    fn key(&mut self, key: &str) {
        if !self.0.ends_with('{') {
            self.0.push(',');
        }
        let _written = write!(self.0, "\"{key}\":");
    }
}
