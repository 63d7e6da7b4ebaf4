//! Exports: computations whose results are stored.

use http::Method;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::api::assets::asset;
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
///     .option("maxPixels", "100000000")
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

    /// Exports to an asset.
    pub fn to_asset(mut self, id: &str) -> Self {
        match asset(id) {
            Ok(name) => {
                let to = json!({"earthEngineDestination": {"name": name.as_str()}});
                self.option("assetExportOptions", to)
            }
            Err(error) => {
                self.error.get_or_insert(error);
                self
            }
        }
    }

    /// Sets the file format, by its API name: `GEO_TIFF`, `CSV`, `MP4`, `PNG`, …. Defaults to
    /// `GEO_TIFF` for images, `CSV` for tables, `MP4` for videos and `AUTO_JPEG_PNG` for maps.
    pub fn file_format(self, format: &str) -> Self {
        self.file_option("fileFormat", json!(format))
    }

    /// Sets the request ID, by which the server detects duplicates: two exports with the same ID
    /// start one task. By default each call of [`Client::export`] generates an ID that its retries
    /// share. Set and store an ID if an interrupted program must not start a second task.
    pub fn request_id(self, id: &str) -> Self {
        self.option("requestId", id)
    }

    /// Sets any other field of the request: `grid`, `maxPixels`, `priority`, ….
    pub fn option(mut self, name: &str, value: impl Serialize) -> Self {
        match serde_json::to_value(value) {
            Ok(value) => {
                self.body.insert(name.to_owned(), value);
            }
            Err(error) => {
                let what = format!("the export option `{name}`");
                self.error.get_or_insert(Error::not_json(&what, error));
            }
        }
        self
    }

    fn file_option(mut self, name: &str, value: Value) -> Self {
        let field = self.kind.file_options();
        let options = self.body.entry(field).or_insert_with(|| json!({}));
        if let Some(options) = options.as_object_mut() {
            options.insert(name.to_owned(), value);
            if let Some(format) = self.kind.default_format() {
                options.entry("fileFormat").or_insert_with(|| json!(format));
            }
        }
        self
    }

    /// Validates the export and returns the request body.
    fn into_body(self) -> Result<Map<String, Value>, Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        // A file format alone is not a destination.
        let has_destination = |field: &str| {
            let options = self.body.get(field).and_then(Value::as_object);
            options.is_some_and(|options| options.keys().any(|key| key.ends_with("Destination")))
        };
        let option_fields = [
            self.kind.file_options(),
            "assetExportOptions",
            "featureViewExportOptions",
            "bigqueryExportOptions",
        ];
        if !option_fields.into_iter().any(has_destination) {
            return Err(Error::invalid_request(
                "the export has no destination",
                "Call .to_asset(…), .to_cloud_storage(…) or .to_drive(…).",
            ));
        }
        Ok(self.body)
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
        let table = json!({"bigqueryDestination": {"table": "p.d.t"}});
        let export = export.option("bigqueryExportOptions", table);
        assert!(export.into_body().is_ok());
    }
}
