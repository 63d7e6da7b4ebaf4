//! `eectl asset copy`.

use earthengine::{Asset, AssetName, rest};
use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::{Map, Value, json};

use super::tree::{Listing, depth, is_container};
use crate::cli::Global;
use crate::cli::asset::Copy;
use crate::command::session::{Failures, MAX_STARTED, Session, advise, asset_name};
use crate::error::CliError;
use crate::output::{print, print_json};
use crate::waiting::Progress;
use crate::words::count;

pub(crate) async fn run(global: &Global, arguments: &Copy) -> Result<(), CliError> {
    let from: AssetName = asset_name(&arguments.from)?;
    let to = super::writable(&arguments.to)?;
    if to == from || to.as_str().starts_with(&format!("{from}/")) {
        return Err(CliError::usage(&format!(
            "{from} cannot be copied into itself"
        )));
    }
    let session = Session::connect(global).await?;
    if arguments.recursive {
        let source = session.get("copy", &from).await?;
        if is_container(&source) {
            return copy_tree(&session, &source, &to, arguments.overwrite).await;
        }
    }
    let copied = session
        .ee
        .assets()
        .copy(from.as_str(), to.as_str(), arguments.overwrite)
        .await;
    let copied = match copied {
        Ok(asset) => asset,
        Err(error) => {
            let error = advise(
                error,
                "Use --overwrite to replace an existing asset, and --recursive to copy a folder or a collection.",
            );
            let what = format!("copy {from} to {to}");
            return Err(session
                .explain_missing_either(&what, &from, &to, error)
                .await);
        }
    };
    if global.json {
        return print_json(&json!(copied));
    }
    print(format!("copied {from} to {to}\n"))
}

/// Copies a folder or collection: first the containers, outermost first, then what is in them.
async fn copy_tree(
    session: &Session<'_>,
    source: &Asset,
    to: &AssetName,
    overwrite: bool,
) -> Result<(), CliError> {
    let global = session.global;
    // Properties and times of containers are copied, too.
    let tree = session
        .walk(vec![source.name.clone()], Listing::default(), is_container)
        .await;
    if !tree.failures.is_empty() {
        let what = format!(
            "nothing was copied: {} could not be listed",
            count(tree.failures.len(), "folder")
        );
        return tree.failures.into_result(global.json, &what);
    }
    let assets = std::iter::once(source).chain(&tree.assets);
    let (mut containers, leaves): (Vec<&Asset>, Vec<&Asset>) =
        assets.partition(|asset| is_container(asset));
    containers.sort_by_key(|asset| depth(&asset.name));
    let total = containers.len() + leaves.len();
    let renamed = |asset: &Asset| {
        let path = asset.name.strip_prefix(&source.name).unwrap_or_default();
        format!("{to}{path}")
    };
    let mut copied: Vec<Value> = Vec::new();
    let mut failures = Failures::default();
    let progress = Progress::of("copying assets", total);
    for asset in containers {
        let name = renamed(asset);
        // What is in a folder that cannot be created would fail, too: it ends the copy.
        session.create_like(asset, &name, overwrite).await?;
        progress.advance();
        report(session, &asset.name, &name, &mut copied)?;
    }
    let copies = stream::iter(leaves).map(|asset| async {
        let name = renamed(asset);
        let result = session
            .ee
            .assets()
            .copy(&asset.name, &name, overwrite)
            .await;
        let result =
            result.map_err(|error| session.error(&format!("copy {} to {name}", asset.name), error));
        (asset.name.as_str(), name, result)
    });
    let mut copies = copies.buffered(MAX_STARTED);
    while let Some((from, name, result)) = copies.next().await {
        progress.advance();
        match result {
            Ok(_) => report(session, from, &name, &mut copied)?,
            Err(error) => failures.push(from, error),
        }
    }
    drop(progress);
    if global.json {
        print_json(&json!({"copied": copied, "failed": failures.as_json()}))?;
    }
    failures.into_result_of(global.json, total, "asset", "could not be copied")
}

fn report(
    session: &Session<'_>,
    from: &str,
    to: &str,
    copied: &mut Vec<Value>,
) -> Result<(), CliError> {
    copied.push(json!({"from": from, "to": to}));
    match session.global.json {
        true => Ok(()),
        false => print(format!("copied {from} to {to}\n")),
    }
}

impl Session<'_> {
    /// Creates a folder or collection with the properties and times of another. With `overwrite`, one
    /// that exists is kept.
    async fn create_like(
        &self,
        asset: &Asset,
        name: &str,
        overwrite: bool,
    ) -> Result<(), CliError> {
        let to: AssetName = name
            .parse()
            .map_err(|error: rest::Error| self.error("copy", error))?;
        match self.find(&to).await? {
            Some(existing) if overwrite && existing.kind == asset.kind => return Ok(()),
            Some(existing) => {
                return Err(self.problem(
                    &format!("cannot copy {} to {name}: it exists already, with the type {}", asset.name, existing.kind),
                    "Choose another destination, or use --overwrite to copy into an existing folder or collection of the same type.",
                ));
            }
            None => {}
        }
        let mut fields = Map::from_iter([("type".to_owned(), json!(asset.kind))]);
        if !asset.properties.is_empty() {
            fields.insert("properties".into(), json!(asset.properties));
        }
        for (field, time) in [
            ("startTime", &asset.start_time),
            ("endTime", &asset.end_time),
        ] {
            if let Some(time) = time {
                fields.insert(field.into(), json!(time));
            }
        }
        let created = self.ee.assets().create_with(name, &fields).await;
        created
            .map(drop)
            .map_err(|error| self.error(&format!("create {name}"), error))
    }
}
