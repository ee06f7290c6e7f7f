//! The true books of the sandbox, for tests to look at.

use serde_json::{Value, json};

use crate::exchange::{
    Exchange, Held, PriceType, Product, Side, Source, Terms, Validity, Wish, average,
};
use crate::market::{Id, Kind, Segment};
use crate::money;

/// An order in the book, as it really is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The order number.
    pub number: String,
    /// The caller's tag; one of the broker's, of UCC and UUID, if there was none.
    pub tag: String,
    /// `nse_cm`, ...
    pub segment: String,
    /// The trading symbol.
    pub symbol: String,
    /// `B` or `S`.
    pub side: String,
    /// `CNC`, `NRML`, `MIS` or `MTF`.
    pub product: String,
    /// `L`, `MKT`, `SL` or `SL-M`; a market order is `L` once it is converted.
    pub price_type: String,
    /// `DAY` or `IOC`.
    pub validity: String,
    /// The limit, in rupees with two decimals (four for currencies).
    pub price: String,
    /// The trigger.
    pub trigger: String,
    /// The whole quantity.
    pub quantity: i64,
    /// How much of it is filled.
    pub filled: i64,
    /// How much of it was cancelled.
    pub cancelled: i64,
    /// The average price of what is filled.
    pub average: String,
    /// `open`, `complete`, ...
    pub status: String,
    /// Why it, or its last modification, was rejected; empty if it was not.
    pub rejection: String,
    /// Whether it was placed as an after-market order.
    pub amo: bool,
    /// Every state it went through, the oldest first.
    pub states: Vec<String>,
}

/// One fill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trade {
    /// The number of the trade.
    pub number: String,
    /// The number of its order.
    pub order: String,
    /// `nse_cm`, ...
    pub segment: String,
    /// The trading symbol.
    pub symbol: String,
    /// `B` or `S`.
    pub side: String,
    /// How much was traded.
    pub quantity: i64,
    /// At which price, in rupees.
    pub price: String,
}

/// What is held of one instrument in one product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// `nse_cm`, ...
    pub segment: String,
    /// The trading symbol.
    pub symbol: String,
    /// `CNC`, `NRML`, `MIS` or `MTF`.
    pub product: String,
    /// Bought less sold, carried ones included.
    pub net: i64,
    /// Bought today.
    pub bought: i64,
    /// For this sum, in rupees.
    pub bought_for: String,
    /// Sold today.
    pub sold: i64,
    /// For this sum, in rupees.
    pub sold_for: String,
    /// What the closed part brought, in rupees.
    pub realised: String,
}

pub(crate) fn orders(exchange: &Exchange) -> Vec<Order> {
    let orders = exchange.orders.iter();
    orders
        .map(|order| {
            let scrip = exchange.market.scrip(order.id);
            let price = |price| money::text(price, order.id.segment.decimals());
            Order {
                number: order.number.clone(),
                tag: order.tag.clone(),
                segment: order.id.segment.code().to_owned(),
                symbol: scrip.symbol.clone(),
                side: order.side.code().to_owned(),
                product: order.product.code().to_owned(),
                price_type: order.terms.kind.code().to_owned(),
                validity: order.terms.validity.code().to_owned(),
                price: price(order.terms.price),
                trigger: price(order.terms.trigger),
                quantity: order.terms.quantity,
                filled: order.filled,
                cancelled: order.cancelled,
                average: price(average(order.spent, order.filled)),
                status: order.status.text().to_owned(),
                rejection: order.rejection.clone(),
                amo: order.amo,
                states: order
                    .events
                    .iter()
                    .map(|event| event.status.text().to_owned())
                    .collect(),
            }
        })
        .collect()
}

pub(crate) fn trades(exchange: &Exchange) -> Vec<Trade> {
    let trades = exchange.trades.iter();
    trades
        .map(|trade| {
            let order = &exchange.orders[trade.order];
            Trade {
                number: trade.number.to_string(),
                order: order.number.clone(),
                segment: order.id.segment.code().to_owned(),
                symbol: exchange.market.scrip(order.id).symbol.clone(),
                side: order.side.code().to_owned(),
                quantity: trade.quantity,
                price: money::text(trade.price, order.id.segment.decimals()),
            }
        })
        .collect()
}

pub(crate) fn positions(exchange: &Exchange) -> Vec<Position> {
    let positions = exchange.positions.iter();
    positions
        .map(|((id, product), position)| Position {
            segment: id.segment.code().to_owned(),
            symbol: exchange.market.scrip(*id).symbol.clone(),
            product: product.code().to_owned(),
            net: position.net(),
            bought: position.bought,
            bought_for: money::text(position.bought_for, 2),
            sold: position.sold,
            sold_for: money::text(position.sold_for, 2),
            realised: money::text(position.realised(), 2),
        })
        .collect()
}

