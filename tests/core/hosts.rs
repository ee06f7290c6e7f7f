//! The library inside other programs: many threads, async runtimes.

use std::thread;

use kotak_neo::Client;
use serde_json::json;

use crate::support::{client, client_with, log_in, sandbox, state};

#[test]
fn many_threads_share_one_client() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    log_in(&sandbox, &client).expect("both steps are right");
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..20 {
                    client.whatsmyip().expect("the session is good");
                    assert_eq!(state(&client), "trade");
                }
            });
        }
    });
    // Connecting and waiting for an idle connection race, so a few more than
    // threads are made; but connections are shared, not made for each call.
    assert!(
        sandbox.connections() <= 160,
        "{} connections for 320 calls",
        sandbox.connections()
    );
}

#[test]
fn calls_from_inside_an_async_runtime() {
    let sandbox = sandbox();
    let current = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let several = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    for runtime in [current.expect("a runtime"), several.expect("a runtime")] {
        runtime.block_on(async {
            let client = client(&sandbox);
            log_in(&sandbox, &client).expect("a blocking call inside async code");
            let other = client.clone();
            let reply = tokio::spawn(async move { other.whatsmyip() })
                .await
                .expect("no panic");
            reply.expect("the session is good");
            // The last clone goes here, inside the runtime.
            drop(client);
        });
    }
}

#[test]
fn clients_open_without_any_trust_root() {
    // Nothing is loaded at open, so a machine without roots can open too. A
    // wrong CA file on the other hand is told at once.
    Client::open(None).expect("all defaults");
    let sandbox = sandbox();
    client_with(
        &sandbox,
        &json!({"proxy": "system", "timeouts": {"connect": 1}}),
    );
    let error =
        Client::open(Some(r#"{"ca_file":"no such file"}"#)).expect_err("there is no such file");
    assert!(
        error
            .message()
            .starts_with("config.ca_file: cannot be read"),
        "{error}"
    );
}
