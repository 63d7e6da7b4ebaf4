//! The table of all methods in `docs/src/calls.md` agrees with the description of the API.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use ee_emulator::Description;

/// Returns the quoted texts of a cell.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Returns the rows of the table: the method, the typed call, `eectl api` and `ee.data`.
fn rows() -> Vec<(String, [String; 4])> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/calls.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, section) = page.split_once("## All methods").unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<String> = row
            .trim_matches('|')
            .split(" | ")
            .map(str::to_owned)
            .collect();
        let cells = cells.try_into().unwrap_or_else(|_| panic!("{row}"));
        (row.to_owned(), cells)
    })
    .collect()
}

/// Returns the examples in the documentation of the typed calls, without those that must not
/// compile.
fn examples(dir: &Path) -> String {
    let mut code = String::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            code += &examples(&path);
            continue;
        }
        let mut block = None;
        let text = fs::read_to_string(&path).unwrap();
        for line in text.lines().map(str::trim_start) {
            match (line.strip_prefix("/// "), block) {
                (Some(fence), None) if fence.starts_with("```") => {
                    block = Some(!fence.contains("compile_fail"));
                }
                (Some("```"), _) => block = None,
                (Some(line), Some(true)) => code += &format!("{line}\n"),
                _ => {}
            }
        }
    }
    code
}

#[test]
fn every_typed_call_has_an_example() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let code = examples(&crates.join("ee-rest/src/api"));
    for (row, [_, typed, ..]) in rows() {
        for call in quoted(&typed) {
            // The names before each opening parenthesis.
            for name in call.split('(').rev().skip(1) {
                let start = name.rfind(|c: char| !(c.is_alphanumeric() || c == '_'));
                let name = &name[start.map_or(0, |at| at + 1)..];
                let is_called =
                    code.contains(&format!("{name}(")) || code.contains(&format!("{name}::<"));
                assert!(is_called, "{name} has no example: {row}");
            }
        }
    }
}

#[test]
fn table_of_methods_is_complete() {
    let description = Description::get();
    let mut documented = BTreeSet::new();
    for (row, [methods, typed, api, python]) in &rows() {
        let [method] = quoted(methods)[..] else {
            panic!("{row}");
        };
        // The arguments of `eectl api` are those of this method. Other commands follow.
        let request = quoted(api)[0];
        let (http, path) = request.split_once(' ').unwrap_or(("GET", request));
        let (path, _) = path.split_once(" --query").unwrap_or((path, ""));
        let path = match path.starts_with("projects/") {
            true => format!("v1/{path}"),
            false => format!("v1/projects/P/{path}"),
        };
        let id = match method.starts_with("projects.") {
            true => method.to_owned(),
            false => format!("projects.{method}"),
        };
        let found = description.method_of(http, &path);
        assert_eq!(found, Some(id.as_str()), "{row}");
        assert!(documented.insert(id), "{method} is documented twice");
        assert!(!quoted(typed).is_empty(), "{row}");
        assert!(python.contains('`') || python.trim() == "none", "{row}");
    }
    let described = description.methods().map(|(id, _)| id.to_owned());
    let described: BTreeSet<String> = described.filter(|id| id.starts_with("projects.")).collect();
    assert_eq!(documented, described);
}
