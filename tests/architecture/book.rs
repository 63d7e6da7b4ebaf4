//! The book is whole: its code is compiled, and its tables leave nothing out.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The files under a folder with this ending, as they are called from the root.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == ending) {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    found
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

#[test]
fn the_code_on_every_page_is_compiled_with_the_tests() {
    let compiled = read("tests/lib.rs");
    let mut pages = files("docs/src", "md");
    pages.push("README.md".into());
    let with_code = pages.iter().filter(|page| read(page).contains("```rust"));
    for page in with_code {
        let path = page.display().to_string().replace('\\', "/");
        assert!(compiled.contains(&format!("\"../{path}\"")), "{path}");
    }
}

/// The codes of the warnings that a file makes, by name where a constant has it.
fn codes_in(source: &str, makes: &str) -> Vec<String> {
    let (code, _) = source.split_once("#[cfg(test)]").unwrap_or((source, ""));
    let said = code.split(makes).skip(1).filter_map(|rest| {
        let first = rest.trim_start();
        if let Some(text) = first.strip_prefix('"') {
            return Some(text.split_once('"')?.0);
        }
        let name = first.split_once(',')?.0;
        let (_, value) = code.split_once(&format!("const {name}: &str = \""))?;
        Some(value.split_once('"')?.0)
    });
    said.map(str::to_owned).collect()
}

#[test]
fn every_warning_stands_once_in_the_table_of_warnings_and_nothing_else() {
    let mut made = BTreeSet::new();
    for path in files("crates", "rs") {
        if path.components().any(|part| part.as_os_str() == "src") {
            let own = path.ends_with("ee-credentials/src/warning.rs");
            let makes = if own { "Self::new(" } else { "Warning::new(" };
            made.extend(codes_in(&read(&path), makes));
        }
    }
    let page = read("docs/src/eectl.md");
    let (_, table) = page.split_once("## Warnings").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let codes = rows.filter_map(|row| row.split(" | ").next());
    let mut told: Vec<_> = codes
        .flat_map(|codes| codes.split('`').skip(1).step_by(2).map(str::to_owned))
        .collect();
    told.sort();
    assert_eq!(told, made.into_iter().collect::<Vec<_>>());
}
