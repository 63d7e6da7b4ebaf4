//! Long-running operations: exports and imports.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use ee_token::internal::Quoted;
use ee_token::{Remedy, RetryPolicy};
use http::Method;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::api::ListRequest;
use crate::api::lenient::Fields;
use crate::error::redactor::Secrets;
use crate::request::path::check_segment;
use crate::send::task::runtime;
use crate::{Client, Error, ErrorKind};

/// A long-running operation.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Operation {
    /// `projects/P/operations/ID`.
    pub name: String,
    /// What the operation does, and its progress.
    pub metadata: OperationMetadata,
    /// Whether the operation has finished, successfully or not.
    pub done: bool,
    /// The error of an operation that failed or was cancelled.
    pub error: Option<OperationError>,
    /// The result of an operation that succeeded.
    pub response: Option<Value>,
    /// The fields that this version does not know, and those with unexpected values.
    pub rest: Map<String, Value>,
}

impl<'de> Deserialize<'de> for Operation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Fields::deserialize(deserializer)?;
        Ok(Self {
            name: fields.take("name"),
            metadata: fields.take("metadata"),
            done: fields.take("done"),
            error: fields.take("error"),
            response: fields.take("response"),
            rest: fields.rest(),
        })
    }
}

/// What an operation does, and its progress.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct OperationMetadata {
    /// The state of the operation.
    pub state: OperationState,
    /// The description given by the caller.
    pub description: String,
    /// `EXPORT_IMAGE`, `INGEST_TABLE`, ….
    pub kind: String,
    /// When the operation was created (RFC 3339, like the other times).
    pub create_time: Option<String>,
    /// When the operation was last updated.
    pub update_time: Option<String>,
    /// When the operation started to run.
    pub start_time: Option<String>,
    /// When the operation finished.
    pub end_time: Option<String>,
    /// The completed fraction, from 0 to 1.
    pub progress: Option<f64>,
    /// The progress of each stage.
    pub stages: Vec<OperationStage>,
    /// Warnings about the operation.
    pub notifications: Vec<OperationNotification>,
    /// The script that started the operation.
    pub script_uri: Option<String>,
    /// The number of attempts.
    pub attempt: Option<u32>,
    /// The priority, from 0 to 9999. Defaults to 100.
    pub priority: Option<u32>,
    /// The locations of the results.
    pub destination_uris: Vec<String>,
    /// The computing time used, in EECU-seconds.
    pub batch_eecu_usage_seconds: Option<f64>,
    /// The fields that this version does not know, and those with unexpected values.
    pub rest: Map<String, Value>,
}

impl<'de> Deserialize<'de> for OperationMetadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Fields::deserialize(deserializer)?;
        Ok(Self {
            state: fields.take("state"),
            description: fields.take("description"),
            kind: fields.take("type"),
            create_time: fields.take("createTime"),
            update_time: fields.take("updateTime"),
            start_time: fields.take("startTime"),
            end_time: fields.take("endTime"),
            progress: fields.take_number("progress"),
            stages: fields.take_list("stages"),
            notifications: fields.take_list("notifications"),
            script_uri: fields.take("scriptUri"),
            attempt: fields.take("attempt"),
            priority: fields.take("priority"),
            destination_uris: fields.take_list("destinationUris"),
            batch_eecu_usage_seconds: fields.take_number("batchEecuUsageSeconds"),
            rest: fields.rest(),
        })
    }
}

/// A stage of an operation.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct OperationStage {
    /// The name of the stage, for people.
    pub display_name: String,
    /// What the stage does.
    pub description: String,
    /// The completed units of work.
    pub complete_work_units: Option<f64>,
    /// All units of work, as far as they are known.
    pub total_work_units: Option<f64>,
}

impl<'de> Deserialize<'de> for OperationStage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Fields::deserialize(deserializer)?;
        Ok(Self {
            display_name: fields.take("displayName"),
            description: fields.take("description"),
            complete_work_units: fields.take_number("completeWorkUnits"),
            total_work_units: fields.take_number("totalWorkUnits"),
        })
    }
}

/// A warning about an operation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct OperationNotification {
    /// `WARNING` or `SEVERE`.
    pub severity: String,
    /// What the warning is about.
    pub topic: String,
    /// The warning.
    pub detail: String,
}

/// The error of an operation (`google.rpc.Status`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OperationError {
    /// A `google.rpc.Code`; 1 means cancelled.
    pub code: i32,
    /// The server's message.
    pub message: String,
    /// Messages for programs, each with its `@type`.
    pub details: Vec<Value>,
}

impl<'de> Deserialize<'de> for OperationError {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Fields::deserialize(deserializer)?;
        Ok(Self {
            code: fields.take("code"),
            message: fields.take("message"),
            details: fields.take("details"),
        })
    }
}

/// `google.rpc.Code.CANCELLED`.
const CANCELLED: i32 = 1;

