//! Texts that a person pasted or an editor saved: taken, or refused in words that help,
//! with nothing sent.

use std::fs;
use std::path::Path;
use std::process::Command;

use kotak_neo::{Client, Status, ledger_open_intents};
use kotak_neo_sandbox::{Options, TlsMode};
use kotak_neo_testing::folder::Folder;
use kotak_neo_testing::orders::{order, with};
use serde_json::{Value, json};

use crate::orders::{log_in_to, meta};
use crate::support::{client, client_with, config, json, log_in, sandbox, start, state};

/// The folders of the process that goes from one to another, and its configuration.
const WANDERER: &str = "KNEO_TEST_WANDERER";

#[test]
fn a_login_is_taken_as_it_was_pasted() {
    let sandbox = sandbox();
    let user = sandbox.credentials();
    let key = format!("\u{feff}{}\r\n", user.consumer_key);
    let more = json!({"consumer_key": key, "base_url": format!(" {}\n", sandbox.url())});
    let client = client_with(&sandbox, &more);
    let ten = user.mobile_number.trim_start_matches("+91");
    let mobile = format!("0091 {}\u{2011}{}\r\n", &ten[..5], &ten[5..]);
    let code = sandbox.totp_now();
    let totp = format!("{}\u{a0}{}\n", &code[..3], &code[3..]);
    client
        .totp_login(&mobile, &format!("\u{200b}{}\t", user.ucc), &totp)
        .expect("the first step works");
    client
        .totp_validate(&format!("{}-{}", &user.mpin[..3], &user.mpin[3..]))
        .expect("the second step works");
    let sent = sandbox.requests();
    let body = json(&String::from_utf8_lossy(&sent[0].body));
    let right = json!({"mobileNumber": user.mobile_number, "ucc": user.ucc, "totp": code});
    assert_eq!(body, right);
    assert_eq!(
        sent[0].header("authorization"),
        Some(user.consumer_key.as_str())
    );
    let body = json(&String::from_utf8_lossy(&sent[1].body));
    assert_eq!(body, json!({"mpin": user.mpin}));
}

#[test]
fn a_password_is_sent_as_it_is_or_not_at_all() {
    let sandbox = sandbox();
    let client = client_with(&sandbox, &json!({"generation": 1}));
    let user = sandbox.credentials();
    for end in ["\n", "\r\n", "\u{200b}"] {
        let password = format!("{}{end}", user.password);
        let error = client.login(Some(&user.mobile_number), None, None, &password);
        let error = error.expect_err("nobody types it");
        assert_eq!(error.status(), Status::InvalidArgument);
        assert!(error.message().contains("ends with U+"), "{error}");
        assert!(!error.to_json().contains(&user.password), "{error}");
    }
    assert!(sandbox.requests().is_empty());
    let wrong = format!(" {}", user.password);
    let error = client.login(Some(&user.mobile_number), None, None, &wrong);
    assert_eq!(error.expect_err("it is not his").status(), Status::Rejected);
    let ended = client.login(
        None,
        None,
        Some(&format!("{}\n", user.pan.to_lowercase())),
        &user.password,
    );
    ended.expect("the password is right");
    assert_eq!(state(&client), "view");
}

