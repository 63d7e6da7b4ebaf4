//! `eectl project`: which Cloud project, and whether it may.

mod picker;
mod prompt;

use std::io::IsTerminal as _;

use earthengine::credentials::LoginFile;
use earthengine::token::display_path;
use earthengine::{
    ApiState, Environment, Error, ErrorKind, ListedProject, Registration, Remedy, check_project,
};
use serde_json::{Value, json};

use crate::cli::{Global, Project, ProjectCommand};
use crate::error::{CliError, Phase};
use crate::output::{note, path_json, plain, print, print_json, warn, warnings_as_json};
use picker::Picked;
use prompt::Prompt;

pub(crate) async fn run(global: &Global, project: &Project) -> Result<(), CliError> {
    match &project.command {
        ProjectCommand::List => list(global).await,
        ProjectCommand::Select => select(global).await,
        ProjectCommand::Set(project) => set(global, &project.id),
        ProjectCommand::Unset => unset(global),
        ProjectCommand::Show => show(global).await,
        ProjectCommand::Check(project) => check(global, project.id.as_deref()).await,
    }
}

fn explained(error: Error) -> CliError {
    CliError::new(&error, Phase::Init)
}

async fn list(global: &Global) -> Result<(), CliError> {
    let projects = super::builder(global)
        .list_projects()
        .await
        .map_err(explained)?;
    if global.json {
        let projects: Vec<Value> = projects.iter().map(as_json).collect();
        return print_json(&Value::Array(projects));
    }
    if projects.is_empty() && !global.quiet {
        note(NONE);
    }
    print(projects.iter().map(line).collect::<String>())
}

const NONE: &str = "this login sees no projects; make one at https://console.cloud.google.com/projectcreate, and register it at https://console.cloud.google.com/earth-engine";

fn as_json(project: &ListedProject) -> Value {
    let mut json = json!({
        "project": project.id,
        "number": project.number,
        "name": project.name,
        "api": project.api.as_str(),
        "registration": project.registration.as_str(),
    });
    if let Some(kind) = project.error {
        json["error"] = json!(kind.code());
    }
    json
}

/// A line of a table: the columns are as wide as ids can be.
fn line(project: &ListedProject) -> String {
    let line = format!(
        "{:<30}  {:<40}  {}",
        plain(&project.id),
        state(project),
        plain(&project.name)
    );
    format!("{}\n", line.trim_end())
}

/// Whether Earth Engine can be used in it, in words.
fn state(project: &ListedProject) -> &'static str {
    use ErrorKind as Kind;
    match (project.api, &project.registration) {
        _ if project.error == Some(Kind::ProjectSuspended) => "suspended",
        (ApiState::Disabled, _) => "Earth Engine API not enabled",
        (_, Registration::NotRegistered) => "not registered for Earth Engine",
        (ApiState::Enabled, Registration::Commercial) => "ready, commercial",
        (ApiState::Enabled, Registration::NotCommercial) => "ready, noncommercial",
        (ApiState::Enabled, _) => "API enabled, registration unknown",
        _ => match project.error {
            Some(Kind::ProjectDenied | Kind::PermissionDenied | Kind::ProjectNotFound) => {
                "this login may not use Earth Engine there"
            }
            _ => "not known: Earth Engine does not say",
        },
    }
}