/// The state of an operation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OperationState {
    /// The server sent no state.
    #[default]
    Unspecified,
    /// Waiting to run.
    Pending,
    /// Running.
    Running,
    /// Cancellation was requested.
    Cancelling,
    /// Finished successfully.
    Succeeded,
    /// Cancelled.
    Cancelled,
    /// Failed.
    Failed,
    /// A state that this version does not know, by its API name.
    Other(String),
}

impl OperationState {
    /// Returns the API name of the state.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Unspecified => "STATE_UNSPECIFIED",
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Cancelling => "CANCELLING",
            Self::Succeeded => "SUCCEEDED",
            Self::Cancelled => "CANCELLED",
            Self::Failed => "FAILED",
            Self::Other(state) => state,
        }
    }
}

impl fmt::Display for OperationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for OperationState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let state = String::deserialize(deserializer)?;
        Ok(match state.as_str() {
            "STATE_UNSPECIFIED" | "" => Self::Unspecified,
            "PENDING" => Self::Pending,
            "RUNNING" => Self::Running,
            "CANCELLING" => Self::Cancelling,
            "SUCCEEDED" => Self::Succeeded,
            "CANCELLED" => Self::Cancelled,
            "FAILED" => Self::Failed,
            _ => Self::Other(state),
        })
    }
}

impl Operation {
    /// Returns the last segment of the name, which other clients call the task ID.
    pub fn id(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or_default()
    }

    /// Returns the state of the operation.
    pub fn state(&self) -> &OperationState {
        &self.metadata.state
    }

    /// Converts an operation that failed or was cancelled into an error.
    ///
    /// # Errors
    /// Returns [`ErrorKind::OperationFailed`] or [`ErrorKind::OperationCancelled`] with the
    /// server's message. A running operation is not an error.
    pub fn into_result(self) -> Result<Self, Error> {
        self.into_redacted_result(&Secrets::default())
    }

    /// Like [`into_result`](Self::into_result), redacting the secrets of the request.
    fn into_redacted_result(self, secrets: &Secrets) -> Result<Self, Error> {
        if !self.done {
            return Ok(self);
        }
        let code = self.error.as_ref().map(|error| error.code);
        let (kind, what, remedy) = match (self.state(), code) {
            (OperationState::Cancelled, _) | (_, Some(CANCELLED)) => (
                ErrorKind::OperationCancelled,
                "was cancelled",
                "Start the operation again if its result is still needed.",
            ),
            (OperationState::Failed, _) | (_, Some(_)) => (
                ErrorKind::OperationFailed,
                "failed",
                "Fix what the server's message names, then start the operation again.",
            ),
            _ => return Ok(self),
        };
        let mut message = format!("the operation {}", secrets.sanitize_message(&self.name));
        if !self.metadata.description.is_empty() {
            let description = secrets.sanitize_message(&self.metadata.description);
            message += &format!(" ({description})");
        }
        message = format!("{message} {what}");
        if let Some(error) = self
            .error
            .as_ref()
            .filter(|error| !error.message.is_empty())
        {
            message += &format!(": {}", secrets.sanitize_message(&error.message));
        }
        Err(Error::new(kind, message)
            .with_remedy(Remedy::new(remedy).url("https://code.earthengine.google.com/tasks"))
            .with_source(OperationSnapshot::new(self, secrets)))
    }
}

/// The last known state of an operation, as the source of an error.
pub(crate) struct OperationSnapshot {
    pub(crate) operation: Operation,
    /// Sanitized, like `state`.
    name: String,
    state: String,
}

impl OperationSnapshot {
    fn new(operation: Operation, secrets: &Secrets) -> Self {
        Self {
            name: secrets.sanitize_message(&operation.name),
            state: secrets.sanitize_message(operation.state().as_str()),
            operation,
        }
    }
}

impl fmt::Display for OperationSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}", self.name, self.state)
    }
}

/// Omits the operation itself, which holds unsanitized server text.
impl fmt::Debug for OperationSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation")
            .field("name", &self.name)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for OperationSnapshot {}

