//! What the server says when it refuses.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use ee_token::{AccessToken, zeroize_json};
use http::StatusCode;
use serde_json::Value;

use crate::RpcCode;
use crate::error::excerpt::excerpt;
use crate::error::redactor::Secrets;

/// The quota metric of a day's budget. Waiting a minute does not bring it back.
const DAILY_BUDGET: &str = "daily_eecu_usage_time";
/// The sentence of a computation that is too big, now and later.
const OUT_OF_MEMORY: &str = "User memory limit exceeded";

/// A refusal, with everything that the server said about it: the status, the sentence, and
/// the details of `google.rpc` that it carried (those that are not known are passed over).
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
    /// The canonical code: the reply's `status`, or what the HTTP status stands for.
    pub code: RpcCode,
    /// The server's own sentence, to 1000 characters as all its texts. Of a reply that is not
    /// Earth Engine's, or was cut off, its beginning.
    pub message: String,
    /// `ErrorInfo.reason`, or the `reason` of the older error format.
    pub reason: Option<String>,
    /// `ErrorInfo.domain`: whose reason it is.
    pub domain: Option<String>,
    /// `ErrorInfo.metadata`: the project, service, permission or quota at fault.
    pub metadata: BTreeMap<String, String>,
    /// `Help.links`: pages where something can be done about it.
    pub links: Vec<HelpLink>,
    /// `QuotaFailure.violations`: the quotas that are used up.
    pub quota_violations: Vec<QuotaViolation>,
    /// `RetryInfo.retryDelay`: how long to wait at least before trying again.
    pub retry_delay: Option<Duration>,
    foreign: bool,
}

/// A page that the server points to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HelpLink {
    /// What it is about.
    pub description: String,
    /// Its address.
    pub url: String,
}

/// A quota that is used up.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuotaViolation {
    /// Whose quota: `project:p`, for example.
    pub subject: String,
    /// Which quota, in the server's words.
    pub description: String,
}

impl ApiError {
    /// Reads the reply to a refused request. There is no reply that it cannot read: of one
    /// in another form than Earth Engine's, the beginning becomes the message.
    pub fn from_response(status: StatusCode, body: &[u8]) -> Self {
        Self::read(status, body, &Secrets::default())
    }

    /// [`from_response`](Self::from_response) for the reply to a request that had this token, which
    /// the reply may echo and the error does not.
    pub fn from_response_redacting(token: &AccessToken, status: StatusCode, body: &[u8]) -> Self {
        let secrets = Secrets {
            token: Some(token.clone()),
            ..Secrets::default()
        };
        Self::read(status, body, &secrets)
    }

    pub(crate) fn read(status: StatusCode, body: &[u8], secrets: &Secrets) -> Self {
        let mut reply: Result<Value, _> = serde_json::from_slice(body);
        let mut error = Self::new(status);
        let said = reply.as_ref().ok().and_then(|reply| {
            // Methods that stream answer with a list.
            let reply = reply.get(0).unwrap_or(reply);
            reply.get("error").filter(|error| error.is_object())
        });
        match said {
            Some(said) => error.fill(said, &|text| secrets.sanitize_message(text)),
            None => {
                error.foreign = !reply.as_ref().is_err_and(|why| is_cut_off(body, why));
                error.message = excerpt(body, secrets);
            }
        }
        if let Ok(reply) = &mut reply {
            zeroize_json(reply);
        }
        if error.message.is_empty() {
            error.message = "no explanation was given".into();
        }
        error
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
            retry_delay: None,
            foreign: false,
        }
    }

    fn fill(&mut self, said: &Value, sanitize: &dyn Fn(&str) -> String) {
        let text =
            |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(sanitize);
        if let Some(name) = said.get("status").and_then(Value::as_str) {
            self.code = RpcCode::from(name);
        }
        self.message = text(said, "message").unwrap_or_default();
        for detail in list(said, "details") {
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
                Some("google.rpc.RetryInfo") => self.retry_delay = seconds(detail),
                _ => {}
            }
        }
        // The older format, which rate limits are still told in.
        if let (None, Some(first)) = (&self.reason, list(said, "errors").first()) {
            self.reason = text(first, "reason");
            self.domain = text(first, "domain");
        }
    }

    /// Whether the reply is not in Earth Engine's form: something in between answered (a
    /// proxy, a login page), or Google refuses this network or region altogether.
    pub fn is_from_intermediary(&self) -> bool {
        self.foreign
    }

    /// Whether the project's budget of computing time for today is spent.
    pub fn is_daily_quota(&self) -> bool {
        self.message.contains(DAILY_BUDGET)
            || self.metadata.values().any(|v| v.contains(DAILY_BUDGET))
            || self
                .quota_violations
                .iter()
                .any(|v| v.description.contains(DAILY_BUDGET) || v.subject.contains(DAILY_BUDGET))
    }

    /// Whether too much was asked for at once: a 429, or a 403 with a rate limit's reason.
    /// Nothing was done about such a request.
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

    /// Whether the same request may succeed in a while: the statuses 429, 500, 502, 503 and
    /// 504, and a 403 with a rate limit's reason; never a spent daily budget, and never a
    /// computation that needs too much memory.
    pub fn is_transient(&self) -> bool {
        let busy = matches!(self.status.as_u16(), 500 | 502 | 503 | 504);
        (busy || self.is_rate_limit())
            && !self.is_daily_quota()
            && !self.message.contains(OUT_OF_MEMORY)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.status.as_u16())?;
        if self.foreign {
            write!(f, "(not Earth Engine's own answer)")?;
        } else {
            write!(f, "{}", self.code)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for ApiError {}

/// Whether this is the beginning of an object or of a list: of a refusal that broke off or was
/// too long, no more is known.
fn is_cut_off(body: &[u8], why: &serde_json::Error) -> bool {
    why.is_eof() && matches!(body.trim_ascii_start().first(), Some(b'{' | b'['))
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value
        .get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// A duration as protobuf writes it in JSON: `3.5s`.
fn seconds(detail: &Value) -> Option<Duration> {
    let text = detail.get("retryDelay")?.as_str()?.strip_suffix('s')?;
    Duration::try_from_secs_f64(text.parse().ok()?).ok()
}

#[cfg(test)]
mod tests;
