//! Assets.

use http::Method;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::api::ListRequest;
use crate::api::images::check_location;
use crate::api::known::check_known;
use crate::api::lenient::{Fields, Object};
use crate::{AssetName, AssetUpdate, Client, Error};

/// An asset.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Asset {
    /// The name: `projects/P/assets/…`.
    pub name: String,
    /// The legacy ID, if the asset has one.
    pub id: String,
    /// The type: `IMAGE`, `IMAGE_COLLECTION`, `TABLE`, `FOLDER`, ….
    pub kind: String,
    /// When the asset was last modified (RFC 3339).
    pub update_time: Option<String>,
    /// The start of the time range that the asset covers (RFC 3339).
    pub start_time: Option<String>,
    /// The end of the time range that the asset covers (RFC 3339).
    pub end_time: Option<String>,
    /// The properties set by the owner.
    pub properties: Map<String, Value>,
    /// The size in bytes. (The API sends 64-bit integers as strings.)
    pub size_bytes: Option<String>,
    /// All other fields: bands, geometry, quota, …, and those with unexpected values.
    pub rest: Map<String, Value>,
}

impl<'de> Deserialize<'de> for Asset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Fields::deserialize(deserializer)?;
        Ok(Self {
            name: fields.take("name"),
            id: fields.take("id"),
            kind: fields.take("type"),
            update_time: fields.take("updateTime"),
            start_time: fields.take("startTime"),
            end_time: fields.take("endTime"),
            properties: fields.take("properties"),
            size_bytes: fields.take("sizeBytes"),
            rest: fields.rest(),
        })
    }
}

/// Serializes to the API's JSON, without empty fields.
impl Serialize for Asset {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Object::new(&self.rest)
            .with("name", &self.name)
            .with("id", &self.id)
            .with("type", &self.kind)
            .with("updateTime", &self.update_time)
            .with("startTime", &self.start_time)
            .with("endTime", &self.end_time)
            .with("properties", &self.properties)
            .with("sizeBytes", &self.size_bytes)
            .serialize(serializer)
    }
}

/// The asset methods, returned by [`Client::assets`].
///
/// Assets are identified by name or legacy ID; see [`AssetName`].
#[derive(Debug, Clone)]
pub struct Assets(pub(crate) Client);

impl Client {
    /// Returns the asset methods.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// let image = client.assets().get("CGIAR/SRTM90_V4").await?;
    /// println!("{} {}", image.kind, image.name);
    /// # Ok(()) }
    /// ```
    pub fn assets(&self) -> Assets {
        Assets(self.clone())
    }
}

impl Assets {
    /// Returns an asset, or the root of a project's assets (`projects/P/assets`), whose `quota`
    /// shows the storage that is used.
    ///
    /// # Errors
    /// Returns [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) if `id` is not a valid asset ID; otherwise see
    /// [`Client::get_json`].
    pub async fn get(&self, id: &str) -> Result<Asset, Error> {
        let name: AssetName = id.parse()?;
        if name.is_root() {
            return self.0.get_json(&format!("{name}/")).await;
        }
        self.0.get_json(name.as_str()).await
    }

