//! The instruments of the pretend exchanges, made by rule for a given day.
//!
//! The same day gives the same instruments. Shares carry their true names and tokens; contracts,
//! prices and everything else are made up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::indices::{self, Traded};
use super::mix;
use crate::clock::{Moment, date, india_unix, weekday};
use crate::money::{PAISA, RUPEE};

/// An exchange segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Segment {
    NseCm,
    BseCm,
    NseFo,
    BseFo,
    McxFo,
    CdeFo,
    NseCom,
}

impl Segment {
    pub(crate) const ALL: [Segment; 7] = [
        Segment::NseCm,
        Segment::BseCm,
        Segment::NseFo,
        Segment::BseFo,
        Segment::McxFo,
        Segment::CdeFo,
        Segment::NseCom,
    ];

    pub(crate) fn code(self) -> &'static str {
        match self {
            Segment::NseCm => "nse_cm",
            Segment::BseCm => "bse_cm",
            Segment::NseFo => "nse_fo",
            Segment::BseFo => "bse_fo",
            Segment::McxFo => "mcx_fo",
            Segment::CdeFo => "cde_fo",
            Segment::NseCom => "nse_com",
        }
    }

    pub(crate) fn read(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|segment| segment.code() == code)
    }

    /// The exchange, as the books and files name it.
    pub(crate) fn exchange(self) -> &'static str {
        match self {
            Segment::NseCm | Segment::NseFo | Segment::NseCom => "NSE",
            Segment::BseCm | Segment::BseFo => "BSE",
            Segment::McxFo => "MCX",
            Segment::CdeFo => "CDS",
        }
    }

    pub(crate) fn is_cash(self) -> bool {
        matches!(self, Segment::NseCm | Segment::BseCm)
    }

    /// How many decimals its prices have.
    pub(crate) fn decimals(self) -> u32 {
        if self == Segment::CdeFo { 4 } else { 2 }
    }

    /// What is added to a date of its file to get Unix seconds: NSE counts from 1980 in India,
    /// MCX writes the Indian clock as if it were UTC.
    pub(crate) fn correction(self) -> i64 {
        match self {
            Segment::NseCm | Segment::NseFo | Segment::CdeFo | Segment::NseCom => 315_513_000,
            Segment::McxFo => -19_800,
            Segment::BseCm | Segment::BseFo => 0,
        }
    }

    /// When its contracts end on the last day, as seen in files: seconds after midnight in India.
    fn end_of_contract(self) -> u64 {
        match self {
            Segment::McxFo | Segment::BseFo => 23 * 3600 + 59 * 60 + 59,
            _ => 14 * 3600 + 30 * 60,
        }
    }

    fn number(self) -> u64 {
        Self::ALL
            .iter()
            .position(|other| *other == self)
            .map_or(0, |at| at as u64)
    }
}

/// Names an instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id {
    pub(crate) segment: Segment,
    pub(crate) index: u32,
}

impl Id {
    /// A number of its own, for the generator.
    pub(crate) fn hash(self) -> u64 {
        mix(self.segment.number() << 32 | u64::from(self.index))
    }
}

/// What kind of instrument it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Share,
    /// Quoted, never traded.
    Index,
    Future,
    Call,
    Put,
}

impl Kind {
    pub(crate) fn is_option(self) -> bool {
        matches!(self, Kind::Call | Kind::Put)
    }

    /// `CE`, `PE`, or `XX`.
    pub(crate) fn option_type(self) -> &'static str {
        match self {
            Kind::Call => "CE",
            Kind::Put => "PE",
            _ => "XX",
        }
    }
}

