//! The official SDK and this library side by side on the sockets of one
//! sandbox, with one session: what the tests of both feeds share.

use std::time::{Duration, Instant};

use kotak_neo_sandbox::{Fault, FaultKind, Options, Sandbox, Socket};
use serde_json::{Value, json};

use crate::OK;
use crate::facts::{self, Exception, Facts, Names, Used};
use crate::handles::Events;
use crate::library::Library;
use crate::sdk::Sdk;

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What differs between the handshakes, which are the WebSocket libraries' business.
pub const AGENT: Exception = Exception {
    fact: "header user-agent",
    holds: |sdk, ours| sdk.is_some_and(|sdk| sdk.contains("websockets")) && ours.is_none(),
    reason: "the SDK names its WebSocket library; the broker asks for no such header",
};
pub const KEY: Exception = Exception {
    fact: "header sec-websocket-key",
    holds: |sdk, ours| sdk.is_some() && ours.is_some() && sdk != ours,
    reason: "random, as the standard wants it",
};
pub const EXTENSIONS: Exception = Exception {
    fact: "header sec-websocket-extensions",
    holds: |sdk, ours| sdk.is_some_and(|sdk| sdk.contains("deflate")) && ours.is_none(),
    reason: "packed frames would cost time; the sandbox takes no such offer",
};

pub fn only_ours(sdk: Option<&str>, ours: Option<&str>) -> bool {
    sdk.is_none() && ours.is_some()
}

/// The SDK and this library on one sandbox, with one session.
pub struct Sides {
    pub sandbox: Sandbox,
    pub sdk: Sdk,
    pub library: Library,
    pub used: Used,
    pub problems: Vec<String>,
    socket: Socket,
    /// How many messages of the sockets were taken.
    taken: usize,
}

impl Sides {
    /// `None` if the SDK is not there.
    pub fn start(test: &str, socket: Socket, table: &'static [Exception]) -> Option<Self> {
        let options = Options {
            orders_per_second: 0,
            quotes_per_second: 0,
            candles_per_second: 0,
            ..Options::default()
        };
        let sandbox = Sandbox::start(options).expect("the sandbox starts");
        let mut sdk = Sdk::start(test, sandbox.url(), "")?;
        let who = sandbox.credentials().clone();
        let login = json!({
            "mobile_number": who.mobile_number, "ucc": who.ucc, "totp": sandbox.totp_now(),
        });
        let mpin = json!({"mpin": who.mpin});
        let open = json!({"environment": "prod", "consumer_key": who.consumer_key});
        // The SDK's calls are led to the sandbox by the broker's names alone.
        sandbox.set_fault(Fault {
            path: "/login/1.0/tradeApiValidate".to_owned(),
            times: Some(1),
            kind: FaultKind::BaseUrl("https://e43.kotaksecurities.com".to_owned()),
        });
        sdk.ask("open", open);
        sdk.ask("totp_login", login.clone());
        sdk.ask("totp_validate", mpin.clone());
        let theirs = sdk.ask("state", json!({}));
        assert_eq!(theirs["state"], "trade", "{theirs}");

        let config = sandbox.config_json();
        let library = Library::open(&serde_json::from_str(&config).expect("it is JSON"));
        for (call, with) in [("totp_login", login), ("totp_validate", mpin)] {
            let outcome = library.call(call, &with);
            assert_eq!(outcome.status, OK, "{call}: {}", outcome.json);
        }
        // From here on with the SDK's session, so that both have the same to say.
        let mut session = library.call("session_export", &json!({})).json;
        for key in ["token", "sid", "rid"] {
            session[key] = theirs[key].clone();
        }
        let session = json!({"session": session.to_string()});
        let imported = library.call("session_import", &session);
        assert_eq!(imported.status, OK, "{}", imported.json);
        Some(Self {
            sandbox,
            sdk,
            library,
            used: Used::of(table),
            problems: Vec::new(),
            socket,
            taken: 0,
        })
    }

    /// The address of the socket under test.
    pub fn url(&self) -> String {
        let path = match self.socket {
            Socket::Feed => "apifeed",
            Socket::OrderFeed => "realtime",
        };
        format!("{}/{path}", self.sandbox.url().replace("http", "ws"))
    }