    /// Lists the assets in a folder, an image collection or a project (`projects/P` or
    /// `projects/P/assets`).
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// let mut images = client
    ///     .assets()
    ///     .list("COPERNICUS/S2_SR")
    ///     .filter("startTime>=\"2024-01-01T00:00:00Z\"")
    ///     .option("view", "BASIC")
    ///     .items();
    /// while let Some(image) = images.next().await {
    ///     println!("{}", image?.name);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn list(&self, parent: &str) -> ListRequest<Asset> {
        ListRequest::get_checked(&self.0, list_path(parent), "assets")
    }

    /// Creates an empty asset of the given type: `FOLDER` or `IMAGE_COLLECTION`.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// client.assets().create("projects/my-project/assets/maps", "FOLDER").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`Assets::get`]. Returns [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest)
    /// for another type; [`create_with`](Self::create_with) accepts any.
    pub async fn create(&self, id: &str, kind: &str) -> Result<Asset, Error> {
        check_known(
            "a type of empty assets",
            kind,
            &["FOLDER", "IMAGE_COLLECTION"],
        )?;
        self.create_with(id, &json!({"type": kind})).await
    }

    /// Creates an asset from its JSON representation, in which `type` is required.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// let collection = serde_json::json!({
    ///     "type": "IMAGE_COLLECTION",
    ///     "properties": {"season": "dry"},
    ///     "startTime": "2026-01-01T00:00:00Z",
    /// });
    /// let id = "projects/my-project/assets/mosaics";
    /// client.assets().create_with(id, &collection).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`Assets::get`].
    pub async fn create_with(
        &self,
        id: &str,
        description: &(impl Serialize + ?Sized),
    ) -> Result<Asset, Error> {
        let name = asset(id)?;
        let parent = format!("projects/{}", name.project());
        self.create_under(&parent, &name, description).await
    }

    /// Creates an asset in a location of its project, such as `us`, from its JSON representation.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// let folder = serde_json::json!({"type": "FOLDER"});
    /// let id = "projects/my-project/assets/maps";
    /// client.assets().create_in_location("us", id, &folder).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`Assets::get`].
    pub async fn create_in_location(
        &self,
        location: &str,
        id: &str,
        description: &(impl Serialize + ?Sized),
    ) -> Result<Asset, Error> {
        check_location(location)?;
        let name = asset(id)?;
        let parent = format!("projects/{}/locations/{location}", name.project());
        self.create_under(&parent, &name, description).await
    }

    async fn create_under(
        &self,
        parent: &str,
        name: &AssetName,
        description: &(impl Serialize + ?Sized),
    ) -> Result<Asset, Error> {
        self.0
            .request(Method::POST, format!("{parent}/assets"))
            .query("assetId", name.path())
            .json(description)
            .send()
            .await?
            .json()
    }

    /// Deletes an asset. A folder or collection must be empty.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// client.assets().delete("projects/my-project/assets/draft").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`Assets::get`].
    pub async fn delete(&self, id: &str) -> Result<(), Error> {
        let name = asset(id)?;
        let request = self.0.request(Method::DELETE, name.as_str());
        request.send().await.map(drop)
    }

    /// Copies an asset. With `overwrite`, an existing asset is replaced.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// let copy = "projects/my-project/assets/elevation";
    /// client.assets().copy("CGIAR/SRTM90_V4", copy, false).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`Assets::get`].
    pub async fn copy(&self, from: &str, to: &str, overwrite: bool) -> Result<Asset, Error> {
        let body = json!({"destinationName": asset(to)?.as_str(), "overwrite": overwrite});
        let path = format!("{}:copy", asset(from)?);
        self.0.post_json(&path, &body).await
    }

    /// Renames or moves an asset.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// let assets = client.assets();
    /// let (from, to) = ("projects/my-project/assets/draft", "projects/my-project/assets/final");
    /// assets.rename(from, to).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`Assets::get`].
    pub async fn rename(&self, from: &str, to: &str) -> Result<Asset, Error> {
        let body = json!({"destinationName": asset(to)?.as_str()});
        let path = format!("{}:move", asset(from)?);
        self.0.post_json(&path, &body).await
    }

    /// Updates the fields that `update` sets, and no others.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// use ee_rest::AssetUpdate;
    ///
    /// let update = AssetUpdate::new().property("season", "dry").property("draft", ());
    /// client.assets().update("projects/my-project/assets/rivers", &update).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`Assets::get`]. Returns [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest)
    /// for an invalid value, and for an empty update, which the server would interpret as replacing
    /// the whole asset.
    pub async fn update(&self, id: &str, update: &AssetUpdate) -> Result<Asset, Error> {
        update.validate(id)?;
        self.0
            .request(Method::PATCH, asset(id)?.as_str())
            .json(update)
            // Setting the same values twice has no further effect.
            .idempotent(true)
            .send()
            .await?
            .json()
    }

    /// Returns whether an asset exists and is visible to the caller.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// if !client.assets().exists("projects/my-project/assets/maps").await? {
    ///     println!("not found");
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`Assets::get`]; status 404 is not an error.
    pub async fn exists(&self, id: &str) -> Result<bool, Error> {
        match self.0.get_json::<IgnoredAny>(asset(id)?.as_str()).await {
            Ok(_) => Ok(true),
            Err(error) if error.api().is_some_and(|api| api.status == 404) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Parses an asset ID. A project's root can only be read and listed, so it is rejected here.
pub(crate) fn asset(id: &str) -> Result<AssetName, Error> {
    let name: AssetName = id.parse()?;
    if name.is_root() {
        return Err(Error::invalid_request(
            format!("{name} is the root of a project's assets, not an asset"),
            "Add the asset's path, as in projects/PROJECT/assets/PATH.",
        ));
    }
    Ok(name)
}

fn list_path(parent: &str) -> Result<String, Error> {
    // The assets of a project are listed under the project itself.
    let id = match parent.strip_prefix("projects/") {
        Some(project) if !project.contains('/') => format!("{parent}/assets"),
        _ => parent.to_owned(),
    };
    let name: AssetName = id.parse()?;
    Ok(if name.is_root() {
        format!("projects/{}:listAssets", name.project())
    } else {
        format!("{name}:listAssets")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn project_assets_are_listed_under_the_project() {
        for (parent, path) in [
            ("projects/my-project", "projects/my-project:listAssets"),
            (
                "projects/my-project/assets",
                "projects/my-project:listAssets",
            ),
            (
                "projects/my-project/assets/",
                "projects/my-project:listAssets",
            ),
            (
                "projects/my-project/assets/a",
                "projects/my-project/assets/a:listAssets",
            ),
            (
                "users/me",
                "projects/earthengine-legacy/assets/users/me:listAssets",
            ),
            (
                "COPERNICUS/S2",
                "projects/earthengine-public/assets/COPERNICUS/S2:listAssets",
            ),
        ] {
            assert_eq!(list_path(parent).unwrap(), path);
        }
        assert!(list_path("a:b").is_err());
    }

    #[test]
    fn asset_is_serialized_as_it_was_received() {
        for asset in [
            json!({}),
            json!({
                "name": "projects/p/assets/a", "id": "projects/p/assets/a", "type": "IMAGE",
                "updateTime": "2026-01-01T00:00:00Z", "startTime": "2025-01-01T00:00:00Z",
                "endTime": "2025-02-01T00:00:00Z", "properties": {"a": 1}, "sizeBytes": "7",
                "bands": [{"id": "b1"}], "newField": 1,
            }),
            json!({"sizeBytes": 7, "properties": [1], "startTime": 1}),
        ] {
            let read: Asset = serde_json::from_value(asset.clone()).unwrap();
            assert_eq!(serde_json::to_value(read).unwrap(), asset);
        }
    }
}
