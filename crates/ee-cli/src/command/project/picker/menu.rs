//! The project picker of capable terminals: arrow keys move, typing filters, Enter picks.

use std::fmt;
use std::io;

use earthengine::ListedProject;
use inquire::ui::{Color, RenderConfig, StyleSheet};
use inquire::{InquireError, Select};

use super::{Picked, describe, is_current, matches};
use crate::output::strip_unsafe_chars;
use crate::style::supports_color;
use crate::terminal_state::SavedTerminal;

/// Leaves room for the question and the help on small screens.
const PAGE: usize = 12;
const HELP: &str = "↑↓ to move, type to filter, Enter to select, Esc to cancel";

/// What the user chose in the menu.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum Choice {
    Picked(Picked),
    /// A project that is not in the list.
    Other,
}

/// A line of the menu.
struct Line<'a> {
    text: String,
    id: String,
    /// `None` for the line of projects that are not in the list.
    project: Option<&'a ListedProject>,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Lets the user pick one of these projects. `current` is marked and highlighted first.
pub(in super::super) fn choose(
    projects: &[ListedProject],
    current: Option<&str>,
) -> io::Result<Choice> {
    let start = projects.iter().position(|one| is_current(one, current));
    let lines = projects
        .iter()
        .map(|project| line(project, is_current(project, current)));
    let lines = lines.chain([other()]).collect();
    // Restored when it is dropped, also if the prompt fails.
    let _terminal = SavedTerminal::save();
    let picked = Select::new("Project:", lines)
        .with_page_size(PAGE)
        .with_help_message(HELP)
        .with_starting_cursor(start.unwrap_or_default())
        .with_render_config(colors())
        .with_scorer(&score)
        .with_formatter(&|picked| picked.value.id.clone())
        .prompt_skippable();
    match picked {
        Ok(Some(Line {
            project: Some(project),
            ..
        })) => Ok(Choice::Picked(Picked::Listed(Box::new(project.clone())))),
        Ok(Some(_)) => Ok(Choice::Other),
        Ok(None) => Ok(Choice::Picked(Picked::Nothing)),
        Err(InquireError::OperationInterrupted) => Err(io::ErrorKind::Interrupted.into()),
        Err(InquireError::IO(error)) => Err(error),
        Err(error) => Err(io::Error::other(error.to_string())),
    }
}

fn line(project: &ListedProject, is_current: bool) -> Line<'_> {
    Line {
        text: describe(project, is_current),
        id: strip_unsafe_chars(&project.id),
        project: Some(project),
    }
}

fn other<'a>() -> Line<'a> {
    Line {
        text: "another project, by its ID …".to_owned(),
        id: "another project".to_owned(),
        project: None,
    }
}

/// Keeps the lines that contain the input, in the order of the list. The last line always remains.
fn score(input: &str, line: &Line<'_>, _: &str, _: usize) -> Option<i64> {
    line.project
        .is_none_or(|project| matches(project, input))
        .then_some(0)
}

fn colors() -> RenderConfig<'static> {
    if supports_color(&io::stderr()) {
        let selected = StyleSheet::new().with_fg(Color::LightCyan);
        RenderConfig::default_colored().with_selected_option(Some(selected))
    } else {
        RenderConfig::empty()
    }
}
