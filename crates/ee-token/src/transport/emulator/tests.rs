use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::fchown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::{JoinHandle, JoinSet};

use super::*;
use crate::oauth::revoke::revoke;
use crate::{Endpoint, Endpoints, HttpClient, Request, SecretString};

/// A user that this process is not.
const MALLORY: u32 = 3_000_000_001;

/// Gives a listening socket to another user; `false`, and a message, where only root may.
fn give_away(listener: &impl std::os::fd::AsFd, test: &str) -> bool {
    let given = fchown(listener, Some(MALLORY), None);
    if given.is_err() {
        // Past whatever captures the output of tests.
        let _ = writeln!(
            std::io::stderr(),
            "{test}: SKIPPED, only root may give a socket away"
        );
    }
    given.is_ok()
}

/// A server that responds to everything with `{}`, and counts. It ends when it is dropped.
struct Server {
    counts: Arc<Counts>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    bytes: AtomicUsize,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Server {
    fn start(listener: &TcpListener) -> Self {
        listener.set_nonblocking(true).unwrap();
        let listener = listener.try_clone().unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let counts = Arc::<Counts>::default();
        let counted = counts.clone();
        let accepting = tokio::spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let counts = counted.clone();
                counts.connections.fetch_add(1, Ordering::SeqCst);
                serving.spawn(async move {
                    let mut buffer = [0; 4096];
                    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                        counts.bytes.fetch_add(count, Ordering::SeqCst);
                        let response = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
                        let _ = stream.write_all(response).await;
                    }
                });
            }
        });
        Self { counts, accepting }
    }

    fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }

    fn bytes(&self) -> usize {
        self.counts.bytes.load(Ordering::SeqCst)
    }
}

fn both(address: SocketAddr) -> [Endpoints; 2] {
    [
        Endpoints::emulator(address).unwrap(),
        Endpoints::emulator_from_env(address, false).unwrap(),
    ]
}

/// Sends a secret in each way that there is.
async fn send_all(http: &HttpClient, local: &str) -> Vec<Result<(), Error>> {
    let revoked = revoke(http, &SecretString::from("1//canary"))
        .await
        .map(drop);
    let url = http.endpoints().url(Endpoint::MetadataServer).clone();
    let metadata = Request::new(Method::GET, url);
    let local = Request::new(Method::GET, format!("{local}/canary").parse().unwrap());
    vec![
        revoked,
        http.send(metadata).await.map(drop),
        http.send(local).await.map(drop),
    ]
}

#[tokio::test]
async fn a_listener_of_this_user_gets_requests() {
    for bound in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0"] {
        let listener = TcpListener::bind(bound).unwrap();
        let server = Server::start(&listener);
        let port = listener.local_addr().unwrap().port();
        for endpoints in both(([127, 0, 0, 1], port).into()) {
            let http = HttpClient::new(endpoints);
            let before = server.bytes();
            for local in [
                format!("http://127.0.0.1:{port}"),
                format!("http://localhost:{port}"),
            ] {
                for sent in send_all(&http, &local).await {
                    sent.unwrap();
                }
            }
            assert!(server.bytes() > before, "{bound}");
        }
    }
}

#[tokio::test]
async fn a_listener_of_another_user_gets_no_byte() {
    for (bound, ip) in [
        ("127.0.0.1:0", "127.0.0.1"),
        ("0.0.0.0:0", "127.0.0.1"),
        ("0.0.0.0:0", "127.9.9.9"),
        ("[::]:0", "127.0.0.1"),
        ("[::]:0", "::1"),
        ("[::1]:0", "::1"),
        ("[::ffff:127.0.0.1]:0", "127.0.0.1"),
    ] {
        let listener = TcpListener::bind(bound).unwrap();
        if !give_away(&listener, "a_listener_of_another_user_gets_no_byte") {
            return;
        }
        let server = Server::start(&listener);
        let port = listener.local_addr().unwrap().port();
        let address = SocketAddr::new(ip.parse().unwrap(), port);
        for endpoints in both(address) {
            let http = HttpClient::new(endpoints);
            for sent in send_all(&http, &format!("http://{address}")).await {
                let error = sent.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::UntrustedEmulator);
                assert!(!error.is_transient() && !error.kind().is_rejection());
                let text = error.to_string();
                assert!(text.contains(&format!("{address}")), "{text}");
                assert!(
                    text.contains(&format!("is served by user {MALLORY}, not by you")),
                    "{text}"
                );
                assert!(!format!("{error:?}").contains("canary"));
                assert!(!error.remedy().text.is_empty());
            }
        }
        assert_eq!(
            (server.connections(), server.bytes()),
            (0, 0),
            "{bound} {ip}"
        );
    }
}

