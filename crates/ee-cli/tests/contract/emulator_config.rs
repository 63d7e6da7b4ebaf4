//! `eectl emulator --config`.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::Child;

use super::*;

const CONFIG: &str = r#"
[[project]]
id = "ada-project"
name = "Ada's maps"
free_quota = "FREE_QUOTA_STANDARD"
accounts = ["ada@example.com", "vm@shared-project.iam.gserviceaccount.com"]

[[project]]
id = "shared-project"
registration = "REGISTERED_COMMERCIALLY"

[[project]]
id = "new-project"
registration = "NOT_REGISTERED"

[[project]]
id = "old-project"
api_enabled = false

[[user]]
email = "ada@example.com"

[[user]]
email = "bob@example.com"

[[service_account]]
email = "robot@shared-project.iam.gserviceaccount.com"
project = "shared-project"

[[oauth_client]]
id = "42-web.apps.googleusercontent.com"
secret = "a-secret-of-the-test"
redirect_uris = ["https://app.example.com/callback"]

[[asset]]
name = "projects/shared-project/assets/map"
type = "IMAGE"

[machine]
service_account = "vm@shared-project.iam.gserviceaccount.com"
project = "shared-project"
scopes = ["earthengine"]
"#;

/// A running `eectl emulator`.
struct Served {
    child: Child,
    address: String,
    home: TempDir,
}

impl Served {
    fn start(config: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("emulator.toml");
        fs::write(&file, config).unwrap();
        let mut child = Command::new(EECTL)
            .args(["emulator", "--port=0", "--write-credentials"])
            .arg(home.path().join("credentials"))
            .arg("--config")
            .arg(file)
            .env_clear()
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut address)
            .unwrap();
        let address = address.trim().to_owned();
        Self {
            child,
            address,
            home,
        }
    }

    /// Runs `eectl --json` and returns its exit status and its output or error.
    fn run(&self, credentials: Option<&str>, arguments: &[&str]) -> (i32, Value) {
        let mut command = Command::new(EECTL);
        command.args(arguments).args(["--json", "-q"]).env_clear();
        command.env("HOME", self.home.path());
        command.env("EARTHENGINE_EMULATOR_HOST", &self.address);
        command.env("EARTHENGINE_EMULATOR_TRUST", "1");
        if let Some(name) = credentials {
            let path = Path::new("credentials").join(name);
            command
                .arg("--credentials")
                .arg(self.home.path().join(path));
        }
        let output = command.output().unwrap();
        let status = output.status.code().unwrap();
        let text = if status == 0 {
            output.stdout
        } else {
            output.stderr
        };
        (status, serde_json::from_slice(&text).unwrap_or_default())
    }

    /// Ends the emulator and returns what it printed on standard error.
    fn stop(mut self) -> String {
        self.child.kill().unwrap();
        let mut text = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut text).unwrap();
        self.child.wait().unwrap();
        text
    }
}

#[test]
fn emulator_serves_the_configured_accounts_and_projects() {
    let served = Served::start(CONFIG);
    let ada = "earthengine_credentials.json";
    let bob = "bob@example.com.json";
    for (credentials, project, status, code) in [
        (ada, "ada-project", 0, ""),
        (bob, "ada-project", 5, "project_denied"),
        (bob, "shared-project", 0, ""),
        (ada, "new-project", 5, "not_registered"),
        (ada, "old-project", 5, "api_disabled"),
        ("service_account.json", "shared-project", 0, ""),
    ] {
        let (found, json) = served.run(Some(credentials), &["init", "--project", project]);
        let case = format!("{credentials} in {project}: {json}");
        assert_eq!(found, status, "{case}");
        assert_eq!(
            json["error"]["code"].as_str().unwrap_or_default(),
            code,
            "{case}"
        );
    }
    let (_, init) = served.run(Some(bob), &["init", "--project", "shared-project"]);
    assert_eq!(init["registration"], "REGISTERED_COMMERCIALLY");
    assert_eq!(init["tier"], Value::Null);
    let (_, init) = served.run(Some(ada), &["init", "--project", "ada-project"]);
    assert_eq!(init["tier"], "standard");
    let asset = "projects/shared-project/assets/map";
    let (status, json) = served.run(Some(bob), &["api", asset, "--project", "shared-project"]);
    assert_eq!((status, &json["type"]), (0, &"IMAGE".into()), "{json}");

    // Without other credentials, the machine's metadata server provides them.
    let (status, json) = served.run(None, &["init"]);
    assert_eq!((status, &json["project"]), (0, &"shared-project".into()));
    let machine = "vm@shared-project.iam.gserviceaccount.com";
    assert_eq!(json["credential"]["principal"], machine);

    let printed = served.stop();
    for text in [
        "new-project (not registered)",
        "old-project (API disabled)",
        "ada-project (only for ada@example.com, vm@",
        "42-web.apps.googleusercontent.com",
        "runs as vm@",
    ] {
        assert!(printed.contains(text), "{text}: {printed}");
    }
    assert!(!printed.contains("a-secret-of-the-test"), "{printed}");
}

#[tokio::test]
async fn invalid_emulator_configuration_is_a_usage_error() {
    let machine = Machine::new().await;
    let path = machine.file("emulator.toml", "[[projekt]]\nid = \"x\"");
    let (status, error) = machine.failure(&["emulator", "--config", &path]).await;
    assert_eq!((status, code(&error)), (2, "usage"), "{error}");
    for text in ["emulator.toml", "projekt", "oauth_client"] {
        assert!(message(&error).contains(text), "{error}");
    }
    let missing = machine.home.path().join("nowhere.toml");
    let missing = missing.display().to_string();
    let (status, error) = machine.failure(&["emulator", "--config", &missing]).await;
    assert_eq!((status, code(&error)), (1, "io"), "{error}");
}

#[tokio::test]
async fn credentials_of_no_account_are_an_error() {
    let machine = Machine::new().await;
    let (file, dir) = (
        machine.home.path().join("emulator.toml"),
        machine.home.path().join("credentials"),
    );
    fs::write(&file, "[[project]]\nid = \"ada-project\"\n").unwrap();
    let paths = [&file, &dir].map(|path| path.to_str().unwrap());
    let emulator = ["emulator", "--port=0", "--config", paths[0]];
    let write = ["--write-credentials", paths[1]];
    let (status, error) = machine.failure(&[&emulator[..], &write].concat()).await;
    assert_eq!((status, code(&error)), (2, "usage"));
    assert!(remedy(&error).contains("[[user]]"));
    assert!(!dir.exists());
}
