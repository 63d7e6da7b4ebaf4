use std::fs;

use ee_emulator::RsaKey;
use serde_json::json;

use super::*;
use crate::Platform;

const LOGIN: &str = r#"{"refresh_token": "1//canary-ee", "project": "ee-file-project"}"#;
const USER: &str = r#"{"type": "authorized_user", "client_id": "764086051850-x", "client_secret": "s", "refresh_token": "1//canary-adc"}"#;

fn key() -> String {
    json!({
        "type": "service_account",
        "client_email": "robot@p.iam.gserviceaccount.com",
        "private_key": RsaKey::shared().pkcs8_pem(),
        "project_id": "robots-project",
    })
    .to_string()
}

/// A temporary home directory.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        path
    }

    fn earthengine(&self, text: &str) -> PathBuf {
        self.file(".config/earthengine/credentials", text)
    }

    fn adc(&self, text: &str) -> PathBuf {
        self.file(".config/gcloud/application_default_credentials.json", text)
    }

    fn environment(&self) -> Environment {
        Environment::empty()
            .with_os(Platform::Linux)
            .with_home(self.0.path())
    }
}

fn search(environment: Environment) -> Search {
    Search::new(environment, CredentialOptions::default())
}

async fn found(environment: Environment) -> (CredentialKind, &'static str) {
    let found = search(environment).find().await.unwrap();
    let credentials = &found.credentials;
    let step = found
        .searched
        .iter()
        .find(|s| s.outcome == SearchOutcome::Found)
        .unwrap();
    assert_eq!(step.name, credentials.origin().as_str());
    assert_eq!(step.path.as_deref(), credentials.path());
    assert!(!format!("{found:?}").contains("canary"));
    (credentials.kind(), credentials.origin().as_str())
}

async fn broken(environment: Environment) -> Error {
    let error = search(environment).find().await.unwrap_err();
    assert!(
        !format!("{error} {error:?}").contains("canary"),
        "{error:?}"
    );
    assert!(!error.remedy().text.is_empty(), "{error}");
    error
}

#[tokio::test]
async fn sources_are_searched_in_order() {
    let home = Home::new();
    let mut environment = home.environment();
    // From the last source to the first: each new one takes precedence.
    home.adc(USER);
    assert_eq!(
        found(environment.clone()).await,
        (CredentialKind::AuthorizedUser, "gcloud_adc")
    );

    let key_file = home.file("key.json", key());
    environment =
        environment.with_var("GOOGLE_APPLICATION_CREDENTIALS", key_file.to_str().unwrap());
    assert_eq!(
        found(environment.clone()).await,
        (
            CredentialKind::ServiceAccount,
            "env:GOOGLE_APPLICATION_CREDENTIALS"
        )
    );

    home.earthengine(LOGIN);
    assert_eq!(
        found(environment.clone()).await,
        (CredentialKind::EarthEngineFile, "earthengine_file")
    );

    environment = environment.with_var("EARTHENGINE_TOKEN", key());
    assert_eq!(
        found(environment.clone()).await,
        (CredentialKind::ServiceAccount, "env:EARTHENGINE_TOKEN")
    );

    let given = search(environment.clone())
        .with_file(&key_file)
        .find()
        .await
        .unwrap();
    assert_eq!(given.credentials.origin(), CredentialSource::Explicit);
    let given = search(environment.clone())
        .with_json(USER)
        .find()
        .await
        .unwrap();
    assert_eq!(given.credentials.origin(), CredentialSource::Explicit);
    let mine = Credentials::from_api_key("AIza-canary");
    let given = search(environment)
        .with_credentials(mine)
        .find()
        .await
        .unwrap();
    assert_eq!(given.credentials.origin(), CredentialSource::InMemory);
    let outcomes: Vec<_> = given.searched.iter().map(|s| s.outcome.as_str()).collect();
    assert_eq!(
        outcomes,
        [
            "found", "skipped", "skipped", "skipped", "skipped", "skipped"
        ]
    );
}

#[tokio::test]
async fn failed_search_reports_steps_and_login_command() {
    let home = Home::new();
    let error = search(home.environment()).find().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoCredentials);
    let names: Vec<_> = error.search_steps().iter().map(|s| s.name).collect();
    assert_eq!(
        names,
        [
            "flag",
            "env:EARTHENGINE_TOKEN",
            "earthengine_file",
            "env:GOOGLE_APPLICATION_CREDENTIALS",
            "gcloud_adc",
            "metadata_server"
        ]
    );
    assert!(
        error
            .search_steps()
            .iter()
            .all(|s| matches!(s.outcome, SearchOutcome::NotFound(_)))
    );
    let remedy = error.remedy().to_string();
    for way in [
        "eectl auth login",
        "gcloud auth application-default login",
        "GOOGLE_APPLICATION_CREDENTIALS",
    ] {
        assert!(remedy.contains(way), "{remedy}");
    }
    let looked = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        looked.contains("earthengine/credentials does not exist"),
        "{looked}"
    );
}

#[tokio::test]
async fn search_works_without_a_home_directory() {
    let error = search(Environment::empty()).find().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoCredentials);
}

