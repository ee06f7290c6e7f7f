//! The order management and the matching engine behind the order calls.
//!
//! An order that is taken goes through the states of the broker at once: received, validated,
//! then rejected, or open and matched against the last traded price. What rests is matched again
//! whenever a price moves. Nothing happens by itself: prices move by [`Exchange::step`] and
//! [`Exchange::set_price`] only.

mod funds;
mod order;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

pub(crate) use order::{
    Event, Held, Order, Position, PriceType, Product, Side, Source, Status, Terms, Trade, Validity,
    Wish, average,
};

use tokio::sync::watch;

use crate::clock::{Moment, india_day};
use crate::market::{Id, Market, Segment};
use crate::money::RUPEE;
use crate::random;
use crate::switches::Switches;
use crate::tokens::since_1970;

/// Why an instruction is not taken at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The tag was used today.
    DuplicateTag,
    /// The market is closed, and it is no after-market order.
    MarketClosed,
    /// Not covered, and the switch asks for a refusal instead of a rejection.
    Uncovered,
    /// There is no such order.
    UnknownOrder,
    /// It is complete, rejected or cancelled.
    Finished,
    /// The quantity is less than what is filled already.
    Quantity,
    /// A cancel with the after-market flag for an order that is none, or without the symbol that
    /// it needs.
    BadCancel,
    /// An after-market order that waits is cancelled with its flag only.
    Unflagged,
    /// It was placed in the app, and the older API knows its own orders only.
    NotByApi,
}

/// How many instructions were taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) orders: u64,
    pub(crate) modifications: u64,
    pub(crate) cancellations: u64,
}

/// All books of the one pretend account.
pub(crate) struct Exchange {
    pub(crate) market: Market,
    pub(crate) switches: Switches,
    pub(crate) counts: Counts,
    pub(crate) orders: Vec<Order>,
    pub(crate) trades: Vec<Trade>,
    pub(crate) positions: BTreeMap<(Id, Product), Position>,
    pub(crate) holdings: Vec<Held>,
    /// The cash of the account.
    pub(crate) cash: i64,
    /// The client code, as rejections name it.
    account: String,
    by_number: HashMap<String, usize>,
    tags: HashSet<(u64, String)>,
    /// Orders that are not finished, oldest first.
    alive: BTreeSet<usize>,
    /// The sum of what orders block.
    blocked: i64,
    /// What was bought and sold of each instrument since the last tick.
    taken: HashMap<(Id, bool), i64>,
    last_number: u64,
    /// Counts what the sockets may want to tell.
    changes: watch::Sender<u64>,
}

fn now() -> u64 {
    u64::try_from(since_1970().as_nanos()).unwrap_or(u64::MAX)
}

impl Exchange {
    pub(crate) fn new(market: Market, cash: i64, account: &str) -> Self {
        let cash_segment = market.scrips(Segment::NseCm);
        let holdings = [("ITBEES-EQ", 45, 387_162), ("IDEA-EQ", 35, 95_699)]
            .into_iter()
            .filter_map(|(symbol, quantity, price)| {
                let id = cash_segment.by_symbol(symbol)?.id;
                Some(Held {
                    id,
                    quantity,
                    price,
                })
            })
            .collect();
        Self {
            market,
            switches: Switches::default(),
            counts: Counts::default(),
            orders: Vec::new(),
            trades: Vec::new(),
            positions: BTreeMap::new(),
            holdings,
            cash,
            account: account.to_owned(),
            by_number: HashMap::new(),
            tags: HashSet::new(),
            alive: BTreeSet::new(),
            blocked: 0,
            taken: HashMap::new(),
            last_number: 0,
            changes: watch::Sender::new(0),
        }
    }

    /// Tells when something has happened that the sockets may want to tell.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// The order with this number.
    pub(crate) fn order(&self, number: &str) -> Option<&Order> {
        self.orders.get(*self.by_number.get(number)?)
    }

