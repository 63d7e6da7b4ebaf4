//! The structure of the crates: file locations and hidden items.

use std::collections::BTreeSet;
use std::path::Path;

use crate::{files, read};

/// Files with `#[path]`: the model checker compiles the cache with other synchronization.
const PATH_ATTRIBUTES: [&str; 2] = [
    "crates/ee-token/src/cache/model/mod.rs",
    "crates/ee-token/src/cache/token_cache.rs",
];

/// Files with hidden public items that are not in a module `internal`: the error macro must be at the
/// root of its crate.
const HIDDEN_ITEMS: [&str; 1] = ["crates/ee-token/src/error/report.rs"];
/// Files with hidden public items that have not been moved yet.
const NOT_YET_INTERNAL: &[&str] = &[];

/// The files beside the directories of `ee-credentials`.
const CREDENTIALS_FILES: [&str; 8] = [
    "credentials.rs",
    "error.rs",
    "fuzzing.rs",
    "iam.rs",
    "kind.rs",
    "lib.rs",
    "options.rs",
    "warning.rs",
];
/// Files that have not been moved into a directory yet.
const NOT_YET_MOVED: &[&str] = &[];

fn sources() -> Vec<String> {
    let dirs = ["crates", "tests", "xtask"].into_iter();
    let all = dirs.flat_map(|dir| files(dir, "rs"));
    all.map(|path| path.display().to_string().replace('\\', "/"))
        .collect()
}

#[test]
fn only_the_model_checker_uses_path_attributes() {
    let with_path = |path: &String| {
        read(path)
            .lines()
            .any(|line| line.trim().starts_with("#[path"))
    };
    let found: Vec<_> = sources().into_iter().filter(with_path).collect();
    let unexpected: Vec<_> = found
        .iter()
        .filter(|path| !PATH_ATTRIBUTES.contains(&path.as_str()))
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
}

#[test]
fn hidden_items_are_in_modules_named_internal() {
    let mut found = Vec::new();
    for path in sources().iter().filter(|path| path.starts_with("crates/")) {
        let is_internal = path.ends_with("/internal.rs") || path.contains("/internal/");
        if is_internal
            || HIDDEN_ITEMS.contains(&path.as_str())
            || NOT_YET_INTERNAL.contains(&path.as_str())
        {
            continue;
        }
        let text = read(path);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (index, line) in lines.iter().enumerate() {
            if !line.starts_with("#[doc(hidden)]") {
                continue;
            }
            let mut items = lines[index + 1..].iter();
            let item = items.find(|line| !line.starts_with("#[") && !line.starts_with("//"));
            let item = item.copied().unwrap_or_default();
            let is_public = item.starts_with("pub ") || item.starts_with("macro_rules!");
            let is_internal = ["pub mod internal", "pub mod fuzzing"];
            if is_public && !is_internal.iter().any(|module| item.starts_with(module)) {
                found.push(format!("{path}:{}: {item}", index + 1));
            }
        }
    }
    assert!(
        found.is_empty(),
        "{} items:\n{}",
        found.len(),
        found.join("\n")
    );
}

#[test]
fn credentials_crate_has_only_the_known_files_at_top_level() {
    let top = Path::new("crates/ee-credentials/src");
    let all = files("crates/ee-credentials/src", "rs").into_iter();
    let names = all.filter(|path| path.parent() == Some(top));
    let names = names.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
    let names: BTreeSet<String> = names
        .filter(|name| !NOT_YET_MOVED.contains(&name.as_str()))
        .collect();
    let expected = CREDENTIALS_FILES.map(str::to_owned);
    assert_eq!(names, BTreeSet::from(expected));
}
