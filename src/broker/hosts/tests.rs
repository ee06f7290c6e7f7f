//! Which hosts may be used, and which may not.

use super::*;

fn hosts(environment: Environment, base: Option<&str>) -> Hosts {
    let base_url = base.map(|text| parse_base_url(text).expect("a valid base URL"));
    Hosts {
        environment,
        base_url,
    }
}

#[test]
fn every_constant_is_a_url() {
    for environment in [Environment::Prod, Environment::Uat] {
        let hosts = hosts(environment, None);
        for url in [
            hosts.oauth(),
            hosts.gateway(),
            hosts.session(),
            hosts.lookup(),
            hosts.config_service(),
        ] {
            assert_eq!(url.scheme(), "https");
        }
        for center in ["adc", "E21", "e22", "E41", "E43", "gdc", ""] {
            let feed = hosts.order_feed_of(center);
            assert!(
                feed.scheme() == "wss" && feed.path() == "/realtime",
                "{feed}"
            );
        }
        // A data centre is a name: one that looks like a host leads to none.
        for center in [
            "evil.example",
            "https://evil.example",
            "e43.evil.example",
            " ",
        ] {
            assert_eq!(hosts.order_feed_of(center), hosts.order_feed_of(""));
        }
        assert_eq!(
            hosts.default_feed().as_str(),
            "wss://sfeed.kotaksecurities.com/apifeed"
        );
    }
}

#[test]
fn takes_hosts_of_the_broker_only() {
    let prod = hosts(Environment::Prod, None);
    let good = |text: &str| prod.named("baseUrl", text).expect(text).to_string();
    assert_eq!(
        good("https://e43.kotaksecurities.com"),
        "https://e43.kotaksecurities.com/"
    );
    assert_eq!(
        good("https://neo-gw.kotaksecurities.com/xyz"),
        "https://neo-gw.kotaksecurities.com/xyz"
    );
    assert_eq!(
        good("https://E43.KOTAKSECURITIES.COM:443/"),
        "https://e43.kotaksecurities.com/"
    );
    for (bad, why) in [
        ("https://evil.example", "no host of the broker"),
        (
            "https://kotaksecurities.com.evil.example/",
            "no host of the broker",
        ),
        ("https://evilkotaksecurities.com", "no host of the broker"),
        (
            "https://evil.example/.kotaksecurities.com",
            "no host of the broker",
        ),
        ("https://e43.kotaksecurities.com.", "no host of the broker"),
        (
            "https://e43.kotaksecurities.online",
            "no host of the broker",
        ),
        ("http://e43.kotaksecurities.com", "not reached over TLS"),
        ("https://e43.kotaksecurities.com:8443", "port is not 443"),
        (
            "https://e43.kotaksecurities.com@evil.example",
            "no host of the broker",
        ),
        ("https://u:p@e43.kotaksecurities.com", "user info"),
        ("https://e43.kotaksecurities.com/?a=b", "user info, a query"),
        ("http://127.0.0.1:1", "no host of the broker"),
        ("", "no valid URL"),
    ] {
        let problem = prod.named("baseUrl", bad).expect_err(bad);
        assert!(
            problem.contains(why) && problem.contains("baseUrl"),
            "{bad}: {problem}"
        );
    }
    let uat = hosts(Environment::Uat, None);
    assert!(
        uat.named("baseUrl", "https://q.kotaksecurities.online")
            .is_ok()
    );
}

