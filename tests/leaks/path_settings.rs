//! Every setting that names a file or a directory, with every text that does not belong there:
//! the error says what it is, and nothing shows it.

use std::path::Path;
use std::time::Duration;

use earthengine::credentials::login::{Browser, LoginFlow, LoginMode, PromptFuture, Terminal, Url};
use earthengine::credentials::{
    CredentialConfig, CredentialLocation, CredentialOptions, DiskTokenCache, ErrorKind as Kind,
    Login, LoginFile, Platform, Search,
};
use earthengine::token::HttpClient;
use earthengine::{
    Credentials, EarthEngine, EarthEngineBuilder, Endpoints, Environment, ErrorKind, Scopes,
    VerifyLevel,
};
use ee_emulator::Emulator;
use serde_json::{Value, json};

use crate::canary::Canaries;
use crate::misplaced::{self, Misplaced};
use crate::sinks::{Sinks, assert_none, log_text, start_log};

/// Where a person's variables are read, by system.
const VARIABLES: [(&str, Platform); 14] = [
    ("GOOGLE_APPLICATION_CREDENTIALS", Platform::Linux),
    ("EE_CONFIG_FILE", Platform::Linux),
    ("CLOUDSDK_CONFIG", Platform::Linux),
    ("XDG_CACHE_HOME", Platform::Linux),
    ("HOME", Platform::Linux),
    ("SSL_CERT_FILE", Platform::Linux),
    ("SSL_CERT_DIR", Platform::Linux),
    ("GOOGLE_APPLICATION_CREDENTIALS", Platform::Windows),
    ("CLOUDSDK_CONFIG", Platform::Windows),
    ("APPDATA", Platform::Windows),
    ("LOCALAPPDATA", Platform::Windows),
    ("USERPROFILE", Platform::Windows),
    ("HOME", Platform::MacOs),
    ("CLOUDSDK_CONFIG", Platform::MacOs),
];

/// Nobody listens there: whatever is wrong is known before a request.
fn nowhere() -> HttpClient {
    HttpClient::new(Endpoints::emulator("127.0.0.1:9".parse().unwrap()).unwrap())
}

fn environment(variable: &str, os: Platform, value: &str, home: &Path) -> Environment {
    let environment = Environment::empty()
        .with_os(os)
        .with_home(home)
        .with_var("NO_GCE_CHECK", "true")
        .with_var("APPDATA", home.join("roaming").to_str().unwrap())
        .with_var("LOCALAPPDATA", home.join("local").to_str().unwrap());
    match variable {
        "HOME" | "USERPROFILE" => environment.with_home(value),
        _ => environment.with_var(variable, value),
    }
}

/// What one text led to.
struct Case<'a> {
    sinks: &'a mut Sinks,
    name: String,
    form: &'a Misplaced,
    /// What messages call the setting.
    setting: &'a str,
    /// How many said what is wrong.
    told: usize,
}

impl Case<'_> {
    fn credentials<T: std::fmt::Debug>(
        &mut self,
        result: Result<T, earthengine::credentials::Error>,
    ) {
        match result {
            Ok(value) => self.sinks.debug(&self.name, &value),
            Err(error) => {
                self.sinks.error(&self.name, &error);
                for step in error.search_steps() {
                    self.sinks
                        .add(&self.name, format!("{step} {step:?} {step:#?}"));
                }
                let remedy = error.remedy().map(ToString::to_string);
                self.told(
                    &error.to_string(),
                    remedy,
                    error.kind() == Kind::InvalidFile,
                );
            }
        }
    }

    fn init<T: std::fmt::Debug>(&mut self, result: Result<T, earthengine::Error>) {
        match result {
            Ok(value) => self.sinks.debug(&self.name, &value),
            Err(error) => {
                self.sinks.error(&self.name, &error);
                for step in error.search_steps() {
                    self.sinks
                        .add(&self.name, format!("{step} {step:?} {step:#?}"));
                }
                let remedy = error.remedy().map(ToString::to_string);
                let is_of_kind = error.kind() == ErrorKind::InvalidCredentials;
                self.told(&error.to_string(), remedy, is_of_kind);
            }
        }
    }

    fn told(&mut self, message: &str, remedy: Option<String>, is_of_kind: bool) {
        let remedy = remedy.unwrap_or_default();
        self.sinks.add(&self.name, remedy.clone());
        let says = format!("{}, not a path", self.form.noun);
        if message.contains(self.setting) && message.contains(&says) {
            assert!(is_of_kind && remedy.len() > 20, "{}: {message}", self.name);
            self.told += 1;
        }
    }
}

fn builder(environment: &Environment) -> EarthEngineBuilder {
    EarthEngine::builder()
        .environment(environment.clone())
        .verify(VerifyLevel::Skip)
        .disk_cache(true)
}

