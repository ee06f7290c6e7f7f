//! The scrip-master files: the instruments as the documented CSV.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::mix;
use super::scrips::{Kind, Scrip, Segment, scrips};
use crate::clock::{DAY, Moment, india_unix};
use crate::money::{self, PAISA, RUPEE};
use crate::switches::ScripFiles;

/// The columns that all files have, with their blanks and the semicolon as the broker writes
/// them.
const HEADER: &str = "pSymbol,pGroup,pExchSeg,pInstType,pSymbolName,pTrdSymbol,pOptionType,\
pScripRefKey,pISIN,pAssetCode,pSubGroup,pCombinedSymbol,pDesc,pAmcCode,pContractId,dTickSize ,\
lLotSize,lExpiryDate ,lMultiplier ,lPrecision,dStrikePrice;,pExchange,pInstName,pExpiryDate,\
pIssueDate,pMaturityDate,pListingDate,pNoDelStartDate,pNoDelEndDate,pBookClsStartDate,\
pBookClsEndDate,pRecordDate,pCreditRating,pReAdminDate,pExpulsionDate,pLocalUpdateTime,\
pDeliveryUnits,pPriceUnits,pLastTradingDate,pTenderPeridEndDate,pTenderPeridStartDate,\
pSellVarMargin,pBuyVarMargin,pInstrumentInfo,pRemarksText,pSegment,pNav,pNavDate,pMfAmt,\
pSipSecurity,pFaceValue,pTrdUnits,pExerciseStartDate,pExerciseEndDate,pElmMargin,pVarMargin,\
pTotProposedLimitValue,pScripBasePrice,pSettlementType,pCurrectionTime,iPermittedToTrade,\
iBoardLotQty ,iMaxOrderSize ,iLotSize,dOpenInterest ,dHighPriceRange ,dLowPriceRange ,\
dPriceNum   ,dGenDen,dGenNum,dPriceQuatation ,dIssuerate ,dPriceDen,dWarningQty ,dIssueCapital ,\
dExposureMargin ,dMinRedemptionQty ,lFreezeQty";

/// How many columns that is; the files of 2023 had no more.
const OLD_COLUMNS: usize = 78;

/// What cash files have besides, and what all have.
const CASH_ONLY: &str = ",surveillanceMessage";
const LAST: &str = ",CASEligible";

/// What an exchange says of a scrip that it watches; those that need it in quotes.
const MESSAGES: [&str; 3] = [
    "Stage 1 Long Term ASM scrip,The scrip PE is greater than 50 for previous 4 trailing quarters",
    "EPS based on previous 4 trailing quarters in the scrip is zero,Average daily number of \
     unique Clients/PAN traded in the scrip in previous 30 days is less than 100,High low price \
     variation was greater than 75% in previous 3 months",
    "Stage I ESM Scrip,Gross settlement (Trade for Trade)",
];
const MESSAGE: &str = "The scrip PE is greater than 50 for previous 4 trailing quarters";

/// The line of a file that a switch spoils: a row, behind those of the indices.
const SPOILT: usize = 20;

/// The name of a segment's file, with its folder.
pub(crate) fn path(segment: Segment) -> (&'static str, String) {
    if segment.is_cash() {
        ("transformed-v1", format!("{}-v1.csv", segment.code()))
    } else {
        ("transformed", format!("{}.csv", segment.code()))
    }
}

/// The file of a segment on a day, as a switch has it. Each is made once per process.
pub(crate) fn file(segment: Segment, day: u64, form: ScripFiles) -> Bytes {
    type Made = ((Segment, u64, ScripFiles), Bytes);
    static MADE: Mutex<Vec<Made>> = Mutex::new(Vec::new());
    // A file is added whole or not at all, so a panic elsewhere leaves the list sound.
    let lock = || MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let wanted = (segment, day, form);
    let find = |made: &[Made]| {
        let found = made.iter().find(|(key, _)| *key == wanted);
        found.map(|(_, file)| file.clone())
    };
    if let Some(found) = find(&lock()) {
        return found;
    }
    let fresh = Bytes::from(match form {
        ScripFiles::Whole => write(segment, day).into_bytes(),
        other => spoil(segment, &file(segment, day, ScripFiles::Whole), other),
    });
    let mut made = lock();
    find(&made).unwrap_or_else(|| {
        made.push((wanted, fresh.clone()));
        fresh
    })
}

