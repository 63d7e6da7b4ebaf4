//! Picking a project: by its number in a list, or by typing a part of its name.

use std::io::{self, BufRead, Write};

use earthengine::{ListedProject, check_project};

use super::prompt::Prompt;
use super::state;
use crate::output::plain;

/// More do not fit on a screen.
const AT_ONCE: usize = 20;

/// What somebody picked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Picked {
    Listed(Box<ListedProject>),
    /// A project that is in no list.
    Typed(String),
    Nothing,
}

/// Lets somebody pick one of these projects. `current` is marked.
pub(super) fn pick<I: BufRead, O: Write>(
    prompt: &mut Prompt<I, O>,
    projects: &[ListedProject],
    current: Option<&str>,
) -> io::Result<Picked> {
    let mut shown: Vec<&ListedProject> = projects.iter().collect();
    show(prompt, &shown, current)?;
    loop {
        let all = shown.len() == projects.len();
        let question = if all {
            "Number, or a part of the name (Enter leaves):"
        } else {
            "Number, or a part of the name (Enter shows all):"
        };
        let Some(answer) = prompt.prompt(question)? else {
            return Ok(Picked::Nothing);
        };
        if answer.is_empty() {
            if all {
                return Ok(Picked::Nothing);
            }
            shown = projects.iter().collect();
            show(prompt, &shown, current)?;
            continue;
        }
        if let Some(project) = numbered(&answer, &shown).or_else(|| named(&answer, projects)) {
            return Ok(Picked::Listed(Box::new(project.clone())));
        }
        let matching: Vec<_> = projects.iter().filter(|p| matches(p, &answer)).collect();
        match matching.as_slice() {
            [] => {
                if let Some(picked) = unlisted(prompt, answer)? {
                    return Ok(picked);
                }
            }
            [only] => return Ok(Picked::Listed(Box::new((*only).clone()))),
            _ => {
                shown = matching;
                show(prompt, &shown, current)?;
            }
        }
    }
}

/// Lets somebody type a project where there is no list.
pub(super) fn type_one<I: BufRead, O: Write>(prompt: &mut Prompt<I, O>) -> io::Result<Picked> {
    loop {
        match prompt.prompt("Project id or number (Enter leaves):")? {
            None => return Ok(Picked::Nothing),
            Some(answer) if answer.is_empty() => return Ok(Picked::Nothing),
            Some(answer) => match check_project(&answer) {
                Ok(()) => return Ok(Picked::Typed(answer)),
                Err(error) => prompt.say(&why_not(&error))?,
            },
        }
    }
}

fn why_not(error: &earthengine::Error) -> String {
    match error.remedy() {
        Some(remedy) => format!("{error}. {}", remedy.text),
        None => error.to_string(),
    }
}

fn numbered<'a>(answer: &str, shown: &[&'a ListedProject]) -> Option<&'a ListedProject> {
    let number: usize = answer.parse().ok()?;
    let on_screen = &shown[..shown.len().min(AT_ONCE)];
    on_screen.get(number.checked_sub(1)?).copied()
}

fn named<'a>(answer: &str, projects: &'a [ListedProject]) -> Option<&'a ListedProject> {
    projects
        .iter()
        .find(|project| project.id == answer || project.number == answer)
}

fn matches(project: &ListedProject, part: &str) -> bool {
    let part = part.to_lowercase();
    [&project.id, &project.name]
        .iter()
        .any(|text| text.to_lowercase().contains(&part))
}

/// What is in no list may be meant all the same: lists lag behind, and show only what one may
/// see.
fn unlisted<I: BufRead, O: Write>(
    prompt: &mut Prompt<I, O>,
    answer: String,
) -> io::Result<Option<Picked>> {
    let shown = plain(&answer);
    if check_project(&answer).is_err() {
        prompt.say(&format!("no project has \"{shown}\" in its name"))?;
        return Ok(None);
    }
    let question = format!("{shown} is not in the list. Use it all the same? [y/N]");
    let yes = prompt.prompt(&question)?;
    let yes = yes.is_some_and(|yes| matches!(yes.to_lowercase().as_str(), "y" | "yes"));
    Ok(yes.then_some(Picked::Typed(answer)))
}

fn show<I: BufRead, O: Write>(
    prompt: &mut Prompt<I, O>,
    shown: &[&ListedProject],
    current: Option<&str>,
) -> io::Result<()> {
    for (i, project) in shown.iter().take(AT_ONCE).enumerate() {
        let is_current = current.is_some_and(|id| id == project.id || id == project.number);
        let name = match project.name.as_str() {
            name if name == project.id => String::new(),
            name => format!("  {}", plain(name)),
        };
        prompt.say(&format!(
            "{:>3} {} {:<30}  {}{name}{}",
            i + 1,
            if is_current { '*' } else { ' ' },
            plain(&project.id),
            state(project),
            if is_current { "  (current)" } else { "" },
        ))?;
    }
    match shown.len().checked_sub(AT_ONCE) {
        None | Some(0) => Ok(()),
        Some(more) => prompt.say(&format!("    … and {more} more: type a part of the name")),
    }
}

#[cfg(test)]
mod tests;
