//! The process-wide client, for users of Python's `ee.Initialize()`.

use std::sync::{PoisonError, RwLock};

use ee_init::{EarthEngine, EarthEngineBuilder, Error, ErrorKind};
use ee_token::Remedy;

/// Not a `OnceCell`, because a program may initialize again with another project.
static CLIENT: RwLock<Option<EarthEngine>> = RwLock::new(None);
static CONNECTING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Connects and stores the client as the process-wide client, replacing an existing one.
///
/// Concurrent calls connect one after the other.
///
/// ```no_run
/// use earthengine::EarthEngine;
///
/// # async fn f() -> Result<(), earthengine::Error> {
/// earthengine::initialize(EarthEngine::builder().project("my-project")).await?;
/// // Anywhere else in the program:
/// let ee = earthengine::shared().await?;
/// # let _ = ee; Ok(()) }
/// ```
///
/// # Errors
///
/// Fails like [`EarthEngineBuilder::connect`]. An existing process-wide client is kept.
pub async fn initialize(builder: EarthEngineBuilder) -> Result<EarthEngine, Error> {
    let _guard = CONNECTING.lock().await;
    connect(builder).await
}

/// Returns the process-wide client, connecting with the default options if it does not exist.
///
/// Libraries can call this without replacing the client that the program has chosen. Concurrent
/// calls share one connection attempt.
///
/// # Errors
///
/// Fails like [`EarthEngineBuilder::connect`].
pub async fn shared() -> Result<EarthEngine, Error> {
    let _guard = CONNECTING.lock().await;
    match client() {
        Ok(client) => Ok(client),
        Err(_) => connect(EarthEngine::builder()).await,
    }
}

async fn connect(builder: EarthEngineBuilder) -> Result<EarthEngine, Error> {
    let client = builder.connect().await?;
    *CLIENT.write().unwrap_or_else(PoisonError::into_inner) = Some(client.clone());
    Ok(client)
}

/// Removes the process-wide client. Existing clones stay usable.
///
/// The next [`shared`] finds credentials and a project again, and reuses open connections.
pub fn reset() {
    *CLIENT.write().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Returns the process-wide client.
///
/// # Errors
///
/// [`ErrorKind::Usage`] if there is no process-wide client.
pub fn client() -> Result<EarthEngine, Error> {
    let client = CLIENT.read().unwrap_or_else(PoisonError::into_inner);
    client.clone().ok_or_else(|| {
        Error::new(
            ErrorKind::Usage,
            "Earth Engine is not initialized in this process",
        )
        .with_remedy(Remedy::new(
            "Call earthengine::initialize(EarthEngine::builder()).await first.",
        ))
    })
}
