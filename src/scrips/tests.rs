//! Tables and searches.

use kotak_neo_testing::dice::Dice;
use kotak_neo_testing::folder::Folder;
use serde_json::{Value, json};

use super::*;
use crate::base::calendar::date_text;
use crate::base::json::Fields;

const HEAD: &str = "pSymbol,pTrdSymbol,pSymbolName,pOptionType,dStrikePrice;,pExpiryDate,dTickSize ,CASEligible,pISIN\n";

fn table(segment: &str, rows: &str) -> Result<Table, Broken> {
    Table::read(segment, format!("{HEAD}{rows}").into_bytes())
}

fn search(table: &Table, segment: &str, params: Value) -> Value {
    let mut params = params;
    params["exchange_segment"] = json!(segment);
    let mut fields = Fields::parse("params", &params.to_string()).expect("an object");
    let query = Query::read(&mut fields).expect("a good query");
    let found = table.json(&query.rows(table)).expect("not too many");
    serde_json::from_str(&found).expect("it is JSON")
}

const ROWS: &str = "1,NIFTY24JUN22500PE,NIFTY,PE,2.25e+06,1403222400,5,false,\n\
                    2,NIFTY24JUN22000CE, NIFTY ,CE,2.2e+06,1403222400,5,true,\n\
                    3,NIFTY24JUNFUT,NIFTY,XX,-1,1403222400,5,true,\n\
                    4,NIFTY(X),NIFTY(X),XX,,1474554600,5.5,true,\n\
                    5,M&M24JUN,M&M,XX,0,1474554600,,true,\n";

fn symbols(found: &Value) -> Vec<&str> {
    let rows = found.as_array().expect("a list");
    let symbol = |row: &Value| row["pTrdSymbol"].as_str().is_some();
    assert!(rows.iter().all(symbol));
    rows.iter()
        .filter_map(|row| row["pTrdSymbol"].as_str())
        .collect()
}