fn write(segment: Segment, day: u64) -> String {
    let scrips = scrips(segment, day);
    let mut text = String::with_capacity(scrips.list.len() * 280 + HEADER.len());
    text.push_str(HEADER);
    text.push_str(if segment.is_cash() { CASH_ONLY } else { "" });
    text.push_str(LAST);
    text.push('\n');
    // Rows stand in no order, but those of indices come first.
    let mut rows: Vec<&Scrip> = scrips.list.iter().filter(|scrip| scrip.listed).collect();
    rows.sort_by_key(|scrip| (scrip.kind != Kind::Index, mix(scrip.id.hash() ^ ORDER)));
    for scrip in rows {
        match (scrip.kind, segment) {
            (Kind::Index, _) => index(&mut text, scrip),
            (Kind::Share, Segment::BseCm) => bse_share(&mut text, scrip),
            (Kind::Share, _) => share(&mut text, scrip, day),
            _ => contract(&mut text, scrip, day),
        }
        .expect("a string takes any text");
    }
    text
}

/// Sets this use of the generator apart from others.
const ORDER: u64 = 0x0f11;

/// A date in the count of the segment.
fn date(segment: Segment, day: u64, second: u64) -> i64 {
    since(segment, india_unix(day, second))
}

fn since(segment: Segment, unix: u64) -> i64 {
    i64::try_from(unix).unwrap_or(0) - segment.correction()
}

/// The last cells of a share: what the exchange says of it, in quotes if it has a comma, and
/// whether it takes part in the closing auction.
fn watched(scrip: &Scrip) -> String {
    // 8.6 % in quotes, as in the files of 2025.
    match mix(scrip.id.hash() ^ 0x5e1f) % 1000 {
        at @ 0..86 => format!("\"{}\",false", MESSAGES[at as usize % MESSAGES.len()]),
        86..140 => format!("{MESSAGE},true"),
        _ => ",true".to_owned(),
    }
}

fn share(text: &mut String, scrip: &Scrip, day: u64) -> std::fmt::Result {
    let segment = scrip.id.segment;
    let listed = date(segment, day - 3_000 - u64::from(scrip.id.index) * 10, 0);
    writeln!(
        text,
        "{token},{group},{code},,{name},{symbol},,{name},{isin},,,,{about},,,{tick},1,-1,-1,2,-1,\
         {exchange},,,{listed},,{listed},0,0,0,0,0,{low}-{high},0,0,{updated},,,,,,,,,,CASH,,,,,\
         100,,,,3.50,17.92,,0.0000,T+1,{correction},0,1,{freeze}.00,1,0,{high_paise},{low_paise},\
         1,1,1,0,0,1,0,{capital},0,0,{freeze},{watched}",
        token = scrip.token,
        group = scrip.series(),
        code = segment.code(),
        name = scrip.name,
        symbol = scrip.symbol,
        isin = scrip.isin,
        about = scrip.description,
        tick = scrip.tick / PAISA,
        exchange = segment.exchange(),
        low = money::text(scrip.low, 2),
        high = money::text(scrip.high, 2),
        updated = date(segment, day, 8 * 3600),
        correction = segment.correction(),
        freeze = scrip.freeze,
        high_paise = general((scrip.high / PAISA) as f64),
        low_paise = general((scrip.low / PAISA) as f64),
        capital = general(scrip.close as f64),
        watched = watched(scrip),
    )
}

/// BSE gives no dates but those of a book closure, and none as a number.
fn bse_share(text: &mut String, scrip: &Scrip) -> std::fmt::Result {
    writeln!(
        text,
        "{token},{group},bse_cm,,{name},{symbol},,{name},{isin},,,,{about},,,{tick},1,-1,-1,2,-1,\
         BSE,,,,,,,,2024-09-24,2024-09-26,,,,,,,,,,,,,,,CASH,,,,,1000,,,,0,20,,0.0000,T+1,,0,1,\
         0.00,1,0,{high},{low},1,1,1,0,0,1,0,-1,0,0,0,{watched}",
        token = scrip.token,
        group = scrip.series(),
        name = scrip.name,
        symbol = scrip.symbol,
        isin = scrip.isin,
        about = scrip.description,
        tick = scrip.tick / PAISA,
        high = general((scrip.high / PAISA) as f64),
        low = general((scrip.low / PAISA) as f64),
        watched = watched(scrip),
    )
}

