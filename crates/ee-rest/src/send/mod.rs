//! Sending: the permit, the token, the attempt, and the retry.

pub(crate) mod concurrency;
pub(crate) mod deadline;
pub(crate) mod error_body;
pub(crate) mod events;
pub(crate) mod rate;
pub(crate) mod retry_budget;
pub(crate) mod runtime;

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use ee_token::internal::{
    MAX_REFUSED_STREAMS, Transfer, open_ahead, read_bounded, replace_connections, send_to,
};
use ee_token::{AccessToken, Remedy, retry_after};
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use crate::client::Inner;
use crate::error::explain::explain;
use crate::error::redactor::Secrets;
use crate::request::idempotency::{AttemptFailure, may_retry};
use crate::request::prepared::{PreparedRequest, RequestName};
use crate::response::streaming::{Body, Limits, Open};
use crate::send::concurrency::Permit;
use crate::send::deadline::{earlier, within};
use crate::send::error_body::read_error_body;
use crate::send::retry_budget::Spent;
use crate::send::runtime::check_runtime;
use crate::{ApiError, ClientEvent, Error, ErrorKind, Response, StreamingResponse};

/// Sends a request until it succeeds, fails permanently, or exhausts the retry policy.
pub(crate) async fn exchange(
    client: &Inner,
    request: &mut PreparedRequest,
) -> Result<Response, Error> {
    let mut call = Call::new(client, request, ResponseMode::Full);
    call.run_traced().await?;
    let attempts = call.attempts;
    let secrets = std::mem::take(&mut call.secrets);
    let received = call.received()?;
    let body = match received.body {
        ReceivedBody::Full(body) => body,
        ReceivedBody::Streaming(_) => Bytes::new(),
    };
    Ok(Response {
        status: received.status,
        headers: received.headers,
        body,
        attempts,
        name: std::mem::take(&mut request.name),
        secrets,
    })
}

/// Sends a request like [`exchange`], but returns when the response begins.
pub(crate) async fn exchange_streaming(
    client: &Inner,
    request: &mut PreparedRequest,
) -> Result<StreamingResponse, Error> {
    let mut call = Call::new(client, request, ResponseMode::Streaming);
    call.run_traced().await?;
    let (attempts, until) = (call.attempts, call.deadline());
    let received = call.received()?;
    let body = match received.body {
        ReceivedBody::Streaming(open) => Body::Open(open),
        ReceivedBody::Full(_) => Body::Ended,
    };
    let limits = Limits {
        chunk_timeout: request.timeout(client),
        until,
        bytes: request.own_max_response_size(),
    };
    Ok(StreamingResponse {
        status: received.status,
        headers: received.headers,
        attempts,
        name: std::mem::take(&mut request.name),
        body,
        read: 0,
        limits,
    })
}

/// The state of one call.
struct Call<'a> {
    client: &'a Inner,
    request: &'a PreparedRequest,
    mode: ResponseMode,
    started: Instant,
    /// Cached, because reading the clock is expensive. Updated after each wait.
    now: Instant,
    /// The earlier of the [`deadline`](Self::deadline) and the policy's `max_elapsed`, which is
    /// counted from the first attempt.
    until: Option<Instant>,
    attempts: u32,
    /// Everything that was sent. The server may also echo tokens that it rejected earlier.
    secrets: Secrets,
    /// The response of the successful attempt. Stored here directly, because it is large and
    /// should be moved only once.
    received: Option<ReceivedResponse>,
}

/// How much of the response is awaited.
#[derive(Clone, Copy)]
enum ResponseMode {
    Full,
    Streaming,
}

struct ReceivedResponse {
    status: StatusCode,
    headers: HeaderMap,
    body: ReceivedBody,
}

enum ReceivedBody {
    Full(Bytes),
    Streaming(Box<Open>),
}

/// A failed attempt.
struct FailedAttempt {
    error: Error,
    may_retry: bool,
    /// Whether the server refused the stream unprocessed, so that it can be resent at once.
    refused_stream: bool,
    /// Whether a rate limit was exceeded, which the concurrency limit handles.
    rate_limited: bool,
    /// The delay that the server asked for.
    requested_delay: Duration,
}

impl<'a> Call<'a> {
    fn new(client: &'a Inner, request: &'a PreparedRequest, mode: ResponseMode) -> Self {
        let started = Instant::now();
        let mut call = Self {
            client,
            request,
            mode,
            started,
            now: started,
            until: None,
            attempts: 0,
            secrets: Secrets {
                api_key: client.api_key.clone(),
                ..Secrets::default()
            },
            received: None,
        };
        call.until = call.deadline();
        call
    }

