//! A scenario: files, variables and an emulator, with the outcomes of both sides.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use earthengine::Scopes;
use earthengine::credentials::{CredentialOptions, Environment, Search};
use earthengine::token::{Endpoints, HttpClient};
use ee_emulator::{Emulator, EmulatorBuilder, Project, RecordedRequest, ServiceAccount, User};
use ee_test_support::installed::reference_client;
use serde_json::Value;
use tempfile::TempDir;

use crate::impersonation;
use crate::request::fields;

/// The impersonation, in JSON: `{"target", "delegates", "lifetime"}`.
pub(crate) const IMPERSONATE: &str = "EE_TESTS_IMPERSONATE";
pub(crate) const PROJECT: &str = "ee-demo-project";
/// The number of the same project.
pub(crate) const PROJECT_NUMBER: u64 = 123_456_789_012;

/// The reference client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reference {
    /// `google.auth.default()` with these scopes.
    GoogleAuth(&'static [&'static str]),
    /// earthengine-api's own credentials.
    EarthEngine,
}

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) reference: Reference,
    pub(crate) emulator: fn(EmulatorBuilder) -> EmulatorBuilder,
    pub(crate) machine: fn(&mut Machine),
}

/// The machine of a scenario. Each side gets an equal one of its own.
pub(crate) struct Machine {
    pub(crate) emulator: Arc<Emulator>,
    pub(crate) robot: ServiceAccount,
    pub(crate) user: User,
    pub(crate) home: TempDir,
    pub(crate) variables: BTreeMap<&'static str, String>,
    /// The options of this workspace's side beyond files and variables.
    pub(crate) options: fn(CredentialOptions) -> CredentialOptions,
    /// Values that are generated for each side, with their names.
    pub(crate) drawn: Vec<(String, &'static str)>,
}

impl Machine {
    /// Writes a file into the home directory and returns its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.variables.insert(name, value.into());
    }

    /// Sets `GOOGLE_APPLICATION_CREDENTIALS` to a file with this text.
    pub(crate) fn credentials(&mut self, text: &str) {
        let path = self.file("credentials.json", text);
        self.set("GOOGLE_APPLICATION_CREDENTIALS", path.display().to_string());
    }
}

/// The outcome of one side.
pub(crate) struct Outcome {
    /// The token requests, field by field. The result is `None` if it failed.
    requests: Vec<BTreeMap<String, String>>,
    result: Option<Projects>,
}

struct Projects {
    project: Option<String>,
    quota_project: Option<String>,
}

pub(crate) struct Difference {
    pub(crate) field: String,
    pub(crate) expected: String,
    pub(crate) actual: String,
}

impl Scenario {
    async fn start(&self) -> (Arc<Emulator>, Machine) {
        let project = Project::new(PROJECT).number(PROJECT_NUMBER);
        let builder = Emulator::builder().project(project);
        let emulator = Arc::new((self.emulator)(builder).start().await.unwrap());
        let mut machine = Machine {
            emulator: emulator.clone(),
            robot: emulator.create_service_account(
                &format!("robot@{PROJECT}.iam.gserviceaccount.com"),
                PROJECT,
            ),
            user: emulator.create_user("jane@example.com"),
            home: tempfile::tempdir().unwrap(),
            variables: BTreeMap::new(),
            options: |options| options,
            drawn: Vec::new(),
        };
        (self.machine)(&mut machine);
        (emulator, machine)
    }

    /// Runs the reference client.
    pub(crate) async fn expected(&self, python: &Path) -> Outcome {
        let (emulator, machine) = self.start().await;
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop");
        let mut command = Command::new(python);
        command
            .env_clear()
            .env("HOME", machine.home.path())
            .env("EARTHENGINE_EMULATOR_HOST", emulator.address().to_string())
            .env("PYTHONPATH", dir.join("reference_clients/python_preload"))
            // Its ping bypasses every transport that could be rewritten.
            .env(
                "GCE_METADATA_IP",
                format!("{}/169.254.169.254", emulator.address()),
            )
            .env(
                "GCE_METADATA_HOST",
                format!("{}/metadata.google.internal", emulator.address()),
            )
            .env("GCE_METADATA_TIMEOUT", "1")
            .envs(&machine.variables)
            .current_dir(machine.home.path())
            .arg(dir.join("conformance/reference.py"));
        match self.reference {
            Reference::GoogleAuth(scopes) => command.arg("default").args(scopes),
            Reference::EarthEngine => command.arg("earthengine"),
        };
        let output = tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
            panic!("{}: {}", self.name, String::from_utf8_lossy(&output.stderr));
        });
        let text = |name: &str| report[name].as_str().map(str::to_owned);
        let result = report.get("error").is_none().then(|| Projects {
            project: text("project"),
            quota_project: text("quota_project"),
        });
        Outcome::new(&emulator, &machine, result)
    }

    /// Runs this workspace's client.
    pub(crate) async fn actual(&self) -> Outcome {
        let (emulator, machine) = self.start().await;
        let mut environment = Environment::empty()
            .with_home(machine.home.path())
            .with_dmi_product_name("Google")
            .with_metadata_probe(true);
        for (name, value) in &machine.variables {
            environment = environment.with_var(*name, value);
        }
        let endpoints = Endpoints::emulator(emulator.address()).unwrap();
        let mut options = CredentialOptions::new(HttpClient::new(endpoints));
        if let Reference::GoogleAuth(scopes) = self.reference
            && !scopes.is_empty()
        {
            options = options.scopes(Scopes::new(scopes));
        }
        let options = (machine.options)(options);
        let found = Search::new(environment.clone(), options.clone())
            .find()
            .await;
        let wish = machine.variables.get(IMPERSONATE);
        let found = found.map(|mut found| {
            if let Some(wish) = wish {
                let wish = serde_json::from_str(wish).unwrap();
                found.credentials = impersonation::act_as(&found.credentials, &wish, &options);
            }
            found
        });
        let result = match found {
            Ok(found) if found.credentials.token().await.is_ok() => {
                let credentials = found.credentials;
                let var = |name: &str| environment.var(name).map(str::to_owned);
                // The number and the ID of a project are equivalent.
                let number = PROJECT_NUMBER.to_string();
                let own = credentials.project();
                let own = own.map(|name| if name == number { PROJECT } else { name });
                let own = own.map(str::to_owned);
                let of_machine = credentials.fetch_metadata_project().await.unwrap();
                Some(Projects {
                    project: match self.reference {
                        Reference::GoogleAuth(_) => var("GOOGLE_CLOUD_PROJECT")
                            .or_else(|| var("GCLOUD_PROJECT"))
                            .or(own)
                            .or(of_machine),
                        Reference::EarthEngine => None,
                    },
                    quota_project: match self.reference {
                        Reference::GoogleAuth(_) => None,
                        // The Python client bills the project of its own file.
                        Reference::EarthEngine => environment.earthengine_file_project().unwrap(),
                    }
                    .or_else(|| var("GOOGLE_CLOUD_QUOTA_PROJECT"))
                    .or_else(|| credentials.quota_project().map(str::to_owned)),
                })
            }
            _ => None,
        };
        Outcome::new(&emulator, &machine, result)
    }
}

