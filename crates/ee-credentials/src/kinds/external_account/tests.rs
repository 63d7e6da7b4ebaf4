use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ee_emulator::{AwsKey, Emulator, Fault};
use ee_token::{Endpoint, Endpoints, ErrorKind as Token, ManualClock, TokenCache};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::Environment;
use crate::kinds::external_account::config::{AWS4_REQUEST, MTLS};
use crate::{Credentials, ErrorKind};

const AUDIENCE: &str = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/p/providers/i";
const WORKFORCE: &str = "//iam.googleapis.com/locations/global/workforcePools/p/providers/i";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ROBOT: &str = "robot@ee-demo-project.iam.gserviceaccount.com";
const STS: &str = "sts.googleapis.com";
const IMDS: &str = "169.254.169.254";

/// A machine whose pool believes `token`.
struct Machine {
    emulator: Emulator,
    folder: TempDir,
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
            folder: tempfile::tempdir().unwrap(),
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
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn options(&self) -> CredentialOptions {
        let endpoints = Endpoints::emulator(self.emulator.address()).unwrap();
        CredentialOptions::new(HttpClient::new(endpoints)).environment(self.environment.clone())
    }

    fn load(&self, account: &Value) -> Result<Credentials, Error> {
        Credentials::from_json(&account.to_string(), &self.options())
    }

