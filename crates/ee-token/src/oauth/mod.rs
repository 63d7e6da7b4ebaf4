//! The client of a token endpoint (RFC 6749 §3.2): one request, one token.

pub(crate) mod error_response;
pub(crate) mod grant;
pub(crate) mod revoke;
pub(crate) mod token_info;

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode};
use reqwest::Request;
use serde::Deserialize;
use url::Url;

use crate::oauth::error_response::classify;
use crate::oauth::grant::{ClientBasicAuth, Grant};
use crate::secret::wipe::secret_body;
use crate::transport::exchange::{Exchange, FailedAttempt, ReceivedResponse};
use crate::{
    AccessToken, Endpoint, Error, ErrorKind, HttpClient, Remedy, RetryPolicy, Scopes, SecretString,
};

/// A clock this close to the server's is not what the server complains of.
const TOLERATED_SKEW: TimeDelta = TimeDelta::seconds(30);
/// A clock without a battery starts in 1970. What is further off is no clock's, and times that are
/// corrected by less than this overflow nowhere.
const LARGEST_SKEW: TimeDelta = TimeDelta::days(36_525);
/// No token lives longer; a reply that says so is capped, so that no date overflows.
const LONGEST_LIFE: f64 = 366.0 * 24.0 * 3600.0;

/// Where grants are exchanged for tokens.
///
/// Transient failures are retried as the [`RetryPolicy`] says; a grant that may be used
/// only once is sent again only if it surely never arrived. Replies are read with a bound.
pub struct TokenEndpoint {
    http: HttpClient,
    /// Google's own if none is given: most of a hundred thousand endpoints are.
    url: Option<Box<Url>>,
    /// [`RetryPolicy::for_token_requests`] if none is given.
    retry: Option<Box<RetryPolicy>>,
    /// What the server's clock is ahead of ours, in seconds, once it has complained.
    skew: AtomicI64,
}

/// What a token endpoint answered.
#[derive(Debug)]
#[non_exhaustive]
pub struct TokenResponse {
    /// The token, with its expiry and scopes where the endpoint named them.
    pub access_token: AccessToken,
    /// A refresh token, after a login or where the endpoint rotates them.
    pub refresh_token: Option<SecretString>,
    /// An OpenID Connect identity token, if `openid` was asked for.
    pub id_token: Option<SecretString>,
}

impl TokenEndpoint {
    /// The endpoint at this URL.
    pub fn new(http: HttpClient, url: Url) -> Self {
        Self::with_url(http, Some(Box::new(url)))
    }

    fn with_url(http: HttpClient, url: Option<Box<Url>>) -> Self {
        Self {
            http,
            url,
            retry: None,
            skew: AtomicI64::new(0),
        }
    }

    /// Google's own endpoint.
    pub fn google(http: HttpClient) -> Self {
        Self::with_url(http, None)
    }

    fn url(&self) -> &Url {
        self.url
            .as_deref()
            .unwrap_or_else(|| self.http.endpoints().url(Endpoint::Token))
    }

