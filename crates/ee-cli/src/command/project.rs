//! `eectl project`: lists, sets, shows and verifies Cloud projects.

pub(crate) mod after_login;
mod config;
mod file;
mod picker;
mod prompt;

use std::io::{self, BufRead, IsTerminal as _, Write};
use std::time::Duration;

use earthengine::credentials::Warning;
use earthengine::token::internal::display_path;
use earthengine::{ApiState, Environment, ErrorKind, ListedProject, Remedy, check_project};
use serde_json::{Value, json};

use crate::cli::{Global, ListProjects, Project, ProjectCommand, SetProject};
use crate::command::init::tier;
use crate::error::CliError;
use crate::output::{
    path_json, print, print_json, print_status, strip_unsafe_chars, warn, warnings_as_json,
};
use crate::project_names;
use crate::table::Table;
use crate::waiting::Progress;
use crate::words::project_state as state;
use file::ProjectFile;
use picker::Picked;
use prompt::Prompt;

pub(crate) async fn run(global: &Global, project: &Project) -> Result<(), CliError> {
    match &project.command {
        ProjectCommand::List(arguments) => list(global, arguments).await,
        ProjectCommand::Select => select(global).await,
        ProjectCommand::Set(project) => set(global, project).await,
        ProjectCommand::Unset => unset(global),
        ProjectCommand::Show => show(global).await,
        ProjectCommand::Check(project) => check(global, project.id.as_deref()).await,
        ProjectCommand::Config(config) => config::run(global, &config.command).await,
    }
}

async fn list(global: &Global, arguments: &ListProjects) -> Result<(), CliError> {
    let (projects, current) = {
        let _progress = Progress::new("listing projects");
        let listed = super::builder(global).list_projects().await;
        let current = super::builder(global).find_project().await;
        (listed.map_err(CliError::init)?, current.ok())
    };
    project_names::save(&projects);
    if projects.is_empty() && !global.json && !global.quiet {
        print_status(NO_PROJECTS);
    }
    let mut table = Table::new(["project", "state", "name"]);
    for project in &projects {
        let is_current = current
            .as_ref()
            .is_some_and(|current| [&project.id, &project.number].contains(&&current.id));
        let cells = [&project.id, state(project), &project.name];
        table.marked_row(is_current, cells.map(str::to_owned));
    }
    arguments
        .list
        .print(global, &table, || projects.iter().map(as_json).collect())
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
            CliError::init(error).print(false, global.verbose > 0, "project select");
            picker::prompt_for_id(&mut prompt)
        }
        Err(error) => return Err(CliError::init(error)),
    };
    let picked = match picked {
        Ok(picked) => picked,
        Err(error) => return Err(prompt_error(error).await),
    };
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
    project_names::save(projects);
    let current = super::builder(global).find_project().await.ok();
    let current = current.as_ref().map(|project| project.id.as_str());
    if !supports_menu() {
        return picker::pick(prompt, projects, current);
    }
    match picker::choose(projects, current)? {
        picker::Choice::Picked(picked) => Ok(picked),
        picker::Choice::Other => picker::prompt_for_id(prompt),
    }
}

/// Returns whether the terminal can show a menu. Others have a list and line-based prompts, which
/// also suit screen readers.
fn supports_menu() -> bool {
    Environment::current()
        .var("TERM")
        .is_some_and(|term| term != "dumb")
        || cfg!(windows)
}

/// The error of a prompt. A menu that a signal ends, also Ctrl-C, does not return: the signal ends
/// the command.
async fn prompt_error(error: io::Error) -> CliError {
    match error.kind() {
        io::ErrorKind::Interrupted => std::future::pending().await,
        _ => CliError::io("cannot read from the terminal", &error),
    }
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

/// Sets the project and verifies it. A project that cannot be used is set, too: the cause may be
/// fixed later.
pub(crate) async fn set(global: &Global, project: &SetProject) -> Result<(), CliError> {
    check_project(&project.id).map_err(CliError::init)?;
    let file = ProjectFile::open(global)?;
    file.set_project(&project.id)?;
    if !global.json {
        print_set(global, &file, &project.id)?;
    }
    // With --quiet, nothing would be printed.
    let problem = match project.no_verify || global.quiet && !global.json {
        true => None,
        false => verification_problem(global, &project.id).await,
    };
    if global.json {
        let mut json = json!({"project": project.id, "path": path_json(file.path())});
        if let Some(problem) = &problem {
            json["warnings"] = warnings_as_json([problem]);
        }
        warn_about_variables(global, &project.id);
        return print_json(&json);
    }
    warn(&problem);
    Ok(())
}

/// How long a project that was set is verified.
const MAX_VERIFICATION: Duration = Duration::from_secs(15);

/// Returns why Earth Engine cannot be used in a project. `None` if it can, or if this machine is
/// offline.
async fn verification_problem(global: &Global, id: &str) -> Option<Warning> {
    let _progress = Progress::new("verifying the project");
    let connecting = super::builder(global).project(id).connect();
    let error = match tokio::time::timeout(MAX_VERIFICATION, connecting).await {
        Ok(Err(error)) => error,
        Ok(Ok(_)) | Err(_) => return None,
    };
    let is_offline = matches!(
        error.kind(),
        ErrorKind::Network | ErrorKind::NetworkBlocked | ErrorKind::Timeout
    );
    let message = match error.kind() {
        ErrorKind::NoCredentials => "not verified: not logged in".to_owned(),
        _ => error.to_string(),
    };
    let remedy = match error.kind() {
        ErrorKind::NoCredentials => {
            Remedy::new("Log in, then check the project.").command("eectl auth login")
        }
        _ => error.remedy().clone(),
    };
    (!is_offline).then(|| Warning::new(error.kind().code(), message, remedy))
}

fn write(global: &Global, file: &ProjectFile, id: &str) -> Result<(), CliError> {
    file.set_project(id)?;
    if global.json {
        warn_about_variables(global, id);
        let path = path_json(file.path());
        return print_json(&json!({"project": id, "path": path}));
    }
    print_set(global, file, id)
}

fn print_set(global: &Global, file: &ProjectFile, id: &str) -> Result<(), CliError> {
    warn_about_variables(global, id);
    print(format!(
        "project set to {id} ({})\n",
        display_path(file.path())
    ))
}

/// Warns about variables that take precedence over the file.
fn warn_about_variables(global: &Global, id: &str) {
    if global.quiet {
        return;
    }
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
    let removed = file.unset_project()?;
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
        .map_err(CliError::init)?;
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
    let ee = builder.connect().await.map_err(CliError::init)?;
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
        strip_unsafe_chars(registration.description()),
        tier(&ee)
    ))
}