    /// The error of a token that cannot be had; nothing went to Google.
    async fn refusal(&self, source: Value) -> ee_token::Error {
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

fn program(machine: &Machine, script: &str) -> Value {
    let path = machine.file("program.sh", script);
    json!({"executable": {"command": format!("/bin/sh {}", path.display()), "timeout_millis": 5000}})
}

fn aws() -> Value {
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
async fn file_token_is_exchanged_for_an_impersonated_account() {
    let machine = Machine::new().await;
    let path = machine.file("token", &format!("{}\n", machine.token));
    let mut account = account(json!({ "file": path }));
    account["quota_project_id"] = json!("ee-demo-project");
    account["service_account_impersonation"] = json!({"token_lifetime_seconds": 1200});
    account["service_account_impersonation_url"] = json!(format!(
        "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{ROBOT}:generateAccessToken"
    ));
    let credentials = machine.load(&account).unwrap();
    assert_eq!(credentials.kind(), CredentialKind::ExternalAccount);
    assert_eq!(credentials.principal(), Some(ROBOT));
    assert_eq!(credentials.project(), Some("123456789012"));
    assert_eq!(credentials.quota_project(), Some("ee-demo-project"));
    let token = credentials.token().await.unwrap();
    let left = token.expires_at().unwrap() - chrono::Utc::now();
    assert!((1000..=1200).contains(&left.num_seconds()), "{left}");

    let requests = machine.emulator.requests();
    let form = requests[0].form();
    assert_eq!(form["scope"], "https://www.googleapis.com/auth/iam");
    assert_eq!(form["subject_token"], machine.token);
    assert_eq!(requests[1].json()["lifetime"], "1200s");
    assert_eq!(
        requests[1].header("x-goog-user-project"),
        Some("ee-demo-project")
    );
    assert_eq!(requests.len(), 2);
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
    let own = Endpoints::google().with_url(Endpoint::IamCredentials, iam);
    let elsewhere = CredentialOptions::new(HttpClient::new(own));
    let account = ExternalAccountConfig::new(AUDIENCE, JWT).impersonate(ROBOT);
    let impersonation = Impersonation::new(&account, &Location::InMemory, &elsewhere).unwrap();
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
    assert!(error.remedy().unwrap().text.contains("expired"), "{error}");
    assert!(!format!("{error:?}").contains("eyJ"));
    credentials.token().await.unwrap_err();
    assert_eq!(machine.emulator.requests_to(STS).len(), 1);
    fs::remove_file(&path).unwrap();
    machine.file("token", &format!("{} ", machine.token));
    credentials.token().await.unwrap();
}

#[tokio::test]
async fn granted_role_ends_the_federated_rejection() {
    let machine = Machine::new().await;
    const OTHER: &str = "other@ee-demo-project.iam.gserviceaccount.com";
    machine
        .emulator
        .create_service_account(OTHER, "ee-demo-project");
    let path = machine.file("token", &machine.token);
    let mut file = account(json!({ "file": path }));
    file["service_account_impersonation_url"] = json!(format!(
        "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{OTHER}:generateAccessToken"
    ));
    let text = file.to_string();
    let object = JsonObject::parse(&text, &Location::InMemory).unwrap();
    let source = load(&object, &machine.options()).unwrap().source;
    let clock = ManualClock::new();
    let tokens = TokenCache::with_clock(source, &clock);
    for _ in 0..2 {
        let error = tokens.token().await.unwrap_err();
        assert_eq!(error.kind(), Token::Rejected);
    }
    assert_eq!(machine.emulator.requests_to(STS).len(), 1);
    let provider = machine.emulator.create_oidc_provider(AUDIENCE);
    machine
        .emulator
        .allow_impersonation(&provider.principal("me"), OTHER);
    clock.advance(Duration::from_secs(60));
    tokens.token().await.unwrap();
}

#[tokio::test]
async fn invalid_external_account_fields_are_named() {
    let machine = Machine::new().await;
    let whole = account(json!({"file": "/x"}));
    for field in [
        "audience",
        "subject_token_type",
        "token_url",
        "credential_source",
    ] {
        for bad in [json!(null), json!(""), json!(["canary"]), json!(5)] {
            let mut account = whole.clone();
            account[field] = bad;
            let error = machine.load(&account).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidFile);
            assert!(error.to_string().contains(&format!("`{field}`")), "{error}");
            assert!(!format!("{error:?}").contains("canary"));
        }
    }
    for (field, bad) in [
        ("service_account_impersonation_url", json!(5)),
        (
            "service_account_impersonation_url",
            json!("https://iamcredentials.googleapis.com/x"),
        ),
        // It would stand in a command that people paste.
        (
            "service_account_impersonation_url",
            json!("https://iamcredentials.googleapis.com/x;id:generateAccessToken"),
        ),
        ("service_account_impersonation", json!("canary")),
        (
            "service_account_impersonation",
            json!({"token_lifetime_seconds": "canary"}),
        ),
        (
            "service_account_impersonation",
            json!({"token_lifetime_seconds": 5}),
        ),
        ("client_id", json!(["canary"])),
        ("client_secret", json!("canary")),
        ("quota_project_id", json!({})),
        ("workforce_pool_user_project", json!("p")),
        ("subject_token_type", json!("urn:wizard")),
        ("subject_token_type", json!(MTLS)),
    ] {
        let mut account = whole.clone();
        account[field] = bad.clone();
        let error = machine.load(&account).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidFile, "{error}");
        let named = match field {
            "client_secret" => "client_id",
            _ if bad.is_object() && field != "quota_project_id" => "token_lifetime_seconds",
            field => field,
        };
        assert!(error.to_string().contains(named), "{field}: {error}");
        assert!(!format!("{error:?}").contains("canary"));
    }
    assert!(machine.emulator.requests().is_empty());
}

#[tokio::test]
async fn invalid_credential_source_is_named_without_a_request() {
    let machine = Machine::new().await;
    for (source, named) in [
        (json!({}), "one of the fields"),
        (json!({"file": ""}), "`file`"),
        (json!({"file": 5}), "`file`"),
        (
            json!({"file": "/x", "url": "https://x.example/"}),
            "exclude",
        ),
        (json!({"file": "/x", "executable": {}}), "exclude"),
        (json!({"file": "/x", "format": "json"}), "`format`"),
        (json!({"file": "/x", "format": {"type": "xml"}}), "`type`"),
        (
            json!({"file": "/x", "format": {"type": "json"}}),
            "`subject_token_field_name`",
        ),
        (json!({"url": "here"}), "`url`"),
        (
            json!({"url": "https://x.example/", "headers": {"a b": "canary"}}),
            "`a b`",
        ),
        (
            json!({"url": "https://x.example/", "headers": {"a": "can\nary"}}),
            "`a`",
        ),
        (
            json!({"url": "https://x.example/", "headers": ["canary"]}),
            "`headers`",
        ),
        (json!({"executable": "canary"}), "`executable`"),
        (json!({"executable": {}}), "`command`"),
        (json!({"executable": {"command": "'canary"}}), "`command`"),
        (json!({"executable": {"command": "''"}}), "`command`"),
        (
            json!({"executable": {"command": "x", "timeout_millis": 4999}}),
            "`timeout_millis`",
        ),
        (
            json!({"executable": {"command": "x", "timeout_millis": 120001}}),
            "`timeout_millis`",
        ),
        (
            json!({"executable": {"command": "x", "timeout_millis": "canary"}}),
            "`timeout_millis`",
        ),
        (json!({"certificate": {}}), "`certificate_config_location`"),
        (
            json!({"certificate": {"use_default_certificate_config": "canary"}}),
            "true or false",
        ),
        (
            json!({"certificate": {"use_default_certificate_config": true, "certificate_config_location": "/x"}}),
            "certificate_config_location",
        ),
        (json!({"environment_id": "aws2"}), "`environment_id`"),
        (
            json!({"environment_id": "aws1"}),
            "`regional_cred_verification_url`",
        ),
    ] {
        let error = machine.load(&account(source)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidFile, "{error}");
        assert!(error.to_string().contains(named), "{named}: {error}");
        assert!(!format!("{error:?}").contains("canary"));
    }
    assert!(machine.emulator.requests().is_empty());
}

#[tokio::test]
async fn disallowed_hosts_are_named_with_their_field() {
    let machine = Machine::new().await;
    let mut accounts = Vec::new();
    for (field, url) in [
        ("token_url", "https://evil.example/v1/token"),
        ("token_url", "http://sts.googleapis.com/v1/token"),
        (
            "service_account_impersonation_url",
            "https://evil.example/x:generateAccessToken",
        ),
    ] {
        let mut account = account(json!({"file": "/x"}));
        account[field] = json!(url);
        accounts.push((account, field));
    }
    for (field, url) in [
        ("url", "http://evil.example/latest"),
        ("region_url", "http://127.0.0.1/x"),
        ("imdsv2_session_token_url", "http://169.254.169.253/x"),
        (
            "regional_cred_verification_url",
            "https://sts.{region}.evil.example",
        ),
        (
            "regional_cred_verification_url",
            "http://sts.{region}.amazonaws.com",
        ),
    ] {
        let mut account = aws();
        account["credential_source"][field] = json!(url);
        accounts.push((account, field));
    }
    for url in [
        "http://tokens.example.com/",
        "https://me:canary@tokens.example.com/",
        "ftp://x.example/",
    ] {
        accounts.push((account(json!({"url": url})), "url"));
    }
    for (account, field) in accounts {
        let error = machine.load(&account).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DisallowedHost, "{error}");
        assert!(error.to_string().contains(&format!("`{field}`")), "{error}");
        assert!(error.remedy().is_some() && !format!("{error:?}").contains("canary"));
    }
    assert!(machine.emulator.requests().is_empty());
    let mut allowed = account(json!({"file": "/x"}));
    allowed["token_url"] = json!("https://sts.example.com/token");
    let options = machine.options().allow_host("sts.example.com");
    Credentials::from_json(&allowed.to_string(), &options).unwrap();
    let mut amazon = aws();
    amazon["credential_source"]["regional_cred_verification_url"] =
        json!("https://sts.{region}.example.com");
    for host in ["STS.us-east-1.example.com", "sts.us-east-1.example.com:443"] {
        let options = machine.options().allow_host(host);
        Credentials::from_json(&amazon.to_string(), &options).unwrap();
    }
    // Permission for a host is no permission for a region that leads elsewhere.
    let environment = Environment::empty()
        .with_var("AWS_REGION", "us-west-2")
        .with_var("AWS_ACCESS_KEY_ID", "AKIAX")
        .with_var("AWS_SECRET_ACCESS_KEY", "canary");
    let options = machine.options().environment(environment);
    let options = options.allow_host("sts.us-east-1.example.com");
    let credentials = Credentials::from_json(&amazon.to_string(), &options).unwrap();
    let error = credentials.token().await.unwrap_err();
    assert!(
        error.to_string().contains("sts.us-west-2.example.com"),
        "{error}"
    );
    assert!(machine.emulator.requests().is_empty());
    allowed["universe_domain"] = json!("example.net");
    let error = Credentials::from_json(&allowed.to_string(), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedUniverse);
    let error = Credentials::from_json(
        &account(json!({"file": "/x"})).to_string(),
        &options.subject("a@b"),
    )
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidOptions);
}

