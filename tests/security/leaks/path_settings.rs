//! Every setting of a path, with every text that is misplaced there. The error identifies the text,
//! and no output contains it.

use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use earthengine::credentials::login::{Browser, LoginFlow, LoginMode, PromptFuture, Terminal, Url};
use earthengine::credentials::{
    Accounts, CredentialConfig, CredentialLocation, CredentialOptions, DiskTokenCache,
    ErrorKind as Kind, Login, LoginFile, Platform, Search, SearchStep,
};
use earthengine::token::{HttpClient, Remedy};
use earthengine::{
    Credentials, EarthEngine, EarthEngineBuilder, Endpoints, Environment, ErrorKind, Scopes,
    VerifyLevel,
};
use ee_emulator::Emulator;
use ee_test_support::canaries::Canaries;
use ee_test_support::misplaced::{self, Misplaced};
use serde_json::{Value, json};

use crate::captured_output::{CapturedOutput, assert_none, log_text, start_log};

/// The variables of the platforms that name the user's directories.
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

/// Nothing listens there: every error is raised before a request.
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

/// The result of one text.
struct Case<'a> {
    output: &'a mut CapturedOutput,
    name: String,
    form: &'a Misplaced,
    /// The name of the setting in messages.
    setting: &'a str,
    /// The number of errors that identify the text.
    identified: usize,
}

impl Case<'_> {
    fn credentials<T: Debug>(&mut self, result: Result<T, earthengine::credentials::Error>) {
        if let Err(error) = &result {
            self.steps(error.search_steps());
            let is_of_kind = error.kind() == Kind::InvalidFile;
            self.error(&error.to_string(), error.remedy(), is_of_kind);
        }
        self.output.result(&self.name, result);
    }

    fn init<T: Debug>(&mut self, result: Result<T, earthengine::Error>) {
        if let Err(error) = &result {
            self.steps(error.search_steps());
            let is_of_kind = error.kind() == ErrorKind::InvalidCredentials;
            self.error(&error.to_string(), error.remedy(), is_of_kind);
        }
        self.output.result(&self.name, result);
    }

    fn steps(&mut self, steps: &[SearchStep]) {
        for step in steps {
            let text = format!("{step} {step:?} {step:#?}");
            self.output.add(&self.name, text);
        }
    }

    fn error(&mut self, message: &str, remedy: &Remedy, is_of_kind: bool) {
        let remedy = remedy.to_string();
        self.output.add(&self.name, remedy.clone());
        let text = format!("{}, not a path", self.form.noun);
        if message.contains(self.setting) && message.contains(&text) {
            assert!(is_of_kind && remedy.len() > 20, "{}: {message}", self.name);
            self.identified += 1;
        }
    }
}

fn builder(environment: &Environment) -> EarthEngineBuilder {
    EarthEngine::builder()
        .environment(environment.clone())
        .verify(VerifyLevel::Skip)
        .disk_cache(true)
}

/// Calls everything that uses an environment.
async fn use_environment(case: &mut Case<'_>, environment: &Environment) {
    case.output.debug(&case.name, environment);
    let options = CredentialOptions::new(nowhere()).environment(environment.clone());
    let search = Search::new(environment.clone(), options.clone());
    case.output.debug(&case.name, &options);
    case.output.debug(&case.name, &search);
    case.credentials(search.find().await);
    case.credentials(DiskTokenCache::open(environment));
    case.credentials(environment.gcloud_project());
    case.credentials(environment.earthengine_file_project());
    case.credentials(LoginFile::open(environment).and_then(|store| store.read()));
    case.credentials(Accounts::open(environment).and_then(|accounts| accounts.list()));
    case.credentials(environment.account_file(&"work".parse().unwrap()));
    let flow = LoginFlow::new(environment.clone(), nowhere())
        .mode(LoginMode::Localhost { port: None })
        .timeout(Duration::from_millis(1));
    case.output.debug(&case.name, &flow);
    let outcome = flow.run(&Silent, &Silent).await;
    case.credentials(outcome.map(|_| ()));
    case.output.debug(&case.name, &builder(environment));
    case.init(builder(environment).find_credentials().await.map(|_| ()));
    case.init(builder(environment).find_project().await);
    case.init(builder(environment).login_status().await.map(|_| ()));
    case.init(builder(environment).list_projects().await);
    case.init(builder(environment).connect().await.map(|_| ()));
}

/// A terminal without a user.
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
async fn variables_never_show_a_misplaced_secret() {
    start_log();
    let home = tempfile::tempdir().unwrap();
    let mut canaries = Canaries::default();
    let forms = misplaced::all(&mut canaries);
    let mut output = CapturedOutput::default();
    for (variable, os) in VARIABLES {
        for form in &forms {
            let mut case = Case {
                output: &mut output,
                name: format!("{variable} on {os:?}, {}", form.name),
                form,
                setting: variable,
                identified: 0,
            };
            let environment = environment(variable, os, &form.text, home.path());
            use_environment(&mut case, &environment).await;
            assert!(
                case.identified > 0,
                "{}: no error identifies the text",
                case.name
            );
        }
    }
    output.add("the log", log_text());
    assert_none(&output.leaks_of(&canaries.finder(), &[]));
}

