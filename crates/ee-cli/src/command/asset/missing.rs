//! Errors about assets that do not exist: which similar ones do.

use std::time::Duration;

use earthengine::init::internal::nearest;
use earthengine::{Asset, AssetName, Error, rest};
use tokio::time::timeout;

use super::PUBLIC;
use crate::command::session::Session;
use crate::error::CliError;

/// A suggestion must not delay the error noticeably.
const TIMEOUT: Duration = Duration::from_secs(3);

impl Session<'_> {
    /// Returns an asset. `what` is what it is needed for: `read`, `copy`.
    pub(super) async fn get(&self, what: &str, name: &AssetName) -> Result<Asset, CliError> {
        let got = self.ee.assets().get(name.as_str()).await;
        self.explained(&format!("{what} {name}"), name, got).await
    }

    /// Returns an asset, or `None` if it does not exist.
    pub(super) async fn find(&self, name: &AssetName) -> Result<Option<Asset>, CliError> {
        match self.ee.assets().get(name.as_str()).await {
            Ok(asset) => Ok(Some(asset)),
            Err(error) if error.kind() == rest::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.error(&format!("read {name}"), error)),
        }
    }

    /// Returns the result of a call for an asset, with its error explained.
    pub(super) async fn explained<T>(
        &self,
        what: &str,
        name: &AssetName,
        result: Result<T, rest::Error>,
    ) -> Result<T, CliError> {
        match result {
            Ok(value) => Ok(value),
            Err(error) => Err(self.explain_missing(what, name, error).await),
        }
    }

    /// Converts the error of a call, like [`error`](Self::error). If the asset does not exist, the
    /// remedy names similar ones.
    pub(super) async fn explain_missing(
        &self,
        what: &str,
        name: &AssetName,
        error: rest::Error,
    ) -> CliError {
        if error.kind() != rest::ErrorKind::NotFound {
            return self.error(what, error);
        }
        let advice = timeout(TIMEOUT, self.similar(name)).await.ok().flatten();
        self.error(what, with_advice(error, advice))
    }

    /// Like [`explain_missing`](Self::explain_missing), for a call that also needs the folder above a
    /// new asset.
    pub(super) async fn explain_missing_either(
        &self,
        what: &str,
        from: &AssetName,
        to: &AssetName,
        error: rest::Error,
    ) -> CliError {
        if error.kind() != rest::ErrorKind::NotFound {
            return self.error(what, error);
        }
        let advice = async {
            match self.missing_parent(to).await {
                Some(advice) => Some(advice),
                None => self.similar(from).await,
            }
        };
        let advice = timeout(TIMEOUT, advice).await.ok().flatten();
        self.error(what, with_advice(error, advice))
    }

    /// Says whether the folder above a new asset is missing.
    async fn missing_parent(&self, new: &AssetName) -> Option<String> {
        let parent: AssetName = new.as_str().rsplit_once('/')?.0.parse().ok()?;
        let is_missing = matches!(self.find(&parent).await, Ok(None));
        is_missing.then(|| {
            format!(
                "{parent} does not exist: create it with `eectl asset create folder --parents`."
            )
        })
    }

    /// Says which assets resemble one that does not exist.
    async fn similar(&self, name: &AssetName) -> Option<String> {
        if name.project() == PUBLIC {
            // A path without a project belongs to the catalog.
            let own = format!("projects/{}/assets/{}", self.ee.project().id, name.path());
            if matches!(self.ee.assets().exists(&own).await, Ok(true)) {
                return Some(format!("Did you mean {own}?"));
            }
        }
        let (parent, last) = name.as_str().rsplit_once('/')?;
        let list = self.ee.assets().list(parent).option("view", "BASIC");
        let page = match list.pages().next_page().await? {
            Ok(page) => page,
            Err(error) if error.kind() == rest::ErrorKind::NotFound => {
                return Some(format!("{parent} does not exist either."));
            }
            Err(_) => return None,
        };
        let siblings = page.items.iter();
        let siblings: Vec<&str> = siblings
            .filter_map(|asset| Some(asset.name.rsplit_once('/')?.1))
            .collect();
        if siblings.contains(&last) {
            // Something else does not exist.
            return None;
        }
        // The last segments are printed, so only valid ones are suggested.
        let is_plain = |id: &&str| format!("{parent}/{id}").parse::<AssetName>().is_ok();
        let near: Vec<_> = nearest(last, siblings.into_iter().filter(is_plain))
            .into_iter()
            .map(|id| format!("{parent}/{id}"))
            .collect();
        (!near.is_empty()).then(|| format!("Did you mean {}?", near.join(" or ")))
    }
}

fn with_advice(error: rest::Error, advice: Option<String>) -> Error {
    let from_server = error.api().filter(|api| !api.is_from_intermediary());
    let message = from_server.map(|api| api.message.clone());
    let mut error = Error::from(error);
    if let Some(advice) = advice {
        let mut remedy = error.remedy().clone();
        remedy.text = format!("{advice} {}", remedy.text).into();
        error = error.with_remedy(remedy);
    }
    // The command names the request.
    match message {
        Some(message) => error.context(message),
        None => error,
    }
}
