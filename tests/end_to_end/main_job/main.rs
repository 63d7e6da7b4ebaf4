//! The main job through the facade: credentials, token, project, verified client, requests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed step is a failed test"
)]

mod blocking;
mod builder;
mod recovery;
mod scopes;
mod verification;

use earthengine::{Credentials, EarthEngine, EarthEngineBuilder, Endpoints};
use ee_emulator::{Emulator, EmulatorBuilder, Project};
use serde_json::{Value, json};

const PROJECT: &str = "ee-demo-project";
const ROBOT: &str = "robot@ee-demo-project.iam.gserviceaccount.com";

async fn emulator() -> Emulator {
    emulator_with(|builder| builder).await
}

async fn emulator_with(settings: impl FnOnce(EmulatorBuilder) -> EmulatorBuilder) -> Emulator {
    let builder = Emulator::builder().project(Project::new(PROJECT));
    settings(builder).start().await.unwrap()
}

/// Returns a builder that uses only the emulator.
fn isolated(emulator: &Emulator) -> EarthEngineBuilder {
    EarthEngine::builder()
        .isolated()
        .endpoints(Endpoints::emulator(emulator.address()).unwrap())
}

/// Returns the same with a service account key.
fn robot(emulator: &Emulator) -> EarthEngineBuilder {
    let key = emulator.create_service_account(ROBOT, PROJECT).json_key();
    isolated(emulator).credentials_json(key)
}

fn constant(value: i64) -> Value {
    json!({"result": "0", "values": {"0": {"constantValue": value}}})
}
