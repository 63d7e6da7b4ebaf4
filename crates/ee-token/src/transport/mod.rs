//! The HTTP client that every request of these crates is sent with.

pub(crate) mod body;
pub(crate) mod connector;
pub(crate) mod emulator;
pub(crate) mod endpoints;
pub(crate) mod exchange;
pub(crate) mod listener;
pub(crate) mod network_settings;
pub(crate) mod pool;
pub(crate) mod reason;
pub(crate) mod retry;
pub(crate) mod tls;
pub(crate) mod url_field;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::SecretString;
use reqwest::{Body, ClientBuilder, Request, Response};
use url::Url;

use crate::Error;
#[cfg(doc)]
use crate::ErrorKind;
use crate::error::network::{from_reqwest, is_unprocessed};
use crate::transport::emulator::Emulator;
use crate::transport::endpoints::Endpoints;
use crate::transport::pool::{Pool, Transfer, finish, this_runtime};

/// How often one request is resent after the server refused its stream.
pub const MAX_UNPROCESSED: u32 = 2;

/// An HTTP client with the [`Endpoints`] that its requests are sent to.
///
/// It sends requests only over HTTPS, does not follow redirects, and bypasses proxies for loopback
/// and the metadata server. In emulator mode, it sends all requests to the emulator, if that
/// belongs to the same user or to root.
///
/// Cheap to clone. All clients created with [`HttpClient::new`] share the connections of the
/// current tokio runtime, because a connection cannot outlive its runtime.
///
/// ```
/// use ee_token::{Endpoints, HttpClient};
///
/// let http = HttpClient::new(Endpoints::google());
/// assert_eq!(http.request_count(), 0);
/// # Ok::<(), ee_token::Error>(())
/// ```
#[derive(Clone)]
pub struct HttpClient {
    shared: Arc<Shared>,
    sent: Arc<AtomicU64>,
}

struct Shared {
    /// The caller's pool. `None` for the pool of the current runtime.
    own: Option<Arc<Pool>>,
    endpoints: Endpoints,
}

/// A client for Google's endpoints.
impl Default for HttpClient {
    fn default() -> Self {
        Self::new(Endpoints::google())
    }
}

impl HttpClient {
    /// Creates a client that shares the process's connections. They are set up by the first
    /// request.
    pub fn new(endpoints: Endpoints) -> Self {
        Self::from_parts(None, endpoints)
    }

    /// Creates a client with its own connection pool, proxies, root certificates and timeouts.
    ///
    /// Takes a builder so that redirects and automatic retries can be disabled: a redirect would
    /// send the body, secrets included, to another host.
    ///
    /// # Errors
    /// [`ErrorKind::Network`] if the settings are invalid.
    ///
    /// # Panics
    /// As reqwest does if no rustls crypto provider is installed. Set a TLS configuration
    /// ([`ClientBuilder::tls_backend_preconfigured`]) or install a default provider.
    ///
    /// ```no_run
    /// use ee_token::{Endpoints, HttpClient};
    ///
    /// # fn f(tls: rustls::ClientConfig) -> Result<(), ee_token::Error> {
    /// let own = reqwest::Client::builder()
    ///     .tls_backend_preconfigured(tls)
    ///     .read_timeout(std::time::Duration::from_secs(30));
    /// let http = HttpClient::from_reqwest_builder(own, Endpoints::google())?;
    /// # Ok(()) }
    /// ```
    pub fn from_reqwest_builder(
        client: ClientBuilder,
        endpoints: Endpoints,
    ) -> Result<Self, Error> {
        let pool = Pool::with_client(finish(client)?);
        Ok(Self::from_parts(Some(Arc::new(pool)), endpoints))
    }

    /// Returns a client with the same connections and other endpoints.
    #[must_use]
    pub fn with_endpoints(&self, endpoints: Endpoints) -> Self {
        Self::from_parts(self.shared.own.clone(), endpoints)
    }

    /// Returns a client with the same endpoints that trusts only these certificate authorities, in
    /// PEM. Proxies are taken from the environment, even if this client has its own settings.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidCredential`] if the text contains no certificate or an invalid one.
    pub fn with_root_certificates(&self, pem: &str) -> Result<Self, Error> {
        let config = tls::client_config_with_roots(pem)?;
        Ok(self.with_pool(Pool::with_config(config)))
    }

    fn with_pool(&self, pool: Pool) -> Self {
        Self {
            shared: Arc::new(Shared {
                own: Some(Arc::new(pool)),
                endpoints: self.shared.endpoints.clone(),
            }),
            sent: self.sent.clone(),
        }
    }

    fn from_parts(own: Option<Arc<Pool>>, endpoints: Endpoints) -> Self {
        Self {
            shared: Arc::new(Shared { own, endpoints }),
            sent: Arc::default(),
        }
    }

    /// Returns a client with the same endpoints and a client certificate for mutual TLS: the chain
    /// in PEM, leaf first, and the leaf's private key in PEM. Proxies are taken from the
    /// environment, even if this client has its own settings.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidCredential`] if the certificate or the key is missing or invalid, or if
    /// they do not match.
    pub fn with_identity(&self, chain: &str, key: &SecretString) -> Result<Self, Error> {
        let config = tls::client_config_with_certificate(chain, key.expose_secret())?;
        Ok(self.with_pool(Pool::with_config(config)))
    }

