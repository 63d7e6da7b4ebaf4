//! A machine with an emulator, a home directory and an environment of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use ee_emulator::{AwsKey, Emulator, Fault, Project};
use ee_test_support::subprocess::copy_program;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::placeholders::Placeholders;
use crate::situation::{Played, Scripted, Situation};

const PROJECT: &str = "my-project";
const ROBOT: &str = "robot@my-project.iam.gserviceaccount.com";
const POOL: &str = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/pool/providers";
const AWS_KEY: [&str; 3] = ["ASIAMADEUP", "made/up+canary-secret", "canary-session"];

pub(crate) struct Machine {
    emulator: Emulator,
    home: TempDir,
    /// Another directory, which holds the program if another user runs it.
    outside: TempDir,
    pub(crate) secrets: Vec<String>,
}

impl Machine {
    /// Sets up a situation and fills its placeholders.
    pub(crate) async fn new(situation: &mut Situation) -> Self {
        let project = Project::new(PROJECT).number(123_456_789_012);
        let mut builder = Emulator::builder().project(project);
        if let Some(metadata) = &situation.metadata {
            builder = builder.metadata_server(&metadata.email, PROJECT, &metadata.scopes);
            if metadata.honors_scopes {
                builder = builder.metadata_honors_scopes();
            }
        }
        let emulator = builder.start().await.unwrap();
        let [home, outside] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let (placeholders, secrets) = accounts(&emulator, home.path(), outside.path());
        let machine = Self {
            emulator,
            home,
            outside,
            secrets,
        };
        machine.federate(situation);
        fill(situation, &placeholders);
        machine.write(situation);
        for scripted in &situation.responses {
            machine.script(scripted);
        }
        machine
    }

    /// Writes the federated credential of a situation.
    fn federate(&self, situation: &mut Situation) {
        let Some(source) = situation.credential_source.take() else {
            return;
        };
        let (provider, token_type) = match source.get("environment_id") {
            Some(_) => ("aws", "urn:ietf:params:aws:token-type:aws4_request"),
            None => ("oidc", "urn:ietf:params:oauth:token-type:jwt"),
        };
        let account = json!({
            "type": "external_account", "audience": format!("{POOL}/{provider}"),
            "subject_token_type": token_type, "credential_source": source,
            "token_url": "https://sts.googleapis.com/v1/token",
        });
        situation.files.insert("account.json".into(), account);
        let variable = "GOOGLE_APPLICATION_CREDENTIALS";
        let path = "{home}/account.json".to_owned();
        situation.env.insert(variable.into(), path);
        let project = situation.env.entry("EARTHENGINE_PROJECT".into());
        project.or_insert_with(|| PROJECT.into());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn write(&self, situation: &Situation) {
        for name in &situation.directories {
            fs::create_dir_all(self.path(name)).unwrap();
        }
        for (name, contents) in &situation.files {
            let path = self.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text(contents)).unwrap();
            set_mode(&path, if name.ends_with(".sh") { 0o700 } else { 0o600 });
        }
        #[cfg(unix)]
        for (name, target) in &situation.links {
            let path = self.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(target, path).unwrap();
        }
    }

    fn script(&self, scripted: &Scripted) {
        let fault = match scripted.status {
            Some(0) => Fault::disconnect(),
            status => Fault::status(status.unwrap_or(200)),
        };
        let mut fault = match &scripted.body {
            Value::Null => fault,
            Value::String(text) => fault.body(text.clone()),
            json => fault.json(json),
        };
        for (name, value) in &scripted.headers {
            fault = fault.header(name, value);
        }
        for (name, value) in &scripted.require {
            fault = fault.require_header(name, value);
        }
        let (method, target) = match scripted.to.split_once(' ') {
            Some((method, target)) => (Some(method), target),
            None => (None, &scripted.to[..]),
        };
        if let Some(method) = method {
            fault = fault.on_method(method);
        }
        let host = target.split('/').next().unwrap();
        if target != host {
            fault = fault.on_path(&target[host.len()..]);
        }
        let times = scripted.times.unwrap_or(usize::MAX);
        self.emulator.fault(host, fault.times(times));
    }

    pub(crate) async fn run(&self, situation: &Situation) -> Played {
        let mut command = self.command(situation);
        let started = Instant::now();
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = output.await.unwrap();
        let elapsed = started.elapsed();
        for name in situation.modes.keys() {
            // So that the directory can be deleted.
            set_mode(&self.path(name), 0o700);
        }
        let requests = self.emulator.requests();
        let requests = requests.iter().map(|request| {
            let query = match &request.query[..] {
                "" => String::new(),
                query => format!("?{query}"),
            };
            format!("{} {}{}{query}", request.method, request.host, request.path)
        });
        Played {
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            requests: requests.collect(),
            elapsed,
        }
    }