/// URLs at which somebody other than the user receives or stores what is sent.
const HOSTILE: &[&str] = &[
    "https://storage.googleapis.com/upload/storage/v1/b/bucket/o?uploadType=media&name=x",
    "https://storage.googleapis.com/v1/token",
    "https://bucket.storage.googleapis.com/v1/token",
    "https://sts.storage.googleapis.com/v1/token",
    "https://iamcredentials.storage.googleapis.com/v1/projects/-/serviceAccounts/a@b.example:generateAccessToken",
    "https://storage.mtls.googleapis.com/v1/token",
    "https://storage.us-east1.rep.googleapis.com/v1/token",
    "https://firebasestorage.googleapis.com/v0/b/bucket/o?name=x",
    "https://my-app.firebaseio.com/x.json",
    "https://my-app-uc.a.run.app/v1/token",
    "https://us-central1-my-project.cloudfunctions.net/v1/token",
    "https://my-app.appspot.com/v1/token",
    "https://my-app.web.app/v1/token",
    "https://script.google.com/macros/s/x/exec",
    "https://sites.google.com/v1/token",
    "https://bigquery.googleapis.com/upload/bigquery/v2/projects/p/jobs",
    "https://logging.googleapis.com/v2/entries:write",
    "https://pubsub.googleapis.com/v1/projects/p/topics/t:publish",
    "https://www.googleapis.com/upload/drive/v3/files?uploadType=media",
    "https://content-storage.googleapis.com/v1/token",
    "https://evil.p.googleapis.com/v1/token",
    "https://storage-evil.p.googleapis.com/v1/token",
    "https://sts.evil.p.googleapis.com/v1/token",
    "https://sts.googleapis.com.evil.example/v1/token",
    "https://sts.googleapis.com@evil.example/v1/token",
    "https://evil.example/sts.googleapis.com/v1/token",
    "https://sts.googleapis.com/v1/../../upload",
    "https://accounts.google.com/v1/token",
    "https://sts.s3.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15",
    "https://sts.{region}.s3.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15",
    "https://abc.execute-api.us-east-1.amazonaws.com/?Action=GetCallerIdentity",
    "https://sts.us-east-1.amazonaws.com/?Action=AssumeRole",
];

