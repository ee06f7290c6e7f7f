//! Instruments: downloads, the cache, and what happens to bad files.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use kotak_neo::{Client, Error, Reply, Status};
use kotak_neo_sandbox::{FaultKind, Sandbox, ScripFiles};
use kotak_neo_testing::folder::Folder;
use serde_json::{Value, json};

use crate::orders::{log_in_to, meta, order, place};
use crate::support::{Dice, answer, client, client_with, fault, paths, sandbox, status};

/// A cache in a folder of its own.
struct Cache(Folder);

impl Cache {
    fn new() -> Self {
        Self(Folder::new("cache"))
    }

    /// Where it is. The library makes it.
    fn dir(&self) -> PathBuf {
        self.0.path("scrips")
    }

    fn client(&self, sandbox: &Sandbox) -> Client {
        client_with(sandbox, &json!({"cache_dir": self.0.text("scrips")}))
    }

    /// Makes the only file in it yesterday's.
    fn make_older(&self) -> PathBuf {
        let file = self.files()[0].clone();
        let name = file.to_str().expect("plain").to_owned();
        let (start, day) = name
            .trim_end_matches(".scrips")
            .rsplit_once('-')
            .expect("a day");
        let yesterday = day.parse::<u64>().expect("a number") - 1;
        let old = PathBuf::from(format!("{start}-{yesterday}.scrips"));
        std::fs::rename(&file, &old).expect("it becomes yesterday's");
        old
    }

    /// The files in it, their names cut before the day.
    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.dir()).expect("the cache is there");
        entries
            .map(|entry| entry.expect("an entry").path())
            .collect()
    }
}

fn search(client: &Client, params: &Value) -> Result<Reply, Error> {
    client.search_scrip(&params.to_string())
}

fn rows(reply: &Reply) -> Vec<Value> {
    let list = crate::support::json(reply.json());
    list.as_array().expect("a list").clone()
}

fn state(client: &Client, segment: &str) -> Value {
    let status = crate::support::json(client.scrip_status().expect("local").json());
    let segments = status["segments"].as_array().expect("a list").clone();
    let found = segments
        .into_iter()
        .find(|one| one["exchange_segment"] == segment);
    found.expect("it was searched")
}

fn switch(sandbox: &Sandbox, files: ScripFiles) {
    let mut switches = sandbox.switches();
    switches.scrip_files = files;
    sandbox.set_switches(switches);
}

/// The path of the file of cash instruments.
fn file_path(client: &Client) -> String {
    let reply = client.scrip_master(Some("nse_cm")).expect("a file");
    let url = crate::support::json(reply.json())["url"].clone();
    let url = url::Url::parse(url.as_str().expect("a text")).expect("a URL");
    url.path().to_owned()
}

#[test]
fn a_day_needs_one_download_and_no_login() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    let reply = search(
        &client,
        &json!({"exchange_segment": "NSE", "symbol": "idea"}),
    );
    let reply = reply.expect("no login is needed");
    assert!(
        rows(&reply)
            .iter()
            .any(|row| row["pTrdSymbol"] == "IDEA-EQ")
    );
    assert_eq!(meta(&reply, "stale"), false);
    assert_eq!(sandbox.requests().len(), 2, "{:?}", paths(&sandbox));
    let download = &sandbox.requests()[1];
    for key in ["authorization", "auth", "sid"] {
        assert_eq!(download.header(key), None, "a public file needs no {key}");
    }
    let exact = json!({"exchange_segment": "nse_cm", "trading_symbol": "IDEA-EQ"});
    let found = rows(&search(&client, &exact).expect("local"));
    assert_eq!(found.len(), 1);
    let by_token = json!({"exchange_segment": "nse_cm", "token": found[0]["pSymbol"]});
    assert_eq!(rows(&search(&client, &by_token).expect("local")), found);
    let none = json!({"exchange_segment": "nse_cm", "symbol": "no such name"});
    assert_eq!(search(&client, &none).expect("local").json(), "[]");
    assert_eq!(sandbox.requests().len(), 2, "the rest was local");
    let state = state(&client, "nse_cm");
    assert_eq!(
        (&state["state"], &state["stale"]),
        (&json!("ready"), &json!(false))
    );
    assert!(state["bytes"].as_u64() > Some(0) && state["rows"].as_u64() > Some(0));
    let error = search(&client, &json!({"exchange_segment": "nse_cm", "colour": 1}));
    assert_eq!(status(&error), Status::InvalidArgument);
    client.close();
    assert_eq!(status(&search(&client, &exact)), Status::Closed);
}

