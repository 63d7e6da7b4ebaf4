//! `eectl asset delete`.

use std::collections::BTreeSet;
use std::io::{BufRead as _, IsTerminal as _};

use earthengine::{AssetName, Remedy};
use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::{Value, json};

use super::tree::{Listing, by_name, depth, is_container};
use crate::cli::Global;
use crate::cli::asset::Delete;
use crate::command::session::{Failures, MAX_STARTED, Session, advise};
use crate::error::CliError;
use crate::output::{print, print_json};
use crate::style::{Text, write_stderr};
use crate::waiting::Progress;
use crate::words::count;

pub(crate) async fn run(global: &Global, arguments: &Delete) -> Result<(), CliError> {
    let names = arguments.assets.iter().map(|id| super::writable(id));
    let names: Vec<AssetName> = names.collect::<Result<_, _>>()?;
    let session = Session::connect(global).await?;
    let levels = match arguments.recursive {
        true => recursive(&session, &names).await?,
        false => vec![names.iter().map(ToString::to_string).collect()],
    };
    let all = || levels.iter().flatten();
    if arguments.dry_run {
        if global.json {
            let all: Value = all().map(String::as_str).collect();
            return print_json(&json!({"dry_run": true, "would_delete": all}));
        }
        return print(
            all()
                .map(|name| format!("would delete {name}\n"))
                .collect::<String>(),
        );
    }
    if arguments.recursive && !arguments.yes {
        confirm(&names, all().count())?;
    }
    let total = all().count();
    let mut deleted: Vec<&str> = Vec::new();
    let mut failures = Failures::default();
    // The containers that keep an asset which could not be deleted.
    let mut kept: BTreeSet<String> = BTreeSet::new();
    let assets = &session.ee.assets();
    let progress = Progress::of("deleting assets", total);
    for level in &levels {
        let (remaining, possible): (Vec<&String>, Vec<&String>) =
            level.iter().partition(|name| kept.contains(*name));
        let deletions = stream::iter(possible).map(|name| async move {
            let result = assets.delete(name).await;
            (name, result)
        });
        let mut deletions = deletions.buffered(MAX_STARTED);
        while let Some((name, result)) = deletions.next().await {
            progress.advance();
            let Err(error) = result else {
                deleted.push(name);
                if !global.json {
                    print(format!("deleted {name}\n"))?;
                }
                continue;
            };
            kept.extend(parent(name));
            let what = format!("delete {name}");
            let error = match arguments.recursive {
                true => error,
                false => advise(
                    error,
                    "If the asset contains others, add --recursive to delete them, too.",
                ),
            };
            let error = match name.parse::<AssetName>() {
                Ok(asset) if total == 1 => session.explain_missing(&what, &asset, error).await,
                _ => session.error(&what, error),
            };
            failures.push(name, error);
        }
        for name in remaining {
            progress.advance();
            kept.extend(parent(name));
            let message =
                format!("cannot delete {name}: it still contains assets that could not be deleted");
            failures.push(
                name,
                session.problem(&message, "Delete what is in it first."),
            );
        }
    }
    drop(progress);
    if global.json && (failures.is_empty() || total > 1) {
        print_json(&json!({"deleted": deleted, "failed": failures.as_json()}))?;
    }
    failures.into_result_of(global.json, total, "asset", "could not be deleted")
}

fn parent(name: &str) -> Option<String> {
    Some(name.rsplit_once('/')?.0.to_owned())
}

/// Returns the assets with everything in them: what must be deleted first, then the next level.
async fn recursive(
    session: &Session<'_>,
    names: &[AssetName],
) -> Result<Vec<Vec<String>>, CliError> {
    let mut roots = Vec::new();
    for name in names {
        if is_container(&session.get("delete", name).await?) {
            roots.push(name.to_string());
        }
    }
    let listing = Listing {
        is_basic: true,
        ..Listing::default()
    };
    let tree = session.walk(roots, listing, is_container).await;
    let failed = tree.failures.len();
    if failed > 0 {
        let what = format!(
            "nothing was deleted: {} could not be listed",
            count(failed, "folder")
        );
        tree.failures.into_result(session.global.json, &what)?;
    }
    let inner = tree.assets.into_iter().map(|asset| asset.name);
    // One asset may be in another.
    let all: BTreeSet<String> = inner.chain(names.iter().map(ToString::to_string)).collect();
    let mut all: Vec<String> = all.into_iter().collect();
    all.sort_by(|a, b| depth(b).cmp(&depth(a)).then_with(|| by_name(a, b)));
    Ok(all
        .chunk_by(|a, b| depth(a) == depth(b))
        .map(<[String]>::to_vec)
        .collect())
}

/// Asks on a terminal whether to delete everything.
fn confirm(names: &[AssetName], total: usize) -> Result<(), CliError> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(());
    }
    let what: Vec<_> = names.iter().map(AssetName::as_str).collect();
    let inside = match total.saturating_sub(names.len()) {
        0 => String::new(),
        inside => format!(" and {} in it", count(inside, "asset")),
    };
    let question = format!("Delete {}{inside}? [y/N] ", what.join(", "));
    write_stderr(&Text::from(question).into_string());
    let mut answer = Vec::new();
    std::io::stdin()
        .lock()
        .read_until(b'\n', &mut answer)
        .map_err(|e| CliError::io("cannot read from the terminal", &e))?;
    match answer.trim_ascii() {
        b"y" | b"Y" | b"yes" => Ok(()),
        _ => Err(CliError::usage_with_remedy(
            "nothing was deleted",
            Remedy::new("Answer y, or add --yes to delete without a confirmation."),
        )),
    }
}
