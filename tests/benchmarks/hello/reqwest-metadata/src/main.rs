//! The lower bound for a token of the metadata server: one request with bare reqwest, and the
//! token, printed. No search, checks, timeouts or retries.

use std::sync::Arc;

use serde_json::Value;

/// The URL that this workspace's client requests, with scopes.
const PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/token?scopes=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fearthengine%2Chttps%3A%2F%2Fwww.googleapis.com%2Fauth%2Fcloud-platform";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = std::env::var("GCE_METADATA_HOST")?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        // Without TLS, because loading certificates takes time.
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .build()?;
    let reply = client
        .get(format!("http://{server}{PATH}"))
        .header("metadata-flavor", "Google")
        .send()
        .await?
        .error_for_status()?;
    let token: Value = serde_json::from_slice(&reply.bytes().await?)?;
    println!("{}", token["access_token"].as_str().unwrap_or_default());
    Ok(())
}