/// Every file of the broker's list, by every name of its segment.
#[test]
fn all_segments_of_the_list_are_searched() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    for (names, params, tick) in [
        (
            &["nse_cm", "NSE", "nse"][..],
            json!({"trading_symbol": "tcs-eq"}),
            0.05,
        ),
        (
            &["bse_cm", "BSE", "bse"],
            json!({"trading_symbol": " tcs "}),
            0.05,
        ),
        (
            &["nse_fo", "NFO", "nfo"],
            json!({"symbol": "tcs", "option_type": "CE"}),
            0.05,
        ),
        (
            &["bse_fo", "BFO", "bfo"],
            json!({"symbol": "sensex", "option_type": "PE"}),
            0.05,
        ),
        (
            &["mcx_fo", "MCX", "mcx"],
            json!({"symbol": "goldm", "option_type": "FUT"}),
            1.0,
        ),
        (
            &["cde_fo", "CDS", "cds"],
            json!({"symbol": "usdinr", "strike_price": 88}),
            0.0025,
        ),
        (
            &["nse_com"],
            json!({"symbol": "gold1g", "strike_price": ">14800"}),
            1.0,
        ),
    ] {
        let mut found = Vec::new();
        for name in names {
            let mut params = params.clone();
            params["exchange_segment"] = json!(name);
            let reply = search(&client, &params);
            let reply = reply.unwrap_or_else(|error| panic!("{params}: {error}"));
            assert_eq!(meta(&reply, "bad_rows"), 0);
            assert_eq!(meta(&reply, "bad_cells"), 0);
            assert_eq!(meta(&reply, "date_conflicts"), 0);
            assert_eq!(meta(&reply, "notes"), Value::Null, "{}", reply.meta());
            assert_eq!(meta(&reply, "scrip_rows"), state(&client, names[0])["rows"]);
            found.push(rows(&reply));
        }
        assert!(!found[0].is_empty(), "{names:?} {params}");
        assert!(found.iter().all(|rows| *rows == found[0]), "{names:?}");
        let row = &found[0][0];
        assert_eq!(row["tick_size"].as_f64(), Some(tick), "{row}");
        assert!(row["lot_size"].as_f64() >= Some(1.0), "{row}");
        assert_eq!(row["pExchSeg"], names[0]);
        if let Some(strike) = row["strike_price"].as_f64() {
            let symbol = row["pTrdSymbol"].as_str().expect("a text");
            let written = symbol[..symbol.len() - 2].ends_with(&strike.to_string());
            assert!(written, "{strike} of {symbol}");
        }
    }
    let error = search(&client, &json!({"exchange_segment": "bcs-fo"})).expect_err("no file");
    assert!(error.message().contains("cde_fo, nse_com"), "{error}");
}

/// What the file has wrong costs itself, and the answer says so.
#[test]
fn what_could_not_be_read_is_told() {
    let sandbox = sandbox();
    let counts = |segment: &str, files: ScripFiles| {
        switch(&sandbox, files);
        let client = client(&sandbox);
        let reply = search(&client, &json!({"exchange_segment": segment}));
        let reply = reply.unwrap_or_else(|error| panic!("{files:?}: {error}"));
        let told = |key: &str| meta(&reply, key).as_u64().expect("a count");
        let counts = [told("bad_rows"), told("bad_cells"), told("date_conflicts")];
        let shown = state(&client, segment);
        for (key, count) in ["bad_rows", "bad_cells", "date_conflicts"]
            .iter()
            .zip(counts)
        {
            assert_eq!(shown[key], count, "{files:?} {key}");
        }
        assert_eq!(told("scrip_rows"), rows(&reply).len() as u64);
        (rows(&reply), counts, meta(&reply, "notes").to_string())
    };
    for segment in ["nse_cm", "cde_fo"] {
        let (whole, none, _) = counts(segment, ScripFiles::Whole);
        assert_eq!(none, [0, 0, 0]);
        for (files, lost, expected, note) in [
            (ScripFiles::NoLineEnd, 0, [0, 0, 0], "null"),
            (ScripFiles::CrLf, 0, [0, 0, 0], "null"),
            (ScripFiles::Older, 0, [0, 0, 0], "null"),
            (ScripFiles::Quoted, 0, [0, 0, 0], "null"),
            (ScripFiles::UnixDates, 0, [0, 0, 0], "null"),
            (
                ScripFiles::StrayQuote,
                1,
                [1, 0, 0],
                "1 rows of the scrip file could not be read",
            ),
            (
                ScripFiles::ShortRow,
                1,
                [1, 0, 0],
                "1 rows of the scrip file could not be read",
            ),
            (
                ScripFiles::BadByte,
                0,
                [0, 1, 0],
                "1 cells of the scrip file could not be read",
            ),
            (
                ScripFiles::ForeignCells,
                0,
                [0, 1, 0],
                "1 cells of the scrip file",
            ),
            (
                ScripFiles::Misdated,
                0,
                [0, 0, 1],
                "contradicts the contract's name, first ",
            ),
        ] {
            if segment == "nse_cm" && matches!(files, ScripFiles::UnixDates | ScripFiles::Misdated)
            {
                // Shares do not expire.
                continue;
            }
            let (found, told, notes) = counts(segment, files);
            assert_eq!(told, expected, "{segment} {files:?}");
            assert!(notes.contains(note), "{segment} {files:?}: {notes}");
            assert_eq!(found.len() + lost, whole.len(), "{segment} {files:?}");
            let mut tokens = found.iter().map(|row| &row["pSymbol"]);
            let named = tokens.all(|token| token.is_u64() || token == "n/a");
            assert!(named, "{segment} {files:?}");
            if expected == [0, 0, 0] {
                let pairs = found.iter().zip(&whole);
                for (row, one) in pairs {
                    for key in [
                        "pSymbol",
                        "pTrdSymbol",
                        "strike_price",
                        "tick_size",
                        "lot_size",
                    ] {
                        assert_eq!(row[key], one[key], "{segment} {files:?} {key}");
                    }
                    let same = row["pExpiryDate"] == one["pExpiryDate"];
                    assert!(same, "{segment} {files:?}: {row}");
                }
            }
        }
    }
}

