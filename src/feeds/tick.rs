//! The records that callers read: plain structs of the C ABI.
//!
//! The header is generated from this file, so the comments speak to callers.
//! Sizes are checked here and in the C tests: they never change but by fields
//! added at the end.

use std::ffi::c_char;

/// The record is a touch line or market depth.
pub const KNEO_KIND_SCRIP: i32 = 1;
/// The record is a mini touch line.
pub const KNEO_KIND_SCRIP_LITE: i32 = 2;
/// The record is an index.
pub const KNEO_KIND_INDEX: i32 = 3;
/// The record tells how an exchange segment is: see status_code.
pub const KNEO_KIND_MARKET_STATUS: i32 = 4;
/// The record is a reference price of the closing auction.
pub const KNEO_KIND_CAS: i32 = 5;
/// The record tells how the feed is: see feed_state. It has no prices.
pub const KNEO_KIND_STATE: i32 = 6;

/// A connection is being made.
pub const KNEO_STATE_CONNECTING: i32 = 1;
/// Connected; the broker has not confirmed the login yet.
pub const KNEO_STATE_AUTHENTICATING: i32 = 2;
/// Logged in, and the connection lives.
pub const KNEO_STATE_LIVE: i32 = 3;
/// The connection lives, but what is subscribed sends nothing.
pub const KNEO_STATE_STALE: i32 = 4;
/// No connection; it is tried again without limit.
pub const KNEO_STATE_DOWN: i32 = 5;
/// The broker does not accept the login, or there is no session: log in again.
pub const KNEO_STATE_REFUSED: i32 = 6;

/// last_traded_price is there.
pub const KNEO_HAS_LAST_TRADED_PRICE: u64 = 1 << 0;
/// open_price, high_price and low_price are there.
pub const KNEO_HAS_OHL: u64 = 1 << 1;
/// close_price is there.
pub const KNEO_HAS_CLOSE_PRICE: u64 = 1 << 2;
/// average_trade_price is there.
pub const KNEO_HAS_AVERAGE_TRADE_PRICE: u64 = 1 << 3;
/// net_change is there.
pub const KNEO_HAS_NET_CHANGE: u64 = 1 << 4;
/// net_change_percent is there.
pub const KNEO_HAS_NET_CHANGE_PERCENT: u64 = 1 << 5;
/// upper_circuit_limit and lower_circuit_limit are there.
pub const KNEO_HAS_CIRCUIT_LIMITS: u64 = 1 << 6;
/// yearly_high and yearly_low are there.
pub const KNEO_HAS_YEARLY: u64 = 1 << 7;
/// total_traded_value is there.
pub const KNEO_HAS_TOTAL_TRADED_VALUE: u64 = 1 << 8;
/// buy_price, buy_quantity and buy_orders are there: the best bid.
pub const KNEO_HAS_BUY: u64 = 1 << 9;
/// sell_price, sell_quantity and sell_orders are there: the best ask.
pub const KNEO_HAS_SELL: u64 = 1 << 10;
/// ref_price, imbalance_qty and imbalance_qty_at_market are there.
pub const KNEO_HAS_CAS: u64 = 1 << 11;
/// last_trade_time is there: there was a trade.
pub const KNEO_HAS_LAST_TRADE_TIME: u64 = 1 << 12;
/// last_update_time is there: the instrument was ever updated.
pub const KNEO_HAS_LAST_UPDATE_TIME: u64 = 1 << 13;
/// last_trade_qty is there.
pub const KNEO_HAS_LAST_TRADE_QTY: u64 = 1 << 14;
/// total_buy_quantity and total_sell_quantity are there.
pub const KNEO_HAS_TOTAL_QUANTITIES: u64 = 1 << 15;
/// volume_traded_today is there.
pub const KNEO_HAS_VOLUME: u64 = 1 << 16;
/// open_interest is there.
pub const KNEO_HAS_OPEN_INTEREST: u64 = 1 << 17;
/// market_lot is there.
pub const KNEO_HAS_MARKET_LOT: u64 = 1 << 18;
/// precision and multiplier are there.
pub const KNEO_HAS_PRECISION: u64 = 1 << 19;
/// status_code is there.
pub const KNEO_HAS_STATUS_CODE: u64 = 1 << 20;
/// close_code is there.
pub const KNEO_HAS_CLOSE_CODE: u64 = 1 << 21;

