//! Switches: how the pretend broker and exchanges behave from now on.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

/// Why every order instruction is refused. Each has the documented body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OrderRefusal {
    /// 1004, `Insufficient balance.`
    InsufficientBalance,
    /// 1017, `algo order not allowed`.
    AlgoNotAllowed,
    /// 1037, the session was made from another address.
    SessionAddress,
    /// 100008, the address is not whitelisted.
    Unauthorized,
    /// 100021, the kind of session may not place orders.
    AccessType,
}

impl OrderRefusal {
    const ALL: [Self; 5] = [
        Self::InsufficientBalance,
        Self::AlgoNotAllowed,
        Self::SessionAddress,
        Self::Unauthorized,
        Self::AccessType,
    ];

    /// The code of the body.
    #[must_use]
    pub fn code(self) -> u32 {
        match self {
            Self::InsufficientBalance => 1004,
            Self::AlgoNotAllowed => 1017,
            Self::SessionAddress => 1037,
            Self::Unauthorized => 100_008,
            Self::AccessType => 100_021,
        }
    }
}

/// How the last step of a login of generation 3 names the host of all later calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum NamedBase {
    /// `baseUrl` is a URL.
    #[default]
    Url,
    /// `baseUrl` is the broker's host of the data centre without a scheme, as was seen live.
    Bare,
    /// There is no `baseUrl`, as was seen live.
    Absent,
}

impl NamedBase {
    const ALL: [(&'static str, Self); 3] = [
        ("url", Self::Url),
        ("bare", Self::Bare),
        ("absent", Self::Absent),
    ];
}

/// What is said to a session that is dead or unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeadSession {
    /// 403 with code 1003, as documented.
    #[default]
    Code1003,
    /// 403 with code 100022, `invalid session token`.
    Code100022,
    /// 401 with the text `unauthorised`, as was seen live.
    Unauthorised,
}

impl DeadSession {
    const ALL: [(&'static str, Self); 3] = [
        ("1003", Self::Code1003),
        ("100022", Self::Code100022),
        ("unauthorised", Self::Unauthorised),
    ];
}

/// Why every order that goes to an exchange is taken and then rejected. Each has the text that
/// was seen in live rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// The minutes before the closing auction.
    CasTransition,
    /// The broker is not connected to the exchange, as on a Sunday.
    AdapterLoggedOff,
}

impl Rejection {
    const ALL: [(&'static str, Self); 2] = [
        ("cas_transition", Self::CasTransition),
        ("adapter_logged_off", Self::AdapterLoggedOff),
    ];

    /// What `rejRsn` says.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::CasTransition => "OMS: Trading session is in Transition to CAS session",
            Self::AdapterLoggedOff => "Adapter is Logged Off",
        }
    }
}

/// What the scrip files hold. Where the broker was seen to do other than the default, or may do
/// it, there is a word for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScripFiles {
    /// The true file: rows in no order, in cash files surveillance messages in quotes.
    #[default]
    Whole,
    /// Nothing at all.
    Empty,
    /// The first half, ending in the middle of a line; complete as an HTTP message.
    Cut,
    /// A page of HTML, with status 200.
    Html,
    /// The 78 columns of 2023.
    Older,
    /// Cells with commas, in quotes, in the files of derivatives too.
    Quoted,
    /// Complete, but the last line has no line break.
    NoLineEnd,
    /// Lines end as on Windows.
    CrLf,
    /// One row has a quote that nothing closes.
    StrayQuote,
    /// One row lacks a cell.
    ShortRow,
    /// One cell has a byte that belongs to no text.
    BadByte,
    /// One row has words for its token and its strike.
    ForeignCells,
    /// The column `pSymbolName` has another name.
    NoName,
    /// Expiries are Unix times, and `pCurrectionTime` says so.
    UnixDates,
    /// One row expires 40 days after the day in its name.
    Misdated,
}

