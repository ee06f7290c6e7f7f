//! The order book, one order, the trade book, positions.

use serde_json::{Map, Value, json};

use super::{Door, Needs, keep, no_data, route, row, trader};
use crate::clock::Moment;
use crate::exchange::{Exchange, Order, Position, Product, Source, Trade, average};
use crate::market::{Id, Kind, Scrip};
use crate::money;
use crate::route::{Answer, Call, Route};
use crate::tokens::Generation;

pub(super) static ROUTES: &[Route] = &[
    route!(GET "quick/user/orders", Plain, orders),
    route!(GET "Orders/2.0/quick/user/orders", GwNapi, orders),
    route!(GET "apim/orders/2.0/quick/user/orders", Apim, orders),
    route!(GET "orderapi/1.0/quick/user/orders", Uat, orders),
    route!(GET "quick/user/orders/{order_no}", Plain, one_order),
    route!(GET "quick/user/trades", Plain, trades),
    route!(GET "Orders/2.0/quick/user/trades", GwNapi, trades),
    route!(GET "apim/orders/2.0/quick/user/trades", Apim, trades),
    route!(GET "orderapi/1.0/quick/user/trades", Uat, trades),
    route!(GET "portfolio/v2/positions", Plain, positions_with_price),
    route!(GET "quick/user/positions", Plain, positions),
    route!(GET "Orders/2.0/quick/user/positions", GwNapi, positions),
    route!(GET "apim/orders/2.0/quick/user/positions", Apim, positions),
    route!(GET "orderapi/1.0/quick/user/positions", Uat, positions),
];

/// The envelope of a book, or 5203 for an empty one.
fn book(generation: Generation, stat: &str, rows: Vec<Map<String, Value>>) -> Answer {
    if rows.is_empty() {
        return no_data(generation);
    }
    // Generation 1 has no tid here.
    let stat = if generation == Generation::V1 {
        "Ok"
    } else {
        stat
    };
    crate::login::ok(&json!({"stat": stat, "data": rows, "stCode": 200}))
}

fn orders(call: &Call<'_>, door: Door) -> Result<Answer, Answer> {
    let generation = trader(call, door, Needs::Report)?.generation;
    let exchange = call.state.exchange();
    // The newest first.
    let rows = exchange
        .orders
        .iter()
        .rev()
        .map(|order| order_row(call, &exchange, order, generation))
        .collect();
    Ok(book(generation, "Ok", rows))
}

fn one_order(call: &Call<'_>, door: Door) -> Result<Answer, Answer> {
    let generation = trader(call, door, Needs::Report)?.generation;
    let exchange = call.state.exchange();
    let number = call.path.rsplit('/').next().unwrap_or("");
    let rows = exchange
        .order(number)
        .map(|order| order_row(call, &exchange, order, generation))
        .into_iter()
        .collect();
    Ok(book(generation, "Ok", rows))
}

fn trades(call: &Call<'_>, door: Door) -> Result<Answer, Answer> {
    let generation = trader(call, door, Needs::Report)?.generation;
    let exchange = call.state.exchange();
    let rows = exchange
        .trades
        .iter()
        .rev()
        .map(|trade| trade_row(call, &exchange, trade, generation))
        .collect();
    Ok(book(generation, "ok", rows))
}

fn positions(call: &Call<'_>, door: Door) -> Result<Answer, Answer> {
    position_book(call, door, false)
}

/// The newer path shows the last price too.
fn positions_with_price(call: &Call<'_>, door: Door) -> Result<Answer, Answer> {
    position_book(call, door, true)
}

fn position_book(call: &Call<'_>, door: Door, with_price: bool) -> Result<Answer, Answer> {
    let generation = trader(call, door, Needs::Report)?.generation;
    let mut exchange = call.state.exchange();
    let positions: Vec<((Id, Product), Position)> = exchange
        .positions
        .iter()
        .map(|(key, position)| (*key, *position))
        .collect();
    let mut rows = Vec::with_capacity(positions.len());
    for ((id, product), position) in positions {
        let ltp = exchange.market.standing(id).ltp;
        let scrip = exchange.market.scrip(id);
        let mut row = position_row(call, scrip, product, &position, generation);
        if with_price {
            row.insert("ltp".to_owned(), json!(money::text(ltp, 2)));
        }
        rows.push(row);
    }
    Ok(book(generation, "ok", rows))
}

