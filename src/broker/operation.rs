//! The one table of operations: method, path, authentication, encoding,
//! whether a call may be repeated, which deadline it has, and what paces it.
//!
//! `docs/operations.md` shows this table; a test holds it to the code.

use http::Method;

use crate::broker::hosts::{Environment, Generation};

/// One HTTP request that the broker knows.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    pub(crate) method: Method,
    pub(crate) kind: Kind,
    pub(crate) time: TimeClass,
    pub(crate) pace: Pace,
    /// What generation 3 sends.
    pub(crate) current: Headers,
    /// What generations 1 and 2 send.
    pub(crate) older: Headers,
    pub(crate) paths: &'static [(Route, &'static str)],
}

/// The headers of a request that depend on the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Headers {
    pub(crate) auth: Auth,
    /// Whether the header `neo-fin-key` is sent.
    pub(crate) fin_key: bool,
    pub(crate) content_type: &'static str,
    pub(crate) accept: &'static str,
}

impl Headers {
    const fn json(auth: Auth) -> Self {
        Self {
            auth,
            fin_key: false,
            content_type: JSON,
            accept: JSON,
        }
    }

    const fn form(auth: Auth) -> Self {
        Self {
            auth,
            fin_key: false,
            content_type: FORM,
            accept: JSON,
        }
    }

    const fn with_fin_key(self) -> Self {
        Self {
            fin_key: true,
            ..self
        }
    }

    const fn accepting_all(self) -> Self {
        Self {
            accept: "*/*",
            ..self
        }
    }
}

/// What sending a request twice would mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Changes nothing: may be repeated after a transport failure.
    Read,
    /// Uses up a code or makes a session: sent once.
    Login,
    /// Moves money: leaves through the order door, at most once.
    Instruction,
}

/// Which of the configured deadlines covers a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeClass {
    Login,
    Read,
    Order,
    Download,
}

/// With what a request shares its slots in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Instructions, by themselves.
    Orders,
    /// Quotes, and what the broker limits like them.
    Quotes,
    Candles,
    /// All other reads.
    Other,
    /// None: the few steps of a login never wait behind anything.
    Free,
}

/// The credentials of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Auth {
    /// None at all.
    None,
    /// `Basic` with consumer key and secret.
    Application,
    /// The OAuth2 bearer token.
    Bearer,
    /// The OAuth2 bearer token and the view session.
    BearerView,
    /// The OAuth2 bearer token and the trade session.
    BearerTrade,
    /// The consumer key, plain.
    Key,
    /// The consumer key and the view session.
    KeyView,
    /// The consumer key and the trade session.
    KeyTrade,
    /// The trade session alone.
    Trade,
}

/// Which column of the broker's endpoint map applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    OneProd,
    OneUat,
    /// Generation 2 on a looked-up base URL.
    TwoApim,
    /// Generation 2 on the gateway host, with the older paths.
    TwoGateway,
    TwoUat,
    ThreeProd,
    ThreeUat,
}

impl Route {
    #[cfg(test)]
    fn is_current(self) -> bool {
        matches!(self, Self::ThreeProd | Self::ThreeUat)
    }

    /// `on_gateway` says that the looked-up base of generation 2 is the
    /// gateway host.
    pub(crate) fn of(generation: Generation, environment: Environment, on_gateway: bool) -> Self {
        match (generation, environment) {
            (Generation::One, Environment::Prod) => Self::OneProd,
            (Generation::One, Environment::Uat) => Self::OneUat,
            (Generation::Two, Environment::Prod) if on_gateway => Self::TwoGateway,
            (Generation::Two, Environment::Prod) => Self::TwoApim,
            (Generation::Two, Environment::Uat) => Self::TwoUat,
            (Generation::Three, Environment::Prod) => Self::ThreeProd,
            (Generation::Three, Environment::Uat) => Self::ThreeUat,
        }
    }
}

impl Operation {
    /// The headers of a generation.
    pub(crate) fn headers(&self, generation: Generation) -> Headers {
        match generation {
            Generation::Three => self.current,
            Generation::One | Generation::Two => self.older,
        }
    }

