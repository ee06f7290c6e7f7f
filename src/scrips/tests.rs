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
    let rows = query.rows(table).expect("the columns are there");
    let found = table.json(&rows).expect("not too many");
    serde_json::from_str(&found).expect("it is JSON")
}

/// The members that stand beside the file's.
fn meaning(row: &Value) -> [&Value; 5] {
    [
        &row["strike_price"],
        &row["tick_size"],
        &row["lot_size"],
        &row["contract_size"],
        &row["freeze_quantity"],
    ]
}

const ROWS: &str = "1,NIFTY24JUN22500PE,NIFTY,PE,2.25e+06,1403222400,5,false,\n\
                    2,NIFTY24JUN22000CE, NIFTY ,CE,2.2e+06,1403222400,5,true,\n\
                    3,NIFTY24JUNFUT,NIFTY,XX,-1,1403222400,5,true,\n\
                    4,NIFTY(X),NIFTY(X),XX,,1474554600,5.5,true,\n\
                    5,M&M26SEP,M&M,XX,0,1474554600,,true,\n";

fn symbols(found: &Value) -> Vec<&str> {
    let rows = found.as_array().expect("a list");
    let symbol = |row: &Value| row["pTrdSymbol"].as_str().is_some();
    assert!(rows.iter().all(symbol));
    rows.iter()
        .filter_map(|row| row["pTrdSymbol"].as_str())
        .collect()
}

