//! HTTP/2 servers that refuse requests unprocessed (RFC 9113 §8.7).

use std::sync::Arc;
use std::time::Duration;

use ee_test_support::retirement::retire;
use ee_token::{Endpoints, HttpClient, RetryPolicy};
use h2::Reason;
use http::Method;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::{Auth, Client, ErrorKind};

const HOST: &str = "ee.example";

/// Starts a server of connections, and returns a client.
async fn client_of_server<F>(serve: impl Fn(TlsStream<TcpStream>) -> F + Send + 'static) -> Client
where
    F: Future<Output = ()> + Send + 'static,
{
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed([HOST.to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let server = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let socket = acceptor.accept(socket).await.unwrap();
            tokio::spawn(serve(socket));
        }
    });

    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .http2_prior_knowledge()
        .no_proxy()
        .resolve(HOST, address);
    let http = HttpClient::from_reqwest_builder(client, Endpoints::google()).unwrap();
    Client::builder(Auth::api_key("AIza-mine".into()), http)
        .project("p-12345")
        .base_url(
            format!("https://{HOST}:{}", address.port())
                .parse()
                .unwrap(),
        )
        .retry_policy(RetryPolicy::none())
        .build()
        .unwrap()
}

/// Refuses the first `refused` streams, before or after the response has started, and responds to the
/// others.
async fn refuse(socket: TlsStream<TcpStream>, refused: u32, response_started: bool) {
    let mut connection = h2::server::handshake(socket).await.unwrap();
    let mut seen = 0;
    while let Some(stream) = connection.accept().await {
        let (_, mut response) = stream.unwrap();
        seen += 1;
        if seen <= refused && !response_started {
            response.send_reset(Reason::REFUSED_STREAM);
            continue;
        }
        let mut body = response
            .send_response(http::Response::new(()), false)
            .unwrap();
        if seen <= refused {
            // A reset sent at once could overtake the response.
            body.send_data(r#"{"res"#.into(), false).unwrap();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(100)).await;
                body.send_reset(Reason::REFUSED_STREAM);
            });
        } else {
            body.send_data(r#"{"result": 3}"#.into(), true).unwrap();
        }
    }
}

#[tokio::test]
async fn refused_stream_is_resent_immediately() {
    for (refused, attempts) in [(0, 1), (1, 2), (2, 3), (3, 3)] {
        let client = client_of_server(move |socket| refuse(socket, refused, false)).await;
        let request = client.request(Method::POST, "projects/p/assets/a:copy");
        let result = request.json(&json!({})).send().await;
        assert_eq!(client.http().request_count(), attempts);
        match result {
            Ok(response) => assert_eq!(u64::from(response.attempts()), attempts),
            Err(error) => {
                assert_eq!(refused, 3, "{error}");
                assert_eq!(error.kind(), ErrorKind::Network, "{error}");
            }
        }
    }
}

#[tokio::test]
async fn stream_refused_after_its_response_started_is_not_resent() {
    let client = client_of_server(|socket| refuse(socket, 1, true)).await;
    let request = client.request(Method::POST, "projects/p/assets/a:copy");
    let error = request.json(&json!({})).send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network, "{error}");
    assert!(error.to_string().contains("is incomplete"), "{error}");
    assert_eq!(client.http().request_count(), 1);
}

#[tokio::test]
async fn idempotency_decides_whether_a_retired_request_is_resent() {
    for (method, has_body, idempotent, attempts) in [
        (Method::DELETE, false, None, 3),
        (Method::DELETE, false, Some(false), 1),
        (Method::POST, false, None, 1),
        (Method::POST, false, Some(true), 3),
        (Method::POST, true, None, 3),
        (Method::POST, true, Some(false), 3),
    ] {
        let client = client_of_server(retire).await;
        let mut request = client.request(method.clone(), "projects/p/assets/a");
        if has_body {
            request = request.json(&json!({}));
        }
        if let Some(idempotent) = idempotent {
            request = request.idempotent(idempotent);
        }
        let error = request.send().await.unwrap_err();
        let case = format!("{method} {has_body} {idempotent:?}: {error}");
        assert_eq!(error.kind(), ErrorKind::Network, "{case}");
        assert_eq!(client.http().request_count(), attempts, "{case}");
    }
}