impl ScripFiles {
    const ALL: [(&'static str, Self); 15] = [
        ("whole", Self::Whole),
        ("empty", Self::Empty),
        ("cut", Self::Cut),
        ("html", Self::Html),
        ("older", Self::Older),
        ("quoted", Self::Quoted),
        ("no_line_end", Self::NoLineEnd),
        ("crlf", Self::CrLf),
        ("stray_quote", Self::StrayQuote),
        ("short_row", Self::ShortRow),
        ("bad_byte", Self::BadByte),
        ("foreign_cells", Self::ForeignCells),
        ("no_name", Self::NoName),
        ("unix_dates", Self::UnixDates),
        ("misdated", Self::Misdated),
    ];
}

/// How the pretend broker and exchanges behave. The default is a normal trading day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switches {
    /// Closed: only after-market orders are taken. When it opens, those that wait go out.
    pub market_open: bool,
    /// The closing auction of the cash segments: their market status says so, touch lines and
    /// depths carry the auction flag and bring reference prices. Orders are matched as ever.
    pub closing_auction: bool,
    /// How much of each instrument can be bought, and how much sold, between two ticks; `None`
    /// is any quantity. This makes partial fills.
    pub liquidity: Option<i64>,
    /// Refuse every order instruction in this way.
    pub refuse_orders: Option<OrderRefusal>,
    /// Take every order that goes to an exchange, and reject it with this reason. After-market
    /// orders meet it when they go out.
    pub reject_orders: Option<Rejection>,
    /// Stop-loss market orders through the API are as good as any, as before 2026. They are
    /// taken and then rejected otherwise.
    pub sl_m_allowed: bool,
    /// The cancel of an after-market order needs its trading symbol, as the broker documents
    /// and as generation 1 was seen to ask. The live service of 2026 does without.
    pub amo_cancel_needs_symbol: bool,
    /// Addresses from which order instructions are taken; others get 100008. `None` is any.
    pub allowed_addresses: Option<Vec<IpAddr>>,
    /// Take instructions from another address than that of the session, as the broker's older
    /// texts have it. Else they get 1037.
    pub any_address: bool,
    /// Say 1006 to a change of a finished order, not 1021.
    pub finished_1006: bool,
    /// Say 5204 to a tag that was used, not 32.
    pub duplicate_tag_5204: bool,
    /// Say 1004 to an order that is not covered, instead of taking and then rejecting it.
    pub uncovered_1004: bool,
    /// Replace the tag of an order when it is modified, as the broker is reported to do.
    pub rewrite_tags: bool,
    /// What the scrip files hold.
    pub scrip_files: ScripFiles,
    /// What `Retry-After` says wherever too many calls came, a number of seconds or a date; empty:
    /// there is none. `None`: as each limit has it.
    pub retry_after: Option<String>,
    /// How `baseUrl` names the host.
    pub base_url: NamedBase,
    /// Say 200032 to every call of a session of generation 3, as a host does that is not the one
    /// that its login named.
    pub other_host: bool,
    /// What is said to a dead session.
    pub dead_session: DeadSession,
    /// Refuse every login step of generation 3 with 10525: the account is locked for today.
    pub account_locked: bool,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            market_open: true,
            closing_auction: false,
            liquidity: None,
            refuse_orders: None,
            reject_orders: None,
            sl_m_allowed: false,
            amo_cancel_needs_symbol: false,
            allowed_addresses: None,
            any_address: false,
            finished_1006: false,
            duplicate_tag_5204: false,
            uncovered_1004: false,
            rewrite_tags: false,
            scrip_files: ScripFiles::default(),
            retry_after: None,
            base_url: NamedBase::default(),
            other_host: false,
            dead_session: DeadSession::default(),
            account_locked: false,
        }
    }
}

