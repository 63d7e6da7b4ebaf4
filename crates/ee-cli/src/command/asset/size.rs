//! `eectl asset du`.

use earthengine::{Asset, AssetName};
use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::{Value, json};

use super::tree::{Listing, by_name, is_container};
use crate::cli::Global;
use crate::cli::asset::Du;
use crate::command::session::{Failures, MAX_STARTED, Session, asset_name};
use crate::error::CliError;
use crate::output::{print, print_json, strip_unsafe_chars};
use crate::table::Table;
use crate::waiting::Progress;
use crate::words::count;

/// The total of an asset and everything in it.
struct Total {
    name: String,
    bytes: u64,
    /// How many assets that contain no others.
    count: usize,
}

pub(crate) async fn run(global: &Global, arguments: &Du) -> Result<(), CliError> {
    let names = arguments.assets.iter().map(|id| asset_name(id));
    let mut names: Vec<AssetName> = names.collect::<Result<_, _>>()?;
    let session = Session::connect(global).await?;
    if names.is_empty() {
        names.push(asset_name(&format!(
            "projects/{}/assets",
            session.ee.project().id
        ))?);
    }
    let mut totals = Vec::new();
    let mut failures = Failures::default();
    for name in &names {
        match session
            .measure(name, arguments.summarize, &mut failures)
            .await
        {
            Ok(measured) => totals.extend(measured),
            Err(error) => failures.push(name.as_str(), error),
        }
    }
    if global.json {
        if failures.is_empty() || !totals.is_empty() {
            let totals = totals.iter().map(
                |total| json!({"name": total.name, "size_bytes": total.bytes, "assets": total.count}),
            );
            print_json(&totals.collect::<Value>())?;
        }
    } else if arguments.list.is_csv() {
        let mut table = Table::new(["name", "size_bytes", "assets"]);
        for total in &totals {
            table.row([
                total.name.clone(),
                total.bytes.to_string(),
                total.count.to_string(),
            ]);
        }
        table.print_csv()?;
    } else {
        let lines = totals.iter().map(|total| {
            let size = match arguments.bytes {
                true => format!("{:>16}", total.bytes),
                false => format!("{:>8}", human(total.bytes)),
            };
            format!("{size}  {}\n", strip_unsafe_chars(&total.name))
        });
        print(lines.collect::<String>())?;
    }
    let what = format!("{} could not be measured", count(failures.len(), "asset"));
    failures.into_result(global.json, &what)
}

impl Session<'_> {
    /// Returns the total of an asset, or of each asset in it.
    async fn measure(
        &self,
        name: &AssetName,
        is_summary: bool,
        failures: &mut Failures,
    ) -> Result<Vec<Total>, CliError> {
        let root = self.get("measure", name).await?;
        let is_leaf = !(name.is_root() || is_container(&root));
        let root_name = name.to_string();
        let mut leaves = Vec::new();
        let mut top = vec![root_name.clone()];
        if is_leaf {
            leaves.push(root);
        } else {
            let tree = self
                .walk(vec![root_name.clone()], Listing::default(), is_container)
                .await;
            failures.extend(tree.failures);
            if !is_summary {
                let depth = super::tree::depth(&root_name) + 1;
                let children = tree.assets.iter().map(|asset| &asset.name);
                let children: Vec<_> = children
                    .filter(|name| super::tree::depth(name) == depth)
                    .cloned()
                    .collect();
                // An empty folder is shown itself.
                if !children.is_empty() {
                    top = children;
                }
            }
            leaves = tree.assets;
            leaves.retain(|asset| !is_container(asset));
        }
        let sizes = self.sizes(leaves, failures).await;
        Ok(totals(&top, &sizes))
    }

    /// Returns the sizes of assets, requesting those that a list did not contain.
    async fn sizes(&self, assets: Vec<Asset>, failures: &mut Failures) -> Vec<(String, u64)> {
        let progress = Progress::of("measuring assets", assets.len());
        let sizes = stream::iter(assets).map(|asset| async move {
            let size = match size(&asset) {
                Some(size) => Ok(size),
                None => {
                    let asset = self.ee.assets().get(&asset.name).await;
                    asset.map(|asset| size_or_zero(&asset))
                }
            };
            (asset.name, size)
        });
        let mut sizes = sizes.buffered(MAX_STARTED);
        let mut all = Vec::new();
        while let Some((name, size)) = sizes.next().await {
            progress.advance();
            match size {
                Ok(size) => all.push((name, size)),
                Err(error) => {
                    let error = self.error(&format!("measure {name}"), error);
                    failures.push(&name, error);
                }
            }
        }
        all
    }
}

fn size(asset: &Asset) -> Option<u64> {
    asset.size_bytes.as_deref()?.parse().ok()
}

/// Returns the size of an asset, which old ones have only as a property.
fn size_or_zero(asset: &Asset) -> u64 {
    let property = asset.properties.get("system:asset_size");
    let property = property.and_then(Value::as_f64);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "casts of floats saturate"
    )]
    let bytes = property.unwrap_or_default() as u64;
    size(asset).unwrap_or(bytes)
}

/// Adds the sizes to the first of the sorted `names` that contains each asset.
fn totals(names: &[String], sizes: &[(String, u64)]) -> Vec<Total> {
    let mut totals: Vec<Total> = names
        .iter()
        .map(|name| Total {
            name: name.clone(),
            bytes: 0,
            count: 0,
        })
        .collect();
    for (name, bytes) in sizes {
        let at = totals.partition_point(|total| by_name(&total.name, name).is_le());
        if let Some(total) = at.checked_sub(1).and_then(|at| totals.get_mut(at)) {
            total.bytes = total.bytes.saturating_add(*bytes);
            total.count += 1;
        }
    }
    totals
}

/// Formats a size with a unit, in powers of 1024.
pub(in crate::command) fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let power = (bytes.ilog2() / 10).clamp(1, 6);
    // Rounded to tenths, with integers.
    let unit = 1u128 << (10 * power);
    let tenths = (u128::from(bytes) * 10 + unit / 2) / unit;
    let (power, tenths) = match (tenths, power) {
        (10_240.., 1..=5) => (power + 1, 10),
        _ => (power, tenths),
    };
    let name = UNITS.get(power as usize - 1).copied().unwrap_or_default();
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_to_tenths_of_a_unit() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (5 * 1024 * 1024 * 1024, "5.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }

    #[test]
    fn sizes_are_added_to_the_asset_that_contains_them() {
        let names = ["p/a", "p/a-b", "p/c"].map(str::to_owned);
        let sizes = [("p/a/x/y", 1), ("p/a/z", 2), ("p/a-b", 4), ("p/c/d", 8)];
        let sizes = sizes.map(|(name, bytes)| (name.to_owned(), bytes));
        let totals: Vec<_> = totals(&names, &sizes)
            .into_iter()
            .map(|total| (total.bytes, total.count))
            .collect();
        assert_eq!(totals, [(3, 2), (4, 1), (8, 1)]);
    }
}
