//! `cargo xtask docs`: API documentation and the book.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Outcome, at, cargo, is_installed, print_status, root, run, target_dir};

pub(crate) fn build() -> Outcome {
    check()?;
    if !is_installed("mdbook") {
        print_status(
            "mdbook is not installed: the book was checked but not built; install it with: cargo install mdbook",
        );
        return Ok(());
    }
    let dir = target_dir("book")?;
    run(Command::new("mdbook")
        .arg("build")
        .arg(root().join("docs"))
        .arg("--dest-dir")
        .arg(dir))
}

/// Checks that rustdoc has no warnings and that the book has no broken links.
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

/// Returns the broken links of the book and the pages beside it, and the pages missing in SUMMARY.md.
fn broken_links() -> Outcome<Vec<String>> {
    let book = root().join("docs/src");
    let mut pages = Vec::new();
    collect(&book, &mut pages)?;
    pages.extend(["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(|name| root().join(name)));
    let contents = read(&book.join("SUMMARY.md"))?;
    let mut broken = Vec::new();
    for page in &pages {
        let text = read(page)?;
        let shown = page.strip_prefix(root()).unwrap_or(page).display();
        for link in links(&text) {
            if !link_exists(page, &text, link)? {
                broken.push(format!("{shown}: broken link to {link}"));
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

fn collect(dir: &Path, pages: &mut Vec<PathBuf>) -> Outcome {
    let io_error = at(dir);
    for entry in fs::read_dir(dir).map_err(io_error)? {
        let path = entry.map_err(io_error)?.path();
        if path.is_dir() {
            collect(&path, pages)?;
        } else if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
    Ok(())
}

fn read(path: &Path) -> Outcome<String> {
    fs::read_to_string(path).map_err(at(path))
}

/// Returns the lines of a page outside code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

/// Returns the targets of a page's relative links.
fn links(text: &str) -> impl Iterator<Item = &str> {
    prose(text)
        .flat_map(|line| line.split("](").skip(1))
        .filter_map(|rest| Some(rest.split_once(')')?.0))
        .filter(|link| !link.contains(':'))
}

fn link_exists(page: &Path, text: &str, link: &str) -> Outcome<bool> {
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

/// Returns the anchors of a page's headings.
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
    fn code_and_external_links_are_ignored() {
        let page = "[a](b.md#c) [d](https://example.com) `x`[e](#f)\n```rust\nlist[0](1)\n```\n";
        assert_eq!(links(page).collect::<Vec<_>>(), ["b.md#c", "#f"]);
    }

    #[test]
    fn book_has_no_broken_links_or_unlisted_pages() {
        assert_eq!(broken_links(), Ok(Vec::new()));
    }

    #[test]
    fn heading_anchors_match_mdbook() {
        let page = "# The `eectl` command\n## Exit status, and JSON\n```\n# no heading\n```\n";
        let expected = ["exit-status-and-json", "the-eectl-command"];
        assert_eq!(headings(page).into_iter().collect::<Vec<_>>(), expected);
    }
}
