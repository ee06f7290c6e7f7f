//! An order and what happened to it, a trade, a position.

use crate::market::{Id, Scrip};
use crate::tokens::Generation;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Buy,
    Sell,
}

impl Side {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Side::Buy => "B",
            Side::Sell => "S",
        }
    }

    pub(crate) fn read(code: &str) -> Option<Self> {
        [Side::Buy, Side::Sell]
            .into_iter()
            .find(|side| side.code() == code)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Product {
    Cnc,
    Nrml,
    Mis,
    Mtf,
}

impl Product {
    pub(crate) const ALL: [Product; 4] = [Product::Cnc, Product::Nrml, Product::Mis, Product::Mtf];

    pub(crate) fn code(self) -> &'static str {
        match self {
            Product::Cnc => "CNC",
            Product::Nrml => "NRML",
            Product::Mis => "MIS",
            Product::Mtf => "MTF",
        }
    }

    pub(crate) fn read(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|product| product.code() == code)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PriceType {
    Limit,
    Market,
    Stop,
    StopMarket,
}

impl PriceType {
    pub(crate) fn code(self) -> &'static str {
        match self {
            PriceType::Limit => "L",
            PriceType::Market => "MKT",
            PriceType::Stop => "SL",
            PriceType::StopMarket => "SL-M",
        }
    }

    pub(crate) fn read(code: &str) -> Option<Self> {
        [Self::Limit, Self::Market, Self::Stop, Self::StopMarket]
            .into_iter()
            .find(|kind| kind.code() == code)
    }

    pub(crate) fn has_trigger(self) -> bool {
        matches!(self, PriceType::Stop | PriceType::StopMarket)
    }

    pub(crate) fn has_price(self) -> bool {
        matches!(self, PriceType::Limit | PriceType::Stop)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validity {
    Day,
    /// Immediate or cancel.
    Ioc,
}

impl Validity {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Validity::Day => "DAY",
            Validity::Ioc => "IOC",
        }
    }

    pub(crate) fn read(code: &str) -> Option<Self> {
        [Validity::Day, Validity::Ioc]
            .into_iter()
            .find(|validity| validity.code() == code)
    }
}

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Received,
    ValidationPending,
    OpenPending,
    Open,
    TriggerPending,
    Complete,
    Rejected,
    Cancelled,
    ModifyValidationPending,
    ModifyPending,
    CancelPending,
    AmoReceived,
    AmoModified,
    AmoCancelled,
}

impl Status {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Status::Received => "put order req received",
            Status::ValidationPending => "validation pending",
            Status::OpenPending => "open pending",
            Status::Open => "open",
            Status::TriggerPending => "trigger pending",
            Status::Complete => "complete",
            Status::Rejected => "rejected",
            Status::Cancelled => "cancelled",
            Status::ModifyValidationPending => "modify validation pending",
            Status::ModifyPending => "modify pending",
            Status::CancelPending => "cancel pending",
            Status::AmoReceived => "after market order req received",
            Status::AmoModified => "modify after market order req received",
            Status::AmoCancelled => "cancelled after market order",
        }
    }

    pub(crate) fn is_finished(self) -> bool {
        matches!(
            self,
            Status::Complete | Status::Rejected | Status::Cancelled | Status::AmoCancelled
        )
    }

    /// Whether it waits for the market to open.
    pub(crate) fn waits(self) -> bool {
        matches!(self, Status::AmoReceived | Status::AmoModified)
    }
}

/// What is asked for: the part of an order that a modification can change too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) kind: PriceType,
    pub(crate) price: i64,
    pub(crate) trigger: i64,
    pub(crate) quantity: i64,
    pub(crate) disclosed: i64,
    pub(crate) validity: Validity,
}

/// A wish for an order that can be read.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) id: Id,
    pub(crate) side: Side,
    pub(crate) product: Product,
    pub(crate) terms: Terms,
    pub(crate) amo: bool,
    pub(crate) tag: Option<String>,
    pub(crate) source: Source,
}

/// Where an order came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Api(Generation),
    /// The broker's own app or site.
    App,
}

/// One state that an order went through.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) status: Status,
    /// Nanoseconds since 1970.
    pub(crate) at: u64,
    pub(crate) terms: Terms,
    pub(crate) filled: i64,
    pub(crate) spent: i64,
    pub(crate) on_exchange: bool,
}

