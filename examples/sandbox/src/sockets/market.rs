//! The price feed: subscriptions, acknowledgements, packets of what has moved.

use std::collections::HashSet;
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::Message;

use super::packets::{self, Cas, Head, Index, Picture, Row};
use super::{Acks, Feed, FeedRate, LoginManner, Reply, Silence, Socket, books_changed};
use crate::exchange::Exchange;
use crate::market::{Id, Kind, Level, Scrip, Segment, Standing, open_interest, percent};
use crate::money::RUPEE;
use crate::state::State;

/// Tokens of all kinds together. What the broker does beyond that is not documented.
const MOST_TOKENS: usize = 3_000;

/// How many packets are made at a time, so that texts are read in between.
const PACKETS_AT_A_TIME: usize = 2_048;

/// A socket that was not served for so long sends on from now, and not what it owes.
const MOST_OWED: Duration = Duration::from_millis(200);

/// How long the frames of a flood may be sent again and again.
const FLOOD_KEPT: Duration = Duration::from_millis(100);

/// What is subscribed of an instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kinds {
    Lite,
    Touch,
    Depth,
    Full,
    Index,
}

/// The name of a kind in the events.
const KINDS: [(&str, Kinds); 5] = [
    ("ScripsLite", Kinds::Lite),
    ("Scrips", Kinds::Touch),
    ("Depth", Kinds::Depth),
    ("FullDepth", Kinds::Full),
    ("Indices", Kinds::Index),
];

/// The number and divider of an exchange segment in packets.
fn wire(segment: Segment) -> (u8, i64) {
    match segment {
        Segment::NseCm => (1, 100),
        Segment::NseFo => (2, 100),
        Segment::CdeFo => (3, 10_000_000),
        Segment::NseCom => (4, 10_000),
        Segment::BseCm => (5, 100),
        Segment::BseFo => (6, 100),
        Segment::McxFo => (9, 100),
    }
}

pub(super) struct Plane {
    state: Arc<State>,
    manners: watch::Receiver<Feed>,
    changes: watch::Receiver<u64>,
    live: bool,
    list: Vec<(Kinds, Id)>,
    subscribed: HashSet<(Kinds, Id)>,
    /// What is sent at once: new subscriptions and snapshots.
    fresh: Vec<(Kinds, Id)>,
    /// Whether the states of the exchanges are subscribed, and are to be sent at once.
    exchanges: bool,
    fresh_exchanges: bool,
    market_open: bool,
    closing_auction: bool,
    /// The last change of a price that was sent.
    seen: u64,
    /// Whose turn it is, at a rate.
    turn: usize,
    /// Since when, and how many packets went out at a rate.
    paced: Option<(FeedRate, Instant, u64)>,
    flood: Flood,
    seq: u8,
}

/// Frames that were made beforehand: each subscribed instrument once.
struct Flood {
    frames: Vec<Bytes>,
    /// How many of them were sent in this turn.
    sent: usize,
    made: Instant,
    /// The last change of a price, and the packets of a frame; `None` once the list has changed.
    basis: Option<(u64, u16)>,
}

impl Flood {
    fn none() -> Self {
        Self {
            frames: Vec::new(),
            sent: 0,
            made: Instant::now(),
            basis: None,
        }
    }

    /// Whether the turn is over.
    fn is_sent(&self) -> bool {
        self.sent == self.frames.len()
    }

    /// What is left of the turn, and the end of the flood.
    fn rest(&mut self) -> Vec<Bytes> {
        std::mem::replace(self, Self::none())
            .frames
            .split_off(self.sent)
    }
}

impl Plane {
    pub(super) fn new(state: &Arc<State>) -> Self {
        let exchange = state.exchange();
        Self {
            manners: state.sockets.feed.subscribe(),
            changes: exchange.changes(),
            state: Arc::clone(state),
            live: false,
            list: Vec::new(),
            subscribed: HashSet::new(),
            fresh: Vec::new(),
            exchanges: false,
            fresh_exchanges: false,
            market_open: exchange.switches.market_open,
            closing_auction: exchange.switches.closing_auction,
            seen: exchange.market.changes(),
            turn: 0,
            paced: None,
            flood: Flood::none(),
            seq: 0,
        }
    }

