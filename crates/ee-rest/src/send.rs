//! Sending: a place, a token, an attempt, and what to do if it failed.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use ee_token::{AccessToken, Remedy, TokenCache, read_bounded, retry_after};
use http::{HeaderMap, StatusCode};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::Instrument as _;
use tracing::field::Empty;
use zeroize::Zeroizing;

use crate::budget::Spent;
use crate::client::Inner;
use crate::limit::Place;
use crate::request::{Name, Prepared};
use crate::resend::{Failure, may_resend};
use crate::secrets::Secrets;
use crate::streaming::{Body, Limits};
use crate::{ApiError, Error, ErrorKind, Response, Signal, StreamingResponse};

/// What is read of a refusal at most; the rest says nothing more.
pub(crate) const MAX_REFUSAL: usize = 64 * 1024;

/// How long the rest of a refusal is waited for; its status says the most of it.
const REFUSAL_TIME: Duration = Duration::from_secs(10);

/// Sends a request until it succeeds, fails for good, or the policy gives up.
pub(crate) async fn exchange(client: &Inner, request: Prepared) -> Result<Response, Error> {
    let mut call = Call::new(client, &request, Want::All);
    call.traced().await?;
    let attempts = call.attempts;
    let answer = call.answer()?;
    let body = match answer.body {
        Received::All(body) => body,
        Received::Head(..) => Bytes::new(),
    };
    Ok(Response {
        status: answer.status,
        headers: answer.headers,
        body,
        attempts,
        name: request.name,
        secrets: answer.secrets,
    })
}

