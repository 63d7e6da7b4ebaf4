//! The search for credentials and for the project.

use super::*;

async fn found(machine: &Machine) -> (String, String, String) {
    let found = machine.json(&["init", "--json"]).await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (
        text(&found["credential"]["kind"]),
        text(&found["credential"]["source"]),
        text(&found["project_source"]),
    )
}

async fn source(machine: &Machine) -> String {
    found(machine).await.2
}

fn triple(a: &str, b: &str, c: &str) -> (String, String, String) {
    (a.into(), b.into(), c.into())
}

#[tokio::test]
async fn credentials_are_found_in_the_documented_order() {
    let mut machine = Machine::new().await;
    let jane = machine.emulator.create_user("jane@example.com");

    // From the last source to the first: each new one takes precedence.
    let adc = machine.file(
        ".config/gcloud/application_default_credentials.json",
        jane.authorized_user_json(),
    );
    machine.set("EE_PROJECT_ID", PROJECT);
    assert_eq!(
        found(&machine).await,
        triple("authorized_user", "gcloud_adc", "env:EE_PROJECT_ID")
    );

    let key = machine.file("key.json", machine.robot().json_key());
    machine.set("GOOGLE_APPLICATION_CREDENTIALS", &key);
    assert_eq!(
        found(&machine).await,
        triple(
            "service_account",
            "env:GOOGLE_APPLICATION_CREDENTIALS",
            "env:EE_PROJECT_ID"
        )
    );

    machine.file(
        ".config/earthengine/credentials",
        jane.earthengine_file_json(None),
    );
    assert_eq!(
        found(&machine).await,
        triple("earthengine_file", "earthengine_file", "env:EE_PROJECT_ID")
    );

    for (token, kind) in [
        (machine.robot().json_key(), "service_account"),
        (jane.earthengine_file_json(None), "earthengine_file"),
        (
            jane.earthengine_refresh_token().to_owned(),
            "earthengine_file",
        ),
    ] {
        machine.set("EARTHENGINE_TOKEN", &token);
        assert_eq!(
            found(&machine).await,
            triple(kind, "env:EARTHENGINE_TOKEN", "env:EE_PROJECT_ID")
        );
    }

    let given = machine
        .json(&["init", "--json", "--credentials", &adc])
        .await;
    assert_eq!(given["credential"]["source"], "flag");
}

#[tokio::test]
async fn project_is_found_in_the_documented_order() {
    let mut machine = Machine::with_key(|b| b).await;
    assert_eq!(source(&machine).await, "credentials_project");
    for name in [
        "GCLOUD_PROJECT",
        "GOOGLE_CLOUD_PROJECT",
        "GOOGLE_CLOUD_QUOTA_PROJECT",
    ] {
        machine.set(name, PROJECT);
        assert_eq!(source(&machine).await, format!("env:{name}"));
    }
    machine.file(
        ".config/earthengine/credentials",
        format!(r#"{{"project": "{PROJECT}"}}"#),
    );
    assert_eq!(source(&machine).await, "earthengine_file");
    for name in ["EE_PROJECT_ID", "EARTHENGINE_PROJECT"] {
        machine.set(name, PROJECT);
        assert_eq!(source(&machine).await, format!("env:{name}"));
    }
}

#[tokio::test]
async fn gcloud_configuration_is_the_last_project_source() {
    let mut machine = Machine::new().await;
    let jane = machine.emulator.create_user("jane@example.com");
    machine.file(
        ".config/gcloud/application_default_credentials.json",
        jane.authorized_user_json(),
    );
    let (status, error) = machine.failure(&["init"]).await;
    assert_eq!(
        (status, code(&error)),
        (5, "no_project"),
        "the project of gcloud's OAuth client is ignored"
    );
    machine.file(
        ".config/gcloud/configurations/config_default",
        format!("[core]\nproject = {PROJECT}\n"),
    );
    assert_eq!(found(&machine).await.2, "gcloud_config");
    // Empty values and projects of Google SDKs are ignored.
    machine.set("EARTHENGINE_PROJECT", "");
    machine.set("GOOGLE_CLOUD_PROJECT", "764086051850");
    assert_eq!(found(&machine).await.2, "gcloud_config");
}

#[tokio::test]
async fn missing_credentials_exit_3_with_a_hint() {
    let machine = Machine::new().await;
    let (status, error) = machine.failure(&["init"]).await;
    assert_eq!((status, code(&error)), (3, "no_credentials"));
    assert!(
        remedy(&error).contains("GOOGLE_APPLICATION_CREDENTIALS"),
        "{error}"
    );
    assert!(machine.paths().is_empty());
    let result = machine.run(&["init"]).await;
    assert_eq!(
        result.stderr,
        "error: not logged in\nhint: Run `eectl auth login`; `eectl auth status` shows where credentials were searched.\n"
    );
    for command in [&["-v", "init"][..], &["auth", "status"]] {
        lists_the_search(&machine.run(command).await);
    }
}

fn lists_the_search(result: &CommandOutput) {
    for step in [
        "the credentials option",
        "EARTHENGINE_TOKEN",
        "Earth Engine's login file",
        "gcloud's login",
        "the metadata server",
    ] {
        assert!(
            result.stderr.contains(&format!("  {step}: ")),
            "{step}: {}",
            result.stderr
        );
    }
}
