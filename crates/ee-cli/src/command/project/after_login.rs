//! What follows a login on a terminal: the project.

use earthengine::credentials::LoginFile;
use earthengine::credentials::login::LoginOutcome;
use earthengine::{EarthEngine, Error, ErrorKind, ListedProject};

use super::file::ProjectFile;
use super::picker::{self, Picked};
use super::prompt::Prompt;
use super::{NO_PROJECTS, can_type_project, pick, prompt_error, write};
use crate::cli::Global;
use crate::command::auth::login::console::finish_reading;
use crate::command::{builder, init};
use crate::error::CliError;
use crate::output::{print, print_status, strip_unsafe_chars, warn};

/// Keeps the project that is set, or lets the user select one, and verifies it. The login has been
/// saved, so that a problem with the project is reported and does not fail the command.
pub(crate) async fn run(global: &Global, login: &LoginOutcome) -> Result<(), CliError> {
    let project = builder(global).find_project().await;
    match project {
        Ok(_) => {}
        Err(error) if matches!(error.kind(), ErrorKind::NoProject | ErrorKind::SdkProject) => {
            if !select(global).await? {
                return Ok(());
            }
        }
        Err(error) => {
            report(error);
            return Ok(());
        }
    }
    match builder(global).connect().await {
        Ok(ee) => {
            let shown = match login {
                LoginOutcome::LoggedIn(saved) => &*saved.warnings,
                _ => &[],
            };
            warn(ee.warnings().filter(|warning| !shown.contains(warning)));
            print(ready(&ee))
        }
        Err(error) => {
            report(error);
            print("next          eectl init\n")
        }
    }
}

/// Prints the next command after a login without a terminal.
pub(crate) fn print_next(file: &LoginFile) -> Result<(), CliError> {
    let contents = file.read().ok().flatten();
    let has_project = contents.is_some_and(|contents| contents.file.project().is_some());
    print(match has_project {
        true => "next          eectl init\n",
        false => "next          eectl project list, then eectl project set PROJECT\n",
    })
}

fn report(error: Error) {
    CliError::init(error).print(false, false, "auth login");
}

fn ready(ee: &EarthEngine) -> String {
    format!(
        "project       {} ({})\nregistration  {}{}\nnext          eectl doctor, or your program: ee.Initialize() and EarthEngine::builder() use this login and project\n",
        ee.project().id,
        ee.project().source,
        strip_unsafe_chars(ee.registration().description()),
        init::tier(ee),
    )
}

/// Selects a project and saves it. Returns whether there is one.
async fn select(global: &Global) -> Result<bool, CliError> {
    print_status("listing projects …");
    let picked = match builder(global).list_projects().await {
        Ok(projects) if projects.is_empty() => {
            print_status(NO_PROJECTS);
            print("next          eectl project select, when you have a project\n")?;
            return Ok(false);
        }
        Ok(projects) => match only_ready(&projects) {
            Some(project) => Ok(Picked::Listed(Box::new(project.clone()))),
            None => {
                finish_reading().await;
                pick(global, &mut Prompt::on_terminal(), &projects).await
            }
        },
        Err(error) if can_type_project(error.kind()) => {
            report(error);
            finish_reading().await;
            picker::prompt_for_id(&mut Prompt::on_terminal())
        }
        Err(error) => {
            report(error);
            return Ok(false);
        }
    };
    let picked = match picked {
        Ok(picked) => picked,
        Err(error) => return Err(prompt_error(error).await),
    };
    let id = match picked {
        Picked::Nothing => {
            print_status("no project selected");
            print("next          eectl project select\n")?;
            return Ok(false);
        }
        Picked::Typed(id) => id,
        Picked::Listed(project) => project.id,
    };
    write(global, &ProjectFile::open(global)?, &id)?;
    Ok(true)
}

/// Returns the project that can be used, if it is the only one.
fn only_ready(projects: &[ListedProject]) -> Option<&ListedProject> {
    let mut ready = projects.iter().filter(|project| project.is_ready());
    ready.next().filter(|_| ready.next().is_none())
}
