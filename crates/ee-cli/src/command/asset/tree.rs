//! Lists of assets, also recursive.

use std::cmp::Ordering;

use earthengine::Asset;
use futures_util::StreamExt as _;
use futures_util::stream;

use crate::command::session::{Failures, MAX_STARTED, Session};
use crate::error::CliError;
use crate::waiting::Progress;

/// How a folder or collection is listed.
#[derive(Clone, Copy, Default)]
pub(super) struct Listing<'a> {
    /// Whether only names and types are needed.
    pub(super) is_basic: bool,
    pub(super) max: Option<usize>,
    pub(super) filter: Option<&'a str>,
}

/// The assets below others.
#[derive(Default)]
pub(super) struct Tree {
    /// Sorted by name, each folder before its contents.
    pub(super) assets: Vec<Asset>,
    /// The lists that failed.
    pub(super) failures: Failures,
}

pub(super) fn is_folder(asset: &Asset) -> bool {
    asset.kind == "FOLDER"
}

/// Returns whether an asset contains others.
pub(super) fn is_container(asset: &Asset) -> bool {
    is_folder(asset) || asset.kind == "IMAGE_COLLECTION"
}

/// Compares names segment by segment, so that a folder precedes its contents.
pub(super) fn by_name(one: &str, other: &str) -> Ordering {
    one.split('/').cmp(other.split('/'))
}

/// Returns how deep an asset is in its project.
pub(super) fn depth(name: &str) -> usize {
    name.split('/').count()
}

impl Session<'_> {
    /// Starts to list a folder or collection.
    pub(super) fn list(
        &self,
        parent: &str,
        listing: Listing<'_>,
    ) -> earthengine::rest::ItemStream<Asset> {
        /// What the server returns at most.
        const MAX_PAGE: usize = 1000;
        let mut list = self.ee.assets().list(parent);
        if listing.is_basic {
            list = list.option("view", "BASIC");
        }
        if let Some(filter) = listing.filter {
            list = list.filter(filter);
        }
        if let Some(max) = listing.max.filter(|max| (1..MAX_PAGE).contains(max)) {
            list = list.page_size(u32::try_from(max).unwrap_or(u32::MAX));
        }
        list.items()
    }

    /// Returns the assets in a folder or collection.
    async fn children(
        &self,
        parent: &str,
        listing: Listing<'_>,
        progress: &Progress,
    ) -> Result<Vec<Asset>, CliError> {
        let mut items = self.list(parent, listing);
        let mut assets = Vec::new();
        while listing.max.is_none_or(|max| assets.len() < max) {
            match items.next().await {
                None => break,
                Some(Ok(asset)) => {
                    assets.push(asset);
                    progress.advance();
                }
                Some(Err(error)) => return Err(self.error(&format!("list {parent}"), error)),
            }
        }
        Ok(assets)
    }

    /// Lists everything below some assets, entering those that `enters` selects.
    pub(super) async fn walk(
        &self,
        roots: Vec<String>,
        listing: Listing<'_>,
        enters: fn(&Asset) -> bool,
    ) -> Tree {
        let mut tree = Tree::default();
        let mut level = roots;
        let progress = &Progress::new("listing assets");
        while !level.is_empty() {
            let lists = stream::iter(level.drain(..)).map(|parent| async {
                let children = self.children(&parent, listing, progress).await;
                (parent, children)
            });
            let mut lists = lists.buffered(MAX_STARTED);
            let mut next = Vec::new();
            while let Some((parent, children)) = lists.next().await {
                match children {
                    Ok(children) => {
                        let inner = children.iter().filter(|asset| enters(asset));
                        next.extend(inner.map(|asset| asset.name.clone()));
                        tree.assets.extend(children);
                    }
                    Err(error) => tree.failures.push(&parent, error),
                }
            }
            drop(lists);
            level = next;
        }
        tree.assets.sort_by(|a, b| by_name(&a.name, &b.name));
        tree
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_precedes_its_contents_and_similar_names() {
        let mut names = ["p/a-b", "p/a/c/d", "p/b", "p/a/c", "p/a"];
        names.sort_by(|a, b| by_name(a, b));
        assert_eq!(names, ["p/a", "p/a/c", "p/a/c/d", "p/a-b", "p/b"]);
    }
}
