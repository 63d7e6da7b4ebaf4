//! `eectl asset list`.

use earthengine::{Asset, AssetName};
use serde_json::{Value, json};

use super::size::human;
use super::tree::{Listing, Tree, is_folder};
use crate::cli::Global;
use crate::cli::asset::List;
use crate::command::session::{Failures, Session, asset_name};
use crate::error::CliError;
use crate::output::{print, print_json, print_status, strip_unsafe_chars};
use crate::table::Table;
use crate::waiting::Progress;
use crate::words::{count, time};

pub(crate) async fn run(global: &Global, arguments: &List) -> Result<(), CliError> {
    let names = arguments.assets.iter().map(|id| asset_name(id));
    let names: Vec<AssetName> = names.collect::<Result<_, _>>()?;
    let session = Session::connect(global).await?;
    let mut parents: Vec<String> = names.iter().map(ToString::to_string).collect();
    if parents.is_empty() {
        parents.push(format!("projects/{}/assets", session.ee.project().id));
    }
    let listing = Listing {
        is_basic: !(arguments.long || global.json || arguments.list.is_csv()),
        max: arguments.max,
        filter: arguments.filter.as_deref(),
    };
    let mut failures = Failures::default();
    let mut all: Vec<Value> = Vec::new();
    let mut csv = Table::new(["name", "type", "size_bytes", "updated"]);
    for (index, parent) in parents.iter().enumerate() {
        if parents.len() > 1 && !global.json && !arguments.list.is_csv() {
            let gap = if index > 0 { "\n" } else { "" };
            print(format!("{gap}{parent}:\n"))?;
        }
        let listed = match arguments.recursive {
            true => recursive(&session, parent, listing).await,
            false => flat(&session, parent, listing).await,
        };
        let Tree {
            assets,
            failures: failed,
        } = listed;
        failures.extend(failed);
        if global.json {
            all.extend(assets.iter().map(|asset| json!(asset)));
        } else if arguments.list.is_csv() {
            assets.iter().for_each(|asset| add_to_csv(&mut csv, asset));
        } else {
            if assets.is_empty() && failures.is_empty() && !global.quiet {
                print_status(&format!("no assets found in {parent}"));
            }
            print(render(&assets, arguments.long))?;
        }
    }
    if arguments.list.is_csv() {
        csv.print_csv()?;
    }
    if global.json && (failures.is_empty() || !all.is_empty()) {
        print_json(&Value::Array(all))?;
    }
    let what = format!("{} could not be listed", count(failures.len(), "folder"));
    failures.into_result(global.json, &what)
}

async fn recursive(session: &Session<'_>, parent: &str, listing: Listing<'_>) -> Tree {
    session
        .walk(vec![parent.to_owned()], listing, is_folder)
        .await
}

async fn flat(session: &Session<'_>, parent: &str, listing: Listing<'_>) -> Tree {
    let mut tree = Tree::default();
    let mut items = session.list(parent, listing);
    let progress = Progress::new("listing assets");
    while listing.max.is_none_or(|max| tree.assets.len() < max) {
        progress.set(tree.assets.len());
        match items.next().await {
            None => break,
            Some(Ok(asset)) => tree.assets.push(asset),
            Some(Err(error)) => {
                let what = format!("list {parent}");
                let error = match parent.parse::<AssetName>() {
                    Ok(name) if !name.is_root() => {
                        session.explain_missing(&what, &name, error).await
                    }
                    _ => session.error(&what, error),
                };
                tree.failures.push(parent, error);
                break;
            }
        }
    }
    tree
}

fn add_to_csv(table: &mut Table, asset: &Asset) {
    let cells = [
        asset.name.as_str(),
        asset.kind.as_str(),
        asset.size_bytes.as_deref().unwrap_or_default(),
        asset.update_time.as_deref().unwrap_or_default(),
    ];
    table.row(cells.map(str::to_owned));
}

fn render(assets: &[Asset], is_long: bool) -> String {
    let lines = assets.iter().map(|asset| match is_long {
        false => format!("{}\n", strip_unsafe_chars(&asset.name)),
        true => format!(
            "{:<16}  {:>8}  {:<19}  {}\n",
            strip_unsafe_chars(&asset.kind),
            size(asset),
            time(asset.update_time.as_deref()),
            strip_unsafe_chars(&asset.name),
        ),
    });
    lines.collect()
}

fn size(asset: &Asset) -> String {
    let bytes = asset
        .size_bytes
        .as_deref()
        .and_then(|text| text.parse().ok());
    bytes.map_or_else(|| "-".to_owned(), human)
}
