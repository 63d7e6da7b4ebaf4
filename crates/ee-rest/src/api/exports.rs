//! Exports: computations whose results are stored.

use std::marker::PhantomData;

use ee_token::internal::Quoted;
use http::Method;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::api::assets::asset;
use crate::api::export_checks::{REQUEST_ID, check_bigquery_table, check_body, check_size};
use crate::api::export_types::{
    Asset, AssetKind, BigQuery, Classifier, Destination, FeatureView, FileKind, Files, Image, Kind,
    Map as MapKind, NoDestination, Table, Video,
};
use crate::api::expression::check_expression;
use crate::api::extent::{Extent, geometry};
use crate::api::images::{PixelGrid, invalid_grid};
use crate::api::known::{PYRAMIDING_POLICIES, check_known};
use crate::request::finite::{to_value, without_null};
use crate::{Client, Error, Operation};

/// An export to start with [`Client::export`]: what is exported, and where to. Its types are in
/// [`export`](crate::export).
///
/// ```
/// use ee_rest::Export;
/// use ee_rest::export::{Files, Image};
///
/// # fn f(image: &serde_json::Value) -> Export<Image, Files> {
/// Export::image(image)
///     .description("elevation")
///     .crs("EPSG:32632")
///     .scale(30.0)
///     .max_pixels(100_000_000)
///     .to_cloud_storage("my-bucket", "elevation/2024")
///     .file_format("GEO_TIFF")
/// # }
/// ```
///
/// An export has one destination, and the options of its kind and its destination:
///
/// ```compile_fail
/// # use ee_rest::Export;
/// # fn f(image: &serde_json::Value) {
/// Export::image(image).to_asset("users/me/a").to_drive("folder", "a");
/// # }
/// ```
/// ```compile_fail
/// # use ee_rest::Export;
/// # fn f(video: &serde_json::Value) {
/// Export::video(video).to_asset("users/me/a");
/// # }
/// ```
/// ```compile_fail
/// # use ee_rest::Export;
/// # fn f(tiles: &serde_json::Value) {
/// Export::map(tiles).to_asset("users/me/a");
/// # }
/// ```
/// ```compile_fail
/// # use ee_rest::Export;
/// # fn f(classifier: &serde_json::Value) {
/// Export::classifier(classifier).to_cloud_storage("bucket", "a");
/// # }
/// ```
/// ```compile_fail
/// # use ee_rest::Export;
/// # fn f(table: &serde_json::Value) {
/// Export::table(table).max_pixels(1);
/// # }
/// ```
/// ```compile_fail
/// # use ee_rest::Export;
/// # fn f(image: &serde_json::Value) {
/// Export::image(image).to_drive("folder", "a").overwrite(true);
/// # }
/// ```
/// ```compile_fail
/// # async fn f(client: ee_rest::Client, image: &serde_json::Value) {
/// // Without a destination.
/// client.export(ee_rest::Export::image(image)).await;
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "an export does nothing until it is started"]
pub struct Export<K, D = NoDestination> {
    body: Map<String, Value>,
    /// Only of an image.
    extent: Extent,
    /// The first validation error.
    error: Option<Error>,
    of: PhantomData<fn() -> (K, D)>,
}

impl Export<Image> {
    /// Creates an export of an image.
    pub fn image(expression: &(impl Serialize + ?Sized)) -> Self {
        Self::new(expression)
    }
}

impl Export<Table> {
    /// Creates an export of a table of features.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client, wells: serde_json::Value) -> Result<(), ee_rest::Error> {
    /// use ee_rest::Export;
    ///
    /// let export = Export::table(&wells).selectors(&["depth"]).to_drive("wells", "2026");
    /// client.export(export).await?;
    /// # Ok(()) }
    /// ```
    pub fn table(expression: &(impl Serialize + ?Sized)) -> Self {
        Self::new(expression)
    }
}

impl Export<Video> {
    /// Creates an export of a collection of images as a video.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client, year: serde_json::Value) -> Result<(), ee_rest::Error> {
    /// use ee_rest::Export;
    ///
    /// let options = serde_json::json!({"framesPerSecond": 5, "maxFrames": 100});
    /// let export = Export::video(&year).option("videoOptions", options);
    /// client.export(export.to_cloud_storage("my-bucket", "year")).await?;
    /// # Ok(()) }
    /// ```
    pub fn video(expression: &(impl Serialize + ?Sized)) -> Self {
        Self::new(expression)
    }
}

