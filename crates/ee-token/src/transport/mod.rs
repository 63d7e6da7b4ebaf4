//! The one way out of the process: every request of these crates goes through [`HttpClient`].

pub(crate) mod emulator;
pub(crate) mod endpoints;
pub(crate) mod exchange;
pub(crate) mod listener;
pub(crate) mod retry;
pub(crate) mod tls;
pub(crate) mod url_field;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::SecretString;
use bytes::{Bytes, BytesMut};
use once_cell::sync::OnceCell;
use reqwest::{Client, ClientBuilder, Request, Response, redirect};
use tokio::runtime::{self, Handle};
use url::Url;

use crate::error::network::from_reqwest;
use crate::transport::emulator::{Emulator, ListenerCheck};
use crate::transport::endpoints::{Endpoints, LOCALHOST, localhost};
use crate::{Error, ErrorKind, Remedy};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections, the [`Endpoints`] they lead to, and the rules that every request follows:
/// HTTPS only, no redirect followed, no proxy for loopback or the metadata server; in emulator
/// mode, the emulator for every host, on connections to the user's own listener or root's.
///
/// Cheap to clone. All clients made with [`HttpClient::new`] share the process's connections,
/// those of one tokio runtime apart from another's: a connection dies with its runtime.
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
    /// The pool that the program brought; without one, that of the process and the runtime.
    own: Option<Arc<Pool>>,
    endpoints: Endpoints,
}

/// The connections of one program's client, or of one runtime. Each part is set up when it is
/// first needed: most programs need one of them.
#[derive(Default)]
struct Pool {
    proxied: OnceCell<Client>,
    direct: OnceCell<Client>,
    /// Emulator mode: a client for each address, whose connections are verified.
    checked: Mutex<Vec<(ListenerCheck, Client)>>,
    /// TLS of its own, whose connections are not kept: one dies with its runtime.
    config: Option<rustls::ClientConfig>,
}

impl Pool {
    fn with_config(config: rustls::ClientConfig) -> Self {
        Self {
            config: Some(config),
            ..Self::default()
        }
    }

    fn client(&self, direct: bool) -> Result<&Client, Error> {
        if direct {
            // Who is so near is there at once or not at all: the time-outs of requests are enough.
            let new = || self.build(Client::builder().no_proxy());
            self.direct.get_or_try_init(new)
        } else {
            let new = || self.build(Client::builder().connect_timeout(CONNECT_TIMEOUT));
            self.proxied.get_or_try_init(new)
        }
    }

    fn checked_client(&self, check: ListenerCheck) -> Result<Client, Error> {
        let mut clients = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = clients.iter().find(|(known, _)| *known == check) {
            return Ok(client.clone());
        }
        let client = self.build(Client::builder().no_proxy().connector_layer(check))?;
        clients.push((check, client.clone()));
        Ok(client)
    }

    fn build(&self, builder: ClientBuilder) -> Result<Client, Error> {
        match &self.config {
            Some(config) => build_with(builder.pool_max_idle_per_host(0), config.clone()),
            None => build(builder),
        }
    }

    /// The process's pool for the runtime that polls us.
    fn of_this_runtime() -> Result<Arc<Self>, Error> {
        let runtime = this_runtime()?;
        let id = runtime.id();
        let pool = {
            let mut pools = pools();
            if let Some((_, pool)) = pools.iter().rfind(|(known, _)| *known == id) {
                return Ok(pool.clone());
            }
            let pool = Arc::new(Self::default());
            pools.push((id, pool.clone()));
            pool
        };
        // Not under the lock: a runtime that is shutting down drops the task at once.
        let tenancy = Tenancy(id);
        runtime.spawn(async move {
            let _held = tenancy;
            std::future::pending::<()>().await;
        });
        Ok(pool)
    }
}

/// The runtime that polls us. Connections and timers need one, and would panic.
fn this_runtime() -> Result<Handle, Error> {
    Handle::try_current().map_err(|_| {
        Error::new(ErrorKind::Runtime, "a request needs a tokio runtime").with_remedy(Remedy::new(
            "Call from inside a tokio runtime, or use the blocking client.",
        ))
    })
}

/// The pools of the runtimes that there are: programs have one, servers one for each core.
static POOLS: Mutex<Vec<(runtime::Id, Arc<Pool>)>> = Mutex::new(Vec::new());

fn pools() -> MutexGuard<'static, Vec<(runtime::Id, Arc<Pool>)>> {
    POOLS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Held by a task of a runtime, which drops it when it goes away: its connections are of no use
/// to anybody then, and are forgotten.
struct Tenancy(runtime::Id);

