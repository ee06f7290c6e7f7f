//! Limits, and the margin that an order would need.

use serde_json::{Map, Value, json};

use super::orders::{price_type, product, quantity, segment, side};
use super::{
    Door, Needs, done, form, invalid_input, invalid_instrument, needed, route, text, trader,
};
use crate::exchange::{Product, Terms, Validity};
use crate::money::{self, RUPEE};
use crate::route::{Answer, Call, Route};
use crate::tokens::{Generation, since_1970};

pub(super) static ROUTES: &[Route] = &[
    route!(POST "quick/user/limits", Plain, limits),
    route!(POST "Orders/2.0/quick/user/limits", GwNapi, limits),
    route!(POST "apim/orders/2.0/quick/user/limits", Apim, limits),
    route!(POST "orderapi/1.0/quick/user/limits", Uat, limits),
    route!(POST "quick/user/check-margin", Plain, margin),
    route!(POST "Orders/2.0/quick/user/check-margin", GwNapi, margin),
    route!(POST "apim/orders/2.0/quick/user/check-margin", Apim, margin),
    route!(POST "orderapi/1.0/quick/user/check-margin", Uat, margin),
];

/// What is always nothing here.
const ZEROS: &[&str] = &[
    "Collateral",
    "RmsCollateral",
    "AdhocMargin",
    "NotionalCash",
    "CdsSpreadBenefit",
    "AmountUtilizedPrsnt",
    "NfospreadBenefit",
    "MarginVarPrsnt",
    "MtomWarningPrcntPrsnt",
    "MtomSquareOffWarningPrcntPrsnt",
    "RmsPayInAmt",
    "RmsPayOutAmt",
    "SpecialMarginPrsnt",
    "DaneLimit",
    "DeliveryMarginPresent",
    "CncSellcrdPresent",
    "ComSpanMrgnNrmlPrsnt",
    "ComSpanMrgnMisPrsnt",
    "ComExpsrMrgnNrmlPrsnt",
    "ComExpsrMrgnMisPrsnt",
    "AddMrgnNrmlPrsnt",
    "AddMrgnMisPrsnt",
    "AddPreExpMrgnNrmlPrsnt",
    "AddPreExpMrgnMisPrsnt",
    "SplMrgnNrmlPrsnt",
    "SplMrgnMisPrsnt",
    "TenderMrgnNrmlPrsnt",
    "TenderMrgnMisPrsnt",
    "DeliveryMrgnNrmlPrsnt",
    "DeliveryMrgnMisPrsnt",
    "CurExpMrgnNrmlPrsnt",
    "CurExpMrgnMisPrsnt",
    "CurPremiumNrmlPrsnt",
    "CurPremiumMisPrsnt",
    "CurSpanMrgnNrmlPrsnt",
    "CurSpanMrgnMisPrsnt",
    "MrgnVarNrmlPrsnt",
    "MrgnVarMisPrsnt",
    "AmtUntilizedPrsnt",
    "CncMrgnVarPrsnt",
    "ComUnRlsMtomPrsnt",
    "CurUnRlsMtomPrsnt",
    "ComRlsMtomPrsnt",
    "CurRlsMtomPrsnt",
    "BrokeragePrsnt",
    "SlbmLimit",
    "RmsMutualFundAmt",
    "AuxRmsCollateral",
    "AuxNotionalCash",
    "AuxAdhocMargin",
];

/// What the later generations have beside generation 1.
const NOT_IN_V1: &[&str] = &["EntityId", "TimeStamp", "RmsIpoAmt"];

