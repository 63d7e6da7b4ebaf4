//! Connects with the key of a service account, as a server outside of Google Cloud does.
//!
//! ```text
//! cargo run -p earthengine --example service_account key.json
//! ```
//!
//! A program that may run anywhere names no file: it finds the key in
//! `GOOGLE_APPLICATION_CREDENTIALS`, and needs none on Google Cloud.

#![allow(clippy::print_stdout, reason = "prints the account and the project")]

use std::error::Error;

use earthengine::EarthEngine;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let key = std::env::args().nth(1).ok_or("name a key file")?;
    let ee = EarthEngine::builder()
        // For a key from a secret store: .credentials_json(text)
        .credentials_file(key)
        // The key names its project. Another one: .project("my-project")
        .connect()
        .await?;
    println!(
        "{} uses {} ({})",
        ee.credentials().principal().unwrap_or("unknown account"),
        ee.project().id,
        ee.registration()
    );
    Ok(())
}