/// An index row has its number as token, and next to nothing else.
fn index(text: &mut String, scrip: &Scrip) -> std::fmt::Result {
    let (token, name) = (&scrip.asset, &scrip.name);
    writeln!(
        text,
        "{token},,{code},,{name},{name},,{name},,,,,{name},,,-1,1,-1,-1,2,-1,,,,,,,,,,,,,,,,,,,,,,\
         ,,,,,,,,,,,,,,,,,,0,1,0,1,0,0,0,1,1,1,0,0,1,0,-1,0,0,0,,false",
        code = scrip.id.segment.code(),
    )
}

/// The kind of a contract as the file of its exchange writes it.
fn instrument_type(scrip: &Scrip) -> &'static str {
    let future = scrip.kind == Kind::Future;
    match (scrip.id.segment, future, scrip.of_index) {
        (Segment::BseFo, true, true) => "IF",
        (Segment::BseFo, true, false) => "SF",
        (Segment::BseFo, false, true) => "IO",
        (Segment::BseFo, false, false) => "SO",
        (Segment::NseCom, true, _) => "FUTBLN",
        (Segment::NseCom, false, _) => "OPTFUT",
        _ => scrip.instrument_type(),
    }
}

/// How one exchange writes a contract: what its file alone has in this form.
struct Manner {
    group: &'static str,
    class: &'static str,
    /// From `pIssueDate` to `pLocalUpdateTime`.
    dates: String,
    /// From `pDeliveryUnits` to `pRemarksText`.
    units: String,
    /// From `pTrdUnits` to `pExerciseEndDate`.
    exercise: String,
    /// From `pElmMargin` to `pCurrectionTime`.
    margins: String,
    key: String,
    about: String,
    /// In the units of [`crate::money`], and in the numbers of the file.
    strike_each: (i64, i64),
    price_each: (i64, i64),
    no_strike: &'static str,
    multiplier: i64,
    /// `dGenNum` and `dGenDen`.
    general: (i64, i64),
    most: String,
    freeze: i64,
}

fn manner(scrip: &Scrip, day: u64) -> Manner {
    let segment = scrip.id.segment;
    let end = since(segment, scrip.expires_at().unwrap_or(0));
    let expiry = scrip.expiry.unwrap_or(day);
    let issued = date(segment, expiry.saturating_sub(35), 5 * 3600 + 1800);
    let last_day = end / DAY as i64 * DAY as i64;
    let moment = Moment::on(expiry);
    let month = moment.month_name().to_uppercase();
    let what = match scrip.kind {
        Kind::Future => "FUT".to_owned(),
        kind => money::text(scrip.strike, 2) + kind.option_type(),
    };
    let (name, date_of_key) = (
        &scrip.name,
        format!("{:02}{month}{:02}", moment.day, moment.year % 100),
    );
    let close = money::text(scrip.close, 4);
    let paise = (PAISA, 1);
    let blank = || ",,,,,,,,".to_owned();
    let plain = Manner {
        group: "XX",
        class: "FO",
        dates: String::new(),
        units: blank(),
        exercise: format!(",{last_day},{end}"),
        margins: String::new(),
        key: String::new(),
        about: String::new(),
        strike_each: paise,
        price_each: paise,
        no_strike: "-1",
        multiplier: -1,
        general: (1, 1),
        most: format!("{}.00", scrip.freeze / scrip.lot.max(1)),
        freeze: scrip.freeze,
    };
    match segment {
        Segment::BseFo => Manner {
            group: "",
            dates: ",,,,,,,,,,,".to_owned(),
            exercise: format!(",{last_day},{last_day}"),
            margins: ",,,,Cash,".to_owned(),
            key: format!("{name}{date_of_key}{what}"),
            about: scrip.symbol.clone(),
            multiplier: 1,
            most: "0.00".to_owned(),
            ..plain
        },
        Segment::McxFo => Manner {
            group: "",
            class: "COM",
            dates: format!("{issued},{end},,,,,,,,,,"),
            units: format!("KGS,GRMS,{end},{end},{issued},,,{name},"),
            exercise: format!("KGS,{end},{end}"),
            margins: format!(",0.000,-1.0000,{close},,{}", segment.correction()),
            about: name.clone(),
            no_strike: "0",
            general: match &**name {
                "GOLD" => (100, 1),
                "GOLDM" => (1, 10),
                _ => (1, 1),
            },
            ..plain
        },
        // A currency's numbers are of 1/10,000,000, and a lot is a thousand units.
        Segment::CdeFo => Manner {
            class: "CUR",
            dates: format!("{issued},,{issued},,0,0,0,0,,0,0,"),
            margins: format!(",,,,,{}", segment.correction()),
            key: scrip.symbol.clone(),
            strike_each: (1, 10_000_000 / RUPEE),
            price_each: (1, 10_000_000 / RUPEE),
            multiplier: 1000,
            most: "0.00".to_owned(),
            ..plain
        },
        Segment::NseCom => Manner {
            class: "COM",
            dates: format!("{issued},{end},{issued},0,0,0,0,0,995 PURE MIN,,,"),
            units: ",GMS,,,,,,,".to_owned(),
            margins: format!(",,,{close},,"),
            about: scrip.symbol.clone(),
            strike_each: (1, 1),
            ..plain
        },
        _ => Manner {
            dates: format!(
                "{issued},{end},{issued},0,0,0,0,0,,0,0,{}",
                date(segment, day, 8 * 3600)
            ),
            margins: format!(",,,{close},Cash,"),
            key: format!("{name}{date_of_key}{what}"),
            most: format!("{}.00", scrip.freeze),
            ..plain
        },
    }
}

