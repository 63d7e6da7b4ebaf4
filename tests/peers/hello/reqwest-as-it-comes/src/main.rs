//! A metadata server's token by one call of reqwest, as everybody would write it.

use serde_json::Value;

/// What ours asks for, scopes and all.
const PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/token?scopes=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fearthengine%2Chttps%3A%2F%2Fwww.googleapis.com%2Fauth%2Fcloud-platform";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = std::env::var("GCE_METADATA_HOST")?;
    let reply = reqwest::Client::new()
        .get(format!("http://{server}{PATH}"))
        .header("metadata-flavor", "Google")
        .send()
        .await?
        .error_for_status()?;
    let token: Value = serde_json::from_slice(&reply.bytes().await?)?;
    println!("{}", token["access_token"].as_str().unwrap_or_default());
    Ok(())
}
