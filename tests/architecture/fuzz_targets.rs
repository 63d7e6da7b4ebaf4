//! A fuzz target is a program, a row of the page, a folder of seeds and a dictionary.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The names of what is in a folder of the targets, without endings.
fn names(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(root().join("tests/fuzz").join(folder)).unwrap();
    let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    entries.map(|entry| stem(entry.unwrap().path())).collect()
}

#[test]
fn every_fuzz_target_is_built_has_seeds_and_words_and_stands_on_the_page() {
    let targets = names("fuzz_targets");
    assert!(targets.len() > 10, "they are somewhere else now");
    let manifest = fs::read_to_string(root().join("tests/fuzz/Cargo.toml")).unwrap();
    let programs = manifest.split("[[bin]]").skip(1).map(|program| {
        let (_, name) = program.split_once("name = \"").unwrap();
        let name = name.split('"').next().unwrap().to_owned();
        assert!(program.contains(&format!("path = \"fuzz_targets/{name}.rs\"")));
        name
    });
    assert_eq!(programs.collect::<BTreeSet<_>>(), targets);
    assert_eq!(names("seeds"), targets);
    assert_eq!(names("dictionaries"), targets);
    for target in &targets {
        let seeds = root().join("tests/fuzz/seeds").join(target);
        assert!(
            fs::read_dir(seeds).unwrap().next().is_some(),
            "{target} has no seed"
        );
    }

    let page = fs::read_to_string(root().join("docs/src/fuzzing.md")).unwrap();
    let (_, table) = page.split_once("## What must hold").unwrap();
    let table = table.split("\n## ").next().unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let rows = rows.map(|row| row.split('`').next().unwrap().to_owned());
    assert_eq!(rows.collect::<BTreeSet<_>>(), targets);
}