fn contract(text: &mut String, scrip: &Scrip, day: u64) -> std::fmt::Result {
    let segment = scrip.id.segment;
    let manner = manner(scrip, day);
    let scaled = |price: i64, (from, to): (i64, i64)| general((price * to) as f64 / from as f64);
    writeln!(
        text,
        "{token},{group},{code},{kind},{name},{symbol},{option},{key},,{asset},,,{about},,,{tick},\
         {lot},{end},{multiplier},{precision},{strike},{exchange},{kind},{end},{dates},{units},\
         {class},,,,,,{exercise},{margins},{permitted},1,{most},{lot},0,{high},{low},1,{general_den},\
         {general_num},0,0,1,0,1e+12,1,0,{freeze},false",
        token = scrip.token,
        group = manner.group,
        code = segment.code(),
        kind = instrument_type(scrip),
        name = scrip.name,
        symbol = scrip.symbol,
        option = scrip.kind.option_type(),
        key = manner.key,
        asset = scrip.asset,
        about = manner.about,
        tick = scaled(scrip.tick, manner.price_each),
        lot = scrip.lot,
        end = since(segment, scrip.expires_at().unwrap_or(0)),
        multiplier = manner.multiplier,
        precision = segment.decimals(),
        strike = match scrip.kind {
            Kind::Future => manner.no_strike.to_owned(),
            _ => scaled(scrip.strike, manner.strike_each),
        },
        exchange = segment.exchange(),
        dates = manner.dates,
        units = manner.units,
        class = manner.class,
        exercise = manner.exercise,
        margins = manner.margins,
        permitted = u8::from(segment == Segment::NseFo),
        most = manner.most,
        high = scaled(scrip.high, manner.price_each),
        low = scaled(scrip.low, manner.price_each),
        general_den = manner.general.1,
        general_num = manner.general.0,
        freeze = manner.freeze,
    )
}

