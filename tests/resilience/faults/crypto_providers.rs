//! Processes with a default crypto provider, with an unusable one, and without one. The program with
//! both of rustls' providers is in `tests/benchmarks`.

use std::sync::Arc;

use earthengine::credentials::CredentialOptions;
use earthengine::token::HttpClient;
use earthengine::{Credentials, Endpoint};
use ee_test_support::subprocess;
use rustls::crypto::CryptoProvider;

use crate::google_hosts::{GoogleHosts, Host};

const TEST: &str = "crypto_providers::tls_works_with_any_process_wide_crypto_provider";

/// A process-wide provider cannot be replaced, so each has a process of its own.
#[test]
fn tls_works_with_any_process_wide_crypto_provider() {
    if let Some(provider) = subprocess::input() {
        return with_provider(&provider);
    }
    for provider in ["none", "without-suites", "tls12-only"] {
        subprocess::assert_passes(&mut subprocess::rerun(&[], TEST, provider));
    }
}

fn with_provider(name: &str) {
    let mut provider = rustls::crypto::ring::default_provider();
    let installed = match name {
        "none" => None,
        "without-suites" => {
            provider.cipher_suites.clear();
            Some(provider)
        }
        _ => {
            provider
                .cipher_suites
                .retain(|suite| suite.tls13().is_none());
            Some(provider)
        }
    };
    if let Some(provider) = installed.clone() {
        provider.install_default().unwrap();
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(fetch_token());

    // The library has neither replaced nor installed a provider.
    let suites = |provider: &Arc<CryptoProvider>| provider.cipher_suites.len();
    let current = CryptoProvider::get_default().map(suites);
    assert_eq!(
        current,
        installed.map(|provider| provider.cipher_suites.len())
    );
}

/// Fetches a token with the library's own TLS client.
async fn fetch_token() {
    let google = GoogleHosts::new().await;
    google.set_certificate(Host::Token, google.authority.issue(&["localhost"]));
    let endpoints = google.endpoints();
    let mut url = endpoints.url(Endpoint::Token).clone();
    url.set_host(Some("localhost")).unwrap();
    let http = HttpClient::new(endpoints.with_url(Endpoint::Token, url));
    let http = http
        .with_root_certificates(&google.authority.pem())
        .unwrap();
    let jane = google.emulator.create_user("jane@example.com");
    let options = CredentialOptions::new(http);
    let credentials = Credentials::from_json(&jane.authorized_user_json(), &options).unwrap();
    credentials.token().await.unwrap();
    assert_eq!(google.server(Host::Token).requests(), 1);
}