#[tokio::test]
async fn variable_takes_json_or_a_refresh_token() {
    for (text, kind) in [
        (LOGIN.to_owned(), CredentialKind::EarthEngineFile),
        (USER.to_owned(), CredentialKind::AuthorizedUser),
        (key(), CredentialKind::ServiceAccount),
        (
            " 1//0canary-refresh_token\n".to_owned(),
            CredentialKind::EarthEngineFile,
        ),
        (
            "canary-of-an-undocumented-form".to_owned(),
            CredentialKind::EarthEngineFile,
        ),
    ] {
        let environment = Environment::empty().with_var("EARTHENGINE_TOKEN", text);
        assert_eq!(found(environment).await, (kind, "env:EARTHENGINE_TOKEN"));
    }
}

#[tokio::test]
async fn other_text_in_the_variable_is_an_error() {
    for (text, noun) in [
        ("ya29.canary", "access token"),
        ("/home/canary/key.json", "path"),
        ("-----BEGIN PRIVATE KEY-----\ncanary", "PEM"),
        ("eyJjYW5hcnki", "base64"),
        ("two canary words", "not JSON"),
        ("{\"refresh_token\": \"1//canary\"", "truncated"),
        (r#"{"project": "p"}"#, "refresh_token"),
        (r#"{"type": "wizard", "x": "canary"}"#, "wizard"),
    ] {
        let error = broken(Environment::empty().with_var("EARTHENGINE_TOKEN", text)).await;
        let message = error.to_string();
        assert!(
            message.contains("EARTHENGINE_TOKEN") && message.contains(noun),
            "{message}"
        );
        assert_eq!(error.search_steps()[1].outcome.as_str(), "invalid");
        assert_eq!(error.search_steps()[2].outcome, SearchOutcome::Skipped);
    }
}

#[tokio::test]
async fn login_file_without_a_login_is_skipped() {
    let home = Home::new();
    home.adc(USER);
    for text in [
        r#"{"project": "p"}"#,
        "{}",
        r#"{"refresh_token": "", "account": "a", "private_key": "/k"}"#,
    ] {
        home.earthengine(text);
        let found = search(home.environment()).find().await.unwrap();
        assert_eq!(found.credentials.origin(), CredentialSource::GcloudAdc);
        assert!(
            matches!(&found.searched[2].outcome, SearchOutcome::NotFound(why) if why.contains("no login"))
        );
    }
}

#[tokio::test]
async fn invalid_file_ends_the_search() {
    for text in [
        "",
        "{",
        "<html>",
        "[]",
        r#"{"refresh_token": 7}"#,
        r#"{"type": "service_account", "private_key": "canary"}"#,
        "1//canary",
    ] {
        let home = Home::new();
        home.adc(USER);
        let path = home.earthengine(text);
        let error = broken(home.environment()).await;
        assert_eq!(error.kind(), ErrorKind::InvalidFile, "{text}");
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
    }
    let home = Home::new();
    let path = home.adc(r#"{"type": "authorized_user", "client_id": "c"}"#);
    let error = broken(home.environment()).await;
    assert!(
        error.to_string().contains(path.to_str().unwrap()),
        "{error}"
    );
    assert!(error.to_string().contains("client_secret"), "{error}");
}

#[tokio::test]
async fn variable_with_a_missing_file_is_an_error() {
    let home = Home::new();
    home.adc(USER);
    let named = |path: &str| {
        home.environment()
            .with_var("GOOGLE_APPLICATION_CREDENTIALS", path)
    };
    let error = broken(named("/nowhere/at/all.json")).await;
    let message = error.to_string();
    assert!(message.contains("/nowhere/at/all.json"), "{message}");
    assert!(
        message.contains("GOOGLE_APPLICATION_CREDENTIALS"),
        "{message}"
    );
    for empty in ["", "  "] {
        assert_eq!(found(named(empty)).await.1, "gcloud_adc");
    }
}

#[tokio::test]
async fn ignored_variable_is_a_warning() {
    let home = Home::new();
    home.earthengine(LOGIN);
    let environment = home
        .environment()
        .with_var("GOOGLE_APPLICATION_CREDENTIALS", "/k.json");
    let found = search(environment).find().await.unwrap();
    let warnings = found.credentials.warnings();
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].code, "env_var_ignored");
}

#[cfg(unix)]
#[tokio::test]
async fn world_readable_file_is_a_warning() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    let path = home.adc(USER);
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    let found = search(home.environment()).find().await.unwrap();
    assert_eq!(found.credentials.warnings()[0].code, "insecure_permissions");
}

#[tokio::test]
async fn metadata_server_is_searched_last() {
    use ee_token::{Endpoints, HttpClient};
    let emulator = ee_emulator::Emulator::builder()
        .metadata_server("vm@x", "ee-demo-project", &["cloud-platform"])
        .start()
        .await
        .unwrap();
    let endpoints = Endpoints::emulator(emulator.address()).unwrap();
    let options = CredentialOptions::new(HttpClient::new(endpoints));
    let home = Home::new();
    let environment = home.environment().with_metadata_probe(true);
    let search = Search::new(environment, options);
    let found = search.find().await.unwrap();
    assert_eq!(found.credentials.kind(), CredentialKind::MetadataServer);
    emulator.clear_requests();
    home.adc(USER);
    search.find().await.unwrap();
    assert!(emulator.requests().is_empty(), "a file costs no request");
}