#[tokio::test]
async fn hostile_urls_are_rejected_in_every_field() {
    let machine = Machine::new().await;
    let path = machine.file("secret", "canary");
    let workforce = machine.emulator.create_workforce_user("jane").json();
    let workforce: Value = serde_json::from_str(&workforce).unwrap();
    let mut file = account(json!({ "file": path }));
    file["service_account_impersonation_url"] = json!(format!(
        "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{ROBOT}:generateAccessToken"
    ));
    let key = machine
        .emulator
        .create_service_account(
            "key@ee-demo-project.iam.gserviceaccount.com",
            "ee-demo-project",
        )
        .json_key();
    let key: Value = serde_json::from_str(&key).unwrap();
    let impersonated = json!({
        "type": "impersonated_service_account",
        "service_account_impersonation_url": file["service_account_impersonation_url"],
        "source_credentials": file,
    });
    let fields = [
        (&file, "/token_url"),
        (&file, "/service_account_impersonation_url"),
        (&aws(), "/token_url"),
        (&aws(), "/credential_source/regional_cred_verification_url"),
        (&aws(), "/credential_source/url"),
        (&aws(), "/credential_source/region_url"),
        (&workforce, "/token_url"),
        (&key, "/token_uri"),
        (&impersonated, "/service_account_impersonation_url"),
        (&impersonated, "/source_credentials/token_url"),
        (
            &impersonated,
            "/source_credentials/service_account_impersonation_url",
        ),
    ];
    for (whole, pointer) in fields {
        machine.load(whole).unwrap();
        for url in HOSTILE {
            let mut file = whole.clone();
            match file.pointer_mut(pointer) {
                Some(field) => *field = json!(url),
                None => panic!("{pointer}"),
            }
            let error = machine.load(&file).unwrap_err();
            let field = pointer.rsplit('/').next().unwrap();
            assert!(error.to_string().contains(&format!("`{field}`")), "{error}");
            let refused = [ErrorKind::DisallowedHost, ErrorKind::InvalidFile];
            assert!(refused.contains(&error.kind()), "{pointer}: {url}");
            assert!(error.remedy().is_some(), "{error}");
        }
    }
    assert!(machine.emulator.requests().is_empty());
}

#[tokio::test]
async fn metadata_server_is_not_a_source_of_subject_tokens() {
    let machine = Machine::new().await;
    let token = "computeMetadata/v1/instance/service-accounts/default/token";
    let mut sources = Vec::new();
    for host in [
        "http://169.254.169.254",
        "https://169.254.169.254",
        "http://2852039166",
        "http://0xa9fea9fe",
        "http://0251.0376.0251.0376",
        "http://169.254.43518",
        "http://[fd00:ec2::254]",
        "https://[::ffff:169.254.169.254]",
        "https://[::ffff:a9fe:a9fe]",
        "https://[::169.254.169.254]",
        "https://[64:ff9b::169.254.169.254]",
        "https://[2002:a9fe:a9fe::1]",
        "https://[fd20:ce::254]",
        "https://metadata.google.internal",
        "https://METADATA.google.internal.",
        "https://metadata",
        "https://metadata.",
        "https://metadata.goog",
        "https://x.google.internal",
        "https://m%65tadata.google.internal",
        "https://rebound.example",
        "http://127.0.0.1:8080",
        "http://localhost:8080",
    ] {
        for path in [
            token.to_owned(),
            format!("/{token}"),
            format!("x/../{token}"),
            format!("metadata/%2e%2e/{token}"),
            token.replace("compute", "COMPUTE"),
            token.replace("compute", "%63ompute"),
            token.replace("compute", "%2563ompute"),
            token.replace("compute", "%25%36%33ompute"),
            token.replace('/', "%2f"),
            token.replace('/', "\\"),
        ] {
            sources.push(json!({ "url": format!("{host}/{path}") }));
        }
    }
    // Whatever the path, by name or address.
    for host in [
        "metadata.google.internal",
        "Metadata.Google.Internal.",
        "metadata",
        "[fd20:ce::254]",
        "[fd20:00ce:0:0::0254]",
        "[::ffff:169.254.169.254]",
        "[::ffff:169.254.1.2]",
        "[64:ff9b::a9fe:a9fe]",
    ] {
        for path in ["", "metadata/identity", "x"] {
            sources.push(json!({ "url": format!("https://{host}/{path}") }));
        }
    }
    // Whatever the host and path, by the headers that it needs.
    for header in [
        "Metadata-Flavor",
        "metadata-flavor",
        "METADATA-FLAVOR",
        "X-Google-Metadata-Request",
    ] {
        for url in [
            "http://169.254.169.254/",
            "http://169.254.169.254/metadata/identity",
            "http://127.0.0.1:8080/x",
            "https://rebound.example/x",
        ] {
            sources.push(json!({"url": url, "headers": {"a": "b", header: "Google"}}));
        }
    }
    for source in sources {
        // It has a format that would send the token alone.
        for allowed in [None, Some("metadata.google.internal")] {
            let mut source = source.clone();
            source["format"] = json!({"type": "json", "subject_token_field_name": "access_token"});
            let mut options = machine.options();
            if let Some(host) = allowed {
                options = options.allow_host(host).allow_host("169.254.169.254");
            }
            let file = account(source.clone()).to_string();
            let error = Credentials::from_json(&file, &options).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::DisallowedHost, "{source}");
            let message = error.to_string();
            assert!(
                message.contains("`url`") && message.contains("metadata server"),
                "{message}"
            );
            assert!(error.remedy().unwrap().url.is_some());
        }
    }
    assert!(machine.emulator.requests().is_empty());
}

