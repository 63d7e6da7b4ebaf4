//! What the commands print when all is well.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;

#[tokio::test]
async fn init_takes_two_requests_and_tells_what_it_found() {
    let machine = Machine::with_key(|b| b).await;
    let found = machine.run(&["init", "--json"]).await.json();
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
async fn init_in_words_names_the_credential_the_project_and_the_registration() {
    let machine = Machine::with_key(|b| b).await;
    let ended = machine.run(&["init"]).await;
    assert_eq!(ended.status, 0, "{}", ended.stderr);
    for part in [
        ROBOT,
        "key.json",
        PROJECT,
        "credentials_project",
        "REGISTERED_NOT_COMMERCIALLY",
        "2 requests",
    ] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
    assert!(!ended.stdout.contains('\u{1b}'));
}

#[tokio::test]
async fn auth_token_prints_the_token_and_nothing_else() {
    let machine = Machine::with_key(|b| b).await;
    for arguments in [&["auth", "token"][..], &["-v", "auth", "token"]] {
        let ended = machine.run(arguments).await;
        assert_eq!(ended.status, 0, "{}", ended.stderr);
        let token = ended.stdout.strip_suffix('\n').unwrap();
        assert!(token.starts_with("ya29.") && !token.contains(char::is_whitespace));
        assert!(!ended.stderr.contains(token));
    }
}

#[tokio::test]
async fn auth_token_is_json_where_json_is_asked_for() {
    let machine = Machine::with_key(|b| b).await;
    let token = machine.run(&["auth", "token", "--json"]).await.json();
    assert_eq!(token.as_object().unwrap().len(), 2);
    assert!(token["access_token"].as_str().unwrap().starts_with("ya29."));
    assert!(token["expires_at"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn a_warning_is_a_field_of_every_command_that_tells_one_in_words() {
    let mut machine = Machine::with_key(|b| b).await;
    machine.file(
        ".config/earthengine/credentials",
        json!({"project": PROJECT}).to_string(),
    );
    machine.set("GOOGLE_CLOUD_PROJECT", "other-project");
    for command in [&["init"][..], &["project", "show"], &["project", "check"]] {
        let told = machine.run(&[command, &["--json"]].concat()).await.json();
        assert_eq!(
            told["warnings"][0]["code"], "project_variable_ignored",
            "{told}"
        );
        let words = machine.run(command).await.stderr;
        assert!(words.contains("warning: GOOGLE_CLOUD_PROJECT"), "{words}");
        assert_eq!(machine.run(&[&["-q"], command].concat()).await.stderr, "");
    }
}

#[tokio::test]
async fn api_puts_relative_paths_under_the_project() {
    let machine = Machine::with_key(|b| b).await;
    let config = machine.run(&["api", "config"]).await.json();
    assert_eq!(config["registrationState"], "REGISTERED_NOT_COMMERCIALLY");
    let whole = machine
        .run(&["api", "GET", &format!("projects/{PROJECT}/config")])
        .await
        .json();
    assert_eq!(whole, config);
    let list = machine
        .run(&["api", "algorithms", "--query", "pageSize=1"])
        .await
        .json();
    assert!(list["algorithms"].is_array());
    let paths = machine.paths();
    assert_eq!(paths.len(), 4, "a token, and each call: {paths:?}");
    assert_eq!(machine.emulator.requests()[3].query, "pageSize=1");
}

#[tokio::test]
async fn api_sends_a_file_or_standard_input() {
    let machine = Machine::with_key(|b| b).await;
    let body = r#"{"expression":{"result":"0","values":{"0":{"constantValue":42}}}}"#;
    let file = machine.file("body.json", body).display().to_string();
    for (arguments, input) in [
        (vec!["api", "value:compute", "--input", "-"], body),
        (vec!["api", "POST", "value:compute", "--input", &file], ""),
    ] {
        let reply: Value = machine.run_with_input(&arguments, input).await.json();
        assert_eq!(reply, json!({"result": 42}));
    }
}

#[tokio::test]
async fn options_stand_before_and_after_the_command() {
    let machine = Machine::new().await;
    let key = machine
        .file("elsewhere.json", machine.robot().json_key())
        .display()
        .to_string();
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
        let found = machine.run(&arguments).await.json();
        assert_eq!(found["credential"]["source"], "flag");
        assert_eq!(found["project_source"], "flag");
    }
}

#[tokio::test]
async fn short_scopes_are_sent_whole() {
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
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_eectl"))
        .args(["emulator", "--port", "0", "-q", "--write-credentials"])
        .arg(folder.path())
        .env_clear()
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut address = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut address)
        .unwrap();
    let run = |file: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_eectl"))
            .args(["init", "--json", "--project", PROJECT, "--credentials"])
            .arg(folder.path().join(file))
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
async fn another_service_account_is_acted_as_where_that_is_allowed() {
    const TARGET: &str = "worker@ee-demo-project.iam.gserviceaccount.com";
    let machine = Machine::with_key(|b| b).await;
    machine.emulator.create_service_account(TARGET, PROJECT);
    let init = ["init", "--json", "--impersonate", TARGET];
    let refused = machine.run(&init).await;
    assert_ne!(refused.status, 0);
    assert!(
        refused
            .stderr
            .contains("roles/iam.serviceAccountTokenCreator"),
        "{}",
        refused.stderr
    );

    machine.emulator.allow_impersonation(ROBOT, TARGET);
    let init = machine.run(&init).await.json();
    assert_eq!(init["credential"]["kind"], "impersonated_service_account");
    assert_eq!(init["credential"]["principal"], TARGET);
}