    /// The most that its answer may hold, in bytes. A book of 32 MiB has some
    /// 20,000 orders.
    pub(crate) fn largest_answer(&self) -> usize {
        const MIB: usize = 1024 * 1024;
        let books = [
            &ORDER_REPORT,
            &ORDER_OUTCOME,
            &TRADE_REPORT,
            &POSITIONS,
            &HOLDINGS,
        ];
        match (self.kind, self.time) {
            (Kind::Login | Kind::Instruction, _) | (_, TimeClass::Login) => MIB,
            _ if books.iter().any(|book| book.name == self.name) => 32 * MIB,
            _ => 16 * MIB,
        }
    }

    /// The path on `route`, or `None` where the broker has no such call.
    pub(crate) fn path(&self, route: Route) -> Option<&'static str> {
        self.paths
            .iter()
            .find(|(column, _)| *column == route)
            .map(|(_, path)| *path)
    }
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

use Route::{OneProd, OneUat, ThreeProd, ThreeUat, TwoApim, TwoGateway, TwoUat};

pub(crate) static SESSION_INIT: Operation = Operation {
    name: "session_init",
    method: Method::POST,
    kind: Kind::Login,
    time: TimeClass::Login,
    pace: Pace::Free,
    current: Headers::json(Auth::Application),
    older: Headers::json(Auth::Application),
    paths: &[
        (OneProd, "oauth2/token"),
        (OneUat, "oauth2/token"),
        (TwoApim, "oauth2/token"),
        (TwoGateway, "oauth2/token"),
        (TwoUat, "oauth2/token"),
    ],
};

pub(crate) static BASE_URL: Operation = Operation {
    name: "base_url",
    method: Method::GET,
    kind: Kind::Read,
    time: TimeClass::Login,
    pace: Pace::Free,
    current: Headers::json(Auth::None),
    older: Headers::json(Auth::None),
    paths: &[
        (TwoApim, "algo-user/v5/get-base-url"),
        (TwoGateway, "algo-user/v5/get-base-url"),
    ],
};

pub(crate) static LOGIN: Operation = Operation {
    name: "login",
    method: Method::POST,
    kind: Kind::Login,
    time: TimeClass::Login,
    pace: Pace::Free,
    current: Headers::json(Auth::Bearer),
    older: Headers::json(Auth::Bearer),
    paths: &[
        (OneProd, "login/1.0/login/v2/validate"),
        (OneUat, "api/1.0/login/v2/validate"),
    ],
};

pub(crate) static OTP_GENERATE: Operation = Operation {
    name: "otp_generate",
    method: Method::POST,
    kind: Kind::Login,
    time: TimeClass::Login,
    pace: Pace::Free,
    current: Headers::json(Auth::Bearer),
    older: Headers::json(Auth::Bearer),
    paths: &[
        (OneProd, "login/1.0/login/otp/generate"),
        (OneUat, "api/1.0/login/otp/generate"),
    ],
};

pub(crate) static SESSION_2FA: Operation = Operation {
    name: "session_2fa",
    method: Method::POST,
    kind: Kind::Login,
    time: TimeClass::Login,
    pace: Pace::Free,
    current: Headers::json(Auth::BearerView),
    older: Headers::json(Auth::BearerView),
    paths: &[
        (OneProd, "login/1.0/login/v2/validate"),
        (OneUat, "api/1.0/login/v2/validate"),
    ],
};

pub(crate) static TOTP_LOGIN: Operation = Operation {
    name: "totp_login",
    method: Method::POST,
    kind: Kind::Login,
    time: TimeClass::Login,
    pace: Pace::Free,
    current: Headers::json(Auth::Key).with_fin_key(),
    older: Headers::json(Auth::Bearer).with_fin_key(),
    paths: &[
        (TwoApim, "apim/login/2.0/login/v6/totp/login"),
        (TwoGateway, "login/1.0/login/v6/totp/login"),
        (TwoUat, "api/1.0/login/v6/totp/login"),
        (ThreeProd, "login/1.0/tradeApiLogin"),
        (ThreeUat, "api/1.0/login/v6/totp/login"),
    ],
};

pub(crate) static TOTP_VALIDATE: Operation = Operation {
    name: "totp_validate",
    method: Method::POST,
    kind: Kind::Login,
    time: TimeClass::Login,
    pace: Pace::Free,
    current: Headers::json(Auth::KeyView).with_fin_key(),
    older: Headers::json(Auth::BearerView).with_fin_key(),
    paths: &[
        (TwoApim, "apim/login/2.0/login/v6/totp/validate"),
        (TwoGateway, "login/1.0/login/v6/totp/validate"),
        (TwoUat, "api/1.0/login/v6/totp/validate"),
        (ThreeProd, "login/1.0/tradeApiValidate"),
        (ThreeUat, "api/1.0/login/v6/totp/validate"),
    ],
};

