//! The same client without async, for scripts and notebooks.
//!
//! ```no_run
//! use earthengine::{EarthEngine, blocking};
//! use serde_json::json;
//!
//! # fn main() -> Result<(), earthengine::Error> {
//! let ee = blocking::connect(EarthEngine::builder().project("my-project"))?;
//! let three: i64 = ee.compute(&json!({"result": "0", "values": {"0": {"constantValue": 3}}}))?;
//! # let _ = three; Ok(()) }
//! ```
//!
//! One background thread serves all blocking clients of the process.

use std::future::Future;

use ee_init::{EarthEngineBuilder, Error, ErrorKind};
use ee_token::{AccessToken, Remedy};
use once_cell::sync::OnceCell;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::{Handle, Runtime};

/// A verified client whose calls block. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EarthEngine(ee_init::EarthEngine);

/// Finds credentials, gets a token, chooses the project and verifies it.
///
/// # Errors
/// As [`EarthEngineBuilder::connect`]; [`ErrorKind::Usage`] inside an async context, where blocking
/// would stall the runtime.
pub fn connect(builder: EarthEngineBuilder) -> Result<EarthEngine, Error> {
    wait_for(builder.connect())?.map(EarthEngine)
}

/// [`initialize`](crate::initialize) without async; both share the process-wide client.
///
/// # Errors
/// As [`connect`].
pub fn initialize(builder: impl Into<Option<EarthEngineBuilder>>) -> Result<EarthEngine, Error> {
    wait_for(crate::initialize(builder.into()))?.map(EarthEngine)
}

impl EarthEngine {
    /// Computes the value of an expression (`value:compute`).
    ///
    /// # Errors
    /// What Earth Engine refused, explained; [`ErrorKind::Usage`] inside an async context.
    pub fn compute<T: DeserializeOwned>(&self, expression: &impl Serialize) -> Result<T, Error> {
        wait_for(self.0.compute(expression))?
    }

    /// Gets a resource: `config`, or `projects/P/…`.
    ///
    /// # Errors
    /// As [`EarthEngine::compute`].
    pub fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        wait_for(self.0.get_json(path))?
    }

    /// Posts JSON and reads the reply.
    ///
    /// # Errors
    /// As [`EarthEngine::compute`].
    pub fn post_json<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        wait_for(self.0.post_json(path, body))?
    }

    /// The current access token.
    ///
    /// # Errors
    /// What is wrong with the credentials; [`ErrorKind::Usage`] inside an async context.
    pub fn token(&self) -> Result<AccessToken, Error> {
        Ok(wait_for(self.0.credentials().token())??)
    }

    /// Waits for any call of the async client.
    ///
    /// ```no_run
    /// # fn f(ee: earthengine::blocking::EarthEngine) -> Result<(), earthengine::Error> {
    /// let image = ee.wait_for(ee.as_async().assets().get("CGIAR/SRTM90_V4"))??;
    /// println!("{}", image.name);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] inside an async context.
    pub fn wait_for<T>(&self, call: impl Future<Output = T>) -> Result<T, Error> {
        wait_for(call)
    }

    /// The async client behind it, for everything that needs no waiting.
    pub fn as_async(&self) -> &ee_init::EarthEngine {
        &self.0
    }
}

/// Waits for anything of the async API, such as what a [`EarthEngineBuilder`] does before there is a client.
///
/// ```no_run
/// use earthengine::{EarthEngine, blocking};
///
/// # fn main() -> Result<(), earthengine::Error> {
/// for project in blocking::wait_for(EarthEngine::builder().list_projects())?? {
///     println!("{}", project.id);
/// }
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`ErrorKind::Usage`] inside an async context.
pub fn wait_for<T>(future: impl Future<Output = T>) -> Result<T, Error> {
    static RUNTIME: OnceCell<Runtime> = OnceCell::new();
    if Handle::try_current().is_ok() {
        return Err(Error::new(
            ErrorKind::Usage,
            "a blocking call inside an async context would stall the runtime",
        )
        .with_remedy(Remedy::new(
            "Use earthengine::EarthEngine with .await here, or call from a thread of its own (std::thread::spawn).",
        )));
    }
    let runtime = RUNTIME.get_or_try_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("earthengine")
            .enable_all()
            .build()
            .map_err(|e| {
                Error::new(
                    ErrorKind::Usage,
                    "the blocking client's thread cannot be started",
                )
                .with_source(e)
            })
    })?;
    Ok(runtime.block_on(future))
}
