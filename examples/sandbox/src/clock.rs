//! Time of day in India, as the broker writes it.

use std::time::Duration;

/// India is 5 h 30 min ahead of UTC, all year.
const IST_AHEAD: u64 = 19_800;

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

/// Year, month and day of a day counted from 1970-01-01.
///
/// Years are counted from March, so that the leap day is the last of its year.
fn date(days: u64) -> (u64, u64, u64) {
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