/// The word for one of several.
fn name<T: Copy + PartialEq>(all: &[(&'static str, T)], one: T) -> Option<&'static str> {
    let found = all.iter().find(|(_, other)| *other == one);
    found.map(|(name, _)| *name)
}

/// The one that a word stands for.
fn named<T: Copy>(all: &[(&'static str, T)], word: &Value) -> Option<T> {
    let found = all.iter().find(|(name, _)| word.as_str() == Some(name));
    found.map(|(_, one)| *one)
}

impl Switches {
    pub(crate) fn json(&self) -> Value {
        let rejection = Rejection::ALL
            .iter()
            .find(|(_, rejection)| Some(*rejection) == self.reject_orders);
        json!({
            "market_open": self.market_open,
            "closing_auction": self.closing_auction,
            "liquidity": self.liquidity,
            "refuse_orders": self.refuse_orders.map(OrderRefusal::code),
            "reject_orders": rejection.map(|(name, _)| name),
            "sl_m_allowed": self.sl_m_allowed,
            "amo_cancel_needs_symbol": self.amo_cancel_needs_symbol,
            "allowed_addresses": self.allowed_addresses,
            "any_address": self.any_address,
            "finished_1006": self.finished_1006,
            "duplicate_tag_5204": self.duplicate_tag_5204,
            "uncovered_1004": self.uncovered_1004,
            "rewrite_tags": self.rewrite_tags,
            "scrip_files": name(&ScripFiles::ALL, self.scrip_files),
            "base_url": name(&NamedBase::ALL, self.base_url),
            "other_host": self.other_host,
            "dead_session": name(&DeadSession::ALL, self.dead_session),
            "account_locked": self.account_locked,
            "retry_after": self.retry_after,
        })
    }

    /// Changes those that are named.
    pub(crate) fn change(&mut self, changes: &Map<String, Value>) -> Result<(), String> {
        for (key, value) in changes {
            let wrong = || format!("{key} has a value that makes no sense");
            let flag = || value.as_bool().ok_or_else(wrong);
            match key.as_str() {
                "market_open" => self.market_open = flag()?,
                "closing_auction" => self.closing_auction = flag()?,
                "any_address" => self.any_address = flag()?,
                "finished_1006" => self.finished_1006 = flag()?,
                "duplicate_tag_5204" => self.duplicate_tag_5204 = flag()?,
                "uncovered_1004" => self.uncovered_1004 = flag()?,
                "rewrite_tags" => self.rewrite_tags = flag()?,
                "sl_m_allowed" => self.sl_m_allowed = flag()?,
                "amo_cancel_needs_symbol" => self.amo_cancel_needs_symbol = flag()?,
                "reject_orders" => {
                    let named = Rejection::ALL
                        .iter()
                        .find(|(name, _)| value.as_str() == Some(name));
                    self.reject_orders = match value {
                        Value::Null => None,
                        _ => Some(named.ok_or_else(wrong)?.1),
                    };
                }
                "liquidity" => {
                    self.liquidity = match value {
                        Value::Null => None,
                        value => Some(value.as_i64().filter(|n| *n >= 0).ok_or_else(wrong)?),
                    };
                }
                "refuse_orders" => {
                    let code =
                        |refusal: &OrderRefusal| value.as_u64() == Some(refusal.code().into());
                    self.refuse_orders = match value {
                        Value::Null => None,
                        _ => Some(OrderRefusal::ALL.into_iter().find(code).ok_or_else(wrong)?),
                    };
                }
                "allowed_addresses" => {
                    self.allowed_addresses = match value {
                        Value::Null => None,
                        Value::Array(list) => Some(
                            list.iter()
                                .map(|item| item.as_str().and_then(|text| text.parse().ok()))
                                .collect::<Option<_>>()
                                .ok_or_else(wrong)?,
                        ),
                        _ => return Err(wrong()),
                    };
                }
                "retry_after" => {
                    self.retry_after = match value {
                        Value::Null => None,
                        value => Some(value.as_str().ok_or_else(wrong)?.to_owned()),
                    };
                }
                "scrip_files" => {
                    self.scrip_files = named(&ScripFiles::ALL, value).ok_or_else(wrong)?;
                }
                "base_url" => self.base_url = named(&NamedBase::ALL, value).ok_or_else(wrong)?,
                "other_host" => self.other_host = flag()?,
                "dead_session" => {
                    self.dead_session = named(&DeadSession::ALL, value).ok_or_else(wrong)?;
                }
                "account_locked" => self.account_locked = flag()?,
                _ => return Err(format!("unknown switch {key}")),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(changes: &Value) -> Result<Switches, String> {
        let mut switches = Switches::default();
        switches
            .change(changes.as_object().unwrap())
            .map(|()| switches)
    }

    #[test]
    fn go_through_json_unchanged() {
        let other = Switches {
            market_open: false,
            closing_auction: true,
            liquidity: Some(5),
            refuse_orders: Some(OrderRefusal::AccessType),
            reject_orders: Some(Rejection::CasTransition),
            sl_m_allowed: true,
            amo_cancel_needs_symbol: true,
            allowed_addresses: Some(vec![[127, 0, 0, 2].into()]),
            any_address: true,
            finished_1006: true,
            duplicate_tag_5204: true,
            uncovered_1004: true,
            rewrite_tags: true,
            scrip_files: ScripFiles::Cut,
            retry_after: Some("2".to_owned()),
            base_url: NamedBase::Bare,
            other_host: true,
            dead_session: DeadSession::Unauthorised,
            account_locked: true,
        };
        for switches in [Switches::default(), other] {
            assert_eq!(changed(&switches.json()), Ok(switches));
        }
    }

    #[test]
    fn name_what_is_wrong() {
        for (changes, word) in [
            (json!({"mood": true}), "unknown switch mood"),
            (json!({"market_open": 1}), "market_open"),
            (json!({"liquidity": -1}), "liquidity"),
            (json!({"refuse_orders": 1}), "refuse_orders"),
            (json!({"reject_orders": "odd"}), "reject_orders"),
            (json!({"allowed_addresses": ["here"]}), "allowed_addresses"),
            (json!({"scrip_files": "odd"}), "scrip_files"),
            (json!({"retry_after": 2}), "retry_after"),
            (json!({"base_url": true}), "base_url"),
            (json!({"dead_session": 1003}), "dead_session"),
        ] {
            assert!(changed(&changes).unwrap_err().contains(word), "{changes}");
        }
    }
}
