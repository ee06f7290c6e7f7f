//! What order instructions send, made of checked parameters: pure.
//!
//! Parameters have the keyword names of the official SDK, and its checks
//! where they protect the user. Numbers keep the exact text that was given, but for
//! zero, which is sent as `0`.

use std::fmt::Write;

use zeroize::Zeroizing;

use crate::base::error::Error;
use crate::base::json::{self, Fields, Member};
use crate::base::pasted;
use crate::broker::gate::Wanted;
use crate::broker::hosts::Generation;
use crate::broker::order_book::Seen;
use crate::broker::params::{self, PARAMS, ZERO, must, positive};
use crate::broker::words::{
    self, OLDER_ORDER_TYPES, OLDER_PRODUCTS, OLDER_SEGMENTS, OLDER_SIDES, ORDER_TYPES, PRODUCTS,
    SEGMENTS, SIDES, Spellings,
};

/// Order source, as the SDK of each generation names itself.
fn source(generation: Generation) -> Option<&'static str> {
    match generation {
        Generation::One => None,
        Generation::Two => Some("NEOFINTECH001"),
        Generation::Three => Some("NEOTRADEAPI"),
    }
}

/// Whether an order is for after the market's hours.
const AMO: &str = "amo";
const YES: &str = "YES";
const NO: &str = "NO";
const YES_NO: &[(&str, &str)] = &[(YES, YES), (NO, NO)];
const VALIDITIES: &[(&str, &str)] = &[("DAY", "DAY"), ("IOC", "IOC")];
const DAY_ONLY: &[(&str, &str)] = &[("DAY", "DAY")];

/// Products that the broker ended, in all their spellings.
const ENDED: &[&str] = &["CO", "co", "Cover Order", "BO", "bo", "Bracket Order"];
/// What only those products needed. Generation 2 sends all of them, empty.
const ENDED_KEYS: &[(&str, &str)] = &[
    ("scrip_token", "tk"),
    ("square_off_type", "sot"),
    ("stop_loss_type", "slt"),
    ("stop_loss_value", "slv"),
    ("square_off_value", "sov"),
    ("last_traded_price", "lat"),
    ("trailing_stop_loss", "tlt"),
    ("trailing_sl_value", "tsv"),
];
const ENDED_TEXT: &str =
    "cover and bracket orders are not possible: the broker ended them on 1 April 2026";

/// The longest tag. The broker documents no limit; this one keeps mistakes out.
const LONGEST_TAG: usize = 64;
/// The longest trading symbol or name of a scrip.
const LONGEST_NAME: usize = 64;

/// An instruction whose parameters are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(crate) kind: InstructionKind,
    /// The caller's tag (place only).
    pub(crate) tag: Option<String>,
    /// The order that is changed or cancelled.
    pub(crate) order_id: Option<String>,
    /// The caller's name for what he wants done, once.
    pub(crate) intent_id: Option<String>,
    /// What goes to the broker, in its order, but for tag and order source.
    members: Vec<(&'static str, Option<String>)>,
    /// What has to be read from the order book first.
    pub(crate) lookup: Lookup,
    /// The segment as the order book tells it, where that was asked for.
    told_segment: Option<String>,
    /// Whether the after-market flag is the caller's own word. Only that of a cancel is
    /// ever set for him.
    flag_given: bool,
}

/// What is known of the after-market flag of a cancel whose order is an after-market
/// order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    /// The caller left it open, and it was set for him.
    Set,
    /// The caller said so himself.
    Right,
    /// The caller said the opposite. His word counts.
    Wrong,
}

/// Which instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InstructionKind {
    Place,
    Modify,
    Cancel,
}

impl InstructionKind {
    /// The operation that sends it.
    pub(crate) fn operation(self) -> &'static str {
        match self {
            Self::Place => "place_order",
            Self::Modify => "modify_order",
            Self::Cancel => "cancel_order",
        }
    }

    /// What an operation sends.
    pub(crate) fn of(operation: &str) -> Self {
        match operation {
            "modify_order" => Self::Modify,
            "cancel_order" => Self::Cancel,
            _ => Self::Place,
        }
    }
}

/// What the order book has to tell before an instruction can be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Lookup {
    #[default]
    Nothing,
    /// The members that a modification of the older generations repeats.
    Contract,
    /// Only whether the order is still alive.
    Alive,
    /// The segment, which limits of the client need.
    Segment,
}