    fn login(&mut self, text: &str) -> Reply {
        let login = self.manners.borrow().login;
        let refused = json!({"message_code": 1120, "message": "Auth failed"}).to_string();
        let first = auth(1119);
        let good = self.admits(text);
        match login {
            LoginManner::Ignore => Reply::Say(Vec::new()),
            LoginManner::RefuseOpen => Reply::Say(vec![refused]),
            LoginManner::InitialThenRefuse => Reply::Leave(vec![first, refused], 1000, ""),
            LoginManner::RefuseClose => Reply::Leave(vec![refused], 1000, ""),
            _ if !good => Reply::Leave(vec![refused], 1000, ""),
            LoginManner::Check => self.admitted(vec![auth(1117)]),
            LoginManner::Initial => self.admitted(vec![first, auth(1117)]),
            LoginManner::InitialOnly => self.admitted(vec![first]),
            LoginManner::Fallback => {
                let body = auth(1117).replace("native_batch", "native_fallback");
                self.admitted(vec![body])
            }
        }
    }

    fn admitted(&mut self, texts: Vec<String>) -> Reply {
        self.live = true;
        Reply::Say(texts)
    }

    /// Whether a text is a login that is right.
    fn admits(&self, text: &str) -> bool {
        let Ok(login) = serde_json::from_str::<Value>(text) else {
            return false;
        };
        let is = |key: &str, value: &str| login[key].as_str() == Some(value);
        is("user", &self.state.options.credentials.ucc)
            && is("format", "native_batch")
            && is("source", "NEOTRADEAPI")
            && login["auth"]
                .as_str()
                .is_some_and(|sid| self.state.tokens.may_trade(sid))
    }

    /// Takes `{"event":"subscribeScrips","inputtoken":"nse_cm|11536"}`.
    fn control(&mut self, text: &str) -> Result<Option<String>, String> {
        let wish: Value = serde_json::from_str(text).map_err(|_| "not JSON".to_owned())?;
        let event = wish["event"].as_str().ok_or("event is missing")?;
        if event == "subscribeExchange" {
            self.exchanges = true;
            self.fresh_exchanges = true;
            return Ok(None);
        }
        if event == "unsubscribeExchange" {
            self.exchanges = false;
            return Ok(None);
        }
        let (verb, kind) = ["subscribe", "unsubscribe", "snapshot"]
            .into_iter()
            .find_map(|verb| {
                let name = event.strip_prefix(verb)?;
                let (_, kind) = KINDS.iter().find(|(known, _)| *known == name)?;
                Some((verb, *kind))
            })
            .filter(|pair| *pair != ("snapshot", Kinds::Full))
            .ok_or_else(|| format!("unknown event {event}"))?;
        let tokens = wish["inputtoken"].as_str().ok_or("inputtoken is missing")?;
        let exchange = self.state.exchange();
        let found: Vec<(&str, Id)> = tokens
            .split(',')
            .filter_map(|token| Some((token, find(&exchange, kind, token)?)))
            .collect();
        match verb {
            "unsubscribe" => {
                for (_, id) in found {
                    self.subscribed.remove(&(kind, id));
                }
                self.list.retain(|entry| self.subscribed.contains(entry));
                self.flood.basis = None;
                return Ok(None);
            }
            "subscribe" => {
                let fresh: HashSet<_> = found
                    .iter()
                    .map(|(_, id)| (kind, *id))
                    .filter(|entry| !self.subscribed.contains(entry))
                    .collect();
                if self.subscribed.len() + fresh.len() > MOST_TOKENS {
                    return Err("too many tokens".to_owned());
                }
                for (_, id) in &found {
                    if self.subscribed.insert((kind, *id)) {
                        self.list.push((kind, *id));
                    }
                }
                self.flood.basis = None;
            }
            _ => {}
        }
        self.fresh.extend(found.iter().map(|(_, id)| (kind, *id)));
        let acks = self.manners.borrow().acks;
        Ok(match (acks, wish["ack_symbol"] == true) {
            (Acks::None, _) | (_, false) => None,
            (acks, true) => Some(ack(&exchange, acks, &found)),
        })
    }

    fn head(&mut self, segment: Segment) -> Head {
        self.seq = self.seq.wrapping_add(1);
        Head {
            exchange: wire(segment).0,
            auction: u8::from(self.closing_auction && segment.is_cash()),
            seq: self.seq,
        }
    }

    /// Writes the packet of an instrument, and in the closing auction its reference price.
    fn put(&mut self, frames: &mut Frames, exchange: &mut Exchange, kind: Kinds, id: Id) {
        let head = self.head(id.segment);
        write(frames.packet(), exchange, head, kind, id);
        if self.closing_auction {
            self.put_reference(frames, exchange, kind, id);
        }
    }