    // ---- Instructions --------------------------------------------------------------------

    /// What the broker calls an order that has no tag.
    fn own_tag(&self) -> String {
        format!("{}-{}", self.account, random::uuid())
    }

    /// Takes an order and gives its number. Whether it is any good shows in the book.
    pub(crate) fn place(&mut self, wish: Wish) -> Result<String, Refusal> {
        let at = now();
        let day = india_day(at / 1_000_000_000);
        if !wish.amo && !self.switches.market_open {
            return Err(Refusal::MarketClosed);
        }
        let used = |tag: &String| self.tags.contains(&(day, tag.clone()));
        if wish.tag.as_ref().is_some_and(used) {
            return Err(Refusal::DuplicateTag);
        }
        let terms = self.priced(wish.terms);
        // Prices and quantities without objection are small enough to be multiplied.
        let (needed, rejection) = match self.objection(&wish, &terms, None) {
            Some(objection) => (0, Some(objection)),
            None => self.coverage(&wish, &terms),
        };
        if needed > 0 && rejection.is_some() && self.switches.uncovered_1004 {
            return Err(Refusal::Uncovered);
        }

        self.last_number += 1;
        let date = Moment::at(at / 1_000_000_000).compact_date();
        let number = format!("{date}{:09}", self.last_number);
        let place = self.orders.len();
        let mut order = Order {
            number: number.clone(),
            id: wish.id,
            side: wish.side,
            product: wish.product,
            terms,
            amo: wish.amo,
            tag: wish.tag.clone().unwrap_or_else(|| self.own_tag()),
            source: wish.source,
            status: Status::Received,
            rejection: String::new(),
            exchange_number: None,
            accepted_at: 0,
            placed_at: at,
            updated_at: at,
            filled: 0,
            spent: 0,
            cancelled: 0,
            triggered: false,
            fills: 0,
            modifications: 0,
            blocked: 0,
            events: Vec::with_capacity(5),
        };
        order.enter(Status::Received, at);
        order.enter(Status::ValidationPending, at);
        if let Some(tag) = wish.tag {
            self.tags.insert((day, tag));
        }
        self.by_number.insert(number.clone(), place);
        self.counts.orders += 1;
        match rejection {
            Some(reason) => {
                order.rejection = reason;
                order.enter(Status::Rejected, at);
                self.orders.push(order);
            }
            None => {
                order.blocked = needed;
                self.blocked += needed;
                self.orders.push(order);
                self.alive.insert(place);
                if wish.amo {
                    self.orders[place].enter(Status::AmoReceived, at);
                } else {
                    self.send(place, at);
                }
            }
        }
        self.changed();
        Ok(number)
    }

    /// Changes an order.
    pub(crate) fn modify(
        &mut self,
        number: &str,
        terms: Terms,
        from: Source,
    ) -> Result<String, Refusal> {
        let place = self.changeable(number, from)?;
        let done = self.modify_at(place, terms);
        self.changed();
        done.map(|()| number.to_owned())
    }

