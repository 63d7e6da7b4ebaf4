//! Assets.

use ee_token::internal::Quoted;
use http::Method;
use serde::de::IgnoredAny;
use serde::ser::{Error as _, SerializeStruct as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::api::ListRequest;
use crate::api::images::check_location;
use crate::api::known::check_known;
use crate::api::lenient::{Fields, Object};
use crate::request::finite::to_value;
use crate::{AssetName, Client, Error};

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

/// The changes for [`Assets::update`].
#[derive(Debug, Clone, Default)]
pub struct AssetUpdate {
    asset: Map<String, Value>,
    update_mask: FieldMask,
    /// The first validation error.
    error: Option<Error>,
}

/// Serializes to the API's request. Fails if a value of the update is invalid.
impl Serialize for AssetUpdate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(error) = &self.error {
            return Err(S::Error::custom(error));
        }
        let mut update = serializer.serialize_struct("AssetUpdate", 2)?;
        update.serialize_field("asset", &self.asset)?;
        update.serialize_field("updateMask", &self.update_mask)?;
        update.end()
    }
}

/// The changed fields, as a list: one string with commas would be split within names.
#[derive(Debug, Clone, Default, Serialize)]
struct FieldMask {
    paths: Vec<String>,
}

impl AssetUpdate {
    /// Creates an empty update.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a property, or removes it if the value is null (`()`, for example). Other properties are
    /// unchanged. A number that is not finite is an error.
    #[must_use]
    pub fn property(mut self, name: &str, value: impl Serialize) -> Self {
        let value = match to_value(&format!("the property {}", Quoted(name)), value) {
            Ok(value) => value,
            Err(error) => {
                self.error.get_or_insert(error);
                return self;
            }
        };
        let properties = self.asset.entry("properties").or_insert_with(|| json!({}));
        if let Some(properties) = properties.as_object_mut() {
            match value {
                Value::Null => properties.remove(name),
                value => properties.insert(name.to_owned(), value),
            };
        }
        // Quoted, because names may contain dots.
        let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
        self.changes(format!("properties.\"{quoted}\""))
    }

    /// Sets the start of the time range that the asset covers (RFC 3339).
    #[must_use]
    pub fn start_time(self, time: &str) -> Self {
        self.field("startTime", "start_time", time)
    }

    /// Sets the end of the time range that the asset covers (RFC 3339).
    #[must_use]
    pub fn end_time(self, time: &str) -> Self {
        self.field("endTime", "end_time", time)
    }

    /// Removes the start of the time range.
    #[must_use]
    pub fn without_start_time(self) -> Self {
        self.field("startTime", "start_time", None)
    }

    /// Removes the end of the time range.
    #[must_use]
    pub fn without_end_time(self) -> Self {
        self.field("endTime", "end_time", None)
    }

    /// Renames the bands of an image, in their order. There must be one name for each band.
    #[must_use]
    pub fn band_names(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let bands = names.into_iter().map(|name| json!({"id": name.into()}));
        self.asset.insert("bands".to_owned(), bands.collect());
        self.changes("bands".to_owned())
    }