impl Drop for Tenancy {
    fn drop(&mut self) {
        let gone = {
            let mut pools = pools();
            let at = pools.iter().position(|(known, _)| *known == self.0);
            at.map(|at| pools.swap_remove(at))
        };
        // Closes connections, maybe: others need not wait for that.
        drop(gone);
    }
}

impl HttpClient {
    /// How often a server may send one request back unread before that counts as a failure.
    #[doc(hidden)]
    pub const MAX_REFUSED_STREAMS: u32 = 2;

    /// A client on the process's own connections. They are set up when the first request needs
    /// them.
    pub fn new(endpoints: Endpoints) -> Self {
        Self::from_parts(None, endpoints)
    }

    /// A client on a connection pool of the program's own, with its proxies, roots and time-outs.
    ///
    /// It is built here, so that it follows no redirect (one that is followed takes the body,
    /// secrets included, to wherever it points) and sends nothing again by itself: what may be
    /// sent twice is known here.
    ///
    /// # Errors
    /// [`ErrorKind::Network`] if its settings cannot be used.
    ///
    /// # Panics
    /// As reqwest does where rustls has to choose a crypto provider and cannot: give the client a
    /// configuration ([`ClientBuilder::tls_backend_preconfigured`]), or the process a default.
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
        let client = finish(client)?;
        let pool = Pool {
            proxied: OnceCell::with_value(client),
            ..Pool::default()
        };
        Ok(Self::from_parts(Some(Arc::new(pool)), endpoints))
    }

    /// The same connections, leading elsewhere.
    #[doc(hidden)]
    #[must_use]
    pub fn with_endpoints(&self, endpoints: Endpoints) -> Self {
        Self::from_parts(self.shared.own.clone(), endpoints)
    }

    /// A client to the same hosts that trusts these certificate authorities alone, in PEM, for
    /// a server that the platform does not know. Its proxies are the environment's, also where
    /// the program brought a client of its own.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidCredential`] if there is no certificate in the text, or one that
    /// cannot be used.
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

    /// A client to the same hosts that shows this certificate to servers which ask for one
    /// (mutual TLS): the chain in PEM, leaf first, and the leaf's private key in PEM. Its proxies
    /// are the environment's, also where the program brought a client of its own.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidCredential`] if there is no certificate or no key in the texts, or
    /// if they do not belong together.
    pub fn with_identity(&self, chain: &str, key: &SecretString) -> Result<Self, Error> {
        let config = tls::client_config_with_certificate(chain, key.expose_secret())?;
        Ok(self.with_pool(Pool::with_config(config)))
    }

    /// The same pool and endpoints with a request count of its own, from 0.
    #[must_use]
    pub fn with_separate_counter(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            sent: Arc::default(),
        }
    }

    /// The hosts that it talks to.
    pub fn endpoints(&self) -> &Endpoints {
        &self.shared.endpoints
    }

    /// How many requests were sent through it and its clones, retries included.
    pub fn request_count(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Sends a request to a Google URL (or one from a credential file), in whose place an
    /// emulator is asked where one is in force, and returns the answer's head, whatever its
    /// status. What the server sends back unread ([`Error::is_refused_stream`]) is sent again at
    /// once, twice at most.
    ///
    /// # Errors
    /// [`ErrorKind::DisallowedUrl`], [`ErrorKind::Network`] or [`ErrorKind::Timeout`];
    /// [`ErrorKind::UntrustedEmulator`] if another user serves the emulator's address;
    /// [`ErrorKind::Runtime`] outside of a tokio runtime. The
    /// message names the host, never the path or query.
    ///
    /// ```no_run
    /// use ee_token::{Endpoint, Endpoints, HttpClient, Request, read_bounded};
    /// use http::Method;
    ///
    /// # async fn f() -> Result<(), ee_token::Error> {
    /// let http = HttpClient::new(Endpoints::google());
    /// let url = http.endpoints().url(Endpoint::Sts).clone();
    /// let mut request = Request::new(Method::GET, url);
    /// *request.timeout_mut() = Some(std::time::Duration::from_secs(10));
    /// let mut reply = http.send(request).await?;
    /// let body = read_bounded(&mut reply, 1 << 20).await?;
    /// # Ok(()) }
    /// ```
    pub async fn send(&self, mut request: Request) -> Result<Response, Error> {
        let asked = request.url().clone();
        *request.url_mut() = self.endpoints().resolve(&asked)?;
        let host = asked.host_str().unwrap_or_default();
        for _ in 0..Self::MAX_REFUSED_STREAMS {
            let Some(same) = request.try_clone() else {
                break;
            };
            match self.send_to(same, host)?.await {
                Err(error) if error.is_refused_stream() => {}
                result => return result,
            }
        }
        self.send_to(request, host)?.await
    }

    /// [`send`](Self::send) for a URL that came from [`Endpoints::resolve`] already, which
    /// spares those who send many requests to one host. `host` is the one that messages name.
    /// What the server turns back is not sent again.
    ///
    /// # Errors
    /// As [`send`](Self::send); what needs no waiting is said at once.
    #[doc(hidden)]
    pub fn send_to<'a>(
        &self,
        request: Request,
        host: &'a str,
    ) -> Result<impl Future<Output = Result<Response, Error>> + Send + use<'a>, Error> {
        // The request is not held by the future: it would be there once for each that awaits it.
        let reply = self.execute(request)?;
        let emulator = self.endpoints().emulator_in_force();
        Ok(async move {
            reply.await.map_err(|error| {
                let address = error.url().map(host_and_port).unwrap_or_default();
                in_emulator_mode(emulator, from_reqwest(error, host, &address))
            })
        })
    }

    fn execute(
        &self,
        request: Request,
    ) -> Result<impl Future<Output = reqwest::Result<Response>> + Send + use<>, Error> {
        let pool = self.pool()?;
        let endpoints = self.endpoints();
        let executing = match endpoints.listener_check(request.url()) {
            Some(check) => pool.checked_client(check)?.execute(request),
            None => pool
                .client(endpoints.is_direct(request.url()))?
                .execute(request),
        };
        self.sent.fetch_add(1, Ordering::Relaxed);
        Ok(executing)
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

/// A failed exchange, with the remedy that helps in emulator mode.
fn in_emulator_mode(emulator: Option<Emulator>, error: Error) -> Error {
    match emulator.filter(|_| error.is_transient()) {
        Some(emulator) => error.with_remedy(emulator.remedy()),
        None => error,
    }
}

fn build(builder: ClientBuilder) -> Result<Client, Error> {
    build_with(builder, tls::client_config()?)
}

fn build_with(builder: ClientBuilder, config: rustls::ClientConfig) -> Result<Client, Error> {
    finish(builder.tls_backend_preconfigured(config))
}

fn finish(mut builder: ClientBuilder) -> Result<Client, Error> {
    for name in LOCALHOST {
        // Port 0 stands for the URL's port.
        builder = builder.resolve_to_addrs(name, &localhost(0));
    }
    builder
        .redirect(redirect::Policy::none())
        // With no retry to prepare for, no request is copied either.
        .retry(reqwest::retry::never().max_retries_per_request(0))
        .build()
        .map_err(|error| {
            Error::new(ErrorKind::Network, "the HTTP client cannot be set up")
                .with_source(error.without_url())
        })
}

fn host_and_port(url: &Url) -> String {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => String::new(),
    }
}