pub(crate) static FEED_CONFIG: Operation = Operation {
    name: "feed_config",
    method: Method::GET,
    kind: Kind::Read,
    time: TimeClass::Login,
    pace: Pace::Free,
    current: Headers::json(Auth::None),
    older: Headers::json(Auth::None),
    paths: &[(ThreeProd, "5config/config"), (ThreeUat, "5config/config")],
};

pub(crate) static QR_CODE_LINK: Operation = Operation {
    name: "qr_code_link",
    method: Method::GET,
    kind: Kind::Read,
    time: TimeClass::Login,
    pace: Pace::Free,
    current: Headers::json(Auth::Bearer),
    older: Headers::json(Auth::Bearer),
    paths: &[
        (
            TwoApim,
            "apim/login/2.0/algo-user/v5/login/authorization/dialog",
        ),
        (
            TwoGateway,
            "login/1.0/algo-user/v5/login/authorization/dialog",
        ),
        (
            TwoUat,
            "apim/login/2.0/algo-user/v5/login/authorization/dialog",
        ),
    ],
};

pub(crate) static QR_CODE_SESSION: Operation = Operation {
    name: "qr_code_session",
    method: Method::POST,
    kind: Kind::Login,
    time: TimeClass::Login,
    pace: Pace::Free,
    current: Headers::json(Auth::Bearer).with_fin_key(),
    older: Headers::json(Auth::Bearer).with_fin_key(),
    paths: &[
        (
            TwoApim,
            "apim/login/2.0/algo-user/v5/login/generate-session-token",
        ),
        (
            TwoGateway,
            "login/1.0/algo-user/v5/login/generate-session-token",
        ),
        (
            TwoUat,
            "apim/login/2.0/algo-user/v5/login/generate-session-token",
        ),
    ],
};

pub(crate) static WHATSMYIP: Operation = Operation {
    name: "whatsmyip",
    method: Method::GET,
    kind: Kind::Read,
    time: TimeClass::Read,
    pace: Pace::Other,
    current: Headers::json(Auth::KeyTrade),
    older: Headers::json(Auth::KeyTrade),
    paths: &[
        (ThreeProd, "login/1.0/get-client-ip"),
        (ThreeUat, "login/1.0/get-client-ip"),
    ],
};

/// Generation 3 has no request of its own: the session is only forgotten.
pub(crate) static LOGOUT: Operation = Operation {
    name: "logout",
    method: Method::POST,
    kind: Kind::Login,
    time: TimeClass::Login,
    pace: Pace::Free,
    current: Headers::form(Auth::BearerTrade),
    older: Headers::form(Auth::BearerTrade),
    paths: &[
        (OneProd, "login/1.0/logout"),
        (OneUat, "api/1.0/logout"),
        (TwoApim, "apim/login/2.0/logout"),
        (TwoUat, "api/1.0/logout"),
    ],
};

pub(crate) static PLACE_ORDER: Operation = Operation {
    name: "place_order",
    method: Method::POST,
    kind: Kind::Instruction,
    time: TimeClass::Order,
    pace: Pace::Orders,
    current: Headers::form(Auth::KeyTrade),
    older: Headers::form(Auth::BearerTrade).with_fin_key(),
    paths: &[
        (OneProd, "Orders/2.0/quick/order/rule/ms/place"),
        (OneUat, "orderapi/1.0/quick/order/rule/ms/place"),
        (TwoApim, "apim/orders/2.0/quick/order/rule/ms/place"),
        (TwoGateway, "Orders/2.0/quick/order/rule/ms/place"),
        (TwoUat, "orderapi/1.0/quick/order/rule/ms/place"),
        (ThreeProd, "quick/order/rule/ms/place"),
        (ThreeUat, "quick/order/rule/ms/place"),
    ],
};

