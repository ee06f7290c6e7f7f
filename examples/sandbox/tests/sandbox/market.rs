//! Market data and scrip files: calls that need the key only.

use kotak_neo_sandbox::{Options, ScripFiles, Switches};
use serde_json::{Value, json};

use crate::client::Ask;
use crate::fixtures::{assert_same_shape, sample, shape};
use crate::trader::Trader;
use crate::v1;

const QUOTES: &str = "/script-details/1.0/quotes/neosymbol";
const EXPIRIES: &str = "/market-data/1.0/watchlist/expiries";
const CHAIN: &str = "/market-data/1.0/watchlist/option-chain";
const CANDLES: &str = "/market-data/1.0/historical/details";
const FILES: &str = "/script-details/1.0/masterscrip/file-paths";

/// A NIFTY option of the nearest expiry with this type and moneyness.
pub fn option(trader: &Trader, kind: &str, moneyness: &str) -> String {
    let chain = trader
        .look(&format!("{CHAIN}?exchange=nse_fo&underlying=NIFTY"))
        .expect(200);
    let side = if kind == "CE" { "call" } else { "put" };
    let rows = chain["data"][side].as_array().unwrap();
    let row = rows
        .iter()
        .find(|row| row["instrument"]["moneyness"] == moneyness)
        .unwrap();
    row["instrument"]["symbol"].as_str().unwrap().to_owned()
}

#[test]
fn quotes_have_the_form_of_the_samples() {
    let trader = Trader::start();
    let quotes = trader
        .look(&format!("{QUOTES}/nse_cm|1333/all"))
        .expect(200);
    assert_same_shape(&quotes, "quotes.ok.json");
    let index = trader
        .look(&format!("{QUOTES}/bse_cm|SENSEX/all"))
        .expect(200);
    assert_same_shape(&index, "quotes.index.ok.json");
    assert_eq!(index[0]["display_symbol"], "SENSEX-IN");
    // In request order, encoded or not, and the type may be left out.
    for path in [
        "nse_cm|14366,nse_cm|Nifty%2050,nse_cm|11536",
        "nse_cm%7C14366%2Cnse_cm%7CNifty%2050%2Cnse_cm%7C11536",
    ] {
        let quotes = trader.look(&format!("{QUOTES}/{path}")).expect(200);
        let tokens: Vec<&Value> = quotes
            .as_array()
            .unwrap()
            .iter()
            .map(|row| &row["exchange_token"])
            .collect();
        assert_eq!(tokens, ["14366", "Nifty 50", "11536"]);
        let (ltp, change) = (&quotes[0]["ltp"], &quotes[0]["change"]);
        assert_eq!((ltp, change), (&json!("9.4000"), &json!("0.0000")));
    }
    // One bad token is left out; nothing but bad ones is an error.
    let some = trader
        .look(&format!("{QUOTES}/nse_cm|1,nse_cm|11536/ltp"))
        .expect(200);
    assert_eq!(some.as_array().map(Vec::len), Some(1));
    // An index of NSE goes by its name, not by the number of the scrip file.
    for tokens in ["nse_cm|26000", "nse_cm|11536,nse_cm|26009"] {
        let refused = trader.look(&format!("{QUOTES}/{tokens}/all")).expect(400);
        assert_eq!(refused, sample("market_data.error-400-neosymbol.json"));
    }
    let invalid = sample("market_data.error-400-neosymbol.json");
    for bad in [
        "nse_cm|1",
        "nse_cm|nifty%2050",
        "11536",
        "xse|1",
        "nse_cm|INDIA%20VIX",
    ] {
        assert_eq!(
            trader.look(&format!("{QUOTES}/{bad}/all")).expect(400),
            invalid,
            "{bad}"
        );
    }
    // One name is another one here than in candles.
    let vix = trader.look(&format!("{QUOTES}/nse_cm|India%20VIX/ltp"));
    assert_eq!(vix.expect(200)[0]["exchange_token"], "India VIX");
    let many = |count| {
        let many = vec!["nse_cm|11536"; count].join(",");
        trader.look(&format!("{QUOTES}/{many}/ltp"))
    };
    for count in [50, 51] {
        let refused = many(count).expect(400);
        assert_eq!(refused, sample("market_data.error-400-too-many.json"));
    }
    many(49).expect(200);
}