    /// Returns the caller's deadline.
    fn deadline(&self) -> Option<Instant> {
        let time = self.request.deadline(self.client)?;
        self.started.checked_add(time)
    }

    /// Returns the response of a call that succeeded.
    fn received(self) -> Result<ReceivedResponse, Error> {
        self.received.ok_or_else(|| {
            Error::invalid_response(
                self.attempts,
                format!("{} has no response", self.request.name),
            )
        })
    }

    /// Runs the call, in a span if tracing is enabled.
    async fn run_traced(&mut self) -> Result<(), Error> {
        let result = match self.span() {
            Some(span) => Box::pin(self.traced(span)).await,
            None => self.run().await,
        };
        result.map_err(|error| self.request.caller(self.client).identify(error))
    }

    fn span(&self) -> Option<Span> {
        let span = tracing::debug_span!(
            "earth_engine_request",
            method = %self.request.name.method,
            host = self.client.base.host_str(),
            path = %self.request.name.route,
            status = Empty,
            attempts = Empty,
            elapsed_ms = Empty,
        );
        (!span.is_disabled()).then_some(span)
    }

    async fn traced(&mut self, span: Span) -> Result<(), Error> {
        let result = self.run().instrument(span.clone()).await;
        let status = match &result {
            Ok(()) => self.received.as_ref().map(|received| received.status),
            Err(error) => error.api().map(|api| api.status),
        };
        if let Some(status) = status {
            span.record("status", status.as_u16());
        }
        span.record("attempts", self.attempts);
        let elapsed_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        span.record("elapsed_ms", elapsed_ms);
        let _entered = span.enter();
        match &result {
            Ok(()) => tracing::debug!("succeeded"),
            Err(error) => tracing::debug!(%error, "failed"),
        }
        result
    }

    async fn run(&mut self) -> Result<(), Error> {
        let policy = self.request.retry_policy(self.client);
        let shared = &self.client.shared;
        let mut retries = 0;
        let mut refused_streams = 0;
        let mut renewed = false;
        let mut spent = None;
        let mut last = None;
        loop {
            // The error of the last attempt says more than a timeout while waiting for the next
            // one. A token error is a failure of its own.
            let mut or_last = |error: Error| match error.kind() {
                ErrorKind::Timeout => last.take().unwrap_or(error),
                _ => error,
            };
            let permit = self.permit().await.map_err(&mut or_last)?;
            if self.attempts == 0 {
                self.until = earlier(self.until, self.now.checked_add(policy.max_elapsed));
            }
            // Fetched only now, because an earlier token may have expired while queueing.
            self.secrets.token = self.token().await.map_err(&mut or_last)?;
            let host = self.client.base.host_str().unwrap_or_default();
            let _waiting = tracing::debug_span!("waiting", for = host, attempt = self.attempts + 1);
            let failed = match self.attempt(permit).await {
                Ok(()) => {
                    shared.budget.succeeded(spent);
                    // The calls of a batch are authenticated one by one.
                    if !self.request.name.route.is_batch() {
                        let auth = &self.client.options.auth;
                        auth.accepted(self.secrets.token.as_ref());
                    }
                    return Ok(());
                }
                Err(failed) => failed,
            };
            self.now = Instant::now();
            if failed.refused_stream && refused_streams < MAX_REFUSED_STREAMS {
                refused_streams += 1;
                last = Some(failed.error);
                continue;
            }
            if !renewed
                && failed.error.is_unauthorized()
                && let Some(used) = self.secrets.token.take()
            {
                renewed = true;
                let another = Box::pin(self.client.options.auth.renew(&used, self.until)).await;
                self.now = Instant::now();
                match another {
                    Ok(true) => {}
                    Ok(false) => return Err(failed.error),
                    Err(error) => return Err(self.token_failure(error)),
                }
                tracing::debug!("the server rejected the token; retrying with a new one");
                self.secrets.rejected.push(used);
                last = Some(failed.error);
                continue;
            }
            let wait = policy.backoff(retries).max(failed.requested_delay);
            if !failed.may_retry || retries >= policy.max_retries || !self.has_time_for(wait) {
                return Err(failed.error);
            }
            spent = self.spend(&failed)?;
            retries += 1;
            tracing::debug!(error = %failed.error, wait = ?wait, "retrying");
            shared.events.emit(&ClientEvent::Retry {
                error: &failed.error,
                wait,
            });
            last = Some(failed.error);
            Box::pin(tokio::time::sleep(wait)).await;
            self.now = Instant::now();
        }
    }

