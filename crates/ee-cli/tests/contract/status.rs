//! `eectl auth status`.

use serde_json::json;

use super::*;

const SCOPES: [&str; 4] = [
    "https://www.googleapis.com/auth/earthengine",
    "https://www.googleapis.com/auth/cloud-platform",
    "https://www.googleapis.com/auth/drive",
    "https://www.googleapis.com/auth/devstorage.full_control",
];

fn searched(outcomes: [&str; 6]) -> Value {
    let steps = [
        "flag",
        "env:EARTHENGINE_TOKEN",
        "earthengine_file",
        "env:GOOGLE_APPLICATION_CREDENTIALS",
        "gcloud_adc",
        "metadata_server",
    ];
    let steps = steps.iter().zip(outcomes);
    steps
        .map(|(step, outcome)| json!({"step": step, "outcome": outcome}))
        .collect()
}

/// Removes the expiry, which must be a timestamp.
fn without_expiry(mut status: Value) -> Value {
    let end = status["token"]["expires_at"].take();
    let end = end.as_str().unwrap();
    assert!(end.len() == 20 && end.ends_with('Z'), "{end}");
    status["token"]
        .as_object_mut()
        .unwrap()
        .remove("expires_at");
    status
}

#[tokio::test]
async fn status_describes_an_earth_engine_login() {
    let machine = Machine::new().await;
    let jane = machine.emulator.create_user("jane@example.com");
    let path = machine.file(
        ".config/earthengine/credentials",
        jane.earthengine_file_json(Some(PROJECT)),
    );
    let mut status = machine.json(&["auth", "status", "--json"]).await;
    // The Python client requests the scope `drive`, too.
    let warnings = status["warnings"].take();
    assert_eq!(warnings[0]["code"], "broad_scopes", "{warnings}");
    assert!(warnings[0]["message"].as_str().unwrap().ends_with("/drive"));
    assert_eq!(
        without_expiry(status),
        json!({
            "credential": {
                "kind": "earthengine_file",
                "source": "earthengine_file",
                "path": path,
            },
            "token": {"scopes": SCOPES},
            "warnings": null,
            "searched": searched(["not_found", "not_found", "found", "skipped", "skipped", "skipped"]),
        })
    );
}

#[tokio::test]
async fn status_of_a_gcloud_login_has_account_and_quota_project() {
    let machine = Machine::new().await;
    let jane = machine.emulator.create_user("jane@example.com");
    let path = machine.file(
        ".config/gcloud/application_default_credentials.json",
        jane.authorized_user_json_with_quota_project(PROJECT),
    );
    let status = machine.json(&["auth", "status", "--json"]).await;
    assert_eq!(
        status["credential"],
        json!({
            "kind": "authorized_user",
            "source": "gcloud_adc",
            "path": path,
            "principal": "jane@example.com",
            "quota_project": PROJECT,
        })
    );
}

#[cfg(unix)]
#[tokio::test]
async fn ignored_variable_and_readable_file_are_warnings() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut machine = Machine::new().await;
    let jane = machine.emulator.create_user("jane@example.com");
    let path = machine.file(
        ".config/earthengine/credentials",
        jane.earthengine_file_json(None),
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    machine.set("GOOGLE_APPLICATION_CREDENTIALS", "/some/key.json");
    let status = machine.json(&["auth", "status", "--json"]).await;
    let warnings = status["warnings"].as_array().unwrap();
    let codes: Vec<_> = warnings.iter().map(|w| w["code"].clone()).collect();
    assert_eq!(
        codes,
        ["insecure_permissions", "env_var_ignored", "broad_scopes"]
    );
    for warning in warnings {
        assert_eq!(warning.as_object().unwrap().len(), 3);
        assert!(warning["message"].is_string() && warning["remedy"].is_string());
    }
    assert!(
        warnings[0]["remedy"]
            .as_str()
            .unwrap()
            .ends_with(&format!("Run: chmod 600 {path}"))
    );

    let text = machine.run(&["auth", "status"]).await;
    assert!(
        text.stderr
            .contains("warning: GOOGLE_APPLICATION_CREDENTIALS is set")
    );
    assert!(text.stderr.contains(&format!("    chmod 600 {path}")));
    assert!(!text.stdout.contains("warning"));
    assert_eq!(machine.run(&["-q", "auth", "status"]).await.stderr, "");
}

#[tokio::test]
async fn status_text_names_file_account_scopes_and_search_steps() {
    let machine = Machine::with_key(|b| b).await;
    let result = machine.run(&["auth", "status"]).await;
    assert_eq!(result.status, 0, "{}", result.stderr);
    for part in [
        "credential    service account key\n",
        "key.json",
        ROBOT,
        "auth/earthengine\n",
        "  Earth Engine's login file: ",
        "  the metadata server: not searched",
    ] {
        assert!(result.stdout.contains(part), "{part}: {}", result.stdout);
    }
    assert!(!result.stdout.contains("ya29."));
}

#[tokio::test]
async fn status_fails_for_rejected_and_missing_logins() {
    let machine = Machine::new().await;
    let (status, error) = machine.failure(&["auth", "status"]).await;
    assert_eq!((status, code(&error)), (3, "no_credentials"));
    let jane = machine.emulator.create_user("jane@example.com");
    machine.file(
        ".config/earthengine/credentials",
        jane.earthengine_file_json(None),
    );
    machine.emulator.revoke(jane.earthengine_refresh_token());
    let (status, error) = machine.failure(&["auth", "status"]).await;
    assert_eq!((status, code(&error)), (4, "credentials_rejected"));
    assert!(message(&error).contains("earthengine/credentials"));
}
