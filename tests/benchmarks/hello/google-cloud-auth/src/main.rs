//! The smallest program with google-cloud-auth: prints the header with a self-signed JWT.

use google_cloud_auth::credentials::{Builder, CacheableResource};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let credentials = Builder::default()
        .with_scopes(["https://www.googleapis.com/auth/earthengine"])
        .build()?;
    if let CacheableResource::New { data, .. } =
        credentials.headers(http::Extensions::new()).await?
    {
        println!("{}", data["authorization"].to_str()?);
    }
    Ok(())
}
