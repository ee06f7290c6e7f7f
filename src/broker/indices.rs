//! What the broker calls the indices: each call wants them by their exact name, scrip files
//! have numbers and other names.

/// An index of a scrip file.
struct Listed {
    segment: &'static str,
    /// Its `pSymbol`.
    number: u32,
    /// Its `pSymbolName`.
    symbol: &'static str,
    /// What quotes, candles and feeds call it.
    name: &'static str,
}

const fn listed(
    segment: &'static str,
    number: u32,
    symbol: &'static str,
    name: &'static str,
) -> Listed {
    Listed {
        segment,
        number,
        symbol,
        name,
    }
}

const LISTED: [Listed; 8] = [
    listed("nse_cm", 26_000, "NIFTY", "Nifty 50"),
    listed("nse_cm", 26_009, "BANKNIFTY", "Nifty Bank"),
    listed("nse_cm", 26_013, "NIFTYNXT50", "Nifty Next 50"),
    listed("nse_cm", 26_037, "FINNIFTY", "Nifty Fin Service"),
    listed("nse_cm", 26_074, "MIDCPNIFTY", "NIFTY MID SELECT"),
    listed("bse_cm", 1, "SENSEX", "SENSEX"),
    listed("bse_cm", 12, "BANKEX", "BANKEX"),
    listed("bse_cm", 47, "SENSEX50", "SNSX50"),
];
/// NSE has no share with such a number.
const NSE_NUMBERS: std::ops::Range<u32> = 26_000..26_100;

/// The names on `nse_cm`, as the broker's documents list them. Not a closed list, and not
/// always what is live: see [`spelling`].
#[rustfmt::skip]
const NSE: &[&str] = &[
    "NIFTY AlphaLowVol", "Nifty Commodities", "Nifty Consumption", "Nifty Div Opps 50",
    "Nifty Energy", "Nifty Infra", "Nifty Media", "Nifty Metal", "Nifty MNC",
    "Nifty Serv Sector", "NIFTY SMLCAP 100", "Nifty100 Liq 15", "NIFTY LARGEMID250",
    "NIFTY MIDSML 400", "Nifty FinSrv25 50", "NIFTY100 EQL Wgt", "NIFTY100 LowVol30",
    "NIFTY500 MULTICAP", "NIFTY Alpha 50", "NIFTY CONSR DURBL", "NIFTY HEALTHCARE",
    "Nifty GrowSect 15", "Nifty200Momentm30", "Nifty Mid Liq 15", "Nifty Pvt Bank",
    "NIFTY OIL AND GAS", "Nifty 100", "Nifty 200", "Nifty Auto", "Nifty FMCG",
    "NIFTY MIDCAP 100", "Nifty Next 50", "Nifty Pharma", "Nifty PSU Bank",
    "NIFTY100 Qualty30", "NIFTY MIDCAP 150", "NIFTY200 QUALTY30", "NIFTY SMLCAP 250",
    "NIFTY SMLCAP 50", "Nifty Realty", "Nifty 500", "Nifty 50", "Nifty IT", "Nifty Bank",
    "Nifty Midcap 50", "INDIA VIX", "Nifty PSE", "Nifty Fin Service", "Nifty CPSE",
    "NIFTY MID SELECT", "NIFTY MICROCAP250",
];
/// Those on `bse_cm`.
#[rustfmt::skip]
const BSE: &[&str] = &[
    "SNSX50", "SENSEX", "BANKEX", "BSE100", "BSE200", "BSE500", "BSEPSU", "TECK", "AUTO",
    "OILGAS", "DOL30", "DOL100", "DOL200", "REALTY", "POWER", "BSEIPO", "SMEIPO", "INFRA",
    "CPSE", "MIDCAP", "SMLCAP", "BSEFMC", "MFG", "ALLCAP", "COMDTY", "CONDIS", "ENERGY",
    "FINSER", "INDSTR", "LRGCAP", "MIDSEL", "SMLSEL", "TELCOM", "UTILS", "SNXT50", "BHRT22",
    "ESG100", "MID150", "SML250", "LMI250", "MSL400", "BSEDSI", "BSEEVI", "BSELVI", "BSEMOI",
    "BSEQUI", "DFRGRI", "LCTMCI", "BSEPBI", "BSESER", "SNXN30", "SNSX60", "SS6535", "POWENE",
    "200EQW", "INTECO", "CAPINS", "FOCIT", "PRECON", "FOCMID", "BBGEFS", "SENEQW", "SELIPO",
    "PSUBNK", "INSLDR", "BS1000", "NXT500", "BSM250", "NXT250", "1000EQ", "IND150", "BSE5S",
    "BN5TIP", "BSLMIP", "BSHOIP", "BS5TIP", "BDISB", "BSEBIP", "BSREIT", "BSMSIP", "BSE CG",
    "BSE CD", "BSE HC", "BSE IT",
];

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Quotes,
    Candles,
    Feed,
}

/// What quotes and candles call an instrument: the name of an index that is given by its
/// number.
///
/// # Errors
///
/// The index is one whose name is not known.
pub(crate) fn named<'a>(segment: &str, token: &'a str) -> Result<&'a str, &'static str> {
    let Ok(number) = token.parse::<u32>() else {
        return Ok(token);
    };
    match listed_as(segment, number) {
        Some(index) => Ok(index.name),
        None if is_index(segment, number) => {
            Err("is the number of an index, which the broker wants by its name, like Nifty 50")
        }
        None => Ok(token),
    }
}

