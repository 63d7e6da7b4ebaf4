//! The smallest program with gcp_auth: prints a token.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), gcp_auth::Error> {
    let provider = gcp_auth::provider().await?;
    let scopes = ["https://www.googleapis.com/auth/earthengine"];
    println!("{}", provider.token(&scopes).await?.as_str());
    Ok(())
}