pub(crate) static MODIFY_ORDER: Operation = Operation {
    name: "modify_order",
    method: Method::POST,
    kind: Kind::Instruction,
    time: TimeClass::Order,
    pace: Pace::Orders,
    current: Headers::form(Auth::KeyTrade),
    older: Headers::form(Auth::BearerTrade).with_fin_key(),
    paths: &[
        (OneProd, "Orders/2.0/quick/order/vr/modify"),
        (OneUat, "orderapi/1.0/quick/order/vr/modify"),
        (TwoApim, "apim/orders/2.0/quick/order/vr/modify"),
        (TwoGateway, "Orders/2.0/quick/order/vr/modify"),
        (TwoUat, "orderapi/1.0/quick/order/vr/modify"),
        (ThreeProd, "quick/order/vr/modify"),
        (ThreeUat, "quick/order/vr/modify"),
    ],
};

pub(crate) static CANCEL_ORDER: Operation = Operation {
    name: "cancel_order",
    method: Method::POST,
    kind: Kind::Instruction,
    time: TimeClass::Order,
    pace: Pace::Orders,
    current: Headers::form(Auth::KeyTrade),
    older: Headers::form(Auth::BearerTrade).with_fin_key(),
    paths: &[
        (OneProd, "Orders/2.0/quick/order/cancel"),
        (OneUat, "orderapi/1.0/quick/order/cancel"),
        (TwoApim, "apim/orders/2.0/quick/order/cancel"),
        (TwoGateway, "Orders/2.0/quick/order/cancel"),
        (TwoUat, "orderapi/1.0/quick/order/cancel"),
        (ThreeProd, "quick/order/cancel"),
        (ThreeUat, "quick/order/cancel"),
    ],
};

pub(crate) static ORDER_REPORT: Operation = Operation {
    name: "order_report",
    method: Method::GET,
    kind: Kind::Read,
    time: TimeClass::Read,
    pace: Pace::Other,
    current: Headers::json(Auth::Trade),
    older: Headers::json(Auth::BearerTrade).with_fin_key(),
    paths: &[
        (OneProd, "Orders/2.0/quick/user/orders"),
        (OneUat, "orderapi/1.0/quick/user/orders"),
        (TwoApim, "apim/orders/2.0/quick/user/orders"),
        (TwoGateway, "Orders/2.0/quick/user/orders"),
        (TwoUat, "orderapi/1.0/quick/user/orders"),
        (ThreeProd, "quick/user/orders"),
        (ThreeUat, "quick/user/orders"),
    ],
};

/// Settles an instruction by reading the order book.
pub(crate) static ORDER_OUTCOME: Operation = Operation {
    name: "order_outcome",
    method: Method::GET,
    kind: Kind::Read,
    time: TimeClass::Read,
    pace: Pace::Other,
    current: ORDER_REPORT.current,
    older: ORDER_REPORT.older,
    paths: ORDER_REPORT.paths,
};

/// Only generation 3 can be asked for one order; its number follows the path.
pub(crate) static ORDER_BY_ID: Operation = Operation {
    name: "order_report",
    method: Method::GET,
    kind: Kind::Read,
    time: TimeClass::Read,
    pace: Pace::Other,
    current: Headers::json(Auth::Trade),
    older: Headers::json(Auth::Trade),
    paths: &[
        (ThreeProd, "quick/user/orders"),
        (ThreeUat, "quick/user/orders"),
    ],
};

pub(crate) static ORDER_HISTORY: Operation = Operation {
    name: "order_history",
    method: Method::POST,
    kind: Kind::Read,
    time: TimeClass::Read,
    pace: Pace::Other,
    current: Headers::form(Auth::Trade),
    older: Headers::form(Auth::BearerTrade).with_fin_key(),
    paths: &[
        (OneProd, "Orders/2.0/quick/order/history"),
        (OneUat, "orderapi/1.0/quick/order/history"),
        (TwoApim, "apim/order/2.0/quick/order/history"),
        (TwoGateway, "Orders/2.0/quick/order/history"),
        (TwoUat, "orderapi/1.0/quick/order/history"),
        (ThreeProd, "quick/order/history"),
        (ThreeUat, "quick/order/history"),
    ],
};

