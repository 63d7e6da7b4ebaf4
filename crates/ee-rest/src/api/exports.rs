//! Exports: computations whose results are stored.

use ee_token::internal::Quoted;
use http::Method;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::api::assets::asset;
use crate::api::images::{PixelGrid, invalid_grid};
use crate::request::finite::to_value;
use crate::{Client, Error, Operation};

/// What to export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExportKind {
    /// An image.
    Image,
    /// A table of features.
    Table,
    /// A collection of images as a video.
    Video,
    /// An image as a pyramid of map tiles.
    Map,
    /// A trained classifier.
    Classifier,
}

impl ExportKind {
    fn path(self) -> &'static str {
        match self {
            Self::Image => "image:export",
            Self::Table => "table:export",
            Self::Video => "video:export",
            Self::Map => "map:export",
            Self::Classifier => "classifier:export",
        }
    }

    /// The default file format, or `None` if the export never writes files.
    fn default_format(self) -> Option<&'static str> {
        match self {
            Self::Image => Some("GEO_TIFF"),
            Self::Table => Some("CSV"),
            Self::Video => Some("MP4"),
            Self::Map => Some("AUTO_JPEG_PNG"),
            Self::Classifier => None,
        }
    }

    /// The request field with the file options.
    fn file_options(self) -> &'static str {
        match self {
            Self::Map => "tileExportOptions",
            _ => "fileExportOptions",
        }
    }

    /// Returns whether the request has this field of [`DESTINATION_FIELDS`].
    fn has(self, field: &str) -> bool {
        match field {
            ASSET_OPTIONS => matches!(self, Self::Image | Self::Table | Self::Classifier),
            "featureViewExportOptions" | "bigqueryExportOptions" => self == Self::Table,
            files => self != Self::Classifier && files == self.file_options(),
        }
    }

    /// Returns how to set a destination.
    fn destinations(self) -> &'static str {
        match self {
            Self::Image | Self::Table => "Call .to_asset(…), .to_cloud_storage(…) or .to_drive(…).",
            Self::Video | Self::Map => "Call .to_cloud_storage(…) or .to_drive(…).",
            Self::Classifier => "Call .to_asset(…).",
        }
    }
}

/// An export to start with [`Client::export`].
///
/// ```
/// use ee_rest::{Export, ExportKind};
/// use serde_json::json;
///
/// # fn f(image: &serde_json::Value) -> Export {
/// Export::new(ExportKind::Image, image)
///     .description("elevation")
///     .to_cloud_storage("my-bucket", "elevation/2024")
///     .max_pixels(100_000_000)
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "an export does nothing until it is started"]
pub struct Export {
    kind: ExportKind,
    body: Map<String, Value>,
    error: Option<Error>,
}

impl Export {
    /// Creates an export of the value of an expression (`{"result": …, "values": {…}}`).
    pub fn new(kind: ExportKind, expression: &(impl Serialize + ?Sized)) -> Self {
        Self {
            kind,
            body: Map::new(),
            error: None,
        }
        .option("expression", expression)
    }

    /// Sets the description shown in the task list.
    pub fn description(self, description: &str) -> Self {
        self.option("description", description)
    }

    /// Exports to files in a Cloud Storage bucket, whose names start with `prefix`.
    pub fn to_cloud_storage(self, bucket: &str, prefix: &str) -> Self {
        let to = json!({"bucket": bucket, "filenamePrefix": prefix});
        self.file_option("cloudStorageDestination", to)
    }

    /// Exports to files in a Google Drive folder, whose names start with `prefix`.
    pub fn to_drive(self, folder: &str, prefix: &str) -> Self {
        let to = json!({"folder": folder, "filenamePrefix": prefix});
        self.file_option("driveDestination", to)
    }

    /// Exports to an asset: an image, a table or a classifier.
    pub fn to_asset(mut self, id: &str) -> Self {
        match asset(id) {
            Ok(name) => self.asset_destination("name", json!(name.as_str())),
            Err(error) => {
                self.error.get_or_insert(error);
                self
            }
        }
    }

