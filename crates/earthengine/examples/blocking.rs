//! Uses the client without async, in a program without a runtime.
//!
//! ```text
//! cargo run -p earthengine --features blocking --example blocking
//! ```

#![allow(clippy::print_stdout, reason = "prints the results")]

use earthengine::{EarthEngine, blocking};
use serde_json::json;

fn main() -> Result<(), earthengine::Error> {
    let ee = blocking::connect(EarthEngine::builder())?;

    // In Python: ee.Number(1).add(2)
    let sum: i64 = ee.compute(&json!({"result": "0", "values": {"0": {
        "functionInvocationValue": {
            "functionName": "Number.add",
            "arguments": {"left": {"constantValue": 1}, "right": {"constantValue": 2}},
        },
    }}}))?;
    println!("1 + 2 = {sum}");

    // Calls without a blocking version.
    let id = "CGIAR/SRTM90_V4";
    let image = blocking::block_on(ee.as_async().assets().get(id))?;
    println!("{} is an {}", image.id, image.kind);
    Ok(())
}
