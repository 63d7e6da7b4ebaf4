//! The book is complete: its code is compiled, and its tables list everything.

use std::collections::BTreeSet;

use crate::{files, read};

#[test]
fn every_rust_example_is_compiled() {
    let compiled = read("tests/lib.rs");
    let mut pages = files("docs/src", "md");
    pages.push("README.md".into());
    let with_code = pages.iter().filter(|page| read(page).contains("```rust"));
    for page in with_code {
        let path = page.display().to_string().replace('\\', "/");
        assert!(compiled.contains(&format!("\"../{path}\"")), "{path}");
    }
}

/// Returns the codes of the warnings that a file creates, by name if a constant has it.
fn codes_in(source: &str, makes: &str) -> Vec<String> {
    let (code, _) = source.split_once("#[cfg(test)]").unwrap_or((source, ""));
    let found = code.split(makes).skip(1).filter_map(|rest| {
        let first = rest.trim_start();
        if let Some(text) = first.strip_prefix('"') {
            return Some(text.split_once('"')?.0);
        }
        let name = first.split_once(',')?.0;
        let (_, value) = code.split_once(&format!("const {name}: &str = \""))?;
        Some(value.split_once('"')?.0)
    });
    found.map(str::to_owned).collect()
}

#[test]
fn warning_table_lists_every_warning_once() {
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
    let mut listed: Vec<_> = codes
        .flat_map(|codes| codes.split('`').skip(1).step_by(2).map(str::to_owned))
        .collect();
    listed.sort();
    assert_eq!(listed, made.into_iter().collect::<Vec<_>>());
}

/// The beginnings of environment variables in the libraries and `eectl`.
const VARIABLES: [&str; 6] = [
    "EARTHENGINE_",
    "GOOGLE_",
    "GCE_",
    "CLOUDSDK_",
    "AWS_",
    "SSL_CERT_",
];

#[test]
fn environment_page_names_every_variable() {
    let page = read("docs/src/environment.md");
    let is_variable = |text: &&str| {
        VARIABLES.iter().any(|start| text.starts_with(start))
            && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
    };
    let mut found = BTreeSet::new();
    for path in files("crates", "rs") {
        let source = read(&path);
        found.extend(source.split('"').filter(is_variable).map(str::to_owned));
    }
    assert!(found.len() > 20, "{found:?}");
    for name in found {
        assert!(page.contains(&format!("`{name}")), "{name} is missing");
    }
}