    /// Waits for a concurrency permit and the rate limiter.
    async fn permit(&mut self) -> Result<Option<Permit>, Error> {
        let shared = &self.client.shared;
        if shared.rate_limiter.is_none() {
            match &shared.limiter {
                None => return Ok(None),
                Some(limiter) => {
                    if let Some(permit) = limiter.try_acquire() {
                        return Ok(Some(permit));
                    }
                }
            }
        }
        check_runtime()?;
        let turn = async {
            let permit = match &shared.limiter {
                Some(limiter) => limiter.acquire().await,
                None => None,
            };
            if let Some(rate_limiter) = &shared.rate_limiter {
                rate_limiter.acquire().await;
            }
            permit
        };
        // Boxed, like every future that is rarely awaited: a call is moved at each level of
        // nesting and should be small.
        let turn = Box::pin(within(self.until, turn)).await;
        self.now = Instant::now();
        turn.ok_or_else(|| {
            let message = format!(
                "{} timed out while queued: this client has too many concurrent requests",
                self.name()
            );
            Error::new(ErrorKind::Timeout, message)
                .with_attempts(self.attempts)
                .with_remedy(Remedy::new(
                    "Start fewer requests at once, or set a longer deadline.",
                ))
        })
    }

    /// Returns the current token, or `None` if the client has only an API key.
    async fn token(&mut self) -> Result<Option<AccessToken>, Error> {
        let Some(tokens) = &self.client.options.auth.tokens else {
            return Ok(None);
        };
        if let Some(token) = tokens.cached() {
            return Ok(Some(token));
        }
        check_runtime()?;
        open_ahead(&self.client.options.http, &self.client.base);
        let token = Box::pin(within(self.until, tokens.token())).await;
        self.now = Instant::now();
        match token {
            Some(Ok(token)) => Ok(Some(token)),
            Some(Err(error)) => Err(self.token_failure(error)),
            None => {
                let message = format!("no access token for {} before the deadline", self.name());
                Err(Error::new(ErrorKind::Timeout, message).with_attempts(self.attempts))
            }
        }
    }

    fn token_failure(&self, error: ee_token::Error) -> Error {
        Error::token(self.name(), error).with_attempts(self.attempts)
    }

    /// Takes the cost of a retry from the budget, or returns the failure if it is exhausted.
    fn spend(&self, failed: &FailedAttempt) -> Result<Option<Spent>, Error> {
        let shared = &self.client.shared;
        // With a concurrency limit, rate limits do not use up the budget.
        if failed.rate_limited && shared.limiter.is_some() {
            return Ok(None);
        }
        let after_timeout = failed.error.kind() == ErrorKind::Timeout;
        match shared.budget.spend(after_timeout) {
            Some(spent) => Ok(Some(spent)),
            None => {
                let error = &failed.error;
                tracing::debug!(%error, "not retried: the retry budget is exhausted");
                shared
                    .events
                    .emit(&ClientEvent::RetryBudgetExhausted { error });
                Err(failed.error.clone())
            }
        }
    }

    async fn attempt(&mut self, permit: Option<Permit>) -> Result<(), Box<FailedAttempt>> {
        let client = self.client;
        let sent = self.request.attempt(client, self.secrets.token.as_ref());
        let sent = sent.map_err(|error| self.failed(error, AttemptFailure::Permanent))?;
        let host = client.base.host_str().unwrap_or_default();
        let response = send_to(&client.options.http, sent, host, self.transfer());
        let response = response.map_err(|error| self.transport_failure(error))?;
        self.attempts += 1;
        let time = self.request.timeout(client);
        let until = earlier(self.until, self.now.checked_add(time));
        let result = {
            let all = pin!(self.exchange_once(response, permit));
            within(until, all).await
        };
        result.unwrap_or_else(|| Err(Box::new(self.timeout_failure())))
    }