#[tokio::test]
async fn doctor_reports_a_misplaced_secret() {
    let emulator = Emulator::start().await.unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut canaries = Canaries::default();
    let forms = misplaced::all(&mut canaries);
    let mut output = CapturedOutput::default();
    for (at, (variable, os)) in VARIABLES.into_iter().enumerate() {
        for form in forms.iter().skip(at % 7).step_by(7) {
            let environment = environment(variable, os, &form.text, home.path());
            let diagnosis = builder(&environment)
                .endpoints(Endpoints::emulator(emulator.address()).unwrap())
                .diagnose()
                .await;
            let name = format!("{variable} on {os:?}, {}", form.name);
            output.debug(&name, &diagnosis);
            let failure = diagnosis.first_failure().unwrap();
            assert_eq!(failure.error, Some(ErrorKind::InvalidCredentials), "{name}");
            let says = format!("{variable} contains {}, not a path", form.noun);
            let check = diagnosis.checks.iter().find(|c| c.message.contains(&says));
            let remedy = check.and_then(|check| check.remedy.as_ref());
            assert!(remedy.is_some(), "{name}: {diagnosis:#?}");
        }
    }
    assert_none(&output.leaks_of(&canaries.finder(), &[]));
}

/// Credential files of the types that name files, with the field.
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
async fn file_fields_never_show_a_misplaced_secret() {
    let dir = tempfile::tempdir().unwrap();
    let emulator = Emulator::start().await.unwrap();
    let mut canaries = Canaries::default();
    let forms = misplaced::all(&mut canaries);
    let mut output = CapturedOutput::default();
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
                output: &mut output,
                name: format!("{field}, {}", form.name),
                form,
                setting: field,
                identified: 0,
            };
            let path = dir.path().join("credential.json");
            std::fs::write(&path, file.to_string()).unwrap();
            case.credentials(Credentials::from_file(&path, &options));
            case.credentials(Credentials::from_json(&file.to_string(), &options));
            assert_eq!(case.identified, 2, "{}", case.name);
        }
        // The file of a certificate source is read for each token.
        for field in ["cert_path", "key_path"] {
            let mut paths = json!({"cert_path": "/tmp/x", "key_path": "/tmp/x"});
            paths[field] = json!(form.text);
            let config = dir.path().join("config.json");
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
            output.error(&name, &error);
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
        output.error(&form.name, &error);
        let says = format!("GOOGLE_API_CERTIFICATE_CONFIG contains {}", form.noun);
        assert!(error.to_string().contains(&says), "{error}");
    }
    assert_none(&output.leaks_of(&canaries.finder(), &[]));
}

#[tokio::test]
async fn functions_never_show_a_misplaced_secret() {
    let mut canaries = Canaries::default();
    let forms = misplaced::all(&mut canaries);
    let mut output = CapturedOutput::default();
    let options = CredentialOptions::new(nowhere());
    let empty = Environment::empty().with_os(Platform::Linux);
    for form in &forms {
        let mut case = Case {
            output: &mut output,
            name: form.name.clone(),
            form,
            setting: "the path of the file",
            identified: 0,
        };
        let text = form.text.as_str();
        let mut expected = 0;
        let mut check_case = |case: &Case<'_>, what: &str| {
            expected += 1;
            assert_eq!(case.identified, expected, "{}: {what}", case.name);
        };
        case.credentials(Credentials::from_file(text, &options));
        check_case(&case, "from_file");
        let search = Search::new(empty.clone(), options.clone()).with_file(text);
        case.output.debug(&case.name, &search);
        case.credentials(search.find().await);
        check_case(&case, "with_file");
        let builder = || builder(&empty).credentials_file(text);
        case.output.debug(&case.name, &builder());
        case.init(builder().find_credentials().await);
        check_case(&case, "credentials_file");
        let settings: CredentialConfig = serde_json::from_value(json!({
            "version": 1, "kind": "service_account", "found": {"file": text}}))
        .unwrap();
        case.output.debug(&case.name, &settings);
        assert!(matches!(&settings.found, CredentialLocation::File(path) if path == text));
        case.credentials(Credentials::from_config(&settings, &empty, &nowhere()).await);
        check_case(&case, "from_config");

        let store = LoginFile::at(text);
        case.output.debug(&case.name, &store);
        case.credentials(store.read());
        check_case(&case, "LoginFile::read");
        case.credentials(store.set_project("my-project"));
        check_case(&case, "LoginFile::set_project");
        case.credentials(store.unset_project());
        check_case(&case, "LoginFile::unset_project");
        case.credentials(store.remove());
        check_case(&case, "LoginFile::remove");
        let login = Login::new("1//0g", Scopes::earth_engine());
        case.credentials(store.save_login(&login));
        check_case(&case, "LoginFile::save_login");
        case.credentials(store.save_code_verifier(&"a:b:c".into()));
        check_case(&case, "LoginFile::save_code_verifier");

        let cache = DiskTokenCache::at(text);
        case.output.debug(&case.name, &cache);
        case.output
            .debug(&case.name, &options.clone().disk_cache(cache.clone()));
        match cache.clear() {
            Ok(count) => assert_eq!(count, 0),
            Err(error) => case.output.error(&case.name, &error),
        }
    }
    assert_none(&output.leaks_of(&canaries.finder(), &[]));
}
