//! `eectl doctor`.

use serde_json::json;

use super::*;

/// The checks of a diagnosis, of which only these keys may be there.
fn checks(diagnosis: &Value) -> Vec<(String, String)> {
    assert_eq!(diagnosis.as_object().unwrap().len(), 2);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let checks = diagnosis["checks"].as_array().unwrap();
    checks
        .iter()
        .map(|check| {
            let keys = check.as_object().unwrap().keys();
            for key in keys {
                assert!(["name", "status", "message", "remedy", "url"].contains(&key.as_str()));
            }
            assert!(!text(&check["message"]).is_empty());
            let status = text(&check["status"]);
            assert!(["ok", "warning", "failed", "skipped"].contains(&status.as_str()));
            (text(&check["name"]), status)
        })
        .collect()
}

fn with_status(checks: &[(String, String)], status: &str) -> Vec<String> {
    let those = checks.iter().filter(|(_, s)| s == status);
    those.map(|(name, _)| name.clone()).collect()
}

#[tokio::test]
async fn a_machine_in_good_order_is_told_so_in_json_and_in_words() {
    let machine = Machine::with_key(|b| b).await;
    let diagnosis = machine.run(&["doctor", "--json"]).await.json();
    assert_eq!(diagnosis["ok"], json!(true));
    let checks = checks(&diagnosis);
    assert_eq!(with_status(&checks, "failed"), [""; 0]);
    assert_eq!(with_status(&checks, "warning"), [""; 0]);
    let words = machine.run(&["doctor"]).await;
    assert_eq!((words.status, words.stderr.as_str()), (0, ""));
    assert!(words.stdout.ends_with("A program can run.\n"));
    for (name, status) in &checks {
        let line = match name.split_once('.') {
            Some((name, place)) => format!("{status:<8} {name:<16} {place}: "),
            None => format!("{status:<8} {name:<16} "),
        };
        assert!(words.stdout.contains(&line), "{line}: {}", words.stdout);
    }
    assert!(!words.stdout.contains('\u{1b}'), "no colour off a terminal");
}

#[tokio::test]
async fn what_is_broken_decides_the_exit_status_and_every_failure_says_what_to_do() {
    let disabled = |b: EmulatorBuilder| b.project(Project::new(PROJECT).api_enabled(false));
    let machine = Machine::with_key(disabled).await;
    let ended = machine.run(&["doctor", "--json"]).await;
    assert_eq!((ended.status, ended.stderr.as_str()), (5, ""));
    let diagnosis: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(diagnosis["ok"], json!(false));
    assert_eq!(with_status(&checks(&diagnosis), "failed"), ["api"]);
    let all = diagnosis["checks"].as_array().unwrap();
    let api = all.iter().find(|check| check["name"] == "api").unwrap();
    assert!(
        api["remedy"]
            .as_str()
            .unwrap()
            .contains("Run: gcloud services enable")
    );
    assert!(api["url"].as_str().unwrap().starts_with("https://"));

    let words = machine.run(&["doctor"]).await;
    assert_eq!(words.status, 5);
    assert!(words.stdout.contains("\n         hint: Enable the API"));
    assert!(
        words
            .stdout
            .contains("\n             gcloud services enable")
    );
    assert!(
        words
            .stdout
            .ends_with("A program cannot run. First mend: api.\n")
    );
}

#[tokio::test]
async fn with_nothing_at_all_it_still_runs() {
    let mut machine = Machine::new().await;
    machine.variables.remove("HOME");
    machine.set("EE_CONFIG_FILE", "/nowhere/credentials");
    let ended = machine.run(&["doctor", "--json"]).await;
    assert_eq!(ended.status, 3, "{}", ended.stdout);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = listener.local_addr().unwrap().to_string();
    drop(listener);
    machine.set("EARTHENGINE_EMULATOR_HOST", &nobody);
    let ended = machine.run(&["doctor", "--json"]).await;
    assert_eq!(ended.status, 7, "the network comes first: {}", ended.stdout);
    let diagnosis: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(
        with_status(&checks(&diagnosis), "failed"),
        ["network", "credentials"]
    );
    machine.set("EARTHENGINE_EMULATOR_HOST", "192.0.2.1:80");
    let ended = machine.run(&["doctor", "--json"]).await;
    assert_eq!(ended.status, 1, "{}", ended.stdout);
}

#[tokio::test]
async fn a_rejected_login_is_exit_4_and_no_secret_shows() {
    let machine = Machine::new().await;
    let jane = machine.emulator.create_user("jane@example.com");
    machine.file(
        ".config/earthengine/credentials",
        jane.earthengine_file_json(Some(PROJECT)),
    );
    machine.emulator.revoke(jane.earthengine_refresh_token());
    for arguments in [&["doctor"][..], &["doctor", "--json"], &["-vv", "doctor"]] {
        let ended = machine.run(arguments).await;
        assert_eq!(ended.status, 4);
        let all = ended.stdout + &ended.stderr;
        assert!(!all.contains(jane.earthengine_refresh_token()));
    }
}
