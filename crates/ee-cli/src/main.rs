//! `eectl`: get into Google Earth Engine from the command line.

mod cli;
mod command;
mod error;
mod output;
mod signals;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Parser as _;
use clap::error::ErrorKind;
use cli::{Arguments, Command};
use earthengine::token::sanitize;
use error::CliError;
use signals::ClientEvent;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// How long a command may take to stop.
const GRACE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    if let Err(failure) = cli::check_paths(&words) {
        return ended(&failure, asks_for_json(&words));
    }
    let arguments = match Arguments::try_parse_from(&words) {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error, &words),
    };
    output::start_log(arguments.global.verbose);
    if arguments.command.uses_hosts() {
        output::note_emulator(&arguments.global);
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ended(&failure, arguments.global.json),
    }
}

fn ended(failure: &CliError, as_json: bool) -> ExitCode {
    failure.print(as_json);
    ExitCode::from(failure.exit_status())
}

/// Whether a command line asks for JSON, be it right or wrong.
fn asks_for_json(words: &[OsString]) -> bool {
    words.iter().any(|word| word == "--json")
}

fn run(arguments: &Arguments) -> Result<(), CliError> {
    let runtime = runtime().map_err(|e| CliError::io("the runtime cannot be started", &e))?;
    let stop = stop_signal().map_err(|e| CliError::io("signals cannot be waited for", &e))?;
    let global = &arguments.global;
    let command = async {
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
    };
    runtime.block_on(async {
        // The command first, which may wait for Ctrl-C too. One that is dropped stops the
        // programs that it runs, and leaves nothing behind.
        tokio::select! {
            biased;
            done = command => done,
            signal = stop => Err(CliError::stopped(signal.unwrap_or(ClientEvent::Interrupt))),
        }
    })
}

fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// Reports the first signal that asks the process to end. It is awaited on a thread of its own: a
/// command that is blocked in reading standard input cannot be dropped, and the process must end.
fn stop_signal() -> io::Result<oneshot::Receiver<ClientEvent>> {
    let runtime = runtime()?;
    let mut signals = {
        let _inside = runtime.enter();
        signals::Signals::new()?
    };
    let (report, reported) = oneshot::channel();
    thread::Builder::new().spawn(move || {
        let signal = runtime.block_on(signals.next());
        // The command may have ended by itself.
        let _ = report.send(signal);
        thread::sleep(GRACE);
        std::process::exit(CliError::stopped(signal).exit_status().into());
    })?;
    Ok(reported)
}

/// Help and version are no failures; everything else that clap says is one of usage, and
/// is JSON too if that was asked for.
fn usage(error: &clap::Error, words: &[OsString]) -> ExitCode {
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
            CliError::usage(&"a command is missing")
        }
        _ => CliError::usage(error),
    };
    let as_json = asks_for_json(words);
    // clap quotes what it was given as it came.
    let text = error.to_string();
    if as_json || sanitize(&text, &[]) != text {
        return ended(&failure, as_json);
    }
    // Standard error may be closed; the exit status still reports the failure.
    let _ = error.print();
    ExitCode::from(failure.exit_status())
}
