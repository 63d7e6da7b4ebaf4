//! Lists the assets of the project, or of a folder or collection.
//!
//! ```text
//! cargo run -p earthengine --example list_assets [projects/my-project/assets/folder]
//! ```

#![allow(clippy::print_stdout, reason = "prints the list")]

use earthengine::EarthEngine;

#[tokio::main]
async fn main() -> Result<(), earthengine::Error> {
    let ee = EarthEngine::builder().connect().await?;
    let parent = match std::env::args().nth(1) {
        Some(parent) => parent,
        None => format!("projects/{}/assets", ee.project().id),
    };
    // Pages are fetched while the loop runs, so a long list needs little memory.
    let mut assets = ee.assets().list(&parent).items();
    while let Some(asset) = assets.next().await {
        let asset = asset?;
        println!("{:<16} {}", asset.kind, asset.name);
    }
    Ok(())
}
