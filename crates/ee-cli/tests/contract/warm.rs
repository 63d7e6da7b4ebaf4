//! Commands that find a token in the disk cache.

use std::collections::BTreeSet;
use std::fs;

use super::*;

/// Creates a machine with a key and, on every system, a cache directory.
async fn machine() -> Machine {
    let mut machine = Machine::with_key(|b| b).await;
    let local = machine.path("local");
    machine.set("LOCALAPPDATA", &local);
    machine
}

fn token_requests(machine: &Machine) -> usize {
    machine.emulator.requests_to("oauth2.googleapis.com").len()
}

#[tokio::test(flavor = "multi_thread")]
async fn second_run_sends_one_request() {
    let machine = machine().await;
    let requests = |init: Value| init["requests"].as_u64().unwrap();
    assert_eq!(requests(machine.json(&["init", "--json"]).await), 2);
    assert_eq!(requests(machine.json(&["init", "--json"]).await), 1);
    machine.json(&["api", "config"]).await;
    let first = machine.run(&["auth", "token"]).await.stdout;
    assert_eq!(machine.run(&["auth", "token"]).await.stdout, first);
    assert_eq!(token_requests(&machine), 1);

    let other = machine.run(&["auth", "token", "--scopes", "drive"]).await;
    assert_ne!(other.stdout, first);
    assert_eq!(token_requests(&machine), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn disabled_cache_is_neither_read_nor_written() {
    let machine = machine().await;
    for _ in 0..2 {
        machine.json(&["init", "--no-token-cache", "--json"]).await;
    }
    assert_eq!(token_requests(&machine), 2);
    let kept = machine.home.path().join(".cache");
    assert!(!kept.exists() && !machine.home.path().join("local").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn hundred_concurrent_runs_request_one_token() {
    let machine = machine().await;
    let start = || {
        let mut command = machine.command(EECTL);
        command.args(["auth", "token"]).spawn().unwrap()
    };
    let started: Vec<_> = (0..100).map(|_| start()).collect();
    let result = tokio::task::spawn_blocking(|| {
        let wait = |child: std::process::Child| child.wait_with_output().unwrap();
        started.into_iter().map(wait).collect::<Vec<_>>()
    });
    let mut tokens = BTreeSet::new();
    for output in result.await.unwrap() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        tokens.insert(output.stdout);
    }
    assert_eq!(tokens.len(), 1);
    assert_eq!(token_requests(&machine), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_cached_token_is_replaced_silently() {
    let machine = machine().await;
    machine.json(&["init", "--json"]).await;
    machine.emulator.expire_tokens();
    let again = machine.run(&["init", "--json"]).await;
    assert_eq!(again.stderr, "");
    assert_eq!(again.json()["requests"], 3, "rejected, renewed, accepted");
    assert_eq!(machine.json(&["init", "--json"]).await["requests"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn corrupt_cache_file_is_ignored() {
    let machine = machine().await;
    machine.json(&["init", "--json"]).await;
    let dir = earthengine::Environment::empty()
        .with_home(machine.home.path())
        .with_var("LOCALAPPDATA", machine.variables["LOCALAPPDATA"].as_str())
        .cache_dir()
        .unwrap()
        .unwrap()
        .join("tokens");
    let mut broken = 0;
    for entry in fs::read_dir(dir).unwrap() {
        fs::write(entry.unwrap().path(), "{").unwrap();
        broken += 1;
    }
    assert_eq!(broken, 1, "a lock file is left");
    let again = machine.run(&["init", "--json"]).await;
    assert_eq!(again.stderr, "");
    assert_eq!(again.json()["requests"], 2);
    assert_eq!(machine.json(&["init", "--json"]).await["requests"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn logout_clears_the_token_cache() {
    let mut machine = Machine::with_login(|b| b).await;
    let local = machine.path("local");
    machine.set("LOCALAPPDATA", &local);
    let login = fs::read(machine.credentials()).unwrap();
    let token = machine.run(&["auth", "token"]).await.stdout;
    assert_eq!(machine.run(&["auth", "token"]).await.stdout, token);
    assert_eq!(machine.run(&["auth", "logout"]).await.status, 0);
    // The old token is not found even after the same login is restored.
    fs::write(machine.credentials(), login).unwrap();
    assert_ne!(machine.run(&["auth", "token"]).await.stdout, token);
}
