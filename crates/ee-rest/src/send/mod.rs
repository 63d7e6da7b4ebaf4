//! Sending: the permit, the token, the attempt, and the retry.

pub(crate) mod admission;
pub(crate) mod answer;
pub(crate) mod deadline;
pub(crate) mod driver;
pub(crate) mod error_body;
pub(crate) mod events;
mod failure;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ee_token::internal::{MAX_UNPROCESSED, Transfer, open_ahead, read_bounded, send_to};
use ee_token::{AccessToken, Remedy};
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::instrument::WithSubscriber as _;
use tracing::{Dispatch, Instrument as _, Span};

use crate::client::Inner;
use crate::error::redactor::Secrets;
use crate::request::idempotency::AttemptFailure;
use crate::request::name::RequestName;
use crate::request::prepared::PreparedRequest;
use crate::response::streaming::{Limits, Open};
use crate::send::admission::{Outage, Permit};
use crate::send::answer::{Answer, ReceivedBody, ReceivedResponse};
use crate::send::deadline::{earlier, within};
use crate::send::error_body::read_error_body;
use crate::send::failure::{FailedAttempt, Outcome};
use crate::{ApiError, Client, ClientEvent, Error, ErrorKind, Response, StreamingResponse};

/// Sends a request until it succeeds, fails permanently, or exhausts the retry policy.
pub(crate) async fn exchange(client: Client, request: PreparedRequest) -> Result<Response, Error> {
    let answer = run(client, request, ResponseMode::Full).await?;
    Ok(answer.into_response())
}

/// Sends a request like [`exchange`], but returns when the response begins.
pub(crate) async fn exchange_streaming(
    client: Client,
    request: PreparedRequest,
) -> Result<StreamingResponse, Error> {
    let answer = run(client, request, ResponseMode::Streaming).await?;
    Ok(answer.into_streaming_response())
}

async fn run(
    client: Client,
    request: PreparedRequest,
    mode: ResponseMode,
) -> Result<Answer, Error> {
    let trace = trace(&client.0, &request.name);
    let driver = Arc::clone(&client.0.shared.driver);
    let call = async move {
        let mut call = Call::new(&client.0, &request, mode);
        call.run_traced(trace).await?;
        let limits = Limits {
            chunk_timeout: request.timeout(&client.0),
            until: call.deadline(),
            bytes: request.own_max_response_size(),
        };
        let (attempts, secrets) = (call.attempts, std::mem::take(&mut call.secrets));
        let received = call.received()?;
        Ok(Answer {
            received,
            attempts,
            name: request.name,
            secrets,
            limits,
        })
    };
    driver.run(call).await
}

/// The span of a call and the caller's subscriber, if tracing is enabled.
type Trace = Option<Box<(Span, Dispatch)>>;

