//! The configuration file of `eectl emulator`, in TOML.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use earthengine::Remedy;
use earthengine::token::internal::display_path;
use ee_emulator::{Description, Emulator, EmulatorBuilder, Project, ServiceAccount, User};
use serde::Deserialize;

use crate::error::CliError;

/// The maximum size of a configuration file, in bytes.
const MAX_SIZE: u64 = 1 << 20;

/// The accounts, projects and OAuth clients of an emulator, and the machine that it emulates.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) project: Vec<ProjectConfig>,
    pub(crate) user: Vec<UserConfig>,
    pub(crate) service_account: Vec<ServiceAccountConfig>,
    pub(crate) oauth_client: Vec<OAuthClientConfig>,
    pub(crate) machine: Option<MachineConfig>,
    pub(crate) asset: Vec<AssetConfig>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ProjectConfig {
    pub(crate) id: String,
    name: Option<String>,
    number: Option<u64>,
    registration: Registration,
    /// The tier of noncommercial use: `FREE_QUOTA_STANDARD`, for example.
    free_quota: Option<String>,
    api_enabled: Option<bool>,
    suspended: bool,
    /// The accounts that may use the project. All may by default.
    accounts: Option<Vec<String>>,
}

/// A registration state, in Earth Engine's spelling.
#[derive(Default, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Registration {
    RegisteredCommercially,
    #[default]
    RegisteredNotCommercially,
    NotRegistered,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserConfig {
    pub(crate) email: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServiceAccountConfig {
    pub(crate) email: String,
    project: String,
}

/// An OAuth client, without `Debug` because of its secret.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OAuthClientConfig {
    pub(crate) id: String,
    secret: String,
    #[serde(default)]
    redirect_uris: Vec<String>,
}

/// A machine of Google Cloud, whose metadata server the emulator provides.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MachineConfig {
    pub(crate) service_account: String,
    project: String,
    #[serde(default = "cloud_platform")]
    scopes: Vec<String>,
    /// Whether token requests may choose scopes, as on Cloud Run.
    #[serde(default)]
    honors_scopes: bool,
}

