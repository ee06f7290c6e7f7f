//! Wire parity: this library sends what the official SDKs send, and takes the
//! same state from the answers.
//!
//! - Generation 3: the official Python SDK 3.0.9 and this library do the same
//!   logins against the sandbox. Requests, answers and state are equal but for
//!   the rows of one table, each with its reason (`facts.rs`).
//! - The feeds: both listen on the sandbox's sockets side by side, send the
//!   same and understand the same (`feeds.rs`, `order_feed.rs`), but for a
//!   table each.
//! - Generations 1 and 2: their SDKs cannot be had any more, so the requests
//!   are held to the wire documents (`older_generations.json`).

mod broker;
mod facts;
mod feeds;
mod handles;
mod library;
mod older;
mod order_feed;
mod sdk;
mod sides;
mod trading;

use kotak_neo_sandbox::FaultKind;
use serde_json::{Value, json};

use broker::Broker;
use facts::{Facts, Names, Used};
use library::{Library, Outcome};
use sdk::Sdk;

/// What the SDK says to a call that needs a complete login.
const NOT_LOGGED_IN: &str = "Complete the 2fa process before accessing this application";
/// What the SDK says to an answer that is not JSON.
const NOT_JSON: &str = "Unexpected response format. Expected JSON but received something else.";

/// One call that both sides make, and how it must end.
struct Step {
    call: &'static str,
    with: Value,
    ends: End,
}

/// How a step ends.
enum End {
    /// Both give the same JSON; the status here is this library's.
    Same(i32),
    /// Both give the same JSON, once the SDK's is taken out of the wrapping
    /// that this names.
    Wrapped(Wrapping),
    /// Nothing is sent. The SDK answers with this; this library has this
    /// status, and its message this word.
    Unsent(Value, i32, &'static str),
    /// The SDK cannot read the answer and says so; this library has this status.
    Unreadable(i32),
}

/// What the SDK puts around an answer, or takes away from it. Every wrapping
/// is here; the library gives the broker's body.
#[derive(Clone, Copy, Debug)]
enum Wrapping {
    /// `{"data": body}`.
    InData,
    /// Only what the body has under `data`.
    OnlyData,
    /// The URL of a segment's file as a bare string; ours is in an object.
    Url,
}

impl Wrapping {
    /// The library's answer as the SDK would give it.
    fn around(self, ours: &Value) -> Value {
        match self {
            Self::InData => json!({"data": ours}),
            Self::OnlyData => ours["data"].clone(),
            Self::Url => ours["url"].clone(),
        }
    }
}

const PROD_LOGIN: &str = "/login/1.0/tradeApiLogin";
const OK: i32 = 0;
const INVALID_ARGUMENT: i32 = 1;
const NOT_LOGGED_IN_STATUS: i32 = 3;
const SESSION_EXPIRED: i32 = 4;
const REJECTED: i32 = 5;
const PROTOCOL: i32 = 10;
const UNAVAILABLE: i32 = 11;

/// Steps that belong together, on one client.
struct Scenario {
    name: &'static str,
    fin_key: Option<&'static str>,
    /// Each with how often it strikes; without end if there is no number.
    faults: Vec<(&'static str, Option<u32>, FaultKind)>,
    steps: Vec<Step>,
}

impl Scenario {
    fn new(name: &'static str, steps: Vec<Step>) -> Self {
        Self {
            name,
            fin_key: None,
            faults: Vec::new(),
            steps,
        }
    }

    fn with_fault(mut self, path: &'static str, kind: FaultKind) -> Self {
        self.faults.push((path, None, kind));
        self
    }