impl Export<MapKind> {
    /// Creates an export of an image as a pyramid of map tiles.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client, image: serde_json::Value) -> Result<(), ee_rest::Error> {
    /// use ee_rest::Export;
    ///
    /// let options = serde_json::json!({"startZoom": 0, "endZoom": 8});
    /// let export = Export::map(&image).option("tileOptions", options);
    /// client.export(export.to_cloud_storage("my-bucket", "tiles")).await?;
    /// # Ok(()) }
    /// ```
    pub fn map(expression: &(impl Serialize + ?Sized)) -> Self {
        Self::new(expression)
    }
}

impl Export<Classifier> {
    /// Creates an export of a trained classifier.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client, trees: serde_json::Value) -> Result<(), ee_rest::Error> {
    /// use ee_rest::Export;
    ///
    /// let export = Export::classifier(&trees).to_asset("projects/my-project/assets/trees");
    /// client.export(export).await?;
    /// # Ok(()) }
    /// ```
    pub fn classifier(expression: &(impl Serialize + ?Sized)) -> Self {
        Self::new(expression)
    }
}

impl<K> Export<K> {
    fn new(expression: &(impl Serialize + ?Sized)) -> Self {
        let export = Self {
            body: Map::new(),
            extent: Extent::default(),
            error: None,
            of: PhantomData,
        };
        let mut export = export.option(EXPRESSION, expression);
        let result = check_expression(export.body.get(EXPRESSION));
        export.check(result);
        export
    }

    fn asset_name(&mut self, id: &str) -> String {
        match asset(id) {
            Ok(name) => name.to_string(),
            Err(error) => {
                self.record_error(error);
                String::new()
            }
        }
    }

    fn to<D>(self, field: &str, destination: Value) -> Export<K, D> {
        let with_destination = self.option(field, destination);
        Export {
            body: with_destination.body,
            extent: with_destination.extent,
            error: with_destination.error,
            of: PhantomData,
        }
    }
}

impl<K: AssetKind> Export<K> {
    /// Exports to an asset.
    pub fn to_asset(mut self, id: &str) -> Export<K, Asset> {
        let name = self.asset_name(id);
        self.to(ASSET_OPTIONS, json!({DESTINATION: {"name": name}}))
    }
}

impl<K: FileKind> Export<K> {
    /// Exports to files in a Cloud Storage bucket, whose names start with `prefix`. The bucket is
    /// named without `gs://`.
    pub fn to_cloud_storage(mut self, bucket: &str, prefix: &str) -> Export<K, Files> {
        if bucket.is_empty() || bucket.contains(['/', ':']) {
            self.record_error(Error::invalid_request(
                format!("{} is not the name of a bucket", Quoted(bucket)),
                "Use the name alone, without gs://. The prefix has the rest of the path.",
            ));
        }
        let to = json!({"bucket": bucket, "filenamePrefix": prefix});
        self.into_files("cloudStorageDestination", to)
    }

    /// Exports to files in a Google Drive folder, whose names start with `prefix`.
    pub fn to_drive(self, folder: &str, prefix: &str) -> Export<K, Files> {
        let to = json!({"folder": folder, "filenamePrefix": prefix});
        self.into_files("driveDestination", to)
    }

    fn into_files(self, destination: &str, to: Value) -> Export<K, Files> {
        let mut options = json!({destination: to, "fileFormat": K::FORMATS[0]});
        // What was set with `option` before remains.
        if let Some(set) = self.body.get(K::FILE_OPTIONS) {
            merge(&mut options, set.clone());
        }
        self.to(K::FILE_OPTIONS, options)
    }
}

impl Export<Table> {
    /// Exports to a feature view asset, for fast map tiles.
    pub fn to_feature_view(mut self, id: &str) -> Export<Table, FeatureView> {
        let name = self.asset_name(id);
        self.to(
            "featureViewExportOptions",
            json!({"featureViewDestination": {"name": name}}),
        )
    }

    /// Exports to a BigQuery table, named `PROJECT.DATASET.TABLE`.
    pub fn to_bigquery(mut self, table: &str) -> Export<Table, BigQuery> {
        self.check(check_bigquery_table(table));
        self.to(BIGQUERY_OPTIONS, json!({BIGQUERY: {"table": table}}))
    }
}

