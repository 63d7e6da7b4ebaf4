//! The methods for long-running operations: exports and imports.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use ee_token::internal::Quoted;
use ee_token::{Remedy, RetryPolicy};
use http::Method;
use serde_json::json;
use tokio::time::Instant;

use crate::api::ListRequest;
use crate::api::operation::OperationSnapshot;
use crate::error::redactor::Secrets;
use crate::request::path::check_segment;
use crate::send::driver::runtime;
use crate::{Client, Error, ErrorKind, Operation};

/// The methods for long-running operations, returned by [`Client::operations`].
///
/// An operation is identified by its name, `projects/P/operations/ID`, or by its ID alone, which
/// then refers to the client's project.
#[derive(Debug, Clone)]
pub struct Operations(Client);

impl Client {
    /// Returns the methods for long-running operations.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// let operation = client.operations().get("ABCDEFGHIJKL").await?;
    /// println!("{} is {}", operation.name, operation.state());
    /// # Ok(()) }
    /// ```
    pub fn operations(&self) -> Operations {
        Operations(self.clone())
    }
}

impl Operations {
    /// Returns an operation. One that failed is not an error here; use
    /// [`Operation::into_result`] to convert it.
    ///
    /// # Errors
    /// See [`Client::get_json`].
    pub async fn get(&self, name: &str) -> Result<Operation, Error> {
        Ok(self.fetch(name).await?.0)
    }

    /// Returns an operation and the secrets that its text may echo.
    async fn fetch(&self, name: &str) -> Result<(Operation, Secrets), Error> {
        let response = self.0.request(Method::GET, path(name)?).send().await?;
        Ok((response.json()?, response.secrets))
    }

    /// Lists the operations of the client's project, newest first.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// let mut operations = client.operations().list().items();
    /// while let Some(operation) = operations.next().await {
    ///     println!("{}", operation?.name);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn list(&self) -> ListRequest<Operation> {
        ListRequest::get(&self.0, "operations".into(), "operations")
    }

    /// Requests the cancellation of an operation, which may keep running for a while.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// client.operations().cancel("ABCDEFGHIJKL").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`Client::post_json`].
    pub async fn cancel(&self, name: &str) -> Result<(), Error> {
        let path = format!("{}:cancel", path(name)?);
        let request = self.0.request(Method::POST, path).json(&json!({}));
        // Cancelling twice has no further effect.
        request.idempotent(true).send().await.map(drop)
    }

    /// Deletes the record of a finished operation.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// client.operations().delete("ABCDEFGHIJKL").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`Client::get_json`].
    pub async fn delete(&self, name: &str) -> Result<(), Error> {
        let request = self.0.request(Method::DELETE, path(name)?);
        request.send().await.map(drop)
    }

    /// Waits for an operation with one request, for at most this long or 5 minutes, whichever is
    /// shorter, and returns it. It may still be running, or have failed; see
    /// [`Operations::get`]. To wait until it has finished, use [`wait`](Self::wait).
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// use std::time::Duration;
    ///
    /// let wait = Duration::from_secs(30);
    /// let operation = client.operations().wait_once("ABCDEFGHIJKL", wait).await?;
    /// println!("{}", operation.done);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`Client::post_json`].
    pub async fn wait_once(&self, name: &str, timeout: Duration) -> Result<Operation, Error> {
        let path = format!("{}:wait", path(name)?);
        let seconds = timeout.min(MAX_WAIT).as_secs_f64();
        let body = json!({"timeout": format!("{seconds:.3}s")});
        self.0.post_json(&path, &body).await
    }

    /// Waits until an operation has finished. Await the returned [`OperationPoller`].
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// use std::time::Duration;
    ///
    /// let operation = client
    ///     .operations()
    ///     .wait("ABCDEFGHIJKL")
    ///     .deadline(Duration::from_secs(3600))
    ///     .on_progress(|operation| println!("{}", operation.state()))
    ///     .await?;
    /// println!("{:?}", operation.metadata.destination_uris);
    /// # Ok(()) }
    /// ```
    pub fn wait(&self, name: &str) -> OperationPoller {
        OperationPoller {
            operations: self.clone(),
            name: name.to_owned(),
            min_interval: Duration::from_secs(2),
            max_interval: Duration::from_secs(60),
            deadline: None,
            on_progress: None,
        }
    }
}

/// The longest wait on the server: the time that Earth Engine allows a request.
const MAX_WAIT: Duration = Duration::from_secs(300);

/// How many consecutive transient failures are tolerated. Each was already retried according to
/// the retry policy.
const MAX_CONSECUTIVE_FAILURES: u32 = 10;

type OnProgress = Box<dyn FnMut(&Operation) + Send>;

/// A future that polls an operation until it has finished, created by [`Operations::wait`]. It
/// resolves to the successful [`Operation`]. Dropping it does not affect the operation.
///
/// # Errors
/// - [`ErrorKind::OperationFailed`] and [`ErrorKind::OperationCancelled`], with the server's
///   message;
/// - [`ErrorKind::Timeout`] after the [`deadline`](Self::deadline); the operation keeps running;
/// - otherwise see [`Client::get_json`]; polling continues after transient errors.
#[must_use = "a poller does nothing until it is awaited"]
pub struct OperationPoller {
    operations: Operations,
    name: String,
    min_interval: Duration,
    max_interval: Duration,
    deadline: Option<Duration>,
    on_progress: Option<OnProgress>,
}

impl OperationPoller {
    /// Sets the initial and maximum poll interval. The interval grows by half each time, with
    /// jitter. Defaults to 2 s and 60 s.
    pub fn poll_interval(mut self, min: Duration, max: Duration) -> Self {
        self.min_interval = min;
        self.max_interval = max;
        self
    }