    pub fn compare(&mut self, what: &str, sdk: &Facts, ours: &Facts) {
        self.problems.extend(self.used.compare(what, sdk, ours));
    }

    /// One fact that both have, or that one lacks.
    pub fn compare_one(&mut self, what: &str, fact: &str, sdk: Option<&str>, ours: Option<&str>) {
        let facts = |value: Option<&str>| {
            let pair = value.map(|value| (fact.to_owned(), value.to_owned()));
            pair.into_iter().collect()
        };
        self.compare(what, &facts(sdk), &facts(ours));
    }

    /// Waits for so many texts of either side, and gives all that came since the last time.
    pub fn texts(&mut self, what: &str, theirs: usize, ours: usize) -> [Vec<String>; 2] {
        let end = Instant::now() + PATIENCE;
        loop {
            let all = self.sandbox.socket_messages();
            let mut sides = [Vec::new(), Vec::new()];
            for message in &all[self.taken..] {
                if message.socket == self.socket {
                    let side = usize::from(!self.is_sdk(message.connection));
                    sides[side].push(message.text.clone());
                }
            }
            if sides[0].len() >= theirs && sides[1].len() >= ours {
                self.taken = all.len();
                return sides;
            }
            assert!(
                Instant::now() < end,
                "{what}: {theirs} and {ours} texts expected: {sides:?}"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether a connection is the SDK's.
    fn is_sdk(&self, connection: u64) -> bool {
        let requests = self.sandbox.requests();
        let upgrade = requests
            .iter()
            .find(|one| one.connection == connection && one.header("upgrade").is_some())
            .expect("every socket begins with a request");
        let agent = upgrade.header("user-agent");
        agent.is_some_and(|agent| agent.contains("websockets"))
    }

    /// Compares the requests for the sockets that are open, one of each side.
    pub fn compare_handshakes(&mut self) {
        let path = format!("/{}", self.url().rsplit('/').next().expect("a path"));
        let mut upgrades = Vec::new();
        for request in self.sandbox.requests() {
            if request.path == path {
                upgrades.push((self.is_sdk(request.connection), request));
            }
        }
        let [(true, theirs), (false, ours)] = &upgrades[..] else {
            panic!("one request of each side, the SDK's first: {upgrades:?}");
        };
        let [theirs, ours] = [theirs, ours].map(|one| facts::of_request(one, &Names::new()));
        self.compare("handshake", &theirs, &ours);
    }

    /// Compares values that come under one key on both sides; `fact` names one that is missing.
    pub fn compare_values(&mut self, what: &str, fact: &str, theirs: &[Value], ours: &[Value]) {
        for at in 0..theirs.len().max(ours.len()) {
            match (theirs.get(at), ours.get(at)) {
                (Some(theirs), Some(ours)) => {
                    let [theirs, ours] = [theirs, ours].map(|one| facts::of_value("event", one));
                    self.compare(what, &theirs, &ours);
                }
                (theirs, ours) => {
                    let text = |value: Option<&Value>| value.map(Value::to_string);
                    let (theirs, ours) = (text(theirs), text(ours));
                    self.compare_one(what, fact, theirs.as_deref(), ours.as_deref());
                }
            }
        }
    }

    pub fn finish(self) {
        assert!(self.problems.is_empty(), "{}", self.problems.join("\n"));
        let unused = self.used.unused();
        assert!(
            unused.is_empty(),
            "no longer needed in the table: {unused:?}"
        );
        self.used.print();
    }
}

/// The next event of this library.
pub fn event(feed: &impl Events) -> Value {
    let next = feed.next(60_000);
    assert_eq!(next.status, OK, "no event in time: {}", next.json);
    next.json
}

/// The events of this library before the one that fits.
pub fn until(feed: &impl Events, what: &str, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
    let end = Instant::now() + PATIENCE;
    let mut events = Vec::new();
    loop {
        let event = event(feed);
        if fits(&event) {
            return events;
        }
        events.push(event);
        assert!(Instant::now() < end, "{what}: it never came: {events:?}");
    }
}