    /// Returns a client with the same connections and endpoints and a new request counter.
    #[must_use]
    pub fn with_separate_counter(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            sent: Arc::default(),
        }
    }

    /// Returns the endpoints.
    pub fn endpoints(&self) -> &Endpoints {
        &self.shared.endpoints
    }

    /// Returns the number of requests sent with this client and its clones, retries included.
    pub fn request_count(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Sends a request to a Google URL or a URL from a credential file, or to the emulator in its
    /// place, and returns the response with any status. A request that was not processed
    /// ([`Error::is_unprocessed`]) is resent immediately, at most twice.
    ///
    /// # Errors
    /// [`ErrorKind::DisallowedUrl`], [`ErrorKind::Network`] or [`ErrorKind::Timeout`];
    /// [`ErrorKind::UntrustedEmulator`] if the emulator belongs to another user;
    /// [`ErrorKind::Runtime`] outside of a tokio runtime. Messages contain the host, but not the
    /// path or query.
    ///
    /// ```no_run
    /// use ee_token::{Endpoint, Endpoints, HttpClient, Request};
    /// use http::Method;
    ///
    /// # async fn f() -> Result<(), ee_token::Error> {
    /// let http = HttpClient::new(Endpoints::google());
    /// let url = http.endpoints().url(Endpoint::Sts).clone();
    /// let mut request = Request::new(Method::GET, url);
    /// *request.timeout_mut() = Some(std::time::Duration::from_secs(10));
    /// let response = http.send(request).await?;
    /// println!("{}", response.status());
    /// # Ok(()) }
    /// ```
    pub async fn send(&self, mut request: Request) -> Result<Response, Error> {
        let url = request.url().clone();
        *request.url_mut() = self.endpoints().resolve(&url)?;
        let host = url.host_str().unwrap_or_default();
        let idempotent = request.method().is_idempotent();
        for _ in 0..MAX_UNPROCESSED {
            let Some(copy) = request.try_clone() else {
                break;
            };
            match send_to(self, copy, host, Transfer::Small, idempotent)?.await {
                Err(error) if error.is_unprocessed() => {}
                result => return result,
            }
        }
        send_to(self, request, host, Transfer::Small, idempotent)?.await
    }

    fn execute(
        &self,
        request: Request,
        transfer: Transfer,
    ) -> Result<impl Future<Output = reqwest::Result<Response>> + Send + use<>, Error> {
        let pool = self.pool()?;
        let endpoints = self.endpoints();
        let url = request.url();
        let mut channel = None;
        let executing = if let Some(check) = endpoints.listener_check(url) {
            pool.checked(check)?.execute(request)
        } else if endpoints.is_direct(url) {
            pool.direct()?.execute(request)
        } else {
            let chosen = pool.channel(url, transfer)?;
            let executing = chosen.client.execute(request);
            channel = Some(chosen.in_flight);
            executing
        };
        self.sent.fetch_add(1, Ordering::Relaxed);
        Ok(async move {
            let mut response = executing.await?;
            if let Some(in_flight) = channel {
                response.extensions_mut().insert(in_flight);
            }
            Ok(response)
        })
    }

    fn pool(&self) -> Result<Arc<Pool>, Error> {
        match &self.shared.own {
            Some(pool) => {
                this_runtime()?;
                Ok(pool.clone())
            }
            None => Pool::of_this_runtime(),
        }
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient")
            .field("emulator", &self.shared.endpoints.emulator_address())
            .field("request_count", &self.request_count())
            .finish_non_exhaustive()
    }
}

/// Sends a request like [`HttpClient::send`] to a URL that was returned by [`Endpoints::resolve`], so
/// that callers with many requests resolve it once. `host` is the one that messages name, and
/// `idempotent` says whether sending the request twice has the same effect. Refused streams are not
/// resent.
///
/// After a timeout, requests that follow use other connections.
///
/// # Errors
/// As [`HttpClient::send`]. Errors that need no I/O are returned immediately.
pub fn send_to<'a>(
    http: &HttpClient,
    request: Request,
    host: &'a str,
    transfer: Transfer,
    idempotent: bool,
) -> Result<impl Future<Output = Result<Response, Error>> + Send + use<'a>, Error> {
    let is_present = |body: &Body| body.as_bytes() != Some(b"");
    let has_body = request.body().is_some_and(is_present);
    // The future does not hold the request, which each level of nesting would copy.
    let response = http.execute(request, transfer)?;
    let http = http.clone();
    Ok(async move {
        response.await.map_err(|error| {
            if let Some(url) = error.url().filter(|_| error.is_timeout()) {
                replace_connections(&http, url);
            }
            let address = error.url().map(host_and_port).unwrap_or_default();
            let emulator = http.endpoints().emulator_in_force();
            let is_unprocessed = is_unprocessed(&error, has_body || idempotent);
            let error = from_reqwest(error, host, &address).with_unprocessed(is_unprocessed);
            in_emulator_mode(emulator, error)
        })
    })
}

/// Opens a connection to the host of a request that will follow, while something else is awaited,
/// such as its access token. Does nothing if there is one. Failures are ignored.
pub fn open_ahead(http: &HttpClient, url: &Url) {
    let endpoints = http.endpoints();
    let opened = endpoints.resolve(url).and_then(|url| {
        if endpoints.is_direct(&url) {
            return Ok(());
        }
        http.pool()?.open_ahead(&url)
    });
    if let Err(error) = opened {
        tracing::debug!(%error, "no connection was opened ahead of a request");
    }
}

/// Replaces the connections to a URL's host, because a request on them timed out. Requests in
/// flight keep theirs.
pub fn replace_connections(http: &HttpClient, url: &Url) {
    if let Ok(pool) = http.pool() {
        pool.replace(url);
    }
}

/// Replaces the remedy of a failed exchange in emulator mode.
fn in_emulator_mode(emulator: Option<Emulator>, error: Error) -> Error {
    match emulator.filter(|_| error.is_transient()) {
        Some(emulator) => error.with_remedy(emulator.remedy()),
        None => error,
    }
}

fn host_and_port(url: &Url) -> String {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => String::new(),
    }
}

#[cfg(test)]
mod tests;
