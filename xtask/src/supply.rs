//! Dependency checks: banned crates, licenses, sources, duplicates and Rust versions.
//!
//! The policy is in `deny.toml`. If cargo-deny is installed, it checks the same policy and
//! advisories.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde::Deserialize;

use crate::process::{Outcome, at, cargo, is_installed, output, print_status, root, run};

/// The relevant part of `deny.toml`.
#[derive(Deserialize)]
struct Policy {
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<CrateSpec>,
    skip: Vec<CrateSpec>,
}

/// `name`, or `name@version` with a version prefix.
#[derive(Deserialize)]
struct CrateSpec {
    #[serde(rename = "crate")]
    spec: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: Vec<String>,
}

/// The relevant part of `cargo metadata`.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
    workspace_members: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
    rust_version: Option<String>,
    #[serde(default)]
    dependencies: Vec<Requirement>,
}

/// A dependency in a manifest.
#[derive(Deserialize)]
struct Requirement {
    name: String,
    req: String,
    path: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

pub(crate) fn check() -> Outcome {
    let path = root().join("deny.toml");
    let text = fs::read_to_string(&path).map_err(at(&path))?;
    let policy: Policy = basic_toml::from_str(&text).map_err(|e| format!("deny.toml: {e}"))?;
    let metadata = output(&mut cargo(&[
        "metadata",
        "--all-features",
        "--locked",
        "--format-version",
        "1",
    ]))?;
    let metadata: Metadata = serde_json::from_slice(&metadata).map_err(|e| e.to_string())?;
    let mut found = violations(&policy, &metadata);
    found.extend(wildcards(&metadata));
    found.extend(unused_exceptions(&policy, &metadata));
    found.extend(too_new(&metadata)?);
    if !found.is_empty() {
        return Err(format!("dependencies:\n  {}", found.join("\n  ")));
    }
    print_status(&format!(
        "checked {} dependencies: bans, licenses, sources, duplicates and Rust versions are ok",
        metadata.resolve.nodes.len() - metadata.workspace_members.len()
    ));
    cargo_deny()
}

/// Runs cargo-deny, if installed, which also checks advisories.
fn cargo_deny() -> Outcome {
    if !is_installed("cargo-deny") {
        print_status(
            "cargo-deny is not installed: advisories were not checked; install it with: cargo install cargo-deny --locked",
        );
        return Ok(());
    }
    run(&mut cargo(&[
        "deny", "check", "bans", "licenses", "sources",
    ]))?;
    // Fetching the advisory database requires network access.
    if run(&mut cargo(&["deny", "fetch", "db"])).is_err() {
        print_status("the advisory database could not be fetched: advisories were not checked");
        return Ok(());
    }
    run(&mut cargo(&["deny", "check", "advisories"]))
}

fn violations(policy: &Policy, metadata: &Metadata) -> Vec<String> {
    let used: BTreeSet<&str> = metadata
        .resolve
        .nodes
        .iter()
        .map(|n| n.id.as_str())
        .collect();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut found = Vec::new();
    for package in metadata
        .packages
        .iter()
        .filter(|p| used.contains(p.id.as_str()))
    {
        let Package { name, version, .. } = package;
        if policy.bans.deny.iter().any(|spec| spec.is(name, version)) {
            found.push(format!("{name} {version} is banned"));
        }
        let license = package.license.as_deref().unwrap_or_default();
        if !is_allowed(license, &policy.licenses.allow) {
            found.push(format!(
                "{name} {version}: license `{license}` is not allowed"
            ));
        }
        let allowed = |source: &String| {
            let registry = source.strip_prefix("registry+");
            registry.is_some_and(|url| policy.sources.allow_registry.iter().any(|r| r == url))
        };
        if !package.source.as_ref().is_none_or(allowed) {
            found.push(format!("{name} {version}: source is not allowed"));
        }
        if !policy.bans.skip.iter().any(|spec| spec.is(name, version)) {
            versions.entry(name).or_default().insert(version);
        }
    }
    for (name, versions) in versions
        .into_iter()
        .filter(|(_, versions)| versions.len() > 1)
    {
        let versions: Vec<_> = versions.into_iter().collect();
        found.push(format!(
            "{name} has several versions ({}); update one or add it to `skip` in deny.toml",
            versions.join(" and ")
        ));
    }
    found
}

/// Returns our dependencies on any version (`*`), except those in this workspace.
fn wildcards(metadata: &Metadata) -> Vec<String> {
    let ours = metadata.packages.iter();
    let ours = ours.filter(|package| metadata.workspace_members.contains(&package.id));
    ours.flat_map(|package| {
        let any = package.dependencies.iter();
        let any = any.filter(|d| d.req == "*" && d.path.is_none());
        any.map(|d| format!("{} depends on any version of {}", package.name, d.name))
    })
    .collect()
}

/// Returns the unused exceptions in `deny.toml`.
fn unused_exceptions(policy: &Policy, metadata: &Metadata) -> Vec<String> {
    let packages = &metadata.packages;
    let mut found = Vec::new();
    for skip in &policy.bans.skip {
        let of = packages.iter().filter(|p| skip.is(&p.name, &p.version));
        let needed = of.into_iter().any(|skipped| {
            let others = packages.iter().filter(|p| p.name == skipped.name);
            others.into_iter().any(|p| p.version != skipped.version)
        });
        if !needed {
            found.push(format!(
                "deny.toml skips {}, which has no duplicate",
                skip.spec
            ));
        }
    }
    for license in &policy.licenses.allow {
        let mut expressions = packages.iter().filter_map(|p| p.license.as_deref());
        if !expressions.any(|expression| alternatives(expression).any(|one| one == license)) {
            found.push(format!(
                "deny.toml allows the license {license}, which no dependency has"
            ));
        }
    }
    found
}

/// Returns the licenses in an SPDX expression.
fn alternatives(expression: &str) -> impl Iterator<Item = &str> {
    let joined = expression.split(['/', '(', ')']);
    let joined = joined.flat_map(|part| part.split(" OR "));
    joined.flat_map(|part| part.split(" AND ")).map(str::trim)
}

/// Returns the non-dev dependencies that require a newer Rust than the workspace.
fn too_new(metadata: &Metadata) -> Outcome<Vec<String>> {
    let packages: BTreeMap<&str, &Package> = metadata
        .packages
        .iter()
        .map(|p| (p.id.as_str(), p))
        .collect();
    let nodes: BTreeMap<&str, &Node> = metadata
        .resolve
        .nodes
        .iter()
        .map(|n| (n.id.as_str(), n))
        .collect();
    let is_ours = |id: &str| metadata.workspace_members.contains(id);
    let ours = packages
        .values()
        .filter(|package| is_ours(&package.id))
        .find_map(|package| package.rust_version.as_deref())
        .ok_or("the workspace has no rust-version")?;
    // Dev-dependencies may require a newer Rust, because only tests use them.
    let mut seen = BTreeSet::new();
    let mut next: Vec<&str> = metadata
        .workspace_members
        .iter()
        .map(String::as_str)
        .collect();
    while let Some(id) = next.pop() {
        if !seen.insert(id) {
            continue;
        }
        let of_user =
            |d: &&Dependency| d.dep_kinds.iter().any(|k| k.kind.as_deref() != Some("dev"));
        let node = nodes
            .get(id)
            .ok_or("`cargo metadata` has an edge to an unknown package")?;
        next.extend(node.deps.iter().filter(of_user).map(|d| d.pkg.as_str()));
    }
    Ok(seen
        .into_iter()
        .filter_map(|id| packages.get(id))
        .filter_map(|package| Some((package, package.rust_version.as_deref()?)))
        .filter(|(_, theirs)| release(theirs) > release(ours))
        .map(|(package, theirs)| {
            format!(
                "{} {} requires Rust {theirs}, the workspace supports {ours}",
                package.name, package.version
            )
        })
        .collect())
}

/// Returns the major and minor version.
fn release(version: &str) -> (u32, u32) {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

impl CrateSpec {
    fn is(&self, name: &str, version: &str) -> bool {
        match self.spec.split_once('@') {
            None => self.spec == name,
            Some((expected, prefix)) => {
                expected == name
                    && version
                        .strip_prefix(prefix)
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            }
        }
    }
}

/// Returns whether an SPDX expression can be satisfied with these licenses. `/` is a legacy `OR`.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let expression = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = expression.split_whitespace().collect();
    let mut rest = words.as_slice();
    !rest.is_empty() && any_of(&mut rest, allowed) && rest.is_empty()
}

fn any_of(rest: &mut &[&str], allowed: &[String]) -> bool {
    let mut satisfied = all_of(rest, allowed);
    while let ["OR", tail @ ..] = *rest {
        *rest = tail;
        satisfied |= all_of(rest, allowed);
    }
    satisfied
}

fn all_of(rest: &mut &[&str], allowed: &[String]) -> bool {
    let mut satisfied = one(rest, allowed);
    while let ["AND", tail @ ..] = *rest {
        *rest = tail;
        satisfied &= one(rest, allowed);
    }
    satisfied
}

fn one(rest: &mut &[&str], allowed: &[String]) -> bool {
    match *rest {
        ["(", tail @ ..] => {
            *rest = tail;
            let satisfied = any_of(rest, allowed);
            let [")", tail @ ..] = *rest else {
                // Remaining input makes the expression invalid.
                *rest = &["("];
                return false;
            };
            *rest = tail;
            satisfied
        }
        [license, "WITH", exception, tail @ ..] => {
            *rest = tail;
            allowed.contains(&format!("{license} WITH {exception}"))
        }
        [license, tail @ ..] => {
            *rest = tail;
            allowed.iter().any(|a| a == license)
        }
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn license_expressions_are_evaluated() {
        let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned);
        for (expression, allowed_expected) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("", false),
            ("GPL-3.0 OR MIT", true),
            ("GPL-3.0/MIT", true),
            ("MIT AND GPL-3.0", false),
            ("MIT AND ISC OR GPL-3.0", true),
            ("(MIT OR GPL-3.0) AND ISC", true),
            ("(MIT OR GPL-3.0) AND BSL-1.0", false),
            ("Apache-2.0 WITH LLVM-exception OR GPL-3.0", true),
            ("Apache-2.0", false),
            ("MIT OR (GPL-3.0", false),
            ("MIT MIT", false),
        ] {
            assert_eq!(
                is_allowed(expression, &allowed),
                allowed_expected,
                "{expression}"
            );
        }
    }