#[tokio::test]
async fn configured_metadata_server_is_not_a_source_either() {
    for (variable, value, url, refused) in [
        (
            "GCE_METADATA_HOST",
            "127.0.0.1:8080",
            "http://127.0.0.1:8080/x",
            true,
        ),
        (
            "GCE_METADATA_HOST",
            "127.0.0.1:8080",
            "http://localhost:8080/x",
            true,
        ),
        (
            "GCE_METADATA_HOST",
            "localhost:8080",
            "http://[::1]:8080/x",
            true,
        ),
        ("GCE_METADATA_ROOT", "127.0.0.1", "http://127.0.0.1/x", true),
        (
            "GCE_METADATA_IP",
            "md.example",
            "https://MD.example/x",
            true,
        ),
        (
            "GCE_METADATA_HOST",
            "127.0.0.1:8080",
            "http://127.0.0.1:9090/x",
            false,
        ),
        (
            "GCE_METADATA_HOST",
            "md.example",
            "https://other.example/x",
            false,
        ),
        // Azure's is at the same address.
        (
            "GCE_METADATA_IP",
            IMDS,
            "http://169.254.169.254/metadata/identity/oauth2/token",
            false,
        ),
    ] {
        let mut machine = Machine::new().await;
        machine.set(variable, value);
        let result = machine.load(&account(json!({ "url": url })));
        assert_eq!(result.is_err(), refused, "{variable}={value}: {url}");
    }
    let machine = Machine::new().await;
    let metadata = "http://127.0.0.1:8080/base/".parse().unwrap();
    let endpoints = Endpoints::google().with_url(Endpoint::MetadataServer, metadata);
    let options =
        CredentialOptions::new(HttpClient::new(endpoints)).environment(machine.environment.clone());
    for (url, refused) in [
        ("http://127.0.0.1:8080/base/x", true),
        ("http://127.0.0.1:8080/other/x", false),
    ] {
        let file = account(json!({ "url": url })).to_string();
        let result = Credentials::from_json(&file, &options);
        assert_eq!(result.is_err(), refused, "{url}");
    }
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
    let aws = aws();
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
            .refusal(json!({"file": path, "format": format}))
            .await;
        assert!(
            error.to_string().contains(named) && error.to_string().contains("token"),
            "{error}"
        );
    }
    let error = machine.refusal(json!({"file": "/nowhere/at/all"})).await;
    assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
}

#[tokio::test]
async fn retry_after_beyond_the_limit_prevents_a_retry() {
    let machine = Machine::new().await;
    machine.serve(Fault::status(503).header("Retry-After", "3600").times(5));
    let error = machine
        .refusal(json!({"url": "https://tokens.example.com/"}))
        .await;
    assert!(error.is_transient(), "{error}");
    assert_eq!(machine.emulator.requests().len(), 1);
}