/// A column that a search needs and the file lacks is no empty answer.
#[test]
fn a_search_by_a_column_that_lacks_fails_by_name() {
    let sandbox = sandbox();
    switch(&sandbox, ScripFiles::NoName);
    let client = client(&sandbox);
    let error = search(
        &client,
        &json!({"exchange_segment": "nse_cm", "symbol": "tcs"}),
    );
    let error = error.expect_err("the column lacks");
    assert_eq!(error.status(), Status::Protocol);
    assert!(
        error.message().contains("has no column pSymbolName"),
        "{error}"
    );
    let exact = json!({"exchange_segment": "nse_cm", "trading_symbol": "TCS-EQ"});
    assert_eq!(
        rows(&search(&client, &exact).expect("it needs another")).len(),
        1
    );
}

/// The broker's own cash file of 29 December 2025, with its 977 rows in quotes.
#[test]
fn the_real_cash_file_is_searched() {
    use flate2::read::GzDecoder;
    let sandbox = sandbox();
    let path = kotak_neo_testing::hosts::repository()
        .join("tests/fixtures/real/nse_cm-v1.2025-12-29.full.csv.gz");
    let packed = std::fs::File::open(path).expect("the fixture is there");
    let mut file = Vec::new();
    let read = GzDecoder::new(packed).read_to_end(&mut file);
    read.expect("it unpacks");
    sandbox.set_scrip_file("nse_cm", Some(file));
    let client = client(&sandbox);
    for (symbol, token) in [
        ("TCS-EQ", 11_536),
        ("m&m-eq", 2_031),
        (" FLEXITUFF-EQ", 25_512),
    ] {
        let exact = json!({"exchange_segment": "nse_cm", "trading_symbol": symbol});
        let reply = search(&client, &exact).expect("found");
        let found = rows(&reply);
        assert_eq!((found.len(), &found[0]["pSymbol"]), (1, &json!(token)));
        assert_eq!(meta(&reply, "scrip_rows"), 11_340);
        assert_eq!(meta(&reply, "bad_rows"), 0);
        let by_token = json!({"exchange_segment": "NSE", "token": found[0]["pSymbol"]});
        assert_eq!(rows(&search(&client, &by_token).expect("found")), found);
    }
    let named = json!({"exchange_segment": "nse_cm", "symbol": "flexituff"});
    let found = rows(&search(&client, &named).expect("found"));
    let message = found[0]["surveillanceMessage"].as_str().expect("a text");
    assert_eq!(message.split(',').count(), 5);
    assert_eq!(state(&client, "nse_cm")["rows"], 11_340);
}