    /// Sets how transient failures are retried; [`RetryPolicy::for_token_requests`] otherwise.
    #[must_use]
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = Some(Box::new(retry));
        self
    }

    /// Exchanges an assertion that `sign` makes for the time it is given (RFC 7523).
    ///
    /// If the endpoint finds the assertion's time off and says what time it is, the
    /// difference is remembered and the assertion signed once more.
    ///
    /// # Errors
    /// As [`TokenEndpoint::exchange`], and what `sign` returns.
    pub async fn jwt_bearer(
        &self,
        sign: impl Fn(DateTime<Utc>) -> Result<SecretString, Error>,
    ) -> Result<TokenResponse, Error> {
        let assertion = sign(self.now())?;
        let failure = match self
            .send(
                &Grant::JwtBearer {
                    assertion: &assertion,
                },
                None,
            )
            .await
        {
            Ok(response) => return Ok(response),
            Err(failure) => failure,
        };
        let server = match failure.server_time {
            Some(time) if failure.error.kind() == ErrorKind::ClockSkew => time,
            _ => return Err(failure.error),
        };
        if (server - self.now()).abs() <= TOLERATED_SKEW {
            return Err(failure.error);
        }
        let skew = server - Utc::now();
        if skew.abs() > LARGEST_SKEW {
            return Err(failure.error);
        }
        let skew = skew.num_seconds();
        tracing::warn!(
            seconds = skew,
            "this machine's clock is off; signing by the server's"
        );
        self.skew.store(skew, Ordering::Relaxed);
        let assertion = sign(self.now())?;
        self.exchange(
            &Grant::JwtBearer {
                assertion: &assertion,
            },
            None,
        )
        .await
    }

    /// Exchanges a grant for a token, authenticating the client with HTTP Basic if it is given.
    ///
    /// # Errors
    /// [`ErrorKind::Rejected`], [`ErrorKind::ReauthenticationRequired`],
    /// [`ErrorKind::InvalidScope`] or [`ErrorKind::ClockSkew`] if the endpoint rejects the
    /// credential; [`ErrorKind::UnconfirmedRejection`], [`ErrorKind::Server`], [`ErrorKind::Network`], [`ErrorKind::Timeout`] or
    /// [`ErrorKind::InvalidResponse`] if there is no usable answer after all retries.
    pub async fn exchange(
        &self,
        grant: &Grant<'_>,
        client: Option<&ClientBasicAuth<'_>>,
    ) -> Result<TokenResponse, Error> {
        self.send(grant, client)
            .await
            .map_err(|failure| failure.error)
    }

    /// The time by the server's clock, as far as it is known.
    fn now(&self) -> DateTime<Utc> {
        Utc::now() + TimeDelta::seconds(self.skew.load(Ordering::Relaxed))
    }

    async fn send(
        &self,
        grant: &Grant<'_>,
        client: Option<&ClientBasicAuth<'_>>,
    ) -> Result<TokenResponse, FailedAttempt> {
        let policy = self.retry.as_deref().cloned();
        Exchange::new(&self.http)
            .retry(policy.unwrap_or_else(RetryPolicy::for_token_requests))
            .single_use(grant.is_single_use())
            .run(
                || self.request(grant, client),
                |received| Ok(self.interpret(grant, client, received)?),
            )
            .await
    }

    fn request(
        &self,
        grant: &Grant<'_>,
        client: Option<&ClientBasicAuth<'_>>,
    ) -> Result<Request, Error> {
        let (content_type, body) = grant.body();
        let mut request = Request::new(Method::POST, self.url().clone());
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(client) = client {
            headers.insert(AUTHORIZATION, client.basic()?);
        }
        *request.body_mut() = Some(secret_body(body).into());
        Ok(request)
    }

    fn interpret(
        &self,
        grant: &Grant<'_>,
        client: Option<&ClientBasicAuth<'_>>,
        received: &ReceivedResponse,
    ) -> Result<TokenResponse, Error> {
        let host = self.url().host_str().unwrap_or_default();
        if received.status == StatusCode::OK {
            return parse_response(&received.body, host, received.sent_at);
        }
        let sent = grant.secrets();
        let of_client = client.map(ClientBasicAuth::secrets);
        let secrets = sent.iter().chain(of_client.iter().flatten());
        let secrets: Vec<&str> = secrets.map(|secret| secret.as_str()).collect();
        Err(classify(received, host, &secrets))
    }
}

impl fmt::Debug for TokenEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenEndpoint")
            .field("host", &self.url().host_str())
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct TokenBody {
    access_token: Option<SecretString>,
    token_type: Option<String>,
    expires_in: Option<NumericSeconds>,
    scope: Option<String>,
    refresh_token: Option<SecretString>,
    id_token: Option<SecretString>,
}

/// A number of seconds; some servers write it as a string.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum NumericSeconds {
    /// As it should be.
    Number(f64),
    /// As some write it.
    Text(String),
}

impl NumericSeconds {
    /// How many; `None` if that is no number.
    pub fn value(&self) -> Option<f64> {
        match self {
            Self::Number(n) => Some(*n),
            Self::Text(text) => text.trim().parse().ok(),
        }
        .filter(|n| n.is_finite())
    }
}

pub(crate) fn parse_response(
    body: &[u8],
    host: &str,
    asked_at: DateTime<Utc>,
) -> Result<TokenResponse, Error> {
    let invalid = |what: &str| {
        Error::new(
            ErrorKind::InvalidResponse,
            format!("the response of {host} is not a token: {what}"),
        )
        .with_remedy(Remedy::unexpected_intermediary())
    };
    // serde's own message could quote the reply, and with it the token.
    let reply: TokenBody =
        serde_json::from_slice(body).map_err(|_| invalid(&crate::shape(body)))?;
    let secret = reply
        .access_token
        .ok_or_else(|| invalid("it has no access_token"))?;
    if let Some(kind) = reply.token_type
        && !kind.eq_ignore_ascii_case("bearer")
    {
        return Err(invalid("its token_type is not Bearer"));
    }
    let mut token = AccessToken::new(secret.expose_secret())
        .map_err(|_| invalid("its access_token is empty or cannot stand in a header"))?;
    if let Some(seconds) = reply.expires_in {
        let seconds = seconds
            .value()
            .ok_or_else(|| invalid("its expires_in is not a number"))?;
        if seconds <= 0.0 {
            return Err(invalid(&format!(
                "its expires_in is {seconds}: it would be over already"
            )));
        }
        let life = TimeDelta::milliseconds((seconds.min(LONGEST_LIFE) * 1000.0) as i64);
        token = token.with_expiry(asked_at + life);
    }
    let scopes = Scopes::from_untrusted(reply.scope.as_slice());
    if !scopes.is_empty() {
        token = token.with_scopes(scopes);
    }
    Ok(TokenResponse {
        access_token: token,
        refresh_token: reply.refresh_token,
        id_token: reply.id_token,
    })
}

#[cfg(test)]
mod tests;