#[test]
fn rows_have_the_types_of_their_columns() {
    let table = table("nse_fo", ROWS).expect("a good file");
    let found = search(&table, "nse_fo", json!({"token": "2"}));
    assert_eq!(
        found,
        json!([{"pSymbol": 2, "pTrdSymbol": "NIFTY24JUN22000CE", "pSymbolName": " NIFTY ",
                "pOptionType": "CE", "dStrikePrice;": 2_200_000.0, "pExpiryDate": "19Jun2024",
                "dTickSize": 5.0, "CASEligible": true, "pISIN": null}])
    );
    let text = table.json(&table.with_symbol("NIFTY(X)"));
    let text = text.expect("one row");
    assert!(
        text.contains(r#""dStrikePrice;":null,"pExpiryDate":"22Sep2026","dTickSize":5.5"#),
        "{text}"
    );
}

#[test]
fn searches_by_every_argument() {
    let table = table("nse_fo", ROWS).expect("a good file");
    let find = |params: Value| {
        let found = search(&table, "nse_fo", params);
        symbols(&found)
            .iter()
            .map(|text| text.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        find(json!({"symbol": "nifty"})),
        [
            "NIFTY24JUNFUT",
            "NIFTY24JUN22000CE",
            "NIFTY24JUN22500PE",
            "NIFTY(X)"
        ]
    );
    assert_eq!(find(json!({"symbol": "NIFTY("})), ["NIFTY(X)"]);
    assert_eq!(find(json!({"symbol": "m&m"})), ["M&M24JUN"]);
    assert_eq!(find(json!({"symbol": "."})), [""; 0]);
    assert_eq!(find(json!({})).len(), 5);
    assert_eq!(find(json!({"option_type": "CE, pe"})).len(), 2);
    assert_eq!(find(json!({"option_type": "FUT"})).len(), 3);
    assert_eq!(find(json!({"expiry": "19JUN2024"})).len(), 3);
    assert_eq!(find(json!({"expiry": "20JUN2024-30SEP2026"})).len(), 2);
    assert_eq!(find(json!({"strike_price": 22000})), ["NIFTY24JUN22000CE"]);
    assert_eq!(
        find(json!({"strike_price": ">22000.5"})),
        ["NIFTY24JUN22500PE"]
    );
    assert_eq!(
        find(json!({"strike_price": "22000-22500", "symbol": "nifty"})).len(),
        2
    );
    assert_eq!(find(json!({"token": 4})), ["NIFTY(X)"]);
    assert_eq!(find(json!({"token": "44"})), [""; 0]);
    assert_eq!(find(json!({"trading_symbol": "M&M24JUN"})), ["M&M24JUN"]);
    assert_eq!(find(json!({"trading_symbol": "m&m24jun"})), [""; 0]);
}

#[test]
fn dates_follow_the_calendar_of_their_exchange() {
    let day = |segment: &str, seconds: &str| {
        let rows = format!("1,A,A,XX,1,{seconds},5,true,\n");
        let table = table(segment, &rows).expect("a good file");
        search(&table, segment, json!({}))[0]["pExpiryDate"].clone()
    };
    // Midnight in India: the SDK prints the day before.
    assert_eq!(day("nse_fo", "1403222400"), "19Jun2024");
    assert_eq!(day("nse_fo", "1474554600"), "22Sep2026");
    assert_eq!(day("mcx_fo", "1790380799"), "25Sep2026");
    assert_eq!(day("bse_fo", "1790380799"), "25Sep2026");
    assert_eq!(day("nse_cm", "1403222400"), 1_403_222_400);
}

#[test]
fn an_expiry_that_is_no_time_is_none() {
    for odd in [
        "",
        "inf",
        "-inf",
        "nan",
        "1e300",
        "-1e300",
        "9223372036854775807",
        "x",
    ] {
        let table = table("nse_fo", &format!("1,A,A,XX,1,{odd},5,true,\n")).expect("a good file");
        assert_eq!(table.expiry(0), None, "{odd}");
        let found = search(&table, "nse_fo", json!({"expiry": "19JUN2024"}));
        assert_eq!(found, json!([]), "{odd}");
    }
}

#[test]
fn no_file_makes_a_list_that_fills_the_memory() {
    let name = "n".repeat(60_000);
    let csv = format!("pSymbol,pTrdSymbol,{name}\n{}", "1,A,\n".repeat(20_000));
    let table = Table::read("nse_fo", csv.into_bytes()).expect("a good file");
    let all: Vec<u32> = (0..20_000).collect();
    assert!(table.json(&all).is_none());
    assert!(table.json(&all[..2]).is_some());
    let rows = "1,A\n".repeat(1_000_001);
    let csv = format!("pSymbol,pTrdSymbol\n{rows}");
    let told = Table::read("nse_fo", csv.into_bytes()).map(drop);
    assert_eq!(told.expect_err("broken").0, "has too many rows");
    let csv = format!("pSymbol,pTrdSymbol{}\n1,A\n", ",".repeat(300));
    let told = Table::read("nse_fo", csv.into_bytes()).map(drop);
    assert_eq!(told.expect_err("broken").0, "has too many columns");
}

#[test]
fn what_is_no_file_is_told() {
    let told = |bytes: &[u8]| {
        Table::read("nse_fo", bytes.to_vec())
            .map(drop)
            .expect_err("broken")
            .0
    };
    assert_eq!(told(b""), "is empty");
    assert_eq!(told(b" \n"), "is empty");
    assert_eq!(told(b"<html></html>\n"), "is a page of HTML and no CSV");
    assert_eq!(told(HEAD.as_bytes()), "has a header and no scrip");
    assert_eq!(
        told(b"a,b\n1,2\n"),
        "has no header with pSymbol and pTrdSymbol"
    );
    assert!(told(format!("{HEAD}{}", &ROWS[..100]).as_bytes()).starts_with("was cut off"));
    assert_eq!(told(b"pSymbol,pTrdSymbol\n\xff,1\n"), "is no text");
    let bad = format!("{HEAD}{ROWS}1,2,3\n");
    assert!(told(bad.as_bytes()).starts_with("has 1 malformed rows"));
    let many = format!("{HEAD}{}1,2,3\n", ROWS.repeat(100));
    let table = Table::read("nse_fo", many.into_bytes()).expect("one bad row in 500");
    assert_eq!((table.len(), table.bad_rows), (500, 1));
}

/// No bytes of a server make it take memory without end, or panic.
#[test]
fn no_file_is_too_odd() {
    let told = |text: String| {
        let read = Table::read("nse_fo", text.into_bytes());
        read.map(drop).expect_err("broken").0
    };
    let commas = ",".repeat(4 << 20);
    assert_eq!(
        told(format!("pSymbol,pTrdSymbol{commas}\n1,A{commas}\n")),
        "has a header that is too long"
    );
    let columns = ",x".repeat(300);
    assert_eq!(
        told(format!("pSymbol,pTrdSymbol{columns}\n1,A\n")),
        "has too many columns"
    );
    assert!(told(format!("{HEAD}{ROWS}{commas}\n")).starts_with("has 1 malformed rows"));
    let rows = "1,A\n".repeat(1_000_001);
    assert_eq!(
        told(format!("pSymbol,pTrdSymbol\n{rows}")),
        "has too many rows"
    );
    for odd in [
        "9e99",
        "-9e99",
        "1e400",
        "nan",
        "inf",
        "9223372036854775807",
        "\0",
        "é",
        "--",
    ] {
        let rows = format!("1,A,A,CE,{odd},{odd},{odd},{odd},{odd}\n").repeat(2);
        let table = table("nse_fo", &rows).expect("a file");
        let found = search(&table, "nse_fo", json!({"symbol": "a"}));
        assert_eq!(found.as_array().map(Vec::len), Some(2), "{odd}");
        let dated = search(&table, "nse_fo", json!({"expiry": "01JAN1970-31DEC2999"}));
        assert_eq!(dated, json!([]), "{odd}");
    }
}

/// Searches find what a plain filter over the rows finds.
#[test]
fn a_search_is_a_plain_filter() {
    const NAMES: &[&str] = &["NIFTY", "BANKNIFTY", "M&M", "TCS", "A.B", "NIFTY("];
    const OPTIONS: &[&str] = &["CE", "PE", "XX"];
    let mut dice = Dice::new(7);
    for _ in 0..40 {
        let mut rows = Vec::new();
        for number in 0..dice.roll(200) + 1 {
            let name = *dice.pick(NAMES);
            let option = *dice.pick(OPTIONS);
            let strike = (dice.roll(20) + 1) * 5_000;
            let day = 20_000 + dice.roll(5);
            rows.push((number, name, option, strike, day));
        }
        let text: String = rows
            .iter()
            .map(|(number, name, option, strike, day)| {
                // In paise, and in seconds since 1980 of the same wall clock.
                let seconds = day * 86_400 - 315_532_800 + 3_600;
                format!(
                    "{number},T{number},{name},{option},{},{seconds},5,true,\n",
                    strike * 100
                )
            })
            .collect();
        let table = table("nse_fo", &text).expect("a good file");
        for _ in 0..20 {
            let part = *dice.pick(&["", "nifty", "NIFTY(", "a.b", "m&m", "cs", "zzz"]);
            let option = *dice.pick(&["", "CE", "pe,FUT", "XX", "ce,pe"]);
            let (low, high) = (dice.roll(10) * 5_000, 50_000 + dice.roll(10) * 5_000);
            let (from, to) = (20_000 + dice.roll(3), 20_002 + dice.roll(3));
            let span = format!(
                "{}-{}",
                date_text(from as i32).expect("a date"),
                date_text(to as i32).expect("a date")
            );
            let found = search(
                &table,
                "nse_fo",
                json!({"symbol": part, "option_type": option, "expiry": span,
                       "strike_price": format!("{low}-{high}")}),
            );
            let mut plain: Vec<_> = rows
                .iter()
                .filter(|(_, name, kind, strike, day)| {
                    let kind = if *kind == "XX" { "FUT XX" } else { kind };
                    name.to_lowercase().contains(&part.to_lowercase())
                        && (option.is_empty()
                            || option
                                .split(',')
                                .any(|one| kind.split(' ').any(|k| k.eq_ignore_ascii_case(one))))
                        && (low..=high).contains(strike)
                        && (from..=to).contains(day)
                })
                .collect();
            plain.sort_by_key(|row| (row.3, row.0));
            let plain: Vec<_> = plain.iter().map(|row| format!("T{}", row.0)).collect();
            assert_eq!(
                symbols(&found),
                plain,
                "{part} {option} {span} {low}-{high}"
            );
        }
    }
}

#[test]
fn the_store_keeps_whole_files_only() {
    let folder = Folder::new("scrips");
    let store = Store::new(folder.dir(), "prod", "127.0.0.1_9");
    let csv = format!("{HEAD}{ROWS}").into_bytes();
    assert!(store.of_day("nse_fo", 5).is_none());
    store.keep("nse_fo", 5, &csv).expect("written");
    store.keep("nse_cm", 5, b"other").expect("written");
    assert_eq!(store.of_day("nse_fo", 5).expect("it is there").csv, csv);
    assert!(
        Store::new(folder.dir(), "uat", "127.0.0.1_9")
            .of_day("nse_fo", 5)
            .is_none()
    );
    assert_eq!(store.newest_before("nse_fo", 9).expect("an old one").day, 5);
    let path = folder.path("prod-127_0_0_1_9-nse_fo-5.scrips");
    let good = std::fs::read(&path).expect("it is there");
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&path, &bad).expect("damaged");
        assert!(store.of_day("nse_fo", 5).is_none(), "byte {at}");
        std::fs::write(&path, &good[..at]).expect("cut");
        assert!(store.of_day("nse_fo", 5).is_none(), "cut at {at}");
    }
    // A new day replaces the old one, of this segment only.
    store.keep("nse_fo", 6, &csv).expect("written");
    assert!(store.of_day("nse_fo", 5).is_none() && !path.exists());
    assert!(store.of_day("nse_cm", 5).is_some());
}

