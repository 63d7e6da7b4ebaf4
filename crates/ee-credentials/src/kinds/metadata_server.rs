//! The service account of a Google Cloud machine, whose tokens the metadata server returns.

pub(crate) mod detection;
mod id_token;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use ee_token::internal::{
    Exchange, FailedAttempt, NumericSeconds, ReceivedResponse, is_unsafe_for_display,
    stated_reason, try_again,
};
use ee_token::{
    AccessToken, Endpoint, ErrorKind as Token, HttpClient, Remedy, Request, RetryPolicy, Scopes,
    SecretString, TokenFuture, TokenSource,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::OnceCell;
use url::Url;
use url::form_urlencoded::byte_serialize;

use crate::CredentialKind;
use crate::kinds::credential::Credential;

const FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");
const GOOGLE: &str = "Google";
/// The alias of the machine's default account.
const DEFAULT: &str = "default";
/// The start of all paths.
const ROOT: &str = "computeMetadata/v1/";
/// The relative path from a token's URL to [`ROOT`].
const UP: &str = "../../../";
/// What is wrong with a response without a body.
const EMPTY: &str = "its response is empty";
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

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
    pub(crate) email: Option<String>,
    /// The scopes of the machine, whichever were requested. Empty if unknown.
    pub(crate) scopes: Scopes,
}

/// A response to a request for a value.
enum Answer {
    Value(FetchedValue),
    /// The server has no value, for the stated reason.
    Missing(Option<String>),
}

