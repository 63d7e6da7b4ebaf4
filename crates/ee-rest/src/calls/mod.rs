//! The calls that nearly every program makes, with types.

mod algorithms;
mod assets;
mod config;
mod download;
mod exports;
mod features;
mod iam;
mod images;
mod listing;
mod maps;
mod pixels;
mod thumbnails;

pub use algorithms::{Algorithm, AlgorithmArgument};
pub use assets::{Asset, AssetUpdate, Assets};
pub use config::ProjectConfig;
pub use download::Download;
pub use exports::{Export, ExportKind};
pub use iam::{Binding, Policy};
pub use images::{ImageFormat, ImageRequest, ToMap, ToPixels, ToThumbnail};
pub use listing::Listing;
pub use maps::EarthEngineMap;
#[cfg(fuzzing)]
pub(crate) use maps::route_of;
pub use pixels::PixelGrid;
pub use thumbnails::{Thumbnail, ThumbnailKind};
