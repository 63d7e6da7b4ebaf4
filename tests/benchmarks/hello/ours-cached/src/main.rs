//! Like `hello-ours-init`, with the disk cache.

use earthengine::EarthEngine;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), earthengine::Error> {
    let ee = EarthEngine::builder().disk_cache(true).connect().await?;
    println!("{}", ee.project().id);
    Ok(())
}
