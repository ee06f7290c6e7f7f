//! Packets as the JSON events that callers get. The field names are those of
//! the official SDK.

use std::fmt::Write;

use super::packet::{self, Kind, Packet, Row};
use super::tick::{self, Tick};
use crate::json::write_string;

/// Writes the members of the event for a packet, without braces.
pub(crate) fn write(packet: Packet<'_>, divider: i32, symbol: Option<&str>, out: &mut String) {
    let mut tick = Tick::default();
    packet.to_tick(divider, &mut tick);
    let kind = match packet.kind() {
        Kind::Scrip => "scrip",
        Kind::Lite => "scrip_lite",
        Kind::Index => "index",
        Kind::Status => "market_status",
        Kind::Cas => "cas_change",
    };
    let mut json = Members {
        out,
        divider,
        decimals: decimals_of(divider),
    };
    json.out.push_str("\"type\":\"");
    json.out.push_str(kind);
    json.out.push('"');
    json.key("exchange_segment");
    // Names and numbers: nothing in them is to be escaped.
    let exchange = packet::exchange_name(packet.exchange());
    json.written(format_args!("\"{exchange}\""));
    if let (Some(code), Some(text)) = (packet.status_code(), packet.status_text()) {
        json.whole("status_code", code.into());
        json.text("status", &text);
        return;
    }
    json.key("instrument_token");
    json.out.push('"');
    json.number(tick.token.into());
    json.out.push('"');
    match symbol {
        Some(symbol) => json.text("trading_symbol", symbol),
        None => json.raw("trading_symbol", "null"),
    }
    if packet.kind() == Kind::Cas {
        json.price("ref_price", tick.ref_price_raw);
        json.whole("imbalance_qty", tick.imbalance_qty);
        json.whole("imbalance_qty_at_market", tick.imbalance_qty_at_market);
        return;
    }
    json.price("last_traded_price", tick.last_traded_price_raw);
    json.price("close_price", tick.close_price_raw);
    json.key("net_change_percent");
    json.decimal(packet.net_change_percent_raw().into(), 2);
    json.time(
        "last_trade_time",
        tick.last_trade_time,
        tick.valid & tick::KNEO_HAS_LAST_TRADE_TIME,
    );
    json.whole("precision", tick.precision.into());
    if packet.kind() != Kind::Lite {
        json.price("open_price", tick.open_price_raw);
        json.price("high_price", tick.high_price_raw);
        json.price("low_price", tick.low_price_raw);
        json.price("yearly_high", tick.yearly_high_raw);
        json.price("yearly_low", tick.yearly_low_raw);
    }
    if let Some(name) = packet.index_name() {
        json.text("name", &name);
        json.price("change", tick.net_change_raw);
        json.float("multiplier", tick.multiplier);
        return;
    }
    json.price("net_change", tick.net_change_raw);
    json.whole("last_trade_qty", tick.last_trade_qty);
    json.whole("market_lot", tick.market_lot);
    json.whole("multiplier", tick.multiplier as i64);
    if packet.kind() == Kind::Scrip {
        json.picture(packet, &tick);
    }
}

/// Writes members of a JSON object that has one already.
struct Members<'a> {
    out: &'a mut String,
    divider: i32,
    /// How many decimals a price has; `None` if it is not divided by a power
    /// of ten.
    decimals: Option<u8>,
}