/// One instrument. Prices are in the units of [`crate::money`].
#[derive(Clone, Debug)]
pub(crate) struct Scrip {
    pub(crate) id: Id,
    /// The number in orders and quotes; for an index its name.
    pub(crate) token: String,
    /// The trading symbol.
    pub(crate) symbol: String,
    /// The ticker, or the underlying of a contract.
    pub(crate) name: String,
    pub(crate) description: &'static str,
    pub(crate) isin: &'static str,
    pub(crate) kind: Kind,
    /// Of an index rather than of a share or a commodity.
    pub(crate) of_index: bool,
    pub(crate) lot: i64,
    pub(crate) tick: i64,
    /// Largest quantity of one order.
    pub(crate) freeze: i64,
    /// Yesterday's close.
    pub(crate) close: i64,
    pub(crate) low: i64,
    pub(crate) high: i64,
    pub(crate) strike: i64,
    /// The last day of a contract, counted from 1970.
    pub(crate) expiry: Option<u64>,
    pub(crate) underlying: Option<Id>,
    /// The number of the underlying in the cash file.
    pub(crate) asset: String,
    /// Shown in the scrip file.
    pub(crate) listed: bool,
}

impl Scrip {
    pub(crate) fn series(&self) -> &'static str {
        match (self.id.segment, self.kind) {
            (Segment::NseCm, Kind::Share) => "EQ",
            (Segment::BseCm, Kind::Share) => "A",
            (_, Kind::Share | Kind::Index) => "",
            _ => "XX",
        }
    }

    /// `FUTIDX`, `OPTSTK`, ...; empty for cash.
    pub(crate) fn instrument_type(&self) -> &'static str {
        match (self.id.segment, self.kind, self.of_index) {
            (_, Kind::Share | Kind::Index, _) => "",
            (Segment::McxFo | Segment::NseCom, Kind::Future, _) => "FUTCOM",
            (Segment::McxFo | Segment::NseCom, _, _) => "OPTFUT",
            (Segment::CdeFo, Kind::Future, _) => "FUTCUR",
            (Segment::CdeFo, _, _) => "OPTCUR",
            (_, Kind::Future, true) => "FUTIDX",
            (_, Kind::Future, false) => "FUTSTK",
            (_, _, true) => "OPTIDX",
            (_, _, false) => "OPTSTK",
        }
    }

    /// The end of the contract as Unix time.
    pub(crate) fn expires_at(&self) -> Option<u64> {
        self.expiry
            .map(|day| india_unix(day, self.id.segment.end_of_contract()))
    }

    /// Rounds to a price that orders may have.
    pub(crate) fn on_tick(&self, price: i64) -> i64 {
        let tick = self.tick.max(1);
        ((price + tick / 2) / tick * tick).clamp(self.low.max(tick), self.high)
    }
}

/// The instruments of one segment.
pub(crate) struct Scrips {
    pub(crate) list: Vec<Scrip>,
    by_symbol: HashMap<String, u32>,
    by_token: HashMap<String, u32>,
}

impl Scrips {
    fn new(list: Vec<Scrip>) -> Self {
        let index = |key: fn(&Scrip) -> &str| {
            list.iter()
                .filter(|scrip| !key(scrip).is_empty())
                .map(|scrip| (key(scrip).to_owned(), scrip.id.index))
                .collect()
        };
        Self {
            by_symbol: index(|scrip| &scrip.symbol),
            by_token: index(|scrip| &scrip.token),
            list,
        }
    }

    pub(crate) fn by_symbol(&self, symbol: &str) -> Option<&Scrip> {
        self.get(*self.by_symbol.get(symbol)?)
    }

    pub(crate) fn by_token(&self, token: &str) -> Option<&Scrip> {
        self.get(*self.by_token.get(token)?)
    }

    pub(crate) fn get(&self, index: u32) -> Option<&Scrip> {
        self.list.get(index as usize)
    }

    /// The contracts on `name`.
    pub(crate) fn contracts<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Scrip> {
        self.list
            .iter()
            .filter(move |scrip| scrip.expiry.is_some() && scrip.name == name)
    }
}

/// The instruments of a segment on a day. They are made once per process, since a segment has up
/// to 90,000.
pub(crate) fn scrips(segment: Segment, day: u64) -> Arc<Scrips> {
    type Made = ((Segment, u64), Arc<Scrips>);
    static MADE: Mutex<Vec<Made>> = Mutex::new(Vec::new());
    let find = |made: &[Made]| {
        made.iter()
            .find(|(key, _)| *key == (segment, day))
            .map(|(_, scrips)| Arc::clone(scrips))
    };
    // A list is added whole or not at all, so a panic elsewhere leaves it sound.
    let lock = || MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = find(&lock()) {
        return found;
    }
    // Made without the lock: a segment of contracts asks for the cash segment below it.
    let fresh = Arc::new(Scrips::new(make(segment, day)));
    let mut made = lock();
    find(&made).unwrap_or_else(|| {
        made.push(((segment, day), Arc::clone(&fresh)));
        fresh
    })
}

