//! `eectl`: get into Google Earth Engine from the command line.

mod arguments;
mod command;
mod failure;
mod output;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::Parser as _;
use clap::error::ErrorKind;
use failure::Failure;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    output::start_log(arguments.global.verbose);
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print(arguments.global.json);
            ExitCode::from(failure.exit_status())
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::io("the runtime cannot be started", &e))?;
    let global = &arguments.global;
    runtime.block_on(async {
        match &arguments.command {
            Command::Init(init) => command::init::run(global, init).await,
            Command::Auth(auth) => command::auth::run(global, auth).await,
            Command::Authenticate(login) => command::auth::login::run(global, login).await,
            Command::Project(project) => command::project::run(global, project).await,
            Command::Doctor => command::doctor::run(global).await,
            Command::Api(api) => command::api::run(global, api).await,
            Command::Emulator(emulator) => command::emulator::run(global, emulator).await,
            Command::Completions(completions) => command::manual::completions(completions),
            Command::Man(man) => command::manual::pages(global, man),
            Command::SetProject(project) => command::project::set(global, &project.id),
            Command::UnsetProject => command::project::unset(global),
        }
    })
}

/// Help and version are no failures; everything else that clap says is one of usage, and
/// is JSON too if that was asked for.
fn usage(error: &clap::Error) -> ExitCode {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        return match error.print() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let failure = match error.kind() {
        // Their texts are the help, and a list of commands with the hidden ones.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            Failure::usage(&"a command is missing")
        }
        _ => Failure::usage(error),
    };
    if std::env::args_os().any(|word| word == "--json") {
        failure.print(true);
    } else if error.print().is_err() {
        // Nobody reads standard error; the exit status still tells.
    }
    ExitCode::from(failure.exit_status())
}
