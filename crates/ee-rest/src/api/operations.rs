//! Long-running operations: exports and imports.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use ee_token::{Remedy, RetryPolicy};
use http::Method;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::api::ListRequest;
use crate::error::redactor::Secrets;
use crate::request::path::check_segment;
use crate::send::check_runtime;
use crate::{Client, Error, ErrorKind};

/// A long-running operation as the server knows it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Operation {
    /// `projects/P/operations/ID`.
    pub name: String,
    /// What it does, and how far it is.
    #[serde(default)]
    pub metadata: OperationMetadata,
    /// Whether it has ended, well or not.
    #[serde(default)]
    pub done: bool,
    /// Why it failed or was cancelled.
    #[serde(default)]
    pub error: Option<OperationError>,
    /// What it brought.
    #[serde(default)]
    pub response: Option<Value>,
}

/// What an operation does, and how far it is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct OperationMetadata {
    /// How far it is.
    pub state: OperationState,
    /// What whoever started it called it.
    pub description: String,
    /// `EXPORT_IMAGE`, `INGEST_TABLE`, ….
    #[serde(rename = "type")]
    pub kind: String,
    /// When it was asked for (RFC 3339), as the other times.
    pub create_time: Option<String>,
    /// When it was last heard of.
    pub update_time: Option<String>,
    /// When it began.
    pub start_time: Option<String>,
    /// When it ended.
    pub end_time: Option<String>,
    /// How much is done, from 0 to 1.
    pub progress: Option<f64>,
    /// How many times it was tried.
    pub attempt: Option<u32>,
    /// 0 to 9999; 100 unless asked otherwise.
    pub priority: Option<u32>,
    /// Where its results are.
    pub destination_uris: Vec<String>,
    /// What it has cost, in EECU-seconds.
    pub batch_eecu_usage_seconds: Option<f64>,
}

/// Why an operation failed: a `google.rpc.Status`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct OperationError {
    /// A `google.rpc.RpcCode`; 1 is cancelled.
    pub code: i32,
    /// In the server's words.
    pub message: String,
}

/// `google.rpc.RpcCode.CANCELLED`.
const CANCELLED: i32 = 1;

/// How far an operation is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OperationState {
    /// The server did not say.
    #[default]
    Unspecified,
    /// It waits for its turn.
    Pending,
    /// It runs.
    Running,
    /// It will be cancelled.
    Cancelling,
    /// It has ended well.
    Succeeded,
    /// It was cancelled.
    Cancelled,
    /// It failed.
    Failed,
    /// A state that this version does not know, in the server's words.
    Other(String),
}

impl OperationState {
    /// In the server's words.
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
    /// The last part of its name, which other clients call the task's id.
    pub fn id(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or_default()
    }

    /// How far it is.
    pub fn state(&self) -> &OperationState {
        &self.metadata.state
    }

    /// It, if it has not failed.
    ///
    /// # Errors
    /// [`ErrorKind::OperationFailed`] and [`ErrorKind::OperationCancelled`], with the server's
    /// message. One that still runs is no error.
    pub fn into_result(self) -> Result<Self, Error> {
        self.judged(&Secrets::default())
    }

    /// The same for one that came in answer to a request with these secrets.
    fn judged(self, secrets: &Secrets) -> Result<Self, Error> {
        if !self.done {
            return Ok(self);
        }
        let code = self.error.as_ref().map(|error| error.code);
        let (kind, what) = match (self.state(), code) {
            (OperationState::Cancelled, _) | (_, Some(CANCELLED)) => {
                (ErrorKind::OperationCancelled, "was cancelled")
            }
            (OperationState::Failed, _) | (_, Some(_)) => (ErrorKind::OperationFailed, "failed"),
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
        Err(Error::new(kind, message).with_source(Last::new(self, secrets)))
    }
}

/// The last that was known of an operation, as the source of an error.
pub(crate) struct Last {
    pub(crate) operation: Operation,
    /// As it may be shown, like its state.
    name: String,
    state: String,
}

impl Last {
    fn new(operation: Operation, secrets: &Secrets) -> Self {
        Self {
            name: secrets.sanitize_message(&operation.name),
            state: secrets.sanitize_message(operation.state().as_str()),
            operation,
        }
    }
}

impl fmt::Display for Last {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}", self.name, self.state)
    }
}

