//! The output of successful commands.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;

#[tokio::test]
async fn init_sends_two_requests_and_prints_its_findings() {
    let machine = Machine::with_key(|b| b).await;
    let found = machine.json(&["init", "--json"]).await;
    assert!(found["elapsed_ms"].as_f64().unwrap() > 0.0);
    let mut found = found;
    found.as_object_mut().unwrap().remove("elapsed_ms");
    assert_eq!(
        found,
        json!({
            "project": PROJECT,
            "project_source": "credentials_project",
            "registration": "REGISTERED_NOT_COMMERCIALLY",
            "credential": {
                "kind": "service_account",
                "source": "env:GOOGLE_APPLICATION_CREDENTIALS",
                "principal": ROBOT,
            },
            "requests": 2,
            "warnings": [],
        })
    );
    assert_eq!(
        machine.paths(),
        [
            "POST oauth2.googleapis.com/token".to_owned(),
            format!("GET earthengine.googleapis.com/v1/projects/{PROJECT}/config"),
        ]
    );
}

#[tokio::test]
async fn init_text_names_credential_project_and_registration() {
    let machine = Machine::with_key(|b| b).await;
    let result = machine.run(&["init"]).await;
    assert_eq!(result.status, 0, "{}", result.stderr);
    for part in [
        ROBOT,
        "key.json",
        PROJECT,
        "service account key, ",
        "(GOOGLE_APPLICATION_CREDENTIALS, ",
        "(the credential)",
        "registration  noncommercial",
        "2 requests",
    ] {
        assert!(result.stdout.contains(part), "{part}: {}", result.stdout);
    }
    assert!(!result.stdout.contains('\u{1b}'));
}

#[tokio::test]
async fn auth_token_prints_only_the_token() {
    let machine = Machine::with_key(|b| b).await;
    for arguments in [&["auth", "token"][..], &["-v", "auth", "token"]] {
        let result = machine.run(arguments).await;
        assert_eq!(result.status, 0, "{}", result.stderr);
        let token = result.stdout.strip_suffix('\n').unwrap();
        assert!(token.starts_with("ya29.") && !token.contains(char::is_whitespace));
        assert!(!result.stderr.contains(token));
    }
}

#[tokio::test]
async fn auth_token_prints_json_with_the_flag() {
    let machine = Machine::with_key(|b| b).await;
    let token = machine.json(&["auth", "token", "--json"]).await;
    assert_eq!(token.as_object().unwrap().len(), 2);
    assert!(token["access_token"].as_str().unwrap().starts_with("ya29."));
    assert!(token["expires_at"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn warnings_appear_in_json_and_in_text() {
    let mut machine = Machine::with_key(|b| b).await;
    machine.file(
        ".config/earthengine/credentials",
        json!({"project": PROJECT}).to_string(),
    );
    machine.set("GOOGLE_CLOUD_PROJECT", "other-project");
    for command in [&["init"][..], &["project", "show"], &["project", "check"]] {
        let json = machine.json(&[command, &["--json"]].concat()).await;
        assert_eq!(
            json["warnings"][0]["code"], "project_variable_ignored",
            "{json}"
        );
        let text = machine.run(command).await.stderr;
        assert!(text.contains("warning: GOOGLE_CLOUD_PROJECT"), "{text}");
        assert_eq!(machine.run(&[&["-q"], command].concat()).await.stderr, "");
    }
}

#[tokio::test]
async fn api_puts_relative_paths_under_the_project() {
    let machine = Machine::with_key(|b| b).await;
    let config = machine.json(&["api", "config"]).await;
    assert_eq!(config["registrationState"], "REGISTERED_NOT_COMMERCIALLY");
    let absolute = machine
        .json(&["api", "GET", &format!("projects/{PROJECT}/config")])
        .await;
    assert_eq!(absolute, config);
    let list = machine
        .json(&["api", "algorithms", "--query", "prettyPrint=false"])
        .await;
    assert!(list["algorithms"].is_array());
    let paths = machine.paths();
    assert_eq!(
        paths.len(),
        4,
        "one token request and three calls: {paths:?}"
    );
    assert_eq!(machine.emulator.requests()[3].query, "prettyPrint=false");
}

#[tokio::test]
async fn api_sends_a_file_or_standard_input() {
    let machine = Machine::with_key(|b| b).await;
    let body = r#"{"expression":{"result":"0","values":{"0":{"constantValue":42}}}}"#;
    let file = machine.file("body.json", body);
    for (arguments, input) in [
        (vec!["api", "value:compute", "--input", "-"], body),
        (vec!["api", "POST", "value:compute", "--input", &file], ""),
    ] {
        let response: Value = machine.run_with_input(&arguments, input).await.json();
        assert_eq!(response, json!({"result": 42}));
    }
}

#[tokio::test]
async fn options_work_before_and_after_the_command() {
    let machine = Machine::new().await;
    let key = machine.file("elsewhere.json", machine.robot().json_key());
    for arguments in [
        [
            "--credentials",
            &key,
            "--project",
            PROJECT,
            "--json",
            "init",
        ],
        [
            "init",
            "--credentials",
            &key,
            "--project",
            PROJECT,
            "--json",
        ],
    ] {
        let found = machine.json(&arguments).await;
        assert_eq!(found["credential"]["source"], "flag");
        assert_eq!(found["project_source"], "flag");
    }
}

#[tokio::test]
async fn short_scopes_are_sent_as_urls() {
    let machine = Machine::with_key(|b| b).await;
    machine
        .run(&["auth", "token", "--scopes", "earthengine,drive"])
        .await;
    let assertion = machine.emulator.requests()[0].form()["assertion"].clone();
    let claims = assertion.split('.').nth(1).unwrap();
    let claims = URL_SAFE_NO_PAD.decode(claims).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(
        claims["scope"],
        "https://www.googleapis.com/auth/earthengine https://www.googleapis.com/auth/drive"
    );
}

#[tokio::test]
async fn the_emulator_command_prints_its_address_and_serves() {
    use std::io::{BufRead, BufReader};
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(EECTL)
        .args(["emulator", "--port", "0", "-q", "--write-credentials"])
        .arg(dir.path())
        .env_clear()
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut address = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut address)
        .unwrap();
    let run = |file: &str| {
        let output = Command::new(EECTL)
            .args(["init", "--json", "--project", PROJECT, "--credentials"])
            .arg(dir.path().join(file))
            .env_clear()
            .env("EARTHENGINE_EMULATOR_HOST", address.trim())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{file}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    run("service_account.json");
    run("authorized_user.json");
    run("earthengine_credentials.json");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn impersonation_works_only_with_permission() {
    const TARGET: &str = "worker@ee-demo-project.iam.gserviceaccount.com";
    let machine = Machine::with_key(|b| b).await;
    machine.emulator.create_service_account(TARGET, PROJECT);
    let init = ["init", "--json", "--impersonate", TARGET];
    let denied = machine.run(&init).await;
    assert_ne!(denied.status, 0);
    denied.assert_stderr("roles/iam.serviceAccountTokenCreator");

    machine.emulator.allow_impersonation(ROBOT, TARGET);
    let init = machine.json(&init).await;
    assert_eq!(init["credential"]["kind"], "impersonated_service_account");
    assert_eq!(init["credential"]["principal"], TARGET);
}