impl Export<Table, BigQuery> {
    /// Sets whether an existing table is replaced. Defaults to `false`.
    pub fn overwrite(self, yes: bool) -> Self {
        self.option(BIGQUERY_OPTIONS, json!({BIGQUERY: {"overwrite": yes}}))
    }

    /// Sets whether the rows are appended to an existing table. Defaults to `false`.
    pub fn append(self, yes: bool) -> Self {
        self.option(BIGQUERY_OPTIONS, json!({BIGQUERY: {"append": yes}}))
    }
}

impl<K> Export<K, Asset> {
    /// Sets whether an existing asset is replaced. Defaults to `false`.
    pub fn overwrite(self, yes: bool) -> Self {
        self.option(ASSET_OPTIONS, json!({DESTINATION: {"overwrite": yes}}))
    }
}

impl Export<Image, Asset> {
    /// Sets how the pixels are aggregated at lower resolutions: `MEAN`, `SAMPLE`, `MIN`, `MAX`,
    /// `MODE` or `MEDIAN`. Defaults to `MEAN`.
    pub fn pyramiding_policy(mut self, policy: &str) -> Self {
        self.check(check_known(
            "a pyramiding policy",
            policy,
            PYRAMIDING_POLICIES,
        ));
        self.option(ASSET_OPTIONS, json!({"pyramidingPolicy": policy}))
    }
}

impl<K: FileKind> Export<K, Files> {
    /// Sets the file format, by its API name: `GEO_TIFF`, `CSV`, `MP4`, `PNG`, …. Defaults to
    /// `GEO_TIFF` for images, `CSV` for tables, `MP4` for videos and `AUTO_JPEG_PNG` for maps.
    pub fn file_format(mut self, format: &str) -> Self {
        self.check(check_known("a format of these files", format, K::FORMATS));
        self.option(K::FILE_OPTIONS, json!({"fileFormat": format}))
    }
}

impl Export<Image, Files> {
    /// Sets the size of each GeoTIFF file of a large image, in pixels: multiples of the
    /// [`tile_size`](Self::tile_size).
    pub fn file_dimensions(mut self, width: i32, height: i32) -> Self {
        self.check(check_size("file", width.min(height)));
        let dimensions = json!({"width": width, "height": height});
        self.geo_tiff(json!({"tileDimensions": dimensions}))
    }

    /// Sets the size of the square tiles in which the image is computed, in pixels. Defaults to
    /// 256. Google's clients call it `shardSize`.
    pub fn tile_size(mut self, pixels: i32) -> Self {
        self.check(check_size("tile", pixels));
        self.geo_tiff(json!({"tileSize": pixels}))
    }

    fn geo_tiff(self, options: Value) -> Self {
        self.option(Image::FILE_OPTIONS, json!({"geoTiffOptions": options}))
    }
}

impl<D> Export<Image, D> {
    /// Sets the pixel grid: the projection, the size of a pixel, and the exact rectangle.
    pub fn grid(mut self, grid: &PixelGrid) -> Self {
        match grid.problem() {
            None => self.option("grid", grid),
            Some(problem) => {
                self.record_error(invalid_grid(problem));
                self
            }
        }
    }

    /// Sets the projection, as an authority and a code: `EPSG:4326`. Defaults to that of the image.
    ///
    /// The API has no field for the projection, the [`scale`](Self::scale) and the
    /// [`region`](Self::region): as in Google's clients, calls around the expression set them.
    pub fn crs(mut self, code: &str) -> Self {
        self.extent.crs = Some(code.to_owned());
        self
    }

    /// Sets the size of a pixel, in meters.
    pub fn scale(mut self, meters: f64) -> Self {
        if meters.is_finite() && meters > 0.0 {
            self.extent.scale = Some(meters);
        } else {
            self.record_error(Error::invalid_request(
                format!("{meters} is not the size of a pixel"),
                "Use a positive number of meters.",
            ));
        }
        self
    }