async fn select(global: &Global) -> Result<(), CliError> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(CliError::of_usage(
            "a project is picked on a terminal, and this is none",
            Remedy::new("Name the project; `eectl project list` shows those of this login.")
                .command("eectl project set PROJECT"),
        ));
    }
    // What cannot be written is said before anybody is asked anything.
    let store = store()?;
    if !global.quiet {
        note("looking for the projects of this login …");
    }
    let mut prompt = Prompt::on_terminal();
    let picked = match super::builder(global).list_projects().await {
        Ok(projects) if !projects.is_empty() => {
            let current = super::builder(global).find_project().await.ok();
            picker::pick(
                &mut prompt,
                &projects,
                current.as_ref().map(|p| p.id.as_str()),
            )
        }
        Ok(_) => {
            note(NONE);
            picker::type_one(&mut prompt)
        }
        // Whoever may not list may still use a project.
        Err(error) if may_still_name_one(error.kind()) => {
            explained(error).print(false);
            picker::type_one(&mut prompt)
        }
        Err(error) => return Err(explained(error)),
    };
    let picked = picked.map_err(|e| CliError::io("the terminal cannot be read", &e))?;
    match picked {
        Picked::Nothing => Err(CliError::of_usage(
            "no project was picked; nothing has changed",
            Remedy::new("Pick one, or name it.").command("eectl project set PROJECT"),
        )),
        Picked::Typed(id) => write(global, &store, &id),
        Picked::Listed(project) => {
            write(global, &store, &project.id)?;
            if !project.is_ready() && !global.quiet {
                note(&format!(
                    "warning: {}: {}\n    eectl project check {}",
                    project.id,
                    state(&project),
                    project.id
                ));
            }
            Ok(())
        }
    }
}

fn may_still_name_one(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::PermissionDenied
            | ErrorKind::ApiDisabled
            | ErrorKind::InsufficientScopes
            | ErrorKind::QuotaExceeded
            | ErrorKind::ServerError
            | ErrorKind::InvalidArgument
    )
}

pub(crate) fn set(global: &Global, id: &str) -> Result<(), CliError> {
    check_project(id).map_err(explained)?;
    write(global, &store()?, id)
}

fn store() -> Result<LoginFile, CliError> {
    LoginFile::open(&Environment::current()).map_err(|error| CliError::login(&error))
}

fn write(global: &Global, store: &LoginFile, id: &str) -> Result<(), CliError> {
    store
        .set_project(id)
        .map_err(|error| CliError::login(&error))?;
    if !global.quiet {
        note_what_comes_first(id);
    }
    if global.json {
        let path = path_json(store.path());
        return print_json(&json!({"project": id, "path": path}));
    }
    print(format!(
        "{id} is the project now ({})\n",
        display_path(store.path())
    ))
}

/// Variables that come before the file would make one wonder.
fn note_what_comes_first(id: &str) {
    let environment = Environment::current();
    for name in ["EARTHENGINE_PROJECT", "EE_PROJECT_ID"] {
        if let Some(other) = environment.var(name).filter(|other| *other != id) {
            note(&format!(
                "warning: {name} is set to {} and comes first\n    unset {name}",
                plain(other)
            ));
        }
    }
}

pub(crate) fn unset(global: &Global) -> Result<(), CliError> {
    let store = store()?;
    let removed = store
        .unset_project()
        .map_err(|error| CliError::login(&error))?;
    if global.json {
        let path = path_json(store.path());
        return print_json(&json!({"removed": removed, "path": path}));
    }
    let path = display_path(store.path());
    print(if removed {
        format!("no project is set any more ({path})\n")
    } else {
        format!("no project was set ({path})\n")
    })
}

async fn show(global: &Global) -> Result<(), CliError> {
    let project = super::builder(global)
        .find_project()
        .await
        .map_err(explained)?;
    if global.json {
        return print_json(&json!({
            "project": project.id,
            "source": project.source.as_str(),
            "warnings": warnings_as_json(&project.warnings),
        }));
    }
    if global.quiet {
        return print(format!("{}\n", project.id));
    }
    warn(&project.warnings);
    print(format!("{} ({})\n", project.id, project.source))
}

async fn check(global: &Global, id: Option<&str>) -> Result<(), CliError> {
    let mut builder = super::builder(global);
    if let Some(id) = id {
        builder = builder.project(id);
    }
    let ee = builder.connect().await.map_err(explained)?;
    let (project, registration) = (ee.project(), ee.registration());
    if global.json {
        return print_json(&json!({
            "project": project.id,
            "source": project.source.as_str(),
            "api": ApiState::Enabled.as_str(),
            "registration": registration.as_str(),
            "warnings": warnings_as_json(ee.warnings()),
        }));
    }
    if !global.quiet {
        warn(ee.warnings());
    }
    print(format!(
        "{} ({}) may be used: the API is enabled, {}\n",
        project.id, project.source, registration
    ))
}
