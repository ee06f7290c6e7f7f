//! The packets of the market feed: pure, zero-copy, no allocation.
//!
//! A frame is packets end to end, little-endian, without padding. Whatever
//! the bytes are, reading them never panics.

use std::ffi::c_char;
use std::fmt::Write;

use crate::feeds::tick::{self, Depth, DepthRow, KNEO_DEPTH_ROWS, Tick, put_text};
use crate::json::write_string;

const HEADER: usize = 9;
const PICTURE: usize = 144;
const ROW: usize = 16;
/// Some 250 rows of depth on each side: more than any exchange shows. What
/// is kept of an instrument cannot grow beyond it.
const LARGEST: usize = 8192;

/// What is divided by where the login named no divider.
pub(crate) const USUAL_DIVIDER: i32 = 100;

const EXCHANGES: [&str; 11] = [
    "none", "nse_cm", "nse_fo", "cde_fo", "nse_com", "bse_cm", "bse_fo", "bse_cd", "bse_co",
    "mcx_fo", "ncd_co",
];

/// The same, as structs have them.
const FIELDS: [[c_char; 8]; EXCHANGES.len()] = {
    let mut fields = [[0; 8]; EXCHANGES.len()];
    let mut at = 0;
    while at < fields.len() {
        let name = EXCHANGES[at].as_bytes();
        let mut byte = 0;
        while byte < name.len() {
            fields[at][byte] = name[byte] as c_char;
            byte += 1;
        }
        at += 1;
    }
    fields
};

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

/// The number of an exchange segment.
pub(crate) fn exchange_id(name: &str) -> Option<i8> {
    let at = EXCHANGES.iter().position(|known| *known == name)?;
    i8::try_from(at).ok()
}

/// The name of an exchange segment; one that is not known has its number.
pub(crate) fn exchange_name(id: i8) -> ExchangeName {
    ExchangeName(id)
}

#[derive(Clone, Copy)]
pub(crate) struct ExchangeName(i8);

impl ExchangeName {
    /// Fixed-size and with a NUL at its end.
    #[inline]
    fn field(self) -> [c_char; 8] {
        match usize::try_from(self.0).ok().and_then(|at| FIELDS.get(at)) {
            Some(field) => *field,
            None => self.number(),
        }
    }

    #[cold]
    fn number(self) -> [c_char; 8] {
        let mut field = [0; 8];
        put_text(&mut field, &self.0.to_string());
        field
    }

    fn known(self) -> Option<&'static str> {
        EXCHANGES.get(usize::try_from(self.0).ok()?).copied()
    }
}

impl std::fmt::Display for ExchangeName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.known() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

/// What raw prices are divided by, for each exchange.
#[derive(Clone, Debug)]
pub(crate) struct Dividers([i32; 256]);

impl Default for Dividers {
    fn default() -> Self {
        Self([USUAL_DIVIDER; 256])
    }
}

impl Dividers {
    /// Zero and negative ones stand for the usual one.
    pub(crate) fn set(&mut self, exchange: i8, divider: i64) {
        self.0[usize::from(exchange as u8)] = i32::try_from(divider)
            .ok()
            .filter(|divider| *divider > 0)
            .unwrap_or(USUAL_DIVIDER);
    }

    pub(crate) fn of(&self, exchange: i8) -> i32 {
        self.0[usize::from(exchange as u8)]
    }
}

/// What a packet tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Scrip,
    Lite,
    Index,
    Status,
    Cas,
}

/// One packet, long enough for what it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet<'a> {
    kind: Kind,
    bytes: &'a [u8],
}

/// One step through a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step<'a> {
    Packet(Packet<'a>),
    /// Of no kind that is known, or with nothing in it: not an error.
    Ignored,
    /// Too short or too long for what it says it is, or the end of the frame
    /// is cut.
    Malformed,
}

/// The packets of a frame.
pub(crate) struct Packets<'a>(&'a [u8]);

impl<'a> Packets<'a> {
    pub(crate) fn new(frame: &'a [u8]) -> Self {
        Self(frame)
    }
}

impl<'a> Iterator for Packets<'a> {
    type Item = Step<'a>;

