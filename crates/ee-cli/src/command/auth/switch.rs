//! `eectl auth switch`: makes another account the active one.

use earthengine::Environment;
use earthengine::credentials::{AccountName, Accounts, SwitchedAccount};
use earthengine::token::internal::display_path;
use serde_json::json;

use crate::cli::{Global, Switch};
use crate::command::account::reject_selection;
use crate::error::CliError;
use crate::output::{path_json, print, print_json, print_status, warn, warnings_as_json};

const VARIABLE: &str = "EARTHENGINE_ACCOUNT";

pub(crate) fn run(global: &Global, switch: &Switch) -> Result<(), CliError> {
    reject_selection(global, "switch, which takes the account as its argument")?;
    let environment = Environment::current();
    let name: AccountName = switch.name.parse()?;
    let accounts = Accounts::open(&environment)?;
    let switched = accounts.switch(&name)?;
    let path = accounts.shared_file().path();
    if !global.quiet {
        warn(&switched.warnings);
        if let Some(other) = environment.var(VARIABLE)
            && other != name.as_str()
        {
            print_status(&format!(
                "warning: {VARIABLE} is set and takes precedence\n    unset {VARIABLE}"
            ));
        }
    }
    if global.json {
        let mut json = json!({
            "account": name.as_str(),
            "path": path_json(path),
            "warnings": warnings_as_json(&switched.warnings),
        });
        if let Some(previous) = &switched.previous {
            json["previous"] = json!(previous.as_str());
        }
        return print_json(&json);
    }
    let kept = kept(&name, &switched).unwrap_or_default();
    print(format!(
        "active        {name} ({})\n{kept}",
        display_path(path)
    ))
}

/// Describes what became of the login that was active.
pub(super) fn kept(name: &AccountName, switched: &SwitchedAccount) -> Option<String> {
    let previous = switched.previous.as_ref().filter(|other| *other != name)?;
    Some(match switched.was_unnamed {
        true => format!("kept          the previous login, as the account {previous}\n"),
        false => format!("kept          {previous}\n"),
    })
}
