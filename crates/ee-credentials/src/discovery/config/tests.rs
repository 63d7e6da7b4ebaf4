use ee_emulator::Emulator;
use ee_token::AccessToken;
use serde_json::json;

use super::*;
use crate::options::options;
use crate::{Platform, ServiceAccountKey};

const ROBOT: &str = "robot@ee-demo-project.iam.gserviceaccount.com";
const TARGET: &str = "target@ee-demo-project.iam.gserviceaccount.com";

struct Machine {
    emulator: Emulator,
    home: tempfile::TempDir,
    http: HttpClient,
}

impl Machine {
    async fn new() -> Self {
        let emulator = Emulator::builder()
            .metadata_server("vm@p.iam.gserviceaccount.com", "p", &["cloud-platform"])
            .start()
            .await
            .unwrap();
        Self {
            home: tempfile::tempdir().unwrap(),
            http: options(&emulator).http,
            emulator,
        }
    }

    fn environment(&self) -> Environment {
        Environment::empty()
            .with_os(Platform::Linux)
            .with_home(self.home.path())
    }

    fn options(&self) -> CredentialOptions {
        CredentialOptions::new(self.http.clone())
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn key(&self) -> String {
        let robot = self
            .emulator
            .create_service_account(ROBOT, "ee-demo-project");
        robot.json_key()
    }

    /// Returns the credentials that a worker loads from their JSON configuration.
    async fn round_trip(
        &self,
        credentials: &Credentials,
        environment: &Environment,
    ) -> Credentials {
        let settings = credentials.to_config().unwrap();
        let json = serde_json::to_string(&settings).unwrap();
        for secret in [
            "PRIVATE",
            "1//",
            "ya29",
            "AIza",
            "refresh_token",
            "client_secret",
        ] {
            assert!(!json.contains(secret), "{json}");
        }
        let received: CredentialConfig = serde_json::from_str(&json).unwrap();
        assert_eq!(received, settings);
        let loaded = Credentials::from_config(&received, environment, &self.http)
            .await
            .unwrap();
        assert_eq!(loaded.kind(), credentials.kind());
        assert_eq!(loaded.principal(), credentials.principal());
        assert_eq!(loaded.scopes(), credentials.scopes());
        assert_eq!(loaded.quota_project(), credentials.quota_project());
        assert_eq!(loaded.to_config().unwrap(), settings);
        loaded
    }
}

#[tokio::test]
async fn worker_finds_each_location() {
    let machine = Machine::new().await;
    let jane = machine.emulator.create_user("jane@example.com");
    let key = machine.file("key.json", &machine.key());
    machine.file(
        ".config/gcloud/application_default_credentials.json",
        &jane.authorized_user_json_with_quota_project("pays-for-it"),
    );
    let plain = machine.environment();
    let with_file = plain
        .clone()
        .with_var("GOOGLE_APPLICATION_CREDENTIALS", key.to_str().unwrap());
    let with_text = plain.clone().with_var("EARTHENGINE_TOKEN", machine.key());
    for (environment, location) in [
        (&plain, json!("gcloud_adc")),
        (
            &with_file,
            json!({"variable": "GOOGLE_APPLICATION_CREDENTIALS"}),
        ),
        (&with_text, json!({"variable": "EARTHENGINE_TOKEN"})),
    ] {
        let search = Search::new(environment.clone(), machine.options());
        let here = search.find().await.unwrap().credentials;
        let settings = serde_json::to_value(here.to_config().unwrap()).unwrap();
        assert_eq!(settings["found"], location);
        let loaded = machine.round_trip(&here, environment).await;
        assert_eq!(loaded.source(), here.source());
        loaded.token().await.unwrap();
    }
    machine.file(
        ".config/earthengine/credentials",
        &jane.earthengine_file_json(None),
    );
    let here = Search::new(plain.clone(), machine.options()).find().await;
    let here = here.unwrap().credentials;
    let loaded = machine.round_trip(&here, &plain).await;
    loaded.token().await.unwrap();
}

#[tokio::test]
async fn config_contains_options_and_impersonation() {
    let machine = Machine::new().await;
    machine
        .emulator
        .create_service_account(TARGET, "ee-demo-project");
    machine.emulator.allow_impersonation(ROBOT, TARGET);
    let key = machine.file("key.json", &machine.key());
    let options = machine
        .options()
        .scopes(Scopes::new(["earthengine.readonly"]))
        .allow_host("tokens.example.com")
        .quota_project("pays-for-it");
    let robot = Credentials::from_file(&key, &options).unwrap();
    let loaded = machine.round_trip(&robot, &machine.environment()).await;
    assert_eq!(
        loaded.to_config().unwrap().allowed_hosts,
        ["tokens.example.com"]
    );

    let target = robot
        .with_quota_project("ee-demo-project")
        .impersonate(TARGET)
        .lifetime(std::time::Duration::from_secs(600))
        .build(&machine.options())
        .unwrap();
    let loaded = machine.round_trip(&target, &machine.environment()).await;
    loaded.token().await.unwrap();
    let requests = machine
        .emulator
        .requests_to("iamcredentials.googleapis.com");
    assert_eq!(requests[0].json()["lifetime"], "600s");
}

#[tokio::test]
async fn config_with_unsafe_names_is_rejected() {
    let machine = Machine::new().await;
    let environment = machine
        .environment()
        .with_var("EARTHENGINE_TOKEN", machine.key());
    let plain = json!({
        "version": 1,
        "kind": "service_account",
        "found": {"variable": "EARTHENGINE_TOKEN"},
        "subject": "jane@example.com",
        "quota_project": "my-project",
        "gdch_audience": "https://example.com",
        "scopes": ["earthengine"],
        "impersonation": [{"target": TARGET, "quota_project": "my-project", "scopes": ["drive"]}],
    });
    let names = [
        "/subject",
        "/quota_project",
        "/gdch_audience",
        "/impersonation/0/quota_project",
    ];
    let from = async |settings: serde_json::Value| {
        let settings = serde_json::from_value(settings).unwrap();
        Credentials::from_config(&settings, &environment, &machine.http).await
    };
    for name in names {
        for trick in ["\u{1b}[2J", "a\nb", "\u{202e}", &"a".repeat(400)] {
            let mut settings = plain.clone();
            *settings.pointer_mut(name).unwrap() = json!(trick);
            let error = from(settings).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidOptions, "{name}");
            let field = name.rsplit('/').next().unwrap();
            assert!(error.to_string().contains(&format!("`{field}`")), "{error}");
        }
    }
    for scopes in ["/scopes", "/impersonation/0/scopes"] {
        let mut settings = plain.clone();
        *settings.pointer_mut(scopes).unwrap() = json!(["drive", "\u{1b}[2J"]);
        let error = from(settings).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOptions);
        assert!(error.to_string().contains("`scopes`"), "{error}");
    }
    assert_eq!(from(plain).await.unwrap().principal(), Some(TARGET));
}