    /// Sets whether an existing asset is replaced. Defaults to `false`.
    pub fn overwrite(self, yes: bool) -> Self {
        self.asset_destination("overwrite", json!(yes))
    }

    /// Sets how the pixels of an image asset are aggregated at lower resolutions: `MEAN`, `SAMPLE`,
    /// `MIN`, `MAX`, `MODE` or `MEDIAN`. Defaults to `MEAN`.
    pub fn pyramiding_policy(self, policy: &str) -> Self {
        self.option(ASSET_OPTIONS, json!({"pyramidingPolicy": policy}))
    }

    /// Sets the file format, by its API name: `GEO_TIFF`, `CSV`, `MP4`, `PNG`, …. Defaults to
    /// `GEO_TIFF` for images, `CSV` for tables, `MP4` for videos and `AUTO_JPEG_PNG` for maps.
    pub fn file_format(self, format: &str) -> Self {
        self.file_option("fileFormat", json!(format))
    }

    /// Sets the pixel grid of an image.
    pub fn grid(mut self, grid: &PixelGrid) -> Self {
        match grid.problem() {
            None => self.option("grid", grid),
            Some(problem) => {
                self.error.get_or_insert(invalid_grid(problem));
                self
            }
        }
    }

    /// Sets the maximum number of pixels of an image. Larger exports fail.
    pub fn max_pixels(self, pixels: u64) -> Self {
        // The API expects 64-bit integers as strings.
        self.option("maxPixels", pixels.to_string())
    }

    /// Sets the size of each GeoTIFF file of a large image, in pixels: multiples of the
    /// [`tile_size`](Self::tile_size).
    pub fn file_dimensions(self, width: u32, height: u32) -> Self {
        let dimensions = json!({"width": width, "height": height});
        self.file_option("geoTiffOptions", json!({"tileDimensions": dimensions}))
    }

    /// Sets the size of the square tiles in which an image is computed, in pixels. Defaults to 256.
    pub fn tile_size(self, pixels: u32) -> Self {
        self.file_option("geoTiffOptions", json!({"tileSize": pixels}))
    }

    /// Selects the properties of a table.
    pub fn selectors<S: AsRef<str>>(self, properties: &[S]) -> Self {
        let properties: Vec<_> = properties.iter().map(AsRef::as_ref).collect();
        self.option("selectors", properties)
    }

    /// Sets the priority among the project's exports, from 0 to 9999. Defaults to 100.
    pub fn priority(self, priority: u32) -> Self {
        self.option("priority", priority)
    }

    /// Sets the request ID, by which the server detects duplicates: two exports with the same ID
    /// start one task. It consists of at most 60 letters, digits and dashes. By default each call
    /// of [`Client::export`] generates an ID that its retries share. Set and store an ID if an
    /// interrupted program must not start a second task.
    pub fn request_id(self, id: &str) -> Self {
        self.option("requestId", id)
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

    fn file_option(self, name: &str, value: Value) -> Self {
        let field = self.kind.file_options();
        self.option(field, json!({name: value}))
    }

    fn asset_destination(self, name: &str, value: Value) -> Self {
        self.option(ASSET_OPTIONS, json!({DESTINATION: {name: value}}))
    }

    /// Validates the export and returns the request body.
    fn into_body(mut self) -> Result<Map<String, Value>, Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let kind = self.kind;
        for field in DESTINATION_FIELDS {
            if self.body.contains_key(field) && !kind.has(field) {
                return Err(Error::invalid_request(
                    format!("{} has no field `{field}`", kind.path()),
                    kind.destinations(),
                ));
            }
        }
        let destinations: Vec<_> = DESTINATION_FIELDS
            .iter()
            .filter_map(|field| self.body.get(*field)?.as_object())
            .flat_map(|options| options.iter())
            // Options alone, such as `overwrite` and a file format, name no destination.
            .filter(|(key, to)| {
                key.ends_with("Destination") && (*key != DESTINATION || to.get("name").is_some())
            })
            .map(|(key, _)| key.as_str())
            .collect();
        match destinations[..] {
            [_] => {}
            [] => {
                return Err(Error::invalid_request(
                    "the export has no destination",
                    kind.destinations(),
                ));
            }
            _ => {
                return Err(Error::invalid_request(
                    format!(
                        "the export has {} destinations: {}",
                        destinations.len(),
                        destinations.join(", ")
                    ),
                    "Start one export for each destination.",
                ));
            }
        }
        check_request_id(&self.body)?;
        if let (Some(format), Some(options)) = (
            kind.default_format(),
            self.body.get_mut(kind.file_options()),
        ) && let Some(options) = options.as_object_mut()
        {
            options.entry("fileFormat").or_insert_with(|| json!(format));
        }
        Ok(self.body)
    }
}

