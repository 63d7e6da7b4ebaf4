//! `eectl project`: lists, sets, shows and verifies Cloud projects.

pub(crate) mod after_login;
mod file;
mod picker;
mod prompt;

use std::io::{self, BufRead, IsTerminal as _, Write};

use earthengine::token::internal::display_path;
use earthengine::{
    ApiState, Environment, Error, ErrorKind, ListedProject, Registration, Remedy, check_project,
};
use serde_json::{Value, json};

use crate::cli::{Global, Project, ProjectCommand};
use crate::command::init::tier;
use crate::error::{CliError, Phase};
use crate::output::{
    path_json, print, print_json, print_status, strip_unsafe_chars, warn, warnings_as_json,
};
use file::ProjectFile;
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

fn init_error(error: Error) -> CliError {
    CliError::new(&error, Phase::Init)
}

async fn list(global: &Global) -> Result<(), CliError> {
    let projects = super::builder(global)
        .list_projects()
        .await
        .map_err(init_error)?;
    if global.json {
        let projects: Vec<Value> = projects.iter().map(as_json).collect();
        return print_json(&Value::Array(projects));
    }
    if projects.is_empty() && !global.quiet {
        print_status(NO_PROJECTS);
    }
    print(projects.iter().map(line).collect::<String>())
}

const NO_PROJECTS: &str = "no projects found for this login; create one at https://console.cloud.google.com/projectcreate and register it at https://console.cloud.google.com/earth-engine";

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

/// Formats a line of the table. The first column fits the longest project ID.
fn line(project: &ListedProject) -> String {
    let line = format!(
        "{:<30}  {:<40}  {}",
        strip_unsafe_chars(&project.id),
        state(project),
        strip_unsafe_chars(&project.name)
    );
    format!("{}\n", line.trim_end())
}

/// Describes whether Earth Engine is ready in a project.
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
                "permission denied"
            }
            _ => "status unknown",
        },
    }
}

async fn select(global: &Global) -> Result<(), CliError> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(CliError::usage_with_remedy(
            "`eectl project select` needs a terminal",
            Remedy::new("Set the project by its ID; `eectl project list` shows your projects.")
                .command("eectl project set PROJECT"),
        ));
    }
    // A file that cannot be written is reported before the user is prompted.
    let file = ProjectFile::open(global)?;
    if !global.quiet {
        print_status("listing projects …");
    }
    let mut prompt = Prompt::on_terminal();
    let picked = match super::builder(global).list_projects().await {
        Ok(projects) if !projects.is_empty() => pick(global, &mut prompt, &projects).await,
        Ok(_) => {
            print_status(NO_PROJECTS);
            picker::prompt_for_id(&mut prompt)
        }
        Err(error) if can_type_project(error.kind()) => {
            init_error(error).print(false, "project select");
            picker::prompt_for_id(&mut prompt)
        }
        Err(error) => return Err(init_error(error)),
    };
    let picked = picked.map_err(|e| CliError::io("cannot read from the terminal", &e))?;
    match picked {
        Picked::Nothing => Err(CliError::usage_with_remedy(
            "no project selected; nothing was changed",
            Remedy::new("Select a project, or set it by its ID.")
                .command("eectl project set PROJECT"),
        )),
        Picked::Typed(id) => write(global, &file, &id),
        Picked::Listed(project) => {
            write(global, &file, &project.id)?;
            if !project.is_ready() && !global.quiet {
                print_status(&format!(
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

/// Lets the user pick one of these projects.
async fn pick<I: BufRead, O: Write>(
    global: &Global,
    prompt: &mut Prompt<I, O>,
    projects: &[ListedProject],
) -> io::Result<Picked> {
    let current = super::builder(global).find_project().await.ok();
    let current = current.as_ref().map(|project| project.id.as_str());
    picker::pick(prompt, projects, current)
}

/// Returns whether a login that cannot list projects may still be able to use one.
fn can_type_project(kind: ErrorKind) -> bool {
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
    check_project(id).map_err(init_error)?;
    write(global, &ProjectFile::open(global)?, id)
}

fn write(global: &Global, file: &ProjectFile, id: &str) -> Result<(), CliError> {
    file.set_project(id)
        .map_err(|error| CliError::login(&error))?;
    if !global.quiet {
        warn_about_variables(id);
    }
    if global.json {
        let path = path_json(file.path());
        return print_json(&json!({"project": id, "path": path}));
    }
    print(format!(
        "project set to {id} ({})\n",
        display_path(file.path())
    ))
}

/// Warns about variables that take precedence over the file.
fn warn_about_variables(id: &str) {
    let environment = Environment::current();
    for name in ["EARTHENGINE_PROJECT", "EE_PROJECT_ID"] {
        if let Some(other) = environment.var(name).filter(|other| *other != id) {
            print_status(&format!(
                "warning: {name} is set to {} and takes precedence\n    unset {name}",
                strip_unsafe_chars(other)
            ));
        }
    }
}

pub(crate) fn unset(global: &Global) -> Result<(), CliError> {
    let file = ProjectFile::open(global)?;
    let removed = file
        .unset_project()
        .map_err(|error| CliError::login(&error))?;
    if global.json {
        let path = path_json(file.path());
        return print_json(&json!({"removed": removed, "path": path}));
    }
    let path = display_path(file.path());
    print(if removed {
        format!("project removed ({path})\n")
    } else {
        format!("no project was set ({path})\n")
    })
}

async fn show(global: &Global) -> Result<(), CliError> {
    let project = super::builder(global)
        .find_project()
        .await
        .map_err(init_error)?;
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
    let ee = builder.connect().await.map_err(init_error)?;
    let (project, registration) = (ee.project(), ee.registration());
    if global.json {
        let mut json = json!({
            "project": project.id,
            "source": project.source.as_str(),
            "api": ApiState::Enabled.as_str(),
            "registration": registration.as_str(),
            "warnings": warnings_as_json(ee.warnings()),
        });
        if let Some(tier) = ee.tier() {
            json["tier"] = json!(tier);
        }
        return print_json(&json);
    }
    if !global.quiet {
        warn(ee.warnings());
    }
    print(format!(
        "{} ({}) is ready: API enabled, {}{}\n",
        project.id,
        project.source,
        registration,
        tier(&ee)
    ))
}