fn trace(client: &Inner, name: &RequestName) -> Trace {
    let span = tracing::debug_span!(
        "earth_engine_request",
        method = %name.method,
        host = client.base.host_str(),
        path = %name.route,
        status = Empty,
        attempts = Empty,
        elapsed_ms = Empty,
    );
    let subscriber = || tracing::dispatcher::get_default(Dispatch::clone);
    (!span.is_disabled()).then(|| Box::new((span, subscriber())))
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
    async fn run_traced(&mut self, trace: Trace) -> Result<(), Error> {
        let result = match trace {
            Some(trace) => {
                let (span, subscriber) = *trace;
                Box::pin(self.traced(span).with_subscriber(subscriber)).await
            }
            None => self.run().await,
        };
        result.map_err(|error| self.request.caller(self.client).identify(error))
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
        // A call that is not retried is not held for long in an outage either.
        let patience = match policy.max_retries {
            0 => Duration::ZERO,
            _ => policy.max_elapsed,
        };
        let mut retries = 0;
        let mut unprocessed = 0;
        let mut renewed = false;
        let mut last = None;
        let mut permit = self.permit(patience).await?;
        self.until = earlier(self.until, self.now.checked_add(policy.max_elapsed));
        loop {
            // Fetched only now, because an earlier token may have expired while queueing.
            match self.token().await {
                Ok(token) => self.secrets.token = token,
                // The error of the last attempt says more than a timeout while waiting for the
                // next one.
                Err(error) if error.is_own_timeout() => {
                    return Err(last.unwrap_or(error));
                }
                Err(error) => return Err(error),
            }
            let host = self.client.base.host_str().unwrap_or_default();
            let _waiting =
                tracing::debug_span!("waiting", waits_for = host, attempt = self.attempts + 1);
            let failed = match self.attempt(&permit).await {
                Ok(()) => {
                    self.lease_place(permit);
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
            // The time of the call ended during the attempt, and the one before says more.
            if failed.error.kind() == ErrorKind::Timeout
                && !self.has_time_for(Duration::ZERO)
                && let Some(last) = last.take()
            {
                return Err(last);
            }
            if failed.is_unprocessed && unprocessed < MAX_UNPROCESSED {
                unprocessed += 1;
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
            let counts = self.record(&mut permit, &failed);
            let wait = policy.backoff(retries).max(failed.requested_delay);
            if !failed.may_retry
                || policy.max_retries == 0
                || counts && retries >= policy.max_retries
                || !self.has_time_for(wait)
            {
                return Err(failed.error);
            }
            retries += u32::from(counts);
            tracing::debug!(error = %failed.error, wait = ?wait, "retrying");
            self.client.shared.events.emit(&ClientEvent::Retry {
                error: &failed.error,
                wait,
            });
            let next = async {
                tokio::time::sleep(wait).await;
                permit.renew(patience).await
            };
            let next = Box::pin(within(self.until, next)).await;
            self.now = Instant::now();
            if !matches!(next, Some(Ok(()))) {
                return Err(failed.error);
            }
            last = Some(failed.error);
        }
    }

    /// Waits for a permit.
    async fn permit(&mut self, patience: Duration) -> Result<Permit, Error> {
        let admission = &self.client.shared.admission;
        if let Some(permit) = admission.try_acquire(self.now) {
            return Ok(permit);
        }
        // Boxed, like every future that is rarely awaited: a call is moved at each level of
        // nesting and should be small.
        let permit = Box::pin(within(self.until, admission.acquire(patience))).await;
        self.now = Instant::now();
        match permit {
            Some(Ok(permit)) => Ok(permit),
            Some(Err(Outage)) | None => Err(self.queue_timeout()),
        }
    }

    /// Returns the error of a call whose time passed before its request was sent.
    fn queue_timeout(&self) -> Error {
        let host = self.client.base.host_str().unwrap_or_default();
        let (why, remedy) = {
            let control = self.client.shared.admission.control();
            match (control.outage(), control.limit()) {
                (Some(since), _) => {
                    let seconds = (self.now - since).as_secs();
                    (
                        format!("requests to {host} have been failing for {seconds} s"),
                        "Try again later. To wait for longer, set a longer deadline and a larger `max_elapsed` of the retry policy.",
                    )
                }
                (None, Some(limit)) if control.is_reduced() => (
                    format!("rate limits reduced this client to {limit} concurrent requests"),
                    "Run fewer programs at once in this project, or set a longer deadline.",
                ),
                _ => (
                    "this client has too many concurrent requests".to_owned(),
                    "Start fewer requests at once, or set a longer deadline.",
                ),
            }
        };
        let message = format!("{} timed out while queued: {why}", self.name());
        Error::new(ErrorKind::Timeout, message)
            .with_attempts(self.attempts)
            .with_remedy(Remedy::new(remedy))
    }

    /// Gives back the place of a call that succeeded, or leaves it to the streamed response.
    fn lease_place(&mut self, mut permit: Permit) {
        if let Some(received) = &mut self.received
            && let ReceivedBody::Streaming(open) = &mut received.body
        {
            permit.lease(Instant::now());
            open.permit = Some(permit);
        }
    }

    /// Records what a failed attempt says about the server. Returns whether it counts as one of
    /// the call's retries. It does not if it is due to the state of a server that has worked
    /// before: a rate limit, or a failure of most requests while other calls wait.
    fn record(&self, permit: &mut Permit, failed: &FailedAttempt) -> bool {
        let shared = &self.client.shared;
        match failed.outcome {
            None => {}
            Some(Outcome::Accepted) => permit.accepted(),
            Some(Outcome::RateLimited) => {
                if let Some(limit) = permit.rejected(failed.requested_delay, self.now) {
                    tracing::debug!(limit, "the concurrency limit was lowered");
                    let event = ClientEvent::ConcurrencyReduced { limit };
                    shared.events.emit(&event);
                }
                return !shared.admission.control().blames_quota();
            }
            Some(Outcome::Unavailable) => {
                if permit.failed(self.now) {
                    let error = &failed.error;
                    tracing::debug!(%error, "most requests fail; requests are held");
                    shared.events.emit(&ClientEvent::Outage { error });
                }
                return !shared.admission.control().blames_server();
            }
        }
        true
    }

    /// Returns the current token, or `None` if the client has only an API key.
    async fn token(&mut self) -> Result<Option<AccessToken>, Error> {
        let Some(tokens) = &self.client.options.auth.tokens else {
            return Ok(None);
        };
        if let Some(token) = tokens.cached() {
            return Ok(Some(token));
        }
        // Large responses have connections of their own.
        if matches!(self.transfer(), Transfer::Small) {
            open_ahead(&self.client.options.http, &self.client.base);
        }
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
        Error::token(error).with_attempts(self.attempts)
    }

    async fn attempt(&mut self, permit: &Permit) -> Result<(), Box<FailedAttempt>> {
        let client = self.client;
        let sent = self.request.attempt(client, self.secrets.token.as_ref());
        let sent = sent.map_err(|error| self.failed(error, AttemptFailure::Permanent))?;
        let host = client.base.host_str().unwrap_or_default();
        let idempotent = self.request.idempotent;
        let response = send_to(
            &client.options.http,
            sent,
            host,
            self.transfer(),
            idempotent,
        );
        let response = response.map_err(|error| self.transport_failure(error))?;
        self.attempts += 1;
        let time = self.request.timeout(client);
        let attempt_until = self.now.checked_add(time);
        let until = earlier(self.until, attempt_until);
        let result = {
            let all = pin!(self.exchange_once(response, permit));
            within(until, all).await
        };
        result.unwrap_or_else(|| {
            let mut failed = self.timeout_failure();
            // An early deadline of the caller says nothing about the server.
            if until != attempt_until {
                failed.outcome = None;
            }
            Err(Box::new(failed))
        })
    }

    /// Sends one request and reads its response.
    async fn exchange_once(
        &mut self,
        response: impl Future<Output = Result<reqwest::Response, ee_token::Error>>,
        permit: &Permit,
    ) -> Result<(), Box<FailedAttempt>> {
        let client = self.client;
        let mut response = response
            .await
            .map_err(|error| self.transport_failure(error))?;
        let status = response.status();
        let shared = &client.shared;
        let path = self.request.name.route.as_str();
        let headers = response.headers();
        let (events, admission) = (&shared.events, &shared.admission);
        events.observe(headers, path, admission, &self.secrets);
        if !status.is_success() {
            let headers = std::mem::take(response.headers_mut());
            let body = Box::pin(read_error_body(response)).await;
            let api = ApiError::read(status, &body, &self.secrets);
            return Err(Box::new(self.api_failure(api, &headers)));
        }
        permit.succeeded(Instant::now());
        let (headers, body) = match self.mode {
            ResponseMode::Streaming => {
                let headers = std::mem::take(response.headers_mut());
                (
                    headers,
                    ReceivedBody::Streaming(Box::new(Open::new(response))),
                )
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