#[tokio::test]
async fn worker_uses_its_own_metadata_account() {
    let machine = Machine::new().await;
    let environment = machine.environment().with_metadata_probe(true);
    let search = Search::new(environment.clone(), machine.options());
    let here = search.find().await.unwrap().credentials;
    let loaded = machine.round_trip(&here, &environment).await;
    assert_eq!(loaded.source(), CredentialSource::MetadataServer);
    loaded.token().await.unwrap();
}

#[tokio::test]
async fn in_memory_credentials_have_no_config() {
    let machine = Machine::new().await;
    let options = machine.options();
    let key = machine.key();
    let token = Credentials::from_token(AccessToken::new("ya29.canary").unwrap());
    for credentials in [
        Credentials::from_json(&key, &options).unwrap(),
        Credentials::from_service_account_key(
            ServiceAccountKey::from_json(&key).unwrap(),
            &options,
        )
        .unwrap(),
        token.impersonate(TARGET).build(&options).unwrap(),
        token,
        Credentials::from_api_key("AIza-canary"),
    ] {
        let error = credentials.to_config().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(!error.remedy().text.is_empty());
        assert!(!format!("{error:?}").contains("canary"));
    }
}

#[tokio::test]
async fn worker_rejects_missing_or_other_credentials() {
    let machine = Machine::new().await;
    let path = machine.file("key.json", &machine.key());
    let credentials = Credentials::from_file(&path, &machine.options()).unwrap();
    let settings = credentials.to_config().unwrap();
    let find = async |settings: &CredentialConfig| {
        Credentials::from_config(settings, &machine.environment(), &machine.http)
            .await
            .unwrap_err()
    };
    let altered = |change: &dyn Fn(&mut CredentialConfig)| {
        let mut changed = settings.clone();
        change(&mut changed);
        changed
    };
    for (settings, kind, words) in [
        (
            altered(&|s| s.principal = Some("other@p.example".into())),
            ErrorKind::InvalidOptions,
            "other@p.example",
        ),
        (
            altered(&|s| s.kind = "authorized_user".into()),
            ErrorKind::InvalidOptions,
            "authorized_user",
        ),
        (
            altered(&|s| s.version = 2),
            ErrorKind::InvalidOptions,
            "version 2",
        ),
        (
            altered(&|s| s.found = CredentialLocation::Variable("PATH".into())),
            ErrorKind::InvalidOptions,
            "PATH",
        ),
        (
            altered(&|s| s.found = CredentialLocation::GcloudAdc),
            ErrorKind::NoCredentials,
            "gcloud's login",
        ),
        (
            altered(&|s| s.found = CredentialLocation::File("/nowhere/key.json".into())),
            ErrorKind::InvalidFile,
            "/nowhere/key.json",
        ),
    ] {
        let error = find(&settings).await;
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(!error.remedy().text.is_empty(), "{error}");
    }
    let unknown = r#"{"version": 1, "kind": "x", "found": "gcloud_adc", "private_key": "x"}"#;
    assert!(serde_json::from_str::<CredentialConfig>(unknown).is_err());
    assert!(machine.emulator.requests().is_empty());
}

