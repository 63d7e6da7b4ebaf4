//! Connections to a TLS server that counts them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use ee_test_support::certificates::Authority;
use reqwest::{ClientBuilder, Response};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::transport::tls::{client_config_with_roots, without_http2};

const URL: &str = "https://host.example/";

/// A server of `host.example` that responds to every request after a moment.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    client: rustls::ClientConfig,
}

impl Server {
    /// `accepts` is how many connections are accepted; the others are closed.
    async fn start(protocol: &[u8], accepts: std::ops::Range<usize>) -> Self {
        let authority = Authority::new();
        let mut config = Arc::unwrap_or_clone(authority.issue(&["host.example"]).server_config());
        config.alpn_protocols = vec![protocol.to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, requests) = (Arc::<AtomicUsize>::default(), Arc::default());
        let server = Self {
            address,
            connections: connections.clone(),
            requests: Arc::clone(&requests),
            client: client_config_with_roots(&authority.pem()).unwrap(),
        };
        let config = Arc::new(config);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if accepts.contains(&connections.fetch_add(1, SeqCst)) {
                    tokio::spawn(serve(stream, config.clone(), requests.clone()));
                }
            }
        });
        server
    }

    fn builder(&self) -> ClientBuilder {
        Client::builder()
            .no_proxy()
            .resolve("host.example", self.address)
            .connector_layer(SharedConnections::default())
    }

    fn client(&self) -> Client {
        let builder = self
            .builder()
            .tls_backend_preconfigured(self.client.clone());
        builder.build().unwrap()
    }

    fn counts(&self) -> (usize, usize) {
        (self.connections.load(SeqCst), self.requests.load(SeqCst))
    }
}

async fn serve(stream: TcpStream, config: Arc<ServerConfig>, requests: Arc<AtomicUsize>) {
    let Ok(mut stream) = TlsAcceptor::from(config).accept(stream).await else {
        return;
    };
    let moment = Duration::from_millis(20);
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            requests.fetch_add(1, SeqCst);
            tokio::spawn(async move {
                sleep(moment).await;
                let _ = respond.send_response(http::Response::new(()), true);
            });
        }
        return;
    }
    let mut head = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        head.push(byte);
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            requests.fetch_add(1, SeqCst);
            sleep(moment).await;
            let response = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            let _ = stream.write_all(response).await;
        }
    }
}

async fn get(client: &Client) -> reqwest::Result<Response> {
    client.get(URL).send().await
}

/// Sends requests at the same time, and returns how many succeed.
async fn get_at_once(client: &Client, count: usize) -> usize {
    let mut tasks = JoinSet::new();
    for _ in 0..count {
        let client = client.clone();
        tasks.spawn(async move { get(&client).await.is_ok() });
    }
    let results = tasks.join_all().await;
    results.into_iter().filter(|succeeded| *succeeded).count()
}

/// Polls a future once. Returns whether it is ready.
async fn is_ready<F: Future + Unpin>(future: &mut F) -> bool {
    poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context).is_ready())).await
}

#[tokio::test]
async fn concurrent_requests_share_one_http2_handshake() {
    let server = Server::start(b"h2", 0..9).await;
    let client = server.client();
    assert_eq!(get_at_once(&client, 40).await, 40);
    assert_eq!(get_at_once(&client, 40).await, 40);
    assert_eq!(server.counts(), (1, 80));
}

#[tokio::test]
async fn concurrent_requests_over_http1_have_a_connection_each() {
    let server = Server::start(b"http/1.1", 0..9).await;
    let client = server.client();
    assert_eq!(get_at_once(&client, 4).await, 4);
    assert_eq!(server.counts(), (4, 4));
}

#[tokio::test]
async fn connection_opened_ahead_carries_the_first_request() {
    for protocol in [&b"h2"[..], b"http/1.1"] {
        let server = Server::start(protocol, 0..9).await;
        let client = server.client();
        open_ahead(&client, URL.parse().unwrap());
        // In progress, and then established.
        assert_eq!(get_at_once(&client, 1).await, 1);
        assert_eq!(server.counts(), (1, 1));
        let client = server.client();
        open_ahead(&client, URL.parse().unwrap());
        sleep(Duration::from_millis(200)).await;
        assert_eq!(server.counts(), (2, 1), "a request was sent ahead");
        assert_eq!(get_at_once(&client, 1).await, 1);
        assert_eq!(server.counts(), (2, 2));
    }
}

#[tokio::test]
async fn failure_ahead_is_silent_and_the_request_connects_again() {
    let server = Server::start(b"h2", 1..9).await;
    let client = server.client();
    open_ahead(&client, URL.parse().unwrap());
    assert_eq!(get_at_once(&client, 5).await, 5);
    assert_eq!(server.counts(), (2, 5));
}

#[tokio::test]
async fn requests_that_waited_for_a_connection_share_its_failure() {
    let server = Server::start(b"h2", 1..9).await;
    let client = server.client();
    assert_eq!(get_at_once(&client, 10).await, 0);
    assert_eq!(server.counts(), (1, 0));
    assert_eq!(
        get_at_once(&client, 10).await,
        10,
        "later requests connect again"
    );
    assert_eq!(server.counts(), (2, 10));
}

#[tokio::test]
async fn connection_of_a_canceled_request_serves_the_next() {
    let server = Server::start(b"h2", 0..9).await;
    let client = server.client();
    // Canceled when the connection is in progress.
    let mut canceled = Box::pin(get(&client));
    assert!(!is_ready(&mut canceled).await);
    drop(canceled);
    assert_eq!(get_at_once(&client, 3).await, 3);
    assert_eq!(server.counts(), (1, 3));
}

#[tokio::test]
async fn request_that_is_not_polled_delays_no_other() {
    let server = Server::start(b"http/1.1", 0..9).await;
    let client = server.client();
    let mut stuck = Box::pin(get(&client));
    assert!(!is_ready(&mut stuck).await);
    assert_eq!(get_at_once(&client, 2).await, 2);
    assert!(stuck.await.is_ok());
}

#[tokio::test]
async fn client_without_http2_ignores_its_absence() {
    let server = Server::start(b"http/1.1", 0..9).await;
    let config = without_http2(server.client.clone());
    let builder = server.builder().http1_only();
    let client = builder.tls_backend_preconfigured(config).build().unwrap();
    assert_eq!(get_at_once(&client, 3).await, 3);
}