/// All that a program can do with an environment.
async fn use_environment(case: &mut Case<'_>, environment: &Environment) {
    case.sinks.debug(&case.name, environment);
    let options = CredentialOptions::new(nowhere()).environment(environment.clone());
    let search = Search::new(environment.clone(), options.clone());
    case.sinks.debug(&case.name, &options);
    case.sinks.debug(&case.name, &search);
    case.credentials(search.find().await);
    case.credentials(DiskTokenCache::open(environment));
    case.credentials(environment.gcloud_project());
    case.credentials(environment.earthengine_file_project());
    case.credentials(LoginFile::open(environment).and_then(|store| store.read()));
    let flow = LoginFlow::new(environment.clone(), nowhere())
        .mode(LoginMode::Localhost { port: None })
        .timeout(Duration::from_millis(1));
    case.sinks.debug(&case.name, &flow);
    let outcome = flow.run(&Silent, &Silent).await;
    case.credentials(outcome.map(|_| ()));
    case.sinks.debug(&case.name, &builder(environment));
    case.init(builder(environment).find_credentials().await.map(|_| ()));
    case.init(builder(environment).find_project().await);
    case.init(builder(environment).login_status().await.map(|_| ()));
    case.init(builder(environment).list_projects().await);
    case.init(builder(environment).connect().await.map(|_| ()));
}

/// Nobody is there.
struct Silent;

impl Terminal for Silent {
    fn print(&self, _: &str) {}

    fn show_url(&self, _: &Url, _: &str) {}

    fn prompt<'a>(&'a self, _: &'a str) -> PromptFuture<'a> {
        Box::pin(async { Ok(None) })
    }
}

impl Browser for Silent {
    fn is_available(&self) -> bool {
        false
    }

    fn open(&self, _: &Url) -> bool {
        false
    }
}

#[tokio::test]
async fn no_variable_shows_a_secret_in_the_place_of_a_path() {
    start_log();
    let home = tempfile::tempdir().unwrap();
    let mut canaries = Canaries::default();
    let forms = misplaced::all(&mut canaries);
    let mut sinks = Sinks::default();
    for (variable, os) in VARIABLES {
        for form in &forms {
            let mut case = Case {
                sinks: &mut sinks,
                name: format!("{variable} on {os:?}, {}", form.name),
                form,
                setting: variable,
                told: 0,
            };
            let environment = environment(variable, os, &form.text, home.path());
            use_environment(&mut case, &environment).await;
            assert!(case.told > 0, "{}: nothing said what is wrong", case.name);
        }
    }
    sinks.add("the log", log_text());
    assert_none(&sinks.leaks(&canaries, &[]));
}

#[tokio::test]
async fn doctor_names_a_secret_in_the_place_of_a_path() {
    let emulator = Emulator::start().await.unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut canaries = Canaries::default();
    let forms = misplaced::all(&mut canaries);
    let mut sinks = Sinks::default();
    for (at, (variable, os)) in VARIABLES.into_iter().enumerate() {
        for form in forms.iter().skip(at % 7).step_by(7) {
            let environment = environment(variable, os, &form.text, home.path());
            let diagnosis = builder(&environment)
                .endpoints(Endpoints::emulator(emulator.address()).unwrap())
                .diagnose()
                .await;
            let name = format!("{variable} on {os:?}, {}", form.name);
            sinks.debug(&name, &diagnosis);
            let failure = diagnosis.first_failure().unwrap();
            assert_eq!(failure.error, Some(ErrorKind::InvalidCredentials), "{name}");
            let says = format!("{variable} contains {}, not a path", form.noun);
            let told = diagnosis.checks.iter().find(|c| c.message.contains(&says));
            let remedy = told.and_then(|check| check.remedy.as_ref());
            assert!(remedy.is_some(), "{name}: {diagnosis:#?}");
        }
    }
    assert_none(&sinks.leaks(&canaries, &[]));
}

/// Credential files of the types that name files, by the field.
fn files_with(text: &str) -> Vec<(&'static str, Value)> {
    let external = |source: Value, of: &str| {
        json!({"type": "external_account", "subject_token_type": format!("urn:ietf:params:oauth:token-type:{of}"),
            "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/o",
            "token_url": "https://sts.googleapis.com/v1/token", "credential_source": source})
    };
    let executable = |command: &str, output: &str| {
        external(
            json!({"executable": {"command": command, "output_file": output}}),
            "jwt",
        )
    };
    let certificate = |config: &str, chain: &str| {
        external(
            json!({"certificate": {"certificate_config_location": config, "trust_chain_path": chain}}),
            "mtls",
        )
    };
    vec![
        ("file", external(json!({"file": text}), "jwt")),
        ("command", executable(text, "/tmp/x")),
        ("output_file", executable("/bin/true", text)),
        ("certificate_config_location", certificate(text, "/tmp/x")),
        ("trust_chain_path", certificate("/tmp/x", text)),
    ]
}

