//! The order feed: every state that an order goes through, and the positions after fills.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;

use super::{Handshake, LoginManner, OrderFeed, Refusal, Reply, Silence, Socket, books_changed};
use crate::clock::Moment;
use crate::exchange::{Event, Exchange, Order, Position, average};
use crate::market::Scrip;
use crate::money;
use crate::state::State;
use crate::tokens::Scope;

/// What is said to a text that cannot be read.
const UNREADABLE: &str =
    r#"{"ak":"nk","type":"failed to process request","task":"nk","msg":"invalid request format"}"#;
const REFUSED: &str = r#"{"ak":"nk","type":"cn","task":"cn","msg":"Authentication Failed"}"#;
const NOT_CONNECTED: &str =
    r#"{"ak":"nk","type":"failed to connect","msg":"Authentication Failed"}"#;
const ACCEPTED: &str = r#"{"ak":"ok","type":"cn","task":"cn","msg":"connected"}"#;

pub(super) struct Plane {
    state: Arc<State>,
    manners: watch::Receiver<OrderFeed>,
    changes: watch::Receiver<u64>,
    live: bool,
    /// How many events of each order were told, by its place in the book.
    told: Vec<usize>,
    /// How many messages there were, for the faults that strike each so-manieth.
    count: u32,
    /// The message that comes after its follower.
    held: Option<String>,
}

impl Plane {
    pub(super) fn new(state: &Arc<State>) -> Self {
        Self {
            manners: state.sockets.order_feed.subscribe(),
            changes: state.exchange().changes(),
            state: Arc::clone(state),
            live: false,
            told: Vec::new(),
            count: 0,
            held: None,
        }
    }

    /// Takes the first text.
    fn login(&mut self, text: &str) -> Reply {
        let manners = *self.manners.borrow();
        let refused = match manners.refusal {
            Refusal::Login => REFUSED,
            Refusal::Connection => NOT_CONNECTED,
            Refusal::Format => UNREADABLE,
        };
        match manners.login {
            LoginManner::Ignore => return Reply::Say(Vec::new()),
            LoginManner::RefuseOpen => return Reply::Say(vec![refused.to_owned()]),
            LoginManner::RefuseClose | LoginManner::InitialThenRefuse => {
                return Reply::Leave(vec![refused.to_owned()], 1000, "");
            }
            LoginManner::Check
            | LoginManner::Initial
            | LoginManner::InitialOnly
            | LoginManner::Fallback => {}
        }
        let Some((token, sid)) = read(text, manners.handshake) else {
            return Reply::Say(vec![UNREADABLE.to_owned()]);
        };
        let session = self.state.tokens.session(&sid, &token);
        if session.is_none_or(|session| session.scope != Scope::Trade) {
            return Reply::Say(vec![refused.to_owned()]);
        }
        let exchange = self.state.exchange();
        // What was before is in the books; it is not told again.
        self.told = exchange.orders.iter().map(|o| o.events.len()).collect();
        self.live = true;
        Reply::Say(match manners.login {
            LoginManner::InitialOnly => Vec::new(),
            _ => vec![ACCEPTED.to_owned()],
        })
    }

    /// The messages about what has happened since the last call.
    fn news(&mut self) -> Vec<String> {
        let exchange = self.state.exchange();
        let account = &self.state.options.credentials.ucc;
        let mut news: Vec<(u64, Value)> = Vec::new();
        self.told.resize(exchange.orders.len(), 0);
        for (order, told) in exchange.orders.iter().zip(&mut self.told) {
            let mut filled = match told.checked_sub(1) {
                Some(last) => order.events[last].filled,
                None => 0,
            };
            for event in &order.events[*told..] {
                news.push((event.at, update(&exchange, order, event)));
                if event.filled > filled {
                    filled = event.filled;
                    if let Some(held) = exchange.positions.get(&(order.id, order.product)) {
                        let scrip = exchange.market.scrip(order.id);
                        news.push((event.at, position(account, scrip, order, held)));
                    }
                }
            }
            *told = order.events.len();
        }
        // Of several orders, what was first comes first.
        news.sort_by_key(|(at, _)| *at);
        news.into_iter().map(|(_, body)| body.to_string()).collect()
    }
}

impl super::Plane for Plane {
    const SOCKET: Socket = Socket::OrderFeed;

    fn manners(&self) -> (Silence, Duration) {
        let manners = self.manners.borrow();
        (
            manners.silence,
            Duration::from_millis(manners.read_pause_ms),
        )
    }

    fn is_live(&self) -> bool {
        self.live
    }

    fn text(&mut self, text: &str) -> Reply {
        if self.live {
            // It takes nothing more; heartbeats of older clients were seen to be answered so.
            return Reply::Say(vec![UNREADABLE.to_owned()]);
        }
        self.login(text)
    }

