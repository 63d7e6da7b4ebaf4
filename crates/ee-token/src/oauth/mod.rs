//! The client of a token endpoint (RFC 6749 §3.2).

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
use serde_json::Value;
use url::Url;

use crate::oauth::error_response::classify;
use crate::oauth::grant::{ClientBasicAuth, Grant};
use crate::secret::wipe::secret_body;
use crate::transport::exchange::{Exchange, FailedAttempt, ReceivedResponse};
use crate::{
    AccessToken, Endpoint, Error, ErrorKind, HttpClient, Remedy, RetryPolicy, Scopes, SecretString,
};

/// The clock skew that is not the cause of a rejected assertion.
const TOLERATED_SKEW: TimeDelta = TimeDelta::seconds(30);
/// The largest clock skew that is corrected. A clock without a battery starts in 1970; a larger skew
/// is implausible, and dates corrected by less than this do not overflow.
const MAX_SKEW: TimeDelta = TimeDelta::days(36_525);
/// The longest accepted lifetime in seconds. Longer ones are capped, so that dates do not overflow.
const MAX_LIFETIME_SECONDS: f64 = 366.0 * 24.0 * 3600.0;

/// A token endpoint, which exchanges grants for tokens.
///
/// Transient failures are retried according to the [`RetryPolicy`]. A grant that can be used only
/// once is retried only if it was certainly not sent.
pub struct TokenEndpoint {
    http: HttpClient,
    /// Defaults to Google's, which saves memory for programs with many identities.
    url: Option<Box<Url>>,
    /// Defaults to [`RetryPolicy::for_token_requests`].
    retry: Option<Box<RetryPolicy>>,
    /// How far the server's clock is ahead of this machine's, in seconds. Set when the server
    /// rejects an assertion because of its time.
    skew: AtomicI64,
}

/// The response of a token endpoint.
#[derive(Debug)]
#[non_exhaustive]
pub struct TokenResponse {
    /// The token, with its expiry and scopes if the response contains them.
    pub access_token: AccessToken,
    /// A refresh token, after a login or if the endpoint rotates them.
    pub refresh_token: Option<SecretString>,
    /// An OpenID Connect ID token, if the scope `openid` was requested.
    pub id_token: Option<SecretString>,
}

impl TokenEndpoint {
    /// Creates a client of the endpoint at this URL.
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

    /// Creates a client of Google's endpoint.
    pub fn google(http: HttpClient) -> Self {
        Self::with_url(http, None)
    }

    fn url(&self) -> &Url {
        self.url
            .as_deref()
            .unwrap_or_else(|| self.http.endpoints().url(Endpoint::Token))
    }