#[test]
fn a_configuration_from_a_file_is_taken_or_explained() {
    let sandbox = sandbox();
    let text = config(&sandbox, &json!({}));
    Client::open(Some(&format!("\u{feff}{text}\r\n"))).expect("a mark of UTF-8 says nothing");
    Client::open(Some("\u{feff}\r\n")).expect("nothing is given");
    for (text, words) in [
        (
            "{\u{201c}environment\u{201d}: \u{201c}prod\u{201d}}".to_owned(),
            "U+201C LEFT DOUBLE",
        ),
        (text.replacen('}', ",}", 1), "a comma before }"),
        (
            text.replacen('{', "{ // mine\n", 1),
            "a comment at line 1, column 3",
        ),
        ("{".to_owned(), "UTF-16"),
        (
            r#"{"ledger_file":"C:\kotak\ledger"}"#.to_owned(),
            "a single backslash",
        ),
        (
            r#"{"ledger_file":"C:\new"}"#.to_owned(),
            "U+000A LINE FEED at character 3",
        ),
        (
            r#"{"ledger_file":"\"C:\\x\""}"#.to_owned(),
            "U+0022 QUOTATION MARK",
        ),
        (r#"{"cache_dir":"~/scrips"}"#.to_owned(), "begins with ~"),
        (
            r#"{"log":{"file":"/tmp/x "}}"#.to_owned(),
            "config.log.file: ends with U+0020",
        ),
        (
            r#"{"ca_file":"file:///ca.pem"}"#.to_owned(),
            "is an address",
        ),
        (
            r#"{"consumer_key":"\"fake-key\""}"#.to_owned(),
            "in quotes of its own",
        ),
        (
            "{\"consumer_key\":\"fake\u{200b}key\"}".to_owned(),
            "U+200B ZERO WIDTH SPACE at",
        ),
        (
            "{\"base_url\":\"https://x\u{2011}y.example\"}".to_owned(),
            "U+2011 NON-BREAKING",
        ),
        (
            "{\"allowed_segments\":[\"nse\u{2013}cm\"]}".to_owned(),
            "U+2013 EN DASH",
        ),
        (
            "{\"max_order_value\":\"1,00,000\"}".to_owned(),
            "a comma at character 2",
        ),
    ] {
        let error = Client::open(Some(&text)).expect_err(&text);
        assert_eq!(error.status(), Status::InvalidArgument);
        assert!(error.message().contains(words), "{text}: {error}");
        assert!(!error.to_json().contains("fake"), "{error}");
    }
    let error = ledger_open_intents("~/ledger").expect_err("no shell has seen it");
    assert!(
        error.message().starts_with("ledger_file: begins with ~"),
        "{error}"
    );
}

#[test]
fn what_may_mean_two_things_is_named_and_not_sent() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    log_in_to(&sandbox, &client);
    sandbox.clear_requests();
    for (key, text, words) in [
        (
            "trading_symbol",
            "TCS\u{2011}EQ",
            "has U+2011 NON-BREAKING HYPHEN at character 4",
        ),
        (
            "trading_symbol",
            "IDEA\u{a0}EQ",
            "has U+00A0 NO-BREAK SPACE at character 5",
        ),
        ("trading_symbol", "\u{200b}", "must not be blank"),
        ("price", "1,00,000", "a comma at character 2"),
        ("price", "8,60", "neither is guessed"),
        (
            "price",
            "8.60\u{a0}",
            "U+00A0 NO-BREAK SPACE at character 5",
        ),
        ("trigger_price", "\u{20b9}8", "leave the currency away"),
        (
            "quantity",
            "1\u{202f}000",
            "U+202F NARROW NO-BREAK SPACE at character 2",
        ),
        (
            "product",
            "C\u{200b}NC",
            "U+200B ZERO WIDTH SPACE at character 2",
        ),
        ("tag", "my\u{2013}tag", "U+2013 EN DASH at character 3"),
    ] {
        let given = with(order(), json!({ key: text }));
        let error = client.place_order(&given.to_string()).expect_err(text);
        assert_eq!(error.status(), Status::InvalidArgument);
        let start = format!("params.{key}: ");
        assert!(error.message().starts_with(&start), "{error}");
        assert!(error.message().contains(words), "{error}");
    }
    for (call, params, words) in [
        ("cancel_order", json!({"order_id": "24\u{2011}1"}), "U+2011"),
        (
            "search_scrip",
            json!({"exchange_segment": "nse_fo", "symbol": "NIFTY", "expiry": "01SEP2026\u{2013}30SEP2026"}),
            "U+2013",
        ),
        (
            "historical_data",
            json!({"neosymbol": "nse_cm\u{ff5c}1", "interval": "D", "from_date": "2026-01-01", "to_date": "2026-01-02"}),
            "U+FF5C FULLWIDTH VERTICAL LINE",
        ),
        (
            "historical_data",
            json!({"neosymbol": "nse_cm|1", "interval": "D", "from_date": "2026\u{2011}01\u{2011}01", "to_date": "2026-01-02"}),
            "params.from_date: has U+2011",
        ),
        (
            "quotes",
            json!({"instrument_tokens": [{"exchange_segment": "nse_cm", "instrument_token": "Nifty\u{a0}50"}]}),
            "U+00A0",
        ),
        (
            "expiries",
            json!({"exchange": "nse_fo", "underlying": "NIFTY\u{200b}X"}),
            "U+200B",
        ),
    ] {
        let error = client
            .call(call, Some(&params.to_string()))
            .expect_err(call);
        assert_eq!(error.status(), Status::InvalidArgument, "{error}");
        assert!(error.message().contains(words), "{error}");
    }
    assert!(sandbox.requests().is_empty(), "nothing is sent");
    // A file may have any character in it: it is asked before nothing is told to be there.
    let params = json!({"exchange_segment": "nse_cm", "trading_symbol": "IDEA\u{2010}EQ"});
    let error = client.search_scrip(&params.to_string());
    let error = error.expect_err("none is called so");
    let words = "params.trading_symbol: has U+2010 HYPHEN at character 5; nothing was found";
    assert_eq!(error.message(), words);
    // Blanks around a word say nothing.
    let pasted =
        json!({"trading_symbol": "IDEA-EQ\r\n", "product": "\u{a0}CNC", "validity": "DAY "});
    let params = format!("\u{feff}{}\r\n", with(order(), pasted));
    let taken = client.place_order(&params).expect("it is an order");
    let number = json(taken.json())["nOrdNo"]
        .as_str()
        .expect("a number")
        .to_owned();
    assert_eq!(sandbox.orders()[0].symbol, "IDEA-EQ");
    let cancel = json!({"order_id": format!("{number}\n")});
    client
        .cancel_order(&cancel.to_string())
        .expect("it is there");
}

