//! `cargo xtask docs`: the documentation of the crates, and the book.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Outcome, cargo, root, run, say, starts, target};

pub(crate) fn build() -> Outcome {
    check()?;
    if !starts("mdbook") {
        say("mdbook is not installed: the book is checked and not built (cargo install mdbook)");
        return Ok(());
    }
    let folder = std::path::absolute(target().join("book")).map_err(|e| e.to_string())?;
    run(Command::new("mdbook")
        .arg("build")
        .arg(root().join("docs"))
        .arg("--dest-dir")
        .arg(folder))
}

/// Rustdoc without a warning, and links that lead somewhere.
pub(crate) fn check() -> Outcome {
    run(
        cargo(&["doc", "--workspace", "--all-features", "--no-deps"])
            .env("RUSTDOCFLAGS", "--deny warnings"),
    )?;
    let broken = broken_links()?;
    if broken.is_empty() {
        return Ok(());
    }
    Err(broken.join("\n"))
}

/// The links of the pages and of the README that lead nowhere, and the pages that no link of the
/// table of contents leads to.
fn broken_links() -> Outcome<Vec<String>> {
    let book = root().join("docs/src");
    let mut pages = Vec::new();
    collect(&book, &mut pages)?;
    pages.push(root().join("README.md"));
    let contents = read(&book.join("SUMMARY.md"))?;
    let mut broken = Vec::new();
    for page in &pages {
        let text = read(page)?;
        let shown = page.strip_prefix(root()).unwrap_or(page).display();
        for link in links(&text) {
            if !leads_somewhere(page, &text, link)? {
                broken.push(format!("{shown}: the link to {link} leads nowhere"));
            }
        }
        if let Ok(name) = page.strip_prefix(&book) {
            let name = name.display().to_string().replace('\\', "/");
            if name != "SUMMARY.md" && !contents.contains(&format!("]({name})")) {
                broken.push(format!("{shown} is not in SUMMARY.md"));
            }
        }
    }
    Ok(broken)
}

fn collect(folder: &Path, pages: &mut Vec<PathBuf>) -> Outcome {
    let cannot = |e: std::io::Error| format!("{}: {e}", folder.display());
    for entry in fs::read_dir(folder).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        if path.is_dir() {
            collect(&path, pages)?;
        } else if path.extension().is_some_and(|ending| ending == "md") {
            pages.push(path);
        }
    }
    Ok(())
}

fn read(path: &Path) -> Outcome<String> {
    fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

/// The lines of a page that are no code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

/// Where the links of a page lead, but for those that leave the repository.
fn links(text: &str) -> impl Iterator<Item = &str> {
    prose(text)
        .flat_map(|line| line.split("](").skip(1))
        .filter_map(|rest| Some(rest.split_once(')')?.0))
        .filter(|link| !link.contains(':'))
}

fn leads_somewhere(page: &Path, text: &str, link: &str) -> Outcome<bool> {
    let (file, heading) = match link.split_once('#') {
        Some((file, heading)) => (file, Some(heading)),
        None => (link, None),
    };
    if file.is_empty() {
        return Ok(heading.is_some_and(|heading| headings(text).contains(heading)));
    }
    let file = page.with_file_name("").join(file);
    if !file.exists() {
        return Ok(false);
    }
    Ok(match heading {
        Some(heading) => headings(&read(&file)?).contains(heading),
        None => true,
    })
}

/// What a page's headings are called in links.
fn headings(text: &str) -> BTreeSet<String> {
    prose(text)
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            let words = line.trim_start_matches('#').trim().to_lowercase();
            let kept = words.chars().filter_map(|c| match c {
                ' ' => Some('-'),
                c if c.is_alphanumeric() || matches!(c, '-' | '_') => Some(c),
                _ => None,
            });
            kept.collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_told_from_code_and_from_other_sites() {
        let page = "[a](b.md#c) [d](https://example.com) `x`[e](#f)\n```rust\nlist[0](1)\n```\n";
        assert_eq!(links(page).collect::<Vec<_>>(), ["b.md#c", "#f"]);
    }

    #[test]
    fn every_link_of_the_book_leads_somewhere_and_every_page_is_in_it() {
        assert_eq!(broken_links(), Ok(Vec::new()));
    }

    #[test]
    fn headings_are_called_as_the_book_calls_them() {
        let page = "# The `eectl` command\n## Exit status, and JSON\n```\n# no heading\n```\n";
        let expected = ["exit-status-and-json", "the-eectl-command"];
        assert_eq!(headings(page).into_iter().collect::<Vec<_>>(), expected);
    }
}
