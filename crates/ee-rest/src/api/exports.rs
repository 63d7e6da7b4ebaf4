//! Exports: computations whose results are stored.

use std::marker::PhantomData;

use ee_token::internal::Quoted;
use http::Method;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::api::assets::asset;
use crate::api::export_types::{
    Asset, AssetKind, Classifier, Destination, FileKind, Files, Image, Kind, Map as MapKind,
    NoDestination, Other, Table, Video,
};
use crate::api::images::{PixelGrid, invalid_grid};
use crate::request::finite::to_value;
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
    pub fn table(expression: &(impl Serialize + ?Sized)) -> Self {
        Self::new(expression)
    }
}

impl Export<Video> {
    /// Creates an export of a collection of images as a video.
    pub fn video(expression: &(impl Serialize + ?Sized)) -> Self {
        Self::new(expression)
    }
}

impl Export<MapKind> {
    /// Creates an export of an image as a pyramid of map tiles.
    pub fn map(expression: &(impl Serialize + ?Sized)) -> Self {
        Self::new(expression)
    }
}

impl Export<Classifier> {
    /// Creates an export of a trained classifier.
    pub fn classifier(expression: &(impl Serialize + ?Sized)) -> Self {
        Self::new(expression)
    }
}

impl<K> Export<K> {
    fn new(expression: &(impl Serialize + ?Sized)) -> Self {
        Self {
            body: Map::new(),
            error: None,
            of: PhantomData,
        }
        .option("expression", expression)
    }

    fn asset_name(&mut self, id: &str) -> String {
        match asset(id) {
            Ok(name) => name.to_string(),
            Err(error) => {
                self.error.get_or_insert(error);
                String::new()
            }
        }
    }

    fn to<D>(self, field: &str, destination: Value) -> Export<K, D> {
        let with_destination = self.option(field, destination);
        Export {
            body: with_destination.body,
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
    /// Exports to files in a Cloud Storage bucket, whose names start with `prefix`.
    pub fn to_cloud_storage(self, bucket: &str, prefix: &str) -> Export<K, Files> {
        let to = json!({"bucket": bucket, "filenamePrefix": prefix});
        self.into_files("cloudStorageDestination", to)
    }

    /// Exports to files in a Google Drive folder, whose names start with `prefix`.
    pub fn to_drive(self, folder: &str, prefix: &str) -> Export<K, Files> {
        let to = json!({"folder": folder, "filenamePrefix": prefix});
        self.into_files("driveDestination", to)
    }

    fn into_files(self, destination: &str, to: Value) -> Export<K, Files> {
        let mut options = json!({destination: to, "fileFormat": K::FORMAT});
        // What was set with `option` before remains.
        if let Some(set) = self.body.get(K::FILE_OPTIONS) {
            merge(&mut options, set.clone());
        }
        self.to(K::FILE_OPTIONS, options)
    }
}

impl Export<Table> {
    /// Exports to a feature view asset, for fast map tiles.
    pub fn to_feature_view(mut self, id: &str) -> Export<Table, Other> {
        let name = self.asset_name(id);
        self.to(
            "featureViewExportOptions",
            json!({"featureViewDestination": {"name": name}}),
        )
    }

    /// Exports to a BigQuery table, named `PROJECT.DATASET.TABLE`.
    pub fn to_bigquery(self, table: &str) -> Export<Table, Other> {
        self.to(
            "bigqueryExportOptions",
            json!({"bigqueryDestination": {"table": table}}),
        )
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
    pub fn pyramiding_policy(self, policy: &str) -> Self {
        self.option(ASSET_OPTIONS, json!({"pyramidingPolicy": policy}))
    }
}

impl<K: FileKind> Export<K, Files> {
    /// Sets the file format, by its API name: `GEO_TIFF`, `CSV`, `MP4`, `PNG`, …. Defaults to
    /// `GEO_TIFF` for images, `CSV` for tables, `MP4` for videos and `AUTO_JPEG_PNG` for maps.
    pub fn file_format(self, format: &str) -> Self {
        self.option(K::FILE_OPTIONS, json!({"fileFormat": format}))
    }
}

impl Export<Image, Files> {
    /// Sets the size of each GeoTIFF file of a large image, in pixels: multiples of the
    /// [`tile_size`](Self::tile_size).
    pub fn file_dimensions(self, width: i32, height: i32) -> Self {
        let dimensions = json!({"width": width, "height": height});
        self.geo_tiff(json!({"tileDimensions": dimensions}))
    }

    /// Sets the size of the square tiles in which the image is computed, in pixels. Defaults to
    /// 256.
    pub fn tile_size(self, pixels: i32) -> Self {
        self.geo_tiff(json!({"tileSize": pixels}))
    }

    fn geo_tiff(self, options: Value) -> Self {
        self.option(Image::FILE_OPTIONS, json!({"geoTiffOptions": options}))
    }
}

impl<D> Export<Image, D> {
    /// Sets the pixel grid.
    pub fn grid(mut self, grid: &PixelGrid) -> Self {
        match grid.problem() {
            None => self.option("grid", grid),
            Some(problem) => {
                self.error.get_or_insert(invalid_grid(problem));
                self
            }
        }
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
            Err(error) => {
                self.error.get_or_insert(error);
            }
        }
        self
    }

    /// Validates the export and returns the request body.
    fn into_body(self) -> Result<Map<String, Value>, Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        // Only `option` can add another destination.
        let destinations: Vec<_> = self
            .body
            .iter()
            .filter(|(field, _)| field.ends_with("ExportOptions"))
            .filter_map(|(_, options)| options.as_object())
            .flat_map(|options| options.keys())
            .filter(|key| key.ends_with("Destination"))
            .map(String::as_str)
            .collect();
        if destinations.len() > 1 {
            return Err(Error::invalid_request(
                format!(
                    "the export has {} destinations: {}",
                    destinations.len(),
                    destinations.join(", ")
                ),
                "Start one export for each destination.",
            ));
        }
        check_request_id(&self.body)?;
        Ok(self.body)
    }
}

const ASSET_OPTIONS: &str = "assetExportOptions";
const DESTINATION: &str = "earthEngineDestination";
pub(crate) const REQUEST_ID: &str = "requestId";

/// Validates the request ID, if there is one. The server generates one for an empty ID.
pub(crate) fn check_request_id(body: &Map<String, Value>) -> Result<(), Error> {
    match body.get(REQUEST_ID).and_then(Value::as_str) {
        Some(id)
            if id.len() > 60 || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') =>
        {
            Err(Error::invalid_request(
                format!("{} is not a valid request ID", Quoted(id)),
                "Use at most 60 letters, digits and dashes, such as a UUID.",
            ))
        }
        _ => Ok(()),
    }
}

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
mod tests {
    use super::*;
    use crate::ErrorKind;

