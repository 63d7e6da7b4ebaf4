//! Downloads the elevation of a region in the Alps as a GeoTIFF.
//!
//! ```text
//! cargo run -p earthengine --example download_geotiff [elevation.tif]
//! ```
//!
//! A download has at most 48 MB; larger images are exported, see `export_and_wait`.

#![allow(clippy::print_stdout, reason = "prints the size of the file")]

use earthengine::{EarthEngine, ImageFormat, PixelGrid};

#[tokio::main]
async fn main() -> Result<(), earthengine::Error> {
    let path = std::env::args().nth(1);
    let path = path.as_deref().unwrap_or("elevation.tif");

    let ee = EarthEngine::builder().connect().await?;
    // 400 × 400 pixels of 0.0025 degrees: one degree to the east and to the south.
    let grid = PixelGrid::degrees(11.0, 47.5, 0.0025, 400, 400);
    let bytes = ee
        .client()
        .get_pixels("CGIAR/SRTM90_V4")
        .bands(&["elevation"])
        .format(ImageFormat::GeoTiff)
        .grid(&grid)
        .save(path)
        .await?;
    println!("{path}: {bytes} bytes");
    Ok(())
}