    #[inline]
    fn next(&mut self) -> Option<Step<'a>> {
        let Some(size) = self.0.first_chunk() else {
            // A single byte is left over, or none.
            let left = std::mem::take(&mut self.0);
            return (!left.is_empty()).then_some(Step::Malformed);
        };
        let size = usize::from(u16::from_le_bytes(*size));
        if size < HEADER || size > self.0.len() {
            // Where the next packet begins is unknown.
            self.0 = &[];
            return Some(Step::Malformed);
        }
        let (bytes, rest) = self.0.split_at(size);
        self.0 = rest;
        Some(Packet::read(bytes))
    }
}

impl<'a> Packet<'a> {
    #[inline]
    fn read(bytes: &'a [u8]) -> Step<'a> {
        let code = u16::from_le_bytes([bytes[2], bytes[3]]);
        let (kind, shortest) = match (code, bytes[5]) {
            (6511 | 6521, _) => (Kind::Status, HEADER),
            (7207, _) => (Kind::Index, 87),
            (105, _) => (Kind::Status, 16),
            (104, _) => (Kind::Cas, 33),
            (_, 1) => (Kind::Lite, 54),
            (_, 2 | 4 | 8 | 16) => (Kind::Scrip, PICTURE),
            _ => return Step::Ignored,
        };
        if bytes.len() < shortest || bytes.len() > LARGEST {
            return Step::Malformed;
        }
        let packet = Packet { kind, bytes };
        // Sent all day; outside the closing auction it holds nothing.
        if kind == Kind::Cas && bytes[13..33].iter().all(|byte| *byte == 0) {
            return Step::Ignored;
        }
        Step::Packet(packet)
    }

    /// A packet that was [`bytes`](Self::bytes) of another.
    pub(crate) fn again(kind: Kind, bytes: &'a [u8]) -> Self {
        Self { kind, bytes }
    }

    #[inline]
    pub(crate) fn kind(self) -> Kind {
        self.kind
    }

    #[inline]
    pub(crate) fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    #[inline]
    pub(crate) fn exchange(self) -> i8 {
        self.bytes[4] as i8
    }

    #[inline]
    pub(crate) fn token(self) -> u32 {
        match self.kind {
            Kind::Status => 0,
            _ => self.u32(9),
        }
    }

    /// What a newer packet replaces: the same instrument, kind and level.
    #[inline]
    pub(crate) fn key(self) -> u64 {
        let plane = match self.kind {
            Kind::Scrip | Kind::Lite => self.bytes[5],
            Kind::Index => 32,
            Kind::Cas => 64,
            Kind::Status => 128,
        };
        key(self.exchange(), plane, self.token())
    }

    /// The name of an index.
    pub(crate) fn index_name(self) -> Option<std::borrow::Cow<'a, str>> {
        (self.kind == Kind::Index).then(|| text(&self.bytes[66..87]))
    }

    pub(crate) fn status_code(self) -> Option<u16> {
        (self.kind == Kind::Status).then(|| match self.u16(2) {
            6511 => 1,
            6521 => 2,
            _ => self.u16(9),
        })
    }