/// The file as a switch wants it.
fn spoil(segment: Segment, whole: &[u8], form: ScripFiles) -> Vec<u8> {
    let text = std::str::from_utf8(whole).expect("files are ASCII");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    // The cells of the columns that all files have: no quote stands there, so that a comma
    // always parts two of them.
    let set = |line: &mut String, column: usize, value: &str| {
        let mut cells: Vec<&str> = line.splitn(OLD_COLUMNS + 1, ',').collect();
        cells[column] = value;
        *line = cells.join(",");
    };
    let cell = |line: &str, column: usize| {
        let cell = line.split(',').nth(column).unwrap_or("");
        cell.to_owned()
    };
    const NAME: usize = 4;
    const ABOUT: usize = 12;
    const STRIKE: usize = 20;
    const DATES: [usize; 2] = [17, 23];
    let moved = |line: &mut String, seconds: i64| {
        for column in DATES {
            if let Ok(date) = cell(line, column).parse::<i64>() {
                set(line, column, &(date + seconds).to_string());
            }
        }
    };
    let mut end = "\n";
    match form {
        ScripFiles::Whole | ScripFiles::NoLineEnd | ScripFiles::Html => {}
        ScripFiles::Empty => return Vec::new(),
        ScripFiles::Cut => {
            // In the middle of a line, in columns that no quote is near.
            let half = lines.len() / 2;
            let kept: usize = lines[..half].iter().map(|line| line.len() + 1).sum();
            return whole[..kept + 60].to_vec();
        }
        ScripFiles::Older => {
            for line in &mut lines {
                let cells: Vec<&str> = line.splitn(OLD_COLUMNS + 1, ',').collect();
                *line = cells[..OLD_COLUMNS].join(",");
            }
        }
        ScripFiles::Quoted => {
            for line in lines.iter_mut().skip(1).step_by(11) {
                set(line, ABOUT, &format!("\"{}\"", MESSAGES[1]));
            }
        }
        ScripFiles::CrLf => end = "\r\n",
        ScripFiles::StrayQuote => {
            let line = &mut lines[SPOILT];
            let about = format!("\"{}", cell(line, ABOUT));
            set(line, ABOUT, &about);
        }
        ScripFiles::ShortRow => {
            let line = &mut lines[SPOILT];
            line.truncate(line.rfind(',').unwrap_or(0));
        }
        ScripFiles::BadByte => set(&mut lines[SPOILT], ABOUT, "\u{1a}"),
        ScripFiles::ForeignCells => {
            set(&mut lines[SPOILT], 0, "n/a");
            set(&mut lines[SPOILT], STRIKE, "none");
        }
        ScripFiles::NoName => set(&mut lines[0], NAME, "pOther"),
        ScripFiles::UnixDates => {
            for line in lines.iter_mut().skip(1) {
                moved(line, segment.correction());
                set(line, 59, "0");
            }
        }
        ScripFiles::Misdated => moved(&mut lines[SPOILT], 40 * DAY as i64),
    }
    let mut file = lines.join(end).into_bytes();
    match form {
        ScripFiles::NoLineEnd => {}
        ScripFiles::BadByte => {
            file.extend_from_slice(end.as_bytes());
            if let Some(place) = file.iter().position(|byte| *byte == 0x1a) {
                file[place] = 0xff;
            }
        }
        _ => file.extend_from_slice(end.as_bytes()),
    }
    file
}

