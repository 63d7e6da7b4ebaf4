use ee_emulator::Emulator;
use serde_json::{Value, json};

use super::*;
use crate::options::options;
use crate::{Credentials, ErrorKind};

#[tokio::test]
async fn login_file_request_has_earth_engines_client() {
    let emulator = Emulator::start().await.unwrap();
    let jane = emulator.create_user("jane@example.com");
    let text = jane.earthengine_file_json(Some("my-project"));
    let credentials = Credentials::from_json(&text, &options(&emulator)).unwrap();
    assert_eq!(credentials.kind(), CredentialKind::EarthEngineFile);
    assert_eq!(credentials.project(), Some("my-project"));
    assert_eq!(
        credentials.oauth_client_project_number(),
        Some("517222506229")
    );
    credentials.token().await.unwrap();
    let form = emulator.requests()[0].form();
    let names: Vec<_> = form.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["client_id", "client_secret", "grant_type", "refresh_token"]
    );
    assert_eq!(form["client_id"], CLIENT_ID);
    assert_eq!(form["client_secret"], CLIENT_SECRET);
    assert_eq!(form["refresh_token"], jane.earthengine_refresh_token());
}

#[tokio::test]
async fn scopes_beyond_the_login_are_rejected() {
    let emulator = Emulator::start().await.unwrap();
    let jane =
        emulator.create_user_with_scopes("jane@example.com", &["earthengine"], &["earthengine"]);
    let options = options(&emulator).scopes(Scopes::new(["drive"]));
    let credentials = Credentials::from_json(&jane.earthengine_file_json(None), &options).unwrap();
    let error = credentials.token().await.unwrap_err();
    assert_eq!(error.kind(), Token::InvalidScope);
    assert_eq!(
        emulator.requests()[0].form()["scope"],
        "https://www.googleapis.com/auth/drive"
    );
    assert!(error.remedy().text.contains("request fewer"));
}

#[tokio::test]
async fn revoked_login_has_a_login_command() {
    let emulator = Emulator::start().await.unwrap();
    let jane = emulator.create_user("jane@example.com");
    emulator.revoke(jane.earthengine_refresh_token());
    let text = jane.earthengine_file_json(None);
    let credentials = Credentials::from_json(&text, &options(&emulator)).unwrap();
    let error = credentials.token().await.unwrap_err();
    assert_eq!(error.kind(), Token::Rejected);
    let remedy = error.remedy();
    assert_eq!(remedy.command.as_deref(), Some("eectl auth login"));
    assert!(remedy.text.contains("7 days"), "{remedy}");
    assert!(!format!("{error:?} {credentials:?}").contains(jane.earthengine_refresh_token()));
}

