//! Parses the command line, with better advice than clap's for what users type instead.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory as _, FromArgMatches as _, ValueEnum as _};
use earthengine::Remedy;

use super::{Arguments, foreign, help};
use crate::error::CliError;
use crate::style::ColorChoice;
use crate::table::{FORMAT, Format};

/// Why a command line is not run: it is invalid, or it requests the help or the version.
pub(crate) enum Rejection {
    Clap(clap::Error),
    Usage(CliError),
}

/// Commands that remove something are not suggested for a misspelled one.
const NEVER_SUGGESTED: [&str; 8] = [
    "cancel",
    "delete",
    "logout",
    "mv",
    "remove",
    "rm",
    "unset",
    "unset_project",
];

/// Returns the definition of the command line.
pub(crate) fn command() -> Command {
    Arguments::command()
}

/// Parses the command line.
pub(crate) fn parse(args: &[OsString]) -> Result<Arguments, Rejection> {
    let args = foreign::translate(args).map_err(Rejection::Usage)?;
    let mut command = command();
    let matches = command
        .try_get_matches_from_mut(&args)
        .map_err(|error| rejection(error, &args))?;
    check_ignored(&command, &matches).map_err(Rejection::Usage)?;
    let format = list_format(&matches);
    let mut arguments = Arguments::from_arg_matches(&matches)
        .map_err(|error| Rejection::Clap(error.format(&mut command)))?;
    let global = &mut arguments.global;
    if let Some(format @ (Format::Csv | Format::Table)) = format
        && (global.json || global.jq.is_some())
    {
        let flag = if global.jq.is_some() {
            "--jq"
        } else {
            "--json"
        };
        let format = if format == Format::Csv {
            "csv"
        } else {
            "table"
        };
        return Err(Rejection::Usage(CliError::usage_with_remedy(
            &format!("{flag} cannot be used with --format {format}"),
            Remedy::new("Use one of them."),
        )));
    }
    global.json |= global.jq.is_some() || format == Some(Format::Json);
    Ok(arguments)
}

/// Returns the value of `--format`, of a command that prints a list.
fn list_format(matches: &ArgMatches) -> Option<Format> {
    let mut inner = matches;
    while let Some((_, matches)) = inner.subcommand() {
        inner = matches;
    }
    inner.try_get_one(FORMAT).ok().flatten().copied()
}

/// Returns the value of `--color` in a command line that may be invalid.
pub(crate) fn requested_color(args: &[OsString]) -> ColorChoice {
    let mut args = super::own_arguments(args)
        .iter()
        .map(|arg| arg.to_string_lossy());
    let mut choice = ColorChoice::default();
    while let Some(arg) = args.next() {
        let value = match arg.split_once('=') {
            Some(("--color", value)) => value.to_owned(),
            None if arg == "--color" => args.next().unwrap_or_default().into_owned(),
            _ => continue,
        };
        choice = ColorChoice::from_str(&value, false).unwrap_or_default();
    }
    choice
}

fn rejection(mut error: clap::Error, args: &[OsString]) -> Rejection {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // The sections of the help are not needed until now.
            let command = help::with_pages(command(), help::width());
            match command.try_get_matches_from(args) {
                Err(with_sections) => Rejection::Clap(with_sections),
                Ok(_) => Rejection::Clap(error),
            }
        }
        ErrorKind::InvalidSubcommand => {
            correct_suggestions(&mut error, args);
            Rejection::Clap(error)
        }
        ErrorKind::UnknownArgument => {
            let argument = error.get(ContextKind::InvalidArg).map(ToString::to_string);
            match argument.and_then(|argument| foreign::unknown_option(&argument)) {
                Some(error) => Rejection::Usage(error),
                None => Rejection::Clap(error),
            }
        }
        _ => Rejection::Clap(error),
    }
}

/// Removes destructive suggestions. Without any, suggests ours for a misspelled command of another
/// program.
fn correct_suggestions(error: &mut clap::Error, args: &[OsString]) {
    let names = match error.remove(ContextKind::SuggestedSubcommand) {
        Some(ContextValue::String(name)) => vec![name],
        Some(ContextValue::Strings(names)) => names,
        _ => Vec::new(),
    };
    let mut names: Vec<_> = names
        .into_iter()
        .filter(|name| !NEVER_SUGGESTED.contains(&name.as_str()))
        .collect();
    if names.is_empty()
        && let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand)
        && args.get(1).is_some_and(|first| first == word.as_str())
    {
        let harmless = |name: &&str| !NEVER_SUGGESTED.iter().any(|no| name.ends_with(no));
        let ours = foreign::similar(word).filter(harmless);
        names.extend(ours.map(str::to_owned));
    }
    if !names.is_empty() {
        error.insert(
            ContextKind::SuggestedSubcommand,
            ContextValue::Strings(names),
        );
    }
}

/// Rejects global options that have no effect on the command.
fn check_ignored(command: &Command, matches: &ArgMatches) -> Result<(), CliError> {
    let mut names = Vec::new();
    let mut inner = matches;
    while let Some((name, matches)) = inner.subcommand() {
        names.push(name);
        inner = matches;
    }
    let name = names.join(" ");
    let Some(page) = help::page(&name) else {
        return Ok(());
    };
    let given = command.get_arguments().find(|global| {
        page.ignores(global)
            && inner.value_source(global.get_id().as_str()) == Some(ValueSource::CommandLine)
    });
    let Some(option) = given.and_then(|given| given.get_long()) else {
        return Ok(());
    };
    Err(CliError::usage_with_remedy(
        &format!("`eectl {name}` does not use --{option}"),
        Remedy::new("Remove the option; the help lists the options that have an effect.")
            .command(format!("eectl {name} --help")),
    ))
}
