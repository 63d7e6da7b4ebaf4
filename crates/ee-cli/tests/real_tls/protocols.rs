//! What a server reads at the beginning of a connection: the protocol, and the windows of HTTP/2.

use std::collections::BTreeMap;

use earthengine::rest::{Auth, Client};
use earthengine::token::{AccessToken, Endpoints, HttpClient, TokenCache};
use ee_test_support::subprocess::enter_network as inside;
use hyper::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::world::{HOSTS, HTTPS, PROJECT, World};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const ENABLE_PUSH: u16 = 2;
const INITIAL_WINDOW_SIZE: u16 = 4;

fn client() -> Client {
    let token = AccessToken::new("ya29.protocols").unwrap();
    let auth = Auth::token_cache(TokenCache::new(token));
    let client = Client::builder(auth, HttpClient::new(Endpoints::google()));
    client.project(PROJECT).build().unwrap()
}

/// Accepts the next connection.
async fn accept(listener: &TcpListener, world: &World) -> TlsStream<TcpStream> {
    let (stream, _) = listener.accept().await.unwrap();
    let acceptor = TlsAcceptor::from(world.authority.issue(&HOSTS).server_config());
    acceptor.accept(stream).await.unwrap()
}

/// A frame of HTTP/2 (RFC 9113 §4.1).
struct Frame {
    kind: u8,
    stream: u32,
    payload: Vec<u8>,
}

async fn read_frame(stream: &mut TlsStream<TcpStream>) -> Frame {
    let (high, low) = (
        stream.read_u8().await.unwrap(),
        stream.read_u16().await.unwrap(),
    );
    let kind = stream.read_u8().await.unwrap();
    let _flags = stream.read_u8().await.unwrap();
    let id = stream.read_u32().await.unwrap();
    let mut payload = vec![0; usize::from(high) << 16 | usize::from(low)];
    stream.read_exact(&mut payload).await.unwrap();
    Frame {
        kind,
        stream: id,
        payload,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn small_requests_offer_large_windows_of_http_2() {
    let test = "protocols::small_requests_offer_large_windows_of_http_2";
    if !inside(test, &HOSTS) {
        return;
    }
    let world = World::new(|builder| builder).await;
    let listener = TcpListener::bind(HTTPS).await.unwrap();
    let call = tokio::spawn(async { client().request(Method::GET, "config").send().await });
    let mut stream = accept(&listener, &world).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut preface = [0; PREFACE.len()];
    stream.read_exact(&mut preface).await.unwrap();
    assert_eq!(preface, PREFACE);
    // The server's settings, without any.
    let own = [0, 0, 0, SETTINGS, 0, 0, 0, 0, 0];
    stream.write_all(&own).await.unwrap();

    let mut settings = BTreeMap::new();
    let mut window = 65_535;
    loop {
        let frame = read_frame(&mut stream).await;
        match frame.kind {
            SETTINGS => {
                for setting in frame.payload.chunks_exact(6) {
                    let (id, value) = setting.split_at(2);
                    let id = u16::from_be_bytes(id.try_into().unwrap());
                    settings.insert(id, u32::from_be_bytes(value.try_into().unwrap()));
                }
            }
            WINDOW_UPDATE => {
                assert_eq!(frame.stream, 0);
                window += u32::from_be_bytes(frame.payload.try_into().unwrap());
            }
            HEADERS => break,
            _ => {}
        }
    }
    assert_eq!(settings[&ENABLE_PUSH], 0);
    assert_eq!(settings[&INITIAL_WINDOW_SIZE], 8 << 20);
    assert_eq!(window, 16 << 20);
    call.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn large_responses_have_connections_of_http_1() {
    let test = "protocols::large_responses_have_connections_of_http_1";
    if !inside(test, &HOSTS) {
        return;
    }
    let world = World::new(|builder| builder).await;
    let listener = TcpListener::bind(HTTPS).await.unwrap();
    let call = tokio::spawn(async {
        let request = client().request(Method::GET, "assets/image:getPixels");
        request.send_streaming().await
    });
    let stream = accept(&listener, &world).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    call.abort();
}
