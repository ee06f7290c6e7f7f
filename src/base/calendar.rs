//! The calendar: days and times of India, and how its exchanges write them.
//!
//! A day is a number, counted from 1 January 1970. Nothing here asks what time
//! it is; that is the clock's.

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::Offset;

/// India has one time zone without summer time: so many seconds before UTC.
pub(crate) const IST_OFFSET: u64 = 5 * 3600 + 30 * 60;

/// Seconds.
const DAY: i64 = 24 * 3600;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// The trading day of a time: from midnight in India to the next.
pub(crate) fn trading_day(unix_seconds: u64) -> u64 {
    unix_seconds.saturating_add(IST_OFFSET) / DAY.unsigned_abs()
}

/// The days from nine o'clock in India to the next: no exchange opens earlier.
pub(crate) fn market_day(unix_seconds: i64) -> i64 {
    const NINE_IN_UTC: i64 = 3 * 3600 + 1800;
    unix_seconds.saturating_sub(NINE_IN_UTC).div_euclid(DAY)
}

/// A day as `2026-09-22`; the last of all for one out of reach.
pub(crate) fn iso_day(day: u64) -> String {
    let date = i64::try_from(day).ok().and_then(date_of);
    let date = date.unwrap_or(Date::MAX);
    format!("{:04}-{:02}-{:02}", date.year(), date.month(), date.day())
}

/// A day as `22Sep2026`; `None` for one that is after the year 9999.
pub(crate) fn date_text(day: i32) -> Option<String> {
    let date = date_of(day.into())?;
    let month = usize::from(date.month().unsigned_abs()).checked_sub(1)?;
    let name = MONTHS.get(month)?;
    Some(format!("{:02}{name}{}", date.day(), date.year()))
}

/// The day of `22SEP2026`, `22 Sep 2026` or `20260922`.
pub(crate) fn parse_date(text: &str) -> Option<i32> {
    let plain: String = text.chars().filter(|c| *c != ' ').collect();
    if !plain.is_ascii() {
        return None;
    }
    let (year, month, date) = if plain.len() == 8 && number(&plain).is_some() {
        (&plain[..4], number(&plain[4..6])?, &plain[6..])
    } else {
        let digits = plain.bytes().take_while(u8::is_ascii_digit).count();
        let (date, rest) = plain.split_at(digits);
        let (name, year) = rest.split_at_checked(3)?;
        if year.len() != 4 || date.len() > 2 {
            return None;
        }
        (year, month_named(name)?, date)
    };
    i32::try_from(day_of(number(year)?, month, number(date)?)?).ok()
}

/// The day of `2026-09-22`.
pub(crate) fn parse_iso_day(text: &str) -> Option<i64> {
    let parts: Vec<&str> = text.split('-').collect();
    match parts[..] {
        [year, month, date] if [year.len(), month.len(), date.len()] == [4, 2, 2] => {
            day_of(number(year)?, number(month)?, number(date)?)
        }
        _ => None,
    }
}

/// The unix seconds of a time in India like `22-Jan-2025 14:28:01`.
pub(crate) fn india_time(text: &str) -> Option<u64> {
    let (date, time) = text.split_once(' ')?;
    let mut date = date.split('-');
    let (day, month, year) = (date.next()?, date.next()?, date.next()?);
    let day = day_of(number(year)?, month_named(month)?, number(day)?)?;
    // History pages have blanks after the colons.
    let mut time = time.split(':').map(|part| number(part.trim()));
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let local = ((day * 24 + i64::from(hour)) * 60 + i64::from(minute)) * 60 + i64::from(second);
    u64::try_from(local).ok()?.checked_sub(IST_OFFSET)
}

/// The date of a day; `None` if it is out of reach.
fn date_of(day: i64) -> Option<Date> {
    let midnight = Timestamp::from_second(day.checked_mul(DAY)?).ok()?;
    Some(Offset::UTC.to_datetime(midnight).date())
}

/// The day of a date; `None` if there is no such date.
fn day_of(year: u32, month: u32, date: u32) -> Option<i64> {
    let date = Date::new(
        year.try_into().ok()?,
        month.try_into().ok()?,
        date.try_into().ok()?,
    );
    let midnight = date.ok()?.to_datetime(Time::midnight());
    let seconds = Offset::UTC.to_timestamp(midnight).ok()?.as_second();
    Some(seconds.div_euclid(DAY))
}

/// 1 for January.
fn month_named(name: &str) -> Option<u32> {
    let place = MONTHS
        .iter()
        .position(|known| known.eq_ignore_ascii_case(name))?;
    u32::try_from(place + 1).ok()
}

