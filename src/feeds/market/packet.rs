//! The packets of the market feed: pure, zero-copy, no allocation.
//!
//! A frame is packets end to end, little-endian, without padding. Whatever
//! the bytes are, reading them never panics.

use super::exchange::exchange_name;
use crate::feeds::tick::{self, Depth, DepthRow, KNEO_DEPTH_ROWS, Tick, put_text};

const HEADER: usize = 9;
const PICTURE: usize = 144;
const ROW: usize = 16;
/// Some 250 rows of depth on each side: more than any exchange shows. What
/// is kept of an instrument cannot grow beyond it.
const LARGEST: usize = 8192;

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

    #[inline]
    pub(crate) fn status_code(self) -> Option<u16> {
        (self.kind == Kind::Status).then(|| match self.u16(2) {
            6511 => 1,
            6521 => 2,
            _ => self.u16(9),
        })
    }

    #[inline]
    fn u16(self, at: usize) -> u16 {
        u16_at(self.bytes, at)
    }

    #[inline]
    fn u32(self, at: usize) -> u32 {
        u32_at(self.bytes, at)
    }

    #[inline]
    fn i32(self, at: usize) -> i32 {
        i32_at(self.bytes, at)
    }

    #[inline]
    fn i64(self, at: usize) -> i64 {
        i64_at(self.bytes, at)
    }

    /// How many bids and asks the packet really carries.
    pub(super) fn rows(self) -> (usize, usize) {
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
    pub(super) fn side(self, first: usize, count: usize) -> impl Iterator<Item = &'a [u8; ROW]> {
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
}

/// The key of what a newer packet replaces. `plane` is the level of a price,
/// 32 for an index, 64 for the closing auction, 128 for a market status.
#[inline]
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
#[inline]
fn is_time(time: i64) -> bool {
    time > 0
}

#[inline]
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
pub(super) fn row_of(bytes: &[u8; ROW], by: f64) -> DepthRow {
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
pub(super) fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    let end = bytes.iter().position(|byte| *byte == 0);
    let bytes = &bytes[..end.unwrap_or(bytes.len())];
    match String::from_utf8_lossy(bytes) {
        std::borrow::Cow::Borrowed(text) => text.trim().into(),
        std::borrow::Cow::Owned(text) => text.trim().to_owned().into(),
    }
}

#[cfg(test)]
mod tests;
