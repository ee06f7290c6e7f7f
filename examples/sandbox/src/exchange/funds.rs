//! Money: what orders and positions block, and what is left.
//!
//! The rates are made up, but simple enough to check by hand: delivery is paid in full, margin
//! trading 25%, intraday 20%; a future and a written option 15% of the value of the underlying
//! (12 span, 3 exposure), a bought option its premium.

use super::{Exchange, PriceType, Product, Side, Terms, Wish};
use crate::market::{Id, Kind};
use crate::money;

/// What is blocked, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Blocked {
    /// Cash segment: value of what is bought or sold.
    pub(crate) cash: i64,
    pub(crate) span: i64,
    pub(crate) exposure: i64,
    pub(crate) premium: i64,
}

impl Blocked {
    pub(crate) fn total(&self) -> i64 {
        self.cash + self.span + self.exposure + self.premium
    }

    fn add(&mut self, other: Self) {
        self.cash += other.cash;
        self.span += other.span;
        self.exposure += other.exposure;
        self.premium += other.premium;
    }
}

/// How the account stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Funds {
    pub(crate) cash: i64,
    pub(crate) realised: i64,
    pub(crate) realised_cash: i64,
    pub(crate) unrealised: i64,
    pub(crate) unrealised_cash: i64,
    /// By positions in each product.
    pub(crate) positions: [(Option<Product>, Blocked); 4],
    /// By orders that are not filled.
    pub(crate) orders: i64,
}

impl Funds {
    /// What positions block, over all products.
    pub(crate) fn by_positions(&self) -> Blocked {
        let mut all = Blocked::default();
        for (_, blocked) in self.positions {
            all.add(blocked);
        }
        all
    }

    /// What positions in this product block.
    pub(crate) fn of(&self, product: Product) -> Blocked {
        self.positions
            .iter()
            .find(|(known, _)| *known == Some(product))
            .map(|(_, blocked)| *blocked)
            .unwrap_or_default()
    }

    pub(crate) fn used(&self) -> i64 {
        self.by_positions().total() + self.orders
    }

    pub(crate) fn available(&self) -> i64 {
        self.cash + self.realised
    }

    pub(crate) fn net(&self) -> i64 {
        self.available() - self.used()
    }
}

impl Exchange {
    pub(crate) fn funds(&mut self) -> Funds {
        let mut funds = Funds {
            cash: self.cash,
            orders: self.blocked,
            ..Funds::default()
        };
        for (slot, product) in funds.positions.iter_mut().zip(Product::ALL) {
            slot.0 = Some(product);
        }
        let keys: Vec<(Id, Product)> = self.positions.keys().copied().collect();
        for key in keys {
            let (id, product) = key;
            let position = self.positions[&key];
            let price = self.market.standing(id).ltp;
            let (realised, unrealised) = (position.realised(), position.unrealised(price));
            // What is sold from holdings is no short position.
            let delivery_sale = product == Product::Cnc && position.net() < 0;
            let unrealised = if delivery_sale { 0 } else { unrealised };
            funds.realised += realised;
            funds.unrealised += unrealised;
            if id.segment.is_cash() {
                funds.realised_cash += realised;
                funds.unrealised_cash += unrealised;
            }
            let blocked = self.margin(id, product, position.net(), position.average());
            for (known, sum) in &mut funds.positions {
                if *known == Some(product) {
                    sum.add(blocked);
                }
            }
        }
        funds
    }

    /// What a quantity (negative: sold) at this price blocks.
    fn margin(&mut self, id: Id, product: Product, quantity: i64, price: i64) -> Blocked {
        let scrip = self.market.scrip(id);
        let (kind, underlying) = (scrip.kind, scrip.underlying);
        let value = quantity.abs() * price;
        let of_underlying = |spot: i64| {
            let value = quantity.abs() * spot;
            Blocked {
                span: value / 100 * 12,
                exposure: value / 100 * 3,
                ..Blocked::default()
            }
        };
        match kind {
            Kind::Share | Kind::Index => {
                let percent = match product {
                    Product::Cnc if quantity < 0 => 0,
                    Product::Cnc | Product::Nrml => 100,
                    Product::Mtf => 25,
                    Product::Mis => 20,
                };
                Blocked {
                    cash: value / 100 * percent,
                    ..Blocked::default()
                }
            }
            Kind::Future => of_underlying(price),
            Kind::Call | Kind::Put if quantity > 0 => Blocked {
                premium: value,
                ..Blocked::default()
            },
            Kind::Call | Kind::Put => {
                // The close does not move, so that a margin stays what it was.
                let spot = match underlying {
                    Some(underlying) => self.market.scrip(underlying).close,
                    None => self.market.scrip(id).strike,
                };
                of_underlying(spot)
            }
        }
    }

    /// What an order for a quantity would block. What closes a position needs nothing.
    pub(crate) fn order_margin(
        &mut self,
        id: Id,
        side: Side,
        product: Product,
        terms: &Terms,
    ) -> i64 {
        let net = self
            .positions
            .get(&(id, product))
            .map_or(0, super::Position::net);
        let signed = match side {
            Side::Buy => terms.quantity,
            Side::Sell => -terms.quantity,
        };
        let closing = if net.signum() == -signed.signum() {
            net.abs().min(signed.abs())
        } else {
            0
        };
        let opening = signed.abs() - closing;
        let price = match terms.kind {
            PriceType::Limit | PriceType::Stop => terms.price,
            PriceType::StopMarket => terms.trigger,
            PriceType::Market => {
                let ltp = self.market.standing(id).ltp;
                ltp + super::order::protection(self.market.scrip(id), ltp)
            }
        };
        self.margin(id, product, opening * signed.signum(), price)
            .total()
    }

    /// What an order needs, and why it is rejected if that much is not there.
    pub(super) fn coverage(&mut self, wish: &Wish, terms: &Terms) -> (i64, Option<String>) {
        let needed = self.order_margin(wish.id, wish.side, wish.product, terms);
        // What closes a position may always be sent.
        let net = if needed == 0 { 0 } else { self.funds().net() };
        let rejection = (needed > net).then(|| {
            format!(
                "RMS:Margin Exceeds,Cash Available:{},Additional required Cash:{} for entity \
                 account-{} across exchange across segment across product",
                money::text(net, 2),
                money::text(needed - net, 2),
                self.account
            )
        });
        (needed, rejection)
    }

    /// Blocks for an order what its open part needs now.
    pub(super) fn block(&mut self, place: usize) {
        let order = &self.orders[place];
        let mut terms = order.terms;
        terms.quantity = order.rest();
        let (id, side, product) = (order.id, order.side, order.product);
        let needed = if terms.quantity == 0 {
            0
        } else {
            self.order_margin(id, side, product, &terms)
        };
        let order = &mut self.orders[place];
        self.blocked += needed - order.blocked;
        order.blocked = needed;
    }
}