/// Six significant digits, and an exponent from a million on, as the broker writes numbers.
fn general(number: f64) -> String {
    let scientific = format!("{number:.5e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text.to_owned()
        }
    };
    if (0..6).contains(&exponent) {
        return trim(&format!(
            "{number:.width$}",
            width = (5 - exponent) as usize
        ));
    }
    format!("{}e{exponent:+03}", trim(digits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::parse_iso_date;

    /// The cells of a file. Only the last ones may be in quotes.
    fn cells(text: &str) -> Vec<Vec<String>> {
        let split = |line: &str| {
            let mut inside = false;
            let parted = |c: char| {
                inside ^= c == '"';
                c == ',' && !inside
            };
            line.split(parted).map(str::to_owned).collect()
        };
        text.lines().map(split).collect()
    }

    fn rows(segment: Segment) -> Vec<Vec<String>> {
        let day = parse_iso_date("2026-08-28").unwrap();
        let file = file(segment, day, ScripFiles::Whole);
        let text = std::str::from_utf8(&file).unwrap();
        assert!(text.ends_with('\n') && text.is_ascii());
        cells(text)
    }

    fn sample(name: &str) -> Vec<Vec<String>> {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../tests/fixtures/real")
            .join(name);
        cells(&std::fs::read_to_string(file).unwrap())
    }

    /// Which cells are filled, with numbers or with text.
    fn form(row: &[String]) -> Vec<char> {
        row.iter()
            .map(|cell| match cell {
                cell if cell.is_empty() => '-',
                cell if cell.parse::<f64>().is_ok() => '9',
                _ => 'a',
            })
            .collect()
    }

    #[test]
    fn contracts_look_like_the_live_row() {
        let (made, sample) = (
            rows(Segment::NseFo),
            sample("nse_fo.2026-08-28.extract.csv"),
        );
        assert_eq!(made.len(), 90_001);
        assert_eq!(made[0], sample[0]);
        assert!(made.iter().all(|row| row.len() == 79));
        let row = made
            .iter()
            .find(|row| row[5] == "NIFTY26SEP24300PE")
            .unwrap();
        assert_eq!(form(row), form(&sample[1]));
        for column in [
            1, 2, 3, 4, 6, 9, 15, 16, 18, 19, 21, 22, 45, 58, 60, 61, 63, 67, 74, 78,
        ] {
            assert_eq!(row[column], sample[1][column], "{}", made[0][column]);
        }
        assert_eq!(row[7], "NIFTY29SEP2624300.00PE");
        assert_eq!(row[20], "2.43e+06");
        // 29 September 2026, 14:30 in India.
        assert_eq!(row[17], "1475159400");
        let future = made.iter().find(|row| row[5] == "NIFTY26SEPFUT").unwrap();
        assert_eq!(
            (&*future[6], &*future[20], &*future[3]),
            ("XX", "-1", "FUTIDX")
        );
    }

    #[test]
    fn shares_look_like_the_live_rows() {
        let made = rows(Segment::NseCm);
        let sample = sample("nse_cm-v1.2026-09-18.extract.csv");
        assert_eq!((made[0].len(), &made[0]), (80, &sample[0]));
        assert!(made.iter().all(|row| row.len() == 80));
        let row = made.iter().find(|row| row[5] == "NYKAA-EQ").unwrap();
        let live = sample.iter().find(|row| row[5] == "APARINDS-EQ").unwrap();
        assert_eq!(form(&row[..78]), form(&live[..78]));
        for column in [1, 2, 18, 19, 20, 21, 45, 59, 60, 61] {
            assert_eq!(row[column], live[column], "{}", made[0][column]);
        }
        // The indices come first; behind them there is no order.
        let index = &made[1..6];
        assert_eq!(form(&index[0]), form(&sample[1]));
        assert!(
            index
                .iter()
                .all(|row| row[15] == "-1" && row[21].is_empty())
        );
        let names: Vec<&String> = made[6..].iter().map(|row| &row[4]).collect();
        assert!(!names.is_sorted());
        let quoted = made.iter().filter(|row| row[78].starts_with('"')).count();
        assert!(
            quoted * 30 > made.len() && quoted * 5 < made.len(),
            "{quoted}"
        );
    }

    /// Every derivative file has the cells of its exchange filled, and in its scales.
    #[test]
    fn contracts_look_like_the_live_rows_of_their_exchange() {
        for (segment, name, symbol, live, columns) in [
            (
                Segment::BseFo,
                "bse_fo",
                "SENSEX26SEP79900CE",
                "SENSEX26OCT75600CE",
                &[1, 3, 4, 15, 16, 18, 45, 59][..],
            ),
            (
                Segment::McxFo,
                "mcx_fo",
                "GOLD25SEP26148000CE",
                "GOLD29MAR27173500CE",
                &[1, 3, 4, 16, 18, 45, 59, 68, 69],
            ),
            (
                Segment::McxFo,
                "mcx_fo",
                "GOLDM25SEP26148000CE",
                "GOLDM27NOV26170500CE",
                &[16, 68, 69],
            ),
            (
                Segment::McxFo,
                "mcx_fo",
                "CRUDEOIL25SEP26FUT",
                "CRUDEOILM19OCT26FUT",
                &[1, 3, 6, 18, 20, 45, 59],
            ),
            (
                Segment::CdeFo,
                "cde_fo",
                "USDINR26SEP88CE",
                "USDINR26SEP97CE",
                &[1, 3, 15, 16, 18, 19, 45, 59],
            ),
            (
                Segment::NseCom,
                "nse_com",
                "GOLD1G26SEP14800CE",
                "GOLD27MAR151500CE",
                &[1, 3, 16, 18, 19, 45, 59],
            ),
        ] {
            let made = rows(segment);
            let sample = sample(&format!("{name}.2026-09-18.extract.csv"));
            assert_eq!(made[0], sample[0]);
            assert!(made.iter().all(|row| row.len() == 79), "{name}");
            let row = made.iter().find(|row| row[5] == symbol).expect(symbol);
            let live = sample.iter().find(|row| row[5] == live).expect(live);
            for column in columns {
                assert_eq!(row[*column], live[*column], "{symbol} {}", made[0][*column]);
            }
        }
        let of = |segment: Segment, symbol: &str, column: usize| {
            let made = rows(segment);
            made.iter().find(|row| row[5] == symbol).expect(symbol)[column].clone()
        };
        assert_eq!(of(Segment::CdeFo, "USDINR26SEP88CE", 20), "8.8e+08");
        assert_eq!(of(Segment::NseCom, "GOLD1G26SEP14800CE", 20), "1.48e+08");
        assert_eq!(of(Segment::McxFo, "GOLD25SEP26148000CE", 20), "1.48e+07");
    }

    #[test]
    fn dates_have_the_count_of_their_segment() {
        let end = |segment: Segment, symbol: &str| {
            let made = rows(segment);
            let row = made.iter().find(|row| row[5] == symbol).expect(symbol);
            assert_eq!(row[17], row[23]);
            let value: i64 = row[17].parse().unwrap();
            Moment::at((value + segment.correction()) as u64).dashed()
        };
        assert_eq!(
            end(Segment::McxFo, "GOLDM25SEP26FUT"),
            "25-Sep-2026 23:59:59"
        );
        assert_eq!(
            end(Segment::BseFo, "SENSEX26SEPFUT"),
            "24-Sep-2026 23:59:59"
        );
        assert_eq!(
            end(Segment::NseCom, "GOLD1G26SEPFUT"),
            "25-Sep-2026 14:30:00"
        );
        let mcx = rows(Segment::McxFo);
        let row = mcx.iter().find(|row| row[5] == "GOLDM25SEP26FUT").unwrap();
        assert_eq!((&*row[17], &*row[59]), ("1790380799", "-19800"));
    }

    #[test]
    fn switches_change_what_they_say() {
        let day = parse_iso_date("2026-08-28").unwrap();
        let made = |form| file(Segment::NseCm, day, form);
        let whole = made(ScripFiles::Whole);
        assert_eq!(*made(ScripFiles::NoLineEnd), whole[..whole.len() - 1]);
        let text = |form| String::from_utf8_lossy(&made(form)).into_owned();
        let lines = whole.split(|byte| *byte == b'\n').count() - 1;
        assert_eq!(text(ScripFiles::CrLf).matches("\r\n").count(), lines);
        let old = cells(&text(ScripFiles::Older));
        assert!(old.iter().all(|row| row.len() == OLD_COLUMNS));
        assert_eq!(
            old[1][..],
            cells(&text(ScripFiles::Whole))[1][..OLD_COLUMNS]
        );
        assert!(
            text(ScripFiles::NoName)
                .lines()
                .next()
                .unwrap()
                .contains(",pOther,")
        );
        assert!(std::str::from_utf8(&made(ScripFiles::BadByte)).is_err());
        let cut = made(ScripFiles::Cut);
        assert!(whole.starts_with(&cut) && !cut.ends_with(b"\n") && cut.len() > whole.len() / 3);
        // The others change one row.
        for form in [
            ScripFiles::StrayQuote,
            ScripFiles::ShortRow,
            ScripFiles::ForeignCells,
        ] {
            let (whole, spoilt) = (text(ScripFiles::Whole), text(form));
            let pairs = whole.lines().zip(spoilt.lines());
            let changed: Vec<usize> = pairs
                .enumerate()
                .filter(|(_, (one, other))| one != other)
                .map(|(at, _)| at)
                .collect();
            assert_eq!(changed, [SPOILT], "{form:?}");
        }
        let dated = |form| cells(std::str::from_utf8(&file(Segment::CdeFo, day, form)).unwrap());
        let (whole, unix) = (dated(ScripFiles::Whole), dated(ScripFiles::UnixDates));
        let seconds = |row: &[String]| row[17].parse::<i64>().unwrap();
        assert_eq!(seconds(&unix[1]) - seconds(&whole[1]), 315_513_000);
        assert_eq!((&*unix[1][59], &*whole[1][59]), ("0", "315513000"));
        let other = dated(ScripFiles::Misdated);
        assert_eq!(
            seconds(&other[SPOILT]) - seconds(&whole[SPOILT]),
            40 * 86_400
        );
        let quoted = dated(ScripFiles::Quoted);
        let commas = quoted.iter().filter(|row| row[12].contains(',')).count();
        assert_eq!(commas, (whole.len() - 1).div_ceil(11));
    }

    #[test]
    fn numbers_have_six_digits() {
        for (number, text) in [
            (5.0, "5"),
            (999_999.0, "999999"),
            (2_100_000.0, "2.1e+06"),
            (726_405_000.0, "7.26405e+08"),
            (1e12, "1e+12"),
            (940.5, "940.5"),
            (100.0, "100"),
        ] {
            assert_eq!(general(number), text);
        }
    }
}
