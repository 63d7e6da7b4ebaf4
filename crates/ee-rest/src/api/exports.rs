//! Exports: computations whose results are kept.

use http::Method;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::api::assets::asset;
use crate::{Client, Error, ErrorKind, Operation};

/// What is exported.
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

    /// The format of its files if nothing is said; none where it never goes to files.
    fn default_format(self) -> Option<&'static str> {
        match self {
            Self::Image => Some("GEO_TIFF"),
            Self::Table => Some("CSV"),
            Self::Video => Some("MP4"),
            Self::Map => Some("AUTO_JPEG_PNG"),
            Self::Classifier => None,
        }
    }

    /// The field that says how files are written.
    fn file_options(self) -> &'static str {
        match self {
            Self::Map => "tileExportOptions",
            _ => "fileExportOptions",
        }
    }
}

/// An export that is about to be started, by [`Client::export`].
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
    mistake: Option<Error>,
}

impl Export {
    /// An export of what this expression (`{"result": …, "values": {…}}`) amounts to.
    pub fn new(kind: ExportKind, expression: &(impl Serialize + ?Sized)) -> Self {
        Self {
            kind,
            body: Map::new(),
            mistake: None,
        }
        .option("expression", expression)
    }

    /// What the task list calls it.
    pub fn description(self, description: &str) -> Self {
        self.option("description", description)
    }

    /// Writes files to a bucket of Cloud Storage, with names that begin so.
    pub fn to_cloud_storage(self, bucket: &str, prefix: &str) -> Self {
        let to = json!({"bucket": bucket, "filenamePrefix": prefix});
        self.file_option("cloudStorageDestination", to)
    }

    /// Writes files to a folder of the caller's Drive, with names that begin so.
    pub fn to_drive(self, folder: &str, prefix: &str) -> Self {
        let to = json!({"folder": folder, "filenamePrefix": prefix});
        self.file_option("driveDestination", to)
    }

    /// Makes an asset.
    pub fn to_asset(mut self, id: &str) -> Self {
        match asset(id) {
            Ok(name) => {
                let to = json!({"earthEngineDestination": {"name": name.as_str()}});
                self.option("assetExportOptions", to)
            }
            Err(error) => {
                self.mistake.get_or_insert(error);
                self
            }
        }
    }

    /// The format of the files, in the API's words: `GEO_TIFF`, `CSV`, `MP4`, `PNG`, …; these
    /// if nothing is said (for a map `AUTO_JPEG_PNG`).
    pub fn file_format(self, format: &str) -> Self {
        self.file_option("fileFormat", json!(format))
    }

    /// The id by which the server knows the repetition of a request: two exports with the
    /// same id are one. Without it, each call of [`Client::export`] has an id of its own that
    /// its retries share. Give one that you keep, to make sure that a program that was
    /// interrupted starts no second task.
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
                let message = format!("`{name}` of the export cannot be written as JSON");
                let mistake = Error::new(ErrorKind::InvalidRequest, message).with_source(error);
                self.mistake.get_or_insert(mistake);
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

    /// The request's body.
    fn checked(self) -> Result<Map<String, Value>, Error> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        // A format alone leads nowhere.
        let to = |field: &str| {
            let options = self.body.get(field).and_then(Value::as_object);
            options.is_some_and(|options| options.keys().any(|key| key.ends_with("Destination")))
        };
        let somewhere = [
            self.kind.file_options(),
            "assetExportOptions",
            "featureViewExportOptions",
            "bigqueryExportOptions",
        ];
        if !somewhere.into_iter().any(to) {
            return Err(
                Error::new(ErrorKind::InvalidRequest, "the export has no destination").with_remedy(
                    ee_token::Remedy::new(
                        "Say .to_asset(…), .to_cloud_storage(…) or .to_drive(…).",
                    ),
                ),
            );
        }
        Ok(self.body)
    }
}

impl Client {
    /// Starts an export. It carries a `requestId` that is made once, so that however often
    /// it must be sent, it starts one task.
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
    /// [`ErrorKind::InvalidRequest`] for an export without a destination or with one that is
    /// no asset's id; else as [`Client::post_json`].
    pub async fn export(&self, export: Export) -> Result<Operation, Error> {
        let path = export.kind.path();
        let body = export.checked()?;
        let request = self.request(Method::POST, path).json(&body);
        request.send().await?.json()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_export_says_where_its_files_go() {
        for (kind, field, format) in [
            (ExportKind::Image, "fileExportOptions", "GEO_TIFF"),
            (ExportKind::Table, "fileExportOptions", "CSV"),
            (ExportKind::Video, "fileExportOptions", "MP4"),
            (ExportKind::Map, "tileExportOptions", "AUTO_JPEG_PNG"),
        ] {
            let export = Export::new(kind, &json!({})).to_cloud_storage("b", "p");
            let body = export.checked().unwrap();
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
            table.checked().unwrap()["fileExportOptions"]["fileFormat"],
            "SHP"
        );
    }

    #[test]
    fn an_export_without_a_destination_or_with_a_bad_one_is_not_started() {
        let export = Export::new(ExportKind::Image, &json!({}));
        for nowhere in [
            export.clone(),
            export.clone().file_format("PNG"),
            export.clone().option("assetExportOptions", json!({})),
            export.clone().option("fileExportOptions", ()),
        ] {
            let error = nowhere.checked().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest);
            assert!(error.remedy().is_some());
        }
        for bad in [
            "a:b",
            "projects/my-project/assets",
            "projects/my-project/assets/",
        ] {
            let error = export.clone().to_asset(bad).checked().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{bad}");
        }
        let table = json!({"bigqueryDestination": {"table": "p.d.t"}});
        let export = export.option("bigqueryExportOptions", table);
        assert!(export.checked().is_ok());
    }
}