    fn status_text(self) -> Option<std::borrow::Cow<'a, str>> {
        let code = self.status_code()?;
        let known = usize::from(code)
            .checked_sub(1)
            .and_then(|at| STATUS_TEXTS.get(at));
        if let Some(known) = known {
            return Some((*known).into());
        }
        let label = text(&self.bytes[11..16]);
        Some(if label.is_empty() {
            format!("Unknown status_code {code}").into()
        } else {
            label
        })
    }

    fn u16(self, at: usize) -> u16 {
        u16_at(self.bytes, at)
    }

    fn u32(self, at: usize) -> u32 {
        u32_at(self.bytes, at)
    }

    fn i32(self, at: usize) -> i32 {
        i32_at(self.bytes, at)
    }

    fn i64(self, at: usize) -> i64 {
        i64_at(self.bytes, at)
    }

    /// How many bids and asks the packet really carries.
    fn rows(self) -> (usize, usize) {
        if self.kind != Kind::Scrip {
            return (0, 0);
        }
        let there = (self.bytes.len() - PICTURE) / ROW;
        let (buy, sell) = match self.bytes[5] {
            // Whatever the counts say.
            4 => (1, 1),
            _ => (self.u32(89) as usize, self.u32(93) as usize),
        };
        let buy = buy.min(there);
        (buy, sell.min(there - buy))
    }

    /// Writes what the packet tells into `out`. What the packet does not know
    /// (times, symbol, state) is left zero.
    #[inline]
    pub(crate) fn to_tick(self, divider: i32, out: &mut Tick) {
        match self.kind {
            Kind::Scrip => self.scrip(divider, out),
            _ => self.other_tick(divider, out),
        }
    }

    /// All but market pictures.
    fn other_tick(self, divider: i32, out: &mut Tick) {
        *out = Tick {
            exchange_id: self.exchange().into(),
            token: self.token(),
            divider,
            exchange_segment: exchange_name(self.exchange()).field(),
            ..Tick::default()
        };
        let by = f64::from(divider);
        match self.kind {
            Kind::Scrip => {}
            Kind::Lite => self.lite(by, out),
            Kind::Index => self.index(by, out),
            Kind::Cas => {
                out.kind = tick::KNEO_KIND_CAS;
                out.valid = tick::KNEO_HAS_CAS;
                out.ref_price_raw = self.u32(13).into();
                out.ref_price = f64::from(self.u32(13)) / by;
                out.imbalance_qty = self.i64(17);
                out.imbalance_qty_at_market = self.i64(25);
            }
            Kind::Status => {
                out.kind = tick::KNEO_KIND_MARKET_STATUS;
                out.valid = tick::KNEO_HAS_STATUS_CODE;
                out.status_code = self.status_code().unwrap_or(0).into();
            }
        }
    }

    /// A touch line or market depth.
    #[inline]
    fn scrip(self, divider: i32, out: &mut Tick) {
        // One check of the length for all fields.
        let Some(fixed) = self.bytes.first_chunk() else {
            return;
        };
        let (buy, sell) = self.rows();
        let best = |first: usize, count: usize| {
            let row = self.row_bytes(first).filter(|_| count > 0);
            row.unwrap_or(&[0; ROW])
        };
        picture(fixed, best(0, buy), best(buy, sell), divider, out);
        if buy > 0 {
            out.valid |= tick::KNEO_HAS_BUY;
        }
        if sell > 0 {
            out.valid |= tick::KNEO_HAS_SELL;
        }
        out.buy_rows = buy.min(KNEO_DEPTH_ROWS) as i32;
        out.sell_rows = sell.min(KNEO_DEPTH_ROWS) as i32;
    }

    #[inline]
    fn row_bytes(self, at: usize) -> Option<&'a [u8; ROW]> {
        self.bytes.get(PICTURE + at * ROW..)?.first_chunk()
    }

    /// Rows of one side.
    #[inline]
    fn side(self, first: usize, count: usize) -> impl Iterator<Item = &'a [u8; ROW]> {
        let from = PICTURE + first * ROW;
        let bytes = self.bytes.get(from..from + count * ROW);
        let rows = bytes.unwrap_or_default().chunks_exact(ROW);
        rows.filter_map(|row| row.first_chunk())
    }

    fn lite(self, by: f64, out: &mut Tick) {
        out.kind = tick::KNEO_KIND_SCRIP_LITE;
        out.level = 1;
        let mut valid = tick::KNEO_HAS_LAST_TRADED_PRICE
            | tick::KNEO_HAS_CLOSE_PRICE
            | tick::KNEO_HAS_NET_CHANGE
            | tick::KNEO_HAS_NET_CHANGE_PERCENT
            | tick::KNEO_HAS_LAST_TRADE_QTY
            | tick::KNEO_HAS_MARKET_LOT
            | tick::KNEO_HAS_PRECISION;
        valid |= put_time(
            &mut out.last_trade_time,
            self.i64(13),
            tick::KNEO_HAS_LAST_TRADE_TIME,
        );
        out.last_traded_price_raw = self.u32(21).into();
        out.last_traded_price = f64::from(self.u32(21)) / by;
        out.last_trade_qty = self.i64(25);
        out.close_price_raw = self.u32(33).into();
        out.close_price = f64::from(self.u32(33)) / by;
        out.net_change_percent = f64::from(self.i32(37)) / 100.0;
        out.net_change_raw = self.i32(41).into();
        out.net_change = f64::from(self.i32(41)) / by;
        out.market_lot = self.u32(45).into();
        out.precision = self.bytes[49].into();
        out.multiplier = self.u32(50).into();
        out.valid = valid;
    }

    fn index(self, by: f64, out: &mut Tick) {
        let price = |at: usize| {
            let raw = self.i32(at);
            (f64::from(raw) / by, i64::from(raw))
        };
        out.kind = tick::KNEO_KIND_INDEX;
        let mut valid = tick::KNEO_HAS_LAST_TRADED_PRICE
            | tick::KNEO_HAS_OHL
            | tick::KNEO_HAS_CLOSE_PRICE
            | tick::KNEO_HAS_NET_CHANGE
            | tick::KNEO_HAS_NET_CHANGE_PERCENT
            | tick::KNEO_HAS_YEARLY
            | tick::KNEO_HAS_PRECISION;
        (out.open_price, out.open_price_raw) = price(13);
        (out.close_price, out.close_price_raw) = price(17);
        (out.high_price, out.high_price_raw) = price(21);
        (out.low_price, out.low_price_raw) = price(25);
        (out.last_traded_price, out.last_traded_price_raw) = price(29);
        valid |= put_time(
            &mut out.last_trade_time,
            self.i64(33),
            tick::KNEO_HAS_LAST_TRADE_TIME,
        );
        (out.yearly_high, out.yearly_high_raw) = price(41);
        (out.yearly_low, out.yearly_low_raw) = price(45);
        out.net_change_percent = f64::from(self.i32(49)) / 100.0;
        out.net_change_raw = out.last_traded_price_raw - out.close_price_raw;
        out.net_change = out.net_change_raw as f64 / by;
        out.precision = self.bytes[61].into();
        out.multiplier = price(62).0;
        put_text(&mut out.name, &text(&self.bytes[66..87]));
        out.valid = valid;
    }

    /// Writes the rows of the market depth into `out`.
    pub(crate) fn to_depth(self, divider: i32, out: &mut Depth) {
        let (buy, sell) = self.rows();
        let by = f64::from(divider);
        put_rows(self.side(0, buy), by, &mut out.buy);
        put_rows(self.side(buy, sell), by, &mut out.sell);
        out.received_ns = 0;
        out.age_us = 0;
        out.sequence = 0;
        out.exchange_id = self.exchange().into();
        out.token = self.token();
        out.divider = divider;
        out.level = self.bytes[5].into();
        out.buy_rows = buy.min(KNEO_DEPTH_ROWS) as i32;
        out.sell_rows = sell.min(KNEO_DEPTH_ROWS) as i32;
        out.buy_rows_sent = buy as i32;
        out.sell_rows_sent = sell as i32;
        out.feed_state = 0;
        out.reserved = 0;
        out.exchange_segment = exchange_name(self.exchange()).field();
        out.trading_symbol = [0; 48];
    }

    /// Writes the members of the event for this packet, without braces: the
    /// field names are those of the official SDK.
    pub(crate) fn write_json(self, divider: i32, symbol: Option<&str>, out: &mut String) {
        let mut tick = Tick::default();
        self.to_tick(divider, &mut tick);
        let mut json = Members(out);
        let kind = match self.kind {
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
        if self.kind == Kind::Cas {
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
        if self.kind != Kind::Lite {
            json.price("open_price", tick.open_price);
            json.price("high_price", tick.high_price);
            json.price("low_price", tick.low_price);
            json.price("yearly_high", tick.yearly_high);
            json.price("yearly_low", tick.yearly_low);
        }
        if self.kind == Kind::Index {
            json.text("name", &text(&self.bytes[66..87]));
            json.price("change", tick.net_change);
            json.price("multiplier", tick.multiplier);
            return;
        }
        json.price("net_change", tick.net_change);
        json.whole("last_trade_qty", tick.last_trade_qty);
        json.whole("market_lot", tick.market_lot);
        json.whole("multiplier", tick.multiplier as i64);
        if self.kind == Kind::Scrip {
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
}

/// The key of what a newer packet replaces. `plane` is the level of a price,
/// 32 for an index, 64 for the closing auction, 128 for a market status.
pub(crate) fn key(exchange: i8, plane: u8, token: u32) -> u64 {
    u64::from(token) | u64::from(plane) << 32 | u64::from(exchange as u8) << 40
}

/// Exchange and token of a [`key`].
pub(crate) fn of_key(key: u64) -> (i8, u32) {
    ((key >> 40) as u8 as i8, key as u32)
}

/// Writes a market picture but for how many rows it has. This is on the way of
/// every tick. That it gets the bytes and the struct as arguments of its own
/// tells the compiler that they do not overlap, so that it divides two prices
/// at a time.
fn picture(fixed: &[u8; PICTURE], bid: &[u8; ROW], ask: &[u8; ROW], divider: i32, out: &mut Tick) {
    let exchange_segment = exchange_name(fixed[4] as i8).field();
    let by = f64::from(divider);
    let (bid, ask) = (row_of(bid, by), row_of(ask, by));
    let trade_time = i64_at(fixed, 37);
    let update_time = i64_at(fixed, 45);
    let value = f64_at(fixed, 107) / by;
    let bit = |there: bool, bit: u64| if there { bit } else { 0 };
    let price = |at: usize| f64::from(u32_at(fixed, at)) / by;
    let raw = |at: usize| i64::from(u32_at(fixed, at));
    *out = Tick {
        last_traded_price: price(69),
        open_price: price(53),
        high_price: price(61),
        low_price: price(65),
        close_price: price(57),
        average_trade_price: price(81),
        net_change: f64::from(i32_at(fixed, 115)) / by,
        net_change_percent: f64::from(i32_at(fixed, 99)) / 100.0,
        upper_circuit_limit: price(119),
        lower_circuit_limit: price(123),
        yearly_high: price(127),
        yearly_low: price(131),
        total_traded_value: if value.is_finite() { value } else { 0.0 },
        buy_price: bid.price,
        sell_price: ask.price,
        ref_price: 0.0,
        multiplier: u32_at(fixed, 140).into(),
        last_traded_price_raw: raw(69),
        open_price_raw: raw(53),
        high_price_raw: raw(61),
        low_price_raw: raw(65),
        close_price_raw: raw(57),
        average_trade_price_raw: raw(81),
        net_change_raw: i32_at(fixed, 115).into(),
        upper_circuit_limit_raw: raw(119),
        lower_circuit_limit_raw: raw(123),
        yearly_high_raw: raw(127),
        yearly_low_raw: raw(131),
        buy_price_raw: bid.price_raw,
        sell_price_raw: ask.price_raw,
        ref_price_raw: 0,
        last_trade_time: trade_time.max(0),
        last_update_time: update_time.max(0),
        last_trade_qty: i64_at(fixed, 73),
        total_buy_quantity: i64_at(fixed, 13),
        total_sell_quantity: i64_at(fixed, 21),
        volume_traded_today: i64_at(fixed, 29),
        open_interest: raw(103),
        buy_quantity: bid.quantity,
        sell_quantity: ask.quantity,
        imbalance_qty: 0,
        imbalance_qty_at_market: 0,
        market_lot: raw(135),
        received_ns: 0,
        age_us: 0,
        sequence: 0,
        replaced: 0,
        valid: ALWAYS_IN_PICTURE
            | bit(is_time(trade_time), tick::KNEO_HAS_LAST_TRADE_TIME)
            | bit(is_time(update_time), tick::KNEO_HAS_LAST_UPDATE_TIME)
            | bit(value.is_finite(), tick::KNEO_HAS_TOTAL_TRADED_VALUE),
        kind: tick::KNEO_KIND_SCRIP,
        exchange_id: (fixed[4] as i8).into(),
        token: u32_at(fixed, 9),
        divider,
        level: fixed[5].into(),
        precision: fixed[139].into(),
        auction: i32::from(fixed[6] > 0),
        buy_orders: bid.orders,
        sell_orders: ask.orders,
        buy_rows: 0,
        sell_rows: 0,
        status_code: 0,
        feed_state: 0,
        close_code: 0,
        state_changes: 0,
        reserved: 0,
        exchange_segment,
        trading_symbol: [0; 48],
        name: [0; 24],
    };
}

/// What every market picture has.
const ALWAYS_IN_PICTURE: u64 = tick::KNEO_HAS_LAST_TRADED_PRICE
    | tick::KNEO_HAS_OHL
    | tick::KNEO_HAS_CLOSE_PRICE
    | tick::KNEO_HAS_AVERAGE_TRADE_PRICE
    | tick::KNEO_HAS_NET_CHANGE
    | tick::KNEO_HAS_NET_CHANGE_PERCENT
    | tick::KNEO_HAS_CIRCUIT_LIMITS
    | tick::KNEO_HAS_YEARLY
    | tick::KNEO_HAS_LAST_TRADE_QTY
    | tick::KNEO_HAS_TOTAL_QUANTITIES
    | tick::KNEO_HAS_VOLUME
    | tick::KNEO_HAS_OPEN_INTEREST
    | tick::KNEO_HAS_MARKET_LOT
    | tick::KNEO_HAS_PRECISION;

/// 0 and negative times mean that there is none: the exchange writes "never"
/// as 1 January 1900.
fn is_time(time: i64) -> bool {
    time > 0
}

fn put_time(to: &mut i64, time: i64, bit: u64) -> u64 {
    if !is_time(time) {
        return 0;
    }
    *to = time;
    bit
}

#[inline]
fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    // The length was checked for the kind; the rest is never asked for.
    let there = bytes.get(at..).and_then(|rest| rest.first_chunk());
    there.copied().unwrap_or([0; N])
}

#[inline]
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array_at(bytes, at))
}

