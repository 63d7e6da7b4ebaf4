//! The service account of a Google Cloud machine, whose tokens the metadata server returns.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use ee_token::internal::{
    Exchange, FailedAttempt, NumericSeconds, ReceivedResponse, is_unsafe_for_display, try_again,
};
use ee_token::{
    AccessToken, Endpoint, ErrorKind as Token, HttpClient, Remedy, Request, RetryPolicy, Scopes,
    SecretString, TokenFuture, TokenSource,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use url::Url;
use url::form_urlencoded::byte_serialize;

use crate::iam::account::is_account;
use crate::input::quote::clipped;
use crate::kinds::credential::Credential;
use crate::{CredentialKind, CredentialOptions, Environment, Error, ErrorKind};

const FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");
const GOOGLE: &str = "Google";
/// The alias of the machine's default account.
const DEFAULT: &str = "default";
/// The address that detection uses, because resolving the name can take long.
const ADDRESS: &str = "169.254.169.254";
/// The start of all paths.
const ROOT: &str = "computeMetadata/v1/";
/// The relative path from a token's URL to [`ROOT`].
const UP: &str = "../../../";
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// The metadata server of a new pod may take a while to start.
const STARTUP_TIMEOUT: Duration = Duration::from_secs(30);

/// The metadata server of this machine.
pub(crate) struct MetadataServer {
    http: HttpClient,
    /// `default`, or the email address of one of the machine's accounts.
    account: String,
    scopes: Scopes,
    /// The URL of the account's tokens. Other paths are joined to it.
    url: Url,
    retry: RetryPolicy,
    /// The account, once it was queried. Contains `None` if the machine has no account.
    info: OnceCell<Option<AccountInfo>>,
}

/// A service account as the metadata server describes it.
#[derive(Debug)]
pub(crate) struct AccountInfo {
    pub(crate) email: String,
    /// The scopes of the machine, whichever were requested.
    pub(crate) scopes: Scopes,
}

/// The result of [`detect`].
pub(crate) enum Detection {
    Server(Arc<MetadataServer>),
    NotFound(&'static str),
}

/// Detects a metadata server: the one that an environment variable names, one that responds, or one
/// that must exist because the firmware says that this is a Google Cloud machine.
///
/// On other machines this takes up to `GCE_METADATA_TIMEOUT` seconds, and no time with
/// `NO_GCE_CHECK=true`.
pub(crate) async fn detect(
    environment: &Environment,
    options: &CredentialOptions,
) -> Result<Detection, Error> {
    if environment.var("NO_GCE_CHECK") == Some("true") {
        return Ok(Detection::NotFound(
            "skipped because NO_GCE_CHECK=true is set",
        ));
    }
    let mut host = None;
    for variable in ["GCE_METADATA_HOST", "GCE_METADATA_ROOT"] {
        if host.is_none() {
            host = environment.try_var(variable)?.map(|host| (variable, host));
        }
    }
    let address = environment.try_var("GCE_METADATA_IP")?;
    let seconds = number(environment, "GCE_METADATA_TIMEOUT", 3.0, 300.0)?;
    let attempts = number(environment, "GCE_METADATA_DETECT_RETRIES", 3.0, 100.0)?;
    let is_google = environment.is_google_machine();
    let there = if host.is_some() && address.is_none() {
        // Configured explicitly, so a server that does not respond is an error.
        true
    } else if address.is_none() && !environment.probes_network() {
        return Ok(Detection::NotFound("skipped in this environment"));
    } else {
        if Handle::try_current().is_err() {
            return Err(ee_token::Error::new(
                Token::Runtime,
                "detecting a metadata server needs a tokio runtime",
            )
            .with_remedy(Remedy::new("Call from inside a tokio runtime."))
            .into());
        }
        let url = url("GCE_METADATA_IP", address.unwrap_or(ADDRESS), "")?;
        let ping = ping(&options.http, &url, attempts as u32);
        let answered = timeout(Duration::from_secs_f64(seconds), ping).await;
        answered.unwrap_or(false) || is_google
    };
    if !there {
        return Ok(Detection::NotFound("not running on Google Cloud"));
    }
    let max_elapsed = if is_google {
        STARTUP_TIMEOUT
    } else {
        STARTUP_TIMEOUT / 3
    };
    let retry = RetryPolicy {
        max_retries: 100,
        initial_backoff: Duration::from_millis(200),
        max_backoff: Duration::from_secs(2),
        max_elapsed,
    };
    let account = account(options)?;
    let scopes = options.scopes.clone().unwrap_or_default();
    let path = [ROOT, &token_path(&account, &scopes)].concat();
    let url = match host {
        Some((variable, host)) => url(variable, host, &path)?,
        None => joined(
            options.http.endpoints().url(Endpoint::MetadataServer),
            &path,
        )?,
    };
    let http = client_for(&options.http, &url);
    let server = MetadataServer::new(http, url, account, scopes, retry)?;
    Ok(Detection::Server(Arc::new(server)))
}

/// Returns the requested account, which becomes part of a path.
fn account(options: &CredentialOptions) -> Result<String, Error> {
    match options.service_account_email.as_deref().map(str::trim) {
        None | Some("" | DEFAULT) => Ok(DEFAULT.to_owned()),
        Some(email) if is_account(email) => Ok(email.to_owned()),
        Some(other) => Err(Error::new(
            ErrorKind::InvalidOptions,
            format!("{:?} is not the email address of a service account", clipped(other)),
        )
        .with_remedy(Remedy::new(
            "Use the email address of one of the machine's service accounts, or omit it for the default account.",
        ))),
    }
}

fn number(environment: &Environment, name: &str, default: f64, max: f64) -> Result<f64, Error> {
    let Some(text) = environment.try_var(name)? else {
        return Ok(default);
    };
    text.parse()
        .ok()
        .filter(|n: &f64| *n >= 0.0 && *n <= max)
        .ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidEnvironment,
                format!(
                    "{name} is {:?}, but must be a number from 0 to {max}",
                    clipped(text)
                ),
            )
            .with_remedy(
                Remedy::new("Set it to a number, or unset it.").command(format!("unset {name}")),
            )
        })
}

