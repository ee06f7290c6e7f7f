//! The inside of the library for benchmarks and fuzzing. No part of its
//! interface: it may change with any version.
//!
//! What is here takes texts and bytes as the network or a caller gives them,
//! does what the library does with them, and sends nothing.

use std::time::Duration;

use url::Url;
use zeroize::Zeroizing;

use crate::base::clock;
use crate::base::error::Error;
use crate::base::redact::{self, Known};
use crate::base::reply::Reply;
use crate::base::status::Status;
use crate::broker::hosts::{Environment, Generation, Hosts};
use crate::broker::judge::{self, Asked, Verdict};
use crate::broker::login;
use crate::broker::message::Answer;
use crate::broker::operation::{self, Operation};
use crate::broker::order_book;
use crate::broker::orders::InstructionKind;
use crate::broker::outcome::{self, Clocks, Instructed, Others, Progress, Reading, Sent};
use crate::broker::params;
use crate::broker::reads::{self, Expect};
use crate::broker::reasons::Hints;
use crate::client::config::Config;
use crate::feeds::market::exchange::Dividers;
use crate::feeds::market::packet::{Packet, Packets, Step};
use crate::feeds::market::{Feed, Options};
use crate::feeds::orders::{OrderFeed as Events, Unconnected};
use crate::feeds::tick::{Depth, Tick};
use crate::scrips::{Lacks, Query, Table};

/// Reads a configuration; gives the one in force. Opens no file.
///
/// # Errors
///
/// Those of [`crate::Client::open`].
pub fn config(text: &str) -> Result<String, Error> {
    let mut config = Config::parse(text)?;
    let shown = config.describe().to_string();
    config.ca_file = None;
    config.connection()?;
    Ok(shown)
}

/// A market feed without a connection.
pub struct MarketFeed {
    /// What callers read.
    pub feed: Feed,
    known: Known,
    dividers: Dividers,
}

impl MarketFeed {
    /// # Errors
    ///
    /// Those of [`crate::Client::feed`] about the options.
    pub fn new(options: Option<&str>) -> Result<Self, Error> {
        let feed = Feed::unconnected(Options::parse(options)?);
        Ok(Self {
            feed,
            known: Known::new(["fake-sid-0000"]),
            dividers: Dividers::default(),
        })
    }

    /// Takes a text frame of the broker.
    ///
    /// # Errors
    ///
    /// Why the connection would end.
    pub fn text(&mut self, frame: &str) -> Result<(), String> {
        self.feed.take_text(frame, &self.known, &mut self.dividers)
    }

    /// Takes a binary frame of the broker.
    pub fn binary(&self, frame: &[u8]) {
        self.feed.take_binary(frame, &self.dividers);
    }
}

/// An order feed without a connection.
pub struct OrderFeed {
    /// What callers read.
    pub feed: Events,
    supervisor: Unconnected,
}

impl OrderFeed {
    /// A feed that keeps `capacity` events, of a session with this token and
    /// session id.
    ///
    /// # Errors
    ///
    /// If the usual options are wrong.
    pub fn new(capacity: usize, token: &str, sid: &str) -> Result<Self, Error> {
        let (supervisor, feed) = Unconnected::new(capacity, &[token, sid])?;
        Ok(Self { feed, supervisor })
    }

    /// Takes a frame of the broker; gives why the connection would end.
    pub fn text(&mut self, frame: &str) -> Option<String> {
        self.supervisor.take(frame)
    }

    /// Takes order book and trade book; `false` if not all had room.
    ///
    /// # Errors
    ///
    /// If one of them is no book.
    pub fn books(&mut self, orders: &str, trades: &str) -> Result<bool, Error> {
        let books = [orders, trades].map(|book| Reply::local(book.to_owned()));
        self.supervisor.books(&books)
    }
}

/// Operations whose answers are read in different ways.
const OPERATIONS: &[&Operation] = &[
    &operation::PLACE_ORDER,
    &operation::MODIFY_ORDER,
    &operation::CANCEL_ORDER,
    &operation::ORDER_REPORT,
    &operation::LIMITS,
    &operation::TOTP_LOGIN,
    &operation::TOTP_VALIDATE,
    &operation::SESSION_INIT,
    &operation::QUOTES,
];