/// A share of the table.
struct Share {
    symbol: &'static str,
    token: &'static str,
    isin: &'static str,
    close: i64,
    derivatives: bool,
    name: &'static str,
}

fn shares() -> impl Iterator<Item = Share> {
    include_str!("stocks.csv").lines().skip(1).map(|line| {
        let mut cells = line.split(',');
        let mut next = || cells.next().unwrap_or("");
        Share {
            symbol: next(),
            token: next(),
            isin: next(),
            close: next().parse::<i64>().unwrap_or(0) * PAISA,
            derivatives: next() == "Y",
            name: next(),
        }
    })
}

fn make(segment: Segment, day: u64) -> Vec<Scrip> {
    let mut maker = Maker {
        segment,
        day,
        list: Vec::new(),
    };
    match segment {
        Segment::NseCm => maker.cash(indices::NSE, indices::NSE_TRADED),
        Segment::BseCm => maker.cash(indices::BSE, indices::BSE_TRADED),
        Segment::NseFo => {
            let cash = scrips(Segment::NseCm, day);
            for traded in indices::NSE_TRADED {
                maker.index_contracts(&cash, traded);
            }
            for share in shares().filter(|share| share.derivatives) {
                maker.share_contracts(&cash, &format!("{}-EQ", share.symbol), 93);
            }
        }
        Segment::BseFo => {
            let cash = scrips(Segment::BseCm, day);
            for traded in indices::BSE_TRADED {
                maker.index_contracts(&cash, traded);
            }
            for share in shares().filter(|share| share.derivatives).take(5) {
                maker.share_contracts(&cash, share.symbol, 21);
            }
        }
        Segment::McxFo => {
            for (name, rupees, lot, tick, step) in [
                ("GOLD", 148_500, 1, 100, 1000),
                ("GOLDM", 148_200, 100, 100, 1000),
                ("SILVER", 181_300, 30, 100, 2500),
                ("CRUDEOIL", 5_640, 100, 100, 50),
                ("NATURALGAS", 284, 1250, 10, 5),
                ("COPPER", 962, 2500, 5, 10),
            ] {
                maker.commodity(name, rupees, lot, tick * PAISA, step);
            }
        }
        Segment::NseCom => maker.commodity("GOLD1G", 14_850, 1, 100 * PAISA, 100),
        Segment::CdeFo => {
            for (name, price) in [
                ("USDINR", 880_125),
                ("EURINR", 1_024_350),
                ("GBPINR", 1_181_275),
            ] {
                maker.currency(name, price);
            }
        }
    }
    maker.list
}

struct Maker {
    segment: Segment,
    day: u64,
    list: Vec<Scrip>,
}

/// A contract that is to be made.
struct Contract<'a> {
    underlying: Option<&'a Scrip>,
    name: &'a str,
    asset: &'a str,
    /// Where the underlying closed.
    spot: i64,
    of_index: bool,
    lot: i64,
    tick: i64,
}

impl Maker {
    fn push(&mut self, make: impl FnOnce(Id, u64) -> Scrip) {
        let index = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        let id = Id {
            segment: self.segment,
            index,
        };
        // Tokens are not in the order of the rows, as in the true files.
        let scrambled = 30_001 + u64::from(index) * 7_919 % 99_991;
        self.list.push(make(id, scrambled));
    }