pub(crate) static TRADE_REPORT: Operation = Operation {
    name: "trade_report",
    method: Method::GET,
    kind: Kind::Read,
    time: TimeClass::Read,
    pace: Pace::Other,
    current: Headers::json(Auth::Trade),
    older: Headers::json(Auth::BearerTrade).with_fin_key(),
    paths: &[
        (OneProd, "Orders/2.0/quick/user/trades"),
        (OneUat, "orderapi/1.0/quick/user/trades"),
        (TwoApim, "apim/orders/2.0/quick/user/trades"),
        (TwoGateway, "Orders/2.0/quick/user/trades"),
        (TwoUat, "orderapi/1.0/quick/user/trades"),
        (ThreeProd, "quick/user/trades"),
        (ThreeUat, "quick/user/trades"),
    ],
};

pub(crate) static POSITIONS: Operation = Operation {
    name: "positions",
    method: Method::GET,
    kind: Kind::Read,
    time: TimeClass::Read,
    pace: Pace::Other,
    current: Headers::json(Auth::Trade),
    older: Headers::json(Auth::BearerTrade).with_fin_key(),
    paths: &[
        (OneProd, "Orders/2.0/quick/user/positions"),
        (OneUat, "orderapi/1.0/quick/user/positions"),
        (TwoApim, "apim/orders/2.0/quick/user/positions"),
        (TwoGateway, "Orders/2.0/quick/user/positions"),
        (TwoUat, "orderapi/1.0/quick/user/positions"),
        (ThreeProd, "portfolio/v2/positions"),
        (ThreeUat, "portfolio/v2/positions"),
    ],
};

pub(crate) static HOLDINGS: Operation = Operation {
    name: "holdings",
    method: Method::GET,
    kind: Kind::Read,
    time: TimeClass::Read,
    pace: Pace::Other,
    current: Headers::form(Auth::Trade).accepting_all(),
    older: Headers::json(Auth::BearerTrade).accepting_all(),
    paths: &[
        (OneProd, "Portfolio/1.0/portfolio/v1/holdings"),
        (OneUat, "portfolio/1.0/portfolio/v1/holdings"),
        (TwoApim, "apim/portfolio/2.0/portfolio/v1/holdings"),
        (TwoGateway, "Portfolio/1.0/portfolio/v1/holdings"),
        (TwoUat, "portfolio/1.0/portfolio/v1/holdings"),
        (ThreeProd, "portfolio/v1/holdings"),
        (ThreeUat, "portfolio/v1/holdings"),
    ],
};

pub(crate) static LIMITS: Operation = Operation {
    name: "limits",
    method: Method::POST,
    kind: Kind::Read,
    time: TimeClass::Read,
    pace: Pace::Other,
    current: Headers::form(Auth::Trade),
    older: Headers::form(Auth::BearerTrade).with_fin_key(),
    paths: &[
        (OneProd, "Orders/2.0/quick/user/limits"),
        (OneUat, "orderapi/1.0/quick/user/limits"),
        (TwoApim, "apim/orders/2.0/quick/user/limits"),
        (TwoGateway, "Orders/2.0/quick/user/limits"),
        (TwoUat, "orderapi/1.0/quick/user/limits"),
        (ThreeProd, "quick/user/limits"),
        (ThreeUat, "quick/user/limits"),
    ],
};

pub(crate) static MARGIN_REQUIRED: Operation = Operation {
    name: "margin_required",
    method: Method::POST,
    kind: Kind::Read,
    time: TimeClass::Read,
    pace: Pace::Other,
    current: Headers::form(Auth::Trade),
    older: Headers::form(Auth::BearerTrade).with_fin_key(),
    paths: &[
        (OneProd, "Orders/2.0/quick/user/check-margin"),
        (OneUat, "orderapi/1.0/quick/user/check-margin"),
        (TwoApim, "apim/orders/2.0/quick/user/check-margin"),
        (TwoGateway, "Orders/2.0/quick/user/check-margin"),
        (TwoUat, "orderapi/1.0/quick/user/check-margin"),
        (ThreeProd, "quick/user/check-margin"),
        (ThreeUat, "quick/user/check-margin"),
    ],
};

pub(crate) static SCRIP_MASTER: Operation = Operation {
    name: "scrip_master",
    method: Method::GET,
    kind: Kind::Read,
    time: TimeClass::Read,
    pace: Pace::Other,
    current: Headers::form(Auth::Key),
    older: Headers::json(Auth::Bearer),
    paths: &[
        (OneProd, "Files/1.0/masterscrip/v1/file-paths"),
        (OneUat, "scrip/1.0/masterscrip/file-paths"),
        (TwoApim, "apim/files/2.0/masterscrip/v1/file-paths"),
        (TwoGateway, "Files/1.0/masterscrip/v2/file-paths"),
        (TwoUat, "scrip/1.0/masterscrip/file-paths"),
        (ThreeProd, "script-details/1.0/masterscrip/file-paths"),
        (ThreeUat, "script-details/1.0/masterscrip/file-paths"),
    ],
};