    /// Sets the region: a GeoJSON geometry, whose edges are straight lines in its projection. With a
    /// [`scale`](Self::scale), its bounds are exported.
    pub fn region(mut self, geometry: impl Serialize) -> Self {
        const WHAT: &str = "the region of the export";
        let geo_json = to_value(WHAT, geometry).and_then(|value| without_null(WHAT, value));
        match geo_json.and_then(|geo_json| self::geometry(&geo_json)) {
            Ok(region) => self.extent.region = Some(region),
            Err(error) => self.record_error(error),
        }
        self
    }

    /// Sets the maximum number of pixels. Larger exports fail.
    pub fn max_pixels(self, pixels: u64) -> Self {
        // The API expects 64-bit integers, which are signed, as strings.
        let pixels = pixels.min(i64::MAX.unsigned_abs());
        self.option("maxPixels", pixels.to_string())
    }
}

impl<D> Export<Table, D> {
    /// Selects the properties of the features.
    pub fn selectors<S: AsRef<str>>(self, properties: &[S]) -> Self {
        let properties: Vec<_> = properties.iter().map(AsRef::as_ref).collect();
        self.option("selectors", properties)
    }
}

impl<K, D> Export<K, D> {
    /// Sets the description shown in the task list.
    pub fn description(self, description: &str) -> Self {
        self.option("description", description)
    }

    /// Sets the priority among the project's exports, from 0 to 9999. Defaults to 100.
    pub fn priority(self, priority: u16) -> Self {
        self.option("priority", priority)
    }

    /// Sets the request ID, by which the server detects duplicates: two exports with the same ID
    /// start one task. It consists of at most 60 letters, digits and dashes. By default each call
    /// of [`Client::export`] generates an ID that its retries share. Set and store an ID if an
    /// interrupted program must not start a second task.
    pub fn request_id(self, id: &str) -> Self {
        self.option(REQUEST_ID, id)
    }

    /// Sets any other field of the request. An object is merged with the fields that are already
    /// set, in any order.
    pub fn option(mut self, name: &str, value: impl Serialize) -> Self {
        match to_value(&format!("the export option `{name}`"), value) {
            Ok(value) => merge(self.body.entry(name).or_insert(Value::Null), value),
            Err(error) => self.record_error(error),
        }
        self
    }

    fn check(&mut self, result: Result<(), Error>) {
        if let Err(error) = result {
            self.record_error(error);
        }
    }

    fn record_error(&mut self, error: Error) {
        self.error.get_or_insert(error);
    }

    /// Validates the export and returns the request body.
    fn into_body(mut self) -> Result<Map<String, Value>, Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        if self.body.contains_key("grid") && !self.extent.is_empty() {
            return Err(Error::invalid_request(
                "the export has a grid, and a projection, scale or region as well",
                "Set either `grid`, or `crs`, `scale` and `region`.",
            ));
        }
        if let Some(expression) = self.body.get_mut(EXPRESSION) {
            self.extent.apply(expression)?;
        }
        check_body(&self.body)?;
        Ok(self.body)
    }
}

const EXPRESSION: &str = "expression";
const BIGQUERY_OPTIONS: &str = "bigqueryExportOptions";
const BIGQUERY: &str = "bigqueryDestination";
const ASSET_OPTIONS: &str = "assetExportOptions";
const DESTINATION: &str = "earthEngineDestination";

/// Merges a value into another: objects field by field, other values by replacement.
fn merge(into: &mut Value, value: Value) {
    match (into, value) {
        (Value::Object(into), Value::Object(fields)) => {
            for (name, value) in fields {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, value) => *into = value,
    }
}

impl Client {
    /// Starts an export. Its request ID is generated once, so that retries start only one task.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client, image: serde_json::Value) -> Result<(), ee_rest::Error> {
    /// use ee_rest::Export;
    ///
    /// let export = Export::image(&image)
    ///     .description("elevation")
    ///     .to_asset("projects/my-project/assets/elevation");
    /// let started = client.export(export).await?;
    /// let ended = client.operations().wait(&started.name).await?;
    /// println!("{:?}", ended.metadata.destination_uris);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Returns [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) for an invalid asset
    /// ID or request ID; otherwise see [`Client::post_json`].
    pub async fn export<K: Kind, D: Destination>(
        &self,
        export: Export<K, D>,
    ) -> Result<Operation, Error> {
        let body = export.into_body()?;
        let request = self.request(Method::POST, K::PATH).json(&body);
        request.send().await?.json()
    }
}

#[cfg(test)]
mod tests;
