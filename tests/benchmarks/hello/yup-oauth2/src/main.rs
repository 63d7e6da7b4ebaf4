//! The smallest program with yup-oauth2: prints a service account's token.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::var("GOOGLE_APPLICATION_CREDENTIALS")?;
    let key = yup_oauth2::read_service_account_key(path).await?;
    let authenticator = yup_oauth2::ServiceAccountAuthenticator::builder(key)
        .build()
        .await?;
    let scopes = ["https://www.googleapis.com/auth/earthengine"];
    println!(
        "{}",
        authenticator
            .token(&scopes)
            .await?
            .token()
            .unwrap_or_default()
    );
    Ok(())
}
