//! The arguments of `eectl upload`, which are named as in Google's `earthengine` command.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(crate) struct Upload {
    #[command(subcommand)]
    pub(crate) what: UploadCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UploadCommand {
    /// Import GeoTIFF or TFRecord files in Cloud Storage as an image
    Image(ImportImage),
    /// Import a CSV file, TFRecord file or shapefile in Cloud Storage as a table
    Table(ImportTable),
    /// Create an image whose pixels stay in Cloud Storage, in cloud-optimized GeoTIFFs
    #[command(alias = "external_image")]
    ExternalImage(ImportExternalImage),
}

#[derive(Debug, Args)]
pub(crate) struct ImportImage {
    #[command(flatten)]
    pub(crate) import: Import,

    #[command(flatten)]
    pub(crate) options: ImageOptions,
}

#[derive(Debug, Args)]
#[group(requires_all = ["asset_id", "uris"])]
pub(crate) struct ImageOptions {
    /// Name the bands, in the order of the files, separated by commas
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) bands: Vec<String>,

    /// Override the coordinate reference system of the files: an EPSG code or WKT
    #[arg(long, value_name = "CRS")]
    pub(crate) crs: Option<String>,

    /// Reduce pixels to lower resolutions in this way: MEAN, SAMPLE, MIN, MAX, MODE or MEDIAN; one
    /// for all bands, or one for each, separated by commas
    #[arg(
        long,
        value_name = "POLICY",
        value_delimiter = ',',
        ignore_case = true,
        value_parser = ["MEAN", "SAMPLE", "MIN", "MAX", "MODE", "MEDIAN"],
        hide_possible_values = true,
        alias = "pyramiding_policy"
    )]
    pub(crate) pyramiding_policy: Vec<String>,

    /// Mask pixels with this value; one for all bands, or one for each, separated by commas
    #[arg(
        long,
        value_name = "NUMBER",
        value_delimiter = ',',
        allow_negative_numbers = true,
        alias = "nodata_value"
    )]
    pub(crate) nodata_value: Vec<f64>,

    /// Use the last band as the mask of the others
    #[arg(long, alias = "last_band_alpha", conflicts_with = "nodata_value")]
    pub(crate) last_band_alpha: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ImportTable {
    #[command(flatten)]
    pub(crate) import: Import,

    #[command(flatten)]
    pub(crate) options: TableOptions,
}

#[derive(Debug, Args)]
#[group(requires_all = ["asset_id", "uris"])]
pub(crate) struct TableOptions {
    /// Read strings in this character set; defaults to UTF-8
    #[arg(long, value_name = "CHARSET")]
    pub(crate) charset: Option<String>,

    /// Transform geometries between coordinate systems with at most this error, in meters
    #[arg(long, value_name = "METERS", alias = "max_error")]
    pub(crate) max_error: Option<f64>,

    /// Divide geometries into parts of at most this many vertices
    #[arg(long, value_name = "N", alias = "max_vertices")]
    pub(crate) max_vertices: Option<u32>,

    /// Use this coordinate reference system for geometries without one: an EPSG code or WKT; defaults
    /// to EPSG:4326 (CSV and TFRecord)
    #[arg(long, value_name = "CRS")]
    pub(crate) crs: Option<String>,

    /// Follow the shortest path on the surface of the Earth between vertices (CSV and TFRecord)
    #[arg(long)]
    pub(crate) geodesic: bool,

    /// Use this of several geometry columns; defaults to the first (CSV and TFRecord)
    #[arg(long, value_name = "COLUMN", alias = "primary_geometry_column")]
    pub(crate) primary_geometry_column: Option<String>,

    /// Read the x coordinates of points from this column; defaults to longitude (CSV and TFRecord)
    #[arg(long, value_name = "COLUMN", alias = "x_column")]
    pub(crate) x_column: Option<String>,

    /// Read the y coordinates of points from this column; defaults to latitude (CSV and TFRecord)
    #[arg(long, value_name = "COLUMN", alias = "y_column")]
    pub(crate) y_column: Option<String>,

    /// Parse dates in this format of Joda-Time; without it, they are strings (CSV and TFRecord)
    #[arg(long, value_name = "FORMAT", alias = "date_format")]
    pub(crate) date_format: Option<String>,

    /// Separate columns at this character; defaults to a comma (CSV)
    #[arg(long, value_name = "CHAR", alias = "csv_delimiter")]
    pub(crate) csv_delimiter: Option<String>,

    /// Quote values with this character; defaults to a quotation mark (CSV)
    #[arg(long, value_name = "CHAR", alias = "csv_qualifier")]
    pub(crate) csv_qualifier: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ImportExternalImage {
    /// Read the manifest (the API's ImageManifest, in JSON) from this file, or from standard input
    /// with `-`
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) manifest: PathBuf,

    /// Replace an existing asset
    #[arg(short, long, visible_alias = "overwrite")]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The files in Cloud Storage to import, without a manifest: gs://BUCKET/FILE; one for a table
    #[arg(value_name = "URI", requires = "asset_id")]
    pub(crate) uris: Vec<String>,

    /// Read the manifest (the API's ImageManifest or TableManifest, in JSON) from this file, or from
    /// standard input with `-`
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "asset_id",
        conflicts_with_all = ["asset_id", "property", "time_start", "time_end"]
    )]
    pub(crate) manifest: Option<PathBuf>,

    /// Name the new asset, without a manifest
    #[arg(long, value_name = "ASSET", alias = "asset_id", requires = "uris")]
    pub(crate) asset_id: Option<String>,

    /// Set a property of the new asset, as in `asset set` (repeatable)
    #[arg(short, long, value_name = "[(TYPE)]NAME=VALUE")]
    pub(crate) property: Vec<String>,

    /// Set the start of the time range of the new asset, as in `asset set`
    #[arg(long, value_name = "TIME", alias = "time_start")]
    pub(crate) time_start: Option<String>,

    /// Set the end of the time range of the new asset
    #[arg(long, value_name = "TIME", alias = "time_end")]
    pub(crate) time_end: Option<String>,

    /// Replace an existing asset
    #[arg(short, long, visible_alias = "overwrite")]
    pub(crate) force: bool,

    /// Wait until the import has ended, or for this many seconds
    #[arg(short, long, value_name = "SECONDS", num_args = 0..=1)]
    pub(crate) wait: Option<Option<u64>>,

    /// Start the import at most once for this ID of letters, digits and dashes, however often the
    /// command is run; defaults to a new ID
    #[arg(long, value_name = "ID")]
    pub(crate) request_id: Option<String>,

    /// Describe the import in the list of tasks
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
}
