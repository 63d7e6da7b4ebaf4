//! Fetches a token from the metadata server with a single reqwest call, as most programs would.

use serde_json::Value;

/// The URL that this workspace's client requests, with scopes.
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
