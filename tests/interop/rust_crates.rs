//! The same credentials in other crates: google-cloud-auth and `object_store`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed step is a failed test"
)]

use std::sync::Arc;

use earthengine::credentials::{CredentialOptions, Credentials, ObjectStoreCredentials};
use earthengine::token::HttpClient;
use earthengine::{EarthEngine, Endpoints, Scopes};
use ee_emulator::{Emulator, Project};
use google_cloud_auth::credentials::service_account::{AccessSpecifier, Builder};
use object_store::ObjectStoreExt as _;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use serde_json::{Value, json};
use wiremock::matchers::{header, method, path_regex};
use wiremock::{Mock, MockServer, ResponseTemplate};

const PROJECT: &str = "land-cover";
const ROBOT: &str = "robot@land-cover.iam.gserviceaccount.com";

/// Installs a process-wide crypto provider, which these crates require and this workspace does not.
async fn emulator() -> Emulator {
    // Another test may have installed it; a process has only one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Emulator::builder()
        .project(Project::new(PROJECT))
        .start()
        .await
        .unwrap()
}

async fn three(emulator: &Emulator, credentials: Credentials) -> i64 {
    let ee = EarthEngine::builder()
        .isolated()
        .endpoints(Endpoints::emulator(emulator.address()).unwrap())
        .credentials(credentials)
        .project(PROJECT)
        .connect()
        .await
        .unwrap();
    let expression = json!({"result": "0", "values": {"0": {"constantValue": 3}}});
    ee.compute(&expression).await.unwrap()
}

#[tokio::test]
async fn google_cloud_auth_key_initializes_earth_engine() {
    let emulator = emulator().await;
    let key = emulator.create_service_account(ROBOT, PROJECT).json_key();
    let key: Value = serde_json::from_str(&key).unwrap();
    let scopes = Scopes::earth_engine();
    let credentials = Builder::new(key)
        .with_access_specifier(AccessSpecifier::from_scopes(scopes.iter()))
        .with_quota_project_id(PROJECT)
        .build()
        .unwrap();
    let adapted = Credentials::from_google_cloud(credentials).await.unwrap();
    assert_eq!(adapted.quota_project(), Some(PROJECT));
    assert_eq!(three(&emulator, adapted).await, 3);
}

#[tokio::test]
async fn object_store_reads_an_export_with_the_same_login() {
    let emulator = emulator().await;
    let key = emulator.create_service_account(ROBOT, PROJECT).json_key();
    let options = CredentialOptions::new(HttpClient::new(
        Endpoints::emulator(emulator.address()).unwrap(),
    ));
    let credentials = Credentials::from_json(&key, &options).unwrap();
    let token = credentials.token().await.unwrap();

    let storage = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path_regex("exports.*tile"))
        .and(header(
            "authorization",
            format!("Bearer {}", token.secret()),
        ))
        .respond_with(
            ResponseTemplate::new(200)
                .insert_header("last-modified", "Mon, 02 Mar 2026 10:00:00 GMT")
                .insert_header("etag", "1")
                .set_body_string("pixels"),
        )
        .expect(1)
        .mount(&storage)
        .await;
    let store = GoogleCloudStorageBuilder::new()
        .with_bucket_name("exports")
        .with_base_url(&storage.uri())
        .with_client_options(object_store::ClientOptions::new().with_allow_http(true))
        .with_credentials(Arc::new(ObjectStoreCredentials::new(credentials.clone())))
        .build()
        .unwrap();
    let object = store.get(&Path::from("tile.tif")).await.unwrap();
    assert_eq!(&object.bytes().await.unwrap()[..], b"pixels");
    assert_eq!(three(&emulator, credentials).await, 3);
    let token_requests = emulator.requests_to("oauth2.googleapis.com");
    assert_eq!(token_requests.len(), 1, "both share one token");
}