pub(super) fn moment(nanoseconds: u64) -> Moment {
    Moment::at(nanoseconds / 1_000_000_000)
}

/// A price with the decimals of its segment.
pub(super) fn price(scrip: &Scrip, price: i64) -> String {
    money::text(price, scrip.id.segment.decimals())
}

/// `28 Jul, 2026`, or `NA`.
pub(super) fn expiry(scrip: &Scrip) -> String {
    scrip
        .expiry
        .map_or_else(|| "NA".to_owned(), |day| Moment::on(day).spaced_date())
}

/// The option type, and what is written where there is none.
pub(super) fn option_type(scrip: &Scrip, none: &'static str) -> &'static str {
    match scrip.kind {
        Kind::Share | Kind::Index => none,
        kind => kind.option_type(),
    }
}

/// `EQ`, or the kind of contract.
fn instrument_kind(scrip: &Scrip) -> &'static str {
    if scrip.expiry.is_none() {
        scrip.series()
    } else {
        scrip.instrument_type()
    }
}

/// The source that generation 1 and 2 show for orders of the API.
pub(super) fn source(order: &Order) -> &'static str {
    match order.source {
        Source::App => "ADMINCPPAPI_MOB",
        Source::Api(Generation::V3) => "ADMINCPPAPI_NEOTRADEAPI",
        Source::Api(_) => "ADMINCPPAPI_FINTECH001",
    }
}

/// The broker marks what the current API sends.
fn algorithm(order: &Order) -> &'static str {
    match order.source {
        Source::Api(Generation::V3) => "99999",
        Source::Api(_) | Source::App => "NA",
    }
}

/// The factors of a contract, which are 1 in the pretend exchanges.
const FACTORS: &[(&str, &str)] = &[
    ("genDen", "1"),
    ("genNum", "1"),
    ("prcNum", "1"),
    ("prcDen", "1"),
    ("multiplier", "1"),
];

/// What no order of the pretend exchanges uses.
const ORDER_TEXTS: &[(&str, &str)] = &[
    ("algCat", "NA"),
    ("algSeqNo", "NA"),
    ("defMktProV", "0"),
    ("dscQtyPct", "0"),
    ("exUsrInfo", "NA"),
    ("expDtSsb", "-"),
    ("mktProPct", "--"),
    ("mktPro", "0"),
    ("mfdBy", "NA"),
    ("mktProFlg", "0"),
    ("noMktProFlg", "0"),
    ("ordAutSt", "NA"),
    ("odCrt", "NA"),
    ("ordValDt", "NA"),
    ("rmk", "--"),
    ("rptTp", "NA"),
    ("reqId", "1"),
    ("sipInd", "NA"),
    ("symOrdId", "NA"),
    ("classification", "0"),
    ("vendorCode", ""),
    ("appInstlId", "NA"),
    ("strategyCode", "NA"),
    ("locId", "111111111111100"),
    ("genDen", "1"),
    ("genNum", "1"),
    ("prcNum", "1"),
    ("prcDen", "1"),
    ("multiplier", "1"),
];