/// Reads a body, or the rest of it, of at most `limit` bytes.
///
/// # Errors
/// [`ErrorKind::InvalidResponse`] if the body is longer; [`ErrorKind::Network`] or
/// [`ErrorKind::Timeout`] if it is cut off.
pub async fn read_bounded(response: &mut Response, limit: usize) -> Result<Bytes, Error> {
    let host = response.url().host_str().unwrap_or_default().to_owned();
    read_body(response, limit, &host).await
}

/// Reads a body like [`read_bounded`]. `host` is the one that messages name.
async fn read_body(response: &mut Response, limit: usize, host: &str) -> Result<Bytes, Error> {
    let too_long = || {
        let message = format!("the response of {host} is longer than {limit} bytes");
        Error::new(ErrorKind::InvalidResponse, message)
            .with_remedy(Remedy::unexpected_intermediary())
    };
    if response.content_length().is_some_and(|n| n > limit as u64) {
        return Err(too_long());
    }
    // Most bodies are one chunk, which is returned without a copy.
    let mut first = Bytes::new();
    let mut body = BytesMut::new();
    let cut_off = |error| from_reqwest(error, host, host);
    while let Some(chunk) = response.chunk().await.map_err(cut_off)? {
        if first.len() + body.len() + chunk.len() > limit {
            return Err(too_long());
        }
        if first.is_empty() && body.is_empty() {
            first = chunk;
        } else {
            if body.is_empty() {
                body = BytesMut::from(std::mem::take(&mut first));
            }
            body.extend_from_slice(&chunk);
        }
    }
    Ok(if body.is_empty() {
        first
    } else {
        body.freeze()
    })
}

