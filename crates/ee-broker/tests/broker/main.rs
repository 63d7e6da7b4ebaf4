//! The broker as its clients see it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed step is a failed test"
)]

mod flood;
mod id_tokens;
mod ledger;
mod protocol;
mod refusals;
#[cfg(unix)]
mod sockets;
mod tokens;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ee_broker::{Broker, BrokerBuilder};
use ee_credentials::Credentials;
use ee_token::{AccessToken, Error, ErrorKind, Scopes};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

const ROBOT: &str = "robot@my-project.iam.gserviceaccount.com";
const TOKEN: &str = "/computeMetadata/v1/instance/service-accounts/default/token";

/// Credentials with one token for each call, and their number.
fn credentials() -> (Credentials, Arc<AtomicU32>) {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    let credentials = Credentials::from_fn(move || {
        let n = counted.fetch_add(1, Ordering::Relaxed);
        async move {
            let expires_at = chrono::Utc::now() + chrono::TimeDelta::hours(1);
            let scopes = Scopes::new(["earthengine"]);
            let token = AccessToken::new(&format!("ya29.token-{n}"))?;
            Ok::<_, Error>(token.with_expiry(expires_at).with_scopes(scopes))
        }
    });
    (credentials.with_principal(ROBOT), calls)
}

/// Credentials that a server rejects.
fn rejected() -> Credentials {
    Credentials::from_fn(|| async {
        Err(Error::new(ErrorKind::Rejected, "the login was revoked")
            .with_remedy(ee_token::Remedy::new("Log in again.")))
    })
}

async fn start(settings: impl FnOnce(BrokerBuilder) -> BrokerBuilder) -> (Broker, SocketAddr) {
    let builder = Broker::builder(credentials().0)
        .project("my-project")
        .listen("127.0.0.1:0".parse().unwrap());
    let broker = settings(builder).start().await.unwrap();
    let address = broker.addresses()[0];
    (broker, address)
}

#[derive(Debug)]
struct Response {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Response {
    fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json", "{self:?}");
        serde_json::from_str(&self.body).unwrap()
    }

    fn has_flavor(&self) -> bool {
        self.headers
            .get("metadata-flavor")
            .is_some_and(|flavor| flavor == "Google")
    }
}

/// Sends a request and reads the response, which must have a length.
async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &str,
) -> Option<Response> {
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut text = Vec::new();
    let (head, mut body) = loop {
        let mut piece = [0; 4096];
        let n = stream.read(&mut piece).await.ok().filter(|n| *n > 0)?;
        text.extend_from_slice(&piece[..n]);
        let all = String::from_utf8(text.clone()).unwrap();
        if let Some((head, body)) = all.split_once("\r\n\r\n") {
            break (head.to_owned(), body.to_owned());
        }
    };
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let headers: BTreeMap<String, String> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers
        .get("content-length")
        .map_or(0, |n| n.parse().unwrap());
    while body.len() < length {
        let mut piece = [0; 4096];
        let n = stream.read(&mut piece).await.unwrap();
        assert_ne!(n, 0, "the response is truncated");
        body += std::str::from_utf8(&piece[..n]).unwrap();
    }
    Some(Response {
        status: status.parse().unwrap(),
        headers,
        body,
    })
}

fn request(path: &str, host: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n")
}

/// Sends a request as clients do.
async fn get(address: SocketAddr, path: &str) -> Response {
    send(
        address,
        &request(path, &address.to_string(), "Metadata-Flavor: Google\r\n"),
    )
    .await
}

async fn send(address: SocketAddr, request: &str) -> Response {
    let mut stream = TcpStream::connect(address).await.unwrap();
    exchange(&mut stream, request).await.unwrap()
}
