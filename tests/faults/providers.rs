//! Programs that have chosen a cryptography provider for the whole process, or none, or one that is
//! of no use. `tests/peers` has the program with both of rustls' providers in it.

use std::process::Command;
use std::sync::Arc;

use earthengine::token::{Endpoint, Grant, HttpClient, SecretString, TokenEndpoint};
use rustls::crypto::CryptoProvider;

use crate::front::Trouble;
use crate::town::{Host, Town};

const TEST: &str = "providers::our_tls_works_whatever_provider_the_process_has";
const CHOICE: &str = "EE_FAULTS_PROVIDER";

/// Each choice is for good, and so has a process of its own.
#[test]
fn our_tls_works_whatever_provider_the_process_has() {
    if let Ok(choice) = std::env::var(CHOICE) {
        return chosen(&choice);
    }
    for choice in ["none", "without-suites", "tls12-alone"] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", TEST, "--nocapture"])
            .env(CHOICE, choice)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && said.contains("1 passed"),
            "{choice}: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

fn chosen(choice: &str) {
    let mut provider = rustls::crypto::ring::default_provider();
    let installed = match choice {
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
    runtime.block_on(asks_for_a_token());

    // What the program chose is what it has, and where it chose nothing, nothing was chosen for it.
    let suites = |provider: &Arc<CryptoProvider>| provider.cipher_suites.len();
    let now = CryptoProvider::get_default().map(suites);
    assert_eq!(now, installed.map(|chosen| chosen.cipher_suites.len()));
}

/// With the library's own TLS: not with a client of the program's.
async fn asks_for_a_token() {
    let town = Town::new().await;
    town.show(Host::Token, town.authority.issue(&["localhost"]));
    town.front(Host::Token).suffer(Trouble::None).await;
    let endpoints = town.endpoints();
    let mut url = endpoints.url(Endpoint::Token).clone();
    url.set_host(Some("localhost")).unwrap();
    let http = HttpClient::new(endpoints.with_url(Endpoint::Token, url));
    let http = http.with_root_certificates(&town.authority.pem()).unwrap();
    let jane = town.emulator.create_user("jane@example.com");
    let login: serde_json::Value = serde_json::from_str(&jane.authorized_user_json()).unwrap();
    let secret = |name: &str| SecretString::from(login[name].as_str().unwrap());
    let grant = Grant::RefreshToken {
        client_id: login["client_id"].as_str(),
        client_secret: Some(&secret("client_secret")),
        refresh_token: &secret("refresh_token"),
        rapt: None,
        scopes: None,
    };
    TokenEndpoint::google(http)
        .exchange(&grant, None)
        .await
        .unwrap();
    assert_eq!(town.front(Host::Token).requests(), 1);
}