    fn modify_at(&mut self, place: usize, terms: Terms) -> Result<(), Refusal> {
        let at = now();
        let order = &self.orders[place];
        if terms.quantity <= order.filled {
            return Err(Refusal::Quantity);
        }
        let waits = order.status.waits();
        let mut terms = self.priced(terms);
        let wish = Wish {
            id: order.id,
            side: order.side,
            product: order.product,
            terms,
            amo: order.amo,
            tag: None,
            source: order.source,
        };
        let filled = order.filled;
        self.counts.modifications += 1;
        let before = order.terms;
        let triggered = order.triggered;

        // What the order blocks now is free for its new form.
        self.blocked -= self.orders[place].blocked;
        self.orders[place].blocked = 0;
        let mut open = terms;
        open.quantity -= filled;
        let rejection = match self.objection(&wish, &terms, Some(place)) {
            Some(objection) => Some(objection),
            None => self.coverage(&wish, &open).1,
        };

        if self.switches.rewrite_tags {
            self.orders[place].tag = format!("{at}-SANDBOX-MODIFY");
        }
        if let Some(reason) = rejection {
            // The order itself lives on as it was.
            let order = &mut self.orders[place];
            order.enter(Status::ModifyValidationPending, at);
            order.rejection = reason;
            let back = if waits {
                order
                    .events
                    .iter()
                    .rev()
                    .find(|event| event.status.waits())
                    .map_or(Status::AmoReceived, |event| event.status)
            } else if before.kind.has_trigger() && !triggered {
                Status::TriggerPending
            } else {
                Status::Open
            };
            order.enter(back, at);
            self.block(place);
            return Ok(());
        }
        let order = &mut self.orders[place];
        order.modifications += 1;
        if terms.kind == PriceType::Market && !waits {
            terms = self.converted(place, terms);
        }
        let order = &mut self.orders[place];
        if waits {
            order.terms = terms;
            order.enter(Status::AmoModified, at);
            self.block(place);
            return Ok(());
        }
        order.enter(Status::ModifyValidationPending, at);
        order.enter(Status::ModifyPending, at);
        order.terms = terms;
        // A stop order that was triggered stays so.
        order.triggered &= terms.kind.has_trigger();
        self.arrive(place, at);
        self.block(place);
        Ok(())
    }

    /// Cancels what is open of an order.
    pub(crate) fn cancel(
        &mut self,
        number: &str,
        amo: bool,
        symbol: Option<&str>,
        from: Source,
    ) -> Result<String, Refusal> {
        let place = self.changeable(number, from)?;
        let order = &self.orders[place];
        let waits = order.status.waits();
        if waits && !amo {
            return Err(Refusal::Unflagged);
        }
        let right_symbol = match symbol {
            Some(symbol) => symbol == self.market.scrip(order.id).symbol,
            None => !self.switches.amo_cancel_needs_symbol,
        };
        if amo && !(order.amo && right_symbol) {
            return Err(Refusal::BadCancel);
        }
        self.counts.cancellations += 1;
        let at = now();
        if !waits {
            self.orders[place].enter(Status::CancelPending, at);
        }
        self.end(
            place,
            if waits {
                Status::AmoCancelled
            } else {
                Status::Cancelled
            },
            at,
        );
        self.changed();
        Ok(number.to_owned())
    }

    /// The place of an order that can still be changed.
    fn changeable(&self, number: &str, from: Source) -> Result<usize, Refusal> {
        let place = *self.by_number.get(number).ok_or(Refusal::UnknownOrder)?;
        let order = &self.orders[place];
        if !visible(order, from) {
            return Err(Refusal::NotByApi);
        }
        if order.status.is_finished() {
            return Err(Refusal::Finished);
        }
        Ok(place)
    }

    // ---- Rules ---------------------------------------------------------------------------

    /// A limit of 0 has been seen to become 1 rupee.
    fn priced(&self, mut terms: Terms) -> Terms {
        if terms.kind.has_price() && terms.price == 0 {
            terms.price = RUPEE;
        }
        if !terms.kind.has_price() {
            terms.price = 0;
        }
        if !terms.kind.has_trigger() {
            terms.trigger = 0;
        }
        terms
    }

