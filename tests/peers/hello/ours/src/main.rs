//! The smallest program on our library: prints a token that a service account signs itself.

use earthengine::EarthEngine;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), earthengine::Error> {
    let builder = EarthEngine::builder().self_signed_jwt(true);
    let found = builder.find_credentials().await?;
    println!("{}", found.credentials.token().await?.secret());
    Ok(())
}