/// What a search gives the other functions take, as it stands there.
#[test]
fn quotes_and_the_feed_take_what_a_search_gives() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    log_in_to(&sandbox, &client);
    let feed = client.feed(None).expect("it opens");
    for (segment, symbol, shown) in [
        ("nse_cm", "TCS-EQ", "TCS-EQ"),
        ("bse_cm", "TCS", "TCS"),
        ("nse_cm", "NIFTY", "Nifty 50"),
        ("nse_cm", "BANKNIFTY", "Nifty Bank"),
        ("nse_cm", "MIDCPNIFTY", "NIFTY MID SELECT"),
        ("bse_cm", "SENSEX", "SENSEX"),
    ] {
        let exact = json!({"exchange_segment": segment, "trading_symbol": symbol});
        let found = rows(&search(&client, &exact).expect("found"));
        let token = &found[0]["pSymbol"];
        assert!(token.is_u64(), "{found:?}");
        let quotes = json!({"instrument_tokens": [
            {"exchange_segment": segment, "instrument_token": token}]});
        let reply = client.quotes(&quotes.to_string());
        let reply = reply.unwrap_or_else(|error| panic!("{quotes}: {error}"));
        let quote = rows(&reply)[0].clone();
        let name = quote["display_symbol"].as_str().expect("a text");
        assert_eq!(name.trim_end_matches("-IN"), shown, "{quote}");
        let kind = if shown == symbol && symbol != "SENSEX" {
            "scrips"
        } else {
            "index"
        };
        let instrument = format!("{segment}|{token}");
        let told = feed.subscribe(kind, Some(&instrument));
        told.unwrap_or_else(|error| panic!("{kind} {instrument}: {error}"));
        if kind == "index" {
            // It has no touch line and no depth: nothing would ever come.
            for kind in ["scrips", "scrips_lite", "depth", "full_depth"] {
                let error = feed.subscribe(kind, Some(&format!("nse_cm|11536,{instrument}")));
                let error = error.expect_err("it is an index");
                assert_eq!(error.status(), Status::InvalidArgument);
                let told = format!("tokens: {instrument} is an index: only kind \"index\"");
                assert!(error.message().starts_with(&told), "{error}");
            }
            let mut depth = Default::default();
            let error = feed
                .depth(&instrument, &mut depth)
                .expect_err("it has none");
            assert_eq!(error.status(), Status::InvalidArgument, "{error}");
        }
    }
    let notes = |kind: &str, tokens: &str| {
        let reply = feed.subscribe(kind, Some(tokens)).expect("it is taken");
        crate::support::json(&reply.meta())["notes"].clone()
    };
    let told = notes("index", "nse_cm|NIFTY IT,nse_cm|Nifty 50,nse_cm|nifty auto");
    let told = told.as_array().expect("a list");
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].to_string().contains("Nifty IT"), "{told:?}");
    assert!(notes("index", "nse_cm|Nifty Auto").is_null());
    for segment in ["nse_fo", "bse_fo", "mcx_fo", "cde_fo", "nse_com"] {
        let some = json!({"exchange_segment": segment, "option_type": "FUT"});
        let found = rows(&search(&client, &some).expect("found"));
        let token = &found[0]["pSymbol"];
        let quotes = json!({"instrument_tokens": [
            {"exchange_segment": segment, "instrument_token": token}]});
        let reply = client.quotes(&quotes.to_string()).expect("a quote");
        assert_eq!(rows(&reply)[0]["display_symbol"], found[0]["pTrdSymbol"]);
        let told = feed.subscribe("scrips", Some(&format!("{segment}|{token}")));
        told.unwrap_or_else(|error| panic!("{segment}|{token}: {error}"));
    }
    // An index whose name is not known is refused by name, and nothing is sent.
    sandbox.clear_requests();
    let quotes = json!({"instrument_tokens": [
        {"exchange_segment": "nse_cm", "instrument_token": 26_017}]});
    let error = client.quotes(&quotes.to_string()).expect_err("an index");
    assert!(error.message().contains("by its name"), "{error}");
    let candles = json!({"neosymbol": "nse_cm|26017", "interval": "D",
                         "from_date": "2026-07-01", "to_date": "2026-07-01"});
    let error = client.historical_data(&candles.to_string());
    assert_eq!(status(&error), Status::InvalidArgument);
    assert!(sandbox.requests().is_empty());
}

#[test]
fn the_large_segment_is_searched_by_everything() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    let all = json!({"exchange_segment": "nse_fo", "symbol": "NIFTY", "option_type": "FUT"});
    let futures = rows(&search(&client, &all).expect("found"));
    assert!(!futures.is_empty());
    let expiry = futures[0]["pExpiryDate"]
        .as_str()
        .expect("a day")
        .to_owned();
    let calls = json!({"exchange_segment": "nse_fo", "symbol": "nifty", "option_type": "CE",
                       "expiry": expiry});
    let calls = rows(&search(&client, &calls).expect("found"));
    assert!(
        calls
            .iter()
            .all(|row| row["pExpiryDate"] == expiry && row["pOptionType"] == "CE")
    );
    assert_eq!(state(&client, "nse_fo")["rows"], 90_000);
}

