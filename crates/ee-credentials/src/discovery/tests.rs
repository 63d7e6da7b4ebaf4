use std::fs;

use ee_emulator::RsaKey;
use serde_json::json;

use super::*;
use crate::CredentialKind::{AuthorizedUser, EarthEngineFile, MetadataServer, ServiceAccount};
use crate::options::options;
use crate::{CredentialKind, Platform};

const LOGIN: &str = r#"{"refresh_token": "1//canary-ee", "project": "ee-file-project"}"#;
const LOGIN_FILE: &str = ".config/earthengine/credentials";
const ADC_FILE: &str = ".config/gcloud/application_default_credentials.json";
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
        self.file(LOGIN_FILE, text)
    }

    fn adc(&self, text: &str) -> PathBuf {
        self.file(ADC_FILE, text)
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
    assert_eq!(step.source, credentials.source());
    assert_eq!(step.path.as_deref(), credentials.path());
    assert!(!format!("{found:?}").contains("canary"));
    (credentials.kind(), credentials.source().as_str())
}

async fn source_of(search: Search) -> CredentialSource {
    search.find().await.unwrap().credentials.source()
}

async fn warning_codes(environment: Environment) -> Vec<&'static str> {
    let found = search(environment).find().await.unwrap();
    let warnings = found.credentials.warnings().iter();
    warnings.map(|warning| warning.code).collect()
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
        (AuthorizedUser, "gcloud_adc")
    );

    let key_file = home.file("key.json", key());
    environment = environment.with_var(APPLICATION_CREDENTIALS, key_file.to_str().unwrap());
    assert_eq!(
        found(environment.clone()).await,
        (ServiceAccount, "env:GOOGLE_APPLICATION_CREDENTIALS")
    );

    home.earthengine(LOGIN);
    assert_eq!(
        found(environment.clone()).await,
        (EarthEngineFile, "earthengine_file")
    );

    environment = environment.with_var(EARTHENGINE_TOKEN, key());
    assert_eq!(
        found(environment.clone()).await,
        (ServiceAccount, "env:EARTHENGINE_TOKEN")
    );

    for given in [
        search(environment.clone()).with_file(&key_file),
        search(environment.clone()).with_json(USER),
    ] {
        assert_eq!(source_of(given).await, CredentialSource::Explicit);
    }
    let mine = Credentials::from_api_key("AIza-canary");
    let given = search(environment)
        .with_credentials(mine)
        .find()
        .await
        .unwrap();
    assert_eq!(given.credentials.source(), CredentialSource::InMemory);
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
    let names: Vec<_> = error
        .search_steps()
        .iter()
        .map(|s| s.source.as_str())
        .collect();
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
        APPLICATION_CREDENTIALS,
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
        (LOGIN.to_owned(), EarthEngineFile),
        (USER.to_owned(), AuthorizedUser),
        (key(), ServiceAccount),
        (" 1//0canary-refresh_token\n".to_owned(), EarthEngineFile),
        (format!("1/canary{}", "x".repeat(40)), EarthEngineFile),
        // A form that Google does not issue today.
        (
            r#"{"refresh_token": "canary-of-another-form"}"#.to_owned(),
            EarthEngineFile,
        ),
    ] {
        let environment = Environment::empty().with_var(EARTHENGINE_TOKEN, text);
        assert_eq!(found(environment).await, (kind, "env:EARTHENGINE_TOKEN"));
    }
}

