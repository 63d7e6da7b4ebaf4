//! Sending: a place, a token, an attempt, and what to do if it failed.

pub(crate) mod concurrency;
pub(crate) mod deadline;
pub(crate) mod error_body;
pub(crate) mod events;
pub(crate) mod rate;
pub(crate) mod retry_budget;

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use ee_token::{AccessToken, HttpClient, Remedy, read_bounded, retry_after};
use http::{HeaderMap, StatusCode};
use tokio::runtime::Handle;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use crate::client::Inner;
use crate::error::redactor::Secrets;
use crate::request::idempotency::{Failure, may_resend};
use crate::request::{Name, Prepared};
use crate::response::streaming::{Body, Limits, Open};
use crate::send::concurrency::Place;
use crate::send::deadline::{earlier, within};
use crate::send::error_body::read_beginning;
use crate::send::retry_budget::Spent;
use crate::{ApiError, ClientEvent, Error, ErrorKind, Response, StreamingResponse};

/// Sends a request until it succeeds, fails for good, or the policy gives up.
pub(crate) async fn exchange(client: &Inner, request: &mut Prepared) -> Result<Response, Error> {
    let mut call = Call::new(client, request, Want::All);
    call.carry_out().await?;
    let attempts = call.attempts;
    let secrets = std::mem::take(&mut call.secrets);
    let answer = call.answer()?;
    let body = match answer.body {
        Received::All(body) => body,
        Received::Head(_) => Bytes::new(),
    };
    Ok(Response {
        status: answer.status,
        headers: answer.headers,
        body,
        attempts,
        name: std::mem::take(&mut request.name),
        secrets,
    })
}

/// The same, until the reply begins.
pub(crate) async fn exchange_streaming(
    client: &Inner,
    request: &mut Prepared,
) -> Result<StreamingResponse, Error> {
    let mut call = Call::new(client, request, Want::Head);
    call.carry_out().await?;
    let (attempts, until) = (call.attempts, call.deadline());
    let answer = call.answer()?;
    let body = match answer.body {
        Received::Head(open) => Body::Open(open),
        Received::All(_) => Body::Ended,
    };
    let limits = Limits {
        pause: request.timeout(client),
        until,
        bytes: request.own_max_reply(),
    };
    Ok(StreamingResponse {
        status: answer.status,
        headers: answer.headers,
        attempts,
        name: std::mem::take(&mut request.name),
        body,
        read: 0,
        limits,
    })
}

/// One request, and what became of it so far.
struct Call<'a> {
    client: &'a Inner,
    request: &'a Prepared,
    want: Want,
    started: Instant,
    /// The last look at the clock: there is one after each wait, and no other.
    now: Instant,
    /// The earlier of the [`deadline`](Self::deadline) and the end of the policy's total, which
    /// begins with the first attempt.
    until: Option<Instant>,
    attempts: u32,
    /// What the server was sent. It may echo what it did not take after that, too.
    secrets: Secrets,
    /// What the last attempt that succeeded brought. Put here as soon as it is there, and moved
    /// once: it is large.
    answer: Option<Answer>,
}

/// What is waited for.
#[derive(Clone, Copy)]
enum Want {
    All,
    Head,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Received,
}

enum Received {
    All(Bytes),
    Head(Box<Open>),
}

/// A failed attempt.
struct Failed {
    error: Error,
    may_resend: bool,
    /// Whether the server sent it back unread, to be sent again at once.
    turned_back: bool,
    /// Whether what was asked was too much at once, which the concurrency limit answers.
    rate_limited: bool,
    /// The wait that the server asks for.
    asked_wait: Duration,
}

impl<'a> Call<'a> {
    fn new(client: &'a Inner, request: &'a Prepared, want: Want) -> Self {
        let started = Instant::now();
        let mut call = Self {
            client,
            request,
            want,
            started,
            now: started,
            until: None,
            attempts: 0,
            secrets: Secrets {
                api_key: client.api_key.clone(),
                ..Secrets::default()
            },
            answer: None,
        };
        call.until = call.deadline();
        call
    }

