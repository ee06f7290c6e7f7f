//! The indices that can be quoted: their exact names, and where the known ones stand.

use crate::money::RUPEE;

/// Names on `nse_cm`, as the broker lists them.
pub(super) const NSE: &[&str] = &[
    "NIFTY AlphaLowVol",
    "Nifty Commodities",
    "Nifty Consumption",
    "Nifty Div Opps 50",
    "Nifty Energy",
    "Nifty Infra",
    "Nifty Media",
    "Nifty Metal",
    "Nifty MNC",
    "Nifty Serv Sector",
    "NIFTY SMLCAP 100",
    "Nifty100 Liq 15",
    "NIFTY LARGEMID250",
    "NIFTY MIDSML 400",
    "Nifty FinSrv25 50",
    "NIFTY100 EQL Wgt",
    "NIFTY100 LowVol30",
    "NIFTY500 MULTICAP",
    "NIFTY Alpha 50",
    "NIFTY CONSR DURBL",
    "NIFTY HEALTHCARE",
    "Nifty GrowSect 15",
    "Nifty200Momentm30",
    "Nifty Mid Liq 15",
    "Nifty Pvt Bank",
    "NIFTY OIL AND GAS",
    "Nifty 100",
    "Nifty 200",
    "Nifty Auto",
    "Nifty FMCG",
    "NIFTY MIDCAP 100",
    "Nifty Next 50",
    "Nifty Pharma",
    "Nifty PSU Bank",
    "NIFTY100 Qualty30",
    "NIFTY MIDCAP 150",
    "NIFTY200 QUALTY30",
    "NIFTY SMLCAP 250",
    "NIFTY SMLCAP 50",
    "Nifty Realty",
    "Nifty 500",
    "Nifty 50",
    "Nifty IT",
    "Nifty Bank",
    "Nifty Midcap 50",
    "INDIA VIX",
    "Nifty PSE",
    "Nifty Fin Service",
    "Nifty CPSE",
    "NIFTY MID SELECT",
    "NIFTY MICROCAP250",
];

/// Names on `bse_cm`.
pub(super) const BSE: &[&str] = &[
    "SNSX50", "SENSEX", "BANKEX", "BSE100", "BSE200", "BSE500", "BSEPSU", "TECK", "AUTO", "OILGAS",
    "DOL30", "DOL100", "DOL200", "REALTY", "POWER", "BSEIPO", "SMEIPO", "INFRA", "CPSE", "MIDCAP",
    "SMLCAP", "BSEFMC", "MFG", "ALLCAP", "COMDTY", "CONDIS", "ENERGY", "FINSER", "INDSTR",
    "LRGCAP", "MIDSEL", "SMLSEL", "TELCOM", "UTILS", "SNXT50", "BHRT22", "ESG100", "MID150",
    "SML250", "LMI250", "MSL400", "BSEDSI", "BSEEVI", "BSELVI", "BSEMOI", "BSEQUI", "DFRGRI",
    "LCTMCI", "BSEPBI", "BSESER", "SNXN30", "SNSX60", "SS6535", "POWENE", "200EQW", "INTECO",
    "CAPINS", "FOCIT", "PRECON", "FOCMID", "BBGEFS", "SENEQW", "SELIPO", "PSUBNK", "INSLDR",
    "BS1000", "NXT500", "BSM250", "NXT250", "1000EQ", "IND150", "BSE5S", "BN5TIP", "BSLMIP",
    "BSHOIP", "BS5TIP", "BDISB", "BSEBIP", "BSREIT", "BSMSIP", "BSE CG", "BSE CD", "BSE HC",
    "BSE IT",
];

/// An index with derivatives.
pub(super) struct Traded {
    /// The name in quotes.
    pub(super) index: &'static str,
    /// The name of its derivatives, and of its row in the cash file.
    pub(super) name: &'static str,
    /// The number in the cash file.
    pub(super) token: &'static str,
    pub(super) lot: i64,
    /// The distance of strikes, in rupees.
    pub(super) step: i64,
    /// How many strikes each expiry has.
    pub(super) strikes: i64,
    /// Whether every week has an expiry, not every month only.
    pub(super) weekly: bool,
}

/// Those of `nse_fo`.
pub(super) const NSE_TRADED: &[Traded] = &[
    Traded {
        index: "Nifty 50",
        name: "NIFTY",
        token: "26000",
        lot: 65,
        step: 50,
        strikes: 150,
        weekly: true,
    },
    Traded {
        index: "Nifty Bank",
        name: "BANKNIFTY",
        token: "26009",
        lot: 30,
        step: 100,
        strikes: 200,
        weekly: false,
    },
    Traded {
        index: "Nifty Fin Service",
        name: "FINNIFTY",
        token: "26037",
        lot: 60,
        step: 50,
        strikes: 150,
        weekly: false,
    },
    Traded {
        index: "NIFTY MID SELECT",
        name: "MIDCPNIFTY",
        token: "26074",
        lot: 120,
        step: 25,
        strikes: 150,
        weekly: false,
    },
    Traded {
        index: "Nifty Next 50",
        name: "NIFTYNXT50",
        token: "26013",
        lot: 25,
        step: 100,
        strikes: 166,
        weekly: false,
    },
];

/// Those of `bse_fo`.
pub(super) const BSE_TRADED: &[Traded] = &[
    Traded {
        index: "SENSEX",
        name: "SENSEX",
        token: "1",
        lot: 20,
        step: 100,
        strikes: 120,
        weekly: true,
    },
    Traded {
        index: "BANKEX",
        name: "BANKEX",
        token: "12",
        lot: 30,
        step: 100,
        strikes: 120,
        weekly: false,
    },
];

/// Where an index closed yesterday. The ones that are not known well get a value by their name.
pub(super) fn close(name: &str) -> i64 {
    let rupees = match name {
        "Nifty 50" => 24_322,
        "Nifty Bank" => 52_410,
        "Nifty Fin Service" => 25_180,
        "NIFTY MID SELECT" => 12_640,
        "Nifty Next 50" => 66_930,
        "SENSEX" => 79_904,
        "BANKEX" => 59_320,
        "INDIA VIX" => 14,
        other => {
            let hash = other
                .bytes()
                .fold(7, |hash, byte| super::mix(hash ^ u64::from(byte)));
            5_000 + i64::try_from(hash % 20_000).unwrap_or(0)
        }
    };
    rupees * RUPEE
}