/// The time of a search is that of all its parts: the list, the file, the reading.
#[test]
fn a_search_tells_the_time_of_its_download() {
    let sandbox = sandbox();
    let query = json!({"exchange_segment": "nse_cm", "trading_symbol": "IDEA-EQ"});
    let slow = |path: &str| fault(&sandbox, path, FaultKind::Slow { ms: 100 });
    let told = |meta: &str| {
        let meta = crate::support::json(meta);
        meta["elapsed_ms"].as_f64().expect("a number")
    };
    slow("/script-details/");
    slow("/wso2-scripmaster/");
    let reply = search(&client(&sandbox), &query).expect("found");
    assert!(told(&reply.meta()) >= 200.0, "{}", reply.meta());
    sandbox.set_scrip_file("nse_cm", Some(Vec::new()));
    let error = search(&client(&sandbox), &query).expect_err("the file is empty");
    assert!(told(&error.meta()) >= 200.0, "{}", error.meta());
}

/// A row of a scrip file, as far as searches look at it.
struct Listed {
    symbol: String,
    /// In lower case.
    name: String,
    option: String,
    /// In 1/100 rupee.
    strike: i64,
    /// Days since 1970.
    expiry: i64,
}

/// What the sandbox has under a path.
fn get(sandbox: &Sandbox, path: &str) -> String {
    let address = sandbox.url().trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).expect("the sandbox listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it is a text");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    body.to_owned()
}

/// The rows of the file of futures and options, as the sandbox gives it.
fn listed(sandbox: &Sandbox, client: &Client) -> Vec<Listed> {
    let reply = client.scrip_master(Some("nse_fo")).expect("a file");
    let url = crate::support::json(reply.json())["url"].clone();
    let url = url::Url::parse(url.as_str().expect("a text")).expect("a URL");
    let csv = get(sandbox, url.path());
    let mut lines = csv.lines();
    let head: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let place = |name: &str| head.iter().position(|one| *one == name).expect(name);
    let (symbol, name) = (place("pTrdSymbol"), place("pSymbolName"));
    let (option, strike) = (place("pOptionType"), place("dStrikePrice;"));
    let expiry = place("pExpiryDate");
    lines
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let seconds: i64 = cells[expiry].parse().expect("seconds since 1980");
            Listed {
                symbol: cells[symbol].to_owned(),
                name: cells[name].to_lowercase(),
                option: cells[option].to_owned(),
                strike: cells[strike].parse::<f64>().expect("a strike").round() as i64,
                expiry: (seconds + 315_532_800).div_euclid(86_400),
            }
        })
        .collect()
}

/// Year, month from 0, and date of a day since 1970.
fn calendar(mut day: i64) -> (i64, usize, i64) {
    let mut year = 1970;
    loop {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let february = if leap { 29 } else { 28 };
        let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        for (month, days) in months.into_iter().enumerate() {
            if day < days {
                return (year, month, day + 1);
            }
            day -= days;
        }
        year += 1;
    }
}

/// A day in one of the forms that a search takes.
fn spelled(dice: &mut Dice, day: i64) -> String {
    const MONTHS: [&str; 12] = [
        "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
    ];
    let (year, month, date) = calendar(day);
    let name = MONTHS[month];
    match dice.roll(4) {
        0 => format!("{year}{:02}{date:02}", month + 1),
        1 => format!("{date} {} {year}", name.to_lowercase()),
        _ => format!("{date:02}{name}{year}"),
    }
}

/// 1/100 rupee as rupees.
fn rupees(strike: i64) -> String {
    match strike % 100 {
        0 => (strike / 100).to_string(),
        part => format!("{}.{part:02}", strike / 100),
    }
}

