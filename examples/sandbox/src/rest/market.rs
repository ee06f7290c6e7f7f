//! Quotes, expiries, option and futures chains, candles. They need the key only, no login.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{Door, invalid_input, invalid_instrument, keep, route, row, visitor};
use crate::clock::{Moment, india_day, parse_iso_date, weekday};
use crate::exchange::Exchange;
use crate::login::ok;
use crate::market::candles::{Candle, Interval, candles};
use crate::market::{Id, Kind, Level, Scrip, Segment, open_interest, percent};
use crate::money::{self, RUPEE, rupees};
use crate::query;
use crate::route::{Answer, Call, Route};
use crate::tokens::unix_now;

pub(super) static ROUTES: &[Route] = &[
    route!(GET "script-details/1.0/quotes/neosymbol/{symbols}/{type}", Plain, quotes),
    route!(GET "script-details/1.0/quotes/neosymbol/{symbols}", Plain, quotes),
    route!(GET "apim/quotes/2.0/quotes/neosymbol/{symbols}/{type}", Apim, quotes),
    route!(GET "apim/quotes/1.0/quotes/neosymbol/{symbols}/{type}", GwNapi, quotes),
    route!(GET "market-data/1.0/watchlist/expiries", Plain, expiries),
    route!(GET "market-data/1.0/watchlist/option-chain", Plain, chain),
    route!(GET "market-data/1.0/historical/details", Plain, history),
];

/// Checks what quotes, expiries and chains share.
fn admit(call: &Call<'_>, door: Door) -> Result<(), Answer> {
    visitor(call, door)?;
    let state = call.state;
    if !call.let_through {
        return Err(state.too_many(None));
    }
    match state.quote_pace.comes() {
        true => Ok(()),
        false => Err(state.too_many(Some(&state.quote_pace))),
    }
}

/// Whether a route gives quotes: the broker limits how many it answers at once.
pub(super) fn is_quote(route: &Route) -> bool {
    route.path.contains("/quotes/neosymbol")
}

// ---- Quotes ------------------------------------------------------------------------------

/// How many instruments one call may name: 50 are said to be the most, and are refused.
const MOST_QUOTES: usize = 49;
/// An index whose name quotes spell otherwise than candles and the broker's own list do.
const VIX_LISTED: &str = "INDIA VIX";
const VIX_QUOTED: &str = "India VIX";

fn quotes(call: &Call<'_>, door: Door) -> Result<Answer, Answer> {
    admit(call, door)?;
    let (_, rest) = call.path.split_once("/neosymbol/").unwrap_or_default();
    let (symbols, kind) = rest.split_once('/').unwrap_or((rest, "all"));
    let keys = keys_of(&query::decode_path(kind))?;
    let symbols = query::decode_path(symbols);
    let symbols: Vec<&str> = symbols.split(',').collect();
    if symbols.len() > MOST_QUOTES {
        let words = "Please set the Neo symbol max value to 50.";
        let body = json!({"fault": {"code": "400", "description": words, "message": words}});
        return Err(Answer::json(StatusCode::BAD_REQUEST, &body));
    }
    let mut exchange = call.state.exchange();
    if symbols.iter().any(|one| is_index_number(&exchange, one)) {
        return Err(invalid_symbols());
    }
    // One that is unknown among others is left out.
    let rows: Vec<_> = symbols
        .into_iter()
        .filter_map(|symbol| Some((symbol, quoted(&exchange, symbol)?)))
        .collect::<Vec<_>>()
        .into_iter()
        .map(|(symbol, id)| {
            let mut row = quote(&mut exchange, id);
            if let Some((_, VIX_QUOTED)) = symbol.split_once('|') {
                row.insert("exchange_token".to_owned(), json!(VIX_QUOTED));
            }
            if let Some(keys) = keys {
                keep(&mut row, keys);
            }
            row
        })
        .collect();
    if rows.is_empty() {
        return Err(invalid_symbols());
    }
    Ok(ok(&json!(rows)))
}

