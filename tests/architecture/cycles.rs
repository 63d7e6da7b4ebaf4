//! Import cycles within the crates.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Component;

use crate::{files, read, root};

/// Import cycles, by crate and one of the modules. Each is in one directory.
const ALLOWED_CYCLES: [(&str, &str, &str); 2] = [
    (
        "ee-emulator",
        "hosts::batch",
        "a batch contains requests to Earth Engine, and is one",
    ),
    (
        "ee-emulator",
        "hosts::oauth2",
        "the token endpoint dispatches to the grants, which share its checks",
    ),
];

#[test]
fn import_cycles_are_few_and_in_one_directory() {
    let mut unexpected = Vec::new();
    let mut known = BTreeSet::new();
    let crates = std::fs::read_dir(root().join("crates")).unwrap();
    let names = crates.map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned());
    for name in names.chain(["xtask".to_owned()]) {
        for cycle in Modules::of_crate(&name).cycles() {
            let has = |member: &str| cycle.iter().any(|module| module == member);
            let allowed = ALLOWED_CYCLES.iter();
            let mut allowed = allowed.filter(|(of, member, _)| *of == name && has(member));
            let dir = |module: &str| module.rsplit_once("::").map(|(dir, _)| dir.to_owned());
            let dirs: BTreeSet<_> = cycle.iter().map(|module| dir(module)).collect();
            match allowed.next() {
                Some(entry) if dirs.len() == 1 => drop(known.insert(entry)),
                _ => unexpected.push(format!("{name}: {}", cycle.join(", "))),
            }
        }
    }
    assert!(
        unexpected.is_empty(),
        "import cycles:\n{}",
        unexpected.join("\n")
    );
    assert_eq!(
        known.len(),
        ALLOWED_CYCLES.len(),
        "a cycle no longer exists"
    );
}

#[test]
fn cycles_are_found_through_reexports() {
    let sources = [
        ("", "mod a;\nmod b;\npub use a::{A, Other as B};"),
        ("a", "use crate::b;\nstruct A;"),
        ("b", "use std::fmt;\nfn f() -> crate::A { crate::b::g() }"),
        (
            "c",
            "use super::a::A;\n#[cfg(test)]\nmod tests {\n    use crate::d;\n}",
        ),
        ("d", "use crate::c;"),
        ("d::e", "use super::*;\nuse crate::d::f::F;"),
        ("d::f", "use super::e;"),
    ];
    let sources = sources.map(|(name, text)| (module(name), text.to_owned()));
    let modules = Modules(BTreeMap::from(sources));
    assert_eq!(modules.cycles(), [vec!["a", "b"], vec!["d::e", "d::f"]]);
}

type ModulePath = Vec<String>;

fn module(name: &str) -> ModulePath {
    let parts = name.split("::").filter(|part| !part.is_empty());
    parts.map(str::to_owned).collect()
}

/// The modules of a crate, by path, with their code outside of tests.
struct Modules(BTreeMap<ModulePath, String>);

impl Modules {
    fn of_crate(name: &str) -> Self {
        let dir = match name {
            "xtask" => "xtask/src".to_owned(),
            name => format!("crates/{name}/src"),
        };
        let mut modules = BTreeMap::new();
        for file in files(&dir, "rs") {
            let relative = file.strip_prefix(&dir).unwrap().with_extension("");
            let parts = relative.components().map(Component::as_os_str);
            let mut path: ModulePath = parts
                .map(|part| part.to_str().unwrap().to_owned())
                .collect();
            if path
                .iter()
                .any(|part| part == "tests" || part.ends_with("_tests") || part == "model")
            {
                continue;
            }
            if ["lib", "main", "mod"].contains(&path.last().unwrap().as_str()) {
                path.pop();
            }
            modules.insert(path, read(&file));
        }
        Self(modules)
    }

    /// Returns the strongly connected components of more than one module. A module and its
    /// submodules may use each other.
    fn cycles(&self) -> Vec<Vec<String>> {
        let imports: BTreeMap<_, _> = self
            .0
            .iter()
            .map(|(path, text)| (path, imports(text)))
            .collect();
        let mut reachable: BTreeMap<&ModulePath, BTreeSet<&ModulePath>> = BTreeMap::new();
        for (path, names) in &imports {
            let targets = names
                .iter()
                .filter_map(|(target, _)| self.absolute(path, target));
            let targets = targets.map(|target| self.resolve(target, &imports, 0));
            let targets =
                targets.filter(|target| !target.starts_with(path) && !path.starts_with(target));
            reachable.insert(path, targets.collect());
        }
        // The transitive closure: the crates have few modules.
        loop {
            let before: usize = reachable.values().map(BTreeSet::len).sum();
            for path in imports.keys() {
                let next = reachable[path].iter().flat_map(|target| &reachable[target]);
                let next: Vec<_> = next.copied().collect();
                reachable.get_mut(path).unwrap().extend(next);
            }
            if before == reachable.values().map(BTreeSet::len).sum::<usize>() {
                break;
            }
        }
        let mut cycles = BTreeSet::new();
        for (path, targets) in &reachable {
            let members = targets
                .iter()
                .filter(|target| reachable[*target].contains(path));
            let members: BTreeSet<String> = members.map(|member| member.join("::")).collect();
            if !members.is_empty() {
                cycles.insert(members.into_iter().collect::<Vec<_>>());
            }
        }
        cycles.into_iter().collect()
    }