/// One record of a market feed.
///
/// Prices are in rupees: the broker's whole number, which stands beside each
/// as ..._raw, divided by divider. A field is there only if its bit in valid
/// is set (KNEO_HAS_...); else it is 0 and means nothing. Times of the
/// exchange are unix seconds.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tick {
    /// Price of the last trade; value of an index.
    pub last_traded_price: f64,
    /// First price of the day.
    pub open_price: f64,
    /// Highest price of the day.
    pub high_price: f64,
    /// Lowest price of the day.
    pub low_price: f64,
    /// Closing price of the day before.
    pub close_price: f64,
    /// Average price of the day's trades.
    pub average_trade_price: f64,
    /// Change against the closing price, in rupees (points of an index).
    pub net_change: f64,
    /// Change against the closing price, in percent.
    pub net_change_percent: f64,
    /// Highest price that orders may have today.
    pub upper_circuit_limit: f64,
    /// Lowest price that orders may have today.
    pub lower_circuit_limit: f64,
    /// Highest price of 52 weeks.
    pub yearly_high: f64,
    /// Lowest price of 52 weeks.
    pub yearly_low: f64,
    /// Value of the day's trades, as the broker scales it (by divider).
    pub total_traded_value: f64,
    /// Price of the best bid.
    pub buy_price: f64,
    /// Price of the best ask.
    pub sell_price: f64,
    /// Reference price of the closing auction.
    pub ref_price: f64,
    /// The broker's multiplier for the instrument.
    pub multiplier: f64,
    /// last_traded_price as the broker sent it.
    pub last_traded_price_raw: i64,
    /// open_price as the broker sent it.
    pub open_price_raw: i64,
    /// high_price as the broker sent it.
    pub high_price_raw: i64,
    /// low_price as the broker sent it.
    pub low_price_raw: i64,
    /// close_price as the broker sent it.
    pub close_price_raw: i64,
    /// average_trade_price as the broker sent it.
    pub average_trade_price_raw: i64,
    /// net_change as the broker sent it; of an index computed.
    pub net_change_raw: i64,
    /// upper_circuit_limit as the broker sent it.
    pub upper_circuit_limit_raw: i64,
    /// lower_circuit_limit as the broker sent it.
    pub lower_circuit_limit_raw: i64,
    /// yearly_high as the broker sent it.
    pub yearly_high_raw: i64,
    /// yearly_low as the broker sent it.
    pub yearly_low_raw: i64,
    /// buy_price as the broker sent it.
    pub buy_price_raw: i64,
    /// sell_price as the broker sent it.
    pub sell_price_raw: i64,
    /// ref_price as the broker sent it.
    pub ref_price_raw: i64,
    /// When the last trade was, unix seconds.
    pub last_trade_time: i64,
    /// When the exchange last updated the instrument, unix seconds.
    pub last_update_time: i64,
    /// Quantity of the last trade.
    pub last_trade_qty: i64,
    /// Quantity of all bids.
    pub total_buy_quantity: i64,
    /// Quantity of all asks.
    pub total_sell_quantity: i64,
    /// Quantity traded today.
    pub volume_traded_today: i64,
    /// Open interest.
    pub open_interest: i64,
    /// Quantity of the best bid.
    pub buy_quantity: i64,
    /// Quantity of the best ask.
    pub sell_quantity: i64,
    /// Imbalance of orders in the closing auction.
    pub imbalance_qty: i64,
    /// The same of market orders.
    pub imbalance_qty_at_market: i64,
    /// Smallest quantity that can be traded.
    pub market_lot: i64,
    /// When this record arrived here, unix nanoseconds, by this machine's
    /// clock.
    pub received_ns: i64,
    /// How old it was when it was read, in microseconds since it arrived.
    /// Not touched by changes of the clock.
    pub age_us: i64,
    /// Counts all records of a feed in the order in which they arrived.
    pub sequence: u64,
    /// How many older values of the same record were never read since the
    /// one before.
    pub replaced: u64,
    /// Which fields are there: bits KNEO_HAS_...
    pub valid: u64,
    /// What the record is: KNEO_KIND_...
    pub kind: i32,
    /// The broker's number of the exchange segment.
    pub exchange_id: i32,
    /// The broker's number of the instrument; 0 for a status or state.
    pub token: u32,
    /// What raw prices are divided by.
    pub divider: i32,
    /// The broker's level: 1 mini touch line, 2 or 4 touch line, 8 depth, 16
    /// full depth; else 0.
    pub level: i32,
    /// Decimals of a price.
    pub precision: i32,
    /// 1 during an auction, else 0.
    pub auction: i32,
    /// Orders at the best bid.
    pub buy_orders: i32,
    /// Orders at the best ask.
    pub sell_orders: i32,
    /// Rows of bids that kneo_feed_depth has.
    pub buy_rows: i32,
    /// Rows of asks that kneo_feed_depth has.
    pub sell_rows: i32,
    /// What the exchange said: 1 open, 2 closed; 3 to 12 see the guide.
    pub status_code: i32,
    /// Of a state record: the state. Else: the feed's state when the record
    /// was read. KNEO_STATE_...
    pub feed_state: i32,
    /// Of a state record: the close code of the connection.
    pub close_code: i32,
    /// Of a state record: how many changes it stands for, 1 or more.
    pub state_changes: i32,
    /// 0.
    pub reserved: i32,
    /// The exchange segment, for example "nse_cm", with a NUL at its end.
    pub exchange_segment: [c_char; 8],
    /// The trading symbol, UTF-8 with a NUL at its end; empty until the broker
    /// has told it.
    pub trading_symbol: [c_char; 48],
    /// The name of an index, UTF-8 with a NUL at its end; else empty.
    pub name: [c_char; 24],
}

