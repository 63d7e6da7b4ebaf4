//! The smallest program with this workspace's library: prints a self-signed JWT.

use earthengine::EarthEngine;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), earthengine::Error> {
    let builder = EarthEngine::builder().self_signed_jwt(true);
    let found = builder.find_credentials().await?;
    println!("{}", found.credentials.token().await?.secret());
    Ok(())
}
