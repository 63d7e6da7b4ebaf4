//! Serves several users at once, each with their own login and project.
//!
//! ```text
//! cargo run -p earthengine --example many_users jane.json bob.json
//! ```
//!
//! Each file is a login as `eectl auth login` writes it. A server would read them from its database;
//! the example `web_app` shows how users log in.

#![allow(clippy::print_stdout, reason = "prints the results")]

use std::error::Error;
use std::fs;

use earthengine::{EarthEngine, Endpoints, Environment};
use serde_json::json;
use tokio::task::JoinSet;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Google's hosts, or the emulator's if EARTHENGINE_EMULATOR_HOST is set.
    let endpoints = Environment::current().endpoints()?;
    let mut users = JoinSet::new();
    for path in std::env::args().skip(1) {
        let login = fs::read_to_string(&path)?;
        let endpoints = endpoints.clone();
        users.spawn(async move { (path, serve(login, endpoints).await) });
    }
    let mut lines = Vec::new();
    while let Some(user) = users.join_next().await {
        // One user's error does not affect the others.
        lines.push(match user? {
            (path, Ok(project)) => format!("{path}: connected to {project}"),
            (path, Err(error)) => format!("{path}: {error}\n  hint: {}", error.remedy()),
        });
    }
    lines.sort();
    println!("{}", lines.join("\n"));
    Ok(())
}

/// Connects as a user, and returns the project.
async fn serve(login: String, endpoints: Endpoints) -> Result<String, earthengine::Error> {
    let ee = EarthEngine::builder()
        .isolated() // Ignores the server's own credentials and project.
        .endpoints(endpoints)
        .credentials_json(login)
        .connect()
        .await?;
    let expression = json!({"result": "0", "values": {"0": {"constantValue": 3}}});
    let _three: i64 = ee.compute(&expression).await?;
    Ok(ee.project().id.to_string())
}