/// Seen live. It is read as https, and then judged as any other.
#[test]
fn a_url_without_a_scheme_is_read_as_https() {
    let prod = hosts(Environment::Prod, None);
    for (text, url) in [
        (
            "e43.kotaksecurities.com",
            "https://e43.kotaksecurities.com/",
        ),
        (
            "e43.kotaksecurities.com/",
            "https://e43.kotaksecurities.com/",
        ),
        (
            " e43.kotaksecurities.com ",
            "https://e43.kotaksecurities.com/",
        ),
        (
            "E43.KotakSecurities.com",
            "https://e43.kotaksecurities.com/",
        ),
        (
            "//e43.kotaksecurities.com",
            "https://e43.kotaksecurities.com/",
        ),
        (
            "e43.kotaksecurities.com:443",
            "https://e43.kotaksecurities.com/",
        ),
        (
            "e43.kotaksecurities.com:443/xyz",
            "https://e43.kotaksecurities.com/xyz",
        ),
        (
            "neo-gw.kotaksecurities.com/xyz",
            "https://neo-gw.kotaksecurities.com/xyz",
        ),
        (
            "neo-gw.kotaksecurities.com/a:1//b",
            "https://neo-gw.kotaksecurities.com/a:1//b",
        ),
    ] {
        let named = prod.named("baseUrl", text).map(String::from);
        assert_eq!(named.as_deref(), Ok(url), "{text}");
        let feed = prod.named_feed("feedUrl", text).map(String::from);
        assert_eq!(feed, Ok(url.replace("https", "wss")), "{text}");
        let orders = prod.order_feed_on(text).map(String::from);
        let host = Url::parse(url).expect("a URL");
        let host = host.host_str().expect("a host");
        assert_eq!(orders, Ok(format!("wss://{host}/realtime")), "{text}");
    }
    for (bad, why) in [
        ("evil.example", "no host of the broker"),
        ("evil.example/.kotaksecurities.com", "no host of the broker"),
        (
            "evil.example\\.kotaksecurities.com",
            "no host of the broker",
        ),
        ("evil.example?.kotaksecurities.com", "no host of the broker"),
        ("evil.example#.kotaksecurities.com", "no host of the broker"),
        ("evil.example:443", "no host of the broker"),
        ("kotaksecurities.com", "no host of the broker"),
        ("e43.kotaksecurities.com.", "no host of the broker"),
        ("e43.kotaksecurities.online", "no host of the broker"),
        (
            "e43.kotaksecurities.com@evil.example",
            "no host of the broker",
        ),
        ("localhost:7070", "no host of the broker"),
        ("127.0.0.1:1", "no host of the broker"),
        ("[::1]:1", "no host of the broker"),
        ("[::1]", "no host of the broker"),
        ("e43.kotaksecurities.com:8443", "port is not 443"),
        ("e43.kotaksecurities.com:80", "port is not 443"),
        ("u@e43.kotaksecurities.com", "user info"),
        ("u:p@e43.kotaksecurities.com:443", "user info"),
        ("u:1@e43.kotaksecurities.com:443", "user info"),
        ("e43.kotaksecurities.com?a=b", "a query"),
        ("e43.kotaksecurities.com/#a", "a fragment"),
        // These have one, and it is another.
        ("ftp://e43.kotaksecurities.com", "not reached over TLS"),
        ("javascript:alert(1)", "no host of the broker"),
        ("mailto:u@e43.kotaksecurities.com", "no host of the broker"),
        ("data:text/html,x", "no host of the broker"),
        ("file:///e43.kotaksecurities.com", "no host of the broker"),
        ("/e43.kotaksecurities.com", "no valid URL"),
        ("///e43.kotaksecurities.com", "no valid URL"),
        (":443", "no valid URL"),
        ("://e43.kotaksecurities.com", "no valid URL"),
        ("e43.kotaksecurities.com:99999", "no valid URL"),
        ("e43 .kotaksecurities.com", "no valid URL"),
        ("//", "no valid URL"),
        (" ", "no valid URL"),
    ] {
        for problem in [
            prod.named("baseUrl", bad),
            prod.named_feed("baseUrl", bad),
            prod.order_feed_on(bad),
        ] {
            let problem = problem.expect_err(bad);
            assert!(problem.contains(why), "{bad}: {problem}");
        }
    }
    let sandbox = hosts(Environment::Prod, Some("https://127.0.0.1:9000/s"));
    let named = |text: &str| sandbox.named("baseUrl", text).map(String::from);
    assert_eq!(
        named("127.0.0.1:9000/s"),
        Ok("https://127.0.0.1:9000/s".to_owned())
    );
    assert_eq!(
        named("e43.kotaksecurities.com/x"),
        Ok("https://127.0.0.1:9000/s/x".to_owned())
    );
    assert!(named("127.0.0.1:9001").is_err());
    // Plain http is not what a text without a scheme stands for.
    let plain = hosts(Environment::Prod, Some("http://127.0.0.1:9000"));
    assert!(plain.named("baseUrl", "127.0.0.1:9000").is_err());
}

