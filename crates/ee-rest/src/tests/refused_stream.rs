//! An HTTP/2 server that sends requests back unread (RFC 9113 §8.7).

use std::sync::Arc;
use std::time::Duration;

use ee_token::{Endpoints, HttpClient, RetryPolicy};
use h2::Reason;
use http::Method;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::{Auth, Client, ErrorKind};

const HOST: &str = "ee.example";

/// A server that sends the first `turned_back` requests back, when it has `begun` to
/// answer or before, and answers the others. Returns a client of it.
async fn client_of_server(turned_back: u32, begun: bool) -> Client {
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
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let socket = TlsAcceptor::from(Arc::new(server))
            .accept(socket)
            .await
            .unwrap();
        let mut connection = h2::server::handshake(socket).await.unwrap();
        let mut seen = 0;
        while let Some(stream) = connection.accept().await {
            let (_, mut answer) = stream.unwrap();
            seen += 1;
            if seen <= turned_back && !begun {
                answer.send_reset(Reason::REFUSED_STREAM);
                continue;
            }
            let mut body = answer
                .send_response(http::Response::new(()), false)
                .unwrap();
            if seen <= turned_back {
                // What is sent at once with its end may never be seen.
                body.send_data(r#"{"res"#.into(), false).unwrap();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    body.send_reset(Reason::REFUSED_STREAM);
                });
            } else {
                body.send_data(r#"{"result": 3}"#.into(), true).unwrap();
            }
        }
    });

    let own = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .http2_prior_knowledge()
        .no_proxy()
        .resolve(HOST, address);
    let http = HttpClient::from_reqwest_builder(own, Endpoints::google()).unwrap();
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

#[tokio::test]
async fn a_change_that_was_sent_back_unread_is_made_after_all_and_at_once() {
    for (turned_back, attempts) in [(0, 1), (1, 2), (2, 3), (3, 3)] {
        let client = client_of_server(turned_back, false).await;
        let request = client.request(Method::POST, "projects/p/assets/a:copy");
        let result = request.json(&json!({})).send().await;
        assert_eq!(client.http().request_count(), attempts);
        match result {
            Ok(reply) => assert_eq!(u64::from(reply.attempts()), attempts),
            Err(error) => {
                assert_eq!(turned_back, 3, "{error}");
                assert_eq!(error.kind(), ErrorKind::Network, "{error}");
            }
        }
    }
}

#[tokio::test]
async fn a_change_whose_answer_had_begun_is_not_made_again_whatever_the_server_says() {
    let client = client_of_server(1, true).await;
    let request = client.request(Method::POST, "projects/p/assets/a:copy");
    let error = request.json(&json!({})).send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network, "{error}");
    assert!(error.to_string().contains("broke off"), "{error}");
    assert_eq!(client.http().request_count(), 1);
}
