//! Prices and amounts: whole numbers of 1/10,000 rupee, so that books add up to the last digit.

/// How many units a rupee has. Currency derivatives are quoted with four decimals.
pub(crate) const RUPEE: i64 = 10_000;

/// How many units a paisa has.
pub(crate) const PAISA: i64 = RUPEE / 100;

/// Reads a decimal such as `9.40`; no sign, exponent or blank, at most four decimals.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || whole.len() + fraction.len() == 0 {
        return None;
    }
    // Longer numbers are no price, and would overflow as an amount.
    let fraction = fraction.trim_end_matches('0');
    if whole.len() > 9 || fraction.len() > 4 {
        return None;
    }
    let number = |part: &str| part.parse().unwrap_or(0);
    Some(number(whole) * RUPEE + number(&format!("{fraction:0<4}")))
}

/// Writes an amount with this many decimals (at most six), rounded half away from zero.
pub(crate) fn text(amount: i64, decimals: u32) -> String {
    let sign = if amount < 0 { "-" } else { "" };
    let (scaled, unit) = if decimals <= 4 {
        let step = 10_u64.pow(4 - decimals);
        (
            (amount.unsigned_abs() + step / 2) / step,
            10_u64.pow(decimals),
        )
    } else {
        let factor = 10_u64.pow(decimals - 4);
        (amount.unsigned_abs() * factor, 10_u64.pow(decimals))
    };
    if decimals == 0 {
        return format!("{sign}{scaled}");
    }
    let sign = if scaled == 0 { "" } else { sign };
    format!(
        "{sign}{}.{:0width$}",
        scaled / unit,
        scaled % unit,
        width = decimals as usize
    )
}

/// Writes an amount without needless zeros: `0`, `18.78`, `2250`.
pub(crate) fn plain(amount: i64) -> String {
    let long = text(amount, 4);
    long.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// As a floating-point number of rupees, for the bodies that carry JSON numbers.
pub(crate) fn rupees(amount: i64) -> f64 {
    // Exact below 2^53 units, which are 900 milliard rupees.
    amount as f64 / RUPEE as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_decimals_and_nothing_else() {
        for (text, amount) in [
            ("0", 0),
            ("9.4", 94_000),
            ("9.39", 93_900),
            ("00012.3400", 123_400),
            ("83.1225", 831_225),
            (".5", 5_000),
            ("7.", 70_000),
            ("999999999", 9_999_999_990_000),
        ] {
            assert_eq!(parse(text), Some(amount), "{text}");
        }
        for text in [
            "",
            ".",
            "-1",
            "+1",
            "1e3",
            "nan",
            "inf",
            " 1",
            "1_0",
            "1,0",
            "0.00001",
            "9999999999",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn writes_rounded_and_plain() {
        assert_eq!(text(93_950, 2), "9.40");
        assert_eq!(text(-93_950, 2), "-9.40");
        assert_eq!(text(93_950, 4), "9.3950");
        assert_eq!(text(93_950, 6), "9.395000");
        assert_eq!(text(95_000, 0), "10");
        assert_eq!(text(-4, 2), "0.00");
        for (amount, expected) in [
            (0, "0"),
            (187_800, "18.78"),
            (22_500_000, "2250"),
            (-2_400, "-0.24"),
        ] {
            assert_eq!(plain(amount), expected);
        }
    }
}