/// The same, until the reply begins.
pub(crate) async fn exchange_streaming(
    client: &Inner,
    request: Prepared,
) -> Result<StreamingResponse, Error> {
    let mut call = Call::new(client, &request, Want::Head);
    call.traced().await?;
    let (attempts, until) = (call.attempts, call.deadline);
    let answer = call.answer()?;
    let body = match answer.body {
        Received::Head(reply, place) => Body::Open {
            reply,
            _place: place,
        },
        Received::All(_) => Body::Ended,
    };
    let limits = Limits {
        pause: request.timeout,
        until,
        bytes: request.own_max_reply,
    };
    Ok(StreamingResponse {
        status: answer.status,
        headers: answer.headers,
        attempts,
        name: request.name,
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
    /// What the caller gave it in all.
    deadline: Option<Instant>,
    /// The earlier of that and the end of the policy's total, which begins with the first
    /// attempt.
    until: Option<Instant>,
    attempts: u32,
    /// The tokens that the server did not take. It may echo them after that, too.
    refused: Vec<AccessToken>,
    /// Put here as soon as it is there, and moved once: it is large.
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
    secrets: Secrets,
    body: Received,
}

enum Received {
    All(Bytes),
    Head(reqwest::Response, Option<Place>),
}

/// A failed attempt.
struct Failed {
    error: Error,
    may_resend: bool,
    /// Whether what was asked was too much at once, which the concurrency limit answers.
    rate_limited: bool,
    /// The wait that the server asks for.
    asked_wait: Duration,
}

impl<'a> Call<'a> {
    fn new(client: &'a Inner, request: &'a Prepared, want: Want) -> Self {
        let started = Instant::now();
        let deadline = request.deadline.and_then(|d| started.checked_add(d));
        Self {
            client,
            request,
            want,
            started,
            deadline,
            until: deadline,
            attempts: 0,
            refused: Vec::new(),
            answer: None,
        }
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

    async fn traced(&mut self) -> Result<(), Error> {
        let span = tracing::debug_span!(
            "earth_engine_request",
            method = %self.request.name.method,
            host = self.client.base.host_str(),
            path = %self.request.name.route,
            status = Empty,
            attempts = Empty,
            elapsed_ms = Empty,
        );
        if span.is_disabled() {
            return self.run().await;
        }
        let result = Box::pin(self.run().instrument(span.clone())).await;
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
        check_runtime()?;
        let policy = &self.request.retry;
        let shared = &self.client.shared;
        let mut retries = 0;
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
                self.until = earlier(self.until, Instant::now().checked_add(policy.total));
            }
            // Only now: an older one may have expired while this request waited.
            let mut token = self.token().await.map_err(&mut or_last)?;
            let failed = match self.attempt(token.as_ref(), place).await {
                Ok(()) => {
                    shared.budget.succeeded(spent);
                    return Ok(());
                }
                Err(failed) => failed,
            };
            if let (Some(tokens), Some(used)) = (&self.client.options.auth.tokens, token.take())
                && !renewed
                && is_unauthorized(&failed.error)
            {
                renewed = true;
                match self.renew(tokens, &used).await {
                    Ok(true) => {}
                    Err(error) if error.kind() != ErrorKind::Timeout => return Err(error),
                    _ => return Err(failed.error),
                }
                tracing::debug!("the server did not take the token; sending another");
                self.refused.push(used);
                last = Some(failed.error);
                continue;
            }
            let wait = policy.wait(retries).max(failed.asked_wait);
            if !failed.may_resend || retries >= policy.max_retries || !self.has_time_for(wait) {
                return Err(failed.error);
            }
            spent = self.spend(&failed)?;
            retries += 1;
            tracing::debug!(error = %failed.error, wait = ?wait, "trying again");
            shared.signals.emit(&Signal::Retry {
                error: &failed.error,
                wait,
            });
            last = Some(failed.error);
            Box::pin(tokio::time::sleep(wait)).await;
        }
    }

    /// A place among the requests under way, and a turn to begin.
    async fn place(&self) -> Result<Option<Place>, Error> {
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
    async fn token(&self) -> Result<Option<AccessToken>, Error> {
        let Some(tokens) = &self.client.options.auth.tokens else {
            return Ok(None);
        };
        if let Some(token) = tokens.current() {
            return Ok(Some(token));
        }
        match Box::pin(within(self.until, tokens.token())).await {
            Some(Ok(token)) => Ok(Some(token)),
            Some(Err(error)) => Err(Error::after(
                self.attempts,
                ErrorKind::Token,
                format!("there is no token for {}: {error}", self.name()),
            )
            .caused_by(error)),
            None => Err(Error::after(
                self.attempts,
                ErrorKind::Timeout,
                format!("no token for {} in time", self.name()),
            )),
        }
    }

    /// Whether there is a token in the place of one that the server did not take.
    async fn renew(&self, tokens: &TokenCache, used: &AccessToken) -> Result<bool, Error> {
        tokens.invalidate(used);
        let new = self.token().await?;
        // Metadata servers hand out the same token until shortly before its end.
        Ok(new.is_some_and(|new| !new.is_same(used)))
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
                shared.signals.emit(&Signal::RetryBudgetSpent { error });
                Err(failed.error.clone())
            }
        }
    }

    async fn attempt(
        &mut self,
        token: Option<&AccessToken>,
        place: Option<Place>,
    ) -> Result<(), Box<Failed>> {
        let sent = self.build(token)?;
        self.attempts += 1;
        let until = earlier(self.until, Instant::now().checked_add(self.request.timeout));
        let host = self.client.base.host_str().unwrap_or_default();
        let reply = self.client.options.http.send_resolved(sent, host);
        let result = {
            let all = pin!(self.exchange_once(reply, token, place));
            within(until, all).await
        };
        result.unwrap_or_else(|| Err(Box::new(self.late())))
    }

    fn build(&self, token: Option<&AccessToken>) -> Result<reqwest::Request, Box<Failed>> {
        let request = self.request;
        let url = request.url(self.client).map_err(|error| Failed {
            error,
            may_resend: false,
            rate_limited: false,
            asked_wait: Duration::ZERO,
        })?;
        let mut sent = reqwest::Request::new(request.name.method.clone(), url);
        *sent.headers_mut() = request.headers(self.client, token);
        *sent.body_mut() = request.body.clone().map(reqwest::Body::from);
        Ok(sent)
    }

    /// One request and its answer, which holds the place until it is read.
    async fn exchange_once(
        &mut self,
        reply: impl Future<Output = Result<reqwest::Response, ee_token::Error>>,
        token: Option<&AccessToken>,
        place: Option<Place>,
    ) -> Result<(), Box<Failed>> {
        let client = self.client;
        let mut reply = reply.await.map_err(|error| self.lost(error))?;
        let status = reply.status();
        let headers = std::mem::take(reply.headers_mut());
        let secrets = Secrets {
            token: token.cloned(),
            refused: self.refused.clone(),
            api_key: client.api_key.clone(),
        };
        let shared = &client.shared;
        let path = self.request.name.route.as_str();
        let signals = &shared.signals;
        signals.observe(&headers, path, shared.limiter.as_deref(), &secrets);
        if !status.is_success() {
            let body = Box::pin(read_beginning(reply)).await;
            let api = ApiError::read(status, &body, &secrets);
            // A spent budget of the day is no matter of how many at once.
            if api.is_rate_limit()
                && !api.is_daily_budget()
                && let Some(limit) = place.as_ref().and_then(Place::turned_away)
            {
                tracing::debug!(limit, "the concurrency limit was lowered");
                signals.emit(&Signal::ConcurrencyLowered { limit });
            }
            return Err(Box::new(self.refused(api, &headers)));
        }
        if let Some(place) = &place {
            place.succeeded();
        }
        let body = match self.want {
            Want::Head => Received::Head(reply, place),
            Want::All => {
                let body = read_bounded(reply, self.request.max_reply).await;
                Received::All(body.map_err(|error| self.lost(error))?)
            }
        };
        self.answer = Some(Answer {
            status,
            headers,
            secrets,
            body,
        });
        Ok(())
    }

    /// No answer, or one that broke off or is too long.
    fn lost(&self, error: ee_token::Error) -> Failed {
        let (kind, failure) = match error.kind() {
            ee_token::ErrorKind::Timeout => (ErrorKind::Timeout, Failure::Lost),
            ee_token::ErrorKind::RefusedUrl => (ErrorKind::InvalidRequest, Failure::Final),
            ee_token::ErrorKind::InvalidResponse => (ErrorKind::InvalidResponse, Failure::Final),
            _ => (ErrorKind::Network, Failure::Lost),
        };
        let failure = if error.never_arrived() {
            Failure::NeverSent
        } else {
            failure
        };
        Failed {
            may_resend: self.may_resend(failure),
            rate_limited: false,
            asked_wait: Duration::ZERO,
            error: Error::after(
                self.attempts,
                kind,
                format!("{} failed: {error}", self.name()),
            )
            .caused_by(error),
        }
    }

    /// No whole answer in the time of one attempt.
    fn late(&self) -> Failed {
        let host = self.client.base.host_str().unwrap_or_default();
        Failed {
            may_resend: self.may_resend(Failure::Lost),
            rate_limited: false,
            asked_wait: Duration::ZERO,
            error: Error::after(
                self.attempts,
                ErrorKind::Timeout,
                format!("{} failed: no answer from {host} in time", self.name()),
            ),
        }
    }

    fn refused(&self, api: ApiError, headers: &HeaderMap) -> Failed {
        let asked = retry_after(headers, Utc::now()).max(api.retry_delay);
        Failed {
            may_resend: self.may_resend(Failure::Refused(&api)),
            rate_limited: api.is_rate_limit(),
            asked_wait: asked.unwrap_or_default(),
            error: Error::after(
                self.attempts,
                ErrorKind::Api,
                format!("{} was refused: {api}", self.name()),
            )
            .with_source(api),
        }
    }

    fn may_resend(&self, failure: Failure<'_>) -> bool {
        may_resend(self.request.idempotent, failure)
    }

    /// Whether an attempt after this wait would still have some time.
    fn has_time_for(&self, wait: Duration) -> bool {
        match (self.until, Instant::now().checked_add(wait)) {
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

/// The output, if there is one before that.
pub(crate) async fn within<T>(
    until: Option<Instant>,
    future: impl Future<Output = T>,
) -> Option<T> {
    match until {
        Some(until) => timeout_at(until, future).await.ok(),
        None => Some(future.await),
    }
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

pub(crate) fn is_unauthorized(error: &Error) -> bool {
    error
        .api()
        .is_some_and(|api| api.status == StatusCode::UNAUTHORIZED)
}

/// The beginning of a refusal's body. One that breaks off or halts is a refusal all the same.
/// What it says may be what it was sent: it is overwritten, and does not grow, which leaves copies.
async fn read_beginning(mut reply: reqwest::Response) -> Zeroizing<Vec<u8>> {
    let mut body = Zeroizing::new(Vec::with_capacity(MAX_REFUSAL));
    let reading = async {
        while let Ok(Some(chunk)) = reply.chunk().await {
            let room = MAX_REFUSAL - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if body.len() == MAX_REFUSAL {
                break;
            }
        }
    };
    // Late or not, what came is what there is.
    let _ = timeout(REFUSAL_TIME, reading).await;
    body
}
