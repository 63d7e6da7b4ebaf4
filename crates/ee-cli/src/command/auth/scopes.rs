//! `eectl auth scopes`: what the credentials' token may be used for.

use earthengine::{Error, Scopes};
use serde_json::json;

use crate::cli::Global;
use crate::error::{CliError, Phase};
use crate::output::{print, print_json};

pub(crate) async fn run(global: &Global) -> Result<(), CliError> {
    let scopes = granted(global)
        .await
        .map_err(|error| CliError::new(&error, Phase::Init))?;
    if global.json {
        let list: Vec<_> = scopes.iter().collect();
        return print_json(&json!({ "scopes": list }));
    }
    print(scopes.iter().map(|s| format!("{s}\n")).collect::<String>())
}

/// The same that `eectl auth status` says.
async fn granted(global: &Global) -> Result<Scopes, Error> {
    let status = crate::command::builder(global).login_status().await?;
    // Where there is no token, it is good for nothing.
    status.found.credentials.token().await?;
    Ok(status.scopes)
}
