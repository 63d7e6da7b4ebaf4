//! Both of rustls' providers in one program: rustls itself cannot choose one, and the library
//! works.

#![cfg(test)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use ee_emulator::{ClientCertificate, Emulator};
use ee_token::{Endpoint, Endpoints, Grant, HttpClient, SecretString, TokenEndpoint};
use rustls::crypto::{CryptoProvider, aws_lc_rs, ring};
use rustls::{ClientConfig, ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 43\r\nconnection: close\r\n\r\n{\"access_token\":\"ya29.x\",\"expires_in\":3600}";

/// Starts a token endpoint over TLS with one of the providers, and returns its port.
fn serve(certificate: &ClientCertificate, provider: CryptoProvider) -> u16 {
    let chain = CertificateDer::from_pem_slice(certificate.certificate_pem().as_bytes());
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem().as_bytes());
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![chain.unwrap()], key.unwrap())
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(config.clone()).unwrap();
            let mut stream = StreamOwned::new(connection, stream.unwrap());
            // A request has a few hundred bytes and arrives in one or two pieces.
            let (mut request, mut piece) = (Vec::new(), [0; 4096]);
            while !request.ends_with(b"refresh_token=1") {
                let read = stream.read(&mut piece).unwrap();
                request.extend_from_slice(&piece[..read]);
            }
            stream.write_all(ANSWER).unwrap();
            stream.conn.send_close_notify();
            stream.flush().unwrap();
        }
    });
    port
}

async fn asks_for_a_token(certificate: &ClientCertificate, port: u16) {
    let url = format!("https://localhost:{port}/token").parse().unwrap();
    let endpoints = Endpoints::google().with_url(Endpoint::Token, url);
    let http = HttpClient::new(endpoints);
    let http = http
        .with_root_certificates(certificate.issuer_pem())
        .unwrap();
    let grant = Grant::RefreshToken {
        client_id: None,
        client_secret: None,
        refresh_token: &SecretString::from("1"),
        rapt: None,
        scopes: None,
    };
    let answer = TokenEndpoint::google(http).exchange(&grant, None).await;
    assert_eq!(answer.unwrap().access_token.secret(), "ya29.x");
}

#[tokio::test]
async fn program_with_two_crypto_providers_works() {
    let emulator = Emulator::start().await.unwrap();
    let authority = emulator.create_x509_provider("//iam.googleapis.com/x");
    let certificate = authority.certificate("localhost");
    let servers = [ring::default_provider(), aws_lc_rs::default_provider()]
        .map(|provider| serve(&certificate, provider));

    for port in servers {
        asks_for_a_token(&certificate, port).await;
    }
    assert!(
        CryptoProvider::get_default().is_none(),
        "nothing was chosen for the program"
    );
    let choosing = std::panic::catch_unwind(ClientConfig::builder);
    assert!(choosing.is_err(), "rustls could choose: this shows nothing");

    aws_lc_rs::default_provider().install_default().unwrap();
    for port in servers {
        asks_for_a_token(&certificate, port).await;
    }
    let chosen = CryptoProvider::get_default().unwrap();

    let theirs = format!("{:?}", aws_lc_rs::default_provider().secure_random);
    assert_eq!(format!("{:?}", chosen.secure_random), theirs);
}