fn listed_as(segment: &str, number: u32) -> Option<&'static Listed> {
    let mut all = LISTED.iter();
    all.find(|index| index.segment == segment && index.number == number)
}

/// Whether a number of a segment is that of an index, as far as is known.
pub(crate) fn is_index(segment: &str, number: u32) -> bool {
    let nse = segment == "nse_cm" && NSE_NUMBERS.contains(&number);
    nse || listed_as(segment, number).is_some()
}

/// How the broker spells an index that is given otherwise: in other case, with other blanks,
/// or by its name in scrip files. `None` where the name is right, or not known at all.
///
/// It is a hint, and nothing is refused by it: the documents are not always right (they have
/// `INDIA VIX` for quotes too, which live want `India VIX`).
pub(crate) fn spelling(asked: Asked, segment: &str, name: &str) -> Option<&'static str> {
    let list = match segment {
        "nse_cm" => NSE,
        "bse_cm" => BSE,
        _ => return None,
    };
    let by_symbol = || {
        let mut all = LISTED.iter();
        all.find(|index| index.segment == segment && is_same(index.symbol, name))
            .map(|index| index.name)
    };
    let mut names = list.iter().copied();
    let listed = names
        .find(|listed| is_same(listed, name))
        .or_else(by_symbol)?;
    let right = match (asked, listed) {
        (Asked::Quotes, "INDIA VIX") => "India VIX",
        (_, listed) => listed,
    };
    (right != name).then_some(right)
}

/// Whether two names differ in case and blanks at most.
fn is_same(one: &str, other: &str) -> bool {
    plain(one).eq(plain(other))
}

/// The letters of a name. A list of thousands is looked up name by name: nothing is copied.
fn plain(name: &str) -> impl Iterator<Item = u8> {
    let bytes = name.bytes().filter(|byte| !byte.is_ascii_whitespace());
    bytes.map(|byte| byte.to_ascii_lowercase())
}

/// What to tell of a name that the broker spells otherwise.
pub(crate) fn misspelt(name: &str, right: &str) -> String {
    format!(
        "\"{name}\" is asked for as it was given, but the broker's list has this index as \
         \"{right}\": names are exact, case and blanks too"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_goes_by_its_name() {
        for (segment, token, name) in [
            ("nse_cm", "26000", "Nifty 50"),
            ("nse_cm", "26074", "NIFTY MID SELECT"),
            ("bse_cm", "1", "SENSEX"),
            ("nse_cm", "Nifty 50", "Nifty 50"),
            ("nse_cm", "11536", "11536"),
            ("nse_cm", "26100", "26100"),
            ("nse_cm", "1", "1"),
            ("nse_fo", "26000", "26000"),
            ("mcx_fo", "567", "567"),
        ] {
            assert_eq!(named(segment, token), Ok(name), "{segment} {token}");
        }
        // The name in the example is one for quotes and candles alike.
        assert!(named("nse_cm", "26017").is_err_and(|why| why.ends_with("like Nifty 50")));
        for (segment, number, expected) in [
            ("nse_cm", 26_000, true),
            ("nse_cm", 26_099, true),
            ("nse_cm", 26_100, false),
            ("nse_cm", 25_999, false),
            ("nse_cm", 1, false),
            ("bse_cm", 1, true),
            ("bse_cm", 26_000, false),
            ("nse_fo", 26_000, false),
            ("mcx_fo", 567, false),
        ] {
            assert_eq!(is_index(segment, number), expected, "{segment} {number}");
        }
    }

    #[test]
    fn another_spelling_is_told_and_a_right_one_is_not() {
        use Asked::{Candles, Feed, Quotes};
        for (segment, name, right) in [
            ("nse_cm", "nifty 50", Some("Nifty 50")),
            ("nse_cm", "NIFTY 50", Some("Nifty 50")),
            ("nse_cm", "Nifty50", Some("Nifty 50")),
            ("nse_cm", "Nifty  50", Some("Nifty 50")),
            ("nse_cm", "NIFTY", Some("Nifty 50")),
            ("nse_cm", "banknifty", Some("Nifty Bank")),
            ("bse_cm", "Sensex", Some("SENSEX")),
            ("bse_cm", "SENSEX50", Some("SNSX50")),
            ("bse_cm", "BSECG", Some("BSE CG")),
            ("nse_cm", "Nifty 50", None),
            ("bse_cm", "SENSEX", None),
            ("nse_cm", "SENSEX", None),
            ("nse_cm", "Nifty 51", None),
            ("nse_cm", "", None),
            ("nse_fo", "nifty 50", None),
            ("mcx_fo", "567", None),
        ] {
            for asked in [Quotes, Candles, Feed] {
                assert_eq!(spelling(asked, segment, name), right, "{segment} {name}");
            }
        }
        for (asked, right, wrong) in [
            (Quotes, "India VIX", "INDIA VIX"),
            (Candles, "INDIA VIX", "India VIX"),
            (Feed, "INDIA VIX", "India VIX"),
        ] {
            assert_eq!(spelling(asked, "nse_cm", right), None);
            assert_eq!(spelling(asked, "nse_cm", wrong), Some(right));
        }
    }

    #[test]
    fn the_lists_agree() {
        for list in [NSE, BSE] {
            for (at, name) in list.iter().enumerate() {
                assert!(
                    list[..at].iter().all(|other| !is_same(other, name)),
                    "{name}"
                );
            }
        }
        for index in LISTED {
            let list = if index.segment == "nse_cm" { NSE } else { BSE };
            assert!(list.contains(&index.name), "{}", index.name);
            assert!(is_index(index.segment, index.number));
        }
    }
}