/// What [`answer`] read.
pub struct Judged {
    /// The answer as an error.
    pub error: Error,
    /// The order number, if it says that an order was taken.
    pub taken: Option<String>,
    /// Whether it proves that the order was refused.
    pub refused: bool,
    /// Whether it says that it is a refusal.
    pub is_refusal: bool,
    /// Whether it has what one or the other call looks for.
    pub payloads: [bool; 6],
    /// Every URL that it names and that would be used.
    pub hosts: Vec<Url>,
}

/// Reads an answer of the broker as every step that could get it does.
/// `choice` picks the operation, `secret` is to be masked.
#[must_use]
pub fn answer(choice: usize, http_status: u16, body: &[u8], secret: &str) -> Judged {
    let op = OPERATIONS[choice % OPERATIONS.len()];
    let auth = op.headers(Generation::Three).auth;
    let answer = Answer {
        http_status,
        retry_after: None,
        redirect: None,
        cookies: Vec::new(),
        date: None,
        body: Zeroizing::new(body.to_vec()),
    };
    let asked = match choice % 3 {
        0 if choice % 2 == 0 => Asked::Cancel("250122000624384", choice % 5 == 0),
        0 => Asked::Change("250122000624384"),
        which => Asked::New {
            made_tag: choice % 2 == 0,
            is_known: which == 2 && choice % 5 == 0,
        },
    };
    let verdict = judge::instruction(op, auth, &answer, asked, &[secret]);
    let hosts = Hosts {
        environment: Environment::Prod,
        base_url: None,
    };
    let mut urls = Vec::new();
    if let Some(granted) = login::granted(body) {
        let named = [granted.base_url, granted.feed_url, granted.rt_url];
        for text in named.iter().flatten() {
            urls.extend(hosts.named("baseUrl", text));
            urls.extend(hosts.named_feed("feedUrl", text));
            urls.extend(hosts.order_feed_on(text));
        }
    }
    let service = login::feed_urls(body, "e41").unwrap_or_default();
    for text in [service.feed, service.order_feed].iter().flatten() {
        urls.extend(hosts.named_feed("broadcast_endpoint", text));
    }
    let more = [
        login::looked_up_base(body),
        reads::scrip_file(body, "nse_cm"),
    ];
    for text in more.iter().flatten() {
        urls.extend(hosts.named("baseURL", text));
    }
    let (taken, refused) = match verdict {
        Verdict::Taken(number) => (Some(number), false),
        Verdict::Refused(_) => (None, true),
        Verdict::Open(_) => (None, false),
    };
    Judged {
        error: judge::error(op, auth, &answer, &[secret]),
        taken,
        refused,
        is_refusal: judge::is_refusal(&answer),
        payloads: [
            Expect::Data.holds(body),
            Expect::Key("Net").holds(body),
            Expect::List.holds(body),
            login::has_data(body),
            login::bearer(body).is_some(),
            judge::is_no_data(&answer),
        ],
        hosts: urls,
    }
}

/// What two readings of an order book prove about an instruction; `None` if
/// it is no book. `facts` is what was asked, as JSON.
#[must_use]
pub fn outcome(choice: usize, facts: &str, book: &str) -> Option<String> {
    use InstructionKind::{Cancel, Modify, Place};
    const WINDOW: Duration = Duration::from_secs(10);
    let kind = [Place, Modify, Cancel][choice % 3];
    let sent = clock::now();
    const NOON: u64 = 1_737_527_400;
    let asked = Instructed::new(kind, "mine", Some("1"), facts, NOON * 1000, Sent::At(sent))
        .of_account(Some("TEST1"));
    let rows = order_book::rows(book)?;
    let mut verdict = None;
    let mut progress = Progress::default();
    for seconds in [10, 20] {
        let began = sent + Duration::from_secs(seconds);
        let reading = Reading {
            began,
            clocks: Clocks {
                at: began,
                ours: NOON + seconds,
                broker: Some(NOON + seconds),
            },
            account: Some("TEST1"),
            rows: &rows,
            keys: &[],
            known: Some(&[]),
            of_another: &|at| rows[at].tag() == "another",
            changed_since: false,
            others: Some(Others {
                trades: &[],
                positions: &rows,
            }),
        };
        let (told, after) = outcome::prove(&asked, false, WINDOW, &reading, &progress);
        (verdict, progress) = (Some(told), after);
    }
    let hints = Hints::of(rows.iter().map(|row| row.raw.as_str()))
        .list
        .len();
    let seen = rows.iter().filter_map(|row| order_book::seen(&row.raw));
    Some(format!("{verdict:?}, {hints} hints, {} seen", seen.count()))
}

