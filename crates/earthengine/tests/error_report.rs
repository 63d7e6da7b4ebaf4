//! Tests what a program prints whose `main` returns an error. The test starts itself as that
//! program, so it has a `main` instead of the test harness.
#![allow(clippy::unwrap_used)]

use std::process::Command;

use earthengine::{EarthEngine, Endpoints, Error};
use ee_emulator::{Emulator, Project};

const PROJECT: &str = "my-project";
const ADDRESS: &str = "ERROR_REPORT_EMULATOR";
const LOGIN: &str = "ERROR_REPORT_LOGIN";

#[tokio::main]
async fn main() -> Result<(), Error> {
    match (std::env::var(ADDRESS), std::env::var(LOGIN)) {
        (Ok(address), Ok(login)) => program(&address, login).await,
        _ => {
            returned_error_prints_message_remedy_command_and_url().await;
            Ok(())
        }
    }
}

async fn program(address: &str, login: String) -> Result<(), Error> {
    EarthEngine::builder()
        .isolated()
        .endpoints(Endpoints::emulator(address.parse().unwrap())?)
        .credentials_json(login)
        .project(PROJECT)
        .connect()
        .await?;
    Ok(())
}

async fn returned_error_prints_message_remedy_command_and_url() {
    let emulator = Emulator::builder()
        .project(Project::new(PROJECT).api_enabled(false))
        .start()
        .await
        .unwrap();
    let jane = emulator.create_user("jane@example.com");
    let login = jane.earthengine_file_json(None);
    let output = Command::new(std::env::current_exe().unwrap())
        .env(ADDRESS, emulator.address().to_string())
        .env(LOGIN, &login)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = stderr.lines().collect();
    assert_eq!(lines.len(), 5, "{stderr}");
    assert_eq!(
        lines[0],
        "Error: the Earth Engine API is not enabled in project my-project (from the project option)"
    );
    assert!(lines[1].starts_with("server message: "), "{stderr}");
    assert_eq!(
        lines[2..],
        [
            "hint: Enable the API. The change takes a few minutes to propagate.",
            "    gcloud services enable earthengine.googleapis.com --project=my-project",
            "    https://console.cloud.google.com/apis/library/earthengine.googleapis.com?project=my-project",
        ]
    );
}