fn choose(fields: &mut Fields, key: &str, choices: Spellings) -> Result<Option<String>, Error> {
    Ok(fields.choice(key, choices, false)?.map(str::to_owned))
}

fn name(fields: &mut Fields, key: &str) -> Result<Option<String>, Error> {
    let given = fields.plain(key)?;
    if let Some(text) = &given {
        if text.is_empty() {
            return Err(fields.problem(key, "must not be blank"));
        }
        if text.len() > LONGEST_NAME {
            let problem = format!("must be at most {LONGEST_NAME} bytes");
            return Err(fields.problem(key, problem));
        }
    }
    Ok(given)
}

/// A tag or an intent id: what the broker and the ledger keep as it is.
fn label(fields: &mut Fields, key: &str) -> Result<Option<String>, Error> {
    let given = fields.text(key)?;
    if let Some(text) = &given {
        let plain = |b: u8| (0x21..0x7f).contains(&b) && !matches!(b, b'"' | b'\\');
        if text.is_empty() || text.len() > LONGEST_TAG || !text.bytes().all(plain) {
            let odd = pasted::named_odd(text);
            let problem = format!(
                "must be 1 to {LONGEST_TAG} printable ASCII characters without blanks, \" and \\{odd}"
            );
            return Err(fields.problem(key, problem));
        }
    }
    Ok(given)
}

fn product(fields: &mut Fields, older: bool) -> Result<Option<String>, Error> {
    const KEY: &str = "product";
    let Some(given) = fields.text(KEY)? else {
        return Ok(None);
    };
    if ENDED.contains(&given.as_str()) {
        return Err(fields.problem(KEY, ENDED_TEXT));
    }
    let choices = if older { OLDER_PRODUCTS } else { PRODUCTS };
    fields
        .pick(KEY, choices, &given)
        .map(|code| Some(code.to_owned()))
}

/// Price, order type and trigger, which belong together.
fn prices(fields: &mut Fields, older: bool) -> Result<[String; 3], Error> {
    let price = params::decimal(fields, "price")?;
    let price = must(fields, "price", price)?;
    let types = if older {
        OLDER_ORDER_TYPES
    } else {
        ORDER_TYPES
    };
    let order_type = choose(fields, "order_type", types)?;
    let order_type = must(fields, "order_type", order_type)?;
    if words::has_price(&order_type) && price == ZERO {
        let problem = format!("must be greater than zero for order_type {order_type}");
        return Err(fields.problem("price", problem));
    }
    let trigger = params::decimal(fields, "trigger_price")?;
    let trigger = trigger.unwrap_or_else(|| ZERO.to_owned());
    if words::has_trigger(&order_type) && trigger == ZERO {
        let problem = format!("must be greater than zero for order_type {order_type}");
        return Err(fields.problem("trigger_price", problem));
    }
    Ok([price, order_type, trigger])
}

fn whole_or_zero(fields: &mut Fields, key: &str) -> Result<String, Error> {
    Ok(params::whole(fields, key)?.unwrap_or_else(|| ZERO.to_owned()))
}

fn amo(fields: &mut Fields) -> Result<String, Error> {
    Ok(choose(fields, AMO, YES_NO)?.unwrap_or_else(|| NO.to_owned()))
}

/// Market protection and portfolio flag: only the older SDKs let them be set.
fn protection(fields: &mut Fields, older: bool) -> Result<String, Error> {
    let given = if older {
        params::decimal(fields, "market_protection")?
    } else {
        None
    };
    Ok(given.unwrap_or_else(|| ZERO.to_owned()))
}