#[tokio::test]
async fn url_without_a_token_is_named() {
    let machine = Machine::new().await;
    let source = json!({"url": "https://tokens.example.com/x?secret=canary", "headers": {"Authorization": "canary"}});
    let long = "x".repeat((1 << 20) + 1);
    for (fault, kind, named) in [
        (
            Fault::status(302).header("Location", "https://evil.example/"),
            Token::UnconfirmedRejection,
            "redirect",
        ),
        (
            Fault::respond(200, "text/html", "<p>canary"),
            Token::UnconfirmedRejection,
            "HTML",
        ),
        (
            Fault::respond(200, "text/plain", "<p>canary"),
            Token::UnconfirmedRejection,
            "HTML",
        ),
        (
            Fault::respond(200, "text/plain", ""),
            Token::InvalidCredential,
            "empty",
        ),
        (
            Fault::respond(200, "text/plain", vec![0xff, 0xfe]),
            Token::InvalidCredential,
            "not text",
        ),
        (
            Fault::respond(200, "text/plain", long),
            Token::InvalidResponse,
            "longer than",
        ),
        (
            Fault::status(403).body("canary"),
            Token::UnconfirmedRejection,
            "403",
        ),
    ] {
        machine.serve(fault);
        let error = machine.refusal(source.clone()).await;
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(named), "{error}");
        assert!(error.to_string().contains("tokens.example.com"), "{error}");
    }
    assert!(machine.emulator.requests_to("evil.example").is_empty());
    machine.serve(Fault::status(503));
    machine.serve(Fault::respond(200, "text/plain", machine.token.clone()));
    machine
        .load(&account(source))
        .unwrap()
        .token()
        .await
        .unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn executable_runs_only_if_allowed_and_gets_its_variables() {
    let mut machine = Machine::new().await;
    let mark = machine.folder.path().join("ran");
    let script = format!(
        "touch {mark}; set | grep GOOGLE_EXTERNAL > {mark}\necho '{{\"version\": 1, \"success\": true, \"token_type\": \"{JWT}\", \"id_token\": \"{token}\"}}'",
        mark = mark.display(),
        token = machine.token
    );
    machine.set("PATH", "/usr/bin:/bin");
    let source = program(&machine, &script);
    for unclear in ["", "0", "true"] {
        machine.set("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", unclear);
        let error = machine.refusal(source.clone()).await;
        assert!(
            error
                .to_string()
                .contains("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES"),
            "{error}"
        );
        assert!(!mark.exists());
    }
    machine.allow_executables();
    machine
        .load(&account(source))
        .unwrap()
        .token()
        .await
        .unwrap();
    let told = fs::read_to_string(&mark).unwrap();
    for (name, value) in [
        ("AUDIENCE", AUDIENCE),
        ("TOKEN_TYPE", JWT),
        ("INTERACTIVE", "0"),
        ("REVOKE", "0"),
        ("ID", ""),
    ] {
        assert!(
            told.contains(&format!("GOOGLE_EXTERNAL_ACCOUNT_{name}='{value}'")),
            "{told}"
        );
    }
    assert!(!told.contains("IMPERSONATED_EMAIL"));
}

