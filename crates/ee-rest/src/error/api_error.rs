//! Error responses.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use ee_token::AccessToken;
use ee_token::internal::zeroize_json;
use http::StatusCode;
use serde_json::Value;

use crate::RpcCode;
use crate::error::excerpt::excerpt;
use crate::error::redactor::Secrets;

/// The metric of the daily quota, which does not recover within minutes.
const DAILY_QUOTA: &str = "daily_eecu_usage_time";
/// The message of a computation that needs too much memory, which fails again on retry.
const OUT_OF_MEMORY: &str = "User memory limit exceeded";

/// An error response, with the status, message and `google.rpc` details that the server sent.
/// Unknown details are ignored.
///
/// Secrets that the server echoed are redacted in every field.
///
/// ```
/// use ee_rest::{ApiError, RpcCode};
///
/// let body = br#"{"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "No.",
///   "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo",
///                "reason": "SERVICE_DISABLED", "domain": "googleapis.com",
///                "metadata": {"consumer": "projects/p"}}]}}"#;
/// let error = ApiError::from_response(403.try_into()?, body);
/// assert_eq!(error.code, RpcCode::PermissionDenied);
/// assert_eq!(error.reason.as_deref(), Some("SERVICE_DISABLED"));
/// assert_eq!(error.metadata["consumer"], "projects/p");
/// # Ok::<(), http::status::InvalidStatusCode>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// The canonical code: the `status` in the body, or the code that corresponds to the HTTP
    /// status.
    pub code: RpcCode,
    /// The server's message, up to 1000 characters, like every text here. If the body is not in
    /// Earth Engine's error format or was cut off, an excerpt of it.
    pub message: String,
    /// `ErrorInfo.reason`, or the `reason` of the older error format.
    pub reason: Option<String>,
    /// `ErrorInfo.domain`: the service that defines the reason.
    pub domain: Option<String>,
    /// `ErrorInfo.metadata`: the project, service, permission or quota concerned.
    pub metadata: BTreeMap<String, String>,
    /// `Help.links`: pages that help to fix the problem.
    pub links: Vec<HelpLink>,
    /// `QuotaFailure.violations`: the exceeded quotas.
    pub quota_violations: Vec<QuotaViolation>,
    /// `PreconditionFailure.violations`: the violated preconditions.
    pub precondition_violations: Vec<PreconditionViolation>,
    /// `RetryInfo.retryDelay`: the minimum delay before a retry.
    pub retry_delay: Option<Duration>,
    from_intermediary: bool,
}

/// A link to a help page.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HelpLink {
    /// What the page is about.
    pub description: String,
    /// The URL of the page.
    pub url: String,
}

/// An exceeded quota.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuotaViolation {
    /// What the quota applies to: `project:p`, for example.
    pub subject: String,
    /// The server's description of the quota.
    pub description: String,
}

/// A violated precondition.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PreconditionViolation {
    /// The type of the precondition: `VPC_SERVICE_CONTROLS`, for example.
    pub kind: String,
    /// What the precondition applies to.
    pub subject: String,
    /// The server's description of the violation.
    pub description: String,
}

impl ApiError {
    /// Parses an error response. Never fails: if the body is not in Earth Engine's error format,
    /// an excerpt of it becomes the message.
    pub fn from_response(status: StatusCode, body: &[u8]) -> Self {
        Self::read(status, body, &Secrets::default())
    }

    /// Parses an error response like [`from_response`](Self::from_response), redacting the token
    /// that the request was sent with.
    pub fn from_response_redacting(token: &AccessToken, status: StatusCode, body: &[u8]) -> Self {
        let secrets = Secrets {
            token: Some(token.clone()),
            ..Secrets::default()
        };
        Self::read(status, body, &secrets)
    }

    pub(crate) fn read(status: StatusCode, body: &[u8], secrets: &Secrets) -> Self {
        let mut json: Result<Value, _> = serde_json::from_slice(body);
        let mut api_error = Self::new(status);
        let object = json.as_ref().ok().and_then(|json| {
            // Streaming methods wrap the error in an array.
            let json = json.get(0).unwrap_or(json);
            json.get("error").filter(|error| error.is_object())
        });
        match object {
            Some(object) => api_error.fill(object, &|text| secrets.sanitize_message(text)),
            None => {
                api_error.from_intermediary =
                    !json.as_ref().is_err_and(|error| is_cut_off(body, error));
                api_error.message = excerpt(body, secrets);
            }
        }
        if let Ok(json) = &mut json {
            zeroize_json(json);
        }
        if api_error.message.is_empty() {
            api_error.message = "no explanation was given".into();
        }
        api_error
    }

    fn new(status: StatusCode) -> Self {
        Self {
            status,
            code: RpcCode::from_status(status),
            message: String::new(),
            reason: None,
            domain: None,
            metadata: BTreeMap::new(),
            links: Vec::new(),
            quota_violations: Vec::new(),
            precondition_violations: Vec::new(),
            retry_delay: None,
            from_intermediary: false,
        }
    }