#[tokio::test]
async fn no_field_of_a_file_shows_a_secret_in_the_place_of_a_path() {
    let folder = tempfile::tempdir().unwrap();
    let emulator = Emulator::start().await.unwrap();
    let mut canaries = Canaries::default();
    let forms = misplaced::all(&mut canaries);
    let mut sinks = Sinks::default();
    let options = CredentialOptions::new(nowhere())
        .gdch_audience("https://example.com")
        .allow_host("service-identity.gdch.test");
    for form in &forms {
        let mut files = files_with(&form.text);
        let identity = emulator.create_service_identity("p", "n");
        let mut identity: Value = serde_json::from_str(&identity.json()).unwrap();
        identity["ca_cert_path"] = json!(form.text);
        files.push(("ca_cert_path", identity));
        for (field, file) in files {
            let mut case = Case {
                sinks: &mut sinks,
                name: format!("{field}, {}", form.name),
                form,
                setting: field,
                told: 0,
            };
            let path = folder.path().join("credential.json");
            std::fs::write(&path, file.to_string()).unwrap();
            case.credentials(Credentials::from_file(&path, &options));
            case.credentials(Credentials::from_json(&file.to_string(), &options));
            assert_eq!(case.told, 2, "{}", case.name);
        }
        // The file that a certificate source names is read for each token.
        for field in ["cert_path", "key_path"] {
            let mut paths = json!({"cert_path": "/tmp/x", "key_path": "/tmp/x"});
            paths[field] = json!(form.text);
            let config = folder.path().join("config.json");
            std::fs::write(
                &config,
                json!({"cert_configs": {"workload": paths}}).to_string(),
            )
            .unwrap();
            let of = files_with(config.to_str().unwrap());
            let mut file = of[3].1.clone();
            file["credential_source"]["certificate"]
                .as_object_mut()
                .unwrap()
                .remove("trust_chain_path");
            let credentials = Credentials::from_json(&file.to_string(), &options).unwrap();
            let error = credentials.token().await.unwrap_err();
            let name = format!("{field}, {}", form.name);
            sinks.error(&name, &error);
            let says = format!("`{field}` contains {}, not a path", form.noun);
            assert!(error.to_string().contains(&says), "{name}: {error}");
        }
        let environment = Environment::empty()
            .with_os(Platform::Linux)
            .with_var("GOOGLE_API_CERTIFICATE_CONFIG", &form.text);
        let options = options.clone().environment(environment);
        let mut file = files_with("/tmp/x")[3].1.clone();
        file["credential_source"] =
            json!({"certificate": {"use_default_certificate_config": true}});
        let credentials = Credentials::from_json(&file.to_string(), &options).unwrap();
        let error = credentials.token().await.unwrap_err();
        sinks.error(&form.name, &error);
        let says = format!("GOOGLE_API_CERTIFICATE_CONFIG contains {}", form.noun);
        assert!(error.to_string().contains(&says), "{error}");
    }
    assert_none(&sinks.leaks(&canaries, &[]));
}

#[tokio::test]
async fn no_function_shows_a_secret_in_the_place_of_a_path() {
    let mut canaries = Canaries::default();
    let forms = misplaced::all(&mut canaries);
    let mut sinks = Sinks::default();
    let options = CredentialOptions::new(nowhere());
    let empty = Environment::empty().with_os(Platform::Linux);
    for form in &forms {
        let mut case = Case {
            sinks: &mut sinks,
            name: form.name.clone(),
            form,
            setting: "the path of the file",
            told: 0,
        };
        let text = form.text.as_str();
        let mut expected = 0;
        let mut told = |case: &Case<'_>, what: &str| {
            expected += 1;
            assert_eq!(case.told, expected, "{}: {what}", case.name);
        };
        case.credentials(Credentials::from_file(text, &options));
        told(&case, "from_file");
        let search = Search::new(empty.clone(), options.clone()).with_file(text);
        case.sinks.debug(&case.name, &search);
        case.credentials(search.find().await);
        told(&case, "with_file");
        let builder = || builder(&empty).credentials_file(text);
        case.sinks.debug(&case.name, &builder());
        case.init(builder().find_credentials().await);
        told(&case, "credentials_file");
        let settings: CredentialConfig = serde_json::from_value(json!({
            "version": 1, "kind": "service_account", "found": {"file": text}}))
        .unwrap();
        case.sinks.debug(&case.name, &settings);
        assert!(matches!(&settings.found, CredentialLocation::File(path) if path == text));
        case.credentials(Credentials::from_config(&settings, &empty, &nowhere()).await);
        told(&case, "from_config");

        let store = LoginFile::at(text);
        case.sinks.debug(&case.name, &store);
        case.credentials(store.read());
        told(&case, "LoginFile::read");
        case.credentials(store.set_project("my-project"));
        told(&case, "LoginFile::set_project");
        case.credentials(store.unset_project());
        told(&case, "LoginFile::unset_project");
        case.credentials(store.remove());
        told(&case, "LoginFile::remove");
        let login = Login::new("1//0g", Scopes::earth_engine());
        case.credentials(store.save_login(&login));
        told(&case, "LoginFile::save_login");
        case.credentials(store.save_code_verifier(&"a:b:c".into()));
        told(&case, "LoginFile::save_code_verifier");

        let cache = DiskTokenCache::at(text);
        case.sinks.debug(&case.name, &cache);
        case.sinks
            .debug(&case.name, &options.clone().disk_cache(cache.clone()));
        match cache.clear() {
            Ok(count) => assert_eq!(count, 0),
            Err(error) => case.sinks.error(&case.name, &error),
        }
    }
    assert_none(&sinks.leaks(&canaries, &[]));
}
