//! The calls that nearly every program makes, with types.

pub(crate) mod asset_name;
pub(crate) mod operations;
pub(crate) mod project_config;

mod algorithms;
mod assets;
mod download;
mod exports;
mod features;
mod iam;
mod images;
mod maps;
mod pixels;
mod thumbnails;

pub use crate::api::project_config::ProjectConfig;
pub use crate::pages::list::ListRequest;
pub use algorithms::{Algorithm, AlgorithmArgument};
pub use assets::{Asset, AssetUpdate, Assets};
pub use download::Download;
pub use exports::{Export, ExportKind};
pub use iam::{IamBinding, IamPolicy};
pub use images::{ImageFormat, ImageRequest, ToMap, ToPixels, ToThumbnail};
pub use maps::MapTiles;
#[cfg(fuzzing)]
pub(crate) use maps::route_of;
pub use pixels::PixelGrid;
pub use thumbnails::{Thumbnail, ThumbnailKind};