    const ID: &str = "projects/my-project/assets/a";

    fn image() -> Export<Image> {
        Export::image(&json!({}))
    }

    /// Returns the body, or the message of the error.
    fn body<K, D>(export: Export<K, D>) -> Result<Value, String> {
        export.into_body().map(Value::Object).map_err(|error| {
            assert_eq!(error.kind(), ErrorKind::InvalidRequest);
            assert!(!error.remedy().text.is_empty());
            error.to_string()
        })
    }

    #[test]
    fn each_export_kind_has_its_file_options_and_format() {
        fn check<K: FileKind>(export: Export<K>, field: &str, format: &str) {
            let body = body(export.to_cloud_storage("b", "p")).unwrap();
            let to = json!({"bucket": "b", "filenamePrefix": "p"});
            let options = json!({"fileFormat": format, "cloudStorageDestination": to});
            assert_eq!(body[field], options);
        }
        check(image(), "fileExportOptions", "GEO_TIFF");
        check(Export::table(&json!({})), "fileExportOptions", "CSV");
        check(Export::video(&json!({})), "fileExportOptions", "MP4");
        check(
            Export::map(&json!({})),
            "tileExportOptions",
            "AUTO_JPEG_PNG",
        );
        let table = Export::table(&json!({}));
        let table = body(table.to_drive("f", "p").file_format("SHP")).unwrap();
        assert_eq!(table["fileExportOptions"]["fileFormat"], "SHP");
    }

    #[test]
    fn options_and_destinations_merge_in_any_order() {
        let policy = json!({"pyramidingPolicy": "MODE"});
        let expected = json!({
            "expression": {},
            "assetExportOptions": {
                "pyramidingPolicy": "MODE",
                "earthEngineDestination": {"name": ID, "overwrite": true},
            },
        });
        for export in [
            image().option(ASSET_OPTIONS, &policy).to_asset(ID),
            image().to_asset(ID).option(ASSET_OPTIONS, &policy),
            image().to_asset(ID).pyramiding_policy("MODE"),
        ] {
            assert_eq!(body(export.overwrite(true)).unwrap(), expected);
        }
        let files = image()
            .option(
                "fileExportOptions",
                json!({"fileFormat": "TF_RECORD_IMAGE"}),
            )
            .to_cloud_storage("b", "p")
            .tile_size(512)
            .file_dimensions(1024, 2048);
        assert_eq!(
            body(files).unwrap()["fileExportOptions"],
            json!({
                "fileFormat": "TF_RECORD_IMAGE",
                "cloudStorageDestination": {"bucket": "b", "filenamePrefix": "p"},
                "geoTiffOptions": {"tileSize": 512, "tileDimensions": {"width": 1024, "height": 2048}},
            })
        );
    }

    #[test]
    fn export_that_the_api_would_misread_is_rejected() {
        let to_asset = || image().to_asset(ID);
        let grid = |width, scale| PixelGrid::new("EPSG:4326", width, 1, [scale; 6]);
        let drive = json!({"driveDestination": {"folder": "f"}});
        for (export, problem) in [
            (to_asset(), None),
            (image().to_asset("a:b"), Some("a:b")),
            (image().to_asset("projects/my-project/assets"), Some("root")),
            (
                to_asset().option("fileExportOptions", drive),
                Some("2 destinations"),
            ),
            (to_asset().request_id("a_b"), Some("request ID")),
            (to_asset().request_id(&"a".repeat(61)), Some("request ID")),
            (to_asset().request_id(""), None),
            (to_asset().request_id("A1-b2"), None),
            (to_asset().grid(&grid(1, 1.0)), None),
            (to_asset().grid(&grid(0, 1.0)), Some("no pixels")),
            (to_asset().grid(&grid(u32::MAX, 1.0)), Some("2147483647")),
            (to_asset().grid(&grid(1, f64::NAN)), Some("not finite")),
            (
                to_asset().option("x", f64::INFINITY),
                Some("could not be serialized"),
            ),
        ] {
            match (body(export), problem) {
                (Ok(_), None) => {}
                (Err(message), Some(problem)) => assert!(message.contains(problem), "{message}"),
                (result, _) => panic!("{problem:?}: {result:?}"),
            }
        }
        let most = body(image().max_pixels(u64::MAX)).unwrap();
        assert_eq!(most["maxPixels"], "9223372036854775807");
        assert!(body(Export::table(&json!({})).to_feature_view("a:b")).is_err());
    }
}
