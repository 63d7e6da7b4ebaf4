//! Tests a program's own function without an account and without a network.
//!
//! ```text
//! cargo run -p earthengine --example test_with_emulator
//! ```
//!
//! In a program, `main` is a `#[tokio::test]`, and `ee-emulator` a dev-dependency.

#![allow(clippy::print_stdout, reason = "prints what it has tested")]

use std::error::Error;

use earthengine::{EarthEngine, Endpoints};
use ee_emulator::{Emulator, Fault, Project};
use serde_json::{Value, json};

/// The function to test.
async fn mean_ndvi(ee: &EarthEngine, expression: &Value) -> Result<f64, earthengine::Error> {
    let means: Value = ee.compute(expression).await?;
    Ok(means["NDVI"].as_f64().unwrap_or(f64::NAN) * 0.0001)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let project = Project::new("my-project");
    let emulator = Emulator::builder().project(project).start().await?;
    let user = emulator.create_user("jane@example.com");
    let ee = EarthEngine::builder()
        .isolated()
        .endpoints(Endpoints::emulator(emulator.address())?)
        .credentials_json(user.earthengine_file_json(Some("my-project")))
        .connect()
        .await?;

    // The emulator computes numbers, texts, lists and dictionaries. What it cannot compute is
    // scripted: here a server that is busy first.
    let host = "earthengine.googleapis.com";
    emulator.fault(host, Fault::status(503));
    emulator.fault(
        host,
        Fault::status(200).json(&json!({"result": {"NDVI": 6180.0}})),
    );
    emulator.clear_requests();
    let expression = json!({"result": "0", "values": {"0": {"constantValue": null}}});
    let mean = mean_ndvi(&ee, &expression).await?;
    assert!((mean - 0.618).abs() < 1e-9);

    // Every request is recorded.
    assert_eq!(emulator.requests().len(), 2);
    println!("mean NDVI {mean:.3} after a retry");
    Ok(())
}
