//! Place, modify, cancel. An answer is an acknowledgement only: whether an order is any good
//! shows in the order book.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    Door, Needs, done, form, invalid_input, invalid_instrument, live_refusal, needed, refusal,
    route, text, trader, transaction_id,
};
use crate::exchange::{PriceType, Product, Refusal, Side, Source, Terms, Validity, Wish};
use crate::login::ok;
use crate::market::Segment;
use crate::money;
use crate::route::{Answer, Call, Route};
use crate::switches::OrderRefusal;
use crate::tokens::{Generation, Session};

pub(super) static ROUTES: &[Route] = &[
    route!(POST "quick/order/rule/ms/place", Plain, place),
    route!(POST "Orders/2.0/quick/order/rule/ms/place", GwNapi, place),
    route!(POST "apim/orders/2.0/quick/order/rule/ms/place", Apim, place),
    route!(POST "orderapi/1.0/quick/order/rule/ms/place", Uat, place),
    route!(POST "quick/order/vr/modify", Plain, modify),
    route!(POST "Orders/2.0/quick/order/vr/modify", GwNapi, modify),
    route!(POST "apim/orders/2.0/quick/order/vr/modify", Apim, modify),
    route!(POST "orderapi/1.0/quick/order/vr/modify", Uat, modify),
    route!(POST "quick/order/cancel", Plain, cancel),
    route!(POST "Orders/2.0/quick/order/cancel", GwNapi, cancel),
    route!(POST "apim/orders/2.0/quick/order/cancel", Apim, cancel),
    route!(POST "orderapi/1.0/quick/order/cancel", Uat, cancel),
    route!(POST "Orders/2.0/quick/order/co/exit", GwNapi, exit),
    route!(POST "apim/orders/2.0/quick/order/co/exit", Apim, exit),
    route!(POST "Orders/2.0/quick/order/bo/exit", GwNapi, exit),
    route!(POST "apim/orders/2.0/quick/order/bo/exit", Apim, exit),
];

const DISCONTINUED: &str = "Cover and bracket orders are discontinued";

/// Checks everything about an instruction but its content, and gives its form.
fn instruction(call: &Call<'_>, door: Door) -> Result<(Generation, Map<String, Value>), Answer> {
    let session = trader(call, door, Needs::Instruction)?;
    if !call.let_through {
        return Err(call.state.too_many(Some(&call.state.order_pace)));
    }
    admit(call, &session)?;
    Ok((session.generation, form(call)?))
}

/// The rules about who may send instructions, and from where.
fn admit(call: &Call<'_>, session: &Session) -> Result<(), Answer> {
    let address = call.peer.ip();
    let switches = call.state.exchange().switches.clone();
    let unlisted = switches
        .allowed_addresses
        .as_ref()
        .is_some_and(|allowed| !allowed.contains(&address));
    let why = match switches.refuse_orders {
        Some(why) => why,
        None if unlisted => OrderRefusal::Unauthorized,
        None if session.address != address && !switches.any_address => OrderRefusal::SessionAddress,
        None => return Ok(()),
    };
    let (status, message) = match why {
        OrderRefusal::InsufficientBalance => return Err(insufficient_balance()),
        OrderRefusal::AlgoNotAllowed => (StatusCode::BAD_REQUEST, "algo order not allowed"),
        OrderRefusal::SessionAddress => (
            StatusCode::UNAUTHORIZED,
            "session ip doesnt match with reqest ip",
        ),
        OrderRefusal::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
        OrderRefusal::AccessType => (StatusCode::BAD_REQUEST, "invalid  access type"),
    };
    Err(live_refusal(status, why.code(), message, "Not_Ok"))
}

fn insufficient_balance() -> Answer {
    refusal(StatusCode::BAD_REQUEST, 1004, "Insufficient balance.")
}