#[test]
fn rows_have_the_types_of_their_cells() {
    let table = table("nse_fo", ROWS).expect("a good file");
    let found = search(&table, "nse_fo", json!({"token": "2"}));
    assert_eq!(
        found,
        json!([{"pSymbol": 2, "pTrdSymbol": "NIFTY24JUN22000CE", "pSymbolName": " NIFTY ",
                "pOptionType": "CE", "dStrikePrice;": 2_200_000.0, "pExpiryDate": "19Jun2024",
                "dTickSize": 5, "CASEligible": true, "pISIN": null,
                "strike_price": 22000, "tick_size": 0.05, "lot_size": null,
                "contract_size": null, "freeze_quantity": null}])
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
    assert_eq!(find(json!({"symbol": "m&m"})), ["M&M26SEP"]);
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
    assert_eq!(find(json!({"trading_symbol": "M&M26SEP"})), ["M&M26SEP"]);
    for spelled in ["m&m26sep", " M&M26SEP ", "M&M 26 Sep", "\tm&M26sEP"] {
        assert_eq!(find(json!({"trading_symbol": spelled})), ["M&M26SEP"]);
    }
    assert_eq!(find(json!({"trading_symbol": "M&M26"})), [""; 0]);
    assert_eq!(find(json!({"trading_symbol": ""})), [""; 0]);
    assert_eq!(find(json!({"token": " 4 "})), ["NIFTY(X)"]);
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
    assert_eq!(day("nse_com", "1474554600"), "22Sep2026");
    assert_eq!(day("cde_fo", "1474554600"), "22Sep2026");
    // 23:59:59 in India, which is 18:29:59 UTC.
    assert_eq!(day("bse_fo", "1790360999"), "25Sep2026");
    assert_eq!(day("bse_fo", "1790361000"), "26Sep2026");
    for none in ["0", "-1"] {
        assert_eq!(day("nse_fo", none), none.parse::<i64>().expect("a number"));
    }
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
    let bad = format!("{HEAD}1,2,3\n1,A,A,XX,1,1,5,true,\n4,5,6\n");
    assert_eq!(
        told(bad.as_bytes()),
        "has 2 malformed rows beside 1 good ones"
    );
}

/// What cannot be read is counted, and costs no more than itself.
#[test]
fn a_bad_row_costs_itself() {
    let good = table("nse_fo", ROWS).expect("a good file");
    let all = search(&good, "nse_fo", json!({}));
    for bad in [
        "1,2,3\n",
        "1,2,3,4,5,6,7,8,9,10\n",
        ",,,,,,,,\n",
        " , ,NIFTY,CE,1,1,5,true,\n",
        "9,\"NIFTY24JUN,NIFTY,CE,1,1403222400,5,true,\n",
        "9,NIFTY24JUN,NIFTY,CE,1,1403222400,5,true,\"\n",
        "9,\"NIFTY\"24JUN,NIFTY,CE,1,1403222400,5,true,\n",
    ] {
        let table = table("nse_fo", &format!("{bad}{ROWS}")).expect(bad);
        assert_eq!((table.len(), table.faults().rows), (5, 1), "{bad}");
        assert_eq!(search(&table, "nse_fo", json!({})), all, "{bad}");
    }
    for blank in ["\n", "  \n", "\r\n"] {
        let table = table("nse_fo", &format!("{blank}{ROWS}")).expect(blank);
        assert_eq!((table.len(), table.faults().rows), (5, 0), "{blank:?}");
    }
}

#[test]
fn a_bad_cell_costs_itself() {
    let read = |rows: Vec<u8>| {
        let file = [HEAD.as_bytes(), &rows, ROWS.as_bytes()].concat();
        Table::read("nse_fo", file).expect("a good file")
    };
    // One byte that belongs to no text.
    let table = read(b"9,NIFTY\xff,NIFTY,CE,1000,1403222400,5,true,IN\n".to_vec());
    assert_eq!((table.faults().rows, table.faults().cells), (0, 1));
    let found = search(&table, "nse_fo", json!({"token": 9}));
    assert_eq!(
        (&found[0]["pTrdSymbol"], &found[0]["pISIN"]),
        (&Value::Null, &json!("IN"))
    );
    assert_eq!(
        search(&table, "nse_fo", json!({})).as_array().map(Vec::len),
        Some(6)
    );
    // Foreign cells change nothing but themselves.
    let table = read(b"n/a,ODD,NIFTY,CE,abc,soon,?,maybe,\n".to_vec());
    assert_eq!((table.faults().rows, table.faults().cells), (0, 3));
    let found = search(&table, "nse_fo", json!({"token": 2}));
    assert_eq!(found[0]["pSymbol"].to_string(), "2");
    assert_eq!(found[0]["dTickSize"].to_string(), "5");
    assert_eq!(found[0]["CASEligible"], true);
    let odd = search(&table, "nse_fo", json!({"trading_symbol": "odd"}));
    assert_eq!(
        (
            &odd[0]["pSymbol"],
            &odd[0]["dStrikePrice;"],
            &odd[0]["strike_price"]
        ),
        (&json!("n/a"), &json!("abc"), &Value::Null)
    );
    // A token in another form is the same token.
    for token in ["5.0002e+04", "50002.0", " 50002 ", "\"50002\""] {
        let table = read(format!("{token},ODD,NIFTY,CE,1000,1403222400,5,true,\n").into_bytes());
        let found = search(&table, "nse_fo", json!({"token": 50002}));
        assert_eq!(found[0]["pSymbol"].to_string(), "50002", "{token}");
        assert_eq!(table.faults(), Default::default(), "{token}");
    }
}

#[test]
fn a_complete_file_needs_no_last_line_break() {
    for file in [
        format!("{HEAD}{}", ROWS.trim_end()),
        format!("{HEAD}{ROWS}").replace('\n', "\r\n"),
        format!("{HEAD}{}\r", ROWS.trim_end().replace('\n', "\r\n")),
        format!("{HEAD}{}\"a,b\"", ROWS.trim_end()),
        format!("\u{feff}{HEAD}{ROWS}"),
        format!(
            "\u{feff}\"pSymbol\"{}{ROWS}",
            HEAD.trim_start_matches("pSymbol")
        ),
    ] {
        let table = Table::read("nse_fo", file.into_bytes()).expect("a complete file");
        assert_eq!((table.len(), table.faults()), (5, Default::default()));
    }
    // Cut within the last cell, which is true or false in every row.
    let head = "pSymbol,pTrdSymbol,CASEligible\n1,A,true\n2,B,";
    for (end, whole) in [("", false), ("fal", false), ("false", true), ("\n", true)] {
        let read = Table::read("nse_fo", format!("{head}{end}").into_bytes());
        assert_eq!(read.is_ok(), whole, "{end}");
    }
    let cut = Table::read("nse_fo", b"pSymbol,pTrdSymbol\n1,A\n2,\"B".to_vec());
    let told = cut.map(drop).expect_err("broken").0;
    assert!(told.starts_with("was cut off"), "{told}");
}

/// What a search needs and the file lacks is no empty answer.
#[test]
fn a_column_that_lacks_is_named() {
    let columns = [
        "pSymbol",
        "pTrdSymbol",
        "pSymbolName",
        "pOptionType",
        "dStrikePrice;",
        "pExpiryDate",
    ];
    let searches = [
        json!({"token": 1}),
        json!({"trading_symbol": "A"}),
        json!({"symbol": "a"}),
        json!({"option_type": "CE"}),
        json!({"strike_price": "1"}),
        json!({"expiry": "19JUN2024"}),
    ];
    for (lacks, name) in columns.iter().enumerate() {
        let head = columns
            .map(|one| if one == *name { "pOther" } else { one })
            .join(",");
        let file = format!("{head}\n1,A,A,CE,100,1403222400\n");
        let table = Table::read("nse_fo", file.into_bytes()).expect("a file");
        for (at, params) in searches.iter().enumerate() {
            let mut params = params.clone();
            params["exchange_segment"] = json!("nse_fo");
            let mut fields = Fields::parse("params", &params.to_string()).expect("an object");
            let query = Query::read(&mut fields).expect("a good query");
            let found = query.rows(&table);
            match at == lacks {
                true => assert_eq!(found, Err(Lacks(name))),
                false => assert_eq!(found, Ok(vec![0]), "{name} {params}"),
            }
        }
        assert_eq!(
            search(&table, "nse_fo", json!({})).as_array().map(Vec::len),
            Some(1)
        );
    }
}

#[test]
fn dates_are_counted_as_the_file_says() {
    let head = HEAD.trim_end().to_owned() + ",pCurrectionTime\n";
    let read = |rows: &str| {
        let file = format!("{head}{rows}");
        Table::read("nse_fo", file.into_bytes()).expect("a good file")
    };
    let day = |table: &Table| search(table, "nse_fo", json!({}))[0]["pExpiryDate"].clone();
    // 22 September 2026, 14:30 in India: as unix time, and by the segment's count.
    let unix = "1,A26SEPFUT,A,XX,-1,1790067600,5,true,,0\n";
    let since_1980 = "1,A26SEPFUT,A,XX,-1,1474554600,5,true,,\n";
    for (rows, cells) in [
        (unix.to_owned(), 0),
        (since_1980.to_owned(), 0),
        (since_1980.replace(",,\n", ",,315513000\n"), 0),
        (since_1980.replace(",,\n", ",,soon\n"), 1),
        (since_1980.replace(",,\n", ",,9e18\n"), 1),
        // One row that says otherwise does not move the others.
        (unix.repeat(3) + &since_1980.replace(",,\n", ",,7\n"), 1),
    ] {
        let table = read(&rows);
        assert_eq!(day(&table), "22Sep2026", "{rows}");
        assert_eq!(table.faults().cells, cells, "{rows}");
        assert_eq!(
            search(&table, "nse_fo", json!({"expiry": "22SEP2026"}))[0]["pSymbol"],
            1
        );
    }
    assert_eq!(
        (read(unix).faults().dates, read(unix).misdated()),
        (0, None)
    );
}

#[test]
fn a_date_that_contradicts_the_name_is_told() {
    let rows = "1,NIFTY26SEPFUT,NIFTY,XX,-1,1474554600,5,true,\n\
                2,NIFTY26OCTFUT,NIFTY,XX,-1,1474554600,5,true,\n\
                3,NIFTY2692921000PE,NIFTY,PE,2.1e+06,1474554600,5,true,\n";
    let table = table("nse_fo", rows).expect("a good file");
    assert_eq!(table.faults().dates, 2);
    let first = ("NIFTY26OCTFUT".to_owned(), "22Sep2026".to_owned());
    assert_eq!(table.misdated(), Some(first));
}

#[test]
fn rows_with_one_symbol_are_all_given() {
    let rows = "1,A B,A,EQ,-1,,5,true,\n2,AB,A,EQ,-1,,5,true,\n3,AB,A,EQ,-1,,5,true,\n";
    let table = table("bse_cm", rows).expect("a good file");
    let tokens = |symbol: &str| {
        let found = search(&table, "bse_cm", json!({"trading_symbol": symbol}));
        let rows = found.as_array().expect("a list").clone();
        rows.iter()
            .map(|row| row["pSymbol"].to_string())
            .collect::<Vec<_>>()
            .join(" ")
    };
    // Blanks within a name count where they tell rows apart.
    assert_eq!(tokens("a b"), "1");
    assert_eq!(tokens("ab"), "2 3");
    assert_eq!(tokens("a  b"), "1 2 3");
}

/// Whatever bytes a file has, its rows are JSON and are found.
#[test]
fn no_byte_makes_a_table_panic_or_lie() {
    let mut dice = Dice::new(17);
    let mut read = 0;
    for (segment, file) in [
        ("nse_fo", format!("{HEAD}{ROWS}").into_bytes()),
        ("cde_fo", real("cde_fo.2026-09-18.extract.csv")),
        ("bse_cm", real("bse_cm-v1.2026-09-18.extract.csv")),
    ] {
        for _ in 0..400 {
            let mut file = file.clone();
            for _ in 0..1 + dice.roll(12) {
                let at = dice.below(file.len());
                match dice.roll(3) {
                    0 => file[at] = dice.byte(),
                    1 => file.insert(at, *dice.pick(b"\",\n\r\xff-.e9")),
                    _ => drop(file.remove(at)),
                }
            }
            let lines = file.split(|byte| *byte == b'\n').count();
            let Ok(table) = Table::read(segment, file) else {
                continue;
            };
            read += 1;
            assert!(table.len() + table.faults().rows <= lines);
            let all = search(&table, segment, json!({}));
            let all = all.as_array().expect("a list");
            assert_eq!(all.len(), table.len());
            for row in all {
                let Some(symbol) = row["pTrdSymbol"].as_str().filter(|text| text.is_ascii()) else {
                    continue;
                };
                let found = search(&table, segment, json!({"trading_symbol": symbol}));
                let has = found.as_array().is_some_and(|rows| rows.contains(row));
                assert!(has || symbol.trim().is_empty(), "{symbol:?}: {row}");
            }
        }
    }
    assert!(read > 600, "{read} files were read");
}

fn real(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/real/");
    std::fs::read(format!("{folder}{name}")).expect("the fixture is there")
}

/// The cash file of the broker of 29 December 2025.
fn real_cash() -> Vec<u8> {
    use std::io::Read as _;
    let packed = real("nse_cm-v1.2025-12-29.full.csv.gz");
    let mut file = Vec::new();
    let mut decoder = flate2::read::GzDecoder::new(&*packed);
    decoder.read_to_end(&mut file).expect("it unpacks");
    file
}

#[test]
fn the_real_cash_file_is_read_whole() {
    let file = real_cash();
    let table = Table::read("nse_cm", file.clone()).expect("a file of the broker");
    assert_eq!((table.len(), table.faults()), (11_340, Default::default()));
    let find = |symbol: &str| search(&table, "nse_cm", json!({"trading_symbol": symbol}));
    let tcs = find("TCS-EQ");
    assert_eq!(tcs.as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&tcs[0]["pSymbol"], &tcs[0]["pISIN"], &tcs[0]["tick_size"]),
        (&json!(11536), &json!("INE467B01029"), &json!(0.1))
    );
    let mahindra = find("m&m-eq");
    assert_eq!(
        (&mahindra[0]["pSymbol"], &mahindra[0]["pTrdSymbol"]),
        (&json!(2031), &json!("M&M-EQ"))
    );
    assert_eq!(mahindra.as_array().map(Vec::len), Some(1));
    // Under surveillance: its message has commas in it.
    let watched = find("FLEXITUFF-EQ");
    assert_eq!(watched[0]["pSymbol"], 25_512);
    assert_eq!(watched[0]["lFreezeQty"], 1_073_305);
    let message = watched[0]["surveillanceMessage"].as_str().expect("a text");
    assert!(message.starts_with("EPS based on previous 4 trailing quarters in the scrip is zero,"));
    assert!(message.ends_with("greater than 100% in previous 6 months"));
    let by_token = search(&table, "nse_cm", json!({"token": 25_512}));
    assert_eq!(by_token, watched);
    // Every row is found by what names it, and is what the crate `csv` reads.
    let mut reader = ::csv::Reader::from_reader(&*file);
    let head = reader.headers().expect("a header").clone();
    assert_eq!(head.len(), 79);
    let mut commas = 0;
    for (at, record) in reader.records().enumerate() {
        let record = record.expect("a row");
        let row = u32::try_from(at).expect("few rows");
        assert_eq!(table.with_symbol(&record[5]), [row], "{}", &record[5]);
        assert_eq!(table.with_token(&record[0]), [row], "{}", &record[0]);
        let json = table.json(&[row]).expect("one row");
        let json: Value = serde_json::from_str(&json).expect("it is JSON");
        assert_eq!(json[0].as_object().map(serde_json::Map::len), Some(79 + 5));
        for (name, cell) in head.iter().zip(&record) {
            let given = match &json[0][name.trim()] {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let same = given == cell || given.parse::<f64>() == cell.parse::<f64>();
            assert!(same, "{name}: {given} for {cell}");
        }
        commas += usize::from(record[78].contains(','));
    }
    assert_eq!(commas, 977);
}

/// Every file of the broker's list, each with its columns, its count of time and
/// its scales.
#[test]
fn the_real_files_of_all_segments_are_read() {
    let token = |segment: &str, file: &str, count: usize, token: u64| {
        let table = Table::read(segment, real(file)).expect(file);
        assert_eq!(
            (table.len(), table.faults()),
            (count, Default::default()),
            "{file}"
        );
        let found = search(&table, segment, json!({"token": token}));
        assert_eq!(found.as_array().map(Vec::len), Some(1), "{file}");
        found[0].clone()
    };
    for (segment, file, count, number, symbol, day, wanted) in [
        (
            "nse_cm",
            "nse_cm-v1.2026-09-18.extract.csv",
            16,
            11_491,
            "APARINDS-EQ",
            Value::Null,
            json!([null, 1, 1, 1, 5262]),
        ),
        (
            "nse_cm",
            "nse_cm.2023-04-13.extract.csv",
            9,
            6_545,
            "NYKAA-EQ",
            Value::Null,
            json!([null, 0.05, 1, 1, 789_905]),
        ),
        (
            "mcx_fo",
            "mcx_fo.partial.csv",
            2,
            578_787,
            "GOLDM25SEP26148500CE",
            json!("25Sep2026"),
            json!([148_500, 0.5, 100, 100, 10_000]),
        ),
        (
            "bse_cm",
            "bse_cm-v1.2026-09-18.extract.csv",
            12,
            533_293,
            "KIRLOSENG",
            Value::Null,
            json!([null, 0.05, 1, 1, null]),
        ),
        (
            "nse_fo",
            "nse_fo.2026-08-28.extract.csv",
            1,
            56_526,
            "NIFTY2692221000PE",
            json!("22Sep2026"),
            json!([21_000, 0.05, 65, 65, 1801]),
        ),
        (
            "bse_fo",
            "bse_fo.2026-09-18.extract.csv",
            8,
            845_597,
            "HINDPETRO26SEP375.75CE",
            json!("24Sep2026"),
            json!([375.75, 0.05, 2025, 2025, 108_000]),
        ),
        (
            "mcx_fo",
            "mcx_fo.2026-09-18.extract.csv",
            10,
            569_600,
            "GOLD29MAR27173500CE",
            json!("29Mar2027"),
            json!([173_500, 0.5, 1, 100, 100]),
        ),
        (
            "mcx_fo",
            "mcx_fo.2026-09-18.extract.csv",
            10,
            584_584,
            "GOLDM27NOV26170500CE",
            json!("27Nov2026"),
            json!([170_500, 0.5, 100, 10, 10_000]),
        ),
        (
            "cde_fo",
            "cde_fo.2026-09-18.extract.csv",
            8,
            6_855,
            "GBPINR26NOV130.75CE",
            json!("26Nov2026"),
            json!([130.75, 0.0025, 1, 1000, 10_000]),
        ),
        (
            "nse_com",
            "nse_com.2026-09-18.extract.csv",
            6,
            130_999,
            "GOLD27MAR151500CE",
            json!("29Mar2027"),
            json!([151_500, 0.5, 1, 100, 10]),
        ),
    ] {
        let row = token(segment, file, count, number);
        assert_eq!(row["pTrdSymbol"], symbol);
        assert_eq!(row["pExpiryDate"], day, "{symbol}");
        let found = meaning(&row).map(Clone::clone);
        assert_eq!(Value::from(found.to_vec()), wanted, "{symbol}");
    }
    // Searches by what it means, in units that a person has.
    for (segment, file, params, symbol) in [
        (
            "cde_fo",
            "cde_fo.2026-09-18.extract.csv",
            json!({"symbol": "eurusd", "strike_price": "1.055", "expiry": "28OCT2026"}),
            "EURUSD26OCT1.055CE",
        ),
        (
            "nse_com",
            "nse_com.2026-09-18.extract.csv",
            json!({"strike_price": ">400000", "option_type": "PE"}),
            "SILVERM26OCT400000PE",
        ),
        (
            "mcx_fo",
            "mcx_fo.2026-09-18.extract.csv",
            json!({"option_type": "FUT", "symbol": "crude"}),
            "CRUDEOILM19OCT26FUT",
        ),
        (
            "bse_fo",
            "bse_fo.2026-09-18.extract.csv",
            json!({"expiry": "27JUN2030"}),
            "SENSEX30JUN82000PE",
        ),
    ] {
        let table = Table::read(segment, real(file)).expect(file);
        assert_eq!(symbols(&search(&table, segment, params)), [symbol]);
    }
}

/// A real file with faults: nothing is lost but what is bad.
#[test]
fn a_real_file_bears_faults() {
    let good = String::from_utf8(real_cash()).expect("a text");
    let lines: Vec<&str> = good.lines().collect();
    let symbol = |line: &str| line.split(',').nth(5).expect("a symbol").to_owned();
    let mut dice = Dice::new(3);
    for _ in 0..4 {
        let mut changed: Vec<Vec<u8>> = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
        let mut bad = std::collections::BTreeSet::new();
        for _ in 0..40 {
            let at = 1 + dice.below(lines.len() - 1);
            let commas = lines[at].match_indices(',').map(|(at, _)| at);
            let comma = commas.take(70).nth(dice.below(70)).expect("seventy cells");
            if bad.insert(at) {
                changed[at].insert(comma + 1, b'"');
            }
        }
        // Two bytes that are no text, in rows that are read.
        let odd = (1..lines.len()).filter(|at| !bad.contains(at)).take(2);
        let odd: Vec<usize> = odd.collect();
        for at in &odd {
            let comma = lines[*at].find(',').expect("cells");
            changed[*at].insert(comma + 1, 0xff);
        }
        let file = changed.join(&b'\n');
        let table = Table::read("nse_cm", file).expect("a file with faults");
        let faults = table.faults();
        assert_eq!((faults.rows, faults.cells), (bad.len(), 2));
        assert_eq!(table.len(), 11_340 - bad.len());
        for at in &bad {
            assert_eq!(table.with_symbol(&symbol(lines[*at])), [0; 0]);
            for near in [at - 1, at + 1] {
                if near > 0 && near < lines.len() && !bad.contains(&near) {
                    assert_eq!(table.with_symbol(&symbol(lines[near])).len(), 1);
                }
            }
        }
    }
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
    let wide = table("nse_fo", &format!("{ROWS}{commas}\n")).expect("one bad row");
    assert_eq!((wide.len(), wide.faults().rows), (5, 1));
    // Each quote opens a record that nothing closes.
    let quotes = "1,\"A\n".repeat(100_000);
    assert!(told(format!("pSymbol,pTrdSymbol\n{quotes}")).starts_with("has 100000 malformed rows"));
    let quotes = format!("{}1,A\n", "\",\"\n".repeat(100_000));
    assert!(told(format!("pSymbol,pTrdSymbol\n{quotes}")).starts_with("has "));
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