#[cfg(unix)]
#[tokio::test]
async fn executable_without_a_token_is_named() {
    let mut machine = Machine::new().await;
    machine.allow_executables();
    machine.set("PATH", "/usr/bin:/bin");
    let failed = r#"{"version": 1, "success": false, "code": 7, "message": "no way ya29.canary"}"#;
    for (script, named) in [
        ("exit 1", "exit status: 1"),
        ("echo canary", "not JSON"),
        ("", "printed nothing"),
        ("head -c 100000000 /dev/zero", "more than 1 MiB"),
        ("printf '\\377'", "UTF-8"),
        ("echo '{}'", "`version`"),
        (r#"echo '{"version": 2}'"#, "only 1 is supported"),
        (r#"echo '{"version": 1}'"#, "`success`"),
        (r#"echo '{"version": 1, "success": "canary"}'"#, "`success`"),
        (r#"echo '{"version": 1, "success": false}'"#, "`code`"),
        (&format!("echo '{failed}'"), "no way"),
        (
            r#"echo '{"version": 1, "success": false, "code": "4\u007f\u001b[2J1", "message": "m"}'"#,
            ": 4[2J1: m",
        ),
        (r#"echo '{"version": 1, "success": true}'"#, "`token_type`"),
        (
            r#"echo '{"version": 1, "success": true, "token_type": "canary"}'"#,
            "`token_type`",
        ),
        (
            r#"echo '{"version": 1, "success": true, "token_type": "urn:ietf:params:oauth:token-type:saml2"}'"#,
            "`saml_response`",
        ),
        (
            r#"echo '{"version": 1, "success": true, "token_type": "urn:ietf:params:oauth:token-type:jwt"}'"#,
            "`id_token`",
        ),
        (
            r#"echo '{"version": 1, "success": true, "expiration_time": 5}'"#,
            "expired",
        ),
    ] {
        let error = machine.refusal(program(&machine, script)).await;
        assert_eq!(error.kind(), Token::InvalidCredential);
        assert!(error.to_string().contains(named), "{script}: {error}");
        assert!(error.to_string().contains("executable.command"), "{error}");
    }
    let error = machine
        .refusal(json!({"executable": {"command": "/nowhere/at/all"}}))
        .await;
    assert!(error.to_string().contains("cannot be run"), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn hung_executable_is_killed_with_its_children() {
    let mut machine = Machine::new().await;
    machine.allow_executables();
    machine.set("PATH", "/usr/bin:/bin");
    let pids = machine.folder.path().join("pids");
    let script = format!(
        "sleep 600 & echo $! > {0}; echo $$ >> {0}; wait",
        pids.display()
    );
    let error = machine.refusal(program(&machine, &script)).await;
    assert!(error.to_string().contains("5000 ms"), "{error}");
    let runs = |pid: &str| {
        // Killed, it may wait for somebody to collect it.
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !state.is_empty() && !state.contains(") Z")
    };
    for pid in fs::read_to_string(pids).unwrap().lines() {
        // The signal is sent; on a busy machine it takes a while to arrive.
        let until = Instant::now() + Duration::from_secs(20);
        while cfg!(target_os = "linux") && runs(pid) {
            assert!(Instant::now() < until, "{pid} still runs");
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn unexpired_output_file_is_used() {
    let mut machine = Machine::new().await;
    machine.allow_executables();
    let cached = |expires: u64| json!({"version": 1, "success": true, "token_type": JWT, "id_token": machine.token, "expiration_time": expires});
    let path = machine.file("cached", &cached(4_000_000_000).to_string());
    let source = json!({"executable": {"command": "/nowhere/at/all", "output_file": path}});
    machine
        .load(&account(source.clone()))
        .unwrap()
        .token()
        .await
        .unwrap();
    machine.emulator.clear_requests();
    for text in [
        cached(5).to_string(),
        "canary".into(),
        r#"{"version": 1, "success": false}"#.into(),
    ] {
        machine.file("cached", &text);
        let error = machine.refusal(source.clone()).await;
        assert!(error.to_string().contains("cannot be run"), "{error}");
    }
}

#[tokio::test]
async fn aws_key_comes_from_variables_or_imdsv2() {
    let mut machine = Machine::new().await;
    machine.emulator.create_aws_provider(AUDIENCE);
    machine.emulator.run_on_ec2("a-role", "eu-west-3b");
    machine.load(&aws()).unwrap().token().await.unwrap();
    let asked: Vec<_> = machine
        .emulator
        .requests_to(IMDS)
        .iter()
        .map(|r| format!("{} {}", r.method, r.path))
        .collect();
    assert_eq!(
        asked,
        [
            "PUT /latest/api/token",
            "GET /latest/meta-data/placement/availability-zone",
            "GET /latest/meta-data/iam/security-credentials",
            "GET /latest/meta-data/iam/security-credentials/a-role",
        ]
    );
    machine.emulator.clear_requests();
    let key = AwsKey::temporary("ASIAX", "canary/+", "canary-session");
    machine.emulator.add_aws_key(key);
    machine.set("AWS_ACCESS_KEY_ID", "ASIAX");
    machine.set("AWS_SECRET_ACCESS_KEY", "canary/+");
    machine.set("AWS_SESSION_TOKEN", "canary-session");
    machine.set("AWS_REGION", "us-east-2");
    let credentials = machine.load(&aws()).unwrap();
    credentials.token().await.unwrap();
    assert!(machine.emulator.requests_to(IMDS).is_empty());
    assert!(!format!("{credentials:?}").contains("canary"));
}

#[tokio::test]
async fn aws_without_key_region_or_imdsv2_is_an_error() {
    let mut machine = Machine::new().await;
    machine.emulator.create_aws_provider(AUDIENCE);
    machine.emulator.run_on_ec2("a-role", "eu-west-3b");
    for status in [403, 404, 405] {
        machine.emulator.fault(IMDS, Fault::status(status));
        let error = machine.load(&aws()).unwrap().token().await.unwrap_err();
        assert_eq!(error.kind(), Token::UnconfirmedRejection);
        assert!(
            error.to_string().contains("IMDSv2 is not enabled"),
            "{error}"
        );
        assert!(error.remedy().unwrap().text.contains("IMDSv2"));
    }
    for region in [
        "us-east-1.evil.example/",
        "evil.example#",
        "s3",
        "s3-us-west-2",
    ] {
        machine.set("AWS_REGION", region);
        let error = machine.load(&aws()).unwrap().token().await.unwrap_err();
        assert!(error.to_string().contains("region"), "{error}");
    }
    let mut bare = aws();
    for field in ["url", "region_url"] {
        bare["credential_source"]
            .as_object_mut()
            .unwrap()
            .remove(field);
    }
    let error = machine.load(&bare).unwrap().token().await.unwrap_err();
    assert!(
        error.to_string().contains("AWS_SECRET_ACCESS_KEY"),
        "{error}"
    );
    machine.environment = Environment::empty();
    let error = machine.load(&bare).unwrap().token().await.unwrap_err();
    assert!(error.to_string().contains("AWS_REGION"), "{error}");
    assert!(machine.emulator.requests_to(STS).is_empty());
}

#[tokio::test]
async fn certificate_is_sent_with_its_ordered_chain() {
    let mut machine = Machine::new().await;
    let provider = machine.emulator.create_x509_provider(AUDIENCE);
    let shown = provider.certificate("workload.example");
    let (leaf, issuer) = (shown.certificate_pem(), shown.issuer_pem());
    let cert_path = machine.file("leaf.pem", leaf);
    let key_path = machine.file("key.pem", shown.key_pem());
    let config = |key: &PathBuf| json!({"cert_configs": {"workload": {"cert_path": cert_path, "key_path": key}}});
    let location = machine.file("config.json", &config(&key_path).to_string());
    let load = |machine: &Machine, chain: &str| {
        let path = machine.file("chain.pem", chain);
        let mut account = account(
            json!({"certificate": {"use_default_certificate_config": true, "trust_chain_path": path}}),
        );
        account["subject_token_type"] = json!(MTLS);
        account["token_url"] = json!("https://sts.mtls.googleapis.com/v1/token");
        machine.load(&account).unwrap()
    };
    let error = load(&machine, issuer).token().await.unwrap_err();
    assert!(
        error.to_string().contains("GOOGLE_API_CERTIFICATE_CONFIG"),
        "{error}"
    );
    machine.set("GOOGLE_API_CERTIFICATE_CONFIG", location.to_str().unwrap());
    for chain in [issuer.to_owned(), format!("{leaf}{issuer}")] {
        load(&machine, &chain).token().await.unwrap();
    }
    let sent = machine.emulator.requests_to("sts.mtls.googleapis.com");
    assert_eq!(sent.len(), 2);
    assert_eq!(
        sent[0].form()["subject_token"],
        sent[1].form()["subject_token"]
    );

    let other = provider.certificate("other.example");
    for (chain, why) in [
        (format!("{issuer}{leaf}"), "top of the chain"),
        (
            format!("{leaf}{}{issuer}", other.certificate_pem()),
            "wrong order",
        ),
        ("canary".into(), "no certificate"),
        (leaf[..200].to_owned(), "truncated"),
    ] {
        let error = load(&machine, &chain).token().await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert!(error.to_string().contains("chain.pem"), "{error}");
    }
    let other_key = machine.file("other.pem", other.key_pem());
    machine.file("config.json", &config(&other_key).to_string());
    let error = load(&machine, issuer).token().await.unwrap_err();
    assert!(error.to_string().contains("other.pem"), "{error}");
    machine.file("config.json", r#"{"cert_configs": {}}"#);
    let error = load(&machine, issuer).token().await.unwrap_err();
    assert!(error.to_string().contains("`workload`"), "{error}");
    assert_eq!(
        machine
            .emulator
            .requests_to("sts.mtls.googleapis.com")
            .len(),
        2
    );
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
    assert!(
        error.remedy().unwrap().text.contains("client_id"),
        "{error}"
    );
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

#[cfg(unix)]
#[tokio::test]
async fn executable_is_never_found_in_the_current_directory() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut machine = Machine::new().await;
    machine.set("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1");
    let planted = tempfile::tempdir_in(".").unwrap();
    let relative = planted.path().file_name().unwrap().to_str().unwrap();
    let script = planted.path().join("ee-test-program");
    std::fs::write(&script, "#!/bin/sh\ntouch \"$0.ran\"\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let source = json!({"executable": {"command": "ee-test-program", "timeout_millis": 5000}});
    for path in [relative, ".", "", &format!(":./{relative}:/usr/bin:/bin")] {
        machine.set("PATH", path);
        let error = machine.refusal(source.clone()).await;
        assert!(error.to_string().contains("PATH"), "{path}: {error}");
        assert!(
            error.remedy().unwrap().text.contains("absolute path"),
            "{error}"
        );
        assert!(
            !planted.path().join("ee-test-program.ran").exists(),
            "{path}"
        );
    }
    // A name is found in an absolute directory, as before.
    let answer = format!(
        "echo '{{\"version\": 1, \"success\": true, \"token_type\": \"{JWT}\", \"id_token\": \"{}\"}}'",
        machine.token
    );
    let path = machine.file("answer.sh", &answer);
    let command = format!("sh {}", path.display());
    machine.set("PATH", ".:/usr/bin:/bin");
    let source = json!({"executable": {"command": command, "timeout_millis": 5000}});
    machine
        .load(&account(source))
        .unwrap()
        .token()
        .await
        .unwrap();
}
