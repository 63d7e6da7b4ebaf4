//! Connects a verified client with a credential; prints the project.

use earthengine::EarthEngine;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), earthengine::Error> {
    let ee = EarthEngine::builder().connect().await?;
    println!("{}", ee.project().id);
    Ok(())
}
