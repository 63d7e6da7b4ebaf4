//! The types of an [`Export`](crate::Export): what is exported, and where to.

use crate::api::known::{IMAGE_FORMATS, TABLE_FORMATS, VIDEO_FORMATS};

mod sealed {
    pub trait Sealed {}
}

use sealed::Sealed;

/// What is exported.
pub trait Kind: Sealed {
    /// The path of the method.
    #[doc(hidden)]
    const PATH: &'static str;
}

/// What can become an asset.
pub trait AssetKind: Kind {}

/// What can be written to files.
pub trait FileKind: Kind {
    /// The request field with the file options.
    #[doc(hidden)]
    const FILE_OPTIONS: &'static str = "fileExportOptions";
    /// The file formats. The first one is the default.
    #[doc(hidden)]
    const FORMATS: &'static [&'static str];
}

/// Where the result is stored.
pub trait Destination: Sealed {}

macro_rules! types {
    ($($(#[$docs:meta])* $name:ident)*) => {$(
        $(#[$docs])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {}

        impl Sealed for $name {}
    )*};
}

types! {
    /// An image.
    Image
    /// A table of features.
    Table
    /// A collection of images as a video.
    Video
    /// An image as a pyramid of map tiles.
    Map
    /// A trained classifier.
    Classifier
    /// No destination yet.
    NoDestination
    /// An asset.
    Asset
    /// Files in Cloud Storage or Google Drive.
    Files
    /// A feature view.
    FeatureView
    /// A BigQuery table.
    BigQuery
}

impl Kind for Image {
    const PATH: &'static str = "image:export";
}

impl Kind for Table {
    const PATH: &'static str = "table:export";
}

impl Kind for Video {
    const PATH: &'static str = "video:export";
}

impl Kind for Map {
    const PATH: &'static str = "map:export";
}

impl Kind for Classifier {
    const PATH: &'static str = "classifier:export";
}

impl AssetKind for Image {}
impl AssetKind for Table {}
impl AssetKind for Classifier {}

impl FileKind for Image {
    const FORMATS: &'static [&'static str] = IMAGE_FORMATS;
}

impl FileKind for Table {
    const FORMATS: &'static [&'static str] = TABLE_FORMATS;
}

impl FileKind for Video {
    const FORMATS: &'static [&'static str] = VIDEO_FORMATS;
}

impl FileKind for Map {
    const FILE_OPTIONS: &'static str = "tileExportOptions";
    const FORMATS: &'static [&'static str] = &["AUTO_JPEG_PNG", "JPEG", "PNG"];
}

impl Destination for Asset {}
impl Destination for Files {}
impl Destination for FeatureView {}
impl Destination for BigQuery {}