/// An order that got a number.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) number: String,
    pub(crate) id: Id,
    pub(crate) side: Side,
    pub(crate) product: Product,
    pub(crate) terms: Terms,
    pub(crate) amo: bool,
    pub(crate) tag: String,
    pub(crate) source: Source,
    pub(crate) status: Status,
    pub(crate) rejection: String,
    /// Given when the exchange accepts it.
    pub(crate) exchange_number: Option<u64>,
    pub(crate) accepted_at: u64,
    pub(crate) placed_at: u64,
    pub(crate) updated_at: u64,
    pub(crate) filled: i64,
    /// Quantity times price of what is filled.
    pub(crate) spent: i64,
    pub(crate) cancelled: i64,
    pub(crate) triggered: bool,
    /// How many trades it had.
    pub(crate) fills: u32,
    pub(crate) modifications: u32,
    /// The margin that is blocked for what is not filled.
    pub(crate) blocked: i64,
    pub(crate) events: Vec<Event>,
}

impl Order {
    /// What is neither filled nor cancelled.
    pub(crate) fn rest(&self) -> i64 {
        if self.status.is_finished() {
            0
        } else {
            self.terms.quantity - self.filled
        }
    }

    pub(crate) fn enter(&mut self, status: Status, at: u64) {
        // Two states of one order never have the same time: readers tell them apart by it.
        let at = at.max(self.updated_at + 1);
        self.status = status;
        self.updated_at = at;
        self.events.push(Event {
            status,
            at,
            terms: self.terms,
            filled: self.filled,
            spent: self.spent,
            on_exchange: self.exchange_number.is_some(),
        });
    }
}

/// The average price of what was bought or sold for this sum.
pub(crate) fn average(spent: i64, quantity: i64) -> i64 {
    if quantity == 0 {
        0
    } else {
        (spent + quantity / 2) / quantity
    }
}

/// One fill.
#[derive(Clone, Debug)]
pub(crate) struct Trade {
    pub(crate) number: u64,
    /// Which order, by its place in the book.
    pub(crate) order: usize,
    /// How many fills the order had, this one included.
    pub(crate) leg: u32,
    pub(crate) quantity: i64,
    pub(crate) price: i64,
    pub(crate) at: u64,
}

/// What is held of one instrument in one product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) bought: i64,
    pub(crate) bought_for: i64,
    pub(crate) sold: i64,
    pub(crate) sold_for: i64,
    pub(crate) carried_bought: i64,
    pub(crate) carried_bought_for: i64,
    pub(crate) carried_sold: i64,
    pub(crate) carried_sold_for: i64,
    pub(crate) updated_at: u64,
}

impl Position {
    fn all_bought(&self) -> (i64, i64) {
        (
            self.bought + self.carried_bought,
            self.bought_for + self.carried_bought_for,
        )
    }

    fn all_sold(&self) -> (i64, i64) {
        (
            self.sold + self.carried_sold,
            self.sold_for + self.carried_sold_for,
        )
    }

    /// More bought than sold: positive.
    pub(crate) fn net(&self) -> i64 {
        self.all_bought().0 - self.all_sold().0
    }

    /// The average price of the side that is open.
    pub(crate) fn average(&self) -> i64 {
        let (quantity, sum) = if self.net() >= 0 {
            self.all_bought()
        } else {
            self.all_sold()
        };
        average(sum, quantity)
    }

    /// What the closed part brought.
    pub(crate) fn realised(&self) -> i64 {
        let (bought, paid) = self.all_bought();
        let (sold, got) = self.all_sold();
        let closed = i128::from(bought.min(sold));
        if closed == 0 {
            return 0;
        }
        let part = |sum: i64, quantity: i64| i128::from(sum) * closed / i128::from(quantity);
        i64::try_from(part(got, sold) - part(paid, bought)).unwrap_or(i64::MAX)
    }

    /// What closing the rest at this price would bring.
    pub(crate) fn unrealised(&self, price: i64) -> i64 {
        let (bought, paid) = self.all_bought();
        let (sold, got) = self.all_sold();
        got - paid + (bought - sold) * price - self.realised()
    }
}

/// Delivery shares that were there before today.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) id: Id,
    pub(crate) quantity: i64,
    /// The average price.
    pub(crate) price: i64,
}

/// The band of the broker's table around the last price, within which a market order may trade.
pub(crate) fn protection(scrip: &Scrip, ltp: i64) -> i64 {
    use crate::money::{PAISA, RUPEE};
    if scrip.kind.is_option() {
        match ltp {
            price if price < RUPEE => 10 * PAISA,
            price if price <= 5 * RUPEE => price / 10,
            price if price <= 10 * RUPEE => price / 20,
            price if price <= 100 * RUPEE => price * 3 / 100,
            price if price <= 500 * RUPEE => price / 50,
            price => price / 100,
        }
    } else {
        match ltp {
            price if price < 100 * RUPEE => price / 50,
            price if price <= 500 * RUPEE => price / 100,
            price => price / 200,
        }
    }
}