/// What live quotes answer to an instrument that they do not know.
fn invalid_symbols() -> Answer {
    let body = json!({"fault": {
        "code": 400,
        "message": "Invalid neosymbol values",
        "description": "Please pass valid neosymbol values for getQuote",
    }});
    Answer::json(StatusCode::BAD_REQUEST, &body)
}

/// The instrument that quotes find behind `nse_cm|11536`.
fn quoted(exchange: &Exchange, symbol: &str) -> Option<Id> {
    let (segment, token) = symbol.split_once('|')?;
    match (segment, token) {
        ("nse_cm", VIX_LISTED) => None,
        ("nse_cm", VIX_QUOTED) => find(exchange, &format!("nse_cm|{VIX_LISTED}")),
        _ => find(exchange, symbol),
    }
}

/// The instrument behind `nse_cm|11536`.
fn find(exchange: &Exchange, symbol: &str) -> Option<Id> {
    let (segment, token) = symbol.split_once('|')?;
    let scrips = exchange.market.scrips(Segment::read(segment)?);
    scrips.by_token(token).map(|scrip| scrip.id)
}

/// Whether an index of NSE is named by the number that the scrip file has: quotes want its name.
fn is_index_number(exchange: &Exchange, symbol: &str) -> bool {
    let Some(("nse_cm", token)) = symbol.split_once('|') else {
        return false;
    };
    let scrips = exchange.market.scrips(Segment::NseCm);
    let mut listed = scrips.list.iter().filter(|scrip| scrip.listed);
    listed.any(|scrip| scrip.kind == Kind::Index && scrip.asset == token)
}

/// The keys of a filtered quote; `None` for all.
fn keys_of(kind: &str) -> Result<Option<&'static [&'static str]>, Answer> {
    macro_rules! with_names {
        ($($key:literal),*) => { Some(&["exchange_token", "display_symbol", "exchange", $($key),*]) };
    }
    Ok(match kind {
        "all" => None,
        "ltp" => with_names!("ltp", "lstup_time"),
        "ohlc" => with_names!("ohlc"),
        "oi" => with_names!("open_int"),
        "52w" | "52W" => with_names!("year_high", "year_low"),
        "circuit_limits" => with_names!("low_price_range", "high_price_range"),
        "depth" | "market_depth" => with_names!("depth"),
        "scrip_details" => with_names!(
            "lstup_time",
            "last_traded_quantity",
            "total_buy",
            "total_sell",
            "last_volume",
            "avg_cost",
            "change",
            "per_change"
        ),
        _ => return Err(invalid_input("Invalid quote type")),
    })
}

