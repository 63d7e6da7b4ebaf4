//! `eectl auth scopes`: prints the scopes of the current token.

use earthengine::{Error, Scopes};
use serde_json::json;

use crate::cli::Global;
use crate::error::CliError;
use crate::output::{print, print_json};

pub(crate) async fn run(global: &Global) -> Result<(), CliError> {
    let scopes = granted(global).await.map_err(CliError::init)?;
    if global.json {
        let list: Vec<_> = scopes.iter().collect();
        return print_json(&json!({ "scopes": list }));
    }
    print(scopes.iter().map(|s| format!("{s}\n")).collect::<String>())
}

/// Returns the scopes that `eectl auth status` shows.
async fn granted(global: &Global) -> Result<Scopes, Error> {
    let status = crate::command::builder(global).login_status().await?;
    // Without a token there are no scopes.
    status.found.credentials.token().await?;
    Ok(status.scopes)
}