/// Finds the scrip file of a segment, which is then fetched.
pub(crate) static SEARCH_SCRIP: Operation = Operation {
    name: "search_scrip",
    method: Method::GET,
    kind: Kind::Read,
    time: TimeClass::Download,
    pace: Pace::Other,
    current: SCRIP_MASTER.current,
    older: SCRIP_MASTER.older,
    paths: SCRIP_MASTER.paths,
};

/// Symbols and quote type follow the path. Generation 1 had no such call.
pub(crate) static QUOTES: Operation = Operation {
    name: "quotes",
    method: Method::GET,
    kind: Kind::Read,
    time: TimeClass::Read,
    pace: Pace::Quotes,
    current: Headers::form(Auth::Key),
    older: Headers::json(Auth::Bearer),
    paths: &[
        (TwoApim, "apim/quotes/2.0/quotes/neosymbol"),
        (TwoGateway, "apim/quotes/1.0/quotes/neosymbol"),
        (TwoUat, "apim/quotes/2.0/quotes/neosymbol"),
        (ThreeProd, "script-details/1.0/quotes/neosymbol"),
        (ThreeUat, "script-details/1.0/quotes/neosymbol"),
    ],
};

pub(crate) static EXPIRIES: Operation = Operation {
    name: "expiries",
    method: Method::GET,
    kind: Kind::Read,
    time: TimeClass::Read,
    pace: Pace::Quotes,
    current: Headers::form(Auth::Key),
    older: Headers::form(Auth::Key),
    paths: &[
        (ThreeProd, "market-data/1.0/watchlist/expiries"),
        (ThreeUat, "market-data/1.0/watchlist/expiries"),
    ],
};

pub(crate) static OPTION_CHAIN: Operation = Operation {
    name: "option_chain",
    method: Method::GET,
    kind: Kind::Read,
    time: TimeClass::Read,
    pace: Pace::Quotes,
    current: Headers::form(Auth::Key),
    older: Headers::form(Auth::Key),
    paths: &[
        (ThreeProd, "market-data/1.0/watchlist/option-chain"),
        (ThreeUat, "market-data/1.0/watchlist/option-chain"),
    ],
};

