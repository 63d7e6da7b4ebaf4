//! Typed methods for the most common calls.

pub(crate) mod asset_name;
pub(crate) mod operation;
pub(crate) mod operations;
pub(crate) mod project_config;

mod algorithms;
mod assets;
mod compute;
mod download;
mod exports;
mod features;
mod iam;
mod images;
mod imports;
mod lenient;
mod maps;
mod pixels;
mod tables;
mod thumbnails;

pub use crate::api::project_config::{
    ExportLimit, ProjectConfig, ProjectRegistration, Registration,
};
pub use crate::pages::list::ListRequest;
pub use algorithms::{Algorithm, AlgorithmArgument};
pub use assets::{Asset, AssetUpdate, Assets};
pub use download::Download;
pub use exports::{Export, ExportKind};
pub use iam::{IamBinding, IamPolicy};
pub use images::{
    ImageFormat, MapRequest, PixelGrid, PixelsRequest, ThumbnailKind, ThumbnailRequest,
};
pub use imports::ImportRequest;
pub use maps::MapTiles;
#[cfg(fuzzing)]
pub(crate) use maps::route_of;
pub use tables::{FeatureViewRequest, Table, TableRequest};
pub use thumbnails::Thumbnail;
