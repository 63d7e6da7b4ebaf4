use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use ee_emulator::{Emulator, Fault};
use ee_token::{Endpoints, ErrorKind as Token};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::Environment;
use crate::kinds::external_account::config::{AWS4_REQUEST, MTLS};
use crate::options::options;
use crate::{Credentials, ErrorKind};

mod aws;
mod certificate;
mod executable;
mod fields;
mod impersonation;
mod metadata_server;
mod url;
mod url_rules;

const AUDIENCE: &str = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/p/providers/i";
const WORKFORCE: &str = "//iam.googleapis.com/locations/global/workforcePools/p/providers/i";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ROBOT: &str = "robot@ee-demo-project.iam.gserviceaccount.com";
const STS: &str = "sts.googleapis.com";
const IMDS: &str = "169.254.169.254";

/// A machine with a subject token that its pool accepts.
struct Machine {
    emulator: Emulator,
    dir: TempDir,
    token: String,
    environment: Environment,
}

impl Machine {
    async fn new() -> Self {
        let emulator = Emulator::start().await.unwrap();
        let provider = emulator.create_oidc_provider(AUDIENCE);
        emulator.create_service_account(ROBOT, "ee-demo-project");
        emulator.allow_impersonation(&provider.principal("me"), ROBOT);
        Self {
            token: provider.subject_token("me"),
            emulator,
            dir: tempfile::tempdir().unwrap(),
            environment: Environment::empty(),
        }
    }

    fn set(&mut self, name: &str, value: &str) {
        self.environment = self.environment.clone().with_var(name, value);
    }

    fn allow_executables(&mut self) {
        self.set("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1");
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn options(&self) -> CredentialOptions {
        options(&self.emulator).environment(self.environment.clone())
    }

    fn load(&self, account: &Value) -> Result<Credentials, Error> {
        Credentials::from_json(&account.to_string(), &self.options())
    }

    /// Checks that a token is obtained with this source of subject tokens.
    async fn check_source(&self, source: Value) {
        let credentials = self.load(&account(source)).unwrap();
        credentials.token().await.unwrap();
    }

    /// Returns the error of a token request that sends nothing to Google.
    async fn token_error(&self, source: Value) -> ee_token::Error {
        let credentials = self.load(&account(source)).unwrap();
        let error = credentials.token().await.unwrap_err();
        assert!(self.emulator.requests_to(STS).is_empty(), "{error}");
        let shown = format!("{error} {error:?} {credentials:?}");
        assert!(
            !shown.contains("canary") && !shown.contains(&self.token),
            "{shown}"
        );
        assert!(
            error.to_string().contains("the credential given as text"),
            "{error}"
        );
        error
    }

    fn serve(&self, fault: Fault) {
        self.emulator.fault("tokens.example.com", fault);
    }
}

fn account(source: Value) -> Value {
    json!({
        "type": "external_account", "audience": AUDIENCE, "subject_token_type": JWT,
        "token_url": "https://sts.googleapis.com/v1/token", "credential_source": source,
    })
}

fn aws_account() -> Value {
    let mut account = account(json!({
        "environment_id": "aws1",
        "region_url": "http://169.254.169.254/latest/meta-data/placement/availability-zone",
        "url": "http://169.254.169.254/latest/meta-data/iam/security-credentials",
        "regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15",
    }));
    account["subject_token_type"] = json!(AWS4_REQUEST);
    account
}

#[tokio::test]
async fn closure_supplies_the_subject_token() {
    let machine = Machine::new().await;
    let token = machine.token.clone();
    let supply = move || {
        let token = token.clone();
        async move { Ok(SecretString::from(token)) }
    };
    let account = ExternalAccountConfig::new(AUDIENCE, JWT).impersonate(ROBOT);
    let credentials =
        Credentials::from_subject_token(account, supply.clone(), &machine.options()).unwrap();
    credentials.token().await.unwrap();
    assert_eq!(credentials.principal(), Some(ROBOT));

    let iam = "https://iam.example/".parse().unwrap();
    let endpoints = Endpoints::google().with_url(Endpoint::IamCredentials, iam);
    let options = CredentialOptions::new(HttpClient::new(endpoints));
    let account = ExternalAccountConfig::new(AUDIENCE, JWT).impersonate(ROBOT);
    let impersonation = Impersonation::new(&account, &Location::InMemory, &options).unwrap();
    assert_eq!(impersonation.unwrap().url.host_str(), Some("iam.example"));

    let too_short =
        ExternalAccountConfig::new(AUDIENCE, JWT).token_lifetime(Duration::from_secs(5));
    let wrong_pool = ExternalAccountConfig::new(AUDIENCE, JWT).workforce_user_project("p");
    for account in [
        ExternalAccountConfig::new(" ", JWT),
        ExternalAccountConfig::new(AUDIENCE, "x"),
        ExternalAccountConfig::new(AUDIENCE, JWT).impersonate("robot"),
        ExternalAccountConfig::new(AUDIENCE, JWT).impersonate(format!("../../{ROBOT}")),
        too_short,
        wrong_pool,
    ] {
        let error = Credentials::from_subject_token(account, supply.clone(), &machine.options())
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidFile);
    }
}

