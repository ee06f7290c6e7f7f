//! The limits that a client is opened with, and whether an instruction keeps
//! to them: pure, and by exact decimal arithmetic.

use std::fmt::Display;

use crate::base::decimal::Decimal;
use crate::base::error::Error;
use crate::broker::orders::InstructionKind;
use crate::broker::words;

/// What the configuration allows. Nothing given means no limit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) read_only: bool,
    pub(crate) max_quantity: Option<Decimal>,
    pub(crate) max_value: Option<Decimal>,
    /// Codes of segments.
    pub(crate) segments: Option<Vec<&'static str>>,
}

/// What an instruction asks for, as it is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) kind: InstructionKind,
    /// In any spelling; `None` if neither caller nor order book has told it.
    pub(crate) segment: Option<&'a str>,
    pub(crate) quantity: Option<&'a str>,
    pub(crate) price: Option<&'a str>,
    pub(crate) order_type: Option<&'a str>,
}

/// An instruction that is not sent because of a limit.
fn refused(what: &str, problem: impl Display) -> Error {
    Error::argument(what, format_args!("{problem}; nothing was sent"))
}

impl Limits {
    /// Whether a change has to tell its segment, which generation 3 does not ask for.
    pub(crate) fn need_segment(&self) -> bool {
        self.segments.is_some() || self.max_value.is_some()
    }

    /// Whether no instruction at all may leave.
    ///
    /// # Errors
    ///
    /// If so.
    fn may_instruct(&self) -> Result<(), Error> {
        match self.read_only {
            true => Err(refused(
                "config.read_only",
                "this client sends no instructions",
            )),
            false => Ok(()),
        }
    }

    /// Whether an instruction keeps to the limits. A cancel needs only that
    /// the client may send any: it takes risk away. A segment that is not
    /// known yet is left for when it is.
    ///
    /// # Errors
    ///
    /// Naming the parameter and the limit.
    pub(crate) fn check(&self, wanted: &Wanted<'_>) -> Result<(), Error> {
        self.may_instruct()?;
        if wanted.kind == InstructionKind::Cancel {
            return Ok(());
        }
        self.check_segment(wanted)?;
        self.check_quantity(wanted)?;
        self.check_value(wanted)
    }

    fn check_segment(&self, wanted: &Wanted<'_>) -> Result<(), Error> {
        let (Some(allowed), Some(given)) = (&self.segments, wanted.segment) else {
            return Ok(());
        };
        match words::segment(given) {
            Some(code) if allowed.contains(&code) => Ok(()),
            _ => Err(refused(
                "params.exchange_segment",
                format_args!("{given} is not in config.allowed_segments"),
            )),
        }
    }

    fn check_quantity(&self, wanted: &Wanted<'_>) -> Result<(), Error> {
        let Some(most) = &self.max_quantity else {
            return Ok(());
        };
        match wanted.quantity.and_then(Decimal::parse) {
            Some(quantity) if !quantity.is_more_than(most) => Ok(()),
            Some(quantity) => Err(refused(
                "params.quantity",
                format_args!("{quantity} is more than config.max_order_quantity ({most})"),
            )),
            None => Err(refused(
                "params.quantity",
                "is not known, and config.max_order_quantity is set",
            )),
        }
    }