fn quote(exchange: &mut Exchange, id: Id) -> Map<String, Value> {
    let standing = exchange.market.standing(id);
    let liquidity = exchange.switches.liquidity;
    let scrip = exchange.market.scrip(id);
    let index = scrip.kind == Kind::Index;
    let price = |price: i64| json!(money::text(price, 4));
    let change = standing.ltp - scrip.close;
    let levels = |way: i64| -> Vec<Value> {
        (0..5)
            .map(|at| match Level::at(scrip, &standing, liquidity, way, at) {
                Some(level) => json!({
                    "price": price(level.price),
                    "quantity": level.quantity.to_string(),
                    "orders": level.orders.to_string(),
                }),
                None => json!({"price": "0", "quantity": "0", "orders": "0"}),
            })
            .collect()
    };
    let (buy, sell) = (levels(-1), levels(1));
    let sum = |levels: &[Value]| -> i64 {
        let quantity = |level: &Value| {
            level["quantity"]
                .as_str()
                .and_then(|text| text.parse::<i64>().ok())
        };
        levels.iter().filter_map(quantity).sum()
    };
    let mut row = row(
        [
            ("exchange_token", json!(scrip.token)),
            (
                "display_symbol",
                json!(if index {
                    format!("{}-IN", scrip.token)
                } else {
                    scrip.symbol.clone()
                }),
            ),
            ("exchange", json!(id.segment.code())),
            ("lstup_time", json!(standing.changed_at.to_string())),
            ("ltp", price(standing.ltp)),
            (
                "last_traded_quantity",
                json!(standing.last_quantity.to_string()),
            ),
            ("total_buy", json!(sum(&buy).to_string())),
            ("total_sell", json!(sum(&sell).to_string())),
            ("last_volume", json!(standing.volume.to_string())),
            ("change", price(change)),
            ("per_change", price(percent(change, scrip.close))),
            (
                "year_high",
                json!(if index {
                    "0".to_owned()
                } else {
                    money::plain(scrip.close / 100 * 140)
                }),
            ),
            (
                "year_low",
                json!(if index {
                    "0".to_owned()
                } else {
                    money::plain(scrip.close / 100 * 70)
                }),
            ),
            (
                "ohlc",
                json!({
                    "open": price(standing.open),
                    "high": price(standing.high),
                    "low": price(standing.low),
                    "close": price(scrip.close),
                }),
            ),
            ("depth", json!({"buy": buy, "sell": sell})),
        ],
        &[],
    );
    if !index {
        let mean = match standing.volume {
            0 => 0,
            volume => i64::try_from(standing.turnover / i128::from(volume)).unwrap_or(0),
        };
        row.insert("avg_cost".to_owned(), price(mean));
        row.insert(
            "open_int".to_owned(),
            json!(open_interest(scrip).0.to_string()),
        );
        row.insert("low_price_range".to_owned(), price(scrip.low));
        row.insert("high_price_range".to_owned(), price(scrip.high));
    }
    row
}

// ---- Expiries and chains -----------------------------------------------------------------

/// A query parameter that must be there.
fn parameter<'a>(call: &'a Call<'_>, name: &str) -> Result<&'a str, Answer> {
    call.query(name)
        .ok_or_else(|| invalid_input(&format!("Missing required field '{name}'")))
}

/// The contracts that a call asks for: segment, underlying, and whether futures.
fn asked<'a>(call: &'a Call<'_>) -> Result<(Segment, &'a str, bool), Answer> {
    let segment = Segment::read(parameter(call, "exchange")?)
        .filter(|segment| matches!(segment, Segment::NseFo | Segment::BseFo | Segment::McxFo))
        .ok_or_else(invalid_instrument)?;
    let futures = match call.query("instrument_type").unwrap_or("option") {
        "option" => false,
        "fut" => true,
        _ => return Err(invalid_input("instrument_type must be option or fut")),
    };
    Ok((segment, parameter(call, "underlying")?, futures))
}

fn expiries(call: &Call<'_>, door: Door) -> Result<Answer, Answer> {
    admit(call, door)?;
    let (segment, underlying, futures) = asked(call)?;
    let scrips = call.state.exchange().market.scrips(segment);
    let mut days: Vec<u64> = scrips
        .contracts(underlying)
        .filter(|scrip| futures != scrip.kind.is_option())
        .filter_map(|scrip| scrip.expiry)
        .collect();
    days.sort_unstable();
    days.dedup();
    if days.is_empty() {
        return Err(invalid_instrument());
    }
    let days: Vec<String> = days
        .into_iter()
        .map(|day| Moment::on(day).iso_date())
        .collect();
    Ok(ok(
        &json!({"exchange": segment.code(), "underlying": underlying, "expiries": days}),
    ))
}