impl Members<'_> {
    /// What only touch lines and market depths have.
    fn picture(&mut self, packet: Packet<'_>, tick: &Tick) {
        self.whole("level", tick.level.into());
        self.price("average_trade_price", tick.average_trade_price_raw);
        self.time(
            "last_update_time",
            tick.last_update_time,
            tick.valid & tick::KNEO_HAS_LAST_UPDATE_TIME,
        );
        self.whole("total_buy_quantity", tick.total_buy_quantity);
        self.whole("total_sell_quantity", tick.total_sell_quantity);
        self.whole("volume_traded_today", tick.volume_traded_today);
        self.whole("open_interest", tick.open_interest);
        self.price("upper_circuit_limit", tick.upper_circuit_limit_raw);
        self.price("lower_circuit_limit", tick.lower_circuit_limit_raw);
        match tick.valid & tick::KNEO_HAS_TOTAL_TRADED_VALUE {
            0 => self.raw("total_traded_value", "null"),
            _ => self.float("total_traded_value", tick.total_traded_value),
        }
        self.raw("auction", if tick.auction == 0 { "false" } else { "true" });
        let (buy, sell) = packet.rows();
        self.rows("buy", packet.side(0, buy));
        self.rows("sell", packet.side(buy, sell));
    }

    fn rows<'a>(&mut self, key: &str, rows: impl Iterator<Item = &'a Row>) {
        self.key(key);
        self.out.push('[');
        for (at, row) in rows.enumerate() {
            if at > 0 {
                self.out.push(',');
            }
            let row = packet::row_of(row, f64::from(self.divider));
            self.out.push_str("{\"quantity\":");
            self.number(row.quantity);
            self.price("price", row.price_raw);
            self.whole("orders", row.orders.into());
            self.out.push('}');
        }
        self.out.push(']');
    }

    fn key(&mut self, key: &str) {
        self.out.push_str(",\"");
        self.out.push_str(key);
        self.out.push_str("\":");
    }

    fn raw(&mut self, key: &str, value: &str) {
        self.key(key);
        self.out.push_str(value);
    }

    fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        write_string(self.out, value);
    }

    fn time(&mut self, key: &str, value: i64, there: u64) {
        match there {
            0 => self.raw(key, "null"),
            _ => self.whole(key, value),
        }
    }

    fn whole(&mut self, key: &str, value: i64) {
        self.key(key);
        self.number(value);
    }

    fn float(&mut self, key: &str, value: f64) {
        self.key(key);
        self.written(format_args!("{value:?}"));
    }

    /// A price, of which the broker sent `raw`. Its decimals are written as
    /// they are: that is the shortest text for the number that a division gives.
    fn price(&mut self, key: &str, raw: i64) {
        self.key(key);
        match self.decimals {
            Some(decimals) => self.decimal(raw, decimals),
            None => {
                let value = raw as f64 / f64::from(self.divider);
                self.written(format_args!("{value:?}"));
            }
        }
    }

    /// `raw` with so many decimals, but without zeros at the end: 12.5, 12.0.
    fn decimal(&mut self, raw: i64, decimals: u8) {
        let (mut unit, mut decimals) = (10_u64.pow(decimals.into()), usize::from(decimals));
        let size = raw.unsigned_abs();
        if raw < 0 {
            self.out.push('-');
        }
        let (rupees, mut part) = (size / unit, size % unit);
        self.out.push_str(itoa::Buffer::new().format(rupees));
        self.out.push('.');
        while decimals > 1 && part % 10 == 0 {
            part /= 10;
            unit /= 10;
            decimals -= 1;
        }
        // A digit more in front keeps the zeros behind it.
        let digits = &mut itoa::Buffer::new();
        let digits = digits.format(unit + part);
        self.out.push_str(digits.get(1..).filter(|d| !d.is_empty()).unwrap_or("0"));
    }

    fn number(&mut self, value: i64) {
        self.out.push_str(itoa::Buffer::new().format(value));
    }

    fn written(&mut self, value: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _written = self.out.write_fmt(value);
    }
}

fn decimals_of(divider: i32) -> Option<u8> {
    let divider = u32::try_from(divider).ok()?;
    let decimals = divider.checked_ilog10()?;
    (10_u32.pow(decimals) == divider).then_some(decimals as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(raw: i64, divider: i32) -> String {
        let mut out = String::new();
        let mut members = Members {
            out: &mut out,
            divider,
            decimals: decimals_of(divider),
        };
        members.price("p", raw);
        out[",\"p\":".len()..].to_owned()
    }

    #[test]
    fn prices_are_written_as_they_are() {
        for (raw, divider, expected) in [
            (123_456, 100, "1234.56"),
            (123_450, 100, "1234.5"),
            (123_400, 100, "1234.0"),
            (5, 100, "0.05"),
            (0, 100, "0.0"),
            (-5, 100, "-0.05"),
            (-12_340, 10_000, "-1.234"),
            (4_294_967_295, 10_000_000, "429.4967295"),
            (1, 10_000_000, "0.0000001"),
            (7, 1, "7.0"),
            (1, 3, "0.3333333333333333"),
        ] {
            assert_eq!(price(raw, divider), expected);
        }
    }

    #[test]
    fn the_text_of_a_price_is_the_number_that_a_division_gives() {
        let mut raw = 1_i64;
        while raw <= i64::from(u32::MAX) {
            for divider in [1, 10, 100, 10_000, 10_000_000, 250] {
                for raw in [raw, -raw, raw + 1] {
                    let text = price(raw, divider);
                    let value: f64 = text.parse().expect(&text);
                    assert_eq!(value, raw as f64 / f64::from(divider), "{raw} / {divider}");
                }
            }
            raw = raw * 3 + 1;
        }
    }
}