fn place(call: &Call<'_>, door: Door) -> Result<Answer, Answer> {
    let (generation, body) = instruction(call, door)?;
    let mut exchange = call.state.exchange();
    let segment = segment(needed(&body, "es")?)?;
    let product = product(needed(&body, "pc")?)?;
    let kind = price_type(needed(&body, "pt")?)?;
    let terms = Terms {
        kind,
        price: price(&body, "pr")?,
        trigger: price(&body, "tp")?,
        quantity: quantity(&body, "qt")?,
        disclosed: disclosed("dq", needed(&body, "dq")?)?,
        validity: validity(needed(&body, "rt")?)?,
    };
    if segment == Segment::McxFo && terms.validity != Validity::Day {
        return Err(invalid_input("Validity of mcx_fo must be DAY"));
    }
    if kind.has_trigger() && terms.trigger == 0 {
        return Err(invalid_input("A stop order needs a trigger price"));
    }
    amount("mp", needed(&body, "mp")?)?;
    for optional in ["pf", "os"] {
        text(&body, optional)?;
    }
    let side = side(needed(&body, "tt")?)?;
    let amo = flag(needed(&body, "am")?)?;
    let tag = text(&body, "ig")?
        .filter(|tag| !tag.is_empty())
        .map(str::to_owned);
    let symbol = needed(&body, "ts")?;
    let scrips = exchange.market.scrips(segment);
    let id = scrips.by_symbol(symbol).ok_or_else(invalid_instrument)?.id;
    let wish = Wish {
        id,
        side,
        product,
        terms,
        amo,
        tag,
        source: Source::Api(generation),
    };
    match exchange.place(wish) {
        Ok(number) => Ok(acknowledged(generation, &number)),
        Err(why) => Err(refused(
            why,
            generation,
            exchange.switches.duplicate_tag_5204,
            exchange.switches.finished_1006,
            "",
        )),
    }
}

fn modify(call: &Call<'_>, door: Door) -> Result<Answer, Answer> {
    let (generation, body) = instruction(call, door)?;
    let mut exchange = call.state.exchange();
    let number = needed(&body, "no")?;
    let kind = price_type(needed(&body, "pt")?)?;
    // The SDK calls the validity vd, an example of the broker rt.
    let validity_key = if body.contains_key("vd") { "vd" } else { "rt" };
    let terms = Terms {
        kind,
        price: price(&body, "pr")?,
        trigger: price(&body, "tp")?,
        quantity: quantity(&body, "qt")?,
        disclosed: disclosed("dq", text(&body, "dq")?.unwrap_or("0"))?,
        validity: validity(needed(&body, validity_key)?)?,
    };
    if kind.has_trigger() && terms.trigger == 0 {
        return Err(invalid_input("A stop order needs a trigger price"));
    }
    flag(text(&body, "am")?.unwrap_or("NO"))?;
    amount("mp", text(&body, "mp")?.unwrap_or("0"))?;
    disclosed("fq", text(&body, "fq")?.unwrap_or("0"))?;
    for optional in ["os", "pf", "dd"] {
        text(&body, optional)?;
    }
    // What names the order again must name the same.
    if let Some(order) = exchange.order(number) {
        let scrip = exchange.market.scrip(order.id);
        for (key, value) in [
            ("es", order.id.segment.code()),
            ("ts", &scrip.symbol),
            ("tk", &scrip.token),
            ("tt", order.side.code()),
            ("pc", order.product.code()),
        ] {
            if text(&body, key)?.is_some_and(|sent| sent != value) {
                return Err(invalid_input(&format!("'{key}' is not that of the order")));
            }
        }
    }
    match exchange.modify(number, terms, Source::Api(generation)) {
        Ok(number) => Ok(acknowledged(generation, &number)),
        Err(why) => Err(refused(
            why,
            generation,
            false,
            exchange.switches.finished_1006,
            "Order cannot be modified as it is already executed.",
        )),
    }
}

fn cancel(call: &Call<'_>, door: Door) -> Result<Answer, Answer> {
    let (generation, body) = instruction(call, door)?;
    let number = needed(&body, "on")?;
    let amo = flag(needed(&body, "am")?)?;
    let symbol = text(&body, "ts")?;
    let mut exchange = call.state.exchange();
    match exchange.cancel(number, amo, symbol, Source::Api(generation)) {
        Ok(number) => Ok(acknowledged(generation, &number)),
        Err(why) => Err(refused(
            why,
            generation,
            false,
            exchange.switches.finished_1006,
            NOT_FOUND,
        )),
    }
}

/// Exits of cover and bracket orders: there are none any more.
fn exit(call: &Call<'_>, door: Door) -> Result<Answer, Answer> {
    instruction(call, door)?;
    Err(invalid_input(DISCONTINUED))
}

const NOT_FOUND: &str = "Order already cancelled or not found.";

fn acknowledged(generation: Generation, number: &str) -> Answer {
    done(
        generation,
        json!({"stat": "Ok", "nOrdNo": number, "stCode": 200}),
    )
}