fn limits(call: &Call<'_>, door: Door) -> Result<Answer, Answer> {
    let generation = trader(call, door, Needs::Report)?.generation;
    let asked = form(call)?;
    let mut all = true;
    for (key, allowed) in [
        ("seg", &["ALL", "CASH", "CUR", "FO"][..]),
        ("exch", &["ALL", "NSE", "BSE"]),
        ("prod", &["ALL", "NRML", "CNC", "MIS"]),
    ] {
        let value = needed(&asked, key)?;
        if !allowed.contains(&value) {
            return Err(invalid_input(&format!(
                "'{key}' must be one of {}",
                allowed.join(", ")
            )));
        }
        all &= value == "ALL";
    }
    let mut funds = call.state.exchange().funds();
    if !all {
        // A filtered call has been seen to give nothing but zeros.
        funds = Default::default();
    }
    let old = generation == Generation::V1;
    let amount = |sum: i64| {
        json!(if old {
            money::text(sum, 2)
        } else {
            money::plain(sum)
        })
    };
    let positions = funds.by_positions();
    let (normal, intraday) = (funds.of(Product::Nrml), funds.of(Product::Mis));
    let delivery = funds.of(Product::Cnc).cash + funds.of(Product::Mtf).cash;
    let percent = match funds.available() {
        sum @ 1.. => {
            i64::try_from(i128::from(funds.used()) * 100 * i128::from(RUPEE) / i128::from(sum))
                .unwrap_or(0)
        }
        _ => 0,
    };
    let mut body: Map<String, Value> = Map::new();
    for key in ZEROS {
        body.insert((*key).to_owned(), amount(0));
    }
    for key in [
        "CollateralValueMult",
        "AdhocLimitMult",
        "RmsCollateralMult",
        "NationalCashMult",
    ] {
        body.insert(key.to_owned(), amount(RUPEE));
    }
    for (key, sum) in [
        ("CollateralValue", funds.cash),
        ("Net", funds.net()),
        ("MarginUsed", funds.used()),
        ("MarginUsedPrsnt", funds.used()),
        ("MarginWarningPrcntPrsnt", percent),
        ("RealizedMtomPrsnt", funds.realised),
        ("UnrealizedMtomPrsnt", funds.unrealised),
        ("CashRlsMtomPrsnt", funds.realised_cash),
        ("FoRlsMtomPrsnt", funds.realised - funds.realised_cash),
        ("CashUnRlsMtomPrsnt", funds.unrealised_cash),
        ("FoUnRlsMtomPrsnt", funds.unrealised - funds.unrealised_cash),
        ("SpanMarginPrsnt", positions.span),
        ("ExposureMarginPrsnt", positions.exposure),
        ("PremiumPrsnt", positions.premium),
        // What open orders block is shown with the cash segment.
        ("MarginScripBasketPrsnt", positions.cash + funds.orders),
        ("MrgnScrpBsktNrmlPrsnt", normal.cash + funds.orders),
        ("MrgnScrpBsktMisPrsnt", intraday.cash),
        ("MrgnScrpBsktCncPrsnt", delivery),
        ("FoPremiumNrmlPrsnt", normal.premium),
        ("FoPremiumMisPrsnt", intraday.premium),
        ("FoExpMrgnNrmlPrsnt", normal.exposure),
        ("FoExpMrgnMisPrsnt", intraday.exposure),
        ("FoSpanrgnNrmlPrsnt", normal.span),
        ("FoSpanrgnMisPrsnt", intraday.span),
    ] {
        body.insert(key.to_owned(), amount(sum));
    }
    for (key, text) in [
        ("Category", "CLIENT_SPECIAL"),
        ("EntityId", ""),
        ("BoardLotLimit", "5000"),
        ("SlbmVarElm", ""),
        ("SlbmMtom", ""),
        ("LendingFee", ""),
        ("RmsIpoAmt", "0"),
    ] {
        body.insert(key.to_owned(), json!(text));
    }
    body.insert(
        "TimeStamp".to_owned(),
        json!(since_1970().as_millis().to_string()),
    );
    if old {
        body.retain(|key, _| !NOT_IN_V1.contains(&key.as_str()));
    }
    body.insert("stCode".to_owned(), json!(200));
    body.insert("stat".to_owned(), json!("Ok"));
    Ok(done(generation, Value::Object(body)))
}

fn margin(call: &Call<'_>, door: Door) -> Result<Answer, Answer> {
    let generation = trader(call, door, Needs::Report)?.generation;
    let asked = form(call)?;
    let segment = segment(needed(&asked, "exSeg")?)?;
    let product = product(needed(&asked, "prod")?)?;
    let kind = price_type(needed(&asked, "prcTp")?)?;
    let side = side(needed(&asked, "trnsTp")?)?;
    let quantity = quantity(&asked, "qty")?;
    let amount = |key: &str, sent: &str| {
        let price = super::orders::amount(key, sent)?;
        let fits = price <= crate::HIGHEST_PRICE;
        fits.then_some(price)
            .ok_or_else(|| invalid_input(&format!("'{key}' is no price")))
    };
    let price = amount("prc", needed(&asked, "prc")?)?;
    let trigger = amount("trgPrc", text(&asked, "trgPrc")?.unwrap_or("0"))?;
    for optional in [
        "brkName",
        "brnchId",
        "slAbsOrTks",
        "sqrOffAbsOrTks",
        "trailSL",
    ] {
        text(&asked, optional)?;
    }
    for optional in ["slVal", "sqrOffVal", "tSLTks"] {
        amount(optional, text(&asked, optional)?.unwrap_or("0"))?;
    }
    let mut exchange = call.state.exchange();
    let scrips = exchange.market.scrips(segment);
    let id = scrips
        .by_token(needed(&asked, "tok")?)
        .filter(|scrip| !scrip.symbol.is_empty())
        .ok_or_else(invalid_instrument)?
        .id;
    let terms = Terms {
        kind,
        price,
        trigger,
        quantity,
        disclosed: 0,
        validity: Validity::Day,
    };
    let order = exchange.order_margin(id, side, product, &terms);
    let funds = exchange.funds();
    let total = funds.used() + order;
    let short = (total - funds.available()).max(0);
    let covered = short == 0;
    let old = generation == Generation::V1;
    let amount = |sum: i64| json!(money::text(sum, if old { 2 } else { 6 }));
    let verdict = match (old, covered) {
        // Generation 1 gives the number of a letter, N or Y.
        (true, covered) => json!(if covered { b'Y' } else { b'N' }),
        (false, true) => json!("OK"),
        (false, false) => json!("NOT_OK"),
    };
    Ok(done(
        generation,
        json!({
            "avlCash": amount(funds.available()),
            "totMrgnUsd": amount(total),
            "mrgnUsd": amount(funds.used()),
            "ordMrgn": amount(order),
            "rmsVldtd": verdict,
            "reqdMrgn": amount(if covered { 0 } else { total }),
            "avlMrgn": amount(if covered { 0 } else { funds.available() }),
            "insufFund": amount(short),
            "stat": "Ok",
            "stCode": 200,
        }),
    ))
}
