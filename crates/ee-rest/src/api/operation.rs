//! A long-running operation: what it does, its progress, and its end.

use std::fmt;

use ee_token::Remedy;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::api::lenient::{Fields, Object};
use crate::error::redactor::Secrets;
use crate::{Error, ErrorKind};

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

/// Serializes to the API's JSON, without empty fields.
impl Serialize for Operation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Object::new(&self.rest)
            .with("name", &self.name)
            .with("metadata", &self.metadata)
            .with("done", &self.done)
            .with("error", &self.error)
            .with("response", &self.response)
            .serialize(serializer)
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
            attempt: fields.take_integer("attempt"),
            priority: fields.take_integer("priority"),
            destination_uris: fields.take_list("destinationUris"),
            batch_eecu_usage_seconds: fields.take_number("batchEecuUsageSeconds"),
            rest: fields.rest(),
        })
    }
}

impl Serialize for OperationMetadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Object::new(&self.rest)
            .with("state", &self.state)
            .with("description", &self.description)
            .with("type", &self.kind)
            .with("createTime", &self.create_time)
            .with("updateTime", &self.update_time)
            .with("startTime", &self.start_time)
            .with("endTime", &self.end_time)
            .with("progress", &self.progress)
            .with("stages", &self.stages)
            .with("notifications", &self.notifications)
            .with("scriptUri", &self.script_uri)
            .with("attempt", &self.attempt)
            .with("priority", &self.priority)
            .with("destinationUris", &self.destination_uris)
            .with("batchEecuUsageSeconds", &self.batch_eecu_usage_seconds)
            .serialize(serializer)
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
    /// The fields that this version does not know, and those with unexpected values.
    pub rest: Map<String, Value>,
}

impl<'de> Deserialize<'de> for OperationStage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Fields::deserialize(deserializer)?;
        Ok(Self {
            display_name: fields.take("displayName"),
            description: fields.take("description"),
            complete_work_units: fields.take_number("completeWorkUnits"),
            total_work_units: fields.take_number("totalWorkUnits"),
            rest: fields.rest(),
        })
    }
}

impl Serialize for OperationStage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Object::new(&self.rest)
            .with("displayName", &self.display_name)
            .with("description", &self.description)
            .with("completeWorkUnits", &self.complete_work_units)
            .with("totalWorkUnits", &self.total_work_units)
            .serialize(serializer)
    }
}

/// A warning about an operation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OperationNotification {
    /// `WARNING` or `SEVERE`.
    pub severity: String,
    /// What the warning is about.
    pub topic: String,
    /// The warning.
    pub detail: String,
    /// The fields that this version does not know, and those with unexpected values.
    pub rest: Map<String, Value>,
}

impl<'de> Deserialize<'de> for OperationNotification {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Fields::deserialize(deserializer)?;
        Ok(Self {
            severity: fields.take("severity"),
            topic: fields.take("topic"),
            detail: fields.take("detail"),
            rest: fields.rest(),
        })
    }
}

impl Serialize for OperationNotification {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Object::new(&self.rest)
            .with("severity", &self.severity)
            .with("topic", &self.topic)
            .with("detail", &self.detail)
            .serialize(serializer)
    }
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
    /// The fields that this version does not know, and those with unexpected values.
    pub rest: Map<String, Value>,
}

impl<'de> Deserialize<'de> for OperationError {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Fields::deserialize(deserializer)?;
        Ok(Self {
            code: fields.take("code"),
            message: fields.take("message"),
            details: fields.take("details"),
            rest: fields.rest(),
        })
    }
}

impl Serialize for OperationError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Object::new(&self.rest)
            .with("code", &self.code)
            .with("message", &self.message)
            .with("details", &self.details)
            .serialize(serializer)
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

impl Serialize for OperationState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            // Not sent, so that it is omitted.
            Self::Unspecified => serializer.serialize_str(""),
            state => serializer.serialize_str(state.as_str()),
        }
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
    pub(super) fn into_redacted_result(self, secrets: &Secrets) -> Result<Self, Error> {
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
    pub(super) state: String,
}

impl OperationSnapshot {
    pub(super) fn new(operation: Operation, secrets: &Secrets) -> Self {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn operation(json: Value) -> Operation {
        serde_json::from_value(json).unwrap()
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
    fn operation_is_serialized_as_it_was_received() {
        for sent in [
            json!({}),
            json!({
                "name": "projects/p/operations/A1", "done": true, "new": [1],
                "metadata": {
                    "@type": "t", "state": "FAILED", "description": "d", "type": "EXPORT_IMAGE",
                    "createTime": "2026-01-01T00:00:00Z", "updateTime": "2026-01-01T00:00:01Z",
                    "startTime": "2026-01-01T00:00:02Z", "endTime": "2026-01-01T00:00:03Z",
                    "progress": 0.5, "attempt": 1, "priority": 100, "batchEecuUsageSeconds": 1.5,
                    "destinationUris": ["gs://b/a"], "scriptUri": "https://code.earthengine.google.com/1",
                    "stages": [{"displayName": "Create", "totalWorkUnits": 4.0}],
                    "notifications": [{"severity": "WARNING", "topic": "t", "detail": "d"}],
                },
                "error": {"code": 3, "message": "m", "details": [{"@type": "t"}]},
            }),
            json!({"name": "o", "metadata": {"state": "RESTING", "attempt": -1}, "response": {"a": 1}}),
        ] {
            assert_eq!(serde_json::to_value(operation(sent.clone())).unwrap(), sent);
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

        let poller = crate::Client::builder(
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