    /// Touch line and depth bring reference prices, which are zero outside of the auction. An
    /// instrument that is subscribed in both ways has one.
    fn put_reference(&mut self, frames: &mut Frames, exchange: &mut Exchange, kind: Kinds, id: Id) {
        let brings = match kind {
            Kinds::Touch => true,
            Kinds::Depth => !self.subscribed.contains(&(Kinds::Touch, id)),
            _ => false,
        };
        if brings && id.segment.is_cash() {
            let head = self.head(id.segment);
            packets::cas(frames.packet(), head, &reference(exchange, id));
        }
    }

    /// How many packets are due at a rate.
    fn due(&mut self, rate: FeedRate) -> u64 {
        let per_second = match rate {
            FeedRate::Steps | FeedRate::Flood => return 0,
            FeedRate::PerSecond(per_second) => u64::from(per_second),
        };
        let now = Instant::now();
        let (known, since, sent) = self.paced.get_or_insert((rate, now, 0));
        let owed = |since: Instant, sent: u64| {
            let earned = now.duration_since(since).as_nanos() * u128::from(per_second);
            u64::try_from(earned / 1_000_000_000).unwrap_or(u64::MAX) - sent
        };
        if *known != rate
            || owed(*since, *sent).max(1) - 1 > per_second * MOST_OWED.as_millis() as u64 / 1_000
        {
            (*known, *since, *sent) = (rate, now, 0);
        }
        let due = owed(*since, *sent).min(PACKETS_AT_A_TIME as u64);
        *sent += due;
        due
    }

    /// When the next packet is due at a rate.
    fn next_due(&self, rate: FeedRate) -> Option<Instant> {
        if self.list.is_empty() {
            return None;
        }
        match rate {
            FeedRate::Steps | FeedRate::Flood => None,
            FeedRate::PerSecond(per_second) => Some(match self.paced {
                Some((known, since, sent)) if known == rate => {
                    let nanos = (u128::from(sent) + 1) * 1_000_000_000 / u128::from(per_second);
                    since + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX) + 1)
                }
                _ => Instant::now(),
            }),
        }
    }
}