fn cloud_platform() -> Vec<String> {
    vec!["cloud-platform".into()]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssetConfig {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

/// The accounts of an emulator.
pub(crate) struct Accounts {
    pub(crate) users: Vec<User>,
    pub(crate) service_accounts: Vec<ServiceAccount>,
}

impl Registration {
    fn as_str(self) -> &'static str {
        match self {
            Self::RegisteredCommercially => "REGISTERED_COMMERCIALLY",
            Self::RegisteredNotCommercially => "REGISTERED_NOT_COMMERCIALLY",
            Self::NotRegistered => "NOT_REGISTERED",
        }
    }
}

impl Config {
    /// The configuration without a file: a project with a user and a service account.
    pub(crate) fn demo() -> Self {
        const PROJECT: &str = "ee-demo-project";
        Self {
            project: vec![ProjectConfig {
                id: PROJECT.into(),
                ..ProjectConfig::default()
            }],
            user: vec![UserConfig {
                email: "jane@example.com".into(),
            }],
            service_account: vec![ServiceAccountConfig {
                email: "demo@ee-demo-project.iam.gserviceaccount.com".into(),
                project: PROJECT.into(),
            }],
            ..Self::default()
        }
    }

    /// Reads and validates a file.
    pub(crate) fn read(path: &Path) -> Result<Self, CliError> {
        let shown = display_path(path);
        let io_error = |e| CliError::io(&format!("cannot read {shown}"), &e);
        let mut text = String::new();
        let file = File::open(path).map_err(io_error)?;
        match file.take(MAX_SIZE + 1).read_to_string(&mut text) {
            Err(e) if e.kind() != ErrorKind::InvalidData => return Err(io_error(e)),
            Err(_) => return Err(invalid(&shown.to_string(), "it is not UTF-8 text")),
            Ok(_) if text.len() as u64 > MAX_SIZE => {
                return Err(invalid(&shown.to_string(), "it is larger than 1 MiB"));
            }
            Ok(_) => {}
        }
        Self::parse(&text).map_err(|problem| invalid(&shown.to_string(), &problem))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let config: Self =
            basic_toml::from_str(text).map_err(|e| without_values(&e.to_string()))?;
        config.validate()?;
        Ok(config)
    }

    /// Checks that every account and project that is referred to exists.
    fn validate(&self) -> Result<(), String> {
        let projects = unique(
            "project",
            "id",
            self.project.iter().map(|project| &project.id),
        )?;
        let users = unique("user", "email", self.user.iter().map(|user| &user.email))?;
        let robots = self.service_account.iter().map(|account| &account.email);
        let mut accounts = unique("service_account", "email", robots)?;
        unique(
            "oauth_client",
            "id",
            self.oauth_client.iter().map(|client| &client.id),
        )?;
        unique("asset", "name", self.asset.iter().map(|asset| &asset.name))?;
        for email in users.iter().chain(&accounts) {
            // Credential files are named after accounts.
            let is_email = email.contains('@') && !email.contains(['/', '\\']);
            if !is_email || email.contains(|c: char| c.is_whitespace() || c.is_control()) {
                return Err(format!("{email:?} is not an email address"));
            }
        }
        accounts.extend(users);
        let machine = self.machine.iter();
        let machine = machine.map(|machine| ("machine", &machine.project));
        let owners = self.service_account.iter();
        let owners = owners.map(|account| ("service_account", &account.project));
        for (table, project) in owners.chain(machine) {
            if !projects.contains(project.as_str()) {
                return Err(format!(
                    "{table} names the project {project:?}, which no [[project]] has as its id"
                ));
            }
        }
        accounts.extend(self.machine.iter().map(|machine| &*machine.service_account));
        let tiers = Description::get().values("FreeQuota").unwrap_or_default();
        for project in &self.project {
            if let Some(tier) = &project.free_quota
                && !tiers.contains(tier)
            {
                return Err(format!(
                    "the project {:?} has an unknown free_quota: expected one of {}",
                    project.id,
                    tiers.join(", ")
                ));
            }
            let unknown = project.accounts.iter().flatten();
            let mut unknown = unknown.filter(|email| !accounts.contains(email.as_str()));
            if let Some(email) = unknown.next() {
                return Err(format!(
                    "the project {:?} names the account {email:?}, which no [[user]] or [[service_account]] has as its email",
                    project.id
                ));
            }
        }
        Ok(())
    }

    /// Returns a builder of the emulator.
    pub(crate) fn builder(&self) -> EmulatorBuilder {
        let mut builder = Emulator::builder();
        for project in &self.project {
            builder = builder.project(project.build());
        }
        for client in &self.oauth_client {
            builder = builder.oauth_client(&client.id, &client.secret);
            for uri in &client.redirect_uris {
                builder = builder.redirect_uri(&client.id, uri);
            }
        }
        if let Some(machine) = &self.machine {
            let MachineConfig {
                service_account,
                project,
                scopes,
                ..
            } = machine;
            builder = builder.metadata_server(service_account, project, scopes);
            if machine.honors_scopes {
                builder = builder.metadata_honors_scopes();
            }
        }
        builder
    }

    /// Creates the users, the service accounts and the assets.
    pub(crate) fn create(&self, emulator: &Emulator) -> Accounts {
        for asset in &self.asset {
            emulator.put_asset(&asset.name, &asset.kind);
        }
        let users = self.user.iter();
        let robots = self.service_account.iter();
        Accounts {
            users: users
                .map(|user| emulator.create_user(&user.email))
                .collect(),
            service_accounts: robots
                .map(|account| emulator.create_service_account(&account.email, &account.project))
                .collect(),
        }
    }
}

impl ProjectConfig {
    fn build(&self) -> Project {
        let mut project = Project::new(&self.id)
            .registration(self.registration.as_str())
            .api_enabled(self.api_enabled.unwrap_or(true))
            .suspended(self.suspended);
        if let Some(name) = &self.name {
            project = project.display_name(name);
        }
        if let Some(tier) = &self.free_quota {
            project = project.free_quota(tier);
        }
        if let Some(number) = self.number {
            project = project.number(number);
        }
        if let Some(accounts) = &self.accounts {
            project = project.denied(true);
            for email in accounts {
                project = project.allow(email);
            }
        }
        project
    }

    /// Describes the state of the project for people.
    pub(crate) fn describe(&self) -> String {
        let mut notes = Vec::new();
        if self.registration == Registration::NotRegistered {
            notes.push("not registered".to_owned());
        }
        if self.api_enabled == Some(false) {
            notes.push("API disabled".to_owned());
        }
        if self.suspended {
            notes.push("suspended".to_owned());
        }
        if let Some(accounts) = &self.accounts {
            notes.push(format!("only for {}", accounts.join(", ")));
        }
        match notes.is_empty() {
            true => self.id.clone(),
            false => format!("{} ({})", self.id, notes.join("; ")),
        }
    }
}

/// Returns the values of the key that identifies a table's entries. They must be distinct and not
/// empty.
fn unique<'a>(
    table: &str,
    key: &str,
    names: impl Iterator<Item = &'a String>,
) -> Result<BTreeSet<&'a str>, String> {
    let mut all = BTreeSet::new();
    for name in names {
        if name.trim().is_empty() {
            return Err(format!("a [[{table}]] has no {key}"));
        }
        if !all.insert(name.as_str()) {
            return Err(format!("two [[{table}]] have the {key} {name:?}"));
        }
    }
    Ok(all)
}