/// The keys of a row of generation 1.
const ORDER_KEYS_V1: &[&str] = &[
    "brkClnt",
    "ordValDt",
    "exUsrInfo",
    "mfdBy",
    "vendorCode",
    "rmk",
    "odCrt",
    "ordSrc",
    "sipInd",
    "prc",
    "prcTp",
    "cnlQty",
    "uSec",
    "classification",
    "mktPro",
    "ordEntTm",
    "reqId",
    "qty",
    "unFldSz",
    "mktProPct",
    "exOrdId",
    "dscQty",
    "expDt",
    "trgPrc",
    "tok",
    "symOrdId",
    "fldQty",
    "ordDtTm",
    "avgPrc",
    "algId",
    "stat",
    "prod",
    "exSeg",
    "GuiOrdId",
    "usrId",
    "rptTp",
    "exCfmTm",
    "hsUpTm",
    "ordGenTp",
    "vldt",
    "tckSz",
    "ordSt",
    "trnsTp",
    "refLmtPrc",
    "coPct",
    "nOrdNo",
    "ordAutSt",
    "rejRsn",
    "boeSec",
    "expDtSsb",
    "dscQtyPct",
    "stkPrc",
    "sym",
    "trdSym",
    "multiplier",
    "precision",
    "noMktProFlg",
    "genNum",
    "series",
    "prcNum",
    "genDen",
    "brdLtQty",
    "mktProFlg",
    "defMktProV",
    "lotSz",
    "minQty",
    "optTp",
    "prcDen",
];

fn order_row(
    call: &Call<'_>,
    exchange: &Exchange,
    order: &Order,
    generation: Generation,
) -> Map<String, Value> {
    let scrip = exchange.market.scrip(order.id);
    let terms = &order.terms;
    let placed = moment(order.placed_at);
    let accepted = order
        .exchange_number
        .map(|_| moment(order.accepted_at).dashed());
    let accepted = accepted.unwrap_or_else(|| "--".to_owned());
    let rejection = if order.rejection.is_empty() {
        "--"
    } else {
        &order.rejection
    };
    let seconds = order.updated_at / 1_000_000_000;
    let old = generation == Generation::V1;
    let user = &call.state.options.credentials.user_id;
    let mut row = row(
        [
            ("actId", json!(call.state.options.credentials.ucc)),
            (
                "avgPrc",
                json!(price(scrip, average(order.spent, order.filled))),
            ),
            ("algId", json!(algorithm(order))),
            ("brdLtQty", json!(scrip.lot.to_string())),
            ("brkClnt", json!("00000")),
            ("cnlQty", json!(order.cancelled)),
            ("coPct", json!(0)),
            ("dscQty", json!(terms.disclosed)),
            ("exCfmTm", json!(accepted)),
            ("exOrdId", json!(exchange_number(order))),
            ("expDt", json!(expiry(scrip))),
            ("exSeg", json!(order.id.segment.code())),
            ("fldQty", json!(order.filled)),
            ("boeSec", json!(seconds)),
            ("minQty", json!(0)),
            ("nOrdNo", json!(order.number)),
            (
                "optTp",
                json!(option_type(scrip, if old { "XX" } else { "- " })),
            ),
            ("ordDtTm", json!(placed.dashed())),
            ("ordEntTm", json!(placed.dashed())),
            ("ordGenTp", json!(if order.amo { "AMO" } else { "NA" })),
            ("ordSrc", json!(source(order))),
            ("prod", json!(order.product.code())),
            ("prc", json!(price(scrip, terms.price))),
            ("prcTp", json!(terms.kind.code())),
            ("qty", json!(terms.quantity)),
            ("refLmtPrc", json!(0)),
            ("rejRsn", json!(rejection)),
            ("series", json!(scrip.series())),
            ("stat", json!(if old { "Ok" } else { order.status.text() })),
            ("ordSt", json!(order.status.text())),
            ("stkPrc", json!(price(scrip, scrip.strike))),
            ("sym", json!(scrip.name)),
            ("tckSz", json!(money::text(scrip.tick, 4))),
            ("tok", json!(scrip.token)),
            ("trnsTp", json!(order.side.code())),
            ("trgPrc", json!(price(scrip, terms.trigger))),
            ("trdSym", json!(scrip.symbol)),
            ("unFldSz", json!(order.rest())),
            ("usrId", json!(user)),
            ("uSec", json!(seconds.to_string())),
            ("vldt", json!(terms.validity.code())),
            ("lotSz", json!(scrip.lot.to_string())),
            ("precision", json!(order.id.segment.decimals().to_string())),
            ("hsUpTm", json!(moment(order.updated_at).slashed())),
            ("GuiOrdId", json!(order.tag)),
            (
                "ordModNo",
                json!(if order.modifications == 0 {
                    String::new()
                } else {
                    order.modifications.to_string()
                }),
            ),
            ("updRecvTm", json!(order.updated_at)),
            ("it", json!(instrument_kind(scrip))),
        ],
        ORDER_TEXTS,
    );
    if old {
        keep(&mut row, ORDER_KEYS_V1);
    }
    row
}