#[test]
fn a_cache_that_cannot_be_written_is_told_and_searched_all_the_same() {
    let sandbox = sandbox();
    let folder = Folder::new("no-cache");
    let place = folder.path("scrips");
    fs::write(&place, "a file is in the way").expect("a file");
    let client = client_with(&sandbox, &json!({"cache_dir": place}));
    log_in(&sandbox, &client).expect("the credentials are right");
    let params = json!({"exchange_segment": "nse_cm", "trading_symbol": "IDEA-EQ"}).to_string();
    // The one that fetches it, and those that find it in memory.
    for _ in 0..2 {
        let found = client
            .search_scrip(&params)
            .expect("it is there all the same");
        assert_eq!(json(found.json()).as_array().map(Vec::len), Some(1));
        let notes = meta(&found, "notes").to_string();
        assert!(notes.contains("cache_dir could not be written"), "{notes}");
        assert!(notes.contains("kept in memory only"), "{notes}");
    }
    let status = json(client.scrip_status().expect("it is open").json());
    let error = status["segments"][0]["error"].as_str().unwrap_or_default();
    assert!(error.contains("cache_dir could not be written"), "{status}");
    assert_eq!(status["segments"][0]["state"], "ready");
}

#[test]
fn a_ca_file_is_taken_as_editors_save_it_or_explained() {
    let sandbox = start(Options {
        tls: TlsMode::Valid,
        ..Options::default()
    });
    let pem = fs::read_to_string(sandbox.ca_file().expect("it has one")).expect("a text");
    let folder = Folder::new("ca");
    let path = folder.path("a ca, with blanks.pem");
    let open = |bytes: &[u8]| {
        fs::write(&path, bytes).expect("a file");
        Client::open(Some(&config(&sandbox, &json!({"ca_file": path}))))
    };
    let lines = pem.replace('\n', "\r\n");
    for good in [
        format!("\u{feff}{pem}"),
        lines.clone(),
        format!("\u{feff}Our proxy\r\n\r\n{lines}\r\n\r\n"),
        format!("# A\n{pem}\n# B\n{pem}"),
    ] {
        let client = open(good.as_bytes()).expect("it is PEM");
        log_in(&sandbox, &client).expect("its authority is trusted");
    }
    let wide: Vec<u8> = "\u{feff}x"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for (bad, words) in [
        (Vec::new(), "is empty"),
        (wide, "is UTF-16"),
        (vec![0x30, 0x82, 1, 0], "openssl x509 -inform der"),
        (
            pem.replace("-----", "\u{2013}\u{2013}").into_bytes(),
            "five dashes of ASCII",
        ),
        (
            b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".to_vec(),
            "a private key",
        ),
        (b"hello".to_vec(), "no certificate in it"),
    ] {
        let error = open(&bad).expect_err(words);
        assert!(error.message().starts_with("config.ca_file: "), "{error}");
        assert!(error.message().contains(words), "{error}");
    }
    // Half of a file must not pass for the whole.
    let halves = format!("{pem}\n  {pem}");
    match open(halves.as_bytes()) {
        Ok(client) => drop(log_in(&sandbox, &client).expect("both were read")),
        Err(error) => assert!(error.message().contains("only 1 can be read"), "{error}"),
    }
    let text = config(&sandbox, &json!({"ca_file": folder.dir()}));
    let error = Client::open(Some(&text)).expect_err("a folder");
    assert!(error.message().contains("is a folder"), "{error}");
}