fn chain(call: &Call<'_>, door: Door) -> Result<Answer, Answer> {
    admit(call, door)?;
    let (segment, underlying, futures) = asked(call)?;
    let wanted = match call.query("expiry") {
        None => None,
        Some(text) => {
            Some(parse_iso_date(text).ok_or_else(|| invalid_input("expiry must be YYYY-MM-DD"))?)
        }
    };
    let count = match call.query("count").unwrap_or("40").parse::<usize>() {
        Ok(count) if count > 0 && count % 10 == 0 => count,
        _ => return Err(invalid_input("count must be a multiple of 10")),
    };
    let mut exchange = call.state.exchange();
    let scrips = exchange.market.scrips(segment);
    let mut contracts: Vec<&Scrip> = scrips
        .contracts(underlying)
        .filter(|scrip| futures != scrip.kind.is_option())
        .collect();
    let first = contracts.iter().filter_map(|scrip| scrip.expiry).min();
    // Options are of one day, the nearest unless another is named; futures of all days.
    let expiry = wanted.or(if futures { None } else { first });
    contracts.retain(|scrip| expiry.is_none() || scrip.expiry == expiry);
    let Some(one) = contracts.first() else {
        return Err(invalid_instrument());
    };
    let common = json!({
        "mktLot": one.lot.to_string(),
        "multiplier": "1",
        "unlSymbol": underlying,
        "exSeg": segment.code(),
        "expiryDt": expiry.map(|day| Moment::on(day).iso_date()),
    });
    if futures {
        let rows: Vec<Value> = contracts
            .iter()
            .map(|scrip| future(&mut exchange, scrip))
            .collect();
        let data = json!({"common_data": common, "call": [], "put": [], "fut": rows});
        return Ok(ok(&json!({"data": data})));
    }
    let spot = spot(&mut exchange, &scrips, one);
    let mut strikes: Vec<i64> = contracts.iter().map(|scrip| scrip.strike).collect();
    strikes.sort_unstable();
    strikes.dedup();
    let middle = (0..strikes.len())
        .min_by_key(|at| (strikes[*at] - spot).abs())
        .unwrap_or(0);
    let begin = middle
        .saturating_sub(count / 2)
        .min(strikes.len().saturating_sub(count));
    let shown = &strikes[begin..strikes.len().min(begin + count)];
    let mut side = |kind: Kind| -> Vec<Value> {
        contracts
            .iter()
            .filter(|scrip| scrip.kind == kind && shown.contains(&scrip.strike))
            .map(|scrip| option(&mut exchange, scrip, spot, strikes[middle]))
            .collect()
    };
    let data = json!({"common_data": common, "call": side(Kind::Call), "put": side(Kind::Put)});
    Ok(ok(&json!({"data": data})))
}

/// Where the underlying stands; for a commodity the nearest future says so.
fn spot(exchange: &mut Exchange, scrips: &crate::market::Scrips, contract: &Scrip) -> i64 {
    let future = || {
        scrips
            .contracts(&contract.name)
            .find(|scrip| scrip.kind == Kind::Future)
            .map(|scrip| scrip.id)
    };
    match contract.underlying.or_else(future) {
        Some(id) => exchange.market.standing(id).ltp,
        None => contract.strike,
    }
}

fn neo_symbol(scrip: &Scrip) -> String {
    format!("{}|{}", scrip.id.segment.code(), scrip.token)
}

fn option(exchange: &mut Exchange, scrip: &Scrip, spot: i64, middle: i64) -> Value {
    let standing = exchange.market.standing(scrip.id);
    let price = |price: i64| json!(money::text(price, 4));
    let (now, before) = open_interest(scrip);
    let inside = match scrip.kind {
        Kind::Call => scrip.strike < spot,
        _ => scrip.strike > spot,
    };
    let moneyness = match (scrip.strike == middle, inside) {
        (true, _) => "ATM",
        (false, true) => "ITM",
        (false, false) => "OTM",
    };
    json!({
        "instrument": {
            "neoSymbol": neo_symbol(scrip),
            "symbol": scrip.symbol,
            "optionType": scrip.kind.option_type(),
            "strikePrice": money::plain(scrip.strike),
            "moneyness": moneyness,
        },
        "quote": {
            "ltp": price(standing.ltp),
            "open": price(standing.open),
            "high": price(standing.high),
            "low": price(standing.low),
            "prevClose": price(scrip.close),
            "close": null,
            "volume": standing.volume,
        },
        "openInterest": {
            "current": now,
            "previous": before,
            "change": now - before,
            "changePct": rupees(percent(now - before, before)),
        },
    })
}