    fn field<'a>(mut self, name: &str, mask: &str, value: impl Into<Option<&'a str>>) -> Self {
        let value = value.into();
        if let Some(time) = value.filter(|time| !is_rfc3339(time)) {
            self.error.get_or_insert(Error::invalid_request(
                format!("{} is not a time of RFC 3339", Quoted(time)),
                "Use a time such as 2026-01-31T12:00:00Z.",
            ));
        }
        match value {
            Some(value) => self.asset.insert(name.to_owned(), json!(value)),
            None => self.asset.remove(name),
        };
        self.changes(mask.to_owned())
    }

    fn changes(mut self, path: String) -> Self {
        let paths = &mut self.update_mask.paths;
        if !paths.contains(&path) {
            paths.push(path);
        }
        self
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
        if let Some(error) = &update.error {
            return Err(error.clone());
        }
        if update.update_mask.paths.is_empty() {
            return Err(Error::invalid_request(
                format!("the update of the asset {id:?} is empty"),
                "Set at least one property, the start time, the end time or the names of bands.",
            ));
        }
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

/// Returns whether a text has the form of a time of RFC 3339.
fn is_rfc3339(text: &str) -> bool {
    let digits = |c: char| if c.is_ascii_digit() { '0' } else { c };
    let form: String = text.chars().map(digits).collect();
    let Some(rest) = form.strip_prefix("0000-00-00T00:00:00") else {
        return false;
    };
    let zone = match rest.strip_prefix(".0") {
        Some(fraction) => fraction.trim_start_matches('0'),
        None => rest,
    };
    matches!(zone, "Z" | "+00:00" | "-00:00")
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
    fn last_value_of_an_updated_property_wins() {
        let update = AssetUpdate::new()
            .property("a", 1)
            .property("b", ())
            .property("a", ())
            .property("b", 2)
            .start_time("2023-01-01T00:00:00Z")
            .start_time("2024-01-01T00:00:00Z")
            .band_names(["red", "green"]);
        assert_eq!(
            serde_json::to_value(&update).unwrap(),
            json!({
                "asset": {
                    "properties": {"b": 2},
                    "startTime": "2024-01-01T00:00:00Z",
                    "bands": [{"id": "red"}, {"id": "green"}],
                },
                "updateMask": {"paths": ["properties.\"a\"", "properties.\"b\"", "start_time", "bands"]},
            })
        );
    }

    #[test]
    fn property_that_is_not_finite_does_not_become_null() {
        // Null would remove the property.
        for update in [
            AssetUpdate::new().property("a", f64::NAN),
            AssetUpdate::new().property("a", [1.0, f64::INFINITY]),
            AssetUpdate::new().property("a", f32::NAN).property("b", 1),
            AssetUpdate::new().start_time("a"),
        ] {
            let error = update.error.as_ref().unwrap();
            assert!(error.to_string().contains("\"a\""), "{error}");
            assert!(serde_json::to_value(&update).is_err());
        }
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

    #[test]
    fn times_have_the_form_of_rfc_3339() {
        for (text, is_time) in [
            ("2026-01-31T12:00:00Z", true),
            ("2026-01-31T12:00:00.123456789Z", true),
            ("2026-01-31T12:00:00+01:00", true),
            ("2026-01-31T12:00:00.5-10:30", true),
            ("2026-01-31", false),
            ("2026-01-31T12:00:00", false),
            ("2026-01-31T12:00:00.Z", false),
            ("2026-01-31 12:00:00Z", false),
            ("1767225600000", false),
            ("", false),
        ] {
            assert_eq!(is_rfc3339(text), is_time, "{text}");
        }
    }

    #[test]
    fn removed_time_is_masked_without_a_value() {
        let update = AssetUpdate::new()
            .start_time("2024-01-01T00:00:00Z")
            .without_start_time()
            .without_end_time();
        assert_eq!(
            serde_json::to_value(&update).unwrap(),
            json!({"asset": {}, "updateMask": {"paths": ["start_time", "end_time"]}})
        );
    }

    #[test]
    fn update_mask_names_each_changed_property() {
        let update = AssetUpdate::new()
            .property("a.b, c", 1)
            .property("gone", ())
            .property("q\"", "x")
            .start_time("2024-01-01T00:00:00Z");
        assert_eq!(
            serde_json::to_value(&update).unwrap(),
            json!({
                "asset": {"properties": {"a.b, c": 1, "q\"": "x"}, "startTime": "2024-01-01T00:00:00Z"},
                "updateMask": {"paths": [
                    "properties.\"a.b, c\"",
                    "properties.\"gone\"",
                    "properties.\"q\\\"\"",
                    "start_time",
                ]},
            })
        );
    }
}