/// The rows of each side in a kneo_depth.
pub const KNEO_DEPTH_ROWS: usize = 20;

/// One price of the market depth.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DepthRow {
    /// The price in rupees.
    pub price: f64,
    /// The price as the broker sent it.
    pub price_raw: i64,
    /// Quantity at this price.
    pub quantity: i64,
    /// Orders at this price.
    pub orders: i32,
    /// 0.
    pub reserved: i32,
}

/// The market depth of one instrument.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Depth {
    /// Bids, best first. Those from buy_rows on are 0.
    pub buy: [DepthRow; KNEO_DEPTH_ROWS],
    /// Asks, best first. Those from sell_rows on are 0.
    pub sell: [DepthRow; KNEO_DEPTH_ROWS],
    /// When it arrived here, unix nanoseconds, by this machine's clock.
    pub received_ns: i64,
    /// How old it was when it was read, in microseconds.
    pub age_us: i64,
    /// As in kneo_tick.
    pub sequence: u64,
    /// The broker's number of the exchange segment.
    pub exchange_id: i32,
    /// The broker's number of the instrument.
    pub token: u32,
    /// What raw prices are divided by.
    pub divider: i32,
    /// 4 touch line (one row each), 8 depth, 16 full depth.
    pub level: i32,
    /// How many bids there are in buy.
    pub buy_rows: i32,
    /// How many asks there are in sell.
    pub sell_rows: i32,
    /// How many bids the broker sent; more than buy_rows if they do not fit.
    pub buy_rows_sent: i32,
    /// How many asks the broker sent.
    pub sell_rows_sent: i32,
    /// The feed's state when this was read: KNEO_STATE_...
    pub feed_state: i32,
    /// 0.
    pub reserved: i32,
    /// As in kneo_tick.
    pub exchange_segment: [c_char; 8],
    /// As in kneo_tick.
    pub trading_symbol: [c_char; 48],
}

