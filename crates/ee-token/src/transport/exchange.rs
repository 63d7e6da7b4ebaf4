//! One exchange with a server of the credential layer: a request, its whole response, and the
//! retries of transient failures.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderMap, StatusCode};
use reqwest::Request;
use tokio::time::{Instant, sleep};

use crate::transport::body::read_body;
use crate::transport::reason::stated_reason;
use crate::transport::retry::{http_date, retry_after};
use crate::{Error, ErrorKind, HttpClient, Remedy, RetryPolicy};

/// Sends requests whose responses are small and read as a whole.
///
/// Defaults to the retry policy of token requests, an attempt timeout of 10 seconds and responses
/// of at most 1 MiB.
#[derive(Debug, Clone)]
pub struct Exchange<'a> {
    http: &'a HttpClient,
    retry: RetryPolicy,
    timeout: Duration,
    max_response_size: usize,
    is_single_use: bool,
}

/// A response that was read to its end.
#[derive(Debug)]
pub struct ReceivedResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The time before the request was sent, from which the lifetime of a token is counted.
    pub sent_at: DateTime<Utc>,
}

/// Why an attempt failed.
#[derive(Debug)]
pub struct FailedAttempt {
    /// The error.
    pub error: Error,
    /// Whether another attempt may succeed.
    pub can_retry: bool,
    /// The server's time, if the response states it.
    pub server_time: Option<DateTime<Utc>>,
    /// The delay that the server asked for.
    retry_after: Option<Duration>,
}

impl FailedAttempt {
    /// Creates a failure that another attempt a few seconds later would hardly change.
    pub fn permanent(error: Error) -> Self {
        Self {
            can_retry: false,
            ..error.into()
        }
    }
}

impl From<Error> for FailedAttempt {
    fn from(error: Error) -> Self {
        Self {
            can_retry: error.is_transient(),
            error,
            server_time: None,
            retry_after: None,
        }
    }
}

impl From<FailedAttempt> for Error {
    fn from(failed: FailedAttempt) -> Self {
        failed.error
    }
}

impl ReceivedResponse {
    /// Creates the response that a parser is tested with.
    #[cfg(any(test, fuzzing))]
    pub fn with_body(status: StatusCode, body: &[u8]) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body),
            sent_at: Utc::now(),
        }
    }

    /// Returns whether the server is overloaded or failing: 408, 429 or 5xx.
    pub fn is_busy(&self) -> bool {
        self.status.is_server_error()
            || self.status == StatusCode::TOO_MANY_REQUESTS
            || self.status == StatusCode::REQUEST_TIMEOUT
    }

    /// Returns the status, and the reason that the body states: `responded with status 403: Forbidden`.
    /// `secrets` were sent in the request.
    pub fn describe(&self, secrets: &[&str]) -> String {
        let status = format!("responded with status {}", self.status.as_u16());
        match stated_reason(&self.body, secrets) {
            Some(reason) => format!("{status}: {reason}"),
            None => status,
        }
    }

    /// Sets the reason that the body states as the error's server message.
    pub fn explain(&self, error: Error, secrets: &[&str]) -> Error {
        match stated_reason(&self.body, secrets) {
            Some(reason) => error.with_server_message(reason),
            None => error,
        }
    }

    /// Creates the error of an error status whose body has not the format of the server's errors.
    /// `secrets` were sent in the request.
    pub fn unexplained(&self, host: &str, secrets: &[&str]) -> Error {
        let (kind, remedy) = match self.status {
            StatusCode::NETWORK_AUTHENTICATION_REQUIRED => {
                (ErrorKind::Network, Remedy::of_captive_portal())
            }
            _ if self.is_busy() => (ErrorKind::Server, try_again()),
            _ => (
                ErrorKind::InvalidResponse,
                Remedy::unexpected_intermediary(),
            ),
        };
        let why = match stated_reason(&self.body, secrets) {
            Some(_) => "",
            None => " and no explanation",
        };
        let message = format!("{host} {}{why}", self.describe(secrets));
        self.explain(Error::new(kind, message).with_remedy(remedy), secrets)
    }
}