    fn fill(&mut self, object: &Value, sanitize: &dyn Fn(&str) -> String) {
        let text =
            |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(sanitize);
        if let Some(name) = object.get("status").and_then(Value::as_str) {
            self.code = RpcCode::from_name(name).unwrap_or(RpcCode::Unknown);
        }
        self.message = text(object, "message").unwrap_or_default();
        for detail in list(object, "details") {
            let kind = detail.get("@type").and_then(Value::as_str);
            match kind.and_then(|kind| kind.rsplit('/').next()) {
                Some("google.rpc.ErrorInfo") => {
                    self.reason = text(detail, "reason");
                    self.domain = text(detail, "domain");
                    if let Some(Value::Object(metadata)) = detail.get("metadata") {
                        self.metadata
                            .extend(metadata.iter().filter_map(|(key, value)| {
                                Some((sanitize(key), sanitize(value.as_str()?)))
                            }));
                    }
                }
                Some("google.rpc.Help") => {
                    self.links
                        .extend(list(detail, "links").iter().filter_map(|link| {
                            Some(HelpLink {
                                description: text(link, "description").unwrap_or_default(),
                                url: text(link, "url")?,
                            })
                        }));
                }
                Some("google.rpc.QuotaFailure") => {
                    self.quota_violations
                        .extend(list(detail, "violations").iter().map(|v| QuotaViolation {
                            subject: text(v, "subject").unwrap_or_default(),
                            description: text(v, "description").unwrap_or_default(),
                        }));
                }
                Some("google.rpc.PreconditionFailure") => {
                    let violations = list(detail, "violations").iter();
                    self.precondition_violations.extend(violations.map(|v| {
                        PreconditionViolation {
                            kind: text(v, "type").unwrap_or_default(),
                            subject: text(v, "subject").unwrap_or_default(),
                            description: text(v, "description").unwrap_or_default(),
                        }
                    }));
                }
                Some("google.rpc.RetryInfo") => self.retry_delay = seconds(detail),
                _ => {}
            }
        }
        // The older error format, which is still used for rate limits.
        if let (None, Some(first)) = (&self.reason, list(object, "errors").first()) {
            self.reason = text(first, "reason");
            self.domain = text(first, "domain");
        }
    }

    /// Returns whether the response is not in Earth Engine's error format: it came from an
    /// intermediary, such as a proxy or login page, or Google blocks this network or region.
    pub fn is_from_intermediary(&self) -> bool {
        self.from_intermediary
    }

    /// Returns whether the project's daily quota of computing time is exhausted.
    pub fn is_daily_quota(&self) -> bool {
        self.message.contains(DAILY_QUOTA)
            || self.metadata.values().any(|v| v.contains(DAILY_QUOTA))
            || self
                .quota_violations
                .iter()
                .any(|v| v.description.contains(DAILY_QUOTA) || v.subject.contains(DAILY_QUOTA))
    }

    /// Returns whether this is a rate limit error: a 429, or a 403 with a rate limit's reason. Such
    /// a request was not processed.
    pub(crate) fn is_rate_limit(&self) -> bool {
        match self.status.as_u16() {
            429 => true,
            403 => matches!(
                self.reason.as_deref(),
                Some("rateLimitExceeded" | "userRateLimitExceeded" | "RATE_LIMIT_EXCEEDED")
            ),
            _ => false,
        }
    }

    /// Returns whether the same request may succeed later: the statuses 429, 500, 502, 503 and 504,
    /// and a 403 with a rate limit's reason, unless the daily quota is exhausted or the computation
    /// needs too much memory.
    pub fn is_transient(&self) -> bool {
        let busy = matches!(self.status.as_u16(), 500 | 502 | 503 | 504);
        (busy || self.is_rate_limit()) && !self.is_daily_quota() && !self.is_out_of_memory()
    }

    /// Returns whether the computation needs too much memory.
    pub(crate) fn is_out_of_memory(&self) -> bool {
        self.message.contains(OUT_OF_MEMORY)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.status.as_u16())?;
        if self.from_intermediary {
            write!(f, "(not from Earth Engine)")?;
        } else {
            write!(f, "{}", self.code)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for ApiError {}

/// Returns whether the body is a truncated JSON object or array, which may well be Earth Engine's.
fn is_cut_off(body: &[u8], error: &serde_json::Error) -> bool {
    error.is_eof() && matches!(body.trim_ascii_start().first(), Some(b'{' | b'['))
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value
        .get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Parses a duration in protobuf's JSON format: `3.5s`.
fn seconds(detail: &Value) -> Option<Duration> {
    let text = detail.get("retryDelay")?.as_str()?.strip_suffix('s')?;
    Duration::try_from_secs_f64(text.parse().ok()?).ok()
}

#[cfg(test)]
mod tests;
