//! Crates of other projects, each in a process of its own that `eectl exec` starts.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use ee_emulator::Fault;
use google_cloud_auth::credentials::{Builder, CacheableResource};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStoreExt as _};

use super::*;

/// Installs a process-wide crypto provider, which these crates require and this workspace does not.
fn install_crypto_provider() {
    // Another test may have installed it; a process has only one.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[tokio::test]
async fn google_cloud_auth_default_credentials_compute() {
    const NAME: &str = "rust_crates::google_cloud_auth_default_credentials_compute";
    if let Some(address) = subprocess::input() {
        return google_cloud_auth(address.parse().unwrap()).await;
    }
    let owner = Owner::new().await;
    owner.rerun(NAME).await;
    owner.assert_one_token(1);
}

async fn google_cloud_auth(emulator: SocketAddr) {
    install_crypto_provider();
    let credentials = Builder::default().build().unwrap();
    let headers = credentials.headers(http::Extensions::new()).await.unwrap();
    let CacheableResource::New { data: headers, .. } = headers else {
        panic!("{headers:?}");
    };
    let project = std::env::var("GOOGLE_CLOUD_PROJECT").unwrap();
    let body = r#"{"expression": {"result": "0", "values": {"0": {"constantValue": 3}}}}"#;
    let mut request = format!(
        "POST /earthengine.googleapis.com/v1/projects/{project}/value:compute HTTP/1.1\r\n\
         Host: {emulator}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n",
        body.len()
    );
    for (name, value) in &headers {
        request += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    let mut stream = TcpStream::connect(emulator).unwrap();
    write!(stream, "{request}\r\n{body}").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.contains("\"result\": 3"), "{response}");
}

#[tokio::test]
async fn object_store_reads_an_object() {
    const NAME: &str = "rust_crates::object_store_reads_an_object";
    const HOST: &str = "storage.googleapis.com";
    if let Some(address) = subprocess::input() {
        return object_store(&format!("http://{address}/{HOST}")).await;
    }
    let owner = Owner::new().await;
    owner.emulator.fault(
        HOST,
        Fault::respond(200, "image/tiff", "pixels")
            .header("Last-Modified", "Mon, 02 Mar 2026 10:00:00 GMT")
            .header("ETag", "1"),
    );
    owner.rerun(NAME).await;
    let [request] = owner.emulator.requests_to(HOST).try_into().unwrap();
    assert_eq!(request.path, "/exports/tile");
    assert!(
        request
            .bearer()
            .is_some_and(|token| token.starts_with("ya29.")),
        "{request:?}"
    );
    owner.assert_one_token(0);
}

async fn object_store(url: &str) {
    install_crypto_provider();
    let store = GoogleCloudStorageBuilder::from_env()
        .with_bucket_name("exports")
        .with_base_url(url)
        .with_client_options(ClientOptions::new().with_allow_http(true))
        .build()
        .unwrap();
    let object = Arc::new(store).get(&Path::from("tile")).await.unwrap();
    assert_eq!(&object.bytes().await.unwrap()[..], b"pixels");
}
