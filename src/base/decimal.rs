//! Exact decimal numbers: compared and multiplied digit by digit, never
//! through binary floating point.

use std::cmp::Ordering;
use std::fmt;

/// A number that is not negative, with as many digits as it was given.
#[derive(Clone, Debug)]
pub(crate) struct Decimal {
    /// The most significant first, without zeros in front.
    digits: Vec<u32>,
    /// How many of them stand behind the point.
    scale: usize,
}

impl Decimal {
    /// Reads `25` or `2450.50`: no sign, no exponent, no blanks.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        if whole.is_empty() || fraction.is_empty() {
            return None;
        }
        let digits = whole.chars().chain(fraction.chars());
        let digits = digits.map(|c| c.to_digit(10)).collect::<Option<Vec<_>>>()?;
        Some(Self::new(digits, fraction.len()))
    }

    fn new(digits: Vec<u32>, scale: usize) -> Self {
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        let digits = digits.into_iter().skip(zeros).collect();
        Self { digits, scale }
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    pub(crate) fn is_more_than(&self, other: &Self) -> bool {
        let scale = self.scale.max(other.scale);
        let (ours, theirs) = (self.at(scale), other.at(scale));
        // As many digits behind the point, so the longer one is the larger.
        let longer = ours.len().cmp(&theirs.len());
        longer.then_with(|| ours.cmp(&theirs)) == Ordering::Greater
    }

    /// The digits, with zeros at the end up to `scale` behind the point.
    fn at(&self, scale: usize) -> Vec<u32> {
        let mut digits = self.digits.clone();
        if !digits.is_empty() {
            digits.resize(digits.len() + scale.saturating_sub(self.scale), 0);
        }
        digits
    }

    pub(crate) fn times(&self, other: &Self) -> Self {
        // The least significant first.
        let mut sums = vec![0_u32; self.digits.len() + other.digits.len()];
        for (i, ours) in self.digits.iter().rev().enumerate() {
            let mut carry = 0;
            let theirs = other.digits.iter().rev().copied();
            // A last zero takes the carry.
            let theirs = theirs.chain([0]);
            for (sum, theirs) in sums.iter_mut().skip(i).zip(theirs) {
                let next = *sum + ours * theirs + carry;
                *sum = next % 10;
                carry = next / 10;
            }
        }
        sums.reverse();
        Self::new(sums, self.scale + other.scale)
    }
}

/// Without zeros at the end of the fraction.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zeros = (self.scale + 1).saturating_sub(self.digits.len());
        let digits = std::iter::repeat_n(&0, zeros).chain(&self.digits);
        let text: String = digits
            .map(|digit| char::from_digit(*digit, 10).unwrap_or('0'))
            .collect();
        let (whole, fraction) = text.split_at(text.len() - self.scale);
        f.write_str(whole)?;
        match fraction.trim_end_matches('0') {
            "" => Ok(()),
            fraction => write!(f, ".{fraction}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Decimal {
        Decimal::parse(text).expect(text)
    }

    #[test]
    fn reads_and_shows() {
        for (text, shown) in [
            ("0", "0"),
            ("0.00", "0"),
            ("007", "7"),
            ("8.60", "8.6"),
            ("0.05", "0.05"),
            ("100", "100"),
            ("123456789012345678901234.5", "123456789012345678901234.5"),
        ] {
            assert_eq!(number(text).to_string(), shown);
        }
        for odd in ["", ".", "1.", ".5", "-1", "+1", "1e3", " 1", "1.2.3", "१"] {
            assert!(Decimal::parse(odd).is_none(), "{odd}");
        }
    }

    #[test]
    fn compares_by_value() {
        for (less, more) in [
            ("0", "0.0000000000000000000001"),
            ("9.99", "10"),
            ("0.3", "0.30000000000000000000001"),
            ("99999999999999999999999", "100000000000000000000000"),
            ("8.60", "8.601"),
        ] {
            assert!(number(more).is_more_than(&number(less)), "{more} {less}");
            assert!(!number(less).is_more_than(&number(more)), "{more} {less}");
        }
        for (one, same) in [("0", "0.0"), ("8.6", "08.60"), ("100", "100.000")] {
            assert!(!number(one).is_more_than(&number(same)));
            assert!(!number(same).is_more_than(&number(one)));
        }
    }

    #[test]
    fn multiplies_exactly() {
        for (one, other, product) in [
            ("8.60", "3", "25.8"),
            ("0.1", "0.2", "0.02"),
            ("0", "999", "0"),
            ("99999", "99999", "9999800001"),
            (
                "999999999999999999999999",
                "999999999999999999999999",
                "999999999999999999999998000000000000000000000001",
            ),
        ] {
            assert_eq!(number(one).times(&number(other)).to_string(), product);
            assert_eq!(number(other).times(&number(one)).to_string(), product);
        }
        for one in 0..120_u32 {
            for other in 0..120_u32 {
                let product = number(&one.to_string()).times(&number(&other.to_string()));
                assert_eq!(product.to_string(), (one * other).to_string());
            }
        }
    }
}