    /// When the time is over that the caller gave it in all.
    fn deadline(&self) -> Option<Instant> {
        let time = self.request.deadline(self.client)?;
        self.started.checked_add(time)
    }

    /// The answer of a call that was sent.
    fn answer(self) -> Result<Answer, Error> {
        self.answer.ok_or_else(|| {
            Error::after(
                self.attempts,
                ErrorKind::InvalidResponse,
                format!("{} has no answer", self.request.name),
            )
        })
    }

    /// Does all that there is to do, in a span of its own if anybody looks at those.
    async fn carry_out(&mut self) -> Result<(), Error> {
        if let Some(span) = self.span() {
            return Box::pin(self.traced(span)).await;
        }
        self.run().await
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
            Ok(()) => self.answer.as_ref().map(|answer| answer.status),
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
            Ok(()) => tracing::debug!("answered"),
            Err(error) => tracing::debug!(%error, "failed"),
        }
        result
    }

    async fn run(&mut self) -> Result<(), Error> {
        let policy = self.request.retry_policy(self.client);
        let shared = &self.client.shared;
        let mut retries = 0;
        let mut turned_back = 0;
        let mut renewed = false;
        let mut spent = None;
        let mut last = None;
        loop {
            // What went wrong with the attempt before says more than that there is no time for
            // another. That there is no token is a failure of its own.
            let mut or_last = |error: Error| match error.kind() {
                ErrorKind::Timeout => last.take().unwrap_or(error),
                _ => error,
            };
            let place = self.place().await.map_err(&mut or_last)?;
            if self.attempts == 0 {
                self.until = earlier(self.until, self.now.checked_add(policy.max_elapsed));
            }
            // Only now: an older one may have expired while this request waited.
            self.secrets.token = self.token().await.map_err(&mut or_last)?;
            let failed = match self.attempt(place).await {
                Ok(()) => {
                    shared.budget.succeeded(spent);
                    if renewed {
                        let auth = &self.client.options.auth;
                        auth.accepted(self.secrets.token.as_ref());
                    }
                    return Ok(());
                }
                Err(failed) => failed,
            };
            self.now = Instant::now();
            if failed.turned_back && turned_back < HttpClient::MAX_REFUSED_STREAMS {
                turned_back += 1;
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
                    Err(error) => return Err(self.no_token(error)),
                }
                tracing::debug!("the server did not take the token; sending another");
                self.secrets.refused.push(used);
                last = Some(failed.error);
                continue;
            }
            let wait = policy.backoff(retries).max(failed.asked_wait);
            if !failed.may_resend || retries >= policy.max_retries || !self.has_time_for(wait) {
                return Err(failed.error);
            }
            spent = self.spend(&failed)?;
            retries += 1;
            tracing::debug!(error = %failed.error, wait = ?wait, "trying again");
            shared.signals.emit(&ClientEvent::Retry {
                error: &failed.error,
                wait,
            });
            last = Some(failed.error);
            Box::pin(tokio::time::sleep(wait)).await;
            self.now = Instant::now();
        }
    }

    /// A place among the requests under way, and a turn to begin.
    async fn place(&mut self) -> Result<Option<Place>, Error> {
        let shared = &self.client.shared;
        if shared.pace.is_none() {
            match &shared.limiter {
                None => return Ok(None),
                Some(limiter) => {
                    if let Some(place) = limiter.free_place() {
                        return Ok(Some(place));
                    }
                }
            }
        }
        check_runtime()?;
        let turn = async {
            let place = match &shared.limiter {
                Some(limiter) => limiter.place().await,
                None => None,
            };
            if let Some(pace) = &shared.pace {
                pace.turn().await;
            }
            place
        };
        // Boxed, as is all that is rarely waited for: a call is moved as often as it is nested,
        // and should be small.
        let turn = Box::pin(within(self.until, turn)).await;
        self.now = Instant::now();
        turn.ok_or_else(|| {
            Error::after(
                self.attempts,
                ErrorKind::Timeout,
                format!(
                    "{} did not get its turn in time: too many requests of this client are under way",
                    self.name()
                ),
            )
        })
    }

    /// The current token; none for a client that has only an API key.
    async fn token(&mut self) -> Result<Option<AccessToken>, Error> {
        let Some(tokens) = &self.client.options.auth.tokens else {
            return Ok(None);
        };
        if let Some(token) = tokens.cached() {
            return Ok(Some(token));
        }
        check_runtime()?;
        let token = Box::pin(within(self.until, tokens.token())).await;
        self.now = Instant::now();
        match token {
            Some(Ok(token)) => Ok(Some(token)),
            Some(Err(error)) => Err(self.no_token(error)),
            None => Err(Error::after(
                self.attempts,
                ErrorKind::Timeout,
                format!("no token for {} in time", self.name()),
            )),
        }
    }

    fn no_token(&self, error: ee_token::Error) -> Error {
        Error::after(
            self.attempts,
            ErrorKind::Token,
            format!("there is no token for {}: {error}", self.name()),
        )
        .context(error)
    }

    /// Takes what a retry costs, or returns the failure if there is not enough left.
    fn spend(&self, failed: &Failed) -> Result<Option<Spent>, Error> {
        let shared = &self.client.shared;
        // A rate limit is answered by the concurrency limit; without one, by the budget.
        if failed.rate_limited && shared.limiter.is_some() {
            return Ok(None);
        }
        let after_timeout = failed.error.kind() == ErrorKind::Timeout;
        match shared.budget.spend(after_timeout) {
            Some(spent) => Ok(Some(spent)),
            None => {
                let error = &failed.error;
                tracing::debug!(%error, "not sent again: too many requests fail");
                shared
                    .signals
                    .emit(&ClientEvent::RetryBudgetExhausted { error });
                Err(failed.error.clone())
            }
        }
    }

    async fn attempt(&mut self, place: Option<Place>) -> Result<(), Box<Failed>> {
        let client = self.client;
        let sent = self.request.attempt(client, self.secrets.token.as_ref());
        let sent = sent.map_err(|error| self.failed(error, Failure::Final))?;
        let host = client.base.host_str().unwrap_or_default();
        let reply = client.options.http.send_to(sent, host);
        let reply = reply.map_err(|error| self.lost(error))?;
        self.attempts += 1;
        let time = self.request.timeout(client);
        let until = earlier(self.until, self.now.checked_add(time));
        let result = {
            let all = pin!(self.exchange_once(reply, place));
            within(until, all).await
        };
        result.unwrap_or_else(|| Err(Box::new(self.late())))
    }

    /// One request and its answer, which holds the place until it is read.
    async fn exchange_once(
        &mut self,
        reply: impl Future<Output = Result<reqwest::Response, ee_token::Error>>,
        place: Option<Place>,
    ) -> Result<(), Box<Failed>> {
        let client = self.client;
        let mut reply = reply.await.map_err(|error| self.lost(error))?;
        let status = reply.status();
        let shared = &client.shared;
        let path = self.request.name.route.as_str();
        let signals = &shared.signals;
        let limiter = shared.limiter.as_deref();
        signals.observe(reply.headers(), path, limiter, &self.secrets);
        if !status.is_success() {
            let headers = std::mem::take(reply.headers_mut());
            let body = Box::pin(read_beginning(reply)).await;
            let api = ApiError::read(status, &body, &self.secrets);
            // A spent budget of the day is no matter of how many at once.
            if api.is_rate_limit()
                && !api.is_daily_quota()
                && let Some(limit) = place.as_ref().and_then(Place::turned_away)
            {
                tracing::debug!(limit, "the concurrency limit was lowered");
                signals.emit(&ClientEvent::ConcurrencyReduced { limit });
            }
            return Err(Box::new(self.refused(api, &headers)));
        }
        if let Some(place) = &place {
            place.succeeded();
        }
        let (headers, body) = match self.want {
            Want::Head => {
                let headers = std::mem::take(reply.headers_mut());
                let open = Open {
                    reply,
                    _place: place,
                };
                (headers, Received::Head(Box::new(open)))
            }
            Want::All => {
                let body = read_bounded(&mut reply, self.request.max_response_size(client)).await;
                let body = body.map_err(|error| self.lost(error))?;
                // Not before: a call should be small, and has room for them once.
                let headers = std::mem::take(reply.headers_mut());
                (headers, Received::All(body))
            }
        };
        self.answer = Some(Answer {
            status,
            headers,
            body,
        });
        Ok(())
    }

    /// No answer, or one that broke off or is too long.
    fn lost(&self, error: ee_token::Error) -> Failed {
        let (kind, failure) = match error.kind() {
            ee_token::ErrorKind::Timeout => (ErrorKind::Timeout, Failure::Lost),
            ee_token::ErrorKind::DisallowedUrl | ee_token::ErrorKind::UntrustedEmulator => {
                (ErrorKind::InvalidRequest, Failure::Final)
            }
            ee_token::ErrorKind::InvalidResponse => (ErrorKind::InvalidResponse, Failure::Final),
            ee_token::ErrorKind::Runtime => (ErrorKind::Runtime, Failure::Final),
            _ => (ErrorKind::Network, Failure::Lost),
        };
        let failure = if error.was_not_sent() {
            Failure::NeverSent
        } else {
            failure
        };
        let turned_back = error.is_refused_stream();
        let message = format!("{} failed: {error}", self.name());
        let error = Error::after(self.attempts, kind, message).context(error);
        Failed {
            turned_back,
            ..self.failed(error, failure)
        }
    }

    /// No whole answer in the time of one attempt.
    fn late(&self) -> Failed {
        let host = self.client.base.host_str().unwrap_or_default();
        let message = format!("{} failed: no answer from {host} in time", self.name());
        let error = Error::after(self.attempts, ErrorKind::Timeout, message);
        self.failed(error, Failure::Lost)
    }

    fn refused(&self, api: ApiError, headers: &HeaderMap) -> Failed {
        let asked = retry_after(headers, Utc::now()).max(api.retry_delay);
        Failed {
            may_resend: may_resend(self.request.idempotent, Failure::Refused(&api)),
            turned_back: false,
            rate_limited: api.is_rate_limit(),
            asked_wait: asked.unwrap_or_default(),
            error: Error::of_api(self.attempts, self.name(), api),
        }
    }

    fn failed(&self, error: Error, failure: Failure<'_>) -> Failed {
        Failed {
            error,
            may_resend: may_resend(self.request.idempotent, failure),
            turned_back: false,
            rate_limited: false,
            asked_wait: Duration::ZERO,
        }
    }

    /// Whether an attempt after this wait would still have some time.
    fn has_time_for(&self, wait: Duration) -> bool {
        match (self.until, self.now.checked_add(wait)) {
            (Some(until), Some(then)) => then < until,
            (until, _) => until.is_none(),
        }
    }

    fn name(&self) -> &Name {
        &self.request.name
    }
}

/// Connections and timers need a runtime, and timers panic without one.
pub(crate) fn check_runtime() -> Result<(), Error> {
    match Handle::try_current() {
        Ok(_) => Ok(()),
        Err(_) => Err(
            Error::new(ErrorKind::Runtime, "a request needs a tokio runtime").with_remedy(
                Remedy::new("Call from inside a tokio runtime, or use the blocking client."),
            ),
        ),
    }
}