impl super::Plane for Plane {
    const SOCKET: Socket = Socket::Feed;

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
        if !self.live {
            return self.login(text);
        }
        Reply::Say(match self.control(text) {
            Ok(ack) => ack.into_iter().collect(),
            // The shape of a refusal is not documented; the code says that there is one.
            Err(why) => {
                let body = json!({"message_code": 1109, "error_code": 1, "description": why});
                vec![body.to_string()]
            }
        })
    }

    async fn wait(&mut self, sending: bool) -> bool {
        if sending && (!self.fresh.is_empty() || self.fresh_exchanges) {
            return true;
        }
        let rate = self.manners.borrow().rate;
        let flooding = rate == FeedRate::Flood && !self.list.is_empty();
        if sending && (flooding || !self.flood.is_sent()) {
            // The rest of the sandbox has a turn first.
            tokio::task::yield_now().await;
            return true;
        }
        let due = self.next_due(rate);
        tokio::select! {
            biased;
            changed = self.manners.changed() => match changed {
                Ok(()) => false,
                Err(_) => pending().await,
            },
            () = books_changed(&mut self.changes), if sending => true,
            () = sleep_until(due.unwrap_or_else(Instant::now)), if sending && due.is_some() => true,
        }
    }

    fn collect(&mut self) -> Vec<Message> {
        let manners = *self.manners.borrow();
        let state = Arc::clone(&self.state);
        let mut exchange = state.exchange();
        let flooding = manners.rate == FeedRate::Flood;
        let mut frames = Frames::new(manners.batch);

        if !flooding {
            // Nobody misses a price of a flood that is over.
            frames.done = self.flood.rest();
        }
        let open = exchange.switches.market_open;
        if open != self.market_open {
            self.market_open = open;
            for segment in Segment::ALL {
                if self.list.iter().any(|(_, id)| id.segment == segment) {
                    let head = self.head(segment);
                    packets::opened(frames.packet(), head, open);
                }
            }
            self.fresh_exchanges = self.exchanges;
        }
        let auction = exchange.switches.closing_auction;
        if auction != self.closing_auction {
            self.closing_auction = auction;
            if self.exchanges {
                for segment in Segment::ALL.into_iter().filter(|one| one.is_cash()) {
                    let head = self.head(segment);
                    let code = if auction { 10 } else { 12 };
                    packets::status(frames.packet(), head, code, "");
                }
            }
            for at in 0..self.list.len() {
                let (kind, id) = self.list[at];
                self.put_reference(&mut frames, &mut exchange, kind, id);
            }
        }
        if std::mem::take(&mut self.fresh_exchanges) {
            for segment in Segment::ALL {
                let head = self.head(segment);
                let (code, label) = match open {
                    true if auction && segment.is_cash() => (10, ""),
                    true => (1, "OPEN"),
                    false => (2, "CLOSE"),
                };
                packets::status(frames.packet(), head, code, label);
            }
        }
        let fresh = std::mem::take(&mut self.fresh);
        for (kind, id) in &fresh {
            self.put(&mut frames, &mut exchange, *kind, *id);
        }
        if flooding {
            self.paced = None;
            frames.end_frame();
            let next = self.next_of_flood(&mut exchange, manners.batch);
            frames.done.extend(next);
            return frames.all(manners.stamp);
        }
        let seen = std::mem::replace(&mut self.seen, exchange.market.changes());
        if manners.rate == FeedRate::Steps {
            self.paced = None;
            // What has moved and is fresh as well comes once.
            let sent: HashSet<_> = fresh.into_iter().collect();
            for at in 0..self.list.len() {
                let (kind, id) = self.list[at];
                let moved = exchange.market.standing(id).changed > seen;
                if moved && !sent.contains(&(kind, id)) {
                    self.put(&mut frames, &mut exchange, kind, id);
                }
            }
        } else if !self.list.is_empty() {
            for _ in 0..self.due(manners.rate) {
                self.turn = (self.turn + 1) % self.list.len();
                let (kind, id) = self.list[self.turn];
                exchange.nudge(id);
                let head = self.head(id.segment);
                write(frames.packet(), &mut exchange, head, kind, id);
            }
            // What was nudged here is sent.
            self.seen = exchange.market.changes();
        }
        frames.all(manners.stamp)
    }

    fn cut(&mut self) -> Message {
        let mut packet = self.sample();
        packet.truncate(packet.len() / 2);
        Message::binary(packet)
    }

    fn wrong_length(&mut self) -> Message {
        // The first says that it is longer than all, the second that it is shorter than a header.
        let mut packet = self.sample();
        packet[..2].copy_from_slice(&u16::MAX.to_le_bytes());
        let mut short = self.sample();
        short[..2].copy_from_slice(&5_u16.to_le_bytes());
        packet.append(&mut short);
        Message::binary(packet)
    }
}

impl Plane {
    /// The next frames of a flood.
    fn next_of_flood(&mut self, exchange: &mut Exchange, batch: u16) -> Vec<Bytes> {
        let basis = Some((exchange.market.changes(), batch));
        let is_old = self.flood.is_sent() && self.flood.made.elapsed() > FLOOD_KEPT;
        if is_old || self.flood.basis != basis {
            let mut frames = Frames::new(batch);
            for at in 0..self.list.len() {
                let (kind, id) = self.list[at];
                exchange.nudge(id);
                self.put(&mut frames, exchange, kind, id);
            }
            self.seen = exchange.market.changes();
            self.flood = Flood {
                frames: frames.finish(),
                sent: 0,
                made: Instant::now(),
                basis: Some((self.seen, batch)),
            };
        }
        let flood = &mut self.flood;
        if flood.is_sent() {
            flood.sent = 0;
        }
        let most = (PACKETS_AT_A_TIME / usize::from(batch)).max(1);
        let next: Vec<Bytes> = flood
            .frames
            .iter()
            .skip(flood.sent)
            .take(most)
            .cloned()
            .collect();
        flood.sent += next.len();
        next
    }

    /// A packet of the first subscription; of a closed market if there is none.
    fn sample(&mut self) -> Vec<u8> {
        let mut packet = Vec::new();
        let state = Arc::clone(&self.state);
        match self.list.first().copied() {
            Some((kind, id)) => {
                let head = self.head(id.segment);
                write(&mut packet, &mut state.exchange(), head, kind, id);
            }
            None => {
                let head = self.head(Segment::NseCm);
                packets::status(&mut packet, head, 2, "CLOSE");
            }
        }
        packet
    }
}

/// Packets, a few to a frame.
struct Frames {
    most: u16,
    count: u16,
    buffer: Vec<u8>,
    done: Vec<Bytes>,
}

