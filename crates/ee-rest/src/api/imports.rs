//! Imports: files in Cloud Storage that become assets.

use http::Method;
use serde::Serialize;
use serde_json::Value;

use crate::api::assets::asset;
use crate::api::export_checks::{REQUEST_ID, check_request_id};
use crate::api::images::{CallBody, other_options};
use crate::{Client, Error, Operation};

/// A request to import files as an asset, created by [`Client::import_image`] or
/// [`Client::import_table`].
#[must_use = "an import does nothing until it is started"]
pub struct ImportRequest {
    request: CallBody,
    path: &'static str,
}

other_options!(ImportRequest);

impl Client {
    /// Imports GeoTIFF or TFRecord files from Cloud Storage as an image. The manifest is the API's
    /// `ImageManifest`; its `name` is the name or legacy ID of the new asset.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// use serde_json::json;
    ///
    /// let manifest = json!({
    ///     "name": "projects/my-project/assets/elevation",
    ///     "tilesets": [{"sources": [{"uris": ["gs://my-bucket/elevation.tif"]}]}],
    /// });
    /// let started = client.import_image(&manifest).overwrite(true).start().await?;
    /// client.operations().wait(&started.name).await?;
    /// # Ok(()) }
    /// ```
    pub fn import_image(&self, manifest: &(impl Serialize + ?Sized)) -> ImportRequest {
        self.import("image:import", IMAGE_MANIFEST, manifest)
    }

    /// Imports CSV files or shapefiles from Cloud Storage as a table. The manifest is the API's
    /// `TableManifest`; its `name` is the name or legacy ID of the new asset.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// use serde_json::json;
    ///
    /// let manifest = json!({
    ///     "name": "projects/my-project/assets/wells",
    ///     "sources": [{"uris": ["gs://my-bucket/wells.csv"]}],
    /// });
    /// let started = client.import_table(&manifest).description("wells").start().await?;
    /// println!("{}", started.name);
    /// # Ok(()) }
    /// ```
    pub fn import_table(&self, manifest: &(impl Serialize + ?Sized)) -> ImportRequest {
        self.import("table:import", TABLE_MANIFEST, manifest)
    }

    /// Creates an image asset whose pixels stay in Cloud Storage, as cloud-optimized GeoTIFFs. The
    /// manifest is that of [`Client::import_image`].
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// use serde_json::json;
    ///
    /// let manifest = json!({
    ///     "name": "projects/my-project/assets/remote",
    ///     "tilesets": [{"id": "t", "sources": [{"uris": ["gs://my-bucket/cog.tif"]}]}],
    ///     "bands": [{"id": "b1", "tilesetId": "t", "tilesetBandIndex": 0}],
    /// });
    /// client.import_external_image(&manifest, false).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`ImportRequest::start`].
    pub async fn import_external_image(
        &self,
        manifest: &(impl Serialize + ?Sized),
        overwrite: bool,
    ) -> Result<(), Error> {
        let import = self.import("image:importExternal", IMAGE_MANIFEST, manifest);
        let (client, body) = import.overwrite(overwrite).request.into_parts()?;
        let request = client.request(Method::POST, "image:importExternal");
        // Replacing the asset twice has no further effect.
        let request = request.json(&body).idempotent(overwrite);
        request.send().await.map(drop)
    }

    fn import(
        &self,
        path: &'static str,
        field: &str,
        manifest: &(impl Serialize + ?Sized),
    ) -> ImportRequest {
        let mut request = CallBody::new(self);
        request.set(field, manifest);
        if let Some(manifest) = request.body.get_mut(field)
            && let Err(error) = complete(field, manifest)
        {
            request.record_error(error);
        }
        ImportRequest { request, path }
    }
}

const IMAGE_MANIFEST: &str = "imageManifest";
const TABLE_MANIFEST: &str = "tableManifest";

/// Replaces the asset ID in a manifest by the asset's name, and checks its kind.
fn complete(field: &str, manifest: &mut Value) -> Result<(), Error> {
    let (unexpected, remedy) = match field {
        TABLE_MANIFEST => ("tilesets", "Import an image with `import_image`."),
        _ => ("sources", "Import a table with `import_table`."),
    };
    if manifest.get(unexpected).is_some() {
        return Err(Error::invalid_request(
            format!("the field {unexpected} does not belong to this kind of manifest"),
            remedy,
        ));
    }
    let Some(id) = manifest.get("name").and_then(Value::as_str) else {
        return Err(Error::invalid_request(
            "the manifest names no asset",
            "Set its `name`, as in {\"name\": \"projects/PROJECT/assets/PATH\", …}.",
        ));
    };
    manifest["name"] = asset(id)?.as_str().into();
    Ok(())
}

impl ImportRequest {
    /// Sets the description shown in the task list.
    pub fn description(self, description: &str) -> Self {
        self.option("description", description)
    }

    /// Sets whether an existing asset is replaced. Defaults to `false`.
    pub fn overwrite(self, yes: bool) -> Self {
        self.option("overwrite", yes)
    }

    /// Sets the request ID, by which the server detects duplicates; see
    /// [`Export::request_id`](crate::Export::request_id). By default one is generated that retries
    /// share.
    pub fn request_id(self, id: &str) -> Self {
        self.option(REQUEST_ID, id)
    }

    /// Starts the import.
    ///
    /// # Errors
    /// Returns [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) if the manifest has
    /// no valid `name`; otherwise see [`Client::post_json`].
    pub async fn start(self) -> Result<Operation, Error> {
        let (client, body) = self.request.into_parts()?;
        check_request_id(&body)?;
        let request = client.request(Method::POST, self.path).json(&body);
        request.send().await?.json()
    }
}
