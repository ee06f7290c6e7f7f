//! The scrip-master files: the instruments as the documented CSV.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::scrips::{Kind, Scrip, Segment, scrips};
use crate::clock::{DAY, Moment, india_unix};
use crate::money::{self, PAISA, RUPEE};

/// The columns of the files, with their blanks and the semicolon as the broker writes them. Cash
/// files end before the last one.
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
dExposureMargin ,dMinRedemptionQty ,lFreezeQty,CASEligible";

/// The name of a segment's file, with its folder.
pub(crate) fn path(segment: Segment) -> (&'static str, String) {
    if segment.is_cash() {
        ("transformed-v1", format!("{}-v1.csv", segment.code()))
    } else {
        ("transformed", format!("{}.csv", segment.code()))
    }
}

/// The file of a segment on a day. It is made once per process.
pub(crate) fn file(segment: Segment, day: u64) -> Bytes {
    type Made = ((Segment, u64), Bytes);
    static MADE: Mutex<Vec<Made>> = Mutex::new(Vec::new());
    // A file is added whole or not at all, so a panic elsewhere leaves the list sound.
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, file)) = made.iter().find(|(key, _)| *key == (segment, day)) {
        return file.clone();
    }
    let file = Bytes::from(write(segment, day));
    made.push(((segment, day), file.clone()));
    file
}

fn write(segment: Segment, day: u64) -> String {
    let scrips = scrips(segment, day);
    let mut text = String::with_capacity(scrips.list.len() * 240 + HEADER.len());
    text.push_str(match segment.is_cash() {
        true => HEADER.trim_end_matches(",CASEligible"),
        false => HEADER,
    });
    text.push('\n');
    for scrip in scrips.list.iter().filter(|scrip| scrip.listed) {
        match scrip.kind {
            Kind::Share => share(&mut text, scrip, day),
            Kind::Index => index(&mut text, scrip),
            _ => contract(&mut text, scrip, day),
        }
        .expect("a string takes any text");
    }
    text
}

/// A date in the count of the segment.
fn date(segment: Segment, day: u64, second: u64) -> u64 {
    india_unix(day, second) - segment.epoch()
}

fn share(text: &mut String, scrip: &Scrip, day: u64) -> std::fmt::Result {
    let segment = scrip.id.segment;
    let listed = date(segment, day - 3_000 - u64::from(scrip.id.index) * 10, 0);
    let correction = match segment.epoch() {
        0 => String::new(),
        seconds => seconds.to_string(),
    };
    writeln!(
        text,
        "{token},{group},{code},,{name},{symbol},,{name},{isin},,,,{about},,,{tick},1,-1,-1,2,-1,\
         {exchange},,,{listed},,{listed},0,0,0,0,0,{low}-{high},0,0,{updated},,,,,,,,,,CASH,,,,,\
         100,,,,3.50,17.92,,,T+1,{correction},1,1,{freeze},1,0,{high_paise},{low_paise},1,1,1,0,0,\
         1,0,{capital},0,0,{freeze}",
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
        freeze = scrip.freeze,
        high_paise = scrip.high / PAISA,
        low_paise = scrip.low / PAISA,
        capital = general(scrip.close as f64),
    )
}

/// An index row has its number as token, and next to nothing else.
fn index(text: &mut String, scrip: &Scrip) -> std::fmt::Result {
    let (token, name) = (&scrip.asset, &scrip.name);
    writeln!(
        text,
        "{token},,{code},,{name},{name},,{name},,,,,{name},,,-1,1,-1,-1,2,-1,,,,,,,,,,,,,,,,,,,,,,\
         ,,,,,,,,,,,,,,,,,,0,1,0,1,0,0,0,1,1,1,0,0,1,0,-1,0,0,0",
        code = scrip.id.segment.code(),
    )
}