    /// Returns a path from the root of the crate, or `None` for another crate.
    fn absolute(&self, module: &ModulePath, path: &[String]) -> Option<ModulePath> {
        let (mut base, mut rest) = (module.clone(), path);
        match path.first()?.as_str() {
            "crate" => return Some(path[1..].to_vec()),
            "self" => rest = &path[1..],
            "super" => {
                while rest.first().is_some_and(|part| part == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            child => {
                let child = [module.as_slice(), &[child.to_owned()]].concat();
                self.0.get(&child)?;
            }
        }
        base.extend_from_slice(rest);
        Some(base)
    }

    /// Returns the module of an item, also if another module re-exports it.
    fn resolve(
        &self,
        path: ModulePath,
        imports: &BTreeMap<&ModulePath, Vec<Import>>,
        depth: usize,
    ) -> &ModulePath {
        let mut prefixes = (0..=path.len()).rev();
        let found = prefixes.find_map(|length| self.0.get_key_value(&path[..length]));
        let (module, _) = found.expect("every crate has a root module");
        let rest = &path[module.len()..];
        if let Some(item) = rest.first().filter(|_| depth < 8) {
            for (target, name) in &imports[module] {
                if name == item
                    && let Some(target) = self.absolute(module, target)
                    && target != path
                {
                    return self.resolve([&target, &rest[1..]].concat(), imports, depth + 1);
                }
            }
        }
        module
    }
}

/// A path, and the name under which it is imported; empty for a path in an expression or type.
type Import = (ModulePath, String);

/// Returns the imports and the paths in a module's code outside of its tests.
fn imports(text: &str) -> Vec<Import> {
    let code: String = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n")
        .collect();
    let code = match code.find("\nmod tests {") {
        Some(tests) => &code[..tests],
        None => &code,
    };
    let mut found = Vec::new();
    let mut rest = String::new();
    let mut statements = code.split_inclusive('\n');
    while let Some(line) = statements.next() {
        let Some(first) = use_statement(line) else {
            rest.push_str(line);
            continue;
        };
        let mut statement = first.to_owned();
        while !statement.contains(';') {
            statement.push_str(statements.next().unwrap_or(";"));
        }
        let tree = statement.split(';').next().unwrap_or_default();
        expand(&[], tree, &mut found);
    }
    for keyword in ["crate::", "super::"] {
        for (at, _) in rest.match_indices(keyword) {
            let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
            let before = rest[..at].chars().next_back();
            if !before.is_some_and(is_path) {
                let end = rest[at..].find(|c| !is_path(c)).unwrap_or(rest.len() - at);
                found.push((module(&rest[at..at + end]), String::new()));
            }
        }
    }
    found
}

/// Returns the first line of the tree of a `use` statement.
fn use_statement(line: &str) -> Option<&str> {
    let (visibility, tree) = line.split_once("use ")?;
    let visibility = visibility.trim();
    let is_visibility = visibility.is_empty()
        || visibility == "pub"
        || (visibility.starts_with("pub(") && visibility.ends_with(')'));
    is_visibility.then_some(tree)
}

/// Expands a tree such as `a::{b, c::d as e}`.
fn expand(prefix: &[String], tree: &str, found: &mut Vec<Import>) {
    let tree = tree.trim();
    if let Some((head, list)) = tree.split_once('{') {
        let prefix = [prefix, &module(head.trim())].concat();
        let list = list.strip_suffix('}').unwrap_or(list);
        let (mut depth, mut start) = (0, 0);
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    expand(&prefix, &list[start..at], found);
                    start = at + 1;
                }
                _ => {}
            }
        }
        return expand(&prefix, &list[start..], found);
    }
    if tree.is_empty() {
        return;
    }
    let (path, alias) = tree.split_once(" as ").unwrap_or((tree, ""));
    let mut path = [prefix, &module(path.trim())].concat();
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let last = path.last().cloned().unwrap_or_default();
    let name = if alias.is_empty() {
        last
    } else {
        alias.trim().to_owned()
    };
    found.push((path, name));
}
