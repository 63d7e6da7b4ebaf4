//! Our authentication around somebody else's HTTP client.

use std::error::Error as StdError;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ee_token::{AccessToken, Remedy, TokenCache, is_localhost, is_loopback_host};
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use tower_layer::Layer;
use tower_service::Service;

use crate::builder::{API_CLIENT, API_KEY, CLIENT_VERSION, QUOTA_PROJECT, api_key, quota_project};
use crate::{Auth, Error, ErrorKind};

type BoxError = Box<dyn StdError + Send + Sync>;

/// What [`AuthService`] answers with.
pub type AuthFuture<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// A [`tower::Layer`](tower_layer::Layer) that authenticates requests: it adds token, API key
/// and quota project, and when the server does not take the token (401), it renews it and
/// sends the request once more. Retries, limits and time-outs are left to other layers.
///
/// Credentials go to hosts under `googleapis.com` over HTTPS, and to loopback; a request to
/// another host is an error, unless [`allow_host`](Self::allow_host) named it. A plain HTTP
/// request to `localhost` goes to 127.0.0.1.
///
/// The error of the service is [`Error`] or that of the service inside, boxed.
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

/// The service that [`AuthLayer`] makes of another one.
#[derive(Debug, Clone)]
pub struct AuthService<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl AuthLayer {
    /// A layer that authenticates so.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for an API key that cannot stand in a header.
    pub fn new(auth: Auth) -> Result<Self, Error> {
        Ok(Self(Arc::new(Settings {
            tokens: auth.tokens,
            api_key: auth.api_key.as_ref().map(api_key).transpose()?,
            quota_project: None,
            hosts: Vec::new(),
        })))
    }

    /// The Cloud project that requests are billed to (`x-goog-user-project`).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for what cannot be a project.
    pub fn quota_project(mut self, project: &str) -> Result<Self, Error> {
        Arc::make_mut(&mut self.0).quota_project = quota_project(project)?;
        Ok(self)
    }

    /// Lets requests to this host have the credentials too, over HTTPS. Name hosts that you
    /// trust with them.
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
    // The body of a request that is sent once more is the same again.
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
        // The one that is ready is the one to call; the clone has to get ready first.
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
                return Ok(response);
            }
            let renewed = tokens.renew(&used).await.map_err(no_token)?;
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

fn no_token(error: ee_token::Error) -> Error {
    Error::new(
        ErrorKind::Token,
        format!("there is no token for the request: {error}"),
    )
    .context(error)
}

impl Settings {
    async fn token(&self) -> Result<Option<AccessToken>, Error> {
        let Some(tokens) = &self.tokens else {
            return Ok(None);
        };
        tokens.token().await.map(Some).map_err(no_token)
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

    /// Whether credentials may go there.
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
        Err(untrusted(uri))
    }
}

fn untrusted(uri: &Uri) -> Error {
    let host = uri.host().unwrap_or_default().to_ascii_lowercase();
    let scheme = uri.scheme_str().unwrap_or("none");
    Error::new(
        ErrorKind::InvalidRequest,
        format!("no credentials are sent to the host {host:?} (scheme {scheme})"),
    )
    .with_remedy(Remedy::new(
        "Use https and a host under googleapis.com, or name the host with AuthLayer::allow_host.",
    ))
}

/// Replaces `localhost` by 127.0.0.1 in a plain HTTP request: the service inside would resolve
/// the name, and nothing proves that the result is this machine. TLS proves it.
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
    parts.authority = Some(authority.parse().map_err(|_| untrusted(uri))?);
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| untrusted(request.uri()))?;
    Ok(request)
}

#[cfg(test)]
mod tests;
