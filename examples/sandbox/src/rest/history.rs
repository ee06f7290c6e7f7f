//! The history of one order: a row for each state, the newest first.

use serde_json::{Map, Value, json};

use super::books::{exchange_number, expiry, moment, option_type, price, source};
use super::{Door, Needs, form, needed, no_data, orders, route, row, trader};
use crate::exchange::{Event, Exchange, Order, Source, Status, average, visible};
use crate::login::ok;
use crate::route::{Answer, Call, Route};

pub(super) static ROUTES: &[Route] = &[
    route!(POST "quick/order/history", Plain, history),
    route!(POST "Orders/2.0/quick/order/history", GwNapi, history),
    route!(POST "apim/order/2.0/quick/order/history", Apim, history),
    route!(POST "orderapi/1.0/quick/order/history", Uat, history),
];

fn history(call: &Call<'_>, door: Door) -> Result<Answer, Answer> {
    let generation = trader(call, door, Needs::Report)?.generation;
    let body = form(call)?;
    let number = needed(&body, "nOrdNo")?;
    let exchange = call.state.exchange();
    let Some(order) = exchange.order(number) else {
        return Ok(no_data(generation));
    };
    if !visible(order, Source::Api(generation)) {
        return Err(orders::not_by_api());
    }
    let rows: Vec<_> = order
        .events
        .iter()
        .rev()
        .map(|event| state_row(&exchange, order, event))
        .collect();
    Ok(ok(&json!({"stat": "Ok", "stCode": 200, "data": rows})))
}

/// What no order of the pretend exchanges uses.
const TEXTS: &[(&str, &str)] = &[
    ("nReqId", "1"),
    ("algId", "NA"),
    ("algCat", "NA"),
    ("algSeqNo", "NA"),
    ("rptTp", "NA"),
    ("cstFrm", "C"),
    ("legOrdInd", "NA"),
    ("ordUsrMsg", "NA"),
    ("mfdBy", "XX"),
    ("vendorCode", ""),
    ("classification", "0"),
    ("mktPro", "0.00"),
    ("symOrdId", "NA"),
    ("strategyCode", "NA"),
    ("ordValDt", "NA"),
    ("prcNum", "1"),
    ("prcDen", "1"),
    ("genNum", "1"),
    ("genDen", "1"),
    ("multiplier", "1"),
];

/// `22-Jan-2025 14: 32: 53`, with blanks as in the documents.
fn time(nanoseconds: u64) -> String {
    let moment = moment(nanoseconds);
    format!("{} {}", moment.dashed_date(), moment.time(": "))
}

fn state_row(exchange: &Exchange, order: &Order, event: &Event) -> Map<String, Value> {
    let scrip = exchange.market.scrip(order.id);
    let terms = &event.terms;
    let received = event.status == Status::Received;
    let (number, confirmed) = if event.on_exchange {
        (exchange_number(order), time(order.accepted_at))
    } else {
        ("NA".to_owned(), "--".to_owned())
    };
    let rejection = match event.status {
        Status::Rejected => &order.rejection,
        _ => "--",
    };
    row(
        [
            ("trdSym", json!(scrip.symbol)),
            ("prc", json!(price(scrip, terms.price))),
            ("qty", json!(terms.quantity)),
            ("ordSt", json!(event.status.text())),
            ("trnsTp", json!(order.side.code())),
            ("prcTp", json!(terms.kind.code())),
            ("brdLtQty", json!(scrip.lot)),
            ("exch", json!(order.id.segment.exchange())),
            ("exSeg", json!(order.id.segment.code())),
            ("exchTmstp", json!(confirmed)),
            ("expDt", json!(expiry(scrip))),
            ("tok", json!(scrip.token)),
            ("nOrdNo", json!(order.number)),
            ("sym", json!(scrip.name)),
            (
                "avgPrc",
                json!(price(scrip, average(event.spent, event.filled))),
            ),
            ("trgPrc", json!(price(scrip, terms.trigger))),
            ("dclQty", json!(terms.disclosed.to_string())),
            ("exchOrdId", json!(number)),
            ("rejRsn", json!(rejection)),
            ("ordDur", json!(terms.validity.code())),
            ("prod", json!(order.product.code())),
            ("ordSrc", json!(source(order))),
            ("flDtTm", json!(time(event.at))),
            ("ordGenTp", json!(if order.amo { "AMO" } else { "--" })),
            ("scripName", json!(if received { "" } else { &scrip.name })),
            ("stkPrc", json!(price(scrip, scrip.strike))),
            ("fldQty", json!(event.filled)),
            (
                "unFldSz",
                json!(if event.status.is_finished() {
                    0
                } else {
                    terms.quantity - event.filled
                }),
            ),
            ("series", json!(scrip.series())),
            ("lotSz", json!(scrip.lot.to_string())),
            ("precision", json!(order.id.segment.decimals().to_string())),
            ("GuiOrdId", json!(order.tag)),
            (
                "locId",
                json!(if received { "" } else { "111111111111100" }),
            ),
            ("optTp", json!(option_type(scrip, "XX"))),
            ("updRecvTm", json!(event.at)),
            ("boeSec", json!(event.at / 1_000_000_000)),
            ("uSec", json!((event.at / 1_000_000).to_string())),
        ],
        TEXTS,
    )
}
