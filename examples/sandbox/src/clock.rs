//! Time of day in India, as the broker writes it.

use std::time::Duration;

/// India is 5 h 30 min ahead of UTC, all year.
pub(crate) const IST_AHEAD: u64 = 19_800;

/// `2026-07-07 12:07:34.440`.
pub(crate) fn india(since_1970: Duration) -> String {
    let local = since_1970.as_secs() + IST_AHEAD;
    let (year, month, day) = date(local / 86_400);
    let second = local % 86_400;
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}.{:03}",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since_1970.subsec_millis()
    )
}

/// Names of the months, as the broker abbreviates them.
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// A moment in India, taken apart.
pub(crate) struct Moment {
    pub(crate) year: u64,
    pub(crate) month: u64,
    pub(crate) day: u64,
    second: u64,
}

impl Moment {
    pub(crate) fn at(unix_seconds: u64) -> Self {
        let local = unix_seconds + IST_AHEAD;
        let (year, month, day) = date(local / DAY);
        Self {
            year,
            month,
            day,
            second: local % DAY,
        }
    }

    /// Midday of a day counted from 1970-01-01; only its date matters.
    pub(crate) fn on(day: u64) -> Self {
        Self::at(day * DAY + DAY / 2 - IST_AHEAD)
    }

    /// `Jan`.
    pub(crate) fn month_name(&self) -> &'static str {
        MONTHS[usize::try_from(self.month - 1).unwrap_or(0)]
    }

    /// `14:28:01`, with this between the parts.
    pub(crate) fn time(&self, separator: &str) -> String {
        format!(
            "{:02}{separator}{:02}{separator}{:02}",
            self.second / 3600,
            self.second / 60 % 60,
            self.second % 60
        )
    }

    /// `22-Jan-2025`.
    pub(crate) fn dashed_date(&self) -> String {
        format!("{:02}-{}-{:04}", self.day, self.month_name(), self.year)
    }

    /// `22-Jan-2025 14:28:01`.
    pub(crate) fn dashed(&self) -> String {
        format!("{} {}", self.dashed_date(), self.time(":"))
    }

    /// `2025/01/22 14:28:01`.
    pub(crate) fn slashed(&self) -> String {
        format!(
            "{:04}/{:02}/{:02} {}",
            self.year,
            self.month,
            self.day,
            self.time(":")
        )
    }

    /// `2025-01-22`.
    pub(crate) fn iso_date(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    /// `28 Jul, 2026`.
    pub(crate) fn spaced_date(&self) -> String {
        format!("{:02} {}, {:04}", self.day, self.month_name(), self.year)
    }

    /// `250122`.
    pub(crate) fn compact_date(&self) -> String {
        format!("{:02}{:02}{:02}", self.year % 100, self.month, self.day)
    }
}

/// Seconds of a day.
pub(crate) const DAY: u64 = 86_400;

/// The day in India, counted from 1970-01-01.
pub(crate) fn india_day(unix_seconds: u64) -> u64 {
    (unix_seconds + IST_AHEAD) / DAY
}

/// The Unix time of this many seconds after midnight in India.
pub(crate) fn india_unix(day: u64, second: u64) -> u64 {
    day * DAY + second - IST_AHEAD
}

/// The day of the week: 0 is Monday.
pub(crate) fn weekday(day: u64) -> u64 {
    // 1970-01-01 was a Thursday.
    (day + 3) % 7
}

/// The day of a date written `2025-01-22`, if it is one after 1970.
pub(crate) fn parse_iso_date(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let form = bytes.len() == 10
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if !form {
        return None;
    }
    let number = |part: &str| part.parse::<u64>().ok();
    let (year, month, day) = (
        number(&text[..4])?,
        number(&text[5..7])?,
        number(&text[8..])?,
    );
    if year < 1970 || !(1..=12).contains(&month) {
        return None;
    }
    // The first of the month is found by counting, the rest is addition.
    let first = (year - 1970) * 365 + (month - 1) * 28;
    let first = (first..first + 50 + year).find(|day| date(*day) == (year, month, 1))?;
    let wanted = first + day.checked_sub(1)?;
    (date(wanted) == (year, month, day)).then_some(wanted)
}

/// Year, month and day of a day counted from 1970-01-01.
///
/// Years are counted from March, so that the leap day is the last of its year.
pub(crate) fn date(days: u64) -> (u64, u64, u64) {
    let from_year_0 = days + 719_468;
    let era = from_year_0 / 146_097;
    let day_of_era = from_year_0 % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_forms_of_a_moment() {
        let moment = Moment::at(1_737_536_281);
        assert_eq!(moment.dashed(), "22-Jan-2025 14:28:01");
        assert_eq!(moment.slashed(), "2025/01/22 14:28:01");
        assert_eq!(moment.iso_date(), "2025-01-22");
        assert_eq!(moment.spaced_date(), "22 Jan, 2025");
        assert_eq!(moment.compact_date(), "250122");
        assert_eq!(moment.time(": "), "14: 28: 01");
    }

    #[test]
    fn finds_days() {
        let day = parse_iso_date("2026-09-22").unwrap();
        // The example of the live file: 22 September 2026, 14:30 in India.
        assert_eq!(india_unix(day, 52_200), 1_474_554_600 + 315_513_000);
        assert_eq!(india_day(1_474_554_600 + 315_513_000), day);
        assert_eq!(weekday(day), 1);
        assert_eq!(Moment::on(day).iso_date(), "2026-09-22");
        for text in ["2024-02-29", "1970-01-01", "2000-12-31", "2099-03-01"] {
            assert_eq!(Moment::on(parse_iso_date(text).unwrap()).iso_date(), text);
        }
        for text in [
            "2025-02-29",
            "2025-13-01",
            "2025-00-01",
            "2025-01-00",
            "22SEP2026",
            "2026-9-22",
            "2026-0\u{0661}",
            "",
        ] {
            assert_eq!(parse_iso_date(text), None, "{text}");
        }
    }

    #[test]
    fn writes_indian_time() {
        for (seconds, text) in [
            (0, "1970-01-01 05:30:00.000"),
            (951_782_399, "2000-02-29 05:29:59.000"),
            (1_709_231_400, "2024-03-01 00:00:00.000"),
            (1_783_406_254, "2026-07-07 12:07:34.000"),
        ] {
            assert_eq!(india(Duration::from_secs(seconds)), text);
        }
        assert!(india(Duration::from_millis(1_783_406_254_440)).ends_with("34.440"));
    }
}