pub(crate) fn place(fields: &mut Fields, generation: Generation) -> Result<Instruction, Error> {
    let older = generation != Generation::Three;
    let segments = if older { OLDER_SEGMENTS } else { SEGMENTS };
    let segment = choose(fields, "exchange_segment", segments)?;
    let segment = must(fields, "exchange_segment", segment)?;
    let product = product(fields, older)?;
    let product = must(fields, "product", product)?;
    let [price, order_type, trigger] = prices(fields, older)?;
    let quantity = positive(fields, "quantity")?;
    let validities = if segment == words::COMMODITIES {
        DAY_ONLY
    } else {
        VALIDITIES
    };
    let validity = choose(fields, "validity", validities)?;
    let validity = must(fields, "validity", validity)?;
    let symbol = name(fields, "trading_symbol")?;
    let symbol = must(fields, "trading_symbol", symbol)?;
    let side = choose(
        fields,
        "transaction_type",
        if older { OLDER_SIDES } else { SIDES },
    )?;
    let side = must(fields, "transaction_type", side)?;
    let amo = amo(fields)?;
    let disclosed = whole_or_zero(fields, "disclosed_quantity")?;
    let protection = protection(fields, older)?;
    let tag = label(fields, "tag")?;
    let intent_id = label(fields, "intent_id")?;
    let mut members = vec![
        ("am", Some(amo)),
        ("dq", Some(disclosed)),
        ("es", Some(segment)),
        ("mp", Some(protection)),
        ("pc", Some(product)),
        ("pr", Some(price)),
        ("pt", Some(order_type)),
        ("qt", Some(quantity)),
        ("rt", Some(validity)),
        ("tp", Some(trigger)),
        ("ts", Some(symbol)),
        ("tt", Some(side)),
    ];
    if older {
        let flag = choose(fields, "pf", &[("N", "N"), ("Y", "Y")])?;
        members.push(("pf", Some(flag.unwrap_or_else(|| "N".to_owned()))));
        for (key, _) in ENDED_KEYS {
            if fields.has(key) {
                return Err(fields.problem(key, ENDED_TEXT));
            }
        }
    }
    if generation == Generation::Two {
        members.extend(ENDED_KEYS.iter().map(|(_, key)| (*key, None)));
    }
    Ok(Instruction {
        kind: InstructionKind::Place,
        tag,
        order_id: None,
        intent_id,
        members,
        lookup: Lookup::Nothing,
        told_segment: None,
        flag_given: true,
    })
}

/// The members of a modification that generations 1 and 2 repeat from the
/// order itself: parameter, key of the request, key of the order book.
const CONTRACT: &[(&str, &str, &str)] = &[
    ("instrument_token", "tk", "tok"),
    ("exchange_segment", "es", "exSeg"),
    ("product", "pc", "prod"),
    ("trading_symbol", "ts", "trdSym"),
    ("transaction_type", "tt", "trnsTp"),
];

pub(crate) fn modify(fields: &mut Fields, generation: Generation) -> Result<Instruction, Error> {
    let older = generation != Generation::Three;
    let order_id = order_id(fields)?;
    let has_trigger = fields.has("trigger_price");
    let contract = if older { contract(fields)? } else { Vec::new() };
    let [price, order_type, trigger] = prices(fields, older)?;
    let quantity = positive(fields, "quantity")?;
    let validity = choose(fields, "validity", VALIDITIES)?;
    let validity = must(fields, "validity", validity)?;
    let disclosed = whole_or_zero(fields, "disclosed_quantity")?;
    let protection = protection(fields, older)?;
    let amo = amo(fields)?;
    let mut members = vec![
        ("no", Some(order_id.clone())),
        ("pr", Some(price)),
        ("pt", Some(order_type)),
        ("qt", Some(quantity)),
        ("vd", Some(validity)),
        ("tp", Some(trigger)),
        ("dq", Some(disclosed)),
        ("mp", Some(protection)),
        ("am", Some(amo)),
    ];
    let mut lookup = Lookup::Nothing;
    if older {
        let days = name(fields, "dd")?.unwrap_or_else(|| "NA".to_owned());
        members.push(("dd", Some(days)));
        members.push(("fq", Some(whole_or_zero(fields, "filled_quantity")?)));
        let quick = contract.iter().all(|(_, value)| value.is_some());
        members.extend(contract);
        // The older SDKs take the trigger of the book only if none is given.
        if !quick {
            lookup = Lookup::Contract;
            if !has_trigger {
                members.retain(|(key, _)| *key != "tp");
                members.push(("tp", None));
            }
        }
    }
    Ok(Instruction {
        kind: InstructionKind::Modify,
        tag: None,
        order_id: Some(order_id),
        intent_id: label(fields, "intent_id")?,
        members,
        lookup,
        told_segment: None,
        flag_given: true,
    })
}

fn contract(fields: &mut Fields) -> Result<Vec<(&'static str, Option<String>)>, Error> {
    let mut members = Vec::new();
    for (param, key, _) in CONTRACT {
        let value = match *param {
            "instrument_token" => fields.whole(param)?,
            "exchange_segment" => choose(fields, param, OLDER_SEGMENTS)?,
            "product" => product(fields, true)?,
            "transaction_type" => choose(fields, param, OLDER_SIDES)?,
            _ => name(fields, param)?,
        };
        members.push((*key, value));
    }
    Ok(members)
}

