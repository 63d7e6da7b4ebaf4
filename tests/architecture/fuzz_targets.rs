//! Each fuzz target is a program with a row on the page, seeds and a dictionary.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::{read, root};

/// Returns the file stems in a directory of the fuzz targets.
fn names(dir: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(root().join("tests/fuzz").join(dir)).unwrap();
    let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    entries.map(|entry| stem(entry.unwrap().path())).collect()
}

#[test]
fn every_fuzz_target_is_built_seeded_and_documented() {
    let targets = names("fuzz_targets");
    assert!(targets.len() > 10, "the targets were not found");
    let manifest = read("tests/fuzz/Cargo.toml");
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

    let page = read("docs/src/fuzzing.md");
    let (_, table) = page.split_once("## What must hold").unwrap();
    let table = table.split("\n## ").next().unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let rows = rows.map(|row| row.split('`').next().unwrap().to_owned());
    assert_eq!(rows.collect::<BTreeSet<_>>(), targets);
}
