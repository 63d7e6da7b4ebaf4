//! The second start of a command within a token's life.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use super::*;

/// A machine with a key and a place for a cache on every system.
async fn machine() -> Machine {
    let mut machine = Machine::with_key(|b| b).await;
    let local = machine.home.path().join("local").display().to_string();
    machine.set("LOCALAPPDATA", &local);
    machine
}

fn token_requests(machine: &Machine) -> usize {
    machine.emulator.requests_to("oauth2.googleapis.com").len()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_start_needs_one_request() {
    let machine = machine().await;
    let requests = |init: Value| init["requests"].as_u64().unwrap();
    assert_eq!(requests(machine.run(&["init", "--json"]).await.json()), 2);
    assert_eq!(requests(machine.run(&["init", "--json"]).await.json()), 1);
    machine.run(&["api", "config"]).await.json();
    let first = machine.run(&["auth", "token"]).await.stdout;
    assert_eq!(machine.run(&["auth", "token"]).await.stdout, first);
    assert_eq!(token_requests(&machine), 1);

    let other = machine.run(&["auth", "token", "--scopes", "drive"]).await;
    assert_ne!(other.stdout, first);
    assert_eq!(token_requests(&machine), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_cache_nothing_is_kept_or_found() {
    let machine = machine().await;
    for _ in 0..2 {
        machine
            .run(&["init", "--no-token-cache", "--json"])
            .await
            .json();
    }
    assert_eq!(token_requests(&machine), 2);
    let kept = machine.home.path().join(".cache");
    assert!(!kept.exists() && !machine.home.path().join("local").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_starts_at_once_ask_for_one_token() {
    let machine = machine().await;
    let start = || {
        Command::new(env!("CARGO_BIN_EXE_eectl"))
            .args(["auth", "token"])
            .env_clear()
            .envs(&machine.variables)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let started: Vec<_> = (0..100).map(|_| start()).collect();
    let ended = tokio::task::spawn_blocking(|| {
        let wait = |child: std::process::Child| child.wait_with_output().unwrap();
        started.into_iter().map(wait).collect::<Vec<_>>()
    });
    let mut tokens = BTreeSet::new();
    for output in ended.await.unwrap() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        tokens.insert(output.stdout);
    }
    assert_eq!(tokens.len(), 1);
    assert_eq!(token_requests(&machine), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_token_that_is_refused_is_replaced_without_a_word() {
    let machine = machine().await;
    machine.run(&["init", "--json"]).await.json();
    machine.emulator.expire_tokens();
    let again = machine.run(&["init", "--json"]).await;
    assert_eq!(again.stderr, "");
    assert_eq!(again.json()["requests"], 3, "refused, a new token, taken");
    assert_eq!(machine.run(&["init", "--json"]).await.json()["requests"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_is_no_trouble() {
    let machine = machine().await;
    machine.run(&["init", "--json"]).await.json();
    let folder = earthengine::Environment::empty()
        .with_home(machine.home.path())
        .with_var("LOCALAPPDATA", machine.variables["LOCALAPPDATA"].as_str())
        .cache_dir()
        .unwrap()
        .unwrap()
        .join("tokens");
    let mut broken = 0;
    for entry in fs::read_dir(folder).unwrap() {
        fs::write(entry.unwrap().path(), "{").unwrap();
        broken += 1;
    }
    assert_eq!(broken, 1, "the lock is gone");
    let again = machine.run(&["init", "--json"]).await;
    assert_eq!(again.stderr, "");
    assert_eq!(again.json()["requests"], 2);
    assert_eq!(machine.run(&["init", "--json"]).await.json()["requests"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_leaves_no_token_behind() {
    let mut machine = Machine::with_login(|b| b).await;
    let local = machine.home.path().join("local").display().to_string();
    machine.set("LOCALAPPDATA", &local);
    let login = fs::read(machine.credentials()).unwrap();
    let token = machine.run(&["auth", "token"]).await.stdout;
    assert_eq!(machine.run(&["auth", "token"]).await.stdout, token);
    assert_eq!(machine.run(&["auth", "logout"]).await.status, 0);
    // Even with the same login in place again, the old token is not found.
    fs::write(machine.credentials(), login).unwrap();
    assert_ne!(machine.run(&["auth", "token"]).await.stdout, token);
}