#[tokio::test]
async fn renewed_token_file_ends_the_rejection() {
    let machine = Machine::new().await;
    let provider = machine.emulator.create_oidc_provider(AUDIENCE);
    let path = machine.file("token", &provider.subject_token_expiring_in("me", -60));
    let file = machine.file(
        "account.json",
        &account(json!({ "file": path })).to_string(),
    );
    let credentials = Credentials::from_file(file, &machine.options()).unwrap();
    let error = credentials.token().await.unwrap_err();
    assert_eq!(error.kind(), Token::Rejected);
    assert!(error.to_string().contains(AUDIENCE), "{error}");
    assert!(error.remedy().text.contains("expired"), "{error}");
    assert!(!format!("{error:?}").contains("eyJ"));
    credentials.token().await.unwrap_err();
    assert_eq!(machine.emulator.requests_to(STS).len(), 1);
    fs::remove_file(&path).unwrap();
    machine.file("token", &format!("{} ", machine.token));
    credentials.token().await.unwrap();
}

#[tokio::test]
async fn files_of_gcloud_and_github_are_accepted() {
    let machine = Machine::new().await;
    let sources = [
        json!({"file": "/var/run/service-account/token"}),
        json!({"file": "/t", "format": {"type": "json", "subject_token_field_name": "id"}}),
        json!({"executable": {"command": "/opt/bin/token", "timeout_millis": 5000, "output_file": "/t"}}),
        json!({"url": "https://idp.example.com/token", "headers": {"Authorization": "Bearer x"}}),
        json!({"url": "http://localhost:5000/token", "format": {"type": "text"}}),
        json!({"url": "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/i",
            "headers": {"Metadata": "True"}, "format": {"type": "json", "subject_token_field_name": "access_token"}}),
        json!({"url": "https://run-actions-1-azure-eastus.actions.githubusercontent.com/12//idtoken/a/b?api-version=2.0&audience=https%3A%2F%2Fiam.googleapis.com%2Fprojects%2F1",
            "headers": {"Authorization": "Bearer x"}, "format": {"type": "json", "subject_token_field_name": "value"}}),
    ];
    let aws = aws_account();
    let mut with_session = aws.clone();
    with_session["credential_source"]["imdsv2_session_token_url"] =
        json!("http://169.254.169.254/latest/api/token");
    let mut over_ipv6 = with_session.clone();
    for (field, path) in [
        ("url", "meta-data/iam/security-credentials"),
        ("region_url", "meta-data/placement/availability-zone"),
        ("imdsv2_session_token_url", "api/token"),
    ] {
        over_ipv6["credential_source"][field] =
            json!(format!("http://[fd00:ec2::254]/latest/{path}"));
    }
    let mut x509 = account(json!({"certificate": {"use_default_certificate_config": true}}));
    x509["subject_token_type"] = json!(MTLS);
    x509["token_url"] = json!("https://sts.mtls.googleapis.com/v1/token");
    let files = sources.map(account);
    for file in files
        .into_iter()
        .chain([aws, with_session, over_ipv6, x509])
    {
        for token_url in [
            file["token_url"].as_str().unwrap(),
            "https://sts.us-central1.rep.googleapis.com/v1/token",
            "https://sts.eu.rep.googleapis.com/v1/token",
        ] {
            for email in [None, Some(ROBOT), Some("112233445566778899001")] {
                let mut file = file.clone();
                file["universe_domain"] = json!("googleapis.com");
                file["token_url"] = json!(token_url);
                file["token_info_url"] = json!("https://sts.googleapis.com/v1/introspect");
                if let Some(email) = email {
                    file["service_account_impersonation_url"] = json!(format!(
                        "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{email}:generateAccessToken"
                    ));
                }
                if let Err(error) = machine.load(&file) {
                    panic!("{error}: {file}");
                }
            }
        }
    }
}

#[tokio::test]
async fn token_file_without_a_token_is_named() {
    let machine = Machine::new().await;
    let format = json!({"type": "json", "subject_token_field_name": "id"});
    for (text, named) in [
        ("", "empty"),
        ("<html>canary", "HTML"),
        ("canary", "not JSON"),
        ("{}", "`id`"),
        (r#"{"id": ["canary"]}"#, "`id`"),
    ] {
        let path = machine.file("token", text);
        let error = machine
            .token_error(json!({"file": path, "format": format}))
            .await;
        assert!(
            error.to_string().contains(named) && error.to_string().contains("token"),
            "{error}"
        );
    }
    let error = machine
        .token_error(json!({"file": "/nowhere/at/all"}))
        .await;
    assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
}

#[tokio::test]
async fn workforce_pool_sends_its_project_or_client() {
    let machine = Machine::new().await;
    let provider = machine.emulator.create_oidc_provider(WORKFORCE);
    let path = machine.file("token", &provider.subject_token("jane"));
    let mut account = account(json!({ "file": path }));
    account["audience"] = json!(WORKFORCE);
    account["workforce_pool_user_project"] = json!(123456789012_u64);
    let credentials = machine.load(&account).unwrap();
    credentials.token().await.unwrap();
    assert_eq!(credentials.project(), Some("123456789012"));
    let form = machine.emulator.requests()[0].form();
    assert_eq!(
        form["options"],
        "%7B%22userProject%22%3A%22123456789012%22%7D"
    );
    account["client_id"] = json!("1-x");
    account["client_secret"] = json!("canary");
    let error = machine.load(&account).unwrap().token().await.unwrap_err();
    assert!(error.remedy().text.contains("client_id"), "{error}");
    assert!(!format!("{error:?}").contains("canary"));
    let request = &machine.emulator.requests()[1];
    assert!(
        request
            .header("authorization")
            .unwrap()
            .starts_with("Basic ")
    );
    assert!(!request.form().contains_key("options"));
}