    fn command(&self, situation: &Situation) -> Command {
        let mut program = PathBuf::from(env!("CARGO_BIN_EXE_eectl"));
        let is_root = !situation.modes.is_empty() && is_owned_by_root(self.home.path());
        if is_root {
            // Permissions do not apply to root, and another user may not reach the program.
            let copy = self.outside.path().join("eectl");
            copy_program(&program, &copy);
            program = copy;
        }
        let mut command = Command::new(program);
        command
            .args(&situation.args)
            .env_clear()
            .env("HOME", self.home.path())
            .env("PATH", "/usr/bin:/bin")
            .env(
                "EARTHENGINE_EMULATOR_HOST",
                self.emulator.address().to_string(),
            )
            .current_dir(self.outside.path());
        if situation.metadata.is_none() {
            command.env("NO_GCE_CHECK", "true");
        }
        if cfg!(not(target_os = "linux")) {
            // Only Linux reveals who owns a listening socket.
            command.env("EARTHENGINE_EMULATOR_TRUST", "1");
        }
        command.envs(&situation.env);
        #[cfg(unix)]
        if is_root {
            use std::os::unix::process::CommandExt as _;
            const OTHER_USER: u32 = 65_534;
            chown_all(self.home.path(), OTHER_USER);
            chown_all(self.outside.path(), OTHER_USER);
            command.uid(OTHER_USER).gid(OTHER_USER);
        }
        // Last, because files cannot be created in an inaccessible directory.
        for (name, mode) in &situation.modes {
            set_mode(&self.path(name), u32::from_str_radix(mode, 8).unwrap());
        }
        command
    }
}

/// Creates the accounts that placeholders stand for, and returns their secrets.
fn accounts(emulator: &Emulator, home: &Path, outside: &Path) -> (Placeholders, Vec<String>) {
    let jane = emulator.create_user("jane@example.com");
    let key = emulator.create_service_account(ROBOT, PROJECT).json_key();
    let provider = emulator.create_oidc_provider(&format!("{POOL}/oidc"));
    emulator.create_aws_provider(&format!("{POOL}/aws"));
    let [key_id, secret, token] = AWS_KEY;
    emulator.add_aws_key(AwsKey::temporary(key_id, secret, token));
    let refresh_token = jane.earthengine_refresh_token().to_owned();
    let jwt = provider.subject_token("me");
    let expired = provider.subject_token_expiring_in("me", -60);
    let parsed: Value = serde_json::from_str(&key).unwrap();
    // The first lines of a PEM are the same for every key.
    let whole_pem = parsed["private_key"].as_str().unwrap().to_owned();
    let pem = whole_pem.lines().nth(5);
    let secrets = vec![
        pem.unwrap().to_owned(),
        refresh_token.clone(),
        jwt.clone(),
        expired.clone(),
        "canary".to_owned(),
    ];
    let placeholders = BTreeMap::from([
        ("home", home.display().to_string()),
        ("outside", outside.display().to_string()),
        ("emulator", emulator.address().to_string()),
        ("key", key),
        ("pem", whole_pem.clone()),
        ("login", jane.authorized_user_json()),
        ("earthengine_login", jane.earthengine_file_json(None)),
        ("refresh_token", refresh_token),
        ("jwt", jwt),
        ("expired_jwt", expired),
        ("aws_key_id", key_id.to_owned()),
        ("aws_secret", secret.to_owned()),
        ("aws_token", token.to_owned()),
    ]);
    (Placeholders(placeholders), secrets)
}

fn fill(situation: &mut Situation, placeholders: &Placeholders) {
    let files = std::mem::take(&mut situation.files);
    for (mut name, mut contents) in files {
        placeholders.fill(&mut name);
        placeholders.fill_value(&mut contents);
        situation.files.insert(name, contents);
    }
    let texts = situation.env.values_mut().chain(&mut situation.args);
    let texts = texts.chain(situation.links.values_mut());
    texts.for_each(|text| placeholders.fill(text));
    for scripted in &mut situation.responses {
        placeholders.fill_value(&mut scripted.body);
        let headers = scripted.headers.values_mut();
        let headers = headers.chain(scripted.require.values_mut());
        headers.for_each(|value| placeholders.fill(value));
    }
}

fn text(contents: &Value) -> String {
    match contents {
        Value::String(text) => text.clone(),
        json => json.to_string(),
    }
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) {}

#[cfg(unix)]
fn is_owned_by_root(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(path).unwrap().uid() == 0
}

#[cfg(not(unix))]
fn is_owned_by_root(_: &Path) -> bool {
    false
}

/// Changes the owner of a directory and everything in it.
#[cfg(unix)]
fn chown_all(path: &Path, user: u32) {
    std::os::unix::fs::lchown(path, Some(user), Some(user)).unwrap();
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).unwrap() {
            chown_all(&entry.unwrap().path(), user);
        }
    }
}