const ASSET_OPTIONS: &str = "assetExportOptions";
const DESTINATION: &str = "earthEngineDestination";
pub(crate) const REQUEST_ID: &str = "requestId";

/// The request fields that can contain a destination.
const DESTINATION_FIELDS: [&str; 5] = [
    "fileExportOptions",
    "tileExportOptions",
    ASSET_OPTIONS,
    "featureViewExportOptions",
    "bigqueryExportOptions",
];

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
    /// use ee_rest::{Export, ExportKind};
    ///
    /// let export = Export::new(ExportKind::Image, &image)
    ///     .description("elevation")
    ///     .to_asset("projects/my-project/assets/elevation");
    /// let started = client.export(export).await?;
    /// let ended = client.operations().wait(&started.name).await?;
    /// println!("{:?}", ended.metadata.destination_uris);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Returns [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) if the export has no destination or an invalid asset
    /// ID; otherwise see [`Client::post_json`].
    pub async fn export(&self, export: Export) -> Result<Operation, Error> {
        let path = export.kind.path();
        let body = export.into_body()?;
        let request = self.request(Method::POST, path).json(&body);
        request.send().await?.json()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn each_export_kind_has_its_file_options_and_format() {
        for (kind, field, format) in [
            (ExportKind::Image, "fileExportOptions", "GEO_TIFF"),
            (ExportKind::Table, "fileExportOptions", "CSV"),
            (ExportKind::Video, "fileExportOptions", "MP4"),
            (ExportKind::Map, "tileExportOptions", "AUTO_JPEG_PNG"),
        ] {
            let export = Export::new(kind, &json!({})).to_cloud_storage("b", "p");
            let body = export.into_body().unwrap();
            let to = json!({"bucket": "b", "filenamePrefix": "p"});
            assert_eq!(
                body[field],
                json!({"fileFormat": format, "cloudStorageDestination": to})
            );
        }
        let table = Export::new(ExportKind::Table, &json!({}))
            .file_format("SHP")
            .to_drive("f", "p");
        assert_eq!(
            table.into_body().unwrap()["fileExportOptions"]["fileFormat"],
            "SHP"
        );
    }

    #[test]
    fn export_without_a_valid_destination_is_rejected() {
        let export = Export::new(ExportKind::Image, &json!({}));
        for without_destination in [
            export.clone(),
            export.clone().file_format("PNG"),
            export.clone().option("assetExportOptions", json!({})),
            export.clone().option("fileExportOptions", ()),
        ] {
            let error = without_destination.into_body().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest);
            assert!(!error.remedy().text.is_empty());
        }
        for bad in [
            "a:b",
            "projects/my-project/assets",
            "projects/my-project/assets/",
        ] {
            let error = export.clone().to_asset(bad).into_body().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{bad}");
        }
    }

    /// Returns the body, or the message of the error.
    fn body(export: Export) -> Result<Value, String> {
        export.into_body().map(Value::Object).map_err(|error| {
            assert_eq!(error.kind(), ErrorKind::InvalidRequest);
            error.to_string()
        })
    }

    #[test]
    fn options_and_destinations_merge_in_any_order() {
        let new = || Export::new(ExportKind::Image, &json!({}));
        let policy = json!({"pyramidingPolicy": "MODE"});
        let id = "projects/my-project/assets/a";
        let expected = json!({
            "expression": {},
            "assetExportOptions": {
                "pyramidingPolicy": "MODE",
                "earthEngineDestination": {"name": id, "overwrite": true},
            },
        });
        for export in [
            new()
                .option(ASSET_OPTIONS, &policy)
                .to_asset(id)
                .overwrite(true),
            new()
                .overwrite(true)
                .to_asset(id)
                .option(ASSET_OPTIONS, &policy),
            new().pyramiding_policy("MODE").overwrite(true).to_asset(id),
        ] {
            assert_eq!(body(export).unwrap(), expected);
        }
        let files = new()
            .tile_size(512)
            .to_cloud_storage("b", "p")
            .file_dimensions(1024, 2048);
        assert_eq!(
            body(files).unwrap()["fileExportOptions"],
            json!({
                "fileFormat": "GEO_TIFF",
                "cloudStorageDestination": {"bucket": "b", "filenamePrefix": "p"},
                "geoTiffOptions": {"tileSize": 512, "tileDimensions": {"width": 1024, "height": 2048}},
            })
        );
    }

    #[test]
    fn export_that_the_api_would_misread_is_rejected() {
        use ExportKind::{Classifier, Image, Map, Table, Video};
        let id = "projects/my-project/assets/a";
        let to_bucket = |kind| Export::new(kind, &json!({})).to_cloud_storage("b", "p");
        let to_asset = |kind| Export::new(kind, &json!({})).to_asset(id);
        let to_table = json!({"bigqueryDestination": {"table": "p.d.t"}});
        let grid = |width, scale| PixelGrid::new("EPSG:4326", width, 1, [scale; 6]);
        for (export, problem) in [
            (to_asset(Image), None),
            (to_asset(Table), None),
            (to_asset(Classifier), None),
            (to_bucket(Map), None),
            (to_asset(Video), Some("has no field `assetExportOptions`")),
            (to_asset(Map), Some("has no field `assetExportOptions`")),
            (
                to_bucket(Classifier),
                Some("has no field `fileExportOptions`"),
            ),
            (to_bucket(Image).to_asset(id), Some("2 destinations")),
            (to_bucket(Image).to_drive("f", "p"), Some("2 destinations")),
            (to_asset(Image).request_id("a_b"), Some("request ID")),
            (
                to_asset(Image).request_id(&"a".repeat(61)),
                Some("request ID"),
            ),
            (to_asset(Image).request_id(""), None),
            (to_asset(Image).request_id("A1-b2"), None),
            (to_asset(Image).grid(&grid(1, 1.0)), None),
            (to_asset(Image).grid(&grid(0, 1.0)), Some("no pixels")),
            (
                to_asset(Image).grid(&grid(u32::MAX, 1.0)),
                Some("2147483647"),
            ),
            (to_asset(Image).grid(&grid(1, f64::NAN)), Some("not finite")),
            (
                to_asset(Image).option("x", f64::INFINITY),
                Some("could not be serialized"),
            ),
            (
                Export::new(Image, &json!({})).overwrite(true),
                Some("no destination"),
            ),
            (
                Export::new(Table, &json!({})).option("bigqueryExportOptions", &to_table),
                None,
            ),
            (
                Export::new(Image, &json!({})).option("bigqueryExportOptions", &to_table),
                Some("has no field `bigqueryExportOptions`"),
            ),
        ] {
            match (body(export), problem) {
                (Ok(_), None) => {}
                (Err(message), Some(problem)) => assert!(message.contains(problem), "{message}"),
                (result, _) => panic!("{problem:?}: {result:?}"),
            }
        }
    }
}