fn invalid(path: &str, problem: &str) -> CliError {
    CliError::usage_with_remedy(
        &format!("the configuration {path} is not valid: {problem}"),
        Remedy::new(
            "Correct the file. The page \"Testing with the emulator\" describes its tables.",
        ),
    )
}

/// Removes quoted values from a message, because a value in the wrong field could be a secret.
fn without_values(message: &str) -> String {
    let mut parts = message.split('"');
    let mut kept = parts.next().unwrap_or_default().to_owned();
    while let (Some(_), Some(after)) = (parts.next(), parts.next()) {
        kept += "\"…\"";
        kept += after;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNTS: &str = r#"
[[project]]
id = "my-project"
accounts = ["jane@example.com"]

[[user]]
email = "jane@example.com"
"#;

    fn problem(text: &str) -> String {
        Config::parse(text).map(drop).unwrap_err()
    }

    #[test]
    fn invalid_files_name_the_problem() {
        for (text, expected) in [
            ("[[projekt]]", "unknown field `projekt`"),
            ("[[project]]\nid = 1", "expected a string"),
            ("[[project]]\nregistration = \"NO\"", "expected one of"),
            (
                "[[project]]\nid = \"p\"\nfree_quota = \"STANDARD\"",
                "expected one of FREE_QUOTA_",
            ),
            ("[[project]]\nname = \"x\"", "a [[project]] has no id"),
            (
                "[[user]]\nemail = \"jane\"",
                "\"jane\" is not an email address",
            ),
            ("[[user]]\nemail = \"a/../b@c\"", "is not an email address"),
            (
                "[machine]\nproject = \"p\"",
                "missing field `service_account`",
            ),
            (
                "[machine]\nproject = \"p\"\nservice_account = \"a@b\"",
                "machine names the project \"p\"",
            ),
            ("not TOML", "line 1"),
        ] {
            let found = problem(text);
            assert!(found.contains(expected), "{text}: {found}");
        }
        let twice = format!("{ACCOUNTS}[[user]]\nemail = \"jane@example.com\"");
        assert!(problem(&twice).contains("two [[user]]"));
        let unknown = ACCOUNTS.replace("[\"jane@", "[\"bob@");
        assert!(problem(&unknown).contains("\"bob@example.com\""));
        assert!(Config::parse(ACCOUNTS).is_ok());
    }

    #[test]
    fn errors_show_no_values() {
        let text = "[[oauth_client]]\nid = \"x\"\nsecret = \"s\"\nredirect_uris = \"canary\"";
        let found = problem(text);
        assert!(!found.contains("canary"), "{found}");
        assert!(found.contains("expected a sequence"), "{found}");
    }

    #[test]
    fn projects_are_described_by_their_restrictions() {
        let config = Config::parse(ACCOUNTS).unwrap();
        assert_eq!(
            config.project[0].describe(),
            "my-project (only for jane@example.com)"
        );
        assert_eq!(Config::demo().project[0].describe(), "ee-demo-project");
    }
}
