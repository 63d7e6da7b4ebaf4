//! A server with Earth Engine's kinds of quota, HTTP/1.1 on loopback.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use ee_test_support::fleet::{LATENCY, Quota, Use};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

pub struct QuotaServer {
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    quota: Quota,
    /// The time of the first request.
    started: OnceLock<Instant>,
    used: Mutex<Use>,
}

impl QuotaServer {
    pub async fn start(quota: Quota) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            quota,
            started: OnceLock::new(),
            used: Mutex::default(),
        });
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                tokio::spawn(serve(stream, shared.clone()));
            }
        });
        Self { address, state }
    }

    pub fn rejections(&self) -> usize {
        self.state.used.lock().expect("no panic").rejections
    }

    pub fn failures(&self) -> usize {
        self.state.used.lock().expect("no panic").failures
    }
}

/// A request that is being processed. Also ended by a client that hangs up.
struct InFlight<'a>(&'a State);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.used.lock().expect("no panic").in_flight -= 1;
    }
}

impl State {
    /// Accepts a request and returns its duration, or the status that rejects it.
    fn admit(&self) -> Result<(InFlight<'_>, Duration), u16> {
        let mut used = self.used.lock().expect("no panic");
        // Read under the lock, so that it never goes back.
        let now = self.started.get_or_init(Instant::now).elapsed();
        let call = used.admit(&self.quota, now)?;
        Ok((InFlight(self), call))
    }
}

async fn serve(mut stream: TcpStream, state: Arc<State>) {
    let mut buffer = vec![0; 4 << 10];
    let mut filled = 0;
    loop {
        match stream.read(&mut buffer[filled..]).await {
            Ok(0) | Err(_) => return,
            Ok(n) => filled += n,
        }
        // A client sends the next GET after the response.
        if !buffer[..filled].ends_with(b"\r\n\r\n") {
            continue;
        }
        filled = 0;
        sleep(LATENCY).await;
        let (status, body) = match state.admit() {
            Ok((_in_flight, call)) => {
                sleep(call).await;
                ("200 OK", "{}")
            }
            Err(429) => (
                "429 Too Many Requests",
                r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"Too many requests."}}"#,
            ),
            Err(_) => (
                "503 Service Unavailable",
                r#"{"error":{"code":503,"status":"UNAVAILABLE","message":"Unavailable."}}"#,
            ),
        };
        sleep(LATENCY).await;
        let response = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(response.as_bytes()).await.is_err() {
            return;
        }
    }
}