fn contract(text: &mut String, scrip: &Scrip, day: u64) -> std::fmt::Result {
    let segment = scrip.id.segment;
    let end = scrip.expires_at().unwrap_or(0) - segment.epoch();
    let expiry = scrip.expiry.unwrap_or(day);
    let issued = date(segment, expiry.saturating_sub(35), 5 * 3600 + 1800);
    let moment = Moment::on(expiry);
    let future = scrip.kind == Kind::Future;
    let strike = if future {
        "-1".to_owned()
    } else {
        general((scrip.strike / PAISA) as f64)
    };
    let key = format!(
        "{}{:02}{}{:02}{}",
        scrip.name,
        moment.day,
        moment.month_name().to_uppercase(),
        moment.year % 100,
        match future {
            true => "FUT".to_owned(),
            false => format!(
                "{}{}",
                money::text(scrip.strike, 2),
                scrip.kind.option_type()
            ),
        }
    );
    let mcx_future = future && segment == Segment::McxFo;
    writeln!(
        text,
        "{token},XX,{code},{kind},{name},{symbol},{option},{key},,{asset},,,,,,{tick},{lot},{end},\
         {multiplier},{precision},{strike},{exchange},{kind},{end},{issued},{end},{issued},0,0,0,0,\
         0,,0,0,{updated},,,,,,,,,,FO,,,,,,,{last_day},{end},,,,{close},Cash,,1,1,{freeze}.00,{lot},\
         0,{high},{low},1,1,1,0,0,1,0,1e+12,1,0,{freeze},false",
        token = scrip.token,
        code = segment.code(),
        kind = scrip.instrument_type(),
        name = scrip.name,
        symbol = scrip.symbol,
        option = if mcx_future {
            ""
        } else {
            scrip.kind.option_type()
        },
        asset = scrip.asset,
        // A currency's tick is a fraction of a paisa.
        tick = money::plain(scrip.tick * (RUPEE / PAISA)),
        lot = scrip.lot,
        multiplier = if mcx_future { 1 } else { -1 },
        precision = segment.decimals(),
        exchange = segment.exchange(),
        updated = date(segment, day, 8 * 3600),
        last_day = end / DAY * DAY,
        close = money::text(scrip.close, 4),
        freeze = scrip.freeze,
        high = general((scrip.high / PAISA) as f64),
        low = general((scrip.low / PAISA) as f64),
    )
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

    fn rows(segment: Segment) -> Vec<Vec<String>> {
        let day = parse_iso_date("2026-08-28").unwrap();
        let file = file(segment, day);
        let text = std::str::from_utf8(&file).unwrap();
        assert!(text.ends_with('\n') && text.is_ascii());
        text.lines()
            .map(|line| line.split(',').map(str::to_owned).collect())
            .collect()
    }

    fn sample(name: &str) -> Vec<Vec<String>> {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../tests/fixtures")
            .join(name);
        let text = std::fs::read_to_string(file).unwrap();
        text.lines()
            .map(|line| line.split(',').map(str::to_owned).collect())
            .collect()
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
        let (made, sample) = (rows(Segment::NseFo), sample("scrip_nse_fo.csv"));
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
    fn shares_look_like_the_documented_rows() {
        let (made, sample) = (rows(Segment::NseCm), sample("scrip_nse_cm.csv"));
        assert_eq!(made[0], sample[0]);
        assert!(made.iter().all(|row| row.len() == 78));
        let row = made.iter().find(|row| row[5] == "NYKAA-EQ").unwrap();
        assert_eq!(form(row), form(&sample[1]));
        for column in [0, 1, 2, 4, 5, 7, 8, 12, 20, 21, 45, 59] {
            assert_eq!(row[column], sample[1][column], "{}", made[0][column]);
        }
        let index = made.iter().find(|row| row[0] == "26000").unwrap();
        assert_eq!((&*index[5], &*index[15], &*index[21]), ("NIFTY", "-1", ""));
    }

    #[test]
    fn dates_have_the_epoch_of_their_segment() {
        let mcx = rows(Segment::McxFo);
        let row = mcx
            .iter()
            .find(|row| row[5] == "GOLDM25SEP26148000CE")
            .unwrap();
        assert_eq!((&*row[17], &*row[20]), ("1790380799", "1.48e+07"));
        let bse = rows(Segment::BseFo);
        let row = bse.iter().find(|row| row[5] == "SENSEX26SEPFUT").unwrap();
        assert_eq!(
            Moment::at(row[17].parse().unwrap()).dashed(),
            "24-Sep-2026 14:30:00"
        );
        for segment in [Segment::CdeFo, Segment::NseCom, Segment::BseCm] {
            let made = rows(segment);
            assert!(made.len() > 50 && made.iter().all(|row| row.len() == made[0].len()));
        }
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
