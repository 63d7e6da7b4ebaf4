//! The process-wide client, for people who come from `ee.Initialize()`.

use std::sync::{PoisonError, RwLock};

use ee_init::{EarthEngine, EarthEngineBuilder, Error, ErrorKind};
use ee_token::Remedy;

/// Not a `OnceCell`: a program may initialize again, for another project.
static CLIENT: RwLock<Option<EarthEngine>> = RwLock::new(None);
static CONNECTING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Connects and keeps the client for the whole process.
///
/// Without a builder the client that is there already is used again: a library inside a
/// program may call this without undoing what the program chose. With one, it is replaced.
/// Those who call at the same time wait for one connection.
///
/// ```no_run
/// # async fn f() -> Result<(), earthengine::Error> {
/// earthengine::initialize(earthengine::EarthEngine::builder().project("my-project")).await?;
/// // … and anywhere else:
/// let ee = earthengine::initialize(None).await?;
/// # let _ = ee; Ok(()) }
/// ```
///
/// # Errors
/// As [`EarthEngineBuilder::connect`]. A client that was there before then stays.
pub async fn initialize(
    builder: impl Into<Option<EarthEngineBuilder>>,
) -> Result<EarthEngine, Error> {
    let builder = builder.into();
    let _one_at_a_time = CONNECTING.lock().await;
    if builder.is_none()
        && let Ok(client) = client()
    {
        return Ok(client);
    }
    let client = builder.unwrap_or_default().connect().await?;
    *CLIENT.write().unwrap_or_else(PoisonError::into_inner) = Some(client.clone());
    Ok(client)
}

/// Forgets the process-wide client; those who hold a clone keep theirs. The next
/// [`initialize`] looks for credentials and a project anew, over the same connections.
pub fn reset() {
    *CLIENT.write().unwrap_or_else(PoisonError::into_inner) = None;
}

/// The process-wide client.
///
/// # Errors
/// [`ErrorKind::Usage`] before [`initialize`].
pub fn client() -> Result<EarthEngine, Error> {
    let client = CLIENT.read().unwrap_or_else(PoisonError::into_inner);
    client.clone().ok_or_else(|| {
        Error::new(
            ErrorKind::Usage,
            "Earth Engine is not initialized in this process",
        )
        .with_remedy(Remedy::new(
            "Call earthengine::initialize(None).await once before.",
        ))
    })
}
