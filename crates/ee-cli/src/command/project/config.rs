//! `eectl project config`.

use serde_json::{Value, json};

use crate::cli::{Global, ProjectConfigCommand};
use crate::command::session::Session;
use crate::error::CliError;
use crate::output::{print, print_json, print_object};
use crate::words::count;

pub(super) async fn run(global: &Global, command: &ProjectConfigCommand) -> Result<(), CliError> {
    let session = Session::connect(global).await?;
    match command {
        ProjectConfigCommand::Get => get(&session).await,
        ProjectConfigCommand::Set(new) => set(&session, new.max_concurrent_exports).await,
    }
}

async fn get(session: &Session<'_>) -> Result<(), CliError> {
    let id = &session.ee.project().id;
    // Only this version of the API has the export limit.
    let path = format!("v1alpha/projects/{id}/config");
    let config = session.ee.get_json::<Value>(&path).await;
    let what = format!("read the configuration of {id}");
    let config = config.map_err(|error| session.error(&what, error))?;
    print_object(session.global, &config)
}

async fn set(session: &Session<'_>, exports: u32) -> Result<(), CliError> {
    let id = &session.ee.project().id;
    let limit = session.ee.client().set_export_limit(exports).await;
    let what = format!("change the configuration of {id}");
    let limit = limit.map_err(|error| session.error(&what, error))?;
    if session.global.json {
        return print_json(&json!({
            "maxConcurrentExports": limit.max_concurrent_exports,
            "planMaxConcurrentExports": limit.plan_max_concurrent_exports,
        }));
    }
    let exports = count(limit.max_concurrent_exports.unwrap_or(exports), "export");
    print(format!("{id} runs at most {exports} at the same time\n"))
}