    fn cash(&mut self, names: &'static [&'static str], traded: &'static [Traded]) {
        let nse = self.segment == Segment::NseCm;
        for (at, share) in shares().enumerate() {
            let tick = if nse && share.close < 250 * RUPEE {
                PAISA
            } else {
                5 * PAISA
            };
            let band = share.close / 5 / tick * tick;
            self.push(|id, _| Scrip {
                id,
                token: if nse {
                    share.token.to_owned()
                } else {
                    (500_010 + at * 10).to_string()
                },
                symbol: if nse {
                    format!("{}-EQ", share.symbol)
                } else {
                    share.symbol.to_owned()
                },
                name: share.symbol.to_owned(),
                description: share.name,
                isin: share.isin,
                kind: Kind::Share,
                of_index: false,
                lot: 1,
                tick,
                freeze: 99_999_999,
                close: share.close,
                low: share.close - band,
                high: share.close + band,
                strike: 0,
                expiry: None,
                underlying: None,
                asset: String::new(),
                listed: true,
            });
        }
        for name in names {
            let known = traded.iter().find(|traded| traded.index == *name);
            self.push(|id, _| Scrip {
                id,
                token: (*name).to_owned(),
                // An index has no trading symbol that an order could name.
                symbol: String::new(),
                name: known.map_or(*name, |known| known.name).to_owned(),
                description: known.map_or(*name, |known| known.name),
                isin: "",
                kind: Kind::Index,
                of_index: true,
                lot: 1,
                tick: 5 * PAISA,
                freeze: 0,
                close: indices::close(name),
                low: 5 * PAISA,
                high: i64::MAX / 4,
                strike: 0,
                expiry: None,
                underlying: None,
                asset: known.map_or("", |known| known.token).to_owned(),
                listed: known.is_some(),
            });
        }
    }

    fn index_contracts(&mut self, cash: &Scrips, traded: &Traded) {
        let Some(index) = cash.by_token(traded.index) else {
            return;
        };
        let contract = Contract {
            underlying: Some(index),
            name: traded.name,
            asset: traded.token,
            spot: index.close,
            of_index: true,
            lot: traded.lot,
            tick: 5 * PAISA,
        };
        let weekday = self.expiry_weekday();
        let months = month_ends(self.day, 3, weekday);
        for day in &months {
            self.future(&contract, *day);
            self.options(&contract, *day, traded.step * RUPEE, traded.strikes, true);
        }
        if traded.weekly {
            for day in week_ends(self.day, 5, weekday, &months) {
                self.options(&contract, day, traded.step * RUPEE, traded.strikes, false);
            }
        }
    }

    fn share_contracts(&mut self, cash: &Scrips, symbol: &str, strikes: i64) {
        let Some(share) = cash.by_symbol(symbol) else {
            return;
        };
        // About 7.5 lakh rupees a contract.
        let lot = match 750_000 * RUPEE / share.close {
            lot @ 0..25 => lot.max(1),
            lot => lot / 25 * 25,
        };
        let contract = Contract {
            underlying: Some(share),
            name: &share.name,
            asset: &share.token,
            spot: share.close,
            of_index: false,
            lot,
            tick: share.tick,
        };
        for day in month_ends(self.day, 3, self.expiry_weekday()) {
            self.future(&contract, day);
            self.options(&contract, day, strike_step(share.close), strikes, true);
        }
    }

    fn commodity(&mut self, name: &str, rupees: i64, lot: i64, tick: i64, step: i64) {
        let contract = Contract {
            underlying: None,
            name,
            asset: "",
            spot: rupees * RUPEE,
            of_index: false,
            lot,
            tick,
        };
        for day in month_ends(self.day, 3, 4) {
            self.future(&contract, day);
            self.options(&contract, day, step * RUPEE, 41, true);
        }
    }

    fn currency(&mut self, name: &str, price: i64) {
        let contract = Contract {
            underlying: None,
            name,
            asset: "",
            spot: price,
            of_index: false,
            // A thousand units, which the file has as a multiplier.
            lot: 1,
            tick: 25,
        };
        for day in month_ends(self.day, 3, 4) {
            self.future(&contract, day);
            self.options(&contract, day, RUPEE / 4, 21, true);
        }
    }

    /// Tuesday on NSE, Thursday on BSE.
    fn expiry_weekday(&self) -> u64 {
        if self.segment == Segment::BseFo { 3 } else { 1 }
    }

    fn future(&mut self, contract: &Contract<'_>, day: u64) {
        let moment = Moment::on(day);
        let month = moment.month_name().to_uppercase();
        let year = moment.year % 100;
        let symbol = match self.segment {
            Segment::McxFo => format!("{}{:02}{month}{year}FUT", contract.name, moment.day),
            _ => format!("{}{year}{month}FUT", contract.name),
        };
        self.contract(contract, day, Kind::Future, 0, symbol);
    }

    fn options(
        &mut self,
        contract: &Contract<'_>,
        day: u64,
        step: i64,
        strikes: i64,
        monthly: bool,
    ) {
        let moment = Moment::on(day);
        let month = moment.month_name().to_uppercase();
        let year = moment.year % 100;
        let date = match (self.segment, monthly) {
            (Segment::McxFo, _) => format!("{:02}{month}{year}", moment.day),
            (_, true) => format!("{year}{month}"),
            // A week's contract has the month as one letter: 1 to 9, O, N, D.
            (_, false) => {
                let letter = match moment.month {
                    10 => 'O',
                    11 => 'N',
                    12 => 'D',
                    month => char::from(b'0' + month as u8),
                };
                format!("{year}{letter}{:02}", moment.day)
            }
        };
        let middle = (contract.spot + step / 2) / step;
        for at in 0..strikes {
            let strike = (middle - strikes / 2 + at) * step;
            for kind in [Kind::Call, Kind::Put] {
                let symbol = format!(
                    "{}{date}{}{}",
                    contract.name,
                    crate::money::plain(strike),
                    kind.option_type()
                );
                self.contract(contract, day, kind, strike, symbol);
            }
        }
    }

    fn contract(
        &mut self,
        contract: &Contract<'_>,
        expiry: u64,
        kind: Kind,
        strike: i64,
        symbol: String,
    ) {
        let tick = contract.tick;
        let today = self.day;
        self.push(|id, token| {
            let mut scrip = Scrip {
                id,
                token: token.to_string(),
                symbol,
                name: contract.name.to_owned(),
                description: "",
                isin: "",
                kind,
                of_index: contract.of_index,
                lot: contract.lot,
                tick,
                freeze: contract.lot * 40,
                close: 0,
                low: tick,
                high: i64::MAX / 4,
                strike,
                expiry: Some(expiry),
                underlying: contract.underlying.map(|scrip| scrip.id),
                asset: contract.asset.to_owned(),
                listed: true,
            };
            scrip.close = scrip.on_tick(fair(&scrip, contract.spot, today));
            let band = if kind == Kind::Future {
                scrip.close / 10
            } else {
                contract.spot / 5
            };
            scrip.high = (scrip.close + band) / tick * tick;
            scrip.low = ((scrip.close - band) / tick * tick).max(tick);
            scrip
        });
    }
}