    async fn wait(&mut self, sending: bool) -> bool {
        // One that is held back for its follower goes out when that manner ends.
        if sending && self.held.is_some() && self.manners.borrow().swap_every == 0 {
            return true;
        }
        tokio::select! {
            biased;
            changed = self.manners.changed() => match changed {
                Ok(()) => false,
                Err(_) => pending().await,
            },
            () = books_changed(&mut self.changes), if sending => true,
        }
    }

    fn collect(&mut self) -> Vec<Message> {
        let manners = *self.manners.borrow();
        let mut out = Vec::new();
        for text in self.news() {
            self.count = self.count.wrapping_add(1);
            let strikes = |every: u32| every > 0 && self.count.is_multiple_of(every);
            if strikes(manners.lose_every) {
                continue;
            }
            if self.held.is_none() && strikes(manners.swap_every) {
                self.held = Some(text);
                continue;
            }
            if strikes(manners.duplicate_every) {
                out.push(Message::text(text.clone()));
            }
            out.push(Message::text(text));
            out.extend(self.held.take().map(Message::text));
        }
        if manners.swap_every == 0 {
            out.extend(self.held.take().map(Message::text));
        }
        out
    }

    fn cut(&mut self) -> Message {
        Message::text(r#"{"type":"order","data":{"nOrdNo":"2602160"#)
    }

    fn wrong_length(&mut self) -> Message {
        Message::text("")
    }
}

/// The token and session id of a first text, if it has a form that is understood.
fn read(text: &str, understood: Handshake) -> Option<(String, String)> {
    if let Ok(Value::Object(map)) = serde_json::from_str(text) {
        let of = |key: &str| map.get(key).and_then(Value::as_str).map(str::to_owned);
        let good = understood != Handshake::Raw && of("type").as_deref() == Some("cn");
        return if good {
            of("Authorization").zip(of("Sid"))
        } else {
            None
        };
    }
    if understood == Handshake::Json || text.contains(['"', ' ', '\n']) {
        return None;
    }
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    let of = |wanted: &str| {
        inner.split(',').find_map(|part| {
            let (key, value) = part.split_once(':')?;
            (key == wanted).then(|| value.to_owned())
        })
    };
    if of("type").as_deref() != Some("cn") {
        return None;
    }
    of("Authorization").zip(of("Sid"))
}

/// One state of an order, with the keys that the broker documents and a few of the order book.
fn update(exchange: &Exchange, order: &Order, event: &Event) -> Value {
    let scrip = exchange.market.scrip(order.id);
    let price = |price| money::text(price, order.id.segment.decimals());
    let placed = Moment::at(order.placed_at / 1_000_000_000).dashed();
    let open = if event.status.is_finished() {
        0
    } else {
        event.terms.quantity - event.filled
    };
    let mut data = json!({
        "nOrdNo": order.number,
        "ordSt": event.status.text(),
        "avgPrc": price(average(event.spent, event.filled)),
        "qty": event.terms.quantity,
        "fldQty": event.filled,
        "unFldSz": open,
        "sym": scrip.name,
        "trnsTp": order.side.code(),
        "prcTp": event.terms.kind.code(),
        "prod": order.product.code(),
        "exSeg": order.id.segment.code(),
        "trdSym": scrip.symbol,
        "tok": scrip.token,
        "ordDtTm": placed,
        "updRecvTm": event.at,
        "boeSec": event.at / 1_000_000_000,
        "prc": price(event.terms.price),
        "trgPrc": price(event.terms.trigger),
        "GuiOrdId": order.tag,
        "ordGenTp": if order.amo { "AMO" } else { "NA" },
    });
    if let (true, Some(number)) = (event.on_exchange, order.exchange_number) {
        data["exOrdId"] = json!(number.to_string());
        data["exCfmTm"] = json!(Moment::at(order.accepted_at / 1_000_000_000).dashed());
    }
    if event.status == crate::exchange::Status::Rejected {
        data["rejRsn"] = json!(order.rejection);
    }
    json!({"type": "order", "data": data})
}

/// A position after a fill of an order. All values are texts, as the broker documents them.
fn position(account: &str, scrip: &Scrip, order: &Order, held: &Position) -> Value {
    let amount = |amount| money::text(amount, 2);
    json!({"type": "position", "data": {
        "actId": account,
        "sym": scrip.name,
        "exSeg": order.id.segment.code(),
        "prod": order.product.code(),
        "flBuyQty": held.bought.to_string(),
        "flSellQty": held.sold.to_string(),
        "buyAmt": amount(held.bought_for),
        "sellAmt": amount(held.sold_for),
        "posFlg": if held.net() == 0 { "false" } else { "true" },
        "sqrFlg": "Y",
        "lotSz": scrip.lot.to_string(),
        "multiplier": "1",
        "hsUpTm": Moment::at(held.updated_at / 1_000_000_000).slashed(),
        "tok": scrip.token,
        "trdSym": scrip.symbol,
    }})
}
