//! A `tower` layer that authenticates requests of any HTTP client.

use std::error::Error as StdError;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ee_token::internal::{is_localhost, is_loopback_host};
use ee_token::{AccessToken, Remedy, TokenCache};
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use tower_layer::Layer;
use tower_service::Service;

use crate::client::builder::{
    API_CLIENT, API_KEY, CLIENT_VERSION, QUOTA_PROJECT, api_key, quota_project,
};
use crate::{Auth, Error, ErrorKind};

type BoxError = Box<dyn StdError + Send + Sync>;

/// The future returned by [`AuthService`].
pub type AuthFuture<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// A [`tower::Layer`](tower_layer::Layer) that authenticates requests: it adds the access token,
/// API key and quota project. When the server rejects the token (401), it renews the token and
/// resends the request once. Retries, limits and timeouts are left to other layers.
///
/// Credentials are sent only to hosts under `googleapis.com` over HTTPS, and to loopback addresses.
/// A request to another host fails unless the host was added with
/// [`allow_host`](Self::allow_host). A plain HTTP request to `localhost` is sent to 127.0.0.1.
///
/// The error of the service is a boxed [`Error`], or that of the inner service.
///
/// ```
/// use ee_rest::{Auth, AuthLayer};
/// use tower_layer::Layer as _;
///
/// let layer = AuthLayer::new(Auth::api_key("AIza-mine".into()))?.quota_project("my-project")?;
/// # let my_client = ();
/// let service = layer.layer(my_client);
/// # let _ = service;
/// # Ok::<(), ee_rest::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct AuthLayer(Arc<Settings>);

#[derive(Debug, Clone)]
struct Settings {
    tokens: Option<TokenCache>,
    api_key: Option<HeaderValue>,
    quota_project: Option<HeaderValue>,
    hosts: Vec<String>,
}

/// The service created by [`AuthLayer`].
#[derive(Debug, Clone)]
pub struct AuthService<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl AuthLayer {
    /// Creates a layer that authenticates with these credentials.
    ///
    /// # Errors
    /// Returns [`ErrorKind::InvalidRequest`] if the API key is not a valid header value.
    pub fn new(auth: Auth) -> Result<Self, Error> {
        Ok(Self(Arc::new(Settings {
            tokens: auth.tokens,
            api_key: auth.api_key.as_ref().map(api_key).transpose()?,
            quota_project: None,
            hosts: Vec::new(),
        })))
    }

    /// Sets the Cloud project that requests are billed to (`x-goog-user-project`).
    ///
    /// # Errors
    /// Returns [`ErrorKind::InvalidRequest`] if `project` is not a valid project.
    pub fn quota_project(mut self, project: &str) -> Result<Self, Error> {
        Arc::make_mut(&mut self.0).quota_project = quota_project(project)?;
        Ok(self)
    }

    /// Allows sending the credentials to this host over HTTPS. Add only hosts that you trust.
    #[must_use]
    pub fn allow_host(mut self, host: &str) -> Self {
        let host = host.to_ascii_lowercase();
        Arc::make_mut(&mut self.0).hosts.push(host);
        self
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = AuthService<S>;

    fn layer(&self, inner: S) -> AuthService<S> {
        AuthService {
            inner,
            settings: self.0.clone(),
        }
    }
}

impl<S, B, R> Service<Request<B>> for AuthService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    // The request is resent after a token renewal.
    B: Clone + Send + 'static,
    R: Send + 'static,
{
    type Response = Response<R>;
    type Error = BoxError;
    type Future = AuthFuture<Response<R>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> AuthFuture<Response<R>> {
        // Only the polled service is ready; the clone is not.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let settings = self.settings.clone();
        Box::pin(async move {
            settings.check(request.uri())?;
            let request = without_localhost(request)?;
            let used = settings.token().await?;
            let first = settings.authenticated(request.clone(), used.as_ref());
            let response = inner.call(first).await.map_err(Into::into)?;
            let (Some(tokens), Some(used)) = (&settings.tokens, used) else {
                return Ok(response);
            };
            if response.status() != StatusCode::UNAUTHORIZED {
                tokens.accepted(&used);
                return Ok(response);
            }
            let renewed = tokens.renew(&used).await.map_err(Error::token)?;
            let Some(renewed) = renewed else {
                return Ok(response);
            };
            drop(response);
            std::future::poll_fn(|context| inner.poll_ready(context))
                .await
                .map_err(Into::into)?;
            let again = settings.authenticated(request, Some(&renewed));
            let response = inner.call(again).await.map_err(Into::into)?;
            if response.status() != StatusCode::UNAUTHORIZED {
                tokens.accepted(&renewed);
            }
            Ok(response)
        })
    }
}

impl Settings {
    async fn token(&self) -> Result<Option<AccessToken>, Error> {
        let Some(tokens) = &self.tokens else {
            return Ok(None);
        };
        tokens.token().await.map(Some).map_err(Error::token)
    }

    fn authenticated<B>(&self, mut request: Request<B>, token: Option<&AccessToken>) -> Request<B> {
        let headers = request.headers_mut();
        headers
            .entry(API_CLIENT)
            .or_insert(HeaderValue::from_static(CLIENT_VERSION));
        if let Some(project) = &self.quota_project {
            headers.entry(QUOTA_PROJECT).or_insert(project.clone());
        }
        if let Some(key) = &self.api_key {
            headers.insert(API_KEY, key.clone());
        }
        if let Some(token) = token {
            headers.insert(AUTHORIZATION, token.header().clone());
        }
        request
    }

    /// Checks that credentials may be sent to this URI.
    fn check(&self, uri: &Uri) -> Result<(), Error> {
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        let trusted = match uri.scheme_str() {
            Some("https") => {
                host == "googleapis.com"
                    || host.ends_with(".googleapis.com")
                    || self.hosts.contains(&host)
                    || is_loopback_host(&host)
            }
            Some("http") => is_loopback_host(&host),
            _ => false,
        };
        if trusted {
            return Ok(());
        }
        Err(untrusted_host(uri))
    }
}

fn untrusted_host(uri: &Uri) -> Error {
    let host = uri.host().unwrap_or_default().to_ascii_lowercase();
    let scheme = uri.scheme_str().unwrap_or("none");
    Error::new(
        ErrorKind::InvalidRequest,
        format!("credentials must not be sent to the host {host:?} (scheme {scheme})"),
    )
    .with_remedy(Remedy::new(
        "Use https and a host under googleapis.com, or add the host with AuthLayer::allow_host.",
    ))
}

/// Replaces `localhost` with 127.0.0.1 in a plain HTTP request, because the inner service could
/// resolve the name to another machine. Over HTTPS, the certificate proves the identity.
fn without_localhost<B>(mut request: Request<B>) -> Result<Request<B>, Error> {
    let uri = request.uri();
    if uri.scheme_str() != Some("http") || !uri.host().is_some_and(is_localhost) {
        return Ok(request);
    }
    let authority = match uri.port() {
        Some(port) => format!("{}:{port}", Ipv4Addr::LOCALHOST),
        None => Ipv4Addr::LOCALHOST.to_string(),
    };
    let mut parts = uri.clone().into_parts();
    parts.authority = Some(authority.parse().map_err(|_| untrusted_host(uri))?);
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| untrusted_host(request.uri()))?;
    Ok(request)
}

#[cfg(test)]
mod tests;
