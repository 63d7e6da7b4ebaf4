//! Google's hosts at a distance: a TLS server with HTTP/2 behind a relay that delays every byte.
//!
//! The relay has unlimited buffers. Windows of HTTP/2 limit the throughput, those of TCP do not.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ee_test_support::certificates::Authority;
use futures_util::{Stream, StreamExt as _, stream};
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_rustls::TlsAcceptor;

/// The hosts that a program with a login asks, and the one from which Python's client reads which
/// assets are deprecated.
pub const HOSTS: [&str; 3] = [
    "oauth2.googleapis.com",
    "earthengine.googleapis.com",
    "storage.googleapis.com",
];
/// The time that bytes take in one direction.
const ONE_WAY: Duration = Duration::from_millis(30);
pub const ROUND_TRIP: Duration = Duration::from_millis(60);
/// TCP's handshake and the way of the first bytes. The relay's kernel accepts immediately.
const FIRST_BYTES: Duration = Duration::from_millis(90);
/// The duration of a computation.
const COMPUTATION: Duration = Duration::from_millis(100);

/// Starts the server and the relay on port 443, on threads of their own. `emulator` is the URL of
/// the host that describes the API.
pub fn start(authority: &Authority, emulator: String) {
    let tls = TlsAcceptor::from(authority.issue(&HOSTS).server_config());
    std::thread::spawn(move || {
        crate::harness::all_cores().block_on(async {
            let server = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = server.local_addr().expect("an address");
            tokio::spawn(accept(server, tls, emulator));
            let relay = TcpListener::bind("127.0.0.1:443").await.expect("port 443");
            while let Ok((client, _)) = relay.accept().await {
                tokio::spawn(delay(client, address));
            }
        });
    });
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, emulator: String) {
    let emulator: Arc<str> = emulator.into();
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, emulator) = (tls.clone(), emulator.clone());
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let Ok(stream) = tls.accept(stream).await else {
                return;
            };
            let mut builder = auto::Builder::new(TokioExecutor::new());
            // As Google's servers.
            builder.http2().max_concurrent_streams(100);
            let service = service_fn(|request| respond(request, emulator.clone()));
            let _ = builder
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

type Body =
    StreamBody<std::pin::Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, Infallible>> + Send>>>;

async fn respond(
    request: Request<Incoming>,
    emulator: Arc<str>,
) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path();
    let body = if path.ends_with("/token") {
        text(r#"{"access_token":"ya29.far","expires_in":3599,"token_type":"Bearer"}"#)
    } else if path.ends_with(":compute") {
        sleep(COMPUTATION).await;
        text(r#"{"result":7}"#)
    } else if let Some(bytes) = path.strip_suffix(":getPixels") {
        let digits = bytes.rsplit('/').next().unwrap_or_default();
        chunks(digits.parse().expect("a number of bytes"))
    } else if path.ends_with("$discovery/rest") {
        let path = request.uri().path_and_query().expect("a path");
        let description = reqwest::get(format!("{emulator}{path}")).await;
        let bytes = description.expect("a response").bytes().await;
        one(bytes.expect("a body"))
    } else if path.ends_with("/algorithms") {
        // Python's client requests an empty list again for each of its classes.
        text(r#"{"algorithms":[{"name":"algorithms/Number.abs","returnType":"Number"}]}"#)
    } else if path.ends_with("/catalog_deprecated.json") {
        text(r#"{"links":[]}"#)
    } else {
        text(r#"{"name":"projects/p-1234/config","registrationState":"REGISTERED_COMMERCIALLY"}"#)
    };
    Ok(Response::new(body))
}

fn text(text: &'static str) -> Body {
    one(Bytes::from_static(text.as_bytes()))
}

fn one(bytes: Bytes) -> Body {
    StreamBody::new(stream::iter([Ok(Frame::data(bytes))]).boxed())
}

fn chunks(bytes: usize) -> Body {
    static CHUNK: [u8; 64 << 10] = [b'x'; 64 << 10];
    let full = std::iter::repeat_n(&CHUNK[..], bytes / CHUNK.len());
    let all = full.chain([&CHUNK[..bytes % CHUNK.len()]]);
    let frames = all.map(|chunk| Ok(Frame::data(Bytes::from_static(chunk))));
    StreamBody::new(stream::iter(frames).boxed())
}

async fn delay(client: TcpStream, server: SocketAddr) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true);
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::spawn(forward(from_client, to_server, FIRST_BYTES));
    tokio::spawn(forward(from_server, to_client, ONE_WAY));
}

/// Forwards bytes after a delay; the first ones after `first`.
async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, first: Duration) {
    let (sender, mut receiver) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((due, bytes)) = receiver.recv().await {
            sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let mut buffer = vec![0; 256 << 10];
    let mut way = first;
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let due = Instant::now() + way;
        if sender.send((due, buffer[..length].to_vec())).is_err() {
            return;
        }
        way = ONE_WAY;
    }
}
