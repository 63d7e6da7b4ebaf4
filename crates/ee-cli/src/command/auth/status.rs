//! `eectl auth status`: shows the credentials, their account and the scopes of their token.

use earthengine::credentials::{Accounts, CredentialKind, CredentialSource};
use earthengine::{Environment, LoginStatus};
use serde_json::{Value, json};

use super::expires_at;
use crate::cli::Global;
use crate::command::account::selected_account;
use crate::error::CliError;
use crate::output::{path_json, print, print_json, strip_unsafe_chars, warn, warnings_as_json};
use crate::words;

pub(crate) async fn run(global: &Global) -> Result<(), CliError> {
    let status = crate::command::builder(global)
        .login_status()
        .await
        .map_err(CliError::init)?;
    let account = account(global, &status);
    if global.json {
        return print_json(&as_json(&status, account.as_deref()));
    }
    if !global.quiet {
        warn(&status.warnings);
    }
    print(render_text(&status, account.as_deref()))
}

/// Returns the name of the account that is used, if it has one.
fn account(global: &Global, status: &LoginStatus) -> Option<String> {
    let environment = Environment::current();
    let name = match status.found.credentials.source() {
        CredentialSource::Account => selected_account(global, &environment).ok()?,
        CredentialSource::EarthEngineFile => Accounts::open(&environment).ok()?.active().ok()?,
        _ => None,
    };
    name.map(|name| name.as_str().to_owned())
}

const NO_ADDRESS: &str =
    "email address unknown; to show it, log in with `eectl auth login --with-email --force`";

/// Whether the credential is a login of this command, which may not tell whose it is.
fn is_user_login(kind: CredentialKind) -> bool {
    kind == CredentialKind::EarthEngineFile
}

fn as_json(status: &LoginStatus, account: Option<&str>) -> Value {
    let credentials = &status.found.credentials;
    let mut credential = json!({
        "kind": credentials.kind().as_str(),
        "source": credentials.source().as_str(),
    });
    if let Some(path) = credentials.path() {
        credential["path"] = path_json(path);
    }
    if let Some(principal) = &status.principal {
        credential["principal"] = json!(principal);
    }
    if let Some(name) = account {
        credential["account"] = json!(name);
    }
    if let Some(project) = credentials.quota_project() {
        credential["quota_project"] = json!(project);
    }
    let token = status.token.as_ref().map(|token| {
        let scopes: Vec<_> = status.scopes.iter().collect();
        let mut token = json!({"expires_at": expires_at(token), "scopes": scopes});
        if status.scopes_are_requested {
            token["scopes_are_requested"] = json!(true);
        }
        token
    });
    let searched = status
        .found
        .searched
        .iter()
        .map(|step| json!({"step": step.source.as_str(), "outcome": step.outcome.as_str()}));
    json!({
        "credential": credential,
        "token": token,
        "warnings": warnings_as_json(&status.warnings),
        "searched": searched.collect::<Vec<_>>(),
    })
}

fn render_text(status: &LoginStatus, account: Option<&str>) -> String {
    let credentials = &status.found.credentials;
    let mut text = String::new();
    let mut line =
        |name: &str, value: &str| text += &format!("{name:<14}{}\n", strip_unsafe_chars(value));
    line("credential", credentials.kind().description());
    line("source", &words::credential_source(credentials));
    match (&status.principal, account) {
        (Some(principal), Some(name)) => line("account", &format!("{principal} ({name})")),
        (Some(principal), None) => line("account", principal),
        (None, Some(name)) => line("account", &format!("{name} ({NO_ADDRESS})")),
        (None, None) if is_user_login(credentials.kind()) => line("account", NO_ADDRESS),
        (None, None) => {}
    }
    if let Some(project) = credentials.quota_project() {
        line("quota project", project);
    }
    if let Some(token) = &status.token {
        line(
            "token expires",
            &token.expires_at().map_or_else(
                || "unknown".to_owned(),
                |expiry| expiry.format("%Y-%m-%d %H:%M UTC").to_string(),
            ),
        );
        let title = match status.scopes_are_requested {
            true => "requested",
            false => "scopes",
        };
        for (i, scope) in status.scopes.iter().enumerate() {
            line(if i == 0 { title } else { "" }, scope);
        }
    }
    text.push_str("searched\n");
    for step in &status.found.searched {
        text += &format!("  {}\n", strip_unsafe_chars(&step.to_string()));
    }
    text
}