/// Random searches in the 90,000 rows find what a plain filter finds, in the
/// order of strike and file.
#[test]
fn a_search_in_the_large_segment_is_a_plain_filter() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    let all = listed(&sandbox, &client);
    assert_eq!(all.len(), 90_000);
    let (mut searched, mut found_some) = (0, 0);
    for seed in 0..600 {
        let mut dice = Dice::new(seed);
        let one = dice.pick(&all);
        let other = dice.pick(&all);
        let mut params = json!({"exchange_segment": *dice.pick(&["nse_fo", "NFO", "nfo"])});
        let mut part = String::new();
        if dice.roll(4) > 0 {
            let letters: Vec<char> = one.name.chars().collect();
            let from = dice.roll(letters.len() as u64) as usize;
            let to = from + 1 + dice.roll((letters.len() - from) as u64) as usize;
            part = letters[from..to].iter().collect();
            let given = if dice.roll(2) == 0 {
                part.to_uppercase()
            } else {
                part.clone()
            };
            params["symbol"] = given.into();
        }
        let mut days = (i64::MIN, i64::MAX);
        match dice.roll(3) {
            0 => {}
            1 => {
                days = (one.expiry, one.expiry);
                params["expiry"] = spelled(&mut dice, one.expiry).into();
            }
            _ => {
                days = (
                    one.expiry.min(other.expiry) - 1,
                    one.expiry.max(other.expiry),
                );
                let (from, to) = (spelled(&mut dice, days.0), spelled(&mut dice, days.1));
                params["expiry"] = format!("{from}-{to}").into();
            }
        }
        let kinds: &[&str] = match dice.roll(6) {
            0 => &["CE"],
            1 => &["PE"],
            2 => &["CE", "PE"],
            3 => &["XX"],
            4 => &["CE", "XX"],
            _ => &[],
        };
        if !kinds.is_empty() {
            let text = kinds.join(*dice.pick(&[",", ", "]));
            let text = if dice.roll(2) == 0 {
                text.replace("XX", "FUT")
            } else {
                text
            };
            params["option_type"] = if dice.roll(2) == 0 {
                text.to_lowercase()
            } else {
                text
            }
            .into();
        }
        let (low, high) = (
            one.strike.min(other.strike).max(1),
            one.strike.max(other.strike).max(1),
        );
        let exact = one.strike.max(1);
        let mut strikes = (i64::MIN, i64::MAX);
        match dice.roll(7) {
            0 => {
                strikes = (exact, exact);
                params["strike_price"] = rupees(exact).into();
            }
            1 => {
                strikes = (exact, exact);
                params["strike_price"] = serde_json::from_str(&rupees(exact)).expect("a number");
            }
            2 => {
                strikes.0 = exact;
                params["strike_price"] =
                    format!("{}{}", dice.pick(&[">", ">="]), rupees(exact)).into();
            }
            3 => {
                strikes.1 = exact;
                params["strike_price"] =
                    format!("{}{}", dice.pick(&["<", "<="]), rupees(exact)).into();
            }
            4 => {
                strikes = (low, high);
                let between = dice.pick(&["-", " - "]);
                params["strike_price"] = format!("{}{between}{}", rupees(low), rupees(high)).into();
            }
            _ => {}
        }
        let mut plain: Vec<&Listed> = all
            .iter()
            .filter(|row| {
                row.name.contains(&part)
                    && (days.0..=days.1).contains(&row.expiry)
                    && (kinds.is_empty() || kinds.contains(&row.option.as_str()))
                    && (strikes.0..=strikes.1).contains(&row.strike)
            })
            .collect();
        if plain.len() > 400 {
            // It would take long to compare.
            continue;
        }
        plain.sort_by_key(|row| row.strike);
        let reply = search(&client, &params);
        let reply = reply.unwrap_or_else(|error| panic!("seed {seed}: {params}: {error}"));
        let found = rows(&reply);
        let found: Vec<_> = found.iter().map(|row| row["pTrdSymbol"].as_str()).collect();
        let plain: Vec<_> = plain.iter().map(|row| Some(row.symbol.as_str())).collect();
        assert_eq!(found, plain, "seed {seed}: {params}");
        searched += 1;
        found_some += usize::from(!plain.is_empty());
    }
    assert!(
        searched > 200 && found_some > 150,
        "{searched} searched, {found_some} found some"
    );
}

#[test]
fn a_second_client_reads_the_cache() {
    let sandbox = sandbox();
    let cache = Cache::new();
    let query = json!({"exchange_segment": "nse_cm", "symbol": "idea"});
    let first = rows(&search(&cache.client(&sandbox), &query).expect("downloaded"));
    assert_eq!(cache.files().len(), 1);
    sandbox.clear_requests();
    let second = cache.client(&sandbox);
    assert_eq!(rows(&search(&second, &query).expect("cached")), first);
    assert!(sandbox.requests().is_empty());
    assert_eq!(state(&second, "nse_cm")["from_cache"], true);
    // A damaged file is fetched anew.
    let file = &cache.files()[0];
    let mut bytes = std::fs::read(file).expect("it is there");
    bytes[100] ^= 1;
    std::fs::write(file, &bytes).expect("damaged");
    let third = cache.client(&sandbox);
    assert_eq!(rows(&search(&third, &query).expect("downloaded")), first);
    assert_eq!(sandbox.requests().len(), 2);
}