fn url(variable: &str, host: &str, path: &str) -> Result<Url, Error> {
    let invalid = || {
        Error::new(
            ErrorKind::InvalidEnvironment,
            format!(
                "{variable} is {:?}, but must be HOST or HOST:PORT",
                clipped(host)
            ),
        )
        .with_remedy(
            Remedy::new("Set it to a host, or unset it.").command(format!("unset {variable}")),
        )
    };
    if host.contains(['/', '@', '?', '#']) {
        return Err(invalid());
    }
    Url::parse(&format!("http://{host}/{path}")).map_err(|_| invalid())
}

/// Returns a client that may send plain HTTP requests to this metadata server, bypassing proxies.
pub(crate) fn client_for(http: &HttpClient, url: &Url) -> HttpClient {
    if http.endpoints().resolve(url).is_ok() {
        return http.clone();
    }
    let endpoints = http.endpoints().clone();
    HttpClient::new(endpoints.with_url(Endpoint::MetadataServer, url.clone()))
}

/// Returns the path of an account's tokens. Compute Engine ignores the scopes; Cloud Run and App
/// Engine honor them.
fn token_path(account: &str, scopes: &Scopes) -> String {
    let mut path = ["instance/service-accounts/", account, "/token"].concat();
    for (n, scope) in scopes.iter().enumerate() {
        path += if n == 0 { "?scopes=" } else { "%2C" };
        path.extend(byte_serialize(scope.as_bytes()));
    }
    path
}

fn joined(base: &Url, path: &str) -> Result<Url, ee_token::Error> {
    base.join(path).map_err(|_| {
        let host = base.host_str().unwrap_or_default();
        let why = format!("the metadata server {host}: its URL is invalid");
        ee_token::Error::new(Token::DisallowedUrl, why).with_remedy(Remedy::new(
            "Use an http:// URL with a host for the metadata server.",
        ))
    })
}

fn metadata_request(url: &Url) -> Request {
    let mut request = Request::new(Method::GET, url.clone());
    let flavor = HeaderValue::from_static(GOOGLE);
    request.headers_mut().insert(FLAVOR, flavor);
    request
}