pub(crate) fn cancel(fields: &mut Fields, generation: Generation) -> Result<Instruction, Error> {
    let order_id = order_id(fields)?;
    let flag_given = fields.has(AMO);
    let amo = amo(fields)?;
    let verify = fields.flag("isVerify")?.unwrap_or(false);
    let symbol = name(fields, "trading_symbol")?;
    // Generation 3 has no such check; the SDK ignores the flag.
    let lookup = match verify && generation != Generation::Three {
        true => Lookup::Alive,
        false => Lookup::Nothing,
    };
    let mut members = vec![("on", Some(order_id.clone())), ("am", Some(amo))];
    members.extend(symbol.map(|symbol| ("ts", Some(symbol))));
    Ok(Instruction {
        kind: InstructionKind::Cancel,
        tag: None,
        order_id: Some(order_id),
        intent_id: label(fields, "intent_id")?,
        members,
        lookup,
        told_segment: None,
        flag_given,
    })
}

fn order_id(fields: &mut Fields) -> Result<String, Error> {
    let given = fields.number_or_text("order_id")?;
    let text = must(fields, "order_id", given)?;
    params::order_id(&fields.path("order_id"), &text)
}

/// Which instruction is to be settled: its tag, or the number of its order.
pub(crate) fn wanted(fields: &mut Fields) -> Result<(Option<String>, Option<String>), Error> {
    let tag = fields.text("tag")?;
    let order_id = fields.number_or_text("order_id")?;
    match (&tag, &order_id) {
        (Some(_), Some(_)) | (None, None) => {
            Err(Error::argument(PARAMS, "give either tag or order_id"))
        }
        (None, Some(id)) => {
            let id = params::order_id(&fields.path("order_id"), id)?;
            Ok((None, Some(id)))
        }
        (Some(text), None) if text.trim().is_empty() => {
            Err(fields.problem("tag", "must not be blank"))
        }
        (Some(_), None) => Ok((tag, None)),
    }
}

impl Instruction {
    /// What was asked, as JSON: enough to know the same instruction again and
    /// to find it in the order book.
    pub(crate) fn facts(&self) -> String {
        let tag = self.tag.as_deref().map(|tag| ("ig", Member::Text(tag)));
        let members: Vec<_> = self.wire().chain(tag).collect();
        json::object(&members).to_string()
    }

    fn wire(&self) -> impl Iterator<Item = (&'static str, Member<'_>)> {
        let members = self.members.iter();
        members.map(|(key, value)| (*key, Member::from(value)))
    }

    /// Takes from a row of the order book what the caller left out. `value`
    /// gives the text of a key of the row.
    pub(crate) fn fill(&mut self, value: impl Fn(&str) -> Option<String>) -> Result<(), Error> {
        let missing = |key: &str| {
            let message = format!("the order book tells no {key} of this order; nothing was sent");
            Error::new(crate::base::status::Status::Protocol, message)
        };
        match self.lookup {
            Lookup::Nothing | Lookup::Alive => {}
            Lookup::Segment => {
                let segment = value("exSeg").ok_or_else(|| missing("exSeg"))?;
                self.told_segment = Some(segment);
            }
            Lookup::Contract => {
                for (key, slot) in &mut self.members {
                    if slot.is_some() {
                        continue;
                    }
                    let of_book = CONTRACT.iter().find(|(_, wire, _)| wire == key);
                    let of_book = of_book.map_or("trgPrc", |(_, _, book)| *book);
                    let value = value(of_book).ok_or_else(|| missing(of_book))?;
                    *slot = Some(match *key {
                        // The book writes no trigger as `0.00`.
                        "tp" => params::plain_zero(value),
                        _ => value,
                    });
                }
            }
        }
        Ok(())
    }

    fn member(&self, wanted: &str) -> Option<&str> {
        let found = self.members.iter().find(|(key, _)| *key == wanted);
        found.and_then(|(_, value)| value.as_deref())
    }

    /// Whether it is sent with the after-market flag.
    pub(crate) fn is_flagged(&self) -> bool {
        self.member("am") == Some(YES)
    }

    /// Whether its order type is one that the broker takes and then always rejects.
    pub(crate) fn is_stop_market(&self) -> bool {
        self.member("pt") == Some(words::STOP_MARKET)
    }

