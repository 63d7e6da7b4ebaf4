//! The help: the options that a command uses, and the sections about its examples, environment,
//! files and exit statuses.

mod pages;
mod sections;

use std::io::IsTerminal as _;

use clap::{Arg, Command};

pub(crate) use pages::{Page, pages};
pub(crate) use sections::{Section, sections};

/// The width of help that is not printed on a terminal.
pub(crate) const DEFAULT_WIDTH: usize = 80;
const MAX_WIDTH: usize = 100;
/// The options that every command accepts.
const ALWAYS_ACCEPTED: [&str; 4] = ["color", "quiet", "verbose", "help"];

/// Returns the width of the help: that of the terminal, up to 100 columns.
pub(crate) fn width() -> usize {
    let stdout = std::io::stdout();
    if !stdout.is_terminal() {
        return DEFAULT_WIDTH;
    }
    terminal_size::terminal_size_of(stdout).map_or(DEFAULT_WIDTH, |(width, _)| {
        usize::from(width.0).min(MAX_WIDTH)
    })
}

/// Returns the page of a command, which is named by its words after `eectl`: `project list`.
pub(crate) fn page(name: &str) -> Option<&'static Page> {
    pages().find(|page| page.name == name)
}

/// Adds the sections of the long help, and hides the global options that a command does not use.
pub(crate) fn with_pages(command: Command, width: usize) -> Command {
    let globals: Vec<Arg> = command
        .get_arguments()
        .filter(|argument| argument.is_global_set())
        .cloned()
        .collect();
    add_pages(command, "", &globals, width).term_width(width)
}

fn add_pages(mut command: Command, name: &str, globals: &[Arg], width: usize) -> Command {
    if let Some(page) = page(name) {
        command = command.after_long_help(sections::as_text(page, width));
        // An option of the same name keeps clap from adding the visible one.
        let hidden = globals.iter().filter(|global| page.ignores(global));
        command = command.args(hidden.map(|global| global.clone().hide(true)));
    }
    let names: Vec<_> = command
        .get_subcommands()
        .map(|inner| inner.get_name().to_owned())
        .collect();
    for inner in names {
        let full_name = format!("{name} {inner}").trim_start().to_owned();
        command =
            command.mut_subcommand(inner, |inner| add_pages(inner, &full_name, globals, width));
    }
    command
}

impl Page {
    /// Returns whether a global option has no effect on this command.
    pub(crate) fn ignores(&self, global: &Arg) -> bool {
        let id = global.get_id().as_str();
        !ALWAYS_ACCEPTED.contains(&id) && self.ignored.iter().any(|group| group.contains(&id))
    }
}

#[cfg(test)]
mod tests;