#[test]
fn filtered_quotes_are_parts_of_the_whole() {
    let trader = Trader::start();
    let whole = trader
        .look(&format!("{QUOTES}/nse_cm|1333/all"))
        .expect(200)[0]
        .clone();
    for (kind, key) in [
        ("ltp", "ltp"),
        ("ohlc", "ohlc"),
        ("oi", "open_int"),
        ("52w", "year_high"),
        ("52W", "year_low"),
        ("circuit_limits", "high_price_range"),
        ("depth", "depth"),
        ("market_depth", "depth"),
        ("scrip_details", "avg_cost"),
    ] {
        let part = trader
            .look(&format!("{QUOTES}/nse_cm|1333/{kind}"))
            .expect(200)[0]
            .clone();
        assert_eq!(part[key], whole[key], "{kind}");
        assert_eq!(part["exchange_token"], "1333");
        assert!(shape(&part).is_subset(&shape(&whole)));
        assert!(part.as_object().unwrap().len() < whole.as_object().unwrap().len());
    }
    trader
        .look(&format!("{QUOTES}/nse_cm|1333/other"))
        .expect(400);
}

#[test]
fn quotes_follow_the_walk_and_the_trades() {
    let trader = Trader::start();
    let quote = || {
        trader
            .look(&format!("{QUOTES}/nse_cm|14366/all"))
            .expect(200)[0]
            .clone()
    };
    let volume = |quote: &Value| {
        quote["last_volume"]
            .as_str()
            .unwrap()
            .parse::<i64>()
            .unwrap()
    };
    let before = quote();
    trader.place(&json!({"pr": "9.40", "qt": "100"}));
    let after = quote();
    assert_eq!(volume(&after) - volume(&before), 100);
    assert_eq!(after["last_traded_quantity"], "100");
    trader.sandbox.set_price("nse_cm", "IDEA-EQ", "9.80");
    trader.sandbox.set_price("nse_cm", "IDEA-EQ", "9.10");
    let ohlc = quote()["ohlc"].clone();
    assert_eq!(
        (&ohlc["high"], &ohlc["low"]),
        (&json!("9.8000"), &json!("9.1000"))
    );
    assert_eq!(
        trader.sandbox.price("nse_cm", "IDEA-EQ").as_deref(),
        Some("9.10")
    );
    trader.sandbox.tick(50);
    assert_ne!(quote()["ltp"], "9.1000");
    trader.sandbox.set_price("nse_cm", "IDEA-EQ", "0");
    assert_eq!(trader.sandbox.price("nse_cm", "IDEA-EQ"), None);
    assert_eq!(quote()["ltp"], "0.0000");
}