    /// Why an order, or the change of the one at `place`, is rejected, apart from money.
    fn objection(&mut self, wish: &Wish, terms: &Terms, place: Option<usize>) -> Option<String> {
        let ltp = self.market.standing(wish.id).ltp;
        let scrip = self.market.scrip(wish.id);
        let prices = [
            (terms.kind.has_price(), terms.price),
            (terms.kind.has_trigger(), terms.trigger),
        ];
        let used = || {
            prices
                .iter()
                .filter(|(used, _)| *used)
                .map(|(_, price)| *price)
        };
        let text = |text: &str| Some(format!("RMS:Rule: {text}"));
        let by_api = matches!(wish.source, Source::Api(_));
        if terms.kind == PriceType::StopMarket && by_api && !self.switches.sl_m_allowed {
            return Some("Market order with Algo Id not allowed".to_owned());
        }
        if let Some(rejection) = self.switches.reject_orders.filter(|_| !wish.amo) {
            return Some(rejection.text().to_owned());
        }
        if terms.quantity % scrip.lot != 0 {
            return text("Quantity is not a multiple of the lot size");
        }
        if terms.quantity > scrip.freeze {
            return text("Quantity exceeds the freeze quantity");
        }
        if terms.disclosed > terms.quantity {
            return text("Disclosed quantity exceeds the quantity");
        }
        if used().any(|price| price % scrip.tick != 0) {
            return Some("16283: Order price is not a multiple of tick size".to_owned());
        }
        if used().any(|price| price < scrip.low || price > scrip.high) {
            // The wording of the broker's sample.
            return text(&format!(
                "Check circuit limit including square off order exceeds  for entity \
                 account-{} across exchange across segment across product ",
                self.account
            ));
        }
        if terms.kind == PriceType::Stop {
            let wrong = match wish.side {
                Side::Buy => terms.trigger > terms.price,
                Side::Sell => terms.trigger < terms.price,
            };
            if wrong {
                return text("Trigger price is on the wrong side of the limit price");
            }
        }
        if terms.kind == PriceType::Market && ltp == 0 {
            return text("No last traded price to protect a market order with");
        }
        let cash = wish.id.segment.is_cash();
        if !cash && matches!(wish.product, Product::Cnc | Product::Mtf) {
            return text("Product is not allowed in this segment");
        }
        if wish.product == Product::Cnc && wish.side == Side::Sell {
            // What an order offers already is its own.
            let changed = place.map(|place| &self.orders[place]);
            let rest = terms.quantity - changed.map_or(0, |order| order.filled);
            if rest > self.sellable(wish.id) + changed.map_or(0, Order::rest) {
                return text(&format!(
                    "Check holdings including BTST for entity account-{}",
                    self.account
                ));
            }
        }
        None
    }

    /// How many delivery shares can be sold: held, plus bought today, less sold and on offer.
    pub(crate) fn sellable(&self, id: Id) -> i64 {
        let held: i64 = self
            .holdings
            .iter()
            .filter(|held| held.id == id)
            .map(|held| held.quantity)
            .sum();
        let position = self
            .positions
            .get(&(id, Product::Cnc))
            .copied()
            .unwrap_or_default();
        let offered: i64 = self
            .alive
            .iter()
            .map(|place| &self.orders[*place])
            .filter(|order| {
                order.id == id && order.product == Product::Cnc && order.side == Side::Sell
            })
            .map(Order::rest)
            .sum();
        held + position.net() - offered
    }

    // ---- Life of an order ----------------------------------------------------------------

    /// Sends an order to the exchange.
    fn send(&mut self, place: usize, at: u64) {
        let exchange_number = 1_100_000_000_000_001 + place as u64 * 1_009;
        if let Some(rejection) = self.switches.reject_orders {
            // An after-market order that goes out: others were held against it before.
            rejection
                .text()
                .clone_into(&mut self.orders[place].rejection);
            self.end(place, Status::Rejected, at);
            return;
        }
        if self.orders[place].terms.kind == PriceType::Market {
            let terms = self.orders[place].terms;
            if self.market.standing(self.orders[place].id).ltp == 0 {
                // An after-market order whose instrument has not opened.
                self.orders[place].rejection =
                    "RMS:Rule: No last traded price to protect a market order with".to_owned();
                self.end(place, Status::Rejected, at);
                return;
            }
            self.orders[place].terms = self.converted(place, terms);
        }
        let order = &mut self.orders[place];
        order.enter(Status::OpenPending, at);
        order.exchange_number = Some(exchange_number);
        order.accepted_at = at;
        self.arrive(place, at);
        self.block(place);
    }