/// The number that the exchange gave, or `NA`.
pub(super) fn exchange_number(order: &Order) -> String {
    order
        .exchange_number
        .map_or_else(|| "NA".to_owned(), |number| number.to_string())
}

/// What no trade of the pretend exchanges uses.
const TRADE_TEXTS: &[(&str, &str)] = &[
    ("algCat", "NA"),
    ("algId", "NA"),
    ("brkClnt", "NA"),
    ("cstFrm", "C"),
    ("nReqId", "1"),
    ("ordGenTp", "--"),
    ("rmk", "--"),
    ("rptTp", "fill"),
    ("locId", "111111111111100"),
    ("ordSrc", "NA"),
    ("strategyCode", ""),
    ("posFlg", ""),
    ("prc", ""),
    ("tm", ""),
    ("genDen", "1"),
    ("genNum", "1"),
    ("prcNum", "1"),
    ("prcDen", "1"),
    ("multiplier", "1"),
];

/// The keys of a row of generation 1.
const TRADE_KEYS_V1: &[&str] = &[
    "exOrdId",
    "brkClnt",
    "cstFrm",
    "actId",
    "rmk",
    "fldQty",
    "flDt",
    "avgPrc",
    "ordSrc",
    "algId",
    "prcTp",
    "prod",
    "exTm",
    "nReqId",
    "exSeg",
    "trdSym",
    "GuiOrdId",
    "flLeg",
    "rptTp",
    "usrId",
    "hsUpTm",
    "ordGenTp",
    "flId",
    "flTm",
    "trnsTp",
    "nOrdNo",
    "algCat",
    "ordDur",
    "boeSec",
    "stkPrc",
    "sym",
    "multiplier",
    "precision",
    "expDt",
    "tok",
    "genNum",
    "series",
    "prcNum",
    "genDen",
    "brdLtQty",
    "exp",
    "lotSz",
    "minQty",
    "optTp",
    "prcDen",
];

fn trade_row(
    call: &Call<'_>,
    exchange: &Exchange,
    trade: &Trade,
    generation: Generation,
) -> Map<String, Value> {
    let order = &exchange.orders[trade.order];
    let scrip = exchange.market.scrip(order.id);
    let at = moment(trade.at);
    let seconds = trade.at / 1_000_000_000;
    let old = generation == Generation::V1;
    let who = &call.state.options.credentials;
    let mut row = row(
        [
            ("actId", json!(who.ucc)),
            ("avgPrc", json!(price(scrip, trade.price))),
            ("boeSec", json!(seconds)),
            ("brdLtQty", json!(scrip.lot)),
            ("exOrdId", json!(exchange_number(order))),
            ("exp", json!(expires(scrip, if old { "--" } else { "-" }))),
            ("expDt", json!(expiry(scrip))),
            ("exSeg", json!(order.id.segment.code())),
            ("exTm", json!(moment(order.accepted_at).dashed())),
            ("fldQty", json!(trade.quantity)),
            ("flDt", json!(at.dashed_date())),
            ("flId", json!(trade.number.to_string())),
            ("flLeg", json!(trade.leg)),
            ("flTm", json!(at.time(":"))),
            ("minQty", json!(0)),
            ("nOrdNo", json!(order.number)),
            (
                "optTp",
                json!(option_type(scrip, if old { "XX" } else { "- " })),
            ),
            (
                "ordDur",
                json!(if old {
                    order.terms.validity.code()
                } else {
                    "NA"
                }),
            ),
            ("prcTp", json!(order.terms.kind.code())),
            ("prod", json!(order.product.code())),
            ("series", json!(scrip.series())),
            ("stkPrc", json!(price(scrip, scrip.strike))),
            ("sym", json!(scrip.name)),
            ("trdSym", json!(scrip.symbol)),
            ("trnsTp", json!(order.side.code())),
            ("usrId", json!(who.user_id)),
            ("hsUpTm", json!(at.slashed())),
            ("GuiOrdId", json!(order.tag)),
            ("lotSz", json!(scrip.lot.to_string())),
            ("precision", json!(order.id.segment.decimals().to_string())),
            ("tok", json!(scrip.token)),
            ("updRecvTm", json!(trade.at)),
            ("uSec", json!(seconds.to_string())),
            ("qty", json!(0)),
            ("it", json!(instrument_kind(scrip))),
        ],
        TRADE_TEXTS,
    );
    if old {
        keep(&mut row, TRADE_KEYS_V1);
    }
    row
}

