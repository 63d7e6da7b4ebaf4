//! The sections of a page, as text and for manual pages.

use std::fmt::Write as _;

use clap::builder::StyledStr;

use super::pages::Page;

/// A section with entries: a term and its explanation.
pub(crate) struct Section {
    pub(crate) title: &'static str,
    pub(crate) entries: Vec<(String, &'static str)>,
    /// Whether the terms are commands, which follow their explanation.
    pub(crate) is_commands: bool,
}

/// Returns the sections of a page, without empty ones.
pub(crate) fn sections(page: &Page) -> Vec<Section> {
    let examples = page.examples.iter();
    let variables = page.environment.iter().flat_map(|group| group.iter());
    let files = page.files.iter();
    let statuses = page.statuses.iter();
    let all = [
        (
            "Examples",
            examples
                .map(|(what, line)| ((*line).to_owned(), *what))
                .collect(),
        ),
        (
            "Environment",
            variables
                .map(|(name, what)| ((*name).to_owned(), *what))
                .collect(),
        ),
        (
            "Files",
            files
                .map(|(path, what)| ((*path).to_owned(), *what))
                .collect(),
        ),
        (
            "Exit status",
            statuses
                .map(|status| (status.to_string(), meaning(*status)))
                .collect::<Vec<_>>(),
        ),
    ];
    all.into_iter()
        .filter(|(_, entries)| !entries.is_empty())
        .map(|(title, entries)| Section {
            title,
            entries,
            is_commands: title == "Examples",
        })
        .collect()
}

/// The meanings of exit statuses.
fn meaning(status: u8) -> &'static str {
    match status {
        0 => "Success",
        2 => "The command line is invalid",
        3 => "No credentials were found",
        4 => "The credentials are invalid or rejected, or the login failed",
        5 => "The project is missing, denied, not registered, or without the API",
        6 => "The API responded with an error",
        7 => "The network failed, or the time to wait for a task ended",
        8 => "A task that was waited for failed or was cancelled",
        126 => "The command cannot be executed",
        127 => "The command was not found",
        130 => "Interrupted with Ctrl-C",
        141 => "The reader of the output closed the pipe",
        _ => "Another error, such as a file that cannot be read",
    }
}

/// Formats the sections for the terminal.
pub(super) fn as_text(page: &Page, width: usize) -> StyledStr {
    let mut text = String::new();
    for section in sections(page) {
        // The styles of clap's own headings.
        let title = anstyle_heading(section.title);
        if !text.is_empty() {
            text.push('\n');
        }
        let _ = writeln!(text, "{title}");
        if section.is_commands {
            for (i, (line, what)) in section.entries.iter().enumerate() {
                if i > 0 {
                    text.push('\n');
                }
                for line in wrap(&format!("{what}:"), width.saturating_sub(2)) {
                    let _ = writeln!(text, "  {line}");
                }
                let _ = writeln!(text, "    {line}");
            }
            continue;
        }
        let terms = section.entries.iter().map(|(term, _)| term.chars().count());
        let column = terms.max().unwrap_or(0) + 4;
        // Below long terms if there is not much room beside them.
        let is_beside = column + 30 <= width;
        for (term, what) in &section.entries {
            let indent = if is_beside { column } else { 6 };
            let mut lines = wrap(what, width.saturating_sub(indent)).into_iter();
            if is_beside {
                let first = lines.next().unwrap_or_default();
                let _ = writeln!(text, "  {term:<rest$}{first}", rest = column - 2);
            } else {
                let _ = writeln!(text, "  {term}");
            }
            for line in lines {
                let _ = writeln!(text, "{:indent$}{line}", "");
            }
        }
    }
    StyledStr::from(text.trim_end().to_owned())
}

fn anstyle_heading(title: &str) -> String {
    let style = clap::builder::Styles::styled();
    let header = style.get_header();
    format!("{header}{title}:{header:#}")
}

/// Splits text into lines at its spaces.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else {
            continue;
        };
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_between_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("one twothree", 3), ["one", "twothree"]);
        assert_eq!(wrap("", 3), [""]);
    }
}