#[test]
fn a_bad_file_never_replaces_a_good_one() {
    let sandbox = sandbox();
    let query = json!({"exchange_segment": "nse_cm", "symbol": "idea"});
    for (files, why) in [
        (ScripFiles::Empty, "is empty"),
        (ScripFiles::Cut, "was cut off"),
        (ScripFiles::Html, "is a page of HTML"),
    ] {
        // Nothing to fall back on.
        switch(&sandbox, files);
        let error = search(&client(&sandbox), &query).expect_err(why);
        assert_eq!(error.status(), Status::Protocol);
        assert!(error.message().contains(why), "{error}");
        // Yesterday's file in the cache.
        let cache = Cache::new();
        switch(&sandbox, ScripFiles::Whole);
        let good = rows(&search(&cache.client(&sandbox), &query).expect("downloaded"));
        let old = cache.make_older();
        switch(&sandbox, files);
        let client = cache.client(&sandbox);
        let reply = search(&client, &query).expect("yesterday's file serves");
        assert_eq!(rows(&reply), good);
        assert_eq!(meta(&reply, "stale"), true);
        assert!(
            meta(&reply, "notes").to_string().contains(why),
            "{}",
            reply.meta()
        );
        let shown = state(&client, "nse_cm");
        assert_eq!(
            (&shown["state"], &shown["stale"]),
            (&json!("failed"), &json!(true))
        );
        assert!(shown["error"].to_string().contains(why), "{shown}");
        assert!(old.exists(), "it is still there");
        // It is not asked for again at once.
        sandbox.clear_requests();
        assert_eq!(rows(&search(&client, &query).expect("still")), good);
        assert!(sandbox.requests().is_empty());
        switch(&sandbox, ScripFiles::Whole);
    }
}

/// Early in a day the broker's list still has the file of the day before. It serves, and
/// is not told as that of today.
#[test]
fn an_older_file_of_the_brokers_is_told_as_older() {
    let sandbox = sandbox();
    let query = json!({"exchange_segment": "nse_com", "symbol": "GOLD"});
    let good = search(&client(&sandbox), &query).expect("a file of today");
    assert_eq!(meta(&good, "stale"), false);
    let file = sandbox
        .requests()
        .last()
        .expect("it was fetched")
        .path
        .clone();
    let csv = get(&sandbox, &file);
    let list = |day: &str| {
        sandbox.clear_faults();
        let url = format!("{}/old/prod/{day}/transformed/nse_com.csv", sandbox.url());
        let body = json!({"data": {"baseFolder": "x", "filesPaths": [url]}}).to_string();
        fault(
            &sandbox,
            "/script-details/",
            answer(200, "application/json", &body),
        );
        fault(&sandbox, "/old/", answer(200, "text/csv", &csv));
        sandbox.clear_requests();
    };
    let asked = || {
        let paths = paths(&sandbox);
        let files = paths
            .iter()
            .filter(|path| path.starts_with("/old/"))
            .count();
        (paths.len() - files, files)
    };
    let cache = Cache::new();
    let client = cache.client(&sandbox);
    list("2026-01-05");
    for round in ["fetched", "at hand"] {
        let found = search(&client, &query).expect("an older file serves");
        assert_eq!(found.json(), good.json(), "{round}");
        assert_eq!(meta(&found, "scrip_day"), "2026-01-05", "{round}");
        assert_eq!(meta(&found, "stale"), true, "{round}");
        let notes = meta(&found, "notes").to_string();
        assert!(notes.contains("still has that of 2026-01-05"), "{notes}");
        let shown = state(&client, "nse_com");
        let told = (&shown["state"], &shown["day"], &shown["stale"]);
        assert_eq!(told, (&json!("ready"), &json!("2026-01-05"), &json!(true)));
        assert_eq!(asked(), (1, 1), "{round}");
    }
    // Another client looks at the list, and has that file.
    let other = cache.client(&sandbox);
    sandbox.clear_requests();
    let found = search(&other, &query).expect("an older file serves");
    assert_eq!(
        (meta(&found, "stale"), found.json()),
        (json!(true), good.json())
    );
    assert_eq!(asked(), (1, 0));
    // A URL without a day, and one of a day to come, are of today.
    for day in ["latest", "9999-12-31"] {
        list(day);
        let client = client_with(&sandbox, &json!({}));
        let found = search(&client, &query).expect("a file");
        assert_eq!(meta(&found, "stale"), false, "{day}");
        assert_eq!(asked(), (1, 1), "{day}");
    }
    // The next day has one of its own, and the old one goes.
    let other = cache.client(&sandbox);
    sandbox.clear_faults();
    let found = search(&other, &query).expect("a file of today");
    assert_eq!(meta(&found, "stale"), false);
    assert_eq!(cache.files().len(), 1);
}

