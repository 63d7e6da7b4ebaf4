//! The assets of the public catalog that the documentation names.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::content::{PUBLIC, StoredAsset};

/// Returns the assets by their names. Their folders and collections are among them.
pub(crate) fn assets(now: DateTime<Utc>) -> BTreeMap<String, StoredAsset> {
    static FIELDS: LazyLock<BTreeMap<String, Map<String, Value>>> = LazyLock::new(|| {
        serde_json::from_str(include_str!("data/catalog.json")).unwrap_or_default()
    });
    let assets = FIELDS.iter().map(|(id, fields)| {
        let mut asset = StoredAsset::new("", now);
        asset.fields.extend(fields.clone());
        (format!("{PUBLIC}{id}"), asset)
    });
    assets.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_asset_is_in_a_folder_or_collection() {
        let assets = assets(Utc::now());
        assert!(assets.len() > 10);
        for name in assets.keys() {
            if let Some((parent, _)) = name[PUBLIC.len()..].rsplit_once('/') {
                let parent = &assets[&format!("{PUBLIC}{parent}")];
                assert!(
                    ["FOLDER", "IMAGE_COLLECTION"].contains(&parent.kind()),
                    "{name}"
                );
            }
        }
    }
}