fn refused(
    why: Refusal,
    generation: Generation,
    tag_5204: bool,
    finished_1006: bool,
    finished: &str,
) -> Answer {
    const CORE: &str = "Put Order Response : Client OrderID already exists";
    let bad = StatusCode::BAD_REQUEST;
    let with_tid = |message: &str| {
        ok(&json!({
            "stat": "Not_Ok", "errMsg": message, "tid": transaction_id(), "stCode": 5204,
        }))
    };
    match why {
        Refusal::DuplicateTag if tag_5204 || generation == Generation::V1 => with_tid(CORE),
        Refusal::DuplicateTag => {
            let stat = format!("{CORE} Data: 0");
            live_refusal(StatusCode::OK, 32, "error from core", &stat)
        }
        Refusal::BadCancel => with_tid("Cancel Order Response : Bad Input"),
        Refusal::Unflagged => live_refusal(
            StatusCode::OK,
            14,
            "error from core",
            "Cancel Order Response : ErrorCode(16) -> ErrorText(hash error)",
        ),
        Refusal::MarketClosed => refusal(bad, 1008, "Market is closed."),
        Refusal::Uncovered => insufficient_balance(),
        Refusal::UnknownOrder => refusal(bad, 1006, NOT_FOUND),
        Refusal::Finished if finished_1006 => refusal(bad, 1006, finished),
        Refusal::Finished => live_refusal(
            StatusCode::OK,
            1021,
            "order is completed",
            "please provide valid order number",
        ),
        Refusal::Quantity => wrong_quantity(),
        Refusal::NotByApi => not_by_api(),
    }
}

/// What generation 1 says about orders of the app and the site.
pub(super) fn not_by_api() -> Answer {
    Answer::error(
        StatusCode::BAD_REQUEST,
        "91400",
        "Sorry, the requested action (Cancel, Modify, or View Order History) is only available \
         for orders placed via our API. Please use the website or mobile app for orders placed \
         through those platforms.",
    )
}

fn wrong_quantity() -> Answer {
    live_refusal(
        StatusCode::BAD_REQUEST,
        1009,
        "please provide valid quantity",
        "Not_Ok",
    )
}

// ---- Values ------------------------------------------------------------------------------

/// A segment that takes orders. The older SDKs spell some in their own way, but send these.
pub(super) fn segment(code: &str) -> Result<Segment, Answer> {
    Segment::read(code)
        .filter(|segment| *segment != Segment::NseCom)
        .ok_or_else(|| invalid_input("Invalid exchange segment"))
}

pub(super) fn product(code: &str) -> Result<Product, Answer> {
    match code {
        "CO" | "BO" => Err(invalid_input(DISCONTINUED)),
        code => Product::read(code).ok_or_else(|| invalid_input("Invalid product")),
    }
}

pub(super) fn price_type(code: &str) -> Result<PriceType, Answer> {
    PriceType::read(code).ok_or_else(|| invalid_input("Invalid order type"))
}

fn validity(code: &str) -> Result<Validity, Answer> {
    Validity::read(code).ok_or_else(|| invalid_input("Invalid validity"))
}

/// `Buy` and `Sell` pass the SDK's check, but no source shows the broker accepting them.
pub(super) fn side(code: &str) -> Result<Side, Answer> {
    Side::read(code).ok_or_else(|| invalid_input("Invalid transaction type"))
}

fn flag(code: &str) -> Result<bool, Answer> {
    match code {
        "YES" => Ok(true),
        "NO" => Ok(false),
        _ => Err(invalid_input("The after-market flag must be YES or NO")),
    }
}

/// A blank price has been answered with the text about the quantity.
fn price(body: &Map<String, Value>, key: &str) -> Result<i64, Answer> {
    let sent = text(body, key)?;
    if key == "pr" && sent.is_some_and(|text| text.trim().is_empty()) {
        return Err(wrong_quantity());
    }
    amount(key, needed(body, key)?)
}

/// An amount of money. Where zero is meant, the live service takes `0` alone.
pub(super) fn amount(key: &str, sent: &str) -> Result<i64, Answer> {
    money::parse(sent)
        .filter(|amount| *amount != 0 || sent == "0")
        .ok_or_else(|| invalid_input(&format!("'{key}' is no price")))
}

/// A quantity: digits, not 0, not absurd.
pub(super) fn quantity(body: &Map<String, Value>, key: &str) -> Result<i64, Answer> {
    let sent = text(body, key)?.unwrap_or("");
    let fits = (1..=8).contains(&sent.len()) && sent.bytes().all(|byte| byte.is_ascii_digit());
    match sent.parse() {
        Ok(quantity) if fits && quantity > 0 => Ok(quantity),
        _ => Err(wrong_quantity()),
    }
}

/// A quantity that may be zero.
fn disclosed(key: &str, sent: &str) -> Result<i64, Answer> {
    let digits = (1..=8).contains(&sent.len()) && sent.bytes().all(|byte| byte.is_ascii_digit());
    match sent.parse() {
        Ok(quantity) if digits && (quantity != 0 || sent == "0") => Ok(quantity),
        _ => Err(invalid_input(&format!("'{key}' is no quantity"))),
    }
}
