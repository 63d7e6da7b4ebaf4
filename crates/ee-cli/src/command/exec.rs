//! `eectl exec`: runs a command whose clients get tokens from a broker.

mod child;

use std::path::{Path, PathBuf};
use std::time::Duration;

use earthengine::token::internal::display_path;
use earthengine::{EarthEngineBuilder, Environment, ErrorKind, Scopes};
use ee_broker::{Broker, BrokerBuilder, ClientEnvironment};
use serde_json::json;

use crate::cli::{Exec, Global};
use crate::error::CliError;
use crate::output::{print_status, print_status_json, strip_unsafe_chars, warn};
use child::Child;

/// The scope of the tokens for clients, without `--scopes`.
const SCOPE: &str = "earthengine";
/// How long the command waits for the first token. A broken login is reported before it starts.
const FIRST_TOKEN_TIMEOUT: Duration = Duration::from_secs(3);

pub(crate) async fn run(global: &Global, exec: &Exec) -> Result<(), CliError> {
    let mut signals =
        child::Signals::new().map_err(|e| CliError::io("cannot listen for signals", &e))?;
    let prepared = tokio::select! {
        prepared = prepare(global, exec) => prepared?,
        signal = signals.stop() => return Err(CliError::stopped(signal)),
    };
    let (broker, environment) = prepared;
    let (program, arguments) = exec
        .command
        .split_first()
        .ok_or_else(|| CliError::usage(&"missing command"))?;
    let mut command = std::process::Command::new(program);
    command.args(arguments);
    environment.apply(&mut command);
    let child =
        Child::start(command).map_err(|error| CliError::cannot_run(Path::new(program), &error))?;
    let status = child.wait(&mut signals).await;
    drop(environment);
    broker.shutdown().await;
    match status.map_err(|e| CliError::io("cannot wait for the command", &e))? {
        0 => Ok(()),
        status => Err(CliError::of_command(status)),
    }
}

async fn prepare(global: &Global, exec: &Exec) -> Result<(Broker, ClientEnvironment), CliError> {
    let environment = Environment::current();
    let mut builder = broker(global, exec.expires)
        .await?
        .listen(([127, 0, 0, 1], 0).into());
    if let Some(path) = &exec.ledger {
        builder = builder.ledger(path);
    }
    let broker = builder.start().await?;
    check_token(&broker, global).await?;
    let clients = ClientEnvironment::new(&broker, &temp_dir(&environment), &environment)?;
    if exec.clean_home {
        let clients = clients.with_clean_home()?;
        return Ok((broker, clients));
    }
    print_found_first(&environment, global);
    Ok((broker, clients))
}

/// Finds the credentials, with the scope of Earth Engine alone unless `--scopes` is given, and the
/// project.
pub(super) async fn broker(
    global: &Global,
    lifetime: Option<Duration>,
) -> Result<BrokerBuilder, CliError> {
    let narrowed = |mut builder: EarthEngineBuilder| {
        if global.scopes.is_empty() {
            builder = builder.scopes(Scopes::new([SCOPE]));
        }
        match lifetime {
            Some(lifetime) => builder.max_token_lifetime(lifetime),
            None => builder,
        }
    };
    let found = narrowed(super::builder(global)).find_credentials();
    let credentials = found.await.map_err(CliError::init)?.credentials;
    if !global.quiet && !global.json {
        warn(credentials.warnings());
    }
    let project = match super::builder(global).find_project().await {
        Ok(project) => Some(project.id),
        Err(error) if matches!(error.kind(), ErrorKind::NoProject | ErrorKind::SdkProject) => None,
        Err(error) => return Err(CliError::init(error)),
    };
    let mut builder = Broker::builder(credentials);
    if let Some(project) = project {
        builder = builder.project(project);
    }
    if let Some(lifetime) = lifetime {
        builder = builder.lifetime(lifetime);
    }
    Ok(builder)
}

/// Fetches the first token, which is in the disk cache most of the time. The command does not start
/// with a login that the server rejected; it starts if the server does not respond.
async fn check_token(broker: &Broker, global: &Global) -> Result<(), CliError> {
    match tokio::time::timeout(FIRST_TOKEN_TIMEOUT, broker.token()).await {
        Ok(Err(error)) if !error.is_transient() => Err(CliError::init(error)),
        Ok(Err(error)) => {
            let error = strip_unsafe_chars(&error.to_string());
            note(
                global,
                &format!("no token yet, and the command starts without: {error}"),
            );
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The user's runtime directory is in memory, and removed at logout.
fn temp_dir(environment: &Environment) -> PathBuf {
    let runtime = environment.var("XDG_RUNTIME_DIR").map(PathBuf::from);
    let runtime = runtime.filter(|dir| dir.is_absolute() && dir.is_dir());
    runtime.unwrap_or_else(std::env::temp_dir)
}

/// Names the login files that some clients read before they ask the broker, because no variable
/// hides them.
fn print_found_first(environment: &Environment, global: &Global) {
    let Some(home) = environment.home() else {
        return;
    };
    for (path, clients) in [
        (
            ".config/earthengine/credentials",
            "earthengine-api for Python",
        ),
        (
            ".config/gcloud/application_default_credentials.json",
            "clients in Node.js and Go",
        ),
    ] {
        let path = home.join(path);
        if path.is_file() {
            let path = display_path(&path);
            let text = format!(
                "{clients} may read {path} instead of asking the broker; --clean-home hides it"
            );
            note(global, &text);
        }
    }
}

fn note(global: &Global, text: &str) {
    match (global.quiet, global.json) {
        (true, _) => {}
        (false, true) => print_status_json(json!({ "note": text })),
        (false, false) => print_status(&format!("note: {text}")),
    }
}