#[tokio::test]
async fn service_account_of_the_earthengine_command_is_used() {
    let emulator = Emulator::start().await.unwrap();
    let robot =
        emulator.create_service_account("robot@my-project.iam.gserviceaccount.com", "my-project");
    let dir = tempfile::tempdir().unwrap();
    let key: Value = serde_json::from_str(&robot.json_key()).unwrap();
    let pem = key["private_key"].as_str().unwrap();
    let email = key["client_email"].as_str().unwrap();
    let path = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    for key in [
        path("key.pem", pem),
        path("key.json", &robot.json_key()),
        pem.to_owned(),
        robot.json_key(),
    ] {
        let file = json!({"account": email, "private_key": key, "project": "my-project",
            "url": "https://earthengine.googleapis.com"});
        let credentials = Credentials::from_json(&file.to_string(), &options(&emulator)).unwrap();
        assert_eq!(credentials.kind(), CredentialKind::ServiceAccount);
        assert_eq!(credentials.principal(), Some(email));
        assert_eq!(credentials.project(), Some("my-project"));
        credentials.token().await.unwrap();
    }
    for (key, why) in [
        (
            "/nowhere/canary.json",
            "/nowhere/canary.json: the file does not exist",
        ),
        ("~/key.json", "~, which was not expanded"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE", "truncated"),
    ] {
        let file = json!({"account": email, "private_key": key}).to_string();
        let error = Credentials::from_json(&file, &options(&emulator)).unwrap_err();
        assert!(error.to_string().contains("`private_key`"), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn fields_that_are_ignored_cause_a_warning() {
    const LOGIN: &str = r#""refresh_token": "1//x""#;
    for (fields, ignored) in [
        (format!("{{{LOGIN}}}"), None),
        (
            format!("{{{LOGIN}, \"url\": \"https://earthengine.googleapis.com/\"}}"),
            None,
        ),
        (
            format!("{{{LOGIN}, \"url\": \"https://earthengine-highvolume.googleapis.com\"}}"),
            Some("url"),
        ),
        (
            "{\"cloud_api_key\": \"AIza-canary\"}".to_owned(),
            Some("cloud_api_key"),
        ),
        (
            format!("{{{LOGIN}, \"account\": \"a@x\", \"private_key\": \"/k\"}}"),
            Some("private_key"),
        ),
    ] {
        let warnings = EarthEngineFile::from_json(&fields)
            .unwrap()
            .warnings(&Location::InMemory);
        let fields: Vec<_> = warnings
            .iter()
            .map(|w| w.message.split('`').nth(1).unwrap())
            .collect();
        assert_eq!(fields, ignored.into_iter().collect::<Vec<_>>());
        assert!(!format!("{warnings:?}").contains("canary"));
    }
}

#[tokio::test]
async fn token_of_sepal_is_used_until_its_date_and_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("credentials");
    let write = |token: &str, minutes: i64, quote: &str| {
        let end = (Utc::now() + TimeDelta::minutes(minutes)).timestamp_millis();
        let text = format!(
            "{{\"access_token\": \"{token}\", \"access_token_expiry_date\": {quote}{end}{quote}, \"project_id\": \"sepal-project\"}}"
        );
        std::fs::write(&path, &text).unwrap();
        text
    };
    write("ya29.first", 60, "");
    let options = CredentialOptions::default();
    let credentials = Credentials::from_file(&path, &options).unwrap();
    assert_eq!(credentials.kind(), CredentialKind::EarthEngineFile);
    assert_eq!(credentials.project(), Some("sepal-project"));
    let token = credentials.token().await.unwrap();
    assert_eq!(token.secret(), "ya29.first");
    assert!(token.expires_at().unwrap() > Utc::now() + TimeDelta::minutes(59));
    // SEPAL replaces it, and a server rejects the old one.
    write("ya29.second", 60, "\"");
    credentials.token_cache().unwrap().invalidate(&token);
    let token = credentials.token().await.unwrap();
    assert_eq!(token.secret(), "ya29.second");
    let text = write("ya29.canary", -1, "");
    credentials.token_cache().unwrap().invalidate(&token);
    let error = credentials.token().await.unwrap_err();
    assert_eq!(error.kind(), Token::Expired);
    assert!(error.remedy().text.contains("SEPAL"));
    assert!(!format!("{error:?} {credentials:?}").contains("canary"));
    let error = Credentials::from_json(&text, &options)
        .unwrap()
        .token()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Token::Expired);
    // Another credential in the file is an error.
    std::fs::write(&path, r#"{"refresh_token": "1//canary"}"#).unwrap();
    let error = credentials.token().await.unwrap_err();
    assert!(error.to_string().contains("another account"), "{error}");
}

#[test]
fn fields_are_optional_and_unknown_ones_ignored() {
    let file = EarthEngineFile::from_json(
        r#"{"refresh_token": null, "project": " ", "x": [{}], "token_uri": 7, "url": 1}"#,
    )
    .unwrap();
    assert!(!file.has_login());
    assert_eq!((file.project(), file.scopes()), (None, None));
    let error =
        Credentials::from_json(r#"{"project": "p"}"#, &CredentialOptions::default()).unwrap_err();
    assert!(error.to_string().contains("`refresh_token`"), "{error}");
    assert_eq!(error.remedy().command.as_deref(), Some("eectl auth login"));
}

#[test]
fn mistyped_field_of_the_login_file_is_named() {
    for (field, value, named) in [
        ("refresh_token", json!(7), "refresh_token"),
        ("project", json!({}), "project"),
        ("scopes", json!("canary"), "scopes"),
        ("scopes", json!([1]), "scopes"),
        ("client_id", json!([]), "client_id"),
        ("client_id", json!("1-mine"), "client_secret"),
    ] {
        let mut file = json!({"refresh_token": "1//canary"});
        file[field] = value;
        let error = EarthEngineFile::from_json(&file.to_string()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidFile);
        assert!(error.to_string().contains(&format!("`{named}`")), "{error}");
        assert!(!format!("{error:?}").contains("canary"));
    }
}

#[test]
fn other_text_in_the_login_file_is_identified() {
    let location = Location::file("/home/j/.config/earthengine/credentials");
    for (text, noun) in [
        (
            r#"{"type": "service_account", "private_key": "canary"}"#,
            "service account key",
        ),
        (r#"{"type": "external_account"}"#, "external_account"),
        ("1//0canary", "it is a refresh token"),
        ("-----BEGIN PRIVATE KEY-----", "PEM"),
    ] {
        let error = EarthEngineFile::read(text, &location).unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains(noun) && message.contains("earthengine/credentials"),
            "{message}"
        );
        assert!(!format!("{error:?}").contains("canary"));
        assert!(!error.remedy().text.is_empty());
    }
    let copied = r#"{"type": "authorized_user", "client_id": "a", "client_secret": "b", "refresh_token": "c"}"#;
    assert!(
        EarthEngineFile::read(copied, &location)
            .unwrap()
            .has_login()
    );
}