/// Returns the remedy for a server that is overloaded or failing.
pub fn try_again() -> Remedy {
    Remedy::new("Try again in a moment.")
}

impl<'a> Exchange<'a> {
    /// Creates an exchange with the default limits.
    pub fn new(http: &'a HttpClient) -> Self {
        Self {
            http,
            retry: RetryPolicy::for_token_requests(),
            timeout: Duration::from_secs(10),
            max_response_size: 1 << 20,
            is_single_use: false,
        }
    }

    /// Sets the retry policy.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Sets the timeout of one attempt, from connecting to the end of the body.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the size limit of response bodies in bytes.
    #[must_use]
    pub fn max_response_size(mut self, bytes: usize) -> Self {
        self.max_response_size = bytes;
        self
    }

    /// Sets whether the server accepts the request only once. It is then retried only if it was
    /// certainly not sent.
    #[must_use]
    pub fn single_use(mut self, yes: bool) -> Self {
        self.is_single_use = yes;
        self
    }

    /// Sends a request once.
    ///
    /// # Errors
    /// As [`HttpClient::send`], and [`ErrorKind::InvalidResponse`] if the response is too long.
    pub async fn send(&self, request: Request) -> Result<ReceivedResponse, Error> {
        let host = request.url().host_str().unwrap_or_default();
        let _waiting = tracing::debug_span!("waiting", waits_for = host, attempt = 1_u32);
        self.attempt(request).await.map_err(Error::from)
    }

    /// Sends a request and interprets its response, until that succeeds, fails permanently or
    /// exhausts the retry policy. A delay that the policy leaves no time for is not waited for.
    ///
    /// # Errors
    /// The failure of the last attempt.
    pub async fn run<T>(
        &self,
        request: impl Fn() -> Result<Request, Error>,
        interpret: impl Fn(&ReceivedResponse) -> Result<T, FailedAttempt>,
    ) -> Result<T, FailedAttempt> {
        let started = Instant::now();
        let mut retries = 0;
        loop {
            let request = request()?;
            // Open until the next attempt: who watches it knows what is being waited for.
            let host = request.url().host_str().unwrap_or_default();
            let _waiting = tracing::debug_span!("waiting", waits_for = host, attempt = retries + 1);
            let failed = match self.attempt(request).await {
                Ok(received) => match interpret(&received) {
                    Ok(done) => return Ok(done),
                    Err(failed) => FailedAttempt {
                        can_retry: failed.can_retry && !self.is_single_use,
                        server_time: http_date(&received.headers),
                        retry_after: retry_after(&received.headers, Utc::now()),
                        ..failed
                    },
                },
                Err(failed) => failed,
            };
            let asked = failed.retry_after.unwrap_or_default();
            let wait = asked.max(self.retry.backoff(retries));
            let time_left = self.retry.max_elapsed.saturating_sub(started.elapsed());
            if !failed.can_retry || retries >= self.retry.max_retries || wait > time_left {
                let error = failed.error.with_retry_after(failed.retry_after);
                return Err(FailedAttempt { error, ..failed });
            }
            tracing::debug!(retries, error = %failed.error, "retrying a request");
            sleep(wait).await;
            retries += 1;
        }
    }

    async fn attempt(&self, mut request: Request) -> Result<ReceivedResponse, FailedAttempt> {
        *request.timeout_mut() = Some(self.timeout);
        let host = request.url().host_str().unwrap_or_default().to_owned();
        let sent_at = Utc::now();
        let sent = self.http.send(request).await;
        let mut response = sent.map_err(|error| FailedAttempt {
            can_retry: error.is_transient() && (error.was_not_sent() || !self.is_single_use),
            ..error.into()
        })?;
        let read = read_body(&mut response, self.max_response_size, &host).await;
        let body = read.map_err(|error| FailedAttempt {
            // A response that is too long would be too long again.
            can_retry: error.kind() != ErrorKind::InvalidResponse && !self.is_single_use,
            ..error.into()
        })?;
        Ok(ReceivedResponse {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body,
            sent_at,
        })
    }
}
