//! A machine of a platform: an emulator, a home directory and an environment.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ee_emulator::{Emulator, EmulatorBuilder, Project};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const PROJECT: &str = "my-project";
pub(crate) const ROBOT: &str = "robot@my-project.iam.gserviceaccount.com";
const POOL: &str = "iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/my-pool/providers";

pub(crate) struct Platform {
    pub(crate) emulator: Emulator,
    pub(crate) home: TempDir,
    variables: BTreeMap<String, String>,
}

impl Platform {
    /// A machine outside of Google Cloud.
    pub(crate) fn new() -> Self {
        let mut platform = Self::with(|builder| builder);
        platform.set("NO_GCE_CHECK", "true");
        platform
    }

    /// A machine of Google Cloud with these scopes.
    pub(crate) fn on_google_cloud(
        scopes: &[String],
        settings: impl FnOnce(EmulatorBuilder) -> EmulatorBuilder,
    ) -> Self {
        Self::with(|builder| settings(builder.metadata_server(ROBOT, PROJECT, scopes)))
    }

    fn with(settings: impl FnOnce(EmulatorBuilder) -> EmulatorBuilder) -> Self {
        let project = Project::new(PROJECT).number(123_456_789_012);
        let builder = Emulator::builder().project(project);
        let emulator = settings(builder).start_blocking().unwrap();
        let home = tempfile::tempdir().unwrap();
        let mut platform = Self {
            emulator,
            home,
            variables: BTreeMap::new(),
        };
        let address = platform.emulator.address().to_string();
        platform.set("EARTHENGINE_EMULATOR_HOST", &address);
        if cfg!(not(target_os = "linux")) {
            // Only Linux reveals who owns a listening socket.
            platform.set("EARTHENGINE_EMULATOR_TRUST", "1");
        }
        platform
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.insert(name.into(), value.into());
    }

    pub(crate) fn set_all(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        self.variables.extend(variables);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes a file that only its owner can read, and returns its path.
    pub(crate) fn file(&self, name: &str, contents: &str) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, contents).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        path.display().to_string()
    }

    /// Lets the subjects of a page's credential file use its service account, with a provider that
    /// issues tokens. Returns a token.
    pub(crate) fn trust(&self, credential: &Value, provider: &str) -> String {
        let audience = credential["audience"].as_str().unwrap();
        assert_eq!(audience, format!("//{POOL}/{provider}"));
        self.emulator.create_service_account(ROBOT, PROJECT);
        let provider = self.emulator.create_oidc_provider(audience);
        let principal = provider.principal("the job");
        self.emulator.allow_impersonation(&principal, ROBOT);
        provider.subject_token("the job")
    }

    /// Runs `eectl` and returns its exit status and JSON, of the result or the error.
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, Value) {
        let output = self
            .command(Path::new(env!("CARGO_BIN_EXE_eectl")))
            .args(arguments)
            .args(["--json", "--quiet"])
            .output()
            .unwrap();
        let text = match output.stdout.is_empty() {
            true => output.stderr,
            false => output.stdout,
        };
        let json = serde_json::from_slice(&text);
        let json = json.unwrap_or_else(|_| String::from_utf8_lossy(&text).into());
        (output.status.code().unwrap(), json)
    }

    /// A program in the home directory with nothing but the variables of the platform.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.home.path())
            .env_clear()
            .env("HOME", self.home.path())
            .env("PATH", "/usr/bin:/bin")
            .envs(&self.variables);
        command
    }

    /// Connects as the service account, and checks every step.
    #[track_caller]
    pub(crate) fn connects(&self) {
        self.connects_as(Some(ROBOT));
    }

    #[track_caller]
    pub(crate) fn connects_as(&self, principal: Option<&str>) {
        let (status, json) = self.run(&["init"]);
        assert_eq!(status, 0, "{json:#}");
        assert_eq!(json["project"], PROJECT);
        assert_eq!(json["credential"]["principal"].as_str(), principal);
        let (status, diagnosis) = self.run(&["doctor"]);
        assert_eq!(status, 0, "{diagnosis:#}");
        assert_eq!(diagnosis["ok"], true);
    }

    /// Fails with this code, and with this text in the error or its remedy.
    #[track_caller]
    pub(crate) fn fails(&self, code: &str, text: &str) {
        let (status, json) = self.run(&["init"]);
        assert_ne!(status, 0, "{json:#}");
        let error = &json["error"];
        assert_eq!(error["code"], code, "{json:#}");
        let is_named = error.to_string().contains(text);
        assert!(is_named, "{text:?} is not in {json:#}");
    }
}
