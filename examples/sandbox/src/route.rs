//! The route table: which method and path is answered by which function.
//!
//! Every concern of the broker is a module with a `ROUTES` table of its own; [`Router`] joins
//! them. A path that no table knows is answered with 404 and marked in the record.

use std::collections::HashMap;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};

use crate::state::State;

/// What a handler answers.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Bytes,
}

impl Answer {
    /// A JSON body.
    pub(crate) fn json(status: StatusCode, body: &Value) -> Self {
        Self {
            status,
            headers: vec![(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json; charset=utf-8"),
            )],
            body: body.to_string().into(),
        }
    }

    /// The body shape of the login services: a list with one code and message.
    pub(crate) fn error(status: StatusCode, code: &str, message: &str) -> Self {
        Self::json(
            status,
            &json!({"error": [{"code": code, "message": message}]}),
        )
    }

    /// An answer of the sandbox itself: unknown path, wrong method, body too large.
    pub(crate) fn misdirected(status: StatusCode, message: &str) -> Self {
        Self::error(status, status.as_str(), message)
    }
}

/// Answers a call. A refusal is the `Err`, so that checks can use `?`.
pub(crate) type Handler = fn(&Call<'_>) -> Result<Answer, Answer>;

/// One line of a route table.
pub(crate) struct Route {
    pub(crate) method: Method,
    /// The path without its leading slash; a segment `{name}` matches any one segment.
    pub(crate) path: &'static str,
    /// Whether a login host of the broker answers this: those hosts set a cookie and check it.
    pub(crate) login_host: bool,
    pub(crate) handler: Handler,
}

/// What a handler is called with.
pub(crate) struct Call<'a> {
    pub(crate) state: &'a State,
    pub(crate) path: &'a str,
    pub(crate) query: &'a [(String, String)],
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    pub(crate) peer: SocketAddr,
    /// Whether it came to the host that `baseUrl` names: under its path, if it has one.
    pub(crate) on_base: bool,
    /// Of an instruction: whether the limit a second let it through when it came.
    pub(crate) let_through: bool,
    /// Set by a fault: the address to name as API host, and as feed.
    pub(crate) named_base: Option<String>,
    pub(crate) named_feed: Option<String>,
}

impl Call<'_> {
    /// A header that was sent exactly once, is text and not empty.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?;
        if values.next().is_some() {
            return None;
        }
        value.to_str().ok().filter(|text| !text.is_empty())
    }

    /// The first query parameter with this name, if not empty.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        let (_, value) = self.query.iter().find(|(key, _)| key == name)?;
        Some(value.as_str()).filter(|text| !text.is_empty())
    }

    /// The address that answers name as the API host.
    pub(crate) fn base_url(&self) -> String {
        match &self.named_base {
            Some(named) => named.clone(),
            None => format!("{}{}", self.state.url, self.state.options.base_path),
        }
    }

    /// The address that answers name for a socket at `path`.
    pub(crate) fn feed_url(&self, path: &str) -> String {
        match &self.named_feed {
            Some(named) => named.clone(),
            None => format!("{}{path}", self.state.url),
        }
    }
}

/// What the tables say about a method and path.
pub(crate) enum Found<'r> {
    Route(&'r Route),
    /// The path is known, but for these methods only.
    OtherMethods(String),
    Nothing,
}

/// All tables, joined.
pub(crate) struct Router {
    exact: HashMap<&'static str, Vec<&'static Route>>,
    patterns: Vec<&'static Route>,
}

impl Router {
    pub(crate) fn new(tables: &[&'static [Route]]) -> Self {
        let mut router = Self {
            exact: HashMap::new(),
            patterns: Vec::new(),
        };
        for route in tables.iter().copied().flatten() {
            if route.path.contains('{') {
                router.patterns.push(route);
            } else {
                router.exact.entry(route.path).or_default().push(route);
            }
        }
        router
    }

    /// Looks a path up (with its leading slash).
    pub(crate) fn find(&self, method: &Method, path: &str) -> Found<'_> {
        let Some(path) = path.strip_prefix('/') else {
            return Found::Nothing;
        };
        let mut others: Vec<&str> = Vec::new();
        let exact = self.exact.get(path).into_iter().flatten();
        for route in exact.chain(self.patterns.iter().filter(|r| matches(r.path, path))) {
            if route.method == method {
                return Found::Route(route);
            }
            others.push(route.method.as_str());
        }
        if others.is_empty() {
            Found::Nothing
        } else {
            Found::OtherMethods(others.join(", "))
        }
    }
}

/// Whether `path` has the segments of `pattern`.
fn matches(pattern: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    let fit = pattern.split('/').all(|wanted| {
        segments.next().is_some_and(|segment| {
            if wanted.starts_with('{') {
                !segment.is_empty()
            } else {
                wanted == segment
            }
        })
    });
    fit && segments.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &Call<'_>) -> Result<Answer, Answer> {
        Ok(Answer::misdirected(StatusCode::OK, ""))
    }

    static TABLE: &[Route] = &[
        Route {
            method: Method::GET,
            path: "a/b",
            login_host: false,
            handler: nothing,
        },
        Route {
            method: Method::POST,
            path: "a/b",
            login_host: false,
            handler: nothing,
        },
        Route {
            method: Method::GET,
            path: "q/{symbols}/{kind}",
            login_host: false,
            handler: nothing,
        },
    ];

    #[test]
    fn finds_exact_paths_patterns_and_nothing_else() {
        let router = Router::new(&[TABLE]);
        let path_of = |method, path| match router.find(&method, path) {
            Found::Route(route) => format!("{} {}", route.method, route.path),
            Found::OtherMethods(methods) => format!("only {methods}"),
            Found::Nothing => "nothing".to_owned(),
        };
        assert_eq!(path_of(Method::POST, "/a/b"), "POST a/b");
        assert_eq!(path_of(Method::PUT, "/a/b"), "only GET, POST");
        assert_eq!(
            path_of(Method::GET, "/q/nse_cm%7C1/all"),
            "GET q/{symbols}/{kind}"
        );
        for path in [
            "/a",
            "/a/b/",
            "//a/b",
            "/q/x",
            "/q//all",
            "/q/x/all/more",
            "a/b",
            "*",
        ] {
            assert_eq!(path_of(Method::GET, path), "nothing", "{path}");
        }
    }
}
