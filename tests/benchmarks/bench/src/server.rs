//! A minimal server, so that the client is measured: HTTP/1.1 on loopback, on its own thread, with
//! prepared responses and without allocations per request.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 83\r\n\r\n{\"name\":\"projects/p-1234/config\",\"registrationState\":\"REGISTERED_NOT_COMMERCIALLY\"}";

/// The requests, and the options of responses.
#[derive(Default)]
pub struct State {
    pub requests: AtomicU64,
    pub token_requests: AtomicU64,
    /// The lifetime of tokens, in seconds.
    pub expires_in: AtomicU64,
    /// The delay of the first and of later token requests, in milliseconds.
    pub first_delay: AtomicU64,
    pub delay: AtomicU64,
}

pub struct Server {
    pub address: SocketAddr,
    pub state: Arc<State>,
}

impl Server {
    pub fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State::default());
        state.expires_in.store(3600, Ordering::Relaxed);
        let shared = state.clone();
        std::thread::spawn(move || {
            crate::harness::one_thread().block_on(async {
                let listener = TcpListener::from_std(listener).expect("a listener");
                loop {
                    if let Ok((stream, _)) = listener.accept().await {
                        let _ = stream.set_nodelay(true);
                        tokio::spawn(serve(stream, shared.clone()));
                    }
                }
            });
        });
        Self { address, state }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn token_requests(&self) -> u64 {
        self.state.token_requests.load(Ordering::Relaxed)
    }

    /// Sets the lifetime and the delay of tokens.
    pub fn set(&self, expires_in: u64, first_delay: u64, delay: u64) {
        self.state.token_requests.store(0, Ordering::Relaxed);
        self.state.expires_in.store(expires_in, Ordering::Relaxed);
        self.state.first_delay.store(first_delay, Ordering::Relaxed);
        self.state.delay.store(delay, Ordering::Relaxed);
    }
}

/// The prefix of paths that contain the length of the response.
const STREAM: &[u8] = b"/stream/";

async fn serve(mut stream: TcpStream, state: Arc<State>) {
    let mut buffer = vec![0; 16 << 10];
    let mut filled = 0;
    loop {
        let Some(length) = request_length(&buffer[..filled]) else {
            match stream.read(&mut buffer[filled..]).await {
                Ok(0) | Err(_) => return,
                Ok(n) => filled += n,
            }
            continue;
        };
        state.requests.fetch_add(1, Ordering::Relaxed);
        let line_end = buffer.iter().position(|b| *b == b'\r').unwrap_or(0);
        let path = buffer[..line_end]
            .split(|b| *b == b' ')
            .nth(1)
            .unwrap_or(b"/");
        let path = path.split(|b| *b == b'?').next().unwrap_or(path);
        let sent = if path.ends_with(b"/token") {
            token(&mut stream, &state).await
        } else if path.windows(STREAM.len()).any(|part| part == STREAM) {
            let size = path.rsplit(|b| *b == b'/').next().unwrap_or_default();
            body(&mut stream, size).await
        } else {
            stream.write_all(REPLY).await
        };
        if sent.is_err() {
            return;
        }
        buffer.copy_within(length..filled, 0);
        filled -= length;
    }
}

/// Returns the length of the first request, head and body, when it is complete.
fn request_length(buffer: &[u8]) -> Option<usize> {
    // A single GET, which is the usual case: searching longer heads would cost time, and the client
    // is measured.
    if buffer.starts_with(b"GET ") && buffer.ends_with(b"\r\n\r\n") {
        return Some(buffer.len());
    }
    let head = buffer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let body = buffer[..head]
        .split(|b| *b == b'\n')
        .find_map(|line| {
            let (name, value) = line.split_at_checked(15)?;
            name.eq_ignore_ascii_case(b"content-length:")
                .then(|| std::str::from_utf8(value).ok()?.trim().parse().ok())?
        })
        .unwrap_or(0);
    (buffer.len() >= head + body).then_some(head + body)
}

async fn token(stream: &mut TcpStream, state: &State) -> io::Result<()> {
    let number = state.token_requests.fetch_add(1, Ordering::Relaxed);
    let delay = match number {
        0 => &state.first_delay,
        _ => &state.delay,
    };
    let delay = delay.load(Ordering::Relaxed);
    if delay > 0 {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    // As long as Google's tokens.
    let body = format!(
        r#"{{"access_token":"ya29.{number:0>220}","expires_in":{},"token_type":"Bearer"}}"#,
        state.expires_in.load(Ordering::Relaxed)
    );
    let reply = format!(
        "HTTP/1.1 200 OK\r\nmetadata-flavor: Google\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(reply.as_bytes()).await
}

async fn body(stream: &mut TcpStream, size: &[u8]) -> io::Result<()> {
    static CHUNK: [u8; 256 << 10] = [b'x'; 256 << 10];
    let size: usize = std::str::from_utf8(size)
        .ok()
        .and_then(|size| size.parse().ok())
        .unwrap_or(0);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut left = size;
    while left > 0 {
        let n = left.min(CHUNK.len());
        stream.write_all(&CHUNK[..n]).await?;
        left -= n;
    }
    Ok(())
}