/// The operation itself is in the server's words, which could be anything.
impl fmt::Debug for Last {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation")
            .field("name", &self.name)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Last {}

/// The calls about operations; made by [`Client::operations`].
///
/// An operation is named by its whole name, `projects/P/operations/ID`, or by its id alone,
/// which then is one of the client's project.
#[derive(Debug, Clone)]
pub struct Operations(Client);

impl Client {
    /// The calls about long-running operations.
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
    /// An operation as it is now. One that has failed is no error here:
    /// [`Operation::into_result`] makes it one.
    ///
    /// # Errors
    /// As [`Client::get_json`].
    pub async fn get(&self, name: &str) -> Result<Operation, Error> {
        Ok(self.ask(name).await?.0)
    }

    /// The operation, and the secrets that its words may echo.
    async fn ask(&self, name: &str) -> Result<(Operation, Secrets), Error> {
        let response = self.0.request(Method::GET, path(name)?).send().await?;
        Ok((response.json()?, response.secrets))
    }

    /// The operations of the client's project, the latest first.
    pub fn list(&self) -> ListRequest<Operation> {
        ListRequest::get(&self.0, "operations".into(), "operations")
    }

    /// Asks for an operation to be cancelled; it goes on until it notices.
    ///
    /// # Errors
    /// As [`Client::post_json`].
    pub async fn cancel(&self, name: &str) -> Result<(), Error> {
        let path = format!("{}:cancel", path(name)?);
        let request = self.0.request(Method::POST, path).json(&json!({}));
        // Cancelled twice is cancelled.
        request.idempotent(true).send().await.map(drop)
    }

    /// Deletes what is known of an operation that has ended.
    ///
    /// # Errors
    /// As [`Client::get_json`].
    pub async fn delete(&self, name: &str) -> Result<(), Error> {
        let request = self.0.request(Method::DELETE, path(name)?);
        request.send().await.map(drop)
    }

    /// Waits until an operation has ended: await what this returns.
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
            first: Duration::from_secs(2),
            longest: Duration::from_secs(60),
            deadline: None,
            on_progress: None,
        }
    }
}

/// How many questions in a row may remain without an answer until waiting is given up. Each
/// was sent again as the retry policy says before it counts.
const MOST_UNANSWERED: u32 = 10;

type OnProgress = Box<dyn FnMut(&Operation) + Send>;

/// Waits for an operation; made by [`Operations::wait`]. Awaiting it gives the
/// [`Operation`] that has ended well. Dropping it leaves the operation alone.
///
/// # Errors
/// - [`ErrorKind::OperationFailed`] and [`ErrorKind::OperationCancelled`], with the server's
///   message;
/// - [`ErrorKind::Timeout`] after the [`deadline`](Self::deadline): the operation goes on;
/// - as [`Client::get_json`]; but what passes by itself is waited out.
#[must_use = "nothing waits until it is awaited"]
pub struct OperationPoller {
    operations: Operations,
    name: String,
    first: Duration,
    longest: Duration,
    deadline: Option<Duration>,
    on_progress: Option<OnProgress>,
}

impl OperationPoller {
    /// How long to wait between two questions: at first, and at most. The waits grow by half,
    /// with jitter. 2 s and 60 s if nothing else is said.
    pub fn poll_interval(mut self, first: Duration, longest: Duration) -> Self {
        self.first = first;
        self.longest = longest;
        self
    }

    /// How long to wait in all; for ever if nothing is said.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Is called with each answer, the last one included.
    pub fn on_progress(mut self, f: impl FnMut(&Operation) + Send + 'static) -> Self {
        self.on_progress = Some(Box::new(f));
        self
    }

    async fn run(mut self) -> Result<Operation, Error> {
        check_runtime()?;
        // A deadline beyond the end of time is none.
        let until = self.deadline.and_then(|d| Instant::now().checked_add(d));
        let mut last: Option<Last> = None;
        let mut pause = self.first.min(self.longest);
        let mut unanswered = 0;
        loop {
            let asked = self.operations.ask(&self.name);
            let answer = match until {
                None => asked.await,
                Some(until) => match tokio::time::timeout_at(until, asked).await {
                    Ok(answer) => answer,
                    Err(_) => return Err(self.too_late(last)),
                },
            };
            match answer {
                Ok((operation, secrets)) => {
                    unanswered = 0;
                    if let Some(f) = &mut self.on_progress {
                        f(&operation);
                    }
                    if operation.done {
                        return operation.judged(&secrets);
                    }
                    last = Some(Last::new(operation, &secrets));
                }
                Err(error) if error.is_transient() && unanswered < MOST_UNANSWERED => {
                    unanswered += 1;
                    tracing::debug!(%error, "waiting for the operation all the same");
                }
                Err(error) => return Err(error),
            }
            let wake = Instant::now().checked_add(jittered(pause));
            match (wake, until) {
                (Some(wake), Some(until)) if wake >= until => {
                    tokio::time::sleep_until(until).await;
                    return Err(self.too_late(last));
                }
                (Some(wake), _) => tokio::time::sleep_until(wake).await,
                (None, Some(until)) => {
                    tokio::time::sleep_until(until).await;
                    return Err(self.too_late(last));
                }
                (None, None) => std::future::pending().await,
            }
            pause = pause
                .saturating_mul(3)
                .checked_div(2)
                .unwrap_or(pause)
                .min(self.longest);
        }
    }