    /// Sends one request and reads its response, holding the permit until then.
    async fn exchange_once(
        &mut self,
        response: impl Future<Output = Result<reqwest::Response, ee_token::Error>>,
        permit: Option<Permit>,
    ) -> Result<(), Box<FailedAttempt>> {
        let client = self.client;
        let mut response = response
            .await
            .map_err(|error| self.transport_failure(error))?;
        let status = response.status();
        let shared = &client.shared;
        let path = self.request.name.route.as_str();
        let events = &shared.events;
        let limiter = shared.limiter.as_deref();
        events.observe(response.headers(), path, limiter, &self.secrets);
        if !status.is_success() {
            let headers = std::mem::take(response.headers_mut());
            let body = Box::pin(read_error_body(response)).await;
            let api = ApiError::read(status, &body, &self.secrets);
            // An exhausted daily quota does not depend on concurrency.
            if api.is_rate_limit()
                && !api.is_daily_quota()
                && let Some(limit) = permit.as_ref().and_then(Permit::record_rate_limit)
            {
                tracing::debug!(limit, "the concurrency limit was lowered");
                events.emit(&ClientEvent::ConcurrencyReduced { limit });
            }
            return Err(Box::new(self.api_failure(api, &headers)));
        }
        if let Some(permit) = &permit {
            permit.record_success();
        }
        let (headers, body) = match self.mode {
            ResponseMode::Streaming => {
                let headers = std::mem::take(response.headers_mut());
                let open = Open {
                    response,
                    _permit: permit,
                };
                (headers, ReceivedBody::Streaming(Box::new(open)))
            }
            ResponseMode::Full => {
                let body =
                    read_bounded(&mut response, self.request.max_response_size(client)).await;
                let body = body.map_err(|error| self.transport_failure(error))?;
                // Moved only here, to keep the future small.
                let headers = std::mem::take(response.headers_mut());
                (headers, ReceivedBody::Full(body))
            }
        };
        self.received = Some(ReceivedResponse {
            status,
            headers,
            body,
        });
        Ok(())
    }

    /// Handles a missing, interrupted or overlong response.
    fn transport_failure(&self, error: ee_token::Error) -> FailedAttempt {
        let (kind, failure) = match error.kind() {
            ee_token::ErrorKind::Timeout => (ErrorKind::Timeout, AttemptFailure::ResponseLost),
            ee_token::ErrorKind::DisallowedUrl => {
                (ErrorKind::InvalidRequest, AttemptFailure::Permanent)
            }
            ee_token::ErrorKind::UntrustedEmulator => {
                (ErrorKind::UntrustedEmulator, AttemptFailure::Permanent)
            }
            ee_token::ErrorKind::InvalidResponse => {
                (ErrorKind::InvalidResponse, AttemptFailure::Permanent)
            }
            ee_token::ErrorKind::Runtime => (ErrorKind::Runtime, AttemptFailure::Permanent),
            ee_token::ErrorKind::InvalidEnvironment => {
                (ErrorKind::InvalidEnvironment, AttemptFailure::Permanent)
            }
            _ => (ErrorKind::Network, AttemptFailure::ResponseLost),
        };
        let failure = if error.was_not_sent() {
            AttemptFailure::NotSent
        } else {
            failure
        };
        let refused_stream = error.is_refused_stream();
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
            refused_stream,
            ..self.failed(error, failure)
        }
    }

    /// Handles an attempt that timed out.
    fn timeout_failure(&self) -> FailedAttempt {
        let client = self.client;
        replace_connections(&client.options.http, &client.base);
        let host = client.base.host_str().unwrap_or_default();
        let message = format!(
            "{} failed: no response from {host} before the timeout",
            self.name()
        );
        let error = Error::new(ErrorKind::Timeout, message).with_attempts(self.attempts);
        self.failed(error, AttemptFailure::ResponseLost)
    }

    fn api_failure(&self, api: ApiError, headers: &HeaderMap) -> FailedAttempt {
        let asked = retry_after(headers, Utc::now()).max(api.retry_delay);
        FailedAttempt {
            may_retry: may_retry(self.request.idempotent, AttemptFailure::Api(&api)),
            refused_stream: false,
            rate_limited: api.is_rate_limit(),
            requested_delay: asked.unwrap_or_default(),
            error: explain(self.name(), api, self.request.caller(self.client))
                .with_attempts(self.attempts),
        }
    }

    fn failed(&self, error: Error, failure: AttemptFailure<'_>) -> FailedAttempt {
        FailedAttempt {
            error,
            may_retry: may_retry(self.request.idempotent, failure),
            refused_stream: false,
            rate_limited: false,
            requested_delay: Duration::ZERO,
        }
    }

    /// Returns whether there would be time left for an attempt after this delay.
    fn has_time_for(&self, wait: Duration) -> bool {
        match (self.until, self.now.checked_add(wait)) {
            (Some(until), Some(then)) => then < until,
            (until, _) => until.is_none(),
        }
    }

    fn transfer(&self) -> Transfer {
        match self.mode {
            ResponseMode::Full if !self.request.name.route.returns_pixels() => Transfer::Small,
            _ => Transfer::Large,
        }
    }

    fn name(&self) -> &RequestName {
        &self.request.name
    }
}
