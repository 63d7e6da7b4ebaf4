//! `eectl auth status`: who is logged in, and what for.

use earthengine::LoginStatus;
use serde_json::{Value, json};

use crate::arguments::Global;
use crate::failure::{Failure, Stage};
use crate::output::{plain, print, warn, warning_json};

pub(crate) async fn run(global: &Global) -> Result<(), Failure> {
    let status = crate::command::builder(global)
        .login_status()
        .await
        .map_err(|error| Failure::new(&error, Stage::Init))?;
    if global.json {
        return print(format!("{}\n", as_json(&status)));
    }
    if !global.quiet {
        warn(&status.warnings);
    }
    print(in_words(&status))
}

fn as_json(status: &LoginStatus) -> Value {
    let credentials = &status.found.credentials;
    let mut credential = json!({
        "kind": credentials.kind().as_str(),
        "source": credentials.origin().as_str(),
    });
    if let Some(path) = credentials.path() {
        credential["path"] = json!(path.display().to_string());
    }
    if let Some(principal) = &status.principal {
        credential["principal"] = json!(principal);
    }
    if let Some(project) = credentials.quota_project() {
        credential["quota_project"] = json!(project);
    }
    let token = status.token.as_ref().map(|_| {
        json!({
            "expires_at": expires_at(status),
            "scopes": status.scopes.iter().collect::<Vec<_>>(),
        })
    });
    let warnings = status.warnings.iter().map(warning_json);
    let searched = status
        .found
        .searched
        .iter()
        .map(|step| json!({"step": step.name, "outcome": step.outcome.as_str()}));
    json!({
        "credential": credential,
        "token": token,
        "warnings": warnings.collect::<Vec<_>>(),
        "searched": searched.collect::<Vec<_>>(),
    })
}

fn expires_at(status: &LoginStatus) -> Option<String> {
    let end = status.token.as_ref()?.expires_at()?;
    Some(end.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn in_words(status: &LoginStatus) -> String {
    let credentials = &status.found.credentials;
    let mut text = String::new();
    let mut line = |name: &str, value: &str| text += &format!("{name:<14}{}\n", plain(value));
    line("credential", credentials.kind().as_str());
    line(
        "found in",
        &match credentials.path() {
            Some(path) => format!("{} ({})", path.display(), credentials.origin()),
            None => credentials.origin().to_string(),
        },
    );
    if let Some(principal) = &status.principal {
        line("account", principal);
    }
    if let Some(project) = credentials.quota_project() {
        line("quota project", project);
    }
    if status.token.is_some() {
        line(
            "token until",
            &expires_at(status).unwrap_or_else(|| "nobody says".to_owned()),
        );
        for (i, scope) in status.scopes.iter().enumerate() {
            line(if i == 0 { "scopes" } else { "" }, scope);
        }
    }
    text.push_str("searched\n");
    for step in &status.found.searched {
        text += &format!("  {}\n", plain(&step.to_string()));
    }
    text
}
