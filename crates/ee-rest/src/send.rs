//! Sending: a token, an attempt, and what to do if it failed.

use std::time::Duration;

use chrono::Utc;
use ee_token::{AccessToken, TokenCache, read_bounded, retry_after};
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;
use tracing::Instrument as _;
use tracing::field::Empty;

use crate::client::Inner;
use crate::request::Prepared;
use crate::resend::{Failure, may_resend};
use crate::secrets::Secrets;
use crate::{ApiError, Error, ErrorKind, Response};

/// What is read of a refusal at most; the rest says nothing more.
const MAX_REFUSAL: usize = 64 * 1024;

/// Sends a request until it succeeds, fails for good, or the policy gives up.
pub(crate) async fn exchange(client: &Inner, request: Prepared) -> Result<Response, Error> {
    let span = tracing::debug_span!(
        "earth_engine_request",
        method = %request.method,
        host = client.base.host_str(),
        path = %request.route,
        status = Empty,
        attempts = Empty,
        elapsed_ms = Empty,
    );
    let started = Instant::now();
    let call = Call {
        client,
        request: &request,
        started,
    };
    let result = call.run().instrument(span.clone()).await;
    let (status, attempts) = match &result {
        Ok(response) => (Some(response.status), response.attempts),
        Err(error) => (error.api().map(|api| api.status), error.attempts()),
    };
    if let Some(status) = status {
        span.record("status", status.as_u16());
    }
    span.record("attempts", attempts);
    let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    span.record("elapsed_ms", elapsed_ms);
    let _entered = span.enter();
    match &result {
        Ok(_) => tracing::debug!("answered"),
        Err(error) => tracing::debug!(%error, "failed"),
    }
    result
}

/// One request, and the time since it was asked for.
struct Call<'a> {
    client: &'a Inner,
    request: &'a Prepared,
    started: Instant,
}

/// A failed attempt.
struct Failed {
    error: Error,
    may_resend: bool,
    /// The wait that the server asks for.
    asked_wait: Duration,
}

impl Call<'_> {
    async fn run(&self) -> Result<Response, Error> {
        let policy = &self.request.retry;
        let mut attempts = 0;
        let mut retries = 0;
        let mut renewed = false;
        let mut token = self.token(attempts).await?;
        loop {
            attempts += 1;
            let failed = match self.attempt(attempts, token.as_ref()).await {
                Ok(response) => return Ok(response),
                Err(failed) => failed,
            };
            if let (Some(tokens), Some(used)) = (&self.client.options.auth.tokens, &token)
                && !renewed
                && is_unauthorized(&failed.error)
            {
                renewed = true;
                let Some(new) = self.renew(tokens, used, attempts).await? else {
                    return Err(failed.error);
                };
                tracing::debug!("the server did not take the token; sending another");
                token = Some(new);
                continue;
            }
            let wait = policy.wait(retries).max(failed.asked_wait);
            if !failed.may_resend || retries >= policy.max_retries || wait >= self.time_left() {
                return Err(failed.error);
            }
            retries += 1;
            tracing::debug!(error = %failed.error, wait = ?wait, "trying again");
            tokio::time::sleep(wait).await;
            // The old one may have expired meanwhile.
            token = self.token(attempts).await?;
        }
    }

    /// The current token; none for a client that has only an API key.
    async fn token(&self, attempts: u32) -> Result<Option<AccessToken>, Error> {
        let Some(tokens) = &self.client.options.auth.tokens else {
            return Ok(None);
        };
        match tokio::time::timeout(self.time_left(), tokens.token()).await {
            Ok(Ok(token)) => Ok(Some(token)),
            Ok(Err(error)) => Err(Error::after(
                attempts,
                ErrorKind::Token,
                format!("there is no token for {}: {error}", self.name()),
            )
            .caused_by(error)),
            Err(_) => Err(Error::after(
                attempts,
                ErrorKind::Timeout,
                format!("no token for {} in time", self.name()),
            )),
        }
    }

    /// A token in the place of one that the server did not take; none if there is no other.
    async fn renew(
        &self,
        tokens: &TokenCache,
        used: &AccessToken,
        attempts: u32,
    ) -> Result<Option<AccessToken>, Error> {
        tokens.invalidate(used);
        let new = self.token(attempts).await?;
        // Metadata servers hand out the same token until shortly before its end.
        Ok(new.filter(|new| !new.is_same(used)))
    }

    async fn attempt(
        &self,
        attempts: u32,
        token: Option<&AccessToken>,
    ) -> Result<Response, Failed> {
        let request = self.request;
        let http = &self.client.options.http;
        let mut headers = request.headers.clone();
        if let Some(token) = token {
            headers.insert(AUTHORIZATION, token.header().clone());
        }
        let mut sent = http
            .request(request.method.clone(), &request.url)
            .headers(headers)
            .timeout(request.timeout.min(self.time_left()));
        if let Some(body) = &request.body {
            sent = sent.body(body.clone());
        }
        let sent = sent.build().map_err(|error| Failed {
            error: Error::after(
                attempts - 1,
                ErrorKind::InvalidRequest,
                format!("{} cannot be built", self.name()),
            )
            .with_source(error.without_url()),
            may_resend: false,
            asked_wait: Duration::ZERO,
        })?;
        let lost = |error| self.lost(attempts, error);
        let reply = http.send(sent).await.map_err(lost)?;
        let status = reply.status();
        let headers = reply.headers().clone();
        let secrets = Secrets {
            token: token.cloned(),
            api_key: self.client.api_key.clone(),
        };
        if !status.is_success() {
            let body = read_beginning(reply).await;
            let api = ApiError::read(status, &body, &secrets);
            return Err(self.refused(attempts, api, &headers));
        }
        let body = read_bounded(reply, request.max_reply).await.map_err(lost)?;
        Ok(Response {
            status,
            headers,
            body,
            attempts,
            request: self.name(),
            secrets,
        })
    }

    /// No answer, or one that broke off or is too long.
    fn lost(&self, attempts: u32, error: ee_token::Error) -> Failed {
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
            asked_wait: Duration::ZERO,
            error: Error::after(attempts, kind, format!("{} failed: {error}", self.name()))
                .caused_by(error),
        }
    }

    fn refused(&self, attempts: u32, api: ApiError, headers: &HeaderMap) -> Failed {
        let asked = retry_after(headers, Utc::now()).max(api.retry_delay);
        Failed {
            may_resend: self.may_resend(Failure::Refused(&api)),
            asked_wait: asked.unwrap_or_default(),
            error: Error::after(
                attempts,
                ErrorKind::Api,
                format!("{} was refused: {api}", self.name()),
            )
            .with_source(api),
        }
    }

    fn may_resend(&self, failure: Failure<'_>) -> bool {
        may_resend(&self.request.method, &self.request.route, failure)
    }

    /// Until the policy's total is over.
    fn time_left(&self) -> Duration {
        let total = self.request.retry.total;
        total.saturating_sub(self.started.elapsed())
    }

    /// The request as messages call it.
    fn name(&self) -> String {
        format!("{} {}", self.request.method, self.request.route)
    }
}

fn is_unauthorized(error: &Error) -> bool {
    error
        .api()
        .is_some_and(|api| api.status == StatusCode::UNAUTHORIZED)
}

/// The beginning of a refusal's body. One that breaks off is a refusal all the same.
async fn read_beginning(mut reply: reqwest::Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = reply.chunk().await {
        let room = MAX_REFUSAL - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == MAX_REFUSAL {
            break;
        }
    }
    body
}