impl Frames {
    fn new(most: u16) -> Self {
        Self {
            most,
            count: 0,
            buffer: Vec::new(),
            done: Vec::new(),
        }
    }

    /// Where the next packet is written.
    fn packet(&mut self) -> &mut Vec<u8> {
        if self.count == self.most {
            self.end_frame();
        }
        self.count += 1;
        &mut self.buffer
    }

    fn end_frame(&mut self) {
        if !self.buffer.is_empty() {
            self.done.push(std::mem::take(&mut self.buffer).into());
        }
        self.count = 0;
    }

    fn finish(mut self) -> Vec<Bytes> {
        self.end_frame();
        self.done
    }

    /// All frames, with the time if they are to carry it.
    fn all(self, stamped: bool) -> Vec<Message> {
        let all = self.finish().into_iter();
        if !stamped {
            return all.map(Message::Binary).collect();
        }
        let mut all: Vec<Vec<u8>> = all.map(Vec::from).collect();
        // As late as can be: what was written until now does not count.
        let sent_at = unix_nanos();
        for frame in &mut all {
            packets::stamp(frame, sent_at);
        }
        all.into_iter().map(Message::binary).collect()
    }
}

/// The body of a login's answer.
fn auth(code: u16) -> String {
    let exchanges: Map<String, Value> = Segment::ALL
        .iter()
        .map(|segment| {
            let (value, divider) = wire(*segment);
            let facts = json!({"value": value, "divider": divider});
            (segment.code().to_owned(), facts)
        })
        .collect();
    let mut body = json!({"message_code": code, "id": "SANDBOX", "exchanges": exchanges});
    if code == 1117 {
        body["format"] = json!("native_batch");
    } else {
        body["version"] = json!(1);
    }
    body.to_string()
}

/// The instrument behind `nse_cm|11536`, or the index behind `nse_cm|Nifty 50` or its number.
fn find(exchange: &Exchange, kind: Kinds, token: &str) -> Option<Id> {
    let (segment, token) = token.split_once('|')?;
    let scrips = exchange.market.scrips(Segment::read(segment)?);
    let found = scrips.by_token(token);
    if kind != Kinds::Index {
        return found
            .filter(|scrip| scrip.kind != Kind::Index)
            .map(|s| s.id);
    }
    let numbered = || {
        let mut all = scrips.list.iter();
        all.find(|scrip| scrip.kind == Kind::Index && scrip.asset == token)
    };
    found
        .filter(|scrip| scrip.kind == Kind::Index)
        .or_else(numbered)
        .map(|scrip| scrip.id)
}

/// The acknowledgement of a subscription.
fn ack(exchange: &Exchange, acks: Acks, found: &[(&str, Id)]) -> String {
    let symbols = found.iter().map(|(token, id)| {
        let scrip = exchange.market.scrip(*id);
        let symbol = if scrip.kind == Kind::Index {
            scrip.token.as_str()
        } else {
            scrip.symbol.as_str()
        };
        // Whether it takes part in the closing auction.
        let cash = scrip.kind != Kind::Index && id.segment.is_cash();
        (*token, symbol, cash)
    });
    let body = if acks == Acks::BrokerDoc {
        let data: Map<String, Value> = symbols
            .map(|(token, symbol, cash)| {
                let facts = json!({"cas_status": u8::from(cash), "trading_symbols": symbol});
                (token.to_owned(), facts)
            })
            .collect();
        json!({"message_code": 1109, "error_code": 0, "description": "SUBSCRIBED", "data": data})
    } else {
        let names: Map<String, Value> = symbols
            .map(|(token, symbol, _)| (token.to_owned(), json!(symbol)))
            .collect();
        json!({"message_code": 1109, "message": "Subscribed", "trading_symbols": names})
    };
    body.to_string()
}

