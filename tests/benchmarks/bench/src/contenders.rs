//! This workspace's credentials and the peers', each set up according to its documentation, with
//! the same key and server.

use std::sync::Arc;

use ee_credentials::{CredentialOptions, Credentials};
use ee_emulator::RsaKey;
use ee_token::{Endpoints, HttpClient, TokenCache};
use google_cloud_auth::credentials::service_account::{AccessSpecifier, Builder};
use google_cloud_auth::credentials::{Credentials as GoogleCredentials, mds, user_account};
use serde_json::{Value, json};

use crate::server::Server;

pub const SCOPE: &str = "https://www.googleapis.com/auth/earthengine";

/// A service account key whose token endpoint is the benchmark's server.
pub fn key_json(token_uri: &str) -> Value {
    json!({
        "type": "service_account",
        "project_id": "p-1234",
        "private_key_id": "0123456789abcdef0123456789abcdef01234567",
        "private_key": RsaKey::shared().pkcs8_pem(),
        "client_email": "robot@p-1234.iam.gserviceaccount.com",
        "client_id": "100000000000000000001",
        "token_uri": token_uri,
    })
}

/// A user's login.
pub fn login_json(n: usize) -> Value {
    json!({
        "type": "authorized_user",
        "client_id": "764086051850-6qr4p6gpi6hn506pt8ejuq83di341hur.apps.googleusercontent.com",
        "client_secret": "not-a-secret-of-anybodys",
        "refresh_token": format!("1//{n:0>100}"),
        "account": format!("person-{n}@example.com"),
    })
}

/// A user's login with a token endpoint on the benchmark's server.
pub fn google_login(server: &Server, n: usize) -> GoogleCredentials {
    user_account::Builder::new(login_json(n))
        .with_token_uri(server.url("/token"))
        .build()
        .expect("a login")
}

/// This workspace's HTTP client, with the server in place of Google.
pub fn options(server: &Server) -> CredentialOptions {
    let endpoints = Endpoints::emulator(server.address).expect("a loopback address");
    CredentialOptions::new(HttpClient::new(endpoints))
}

pub fn ours(server: &Server) -> TokenCache {
    let key = key_json(&server.url("/token")).to_string();
    let credentials = Credentials::from_json(&key, &options(server)).expect("a key");
    credentials.token_cache().expect("no API key").clone()
}

/// With a self-signed JWT, the default for a service account key.
pub fn google() -> GoogleCredentials {
    Builder::new(key_json("https://oauth2.googleapis.com/token"))
        .with_access_specifier(AccessSpecifier::from_scopes([SCOPE]))
        .build()
        .expect("a key")
}

/// With tokens from the benchmark's server in place of a metadata server.
pub fn google_mds(server: &Server) -> GoogleCredentials {
    mds::Builder::default()
        .with_endpoint(server.url(""))
        .build()
        .expect("an endpoint")
}

pub fn gcp_auth(server: &Server) -> Arc<dyn gcp_auth::TokenProvider> {
    let key = key_json(&server.url("/token")).to_string();
    Arc::new(gcp_auth::CustomServiceAccount::from_json(&key).expect("a key"))
}

pub type Yup = yup_oauth2::authenticator::DefaultAuthenticator;

pub async fn yup(server: &Server) -> Yup {
    let key = key_json(&server.url("/token"));
    let key = serde_json::from_value(key).expect("a key");
    yup_oauth2::ServiceAccountAuthenticator::builder(key)
        .build()
        .await
        .expect("a key")
}

/// The machine of the metadata server.
pub async fn yup_mds(server: &Server) -> Yup {
    use yup_oauth2::authenticator::ApplicationDefaultCredentialsTypes::{
        InstanceMetadata, ServiceAccount,
    };
    let options = yup_oauth2::ApplicationDefaultCredentialsFlowOpts {
        metadata_url: Some(server.url("/token")),
    };
    match yup_oauth2::ApplicationDefaultCredentialsAuthenticator::builder(options).await {
        InstanceMetadata(builder) => builder.build().await.expect("a machine"),
        ServiceAccount(_) => panic!("GOOGLE_APPLICATION_CREDENTIALS is set"),
    }
}

/// A bare client with the same options.
pub fn reqwest() -> reqwest::Client {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .expect("a client")
}