    /// Takes over that the order which this cancels is an after-market order, with its
    /// trading symbol where that is known.
    pub(crate) fn is_of_after_market(&mut self, symbol: Option<&str>) -> Flag {
        let flag = match (self.flag_given, self.is_flagged()) {
            (true, true) => Flag::Right,
            (true, false) => return Flag::Wrong,
            (false, _) => Flag::Set,
        };
        for (key, value) in &mut self.members {
            if *key == "am" {
                *value = Some(YES.to_owned());
            }
        }
        if let (None, Some(symbol)) = (self.member("ts"), symbol) {
            self.members.push(("ts", Some(symbol.to_owned())));
        }
        flag
    }

    /// What the limits of a client are about.
    pub(crate) fn wanted(&self) -> Wanted<'_> {
        let member = |wanted: &str| self.member(wanted);
        Wanted {
            kind: self.kind,
            segment: member("es").or(self.told_segment.as_deref()),
            quantity: member("qt"),
            price: member("pr"),
            order_type: member("pt"),
        }
    }

    /// Sees to it that the segment is known before this is sent.
    pub(crate) fn tell_segment(&mut self) {
        if self.kind == InstructionKind::Modify
            && self.lookup == Lookup::Nothing
            && self.wanted().segment.is_none()
        {
            self.lookup = Lookup::Segment;
        }
    }

    /// The form body. `tag` is the one that a new order carries.
    pub(crate) fn body(&self, tag: &str, generation: Generation) -> Zeroizing<Vec<u8>> {
        let mut members: Vec<_> = self.wire().collect();
        if self.kind == InstructionKind::Place {
            members.push(("ig", tag.into()));
        }
        if let Some(source) = source(generation) {
            if self.kind != InstructionKind::Cancel {
                members.push(("os", source.into()));
            }
        }
        params::form(&members)
    }
}

/// What every tag of ours begins with.
const MARK: &str = "kn";
const RANDOM_DIGITS: usize = 13;

/// A tag that no other order has: 64 random bits.
pub(crate) fn make_tag(random: [u8; 8]) -> String {
    const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut rest = u64::from_le_bytes(random);
    let mut tag = String::with_capacity(MARK.len() + RANDOM_DIGITS);
    tag.push_str(MARK);
    for _ in 0..RANDOM_DIGITS {
        tag.push(char::from(DIGITS[(rest % 32) as usize]));
        rest /= 32;
    }
    tag
}

/// Whether a tag was made by [`make_tag`], here or elsewhere.
pub(crate) fn is_our_tag(tag: &str) -> bool {
    tag.strip_prefix(MARK).is_some_and(|digits| {
        digits.len() == RANDOM_DIGITS
            && digits
                .bytes()
                .all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b))
    })
}

/// What a new order that was taken tells of itself, if it was sent as an after-market
/// order. `facts` is what [`Instruction::facts`] wrote.
pub(crate) fn placed_after_market(number: &str, facts: &str) -> Option<Seen> {
    let [flag, symbol] = json::members(facts, ["am", "ts"])?;
    let flagged = json::scalar(flag?.get())? == YES;
    (flagged && !number.is_empty()).then(|| Seen {
        number: number.to_owned(),
        after_market: true,
        symbol: symbol.and_then(|raw| json::scalar(raw.get())),
    })
}

/// Told with every stop-loss market order.
pub(crate) const STOP_MARKET_NOTE: &str = "SL-M orders are accepted with an order number and then always rejected by the broker's risk \
     check (\"Market order with Algo Id not allowed\", seen on 28 July and 8 September 2026): look \
     at the order book, and send SL with a limit price beyond the trigger, on the tick, instead";

/// Told of a cancel by what is known of its order; `from` is where it is known from.
pub(crate) fn flag_note(flag: Flag, from: &str) -> Option<String> {
    match flag {
        Flag::Set => Some(format!(
            "the order is an after-market order, known from {from}: amo was set to YES"
        )),
        Flag::Wrong => Some(format!(
            "the order is an after-market order, known from {from}, and amo NO was sent as it was \
             given; the broker's answer to such a cancel is code 14"
        )),
        Flag::Right => None,
    }
}

/// What an unfinished instruction is called in messages.
pub(crate) fn advice(tag: &str, order_id: Option<&str>) -> String {
    let mut text =
        String::from("Do not send it again before it is settled: call order_outcome with ");
    // Writing into a string cannot fail.
    let _ = match order_id {
        None => write!(text, "tag {tag}."),
        Some(id) => write!(text, "order_id {id}."),
    };
    text
}