/// Reads the next chunk of a body. Returns `None` at its end.
///
/// # Errors
/// [`ErrorKind::Network`] or [`ErrorKind::Timeout`] if the body is cut off.
pub async fn read_chunk(response: &mut Response) -> Result<Option<Bytes>, Error> {
    let chunk = response.chunk().await;
    chunk.map_err(|error| {
        let host = response.url().host_str().unwrap_or_default();
        from_reqwest(error, host, host)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::Method;
    use wiremock::matchers::{method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    async fn get(http: &HttpClient, url: &str) -> Result<Response, Error> {
        http.send(Request::new(Method::GET, url.parse().unwrap()))
            .await
    }

    fn own_client() -> ClientBuilder {
        Client::builder().tls_backend_preconfigured(tls::client_config().unwrap())
    }

    #[test]
    fn the_connections_of_a_runtime_are_kept_as_long_as_it_and_no_longer() {
        let runtime = || runtime::Builder::new_current_thread().build().unwrap();
        let is_known = |id| pools().iter().any(|(known, _)| *known == id);
        let (long, short) = (runtime(), runtime());
        let first = long.block_on(async { Pool::of_this_runtime().unwrap() });
        let of_short = short.block_on(async { Pool::of_this_runtime().unwrap() });
        assert!(!Arc::ptr_eq(&first, &of_short));
        let (id, handle) = (short.handle().id(), short.handle().clone());
        drop(short);
        assert!(!is_known(id), "its connections outlived it");
        let again = long.block_on(async { Pool::of_this_runtime().unwrap() });
        assert!(Arc::ptr_eq(&first, &again));
        // Whoever is still inside of one that has gone holds nobody up, and leaves nothing behind.
        let _inside = handle.enter();
        assert!(Pool::of_this_runtime().is_ok());
        assert!(!is_known(id));
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_not_followed() {
        let server = MockServer::start().await;
        Mock::given(path("/from"))
            .respond_with(ResponseTemplate::new(307).insert_header("Location", "/to"))
            .mount(&server)
            .await;
        let own = own_client().redirect(redirect::Policy::limited(5));
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
    async fn the_programs_own_client_goes_where_it_is_pointed_later() {
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
    async fn a_host_is_reached_through_the_emulator() {
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
    async fn a_body_past_the_limit_is_an_error() {
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

    /// Resolves every name to an address at which nothing listens, and counts them.
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
        let http = HttpClient::new(Endpoints::google()).with_pool(Pool {
            direct: OnceCell::with_value(client()),
            proxied: OnceCell::with_value(client()),
            ..Pool::default()
        });
        let port = server.address().port();
        for host in ["localhost", "LOCALHOST", "localhost."] {
            let url = format!("http://{host}:{port}/");
            assert_eq!(get(&http, &url).await.unwrap().status(), 200, "{host}");
        }
        assert_eq!(resolver.0.load(Ordering::Relaxed), 0);
        // Other names need TLS and are resolved, whatever they look like.
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

    #[tokio::test]
    async fn localhost_is_reached_at_either_loopback_address() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = std::net::TcpListener::bind(address) else {
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

    /// A server that speaks HTTP/2 at once, sends the first `turned_back` requests back unread,
    /// and answers the others.
    async fn server_that_turns_back(turned_back: u32) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            let mut connection = h2::server::handshake(socket).await.unwrap();
            let mut seen = 0;
            while let Some(stream) = connection.accept().await {
                let (_, mut answer) = stream.unwrap();
                seen += 1;
                if seen <= turned_back {
                    answer.send_reset(h2::Reason::REFUSED_STREAM);
                } else {
                    answer.send_response(http::Response::new(()), true).unwrap();
                }
            }
        });
        url
    }

    #[tokio::test]
    async fn what_a_server_turns_back_is_sent_again_at_once_and_counted() {
        for (turned_back, sent) in [(0, 1), (1, 2), (2, 3), (3, 3)] {
            let url = server_that_turns_back(turned_back).await;
            let client = finish(own_client().http2_prior_knowledge()).unwrap();
            let http = HttpClient::new(Endpoints::google());
            let http = http.with_pool(Pool {
                direct: OnceCell::with_value(client),
                ..Pool::default()
            });
            let mut request = Request::new(Method::POST, url.parse().unwrap());
            *request.body_mut() = Some("once".into());
            match http.send(request).await {
                Ok(reply) => assert!(turned_back < 3 && reply.status() == 200),
                Err(error) => {
                    assert_eq!(turned_back, 3, "{error}");
                    assert!(error.is_refused_stream() && error.was_not_sent(), "{error}");
                    assert_eq!(error.kind(), ErrorKind::Network);
                }
            }
            assert_eq!(http.request_count(), sent, "{turned_back} turned back");
        }
    }

    fn closed_port() -> std::net::SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    }

    #[tokio::test]
    async fn a_closed_port_is_a_network_error_that_names_the_host() {
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