/// Clients of one process share the cache like those of several do.
#[test]
fn a_file_is_whole_whoever_writes_it() {
    let folder = Folder::new("scrips-many");
    let store = Store::new(folder.dir(), "prod", "127.0.0.1_9");
    let csv = format!("{HEAD}{}", ROWS.repeat(2000)).into_bytes();
    store.keep("nse_fo", 5, &csv).expect("written");
    // What a process left that was killed while it wrote.
    let left = folder.path("prod-127_0_0_1_9-nse_fo-4.1.1.new");
    std::fs::write(&left, "half").expect("a file");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    store.keep("nse_fo", 5, &csv).expect("written");
                    assert!(
                        store
                            .of_day("nse_fo", 5)
                            .is_some_and(|kept| kept.csv == csv)
                    );
                }
            });
        }
    });
    let names = std::fs::read_dir(folder.dir()).expect("it is there");
    let names: Vec<_> = names
        .map(|name| name.expect("a file").file_name())
        .collect();
    assert_eq!(names, ["prod-127_0_0_1_9-nse_fo-5.scrips"]);
}

/// A link that somebody put in the way is not written through.
#[cfg(unix)]
#[test]
fn no_link_is_written_through() {
    let folder = Folder::new("scrips-link");
    let store = Store::new(folder.dir(), "prod", "127.0.0.1_9");
    store.keep("nse_fo", 5, b"first").expect("written");
    let other = folder.path("other");
    std::fs::write(&other, "precious").expect("a file");
    let path = folder.path("prod-127_0_0_1_9-nse_fo-5.scrips");
    std::fs::remove_file(&path).expect("it is there");
    std::os::unix::fs::symlink(&other, &path).expect("a link");
    store.keep("nse_fo", 5, b"second").expect("written");
    assert_eq!(std::fs::read(&other).expect("it is there"), b"precious");
    assert_eq!(
        store.of_day("nse_fo", 5).expect("it is there").csv,
        b"second"
    );
}
