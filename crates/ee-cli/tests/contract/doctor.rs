//! `eectl doctor`.

use serde_json::json;

use super::*;

/// Returns the name and status of each check, and verifies its JSON keys.
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
async fn doctor_reports_a_working_setup() {
    let machine = Machine::with_key(|b| b).await;
    let diagnosis = machine.json(&["doctor", "--json"]).await;
    assert_eq!(diagnosis["ok"], json!(true));
    let checks = checks(&diagnosis);
    assert_eq!(with_status(&checks, "failed"), [""; 0]);
    assert_eq!(with_status(&checks, "warning"), [""; 0]);
    let text = machine.run(&["doctor"]).await;
    assert_eq!((text.status, text.stderr.as_str()), (0, ""));
    assert!(text.stdout.ends_with("No problems found.\n"));
    for (name, status) in &checks {
        // The step of a search has other words in the text.
        let (name, _) = name.split_once('.').unwrap_or((name, ""));
        let line = format!("{status:<8} {name:<16} ");
        assert!(text.stdout.contains(&line), "{line}: {}", text.stdout);
    }
    assert!(!text.stdout.contains('\u{1b}'), "color without a terminal");
}

#[tokio::test]
async fn failed_check_sets_the_exit_status_and_has_a_hint() {
    let disabled = |b: EmulatorBuilder| b.project(Project::new(PROJECT).api_enabled(false));
    let machine = Machine::with_key(disabled).await;
    let result = machine.run(&["doctor", "--json"]).await;
    assert_eq!((result.status, result.stderr.as_str()), (5, ""));
    let diagnosis: Value = serde_json::from_str(&result.stdout).unwrap();
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

    let text = machine.run(&["doctor"]).await;
    assert_eq!(text.status, 5);
    assert!(text.stdout.contains("\n         hint: Enable the API"));
    assert!(
        text.stdout
            .contains("\n             gcloud services enable")
    );
    assert!(
        text.stdout
            .ends_with("1 check failed: api. Fix it and run `eectl doctor` again.\n")
    );
}

#[tokio::test]
async fn doctor_runs_without_any_configuration() {
    let mut machine = Machine::new().await;
    machine.variables.remove("HOME");
    machine.set("EE_CONFIG_FILE", "/nowhere/credentials");
    let result = machine.run(&["doctor", "--json"]).await;
    assert_eq!(result.status, 3, "{}", result.stdout);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = listener.local_addr().unwrap().to_string();
    drop(listener);
    machine.set("EARTHENGINE_EMULATOR_HOST", &closed);
    let result = machine.run(&["doctor", "--json"]).await;
    assert_eq!(result.status, 7, "{}", result.stdout);
    let diagnosis: Value = serde_json::from_str(&result.stdout).unwrap();
    assert_eq!(
        with_status(&checks(&diagnosis), "failed"),
        ["network", "credentials"]
    );
    machine.set("EARTHENGINE_EMULATOR_HOST", "192.0.2.1:80");
    let result = machine.run(&["doctor", "--json"]).await;
    assert_eq!(result.status, 1, "{}", result.stdout);
}

#[tokio::test]
async fn rejected_login_exits_4_without_secrets() {
    let machine = Machine::new().await;
    let jane = machine.emulator.create_user("jane@example.com");
    machine.file(
        ".config/earthengine/credentials",
        jane.earthengine_file_json(Some(PROJECT)),
    );
    machine.emulator.revoke(jane.earthengine_refresh_token());
    for arguments in [&["doctor"][..], &["doctor", "--json"], &["-vv", "doctor"]] {
        let result = machine.run(arguments).await;
        assert_eq!(result.status, 4);
        let all = result.stdout + &result.stderr;
        assert!(!all.contains(jane.earthengine_refresh_token()));
    }
}
