//! How the file of a segment counts time, money and lots. The broker documents
//! none of it; this is what its files show.

/// One rupee in the unit of this room: fine enough for a currency's tick.
pub(super) const RUPEE: i64 = 10_000_000;

/// The conventions of one segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scheme {
    /// What makes a date of the file a unix time, in seconds, where the file does
    /// not tell it in `pCurrectionTime`.
    pub(super) correction: i64,
    /// Whether its scrips expire.
    pub(super) dated: bool,
    /// What one rupee is in the column of strikes, and in that of ticks.
    strike: i64,
    price: i64,
    /// Whether the freeze quantity counts lots.
    pub(super) freeze_in_lots: bool,
    /// Whether a contract's name begins its date with the day: `25SEP26`, not
    /// `26SEP` or `26925`.
    pub(super) day_first: bool,
}

/// From 1 January 1980 at midnight in India.
const SINCE_1980: i64 = 315_513_000;
/// The clock on an Indian wall, written as if it were UTC.
const INDIAN_WALL: i64 = -19_800;

impl Scheme {
    pub(super) fn of(segment: &str) -> Self {
        let cash = segment.ends_with("_cm");
        let currency = segment == "cde_fo";
        let nse_commodities = segment == "nse_com";
        Self {
            correction: match segment {
                "mcx_fo" => INDIAN_WALL,
                "bse_cm" | "bse_fo" => 0,
                _ => SINCE_1980,
            },
            dated: !cash,
            strike: match segment {
                "cde_fo" => 10_000_000,
                "nse_com" => 10_000,
                _ => 100,
            },
            price: if currency { 10_000_000 } else { 100 },
            freeze_in_lots: nse_commodities,
            day_first: segment == "mcx_fo",
        }
    }

    /// A strike of the file in 1/[`RUPEE`].
    pub(super) fn strike(&self, number: f64) -> Option<i64> {
        units(number, RUPEE / self.strike)
    }

    /// A tick of the file in 1/[`RUPEE`].
    pub(super) fn price(&self, number: f64) -> Option<i64> {
        units(number, RUPEE / self.price)
    }
}

/// A number of the file, as so many units each.
pub(super) fn units(number: f64, each: i64) -> Option<i64> {
    let units = number * each as f64;
    // Far more than any price, and far from where numbers end.
    (units.abs() < 1e18).then(|| units.round() as i64)
}