    #[test]
    fn skipped_version_may_be_a_prefix() {
        let spec = CrateSpec {
            spec: "rand@0.8".to_owned(),
        };
        assert!(spec.is("rand", "0.8.8"));
        assert!(!spec.is("rand", "0.80.1"));
        assert!(!spec.is("rand_core", "0.8.8"));
    }

    fn metadata(packages: &str) -> Metadata {
        let text = format!(
            r#"{{"packages": [{packages}], "resolve": {{"nodes": []}}, "workspace_members": ["ours"]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn wildcards_are_allowed_only_in_workspace() {
        let metadata = metadata(
            r#"{"id": "ours", "name": "a", "version": "1.0.0", "dependencies": [
                 {"name": "b", "req": "*", "path": "/b"}, {"name": "c", "req": "*"}, {"name": "d", "req": "^1"}]},
               {"id": "c 1", "name": "c", "version": "1.0.0", "dependencies": [{"name": "e", "req": "*"}]}"#,
        );
        assert_eq!(wildcards(&metadata), ["a depends on any version of c"]);
    }

    #[test]
    fn unused_exceptions_are_reported() {
        let policy: Policy = basic_toml::from_str(
            r#"
            licenses = { allow = ["MIT", "ISC", "Zlib"] }
            bans = { deny = [], skip = [{ crate = "a@1" }, { crate = "b@1" }, { crate = "c@1" }] }
            sources = { allow-registry = [] }
            "#,
        )
        .unwrap();
        let metadata = metadata(
            r#"{"id": "a 1", "name": "a", "version": "1.0.0", "license": "MIT"},
               {"id": "a 2", "name": "a", "version": "2.0.0", "license": "(MIT OR GPL-3.0) AND ISC"},
               {"id": "b 1", "name": "b", "version": "1.0.0", "license": "MIT/BSD"}"#,
        );
        assert_eq!(
            unused_exceptions(&policy, &metadata),
            [
                "deny.toml skips b@1, which has no duplicate",
                "deny.toml skips c@1, which has no duplicate",
                "deny.toml allows the license Zlib, which no dependency has",
            ]
        );
    }
}