fn future(exchange: &mut Exchange, scrip: &Scrip) -> Value {
    let standing = exchange.market.standing(scrip.id);
    let price = |price: i64| json!(money::text(price, 2));
    let (now, before) = open_interest(scrip);
    let day = Moment::on(scrip.expiry.unwrap_or(0))
        .dashed_date()
        .to_uppercase();
    json!({
        "inst": {"neoSymbol": neo_symbol(scrip), "symbol": scrip.symbol, "expiryDt": day},
        "quote": {
            "ltp": price(standing.ltp),
            "o": price(standing.open),
            "h": price(standing.high),
            "l": price(standing.low),
            "c": price(standing.ltp),
            "pc": price(scrip.close),
            "vol": standing.volume.to_string(),
        },
        "oi": {
            "cur": now.to_string(),
            "prev": before.to_string(),
            "chg": (now - before).to_string(),
            "chgPct": money::text(percent(now - before, before), 2),
        },
    })
}

// ---- Candles -----------------------------------------------------------------------------

/// The body of refusals of this call.
fn fault(message: &str) -> Answer {
    fault_of(StatusCode::BAD_REQUEST, message)
}

fn fault_of(status: StatusCode, message: &str) -> Answer {
    let fault = json!({"code": status.as_u16(), "message": message});
    Answer::json(status, &json!({"status": "ERROR", "fault": fault}))
}

fn history(call: &Call<'_>, door: Door) -> Result<Answer, Answer> {
    visitor(call, door)?;
    if !call.state.candle_pace.comes() {
        // As seen live: without a word about the time.
        return Err(call.state.too_many(None));
    }
    let parameter = |name: &str| {
        call.query(name)
            .ok_or_else(|| fault(&format!("{name} is mandatory")))
    };
    let symbol = parameter("neosymbol")?;
    let name = parameter("interval")?;
    let day = |name: &str| {
        let text = parameter(name)?;
        parse_iso_date(text).ok_or_else(|| fault(&format!("{name} must be YYYY-MM-DD")))
    };
    let (from, to) = (day("fromdate")?, day("todate")?);
    let (interval, most) = Interval::read(name).ok_or_else(|| fault("Invalid interval value"))?;
    if from > to {
        return Err(fault("fromdate is after todate"));
    }
    if to - from > most {
        return Err(fault(&format!("At most {most} days for this interval")));
    }
    let exchange = call.state.exchange();
    let id = find(&exchange, symbol)
        .filter(|id| {
            !matches!(
                id.segment,
                Segment::McxFo | Segment::NseCom | Segment::CdeFo
            )
        })
        .ok_or_else(|| fault_of(StatusCode::UNPROCESSABLE_ENTITY, "Invalid neosymbol"))?;
    let scrip = exchange.market.scrip(id);
    let now = unix_now();
    let rows: Vec<Value> = candles(scrip, interval, from, to, now)
        .iter()
        .map(|candle| candle_row(scrip, candle))
        .collect();
    if rows.is_empty() {
        // An empty range is told as an error.
        let today = india_day(now);
        let before_open = from == today && weekday(today) < 5;
        return Err(fault(match before_open {
            true => "Data not available for today. Market has not yet opened",
            false => "No data found for the given duration",
        }));
    }
    Ok(ok(
        &json!({"status": "success", "interval": name, "data": {"candles": rows}}),
    ))
}

fn candle_row(scrip: &Scrip, candle: &Candle) -> Value {
    let at = Moment::at(candle.start);
    let price = |price: i64| {
        // Whole numbers stand without decimals.
        if price % RUPEE == 0 {
            json!(price / RUPEE)
        } else {
            json!(rupees(price))
        }
    };
    let open_interest = scrip.expiry.map(|_| candle.open_interest);
    json!([
        format!("{}T{}+0530", at.iso_date(), at.time(":")),
        price(candle.open),
        price(candle.high),
        price(candle.low),
        price(candle.close),
        candle.volume,
        open_interest,
    ])
}