    /// The same for one step, which both sides make.
    fn with_fault_of_a_step(mut self, path: &'static str, kind: FaultKind) -> Self {
        self.faults.push((path, Some(2), kind));
        self
    }
}

fn step(call: &'static str, with: Value, ends: End) -> Step {
    Step { call, with, ends }
}

fn unsent(call: &'static str, with: Value, field: &str, word: &'static str) -> Step {
    let message = format!("Missing required field '{field}'");
    let said = json!({"error": [{"code": "400", "message": message}]});
    step(call, with, End::Unsent(said, INVALID_ARGUMENT, word))
}

fn not_logged_in(call: &'static str) -> Step {
    let said = json!({"Error Message": NOT_LOGGED_IN});
    step(
        call,
        json!({}),
        End::Unsent(said, NOT_LOGGED_IN_STATUS, "login"),
    )
}

/// An answer with this body, whatever was asked.
fn answer(status: u16, body: &Value) -> FaultKind {
    FaultKind::Answer {
        status,
        headers: Vec::new(),
        body: body.to_string().into_bytes(),
    }
}

/// Every scenario of one environment.
fn scenarios(
    broker: &Broker,
    login_path: &'static str,
    validate_path: &'static str,
    order: &str,
) -> Vec<Scenario> {
    const CONFIG_PATH: &str = "/5config/config";
    let known = broker.sandbox.credentials().clone();
    let totp = broker.sandbox.totp_now();
    let wrong_totp = format!(
        "{:06}",
        (totp.parse::<u32>().expect("digits") + 500_000) % 1_000_000
    );
    let login_with =
        |totp: &str| json!({"mobile_number": known.mobile_number, "ucc": known.ucc, "totp": totp});
    let login = |ends: End| step("totp_login", login_with(&totp), ends);
    let validate = |ends: End| step("totp_validate", json!({"mpin": known.mpin}), ends);
    let whole = || vec![login(End::Same(OK)), validate(End::Same(OK))];
    let without = |field: &str, value: Option<&str>| {
        let mut with = login_with(&totp);
        with[field] = json!(value);
        with
    };
    // A complete answer of the second step, with these fields changed.
    let validated = |change: Value| {
        let mut data = json!({
            "token": "fake-trade-token", "sid": "fake-trade-sid", "rid": "fake-rid",
            "baseUrl": "https://e43.kotaksecurities.com", "ucc": "TEST1", "dataCenter": "E43",
            "feedUrl": "https://answer.kotaksecurities.com/apifeed",
            "rtUrl": "https://answer.kotaksecurities.com/realtime",
            "kType": "Trade", "status": "success",
        });
        for (key, value) in change.as_object().expect("an object") {
            data[key] = value.clone();
        }
        answer(200, &json!({"data": data}))
    };
    let service = |entries: Value| answer(200, &json!({"data": {"configs": entries}}));
    let named_by_service = || {
        service(json!({
            "E43_broadcast_source": "sh",
            "E43_ks_broadcast_endpoint": "https://unused.kotaksecurities.com/ufeed",
            "E43_ks_interactive_endpoint": "https://unused.kotaksecurities.com/uinteractive",
            "E43_sh_broadcast_endpoint": "https://service.kotaksecurities.com/apifeed",
            "E43_sh_interactive_endpoint": "https://service.kotaksecurities.com/realtime",
        }))
    };
    let html = || FaultKind::Answer {
        status: 503,
        headers: vec![("content-type".to_owned(), "text/html".to_owned())],
        body: b"<html><body>503 Service Temporarily Unavailable</body></html>".to_vec(),
    };

    let mut list = vec![
        Scenario::new("a whole session", {
            let mut steps = vec![not_logged_in("whatsmyip"), not_logged_in("logout")];
            steps.extend(whole());
            steps.push(step("whatsmyip", json!({}), End::Same(OK)));
            steps.push(step("logout", json!({}), End::Same(OK)));
            steps.push(not_logged_in("whatsmyip"));
            steps.push(not_logged_in("logout"));
            steps
        })
        .with_fault(
            validate_path,
            FaultKind::BaseUrl("https://e43.kotaksecurities.com".to_owned()),
        )
        .with_fault(
            CONFIG_PATH,
            FaultKind::FeedUrl("https://sfeed.kotaksecurities.com/apifeed".to_owned()),
        )
        // The two sides ask in different milliseconds, so their answers differ.
        .with_fault("/login/1.0/get-client-ip", FaultKind::Slow { ms: 5 }),
        Scenario::new("a second login in the same client", {
            let mut steps = whole();
            steps.extend(whole());
            steps
        })
        .with_fault(
            validate_path,
            FaultKind::BaseUrl("https://cis.kotaksecurities.com".to_owned()),
        )
        .with_fault(CONFIG_PATH, named_by_service()),
        Scenario {
            fin_key: Some("another-key"),
            ..Scenario::new("a neo-fin-key of the caller", whole())
                .with_fault(
                    login_path,
                    answer(
                        200,
                        &json!({"data": {"token": "t", "sid": "s", "ucc": "U"}}),
                    ),
                )
                .with_fault(validate_path, validated(json!({})))
                .with_fault(CONFIG_PATH, named_by_service())
        },
        Scenario::new("market data before a login", market_data()),
        Scenario::new("books and portfolio", {
            let mut steps = vec![
                not_logged_in("order_report"),
                not_logged_in("trade_report"),
                not_logged_in("positions"),
                not_logged_in("holdings"),
                not_logged_in("limits"),
            ];
            steps.extend(whole());
            steps.extend(reads(order));
            steps
        })
        .with_fault(
            validate_path,
            FaultKind::BaseUrl("https://e43.kotaksecurities.com".to_owned()),
        )
        .with_fault(
            CONFIG_PATH,
            FaultKind::FeedUrl("https://sfeed.kotaksecurities.com/apifeed".to_owned()),
        ),
        Scenario::new("market data after a login", {
            let mut steps = whole();
            steps.extend(market_data());
            steps
        })
        .with_fault(
            validate_path,
            FaultKind::BaseUrl("https://e43.kotaksecurities.com".to_owned()),
        )
        .with_fault(
            CONFIG_PATH,
            FaultKind::FeedUrl("https://sfeed.kotaksecurities.com/apifeed".to_owned()),
        ),
        Scenario::new(
            "wrong TOTP, then the right one, then a wrong MPIN",
            vec![
                step("totp_login", login_with(&wrong_totp), End::Same(REJECTED)),
                login(End::Same(OK)),
                step(
                    "totp_validate",
                    json!({"mpin": "000000"}),
                    End::Same(REJECTED),
                ),
            ],
        ),
        Scenario::new(
            "missing fields",
            vec![
                unsent(
                    "totp_login",
                    without("mobile_number", None),
                    "MobileNumber",
                    "mobile_number",
                ),
                unsent(
                    "totp_login",
                    without("mobile_number", Some("")),
                    "MobileNumber",
                    "mobile_number",
                ),
                unsent("totp_login", without("ucc", None), "Ucc", "ucc"),
                unsent("totp_login", without("ucc", Some("")), "Ucc", "ucc"),
                unsent("totp_login", without("totp", None), "Totp", "totp"),
                unsent("totp_login", without("totp", Some("")), "Totp", "totp"),
                unsent("totp_validate", json!({}), "Mpin", "mpin"),
                unsent("totp_validate", json!({"mpin": ""}), "Mpin", "mpin"),
            ],
        ),
        Scenario::new("feed URLs: the config service before the answer", whole())
            .with_fault(validate_path, validated(json!({})))
            .with_fault(CONFIG_PATH, named_by_service()),
        Scenario::new(
            "feed URLs: the answer where the service does not know the centre",
            whole(),
        )
        .with_fault(validate_path, validated(json!({"dataCenter": "E99"})))
        .with_fault(CONFIG_PATH, named_by_service()),
        Scenario::new(
            "feed URLs: one from the service, the other from the answer",
            whole(),
        )
        .with_fault(validate_path, validated(json!({})))
        .with_fault(
            CONFIG_PATH,
            service(json!({
                "E43_broadcast_source": "sh",
                "E43_sh_interactive_endpoint": "https://service.kotaksecurities.com/realtime",
            })),
        ),
        Scenario::new("feed URLs: the answer where the service fails", whole())
            .with_fault(validate_path, validated(json!({})))
            .with_fault(CONFIG_PATH, html()),
        Scenario::new(
            "feed URLs: the default, and the order feed beside the API",
            whole(),
        )
        .with_fault(
            validate_path,
            validated(json!({"feedUrl": null, "rtUrl": null})),
        )
        .with_fault(CONFIG_PATH, service(json!({}))),
        Scenario::new("no data centre, so no question to the service", whole())
            .with_fault(validate_path, validated(json!({"dataCenter": ""}))),
        Scenario::new("no UCC in the second answer", whole())
            .with_fault(validate_path, validated(json!({"ucc": null})))
            .with_fault(CONFIG_PATH, named_by_service()),
        Scenario::new("a base URL with a path and a slash", whole())
            .with_fault(
                validate_path,
                validated(json!({"baseUrl": "https://neo-gw.kotaksecurities.com/xyz/"})),
            )
            .with_fault(CONFIG_PATH, named_by_service()),
        Scenario::new(
            "no JSON in the first answer",
            vec![login(End::Unreadable(UNAVAILABLE))],
        )
        .with_fault(login_path, html()),
        Scenario::new(
            "no JSON in the second answer",
            vec![login(End::Same(OK)), validate(End::Unreadable(UNAVAILABLE))],
        )
        .with_fault(validate_path, html()),
        Scenario::new(
            "JSON that is no answer to a login",
            vec![login(End::Same(PROTOCOL))],
        )
        .with_fault(login_path, answer(200, &json!({"later": true}))),
    ];
    let refusals = [
        (
            401,
            json!({"status": "error", "message": "Invalid credentials or TOTP.", "errorCode": "401"}),
        ),
        (
            401,
            json!({"stat": "Not_Ok", "message": "Invalid credentials"}),
        ),
        (
            200,
            json!({"stCode": 429, "errMsg": "Invalid UCC", "status": "failure"}),
        ),
        (
            400,
            json!({"error": [{"code": "400", "message": "Missing required field 'Ucc'"}]}),
        ),
    ];
    for (status, body) in &refusals {
        list.push(
            Scenario::new(
                "a refusal at the first step",
                vec![login(End::Same(REJECTED))],
            )
            .with_fault(login_path, answer(*status, body)),
        );
    }
    let refusals = [
        (
            401,
            json!({"status": "error", "message": "Invalid MPIN.", "errorCode": "401"}),
        ),
        (
            200,
            json!({"stCode": 401, "errMsg": "Invalid MPIN", "status": "failure"}),
        ),
        (
            400,
            json!({"error": [{"code": "400", "message": "Missing required field 'Mpin'"}]}),
        ),
    ];
    for (status, body) in &refusals {
        let steps = vec![login(End::Same(OK)), validate(End::Same(REJECTED))];
        list.push(
            Scenario::new("a refusal at the second step", steps)
                .with_fault(validate_path, answer(*status, body)),
        );
    }
    if login_path == PROD_LOGIN {
        list.extend(trading::scenarios(whole, validate_path));
    }
    list
}

/// Reading calls that need a session, with the SDK's arguments.
fn reads(order: &str) -> Vec<Step> {
    let order = json!({"order_id": order});
    let margin = |more: Value| {
        let mut all = json!({
            "exchange_segment": "nse_cm", "price": "9.40", "order_type": "L", "product": "CNC",
            "quantity": "10", "instrument_token": "14366", "transaction_type": "B",
        });
        for (key, value) in more.as_object().expect("an object") {
            all[key] = value.clone();
        }
        all
    };
    vec![
        step("order_report", json!({}), End::Same(OK)),
        step("order_report", order.clone(), End::Same(OK)),
        step("order_history", order, End::Wrapped(Wrapping::InData)),
        step("trade_report", json!({}), End::Same(OK)),
        step("positions", json!({}), End::Same(OK)),
        step("holdings", json!({}), End::Same(OK)),
        step("limits", json!({}), End::Same(OK)),
        step(
            "margin_required",
            margin(json!({})),
            End::Wrapped(Wrapping::InData),
        ),
        step(
            "margin_required",
            margin(json!({
                "order_type": "SL", "trigger_price": "9.35", "broker_name": "B", "branch_id": "C",
                "transaction_type": "S", "product": "MIS",
            })),
            End::Wrapped(Wrapping::InData),
        ),
    ]
}

/// Reading calls that need no session.
fn market_data() -> Vec<Step> {
    let tokens = json!([
        {"exchange_segment": "nse_cm", "instrument_token": "14366"},
        {"exchange_segment": "nse_cm", "instrument_token": "Nifty 50"},
    ]);
    let nifty = |more: Value| {
        let mut all = json!({"exchange": "nse_fo", "underlying": "NIFTY"});
        for (key, value) in more.as_object().expect("an object") {
            all[key] = value.clone();
        }
        all
    };
    let candles = json!({
        "neosymbol": "nse_cm|14366", "interval": "D", "from_date": "2026-10-01", "to_date": "2026-10-30",
    });
    vec![
        step(
            "quotes",
            json!({"instrument_tokens": tokens}),
            End::Same(OK),
        ),
        step(
            "quotes",
            json!({"instrument_tokens": tokens, "quote_type": "ltp"}),
            End::Same(OK),
        ),
        step("expiries", nifty(json!({})), End::Same(OK)),
        step(
            "expiries",
            nifty(json!({"instrument_type": "fut"})),
            End::Same(OK),
        ),
        step("option_chain", nifty(json!({"count": 10})), End::Same(OK)),
        step(
            "option_chain",
            nifty(json!({"instrument_type": "fut"})),
            End::Same(OK),
        ),
        step("historical_data", candles, End::Same(OK)),
        step("scrip_master", json!({}), End::Wrapped(Wrapping::OnlyData)),
        step(
            "scrip_master",
            json!({"exchange_segment": "NFO"}),
            End::Wrapped(Wrapping::Url),
        ),
    ]
}

#[test]
fn the_same_logins_give_the_same_requests_answers_and_state() {
    let broker = Broker::start();
    let Some(mut sdk) = Sdk::start(
        "wire parity with the official SDK",
        broker.sandbox.url(),
        broker.ca_file(),
    ) else {
        return;
    };
    broker.sandbox.set_price("nse_cm", "IDEA-EQ", "9.40");
    let order = broker
        .sandbox
        .place_from_app("nse_cm", "IDEA-EQ", "B", 10, "9.60");
    broker.sandbox.tick(1);
    let mut used = Used::of(facts::EXCEPTIONS);
    let mut unexplained = Vec::new();
    for (environment, login, validate) in [
        ("prod", PROD_LOGIN, "/login/1.0/tradeApiValidate"),
        (
            "uat",
            "/api/1.0/login/v6/totp/login",
            "/api/1.0/login/v6/totp/validate",
        ),
    ] {
        for scenario in scenarios(&broker, login, validate, &order) {
            broker.sandbox.clear_faults();
            for (path, times, kind) in &scenario.faults {
                broker.fault(path, *times, kind.clone());
            }
            let what = format!("{environment}: {}", scenario.name);
            unexplained.extend(compare(
                &what,
                environment,
                &scenario,
                &broker,
                &mut sdk,
                &mut used,
            ));
        }
    }
    assert!(unexplained.is_empty(), "{}", unexplained.join("\n"));
    assert!(
        used.unused().is_empty(),
        "no longer needed in the table: {:?}",
        used.unused()
    );
    used.print();
}

/// Makes the steps on both sides, and gives what differs without a reason.
fn compare(
    what: &str,
    environment: &str,
    scenario: &Scenario,
    broker: &Broker,
    sdk: &mut Sdk,
    used: &mut Used,
) -> Vec<String> {
    let key = &broker.sandbox.credentials().consumer_key;
    let fin_key = scenario.fin_key;
    sdk.ask(
        "open",
        json!({"environment": environment, "consumer_key": key, "neo_fin_key": fin_key}),
    );
    let library = Library::open(&json!({
        "environment": environment, "consumer_key": key, "neo_fin_key": fin_key,
        "ca_file": broker.ca_file(), "proxy": broker.proxy_url(),
    }));
    let (mut sdk_names, mut our_names) = (Names::new(), Names::new());
    let mut unexplained = Vec::new();
    for (at, step) in scenario.steps.iter().enumerate() {
        let what = format!("{what}: step {} ({})", at + 1, step.call);
        // The same arguments, but none that is null: the SDK knows defaults, C has NULL.
        let mut with = step.with.clone();
        with.as_object_mut()
            .expect("arguments are an object")
            .retain(|_, value| !value.is_null());

        broker.take_requests();
        let said = sdk.ask(step.call, with.clone());
        let theirs = broker.take_requests();
        let outcome = library.call(step.call, &with);
        let ours = broker.take_requests();

        if theirs.len() != ours.len() {
            let paths = |list: &[kotak_neo_sandbox::Recorded]| -> Vec<String> {
                list.iter().map(|request| request.path.clone()).collect()
            };
            unexplained.push(format!(
                "{what}: the SDK sent {:?}, this library {:?}",
                paths(&theirs),
                paths(&ours)
            ));
        }
        for (theirs, ours) in theirs.iter().zip(&ours) {
            let what = format!("{what}: {}", ours.path);
            let theirs = facts::of_request(theirs, &sdk_names);
            unexplained.extend(used.compare(&what, &theirs, &facts::of_request(ours, &our_names)));
        }
        let answer = said
            .get("answer")
            .unwrap_or_else(|| panic!("{what}: the SDK raised {said}"));
        unexplained.extend(compare_ends(
            &what,
            step,
            answer,
            &outcome,
            ours.len(),
            used,
        ));
        learn(step.call, answer, &mut sdk_names);
        learn(step.call, &outcome.json, &mut our_names);

        let theirs = state_facts(&sdk.ask("state", json!({})), &sdk_names);
        unexplained.extend(used.compare(
            &what,
            &theirs,
            &state_facts(&our_state(&library), &our_names),
        ));
    }
    unexplained
}

/// Compares how a step ended.
fn compare_ends(
    what: &str,
    step: &Step,
    answer: &Value,
    outcome: &Outcome,
    sent: usize,
    used: &mut Used,
) -> Vec<String> {
    let status = match &step.ends {
        End::Same(status) | End::Unsent(_, status, _) | End::Unreadable(status) => *status,
        End::Wrapped(_) => OK,
    };
    let error = &outcome.json["error"];
    let mut problems = Vec::new();
    let mut hold = |holds: bool, problem: String| {
        if !holds {
            problems.push(format!("{what}: {problem}"));
        }
    };
    hold(
        outcome.status == status,
        format!("status {}, not {status}: {}", outcome.status, outcome.json),
    );
    match &step.ends {
        End::Same(OK) => {
            let ours = facts::of_answer(&outcome.json);
            problems.extend(used.compare(what, &facts::of_answer(answer), &ours));
        }
        End::Wrapped(wrapping) => {
            let ours = facts::of_answer(&wrapping.around(&outcome.json));
            problems.extend(used.compare(what, &facts::of_answer(answer), &ours));
        }
        End::Same(_) => {
            let ours = facts::of_answer(&error["broker"]);
            problems.extend(used.compare(what, &facts::of_answer(answer), &ours));
        }
        End::Unsent(said, _, word) => {
            hold(answer == said, format!("the SDK says {answer}"));
            hold(
                sent == 0 && error["sent"] == json!(false),
                "something was sent".to_owned(),
            );
            let message = error["message"].as_str().unwrap_or("");
            hold(
                message.contains(word),
                format!("the message does not name {word}: {message}"),
            );
        }
        End::Unreadable(_) => {
            hold(
                answer == &json!({"Error": NOT_JSON}),
                format!("the SDK says {answer}"),
            );
        }
    }
    problems
}

/// Gives the tokens of an answer names, so that their use can be compared.
fn learn(call: &str, answer: &Value, names: &mut Names) {
    let (token, sid) = match call {
        "totp_login" => ("view token", "view sid"),
        "totp_validate" => ("trade token", "trade sid"),
        _ => return,
    };
    for (key, name) in [("token", token), ("sid", sid), ("rid", "rid")] {
        if let Some(text) = answer["data"][key].as_str() {
            names.insert(text.to_owned(), name);
        }
    }
}

/// The library's state, with the SDK's names.
fn our_state(library: &Library) -> Value {
    let mut state = library.call("session_info", &json!({})).json;
    if state["state"] == "trade" {
        let export = library.call("session_export", &json!({})).json;
        for key in ["token", "sid", "rid"] {
            state[key] = export[key].clone();
        }
    }
    state
}

fn state_facts(state: &Value, names: &Names) -> Facts {
    const OF_TRADE: [&str; 8] = [
        "token",
        "sid",
        "rid",
        "ucc",
        "data_center",
        "base_url",
        "feed_url",
        "order_feed_url",
    ];
    let kind = state["state"].as_str().expect("a state has a name");
    let mut facts = Facts::from([("state".to_owned(), kind.to_owned())]);
    for key in OF_TRADE {
        // What is empty was not given.
        let text = state[key]
            .as_str()
            .filter(|text| kind == "trade" && !text.is_empty());
        if let Some(text) = text {
            let text = text
                .strip_suffix('/')
                .filter(|_| key == "base_url")
                .unwrap_or(text);
            let value = names
                .get(text)
                .map_or(text.to_owned(), |name| format!("<{name}>"));
            facts.insert(format!("state {key}"), value);
        }
    }
    facts
}

/// What the parity of the hosts above says about a sandbox: with `base_url`
/// the same requests go there.
#[test]
fn a_base_url_changes_the_host_and_nothing_else() {
    let broker = Broker::start();
    let who = broker.sandbox.credentials();
    for environment in ["prod", "uat"] {
        let requests = |key: &str, value: &str| -> Vec<Facts> {
            let library = Library::open(&json!({
                "environment": environment, "consumer_key": who.consumer_key,
                "ca_file": broker.ca_file(), key: value,
            }));
            let mut names = Names::new();
            let mut list = Vec::new();
            for (call, with) in [
                (
                    "totp_login",
                    json!({
                        "mobile_number": who.mobile_number, "ucc": who.ucc, "totp": broker.sandbox.totp_now(),
                    }),
                ),
                ("totp_validate", json!({"mpin": who.mpin})),
                ("whatsmyip", json!({})),
            ] {
                let outcome = library.call(call, &with);
                assert_eq!(
                    outcome.status, OK,
                    "{environment} {key} {call}: {}",
                    outcome.json
                );
                for request in broker.take_requests() {
                    let mut facts = facts::of_request(&request, &names);
                    // New in each request, or given by the server at random.
                    for fact in ["header x-request-id", "header cookie"] {
                        facts.remove(fact);
                    }
                    list.push(facts);
                }
                learn(call, &outcome.json, &mut names);
            }
            list
        };
        broker.sandbox.clear_faults();
        let sandbox = requests("base_url", broker.sandbox.url());
        broker.fault(
            "",
            None,
            FaultKind::BaseUrl("https://e43.kotaksecurities.com".to_owned()),
        );
        let named = requests("proxy", &broker.proxy_url());
        assert_eq!(
            sandbox.len(),
            4,
            "two steps, the feed addresses, the client's address"
        );
        let address = broker.sandbox.url().trim_start_matches("https://");
        for (mut sandbox, mut named) in sandbox.into_iter().zip(named) {
            assert_eq!(sandbox.remove("host").as_deref(), Some(address));
            assert_ne!(named.remove("host").as_deref(), Some(address));
            assert_eq!(sandbox, named);
        }
    }
}