/// A process that opens a client with relative paths and goes elsewhere before it does
/// anything.
#[test]
fn wanderer() {
    let Ok(told) = std::env::var(WANDERER) else {
        return;
    };
    let told = json(&told);
    let folder = |name: &str| told[name].as_str().expect("a path").to_owned();
    std::env::set_current_dir(folder("here")).expect("a folder");
    let client = Client::open(Some(&told["config"].to_string())).expect("it opens");
    std::env::set_current_dir(folder("there")).expect("a folder");
    client
        .session_import(told["session"].as_str().expect("a text"))
        .expect("it is of today");
    let order = order().to_string();
    client.place_order(&order).expect("it is taken");
    let params = json!({"exchange_segment": "nse_cm", "trading_symbol": "IDEA-EQ"});
    let found = client
        .search_scrip(&params.to_string())
        .expect("it is there");
    assert_eq!(meta(&found, "notes"), Value::Null);
    let status = json(client.scrip_status().expect("it is open").json());
    let here = fs::canonicalize(folder("here")).expect("it is there");
    let cache = status["cache_dir"].as_str().expect("a path");
    assert!(Path::new(cache).is_absolute(), "{cache}");
    let cache = fs::canonicalize(cache).expect("it was made");
    assert_eq!(cache, here.join("cache"));
}

#[test]
fn relative_paths_mean_the_same_at_every_time() {
    let sandbox = start(Options {
        tls: TlsMode::Valid,
        ..Options::default()
    });
    let folder = Folder::new("wander");
    let (here, there) = (folder.path("here"), folder.path("there"));
    for dir in [&here, &there] {
        fs::create_dir(dir).expect("a folder");
    }
    fs::copy(sandbox.ca_file().expect("it has one"), here.join("ca.pem")).expect("a copy");
    let ours = client(&sandbox);
    log_in(&sandbox, &ours).expect("the credentials are right");
    let session = ours.session_export().expect("there is one");
    let relative = json!({
        "ca_file": "ca.pem", "ledger_file": "./ledger", "cache_dir": "cache",
        "log": {"level": "trace", "file": "../here/log"},
    });
    let told = json!({
        "here": here, "there": there, "session": session.json(),
        "config": json(&config(&sandbox, &relative)),
    });
    let ended = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "pasted::wanderer", "--nocapture"])
        .env(WANDERER, told.to_string())
        .output()
        .expect("it runs");
    assert!(
        ended.status.success(),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    assert_eq!(sandbox.orders_taken(), 1);
    let names = |dir: &Path| {
        let entries = fs::read_dir(dir).expect("a folder");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<_> = names
            .map(|name| name.into_string().expect("plain"))
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(&there), [] as [&str; 0], "nothing is written there");
    let found = names(&here);
    for name in ["ca.pem", "cache", "ledger", "log"] {
        assert!(found.iter().any(|it| it == name), "{name}: {found:?}");
    }
    assert_eq!(names(&here.join("cache")).len(), 1);
    let open = ledger_open_intents(here.join("ledger").to_str().expect("plain"));
    assert_eq!(
        json(open.expect("it is whole").json())["intents"],
        json!([])
    );
}
