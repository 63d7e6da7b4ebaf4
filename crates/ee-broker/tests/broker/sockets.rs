//! Unix sockets, and the forwarder to them.

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;

use ee_broker::{BrokerAddress, ErrorKind as Kind, Forwarder, fetch_status};
use tokio::net::UnixStream;

use super::*;

async fn serve(path: &Path) -> Result<Broker, ee_broker::Error> {
    let builder = Broker::builder(credentials().0).project("my-project");
    builder.listen_unix(path).start().await
}

async fn get_token(path: &Path) -> Response {
    let mut stream = UnixStream::connect(path).await.unwrap();
    let line = request(
        TOKEN,
        "metadata.google.internal",
        "Metadata-Flavor: Google\r\n",
    );
    exchange(&mut stream, &line).await.unwrap()
}

#[tokio::test]
async fn socket_is_private_and_removed_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ee.sock");
    let broker = serve(&path).await.unwrap();
    assert_eq!(broker.metadata_host(), None);
    let metadata = std::fs::symlink_metadata(&path).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert_eq!(
        get_token(&path).await.json()["access_token"],
        "ya29.token-0"
    );
    let status = fetch_status(&BrokerAddress::unix(&path)).await.unwrap();
    if cfg!(target_os = "linux") {
        assert_eq!(status["recent"][0]["pid"], std::process::id());
    }
    broker.shutdown().await;
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn live_socket_is_kept_and_abandoned_one_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ee.sock");
    let broker = serve(&path).await.unwrap();
    let error = serve(&path).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Listen, "{error}");
    assert!(
        error.to_string().contains("another program listens at"),
        "{error}"
    );
    assert_eq!(get_token(&path).await.status, 200);
    drop(broker);
    // A killed broker leaves its socket.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let broker = serve(&path).await.unwrap();
    assert_eq!(get_token(&path).await.status, 200);
    broker.shutdown().await;
}

#[tokio::test]
async fn other_files_are_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "kept").unwrap();
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    for path in [
        &file,
        &link,
        &dir.path().to_owned(),
        &dir.path().join("missing/ee.sock"),
    ] {
        let error = serve(path).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Listen, "{error}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
    let long = dir.path().join("x".repeat(120));
    assert_eq!(serve(&long).await.unwrap_err().kind(), Kind::InvalidOptions);
    // Nothing is left behind.
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarder_reaches_the_socket_once_it_exists() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ee.sock");
    let forwarder = Forwarder::start("127.0.0.1:0".parse().unwrap(), &path).unwrap();
    let address = forwarder.address();
    let response = get(address, TOKEN).await;
    assert_eq!(response.status, 503);
    assert!(
        response.body.contains("eectl serve --unix"),
        "{}",
        response.body
    );
    let broker = serve(&path).await.unwrap();
    assert_eq!(
        get(address, TOKEN).await.json()["access_token"],
        "ya29.token-0"
    );
    // The checks of the broker apply to forwarded requests.
    let page = request(
        TOKEN,
        &address.to_string(),
        "Metadata-Flavor: Google\r\nOrigin: null\r\n",
    );
    assert_eq!(send(address, &page).await.status, 403);
    let rebound = request(TOKEN, "evil.example", "Metadata-Flavor: Google\r\n");
    assert_eq!(send(address, &rebound).await.status, 403);
    broker.shutdown().await;
    let error = Forwarder::start("0.0.0.0:0".parse().unwrap(), &path).unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidOptions);
}
