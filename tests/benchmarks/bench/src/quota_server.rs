//! A server with Earth Engine's kinds of quota, HTTP/1.1 on loopback.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// The time that a request or a response takes.
pub const LATENCY: Duration = Duration::from_millis(5);

#[derive(Debug, Clone, Copy, Default)]
pub struct Quota {
    /// The number of requests that are accepted at once.
    pub places: Option<usize>,
    /// The number of requests that are accepted per second, and the burst.
    pub rate: Option<(f64, f64)>,
    /// The duration of a call. The real one differs by up to a fifth.
    pub call: Duration,
    /// When an outage begins and ends.
    pub outage: Option<(Duration, Duration)>,
}

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

#[derive(Default)]
struct Use {
    in_flight: usize,
    tokens: f64,
    refilled: Duration,
    random: u64,
    rejections: usize,
    failures: usize,
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
        if self
            .quota
            .outage
            .is_some_and(|(from, to)| (from..to).contains(&now))
        {
            used.failures += 1;
            return Err(503);
        }
        if self.quota.places.is_some_and(|max| used.in_flight >= max) {
            used.rejections += 1;
            return Err(429);
        }
        if let Some((rate, burst)) = self.quota.rate {
            let refill = (now - used.refilled).as_secs_f64() * rate;
            used.tokens = (used.tokens + refill).min(burst);
            used.refilled = now;
            if used.tokens < 1.0 {
                used.rejections += 1;
                return Err(429);
            }
            used.tokens -= 1.0;
        }
        used.in_flight += 1;
        // Knuth's linear congruential generator.
        used.random = used
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let part = (used.random >> 40) as f64 / f64::from(1 << 24);
        Ok((InFlight(self), self.quota.call.mul_f64(0.8 + 0.4 * part)))
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
