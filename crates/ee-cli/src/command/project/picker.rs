//! The project picker: a menu on capable terminals, and on others a list, from which the user
//! selects by number or by typing part of a name.

mod menu;

use std::io::{self, BufRead, Write};

use earthengine::{ListedProject, check_project};

use super::prompt::Prompt;
use super::state;
use crate::output::strip_unsafe_chars;

pub(super) use menu::{Choice, choose};

/// The number of projects that fit on a screen.
const MAX_SHOWN: usize = 20;

/// What the user picked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Picked {
    Listed(Box<ListedProject>),
    /// The ID of a project that is not in the list.
    Typed(String),
    Nothing,
}

/// Lets the user pick one of these projects. `current` is marked.
pub(super) fn pick<I: BufRead, O: Write>(
    prompt: &mut Prompt<I, O>,
    projects: &[ListedProject],
    current: Option<&str>,
) -> io::Result<Picked> {
    let mut shown: Vec<&ListedProject> = projects.iter().collect();
    print_list(prompt, &shown, current)?;
    loop {
        let all = shown.len() == projects.len();
        let question = if all {
            "Number, or part of the name (Enter to cancel):"
        } else {
            "Number, or part of the name (Enter to show all):"
        };
        let Some(input) = prompt.prompt(question)? else {
            return Ok(Picked::Nothing);
        };
        if input.is_empty() {
            if all {
                return Ok(Picked::Nothing);
            }
            shown = projects.iter().collect();
            print_list(prompt, &shown, current)?;
            continue;
        }
        if let Some(project) = by_number(&input, &shown).or_else(|| by_id(&input, projects)) {
            return Ok(Picked::Listed(Box::new(project.clone())));
        }
        let matching: Vec<_> = projects.iter().filter(|p| matches(p, &input)).collect();
        match matching.as_slice() {
            [] => {
                if let Some(picked) = confirm_unlisted(prompt, input)? {
                    return Ok(picked);
                }
            }
            [only] => return Ok(Picked::Listed(Box::new((*only).clone()))),
            _ => {
                shown = matching;
                print_list(prompt, &shown, current)?;
            }
        }
    }
}

/// Asks for a project ID when there is no list.
pub(super) fn prompt_for_id<I: BufRead, O: Write>(prompt: &mut Prompt<I, O>) -> io::Result<Picked> {
    loop {
        match prompt.prompt("Project ID or number (Enter to cancel):")? {
            None => return Ok(Picked::Nothing),
            Some(input) if input.is_empty() => return Ok(Picked::Nothing),
            Some(input) => match check_project(&input) {
                Ok(()) => return Ok(Picked::Typed(input)),
                Err(error) => prompt.print(&error_line(&error))?,
            },
        }
    }
}

fn error_line(error: &earthengine::Error) -> String {
    format!("{error}. {}", error.remedy().text)
}

fn by_number<'a>(input: &str, shown: &[&'a ListedProject]) -> Option<&'a ListedProject> {
    let number: usize = input.parse().ok()?;
    let on_screen = &shown[..shown.len().min(MAX_SHOWN)];
    on_screen.get(number.checked_sub(1)?).copied()
}

fn by_id<'a>(input: &str, projects: &'a [ListedProject]) -> Option<&'a ListedProject> {
    projects
        .iter()
        .find(|project| project.id == input || project.number == input)
}

fn matches(project: &ListedProject, part: &str) -> bool {
    let part = part.to_lowercase();
    [&project.id, &project.name]
        .iter()
        .any(|text| text.to_lowercase().contains(&part))
}

/// Asks whether to use a project that is not in the list, which may be incomplete: new projects
/// appear late, and some permissions do not include listing.
fn confirm_unlisted<I: BufRead, O: Write>(
    prompt: &mut Prompt<I, O>,
    input: String,
) -> io::Result<Option<Picked>> {
    let shown = strip_unsafe_chars(&input);
    if check_project(&input).is_err() {
        prompt.print(&format!("no project has \"{shown}\" in its name"))?;
        return Ok(None);
    }
    let question = format!("{shown} is not in the list. Use it anyway? [y/N]");
    let yes = prompt.prompt(&question)?;
    let yes = yes.is_some_and(|yes| matches!(yes.to_lowercase().as_str(), "y" | "yes"));
    Ok(yes.then_some(Picked::Typed(input)))
}

fn is_current(project: &ListedProject, current: Option<&str>) -> bool {
    current.is_some_and(|id| id == project.id || id == project.number)
}

/// Returns the columns of a project. Nothing in them can control the terminal.
fn describe(project: &ListedProject, is_current: bool) -> String {
    let id = strip_unsafe_chars(&project.id);
    let name = match project.name.as_str() {
        name if name == project.id => String::new(),
        name => format!("  {}", strip_unsafe_chars(name)),
    };
    let current = if is_current { "  (current)" } else { "" };
    format!("{id:<30}  {}{name}{current}", state(project))
}

fn print_list<I: BufRead, O: Write>(
    prompt: &mut Prompt<I, O>,
    shown: &[&ListedProject],
    current: Option<&str>,
) -> io::Result<()> {
    for (i, project) in shown.iter().take(MAX_SHOWN).enumerate() {
        let is_current = is_current(project, current);
        prompt.print(&format!(
            "{:>3} {} {}",
            i + 1,
            if is_current { '*' } else { ' ' },
            describe(project, is_current),
        ))?;
    }
    match shown.len().checked_sub(MAX_SHOWN) {
        None | Some(0) => Ok(()),
        Some(more) => prompt.print(&format!("    … and {more} more: type part of the name")),
    }
}

#[cfg(test)]
mod tests;
