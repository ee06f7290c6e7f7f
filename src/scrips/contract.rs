//! What the name of a contract says about its last day.
//!
//! The count of a date in the files has no name, and differs from segment to
//! segment. The name of a contract says the day once more, so a wrong count shows.

use super::segment::Scheme;
use crate::base::calendar::date_text;

/// Months of a contract that ends with a week: a digit or a letter each.
const WEEKLY: &[u8; 12] = b"123456789OND";
const MONTHS: [&[u8; 3]; 12] = [
    b"JAN", b"FEB", b"MAR", b"APR", b"MAY", b"JUN", b"JUL", b"AUG", b"SEP", b"OCT", b"NOV", b"DEC",
];

/// A day as names write it.
#[derive(Clone, Copy)]
struct Spelled {
    day: i32,
    /// `22SEP26`
    whole: [u8; 7],
    /// `26SEP`
    month: [u8; 5],
    /// `26922`
    week: [u8; 5],
}

impl Spelled {
    fn new(day: i32) -> Option<Self> {
        let text = date_text(day)?.to_ascii_uppercase();
        let [d1, d2, m1, m2, m3, _, _, y1, y2] = *text.as_bytes() else {
            return None;
        };
        let number = MONTHS.iter().position(|name| **name == [m1, m2, m3])?;
        Some(Self {
            day,
            whole: [d1, d2, m1, m2, m3, y1, y2],
            month: [y1, y2, m1, m2, m3],
            week: [y1, y2, WEEKLY[number], d1, d2],
        })
    }
}

/// Compares names and days. Contracts end on few days: each is spelled once.
pub(super) struct Names {
    day_first: bool,
    known: [Option<Spelled>; 64],
}

impl Names {
    pub(super) fn new(scheme: Scheme) -> Self {
        Self {
            day_first: scheme.day_first,
            known: [None; 64],
        }
    }

    /// Whether a contract on `name` is called so that it ends on another day. A
    /// name that says nothing in a known form contradicts nothing.
    pub(super) fn contradict(&mut self, name: &[u8], symbol: &[u8], day: i32) -> bool {
        let Some(rest) = after(symbol, name).filter(|_| !name.is_empty()) else {
            return false;
        };
        let slot = &mut self.known[day.unsigned_abs() as usize % 64];
        let spelled = match slot {
            Some(spelled) if spelled.day == day => *spelled,
            _ => {
                *slot = Spelled::new(day);
                match slot {
                    Some(spelled) => *spelled,
                    None => return says_day(rest, self.day_first),
                }
            }
        };
        let agrees = match self.day_first {
            true => after(rest, &spelled.whole).is_some(),
            false => after(rest, &spelled.month)
                .or(after(rest, &spelled.week))
                .is_some(),
        };
        !agrees && says_day(rest, self.day_first)
    }
}

/// What follows a beginning, whatever its case.
fn after<'a>(text: &'a [u8], start: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = text.split_at_checked(start.len())?;
    head.eq_ignore_ascii_case(start).then_some(rest)
}

/// Whether what follows the underlying's name is a day, or a month, in one of the
/// known forms.
fn says_day(rest: &[u8], day_first: bool) -> bool {
    let digits = |range: std::ops::Range<usize>| {
        let found = rest.get(range);
        found.is_some_and(|found| found.iter().all(u8::is_ascii_digit))
    };
    let month = rest.get(2..5).is_some_and(|found| {
        let mut names = MONTHS.iter();
        names.any(|name| found.eq_ignore_ascii_case(*name))
    });
    let week = || {
        rest.get(2).is_some_and(|month| WEEKLY.contains(month))
            && digits(3..5)
            && matches!(rest.get(3..5), Some(day) if (&b"01"[..]..=&b"31"[..]).contains(&day))
    };
    digits(0..2)
        && match day_first {
            true => month && digits(5..7),
            false => month || week(),
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_the_day_in_three_forms() {
        // 22 September 2026.
        let day = 20_718;
        assert_eq!(date_text(day).as_deref(), Some("22Sep2026"));
        for (segment, name, symbol, contradicts) in [
            ("nse_fo", "NIFTY", "NIFTY2692221000PE", false),
            ("nse_fo", "NIFTY", "NIFTY26SEP21000PE", false),
            ("nse_fo", "NIFTY", "NIFTY26SEPFUT", false),
            ("nse_fo", "NIFTY", "nifty26sepfut", false),
            ("nse_fo", "M&M", "M&M26SEP2100.5CE", false),
            ("nse_fo", "NIFTY", "NIFTY2692921000PE", true),
            ("nse_fo", "NIFTY", "NIFTY26O0621000PE", true),
            ("nse_fo", "NIFTY", "NIFTY26OCT21000PE", true),
            ("bse_fo", "SENSEX", "SENSEX30SEP82000PE", true),
            ("bse_fo", "SENSEX50", "SENSEX5026SEP26300CE", false),
            ("mcx_fo", "GOLDM", "GOLDM22SEP26148500CE", false),
            ("mcx_fo", "GOLDM", "GOLDM23SEP26FUT", true),
            ("mcx_fo", "GOLDM", "GOLDM26SEPFUT", false),
            // Nothing that can be compared.
            ("nse_fo", "NIFTY", "BANKNIFTY26OCTFUT", false),
            ("nse_fo", "", "26OCTFUT", false),
            ("nse_fo", "NIFTY", "NIFTY", false),
            ("nse_fo", "NIFTY", "NIFTYNEXT", false),
            ("nse_fo", "NIFTY", "NIFTY2694421000PE", false),
        ] {
            let mut names = Names::new(Scheme::of(segment));
            let found = names.contradict(name.as_bytes(), symbol.as_bytes(), day);
            assert_eq!(found, contradicts, "{symbol}");
        }
    }

    #[test]
    fn every_day_is_its_own() {
        let mut names = Names::new(Scheme::of("nse_fo"));
        for day in (20_000..20_400).chain([-5, i32::MAX, i32::MIN]) {
            let text = date_text(day).unwrap_or_default().to_uppercase();
            let Some(year) = text.get(7..) else { continue };
            let right = format!("A{year}{}FUT", &text[2..5]);
            assert!(!names.contradict(b"A", right.as_bytes(), day), "{text}");
            assert!(names.contradict(b"A", b"A99JANFUT", day), "{text}");
        }
    }
}
