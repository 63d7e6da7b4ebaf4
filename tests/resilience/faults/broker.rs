//! The clients of a broker while its credential has no token.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use earthengine::credentials::CredentialOptions;
use earthengine::token::HttpClient;
use earthengine::{Credentials, Endpoints, Scopes};
use ee_broker::Broker;
use ee_emulator::{Emulator, Fault};
use ee_test_support::faulty_server::NetworkFault;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::google_hosts::{GoogleHosts, Host, TEST_TIMEOUT};
use crate::hosts::HostFault;

const TOKEN: &str = "computeMetadata/v1/instance/service-accounts/default/token";
const PROJECT_ID: &str = "computeMetadata/v1/project/project-id";
const STATUS: &str = "broker/v1/status";

async fn serve(credentials: Credentials) -> (Broker, SocketAddr) {
    let broker = Broker::builder(credentials)
        .project("my-project")
        .listen(([127, 0, 0, 1], 0).into());
    let broker = broker.start().await.unwrap();
    let address = broker.addresses()[0];
    (broker, address)
}

/// Returns the status and the body of a response.
async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let response = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = request(address, path) + "Connection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        response
    };
    let response = tokio::time::timeout(TEST_TIMEOUT, response).await;
    let response = response.expect("the broker does not hang");
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap();
    (status.parse().unwrap(), body.to_owned())
}

fn request(address: SocketAddr, path: &str) -> String {
    format!("GET /{path} HTTP/1.1\r\nHost: {address}\r\nMetadata-Flavor: Google\r\n")
}

async fn status(address: SocketAddr) -> Value {
    let (_, body) = get(address, STATUS).await;
    serde_json::from_str(&body).unwrap()
}

/// Asks until there is a token.
async fn recover(address: SocketAddr) {
    let started = Instant::now();
    loop {
        let (status, body) = get(address, TOKEN).await;
        if status == 200 {
            return;
        }
        assert!(started.elapsed() < TEST_TIMEOUT, "{body}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_get_503_with_the_fault_until_it_ends() {
    let page = Fault::respond(200, "text/html", "<html><title>canary");
    let faults = [
        HostFault::Network(NetworkFault::ConnectionRefused),
        HostFault::Network(NetworkFault::NeverResponds),
        HostFault::Network(NetworkFault::ResetAfterRequest),
        HostFault::Network(NetworkFault::CloseInBody),
        HostFault::Responds(page),
        HostFault::Responds(Fault::status(503)),
    ];
    let mut tasks = JoinSet::new();
    for host in Host::ALL.into_iter().filter(|host| host.issues_tokens()) {
        for fault in faults.clone() {
            tasks.spawn(async move {
                let google = GoogleHosts::new().await;
                let credentials = google.credentials(host, &google.options()).await;
                let (_broker, address) = serve(credentials).await;
                fault.apply(&google, host).await;
                let (status, body) = get(address, TOKEN).await;
                assert_eq!(status, 503, "{host:?} {fault:?}: {body}");
                assert!(body.starts_with("No token: "), "{body}");
                let is_named = host.names().iter().any(|name| body.contains(name));
                assert!(is_named && body.contains("\nhint: "), "{fault:?}: {body}");
                assert!(!body.contains("canary"), "{body}");
                // The rest is served.
                let project = get(address, PROJECT_ID).await;
                assert_eq!(project, (200, "my-project".to_owned()));
                google.restore(host).await;
                recover(address).await;
            });
        }
    }
    tasks.join_all().await;
}

/// Returns an emulator whose tokens live for these seconds, and the options to use it.
async fn emulator(lifetime: u64) -> (Emulator, CredentialOptions) {
    let builder = Emulator::builder().token_lifetime(Duration::from_secs(lifetime));
    let emulator = builder.start().await.unwrap();
    let http = HttpClient::new(Endpoints::emulator(emulator.address()).unwrap());
    let options = CredentialOptions::new(http).scopes(Scopes::new(["earthengine"]));
    (emulator, options)
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_get_the_valid_token_despite_faults() {
    let (emulator, options) = emulator(20).await;
    let jane = emulator.create_user("jane@example.com");
    let login = jane.authorized_user_json();
    let (_broker, address) = serve(Credentials::from_json(&login, &options).unwrap()).await;
    let started = Instant::now();
    let (_, first) = get(address, TOKEN).await;
    let first: Value = serde_json::from_str(&first).unwrap();
    let unavailable = Fault::status(503).times(usize::MAX);
    emulator.fault(Host::Token.name(), unavailable);
    let requests = emulator.requests_to(Host::Token.name()).len();
    // A token is replaced after half of such a short life.
    while emulator.requests_to(Host::Token.name()).len() == requests {
        assert!(started.elapsed() < TEST_TIMEOUT, "no refresh");
        let (status, body) = get(address, TOKEN).await;
        if started.elapsed() < Duration::from_secs(14) {
            assert_eq!(status, 200, "{body}");
            let now: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(now["access_token"], first["access_token"]);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_secs(21).saturating_sub(started.elapsed())).await;
    assert_eq!(get(address, TOKEN).await.0, 503);
    emulator.clear_faults();
    recover(address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn login_rejected_while_serving_is_reported_and_replaced() {
    let (emulator, options) = emulator(4).await;
    let jane = emulator.create_user("jane@example.com");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("login.json");
    std::fs::write(&path, jane.authorized_user_json()).unwrap();
    let credentials = Credentials::from_file(&path, &options).unwrap();
    let (_broker, address) = serve(credentials).await;
    assert_eq!(get(address, TOKEN).await.0, 200);
    emulator.revoke(jane.refresh_token());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut requests = Vec::new();
    for _ in 0..3 {
        let (status, body) = get(address, TOKEN).await;
        requests.push(emulator.requests_to(Host::Token.name()).len());
        assert_eq!(status, 503, "{body}");
        assert!(body.contains("oauth2.googleapis.com"), "{body}");
        assert!(body.contains("\nhint: The login was revoked"), "{body}");
        assert!(!body.contains(jane.refresh_token()), "{body}");
    }
    assert_eq!(requests[2], requests[0], "it is not tried again at once");
    let again = emulator.create_user("jane@example.com");
    std::fs::write(&path, again.authorized_user_json()).unwrap();
    let (status_code, body) = get(address, TOKEN).await;
    assert_eq!(status_code, 200, "{body}");
    let status = status(address).await;
    assert_eq!(
        (&status["tokens"], &status["failed"]),
        (&2.into(), &3.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_leave_during_a_request_delay_no_other() {
    let google = GoogleHosts::new().await;
    let credentials = google.credentials(Host::Token, &google.options()).await;
    let (_broker, address) = serve(credentials).await;
    let server = google.server(Host::Token);
    server.set_fault(NetworkFault::NeverResponds).await;
    let request = request(address, TOKEN) + "\r\n";
    for _ in 0..200 {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
    }
    let started = Instant::now();
    while status(address).await["connections"].as_u64().unwrap() > 1 {
        assert!(started.elapsed() < TEST_TIMEOUT, "connections stay open");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    google.restore(Host::Token).await;
    recover(address).await;
    assert!(server.requests() <= 4, "{} requests", server.requests());
}
