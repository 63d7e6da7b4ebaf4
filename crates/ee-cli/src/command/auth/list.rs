//! `eectl auth list`: lists the accounts.

use earthengine::Environment;
use earthengine::credentials::{Account, Accounts};
use serde_json::{Value, json};

use crate::cli::{Global, ListAccounts};
use crate::command::account::reject_selection;
use crate::error::CliError;
use crate::output::{path_json, print, print_json, print_status, strip_unsafe_chars, warn};
use crate::table::Table;

pub(crate) fn run(global: &Global, arguments: &ListAccounts) -> Result<(), CliError> {
    reject_selection(global, "list, which shows all accounts")?;
    let accounts = Accounts::open(&Environment::current())?;
    let list = accounts.list()?;
    if global.json {
        return print_json(&Value::Array(list.iter().map(as_json).collect()));
    }
    if !global.quiet {
        if list.is_empty() {
            print_status("not logged in; log in with `eectl auth login`");
        }
        for account in &list {
            match &account.contents {
                Ok(contents) => warn(&contents.warnings),
                Err(error) => {
                    print_status(&format!("warning: {error}\n    {}", error.remedy().text));
                }
            }
        }
    }
    if arguments.list.is_csv() {
        return csv(&list).print_csv();
    }
    let width = list.iter().map(|account| name(account).len()).max();
    let width = width.unwrap_or_default().max(12);
    print(
        list.iter()
            .map(|account| line(account, width))
            .collect::<String>(),
    )
}

fn name(account: &Account) -> &str {
    match &account.name {
        Some(name) => name.as_str(),
        None => "(no name)",
    }
}

fn as_json(account: &Account) -> Value {
    let mut json = json!({
        "account": account.name.as_ref().map(|name| name.as_str()),
        "active": account.is_active,
        "path": path_json(&account.path),
    });
    match &account.contents {
        Ok(contents) => {
            let file = &contents.file;
            if let Some(project) = file.project() {
                json["project"] = json!(project);
            }
            if let Some(mode) = file.login_mode() {
                json["mode"] = json!(mode);
            }
            if let Some(end) = file.login_expires_at() {
                json["expires_at"] = json!(end.to_rfc3339());
            }
        }
        Err(error) => json["error"] = json!(error.to_string()),
    }
    json
}

fn csv(list: &[Account]) -> Table {
    let mut table = Table::new(["account", "project", "path"]);
    for account in list {
        let project = account
            .contents
            .as_ref()
            .ok()
            .and_then(|found| found.file.project());
        let cells = [
            account.name.as_ref().map_or("", |name| name.as_str()),
            project.unwrap_or_default(),
            &account.path.to_string_lossy(),
        ];
        table.marked_row(account.is_active, cells.map(str::to_owned));
    }
    table
}

fn line(account: &Account, width: usize) -> String {
    let mark = if account.is_active { '*' } else { ' ' };
    let details = match &account.contents {
        Ok(contents) => {
            let file = &contents.file;
            let project = file.project().unwrap_or("no project");
            let expiry = file.login_expires_at();
            let expiry = expiry.map(|end| format!(", expires {}", end.format("%Y-%m-%d")));
            format!("{project}{}", expiry.unwrap_or_default())
        }
        Err(_) => "invalid".to_owned(),
    };
    let active = if account.is_active { " (active)" } else { "" };
    let details = strip_unsafe_chars(&details);
    format!("{mark} {:<width$}  {details}{active}\n", name(account))
}
