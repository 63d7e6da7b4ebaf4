//! The typed calls against the emulator: their results, and their behavior when requests fail.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed step is a failed test"
)]

mod assets;
mod batch;
mod documented;
mod every_call;
mod images;
mod imports;
mod known;
mod operations;
mod paging;
mod parsers;
mod responses;
mod shapes;
mod strictness;
mod tables;

use std::time::Duration;

use earthengine::{EarthEngine, Endpoints, RetryPolicy};
use ee_emulator::{Emulator, Project};
use serde_json::{Value, json};

const PROJECT: &str = "ee-demo-project";
const ROBOT: &str = "robot@ee-demo-project.iam.gserviceaccount.com";
const EARTHENGINE: &str = "earthengine.googleapis.com";

/// An emulator and a connected client.
async fn connected() -> (Emulator, EarthEngine) {
    let emulator = Emulator::builder()
        .project(Project::new(PROJECT))
        .start()
        .await
        .unwrap();
    let key = emulator.create_service_account(ROBOT, PROJECT).json_key();
    let ee = EarthEngine::builder()
        .isolated()
        .endpoints(Endpoints::emulator(emulator.address()).unwrap())
        .credentials_json(key)
        .connect()
        .await
        .unwrap();
    (emulator, ee)
}

/// Returns the client with a minimal backoff.
fn quick(ee: &EarthEngine) -> earthengine::rest::Client {
    let retry = RetryPolicy {
        max_retries: 3,
        initial_backoff: Duration::from_millis(1),
        max_backoff: Duration::from_millis(2),
        max_elapsed: Duration::from_secs(60),
    };
    ee.client()
        .to_builder()
        .retry_policy(retry)
        .build()
        .unwrap()
}

fn constant(value: impl Into<Value>) -> Value {
    json!({"result": "0", "values": {"0": {"constantValue": value.into()}}})
}