impl Order {
    pub(crate) fn json(&self) -> Value {
        json!({
            "number": self.number, "tag": self.tag, "segment": self.segment, "symbol": self.symbol,
            "side": self.side, "product": self.product, "price_type": self.price_type,
            "validity": self.validity, "price": self.price, "trigger": self.trigger,
            "quantity": self.quantity, "filled": self.filled, "cancelled": self.cancelled,
            "average": self.average, "status": self.status, "rejection": self.rejection,
            "amo": self.amo, "states": self.states,
        })
    }
}

impl Trade {
    pub(crate) fn json(&self) -> Value {
        json!({
            "number": self.number, "order": self.order, "segment": self.segment,
            "symbol": self.symbol, "side": self.side, "quantity": self.quantity,
            "price": self.price,
        })
    }
}

impl Position {
    pub(crate) fn json(&self) -> Value {
        json!({
            "segment": self.segment, "symbol": self.symbol, "product": self.product,
            "net": self.net, "bought": self.bought, "bought_for": self.bought_for,
            "sold": self.sold, "sold_for": self.sold_for, "realised": self.realised,
        })
    }
}

/// Finds what a segment code and a trading symbol, or the name of an index, stand for.
pub(crate) fn find(exchange: &Exchange, segment: &str, symbol: &str) -> Result<Id, String> {
    let code = Segment::read(segment).ok_or_else(|| format!("there is no segment {segment}"))?;
    let scrips = exchange.market.scrips(code);
    scrips
        .by_symbol(symbol)
        .or_else(|| scrips.by_token(symbol))
        .map(|scrip| scrip.id)
        .ok_or_else(|| format!("{segment} has no {symbol}"))
}

/// At most so many instruments of a segment, without its indices.
pub(crate) fn tokens(
    exchange: &Exchange,
    segment: &str,
    most: usize,
) -> Result<Vec<String>, String> {
    let found = Segment::read(segment).ok_or_else(|| format!("no segment {segment}"))?;
    let scrips = exchange.market.scrips(found);
    let tokens = scrips
        .list
        .iter()
        .filter(|scrip| scrip.kind != Kind::Index)
        .map(|scrip| format!("{segment}|{}", scrip.token));
    Ok(tokens.take(most).collect())
}

/// Reads a price that can be set.
pub(crate) fn read_price(text: &str) -> Result<i64, String> {
    money::parse(text)
        .filter(|price| *price <= crate::HIGHEST_PRICE)
        .ok_or_else(|| format!("{text} is no price"))
}

pub(crate) fn read_product(code: &str) -> Result<Product, String> {
    Product::read(code).ok_or_else(|| format!("there is no product {code}"))
}

/// Replaces the holdings: segment, symbol, quantity, average price.
pub(crate) fn set_holdings(
    exchange: &mut Exchange,
    holdings: &[(String, String, i64, String)],
) -> Result<(), String> {
    let mut held = Vec::new();
    for (segment, symbol, quantity, price) in holdings {
        let id = find(exchange, segment, symbol)?;
        if !id.segment.is_cash() || exchange.market.scrip(id).symbol.is_empty() {
            return Err(format!("{symbol} is no share"));
        }
        if !(1..=MOST).contains(quantity) {
            return Err(format!("{quantity} is no quantity"));
        }
        held.push(Held {
            id,
            quantity: *quantity,
            price: read_price(price)?,
        });
    }
    exchange.holdings = held;
    Ok(())
}

/// Puts a position of yesterday into the book; a negative quantity is a sold one.
pub(crate) fn carry(
    exchange: &mut Exchange,
    id: Id,
    product: Product,
    quantity: i64,
    price: i64,
) -> Result<(), String> {
    if quantity == 0 || !(-MOST..=MOST).contains(&quantity) {
        return Err(format!("{quantity} is no quantity"));
    }
    exchange.carry(id, product, quantity, price);
    Ok(())
}

/// Places a limit order as the app of the broker would: without a tag.
pub(crate) fn app_order(
    exchange: &mut Exchange,
    id: Id,
    side: &str,
    quantity: i64,
    price: i64,
) -> Result<String, String> {
    let side = Side::read(side).ok_or_else(|| format!("there is no side {side}"))?;
    if !(1..=MOST).contains(&quantity) {
        return Err(format!("{quantity} is no quantity"));
    }
    let wish = Wish {
        id,
        side,
        product: Product::Nrml,
        terms: Terms {
            kind: PriceType::Limit,
            price,
            trigger: 0,
            quantity,
            disclosed: 0,
            validity: Validity::Day,
        },
        amo: false,
        tag: None,
        source: Source::App,
    };
    exchange
        .place(wish)
        .map_err(|refusal| format!("refused: {refusal:?}"))
}

/// The largest quantity that is multiplied with a price.
const MOST: i64 = 99_999_999;