    /// Sets the retry policy. Defaults to [`RetryPolicy::for_token_requests`].
    #[must_use]
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = Some(Box::new(retry));
        self
    }

    /// Exchanges an assertion that `sign` creates for the given time (RFC 7523).
    ///
    /// If the endpoint rejects the assertion's time and its response contains the server's time,
    /// the skew is stored and the assertion is signed again, once.
    ///
    /// # Errors
    /// As [`TokenEndpoint::exchange`], and the errors of `sign`.
    pub async fn jwt_bearer(
        &self,
        sign: impl Fn(DateTime<Utc>) -> Result<SecretString, Error>,
    ) -> Result<TokenResponse, Error> {
        let assertion = sign(self.now())?;
        let failure = match self.send(&bearer(&assertion), None).await {
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
        if skew.abs() > MAX_SKEW {
            return Err(failure.error);
        }
        let skew = skew.num_seconds();
        tracing::warn!(
            seconds = skew,
            "the clock of this machine is wrong; using the server's time for assertions"
        );
        self.skew.store(skew, Ordering::Relaxed);
        let assertion = sign(self.now())?;
        self.exchange(&bearer(&assertion), None).await
    }

    /// Exchanges an assertion with the claim `target_audience` for an ID token, which identifies the
    /// assertion's issuer to that audience.
    ///
    /// # Errors
    /// As [`TokenEndpoint::exchange`], and the errors of `sign`.
    pub async fn jwt_bearer_id_token(
        &self,
        sign: impl Fn(DateTime<Utc>) -> Result<SecretString, Error>,
    ) -> Result<SecretString, Error> {
        let assertion = sign(self.now())?;
        let grant = bearer(&assertion);
        let policy = self.retry.as_deref().cloned();
        Exchange::new(&self.http)
            .retry(policy.unwrap_or_else(RetryPolicy::for_token_requests))
            .run(
                || self.request(&grant, None),
                |received| Ok(self.interpret_id_token(&grant, received)?),
            )
            .await
            .map_err(|failure| failure.error)
    }

    fn interpret_id_token(
        &self,
        grant: &Grant<'_>,
        received: &ReceivedResponse,
    ) -> Result<SecretString, Error> {
        #[derive(Deserialize)]
        struct IdTokenBody {
            id_token: SecretString,
        }
        if received.status != StatusCode::OK {
            // The error is the same as for an access token.
            self.interpret(grant, None, received)?;
        }
        // serde's message could quote the token.
        let body: Result<IdTokenBody, _> = serde_json::from_slice(&received.body);
        body.map(|body| body.id_token).map_err(|_| {
            let host = self.url().host_str().unwrap_or_default();
            let why = format!("the response of {host} has no id_token");
            Error::new(ErrorKind::InvalidResponse, why)
                .with_remedy(Remedy::unexpected_intermediary())
        })
    }

    /// Exchanges a grant for a token. `client` is authenticated with HTTP Basic.
    ///
    /// # Errors
    /// [`ErrorKind::Rejected`], [`ErrorKind::ReauthenticationRequired`],
    /// [`ErrorKind::InvalidScope`] or [`ErrorKind::ClockSkew`] if the endpoint rejects the
    /// credential; [`ErrorKind::UnconfirmedRejection`], [`ErrorKind::Server`], [`ErrorKind::Network`], [`ErrorKind::Timeout`] or
    /// [`ErrorKind::InvalidResponse`] if there is no usable response after all retries.
    pub async fn exchange(
        &self,
        grant: &Grant<'_>,
        client: Option<&ClientBasicAuth<'_>>,
    ) -> Result<TokenResponse, Error> {
        self.send(grant, client)
            .await
            .map_err(|failure| failure.error)
    }

    /// Returns the server's time, as far as it is known.
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
    /// Of any type, because an unexpected type must not hide the token.
    #[serde(default)]
    scope: Value,
    refresh_token: Option<SecretString>,
    id_token: Option<SecretString>,
}

/// A number of seconds, which some servers send as a string.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum NumericSeconds {
    /// A JSON number.
    Number(f64),
    /// A JSON string.
    Text(String),
}

impl NumericSeconds {
    /// Returns the number, or `None` if it is not finite or the string is not a number.
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
    // serde's message could quote the token.
    let response: TokenBody =
        serde_json::from_slice(body).map_err(|_| invalid(&crate::shape(body)))?;
    let secret = response
        .access_token
        .ok_or_else(|| invalid("it has no access_token"))?;
    if let Some(kind) = response.token_type
        && !kind.eq_ignore_ascii_case("bearer")
    {
        return Err(invalid("its token_type is not Bearer"));
    }
    let mut token = AccessToken::new(secret.expose_secret()).map_err(|_| {
        invalid("its access_token is empty or contains characters that a header cannot hold")
    })?;
    if let Some(seconds) = response.expires_in {
        let seconds = seconds
            .value()
            .ok_or_else(|| invalid("its expires_in is not a number"))?;
        if seconds <= 0.0 {
            return Err(invalid(&format!("its expires_in is {seconds}")));
        }
        let life = TimeDelta::milliseconds((seconds.min(MAX_LIFETIME_SECONDS) * 1000.0) as i64);
        token = token.with_expiry(asked_at + life);
    }
    let scopes = match &response.scope {
        Value::Array(list) => Scopes::from_untrusted(list.iter().filter_map(Value::as_str)),
        scope => Scopes::from_untrusted(scope.as_str()),
    };
    if !scopes.is_empty() {
        token = token.with_scopes(scopes);
    }
    Ok(TokenResponse {
        access_token: token,
        refresh_token: response.refresh_token,
        id_token: response.id_token,
    })
}

fn bearer(assertion: &SecretString) -> Grant<'_> {
    Grant::JwtBearer { assertion }
}

#[cfg(test)]
mod tests;