    fn too_late(&self, last: Option<Last>) -> Error {
        let state = last.as_ref().map_or("not known", |last| &last.state);
        let error = Error::new(
            ErrorKind::Timeout,
            format!(
                "the operation {} has not ended in time; its state is {state}",
                self.name
            ),
        )
        .with_remedy(Remedy::new(
            "It goes on all the same: wait for it again, or cancel it.",
        ));
        match last {
            Some(last) => error.with_source(last),
            None => error,
        }
    }
}

/// Drawn between half of it and all of it: whoever began to wait together does not ask together.
fn jittered(pause: Duration) -> Duration {
    let half = pause / 2;
    let drawn = RetryPolicy {
        initial_backoff: half,
        max_backoff: half,
        ..RetryPolicy::default()
    };
    half + drawn.backoff(0)
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
            .field("first", &self.first)
            .field("longest", &self.longest)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// The path of an operation, from its name or its id.
fn path(name: &str) -> Result<String, Error> {
    let refused = |why: &str| {
        let shown: String = name.chars().take(80).collect();
        Error::new(
            ErrorKind::InvalidRequest,
            format!("{shown:?} cannot be the name of an operation: {why}"),
        )
        .with_remedy(Remedy::new(
            "Give it as projects/PROJECT/operations/ID, or the id alone.",
        ))
    };
    let parts: Vec<&str> = name.split('/').collect();
    for part in &parts {
        check_segment(part).map_err(refused)?;
    }
    let id = match parts.as_slice() {
        [id] => id,
        ["operations", id] => id,
        ["projects", _, "operations", id] => id,
        _ => return Err(refused("it is of another form")),
    };
    if id.contains(':') {
        return Err(refused("it has a colon"));
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
    fn an_operation_is_named_in_full_or_by_its_id() {
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
    fn a_failed_operation_is_an_error_with_its_message() {
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
    fn what_an_error_quotes_of_an_operation_is_cleaned_and_has_an_end() {
        let secrets = Secrets {
            token: Some(ee_token::AccessToken::new("canary-token").unwrap()),
            ..Secrets::default()
        };
        let words = format!("\u{1b}[2Jcanary-token ya29.canary {}", "x".repeat(10_000));
        let failed = operation(json!({
            "name": words, "done": true, "error": {"code": 3, "message": words},
            "metadata": {"state": words, "description": words},
        }));
        let all = |error: &Error| {
            use std::error::Error as _;
            format!("{error} {error:?} {}", error.source().unwrap())
        };
        let text = all(&failed.clone().judged(&secrets).unwrap_err());
        assert!(
            !text.contains(char::is_control) && !text.contains("canary"),
            "{text}"
        );
        assert!(
            text.contains("[2J[redacted]") && text.len() < 20_000,
            "{text}"
        );
        // Without the secrets, what looks like one goes all the same.
        let text = all(&failed.clone().into_result().unwrap_err());
        assert!(
            !text.contains(char::is_control) && !text.contains("ya29"),
            "{text}"
        );

        let waiting = Client::builder(
            crate::Auth::api_key("AIza-mine".into()),
            ee_token::HttpClient::new(ee_token::Endpoints::google()),
        );
        let waiting = waiting.build().unwrap().operations().wait("A1");
        let text = all(&waiting.too_late(Some(Last::new(failed, &secrets))));
        assert!(
            !text.contains(char::is_control) && !text.contains("canary"),
            "{text}"
        );
    }

    #[test]
    fn waits_are_drawn_between_half_a_pause_and_a_whole_one() {
        for pause in [0, 1, 2, 60_000, u64::MAX].map(Duration::from_millis) {
            let drawn: Vec<Duration> = (0..200).map(|_| jittered(pause)).collect();
            assert!(
                drawn.iter().all(|d| (pause / 2..=pause).contains(d)),
                "{drawn:?}"
            );
            // In both halves of what lies between.
            let middle = pause / 4 * 3;
            let above = drawn.iter().filter(|d| **d > middle).count();
            assert!(
                pause < Duration::from_secs(1) || (20..180).contains(&above),
                "{above}"
            );
        }
        jittered(Duration::MAX);
    }

    #[test]
    fn what_ended_how_is_told_by_state_or_by_code() {
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
