//! The types of an [`Export`](crate::Export): what is exported, and where to.

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
    /// The default file format.
    #[doc(hidden)]
    const FORMAT: &'static str;
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
    /// A feature view or a BigQuery table.
    Other
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
    const FORMAT: &'static str = "GEO_TIFF";
}

impl FileKind for Table {
    const FORMAT: &'static str = "CSV";
}

impl FileKind for Video {
    const FORMAT: &'static str = "MP4";
}

impl FileKind for Map {
    const FILE_OPTIONS: &'static str = "tileExportOptions";
    const FORMAT: &'static str = "AUTO_JPEG_PNG";
}

impl Destination for Asset {}
impl Destination for Files {}
impl Destination for Other {}
