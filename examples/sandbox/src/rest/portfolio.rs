//! Holdings: the delivery shares of the account.

use serde_json::{Map, Value, json};

use super::{Door, Needs, keep, no_data, route, row, trader};
use crate::exchange::{Exchange, Held};
use crate::login::ok;
use crate::money::{self, rupees};
use crate::route::{Answer, Call, Route};
use crate::tokens::Generation;

pub(super) static ROUTES: &[Route] = &[
    route!(GET "portfolio/v1/holdings", Plain, holdings),
    route!(GET "Portfolio/1.0/portfolio/v1/holdings", GwNapi, holdings),
    route!(GET "apim/portfolio/2.0/portfolio/v1/holdings", Apim, holdings),
    route!(GET "portfolio/1.0/portfolio/v1/holdings", Uat, holdings),
];

fn holdings(call: &Call<'_>, door: Door) -> Result<Answer, Answer> {
    let generation = trader(call, door, Needs::Holdings)?.generation;
    let mut exchange = call.state.exchange();
    let held = exchange.holdings.clone();
    let rows: Vec<_> = held
        .iter()
        .map(|held| holding_row(&mut exchange, held, generation))
        .collect();
    if rows.is_empty() {
        return Ok(no_data(generation));
    }
    Ok(ok(&json!({"data": rows})))
}

/// What the pretend broker does not know about a share.
const TEXTS: &[(&str, &str)] = &[
    ("instrumentType", "Equity"),
    ("sector", "Others"),
    ("scripId", ""),
    ("isAlternateScrip", ""),
    ("subType", "EQ"),
    ("instrumentStatus", "ACTV"),
    ("expiryDate", ""),
    ("optType", ""),
    ("strikePrice", "0.00"),
    ("securityType", "EQ"),
    ("securitySubType", "EQ"),
    ("logoUrl", ""),
    ("cmotCode", ""),
];

/// The keys of a row of generation 2, and of generation 1 but for one.
const KEYS_V2: &[&str] = &[
    "displaySymbol",
    "averagePrice",
    "quantity",
    "exchangeSegment",
    "exchangeIdentifier",
    "holdingCost",
    "mktValue",
    "scripId",
    "instrumentToken",
    "instrumentType",
    "isAlternateScrip",
    "closingPrice",
    "symbol",
    "sellableQuantity",
];

fn holding_row(exchange: &mut Exchange, held: &Held, generation: Generation) -> Map<String, Value> {
    let ltp = exchange.market.standing(held.id).ltp;
    let sellable = exchange.sellable(held.id).clamp(0, held.quantity);
    let scrip = exchange.market.scrip(held.id);
    let cost = held.price * held.quantity;
    let value = ltp * held.quantity;
    let today = (ltp - scrip.close) * held.quantity;
    let number = |amount: i64| {
        // Whole numbers stand without decimals, as in the samples.
        if amount % money::RUPEE == 0 {
            json!(amount / money::RUPEE)
        } else {
            json!(rupees(amount))
        }
    };
    let mut row = row(
        [
            // An internal number; the token is exchangeIdentifier.
            ("instrumentToken", json!(10_000 + held.id.index)),
            ("commonScripCode", json!(scrip.name)),
            ("instrumentName", json!(scrip.description)),
            ("quantity", json!(held.quantity)),
            ("averagePrice", number(held.price)),
            ("holdingCost", number(cost)),
            ("closingPrice", number(scrip.close)),
            ("mktValue", number(value)),
            ("unrealisedGainLoss", number(value - cost)),
            ("sqGainLoss", number(today)),
            ("delGainLoss", number(0)),
            ("subTotal", json!(0)),
            ("prevDayLtp", number(scrip.close)),
            ("marketLot", json!(scrip.lot)),
            ("symbol", json!(scrip.name)),
            ("displaySymbol", json!(scrip.name)),
            ("exchangeSegment", json!(held.id.segment.code())),
            ("series", json!(scrip.series())),
            ("exchangeIdentifier", json!(scrip.token)),
            ("sellableQuantity", json!(sellable)),
        ],
        TEXTS,
    );
    match generation {
        Generation::V3 => {}
        Generation::V2 => {
            keep(&mut row, KEYS_V2);
            row.insert("isAlternateScrip".to_owned(), json!(false));
        }
        Generation::V1 => {
            keep(&mut row, KEYS_V2);
            row.remove("sellableQuantity");
            row.insert("isAlternateScrip".to_owned(), json!("false"));
        }
    }
    row
}
