//! Every operation by its name, for languages that call by name.

use super::{Client, Inner};
use crate::base::error::Error;
use crate::base::reply::Reply;
use crate::broker::operation;
use crate::broker::params::{self, Common};

impl Client {
    /// Any operation by its name, with its arguments as one JSON object:
    /// `{"ucc":"...","totp":"..."}`.
    ///
    /// Two keys are reserved, and every operation takes them: `timeout_ms`
    /// (1 to 3600000) sets the deadline, `call_id` (1 to 64 printable ASCII
    /// characters) names this one call. Both have no effect where the network
    /// is not used.
    ///
    /// # Errors
    ///
    /// [`crate::Status::InvalidArgument`] for an unknown operation or
    /// parameter.
    pub fn call(&self, operation: &str, params: Option<&str>) -> Result<Reply, Error> {
        let params = params.unwrap_or_default();
        let inner = &*self.0;
        match operation {
            // These have a params object of their own.
            "place_order" => self.place_order(params),
            "modify_order" => self.modify_order(params),
            "cancel_order" => self.cancel_order(params),
            "order_outcome" => self.order_outcome(params),
            "limits" => self.limits(Some(params)),
            "margin_required" => self.margin_required(params),
            "quotes" => self.quotes(params),
            "expiries" => self.expiries(params),
            "option_chain" => self.option_chain(params),
            "historical_data" => self.historical_data(params),
            "search_scrip" => self.search_scrip(params),
            // The arguments of these are its members.
            "totp_login" => {
                let names = ["mobile_number", "ucc", "totp"];
                named(inner, params, names, |common, [mobile, ucc, totp]| {
                    inner.totp_login(common, given(mobile), given(ucc), given(totp))
                })
            }
            "totp_validate" => named(inner, params, ["mpin"], |common, [mpin]| {
                inner.totp_validate(common, given(mpin))
            }),
            "login" => {
                let names = ["mobile_number", "user_id", "pan", "password"];
                named(
                    inner,
                    params,
                    names,
                    |common, [mobile, user, pan, password]| {
                        inner.login(common, mobile, user, pan, given(password))
                    },
                )
            }
            "session_2fa" => named(inner, params, ["otp"], |common, [otp]| {
                inner.session_2fa(common, given(otp))
            }),
            "session_init" => named(inner, params, [], |common, []| inner.session_init(common)),
            "qr_code_link" => named(inner, params, ["ucc"], |common, [ucc]| {
                inner.qr_code_link(common, given(ucc))
            }),
            "qr_code_session" => named(inner, params, ["ott", "ucc"], |common, [ott, ucc]| {
                inner.qr_code_session(common, given(ott), given(ucc))
            }),
            "logout" => named(inner, params, [], |common, []| inner.logout(common)),
            "order_report" => named(inner, params, ["order_id"], |common, [id]| {
                inner.order_report(common, id)
            }),
            "order_history" => named(inner, params, ["order_id"], |common, [id]| {
                inner.order_history(common, given(id))
            }),
            "scrip_master" => named(inner, params, ["exchange_segment"], |common, [segment]| {
                inner.scrip_master(common, segment)
            }),
            "whatsmyip" => named(inner, params, [], |common, []| {
                inner.read_plain(&operation::WHATSMYIP, common)
            }),
            "trade_report" => named(inner, params, [], |common, []| {
                inner.read_plain(&operation::TRADE_REPORT, common)
            }),
            "positions" => named(inner, params, [], |common, []| {
                inner.read_plain(&operation::POSITIONS, common)
            }),
            "holdings" => named(inner, params, [], |common, []| {
                inner.read_plain(&operation::HOLDINGS, common)
            }),
            // These wait for nothing.
            "totp_generate" => named(inner, params, ["secret_base32"], |_, [secret]| {
                crate::base::totp::generate(given(secret))
            }),
            "ledger_open_intents" => named(inner, params, ["ledger_file"], |_, [file]| {
                super::ledger_open_intents(given(file))
            }),
            "session_info" => named(inner, params, [], |_, []| self.session_info()),
            "session_export" => named(inner, params, [], |_, []| self.session_export()),
            "session_import" => named(inner, params, ["session"], |_, [session]| {
                self.session_import(given(session))
            }),
            "scrip_status" => named(inner, params, [], |_, []| self.scrip_status()),
            "open_intents" => named(inner, params, [], |_, []| self.open_intents()),
            _ => Err(Error::argument(
                "operation",
                "is no operation of this library",
            )),
        }
    }
}

/// Takes the named texts out of the parameters and gives them to `work`.
///
/// What is wrong with them is told of this call: its name counts all the same.
fn named<const N: usize>(
    inner: &Inner,
    params: &str,
    names: [&str; N],
    work: impl FnOnce(&Common, [Option<&str>; N]) -> Result<Reply, Error>,
) -> Result<Reply, Error> {
    let (common, texts) = params::read(params, |fields| {
        let texts = names.into_iter().map(|name| fields.text(name));
        texts.collect::<Result<Vec<_>, _>>()
    });
    let texts = match texts {
        Ok(texts) => texts,
        Err(error) => return inner.local_of("call", &common, |_| Err(error)),
    };
    let text = |at: usize| texts.get(at).and_then(Option::as_deref);
    work(&common, std::array::from_fn(text))
}

/// An argument that is missing is checked as an empty one.
fn given(text: Option<&str>) -> &str {
    text.unwrap_or_default()
}