    /// Sets how long to wait in all. Unlimited by default.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Registers a callback for each poll result, including the last.
    pub fn on_progress(mut self, f: impl FnMut(&Operation) + Send + 'static) -> Self {
        self.on_progress = Some(Box::new(f));
        self
    }

    async fn run(mut self) -> Result<Operation, Error> {
        runtime()?;
        // A deadline too far away to represent is no deadline.
        let until = self.deadline.and_then(|d| Instant::now().checked_add(d));
        let mut last: Option<OperationSnapshot> = None;
        let mut interval = self.min_interval.min(self.max_interval);
        let mut failures = 0;
        loop {
            let fetch = self.operations.fetch(&self.name);
            let result = match until {
                None => fetch.await,
                Some(until) => match tokio::time::timeout_at(until, fetch).await {
                    Ok(result) => result,
                    Err(_) => return Err(self.deadline_exceeded(last)),
                },
            };
            match result {
                Ok((operation, secrets)) => {
                    failures = 0;
                    if let Some(f) = &mut self.on_progress {
                        f(&operation);
                    }
                    if operation.done {
                        return operation.into_redacted_result(&secrets);
                    }
                    last = Some(OperationSnapshot::new(operation, &secrets));
                }
                Err(error) if error.is_transient() && failures < MAX_CONSECUTIVE_FAILURES => {
                    failures += 1;
                    tracing::debug!(%error, "polling failed; still waiting for the operation");
                }
                Err(error) => return Err(error),
            }
            let wake = Instant::now().checked_add(jittered(interval));
            match (wake, until) {
                (Some(wake), Some(until)) if wake >= until => {
                    tokio::time::sleep_until(until).await;
                    return Err(self.deadline_exceeded(last));
                }
                (Some(wake), _) => tokio::time::sleep_until(wake).await,
                (None, Some(until)) => {
                    tokio::time::sleep_until(until).await;
                    return Err(self.deadline_exceeded(last));
                }
                (None, None) => std::future::pending().await,
            }
            interval = interval
                .saturating_mul(3)
                .checked_div(2)
                .unwrap_or(interval)
                .min(self.max_interval);
        }
    }

    pub(super) fn deadline_exceeded(&self, last: Option<OperationSnapshot>) -> Error {
        let state = last.as_ref().map_or("unknown", |last| &last.state);
        let error = Error::new(
            ErrorKind::Timeout,
            format!(
                "the operation {} did not finish before the deadline; its state is {state}",
                self.name
            ),
        )
        .with_remedy(Remedy::new(
            "The operation keeps running. Wait for it again, or cancel it.",
        ));
        match last {
            Some(last) => error.with_source(last),
            None => error,
        }
    }
}

/// Draws from the upper half of the interval, so that pollers started together spread out.
fn jittered(interval: Duration) -> Duration {
    let half = interval / 2;
    let policy = RetryPolicy {
        initial_backoff: half,
        max_backoff: half,
        ..RetryPolicy::default()
    };
    half + policy.backoff(0)
}

impl IntoFuture for OperationPoller {
    type Output = Result<Operation, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl fmt::Debug for OperationPoller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperationPoller")
            .field("name", &self.name)
            .field("min_interval", &self.min_interval)
            .field("max_interval", &self.max_interval)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// Returns the path of an operation, given its name or ID.
fn path(name: &str) -> Result<String, Error> {
    let invalid = |why: &str| {
        Error::invalid_request(
            format!("{} is not a valid operation name: {why}", Quoted(name)),
            "Use projects/PROJECT/operations/ID, or the ID alone.",
        )
    };
    let parts: Vec<&str> = name.split('/').collect();
    for part in &parts {
        check_segment(part).map_err(invalid)?;
    }
    let id = match parts.as_slice() {
        [id] => id,
        ["operations", id] => id,
        ["projects", _, "operations", id] => id,
        _ => {
            return Err(invalid(
                "it has the wrong number of segments or collections",
            ));
        }
    };
    if id.contains(':') {
        return Err(invalid("it contains a colon"));
    }
    Ok(match parts.as_slice() {
        [id] => format!("operations/{id}"),
        _ => name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operation_is_identified_by_name_or_id() {
        assert_eq!(path("A1").unwrap(), "operations/A1");
        assert_eq!(path("operations/A1").unwrap(), "operations/A1");
        assert_eq!(
            path("projects/p/operations/A1").unwrap(),
            "projects/p/operations/A1"
        );
        for bad in [
            "",
            "/",
            "a/b",
            "projects/p/operations",
            "projects/p/assets/x",
            "projects/p/operations/a/b",
            "..",
            "operations/..",
            "A1?x",
            "A1:cancel",
            "projects/p/operations/A1:delete",
            "a\n",
        ] {
            assert_eq!(
                path(bad).unwrap_err().kind(),
                ErrorKind::InvalidRequest,
                "{bad:?}"
            );
        }
    }

    #[test]
    fn jitter_stays_within_the_upper_half_of_the_interval() {
        for interval in [0, 1, 2, 60_000, u64::MAX].map(Duration::from_millis) {
            let drawn: Vec<Duration> = (0..200).map(|_| jittered(interval)).collect();
            assert!(
                drawn.iter().all(|d| (interval / 2..=interval).contains(d)),
                "{drawn:?}"
            );
            // Both halves of the range are drawn from.
            let middle = interval / 4 * 3;
            let above = drawn.iter().filter(|d| **d > middle).count();
            assert!(
                interval < Duration::from_secs(1) || (20..180).contains(&above),
                "{above}"
            );
        }
        jittered(Duration::MAX);
    }
}