    /// A market order is sent on as a limit order within a band around the last price.
    fn converted(&mut self, place: usize, mut terms: Terms) -> Terms {
        let (id, side) = (self.orders[place].id, self.orders[place].side);
        let ltp = self.market.standing(id).ltp;
        let scrip = self.market.scrip(id);
        let band = order::protection(scrip, ltp);
        terms.kind = PriceType::Limit;
        // Rounded towards the last price, so that the band is never left.
        terms.price = match side {
            Side::Buy => (ltp + band) / scrip.tick * scrip.tick,
            Side::Sell => (ltp - band + scrip.tick - 1) / scrip.tick * scrip.tick,
        }
        .clamp(scrip.low, scrip.high);
        terms
    }

    /// An order is in the exchange's book, new or changed.
    fn arrive(&mut self, place: usize, at: u64) {
        let order = &mut self.orders[place];
        if order.terms.kind.has_trigger() && !order.triggered {
            order.enter(Status::TriggerPending, at);
            self.trigger(place, at);
            if !self.orders[place].triggered {
                if self.orders[place].terms.validity == Validity::Ioc {
                    self.end(place, Status::Cancelled, at);
                }
                return;
            }
        } else {
            order.enter(Status::Open, at);
        }
        self.fill(place, true, at);
        let order = &self.orders[place];
        if order.terms.validity == Validity::Ioc && !order.status.is_finished() {
            self.end(place, Status::Cancelled, at);
        }
    }

    /// Opens a stop order whose trigger was reached.
    fn trigger(&mut self, place: usize, at: u64) {
        let (id, side, terms) = {
            let order = &self.orders[place];
            (order.id, order.side, order.terms)
        };
        let ltp = self.market.standing(id).ltp;
        let reached = ltp > 0
            && match side {
                Side::Buy => ltp >= terms.trigger,
                Side::Sell => ltp <= terms.trigger,
            };
        if !reached {
            return;
        }
        if terms.kind == PriceType::StopMarket {
            self.orders[place].terms = self.converted(place, terms);
        }
        let order = &mut self.orders[place];
        order.triggered = true;
        order.enter(Status::Open, at);
    }

    /// Fills what can be filled. One that arrives gets the last price, one that rests its own.
    fn fill(&mut self, place: usize, arrives: bool, at: u64) {
        let (id, side, limit, rest) = {
            let order = &self.orders[place];
            (order.id, order.side, order.terms.price, order.rest())
        };
        let ltp = self.market.standing(id).ltp;
        let good = match side {
            Side::Buy => limit >= ltp,
            Side::Sell => limit <= ltp,
        };
        if ltp == 0 || !good || rest == 0 {
            return;
        }
        let key = (id, side == Side::Buy);
        let lot = self.market.scrip(id).lot;
        let quantity = match self.switches.liquidity {
            None => rest,
            Some(most) => {
                let left = most - self.taken.get(&key).copied().unwrap_or(0);
                rest.min(left.max(0) / lot * lot)
            }
        };
        if quantity == 0 {
            return;
        }
        *self.taken.entry(key).or_default() += quantity;
        let price = if arrives { ltp } else { limit };
        self.market.traded(id, quantity, price);
        self.book(place, quantity, price, at);
    }

    /// Writes a fill into all books.
    fn book(&mut self, place: usize, quantity: i64, price: i64, at: u64) {
        let order = &mut self.orders[place];
        order.filled += quantity;
        order.spent += quantity * price;
        order.fills += 1;
        self.trades.push(Trade {
            number: 200_000_001 + self.trades.len() as u64 * 37,
            order: place,
            leg: order.fills,
            quantity,
            price,
            at,
        });
        let position = self.positions.entry((order.id, order.product)).or_default();
        let sum = quantity * price;
        match order.side {
            Side::Buy => {
                position.bought += quantity;
                position.bought_for += sum;
            }
            Side::Sell => {
                position.sold += quantity;
                position.sold_for += sum;
            }
        }
        position.updated_at = at;
        if order.filled == order.terms.quantity {
            self.end(place, Status::Complete, at);
        } else {
            order.enter(Status::Open, at);
            self.block(place);
        }
    }