pub(crate) static HISTORICAL_DATA: Operation = Operation {
    name: "historical_data",
    method: Method::GET,
    kind: Kind::Read,
    time: TimeClass::Read,
    pace: Pace::Candles,
    current: Headers::form(Auth::Key),
    older: Headers::form(Auth::Key),
    paths: &[
        (ThreeProd, "market-data/1.0/historical/details"),
        (ThreeUat, "market-data/1.0/historical/details"),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    /// Every operation, in the order of the documentation.
    const ALL: &[&Operation] = &[
        &TOTP_LOGIN,
        &TOTP_VALIDATE,
        &FEED_CONFIG,
        &WHATSMYIP,
        &SESSION_INIT,
        &LOGIN,
        &OTP_GENERATE,
        &SESSION_2FA,
        &BASE_URL,
        &QR_CODE_LINK,
        &QR_CODE_SESSION,
        &LOGOUT,
        &PLACE_ORDER,
        &MODIFY_ORDER,
        &CANCEL_ORDER,
        &ORDER_OUTCOME,
        &ORDER_REPORT,
        &ORDER_BY_ID,
        &ORDER_HISTORY,
        &TRADE_REPORT,
        &POSITIONS,
        &HOLDINGS,
        &LIMITS,
        &MARGIN_REQUIRED,
        &QUOTES,
        &EXPIRIES,
        &OPTION_CHAIN,
        &HISTORICAL_DATA,
        &SCRIP_MASTER,
        &SEARCH_SCRIP,
    ];

    const COLUMNS: &[(Route, &str)] = &[
        (OneProd, "1 prod"),
        (OneUat, "1 uat"),
        (TwoApim, "2 prod"),
        (TwoGateway, "2 gw-napi"),
        (TwoUat, "2 uat"),
        (ThreeProd, "3 prod"),
        (ThreeUat, "3 uat"),
    ];

    #[test]
    fn books_may_be_long_and_answers_to_orders_are_short() {
        let of = |mib: usize| {
            let all = ALL.iter().filter(|op| op.largest_answer() == mib << 20);
            all.map(|op| op.name).collect::<Vec<_>>()
        };
        // One is of a whole book, the other of one order.
        let twice = "order_report";
        let books = [
            "order_outcome",
            twice,
            twice,
            "trade_report",
            "positions",
            "holdings",
        ];
        assert_eq!(of(32), books);
        let short = of(1);
        assert_eq!((short.len(), of(16).len()), (14, 10));
        for name in [
            "totp_login",
            "logout",
            "place_order",
            "modify_order",
            "cancel_order",
        ] {
            assert!(short.contains(&name), "{name}");
        }
    }

    fn headers(of: Headers) -> String {
        let fin_key = if of.fin_key { ", neo-fin-key" } else { "" };
        let kind = if of.content_type == FORM {
            "form"
        } else {
            "JSON"
        };
        let accept = if of.accept == JSON {
            ""
        } else {
            ", accepts anything"
        };
        format!("{:?}{fin_key}, {kind}{accept}", of.auth)
    }

    fn table() -> String {
        let mut text = String::from(
            "| operation | method | generation 3 | generations 1 and 2 | kind | deadline | pace | paths |\n\
             |---|---|---|---|---|---|---|---|\n",
        );
        for op in ALL {
            let paths: Vec<_> = COLUMNS
                .iter()
                .filter_map(|(route, name)| Some(format!("{name}: `{}`", op.path(*route)?)))
                .collect();
            let has = |new: bool| op.paths.iter().any(|(route, _)| route.is_current() == new);
            let shown = |new: bool, of| {
                if has(new) {
                    headers(of)
                } else {
                    "-".to_owned()
                }
            };
            text.push_str(&format!(
                "| `{}` | {} | {} | {} | {:?} | {:?} | {:?} | {} |\n",
                op.name,
                op.method,
                shown(true, op.current),
                shown(false, op.older),
                op.kind,
                op.time,
                op.pace,
                paths.join("<br>"),
            ));
        }
        text
    }

    /// `docs/operations.md` is made from the table: run this test with
    /// `KNEO_UPDATE_DOCS=1` to write it anew.
    #[test]
    fn the_documentation_shows_this_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md");
        let text = std::fs::read_to_string(path).expect("docs/operations.md can be read");
        const START: &str = "<!-- table -->\n";
        const END: &str = "<!-- end -->";
        let (head, rest) = text.split_once(START).expect("the page has a start mark");
        let (shown, tail) = rest.split_once(END).expect("the page has an end mark");
        let table = table();
        if std::env::var_os("KNEO_UPDATE_DOCS").is_some() {
            std::fs::write(path, format!("{head}{START}{table}{END}{tail}"))
                .expect("it can be written");
            return;
        }
        assert_eq!(shown, table);
    }

    #[test]
    fn paths_are_relative_and_stand_once() {
        for op in ALL {
            for (at, (route, path)) in op.paths.iter().enumerate() {
                assert!(!path.starts_with('/') && !path.ends_with('/'), "{path}");
                assert!(
                    op.paths[..at].iter().all(|(other, _)| other != route),
                    "{}",
                    op.name
                );
            }
        }
    }

    #[test]
    fn every_read_but_those_of_a_login_has_its_pace() {
        for op in ALL.iter().filter(|op| op.kind != Kind::Instruction) {
            let of_a_login = op.time == TimeClass::Login;
            assert_eq!(op.pace == Pace::Free, of_a_login, "{}", op.name);
        }
    }

    #[test]
    fn only_what_changes_nothing_is_a_read() {
        let reports = ["order_history", "limits", "margin_required"];
        for op in ALL {
            let read = op.method == Method::GET || reports.contains(&op.name);
            assert_eq!(op.kind == Kind::Read, read, "{}", op.name);
            let order = matches!(op.name, "place_order" | "modify_order" | "cancel_order");
            assert_eq!(op.kind == Kind::Instruction, order, "{}", op.name);
            assert_eq!(op.time == TimeClass::Order, order, "{}", op.name);
            assert_eq!(op.pace == Pace::Orders, order, "{}", op.name);
        }
    }
}
