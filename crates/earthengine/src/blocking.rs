//! A blocking client, for scripts and notebooks.
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
//! All blocking clients of the process share one background thread. Calls work on any thread that
//! may block, including those of `tokio::task::spawn_blocking`. Inside an async task, they return an
//! error with [`ErrorKind::Usage`].

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use ee_init::{EarthEngineBuilder, Error, ErrorKind};
use ee_token::{AccessToken, Remedy};
use once_cell::sync::OnceCell;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::{Handle, Runtime};
use tokio::task::coop::consume_budget;

/// A verified client with blocking calls. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EarthEngine(ee_init::EarthEngine);

/// Finds credentials, fetches a token, selects the project and verifies it.
///
/// # Errors
///
/// Fails like [`EarthEngineBuilder::connect`], and with [`ErrorKind::Usage`] inside an async task,
/// where blocking would stall the runtime.
pub fn connect(builder: EarthEngineBuilder) -> Result<EarthEngine, Error> {
    block_on(builder.connect()).map(EarthEngine)
}

/// Connects and stores the client as the process-wide client.
///
/// A blocking version of [`initialize`](crate::initialize). Both share one process-wide client.
///
/// # Errors
///
/// Fails like [`connect`].
pub fn initialize(builder: EarthEngineBuilder) -> Result<EarthEngine, Error> {
    block_on(crate::initialize(builder)).map(EarthEngine)
}

/// Returns the process-wide client, connecting with the default options if it does not exist.
///
/// A blocking version of [`shared`](crate::shared).
///
/// # Errors
///
/// Fails like [`connect`].
pub fn shared() -> Result<EarthEngine, Error> {
    block_on(crate::shared()).map(EarthEngine)
}

impl EarthEngine {
    /// Computes the value of an expression (`value:compute`).
    ///
    /// # Errors
    ///
    /// Returns Earth Engine's error, or [`ErrorKind::Usage`] inside an async task.
    pub fn compute<T: DeserializeOwned>(&self, expression: &impl Serialize) -> Result<T, Error> {
        block_on(self.0.compute(expression))
    }

    /// Gets a resource as JSON: `config`, or `projects/P/…`.
    ///
    /// # Errors
    ///
    /// Fails like [`EarthEngine::compute`].
    pub fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        block_on(self.0.get_json(path))
    }

    /// Posts JSON and returns the JSON response.
    ///
    /// # Errors
    ///
    /// Fails like [`EarthEngine::compute`].
    pub fn post_json<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        block_on(self.0.post_json(path, body))
    }

    /// Returns the current access token, refreshing it if necessary.
    ///
    /// # Errors
    ///
    /// Fails if no token can be fetched, and with [`ErrorKind::Usage`] inside an async task.
    pub fn token(&self) -> Result<AccessToken, Error> {
        block_on(self.0.credentials().token())
    }

    /// Returns the underlying async client, for calls without a blocking version.
    ///
    /// ```no_run
    /// use earthengine::blocking;
    ///
    /// # fn f(ee: blocking::EarthEngine) -> Result<(), earthengine::Error> {
    /// let image = blocking::block_on(ee.as_async().assets().get("CGIAR/SRTM90_V4"))?;
    /// println!("{}", image.name);
    /// # Ok(()) }
    /// ```
    pub fn as_async(&self) -> &ee_init::EarthEngine {
        &self.0
    }
}

/// Runs a future of the async API and waits for its result.
///
/// ```no_run
/// use earthengine::{EarthEngine, blocking};
///
/// # fn main() -> Result<(), earthengine::Error> {
/// for project in blocking::block_on(EarthEngine::builder().list_projects())? {
///     println!("{}", project.id);
/// }
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// Returns the future's error, or [`ErrorKind::Usage`] inside an async task.
pub fn block_on<T, E: Into<Error>>(future: impl Future<Output = Result<T, E>>) -> Result<T, Error> {
    static RUNTIME: OnceCell<Runtime> = OnceCell::new();
    if is_async_task() {
        return Err(Error::new(
            ErrorKind::Usage,
            "blocking calls are not allowed inside an async task",
        )
        .with_remedy(Remedy::new(
            "Use earthengine::EarthEngine with .await here, or make the call in tokio::task::spawn_blocking.",
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
                    "the thread of the blocking client could not be started",
                )
                .with_remedy(Remedy::new(
                    "Check the limits on threads and open files (ulimit -u, ulimit -n).",
                ))
                .with_source(e)
            })
    })?;
    runtime.block_on(future).map_err(Into::into)
}

/// Returns whether the caller is polled as an async task. A thread of `spawn_blocking` has a
/// runtime, too, but no task. tokio limits how often a task may poll without yielding, and nothing
/// else, so only in a task does this limit take effect.
fn is_async_task() -> bool {
    // More than tokio's limit, which is 128.
    const POLLS: usize = 1000;
    let mut context = Context::from_waker(Waker::noop());
    Handle::try_current().is_ok()
        && (0..POLLS).any(|_| pin!(consume_budget()).poll(&mut context).is_pending())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn one() -> Result<i32, Error> {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        Ok(1)
    }

    fn assert_blocking_works() {
        assert_eq!(block_on(one()).unwrap(), 1);
    }

    fn assert_blocking_fails() {
        let error = block_on(one()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(!error.remedy().text.is_empty());
    }

    #[test]
    fn blocking_works_outside_of_a_runtime() {
        assert_blocking_works();
    }

    #[tokio::test]
    async fn blocking_works_in_spawn_blocking() {
        let blocking = tokio::task::spawn_blocking(assert_blocking_works);
        blocking.await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn blocking_works_in_block_in_place() {
        tokio::task::block_in_place(assert_blocking_works);
    }

    #[tokio::test]
    async fn blocking_fails_in_an_async_task() {
        assert_blocking_fails();
        tokio::spawn(async { assert_blocking_fails() })
            .await
            .unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn blocking_fails_in_a_task_of_a_worker_thread() {
        tokio::spawn(async { assert_blocking_fails() })
            .await
            .unwrap();
    }
}