#[test]
fn the_gateway_is_known_however_it_is_written() {
    for text in [
        "https://gw-napi.kotaksecurities.com/",
        "https://gw-napi.kotaksecurities.com",
        "gw-napi.kotaksecurities.com",
        " GW-NAPI.kotaksecurities.com:443/ ",
    ] {
        assert!(Hosts::is_gateway(text), "{text}");
    }
    for text in [
        "https://gw-napi.kotaksecurities.com/x",
        "https://mnapi.kotaksecurities.com",
        "napi.kotaksecurities.com",
        "",
    ] {
        assert!(!Hosts::is_gateway(text), "{text}");
    }
}

#[test]
fn a_configured_base_takes_every_host() {
    let sandbox = hosts(Environment::Prod, Some("http://127.0.0.1:9000/s/"));
    assert_eq!(sandbox.session().as_str(), "http://127.0.0.1:9000/s/");
    let named = |text: &str| sandbox.named("baseUrl", text).map(String::from);
    assert_eq!(
        named("http://127.0.0.1:9000/s"),
        Ok("http://127.0.0.1:9000/s".to_owned())
    );
    assert_eq!(
        named("https://e43.kotaksecurities.com/x"),
        Ok("http://127.0.0.1:9000/s/x".to_owned())
    );
    assert!(named("https://evil.example").is_err());
    assert!(named("http://127.0.0.1:9001").is_err());
    let feed = sandbox.named_feed("feedUrl", "wss://sfeed.kotaksecurities.com/apifeed");
    assert_eq!(
        feed.map(String::from),
        Ok("ws://127.0.0.1:9000/s/apifeed".to_owned())
    );
}

#[test]
fn joins_with_one_slash() {
    let base = Url::parse("https://h.kotaksecurities.com/xyz//").expect("a URL");
    assert_eq!(
        join(&base, "//a/b").as_str(),
        "https://h.kotaksecurities.com/xyz/a/b"
    );
    let prod = hosts(Environment::Prod, None);
    let feed = prod.order_feed_on(base.as_str()).map(String::from);
    assert_eq!(feed, Ok("wss://h.kotaksecurities.com/realtime".to_owned()));
    assert!(prod.order_feed_on("https://evil.example").is_err());
}

/// Their tables are not built in.
#[test]
fn names_beyond_ascii_are_refused() {
    let prod = hosts(Environment::Prod, None);
    for name in [
        "m\u{fc}nchen.example",
        "m%C3%BCnchen.example",
        "\u{926}\u{928}.kotaksecurities.com",
        "e43\u{3002}kotaksecurities.com",
        "xn--\u{fc}.kotaksecurities.com",
    ] {
        let url = format!("https://{name}/");
        let problem = parse_base_url(&url).expect_err(name);
        assert!(problem.contains("xn--"), "{name}: {problem}");
        let problem = prod.named("baseUrl", &url).expect_err(name);
        assert!(problem.contains("no valid URL"), "{name}: {problem}");
    }
    assert!(parse_base_url("https://xn--mnchen-3ya.example").is_ok());
}

#[test]
fn base_urls() {
    for good in [
        "https://example.com",
        "http://localhost:1",
        "http://[::1]:2",
        "http://127.9.9.9",
    ] {
        assert!(parse_base_url(good).is_ok(), "{good}");
    }
    for bad in [
        "ftp://localhost",
        "http://10.0.0.1",
        "https://u@h",
        "https://h?x",
        "localhost:1",
        "x",
    ] {
        assert!(parse_base_url(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_broker_is_its_environment_or_a_port_of_this_machine() {
    use Environment::{Prod, Uat};
    let named = |environment, base| hosts(environment, base).broker();
    assert_eq!(named(Prod, None), "prod");
    assert_eq!(named(Uat, None), "uat");
    // Whichever host of it, and whoever stands before it.
    for base in [
        "https://e43.kotaksecurities.com",
        "https://gate.example/neo",
    ] {
        assert_eq!(named(Prod, Some(base)), "prod");
    }
    for base in ["http://127.0.0.1:7070", "https://localhost:7070/x"] {
        assert_eq!(named(Prod, Some(base)), "loopback:7070");
    }
    assert_eq!(named(Uat, Some("http://[::1]:7071")), "loopback:7071");
    assert_eq!(named(Prod, Some("https://localhost")), "loopback:443");
}