const _: () = assert!(size_of::<Tick>() == 528 && align_of::<Tick>() <= 8);
const _: () = assert!(size_of::<DepthRow>() == 32);
const _: () = assert!(size_of::<Depth>() == 1400 && align_of::<Depth>() <= 8);

impl Default for Tick {
    fn default() -> Self {
        Self {
            last_traded_price: 0.0,
            open_price: 0.0,
            high_price: 0.0,
            low_price: 0.0,
            close_price: 0.0,
            average_trade_price: 0.0,
            net_change: 0.0,
            net_change_percent: 0.0,
            upper_circuit_limit: 0.0,
            lower_circuit_limit: 0.0,
            yearly_high: 0.0,
            yearly_low: 0.0,
            total_traded_value: 0.0,
            buy_price: 0.0,
            sell_price: 0.0,
            ref_price: 0.0,
            multiplier: 0.0,
            last_traded_price_raw: 0,
            open_price_raw: 0,
            high_price_raw: 0,
            low_price_raw: 0,
            close_price_raw: 0,
            average_trade_price_raw: 0,
            net_change_raw: 0,
            upper_circuit_limit_raw: 0,
            lower_circuit_limit_raw: 0,
            yearly_high_raw: 0,
            yearly_low_raw: 0,
            buy_price_raw: 0,
            sell_price_raw: 0,
            ref_price_raw: 0,
            last_trade_time: 0,
            last_update_time: 0,
            last_trade_qty: 0,
            total_buy_quantity: 0,
            total_sell_quantity: 0,
            volume_traded_today: 0,
            open_interest: 0,
            buy_quantity: 0,
            sell_quantity: 0,
            imbalance_qty: 0,
            imbalance_qty_at_market: 0,
            market_lot: 0,
            received_ns: 0,
            age_us: 0,
            sequence: 0,
            replaced: 0,
            valid: 0,
            kind: 0,
            exchange_id: 0,
            token: 0,
            divider: 0,
            level: 0,
            precision: 0,
            auction: 0,
            buy_orders: 0,
            sell_orders: 0,
            buy_rows: 0,
            sell_rows: 0,
            status_code: 0,
            feed_state: 0,
            close_code: 0,
            state_changes: 0,
            reserved: 0,
            exchange_segment: [0; 8],
            trading_symbol: [0; 48],
            name: [0; 24],
        }
    }
}

impl Default for Depth {
    fn default() -> Self {
        let none = DepthRow::default();
        Self {
            buy: [none; KNEO_DEPTH_ROWS],
            sell: [none; KNEO_DEPTH_ROWS],
            received_ns: 0,
            age_us: 0,
            sequence: 0,
            exchange_id: 0,
            token: 0,
            divider: 0,
            level: 0,
            buy_rows: 0,
            sell_rows: 0,
            buy_rows_sent: 0,
            sell_rows_sent: 0,
            feed_state: 0,
            reserved: 0,
            exchange_segment: [0; 8],
            trading_symbol: [0; 48],
        }
    }
}

/// Copies a text into a field of fixed size: cut at a whole character, with a
/// NUL at its end.
pub(crate) fn put_text<const N: usize>(to: &mut [c_char; N], text: &str) {
    *to = [0; N];
    let mut end = text.len().min(N - 1);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    for (to, byte) in to.iter_mut().zip(text[..end].bytes()) {
        *to = byte as c_char;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_at_a_whole_character() {
        let put = |text| {
            let mut field = [0; 8];
            put_text(&mut field, text);
            field.map(|byte| byte as u8)
        };
        assert_eq!(&put("nse_cm"), b"nse_cm\0\0");
        assert_eq!(&put("12345678"), b"1234567\0");
        assert_eq!(&put("123456\u{20b9}"), b"123456\0\0");
    }
}