/// What a contract is worth when its underlying stands at `spot`: for an option what it would
/// bring at once, and a hope that is largest where strike and spot meet and grows with the time.
pub(crate) fn fair(scrip: &Scrip, spot: i64, today: u64) -> i64 {
    let days = scrip
        .expiry
        .map_or(0, |expiry| expiry.saturating_sub(today)) as f64
        + 0.25;
    let spot_now = spot as f64;
    if scrip.kind == Kind::Future {
        return (spot_now * (1.0 + 0.065 * days / 365.0)) as i64;
    }
    let inside = match scrip.kind {
        Kind::Call => spot - scrip.strike,
        Kind::Put => scrip.strike - spot,
        _ => return spot,
    };
    let yearly = if scrip.of_index { 0.14 } else { 0.30 };
    let spread = spot_now * yearly * (days / 365.0).sqrt();
    let distance = (spot - scrip.strike) as f64 / spread;
    inside.max(0) + (0.4 * spread * (-distance * distance / 2.0).exp()) as i64
}

/// The distance of strikes: about a sixtieth of the price, and a round number.
fn strike_step(price: i64) -> i64 {
    [1000, 500, 250, 100, 50, 25, 20, 10, 5]
        .into_iter()
        .map(|rupees| rupees * RUPEE)
        .chain([RUPEE * 5 / 2, RUPEE, RUPEE / 2, RUPEE / 4, RUPEE / 10])
        .find(|step| *step <= price / 60)
        .unwrap_or(RUPEE / 20)
}

