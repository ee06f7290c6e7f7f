//! The one table of operations: method, path, authentication, encoding,
//! whether a call may be repeated, and which deadline it has.
//!
//! `docs/operations.md` shows this table; a test holds it to the code.

use http::Method;

use crate::hosts::{Environment, Generation};

/// One HTTP request that the broker knows.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    pub(crate) method: Method,
    pub(crate) auth: Auth,
    /// Whether the header `neo-fin-key` is sent.
    pub(crate) fin_key: bool,
    pub(crate) content_type: &'static str,
    pub(crate) kind: Kind,
    pub(crate) time: TimeClass,
    pub(crate) paths: &'static [(Route, &'static str)],
}

/// What sending a request twice would mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Changes nothing: may be repeated after a transport failure.
    Read,
    /// Uses up a code or makes a session: sent once.
    Login,
}

/// Which of the configured deadlines covers a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeClass {
    Login,
    Read,
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
    auth: Auth::Application,
    fin_key: false,
    content_type: JSON,
    kind: Kind::Login,
    time: TimeClass::Login,
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
    auth: Auth::None,
    fin_key: false,
    content_type: JSON,
    kind: Kind::Read,
    time: TimeClass::Login,
    paths: &[
        (TwoApim, "algo-user/v5/get-base-url"),
        (TwoGateway, "algo-user/v5/get-base-url"),
    ],
};

pub(crate) static LOGIN: Operation = Operation {
    name: "login",
    method: Method::POST,
    auth: Auth::Bearer,
    fin_key: false,
    content_type: JSON,
    kind: Kind::Login,
    time: TimeClass::Login,
    paths: &[
        (OneProd, "login/1.0/login/v2/validate"),
        (OneUat, "api/1.0/login/v2/validate"),
    ],
};

pub(crate) static OTP_GENERATE: Operation = Operation {
    name: "otp_generate",
    method: Method::POST,
    auth: Auth::Bearer,
    fin_key: false,
    content_type: JSON,
    kind: Kind::Login,
    time: TimeClass::Login,
    paths: &[
        (OneProd, "login/1.0/login/otp/generate"),
        (OneUat, "api/1.0/login/otp/generate"),
    ],
};

pub(crate) static SESSION_2FA: Operation = Operation {
    name: "session_2fa",
    method: Method::POST,
    auth: Auth::BearerView,
    fin_key: false,
    content_type: JSON,
    kind: Kind::Login,
    time: TimeClass::Login,
    paths: &[
        (OneProd, "login/1.0/login/v2/validate"),
        (OneUat, "api/1.0/login/v2/validate"),
    ],
};

pub(crate) static TOTP_LOGIN_BEARER: Operation = Operation {
    name: "totp_login",
    method: Method::POST,
    auth: Auth::Bearer,
    fin_key: true,
    content_type: JSON,
    kind: Kind::Login,
    time: TimeClass::Login,
    paths: &[
        (TwoApim, "apim/login/2.0/login/v6/totp/login"),
        (TwoGateway, "login/1.0/login/v6/totp/login"),
        (TwoUat, "api/1.0/login/v6/totp/login"),
    ],
};

pub(crate) static TOTP_VALIDATE_BEARER: Operation = Operation {
    name: "totp_validate",
    method: Method::POST,
    auth: Auth::BearerView,
    fin_key: true,
    content_type: JSON,
    kind: Kind::Login,
    time: TimeClass::Login,
    paths: &[
        (TwoApim, "apim/login/2.0/login/v6/totp/validate"),
        (TwoGateway, "login/1.0/login/v6/totp/validate"),
        (TwoUat, "api/1.0/login/v6/totp/validate"),
    ],
};

pub(crate) static TOTP_LOGIN: Operation = Operation {
    name: "totp_login",
    method: Method::POST,
    auth: Auth::Key,
    fin_key: true,
    content_type: JSON,
    kind: Kind::Login,
    time: TimeClass::Login,
    paths: &[
        (ThreeProd, "login/1.0/tradeApiLogin"),
        (ThreeUat, "api/1.0/login/v6/totp/login"),
    ],
};

pub(crate) static TOTP_VALIDATE: Operation = Operation {
    name: "totp_validate",
    method: Method::POST,
    auth: Auth::KeyView,
    fin_key: true,
    content_type: JSON,
    kind: Kind::Login,
    time: TimeClass::Login,
    paths: &[
        (ThreeProd, "login/1.0/tradeApiValidate"),
        (ThreeUat, "api/1.0/login/v6/totp/validate"),
    ],
};

pub(crate) static FEED_CONFIG: Operation = Operation {
    name: "feed_config",
    method: Method::GET,
    auth: Auth::None,
    fin_key: false,
    content_type: JSON,
    kind: Kind::Read,
    time: TimeClass::Login,
    paths: &[(ThreeProd, "5config/config"), (ThreeUat, "5config/config")],
};

pub(crate) static QR_CODE_LINK: Operation = Operation {
    name: "qr_code_link",
    method: Method::GET,
    auth: Auth::Bearer,
    fin_key: false,
    content_type: JSON,
    kind: Kind::Read,
    time: TimeClass::Login,
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
    auth: Auth::Bearer,
    fin_key: true,
    content_type: JSON,
    kind: Kind::Login,
    time: TimeClass::Login,
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
    auth: Auth::KeyTrade,
    fin_key: false,
    content_type: JSON,
    kind: Kind::Read,
    time: TimeClass::Read,
    paths: &[
        (ThreeProd, "login/1.0/get-client-ip"),
        (ThreeUat, "login/1.0/get-client-ip"),
    ],
};

/// Generation 3 has no request of its own: the session is only forgotten.
pub(crate) static LOGOUT: Operation = Operation {
    name: "logout",
    method: Method::POST,
    auth: Auth::BearerTrade,
    fin_key: false,
    content_type: FORM,
    kind: Kind::Login,
    time: TimeClass::Login,
    paths: &[
        (OneProd, "login/1.0/logout"),
        (OneUat, "api/1.0/logout"),
        (TwoApim, "apim/login/2.0/logout"),
        (TwoUat, "api/1.0/logout"),
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
        &TOTP_LOGIN_BEARER,
        &TOTP_VALIDATE_BEARER,
        &QR_CODE_LINK,
        &QR_CODE_SESSION,
        &LOGOUT,
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

    fn table() -> String {
        let mut text = String::from(
            "| operation | method | credentials | neo-fin-key | content type | kind | deadline | paths |\n\
             |---|---|---|---|---|---|---|---|\n",
        );
        for op in ALL {
            let paths: Vec<_> = COLUMNS
                .iter()
                .filter_map(|(route, name)| Some(format!("{name}: `{}`", op.path(*route)?)))
                .collect();
            text.push_str(&format!(
                "| `{}` | {} | {:?} | {} | {} | {:?} | {:?} | {} |\n",
                op.name,
                op.method,
                op.auth,
                if op.fin_key { "yes" } else { "no" },
                op.content_type,
                op.kind,
                op.time,
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
    fn a_read_is_a_get_and_every_path_is_relative() {
        for op in ALL {
            assert_eq!(
                op.kind == Kind::Read,
                op.method == Method::GET,
                "{}",
                op.name
            );
            for (_, path) in op.paths {
                assert!(!path.starts_with('/') && !path.ends_with('/'), "{path}");
            }
        }
    }
}