#[tokio::test]
async fn other_text_in_the_variable_is_an_error() {
    let jwt = "eyJhbGciOiJSUzI1NiJ9.eyJjYW5hcnki.canary";
    for (text, noun) in [
        ("ya29.canary", "access token"),
        ("Bearer ya29.canary", "access token"),
        (jwt, "JSON Web Token"),
        ("/home/canary/key.json", "path"),
        ("C:\\canary\\key.json", "path"),
        ("-----BEGIN PRIVATE KEY-----\ncanary", "PEM"),
        ("eyJjYW5hcnki", "truncated"),
        ("H4sIAcanary", "compressed"),
        ("two canary words", "neither JSON nor a refresh token"),
        ("canary", "neither JSON nor a refresh token"),
        ("1//0canary cut", "no refresh token has"),
        ("1//0canary\",", "no refresh token has"),
        ("undefined", "the word \"undefined\""),
        ("'null'", "the word \"null\""),
        ("None", "the word \"None\""),
        ("***", "a masked secret"),
        ("${{ secrets.canary }}", "${{ … }}, which was not replaced"),
        ("$EE_TOKEN", "$EE_TOKEN, which was not expanded"),
        ("%EE_TOKEN%", "%EE_TOKEN%, which was not expanded"),
        ("$(cat canary.json)", "a command"),
        ("<canary>", "a placeholder"),
        ("op://canary/item", "a secret store"),
        ("EARTHENGINE_TOKEN=1//canary", "the name of a variable"),
        (
            "{type: authorized_user, refresh_token: 1//canary}",
            "double quotation marks",
        ),
        ("{'refresh_token': '1//canary'}", "double quotation marks"),
        ("{\"refresh_token\": \"1//canary\"", "truncated"),
        (
            r#"{"refresh_token": "undefined"}"#,
            "`refresh_token` is the word",
        ),
        (
            r#"{"refresh_token": "***"}"#,
            "`refresh_token` is a masked secret",
        ),
        (
            r#"{"refresh_token": "${EE_TOKEN}"}"#,
            "`refresh_token` is ${EE_TOKEN}",
        ),
        (
            r#"{"refresh_token": "1//can ary"}"#,
            "`refresh_token` contains a space",
        ),
        (
            r#"{"refresh_token": "{\"refresh_token\": \"1//canary\"}"}"#,
            "`refresh_token` contains JSON",
        ),
        (
            r#"{"refresh_token": "{"refresh_token": "1//canary"}"}"#,
            "a field contains JSON",
        ),
        (r#"{"project": "p"}"#, "refresh_token"),
        (r#"{"type": "wizard", "x": "canary"}"#, "wizard"),
    ] {
        let error = broken(Environment::empty().with_var(EARTHENGINE_TOKEN, text)).await;
        let message = error.to_string();
        assert!(
            message.contains(EARTHENGINE_TOKEN) && message.contains(noun),
            "{text}: {message}"
        );
        assert_eq!(error.search_steps()[1].outcome.as_str(), "invalid");
        assert_eq!(error.search_steps()[2].outcome, SearchOutcome::Skipped);
    }
}

#[tokio::test]
async fn mangled_credentials_are_restored_everywhere() {
    use base64::Engine as _;
    let encoded = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    for text in [USER.to_owned(), key()] {
        let kind = CredentialOptions::default();
        let kind = Credentials::from_json(&text, &kind).unwrap().kind();
        for text in [
            format!("'{text}'"),
            format!("\u{feff}\"{text}\"\r\n"),
            encoded(&text),
            encoded(&encoded(&text)),
            serde_json::Value::from(text.as_str()).to_string(),
            text.replace("\\n", "\n"),
            text.replace("\\n", "\r\n"),
        ] {
            let home = Home::new();
            let path = home.file("key.json", &text);
            let environment = home.environment();
            for environment in [
                environment.clone().with_var(EARTHENGINE_TOKEN, &text),
                environment.with_var(APPLICATION_CREDENTIALS, path.to_str().unwrap()),
            ] {
                assert_eq!(found(environment).await.0, kind, "{text}");
            }
            Credentials::from_json(&text, &CredentialOptions::default()).unwrap();
            let home = Home::new();
            home.adc(&text);
            assert_eq!(found(home.environment()).await, (kind, "gcloud_adc"));
        }
    }
}

#[tokio::test]
async fn login_file_without_a_login_is_skipped() {
    let home = Home::new();
    home.adc(USER);
    for text in [
        r#"{"project": "p"}"#,
        "{}",
        r#"{"refresh_token": "", "account": "a"}"#,
        r#"{"access_token": "ya29.x", "expires_in": 3599}"#,
    ] {
        home.earthengine(text);
        let found = search(home.environment()).find().await.unwrap();
        assert_eq!(found.credentials.source(), CredentialSource::GcloudAdc);
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
    let named = |path: &str| home.environment().with_var(APPLICATION_CREDENTIALS, path);
    let error = broken(named("/nowhere/at/all.json")).await;
    let message = error.to_string();
    assert!(message.contains("/nowhere/at/all.json"), "{message}");
    assert!(message.contains(APPLICATION_CREDENTIALS), "{message}");
    for empty in ["", "  "] {
        assert_eq!(found(named(empty)).await.1, "gcloud_adc");
    }
}

/// An inaccessible location is skipped with a warning.
#[cfg(unix)]
#[tokio::test]
async fn inaccessible_location_is_skipped_with_a_warning() {
    use crate::input::file::faults::{Fault, inject};
    use rustix::io::Errno;
    use std::os::unix::fs::symlink;
    for (location, make) in [
        (ADC_FILE, None),
        (LOGIN_FILE, None),
        (LOGIN_FILE, Some(Errno::ACCESS)),
        (ADC_FILE, Some(Errno::NAMETOOLONG)),
    ] {
        for is_link in [false, true] {
            let home = Home::new();
            let path = home.file(location, "");
            fs::remove_file(&path).unwrap();
            let mut fault = None;
            match make {
                Some(errno) => fault = Some(inject(&path, Fault::Error(errno.raw_os_error()))),
                None if is_link => symlink(&path, &path).unwrap(),
                None => fs::create_dir(&path).unwrap(),
            }
            let key_file = home.file("key.json", key());
            let environment = home.environment();
            let error = search(environment.clone()).find().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NoCredentials);
            assert!(
                error.to_string().contains(path.to_str().unwrap()),
                "{error}"
            );
            let named = environment.clone().with_var(EARTHENGINE_TOKEN, key());
            assert!(warning_codes(named).await.is_empty());
            let named = environment
                .clone()
                .with_var(APPLICATION_CREDENTIALS, key_file.to_str().unwrap());
            let is_before = location == LOGIN_FILE;
            let expected = vec!["location_inaccessible"; usize::from(is_before)];
            assert_eq!(warning_codes(named).await, expected);
            // Named explicitly, it is an error.
            for variable in [APPLICATION_CREDENTIALS, "EE_CONFIG_FILE"] {
                let named = environment
                    .clone()
                    .with_var(variable, path.to_str().unwrap());
                let error = broken(named).await;
                assert_eq!(error.kind(), ErrorKind::InvalidFile, "{error}");
            }
            drop(fault);
        }
    }
    // A file that exists and cannot be read is an error.
    let home = Home::new();
    let path = home.earthengine(LOGIN);
    let _fault = inject(&path, Fault::OpenError(Errno::ACCESS.raw_os_error()));
    let error = broken(home.environment()).await;
    assert!(error.to_string().contains("permission"), "{error}");
}

#[tokio::test]
async fn search_is_restricted_to_the_named_sources() {
    const ALL: &str = "env:EARTHENGINE_TOKEN,earthengine_file,env:GOOGLE_APPLICATION_CREDENTIALS,gcloud_adc,metadata_server";
    let home = Home::new();
    home.earthengine(LOGIN);
    home.adc(USER);
    let key_file = home.file("key.json", key());
    let environment = home
        .environment()
        .with_var(EARTHENGINE_TOKEN, key())
        .with_var(APPLICATION_CREDENTIALS, key_file.to_str().unwrap());
    let restricted = |names: &str| environment.clone().with_var(CREDENTIALS_SOURCE, names);
    for (names, origin) in [
        (" ", "env:EARTHENGINE_TOKEN"),
        (ALL, "env:EARTHENGINE_TOKEN"),
        ("gcloud_adc", "gcloud_adc"),
        ("metadata_server, gcloud_adc", "gcloud_adc"),
        ("gcloud_adc,earthengine_file", "earthengine_file"),
        (
            APPLICATION_CREDENTIALS,
            "env:GOOGLE_APPLICATION_CREDENTIALS",
        ),
    ] {
        assert_eq!(found(restricted(names)).await.1, origin, "{names}");
    }
    let error = broken(restricted("metadata_server")).await;
    assert_eq!(error.kind(), ErrorKind::NoCredentials);
    assert!(error.to_string().contains(CREDENTIALS_SOURCE), "{error}");
    let step = error.search_steps()[2].to_string();
    assert!(
        step.contains("excluded by EARTHENGINE_CREDENTIALS_SOURCE=metadata_server"),
        "{step}"
    );
    for unknown in ["adc", "flag", "metadata_server,,", ","] {
        let error = search(restricted(unknown)).find().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidEnvironment, "{unknown}");
        assert!(error.remedy().text.contains("metadata_server"));
        // Credentials from the caller need no search.
        let given = search(restricted(unknown)).with_json(USER);
        assert_eq!(source_of(given).await, CredentialSource::Explicit);
    }
    let given = search(restricted("metadata_server")).with_sources([CredentialSource::GcloudAdc]);
    assert_eq!(source_of(given).await, CredentialSource::GcloudAdc);
}

#[tokio::test]
async fn unused_credentials_are_named_if_there_are_no_others() {
    let home = Home::new();
    home.file(
        ".config/gcloud/configurations/config_default",
        "[core]\naccount = jane@example.com\n",
    );
    let environment = home
        .environment()
        .with_var("GOOGLE_CREDENTIALS", key())
        .with_var(APPLICATION_CREDENTIALS, "");
    let error = broken(environment).await;
    let message = error.to_string();
    for fact in [
        "gcloud is logged in as jane@example.com",
        "GOOGLE_CREDENTIALS is set, but not used",
    ] {
        assert!(message.contains(fact), "{message}");
    }
    let remedy = error.remedy();
    let command = remedy.command.as_deref().unwrap();
    assert!(
        command.starts_with("gcloud auth application-default login"),
        "{command}"
    );
    assert!(remedy.text.contains(EARTHENGINE_TOKEN), "{remedy}");
    assert_eq!(
        error.search_steps()[3].to_string(),
        "GOOGLE_APPLICATION_CREDENTIALS: set, but empty"
    );
}

#[tokio::test]
async fn quota_project_of_the_variable_overrides_the_credentials() {
    let with = |project: &str| {
        let mut file: serde_json::Value = serde_json::from_str(USER).unwrap();
        file["quota_project_id"] = json!(project);
        file.to_string()
    };
    for (file, variable, own, expected) in [
        ("theirs", "", "", Some("theirs")),
        ("projects/theirs", "", "", Some("theirs")),
        ("theirs", "variable", "", Some("variable")),
        ("", "variable", "", Some("variable")),
        ("theirs", "variable", "caller", Some("caller")),
        // The project of a Google SDK is never billed.
        ("theirs", "764086051850", "", Some("theirs")),
        ("", "", "", None),
    ] {
        let mut options = CredentialOptions::default();
        if !own.is_empty() {
            options = options.quota_project(own);
        }
        let environment = Environment::empty()
            .with_var("GOOGLE_CLOUD_QUOTA_PROJECT", variable)
            .with_var(EARTHENGINE_TOKEN, with(file));
        let found = Search::new(environment.clone(), options.clone())
            .find()
            .await
            .unwrap();
        assert_eq!(found.credentials.quota_project(), expected);
        let options = options.environment(environment);
        let read = Credentials::from_json(&with(file), &options).unwrap();
        assert_eq!(read.quota_project(), expected);
    }
}

#[tokio::test]
async fn ignored_variable_is_a_warning() {
    let home = Home::new();
    home.earthengine(LOGIN);
    let environment = home
        .environment()
        .with_var(APPLICATION_CREDENTIALS, "/k.json");
    assert_eq!(warning_codes(environment).await, ["env_var_ignored"]);
}

#[cfg(unix)]
#[tokio::test]
async fn world_readable_file_is_a_warning() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    let path = home.adc(USER);
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    let codes = warning_codes(home.environment()).await;
    assert_eq!(codes, ["insecure_permissions"]);
}

#[tokio::test]
async fn metadata_server_is_searched_last() {
    let emulator = ee_emulator::Emulator::builder()
        .metadata_server("vm@x", "ee-demo-project", &["cloud-platform"])
        .start()
        .await
        .unwrap();
    let options = options(&emulator);
    let home = Home::new();
    let environment = home.environment().with_metadata_probe(true);
    let search = Search::new(environment, options);
    let found = search.find().await.unwrap();
    assert_eq!(found.credentials.kind(), MetadataServer);
    emulator.clear_requests();
    home.adc(USER);
    search.find().await.unwrap();
    assert!(emulator.requests().is_empty(), "a file costs no request");
}