/// A scrip file.
pub struct Scrips(Table);

impl Scrips {
    /// # Errors
    ///
    /// Why it is none.
    pub fn read(segment: &str, csv: Vec<u8>) -> Result<Self, String> {
        Table::read(segment, csv)
            .map(Self)
            .map_err(|broken| broken.0)
    }

    /// The rows that [`crate::Client::search_scrip`] finds; `None` if they are
    /// too many for one answer.
    ///
    /// # Errors
    ///
    /// For wrong parameters, and for a column that the file lacks.
    pub fn search(&self, params: &str) -> Result<Option<String>, Error> {
        let (_, query) = params::read(params, Query::read);
        let query = query?;
        let rows = query.rows(&self.0).map_err(|Lacks(column)| {
            Error::new(Status::Protocol, format!("the file has no column {column}"))
        })?;
        Ok(self.0.json(&rows))
    }
}

/// A text without credentials and tokens, of which these are known.
#[must_use]
pub fn masked(text: &str, known: &[&str]) -> String {
    redact::secrets(text, known).into_owned()
}

/// A text without credentials and personal data.
#[must_use]
pub fn redacted(text: &str) -> String {
    redact::everything(text, &[]).into_owned()
}

/// Decodes the packets of a frame of the market feed, whatever the bytes are.
/// Prices are divided by `divider`.
pub fn decode_frame(frame: &[u8], divider: i32, mut take: impl FnMut(&Tick)) {
    let mut tick = Tick::default();
    for packet in packets(frame) {
        packet.to_tick(divider, &mut tick);
        take(&tick);
    }
}

/// The same, with all rows of the market depth.
pub fn decode_depth(frame: &[u8], divider: i32, mut take: impl FnMut(&Tick, &Depth)) {
    let (mut tick, mut depth) = (Tick::default(), Depth::default());
    for packet in packets(frame) {
        packet.to_tick(divider, &mut tick);
        packet.to_depth(divider, &mut depth);
        take(&tick, &depth);
    }
}

/// The same, as the JSON events that callers get, but for what only a feed
/// knows: arrival, number, trading symbol.
pub fn decode_json(frame: &[u8], divider: i32, mut take: impl FnMut(&str)) {
    let mut json = String::new();
    for packet in packets(frame) {
        json.clear();
        json.push('{');
        packet.write_json(divider, None, &mut json);
        json.push('}');
        take(&json);
    }
}

fn packets(frame: &[u8]) -> impl Iterator<Item = Packet<'_>> {
    Packets::new(frame).filter_map(|step| match step {
        Step::Packet(packet) => Some(packet),
        Step::Ignored | Step::Malformed => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_say_the_same_of_the_same_packets() {
        let mut frame = vec![0; 176];
        frame[..2].copy_from_slice(&176_u16.to_le_bytes());
        frame[4] = 1;
        frame[5] = 4;
        frame[9..13].copy_from_slice(&11_536_u32.to_le_bytes());
        frame[69..73].copy_from_slice(&123_456_u32.to_le_bytes());
        // The best bid and ask.
        frame[152..156].copy_from_slice(&123_400_i32.to_le_bytes());
        frame[168..172].copy_from_slice(&123_500_i32.to_le_bytes());
        let frame = [frame.as_slice(), frame.as_slice(), b"cut"].concat();
        let (mut ticks, mut depths, mut events) = (Vec::new(), Vec::new(), Vec::new());
        decode_frame(&frame, 100, |tick| ticks.push(*tick));
        decode_depth(&frame, 100, |tick, depth| depths.push((*tick, *depth)));
        decode_json(&frame, 100, |json| events.push(json.to_owned()));
        assert_eq!((ticks.len(), depths.len(), events.len()), (2, 2, 2));
        for ((tick, (again, depth)), json) in ticks.iter().zip(&depths).zip(&events) {
            assert_eq!(tick, again);
            assert_eq!((tick.token, tick.last_traded_price), (11_536, 1234.56));
            assert_eq!((depth.buy[0].price, depth.sell[0].price), (1234.0, 1235.0));
            let event: serde_json::Value = serde_json::from_str(json).expect(json);
            assert_eq!(event["last_traded_price"].as_f64(), Some(1234.56));
            assert_eq!(event["sell"][0]["price"].as_f64(), Some(1235.0));
        }
    }
}
