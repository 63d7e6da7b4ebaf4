//! Computes the mean NDVI (vegetation index) of a region in the Alps in the summer of 2024.
//!
//! ```text
//! eectl auth login && eectl project select    # once
//! cargo run -p earthengine --example quickstart
//! ```
//!
//! The emulator has no satellite data and cannot compute this; the test of this example scripts
//! its response.

#![allow(clippy::print_stdout, reason = "prints the result")]

use earthengine::EarthEngine;
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), earthengine::Error> {
    // The credentials and the project come from the environment, as in the Python client.
    let ee = EarthEngine::builder().connect().await?;

    // In Python: image.reduceRegion(ee.Reducer.mean(), region, scale=1000)
    let image = call(
        "Image.load",
        json!({"id": constant("MODIS/061/MOD13A2/2024_06_25")}),
    );
    let ring = [[11.0, 46.5], [12.0, 46.5], [12.0, 47.5], [11.0, 47.5]];
    let region = call(
        "GeometryConstructors.Polygon",
        json!({"coordinates": constant([ring])}),
    );
    let mean = call(
        "Image.reduceRegion",
        json!({
            "image": image,
            "reducer": call("Reducer.mean", json!({})),
            "geometry": region,
            "scale": constant(1000),
        }),
    );
    let means: Value = ee
        .compute(&json!({"result": "0", "values": {"0": mean}}))
        .await?;

    // In units of 0.0001; null if the region has no valid pixel.
    match means["NDVI"].as_f64() {
        Some(ndvi) => println!("mean NDVI: {:.3}", ndvi * 0.0001),
        None => println!("no valid pixel in the region"),
    }
    Ok(())
}

/// Returns the call of an Earth Engine function, as a node of an expression.
fn call(function: &str, arguments: Value) -> Value {
    json!({"functionInvocationValue": {"functionName": function, "arguments": arguments}})
}

fn constant(value: impl Into<Value>) -> Value {
    json!({"constantValue": value.into()})
}