/// Returns whether a metadata server responds at this address.
async fn ping(http: &HttpClient, url: &Url, attempts: u32) -> bool {
    let http = client_for(http, url);
    for _ in 0..attempts.max(1) {
        match Exchange::new(&http).send(metadata_request(url)).await {
            Ok(received) => {
                return received.status == StatusCode::OK && has_flavor(&received.headers);
            }
            Err(error) => tracing::debug!(%error, "no metadata server"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

/// Returns the remedy for a metadata server that does not respond. Proxies are never involved.
fn unreachable() -> Remedy {
    Remedy::new(
        "Check the firewall and the network of the container, and GCE_METADATA_HOST if it is set. The metadata server is on the machine's own network and never reached through a proxy.",
    )
}

/// Returns whether the response has the header by which Google's metadata servers identify
/// themselves.
fn has_flavor(headers: &HeaderMap) -> bool {
    headers.get(FLAVOR).is_some_and(|flavor| flavor == GOOGLE)
}

/// The used fields of `instance/service-accounts/ACCOUNT/?recursive=true`.
#[derive(Deserialize)]
struct AccountBody {
    email: String,
    #[serde(default)]
    scopes: Vec<String>,
}

#[derive(Deserialize)]
struct TokenBody {
    access_token: SecretString,
    expires_in: NumericSeconds,
}

/// Returns the token in a response, or what is wrong with it.
pub(crate) fn token_response(
    body: &[u8],
    asked_at: DateTime<Utc>,
) -> Result<AccessToken, &'static str> {
    // serde's message could quote the token.
    let response: TokenBody =
        serde_json::from_slice(body).map_err(|_| "its response is not a token")?;
    let seconds = response
        .expires_in
        .value()
        .filter(|seconds| *seconds > 0.0 && *seconds < 1e9)
        .ok_or("its token's expires_in is implausible")?;
    let life = TimeDelta::milliseconds((seconds * 1000.0) as i64);
    let token = AccessToken::new(response.access_token.expose_secret())
        .map_err(|_| "its token is empty or contains characters that a header cannot hold")?;
    Ok(token.with_expiry(asked_at + life))
}

/// Parses the description of a service account.
pub(crate) fn account_info(body: &[u8]) -> Option<AccountInfo> {
    let account: AccountBody = serde_json::from_slice(body).ok()?;
    Some(AccountInfo {
        email: line(account.email.as_bytes())?,
        scopes: Scopes::from_untrusted(account.scopes),
    })
}

pub(crate) fn scopes(body: &[u8]) -> Scopes {
    Scopes::from_untrusted([String::from_utf8_lossy(body)])
}

/// Returns the single line of a body, such as an email address or a project ID. Returns `None` if
/// it is not a line that is safe to print.
pub(crate) fn line(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?.trim();
    let is_line = !text.is_empty() && text.len() < 400 && !text.contains(is_unsafe_for_display);
    is_line.then(|| text.to_owned())
}

impl MetadataServer {
    /// `url` is the URL of the account's tokens for these scopes.
    fn new(
        http: HttpClient,
        url: Url,
        account: String,
        scopes: Scopes,
        retry: RetryPolicy,
    ) -> Result<Self, ee_token::Error> {
        Ok(Self {
            http,
            account,
            scopes,
            url,
            retry,
            info: OnceCell::new(),
        })
    }

    pub(crate) fn load(server: &Arc<Self>) -> Credential {
        Credential::new(CredentialKind::MetadataServer, server.clone())
            .principal(server.named_email())
            .scopes(Some(server.scopes.clone()))
    }

    /// Returns a source for the same account with other scopes.
    pub(crate) fn with_scopes(&self, scopes: Scopes) -> Result<Self, ee_token::Error> {
        let url = joined(
            &self.url,
            &[UP, &token_path(&self.account, &scopes)].concat(),
        )?;
        let (http, account) = (self.http.clone(), self.account.clone());
        Self::new(http, url, account, scopes, self.retry.clone())
    }

    fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    fn named_email(&self) -> Option<&str> {
        (self.account != DEFAULT).then_some(&self.account)
    }

    /// Returns the account's email address, if it was configured or has been queried.
    pub(crate) fn known_email(&self) -> Option<&str> {
        let learnt = self.info.get().and_then(|info| info.as_ref());
        self.named_email()
            .or_else(|| learnt.map(|info| info.email.as_str()))
    }

    /// Queries the account once. Sends one request, or three if the server does not support
    /// `?recursive=true`.
    pub(crate) async fn account_info(&self) -> Result<Option<&AccountInfo>, ee_token::Error> {
        let info = self.info.get_or_try_init(|| self.query_account_info());
        Ok(info.await?.as_ref())
    }

    async fn query_account_info(&self) -> Result<Option<AccountInfo>, ee_token::Error> {
        let path = format!("instance/service-accounts/{}/", self.account);
        if let Some(body) = self.get(&format!("{path}?recursive=true")).await? {
            let info = account_info(&body).ok_or_else(|| {
                let why = "its description of the service account is not valid JSON";
                self.error(Token::InvalidResponse, why)
            })?;
            return Ok(Some(info));
        }
        // Older GKE metadata servers do not support `?recursive=true`.
        let Some(email) = self.line(&format!("{path}email")).await? else {
            return Ok(None);
        };
        let scopes = self.get(&format!("{path}scopes")).await?;
        let scopes = scopes.unwrap_or_default();
        Ok(Some(AccountInfo {
            email,
            scopes: self::scopes(&scopes),
        }))
    }

    /// Returns the machine's project.
    pub(crate) async fn project(&self) -> Result<Option<String>, ee_token::Error> {
        self.line("project/project-id").await
    }

    /// Returns the single line at a path.
    async fn line(&self, path: &str) -> Result<Option<String>, ee_token::Error> {
        let body = self.get(path).await?;
        Ok(body.and_then(|body| line(&body)))
    }

    async fn token(&self) -> Result<AccessToken, ee_token::Error> {
        let Some((body, sent_at)) = self.fetch(&self.url).await? else {
            let why = match self.named_email() {
                Some(email) => format!("this machine has no service account {email}"),
                None => "this machine has no service account".to_owned(),
            };
            return Err(self.error(Token::Rejected, &why).with_remedy(Remedy::new(
                "Attach a service account to the machine, or use other credentials.",
            )));
        };
        token_response(&body, sent_at).map_err(|why| self.error(Token::InvalidResponse, why))
    }

    /// Returns the value at a path, or `None` if the server has none.
    async fn get(&self, path: &str) -> Result<Option<Bytes>, ee_token::Error> {
        let url = joined(&self.url, &[UP, path].concat())?;
        Ok(self.fetch(&url).await?.map(|(body, _)| body))
    }

    /// Returns the value at a URL and when the request was sent, or `None` if there is no value.
    async fn fetch(&self, url: &Url) -> Result<Option<(Bytes, DateTime<Utc>)>, ee_token::Error> {
        let exchange = Exchange::new(&self.http)
            .timeout(ATTEMPT_TIMEOUT)
            .retry(self.retry.clone());
        let fetched = exchange.run(
            || Ok(metadata_request(url)),
            |received| self.interpret(received),
        );
        let is_emulated = self.http.endpoints().emulator_address().is_some();
        fetched.await.map_err(|failed| match failed.error.kind() {
            Token::Network | Token::Timeout if !is_emulated => {
                failed.error.with_remedy(unreachable())
            }
            _ => failed.error,
        })
    }

    fn interpret(
        &self,
        received: &ReceivedResponse,
    ) -> Result<Option<(Bytes, DateTime<Utc>)>, FailedAttempt> {
        let status = received.status.as_u16();
        if received.is_busy() {
            let why = format!("it responded with status {status}");
            return Err(self.error(Token::Server, &why).into());
        }
        if !has_flavor(&received.headers) {
            let why = "its response lacks the header Metadata-Flavor: Google, so it is not a metadata server";
            return Err(FailedAttempt::permanent(
                self.error(Token::InvalidResponse, why),
            ));
        }
        match received.status {
            StatusCode::OK => Ok(Some((received.body.clone(), received.sent_at))),
            StatusCode::NOT_FOUND => Ok(None),
            _ => {
                let why = format!("it rejected the request with status {status}");
                Err(self.error(Token::Rejected, &why).into())
            }
        }
    }

    fn error(&self, kind: Token, why: &str) -> ee_token::Error {
        let host = self.host();
        let error = ee_token::Error::new(kind, format!("the metadata server {host}: {why}"));
        match kind {
            Token::InvalidResponse => error.with_remedy(Remedy::new(
                "Another server may be responding at this address. Check GCE_METADATA_HOST and GCE_METADATA_IP, then try again.",
            )),
            Token::Rejected => error.with_remedy(Remedy::new(
                "Check the service account that is attached to this machine, and its scopes.",
            )),
            _ => error.with_remedy(try_again()),
        }
    }
}

impl TokenSource for MetadataServer {
    fn fetch_token(&self) -> TokenFuture<'_> {
        Box::pin(self.token())
    }
}

impl fmt::Debug for MetadataServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetadataServer")
            .field("host", &self.host())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