/// The emulator ends, and another user's program takes its port while our process lives.
#[tokio::test]
async fn a_port_that_changes_hands_gets_no_byte() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let http = HttpClient::new(Endpoints::emulator_from_env(address, false).unwrap());
    let ours = Server::start(&listener);
    for sent in send_all(&http, &format!("http://{address}")).await {
        sent.unwrap();
    }
    assert!(ours.bytes() > 0);
    // With all of its sockets.
    drop((ours, listener));
    let listener = bind_again(address).await;
    if !give_away(&listener, "a_port_that_changes_hands_gets_no_byte") {
        return;
    }
    let mallorys = Server::start(&listener);
    for sent in send_all(&http, &format!("http://{address}")).await {
        assert_eq!(sent.unwrap_err().kind(), ErrorKind::UntrustedEmulator);
    }
    assert_eq!((mallorys.connections(), mallorys.bytes()), (0, 0));
}

/// Binds a port as soon as the tasks that hold it have ended.
async fn bind_again(address: SocketAddr) -> TcpListener {
    for _ in 0..1000 {
        if let Ok(listener) = TcpListener::bind(address) {
            return listener;
        }
        tokio::task::yield_now().await;
    }
    panic!("{address} is still in use");
}

#[tokio::test]
async fn another_listener_beside_the_emulator_s_is_found() {
    let v6 = TcpListener::bind("[::1]:0").unwrap();
    let port = v6.local_addr().unwrap().port();
    let v4 = TcpListener::bind(("127.0.0.1", port)).unwrap();
    if !give_away(&v6, "another_listener_beside_the_emulator_s_is_found") {
        return;
    }
    let server = Server::start(&v6);
    let _v4 = Server::start(&v4);
    let endpoints = Endpoints::emulator(([127, 0, 0, 1], port).into()).unwrap();
    let http = HttpClient::new(endpoints);
    let get = |host: &str| {
        let url = format!("http://{host}:{port}/").parse().unwrap();
        http.send(Request::new(Method::GET, url))
    };
    get("127.0.0.1").await.unwrap();
    // The name may stand for either.
    for host in ["localhost", "[::1]"] {
        let error = get(host).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UntrustedEmulator, "{host}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn verified_and_unverified_connections_are_kept_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::start(&listener);
    let plain = HttpClient::new(Endpoints::google());
    let get = || Request::new(Method::GET, format!("http://{address}/").parse().unwrap());
    plain.send(get()).await.unwrap().bytes().await.unwrap();
    assert_eq!(server.connections(), 1);
    let http = HttpClient::new(Endpoints::emulator(address).unwrap());
    for _ in 0..3 {
        http.send(get()).await.unwrap().bytes().await.unwrap();
    }
    assert_eq!(server.connections(), 2);
}

/// A connector, and what happens while it connects.
#[derive(Clone)]
struct Connector<F>(F);

impl<F: FnMut()> Service<()> for Connector<F> {
    type Response = &'static str;
    type Error = BoxError;
    type Future = std::future::Ready<Result<&'static str, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        (self.0)();
        ready(Ok("connected"))
    }
}

fn check(address: SocketAddr, allow_unknown_owner: bool) -> ListenerCheck {
    let url = format!("http://{address}/").parse().unwrap();
    let endpoints = Endpoints::emulator_from_env(address, allow_unknown_owner).unwrap();
    endpoints.listener_check(&url).unwrap()
}

#[tokio::test]
async fn a_listener_replaced_while_connecting_gets_no_request() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let slot = Arc::new(Mutex::new(Some(listener)));
    let replace = move || {
        let mut slot = slot.lock().unwrap();
        drop(slot.take());
        *slot = Some(TcpListener::bind(address).unwrap());
    };
    let mut unchanged = check(address, false).layer(Connector(|| ()));
    assert_eq!(unchanged.call(()).await.unwrap(), "connected");
    let mut replaced = check(address, true).layer(Connector(replace));
    let error = replaced.call(()).await.unwrap_err();
    let error: Box<Error> = error.downcast().unwrap();
    assert_eq!(error.kind(), ErrorKind::Network);
    assert!(error.is_transient() && !error.remedy().text.is_empty());
}

#[test]
fn an_unknown_owner_needs_permission() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let strict = check(address, false);
    // As behind a port that the system forwards, and lists no socket for.
    let unknown = strict.before_connecting().unwrap();
    assert!(matches!(unknown, Owner::Unknown(_)));
    let error = strict.after_connecting(&unknown).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UntrustedEmulator);
    assert!(error.to_string().contains(EMULATOR_HOST), "{error}");
    let remedy = error.remedy().to_string();
    assert!(
        remedy.contains(&format!("export {EMULATOR_TRUST}=1")),
        "{remedy}"
    );
    check(address, true).after_connecting(&unknown).unwrap();
}

#[tokio::test]
async fn an_emulator_that_is_not_running_is_named_with_its_variable() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    for (endpoints, is_from_env) in both(address).into_iter().zip([false, true]) {
        let http = HttpClient::new(endpoints);
        for sent in send_all(&http, &format!("http://{address}")).await {
            let error = sent.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Network, "{error}");
            assert!(error.to_string().contains("refused"), "{error}");
            let remedy = error.remedy().to_string();
            assert!(remedy.contains(&address.to_string()), "{remedy}");
            assert_eq!(
                remedy.contains(&format!("unset {EMULATOR_HOST}")),
                is_from_env
            );
        }
    }
}
