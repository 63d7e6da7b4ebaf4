//! Creates a map layer of the world's elevation and downloads one of its tiles.
//!
//! ```text
//! cargo run -p earthengine --example map_tiles
//! ```

#![allow(clippy::print_stdout, reason = "prints the URL of the tiles")]

use earthengine::EarthEngine;
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), earthengine::Error> {
    let ee = EarthEngine::builder().connect().await?;
    // In Python: ee.Image("CGIAR/SRTM90_V4")
    let elevation = json!({"result": "0", "values": {"0": {"functionInvocationValue": {
        "functionName": "Image.load",
        "arguments": {"id": {"constantValue": "CGIAR/SRTM90_V4"}},
    }}}});
    let map = ee
        .client()
        .map(&elevation)
        .visualization(json!({
            "ranges": [{"min": 0, "max": 4000}],
            "paletteColors": ["#006600", "#ffffcc", "#664400", "#ffffff"],
        }))
        .create()
        .await?;

    // For a map library such as Leaflet or MapLibre. Its requests need the access token, so a web
    // application fetches the tiles for its visitors, as below.
    println!("{}", map.url_template());

    // Zoom, column and row.
    let bytes = map.tile(5, 17, 11)?.save("tile.png").await?;
    println!("tile.png: {bytes} bytes");
    Ok(())
}
