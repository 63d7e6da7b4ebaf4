//! Faults as a script sees them: the exit status, one JSON error, and a next run that works.

use std::net::TcpListener;

use ee_emulator::Fault;

use super::*;

const TOKEN: &str = "oauth2.googleapis.com";
const API: &str = "earthengine.googleapis.com";
const PROJECTS: &str = "cloudresourcemanager.googleapis.com";

/// Runs a command that must fail like this, and succeed without the fault.
async fn check_failure(host: &str, fault: Fault, command: &[&str], status: u8, expected: &str) {
    let machine = Machine::with_key(|b| b).await;
    machine.emulator.fault(host, fault.times(usize::MAX));
    let (result, error) = machine.failure(command).await;
    assert_eq!(
        (result, code(&error)),
        (i32::from(status), expected),
        "{host}: {error}"
    );
    assert!(!remedy(&error).is_empty(), "{error}");
    assert!(!error.to_string().contains("canary"), "{error}");
    machine.emulator.clear_faults();
    let result = machine.run(command).await;
    assert_eq!(result.status, 0, "{host}: {}", result.stderr);
}

/// Runs in parallel, since each command retries before it fails.
#[tokio::test(flavor = "multi_thread")]
async fn faulty_host_sets_the_exit_status_and_next_run_works() {
    let page = || Fault::respond(200, "text/html", "<html><title>canary");
    let mut failing = tokio::task::JoinSet::new();
    for (fault, status, expected) in [
        (Fault::disconnect(), 7, "network"),
        (Fault::truncate_body(20), 7, "network"),
        (Fault::status(503), 6, "server_error"),
        (page(), 6, "server_error"),
    ] {
        for (host, command) in [(TOKEN, &["init"][..]), (PROJECTS, &["project", "list"])] {
            failing.spawn(check_failure(
                host,
                fault.clone(),
                command,
                status,
                expected,
            ));
        }
    }
    failing.spawn(check_failure(API, page(), &["init"], 6, "server_error"));
    failing.join_all().await;
}

#[tokio::test]
async fn unreachable_host_exits_7_and_is_named() {
    let mut machine = Machine::with_key(|b| b).await;
    // A port that was just closed refuses connections.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let up = machine.emulator.address().to_string();
    machine.set("EARTHENGINE_EMULATOR_HOST", &address.to_string());
    let (status, error) = machine.failure(&["init", "--project", PROJECT]).await;
    assert_eq!((status, code(&error)), (7, "network"), "{error}");
    assert!(message(&error).contains(TOKEN), "{error}");
    machine.set("EARTHENGINE_EMULATOR_HOST", &up);
    let result = machine.run(&["init", "--project", PROJECT]).await;
    assert_eq!(result.status, 0, "{}", result.stderr);
}

/// Simulates a full disk: no file can grow.
#[cfg(unix)]
#[tokio::test]
async fn failed_project_write_exits_1_and_keeps_the_old_project() {
    let machine = Machine::with_key(|b| b).await;
    let set = ["project", "set", PROJECT];
    assert_eq!(machine.run(&set).await.status, 0);
    let file = machine.home.path().join(".config/earthengine/credentials");
    let before = fs::read(&file).unwrap();
    let limited = machine
        .command("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "sh", EECTL])
        .args(["project", "set", "another-project", "--json"])
        .output()
        .unwrap();
    assert_eq!(limited.status.code(), Some(1), "{limited:?}");
    let (_, stderr) = split_note(std::str::from_utf8(&limited.stderr).unwrap());
    let error: Value = serde_json::from_str(&stderr).unwrap();
    let error = &error["error"];
    assert_eq!(code(error), "io");
    assert!(message(error).contains("cannot write"), "{error}");
    assert!(!remedy(error).is_empty(), "{error}");
    assert_eq!(fs::read(&file).unwrap(), before);
    assert_eq!(machine.run(&set).await.status, 0);
}
