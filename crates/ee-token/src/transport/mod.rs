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
use reqwest::{ClientBuilder, Request, Response};
use url::Url;

use crate::Error;
#[cfg(doc)]
use crate::ErrorKind;
use crate::error::network::from_reqwest;
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
        for _ in 0..MAX_UNPROCESSED {
            let Some(copy) = request.try_clone() else {
                break;
            };
            match send_to(self, copy, host, Transfer::Small)?.await {
                Err(error) if error.is_unprocessed() => {}
                result => return result,
            }
        }
        send_to(self, request, host, Transfer::Small)?.await
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
/// that callers with many requests resolve it once. `host` is the one that messages name. Refused
/// streams are not resent.
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
) -> Result<impl Future<Output = Result<Response, Error>> + Send + use<'a>, Error> {
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
            in_emulator_mode(emulator, from_reqwest(error, host, &address))
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
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::transport::body::read_bounded;
    use reqwest::{Client, Method};
    use wiremock::matchers::{method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    async fn get(http: &HttpClient, url: &str) -> Result<Response, Error> {
        http.send(Request::new(Method::GET, url.parse().unwrap()))
            .await
    }

    fn own_client() -> ClientBuilder {
        Client::builder().tls_backend_preconfigured(tls::client_config().unwrap())
    }

    #[tokio::test]
    async fn redirect_is_returned_and_not_followed() {
        let server = MockServer::start().await;
        Mock::given(path("/from"))
            .respond_with(ResponseTemplate::new(307).insert_header("Location", "/to"))
            .mount(&server)
            .await;
        let own = own_client().redirect(reqwest::redirect::Policy::limited(5));
        for http in [
            HttpClient::new(Endpoints::google()),
            HttpClient::from_reqwest_builder(own, Endpoints::google()).unwrap(),
        ] {
            let response = get(&http, &format!("{}/from", server.uri())).await.unwrap();
            assert_eq!(response.status(), 307);
            assert_eq!(http.request_count(), 1);
            assert_eq!(http.with_separate_counter().request_count(), 0);
        }
    }

    #[tokio::test]
    async fn endpoints_of_a_custom_client_can_be_changed() {
        let server = MockServer::start().await;
        Mock::given(path("/sts.googleapis.com/v1/x"))
            .respond_with(ResponseTemplate::new(200))
            .expect(1)
            .mount(&server)
            .await;
        let http = HttpClient::from_reqwest_builder(own_client(), Endpoints::google()).unwrap();
        let http = http.with_endpoints(Endpoints::emulator(*server.address()).unwrap());
        get(&http, "https://sts.googleapis.com/v1/x").await.unwrap();
    }

    #[tokio::test]
    async fn request_is_sent_to_the_emulator() {
        let server = MockServer::start().await;
        Mock::given(method("GET"))
            .and(path("/sts.googleapis.com/v1/x"))
            .respond_with(ResponseTemplate::new(200).set_body_string("here"))
            .mount(&server)
            .await;
        let http = HttpClient::new(Endpoints::emulator(*server.address()).unwrap());
        let mut response = get(&http, "https://sts.googleapis.com/v1/x").await.unwrap();
        assert_eq!(&read_bounded(&mut response, 10).await.unwrap()[..], b"here");
    }

    #[tokio::test]
    async fn body_over_the_limit_is_an_error() {
        let server = MockServer::start().await;
        Mock::given(method("GET"))
            .respond_with(ResponseTemplate::new(200).set_body_bytes(vec![b'x'; 2000]))
            .mount(&server)
            .await;
        let http = HttpClient::new(Endpoints::google());
        let mut response = get(&http, &server.uri()).await.unwrap();
        let error = read_bounded(&mut response, 1999).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidResponse);
    }

    /// Resolves every name to an address without a listener, and counts the lookups.
    #[derive(Clone, Default)]
    struct Resolver(Arc<AtomicU64>);

    impl reqwest::dns::Resolve for Resolver {
        fn resolve(&self, _: reqwest::dns::Name) -> reqwest::dns::Resolving {
            self.0.fetch_add(1, Ordering::Relaxed);
            let addresses: reqwest::dns::Addrs = Box::new([closed_port()].into_iter());
            Box::pin(std::future::ready(Ok(addresses)))
        }
    }

    #[tokio::test]
    async fn localhost_is_connected_to_without_a_resolver() {
        let server = MockServer::start().await;
        Mock::given(method("GET"))
            .respond_with(ResponseTemplate::new(200))
            .expect(3)
            .mount(&server)
            .await;
        let resolver = Resolver::default();
        let client = || finish(own_client().no_proxy().dns_resolver(resolver.clone())).unwrap();
        let http = HttpClient::new(Endpoints::google());
        let http = http.with_pool(Pool::with_clients(client(), client()));
        let port = server.address().port();
        for host in ["localhost", "LOCALHOST", "localhost."] {
            let url = format!("http://{host}:{port}/");
            assert_eq!(get(&http, &url).await.unwrap().status(), 200, "{host}");
        }
        assert_eq!(resolver.0.load(Ordering::Relaxed), 0);
        // Similar names need TLS and are resolved.
        for (n, host) in ["foo.localhost", "localhost.example.com"]
            .iter()
            .enumerate()
        {
            get(&http, &format!("http://{host}:{port}/"))
                .await
                .unwrap_err();
            assert_eq!(resolver.0.load(Ordering::Relaxed), n as u64);
            get(&http, &format!("https://{host}:{port}/"))
                .await
                .unwrap_err();
            assert_eq!(resolver.0.load(Ordering::Relaxed), n as u64 + 1);
        }
    }

    /// Listens at a loopback address, and takes the port of the other one, where a server of another
    /// test could listen. Returns `None` if that port is in use.
    fn lone_listener(
        address: &str,
        other: &str,
    ) -> Option<(
        std::net::TcpListener,
        std::io::Result<tokio::net::TcpSocket>,
    )> {
        let listener = std::net::TcpListener::bind((address, 0)).ok()?;
        let port = listener.local_addr().unwrap().port();
        let other = std::net::SocketAddr::new(other.parse().unwrap(), port);
        let socket = match other {
            std::net::SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4(),
            std::net::SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6(),
        };
        let taken = socket.and_then(|socket| socket.bind(other).map(|()| socket));
        let in_use = |error: &std::io::Error| error.kind() == std::io::ErrorKind::AddrInUse;
        (!taken.as_ref().is_err_and(in_use)).then_some((listener, taken))
    }

    #[tokio::test]
    async fn localhost_is_reached_at_either_loopback_address() {
        for (address, other) in [("127.0.0.1", "::1"), ("::1", "127.0.0.1")] {
            let Some((listener, _taken)) = (0..10).find_map(|_| lone_listener(address, other))
            else {
                continue; // A machine without IPv6.
            };
            let port = listener.local_addr().unwrap().port();
            let server = MockServer::builder().listener(listener).start().await;
            Mock::given(method("GET"))
                .respond_with(ResponseTemplate::new(200))
                .expect(1)
                .mount(&server)
                .await;
            let http = HttpClient::new(Endpoints::google());
            let url: Url = format!("http://localhost:{port}/").parse().unwrap();
            get(&http, url.as_str()).await.unwrap();
        }
    }

    /// An HTTP/2 server that refuses the first `refused` streams and responds to the others.
    async fn server_that_refuses(refused: u32) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            let mut connection = h2::server::handshake(socket).await.unwrap();
            let mut seen = 0;
            while let Some(stream) = connection.accept().await {
                let (_, mut respond) = stream.unwrap();
                seen += 1;
                if seen <= refused {
                    respond.send_reset(h2::Reason::REFUSED_STREAM);
                } else {
                    respond
                        .send_response(http::Response::new(()), true)
                        .unwrap();
                }
            }
        });
        url
    }

    #[tokio::test]
    async fn refused_stream_is_resent_at_most_twice_and_counted() {
        for (refused, sent) in [(0, 1), (1, 2), (2, 3), (3, 3)] {
            let url = server_that_refuses(refused).await;
            let client = finish(own_client().http2_prior_knowledge()).unwrap();
            let http = HttpClient::new(Endpoints::google());
            let http = http.with_pool(Pool::with_clients(client.clone(), client));
            let mut request = Request::new(Method::POST, url.parse().unwrap());
            *request.body_mut() = Some("once".into());
            match http.send(request).await {
                Ok(response) => assert!(refused < 3 && response.status() == 200),
                Err(error) => {
                    assert_eq!(refused, 3, "{error}");
                    assert!(error.is_unprocessed() && error.was_not_sent(), "{error}");
                    assert_eq!(error.kind(), ErrorKind::Network);
                }
            }
            assert_eq!(http.request_count(), sent, "{refused} refused");
        }
    }

    fn closed_port() -> std::net::SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    }

    #[tokio::test]
    async fn closed_port_is_a_network_error_with_the_host() {
        let address = closed_port();
        let http = HttpClient::new(Endpoints::emulator(address).unwrap());
        let error = get(&http, "https://oauth2.googleapis.com/token?secret=canary")
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Network);
        let all = format!("{error} {error:?}");
        assert!(all.contains("oauth2.googleapis.com"), "{all}");
        assert!(!all.contains("canary"), "{all}");
    }
}