struct FetchedValue {
    body: Bytes,
    sent_at: DateTime<Utc>,
    /// Whether the response has the header of Google's metadata servers.
    has_flavor: bool,
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

/// Returns the remedy for a metadata server that does not respond. Proxies are never involved.
fn unreachable() -> Remedy {
    Remedy::new(
        "Check the firewall and the network of the container, and GCE_METADATA_HOST if it is set. The metadata server is on the machine's own network and never reached through a proxy.",
    )
}

/// Returns whether IAM denied the token of a service account, as GKE's metadata server states it.
fn is_denial(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    let returned = ["returned 400", "returned 403", "returned 404"];
    reason.contains("permission") && reason.contains("denied")
        || reason.contains("iam") && returned.iter().any(|status| reason.contains(status))
}

/// Returns the remedy for a pod that may not act as its service account.
fn grant_access() -> Remedy {
    Remedy::new(
        "On GKE, grant the Kubernetes service account of this pod the role Workload Identity User on the service account in its annotation iam.gke.io/gcp-service-account. The grant takes effect within minutes.",
    )
    .command("gcloud iam service-accounts add-iam-policy-binding ACCOUNT --role=roles/iam.workloadIdentityUser --member='serviceAccount:PROJECT.svc.id.goog[NAMESPACE/NAME]'")
    .url("https://cloud.google.com/kubernetes-engine/docs/how-to/workload-identity")
}

/// Returns whether the response has the header by which Google's metadata servers identify
/// themselves.
fn has_flavor(headers: &HeaderMap) -> bool {
    headers.get(FLAVOR).is_some_and(|flavor| flavor == GOOGLE)
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
    if body.trim_ascii().is_empty() {
        return Err(EMPTY);
    }
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

/// Parses the description of a service account, `instance/service-accounts/ACCOUNT/?recursive=true`.
/// Platforms differ in its fields, so that each is read on its own.
pub(crate) fn account_info(body: &[u8]) -> Option<AccountInfo> {
    let account: Value = serde_json::from_slice(body).ok()?;
    let account = account.as_object()?;
    let text = |name: &str| account.get(name).and_then(Value::as_str);
    let scopes = match account.get("scopes") {
        Some(Value::Array(list)) => Scopes::from_untrusted(list.iter().filter_map(Value::as_str)),
        _ => scopes(text("scopes").unwrap_or_default().as_bytes()),
    };
    let email = text("email").and_then(|email| line(email.as_bytes()));
    (email.is_some() || !scopes.is_empty()).then_some(AccountInfo { email, scopes })
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
    ) -> Self {
        Self {
            http,
            account,
            scopes,
            url,
            retry,
            info: OnceCell::new(),
        }
    }

    pub(crate) fn load(server: &Arc<Self>) -> Credential {
        Credential::new(CredentialKind::MetadataServer, server.clone())
            .id_tokens(server.clone())
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
        Ok(Self::new(http, url, account, scopes, self.retry.clone()))
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
            .or_else(|| learnt.and_then(|info| info.email.as_deref()))
    }

    /// Queries the account once. Sends one request, or three if the server does not support
    /// `?recursive=true`.
    pub(crate) async fn account_info(&self) -> Result<Option<&AccountInfo>, ee_token::Error> {
        let info = self.info.get_or_try_init(|| self.query_account_info());
        Ok(info.await?.as_ref())
    }

    async fn query_account_info(&self) -> Result<Option<AccountInfo>, ee_token::Error> {
        let path = format!("instance/service-accounts/{}/", self.account);
        let all = joined(&self.url, &format!("{UP}{path}?recursive=true"))?;
        match self.fetch(&all).await {
            Ok(Answer::Value(value)) => {
                if let Some(info) = account_info(&value.body) {
                    return Ok(Some(info));
                }
            }
            Err(error) if error.kind() != Token::Rejected => return Err(error),
            Ok(Answer::Missing(_)) | Err(_) => {}
        }
        // Older GKE metadata servers do not support `?recursive=true`.
        let Some(email) = self.line(&format!("{path}email")).await? else {
            return Ok(None);
        };
        let scopes = self.get(&format!("{path}scopes")).await?;
        let scopes = scopes.unwrap_or_default();
        Ok(Some(AccountInfo {
            email: Some(email),
            scopes: self::scopes(&scopes),
        }))
    }

    /// Returns the machine's project.
    pub(crate) async fn project(&self) -> Result<Option<String>, ee_token::Error> {
        self.line("project/project-id").await
    }

    /// Returns the number of the machine's project.
    pub(crate) async fn project_number(&self) -> Result<Option<u64>, ee_token::Error> {
        let number = self.line("project/numeric-project-id").await?;
        Ok(number.and_then(|number| number.parse().ok()))
    }

    /// Returns the single line at a path.
    async fn line(&self, path: &str) -> Result<Option<String>, ee_token::Error> {
        let body = self.get(path).await?;
        Ok(body.and_then(|body| line(&body)))
    }

    async fn token(&self) -> Result<AccessToken, ee_token::Error> {
        let value = match self.fetch(&self.url).await? {
            Answer::Value(value) => value,
            Answer::Missing(reason) => return Err(self.no_account(reason)),
        };
        let body = self.body(&value)?;
        token_response(body, value.sent_at).map_err(|why| {
            let error = self.error(Token::InvalidResponse, why);
            if why != EMPTY {
                return error;
            }
            error.with_remedy(
                Remedy::new("In Cloud Shell, the session is not authorized yet: run a gcloud command, such as this one, and select Authorize.")
                    .command("gcloud auth print-access-token"),
            )
        })
    }

    fn no_account(&self, reason: Option<String>) -> ee_token::Error {
        let mut why = "this machine has no service account".to_owned();
        if let Some(email) = self.named_email() {
            why += &format!(" {email}");
        }
        if let Some(reason) = reason {
            why += &format!(": {reason}");
        }
        self.error(Token::Rejected, &why).with_remedy(Remedy::new(
            "Attach a service account to the machine, or use other credentials.",
        ))
    }

    /// Returns the value at a path, or `None` if the server has none.
    async fn get(&self, path: &str) -> Result<Option<Bytes>, ee_token::Error> {
        let url = joined(&self.url, &[UP, path].concat())?;
        match self.fetch(&url).await? {
            Answer::Value(value) => Ok(Some(self.body(&value)?.clone())),
            Answer::Missing(_) => Ok(None),
        }
    }

    /// Returns the body of a value, unless another server may have sent it.
    fn body<'a>(&self, value: &'a FetchedValue) -> Result<&'a Bytes, ee_token::Error> {
        if value.has_flavor || value.body.is_empty() {
            return Ok(&value.body);
        }
        let why =
            "its response lacks the header Metadata-Flavor: Google, so it is not a metadata server";
        Err(self.error(Token::InvalidResponse, why))
    }

    async fn fetch(&self, url: &Url) -> Result<Answer, ee_token::Error> {
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

    fn interpret(&self, received: &ReceivedResponse) -> Result<Answer, FailedAttempt> {
        if received.status == StatusCode::OK {
            return Ok(Answer::Value(FetchedValue {
                body: received.body.clone(),
                sent_at: received.sent_at,
                has_flavor: has_flavor(&received.headers),
            }));
        }
        let reason = stated_reason(&received.body, &[]);
        let why = format!("it {}", received.describe(&[]));
        let error = |kind| received.explain(self.error(kind, &why), &[]);
        // GKE states with status 500 that IAM denied access. Another attempt would not change that.
        if reason.as_deref().is_some_and(is_denial) {
            let error = error(Token::Rejected).with_remedy(grant_access());
            return Err(FailedAttempt::permanent(error));
        }
        if received.is_busy() {
            return Err(error(Token::Server).into());
        }
        if !has_flavor(&received.headers) {
            let why = format!(
                "{why}, without the header Metadata-Flavor: Google, so it is not a metadata server"
            );
            let error = self.error(Token::InvalidResponse, &why);
            return Err(FailedAttempt::permanent(error));
        }
        match received.status {
            StatusCode::NOT_FOUND => Ok(Answer::Missing(reason)),
            _ => Err(error(Token::Rejected).into()),
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
