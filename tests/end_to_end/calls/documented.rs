//! The table of all methods in `docs/src/calls.md` agrees with the description of the API.

use std::collections::BTreeSet;
use std::path::Path;

use ee_emulator::Description;

/// Returns the quoted texts of a cell.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn table_of_methods_is_complete() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/calls.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, section) = page.split_once("## All methods").unwrap();
    let description = Description::get();
    let mut documented = BTreeSet::new();
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let [methods, typed, api, python] = cells.as_slice() else {
            panic!("{row}");
        };
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
