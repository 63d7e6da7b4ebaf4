use super::*;
use crate::ErrorKind;
use crate::transport::body::read_bounded;
use ee_test_support::retirement::retire;
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

fn http2_client() -> HttpClient {
    let client = finish(own_client().http2_prior_knowledge()).unwrap();
    HttpClient::new(Endpoints::google()).with_pool(Pool::with_clients(client.clone(), client))
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
        let Some((listener, _taken)) = (0..10).find_map(|_| lone_listener(address, other)) else {
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
        let http = http2_client();
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

/// An HTTP/2 server that retires each connection when the first request arrives.
async fn server_that_retires_connections() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            tokio::spawn(retire(socket));
        }
    });
    url
}

/// hyper reports the same error if the server has received the headers.
#[tokio::test]
async fn change_without_a_body_is_not_resent_after_a_shutdown() {
    let url = server_that_retires_connections().await;
    for (method, body, sent) in [
        (Method::GET, None, 3),
        (Method::PUT, Some(""), 3),
        (Method::DELETE, None, 3),
        (Method::POST, Some("{}"), 3),
        (Method::PATCH, Some("{}"), 3),
        (Method::POST, Some(""), 1),
        (Method::POST, None, 1),
        (Method::PATCH, None, 1),
    ] {
        let http = http2_client();
        let mut request = Request::new(method.clone(), url.parse().unwrap());
        *request.body_mut() = body.map(Into::into);
        let error = http.send(request).await.unwrap_err();
        let case = format!("{method} {body:?}: {error}");
        assert_eq!(http.request_count(), sent, "{case}");
        assert_eq!(error.is_unprocessed(), sent > 1, "{case}");
        assert_eq!(error.was_not_sent(), sent > 1, "{case}");
        assert_eq!(error.kind(), ErrorKind::Network, "{case}");
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
