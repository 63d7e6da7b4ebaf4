//! The smallest program on our library: `token` prints a token that a service account signs
//! itself, `init` connects and prints the project.

use earthengine::EarthEngine;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), earthengine::Error> {
    match std::env::args().nth(1).as_deref() {
        Some("init") => {
            let ee = EarthEngine::builder().connect().await?;
            println!("{}", ee.project().id);
        }
        _ => {
            let builder = EarthEngine::builder().self_signed_jwt(true);
            let found = builder.find_credentials().await?;
            println!("{}", found.credentials.token().await?.secret());
        }
    }
    Ok(())
}