/// The end of a contract in Unix seconds, or what is written where there is none.
fn expires(scrip: &Scrip, none: &str) -> String {
    // Positions show the day without its time.
    let midnight = |day: u64| (day * crate::clock::DAY).to_string();
    scrip.expiry.map_or_else(|| none.to_owned(), midnight)
}

/// The keys of a row of generation 1.
const POSITION_KEYS_V1: &[&str] = &[
    "buyAmt",
    "cfSellAmt",
    "prod",
    "exSeg",
    "sqrFlg",
    "actId",
    "cfBuyQty",
    "cfSellQty",
    "tok",
    "flBuyQty",
    "flSellQty",
    "sellAmt",
    "posFlg",
    "cfBuyAmt",
    "stkPrc",
    "trdSym",
    "sym",
    "expDt",
    "type",
    "series",
    "brdLtQty",
    "exp",
    "optTp",
    "genNum",
    "genDen",
    "prcNum",
    "prcDen",
    "lotSz",
    "multiplier",
    "precision",
    "hsUpTm",
];

fn position_row(
    call: &Call<'_>,
    scrip: &Scrip,
    product: Product,
    position: &Position,
    generation: Generation,
) -> Map<String, Value> {
    let old = generation == Generation::V1;
    let amount = |sum: i64| json!(money::text(sum, 2));
    let count = |quantity: i64| json!(quantity.to_string());
    let board_lot = if old {
        json!(scrip.lot.to_string())
    } else {
        json!(scrip.lot)
    };
    // A carried position is valued at the close of yesterday.
    let carried = |quantity: i64| amount(quantity * scrip.close);
    let mut row = row(
        [
            ("actId", json!(call.state.options.credentials.ucc)),
            ("brdLtQty", board_lot),
            ("cfBuyAmt", carried(position.carried_bought)),
            ("cfSellAmt", carried(position.carried_sold)),
            ("cfBuyQty", count(position.carried_bought)),
            ("cfSellQty", count(position.carried_sold)),
            ("exSeg", json!(scrip.id.segment.code())),
            ("buyAmt", amount(position.bought_for)),
            ("sellAmt", amount(position.sold_for)),
            ("flBuyQty", count(position.bought)),
            ("flSellQty", count(position.sold)),
            ("prod", json!(product.code())),
            ("series", json!(scrip.series())),
            ("tok", json!(scrip.token)),
            ("trdSym", json!(scrip.symbol)),
            ("optTp", json!(option_type(scrip, "XX"))),
            ("stkPrc", json!(price(scrip, scrip.strike))),
            ("type", json!(scrip.instrument_type())),
            ("sym", json!(scrip.name)),
            ("sqrFlg", json!("Y")),
            (
                "posFlg",
                json!(if position.net() == 0 { "false" } else { "true" }),
            ),
            ("lotSz", json!(scrip.lot.to_string())),
            ("precision", json!(scrip.id.segment.decimals().to_string())),
            ("hsUpTm", json!(moment(position.updated_at).slashed())),
            ("expDt", json!(expiry(scrip))),
            ("exp", json!(expires(scrip, "-"))),
            ("dscQty", json!("")),
            ("upldPrc", json!("0.00")),
            ("updRecvTm", json!(position.updated_at)),
        ],
        FACTORS,
    );
    if old {
        keep(&mut row, POSITION_KEYS_V1);
    }
    row
}