    /// An order is finished.
    fn end(&mut self, place: usize, status: Status, at: u64) {
        let order = &mut self.orders[place];
        if matches!(status, Status::Cancelled | Status::AmoCancelled) {
            order.cancelled = order.terms.quantity - order.filled;
        }
        self.blocked -= order.blocked;
        order.blocked = 0;
        order.enter(status, at);
        self.alive.remove(&place);
    }

    // ---- The market moves ----------------------------------------------------------------

    /// Every price takes one step, and every order is looked at again.
    pub(crate) fn step(&mut self) {
        self.market.step();
        self.taken.clear();
        self.match_all();
        self.changed();
    }

    /// One price takes a step, and the orders for it are looked at again.
    pub(crate) fn nudge(&mut self, id: Id) {
        self.market.nudge(id);
        if self.alive.iter().any(|place| self.orders[*place].id == id) {
            self.taken.retain(|(taken, _), _| *taken != id);
            self.match_all();
            self.changed();
        }
    }

    /// Sets a price, and looks at every order again. Price 0 takes the last price away.
    pub(crate) fn set_price(&mut self, id: Id, price: i64) {
        self.market.set_price(id, price);
        self.match_all();
        self.changed();
    }

    fn match_all(&mut self) {
        if !self.switches.market_open {
            return;
        }
        let at = now();
        let mut waiting: Vec<usize> = self
            .alive
            .iter()
            .copied()
            .filter(|place| !self.orders[*place].status.waits())
            .collect();
        let mut fresh = HashSet::new();
        for place in &waiting {
            let order = &self.orders[*place];
            if order.terms.kind.has_trigger() && !order.triggered {
                self.trigger(*place, at);
                self.block(*place);
                if self.orders[*place].triggered {
                    fresh.insert(*place);
                }
            }
        }
        // Best price first, then the oldest.
        waiting.retain(|place| self.orders[*place].status == Status::Open);
        waiting.sort_by_key(|place| {
            let order = &self.orders[*place];
            match order.side {
                Side::Buy => (-order.terms.price, *place),
                Side::Sell => (order.terms.price, *place),
            }
        });
        for place in waiting {
            self.fill(place, fresh.contains(&place), at);
        }
    }

    /// Changes the switches. When the market opens, the after-market orders go out.
    pub(crate) fn set_switches(&mut self, switches: Switches) {
        let opens = switches.market_open && !self.switches.market_open;
        self.switches = switches;
        if opens {
            let at = now();
            let waiting: Vec<usize> = self.alive.iter().copied().collect();
            for place in waiting {
                if self.orders[place].status.waits() {
                    self.send(place, at);
                }
            }
            self.match_all();
        }
        self.changed();
    }

    /// Puts a position of yesterday into the book; a negative quantity is a sold one.
    pub(crate) fn carry(&mut self, id: Id, product: Product, quantity: i64, price: i64) {
        let position = self.positions.entry((id, product)).or_default();
        if quantity >= 0 {
            position.carried_bought += quantity;
            position.carried_bought_for += quantity * price;
        } else {
            position.carried_sold -= quantity;
            position.carried_sold_for -= quantity * price;
        }
        position.updated_at = now();
    }
}

/// The oldest API can change and look up only what was placed through an API.
pub(crate) fn visible(order: &Order, from: Source) -> bool {
    use crate::tokens::Generation;
    from != Source::Api(Generation::V1) || order.source != Source::App
}
