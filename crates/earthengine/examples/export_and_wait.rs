//! Exports an image to Cloud Storage and waits until the export ends.
//!
//! ```text
//! cargo run -p earthengine --example export_and_wait my-bucket
//! ```

#![allow(clippy::print_stdout, reason = "prints the progress")]

use std::error::Error;
use std::time::Duration;

use earthengine::{EarthEngine, Export, PixelGrid};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let bucket = std::env::args().nth(1).ok_or("name a bucket")?;
    let ee = EarthEngine::builder().connect().await?;

    let elevation = json!({"result": "0", "values": {"0": {"functionInvocationValue": {
        "functionName": "Image.load",
        "arguments": {"id": {"constantValue": "CGIAR/SRTM90_V4"}},
    }}}});
    let export = Export::image(&elevation)
        .description("elevation of the Alps")
        .grid(&PixelGrid::degrees(5.0, 48.0, 0.001, 10_000, 4_000))
        .to_cloud_storage(&bucket, "alps");
    // If the response is lost, the request is sent again and still starts only one export.
    let started = ee.export(export).await?;

    let ended = ee
        .operations()
        .wait(&started.name)
        .poll_interval(Duration::from_millis(500), Duration::from_secs(30))
        .on_progress(|operation| println!("{}", operation.state()))
        .await?; // A failed export is an error with the server's message.
    for uri in ended.metadata.destination_uris {
        println!("{uri}");
    }
    Ok(())
}