#[inline]
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

#[inline]
fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_le_bytes(array_at(bytes, at))
}

#[inline]
fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_le_bytes(array_at(bytes, at))
}

#[inline]
fn f64_at(bytes: &[u8], at: usize) -> f64 {
    f64::from_le_bytes(array_at(bytes, at))
}

#[inline]
fn row_of(bytes: &[u8; ROW], by: f64) -> DepthRow {
    let all = u128::from_le_bytes(*bytes);
    let raw = (all >> 64) as i32;
    DepthRow {
        price: f64::from(raw) / by,
        price_raw: raw.into(),
        quantity: all as i64,
        orders: (all >> 96) as i32,
        reserved: 0,
    }
}

/// Writes as many rows as there is room for; the rest of it is zero.
#[inline]
fn put_rows<'a>(
    mut rows: impl Iterator<Item = &'a [u8; ROW]>,
    by: f64,
    out: &mut [DepthRow; KNEO_DEPTH_ROWS],
) {
    for to in out {
        *to = rows.next().map(|row| row_of(row, by)).unwrap_or_default();
    }
}

/// A text of fixed size: up to its first NUL, trimmed.
fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    let end = bytes.iter().position(|byte| *byte == 0);
    let bytes = &bytes[..end.unwrap_or(bytes.len())];
    match String::from_utf8_lossy(bytes) {
        std::borrow::Cow::Borrowed(text) => text.trim().into(),
        std::borrow::Cow::Owned(text) => text.trim().to_owned().into(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn vectors() -> Vec<Value> {
        let text = include_str!("../../../tests/fixtures/feed_packets.json");
        serde_json::from_str(text).expect("the vectors are JSON")
    }

    fn bytes_of(vector: &Value) -> Vec<u8> {
        let hex = vector["hex"].as_str().expect("each vector has bytes");
        data_encoding::HEXLOWER
            .decode(hex.as_bytes())
            .expect("they are in hex")
    }

    fn dividers_of(vector: &Value) -> Dividers {
        let mut dividers = Dividers::default();
        for (exchange, divider) in vector["dividers"].as_object().expect("an object") {
            dividers.set(
                exchange.parse().expect("a number"),
                divider.as_i64().expect("a number"),
            );
        }
        dividers
    }

    fn packets(frame: &[u8]) -> Vec<Packet<'_>> {
        Packets::new(frame)
            .filter_map(|step| match step {
                Step::Packet(packet) => Some(packet),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn every_vector_gives_what_the_sdk_gives() {
        let all = vectors();
        assert!(all.len() > 20);
        for vector in &all {
            let (name, frame, dividers) = (&vector["name"], bytes_of(vector), dividers_of(vector));
            let mut expected = vector["expected"].as_array().expect("a list").clone();
            expected.retain(|one| !one.is_null());
            for one in &mut expected {
                // The SDK shows these as 0.
                for time in ["last_update_time", "last_trade_time"] {
                    if one.get(time).is_some_and(|shown| *shown == 0) {
                        one[time] = Value::Null;
                    }
                }
            }
            let found: Vec<Value> = packets(&frame)
                .into_iter()
                .map(|packet| {
                    let mut json = "{".to_owned();
                    packet.write_json(dividers.of(packet.exchange()), None, &mut json);
                    json.push('}');
                    serde_json::from_str(&json).expect(&json)
                })
                .collect();
            let plain = |values: &[Value]| -> Vec<Value> {
                // Numbers are compared by value, not by how they are written.
                values.iter().map(by_value).collect()
            };
            assert_eq!(plain(&found), plain(&expected), "{name}");
        }
    }

    fn by_value(value: &Value) -> Value {
        match value {
            Value::Number(number) => {
                let number = number.as_f64().expect("a number");
                Value::String(format!("{number:?}"))
            }
            Value::Array(all) => all.iter().map(by_value).collect(),
            Value::Object(all) => all
                .iter()
                .map(|(key, value)| (key.clone(), by_value(value)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            other => other.clone(),
        }
    }

    #[test]
    fn the_struct_says_the_same() {
        for vector in &vectors() {
            let (frame, dividers) = (bytes_of(vector), dividers_of(vector));
            let expected = vector["expected"].as_array().expect("a list");
            let expected = expected.iter().filter(|one| !one.is_null());
            for (packet, expected) in packets(&frame).into_iter().zip(expected) {
                let mut tick = Tick::default();
                packet.to_tick(dividers.of(packet.exchange()), &mut tick);
                let shown = |key: &str| expected.get(key).and_then(Value::as_f64);
                let name = &vector["name"];
                for (key, value, raw, bit) in [
                    (
                        "last_traded_price",
                        tick.last_traded_price,
                        tick.last_traded_price_raw,
                        tick::KNEO_HAS_LAST_TRADED_PRICE,
                    ),
                    (
                        "open_price",
                        tick.open_price,
                        tick.open_price_raw,
                        tick::KNEO_HAS_OHL,
                    ),
                    (
                        "high_price",
                        tick.high_price,
                        tick.high_price_raw,
                        tick::KNEO_HAS_OHL,
                    ),
                    (
                        "low_price",
                        tick.low_price,
                        tick.low_price_raw,
                        tick::KNEO_HAS_OHL,
                    ),
                    (
                        "close_price",
                        tick.close_price,
                        tick.close_price_raw,
                        tick::KNEO_HAS_CLOSE_PRICE,
                    ),
                    (
                        "average_trade_price",
                        tick.average_trade_price,
                        tick.average_trade_price_raw,
                        tick::KNEO_HAS_AVERAGE_TRADE_PRICE,
                    ),
                    (
                        "upper_circuit_limit",
                        tick.upper_circuit_limit,
                        tick.upper_circuit_limit_raw,
                        tick::KNEO_HAS_CIRCUIT_LIMITS,
                    ),
                    (
                        "yearly_low",
                        tick.yearly_low,
                        tick.yearly_low_raw,
                        tick::KNEO_HAS_YEARLY,
                    ),
                    (
                        "ref_price",
                        tick.ref_price,
                        tick.ref_price_raw,
                        tick::KNEO_HAS_CAS,
                    ),
                ] {
                    let there = tick.valid & bit != 0;
                    assert_eq!(there.then_some(value), shown(key), "{name} {key}");
                    assert_eq!(raw as f64 / f64::from(tick.divider), value, "{name} {key}");
                }
                let status = (tick.valid & tick::KNEO_HAS_STATUS_CODE != 0)
                    .then_some(f64::from(tick.status_code));
                assert_eq!(status, shown("status_code"), "{name}");
                let time = (tick.valid & tick::KNEO_HAS_LAST_UPDATE_TIME != 0)
                    .then_some(tick.last_update_time as f64);
                assert_eq!(time, shown("last_update_time").filter(|time| *time > 0.0));

                let mut depth = Depth::default();
                packet.to_depth(dividers.of(packet.exchange()), &mut depth);
                for (side, rows, count) in [
                    ("buy", &depth.buy, depth.buy_rows),
                    ("sell", &depth.sell, depth.sell_rows),
                ] {
                    let expected = expected.get(side).and_then(Value::as_array);
                    assert_eq!(count as usize, expected.map_or(0, Vec::len), "{name}");
                    for (row, expected) in rows.iter().zip(expected.into_iter().flatten()) {
                        assert_eq!(expected["price"].as_f64(), Some(row.price), "{name}");
                        assert_eq!(expected["quantity"].as_i64(), Some(row.quantity));
                        assert_eq!(expected["orders"].as_i64(), Some(row.orders.into()));
                    }
                }
            }
        }
    }

    #[test]
    fn a_value_that_is_no_number_is_none() {
        let vector = &vectors()[2];
        let mut frame = bytes_of(vector);
        frame[107..115].copy_from_slice(&f64::NAN.to_le_bytes());
        let packet = packets(&frame)[0];
        let mut tick = Tick::default();
        packet.to_tick(100, &mut tick);
        assert_eq!(tick.valid & tick::KNEO_HAS_TOTAL_TRADED_VALUE, 0);
        let mut json = "{".to_owned();
        packet.write_json(100, Some("A\"B"), &mut json);
        assert!(json.contains(r#""total_traded_value":null"#), "{json}");
        assert!(json.contains(r#""trading_symbol":"A\"B""#), "{json}");
    }

    /// Every frame here is a vector with bytes changed, cut or put together.
    #[test]
    fn survives_any_bytes() {
        let seeds: Vec<Vec<u8>> = vectors().iter().map(bytes_of).collect();
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as usize
        };
        let mut json = String::new();
        let mut seen = 0_usize;
        for _ in 0..120_000 {
            let mut frame = seeds[random() % seeds.len()].clone();
            if random() % 4 == 0 {
                frame.extend_from_slice(&seeds[random() % seeds.len()]);
            }
            for _ in 0..random() % 12 {
                let at = random() % frame.len();
                frame[at] = random() as u8;
            }
            frame.truncate(1 + random() % frame.len());
            for step in Packets::new(&frame) {
                let Step::Packet(packet) = step else { continue };
                seen += 1;
                let divider = 1 + (random() % 1000) as i32;
                let (mut tick, mut depth) = (Tick::default(), Depth::default());
                packet.to_tick(divider, &mut tick);
                packet.to_depth(divider, &mut depth);
                assert!(depth.buy_rows_sent + depth.sell_rows_sent <= 512);
                json.clear();
                json.push('{');
                packet.write_json(divider, Some("X"), &mut json);
                json.push('}');
                let parsed: Result<Value, _> = serde_json::from_str(&json);
                assert!(parsed.is_ok(), "{json}");
                assert!(Packet::again(packet.kind(), packet.bytes()).key() == packet.key());
            }
        }
        assert!(seen > 10_000, "{seen}");
    }

    #[test]
    fn absurd_counts_and_sizes() {
        let mut frame = vec![0; 9000];
        frame[..2].copy_from_slice(&9000_u16.to_le_bytes());
        frame[5] = 8;
        assert!(matches!(Packets::new(&frame).next(), Some(Step::Malformed)));
        frame.truncate(176);
        frame[..2].copy_from_slice(&176_u16.to_le_bytes());
        frame[89..97].fill(0xff);
        assert_eq!(packets(&frame)[0].rows(), (2, 0));
        assert!(matches!(Packets::new(&[5]).next(), Some(Step::Malformed)));
        assert!(Packets::new(&[]).next().is_none());
    }

    #[test]
    fn exchanges_and_dividers() {
        assert_eq!(exchange_id("mcx_fo"), Some(9));
        assert_eq!(exchange_id("nyse"), None);
        assert_eq!(exchange_name(-128).to_string(), "-128");
        let field = exchange_name(-128).field().map(|byte| byte as u8);
        assert_eq!(&field, b"-128\0\0\0\0");
        let mut dividers = Dividers::default();
        dividers.set(3, 10_000_000);
        dividers.set(1, 0);
        assert_eq!(
            (dividers.of(3), dividers.of(1), dividers.of(-1)),
            (10_000_000, 100, 100)
        );
    }
}
