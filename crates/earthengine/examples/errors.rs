//! Handles errors: by kind in the program, and with the remedy for the user.
//!
//! ```text
//! cargo run -p earthengine --example errors
//! ```

#![allow(clippy::print_stdout, reason = "prints the errors")]

use earthengine::{EarthEngine, Error, ErrorKind};

#[tokio::main]
async fn main() {
    if let Err(error) = run().await {
        println!("error: {error}");
        // The server's own words, which an explanation never replaces.
        if let Some(message) = error.server_message() {
            println!("server message: {message}");
        }
        // A sentence, and a command or a page if there is one. Every error has a remedy.
        println!("hint: {}", error.remedy());
        println!("code: {}", error.kind().code());
    }
    // A `main` that returns the error prints the same.
}

async fn run() -> Result<(), Error> {
    let ee = EarthEngine::builder().connect().await?;
    let id = format!("projects/{}/assets/no-such-asset", ee.project().id);
    match ee.assets().get(&id).await.map_err(Error::from) {
        Ok(asset) => println!("found {}", asset.name),
        Err(error) if error.kind() == ErrorKind::NotFound => println!("not found: {id}"),
        // Has been retried already. A job can be scheduled again.
        Err(error) if error.is_transient() => println!("try later: {error}"),
        Err(error) => return Err(error),
    }
    // Not handled here, so `main` prints it.
    let other = EarthEngine::builder()
        .project("other-project")
        .connect()
        .await?;
    println!("connected to {}", other.project().id);
    Ok(())
}