#[test]
fn the_walk_can_go_by_itself() {
    let trader = Trader::start_with(Options {
        tick_every: Some(std::time::Duration::from_millis(1)),
        ..Options::default()
    });
    let end = std::time::Instant::now() + crate::faults::PATIENCE;
    while trader.sandbox.price("nse_cm", "IDEA-EQ").as_deref() == Some("9.40") {
        assert!(std::time::Instant::now() < end);
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

#[test]
fn expiries_are_dates_to_come() {
    let trader = Trader::start();
    let ask = |query: &str| trader.look(&format!("{EXPIRIES}?{query}"));
    let options = ask("exchange=nse_fo&underlying=RELIANCE").expect(200);
    assert_same_shape(&options, "expiries.ok.json");
    assert_eq!(options["expiries"].as_array().map(Vec::len), Some(3));
    assert_eq!(
        ask("exchange=nse_fo&underlying=RELIANCE&instrument_type=fut").expect(200),
        options
    );
    let days = |query: &str| {
        let answer = ask(query).expect(200);
        let days: Vec<String> = answer["expiries"]
            .as_array()
            .unwrap()
            .iter()
            .map(|day| day.as_str().unwrap().to_owned())
            .collect();
        assert!(days.windows(2).all(|pair| pair[0] < pair[1]), "{days:?}");
        days.len()
    };
    assert_eq!(days("exchange=nse_fo&underlying=NIFTY"), 8);
    assert_eq!(
        days("exchange=nse_fo&underlying=NIFTY&instrument_type=fut"),
        3
    );
    assert_eq!(days("exchange=bse_fo&underlying=SENSEX"), 8);
    assert_eq!(days("exchange=mcx_fo&underlying=GOLDM"), 3);
    let invalid = sample("market_data.error-1009-invalid-instrument.json");
    for query in [
        "exchange=nse_fo&underlying=NOBODY",
        "exchange=nse_cm&underlying=NIFTY",
        "exchange=x&underlying=NIFTY",
    ] {
        assert_eq!(ask(query).expect(400), invalid, "{query}");
    }
    for query in [
        "exchange=nse_fo",
        "underlying=NIFTY",
        "exchange=nse_fo&underlying=NIFTY&instrument_type=swap",
    ] {
        assert_eq!(ask(query).expect(400)["stCode"], 1002, "{query}");
    }
}

#[test]
fn chains_have_the_form_of_the_samples() {
    let trader = Trader::start();
    let ask = |query: &str| trader.look(&format!("{CHAIN}?{query}"));
    let chain = ask("exchange=nse_fo&underlying=NIFTY").expect(200);
    let rows = |chain: &Value, side: &str| chain["data"][side].as_array().unwrap().clone();
    for side in ["call", "put"] {
        let rows = rows(&chain, side);
        assert_eq!(rows.len(), 40);
        let strikes: Vec<f64> = rows
            .iter()
            .map(|row| {
                row["instrument"]["strikePrice"]
                    .as_str()
                    .unwrap()
                    .parse()
                    .unwrap()
            })
            .collect();
        assert!(strikes.windows(2).all(|pair| pair[0] < pair[1]));
        let of = |word: &str| {
            rows.iter()
                .filter(|row| row["instrument"]["moneyness"] == word)
                .count()
        };
        assert_eq!(of("ATM"), 1);
        assert!(of("ITM") > 10 && of("OTM") > 10);
    }
    assert!(chain["data"].get("fut").is_none());
    let mut one = chain.clone();
    one["data"]["put"] = json!([]);
    assert_same_shape(&one, "option_chain.ok.json");
    let expiries = trader
        .look(&format!("{EXPIRIES}?exchange=nse_fo&underlying=NIFTY"))
        .expect(200);
    assert_eq!(
        chain["data"]["common_data"]["expiryDt"],
        expiries["expiries"][0]
    );
    let later = expiries["expiries"][3].as_str().unwrap();
    let chain = ask(&format!(
        "exchange=nse_fo&underlying=NIFTY&expiry={later}&count=10"
    ))
    .expect(200);
    assert_eq!(rows(&chain, "call").len(), 10);
    assert_eq!(chain["data"]["common_data"]["expiryDt"], later);
    // A quote of one of its contracts says the same.
    let row = &rows(&chain, "put")[4];
    let symbol = row["instrument"]["neoSymbol"].as_str().unwrap();
    let quote = trader.look(&format!("{QUOTES}/{symbol}/all")).expect(200)[0].clone();
    assert_eq!(quote["ltp"], row["quote"]["ltp"]);
    assert_eq!(
        quote["open_int"],
        row["openInterest"]["current"].to_string()
    );

    let futures = ask("exchange=nse_fo&underlying=NIFTY&instrument_type=fut").expect(200);
    assert_same_shape(&futures, "option_chain.fut.ok.json");
    assert_eq!(rows(&futures, "fut").len(), 3);
    ask("exchange=mcx_fo&underlying=CRUDEOIL").expect(200);
    for query in ["count=15", "count=0", "count=x", "expiry=22SEP2026"] {
        let refusal = ask(&format!("exchange=nse_fo&underlying=NIFTY&{query}")).expect(400);
        assert_eq!(refusal["stCode"], 1002, "{query}");
    }
    let refusal = ask("exchange=nse_fo&underlying=NIFTY&expiry=2020-01-01").expect(400);
    assert_eq!(refusal["stCode"], 1009);
}

/// A day counted from 1970-01-01 as `2025-01-22`.
fn date(mut day: u64) -> String {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [
        31,
        28 + u64::from(leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}", day + 1)
}

#[test]
fn candles_have_the_form_of_the_sample() {
    let trader = Trader::start();
    let future = trader
        .look(&format!(
            "{CHAIN}?exchange=nse_fo&underlying=NIFTY&instrument_type=fut"
        ))
        .expect(200);
    let symbol = future["data"]["fut"][0]["inst"]["neoSymbol"]
        .as_str()
        .unwrap();
    let ask = |query: &str| trader.look(&format!("{CANDLES}?{query}"));
    // Four whole weeks that are over, whatever day it is.
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() / 86_400;
    let monday = (now - 60) / 7 * 7 + 4;
    let (from, to) = (date(monday), date(monday + 25));
    let weeks = format!("fromdate={from}&todate={to}");
    let answer = ask(&format!("neosymbol={symbol}&interval=1min&{weeks}")).expect(200);
    assert_same_shape(&answer, "historical_data.ok.json");
    let rows = answer["data"]["candles"].as_array().unwrap();
    assert_eq!(rows.len(), 20 * 375);
    assert_eq!(rows[0][0], format!("{from}T09:15:00+0530"));
    assert_eq!(rows[374][0], format!("{from}T15:29:00+0530"));
    for (interval, count) in [("3min", 20 * 125), ("60min", 20 * 7), ("D", 20), ("W", 4)] {
        let query = format!("neosymbol=nse_cm%7C11536&interval={interval}&{weeks}");
        let answer = ask(&query).expect(200);
        let rows = answer["data"]["candles"].as_array().unwrap();
        assert_eq!(rows.len(), count, "{interval}");
        // Shares have no open interest.
        assert_eq!(rows[0][6], Value::Null);
    }
    let invalid = ask(&format!("neosymbol=nse_cm|11536&interval=2min&{weeks}")).expect(400);
    assert_eq!(
        invalid,
        sample("historical_data.error-invalid-interval.json")
    );
    for query in [
        "interval=D&fromdate=2026-06-01&todate=2026-06-30",
        "neosymbol=nse_cm|11536&fromdate=2026-06-01&todate=2026-06-30",
        "neosymbol=nse_cm|11536&interval=D&todate=2026-06-30",
        "neosymbol=nse_cm|11536&interval=D&fromdate=2026-06-01",
        "neosymbol=nse_cm|11536&interval=D&fromdate=01-06-2026&todate=2026-06-30",
        "neosymbol=nse_cm|11536&interval=D&fromdate=2026-06-30&todate=2026-06-01",
        "neosymbol=nse_cm|11536&interval=1min&fromdate=2026-06-01&todate=2026-07-02",
        "neosymbol=nse_cm|11536&interval=D&fromdate=2026-01-01&todate=2026-07-02",
    ] {
        let refusal = ask(query).expect(400);
        assert_eq!(shape(&refusal), shape(&invalid), "{query}");
    }
    let june = "interval=D&fromdate=2026-06-01&todate=2026-06-30";
    for symbol in [
        "mcx_fo|30001",
        "nse_cm|1",
        "nse_cm|26000",
        "nse_cm|India%20VIX",
    ] {
        let refusal = ask(&format!("neosymbol={symbol}&{june}")).expect(422);
        assert_eq!(shape(&refusal), shape(&invalid), "{symbol}");
        assert_eq!(refusal["fault"]["message"], "Invalid neosymbol");
    }
    for symbol in ["nse_cm|Nifty%2050", "nse_cm|INDIA%20VIX", "bse_cm|SENSEX"] {
        ask(&format!("neosymbol={symbol}&{june}")).expect(200);
    }
    // A Saturday and a Sunday.
    let nothing = ask("neosymbol=nse_cm|11536&interval=D&fromdate=2026-06-06&todate=2026-06-07");
    assert_eq!(
        nothing.expect(400),
        sample("historical_data.error-no-data.json")
    );
}

#[test]
fn the_key_is_needed_and_enough() {
    let trader = Trader::start();
    for path in [
        format!("{QUOTES}/nse_cm|11536/ltp"),
        format!("{EXPIRIES}?exchange=nse_fo&underlying=NIFTY"),
        format!("{CHAIN}?exchange=nse_fo&underlying=NIFTY"),
        format!(
            "{CANDLES}?neosymbol=nse_cm|11536&interval=D&fromdate=2026-06-01&todate=2026-06-30"
        ),
        FILES.to_owned(),
    ] {
        trader.look(&path).expect(200);
        Ask::get(&path).reply(&trader.sandbox).expect(400);
        let wrong = Ask::get(&path).with("authorization", "other");
        // As it was seen live: a dependency that failed.
        let told = wrong.reply(&trader.sandbox).expect(424);
        assert_eq!(
            told["error"][0]["message"],
            "Consumer key other*** is invalid"
        );
    }
}

#[test]
fn more_than_so_many_quotes_a_second_get_429() {
    let trader = Trader::start_with(Options::default());
    let mut client = crate::client::Client::open(&trader.sandbox, false).unwrap();
    let ask = Ask::get(&format!("{QUOTES}/nse_cm|11536/ltp"))
        .with("authorization", &*trader.sandbox.credentials().consumer_key);
    let statuses: Vec<u16> = (0..200)
        .map(|_| client.send(&ask).unwrap().status.as_u16())
        .collect();
    assert_eq!(statuses[..25], [200; 25]);
    assert!(statuses.contains(&429));
}

#[test]
fn the_older_paths_work_with_a_bearer() {
    let trader = Trader::start();
    let bearer = v1::bearer(&trader.sandbox);
    for path in [
        "/Files/1.0/masterscrip/v1/file-paths",
        "/Files/1.0/masterscrip/v2/file-paths",
        "/apim/files/2.0/masterscrip/v1/file-paths",
        "/scrip/1.0/masterscrip/file-paths",
        "/apim/quotes/2.0/quotes/neosymbol/nse_cm%7C11536/all",
        "/apim/quotes/1.0/quotes/neosymbol/nse_cm%7C11536/all",
    ] {
        let ask = Ask::get(path).with("authorization", &*bearer);
        ask.reply(&trader.sandbox).expect(200);
        trader.look(path).expect(401);
    }
}

#[test]
fn scrip_files_are_named_and_served() {
    let trader = Trader::start();
    let list = trader.look(FILES).expect(200);
    assert_same_shape(&list, "scrip_master.ok.json");
    let urls: Vec<&str> = list["data"]["filesPaths"]
        .as_array()
        .unwrap()
        .iter()
        .map(|url| url.as_str().unwrap())
        .collect();
    let documented = sample("scrip_master.ok.json");
    let tails = |list: &[&str]| -> Vec<String> {
        list.iter()
            .map(|url| url.rsplit('/').take(2).collect::<Vec<_>>().join("<"))
            .collect()
    };
    let expected: Vec<&str> = documented["data"]["filesPaths"]
        .as_array()
        .unwrap()
        .iter()
        .map(|url| url.as_str().unwrap())
        .collect();
    assert_eq!(tails(&urls), tails(&expected));
    let path = |code: &str| {
        let url = urls.iter().find(|url| url.contains(code)).unwrap();
        url.strip_prefix(trader.sandbox.url()).unwrap().to_owned()
    };
    let fetch = |code: &str| Ask::get(&path(code)).reply(&trader.sandbox);
    for code in [
        "nse_cm", "bse_cm", "nse_fo", "bse_fo", "mcx_fo", "cde_fo", "nse_com",
    ] {
        let reply = fetch(code);
        assert_eq!(
            (reply.status.as_u16(), &reply.headers["content-type"]),
            (200, &"text/csv".parse().unwrap())
        );
        assert!(reply.body.starts_with(b"pSymbol,pGroup,pExchSeg,"));
        let lines = reply.body.split(|byte| *byte == b'\n').count() - 1;
        assert_eq!(lines == 90_001, code == "nse_fo");
    }
    // Days that are over, and guesses, are refused.
    let guess = path("nse_fo").replace("transformed/nse_fo.csv", "transformed-v1/nse_fo-v1.csv");
    assert_eq!(Ask::get(&guess).reply(&trader.sandbox).status, 403);
    assert_eq!(
        Ask::get("/wso2-scripmaster/v1/prod/2020-01-01/transformed/nse_fo.csv")
            .reply(&trader.sandbox)
            .status,
        403
    );
    let whole = fetch("mcx_fo").body;
    let with = |scrip_files| {
        trader.sandbox.set_switches(Switches {
            scrip_files,
            ..Switches::default()
        });
        let reply = fetch("mcx_fo");
        assert_eq!(reply.status, 200);
        reply.body
    };
    assert!(with(ScripFiles::Empty).is_empty());
    let cut = with(ScripFiles::Cut);
    assert!(whole.starts_with(&cut) && cut.len() < whole.len() && !cut.ends_with(b"\n"));
    assert!(with(ScripFiles::Html).starts_with(b"<html>"));
    assert_eq!(with(ScripFiles::Whole), whole);
}

#[test]
fn a_row_of_the_file_can_be_traded_and_quoted() {
    let trader = Trader::start();
    let list = trader.look(FILES).expect(200);
    for code in ["nse_fo", "mcx_fo", "bse_fo", "cde_fo", "bse_cm", "nse_cm"] {
        let urls = list["data"]["filesPaths"].as_array().unwrap();
        let url = urls
            .iter()
            .map(|url| url.as_str().unwrap())
            .find(|url| url.contains(code))
            .unwrap();
        let file = Ask::get(url.strip_prefix(trader.sandbox.url()).unwrap())
            .reply(&trader.sandbox)
            .body;
        let text = String::from_utf8(file).unwrap();
        let row: Vec<&str> = text.lines().nth(40).unwrap().split(',').collect();
        let (token, symbol, lot) = (row[0], row[5], row[16]);
        let quote = trader
            .look(&format!("{QUOTES}/{code}|{token}/all"))
            .expect(200)[0]
            .clone();
        assert_eq!(quote["display_symbol"], symbol);
        let order = trader.placed(&json!({
            "es": code, "ts": symbol, "qt": lot, "pc": "NRML", "pt": "MKT", "pr": "0",
        }));
        assert!(
            order.status == "complete" || order.rejection.contains("Margin Exceeds"),
            "{order:?}"
        );
    }
}
