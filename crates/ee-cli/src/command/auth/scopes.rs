//! `eectl auth scopes`: what the credentials' token may be used for.

use earthengine::token::{HttpClient, token_info};
use earthengine::{Environment, Error, Scopes};
use serde_json::json;

use crate::arguments::Global;
use crate::failure::{Failure, Stage};
use crate::output::print;

pub(crate) async fn run(global: &Global) -> Result<(), Failure> {
    let scopes = granted(global)
        .await
        .map_err(|error| Failure::new(&error, Stage::Init))?;
    if global.json {
        let list: Vec<_> = scopes.iter().collect();
        return print(format!("{}\n", json!({ "scopes": list })));
    }
    print(scopes.iter().map(|s| format!("{s}\n")).collect::<String>())
}

/// What the token endpoint said, or else what Google says of the token.
async fn granted(global: &Global) -> Result<Scopes, Error> {
    let found = crate::command::builder(global).find_credentials().await?;
    let token = found.credentials.token().await?;
    if let Some(scopes) = token.scopes() {
        return Ok(scopes.clone());
    }
    let http = HttpClient::new(Environment::current().endpoints()?)?;
    Ok(token_info(&http, &token).await?.scopes)
}