/// Writes the packet of an instrument as it stands.
fn write(out: &mut Vec<u8>, exchange: &mut Exchange, head: Head, kind: Kinds, id: Id) {
    let standing = exchange.market.standing(id);
    let liquidity = exchange.switches.liquidity;
    let scrip = exchange.market.scrip(id);
    let (_, divider) = wire(id.segment);
    let raw = |price: i64| i128::from(price) * i128::from(divider) / i128::from(RUPEE);
    let price = |price: i64| raw_price(id.segment, price);
    let signed = |price: i64| i32::try_from(raw(price)).unwrap_or(i32::MAX);
    let change = standing.ltp - scrip.close;
    let hundredths = i32::try_from(percent(change, scrip.close) * 100 / RUPEE).unwrap_or(i32::MAX);
    let (year_high, year_low) = (scrip.close / 100 * 140, scrip.close / 100 * 70);

    if kind == Kinds::Index {
        let index = Index {
            token: scrip.asset.parse().unwrap_or(90_000 + id.index),
            open: signed(standing.open),
            close: signed(scrip.close),
            high: signed(standing.high),
            low: signed(standing.low),
            value: signed(standing.ltp),
            last_trade_time: standing.changed_at,
            year_high: signed(year_high),
            year_low: signed(year_low),
            percent: hundredths,
            precision: 2,
            multiplier: signed(RUPEE),
            name: &scrip.token,
        };
        packets::index(out, head, &index);
        return;
    }
    let (level, count) = match kind {
        Kinds::Depth => (packets::DEPTH, 5),
        Kinds::Full => (packets::FULL, 20),
        _ => (packets::TOUCH, 1),
    };
    let side = |way: i64| {
        (0..count).map(move |at| {
            let level = Level::at(scrip, &standing, liquidity, way, at).unwrap_or_default();
            Row {
                quantity: level.quantity,
                price: signed(level.price),
                orders: i32::try_from(level.orders).unwrap_or(i32::MAX),
            }
        })
    };
    let count = u32::try_from(count).unwrap_or(0);
    let changed_at = i64::try_from(standing.changed_at).unwrap_or(i64::MAX);
    let facts = Picture {
        token: scrip.token.parse().unwrap_or(0),
        total_buy: total(scrip, &standing, liquidity, -1),
        total_sell: total(scrip, &standing, liquidity, 1),
        volume: standing.volume,
        last_trade_time: if standing.volume == 0 { 0 } else { changed_at },
        last_update_time: changed_at,
        open: price(standing.open),
        close: price(scrip.close),
        high: price(standing.high),
        low: price(standing.low),
        ltp: price(standing.ltp),
        last_quantity: standing.last_quantity,
        average: price(mean(&standing)),
        indicative_close: 0,
        rows: (count, count),
        percent: hundredths,
        open_interest: u32::try_from(open_interest(scrip).0).unwrap_or(u32::MAX),
        // A float, scaled as the prices are.
        value: standing.turnover as f64 * divider as f64 / RUPEE as f64,
        change: signed(change),
        upper: price(scrip.high),
        lower: price(scrip.low),
        year_high: price(year_high),
        year_low: price(year_low),
        lot: u32::try_from(scrip.lot).unwrap_or(u32::MAX),
        precision: u8::try_from(id.segment.decimals()).unwrap_or(2),
        multiplier: 1,
    };
    if kind == Kinds::Lite {
        packets::mini(out, head, &facts);
    } else {
        packets::picture(out, head, level, &facts, side(-1).chain(side(1)));
    }
}

/// How much is on offer on one side.
fn total(scrip: &Scrip, standing: &Standing, liquidity: Option<i64>, way: i64) -> i64 {
    (0..5)
        .filter_map(|at| Level::at(scrip, standing, liquidity, way, at))
        .map(|level| level.quantity)
        .sum()
}

/// The reference price of an instrument: in the closing auction the last price, and the
/// imbalance of what is on offer, a tenth of it at any price. These rules are invented.
fn reference(exchange: &mut Exchange, id: Id) -> Cas {
    let standing = exchange.market.standing(id);
    let scrip = exchange.market.scrip(id);
    let token = scrip.token.parse().unwrap_or(0);
    if !exchange.switches.closing_auction {
        return Cas {
            token,
            ..Cas::default()
        };
    }
    let liquidity = exchange.switches.liquidity;
    let imbalance = total(scrip, &standing, liquidity, -1) - total(scrip, &standing, liquidity, 1);
    Cas {
        token,
        reference: raw_price(id.segment, standing.ltp),
        imbalance,
        imbalance_at_market: imbalance / 10,
    }
}

/// A price as packets have it.
fn raw_price(segment: Segment, price: i64) -> u32 {
    let (_, divider) = wire(segment);
    let raw = i128::from(price) * i128::from(divider) / i128::from(RUPEE);
    u32::try_from(raw).unwrap_or(u32::MAX)
}

fn unix_nanos() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_nanos()).unwrap_or(i64::MAX))
}

/// The average price of what was traded today.
fn mean(standing: &Standing) -> i64 {
    match standing.volume {
        0 => 0,
        volume => i64::try_from(standing.turnover / i128::from(volume)).unwrap_or(0),
    }
}