#[cfg(unix)]
#[tokio::test]
async fn executable_runs_only_if_the_environment_allows() {
    let machine = Machine::new().await;
    let path = machine.file(
        "federation.json",
        &json!({
            "type": "external_account",
            "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/i",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": "https://sts.googleapis.com/v1/token",
            "credential_source": {"executable": {"command": "/bin/false"}},
        })
        .to_string(),
    );
    let here = Credentials::from_file(path, &machine.options()).unwrap();
    let settings = here.to_config().unwrap();
    let allowing = machine
        .environment()
        .with_var("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1");
    for (environment, why) in [
        (machine.environment(), "was not run"),
        (allowing, "it failed"),
    ] {
        let loaded = Credentials::from_config(&settings, &environment, &machine.http);
        let error = loaded.await.unwrap().token().await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
}

proptest::proptest! {
    #[test]
    fn config_round_trips_as_json(
        texts in proptest::collection::vec("(?s).{0,20}", 4),
        names in proptest::collection::vec("(?s).{0,20}", 0..3),
        is_there in proptest::bool::ANY,
        seconds in proptest::option::of(proptest::num::u64::ANY),
    ) {
        let [a, b, c, d] = <[String; 4]>::try_from(texts).unwrap();
        let some = |text: &String| is_there.then(|| text.clone());
        let settings = CredentialConfig {
            version: VERSION,
            kind: a.clone(),
            found: if is_there { CredentialLocation::File(b.clone()) } else { CredentialLocation::GcloudAdc },
            principal: some(&c),
            scopes: is_there.then(|| names.clone()),
            subject: some(&d),
            self_signed_jwt: is_there,
            quota_project: some(&a),
            allowed_hosts: names.clone(),
            service_account_email: some(&b),
            gdch_audience: some(&c),
            impersonation: vec![ImpersonationConfig {
                target: d.clone(),
                delegates: names.clone(),
                scopes: is_there.then_some(names),
                lifetime_seconds: seconds,
                quota_project: some(&a),
            }],
        };
        let json = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<CredentialConfig>(&json).unwrap(), settings);
    }
}