    fn check_value(&self, wanted: &Wanted<'_>) -> Result<(), Error> {
        let Some(most) = &self.max_value else {
            return Ok(());
        };
        let unknown = "so the value is not known before, and config.max_order_value is set";
        if !wanted.order_type.is_some_and(words::has_price) {
            let order_type = wanted.order_type.unwrap_or("it");
            return Err(refused(
                "params.order_type",
                format_args!("{order_type} has no price, {unknown}"),
            ));
        }
        // What a quantity counts elsewhere is not documented.
        if let Some(segment) = wanted.segment.filter(|of| !words::counts_units(of)) {
            return Err(refused(
                "params.exchange_segment",
                format_args!("in which unit {segment} counts is not documented, {unknown}"),
            ));
        }
        let price = wanted.price.and_then(Decimal::parse);
        let quantity = wanted.quantity.and_then(Decimal::parse);
        let (Some(price), Some(quantity)) = (price, quantity) else {
            return Err(refused(
                "params",
                format_args!("price or quantity is not known, {unknown}"),
            ));
        };
        let value = price.times(&quantity);
        if value.is_more_than(most) {
            return Err(refused(
                "params",
                format_args!(
                    "price {price} times quantity {quantity} is {value}, which is more than \
                     config.max_order_value ({most})"
                ),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Option<Decimal> {
        Some(Decimal::parse(text).expect(text))
    }

    const ORDER: Wanted<'static> = Wanted {
        kind: InstructionKind::Place,
        segment: Some("nse_cm"),
        quantity: Some("3"),
        price: Some("8.60"),
        order_type: Some("L"),
    };

    fn problem(limits: &Limits, wanted: &Wanted<'_>) -> String {
        match limits.check(wanted) {
            Ok(()) => String::new(),
            Err(error) => error.message().to_owned(),
        }
    }

    #[test]
    fn nothing_given_limits_nothing() {
        let market = Wanted {
            order_type: Some("MKT"),
            price: Some("0"),
            segment: None,
            ..ORDER
        };
        for wanted in [ORDER, market] {
            assert_eq!(problem(&Limits::default(), &wanted), "");
        }
        assert!(!Limits::default().need_segment());
    }

    #[test]
    fn each_limit_at_above_and_below() {
        let of_quantity = |most: &str| Limits {
            max_quantity: number(most),
            ..Limits::default()
        };
        let of_value = |most: &str| Limits {
            max_value: number(most),
            ..Limits::default()
        };
        for kind in [InstructionKind::Place, InstructionKind::Modify] {
            let wanted = Wanted { kind, ..ORDER };
            for most in ["3", "4", "100000000000000000000000"] {
                assert_eq!(problem(&of_quantity(most), &wanted), "");
            }
            assert_eq!(
                problem(&of_quantity("2"), &wanted),
                "params.quantity: 3 is more than config.max_order_quantity (2); nothing was sent"
            );
            for most in ["25.8", "25.80", "25.8000000000000000001", "26"] {
                assert_eq!(problem(&of_value(most), &wanted), "");
            }
            for most in ["25.79", "25.79999999999999999999", "25", "0.01"] {
                assert_eq!(
                    problem(&of_value(most), &wanted),
                    format!(
                        "params: price 8.6 times quantity 3 is 25.8, which is more than \
                         config.max_order_value ({most}); nothing was sent"
                    )
                );
            }
        }
    }

    /// Where binary floating point would be wrong.
    #[test]
    fn values_are_exact() {
        let limits = Limits {
            max_value: number("0.3"),
            ..Limits::default()
        };
        let wanted = Wanted {
            price: Some("0.1"),
            ..ORDER
        };
        assert_eq!(problem(&limits, &wanted), "");
        let limits = Limits {
            max_value: number("9007199254740992"),
            ..Limits::default()
        };
        let wanted = Wanted {
            price: Some("9007199254740993"),
            quantity: Some("1"),
            ..ORDER
        };
        assert!(problem(&limits, &wanted).contains("more than config.max_order_value"));
    }

    #[test]
    fn a_value_that_is_not_known_is_refused_where_it_is_limited() {
        let limits = Limits {
            max_value: number("1000000"),
            ..Limits::default()
        };
        assert!(limits.need_segment());
        for order_type in ["MKT", "SL-M", "new"] {
            let wanted = Wanted {
                order_type: Some(order_type),
                ..ORDER
            };
            assert_eq!(
                problem(&limits, &wanted),
                format!(
                    "params.order_type: {order_type} has no price, so the value is not known \
                     before, and config.max_order_value is set; nothing was sent"
                )
            );
        }
        for segment in ["mcx_fo", "cde_fo", "bcs-fo", "new"] {
            let wanted = Wanted {
                segment: Some(segment),
                ..ORDER
            };
            let problem = problem(&limits, &wanted);
            assert!(problem.starts_with("params.exchange_segment: in which unit"));
        }
        for wanted in [
            Wanted {
                price: None,
                ..ORDER
            },
            Wanted {
                quantity: None,
                ..ORDER
            },
        ] {
            assert!(problem(&limits, &wanted).contains("is not known"));
        }
    }

    #[test]
    fn only_allowed_segments() {
        let limits = Limits {
            segments: Some(vec!["nse_cm", "bse_fo"]),
            ..Limits::default()
        };
        assert!(limits.need_segment());
        for segment in [None, Some("nse_cm"), Some("NSE"), Some("BFO")] {
            assert_eq!(problem(&limits, &Wanted { segment, ..ORDER }), "");
        }
        for segment in ["nse_fo", "MCX", "new"] {
            let wanted = Wanted {
                segment: Some(segment),
                ..ORDER
            };
            assert_eq!(
                problem(&limits, &wanted),
                format!(
                    "params.exchange_segment: {segment} is not in config.allowed_segments; \
                     nothing was sent"
                )
            );
        }
    }

    #[test]
    fn cancels_are_held_by_read_only_alone() {
        let cancel = Wanted {
            kind: InstructionKind::Cancel,
            segment: Some("mcx_fo"),
            quantity: None,
            price: None,
            order_type: None,
        };
        let mut limits = Limits {
            read_only: false,
            max_quantity: number("1"),
            max_value: number("1"),
            segments: Some(vec!["nse_cm"]),
        };
        assert_eq!(problem(&limits, &cancel), "");
        limits.read_only = true;
        for wanted in [cancel, ORDER] {
            assert_eq!(
                problem(&limits, &wanted),
                "config.read_only: this client sends no instructions; nothing was sent"
            );
        }
    }
}
