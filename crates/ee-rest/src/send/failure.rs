//! What a failed attempt means: whether it may be repeated, and what it says about the server.

use std::time::Duration;

use chrono::Utc;
use ee_token::internal::replace_connections;
use ee_token::{Remedy, retry_after};
use http::HeaderMap;

use super::Call;
use crate::error::explain::explain;
use crate::request::idempotency::{AttemptFailure, may_retry};
use crate::{ApiError, Error, ErrorKind};

/// A failed attempt.
pub(super) struct FailedAttempt {
    pub(super) error: Error,
    pub(super) may_retry: bool,
    /// Whether the server certainly did not process the request, so that it can be resent at once.
    pub(super) is_unprocessed: bool,
    /// What it says about the server, if anything.
    pub(super) outcome: Option<Outcome>,
    /// The delay that the server asked for.
    pub(super) requested_delay: Duration,
}

/// What a failed attempt says about the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It processed the request.
    Accepted,
    /// A rate limit rejected the request.
    RateLimited,
    /// It did not respond, or responded with a server error.
    Unavailable,
}

impl Call<'_> {
    /// Handles a missing, interrupted or overlong response.
    pub(super) fn transport_failure(&self, error: ee_token::Error) -> FailedAttempt {
        use ee_token::ErrorKind as Token;
        let kind = match error.kind() {
            Token::Timeout => ErrorKind::Timeout,
            Token::DisallowedUrl => ErrorKind::InvalidRequest,
            Token::InvalidResponse => ErrorKind::InvalidResponse,
            Token::UntrustedEmulator | Token::Runtime | Token::InvalidEnvironment => {
                ErrorKind::Usage
            }
            _ => ErrorKind::Network,
        };
        let failure = match kind {
            _ if error.was_not_sent() => AttemptFailure::NotSent,
            ErrorKind::Timeout | ErrorKind::Network => AttemptFailure::ResponseLost,
            _ => AttemptFailure::Permanent,
        };
        let outcome = match (kind, failure) {
            (ErrorKind::InvalidResponse, _) => Some(Outcome::Accepted),
            (_, AttemptFailure::Permanent) => None,
            _ => Some(Outcome::Unavailable),
        };
        let is_unprocessed = error.is_unprocessed();
        let message = format!("{} failed: {error}", self.name());
        let error = match kind {
            // The response is too long for this client's limit.
            ErrorKind::InvalidResponse => error.or_remedy(Remedy::new(kind.default_remedy())),
            _ => error,
        };
        let error = Error::new(kind, message)
            .with_attempts(self.attempts)
            .with_cause(error);
        FailedAttempt {
            is_unprocessed,
            outcome,
            ..self.failed(error, failure)
        }
    }

    /// Handles an attempt that timed out.
    pub(super) fn timeout_failure(&self) -> FailedAttempt {
        let client = self.client;
        replace_connections(&client.options.http, &client.base);
        let host = client.base.host_str().unwrap_or_default();
        let message = format!(
            "{} failed: no response from {host} before the timeout",
            self.name()
        );
        let error = Error::new(ErrorKind::Timeout, message).with_attempts(self.attempts);
        FailedAttempt {
            outcome: Some(Outcome::Unavailable),
            ..self.failed(error, AttemptFailure::ResponseLost)
        }
    }

    pub(super) fn api_failure(&self, api: ApiError, headers: &HeaderMap) -> FailedAttempt {
        let asked = retry_after(headers, Utc::now()).max(api.retry_delay);
        let outcome = match &api {
            // An exhausted daily quota does not depend on the number of requests.
            api if !api.is_transient() => Outcome::Accepted,
            api if api.is_rate_limit() => Outcome::RateLimited,
            _ => Outcome::Unavailable,
        };
        FailedAttempt {
            may_retry: may_retry(self.request.idempotent, AttemptFailure::Api(&api)),
            is_unprocessed: false,
            outcome: Some(outcome),
            requested_delay: asked.unwrap_or_default(),
            error: explain(self.name(), api, self.request.caller(self.client))
                .with_attempts(self.attempts),
        }
    }

    pub(super) fn failed(&self, error: Error, failure: AttemptFailure<'_>) -> FailedAttempt {
        FailedAttempt {
            error,
            may_retry: may_retry(self.request.idempotent, failure),
            is_unprocessed: false,
            outcome: None,
            requested_delay: Duration::ZERO,
        }
    }
}
