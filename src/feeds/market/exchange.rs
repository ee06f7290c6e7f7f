//! The broker's numbers of the exchange segments: their names, and what raw
//! prices are divided by.

use std::ffi::c_char;

use crate::feeds::tick::put_text;

/// What is divided by where the login named no divider.
pub(crate) const USUAL_DIVIDER: i32 = 100;

const EXCHANGES: [&str; 11] = [
    "none", "nse_cm", "nse_fo", "cde_fo", "nse_com", "bse_cm", "bse_fo", "bse_cd", "bse_co",
    "mcx_fo", "ncd_co",
];

/// The same, as structs have them.
const FIELDS: [[c_char; 8]; EXCHANGES.len()] = {
    let mut fields = [[0; 8]; EXCHANGES.len()];
    let mut at = 0;
    while at < fields.len() {
        let name = EXCHANGES[at].as_bytes();
        let mut byte = 0;
        while byte < name.len() {
            fields[at][byte] = name[byte] as c_char;
            byte += 1;
        }
        at += 1;
    }
    fields
};

/// The number of an exchange segment.
pub(crate) fn exchange_id(name: &str) -> Option<i8> {
    let at = EXCHANGES.iter().position(|known| *known == name)?;
    i8::try_from(at).ok()
}

/// The name of an exchange segment; one that is not known has its number.
pub(crate) fn exchange_name(id: i8) -> ExchangeName {
    ExchangeName(id)
}

#[derive(Clone, Copy)]
pub(crate) struct ExchangeName(i8);

impl ExchangeName {
    /// Fixed-size and with a NUL at its end.
    #[inline]
    pub(crate) fn field(self) -> [c_char; 8] {
        match usize::try_from(self.0).ok().and_then(|at| FIELDS.get(at)) {
            Some(field) => *field,
            None => self.number(),
        }
    }

    #[cold]
    fn number(self) -> [c_char; 8] {
        let mut field = [0; 8];
        put_text(&mut field, &self.0.to_string());
        field
    }

    fn known(self) -> Option<&'static str> {
        EXCHANGES.get(usize::try_from(self.0).ok()?).copied()
    }
}

impl std::fmt::Display for ExchangeName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.known() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

/// What raw prices are divided by, for each exchange.
#[derive(Clone, Debug)]
pub(crate) struct Dividers([i32; 256]);

impl Default for Dividers {
    fn default() -> Self {
        Self([USUAL_DIVIDER; 256])
    }
}

impl Dividers {
    /// Zero and negative ones stand for the usual one.
    pub(crate) fn set(&mut self, exchange: i8, divider: i64) {
        self.0[usize::from(exchange as u8)] = i32::try_from(divider)
            .ok()
            .filter(|divider| *divider > 0)
            .unwrap_or(USUAL_DIVIDER);
    }

    pub(crate) fn of(&self, exchange: i8) -> i32 {
        self.0[usize::from(exchange as u8)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exchanges_and_dividers() {
        assert_eq!(exchange_id("mcx_fo"), Some(9));
        assert_eq!(exchange_id("nyse"), None);
        assert_eq!(exchange_name(-128).to_string(), "-128");
        let field = exchange_name(-128).field().map(|byte| byte as u8);
        assert_eq!(&field, b"-128\0\0\0\0");
        let mut dividers = Dividers::default();
        dividers.set(3, 10_000_000);
        dividers.set(1, 0);
        assert_eq!(
            (dividers.of(3), dividers.of(1), dividers.of(-1)),
            (10_000_000, 100, 100)
        );
    }
}