/// A download that its caller gives up has not failed: who waits for it
/// downloads, and is not served yesterday's file.
#[test]
fn a_cancelled_search_leaves_the_next_one_its_download() {
    let sandbox = sandbox();
    let cache = Cache::new();
    search(
        &cache.client(&sandbox),
        &json!({"exchange_segment": "nse_cm"}),
    )
    .expect("downloaded");
    cache.make_older();
    let client = cache.client(&sandbox);
    sandbox.clear_requests();
    fault(&sandbox, "", FaultKind::Hang);
    std::thread::scope(|scope| {
        let named = json!({"exchange_segment": "nse_cm", "call_id": "first"});
        let client = &client;
        let first = scope.spawn(move || search(client, &named));
        assert_eq!(
            sandbox.wait_for_requests(1, Duration::from_secs(60)).len(),
            1
        );
        let query = json!({"exchange_segment": "nse_cm"});
        let second = scope.spawn(move || search(client, &query));
        sandbox.clear_faults();
        client.cancel("first").expect("the client is open");
        let given_up = first.join().expect("no panic");
        assert_eq!(status(&given_up), Status::Closed);
        let found = second.join().expect("no panic").expect("it downloads");
        assert_eq!(meta(&found, "stale"), false);
    });
}

#[test]
fn a_file_that_ends_too_early_is_none() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    let path = file_path(&client);
    let query = json!({"exchange_segment": "nse_cm"});
    for (kind, expected) in [
        (FaultKind::WrongContentLength, Status::Network),
        (FaultKind::ResetAfter, Status::Network),
        (answer(503, "text/html", ""), Status::Unavailable),
        (answer(403, "text/html", ""), Status::Rejected),
    ] {
        sandbox.clear_faults();
        fault(&sandbox, &path, kind);
        assert_eq!(status(&search(&client, &query)), expected);
    }
    sandbox.clear_faults();
    fault(&sandbox, &path, FaultKind::Hang);
    let short = json!({"exchange_segment": "nse_cm", "timeout_ms": 200});
    assert_eq!(status(&search(&client, &short)), Status::Timeout);
    sandbox.clear_faults();
    assert!(search(&client, &query).is_ok());
}

#[test]
fn redirects_stay_with_the_broker() {
    let sandbox = sandbox();
    let other = crate::support::sandbox();
    let client = client(&sandbox);
    let path = file_path(&client);
    fault(
        &sandbox,
        &path,
        FaultKind::Redirect(format!("{}/elsewhere", other.url())),
    );
    let error = search(&client, &json!({"exchange_segment": "nse_cm"})).expect_err("foreign");
    assert_eq!(error.status(), Status::Protocol, "{error}");
    assert_eq!(other.connections(), 0);
    // Within the broker it is followed, but not in a circle.
    sandbox.clear_faults();
    fault(&sandbox, &path, FaultKind::Redirect(path.clone()));
    let error = search(&client, &json!({"exchange_segment": "nse_cm"})).expect_err("a circle");
    assert!(error.message().contains("redirected too often"), "{error}");
    sandbox.clear_faults();
    sandbox.set_fault(kotak_neo_sandbox::Fault {
        path: path.clone(),
        times: Some(1),
        kind: FaultKind::Redirect(path),
    });
    assert!(search(&client, &json!({"exchange_segment": "nse_cm"})).is_ok());
}

#[test]
fn searches_at_once_share_one_download() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    let query = json!({"exchange_segment": "nse_cm", "symbol": "idea"});
    let found: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| rows(&search(&client, &query).expect("found"))))
            .collect();
        let joined = workers.into_iter().map(|worker| worker.join());
        joined.map(|rows| rows.expect("no panic")).collect()
    });
    assert!(found.iter().all(|rows| *rows == found[0]));
    assert_eq!(sandbox.requests().len(), 2);
}

#[test]
fn progress_can_be_polled_and_orders_do_not_wait() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    log_in_to(&sandbox, &client);
    let path = file_path(&client);
    fault(&sandbox, &path, FaultKind::Trickle { ms: 1 });
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| search(&client, &json!({"exchange_segment": "nse_cm"})));
        let patience = Instant::now() + Duration::from_secs(30);
        loop {
            let shown = crate::support::json(client.scrip_status().expect("local").json());
            let segment = &shown["segments"][0];
            if segment["state"] == "downloading" && segment["bytes"].as_u64() > Some(3) {
                assert!(
                    segment["total_bytes"].as_u64() > segment["bytes"].as_u64(),
                    "{segment}"
                );
                break;
            }
            assert!(Instant::now() < patience, "{shown}");
            std::thread::sleep(Duration::from_millis(1));
        }
        place(&client, &order()).expect("an order does not wait for a download");
        client.interrupt();
        assert_eq!(status(&slow.join().expect("no panic")), Status::Closed);
    });
    sandbox.clear_faults();
    assert!(search(&client, &json!({"exchange_segment": "nse_cm"})).is_ok());
}