impl Outcome {
    fn new(emulator: &Emulator, machine: &Machine, result: Option<Projects>) -> Self {
        let requests = emulator.requests();
        let requests = requests
            .iter()
            .filter(|request| is_for_a_token(request))
            .map(fields);
        // Secrets and IDs are generated for each side.
        let key_id = format!("\"{}\"", machine.robot.private_key_id());
        let drawn = [
            (machine.user.refresh_token(), "gcloud's refresh token"),
            (
                machine.user.earthengine_refresh_token(),
                "Earth Engine's refresh token",
            ),
            (key_id.as_str(), "the key's id"),
        ];
        let requests = requests.map(|request| {
            let plain = |value: String| {
                let of_scenario = machine
                    .drawn
                    .iter()
                    .map(|(secret, name)| (secret.as_str(), *name));
                let known = drawn
                    .into_iter()
                    .chain(of_scenario)
                    .find(|(secret, _)| *secret == value);
                known.map_or(value.clone(), |(_, name)| name.to_owned())
            };
            request
                .into_iter()
                .map(|(name, value)| (name, plain(value)))
                .collect()
        });
        Self {
            requests: requests.collect(),
            result,
        }
    }

    pub(crate) fn differences(&self, actual: &Self) -> Vec<Difference> {
        let mut differences = Vec::new();
        let mut compare = |field: String, expected: Option<String>, actual: Option<String>| {
            if expected != actual {
                let shown = |value: Option<String>| value.unwrap_or_else(|| "(nothing)".into());
                differences.push(Difference {
                    field,
                    expected: shown(expected),
                    actual: shown(actual),
                });
            }
        };
        let outcome = |result: &Option<Projects>| {
            Some(
                if result.is_some() {
                    "a token"
                } else {
                    "an error"
                }
                .to_owned(),
            )
        };
        compare(
            "outcome".into(),
            outcome(&self.result),
            outcome(&actual.result),
        );
        if let (Some(expected), Some(actual)) = (&self.result, &actual.result) {
            compare(
                "project".into(),
                expected.project.clone(),
                actual.project.clone(),
            );
            compare(
                "quota project".into(),
                expected.quota_project.clone(),
                actual.quota_project.clone(),
            );
        }
        compare(
            "number of requests".into(),
            Some(self.requests.len().to_string()),
            Some(actual.requests.len().to_string()),
        );
        for (expected, actual) in self.requests.iter().zip(&actual.requests) {
            let names: BTreeSet<_> = expected.keys().chain(actual.keys()).collect();
            for name in names {
                compare(
                    name.clone(),
                    expected.get(name).cloned(),
                    actual.get(name).cloned(),
                );
            }
        }
        differences
    }
}

/// Returns whether this is a token request. Discovery requests are not compared.
fn is_for_a_token(request: &RecordedRequest) -> bool {
    match request.host.as_str() {
        "oauth2.googleapis.com" | "sts.googleapis.com" | "sts.mtls.googleapis.com" => {
            request.path.ends_with("token")
        }
        "service-identity.gdch.test" => true,
        "iamcredentials.googleapis.com" => request.path.ends_with(":generateAccessToken"),
        "metadata.google.internal" => request.path.ends_with("/token"),
        // Subject tokens of a pipeline and of Azure.
        "tokens.example.com" | "pipelines.actions.githubusercontent.com" => true,
        "169.254.169.254" => request.path.starts_with("/metadata/"),
        _ => false,
    }
}

/// Returns the interpreter that `cargo xtask test` installed, or `None` if it is skipped.
pub(crate) fn python() -> Option<PathBuf> {
    reference_client("EE_TESTS_PYTHON")
}
