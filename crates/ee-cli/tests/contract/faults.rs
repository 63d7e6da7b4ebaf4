//! Faults as a script sees them: the exit status, one object on standard error, and that the next
//! run works.

use std::net::TcpListener;

use ee_emulator::Fault;

use super::*;

const TOKEN: &str = "oauth2.googleapis.com";
const API: &str = "earthengine.googleapis.com";
const PROJECTS: &str = "cloudresourcemanager.googleapis.com";

/// A command that fails so, and works when the fault is over.
async fn fails(host: &str, fault: Fault, command: &[&str], status: u8, expected: &str) {
    let machine = Machine::with_key(|b| b).await;
    machine.emulator.fault(host, fault.times(usize::MAX));
    let (ended, error) = machine.failure(command).await;
    assert_eq!(
        (ended, code(&error)),
        (i32::from(status), expected),
        "{host}: {error}"
    );
    assert!(!error["remedy"].as_str().unwrap().is_empty(), "{error}");
    assert!(!error.to_string().contains("canary"), "{error}");
    machine.emulator.clear_faults();
    let ended = machine.run(command).await;
    assert_eq!(ended.status, 0, "{host}: {}", ended.stderr);
}

/// At the same time: each is tried again before it is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_in_trouble_has_its_exit_status_and_the_next_run_works() {
    let page = || Fault::respond(200, "text/html", "<html><title>canary");
    let mut failing = tokio::task::JoinSet::new();
    for (fault, status, expected) in [
        (Fault::disconnect(), 7, "network"),
        (Fault::truncate_body(20), 7, "network"),
        (Fault::status(503), 6, "server_error"),
        (page(), 6, "server_error"),
    ] {
        for (host, command) in [(TOKEN, &["init"][..]), (PROJECTS, &["project", "list"])] {
            failing.spawn(fails(host, fault.clone(), command, status, expected));
        }
    }
    failing.spawn(fails(API, page(), &["init"], 6, "server_error"));
    failing.join_all().await;
}

#[tokio::test]
async fn a_host_that_is_down_ends_with_exit_7_and_its_name() {
    let mut machine = Machine::with_key(|b| b).await;
    // Nobody listens there: the port is ours, and closed.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let up = machine.emulator.address().to_string();
    machine.set("EARTHENGINE_EMULATOR_HOST", &address.to_string());
    let (status, error) = machine.failure(&["init", "--project", PROJECT]).await;
    assert_eq!((status, code(&error)), (7, "network"), "{error}");
    assert!(message(&error).contains(TOKEN), "{error}");
    machine.set("EARTHENGINE_EMULATOR_HOST", &up);
    let ended = machine.run(&["init", "--project", PROJECT]).await;
    assert_eq!(ended.status, 0, "{}", ended.stderr);
}

/// As on a disk that is full: no file may grow.
#[cfg(unix)]
#[tokio::test]
async fn a_project_that_cannot_be_stored_ends_with_exit_1_and_leaves_the_old_one() {
    let machine = Machine::with_key(|b| b).await;
    let set = ["project", "set", PROJECT];
    assert_eq!(machine.run(&set).await.status, 0);
    let file = machine.home.path().join(".config/earthengine/credentials");
    let before = fs::read(&file).unwrap();
    let limited = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_eectl"))
        .args(["project", "set", "another-project", "--json"])
        .env_clear()
        .envs(&machine.variables)
        .output()
        .unwrap();
    assert_eq!(limited.status.code(), Some(1), "{limited:?}");
    let (_, stderr) = split_note(std::str::from_utf8(&limited.stderr).unwrap());
    let error: Value = serde_json::from_str(&stderr).unwrap();
    let error = &error["error"];
    assert_eq!(code(error), "io");
    assert!(
        message(error).contains("credentials cannot be written"),
        "{error}"
    );
    assert!(!error["remedy"].as_str().unwrap().is_empty(), "{error}");
    assert_eq!(fs::read(&file).unwrap(), before);
    assert_eq!(machine.run(&set).await.status, 0);
}
