//! `eectl`, the command-line client for Google Earth Engine.

mod cli;
mod command;
mod error;
mod jq;
mod link;
mod output;
mod project_names;
mod signals;
mod style;
mod table;
mod terminal_state;
mod waiting;
mod words;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::error::ErrorKind;
use cli::{Arguments, Command, Rejection};
use earthengine::token::internal::sanitize;
use error::CliError;
use signals::Signal;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use waiting::WaitingLine;

/// The time that a command may take to stop after a signal.
const GRACE_PERIOD: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    match cli::complete(&args) {
        Ok(true) => return ExitCode::SUCCESS,
        Ok(false) => {}
        Err(error) => return print_clap_error(&error, &args),
    }
    style::set_color(cli::requested_color(&args));
    if let Err(error) = cli::check_paths(&args) {
        return fail(&error, has_json_flag(&args), &args);
    }
    let arguments = match cli::parse(&args) {
        Ok(arguments) => arguments,
        Err(Rejection::Clap(error)) => return print_clap_error(&error, &args),
        Err(Rejection::Usage(error)) => return fail(&error, has_json_flag(&args), &args),
    };
    if let Err(error) = output::configure(&arguments.global) {
        return fail(&error, arguments.global.json, &args);
    }
    let waiting = WaitingLine::start(&arguments.global);
    output::start_log(arguments.global.verbose);
    if arguments.command.uses_hosts() {
        output::print_emulator_notice(&arguments.global);
    }
    match run(&arguments, waiting) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let error = error.or_project(arguments.global.project.as_deref());
            fail(&error, arguments.global.json, &args)
        }
    }
}

fn fail(error: &CliError, as_json: bool, args: &[OsString]) -> ExitCode {
    style::before_output();
    let is_verbose = cli::own_arguments(args).iter().any(is_verbose_flag);
    error.print(as_json, is_verbose, &cli::command_name(args));
    ExitCode::from(error.exit_status())
}

/// Returns whether `--json` is on the command line, even if the line is otherwise invalid.
fn has_json_flag(args: &[OsString]) -> bool {
    cli::own_arguments(args).iter().any(|arg| {
        let arg = arg.to_string_lossy();
        arg == "--json" || arg == "--jq" || arg.starts_with("--jq=")
    })
}

fn is_verbose_flag(arg: &OsString) -> bool {
    let arg = arg.to_string_lossy();
    let letters = arg.strip_prefix('-').unwrap_or_default();
    arg == "--verbose" || !letters.is_empty() && letters.chars().all(|c| c == 'v')
}

fn run(arguments: &Arguments, waiting: Option<WaitingLine>) -> Result<(), CliError> {
    let runtime = runtime().map_err(|e| CliError::io("cannot start the runtime", &e))?;
    // They handle signals themselves.
    match &arguments.command {
        Command::Exec(exec) => {
            return runtime.block_on(command::exec::run(&arguments.global, exec));
        }
        Command::Serve(serve) => {
            return runtime.block_on(command::serve::run(&arguments.global, serve));
        }
        _ => {}
    }
    let stop = stop_signal().map_err(|e| CliError::io("cannot listen for signals", &e))?;
    let global = &arguments.global;
    command::account::check_account(global)?;
    let command = async {
        match &arguments.command {
            Command::Init(init) => command::init::run(global, init).await,
            Command::Auth(auth) => command::auth::run(global, auth).await,
            Command::Authenticate(login) => command::auth::login::run(global, login).await,
            Command::Project(project) => command::project::run(global, project).await,
            Command::Asset(asset) => command::asset::run(global, asset).await,
            Command::Task(task) => command::task::run(global, task).await,
            Command::Upload(upload) => command::upload::run(global, upload).await,
            Command::Doctor => command::doctor::run(global).await,
            Command::Api(api) => command::api::run(global, api).await,
            Command::Emulator(emulator) => command::emulator::run(global, emulator).await,
            Command::Completions(completions) => command::manual::completions(completions),
            Command::Man(man) => command::manual::pages(global, man),
            Command::SetProject(project) => command::project::set(global, project).await,
            Command::UnsetProject => command::project::unset(global),
            Command::Ls(list) => command::asset::list::run(global, list).await,
            Command::Cp(copy) => command::asset::copy::run(global, copy).await,
            Command::Mv(arguments) => command::asset::rename(global, arguments).await,
            Command::Rm(delete) => command::asset::delete::run(global, delete).await,
            Command::Create(create) => command::asset::create::run(global, create).await,
            Command::Du(du) => command::asset::size::run(global, du).await,
            Command::Acl(acl) => command::asset::acl::run(global, acl).await,
            Command::Exec(_) | Command::Serve(_) => Ok(()),
        }
    };
    let waiting = async {
        match waiting {
            Some(line) => line.run().await,
            None => std::future::pending().await,
        }
    };
    runtime.block_on(async {
        // The command is polled first, since it may wait for Ctrl-C too. Dropping it stops the
        // programs that it started.
        tokio::select! {
            biased;
            done = command => done,
            () = waiting => Ok(()),
            signal = stop => Err(CliError::stopped(signal.unwrap_or(Signal::Interrupt))),
        }
    })
}

fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// Reports the first signal that asks the process to end. A separate thread waits for it, because
/// a command that is blocked in reading standard input cannot be dropped.
fn stop_signal() -> io::Result<oneshot::Receiver<Signal>> {
    let runtime = runtime()?;
    let mut signals = {
        let _inside = runtime.enter();
        signals::Signals::new()?
    };
    let (report, reported) = oneshot::channel();
    thread::Builder::new().spawn(move || {
        let signal = runtime.block_on(signals.next());
        // The command may have finished already.
        let _ = report.send(signal);
        thread::sleep(GRACE_PERIOD);
        terminal_state::restore();
        std::process::exit(CliError::stopped(signal).exit_status().into());
    })?;
    Ok(reported)
}

/// Prints the help, the version or a usage error, which is JSON with `--json`.
fn print_clap_error(error: &clap::Error, args: &[OsString]) -> ExitCode {
    let text = error.render();
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        let text = match style::supports_color(&io::stdout()) {
            true => text.ansi().to_string(),
            false => text.to_string(),
        };
        return match output::print_raw(text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error, has_json_flag(args), args),
        };
    }
    let usage_error = match error.kind() {
        // clap's messages are the help text and a list that includes hidden commands.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            CliError::usage(&"missing command")
        }
        _ => CliError::usage(error),
    };
    let as_json = has_json_flag(args);
    // clap quotes arguments verbatim.
    let plain = text.to_string();
    if as_json || sanitize(&plain, &[]) != plain {
        return fail(&usage_error, as_json, args);
    }
    style::write_stderr(&match style::supports_color(&io::stderr()) {
        true => text.ansi().to_string(),
        false => plain,
    });
    ExitCode::from(usage_error.exit_status())
}