impl Error {
    /// Returns the operation that failed, was cancelled, or did not finish before the deadline.
    pub fn operation(&self) -> Option<&Operation> {
        let last: &OperationSnapshot = self.find_source()?;
        Some(&last.operation)
    }
}

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
    pub fn list(&self) -> ListRequest<Operation> {
        ListRequest::get(&self.0, "operations".into(), "operations")
    }

    /// Requests the cancellation of an operation, which may keep running for a while.
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

    fn deadline_exceeded(&self, last: Option<OperationSnapshot>) -> Error {
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

    fn operation(json: Value) -> Operation {
        serde_json::from_value(json).unwrap()
    }

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
    fn odd_fields_are_kept_and_fail_nothing() {
        let odd = operation(json!({
            "name": "projects/p/operations/A1",
            "done": null,
            "new": [1],
            "metadata": {
                "@type": "type.googleapis.com/google.earthengine.v1.OperationMetadata",
                "state": "RESTING",
                "progress": "NaN",
                "attempt": -1,
                "batchEecuUsageSeconds": "1.5",
                "destinationUris": ["gs://b/a", 7],
                "stages": [{"displayName": "Create", "totalWorkUnits": 4}],
                "notifications": [{"severity": "WARNING", "topic": "t", "detail": "d", "new": 1}],
                "scriptUri": "https://code.earthengine.google.com/1",
            },
            "error": {"code": "3", "message": "m", "details": [{"@type": "t"}]},
        }));
        let metadata = &odd.metadata;
        assert_eq!(odd.state().as_str(), "RESTING");
        assert_eq!((metadata.progress, metadata.attempt), (None, None));
        assert_eq!(metadata.batch_eecu_usage_seconds, Some(1.5));
        assert_eq!(metadata.destination_uris, ["gs://b/a"]);
        assert_eq!(metadata.stages[0].total_work_units, Some(4.0));
        assert_eq!(metadata.notifications[0].detail, "d");
        assert!(metadata.script_uri.is_some());
        assert_eq!(metadata.rest["progress"], "NaN");
        assert_eq!(metadata.rest["attempt"], -1);
        assert_eq!(json!(odd.rest), json!({"done": null, "new": [1]}));
        assert_eq!(odd.error.unwrap().details, [json!({"@type": "t"})]);
        for shape in [json!({}), json!([]), json!({"metadata": 7, "error": []})] {
            assert!(!operation(shape).done);
        }
    }

    #[test]
    fn failed_operation_becomes_an_error_with_its_message() {
        let failed = operation(json!({
            "name": "projects/p/operations/A1", "done": true,
            "metadata": {"state": "FAILED", "description": "my export"},
            "error": {"code": 3, "message": "Image.select: no band"},
        }));
        let error = failed.into_result().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OperationFailed);
        assert_eq!(
            error.to_string(),
            "the operation projects/p/operations/A1 (my export) failed: Image.select: no band"
        );
        assert_eq!(error.operation().unwrap().id(), "A1");
        assert!(!error.is_transient());
    }

    #[test]
    fn operation_text_in_errors_is_sanitized_and_bounded() {
        let secrets = Secrets {
            token: Some(ee_token::AccessToken::new("canary-token").unwrap()),
            ..Secrets::default()
        };
        let words = format!("\u{1b}[2Jcanary-token ya29.canary {}", "x".repeat(10_000));
        let failed = operation(json!({
            "name": words, "done": true, "error": {"code": 3, "message": words},
            "metadata": {"state": words, "description": words},
        }));
        let is_unsafe = |c: char| c.is_control() && c != '\n';
        let all = |error: &Error| {
            use std::error::Error as _;
            format!("{error} {error:?} {}", error.source().unwrap())
        };
        let text = all(&failed.clone().into_redacted_result(&secrets).unwrap_err());
        assert!(
            !text.contains(is_unsafe) && !text.contains("canary"),
            "{text}"
        );
        assert!(
            text.contains("[2J[redacted]") && text.len() < 20_000,
            "{text}"
        );
        // Without the secrets, text that looks like one is redacted.
        let text = all(&failed.clone().into_result().unwrap_err());
        assert!(
            !text.contains(is_unsafe) && !text.contains("ya29"),
            "{text}"
        );

        let poller = Client::builder(
            crate::Auth::api_key("AIza-mine".into()),
            ee_token::HttpClient::new(ee_token::Endpoints::google()),
        );
        let poller = poller.build().unwrap().operations().wait("A1");
        let text = all(&poller.deadline_exceeded(Some(OperationSnapshot::new(failed, &secrets))));
        assert!(
            !text.contains(is_unsafe) && !text.contains("canary"),
            "{text}"
        );
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

    #[test]
    fn operation_outcome_follows_from_state_or_code() {
        for (json, kind) in [
            (
                json!({"name": "o", "done": true, "metadata": {"state": "CANCELLED"}}),
                Some(ErrorKind::OperationCancelled),
            ),
            (
                json!({"name": "o", "done": true, "error": {"code": 1}}),
                Some(ErrorKind::OperationCancelled),
            ),
            (
                json!({"name": "o", "done": true, "error": {"code": 13}}),
                Some(ErrorKind::OperationFailed),
            ),
            (
                json!({"name": "o", "done": true, "metadata": {"state": "FAILED"}}),
                Some(ErrorKind::OperationFailed),
            ),
            (
                json!({"name": "o", "done": true, "metadata": {"state": "SUCCEEDED"}, "response": {}}),
                None,
            ),
            (json!({"name": "o", "done": true}), None),
            (
                json!({"name": "o", "metadata": {"state": "NEW_STATE"}}),
                None,
            ),
            (json!({"name": "o"}), None),
        ] {
            let result = operation(json.clone()).into_result();
            assert_eq!(result.err().map(|error| error.kind()), kind, "{json}");
        }
        let state = operation(json!({"name": "o", "metadata": {"state": "NEW_STATE"}}));
        assert_eq!(state.state(), &OperationState::Other("NEW_STATE".into()));
    }
}
