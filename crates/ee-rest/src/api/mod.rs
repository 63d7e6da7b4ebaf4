//! Typed methods for the most common calls.

pub(crate) mod asset_name;
pub(crate) mod operation;
pub(crate) mod operations;
pub(crate) mod project_config;

mod algorithms;
mod asset_update;
mod assets;
mod compute;
mod download;
mod export_checks;
pub mod export_types;
mod exports;
mod expression;
mod extent;
mod features;
mod iam;
mod images;
mod imports;
mod known;
mod lenient;
mod maps;
mod pixels;
mod tables;
mod thumbnails;

pub use crate::api::project_config::{
    ExportLimit, ProjectConfig, ProjectRegistration, Registration,
};
pub use crate::pages::list::{ComputedListRequest, ListRequest};
pub use algorithms::{Algorithm, AlgorithmArgument};
pub use asset_update::AssetUpdate;
pub use assets::{Asset, Assets};
pub use download::Download;
pub use exports::Export;
pub use iam::{IamBinding, IamPolicy};
pub use images::{ImageFormat, PixelGrid};
pub use imports::ImportRequest;
#[cfg(fuzzing)]
pub(crate) use maps::route_of;
pub use maps::{MapRequest, MapTiles};
pub use pixels::{ComputePixelsRequest, GetPixelsRequest};
pub use tables::{FeatureViewRequest, Table, TableRequest};
pub use thumbnails::{FilmstripRequest, Thumbnail, ThumbnailRequest, VideoThumbnailRequest};
