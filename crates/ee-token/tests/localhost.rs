//! `localhost` on a machine whose hosts file maps the name to another address.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed step is a failed test"
)]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use ee_test_support::subprocess::Namespace;
use ee_token::{Endpoints, ErrorKind, HttpClient, Request};
use url::Url;

const TEST: &str = "hosts_file_does_not_redirect_localhost";

/// Counts connections, and responds to the first request of each.
fn serve(listener: TcpListener) -> Arc<AtomicUsize> {
    let count = Arc::<AtomicUsize>::default();
    let connections = count.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            connections.fetch_add(1, Ordering::SeqCst);
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok");
        }
    });
    count
}

/// Runs the test again where it may mount a hosts file. Returns `true` inside of the namespace.
fn enter_namespace() -> bool {
    let hosts = std::env::temp_dir().join(format!("ee-token-hosts-{}", std::process::id()));
    std::fs::write(&hosts, "127.0.0.2 localhost localhost. foo.localhost\n").unwrap();
    let mount = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
    let launcher = ["sh", "-c", mount, hosts.to_str().unwrap()];
    let is_inside = Namespace::MOUNT.enter(TEST, &launcher, |command| command);
    std::fs::remove_file(&hosts).unwrap();
    is_inside
}

#[tokio::test]
async fn hosts_file_does_not_redirect_localhost() {
    if !enter_namespace() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let theirs = serve(TcpListener::bind(("127.0.0.2", port)).unwrap());
    let ours = serve(listener);
    // The hosts file is in force.
    let mut resolved = ("localhost", port).to_socket_addrs().unwrap();
    assert!(resolved.all(|address| address.ip().to_string() == "127.0.0.2"));

    let http = HttpClient::new(Endpoints::google());
    let mut sent = 0;
    for host in ["localhost", "LOCALHOST", "localhost."] {
        let url: Url = format!("http://{host}:{port}/").parse().unwrap();
        let mut request = Request::new(http::Method::GET, url);
        *request.timeout_mut() = Some(Duration::from_secs(20));
        let response = http.send(request).await.unwrap();
        assert_eq!(response.status(), 200, "{host}");
        sent += 1;
    }
    // A name that only looks like it gets no plain request.
    let url: Url = format!("http://foo.localhost:{port}/").parse().unwrap();
    let refused = http.send(Request::new(http::Method::GET, url)).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::DisallowedUrl);
    assert_eq!(ours.load(Ordering::SeqCst), sent);
    assert_eq!(theirs.load(Ordering::SeqCst), 0);
}