/// A number in digits, without a sign.
fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_there_and_back() {
        for (text, day, shown, iso) in [
            ("01JAN1970", 0, "01Jan1970", "1970-01-01"),
            ("19jun2024", 19_893, "19Jun2024", "2024-06-19"),
            ("29 Feb 2024", 19_782, "29Feb2024", "2024-02-29"),
            ("20260922", 20_718, "22Sep2026", "2026-09-22"),
            ("1Mar2024", 19_783, "01Mar2024", "2024-03-01"),
            ("31Dec1999", 10_956, "31Dec1999", "1999-12-31"),
            ("01Jan2000", 10_957, "01Jan2000", "2000-01-01"),
            ("29Feb2000", 11_016, "29Feb2000", "2000-02-29"),
            ("28Feb2100", 47_540, "28Feb2100", "2100-02-28"),
            ("01Mar2100", 47_541, "01Mar2100", "2100-03-01"),
        ] {
            assert_eq!(parse_date(text), Some(day), "{text}");
            assert_eq!(date_text(day).as_deref(), Some(shown));
            assert_eq!(iso_day(day.unsigned_abs().into()), iso);
            assert_eq!(parse_iso_day(iso), Some(day.into()));
        }
        for day in -1000..40_000 {
            let text = date_text(day).expect("a date");
            assert_eq!(parse_date(&text), Some(day));
        }
    }

    #[test]
    fn what_is_no_date() {
        for odd in [
            "",
            "32JAN2026",
            "29FEB2025",
            "29FEB2100",
            "31APR2026",
            "20260431",
            "20261301",
            "20260001",
            "22SEP26",
            "SEP2026",
            "00JAN2026",
            "+1JAN2026",
            "é2SEP2026",
            "22SÉP2026",
        ] {
            assert_eq!(parse_date(odd), None, "{odd}");
        }
        for odd in [
            "",
            "2026-02-29",
            "2100-02-29",
            "2026-13-01",
            "2026-00-01",
            "2026-7-28",
            "20260728",
            "2026-07-28-",
            "+026-07-28",
            "2026-07- 8",
            "22-SEP-2026",
        ] {
            assert_eq!(parse_iso_day(odd), None, "{odd}");
        }
    }

    #[test]
    fn days_out_of_reach_have_no_date() {
        assert_eq!((date_text(i32::MAX), date_text(i32::MIN)), (None, None));
        assert_eq!(date_text(2_932_000).as_deref(), Some("18Jul9997"));
        for far in [u64::MAX, 1 << 40, 3_000_000] {
            assert_eq!(iso_day(far), "9999-12-31");
        }
    }

    #[test]
    fn a_trading_day_begins_at_midnight_in_india() {
        // 21 January 2025, 18:30 UTC.
        let midnight = 1_737_484_200;
        assert_eq!(india_time("22-Jan-2025 00:00:00"), Some(midnight));
        let day = trading_day(midnight);
        assert_eq!(iso_day(day), "2025-01-22");
        assert_eq!(iso_day(trading_day(midnight - 1)), "2025-01-21");
        assert_eq!(trading_day(midnight + 86_399), day);
        assert_eq!(trading_day(midnight + 86_400), day + 1);
        // Of the last second of a year, while UTC is in it for hours yet.
        let year = india_time("01-Jan-2025 00:00:00").expect("a time");
        assert_eq!(iso_day(trading_day(year - 1)), "2024-12-31");
        assert_eq!(iso_day(trading_day(year)), "2025-01-01");
        assert_eq!(iso_day(trading_day(0)), "1970-01-01");
    }

    #[test]
    fn a_market_day_begins_at_nine_in_india() {
        let at = |time: &str| {
            let text = format!("22-Jan-2025 {time}");
            market_day(india_time(&text).expect("a time") as i64)
        };
        assert_eq!(at("08:59:59") + 1, at("09:00:00"));
        assert_eq!(at("09:00:00"), at("23:59:59"));
        assert_eq!(at("00:00:00"), at("08:59:59"));
    }

    #[test]
    fn times_of_the_books() {
        assert_eq!(india_time("22-Jan-2025 14:28:01"), Some(1_737_536_281));
        assert_eq!(india_time("22-JAN-2025 14: 28: 01"), Some(1_737_536_281));
        assert_eq!(india_time("01-Mar-2024 05:30:00"), Some(1_709_251_200));
        for odd in [
            "",
            "--",
            "NA",
            "22-Jan-2025",
            "2025/01/22 14:28:01",
            "40-Jan-2025 1:1:1",
            "31-Apr-2025 1:1:1",
            "22-Jan-2025 24:00:00",
            "01-Jan-1970 00:00:00",
        ] {
            assert_eq!(india_time(odd), None, "{odd}");
        }
    }
}
