//! `eectl asset create`.

use earthengine::{AssetName, Remedy, rest};
use serde_json::{Value, json};

use crate::cli::Global;
use crate::cli::asset::{Create, CreateCommand};
use crate::command::session::{Failures, Session};
use crate::error::CliError;
use crate::output::{print, print_json, print_status};

const FOLDER: &str = "FOLDER";

pub(crate) async fn run(global: &Global, arguments: &Create) -> Result<(), CliError> {
    let (new, kind) = match &arguments.what {
        CreateCommand::Folder(new) => (new, FOLDER),
        CreateCommand::Collection(new) => (new, "IMAGE_COLLECTION"),
    };
    let names = new.assets.iter().map(|id| super::writable(id));
    let names: Vec<AssetName> = names.collect::<Result<_, _>>()?;
    let session = Session::connect(global).await?;
    let mut results: Vec<Value> = Vec::new();
    let mut failures = Failures::default();
    // One after the other, because one may be the parent of the next.
    for name in &names {
        match session.create(name, kind, new.parents).await {
            Ok(created) => {
                for name in &created {
                    results.push(json!({"name": name, "created": true}));
                    if !global.json {
                        print(format!("created {name}\n"))?;
                    }
                }
                if created.is_empty() {
                    results.push(json!({"name": name.as_str(), "created": false}));
                    if !(global.json || global.quiet) {
                        print_status(&format!("{name} exists already"));
                    }
                }
            }
            Err(error) => failures.push(name.as_str(), error),
        }
    }
    if global.json && (failures.is_empty() || !results.is_empty()) {
        print_json(&Value::Array(results))?;
    }
    failures.into_result_of(global.json, names.len(), "asset", "could not be created")
}

impl Session<'_> {
    /// Creates an asset unless it exists, and its missing parents if wanted. Returns what was created.
    async fn create(
        &self,
        name: &AssetName,
        kind: &str,
        with_parents: bool,
    ) -> Result<Vec<String>, CliError> {
        if self.exists_as(name, kind).await? {
            return Ok(Vec::new());
        }
        let mut created = Vec::new();
        if with_parents {
            for parent in parents(name) {
                if !self.exists_as(&parent, FOLDER).await? {
                    self.create_one(&parent, FOLDER).await?;
                    created.push(parent.to_string());
                }
            }
        }
        self.create_one(name, kind).await?;
        created.push(name.to_string());
        Ok(created)
    }

    async fn create_one(&self, name: &AssetName, kind: &str) -> Result<(), CliError> {
        let created = self.ee.assets().create(name.as_str(), kind).await;
        let created = created.map_err(|error| match error.kind() {
            rest::ErrorKind::NotFound => error.with_remedy(Remedy::new(
                "Create the folder above it first, or add --parents.",
            )),
            _ => error,
        });
        created
            .map(drop)
            .map_err(|error| self.error(&format!("create {name}"), error))
    }

    /// Returns whether an asset exists. One of another type is an error.
    async fn exists_as(&self, name: &AssetName, kind: &str) -> Result<bool, CliError> {
        match self.find(name).await? {
            None => Ok(false),
            Some(asset) if asset.kind == kind => Ok(true),
            Some(asset) => Err(self.problem(
                &format!(
                    "cannot create {name}: it exists already, with the type {}",
                    asset.kind
                ),
                "Choose another name, or delete the asset first.",
            )),
        }
    }
}

/// Returns the folders above an asset, outermost first. Those of legacy assets start below the
/// user's or project's own folder.
fn parents(name: &AssetName) -> Vec<AssetName> {
    let is_legacy = name.project() == "earthengine-legacy";
    let skipped = if is_legacy { 2 } else { 0 };
    let segments: Vec<&str> = name.path().split('/').collect();
    let ends = (skipped + 1)..segments.len();
    let names = ends.map(|end| {
        format!(
            "projects/{}/assets/{}",
            name.project(),
            segments[..end].join("/")
        )
    });
    names.filter_map(|name| name.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_start_below_the_root() {
        for (id, expected) in [
            ("projects/my-project/assets/a", &[][..]),
            (
                "projects/my-project/assets/a/b/c",
                &[
                    "projects/my-project/assets/a",
                    "projects/my-project/assets/a/b",
                ],
            ),
            ("users/me/a", &[]),
            (
                "users/me/a/b",
                &["projects/earthengine-legacy/assets/users/me/a"],
            ),
        ] {
            let names: Vec<_> = parents(&id.parse().unwrap())
                .into_iter()
                .map(|name| name.to_string())
                .collect();
            assert_eq!(names, expected, "{id}");
        }
    }
}