/// The last such weekday of this month and the ones after, from today on.
fn month_ends(today: u64, count: usize, wanted: u64) -> Vec<u64> {
    (today..)
        .filter(|day| weekday(*day) == wanted && date(day + 7).1 != date(*day).1)
        .take(count)
        .collect()
}

/// The next such weekdays that end no month.
fn week_ends(today: u64, count: usize, wanted: u64, months: &[u64]) -> Vec<u64> {
    (today..)
        .filter(|day| weekday(*day) == wanted && !months.contains(day))
        .take(count)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::clock::parse_iso_date;

    fn day() -> u64 {
        parse_iso_date("2026-08-28").unwrap()
    }

    #[test]
    fn nse_fo_has_90_000_rows_with_names_of_their_own() {
        let scrips = scrips(Segment::NseFo, day());
        assert_eq!(scrips.list.len(), 90_000);
        let unique =
            |key: fn(&Scrip) -> &str| scrips.list.iter().map(key).collect::<HashSet<_>>().len();
        assert_eq!(unique(|scrip| &scrip.symbol), 90_000);
        assert_eq!(unique(|scrip| &scrip.token), 90_000);
        for scrip in &scrips.list {
            assert!(
                scrip.low >= scrip.tick && scrip.low <= scrip.close,
                "{scrip:?}"
            );
            assert!(
                scrip.close <= scrip.high && scrip.close % scrip.tick == 0,
                "{scrip:?}"
            );
            assert!(scrip.lot > 0 && scrip.strike >= 0, "{scrip:?}");
            assert_eq!(scrip.strike > 0, scrip.kind.is_option());
        }
    }

    #[test]
    fn symbols_follow_the_documented_patterns() {
        let nse = scrips(Segment::NseFo, day());
        let expiry =
            |symbol: &str| Moment::on(nse.by_symbol(symbol).unwrap().expiry.unwrap()).iso_date();
        assert_eq!(expiry("NIFTY2690124300PE"), "2026-09-01");
        assert_eq!(expiry("NIFTY26SEP24300CE"), "2026-09-29");
        assert_eq!(expiry("NIFTY26O0624300CE"), "2026-10-06");
        assert_eq!(expiry("BANKNIFTY26OCTFUT"), "2026-10-27");
        assert_eq!(expiry("IDEA26SEP9.4CE"), "2026-09-29");
        let mcx = scrips(Segment::McxFo, day());
        assert!(mcx.by_symbol("GOLDM25SEP26148000CE").is_some());
        assert!(mcx.by_symbol("GOLDM25SEP26FUT").is_some());
        let cash = scrips(Segment::NseCm, day());
        assert_eq!(cash.by_symbol("TCS-EQ").unwrap().token, "11536");
        assert_eq!(cash.by_token("Nifty 50").unwrap().kind, Kind::Index);
        assert!(cash.by_token("26000").is_none());
    }

    #[test]
    fn every_segment_has_instruments_and_every_day_has_expiries() {
        for segment in Segment::ALL {
            assert!(scrips(segment, day()).list.len() > 50, "{segment:?}");
            assert_eq!(Segment::read(segment.code()), Some(segment));
        }
        for day in day()..day() + 40 {
            let months = month_ends(day, 3, 1);
            assert!(months.windows(2).all(|pair| pair[0] < pair[1]));
            assert_eq!(week_ends(day, 5, 1, &months).len(), 5);
        }
    }

    #[test]
    fn calls_get_cheaper_and_puts_dearer_with_the_strike() {
        let nse = scrips(Segment::NseFo, day());
        for (kind, rising) in [(Kind::Call, false), (Kind::Put, true)] {
            let prices: Vec<i64> = nse
                .contracts("NIFTY")
                .filter(|scrip| scrip.kind == kind && scrip.symbol.starts_with("NIFTY26SEP"))
                .map(|scrip| scrip.close)
                .collect();
            assert_eq!(prices.len(), 150);
            assert!(prices.windows(2).all(|pair| if rising {
                pair[0] <= pair[1]
            } else {
                pair[0] >= pair[1]
            }));
        }
    }
}
